"""The data model of the provenance graph: what happened, to what, inside what.

An **execution** reads and writes **artifacts** (an **event** each) inside **contexts**. Every node
has a type with typed properties, an int64 `id` given by the store, and a `uid`, its public name,
given by whoever makes it.

Source:
    ML Metadata's data model, enum names included. Differs: `uid`, `revision` (grows with every
    update, for optimistic writes), aware datetimes, plain Python values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal, TypeAlias

from whence._base.ids import new_uid

NodeKind: TypeAlias = Literal["artifact", "execution", "context"]
PropertyType: TypeAlias = Literal["INT", "DOUBLE", "STRING", "STRUCT", "PROTO", "BOOLEAN"]
ArtifactState: TypeAlias = Literal[
    "UNKNOWN", "PENDING", "LIVE", "MARKED_FOR_DELETION", "DELETED", "ABANDONED", "REFERENCE"
]
ExecutionState: TypeAlias = Literal["UNKNOWN", "NEW", "RUNNING", "COMPLETE", "FAILED", "CACHED", "CANCELED"]
EventKind: TypeAlias = Literal[
    "DECLARED_OUTPUT",
    "DECLARED_INPUT",
    "INPUT",
    "OUTPUT",
    "INTERNAL_INPUT",
    "INTERNAL_OUTPUT",
    "PENDING_OUTPUT",
]
Direction: TypeAlias = Literal["up", "down", "both"]
IfExists: TypeAlias = Literal["error", "reuse", "update"]

Struct: TypeAlias = Mapping[str, "Value"] | Sequence["Value"]
Value: TypeAlias = int | float | str | bool | bytes | Struct | None
"""A property value: INT, DOUBLE, STRING, BOOLEAN, PROTO (bytes) or STRUCT (JSON-like)."""

Properties: TypeAlias = Mapping[str, Value]
NONE: Properties = MappingProxyType({})

INPUT_KINDS: frozenset[str] = frozenset({"INPUT", "DECLARED_INPUT"})
OUTPUT_KINDS: frozenset[str] = frozenset({"OUTPUT", "DECLARED_OUTPUT", "PENDING_OUTPUT"})


@dataclass(frozen=True, slots=True)
class Type:
    """A type of node with its typed properties; identity is (kind, name, version)."""

    kind: NodeKind
    name: str
    properties: Mapping[str, PropertyType] = field(default_factory=lambda: MappingProxyType({}))
    version: str | None = None
    description: str | None = None
    base: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What artifacts, executions and contexts share.

    `name` is unique per type when given, `external_id` unique per kind. `id`, the times and
    `revision` are the store's to give.
    """

    type: str
    type_version: str | None = None
    name: str | None = None
    external_id: str | None = None
    properties: Properties = field(default_factory=lambda: NONE)
    custom: Properties = field(default_factory=lambda: NONE)
    uid: str = field(default_factory=new_uid)
    id: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    revision: int = 0

    def get(self, name: str, default: Value = None) -> Value:
        """A property, typed or custom, by name."""
        if name in self.properties:
            return self.properties[name]
        return self.custom.get(name, default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(Node):
    """A thing with bytes or rows somewhere: a table version, a model version, statistics, a report."""

    uri: str | None = None
    state: ArtifactState = "LIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution(Node):
    """Something that happened. Its `name`, when given, is its key: repetition is the same thing."""

    state: ExecutionState = "NEW"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(Node):
    """A group: project, pipeline, pipeline run, experiment, registered model."""


AnyNode: TypeAlias = Artifact | Execution | Context


@dataclass(frozen=True, slots=True)
class Event:
    """An execution read or wrote an artifact. `path` says in which role: ``("rows",)``, ``("model", 0)``."""

    execution: str
    artifact: str
    kind: EventKind
    path: tuple[str | int, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """One node to write.

    Attributes:
        node: The node. With ``id`` None it is new, unless its uid or (type, name) exists.
        if_exists: ``error`` refuses; ``reuse`` keeps what is stored; ``update`` replaces state and
            uri (when given) and merges the properties over the stored ones.
        revision: When given, the stored revision must be this one, else `ConflictError`.
    """

    node: AnyNode
    if_exists: IfExists = "error"
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction on the graph: all of it is written, or nothing.

    Edges name nodes by uid, stored ones or those of this change; where a put met an existing node,
    its given uid stands for the stored one.
    """

    puts: Sequence[Put] = ()
    events: Sequence[Event] = ()
    attributions: Sequence[tuple[str, str]] = ()
    """(context uid, artifact uid)"""
    associations: Sequence[tuple[str, str]] = ()
    """(context uid, execution uid)"""
    parents: Sequence[tuple[str, str]] = ()
    """(child context uid, parent context uid)"""


@dataclass(frozen=True, slots=True)
class Written:
    """What a `Change` became: stored nodes by the uid they were given."""

    nodes: Mapping[str, AnyNode]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of nodes, and the cursor of the next (None at the end)."""

    nodes: Sequence[AnyNode]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Subgraph:
    """A piece of the graph: nodes, the events between them, and the contexts they are in."""

    artifacts: Sequence[Artifact]
    executions: Sequence[Execution]
    events: Sequence[Event]
    contexts: Sequence[Context] = ()
    attributions: Sequence[tuple[str, str]] = ()
    associations: Sequence[tuple[str, str]] = ()
