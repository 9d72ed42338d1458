"""Days and weeks by the clock of a place. A day is the number of days since 1970-01-01 there; weeks begin on Monday."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.stats.base import Array

EPOCH: Final = date(1970, 1, 1)
_THURSDAY: Final = 3  # 1970-01-01 was one


def local_days(moments: pa.ChunkedArray | pa.Array, tz: str) -> Array:
    """The day of each moment on the clocks of `tz`.

    Example:
        >>> at = pa.array([datetime(2013, 7, 1, 3, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
        >>> [as_date(int(d)).isoformat() for d in local_days(at, "America/New_York")]
        ['2013-06-30']
    """
    local = pc.local_timestamp(moments.cast(pa.timestamp("us", tz=tz)))
    days = pc.floor_temporal(local, unit="day").cast(pa.date32()).cast(pa.int32())
    return np.asarray(days.to_numpy(zero_copy_only=False), dtype=np.int64)


def day_of(moment: datetime, tz: str) -> int:
    """The day of one moment."""
    return (moment.astimezone(ZoneInfo(tz)).date() - EPOCH).days


def begin_of(day: int, tz: str) -> datetime:
    """The instant at which a day begins, in UTC."""
    return datetime.combine(as_date(day), time(), ZoneInfo(tz)).astimezone(UTC)


def as_date(day: int) -> date:
    """The date of a day."""
    return EPOCH + timedelta(days=day)


def monday(day: int) -> int:
    """The Monday of a day's week.

    Example:
        >>> monday(0), as_date(monday(0)).isoformat()
        (-3, '1969-12-29')
    """
    return day - (day + _THURSDAY) % 7


def weekday(day: int) -> int:
    """0 is Monday."""
    return (day + _THURSDAY) % 7


def length(window: str) -> int:
    """How many days a window has."""
    return 7 if window == "week" else 1


def complete_days(moment: datetime, tz: str) -> int:
    """The first day that is not over by `moment`."""
    return day_of(moment, tz)
