"""Tracking beside its floor: the same rows into plain sqlite3, in one run; only the ratios are claimed.

::

    python benchmarks/bench_tracking.py [--quick]

The floor is a table of metrics and one of params in write-ahead mode with synchronous FULL, as whence's
own store is; no graph, no checks, no latest values, no keys table.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from whence.blobs import open_blobs
from whence.database import Database, sqlite_url
from whence.metadata import Recorder, open_store
from whence.tracking import Runs, open_metrics


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The median of several passes."""
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


class Floor:
    """Metrics and params in plain sqlite3."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute(
            "CREATE TABLE metric (run TEXT, key TEXT, step INT, at REAL, value REAL, PRIMARY KEY (run, key, step, at)) WITHOUT ROWID"
        )
        self.connection.execute(
            "CREATE TABLE param (run TEXT, key TEXT, value TEXT, PRIMARY KEY (run, key)) WITHOUT ROWID"
        )
        self.n = 0

    def write(self, metrics: list[tuple[str, int, float]], params: list[tuple[str, str]]) -> None:
        self.n += 1
        run = f"run-{self.n}"
        self.connection.execute("BEGIN IMMEDIATE")
        now = time.time()
        self.connection.executemany(
            "INSERT INTO metric VALUES (?, ?, ?, ?, ?)", [(run, k, s, now, v) for k, s, v in metrics]
        )
        self.connection.executemany("INSERT INTO param VALUES (?, ?, ?)", [(run, k, v) for k, v in params])
        self.connection.execute("COMMIT")


def report(name: str, ours_s: float, floor_s: float, note: str) -> None:
    print(f"{name:<38} {ours_s * 1e3:10.2f} ms {floor_s * 1e3:10.2f} ms {ours_s / floor_s:8.1f} x   {note}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    quick = parser.parse_args().quick
    n_one, n_many, n_runs, repeats = (200, 10_000, 100, 5) if quick else (2_000, 100_000, 1_000, 15)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        url = sqlite_url(root / "whence.db")
        database = Database.from_url(url)
        runs = Runs(
            Recorder(open_store(url, database=database)), open_metrics(database), open_blobs(root / "blobs")
        )
        floor = Floor(root / "floor.db")
        params = {f"p{n}": n for n in range(20)}
        metrics = {f"m{n}": n / 7 for n in range(20)}
        with runs.start("warm", params=params) as run:
            run.log_metrics(metrics)

        print(f"{'':<38} {'whence':>13} {'sqlite3':>13} {'ratio':>10}")
        bench_short_run(runs, floor, params, metrics, repeats * 3)
        bench_log_metric(runs, floor, n_one, n_many)
        bench_read(runs, floor, n_many, n_runs)


def bench_short_run(
    runs: Runs, floor: Floor, params: dict[str, int], metrics: dict[str, float], repeats: int
) -> None:
    def ours() -> None:
        with runs.start(params=params) as run:
            run.log_metrics(metrics)

    def singly() -> None:
        with runs.start() as run:
            for key, value in params.items():
                run.log_param(key, value)
            for key, number in metrics.items():
                run.log_metric(key, number)

    def below() -> None:
        floor.write([(k, 0, v) for k, v in metrics.items()], [(k, str(v)) for k, v in params.items()])

    floor_s = seconds(below, repeats)
    report(
        "run, 20 params + 20 metrics, 2 calls",
        seconds(ours, repeats),
        floor_s,
        "graph, metrics, state; one insert",
    )
    report("the same with 40 single calls", seconds(singly, repeats), floor_s, "buffered")


def bench_log_metric(runs: Runs, floor: Floor, n_one: int, n_many: int) -> None:
    with runs.start(flush_each=True) as run:
        begin = time.perf_counter()
        for n in range(n_one):
            run.log_metric("m", float(n), n)
        ours_s = time.perf_counter() - begin
    begin = time.perf_counter()
    for n in range(n_one):
        floor.write([("m", n, float(n))], [])
    floor_s = time.perf_counter() - begin
    report(
        f"log_metric x {n_one}, flushed each",
        ours_s,
        floor_s,
        f"{n_one / ours_s:,.0f} /s, {n_one / floor_s:,.0f} /s",
    )

    with runs.start() as run:
        begin = time.perf_counter()
        for n in range(n_many):
            run.log_metric("m", float(n), n)
        run.flush()
        ours_s = time.perf_counter() - begin
    begin = time.perf_counter()
    for at in range(0, n_many, 1_000):
        floor.write([("m", n, float(n)) for n in range(at, at + 1_000)], [])
    floor_s = time.perf_counter() - begin
    report(f"log_metric x {n_many}, buffered", ours_s, floor_s, f"{n_many / ours_s:,.0f} /s; 1,000 an insert")


def bench_read(runs: Runs, floor: Floor, n_many: int, n_runs: int) -> None:
    run = runs.search(order_by="started_at DESC", limit=1)[0]
    ours_s = seconds(lambda: run.history("m"), 3)
    floor_s = seconds(
        lambda: floor.connection.execute("SELECT * FROM metric LIMIT ?", (n_many,)).fetchall(), 3
    )
    report(f"history of {n_many}", ours_s, floor_s, "as objects; as tuples")
    for n in range(n_runs):
        with runs.start(f"r{n}", params={"depth": n % 10}) as made:
            made.log_metric("auc", n / n_runs)
        floor.write([("auc", 0, n / n_runs)], [("depth", str(n % 10))])
    text = "metrics.auc > 0.5 and params.depth = '6'"
    ours_s = seconds(lambda: runs.search(text, order_by="metrics.auc DESC"), 5)
    sql = (
        "SELECT run, value FROM metric m WHERE key = 'auc' AND value > 0.5 AND EXISTS "
        "(SELECT 1 FROM param p WHERE p.run = m.run AND p.key = 'depth' AND p.value = '6') ORDER BY value DESC LIMIT 100"
    )
    floor_s = seconds(lambda: floor.connection.execute(sql).fetchall(), 5)
    report(
        f"search among {n_runs} runs, page 100",
        ours_s,
        floor_s,
        "runs with params, metrics, tags; two columns",
    )


if __name__ == "__main__":
    main()
