from __future__ import annotations

import json
import math
from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.stats import oracles
from tests.unit.stats.test_states import floats, split
from whence.errors import UsageError
from whence.stats import Quantiles, equal_mass, equal_width

numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9)


def rank_gap(ordered: list[float], answer: float, q: float) -> float:
    """How far the answer's ranks are from the wanted one, as a fraction of n."""
    n = len(ordered)
    low, high = bisect_left(ordered, answer) + 1, bisect_right(ordered, answer)
    wanted = max(1, math.ceil(q * n))
    return max(0, low - wanted, wanted - high) / n


@given(st.lists(numbers, min_size=1), st.floats(0, 1), st.lists(st.integers(0, 50)))
def test_exact_while_few_values_differ(values: list[float], q: float, cuts: list[int]) -> None:
    merged = Quantiles()
    for part in split(values, cuts):
        merged = merged.merge(Quantiles().add(floats(part)))
    assert merged.exact
    assert merged.n == len(values)
    assert merged.quantile(q) == oracles.quantile(values, q)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["uniform", "heavy", "ties", "sorted", "reversed"]),
    st.lists(st.integers(0, 60_000), max_size=12),
    st.integers(16, 256),
)
def test_no_rank_is_further_off_than_stated(seed: int, shape: str, cuts: list[int], size: int) -> None:
    random = np.random.default_rng(seed)
    values = {
        "uniform": lambda: random.random(20_000),
        "heavy": lambda: random.standard_cauchy(20_000),
        "ties": lambda: np.round(random.exponential(50, 20_000)),
        "sorted": lambda: np.sort(random.random(20_000)),
        "reversed": lambda: np.sort(random.random(20_000))[::-1],
    }[shape]()
    sketch = Quantiles(size=size)
    for part in split(list(values), cuts):
        sketch = sketch.merge(Quantiles(size=size).add(floats(part)))
    ordered = sorted(values.tolist())
    for stored in (
        sketch,
        sketch.sealed(size),
        Quantiles.from_dict(json.loads(json.dumps(sketch.to_dict()))),
    ):
        assert stored.n == len(ordered)
        assert int(stored.entries()[1].sum()) == len(ordered)
        for q in (0.0, 0.001, 0.01, 0.25, 0.5, 0.9, 0.999, 1.0):
            answer = stored.quantile(q)
            assert answer is not None
            assert rank_gap(ordered, answer, q) <= stored.rank_error + 1e-9


def test_a_million_in_pieces_stays_within_one_in_a_hundred() -> None:
    random = np.random.default_rng(7)
    sketch = Quantiles()
    for _ in range(200):
        sketch = sketch.add(random.standard_normal(5_000))
    assert sketch.n == 1_000_000
    assert 0 < sketch.rank_error < 0.01
    assert sum(len(p.values) for p in sketch.parts) < 40_000
    assert sketch.quantile(0.5) == pytest.approx(0.0, abs=0.01)


def test_tails_are_finer_than_the_middle() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1_000_000, dtype=np.float64))
    sketch = Quantiles().add(values)
    tail = sketch.quantile(0.9999)
    assert tail is not None
    assert abs(tail - 999_900) / 1_000_000 < 0.00002


def test_same_values_same_sketch() -> None:
    values = np.random.default_rng(3).random(30_000)
    a, b = Quantiles().add(values), Quantiles().add(values[::-1])
    assert a.to_dict() == b.to_dict()


def test_integers_stay_integers_and_zero_is_one_value() -> None:
    big = 2**62 + 1
    assert Quantiles().add([big, big]).quantile(0.5) == big
    assert Quantiles().add([-0.0, 0.0]).entries()[0].tolist() == [0.0]
    assert str(Quantiles().add([-0.0]).quantile(0.5)) == "0.0"


def test_infinities_take_part_nan_does_not() -> None:
    sketch = Quantiles().add([math.inf, -math.inf, 0.0, math.nan])
    assert sketch.n == 3
    assert sketch.quantiles([0.0, 0.5, 1.0]) == [-math.inf, 0.0, math.inf]
    assert Quantiles.from_dict(json.loads(json.dumps(sketch.to_dict()))).quantile(0) == -math.inf


def test_nothing_has_no_quantile_and_a_bad_one_is_refused() -> None:
    assert Quantiles().quantile(0.5) is None
    with pytest.raises(UsageError, match=r"a quantile lies between 0 and 1, got \[1.5\] \(bad-quantile\)"):
        Quantiles().quantile(1.5)


def test_rank_counts_what_is_not_greater() -> None:
    sketch = Quantiles().add([1, 2, 2, 3])
    assert [sketch.rank(v) for v in (0, 1, 2, 2.5, 3)] == [0, 1, 3, 3, 4]


class TestHistograms:
    @given(st.lists(numbers, min_size=1), st.integers(1, 12))
    def test_equal_width_counts_every_value_once(self, values: list[float], buckets: int) -> None:
        h = equal_width(Quantiles().add(floats(values)), buckets=buckets)
        assert h.n == len(values)
        assert (h.edges[0], h.edges[-1]) == (min(values), max(values))
        for i, b in enumerate(h.buckets):
            last = i == len(h.buckets) - 1
            naive = sum(b.low <= v < b.high or (last and v == b.high) for v in values)
            assert b.count == naive

    def test_equal_mass_cuts_at_quantiles(self) -> None:
        h = equal_mass(Quantiles().add(np.arange(100)), buckets=4)
        assert h.edges == [0.0, 24.0, 49.0, 74.0, 99.0]
        assert [b.count for b in h.buckets] == [25.0] * 4

    def test_what_is_no_number_has_its_own_cell(self) -> None:
        h = equal_width(Quantiles().add([1.0, math.inf, -math.inf, -math.inf]), n_nan=5)
        assert (h.n_nan, h.n_low, h.n_high, h.n) == (5, 2, 1, 9)
        assert [(b.low, b.high, b.count) for b in h.buckets] == [(1.0, 1.0, 1)]

    def test_empty_and_bad(self) -> None:
        assert equal_width(Quantiles()).buckets == ()
        assert equal_mass(Quantiles()).buckets == ()
        with pytest.raises(UsageError, match="bad-buckets"):
            equal_width(Quantiles(), buckets=0)

    def test_wider_range(self) -> None:
        h = equal_width(Quantiles().add([2.0, 3.0]), buckets=2, low=0, high=4)
        assert [(b.low, b.high, b.count) for b in h.buckets] == [(0.0, 2.0, 0), (2.0, 4.0, 2)]

    def test_round_trip(self) -> None:
        h: Any = equal_width(Quantiles().add([1.0, 2.0, math.inf]), n_nan=1)
        assert type(h).from_dict(json.loads(json.dumps(h.to_dict()))) == h
