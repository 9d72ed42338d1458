"""The graph beside its floor: plain sqlite3, one JSON row a node, an edge table with a reverse index, fsync at each commit.

Run: python benchmarks/bench_metadata.py [--nodes 100000] [--quick] [--only put,record,…]

The graph: executions that read 2 of the last 1000 artifacts and write 2, five properties a node, a context for 200
executions. Rows, call by call in turn with the floor's:

* put: one artifact, durable.
* record: a whole execution (2 in, 2 out, 1 context) by one ``store.write``; the floor writes the same rows at once.
* recorder: the same by the `Recorder`, in two durable transactions; so does the floor.
* load, file: the whole graph by ``store.load``, 1,000 executions a batch; the floor's is one executemany for 200
  executions. What is left on disk. Both begin with values in memory, ours objects, the floor's tuples and
  dictionaries, and make their JSON.
* get 1000: nodes by id: in hand, and every field read; the floor decodes its JSON for the second.
* filter: nodes by a typed property, after the index it asked for is made. The floor has the same index.
* lineage: 10 and 20 hops up: ids, rows and edges in hand, and every node and event as an object with its properties
  read; the floor's second decodes its JSON.
* writers: 4 processes that write one file; the calls that failed.

Beside ML Metadata: bench_mlmd. Only the ratios mean something: machines differ, and this one may be busy.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

from whence._base.locks import Life
from whence.database import sqlite_url
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    MetadataStore,
    Put,
    Recorder,
    Type,
    open_store,
)

TYPED = {"span": "INT", "split": "STRING", "score": "DOUBLE"}
FLOOR = """
CREATE TABLE node (id INTEGER PRIMARY KEY, kind INT, type INT, name TEXT, state INT, uri TEXT, ctime INT, utime INT,
    props TEXT);
CREATE UNIQUE INDEX node_name ON node (type, name) WHERE name IS NOT NULL;
CREATE TABLE edge (dst INT, src INT, kind INT, t INT, PRIMARY KEY (dst, src)) WITHOUT ROWID;
CREATE INDEX edge_src ON edge (src, dst);
CREATE TABLE member (ctx INT, node INT, PRIMARY KEY (ctx, node)) WITHOUT ROWID;
"""
NODE = "INSERT INTO node VALUES (?,?,?,?,?,?,?,?,?)"
EDGE = "INSERT OR IGNORE INTO edge VALUES (?,?,?,?)"
MEMBER = "INSERT OR IGNORE INTO member VALUES (?,?)"
LIMITS = {
    "put": 2, "record": 3, "recorder": 3, "load": 2, "file": 1.5, "lineage 10": 2, "lineage 20": 2,
    "lineage 10 read": 2, "lineage 20 read": 2,
}  # fmt: skip


def properties(i: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Typed and custom properties of the i-th node of its kind."""
    return (
        {"span": i, "split": "train" if i % 2 else "eval", "score": i / 7},
        {"owner": f"team-{i % 10}", "note": f"n{i}"},
    )


def graph(n_executions: int) -> Iterator[tuple[int, list[int], list[int]]]:
    """(execution, artifacts it reads, artifacts it writes), numbered by kind."""
    choose = random.Random(7)
    made = 0
    for i in range(n_executions):
        reads = [made - 1 - choose.randrange(min(1000, made)) for _ in range(2)] if made else []
        made += 2
        yield i, reads, [made - 2, made - 1]


class Floor:
    """The same graph in plain sqlite3."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.executescript(FLOOR)
        self.n = 0

    def row(self, kind: int, name: str, i: int) -> tuple[Any, ...]:
        self.n += 1
        now = time.time_ns() // 1000
        return self.n, kind, kind, name, 2, f"/data/{i}", now, now, _json(properties(i))

    def values(self, kind: int, name: str, i: int) -> tuple[Any, ...]:
        """A row whose properties are not JSON yet."""
        self.n += 1
        now = time.time_ns() // 1000
        return self.n, kind, kind, name, 2, f"/data/{i}", now, now, properties(i)

    def write(
        self, nodes: list[Any], edges: list[Any] | None = None, members: list[Any] | None = None
    ) -> None:
        run = self.connection
        run.execute("BEGIN IMMEDIATE")
        run.executemany(NODE, nodes)
        if edges:
            run.executemany(EDGE, edges)
        if members:
            run.executemany(MEMBER, members)
        run.execute("COMMIT")

    def batches(self, n_executions: int) -> list[tuple[list[Any], list[Any], list[Any]]]:
        """The whole graph, 200 executions a batch; properties are not JSON yet."""
        ids: dict[int, int] = {}
        out = []
        steps = graph(n_executions)
        while some := list(islice(steps, 200)):
            nodes = [self.values(2, f"ctx{some[0][0]}", 0)]
            group, edges, members = nodes[0][0], [], []
            for i, reads, writes in some:
                nodes.append(self.values(1, f"exec{i}", i))
                execution = nodes[-1][0]
                members.append((group, execution))
                edges += [(execution, ids[a], 3, i) for a in reads]
                for a in writes:
                    nodes.append(self.values(0, f"art{a}", a))
                    ids[a] = nodes[-1][0]
                    edges.append((ids[a], execution, 4, i))
                    members.append((group, ids[a]))
            out.append((nodes, edges, members))
        return out


def _json(found: tuple[dict[str, Any], dict[str, Any]]) -> str:
    return json.dumps({"p": found[0], "c": found[1]}, separators=(",", ":"))


def types(store: MetadataStore) -> None:
    """The types of the graph."""
    store.put_type(Type("artifact", "Data", TYPED))  # type: ignore[arg-type]  # words of that literal
    store.put_type(Type("execution", "Train", TYPED))  # type: ignore[arg-type]
    store.put_type(Type("context", "Run"))


def changes(n_executions: int) -> list[Change]:
    """The whole graph as value objects, 1,000 executions a batch, a context for 200."""
    uids: dict[int, str] = {}
    out = []
    steps = graph(n_executions)
    while some := list(islice(steps, 1000)):
        puts: list[Put] = []
        events, attributions, associations = [], [], []
        for i, reads, writes in some:
            if i % 200 == 0:
                group = Context(type="Run", name=f"ctx{i}")
                puts.append(Put(group))
            typed, custom = properties(i)
            execution = Execution(
                type="Train", name=f"exec{i}", state="COMPLETE", properties=typed, custom=custom
            )
            puts.append(Put(execution))
            associations.append((group.uid, execution.uid))
            events += [Event(execution.uid, uids[a], "INPUT") for a in reads]
            for a in writes:
                typed, custom = properties(a)
                artifact = Artifact(
                    type="Data", name=f"art{a}", uri=f"/data/{a}", properties=typed, custom=custom
                )
                uids[a] = artifact.uid
                puts.append(Put(artifact))
                events.append(Event(execution.uid, artifact.uid, "OUTPUT"))
                attributions.append((group.uid, artifact.uid))
        out.append(Change(puts, events, attributions, associations))
    return out


def tell(what: str, ours: float, floor: float, unit: str, best: float | None = None) -> None:
    """One row: ours, the floor, how many times, and what the issue allows."""
    ratio = ours / floor
    limit = f"at most {LIMITS[what]:g}" if what in LIMITS else ""
    at_best = "" if best is None else f"  best {best:6.2f} x"
    print(
        f"{what:<17} whence {ours:10.3f} {unit}  floor {floor:10.3f} {unit}  {ratio:6.2f} x{at_best}  {limit}"
    )


def compare(what: str, ours: Callable[[], object], floor: Callable[[], object], n: int) -> None:
    """Measure both, call by call in turn so that a busy moment hits both: medians, and the ratio of the best."""
    taken: tuple[list[float], list[float]] = ([], [])
    for i in range(n + 5):
        for call, times in zip((ours, floor), taken, strict=True):
            began = time.perf_counter()
            call()
            if i >= 5:  # the first ones warm up
                times.append((time.perf_counter() - began) * 1000)
    medians = [statistics.median(times) for times in taken]
    tell(what, medians[0], medians[1], "ms", min(taken[0]) / min(taken[1]))


def bench_put(folder: Path, n: int) -> None:
    store = open_store(sqlite_url(folder / "put.db"))
    types(store)
    floor = Floor(folder / "put-floor.db")
    numbers, theirs = count(), count()

    def put() -> None:
        i = next(numbers)
        typed, custom = properties(i)
        store.write(
            Change(
                [Put(Artifact(type="Data", name=f"a{i}", uri=f"/data/{i}", properties=typed, custom=custom))]
            )
        )

    compare("put", put, lambda: floor.write([floor.row(0, f"a{next(theirs)}", 1)]), n)
    store.close()


def bench_record(folder: Path, n: int) -> None:
    store = open_store(sqlite_url(folder / "record.db"))
    types(store)
    floor = Floor(folder / "record-floor.db")
    inputs = [Artifact(type="Data", name=f"in{k}") for k in range(2)]
    store.write(Change([Put(node) for node in inputs]))
    floor.write([floor.row(0, f"in{k}", k) for k in range(2)])
    numbers, theirs = count(), count()

    def record() -> None:
        i = next(numbers)
        typed, custom = properties(i)
        execution = Execution(type="Train", name=f"e{i}", state="COMPLETE", properties=typed, custom=custom)
        outputs = [
            Artifact(type="Data", name=f"o{i}-{k}", uri=f"/o/{i}", properties=typed, custom=custom)
            for k in range(2)
        ]
        group = Context(type="Run", name=f"c{i}", custom=custom)
        nodes: list[AnyNode] = [execution, *outputs, group]
        events = [Event(execution.uid, a.uid, "INPUT") for a in inputs]
        events += [Event(execution.uid, a.uid, "OUTPUT") for a in outputs]
        store.write(
            Change(
                [Put(node) for node in nodes],
                events,
                attributions=[(group.uid, a.uid) for a in outputs],
                associations=[(group.uid, execution.uid)],
            )
        )

    def plain() -> None:
        i = next(theirs)
        e, *outs, c = (floor.row(k, f"r{i}-{j}", i) for j, k in enumerate((1, 0, 0, 2)))
        edges = [(e[0], 1, 3, i), (e[0], 2, 3, i), *((o[0], e[0], 4, i) for o in outs)]
        floor.write([e, *outs, c], edges, [(c[0], x[0]) for x in (e, *outs)])

    compare("record", record, plain, n)
    store.close()


def bench_recorder(folder: Path, n: int) -> None:
    recorder = Recorder(open_store(sqlite_url(folder / "recorder.db")), life=Life(folder / "lives"))
    types(recorder.store)
    floor = Floor(folder / "recorder-floor.db")
    numbers, theirs = count(), count()
    inputs = [Artifact(type="Data", name=f"in{k}") for k in range(2)]
    recorder.store.write(Change([Put(node) for node in inputs]))
    floor.write([floor.row(0, f"in{k}", k) for k in range(2)])
    group = Context(type="Run", name="group")

    def record() -> None:
        i = next(numbers)
        typed, custom = properties(i)
        with recorder.execution(
            "Train", params=custom, inputs=[(a, ("rows", k)) for k, a in enumerate(inputs)], contexts=[group]
        ) as recording:
            for k in range(2):
                recording.output(
                    Artifact(type="Data", name=f"o{i}-{k}", uri=f"/o/{i}", properties=typed, custom=custom)
                )

    def plain() -> None:
        i = next(theirs)
        e = floor.row(1, f"r{i}", i)
        floor.write([e], [(e[0], 1, 3, i), (e[0], 2, 3, i)], [(3, e[0])])
        outs = [floor.row(0, f"o{i}-{k}", i) for k in range(2)]
        run = floor.connection
        run.execute("BEGIN IMMEDIATE")
        run.execute("UPDATE node SET state=?, props=?, utime=? WHERE id=?", (3, e[-1], i, e[0]))
        run.executemany(NODE, outs)
        run.executemany(EDGE, [(o[0], e[0], 4, i) for o in outs])
        run.executemany(MEMBER, [(3, o[0]) for o in outs])
        run.execute("COMMIT")

    compare("recorder", record, plain, n)
    recorder.store.close()


def load(folder: Path, n_executions: int) -> tuple[MetadataStore, Floor]:
    """The whole graph in both, and how long that took."""
    floor = Floor(folder / "graph-floor.db")
    rows = floor.batches(n_executions)
    began = time.perf_counter()
    for nodes, edges, members in rows:
        floor.write([(*row[:-1], _json(row[-1])) for row in nodes], edges, members)
    theirs = time.perf_counter() - began
    del rows
    store = open_store(sqlite_url(folder / "graph.db"))
    types(store)
    batches = changes(n_executions)
    began = time.perf_counter()
    store.load(batches)
    ours = time.perf_counter() - began
    tell("load", ours, theirs, "s ")
    sizes = []
    for name in ("graph.db", "graph-floor.db"):
        connection = sqlite3.connect(folder / name)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        sizes.append((folder / name).stat().st_size / 1e6)
    tell("file", sizes[0], sizes[1], "MB")
    return store, floor


def bench_get(store: MetadataStore, floor: Floor, n: int) -> None:
    choose = random.Random(1)
    ids = [node.id for node in store.find_nodes("artifact", limit=100_000).nodes if node.id is not None]
    asked = choose.sample(ids, 1000)
    some = choose.sample(range(1, floor.n), 1000)
    marks = ",".join("?" * 1000)

    def plain() -> list[Any]:
        return floor.connection.execute(f"SELECT * FROM node WHERE id IN ({marks})", some).fetchall()

    compare("get 1000", lambda: store.get_nodes("artifact", ids=asked), plain, n)
    compare(
        "get 1000 read",
        lambda: [(a.name, a.state, a.properties["span"]) for a in store.get_nodes("artifact", ids=asked)],  # type: ignore[union-attr]
        lambda: [json.loads(row[-1])["p"]["span"] for row in plain()],
        n,
    )


def bench_filter(store: MetadataStore, floor: Floor, n: int) -> None:
    query = "properties.span >= 500 AND properties.span < 520"
    floor.connection.execute(
        "CREATE INDEX node_span ON node (json_extract(props, '$.p.span')) WHERE kind = 0"
    )
    for _ in range(3):
        store.find_nodes("artifact", matching=query)
    if hasattr(store, "settle_indexes"):
        store.settle_indexes()
    text = "SELECT * FROM node WHERE kind = 0 AND json_extract(props, '$.p.span') BETWEEN 500 AND 519"
    compare(
        "filter",
        lambda: store.find_nodes("artifact", matching=query),
        lambda: floor.connection.execute(text).fetchall(),
        n,
    )


def bench_lineage(store: MetadataStore, floor: Floor, n: int) -> None:
    last = store.find_nodes("artifact", descending=True, limit=1).nodes[0]
    (start,) = floor.connection.execute("SELECT max(id) FROM node WHERE kind = 0").fetchone()
    run = floor.connection.execute

    def plain(hops: int) -> tuple[list[Any], list[Any]]:
        seen, front, edges = {start}, [start], []
        for _ in range(hops):
            marks = ",".join("?" * len(front))
            found = run(f"SELECT dst, src, kind FROM edge WHERE dst IN ({marks})", front).fetchall()
            edges += found
            front = list({row[1] for row in found} - seen)
            seen.update(front)
        rows: list[Any] = []
        ids = list(seen)
        for begin in range(0, len(ids), 1000):
            some = ids[begin : begin + 1000]
            rows += run(f"SELECT * FROM node WHERE id IN ({','.join('?' * len(some))})", some).fetchall()
        return rows, edges

    def in_hand(hops: int) -> object:
        return store.lineage([last.uid], max_hops=hops)

    def plain_read(hops: int) -> object:
        return [json.loads(row[-1]) for row in plain(hops)[0]]

    def read(hops: int) -> int:
        found = store.lineage([last.uid], max_hops=hops)
        nodes = (*found.artifacts, *found.executions)
        return len([(x.name, x.properties["span"]) for x in nodes]) + len(
            [(e.execution, e.artifact, e.kind, e.at) for e in found.events]
        )

    for hops in (10, 20):
        found = store.lineage([last.uid], max_hops=hops)
        print(
            f"lineage {hops}: {len(found.artifacts) + len(found.executions)} nodes, floor {len(plain(hops)[0])}"
        )
        compare(f"lineage {hops}", partial(in_hand, hops), partial(plain, hops), n)
        compare(f"lineage {hops} read", partial(read, hops), partial(plain_read, hops), n)


WRITER = """
import sys, time
from whence.metadata import Artifact, Change, Put, open_store
store = open_store(sys.argv[1])
sys.stdin.readline()
failed, began = 0, time.perf_counter()
for i in range(int(sys.argv[3])):
    try:
        store.write(Change([Put(Artifact(type="Data", name=f"w{sys.argv[2]}-{i}"))]))
    except Exception as error:
        failed += 1
        print(error, file=sys.stderr)
print(failed, time.perf_counter() - began)
"""
PLAIN_WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("PRAGMA synchronous=FULL")
sys.stdin.readline()
failed, began = 0, time.perf_counter()
for i in range(int(sys.argv[3])):
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO node (kind, type, name, props) VALUES (0, 0, ?, '{}')", (f"w{sys.argv[2]}-{i}",))
        connection.execute("COMMIT")
    except Exception:
        failed += 1
print(failed, time.perf_counter() - began)
"""


def bench_writers(folder: Path, n: int) -> None:
    store = open_store(sqlite_url(folder / "writers.db"))
    types(store)
    store.close()
    Floor(folder / "writers-floor.db").connection.close()
    taken = []
    for program, target in (
        (WRITER, sqlite_url(folder / "writers.db")),
        (PLAIN_WRITER, str(folder / "writers-floor.db")),
    ):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", program, target, str(k), str(n)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for k in range(4)
        ]  # fmt: skip
        time.sleep(3)  # all are waiting
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        told = [writer.communicate()[0].split() for writer in writers]
        taken.append(max(float(seconds) for _, seconds in told) * 1000 / (4 * n))
        print(f"writers: {sum(int(failed) for failed, _ in told)} of {4 * n} calls failed")
    tell("writers", taken[0], taken[1], "ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds, for a look")
    parser.add_argument("--nodes", type=int, default=100_000, help="of the graph that is loaded")
    parser.add_argument("--only", default="put,record,recorder,load,get,filter,lineage,writers")
    arguments = parser.parse_args()
    quick, only = arguments.quick, arguments.only.split(",")
    n_executions = (9_000 if quick else arguments.nodes) // 3
    n = 100 if quick else 1000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, bench in (("put", bench_put), ("record", bench_record), ("recorder", bench_recorder)):
            if what in only:
                bench(folder, n)
        if {"load", "get", "filter", "lineage"} & {*only}:
            store, floor = load(folder, n_executions)
            for what, ask in (("get", bench_get), ("filter", bench_filter), ("lineage", bench_lineage)):
                if what in only:
                    ask(store, floor, 10 if quick else 50)
            store.close()
        if "writers" in only:
            bench_writers(folder, 25 if quick else 250)


if __name__ == "__main__":
    main()
