"""What a fold is made of: rows, exact totals that move forward, and rows picked."""

from whence.features.folding.asked import Batch
from whence.features.folding.group import FoldedGroup, rows_for
from whence.features.folding.rows import Change, Moved, Rows
from whence.features.folding.spans import ALWAYS, NEVER, Span

__all__ = ["ALWAYS", "NEVER", "Batch", "Change", "FoldedGroup", "Moved", "Rows", "Span", "rows_for"]
