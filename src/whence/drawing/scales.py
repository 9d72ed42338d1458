"""From values to places: round ticks, linear scales, positions of categories and times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from whence.drawing.types import X
from whence.errors import UsageError


def nice_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """About `n` round numbers (1, 2 or 5 times a power of ten) from at most `low` to at least `high`.

    Source:
        P. Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990.

    Example:
        >>> nice_ticks(0.13, 0.31)
        [0.1, 0.15, 0.2, 0.25, 0.3, 0.35]
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UsageError(f"an axis needs finite ends, got {low} and {high}", code="bad-chart")
    low, high = min(low, high), max(low, high)
    if high - low <= abs(high) * 1e-12:
        pad = abs(high) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / max(n - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(i * step, digits) + 0.0 for i in range(first, last + 1)]


def number_label(value: float) -> str:
    """A number on an axis, as short as it can be.

    Example:
        >>> number_label(0.25), number_label(336776.0), number_label(-0.0)
        ('0.25', '336,776', '0')
    """
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.6g}"


@dataclass(frozen=True, slots=True)
class Axis:
    """A horizontal axis: where each x stands in [0, 1], and the labels below it."""

    places: list[float]
    ticks: list[tuple[float, str]]


def make_axis(xs: Sequence[X], *, max_labels: int = 12) -> Axis:
    """The axis that fits `xs`: categories when there is text, time when there are dates, else numbers."""
    if any(isinstance(x, str) for x in xs):
        return _categories([str(x) for x in xs], max_labels)
    if any(isinstance(x, date) for x in xs):
        return _times([_seconds(x) for x in xs])
    numbers = [float(x) for x in xs if not isinstance(x, date | str)]
    ticks = nice_ticks(min(numbers), max(numbers)) if numbers else [0.0, 1.0]
    at = _linear(ticks[0], ticks[-1])
    return Axis([at(x) for x in numbers], [(at(t), number_label(t)) for t in ticks])


def _categories(names: Sequence[str], max_labels: int) -> Axis:
    n = len(names)
    places = [(i + 0.5) / n for i in range(n)]
    every = math.ceil(n / max_labels)
    return Axis(places, [(places[i], names[i]) for i in range(0, n, every)])


_DAY_S = 86_400.0
_STEPS_S = (
    60,
    300,
    900,
    3600,
    3 * 3600,
    6 * 3600,
    12 * 3600,
    *(d * _DAY_S for d in (1, 2, 7, 14, 30, 90, 180, 365)),
)


def _times(seconds: Sequence[float]) -> Axis:
    low, high = min(seconds), max(seconds)
    if high == low:
        low, high = low - _DAY_S / 2, high + _DAY_S / 2
    at = _linear(low, high)
    step = next((s for s in _STEPS_S if (high - low) / s <= 6), math.ceil((high - low) / 6 / _DAY_S) * _DAY_S)
    ticks = [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)] or [low]
    form = "%Y-%m-%d" if step >= _DAY_S else "%m-%d %H:%M"
    return Axis(
        [at(s) for s in seconds], [(at(t), (_EPOCH + timedelta(seconds=t)).strftime(form)) for t in ticks]
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _seconds(x: X) -> float:
    if isinstance(x, datetime):
        if x.tzinfo is None:
            raise UsageError(
                f"time {x.isoformat()} has no zone", code="naive-time", hint="add tzinfo=timezone.utc"
            )
        return (x - _EPOCH).total_seconds()
    if isinstance(x, date):
        return (datetime(x.year, x.month, x.day, tzinfo=UTC) - _EPOCH).total_seconds()
    raise UsageError(f"{x!r} stands among times and is none", code="bad-chart")


def _linear(low: float, high: float) -> Callable[[float], float]:
    return lambda value: (value - low) / (high - low)
