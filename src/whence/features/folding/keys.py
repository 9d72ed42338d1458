"""Keys as small numbers: each value gets the next one when it is first seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress, repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.features.folding.growing import Ints

_HALF = 31
"""Bits of each part of a pair of numbers."""


_FEW = 200
"""So few values are looked up one by one: encoding them first would cost more."""


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
        self._of: dict[Any, int] = {}

    def learn(self, column: pa.ChunkedArray) -> Ints:
        """The number of each value, -1 for null; values not seen before get one."""
        return self._numbers(column, learn=True)

    def find(self, column: pa.ChunkedArray) -> Ints:
        """The number of each value, -1 for null and for values not seen before."""
        return self._numbers(column, learn=False)

    def _numbers(self, column: pa.ChunkedArray, *, learn: bool) -> Ints:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        places = learned if learn else found
        if pa.types.is_integer(column.type) and not column.null_count:
            return places(self._of, column.to_numpy().tolist())
        if len(column) < _FEW and not column.null_count:
            return places(self._of, column.to_pylist())
        encoded = pc.dictionary_encode(column.combine_chunks())
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        distinct = encoded.dictionary.to_pylist()
        numbers: Ints = np.append(places(self._of, distinct), -1)
        indices = encoded.indices
        at = pc.fill_null(indices, len(distinct)) if indices.null_count else indices
        return np.asarray(numbers[np.asarray(at)])


class KeyCodes:
    """Numbers of the combinations of some columns; -1 where one of them is null or unknown.

    Args:
        columns: The columns.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._pairs: list[dict[Any, int]] = [{} for _ in self.columns]
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
        for pairs, name in zip(self._pairs[1:], self.columns[1:], strict=True):
            part = parts[name]
            whole = np.flatnonzero((codes >= 0) & (part >= 0))
            pair = ((codes[whole] << _HALF) | part[whole]).tolist()
            codes = np.full(n, -1, dtype=np.int64)
            codes[whole] = learned(pairs, pair) if learn else found(pairs, pair)
        return codes


def learned(places: dict[Any, int], values: Sequence[Any]) -> Ints:
    """The places of values; those without get the next."""
    codes = found(places, values)
    if len(codes) and codes.min() < 0:
        new = dict.fromkeys(values if codes.max() < 0 else compress(values, (codes < 0).tolist()))
        places.update(zip(new, range(len(places), len(places) + len(new)), strict=True))
        codes = found(places, values)
    return codes


def found(places: dict[Any, int], values: Sequence[Any]) -> Ints:
    """The places of values; -1 for those without."""
    return np.fromiter(map(places.get, values, repeat(-1)), dtype=np.int64, count=len(values))
