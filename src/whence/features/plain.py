"""The meaning of a feature in plain Python: which rows count at a moment, and what they make.

Slow and short on purpose. It shares nothing with the compiler, so that each can prove the other wrong:
`recompute` and `leaks` stand on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

from whence.features.types import Aggregation, FeatureView, Known
from whence.features.where import where_holds

Row = Mapping[str, Any]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def micros(moment: datetime | date | None) -> int | None:
    """Microseconds since 1970 of an instant, or of the first instant of a date in UTC."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(), tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Declared:
    """What the source says of its rows: the columns that name one, and when it was known."""

    key: tuple[str, ...] = ()
    known_at: str | None = None


def rows_of(
    view: FeatureView,
    feature: Aggregation,
    rows: Sequence[Row],
    declared: Declared,
    keys: Mapping[str, Any],
    moment: datetime,
    *,
    known: Known = "then",
) -> list[int]:
    """The positions of the rows a feature is made of, oldest first; for a lookup at most one.

    Args:
        view: The view.
        feature: One of its features.
        rows: Rows of the source; of each declared key that matters, all of them.
        declared: What the source says of them.
        keys: The value of each join key.
        moment: The moment asked for.
        known: Whether rows count as they were known then, or as they are known now.
    """
    q = micros(moment)
    assert q is not None
    windowed = feature.over is not None
    times = [_times(view, row, declared, q) for row in rows]
    state = _current(rows, times, declared, q, strict=windowed, known=known)
    found = []
    for i in state:
        event, _ = times[i]
        if event is None or not _matches(view, rows[i], keys):
            continue
        if feature.where is not None and not where_holds(feature.where, rows[i]):
            continue
        if _in_time(view, feature, event, q):
            found.append(i)
    found.sort(key=lambda i: (times[i][0], _rank(rows, times, i)))
    return found if windowed else _young_enough(view, found[-1:], times, q)


def _young_enough(
    view: FeatureView, found: list[int], times: Sequence[tuple[int | None, int | None]], q: int
) -> list[int]:
    """The newest row, unless it is older than the ttl."""
    if not found or view.ttl is None or view.timestamp is None:
        return found
    event = times[found[0]][0]
    assert event is not None
    return found if q - event <= view.ttl // _MICROSECOND else []


def _times(view: FeatureView, row: Row, declared: Declared, q: int) -> tuple[int | None, int | None]:
    """Event and knowledge time of a row."""
    event = micros(row[view.timestamp]) if view.timestamp is not None else None
    known = micros(row[declared.known_at]) if declared.known_at is not None else event
    if view.timestamp is None:
        event = known if declared.known_at is not None else q
        known = event
    return event, known


def _current(
    rows: Sequence[Row],
    times: Sequence[tuple[int | None, int | None]],
    declared: Declared,
    q: int,
    *,
    strict: bool,
    known: Known,
) -> list[int]:
    """The rows that are known and not corrected: of each declared key the newest known one."""
    newest: dict[object, int] = {}
    for i, row in enumerate(rows):
        at = times[i][1]
        if known == "then" and (at is None or at > q or (strict and at == q)):
            continue
        name: object = tuple(row[k] for k in declared.key)
        if not declared.key or None in tuple(row[k] for k in declared.key):
            name = ("nobody", i)
        other = newest.get(name)
        if other is None or _rank(rows, times, i) > _rank(rows, times, other):
            newest[name] = i
    return list(newest.values())


def _rank(rows: Sequence[Row], times: Sequence[tuple[int | None, int | None]], i: int) -> Any:
    at = times[i][1]
    return (-math.inf if at is None else at, content(rows[i]))


def _matches(view: FeatureView, row: Row, keys: Mapping[str, Any]) -> bool:
    return all(row[k] is not None and row[k] == keys[k] for k in view.entity.join_keys)


def _in_time(view: FeatureView, feature: Aggregation, event: int, q: int) -> bool:
    if feature.over is None:
        return event <= q or view.timestamp is None
    start = q - feature.over // _MICROSECOND
    if view.hop is not None:
        hop = view.hop // _MICROSECOND
        start = start // hop * hop
    return start <= event < q


def content(row: Row) -> tuple[Any, ...]:
    """The last tie-break: the row's values by column name; null is least, NaN is greatest."""
    return tuple(_place(row[name]) for name in sorted(row))


def _place(value: Any) -> tuple[Any, ...]:
    if value is None:
        return (0,)
    if isinstance(value, float) and math.isnan(value):
        return (2,)
    if isinstance(value, list | tuple):
        return (1, [_place(v) for v in value])
    if isinstance(value, dict):
        return (1, [_place(v) for v in value.values()])
    return (1, value)


def fold(feature: Aggregation, values: Sequence[Any]) -> Any:
    """What a feature makes of the values of its rows, oldest first; nulls stand among them.

    For counting rows any value stands for a row. Integers, decimals and values with a scale are added as
    integers, doubles without one by `math.fsum`.
    """
    if feature.over is None:
        return values[-1] if values else None
    if feature.op == "count":
        return len(values) if feature.column is None else sum(v is not None for v in values)
    present = [v for v in values if v is not None]
    if not present:
        return None
    if feature.op in ("first", "last"):
        return present[0] if feature.op == "first" else present[-1]
    if feature.op in ("min", "max"):
        return (min if feature.op == "min" else max)(present, key=_place)
    return _number(feature, present)


def _number(feature: Aggregation, values: Sequence[Any]) -> Any:
    """Sum, mean or standard deviation of values of one kind."""
    if isinstance(values[0], float) and feature.scale is None:
        return _of_doubles(feature, values)
    unit, values_kind = 1, type(values[0])
    if isinstance(values[0], float):
        assert feature.scale is not None
        unit = 10**feature.scale
        values = [_rounded(v * float(unit)) for v in values]
    elif isinstance(values[0], Decimal):
        unit = 10 ** max(0, *(-int(v.as_tuple().exponent) for v in values))
        values = [int(v * unit) for v in values]
    n, total = len(values), sum(int(v) for v in values)
    if feature.op == "sum":
        return _sum(values_kind, total, unit)
    if feature.op == "mean":
        return float(total) / float(n * unit)
    if n < 2:
        return None
    squares = sum(int(v) ** 2 for v in values)
    return math.sqrt(float(n * squares - total**2) / float(n * (n - 1))) / float(unit)


def _sum(kind: type, total: int, unit: int) -> int | float | Decimal:
    if issubclass(kind, Decimal):
        return Decimal(total).scaleb(1 - len(str(unit)), Context(prec=76))
    return float(total) / float(unit) if issubclass(kind, float) else total


def _rounded(value: float) -> int:
    """The nearest integer, half away from zero."""
    return int(Decimal(value).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _of_doubles(feature: Aggregation, values: Sequence[float]) -> float | None:
    if not all(map(math.isfinite, values)):
        return _of_odd_doubles(feature, values)
    n, total = len(values), math.fsum(values)
    if feature.op == "sum":
        return total
    if feature.op == "mean":
        return total / n
    if n < 2:
        return None
    exact = [v.as_integer_ratio() for v in values]
    unit = max(d for _, d in exact)
    whole = [a * (unit // d) for a, d in exact]
    above = n * sum(v * v for v in whole) - sum(whole) ** 2
    return math.sqrt(above / (n * (n - 1) * unit * unit))


def _of_odd_doubles(feature: Aggregation, values: Sequence[float]) -> float | None:
    """With NaN or infinities among them: what IEEE 754 makes of it."""
    if feature.op == "std":
        return math.nan if len(values) > 1 else None
    odd = [v for v in values if not math.isfinite(v)]
    return odd[0] if all(v == odd[0] for v in odd) else math.nan
