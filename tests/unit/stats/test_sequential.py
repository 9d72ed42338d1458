"""Predictive p-values are uniform, and e-values are worth what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import UsageError
from whence.stats import Running, e_from_p, student_quantile, student_sf, symmetric_bets


@pytest.mark.parametrize(
    ("t", "df", "tail"),
    [
        (1.0, 1, 0.25),
        (12.706204736, 1, 0.025),
        (2.228138852, 10, 0.025),
        (3.169272673, 10, 0.005),
        (-1.0, 1, 0.75),
    ],
)
def test_tails_are_those_of_the_tables(t: float, df: float, tail: float) -> None:
    assert student_sf(t, df) == pytest.approx(tail, rel=1e-8)


@given(st.floats(1e-9, 0.5), st.integers(1, 200))
def test_quantiles_invert_tails(p: float, df: int) -> None:
    assert student_sf(student_quantile(p, df), df) == pytest.approx(p, rel=1e-6)


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(UsageError) as degrees:
        student_sf(1, 0)
    with pytest.raises(UsageError) as probability:
        student_quantile(0.7, 3)
    assert (degrees.value.code, probability.value.code) == ("bad-degrees", "bad-probability")


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_running_moments_are_those_of_all(values: list[float]) -> None:
    seen = Running()
    for value in values:
        seen = seen.add(value)
    assert seen.mean == pytest.approx(float(np.mean(values)), abs=1e-6)
    assert seen.sd == pytest.approx(float(np.std(values, ddof=1)), abs=1e-6)


def test_each_next_p_value_is_uniform_although_spread_is_estimated() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(400):
        seen = Running()
        for i, x in enumerate(rng.normal(2, 5, 14)):
            if i >= 8:
                found.append(seen.p_above(float(x)))
            seen = seen.add(float(x))
    for level in (0.01, 0.1, 0.5):
        assert np.mean(np.array(found) <= level) == pytest.approx(level, abs=0.02)


def test_a_level_is_exceeded_with_its_probability() -> None:
    seen = Running().add(1.0).add(2.0).add(4.0)
    level = seen.level(0.01)
    assert level is not None
    assert seen.p_above(level) == pytest.approx(0.01)
    assert seen.p_above(level, max_df=1) > 0.01
    assert (Running().level(0.1), Running().p_above(3.0), Running().p_either(3.0)) == (None, 1.0, 1.0)


def test_e_values_are_one_on_average() -> None:
    grid = (np.arange(200_000) + 0.5) / 200_000
    assert np.mean([e_from_p(float(p)) for p in grid]) <= 1.0 + 1e-3
    rng = np.random.default_rng(4)
    for x in (rng.normal(size=20_000), rng.standard_t(2, size=20_000), rng.choice([-1.0, 1.0], 20_000)):
        bets = np.array([symmetric_bets(float(v)) for v in x])
        assert (bets.mean(axis=0) <= 1.0 + 4 * bets.std(axis=0) / math.sqrt(len(x))).all()


@given(st.floats(1e-12, 1.0), st.floats(1e-12, 1.0))
def test_less_likely_is_more_evidence(a: float, b: float) -> None:
    if a < b:
        assert e_from_p(a) >= e_from_p(b) - 1e-3
