"""The one place where ML Metadata's notions meet the port of the graph.

Everything above asks in wire ids and gets value objects; everything the port says in other words, or cannot say yet,
is said here. Writes of one server take turns, so what was read for a write still holds when it is written.

Of the graph only one namespace is seen, that of the store: a node of another is as if it were not there, whatever way
leads to it. Types are those of the whole graph.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

from whence.integrations.mlmd.filters import among, within
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Direction,
    Event,
    Execution,
    MetadataStore,
    NodeKind,
    Subgraph,
    Type,
    Written,
)
from whence.metadata.filter import Filter
from whence.metadata.filter.types import Column, Compare, Constant
from whence.metadata.ids import node_id, wire_id
from whence.metadata.typetable import SIMPLE_NAMES
from whence.metadata.walk import Level, WalkQuery

N = TypeVar("N", bound=AnyNode)
Order: TypeAlias = Literal["id", "created_at", "updated_at"]
_PAGE: Final = 500
_MAX_ID: Final = 1 << 61  # the kind takes two bits of an id


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which nodes of a kind a list or a start of lineage asks for; what is None asks nothing."""

    type_: str | None = None
    version: str | None = None
    name: str | None = None
    uri: str | None = None
    external_id: str | None = None
    context: str | None = None
    matching: str | None = None

    def holds(self, node: AnyNode) -> bool:
        """What the port's own query does not ask: a list by type names one version, or the one without."""
        return self.type_ is None or node.type_version == self.version


class Graph:
    """A `MetadataStore` as ML Metadata sees it."""

    def __init__(self, store: MetadataStore) -> None:
        self.store = store
        self.turn = threading.RLock()
        self._types: dict[int, Type] = {}
        self._type_ids: dict[tuple[NodeKind, str, str | None], int] = {}

    # ids

    def wire_id(self, node: AnyNode) -> int:
        """The id a client sees: nodes of different kinds may have the same."""
        assert node.id is not None
        return wire_id(node.id)

    # types

    def types(self, kind: NodeKind) -> list[Type]:
        """The types of a kind, by id."""
        return self._read_types(kind)

    def is_simple(self, type_: Type) -> bool:
        """Whether it is one of the types every store has."""
        return type_.name in SIMPLE_NAMES

    def find_type(self, kind: NodeKind, name: str, version: str | None) -> Type | None:
        """The type, or None."""
        id_ = self._type_ids.get((kind, name, version))
        if id_ is None:
            self._read_types(kind)
            id_ = self._type_ids.get((kind, name, version))
        return None if id_ is None else self._types[id_]

    def type_by_id(self, kind: NodeKind, id_: int) -> Type | None:
        """The type, or None when no type of this kind has the id."""
        if id_ not in self._types:
            self._read_types(kind)
        found = self._types.get(id_)
        return found if found is not None and found.kind == kind else None

    def type_id(self, node: AnyNode, kind: NodeKind) -> int:
        """The id of a stored node's type."""
        found = self.find_type(kind, node.type, node.type_version)
        assert found is not None
        assert found.id is not None
        return found.id

    def put_type(self, type_: Type, *, extend: bool) -> Type:
        """Store a type."""
        stored = self.store.put_type(type_, extend=extend)
        self._know(stored)
        return stored

    def _read_types(self, kind: NodeKind) -> list[Type]:
        types = self.store.list_types(kind)
        for type_ in types:
            self._know(type_)
        return types

    def _know(self, type_: Type) -> None:
        assert type_.id is not None
        self._types[type_.id] = type_
        self._type_ids[type_.kind, type_.name, type_.version] = type_.id

    # nodes

    def nodes(self, kind: NodeKind, ids: Iterable[int]) -> list[AnyNode]:
        """The nodes with these wire ids, each once, by id; absent ones are left out."""
        wanted = sorted({i for i in ids if 0 < i < _MAX_ID})
        if not wanted:
            return []
        return self._own(self.store.get_nodes(kind, ids=[node_id(i, kind) for i in wanted]))

    def by_uid(self, kind: NodeKind, uids: Iterable[str]) -> list[AnyNode]:
        """The nodes with these uids, by id."""
        found = self._own(self.store.get_nodes(kind, uids=sorted(set(uids))))
        return sorted(found, key=self.wire_id)

    def _own(self, nodes: Iterable[N]) -> list[N]:
        """Those of these nodes that are seen."""
        namespace = self.store.namespace
        return [node for node in nodes if node.namespace == namespace]

    def is_alone(self) -> bool:
        """Whether the graph has no other namespace than the one that is seen."""
        return len(self.store.list_namespaces()) == 1

    def artifact(self, id_: int) -> Artifact | None:
        """The artifact with a wire id."""
        return next((n for n in self.nodes("artifact", [id_]) if isinstance(n, Artifact)), None)

    def execution(self, id_: int) -> Execution | None:
        """The execution with a wire id."""
        return next((n for n in self.nodes("execution", [id_]) if isinstance(n, Execution)), None)

    def context(self, id_: int) -> Context | None:
        """The context with a wire id."""
        return next((n for n in self.nodes("context", [id_]) if isinstance(n, Context)), None)

    def page(
        self,
        kind: NodeKind,
        wanted: Wanted,
        *,
        limit: int,
        order: Order = "id",
        descending: bool = False,
        cursor: str | None = None,
    ) -> tuple[list[AnyNode], str | None]:
        """At most `limit` nodes, and the cursor of the next."""
        out: list[AnyNode] = []
        matching = wanted.matching
        if matching is not None and not self.is_alone():
            matching = within(matching, kind, self.store.namespace)
        while True:
            page = self.store.find_nodes(
                kind,
                type_=wanted.type_,
                name=wanted.name,
                uri=wanted.uri,
                external_id=wanted.external_id,
                context=wanted.context,
                matching=matching,
                order_by=order,
                descending=descending,
                limit=limit - len(out),
                cursor=cursor,
            )
            out += [node for node in page.nodes if wanted.holds(node)]
            cursor = page.cursor
            if cursor is None or len(out) >= limit:
                return out, cursor

    def find(self, kind: NodeKind, wanted: Wanted) -> Iterator[AnyNode]:
        """All nodes that are wanted, by id."""
        cursor: str | None = None
        while True:
            nodes, cursor = self.page(kind, wanted, limit=_PAGE, cursor=cursor)
            yield from nodes
            if cursor is None:
                return

    def fitting(self, kind: NodeKind, filter_: str, nodes: Sequence[AnyNode]) -> set[str]:
        """Which of these nodes fit a filter, by uid."""
        ids = [self.wire_id(node) for node in nodes]
        return {
            node.uid
            for i in range(0, len(ids), _PAGE)
            for node in self.find(kind, Wanted(matching=among(filter_, ids[i : i + _PAGE])))
        }

    # edges

    def events(
        self, *, artifacts: Collection[str] | None = None, executions: Collection[str] | None = None
    ) -> list[Event]:
        """The events of artifacts or executions (uids), oldest first; the other end may be a node that is not seen."""
        if not artifacts and not executions:
            return []
        return self.store.list_events(artifacts=artifacts, executions=executions)

    def contexts_of(self, node: Artifact | Execution) -> list[Context]:
        """The contexts a node is in."""
        if isinstance(node, Artifact):
            return self._own(self.store.list_contexts(artifact=node.uid))
        return self._own(self.store.list_contexts(execution=node.uid))

    def parents(self, context: Context) -> list[Context]:
        """The parents of a context."""
        return self._own(self.store.list_contexts(child=context.uid))

    def children(self, context: Context) -> list[Context]:
        """The children of a context."""
        return self._own(self.store.list_contexts(parent=context.uid))

    def around(self, uids: Sequence[str]) -> Subgraph:
        """Artifacts and executions with the contexts they are in."""
        found = self.store.lineage(uids, max_hops=0)
        contexts = self._own(found.contexts)
        seen = {context.uid for context in contexts}
        return dataclasses.replace(
            found,
            contexts=contexts,
            attributions=[pair for pair in found.attributions if pair[0] in seen],
            associations=[pair for pair in found.associations if pair[0] in seen],
        )

    def walk(self, uids: Sequence[str], direction: Direction, max_hops: int | None) -> Iterator[Level]:
        """What these nodes came from or went into, level by level, over nodes that are seen."""
        stop = None
        if not self.is_alone():
            stop = Filter("", Compare("!=", Column("namespace"), Constant(self.store.namespace)))
        query = WalkQuery(
            uids, direction, max_hops=max_hops, internal=True, stop=stop, include_stops=stop is None
        )
        return self.store.walk(query)

    def write(self, change: Change) -> Written:
        """Write one change."""
        return self.store.write(change)
