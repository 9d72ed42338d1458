"""How far two distributions are apart."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from whence.errors import UsageError
from whence.stats.base import Array
from whence.stats.histogram import Histogram, align
from whence.stats.quantiles import Quantiles, alike

Counts: TypeAlias = Mapping[Any, int | float]
"""How often each value occurs."""
Shares: TypeAlias = Sequence[float] | Array
"""Parts of a whole, in an order both sides have."""


def shares(p: Counts, q: Counts) -> tuple[list[Hashable], list[float], list[float]]:
    """The union of values (in the order first seen) and the share each has on both sides.

    Raises:
        UsageError: A side has no mass (``empty-distribution``).
    """
    n_p, n_q = math.fsum(p.values()), math.fsum(q.values())
    if n_p <= 0 or n_q <= 0:
        raise UsageError("a distance needs values on both sides", code="empty-distribution")
    values = list(dict.fromkeys([*p, *q]))
    return values, [p.get(v, 0) / n_p for v in values], [q.get(v, 0) / n_q for v in values]


def l_infinity(p: Counts, q: Counts) -> tuple[float, Hashable]:
    """The largest difference of shares, and the value that has it: ``max |p(v) - q(v)|``.

    Source:
        TFDV ``infinity_norm``. Ties go to the value first seen.

    Example:
        >>> l_infinity({"a": 1, "b": 1}, {"a": 3, "c": 1})
        (0.5, 'b')
    """
    values, a, b = shares(p, q)
    gaps = [abs(x - y) for x, y in zip(a, b, strict=True)]
    worst = max(range(len(gaps)), key=gaps.__getitem__)
    return gaps[worst], values[worst]


def kl(p: Shares, q: Shares) -> float:
    """Kullback-Leibler divergence in bits: ``sum p * log2(p / q)``; infinite where q lacks mass.

    Source:
        Kullback, Leibler 1951.

    Example:
        >>> kl([1.0, 0.0], [0.5, 0.5])
        1.0
    """
    x, y = _pair(p, q)
    return math.inf if ((x > 0) & (y <= 0)).any() else _bits(x, y)


def _bits(x: Array, y: Array) -> float:
    there = x > 0
    x, y = x[there], y[there]
    return max(math.fsum((x * np.log2(x / y)).tolist()), 0.0)


def _pair(p: Shares, q: Shares) -> tuple[Array, Array]:
    x, y = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"{len(x)} shares beside {len(y)}")
    return x, y


def js(p: Shares, q: Shares) -> float:
    """Jensen-Shannon divergence in bits, between 0 and 1: ``KL(p|m)/2 + KL(q|m)/2``, m the middle.

    Source:
        Lin 1991; with log2 as in TFDV.

    Example:
        >>> js([1.0, 0.0], [0.0, 1.0]), js([0.5, 0.5], [0.5, 0.5])
        (1.0, 0.0)
    """
    x, y = _pair(p, q)
    middle = (x + y) / 2
    return min((_bits(x, middle) + _bits(y, middle)) / 2, 1.0)


def js_counts(p: Counts, q: Counts) -> float:
    """Jensen-Shannon divergence of two counted sets of values."""
    _, a, b = shares(p, q)
    return js(a, b)


def js_histograms(p: Histogram, q: Histogram) -> float:
    """Jensen-Shannon divergence of two histograms, re-cut on the union of their edges.

    Raises:
        UsageError: A histogram is empty (``empty-distribution``).

    Example:
        >>> from whence.stats.histogram import Bucket
        >>> a = Histogram("STANDARD", (Bucket(0.0, 1.0, 5),))
        >>> js_histograms(a, Histogram("STANDARD", (Bucket(2.0, 3.0, 5),)))
        1.0
    """
    return js(*_aligned(p, q))


def _aligned(p: Histogram, q: Histogram) -> tuple[list[float], list[float]]:
    a, b = align(p, q)
    if not a:
        raise UsageError("a distance needs values on both sides", code="empty-distribution")
    return a, b


def psi(expected: Shares, actual: Shares, *, floor: float = 1e-4) -> float:
    """Population stability index: ``sum (a - e) * ln(a / e)``, shares below `floor` raised to it.

    Without the floor one empty cell makes it infinite; the value is part of the definition.

    Source:
        Siddiqi, "Credit Risk Scorecards", 2006.

    Example:
        >>> round(psi([0.5, 0.5], [0.25, 0.75]), 12)
        0.274653072167
    """
    e, a = _pair(np.maximum(expected, floor), np.maximum(actual, floor))
    return math.fsum(((a - e) * np.log(a / e)).tolist())


def psi_counts(expected: Counts, actual: Counts, *, floor: float = 1e-4) -> float:
    """Population stability index of two counted sets of values."""
    _, e, a = shares(expected, actual)
    return psi(e, a, floor=floor)


def psi_histograms(expected: Histogram, actual: Histogram, *, floor: float = 1e-4) -> float:
    """Population stability index of two histograms, re-cut on the union of their edges."""
    return psi(*_aligned(expected, actual), floor=floor)


def ks(p: Quantiles, q: Quantiles) -> float:
    """Kolmogorov-Smirnov statistic: the largest gap between two distribution functions.

    Exact while both sketches are; else off by at most the sum of their rank errors.

    Example:
        >>> ks(Quantiles().add([1, 2, 3, 4]), Quantiles().add([3, 4, 5, 6]))
        0.5
    """
    n_p, n_q = p.n, q.n
    if not n_p or not n_q:
        raise UsageError("a distance needs values on both sides", code="empty-distribution")
    (x, n_x), (y, n_y) = p.entries(), q.entries()
    values = np.concatenate(alike([x, y]))
    steps = np.concatenate([n_x / n_p, -n_y / n_q])
    order = np.argsort(values, kind="stable")
    gaps = np.abs(np.cumsum(steps[order]))
    ordered = values[order]
    last = np.append(ordered[1:] != ordered[:-1], True)  # of equal values only the sum of their steps counts
    worst = float(gaps[last].max())
    return min(worst, 1.0)


def ks_histograms(p: Histogram, q: Histogram) -> float:
    """The Kolmogorov-Smirnov statistic of two histograms at the union of their edges."""
    a, b = p.edges, q.edges
    if not a or not b:
        raise UsageError("a distance needs values on both sides", code="empty-distribution")
    return max(abs(_cdf(p, x) - _cdf(q, x)) for x in sorted({*a, *b}))


def _cdf(h: Histogram, x: float) -> float:
    finite = math.fsum(b.count for b in h.buckets)
    below = 0.0
    for b in h.buckets:
        if b.high <= x:
            below += b.count
        elif b.low < x:
            below += b.count * (x - b.low) / (b.high - b.low)
    return below / finite
