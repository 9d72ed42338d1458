"""Statistics of parts, merged in any order, are those of the whole: with slices, weights, extras and samples."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.validation.test_extras import Total
from whence.errors import UsageError
from whence.validation import FeatureStatistics, Slice, Statistics, StatisticsOptions, describe

SCHEMA = pa.schema(
    {
        "c": pa.string(),
        "i": pa.int64(),
        "u": pa.uint64(),
        "s": pa.struct({"l": pa.list_(pa.list_(pa.int8()))}),
        "w": pa.int16(),
    }
)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "c": st.none() | st.sampled_from(["a", "b", "ü", ""]),
            "i": st.none() | st.integers(-(2**63), 2**63 - 1),
            "u": st.none() | st.integers(0, 2**64 - 1),
            "s": st.none()
            | st.fixed_dictionaries(
                {
                    "l": st.none()
                    | st.lists(st.none() | st.lists(st.none() | st.integers(-2, 2), max_size=2), max_size=2)
                }
            ),
            "w": st.integers(0, 5),
        }
    ),
    max_size=10,
)
OPTIONS = StatisticsOptions(
    slices=(Slice(by=("c",)), Slice(by=("c", "w"))), weight="w", extras=(Total("w"),), categorical=("w",)
)


def told(s: Statistics) -> dict[str, Any]:
    """The summary; deviations of weights are 0 only up to the rounding of sums, and are looked at apart."""
    out: dict[str, Any] = s.summary()
    for part in (out, *out["slices"].values()):
        for feature in part["features"]:
            feature.get("weighted", {}).pop("std_dev", None)
    return out


def same(have: Any, want: Any) -> None:
    """Equal, floats up to the rounding of their sums."""
    if isinstance(want, dict):
        assert have.keys() == want.keys()
        for key in want:
            same(have[key], want[key])
    elif isinstance(want, list):
        assert len(have) == len(want)
        for a, b in zip(have, want, strict=True):
            same(a, b)
    elif isinstance(want, float):
        assert have == pytest.approx(want, rel=1e-9, abs=1e-9)
    else:
        assert have == want


@settings(max_examples=30, deadline=None)
@given(rows, st.lists(st.integers(0, 10), max_size=3), st.randoms(use_true_random=False))
def test_any_split_in_any_order(data: list[dict[str, Any]], cuts: list[int], random: Any) -> None:
    whole = describe(pa.Table.from_pylist(data, schema=SCHEMA), options=OPTIONS)
    shuffled = list(data)
    random.shuffle(shuffled)
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    parts = [
        describe(pa.Table.from_pylist(shuffled[a:b], schema=SCHEMA), options=OPTIONS)
        for a, b in itertools.pairwise(edges)
    ]
    random.shuffle(parts)
    merged = functools.reduce(Statistics.merge, parts)
    stored = functools.reduce(Statistics.merge, [Statistics.from_bytes(p.to_bytes()) for p in parts])
    for made in (merged, stored):
        same(told(made), told(whole))
    for f in whole:
        assert merged[f.name].levels == f.levels
        assert merged[f.name].rank_histogram == f.rank_histogram
        assert merged[f.name].num_values_histogram == f.num_values_histogram
        std = None if f.weighted is None else f.weighted.std_dev
        again = merged[f.name].weighted
        assert again is not None
        assert again.std_dev == (None if std is None else pytest.approx(std, rel=1e-6, abs=1e5))


def ints(values: list[int], kind: pa.DataType) -> Statistics:
    return describe(pa.table({"x": pa.array(values, kind)}))


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=12),
    st.lists(st.integers(0, 2**64 - 1) | st.integers(2**64 - 4, 2**64 - 1), max_size=12),
)
def test_integers_of_two_types_stay_exact(signed: list[int], unsigned: list[int]) -> None:
    both = ints(signed, pa.int64()).merge(ints(unsigned, pa.uint64()))
    values = signed + unsigned
    other = ints(unsigned, pa.uint64()).merge(ints(signed, pa.int64()))
    for s in (both, other, Statistics.from_bytes(both.to_bytes())):
        x = s["x"]
        assert x.value_counts() == Counter(values)
        assert (x.num_unique, x.unique_is_exact) == (len(set(values)), True)
        assert (x.min, x.max) == ((min(values), max(values)) if values else (None, None))
        assert x.median == (sorted(values)[(len(values) - 1) // 2] if values else None)
        assert x.mean == (sum(values) / len(values) if values else None)
        assert sum(n for _, n in x.top_values(100)) == len(values)
        assert x.histogram is not None
        assert x.histogram.n == len(values)


def test_many_integers_of_two_types_stay_exact() -> None:
    low, high = list(range(-(2**63), -(2**63) + 3_000)), list(range(2**64 - 3_000, 2**64))
    both = ints(low, pa.int64()).merge(ints(high, pa.uint64())).merge(ints(low[:10], pa.int64()))
    again = Statistics.from_bytes(both.to_bytes())
    for s in (both, again, again.merge(both)):
        x = s["x"]
        assert (x.num_unique, x.unique_is_exact, x.min, x.max) == (6_000, True, low[0], high[-1])
        assert set(x.value_counts() or ()) == {*low, *high}
        assert x.top_values(1)[0][0] == low[0]
        assert x.median in range(low[0], low[0] + 3_000)
    few = StatisticsOptions(exact_limit=100)
    rest = describe(pa.table({"x": pa.array(low, pa.int64())}), options=few)
    x = rest.merge(describe(pa.table({"x": pa.array(high, pa.uint64())}), options=few)).merge(both)["x"]
    assert not x.unique_is_exact
    assert x.num_unique == pytest.approx(6_000, rel=0.05)


@pytest.mark.parametrize(
    "kind", [pa.timestamp("ns"), pa.time64("ns"), pa.duration("ns"), pa.list_(pa.timestamp("ns", "UTC"))]
)
def test_times_finer_than_a_microsecond_are_counted(kind: pa.DataType) -> None:
    fine: list[Any] = [1_000, 1_001, 2_999, 5_000]
    whole: list[Any] = [1_000, 1_000, 2_000, 5_000]
    if pa.types.is_list(kind):
        fine, whole = [fine], [whole]
    whole_kind = pa.list_(pa.int64()) if pa.types.is_list(kind) else pa.int64()
    parts = [describe(pa.table({"x": pa.array(v, whole_kind).cast(kind)})) for v in (fine, whole)]
    (cut, plain), (x, y) = parts, [part["x"] for part in parts]
    assert isinstance(x, FeatureStatistics)
    assert isinstance(y, FeatureStatistics)
    assert (x.num_rounded, x.unique_is_exact, x.value_counts()) == (2, False, None)
    assert (y.num_rounded, y.unique_is_exact, y.num_unique) == (0, True, 3)
    assert (x.min, x.max) == (y.min, y.max)
    both = Statistics.from_bytes(cut.merge(plain).merge(cut).to_bytes())
    assert both.summary()["features"][0]["num_rounded"] == 4
    assert "num_rounded" not in plain.summary()["features"][0]


def test_decimals_beyond_a_double_are_not_called_exact() -> None:
    def one(values: list[str], kind: pa.DataType) -> Any:
        return describe(pa.table({"x": pa.array([Decimal(v) for v in values], kind)}))["x"]

    ids = one([str(10**18 + i) for i in range(5)], pa.decimal128(20, 0))
    assert (ids.num_rounded, ids.num_unique, ids.unique_is_exact) == (4, 1, False)
    for kind in (pa.decimal128(10, 2), pa.decimal128(38, 10), pa.decimal256(76, 20)):
        money = one(["0.10", "12.34", "-99999.99"], kind)
        assert (money.num_rounded, money.num_unique, money.unique_is_exact) == (0, 3, True)


def test_times_are_cut_down_and_never_wrap() -> None:
    x = describe(pa.table({"x": pa.array([-1], pa.timestamp("ns"))}))["x"]
    assert x.min == datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)
    for kind in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.duration("s"), pa.duration("us")):
        scale = {"s": 1_000_000, "ms": 1_000, "us": 1}[kind.unit]
        assert describe(pa.table({"x": pa.array([5, None, 7], kind)}))["x"].max == 7 * scale
    for kind, value in ((pa.duration("s"), 2**62), (pa.timestamp("ms"), -(2**60))):
        with pytest.raises(UsageError, match=r"column 'x': a .* is too far from 0 .*\(bad-data\)"):
            describe(pa.table({"x": pa.array([0, value], kind)}))


def test_there_are_no_more_different_values_than_values() -> None:
    few = StatisticsOptions(exact_limit=10)
    for values in ([float(i) for i in range(5_000)], [str(i) for i in range(5_000)]):
        for n in range(100, 5_000, 700):
            x = describe(pa.table({"x": values[:n]}), options=few)["x"]
            assert (x.num_unique or 0) <= n


numbers = st.lists(st.integers(-50, 50) | st.integers(-(2**62), 2**62), max_size=12)


@given(numbers, st.lists(st.floats(-60, 60, width=16) | st.floats(width=32), max_size=12))
def test_whole_numbers_and_others_are_floats_together(whole: list[int], others: list[float]) -> None:
    options = StatisticsOptions(weight="w")

    def of(values: list[Any], kind: pa.DataType) -> Statistics:
        w = pa.array([1.0] * len(values), pa.float64())
        return describe(pa.table({"x": pa.array(values, kind), "w": w}), options=options)

    a, b = of(whole, pa.int64()), of(others, pa.float64())
    want = of([*map(float, whole), *others], pa.float64())["x"]
    for s in (a.merge(b), b.merge(a), Statistics.from_bytes(a.merge(b).merge(describe(ROW)).to_bytes())):
        x = s["x"]
        assert isinstance(x, FeatureStatistics)
        assert (x.type, x.min, x.max, x.median) == ("FLOAT", want.min, want.max, want.median)
        assert (x.num_zeros, x.num_nan, x.num_inf, x.num_unique) == (
            want.num_zeros,
            want.num_nan,
            want.num_inf,
            want.num_unique,
        )
        assert x.num_rounded == sum(int(float(v)) != v for v in whole)
        if not x.num_rounded:
            assert x.value_counts() == want.value_counts()
        assert x.histogram == want.histogram
        assert x.quantile_histogram == want.quantile_histogram
        assert (x.mean is None) == (want.mean is None)
        if x.mean is not None:
            largest = max(map(abs, (*whole, *(o for o in others if math.isfinite(o)), 1)))
            assert x.mean == pytest.approx(want.mean, rel=1e-12, abs=1e-12 * largest)
            assert x.std_dev == pytest.approx(want.std_dev, rel=1e-9, abs=1e-7 * largest)


ROW = pa.table({"x": pa.array([], pa.float64())})


def test_many_whole_numbers_and_others() -> None:
    whole, others = describe(pa.table({"x": range(5_000)})), describe(pa.table({"x": [0.5, 7.0]}))
    for s in (whole.merge(others), others.merge(whole)):
        x = s["x"]
        assert (x.num_unique, x.unique_is_exact, x.top_values(1)) == (5_001, True, [(7.0, 2)])


@pytest.mark.parametrize("start", [0, 2**53 - 5_000, -(2**63), 2**63 - 6_000])
def test_more_whole_numbers_than_the_limit_and_others(start: int) -> None:
    few = StatisticsOptions(exact_limit=100)
    ids = [start + i for i in range(10_000)]
    kind = pa.int64() if start < 2**62 else pa.uint64()

    def of(values: pa.Array) -> Statistics:
        return describe(pa.table({"x": values}), options=few)

    whole = of(pa.array(ids[:7_000], kind)).merge(of(pa.array(ids[7_000:], kind)))
    whole = Statistics.from_bytes(whole.to_bytes())
    others = of(pa.array([0.5, 7.0, math.inf]))
    want = of(pa.array([*map(float, ids), 0.5, 7.0, math.inf]))["x"]
    for s in (whole.merge(others), others.merge(whole)):
        x = s["x"]
        assert isinstance(x, FeatureStatistics)
        assert (x.type, x.num_unique, x.unique_is_exact) == ("FLOAT", want.num_unique, False)
        assert (x.min, x.max) == (want.min, want.max)
        assert x.mean == pytest.approx(want.mean, rel=1e-12)
        assert x.num_rounded == sum(int(float(v)) != v for v in ids)
        assert x.rank_error < 0.01
        assert Statistics.from_bytes(s.to_bytes())["x"].num_unique == want.num_unique


def test_what_was_stored_without_doubles_says_the_way_out() -> None:
    few = StatisticsOptions(exact_limit=100)
    whole = describe(pa.table({"x": range(5_000)}), options=few).to_dict()
    del whole["features"][0]["number"]["doubled"]
    others = describe(pa.table({"x": [0.5]}), options=few)
    with pytest.raises(UsageError, match=r"stored before .*\(not-mergeable\)\. Hint: describe the rows"):
        Statistics.from_dict(whole).merge(others)
