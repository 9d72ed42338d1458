"""The small journey, live: each flight once, nothing of the future, faults found, put right and accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

import whence
from tests.journey import small
from whence.journeys.flights.definitions import FEATURES, SPINE_TIME
from whence.journeys.flights.evaluation import count_parity, evaluate_live
from whence.journeys.flights.faults import RENAMED, deliveries, find_planted
from whence.journeys.flights.feeds import load_feeds, midnight
from whence.journeys.flights.live import MONITOR, days
from whence.journeys.flights.retraining import decisions
from whence.registry import missing_holds
from whence.workspace import Workspace


def clean(feed: str) -> pa.Table:
    """What the feed would have delivered without faults, up to the end of the small journey."""
    last = small.LAST if feed != "arrivals" else small.LAST.replace(day=small.LAST.day + 1)
    return pa.concat_tables(d.rows for d in load_feeds()[feed].days(small.FIRST, last))


def keys(rows: pa.Table, columns: list[str]) -> set[tuple[object, ...]]:
    return {tuple(row.values()) for row in rows.select(columns).to_pylist()}


def newest(ws: Workspace, table: str, key: str, columns: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ws.sql(
        f"SELECT {columns} FROM {table} "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY known_at DESC) = 1 ORDER BY {key}"
    ).to_pylist()
    return found


def test_each_flight_is_scored_once(undisturbed: Path) -> None:
    flights = [
        i
        for day in load_feeds()["schedule"].days(small.ONE, small.LAST)
        for i in day.rows["flight_id"].to_pylist()
    ]
    with whence.connect(undisturbed, read_only=True) as ws:
        scored = ws.table("late_scores").head().arrow(["flight_id"])["flight_id"].to_pylist()
    assert sorted(scored) == sorted(flights)


def test_scored_features_are_those_of_the_moment(undisturbed: Path) -> None:
    """Also beside late, repeated, corrected and replayed rows; also computed once more, now."""
    with whence.connect(undisturbed, read_only=True) as ws:
        assert count_parity(ws) == 0
        live = ws.table("late_scores").head().arrow()
        spine = ws.table("schedule").head().arrow(where="date >= DATE '2013-04-01'")
        again = ws.features.point_in_time(spine, FEATURES, at=SPINE_TIME)
        columns = [c for view in FEATURES for c in view.outputs]
        ours = {row["flight_id"]: [row[c] for c in columns] for row in live.to_pylist()}
        assert len(ours) > 2_000
        for row in again.to_pylist():
            assert ours[row["flight_id"]] == [row[c] for c in columns]


def test_the_feeds_hold_the_same_keys_and_labels_as_without_faults(undisturbed: Path) -> None:
    with whence.connect(undisturbed, read_only=True) as ws:
        arrivals, weather = clean("arrivals"), clean("weather")
        assert ws.table("arrivals").head().n_rows > arrivals.num_rows  # some came twice
        assert keys(ws.table("arrivals").head().arrow(), ["flight_id"]) == keys(arrivals, ["flight_id"])
        names = ["origin", "observed_at"]
        assert keys(ws.table("weather").head().arrow(), names) == keys(weather, names)
        found = newest(ws, "arrivals", "flight_id", "flight_id, carrier, arr_delay")
        wanted = arrivals.select(["flight_id", "carrier", "arr_delay"]).sort_by("flight_id").to_pylist()
        assert found == wanted
        temps = newest(ws, "weather", "(origin, observed_at)", "origin, observed_at, temp")
        assert (
            temps == weather.select([*names, "temp"]).sort_by([(n, "ascending") for n in names]).to_pylist()
        )


def test_renamed_carriers_were_set_aside_corrected_and_replayed(undisturbed: Path) -> None:
    sent = [d.rows for d in deliveries(load_feeds()["arrivals"], small.TWO, small.FAULTS)]
    rows = [row for batch in sent for row in batch.to_pylist() if row["carrier"] == RENAMED[1]]
    n = len(rows)
    with whence.connect(undisturbed, read_only=True) as ws:
        counts = ws.quarantine("arrivals").counts()
        assert n > 10
        assert (counts["in"], counts["replayed"], counts["pending"]) == (n, n, 0)
        found = newest(ws, "arrivals", "flight_id", "flight_id, known_at")
        known = {row["flight_id"]: row["known_at"] for row in found}
        assert all(
            known[r["flight_id"]] >= midnight(small.THREE) for r in rows
        )  # known at replay, not before


def test_the_faults_that_were_let_through_are_found(undisturbed: Path) -> None:
    with whence.connect(undisturbed, read_only=True) as ws:
        alerts = {(a.metric, a.feature, a.table): a for a in ws.monitoring.alerts(MONITOR)}
        sent = {c.transaction[0]: c for c in ws.table("arrivals").history() if c.transaction is not None}
        again = alerts["repeated_keys", None, "arrivals"].blame
        assert again is not None
        assert (again.table, again.version) == ("arrivals", sent["flights.arrivals.again"].version)
        assert str(again.execution).removeprefix("execution:") == sent["flights.arrivals.again"].execution
        cold = alerts["location", "temp", "weather"]
        assert cold.blame is not None
        assert not cold.blame.gradual
        (first,) = [c.version for c in ws.table("weather").history() if c.at == midnight(small.TWO)][-1:]
        assert (cold.blame.table, cold.blame.version) == ("weather", first)
        about = find_planted(
            small.FAULTS, feed=cold.table, feature=cold.feature, start=cold.start, end=cold.end
        )
        assert about is not None
        assert about.name == "celsius"


def test_a_challenger_was_judged_on_the_champions_rows(undisturbed: Path) -> None:
    with whence.connect(undisturbed, read_only=True) as ws:
        (decision,) = decisions(ws)
        assert decision.n_rows > 300
        assert decision.promoted == (ws.models.get("late@champion").ref == decision.to)
        assert decision.promoted == (decision.challenger < decision.champion) or not decision.promoted
        shadow = ws.table("shadow.late").head().arrow()
        live = {
            row["flight_id"]: row["score"]
            for row in ws.table("late_scores").head().arrow(["flight_id", "score"]).to_pylist()
        }
        assert shadow.num_rows == decision.n_rows
        assert all(live[r["flight_id"]] == r["champion"] for r in shadow.to_pylist())
        if decision.promoted:
            assert missing_holds(ws.models, ws.lake, decision.to) == []
        json.dumps(decision.to_dict(), allow_nan=False)


def test_months_are_measured_against_baseline_and_marchs_model(undisturbed: Path) -> None:
    with whence.connect(undisturbed, read_only=False) as ws:
        (month,) = evaluate_live(ws).values()
    assert 0.5 < month.auc["baseline"] < month.auc["champion"] < 1.0
    assert abs(month.mean_score["champion"] - month.rate) < 0.2


def test_faults_deliver_every_row_of_the_feed() -> None:
    """Whatever strikes, in the end each key of the clean feed has been delivered."""
    for name in ("arrivals", "weather"):
        feed = load_feeds()[name]
        sent = [d for day in days(small.ONE, small.LAST) for d in deliveries(feed, day, small.FAULTS)]
        assert len(sent) > 3
        key = ["flight_id"] if name == "arrivals" else ["origin", "observed_at"]
        got = keys(pa.concat_tables(d.rows.select(key) for d in sent), key)
        wanted = pa.concat_tables(d.rows for d in feed.days(small.ONE, small.LAST))
        assert got == keys(wanted, key)
