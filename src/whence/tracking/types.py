"""The value objects of tracking: metrics, params, what a run is in the metric store."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from numbers import Integral, Real
from types import MappingProxyType
from typing import Final, TypeAlias

from whence._base.clock import utc
from whence.errors import UsageError

ParamValue: TypeAlias = int | float | str | bool | Sequence["ParamValue"] | Mapping[str, "ParamValue"] | None
"""A parameter: anything JSON can say."""

MAX_KEY_CHARS: Final = 250  # as MLflow
MAX_TEXT_BYTES: Final = 64 * 1024
MAX_STEP: Final = 2**63 - 1
OPEN_STATES: Final = frozenset({"UNKNOWN", "NEW", "RUNNING"})

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Metric:
    """One value of a metric. NaN and the infinities are values like any other.

    Attributes:
        step: Where in the run, 0 when nobody said.
        at: When it was logged.
    """

    key: str
    value: float
    step: int
    at: datetime


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What the metric store knows of a run; the graph is the truth, this is what is searched."""

    uid: str
    type: str
    name: str | None
    experiment: str | None
    state: str
    started_at: datetime

    @property
    def is_open(self) -> bool:
        """Whether it may still change."""
        return self.state in OPEN_STATES


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written at once: all of it, or nothing."""

    metrics: Sequence[Metric] = ()
    params: Mapping[str, ParamValue] = field(default_factory=lambda: MappingProxyType({}))
    tags: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))
    """A tag of None is removed."""


def metric_of(key: object, value: object, step: object, at: datetime) -> Metric:
    """A metric from what a caller gave.

    Raises:
        UsageError: ``bad-key``, ``bad-metric`` (not a number, or not exact as a double) or ``bad-step``.

    Example:
        >>> metric_of("auc", 0.75, None, datetime(2013, 4, 1, tzinfo=UTC)).step
        0
    """
    if step is None:
        step = 0
    if isinstance(step, bool) or not isinstance(step, Integral) or not -MAX_STEP - 1 <= int(step) <= MAX_STEP:
        raise UsageError(f"step {step!r} of metric {key!r} is not a 64-bit integer", code="bad-step")
    # Adding zero makes -0.0 to 0.0: SQLite keeps no sign of zero, and no store shall differ.
    return Metric(check_key(key), _number(key, value) + 0.0, int(step), utc(at))


def _number(key: object, value: object) -> float:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # a scalar of numpy
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError(
            f"metric {key!r} is {value!r}, a number is wanted",
            code="bad-metric",
            hint="log_param and set_tag take text",
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    if isinstance(value, Integral) and number != int(value):
        raise UsageError(f"metric {key!r} is {value}, which a double cannot hold exactly", code="bad-metric")
    return number


def check_key(key: object) -> str:
    """A key of a metric, param or tag: printable text of at most 250 characters.

    Raises:
        UsageError: It is not (``bad-key``).
    """
    if not isinstance(key, str) or not key or len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise UsageError(
            f"{key!r:.300} is not a key", code="bad-key", hint=f"1 to {MAX_KEY_CHARS} printable characters"
        )
    return key


def check_param(key: object, value: object) -> ParamValue:
    """A parameter as it will be read back: JSON, with tuples as lists and numpy's scalars as Python's.

    Raises:
        UsageError: JSON cannot say it (``bad-param``) or it is too long (``param-too-long``).
    """
    check_key(key)
    plain = _plain(value)
    try:
        text = json.dumps(plain, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"param {key!r} is {type(value).__name__}, which JSON cannot say",
            code="bad-param",
            hint="log its repr, or the numbers it is made of",
        ) from error
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise UsageError(
            f"param {key!r} has {len(text.encode())} bytes, at most {MAX_TEXT_BYTES} are kept",
            code="param-too-long",
            hint="log it as an artifact",
        )
    result: ParamValue = json.loads(text)
    return result


def _plain(value: object) -> object:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def check_tag(key: object, value: object) -> str | None:
    """The text of a tag, None to remove it.

    Raises:
        UsageError: Not text (``bad-tag``), or too long.
    """
    check_key(key)
    if value is not None and (not isinstance(value, str) or len(value.encode()) > MAX_TEXT_BYTES):
        raise UsageError(f"tag {key!r} is not text of at most {MAX_TEXT_BYTES} bytes", code="bad-tag")
    return value


def param_text(value: ParamValue) -> str:
    """A parameter as searches see it: text as it is, anything else as JSON.

    Example:
        >>> param_text("gini"), param_text(6), param_text(True)
        ('gini', '6', 'true')
    """
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def param_number(value: ParamValue) -> float | None:
    """A parameter as a number, None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def to_us(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """The moment, aware and UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)
