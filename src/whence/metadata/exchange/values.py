"""Property values as the typed text that other formats carry, and back."""

from __future__ import annotations

import base64
import math
from typing import Final

import msgspec

from whence.errors import UsageError
from whence.metadata.encode import decode, encode
from whence.metadata.types import PropertyType, Value

_WORDS: Final = {"nan": "NaN", "inf": "INF", "-inf": "-INF"}


class _Encoded(msgspec.Struct):
    """The stored form of a node's properties, its values left as they are written."""

    p: dict[str, msgspec.Raw]


def type_of(value: Value) -> PropertyType:
    """The type of property that holds a value; `value` is not None.

    Example:
        >>> type_of(True), type_of(1), type_of([1.5])
        ('BOOLEAN', 'INT', 'STRUCT')
    """
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "INT"
    if isinstance(value, float):
        return "DOUBLE"
    if isinstance(value, str):
        return "STRING"
    return "PROTO" if isinstance(value, bytes) else "STRUCT"


def to_text(value: Value) -> str:
    """A value as text, exactly; `from_text` with its type gives it back. `value` is not None.

    Example:
        >>> to_text(0.1), to_text(float("inf")), to_text(b"!"), to_text({"a": [1]})
        ('0.1', 'INF', 'IQ==', '{"a":[1]}')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else _WORDS[repr(value)]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    stored = msgspec.json.decode(encode({"value": value}, {}), type=_Encoded)
    return bytes(stored.p["value"]).decode()


def from_text(text: str, type_: PropertyType) -> Value:
    """The value that `to_text` wrote.

    Raises:
        UsageError: The text is no value of that type (``bad-document``).

    Example:
        >>> from_text("INF", "DOUBLE"), from_text('{"a":[1]}', "STRUCT")
        (inf, {'a': [1]})
    """
    try:
        match type_:
            case "BOOLEAN":
                return {"true": True, "1": True, "false": False, "0": False}[text.strip().lower()]
            case "INT":
                return int(text)
            case "DOUBLE":
                return float(text)
            case "STRING":
                return text
            case "PROTO":
                return base64.b64decode(text, validate=True)
            case "STRUCT":
                msgspec.json.decode(text, type=msgspec.Raw)  # one value, and nothing behind it
                return decode('{"p":{"value":' + text + '},"c":{}}')[0]["value"]
    except (KeyError, ValueError, RecursionError, msgspec.DecodeError) as error:
        raise UsageError(f"{text[:80]!r} is no value of type {type_}", code="bad-document") from error
