"""Nodes and edges as they are stored, the same for every backend."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias, cast

import msgspec

from whence.errors import UsageError
from whence.metadata.encode import decode
from whence.metadata.lazy import Source, defer, set_source
from whence.metadata.types import (
    DEFAULT_NAMESPACE,
    AnyNode,
    Artifact,
    Context,
    Event,
    EventKind,
    Execution,
    Mark,
    Node,
    NodeKind,
    Policy,
    Type,
    Verdict,
)

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
KINDS: Final[tuple[NodeKind, ...]] = ("artifact", "execution", "context")
NODE_CLASSES: Final = {Artifact: "artifact", Execution: "execution", Context: "context"}
_MICROSECOND: Final = timedelta(microseconds=1)

Setter: TypeAlias = Callable[[Any, Any], None]  # Any: a node, and a field's value


def _setters(cls: type) -> dict[str, Setter]:
    return {name: cls.__dict__[name].__set__ for name in cls.__slots__}  # type: ignore[attr-defined]


SETTERS: Final[dict[type[AnyNode], dict[str, Setter]]] = {
    cls: {**_setters(Node), **_setters(cls)} for cls in (Artifact, Execution, Context)
}
"""How a field of a deferred node is set, by class and name."""


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
    namespace_id: int = 0
    removed_us: int | None = None


class EventRow(NamedTuple):
    """One event between two stored nodes; `path` is canonical JSON, empty when there is none."""

    execution_id: int
    artifact_id: int
    kind: EventKind
    path: str
    at_us: int
    position: int = 0
    """its place among the events of its change"""
    known_us: int | None = None
    """when it was written; None: when it happened"""


class PastRow(NamedTuple):
    """What a node was before its revision became the next: see `whence.metadata.past`."""

    node_id: int
    revision: int
    until_us: int
    """since when it is no longer so"""
    delta: str


class MarkRow(NamedTuple):
    """One mark of a node."""

    id: int
    node_id: int
    verdict: Verdict
    policy: Policy
    reason: str
    principal: str
    at_us: int
    lifted_us: int | None = None
    lifted_by: str | None = None


class Tombstone(msgspec.Struct, omit_defaults=True):
    """What stays of a removed node's text, under ``t`` beside empty properties."""

    n: str | None = None
    """its name"""
    x: str | None = None
    """its external id"""
    r: str = ""
    """why it was removed"""
    b: str = ""
    """who removed it"""
    e: int | None = None
    """the epoch of a version: a mark on it ends at another one"""


class _Removed(msgspec.Struct):
    t: Tombstone
    p: dict[str, None] = {}
    c: dict[str, None] = {}


_removed_decoder = msgspec.json.Decoder(_Removed)


def tombstone_text(tombstone: Tombstone) -> str:
    """The text that a removed node has in place of its properties.

    Example:
        >>> tombstone_text(Tombstone(n="late@1", r="asked to"))
        '{"t":{"n":"late@1","r":"asked to"},"p":{},"c":{}}'
    """
    return msgspec.json.encode(_Removed(tombstone)).decode()


def version_name(name: str | None) -> tuple[str, int] | None:
    """The name and the number of a version; None when it is none. Each number is written in one way.

    Example:
        >>> version_name("flights@12"), version_name("flights@012"), version_name("april")
        (('flights', 12), None, None)
    """
    of, at, number = (name or "").rpartition("@")
    if not at or not number.isascii() or not number.isdecimal() or (number[0] == "0" and number != "0"):
        return None
    return of, int(number)


def leave(row: NodeRow, reason: str, principal: str) -> Tombstone:
    """What stays of a node that is removed: its names, and of a version its epoch."""
    was = Tombstone(row.name, row.external_id, reason, principal)
    if row.kind == "artifact" and version_name(row.name) is not None:
        typed, custom = decode(row.properties)
        was.e = _whole(typed.get("epoch", custom.get("epoch")))
    return was


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def tombstone_of(node: AnyNode) -> Tombstone:
    """What a removed node says of itself; what it would not say is left out."""
    reason, principal = node.custom.get("removed_reason"), node.custom.get("removed_by")
    return Tombstone(
        node.name,
        node.external_id,
        reason if isinstance(reason, str) else "",
        principal if isinstance(principal, str) else "",
        _whole(node.custom.get("removed_epoch")),
    )


def to_tombstone(row: NodeRow, was: Tombstone, removed_us: int) -> NodeRow:
    """What stays of a node: its uid, its type and its times; its name and external id are free."""
    return row._replace(
        name=None,
        external_id=None,
        uri=None,
        state="DELETED" if row.kind == "artifact" else row.state,
        properties=tombstone_text(was),
        removed_us=removed_us,
    )


def read_tombstone(text: str) -> Tombstone:
    """What stays of a removed node."""
    return _removed_decoder.decode(text).t


def kind_of(node: AnyNode) -> NodeKind:
    """Which of the three kinds a node is."""
    return NODE_CLASSES[type(node)]  # type: ignore[return-value]  # the values of that table are node kinds


def to_moment(us: int) -> datetime:
    """Microseconds since 1970 as an aware time."""
    return EPOCH + timedelta(0, 0, us)


def to_us(moment: datetime) -> int:
    """An aware time as microseconds since 1970."""
    return (moment - EPOCH) // _MICROSECOND


def to_node(row: NodeRow, type_: Type, namespace: str = DEFAULT_NAMESPACE) -> AnyNode:
    """The value object of a stored node, its fields read when they are looked at; its properties are its own copy."""
    return defer(_CLASSES[row[1]], (fill_node, row, type_, namespace))


_CLASSES: Final[dict[NodeKind, type[AnyNode]]] = {
    "artifact": Artifact,
    "execution": Execution,
    "context": Context,
}
(
    _set_type,
    _set_type_version,
    _set_name,
    _set_external_id,
    _set_properties,
    _set_custom,
    _set_uid,
    _set_id,
    _set_created_at,
    _set_updated_at,
    _set_revision,
    _set_namespace,
    _set_removed_at,
) = SETTERS[Context].values()
_set_uri: Final = SETTERS[Artifact]["uri"]
_set_artifact_state: Final = SETTERS[Artifact]["state"]
_set_execution_state: Final = SETTERS[Execution]["state"]


def fill_node(node: AnyNode, field: str, source: Source) -> bool:
    """Set all fields but the properties; these too when one of them is asked for."""
    _, row, type_, namespace = source
    id_, kind, _, uid, name, external_id, uri, state, text, created_us, updated_us, revision, _, removed = row
    _set_type(node, type_.name)
    _set_type_version(node, type_.version)
    _set_uid(node, uid)
    _set_id(node, id_)
    created = EPOCH + timedelta(0, 0, created_us)
    _set_created_at(node, created)
    _set_updated_at(node, created if updated_us == created_us else EPOCH + timedelta(0, 0, updated_us))
    _set_revision(node, revision)
    _set_namespace(node, namespace)
    if kind == "artifact":
        _set_uri(node, uri)
        _set_artifact_state(node, state)
    elif kind == "execution":
        _set_execution_state(node, state)
    if removed is not None:
        _fill_tombstone(node, row)
        return True
    _set_name(node, name)
    _set_external_id(node, external_id)
    _set_removed_at(node, None)
    if field in ("properties", "custom"):
        return _fill_properties(node, field, (None, text))
    set_source(node, (_fill_properties, text))
    return False


def _fill_properties(node: AnyNode, field: str, source: Source) -> bool:  # noqa: ARG001 - both come together
    """Set the properties, typed and custom."""
    typed, custom = decode(source[1])
    _set_properties(node, typed)
    _set_custom(node, custom)
    return True


def _fill_tombstone(node: AnyNode, row: NodeRow) -> None:
    was = read_tombstone(row.properties)
    _set_name(node, was.n)
    _set_external_id(node, was.x)
    assert row.removed_us is not None
    _set_removed_at(node, to_moment(row.removed_us))
    _set_properties(node, {})
    said = {"removed_reason": was.r, "removed_by": was.b}
    epoch = {} if was.e is None else {"removed_epoch": was.e}
    _set_custom(node, {key: value for key, value in said.items() if value} | epoch)


def to_event(row: EventRow, execution_uid: str, artifact_uid: str) -> Event:
    """The value object of a stored event."""
    path = tuple(msgspec.json.decode(row.path)) if row.path else ()
    return Event(execution_uid, artifact_uid, row.kind, path, to_moment(row.at_us))


def to_mark(row: MarkRow, uid: str) -> Mark:
    """The value object of a stored mark."""
    return Mark(
        uid=uid,
        reason=row.reason,
        policy=row.policy,
        verdict=row.verdict,
        principal=row.principal,
        id=row.id,
        at=to_moment(row.at_us),
        lifted_at=None if row.lifted_us is None else to_moment(row.lifted_us),
        lifted_by=row.lifted_by,
    )


def path_text(path: tuple[str | int, ...]) -> str:
    """An event's path as stored: JSON, at most 500 characters (it is part of a unique index)."""
    if not path:
        return ""
    if isinstance(cast("object", path), str):
        raise UsageError(
            f"an event's path is a list of steps, got the text {path!r:.80}",
            code="bad-event",
            hint="write (path,)",
        )
    for step in cast("tuple[object, ...]", path):
        if not isinstance(step, str | int) or isinstance(step, bool):
            raise UsageError(
                f"a step of an event's path is text or a whole number, got {step!r:.80}", code="bad-event"
            )
    try:
        text = msgspec.json.encode(list(path)).decode()
    except UnicodeEncodeError as error:
        raise UsageError(f"an event's path is not valid Unicode: {error}", code="invalid-text") from error
    if len(text) > 500:
        raise UsageError(f"an event's path has {len(text)} characters, at most 500 fit", code="too-long")
    return text
