"""What makes no sense is refused wherever a schema is made, loaded or stored; what was stored stays readable."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

import pytest

from whence.errors import UsageError
from whence.integrations.tfdv.messages import schema_pb2
from whence.integrations.tfdv.schema_in import schema_from_proto, schema_from_text
from whence.integrations.tfdv.schema_out import schema_to_proto
from whence.integrations.tfdv.text import read_text, to_text
from whence.validation import Feature, Schema, Validation, schema_from_yaml, schema_to_yaml
from whence.validation.json_lines import line_of
from whence.validation.types import (
    BoolDomain,
    Check,
    Comparator,
    Coverage,
    DatasetConstraints,
    Expectation,
    FloatDomain,
    FractionBounds,
    Freshness,
    ImageDomain,
    IntDomain,
    NaturalLanguageDomain,
    Presence,
    Rule,
    SequenceLength,
    Shape,
    StringDomain,
    StructDomain,
    TimeDomain,
    TimeOfDayDomain,
    TokenConstraint,
    Unique,
    ValueCount,
)

X: Final = Feature("x", "INT")
S: Final = Feature("x", "STRING")
NAN: Final = float("nan")
NOTHING: Final = "so nothing is allowed"

FEATURES: Final[list[tuple[Feature, str]]] = [
    (replace(X, presence=Presence(2.0)), "presence.min_fraction is 2, allowed is 0 to 1"),
    (replace(X, presence=Presence(-0.5)), "presence.min_fraction is -0.5, allowed is 0 to 1"),
    (replace(X, presence=Presence(min_count=-1)), "presence.min_count is -1, allowed is at least 0"),
    (replace(X, presence=Presence(1.0), group_presence=True), "presence and group_presence are given, one is allowed"),
    (replace(X, value_count=ValueCount(3, 1)), f"value_count has min 3 above max 1, {NOTHING}"),
    (replace(X, value_count=ValueCount(-1)), "value_count.min is -1, allowed is at least 0"),
    (replace(X, value_counts=(ValueCount(1), ValueCount(3, 1))), f"value_counts at level 1 has min 3 above max 1, {NOTHING}"),
    (replace(X, value_count=ValueCount(1), shape=Shape((2,))), "value_count and shape are given, one of them is allowed"),
    (replace(X, shape=Shape((2, 0))), "a size of its shape is 0, allowed is at least 1"),
    (replace(X, shape=Shape((None,))), "a size of its shape is not given, allowed is at least 1"),
    (replace(X, shape=Shape((2,), ("a", "b"))), "its shape has 1 sizes and 2 names"),
    (replace(X, unique=Unique(3, 1)), f"unique has min 3 above max 1, {NOTHING}"),
    (replace(X, unique=Unique(-3)), "unique.min is -3, allowed is at least 0"),
    (replace(X, drift=Comparator(infinity_norm=-1.0)), "drift.infinity_norm is -1, allowed is at least 0"),
    (replace(X, skew=Comparator(jensen_shannon_divergence=NAN)), "skew.jensen_shannon_divergence is nan, allowed is at least 0"),
    (replace(X, in_environment=("T", "T")), "in_environment has 'T' twice"),
    (replace(X, in_environment=("T",), not_in_environment=("T",)), "environment 'T' is in both in_environment and not_in_environment"),
    (replace(X, expect=(Expectation("mean", 3, 1),)), f"mean has min 3 above max 1, {NOTHING}"),
    (replace(X, expect=(Expectation("mean", 3), Expectation("mean", 1))), "expect has 'mean' twice"),
    (replace(X, domain=IntDomain(9, 1)), f"the int domain has min 9 above max 1, {NOTHING}"),
    (Feature("x", "FLOAT", domain=FloatDomain(NAN)), "the float domain has min NaN, which bounds nothing"),
    (Feature("x", "DATE", domain=TimeDomain(date(2020, 2, 1), date(2020, 1, 1))), f"the time domain has min 2020-02-01 above max 2020-01-01, {NOTHING}"),
    (Feature("x", "FLOAT", domain=FloatDomain(embedding_dim=0)), "embedding_dim is 0, allowed is at least 1"),
    (replace(S, domain=StringDomain(("a", "b", "a"))), "the domain has 'a' twice"),
    (replace(S, domain=BoolDomain()), "a bool domain of texts must name true_value or false_value"),
    (replace(S, domain=BoolDomain("y", "y")), "true_value and false_value are both 'y'"),
    (replace(S, domain=TimeOfDayDomain("%H", "PACKED_64_NANOS")), "string_format and integer_format are given, one of them is allowed"),
    (replace(S, domain=ImageDomain(2.0)), "minimum_supported_image_fraction is 2, allowed is 0 to 1"),
    (replace(S, domain=ImageDomain(max_image_byte_size=-1)), "max_image_byte_size is -1, allowed is at least 0"),
    (replace(S, domain=NaturalLanguageDomain(coverage=Coverage(2.0))), "min_coverage is 2, allowed is 0 to 1"),
    (replace(S, domain=NaturalLanguageDomain(coverage=Coverage(min_avg_token_length=-1))), "min_avg_token_length is -1, allowed is at least 0"),
    (replace(S, domain=NaturalLanguageDomain(token_constraints=(TokenConstraint("a", 3, 1),))), f"the token 'a' has min_per_sequence 3 above max_per_sequence 1, {NOTHING}"),
    (replace(S, domain=NaturalLanguageDomain(sequence_length=SequenceLength(3, 1))), f"its sequences has min_sequence_length 3 above max_sequence_length 1, {NOTHING}"),
    (replace(X, domain=StringDomain(("a",))), "a domain of kind string does not fit the type INT"),
    (replace(S, domain=StringDomain(("a",)), min_domain_mass=1.5), "min_domain_mass is 1.5, allowed is 0 to 1"),
    (replace(X, min_domain_mass=0.5), "min_domain_mass is 0.5, allowed is 1 without a domain of texts"),
    (replace(X, default="a"), "its default 'a' is no INT"),
    (replace(X, default=True), "its default True is no INT"),
    (Feature("x", "DATE", default="yesterday"), "its default 'yesterday' is no DATE"),
    (Feature("x", "STRUCT", default=1), "its default 1 is no STRUCT"),
    (replace(X, domain=IntDomain(0, 9), default=12), "its default 12 is above its domain's max 9"),
    (replace(X, domain=IntDomain(0, 9), default=[1, -2]), "its default -2 is below its domain's min 0"),
    (replace(X, domain=BoolDomain(), default=2), "its default 2 is not in its domain"),
    (replace(S, domain=StringDomain(("a",)), default="b"), "its default 'b' is not in its domain"),
    (Feature("x", "DATE", domain=TimeDomain(date(2020, 1, 1)), default="2019-12-31"), "its default '2019-12-31' is below its domain's min 2020-01-01"),
]  # fmt: skip
IDS: Final = [text for _, text in FEATURES]


@pytest.mark.parametrize(("feature", "text"), FEATURES, ids=IDS)
def test_a_feature_that_makes_no_sense_is_refused_everywhere(feature: Feature, text: str) -> None:
    kept = Schema({"x": feature})
    said = f"feature 'x': {text}"
    assert [f.text for f in kept.faults()] == [said]
    full = json.dumps(kept.to_dict(), indent=1)
    ways: list[Any] = [
        lambda: Schema().add(feature),
        lambda: Schema().add(Feature("x")).edit("x", **_fields(feature)),
        kept.sound,
    ]
    if "nan" not in text.lower():  # JSON has no word for it
        ways.append(lambda: Schema.from_json(full, name="s.json"))
    clear = ("twice", "in both", "names", "nan", "NaN")  # in a pbtxt it has a meaning, or no word
    if not any(word in text for word in clear):
        ways.append(lambda: schema_from_proto(schema_to_proto(kept)))
    for way in ways:
        with pytest.raises(UsageError) as caught:
            way()
        assert said in caught.value.message
        assert caught.value.code == ("bad-default" if feature.default is not None else "bad-schema")
    if len(ways) == 5:  # what was stored before reads on, in every form
        assert Schema.from_json(full, stored=True) == kept
        assert schema_from_text(to_text(schema_to_proto(kept)), stored=True) == kept


def _fields(feature: Feature) -> dict[str, Any]:
    return {k: getattr(feature, k) for k in feature.__slots__ if k != "name"}


@pytest.mark.parametrize(
    ("yaml", "line", "text"),
    [
        ("features:\n  x: {type: INT, min: 9, max: 1}", 2, "the int domain has min 9 above max 1"),
        ("features:\n  x:\n    type: INT\n    presence:\n      min_fraction: 2", 5, "presence.min_fraction is 2"),
        ("features:\n  x: {type: STRING,\n    values: [a,\n      a]}", 4, "the domain has 'a' twice"),
        ("features:\n  x: {type: INT,\n    count: [3, 1]}", 3, "value_count has min 3 above max 1"),
        ("features:\n  x: {type: INT}\nrows: [9, 1]", 3, "min_examples_count 9 above max_examples_count 1"),
        ("features:\n  x: {type: INT,\n    default: [a]}", 3, "its default 'a' is no INT"),
        ("features:\n  x: {type: INT}\nrules:\n  r: x >", 4, "rule 'r' is not one expression"),
        ("features:\n  x: {type: INT}\nfresh: {x: 0s}", 3, "max_age is 0:00:00, allowed is above 0"),
        ("features:\n  at: {type: DATE}\nfresh:\n  att: 1d", 4, "freshness of 'att': the schema has no such column"),
        ("features:\n  x: {type: INT}\nfresh: {x: 1d}", 3, "freshness of 'x': the column is INT, which is no time"),
        ("features:\n  x: {type: INT}\nrows_drift: [-1, 2]", 3, "num_examples_drift.min_fraction_threshold is -1"),
        ("environments: [A,\n  A]", 2, "default_environments has 'A' twice"),
    ],
)  # fmt: skip
def test_yaml_names_the_line(yaml: str, line: int, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        schema_from_yaml(yaml, name="s.yaml")
    assert caught.value.message.startswith(f"s.yaml, line {line}: ")
    assert text in caught.value.message
    assert caught.value.details["line"] == line
    kept = schema_from_yaml(yaml, stored=True)
    assert schema_from_yaml(schema_to_yaml(kept), stored=True) == kept


@pytest.mark.parametrize(
    ("pbtxt", "line", "text"),
    [
        ('feature {\n name: "x" type: BYTES\n domain: "leters"\n}\nstring_domain { name: "letters" }', 3, "names the domain 'leters'"),
        ('feature {\n name: "x" type: INT\n int_domain {\n  min: 9\n max: 1 } }', 4, "the int domain has min 9"),
        ('feature { name: "x" }\n# twice\nfeature { name: "x" }', 3, "feature 'x' twice"),
        ('string_domain { name: "d" }\nint_domain { name: "d" }', 2, "domain 'd' twice"),
        ('sparse_feature { name: "d" }\nsparse_feature < name: "d" >', 2, "sparse feature 'd' twice"),
        ('feature { name: "s" type: STRUCT struct_domain {\n feature: { name: "x" type: INT\n presence {\n min_fraction: 2 } } } }', 4, "'s.x': presence.min_fraction is 2"),
        ('feature { name: "x" type: INT value_counts { value_count: [{ min: 1 },\n { min: 3 max: 2 }] } }', 2, "value_counts at level 1 has min 3"),
        ('feature { name: "x" type: INT\n drift_comparator {\n infinity_norm { threshold: -1 } } }', 3, "drift.infinity_norm is -1"),
        ('feature { name: "x" type: BYTES string_domain { value: "a" }\n distribution_constraints {\n min_domain_mass: 2 } }', 3, "min_domain_mass is 2"),
        ('feature { name: "x" type: INT }\ndataset_constraints {\n min_examples_count: -3 }', 3, "min_examples_count is -3"),
        ('float_domain { name: "d"\n min: 2\n max: 1 }', 2, "domain 'd': the float domain has min 2 above max 1"),
        ('feature { name: "a" \'b\' type: INT\n shape { dim { size: 2 }\n dim { size: 0 } } }', 3, "a size of its shape is 0"),
    ],
)  # fmt: skip
def test_pbtxt_names_the_line(pbtxt: str, line: int, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        schema_from_text(pbtxt, name="s.pbtxt")
    assert caught.value.message.startswith(f"s.pbtxt, line {line}: ")
    assert text in caught.value.message
    proto = read_text(schema_pb2.Schema, pbtxt)
    if "twice" not in text:
        assert isinstance(schema_from_proto(proto, exact=True), Schema), "as TFDV the walk takes it"


def test_a_domain_that_nobody_has_names_the_near_ones() -> None:
    with pytest.raises(UsageError) as caught:
        schema_from_text(
            'feature { name: "x" type: BYTES domain: "leters" } string_domain { name: "letters" }'
        )
    assert caught.value.near == ["letters"]


def test_what_tfdv_takes_in_a_clear_meaning_is_read_in_it() -> None:
    made = schema_from_text(
        'feature { name: "x" type: BYTES string_domain { value: "a" value: "b" value: "a" } '
        'in_environment: "T" in_environment: "T" not_in_environment: "T" not_in_environment: "S" }'
        'default_environment: "T" default_environment: "T"'
    )
    assert made["x"].domain == StringDomain(("a", "b"))
    assert (made["x"].in_environment, made["x"].not_in_environment) == (("T",), ("S",))
    assert made.default_environments == ("T",)
    assert Schema.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ('{"format": "whence-schema-1",\n "features": [],\n "features": []}', 3, "'features' is there twice"),
        ('{"format": "whence-schema-1", "features": [\n{"name": "x",\n "tpye": "INT"}]}', 3, "unknown key 'tpye'"),
        ('{"format": "whence-schema-1",\n "rules": [{"name": "r", "sql": "x"}, {"name": "r",\n "sql": "y"}]}', 2, "rules has 'r' twice"),
    ],
)  # fmt: skip
def test_json_names_the_line(text: str, line: int, told: str) -> None:
    for given in (text, text.encode()):
        with pytest.raises(UsageError) as caught:
            Schema.from_json(given, name="s.json")
        assert caught.value.message.startswith(f"s.json, line {line}: ")
        assert told in caught.value.message


def test_a_place_that_is_not_there_is_the_nearest_around_it() -> None:
    text = '{"a": [1,\n {"b":\n "}"}], "c": 2}'
    assert [line_of(text, at) for at in ((), ("a", 1), ("a", 1, "b"), ("a", 1, "z"), ("c",), ("c", 0))] == [
        1, 2, 3, 2, 3, 3,
    ]  # fmt: skip


def test_several_faults_are_all_told() -> None:
    with pytest.raises(UsageError, match=r"\(and 1 more\)") as caught:
        schema_from_yaml("features:\n  x: {type: INT, min: 9, max: 1}\n  y: {type: INT, unique: [3, 1]}")
    told: Any = caught.value.details["faults"]
    assert [f["line"] for f in told] == [2, 3]


def test_each_change_of_a_schema_is_looked_at() -> None:
    schema = Schema().add(X)
    refused: list[Any] = [
        lambda: schema.rows_between(9, 1),
        lambda: schema.fresh("x", timedelta(days=-1)),
        lambda: schema.domain("d", IntDomain(9, 1)),
        lambda: schema.severity("NO_SUCH_TYPE", "ERROR"),  # type: ignore[arg-type]
        lambda: schema.add(X, X),
        lambda: schema.add(Feature("y", "INTT")),  # type: ignore[arg-type]
        lambda: schema.add(Feature("y", "INT", lifecycle_stage="BETTA")),  # type: ignore[arg-type]
        lambda: schema.add(Feature("", "INT")),
        lambda: schema.expect("x", "mean", 3, 1),
    ]
    for change in refused:
        with pytest.raises(UsageError) as caught:
            change()
        assert caught.value.code == "bad-schema"
    later = schema.add(Feature("y", "STRING", domain="d"))  # the domain may come after the feature
    assert later.faults()
    assert not later.domain("d", StringDomain(("a",))).faults()


def test_the_rest_of_a_schema_is_looked_at() -> None:
    kept = Schema(
        {"x": X},
        (Rule("r", "x"), Rule("r", "x +")),
        {"d": IntDomain(9, 1)},
        ("A", "A"),
        DatasetConstraints(
            9, 1, FractionBounds(2, 1), freshness=(Freshness("x", timedelta()), Freshness("x", timedelta(1)))
        ),
        checks=(Check("c", "x;"),),
    )
    assert [(f.at[0], f.code) for f in kept.faults()] == [
        ("domains", "bad-schema"), ("default_environments", "bad-schema"), ("rules", "bad-schema"),
        ("rules", "bad-rule"), ("checks", "bad-rule"), ("constraints", "bad-schema"),
        ("constraints", "bad-schema"), ("constraints", "bad-schema"), ("constraints", "bad-schema"),
        ("constraints", "bad-schema"), ("constraints", "bad-schema"),
    ]  # fmt: skip


class TestMeaning:
    ONE = (
        Schema()
        .add(Feature("s", "STRUCT"), Feature("s.a", "INT", path=("s", "a")))
        .add(Feature("c", "STRING", domain=StringDomain(("a", "b")), in_environment=("T", "S")))
        .rule("p", "c > 'a'")
        .rule("q", "c > 'b'")
        .environments("T", "S")
    )
    OTHER = (
        Schema()
        .environments("S", "T")
        .add(Feature("c", "STRING", domain=StringDomain(("b", "a")), in_environment=("S", "T")))
        .add(Feature("s.a", "INT", path=("s", "a")), Feature("s", "STRUCT", domain=StructDomain()))
        .rule("q", "c > 'b'")
        .rule("p", "c > 'a'")
    )

    def test_order_means_nothing(self) -> None:
        assert self.ONE.digest == self.OTHER.digest
        assert self.ONE.diff(self.OTHER) == []
        assert list(self.OTHER.features) == ["c", "s.a", "s"], "the order of display stays"
        assert self.ONE.digest != self.ONE.edit("c", values=["a"]).digest
        assert self.ONE.digest != self.ONE.drop("c").digest

    def test_a_structure_comes_back_meaning_the_same(self) -> None:
        back = schema_from_text(to_text(schema_to_proto(self.ONE)))
        assert back.digest == self.ONE.digest
        assert self.ONE.diff(back) == []

    def test_what_has_an_order_keeps_it(self) -> None:
        a = Schema().add(Feature("x", "INT", shape=Shape((2, 3))))
        assert a.digest != a.edit("x", shape=Shape((3, 2))).digest
        config = {"config": {"values": [2, 1]}}
        b, c = (
            Schema.from_dict({"format": "whence-schema-1", "extra": e})
            for e in (config, {"config": {"values": [1, 2]}})
        )
        assert b.digest != c.digest

    def test_put_keeps_one_version_of_one_meaning(self, validation: Validation) -> None:
        first = validation.put_schema("t", self.ONE)
        assert validation.put_schema("t", self.OTHER).name == first.name == "t@1"
        assert validation.put_schema("t", self.ONE.drop("c")).name == "t@2"


def test_what_was_kept_before_reads_on(validation: Validation) -> None:
    nonsense = Schema({"x": replace(X, presence=Presence(2.0))})
    with pytest.raises(UsageError, match=r"presence\.min_fraction is 2"):
        validation.put_schema("t", nonsense)
    validation._put_schema("t", nonsense, None, enforced=False)  # as an earlier whence did
    kept = validation.get_schema("t")
    assert kept == nonsense
    assert validation.validate([{"x": 1}], "t").notes
    assert validation.put_schema("t", kept.edit("x", presence=Presence(1.0))).name == "t@2"


def test_the_faults_of_a_schema_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = Schema({"x": Feature("x", "INT", Presence(2.0))})
    (found,) = schema.faults()
    monkeypatch.delattr("whence.validation.schema.faults_of")
    assert schema.faults() == [found]
    assert schema == Schema(schema.features)
