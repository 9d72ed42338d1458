"""Point-in-time lookups: the rows P01 to P25 of the sheet, as whence means them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

import whence.features as w
from whence.compute import Engine
from whence.errors import NotFoundError, UsageError
from whence.features.source import Source
from whence.features.types import FeatureView

TS = pa.timestamp("us", tz="UTC")
Hour = Callable[[float], datetime]
Join = Callable[..., dict[str, list[Any]]]
LAST = [w.last("v")]


def test_p01_an_event_at_the_moment_itself_counts(join: Join, hour: Hour) -> None:
    assert join([{"k": "a", "e": hour(1), "v": 7}], [("a", hour(1))], LAST) == {"v": [7]}


def test_p02_only_later_events_give_null_and_keep_the_row(join: Join, hour: Hour) -> None:
    assert join([{"k": "a", "e": hour(2), "v": 7}], [("a", hour(1)), ("a", hour(3))], LAST) == {
        "v": [None, 7]
    }


def test_p03_p04_the_ttl_is_closed_at_both_ends(join: Join, hour: Hour) -> None:
    asks = [("a", hour(3)), ("a", hour(3) + timedelta(microseconds=1))]
    assert join([{"k": "a", "e": hour(1), "v": 7}], asks, LAST, ttl="2h") == {"v": [7, None]}


@pytest.mark.parametrize("ttl", [None, "0s", timedelta(0)])
def test_p05_no_ttl_and_a_ttl_of_0_never_expire(join: Join, hour: Hour, ttl: Any) -> None:
    assert join([{"k": "a", "e": hour(1), "v": 7}], [("a", hour(90_000))], LAST, ttl=ttl) == {"v": [7]}


def test_p06_of_equal_events_the_later_known_wins_at_ten_thousand_rows(engine: Engine) -> None:
    n, start = 10_000, int(datetime(2013, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    rng = np.random.default_rng(6)
    event = start + np.arange(n) // 100 * 3_600_000_000
    older = pa.array(event + 60_000_000, pa.int64()).cast(TS)
    newer = pa.array(event + 120_000_000, pa.int64()).cast(TS)
    keys = [f"k{i % 100}" for i in range(n)]
    half = {"k": keys, "e": pa.array(event, pa.int64()).cast(TS)}
    rows = pa.concat_tables(
        [pa.table({**half, "at": older, "v": [0] * n}), pa.table({**half, "at": newer, "v": [1] * n})]
    ).take(pa.array(rng.permutation(2 * n)))
    view = FeatureView("f", entity=w.Entity("k", ["k"]), source="s", timestamp="e", features=LAST)
    spine = pa.table({"k": keys, "q": pa.array(event + 120_000_000, pa.int64()).cast(TS)})
    early = spine.set_column(1, "q", pa.array(event + 119_999_999, pa.int64()).cast(TS))
    sources = {"s": Source.of("s", rows, known_at="at")}
    assert set(w.join_features(spine, [view], sources, engine, at="q").table["f__v"].to_pylist()) == {1}
    assert set(w.join_features(early, [view], sources, engine, at="q").table["f__v"].to_pylist()) == {0}


def test_p07_a_newer_event_wins_over_a_later_known_older_one(join: Join, hour: Hour) -> None:
    rows = [
        {"k": "a", "e": hour(1), "at": hour(9), "v": 30},
        {"k": "a", "e": hour(2), "at": hour(3), "v": 40},
    ]
    assert join(rows, [("a", hour(10))], LAST) == {"v": [40]}


@pytest.mark.parametrize("key", [(), ("id",)])
def test_p08_a_correction_counts_from_when_it_was_known(join: Join, hour: Hour, key: tuple[str, ...]) -> None:
    rows = [
        {"k": "a", "id": "x", "e": hour(1), "at": hour(1), "v": 10},
        {"k": "a", "id": "x", "e": hour(1), "at": hour(5), "v": 20},
    ]
    asks = [("a", hour(4)), ("a", hour(5)), ("a", hour(6))]
    types = {"id": pa.string(), "v": pa.int64()}
    assert join(rows, asks, LAST, schema=types, key=key) == {"v": [10, 20, 20]}
    assert join(rows, asks, LAST, schema=types, key=key, known="now") == {"v": [20, 20, 20]}


def test_a_correction_that_moves_the_event_retracts_the_old_row(join: Join, hour: Hour) -> None:
    rows = [
        {"k": "a", "id": "x", "e": hour(1), "at": hour(1), "v": 1},
        {"k": "a", "id": "y", "e": hour(2), "at": hour(2), "v": 2},
        {"k": "a", "id": "y", "e": hour(9), "at": hour(4), "v": 3},
    ]
    asks = [("a", hour(3)), ("a", hour(5)), ("a", hour(9))]
    assert join(rows, asks, LAST, schema={"id": pa.string(), "v": pa.int64()}, key=["id"]) == {"v": [2, 1, 3]}


def test_a_correction_that_moves_the_key_retracts_the_old_row(join: Join, hour: Hour) -> None:
    rows = [
        {"k": "a", "id": "x", "e": hour(1), "at": hour(1), "v": 1},
        {"k": "b", "id": "x", "e": hour(1), "at": hour(4), "v": 1},
    ]
    asks = [("a", hour(3)), ("a", hour(4)), ("b", hour(3)), ("b", hour(4))]
    types = {"id": pa.string(), "v": pa.int64()}
    assert join(rows, asks, LAST, schema=types, key=["id"]) == {"v": [1, None, None, 1]}


def test_p09_a_row_without_knowledge_time_is_never_known_then(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(1), "at": None, "v": 1}, {"k": "b", "e": hour(1), "v": 2}]
    assert join(rows, [("a", hour(5)), ("b", hour(5))], LAST) == {"v": [None, 2]}
    assert join(rows, [("a", hour(5)), ("b", hour(5))], LAST, known="now") == {"v": [1, 2]}


def test_p10_the_newest_value_may_be_null_and_nothing_older_is_carried(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(1), "v": 1}, {"k": "a", "e": hour(2), "v": None}]
    assert join(rows, [("a", hour(3))], LAST) == {"v": [None]}


def test_p11_p12_p13_p24_every_row_stays_in_its_place(join: Join, hour: Hour) -> None:
    asks = [("b", hour(3)), ("a", hour(3)), (None, hour(3)), ("?", hour(3)), ("a", hour(3)), ("a", hour(1))]
    rows = [
        {"k": "a", "e": hour(2), "v": 1},
        {"k": "b", "e": hour(2), "v": 2},
        {"k": None, "e": hour(2), "v": 3},
    ]
    assert join(rows, asks, LAST) == {"v": [2, 1, None, None, 1, None]}


def test_p14_a_moment_without_zone_is_refused(engine: Engine) -> None:
    spine = pa.table({"k": ["a"], "q": pa.array([datetime(2013, 1, 1)], pa.timestamp("us"))})  # noqa: DTZ001
    with pytest.raises(UsageError, match="zone") as caught:
        w.join_features(spine, [w.given("k")], {}, engine, at="q")
    assert caught.value.code == "naive-time"


def test_p14_a_naive_event_time_is_refused(engine: Engine, hour: Hour) -> None:
    rows = pa.table({"k": ["a"], "e": pa.array([datetime(2013, 1, 1)], pa.timestamp("us")), "v": [1]})  # noqa: DTZ001
    view = FeatureView("f", entity=w.Entity("k", ["k"]), source="s", timestamp="e", features=LAST)
    spine = pa.table({"k": ["a"], "q": pa.array([hour(1)], TS)})
    with pytest.raises(UsageError, match=r"'e' is timestamp.us., not an instant") as caught:
        w.join_features(spine, [view], {"s": Source.of("s", rows)}, engine, at="q")
    assert caught.value.code == "bad-timestamp"


def test_p15_moments_are_instants_whatever_their_zone(engine: Engine) -> None:
    fold = datetime(2013, 11, 3, 1, 30, tzinfo=ZoneInfo("America/New_York"), fold=1)  # 06:30Z, not 05:30Z
    moments = [datetime(2013, 1, 7, 4, 30, tzinfo=ZoneInfo("America/New_York")), fold]
    rows = pa.table(
        {
            "k": ["a", "a", "a"],
            "e": pa.array(
                [datetime(2013, 1, 7, 9, 30, tzinfo=UTC), datetime(2013, 11, 3, 6, 0, tzinfo=UTC), fold], TS
            ),
            "v": [1, 2, 3],
        }
    )
    view = FeatureView("f", entity=w.Entity("k", ["k"]), source="s", timestamp="e", features=LAST)
    shown = pa.array(moments, pa.timestamp("us", tz="America/New_York"))
    spine = pa.table({"k": ["a", "a"], "q": shown})
    got = w.join_features(spine, [view], {"s": Source.of("s", rows)}, engine, at="q").table
    assert got["f__v"].to_pylist() == [1, 3]
    assert got["q"].cast(pa.int64()).to_pylist() == shown.cast(pa.int64()).to_pylist()


def test_p16_a_tie_is_decided_by_content_whatever_the_order(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(1), "v": v} for v in (2, None, 1)]
    for order in (rows, rows[::-1]):
        assert join(order, [("a", hour(2))], LAST) == {"v": [2]}


def test_p17_an_empty_source_gives_nulls_of_the_declared_types(engine: Engine, hour: Hour) -> None:
    schema = pa.schema({"k": pa.string(), "e": TS, "v": pa.float32(), "t": pa.string(), "n": pa.int32()})
    features = [
        w.last("v"),
        w.last("t"),
        w.count(over="1h"),
        w.sum("n", over="1h"),
        w.mean("n", over="1h"),
        w.max("t", over="1h"),
    ]
    view = FeatureView("f", entity=w.Entity("k", ["k"]), source="s", timestamp="e", features=features)
    spine = pa.table({"k": ["a", None], "q": pa.array([hour(1)] * 2, TS)})
    got = w.join_features(spine, [view], {"s": Source.of("s", schema.empty_table())}, engine, at="q")
    types = {f.name: f.type for f in got.table.schema}
    assert types["f__v"] == pa.float32()
    assert types["f__t"] == types["f__max_t_1h"] == pa.string()
    assert types["f__sum_n_1h"] == pa.int64()
    assert types["f__mean_n_1h"] == pa.float64()
    assert got.table["f__count_1h"].to_pylist() == [0, 0]
    assert got.reconciliation["f"].unknown_key == 1.0
    assert all(got.table[c].null_count == 2 for c in ("f__v", "f__t", "f__sum_n_1h", "f__mean_n_1h"))


def test_an_empty_spine_gives_no_rows(join: Join, hour: Hour) -> None:
    assert join([{"k": "a", "e": hour(1), "v": 1}], [], [w.last("v"), w.count(over="1h")]) == {
        "v": [],
        "count_1h": [],
    }


def test_p18_composite_keys_do_not_run_together(engine: Engine, hour: Hour) -> None:
    rows = pa.table({"x": ["1", "11"], "y": ["11", "1"], "e": pa.array([hour(1)] * 2, TS), "v": [1, 2]})
    view = FeatureView("f", entity=w.Entity("xy", ["x", "y"]), source="s", timestamp="e", features=LAST)
    spine = pa.table({"x": ["11", "1", "1"], "y": ["1", "11", None], "q": pa.array([hour(2)] * 3, TS)})
    got = w.join_features(spine, [view], {"s": Source.of("s", rows)}, engine, at="q").table
    assert got["f__v"].to_pylist() == [2, 1, None]


def test_p19_one_view_twice_under_other_keys(engine: Engine, hour: Hour) -> None:
    rows = pa.table({"origin": ["JFK", "BOS"], "e": pa.array([hour(1)] * 2, TS), "v": [1, 2]})
    here = FeatureView(
        "here", entity=w.Entity("airport", ["origin"]), source="s", timestamp="e", features=LAST
    )
    there = here.with_keys({"origin": "dest"}, name="there")
    spine = pa.table({"origin": ["JFK"], "dest": ["BOS"], "q": pa.array([hour(2)], TS)})
    got = w.join_features(spine, [here, there], {"s": Source.of("s", rows)}, engine, at="q").table
    assert got.select(["here__v", "there__v"]).to_pylist() == [{"here__v": 1, "there__v": 2}]


def test_p20_two_views_of_one_name_are_refused(engine: Engine, hour: Hour) -> None:
    rows = pa.table({"k": ["a"], "e": pa.array([hour(1)], TS), "v": [1]})
    view = FeatureView("f", entity=w.Entity("k", ["k"]), source="s", timestamp="e", features=LAST)
    spine = pa.table({"k": ["a"], "q": pa.array([hour(2)], TS)})
    with pytest.raises(UsageError, match="column 'f__v'") as caught:
        w.join_features(spine, [view, view], {"s": Source.of("s", rows)}, engine, at="q")
    assert caught.value.code == "duplicate-view"


def test_p21_features_that_are_the_same_for_everyone(engine: Engine, hour: Hour) -> None:
    rows = pa.table({"e": pa.array([hour(1), hour(2)], TS), "v": [1, 2]})
    view = FeatureView(
        "f", entity=w.Entity("all", []), source="s", timestamp="e", features=[w.last("v"), w.count(over="1h")]
    )
    spine = pa.table({"q": pa.array([hour(2.5), hour(0), hour(1)], TS)})
    got = w.join_features(spine, [view], {"s": Source.of("s", rows)}, engine, at="q").table
    assert got["f__v"].to_pylist() == [2, None, 1]
    assert got["f__count_1h"].to_pylist() == [1, 0, 0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_p22_every_unit_of_time_and_before_1970(engine: Engine, unit: str) -> None:
    at = datetime(1969, 12, 31, 23, tzinfo=UTC)
    rows = pa.table({"k": ["a"], "e": pa.array([at], TS), "v": [1]})
    view = FeatureView(
        "f", entity=w.Entity("k", ["k"]), source="s", timestamp="e", features=[*LAST, w.count(over="2h")]
    )
    spine = pa.table(
        {"k": ["a", "a"], "q": pa.array([at, at + timedelta(hours=2)], pa.timestamp(unit, tz="UTC"))}
    )
    got = w.join_features(spine, [view], {"s": Source.of("s", rows)}, engine, at="q").table
    assert got["f__v"].to_pylist() == [1, 1]
    assert got["f__count_2h"].to_pylist() == [0, 1]


def test_p22_a_date_stands_for_its_first_instant_in_utc(engine: Engine, hour: Hour) -> None:
    rows = pa.table({"k": ["a"], "e": pa.array([date(2013, 1, 2)], pa.date32()), "v": [1]})
    view = FeatureView(
        "f", entity=w.Entity("k", ["k"]), source="s", timestamp="e", features=[*LAST, w.count(over="1h")]
    )
    spine = pa.table({"k": ["a"] * 3, "q": pa.array([hour(23.99), hour(24), hour(24.5)], TS)})
    got = w.join_features(spine, [view], {"s": Source.of("s", rows)}, engine, at="q").table
    assert got["f__v"].to_pylist() == [None, 1, 1]
    assert got["f__count_1h"].to_pylist() == [0, 0, 1]
    days = pa.table({"k": ["a"], "q": pa.array([date(2013, 1, 2)], pa.date32())})
    assert w.join_features(days, [view], {"s": Source.of("s", rows)}, engine, at="q").table[
        "f__v"
    ].to_pylist() == [1]


def test_p23_large_integers_stay_whole_beside_a_missing_row(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(1), "v": 2**53 + 1}]
    assert join(rows, [("a", hour(2)), ("b", hour(2))], LAST) == {"v": [2**53 + 1, None]}


def test_a_row_known_before_its_event_waits_for_the_event(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(5), "at": hour(1), "v": 1}]
    assert join(rows, [("a", hour(4)), ("a", hour(5))], LAST) == {"v": [None, 1]}


def test_a_lookup_may_be_conditional(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(1), "v": 5}, {"k": "a", "e": hour(2), "v": -5}]
    features = [w.last("v"), w.last("v", where="v > 0").named("last_positive")]
    assert join(rows, [("a", hour(3))], features) == {"v": [-5], "last_positive": [5]}


@pytest.mark.parametrize("known_at", ["at", None])
def test_a_timeless_lookup_takes_the_newest_known_row(join: Join, hour: Hour, known_at: str | None) -> None:
    rows = [{"k": "a", "at": hour(9), "v": 2}, {"k": "a", "at": hour(1), "v": 1}]
    got = join(
        rows, [("a", hour(5)), ("a", hour(9)), ("a", hour(0))], LAST, timestamp=None, known_at=known_at
    )
    assert got == ({"v": [1, 2, None]} if known_at else {"v": [2, 2, 2]})  # without known_at by content


def test_a_source_that_does_not_say_when_knows_at_the_event(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(2), "at": hour(9), "v": 1}]
    assert join(rows, [("a", hour(2))], LAST, known_at=None) == {"v": [1]}


def test_the_reconciliation_adds_up(engine: Engine, hour: Hour) -> None:
    rows = pa.table({"k": ["a", "b"], "e": pa.array([hour(1), hour(5)], TS), "v": [1, 2]})
    source = Source("s", rows, rows.schema, watermark=hour(3))
    view = FeatureView("f", entity=w.Entity("k", ["k"]), source="s", timestamp="e", ttl="1h", features=LAST)
    asks = [("a", 1), ("a", 3), ("b", 4), ("?", 3), (None, 3), ("a", 0)]
    spine = pa.table({"k": [k for k, _ in asks], "q": pa.array([hour(h) for _, h in asks], TS)})
    report = w.join_features(spine, [view], {"s": source}, engine, at="q").reconciliation["f"]
    assert report.to_dict() == {
        "n_in": 6, "n_out": 6, "matched": 1 / 6, "expired": 1 / 6, "unknown_key": 2 / 6, "null": 2 / 6,
        "n_beyond_watermark": 1,
    }  # fmt: skip


def test_columns_can_be_left_out_and_given_ones_stay(engine: Engine, hour: Hour) -> None:
    rows = pa.table({"k": ["a"], "e": pa.array([hour(1)], TS), "v": [1]})
    view = FeatureView("f", entity=w.Entity("k", ["k"]), source="s", timestamp="e", features=LAST)
    spine = pa.table({"x": [9], "k": ["a"], "miles": [100], "q": pa.array([hour(2)], TS)})
    got = w.join_features(
        spine, [view, w.given("miles")], {"s": Source.of("s", rows)}, engine, at="q", columns=["k"]
    )
    assert got.table.column_names == ["k", "miles", "f__v"]


def test_wrong_calls_are_refused(engine: Engine, hour: Hour) -> None:
    rows = pa.table({"k": ["a"], "e": pa.array([hour(1)], TS), "v": [1], "x": [1.0], "l": [[1]]})
    source = {"s": Source.of("s", rows)}
    spine = pa.table({"k": ["a"], "q": pa.array([hour(2)], TS)})

    def view(*features: w.Aggregation, key: str = "k", timestamp: str = "e") -> FeatureView:
        return FeatureView(
            "f", entity=w.Entity("k", [key]), source="s", timestamp=timestamp, features=features
        )

    def refused(code: str, views: list[Any], spine: pa.Table = spine, at: str = "q", **more: Any) -> str:
        with pytest.raises((UsageError, NotFoundError)) as caught:
            w.join_features(spine, views, source, engine, at=at, **more)
        assert caught.value.code == code
        return str(caught.value)

    assert "at= names" in refused("column-not-found", [view(*LAST)], at="moment")
    refused("column-not-found", [view(w.last("w"))])
    assert "joins on it" in refused("column-not-found", [view(*LAST)], spine.drop_columns(["k"]))
    refused("column-not-found", [w.given("miles")])
    refused("bad-key-type", [view(*LAST)], pa.table({"k": [1], "q": spine["q"]}))
    refused("bad-key-type", [view(*LAST, key="x")])
    refused("bad-timestamp", [view(*LAST, timestamp="k")])
    refused("bad-timestamp", [view(*LAST)], at="k")
    refused("bad-feature-type", [view(w.mean("k", over="1h"))])
    refused("bad-feature-type", [view(w.max("l", over="1h"))])
    refused("bad-feature-type", [view(w.count(over="1h", where="e IS NULL"))])
    refused("duplicate-column", [view(*LAST)], spine.append_column("f__v", pa.array([1])))
    refused("source-not-found", [FeatureView("f", entity=w.Entity("k", ["k"]), source="t", features=LAST)])
    refused("bad-known", [view(*LAST)], known="tomorrow")
    assert "1 rows" in refused("null-time", [view(*LAST)], pa.table({"k": ["a"], "q": pa.array([None], TS)}))
    offset = pa.array([hour(2).astimezone(timezone(timedelta(hours=5)))], pa.timestamp("us", tz="+05:00"))
    again = w.join_features(pa.table({"k": ["a"], "q": offset}), [view(*LAST)], source, engine, at="q")
    assert again.table["f__v"].to_pylist() == [1]


def test_a_source_column_may_have_any_name(engine: Engine, hour: Hour) -> None:
    names = ["e", "kn", "m", "s", "code", "q", "v0", 'quo"te', "select"]
    rows = pa.table({**{n: [i] for i, n in enumerate(names)}, "k": ["a"], "t": pa.array([hour(1)], TS)})
    features = [w.last(n).named(f"x{i}") for i, n in enumerate(names)]
    features += [w.sum(n, over="2h").named(f"y{i}") for i, n in enumerate(names)]
    view = FeatureView("f", entity=w.Entity("k", ["k"]), source="s", timestamp="t", features=features)
    spine = pa.table({"k": ["a"], "q": pa.array([hour(2)], TS)})
    got = w.join_features(spine, [view], {"s": Source.of("s", rows, key=["code", "s"])}, engine, at="q").table
    assert [got[f"f__x{i}"][0].as_py() for i in range(len(names))] == list(range(len(names)))
    assert [got[f"f__y{i}"][0].as_py() for i in range(len(names))] == list(range(len(names)))
