"""A fold rebuilt from the lake answers as one that lived through the commits."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import whence.features as w
from tests.unit.features.conftest import assert_same
from tests.unit.features.test_against_oracle import MINUTE, SCHEMA, T0, asked, made, raw_row
from tests.unit.features.test_fold import (
    Asks,
    chosen_features,
    cuts,
    declared_keys,
    hops,
    in_steps,
    minutes,
    row,
    spine_of,
    table_of,
    ttls,
    view_of,
)
from whence.compute import Engine
from whence.errors import NotFoundError
from whence.features.source import Source
from whence.features.types import Aggregation, FeatureView
from whence.lake import Lake, open_lake
from whence.metadata import Recorder, open_store


def lake_of(engine: Engine, folder: Path | None = None) -> Lake:
    url = "memory://" if folder is None else str(folder)
    return open_lake(url, recorder=Recorder(open_store("memory://")), engine=engine)


def with_watermarks(rows: list[dict[str, Any]], asks: Asks, at: list[int]) -> list[tuple[pa.Table, Asks]]:
    """Commits and batches by turns, where a row is known later than every moment asked before it came."""
    steps, moment = [], T0 - timedelta(days=1)
    for commit, batch in in_steps(rows, asks, at):
        later = moment + timedelta(microseconds=1)
        known = [{**r, "at": max(r["at"] or later, later)} for r in commit]
        steps.append((table_of(known), batch))
        moment = max([moment, *(q for _, q in batch)])
    return steps


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    chosen=chosen_features, raw=st.lists(raw_row, min_size=3, max_size=14), at=cuts,
    asks=st.lists(asked, min_size=4, max_size=8), ttl=ttls, hop=hops, key=declared_keys, timed=st.booleans(),
)  # fmt: skip
def test_a_rebuilt_fold_is_one_that_lived(
    chosen: list[Aggregation], raw: list[dict[str, Any]], at: list[int], asks: list[tuple[str | None, int]],
    ttl: str | None, hop: str | None, key: tuple[str, ...], timed: bool, engine: Engine,
) -> None:  # fmt: skip
    if not timed:
        chosen, ttl = [w.last("n"), w.last("x", where="n > 0")], None
    view = view_of(chosen, ttl=ttl, hop=hop, timestamp="e" if timed else None)
    lake = lake_of(engine)
    table = lake.create("s", SCHEMA, key=key, event_time="e", known_at="at")
    lived = w.Fold([view], {"s": Source.of_version(table.head())})
    # the lake takes no row without any name
    named = [r for r in made(raw) if not key or any(r[c] is not None for c in key)]
    for commit, batch in with_watermarks(named, [(k, T0 + m * MINUTE) for k, m in asks], at):
        rebuilt = w.Fold.build([view], {"s": table.head()}, at=lived.moment, engine=engine)
        assert rebuilt.moment == lived.moment
        lived.forget()
        assert rebuilt.n_rows <= lived.n_rows + len(raw) * (lived.moment is None)
        if commit.num_rows:
            table.append(commit)
            lived.add("s", commit)
            rebuilt.add("s", commit)
        got = rebuilt.features(spine_of(batch), at="q")
        assert got.equals(lived.features(spine_of(batch), at="q"))
        want = w.join_features(
            spine_of(batch),
            [view],
            {"s": Source.of("s", table.arrow(), key=key, known_at="at")},
            engine,
            at="q",
        ).table
        assert_same(got, want, view, table.arrow())


def test_only_files_and_rows_in_reach_are_read(engine: Engine, tmp_path: Path) -> None:
    table = lake_of(engine, tmp_path / "lake").create("s", SCHEMA, key=["id"], event_time="e", known_at="at")
    for hour in range(10):
        table.append(table_of([row(f"{hour}-{i}", 60 * hour + i, i) for i in range(60)]))
    view = view_of([w.count(over="30min"), w.max("n", over="90min")])
    fold = w.Fold.build([view], {"s": table.head()}, at=minutes(599), engine=engine)
    assert fold.n_rows == 91
    got = fold.features(spine_of([("K", minutes(599)), ("K", minutes(600))]), at="q")
    assert [column.to_pylist() for column in got.columns] == [[30, 30], [59, 59]]


def test_what_takes_a_row_back_is_read_however_old_its_event(engine: Engine, tmp_path: Path) -> None:
    table = lake_of(engine, tmp_path / "lake").create("s", SCHEMA, key=["id"], event_time="e", known_at="at")
    table.append(table_of([row("a", 100, 1), row("b", 100, 2)]))
    table.append(table_of([row("a", 0, 1, at=104)]))
    view = view_of([w.count(over="10min")])
    fold = w.Fold.build([view], {"s": table.head()}, at=minutes(106), engine=engine)
    assert fold.features(spine_of([("K", minutes(107))]), at="q").column(0).to_pylist() == [1]


def test_without_a_moment_everything_is_read_and_every_moment_can_be_asked(engine: Engine) -> None:
    table = lake_of(engine).create("s", SCHEMA, key=["id"], event_time="e", known_at="at")
    table.append(table_of([row("a", 0, 1), row("b", 60, 2)]))
    fold = w.Fold.build([view_of([w.sum("n", over="10min")])], {"s": table.head()}, at=None, engine=engine)
    assert fold.moment is None
    got = fold.features(spine_of([("K", minutes(1)), ("K", minutes(61))]), at="q")
    assert got.column(0).to_pylist() == [1, 2]


def test_a_source_that_is_not_given_is_named(engine: Engine) -> None:
    view = FeatureView(
        "v", entity=w.Entity("k", ["k"]), source="s", timestamp="e", features=[w.count(over="1h")]
    )
    with pytest.raises(NotFoundError, match="source 's' not found"):
        w.Fold.build([view], {}, at=None, engine=engine)
