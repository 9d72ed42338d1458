"""What a power cut or a kill leaves of a SQLite graph: every acknowledged write, whole, and nothing of any other."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from whence.database import sqlite_url
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Event,
    Execution,
    MetadataStore,
    Put,
    Removal,
    Type,
    open_store,
)

KILLED: Final = -signal.SIGKILL
N_NODES: Final = 3

# Each change is an execution, what it read (the last one's output) and wrote; the update of the one before; an event.
WRITER: Final = """
import sys
from itertools import count
from whence.metadata import AnyNode, Artifact, Change, Context, Event, Execution, Put, open_store

store = open_store(sys.argv[1])
group = Context(type="Group", name="g")
store.write(Change([Put(group, "reuse")]))
group = store.find_nodes("context", name="g").nodes[0]
before = None
for i in count():
    execution = Execution(type="load", name=f"e{i}", state="RUNNING")
    artifacts = [Artifact(type="Table", name=f"{side}{i}", custom={"i": i, "text": "x" * (i % 7 * 500)}) for side in "ab"]
    puts = [Put(node) for node in (execution, *artifacts)]
    if before is not None:
        puts.append(Put(Execution(type="load", name=f"e{i - 1}", state="COMPLETE", uid=before), "update"))
    store.write(Change(puts, [Event(execution.uid, a.uid, "OUTPUT") for a in artifacts],
        associations=[(group.uid, execution.uid)], attributions=[(group.uid, a.uid) for a in artifacts]))
    before = execution.uid
    print(i, flush=True)
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A graph with the writer's types."""
    made = sqlite_url(tmp_path / "whence.db")
    store = open_store(made)
    for kind, name in (("artifact", "Table"), ("execution", "load"), ("context", "Group")):
        store.put_type(Type(kind, name))  # type: ignore[arg-type]  # kinds
    store.close()
    return made


@contextmanager
def writer(url: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes without end."""
    path = os.pathsep.join(p for p in sys.path if p)
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, url],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait(timeout=60)
        assert child.stdout is not None
        child.stdout.close()


def acknowledged(child: subprocess.Popen[bytes], *, at_least: int) -> int:
    """The last change that a writer said was written; waits for so many."""
    assert child.stdout is not None
    said = b""
    while True:
        ready, _, _ = select.select([child.stdout], [], [], 0 if said.count(b"\n") >= at_least else 60)
        some = os.read(child.stdout.fileno(), 65_536) if ready else b""
        if not some:
            return int(said.split()[-1]) if said.split() else -1
        said += some


def check(path: Path, last: int) -> None:
    """The file is sound, has every change up to `last`, and of each later one all or nothing."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    store = open_store(sqlite_url(path))
    try:
        executions = {n.name: n for n in store.list_nodes("execution")}
        n = len(executions)
        assert n >= last + 1
        assert set(executions) == {f"e{i}" for i in range(n)}
        artifacts = {a.name: a for a in store.list_nodes("artifact")}
        assert set(artifacts) == {f"{side}{i}" for side in "ab" for i in range(n)}
        for i in range(n):
            execution = executions[f"e{i}"]
            assert isinstance(execution, Execution)
            assert execution.state == ("RUNNING" if i == n - 1 else "COMPLETE")
            assert [past.state for past in store.history(execution.uid)] == (  # type: ignore[union-attr]
                ["RUNNING"] if i == n - 1 else ["RUNNING", "COMPLETE"]
            )
            assert len(store.list_events(executions=[execution.uid])) == 2
            assert len(store.list_contexts(execution=execution.uid)) == 1
            assert [artifacts[f"{side}{i}"].custom["i"] for side in "ab"] == [i, i]
    finally:
        store.close()


def test_a_copy_of_a_stopped_writer_holds_all_it_said(url: str, tmp_path: Path) -> None:
    choose = random.Random(7)
    with writer(url) as child:
        said = acknowledged(child, at_least=3)
        for i in range(4):
            time.sleep(choose.random() * 0.2)  # a moment like any other
            child.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, child.pid, os.WSTOPPED)
            copy = tmp_path / f"copy{i}"
            copy.mkdir()
            said = max(said, acknowledged(child, at_least=0))
            for name in ("whence.db", "whence.db-wal"):
                shutil.copy(tmp_path / name, copy / name)
            child.send_signal(signal.SIGCONT)
            check(copy / "whence.db", said)


@pytest.mark.parametrize("n", range(3))
def test_a_killed_writer_leaves_all_it_said(url: str, tmp_path: Path, n: int) -> None:
    choose = random.Random(n)
    with writer(url) as child:
        said = acknowledged(child, at_least=1)
        time.sleep(choose.random() * 0.3)
        child.kill()
        assert child.wait(timeout=60) == KILLED
        said = max(said, acknowledged(child, at_least=10**9))
    check(tmp_path / "whence.db", said)


def test_a_writer_killed_before_its_commit_leaves_nothing_of_it(url: str, tmp_path: Path) -> None:
    # The group, then three whole changes, and the fifth transaction dies with all its rows inserted.
    with writer(url, WHENCE_CRASH_AT="metadata.commit.before:5") as child:
        assert child.wait(timeout=120) == KILLED
        assert acknowledged(child, at_least=10**9) == 2
    check(tmp_path / "whence.db", 2)
    store = open_store(url)
    assert len(list(store.list_nodes("execution"))) == 3
    store.close()


def picture(store: MetadataStore) -> list[object]:
    """All of a small graph."""
    kinds = ("artifact", "execution", "context")
    nodes = [repr(n) for kind in kinds for n in store.all_nodes(kind)]  # type: ignore[arg-type]  # kinds
    return [nodes, list(store.all_events()), list(store.all_members())]


@pytest.mark.parametrize(
    "task",
    [
        "store.load([Change([Put(Artifact(type='Table', name='x'))], [Event('e', 'a', 'INPUT')])])",
        "store.load([Rows([Artifact(type='Table', uid='a', name='a', custom={'n': 2})])])",
        "store.write(Change(removals=[Removal('a', 'why')]))",
        "store.purge(['gone'])",
    ],
    ids=["load", "load rows", "remove", "purge"],
)
def test_each_way_to_write_is_whole_or_nothing(url: str, task: str) -> None:
    store = open_store(url)
    nodes: list[AnyNode] = [
        *(Artifact(type="Table", uid=u, name=u) for u in ("a", "gone")),
        Execution(type="load", uid="e"),
    ]
    store.write(Change([Put(node) for node in nodes], [Event("e", "gone", "OUTPUT")]))
    store.write(Change(removals=[Removal("gone")]))
    before = picture(store)
    program = (
        "import sys; from whence.metadata import *; from whence.metadata.types import Removal, Rows; "
        f"store = open_store(sys.argv[1]); {task}"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", program, url]
    crash = {"WHENCE_CRASH_AT": "metadata.commit.before"}
    killed = subprocess.run(command, env={**environment, **crash}, check=False, timeout=120)
    assert killed.returncode == KILLED
    assert picture(store) == before
    done = subprocess.run(command, env=environment, check=False, timeout=120)
    assert done.returncode == 0
    assert picture(store) != before
    store.close()
