"""Keys as small numbers: each value gets the next one when it is first seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.features.folding.growing import Ints

_HALF: Final = 31
"""Bits of each part of a pair of numbers."""

_TABLE: Final = 1 << 21
"""So many places has a table of pairs at most: 16 MB."""

_FEW: Final = 200
"""So few values are looked up one by one, as are those that seldom repeat: encoding them first would cost more."""


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a column, to be looked up.

    Attributes:
        values: One a row, or each distinct one.
        places: The place of each row's value among the distinct ones, behind all for null; None for one a row.
    """

    values: list[Any]
    places: Ints | None = None

    def spread(self, numbers: Ints) -> Ints:
        """Numbers of the values as numbers of the rows; -1 for null."""
        return numbers if self.places is None else np.append(numbers, -1).take(self.places)


class Numbers:
    """Numbers of the values of one column.

    Example:
        >>> numbers = Numbers()
        >>> numbers.learn(pa.chunked_array([["JFK", "LGA", None]])).tolist()
        [0, 1, -1]
        >>> numbers.find(pa.chunked_array([["EWR", "LGA"]])).tolist()
        [-1, 1]
    """

    def __init__(self) -> None:
        self._repeats = True
        # a value that is asked for and not there gets the next number
        self._of: defaultdict[Any, int] = defaultdict(count().__next__)

    def learn(self, column: pa.ChunkedArray) -> Ints:
        """The number of each value, -1 for null; values not seen before get one."""
        values = self.values_of(column)
        return values.spread(learned(self._of, values.values))

    def find(self, column: pa.ChunkedArray) -> Ints:
        """The number of each value, -1 for null and for values not seen before."""
        return self.find_values(self.values_of(column))

    def find_values(self, values: Values) -> Ints:
        """The same, of a column whose values other numbers were asked for already."""
        return values.spread(found(self._of, values.values))

    def values_of(self, column: pa.ChunkedArray) -> Values:
        """The values of a column, as it is cheapest to look them up."""
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        if pa.types.is_integer(column.type) and not column.null_count:
            return Values(column.to_numpy().tolist())
        if not column.null_count and (len(column) < _FEW or not self._repeats):
            return Values(column.to_pylist())
        whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        encoded = whole.dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        distinct = encoded.dictionary.to_pylist()
        self._repeats = 2 * len(distinct) < len(column)
        at = encoded.indices
        return Values(distinct, np.asarray(pc.fill_null(at, len(distinct)) if at.null_count else at))


class Pairs:
    """Numbers of pairs of small numbers: looked up in a table, a row for each left number, while that is small.

    Example:
        >>> pairs = Pairs()
        >>> pairs.learn(np.array([0, 1, 0]), np.array([5, 5, 5])).tolist()
        [0, 1, 0]
        >>> pairs.find(np.array([1, 1]), np.array([4, 5])).tolist()
        [-1, 1]
    """

    def __init__(self) -> None:
        self._table: Ints = np.full((1, 1), -1, dtype=np.int64)
        self._of: defaultdict[int, int] | None = None
        self._n = 0

    def learn(self, left: Ints, right: Ints) -> Ints:
        """The number of each pair; those not seen before get the next."""
        self._make_room(int(left.max(initial=-1)), int(right.max(initial=-1)))
        if self._of is not None:
            return learned(self._of, _pairs(left, right))
        new = np.flatnonzero(self._table[left, right] < 0)
        if len(new):
            width = self._table.shape[1]
            distinct = np.unique(left[new] * width + right[new])
            self._table.reshape(-1)[distinct] = np.arange(self._n, self._n + len(distinct))
            self._n += len(distinct)
        return np.asarray(self._table[left, right])

    def find(self, left: Ints, right: Ints) -> Ints:
        """The number of each pair; -1 for those not seen before."""
        if self._of is not None:
            return found(self._of, _pairs(left, right))
        height, width = self._table.shape
        inside = (left < height) & (right < width)
        return np.where(inside, self._table[np.where(inside, left, 0), np.where(inside, right, 0)], -1)

    def _make_room(self, left: int, right: int) -> None:
        """Let the table hold a pair of numbers; when it would get too large, a dictionary takes its place."""
        height, width = self._table.shape
        if self._of is not None or (left < height and right < width):
            return
        rows, columns = np.nonzero(self._table >= 0)
        numbers = self._table[rows, columns]
        height = height if left < height else 2 * left + 1
        width = width if right < width else 2 * right + 1
        if height * width > _TABLE:
            known = zip(_pairs(rows, columns), numbers.tolist(), strict=True)
            self._of = defaultdict(count(self._n).__next__, known)
            self._table = np.empty((0, 0), dtype=np.int64)
            return
        self._table = np.full((height, width), -1, dtype=np.int64)
        self._table[rows, columns] = numbers


class KeyCodes:
    """Numbers of the combinations of some columns; -1 where one of them is null or unknown.

    Args:
        columns: The columns.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._pairs = [Pairs() for _ in self.columns[1:]]
        # numbers of a single column are used as they are
        self._n = 0 if self.columns else 1

    def __len__(self) -> int:
        return self._n

    def learn(self, parts: Mapping[str, Ints], n: int) -> Ints:
        """The code of each row from the numbers of its columns."""
        codes = self._codes(parts, n, learn=True)
        self._n = max(self._n, int(codes.max(initial=-1)) + 1)
        return codes

    def find(self, parts: Mapping[str, Ints], n: int) -> Ints:
        """The same, where combinations not seen before are -1."""
        codes = self._codes(parts, n, learn=False)
        # a single column's numbers are shared: this key may not have met the newest
        return np.where(codes < self._n, codes, -1)

    def _codes(self, parts: Mapping[str, Ints], n: int, *, learn: bool) -> Ints:
        if not self.columns:
            return np.zeros(n, dtype=np.int64)
        codes = parts[self.columns[0]]
        for pairs, name in zip(self._pairs, self.columns[1:], strict=True):
            part = parts[name]
            look_up = pairs.learn if learn else pairs.find
            if codes.min(initial=0) >= 0 and part.min(initial=0) >= 0:
                codes = look_up(codes, part)
                continue
            whole = np.flatnonzero((codes >= 0) & (part >= 0))
            known = look_up(codes[whole], part[whole])
            codes = np.full(n, -1, dtype=np.int64)
            codes[whole] = known
        return codes


def learned(places: defaultdict[Any, int], values: Sequence[Any]) -> Ints:
    """The places of values; those without get the next."""
    return np.fromiter(map(places.__getitem__, values), dtype=np.int64, count=len(values))


def found(places: Mapping[Any, int], values: Sequence[Any]) -> Ints:
    """The places of values; -1 for those without."""
    return np.fromiter(map(places.get, values, repeat(-1)), dtype=np.int64, count=len(values))


def _pairs(left: Ints, right: Ints) -> list[int]:
    """Each pair as one number."""
    pairs: list[int] = ((left << _HALF) | right).tolist()
    return pairs
