"""A metric store beside the graph: in its database, or in memory."""

from __future__ import annotations

from whence.database import Database
from whence.tracking.backends.memory import MemoryMetrics
from whence.tracking.backends.sql import SqlMetrics
from whence.tracking.base import MetricStore


def open_metrics(database: Database | None = None) -> MetricStore:
    """The metric store in an open database; without one, in memory.

    Raises:
        ConflictError: A later whence wrote the tables (``workspace-newer``).

    Example:
        >>> open_metrics().list_open()
        []
    """
    return MemoryMetrics() if database is None else SqlMetrics(database)
