"""A stream that is killed goes on where its predictions table stands; two of them beside each other are one."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.serving.streaming import (
    HOUR,
    START,
    check_features,
    deploy,
    furnish,
    land,
    predictions,
    trips,
)
from whence._base.clock import ReplayClock
from whence._base.crash import VARIABLE
from whence.lake import pinned
from whence.metadata import Artifact, Execution
from whence.serving import stream
from whence.testing.pipelines import HandBuiltRooms, run_elsewhere

DAYS = 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rooms = HandBuiltRooms(tmp_path / "ws", clock=ReplayClock(START))
    furnish(rooms)
    deploy(rooms, "undisturbed", "undisturbed_scores")
    rooms.close()
    return tmp_path / "ws"


def live(folder: str) -> None:
    """Run in another process: two days, scored in small steps; a late row and a repeated one come in between."""
    stream.ROOM = 0  # the horizon is met
    rooms = HandBuiltRooms(Path(folder), clock=ReplayClock(START))
    with rooms.serving.follow("late", max_rows=8) as follower:
        for day in range(DAYS):
            land(rooms, day)
            for _ in follower.steps():
                pass
        more = pa.concat_tables([trips([300], shift=-290 * HOUR), trips([5])])
        rooms.lake.table("schedule").append(more, transaction=("more", 1))
        for _ in follower.steps():
            pass
    rooms.close()


def compete(folder: str) -> None:
    """Run in another process: steps until all is answered, whoever else takes them."""
    stream.ROOM = 0
    rooms = HandBuiltRooms(Path(folder), clock=ReplayClock(START))
    with rooms.serving.follow("late", max_rows=3) as follower:
        while follower.lag.n_rows:
            for _ in follower.steps():
                pass
    rooms.close()


def compact(folder: str) -> None:
    """Run in another process: files are rewritten under the followers."""
    rooms = HandBuiltRooms(Path(folder), clock=ReplayClock(START))
    for _ in range(6):
        for name in ("schedule", "arrivals", "late_scores"):
            if rooms.lake.table(name).exists:
                rooms.lake.table(name).compact()
    rooms.close()


def opened(folder: Path) -> Iterator[HandBuiltRooms]:
    """The rooms, settled as `connect` does it."""
    rooms = HandBuiltRooms(folder, clock=ReplayClock(START))
    _ = rooms.serving
    rooms.recorder.recover()
    rooms.lake.reconcile()
    yield rooms
    rooms.close()


def check(rooms: HandBuiltRooms) -> None:
    """Everything is answered once, as in a run that nobody disturbed; the graph knows every step."""
    with rooms.serving.follow("undisturbed") as follower:
        while follower.step() is not None:
            pass
    assert predictions(rooms.lake.table("late_scores")) == predictions(rooms.lake.table("undisturbed_scores"))
    check_features(rooms)
    store = rooms.recorder.store
    assert store.find_nodes("execution", state="RUNNING").nodes == []
    assert store.find_nodes("artifact", state="PENDING").nodes == []
    for info in rooms.lake.table("late_scores").history():
        if info.transaction is None:
            continue
        [node] = store.get_nodes("execution", uids=[info.execution or ""])
        assert isinstance(node, Execution)
        assert (node.type, node.name, node.state) == ("score", f"late:0:{info.transaction[1]}", "COMPLETE")
        made = [e.artifact for e in store.list_events(executions=[node.uid]) if e.kind == "OUTPUT"]
        [version] = store.get_nodes("artifact", uids=made)
        assert isinstance(version, Artifact)
        assert (version.name, version.state) == (f"late_scores@{info.version}", "LIVE")
    rows = rooms.lake.table("late_scores").arrow(["execution"])
    steps = {i.execution for i in rooms.lake.table("late_scores").history() if i.transaction}
    assert set(rows["execution"].to_pylist()) == steps


POINTS = [
    ("metadata.intent.after:9", False),
    ("serving.step.before-commit:1", True),
    ("serving.step.after-commit:1", False),
    ("serving.step.after-commit:3", True),
    ("serving.step.after-commit:7", True),
    ("metadata.closing.before:9", True),
    ("serving.step.ahead:1", False),
    ("serving.step.ahead:2", True),
    ("serving.step.ahead:4", True),
]
"""Where it is killed, and whether the workspace is settled before it goes on."""


@pytest.mark.parametrize(("point", "settled"), POINTS)
def test_killed_and_followed_again(folder: Path, point: str, settled: bool) -> None:
    here = "tests.unit.serving.test_stream_killed:live"
    root = str(Path(__file__).parents[3])
    assert run_elsewhere(here, str(folder), paths=[root], environment={VARIABLE: point}) == -9
    if settled:
        for rooms in opened(folder):
            assert rooms.recorder.store.find_nodes("execution", state="RUNNING").nodes == []
    assert run_elsewhere(here, str(folder), paths=[root]) == 0
    for rooms in opened(folder):
        check(rooms)


def test_two_followers_and_a_compactor(folder: Path) -> None:
    rooms = HandBuiltRooms(folder, clock=ReplayClock(START))
    for day in range(4):
        land(rooms, day)
    rooms.close()
    context = multiprocessing.get_context("forkserver")
    jobs = [compete, compete, compact]
    processes = [context.Process(target=job, args=(str(folder),)) for job in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    for rooms in opened(folder):
        check(rooms)
        steps = [i.transaction for i in rooms.lake.table("late_scores").history()[::-1] if i.transaction]
        assert steps == [("score/late:0", n + 1) for n in range(len(steps))]


def test_the_second_of_two_goes_on_with_the_next_range(folder: Path) -> None:
    for rooms in opened(folder):
        with (
            rooms.serving.follow("late", max_rows=10) as one,
            rooms.serving.follow("late", max_rows=7) as two,
        ):
            land(rooms, 0)
            sizes = [result.n_rows for result in (one.step(), two.step(), one.step()) if result]
            assert sizes == [10, 7, 7]
            assert two.step() is None
            land(rooms, 1)
            # one had not seen the newest version when two was through with part of it
            assert one.lag.n_rows == 24
            rooms.lake.table("schedule").append(trips([90], shift=-60 * HOUR))
            assert [result.n_rows for result in iter(two.step, None)] == [6, 7, 7, 5]
            rooms.lake.table("schedule").append(trips([91], shift=-70 * HOUR))
            assert [result.n_rows for result in iter(one.step, None)] == [1]
        check(rooms)


def test_one_that_overtakes_leaves_rows_it_had_not_seen_to_the_other(folder: Path) -> None:
    for rooms in opened(folder):
        land(rooms, 0)
        with rooms.serving.follow("late") as one, rooms.serving.follow("late") as two:
            assert one.lag.n_rows == 24
            rooms.lake.table("schedule").append(trips([70], shift=-60 * HOUR))
            assert one.lag.n_rows == 25
            with pinned({"schedule": 1}):
                result = two.step()
                assert result is not None
                assert result.n_rows == 24
            result = one.step()
            assert result is not None
            assert (result.n_rows, result.n_late) == (1, 1)
        check(rooms)


def test_a_random_kill_leaves_nothing_behind(folder: Path) -> None:
    rng = random.Random(7)
    here, root = "tests.unit.serving.test_stream_killed:live", str(Path(__file__).parents[3])
    names = [
        "serving.step.before-commit",
        "serving.step.after-commit",
        "serving.step.ahead",
        "lake.commit.after",
        "metadata.closing.before",
    ]
    code = -9
    while code == -9:
        point = f"{rng.choice(names)}:{rng.randint(1, 6)}"
        code = run_elsewhere(here, str(folder), paths=[root], environment={VARIABLE: point})
    assert code == 0
    for rooms in opened(folder):
        check(rooms)
