"""A small world shaped like the flights: weather, landings, and a model whose answers are watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression

from whence._base.arrow import TS
from whence._base.clock import ReplayClock
from whence.features import AnyView, Entity, FeatureView, given, last, mean
from whence.monitoring import Labels, Monitoring, MonitorResult
from whence.serving.types import Deployment
from whence.testing.pipelines import HandBuiltRooms

FIRST: Final = date(2013, 1, 7)  # a Monday
HISTORY_DAYS: Final = 84
FLIGHTS: Final = 240
STATIONS: Final = ("EWR", "JFK", "LGA")

WEATHER: Final = FeatureView(
    "weather_now", entity=Entity("airport", ["origin"]), source="weather", timestamp="observed_at",
    ttl="4h", features=[last("temp")],
)  # fmt: skip
DELAYS: Final = FeatureView(
    "delays", entity=Entity("airport", ["origin"]), source="arrivals", timestamp="arr_at",
    features=[mean("arr_delay", over="6h")],
)  # fmt: skip
VIEWS: Final[tuple[AnyView, ...]] = (WEATHER, DELAYS, given("distance"))
FEATURES: Final = ("weather_now__temp", "delays__mean_arr_delay_6h", "distance")
DEPLOYMENT: Final = Deployment(
    "late", "late@champion", "schedule", VIEWS, "features_at", ("flight_id",), "late_scores"
)
LABELS: Final = Labels("arrivals", ("flight_id",), "arr_delay >= 30")


def begin(day: int) -> datetime:
    """The instant a day of the world begins; days are counted from `FIRST`."""
    return datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(days=day)


@dataclass
class World:
    """Rooms, and the days that arrive in them.

    Attributes:
        seed: Of everything random.
        drift: Degrees that a day adds to the temperature.
        worse: From this day on flights are late more often than the model thinks.
    """

    folder: Path | None = None
    seed: int = 7
    drift: float = 0.0
    worse: int | None = None
    live_days: int = 40
    clock: ReplayClock = field(default_factory=lambda: ReplayClock(begin(0)))

    @cached_property
    def rooms(self) -> HandBuiltRooms:
        return HandBuiltRooms(self.folder, clock=self.clock)

    @cached_property
    def monitoring(self) -> Monitoring:
        r = self.rooms
        return Monitoring(r.recorder, r.lake, r.models, r.blobs, r.engine, deployments=None, clock=self.clock)

    @cached_property
    def temperature(self) -> list[float]:
        """The mean of each day: it wanders from day to day, as weather does."""
        rng = np.random.default_rng(self.seed)
        level, out = 45.0, []
        for day in range(HISTORY_DAYS + self.live_days + 10):
            level = 45 + 0.7 * (level - 45) + rng.normal(0, 4)
            out.append(level + self.drift * max(day - HISTORY_DAYS, 0))
        return out

    def _rng(self, what: int, day: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, what, day])

    def weather(self, day: int) -> pa.Table:
        rng = self._rng(1, day)
        hours = [begin(day) + timedelta(hours=h) for h in range(24)]
        n = 24 * len(STATIONS)
        diurnal = np.tile(5 * np.sin(np.arange(24) / 24 * 2 * np.pi), len(STATIONS))
        return pa.table(
            {
                "origin": [s for s in STATIONS for _ in range(24)],
                "temp": np.round(self.temperature[day] + diurnal + rng.normal(0, 1, n), 2),
                "wind_speed": np.round(rng.gamma(4, 2.5, n), 2),
                "observed_at": pa.array(hours * len(STATIONS), TS),
                "known_at": pa.array([h + timedelta(minutes=30) for h in hours] * len(STATIONS), TS),
            }
        )

    def flights(self, day: int) -> tuple[pa.Table, pa.Table]:
        """The predictions of a day, and their landings (the last is never seen to land)."""
        rng = self._rng(2, day)
        weekend = (FIRST + timedelta(days=day)).weekday() >= 5
        n = FLIGHTS - 50 * weekend + int(rng.integers(-4, 5))
        at = [begin(day) + timedelta(minutes=int(m)) for m in np.sort(rng.integers(0, 1200, n))]
        temp = self.temperature[day] + rng.normal(0, 4, n)
        delay, distance = rng.normal(5, 12, n), rng.choice([200, 400, 800, 1600], n)
        score = 1 / (1 + np.exp(1.6 - 0.05 * delay))
        truth = rng.random(n) < np.clip(
            score + (0.2 if self.worse is not None and day >= self.worse else 0), 0, 1
        )
        ids = [f"F{day:03}-{i:03}" for i in range(n)]
        predictions = pa.table(
            {
                "flight_id": ids,
                "features_at": pa.array(at, TS),
                "weather_now__temp": temp,
                "delays__mean_arr_delay_6h": delay,
                "distance": pa.array(distance, pa.int64()),
                "score": score,
                "model": ["late@1"] * n,
            }
        )
        landed = [a + timedelta(hours=3) for a in at]
        arrivals = pa.table(
            {
                "flight_id": ids,
                "carrier": rng.choice(["AA", "B6", "UA"], n).tolist(),
                "arr_delay": pa.array(np.where(truth, 45, 3) + rng.integers(-8, 9, n), pa.int64()),
                "arr_at": pa.array(landed, TS),
                "known_at": pa.array(landed, TS),
            }
        )
        return predictions, arrivals.slice(0, n - 1)

    # --- what has happened

    def found(self) -> None:
        """Tables, twelve weeks of feeds, and a model that learned from them."""
        lake = self.rooms.lake
        lake.create(
            "weather",
            self.weather(0).schema,
            key=["origin", "observed_at"],
            event_time="observed_at",
            known_at="known_at",
        )
        lake.create(
            "arrivals", self.flights(0)[1].schema, key=["flight_id"], event_time="arr_at", known_at="known_at"
        )
        lake.create("late_scores", self.flights(0)[0].schema, key=["flight_id"], event_time="features_at")
        history = range(HISTORY_DAYS)
        self.land(
            HISTORY_DAYS - 1,
            weather=pa.concat_tables([self.weather(day) for day in history]),
            arrivals=pa.concat_tables([self.flights(day)[1] for day in history]),
        )
        self.learn()

    def learn(self, name: str = "train.late", days: Sequence[int] = range(HISTORY_DAYS)) -> None:
        rows = pa.concat_tables([self.flights(day)[0] for day in days])
        train = rows.select(["features_at", *FEATURES])
        self.rooms.lake.table(name).append(train)
        with self.rooms.recorder.execution("step") as recording:
            data = self.rooms.lake.table(name).head().arrow(list(FEATURES))
            x = np.column_stack([c.to_numpy() for c in data.columns])
            model = LogisticRegression()
            model.fit(x[:50], np.arange(50) % 2)
            model.coef_, model.intercept_ = np.array([[0.0, 0.05, 0.0]]), np.array([-1.6])
            version = self.rooms.models.register("late", model, sample=data.slice(0, 1))
            assert recording.uid
        self.rooms.models.set_alias("late", "champion", version.version)

    def land(self, day: int, *, weather: pa.Table | None = None, arrivals: pa.Table | None = None) -> None:
        """What becomes known on a day, as it is or as it is given."""
        evening = begin(day + 1)
        self.clock.advance_to(evening)
        upto = evening - timedelta(microseconds=1)
        self.rooms.lake.table("weather").append(
            self.weather(day) if weather is None else weather, watermark=upto
        )
        known = self.flights(day)[1] if arrivals is None else arrivals
        self.rooms.lake.table("arrivals").append(known, watermark=upto)

    def score(self, day: int, rows: pa.Table | None = None) -> None:
        """The predictions of a day are committed."""
        upto = begin(day + 1) - timedelta(microseconds=1)
        rows = self.flights(day)[0] if rows is None else rows
        self.rooms.lake.table("late_scores").append(rows, watermark=upto)

    def watch(self) -> None:
        """The monitor that the tests look at."""
        self.monitoring.watch("late", deployment=DEPLOYMENT, labels=LABELS, feeds=("arrivals", "weather"))

    def live(self, days: Sequence[int]) -> list[MonitorResult]:
        """Days that land, are scored and watched."""
        found = []
        for day in days:
            self.land(day)
            found.append(self.watched(day))
        return found

    def watched(self, day: int, rows: pa.Table | None = None) -> MonitorResult:
        """A day that has landed is scored and watched."""
        self.score(day, rows)
        return self.monitoring.run("late", upto=begin(day + 1))

    def version(self, table: str) -> int:
        return self.rooms.lake.table(table).head().version


def founded(folder: Path | None = None, **settings: object) -> World:
    """A world with its history, watched."""
    world = World(folder, **settings)  # type: ignore[arg-type]  # settings of a test
    world.found()
    world.watch()
    return world
