"""The raw files become feeds with the counts and times the data really have."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from whence.journeys.flights import feeds, models


@pytest.fixture(scope="module")
def loaded() -> dict[str, feeds.Feed]:
    return feeds.load_feeds()


def test_counts(loaded: dict[str, feeds.Feed]) -> None:
    assert {name: feed.rows.num_rows for name, feed in loaded.items()} == {
        "schedule": 336_776,
        "arrivals": 327_346,
        "weather": 26_115,
    }
    registers = feeds.load_registers()
    assert registers["planes"].num_rows == 3_322
    assert registers["airports"].num_rows == 1_458


def test_scored_flights_and_labels(loaded: dict[str, feeds.Feed]) -> None:
    schedule = loaded["schedule"].rows
    later = schedule.filter(pc.greater_equal(schedule["date"], pa.scalar(date(2013, 4, 1))))
    assert later.num_rows == 255_987
    landed = pc.is_in(later["flight_id"], value_set=loaded["arrivals"].rows["flight_id"].combine_chunks())
    assert pc.sum(landed).as_py() == 249_435


def test_flight_id_is_a_key(loaded: dict[str, feeds.Feed]) -> None:
    ids = loaded["schedule"].rows["flight_id"]
    assert pc.count_distinct(ids).as_py() == len(ids)
    assert pc.is_in(pa.array(["B6-35-JFK-2013-03-10"]), value_set=ids.combine_chunks()).to_pylist() == [True]


def test_landing_leaves_time_to_taxi(loaded: dict[str, feeds.Feed]) -> None:
    rows = loaded["arrivals"].rows
    minutes = (feeds._micros(rows["arr_at"]) - feeds._micros(rows["dep_at"])) // 60_000_000
    taxi = minutes - rows["air_time"].to_numpy()
    assert (taxi.min(), taxi.max()) == (5, 235)


def test_plan_columns_only(loaded: dict[str, feeds.Feed]) -> None:
    told_by_the_future = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    assert not told_by_the_future & set(loaded["schedule"].rows.column_names)


@pytest.mark.parametrize("name", ["schedule", "arrivals", "weather"])
def test_every_day_commits_and_every_row_is_known_by_its_watermark(
    loaded: dict[str, feeds.Feed], name: str
) -> None:
    feed = loaded[name]
    days = list(feed.days(feeds.FIRST_DAY, date(2014, 1, 1)))
    assert sum(d.rows.num_rows for d in days) == feed.rows.num_rows
    assert days[-1].day == (date(2014, 1, 1) if name == "arrivals" else feeds.LAST_DAY)
    assert len(days) == (366 if name == "arrivals" else 365)
    before = feeds.midnight(feeds.FIRST_DAY) - timedelta(microseconds=1)
    for d in days:
        if d.rows.num_rows:
            known = pc.min_max(d.rows["known_at"]).as_py()
            assert before < known["min"]
            assert known["max"] <= d.watermark
        before = d.watermark


def test_a_day_without_weather_is_an_empty_commit(loaded: dict[str, feeds.Feed]) -> None:
    (last,) = loaded["weather"].days(date(2013, 12, 31), date(2013, 12, 31))
    assert last.rows.num_rows == 0
    assert last.watermark == datetime(2014, 1, 1, 4, 59, 59, 999999, tzinfo=UTC)


def test_weather_is_known_an_hour_after_its_hour(loaded: dict[str, feeds.Feed]) -> None:
    rows = loaded["weather"].rows
    lag = feeds._micros(rows["known_at"]) - feeds._micros(rows["observed_at"])
    assert set(lag.tolist()) == {3_600_000_000}


def test_features_at_is_the_full_hour_at_or_before_departure(loaded: dict[str, feeds.Feed]) -> None:
    rows = loaded["schedule"].rows
    ahead = feeds._micros(rows["sched_dep_at"]) - feeds._micros(rows["features_at"])
    assert 0 <= ahead.min() <= ahead.max() < 3_600_000_000
    assert (feeds._micros(rows["features_at"]) % 3_600_000_000 == 0).all()


@pytest.mark.parametrize(
    ("instant", "zone", "clock"),
    [
        (datetime(2013, 3, 10, 6, 59, tzinfo=UTC), "America/New_York", "2013-03-10T01:59:00"),
        (datetime(2013, 3, 10, 7, 0, tzinfo=UTC), "America/New_York", "2013-03-10T03:00:00"),
        (datetime(2013, 11, 3, 5, 30, tzinfo=UTC), "America/New_York", "2013-11-03T01:30:00"),
        (datetime(2013, 11, 3, 6, 30, tzinfo=UTC), "America/New_York", "2013-11-03T01:30:00"),
        (datetime(2013, 7, 1, 12, 0, tzinfo=UTC), "America/Puerto_Rico", "2013-07-01T08:00:00"),
    ],
)
def test_local_clock_over_the_change_of_hour(instant: datetime, zone: str, clock: str) -> None:
    micros = np.array([int(instant.timestamp()) * 1_000_000])
    local = feeds.local_micros(micros, zone)
    assert np.datetime64(int(local[0]), "us") == np.datetime64(clock)


def test_rate_table_draws_rare_cells_towards_the_whole() -> None:
    x = np.array([[0.0, 6.0]] * 100 + [[1.0, 18.0]])
    y = np.array([0] * 90 + [10 > 0] * 10 + [1])
    table = models.RateTable(prior=20.0).fit(x, y)
    overall = 11 / 101
    expected = [(10 + 20 * overall) / 120, (1 + 20 * overall) / 21, overall]
    got = table.predict_proba(np.array([[0.0, 6.0], [1.0, 18.0], [np.nan, 3.0]]))[:, 1]
    assert got.tolist() == pytest.approx(expected, abs=1e-15)
    assert table.predict(np.array([[0.0, 6.0]])).tolist() == [0]
