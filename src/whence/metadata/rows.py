"""A node as it is stored, the same for every backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from whence.errors import UsageError
from whence.metadata.encode import decode
from whence.metadata.types import AnyNode, Artifact, Context, Event, EventKind, Execution, NodeKind, Type

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
KINDS: Final[tuple[NodeKind, ...]] = ("artifact", "execution", "context")
NODE_CLASSES: Final = {Artifact: "artifact", Execution: "execution", Context: "context"}
_MICROSECOND: Final = timedelta(microseconds=1)


class NodeRow(NamedTuple):
    """One node: ids, not names, and its properties as text (see `whence.metadata.encode`)."""

    id: int
    kind: NodeKind
    type_id: int
    uid: str
    name: str | None
    external_id: str | None
    uri: str | None
    state: str | None
    properties: str
    created_us: int
    updated_us: int
    revision: int


NODE_FIELDS: Final = NodeRow._fields


class EventRow(NamedTuple):
    """One event between two stored nodes; `path` is canonical JSON, empty when there is none."""

    execution_id: int
    artifact_id: int
    kind: EventKind
    path: str
    at_us: int


def kind_of(node: AnyNode) -> NodeKind:
    """Which of the three kinds a node is."""
    return NODE_CLASSES[type(node)]  # type: ignore[return-value]  # the values of that table are node kinds


def to_moment(us: int) -> datetime:
    """Microseconds since 1970 as an aware time."""
    return EPOCH + timedelta(0, 0, us)


def to_us(moment: datetime) -> int:
    """An aware time as microseconds since 1970."""
    return (moment - EPOCH) // _MICROSECOND


def to_node(row: NodeRow, type_: Type) -> AnyNode:
    """The value object of a stored node; its properties are the caller's own copy."""
    properties, custom = decode(row.properties)
    created = to_moment(row.created_us)
    shared = {
        "type": type_.name,
        "type_version": type_.version,
        "name": row.name,
        "external_id": row.external_id,
        "properties": properties,
        "custom": custom,
        "uid": row.uid,
        "id": row.id,
        "created_at": created,
        "updated_at": created if row.updated_us == row.created_us else to_moment(row.updated_us),
        "revision": row.revision,
    }
    if row.kind == "artifact":
        shared["uri"], shared["state"] = row.uri, row.state
        return Artifact(**shared)  # type: ignore[arg-type]  # stored by us
    if row.kind == "execution":
        shared["state"] = row.state
        return Execution(**shared)  # type: ignore[arg-type]  # stored by us
    return Context(**shared)  # type: ignore[arg-type]  # stored by us


def to_event(row: EventRow, execution_uid: str, artifact_uid: str) -> Event:
    """The value object of a stored event."""
    path = tuple(msgspec.json.decode(row.path)) if row.path else ()
    return Event(execution_uid, artifact_uid, row.kind, path, to_moment(row.at_us))


def path_text(path: tuple[str | int, ...]) -> str:
    """An event's path as stored: JSON, at most 500 characters (it is part of a unique index)."""
    if not path:
        return ""
    text = msgspec.json.encode(list(path)).decode()
    if len(text) > 500:
        raise UsageError(f"an event's path has {len(text)} characters, at most 500 fit", code="too-long")
    return text
