from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.stats import js_counts, l_infinity
from whence.validation import Comparator, Distance, Feature, Schema, compare_statistics, describe


def by_metric(a: Any, b: Any, **options: Any) -> dict[str, Distance]:
    found = compare_statistics(describe(pa.table({"c": a})), describe(pa.table({"c": b})), **options)
    return {d.metric: d for d in found}


words = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1)


@given(words, words)
def test_text_equals_naive_shares(a: list[str], b: list[str]) -> None:
    found = by_metric(a, b)
    p, q = ({v: side.count(v) for v in side} for side in (a, b))
    assert found["infinity_norm"].value == pytest.approx(l_infinity(p, q)[0])
    assert found["jensen_shannon_divergence"].value == pytest.approx(js_counts(p, q))
    assert set(found) == {"infinity_norm", "jensen_shannon_divergence", "psi"}


@given(words)
def test_the_same_is_at_distance_zero(a: list[str]) -> None:
    assert {d.value for d in by_metric(a, a[::-1]).values()} == {0.0}


def test_numbers() -> None:
    random = np.random.default_rng(11)
    a, b = random.normal(0, 1, 4_000), random.normal(1, 1, 4_000)
    found = by_metric(a, b)
    assert found["infinity_norm"].value is None
    assert found["infinity_norm"].reason == "the infinity norm compares shares of values, not numbers"
    # the largest gap between N(0,1) and N(1,1) is 2 * Phi(1/2) - 1
    assert found["ks"].value == pytest.approx(math.erf(0.5 / math.sqrt(2)), abs=0.03)
    js, psi = found["jensen_shannon_divergence"].value, found["psi"].value
    assert js is not None
    assert psi is not None
    assert 0.1 < js < 0.3
    assert 0.5 < psi < 1.5
    same = by_metric(a, a)
    assert [same[m].value for m in ("jensen_shannon_divergence", "psi", "ks")] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ([1], pa.array([1], pa.timestamp("us", "UTC")), "INT cannot be compared with TIMESTAMP"),
        ([1], pa.array([None], pa.string()), "one side has no values"),
        (
            pa.array([1], pa.timestamp("us", "UTC")),
            pa.array([2], pa.timestamp("us", "UTC")),
            "times move by nature",
        ),
        ([{"x": 1}], [{"x": 2}], "structures are not compared"),
        (pa.array([None], pa.int64()), pa.array([1]), "one side has no values"),
    ],
)
def test_what_has_no_meaning_says_why(a: Any, b: Any, reason: str) -> None:
    found = compare_statistics(describe(pa.table({"c": a})), describe(pa.table({"c": b})))
    assert {(d.value, d.reason) for d in found if d.feature == "c"} == {(None, reason)}


@pytest.mark.parametrize(
    ("a", "b"), [([1, 2], ["x", "y"]), (["x", "y"], [1.5, 2.5]), (["x", "y"], [True, False])]
)
def test_text_against_numbers_has_nothing_in_common(a: Any, b: Any) -> None:
    found = by_metric(a, b)
    for metric in ("infinity_norm", "normalized_abs_difference"):
        if metric in found:
            assert (found[metric].value, found[metric].at) == (0.5, "x")
    kinds = {describe(pa.table({"c": v}))["c"].type for v in (a, b)}
    assert found["psi"].value is None
    assert set(str(found["psi"].reason).split(" cannot be compared with ")) == kinds


def test_whole_numbers_are_compared_with_others() -> None:
    whole, other = [1000, 2000] * 50, [1.5, 2.5, 3.5] * 50
    assert by_metric(whole, other)["jensen_shannon_divergence"].value == 1.0
    assert by_metric(other, whole)["jensen_shannon_divergence"].value == 1.0
    assert by_metric([1, 2, 2], [1.0, 2.0, 2.0])["ks"].value == 0.0
    assert by_metric([True, False], [1, 0])["jensen_shannon_divergence"].value == 0.0
    assert by_metric([1, 1], [False, False])["jensen_shannon_divergence"].value == 1.0


def test_of_a_column_that_is_not_checked_no_threshold_is_told() -> None:
    a, b = describe(pa.table({"c": ["x"]})), describe(pa.table({"c": ["y"]}))
    checked = Schema().add(Feature("c", "STRING", drift=Comparator(0.1)))
    for schema, limit in ((checked, 0.1), (checked.edit("c", lifecycle_stage="DEPRECATED"), None)):
        assert compare_statistics(a, b, schema=schema)[0].threshold == limit


def test_ties_go_to_the_most_frequent_then_the_smallest() -> None:
    found = by_metric(["b", "a", "c", "c"], ["d", "d", "d", "d"])
    assert (found["infinity_norm"].value, found["infinity_norm"].at) == (1.0, "d")
    assert by_metric(["b", "a"], ["d", "e"])["infinity_norm"].at == "a"
    assert by_metric(["b", "b", "a", "a", "c"], ["c", "c", "c", "c", "b"])["infinity_norm"].at == "c"


def test_only_nan() -> None:
    found = by_metric([math.nan], [1.0])
    assert found["jensen_shannon_divergence"].value == 1.0
    assert (found["psi"].value, found["ks"].reason) == (None, "one side has only NaN")


def test_thresholds_come_from_the_schema() -> None:
    schema = Schema().add(Feature("c", "STRING")).edit("c", drift_threshold=0.4)
    found = by_metric(["a"], ["b"], schema=schema)
    assert (found["infinity_norm"].threshold, found["infinity_norm"].exceeds) == (0.4, True)
    assert found["psi"].threshold is None
    assert not found["psi"].exceeds
    skew = by_metric(["a"], ["b"], schema=schema, side="skew")
    assert skew["infinity_norm"].threshold is None
    assert found["infinity_norm"].to_dict() == {
        "feature": "c",
        "side": "drift",
        "metric": "infinity_norm",
        "value": 1.0,
        "threshold": 0.4,
        "reason": None,
        "at": "a",
        "error": 0.0,
    }


def test_booleans_compare_as_values() -> None:
    found = by_metric([True, False], [True, True])
    assert found["infinity_norm"].value == 0.5


def test_columns_of_one_side_are_left_out() -> None:
    a, b = describe(pa.table({"x": ["a"], "y": ["a"]})), describe(pa.table({"x": ["a"]}))
    assert {d.feature for d in compare_statistics(a, b)} == {"x"}
