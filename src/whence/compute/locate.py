"""A URL finds an engine."""

from __future__ import annotations

from whence.compute.base import Engine
from whence.errors import UnsupportedError, UsageError


def open_engine(
    url: str = "duckdb://", *, threads: int | None = None, memory_limit: str | None = None
) -> Engine:
    """The engine a URL names.

    Args:
        url: ``duckdb://`` is DuckDB inside this process.
        threads: How many threads it may use; None is one per core.
        memory_limit: How much memory it may use before it spills to disk, such as ``"2GiB"``.

    Raises:
        UsageError: The URL names no engine (``bad-url``), or a setting is refused (``bad-setting``).
        UnsupportedError: The engine is known and not part of this installation (``engine-spark``).

    Example:
        >>> open_engine(threads=1).query("SELECT 1 AS a", {}).to_pydict()
        {'a': [1]}
    """
    scheme, _, rest = url.partition("://")
    if scheme == "duckdb":
        if rest:
            raise UsageError(
                f"{url!r} names a file, the engine keeps no data", code="bad-url", hint="use duckdb://"
            )
        from whence.compute.backends.duckdb import (
            DuckDBEngine,  # slow to import: who only declares needs none
        )

        return DuckDBEngine(threads=threads, memory_limit=memory_limit)
    if scheme in ("spark", "sc"):
        raise UnsupportedError(
            "the Spark engine is not part of this installation", code="engine-spark", hint="use duckdb://"
        )
    raise UsageError(f"{url!r} names no engine", code="bad-url", hint="use duckdb://")
