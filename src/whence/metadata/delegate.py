"""Stores that stand before another one: what they do not change, the other one does."""

# ruff: noqa: ARG002  # what is refused takes the arguments of what it stands for

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NoReturn

from whence._base.clock import utc
from whence.errors import DeniedError
from whence.metadata.base import MetadataStore, Progress
from whence.metadata.filter import Filter
from whence.metadata.query import OrderBy
from whence.metadata.types import (
    AnyNode,
    Beat,
    Change,
    Context,
    Direction,
    Event,
    GraphTable,
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
    Value,
    Written,
)
from whence.metadata.walk import Level, WalkQuery

if TYPE_CHECKING:
    import pyarrow as pa


class Delegate(MetadataStore):
    """A store that hands everything on.

    Args:
        store: Who does the work. It is closed by whoever opened it, or by `close`.
    """

    def __init__(self, store: MetadataStore) -> None:
        self.store = store
        self.namespace = store.namespace
        self.read_only = store.read_only

    def put_type(self, type_: Type, *, extend: bool = False, omit: bool = True) -> Type:
        return self.store.put_type(type_, extend=extend, omit=omit)

    def list_types(self, kind: NodeKind | None = None) -> list[Type]:
        return self.store.list_types(kind)

    def write(self, change: Change) -> Written:
        return self.store.write(change)

    def load(self, batches: Iterable[Change | Rows], *, on_progress: Progress | None = None) -> Loaded:
        return self.store.load(batches, on_progress=on_progress)

    def purge(self, uids: Collection[str]) -> Purged:
        return self.store.purge(uids)

    def get_nodes(
        self,
        kind: NodeKind,
        *,
        ids: Sequence[int] | None = None,
        uids: Sequence[str] | None = None,
        as_of: datetime | None = None,
    ) -> list[AnyNode]:
        return self.store.get_nodes(kind, ids=ids, uids=uids, as_of=as_of)

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
        contexts: Collection[str] | None = None,
        where: Mapping[str, Value] | None = None,
        matching: str | Filter | None = None,
        order_by: OrderBy = "id",
        descending: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
        as_of: datetime | None = None,
        removed: bool = False,
        everywhere: bool = False,
    ) -> Page:
        return self.store.find_nodes(
            kind,
            type_=type_,
            name=name,
            name_prefix=name_prefix,
            external_id=external_id,
            uri=uri,
            state=state,
            context=context,
            contexts=contexts,
            where=where,
            matching=matching,
            order_by=order_by,
            descending=descending,
            limit=limit,
            cursor=cursor,
            as_of=as_of,
            removed=removed,
            everywhere=everywhere,
        )

    def count_nodes(
        self,
        kind: NodeKind,
        *,
        matching: str | Filter | None = None,
        by: Literal["type", "state"] | None = None,
        everywhere: bool = False,
    ) -> Mapping[str, int]:
        return self.store.count_nodes(kind, matching=matching, by=by, everywhere=everywhere)

    def settle_indexes(self, timeout_s: float = 60.0) -> bool:
        return self.store.settle_indexes(timeout_s)

    def history(self, uid: str) -> list[AnyNode]:
        return self.store.history(uid)

    def list_events(
        self,
        *,
        artifacts: Collection[str] | None = None,
        executions: Collection[str] | None = None,
        as_of: datetime | None = None,
    ) -> list[Event]:
        return self.store.list_events(artifacts=artifacts, executions=executions, as_of=as_of)

    def has_events(self, events: Sequence[Event]) -> list[bool]:
        return self.store.has_events(events)

    def list_contexts(
        self,
        *,
        artifact: str | None = None,
        execution: str | None = None,
        child: str | None = None,
        parent: str | None = None,
        as_of: datetime | None = None,
    ) -> list[Context]:
        return self.store.list_contexts(
            artifact=artifact, execution=execution, child=child, parent=parent, as_of=as_of
        )

    def walk(self, query: WalkQuery) -> Iterator[Level]:
        return self.store.walk(query)

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
        return self.store.lineage(
            starts,
            direction=direction,
            max_hops=max_hops,
            internal=internal,
            stop=stop,
            include_stops=include_stops,
            only=only,
            as_of=as_of,
        )

    def scan(
        self, table: GraphTable, *, batch_rows: int = 65_536, as_of: datetime | None = None
    ) -> Iterator[pa.RecordBatch]:
        return self.store.scan(table, batch_rows=batch_rows, as_of=as_of)

    def all_events(self, *, as_of: datetime | None = None) -> Iterator[Event]:
        return self.store.all_events(as_of=as_of)

    def all_members(self, *, as_of: datetime | None = None) -> Iterator[tuple[str, str, NodeKind]]:
        return self.store.all_members(as_of=as_of)

    def all_parents(self, *, as_of: datetime | None = None) -> Iterator[tuple[str, str]]:
        return self.store.all_parents(as_of=as_of)

    def list_imported(
        self, source: str, kind: NodeKind | None = None, *, after: int = 0, limit: int | None = None
    ) -> list[Imported]:
        return self.store.list_imported(source, kind, after=after, limit=limit)

    def in_namespace(self, name: str, *, create: bool = False) -> MetadataStore:
        return self.store.in_namespace(name, create=create)

    def list_namespaces(self) -> list[Namespace]:
        return self.store.list_namespaces()

    def put_namespace(self, name: str, *, closed: bool | None = None) -> Namespace:
        return self.store.put_namespace(name, closed=closed)

    def has_marks(self) -> bool:
        return self.store.has_marks()

    def list_marks(
        self,
        *,
        after: int = 0,
        uids: Collection[str] | None = None,
        live: bool = False,
        limit: int | None = None,
    ) -> list[Mark]:
        return self.store.list_marks(after=after, uids=uids, live=live, limit=limit)

    def beat(self, lives: Sequence[Beat]) -> None:
        self.store.beat(lives)

    def list_beats(self) -> list[Beat]:
        return self.store.list_beats()

    def end_beats(self, uids: Collection[str]) -> None:
        self.store.end_beats(uids)

    def now(self) -> datetime:
        return self.store.now()

    @contextmanager
    def snapshot(self) -> Iterator[MetadataStore]:
        """Held still like the store behind; it stands before that as this one does."""
        with self.store.snapshot() as store:
            still = copy(self)
            still.store = store
            yield still

    def schema_version(self) -> int:
        return self.store.schema_version()

    def close(self) -> None:
        self.store.close()


class Looking(Delegate):
    """A store of which nothing may be written, for whatever `why` says."""

    def __init__(self, store: MetadataStore, why: str = "it was opened to look") -> None:
        super().__init__(store)
        self.read_only = True
        self._why = why

    def put_type(self, type_: Type, *, extend: bool = False, omit: bool = True) -> Type:
        self._refuse()

    def write(self, change: Change) -> Written:
        self._refuse()

    def load(self, batches: Iterable[Change | Rows], *, on_progress: Progress | None = None) -> Loaded:
        self._refuse()

    def purge(self, uids: Collection[str]) -> Purged:
        self._refuse()

    def put_namespace(self, name: str, *, closed: bool | None = None) -> Namespace:
        self._refuse()

    def in_namespace(self, name: str, *, create: bool = False) -> MetadataStore:
        """Another namespace of the same graph, to look at; none is made."""
        return Looking(self.store.in_namespace(name), self._why)

    def beat(self, lives: Sequence[Beat]) -> None:
        self._refuse()

    def end_beats(self, uids: Collection[str]) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise DeniedError(f"nothing may be written into this graph: {self._why}", code="read-only")


class AsOf(Looking):
    """The graph as it was known at a moment; nothing can be written there.

    Args:
        store: The graph.
        moment: An aware time.

    Raises:
        UsageError: The moment has no zone (``naive-time``).
    """

    def __init__(self, store: MetadataStore, moment: datetime) -> None:
        super().__init__(store, f"it is the graph as of {utc(moment).isoformat()}")
        self.moment = utc(moment)

    def get_nodes(
        self,
        kind: NodeKind,
        *,
        ids: Sequence[int] | None = None,
        uids: Sequence[str] | None = None,
        as_of: datetime | None = None,
    ) -> list[AnyNode]:
        return self.store.get_nodes(kind, ids=ids, uids=uids, as_of=self._then(as_of))

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
        contexts: Collection[str] | None = None,
        where: Mapping[str, Value] | None = None,
        matching: str | Filter | None = None,
        order_by: OrderBy = "id",
        descending: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
        as_of: datetime | None = None,
        removed: bool = False,
        everywhere: bool = False,
    ) -> Page:
        return super().find_nodes(
            kind,
            type_=type_,
            name=name,
            name_prefix=name_prefix,
            external_id=external_id,
            uri=uri,
            state=state,
            context=context,
            contexts=contexts,
            where=where,
            matching=matching,
            order_by=order_by,
            descending=descending,
            limit=limit,
            cursor=cursor,
            as_of=self._then(as_of),
            removed=removed,
            everywhere=everywhere,
        )

    def count_nodes(
        self,
        kind: NodeKind,
        *,
        matching: str | Filter | None = None,
        by: Literal["type", "state"] | None = None,
        everywhere: bool = False,
    ) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for node in self.list_nodes(kind, matching=matching, everywhere=everywhere):
            name = kind if by is None else node.type if by == "type" else getattr(node, "state", None)
            if name is not None:
                found[name] = found.get(name, 0) + 1
        return found or ({kind: 0} if by is None else {})

    def history(self, uid: str) -> list[AnyNode]:
        found = self.store.history(uid)
        return [n for n in found if n.updated_at is None or n.updated_at <= self.moment]

    def list_events(
        self,
        *,
        artifacts: Collection[str] | None = None,
        executions: Collection[str] | None = None,
        as_of: datetime | None = None,
    ) -> list[Event]:
        return self.store.list_events(artifacts=artifacts, executions=executions, as_of=self._then(as_of))

    def has_events(self, events: Sequence[Event]) -> list[bool]:
        known = self.list_events(executions={event.execution for event in events})
        keys = {(e.execution, e.artifact, e.kind, e.path) for e in known}
        return [(e.execution, e.artifact, e.kind, tuple(e.path)) in keys for e in events]

    def list_contexts(
        self,
        *,
        artifact: str | None = None,
        execution: str | None = None,
        child: str | None = None,
        parent: str | None = None,
        as_of: datetime | None = None,
    ) -> list[Context]:
        return self.store.list_contexts(
            artifact=artifact, execution=execution, child=child, parent=parent, as_of=self._then(as_of)
        )

    def walk(self, query: WalkQuery) -> Iterator[Level]:
        return self.store.walk(replace(query, as_of=self._then(query.as_of)))

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
        return super().lineage(
            starts,
            direction=direction,
            max_hops=max_hops,
            internal=internal,
            stop=stop,
            include_stops=include_stops,
            only=only,
            as_of=self._then(as_of),
        )

    def scan(
        self, table: GraphTable, *, batch_rows: int = 65_536, as_of: datetime | None = None
    ) -> Iterator[pa.RecordBatch]:
        return self.store.scan(table, batch_rows=batch_rows, as_of=self._then(as_of))

    def all_events(self, *, as_of: datetime | None = None) -> Iterator[Event]:
        return self.store.all_events(as_of=self._then(as_of))

    def all_members(self, *, as_of: datetime | None = None) -> Iterator[tuple[str, str, NodeKind]]:
        return self.store.all_members(as_of=self._then(as_of))

    def all_parents(self, *, as_of: datetime | None = None) -> Iterator[tuple[str, str]]:
        return self.store.all_parents(as_of=self._then(as_of))

    def in_namespace(self, name: str, *, create: bool = False) -> MetadataStore:
        return AsOf(self.store.in_namespace(name), self.moment)

    def has_marks(self) -> bool:
        return any(True for _ in self.list_marks(live=True, limit=1))

    def list_marks(
        self,
        *,
        after: int = 0,
        uids: Collection[str] | None = None,
        live: bool = False,
        limit: int | None = None,
    ) -> list[Mark]:
        """The marks of then: those lifted since are in force."""
        found = [
            m for m in self.store.list_marks(after=after, uids=uids) if m.at is None or m.at <= self.moment
        ]
        then = [m if self._lifted(m) else replace(m, lifted_at=None, lifted_by=None) for m in found]
        return [m for m in then if not (live and m.lifted_at is not None)][:limit]

    def _lifted(self, mark: Mark) -> bool:
        return mark.lifted_at is not None and mark.lifted_at <= self.moment

    def _then(self, as_of: datetime | None) -> datetime:
        """A moment before this one may be asked for; a later one is not known here."""
        return self.moment if as_of is None else min(utc(as_of), self.moment)


__all__ = ["AsOf", "Delegate", "Looking"]
