"""All rows together: how many there are, against bounds and against before, and how new the newest is."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

from whence.validation.checks.base import Found, anomaly, counted
from whence.validation.plain import duration_text
from whence.validation.schema import Schema
from whence.validation.statistics import Statistics
from whence.validation.types import AnomalyType, FractionBounds


def check_rows(
    schema: Schema, statistics: Statistics, previous: Statistics | None, version: Statistics | None
) -> Found:
    """The anomalies of the number of rows."""
    n, c = statistics.n_rows, schema.constraints
    if c.min_examples_count is not None and n < c.min_examples_count:
        text = f"{counted(n, 'rows')}, the schema asks for at least {c.min_examples_count:,}"
        proposed = {"constraints": {"min_examples_count": n}}
        rule = "min_examples_count"
        yield anomaly("", "DATASET_LOW_NUM_EXAMPLES", rule, n, c.min_examples_count, text, proposed=proposed)
    if c.max_examples_count is not None and n > c.max_examples_count:
        text = f"{counted(n, 'rows')}, the schema allows at most {c.max_examples_count:,}"
        proposed = {"constraints": {"max_examples_count": n}}
        rule = "max_examples_count"
        yield anomaly("", "DATASET_HIGH_NUM_EXAMPLES", rule, n, c.max_examples_count, text, proposed=proposed)
    yield from _against("num_examples_drift", c.num_examples_drift, n, previous)
    yield from _against("num_examples_version", c.num_examples_version, n, version)


def _against(name: str, bounds: FractionBounds | None, n: int, control: Statistics | None) -> Found:
    if bounds is None or control is None or not (n or control.n_rows):
        return
    ratio = n / control.n_rows if control.n_rows else math.inf
    sides: tuple[tuple[str, float | None, bool, AnomalyType], ...] = (
        ("min_fraction_threshold", bounds.min_fraction_threshold, True, "COMPARATOR_LOW_NUM_EXAMPLES"),
        ("max_fraction_threshold", bounds.max_fraction_threshold, False, "COMPARATOR_HIGH_NUM_EXAMPLES"),
    )
    for key, limit, is_low, type_ in sides:
        if limit is not None and (ratio < limit if is_low else ratio > limit):
            word = "at least" if is_low else "at most"
            if control.n_rows:
                text = f"{counted(n, 'rows are')} {ratio:.6g} of the {control.n_rows:,} of {control.name}, the schema allows {word} {limit:g}"
            else:
                text = f"{counted(n, 'rows')} against none of {control.name}, the schema allows {word} {limit:g} times as many"
            proposed = {"constraints": {name: {key: ratio if control.n_rows else None}}}
            yield anomaly("", type_, f"{name}.{key}", ratio, limit, text, proposed=proposed)


def check_freshness(schema: Schema, statistics: Statistics, now: datetime) -> Found:
    """The newest value of each column of times that must be fresh, against the clock."""
    for wanted in schema.constraints.freshness:
        newest = newest_of(statistics, wanted.column)
        if newest is None:
            continue
        age = now - newest
        if age > wanted.max_age:
            told = duration_text(timedelta(seconds=round(age.total_seconds())))
            limit = duration_text(wanted.max_age)
            text = f"{wanted.column}: the newest value {newest.isoformat()} is {told} old, the schema allows {limit}"
            yield anomaly(
                wanted.column,
                "EXPECTATION_STALE",
                "freshness",
                newest,
                limit,
                text,
                severity=wanted.severity,
            )


def freshness_notes(schema: Schema, statistics: Statistics) -> list[str]:
    """Which freshness cannot be judged, and why."""
    out = []
    for wanted in schema.constraints.freshness:
        seen = statistics.features.get(wanted.column)
        if seen is None:
            out.append(f"freshness does not apply: column {wanted.column} is absent")
        elif not seen.is_time:
            out.append(f"freshness does not apply: column {wanted.column} is {seen.type} and no time")
        elif not seen.num_non_missing:
            out.append(f"freshness does not apply: column {wanted.column} has no values")
    return out


def newest_of(statistics: Statistics, column: str) -> datetime | None:
    """The newest instant of a column; None when it has none. A date is its last moment."""
    seen = statistics.features.get(column)
    newest: Any = seen.max if seen is not None and seen.is_time else None
    if isinstance(newest, datetime):
        return newest if newest.tzinfo is not None else newest.replace(tzinfo=UTC)
    if isinstance(newest, date):
        return datetime(newest.year, newest.month, newest.day, tzinfo=UTC) + timedelta(days=1)
    return None
