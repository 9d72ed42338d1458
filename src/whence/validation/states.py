"""The mergeable states behind the statistics of a column: of numbers, and of text and bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.stats import Distinct, IntegerMoments, MinMax, Moments, Quantiles, TopValues, hash64
from whence.stats.base import numbers


@dataclass(frozen=True)
class Numbers:
    """The state of numeric values; booleans count as 0 and 1, times as microseconds, dates as days.

    Mean and standard deviation are of the finite values; minimum and maximum include infinities.
    Integers are summed exactly.
    """

    moments: Moments | IntegerMoments
    range: MinMax = field(default_factory=MinMax)
    quantiles: Quantiles = field(default_factory=Quantiles)
    distinct: Distinct | None = None
    """Needed only when the quantiles no longer hold every value."""
    n_zeros: int = 0
    n_nan: int = 0
    n_low: int = 0
    n_high: int = 0

    def add(self, values: pa.Array) -> Numbers:
        """Take in a batch without nulls."""
        array = numbers(values)
        n_nan = 0
        if array.dtype == np.float64:
            nan = np.isnan(array)
            n_nan = int(nan.sum())
            array = (array[~nan] if n_nan else array) + 0.0  # one zero
        different, counts = np.unique(array, return_counts=True)
        quantiles = self.quantiles.add_counts(different, counts)
        distinct = None
        if not quantiles.exact:
            distinct = seen_values(self).add_hashes(hash64(different))
        return Numbers(
            self.moments.add(array),
            self.range.add(different[[0, -1]] if len(different) else different),
            quantiles,
            distinct,
            self.n_zeros + int(counts[different == 0].sum()),
            self.n_nan + n_nan,
            self.n_low + int(counts[different == -np.inf].sum()),
            self.n_high + int(counts[different == np.inf].sum()),
        )

    def merge(self, other: Numbers) -> Numbers:
        """The state of both."""
        mine, theirs = self.moments, other.moments
        moments: Moments | IntegerMoments
        if isinstance(mine, Moments) and isinstance(theirs, Moments):
            moments = mine.merge(theirs)
        else:
            moments = cast("IntegerMoments", mine).merge(cast("IntegerMoments", theirs))
        quantiles = self.quantiles.merge(other.quantiles)
        return Numbers(
            moments,
            self.range.merge(other.range),
            quantiles,
            None if quantiles.exact else seen_values(self).merge(seen_values(other)),
            self.n_zeros + other.n_zeros,
            self.n_nan + other.n_nan,
            self.n_low + other.n_low,
            self.n_high + other.n_high,
        )

    def sealed(self) -> Numbers:
        """The state as it is stored."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Numbers(**{**values, "quantiles": self.quantiles.sealed()})

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return {
            "exact": isinstance(self.moments, IntegerMoments),
            "moments": self.moments.to_dict(),
            "range": self.range.to_dict(),
            "quantiles": self.quantiles.to_dict(),
            "distinct": None if self.distinct is None else self.distinct.to_dict(),
            "counts": [self.n_zeros, self.n_nan, self.n_low, self.n_high],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Numbers:
        """The state that `to_dict` wrote."""
        moments = (IntegerMoments if data["exact"] else Moments).from_dict(data["moments"])
        distinct = None if data["distinct"] is None else Distinct.from_dict(data["distinct"])
        return cls(
            moments,
            MinMax.from_dict(data["range"]),
            Quantiles.from_dict(data["quantiles"]),
            distinct,
            *data["counts"],
        )


def seen_values(state: Numbers) -> Distinct:
    """All values of a state: while its quantiles are exact they hold each of them."""
    return state.distinct or Distinct().add_hashes(hash64(state.quantiles.entries()[0]))


@dataclass(frozen=True)
class Texts:
    """The state of text or bytes: every value with its count, lengths in bytes, invalid UTF-8."""

    top: TopValues = field(default_factory=TopValues)
    lengths: IntegerMoments = field(default_factory=IntegerMoments)
    length_range: MinMax = field(default_factory=MinMax)
    n_invalid_utf8: int = 0

    def add(self, values: pa.Array) -> Texts:
        """Take in a batch without nulls."""
        if not len(values):
            return self
        pairs = pc.value_counts(_plain_text(values))
        distinct, counts = pairs.field("values"), pairs.field("counts").to_numpy()
        lengths = pc.binary_length(distinct).to_numpy().astype(np.int64)
        sums = IntegerMoments(
            len(values), int(np.dot(lengths, counts)), int(np.dot(lengths * lengths, counts))
        )
        return Texts(
            self.top.add_counts(distinct, counts),
            self.lengths.merge(sums),
            self.length_range.add(lengths),
            self.n_invalid_utf8 + _count_invalid(distinct, counts),
        )

    def merge(self, other: Texts) -> Texts:
        """The state of both."""
        return Texts(
            self.top.merge(other.top),
            self.lengths.merge(other.lengths),
            self.length_range.merge(other.length_range),
            self.n_invalid_utf8 + other.n_invalid_utf8,
        )

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return {
            "top": self.top.to_dict(),
            "lengths": self.lengths.to_dict(),
            "length_range": self.length_range.to_dict(),
            "n_invalid_utf8": self.n_invalid_utf8,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Texts:
        """The state that `to_dict` wrote."""
        return cls(
            TopValues.from_dict(data["top"]),
            IntegerMoments.from_dict(data["lengths"]),
            MinMax.from_dict(data["length_range"]),
            data["n_invalid_utf8"],
        )


def _plain_text(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return values
    text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return values.cast(pa.string() if text else pa.binary())


def _count_invalid(distinct: pa.Array, counts: Any) -> int:
    raw = distinct.cast(pa.binary())
    try:
        raw.cast(pa.string())
    except pa.ArrowInvalid:
        bad = [not is_utf8(v) for v in raw.to_pylist()]
        return int(counts[bad].sum())
    return 0


def is_utf8(data: bytes) -> bool:
    """Whether bytes are text.

    Example:
        >>> is_utf8(b"a"), is_utf8(bytes([0xff]))
        (True, False)
    """
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
