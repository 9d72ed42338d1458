"""Quantiles of any amount of numbers, mergeable, deterministic, with a stated error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from whence.errors import UsageError
from whence.stats.base import Array, Values, numbers, scalar

SIZE: Final = 2048
"""Entries a part keeps: up to so many distinct values nothing is lost."""


@dataclass(frozen=True, slots=True)
class Part:
    """Sorted distinct values with weights; ranks are right within `error`, after `height` compactions."""

    values: Array
    weights: Array
    error: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A quantile sketch: exact up to 2048 distinct values, then with a rank error it knows.

    A part is a sorted list of (value, weight). When two parts of equal height do not fit into
    `SIZE` entries together, neighbours are joined into groups and each group is represented by its
    weighted median, which moves no rank by more than half the group. Groups are cut at equal steps
    of ``asin(2q - 1)``, so the tails stay fine (the scale k1 of the t-digest); a value heavier than
    its group stands alone. What a compaction may have moved is measured and added to `error`, so
    the bound is a fact about this sketch and not an expectation: at most ``height * pi / 4 / SIZE``,
    under 0.01 for 10^10 values.

    Infinities take part, NaN does not. The quantile q is the smallest value whose rank is at least
    ``q * n`` (the inverted distribution function: always a value that was seen).

    Source:
        Merging as in Munro, Paterson 1980 and Agarwal et al., "Mergeable Summaries", 2012; the scale
        from Dunning, Ertl, "Computing Extremely Accurate Quantiles Using t-Digests", 2019.

    Example:
        >>> q = Quantiles().add([5, 1, 3]).merge(Quantiles().add([2, 4]))
        >>> q.n, q.quantile(0.5), q.quantile(1.0), q.rank_error
        (5, 3, 5, 0.0)
    """

    parts: tuple[Part, ...] = ()
    size: int = SIZE

    @property
    def n(self) -> int:
        """How many values were added, without NaN."""
        return sum(int(p.weights.sum()) for p in self.parts)

    @property
    def rank_error(self) -> float:
        """No rank is further off than this fraction of n; 0.0 is exact."""
        moved = sum(p.error for p in self.parts)
        return moved / self.n if moved else 0.0

    @property
    def exact(self) -> bool:
        """Whether nothing was lost: then `entries` are all values with their counts."""
        return all(p.error == 0 and p.height == 0 for p in self.parts)

    def entries(self) -> tuple[Array, Array]:
        """Sorted distinct values and their weights (integers that sum to n)."""
        if not self.parts:
            return np.empty(0, dtype=np.float64), np.empty(0, dtype=np.int64)
        return join_parts(self.parts)

    def quantile(self, q: float) -> int | float | None:
        """The smallest value whose rank is at least ``q * n``; None without values."""
        return self.quantiles([q])[0]

    def quantiles(self, qs: Sequence[float]) -> list[int | float | None]:
        """Several quantiles at once."""
        if any(not 0.0 <= q <= 1.0 for q in qs):
            raise UsageError(f"a quantile lies between 0 and 1, got {list(qs)}", code="bad-quantile")
        values, weights = self.entries()
        if not len(values):
            return [None for _ in qs]
        ranks = np.cumsum(weights)
        wanted = np.ceil(np.asarray(qs) * ranks[-1] - 1e-9)
        return [scalar(values[min(i, len(values) - 1)]) for i in np.searchsorted(ranks, wanted, side="left")]

    def rank(self, value: float) -> int:
        """About how many values are less than or equal to `value`."""
        values, weights = self.entries()
        return int(weights[: int(np.searchsorted(values, value, side="right"))].sum())

    def add(self, values: Values) -> Quantiles:
        """Take in a batch of numbers."""
        array = numbers(values)
        if array.dtype == np.float64:
            array = array[~np.isnan(array)] + 0.0  # one zero
        distinct, counts = np.unique(array, return_counts=True)
        return self.add_counts(distinct, counts)

    def add_counts(self, distinct: Array, counts: Array) -> Quantiles:
        """Take in sorted distinct values with their counts."""
        if not len(distinct):
            return self
        return self._with([_fit(Part(distinct, counts.astype(np.int64, copy=False)), self.size)])

    def merge(self, other: Quantiles) -> Quantiles:
        """The sketch of both; errors add."""
        return self._with(other.parts)

    def sealed(self, size: int = SIZE // 2) -> Quantiles:
        """One part, to be stored: all entries while nothing was lost, else about `size` of them."""
        if len(self.parts) <= 1 and (self.exact or len(self.parts[0].values) <= size):
            return self
        values, weights = join_parts(self.parts)
        whole = Part(values, weights, sum(p.error for p in self.parts), max(p.height for p in self.parts))
        return Quantiles((_fit(whole, size),), self.size)

    def _with(self, new: Iterable[Part]) -> Quantiles:
        held = {p.height: p for p in self.parts}
        for part in new:
            while (twin := held.pop(part.height, None)) is not None:
                values, weights = join_parts((twin, part))
                part = _fit(Part(values, weights, twin.error + part.error, part.height), self.size)
            held[part.height] = part
        return Quantiles(tuple(held[h] for h in sorted(held)), self.size)

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON; infinite values become text."""
        return {
            "parts": [
                {
                    "values": _plain(p.values),
                    "weights": p.weights.tolist(),
                    "error": p.error,
                    "height": p.height,
                }
                for p in self.parts
            ]
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Quantiles:
        """The state that `to_dict` wrote."""
        return cls(
            tuple(
                Part(
                    _from_plain(p["values"]),
                    np.asarray(p["weights"], dtype=np.int64),
                    p["error"],
                    p["height"],
                )
                for p in data["parts"]
            )
        )


def _plain(values: Array) -> list[Any]:
    if values.dtype != np.float64:
        return list(values.tolist())
    return [str(v) if v in (np.inf, -np.inf) else v for v in values.tolist()]


def _from_plain(values: Sequence[Any]) -> Array:
    if any(isinstance(v, str) for v in values):
        values = [float(v) for v in values]
    if not values or any(isinstance(v, float) for v in values):
        return np.asarray(values, dtype=np.float64)
    # Left to itself numpy makes floats of small and very large integers together.
    large = object if min(values) < 0 else np.uint64
    return np.asarray(values, dtype=np.int64 if max(values) < 2**63 else large)


class Entries(Protocol):
    """Sorted different values with weights."""

    @property
    def values(self) -> Array:
        """The values."""
        ...

    @property
    def weights(self) -> Array:
        """Their weights."""
        ...


def join_parts(parts: Sequence[Entries]) -> tuple[Array, Array]:
    """Values of all parts in order, equal ones as one entry."""
    if len(parts) == 1:
        return parts[0].values, parts[0].weights
    values = np.concatenate(alike([p.values for p in parts]))
    weights = np.concatenate([p.weights for p in parts])
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order]
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return values[starts], np.add.reduceat(weights, starts)


def alike(arrays: Sequence[Array]) -> Sequence[Array]:
    """Arrays that concatenate without loss: numpy would make floats of int64 beside uint64.

    Integers below 0 and from 2**63 on together are Python's.
    """
    kinds = {a.dtype.kind for a in arrays}
    if len(kinds) == 1:
        return arrays
    if "f" in kinds:
        return [a.astype(np.float64, copy=False) for a in arrays]
    # Sorted: the first is the smallest.
    whole = all(a.dtype.kind == "u" or not len(a) or a[0] >= 0 for a in arrays)
    return [a.astype(np.uint64 if whole else object, copy=False) for a in arrays]


def _fit(part: Part, size: int) -> Part:
    """The part itself when it fits, else joined into groups: one compaction higher."""
    if len(part.values) <= size:
        return part
    weights = part.weights
    ends = np.cumsum(weights)
    total = int(ends[-1])
    middles = (ends - weights / 2) / total
    bins = np.floor(size * (np.arcsin(2 * middles - 1) / np.pi + 0.5)).astype(np.int64)
    # A value heavier than its share would make its group's error large: it stands alone.
    heavy = weights > np.pi * np.sqrt(middles * (1 - middles)) * total / size
    cut = np.concatenate([[True], (bins[1:] != bins[:-1]) | heavy[1:] | heavy[:-1]])
    starts = np.flatnonzero(cut)
    sums = np.add.reduceat(weights, starts)
    before = ends[starts] - weights[starts]
    picks = np.searchsorted(ends, before + (sums + 1) // 2, side="left")
    under = ends[picks] - weights[picks] - before
    over = before + sums - ends[picks]
    moved = int(np.maximum(under, over).max())
    return Part(part.values[picks], sums, part.error + moved, part.height + 1)
