"""How many, the smallest and the largest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from whence.stats.base import Values, decode, encode, numbers, scalar


@dataclass(frozen=True, slots=True)
class Count:
    """How many values there are, and how many are missing.

    Example:
        >>> Count().add([1, None, 3]).merge(Count(1, 1))
        Count(n=3, n_missing=2)
    """

    n: int = 0
    n_missing: int = 0

    def add(self, values: Values) -> Count:
        """Count a batch; nulls are missing."""
        if not isinstance(values, (pa.Array, pa.ChunkedArray)):
            values = pa.array(values)
        missing = values.null_count
        return Count(self.n + len(values) - missing, self.n_missing + missing)

    def merge(self, other: Count) -> Count:
        """The counts of both."""
        return Count(self.n + other.n, self.n_missing + other.n_missing)

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"n": self.n, "n_missing": self.n_missing}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Count:
        """The state that `to_dict` wrote."""
        return cls(data["n"], data["n_missing"])


@dataclass(frozen=True, slots=True)
class MinMax:
    """The smallest and the largest number; infinities take part, NaN does not.

    Example:
        >>> MinMax().add([3, 1, 2]).merge(MinMax().add([7.5]))
        MinMax(low=1, high=7.5)
        >>> MinMax().low is None
        True
    """

    low: int | float | None = None
    high: int | float | None = None

    def add(self, values: Values) -> MinMax:
        """Take in a batch of numbers."""
        array = numbers(values)
        if array.dtype == np.float64:
            array = array[~np.isnan(array)]
        if not len(array):
            return self
        return self.merge(MinMax(scalar(array.min()), scalar(array.max())))

    def merge(self, other: MinMax) -> MinMax:
        """The extremes of both."""
        if self.low is None or self.high is None:
            return other
        if other.low is None or other.high is None:
            return self
        return MinMax(min(self.low, other.low), max(self.high, other.high))

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"low": encode(self.low), "high": encode(self.high)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MinMax:
        """The state that `to_dict` wrote."""
        return cls(decode(data["low"]), decode(data["high"]))
