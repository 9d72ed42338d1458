"""What a fold is made of: rows, exact totals that move forward, and rows picked."""

from whence.features.folding.asked import Batch
from whence.features.folding.group import FoldedGroup, rows_for
from whence.features.folding.rows import Change, Moved, Rows
from whence.features.folding.spans import ALWAYS, NEVER, Span
from whence.features.folding.totals import Events

__all__ = ["ALWAYS", "NEVER", "Batch", "Change", "Events", "FoldedGroup", "Moved", "Rows", "Span", "rows_for"]
