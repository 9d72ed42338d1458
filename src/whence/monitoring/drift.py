"""How far a window lies from a reference: every distance of every column, from counts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from whence.monitoring.profile import Column, Layout, Profile
from whence.stats import divergences, js_of, ks_bracket, ks_low
from whence.stats.base import Array

MIN_ROWS: Final = 30
"""A column with fewer values in a window is measured and not judged."""


@dataclass(frozen=True, slots=True)
class Distances:
    """One window against its reference, one entry a column; NaN where a side has no values.

    Attributes:
        ks_low, ks_high: The Kolmogorov-Smirnov statistic lies between them, with certainty.
        kl, js, psi, chi2: As in `whence.stats.Divergences`, on the coarse cells.
        missing: The share of missing values in the window, less that of the reference.
        new: The share of values the reference did not have, less its own (0, or what is counted together).
        n: How many values the window has.
    """

    ks_low: Array
    ks_high: Array
    kl: Array
    js: Array
    psi: Array
    chi2: Array
    missing: Array
    new: Array
    n: Array


def compare(layout: Layout, reference: Profile, current: Profile) -> Distances:
    """The distances of `current` from `reference`, both counted on `layout`.

    Example:
        >>> import pyarrow as pa
        >>> rows = pa.table({"x": [1.0, 2.0, 3.0, 4.0]})
        >>> layout = Layout.fit(rows, ["x"])
        >>> d = compare(layout, layout.count(rows), layout.count(pa.table({"x": [3.0, 4.0, 9.0, None]})))
        >>> round(float(d.ks_low[0]), 3), float(d.missing[0]), round(float(d.new[0]), 3)
        (0.5, 0.25, 0.333)
    """
    starts = layout.starts
    low, high = ks_bracket(reference.cells, current.cells, starts)
    low, high = np.where(layout.numeric, low, np.nan), np.where(layout.numeric, high, np.nan)
    p = np.add.reduceat(reference.cells, layout.coarse)
    q = np.add.reduceat(current.cells, layout.coarse)
    apart = divergences(p, q, layout.coarse_starts)
    n_ref = np.add.reduceat(reference.cells, starts)
    n_cur = np.add.reduceat(current.cells, starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        missing = current.nulls / (n_cur + current.nulls) - reference.nulls / (n_ref + reference.nulls)
        new = _outside(layout, current) / n_cur - _outside(layout, reference) / n_ref
    return Distances(low, high, apart.kl, apart.js, apart.psi, apart.chi2, missing, new, n_cur)


def _outside(layout: Layout, profile: Profile) -> Array:
    return np.add.reduceat(np.where(layout.outside, profile.cells, 0), layout.starts)


def judged_by(column: Column) -> str:
    """The distance that alerts look at: ``ks`` where order means something, ``js`` for a few values.

    Example:
        >>> judged_by(Column("temp", edges=(0.0, 1.0))), judged_by(Column("carrier", values=("AA",)))
        ('ks', 'js')
    """
    few = column.discrete and len(column.coarse) == len(column.edges)
    return "js" if column.values is not None or few else "ks"


def judged(layout: Layout, distances: Distances) -> Array:
    """The one distance of each column that alerts look at; NaN with fewer than `MIN_ROWS` values."""
    by_order = np.array([judged_by(c) == "ks" for c in layout.columns], dtype=bool)
    return np.where(distances.n >= MIN_ROWS, np.where(by_order, distances.ks_low, distances.js), np.nan)


def judged_apart(layout: Layout, total: Profile, windows: Sequence[Profile]) -> Array:
    """How far each window lies from the rest of `total`, a row a window: `judged` of `compare`, and no more.

    Example:
        >>> import pyarrow as pa
        >>> rows = pa.table({"x": [float(i % 7) for i in range(90)]})
        >>> layout = Layout.fit(rows, ["x"])
        >>> total, window = layout.count(rows), layout.count(rows.slice(50))
        >>> alone = judged(layout, compare(layout, total - window, window))
        >>> (judged_apart(layout, total, [window])[0] == alone).tolist()
        [True]
    """
    by_order = np.array([judged_by(c) == "ks" for c in layout.columns], dtype=bool)
    found = np.empty((len(windows), len(layout.columns)))
    for row, window in zip(found, windows, strict=True):
        p, q = total.cells - window.cells, window.cells
        js = js_of(np.add.reduceat(p, layout.coarse), np.add.reduceat(q, layout.coarse), layout.coarse_starts)
        row[:] = np.where(by_order, ks_low(p, q, layout.starts), js)
        row[np.add.reduceat(q, layout.starts) < MIN_ROWS] = np.nan
    return found


def logit(distance: Array | float) -> Array:
    """A distance between 0 and 1 on a scale without ends, where windows scatter about evenly."""
    clipped = np.clip(distance, 1e-4, 1 - 1e-4)
    out: Array = np.log(clipped / (1 - clipped))
    return out


def unlogit(x: float) -> float:
    """The inverse of `logit`."""
    return float(1 / (1 + np.exp(-x)))
