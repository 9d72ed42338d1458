"""Lineage beside its floor: the rows of `bench_metadata` about it, and a benchmark of its own.

Run: python benchmarks/lineage_rows.py [--quick] [--nodes N]

The graph: executions that read 2 of the last 1,000 artifacts and write 2, in contexts of 200 executions. The floor: the
same graph in plain sqlite3, one JSON row a node and an edge table with a reverse index, walked by one query a level.

* in hand: everything upstream; floor: the node rows as tuples and the edges; ours: `lineage()`, rows and numbers of
  events read, nothing decoded.
* every object: floor: and `json.loads` of every node; ours: and every node's properties and every event looked at.

Only the ratios mean something.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from whence.database import sqlite_url
from whence.metadata import (
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    MetadataStore,
    Put,
    Subgraph,
    Type,
    WalkQuery,
    open_store,
)

EDGE = "SELECT dst, src, kind, t FROM edge WHERE dst IN (SELECT value FROM json_each(?))"
NODES = "SELECT * FROM node WHERE id IN (SELECT value FROM json_each(?))"
TABLES = """
    CREATE TABLE node(id INTEGER PRIMARY KEY, kind INT, type INT, name TEXT, state INT, uri TEXT, ctime INT, utime INT, props TEXT);
    CREATE UNIQUE INDEX node_name ON node(type, name) WHERE name IS NOT NULL;
    CREATE TABLE edge(dst INT, src INT, kind INT, t INT, PRIMARY KEY(dst, src)) WITHOUT ROWID;
    CREATE INDEX edge_src ON edge(src, dst);
    CREATE TABLE member(ctx INT, node INT, PRIMARY KEY(ctx, node)) WITHOUT ROWID;
"""
HOPS = (2, 5, 10, 20)


def graph(n: int) -> Iterator[tuple[int, list[int], list[int]]]:
    """n executions: (number, numbers of what it reads, numbers of what it writes)."""
    draw = random.Random(7)
    for i in range(n):
        made = 2 * i
        reads = sorted({made - 1 - draw.randrange(min(1_000, made)) for _ in range(2)}) if made else []
        yield i, reads, [made, made + 1]


def properties(i: int) -> tuple[dict[str, object], dict[str, object]]:
    """Typed and custom properties of a node."""
    typed: dict[str, object] = {"span": i, "split": "train" if i % 2 else "eval", "score": i / 7}
    return typed, {"owner": f"team-{i % 10}", "note": f"n{i}"}


def build_floor(path: Path, n: int) -> sqlite3.Connection:
    """The graph in plain sqlite3."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(TABLES)
    last = group = 0
    ids: dict[int, int] = {}
    nodes: list[tuple[object, ...]] = []
    edges: list[tuple[int, ...]] = []
    members: list[tuple[int, int]] = []
    for i, reads, writes in graph(n):
        if i % 200 == 0:
            _flush(connection, nodes, edges, members)
            last = group = last + 1
            nodes.append((group, 2, 3, f"ctx{i}", 0, None, i, i, "{}"))
        last += 1
        run = last
        nodes.append((run, 1, 2, f"exec{i}", 3, None, i, i, _text(i)))
        members.append((group, run))
        edges += [(run, ids[a], 3, i) for a in reads]
        for a in writes:
            last += 1
            ids[a] = last
            nodes.append((last, 0, 1, f"art{a}", 2, f"/data/{a}", i, i, _text(a)))
            edges.append((last, run, 4, i))
            members.append((group, last))
    _flush(connection, nodes, edges, members)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return connection


def _text(i: int) -> str:
    typed, custom = properties(i)
    return json.dumps({"p": typed, "c": custom}, separators=(",", ":"))


def _flush(connection: sqlite3.Connection, nodes: list, edges: list, members: list) -> None:  # type: ignore[type-arg]  # rows of three tables
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO node VALUES (?,?,?,?,?,?,?,?,?)", nodes)
    connection.executemany("INSERT OR IGNORE INTO edge VALUES (?,?,?,?)", edges)
    connection.executemany("INSERT INTO member VALUES (?,?)", members)
    connection.execute("COMMIT")
    nodes.clear()
    edges.clear()
    members.clear()


def changes(n: int) -> Iterator[Change]:
    """The graph for `MetadataStore.load`, 200 executions at a time."""
    uids: dict[int, str] = {}
    group = Context(type="Run", name="none")
    puts: list[Put] = []
    events: list[Event] = []
    written: list[tuple[str, str]] = []
    ran: list[tuple[str, str]] = []
    for i, reads, writes in graph(n):
        if i % 200 == 0:
            if puts:
                yield Change(puts, events, written, ran)
            puts, events, written, ran = [], [], [], []
            group = Context(type="Run", name=f"ctx{i}")
            puts.append(Put(group))
        typed, custom = properties(i)
        run = Execution(type="Train", name=f"exec{i}", state="COMPLETE", properties=typed, custom=custom)  # type: ignore[arg-type]  # values
        puts.append(Put(run))
        ran.append((group.uid, run.uid))
        events += [Event(run.uid, uids[a], "INPUT") for a in reads]
        for a in writes:
            typed, custom = properties(a)
            made = Artifact(type="Data", name=f"art{a}", uri=f"/data/{a}", properties=typed, custom=custom)  # type: ignore[arg-type]  # values
            uids[a] = made.uid
            puts.append(Put(made))
            events.append(Event(run.uid, made.uid, "OUTPUT"))
            written.append((group.uid, made.uid))
    yield Change(puts, events, written, ran)


def build_ours(store: MetadataStore, n: int) -> None:
    """The graph in a store of whence."""
    typed = {"span": "INT", "split": "STRING", "score": "DOUBLE"}
    store.put_type(Type("artifact", "Data", typed))  # type: ignore[arg-type]  # literals
    store.put_type(Type("execution", "Train", typed))  # type: ignore[arg-type]  # literals
    store.put_type(Type("context", "Run"))
    for change in changes(n):
        store.write(change)


def floor_rows(connection: sqlite3.Connection, start: int, hops: int) -> tuple[list[tuple[object, ...]], int]:
    """Node rows upstream, and the number of edges."""
    seen = front = {start}
    n_edges = 0
    for _ in range(hops):
        rows = connection.execute(EDGE, (str(list(front)),)).fetchall()
        n_edges += len(rows)
        front = {row[1] for row in rows} - seen
        seen = seen | front
    return connection.execute(NODES, (str(list(seen)),)).fetchall(), n_edges


def look_at(piece: Subgraph) -> int:
    """Look at the properties of every node, and at every event."""
    n = 0
    for node in (*piece.artifacts, *piece.executions):
        n += len(node.properties)
    for event in piece.events:
        n += event.kind == "INPUT"
    return n


def alternate(calls: list[Callable[[], object]], n: int) -> list[list[float]]:
    """Times in ms of each, call by call in turn so that a busy moment hits all."""
    taken: list[list[float]] = [[] for _ in calls]
    for i in range(n + 3):
        for call, times in zip(calls, taken, strict=True):
            began = time.perf_counter()
            call()
            if i >= 3:
                times.append((time.perf_counter() - began) * 1_000)
    return taken


def lineage_rows(store: MetadataStore, floor: sqlite3.Connection, start: int, *, n: int = 30) -> None:
    """Print lineage of 2 to 20 hops, in hand and as objects, beside the floor.

    Args:
        store: The graph as `build_ours` makes it.
        floor: The graph as `build_floor` makes it.
        start: The number of the artifact whose ancestors are read.
        n: Calls of each.
    """
    (uid,) = [node.uid for node in store.find_nodes("artifact", name=f"art{start}").nodes]
    ((start_id,),) = floor.execute("SELECT id FROM node WHERE name = ?", (f"art{start}",)).fetchall()
    for hops in HOPS:
        rows, n_edges = floor_rows(floor, start_id, hops)
        piece = store.lineage([uid], max_hops=hops)
        assert len(rows) == len(piece.artifacts) + len(piece.executions), "two graphs"
        # The walk also tells events between nodes at the limit; the floor does not.
        assert len(piece.events) >= n_edges, "two graphs"
        floor_hand, floor_all, hand, every = alternate(
            [
                lambda hops=hops: floor_rows(floor, start_id, hops),  # type: ignore[misc]
                lambda hops=hops: [json.loads(row[8]) for row in floor_rows(floor, start_id, hops)[0]],  # type: ignore[misc,arg-type]
                lambda hops=hops: store.lineage([uid], max_hops=hops),  # type: ignore[misc]
                lambda hops=hops: look_at(store.lineage([uid], max_hops=hops)),  # type: ignore[misc]
            ],
            n if hops > 10 else 5 * n,
        )
        for what, ours, theirs in (("in hand", hand, floor_hand), ("every object", every, floor_all)):
            middle = statistics.median(ours) / statistics.median(theirs)
            print(
                f"lineage {hops:2} hops, {len(rows):5} nodes, {what:<12} whence {statistics.median(ours):8.3f} ms   "
                f"floor {statistics.median(theirs):8.3f} ms   ratio median {middle:5.2f} best {min(ours) / min(theirs):5.2f}"
            )


def stream_rows(store: MetadataStore, start: int) -> None:
    """Print a stream of everything downstream of an early artifact, and what memory it takes."""
    (uid,) = [node.uid for node in store.find_nodes("artifact", name=f"art{start}").nodes]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    n = sum(len(level.nodes) for level in store.walk(WalkQuery([uid], direction="down")))
    taken = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"stream of {n} nodes: {taken:.2f} s, {n / taken:,.0f} nodes/s, memory grew by {(after - before) / 1024:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a few seconds, for a look")
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keep the graphs here, and use those that are there")
    given = parser.parse_args()
    n = (10_000 if given.quick else given.nodes) // 3
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(exist_ok=True)
        there = (folder / "ours.db").exists()
        store = open_store(sqlite_url(folder / "ours.db"))
        if there:
            floor = sqlite3.connect(folder / "floor.db", isolation_level=None)
        else:
            floor = build_floor(folder / "floor.db", n)
            build_ours(store, n)
        sizes = [(folder / name).stat().st_size / 1e6 for name in ("ours.db", "floor.db")]
        print(f"files: whence {sizes[0]:.1f} MB, floor {sizes[1]:.1f} MB, ratio {sizes[0] / sizes[1]:.2f}")
        lineage_rows(store, floor, 2 * n - 5_000 if n > 5_000 else n, n=10 if given.quick else 40)
        stream_rows(store, 0)
        floor.close()
        store.close()


if __name__ == "__main__":
    main()
