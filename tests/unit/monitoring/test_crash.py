"""Killed anywhere and run again: the same measures and alerts, nothing twice."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Final

import pyarrow as pa
import pytest

from tests.unit.monitoring.world import DEPLOYMENT, HISTORY_DAYS, LABELS, World, begin, founded
from whence._base.crash import VARIABLE
from whence.monitoring import Monitoring
from whence.testing.pipelines import run_elsewhere

LIVE: Final = HISTORY_DAYS
COMPARED: Final = [
    "kind", "metric", "feature", "table", "window", "start", "end", "value", "low", "high", "threshold", "p",
    "n", "model", "version", "alert", "known_at",
]  # fmt: skip


def prepared(folder: Path | None) -> World:
    """A world in which three days were watched and a fault waits on the fourth."""
    world = founded(folder)
    world.live(range(LIVE, LIVE + 3))
    world.land(LIVE + 3)
    world.rooms.lake.table("arrivals").append(world.flights(LIVE + 3)[1])
    world.score(LIVE + 3)
    world.land(LIVE + 4)
    world.score(LIVE + 4)
    return world


def go(folder: str) -> None:
    """Run in another process: two runs of the monitor."""
    world = World(Path(folder))
    for day in (LIVE + 4, LIVE + 5):
        world.monitoring.run("late", upto=begin(day))


def measured(world: World) -> pa.Table:
    rows = world.rooms.lake.table("monitor.late").arrow(COMPARED)
    return rows.sort_by(
        [
            (name, "ascending")
            for name in ("known_at", "kind", "metric", "table", "feature", "window", "start")
        ]
    )


@pytest.fixture(scope="module")
def undisturbed() -> pa.Table:
    world = prepared(None)
    for day in (LIVE + 4, LIVE + 5):
        world.monitoring.run("late", upto=begin(day))
    return measured(world)


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared world as a folder, to be copied."""
    folder = tmp_path_factory.mktemp("waiting") / "ws"
    prepared(folder).rooms.close()
    return folder


@pytest.mark.parametrize(
    "point",
    [
        "monitoring.run.judged",
        "metadata.intent.after",
        "monitoring.run.stored",
        "lake.commit.before",
        "lake.commit.after",
        "monitoring.run.committed",
        "metadata.closing.before",
        "metadata.closing.after",
        "monitoring.run.committed:2",
    ],
)
def test_killed_and_run_again(undisturbed: pa.Table, waiting: Path, tmp_path: Path, point: str) -> None:
    shutil.copytree(waiting, tmp_path / "ws")
    here = str(Path(__file__).parent)
    killed = run_elsewhere("test_crash:go", str(tmp_path / "ws"), paths=[here], environment={VARIABLE: point})
    assert killed == -9
    again = World(tmp_path / "ws")
    again.rooms.recorder.recover()
    again.rooms.lake.reconcile()
    for day in (LIVE + 4, LIVE + 5):
        again.monitoring.run("late", upto=begin(day))
    assert measured(again).equals(undisturbed)
    graph = again.rooms.recorder.store
    assert graph.find_nodes("execution", state="RUNNING").nodes == []
    runs = graph.find_nodes("execution", type_="monitor", state="COMPLETE").nodes
    assert sorted(str(r.get("n")) for r in runs) == ["1", "2", "3", "4", "5"]
    profiles = graph.find_nodes("artifact", type_="Profile", state="LIVE").nodes
    assert sorted(str(p.name) for p in profiles) == [f"late#{n}" for n in range(1, 6)]
    made = {e.artifact for r in runs for e in graph.list_events(executions=[r.uid]) if e.kind == "OUTPUT"}
    assert {p.uid for p in profiles} <= made
    alerts = [a.uid for a in again.monitoring.alerts("late")]
    assert sorted(alerts) == sorted(str(n.name) for n in graph.find_nodes("artifact", type_="Alert").nodes)
    again.rooms.close()


@pytest.mark.parametrize("point", ["monitoring.reference.stored", "metadata.closing.before"])
def test_killed_while_the_reference_is_made(tmp_path: Path, point: str) -> None:
    world = founded(tmp_path / "ws")
    world.land(LIVE)
    world.score(LIVE)
    world.rooms.close()
    here = str(Path(__file__).parent)
    killed = run_elsewhere(
        "test_crash:look", str(tmp_path / "ws"), paths=[here], environment={VARIABLE: point}
    )
    assert killed == -9
    again = World(tmp_path / "ws")
    again.rooms.recorder.recover()
    result = again.monitoring.run("late", upto=begin(LIVE + 1))
    assert result.n_windows == 3
    graph = again.rooms.recorder.store
    for type_ in ("Edges", "Reference"):
        assert len(graph.find_nodes("artifact", type_=type_, state="LIVE").nodes) == 1
    again.rooms.close()


def look(folder: str) -> None:
    """Run in another process: the reference is made."""
    World(Path(folder)).monitoring.reference("late")


def test_two_that_run_at_once_judge_each_window_once(
    undisturbed: pa.Table, waiting: Path, tmp_path: Path
) -> None:
    shutil.copytree(waiting, tmp_path / "ws")
    world = World(tmp_path / "ws")
    world.clock.advance_to(begin(LIVE + 5))
    r = world.rooms
    rivals = [
        Monitoring(r.recorder, r.lake, r.models, r.blobs, r.engine, deployments=None, clock=world.clock)
        for _ in range(2)
    ]
    for day in (LIVE + 4, LIVE + 5):
        together = threading.Barrier(2)

        def both(rival: Monitoring, at: int = day, start: threading.Barrier = together) -> None:
            start.wait(30)
            rival.run("late", upto=begin(at))

        threads = [threading.Thread(target=both, args=(rival,)) for rival in rivals]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
    assert measured(world).equals(undisturbed)
    rivals[0].watch("late", deployment=DEPLOYMENT, labels=LABELS, feeds=("arrivals", "weather"))
    world.rooms.close()
