"""Frozen values as JSON and back: what is not said is left out, and what is wrong is named with its place."""

from __future__ import annotations

import re
import types
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Final, Literal, Union, cast, get_args, get_origin, get_type_hints

from whence._base.clock import utc
from whence.errors import UsageError, near_names
from whence.validation.cells import jsonable

QUOTE: Final = "write it in quotes: "
"""How the hint begins where a number stands for a text."""
_UNITS: Final[Mapping[str, int]] = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_DURATION: Final = re.compile(r"(\d+)\s*(us|ms|s|m|h|d|w)")


def to_plain(value: Any) -> Any:
    """A value of the schema language as JSON; fields that have their default are left out.

    Example:
        >>> to_plain(timedelta(days=7)), to_plain((1, None))
        ('7d', [1, None])
    """
    if isinstance(value, (tuple, list)):
        return [to_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, timedelta):
        return duration_text(value)
    if not is_dataclass(value):
        return jsonable(value)
    kind = getattr(value, "KIND", None)
    said = {} if kind is None else {"kind": kind}
    for f in fields(value):
        have = getattr(value, f.name)
        if have != _default(f):
            said[f.name] = to_plain(have)
    return said


def _default(f: Any) -> Any:
    return f.default if f.default_factory is MISSING else f.default_factory()


def build(shape: type[Any], data: Any, what: str, at: tuple[str | int, ...] = ()) -> Any:
    """The value of a dataclass that `to_plain` wrote.

    Args:
        shape: The dataclass.
        data: The JSON.
        what: What it is, for errors: ``presence of feature 'x'``.
        at: Where it stands in the whole, for errors that name a line.

    Raises:
        UsageError: A key is unknown, one is missing, or a value is of the wrong kind (``bad-schema``);
            ``details["at"]`` is the place.
    """
    if not isinstance(data, Mapping):
        raise wrong(f"{what} must be a mapping, got {type(data).__name__}", at)
    known = {f.name: f for f in fields(shape)}
    for key in data:
        if key not in known:
            raise wrong(f"{what} has the unknown key {key!r}", (*at, str(key)), near=(str(key), known))
    absent = [
        n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING and n not in data
    ]
    if absent:
        raise wrong(f"{what} is incomplete: {', '.join(absent)} is missing", at)
    hints = _hints(cast("Hashable", shape))
    made = {k: value_of(hints[k], v, f"{k} of {what}", (*at, str(k))) for k, v in data.items()}
    try:
        return shape(**made)
    except UsageError as error:  # of the dataclass itself, which does not know where it stands
        inner = error.details.get("at")
        raise UsageError(
            error.message,
            code=error.code,
            near=error.near,
            hint=error.hint,
            details={"at": [*at, *(inner if isinstance(inner, list) else [])]},
        ) from error


@cache
def _hints(shape: Any) -> dict[str, Any]:
    return get_type_hints(shape)


def value_of(hint: Any, data: Any, what: str, at: tuple[str | int, ...]) -> Any:
    """One value by its type: a dataclass, a tuple, a literal, text, a number, a time.

    Raises:
        UsageError: It is of another kind (``bad-schema``).
    """
    if hint is Any:
        return data
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _of_union(get_args(hint), data, what, at)
    if origin is tuple:
        return _of_tuple(get_args(hint), data, what, at)
    if origin is Literal:
        return _of_literal(get_args(hint), data, what, at)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise wrong(f"{what} must be a mapping, got {type(data).__name__}", at)
        inner = get_args(hint)[1]
        return {str(k): value_of(inner, v, f"{k!r} of {what}", (*at, str(k))) for k, v in data.items()}
    if is_dataclass(hint):
        assert isinstance(hint, type)
        return data if isinstance(data, hint) else build(hint, data, what, at)
    return _of_scalar(hint, data, what, at)


def _of_union(options: tuple[Any, ...], data: Any, what: str, at: tuple[str | int, ...]) -> Any:
    if data is None and type(None) in options:
        return None
    left = [o for o in options if o is not type(None)]
    if set(left) == {datetime, date}:
        return parse_instant(data, what, at)
    kinds = [o for o in left if hasattr(o, "KIND")]
    if kinds:
        if isinstance(data, str) and str in left:
            return data
        return kind_of(kinds, data, what, at)
    if len(left) == 1:
        return value_of(left[0], data, what, at)
    for option in left:
        try:
            return value_of(option, data, what, at)
        except UsageError:
            continue
    names = " or ".join(getattr(o, "__name__", str(o)) for o in left)
    raise wrong(f"{what} must be {names}, got {data!r}", at)


def kind_of(kinds: list[Any], data: Any, what: str, at: tuple[str | int, ...] = ()) -> Any:
    """A value of one of several dataclasses, told apart by ``kind``.

    Raises:
        UsageError: The kind is unknown (``bad-schema``).
    """
    if isinstance(data, tuple(kinds)):
        return data
    if not isinstance(data, Mapping):
        raise wrong(f"{what} must be a mapping with a kind, got {type(data).__name__}", at)
    named = {k.KIND: k for k in kinds}
    kind = data.get("kind")
    if kind not in named:
        raise wrong(f"a domain of kind {kind!r} is unknown", (*at, "kind"), hint=f"one of {sorted(named)}")
    rest = {k: v for k, v in data.items() if k != "kind"}
    return build(named[kind], rest, f"{kind} domain", at)


def _of_tuple(inner: tuple[Any, ...], data: Any, what: str, at: tuple[str | int, ...]) -> Any:
    if isinstance(data, str) or not isinstance(data, (list, tuple)):
        raise wrong(f"{what} must be a list, got {data!r}", at)
    return tuple(value_of(inner[0], v, f"entry {i + 1} of {what}", (*at, i)) for i, v in enumerate(data))


def _of_literal(allowed: tuple[Any, ...], data: Any, what: str, at: tuple[str | int, ...]) -> Any:
    if data not in allowed or isinstance(data, bool):
        raise wrong(f"{what} is {data!r}, which is unknown", at, near=(str(data), allowed))
    return data


def _of_scalar(hint: Any, data: Any, what: str, at: tuple[str | int, ...]) -> Any:
    if hint is timedelta:
        return data if isinstance(data, timedelta) else parse_duration(data, what, at)
    if hint is float:
        data = {"inf": float("inf"), "-inf": float("-inf")}.get(data, data) if isinstance(data, str) else data
        if isinstance(data, (int, float)) and not isinstance(data, bool):
            return float(data)
    elif hint is int and isinstance(data, float) and data.is_integer():
        return int(data)
    elif isinstance(data, hint) and (hint is bool or not isinstance(data, bool)):
        return data
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    quoted = f"{QUOTE}'{data}'" if hint is str and isinstance(data, (int, float)) else None
    raise wrong(f"{what} must be {words.get(hint, str(hint))}, got {data!r}", at, hint=quoted)


def wrong(
    message: str,
    at: tuple[str | int, ...] = (),
    *,
    hint: str | None = None,
    near: tuple[str, Any] | None = None,
) -> UsageError:
    """The error of a fault in a schema, with the place in ``details["at"]`` and the names that exist."""
    close: list[str] = []
    if near is not None:
        said, known = near
        close = near_names(said, [str(k) for k in known])
        listed = ", ".join(sorted(str(k) for k in known))
        hint = "; ".join(h for h in (hint, f"known: {listed}" if listed else "") if h)
    return UsageError(message, code="bad-schema", near=close, hint=hint, details={"at": list(at)})


def parse_instant(text: Any, what: str = "", at: tuple[str | int, ...] = ()) -> datetime | date | None:
    """An instant or a date from its ISO text; an instant without a zone is refused.

    Example:
        >>> parse_instant("2013-01-01"), parse_instant("2013-01-01T00:00:00+00:00")
        (datetime.date(2013, 1, 1), datetime.datetime(2013, 1, 1, 0, 0, tzinfo=datetime.timezone.utc))
    """
    if text is None or isinstance(text, (datetime, date)):
        return text
    try:
        return date.fromisoformat(text) if len(text) == 10 else utc(datetime.fromisoformat(text))
    except (ValueError, TypeError, UsageError) as error:
        raise wrong(f"{text!r} is not an ISO time{what and f' ({what})'}: {error}", at) from error


def parse_duration(text: Any, what: str = "a duration", at: tuple[str | int, ...] = ()) -> timedelta:
    """A duration from text such as ``7d``, ``36h`` or ``1d 12h``.

    Example:
        >>> parse_duration("1d 12h")
        datetime.timedelta(days=1, seconds=43200)
    """
    parts = _DURATION.findall(text) if isinstance(text, str) else []
    if not parts or _DURATION.sub("", text).strip():
        raise wrong(f"{what} is {text!r}, which is no duration", at, hint="such as 90s, 36h, 7d or 1d 12h")
    try:
        return timedelta(microseconds=sum(int(n) * _UNITS[unit] for n, unit in parts))
    except (OverflowError, ValueError) as error:
        raise wrong(f"{what} is {text!r}, which is longer than a million years", at) from error


def duration_text(value: timedelta) -> str:
    """A duration as `parse_duration` reads it.

    Example:
        >>> duration_text(timedelta(hours=36))
        '1d 12h'
    """
    left = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    parts = []
    for unit in ("d", "h", "m", "s", "ms", "us"):
        n, left = divmod(left, _UNITS[unit])
        if n:
            parts.append(f"{n}{unit}")
    return " ".join(parts) or "0s"
