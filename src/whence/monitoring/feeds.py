"""Feeds: what the commits of a source table look like beside those before them.

Each version is read once. Its rows are put to the day on which they became known; a day is judged when the
feed's watermark has passed it, against the days before it: a source changes with the seasons, and what is to be
found here is the day on which it changed otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.lake import Change, TableDeclaration
from whence.monitoring import calendar
from whence.monitoring.profile import as_floats
from whence.stats import hash64
from whence.stats.base import Array
from whence.stats.hashing import mix

QUANTILES: Final = 33
"""Kept of each numeric column of a version: quartiles are exact for one version, off by at most 1/32 in rank for several."""

FACT_TOLERANCE: Final = 0.01
"""Repeated keys, late rows, missing and new values: a share up to this, beyond twice the most seen, is let pass."""

FACT_ROWS: Final = 5
"""Fewer rows than this are let pass whatever their share."""

LOOK_BACK: Final = 64
"""Keys are compared with those of so many versions before."""

TEXTS: Final = 256
"""A text column with more values than this is not looked at for new ones."""

SMOOTHING: Final = 0.5
"""How much the expected level of a column follows its newest day."""


@dataclass(frozen=True, slots=True)
class ColumnDay:
    """One column of the rows of a version that became known on one day.

    Attributes:
        nulls: Missing values.
        quantiles: Of a number: `QUANTILES` of them, from the least to the largest; None without values.
        counts: Of a text of few values: how often each occurs.
    """

    nulls: int
    quantiles: tuple[float, ...] | None = None
    counts: Mapping[str, int] | None = None

    def to_list(self) -> list[Any]:
        """The column as JSON."""
        return [self.nulls, self.quantiles, self.counts]


@dataclass(frozen=True, slots=True)
class FeedPart:
    """The rows of one version that became known on one day.

    Attributes:
        table, version, execution: Which version, and who wrote it.
        day: The day.
        n: How many rows.
        repeated: How many of them have a key that was there before.
        late: How many were known later than they claim.
        columns: By name.
    """

    table: str
    version: int
    execution: str | None
    day: int
    n: int
    repeated: int
    late: int
    columns: Mapping[str, ColumnDay] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The part as JSON."""
        return {
            "table": self.table,
            "version": self.version,
            "execution": self.execution,
            "day": self.day,
            "n": self.n,
            "repeated": self.repeated,
            "late": self.late,
            "columns": {name: c.to_list() for name, c in self.columns.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FeedPart:
        """The part that `to_dict` wrote."""
        columns = {
            name: ColumnDay(nulls, None if q is None else tuple(q), counts)
            for name, (nulls, q, counts) in data["columns"].items()
        }
        return cls(**{**data, "columns": columns})


def columns_of(schema: pa.Schema, declaration: TableDeclaration) -> list[str]:
    """The columns that are looked at: numbers and texts that are neither key nor time."""
    skipped = {*declaration.key, declaration.event_time, declaration.known_at}
    return [
        f.name
        for f in schema
        if f.name not in skipped
        and (
            pa.types.is_integer(f.type)
            or pa.types.is_floating(f.type)
            or pa.types.is_decimal(f.type)
            or pa.types.is_boolean(f.type)
            or pa.types.is_string(f.type)
        )
    ]


def key_hashes(rows: pa.Table, key: Sequence[str]) -> Array:
    """A 64-bit hash of each row's key; of 10^6 keys two are equal by accident once in 37 million times."""
    out = np.zeros(rows.num_rows, dtype=np.uint64)
    for name in key:
        column = rows.column(name)
        hashed = np.zeros(rows.num_rows, dtype=np.uint64)
        hashed[np.asarray(pc.is_valid(column))] = hash64(column)
        out = mix(out * np.uint64(31) + hashed)
    return out


def describe(
    change: Change, declaration: TableDeclaration, tz: str, *, earlier: Array, names: Sequence[str]
) -> tuple[list[FeedPart], Array]:
    """What one commit brought, by the day it became known; and the hashes of its keys.

    Args:
        change: The commit with its rows.
        declaration: What the table declares.
        tz: The clock by which days are cut.
        earlier: Sorted hashes of the keys of versions before.
        names: The columns to look at.
    """
    rows = change.rows
    hashes = key_hashes(rows, declaration.key) if declaration.key else np.empty(0, np.uint64)
    repeated = _repeated(hashes, earlier)
    if declaration.known_at is not None:
        days = calendar.local_days(rows.column(declaration.known_at), tz)
    else:
        days = np.full(rows.num_rows, calendar.day_of(change.info.at, tz), dtype=np.int64)
    late = _late(rows, declaration, change.info.n_late)
    parts = []
    for day in np.unique(days).tolist():
        inside = days == day
        mine = rows if inside.all() else rows.filter(pa.array(inside))
        columns = {name: _column(mine.column(name)) for name in names}
        count = int(repeated[inside].sum()) if len(repeated) else 0
        parts.append(
            FeedPart(
                table=change.info.table,
                version=change.version,
                execution=change.info.execution,
                day=day,
                n=mine.num_rows,
                repeated=count,
                late=int(late[inside].sum()),
                columns=columns,
            )
        )
    return parts, hashes


def _repeated(hashes: Array, earlier: Array) -> Array:
    """Whether each key was there before: in an earlier version, or above in the same one."""
    if not len(hashes):
        return np.zeros(0, dtype=bool)
    _, first = np.unique(hashes, return_index=True)
    again = np.ones(len(hashes), dtype=bool)
    again[first] = False
    if len(earlier):
        places = np.minimum(np.searchsorted(earlier, hashes), len(earlier) - 1)
        again |= earlier[places] == hashes
    return again


def _late(rows: pa.Table, declaration: TableDeclaration, n_late: int) -> Array:
    """The rows whose known_at was raised: as many as the commit says, those with the least known_at."""
    late = np.zeros(rows.num_rows, dtype=bool)
    if n_late and declaration.known_at is not None:
        known = rows.column(declaration.known_at).cast(pa.int64()).to_numpy()
        late[np.argsort(known, kind="stable")[:n_late]] = True
    return late


def _column(column: pa.ChunkedArray) -> ColumnDay:
    if pa.types.is_string(column.type):
        return _text(column)
    values = as_floats(column)
    plain = np.sort(values[np.isfinite(values)])
    nulls = int(len(values) - len(plain))
    if not len(plain):
        return ColumnDay(nulls)
    places = np.round(np.linspace(0, 1, QUANTILES) * (len(plain) - 1)).astype(int)
    return ColumnDay(nulls, tuple(plain[places].tolist()))


def _text(column: pa.ChunkedArray) -> ColumnDay:
    counted = pc.value_counts(column.drop_null())
    if len(counted) > TEXTS:
        return ColumnDay(column.null_count)
    names, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
    return ColumnDay(column.null_count, None, dict(sorted(zip(names, counts, strict=True))))


# --- a day of a feed --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """A numeric column on one day: its median and the distance of its quartiles; None without values."""

    n: int
    median: float | None
    spread: float | None


def shape(parts: Sequence[FeedPart], name: str) -> Shape:
    """The shape of a column over the versions of a day."""
    values: list[float] = []
    weights: list[float] = []
    n = 0
    for part in parts:
        column = part.columns.get(name)
        if column is None or column.quantiles is None:
            continue
        here = part.n - column.nulls
        n += here
        values += column.quantiles
        weights += [here / len(column.quantiles)] * len(column.quantiles)
    if not n:
        return Shape(0, None, None)
    order = np.argsort(values, kind="stable")
    ranks = (np.cumsum(np.asarray(weights)[order]) - np.asarray(weights)[order] / 2) / n
    ordered = np.asarray(values)[order]
    low, middle, high = np.interp([0.25, 0.5, 0.75], ranks, ordered).tolist()
    return Shape(n, middle, high - low)


def share(count: int, n: int) -> float:
    """A share; 0 of no rows."""
    return count / n if n else 0.0


def log_rows(n: int) -> float:
    """The number of rows on a scale where days scatter evenly."""
    return math.log(n + 1)
