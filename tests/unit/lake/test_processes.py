"""Processes that share a folder, and processes that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from whence._base.locks import Life
from whence.compute import Engine
from whence.lake import Lake, open_lake
from whence.metadata import Artifact, Recorder, open_store
from whence.testing.lake_world import SCHEMA, check_digest, ids_of, rows

PRELUDE = """
import sys
from pathlib import Path
from whence._base.locks import Life
from whence.lake import open_lake
from whence.metadata import Recorder, open_store
from whence.testing.lake_world import SCHEMA, rows

folder = Path(sys.argv[1])
recorder = Recorder(open_store(f"sqlite:///{folder / 'whence.db'}"), life=Life(folder / "lives"))
lake = open_lake(folder / "lake", recorder=recorder, locks=folder / "locks")
flights = lake.table("flights")
"""


def open_folder(folder: Path, engine: Engine) -> tuple[Lake, Recorder]:
    store = open_store(f"sqlite:///{folder / 'whence.db'}")
    recorder = Recorder(store, life=Life(folder / "lives"))
    return open_lake(folder / "lake", recorder=recorder, engine=engine, locks=folder / "locks"), recorder


def start(folder: Path, code: str, *, crash_at: str | None = None) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    environment.pop("WHENCE_CRASH_AT", None)
    if crash_at is not None:
        environment["WHENCE_CRASH_AT"] = crash_at
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + code, str(folder)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> int:
    said, _ = process.communicate(timeout=300)
    assert process.returncode in (0, -signal.SIGKILL), said
    return process.returncode


def check_graph(lake: Lake, recorder: Recorder) -> None:
    """The graph equals the log: every version LIVE with one producer, nothing running or pending."""
    store = recorder.store
    assert not store.find_nodes("execution", state="RUNNING").nodes
    assert not store.find_nodes("artifact", state="PENDING").nodes
    for name in lake.list():
        for info in lake.table(name).history():
            found = store.find_nodes("artifact", type_="TableVersion", name=f"{name}@{info.version}").nodes
            assert [n.state for n in found if isinstance(n, Artifact)] == ["LIVE"], info
            makers = [e.execution for e in store.list_events(artifacts=[found[0].uid]) if e.kind == "OUTPUT"]
            assert makers == [info.execution], info
        check_digest(lake.table(name).head())


def test_many_processes_append_and_nothing_is_lost_or_doubled(tmp_path: Path, engine: Engine) -> None:
    lake, recorder = open_folder(tmp_path, engine)
    flights = lake.create("flights", SCHEMA, key=["id"])
    appending = """
for i in range(15):
    flights.append(rows({base} + i), transaction=("{name}", i))
    flights.append(rows({base} + i), transaction=("{name}", i))
"""
    reading = """
for i in range(10):
    head = flights.head()
    lake.table("scores").append(head.arrow(["id"]).slice(0, 1))
    assert head.verify() == head.digest()
    flights.compact()
"""
    processes = [
        start(tmp_path, appending.format(base=1000, name="a")),
        start(tmp_path, appending.format(base=2000, name="b")),
        start(tmp_path, reading),
    ]
    assert [finish(p) for p in processes] == [0, 0, 0]
    assert ids_of(flights.arrow()) == [*range(1000, 1015), *range(2000, 2015)]
    assert lake.table("scores").head().version == 9
    assert recorder.recover().n == 0
    assert lake.reconcile().commits == []
    check_graph(lake, recorder)


POINTS = [
    "metadata.intent.before",
    "metadata.intent.after",
    "lake.commit.before",
    "lake.commit.after",
    "metadata.closing.before",
    "metadata.closing.after",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_append_is_whole_or_absent(tmp_path: Path, engine: Engine, point: str) -> None:
    lake, recorder = open_folder(tmp_path, engine)
    flights = lake.create("flights", SCHEMA)
    flights.append(rows(1))
    code = "flights.append(rows(2), transaction=('feed', 2), key='day 2')"
    assert finish(start(tmp_path, code, crash_at=point)) == -signal.SIGKILL
    recorder.recover()
    lake.reconcile()
    committed = point in ("lake.commit.after", "metadata.closing.before", "metadata.closing.after")
    assert ids_of(flights.arrow()) == ([1, 2] if committed else [1])
    check_graph(lake, recorder)
    again = flights.append(rows(2), transaction=("feed", 2), key="day 2")
    assert again.duplicate == committed
    assert (again.version, ids_of(flights.arrow())) == (2, [1, 2])
    assert recorder.find_complete("append", "day 2") is not None
    check_graph(lake, recorder)


@pytest.mark.parametrize("point", ["lake.commit.before", "lake.commit.after"])
def test_a_killed_creation_is_whole_or_absent(tmp_path: Path, engine: Engine, point: str) -> None:
    lake, recorder = open_folder(tmp_path, engine)
    code = "lake.create('flights', SCHEMA, key=['id']).append(rows(1))"
    assert finish(start(tmp_path, code, crash_at=point)) == -signal.SIGKILL
    recorder.recover()
    lake.reconcile()
    assert lake.table("flights").exists == (point == "lake.commit.after")
    lake.create("flights", SCHEMA, key=["id"]).append(rows(1))
    assert ids_of(lake.table("flights").arrow()) == [1]
    check_graph(lake, recorder)


def test_a_killed_step_leaves_its_commit_to_reconcile(tmp_path: Path, engine: Engine) -> None:
    lake, recorder = open_folder(tmp_path, engine)
    lake.create("flights", SCHEMA).append(rows(1))
    code = """
with recorder.execution("step"):
    flights.arrow()
    lake.table("out").append(rows(7))
"""
    assert finish(start(tmp_path, code, crash_at="lake.commit.after")) == -signal.SIGKILL
    assert [e.state for e in recorder.recover().failed] == ["FAILED"]
    assert [c.ref for c in lake.reconcile().commits] == ["table:out@0"]
    assert lake.table("out").history()[0].inputs == ("table:flights@1",)
    check_graph(lake, recorder)


@pytest.mark.parametrize("point", ["lake.vacuum.before", "lake.vacuum.after"])
def test_a_killed_vacuum_never_touches_a_held_version(tmp_path: Path, engine: Engine, point: str) -> None:
    lake, recorder = open_folder(tmp_path, engine)
    flights = lake.create("flights", SCHEMA)
    for i in range(4):
        flights.overwrite(rows(i))
    flights.hold(2, reason="training set")
    code = "flights.vacuum(retention_hours=0, dry_run=False)"
    assert finish(start(tmp_path, code, crash_at=point)) == -signal.SIGKILL
    recorder.recover()
    lake.reconcile()
    assert ids_of(flights.at(2).arrow()) == [1]
    assert ids_of(flights.arrow()) == [3]
    flights.vacuum(retention_hours=0, dry_run=False)
    assert ids_of(flights.at(2).arrow()) == [1]
    check_graph(lake, recorder)


def test_a_killed_pin_leaves_holds_and_the_next_pin_is_the_same(tmp_path: Path, engine: Engine) -> None:
    lake, recorder = open_folder(tmp_path, engine)
    lake.create("flights", SCHEMA).append(rows(1))
    lake.create_view("v", "SELECT id FROM flights")
    assert finish(start(tmp_path, "lake.view('v').pin()", crash_at="lake.view.pin")) == -signal.SIGKILL
    recorder.recover()
    assert lake.view("v").pin().ref == "view:v@1"
    assert [(h.version, h.reason) for h in lake.holds()] == [(1, "view:v@1")]
    assert not recorder.store.find_nodes("execution", state="RUNNING").nodes


def test_a_killed_reconcile_is_continued(tmp_path: Path, engine: Engine) -> None:
    lake, _ = open_folder(tmp_path, engine)
    flights = lake.create("flights", SCHEMA)
    for i in range(3):
        flights.append(rows(i))
    (tmp_path / "whence.db").rename(tmp_path / "lost.db")
    for rest in tmp_path.glob("whence.db-*"):
        rest.unlink()
    assert finish(start(tmp_path, "lake.reconcile()", crash_at="lake.reconcile:2")) == -signal.SIGKILL
    again, recorder = open_folder(tmp_path, engine)
    assert [c.version for c in again.reconcile().commits] == [2, 3]
    check_graph(again, recorder)
