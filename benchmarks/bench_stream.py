"""Stream scoring beside its floor, in one run: rows a second.

    python benchmarks/bench_stream.py [--quick] [--profile]

Days of about 930 planned flights come one by one, with what landed on them, through the ten feature views of the
flights journey. `Follower.step` does all of it: what is new of four tables, the fold, signature check, prediction,
one commit with progress and provenance, the execution in the graph. The floor only reads the same batches with
their features ready, predicts and writes the same columns with delta-rs.

What keeps the two comparable:

- Both take turns, day by day, so that a busy machine and cold caches strike both.
- The floor's table has the properties of a table of the lake. With those of delta-rs it would collect statistics
  of 32 columns for the log, which the lake leaves to the files: 4 ms a day, a tenth of the floor.
- A handle of delta-rs gets slower with every commit; the floor opens its own anew at each checkpoint, as the
  lake does, and is not charged for it.
- Only the ratio means something: of the sums, and of the medians, which an interruption of the machine or the
  forgetting of rows every few weeks does not move. CPU time is given because machines are busy.
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
from statistics import median
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from sklearn.ensemble import HistGradientBoostingClassifier

from whence._base.arrow import TS
from whence._base.clock import ReplayClock
from whence.journeys.flights.definitions import FEATURE_COLUMNS, FEATURES, TABLES
from whence.journeys.flights.models import CARRIERS, ORIGINS
from whence.lake.backends.delta_facts import CHECKPOINT_INTERVAL, configuration
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


class Time(NamedTuple):
    """Seconds by the clock and of the processor."""

    wall: float
    cpu: float


def spent(call: Callable[[], object]) -> Time:
    """The time of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Time(time.perf_counter() - wall, time.process_time() - cpu)


class Floor:
    """Read, predict, write: the batches with their features lie ready as files."""

    def __init__(self, folder: Path, model: HistGradientBoostingClassifier, declaration: str) -> None:
        self.folder = folder
        self.model = model
        self.declaration = declaration
        self.sink = folder / "floor"
        self.n_days = 0

    def day(self, rows: pa.Table) -> Time:
        """The time of one batch."""
        path = self.folder / f"{self.n_days}.parquet"
        pq.write_table(rows, path)
        if not self.n_days:
            write_deltalake(self.sink, rows.slice(0, 0), configuration=configuration(self.declaration))
        if self.n_days % CHECKPOINT_INTERVAL == 0:
            self.handle = DeltaTable(self.sink)
        self.n_days += 1

        def one() -> None:
            batch = pq.read_table(path)
            scores = self.model.predict_proba(matrix(batch.select(list(FEATURE_COLUMNS))))[:, 1]
            place = batch.schema.get_field_index("score")
            write_deltalake(self.handle, batch.set_column(place, "score", pa.array(scores)), mode="append")

        return spent(one)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer days")
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    told = parser.parse_args()
    days = 10 if told.quick else 60
    profile = cProfile.Profile(time.process_time)
    steps: list[Time] = []
    floors: list[Time] = []
    with tempfile.TemporaryDirectory() as top:
        rooms = HandBuiltRooms(Path(top) / "ws", clock=ReplayClock(START + BEFORE * DAY), threads=2)
        model = furnish(rooms)
        scores = rooms.lake.table("late_scores")
        with rooms.serving.follow("late") as follower:
            land(rooms, BEFORE)
            opening = spent(follower.step)
            floor = Floor(Path(top), model, scores.declaration.to_json())
            for day in range(BEFORE + 1, BEFORE + 1 + days):
                land(rooms, day)
                if told.profile:
                    profile.enable()
                steps.append(spent(follower.step))
                profile.disable()
                (change,) = scores.changes(scores.head().version - 1)
                floors.append(floor.day(change.rows))
        print(
            f"{days} days of {FLIGHTS} rows, {len(FEATURE_COLUMNS)} features; "
            f"opening and the first day {opening.wall:.2f} s"
        )
        for name, times in (("floor: read, predict, write", floors), ("Follower.step", steps)):
            wall, cpu = (sum(t[i] for t in times) / days for i in range(2))
            said = [f"{name:<28} {FLIGHTS / wall:8,.0f} rows/s (cpu {FLIGHTS / cpu:8,.0f})"]
            said.append(f"{1000 * wall:6.1f} ms a day (cpu {1000 * cpu:5.1f})   of the floor")
            for what, middle in (("", sum), ("median ", median)):
                of = [middle(t[i] for t in floors) / middle(t[i] for t in times) for i in range(2)]
                said.append(f"{what}{of[0]:.2f} (cpu {of[1]:.2f})")
            print(" ".join(said))
        if told.profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
        rooms.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
