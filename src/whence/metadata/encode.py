"""Properties as one JSON text, and the rules a value must keep to be stored.

::

    {"p": {typed properties}, "c": {custom properties}}

What JSON cannot say is written as an object with one reserved key: ``{"$bytes": base64}``,
``{"$float": "nan" | "inf" | "-inf"}``; and so is text with a NUL, which not every database keeps:
``{"$text": base64 of its UTF-8}``. An object that itself has a key beginning with ``$`` is wrapped as
``{"$map": …}``. A value that so is deeper than 24 is written as its own JSON text, keys sorted: ``{"$json": text}``.
Every backend keeps this text, so a value comes back the same from each.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec

from whence.errors import UsageError
from whence.metadata.types import Properties, PropertyType, Type, Value

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

# Of a value and of all properties of a node, as stored. MariaDB takes 16 MiB in one statement, as it comes.
MAX_VALUE_BYTES: Final = 4 * 1024 * 1024
MAX_NODE_BYTES: Final = 15 * 1024 * 1024
MAX_DEPTH: Final = 100
"""Of lists and structs in one another, in one value: far below what Python's JSON can read."""
FLAT_DEPTH: Final = 24
"""Of objects and lists in one another as they are stored. MariaDB's functions read 32 levels of a whole text, MySQL's 100:
of a text with more they find nothing, not even what lies beside (seen on MariaDB 10.11)."""

_encoder = msgspec.json.Encoder()
_sorting_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder()


def encode(properties: Properties, custom: Properties) -> str:
    """The stored text of a node's properties.

    Raises:
        UsageError: A value is of no storable kind or deeper than 100 (``property-type``), text is not Unicode (``invalid-text``), a
            value takes more than 4 MiB or all of them more than 15 (``too-large``).

    Example:
        >>> encode({"n_rows": 3}, {"note": b"!"})
        '{"p":{"n_rows":3},"c":{"note":{"$bytes":"IQ=="}}}'
    """
    try:
        data = _encoder.encode({"p": _plain_items(properties), "c": _plain_items(custom)})
        if b"\\u0000" in data:
            data = _encoder.encode({"p": _without_nul(properties), "c": _without_nul(custom)})
        text = data.decode()
    except UnicodeEncodeError as error:
        raise UsageError(f"a property's text is not valid Unicode: {error}", code="invalid-text") from error
    if len(data) > MAX_VALUE_BYTES:
        _check_sizes(len(data), {**custom, **properties})
    return text


def _check_sizes(n_bytes: int, properties: Properties) -> None:
    for name, value in properties.items():
        size = len(_encoder.encode(_plain(value, name)))
        if size > MAX_VALUE_BYTES:
            raise UsageError(
                f"property {name!r} takes {size} bytes, at most {MAX_VALUE_BYTES} fit",
                code="too-large",
                hint="put it into a file or a blob, and its digest here",
                details={"property": name, "size_bytes": size},
            )
    if n_bytes > MAX_NODE_BYTES:
        raise UsageError(
            f"the properties of a node take {n_bytes} bytes, at most {MAX_NODE_BYTES} fit",
            code="too-large",
            hint="put them into a file or a blob, and its digest here",
            details={"size_bytes": n_bytes},
        )


def decode(text: str) -> tuple[dict[str, Value], dict[str, Value]]:
    """The typed and the custom properties of a stored text.

    Example:
        >>> decode('{"p":{"n_rows":3},"c":{"note":{"$bytes":"IQ=="}}}')
        ({'n_rows': 3}, {'note': b'!'})
    """
    plain = _decoder.decode(text)
    if '"$' not in text:
        return plain["p"], plain["c"]
    return (
        {name: _value(v) for name, v in plain["p"].items()},
        {name: _value(v) for name, v in plain["c"].items()},
    )


def _plain_items(properties: Properties) -> dict[str, object]:
    out: dict[str, object] = {}
    for name, value in properties.items():
        if not isinstance(cast("object", name), str) or not name:
            raise UsageError(f"a property's name must be text, got {name!r}", code="property-type")
        kind = type(value)
        if kind is str or value is None or (kind is int and INT64_MIN <= value <= INT64_MAX):  # type: ignore[operator]
            out[name] = value
        else:
            plain = _plain(value, name)
            out[name] = {"$json": _sorting_encoder.encode(plain).decode()} if _is_deep(plain) else plain
    return out


def _is_deep(plain: object, room: int = FLAT_DEPTH) -> bool:
    """Whether more than so many objects and lists are in one another."""
    if not isinstance(plain, dict | list):
        return False
    items = plain.values() if isinstance(plain, dict) else plain
    return room == 0 or any(_is_deep(item, room - 1) for item in items)


def _without_nul(properties: Properties) -> dict[str, object]:
    """The plain properties, with text that has a NUL wrapped, however deep."""
    for name in properties:
        if "\0" in name:
            raise UsageError(f"the property name {name!r} has a NUL", code="invalid-text")
    return {name: _wrapped(value, name) for name, value in _plain_items(properties).items()}


def _wrapped(plain: object, name: str) -> object:
    if isinstance(plain, str):
        return {"$text": base64.b64encode(plain.encode()).decode()} if "\0" in plain else plain
    if isinstance(plain, list):
        return [_wrapped(item, name) for item in plain]
    if isinstance(plain, dict):
        if any("\0" in key for key in plain):
            raise UsageError(f"property {name!r}: a key of its struct has a NUL", code="invalid-text")
        return {key: _wrapped(item, name) for key, item in plain.items()}
    return plain


def _plain(value: object, name: str, room: int = MAX_DEPTH) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        if not INT64_MIN <= value <= INT64_MAX:
            raise UsageError(f"property {name!r}: {value} does not fit 64 bits", code="property-type")
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return _plain_map(value, name, _less(room, name))
    if isinstance(value, Sequence) and not isinstance(value, bytearray | memoryview):
        room = _less(room, name)
        return [_plain(item, name, room) for item in value]
    raise UsageError(
        f"property {name!r}: a {type(value).__name__} cannot be stored",
        code="property-type",
        hint="use int, float, str, bool, bytes, None, or lists and mappings of them",
    )


def _less(room: int, name: str) -> int:
    if room == 0:
        raise UsageError(
            f"property {name!r}: more than {MAX_DEPTH} lists and structs are in one another",
            code="property-type",
            hint="a value that holds itself has no end; put a deep one into a file or a blob, and its digest here",
        )
    return room - 1


def _plain_map(value: Mapping[object, object], name: str, room: int) -> dict[str, object]:
    out: dict[str, object] = {}
    reserved = False
    for key, item in value.items():
        if not isinstance(key, str):
            raise UsageError(
                f"property {name!r}: the key {key!r} of a struct must be text", code="property-type"
            )
        reserved = reserved or key.startswith("$")
        out[key] = _plain(item, name, room)
    return {"$map": out} if reserved else out


def _value(plain: object) -> Value:
    if isinstance(plain, list):
        return [_value(item) for item in plain]
    if not isinstance(plain, dict):
        return plain  # type: ignore[return-value]  # what JSON gives is a Value
    if len(plain) == 1:
        (key, inner), *_ = plain.items()
        if key == "$bytes":
            return base64.b64decode(inner)
        if key == "$float":
            return float(inner)
        if key == "$text":
            return base64.b64decode(inner).decode()
        if key == "$json":
            return _value(_decoder.decode(inner))
        if key == "$map":
            return {k: _value(v) for k, v in inner.items()}
    return {k: _value(v) for k, v in plain.items()}


def check_properties(type_: Type, properties: Properties) -> Properties:
    """The properties, if each is declared by the type and fits it; an int given for a DOUBLE becomes a float.

    Raises:
        UsageError: A property is not declared (``unknown-property``) or does not fit (``property-type``).
    """
    declared = type_.properties
    widened: dict[str, float] = {}
    for name, value in properties.items():
        want = declared.get(name)
        if want is None:
            raise UsageError(
                f"property {name!r} is not declared by {type_.kind} type {type_.name!r}",
                code="unknown-property",
                near=[n for n in declared if n.lower() == name.lower()],
                hint="declare it with put_type(…, extend=True), or pass it as a custom property",
            )
        if value is None:
            continue
        if (
            want == "DOUBLE"
            and isinstance(value, int)
            and not isinstance(value, bool)
            and float(value) == value
        ):
            widened[name] = float(value)
        elif not _fits(value, want):
            raise UsageError(
                f"property {name!r} of {type_.name!r} is {want}, got {type(value).__name__} {_shown(value)}",
                code="property-type",
            )
    return {**properties, **widened} if widened else properties


def _shown(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except RecursionError:
        return "too deep to show"


def _fits(value: object, want: PropertyType) -> bool:
    if want == "INT":
        return isinstance(value, int) and not isinstance(value, bool)
    if want == "DOUBLE":
        return isinstance(value, float)
    if want == "STRING":
        return isinstance(value, str)
    if want == "BOOLEAN":
        return isinstance(value, bool)
    if want == "PROTO":
        return isinstance(value, bytes)
    return isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str | bytes))
