"""Values as JSON can say them: no NaN, no local times, nothing that a parser refuses."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final, TypeAlias

_DIGESTS: Final = ("sha256", "rows-v1")
_FIGURES: Final = 12

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def plain(value: object) -> Json:
    """The value as JSON: NaN and the infinities are null, times are ISO text in UTC.

    Decimals that a double holds exactly become numbers, others text; bytes become base64 text.

    Example:
        >>> plain({"a": float("nan"), "b": datetime(2013, 7, 1, tzinfo=UTC)})
        {'a': None, 'b': '2013-07-01T00:00:00+00:00'}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Sequence | AbstractSet) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(v) for v in value]
    return _scalar(value)


def _scalar(value: object) -> Json:
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode("ascii")
    as_py = getattr(value, "as_py", None) or getattr(value, "item", None)  # Arrow and NumPy scalars
    if callable(as_py):
        return plain(as_py())
    return str(value)


def _decimal(value: Decimal) -> Json:
    if not value.is_finite():
        return None
    number = float(value)
    return number if Decimal(number) == value else str(value)


def plain_text(value: object) -> str:
    """The value as compact JSON text with the keys in their order.

    Example:
        >>> plain_text({"b": 1, "a": None})
        '{"b":1,"a":null}'
    """
    return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def shown(value: object, *, width: int = 80) -> str:
    """The value in a few characters, for a tree or a page; what is longer ends in an ellipsis.

    Example:
        >>> shown(None), shown(0.1 + 0.2), shown({"depth": 6, "loss": "log"})
        ('null', '0.30000000000000004', '{depth=6, loss=log}')
    """
    clean = plain(value)
    if clean is None:
        text = "null"
    elif isinstance(clean, dict):
        text = "{" + ", ".join(f"{k}={shown(v, width=width)}" for k, v in clean.items()) + "}"
    elif isinstance(clean, list):
        text = ", ".join(shown(v, width=width) for v in clean)
    elif isinstance(clean, str):
        text = _short_digest(printable(clean))
    else:
        text = json.dumps(clean)
    return text if len(text) <= width else text[: width - 1] + "…"


def printable(text: str) -> str:
    r"""The text on one line, control characters as escapes: data moves no cursor and breaks no page.

    Example:
        >>> print(printable("a\n b\x1b[31m"))
        a b\x1b[31m
    """
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _short_digest(text: str) -> str:
    """A digest by its first twelve figures; whole it stands in the JSON."""
    algorithm, colon, figures = text.partition(":")
    if colon and algorithm in _DIGESTS and len(figures) > _FIGURES and figures.isalnum():
        return f"{algorithm}:{figures[:_FIGURES]}…"
    return text
