"""Distances of many columns at once, each counted on cells that were fixed beforehand.

The cells of all columns stand one after another in one vector; `starts` says where each column begins. A
number's cells alternate: the gap below the first edge, the first edge itself, the gap above it, and so
on, 2k + 1 cells for k edges. So the distribution function is known exactly at every edge, on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whence.errors import UsageError
from whence.stats.base import Array


@dataclass(frozen=True, slots=True)
class Divergences:
    """How far two counted columns are apart, one entry a column; NaN where a side has no rows.

    Attributes:
        kl: Kullback-Leibler of the second against the first, in bits; shares are ``(c + 1/2) / (n + B/2)``.
        js: Jensen-Shannon in bits, of plain shares.
        psi: Population stability index in nats, smoothed as `kl`, less what two samples of one distribution
            give on average, ``(B - 1) (1/n + 1/m)``: it may be below 0.
        chi2: Pearson's statistic of the second's counts against the first's smoothed shares.
        cells: How many cells B the column has.
    """

    kl: Array
    js: Array
    psi: Array
    chi2: Array
    cells: Array


def count_cells(values: Array, edges: Array) -> Array:
    """How many values fall below, on and between ascending edges: 2k + 1 counts. NaN is left out.

    Example:
        >>> count_cells(np.array([0.0, 1.0, 1.5, 9.0]), np.array([1.0, 2.0])).tolist()
        [1, 1, 1, 0, 1]
    """
    ordered = np.sort(values[~np.isnan(values)]) if values.dtype.kind == "f" else np.sort(values)
    cuts = np.empty(2 * len(edges) + 2, dtype=np.int64)
    cuts[0], cuts[-1] = 0, len(ordered)
    cuts[1:-1:2] = np.searchsorted(ordered, edges, side="left")
    cuts[2:-1:2] = np.searchsorted(ordered, edges, side="right")
    return np.diff(cuts)


def cells_of(values: Array, edges: Array) -> Array:
    """The cell in which each value falls, as `count_cells` numbers them. No value may be NaN.

    Example:
        >>> cells_of(np.array([0.0, 1.0, 1.5, 9.0]), np.array([1.0, 2.0])).tolist()
        [0, 1, 2, 4]
    """
    below = np.searchsorted(edges, values, side="left")
    if len(edges):
        below = 2 * below + (edges[np.minimum(below, len(edges) - 1)] == values)
    return below


def ks_bracket(p: Array, q: Array, starts: Sequence[int] | Array) -> tuple[Array, Array]:
    """Certain bounds of the Kolmogorov-Smirnov statistic of each column.

    At each edge both distribution functions are known on either side: the largest gap seen there is the
    lower bound. Inside a gap of mass p and q they differ by no more than ``|F + p - G|`` or ``|F - G - q|``
    of its beginning: the largest of those is the upper bound. Equal when no gap has rows of both.

    Args:
        p: Counts of all columns on gaps and edges.
        q: The same of the other side.
        starts: Where each column begins.

    Returns:
        Lower and upper bound, one a column; NaN where a side has no rows.

    Example:
        >>> low, high = ks_bracket(np.array([0, 2, 2, 0, 0]), np.array([0, 0, 2, 2, 0]), [0])
        >>> low.tolist(), high.tolist()
        ([0.5], [1.0])
    """
    at = np.asarray(starts, dtype=np.int64)
    if not len(at):
        return np.empty(0), np.empty(0)
    f, g, gap = _gaps(p, q, at)
    before = gap - (f - g)
    low = np.maximum.reduceat(np.abs(gap), at)
    widest = np.maximum(np.abs(before + f), np.abs(before - g))
    place = np.arange(len(f)) - np.repeat(at, _lengths(at, len(f)))
    widest[place % 2 == 1] = 0.0  # an edge is a point: nothing happens inside it
    return np.minimum(low, 1.0), np.minimum(np.maximum(low, np.maximum.reduceat(widest, at)), 1.0)


def ks_low(p: Array, q: Array, starts: Sequence[int] | Array) -> Array:
    """The lower bound of `ks_bracket` alone, for a third of the work.

    Example:
        >>> ks_low(np.array([0, 2, 2, 0, 0]), np.array([0, 0, 2, 2, 0]), [0]).tolist()
        [0.5]
    """
    at = np.asarray(starts, dtype=np.int64)
    if not len(at):
        return np.empty(0)
    gap = _gaps(p, q, at)[2]
    low: Array = np.minimum(np.maximum.reduceat(np.abs(gap, out=gap), at), 1.0)
    return low


def _gaps(p: Array, q: Array, at: Array) -> tuple[Array, Array, Array]:
    """The shares of both sides, and how far their distribution functions lie apart behind each cell."""
    column = np.repeat(np.arange(len(at)), _lengths(at, len(p)))
    f, g = _shares(p, at, column), _shares(q, at, column)
    return f, g, _cumulated(f, at, column) - _cumulated(g, at, column)


def divergences(p: Array, q: Array, starts: Sequence[int] | Array) -> Divergences:
    """KL, JS, PSI and chi-squared of each column, on the cells given.

    Example:
        >>> d = divergences(np.array([50, 50]), np.array([25, 75]), [0])
        >>> round(float(d.js[0]), 6), round(float(d.psi[0]), 6), d.cells.tolist()
        (0.048795, 0.248677, [2])
    """
    at = np.asarray(starts, dtype=np.int64)
    if not len(at):
        none = np.empty(0)
        return Divergences(none, none, none, none, np.empty(0, np.int64))
    cells = _lengths(at, len(p))
    n, m = np.add.reduceat(p, at).astype(float), np.add.reduceat(q, at).astype(float)
    n, m = np.where(n > 0, n, np.nan), np.where(m > 0, m, np.nan)
    wide = np.repeat(np.stack([n, m, cells.astype(float)]), cells, axis=1)
    a = (p + 0.5) / (wide[0] + wide[2] / 2)
    b = (q + 0.5) / (wide[1] + wide[2] / 2)
    expected = a * wide[1]
    f, g = p / wide[0], q / wide[1]
    return Divergences(
        kl=np.maximum(np.add.reduceat(b * np.log2(b / a), at), 0.0),
        js=_jensen_shannon(f, g, at),
        psi=np.add.reduceat((b - a) * np.log(b / a), at) - (cells - 1) * (1 / n + 1 / m),
        chi2=np.add.reduceat((q - expected) ** 2 / expected, at),
        cells=cells,
    )


def js_of(p: Array, q: Array, starts: Sequence[int] | Array) -> Array:
    """The Jensen-Shannon divergence of `divergences` alone.

    Example:
        >>> js_of(np.array([50, 50]), np.array([25, 75]), [0]).round(6).tolist()
        [0.048795]
    """
    at = np.asarray(starts, dtype=np.int64)
    if not len(at):
        return np.empty(0)
    column = np.repeat(np.arange(len(at)), _lengths(at, len(p)))
    return _jensen_shannon(_shares(p, at, column), _shares(q, at, column), at)


def _jensen_shannon(f: Array, g: Array, at: Array) -> Array:
    middle = (f + g) / 2
    apart: Array = np.clip(np.add.reduceat(_terms(f, middle) + _terms(g, middle), at) / 2, 0.0, 1.0)
    return apart


def _terms(share: Array, middle: Array) -> Array:
    out: Array = np.where(np.isnan(share), np.nan, 0.0)
    some = share > 0
    out[some] = share[some] * np.log2(share[some] / middle[some])
    return out


def _shares(counts: Array, at: Array, column: Array) -> Array:
    total = np.add.reduceat(counts, at).astype(float)
    shares: Array = counts / np.where(total > 0, total, np.nan)[column]
    return shares


def _cumulated(shares: Array, at: Array, column: Array) -> Array:
    absent = np.isnan(shares[at])
    if absent.any():  # a column without rows: one share is NaN, and so are all
        plain = np.where(absent[column], 0.0, shares)
        sums = np.cumsum(plain)
        cumulated: Array = np.where(absent[column], np.nan, sums - (sums[at] - plain[at])[column])
        return cumulated
    sums = np.cumsum(shares)
    sums -= (sums[at] - shares[at])[column]
    return sums


def _lengths(at: Array, size: int) -> Array:
    lengths: Array = np.diff(at, append=size)
    if at[0] != 0 or (lengths <= 0).any():
        raise UsageError("columns begin at 0 and ascend", code="bad-cells")
    return lengths
