"""Answers to requests by keys are traced to the raw rows that the online values were folded from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from whence._base.arrow import TS
from whence.features import AnyView, Entity, FeatureView, calendar, category, count, given, last, mean
from whence.serving import Answer, Answerer, Deployment
from whence.serving.lookup import online_lookup
from whence.testing.pipelines import HandBuiltRooms
from whence.trace import Tracer

NOW = datetime(2013, 7, 1, 12, tzinfo=UTC)
ARRIVALS = pa.schema(
    [
        ("flight", pa.int64()),
        ("carrier", pa.string()),
        ("dest", pa.string()),
        ("at", TS),
        ("delay", pa.int64()),
        ("known_at", TS),
    ]
)
CARRIER = FeatureView(
    "carrier",
    entity=Entity("carrier", ["carrier"]),
    source="arrivals",
    timestamp="at",
    features=[count(over="7d"), mean("delay", over="1d"), last("delay")],
)
DEST = FeatureView(
    "dest", entity=Entity("dest", ["dest"]), source="arrivals", timestamp="at", features=[count(over="7d")]
)
VIEWS: tuple[AnyView, ...] = (
    CARRIER,
    DEST,
    category("carrier", values=["AA", "B6"], name="who"),
    calendar("features_at", tz="UTC", parts=["hour"]),
    given("x"),
)
COLUMNS = {
    "carrier__count_7d": pa.int64(),
    "carrier__mean_delay_1d": pa.float64(),
    "carrier__delay": pa.int64(),
    "dest__count_7d": pa.int64(),
    "who__code": pa.int64(),
    "calendar__hour": pa.int64(),
    "x": pa.float64(),
}
INTO = "late_scores_requests"


class Clock:
    def now(self) -> datetime:
        return NOW


def land(rooms: HandBuiltRooms, *rows: tuple[int, str, str, float, int]) -> int:
    """Arrivals: flight, carrier, dest, hours before now, delay; known when they land."""
    found = [
        {"flight": f, "carrier": c, "dest": d, "at": NOW - timedelta(hours=h), "delay": n,
         "known_at": NOW - timedelta(hours=h)}
        for f, c, d, h, n in rows
    ]  # fmt: skip
    return rooms.lake.table("arrivals").append(pa.Table.from_pylist(found, schema=ARRIVALS)).version


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    rooms = HandBuiltRooms(tmp_path / "ws")
    rooms.lake.create("arrivals", ARRIVALS, key=["flight"], event_time="at", known_at="known_at")
    rooms.lake.create(
        "schedule",
        pa.schema([("id", pa.int64()), ("carrier", pa.string()), ("dest", pa.string()), ("x", pa.float64())]),
    )
    land(rooms, (1, "B6", "JFK", 30, 10), (2, "B6", "LAX", 5, 20), (3, "AA", "JFK", 1, 30))
    rooms.features.apply(*VIEWS)
    model = HistGradientBoostingRegressor(max_iter=1).fit(np.eye(len(COLUMNS)), np.ones(len(COLUMNS)))
    rooms.models.register("late", model, sample=pa.schema(COLUMNS.items()).empty_table())
    yield rooms
    rooms.close()


@pytest.fixture
def tracer(rooms: HandBuiltRooms) -> Tracer:
    return Tracer(
        rooms.recorder.store, rooms.lake, rooms.features, rooms.serving, rooms.models, rooms.runs, rooms.blobs
    )


def ask(rooms: HandBuiltRooms, rows: list[dict[str, Any]], *, keys_only: bool = True) -> Answer:
    assert rooms.folder is not None
    deployment = Deployment("late", "late@1", "schedule", VIEWS, "features_at", ("id",), "late_scores")
    with Answerer(
        deployment, rooms.folder / "requests", recorder=rooms.recorder, lake=rooms.lake, models=rooms.models,
        lookup=online_lookup(rooms.features), clock=Clock(), follow_s=0,
    ) as answerer:  # fmt: skip
        return answerer.answer(rows, id="k", keys_only=keys_only)


KEYS = [{"carrier": "B6", "dest": "JFK", "x": 4.0}, {"carrier": "ZZ", "dest": "JFK", "x": 0.5}]


def test_a_request_by_keys_lands_at_the_raw_rows(rooms: HandBuiltRooms, tracer: Tracer) -> None:
    rooms.features.materialize(CARRIER, DEST)
    answer = ask(rooms, KEYS)
    land(rooms, (4, "B6", "JFK", 2, 99))  # in the lake, after the online store was brought to version 1
    trace = tracer.trace(answer.refs[0])
    assert [n.label for n in trace.tree.walk() if "missing" in n.facts] == []
    values = trace.values()
    assert {name: (v["value"], v["recomputed"], v["rows"]) for name, v in values.items() if "__" in name} == {
        "carrier__count_7d": (2, 2, 2),
        "carrier__mean_delay_1d": (20.0, 20.0, 1),
        "carrier__delay": (20, 20, 1),
        "dest__count_7d": (2, 2, 2),
        "who__code": (1, 1, 1),
        "calendar__hour": (12, 12, 1),
    }
    assert trace.mismatches() == []
    rows = trace.rows_by_table()
    assert sorted(set(rows["table:arrivals@1"]["flight"].to_pylist())) == [1, 2, 3]
    refs = set(rows["table:arrivals@1"]["_row"].to_pylist())
    assert refs == {f"row:arrivals@1/{n}" for n in (1, 2, 3)}
    assert tracer.trace("row:arrivals@1/2").tree.facts["delay"] == 20

    [asked] = [n for n in trace.tree.walk() if n.kind == "row" and n.label.startswith(f"row:{INTO}")]
    told = {name: asked.facts[name] for name in ("request_id", "row", "carrier", "dest", "x", "features_at")}
    assert told == {"request_id": "k", "row": 0, **KEYS[0], "features_at": NOW}
    assert "score" not in asked.facts
    assert tracer.trace(str(asked.ref)).tree.facts["carrier"] == "B6"


def test_a_key_nobody_knows_has_no_rows(rooms: HandBuiltRooms, tracer: Tracer) -> None:
    rooms.features.materialize(CARRIER, DEST)
    trace = tracer.trace(ask(rooms, KEYS).refs[1])
    assert trace.mismatches() == []
    known = {name: (v["value"], v["rows"]) for name, v in trace.values().items()}
    assert (known["carrier__count_7d"], known["carrier__delay"], known["dest__count_7d"]) == (
        (0, 0),
        (None, 0),
        (2, 2),
    )


def test_views_of_one_source_at_different_versions(rooms: HandBuiltRooms, tracer: Tracer) -> None:
    """The online store stood at version 1 with one view and at version 2 with the other: each is read at its own."""
    rooms.features.materialize(CARRIER, DEST)
    land(rooms, (4, "B6", "JFK", 2, 99))
    rooms.features.materialize(DEST)
    answer = ask(rooms, KEYS)
    trace = tracer.trace(answer.refs[0])
    assert trace.mismatches() == []
    values = trace.values()
    assert (values["carrier__count_7d"]["value"], values["dest__count_7d"]["value"]) == (2, 3)
    rows = trace.rows_by_table()
    assert set(rows["table:arrivals@1"]["flight"].to_pylist()) == {1, 2}
    assert set(rows["table:arrivals@2"]["flight"].to_pylist()) == {1, 3, 4}
    found = rooms.serving.find(answer.refs[0])
    assert (found.sources, found.view_sources) == ({"arrivals": 1}, {"arrivals#dest": 2})
    scoring = next(n for n in trace.tree.walk() if n.kind == "execution" and n.label.startswith("answer"))
    assert {"table:arrivals@1", "table:arrivals@2"} <= {n.label for n in scoring.walk()}


def test_a_request_that_brings_its_features_is_traced_to_what_it_brought(
    rooms: HandBuiltRooms, tracer: Tracer
) -> None:
    answer = ask(rooms, [dict.fromkeys(COLUMNS, 1)], keys_only=False)
    trace = tracer.trace(answer.refs[0])
    assert trace.mismatches() == []
    assert {name: v["value"] for name, v in trace.values().items()} == dict.fromkeys(COLUMNS, 1)
    assert list(trace.rows_by_table()) == [f"table:{INTO}@1"]


def test_up_from_a_row_to_the_answers_that_can_have_used_it(rooms: HandBuiltRooms, tracer: Tracer) -> None:
    rooms.features.materialize(CARRIER, DEST)
    ask(rooms, KEYS)
    for row, n in (("1", 2), ("2", 1), ("3", 2)):
        [found] = tracer.impact(f"row:arrivals@1/{row}").groups["predictions"]
        assert found.ref == f"table:{INTO}@1"
        assert (found.facts["n_reached"], found.facts["n_predictions"]) == (n, 2)
    [found] = tracer.impact("model:late@1").groups["predictions"]
    assert found.ref == f"table:{INTO}@1"
    assert "training set" not in tracer.trace(f"table:{INTO}@1").text()
