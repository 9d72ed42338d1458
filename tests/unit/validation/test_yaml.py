from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings

from tests.unit.validation.strategies import schemas
from whence.errors import UsageError
from whence.validation import (
    BoolDomain,
    Comparator,
    Feature,
    FloatDomain,
    Presence,
    Schema,
    StringDomain,
    TimeDomain,
    Unique,
    ValueCount,
    schema_from_yaml,
    schema_to_yaml,
)
from whence.validation.types import Expectation, Freshness, Shape

FLIGHTS = """\
environments: [TRAINING, SERVING]
features:
  carrier: {type: STRING, required: true, values: [AA, NO], drift: {l_infinity: 0.1}, default: AA}
  arr_delay: {type: FLOAT, min: -100, no_nan: true, not_in: [SERVING], expect: {mean: [-5, 30]}}
  hour: INT
  at: TIMESTAMP required
  late: {type: STRING, bool: {true: yes, false: no}, presence: 0.9, unique: [1, 2]}
  since: {type: DATE, min: 2013-01-01}
  legs: {type: INT, count: [1, null]}
  image: {type: FLOAT, shape: [28, 28]}
  code: {type: STRING, domain: codes, mass: 0.99, stage: BETA}
domains: {codes: [a, b]}
rules:
  sane: arr_delay > -100
checks:
  on time: {sql: avg(arr_delay) < 20, severity: WARNING}
rows: [1000, null]
rows_drift: [0.5, 2]
fresh: {at: 2d}
"""


def test_the_short_form() -> None:
    s = schema_from_yaml(FLIGHTS)
    assert s["carrier"] == Feature(
        "carrier", "STRING", Presence(1.0, 1), domain=StringDomain(("AA", "NO")), drift=Comparator(0.1), default="AA"
    )  # fmt: skip
    assert s["arr_delay"].domain == FloatDomain(-100.0, disallow_nan=True)
    assert s["arr_delay"].expect == (Expectation("mean", -5.0, 30.0),)
    assert s["hour"] == Feature("hour", "INT")
    assert s["at"] == Feature("at", "TIMESTAMP", Presence(1.0, 1))
    assert (s["late"].domain, s["late"].presence, s["late"].unique) == (
        BoolDomain("yes", "no"), Presence(0.9, 1), Unique(1, 2)
    )  # fmt: skip
    assert isinstance(s["since"].domain, TimeDomain)
    assert (s["legs"].value_count, s["image"].shape) == (ValueCount(1), Shape((28, 28)))
    assert (s.domain_of(s["code"]), s["code"].min_domain_mass) == (StringDomain(("a", "b")), 0.99)
    assert [r.sql for r in s.rules] == ["arr_delay > -100"]
    assert s.checks[0].severity == "WARNING"
    assert s.constraints.min_examples_count == 1000
    assert s.constraints.freshness == (Freshness("at", timedelta(days=2)),)
    assert s.default_environments == ("TRAINING", "SERVING")
    assert schema_from_yaml(schema_to_yaml(s)) == s


@given(schemas())
@settings(max_examples=50, deadline=None)
def test_round_trip(schema: Schema) -> None:
    for f in schema:
        if isinstance(f.domain, str):
            schema = schema.domain(f.domain, schema.domain_of(f) or StringDomain(("a",)))
    back = schema_from_yaml(schema_to_yaml(schema), stored=True)
    assert back == schema
    assert back.digest == schema.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("features:\n  a: {type: INT\n", "the schema, line 3: not YAML: expected ',' or '}'"),
        ("features:\n  a: INT\n  a: FLOAT\n", "the schema, line 3: not YAML: 'a' is there twice"),
        ("features:\n  a: INT\nfeature: {}\n", "the schema, line 3: a schema has no 'feature'"),
        ("features:\n  a: INT\n  b: IMT\n", "the schema, line 3: type of feature 'b' is 'IMT', which is unknown"),
        ("features:\n  a:\n    type: INT\n    mn: 3\n", "the schema, line 4: feature 'a' has the unknown key 'mn'"),
        ("features:\n  a:\n    type: INT\n    min: low\n", "the schema, line 4: min of int domain must be a whole number"),
        ("features:\n  a:\n    type: STRING\n    min: 3\n", "the schema, line 2: feature 'a' is STRING and has no range"),
        ("features:\n  a:\n    type: STRING\n    values:\n    - x\n    - 1\n", "the schema, line 6: entry 2 of values of string domain must be text, got 1"),
        ("features:\n  a:\n    type: INT\n    domain: {kind: ints}\n", "the schema, line 4: a domain of kind 'ints' is unknown"),
        ("features:\n  a:\n    type: INT\n    drift: {linf: 3}\n", "the schema, line 4: drift of feature 'a' has the unknown key 'linf'"),
        ("features:\n  a:\n    type: INT\n    expect: {maen: [1, 2]}\n", "the schema, line 4: 'maen' is no measure"),
        ("features:\n  a:\n    type: INT\n    expect: {mean: 3}\n", "the schema, line 4: mean expected of feature 'a' is 3"),
        ("features:\n  a: INT mandatory\n", "the schema, line 2: feature 'a' is 'INT mandatory'"),
        ("features:\n  a:\n    type: INT\n    required: maybe\n", "the schema, line 4: required of feature 'a' is true or false"),
        ("fresh: {at: soon}\n", "the schema, line 1: max_age of .* is 'soon', which is no duration"),
        ("rows: many\n", "the schema, line 1: rows are "),
        ("severities: {NEW: ERROR}\n", "the schema, line 1: 'NEW' is no type of anomaly"),
        ("features:\n  a: {type: STRING, domain: letterz}\ndomains: {letters: [a]}\n", "the schema, line 2: feature 'a' names the domain 'letterz', which .* Near: 'letters'"),
        ("- a\n", "the schema, line 1: a schema is a mapping, got list"),
        ("features: [a]\n", "the schema, line 1: features is a mapping of names, got list"),
        ("rules:\n  sane: {slq: x}\n", "the schema, line 2: rule 'sane' has the unknown key 'slq'"),
        ("features:\n  a: !!python/name:os.system\n", "the schema, line 2: not YAML: the tag"),
    ],
)  # fmt: skip
def test_the_line_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        schema_from_yaml(text)
    assert caught.value.code == "bad-schema"


def test_the_way_out_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        schema_from_yaml("features: {a: {type: INTT}}")
    assert caught.value.near == ["INT"]
    with pytest.raises(UsageError, match="write it in quotes: '1'"):
        schema_from_yaml("features: {a: {type: STRING, values: [1]}}")


def test_nothing() -> None:
    assert schema_from_yaml("") == Schema()
    assert schema_to_yaml(Schema()) == "{}\n"
