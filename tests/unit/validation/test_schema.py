from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import NotFoundError, UsageError
from whence.validation import (
    BoolDomain,
    Comparator,
    DatasetConstraints,
    Feature,
    FloatDomain,
    IntDomain,
    Presence,
    Rule,
    Schema,
    StringDomain,
    TimeDomain,
    Unique,
    ValueCount,
)

names = st.sampled_from(["carrier", "arr_delay", "wind speed", 'a"b', "über"])
maybe = st.none() | st.integers(-100, 100)
count = st.none() | st.integers(0, 100)
floats = st.none() | st.floats(-1e6, 1e6)
domains = st.one_of(
    st.none(),
    names,
    st.builds(IntDomain, maybe, maybe),
    st.builds(FloatDomain, floats, floats, st.booleans(), st.booleans()),
    st.builds(StringDomain, st.lists(st.text(max_size=3), unique=True).map(tuple)),
    st.builds(BoolDomain, st.none() | st.just("yes"), st.none() | st.just("no")),
    st.builds(TimeDomain, st.none() | st.dates(), st.none() | st.just(datetime(2013, 1, 1, tzinfo=UTC))),
)
environments = st.lists(st.sampled_from(["TRAINING", "SERVING", "EVAL"]), unique=True).map(tuple)
features = st.builds(
    Feature,
    names,
    st.none() | st.sampled_from(["INT", "FLOAT", "STRING", "BYTES", "BOOL", "TIMESTAMP", "DATE", "STRUCT"]),
    st.none() | st.builds(Presence, st.none() | st.floats(0, 1), count),
    st.none() | st.builds(ValueCount, count, count),
    domains,
    st.floats(0, 1),
    st.none() | st.builds(Unique, count, count),
    environments,
    environments,
    st.none() | st.sampled_from(["PLANNED", "BETA", "DEPRECATED"]),
    st.none() | st.integers() | st.text(max_size=3),
    st.none() | st.builds(Comparator, st.none() | st.floats(0, 1), st.none() | st.floats(0, 1)),
    st.none() | st.builds(Comparator, st.none() | st.floats(0, 1), st.none() | st.floats(0, 1)),
    st.text(max_size=5),
)
schemas = st.builds(
    Schema,
    st.lists(features, max_size=3).map(lambda fs: {f.name: f for f in fs}),
    st.lists(
        st.builds(Rule, names, st.just("a > 0"), st.sampled_from(["ERROR", "WARNING"]), environments)
    ).map(tuple),
    st.dictionaries(names, st.builds(StringDomain, st.just(("a", "b"))), max_size=2),
    environments,
    st.builds(DatasetConstraints, count, count),
    st.dictionaries(st.sampled_from(["SCHEMA_NEW_COLUMN"]), st.just("WARNING")),
)


@given(schemas)
def test_round_trip_and_digest(schema: Schema) -> None:
    back = Schema.from_json(schema.to_json(), stored=True)
    assert back == schema
    assert back.digest == schema.digest
    assert back.diff(schema) == []
    assert isinstance(schema.text(), str)
    assert isinstance(schema._repr_html_(), str)


@given(schemas, schemas)
def test_diff_is_empty_exactly_for_equal_schemas(a: Schema, b: Schema) -> None:
    order_aside = (
        dict(a.features) == dict(b.features),
        sorted(map(repr, a.rules)) == sorted(map(repr, b.rules)),
    )
    if a.digest == b.digest:
        assert a.diff(b) == []
    elif a.diff(b) == []:
        assert order_aside == (True, True) or len({r.name for r in a.rules}) < len(a.rules)


FLIGHTS = Schema().add(
    Feature("carrier", "STRING", Presence(1.0, 1), domain=StringDomain(("AA", "UA"))),
    Feature("arr_delay", "FLOAT"),
    Feature("hour", "INT"),
    Feature("at", "TIMESTAMP"),
)


class TestEdit:
    def test_ranges_by_type(self) -> None:
        s = FLIGHTS.edit("arr_delay", min=-100.0, disallow_nan=True).edit("hour", min=0, max=23)
        s = s.edit("at", min=datetime(2013, 1, 1, tzinfo=UTC))
        assert s["arr_delay"].domain == FloatDomain(-100.0, None, disallow_nan=True)
        assert s["hour"].domain == IntDomain(0, 23)
        assert s["at"].domain == TimeDomain(datetime(2013, 1, 1, tzinfo=UTC))
        assert FLIGHTS["hour"].domain is None, "the first schema is as it was"

    def test_a_range_is_changed_on_one_side(self) -> None:
        s = FLIGHTS.edit("hour", min=0, max=23).edit("hour", max=24)
        assert s["hour"].domain == IntDomain(0, 24)

    def test_presence_unique_and_comparators(self) -> None:
        s = FLIGHTS.edit("carrier", min_fraction=0.9, max_unique=20, drift_threshold=0.1)
        s = s.edit("arr_delay", skew_threshold=0.2, min_count=5)
        assert s["carrier"].presence == Presence(0.9, 1)
        assert s["carrier"].unique == Unique(None, 20)
        assert s["carrier"].drift == Comparator(infinity_norm=0.1)
        assert s["arr_delay"].skew == Comparator(jensen_shannon_divergence=0.2)
        assert s["arr_delay"].presence == Presence(None, 5)

    def test_values_and_shared_domains(self) -> None:
        s = FLIGHTS.domain("carriers", StringDomain(("AA",))).edit("carrier", domain="carriers")
        assert s.domain_of(s["carrier"]) == StringDomain(("AA",))
        assert s.edit("carrier", values=["AA", "UA"])["carrier"].domain == StringDomain(("AA", "UA"))

    def test_required_optional_drop(self) -> None:
        s = FLIGHTS.required("arr_delay", "hour").optional("carrier").drop("at")
        assert [(f.name, f.required) for f in s] == [("carrier", False), ("arr_delay", True), ("hour", True)]

    def test_bad_edits_are_named(self) -> None:
        with pytest.raises(
            NotFoundError, match=r"feature 'carier' not found \(feature-not-found\). Near: 'carrier'"
        ):
            FLIGHTS.edit("carier", max=1)
        with pytest.raises(UsageError, match=r"feature 'carrier' is STRING and has no range \(no-range\)"):
            FLIGHTS.edit("carrier", max=1)
        with pytest.raises(UsageError, match=r"a feature has no 'maximum' \(bad-schema\)"):
            FLIGHTS.edit("hour", maximum=3)
        with pytest.raises(UsageError, match=r"feature 'hour': .*disallow_nan.* \(bad-schema\)"):
            FLIGHTS.edit("hour", disallow_nan=True)
        with pytest.raises(NotFoundError, match="feature-not-found"):
            FLIGHTS.drop("nothing")


class TestEnvironments:
    def test_the_label_is_not_in_serving(self) -> None:
        s = FLIGHTS.environments("TRAINING", "SERVING").not_in_environment("SERVING", "arr_delay")
        assert [f.name for f in s.expected("SERVING")] == ["carrier", "hour", "at"]
        assert [f.name for f in s.expected("TRAINING")] == ["carrier", "arr_delay", "hour", "at"]
        assert [f.name for f in s.expected(None)] == ["carrier", "arr_delay", "hour", "at"]

    def test_in_environment_takes_it_back(self) -> None:
        s = FLIGHTS.not_in_environment("SERVING", "hour").in_environment("SERVING", "hour")
        assert (s["hour"].in_environment, s["hour"].not_in_environment) == (("SERVING",), ())

    def test_outside_the_defaults(self) -> None:
        s = FLIGHTS.environments("TRAINING").in_environment("EVAL", "hour")
        assert [f.name for f in s.expected("EVAL")] == ["hour"]

    def test_an_unknown_environment_is_refused(self) -> None:
        s = FLIGHTS.environments("TRAINING", "SERVING")
        with pytest.raises(NotFoundError, match=r"environment 'SERVNG' not found .* Near: 'SERVING'"):
            s.expected("SERVNG")
        with pytest.raises(NotFoundError, match="the schema names no environments"):
            FLIGHTS.expected("ANY")
        assert len(FLIGHTS.expected(None)) == 4

    def test_stages_that_are_not_checked(self) -> None:
        s = FLIGHTS.edit("hour", lifecycle_stage="PLANNED").edit("at", lifecycle_stage="PRODUCTION")
        assert [f.name for f in s.expected(None)] == ["carrier", "arr_delay", "at"]


class TestRules:
    def test_a_rule_of_the_same_name_is_replaced(self) -> None:
        s = FLIGHTS.rule("sane", "hour >= 0").rule("sane", "hour > 0", severity="WARNING")
        assert s.rules == (Rule("sane", "hour > 0", "WARNING"),)

    @pytest.mark.parametrize(("name", "sql"), [("", "a > 0"), ("a", " "), ("a", "a > 0; DROP TABLE x")])
    def test_not_one_expression(self, name: str, sql: str) -> None:
        with pytest.raises(UsageError, match=r"(is not one expression|a rule has a name).* \(bad-rule\)"):
            FLIGHTS.rule(name, sql)


class TestDiff:
    def test_says_what_changed(self) -> None:
        other = FLIGHTS.edit("hour", max=23).drop("at").rule("r", "hour > 0").rows_between(1, None)
        assert [str(c) for c in FLIGHTS.diff(other)] == [
            '- features.at.type (was "TIMESTAMP")',
            '+ features.hour.domain.kind = "int"',
            "+ features.hour.domain.max = 23",
            '+ rules.r.sql = "hour > 0"',
            "+ constraints.min_examples_count = 1",
        ]
        changed = other.edit("hour", max=22)
        assert [str(c) for c in other.diff(changed)] == ["~ features.hour.domain.max: 23 -> 22"]


class TestBadFiles:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({"format": "x"}, "not a schema: its format is 'x'"),
            ({"features": [], "featurs": []}, "a schema has no 'featurs'"),
            ({"features": [{"name": "a", "typ": "INT"}]}, "feature 'a' has the unknown key 'typ'"),
            ({"features": [{"type": "INT"}]}, "feature None is incomplete"),
            ({"features": [{"name": "a", "domain": {"kind": "ints"}}]}, "a domain of kind 'ints' is unknown"),
            (
                {"features": [{"name": "a", "domain": {"kind": "int", "mx": 3}}]},
                "int domain has the unknown key",
            ),
            (
                {"features": [{"name": "a", "presence": 1.0}]},
                "presence of feature 'a' must be a mapping, got float",
            ),
            (
                {"features": [{"name": "a", "domain": {"kind": "time", "max": "soon"}}]},
                "'soon' is not an ISO time",
            ),
            ({"rules": [{"name": "r"}]}, "rule 'r' is incomplete"),
            ({"constraints": {"rows": 3}}, "dataset_constraints has the unknown key 'rows'"),
        ],
    )
    def test_the_fault_is_named(self, data: dict[str, object], message: str) -> None:
        with pytest.raises(UsageError, match=message) as caught:
            Schema.from_dict({"format": "whence-schema-1", **data})
        assert caught.value.code == "bad-schema"

    def test_not_json_names_the_line(self) -> None:
        with pytest.raises(UsageError, match=r"the schema is not JSON: .* line 2 .*\(bad-schema\)"):
            Schema.from_json('{\n "format" "x"}')
        with pytest.raises(UsageError, match="the schema is not a JSON object"):
            Schema.from_json("[]")


def test_looks() -> None:
    s = FLIGHTS.edit("hour", min=0, max=23).environments("TRAINING", "SERVING").rule("r", "hour >= 0")
    assert s.text().splitlines() == [
        "feature    type       presence  values  domain       environments",
        "---------  ---------  --------  ------  -----------  ------------",
        "carrier    STRING     required          'AA', 'UA'",
        "arr_delay  FLOAT      optional",
        "hour       INT        optional          >= 0, <= 23",
        "at         TIMESTAMP  optional",
        "rule 'r': hour >= 0",
        "environments: TRAINING, SERVING",
    ]


def test_json_is_plain_and_short() -> None:
    assert json.loads(FLIGHTS.edit("at", max=date(2014, 1, 1)).to_json()) == {
        "format": "whence-schema-1",
        "features": [
            {
                "name": "carrier",
                "type": "STRING",
                "presence": {"min_fraction": 1.0, "min_count": 1},
                "domain": {"kind": "string", "values": ["AA", "UA"]},
            },
            {"name": "arr_delay", "type": "FLOAT"},
            {"name": "hour", "type": "INT"},
            {"name": "at", "type": "TIMESTAMP", "domain": {"kind": "time", "max": "2014-01-01"}},
        ],
    }
