"""Stream scoring beside its floor, in one run: rows a second.

    python benchmarks/bench_stream.py [--quick] [--profile]

Days of about 930 planned flights come one by one, with what landed on them, through the ten feature views of the
flights journey. `Follower.step` does all of it: what is new of four tables, the fold, signature check, prediction,
one commit with progress and provenance, the execution in the graph. The floor is a loop that only reads the same
batches with their features ready, predicts and writes the same columns with delta-rs.
Only the ratio means something; CPU time is given because machines are busy.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from sklearn.ensemble import HistGradientBoostingClassifier

from whence._base.arrow import TS
from whence._base.clock import ReplayClock
from whence.journeys.flights.definitions import FEATURE_COLUMNS, FEATURES, TABLES
from whence.journeys.flights.models import CARRIERS, ORIGINS
from whence.serving.scorer import matrix
from whence.testing.pipelines import HandBuiltRooms

START = datetime(2013, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BEFORE = 60
"""Days that have landed when the stream begins."""
FLIGHTS, READINGS = 930, 72
DESTINATIONS = np.array([f"D{i:02}" for i in range(100)])
TAILS = np.array([f"N{i:04}" for i in range(3000)])


def times(days: np.ndarray) -> pa.Array:
    """Moments from days since the start."""
    us = (days * 86_400e6).astype(np.int64) + int(START.timestamp()) * 1_000_000
    return pa.array(us).cast(TS)


def schedule(day: int, n: int = FLIGHTS) -> pa.Table:
    """The flights planned for a day."""
    rng = np.random.default_rng(day)
    at = np.sort(day + 0.25 + 0.74 * rng.random(n))
    return pa.table(
        {
            "flight_id": [f"{day}-{i}" for i in range(n)],
            "carrier": rng.choice(np.array(CARRIERS), n),
            "flight": rng.integers(1, 3000, n),
            "tailnum": rng.choice(TAILS, n),
            "origin": rng.choice(np.array(ORIGINS), n),
            "dest": rng.choice(DESTINATIONS, n),
            "distance": rng.random(n) * 3000,
            "sched_dep_at": times(at),
            "features_at": times(at),
            "known_at": times(np.full(n, float(day))),
        }
    )


def arrivals(day: int) -> pa.Table:
    """What of it landed, two hours after it left, on the day."""
    rng = np.random.default_rng(10_000 + day)
    planned = schedule(day)
    n = planned.num_rows
    arrived = (
        planned["features_at"].cast(pa.int64()).to_numpy() / 86_400e6 - START.timestamp() / 86_400 + 0.08
    )
    columns = ["flight_id", "carrier", "flight", "tailnum", "origin", "dest"]
    table = planned.select(columns)
    for name in ("arr_delay", "dep_delay"):
        table = table.append_column(name, pa.array(rng.integers(-20, 120, n)))
    table = table.append_column("arr_at", times(arrived)).append_column("known_at", times(arrived))
    return table.filter(pa.array(arrived < day + 1))


def weather(day: int) -> pa.Table:
    """Hourly readings, known an hour later."""
    rng = np.random.default_rng(20_000 + day)
    hours = np.repeat(np.arange(24), 3)
    table = pa.table({"origin": np.tile(np.array(ORIGINS), 24), "observed_at": times(day + hours / 24)})
    for name in ("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"):
        table = table.append_column(name, pa.array(rng.random(READINGS)))
    known = times(day + (hours + 1) / 24 - 1e-6)
    return table.append_column("known_at", known)


def furnish(rooms: HandBuiltRooms) -> HistGradientBoostingClassifier:
    """Tables with what came before, a model, a deployment."""
    planes = pa.table(
        {"tailnum": TAILS, "year": 1980 + np.arange(3000) % 30, "seats": np.arange(3000) % 300}
    ).append_column("known_at", times(np.zeros(3000)))
    made = {"schedule": schedule, "arrivals": arrivals, "weather": weather}
    for name, told in TABLES.items():
        if name == "airports":
            continue
        rows = planes if name == "planes" else made[name](0)
        rooms.lake.create(name, rows.schema, key=told.key, event_time=told.event_time, known_at=told.known_at)
        if name == "planes":
            rooms.lake.table(name).append(rows, watermark=START + 1000 * DAY)
        else:
            before = pa.concat_tables([made[name](d) for d in range(BEFORE)])
            rooms.lake.table(name).append(before, watermark=START + BEFORE * DAY - timedelta(microseconds=1))
    spine = pa.concat_tables([schedule(d) for d in range(BEFORE - 5, BEFORE)])
    training = rooms.features.point_in_time(spine, FEATURES, at="features_at").select(list(FEATURE_COLUMNS))
    x = matrix(training)
    model = HistGradientBoostingClassifier(max_iter=150, early_stopping=False, random_state=0)
    model.fit(x, np.random.default_rng(0).random(len(x)) < 0.2 + 0.3 * (np.nan_to_num(x[:, 10]) > 40))
    rooms.models.register("late", model, sample=training)
    rooms.models.set_alias("late", "champion", 1)
    rooms.serving.deploy(
        "late", model="late@champion", table="schedule", views=FEATURES, at="features_at", key="flight_id",
        into="late_scores", start=START + BEFORE * DAY,
    )  # fmt: skip
    return model


def land(rooms: HandBuiltRooms, day: int) -> None:
    """One day: its schedule, what landed, its weather."""
    end = START + (day + 1) * DAY - timedelta(microseconds=1)
    for name, make in (("schedule", schedule), ("arrivals", arrivals), ("weather", weather)):
        rooms.lake.table(name).append(make(day), watermark=end)


def spent(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def floor(
    folder: Path, model: HistGradientBoostingClassifier, batches: list[pa.Table]
) -> tuple[float, float]:
    """Read, predict, write: the batches with their features lie ready as files."""
    for i, batch in enumerate(batches):
        pq.write_table(batch, folder / f"{i}.parquet")
    sink = folder / "floor"
    write_deltalake(sink, batches[0].slice(0, 0))
    total_wall = total_cpu = 0.0
    handle = DeltaTable(sink)
    for i in range(len(batches)):
        if i % 20 == 0:
            handle = DeltaTable(sink)  # a handle that has seen many commits gets slow

        def one(i: int = i, handle: DeltaTable = handle) -> None:
            rows = pq.read_table(folder / f"{i}.parquet")
            scores = model.predict_proba(matrix(rows.select(list(FEATURE_COLUMNS))))[:, 1]
            place = rows.schema.get_field_index("score")
            write_deltalake(handle, rows.set_column(place, "score", pa.array(scores)), mode="append")

        wall, cpu = spent(one)
        total_wall, total_cpu = total_wall + wall, total_cpu + cpu
    return total_wall, total_cpu


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer days")
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    told = parser.parse_args()
    days = 10 if told.quick else 60
    profile = cProfile.Profile(time.process_time)
    with tempfile.TemporaryDirectory() as top:
        rooms = HandBuiltRooms(Path(top) / "ws", clock=ReplayClock(START + BEFORE * DAY), threads=2)
        model = furnish(rooms)
        wall = cpu = 0.0
        with rooms.serving.follow("late") as follower:
            land(rooms, BEFORE)
            opening = spent(follower.step)
            for day in range(BEFORE + 1, BEFORE + 1 + days):
                land(rooms, day)
                if told.profile:
                    profile.enable()
                step = spent(follower.step)
                profile.disable()
                wall, cpu = wall + step[0], cpu + step[1]
        scored = rooms.lake.table("late_scores").arrow().sort_by("features_at")
        n = days * FLIGHTS
        batches = [scored.slice(FLIGHTS + i * FLIGHTS, FLIGHTS) for i in range(days)]
        base = floor(Path(top), model, batches)
        print(
            f"{days} days of {FLIGHTS} rows, {len(FEATURE_COLUMNS)} features; opening and the first day {opening[0]:.2f} s"
        )
        for name, (seconds, busy) in (("floor: read, predict, write", base), ("Follower.step", (wall, cpu))):
            print(
                f"{name:<28} {n / seconds:10,.0f} rows/s (cpu {n / busy:10,.0f}) {1000 * seconds / days:7.1f} ms a day"
                f"   of the floor {base[0] / seconds:5.2f} (cpu {base[1] / busy:5.2f})"
            )
        if told.profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
        rooms.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
