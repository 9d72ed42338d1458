"""Predictions of a stream are traced as those of a batch are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.serving.streaming import DELAYS, HOUR, START, deploy, follow, furnish, land, trips
from whence._base.clock import ReplayClock
from whence._base.digest import canonical_json
from whence.serving.predictions import definitions_of
from whence.serving.types import Prediction
from whence.testing.pipelines import HandBuiltRooms
from whence.trace import Tracer
from whence.trace.base import Scoring


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    rooms = HandBuiltRooms(tmp_path / "ws", clock=ReplayClock(START))
    furnish(rooms)
    for day in range(2):
        land(rooms, day)
        rooms.lake.table("schedule").append(trips([5 + 24 * day]))
        follow(rooms)
    rooms.lake.table("schedule").append(trips([5], shift=50 * HOUR))
    yield rooms
    rooms.close()


@pytest.fixture
def tracer(rooms: HandBuiltRooms) -> Tracer:
    return tracer_of(rooms, rooms.serving)


def tracer_of(rooms: HandBuiltRooms, scoring: Scoring) -> Tracer:
    return Tracer(
        rooms.recorder.store, rooms.lake, rooms.features, scoring, rooms.models, rooms.runs, rooms.blobs
    )


@pytest.mark.parametrize(("key", "version"), [(5, 2), (29, 4), (30, 4)])
def test_down_to_the_rows(rooms: HandBuiltRooms, tracer: Tracer, key: int, version: int) -> None:
    prediction = rooms.serving.find(f"late_scores/{key}")
    trace = tracer.trace(prediction.ref)
    nodes = list(trace.tree.walk())
    assert [(n.label, n.facts) for n in nodes if "missing" in n.facts] == []
    [row] = [n for n in nodes if n.kind == "row" and n.label.startswith("row:schedule")]
    assert (row.label, row.facts["at"]) == (f"row:schedule@{version}/{key}", prediction.features_at)
    counted = next(n for n in nodes if n.label.startswith("count_7d"))
    assert counted.rows is not None
    assert counted.rows.num_rows == prediction.features["delays__count_7d"]
    assert f"table:arrivals@{prediction.sources['arrivals']}" in [n.label for n in nodes]
    assert prediction.definitions["delays"] == DELAYS.digest


class OldRows:
    """Predictions as earlier versions wrote them, or whose execution is gone."""

    def __init__(self, rooms: HandBuiltRooms, text: str, execution: str | None = None) -> None:
        self.rooms, self.text, self.execution = rooms, text, execution

    def find(self, ref: str) -> Prediction:
        found = self.rooms.serving.find(ref)
        execution = self.execution or found.execution
        definitions, error = definitions_of(self.rooms.recorder.store, self.text, execution)
        return replace(found, definitions=definitions, definitions_error=error)


def test_rows_with_the_map_itself_are_traced_alike(rooms: HandBuiltRooms, tracer: Tracer) -> None:
    found = rooms.serving.find("late_scores/5")
    again = tracer_of(rooms, OldRows(rooms, canonical_json(dict(found.definitions)), "gone")).trace(found.ref)
    assert again.to_dict() == tracer.trace(found.ref).to_dict()
    assert again.mismatches() == []


def test_values_of_definitions_out_of_reach_are_unknown(rooms: HandBuiltRooms) -> None:
    row = rooms.lake.table("late_scores").arrow(["definitions"])["definitions"][0].as_py()
    trace = tracer_of(rooms, OldRows(rooms, row, "gone")).trace("prediction:late_scores/5")
    values = [n.feature for n in trace.tree.walk() if n.feature]
    told = {v.name: (v.agreement, v.error) for v in values}
    why = "its definitions are out of reach: the graph has no execution:gone"
    assert told["delays__count_7d"] == ("unknown", why)


@pytest.mark.parametrize("ref", ["table:arrivals@1", "table:schedule@1", "row:schedule@2/5", "model:late@1"])
def test_up_to_the_predictions(tracer: Tracer, ref: str) -> None:
    groups = tracer.impact(ref).groups
    [found] = groups["predictions"]
    assert found.ref == "table:late_scores@2"
    assert (found.facts["n_predictions"], found.facts["n_scorings"], found.facts["n_versions"]) == (48, 2, 2)


def test_predictions_into_another_table_name_their_own_steps(rooms: HandBuiltRooms, tracer: Tracer) -> None:
    deploy(rooms, "other", "other_scores")
    with rooms.serving.follow("other", max_rows=5) as follower:
        follower.step()
    trace = tracer.trace("prediction:other_scores/3")
    assert rooms.serving.find("other_scores/3").execution in str(trace.to_dict())
