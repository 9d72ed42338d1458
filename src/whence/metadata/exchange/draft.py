"""What a reader found in a document, gathered until all of it is understood, then written at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from whence._base.crash import crash_point, register
from whence._base.progress import progress
from whence.errors import ConflictError, UsageError
from whence.metadata.base import MetadataStore
from whence.metadata.exchange.sink import Received
from whence.metadata.exchange.trial import Trial
from whence.metadata.exchange.values import type_of
from whence.metadata.rows import KINDS
from whence.metadata.types import (
    DEFAULT_NAMESPACE,
    AnyNode,
    Artifact,
    ArtifactState,
    Context,
    Event,
    Execution,
    ExecutionState,
    NodeKind,
    PropertyType,
    Rows,
    Type,
    Value,
)

ARTIFACT_STATES: Final[frozenset[str]] = frozenset(ArtifactState.__args__)  # type: ignore[attr-defined]  # typing has no word for it
EXECUTION_STATES: Final[frozenset[str]] = frozenset(ExecutionState.__args__)  # type: ignore[attr-defined]
DECLARED: Final = register(
    "metadata.exchange.declared",
    "the types and namespaces of a document are there, its nodes and edges are not",
)
_TRIES: Final = 3
_Edge = tuple[str, str]


@dataclass(slots=True)
class Found:
    """One node as a document says it; times that it does not say are the store's own."""

    kind: NodeKind
    type: str
    uid: str
    type_version: str | None = None
    base: str | None = None
    name: str | None = None
    external_id: str | None = None
    namespace: str | None = None
    uri: str | None = None
    state: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    removed_at: datetime | None = None
    properties: dict[str, Value] = field(default_factory=dict)
    custom: dict[str, Value] = field(default_factory=dict)


class Draft:
    """Nodes and edges of one document."""

    def __init__(self) -> None:
        self._nodes: dict[str, Found] = {}
        self._events: list[Event] = []
        self._members: list[_Edge] = []
        self._parents: list[_Edge] = []
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

    def tell(self, what: str, n: int = 1) -> None:
        """Count something the graph has no place for."""
        self.told[what] = self.told.get(what, 0) + n

    def has(self, uid: str) -> bool:
        """Whether the document has this node."""
        return uid in self._nodes

    def kind(self, uid: str) -> NodeKind | None:
        """The kind of a node of the document."""
        found = self._nodes.get(uid)
        return None if found is None else found.kind

    def commit(self, store: MetadataStore) -> Received:
        """Write all of it, or nothing.

        The whole is tried before the first write, so a document that is refused leaves nothing. Then come its types,
        which only grow, and its namespaces; then its nodes, tombstones and edges in one transaction. Who is killed
        before that leaves types without nodes at most, and the same document read again goes on from there.

        Nodes come into the namespaces they name; through a handle on another namespace than the default, all into
        that one.

        Raises:
            ConflictError: A stored type has a property of another type (``type-conflict``), an external id or uid is
                another node's (``name-taken``), contexts would close a circle (``context-cycle``).
            UsageError: Something in it does not fit; as `MetadataStore.write` says.
            DeniedError: One of its namespaces is closed (``namespace-closed``).
        """
        types = self._types()
        total = len(self._nodes) + len(self._events) + len(self._members) + len(self._parents)
        with progress("bringing in", total=total) as step:
            new = self._write(store, types, step)
        return Received(
            nodes=len(self._nodes),
            edges=len(self._events) + len(self._members) + len(self._parents),
            new=new,
            left_out=dict(self.told),
        )

    def _write(self, store: MetadataStore, types: Sequence[Type], step: Callable[..., None]) -> int:
        """Write all of it; how many nodes are new."""
        for last in (False,) * (_TRIES - 1) + (True,):
            known = self._known(store)
            rows = self._rows(store, known)
            _try(store, types, rows)
            for type_ in types:
                store.put_type(type_, extend=True)
            ids = {name: store.put_namespace(name).id or 0 for name in _namespaces(store, rows)}
            crash_point(DECLARED)
            try:
                store.load([replace(rows, namespaces=ids)], on_progress=step)
            except ConflictError:  # somebody took a name since it was tried
                if last:
                    raise
                continue
            return len(rows.nodes)
        raise AssertionError  # the last try has returned or raised

    # what is there

    def _known(self, store: MetadataStore) -> dict[str, AnyNode]:
        """The stored nodes that nodes of the document are, by the document's uid: of its uid, or its type and name."""
        known: dict[str, AnyNode] = {}
        for kind in KINDS:
            uids = [node.uid for node in self._nodes.values() if node.kind == kind]
            known |= {node.uid: node for node in store.get_nodes(kind, uids=uids)} if uids else {}
        named: dict[tuple[NodeKind, str, str], dict[tuple[str | None, str], str]] = {}
        for found in self._nodes.values():
            if found.name is not None and found.uid not in known and found.removed_at is None:
                place = found.kind, found.type, _namespace(store, found)
                named.setdefault(place, {})[found.type_version, found.name] = found.uid
        there = {space.name for space in store.list_namespaces()}
        for (kind, type_, space), names in named.items():
            if space not in there:
                continue
            handle = store if space == store.namespace else store.in_namespace(space)
            for node in handle.find_nodes(kind, type_=type_, name={name for _, name in names}).nodes:
                uid = names.get((node.type_version, node.name or ""))
                if uid is not None:
                    known[uid] = node
        return known

    def _rows(self, store: MetadataStore, known: dict[str, AnyNode]) -> Rows:
        """What is to be written, in the store's own uids."""
        for uid, node in known.items():
            found = self._nodes[uid]
            if (node.type, node.type_version) != (found.type, found.type_version):
                raise ConflictError(
                    f"{found.kind} {uid} is stored with type {node.type!r}, not {found.type!r}",
                    code="name-taken",
                    details={"uid": node.uid},
                )
        # A tombstone takes no new edges; those it has are there.
        closed = {uid for uid, node in known.items() if node.removed_at is not None}

        def here(uid: str) -> str:
            return known[uid].uid if uid in known else uid

        def pairs(kind: NodeKind, given: Iterable[_Edge], place: int = 1) -> list[_Edge]:
            return [
                (here(pair[0]), here(pair[1]))
                for pair in given
                if closed.isdisjoint(pair) and self._kind(pair[place]) == kind
            ]

        return Rows(
            nodes=[_node(f, _namespace(store, f)) for uid, f in self._nodes.items() if uid not in known],
            events=[
                replace(e, execution=here(e.execution), artifact=here(e.artifact))
                for e in self._events
                if closed.isdisjoint((e.execution, e.artifact))
            ],
            attributions=pairs("artifact", self._members),
            associations=pairs("execution", self._members),
            parents=pairs("context", self._parents),
        )

    def _types(self) -> Sequence[Type]:
        found: dict[tuple[NodeKind, str, str | None], dict[str, PropertyType]] = {}
        bases: dict[tuple[NodeKind, str, str | None], str] = {}
        for node in self._nodes.values():
            key = node.kind, node.type, node.type_version
            declared = found.setdefault(key, {})
            if node.base is not None and bases.setdefault(key, node.base) != node.base:
                raise UsageError(
                    f"{node.kind} type {node.type!r} has the base {bases[key]!r} here and {node.base!r} there",
                    code="bad-document",
                )
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
        return [Type(*key[:2], props, key[2], base=bases.get(key)) for key, props in found.items()]

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


def _try(store: MetadataStore, types: Iterable[Type], rows: Rows) -> None:
    """Raise what writing would raise."""
    trial = Trial(store)
    trial.namespace(store.namespace)
    for name in _namespaces(store, rows):
        trial.namespace(name)
    for type_ in types:
        trial.type(type_)
    trial.rows(replace(rows, namespaces=trial.namespaces))


def _namespace(store: MetadataStore, found: Found) -> str:
    return (found.namespace or DEFAULT_NAMESPACE) if store.namespace == DEFAULT_NAMESPACE else store.namespace


def _namespaces(store: MetadataStore, rows: Rows) -> list[str]:
    """The namespaces, other than the handle's own, that nodes come into."""
    return sorted({node.namespace for node in rows.nodes} - {store.namespace})


def _node(found: Found, namespace: str) -> AnyNode:
    shared = {
        "type": found.type,
        "type_version": found.type_version,
        "name": found.name,
        "external_id": found.external_id,
        "uid": found.uid,
        "namespace": namespace,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "removed_at": found.removed_at,
        "properties": found.properties,
        "custom": found.custom,
    }
    if found.kind == "artifact":
        return Artifact(uri=found.uri, state=found.state or "LIVE", **shared)  # type: ignore[arg-type]  # checked by add
    if found.kind == "execution":
        return Execution(state=found.state or "UNKNOWN", **shared)  # type: ignore[arg-type]  # checked by add
    return Context(**shared)  # type: ignore[arg-type]  # checked by add
