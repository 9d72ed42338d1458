"""One clock is handed to every room: wall time, or the time of a replay.

Ttl, triggers, windows and maturity use the clock; ids, durations and log times use wall time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from whence.errors import UsageError


class Clock(Protocol):
    """What time it is, for everything that has a meaning in the data."""

    def now(self) -> datetime:
        """The current moment: aware, UTC, microseconds."""
        ...


class WallClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class ReplayClock:
    """A clock that stands still until it is moved, and never goes back.

    Example:
        >>> from datetime import datetime, UTC
        >>> clock = ReplayClock(datetime(2013, 4, 1, tzinfo=UTC))
        >>> clock.advance_to(datetime(2013, 4, 2, tzinfo=UTC))
        >>> clock.now().isoformat()
        '2013-04-02T00:00:00+00:00'
    """

    def __init__(self, start: datetime) -> None:
        self._now = utc(start)

    def now(self) -> datetime:
        return self._now

    def advance_to(self, moment: datetime) -> None:
        """Move to `moment`; an earlier moment is refused."""
        moment = utc(moment)
        if moment < self._now:
            raise UsageError(
                f"the replay clock stands at {self._now.isoformat()} and cannot go back to {moment.isoformat()}",
                code="clock-back",
            )
        self._now = moment


def utc(moment: datetime) -> datetime:
    """The same instant in UTC; a time without a zone is refused.

    Example:
        >>> utc(datetime(2013, 1, 1, tzinfo=UTC)).isoformat()
        '2013-01-01T00:00:00+00:00'
    """
    if moment.tzinfo is None:
        raise UsageError(
            f"time {moment.isoformat()} has no zone",
            code="naive-time",
            hint="say which: UTC, as in 2026-05-03T12:00:00Z",
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise UsageError(
            f"time {moment.isoformat()} is beyond the years 1 to 9999 in UTC", code="bad-timestamp"
        ) from error
