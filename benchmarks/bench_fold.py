"""The fold beside the point-in-time join over the same daily batches, in one run: rows a second.

    python benchmarks/bench_fold.py [--quick]

Generated arrivals (900 a day, of 16 carriers, 3 airports, 100 destinations and 3,500 aircraft) come in day by day,
each day's 1,000 departures are asked at their hour. Ten views: windows from two hours to thirty days over five
keys, an aircraft's last flight, the newest weather, a register without time. The floor is `join_features` over all
rows of the last thirty days at hand, in memory and without recording: what a scorer without a fold would do. Both
give the same values, which is asserted. A batch of an hour is measured too: there the join's fixed cost shows.
Only the ratios mean something; CPU time is given because machines are busy.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from whence._base.arrow import TS
from whence.compute import Engine, open_engine
from whence.features import (
    Aggregation,
    Entity,
    FeatureView,
    Fold,
    Source,
    count,
    join_features,
    last,
    mean,
    std,
)

START_US = int(datetime(2013, 4, 1, tzinfo=UTC).timestamp()) * 1_000_000
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
LAND, DEPART = 900, 1000
KEYS = {"origin": 3, "carrier": 16, "dest": 100, "tailnum": 3500, "flight": 2000}


def over_arrivals(name: str, keys: list[str], *features: Aggregation, ttl: str | None = None) -> FeatureView:
    """A view of arrivals."""
    entity = Entity(name, keys)
    return FeatureView(name, entity=entity, source="arrivals", timestamp="at", ttl=ttl, features=features)


VIEWS = [
    over_arrivals("origins", ["origin"], mean("delay", over="2h"), mean("delay", over="6h"), count(over="2h")),
    over_arrivals("carriers", ["carrier"], mean("delay", over="4h"), mean("delay", over="14d")),
    over_arrivals("desks", ["carrier", "origin"], mean("delay", over="4h"), mean("delay", over="12h")),
    over_arrivals("dests", ["dest"], mean("delay", over="3h"), mean("delay", over="12h"), count(over="3h")),
    over_arrivals("routes", ["origin", "dest"], mean("delay", over="30d"), std("delay", over="30d")),
    over_arrivals("numbers", ["carrier", "flight"], mean("delay", over="30d"), std("delay", over="30d")),
    over_arrivals("aircraft", ["tailnum"], mean("delay", over="1d"), count(over="30d")),
    over_arrivals("newest", ["tailnum"], last("delay"), ttl="1d"),
    FeatureView(
        "weather", entity=Entity("airport", ["origin"]), source="weather", timestamp="at", ttl="4h",
        features=[last("temp"), last("wind")],
    ),
    FeatureView("plane", entity=Entity("plane", ["tailnum"]), source="planes", features=[last("seats")]),
]  # fmt: skip


@dataclass
class World:
    """Sources that grow by a day at a time."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    landed: int = 0

    def keys(self, n: int) -> dict[str, pa.Array]:
        """Random keys of n rows."""
        return {k: pa.array([f"{k}{i}" for i in self.rng.integers(0, m, n)]) for k, m in KEYS.items()}

    def moments(self, day: int, n: int, raster: int) -> pa.Array:
        """Random moments of a day, ascending."""
        us = np.sort(self.rng.integers(0, DAY_US // raster, n)) * raster
        return pa.array(us + (START_US + day * DAY_US), pa.int64()).cast(TS)

    def arrivals(self, day: int) -> pa.Table:
        """Flights that landed on a day."""
        at = self.moments(day, LAND, 60_000_000)
        ids = pa.array(np.arange(self.landed, self.landed + LAND))
        self.landed += LAND
        delay = pa.array(self.rng.integers(-60, 400, LAND))
        return pa.table({"id": ids, **self.keys(LAND), "delay": delay, "at": at, "known_at": at})

    def weather(self, day: int) -> pa.Table:
        """Readings of a day, known an hour later."""
        us = np.repeat(np.arange(24) * HOUR_US, 3) + START_US + day * DAY_US
        return pa.table(
            {
                "origin": pa.array([f"origin{i}" for _ in range(24) for i in range(3)]),
                "temp": pa.array(self.rng.normal(50, 10, 72).round(1)),
                "wind": pa.array(self.rng.normal(9, 4, 72).round(3)),
                "at": pa.array(us).cast(TS),
                "known_at": pa.array(us + HOUR_US).cast(TS),
            }
        )

    def planes(self) -> pa.Table:
        """The register of aircraft."""
        n = KEYS["tailnum"]
        seats, known = pa.array(self.rng.integers(2, 400, n)), pa.array(np.full(n, START_US)).cast(TS)
        return pa.table({"tailnum": [f"tailnum{i}" for i in range(n)], "seats": seats, "known_at": known})

    def departures(self, day: int) -> pa.Table:
        """What is asked on a day."""
        return pa.table({**self.keys(DEPART), "q": self.moments(day, DEPART, HOUR_US)})


DECLARED = {"arrivals": ["id"], "weather": ["origin", "at"], "planes": ["tailnum"]}


def sources_of(rows: dict[str, pa.Table]) -> dict[str, Source]:
    """The rows as sources."""
    return {name: Source.of(name, rows[name], key=DECLARED[name], known_at="known_at") for name in rows}


def by_hours(spine: pa.Table) -> Iterator[pa.Table]:
    """The rows of each moment."""
    moments = np.asarray(spine["q"].cast(pa.int64()).to_numpy())
    for moment in np.unique(moments):
        lo, hi = np.searchsorted(moments, [moment, moment + 1])
        yield spine.slice(lo, hi - lo)


def measure(engine: Engine, days: int) -> dict[str, tuple[int, float]]:
    """Rows asked and CPU seconds: of the fold and the join by day, of the fold by hour."""
    world = World()
    rows = {"arrivals": world.arrivals(0), "weather": world.weather(0), "planes": world.planes()}
    folds = [Fold(VIEWS, sources_of(rows)) for _ in range(2)]
    spent = {"fold, a day a batch": 0.0, "fold, an hour a batch": 0.0, "join_features, a day a batch": 0.0}
    asked = 0
    for day in range(30 + days):
        new = rows if day == 0 else {"arrivals": world.arrivals(day), "weather": world.weather(day)}
        if day:
            rows = {
                name: pa.concat_tables([old, new[name]]) if name in new else old for name, old in rows.items()
            }
        spine, measured = world.departures(day), day >= 30
        began = time.process_time()
        for name, table in new.items():
            folds[0].add(name, table)
        got = folds[0].features(spine, at="q")
        spent["fold, a day a batch"] += measured * (time.process_time() - began)
        began = time.process_time()
        for name, table in new.items():
            folds[1].add(name, table)
        parts = [folds[1].features(part, at="q") for part in by_hours(spine)]
        spent["fold, an hour a batch"] += measured * (time.process_time() - began)
        if measured:
            asked += spine.num_rows
            began = time.process_time()
            want = join_features(spine, VIEWS, sources_of(rows), engine, at="q").table
            spent["join_features, a day a batch"] += time.process_time() - began
            assert got.equals(want.select(got.column_names)), "the fold differs from the join"
            assert pa.concat_tables(parts).equals(got), "hours differ from the day"
    return {name: (asked, seconds) for name, seconds in spent.items()}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer days")
    days = 3 if parser.parse_args().quick else 30
    engine = open_engine(threads=2)
    found = measure(engine, days)
    engine.close()
    _, floor = found["join_features, a day a batch"]
    for name, (n, seconds) in found.items():
        print(
            f"{name:<32} {n / seconds:12,.0f} rows/s   {1000 * seconds / days:7.1f} ms a day   {floor / seconds:6.1f} x the join (cpu)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
