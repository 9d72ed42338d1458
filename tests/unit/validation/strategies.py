"""Schemas and tables of every kind, for round trips in every form: JSON, YAML, protos."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import pyarrow as pa
from hypothesis import strategies as st

from whence.validation import Schema
from whence.validation.paths import path_text
from whence.validation.types import (
    MEASURES,
    Annotation,
    AnomalyType,
    AudioDomain,
    BoolDomain,
    Check,
    Comparator,
    ContentChunkDomain,
    Coverage,
    DatasetConstraints,
    DerivedSource,
    Domain,
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
    Severity,
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
    VideoDomain,
    WeightedFeature,
)

NAMES = st.text(st.sampled_from("abcxyz.\"' é_"), min_size=1, max_size=6) | st.sampled_from(
    ["carrier", "wind speed", "yes", "NO", "1", "null", "a: b", "#x"]
)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        "no", "1.5", "true", "x y", "'", "\n", "~", "2013-01-01", "- a", "{", "3e2", "0694", ".inf", "1_0", "\x85",
        "\u2028", "1e3", "-.5", "\ufeffa", "\t", "a\xa0", " a ", "a\n b", "a: b", "#", "&a", "*a", "!x",
    ]
)  # fmt: skip
"""Any text, and what YAML could take for something else."""
INT64 = st.integers(-(2**63), 2**63 - 1)
COUNTS = st.none() | st.integers(0, 2**40)
DOUBLES = st.floats(allow_nan=False)
SHARES = st.none() | st.floats(0, 1)
SINGLES = st.none() | st.floats(0, 1, width=32)
FLAGS = st.sampled_from([None, True, False])


def many(values: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=most).map(tuple)


SHAPES = st.integers(0, 3).flatmap(
    lambda n: st.builds(
        Shape,
        st.tuples(*[st.none() | st.integers(0, 99)] * n),
        st.just(()) | (st.tuples(*[NAMES] * n) if n else st.just(())),
    )
)
DOMAINS: st.SearchStrategy[Domain] = st.one_of(
    st.builds(IntDomain, st.none() | INT64, st.none() | INT64, FLAGS, st.just("") | NAMES),
    st.builds(
        FloatDomain,
        st.none() | DOUBLES,
        st.none() | DOUBLES,
        st.booleans(),
        st.booleans(),
        FLAGS,
        FLAGS,
        COUNTS,
        st.none() | NAMES,
        st.just("") | NAMES,
    ),
    st.builds(StringDomain, many(WORDS), FLAGS, st.just("") | NAMES),
    st.builds(BoolDomain, st.none() | WORDS, st.none() | WORDS, st.just("") | NAMES),
    st.builds(
        TimeDomain,
        st.none() | st.just(datetime(2013, 1, 1, tzinfo=UTC)) | st.dates(),
        st.none() | st.just(date(2020, 2, 29)),
        st.none() | st.just("%Y"),
        st.sampled_from([None, "UNIX_DAYS"]),
    ),
    st.builds(TimeDomain, string_format=st.just("%Y-%m-%d")),
    st.builds(TimeDomain, integer_format=st.sampled_from(["UNIX_DAYS", "UNIX_NANOSECONDS"])),
    st.builds(TimeOfDayDomain, string_format=st.just("%H:%M")),
    st.just(TimeOfDayDomain(integer_format="PACKED_64_NANOS")),
    st.builds(
        NaturalLanguageDomain,
        st.none() | NAMES,
        st.none() | st.builds(Coverage, SINGLES, SINGLES, many(WORDS), many(INT64), many(WORDS)),
        many(st.builds(TokenConstraint, INT64 | WORDS, COUNTS, COUNTS, SINGLES, SINGLES)),
        st.none() | st.builds(SequenceLength, COUNTS, COUNTS, many(INT64), many(WORDS)),
    ),
    st.builds(ImageDomain, SINGLES, COUNTS),
    st.sampled_from(
        [AudioDomain(), VideoDomain(), ContentChunkDomain(), UrlDomain(), MidDomain(), StructDomain()]
    ),
)
COMPARATORS = st.builds(
    Comparator, SHARES, SHARES, SHARES, st.sampled_from(["DEFAULT", "QUANTILES", "STANDARD"]), many(NAMES)
)
VERSIONS = st.lists(st.sampled_from(["t@1", "t@2"]), unique=True).map(tuple)
SEVERITIES: st.SearchStrategy[Severity] = st.sampled_from(get_args(Severity))
EXPECTATIONS = st.builds(
    Expectation,
    st.sampled_from([*MEASURES, "quantile(0.99)"]),
    st.floats(-1e6, 1e6),
    st.none() | DOUBLES,
    SEVERITIES,
    VERSIONS,
)
BOUNDS = st.builds(FractionBounds, SHARES, SHARES)
ANNOTATIONS = st.builds(
    Annotation, many(WORDS), many(WORDS.filter(lambda w: not w.startswith("whence: ")))
).filter(lambda a: a != Annotation())
FEATURES = st.builds(
    Feature,
    name=st.just(""),
    type=st.sampled_from([None, "INT", "FLOAT", "STRING", "BYTES", "BOOL", "TIMESTAMP", "DATE", "STRUCT"]),
    presence=st.none() | st.builds(Presence, SHARES, COUNTS),
    value_count=st.none() | st.builds(ValueCount, COUNTS, COUNTS),
    domain=st.none() | DOMAINS | NAMES,
    min_domain_mass=st.just(1.0) | st.floats(0, 1),
    unique=st.none() | st.builds(Unique, COUNTS, COUNTS),
    in_environment=many(NAMES, 2),
    not_in_environment=many(NAMES, 2),
    lifecycle_stage=st.sampled_from(
        [None, "PLANNED", "BETA", "DEPRECATED", "DISABLED", "VALIDATION_DERIVED"]
    ),
    default=st.none() | st.booleans() | st.integers() | WORDS,
    skew=st.none() | COMPARATORS,
    drift=st.none() | COMPARATORS,
    description=st.just("") | WORDS,
    expect=many(EXPECTATIONS, 2),
    validation_derived_source=st.none()
    | st.builds(DerivedSource, WORDS, WORDS, many(st.tuples(NAMES, NAMES)), st.sampled_from([None, True])),
    sequence_metadata=st.none()
    | st.builds(
        SequenceMetadata,
        st.sampled_from([None, "SEQUENTIAL_YES", "SEQUENTIAL_NO"]),
        st.none() | NAMES,
        COUNTS,
    ),
    annotation=st.none() | ANNOTATIONS,
)


@st.composite
def shaped(draw: st.DrawFn) -> Feature:
    """A feature that says its number of values in one of the ways, or in none."""
    made = draw(FEATURES)
    way = draw(st.sampled_from(["shape", "levels", "group", "as is"]))
    if way == "shape":
        made = replace(made, shape=draw(SHAPES), value_count=None)
    if way == "levels":
        levels = draw(st.lists(st.builds(ValueCount, COUNTS, COUNTS), min_size=1, max_size=3))
        made = replace(made, value_counts=tuple(levels), value_count=None)
    if way == "group":
        made = replace(made, group_presence=draw(st.booleans()), presence=None)
    return made


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Any schema: the whole language, parts of structures with and without their structure."""
    columns = draw(st.lists(NAMES, max_size=3, unique=True))
    paths: list[tuple[str, ...]] = [(c,) for c in columns]
    for path in list(paths):
        if draw(st.booleans()):
            parts = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
            paths += [(*path, p) for p in parts]
    features: dict[str, Feature] = {}
    parents = {p[:-1] for p in paths}
    for path in paths:
        made = draw(shaped())
        if path in parents:
            if draw(st.booleans()):
                continue  # a structure that is not said
            made = replace(made, type="STRUCT", domain=StructDomain())
        elif isinstance(made.domain, StructDomain):
            made = replace(made, domain=None)
        name = path_text(path, columns)
        features[name] = replace(made, name=name, path=path if len(path) > 1 else ())
    shared = draw(st.dictionaries(NAMES, DOMAINS.filter(lambda d: not getattr(d, "name", "")), max_size=2))
    rules = st.lists(
        st.builds(Rule, NAMES, st.just("a > 0"), SEVERITIES, many(NAMES, 1)),
        max_size=2,
        unique_by=lambda each: each.name,
    )
    checks = st.lists(
        st.builds(Check, NAMES, st.just("avg(a) < 2"), SEVERITIES),
        max_size=2,
        unique_by=lambda each: each.name,
    )
    ages = st.timedeltas(timedelta(0), timedelta(days=99))
    fresh = st.lists(
        st.builds(Freshness, NAMES, ages, SEVERITIES), max_size=2, unique_by=lambda each: each.column
    )
    sparse = draw(st.lists(NAMES, max_size=2, unique=True))
    return Schema(
        features,
        rules=tuple(draw(rules)),
        domains=shared,
        default_environments=tuple(draw(st.lists(NAMES, max_size=2))),
        constraints=draw(
            st.builds(
                DatasetConstraints,
                COUNTS,
                COUNTS,
                st.none() | BOUNDS,
                st.none() | BOUNDS,
                fresh.map(tuple),
            )
        ),
        severities=draw(st.dictionaries(st.sampled_from(get_args(AnomalyType)), SEVERITIES, max_size=2)),
        checks=tuple(draw(checks)),
        sparse_features={
            n: SparseFeature(n, "v", ("i", "j"), draw(FLAGS), draw(st.none() | SHAPES), None) for n in sparse
        },
        weighted_features={"w": WeightedFeature("w", "a", "b")} if draw(st.booleans()) else {},
        represent_variable_length_as_ragged=draw(FLAGS),
        annotation=draw(st.none() | ANNOTATIONS),
    )


COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int": (pa.int64(), st.integers(-(2**60), 2**60) | st.integers(0, 3)),
    "float": (pa.float64(), st.floats()),
    "text": (pa.string(), WORDS),
    "bytes": (pa.binary(), st.binary(max_size=4)),
    "flag": (pa.bool_(), st.booleans()),
    "at": (pa.timestamp("us", "UTC"), st.integers(0, 4_102_444_800_000_000)),
    "day": (pa.date32(), st.dates(date(1900, 1, 1), date(2100, 1, 1))),
    "list": (pa.list_(pa.int64()), st.lists(st.integers(0, 9), max_size=3)),
    "nested": (
        pa.list_(pa.list_(pa.float64())),
        st.lists(st.lists(st.floats(-9, 9), max_size=2), max_size=2),
    ),
    "struct": (
        pa.struct([("x", pa.int64()), ("y.z", pa.list_(pa.string()))]),
        st.fixed_dictionaries(
            {"x": st.none() | st.integers(0, 5), "y.z": st.none() | st.lists(WORDS, max_size=2)}
        ),
    ),
    "nothing": (pa.null(), st.none()),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Rows of some columns of every type, with nulls; no rows at all too."""
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4, unique=True))
    n = draw(st.integers(0, 6))
    return pa.table(
        {
            name: pa.array(
                draw(st.lists(st.none() | COLUMNS[name][1], min_size=n, max_size=n)), COLUMNS[name][0]
            )
            for name in names
        }
    )
