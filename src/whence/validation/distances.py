"""Distances of many columns at once: what `whence.stats` says of one, in a few operations on arrays.

A call on an array of ten numbers costs a microsecond or more; a thousand columns one by one are tens of
thousands of such calls. Here the columns lie beside each other: histograms as the rows of a matrix, shares
and the entries of sketches as stretches of one long array.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np

from whence.stats import Histogram
from whence.stats.base import Array

_FLOOR: Final = 1e-4
"""The least share in a population stability index, as in `whence.stats.psi`."""
_FAR: Final = 8e307
"""Above half the largest double."""
_TENTHS: Final = np.array([i / 10 for i in range(1, 10)])

Worst: TypeAlias = tuple[float, list[int]]
"""The largest of several gaps, and all places that have it."""


# --- shares ---------------------------------------------------------------------------------------


def starts_of(lengths: Sequence[int]) -> Array:
    """Where each stretch of so many begins, and where the last one ends: one more than there are lengths."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _sums(terms: Array, starts: Array) -> list[float]:
    """The sum of each stretch, rounded once."""
    listed = terms.tolist()
    return [math.fsum(listed[a:b]) for a, b in pairwise(starts.tolist())]


def js_each(p: Array, q: Array, starts: Array) -> list[float]:
    """`whence.stats.js` of each stretch of shares.

    Example:
        >>> js_each(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]), starts_of([2, 1]))
        [1.0, 0.0]
    """
    middle = (p + q) / 2
    both = _bits(p, middle) + _bits(q, middle)
    return [min(max(total / 2, 0.0), 1.0) for total in _sums(both, starts)]


def _bits(x: Array, y: Array) -> Array:
    there = x > 0
    terms = np.zeros(len(x))
    terms[there] = x[there] * np.log2(x[there] / y[there])
    return terms


def psi_each(expected: Array, actual: Array, starts: Array) -> list[float]:
    """`whence.stats.psi` of each stretch of shares."""
    e, a = np.maximum(expected, _FLOOR), np.maximum(actual, _FLOOR)
    return _sums((a - e) * np.log(a / e), starts)


def worst_each(gaps: Array, starts: Array) -> list[Worst]:
    """The largest gap of each stretch, and all places in the stretch that have it; no stretch is empty.

    Example:
        >>> worst_each(np.array([0.1, 0.3, 0.3, 0.2]), starts_of([3, 1]))
        [(0.3, [1, 2]), (0.2, [0])]
    """
    most = np.maximum.reduceat(gaps, starts[:-1])
    found = np.flatnonzero(gaps == np.repeat(most, np.diff(starts)))
    ends = np.searchsorted(found, starts)
    at = found.tolist()
    return [
        (worst, [i - start for i in at[a:b]])
        for worst, start, (a, b) in zip(most.tolist(), starts.tolist(), pairwise(ends.tolist()), strict=False)
    ]


# --- histograms -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cuts:
    """n histograms, one a row; a row of fewer buckets ends in some that have no width and no mass.

    Attributes:
        lows: n by b, ascending.
        highs: n by b; a bucket's is the next one's low.
        counts: n by b.
        beyond: n by 3: NaN, -infinity, +infinity.
    """

    lows: Array
    highs: Array
    counts: Array
    beyond: Array


def cuts_of(histograms: Sequence[Histogram]) -> Cuts:
    """Histograms as rows."""
    n, most = len(histograms), max((len(h.buckets) for h in histograms), default=0)
    cuts = Cuts(np.zeros((n, most)), np.zeros((n, most)), np.zeros((n, most)), np.zeros((n, 3)))
    for i, h in enumerate(histograms):
        n_here = len(h.buckets)
        if n_here:
            cuts.lows[i], cuts.highs[i] = h.buckets[-1].high, h.buckets[-1].high
            cuts.lows[i, :n_here] = [b.low for b in h.buckets]
            cuts.highs[i, :n_here] = [b.high for b in h.buckets]
            cuts.counts[i, :n_here] = [b.count for b in h.buckets]
        cuts.beyond[i] = h.n_nan, h.n_low, h.n_high
    return cuts


@dataclass(frozen=True, slots=True)
class Recut:
    """The mass of n histograms on edges they share with their twins.

    Attributes:
        spread: n by m - 1: between neighbouring edges, evenly spread.
        points: n by m: at the edges; nothing where no histogram has a bucket without width.
        beyond: n by 3: NaN, -infinity, +infinity.
    """

    spread: Array
    points: Array
    beyond: Array

    def shares(self) -> tuple[Array, Array]:
        """All cells as shares of the mass, and where each histogram's begin."""
        cells = np.concatenate([self.spread, self.points, self.beyond], axis=1)
        shares = cells / cells.sum(axis=1, keepdims=True)
        return shares.ravel(), starts_of([cells.shape[1]] * len(cells))

    def upto(self) -> Array:
        """The share, n by m, of the mass between the infinities up to each edge, points at it included."""
        found = np.cumsum(np.pad(self.spread, ((0, 0), (1, 0))), axis=1)
        if self.points.shape[1]:
            found += np.cumsum(self.points, axis=1)
        return np.asarray(found / found[:, -1:])


def recut(p: Cuts, q: Cuts) -> tuple[Recut, Recut]:
    """Histograms beside their twins on the union of their edges, as `whence.stats.align` cuts two."""
    ends = np.concatenate([p.lows, p.highs[:, -1:], q.lows, q.highs[:, -1:]], axis=1)
    far = ((np.abs(ends) > _FAR) & np.isfinite(ends)).any(axis=1)
    if far.any():  # the distance of such edges may be no number; a quarter of it is, and parts stay parts
        scale = np.where(far, 0.25, 1.0)[:, None]
        return recut(*(replace(c, lows=c.lows * scale, highs=c.highs * scale) for c in (p, q)))
    order = np.argsort(ends, axis=1, kind="stable")
    edges = np.take_along_axis(ends, order, axis=1)
    points = any(bool(((c.lows == c.highs) & (c.counts > 0)).any()) for c in (p, q))
    first_of_q = ends.shape[1] - q.lows.shape[1] - q.highs[:, -1:].shape[1]
    return _on(edges, order, p, 0, points), _on(edges, order, q, first_of_q, points)


def _on(edges: Array, order: Array, c: Cuts, first: int, points: bool) -> Recut:
    """The mass of histograms between sorted edges, of which those from `first` on are their lows."""
    n, b = c.lows.shape
    spread = np.zeros((n, max(edges.shape[1] - 1, 0)))
    if b:
        begun = np.cumsum((order >= first) & (order < first + b), axis=1)[:, :-1] - 1
        bucket = np.maximum(begun, 0)
        lows, highs, counts = (np.take_along_axis(x, bucket, axis=1) for x in (c.lows, c.highs, c.counts))
        left, right = edges[:, :-1], edges[:, 1:]
        inside = (begun >= 0) & (left < right) & (right <= highs)
        spread[inside] = counts[inside] * ((right[inside] - left[inside]) / (highs[inside] - lows[inside]))
    return Recut(spread, _points(edges, order, c, first) if points else np.zeros((n, 0)), c.beyond)


def _points(edges: Array, order: Array, c: Cuts, first: int) -> Array:
    """The mass of buckets without width, at the first of the edges that are equal to theirs."""
    fresh = np.concatenate([np.ones((len(edges), 1), bool), edges[:, 1:] != edges[:, :-1]], axis=1)
    first_alike = np.maximum.accumulate(np.where(fresh, np.arange(edges.shape[1]), 0), axis=1)
    where = np.argsort(order, axis=1)[:, first : first + c.lows.shape[1]]
    found = np.zeros(edges.shape)
    places = np.take_along_axis(first_alike, where, axis=1)
    np.add.at(found, (np.arange(len(edges))[:, None], places), np.where(c.lows == c.highs, c.counts, 0.0))
    return found


def js_cuts(p: Recut, q: Recut) -> list[float]:
    """`whence.stats.js_histograms` of each row."""
    (x, starts), (y, _) = p.shares(), q.shares()
    return js_each(x, y, starts)


def psi_cuts(expected: Recut, actual: Recut) -> list[float]:
    """`whence.stats.psi_histograms` of each row."""
    (e, starts), (a, _) = expected.shares(), actual.shares()
    return psi_each(e, a, starts)


def ks_cuts(p: Recut, q: Recut) -> list[float]:
    """`whence.stats.ks_histograms` of each row; no row is empty."""
    found: list[float] = np.abs(p.upto() - q.upto()).max(axis=1).tolist()
    return found


# --- sketches -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entries:
    """The sorted different values of n sketches and what each stands for.

    Attributes:
        values: Those of each sketch, at least one.
        starts: n + 1: where each sketch begins in what follows.
        weights: What each value stands for, one sketch after the other.
        ranks: How much the values up to each place stand for, from 0 on: one more than there are values.
    """

    values: list[Array]
    starts: Array
    weights: Array
    ranks: Array

    @property
    def totals(self) -> Array:
        """How much each sketch stands for."""
        return np.diff(self.ranks[self.starts])

    def upto(self, places: Array) -> Array:
        """How much so many values of each sketch stand for; n by k."""
        begin = self.starts[:-1, None]
        return np.asarray(self.ranks[begin + places] - self.ranks[begin])


def entries_of(sketches: Sequence[tuple[Array, Array]]) -> Entries:
    """Values and weights of sketches, all of one type."""
    weights = np.concatenate([w for _, w in sketches])
    ranks = np.zeros(len(weights) + 1, dtype=weights.dtype)
    np.cumsum(weights, out=ranks[1:])
    return Entries([v for v, _ in sketches], starts_of([len(v) for v, _ in sketches]), weights, ranks)


def even_cuts(sketches: Entries, buckets: int, n_nan: Sequence[int]) -> Cuts:
    """`whence.stats.equal_width` of each sketch; no value is infinite."""
    first, last = (np.array([float(v[at]) for v in sketches.values])[:, None] for at in (0, -1))
    share = np.arange(buckets + 1) / buckets
    edges = np.clip(first * (1 - share) + last * share, first, last)
    edges[:, :1], edges[:, -1:] = first, last
    upto = np.zeros(edges.shape, dtype=np.int64)
    upto[:, -1] = np.diff(sketches.starts)
    for row, values, inner in zip(upto, sketches.values, edges[:, 1:-1], strict=True):
        row[1:-1] = values.searchsorted(inner)
    counts = np.diff(sketches.upto(upto), axis=1)
    beyond = np.zeros((len(edges), 3))
    beyond[:, 0] = n_nan
    return Cuts(edges[:, :-1], edges[:, 1:], counts, beyond)


def psi_tenths(p: Entries, q: Entries) -> list[float]:
    """The population stability index of each pair over the tenths of `q`."""
    totals = q.totals[:, None]
    wanted = np.ceil(_TENTHS * totals - 1e-9).astype(np.int64)
    begin, end = q.starts[:-1, None], q.starts[1:, None]
    mine = np.minimum(q.ranks.searchsorted(wanted + q.ranks[begin]), end) - begin
    each = zip(p.values, q.values, mine - 1, strict=True)
    others = np.stack([x.searchsorted(y[at], side="right") for x, y, at in each])
    shares = []
    for side, upto in ((q, mine), (p, others)):
        inner = side.upto(upto) / side.totals[:, None]
        shares.append(np.diff(np.pad(inner, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1))), axis=1))
    return psi_each(shares[0].ravel(), shares[1].ravel(), starts_of([len(_TENTHS) + 1] * len(mine)))


def ks_each(p: Entries, q: Entries) -> list[float]:
    """`whence.stats.ks` of each pair of sketches."""
    merged = [part for pair in zip(p.values, q.values, strict=True) for part in pair]
    values, starts = np.concatenate(merged), starts_of([len(part) for part in merged])
    up, down = (e.weights / np.repeat(e.totals, np.diff(e.starts)) for e in (p, q))
    np.negative(down, out=down)
    spans = zip(pairwise(p.starts.tolist()), pairwise(q.starts.tolist()), strict=True)
    steps = np.concatenate([part for (a, b), (c, d) in spans for part in (up[a:b], down[c:d])])
    starts = starts[::2]
    ordered, gaps = np.empty_like(values), np.empty(len(values))
    for a, b in pairwise(starts.tolist()):
        order = values[a:b].argsort(kind="stable")
        values[a:b].take(
            order, out=ordered[a:b], mode="clip"
        )  # checked beforehand, a place is looked up slowly
        steps[a:b].take(order, mode="clip").cumsum(out=gaps[a:b])
    np.abs(gaps, out=gaps)
    alike = ordered[1:] == ordered[:-1]  # of equal values only the sum of their steps counts
    alike[starts[1:-1] - 1] = False
    gaps[:-1][alike] = 0.0
    worst = np.minimum(np.maximum.reduceat(gaps, starts[:-1]), 1.0)
    found: list[float] = worst.tolist()
    return found
