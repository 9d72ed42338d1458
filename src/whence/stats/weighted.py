"""States in which every value counts by a weight: mean and deviation, quantiles, the heaviest values.

Weights are floats from 0 on. With whole weights the results are those of each value repeated that often,
up to the rounding of sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.errors import UsageError
from whence.stats.base import Array, Values, as_arrow, decode, encode, numbers, scalar
from whence.stats.frequency import EXACT_LIMIT, HEAVY, TopValues, plain_values
from whence.stats.quantiles import SIZE, join_parts


@dataclass(frozen=True, slots=True)
class WeightedMoments:
    """The total weight, the weighted mean and M2 (weighted squared distances) of the finite values.

    Merged as `Moments`, with sums of weights in place of counts.

    Source:
        Pébay, "Formulas for Robust, One-Pass Parallel Computation of Covariances and Arbitrary-Order
        Statistical Moments", Sandia 2008; weights as in West 1979.

    Example:
        >>> m = WeightedMoments().add([1.0, 4.0], [2.0, 1.0])
        >>> m.weight, m.mean, m.variance
        (3.0, 2.0, 2.0)
    """

    weight: float = 0.0
    center: float = 0.0
    m2: float = 0.0

    @property
    def mean(self) -> float | None:
        """The weighted mean; None without weight."""
        return self.center if self.weight else None

    @property
    def variance(self) -> float | None:
        """The weighted population variance, M2 / weight; None without weight."""
        return self.m2 / self.weight if self.weight else None

    @property
    def std(self) -> float | None:
        """The weighted population standard deviation; None without weight."""
        return math.sqrt(self.m2 / self.weight) if self.weight and self.m2 >= 0 else None

    def add(self, values: Values, weights: Array | Sequence[float]) -> WeightedMoments:
        """Take in a batch, one weight a value; NaN and infinities are left out."""
        array = numbers(values).astype(np.float64, copy=False)
        weight = np.asarray(weights, dtype=np.float64)
        keep = np.isfinite(array) & (weight > 0)
        array, weight = array[keep], weight[keep]
        total = float(weight.sum())
        if not total:
            return self
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(np.dot(array, weight / total))
            away = array - mean
            m2 = float(np.dot(away * away, weight))
        return self.merge(WeightedMoments(total, mean, m2))

    def merge(self, other: WeightedMoments) -> WeightedMoments:
        """The moments of both."""
        if not self.weight or not other.weight:
            return self if self.weight else other
        weight = self.weight + other.weight
        share = other.weight / weight
        delta = other.center - self.center
        center = self.center * (1 - share) + other.center * share
        return WeightedMoments(weight, center, self.m2 + other.m2 + delta * delta * self.weight * share)

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"weight": self.weight, "mean": encode(self.center), "m2": encode(self.m2)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WeightedMoments:
        """The state that `to_dict` wrote."""
        return cls(data["weight"], decode(data["mean"]), decode(data["m2"]))


@dataclass(frozen=True, slots=True)
class WeightedPart:
    """Sorted different values with weights; ranks are right within `error`, after `height` compactions."""

    values: Array
    weights: Array
    error: float = 0.0
    height: int = 0


@dataclass(frozen=True, slots=True)
class WeightedQuantiles:
    """Quantiles by weight: exact up to 2048 different values, then with a rank error it knows.

    Like `Quantiles`: parts of equal height are joined, and when they do not fit into `size` entries
    neighbours form groups of about equal weight, each represented by its weighted median. What a
    compaction may have moved is measured and added to `error`. The quantile q is the smallest value below
    or at which lies at least the share q of the weight.

    Example:
        >>> q = WeightedQuantiles().add([1, 2, 3], [1.0, 1.0, 2.0])
        >>> q.quantile(0.5), q.quantile(0.6), q.rank_error
        (2.0, 3.0, 0.0)
    """

    parts: tuple[WeightedPart, ...] = ()
    size: int = SIZE

    @property
    def weight(self) -> float:
        """The weight of all values, without NaN."""
        return math.fsum(float(p.weights.sum()) for p in self.parts)

    @property
    def rank_error(self) -> float:
        """No rank is further off than this share of the weight; 0.0 is exact."""
        weight = self.weight
        return math.fsum(p.error for p in self.parts) / weight if weight else 0.0

    @property
    def exact(self) -> bool:
        """Whether nothing was lost."""
        return all(p.height == 0 for p in self.parts)

    def entries(self) -> tuple[Array, Array]:
        """Sorted different values and their weights."""
        return join_parts(self.parts) if self.parts else (np.empty(0), np.empty(0))

    def quantile(self, q: float) -> int | float | None:
        """The value at quantile `q`; None without weight."""
        if not 0.0 <= q <= 1.0:
            raise UsageError(f"a quantile lies between 0 and 1, got {q}", code="bad-quantile")
        values, weights = self.entries()
        if not len(values):
            return None
        ranks = np.cumsum(weights)
        place = int(np.searchsorted(ranks, q * ranks[-1] * (1 - 1e-12), side="left"))
        return scalar(values[min(place, len(values) - 1)])

    def add(self, values: Values, weights: Array | Sequence[float]) -> WeightedQuantiles:
        """Take in a batch, one weight a value; NaN and values without weight are left out."""
        array = numbers(values).astype(np.float64) + 0.0
        weight = np.asarray(weights, dtype=np.float64)
        keep = ~np.isnan(array) & (weight > 0)
        if not keep.any():
            return self
        distinct, index = np.unique(array[keep], return_inverse=True)
        sums = np.bincount(index, weights=weight[keep], minlength=len(distinct))
        return self._with([_compact(WeightedPart(distinct, sums), self.size)])

    def merge(self, other: WeightedQuantiles) -> WeightedQuantiles:
        """The sketch of both; errors add."""
        return self._with(other.parts)

    def sealed(self, size: int = SIZE // 2) -> WeightedQuantiles:
        """One part, to be stored: all entries while nothing was lost, else about `size` of them."""
        if len(self.parts) <= 1 and (self.exact or len(self.parts[0].values) <= size):
            return self
        values, weights = join_parts(self.parts)
        error = math.fsum(p.error for p in self.parts)
        whole = WeightedPart(values, weights, error, max(p.height for p in self.parts))
        return WeightedQuantiles((_compact(whole, size),), self.size)

    def _with(self, new: Iterable[WeightedPart]) -> WeightedQuantiles:
        held = {p.height: p for p in self.parts}
        for part in new:
            while (twin := held.pop(part.height, None)) is not None:
                values, weights = join_parts((twin, part))
                part = _compact(
                    WeightedPart(values, weights, twin.error + part.error, part.height), self.size
                )
            held[part.height] = part
        return WeightedQuantiles(tuple(held[h] for h in sorted(held)), self.size)

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON; infinite values become text."""
        return {
            "parts": [
                {
                    "values": [encode(v) for v in p.values.tolist()],
                    "weights": p.weights.tolist(),
                    "error": p.error,
                    "height": p.height,
                }
                for p in self.parts
            ]
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WeightedQuantiles:
        """The state that `to_dict` wrote."""
        return cls(
            tuple(
                WeightedPart(
                    np.asarray([decode(v) for v in p["values"]], dtype=np.float64),
                    np.asarray(p["weights"], dtype=np.float64),
                    p["error"],
                    p["height"],
                )
                for p in data["parts"]
            )
        )


def _compact(part: WeightedPart, size: int) -> WeightedPart:
    """The part itself when it fits, else joined into groups: one compaction higher."""
    if len(part.values) <= size:
        return part
    ends = np.cumsum(part.weights)
    groups = np.minimum((ends - part.weights / 2) / ends[-1] * size, size - 1).astype(np.int64)
    heavy = part.weights > ends[-1] / size
    cut = np.concatenate([[True], (groups[1:] != groups[:-1]) | heavy[1:] | heavy[:-1]])
    starts = np.flatnonzero(cut)
    sums = np.add.reduceat(part.weights, starts)
    before = ends[starts] - part.weights[starts]
    last = np.append(starts[1:], len(ends)) - 1
    picks = np.clip(np.searchsorted(ends, before + sums / 2, side="left"), starts, last)
    moved = np.maximum(ends[picks] - part.weights[picks] - before, before + sums - ends[picks])
    error = part.error + float(max(moved.max(), 0.0))
    return WeightedPart(part.values[picks], sums, error, part.height + 1)


@dataclass(frozen=True, slots=True)
class WeightedTop:
    """Every value with its weight, all up to 100,000 different ones; then the heaviest.

    Beyond the limit it sheds as `TopValues` does: a kept weight is at most `underweight` too small.

    Example:
        >>> WeightedTop().add(["a", "b", "a"], [1.0, 5.0, 0.5]).top(1)
        [('b', 5.0)]
    """

    values: pa.Array = field(default_factory=lambda: pa.nulls(0))
    weights: Array = field(default_factory=lambda: np.empty(0))
    weight: float = 0.0
    underweight: float = 0.0
    limit: int = EXACT_LIMIT
    heavy: int = HEAVY

    def top(self, k: int | None = None) -> list[tuple[Any, float]]:
        """The `k` heaviest values with their weights (all when None); ties by value."""
        if not len(self.values):
            return []
        values = self.values.cast(pa.binary()) if pa.types.is_string(self.values.type) else self.values
        table = pa.table({"v": values, "w": self.weights})
        order = pc.sort_indices(table, sort_keys=[("w", "descending"), ("v", "ascending")])[:k]
        weights = self.weights[order.to_numpy()].tolist()
        return list(zip(plain_values(self.values.take(order)), weights, strict=True))

    def add(self, values: Values, weights: Array | Sequence[float]) -> WeightedTop:
        """Take in a batch without nulls, one weight a value; values without weight are left out."""
        array = as_arrow(values)
        weight = np.asarray(weights, dtype=np.float64)
        if not weight.all():
            keep = weight > 0
            array, weight = array.filter(pa.array(keep)), weight[keep]
        if not len(array):
            return self
        return _shed(self.merge(_summed(array, weight, self)))

    def merge(self, other: WeightedTop) -> WeightedTop:
        """The weights of both.

        Raises:
            UsageError: The values are of different types (``mixed-values``).
        """
        if not len(self.values) or not len(other.values):
            return self if len(self.values) else other
        if self.values.type != other.values.type:
            raise UsageError(
                f"values of type {self.values.type} and {other.values.type} cannot be weighed together",
                code="mixed-values",
            )
        values = pa.concat_arrays([self.values, other.values])
        both = _summed(values, np.concatenate([self.weights, other.weights]), self)
        weight, under = self.weight + other.weight, self.underweight + other.underweight
        return _shed(WeightedTop(both.values, both.weights, weight, under, self.limit, self.heavy))

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON, heaviest first."""
        ordered = self.top()
        values = [v.decode("utf-8", "surrogateescape") if isinstance(v, bytes) else v for v, _ in ordered]
        return {
            "kind": str(self.values.type),
            "values": values,
            "weights": [w for _, w in ordered],
            "weight": self.weight,
            "underweight": self.underweight,
            **({"limit": self.limit} if self.limit != EXACT_LIMIT else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WeightedTop:
        """The state that `to_dict` wrote."""
        plain = {"n": 0, "undercount": 0, "distinct": None, "counts": [0] * len(data["values"])}
        values = TopValues.from_dict({**plain, "kind": data["kind"], "values": data["values"]}).values
        weights = np.asarray(data["weights"], dtype=np.float64)
        return cls(values, weights, data["weight"], data["underweight"], data.get("limit", EXACT_LIMIT))


def _summed(values: pa.Array, weights: Array, like: WeightedTop) -> WeightedTop:
    """Different values with the sums of their weights."""
    encoded = values.dictionary_encode()
    sums = np.bincount(encoded.indices.to_numpy(), weights=weights, minlength=len(encoded.dictionary))
    return WeightedTop(encoded.dictionary, sums, float(weights.sum()), 0.0, like.limit, like.heavy)


def _shed(top: WeightedTop) -> WeightedTop:
    """The same within its limit: beyond it, what the next value weighs is taken from all kept ones."""
    heavy = min(top.heavy, top.limit)
    if len(top.values) <= (heavy if top.underweight else top.limit):
        return top
    shed = float(np.partition(top.weights, -heavy - 1)[-heavy - 1])
    keep = np.flatnonzero(top.weights > shed)
    values, weights = top.values.take(pa.array(keep)), top.weights[keep] - shed
    return WeightedTop(values, weights, top.weight, top.underweight + shed, top.limit, top.heavy)
