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
from typing import Final, Literal, TypeAlias

from whence._base.ids import new_uid
from whence.metadata.lazy import Deferred

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
IfExists: TypeAlias = Literal["error", "reuse", "update", "replace"]
Verdict: TypeAlias = Literal["bad", "bad-onward", "repaired"]
Policy: TypeAlias = Literal["block", "retrain", "alert"]
GraphTable: TypeAlias = Literal[
    "artifacts",
    "executions",
    "contexts",
    "types",
    "events",
    "attributions",
    "associations",
    "parent_contexts",
    "marks",
    "history",
]
"""The tables as which the graph is read by SQL; see `MetadataStore.scan`."""

DEFAULT_NAMESPACE: Final = "default"
"""The namespace that every graph has."""

Struct: TypeAlias = Mapping[str, "Value"] | Sequence["Value"]
Value: TypeAlias = int | float | str | bool | bytes | Struct | None
"""A property value: INT, DOUBLE, STRING, BOOLEAN, PROTO (bytes) or STRUCT (JSON-like)."""

Properties: TypeAlias = Mapping[str, Value]
NONE: Properties = MappingProxyType({})

INPUT_KINDS: frozenset[str] = frozenset({"INPUT", "DECLARED_INPUT"})
OUTPUT_KINDS: frozenset[str] = frozenset({"OUTPUT", "DECLARED_OUTPUT", "PENDING_OUTPUT"})


@dataclass(frozen=True, slots=True)
class Type:
    """A type of node with its typed properties; identity is (kind, name, version).

    Attributes:
        kind: The kind of its nodes.
        name: 1 to 255 characters.
        properties: The typed properties that its nodes may have.
        version: Types of one name and several versions are several types.
        description: For people.
        base: One of the simple types (`whence.metadata.simple`), of the same kind.
        id: The store's to give.
        external_id: A name it has elsewhere, unique per kind.
        input_type: What its executions read, as the JSON text of an ``ArtifactStructType``; kept, never checked.
        output_type: What its executions write, in the same form.
    """

    kind: NodeKind
    name: str
    properties: Mapping[str, PropertyType] = field(default_factory=lambda: MappingProxyType({}))
    version: str | None = None
    description: str | None = None
    base: str | None = None
    id: int | None = None
    external_id: str | None = None
    input_type: str | None = None
    output_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Deferred):
    """What artifacts, executions and contexts share.

    `name` is unique per type when given, `external_id` unique per kind, both within a namespace. `id`, the
    times, `revision` and `namespace` are the store's to give.

    A node with `removed_at` is a **tombstone**: what it was is gone, its uid, type, name, times and edges
    stay, so that lineage holds together.
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
    namespace: str = DEFAULT_NAMESPACE
    removed_at: datetime | None = None

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

    A node with an `id` means the stored node of that id; else the stored one of its uid, then of its type
    and name. What happens to a stored node:

    ==========  ====================================================================================
    if_exists   then
    ==========  ====================================================================================
    error       refused; with an `id` it is an ``update``
    reuse       stays as it is
    update      state, and name, external id and uri where given, are replaced; the properties are
                merged over the stored ones. Always a new revision
    replace     all of that is replaced, and what is not given is taken away, but for the name. Nothing
                is written when nothing differs
    ==========  ====================================================================================

    Attributes:
        node: The node.
        if_exists: As above.
        revision: When given, the stored revision must be this one, else `ConflictError`.
        mask: Of a stored node, only these fields are replaced, given or not: ``name``, ``external_id``,
            ``uri``, ``state``, ``properties`` and ``custom`` whole, ``properties.X`` and ``custom.X`` one of them.
            With ``update`` or ``replace``, or an `id`; for a new node it says nothing.
        unchanged_since: When given, the stored node must not have been updated after this moment, else
            `ConflictError`.
        touch: The update counts (a new `revision` and `updated_at`) even if nothing differs.
    """

    node: AnyNode
    if_exists: IfExists = "error"
    revision: int | None = None
    mask: frozenset[str] | None = None
    unchanged_since: datetime | None = None
    touch: bool = False


@dataclass(frozen=True, slots=True)
class Removal:
    """A node to remove: a tombstone stays, with its edges; name and external id are free again at once.

    Attributes:
        uid: The node. A tombstone is left as it is.
        reason: Why; the tombstone shows it as ``custom["removed_reason"]``.
        principal: Who; the tombstone shows it as ``custom["removed_by"]``.
    """

    uid: str
    reason: str = ""
    principal: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Somebody's word that a node is bad, and what is to follow for everything made from it.

    Attributes:
        uid: The artifact or execution.
        reason: Why, for people.
        policy: ``block`` refuses new executions on what descends from it; ``retrain`` and ``alert`` are
            told to those who listen.
        verdict: ``bad``: the node is. ``bad-onward``: it is, and so are the later versions of it (see
            `whence.metadata.series`). ``repaired``: it is not, although versions before it are; never in force itself.
        principal: Who says it.
        id: The store's to give; ids grow with time.
        at: When, the store's to give.
        lifted_at: When it was taken back, if it was.
        lifted_by: Who took it back.
    """

    uid: str
    reason: str = ""
    policy: Policy = "block"
    verdict: Verdict = "bad"
    principal: str = ""
    id: int | None = None
    at: datetime | None = None
    lifted_at: datetime | None = None
    lifted_by: str | None = None


@dataclass(frozen=True, slots=True)
class Lift:
    """A mark (by its id) to take back; lifting it again changes nothing."""

    mark: int
    principal: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction on the graph: all of it is written, or nothing.

    Edges name nodes by uid, stored ones or those of this change; where a put met an existing node,
    its given uid stands for the stored one. Removals come first, then puts, edges, marks and lifts.
    """

    puts: Sequence[Put] = ()
    events: Sequence[Event] = ()
    attributions: Sequence[tuple[str, str]] = ()
    """(context uid, artifact uid)"""
    associations: Sequence[tuple[str, str]] = ()
    """(context uid, execution uid)"""
    parents: Sequence[tuple[str, str]] = ()
    """(child context uid, parent context uid)"""
    removals: Sequence[Removal] = ()
    marks: Sequence[Mark] = ()
    lifts: Sequence[Lift] = ()
    strict_events: bool = False
    """Refuse an event whose execution, artifact and kind have one already, whatever its path; else the same
    event (path and all) again is no event."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a `Change` became: stored nodes by the uid they were given; its marks as stored, then those it lifted."""

    nodes: Mapping[str, AnyNode]
    marks: Sequence[Mark] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch of `MetadataStore.load`: nodes and edges as they were elsewhere, with times and ids of their own.

    Attributes:
        nodes: `created_at` and `updated_at` are stored as given (None: now), and so is an `id` (None: the store
            gives one). A node whose uid is stored replaces it whole, times too, if they differ. One with `removed_at`
            is a new tombstone, with the edges given here; its `custom` says ``removed_reason`` and ``removed_by``.
        events: Edges name nodes by uid, stored ones or those of this batch; one that is there is left.
        attributions: (context uid, artifact uid).
        associations: (context uid, execution uid).
        parents: (child context uid, parent context uid).
        imported: (kind, id there, uid): kept as the map of foreign ids, see `MetadataStore.list_imported`.
        source: Where they come from: the name under which that map is kept.
        namespaces: The ids of the namespaces that nodes may name, for a batch that fills several; a node that
            names another one, and without this every node, comes into the handle's own.
    """

    nodes: Sequence[AnyNode] = ()
    events: Sequence[Event] = ()
    attributions: Sequence[tuple[str, str]] = ()
    associations: Sequence[tuple[str, str]] = ()
    parents: Sequence[tuple[str, str]] = ()
    imported: Sequence[tuple[NodeKind, int, str]] = ()
    source: str = ""
    namespaces: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a bulk load wrote: rows that are new, and nodes that differed from what was stored."""

    n_nodes: int = 0
    n_updated: int = 0
    n_events: int = 0
    n_members: int = 0
    n_parents: int = 0


@dataclass(frozen=True, slots=True)
class Imported:
    """A node that was brought in, and the id it had where it came from."""

    kind: NodeKind
    their_id: int
    uid: str
    id: int


@dataclass(frozen=True, slots=True)
class Purged:
    """What was taken out of the store for good."""

    n_nodes: int = 0
    n_events: int = 0
    n_members: int = 0


@dataclass(frozen=True, slots=True)
class Namespace:
    """A part of the graph in which names and external ids are unique; types are shared.

    Attributes:
        name: 1 to 64 characters.
        closed: Nothing is written into it any more.
        id: The store's to give; 0 is the one that every graph has.
        created_at: When it was made.
    """

    name: str
    closed: bool = False
    id: int | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life of a process that runs executions; the times are the store's own clock's.

    Attributes:
        uid: The life.
        host: Where it runs.
        pid: The process there.
        started_at: Its first beat.
        beat_at: Its last.
    """

    uid: str
    host: str
    pid: int
    started_at: datetime | None = None
    beat_at: datetime | None = None


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
