"""What a declaration of a monitor must be, before anything of it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa

from whence.compute import Engine
from whence.errors import NotFoundError, UsageError
from whence.lake import Lake
from whence.lake.conditions import check_condition
from whence.lake.types import check_name
from whence.monitoring.types import WINDOWS, Labels, Monitor


def check_settings(tz: str, budget: float, windows: Sequence[str], maturity: int) -> None:
    """Refuse a zone, window or number that makes no sense.

    Raises:
        UsageError: ``bad-monitor``.
    """
    try:
        ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"time zone {tz!r} is unknown", code="bad-monitor", hint="Area/City or UTC"
        ) from error
    if not budget > 0:
        raise UsageError(
            f"a budget is a number of false alarms a year above 0, got {budget}", code="bad-monitor"
        )
    wrong = [w for w in windows if w not in WINDOWS]
    if wrong or not windows or len(set(windows)) != len(windows):
        raise UsageError(
            f"windows are day, week or both, got {', '.join(windows) or 'none'}", code="bad-monitor"
        )
    if maturity < 0:
        raise UsageError(f"labels cannot be mature {-maturity} days before the end", code="bad-monitor")


def check_monitor_name(name: str, others: Iterable[str]) -> None:
    """Refuse a name whose table ``monitor.<name>`` could not be.

    Raises:
        UsageError: It cannot name a table (``bad-name``), or the table would lie inside that of another
            monitor (``nested-name``).
    """
    check_name(name, what="monitor")
    for other in others:
        if other.startswith(f"{name}.") or name.startswith(f"{other}."):
            raise UsageError(
                f"{name!r} cannot be a monitor beside {other!r}: the table of one would lie inside the other's",
                code="nested-name",
                hint="choose a name that does not go on from another one with a dot",
            )


def check_tables(lake: Lake, engine: Engine, monitor: Monitor) -> None:
    """Refuse feeds and labels that cannot be read.

    Tables that are yet to come are made first, so that a misspelt one is told from them, and so that the key and
    the truth of labels can be tried on their columns.

    Raises:
        NotFoundError: There is no such table, or column of the labels (``table-not-found``, ``column-not-found``).
        UsageError: The truth is no condition (``bad-sql``, ``condition-reads``, ``bad-monitor``), or the labels
            have no key that predictions have (``bad-monitor``).
    """
    for feed in monitor.feeds:
        _check_table(lake, feed)
    if monitor.labels is not None:
        _check_table(lake, monitor.labels.table)
        _check_labels(engine, monitor, monitor.labels, lake.table(monitor.labels.table).schema)


def _check_table(lake: Lake, name: str) -> None:
    if lake.table(name).exists:
        return
    hint = "make a table that is yet to come first: ws.lake.create(name, schema)"
    if name in lake.views():
        hint = f"{name!r} is a view, which has no rows of its own: name the tables it reads"
    raise NotFoundError("table", name, near=lake.list(), hint=hint)


def _check_labels(engine: Engine, monitor: Monitor, labels: Labels, schema: pa.Schema) -> None:
    if not labels.key:
        raise UsageError(
            f"labels in {labels.table!r} need columns that name a row", code="bad-monitor", hint="key=(…,)"
        )
    answered = (*monitor.key, *monitor.origins)
    for name in labels.key:
        if name not in schema.names:
            raise NotFoundError(
                "column", name, near=schema.names, hint=f"table {labels.table!r} has no such column"
            )
        if name not in answered:
            raise UsageError(
                f"predictions have no column {name!r}, by which labels in {labels.table!r} would find them",
                code="bad-monitor",
                hint=f"they are named by {', '.join(monitor.key)}",
            )
    check_condition(labels.truth)
    rows = {"labels": schema.empty_table()}
    engine.query(f"SELECT CAST(({labels.truth}) AS TINYINT) AS truth FROM labels", rows)
    kind = engine.query(f"SELECT ({labels.truth}) AS truth FROM labels", rows).schema.field("truth").type
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
        raise UsageError(
            f"the truth {labels.truth!r} is a {kind}, not true or false",
            code="bad-monitor",
            hint="write a condition, such as \"reason = 'fraud'\"",
        )
