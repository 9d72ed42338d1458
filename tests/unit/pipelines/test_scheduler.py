"""What is due runs once: two schedulers, failures, kills at every point, alerts with their evidence."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whence._base.clock import ReplayClock
from whence._base.crash import VARIABLE
from whence._base.locks import file_lock
from whence.errors import UnsupportedError, UsageError
from whence.metadata import Artifact, Execution, Type
from whence.metadata.types import Value
from whence.pipelines import PipelineRun
from whence.pipelines.exclusive import lock_file
from whence.testing.pipelines import HandBuiltRooms, run_elsewhere

APRIL = datetime(2013, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
STEPS = """
    from datetime import UTC, datetime
    from pathlib import Path
    from typing import Annotated, Any
    import pyarrow as pa
    import whence.pipelines as w

    BROKEN = Path(__file__).parent / "broken"
    START = datetime(2013, 4, 1, tzinfo=UTC)

    @w.step(cache=False)
    def make(moment: datetime) -> Annotated[Any, w.Table("days", "append")]:
        return pa.table({"moment": [moment]})

    @w.step(cache=False)
    def check(days: Annotated[Any, w.Table("days")]) -> w.Metrics:
        if BROKEN.exists():
            raise ValueError(BROKEN.read_text())
        return {"n": float(days.n_rows)}

    @w.pipeline(triggers=[w.every("30d", start=START)])
    def monthly(moment: datetime):
        check(make(moment))

    @w.pipeline(triggers=[w.on_alert("late", at_most_every="14d"), w.every("30d", start=START)])
    def retrain(moment: datetime, depth: int = 6):
        check(make(moment))

    @w.pipeline(triggers=[w.every("7d", start=START)])
    def weekly(moment: datetime):
        check(make(moment))

    @w.pipeline
    def by_hand(moment: datetime):
        check(make(moment))
"""


@dataclass(frozen=True)
class Alarm:
    uid: str
    known_at: datetime
    decides: bool = True

    def to_dict(self) -> dict[str, Value]:
        return {"metric": "loss", "value": 0.6}


@dataclass
class Alarms:
    """A source of alerts a test fills by hand."""

    found: list[Alarm] = field(default_factory=list)

    def alerts(self, monitor: str, *, since: datetime | None = None) -> Sequence[Alarm]:
        assert monitor == "late"
        return [a for a in self.found if since is None or a.known_at >= since]


class Rooms(HandBuiltRooms):
    """Rooms on a replay clock, with alerts of the test's."""

    def __init__(self, folder: Path | None, at: datetime = APRIL) -> None:
        self.replay = ReplayClock(at)
        self.alarms = Alarms()
        super().__init__(folder, clock=self.replay)
        self.pipelines._scheduler._alerts = lambda: self.alarms

    def at(self, days: float) -> None:
        self.replay.advance_to(APRIL + days * DAY)

    def days(self) -> list[datetime]:
        table = self.lake.table("days")
        return [m.replace(tzinfo=UTC) for m in table.arrow()["moment"].to_pylist()] if table.exists else []


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Rooms]:
    rooms = Rooms(tmp_path / "ws")
    yield rooms
    rooms.close()


@pytest.fixture
def shop(project: Any) -> Any:
    project.write(steps=STEPS)
    return project.load("steps")


def scheduled(rooms: HandBuiltRooms) -> list[Execution]:
    nodes = rooms.recorder.store.find_nodes("execution", type_="scheduled").nodes
    return [n for n in nodes if isinstance(n, Execution)]


def test_each_period_runs_once(rooms: Rooms, shop: Any) -> None:
    assert rooms.pipelines.due([shop.monthly]) == []
    rooms.at(30.5)
    [due] = rooms.pipelines.due([shop.monthly])
    assert (due.key, due.moment) == ("every-30d@2013-05-01T00:00:00Z", APRIL + 30 * DAY)
    [run] = rooms.pipelines.tick([shop.monthly])
    assert (run.key, run.step("check").state) == (due.key, "COMPLETE")
    assert rooms.pipelines.tick([shop.monthly]) == []
    assert rooms.days() == [APRIL + 30 * DAY]
    [node] = scheduled(rooms)
    assert (node.state, node.name) == ("COMPLETE", f"monthly/{due.key}")
    assert node.get("evidence") == [
        {"trigger": "every-30d", "moment": "2013-05-01T00:00:00+00:00", "missed": 0}
    ]
    assert node.get("outputs") == {call: list(refs) for call, refs in run.outputs.items()}
    step = rooms.recorder.store.get_nodes("execution", uids=[run.step("make").execution.split(":")[1]])[0]
    assert step.get("parent") == node.uid


def test_missed_periods_become_one_run(rooms: Rooms, shop: Any) -> None:
    rooms.at(100)
    assert [r.key for r in rooms.pipelines.tick([shop.monthly])] == ["every-30d@2013-06-30T00:00:00Z"]
    assert scheduled(rooms)[0].get("evidence") == [
        {"trigger": "every-30d", "moment": "2013-06-30T00:00:00+00:00", "missed": 2}
    ]
    assert rooms.pipelines.tick([shop.monthly]) == []


def test_an_alert_that_decides_is_answered_once(rooms: Rooms, shop: Any) -> None:
    rooms.at(3)
    rooms.recorder.store.put_type(Type("artifact", "Alert"))
    stored = rooms.recorder.put_artifact(Artifact(type="Alert", name="late/1"))
    rooms.alarms.found = [
        Alarm("feature", APRIL + DAY, decides=False),
        Alarm(stored.uid, APRIL + 2 * DAY),
        Alarm("future", APRIL + 4 * DAY),
    ]
    [run] = rooms.pipelines.tick([shop.retrain])
    assert run.key == "alert-late@2013-04-03T00:00:00Z"
    assert rooms.days() == [APRIL + 2 * DAY]
    [node] = scheduled(rooms)
    assert node.get("evidence") == [
        {
            "trigger": "alert-late",
            "moment": "2013-04-03T00:00:00+00:00",
            "alerts": [
                {
                    "metric": "loss",
                    "value": 0.6,
                    "uid": stored.uid,
                    "known_at": "2013-04-03T00:00:00+00:00",
                }
            ],
        }
    ]
    events = rooms.recorder.store.list_events(executions=[node.uid])
    assert [(e.artifact, e.path) for e in events if e.kind == "INPUT"] == [(stored.uid, ("alert",))]
    assert rooms.pipelines.tick([shop.retrain]) == []


def test_alerts_of_the_time_to_wait_are_answered_together(rooms: Rooms, shop: Any) -> None:
    rooms.alarms.found = [Alarm("a", APRIL + DAY), Alarm("b", APRIL + 3 * DAY), Alarm("c", APRIL + 9 * DAY)]
    rooms.at(1)
    assert len(rooms.pipelines.tick([shop.retrain])) == 1
    rooms.at(14.5)
    assert rooms.pipelines.due([shop.retrain]) == []
    rooms.at(15.5)
    [due] = rooms.pipelines.due([shop.retrain])
    assert (due.moment, due.alerts) == (APRIL + 15 * DAY, ("b", "c"))
    assert len(rooms.pipelines.tick([shop.retrain])) == 1
    rooms.at(29)
    assert rooms.pipelines.tick([shop.retrain]) == []


def test_both_triggers_at_once_are_one_run_with_both_as_evidence(rooms: Rooms, shop: Any) -> None:
    rooms.alarms.found = [Alarm("a", APRIL + 30.25 * DAY)]
    rooms.at(31)
    [run] = rooms.pipelines.tick([shop.retrain])
    assert run.key == "alert-late+every-30d@2013-05-01T06:00:00Z"
    evidence = scheduled(rooms)[0].get("evidence")
    assert isinstance(evidence, list)
    assert [(e["trigger"], e["moment"][:13]) for e in evidence] == [
        ("alert-late", "2013-05-01T06"),
        ("every-30d", "2013-05-01T00"),
    ]
    rooms.at(60)
    assert [r.key for r in rooms.pipelines.tick([shop.retrain])] == ["every-30d@2013-05-31T00:00:00Z"]


def test_an_alert_that_waits_is_answered_by_whatever_runs(rooms: Rooms, shop: Any) -> None:
    rooms.alarms.found = [Alarm("a", APRIL + 20 * DAY), Alarm("b", APRIL + 29 * DAY)]
    rooms.at(20)
    rooms.pipelines.tick([shop.retrain])
    rooms.at(30)
    [run] = rooms.pipelines.tick([shop.retrain])
    assert run.key == "every-30d@2013-05-01T00:00:00Z"
    evidence = scheduled(rooms)[1].get("evidence")
    assert isinstance(evidence, list)
    assert (evidence[1]["trigger"], evidence[1]["waiting"]) == ("alert-late", True)
    rooms.at(45)
    assert rooms.pipelines.tick([shop.retrain]) == []


def test_an_alert_known_at_the_very_moment_but_later_is_not_lost(rooms: Rooms, shop: Any) -> None:
    rooms.at(30)
    rooms.pipelines.tick([shop.retrain])
    rooms.alarms.found = [Alarm("a", APRIL + 30 * DAY)]
    rooms.at(44)
    [run] = rooms.pipelines.tick([shop.retrain])
    assert run.key == "alert-late@2013-05-15T00:00:00Z"


def test_a_failed_run_is_gone_on_with(rooms: Rooms, shop: Any, capsys: Any) -> None:
    rooms.at(30)
    shop.BROKEN.write_text("no rows")
    with pytest.raises(ValueError, match="no rows"):
        rooms.pipelines.tick([shop.monthly, shop.weekly])
    [monthly, weekly] = rooms.pipelines.due([shop.monthly, shop.weekly])
    assert (monthly.resumed, weekly.resumed) == (True, True)
    shop.BROKEN.unlink()
    rooms.at(31)
    runs = rooms.pipelines.tick([shop.monthly, shop.weekly])
    assert [(r.pipeline, r.key) for r in runs] == [
        ("monthly", "every-30d@2013-05-01T00:00:00Z"),
        ("weekly", "every-7d@2013-04-29T00:00:00Z"),
    ]
    assert len(rooms.days()) == 2
    assert [n.state for n in scheduled(rooms)] == ["COMPLETE", "COMPLETE"]


def test_a_newer_moment_takes_the_place_of_one_that_keeps_failing(rooms: Rooms, shop: Any) -> None:
    rooms.at(7)
    shop.BROKEN.write_text("no rows")
    for days in (7, 8, 14):
        rooms.at(days)
        with pytest.raises(ValueError, match="no rows"):
            rooms.pipelines.tick([shop.weekly])
    shop.BROKEN.unlink()
    assert [r.key for r in rooms.pipelines.tick([shop.weekly])] == ["every-7d@2013-04-15T00:00:00Z"]
    assert [(n.get("run"), n.state) for n in scheduled(rooms)] == [
        ("every-7d@2013-04-08T00:00:00Z", "FAILED"),
        ("every-7d@2013-04-15T00:00:00Z", "COMPLETE"),
    ]
    assert rooms.pipelines.tick([shop.weekly]) == []


def test_two_schedulers_at_once_run_it_once(rooms: Rooms, shop: Any, tmp_path: Path) -> None:
    rooms.at(30)
    other = Rooms(tmp_path / "ws", APRIL + 30 * DAY)
    ready = threading.Barrier(2)
    found: list[list[PipelineRun]] = []

    def look(ws: Rooms) -> None:
        ready.wait(timeout=10)
        found.append(ws.pipelines.tick([shop.monthly]))

    threads = [threading.Thread(target=look, args=(ws,)) for ws in (rooms, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(len(runs) for runs in found) == [0, 1]
    assert len(rooms.days()) == 1
    assert other.pipelines.tick([shop.monthly]) == []
    other.close()


def test_a_scheduler_in_another_process_has_it(rooms: Rooms, shop: Any, tmp_path: Path) -> None:
    rooms.at(30)
    with file_lock(lock_file(tmp_path / "ws", "monthly", "schedule"), what="a test"):
        assert rooms.pipelines.tick([shop.monthly]) == []
        [run] = rooms.pipelines.tick([shop.monthly, shop.weekly])
        assert run.pipeline == "weekly"
    assert len(rooms.pipelines.tick([shop.monthly, shop.weekly])) == 1


def test_three_processes_at_once_run_it_once(rooms: Rooms, project: Any, shop: Any, tmp_path: Path) -> None:
    rooms.close()
    project.write(script=SCRIPT)
    entry, codes = project.name("script") + ":go", list[int]()

    def go() -> None:
        codes.append(run_elsewhere(entry, str(tmp_path / "ws"), paths=[str(project.folder)]))

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert codes == [0, 0, 0]
    again = Rooms(tmp_path / "ws", datetime(2013, 5, 3, tzinfo=UTC))
    assert again.days() == [APRIL + 30 * DAY]
    assert [n.state for n in scheduled(again)] == ["COMPLETE"]
    again.close()


def test_the_schedule_stops_when_told_and_survives_failures(rooms: Rooms, shop: Any) -> None:
    rooms.at(30)
    shop.BROKEN.write_text("no rows")
    seen: list[PipelineRun] = []
    looks = iter([False, False, False, True])

    def stop() -> bool:
        if shop.BROKEN.exists():
            shop.BROKEN.unlink()
        return next(looks)

    assert rooms.pipelines.schedule([shop.monthly], stop=stop, poll_s=0, on_run=seen.append) == 1
    assert [r.key for r in seen] == ["every-30d@2013-05-01T00:00:00Z"]


def test_params_go_to_who_takes_them(rooms: Rooms, shop: Any) -> None:
    rooms.at(30)
    runs = rooms.pipelines.tick([shop.monthly, shop.retrain], depth=3)
    assert [dict(r.params).get("depth") for r in runs] == [None, 3]
    with pytest.raises(UsageError, match="takes 'dept'") as caught:
        rooms.pipelines.tick([shop.retrain], dept=3)
    assert caught.value.code == "schedule-params"


def test_what_can_never_be_due_is_refused(rooms: Rooms, shop: Any) -> None:
    with pytest.raises(UsageError) as caught:
        rooms.pipelines.due([shop.by_hand])
    assert caught.value.code == "no-trigger"
    rooms.pipelines._scheduler._alerts = None
    with pytest.raises(UnsupportedError) as other:
        rooms.pipelines.tick([shop.retrain])
    assert other.value.code == "no-alerts"


POINTS = [
    "metadata.intent.before",
    "metadata.intent.after",
    "pipelines.schedule.claimed",
    "pipelines.pinned",
    "pipelines.computed",
    "lake.commit.after",
    "pipelines.written",
    "pipelines.between-steps",
    "pipelines.between-steps:2",
    "pipelines.schedule.ran",
    "metadata.closing.before:3",
    "metadata.closing.after:3",
]
SCRIPT = """
    from datetime import UTC, datetime
    from pathlib import Path
    from whence._base.clock import ReplayClock
    from whence.testing.pipelines import HandBuiltRooms
    from SHOP.steps import monthly

    def go(folder):
        clock = ReplayClock(datetime(2013, 5, 2, tzinfo=UTC))
        HandBuiltRooms(Path(folder), clock=clock).pipelines.tick([monthly])
"""


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_looked_again(rooms: Rooms, project: Any, shop: Any, tmp_path: Path, point: str) -> None:
    rooms.close()
    project.write(script=SCRIPT)
    folder = tmp_path / "ws"
    entry = project.name("script") + ":go"
    assert run_elsewhere(entry, str(folder), paths=[str(project.folder)], environment={VARIABLE: point}) == -9
    again = Rooms(folder, datetime(2013, 5, 3, tzinfo=UTC))
    again.lake.reconcile()
    again.recorder.recover()
    again.pipelines.tick([shop.monthly])
    assert again.days() == [APRIL + 30 * DAY]
    assert [(n.get("run"), n.state) for n in scheduled(again)] == [
        ("every-30d@2013-05-01T00:00:00Z", "COMPLETE")
    ]
    assert again.pipelines.tick([shop.monthly]) == []
    again.close()


MINIMAL = """
    from datetime import UTC, datetime
    import whence.pipelines as w

    @w.step(cache=False)
    def note(moment: datetime) -> w.Metrics:
        w.current().notes.append(moment.isoformat())
        return {"n": 1.0}

    @w.pipeline(triggers=[w.on_alert("late", at_most_every="14d"), w.every("30d", start=datetime(2013, 4, 1, tzinfo=UTC))])
    def retrain(moment: datetime):
        note(moment)
"""


@pytest.fixture
def minimal(project: Any) -> Any:
    project.write(minimal=MINIMAL)
    return project.load("minimal")


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(st.integers(1, 500), st.booleans()), min_size=1, max_size=8))
def test_whatever_happens_each_alert_and_each_period_is_answered_once(
    minimal: Any, happenings: list[tuple[int, bool]]
) -> None:
    """Hours pass, alerts are raised or not, somebody looks: nothing is lost, doubled, or answered too soon."""
    rooms = Rooms(None)
    hours = 0
    for n, (more, alarm) in enumerate([*happenings, (24 * 60, False)]):
        hours += more
        rooms.at(hours / 24)
        if alarm:
            rooms.alarms.found.append(Alarm(f"a{n}", APRIL + timedelta(hours=hours - more // 2)))
        rooms.pipelines.tick([minimal.retrain])
        assert rooms.pipelines.due([minimal.retrain]) == []
    moments = [datetime.fromisoformat(m) for m in rooms.notes]
    assert moments == sorted(set(moments))
    answered: list[str] = []
    last: datetime | None = None
    for node, moment in zip(scheduled(rooms), moments, strict=True):
        evidence: Any = node.get("evidence")
        answered += [a["uid"] for e in evidence for a in e.get("alerts", [])]
        called = {e["trigger"]: e["moment"] for e in evidence if "moment" in e}
        assert called
        if "every-30d" in called:
            assert (datetime.fromisoformat(called["every-30d"]) - APRIL) % (30 * DAY) == timedelta(0)
        elif last is not None:
            assert moment - last >= 14 * DAY
        last = moment
    assert sorted(answered) == sorted(a.uid for a in rooms.alarms.found)
    grid = {e["moment"] for n in scheduled(rooms) for e in _evidence(n) if e["trigger"] == "every-30d"}
    assert len(grid) == len(
        [1 for n in scheduled(rooms) for e in _evidence(n) if e["trigger"] == "every-30d"]
    )
    rooms.close()


def _evidence(node: Execution) -> list[Any]:
    found = node.get("evidence")
    assert isinstance(found, list)
    return found
