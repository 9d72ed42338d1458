"""What an update of a node leaves stored: all that the message says, or only what a mask names.

Without a mask a message replaces the node: what it does not give is taken away, but for its name. With a mask only the
named fields are replaced; a path that names no field changes nothing. Names of artifacts and executions stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from whence.integrations.mlmd.convert import STATE_FIELDS, kind_of_node, properties_from, state_from
from whence.integrations.mlmd.errors import invalid, unimplemented
from whence.integrations.mlmd.wire import Message
from whence.metadata import AnyNode, Artifact, Context, Value


def updated(stored: AnyNode, message: Message, mask: Collection[str] = ()) -> AnyNode:
    """The stored node as a client's message leaves it; None for a property means that it is taken away.

    Raises:
        StatusError: INVALID_ARGUMENT: a context loses its name. UNIMPLEMENTED: an external id is changed or taken
            away, which the store cannot do yet.
    """
    kind = kind_of_node(stored)

    def asked(field: str) -> bool:
        return not mask or field in mask

    changes: dict[str, object] = {}
    if asked("external_id"):
        changes["external_id"] = _external_id(stored, message, is_masked=bool(mask))
    if isinstance(stored, Artifact) and asked("uri"):
        changes["uri"] = message.uri
    state = STATE_FIELDS[kind]
    if state is not None and asked(state):
        changes["state"] = state_from(message, kind)
    if isinstance(stored, Context) and asked("name"):
        if not message.name:
            raise invalid("Context name should not be empty")
        changes["name"] = message.name
    properties, custom = properties_from(message)
    changes["properties"] = _merged(stored.properties, properties, "properties", mask)
    changes["custom"] = _merged(stored.custom, custom, "custom_properties", mask)
    return dataclasses.replace(stored, **changes)  # type: ignore[arg-type]  # fields of a node, each of its type


def is_same(one: AnyNode, other: AnyNode) -> bool:
    """Whether two states of a node read the same; an absent property and None do, and so do no uri and an empty one."""

    def plain(node: AnyNode) -> AnyNode:
        shown = dataclasses.replace(
            node, properties=_present(node.properties), custom=_present(node.custom), revision=0
        )
        return dataclasses.replace(shown, uri=shown.uri or "") if isinstance(shown, Artifact) else shown

    return plain(one) == plain(other) and repr(_numbers(one)) == repr(_numbers(other))


def _numbers(node: AnyNode) -> list[tuple[str, object]]:
    """1, 1.0 and True are equal in Python and three kinds of value in the store."""
    both = {**_present(node.custom), **{f"p.{k}": v for k, v in _present(node.properties).items()}}
    return sorted((k, v) for k, v in both.items() if isinstance(v, int | float))


def _present(properties: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in properties.items() if value is not None}


def _merged(
    stored: Mapping[str, Value], given: Mapping[str, Value], field: str, mask: Collection[str]
) -> dict[str, Value]:
    if not mask or field in mask:
        return {**dict.fromkeys(stored), **given}
    out = dict(stored)
    for path in mask:
        outer, _, name = path.partition(".")
        if outer == field and name:
            out[name] = given.get(name)
    # A property that was never there needs no None.
    return {name: value for name, value in out.items() if value is not None or name in stored}


def _external_id(stored: AnyNode, message: Message, *, is_masked: bool) -> str | None:
    given = message.external_id or None
    if given is None and stored.external_id is not None and is_masked:
        raise unimplemented("This store cannot take an external id away.")
    return given or stored.external_id
