"""A monitor from its declaration to its alerts: each version read once, each window judged once, each fault found."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.unit.monitoring.world import DEPLOYMENT, HISTORY_DAYS, LABELS, World, begin, founded
from whence.errors import NotFoundError, UsageError
from whence.metadata import Execution
from whence.monitoring import Alert, Monitor
from whence.stats import auc

LIVE = HISTORY_DAYS


@pytest.fixture
def world() -> World:
    return founded()


def stories(world: World) -> list[tuple[str, str | None, str]]:
    return [(a.metric, a.feature, a.table) for a in world.monitoring.alerts("late")]


def test_a_monitor_is_declared_once(world: World) -> None:
    again = world.monitoring.watch(
        "late", deployment=DEPLOYMENT, labels=LABELS, feeds=("arrivals", "weather")
    )
    assert again == world.monitoring.get("late")
    assert Monitor.from_dict(again.to_dict()) == again
    watched = world.rooms.recorder.store.find_nodes("execution", type_="watch").nodes
    assert len(watched) == 1
    other = world.monitoring.watch("late", deployment=DEPLOYMENT, budget_per_year=2)
    assert (world.monitoring.get("late"), other.labels) == (other, None)
    assert [m.name for m in world.monitoring.monitors()] == ["late"]
    assert again.origins["weather_now__temp"] == ("weather", "temp", 0)
    assert again.origins["delays__mean_arr_delay_6h"] == ("arrivals", "arr_delay", 1)
    assert again.origins["distance"] == ("schedule", "distance", 0)


def test_what_makes_no_sense_is_refused(world: World) -> None:
    for wrong in (
        {"tz": "Mars/Olympus"},
        {"budget_per_year": 0},
        {"windows": ["month"]},
        {"maturity_days": -1},
    ):
        with pytest.raises(UsageError) as caught:
            world.monitoring.watch("x", deployment=DEPLOYMENT, **wrong)
        assert caught.value.code == "bad-monitor"
    with pytest.raises(NotFoundError, match="monitor 'lat' not found"):
        world.monitoring.run("lat")
    with pytest.raises(NotFoundError, match="alert 'x' not found"):
        world.monitoring.blame("x")


def test_the_reference_is_what_the_model_learned_from(world: World) -> None:
    made = world.monitoring.reference("late")
    assert (made.model, made.source) == ("late@1", "table:train.late@0")
    assert {w: len(a) for w, a in made.own.items()} == {"day": 84, "week": 12}
    assert abs(made.mean_score - 0.21) < 0.02
    assert world.monitoring.reference("late") is made
    kept = World(clock=world.clock)
    kept.__dict__["rooms"] = world.rooms
    again = kept.monitoring.reference("late")
    assert again.profile.cells.tolist() == made.profile.cells.tolist()
    assert again.own["week"].tolist() == made.own["week"].tolist()
    assert len(world.rooms.recorder.store.find_nodes("execution", type_="reference").nodes) == 1


def test_a_model_without_known_rows_needs_a_reference(world: World) -> None:
    model = world.rooms.models.load("late@1")
    sample = world.rooms.lake.table("train.late").arrow(
        ["weather_now__temp", "delays__mean_arr_delay_6h", "distance"]
    )
    world.rooms.models.register("late", model, sample=sample.slice(0, 1))
    with pytest.raises(UsageError) as caught:
        world.monitoring.reference("late", "late@2")
    assert caught.value.code == "no-reference"
    world.monitoring.watch("other", deployment=DEPLOYMENT, reference="train.late@0")
    assert world.monitoring.reference("other", "late@2").source == "table:train.late@0"


def test_ordinary_days_raise_no_alert_and_are_judged_once(world: World) -> None:
    results = world.live(range(LIVE, LIVE + 15))
    assert stories(world) == []
    assert sum(r.n_windows for r in results) == 15 * 3 + 2  # predictions, two feeds, and two weeks
    nothing = world.monitoring.run("late", upto=begin(LIVE + 15))
    assert (nothing.n_windows, nothing.version) == (0, None)
    assert results[-1].version == 15  # version 0 is the empty table
    runs = world.rooms.recorder.store.find_nodes("execution", type_="monitor").nodes
    assert [(r.state, r.get("n")) for r in runs if isinstance(r, Execution)] == [
        ("COMPLETE", i + 1) for i in range(15)
    ]


def test_a_week_is_its_days_and_matches_the_rows(world: World) -> None:
    world.live(range(LIVE, LIVE + 8))
    ks = world.monitoring.measures("late", "ks", "weather_now__temp", "week").to_pylist()
    assert [(r["start"], r["end"]) for r in ks] == [(begin(LIVE), begin(LIVE + 7))]
    mine = np.concatenate(
        [world.flights(d)[0]["weather_now__temp"].to_numpy() for d in range(LIVE, LIVE + 7)]
    )
    theirs = world.rooms.lake.table("train.late").arrow(["weather_now__temp"])["weather_now__temp"].to_numpy()
    grid = np.sort(np.concatenate([mine, theirs]))
    exact = np.abs(
        np.searchsorted(np.sort(mine), grid, side="right") / len(mine)
        - np.searchsorted(np.sort(theirs), grid, side="right") / len(theirs)
    ).max()
    assert ks[0]["low"] <= exact <= ks[0]["high"] < ks[0]["low"] + 0.02
    assert ks[0]["n"] == len(mine)


def test_quality_is_stated_and_restated_as_labels_come(world: World) -> None:
    predictions, arrivals = world.flights(LIVE)
    world.land(LIVE, arrivals=arrivals.slice(0, 60))
    world.watched(LIVE)
    early = world.monitoring.measures("late", "auc", window="day").to_pylist()
    assert [r["n"] for r in early] == [60]
    world.land(LIVE + 1, arrivals=pa.concat_tables([arrivals.slice(60), world.flights(LIVE + 1)[1]]))
    result = world.watched(LIVE + 1)
    assert result.n_restated == 1
    now = world.monitoring.measures("late", "auc", window="day").to_pylist()[0]
    labels = {r["flight_id"]: r["arr_delay"] >= 30 for r in arrivals.to_pylist()}
    rows = [(labels[r["flight_id"]], r["score"]) for r in predictions.to_pylist() if r["flight_id"] in labels]
    assert now["value"] == auc([int(a) for a, _ in rows], [b for _, b in rows])
    assert now["n"] == arrivals.num_rows
    then = world.monitoring.measures("late", "auc", window="day", known_at=begin(LIVE + 1)).to_pylist()
    assert then == early
    coverage = world.monitoring.measures("late", "coverage", window="day").to_pylist()[0]["value"]
    assert coverage == arrivals.num_rows / predictions.num_rows


def test_a_label_that_is_corrected_counts_as_newest_known(world: World) -> None:
    world.live([LIVE, LIVE + 1])
    before = world.monitoring.measures("late", "rate", window="day").to_pylist()[0]["value"]
    first = world.flights(LIVE)[1].slice(0, 1)
    late = pc.greater_equal(first["arr_delay"], 30)[0].as_py()
    turned = first.set_column(2, "arr_delay", pa.array([0 if late else 99], pa.int64()))
    world.land(LIVE + 2, arrivals=pa.concat_tables([turned, world.flights(LIVE + 2)[1]]))
    world.watched(LIVE + 2)
    after = world.monitoring.measures("late", "rate", window="day").to_pylist()[0]["value"]
    n = world.flights(LIVE)[1].num_rows
    assert round((after - before) * n) == (-1 if late else 1)


# --- the faults


def test_a_change_of_unit_is_found_at_its_version(world: World) -> None:
    world.live(range(LIVE, LIVE + 10))
    hit = world.version("weather") + 1
    for day in range(LIVE + 10, LIVE + 13):
        fahrenheit = world.weather(day)
        celsius = pc.divide(pc.subtract(fahrenheit["temp"], 32.0), 1.8)
        world.land(day, weather=fahrenheit.set_column(1, "temp", celsius))
        predictions = world.flights(day)[0]
        world.watched(
            day,
            predictions.set_column(
                2, "weather_now__temp", pc.divide(pc.subtract(predictions["weather_now__temp"], 32.0), 1.8)
            ),
        )
    world.live(range(LIVE + 13, LIVE + 18))
    feed = next(a for a in world.monitoring.alerts("late") if a.metric == "location")
    assert (feed.metric, feed.feature, feed.start, feed.decides) == (
        "location",
        "temp",
        begin(LIVE + 10),
        False,
    )
    assert feed.blame is not None
    assert (feed.blame.ref, feed.blame.gradual) == (f"table:weather@{hit}", False)
    assert feed.blame.execution == world.rooms.lake.table("weather").history()[-hit - 1].execution
    assert feed.closed is not None
    drifted = [a for a in world.monitoring.alerts("late") if a.feature == "weather_now__temp"]
    assert [(a.start, a.metric, a.decides) for a in drifted] == [(begin(LIVE + 10), "ks", False)]
    assert drifted[0].blame == feed.blame == world.monitoring.blame(drifted[0].uid)
    others = [a for a in world.monitoring.alerts("late") if a not in (feed, drifted[0])]
    assert [(a.metric, a.feature, a.blame and a.blame.ref) for a in others] == [
        ("scale", "temp", feed.blame.ref)
    ]


def test_a_batch_sent_twice_is_found_at_its_version(world: World) -> None:
    world.live(range(LIVE, LIVE + 5))
    world.land(LIVE + 5)
    world.rooms.lake.table("arrivals").append(world.flights(LIVE + 5)[1])
    second = world.version("arrivals")
    world.watched(LIVE + 5)
    world.live(range(LIVE + 6, LIVE + 9))
    repeated = [a for a in world.monitoring.alerts("late") if a.metric == "repeated_keys"]
    assert [(a.table, a.blame.version if a.blame else None, a.open) for a in repeated] == [
        ("arrivals", second, False)
    ]
    assert repeated[0].value > 0.4
    assert {a.table for a in world.monitoring.alerts("late")} == {"arrivals"}


def test_half_a_day_two_days_late_is_found_when_it_lacks_and_when_it_comes(world: World) -> None:
    world.live(range(LIVE, LIVE + 5))
    whole = world.flights(LIVE + 5)[1]
    world.land(LIVE + 5, arrivals=whole.slice(0, whole.num_rows // 2))
    lacking = world.version("arrivals")
    world.watched(LIVE + 5)
    world.live([LIVE + 6])
    world.rooms.lake.table("arrivals").append(whole.slice(whole.num_rows // 2))
    late = world.version("arrivals")
    world.live([LIVE + 7, LIVE + 8])
    found = {a.metric: a for a in world.monitoring.alerts("late")}
    rows, behind = found["rows"], found["late_rows"]
    assert (rows.start, rows.blame and rows.blame.version) == (begin(LIVE + 5), lacking)
    assert (behind.start, behind.blame and behind.blame.version) == (begin(LIVE + 7), late)
    assert rows.value == whole.num_rows // 2 < rows.threshold
    n = world.monitoring.measures("late", "rate", window="day").to_pylist()[5]["n"]
    assert n == whole.num_rows  # its labels came, and the day was stated anew


def test_missing_and_new_values_are_found(world: World) -> None:
    world.live(range(LIVE, LIVE + 3))
    odd = world.weather(LIVE + 3)
    n = odd.num_rows
    temp = pa.array([None if i % 4 == 0 else v for i, v in enumerate(odd["temp"].to_pylist())])
    world.land(LIVE + 3, weather=odd.set_column(1, "temp", temp))
    renamed = world.flights(LIVE + 3)[1]
    names = ["BLUE" if c == "B6" else c for c in renamed["carrier"].to_pylist()]
    world.rooms.lake.table("arrivals").append(
        renamed.set_column(1, "carrier", pa.array(names)).set_column(
            0, "flight_id", pa.array([f"X{i}" for i in range(len(names))])
        )
    )
    world.watched(LIVE + 3)
    world.live([LIVE + 4])  # what is sent after the watermark is known the day after
    found = {(a.metric, a.feature): a for a in world.monitoring.alerts("late")}
    assert found["missing", "temp"].value == pytest.approx(18 / n)
    assert found["new_values", "carrier"].table == "arrivals"


def test_a_season_is_gradual_and_names_no_execution() -> None:
    world = founded(drift=1.5)
    world.live(range(LIVE, LIVE + 40))
    [drifted] = [a for a in world.monitoring.alerts("late") if a.feature == "weather_now__temp"]
    assert drifted.blame is not None
    assert (drifted.blame.gradual, drifted.blame.execution, drifted.blame.version) == (True, None, None)
    assert "gradual since" in drifted.blame.text
    assert drifted.open
    assert [a for a in world.monitoring.alerts("late") if a.table == "weather" and a.feature == "temp"] == []


def test_calibration_decides() -> None:
    world = founded(worse=LIVE + 5)
    world.live(range(LIVE, LIVE + 25))
    found = world.monitoring.alerts("late")
    deciding = [a for a in found if a.decides]
    assert {a.metric for a in deciding} == {"calibration", "log_loss"}
    [gap] = [a for a in deciding if a.metric == "calibration"]
    assert LIVE + 5 < (gap.start - begin(0)).days < LIVE + 20
    assert 0.05 < gap.value < 0.25
    assert gap.threshold == pytest.approx(0.1 * world.monitoring.reference("late").mean_score)
    assert gap.blame is not None
    assert gap.blame.gradual
    assert world.monitoring.alerts("late", since=gap.known_at + timedelta(days=30)) == []
    assert gap in world.monitoring.alerts("late", open_only=True)


def test_another_champion_brings_its_own_reference_on_the_same_edges(world: World) -> None:
    world.live(range(LIVE, LIVE + 8))
    world.learn("train.more", range(HISTORY_DAYS + 8))
    for day in range(LIVE + 8, LIVE + 15):
        world.land(day)
        rows = world.flights(day)[0]
        world.watched(day, rows.set_column(6, "model", pa.array(["late@2"] * rows.num_rows)))
    models = world.monitoring.measures("late", "ks", "score", "day").column("model").to_pylist()
    assert models == ["late@1"] * 8 + ["late@2"] * 7
    assert len(world.rooms.recorder.store.find_nodes("artifact", type_="Edges").nodes) == 1
    names = [n.name for n in world.rooms.recorder.store.find_nodes("artifact", type_="Reference").nodes]
    assert names == ["late/late@1#1", "late/late@2#1"]
    assert world.monitoring.reference("late").source == "table:train.more@0"


def test_what_is_known_is_read_back_from_blobs(world: World) -> None:
    other = founded()
    for day in range(LIVE, LIVE + 12):
        for one in (world, other):
            one.land(day)
            one.watched(day)
        other.__dict__.pop("monitoring", None)  # another process
    left, right = (w.rooms.lake.table("monitor.late").arrow() for w in (world, other))
    drop = ["detail"]
    assert left.drop_columns(drop).equals(right.drop_columns(drop))


def test_versions_are_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.live(range(LIVE, LIVE + 3))
    read: list[tuple[str, int]] = []
    from whence.monitoring import reading

    whole = reading._read

    def spy(engine, session, change, head, layout):  # type: ignore[no-untyped-def]
        read.append((head.table, change.version))
        return whole(engine, session, change, head, layout)

    monkeypatch.setattr(reading, "_read", spy)
    world.live(range(LIVE + 3, LIVE + 10))
    assert len(read) == len(set(read)) == 7 * 3


def test_alerts_show_themselves(world: World) -> None:
    world.live(range(LIVE, LIVE + 2))
    world.land(LIVE + 2)
    world.rooms.lake.table("arrivals").append(world.flights(LIVE + 2)[1])
    world.watched(LIVE + 2)
    [result] = world.live([LIVE + 3])
    [alert] = [a for a in result.opened if a.metric == "repeated_keys"]
    assert "repeated_keys" in alert._repr_html_()
    assert "repeated_keys" in result._repr_html_()
    assert Alert.from_dict(alert.to_dict()) == alert
    assert alert.blame is not None
    assert f"arrivals@{alert.blame.version}" in alert.blame._repr_html_()
    assert "weather" in world.monitoring.get("late")._repr_html_()


def test_new_edges_are_an_execution_and_scan_once(world: World) -> None:
    world.live(range(LIVE, LIVE + 8))
    before = world.monitoring.measures("late", "ks", "distance", "day")
    quality = world.monitoring.measures("late", "auc")
    world.learn("train.more", range(HISTORY_DAYS + 8))
    made = world.monitoring.rebin("late")
    assert made.model == "late@2"
    [result] = world.live([LIVE + 8])
    assert result.n_restated == 9  # eight days and a week, on the new edges
    after = world.monitoring.measures("late", "ks", "distance", "day")
    assert after.num_rows == 9
    assert world.monitoring.measures("late", "ks", "distance", "day", known_at=begin(LIVE + 8)).equals(before)
    assert world.monitoring.measures("late", "auc", known_at=begin(LIVE + 8)).equals(quality)
    graph = world.rooms.recorder.store
    assert [n.name for n in graph.find_nodes("artifact", type_="Edges").nodes] == ["late#1", "late#2"]
    assert len(graph.find_nodes("execution", type_="rebin").nodes) == 1
    world.__dict__.pop("monitoring")  # another process
    assert world.live([LIVE + 9])[0].n_restated == 0


def test_rows_that_come_late_are_measured_anew_and_not_judged_again(world: World) -> None:
    world.live(range(LIVE, LIVE + 3))
    late = world.flights(LIVE)[0].slice(0, 20)
    ids = pa.array([f"late-{i}" for i in range(20)])
    world.land(LIVE + 3)
    world.rooms.lake.table("late_scores").append(late.set_column(0, "flight_id", ids))
    result = world.watched(LIVE + 3)
    first = world.monitoring.measures("late", "ks", "distance", "day").to_pylist()[0]
    assert first["n"] == world.flights(LIVE)[0].num_rows + 20
    assert result.n_windows == 3
    assert result.n_restated >= 1
