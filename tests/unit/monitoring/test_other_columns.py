"""A champion that takes fewer columns than the one before is watched by those it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression

from tests.unit.monitoring.world import FEATURES, HISTORY_DAYS, World, founded

LIVE = HISTORY_DAYS
FEWER = ("delays__mean_arr_delay_6h",)


def learn(world: World) -> None:
    """A second version, of one column."""
    train = pa.concat_tables([world.flights(day)[0] for day in range(HISTORY_DAYS)])
    world.rooms.lake.table("train.fewer").append(train.select(["features_at", *FEWER]))
    with world.rooms.recorder.execution("step"):
        data = world.rooms.lake.table("train.fewer").head().arrow(list(FEWER))
        model = LogisticRegression()
        model.fit(np.arange(50.0).reshape(-1, 1), np.arange(50) % 2)
        model.coef_, model.intercept_ = np.array([[0.05]]), np.array([-1.6])
        version = world.rooms.models.register("late", model, sample=data.slice(0, 1))
    world.rooms.models.set_alias("late", "champion", version.version)


def of(rows: pa.Table, **columns: Any) -> pa.Table:
    for name, column in columns.items():
        rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), column)
    return rows


def test_what_a_champion_does_not_take_is_not_missing() -> None:
    world = founded()
    world.live(range(LIVE, LIVE + 8))
    learn(world)
    for day in range(LIVE + 8, LIVE + 16):
        world.land(day)
        rows = world.flights(day)[0]
        n = rows.num_rows
        world.watched(
            day,
            of(
                rows,
                weather_now__temp=pa.nulls(n, pa.float64()),
                distance=pa.nulls(n, pa.int64()),
                model=pa.array(["late@2"] * n),
            ),
        )
    assert [(a.metric, a.feature) for a in world.monitoring.alerts("late") if a.feature in FEATURES] == []
    found = world.monitoring.measures("late", window="day").to_pylist()
    last = [row for row in found if row["start"] == max(r["start"] for r in found)]
    assert "delays__mean_arr_delay_6h" in {row["feature"] for row in last}
