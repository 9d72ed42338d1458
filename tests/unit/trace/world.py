"""Real rooms with a small journey in them: two days of flights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from sklearn.tree import DecisionTreeClassifier

from whence import features as w
from whence._base.arrow import TS
from whence.blobs import BlobStore
from whence.features import AnyView, Features, feature_columns
from whence.lake import Lake
from whence.metadata import MetadataStore, Recorder
from whence.registry import Models
from whence.serving import Scoring
from whence.trace import Tracer

START = datetime(2013, 7, 1, tzinfo=UTC)


def hour(h: float) -> datetime:
    return START + timedelta(hours=h)


ARRIVALS = pa.schema(
    [
        ("flight", pa.string()),
        ("carrier", pa.string()),
        ("landed_at", TS),
        ("delay", pa.int64()),
        ("taxi", pa.float64()),
        ("known_at", TS),
    ]
)
WEATHER = pa.schema([("origin", pa.string()), ("seen_at", TS), ("temp", pa.float64()), ("known_at", TS)])
SCHEDULE = pa.schema(
    [
        ("flight", pa.string()),
        ("carrier", pa.string()),
        ("origin", pa.string()),
        ("distance", pa.int64()),
        ("features_at", TS),
        ("late", pa.int64()),
    ]
)


def arrival(
    flight: str, carrier: str, landed: float, delay: int | None, known: float | None = None
) -> dict[str, Any]:
    at = hour(landed if known is None else known)
    taxi = None if delay is None else delay / 3
    return {
        "flight": flight,
        "carrier": carrier,
        "landed_at": hour(landed),
        "delay": delay,
        "taxi": taxi,
        "known_at": at,
    }


def departure(flight: str, carrier: str, at: float, late: int, origin: str = "JFK") -> dict[str, Any]:
    return {
        "flight": flight,
        "carrier": carrier,
        "origin": origin,
        "distance": 900,
        "features_at": hour(at),
        "late": late,
    }


@dataclass
class World:
    """Real rooms in memory or in a folder, and a small journey through them."""

    store: MetadataStore
    lake: Lake
    features: Features
    models: Models
    scoring: Scoring
    blobs: BlobStore
    recorder: Recorder
    views: list[AnyView] = field(default_factory=list)

    @property
    def tracer(self) -> Tracer:
        return Tracer(self.store, self.lake, self.features, self.scoring, self.models, None, self.blobs)

    def append(
        self, table: str, rows: Sequence[dict[str, Any]], schema: pa.Schema, *, upto: float | None = None
    ) -> int:
        watermark = None if upto is None else hour(upto)
        return (
            self.lake.table(table)
            .append(pa.Table.from_pylist(list(rows), schema=schema), watermark=watermark)
            .version
        )


def play(world: World) -> None:
    """Arrivals, weather and a schedule; a model trained on the first day and predictions of the second."""
    world.lake.create("arrivals", ARRIVALS, key=["flight"], event_time="landed_at", known_at="known_at")
    world.lake.create(
        "weather", WEATHER, key=["origin", "seen_at"], event_time="seen_at", known_at="known_at"
    )
    world.lake.create("schedule", SCHEDULE, key=["flight"])
    carrier, origin = w.Entity("carrier", ["carrier"]), w.Entity("origin", ["origin"])
    delays = w.FeatureView(
        "delays",
        entity=carrier,
        source="arrivals",
        timestamp="landed_at",
        features=[
            w.mean("delay", over="24h"),
            w.count(over="24h"),
            w.max("taxi", over="12h"),
            w.std("taxi", over="1d"),
        ],
    )
    weather = w.FeatureView(
        "weather", entity=origin, source="weather", timestamp="seen_at", ttl="3h", features=[w.last("temp")]
    )
    clock = w.calendar("features_at", tz="America/New_York", parts=["hour", "weekday"])
    world.views = [delays, weather, clock, w.given("distance")]
    world.features.apply(*world.views)
    _first_day(world)
    _train(world)
    _second_day(world)
    spine = world.lake.table("schedule").head()
    where = f"features_at >= TIMESTAMPTZ '{hour(24).isoformat()}'"
    world.scoring.score(
        "late@1", spine, views=world.views, at="features_at", into="late_scores", key="flight", where=where
    )


def _first_day(world: World) -> None:
    world.append(
        "schedule",
        [departure(f"A{i}", "B6" if i % 2 else "UA", i, int(i % 3 == 0)) for i in range(1, 24)],
        SCHEDULE,
    )
    landed = [arrival(f"A{i}", "B6" if i % 2 else "UA", i + 0.5, 10 * i - 7) for i in range(1, 20)]
    world.append("arrivals", landed, ARRIVALS, upto=23)
    seen = [
        {"origin": "JFK", "seen_at": hour(h), "temp": 60 + h / 7, "known_at": hour(h + 1)} for h in range(24)
    ]
    world.append("weather", seen, WEATHER, upto=25)


def _train(world: World) -> None:
    with world.recorder.execution("step", properties={"step": "training_set"}):
        rows = world.features.point_in_time(
            world.lake.table("schedule").head(), world.views, at="features_at"
        )
        world.lake.table("train.late").append(rows)
    with world.recorder.execution("step", properties={"step": "train"}, params={"seed": 1}):
        rows = world.lake.table("train.late").arrow()
        names = feature_columns(world.views)
        x = [
            [math.nan if v is None else float(v) for v in row.values()]
            for row in rows.select(names).to_pylist()
        ]
        model = DecisionTreeClassifier(max_depth=2, random_state=1).fit(x, rows.column("late").to_pylist())
        world.models.register("late", model)
        world.models.set_alias("late", "champion", 1)


def _second_day(world: World) -> None:
    world.append("schedule", [departure("Z1", "B6", 26, 0), departure("Z2", "UA", 29, 1)], SCHEDULE)
    late = [arrival("A21", "B6", 21.5, 100, known=22), arrival("A3", "B6", 3.5, 500, known=25)]
    world.append("arrivals", [*late, arrival("A30", "UA", 28, None)], ARRIVALS, upto=30)
    world.append(
        "weather",
        [{"origin": "JFK", "seen_at": hour(24), "temp": 70.25, "known_at": hour(25)}],
        WEATHER,
        upto=30,
    )
