"""A model played over history answers as it would have then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.serving.streaming import (
    DAY,
    HOUR,
    START,
    arrivals,
    check_features,
    follow,
    furnish,
    land,
    predictions,
    register,
)
from whence._base.clock import ReplayClock
from whence.errors import NotFoundError, UsageError
from whence.serving.replay import measures
from whence.stats import auc
from whence.testing.pipelines import HandBuiltRooms

TABLE = "replay.late_late_2"


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    rooms = HandBuiltRooms(tmp_path / "ws", clock=ReplayClock(START))
    furnish(rooms)
    register(rooms, 0.5)
    for day in range(3):
        land(rooms, day)
        follow(rooms)
    # what came later is not known at the moments that are replayed
    rooms.lake.table("arrivals").append(arrivals([1, 2, 30], late=5 * DAY))
    yield rooms
    rooms.close()


def test_the_challenger_answers_from_what_was_known_then(rooms: HandBuiltRooms) -> None:
    rooms.models.set_alias("late", "challenger", 2)
    result = rooms.serving.replay("late", "late@challenger", start=START + DAY)
    assert (result.into, result.model, result.n_rows, result.n_steps, result.scored_to) == (
        TABLE, "model:late@2", 48, 1, rooms.lake.table("schedule").head().watermark,
    )  # fmt: skip
    check_features(rooms, TABLE)
    played, live = predictions(rooms.lake.table(TABLE)), predictions(rooms.lake.table("late_scores"))[24:]
    about = ("score", "model", "model_digest")
    assert [{k: v for k, v in r.items() if k not in about} for r in played] == [
        {k: v for k, v in r.items() if k not in about} for r in live
    ]
    assert {r["model"] for r in played} == {"late@2"}
    [node] = rooms.recorder.store.find_nodes("execution", type_="replay").nodes
    assert (node.get("n_rows"), node.get("into")) == (48, TABLE)


def test_the_same_model_gives_the_same_scores(rooms: HandBuiltRooms) -> None:
    rooms.serving.replay("late", "late@1", start=START)
    assert predictions(rooms.lake.table("replay.late_late_1")) == predictions(rooms.lake.table("late_scores"))


def test_a_replay_is_gone_on_with_and_another_is_another(rooms: HandBuiltRooms) -> None:
    first = rooms.serving.replay("late", "late@2", start=START, end=START + 10 * HOUR, max_rows=4)
    assert (first.n_rows, first.n_steps) == (10, 3)
    on = rooms.serving.replay("late", "late@2", start=START, end=START + DAY)
    assert (on.into, on.n_rows, on.n_steps) == (TABLE, 24, 1)
    again = rooms.serving.replay("late", "late@2", start=START, end=START + DAY)
    assert (again.into, again.n_rows, again.n_steps) == (TABLE, 24, 0)
    other = rooms.serving.replay("late", "late@2", start=START + DAY)
    assert (other.into, other.n_rows) == (f"{TABLE}_2", 48)
    named = rooms.serving.replay("late", "late@2", start=START + DAY, into="mine")
    assert (named.into, named.n_rows) == ("mine", 48)


def test_replays_that_cannot_be(rooms: HandBuiltRooms) -> None:
    with pytest.raises(UsageError, match="'late_scores' holds other rows") as caught:
        rooms.serving.replay("late", "late@2", start=START, into="late_scores")
    assert caught.value.code == "replay-into"
    with pytest.raises(NotFoundError) as none:
        rooms.serving.replay("late", "late@2", start=START + 90 * DAY)
    assert none.value.code == "rows-to-replay-not-found"


def test_metrics_where_the_truth_is_known(rooms: HandBuiltRooms) -> None:
    labels = pa.table({"trip": list(range(40)), "label": [None if i > 35 else i % 3 == 0 for i in range(40)]})
    result = rooms.serving.replay("late", "late@2", start=START, labels=labels)
    rows = predictions(rooms.lake.table(TABLE))[:36]
    assert result.metrics["n"] == 36
    assert result.metrics["rate"] == 12 / 36
    assert result.metrics["auc"] == auc(
        [i % 3 == 0 for i in range(36)], [float(str(r["score"])) for r in rows]
    )
    assert measures(pa.table({"trip": [99], "score": [0.5]}), labels, ["trip"], "label") == {"n": 0.0}
