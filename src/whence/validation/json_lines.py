"""JSON of people's files: what is there twice is refused, and a place in it has a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]  # it is there, typeshed does not say so
from typing import Any, Final

from whence.errors import UsageError

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


def read_json(text: str | bytes, name: str) -> Mapping[str, Any]:
    """The object of a JSON text.

    Raises:
        UsageError: It is not JSON, no object, or has a key twice (``bad-schema``); the line is named.
    """
    twice = False

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        made = dict(pairs)
        twice = twice or len(made) < len(pairs)
        return made

    try:
        data = json.loads(text, object_pairs_hook=once)
    except RecursionError as error:
        raise UsageError(f"{name}: not a schema: it is nested too deeply", code="bad-schema") from error
    except ValueError as error:
        raise UsageError(f"{name} is not JSON: {error}", code="bad-schema") from error
    if not isinstance(data, Mapping):
        raise UsageError(f"{name} is not a JSON object", code="bad-schema")
    if twice:
        whole = _decoded(text)
        for key, line in _doubles(whole, _skip(whole, 0)):
            raise UsageError(f"{name}, line {line}: {key!r} is there twice", code="bad-schema")
    return data


def line_of(text: str | bytes, at: tuple[str | int, ...]) -> int:
    r"""The line of a place in a JSON text, or of the nearest thing around it that is there.

    Example:
        >>> line_of('{"a":\n [1,\n  {"b": 2}]}', ("a", 1, "b")), line_of('{"a":\n [1]}', ("a", 7))
        (3, 2)
    """
    whole = _decoded(text)
    start = _skip(whole, 0)
    for step in at:
        found = next((p for key, p in _inside(whole, start) if key == step), None)
        if found is None:
            break
        start = found
    return whole.count("\n", 0, start) + 1


def _decoded(text: str | bytes) -> str:
    return text.decode(json.detect_encoding(text), "surrogatepass") if isinstance(text, bytes) else text


def _doubles(text: str, at: int) -> Iterator[tuple[str | int, int]]:
    """The keys that an object has twice, with their lines."""
    seen: set[str | int] = set()
    for key, start in _inside(text, at):
        if key in seen:
            yield key, text.count("\n", 0, start) + 1
        seen.add(key)
        yield from _doubles(text, start)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _inside(text: str, at: int) -> Iterator[tuple[str | int, int]]:
    """The keys of an object, or the positions in a list, each with where its value begins."""
    is_object, end = text[at : at + 1] == "{", {"{": "}", "[": "]"}.get(text[at : at + 1])
    at = _skip(text, at + 1)
    key: str | int = -1
    while end is not None and text[at] != end:
        if is_object:
            key, at = scanstring(text, at + 1)
            at = _skip(text, _skip(text, at) + 1)
        else:
            assert isinstance(key, int)
            key += 1
        yield key, at
        _, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
