"""What a reader found in a document, gathered until all of it is understood, then written at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from whence.errors import UsageError
from whence.metadata.base import MetadataStore
from whence.metadata.exchange.sink import Received
from whence.metadata.exchange.values import type_of
from whence.metadata.rows import KINDS
from whence.metadata.types import (
    AnyNode,
    Artifact,
    ArtifactState,
    Change,
    Context,
    Event,
    Execution,
    ExecutionState,
    NodeKind,
    PropertyType,
    Put,
    Removal,
    Type,
    Value,
)

ARTIFACT_STATES: Final[frozenset[str]] = frozenset(ArtifactState.__args__)  # type: ignore[attr-defined]  # typing has no word for it
EXECUTION_STATES: Final[frozenset[str]] = frozenset(ExecutionState.__args__)  # type: ignore[attr-defined]


@dataclass(slots=True)
class Found:
    """One node as a document says it."""

    kind: NodeKind
    type: str
    uid: str
    type_version: str | None = None
    name: str | None = None
    external_id: str | None = None
    uri: str | None = None
    state: str | None = None
    removed: bool = False
    properties: dict[str, Value] = field(default_factory=dict)
    custom: dict[str, Value] = field(default_factory=dict)


class Draft:
    """Nodes and edges of one document."""

    def __init__(self) -> None:
        self._nodes: dict[str, Found] = {}
        self._events: list[Event] = []
        self._members: list[tuple[str, str]] = []
        self._parents: list[tuple[str, str]] = []
        self.told: dict[str, int] = {}

    def add(self, node: Found) -> None:
        """Add a node.

        Raises:
            UsageError: The document has two nodes of that uid, or the state is none (``bad-document``).
        """
        if node.uid in self._nodes:
            raise UsageError(f"the document has two nodes {node.uid!r}", code="bad-document")
        states = {"artifact": ARTIFACT_STATES, "execution": EXECUTION_STATES}.get(node.kind)
        if node.state is not None and states is not None and node.state not in states:
            raise UsageError(
                f"{node.state!r} is no state of an {node.kind}", code="bad-document", near=sorted(states)
            )
        self._nodes[node.uid] = node

    def add_event(self, event: Event) -> None:
        """Add an event between an execution and an artifact of the document."""
        self._require(event.execution, "execution")
        self._require(event.artifact, "artifact")
        self._events.append(event)

    def add_member(self, context: str, node: str) -> None:
        """Put an artifact or execution into a context; a context becomes its child."""
        self._require(context, "context")
        if self._kind(node) == "context":
            self._parents.append((node, context))
        else:
            self._members.append((context, node))

    def tell(self, what: str) -> None:
        """Count something the graph has no place for."""
        self.told[what] = self.told.get(what, 0) + 1

    def has(self, uid: str) -> bool:
        """Whether the document has this node."""
        return uid in self._nodes

    def kind(self, uid: str) -> NodeKind | None:
        """The kind of a node of the document."""
        found = self._nodes.get(uid)
        return None if found is None else found.kind

    def commit(self, store: MetadataStore) -> Received:
        """Write all of it: types first, which only grow, then nodes and edges in one transaction.

        Raises:
            ConflictError: A stored type has a property of another type (``type-conflict``).
        """
        for type_ in self._types():
            store.put_type(type_, extend=True)
        known: dict[str, AnyNode] = {}
        for kind in KINDS:
            uids = [node.uid for node in self._nodes.values() if node.kind == kind]
            known |= {node.uid: node for node in store.get_nodes(kind, uids=uids)} if uids else {}
        # A tombstone takes no new edges; those it has are there.
        closed = {node.uid for node in known.values() if node.removed_at is not None}
        members = [pair for pair in self._members if closed.isdisjoint(pair)]
        change = Change(
            puts=[Put(_node(found), if_exists="reuse") for found in self._nodes.values()],
            events=[e for e in self._events if closed.isdisjoint((e.execution, e.artifact))],
            attributions=[pair for pair in members if self._kind(pair[1]) == "artifact"],
            associations=[pair for pair in members if self._kind(pair[1]) == "execution"],
            parents=[pair for pair in self._parents if closed.isdisjoint(pair)],
        )
        written = store.write(change).nodes
        gone = [f.uid for f in self._nodes.values() if f.removed and written[f.uid].removed_at is None]
        if gone:
            store.write(Change(removals=[Removal(uid, "removed where it came from") for uid in gone]))
        met = sum(written[uid].uid != uid for uid in self._nodes)
        return Received(
            nodes=len(self._nodes),
            edges=len(self._events) + len(self._members) + len(self._parents),
            new=len(self._nodes) - len(known) - met,
            left_out=dict(self.told),
        )

    def _types(self) -> Sequence[Type]:
        found: dict[tuple[NodeKind, str, str | None], dict[str, PropertyType]] = {}
        for node in self._nodes.values():
            declared = found.setdefault((node.kind, node.type, node.type_version), {})
            for name, value in node.properties.items():
                if value is None:
                    continue
                want = type_of(value)
                if {declared.setdefault(name, want), want} == {"INT", "DOUBLE"}:
                    declared[name] = "DOUBLE"
                elif declared[name] != want:
                    raise UsageError(
                        f"property {name!r} of {node.kind} type {node.type!r} is {declared[name]} here and {want} there",
                        code="bad-document",
                    )
        return [Type(kind, name, props, version) for (kind, name, version), props in found.items()]

    def _kind(self, uid: str) -> NodeKind:
        found = self._nodes.get(uid)
        if found is None:
            raise UsageError(f"an edge names {uid!r}, which is no node of the document", code="bad-document")
        return found.kind

    def _require(self, uid: str, kind: NodeKind) -> None:
        if (is_kind := self._kind(uid)) != kind:
            raise UsageError(
                f"an edge wants an {kind}, and {uid!r} is of kind {is_kind}", code="bad-document"
            )


def _node(found: Found) -> AnyNode:
    shared = {
        "type": found.type,
        "type_version": found.type_version,
        "name": found.name,
        "external_id": found.external_id,
        "uid": found.uid,
        "properties": found.properties,
        "custom": found.custom,
    }
    if found.kind == "artifact":
        state = "LIVE" if found.removed else found.state or "LIVE"
        return Artifact(uri=found.uri, state=state, **shared)  # type: ignore[arg-type]  # checked by add
    if found.kind == "execution":
        return Execution(state=found.state or "UNKNOWN", **shared)  # type: ignore[arg-type]  # checked by add
    return Context(**shared)  # type: ignore[arg-type]  # checked by add
