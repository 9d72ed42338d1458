"""References are text, everywhere the same: ``table:flights@12``, ``model:late@champion``.

::

    kind ":" name [ "@" version ] [ "/" key ]

Digests stay whole: ``blob:sha256:…``. Where a command takes one kind only, the kind may be left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from whence.errors import UsageError

KINDS: Final = (
    "artifact",
    "blob",
    "context",
    "environment",
    "execution",
    "feature_view",
    "model",
    "prediction",
    "row",
    "run",
    "schema",
    "statistics",
    "step",
    "table",
    "view",
)


@dataclass(frozen=True, slots=True)
class Ref:
    """A parsed reference.

    Example:
        >>> Ref.parse("row:flights@12/B6-35-JFK")
        Ref(kind='row', name='flights', version='12', key='B6-35-JFK')
        >>> str(Ref.parse("late@champion", kind="model"))
        'model:late@champion'
    """

    kind: str
    name: str
    version: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        text = f"{self.kind}:{self.name}"
        if self.version is not None:
            text += f"@{self.version}"
        if self.key is not None:
            text += f"/{self.key}"
        return text

    @property
    def number(self) -> int | None:
        """The version as a number; None when absent.

        Raises:
            UsageError: The version is a word, such as an alias.
        """
        if self.version is None:
            return None
        if not self.version.isdecimal():
            raise UsageError(
                f"{self} names version {self.version!r}, which is not a number", code="bad-reference"
            )
        return int(self.version)

    @classmethod
    def parse(cls, text: str, *, kind: str | None = None) -> Ref:
        """Read a reference; `kind` is assumed when the text carries none.

        Raises:
            UsageError: The kind is unknown, differs from `kind`, or a part is empty.
        """
        head, colon, rest = text.partition(":")
        if colon and head in KINDS:
            if kind is not None and head != kind:
                raise UsageError(f"{text!r} is a {head}, a {kind} is wanted here", code="bad-reference")
        elif kind is not None:
            head, rest = kind, text
        else:
            raise UsageError(
                f"{text!r} is not a reference",
                code="bad-reference",
                hint="write kind:name[@version][/key], for example table:flights@12",
            )
        return cls._parse_rest(head, rest, text)

    @classmethod
    def _parse_rest(cls, kind: str, rest: str, text: str) -> Ref:
        if kind == "blob":
            return cls(kind, rest)
        key: str | None = None
        if kind in ("prediction", "row"):
            rest, slash, tail = rest.partition("/")
            key = tail if slash else None
        name, at, version = rest.rpartition("@") if "@" in rest else (rest, "", "")
        if not name or (at and not version) or key == "":
            raise UsageError(f"{text!r} has an empty part", code="bad-reference")
        return cls(kind, name, version if at else None, key)


def row_key(values: Sequence[Any]) -> str:
    """The text of a declared key's values in a reference: the value itself, or several as a JSON list.

    Example:
        >>> row_key(["B6-35-JFK-2013-07-01"]), row_key(["JFK", 7])
        ('B6-35-JFK-2013-07-01', '["JFK",7]')
    """
    if len(values) == 1:
        return str(values[0])
    return json.dumps(list(values), default=str, separators=(",", ":"), ensure_ascii=False)
