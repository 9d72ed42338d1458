from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.stats import oracles
from whence.errors import UsageError
from whence.stats import Count, IntegerMoments, MinMax, Moments
from whence.stats.base import decode, encode, numbers

TINY = 1e-150  # below it squares underflow
finite = st.floats(allow_nan=False, allow_infinity=False, width=64, min_value=-1e100, max_value=1e100)
any_float = st.floats(width=64)
int64 = st.integers(-(2**63), 2**63 - 1)


def split(values: list[Any], cuts: list[int]) -> list[list[Any]]:
    edges = [0, *sorted(c % (len(values) + 1) for c in cuts), len(values)]
    return [values[a:b] for a, b in itertools.pairwise(edges)]


def whole_and_parts(empty: Any, values: list[Any], cuts: list[int], make: Any) -> tuple[Any, Any]:
    merged = empty
    for part in split(values, cuts):
        merged = merged.merge(empty.add(make(part)))
    return empty.add(make(values)), merged


def floats(values: list[float]) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.float64)


def ints(values: list[int]) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.int64)


def round_trip(state: Any) -> Any:
    text = json.dumps(state.to_dict(), allow_nan=False)
    return type(state).from_dict(json.loads(text))


class TestCount:
    def test_counts_nulls_of_arrow_and_none_of_lists(self) -> None:
        assert Count().add(pa.array([1, None, 3])) == Count(2, 1)
        assert Count().add([None, None]) == Count(0, 2)
        assert Count().add(pa.chunked_array([[1], [None]])) == Count(1, 1)

    @given(st.lists(st.none() | int64), st.lists(st.integers(0, 50)))
    def test_merged_equals_whole(self, values: list[int | None], cuts: list[int]) -> None:
        whole, merged = whole_and_parts(Count(), values, cuts, lambda v: pa.array(v, pa.int64()))
        assert whole == merged == Count(sum(v is not None for v in values), sum(v is None for v in values))
        assert round_trip(whole) == whole


class TestMinMax:
    def test_infinities_take_part_and_nan_does_not(self) -> None:
        state = MinMax().add([math.nan, math.inf, -1.0])
        assert (state.low, state.high) == (-1.0, math.inf)
        assert round_trip(state) == state
        assert MinMax().add([math.nan]) == MinMax()

    @given(st.lists(any_float), st.lists(st.integers(0, 50)))
    def test_merged_equals_whole_equals_naive(self, values: list[float], cuts: list[int]) -> None:
        whole, merged = whole_and_parts(MinMax(), values, cuts, floats)
        kept = [v for v in values if not math.isnan(v)]
        assert whole == merged == (MinMax(min(kept), max(kept)) if kept else MinMax())

    @given(st.lists(int64))
    def test_integers_stay_integers(self, values: list[int]) -> None:
        state = MinMax().add(ints(values))
        assert (state.low, state.high) == ((min(values), max(values)) if values else (None, None))


class TestMoments:
    def test_no_values_have_no_mean(self) -> None:
        assert (Moments().mean, Moments().variance, Moments().std) == (None, None, None)

    def test_nan_and_infinities_are_left_out(self) -> None:
        state = Moments().add([1.0, math.nan, math.inf, 3.0])
        assert (state.n, state.mean, state.std) == (2, 2.0, 1.0)

    @given(st.lists(finite, min_size=1), st.lists(st.integers(0, 50)))
    def test_merged_equals_whole_equals_naive(self, values: list[float], cuts: list[int]) -> None:
        largest = max(map(abs, values)) or 1.0
        exact_mean, exact_variance = oracles.mean(values), oracles.variance(values)
        for state in whole_and_parts(Moments(), values, cuts, floats):
            assert state.n == len(values)
            assert state.mean == pytest.approx(exact_mean, abs=1e-12 * largest + TINY)
            assert state.variance == pytest.approx(exact_variance, abs=1e-12 * largest * largest + TINY)
        assert round_trip(state) == state

    @given(st.lists(finite, min_size=1), st.randoms(use_true_random=False))
    def test_order_does_not_matter(self, values: list[float], random: Any) -> None:
        largest = max(map(abs, values)) or 1.0
        shuffled = list(values)
        random.shuffle(shuffled)
        assert Moments().add(floats(values)).mean == pytest.approx(
            Moments().add(floats(shuffled)).mean, abs=1e-12 * largest + TINY
        )

    @given(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.lists(st.integers(0, 50))
    )
    def test_the_mean_of_finite_values_is_finite(self, values: list[float], cuts: list[int]) -> None:
        largest = max(map(abs, values))
        for state in whole_and_parts(Moments(), values, cuts, floats):
            assert state.mean == pytest.approx(oracles.mean(values), abs=1e-12 * largest + TINY)
            assert state.std is not None
            assert not math.isnan(state.std)
        assert round_trip(state) == state

    def test_beyond_the_largest_double(self) -> None:
        state = Moments().add([1.7e308, 1.7e308]).merge(Moments().add([-1.7e308, -1.7e308]))
        assert (state.n, state.mean, state.std) == (4, 0.0, math.inf)
        assert Moments().add([1.7e308] * 3).std == 0.0


class TestIntegerMoments:
    @given(st.lists(int64, min_size=1), st.lists(st.integers(0, 50)))
    def test_exact_at_any_size(self, values: list[int], cuts: list[int]) -> None:
        whole, merged = whole_and_parts(IntegerMoments(), values, cuts, ints)
        assert whole == merged == IntegerMoments(len(values), sum(values), sum(v * v for v in values))
        assert whole.mean == oracles.mean(values)
        assert whole.variance == oracles.variance(values)
        assert round_trip(whole) == whole

    @given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
    def test_unsigned(self, values: list[int]) -> None:
        state = IntegerMoments().add(pa.array(values, pa.uint64()))
        assert (state.total, state.squares) == (sum(values), sum(v * v for v in values))

    def test_floats_are_refused(self) -> None:
        with pytest.raises(UsageError, match=r"takes integers, got floats \(not-integer\)") as caught:
            IntegerMoments().add([1.5])
        assert caught.value.code == "not-integer"


class TestNumbers:
    @pytest.mark.parametrize(
        ("array", "expected"),
        [
            (pa.array([True, None, False]), [1, 0]),
            (pa.array([1, 2], pa.timestamp("s", "UTC")), [1_000_000, 2_000_000]),
            (pa.array([1, 2], pa.date32()), [1, 2]),
            (pa.array([86_400_000], pa.date64()), [1]),
            (pa.array([5], pa.time64("us")), [5]),
            (pa.array([5], pa.duration("ms")), [5000]),
            (pa.array([None, 1.5]), [1.5]),
            (pa.array(["1.25"]).cast(pa.decimal128(5, 2)), [1.25]),
            (pa.nulls(3), []),
        ],
    )
    def test_what_counts_as_a_number(self, array: pa.Array, expected: list[float]) -> None:
        assert numbers(array).tolist() == expected

    def test_text_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"values of type string are not numbers \(not-numeric\)"):
            numbers(["a"])
        with pytest.raises(UsageError, match="not-numeric"):
            numbers(np.array(["a"]))

    @given(any_float)
    def test_every_float_survives_json(self, value: float) -> None:
        back = decode(json.loads(json.dumps(encode(value), allow_nan=False)))
        assert back == value or (math.isnan(back) and math.isnan(value))
