"""The graph in memory: for tests and for work that nobody needs to remember."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from whence.errors import NotFoundError
from whence.metadata.base import MetadataStore
from whence.metadata.filter import Evaluator
from whence.metadata.plan import Plan, Wanted, make_plan
from whence.metadata.query import Query, make_query, matches, next_cursor, order_value
from whence.metadata.rows import EventRow, NodeRow, to_event, to_node
from whence.metadata.simple import SIMPLE_TYPES
from whence.metadata.types import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Direction,
    Event,
    Execution,
    NodeKind,
    Page,
    Subgraph,
    Type,
    Value,
    Written,
)
from whence.metadata.typetable import TypeTable, followed, merge_type

SCHEMA_VERSION = 1


class MemoryStore(MetadataStore):
    """A `MetadataStore` in dictionaries; threads share it, processes do not."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._types = TypeTable([dataclasses.replace(t, id=i) for i, t in enumerate(SIMPLE_TYPES, 1)])
        self._rows: dict[int, NodeRow] = {}
        self._by_uid: dict[str, int] = {}
        self._by_name: dict[tuple[int, str], int] = {}
        self._by_external: dict[tuple[NodeKind, str], int] = {}
        self._events: list[EventRow] = []
        self._event_keys: set[tuple[int, int, str, str]] = set()
        self._of_execution: dict[int, list[int]] = defaultdict(list)
        self._of_artifact: dict[int, list[int]] = defaultdict(list)
        self._members: dict[tuple[int, int], None] = {}
        self._contexts_of: dict[int, set[int]] = defaultdict(set)
        self._parents: dict[int, dict[int, None]] = defaultdict(dict)

    def put_type(self, type_: Type, *, extend: bool = False) -> Type:
        with self._lock:
            stored = merge_type(self._types, type_, extend=extend)
            if stored.id is None:
                stored = dataclasses.replace(stored, id=len(self._types.all()) + 1)
            self._types.add(stored)
            return stored

    def list_types(self, kind: NodeKind | None = None) -> list[Type]:
        with self._lock:
            return [t for t in self._types.all() if kind is None or t.kind == kind]

    def write(self, change: Change) -> Written:
        with self._lock:
            plan = make_plan(change, _MemoryLookup(self), time.time_ns() // 1_000)
            self._carry_out(plan)
            return Written({uid: self._node(row) for uid, row in plan.given.items()})

    def _carry_out(self, plan: Plan) -> None:
        for row in (*plan.inserts.values(), *plan.updates.values()):
            old = self._rows.get(row.id)
            if old is not None and old.name is not None:
                del self._by_name[old.type_id, old.name]
            if old is not None and old.external_id is not None:
                del self._by_external[old.kind, old.external_id]
            self._rows[row.id] = row
            self._by_uid[row.uid] = row.id
            if row.name is not None:
                self._by_name[row.type_id, row.name] = row.id
            if row.external_id is not None:
                self._by_external[row.kind, row.external_id] = row.id
        for event in plan.events:
            self._add_event(event)
        for context, node in plan.members:
            self._members[context, node] = None
            self._contexts_of[node].add(context)
        for child, parent in plan.parents:
            self._parents[child][parent] = None

    def _add_event(self, event: EventRow) -> None:
        key = (event.execution_id, event.artifact_id, event.kind, event.path)
        if key in self._event_keys:
            return
        self._event_keys.add(key)
        self._of_execution[event.execution_id].append(len(self._events))
        self._of_artifact[event.artifact_id].append(len(self._events))
        self._events.append(event)

    def get_nodes(
        self, kind: NodeKind, *, ids: Sequence[int] | None = None, uids: Sequence[str] | None = None
    ) -> list[AnyNode]:
        with self._lock:
            wanted = [*(ids or ()), *(self._by_uid.get(uid, 0) for uid in uids or ())]
            rows = [self._rows[i] for i in wanted if i in self._rows]
            return [self._node(row) for row in rows if row.kind == kind]

    def find_nodes(
        self,
        kind: NodeKind,
        *,
        type_: str | Collection[str] | None = None,
        name: str | Collection[str] | None = None,
        name_prefix: str | None = None,
        external_id: str | None = None,
        uri: str | None = None,
        state: str | Collection[str] | None = None,
        context: str | None = None,
        where: Mapping[str, Value] | None = None,
        matching: str | None = None,
        order_by: Literal["id", "created_at", "updated_at"] = "id",
        descending: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        query = make_query(
            kind,
            type_=type_,
            name=name,
            name_prefix=name_prefix,
            external_id=external_id,
            uri=uri,
            state=state,
            context=context,
            where=where,
            matching=matching,
            order_by=order_by,
            descending=descending,
            limit=limit,
            cursor=cursor,
        )
        with self._lock:
            return self._page(query)

    def _page(self, query: Query) -> Page:
        asked = Evaluator(_MemoryGraph(self))
        found = sorted(
            (row for row in self._rows.values() if self._fits(row, query, asked)),
            key=lambda row: (order_value(query, row), row.id),
            reverse=query.descending,
        )
        rest = found if query.limit is None else found[: query.limit]
        more = len(rest) < len(found)
        return Page([self._node(row) for row in rest], next_cursor(query, rest[-1]) if more else None)

    def _fits(self, row: NodeRow, query: Query, asked: Evaluator) -> bool:
        if row.kind != query.kind:
            return False
        if query.types is not None and self._types.by_id(row.type_id).name not in query.types:
            return False
        if query.after is not None:
            place = (order_value(query, row), row.id)
            if not (place < query.after if query.descending else place > query.after):
                return False
        if query.context is not None and self._by_uid.get(query.context) not in self._contexts_of[row.id]:
            return False
        node = self._node(row) if query.where else None
        if not matches(row, query, {**node.custom, **node.properties} if node else None):
            return False
        return query.matching is None or asked.fits(query.matching, node or self._node(row))

    def list_events(
        self, *, artifacts: Collection[str] | None = None, executions: Collection[str] | None = None
    ) -> list[Event]:
        with self._lock:
            wanted: set[int] = set()
            for uid in artifacts or ():
                wanted.update(self._of_artifact.get(self._by_uid.get(uid, 0), ()))
            for uid in executions or ():
                wanted.update(self._of_execution.get(self._by_uid.get(uid, 0), ()))
            return [self._event(i) for i in self._in_order(wanted)]

    def _in_order(self, events: Iterable[int]) -> list[int]:
        return sorted(events, key=lambda i: (self._events[i].at_us, i))

    def list_contexts(
        self, *, artifact: str | None = None, execution: str | None = None, child: str | None = None
    ) -> list[Context]:
        with self._lock:
            found: set[int] = set()
            for uid, kind in ((artifact, "artifact"), (execution, "execution")):
                row = self._rows.get(self._by_uid.get(uid or "", 0))
                if row is not None and row.kind == kind:
                    found |= self._contexts_of[row.id]
            found.update(self._parents.get(self._by_uid.get(child or "", 0), ()))
            nodes = [self._node(self._rows[i]) for i in sorted(found)]
            return [n for n in nodes if isinstance(n, Context)]

    def lineage(
        self,
        starts: Sequence[str],
        *,
        direction: Direction = "up",
        max_hops: int | None = None,
        internal: bool = False,
    ) -> Subgraph:
        with self._lock:
            seen = dict.fromkeys(self._start(uid) for uid in starts)
            frontier, hops = list(seen), 0
            while frontier and (max_hops is None or hops < max_hops):
                reached: dict[int, None] = {}
                for node in frontier:
                    reached.update(dict.fromkeys(self._neighbours(node, direction, internal=internal)))
                frontier = [node for node in reached if node not in seen]
                seen.update(dict.fromkeys(frontier))
                hops += 1
            return self._subgraph(seen.keys(), internal=internal)

    def _start(self, uid: str) -> int:
        id_ = self._by_uid.get(uid)
        if id_ is None or self._rows[id_].kind == "context":
            raise NotFoundError("node", uid)
        return id_

    def _neighbours(self, id_: int, direction: Direction, *, internal: bool) -> Iterable[int]:
        reads, writes = followed(internal=internal)
        if self._rows[id_].kind == "artifact":
            kinds = {"up": writes, "down": reads, "both": reads | writes}[direction]
            return [e.execution_id for i in self._of_artifact[id_] if (e := self._events[i]).kind in kinds]
        kinds = {"up": reads, "down": writes, "both": reads | writes}[direction]
        return [e.artifact_id for i in self._of_execution[id_] if (e := self._events[i]).kind in kinds]

    def _subgraph(self, ids: Collection[int], *, internal: bool) -> Subgraph:
        reads, writes = followed(internal=internal)
        inside = set(ids)
        events = [
            i
            for node in inside
            for i in self._of_execution.get(node, ())
            if self._events[i].artifact_id in inside and self._events[i].kind in reads | writes
        ]
        nodes = [self._node(self._rows[i]) for i in sorted(inside)]
        members = sorted((c, n) for n in inside for c in self._contexts_of.get(n, ()))
        pairs = [(self._rows[c].uid, self._rows[n].uid, self._rows[n].kind) for c, n in members]
        contexts = [self._node(self._rows[c]) for c in sorted({c for c, _ in members})]
        return Subgraph(
            artifacts=[n for n in nodes if isinstance(n, Artifact)],
            executions=[n for n in nodes if isinstance(n, Execution)],
            events=[self._event(i) for i in self._in_order(events)],
            contexts=[c for c in contexts if isinstance(c, Context)],
            attributions=[(c, n) for c, n, kind in pairs if kind == "artifact"],
            associations=[(c, n) for c, n, kind in pairs if kind == "execution"],
        )

    def schema_version(self) -> int:
        return SCHEMA_VERSION

    def close(self) -> None:
        pass

    def _node(self, row: NodeRow) -> AnyNode:
        return to_node(row, self._types.by_id(row.type_id))

    def _event(self, index: int) -> Event:
        row = self._events[index]
        return to_event(row, self._rows[row.execution_id].uid, self._rows[row.artifact_id].uid)


class _MemoryGraph:
    """What a filter asks of a `MemoryStore`, under its lock; see `whence.metadata.filter.Graph`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._nodes: dict[int, AnyNode] = {}
        self._in: dict[int, list[int]] | None = None
        self._below: dict[int, list[int]] | None = None

    def node(self, uid: str) -> AnyNode:
        return self._at(self._store._by_uid[uid])  # noqa: SLF001 - its own store

    def type(self, node: AnyNode) -> Type:
        store = self._store
        return store._types.by_id(store._rows[_id(node)].type_id)  # noqa: SLF001

    def events(self, node: AnyNode) -> list[Event]:
        store = self._store
        of = store._of_artifact if isinstance(node, Artifact) else store._of_execution  # noqa: SLF001
        return [store._event(i) for i in of.get(_id(node), ())]  # noqa: SLF001

    def contexts(self, node: AnyNode) -> list[AnyNode]:
        return [self._at(c) for c in sorted(self._store._contexts_of.get(_id(node), ()))]  # noqa: SLF001

    def members(self, context: AnyNode) -> list[AnyNode]:
        if self._in is None:
            self._in = defaultdict(list)
            for group, member in self._store._members:  # noqa: SLF001
                self._in[group].append(member)
        return [self._at(n) for n in self._in.get(_id(context), ())]

    def parents(self, context: AnyNode) -> list[AnyNode]:
        return [self._at(p) for p in self._store._parents.get(_id(context), ())]  # noqa: SLF001

    def children(self, context: AnyNode) -> list[AnyNode]:
        if self._below is None:
            self._below = defaultdict(list)
            for child, parents in self._store._parents.items():  # noqa: SLF001
                for parent in parents:
                    self._below[parent].append(child)
        return [self._at(c) for c in self._below.get(_id(context), ())]

    def _at(self, id_: int) -> AnyNode:
        if id_ not in self._nodes:
            self._nodes[id_] = self._store._node(self._store._rows[id_])  # noqa: SLF001
        return self._nodes[id_]


def _id(node: AnyNode) -> int:
    assert node.id is not None
    return node.id


class _MemoryLookup:
    """What a plan asks of a `MemoryStore`, under its lock."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def type(self, kind: NodeKind, name: str, version: str | None, properties: Collection[str]) -> Type:  # noqa: ARG002 - nobody else can extend it
        return self._store._types.get(kind, name, version)  # noqa: SLF001 - its own store

    def rows(self, wanted: Wanted) -> Iterable[NodeRow]:
        store = self._store
        ids = set(wanted.ids)
        ids.update(store._by_uid.get(uid, 0) for uid in wanted.uids)  # noqa: SLF001
        ids.update(store._by_name.get(pair, 0) for pair in wanted.names)  # noqa: SLF001
        ids.update(store._by_external.get(pair, 0) for pair in wanted.external_ids)  # noqa: SLF001
        return [store._rows[i] for i in ids if i in store._rows]  # noqa: SLF001

    def next_id(self) -> int:
        return len(self._store._rows) + 1  # noqa: SLF001 - nodes are never removed

    def parents(self, ids: Collection[int]) -> Iterable[tuple[int, int]]:
        return [(child, parent) for child in ids for parent in self._store._parents.get(child, ())]  # noqa: SLF001


__all__ = ["MemoryStore"]
