"""Processes that die, and processes that write at once."""

from __future__ import annotations

import importlib.util
import signal
import sqlite3
from pathlib import Path
from types import ModuleType

import pytest

from whence._base.crash import list_points
from whence.metadata import Artifact, Execution, MetadataStore


def _children() -> ModuleType:
    spec = importlib.util.spec_from_file_location("children", Path(__file__).with_name("children.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


children = _children()

KILLED = -signal.SIGKILL
# The first commit makes the project's context, the second is the intent, the third closes.
POINTS = [
    "metadata.intent.before",
    "metadata.intent.after",
    "metadata.closing.before",
    "metadata.closing.after",
    "metadata.commit.before:1",
    "metadata.commit.before:2",
    "metadata.commit.before:3",
]
RECOVERY_POINTS = ["metadata.recover.before", "metadata.recover.after", "metadata.commit.before"]


def nothing_half_done(store: MetadataStore) -> None:
    assert store.find_nodes("execution", state="RUNNING").nodes == []
    assert store.find_nodes("artifact", state="PENDING").nodes == []


def live_tables(store: MetadataStore) -> list[str]:
    return sorted(n.name or "" for n in store.find_nodes("artifact", type_="Table", state="LIVE").nodes)


def only_execution(store: MetadataStore) -> Execution:
    (node,) = store.find_nodes("execution").nodes
    assert isinstance(node, Execution)
    return node


def test_every_point_of_the_room_is_tested() -> None:
    named = {point.partition(":")[0] for point in (*POINTS, *RECOVERY_POINTS)}
    points = {point for point in list_points() if point.startswith("metadata.")}
    assert named <= points
    # Migrations are killed in `test_golden`, collecting (where it is loaded) in tests/unit/cli/test_metadata.py,
    # documents in exchange/test_whole.py.
    elsewhere = {"metadata.migrate.copied", "metadata.collect.removed", "metadata.exchange.declared"}
    assert points - named <= elsewhere


@pytest.mark.parametrize(
    ("point", "n_files"), [*((point, 1) for point in POINTS), ("metadata.closing.before", 2)]
)
def test_killed_at_each_point_then_started_again(tmp_path: Path, point: str, n_files: int) -> None:
    children.finish(children.start(tmp_path, "one", "k", str(n_files), crash_at=point), code=KILLED)
    recorder = children.open_recorder(tmp_path)
    store = recorder.store
    recovered = recorder.recover()
    nothing_half_done(store)
    written = all((tmp_path / f"k-{i}").exists() for i in range(n_files))
    if point in ("metadata.closing.before", "metadata.commit.before:3"):
        assert [e.state for e in recovered.rolled_forward] == ["COMPLETE"]
        assert only_execution(store).get("recovered") == "rolled-forward"
    elif point == "metadata.intent.after":
        assert not written
        assert [e.state for e in recovered.failed] == ["FAILED"]
        assert only_execution(store).get("error") == "the process ended before the execution did"
        assert len(store.find_nodes("artifact", state="ABANDONED").nodes) == n_files
    else:
        assert recovered.n == 0
    done = recorder.find_complete("append", "k")
    assert (done is not None) == written
    if done is None:
        children.write_file(recorder, tmp_path, "k", n_files=n_files)
    assert only_execution(store).state == "COMPLETE"
    assert live_tables(store) == [f"k-{i}@1" for i in range(n_files)]
    assert len(store.list_events(executions=[only_execution(store).uid])) >= 2 * n_files
    nothing_half_done(store)
    store.close()


def test_killed_between_two_outputs_is_failed_and_runs_again(tmp_path: Path) -> None:
    children.finish(
        children.start(tmp_path, "one", "k", "2", crash_at="metadata.closing.before"), code=KILLED
    )
    (tmp_path / "k-1").unlink()
    recorder = children.open_recorder(tmp_path)
    (failed,) = recorder.recover().failed
    assert live_tables(recorder.store) == [], "one of two outputs is not called live"
    children.write_file(recorder, tmp_path, "k", n_files=2)
    again = only_execution(recorder.store)
    assert (again.uid, again.state, again.get("attempt")) == (failed.uid, "COMPLETE", 2)
    assert live_tables(recorder.store) == ["k-0@1", "k-1@1"]
    recorder.store.close()


@pytest.mark.parametrize("point", RECOVERY_POINTS)
def test_killed_while_recovering(tmp_path: Path, point: str) -> None:
    for key in ("a", "b"):
        children.finish(
            children.start(tmp_path, "one", key, "1", crash_at="metadata.closing.before"), code=KILLED
        )
    children.finish(children.start(tmp_path, "recover", crash_at=point), code=KILLED)
    recorder = children.open_recorder(tmp_path)
    assert recorder.recover().n == (1 if point == "metadata.recover.after" else 2)
    assert recorder.recover().n == 0
    nothing_half_done(recorder.store)
    assert live_tables(recorder.store) == ["a-0@1", "b-0@1"]
    recorder.store.close()


def test_a_dead_key_is_settled_by_whoever_asks(tmp_path: Path) -> None:
    children.finish(
        children.start(tmp_path, "one", "k", "1", crash_at="metadata.closing.before"), code=KILLED
    )
    recorder = children.open_recorder(tmp_path)
    done = recorder.find_complete("append", "k")
    assert done is not None
    assert done.get("recovered") == "rolled-forward"
    recorder.store.close()


def test_an_output_that_was_recorded_before_the_death_was_noticed(tmp_path: Path) -> None:
    """Another process found the commit in the lake first: its node is the output."""
    children.finish(
        children.start(tmp_path, "one", "k", "1", crash_at="metadata.closing.before"), code=KILLED
    )
    recorder = children.open_recorder(tmp_path)
    found = recorder.put_artifact(Artifact(type="Table", name="k-0@1"))
    (done,) = recorder.recover().rolled_forward
    outputs = [e.artifact for e in recorder.store.list_events(executions=[done.uid]) if e.kind == "OUTPUT"]
    assert outputs == [found.uid]
    assert live_tables(recorder.store) == ["k-0@1"]
    nothing_half_done(recorder.store)
    recorder.store.close()


def test_the_running_are_left_alone(tmp_path: Path) -> None:
    child = children.start(tmp_path, "contest")
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    assert child.stdout.readline() == "ran\n"
    recorder = children.open_recorder(tmp_path)
    assert recorder.recover().n == 0
    assert recorder.find_complete("score", "k") is None
    children.finish(child)
    assert recorder.find_complete("score", "k") is not None
    recorder.store.close()


def test_killed_at_random_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for turn, n in enumerate((1, 7, 13)):
        child = children.start(tmp_path, "many", f"w{turn}", "1000")
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        acknowledged += [child.stdout.readline().strip() for _ in range(n)]
        child.kill()
        child.communicate()
    recorder = children.open_recorder(tmp_path)
    recorder.recover()
    nothing_half_done(recorder.store)
    states = [
        n.state for n in recorder.store.get_nodes("execution", uids=acknowledged) if isinstance(n, Execution)
    ]
    assert states == ["COMPLETE"] * 21
    recorder.store.close()
    connection = sqlite3.connect(tmp_path / "whence.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_four_writers_lose_nothing_and_never_fail(tmp_path: Path) -> None:
    writers = [children.start(tmp_path, "many", f"w{i}", "25") for i in range(4)]
    uids = [uid for writer in writers for uid in children.finish(writer)]
    assert len(set(uids)) == 100
    recorder = children.open_recorder(tmp_path)
    found = recorder.store.find_nodes("execution", type_="append", state="COMPLETE").nodes
    assert {n.uid for n in found} == set(uids)
    assert len(live_tables(recorder.store)) == 100
    assert len(recorder.store.find_nodes("context", type_="Project").nodes) == 1
    assert len(recorder.store.find_nodes("artifact", type_="Environment").nodes) == 1
    recorder.store.close()


def test_one_key_wanted_by_four_processes(tmp_path: Path) -> None:
    contestants = [children.start(tmp_path, "contest") for _ in range(4)]
    for child in contestants:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [answer for child in contestants for answer in children.finish(child)]
    assert sorted(set(answers)) in (
        ["execution-running", "ran"],
        ["execution-complete", "execution-running", "ran"],
        ["execution-complete", "ran"],
    )
    assert answers.count("ran") == 1
    assert len(list(tmp_path.glob("ran-*"))) == 1


def test_a_new_workspace_opened_by_four_processes_at_once(tmp_path: Path) -> None:
    counts = [children.finish(child) for child in [children.start(tmp_path, "open") for _ in range(4)]]
    recorder = children.open_recorder(tmp_path)
    assert counts == [[str(len(recorder.store.list_types()))]] * 4
    recorder.store.close()
