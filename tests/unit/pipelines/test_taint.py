"""A pipeline that waits for marks runs once for each, and reads nothing that is blocked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from whence._base.clock import ReplayClock
from whence.errors import DataRejectedError, UnsupportedError
from whence.metadata import Execution
from whence.metadata.graph import Graph
from whence.testing.pipelines import HandBuiltRooms

APRIL = datetime(2013, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
STEPS = """
    from datetime import datetime
    from typing import Annotated, Any
    import pyarrow as pa
    import whence.pipelines as w

    OF = "TableVersion/made@0"

    @w.step(cache=False)
    def make(raw: Annotated[Any, w.Table("raw")]) -> Annotated[Any, w.Table("made")]:
        return raw.arrow()

    @w.pipeline(triggers=[w.on_taint(OF)])
    def again():
        make()

    @w.pipeline(triggers=[w.on_taint(OF, at_most_every="14d"), w.every("30d", start=datetime.fromisoformat("2013-04-01T00:00:00Z"))])
    def waits():
        make()
"""


class Rooms(HandBuiltRooms):
    def __init__(self) -> None:
        self.replay = ReplayClock(APRIL)
        super().__init__(None, clock=self.replay)
        self.graph = Graph(self.recorder.store, recorder=lambda: self.recorder)
        self.pipelines._scheduler._taints = lambda: self.graph
        self.lake.table("raw").append([{"n": 1}])

    def at(self, days: float) -> None:
        self.replay.advance_to(APRIL + days * DAY)

    def n_runs(self) -> int:
        return self.graph.count("execution", "type = 'scheduled' AND state = COMPLETE")


@pytest.fixture
def rooms() -> Iterator[Rooms]:
    rooms = Rooms()
    yield rooms
    rooms.close()


@pytest.fixture
def shop(project: Any) -> Any:
    project.write(steps=STEPS)
    return project.load("steps")


def test_each_mark_is_answered_once(rooms: Rooms, shop: Any) -> None:
    rooms.pipelines.run(shop.again)
    assert rooms.pipelines.due([shop.again]) == []
    first = rooms.graph.mark("TableVersion/raw@0", "swapped", policy="retrain")
    (due,) = rooms.pipelines.due([shop.again])
    assert (due.trigger, due.moment) == ("taint-TableVersion/made@0", APRIL)
    assert [m["mark"] for m in due.evidence[0]["marks"]] == [first.id]  # type: ignore[index,union-attr,call-overload]
    assert len(rooms.pipelines.tick([shop.again])) == 1
    assert rooms.pipelines.tick([shop.again]) == []
    second = rooms.graph.mark("TableVersion/raw@0", "and late", policy="retrain")
    assert len(rooms.pipelines.tick([shop.again])) == 1  # at the same moment of the replay
    rooms.at(10)
    assert rooms.pipelines.tick([shop.again]) == []
    assert rooms.n_runs() == 2
    rooms.graph.lift(first)
    rooms.graph.lift(second)
    third = rooms.graph.mark("TableVersion/raw@0", "again", policy="retrain")
    rooms.graph.lift(third)  # before anybody looked
    assert rooms.pipelines.tick([shop.again]) == []


def test_only_marks_that_ask_for_it_and_reach_it_count(rooms: Rooms, shop: Any) -> None:
    rooms.pipelines.run(shop.again)
    rooms.lake.table("raw").append([{"n": 2}])
    rooms.graph.mark("TableVersion/raw@0", "one", policy="alert")
    rooms.graph.mark("TableVersion/raw@1", "two", policy="retrain")  # was not read
    assert rooms.pipelines.due([shop.again]) == []


def test_marks_wait_and_are_answered_together(rooms: Rooms, shop: Any) -> None:
    rooms.pipelines.run(shop.waits)
    rooms.at(30)
    assert len(rooms.pipelines.tick([shop.waits])) == 1
    rooms.at(31)
    rooms.graph.mark("TableVersion/raw@0", "one", policy="retrain")
    assert rooms.pipelines.tick([shop.waits]) == []
    rooms.at(43)
    rooms.graph.mark("TableVersion/raw@0", "two", policy="retrain")
    assert rooms.pipelines.tick([shop.waits]) == []
    rooms.at(44)
    (due,) = rooms.pipelines.due([shop.waits])
    assert len(due.evidence[0]["marks"]) == 2  # type: ignore[arg-type]
    assert len(rooms.pipelines.tick([shop.waits])) == 1
    rooms.at(60)
    assert len(rooms.pipelines.tick([shop.waits])) == 1  # the period, not the marks
    assert rooms.pipelines.tick([shop.waits]) == []


def test_marks_that_wait_are_answered_by_a_run_for_another_reason(rooms: Rooms, shop: Any) -> None:
    rooms.pipelines.run(shop.waits)
    rooms.at(29)
    rooms.graph.mark("TableVersion/raw@0", "zero", policy="retrain")
    assert len(rooms.pipelines.tick([shop.waits])) == 1
    rooms.graph.mark("TableVersion/raw@0", "one", policy="retrain")
    rooms.at(30)
    assert len(rooms.pipelines.tick([shop.waits])) == 1  # the period; the mark waits, and is answered too
    rooms.at(59)
    assert rooms.pipelines.tick([shop.waits]) == []


def test_a_step_that_would_read_what_is_blocked_fails(rooms: Rooms, shop: Any) -> None:
    mark = rooms.graph.mark("TableVersion/raw@0", "swapped")
    with pytest.raises(DataRejectedError, match="tainted-input"):
        rooms.pipelines.run(shop.again)
    assert not rooms.lake.table("made").exists
    with rooms.graph.allow_tainted("to compare"):
        rooms.pipelines.run(shop.again)
    step = rooms.graph.find("execution", "type = 'step' AND state = COMPLETE").first()
    assert isinstance(step, Execution)
    assert (step.get("allow_tainted"), step.get("tainted_by")) == ("to compare", [mark.id])
    # The table that was made is tainted; reading it outside of any execution is not stopped.
    assert rooms.graph.tainted("TableVersion/made@0")
    assert rooms.lake.sql("SELECT count(*) AS n FROM made").to_pylist() == [{"n": 1}]


def test_without_a_graph_nothing_can_be_waited_for(rooms: Rooms, shop: Any) -> None:
    rooms.pipelines._scheduler._taints = None
    with pytest.raises(UnsupportedError, match="no-marks"):
        rooms.pipelines.due([shop.again])
