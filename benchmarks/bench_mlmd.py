"""The graph beside ML Metadata, each on its own SQLite file, durable, call by call in turn.

Run: python benchmarks/bench_mlmd.py [--nodes 100000] [--quick]

ML Metadata has wheels for few Pythons: its process is started from the environment that WHENCE_TEST_MLMD names, or from
one made of requirements/mlmd.txt. Both sides hold the same graph: executions that read 2 of the last 1000 artifacts and
write 2, five properties a node, a context for 200 executions; ML Metadata's file is made by `whence export mlmd`.

Only the ratios mean something: machines differ, and this one may be busy. The floor is in bench_metadata.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from whence.database import sqlite_url
from whence.integrations.mlmd.exporter import export_mlmd
from whence.metadata import Artifact, Change, Context, Event, Execution, MetadataStore, Put, Type, open_store
from whence.metadata.ids import node_id, wire_id

HERE = Path(__file__).parent
TYPED = {"span": "INT", "share": "DOUBLE", "split": "STRING"}
TARGETS = {
    "put": 3,
    "record": 4,
    "load": 10,
    "get 1000": 4,
    "filter": 10,
    "lineage 10": 3,
    "lineage 20": 3,
}


def environment(folder: Path) -> Path:
    """A Python that has ML Metadata."""
    named = os.environ.get("WHENCE_TEST_MLMD")
    if named:
        return Path(named)
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", "3.11", str(folder)], check=True)
    pins = HERE.parent / "requirements" / "mlmd.txt"
    python = folder / "bin" / "python"
    install = [
        "pip",
        "install",
        "-q",
        "--python",
        str(python),
        "--require-hashes",
        "--only-binary",
        ":all:",
        "-r",
        str(pins),
    ]
    subprocess.run([*uv, *install], check=True)
    return python


class Peer:
    """ML Metadata in a process of its own."""

    def __init__(self, python: Path, path: Path, *, tries: int = 5) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        self.process = subprocess.Popen(
            [str(python), str(HERE / "peer_mlmd.py"), str(path), str(tries)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=clean,
        )  # fmt: skip

    def ask(self, *command: object) -> dict[str, Any]:
        """What it answers: its seconds ``s``, and ``n`` nodes or ``failed``."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self.process.communicate()


class Ours:
    """The same calls on the graph."""

    def __init__(self, path: Path) -> None:
        self.store: MetadataStore = open_store(sqlite_url(path))
        self.store.put_type(Type("artifact", "Data", TYPED))  # type: ignore[arg-type]  # words of property types
        self.store.put_type(Type("execution", "Step", TYPED))  # type: ignore[arg-type]  # the same
        self.store.put_type(Type("context", "Run"))
        self.n = 0
        self.random = random.Random(7)

    def _given(self, prefix: str) -> dict[str, Any]:
        self.n += 1
        i = self.n
        return {
            "name": f"{prefix}{i}",
            "properties": {"span": i, "share": i % 1000 / 1000, "split": f"split {i % 7}"},
            "custom": {"note": f"note {i}", "weight": i / 3},
        }

    def artifact(self) -> Artifact:
        return Artifact(type="Data", uri=f"/data/{self.n}", **self._given("a"))

    def execution(self) -> Execution:
        return Execution(type="Step", state="COMPLETE", **self._given("x"))

    def put(self) -> Callable[[], object]:
        change = Change([Put(self.artifact())])
        return lambda: self.store.write(change)

    def record(self) -> Callable[[], object]:
        artifacts, execution = [self.artifact() for _ in range(4)], self.execution()
        context = Context(type="Run", name="peer")
        change = Change(
            [Put(execution), *map(Put, artifacts), Put(context, "reuse")],
            [Event(execution.uid, a.uid, k) for a, k in zip(artifacts, ("INPUT", "INPUT", "OUTPUT", "OUTPUT"), strict=True)],  # type: ignore[arg-type]  # kinds of events
            [(context.uid, a.uid) for a in artifacts],
            [(context.uid, execution.uid)],
        )  # fmt: skip
        return lambda: self.store.write(change)

    def changes(self, n_executions: int) -> Iterator[Change]:
        """Executions that read 2 of the last 1000 artifacts and write 2, 200 of them a context."""
        known: list[str] = []
        for begin in range(0, n_executions, 200):
            context = Context(type="Run", name=f"load{self.n}")
            puts, events = [Put(context)], []
            artifacts, executions = [], []
            for _ in range(begin, min(begin + 200, n_executions)):
                execution, outputs = self.execution(), [self.artifact(), self.artifact()]
                reads = self.random.sample(known[-1000:], 2) if known else []
                executions.append(execution)
                artifacts += outputs
                events += [Event(execution.uid, a.uid, "OUTPUT") for a in outputs]
                events += [Event(execution.uid, uid, "INPUT") for uid in reads]
            known += [a.uid for a in artifacts]
            yield Change(
                [*puts, *map(Put, artifacts), *map(Put, executions)],
                events,
                [(context.uid, a.uid) for a in artifacts],
                [(context.uid, x.uid) for x in executions],
            )

    def load(self, n_executions: int) -> Callable[[], object]:
        changes = list(self.changes(n_executions))
        return lambda: self.store.load(changes)


def compare(name: str, ours: Callable[[], float], theirs: Callable[[], float], n: int) -> None:
    """Measure both in turn, so that a busy moment hits both, and print medians and the ratio."""
    taken: tuple[list[float], list[float]] = ([], [])
    for i in range(n + 3):
        for call, times in zip((ours, theirs), taken, strict=True):
            s = call()
            if i >= 3 or n < 3:  # the first ones warm up
                times.append(s * 1000)
    report(name, statistics.median(taken[0]), statistics.median(taken[1]), min(taken[0]), min(taken[1]))


def report(name: str, ours: float, theirs: float, best: float, their_best: float) -> None:
    print(
        f"{name:<11} whence {ours:10.3f} ms   ML Metadata {theirs:10.3f} ms   {theirs / ours:6.1f} x faster"
        f"   (best {their_best / best:6.1f} x; wanted {TARGETS[name]} x)",
        flush=True,
    )


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def writers(python: Path, folder: Path) -> None:
    """Four processes a side write one file; see `bench_writers`."""
    command = [sys.executable, str(HERE / "bench_writers.py"), "--folder", str(folder)]
    subprocess.run(command, check=True, env={**os.environ, "WHENCE_TEST_MLMD": str(python)})


def writer(path: Path) -> None:
    """One of its processes."""
    ours = Ours(path)
    ours.n = os.getpid() * 1_000_000
    for line in sys.stdin:
        _, what, n = json.loads(line)
        failed, worst = 0, 0.0
        for call in [ours.put() if what == "put" else ours.record() for _ in range(n)]:
            try:
                worst = max(worst, timed(call))
            except Exception:  # noqa: BLE001 - what fails is counted
                failed += 1
        print(json.dumps({"failed": failed, "worst": worst}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--writer", type=Path)
    given = parser.parse_args()
    if given.writer:
        writer(given.writer)
        return
    n_nodes, times = (6_000, 10) if given.quick else (given.nodes, 40)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure(environment(folder / "mlmd"), folder, n_nodes, times)


def measure(python: Path, folder: Path, n_nodes: int, times: int) -> None:
    """Print every row of the table."""
    n_executions = n_nodes // 3
    load(python, folder, min(n_executions, 10_000))
    ours = Ours(folder / "whence.db")
    began = time.perf_counter()
    ours.store.load(ours.changes(n_executions))
    print(
        f"{n_nodes} nodes in {time.perf_counter() - began:.1f} s, {size(folder / 'whence.db'):.1f} MB",
        flush=True,
    )
    export_mlmd(ours.store, folder / "mlmd.db")
    print(f"the same for ML Metadata: {size(folder / 'mlmd.db'):.1f} MB", flush=True)
    peer = Peer(python, folder / "mlmd.db")
    nodes = [n for n in ours.store.list_nodes("artifact") if n.id is not None]
    ids = [wire_id(n.id) for n in nodes if n.id is not None]
    choose = random.Random(3)
    reads(ours, peer, ids, choose, times)
    late = {wire_id(n.id): n.uid for n in nodes[-200:] if n.id is not None}
    for hops in (10, 20):
        starts = iter(choose.choices(list(late), k=2 * (times + 3)))
        again = iter(choose.choices(list(late), k=2 * (times + 3)))
        compare(
            f"lineage {hops}",
            lambda hops=hops, starts=starts: timed(lambda: whole(ours.store, late[next(starts)], hops)),  # type: ignore[misc]
            lambda hops=hops, again=again: float(peer.ask("lineage", next(again), hops)["s"]),  # type: ignore[misc]
            times,
        )
    compare("put", lambda: timed(ours.put()), lambda: float(peer.ask("put")["s"]), times)
    compare("record", lambda: timed(ours.record()), lambda: float(peer.ask("record")["s"]), times)
    peer.close()
    ours.store.close()
    writers(python, folder)


def load(python: Path, folder: Path, n_executions: int) -> None:
    """Both load the same graph into a file of their own, three times in turn: 200 executions a batch, from objects that
    are made before, a little having been loaded before. Ours are given as one list, which is one call, and commits some
    batches at once; ML Metadata has a call and a transaction for each, and its events are made meanwhile, as they name
    ids that the calls give back.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    for i in range(3):
        ours, peer = Ours(folder / f"fresh{i}.db"), Peer(python, folder / f"fresh{i}-mlmd.db")
        ours.load(200)()
        peer.ask("load", 200)
        taken[0].append(timed(ours.load(n_executions)) * 1000)
        taken[1].append(float(peer.ask("load", n_executions)["s"]) * 1000)
        ours.store.close()
        peer.close()
    report("load", statistics.median(taken[0]), statistics.median(taken[1]), min(taken[0]), min(taken[1]))


def reads(ours: Ours, peer: Peer, ids: list[int], choose: random.Random, times: int) -> None:
    """Rows that only read."""

    def get() -> float:
        wanted = [node_id(i, "artifact") for i in choose.sample(ids, min(1000, len(ids)))]
        return timed(lambda: [dict(n.properties) for n in ours.store.get_nodes("artifact", ids=wanted)])

    compare(
        "get 1000", get, lambda: float(peer.ask("get", choose.sample(ids, min(1000, len(ids))))["s"]), times
    )

    def query() -> str:
        span = choose.randrange(len(ids))
        return f"properties.span.int_value = {span} AND properties.share.double_value >= 0.0"

    ours.store.find_nodes("artifact", matching=query())
    settle = getattr(ours.store, "settle_indexes", None)
    if settle is not None:
        settle()
    compare("filter", lambda: timed(lambda: ours.store.find_nodes("artifact", matching=query())),
            lambda: float(peer.ask("filter", query())["s"]), times)  # fmt: skip


def whole(store: MetadataStore, uid: str, hops: int) -> int:
    """A lineage with every node and event read as an object."""
    found = store.lineage([uid], direction="up", max_hops=hops, internal=True)
    return sum(len(n.properties) for n in (*found.artifacts, *found.executions)) + sum(
        1 for _ in found.events
    )


def size(path: Path) -> float:
    """Megabytes of a database with its log."""
    return (
        sum(p.stat().st_size for p in path.parent.glob(f"{path.name}*") if not p.name.endswith("-shm")) / 1e6
    )


if __name__ == "__main__":
    main()
