"""The point-in-time join beside its floor, in one run: rows a second.

    python benchmarks/bench_features.py [--quick]

`Features.point_in_time` over two views of one source: windows (count and mean over two lengths) and the newest
value as of the moment with a ttl. The floor is one hand-written DuckDB query for these very features over the
same rows in memory: running sums and two ASOF joins for each window, one ASOF join for the newest value. It
may be shorter than what whence compiles, because here a row is known when it happens and no key repeats; it
checks nothing, reconciles nothing, records nothing. Both give the same values, which is asserted.
Only the ratios mean something; CPU time is given because machines are busy.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from whence._base.arrow import TS
from whence.features import Entity, FeatureView, count, last, mean
from whence.testing.pipelines import HandBuiltRooms

START = datetime(2013, 4, 1, tzinfo=UTC)
CARRIERS = np.array(["AA", "B6", "DL", "EV", "UA", "US", "WN"])
DAYS = 60
CARRIER = Entity("carrier", join_keys=["carrier"])
VIEWS = [
    FeatureView(
        "delays",
        entity=CARRIER,
        source="arrivals",
        timestamp="arr_at",
        features=[mean("delay", over="1d"), mean("delay", over="7d"), count(over="1d"), count(over="7d")],
    ),
    FeatureView(
        "newest", entity=CARRIER, source="arrivals", timestamp="arr_at", ttl="30d", features=[last("delay")]
    ),
]
#: A running sum before each row, the sums at both ends of a window, and their difference.
FLOOR = """
WITH summed AS (
    SELECT carrier, arr_at,
           count(*) OVER w AS n, sum(delay) OVER w AS s
    FROM arrivals WINDOW w AS (PARTITION BY carrier ORDER BY arr_at ROWS UNBOUNDED PRECEDING)
), ends AS (
    SELECT f.id, hi.n - coalesce(d.n, 0) AS n1, hi.s - coalesce(d.s, 0) AS s1,
           hi.n - coalesce(wk.n, 0) AS n7, hi.s - coalesce(wk.s, 0) AS s7
    FROM flights AS f
    ASOF LEFT JOIN summed AS hi ON f.carrier = hi.carrier AND f.at > hi.arr_at
    ASOF LEFT JOIN summed AS d ON f.carrier = d.carrier AND f.at - INTERVAL 24 HOUR > d.arr_at
    ASOF LEFT JOIN summed AS wk ON f.carrier = wk.carrier AND f.at - INTERVAL 168 HOUR > wk.arr_at
), newest AS (
    SELECT f.id, CASE WHEN f.at - a.arr_at <= INTERVAL 720 HOUR THEN a.delay END AS delay
    FROM flights AS f ASOF LEFT JOIN arrivals AS a ON f.carrier = a.carrier AND f.at >= a.arr_at
)
SELECT CASE WHEN n1 > 0 THEN s1 / n1 END, CASE WHEN n7 > 0 THEN s7 / n7 END,
       coalesce(n1, 0), coalesce(n7, 0), newest.delay
FROM ends JOIN newest USING (id) ORDER BY id
"""


def moments(rng: np.random.Generator, n: int) -> pa.Array:
    """Random moments, ascending, no two alike."""
    micros = np.sort(rng.choice(DAYS * 86_400_000, n, replace=False)) * 1_000
    return pa.array(micros + int(START.timestamp()) * 1_000_000, pa.int64()).cast(TS)


def arrivals(n: int) -> pa.Table:
    """What the features read; known when it happens."""
    rng = np.random.default_rng(1)
    at = moments(rng, n)
    delay = rng.integers(-20, 200, n)
    return pa.table({"carrier": rng.choice(CARRIERS, n), "arr_at": at, "delay": delay, "known_at": at})


def flights(n: int) -> pa.Table:
    """What is asked."""
    rng = np.random.default_rng(2)
    return pa.table({"id": np.arange(n), "carrier": rng.choice(CARRIERS, n), "at": moments(rng, n)})


def spent(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Wall and CPU seconds of the fastest call."""
    best = (float("inf"), float("inf"))
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        best = min(best, (time.perf_counter() - wall, time.process_time() - cpu))
    return best


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and repetitions")
    n, repeats = (20_000, 2) if parser.parse_args().quick else (300_000, 3)
    source, spine = arrivals(n), flights(n)
    connection = duckdb.connect()
    connection.execute("SET threads = 2; SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    connection.register("arrivals", source)
    connection.register("flights", spine)
    with tempfile.TemporaryDirectory() as top:
        rooms = HandBuiltRooms(Path(top) / "ws", threads=2)
        rooms.lake.create("arrivals", source.schema, event_time="arr_at", known_at="known_at")
        rooms.lake.table("arrivals").append(source, watermark=START + timedelta(days=DAYS + 1))

        def ours() -> pa.Table:
            return rooms.features.point_in_time(spine, VIEWS, at="at")

        def floor() -> pa.Table:
            return connection.sql(FLOOR).to_arrow_table()

        columns = [column for view in VIEWS for column in view.outputs]
        for column, bare in zip(columns, floor().columns, strict=True):
            assert ours()[column].to_pylist() == bare.to_pylist(), f"{column} differs from the floor"
        wall, cpu = spent(floor, repeats)
        for name, (seconds, busy) in {
            "floor: hand-written DuckDB": (wall, cpu),
            "Features.point_in_time": spent(ours, repeats),
        }.items():
            print(
                f"{name:<32} {n / seconds:12,.0f} rows/s (cpu {n / busy:12,.0f})"
                f"   time ratio {seconds / wall:5.2f} (cpu {busy / cpu:5.2f})"
            )
        rooms.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
