"""The raw rows of a value, and the value made again from them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

import whence.features as w
from whence.compute import Engine
from whence.errors import UsageError
from whence.features.explain import Explanation, explain_feature
from whence.features.leaks import same
from whence.features.source import Source
from whence.features.types import FeatureView

TS = pa.timestamp("us", tz="UTC")
Hour = Callable[[float], datetime]


@pytest.fixture
def source(hour: Hour) -> Source:
    n = 60
    rows = pa.table(
        {
            "id": [f"r{i % 50}" for i in range(n)],
            "k": [None if i % 13 == 0 else "ab"[i % 2] for i in range(n)],
            "v": [None if i % 7 == 0 else i * i % 23 for i in range(n)],
            "x": [i / 7 for i in range(n)],
            "e": pa.array([hour(i % 50) for i in range(n)], TS),
            "at": pa.array([hour(i + i % 5) for i in range(n)], TS),
        }
    )
    return Source("s", rows, rows.schema, ("id",), "at", 12)


def view(**settings: Any) -> FeatureView:
    features = [op("v", over="20h") for op in (w.sum, w.mean, w.std, w.min, w.max, w.first, w.last)]
    features += [op("x", over="20h") for op in (w.sum, w.mean, w.std)]
    features += [
        w.mean("x", over="20h", scale=2).named("mx"),
        w.count(over="9h", where="v > 5"),
        w.last("v"),
        w.last("x"),
    ]
    return FeatureView(
        "f", entity=w.Entity("k", ["k"]), source="s", timestamp="e", features=features, **settings
    )


@pytest.mark.parametrize("settings", [{}, {"ttl": "3h"}, {"hop": "6h"}])
@pytest.mark.parametrize("known", ["then", "now"])
def test_every_value_is_made_again_exactly(
    engine: Engine, source: Source, hour: Hour, settings: dict[str, str], known: Any
) -> None:
    one = view(**settings)
    seen = set()
    for key in ("a", "?", None):
        for at in (hour(20), hour(54)):
            for feature in one.features:
                found = explain_feature(one, feature.name, {"k": key}, at, source, engine, known=known)
                assert same(found.value, w.recompute(found)), (feature.name, key, at)
                seen.add(found.n_rows)
    assert len(seen) >= 3


def test_rows_are_named_and_the_rule_is_told(engine: Engine, source: Source, hour: Hour) -> None:
    found = explain_feature(view(ttl="3h"), "f__v", {"k": "b"}, hour(8), source, engine)
    assert found.name == "f__v"
    assert found.source == "table:s@12"
    assert found.rows["_row"].to_pylist() == ["row:s@12/r5"]
    assert found.rows["v"].to_pylist() == [found.value] == [2]
    assert found.predicate == (
        '"k" = \'b\' AND "e" >= TIMESTAMPTZ \'2013-01-01T05:00:00+00:00\' AND "e" <= TIMESTAMPTZ'
        " '2013-01-01T08:00:00+00:00' AND \"at\" <= TIMESTAMPTZ '2013-01-01T08:00:00+00:00'"
        " -- the newest known row of each (id) -- the newest of them"
    )


def test_the_rule_runs_as_sql(engine: Engine, source: Source, hour: Hour) -> None:
    one = view(hop="6h")
    found = explain_feature(
        one, "count_9h", {"k": "a"}, hour(30), Source.of("s", source.relation, known_at="at"), engine
    )
    got = engine.query(f"SELECT count(*) AS n FROM src WHERE {found.predicate}", {"src": source.relation})
    assert got["n"][0].as_py() == found.value == found.n_rows


def test_rows_without_a_key_are_named_by_their_place(engine: Engine, source: Source, hour: Hour) -> None:
    plain = Source("s", source.relation, source.schema, (), "at", 3)
    found = explain_feature(view(), "v", {"k": "b"}, hour(8), plain, engine)
    assert found.rows["_row"].to_pylist() == ["row:s@3/#5"]


def test_a_composite_key_is_written_as_json(engine: Engine, source: Source, hour: Hour) -> None:
    pair = Source("s", source.relation, source.schema, ("k", "id"), "at", 3)
    found = explain_feature(view(), "v", {"k": "b"}, hour(8), pair, engine)
    assert found.rows["_row"].to_pylist() == ['row:s@3/["b","r5"]']


def test_the_spine_s_name_of_a_key_will_do(engine: Engine, source: Source, hour: Hour) -> None:
    other = view().with_keys({"k": "dest"}, name="there")
    found: Explanation = explain_feature(other, "v", {"dest": "b"}, hour(8) + timedelta(0), source, engine)
    assert found.value == 2
    with pytest.raises(UsageError, match="needs a value for key 'dest'") as caught:
        explain_feature(other, "v", {"destination": "b"}, hour(8), source, engine)
    assert caught.value.code == "missing-key"
