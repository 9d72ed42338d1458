"""How many different values there are, and which are the most frequent."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.errors import UsageError
from whence.stats.base import Array, Values, as_arrow
from whence.stats.hashing import hash64

EXACT_LIMIT: Final = 100_000
"""Up to so many distinct values every count is exact."""
HEAVY: Final = 2_000
"""Beyond, so many of the heaviest values are kept."""
_BITS: Final = 12


@dataclass(frozen=True, slots=True)
class Distinct:
    """The number of different values, estimated from 4096 registers; order and split never matter.

    The first 12 bits of a value's hash choose a register, which keeps the largest position of the
    first 1 bit seen in the other 52. The standard error is ``1.04 / sqrt(4096)`` = 1.6 %.

    Source:
        HyperLogLog, Flajolet et al. 2007, with the estimator of Ertl, "New cardinality estimation
        algorithms for HyperLogLog sketches", 2017, algorithm 6 (no bias at any size).

    Example:
        >>> Distinct().add(["a", "b", "a"]).estimate
        2
    """

    registers: Array = field(default_factory=lambda: np.zeros(1 << _BITS, dtype=np.uint8))

    @property
    def relative_error(self) -> float:
        """One standard error of the estimate, relative."""
        return 1.04 / math.sqrt(1 << _BITS)

    @property
    def estimate(self) -> int:
        """About how many different values were added."""
        return round(_ertl(np.bincount(self.registers, minlength=64 - _BITS + 2)))

    def add(self, values: Values) -> Distinct:
        """Take in a batch."""
        return self.add_hashes(hash64(values))

    def add_hashes(self, hashes: Array) -> Distinct:
        """Take in values by their `hash64`."""
        if not len(hashes):
            return self
        rest = 64 - _BITS
        index = (hashes >> np.uint64(rest)).astype(np.int64)
        low = (hashes & np.uint64((1 << rest) - 1)).astype(np.float64)  # 52 bits are exact in a double
        position = (rest + 1 - np.frexp(low)[1]).astype(np.uint8)
        registers = self.registers.copy()
        np.maximum.at(registers, index, position)
        return Distinct(registers)

    def merge(self, other: Distinct) -> Distinct:
        """The registers of both: the larger of each."""
        return Distinct(np.maximum(self.registers, other.registers))

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON: the registers, compressed, as base64."""
        packed = zlib.compress(self.registers.tobytes(), level=6)
        return {"registers": base64.b64encode(packed).decode()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Distinct:
        """The state that `to_dict` wrote."""
        return cls(np.frombuffer(zlib.decompress(base64.b64decode(data["registers"])), dtype=np.uint8))


def _ertl(counts: Array) -> float:
    m, q = 1 << _BITS, 64 - _BITS
    z = m * _tau(1.0 - counts[q + 1] / m)
    for k in range(q, 0, -1):
        z = 0.5 * (z + float(counts[k]))
    z += m * _sigma(counts[0] / m)
    return m * m / (2.0 * math.log(2.0) * z) if math.isfinite(z) else 0.0


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y, z = 1.0, x
    while True:
        x *= x
        before, z = z, z + x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z = 1.0, 1.0 - x
    while True:
        x = math.sqrt(x)
        y *= 0.5
        before, z = z, z - (1.0 - x) ** 2 * y
        if z == before:
            return z / 3.0


@dataclass(frozen=True, slots=True)
class TopValues:
    """Every value with its count, exact up to 100,000 different ones; then the heavy ones.

    Beyond the limit only the 2,000 heaviest values are kept: the count of the next one is
    subtracted from all of them and added to `undercount`, so a kept count is at most `undercount`
    too small, and a value not kept occurs at most `undercount` times: ``undercount <= n / 2001``.
    The number of different values is then an estimate of `Distinct`, which has seen all of them.

    Whether it is exact depends on the values only, never on order or split.

    Source:
        Misra, Gries 1982; merged as in Agarwal et al., "Mergeable Summaries", PODS 2012.

    Example:
        >>> t = TopValues().add(["b", "a", "b", None]).merge(TopValues().add(["c", "c"]))
        >>> t.top(2), t.n_distinct, t.undercount
        ([('b', 2), ('c', 2)], 3, 0)
    """

    values: pa.Array = field(default_factory=lambda: pa.nulls(0))
    counts: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    n: int = 0
    undercount: int = 0
    distinct: Distinct | None = None
    limit: int = EXACT_LIMIT
    heavy: int = HEAVY

    @property
    def exact(self) -> bool:
        """Whether every value is here with its count."""
        return self.distinct is None

    @property
    def n_distinct(self) -> int:
        """How many different values there are; an estimate unless `exact`."""
        return len(self.values) if self.distinct is None else self.distinct.estimate

    def top(self, k: int | None = None) -> list[tuple[Any, int]]:
        """The `k` most frequent values with their counts (all when None); ties by value."""
        ordered = self._ordered(k)
        return list(zip(plain_values(ordered.values), ordered.counts.tolist(), strict=True))

    def counts_of(self, k: int | None = None) -> dict[Any, int]:
        """The same as a mapping."""
        return dict(self.top(k))

    def add(self, values: Values) -> TopValues:
        """Take in a batch of text, bytes, booleans or integers."""
        array = as_arrow(values)
        if not len(array):
            return self
        pairs = pc.value_counts(array)
        return self.add_counts(pairs.field("values"), pairs.field("counts").to_numpy())

    def add_counts(self, values: pa.Array, counts: Array) -> TopValues:
        """Take in different values with their counts."""
        counts = counts.astype(np.int64, copy=False)
        one = TopValues(values, counts, int(counts.sum()), limit=self.limit, heavy=self.heavy)
        return self.merge(one) if self.n else one._fit()

    def merge(self, other: TopValues) -> TopValues:
        """The counts of both; undercounts add.

        Raises:
            UsageError: The values are of different types (``mixed-values``).
        """
        if not self.n or not other.n:
            return self if other.n == 0 else other
        if self.values.type != other.values.type:
            raise UsageError(
                f"values of type {self.values.type} and {other.values.type} cannot be counted together",
                code="mixed-values",
            )
        values, counts = _add_up(self, other)
        distinct: Distinct | None = None
        if self.distinct is not None or other.distinct is not None:
            distinct = _seen(self).merge(_seen(other))
        merged = TopValues(
            values,
            counts,
            self.n + other.n,
            self.undercount + other.undercount,
            distinct,
            self.limit,
            self.heavy,
        )
        return merged._fit()

    def _fit(self) -> TopValues:
        if self.distinct is None and len(self.values) <= self.limit:
            return self
        distinct = _seen(self)
        if len(self.values) <= self.heavy:
            return TopValues(
                self.values, self.counts, self.n, self.undercount, distinct, self.limit, self.heavy
            )
        shed = int(np.partition(self.counts, -self.heavy - 1)[-self.heavy - 1])
        keep = np.flatnonzero(self.counts > shed)
        return TopValues(
            self.values.take(pa.array(keep)),
            self.counts[keep] - shed,
            self.n,
            self.undercount + shed,
            distinct,
            self.limit,
            self.heavy,
        )

    def _ordered(self, k: int | None) -> TopValues:
        if not len(self.values):
            return self
        table = pa.table({"v": _sortable(self.values), "c": self.counts})
        order = pc.sort_indices(table, sort_keys=[("c", "descending"), ("v", "ascending")])
        if k is not None:
            order = order[:k]
        return TopValues(self.values.take(order), self.counts[order.to_numpy()], self.n, self.undercount)

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON, heaviest first; bytes that are not UTF-8 use surrogate escapes."""
        ordered = self._ordered(None)
        return {
            "kind": str(self.values.type),
            "values": [_text(v) for v in plain_values(ordered.values)],
            "counts": ordered.counts.tolist(),
            "n": self.n,
            "undercount": self.undercount,
            "distinct": None if self.distinct is None else self.distinct.to_dict(),
            **({"limit": self.limit} if self.limit != EXACT_LIMIT else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TopValues:
        """The state that `to_dict` wrote."""
        kind = pa.type_for_alias(data["kind"])
        values = data["values"]
        if pa.types.is_string(kind) or pa.types.is_binary(kind):
            raw = pa.array([v.encode("utf-8", "surrogateescape") for v in values], pa.binary())
            array = raw if pa.types.is_binary(kind) else pa.Array.from_buffers(kind, len(raw), raw.buffers())
        else:
            array = pa.array(values, kind)
        distinct = None if data["distinct"] is None else Distinct.from_dict(data["distinct"])
        counts = np.asarray(data["counts"], dtype=np.int64)
        return cls(array, counts, data["n"], data["undercount"], distinct, data.get("limit", EXACT_LIMIT))


def _seen(top: TopValues) -> Distinct:
    return top.distinct if top.distinct is not None else Distinct().add(top.values)


def _add_up(a: TopValues, b: TopValues) -> tuple[pa.Array, Array]:
    encoded = pa.concat_arrays([a.values, b.values]).dictionary_encode()
    counts = np.zeros(len(encoded.dictionary), dtype=np.int64)
    np.add.at(counts, encoded.indices.to_numpy(), np.concatenate([a.counts, b.counts]))
    return encoded.dictionary, counts


def _sortable(values: pa.Array) -> pa.Array:
    if pa.types.is_boolean(values.type):
        return values.cast(pa.int8())
    return values.cast(pa.binary()) if pa.types.is_string(values.type) else values


def plain_values(values: pa.Array) -> list[Any]:
    """Arrow values as Python ones; bytes of text that are not UTF-8 become surrogate escapes."""
    if not pa.types.is_string(values.type):
        return list(values.to_pylist())
    try:
        return list(values.to_pylist())
    except UnicodeDecodeError:
        return [v.decode("utf-8", "surrogateescape") for v in values.cast(pa.binary()).to_pylist()]


def _text(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
