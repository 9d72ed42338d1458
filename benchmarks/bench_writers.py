"""Several processes that write one file at once: ours, the floor's (plain sqlite3) and ML Metadata's, in turn.

Each process makes its values first, waits for the word, then writes as fast as it can. What counts is the rate of
calls that were *done*: ML Metadata's fail with AbortedError when they meet each other, and its client, as it comes,
sleeps 2 s on average before it tries such a call again. So it is measured twice: as it comes, and without retries.

Run: python benchmarks/bench_writers.py [--folder DIR]

ML Metadata is measured when WHENCE_TEST_MLMD names a Python that has it; `bench_mlmd` runs this with its own. The time
of a commit is mostly the disk's, so look at the ratios; DIR is on the disk to measure.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PROCESSES = 4
WANTED = 10
ROUNDS = 5
OWN_CALLS, PEER_CALLS = 100, 25
WHAT = {"put": "one artifact", "record": "an execution: 2 in, 2 out, 1 context"}


@dataclass
class Side:
    """The processes of one side, and what they did.

    Attributes:
        name: What it is called.
        going: The processes.
        n_calls: How many calls each makes in a round.
    """

    name: str
    going: Sequence[Told]
    n_calls: int
    n_done: int = 0
    n_failed: int = 0
    s: float = 0.0
    rates: tuple[float, ...] = ()
    worst_s: float = 0.0

    def clear(self) -> None:
        """Forget what was measured."""
        self.n_done = self.n_failed = 0
        self.s = self.worst_s = 0.0
        self.rates = ()

    def round(self, pool: ThreadPoolExecutor, what: str) -> None:
        """Have all processes make their calls at once."""
        began = time.perf_counter()
        told = list(pool.map(lambda going: going.ask("many", what, self.n_calls), self.going))
        s = time.perf_counter() - began
        failed = sum(int(one["failed"]) for one in told)
        done = len(self.going) * self.n_calls - failed
        self.n_failed += failed
        self.n_done += done
        self.s += s
        self.rates = (*self.rates, done / s)
        self.worst_s = max(self.worst_s, *(one["worst"] for one in told))

    @property
    def rate(self) -> float:
        """Calls done a second, over all rounds."""
        return self.n_done / self.s

    def __str__(self) -> str:
        few, most = min(self.rates), max(self.rates)
        return (
            f"{self.rate:7.0f}/s (rounds {few:.0f} to {most:.0f}), {self.n_failed} of {self.n_failed + self.n_done} "
            f"calls failed, the longest took {self.worst_s * 1000:.0f} ms"
        )


def rows(sides: Sequence[Side], pool: ThreadPoolExecutor) -> None:
    """Measure every side in turn, round by round, and print the rates and their ratios to the first one's."""
    for what, words in WHAT.items():
        for side in sides:
            side.clear()
        for _ in range(ROUNDS):
            for side in sides:
                side.round(pool, what)
        print(f"{PROCESSES} writers   {what}: {words}")
        for side in sides:
            ratio = sides[0].rate / side.rate
            typical = statistics.median(a / b for a, b in zip(sides[0].rates, side.rates, strict=True))
            told = "" if side is sides[0] else f"; whence {ratio:.1f} x, median of the rounds {typical:.1f} x"
            print(f"  {side.name:<24} {side}{told}", flush=True)
    print(f"  wanted: no failed call, {WANTED} x the rate of ML Metadata's calls that were done")


class Told:
    """A process that takes a command a line, and answers with a line of JSON."""

    def __init__(self, command: Sequence[str]) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=clean,
        )

    def ask(self, *command: object) -> dict[str, float]:
        """What it answers."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer: dict[str, float] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def obey(make: Callable[[str], Callable[[], object]]) -> None:
    """Be such a process: `make` gives the next call of a kind, its values ready."""
    for line in sys.stdin:
        _, what, n = json.loads(line)
        print(json.dumps(timed([make(what) for _ in range(n)])), flush=True)


def timed(calls: Sequence[Callable[[], object]]) -> dict[str, float]:
    """Make the calls one after another; a call that fails is counted."""
    failed, worst = 0, 0.0
    for call in calls:
        at = time.perf_counter()
        try:
            call()
        except Exception:  # noqa: BLE001 - what fails is counted
            failed += 1
        worst = max(worst, time.perf_counter() - at)
    return {"failed": failed, "worst": worst}


FLOOR = """
CREATE TABLE node (id INTEGER PRIMARY KEY, kind INT, type INT, name TEXT, state INT, uri TEXT, ctime INT, utime INT,
    props TEXT);
CREATE UNIQUE INDEX node_name ON node (type, name) WHERE name IS NOT NULL;
CREATE TABLE edge (dst INT, src INT, kind INT, t INT, PRIMARY KEY (dst, src)) WITHOUT ROWID;
CREATE INDEX edge_src ON edge (src, dst);
CREATE TABLE member (ctx INT, node INT, PRIMARY KEY (ctx, node)) WITHOUT ROWID;
"""


def make_floor(path: Path) -> None:
    """An empty file of the floor's."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(FLOOR)
    connection.execute("INSERT INTO node VALUES (1, 2, 2, 'peer', NULL, NULL, 0, 0, '{}')")
    connection.commit()
    connection.close()


def floor_calls(path: Path) -> Callable[[str], Callable[[], object]]:
    """The same rows in plain sqlite3: an immediate transaction, SQLite's own waiting, fsync at each commit."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("PRAGMA synchronous=FULL")
    run, many = connection.execute, connection.executemany
    made = 0

    def make(what: str) -> Callable[[], object]:
        nonlocal made
        kinds = (0,) if what == "put" else (1, 0, 0, 0, 0)
        nodes = []
        for kind in kinds:
            made += 1
            i = made
            props = {
                "p": {"span": i, "share": i % 1000 / 1000, "split": f"split {i % 7}"},
                "c": {"note": f"note {i}", "weight": i / 3},
            }
            id_ = (os.getpid() << 24) + i
            nodes.append((id_, kind, kind, f"w{id_}", 2, f"/data/{i}", i, i, json.dumps(props)))
        ids = [row[0] for row in nodes]

        def call() -> None:
            run("BEGIN IMMEDIATE")
            many("INSERT INTO node VALUES (?,?,?,?,?,?,?,?,?)", nodes)
            if what != "put":
                many("INSERT INTO edge VALUES (?,?,?,?)", [(id_, ids[0], 3, made) for id_ in ids[1:]])
                many("INSERT INTO member VALUES (?,?)", [(1, id_) for id_ in ids])
            run("COMMIT")

        return call

    return make


def sides(folder: Path, python: str | None) -> list[Side]:
    """Everybody, ready: each has made one call."""
    own, floor = str(folder / "writers.db"), str(folder / "writers-floor.db")
    make_floor(Path(floor))
    commands = [
        ("whence", [sys.executable, str(HERE / "bench_mlmd.py"), "--writer", own], OWN_CALLS),
        ("plain sqlite3", [sys.executable, __file__, "--floor", floor], OWN_CALLS),
    ]
    if python is not None:
        peer = [python, str(HERE / "peer_mlmd.py")]
        commands += [
            ("ML Metadata", [*peer, str(folder / "writers-mlmd.db"), "5"], PEER_CALLS),
            ("ML Metadata, no retries", [*peer, str(folder / "writers-mlmd-1.db"), "1"], PEER_CALLS),
        ]
    out = []
    for name, command, n_calls in commands:
        going = []
        for i in range(PROCESSES):
            going.append(Told(command))
            if name.startswith("ML"):
                going[-1].ask("begin", i)  # names of its own
            going[-1].ask("many", "record", 1)  # the first one makes the file
        out.append(Side(name, going, n_calls))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the files are made; a temporary one if not given")
    parser.add_argument("--floor", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.floor:
        obey(floor_calls(given.floor))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as name, ThreadPoolExecutor(PROCESSES) as pool:
        everybody = sides(Path(name), os.environ.get("WHENCE_TEST_MLMD"))
        rows(everybody, pool)
        for side in everybody:
            for told in side.going:
                told.close()


if __name__ == "__main__":
    main()
