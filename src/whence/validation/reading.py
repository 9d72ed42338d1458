"""Versions, files, queries and frames read for their statistics, while whoever watches sees a bar move."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from whence._base.progress import progress as shown
from whence.compute import Engine, quoted
from whence.validation.base import Version, ViewRows
from whence.validation.csv import CsvFormat
from whence.validation.defaults import with_filled
from whence.validation.describe import DescribePart, Progress, merge_parts, with_query_slices
from whence.validation.options import StatisticsOptions
from whence.validation.queries import RELATION
from whence.validation.sources import describe_file, describe_rows, frame_rows, is_path, needed_columns
from whence.validation.statistics import Statistics

_BATCH_CELLS: Final = 1 << 20
"""A batch has about so many values, so that a wide table does not come in one piece."""
_SELECT: Final = re.compile(r"\s*(SELECT|WITH|FROM)\s", re.IGNORECASE)


def is_query(source: object) -> bool:
    """Whether a source is the text of a query.

    Example:
        >>> is_query("SELECT * FROM flights"), is_query("flights@12")
        (True, False)
    """
    return isinstance(source, str) and _SELECT.match(source) is not None


def is_files(source: object) -> bool:
    """Whether a source is the path of files, or several.

    Example:
        >>> is_files(["a.csv", "b.csv"]), is_files([{"a": 1}])
        (True, False)
    """
    several = isinstance(source, (list, tuple)) and bool(source) and all(map(is_path, source))
    return several or is_path(source)


def describe_version(
    version: Version, name: str, options: StatisticsOptions, engine: Engine, progress: Progress | None = None
) -> Statistics:
    """Statistics of a version of a table: one fold on the engine, and one read for each slice by query.

    The rows of a view stream by; for slices by query they are kept in a temporary file.
    """
    if isinstance(version, ViewRows):
        rows = version.files() if options.rereads else version.stream()
        return describe_frame(rows, name, options, engine, progress)
    names = needed_columns(version.schema.names, options)
    listed = ", ".join(map(quoted, names))
    relations = {RELATION: version.files()}
    with shown(f"statistics of {name}", getattr(version, "n_rows", None)) as step:
        made = engine.fold(
            f'SELECT {listed} FROM "{RELATION}"',
            relations,
            DescribePart(name, options, _both(step, progress)),
            merge_parts,
            batch_rows=min(max(_BATCH_CELLS // max(len(names), 1), 2_048), 65_536),
        )
    made = with_query_slices(made, options, lambda sql: engine.stream(sql, relations))
    return with_filled(made, version).sealed()


def describe_frame(
    source: Any, name: str, options: StatisticsOptions, engine: Engine, progress: Progress | None = None
) -> Statistics:
    """Statistics of rows of any kind."""
    rows = frame_rows(source)
    with shown(f"statistics of {name}", rows.n_rows) as step:
        advance = _both(step, progress)
        return describe_rows(rows, name=name, options=options, engine=engine, progress=advance)


def describe_files(
    files: Any,
    options: StatisticsOptions,
    engine: Engine,
    csv: CsvFormat | None = None,
    progress: Progress | None = None,
) -> Statistics:
    """Statistics of CSV or Parquet files."""
    with shown("statistics of files") as step:
        advance = _both(step, progress)
        return describe_file(files, options=options, csv=csv, engine=engine, progress=advance)


def _both(step: Callable[..., None], progress: Progress | None) -> Progress:
    """Moves the bar of whoever watches, and calls the caller's own."""

    def advance(n: int) -> None:
        step(n)
        if progress is not None:
            progress(n)

    return advance
