"""The graph beside its floor: plain sqlite3 with the same tables, write-ahead log, and an fsync at each commit.

Run: python benchmarks/bench_metadata.py [--quick]

* record: one execution with 2 inputs, 2 outputs, its contexts and environment, in two durable transactions
  (intent, closing). Floor: the same rows in two transactions.
* write: one artifact, durable. Floor: the same row.
* lineage: everything upstream of a node, about 20 events deep, as objects. Floor: the same walk by one query a
  level, rows as tuples.

Only the ratios mean something: machines differ, and this one may be busy.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from whence._base.locks import Life
from whence.database import sqlite_url
from whence.metadata import Artifact, Change, Event, Execution, MetadataStore, Put, Recorder, Type, open_store

NODE = "INSERT INTO node VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
EVENT = "INSERT INTO event (execution_id, artifact_id, kind, path, at_us) VALUES (?,?,?,?,?)"
UPDATE = "UPDATE node SET state=?, properties=?, updated_us=?, revision=? WHERE id=?"
UP = (
    "SELECT artifact_id FROM event WHERE kind='INPUT' AND execution_id IN (SELECT value FROM json_each(:ids))"
    " UNION SELECT execution_id FROM event WHERE kind='OUTPUT' AND artifact_id IN (SELECT value FROM json_each(:ids))"
)


class Floor:
    """The same layout, written by hand."""

    def __init__(self, path: Path) -> None:
        open_store(sqlite_url(path)).close()
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA synchronous=FULL")
        self.next_id = 1
        self.properties = '{"p":{' + ",".join(f'"p{i}":"{"x" * 20}"' for i in range(12)) + '},"c":{}}'

    def _node(self, kind: str, type_id: int, properties: str) -> tuple[object, ...]:
        self.next_id += 1
        id_, now = self.next_id, time.time_ns() // 1000
        return (id_, kind, type_id, f"U{id_:025d}", f"n{id_}", None, None, "LIVE", properties, now, now, 1)

    def record(self) -> None:
        run = self.connection.execute
        run("BEGIN IMMEDIATE")
        execution = self._node("execution", 5, self.properties)
        inputs = [self._node("artifact", 1, '{"p":{},"c":{}}') for _ in range(2)]
        self.connection.executemany(NODE, [execution, *inputs])
        self.connection.executemany(EVENT, [(execution[0], a[0], "INPUT", "", 1) for a in inputs])
        run("COMMIT")
        run("BEGIN IMMEDIATE")
        outputs = [self._node("artifact", 1, '{"p":{},"c":{}}') for _ in range(2)]
        self.connection.executemany(NODE, outputs)
        self.connection.executemany(EVENT, [(execution[0], a[0], "OUTPUT", "", 1) for a in outputs])
        run(UPDATE, ("COMPLETE", self.properties, 1, 2, execution[0]))
        run("COMMIT")

    def write(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute(NODE, self._node("artifact", 1, '{"p":{},"c":{}}'))
        self.connection.execute("COMMIT")


def compare(what: str, ours: Callable[[], object], floor: Callable[[], object], n: int) -> None:
    """Measure both, call by call in turn so that a busy moment hits both, and print medians, best and ratio."""
    taken: tuple[list[float], list[float]] = ([], [])
    for i in range(n + 5):
        for call, times in zip((ours, floor), taken, strict=True):
            began = time.perf_counter()
            call()
            if i >= 5:  # the first ones warm up
                times.append((time.perf_counter() - began) * 1000)
    ratio = statistics.median(taken[0]) / statistics.median(taken[1])
    for name, times in zip(("whence", "floor"), taken, strict=True):
        print(f"{what:<8} {name:<7} median {statistics.median(times):8.3f} ms   best {min(times):8.3f} ms")
    print(f"{what:<8} ratio   median {ratio:8.1f}      best {min(taken[0]) / min(taken[1]):8.1f}")


def bench_record(folder: Path, n: int) -> None:
    recorder = Recorder(open_store(sqlite_url(folder / "record.db")), life=Life(folder / "lives"))
    recorder.store.put_type(Type("artifact", "Table", {"n_rows": "INT"}))
    floor = Floor(folder / "floor.db")
    i = 0

    def record() -> None:
        nonlocal i
        i += 1
        inputs = [(Artifact(type="Table", name=f"in{i}@{k}"), ("rows", k)) for k in range(2)]
        with recorder.execution("append", params={"day": i}, inputs=inputs) as recording:
            for k in range(2):
                recording.output(Artifact(type="Table", name=f"out{i}@{k}", properties={"n_rows": i}))

    compare("record", record, floor.record, n)
    recorder.store.close()


def bench_write(folder: Path, n: int) -> None:
    store = open_store(sqlite_url(folder / "write.db"))
    store.put_type(Type("artifact", "Table"))
    floor = Floor(folder / "floor-write.db")
    compare("write", lambda: store.write(Change([Put(Artifact(type="Table"))])), floor.write, n)
    store.close()


def grow(store: MetadataStore, n_executions: int) -> str:
    """Executions that read 2 of the last 200 artifacts and write 2, as in the facts sheet; returns the last output."""
    store.put_type(Type("artifact", "Table", {"n_rows": "INT"}))
    store.put_type(Type("execution", "load"))
    artifacts = [Artifact(type="Table", properties={"n_rows": i}) for i in range(2)]
    store.write(Change([Put(a) for a in artifacts]))
    for begin in range(0, n_executions, 200):
        puts, events = [], []
        for i in range(begin, min(begin + 200, n_executions)):
            execution = Execution(type="load", name=f"e{i}", state="COMPLETE")
            puts.append(Put(execution))
            for k in (i * 7919, i * 104729):
                read = artifacts[-1 - k % min(200, len(artifacts))]
                events.append(Event(execution.uid, read.uid, "INPUT", (k % 2,)))
            for _ in range(2):
                artifacts.append(Artifact(type="Table", properties={"n_rows": i}))
                puts.append(Put(artifacts[-1]))
                events.append(Event(execution.uid, artifacts[-1].uid, "OUTPUT"))
        store.write(Change(puts, events))
    return artifacts[-1].uid


def bench_lineage(folder: Path, n: int, n_executions: int) -> None:
    store = open_store(sqlite_url(folder / "lineage.db"))
    start = grow(store, n_executions)
    connection = sqlite3.connect(folder / "lineage.db")
    (start_id,) = connection.execute("SELECT id FROM node WHERE uid=?", (start,)).fetchone()

    def walk() -> int:
        seen = front = {start_id}
        for _ in range(20):
            found = connection.execute(UP, {"ids": str(list(front))})
            front = {row[0] for row in found} - seen
            seen = seen | front
        query = "SELECT * FROM node WHERE id IN (SELECT value FROM json_each(?))"
        return len(connection.execute(query, (str(list(seen)),)).fetchall())

    found = store.lineage([start], max_hops=20)
    print(f"lineage of {walk()} nodes, ours {len(found.artifacts) + len(found.executions)}")
    compare("lineage", lambda: store.lineage([start], max_hops=20), walk, n)
    connection.close()
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds, for a look")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench_record(folder, 60 if quick else 500)
        bench_write(folder, 100 if quick else 1_000)
        bench_lineage(folder, 10 if quick else 50, 2_000 if quick else 30_000)


if __name__ == "__main__":
    main()
