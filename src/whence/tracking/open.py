"""A metric store beside the graph: in its database, or in memory."""

from __future__ import annotations

from typing import Final

from whence.database import Database
from whence.tracking.backends.memory import MemoryMetrics
from whence.tracking.backends.sql import SqlMetrics
from whence.tracking.backends.tables import TRACKING
from whence.tracking.base import MetricStore

#: The tables of the metric store, for whoever upgrades a whole workspace.
TABLES: Final = TRACKING


def open_metrics(database: Database | None = None, *, upgrade: bool = False) -> MetricStore:
    """The metric store in an open database; without one, in memory.

    Args:
        database: Where its tables are, or are to be made.
        upgrade: Bring older tables up instead of refusing them.

    Raises:
        ConflictError: A later whence wrote the tables (``workspace-newer``), or an earlier one and
            `upgrade` was not asked (``workspace-older``).

    Example:
        >>> open_metrics().list_open()
        []
    """
    return MemoryMetrics() if database is None else SqlMetrics(database, upgrade=upgrade)
