"""The raw files as feeds: what becomes known on which day in New York.

* ``schedule``: plan columns only, known from midnight in New York of the flight's date.
* ``arrivals``: the outcome, known when the flight has landed.
* ``weather``: a reading, known one hour after its hour.
* ``planes``, ``airports``: registers, known before the year begins.

One commit per feed and New York date. A day without rows still commits, and moves the watermark.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence.journeys.flights.source import raw_airports, raw_flights, raw_planes, raw_weather

NEW_YORK = ZoneInfo("America/New_York")
TS = pa.timestamp("us", tz="UTC")
FIRST_DAY = date(2013, 1, 1)
LAST_DAY = date(2013, 12, 31)
FIRST_SCORED = date(2013, 4, 1)
BEFORE_THE_YEAR = datetime(2012, 12, 31, tzinfo=UTC)
# The airports file lacks four airports of Puerto Rico and the Virgin Islands; all keep this clock.
PUERTO_RICO = "America/Puerto_Rico"

_MINUTE_US = 60_000_000
_HOUR_US = 60 * _MINUTE_US
_DAY_US = 24 * _HOUR_US

Micros = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FeedDay:
    """What one feed learns on one day: rows, and the moment up to which it is then complete."""

    feed: str
    day: date
    rows: pa.Table
    watermark: datetime


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed: its whole year in the order of the New York day on which each row becomes known."""

    name: str
    rows: pa.Table
    day: npt.NDArray[np.int32]
    last_day: date

    @classmethod
    def of(cls, name: str, rows: pa.Table, day: npt.NDArray[np.int32], last_day: date) -> Feed:
        """A feed of rows in any order; rows of one day keep theirs."""
        order = np.argsort(day, kind="stable")
        return cls(name, rows.take(pa.array(order)).combine_chunks(), day[order], last_day)

    def days(self, first: date, last: date) -> Iterator[FeedDay]:
        """The days of the feed from `first` to `last`, both included, also the empty ones."""
        day = first
        while day <= min(last, self.last_day):
            lo, hi = np.searchsorted(self.day, [day.toordinal(), day.toordinal() + 1])
            rows = self.rows.slice(lo, hi - lo)
            yield FeedDay(self.name, day, rows, midnight(day + timedelta(days=1)) - timedelta(microseconds=1))
            day += timedelta(days=1)


def midnight(day: date) -> datetime:
    """The instant at which `day` begins in New York."""
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)


@lru_cache(maxsize=64)
def _offsets(zone: str) -> tuple[Micros, Micros]:
    """UTC offsets of `zone` for each hour around the year: (hour starts, offsets), in microseconds."""
    start = datetime(2012, 12, 30, tzinfo=UTC)
    hours = [start + timedelta(hours=h) for h in range(370 * 24)]
    tz = ZoneInfo(zone)
    shift = [int(h.astimezone(tz).utcoffset().total_seconds()) * 1_000_000 for h in hours]  # type: ignore[union-attr]
    return np.array([int(h.timestamp()) * 1_000_000 for h in hours]), np.array(shift)


def local_micros(instants: Micros, zone: str) -> Micros:
    """Clock time in `zone` at each instant, as microseconds of a naive clock."""
    hours, shift = _offsets(zone)
    return instants + shift[np.searchsorted(hours, instants, side="right") - 1]


def _micros(column: pa.ChunkedArray) -> Micros:
    return np.asarray(column.cast(pa.int64()).to_numpy())


def _instants(micros: Micros) -> pa.Array:
    return pa.array(micros, pa.int64()).cast(TS)


def _new_york_day(instants: Micros) -> npt.NDArray[np.int32]:
    days = local_micros(instants, "America/New_York") // _DAY_US
    return (days + date(1970, 1, 1).toordinal()).astype(np.int32)


def _zones(dest: pa.ChunkedArray) -> list[str]:
    airports = raw_airports()
    known = dict(zip(airports["faa"].to_pylist(), airports["tzone"].to_pylist(), strict=True))
    return [known.get(code) or PUERTO_RICO for code in dest.to_pylist()]


def _landing(departed: Micros, arr_time: npt.NDArray[np.int64], zones: list[str]) -> Micros:
    """Landing instants: departure plus the difference of the destination's clock, modulo a day."""
    landed = np.empty_like(departed)
    names = np.array(zones)
    arrival_clock = (arr_time // 100 * 60 + arr_time % 100) * _MINUTE_US
    for zone in np.unique(names):
        here = names == zone
        clock = local_micros(departed[here], str(zone)) % _DAY_US
        landed[here] = departed[here] + (arrival_clock[here] - clock) % _DAY_US
    return landed


def _ordinals(flights: pa.Table) -> tuple[npt.NDArray[np.int32], list[date], npt.NDArray[np.intp]]:
    """The ordinal of each flight's date, the distinct dates, and which of them each flight has."""
    year, month, day = (flights[c].to_numpy() for c in ("year", "month", "day"))
    codes, which = np.unique(year * 10_000 + month * 100 + day, return_inverse=True)
    dates = [date(int(c) // 10_000, int(c) // 100 % 100, int(c) % 100) for c in codes]
    return np.array([d.toordinal() for d in dates], dtype=np.int32)[which], dates, which


def _with_identity(flights: pa.Table) -> pa.Table:
    ordinals, dates, which = _ordinals(flights)
    text = pa.array([d.isoformat() for d in dates]).take(pa.array(which))
    number = flights["flight"].cast(pa.string())
    ids = pc.binary_join_element_wise(flights["carrier"], number, flights["origin"], text, "-")
    departs = _micros(flights["time_hour"]) + flights["minute"].to_numpy() * _MINUTE_US
    days = (ordinals - date(1970, 1, 1).toordinal()).astype(np.int32)
    return (
        flights.append_column("flight_id", ids)
        .append_column("date", pa.array(days, pa.int32()).cast(pa.date32()))
        .append_column("sched_dep_at", _instants(departs))
        .append_column("features_at", _instants(departs // _HOUR_US * _HOUR_US))
    )


def _schedule(flights: pa.Table) -> Feed:
    days, dates, which = _ordinals(flights)
    known = pa.array([midnight(d) for d in dates], TS).take(pa.array(which))
    columns = ["flight_id", "date", "carrier", "flight", "tailnum", "origin", "dest", "distance"]
    columns += ["sched_dep_at", "features_at"]
    return Feed.of("schedule", flights.select(columns).append_column("known_at", known), days, LAST_DAY)


def _arrivals(flights: pa.Table) -> Feed:
    landed = flights.filter(flights["arr_delay"].is_valid())
    departed = _micros(landed["sched_dep_at"]) + landed["dep_delay"].to_numpy() * _MINUTE_US
    arrived = _landing(departed, landed["arr_time"].to_numpy(), _zones(landed["dest"]))
    columns = ["flight_id", "carrier", "flight", "tailnum", "origin", "dest"]
    columns += ["dep_delay", "arr_delay", "air_time"]
    rows = landed.select(columns)
    for name, values in (("dep_at", departed), ("arr_at", arrived), ("known_at", arrived)):
        rows = rows.append_column(name, _instants(values))
    return Feed.of("arrivals", rows, _new_york_day(arrived), date(2014, 1, 1))


def _weather() -> Feed:
    raw = raw_weather()
    known = _micros(raw["time_hour"]) + _HOUR_US
    rows = raw.rename_columns(["observed_at" if c == "time_hour" else c for c in raw.column_names])
    return Feed.of(
        "weather", rows.append_column("known_at", _instants(known)), _new_york_day(known), LAST_DAY
    )


def load_feeds() -> dict[str, Feed]:
    """The three daily feeds of the year: ``schedule``, ``arrivals``, ``weather``."""
    flights = _with_identity(raw_flights())
    return {feed.name: feed for feed in (_schedule(flights), _arrivals(flights), _weather())}


def load_registers() -> dict[str, pa.Table]:
    """``planes`` and ``airports``, known before the year begins."""

    def known(rows: pa.Table) -> pa.Table:
        return rows.append_column("known_at", pa.array([BEFORE_THE_YEAR] * rows.num_rows, TS))

    return {"planes": known(raw_planes()), "airports": known(raw_airports())}
