"""Stream scoring beside its floor, in one run: rows a second.

    python benchmarks/bench_stream.py [--quick] [--profile] [--rows 930]

Days of about 930 planned flights, with what landed on them, go through the ten feature views of the flights
journey. A `Follower` does all of it: what is new of four tables, the fold, signature check, prediction, one
commit with progress and provenance, the execution in the graph. The floor only reads the same batches with their
features ready, predicts and writes the same columns with delta-rs, in one thread.

Two things are measured:

- **Catching up**, which is the throughput: everything has landed before, `Follower.steps` answers for it in commits
  of `--rows` rows, with and without working ahead; the floor then reads and writes just those commits, row for
  row. The first step, which opens the stream, is left out of both. Rounds take turns; the best and the median of
  each are compared, and the median of the rounds' own ratios.
- **One step as a day lands**, which is the latency: `Follower.step` and the floor take turns, day by day.

What keeps them comparable:

- The floor's table has the properties of a table of the lake. With those of delta-rs it would collect statistics
  of 32 columns for the log, which the lake leaves to the files: 4 ms a day, a tenth of the floor.
- A handle of delta-rs gets slower with every commit; the floor opens its own anew at each checkpoint, as the
  lake does, and is not charged for it.
- Only ratios mean something. CPU time is given because machines are busy: working ahead needs a second core that
  is free, and the load is printed. The stages, measured without working ahead, say what can overlap: at best a
  step takes as long as the longer one. Python runs one thread at a time, so they overlap only where one of them
  predicts, reads, writes or waits for the disk.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

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
from whence.serving import Follower
from whence.serving.scorer import matrix
from whence.testing.pipelines import HandBuiltRooms

START = datetime(2013, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BEFORE = 60
"""Days that have landed when the stream begins."""
FLIGHTS, READINGS = 930, 72
DESTINATIONS = np.array([f"D{i:02}" for i in range(100)])
TAILS = np.array([f"N{i:04}" for i in range(3000)])
DEPLOYED: dict[str, Any] = {
    "model": "late@champion", "table": "schedule", "views": FEATURES, "at": "features_at", "key": "flight_id",
    "start": START + BEFORE * DAY,
}  # fmt: skip


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
    """Tables with what came before, and a model."""
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


class Stages:
    """The time of what is done ahead when that is on: rows, features, predictions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, name: str) -> None:
        """Time a method of `Follower`."""
        method = getattr(Follower, name)

        def run(*args: object, **more: object) -> object:
            began = time.perf_counter()
            try:
                return method(*args, **more)
            finally:
                self.seconds += time.perf_counter() - began

        setattr(Follower, name, run)


def catch_up(
    rooms: HandBuiltRooms, name: str, rows: int, stages: Stages, *, ahead: bool
) -> tuple[Time, list[pa.Table]]:
    """The time of all steps of a new deployment but the first, and what they committed."""
    into = f"{name}_scores"
    rooms.serving.deploy(name, **DEPLOYED, into=into)
    with rooms.serving.follow(name, max_rows=rows, ahead=ahead) as follower:
        follower.step()
        stages.seconds = 0.0
        took = spent(lambda: list(follower.steps()))
    # version 0 is the empty table, version 1 the first step
    return took, [change.rows for change in rooms.lake.table(into).changes(1)]


def throughput(
    rooms: HandBuiltRooms, top: Path, model: HistGradientBoostingClassifier, *, rows: int, rounds: int
) -> None:
    """Catch up, round by round, and print."""
    found: dict[str, list[Time]] = {"floor": [], "ahead": [], "not ahead": []}
    stages, n = Stages(), 0
    for name in ("_find", "_made"):
        stages.timed(name)
    made, n_steps = 0.0, 0
    for number in range(rounds):
        took, batches = catch_up(rooms, f"ahead{number}", rows, stages, ahead=True)
        found["ahead"].append(took)
        declaration = rooms.lake.table(f"ahead{number}_scores").declaration.to_json()
        folder = top / f"floor{number}"
        folder.mkdir()
        floor = Floor(folder, model, declaration)
        times = [floor.day(batch) for batch in batches]
        found["floor"].append(Time(sum(t.wall for t in times), sum(t.cpu for t in times)))
        took, same = catch_up(rooms, f"plain{number}", rows, stages, ahead=False)
        found["not ahead"].append(took)
        made += stages.seconds
        n, n_steps = sum(b.num_rows for b in batches), n_steps + len(same)
        assert [b.num_rows for b in batches] == [b.num_rows for b in same]
    print(f"catching up: {len(batches)} commits, {n:,} rows, {rounds} rounds, load {os.getloadavg()[0]:.1f}")
    for name, times in found.items():
        said = [f"{name:<28} {n / median(t.wall for t in times):8,.0f} rows/s"]
        for what, one in (("wall", 0), ("cpu", 1)):
            mine, floors = [t[one] for t in times], [t[one] for t in found["floor"]]
            pairs = median(f / t for f, t in zip(floors, mine, strict=True))
            ms = 1000 * median(mine) / len(batches)
            said.append(
                f"{what} {ms:6.1f} ms a step, of the floor: best {min(floors) / min(mine):.2f}"
                f" median {median(floors) / median(mine):.2f} by rounds {pairs:.2f}"
            )
        print("  ".join(said))
    whole = sum(t.wall for t in found["not ahead"])
    ahead, rest = 1000 * made / n_steps, 1000 * (whole - made) / n_steps
    print(
        f"stages: rows, features, predictions, digests {ahead:.1f} ms; commit and record {rest:.1f} ms; "
        f"at best {max(ahead, rest):.1f} ms a step"
    )


def latency(
    rooms: HandBuiltRooms,
    top: Path,
    model: HistGradientBoostingClassifier,
    days: int,
    profile: cProfile.Profile | None,
) -> None:
    """One step as a day lands, beside the floor, and print."""
    steps: list[Time] = []
    floors: list[Time] = []
    scores = rooms.lake.table("late_scores")
    rooms.serving.deploy("late", **DEPLOYED, into="late_scores")
    with rooms.serving.follow("late") as follower:
        land(rooms, BEFORE)
        opening = spent(follower.step)
        floor = Floor(top, model, scores.declaration.to_json())
        for day in range(BEFORE + 1, BEFORE + 1 + days):
            land(rooms, day)
            if profile is not None:
                profile.enable()
            steps.append(spent(follower.step))
            if profile is not None:
                profile.disable()
            (change,) = scores.changes(scores.head().version - 1)
            floors.append(floor.day(change.rows))
    print(
        f"one step as a day lands: {days} days of {FLIGHTS} rows, {len(FEATURE_COLUMNS)} features, "
        f"opening and the first day {opening.wall:.2f} s, load {os.getloadavg()[0]:.1f}"
    )
    for name, times in (("floor: read, predict, write", floors), ("Follower.step", steps)):
        wall, cpu = (sum(t[i] for t in times) / days for i in range(2))
        said = [f"{name:<28} {FLIGHTS / wall:8,.0f} rows/s (cpu {FLIGHTS / cpu:8,.0f})"]
        said.append(f"{1000 * wall:6.1f} ms a day (cpu {1000 * cpu:5.1f})   of the floor")
        for what, middle in (("", sum), ("median ", median)):
            of = [middle(t[i] for t in floors) / middle(t[i] for t in times) for i in range(2)]
            said.append(f"{what}{of[0]:.2f} (cpu {of[1]:.2f})")
        print(" ".join(said))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer days and rounds")
    parser.add_argument("--profile", action="store_true", help="say where the time of a step goes")
    parser.add_argument("--rows", type=int, default=FLIGHTS, help="rows of a commit when catching up")
    told = parser.parse_args()
    days, rounds = (10, 2) if told.quick else (60, 5)
    profile = cProfile.Profile(time.process_time) if told.profile else None
    with tempfile.TemporaryDirectory() as top:
        rooms = HandBuiltRooms(Path(top) / "ws", clock=ReplayClock(START + BEFORE * DAY), threads=2)
        model = furnish(rooms)
        latency(rooms, Path(top), model, days, profile)
        throughput(rooms, Path(top), model, rows=told.rows, rounds=rounds)
        if profile is not None:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
        rooms.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
