"""What a person says of a node, as the store wants it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias, cast

from whence._base.clock import utc
from whence.errors import UsageError, near_names
from whence.metadata.refs import Ref
from whence.metadata.types import (
    AnyNode,
    Artifact,
    ArtifactState,
    Context,
    Execution,
    ExecutionState,
    Properties,
    PropertyType,
    Type,
)

Roles: TypeAlias = "Collection[Ref] | Mapping[str, Ref | Sequence[Ref]]"
"""Artifacts; as a mapping, by role, one or several of them."""

PYTHON_TYPES: Final[Mapping[object, PropertyType]] = {
    bool: "BOOLEAN",
    bytes: "PROTO",
    dict: "STRUCT",
    float: "DOUBLE",
    int: "INT",
    list: "STRUCT",
    str: "STRING",
}
"""What a Python type is called as the type of a property."""

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def make_node(
    type_: Type,
    name: str | None,
    *,
    uri: str | None,
    state: str | None,
    external_id: str | None,
    properties: Properties,
) -> AnyNode:
    """A node of a type; properties that the type does not declare are custom ones.

    Raises:
        UsageError: A uri or a state is given to a kind that has none (``bad-node``).
    """
    if uri is not None and type_.kind != "artifact":
        raise UsageError(f"{type_.name} is no type of artifacts: only those have a uri", code="bad-node")
    if type_.kind == "context":
        if state is not None:
            raise UsageError(f"{type_.name} is a type of contexts, which have no state", code="bad-node")
        node: AnyNode = Context(type=type_.name, name=name)
    elif type_.kind == "execution":
        node = Execution(type=type_.name, name=name, state=cast("ExecutionState", state or "COMPLETE"))
    else:
        node = Artifact(type=type_.name, name=name, uri=uri, state=cast("ArtifactState", state or "LIVE"))
    typed = {k: v for k, v in properties.items() if k in type_.properties}
    custom = {k: v for k, v in properties.items() if k not in typed}
    return replace(node, type_version=type_.version, external_id=external_id, properties=typed, custom=custom)


def merged(properties: Properties, more: Properties) -> Properties:
    """Properties that were given as a mapping and as arguments.

    Raises:
        UsageError: One is given twice, or they are no mapping (``bad-node``).

    Example:
        >>> merged({"name": "n"}, {"rows": 3})
        {'name': 'n', 'rows': 3}
    """
    if not isinstance(cast("object", properties), Mapping):
        raise UsageError(f"properties are a mapping, got {properties!r:.40}", code="bad-node")
    twice = sorted(properties.keys() & more.keys())
    if twice:
        raise UsageError(f"property {twice[0]!r} is given twice", code="bad-node")
    return {**properties, **more}


def with_roles(refs: Roles) -> list[tuple[tuple[str | int, ...], Ref]]:
    """What is read or written, each with the path of its event: its role, and its place in a list of that role.

    Example:
        >>> with_roles(["raw"]), with_roles({"rows": "raw"})
        ([((), 'raw')], [(('rows',), 'raw')])
        >>> with_roles({"shards": ["a", "b"]})
        [(('shards', 0), 'a'), (('shards', 1), 'b')]
    """
    if isinstance(refs, Mapping):
        found: list[tuple[tuple[str | int, ...], Ref]] = []
        for role, those in refs.items():
            if isinstance(those, list | tuple):
                found += [((role, place), ref) for place, ref in enumerate(those)]
            else:
                found.append(((role,), cast("Ref", those)))
        return found
    if isinstance(refs, str):
        raise UsageError(f"artifacts are given as a list, got the text {refs!r}", code="bad-reference")
    return [((), ref) for ref in refs]


def property_word(type_: str, name: str, want: PropertyType | type) -> PropertyType:
    """The word for the type of a property.

    Raises:
        UsageError: It is none (``bad-type``).

    Example:
        >>> property_word("Dataset", "rows", int)
        'INT'
    """
    if isinstance(want, str):
        return want
    word = PYTHON_TYPES.get(want)
    if word is None:
        raise UsageError(
            f"property {name!r} of {type_!r}: {want!r} is not a type of properties",
            code="bad-type",
            hint="int, float, str, bool, dict, list or bytes",
        )
    return word


def one_of(value: str, words: Collection[str], what: str, *, code: str = "bad-query") -> None:
    """Refuse a word that is none of these; near ones are given.

    Raises:
        UsageError: It is none of them (`code`).

    Example:
        >>> one_of("artifact", ["artifact", "execution"], "kind")
    """
    if value not in words:
        near = near_names(value, words) if isinstance(cast("object", value), str) else ()
        raise UsageError(f"{what} must be one of {', '.join(words)}, got {value!r}", code=code, near=near)


def read_moment(moment: datetime | str) -> datetime:
    """A moment; text is ISO 8601.

    Raises:
        UsageError: It is none (``bad-timestamp``), or has no zone (``naive-time``).

    Example:
        >>> read_moment("2026-05-03T12:00:00Z").isoformat()
        '2026-05-03T12:00:00+00:00'
    """
    try:
        found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError:
        found = cast("datetime", None)
    if not isinstance(cast("object", found), datetime):
        raise UsageError(
            f"{moment!r:.80} is no moment",
            code="bad-timestamp",
            hint="an aware time, or ISO 8601 such as 2026-05-03T12:00:00Z",
        )
    return utc(found)


def read_length(text: str | timedelta) -> timedelta:
    """A length of time such as ``90d``.

    Raises:
        UsageError: It is none (``bad-retention``).

    Example:
        >>> read_length("36h")
        datetime.timedelta(days=1, seconds=43200)
    """
    if isinstance(text, timedelta):
        return text
    number, unit = (text[:-1], text[-1:]) if isinstance(cast("object", text), str) else ("", "")
    if not number.isdecimal() or unit not in _UNITS:
        raise UsageError(
            f"{text!r} is not a length of time", code="bad-retention", hint="write 90d, 12h, 15m"
        )
    return timedelta(**{_UNITS[unit]: int(number)})


__all__ = [
    "Roles",
    "make_node",
    "merged",
    "one_of",
    "property_word",
    "read_length",
    "read_moment",
    "with_roles",
]
