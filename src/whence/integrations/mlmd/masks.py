"""What an update of a node leaves stored: all that the message says, or only what a mask names.

Without a mask a message replaces the node: what it does not give is taken away, but for its name. With a mask only the
named fields are replaced; a path that names no field changes nothing. Names of artifacts and executions stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from whence.integrations.mlmd.wire import Message
from whence.metadata import NodeKind

_FIELDS: Final[Mapping[NodeKind, Mapping[str, str]]] = {
    "artifact": {"uri": "uri", "state": "state", "external_id": "external_id"},
    "execution": {"last_known_state": "state", "external_id": "external_id"},
    "context": {"name": "name", "external_id": "external_id"},
}
_PROPERTIES: Final = {"properties": "properties", "custom_properties": "custom"}


def mask_of(paths: Collection[str], kind: NodeKind) -> frozenset[str]:
    """The fields of a node that the paths of a message's mask name.

    Example:
        >>> sorted(mask_of(["uri", "custom_properties.a", "name", "such.path"], "artifact"))
        ['custom.a', 'uri']
    """
    out: set[str] = set()
    for path in paths:
        outer, dot, name = path.partition(".")
        if outer in _PROPERTIES:
            out.add(f"{_PROPERTIES[outer]}{dot}{name}")
        elif path in _FIELDS[kind]:
            out.add(_FIELDS[kind][path])
    return frozenset(out)


def masked(message: Message, paths: Collection[str]) -> Message:
    """A node's message with only those properties that a mask names: the others are not even looked at."""
    out = type(message)()
    out.CopyFrom(message)
    for field in _PROPERTIES:
        if field not in paths:
            values = getattr(out, field)
            for name in list(values):
                if f"{field}.{name}" not in paths:
                    del values[name]
    return out
