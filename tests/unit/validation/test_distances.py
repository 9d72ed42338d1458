"""Distances of many columns at once equal those of `whence.stats`, which look at one."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.stats import (
    Bucket,
    Histogram,
    Quantiles,
    equal_mass,
    equal_width,
    js,
    js_histograms,
    ks,
    ks_histograms,
    psi,
    psi_histograms,
)
from whence.validation import Comparator, Distance, Feature, Schema, Statistics, compare_statistics, describe
from whence.validation import compare as compare_module
from whence.validation.cells import FeatureType
from whence.validation.distances import (
    cuts_of,
    entries_of,
    even_cuts,
    js_cuts,
    js_each,
    ks_cuts,
    ks_each,
    psi_cuts,
    psi_each,
    psi_tenths,
    recut,
    starts_of,
)
from whence.validation.features import FeatureStatistics
from whence.validation.types import HistogramSource


def near(found: object) -> object:
    """The same but for the last digits: some sums are made in another order."""
    return pytest.approx(found, rel=1e-9, abs=1e-12)


whole = st.lists(st.integers(-60, 60) | st.sampled_from([2**53, 2**60 + 1]), min_size=1, max_size=60)
real = st.lists(
    st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 1.7e308, -1.7e308]), min_size=1, max_size=60
)
columns = st.lists(st.tuples(whole, whole), min_size=1, max_size=5) | st.lists(
    st.tuples(real, real), min_size=1, max_size=5
)


@given(columns)
def test_sketches_beside_each_other_equal_one_by_one(given_: list[tuple[list[float], list[float]]]) -> None:
    pairs = [(Quantiles().add(a), Quantiles().add(b)) for a, b in given_]
    sides = [(a.entries(), b.entries()) for a, b in pairs]
    p, q = (entries_of([pair[i] for pair in sides]) for i in (0, 1))
    assert ks_each(p, q) == near([ks(a, b) for a, b in pairs])
    assert psi_tenths(p, q) == near([_psi_tenths(a, b) for a, b in pairs])
    for buckets in (1, 3, 10):
        made = [(equal_width(a, buckets=buckets), equal_width(b, buckets=buckets)) for a, b in pairs]
        if all(math.isfinite(b.high - b.low) for pair in made for h in pair for b in h.buckets):
            found = js_cuts(*recut(*(even_cuts(side, buckets, [0] * len(pairs)) for side in (p, q))))
            assert found == near([js_histograms(a, b) for a, b in made])


def _psi_tenths(p: Quantiles, q: Quantiles) -> float:
    """Shares between the different tenths of `q`, counted value by value."""
    edges = sorted({e for e in q.quantiles([i / 10 for i in range(1, 10)]) if e is not None})

    def shares(side: Quantiles) -> list[float]:
        values, weights = side.entries()
        cells = [0] * (len(edges) + 1)
        for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
            cells[sum(edge < value for edge in edges)] += weight
        return [c / side.n for c in cells]

    return psi(shares(q), shares(p))


@st.composite
def histograms(draw: st.DrawFn) -> Histogram:
    """Of sketches, of equal width or mass, with points, NaN and infinities."""
    values = draw(st.lists(st.integers(-5, 5) | st.sampled_from([-math.inf, math.inf]), min_size=1))
    make, n_nan = draw(st.sampled_from([equal_width, equal_mass])), draw(st.integers(0, 3))
    return make(Quantiles().add(values), buckets=draw(st.integers(1, 12)), n_nan=n_nan)


@given(st.lists(st.tuples(histograms(), histograms()), min_size=1, max_size=6))
def test_histograms_beside_each_other_equal_one_by_one(pairs: list[tuple[Histogram, Histogram]]) -> None:
    p, q = recut(*(cuts_of([pair[i] for pair in pairs]) for i in (0, 1)))
    assert js_cuts(p, q) == near([js_histograms(a, b) for a, b in pairs])
    full = [(a, b) for a, b in pairs if a.buckets and b.buckets]
    p, q = recut(*(cuts_of([pair[i] for pair in full]) for i in (0, 1)))
    assert psi_cuts(p, q) == near([psi_histograms(a, b) for a, b in full])
    assert ks_cuts(p, q) == near([ks_histograms(a, b) for a, b in full])


def test_histograms_whose_width_is_beyond_a_double() -> None:
    far = Histogram("STANDARD", (Bucket(-1.7e308, 1.7e308, 4),))
    half = Histogram("STANDARD", (Bucket(-1.7e308, 0.0, 4),))
    small = Histogram("STANDARD", (Bucket(0.0, 5e-324, 4),))
    found = js_cuts(*recut(cuts_of([far, far, small]), cuts_of([far, half, small])))
    assert found == [0.0, pytest.approx(js([0.5, 0.5], [1.0, 0.0])), 0.0]


shares = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1)


@given(st.lists(shares, min_size=1, max_size=5))
def test_stretches_of_shares(given_: list[list[tuple[int, int]]]) -> None:
    sides = [tuple(np.array(side) / (sum(side) or 1) for side in zip(*s, strict=True)) for s in given_]
    x, y = (np.concatenate([s[i] for s in sides]) for i in (0, 1))
    starts = starts_of([len(s) for s in given_])
    assert js_each(x, y, starts) == near([js(p, q) for p, q in sides])
    assert psi_each(x, y, starts) == near([psi(p, q) for p, q in sides])


# --- the whole ------------------------------------------------------------------------------------


def table(seed: int, n: int = 60) -> pa.Table:
    """Columns of every kind that is compared, some in two types, with NaN, infinities and heavy values."""
    random = np.random.default_rng(seed)
    floats = random.normal(seed, 1, n)
    odd = floats.copy()
    odd[:3] = [math.nan, math.inf, -math.inf]
    return pa.table(
        {
            "f": floats,
            "odd": odd,
            "int": random.integers(0, 9, n),
            "large": pa.array([2**63 + i for i in random.integers(0, 5, n).tolist()], pa.uint64()),
            "mixed": floats if seed % 2 else random.integers(0, 9, n),
            "same": np.full(n, 7.0),
            "heavy": np.where(random.random(n) < 0.8, 0.0, floats),
            "nan": np.full(n, math.nan) if seed % 2 else floats,
            "bool": random.random(n) < 0.5,
            "flag": (random.random(n) < 0.5) if seed % 2 else random.integers(0, 2, n),
            "word": random.choice(np.array(["a", "b", "c", "d", f"only {seed}"]), n),
            "bytes": pa.array([bytes([i % 5]) for i in range(n)]),
            "kind": pa.array(["x"] * n) if seed % 2 else floats,
            "none": pa.array([None] * n, pa.string()) if seed % 2 else pa.array(["x"] * n),
        }
    )


LIMITS = Schema()
for _name in ("f", "odd", "heavy", "word"):
    _source: HistogramSource = "QUANTILES" if _name in ("heavy", "odd") else "DEFAULT"
    _type: FeatureType = "STRING" if _name == "word" else "FLOAT"
    LIMITS = LIMITS.add(Feature(_name, _type, drift=Comparator(0.1, 0.1, 0.1, _source)))


@pytest.mark.parametrize("together", [1, 200, 1 << 17])
def test_a_column_is_compared_as_it_is_alone(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_module, "_ENTRIES", together)
    a, b = describe(table(1)), describe(table(2))
    found = compare_statistics(a, b, schema=LIMITS)
    alone: list[Distance] = []
    for name in a.features:
        x, y = (describe(table(seed).select([name])) for seed in (1, 2))
        alone += compare_statistics(x, y, schema=LIMITS)
    assert found == alone
    assert {d.metric for d in found if d.feature == "word"} >= {"normalized_abs_difference"}
    assert compare_statistics(Statistics.from_bytes(a.to_bytes()), b, schema=LIMITS) == found


def test_numbers_are_those_of_one_sketch_beside_another() -> None:
    a, b = describe(table(1)), describe(table(2))
    found = {(d.feature, d.metric): d.value for d in compare_statistics(a, b)}
    for name in ("f", "odd", "int", "large", "mixed", "same", "heavy", "flag"):
        x, y = (f.number for f in (a[name], b[name]) if isinstance(f, FeatureStatistics))
        assert x is not None
        assert y is not None
        assert found[name, "ks"] == near(ks(x.quantiles, y.quantiles))
        assert found[name, "psi"] == near(_psi_tenths(x.quantiles, y.quantiles))
        p, q = a[name].histogram, b[name].histogram
        assert p is not None
        assert q is not None
        assert found[name, "jensen_shannon_divergence"] == near(js_histograms(p, q))
