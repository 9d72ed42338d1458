"""Parts of a moment on the clocks of a place, over the days when clocks are moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import whence.features as w
from whence.compute import Engine
from whence.errors import NotFoundError, UsageError
from whence.features.calendars import calendar_columns, local_clock
from whence.features.types import PARTS

TS = pa.timestamp("us", tz="UTC")


def read(moments: list[datetime | None], tz: str) -> dict[str, list[int | None]]:
    spine = pa.table({"at": pa.array(moments, TS)})
    clock = w.calendar("at", tz=tz, parts=PARTS)  # type: ignore[arg-type]
    return dict(zip(PARTS, (c.to_pylist() for c in calendar_columns(spine, clock)), strict=True))


def test_the_hour_that_is_missing_and_the_hour_that_comes_twice() -> None:
    before = datetime(2013, 3, 10, 6, 59, 59, 999999, tzinfo=UTC)
    after = datetime(2013, 3, 10, 7, 0, tzinfo=UTC)
    twice = [datetime(2013, 11, 3, h, 30, tzinfo=UTC) for h in (5, 6, 7)]
    assert read([before, after, *twice], "America/New_York")["hour"] == [1, 3, 1, 1, 2]


def test_w10_a_day_has_23_or_25_hours() -> None:
    def hours_of(day: datetime) -> int:
        start = day.replace(tzinfo=UTC)
        moments: list[datetime | None] = [start + timedelta(hours=h) for h in range(-24, 48)]
        return sum(d == day.day for d in read(moments, "America/New_York")["day"])

    assert hours_of(datetime(2013, 3, 10)) == 23  # noqa: DTZ001
    assert hours_of(datetime(2013, 11, 3)) == 25  # noqa: DTZ001
    assert hours_of(datetime(2013, 7, 4)) == 24  # noqa: DTZ001


def test_every_part_of_one_moment() -> None:
    got = read([datetime(2012, 12, 31, 23, 45, tzinfo=UTC), None], "UTC")
    assert {name: values[0] for name, values in got.items()} == {
        "hour": 23, "minute": 45, "weekday": 0, "day": 31, "day_of_year": 366, "month": 12, "quarter": 4, "year": 2012,
    }  # fmt: skip
    assert all(values[1] is None for values in got.values())


@settings(max_examples=200)
@given(
    st.datetimes(datetime(1900, 1, 2), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(
        [
            "America/New_York",
            "Europe/Berlin",
            "Asia/Kathmandu",
            "Australia/Lord_Howe",
            "Africa/Monrovia",
            "UTC",
        ]
    ),
)
def test_the_clock_is_that_of_python(moment: datetime, tz: str) -> None:
    local = moment.astimezone(ZoneInfo(tz))
    got = read([moment], tz)
    parts = (local.hour, local.minute, local.weekday(), local.day, local.timetuple().tm_yday, local.month, (local.month + 2) // 3, local.year)  # fmt: skip
    assert (
        tuple(
            got[name][0]
            for name in ("hour", "minute", "weekday", "day", "day_of_year", "month", "quarter", "year")
        )
        == parts
    )


def test_a_zone_that_moves_its_clocks_off_the_hour() -> None:
    moments = [datetime(1972, 1, 7, 0, 44, s, tzinfo=UTC) for s in (29, 30)]  # Monrovia gave up -0:44:30 here
    shown = local_clock(np.array([int(m.timestamp()) * 1_000_000 for m in moments]), "Africa/Monrovia")
    wanted = [m.astimezone(ZoneInfo("Africa/Monrovia")).replace(tzinfo=None) for m in moments]
    assert shown.view("datetime64[us]").tolist() == wanted


def test_it_joins_without_any_source(engine: Engine) -> None:
    spine = pa.table({"q": pa.array([datetime(2013, 7, 1, 3, tzinfo=UTC)], TS)})
    clock = w.calendar("q", tz="America/New_York", parts=["hour", "month"])
    got = w.join_features(spine, [clock], {}, engine, at="q").table
    assert got.select(["calendar__hour", "calendar__month"]).to_pylist() == [
        {"calendar__hour": 23, "calendar__month": 6}
    ]
    with pytest.raises(NotFoundError, match="column 'at' not found"):
        w.join_features(spine, [w.calendar("at", tz="UTC")], {}, engine, at="q")
    with pytest.raises(UsageError, match="not an instant"):
        w.join_features(
            spine.append_column("n", pa.array([1])), [w.calendar("n", tz="UTC")], {}, engine, at="q"
        )


def test_a_category_is_a_place_in_a_list(engine: Engine) -> None:
    spine = pa.table(
        {"q": pa.array([datetime(2013, 7, 1, tzinfo=UTC)] * 4, TS), "o": ["JFK", "EWR", "BOS", None]}
    )
    got = w.join_features(spine, [w.category("o", ["EWR", "JFK"])], {}, engine, at="q").table
    assert got[got.column_names[-1]].to_pylist() == [1, 0, -1, None]
