"""Schemas of every shape, for Hypothesis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from hypothesis import strategies as st

from whence.validation import Schema
from whence.validation.types import (
    MEASURES,
    Annotation,
    AnomalyType,
    BoolDomain,
    Check,
    Comparator,
    Coverage,
    DatasetConstraints,
    DerivedSource,
    Expectation,
    Feature,
    FloatDomain,
    FractionBounds,
    Freshness,
    ImageDomain,
    IntDomain,
    MidDomain,
    NaturalLanguageDomain,
    Presence,
    Rule,
    SequenceLength,
    SequenceMetadata,
    Shape,
    SparseFeature,
    StringDomain,
    StructDomain,
    TimeDomain,
    TimeOfDayDomain,
    TokenConstraint,
    Unique,
    UrlDomain,
    ValueCount,
    WeightedFeature,
)

names = st.sampled_from(
    ["carrier", "arr_delay", "wind speed", 'a"b', "über", "yes", "NO", "1", "null", "a: b", "#x"]
)
words = st.sampled_from(
    [
        "",
        "a",
        "no",
        "1.5",
        "true",
        "x y",
        "'",
        "\n",
        "é",
        "~",
        "2013-01-01",
        "- a",
        "{",
        "3e2",
        "0694",
        ".inf",
        "1_0",
        "\x85",
        "\u2028",
        "1e3",
        "-.5",
        "\ufeffa",
        "\t",
        "a\xa0",
        " a ",
        "a\n b",
        "a: b",
        "#",
        "&a",
        "*a",
        "!x",
    ]
)
maybe = st.none() | st.integers(-100, 100)
count = st.none() | st.integers(0, 100)
floats = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([float("inf"), float("-inf"), 1e-300])
share = st.none() | st.floats(0, 1)
yes = st.none() | st.booleans()
value_counts = st.builds(ValueCount, count, count)
token = st.builds(TokenConstraint, st.integers(0, 9) | words, count, count, share, share)
domains = st.one_of(
    st.builds(IntDomain, maybe, maybe, yes, st.sampled_from(["", "hours"])),
    st.builds(FloatDomain, floats, floats, st.booleans(), st.booleans(), yes, yes, count, st.none() | words),
    st.builds(StringDomain, st.lists(words, unique=True).map(tuple), yes),
    st.builds(BoolDomain, st.none() | words, st.none() | words),
    st.builds(
        TimeDomain,
        st.none() | st.dates(),
        st.none() | st.just(datetime(2013, 1, 1, tzinfo=UTC)),
        st.none() | st.just("%Y"),
        st.sampled_from([None, "UNIX_DAYS"]),
    ),
    st.builds(TimeOfDayDomain, st.none() | st.just("%H:%M")),
    st.builds(ImageDomain, share, count),
    st.builds(
        NaturalLanguageDomain,
        st.none() | words,
        st.none() | st.builds(Coverage, share, share, st.lists(words, max_size=2).map(tuple)),
        st.lists(token, max_size=2).map(tuple),
        st.none() | st.builds(SequenceLength, count, count),
    ),
    st.sampled_from([StructDomain(), UrlDomain(), MidDomain()]),
)
environments = st.lists(st.sampled_from(["TRAINING", "SERVING", "EVAL"]), unique=True).map(tuple)
versions = st.lists(st.sampled_from(["flights@1", "flights@2"]), unique=True).map(tuple)
comparators = st.builds(
    Comparator, share, share, share, st.sampled_from(["DEFAULT", "QUANTILES", "STANDARD"]), versions
)
expectations = st.builds(
    Expectation,
    st.sampled_from([*MEASURES, "quantile(0.99)"]),
    st.floats(-1e6, 1e6),
    floats,
    st.sampled_from(["ERROR", "WARNING"]),
    versions,
)
json_values: Any = st.none() | st.booleans() | st.integers() | words
features = st.builds(
    Feature,
    name=names,
    type=st.none()
    | st.sampled_from(["INT", "FLOAT", "STRING", "BYTES", "BOOL", "TIMESTAMP", "DATE", "STRUCT"]),
    presence=st.none() | st.builds(Presence, share, count) | st.just(Presence(1.0, 1)),
    value_count=st.none() | value_counts,
    domain=st.none() | names | domains,
    min_domain_mass=st.floats(0, 1),
    unique=st.none() | st.builds(Unique, count, count),
    in_environment=environments,
    not_in_environment=environments,
    lifecycle_stage=st.none() | st.sampled_from(["PLANNED", "BETA", "DEPRECATED", "VALIDATION_DERIVED"]),
    default=json_values,
    skew=st.none() | comparators,
    drift=st.none() | comparators,
    description=words,
    path=st.sampled_from([(), ("a", "b")]),
    shape=st.none()
    | st.builds(
        Shape,
        st.lists(st.none() | st.integers(1, 5), max_size=2).map(tuple),
        st.sampled_from([(), ("height",)]),
    ),
    value_counts=st.lists(value_counts, max_size=2).map(tuple),
    group_presence=yes,
    expect=st.lists(expectations, max_size=2).map(tuple),
    validation_derived_source=st.none() | st.builds(DerivedSource, words, words, st.just((("a", "b"),))),
    sequence_metadata=st.none()
    | st.builds(SequenceMetadata, st.none() | st.just("SEQUENTIAL_YES"), st.none() | words, count),
    annotation=st.none() | st.builds(Annotation, st.lists(words, max_size=2).map(tuple)),
)
aside = st.sampled_from(["ERROR", "WARNING"])
constraints = st.builds(
    DatasetConstraints,
    count,
    count,
    st.none() | st.builds(FractionBounds, share, share),
    st.none() | st.builds(FractionBounds, share, share),
    st.lists(
        st.builds(Freshness, names, st.timedeltas(timedelta(0), timedelta(days=99)), aside),
        unique_by=lambda f: f.column,
        max_size=2,
    ).map(tuple),
)
schemas = st.builds(
    Schema,
    features=st.lists(features, max_size=3).map(lambda fs: {f.name: f for f in fs}),
    rules=st.lists(
        st.builds(Rule, names, st.just("a > 0"), aside, environments), unique_by=lambda r: r.name, max_size=2
    ).map(tuple),
    domains=st.dictionaries(names, domains, max_size=2),
    default_environments=environments,
    constraints=constraints,
    severities=st.dictionaries(st.sampled_from(get_args(AnomalyType)), aside, max_size=2),
    checks=st.lists(
        st.builds(Check, names, st.just("avg(a) > 0"), aside), unique_by=lambda r: r.name, max_size=2
    ).map(tuple),
    sparse_features=st.lists(
        st.builds(SparseFeature, names, words, st.just(("i", "j")), yes), max_size=1
    ).map(lambda fs: {f.name: f for f in fs}),
    weighted_features=st.lists(st.builds(WeightedFeature, names, words, words), max_size=1).map(
        lambda fs: {f.name: f for f in fs}
    ),
    represent_variable_length_as_ragged=yes,
    annotation=st.none() | st.builds(Annotation, st.just(()), st.lists(words, max_size=1).map(tuple)),
    extra=st.sampled_from([{}, {"tensor_representation_group": {"": {"a": [1, None]}}}]),
)
