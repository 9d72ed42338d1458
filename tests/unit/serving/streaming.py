"""A small stream: planned trips, arrivals that come late, a model; and what an undisturbed run gives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.ensemble import HistGradientBoostingClassifier

from whence._base.arrow import TS
from whence._base.clock import ReplayClock
from whence.features import AnyView, Entity, FeatureView, count, given, last, mean
from whence.lake import Table
from whence.serving import Deployment, StepResult
from whence.testing.pipelines import HandBuiltRooms

START = datetime(2013, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
DELAYS = FeatureView(
    "delays",
    entity=Entity("carrier", join_keys=["carrier"]),
    source="arrivals",
    timestamp="arr_at",
    features=[mean("delay", over="1d"), count(over="7d"), last("delay")],
)
VIEWS: list[AnyView] = [DELAYS, given("distance")]
FEATURES = ["delays__mean_delay_1d", "delays__count_7d", "delays__delay", "distance"]
SCHEDULE = pa.schema(
    [("trip", pa.int64()), ("carrier", pa.string()), ("at", TS), ("distance", pa.float64()), ("known_at", TS)]
)
ARRIVALS = pa.schema(
    [
        ("trip", pa.int64()),
        ("carrier", pa.string()),
        ("arr_at", TS),
        ("delay", pa.int64()),
        ("known_at", TS),
    ]
)


def trips(ids: Sequence[int], *, known: datetime = START, shift: timedelta = timedelta(0)) -> pa.Table:
    """Planned trips: number `n` leaves `n` hours after `START`."""
    return pa.table(
        {
            "trip": list(ids),
            "carrier": ["B6" if i % 2 else "AA" for i in ids],
            "at": [START + i * HOUR + shift for i in ids],
            "distance": [100.0 * (i % 7) for i in ids],
            "known_at": [known] * len(ids),
        },
        schema=SCHEDULE,
    )


def arrivals(ids: Sequence[int], *, late: timedelta = timedelta(0)) -> pa.Table:
    """Landed trips: `n` lands half an hour after it left, and is known then."""
    at = [START + i * HOUR + HOUR / 2 for i in ids]
    return pa.table(
        {
            "trip": list(ids),
            "carrier": ["B6" if i % 2 else "AA" for i in ids],
            "arr_at": at,
            "delay": [(i * 7) % 50 for i in ids],
            "known_at": [m + late for m in at],
        },
        schema=ARRIVALS,
    )


def furnish(rooms: HandBuiltRooms) -> None:
    """Tables, a model with an alias, a deployment."""
    rooms.lake.create("schedule", SCHEDULE, key=["trip"], known_at="known_at", description="what is planned")
    rooms.lake.create("arrivals", ARRIVALS, key=["trip"], event_time="arr_at", known_at="known_at")
    register(rooms, 1.0)
    rooms.models.set_alias("late", "champion", 1)
    deploy(rooms)


def register(rooms: HandBuiltRooms, rate: float) -> None:
    """Another version of the model; it takes missing values as they are."""
    rng = np.random.default_rng(0)
    x = rng.random((60, 4)) * [50, 20, 50, 600]
    x[::7, 0] = np.nan
    model = HistGradientBoostingClassifier(
        max_iter=5, learning_rate=rate, min_samples_leaf=3, early_stopping=False, random_state=0
    ).fit(x, x[:, 3] + x[:, 1] > 300)
    sample = pa.table(
        {
            "delays__mean_delay_1d": pa.array([1.0]),
            "delays__count_7d": pa.array([1], pa.int64()),
            "delays__delay": pa.array([1], pa.int64()),
            "distance": pa.array([1.0]),
        }
    )
    rooms.models.register("late", model, sample=sample)


def deploy(rooms: HandBuiltRooms, name: str = "late", into: str = "late_scores", **more: Any) -> Deployment:
    """The deployment of the story."""
    told: dict[str, Any] = {
        "model": "late@champion", "table": "schedule", "views": VIEWS, "at": "at", "key": "trip", **more,
    }  # fmt: skip
    return rooms.serving.deploy(name, into=into, **told)


def land(rooms: HandBuiltRooms, day: int) -> None:
    """One day: its schedule at its beginning, its arrivals at its end; each delivered once."""
    ids = range(24 * day, 24 * day + 24)
    end = START + (day + 1) * DAY - MICROSECOND
    schedule, landed = rooms.lake.table("schedule"), rooms.lake.table("arrivals")
    schedule.append(trips(ids, known=START + day * DAY), watermark=end, transaction=("plan", day))
    landed.append(arrivals(ids), watermark=end, transaction=("landed", day))


def predictions(table: Table) -> list[dict[str, object]]:
    """What a predictions table says, without when and by whom it was done."""
    rows = table.arrow().drop_columns(["scored_at", "execution", "sources"])
    return sorted(rows.to_pylist(), key=lambda row: row["trip"])


def check_features(rooms: HandBuiltRooms, table: str = "late_scores") -> None:
    """The features used are those of the point in time, computed afterwards; no key twice."""
    rows = rooms.lake.table(table).arrow().sort_by("trip")
    assert len(set(rows["trip"].to_pylist())) == rows.num_rows
    spine = rows.select(["trip", "features_at", "distance"]).append_column(
        "carrier", pa.array(["B6" if i % 2 else "AA" for i in rows["trip"].to_pylist()])
    )
    again = rooms.features.point_in_time(spine, VIEWS, at="features_at")
    for name in FEATURES:
        assert rows[name].to_pylist() == again[name].to_pylist(), name


def go(folder: str, days: str) -> None:
    """Live through some days, in another process."""
    rooms = HandBuiltRooms(Path(folder), clock=ReplayClock(START))
    for day in range(int(days)):
        land(rooms, day)
    follow(rooms)


def follow(rooms: HandBuiltRooms, **more: Any) -> list[StepResult]:
    """All steps there are."""
    with rooms.serving.follow("late", **more) as follower:
        return list(iter(follower.step, None))
