"""The moments a spine asks about, each once: many rows ask about the same key at the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import TS
from whence.errors import NotFoundError, UsageError
from whence.features.source import Group

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Points:
    """The distinct (key, moment) pairs of a spine, for one list of key columns.

    Attributes:
        join_keys: One row a key: ``code``, then ``k0``, ``k1``, … in the source's types.
        points: One row a pair: ``pid``, ``code``, ``q`` in microseconds.
        pid: For each row of the spine the pair it asks about; -1 where a key is null.
    """

    join_keys: pa.Table
    points: pa.Table
    pid: Ints


@dataclass(frozen=True, slots=True)
class Moments:
    """The spine's moments in microseconds: of each row, and each moment once with its number."""

    of_rows: Ints
    numbers: Ints
    distinct: Ints

    @property
    def bounds(self) -> tuple[int, int]:
        """The first and the last."""
        return (int(self.distinct.min()), int(self.distinct.max())) if len(self.distinct) else (0, 0)


def moments_of(spine: pa.Table, at: str) -> Moments:
    """The spine's moments.

    Raises:
        NotFoundError: The spine has no column `at`.
        UsageError: It is not an instant (``bad-timestamp``) or some moment is null (``null-time``).
    """
    if at not in spine.column_names:
        raise NotFoundError("column", at, near=spine.column_names, hint="at= names the spine's time column")
    column = spine.column(at)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us")).cast(TS)
    if column.type != TS:
        raise UsageError(
            f"the spine's time column {at!r} is {column.type}, not an instant",
            code="bad-timestamp",
            hint="timestamp[us, UTC]",
        )
    if column.null_count:
        raise UsageError(
            f"{column.null_count} rows of the spine have no {at!r}: features are taken at a moment",
            code="null-time",
        )
    of_rows = np.asarray(column.cast(pa.int64()).to_numpy())
    return Moments(of_rows, *_factorize(of_rows))


def make_points(spine: pa.Table, moments: Moments, group: Group) -> Points:
    """The points of a spine for the keys of a group.

    Raises:
        NotFoundError: The spine lacks a key column.
        UsageError: A key column's type is not the source's kind (``bad-key-type``).
    """
    columns = [key_column(spine, key, name, group) for key, name in group.keys]
    n_rows, n_moments = len(moments.of_rows), max(1, len(moments.distinct))
    codes, distinct = _codes(columns, n_rows)
    known = np.flatnonzero(codes >= 0)
    pairs, pair_values = _factorize(codes[known] * n_moments + moments.numbers[known])
    pid = np.full(n_rows, -1, dtype=np.int64)
    pid[known] = pairs
    code, number = np.divmod(pair_values, n_moments)
    points = pa.table(
        {
            "pid": np.arange(len(pair_values), dtype=np.int64),
            "code": code,
            "q": moments.distinct[number],
        },
        schema=pa.schema({"pid": pa.int64(), "code": pa.int64(), "q": pa.int64()}),
    )
    return Points(distinct, points, pid)


def key_column(spine: pa.Table, key: str, name: str, group: Group) -> pa.ChunkedArray:
    """The spine's column for a join key.

    Raises:
        NotFoundError: The spine has no column of that name.
        UsageError: Its type is not the source's kind (``bad-key-type``).
    """
    view = group.views[0].name
    if name not in spine.column_names:
        raise NotFoundError(
            "column",
            name,
            near=spine.column_names,
            hint=f"feature view {view!r} joins on it: add it to the spine",
        )
    have, want = spine.column(name).type, group.source.schema.field(key).type
    if _kind(have) != _kind(want):
        raise UsageError(
            f"the spine's {name!r} is {have}, but {key!r} of {group.source.ref} is {want}",
            code="bad-key-type",
            hint="cast one of them; a join never casts by itself",
        )
    return spine.column(name)


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_integer(type_):
        return "integer"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "text"
    if pa.types.is_decimal(type_):
        return "decimal"
    return str(type_)


def _codes(columns: Sequence[pa.ChunkedArray], n: int) -> tuple[Ints, pa.Table]:
    """A number for each combination of keys, -1 where one is null, and the combinations."""
    codes = np.zeros(n, dtype=np.int64)
    missing = np.zeros(n, dtype=bool)
    for column in columns:
        encoded = pc.dictionary_encode(column.combine_chunks())
        encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
        missing |= np.asarray(encoded.indices.is_null())
        part = np.asarray(pc.fill_null(encoded.indices, 0)).astype(np.int64)
        codes, _ = _factorize(codes * max(1, len(encoded.dictionary)) + part)
    kept = np.flatnonzero(~missing)
    result = np.full(n, -1, dtype=np.int64)
    result[kept], values = _factorize(codes[kept])
    first = np.full(len(values), -1, dtype=np.int64)
    first[result[kept][::-1]] = kept[::-1]
    rows = pa.array(first)
    names = {f"k{i}": column.take(rows) for i, column in enumerate(columns)}
    return result, pa.table({"code": pa.array(np.arange(len(values), dtype=np.int64)), **names})


def _factorize(values: Ints) -> tuple[Ints, Ints]:
    """For each value the number of its first sight, and the values in that order."""
    encoded = pc.dictionary_encode(pa.array(values))
    return np.asarray(encoded.indices).astype(np.int64), np.asarray(encoded.dictionary)
