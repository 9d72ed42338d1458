"""Arguments of the lake's faces: what is of the wrong kind is said by name, before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from whence.errors import UsageError

_MAX_VERSION: Final = 2**63 - 1


def check_arguments(**given: object) -> None:
    """Refuse arguments of the wrong kind; None is left out.

    Raises:
        UsageError: ``bad-argument``.

    Example:
        >>> check_arguments(where="delay > 5", columns=["delay"], watermark=None)
        >>> check_arguments(transaction=("feed", "7"))
        Traceback (most recent call last):
        ...
        whence.errors.UsageError: transaction is ('feed', '7'), want an application and ... (bad-argument)
    """
    for name, value in given.items():
        fits, words = _KINDS[name]
        if value is not None and not fits(value):
            raise UsageError(f"{name} is {value!r:.80}, want {words}", code="bad-argument")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_version(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_VERSION


def _is_transaction(value: object) -> bool:
    return (
        isinstance(value, tuple | list) and len(value) == 2 and _is_text(value[0]) and _is_version(value[1])
    )


def _is_progress(value: object) -> bool:
    return isinstance(value, Mapping) and all(_is_text(k) and _is_version(v) for k, v in value.items())


def _are_texts(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes) and all(map(_is_text, value))


def _is_fix(value: object) -> bool:
    return callable(value) or (isinstance(value, Mapping) and all(map(_is_text, value)))


_TEXT: Final = _is_text, "a text"
_TEXTS: Final = _are_texts, "a list of texts"
_COUNT: Final = _is_count, "a whole number"
_MAPPING: Final = (lambda v: isinstance(v, Mapping)), "a mapping"

_KINDS: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "watermark": ((lambda v: isinstance(v, datetime)), "a datetime with a zone"),
    "transaction": (_is_transaction, "an application and its version, such as ('feed', 7)"),
    "progress": (_is_progress, "versions by application, such as {'feed': 7}"),
    "fix": (_is_fix, "a function from rows to rows, or new values by column"),
    "schema": ((lambda v: isinstance(v, pa.Schema)), "a pyarrow schema"),
    "path": ((lambda v: isinstance(v, str | Path)), "a path"),
    "retention_hours": (_is_number, "a number"),
    "key": _TEXT,
    "where": _TEXT,
    "reason": _TEXT,
    "query": _TEXT,
    "name": _TEXT,
    "id": _TEXT,
    "event_time": _TEXT,
    "known_at": _TEXT,
    "subject_key": _TEXT,
    "description": _TEXT,
    "columns": _TEXTS,
    "on": _TEXTS,
    "ids": _TEXTS,
    "version": _COUNT,
    "after": _COUNT,
    "upto": _COUNT,
    "limit": _COUNT,
    "properties": _MAPPING,
    "relations": _MAPPING,
    "parameters": _MAPPING,
}
