"""The words features are declared with: ``mean("arr_delay", over="7d")``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from whence.errors import UsageError
from whence.features.duration import parse_duration
from whence.features.types import PARTS, Aggregation, Calendar, Category, Given, Op, Part, check_name

Length = str | timedelta


def _windowed(
    op: Op, column: str | None, over: Length, where: str | None, scale: int | None = None
) -> Aggregation:
    return Aggregation(op, column, parse_duration(over), where, scale)


def count(column: str | None = None, *, over: Length, where: str | None = None) -> Aggregation:
    """How many rows fall into the window; with a column, how many have a value there. Never null.

    Example:
        >>> count(over="24h").name, count("arr_delay", over="90min").name
        ('count_1d', 'count_arr_delay_90min')
    """
    return _windowed("count", column, over, where)


def sum(  # noqa: A001 - the word of the field; used as w.sum
    column: str, *, over: Length, where: str | None = None, scale: int | None = None
) -> Aggregation:
    """The sum of the column over the window, nulls skipped; null when there is no value.

    Integers, booleans (as 0 and 1) and decimals are exact, floats with a `scale` too: each value is
    rounded (half away from zero) to so many decimals first. Other floats are added exactly where their
    range allows it and rounded once, else to 1e-12 relative.

    Example:
        >>> sum("wind_speed", over="6h", scale=2).name
        'sum_wind_speed_6h'
    """
    return _windowed("sum", column, over, where, scale)


def mean(column: str, *, over: Length, where: str | None = None, scale: int | None = None) -> Aggregation:
    """The mean over the window: the sum divided by the number of values, in double; null without values."""
    return _windowed("mean", column, over, where, scale)


def std(column: str, *, over: Length, where: str | None = None, scale: int | None = None) -> Aggregation:
    """The sample standard deviation over the window: sqrt((n Σv² - (Σv)²) / (n (n-1))); null for n < 2.

    Numerator and denominator are exact integers for integers, booleans, decimals and floats with a
    `scale`; each is rounded to double once.
    """
    return _windowed("std", column, over, where, scale)


def min(column: str, *, over: Length, where: str | None = None) -> Aggregation:  # noqa: A001 - as above
    """The least value in the window, nulls skipped; NaN is greater than every number."""
    return _windowed("min", column, over, where)


def max(column: str, *, over: Length, where: str | None = None) -> Aggregation:  # noqa: A001 - as above
    """The greatest value in the window, nulls skipped; NaN is greater than every number."""
    return _windowed("max", column, over, where)


def first(column: str, *, over: Length, where: str | None = None) -> Aggregation:
    """The oldest value in the window, nulls skipped: by event time, then knowledge time, then content."""
    return _windowed("first", column, over, where)


def last(column: str, *, over: Length | None = None, where: str | None = None) -> Aggregation:
    """The newest value: as of the moment, or the newest in a window.

    Without `over` the newest row is looked up and its value taken, null or not, subject to the view's ttl;
    a row at the moment itself counts. With `over` nulls are skipped and a row at the moment is outside.

    Example:
        >>> last("temp").name, last("temp", over="6h").name
        ('temp', 'last_temp_6h')
    """
    return Aggregation("last", column, None if over is None else parse_duration(over), where)


def calendar(
    column: str,
    *,
    tz: str,
    parts: Sequence[Part] = ("hour", "weekday", "day_of_year"),
    name: str = "calendar",
) -> Calendar:
    """Parts of a moment on the clocks of a place, computed from the spine alone.

    Args:
        column: The spine's column of the moment.
        tz: The place, by its name in the time zone database: ``America/New_York``.
        parts: Which: hour, minute, weekday (Monday is 0), day, day_of_year (1 January is 1), month, quarter,
            year.
        name: What stands before ``__`` in the columns' names.

    Raises:
        UsageError: The zone or a part is unknown (``bad-calendar``).

    Example:
        >>> calendar("features_at", tz="America/New_York", parts=["hour", "month"]).outputs
        ('calendar__hour', 'calendar__month')
    """
    try:
        ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"time zone {tz!r} is unknown", code="bad-calendar", hint="Area/City or UTC"
        ) from error
    for part in parts:
        if part not in PARTS:
            raise UsageError(f"calendar has no part {part!r}", code="bad-calendar", hint=", ".join(PARTS))
    if not parts or len(set(parts)) != len(parts):
        raise UsageError("calendar needs parts, each once", code="bad-calendar")
    return Calendar(column, tz, tuple(parts), check_name(name, "calendar"))


def category(column: str, values: Sequence[str], *, name: str | None = None) -> Category:
    """A text column of the spine as a number: its place in `values`, -1 for any other text, null for null.

    The list is part of the definition, so a code means the same in training and in serving.

    Args:
        column: The spine's column.
        values: The known values, in the order of their codes.
        name: What stands before ``__code``; the column's name by default.

    Raises:
        UsageError: `values` is empty or holds a value twice (``bad-category``).

    Example:
        >>> category("origin", ["EWR", "JFK", "LGA"]).outputs
        ('origin__code',)
    """
    if not values or len(set(values)) != len(values):
        raise UsageError(f"category {column!r} needs values, each once", code="bad-category")
    return Category(column, tuple(values), check_name(name or column, "category"))


def given(*columns: str) -> Given:
    """Columns of the spine that are features as they stand; they keep their names.

    Example:
        >>> given("distance", "carrier").outputs
        ('distance', 'carrier')
    """
    if not columns or len(set(columns)) != len(columns):
        raise UsageError("given needs columns, each once", code="bad-view")
    return Given(columns)
