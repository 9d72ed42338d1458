"""What TFDV does not have: expectations, freshness, checks over all rows, notes; and that every type is provoked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pytest

from tests.unit.validation.fakes import FakeVersion
from whence._base.clock import ReplayClock
from whence.blobs import open_blobs
from whence.compute import Engine
from whence.errors import UsageError
from whence.metadata import Recorder, Type, open_store
from whence.validation import (
    BoolDomain,
    Comparator,
    Expectation,
    Feature,
    FloatDomain,
    ImageDomain,
    NaturalLanguageDomain,
    Plan,
    Schema,
    StatisticsOptions,
    StringDomain,
    TimeDomain,
    TimeOfDayDomain,
    Unique,
    UrlDomain,
    Validation,
    describe,
    update_schema,
    validate_statistics,
)
from whence.validation.anomalies import validation_notes
from whence.validation.given import GivenStatistics
from whence.validation.reasons import FORMS
from whence.validation.types import (
    AnomalyType,
    AudioDomain,
    Coverage,
    MidDomain,
    SequenceLength,
    TokenConstraint,
)

NOW = datetime(2013, 1, 10, tzinfo=UTC)
X = {"x": [0.0, 1.0, 2.0, 3.0, 4.0, None], "c": ["a", "a", "a", "b", "bb", None]}


def found(schema: Schema, columns: Mapping[str, Any] = X, **options: Any) -> list[tuple[str, str, Any, Any]]:
    anomalies, _ = validate_statistics(describe(pa.table(columns)), schema, **options)
    return [(a.type, a.rule, a.observed, a.allowed) for a in anomalies]


def schema_of(**columns: Any) -> Schema:
    types: dict[str, Any] = {"x": "FLOAT", "c": "STRING", "at": "TIMESTAMP"}
    return Schema().add(*(Feature(n, types[n], **given) for n, given in columns.items()))


class TestExpectations:
    @pytest.mark.parametrize(
        ("column", "of", "value"),
        [
            ("x", "mean", 2.0),
            ("x", "std", 2**0.5),
            ("x", "median", 2.0),
            ("x", "min", 0.0),
            ("x", "max", 4.0),
            ("x", "quantile(0.2)", 0.0),
            ("x", "zeros_ratio", 0.2),
            ("x", "nan_ratio", 0.0),
            ("x", "missing_ratio", 1 / 6),
            ("x", "unique", 5.0),
            ("x", "unique_ratio", 1.0),
            ("c", "missing_ratio", 1 / 6),
            ("c", "unique", 3.0),
            ("c", "unique_ratio", 0.6),
            ("c", "top_share", 0.6),
            ("c", "avg_length", 1.2),
            ("c", "min_length", 1.0),
            ("c", "max_length", 2.0),
        ],
    )
    def test_both_bounds_are_allowed(self, column: str, of: str, value: float) -> None:
        schema = schema_of(x={}, c={})
        near = 1e-12
        assert found(schema.expect(column, of, value - near, value + near)) == []
        low = found(schema.expect(column, of, value + 0.5))
        assert [(t, r) for t, r, _, _ in low] == [("EXPECTATION_LOW", f"expect.{of}.min")]
        assert low[0][2] == pytest.approx(value)
        high = found(schema.expect(column, of, high=value - 0.5))
        assert [(t, r, a) for t, r, _, a in high] == [("EXPECTATION_HIGH", f"expect.{of}.max", value - 0.5)]

    def test_message_severity_and_acceptance(self) -> None:
        schema = schema_of(x={}, c={}).expect("x", "mean", 5.0, 9.0, severity="WARNING")
        anomalies, _ = validate_statistics(describe(pa.table(X)), schema)
        assert [(a.message, a.severity) for a in anomalies] == [
            ("x: mean is 2, expected is at least 5", "WARNING")
        ]
        accepted = update_schema(schema, anomalies)
        assert accepted["x"].expect == (Expectation("mean", 2.0, 9.0, "WARNING"),)
        assert found(accepted) == []

    def test_what_has_no_meaning_is_said(self) -> None:
        schema = schema_of(x={}, c={}).expect("c", "mean", 0.0).expect("x", "max_length", 1.0)
        statistics = describe(pa.table(X))
        assert validate_statistics(statistics, schema)[0] == []
        assert validation_notes(statistics, schema) == [
            "x: max_length does not apply to a column of type FLOAT",
            "c: mean does not apply to a column of type STRING",
        ]

    def test_a_bad_expectation_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"'men' is no measure .*Near: 'mean'"):
            Expectation("men", 0.0)
        with pytest.raises(UsageError, match="the expectation of mean has neither min nor max"):
            Expectation("mean")


class TestFreshness:
    AT = pa.array([datetime(2013, 1, 7, 12, tzinfo=UTC), None], pa.timestamp("us", "UTC"))

    def test_the_newest_value_against_the_clock(self) -> None:
        schema = schema_of(at={}).fresh("at", "2d")
        anomalies, _ = validate_statistics(describe(pa.table({"at": self.AT})), schema, now=NOW)
        assert [(a.type, a.message) for a in anomalies] == [
            (
                "EXPECTATION_STALE",
                "at: the newest value 2013-01-07T12:00:00+00:00 is 2d 12h old, the schema allows 2d",
            )
        ]
        assert (
            found(schema_of(at={}).fresh("at", timedelta(days=2, hours=12)), {"at": self.AT}, now=NOW) == []
        )
        assert found(schema, {"at": self.AT}) == [], "without a clock it is not judged"

    def test_a_date_lasts_until_its_end(self) -> None:
        schema = Schema().add(Feature("day", "DATE")).fresh("day", "1d")
        assert found(schema, {"day": [date(2013, 1, 8)]}, now=NOW) == []
        assert [t for t, *_ in found(schema, {"day": [date(2013, 1, 7)]}, now=NOW)] == ["EXPECTATION_STALE"]

    def test_what_has_no_time_is_said(self) -> None:
        schema = schema_of(x={}, at={}).fresh("x", "1d").fresh("at", "1d").fresh("nothing", "1d")
        columns = {"x": [1.0], "at": pa.array([None], pa.timestamp("us", "UTC"))}
        assert found(schema, columns, now=NOW) == []
        assert validation_notes(describe(pa.table(columns)), schema) == [
            "freshness of 'x': the column is FLOAT, which is no time",
            "freshness of 'nothing': the schema has no such column",
            "freshness does not apply: column x is FLOAT and no time",
            "freshness does not apply: column at has no values",
            "freshness does not apply: column nothing is absent",
        ]


class TestChecksOverAllRows:
    @pytest.fixture
    def room(self, engine: Engine) -> Validation:
        recorder = Recorder(open_store("memory://"))
        recorder.store.put_type(Type("artifact", "TableVersion"))
        return Validation(recorder, open_blobs("memory://"), None, engine, clock=ReplayClock(NOW))

    def test_shows_what_its_aggregates_are(self, room: Validation) -> None:
        schema = schema_of(x={}, c={}).check("low", "avg(x) < 1 AND count(*) > 3", severity="WARNING")
        (a,) = room.validate(pa.table(X), schema).anomalies
        assert (a.type, a.severity, a.rule) == ("CUSTOM_VALIDATION", "WARNING", "check low")
        assert a.message == (
            "the check 'low' does not hold: avg(x) < 1 AND count(*) > 3 (AVG(x) is 2.0, COUNT(*) is 6)"
        )
        assert a.observed == {"AVG(x)": 2.0, "COUNT(*)": 6}

    def test_aggregates_of_every_type_are_kept(self, room: Validation) -> None:
        rows = pa.table(
            {
                "n": [1, 2, 3],
                "d": pa.array(
                    [Decimal("1.25"), Decimal("0.12345678901234567890"), None], pa.decimal128(38, 20)
                ),
                "ts": pa.array([1, 2, 3], pa.timestamp("us", "UTC")),
                "b": [b"a", b"\xff", None],
                "t": pa.array([1, 2, 3], pa.time64("us")),
                "s": [{"k": Decimal("2.50")}] * 3,
            }
        )
        shown = {
            "sum(n)": 6,
            "max(d)": 1.25,
            "min(d)": "0.12345678901234567890",
            "max(ts)": "1970-01-01T00:00:00.000003+00:00",
            "max(b)": "\udcff",
            "max(t)": "00:00:00.000003",
            "array_agg(n)": [1, 2, 3],
            "max(s)": {"k": 2.5},
            "any_value(uuid '6ba7b810-9dad-11d1-80b4-00c04fd430c8')": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "max(interval 3 day)": None,
            "max('nan'::float)": "nan",
        }
        for sql, value in shown.items():
            version = FakeVersion(rows)
            report = room.validate(version, Schema().check("c", f"{sql} IS NULL"))
            (a,) = [a for a in report.anomalies if a.type == "CUSTOM_VALIDATION"]
            (seen,) = a.observed.values()
            assert value is None or seen == value, sql
            assert room.reports(version)[0] == report, "it is kept as it was"

    def test_true_and_unknown_pass(self, room: Validation) -> None:
        schema = schema_of(x={}, c={}).check("a", "avg(x) > 1").check("b", "max(x) FILTER (x > 99) > 3")
        report = room.validate(pa.table(X), schema)
        assert report.anomalies == ()
        null = "check 'b' does not apply: max(x) FILTER (x > 99) > 3 is null over these rows"
        assert report.notes == (null,)

    def test_not_one_answer_and_nonsense_are_faults_of_the_schema(self, room: Validation) -> None:
        schema = schema_of(x={}, c={}).check("each", "x > 1").check("what", "avg(y) > 1")
        found = room.validate(pa.table(X), schema).anomalies
        assert [a.type for a in found] == ["INVALID_SCHEMA_SPECIFICATION"] * 2
        assert "an answer for every row" in found[0].message
        assert "check 'what' cannot be run" in found[1].message

    def test_environments_and_absent_columns(self, room: Validation) -> None:
        schema = schema_of(x={}, c={}).environments("T", "S").check("t", "avg(x) < 1", environments=["T"])
        assert not room.validate(pa.table(X), schema, environment="T").ok
        assert room.validate(pa.table(X), schema, environment="S").ok
        report = room.validate(pa.table({"c": ["a"]}), schema)
        assert report.notes == ("check 't' does not apply: column x is absent",)

    def test_of_a_version_and_of_statistics(self, room: Validation) -> None:
        schema = schema_of(x={}, c={}, at={}).check("low", "avg(x) < 1").fresh("at", "1d")
        table = pa.table(
            {**X, "at": pa.array([datetime(2013, 1, 1, tzinfo=UTC)] * 6, pa.timestamp("us", "UTC"))}
        )
        report = room.validate(FakeVersion(table), schema)
        assert [a.type for a in report.anomalies] == ["EXPECTATION_STALE", "CUSTOM_VALIDATION"]
        alone = room.validate(describe(table), schema)
        assert [a.type for a in alone.anomalies] == ["EXPECTATION_STALE"]
        assert alone.notes == ("check 'low' needs rows, only statistics are known",)

    def test_rows_over_those_of_the_version_before(self, room: Validation) -> None:
        from whence.validation import DatasetConstraints, FractionBounds

        bounds = DatasetConstraints(num_examples_version=FractionBounds(0.5, 2.0))
        schema = Schema(constraints=bounds)
        few, many = describe(pa.table({})), describe(pa.table({"x": [1] * 9}))
        assert (
            room.validate(describe(pa.table({"x": [1]})), schema, previous=many).anomalies[-1].type
            == "SCHEMA_NEW_COLUMN"
        )
        judged = room.validate(describe(pa.table({"x": [1]})), schema, previous_version=many)
        assert judged.anomalies[-1].type == "COMPARATOR_LOW_NUM_EXAMPLES"
        assert [a.type for a in room.validate(few, schema, previous_version=many).anomalies] == [
            "COMPARATOR_LOW_NUM_EXAMPLES"
        ]
        first = [
            a
            for a in room.validate(many, schema, previous_version=few).anomalies
            if a.type == "COMPARATOR_HIGH_NUM_EXAMPLES"
        ]
        assert first[0].message == "9 rows against none of data, the schema allows at most 2 times as many"
        accepted = update_schema(schema, first)
        assert accepted.constraints.num_examples_version == FractionBounds(0.5)
        assert room.validate(few, schema, previous_version=few).ok


class TestForms:
    @pytest.mark.parametrize(
        ("domain", "good", "bad", "type_", "words"),
        [
            (UrlDomain(), "https://a.example/b", "a b", "URL_TYPE_NOT_URL", "a URL"),
            (MidDomain(), "/m/05vl_", "m/05", "MID_TYPE_NOT_MID", "an identifier such as /m/05vl_"),
            (TimeDomain(string_format="%Y"), "2013", "13", "TIME_TYPE_NOT_TIME", "a time like %Y"),
            (TimeOfDayDomain(string_format="%H:%M"), "23:59", "24:00", "TIME_OF_DAY_TYPE_NOT_TIME", "a time like %H:%M"),
        ],
    )  # fmt: skip
    def test_text_of_another_form_is_told(
        self, domain: Any, good: str, bad: str, type_: str, words: str
    ) -> None:
        schema = Schema().add(Feature("x", "STRING", domain=domain))
        table = pa.table({"x": [good, bad, bad]})
        anomalies, _ = validate_statistics(describe(table), schema)
        assert [(a.type, a.observed, a.message) for a in anomalies] == [
            (type_, [bad], f"x: 1 of the known texts are not {words}: {bad!r}")
        ]
        assert validate_statistics(describe(table.slice(0, 1)), schema)[0] == []
        assert validate_statistics(describe(table), update_schema(schema, anomalies))[0] == []
        assert [r.type for r in Plan(schema).row({"x": bad})] == [type_]

    @pytest.mark.parametrize("rows", [[[1.0, 2.0]], [[1.0, 2.0, 3.0], [1.0]]])
    def test_vectors_of_another_length_are_told(self, rows: Any) -> None:
        schema = Schema().add(Feature("x", "FLOAT", domain=FloatDomain(embedding_dim=3)))
        anomalies, _ = validate_statistics(describe(pa.table({"x": rows})), schema)
        assert [a.type for a in anomalies] == ["EMBEDDING_DIMENSION"]
        accepted = update_schema(schema, anomalies)
        assert validate_statistics(describe(pa.table({"x": rows})), accepted)[0] == []
        assert validate_statistics(describe(pa.table({"x": [[1.0, 2.0, 3.0]]})), schema)[0] == []

    @pytest.mark.parametrize(
        ("domain", "note"),
        [
            (TimeDomain(string_format="%Q"), "no text is held against the format '%Q', which has a letter without a meaning"),
            (AudioDomain(), "whether values are audio is not judged, nothing here reads them"),
            (ImageDomain(0.5), "minimum_supported_image_fraction does not apply: the formats of images are optional statistics, which were not asked for (Meanings)"),
            (NaturalLanguageDomain(sequence_length=SequenceLength(1)), "sequence_length is not judged, as in TFDV; value_count bounds the values of a row"),
        ],
    )  # fmt: skip
    def test_what_is_not_judged_is_told(self, domain: Any, note: str) -> None:
        schema = Schema().add(Feature("x", "STRING", domain=domain))
        assert validation_notes(describe(pa.table({"x": ["a"]})), schema) == [f"x: {note}"]

    def test_of_values_that_were_not_all_counted_the_known_are_judged(self) -> None:
        schema = Schema().add(Feature("x", "STRING", domain=UrlDomain()))
        texts = pa.table({"x": [f"u:{i}" for i in range(300)]})
        seen = describe(texts, options=StatisticsOptions(exact_limit=100))
        assert validation_notes(seen, schema) == [
            "x: not all values are known, so only those that are were held against a URL"
        ]


class TestNotes:
    @pytest.mark.parametrize(
        ("feature", "note"),
        [
            (Feature("x", "INT", domain=BoolDomain("y")), "bool 'y'/None of INT: numbers take no true_value or false_value"),
            (Feature("x"), "no type is given, so whatever it holds is FEATURE_MISSING_TYPE"),
            (Feature("x", "INT", drift=Comparator(jensen_shannon_divergence=5)), "drift.jensen_shannon_divergence is 5, and no distance is above 1: it is never exceeded"),
        ],
    )  # fmt: skip
    def test_what_has_no_effect_is_told(self, feature: Feature, note: str) -> None:
        notes = validation_notes(describe(pa.table({"x": [1]})), Schema().add(feature))
        assert notes == [f"feature 'x': {note}"]

    def test_what_made_no_sense_when_it_was_kept_is_told(self) -> None:
        kept = Schema({"x": Feature("x", "INT", unique=Unique(3, 1))})
        notes = validation_notes(describe(pa.table({"x": [1]})), kept)
        assert notes == ["feature 'x': unique has min 3 above max 1, so nothing is allowed"]


def test_a_structure_comes_with_its_parts() -> None:
    table = pa.table({"s": [{"a": 1, "b": {"c": "x"}}]})
    schema = Schema().add(Feature("y", "INT"))
    anomalies, _ = validate_statistics(describe(table), schema)
    assert [(a.feature, a.type) for a in anomalies] == [("s", "SCHEMA_NEW_COLUMN")]
    accepted = update_schema(schema, anomalies)
    assert [f.name for f in accepted] == ["y", "s", "s.a", "s.b", "s.b.c"]
    assert accepted["s.b.c"].path == ("s", "b", "c")
    assert validate_statistics(describe(table), accepted)[0] == []


def test_tokens_are_changed_one_by_one() -> None:
    domain = NaturalLanguageDomain(
        coverage=Coverage(0.9),
        token_constraints=(TokenConstraint(1, 2, 2, 0.6, 0.4), TokenConstraint("b", 9)),
    )
    token = {"fraction_of_sequences": 0.5, "per_sequence_min_frequency": 1, "per_sequence_max_frequency": 3}
    said = {
        "feature_coverage": 0.5,
        "token_statistics": [{"int_token": 1, **token}, {"string_token": "b", **token}],
    }
    given = GivenStatistics("x", "STRING", num_non_missing=5, n_values=5, custom={"nl_statistics": said})
    statistics = describe(pa.table({"x": ["a"]}))
    statistics = type(statistics)("given", 5, {"x": given})
    schema = Schema({"x": Feature("x", "STRING", domain=domain)})
    anomalies, _ = validate_statistics(statistics, schema)
    assert [a.type for a in anomalies] == [
        "FEATURE_COVERAGE_TOO_LOW",
        "SEQUENCE_VALUE_TOO_FEW_OCCURRENCES",
        "SEQUENCE_VALUE_TOO_MANY_OCCURRENCES",
        "SEQUENCE_VALUE_TOO_SMALL_FRACTION",
        "SEQUENCE_VALUE_TOO_LARGE_FRACTION",
        "SEQUENCE_VALUE_TOO_FEW_OCCURRENCES",
    ]
    accepted = update_schema(schema, anomalies)
    assert accepted["x"].domain == NaturalLanguageDomain(
        coverage=Coverage(0.5),
        token_constraints=(TokenConstraint(1, 1, 3, 0.5, 0.5), TokenConstraint("b", 1)),
    )
    assert validate_statistics(statistics, accepted)[0] == []


def test_a_shared_domain_grows_for_all_who_share_it() -> None:
    schema = Schema(domains={"letters": StringDomain(("b",))}).add(
        Feature("c", "STRING", domain="letters"), Feature("d", "STRING", domain="letters")
    )
    statistics = describe(pa.table({"c": ["a"], "d": ["a"]}))
    anomalies, _ = validate_statistics(statistics, schema)
    assert len(anomalies) == 2
    accepted = update_schema(schema, anomalies)
    assert accepted.domains == {"letters": StringDomain(("b", "a"))}
    assert accepted["c"].domain == "letters"


def test_text_that_reads_as_numbers() -> None:
    schema = Schema().add(
        Feature("x", "STRING", domain=FloatDomain(0.0, 2.0, disallow_nan=True, disallow_inf=True))
    )
    assert [t for t, *_ in found(schema, {"x": ["1", "nan", "-inf", " 0x1p1 "]})] == [
        "FLOAT_TYPE_HAS_NAN", "FLOAT_TYPE_HAS_INF", "FLOAT_TYPE_SMALL_FLOAT",
    ]  # fmt: skip


def test_every_type_is_provoked_by_some_test() -> None:
    golden = Path(__file__).parents[2] / "golden" / "validation"
    seen: set[str] = {
        "CUSTOM_VALIDATION", "EXPECTATION_HIGH", "EXPECTATION_LOW", "EXPECTATION_STALE",  # here
        "BOOL_TYPE_INVALID_CONFIG", "TIME_TYPE_BIG_TIME", "TIME_TYPE_SMALL_TIME",  # test_anomalies
    } | FORMS  # fmt: skip
    for name in ("anomalies.json", "given.json"):
        for case in json.loads((golden / name).read_text(encoding="utf-8")).values():
            seen |= {t for types in case.get("anomalies", {}).values() for t in types}
            seen |= set(case.get("dataset", ()))
    assert set(get_args(AnomalyType)) <= seen
    assert seen - {"ERROR", "WARNING"} <= set(get_args(AnomalyType))


def test_nan_is_told_beside_text_that_is_no_number() -> None:
    schema = Schema().add(
        Feature("x", "STRING", domain=FloatDomain(0, 1, disallow_nan=True, disallow_inf=True))
    )
    seen = describe(pa.table({"x": ["nan", "x", "inf", "5"]}))
    anomalies, _ = validate_statistics(seen, schema)
    assert [a.type for a in anomalies] == ["FLOAT_TYPE_HAS_NAN", "FLOAT_TYPE_STRING_NOT_FLOAT"]
    assert validate_statistics(seen, update_schema(schema, anomalies))[0] == []


@pytest.mark.parametrize(
    ("type_", "told"), [("INT", "DOMAIN_INVALID_FOR_TYPE"), ("STRING", "INVALID_DOMAIN_SPECIFICATION")]
)
def test_a_domain_nobody_has_is_told_as_in_tfdv(type_: Any, told: str) -> None:
    kept = Schema({"x": Feature("x", type_, domain="nowhere")})
    anomalies, _ = validate_statistics(describe(pa.table({"x": [1] if type_ == "INT" else ["a"]})), kept)
    assert [a.type for a in anomalies] == [told]
    assert update_schema(kept, anomalies)["x"].domain is None


def test_an_expectation_of_what_is_not_there_is_a_note() -> None:
    schema = Schema().add(
        Feature("x", "FLOAT", expect=(Expectation("mean", 0.5), Expectation("quantile(0.5)", 0.5)))
    )
    said = "does not apply to a column of type FLOAT"
    for cell, why in ((math.nan, " that holds no number"), (None, " without values")):
        seen = describe(pa.table({"x": pa.array([cell] * 3, pa.float64())}))
        assert validation_notes(seen, schema) == [f"x: {of} {said}{why}" for of in ("mean", "quantile(0.5)")]
