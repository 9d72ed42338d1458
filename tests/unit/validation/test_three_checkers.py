"""One schema, three checkers and a naive loop: a row is bad for all of them or for none, and for the same features."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.compute import Engine
from whence.validation import (
    Feature,
    FloatDomain,
    IntDomain,
    Presence,
    Schema,
    StringDomain,
    ValueCount,
    describe,
    validate_statistics,
)
from whence.validation.plan import Plan
from whence.validation.types import Domain

TYPES = {"i": pa.int64(), "f": pa.float64(), "s": pa.string(), "l": pa.list_(pa.int64()), "d": pa.string()}
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "i": st.integers(-5, 5) | st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**63 - 1]),
    "f": st.floats(-5, 5) | st.sampled_from([math.nan, math.inf, -math.inf, -0.0]),
    "s": st.sampled_from(["a", "b", "c", "", "é", "A"]),
    "l": st.lists(st.integers(-3, 3), max_size=3),
    "d": st.sampled_from(["1", "-3", "12", "x", "", "2.5"]),
}
ROWS = st.lists(st.fixed_dictionaries({n: st.none() | c for n, c in CELLS.items()}), min_size=1, max_size=6)
Row = dict[str, Any]


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Presence for some, a domain for some, numbers of values for lists."""
    ints = st.none() | st.integers(-4, 4) | st.just(2**53)
    floats = st.none() | st.floats(-4, 4)
    domains: dict[str, st.SearchStrategy[Domain | None]] = {
        "i": st.none() | st.builds(IntDomain, ints, ints),
        "f": st.none() | st.builds(FloatDomain, floats, floats, st.booleans(), st.booleans()),
        "s": st.none() | st.lists(st.sampled_from("abcé"), unique=True).map(lambda v: StringDomain(tuple(v))),
        "l": st.none() | st.builds(IntDomain, st.none() | st.integers(-2, 2), st.none() | st.integers(-2, 2)),
        "d": st.none() | st.builds(IntDomain, ints, ints),
    }
    kinds = {"i": "INT", "f": "FLOAT", "s": "STRING", "l": "INT", "d": "STRING"}
    schema = Schema()
    for name in TYPES:
        schema = schema.add(
            Feature(
                name,
                kinds[name],  # type: ignore[arg-type]  # a word of the language
                draw(st.sampled_from([None, Presence(1.0, 1), Presence(0.5), Presence(None, 1)])),
                draw(st.sampled_from([None, ValueCount(1, None), ValueCount(None, 2), ValueCount(1, 1)]))
                if name == "l"
                else None,
                draw(domains[name]),
            ),
            stored=True,
        )
    return schema


def is_bad(feature: Feature, cell: Any) -> bool:
    """Whether a row breaks what the schema says of one feature."""
    if cell is None:
        return feature.presence is not None and feature.presence.min_fraction == 1.0
    counts = feature.value_count
    values = cell if isinstance(cell, list) else [cell]
    if counts is not None and not (counts.min or 0) <= len(values) <= (
        math.inf if counts.max is None else counts.max
    ):
        return True
    return any(not is_within(feature.domain, v) for v in values)


def is_within(domain: Any, value: Any) -> bool:
    if domain is None:
        return True
    if isinstance(domain, StringDomain):
        return value in domain.values
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            return False
    if isinstance(domain, FloatDomain):
        if math.isnan(value):
            return not domain.disallow_nan
        if math.isinf(value) and domain.disallow_inf:
            return False
    return (domain.min is None or value >= domain.min) and (domain.max is None or value <= domain.max)


@settings(deadline=None, max_examples=60)
@given(schemas(), ROWS)
def test_they_agree_with_each_other_and_with_a_naive_loop(
    engine: Engine, schema: Schema, rows: list[Row]
) -> None:
    plan = Plan(schema)
    table = pa.Table.from_pylist(rows, schema=pa.schema(TYPES))
    by_row = [plan.row(r) for r in rows]
    assert [{r.feature for r in found} for found in by_row] == [
        {f.name for f in schema if is_bad(f, row[f.name])} for row in rows
    ]
    by_batch = plan.batch(table)
    assert [sorted((r.feature, r.type, r.text) for r in found) for found in by_batch] == [
        sorted((r.feature, r.type, r.text) for r in found) for found in by_row
    ]
    keyed = table.append_column("k", pa.array(range(len(rows))))
    counted: dict[tuple[str, str], int] = {}
    for test, bad in plan.count(keyed, engine, key=("k",)).items():
        counted[test.feature, test.type] = counted.get((test.feature, test.type), 0) + bad.n
    wanted: dict[tuple[str, str], int] = {}
    for found in by_row:
        for r in found:
            wanted[r.feature, r.type] = wanted.get((r.feature, r.type), 0) + 1
    assert {k: n for k, n in counted.items() if n} == wanted


@settings(deadline=None, max_examples=60)
@given(schemas(), ROWS)
def test_a_bad_row_makes_an_anomaly_of_all_rows(schema: Schema, rows: list[Row]) -> None:
    """What a row is refused for, the statistics of all rows are refused for, and the other way round."""
    found, _ = validate_statistics(describe(pa.Table.from_pylist(rows, schema=pa.schema(TYPES))), schema)
    by_rows = {r.feature for row in rows for r in Plan(schema).row(row)}
    of_all = {
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "FEATURE_TYPE_LOW_NUMBER_PRESENT",
        "FEATURE_TYPE_NOT_PRESENT",
    }
    by_statistics = {
        a.feature
        for a in found
        if a.type not in of_all or ((p := schema[a.feature].presence) is not None and p.min_fraction == 1.0)
    }
    assert by_statistics == by_rows
