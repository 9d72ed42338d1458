"""Histograms: equal-width and of equal mass, made from a quantile sketch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from whence.errors import UsageError
from whence.stats.base import Array, decode, encode

HistogramKind: TypeAlias = Literal["STANDARD", "QUANTILES"]


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many values lie in [low, high); in the last bucket of a histogram, [low, high]."""

    low: float
    high: float
    count: int | float


@dataclass(frozen=True, slots=True)
class Histogram:
    """Neighbouring buckets, and the values that are not numbers.

    Attributes:
        kind: ``STANDARD`` has equal widths, ``QUANTILES`` has about equal counts.
        buckets: In order; empty without finite values.
        n_nan: NaN values, in no bucket.
        n_low: -infinity, in no bucket; `outward` puts them into the first.
        n_high: +infinity, in no bucket.
    """

    kind: HistogramKind
    buckets: tuple[Bucket, ...] = ()
    n_nan: int | float = 0
    n_low: int | float = 0
    n_high: int | float = 0

    @property
    def n(self) -> int | float:
        """How many values the histogram stands for, NaN and infinities included."""
        return sum(b.count for b in self.buckets) + self.n_nan + self.n_low + self.n_high

    @property
    def edges(self) -> list[float]:
        """The edges of the buckets, one more than there are buckets."""
        return [b.low for b in self.buckets] + [self.buckets[-1].high] if self.buckets else []

    def outward(self) -> Histogram:
        """The same with infinities in the outer buckets, which then reach to -infinity and +infinity.

        Source:
            So TFDV draws them.

        Example:
            >>> h = Histogram("STANDARD", (Bucket(0.0, 1.0, 4),), n_high=2).outward()
            >>> [(b.low, b.high, b.count) for b in h.buckets]
            [(0.0, inf, 6)]
        """
        if not self.n_low and not self.n_high:
            return self
        buckets = list(self.buckets) or [Bucket(-math.inf, math.inf, 0)]
        if self.n_low:
            buckets[0] = Bucket(-math.inf, buckets[0].high, buckets[0].count + self.n_low)
        if self.n_high:
            buckets[-1] = Bucket(buckets[-1].low, math.inf, buckets[-1].count + self.n_high)
        return Histogram(self.kind, tuple(buckets), self.n_nan)

    def to_dict(self) -> dict[str, Any]:
        """The histogram as JSON."""
        return {
            "kind": self.kind,
            "buckets": [[encode(b.low), encode(b.high), b.count] for b in self.buckets],
            "n_nan": self.n_nan,
            "n_low": self.n_low,
            "n_high": self.n_high,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Histogram:
        """The histogram that `to_dict` wrote."""
        buckets = tuple(Bucket(decode(low), decode(high), count) for low, high, count in data["buckets"])
        return cls(data["kind"], buckets, data["n_nan"], data["n_low"], data["n_high"])


class Sketch(Protocol):
    """Sorted different values with how often (or how much) each stands for."""

    def entries(self) -> tuple[Array, Array]:
        """The values and their weights."""
        ...


def _finite(sketch: Sketch) -> tuple[Array, Array, Any, Any]:
    values, weights = sketch.entries()
    if values.dtype != np.float64:
        return values, weights, 0, 0
    keep = np.isfinite(values)
    low, high = weights[values == -np.inf].sum(), weights[values == np.inf].sum()
    return values[keep], weights[keep], low.item(), high.item()


def equal_width(
    sketch: Sketch,
    *,
    buckets: int = 10,
    n_nan: float = 0,
    low: float | None = None,
    high: float | None = None,
) -> Histogram:
    """A histogram of `buckets` equal widths between the smallest and the largest finite value.

    Counts are exact while the sketch is; else each edge is off by at most its rank error. When all
    values are equal there is one bucket. `low` and `high` widen the range beyond the data.

    Example:
        >>> from whence.stats.quantiles import Quantiles
        >>> h = equal_width(Quantiles().add([0, 1, 2, 10]), buckets=2)
        >>> [(b.low, b.high, b.count) for b in h.buckets]
        [(0.0, 5.0, 3), (5.0, 10.0, 1)]
    """
    if buckets < 1:
        raise UsageError(f"a histogram has at least one bucket, got {buckets}", code="bad-buckets")
    values, weights, n_low, n_high = _finite(sketch)
    if not len(values):
        return Histogram("STANDARD", (), n_nan, n_low, n_high)
    start = float(values[0]) if low is None else min(float(low), float(values[0]))
    end = float(values[-1]) if high is None else max(float(high), float(values[-1]))
    if start == end:
        return Histogram("STANDARD", (Bucket(start, end, weights.sum().item()),), n_nan, n_low, n_high)
    edges = _even_edges(start, end, buckets)
    return Histogram("STANDARD", _fill(edges, values, weights), n_nan, n_low, n_high)


def _even_edges(start: float, end: float, buckets: int) -> list[float]:
    inner = [start * (1 - i / buckets) + end * (i / buckets) for i in range(1, buckets)]
    return [start, *(min(max(e, start), end) for e in inner), end]


def _fill(edges: Sequence[float], values: Array, weights: Array) -> tuple[Bucket, ...]:
    places = np.clip(np.searchsorted(np.asarray(edges), values, side="right") - 1, 0, len(edges) - 2)
    counts = np.zeros(len(edges) - 1, dtype=weights.dtype)
    np.add.at(counts, places, weights)
    return tuple(Bucket(a, b, c) for a, b, c in zip(edges[:-1], edges[1:], counts.tolist(), strict=True))


def equal_mass(sketch: Sketch, *, buckets: int = 10, n_nan: float = 0) -> Histogram:
    """A histogram cut at the quantiles i / `buckets`; each bucket has the same share, n / `buckets`.

    As in TFDV the counts are shares (they may be fractions) and edges may coincide where one value
    holds more than a share: such a bucket is a point mass.

    Example:
        >>> from whence.stats.quantiles import Quantiles
        >>> h = equal_mass(Quantiles().add([1, 2, 3, 4]), buckets=2)
        >>> [(b.low, b.high, b.count) for b in h.buckets]
        [(1.0, 2.0, 2.0), (2.0, 4.0, 2.0)]
    """
    values, weights, n_low, n_high = _finite(sketch)
    if not len(values):
        return Histogram("QUANTILES", (), n_nan, n_low, n_high)
    ranks = np.cumsum(weights)
    wanted = _ranks_of(np.arange(buckets + 1) / buckets, ranks[-1])
    edges = [float(values[min(i, len(values) - 1)]) for i in np.searchsorted(ranks, wanted, side="left")]
    share = float(ranks[-1]) / buckets
    cut = tuple(Bucket(a, b, share) for a, b in itertools.pairwise(edges))
    return Histogram("QUANTILES", cut, n_nan, n_low, n_high)


def _ranks_of(qs: Array, total: Any) -> Array:
    """The ranks of quantiles: whole numbers where values are counted, parts of the total where they are weighed."""
    if isinstance(total, np.integer):
        return np.asarray(np.ceil(qs * total - 1e-9))
    return np.asarray(qs * total * (1 - 1e-12))


def align(p: Histogram, q: Histogram) -> tuple[list[float], list[float]]:
    """The shares of two histograms on the union of their edges.

    Mass is uniform inside a bucket; a bucket whose edges coincide is a point mass and stands
    alone; NaN, -infinity and +infinity are three more cells. Both lists sum to 1 (or are empty
    when a histogram is).

    Source:
        TFDV ``metrics.cc``: histograms are re-cut on the union of bucket edges.

    Example:
        >>> a = Histogram("STANDARD", (Bucket(0.0, 2.0, 4),))
        >>> b = Histogram("STANDARD", (Bucket(1.0, 3.0, 4),))
        >>> align(a, b)
        ([0.5, 0.5, 0.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0, 0.0, 0.0])
    """
    if not p.n or not q.n:
        return [], []
    edges = sorted({e for h in (p, q) for b in h.buckets for e in (b.low, b.high)})
    points = sorted({b.low for h in (p, q) for b in h.buckets if b.low == b.high})
    return _shares(p, edges, points), _shares(q, edges, points)


def _shares(h: Histogram, edges: Sequence[float], points: Sequence[float]) -> list[float]:
    spread = [0.0] * max(len(edges) - 1, 0)
    at_points = dict.fromkeys(points, 0.0)
    where = {edge: i for i, edge in enumerate(edges)}
    for bucket in h.buckets:
        if bucket.low == bucket.high:
            at_points[bucket.low] += bucket.count
            continue
        for i in range(where[bucket.low], where[bucket.high]):
            spread[i] += bucket.count * ((edges[i + 1] - edges[i]) / (bucket.high - bucket.low))
    cells = [*spread, *at_points.values(), h.n_nan, h.n_low, h.n_high]
    total = math.fsum(cells)
    return [c / total for c in cells]
