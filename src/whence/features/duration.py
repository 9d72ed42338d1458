"""Lengths of time as text: ``7d``, ``6h``, ``15min``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from whence.errors import UsageError

_TEXT: Final = re.compile(r"\s*(\d+)\s*(w|d|h|min|m|s|ms|us)\s*")
_UNITS_US: Final = {
    "w": 7 * 86_400_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "min": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
_LABELS: Final = ("d", "h", "min", "s", "ms", "us")


def parse_duration(value: str | timedelta) -> timedelta:
    """A length of time from its text; a `timedelta` is handed through.

    Raises:
        UsageError: The text is not a number with one of the units w, d, h, min (or m), s, ms, us, or the
            length is negative (``bad-duration``).

    Example:
        >>> parse_duration("90min")
        datetime.timedelta(seconds=5400)
    """
    if isinstance(value, timedelta):
        if value < timedelta(0):
            raise UsageError(f"a length of time cannot be negative, got {value}", code="bad-duration")
        return value
    match = _TEXT.fullmatch(str(value))
    if match is None:
        raise UsageError(
            f"{value!r} is not a length of time",
            code="bad-duration",
            hint='write "7d", "6h", "15min" or "30s"',
        )
    return timedelta(microseconds=int(match[1]) * _UNITS_US[match[2]])


def microseconds(length: timedelta) -> int:
    """A length in whole microseconds, exactly.

    Example:
        >>> microseconds(timedelta(seconds=1, microseconds=2))
        1000002
    """
    return (length.days * 86_400 + length.seconds) * 1_000_000 + length.microseconds


def duration_label(length: timedelta) -> str:
    """The shortest text of a length, in the largest unit that divides it.

    Example:
        >>> duration_label(timedelta(hours=24)), duration_label(timedelta(minutes=90))
        ('1d', '90min')
    """
    us = microseconds(length)
    unit = next(u for u in _LABELS if us % _UNITS_US[u] == 0)
    return f"{us // _UNITS_US[unit]}{unit}"
