"""The table of a monitor: one row a measure, an alert or a run. A newer known row of the same key counts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import TS
from whence._base.clock import utc
from whence._base.digest import canonical_json
from whence.errors import ConflictError
from whence.lake import Lake, Table
from whence.monitoring.types import Alert

SCHEMA: Final = pa.schema(
    [
        ("kind", pa.string()),
        ("metric", pa.string()),
        ("feature", pa.string()),
        ("table", pa.string()),
        ("window", pa.string()),
        ("start", TS),
        ("end", TS),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("threshold", pa.float64()),
        ("p", pa.float64()),
        ("n", pa.int64()),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("alert", pa.string()),
        ("detail", pa.string()),
        ("known_at", TS),
    ]
)
KEY: Final = ("kind", "metric", "feature", "table", "window", "start")
MEASURE_COLUMNS: Final = tuple(n for n in SCHEMA.names if n not in ("kind", "detail"))


class Rows:
    """Rows on their way into the table."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}

    def __len__(self) -> int:
        return len(self.columns["kind"])

    def add(self, kind: str, metric: str, **values: object) -> None:
        """One row; what is not given is null."""
        values |= {"kind": kind, "metric": metric}
        for name, column in self.columns.items():
            column.append(values.get(name))

    def extend(self, size: int, /, **columns: list[Any] | object) -> None:
        """`size` rows; a list is a column, anything else is repeated."""
        for name, column in self.columns.items():
            given = columns.get(name)
            column.extend(given if isinstance(given, list) else [given] * size)

    def alert(self, alert: Alert) -> None:
        """An alert, opened or closed."""
        self.add(
            "alert",
            alert.metric,
            feature=alert.feature,
            table=alert.table,
            window=alert.window,
            start=alert.start,
            end=alert.end,
            value=alert.value,
            threshold=alert.threshold,
            version=None if alert.blame is None else alert.blame.version,
            alert=alert.uid,
            detail=canonical_json(alert.to_dict()),
        )

    def to_arrow(self, known_at: datetime) -> pa.Table:
        """The rows, known at a moment."""
        self.columns["known_at"] = [known_at] * len(self)
        return pa.table(
            [pa.array(self.columns[f.name], f.type, from_pandas=f.type == pa.float64()) for f in SCHEMA],
            schema=SCHEMA,
        )


def open_table(lake: Lake, name: str) -> Table:
    """The table of a monitor; made when absent."""
    table = lake.table(name)
    if table.exists:
        return table
    try:
        return lake.create(
            name, SCHEMA, key=KEY, event_time="start", known_at="known_at", description="measures and alerts"
        )
    except ConflictError:  # another process was faster
        return lake.table(name)


def newest(rows: pa.Table, known_at: datetime | None) -> pa.Table:
    """Of the rows of each key, the newest known (by `known_at`), in order of window and metric."""
    if known_at is not None:
        rows = rows.filter(pc.less_equal(rows.column("known_at"), pa.scalar(utc(known_at), TS)))
    if not rows.num_rows:
        return rows
    order = pc.sort_indices(rows, sort_keys=[("known_at", "ascending")])
    rows = rows.take(order).append_column("_place", pa.array(range(rows.num_rows), pa.int64()))
    last = rows.group_by(list(KEY), use_threads=False).aggregate([("_place", "max")])
    kept = rows.take(pc.take(last.column("_place_max"), pc.array_sort_indices(last.column("_place_max"))))
    sort = [
        ("start", "ascending"),
        ("window", "ascending"),
        ("table", "ascending"),
        ("feature", "ascending"),
        ("metric", "ascending"),
    ]
    return kept.drop_columns(["_place"]).sort_by(sort)


def read_alerts(rows: pa.Table) -> list[Alert]:
    """The alerts in rows of a monitor's table: each as it is known last, in the order they opened."""
    found: dict[str, Alert] = {}
    for row in _by_known(rows):
        data: Mapping[str, Any] = json.loads(row["detail"])
        found[data["uid"]] = Alert.from_dict(data)
    return sorted(found.values(), key=lambda a: (a.known_at, a.start, a.table, a.feature or "", a.metric))


def _by_known(rows: pa.Table) -> Iterable[dict[str, Any]]:
    picked = rows.select(["known_at", "detail"]).to_pylist()
    return sorted(picked, key=lambda r: r["known_at"])
