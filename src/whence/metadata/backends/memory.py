"""The graph in memory: for tests and for work that nobody needs to remember."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from whence.errors import ConflictError, DeniedError, NotFoundError
from whence.metadata import past
from whence.metadata.allowed import check_beat, check_namespace
from whence.metadata.backends import memory_walk
from whence.metadata.backends.memory_world import EventKey, View, World, clock_us, event_order
from whence.metadata.base import MetadataStore, Progress
from whence.metadata.codes import EVENT_CODES
from whence.metadata.delegate import Looking
from whence.metadata.filter import Filter
from whence.metadata.plan import Plan, Wanted, make_load, make_plan
from whence.metadata.query import (
    By,
    Query,
    check_by,
    check_kind,
    checked_after,
    checked_limit,
    is_gone,
    make_query,
    matches,
    moment_us,
    next_cursor,
    order_value,
)
from whence.metadata.rows import KINDS, MarkRow, NodeRow, path_text, to_mark, to_moment
from whence.metadata.types import (
    DEFAULT_NAMESPACE,
    AnyNode,
    Beat,
    Change,
    Context,
    Direction,
    Event,
    Imported,
    Loaded,
    Mark,
    Namespace,
    NodeKind,
    Page,
    Purged,
    Rows,
    Subgraph,
    Type,
    Written,
)
from whence.metadata.typetable import merge_type
from whence.metadata.walk import Level, WalkQuery

SCHEMA_VERSION = 2


class MemoryStore(MetadataStore):
    """A `MetadataStore` in dictionaries; threads share it, processes do not."""

    def __init__(self, world: World | None = None, namespace: Namespace | None = None) -> None:
        self._world = World() if world is None else world
        self.namespace = DEFAULT_NAMESPACE if namespace is None else namespace.name
        self._namespace_id = 0 if namespace is None or namespace.id is None else namespace.id

    @contextmanager
    def _view(self, as_of: datetime | None = None, *, again: bool = False) -> Iterator[View]:
        """The graph as of a moment; nobody writes meanwhile."""
        with self._world.lock:
            yield View(self._world, moment_us(as_of), again=again)

    # types

    def put_type(self, type_: Type, *, extend: bool = False, omit: bool = True) -> Type:
        with self._world.writing():
            types = self._world.types
            stored = merge_type(types, type_, extend=extend, omit=omit)
            if stored.id is None:
                stored = dataclasses.replace(stored, id=len(types.all()) + 1)
            types.add(stored)
            return stored

    def list_types(self, kind: NodeKind | None = None) -> list[Type]:
        with self._world.lock:
            return [t for t in self._world.types.all() if kind is None or t.kind == kind]

    # writing

    def write(self, change: Change) -> Written:
        with self._world.writing():
            plan = self._plan(change)
            self._world.carry_out(plan)
            view = View(self._world)
            marks = [self._mark(row) for row in (*plan.marks, *plan.lifted)]
            return Written({uid: view.node(row) for uid, row in plan.given.items()}, marks)

    def load(self, batches: Iterable[Change | Rows], *, on_progress: Progress | None = None) -> Loaded:
        total = Counter[str]()
        for batch in batches:
            with self._world.writing():
                done = self._world.carry_out(self._plan(batch))
            total.update(dataclasses.asdict(done))
            if on_progress is not None:
                on_progress(sum(dataclasses.astuple(done)))
        return Loaded(**total)

    def _plan(self, change: Change | Rows) -> Plan:
        world = self._world
        if world.namespaces[self._namespace_id].closed:
            raise DeniedError(
                f"namespace {self.namespace!r} is closed",
                code="namespace-closed",
                hint="open it first: whence namespace open",
            )
        look, now_us = _Look(world, self._namespace_id), world.next_moment()
        if isinstance(change, Rows):
            return make_load(change, look, now_us)
        return make_plan(change, look, now_us)

    def purge(self, uids: Collection[str]) -> Purged:
        with self._world.writing():
            world = self._world
            ids = [world.by_uid[uid] for uid in dict.fromkeys(uids) if uid in world.by_uid]
            for id_ in ids:
                if world.rows[id_].removed_us is None:
                    raise ConflictError(
                        f"{world.rows[id_].kind} {world.rows[id_].uid} is no tombstone",
                        code="not-removed",
                        hint="remove it first",
                        details={"uid": world.rows[id_].uid},
                    )
            return Purged(*world.purge(ids))

    # reading nodes

    def get_nodes(
        self,
        kind: NodeKind,
        *,
        ids: Sequence[int] | None = None,
        uids: Sequence[str] | None = None,
        as_of: datetime | None = None,
    ) -> list[AnyNode]:
        check_kind(kind)
        with self._view(as_of) as view:
            found = [view.find(i) for i in (*(ids or ()), *map(self._world.by_uid.get, uids or ()))]
            return [view.node(row) for row in found if row is not None and row.kind == kind]

    def _find(self, query: Query) -> Page:
        with self._world.lock:
            view = View(self._world, query.as_of_us)
            if query.as_of_us is None and query.pinned_us is not None:
                view = View(self._world, query.pinned_us, query.pinned_n)
            found = sorted(
                (row for row in self._candidates(query, view) if self._fits(row, query, view)),
                key=lambda row: (order_value(query, row), row.id),
                reverse=query.descending,
            )
            rest = found if query.limit is None else found[: query.limit]
            more = len(rest) < len(found)
            return Page(
                [view.node(row) for row in rest],
                next_cursor(query, rest[-1], self._world.last_us, self._world.last_n) if more else None,
            )

    def _candidates(self, query: Query, view: View) -> Iterable[NodeRow]:
        """Nodes of the kind, among them all that fit."""
        world = self._world
        ids: set[int | None] | None = None
        now = query.as_of_us is None and query.pinned_us is None
        if now and not (query.everywhere or query.removed):
            if query.external_id is not None:
                ids = {world.by_external.get((query.kind, self._namespace_id, query.external_id))}
            elif query.names is not None:
                types = [t.id for t in world.types.all() if t.kind == query.kind and t.id is not None]
                ids = {
                    world.by_name.get((type_id, self._namespace_id, name))
                    for type_id in types
                    for name in query.names
                }
        if query.context is not None:
            around = view.id_of(query.context)
            members = set() if around is None else set(view.members_of(around))
            ids = set(members) if ids is None else ids & members
        if ids is None:
            return view.rows(query.kind)
        return [row for row in map(view.find, ids) if row is not None and row.kind == query.kind]

    def _fits(self, row: NodeRow, query: Query, view: View) -> bool:
        if not query.everywhere and row.namespace_id != self._namespace_id:
            return False
        if is_gone(row, query) or (row.removed_us is not None and not self._is_shown(row, query)):
            return False
        if query.types is not None and view.type_name(row) not in query.types:
            return False
        if query.after is not None:
            place = (order_value(query, row), row.id)
            if not (place < query.after if query.descending else place > query.after):
                return False
        if query.contexts is not None:
            around = {view.row(c).uid for c in view.contexts_of(row.id)}
            if around.isdisjoint(query.contexts):
                return False
        node = view.node(row) if query.where else None
        if not matches(row, query, {**node.custom, **node.properties} if node else None):
            return False
        return query.matching is None or view.fits(query.matching, row)

    def _is_shown(self, row: NodeRow, query: Query) -> bool:
        assert row.removed_us is not None
        return query.removed or (query.as_of_us is not None and row.removed_us > query.as_of_us)

    def count_nodes(
        self,
        kind: NodeKind,
        *,
        matching: str | Filter | None = None,
        by: By | None = None,
        everywhere: bool = False,
    ) -> Mapping[str, int]:
        query = make_query(kind, matching=matching, everywhere=everywhere)
        check_by(by)
        with self._world.lock:
            view = View(self._world)
            rows = [row for row in view.rows(kind) if self._fits(row, query, view)]
            if by is None:
                return {kind: len(rows)}
            if by == "type":
                return Counter(view.type_name(row) for row in rows)
            return Counter(row.state for row in rows if row.state is not None)

    def history(self, uid: str) -> list[AnyNode]:
        with self._view() as view:
            row = view.find(self._world.by_uid.get(uid))
            if row is None:
                raise NotFoundError("node", uid)
            return [view.node(r) for r in past.revisions(row, self._world.pasts.get(row.id, ()))]

    # reading edges

    def list_events(
        self,
        *,
        artifacts: Collection[str] | None = None,
        executions: Collection[str] | None = None,
        as_of: datetime | None = None,
    ) -> list[Event]:
        with self._view(as_of) as view:
            ids = [
                row.id
                for uids, kind in ((artifacts, "artifact"), (executions, "execution"))
                for uid in uids or ()
                if (row := view.find(self._world.by_uid.get(uid))) is not None and row.kind == kind
            ]
            found = {event for id_ in ids for event in view.events_of(id_)}
            return [view.event(row) for row in sorted(found, key=event_order)]

    def has_events(self, events: Sequence[Event]) -> list[bool]:
        with self._view(None):
            by_uid = self._world.by_uid
            return [
                (by_uid.get(e.execution), by_uid.get(e.artifact), e.kind, path_text(e.path))
                in self._world.events
                for e in events
            ]

    def list_contexts(
        self,
        *,
        artifact: str | None = None,
        execution: str | None = None,
        child: str | None = None,
        parent: str | None = None,
        as_of: datetime | None = None,
    ) -> list[Context]:
        with self._view(as_of) as view:
            found: set[int] = set()
            for uid, kind, edges in (
                (artifact, "artifact", view.contexts_of),
                (execution, "execution", view.contexts_of),
                (child, "context", view.parents_of),
                (parent, "context", view.children_of),
            ):
                row = None if uid is None else view.find(self._world.by_uid.get(uid))
                if row is not None and row.kind == kind:
                    found.update(edges(row.id))
            nodes = [view.node(view.row(i)) for i in sorted(found)]
            return [n for n in nodes if isinstance(n, Context)]

    def walk(self, query: WalkQuery) -> Iterator[Level]:
        return memory_walk.walk(self._view, query)

    def lineage(
        self,
        starts: Sequence[str],
        *,
        direction: Direction = "up",
        max_hops: int | None = None,
        internal: bool = False,
        stop: str | Filter | None = None,
        include_stops: bool = True,
        only: Collection[str] | None = None,
        as_of: datetime | None = None,
    ) -> Subgraph:
        query = WalkQuery(starts, direction, max_hops, internal, stop, include_stops, only, as_of)
        return memory_walk.subgraph(self._view, query)

    def all_events(self, *, as_of: datetime | None = None) -> Iterator[Event]:
        with self._view(as_of) as view:
            events = self._world.events
            known = [
                event
                for event in map(events.__getitem__, sorted(events, key=_by_ids))
                if view.is_known(event)
            ]
            found = [view.event(event) for event in known]
        yield from found

    def all_members(self, *, as_of: datetime | None = None) -> Iterator[tuple[str, str, NodeKind]]:
        with self._view(as_of) as view:
            found = [
                (view.row(context).uid, view.row(node).uid, view.row(node).kind)
                for context in sorted(self._world.members_of)
                for node in view.members_of(context)
            ]
        yield from found

    def all_parents(self, *, as_of: datetime | None = None) -> Iterator[tuple[str, str]]:
        with self._view(as_of) as view:
            found = [
                (view.row(child).uid, view.row(parent).uid)
                for child in sorted(self._world.parents_of)
                for parent in view.parents_of(child)
            ]
        yield from found

    def list_imported(
        self, source: str, kind: NodeKind | None = None, *, after: int = 0, limit: int | None = None
    ) -> list[Imported]:
        if kind is not None:
            check_kind(kind)
        after, limit = checked_after(after), checked_limit(limit)
        with self._world.lock:
            world = self._world
            found = sorted(
                (KINDS.index(k), their_id, id_)
                for (s, k, their_id), id_ in world.imported.items()
                if s == source and kind in (None, k) and their_id > after
            )
            return [
                Imported(KINDS[k], their_id, world.rows[id_].uid, id_)
                for k, their_id, id_ in found
                if id_ in world.rows
            ][:limit]

    @contextmanager
    def snapshot(self) -> Iterator[MetadataStore]:
        with self._world.lock:
            world = self._world.copy()
        found = world.namespaces[self._namespace_id]
        yield Looking(MemoryStore(world, found), "it is held at one moment")

    # namespaces

    def in_namespace(self, name: str, *, create: bool = False) -> MemoryStore:
        if create:
            return MemoryStore(self._world, self.put_namespace(name))
        found = self._namespace(name)
        if found is None:
            near = [n.name for n in self.list_namespaces()]
            raise NotFoundError("namespace", name, near=near, hint="make it first")
        return MemoryStore(self._world, found)

    def list_namespaces(self) -> list[Namespace]:
        with self._world.lock:
            return [self._world.namespaces[i] for i in sorted(self._world.namespaces)]

    def put_namespace(self, name: str, *, closed: bool | None = None) -> Namespace:
        check_namespace(name)
        with self._world.writing():
            found = self._namespace(name)
            if found is None:
                id_ = max(self._world.namespaces) + 1
                found = Namespace(name, id=id_, created_at=to_moment(self._world.next_moment()))
            if closed is not None:
                found = dataclasses.replace(found, closed=closed)
            assert found.id is not None
            self._world.namespaces[found.id] = found
            return found

    def _namespace(self, name: str) -> Namespace | None:
        with self._world.lock:
            return next((n for n in self._world.namespaces.values() if n.name == name), None)

    # marks

    def has_marks(self) -> bool:
        with self._world.lock:
            return any(mark.lifted_us is None for mark in self._world.marks.values())

    def list_marks(
        self,
        *,
        after: int = 0,
        uids: Collection[str] | None = None,
        live: bool = False,
        limit: int | None = None,
    ) -> list[Mark]:
        after, limit = checked_after(after), checked_limit(limit)
        with self._world.lock:
            rows = [self._world.marks[i] for i in sorted(self._world.marks) if i > after]
            if live:
                rows = [row for row in rows if row.lifted_us is None]
            marks = [self._mark(row) for row in rows]
            if uids is not None:
                marks = [mark for mark in marks if mark.uid in set(uids)]
            return marks[:limit]

    def _mark(self, row: MarkRow) -> Mark:
        return to_mark(row, self._world.rows[row.node_id].uid)

    # signs of life

    def beat(self, lives: Sequence[Beat]) -> None:
        with self._world.writing():
            for life in lives:
                check_beat(life)
            now = self.now()
            for life in lives:
                known = self._world.beats.get(life.uid)
                started = now if known is None else known.started_at
                self._world.beats[life.uid] = dataclasses.replace(life, started_at=started, beat_at=now)

    def list_beats(self) -> list[Beat]:
        with self._world.lock:
            return [self._world.beats[uid] for uid in sorted(self._world.beats)]

    def end_beats(self, uids: Collection[str]) -> None:
        with self._world.writing():
            for uid in uids:
                self._world.beats.pop(uid, None)

    def now(self) -> datetime:
        return to_moment(clock_us())

    def schema_version(self) -> int:
        return SCHEMA_VERSION

    def close(self) -> None:
        self._world.ended = True


def _by_ids(key: EventKey) -> tuple[int, int, int, str]:
    execution_id, artifact_id, kind, path = key
    return execution_id, artifact_id, EVENT_CODES[kind], path


class _Look:
    """What a plan asks of a `World`, under its lock."""

    def __init__(self, world: World, namespace_id: int) -> None:
        self._world = world
        self.namespace_id = namespace_id

    def type(self, kind: NodeKind, name: str, version: str | None, properties: Collection[str]) -> Type:  # noqa: ARG002 - nobody else can extend it
        return self._world.types.get(kind, name, version)

    def rows(self, wanted: Wanted) -> Iterable[NodeRow]:
        world = self._world
        ids: set[int | None] = set(wanted.ids)
        ids.update(map(world.by_uid.get, wanted.uids))
        ids.update(map(world.by_name.get, wanted.names))
        ids.update(map(world.by_external.get, wanted.external_ids))
        return [world.rows[i] for i in ids if i is not None and i in world.rows]

    def next_id(self) -> int:
        return self._world.last_n + 1

    def parents(self, ids: Collection[int]) -> Iterable[tuple[int, int]]:
        return [(child, parent) for child in ids for parent in self._world.parents_of.get(child, ())]

    def events(self, keys: Collection[tuple[int, int, str]]) -> Iterable[tuple[int, int, str]]:
        of: dict[int, dict[EventKey, None]] = self._world.events_of
        return [
            k for k in keys if any(k == key[:3] for key in min(of.get(k[0], {}), of.get(k[1], {}), key=len))
        ]

    def marks(self, ids: Collection[int]) -> Iterable[MarkRow]:
        return [self._world.marks[i] for i in ids if i in self._world.marks]

    def next_mark(self) -> int:
        return self._world.last_mark + 1


__all__ = ["MemoryStore"]
