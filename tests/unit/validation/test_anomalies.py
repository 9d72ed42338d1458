"""Every anomaly: its type, what was observed, what is allowed, and the sentence that says both."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, get_args

import pyarrow as pa
import pytest

from whence.validation import (
    BoolDomain,
    DatasetConstraints,
    Feature,
    FloatDomain,
    IntDomain,
    Presence,
    Report,
    Schema,
    StringDomain,
    TimeDomain,
    Unique,
    ValueCount,
    describe,
    update_schema,
    validate_statistics,
)
from whence.validation.types import Anomaly, AnomalyType

REQUIRED = Presence(1.0, 1)


@dataclass(frozen=True)
class Case:
    type: str
    feature: Feature
    values: Any
    observed: Any
    allowed: Any
    message: str
    accepted: bool = True
    """Whether the proposed change of the schema accepts it."""
    more: tuple[str, ...] = field(default=())


def day(n: int) -> datetime:
    return datetime(2013, 1, n, tzinfo=UTC)


INVALID = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", b"a"], pa.binary()).buffers())

CASES = [
    Case(
        "FEATURE_TYPE_LOW_FRACTION_PRESENT", Feature("x", "INT", Presence(0.75)), [1, None, 3, None], 0.5, 0.75,
        "x: 2 of 4 rows have no value (0.5 present), the schema asks for 0.75",
    ),
    Case(
        "FEATURE_TYPE_LOW_FRACTION_PRESENT", Feature("x", "INT", Presence(1.0)), [1, None], 0.5, 1.0,
        "x: 1 of 2 rows has no value (0.5 present), the schema asks for 1",
    ),
    Case(
        "FEATURE_TYPE_LOW_NUMBER_PRESENT", Feature("x", "INT", Presence(None, 3)), [1, None, 3], 2, 3,
        "x: 2 rows have a value, the schema asks for 3",
    ),
    Case(
        "FEATURE_TYPE_NOT_PRESENT", Feature("x", "INT", REQUIRED), pa.array([None, None], pa.int64()), 0,
        "min_fraction 1 and min_count 1", "x: none of 2 rows has a value", accepted=False,
    ),
    Case(
        "UNEXPECTED_DATA_TYPE", Feature("x", "FLOAT", REQUIRED), ["a"], "STRING", "FLOAT",
        "x: the type is STRING, the schema says FLOAT",
    ),
    Case(
        "FEATURE_TYPE_LOW_NUMBER_VALUES", Feature("x", "INT", value_count=ValueCount(1)), [[1], []], 0, 1,
        "x: a row has 0 values, the schema asks for at least 1",
    ),
    Case(
        "FEATURE_TYPE_HIGH_NUMBER_VALUES", Feature("x", "INT", value_count=ValueCount(1, 2)), [[1], [1, 2, 3]], 3, 2,
        "x: a row has 3 values, the schema allows at most 2",
    ),
    Case(
        "FEATURE_TYPE_LOW_UNIQUE", Feature("x", "STRING", unique=Unique(3)), ["a", "b", "a"], 2, 3,
        "x: 2 different values, the schema asks for at least 3",
    ),
    Case(
        "FEATURE_TYPE_HIGH_UNIQUE", Feature("x", "INT", unique=Unique(None, 1)), [1, 2], 2, 1,
        "x: 2 different values, the schema allows at most 1",
    ),
    Case(
        "FEATURE_TYPE_NO_UNIQUE", Feature("x", "STRUCT", unique=Unique(1)), [{"a": 1}], None, "a number",
        "x: of a column of type STRUCT unique values were not counted", more=("SCHEMA_NEW_COLUMN",),
    ),
    Case(
        "ENUM_TYPE_INVALID_UTF8", Feature("x", "STRING"), INVALID, 1, 0, "x: 1 value is not UTF-8", accepted=False
    ),
    Case(
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES", Feature("x", "STRING", domain=StringDomain(("AA", "UA"))),
        ["AA", "ZZ", "UA", "ZZ"], {"share": 0.5, "values": {"ZZ": 2}}, {"share": 0.0, "values": ["AA", "UA"]},
        "x: 2 of 4 values are not in the domain: 'ZZ'",
    ),
    Case(
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
        Feature("x", "STRING", domain=StringDomain(("a",)), min_domain_mass=0.75),
        ["a", "b", "c", "a"], {"share": 0.5, "values": {"b": 1, "c": 1}}, {"share": 0.25, "values": ["a"]},
        "x: 2 of 4 values are not in the domain: 'b', 'c' (allowed share 0.25)",
    ),
    Case(
        "INT_TYPE_BIG_INT", Feature("x", "INT", domain=IntDomain(0, 23)), [0, 24], 24, 23,
        "x: the largest value 24 is above 23",
    ),
    Case(
        "INT_TYPE_SMALL_INT", Feature("x", "INT", domain=IntDomain(0, 23)), [-1, 3], -1, 0,
        "x: the smallest value -1 is below 0",
    ),
    Case(
        "INT_TYPE_BIG_INT", Feature("x", "STRING", domain=IntDomain(0, 23)), ["7", "24"], 24, 23,
        "x: the largest value 24 is above 23",
    ),
    Case(
        "INT_TYPE_NOT_INT_STRING", Feature("x", "STRING", domain=IntDomain()), ["7", "x7", "1.5"], ["1.5", "x7"],
        "an integer", "x: 2 different texts are not an integer: '1.5', 'x7'",
    ),
    Case(
        "FLOAT_TYPE_BIG_FLOAT", Feature("wind_speed", "FLOAT", domain=FloatDomain(0.0, 100.0)), [9.0, 1048.36],
        1048.36, 100.0, "wind_speed: the largest value 1048.36 is above 100.0",
    ),
    Case(
        "FLOAT_TYPE_SMALL_FLOAT", Feature("x", "FLOAT", domain=FloatDomain(0.0)), [-0.5, 3.0], -0.5, 0.0,
        "x: the smallest value -0.5 is below 0.0",
    ),
    Case(
        "FLOAT_TYPE_STRING_NOT_FLOAT", Feature("x", "STRING", domain=FloatDomain()), ["1e3", "much", "nan", "1_0"],
        ["1_0", "much"], "a number", "x: 2 different texts are not a number: '1_0', 'much'",
    ),
    Case(
        "FLOAT_TYPE_SMALL_FLOAT", Feature("x", "STRING", domain=FloatDomain(0.0)), ["-1.5", "2"], -1.5, 0.0,
        "x: the smallest value -1.5 is below 0.0",
    ),
    Case(
        "FLOAT_TYPE_HAS_NAN", Feature("x", "FLOAT", domain=FloatDomain(disallow_nan=True)), [1.0, math.nan], 1, 0,
        "x: 1 value is NaN",
    ),
    Case(
        "FLOAT_TYPE_HAS_INF", Feature("x", "FLOAT", domain=FloatDomain(disallow_inf=True)), [1.0, -math.inf], 1, 0,
        "x: 1 value is infinite",
    ),
    Case(
        "BOOL_TYPE_BIG_INT", Feature("x", "INT", domain=BoolDomain()), [0, 1, 2], 2, 1,
        "x: the largest value 2 is above 1", accepted=False,
    ),
    Case(
        "BOOL_TYPE_SMALL_INT", Feature("x", "INT", domain=BoolDomain()), [0, 1, -1], -1, 0,
        "x: the smallest value -1 is below 0", accepted=False,
    ),
    Case(
        "BOOL_TYPE_UNEXPECTED_STRING", Feature("x", "STRING", domain=BoolDomain("yes", "no")), ["yes", "maybe"],
        ["maybe"], ["no", "yes"], "x: texts that are neither true nor false: 'maybe'", accepted=False,
    ),
    Case(
        "BOOL_TYPE_UNEXPECTED_FLOAT", Feature("x", "FLOAT", domain=BoolDomain()), [0.0, 0.5, 1.0, math.nan],
        [0.5, "nan"], [0, 1], "x: numbers that are neither 0 nor 1: 0.5, 'nan'", accepted=False,
    ),
    Case(
        "BOOL_TYPE_INVALID_CONFIG", Feature("x", "INT", domain=BoolDomain("yes")), [0, 1], ["yes"], "no names",
        "x: a bool domain of INT takes no true_value or false_value",
    ),
    Case(
        "BOOL_TYPE_INVALID_CONFIG", Feature("x", "STRING", domain=BoolDomain()), ["a"], [],
        "true_value, false_value", "x: a bool domain of texts must name true_value or false_value",
        more=("BOOL_TYPE_UNEXPECTED_STRING",),
    ),
    Case(
        "TIME_TYPE_BIG_TIME", Feature("x", "TIMESTAMP", domain=TimeDomain(day(1), day(2))),
        pa.array([day(1), day(3)], pa.timestamp("us", "UTC")), day(3), day(2),
        "x: the largest value 2013-01-03T00:00:00+00:00 is above 2013-01-02T00:00:00+00:00",
    ),
    Case(
        "TIME_TYPE_SMALL_TIME", Feature("x", "DATE", domain=TimeDomain(date(2013, 1, 2))), [date(2013, 1, 1)],
        date(2013, 1, 1), date(2013, 1, 2), "x: the smallest value 2013-01-01 is below 2013-01-02",
    ),
    Case(
        "DOMAIN_INVALID_FOR_TYPE", Feature("x", "FLOAT", domain=IntDomain(0, 1)), [0.5], "IntDomain", "FLOAT",
        "x: a IntDomain does not fit the type FLOAT", accepted=False,
    ),
    Case(
        "INVALID_DOMAIN_SPECIFICATION", Feature("x", "STRING", domain="carriers"), ["a"], "carriers", [],
        "x: the schema has no domain 'carriers'",
    ),
    Case(
        "INVALID_SCHEMA_SPECIFICATION", Feature("x", "INT", Presence(1.5)), [1], 1.5, "0 to 1",
        "x: the schema's presence.min_fraction is 1.5, allowed is 0 to 1",
    ),
    Case(
        "INVALID_SCHEMA_SPECIFICATION", Feature("x", "INT", value_count=ValueCount(1, 0)), [1], 0, ">= 1",
        "x: the schema's value_count.max is 0, allowed is >= 1",
    ),
    Case(
        "INVALID_SCHEMA_SPECIFICATION", Feature("x", "INT", min_domain_mass=0.5), [1], 0.5,
        "1 without a domain of texts",
        "x: the schema's min_domain_mass is 0.5, allowed is 1 without a domain of texts", accepted=False,
    ),
    Case(
        "FEATURE_MISSING_TYPE", Feature("x"), [1], None, "a type", "x: the schema gives no type", accepted=False
    ),
]  # fmt: skip


def check(case: Case) -> tuple[Schema, pa.Table, list[Anomaly]]:
    schema = Schema({case.feature.name: case.feature})  # some contradict themselves, which `add` refuses
    table = pa.table({case.feature.name: case.values})
    found, _ = validate_statistics(describe(table), schema)
    return schema, table, found


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.type}:{c.feature.type}")
def test_found_with_rule_observed_and_allowed(case: Case) -> None:
    _, _, found = check(case)
    assert [a.type for a in found] == [case.type, *case.more]
    a = found[0]
    assert (a.feature, a.severity) == (case.feature.name, "ERROR")
    assert a.observed == case.observed
    assert a.allowed == case.allowed
    assert a.message == case.message
    assert a.rule
    back = Anomaly.from_dict(json.loads(json.dumps(a.to_dict(), allow_nan=False)))
    assert (back.type, back.message, back.rows) == (a.type, a.message, a.rows)


@pytest.mark.parametrize("case", [c for c in CASES if c.accepted], ids=lambda c: f"{c.type}:{c.feature.type}")
def test_the_proposed_change_accepts_it(case: Case) -> None:
    schema, table, found = check(case)
    changed = update_schema(schema, found)
    assert validate_statistics(describe(table), changed)[0] == []
    assert schema.diff(changed)


class TestColumns:
    SCHEMA = Schema().add(Feature("a", "INT", REQUIRED), Feature("b", "INT"))

    def test_missing_and_new(self) -> None:
        found, _ = validate_statistics(describe(pa.table({"c": ["x"]})), self.SCHEMA)
        assert [(a.feature, a.type, a.observed, a.allowed) for a in found] == [
            ("a", "SCHEMA_MISSING_COLUMN", "absent", "present"),
            ("c", "SCHEMA_NEW_COLUMN", "STRING", None),
        ]
        assert [a.message for a in found] == ["a: the column is missing", "c: a new column of type STRING"]
        changed = update_schema(self.SCHEMA, found)
        assert validate_statistics(describe(pa.table({"c": ["x"]})), changed)[0] == []

    def test_optional_columns_may_be_missing_or_empty(self) -> None:
        assert validate_statistics(describe(pa.table({"a": [1]})), self.SCHEMA)[0] == []
        empty = pa.table({"a": [1], "b": pa.array([None], pa.string())})
        assert validate_statistics(describe(empty), self.SCHEMA)[0] == []

    def test_the_label_is_missing_in_serving_only(self) -> None:
        schema = self.SCHEMA.environments("TRAINING", "SERVING").not_in_environment("SERVING", "a")
        serving = describe(pa.table({"b": [1]}))
        assert [a.type for a in validate_statistics(serving, schema)[0]] == ["SCHEMA_MISSING_COLUMN"]
        assert [a.type for a in validate_statistics(serving, schema, environment="TRAINING")[0]] == [
            "SCHEMA_MISSING_COLUMN"
        ]
        assert validate_statistics(serving, schema, environment="SERVING")[0] == []

    def test_a_column_outside_its_environment_is_still_judged_when_there(self) -> None:
        schema = self.SCHEMA.edit("a", max=3).environments("T", "S").not_in_environment("S", "a")
        found, _ = validate_statistics(describe(pa.table({"a": [9, None]})), schema, environment="S")
        assert [a.type for a in found] == [
            "SCHEMA_NEW_COLUMN", "FEATURE_TYPE_LOW_FRACTION_PRESENT", "INT_TYPE_BIG_INT"
        ]  # fmt: skip
        assert found[0].message == "a: the column is there, the schema does not have it in S"
        accepted = update_schema(schema, found)
        assert validate_statistics(describe(pa.table({"a": [9, None]})), accepted, environment="S")[0] == []

    def test_a_stage_switches_a_feature_off(self) -> None:
        schema = self.SCHEMA.edit("a", lifecycle_stage="PLANNED", max=0)
        assert validate_statistics(describe(pa.table({"a": ["text"]})), schema)[0] == []

    def test_row_count(self) -> None:
        schema = Schema(constraints=DatasetConstraints(2, 3))
        few, _ = validate_statistics(describe(pa.table({})), schema)
        assert [(a.type, a.observed, a.allowed, a.message) for a in few] == [
            ("DATASET_LOW_NUM_EXAMPLES", 0, 2, "0 rows, the schema asks for at least 2")
        ]
        many = describe(pa.table({"a": [1] * 4}))
        found, _ = validate_statistics(many, TestColumns.SCHEMA.rows_between(2, 3))
        assert [(a.type, a.observed, a.allowed, a.message) for a in found] == [
            ("DATASET_HIGH_NUM_EXAMPLES", 4, 3, "4 rows, the schema allows at most 3")
        ]

    def test_severities_can_be_lowered(self) -> None:
        schema = self.SCHEMA.severity("SCHEMA_NEW_COLUMN", "WARNING")
        found, _ = validate_statistics(describe(pa.table({"a": [1], "c": [1]})), schema)
        assert [(a.type, a.severity) for a in found] == [("SCHEMA_NEW_COLUMN", "WARNING")]

    def test_zero_rows(self) -> None:
        found, _ = validate_statistics(describe(pa.table({"a": pa.array([], pa.int64())})), self.SCHEMA)
        assert [(a.type, a.message) for a in found] == [
            ("FEATURE_TYPE_NOT_PRESENT", "a: none of 0 rows has a value")
        ]


class TestComparators:
    def stats(self, **columns: Any) -> Any:
        return describe(pa.table(columns))

    def test_infinity_norm(self) -> None:
        schema = Schema().add(Feature("c", "STRING")).edit("c", drift_threshold=0.2)
        now, before = self.stats(c=["a", "a", "b", "b"]), self.stats(c=["a", "b", "b", "b"])
        found, distances = validate_statistics(now, schema, previous=before)
        assert [(a.type, a.rule, a.observed, a.allowed) for a in found] == [
            ("COMPARATOR_L_INFTY_HIGH", "drift_comparator.infinity_norm", 0.25, 0.2)
        ]
        assert found[0].message == "c: drift, the infinity_norm to data is 0.25, most at 'a', allowed is 0.2"
        assert [d.metric for d in distances] == ["infinity_norm", "jensen_shannon_divergence", "psi"]
        accepted = update_schema(schema, found)
        assert validate_statistics(now, accepted, previous=before)[0] == []

    def test_jensen_shannon_of_numbers(self) -> None:
        schema = Schema().add(Feature("x", "INT")).edit("x", skew_threshold=0.5)
        found, _ = validate_statistics(self.stats(x=[1, 2, 3]), schema, serving=self.stats(x=[100, 200, 300]))
        assert [(a.type, a.rule, a.observed, a.allowed) for a in found] == [
            (
                "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
                "skew_comparator.jensen_shannon_divergence",
                1.0,
                0.5,
            )
        ]
        assert found[0].message == "x: skew, the jensen_shannon_divergence to data is 1, allowed is 0.5"

    def test_control_without_the_column(self) -> None:
        schema = Schema().add(Feature("c", "STRING"), Feature("d", "STRING")).edit("c", drift_threshold=0.2)
        found, _ = validate_statistics(
            self.stats(c=["a"], d=["a"]), schema, previous=describe(pa.table({"z": [1]}), name="flights@11")
        )
        assert [(a.feature, a.type, a.message) for a in found] == [
            (
                "c",
                "COMPARATOR_CONTROL_DATA_MISSING",
                "c: no such column in flights@11, which drift is measured against",
            )
        ]

    def test_the_infinity_norm_of_numbers_is_not_applicable_and_the_other_checks_go_on(self) -> None:
        from whence.validation import Comparator

        schema = Schema().add(
            Feature("x", "INT", drift=Comparator(infinity_norm=0.01), domain=IntDomain(0, 1))
        )
        found, distances = validate_statistics(self.stats(x=[5]), schema, previous=self.stats(x=[1]))
        assert [a.type for a in found] == ["INT_TYPE_BIG_INT"]
        assert (distances[0].metric, distances[0].value, distances[0].threshold) == (
            "infinity_norm",
            None,
            0.01,
        )
        assert distances[0].reason == "the infinity norm compares shares of values, not numbers"


def test_every_type_is_tested_here_or_among_the_rows() -> None:
    tested = {c.type for c in CASES} | {m for c in CASES for m in c.more}
    elsewhere = {
        "SCHEMA_MISSING_COLUMN", "SCHEMA_NEW_COLUMN", "DATASET_LOW_NUM_EXAMPLES", "DATASET_HIGH_NUM_EXAMPLES",
        "COMPARATOR_L_INFTY_HIGH", "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH", "COMPARATOR_CONTROL_DATA_MISSING",
        "CUSTOM_VALIDATION",
    }  # fmt: skip
    assert tested | elsewhere <= set(get_args(AnomalyType))


class TestReport:
    def report(self, *, warn: bool = False) -> Report:
        schema = Schema().add(Feature("x", "INT")).edit("x", max=1)
        if warn:
            schema = schema.severity("INT_TYPE_BIG_INT", "WARNING")
        found, distances = validate_statistics(describe(pa.table({"x": [5]})), schema)
        return Report(
            "flights@12", "schema:flights@2", "SERVING", 1, tuple(found), tuple(distances), ("a note",)
        )

    def test_ok_errors_warnings(self) -> None:
        assert not self.report().ok
        assert not self.report()
        assert (len(self.report().errors), len(self.report().warnings)) == (1, 0)
        lowered = self.report(warn=True)
        assert lowered.ok
        assert (len(lowered.errors), len(lowered.warnings)) == (0, 1)

    def test_require(self) -> None:
        from whence.errors import DataRejectedError

        assert self.report(warn=True).require().ok
        with pytest.raises(DataRejectedError) as caught:
            self.report().require()
        assert str(caught.value) == (
            "flights@12 breaks schema:flights@2: x: the largest value 5 is above 1 (INT_TYPE_BIG_INT) (data-rejected). "
            "Hint: look at the anomalies: accept them into the schema, or repair the data"
        )
        anomalies = caught.value.details["anomalies"]
        assert isinstance(anomalies, list)
        assert anomalies[0]["type"] == "INT_TYPE_BIG_INT"

    def test_text(self) -> None:
        assert self.report().text().splitlines() == [
            "flights@12 under schema:flights@2 in SERVING: 1 error",
            "severity  feature  type              observed  allowed  rows  example",
            "--------  -------  ----------------  --------  -------  ----  -------",
            "ERROR     x        INT_TYPE_BIG_INT  5         1",
            "- x: the largest value 5 is above 1",
            "note: a note",
        ]
        assert Report("a", "b").text() == "a under b: no anomalies found"

    def test_round_trip_and_html(self) -> None:
        report = self.report()
        assert Report.from_bytes(report.to_bytes()) == report
        data: Mapping[str, Any] = report.to_dict()
        assert (data["ok"], data["environment"], data["n_rows"]) == (False, "SERVING", 1)
        assert "<td>INT_TYPE_BIG_INT</td>" in report._repr_html_()


@pytest.mark.parametrize("type_", ["DATE", "TIMESTAMP"])
def test_times_beyond_the_calendar_are_held_against_their_bounds(type_: Any) -> None:
    kind = pa.date32() if type_ == "DATE" else pa.timestamp("us", "UTC")
    low, high = (2**31 - 1, -(2**31)) if type_ == "DATE" else (2**62, -(2**62))
    seen = describe(pa.table({"at": pa.array([low, high], kind)}))
    bounds = TimeDomain(min=datetime(2000, 1, 1, tzinfo=UTC), max=datetime(2020, 1, 1, tzinfo=UTC))
    found, _ = validate_statistics(seen, Schema().add(Feature("at", type_, domain=bounds)))
    assert [(a.type, a.observed) for a in found] == [
        ("TIME_TYPE_BIG_TIME", low),
        ("TIME_TYPE_SMALL_TIME", high),
    ]
