from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from whence.errors import UsageError
from whence.stats import (
    Bucket,
    Histogram,
    Quantiles,
    align,
    equal_width,
    js,
    js_counts,
    js_histograms,
    kl,
    ks,
    ks_histograms,
    l_infinity,
    psi,
    psi_counts,
    psi_histograms,
)

counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 20), min_size=1)
numbers = st.lists(st.integers(-50, 50), min_size=1)


@given(counts, counts)
def test_distances_of_counts(p: dict[str, int], q: dict[str, int]) -> None:
    assume(sum(p.values()) and sum(q.values()))
    gap, at = l_infinity(p, q)
    naive = {v: abs(p.get(v, 0) / sum(p.values()) - q.get(v, 0) / sum(q.values())) for v in {*p, *q}}
    assert gap == pytest.approx(max(naive.values()))
    assert naive[str(at)] == pytest.approx(gap)
    assert js_counts(p, q) == pytest.approx(js_counts(q, p))
    assert 0.0 <= js_counts(p, q) <= 1.0
    assert psi_counts(p, q) == pytest.approx(psi_counts(q, p), abs=1e-12)
    assert psi_counts(p, p) == 0.0
    assert js_counts(p, p) == 0.0


def test_known_values() -> None:
    # p = (1/2, 1/2), q = (1/4, 3/4), m = (3/8, 5/8): by hand
    expected = 0.5 * (0.5 * math.log2(4 / 3) + 0.5 * math.log2(0.8)) + 0.5 * (
        0.25 * math.log2(2 / 3) + 0.75 * math.log2(1.2)
    )
    assert js([0.5, 0.5], [0.25, 0.75]) == pytest.approx(expected, abs=1e-15)
    assert kl([0.5, 0.5], [0.25, 0.75]) == pytest.approx(0.5 * math.log2(2) + 0.5 * math.log2(2 / 3))
    assert kl([1.0], [0.0]) == math.inf
    assert psi([1.0, 0.0], [0.0, 1.0]) == pytest.approx(2 * (1 - 1e-4) * math.log(1e4))


@given(numbers, numbers)
def test_ks_equals_naive(a: list[int], b: list[int]) -> None:
    naive = max(abs(sum(v <= x for v in a) / len(a) - sum(v <= x for v in b) / len(b)) for x in {*a, *b})
    assert ks(Quantiles().add(a), Quantiles().add(b)) == pytest.approx(naive, abs=1e-12)


@given(numbers, numbers)
def test_aligned_histograms_keep_their_mass(a: list[int], b: list[int]) -> None:
    p, q = equal_width(Quantiles().add(a)), equal_width(Quantiles().add(b), n_nan=2)
    x, y = align(p, q)
    assert len(x) == len(y)
    assert sum(x) == pytest.approx(1.0)
    assert sum(y) == pytest.approx(1.0)
    assert 0.0 <= js_histograms(p, q) <= 1.0
    assert js_histograms(p, p) == 0.0
    assert 0.0 <= ks_histograms(p, q) <= 1.0


def test_point_masses_and_nan_stand_alone() -> None:
    point = Histogram("STANDARD", (Bucket(1.0, 1.0, 4),))
    spread = Histogram("STANDARD", (Bucket(0.0, 2.0, 4),))
    assert js_histograms(point, spread) == pytest.approx(1.0)
    assert js_histograms(Histogram("STANDARD", (), n_nan=3), spread) == 1.0
    assert psi_histograms(spread, spread) == 0.0


def test_ks_of_histograms_is_near_that_of_values() -> None:
    random = np.random.default_rng(2)
    a, b = Quantiles().add(random.normal(0, 1, 5_000)), Quantiles().add(random.normal(0.5, 1, 5_000))
    assert ks_histograms(equal_width(a, buckets=200), equal_width(b, buckets=200)) == pytest.approx(
        ks(a, b), abs=0.02
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: l_infinity({}, {"a": 1}),
        lambda: js_histograms(Histogram("STANDARD"), Histogram("STANDARD")),
        lambda: ks(Quantiles(), Quantiles().add([1])),
        lambda: ks_histograms(Histogram("STANDARD"), equal_width(Quantiles().add([1]))),
    ],
)
def test_nothing_has_no_distance(call: object) -> None:
    assert callable(call)
    with pytest.raises(UsageError, match=r"a distance needs values on both sides \(empty-distribution\)"):
        call()
