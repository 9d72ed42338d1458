"""Batch scoring beside its floor, in one run: rows a second.

    python benchmarks/bench_serving.py [--quick]

`Scoring.score` does all of it: features point in time, signature check, prediction, one commit of key,
features and provenance, two transactions in the graph. Two floors: the model's bare ``predict_proba`` on
a ready matrix plus writing the same columns as one Parquet file; and that with the point-in-time join
before it, which is what scoring cannot do without.
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

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.ensemble import HistGradientBoostingClassifier

from whence._base.arrow import TS
from whence.features import AnyView, Entity, FeatureView, count, given, mean
from whence.serving.scorer import matrix
from whence.testing.pipelines import HandBuiltRooms

START = datetime(2013, 4, 1, tzinfo=UTC)
CARRIERS = np.array(["AA", "B6", "DL", "EV", "UA", "US", "WN"])
VIEWS: list[AnyView] = [
    FeatureView(
        "delays",
        entity=Entity("carrier", join_keys=["carrier"]),
        source="arrivals",
        timestamp="arr_at",
        features=[mean("delay", over="1d"), mean("delay", over="7d"), count(over="1d"), count(over="7d")],
    ),
    given("distance", "hour"),
]


def moments(rng: np.random.Generator, n: int, days: int) -> pa.Array:
    """Random moments, ascending."""
    seconds = np.sort(rng.integers(0, days * 86_400, n))
    return pa.array((seconds + int(START.timestamp())) * 1_000_000, pa.int64()).cast(TS)


def arrivals(n: int) -> pa.Table:
    """What the features read."""
    rng = np.random.default_rng(1)
    at = moments(rng, n, 60)
    return pa.table(
        {
            "carrier": rng.choice(CARRIERS, n),
            "arr_at": at,
            "delay": rng.integers(-20, 200, n),
            "known_at": at,
        }
    )


def schedule(n: int, seed: int) -> pa.Table:
    """What is scored."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "id": np.arange(n),
            "carrier": rng.choice(CARRIERS, n),
            "at": moments(rng, n, 60),
            "distance": rng.random(n) * 3000,
            "hour": rng.integers(0, 24, n).astype(float),
        }
    )


def spent(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and repetitions")
    quick = parser.parse_args().quick
    n, repeats = (10_000, 2) if quick else (100_000, 5)
    with tempfile.TemporaryDirectory() as top:
        rooms = HandBuiltRooms(Path(top) / "ws", threads=2)
        source = arrivals(n)
        rooms.lake.create("arrivals", source.schema, event_time="arr_at", known_at="known_at")
        rooms.lake.table("arrivals").append(source, watermark=START + timedelta(days=61))
        training = rooms.features.point_in_time(schedule(5_000, 7), VIEWS, at="at")
        columns = [c for v in VIEWS for c in v.outputs]
        x = matrix(training.select(columns))
        model = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)
        model.fit(x, (np.nan_to_num(x[:, 0]) > 90).astype(int))
        rooms.models.register("late", model, sample=training.select(columns))
        found: dict[str, list[tuple[float, float]]] = {}
        for k in range(repeats):
            spine = schedule(n, k)
            ready = rooms.features.point_in_time(spine, VIEWS, at="at")
            inputs = matrix(ready.select(columns))

            def bare(ready: pa.Table = ready, inputs: np.ndarray = inputs, k: int = k) -> None:
                scored = ready.append_column("score", pa.array(model.predict_proba(inputs)[:, 1]))
                pq.write_table(scored, Path(top) / f"bare-{k}.parquet")

            def joined(spine: pa.Table = spine, k: int = k) -> None:
                features = rooms.features.point_in_time(spine, VIEWS, at="at")
                answers = model.predict_proba(matrix(features.select(columns)))[:, 1]
                pq.write_table(
                    features.append_column("score", pa.array(answers)), Path(top) / f"joined-{k}.parquet"
                )

            def ours(spine: pa.Table = spine, k: int = k) -> None:
                rooms.serving.score(
                    "late@1", spine, views=VIEWS, at="at", into="scores", key="id", batch=str(k)
                )

            found.setdefault("floor: predict + parquet", []).append(spent(bare))
            found.setdefault("floor: join + predict + parquet", []).append(spent(joined))
            found.setdefault("Scoring.score", []).append(spent(ours))
        best = {name: min(times) for name, times in found.items()}
        wall, cpu = best["floor: predict + parquet"]
        for name, (seconds, busy) in best.items():
            print(
                f"{name:<32} {n / seconds:12,.0f} rows/s (cpu {n / busy:12,.0f})"
                f"   time ratio {seconds / wall:5.2f} (cpu {busy / cpu:5.2f})"
            )
        rooms.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
