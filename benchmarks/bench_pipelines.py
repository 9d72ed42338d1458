"""What a step costs beyond its function, beside the least that could record it, in one run.

    python benchmarks/bench_pipelines.py [--quick]

A run of 20 steps that do nothing but return a number: all of the bookkeeping (code closure, cache key,
look-up, intent and closing transaction, metrics) divided by the steps; the same taken from the cache; the
same with one small table as input. The floor is the function called and two rows inserted in two
transactions of raw SQLite with the same durability (WAL, synchronous FULL). The promise is < 5 ms a step;
only ratios and CPU times mean something on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import whence.pipelines as w
from whence.pipelines.closure import code_of
from whence.testing.pipelines import HandBuiltRooms

N_STEPS = 20


@w.step
def number(n: int) -> w.Metrics:
    """A step with nothing to do."""
    return {"n": n}


@w.step
def nothing(n: int) -> None:
    """A step with nothing to do and nothing to give."""


@w.step
def size(rows: Annotated[Any, w.Table("rows")], n: int) -> w.Metrics:
    """A step with an input."""
    return {"n": n + rows.n_rows}


@w.pipeline
def numbers(first: int) -> None:
    """Many of them."""
    for n in range(N_STEPS):
        number(first + n)


@w.pipeline
def nothings(first: int) -> None:
    """Many of those."""
    for n in range(N_STEPS):
        nothing(first + n)


@w.pipeline
def sizes(first: int) -> None:
    """Many with an input."""
    for n in range(N_STEPS):
        size(w.latest, first + n)


def spent(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU milliseconds a step."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return (time.perf_counter() - wall) * 1e3 / N_STEPS, (time.process_time() - cpu) * 1e3 / N_STEPS


def floor(folder: Path) -> Callable[[], None]:
    """The function, and two small transactions a step."""
    database = sqlite3.connect(folder / "floor.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE steps (id INTEGER PRIMARY KEY, state TEXT, facts TEXT)")

    def run() -> None:
        for n in range(N_STEPS):
            for state in ("RUNNING", "COMPLETE"):
                database.execute("BEGIN IMMEDIATE")
                database.execute(
                    "INSERT INTO steps (state, facts) VALUES (?, ?)", (state, json.dumps({"n": n}))
                )
                database.execute("COMMIT")
            number.function(n)

    return run


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    repeats = 2 if parser.parse_args().quick else 7
    with tempfile.TemporaryDirectory() as top:
        rooms = HandBuiltRooms(Path(top) / "ws")
        rooms.lake.table("rows").append({"a": [1, 2, 3]})
        rooms.pipelines.run(numbers, first=-1000)  # types declared, environment and packages read
        raw = floor(Path(top))
        found: dict[str, list[tuple[float, float]]] = {}
        for n in range(repeats):
            first = n * N_STEPS
            found.setdefault("floor: call + 2 inserts", []).append(spent(raw))
            found.setdefault("step without outputs", []).append(
                spent(partial(rooms.pipelines.run, nothings, first=first))
            )
            found.setdefault("step with metrics", []).append(
                spent(partial(rooms.pipelines.run, numbers, first=first))
            )
            found.setdefault("step, cached", []).append(
                spent(partial(rooms.pipelines.run, numbers, first=first))
            )
            found.setdefault("step with an input", []).append(
                spent(partial(rooms.pipelines.run, sizes, first=first))
            )
            found.setdefault("code closure alone", []).append(
                spent(lambda: [code_of(number.function) for _ in range(N_STEPS)])
            )
        best = {name: min(times) for name, times in found.items()}
        base = best["floor: call + 2 inserts"]
        for name, (wall, cpu) in best.items():
            print(
                f"{name:<26} {wall:8.3f} ms a step (cpu {cpu:8.3f})   ratio {wall / base[0]:6.2f} (cpu {cpu / base[1]:6.2f})"
            )
        rooms.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
