"""Distances on fixed cells equal those of the rows, or say how far they may be off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import UsageError
from whence.stats import cells_of, count_cells, divergences, js, js_of, ks_bracket, ks_low

VALUES = st.lists(st.integers(-20, 20).map(lambda v: v / 4), min_size=1, max_size=60)


def exact_ks(a: np.ndarray, b: np.ndarray) -> float:
    grid = np.sort(np.concatenate([a, b]))
    left = np.searchsorted(np.sort(a), grid, side="right") / len(a)
    return float(np.abs(left - np.searchsorted(np.sort(b), grid, side="right") / len(b)).max())


@given(VALUES, VALUES, st.lists(st.integers(-6, 6), min_size=1, max_size=9, unique=True))
def test_the_exact_statistic_lies_in_the_bracket(a: list[float], b: list[float], edges: list[int]) -> None:
    x, y, cuts = np.array(a), np.array(b), np.sort(np.array(edges, dtype=float))
    low, high = ks_bracket(count_cells(x, cuts), count_cells(y, cuts), [0])
    assert low[0] - 1e-12 <= exact_ks(x, y) <= high[0] + 1e-12


@given(VALUES, VALUES)
def test_the_bracket_is_exact_when_each_value_is_an_edge(a: list[float], b: list[float]) -> None:
    x, y = np.array(a), np.array(b)
    cuts = np.unique(np.concatenate([x, y]))
    low, high = ks_bracket(count_cells(x, cuts), count_cells(y, cuts), [0])
    assert low[0] == pytest.approx(exact_ks(x, y))
    assert high[0] == pytest.approx(low[0])


@given(VALUES, VALUES)
def test_counts_add_up(a: list[float], b: list[float]) -> None:
    cuts = np.array([-2.0, 0.0, 0.25, 3.0])
    both = count_cells(np.array(a + b), cuts)
    assert (count_cells(np.array(a), cuts) + count_cells(np.array(b), cuts) == both).all()
    assert both.sum() == len(a) + len(b)
    naive = [sum(v < -2 for v in a + b), sum(v == -2 for v in a + b)]
    assert both[:2].tolist() == naive


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=8))
def test_columns_side_by_side_are_columns_alone(cells: list[tuple[int, int]]) -> None:
    p, q = np.array([c[0] for c in cells]), np.array([c[1] for c in cells])
    cut = len(cells) // 2
    whole = divergences(p, q, [0, cut])
    for i, part in enumerate((slice(0, cut), slice(cut, None))):
        alone = divergences(p[part], q[part], [0])
        for name in ("kl", "js", "psi", "chi2"):
            assert getattr(whole, name)[i] == pytest.approx(getattr(alone, name)[0], nan_ok=True)
        if p[part].sum() and q[part].sum():
            shares = (p[part] / p[part].sum()).tolist(), (q[part] / q[part].sum()).tolist()
            assert alone.js[0] == pytest.approx(js(*shares), abs=1e-12)
        else:
            assert np.isnan(alone.js[0])


def test_psi_of_two_samples_of_one_distribution_is_zero_on_average() -> None:
    rng = np.random.default_rng(5)
    shares = np.full(10, 0.1)
    found = [
        divergences(rng.multinomial(5000, shares), rng.multinomial(300, shares), [0]).psi[0]
        for _ in range(400)
    ]
    assert abs(float(np.mean(found))) < 0.003
    assert min(found) < 0 < max(found)


def test_columns_must_begin_at_zero() -> None:
    with pytest.raises(UsageError) as caught:
        divergences(np.ones(3), np.ones(3), [1])
    assert caught.value.code == "bad-cells"


@given(VALUES, st.lists(st.integers(-6, 6), max_size=9, unique=True))
def test_cells_one_by_one_are_those_counted(values: list[float], edges: list[int]) -> None:
    x, cuts = np.array(values), np.sort(np.array(edges, dtype=float))
    counted = np.bincount(cells_of(x, cuts), minlength=2 * len(cuts) + 1)
    assert counted.tolist() == count_cells(x, cuts).tolist()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=6, max_size=12))
def test_one_distance_alone_is_that_of_all_together(cells: list[tuple[int, int]]) -> None:
    p, q = np.array([c[0] for c in cells]), np.array([c[1] for c in cells])
    np.testing.assert_array_equal(ks_low(p, q, [0, 3]), ks_bracket(p, q, [0, 3])[0])
    np.testing.assert_array_equal(js_of(p, q, [0, 3]), divergences(p, q, [0, 3]).js)
    assert len(ks_low(p, q, [])) == len(js_of(p, q, [])) == 0
