from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.validation import MutualInformation, Statistics, StatisticsOptions, describe
from whence.validation.extra import information

rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from("abc")),
        st.one_of(st.none(), st.integers(0, 2)),
        st.one_of(st.none(), st.floats(0, 4), st.just(math.nan)),
    ),
    min_size=1,
    max_size=25,
)


def naive(x: list[Any], y: list[Any]) -> float:
    n, of_x, of_y, both = len(x), Counter(x), Counter(y), Counter(zip(x, y, strict=True))
    return sum(k / n * math.log2(k * n / (of_x[a] * of_y[b])) for (a, b), k in both.items())


@given(rows, st.lists(st.integers(0, 25), max_size=3))
def test_as_a_naive_loop_and_over_any_split(
    same_any_split: Callable[..., Any], found: list[Any], cuts: list[int]
) -> None:
    x, y, f = (list(c) for c in zip(*found, strict=True))
    table = pa.table(
        {"x": pa.array(x, pa.string()), "y": pa.array(y, pa.int64()), "f": pa.array(f, pa.float64())}
    )
    told = same_any_split(MutualInformation("y", edges={"f": (1.0, 2.0)}), table, cuts)
    binned = [None if v is None or math.isnan(v) else sum(v >= e for e in (1, 2)) for v in f]
    for column in told["columns"]:
        values = {"x": x, "f": binned}[column["x"]]
        assert column["mutual_information"] == pytest.approx(naive(values, y), abs=1e-9)
        assert column["entropy"] == pytest.approx(naive(values, values), abs=1e-9)
        assert column["adjusted"] == pytest.approx(column["mutual_information"] - column["expected"])
        assert 0 <= column["normalized"] <= 1
    assert told["entropy"] == pytest.approx(naive(y, y), abs=1e-9)


def test_chance_is_the_mean_of_all_shuffles() -> None:
    x, y = list("aabbb"), [0, 1, 1, 2, 2]
    shuffles = [naive(x, list(p)) for p in itertools.permutations(y)]
    expected, exact = information.expected_information(np.array([2, 3]), np.array([1, 2, 2]))
    assert exact
    assert expected == pytest.approx(sum(shuffles) / len(shuffles), rel=1e-12)


def test_chance_of_many_rows_is_near_its_limit() -> None:
    a, b = np.full(10, 100_000), np.array([300_000, 700_000])
    expected, _ = information.expected_information(a, b)
    assert expected == pytest.approx(9 / (2 * 1e6 * math.log(2)), rel=1e-3)


def test_too_many_terms_are_approximated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(information, "_MOST_TERMS", 10)
    t = pa.table({"x": list("abcd") * 50, "y": [0, 1] * 100})
    told = MutualInformation("y").add(t).finish()["columns"][0]
    assert told["expected_is"] == "approximate"
    assert told["expected"] == pytest.approx(3 / (400 * math.log(2)))


def test_of_features(through_describe: Callable[..., Statistics]) -> None:
    t = pa.table({"x": ["a", "b"] * 10, "l": [[1, 2]] * 20, "one": [1] * 20, "y": [0, 1] * 10})
    s = through_describe(MutualInformation("y"), t)
    told = s.extras["mutual information(y)"].finish()
    assert told["left_out"] == {"l": "several values in a row"}
    assert [(c["x"], c["mutual_information"], c["normalized"]) for c in told["columns"]] == [
        ("x", 1.0, 1.0),
        ("one", 0.0, 0.0),
    ]
    assert s["x"].custom["mutual_information(y)"] == 1.0
    assert MutualInformation("y", ("x",)).key() == "mutual information(y | x)"
    assert MutualInformation("y") == MutualInformation("y")
    assert repr(MutualInformation("y")) == "<Mutual information of y over 0 rows>"


def test_a_label_of_lists_says_nothing() -> None:
    told = MutualInformation("y").add(pa.table({"y": [[1, 1]], "x": ["a"]})).finish()
    assert (told["left_out"], told["columns"]) == ({"y": "several values in a row"}, [])


def test_chance_is_computed_once_and_only_when_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = information.expected_information

    def counted(a: Any, b: Any) -> Any:
        asked.append(int(a.sum()))
        return real(a, b)

    monkeypatch.setattr(information, "expected_information", counted)
    table = pa.table({"x": ["a", "b", "a"], "y": [1, 2, 2]})
    options = StatisticsOptions(extras=(MutualInformation("y"),))
    days = [describe(table, options=options) for _ in range(4)]
    merged = days[0].merge(days[1]).merge(days[2]).merge(days[3])
    assert asked == []
    said = merged["x"].custom
    assert sorted(said) == ["adjusted_mutual_information(y)", "mutual_information(y)"]
    assert said["mutual_information(y)"] == pytest.approx(0.2516291673878229)
    assert dict(said) == {**said}
    merged.extras["mutual information(y)"].finish()
    assert asked == [12]
