"""The mergeable states behind the statistics of a column: of numbers, and of text and bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.stats import Distinct, IntegerMoments, MinMax, Moments, Quantiles, TopValues, hash64
from whence.stats.base import Array, numbers
from whence.stats.frequency import EXACT_LIMIT
from whence.stats.quantiles import Part, join_parts
from whence.validation.counted import Counted


@dataclass(frozen=True)
class Numbers:
    """The state of numeric values; booleans count as 0 and 1, times as microseconds, dates as days.

    Times finer than a microsecond are cut down to it, decimals are the nearest double; `n_rounded` says how
    many values are not told exactly by that.
    Mean and standard deviation are of the finite values; minimum and maximum include infinities.
    Integers are summed exactly, and remember what they would be as doubles: so they merge with those.
    """

    moments: Moments | IntegerMoments
    range: MinMax = field(default_factory=MinMax)
    quantiles: Quantiles = field(default_factory=Quantiles)
    distinct: Distinct | None = None
    """Stands for the values once there are more than `limit` different ones."""
    n_zeros: int = 0
    n_nan: int = 0
    n_low: int = 0
    n_high: int = 0
    counted: Counted | None = None
    """Every value, from when the quantiles no longer hold each until there are more than `limit`."""
    limit: int = EXACT_LIMIT
    n_rounded: int = 0
    n_undoubled: int = 0
    """Integers that no double is."""
    doubled: Distinct | None = None
    """Integers beyond the limit: the sketch their doubles would make."""

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
        counted, distinct, doubled = None, None, None
        if not quantiles.exact:
            counted, distinct, doubled = self._with(Counted(different, counts), self.limit)
        return Numbers(
            self.moments.add(array),
            self.range.add(different[[0, -1]] if len(different) else different),
            quantiles,
            distinct,
            self.n_zeros + int(counts[different == 0].sum()),
            self.n_nan + n_nan,
            self.n_low + int(counts[different == -np.inf].sum()),
            self.n_high + int(counts[different == np.inf].sum()),
            counted,
            self.limit,
            self.n_rounded + _n_rounded(values),
            self.n_undoubled + int(counts[undoubled(different)].sum()),
            doubled,
        )

    @property
    def known(self) -> Counted | None:
        """Every different value with its count, NaN left out; None when there are too many."""
        if self.quantiles.exact:
            return Counted(*self.quantiles.entries())
        return self.counted

    def _with(self, more: Counted, limit: int) -> tuple[Counted | None, Distinct | None, Distinct | None]:
        """With more values: all of them, or the sketches that stand for them, as they are and as doubles."""
        mine = self.known
        if mine is not None:
            more = mine.merge(more)
            if len(more) <= limit:
                return more, None, None
        doubled = None
        if isinstance(self.moments, IntegerMoments) and (mine is not None or self.doubled is not None):
            doubled = (self.doubled or Distinct()).add_hashes(hash64(more.values.astype(np.float64)))
        return None, (self.distinct or Distinct()).add_hashes(hash64(more.values)), doubled

    def merge(self, other: Numbers) -> Numbers:
        """The state of both."""
        mine, theirs = self.moments, other.moments
        if isinstance(mine, Moments) != isinstance(theirs, Moments):
            return self.as_floats().merge(other.as_floats())
        moments = mine.merge(cast("Any", theirs))  # of one kind
        quantiles, limit = self.quantiles.merge(other.quantiles), min(self.limit, other.limit)
        counted, distinct, doubled = None, None, None
        if not quantiles.exact:
            if other.known is not None:
                counted, distinct, doubled = self._with(other.known, limit)
            else:
                distinct = seen_values(self).merge(seen_values(other))
                doubled = _both(self.seen_doubles, other.seen_doubles)
        return Numbers(
            moments,
            self.range.merge(other.range),
            quantiles,
            distinct,
            self.n_zeros + other.n_zeros,
            self.n_nan + other.n_nan,
            self.n_low + other.n_low,
            self.n_high + other.n_high,
            counted,
            limit,
            self.n_rounded + other.n_rounded,
            self.n_undoubled + other.n_undoubled,
            doubled,
        )

    @property
    def seen_doubles(self) -> Distinct | None:
        """All integers, as doubles, as a sketch; None when they are beyond the limit and were stored without it."""
        known = self.known
        if isinstance(self.moments, Moments) or known is None:
            return self.doubled
        return Distinct().add_hashes(hash64(known.values.astype(np.float64)))

    @property
    def has_floats(self) -> bool:
        """Whether `as_floats` knows them."""
        return isinstance(self.moments, Moments) or self.known is not None or self.doubled is not None

    def as_floats(self) -> Numbers:
        """The state that the same values would have as doubles; `has_floats` says whether it is known."""
        if isinstance(self.moments, Moments):
            return self
        m, known = self.moments, self.known
        more = Numbers(
            Moments(m.n, m.mean or 0.0, (m.variance or 0.0) * m.n),
            MinMax(*(None if end is None else float(end) for end in (self.range.low, self.range.high))),
            Quantiles(tuple(_as_floats(part) for part in self.quantiles.parts), self.quantiles.size),
            self.doubled,
            n_zeros=self.n_zeros,
            limit=self.limit,
            n_rounded=self.n_rounded + self.n_undoubled,
        )
        if more.quantiles.exact or known is None:
            return more
        return replace(more, counted=Counted(*_joined(known.values.astype(np.float64), known.weights)))

    def rounded(self, n: int) -> Numbers:
        """The state when so many of its values were rounded before they came."""
        return replace(self, n_rounded=self.n_rounded + n) if n else self

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
            **({} if self.counted is None else {"counted": self.counted.to_dict()}),
            **({} if self.limit == EXACT_LIMIT else {"limit": self.limit}),
            **({"rounded": self.n_rounded} if self.n_rounded else {}),
            **({"undoubled": self.n_undoubled} if self.n_undoubled else {}),
            **({} if self.doubled is None else {"doubled": self.doubled.to_dict()}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Numbers:
        """The state that `to_dict` wrote."""
        moments = (IntegerMoments if data["exact"] else Moments).from_dict(data["moments"])
        distinct = None if data["distinct"] is None else Distinct.from_dict(data["distinct"])
        n_zeros, n_nan, n_low, n_high = data["counts"]
        return cls(
            moments,
            MinMax.from_dict(data["range"]),
            Quantiles.from_dict(data["quantiles"]),
            distinct,
            n_zeros,
            n_nan,
            n_low,
            n_high,
            counted=Counted.from_dict(data["counted"]) if "counted" in data else None,
            limit=data.get("limit", EXACT_LIMIT),
            n_rounded=data.get("rounded", 0),
            n_undoubled=data.get("undoubled", 0),
            doubled=Distinct.from_dict(data["doubled"]) if "doubled" in data else None,
        )


def _both(a: Distinct | None, b: Distinct | None) -> Distinct | None:
    return None if a is None or b is None else a.merge(b)


def _joined(values: Array, weights: Array) -> tuple[Array, Array]:
    """Sorted values of which some have become equal, each once."""
    return join_parts((Counted(values, weights), Counted(values[:0], weights[:0])))


def _as_floats(part: Part) -> Part:
    values, weights = _joined(part.values.astype(np.float64), part.weights)
    return replace(part, values=values, weights=weights)


_WHOLE: Final = 2**53
"""Up to here every integer is a double."""


def undoubled(values: Array) -> Array:
    """Which integers no double is; those told apart by more than 53 bits. Of doubles none.

    Example:
        >>> undoubled(np.array([-(2**53) - 1, 7, 2**60])).tolist()
        [True, False, False]
    """
    if values.dtype == np.float64:
        return np.zeros(len(values), dtype=np.bool_)
    sizes = np.array([abs(v) for v in values.tolist()]) if values.dtype == object else np.abs(values)
    sizes = sizes.astype(np.uint64, copy=False)  # the absolute value of -2**63 is itself: its bits are 2**63
    made: Array = sizes > _WHOLE
    large = sizes[made]
    lowest = large & (~large + np.uint64(1))
    made[made] = large // lowest >= np.uint64(_WHOLE)
    return made


def _n_rounded(values: pa.Array) -> int:
    """How many values are finer than what stands for them: a microsecond, or a double for a decimal."""
    kind = values.type
    if getattr(kind, "unit", None) == "ns":
        return int(np.count_nonzero(values.cast(pa.int64()).to_numpy() % 1_000))
    if not pa.types.is_decimal(kind) or kind.precision <= _DIGITS:
        return 0
    digits = pc.replace_substring_regex(values.cast(pa.string()), "E.*|[^0-9]", "")
    long = values.filter(pc.greater(pc.utf8_length(pc.utf8_trim(digits, "0")), _DIGITS))
    doubles, wide = pc.cast(long, pa.float64(), safe=False), pa.decimal256(76, kind.scale)
    try:  # a double's shortest text is the decimal, or it stands for several
        return int(pc.sum(pc.not_equal(doubles.cast(pa.string()).cast(wide), long.cast(wide))).as_py() or 0)
    except pa.ArrowInvalid:
        return len(long)


_DIGITS: Final = 15
"""Decimals of up to so many digits are told apart by a double."""


def seen_values(state: Numbers) -> Distinct:
    """All values of a state as a sketch of how many there are."""
    if state.distinct is not None:
        return state.distinct
    known = state.known
    return Distinct() if known is None else Distinct().add_hashes(hash64(known.values))


LONG: Final = 1_024
"""Values of more bytes than this are counted by their beginning and a hash, so that documents fit in memory."""
_KEPT: Final = 1_000


@dataclass(frozen=True)
class Texts:
    """The state of text or bytes: every value with its count, lengths in bytes, invalid UTF-8.

    A value of more than 1,024 bytes stands as its first 1,000, ``…#`` and the 16 hexadecimal digits of its
    hash: it is counted like any other, and `n_long` says how many there were.
    """

    top: TopValues = field(default_factory=TopValues)
    lengths: IntegerMoments = field(default_factory=IntegerMoments)
    length_range: MinMax = field(default_factory=MinMax)
    n_invalid_utf8: int = 0
    n_long: int = 0

    def add(self, values: pa.Array) -> Texts:
        """Take in a batch without nulls: text, bytes, a dictionary of them, or integers as categories."""
        if not len(values):
            return self
        distinct, counts = _counted(values)
        lengths = pc.binary_length(distinct).to_numpy().astype(np.int64)
        sums = IntegerMoments(
            len(values), int(np.dot(lengths, counts)), int(np.dot(lengths * lengths, counts))
        )
        n_invalid, long = _count_invalid(distinct, counts), np.flatnonzero(lengths > LONG)
        if len(long):
            distinct = _cut(distinct, long)
        return Texts(
            self.top.add_counts(distinct, counts),
            self.lengths.merge(sums),
            self.length_range.add(lengths),
            self.n_invalid_utf8 + n_invalid,
            self.n_long + int(counts[long].sum()),
        )

    def merge(self, other: Texts) -> Texts:
        """The state of both."""
        return Texts(
            self.top.merge(other.top),
            self.lengths.merge(other.lengths),
            self.length_range.merge(other.length_range),
            self.n_invalid_utf8 + other.n_invalid_utf8,
            self.n_long + other.n_long,
        )

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return {
            "top": self.top.to_dict(),
            "lengths": self.lengths.to_dict(),
            "length_range": self.length_range.to_dict(),
            "n_invalid_utf8": self.n_invalid_utf8,
            "n_long": self.n_long,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Texts:
        """The state that `to_dict` wrote."""
        return cls(
            TopValues.from_dict(data["top"]),
            IntegerMoments.from_dict(data["lengths"]),
            MinMax.from_dict(data["length_range"]),
            data["n_invalid_utf8"],
            data.get("n_long", 0),
        )


def _counted(values: pa.Array) -> tuple[pa.Array, Any]:
    """Different values as plain text or bytes, and how often each occurs."""
    pairs = pc.value_counts(values)
    distinct, counts = pairs.field("values"), pairs.field("counts").to_numpy()
    if not pa.types.is_dictionary(distinct.type):
        return plain_text(distinct), counts
    # A dictionary may hold a value twice: its entries are made different first.
    encoded = plain_text(distinct.dictionary_decode()).dictionary_encode()
    sums = np.zeros(len(encoded.dictionary), dtype=np.int64)
    np.add.at(sums, encoded.indices.to_numpy(), counts)
    return encoded.dictionary, sums


def _cut(distinct: pa.Array, long: Any) -> pa.Array:
    raw = distinct.cast(pa.binary()).to_pylist()
    for i, number in zip(long.tolist(), hash64(distinct.take(pa.array(long))).tolist(), strict=True):
        head: bytes = raw[i][:_KEPT]
        if pa.types.is_string(distinct.type) and is_utf8(raw[i]):
            head = head.decode("utf-8", "ignore").encode()  # not in the middle of a character
        raw[i] = head + f"…#{number:016x}".encode()
    made = pa.array(raw, pa.binary())
    return (
        made
        if pa.types.is_binary(distinct.type)
        else pa.Array.from_buffers(pa.string(), len(made), made.buffers())
    )


def plain_text(values: pa.Array) -> pa.Array:
    """Text or bytes in their plain Arrow type; integers and booleans as the text that says them."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return values
    t = pa.types
    raw = t.is_large_binary(kind) or t.is_binary_view(kind) or t.is_fixed_size_binary(kind)
    return values.cast(pa.binary() if raw else pa.string())


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
