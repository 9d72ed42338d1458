"""Judging a file by a schema: its statistics stream; its rows are looked at when they fit in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from whence._base.arrow import to_arrow
from whence.compute import Engine, open_engine
from whence.validation.anomalies import validate_statistics, validation_notes
from whence.validation.csv import CsvFormat
from whence.validation.describe import Progress
from whence.validation.extra.lengths import declared_groups
from whence.validation.find import Rows, check_rules, find_rows
from whence.validation.options import StatisticsOptions
from whence.validation.report import Report
from whence.validation.schema import Schema
from whence.validation.sources import describe_file
from whence.validation.statistics import Statistics
from whence.validation.totals import check_totals
from whence.validation.types import Anomaly

LOOKED_AT_BYTES: Final = 256 << 20
"""A larger file is judged by its statistics alone: its rows would have to be held in memory."""


def validate_file(
    path: str | Path,
    schema: Schema,
    *,
    label: str | None = None,
    environment: str | None = None,
    previous: Statistics | None = None,
    serving: Statistics | None = None,
    csv: CsvFormat | None = None,
    engine: Engine | None = None,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> tuple[Report, Statistics]:
    """The report of a CSV or Parquet file under a schema, and the statistics it was made of.

    The statistics are streamed. Example rows, rules and checks read the file again, when it has at
    most 256 MiB; of a larger one the report says that they were not looked at. Rows of a CSV file of which
    each is a line of its own are called by that line, ``february.csv:37``, others by their position from 0,
    ``row:february.csv/#35``. Nothing is recorded.

    Args:
        path: The file.
        schema: The rules.
        label: What the schema is called; None is its digest.
        environment: For which environment.
        previous: Statistics of the data before: drift.
        serving: Statistics of serving data: skew.
        csv: How a CSV file is written.
        engine: Evaluates rules; None opens one.
        now: The clock that freshness is judged by; None does not judge it.
        progress: Called after each block with its number of rows.

    Raises:
        NotFoundError: The file is absent, or the schema does not know the environment.
        UsageError: It is no CSV file (``bad-csv``).
    """
    schema.expected(environment)  # an unknown environment is refused before anything is read
    options = StatisticsOptions(extras=declared_groups(schema))
    statistics = describe_file(path, options=options, csv=csv, engine=engine, progress=progress)
    found, distances = validate_statistics(
        statistics, schema, environment=environment, previous=previous, serving=serving, now=now
    )
    notes = validation_notes(statistics, schema, environment=environment)
    report = Report(
        statistics.name,
        label or schema.digest,
        environment,
        statistics.n_rows,
        tuple(found),
        tuple(distances),
        tuple(notes),
    )
    return _with_rows(report, Path(path), schema, engine), statistics


def _with_rows(report: Report, path: Path, schema: Schema, engine: Engine | None) -> Report:
    needed = bool(report.anomalies or schema.rules or schema.checks)
    if not needed:
        return report
    if not _is_small(path):
        note = f"example rows, rules and checks were not looked at: {path.name} is larger than 256 MiB; as a table it can be of any size"
        return replace(report, notes=(*report.notes, note))
    table = to_arrow(path)
    rows = Rows(report.name, table, table.column_names)
    engine = engine or open_engine()
    environment = report.environment
    found = find_rows(rows, schema, report.anomalies, engine, environment=environment)
    broken, notes = check_rules(rows, schema, engine, environment=environment)
    totals, untotalled = check_totals(rows, schema, engine, environment=environment)
    severities = schema.severities
    more = [replace(a, severity=severities.get(a.type, a.severity)) for a in (*broken, *totals)]
    said: Sequence[str] = (*report.notes, *notes, *untotalled)
    anomalies = (*found, *more)
    if (
        any(a.rows for a in anomalies)
        and path.suffix.lower() == ".csv"
        and _n_lines(path) == table.num_rows + 1
    ):
        anomalies = tuple(_by_line(a, report.name) for a in anomalies)
    return replace(report, anomalies=anomalies, notes=tuple(said))


def _n_lines(path: Path) -> int:
    with path.open(encoding="latin-1") as lines:  # every byte is a letter; ends of lines are the same
        return sum(1 for _ in lines)


def _by_line(a: Anomaly, name: str) -> Anomaly:
    """Rows called by their lines, as an editor numbers them: right where each is one line below the header."""
    begin = f"row:{name}/#"
    return replace(a, rows=tuple(f"{name}:{int(r.removeprefix(begin)) + 2}" for r in a.rows))


def _is_small(path: Path) -> bool:
    """Whether it is one plain file that `to_arrow` reads and that fits."""
    plain = path.suffix.lower() in (".csv", ".parquet")
    return plain and path.is_file() and path.stat().st_size <= LOOKED_AT_BYTES
