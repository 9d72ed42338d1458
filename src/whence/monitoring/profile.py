"""Profiles: how often each value range of each column occurs, on edges fixed once, so that profiles add up."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.digest import canonical_json
from whence.errors import IntegrityError
from whence.stats import cells_of, count_cells
from whence.stats.base import Array

EDGES: Final = 256
"""Quantiles of the first reference that cut a column of many values: the KS statistic is certain to about 1/256."""

DISTINCT: Final = 64
"""Up to so many distinct values, each is an edge of its own and the KS statistic is exact."""

COARSE_DISTINCT: Final = 20
"""Up to so many distinct values, each is a cell of PSI, KL, JS and chi-squared; else there are ten of equal mass."""

TEXTS: Final = 200
"""Texts that are counted one by one; rarer ones are counted together."""

_LEVEL: Final = 1  # of zlib: profiles are written daily and read seldom


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is cut.

    Attributes:
        name: Its name.
        edges: Of a number: where it is cut.
        values: Of a text: those counted one by one.
        coarse: The cells at which the cells of PSI and the like begin; the first is 0.
        discrete: It has so few values that any other is a new one.
    """

    name: str
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] | None = None
    coarse: tuple[int, ...] = (0,)
    discrete: bool = False

    @property
    def n_cells(self) -> int:
        """How many cells it has."""
        return 2 * len(self.edges) + 1 if self.values is None else len(self.values) + 1

    def outside(self) -> list[int]:
        """The cells of values the reference did not have: between known ones, or beyond the last."""
        if self.values is not None:
            return [self.n_cells - 1]
        return list(range(0, self.n_cells, 2)) if self.discrete else [0, self.n_cells - 1]

    def to_dict(self) -> dict[str, Any]:
        """The column as JSON."""
        return {
            "name": self.name,
            "edges": list(self.edges),
            "values": None if self.values is None else list(self.values),
            "coarse": list(self.coarse),
            "discrete": self.discrete,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Column:
        """The column that `to_dict` wrote."""
        values = data["values"]
        return cls(
            data["name"],
            tuple(data["edges"]),
            None if values is None else tuple(values),
            tuple(data["coarse"]),
            data["discrete"],
        )


@dataclass(frozen=True)
class Layout:
    """The cells of all columns, one after another in one vector."""

    columns: tuple[Column, ...]

    @classmethod
    def fit(cls, rows: pa.Table, names: Sequence[str]) -> Layout:
        """Cut each column by the values it has in `rows`."""
        return cls(tuple(_fit(name, rows.column(name)) for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(c.name for c in self.columns)

    @cached_property
    def starts(self) -> Array:
        """Where each column begins."""
        return np.cumsum([0, *(c.n_cells for c in self.columns)])[:-1].astype(np.int64)

    @cached_property
    def n_cells(self) -> int:
        """All cells."""
        return sum(c.n_cells for c in self.columns)

    @cached_property
    def coarse(self) -> Array:
        """Where each coarse cell begins in the vector."""
        return np.concatenate(
            [s + np.asarray(c.coarse) for s, c in zip(self.starts, self.columns, strict=True)]
        ).astype(np.int64)

    @cached_property
    def coarse_starts(self) -> Array:
        """Where each column begins among the coarse cells."""
        return np.cumsum([0, *(len(c.coarse) for c in self.columns)])[:-1].astype(np.int64)

    @cached_property
    def outside(self) -> Array:
        """Which cells hold values the reference did not have."""
        mask = np.zeros(self.n_cells, dtype=bool)
        for start, column in zip(self.starts, self.columns, strict=True):
            mask[start + np.asarray(column.outside())] = True
        return mask

    @cached_property
    def numeric(self) -> Array:
        """Which columns are numbers."""
        return np.array([c.values is None for c in self.columns], dtype=bool)

    @cached_property
    def _edges(self) -> list[Array]:
        return [np.asarray(c.edges) for c in self.columns]

    def count(self, rows: pa.Table) -> Profile:
        """The profile of rows that have these columns."""
        cells = np.empty(self.n_cells, dtype=np.int64)
        nulls = np.empty(len(self.columns), dtype=np.int64)
        for i, (start, column) in enumerate(zip(self.starts, self.columns, strict=True)):
            if column.values is None:
                values = as_floats(rows.column(column.name))
                counted = count_cells(values, self._edges[i])
            else:
                counted = _count_texts(rows.column(column.name), column.values)
            cells[start : start + column.n_cells] = counted
            nulls[i] = rows.num_rows - counted.sum()
        return Profile(cells, nulls)

    def count_each(self, rows: pa.Table, places: Array, n: int) -> list[Profile]:
        """The profiles of n groups of rows; `places` says in which group each row is.

        Example:
            >>> rows = pa.table({"x": [1.0, 2.0, 2.0]})
            >>> layout = Layout.fit(rows, ["x"])
            >>> [p.cells.tolist() for p in layout.count_each(rows, np.array([0, 1, 0]), 2)]
            [[0, 1, 0, 1, 0], [0, 0, 0, 1, 0]]
        """
        cells = np.empty((n, self.n_cells), dtype=np.int64)
        nulls = np.empty((n, len(self.columns)), dtype=np.int64)
        sizes = np.bincount(places, minlength=n)
        for i, (start, column) in enumerate(zip(self.starts, self.columns, strict=True)):
            if column.values is None:
                values = as_floats(rows.column(column.name))
                there = ~np.isnan(values)
                found = cells_of(values[there], self._edges[i])
            else:
                texts = rows.column(column.name)
                there = np.asarray(texts.is_valid())
                found = _text_cells(texts, column.values)
            width = column.n_cells
            counted = np.bincount(places[there] * width + found, minlength=n * width).reshape(n, width)
            cells[:, start : start + width] = counted
            nulls[:, i] = sizes - counted.sum(axis=1)
        return [Profile(*both) for both in zip(cells, nulls, strict=True)]

    def empty(self) -> Profile:
        """The profile of no rows."""
        return Profile(np.zeros(self.n_cells, np.int64), np.zeros(len(self.columns), np.int64))

    def to_json(self) -> str:
        """The cuts as text; equal cuts give equal text."""
        return canonical_json([c.to_dict() for c in self.columns])

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """The cuts that `to_json` wrote."""
        return cls(tuple(Column.from_dict(c) for c in json.loads(text)))


@dataclass(frozen=True, slots=True)
class Profile:
    """Counts on a layout; the profile of several sets of rows is the sum of theirs.

    Attributes:
        cells: How many values fall into each cell, all columns one after another.
        nulls: How many values are missing, one a column.
    """

    cells: Array
    nulls: Array

    def __add__(self, other: Profile) -> Profile:
        return Profile(self.cells + other.cells, self.nulls + other.nulls)

    def __sub__(self, other: Profile) -> Profile:
        return Profile(self.cells - other.cells, self.nulls - other.nulls)

    def times(self, factor: float) -> Profile:
        """Every count multiplied: a share of a mixture."""
        return Profile(self.cells * factor, self.nulls * factor)

    def rows(self, layout: Layout) -> int:
        """How many rows it stands for."""
        first = self.cells[: layout.columns[0].n_cells].sum() + self.nulls[0]
        return round(float(first))


def as_floats(column: pa.ChunkedArray) -> Array:
    """A column of numbers as float64, NaN for null; booleans are 0 and 1."""
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def watchable(kind: pa.DataType) -> bool:
    """Whether a column of this type can be profiled."""
    t = pa.types
    number = t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind) or t.is_decimal(kind)
    return bool(number or t.is_string(kind) or t.is_timestamp(kind))


def _fit(name: str, column: pa.ChunkedArray) -> Column:
    if pa.types.is_string(column.type):
        return _fit_text(name, column)
    values = np.sort(as_floats(column))
    values = values[~np.isnan(values)]
    if not len(values):
        return Column(name)
    distinct = np.unique(values)
    if len(distinct) <= DISTINCT:
        edges = distinct
    else:
        places = np.ceil(np.linspace(0, 1, EDGES + 1) * len(values)).astype(int) - 1
        edges = np.unique(values[np.clip(places, 0, len(values) - 1)])
    discrete = len(distinct) <= DISTINCT
    if len(distinct) <= COARSE_DISTINCT:
        coarse = [0, *(2 * i for i in range(1, len(edges)))]
    else:
        coarse = _tenths(count_cells(values, edges))
    return Column(name, tuple(edges.tolist()), None, tuple(coarse), discrete)


def _fit_text(name: str, column: pa.ChunkedArray) -> Column:
    counted = pc.value_counts(column.drop_null())
    pairs = [(str(c["values"]), int(c["counts"])) for c in counted.to_pylist()]
    pairs.sort(key=lambda pair: (-pair[1], pair[0]))
    values = tuple(sorted(value for value, _ in pairs[:TEXTS]))
    return Column(name, (), values, tuple(range(len(values) + 1)), discrete=True)


def _tenths(cells: Array) -> list[int]:
    """Cells at which ten groups of about equal mass begin."""
    share = np.cumsum(cells) / cells.sum()
    ends = np.searchsorted(share, np.arange(1, 10) / 10 - 1e-12) + 1
    return sorted({0, *(int(e) for e in ends if e < len(cells))})


def _count_texts(column: pa.ChunkedArray, values: Sequence[str]) -> Array:
    return np.bincount(_text_cells(column, values), minlength=len(values) + 1).astype(np.int64)


def _text_cells(column: pa.ChunkedArray, values: Sequence[str]) -> Array:
    places = pc.index_in(column.drop_null(), value_set=pa.array(values, pa.string()))
    cells: Array = pc.fill_null(places, len(values)).to_numpy()
    return cells


# --- bytes ----------------------------------------------------------------------------------------


def pack(facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """Facts and arrays as bytes: a line of JSON, then the arrays one after another, compressed.

    Example:
        >>> facts, arrays = unpack(pack({"n": 1}, {"x": np.array([1, 2])}))
        >>> facts, arrays["x"].tolist()
        ({'n': 1}, [1, 2])
    """
    index = [[name, str(a.dtype), list(a.shape)] for name, a in arrays.items()]
    head = canonical_json({"facts": facts, "arrays": index}).encode() + b"\n"
    body = b"".join(np.ascontiguousarray(a).tobytes() for a in arrays.values())
    return zlib.compress(head + body, _LEVEL)


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """What `pack` packed.

    Raises:
        IntegrityError: The bytes are not a profile (``bad-profile``).
    """
    try:
        plain = zlib.decompress(data)
        head, _, body = plain.partition(b"\n")
        told = json.loads(head)
        arrays, at = {}, 0
        for name, kind, shape in told["arrays"]:
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
            arrays[name] = np.frombuffer(body[at : at + size], dtype=kind).reshape(shape)
            at += size
    except (ValueError, KeyError, zlib.error) as error:
        raise IntegrityError(
            f"a profile cannot be read: {error}", code="bad-profile", hint="restore the blob from a copy"
        ) from error
    return told["facts"], arrays


def to_sparse(cells: Array) -> tuple[Array, Array]:
    """A vector with many zeros as places and counts."""
    places = np.flatnonzero(cells)
    return places.astype(np.uint32), cells[places].astype(np.uint32)


def from_sparse(places: Array, counts: Array, size: int) -> Array:
    """The inverse of `to_sparse`."""
    cells = np.zeros(size, dtype=np.int64)
    cells[places] = counts
    return cells
