"""The online store through the features' face: what is served, with which status, and what is refused.

O01 to O12 are the cases in which feature stores are known to serve the wrong value.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import whence.features as w
from tests.unit.features.online_world import SCHEMA, OnlineWorld, minute, row, view_of
from whence.compute import Engine
from whence.errors import ConflictError, NotFoundError, UnsupportedError, UsageError
from whence.features.types import AnyView, FeatureView
from whence.metadata import Execution


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Iterator[OnlineWorld]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'online.db'}"
    made = OnlineWorld(engine, url=url)
    made.table()
    yield made
    made.store.close()


@pytest.fixture
def newest() -> FeatureView:
    return view_of(w.last("n"), ttl="10min")


def load(world: OnlineWorld, view: FeatureView, *rows: dict[str, Any], **options: Any) -> w.Materialized:
    world.append(rows, **options)
    return world.features.materialize(view)


# --- table O --------------------------------------------------------------------------------------


def test_o01_an_older_event_after_a_newer_one_does_not_come_back(
    world: OnlineWorld, newest: FeatureView
) -> None:
    load(world, newest, row("new", "K", 2, 5))
    load(world, newest, row("old", "K", 1, 3, at=6))
    assert world.ask(newest, "K", minute(7)) == (2, "PRESENT")


def test_o02_an_unordered_batch_gives_the_newest(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("c", "K", 3, 3), row("a", "K", 1, 1), row("b", "K", 2, 2))
    assert world.ask(newest, "K", minute(4)) == (3, "PRESENT")


def test_o03_past_the_ttl_there_is_no_value(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0))
    assert world.ask(newest, "K", minute(10)) == (1, "PRESENT")
    assert world.ask(newest, "K", minute(10.1)) == (None, "OUTSIDE_MAX_AGE")


def test_o04_a_newest_null_is_served_as_null(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0))
    load(world, newest, row("b", "K", None, 1))
    assert world.ask(newest, "K", minute(2)) == (None, "NULL_VALUE")


def test_o05_an_unknown_key_is_not_found(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0))
    assert world.ask(newest, "Z", minute(2)) == (None, "NOT_FOUND")
    assert world.ask(newest, None, minute(2)) == (None, "NOT_FOUND")


def test_o06_of_one_event_the_later_known_row_wins_and_writing_again_changes_nothing(
    world: OnlineWorld, newest: FeatureView
) -> None:
    load(world, newest, row("a", "K", 1, 0), row("a", "K", 2, 0, at=3))
    assert world.ask(newest, "K", minute(2)) == (1, "PRESENT")
    assert world.ask(newest, "K", minute(3)) == (2, "PRESENT")
    again = world.features.materialize(newest)
    assert (again.n_rows, again.execution) == (0, None)
    load(world, newest, row("a", "K", 2, 0, at=3))  # the same row once more
    assert world.ask(newest, "K", minute(4)) == (2, "PRESENT")
    count = view_of(w.count(over="10min"))
    world.features.materialize(count)
    assert world.ask(count, "K", minute(4)) == (1, "PRESENT")


def test_o07_a_late_row_comes_with_the_next_materialization(world: OnlineWorld) -> None:
    view = view_of(w.count(over="1h"))
    load(world, view, row("a", "K", 1, 20), watermark=minute(30))
    assert load(world, view, row("late", "K", 1, 5)).n_rows == 1
    # known when it came, 1 us above the watermark
    assert world.ask(view, "K", minute(30)) == (1, "PRESENT")
    assert world.ask(view, "K", minute(31)) == (2, "PRESENT")


def test_o08_looking_far_ahead_leaves_no_gap(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("far", "K", 9, 1_000_000), row("a", "K", 1, 0))
    load(world, newest, row("b", "K", 2, 1))
    assert world.ask(newest, "K", minute(1)) == (2, "PRESENT")


def test_o09_materializing_goes_on_where_it_stopped(
    world: OnlineWorld, newest: FeatureView, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.features._projection.batch_rows = 3
    monkeypatch.setattr("whence.features.materialize.LOAD_BATCHES", 1)
    world.append([row(f"a{i}", "K", i, i / 10) for i in range(8)])
    put, calls = world.store.put, []

    def failing(*arguments: Any, **options: Any) -> bool:
        calls.append(options["progress"])
        if len(calls) == 2:
            raise ConflictError("the lights went out")
        return put(*arguments, **options)

    world.store.put = failing  # type: ignore[method-assign]
    with pytest.raises(ConflictError, match="lights"):
        world.features.materialize(newest)
    with pytest.raises(NotFoundError, match="online features 'v' not found"):
        world.ask(newest, "K", minute(5))  # half of a first load is no answer
    done = world.features.materialize(newest)
    assert (done.n_rows, done.versions) == (5, {"s": 1})
    assert [call["row"] for call in calls] == [3, 6, 6, 0]
    world.append([row(f"b{i}", "K", i, 1 + i / 10) for i in range(4)])
    world.append([row(f"c{i}", "K", i, 2 + i / 10) for i in range(4)])
    calls.clear()
    with pytest.raises(ConflictError, match="lights"):
        world.features.materialize(newest)
    done = world.features.materialize(newest)
    assert [(call["version"], call["row"]) for call in calls] == [(1, 3), (2, 2), (2, 2), (3, 0)]
    assert done.n_rows == 5
    assert world.store.count(done.groups[0].group) == 16
    assert world.ask(view_of(w.count(over="1h")), "K", minute(5)) == (16, "PRESENT")


def test_o10_online_is_offline_for_every_key(world: OnlineWorld) -> None:
    """Cell by cell over random rows in `test_online_parity`."""
    view = view_of(w.mean("n", over="5min"), w.count(over="5min"), w.last("n"), ttl="5min")
    load(world, view, *(row(f"{i}", "KLM"[i % 3], i, i / 7, at=i / 7 + i % 4) for i in range(60)))
    asks = [(k, minute(q)) for k in "KLMZ" for q in range(12)]
    assert world.online(view, asks).table().equals(world.offline(view, asks))


def test_o11_a_future_event_is_not_served_before_its_time(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("f", "K", 1, 10), row("k", "L", 2, 1, at=10))
    assert world.ask(newest, "K", minute(9)) == (None, "FUTURE")
    assert world.ask(newest, "L", minute(9)) == (None, "FUTURE")
    assert world.ask(newest, "K", minute(10)) == (1, "PRESENT")
    assert world.ask(newest, "L", minute(10)) == (2, "PRESENT")


def test_o12_two_writers_of_one_key_leave_the_greatest(world: OnlineWorld, newest: FeatureView) -> None:
    """Two processes at once in `test_online_processes`; here the slower one has read the same rows."""
    world.append([row("a", "K", 1, 5)])
    put = world.store.put

    def second(*arguments: Any, **options: Any) -> bool:
        world.store.put = put  # type: ignore[method-assign]
        world.append([row("b", "K", 2, 6)])
        other = w.Features(world.recorder, world.lake, world.features._engine, online=world.store)
        assert other.materialize(newest).n_rows == 2
        return put(*arguments, **options)

    world.store.put = second  # type: ignore[method-assign]
    slower = world.features.materialize(newest)
    assert (slower.n_rows, slower.versions) == (0, {"s": 2})
    assert world.store.count(slower.groups[0].group) == 2
    assert world.ask(newest, "K", minute(7)) == (2, "PRESENT")


# --- statuses -------------------------------------------------------------------------------------


def test_a_window_says_why_it_is_empty(world: OnlineWorld) -> None:
    count, mean = view_of(w.count(over="5min")), view_of(w.mean("n", over="5min"))
    load(world, count, row("a", "K", 4, 0), row("b", "K", None, 1), row("f", "L", 1, 20))
    asks = [("K", 2), ("K", 6.5), ("K", 3), ("L", 2), ("Z", 2)]
    assert [world.ask(count, k, minute(q)) for k, q in asks] == [
        (2, "PRESENT"), (0, "PRESENT"), (2, "PRESENT"), (0, "FUTURE"), (0, "NOT_FOUND"),
    ]  # fmt: skip
    assert [world.ask(mean, k, minute(q)) for k, q in asks] == [
        (4.0, "PRESENT"), (None, "NULL_VALUE"), (4.0, "PRESENT"), (None, "FUTURE"), (None, "NOT_FOUND"),
    ]  # fmt: skip
    assert world.ask(mean, "K", minute(5.5)) == (None, "NULL_VALUE")


def test_a_conditional_lookup_says_why_too(world: OnlineWorld) -> None:
    view = view_of(w.last("n", where="n > 0"), ttl="5min")
    load(world, view, row("a", "K", 4, 0), row("b", "K", -1, 1), row("c", "L", -1, 1))
    assert world.ask(view, "K", minute(2)) == (4, "PRESENT")
    assert world.ask(view, "K", minute(5.5)) == (None, "NULL_VALUE")
    assert world.ask(view, "L", minute(2)) == (None, "NULL_VALUE")
    assert world.ask(view, "Z", minute(2)) == (None, "NOT_FOUND")


# --- what is asked --------------------------------------------------------------------------------


def test_keys_come_in_every_shape(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0), row("b", "L", 2, 0))
    shapes: list[Any] = [
        [{"k": "K"}, {"k": "L"}, {"k": "Z"}],
        {"k": ["K", "L", "Z"]},
        pa.table({"k": ["K", "L", "Z"]}),
        {"k": pa.array(["K", "L", "Z"])},
    ]
    for keys in shapes:
        answer = world.features.get_online(keys, [newest], at=minute(1))
        assert answer.rows() == [{"v__n": 1}, {"v__n": 2}, {"v__n": None}]
        assert len(answer) == 3
    assert world.features.get_online([], [newest], at=minute(1)).rows() == []
    mixed = world.features.get_online({"k": ["K", "L"]}, [newest], at=[minute(1), minute(30)])
    assert mixed.statuses["v__n"] == ["PRESENT", "OUTSIDE_MAX_AGE"]


def test_without_a_moment_the_clock_is_asked(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0), row("b", "K", 2, 5))
    assert world.features.get_online({"k": "K"}, [newest]).rows() == [{"v__n": 1}]
    world.clock.advance_to(minute(5))
    answer = world.features.get_online({"k": "K"}, [newest])
    assert answer.rows() == [{"v__n": 2}]
    assert list(answer.moments) == [minute(5)]


def test_views_are_found_by_name_and_applied_ones_are_the_default(
    world: OnlineWorld, newest: FeatureView
) -> None:
    world.features.apply(newest, w.given("k"))
    world.append([row("a", "K", 1, 0)])
    assert world.features.materialize().versions == {"s": 1}
    for views in (["v"], [newest], []):
        assert world.features.get_online({"k": "K"}, views, at=minute(1)).rows() == [{"v__n": 1}]
    with pytest.raises(NotFoundError, match="feature view 'w' not found"):
        world.features.get_online({"k": "K"}, ["w"], at=minute(1))


def test_one_view_may_be_asked_by_two_columns(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0), row("b", "L", 2, 0))
    there = newest.with_keys({"k": "there"}, name="there")
    got = world.features.get_online({"k": "K", "there": "L"}, [newest, there], at=minute(1))
    assert got.rows() == [{"v__n": 1, "there__n": 2}]
    assert len(world.store.list_groups()) == 1


def test_features_of_the_row_alone_come_from_what_is_given(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0))
    views: list[AnyView] = [
        newest, w.calendar("q", tz="America/New_York", parts=["hour", "weekday"]),
        w.category("k", ["J", "K"]), w.given("miles"),
    ]  # fmt: skip
    asked = {"k": ["K", "Z"], "q": [datetime(2013, 4, 1, 12, tzinfo=UTC)] * 2, "miles": [7, None]}
    got = world.features.get_online(asked, views, at=minute(1))
    spine = pa.table(
        {"k": asked["k"], "q": pa.array(asked["q"], pa.timestamp("us", tz="UTC")), "miles": [7, None]}
    )
    want = world.features.point_in_time(
        spine.append_column("at", pa.array([minute(1)] * 2, pa.timestamp("us", tz="UTC"))),
        views,
        at="at",
        columns=[],
    )
    assert (
        got.table()
        .select(got.columns[:-1])
        .equals(want.select(got.columns[:-1]).replace_schema_metadata(None))
    )
    assert got.rows()[0] == {"v__n": 1, "calendar__hour": 8, "calendar__weekday": 0, "k__code": 1, "miles": 7}
    assert got.statuses["miles"] == ["PRESENT", "NULL_VALUE"]
    with pytest.raises(UsageError, match="no 'miles'") as caught:
        world.features.get_online({"k": "K", "q": minute(0)}, views, at=minute(1))
    assert caught.value.code == "missing-key"


@pytest.mark.parametrize("key", [7, 1.5, b"K", True, minute(0)])
def test_a_key_of_another_kind_is_refused(world: OnlineWorld, newest: FeatureView, key: object) -> None:
    load(world, newest, row("a", "K", 1, 0))
    with pytest.raises(UsageError, match=r"the key 'k' is .* but table 's' has string") as caught:
        world.ask(newest, key, minute(1))
    assert caught.value.code == "bad-key-type"


def test_bad_calls_are_refused_by_name(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0))
    get = world.features.get_online
    with pytest.raises(UsageError, match=r"the keys have no 'k'.*given: l"):
        get({"l": "K"}, [newest], at=minute(1))
    with pytest.raises(UsageError, match="differ in length"):
        get({"k": ["K", "L"], "l": ["K"]}, [newest], at=minute(1))
    with pytest.raises(UsageError, match="2 moments for 1 keys"):
        get({"k": "K"}, [newest], at=[minute(1), minute(2)])
    with pytest.raises(UsageError, match="has no zone"):
        get({"k": "K"}, [newest], at=datetime(2013, 1, 1))  # noqa: DTZ001
    with pytest.raises(UsageError, match="keys of type int"):
        get(7, [newest], at=minute(1))
    with pytest.raises(UsageError, match="'v__n'"):
        get({"k": "K"}, [newest, newest], at=minute(1))


# --- versions, watermarks, definitions ------------------------------------------------------------


def test_the_answer_says_how_far_the_store_has_come(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0), watermark=minute(3))
    world.append([row("b", "K", 2, 4)], watermark=minute(5))
    answer = world.features.get_online({"k": "K"}, [newest], at=minute(4), complete=False)
    assert (answer.rows(), answer.versions, answer.complete_to) == ([{"v__n": 1}], {"s": 1}, minute(3))
    with pytest.raises(ConflictError, match="1 moments lie beyond") as caught:
        world.features.get_online({"k": "K"}, [newest], at=minute(4), complete=True)
    assert caught.value.code == "watermark-behind"
    assert world.features.materialize(newest).groups[0].watermark == minute(5)
    assert world.ask(newest, "K", minute(4), complete=True) == (2, "PRESENT")


def test_a_watermark_alone_moves_the_store(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0), watermark=minute(3))
    done = load(world, newest, watermark=minute(9))
    assert (done.n_rows, done.groups[0].watermark) == (0, minute(9))


def test_a_version_may_be_named_and_the_store_only_goes_forward(
    world: OnlineWorld, newest: FeatureView
) -> None:
    world.append([row("a", "K", 1, 0)])
    world.append([row("b", "K", 2, 1)])
    assert world.features.materialize(newest, upto={"s": 1}).versions == {"s": 1}
    assert world.ask(newest, "K", minute(2)) == (1, "PRESENT")
    assert world.features.materialize(newest).versions == {"s": 2}
    back = world.features.materialize(newest, upto={"s": 1})
    assert (back.versions, back.execution) == ({"s": 2}, None)
    with pytest.raises(NotFoundError, match="source 't' not found"):
        world.features.materialize(newest, upto={"t": 1})


def test_a_feature_over_rows_that_are_there_needs_nothing_loaded(
    world: OnlineWorld, newest: FeatureView
) -> None:
    load(world, newest, row("a", "K", 1, 0), row("b", "K", 5, 1))
    assert world.ask(view_of(w.sum("n", over="1h")), "K", minute(2)) == (6, "PRESENT")
    other = view_of(w.last("n"), timestamp=None)
    with pytest.raises(NotFoundError, match="whence features materialize v") as caught:
        world.ask(other, "K", minute(2))
    assert caught.value.code == "online-features-not-found"


def test_columns_that_came_later_are_null_before(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0))
    more = pa.Table.from_pylist(
        [{**row("b", "L", 2, 0), "extra": 7}], schema=SCHEMA.append(pa.field("extra", pa.int64()))
    )
    world.lake.table("s").append(more, evolve=True)
    view = view_of(w.last("extra"), w.last("n"))
    with pytest.raises(NotFoundError, match="column 'extra' not found"):
        world.features.get_online({"k": "K"}, [view], at=minute(1))
    world.features.materialize(view)
    got = world.features.get_online({"k": ["K", "L"]}, [view], at=minute(1))
    assert got.rows() == [{"v__extra": None, "v__n": 1}, {"v__extra": 7, "v__n": 2}]


def test_a_rewritten_source_is_refused_and_can_be_loaded_anew(
    world: OnlineWorld, newest: FeatureView
) -> None:
    load(world, newest, row("a", "K", 1, 0), row("b", "L", 2, 0))
    world.lake.table("s").delete("id = 'a'")
    with pytest.raises(ConflictError, match="were changed or removed since version 1") as caught:
        world.features.materialize(newest)
    assert caught.value.code == "online-rewritten"
    done = world.features.materialize(newest, rebuild=True)
    assert (done.n_rows, done.versions) == (1, {"s": 2})
    assert world.ask(newest, "K", minute(1)) == (None, "NOT_FOUND")
    assert world.ask(newest, "L", minute(1)) == (2, "PRESENT")


def test_compaction_changes_nothing(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0))
    load(world, newest, row("b", "K", 2, 1))
    world.lake.table("s").compact()
    assert world.features.materialize(newest).n_rows == 0
    assert world.ask(newest, "K", minute(2)) == (2, "PRESENT")


def test_what_is_materialized_is_recorded_once(world: OnlineWorld, newest: FeatureView) -> None:
    done = load(world, newest, row("a", "K", 1, 0))
    world.features.materialize(newest)
    (node,) = world.recorder.store.find_nodes("execution", type_="materialize").nodes
    assert isinstance(node, Execution)
    assert (node.uid, node.state, node.get("n_rows")) == (done.execution, "COMPLETE", 1)
    events = world.recorder.store.list_events(executions=[node.uid])
    artifacts = world.recorder.store.get_nodes("artifact", uids=[e.artifact for e in events])
    names = {str(a.name) for a in artifacts}
    assert {"s@1", f"v@{newest.digest[7:19]}", '["s","e",["k"]]@1'} <= names


# --- forgetting -----------------------------------------------------------------------------------


def test_moments_before_what_is_forgotten_are_refused(world: OnlineWorld) -> None:
    view = view_of(w.count(over="5min"))
    load(world, view, *(row(str(i), "K", i, i) for i in range(20)), watermark=minute(20))
    with pytest.raises(UsageError, match="lies beyond") as caught:
        world.features.forget_online(minute(21), view)
    assert caught.value.code == "forget-beyond-watermark"
    assert world.features.forget_online(minute(12), view) == {'["s","e",["k"]]': 7}
    assert world.ask(view, "K", minute(12)) == (5, "PRESENT")
    with pytest.raises(UsageError, match="has forgotten what table 's' was") as caught:
        world.ask(view, "K", minute(11))
    assert caught.value.code == "online-forgotten"
    with pytest.raises(UsageError, match="has forgotten"):
        world.ask(view_of(w.count(over="6min")), "K", minute(12))  # looks further back than was kept
    assert world.ask(view_of(w.count(over="6min")), "K", minute(13)) == (6, "PRESENT")


def test_without_watermark_nothing_is_forgotten(world: OnlineWorld, newest: FeatureView) -> None:
    load(world, newest, row("a", "K", 1, 0), row("a", "K", 2, 1))
    assert world.features.forget_online(minute(5), newest) == {}
    assert world.ask(newest, "K", minute(0)) == (1, "PRESENT")


def test_what_only_earlier_moments_see_is_not_loaded(world: OnlineWorld) -> None:
    view, wider = view_of(w.count(over="5min")), view_of(w.count(over="6min"))
    rows = [row(str(i), "K", i, i) for i in range(20)]
    world.append(rows, watermark=minute(20))
    assert world.features.materialize(view, since=minute(12)).n_rows == 13
    assert world.ask(view, "K", minute(12)) == (5, "PRESENT")
    with pytest.raises(UsageError, match="has forgotten"):
        world.ask(view, "K", minute(11))
    assert world.features.materialize(view, since=minute(30)).execution is None
    assert world.features.materialize(wider).execution is None  # nothing is said of moments
    with pytest.raises(UsageError, match="has forgotten"):
        world.ask(wider, "K", minute(12))
    assert world.features.materialize(wider, since=minute(12)).n_rows == 14  # loaded anew
    assert world.ask(wider, "K", minute(12)) == (6, "PRESENT")
    world.append([row("z", "K", 1, 20.5)], watermark=minute(21))
    assert world.features.materialize(view, since=minute(21)).n_rows == 1
    assert world.ask(wider, "K", minute(12)) == (6, "PRESENT")
    assert world.features.materialize(view, rebuild=True).n_rows == 21
    assert world.ask(view, "K", minute(3)) == (3, "PRESENT")


def test_a_first_moment_beyond_the_watermark_is_the_watermark(world: OnlineWorld) -> None:
    view = view_of(w.count(over="5min"))
    world.append([row(str(i), "K", i, i) for i in range(20)], watermark=minute(12))
    assert world.features.materialize(view, since=minute(99)).n_rows == 13
    assert world.ask(view, "K", minute(12)) == (5, "PRESENT")


def test_without_watermark_everything_is_loaded(world: OnlineWorld, newest: FeatureView) -> None:
    world.append([row("a", "K", 1, 0), row("b", "K", 2, 1)])
    assert world.features.materialize(newest, since=minute(99)).n_rows == 2
    assert world.ask(newest, "K", minute(0)) == (1, "PRESENT")


# --- without a store ------------------------------------------------------------------------------


def test_without_a_store_it_is_refused(world: OnlineWorld, newest: FeatureView, engine: Engine) -> None:
    world.append([row("a", "K", 1, 0)])
    alone = w.Features(world.recorder, world.lake, engine)
    for call in (lambda: alone.get_online({"k": "K"}, [newest]), lambda: alone.materialize(newest)):
        with pytest.raises(UnsupportedError, match="no online store") as caught:
            call()
        assert caught.value.code == "no-online-store"


def test_a_url_finds_a_store(tmp_path: Path) -> None:
    assert w.list_online_schemes() == ["memory", "sqlite"]
    with pytest.raises(UnsupportedError, match="no online store has the scheme 'redis'") as caught:
        w.open_online("redis://localhost/0")
    assert caught.value.code == "unknown-scheme"
    with pytest.raises(UsageError, match="names no file"):
        w.open_online("sqlite:///:memory:")
