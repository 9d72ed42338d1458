"""Parts of a moment on the clocks of a place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import TS
from whence.errors import NotFoundError, UsageError
from whence.features.types import Calendar, Part

Ints = npt.NDArray[np.int64]

_SECOND_US: Final = 1_000_000
_HOUR_S: Final = 3_600
_MINUTE_US: Final = 60 * _SECOND_US
_HOUR_US: Final = 60 * _MINUTE_US
_DAY_US: Final = 24 * _HOUR_US
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def calendar_columns(spine: pa.Table, calendar: Calendar) -> list[pa.Array]:
    """The parts `calendar` asks for, one int64 column each; null where the moment is.

    The zone's rules are Python's (`zoneinfo`), the same for every engine.

    Raises:
        NotFoundError: The spine has no such column.
        UsageError: The column is not an instant (``bad-timestamp``).
    """
    if calendar.column not in spine.column_names:
        raise NotFoundError("column", calendar.column, near=spine.column_names)
    column = spine.column(calendar.column)
    if column.type != TS:
        raise UsageError(
            f"calendar reads {calendar.column!r}, which is {column.type}, not an instant",
            code="bad-timestamp",
        )
    null = np.asarray(column.is_null())
    instants = np.asarray(pc.fill_null(column.cast(pa.int64()), 0).to_numpy())
    clock = local_clock(instants, calendar.tz).view("datetime64[us]")
    return [pa.array(_part(clock, part), pa.int64(), mask=null) for part in calendar.parts]


def local_clock(instants: Ints, tz: str) -> Ints:
    """What the clocks of a place show, as microseconds of a clock without zone.

    Example:
        >>> at = datetime(2013, 3, 10, 7, 0, tzinfo=UTC)      # one minute after 01:59 it was 03:00
        >>> shown = local_clock(np.array([int(at.timestamp()) * 1_000_000]), "America/New_York")
        >>> str(shown.view("datetime64[us]")[0])
        '2013-03-10T03:00:00.000000'
    """
    zone = ZoneInfo(tz)
    seconds = np.floor_divide(instants, _SECOND_US)
    hours, which = np.unique(np.floor_divide(seconds, _HOUR_S), return_inverse=True)
    begin = np.array([_offset_us(int(h) * _HOUR_S, zone) for h in hours], dtype=np.int64)
    end = np.array([_offset_us(int(h + 1) * _HOUR_S - 1, zone) for h in hours], dtype=np.int64)
    offsets = begin[which]
    # clocks are moved on the hour almost everywhere; where not, each second of that hour is looked up
    for i in np.flatnonzero((begin != end)[which]):
        offsets[i] = _offset_us(int(seconds[i]), zone)
    return instants + offsets


@lru_cache(maxsize=65_536)
def _offset_us(second: int, zone: ZoneInfo) -> int:
    try:
        offset = (_EPOCH + timedelta(seconds=second)).astimezone(zone).utcoffset()
    except OverflowError as error:
        raise UsageError(
            f"second {second} since 1970 is in no calendar year", code="bad-timestamp"
        ) from error
    assert offset is not None
    return (offset.days * 86_400 + offset.seconds) * _SECOND_US + offset.microseconds


def _part(clock: npt.NDArray[np.datetime64], part: Part) -> Ints:
    us = clock.view(np.int64)
    if part in ("hour", "minute"):
        unit, n = (_HOUR_US, 24) if part == "hour" else (_MINUTE_US, 60)
        return np.asarray(np.mod(np.floor_divide(us, unit), n))
    if part == "weekday":
        return np.asarray(np.mod(np.floor_divide(us, _DAY_US) + 3, 7))  # 1970-01-01 was a Thursday
    day = clock.astype("datetime64[D]")
    month, year = day.astype("datetime64[M]"), day.astype("datetime64[Y]")
    if part == "day":
        return _count(day - month.astype("datetime64[D]")) + 1
    if part == "day_of_year":
        return _count(day - year.astype("datetime64[D]")) + 1
    of_year = _count(month - year.astype("datetime64[M]"))
    if part == "month":
        return of_year + 1
    return np.floor_divide(of_year, 3) + 1 if part == "quarter" else _count(year) + 1970


def _count(units: npt.NDArray[Any]) -> Ints:
    """How many of its own units a date or a length of time is."""
    return units.astype(np.int64)
