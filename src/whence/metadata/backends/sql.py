"""The graph in a SQL database: one transaction a change, one snapshot a read."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

import msgspec
from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, select, update

from whence._base.crash import crash_point, register
from whence.database import Database, Prepared
from whence.errors import BackendError, ConflictError, NotFoundError
from whence.metadata.backends.compile import refused
from whence.metadata.backends.find import Finder
from whence.metadata.backends.migrations import COMPONENT, MIGRATIONS
from whence.metadata.backends.tables import EVENT, MEMBER, NODE, PARENT, TYPE
from whence.metadata.base import MetadataStore
from whence.metadata.plan import Plan, Wanted, make_plan
from whence.metadata.query import Query, make_query, next_cursor
from whence.metadata.rows import NODE_FIELDS, EventRow, NodeRow, to_event, to_node
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

BEFORE_COMMIT: Final = register(
    "metadata.commit.before", "every row of a change is inserted, nothing is committed"
)

NODE_COLUMNS: Final = tuple(NODE.c[name] for name in NODE_FIELDS)
EVENT_COLUMNS: Final = (EVENT.c.execution_id, EVENT.c.artifact_id, EVENT.c.kind, EVENT.c.path, EVENT.c.at_us)

# Values in one IN list: long enough that a list costs nothing, short enough for every driver.
CHUNK: Final = 5_000

T = TypeVar("T")
Tuple: TypeAlias = tuple[Any, ...]  # Any: a row of whatever columns a statement selects


class SqlStore(MetadataStore):
    """A `MetadataStore` over a `Database`; threads and processes may share it.

    Args:
        database: Where the tables are; other rooms may keep theirs beside them.
        owned: Close the database with the store.
    """

    def __init__(self, database: Database, *, owned: bool = False) -> None:
        self.database = database
        self._owned = owned
        database.migrate(COMPONENT, MIGRATIONS)
        self._types = TypeTable()
        self._types_lock = threading.Lock()
        self._statements = _Statements(database)
        self._finder = Finder(database)
        with database.read() as connection:
            self._load_types(connection)

    def put_type(self, type_: Type, *, extend: bool = False) -> Type:
        known = merge_type(self._types, type_, extend=extend)
        if known.id is not None and known == self._types.find(type_.kind, type_.name, type_.version):
            return known
        with self.database.transaction() as connection:
            self._load_types(connection)
            stored = merge_type(self._types, type_, extend=extend)
            row = {
                "kind": stored.kind,
                "name": stored.name,
                "version": stored.version or "",
                "description": stored.description,
                "base": stored.base,
                "properties": msgspec.json.encode(dict(stored.properties)).decode(),
            }
            if stored.id is None:
                id_ = connection.execute(TYPE.insert(), row).inserted_primary_key
                assert id_ is not None
                stored = dataclasses.replace(stored, id=id_[0])
            else:
                connection.execute(TYPE.update().where(TYPE.c.id == stored.id), row)
        # Known only once committed: a transaction that failed must not leave a type behind here.
        with self._types_lock:
            self._types.add(stored)
        return stored

    def list_types(self, kind: NodeKind | None = None) -> list[Type]:
        with self.database.read() as connection:
            self._load_types(connection)
        return [t for t in self._types.all() if kind is None or t.kind == kind]

    def _load_types(self, connection: Connection) -> None:
        rows = connection.execute(select(TYPE)).all()
        with self._types_lock:
            for row in rows:
                properties = msgspec.json.decode(row.properties)
                self._types.add(
                    Type(
                        row.kind, row.name, properties, row.version or None, row.description, row.base, row.id
                    )
                )

    def write(self, change: Change) -> Written:
        try:
            with self.database.transaction() as connection:
                plan = make_plan(change, _SqlLookup(self, connection), time.time_ns() // 1_000)
                self._carry_out(connection, plan)
                crash_point(BEFORE_COMMIT)
        except ConflictError as error:
            if error.code == "constraint":  # pragma: no cover - the plan has looked, under the write lock
                raise ConflictError("another writer took a name of this change", code="name-taken") from error
            raise
        return Written({uid: self._node(row) for uid, row in plan.given.items()})

    def _carry_out(self, connection: Connection, plan: Plan) -> None:
        statements = self._statements
        if plan.inserts:
            statements.insert_nodes.run(connection, map(_node_values, plan.inserts.values()))
        if plan.updates:
            changed = ({**_node_values(row), "row_id": row.id} for row in plan.updates.values())
            statements.update_node.run(connection, changed)
        if plan.events:
            statements.insert_events.run(connection, map(_event_values, plan.events))
        if plan.members:
            pairs = ({"context_id": c, "node_id": n} for c, n in plan.members)
            statements.insert_members.run(connection, pairs)
        if plan.parents:
            tree = ({"child_id": c, "parent_id": p} for c, p in plan.parents)
            statements.insert_parents.run(connection, tree)

    def get_nodes(
        self, kind: NodeKind, *, ids: Sequence[int] | None = None, uids: Sequence[str] | None = None
    ) -> list[AnyNode]:
        with self.database.read() as connection:
            by_id = {r.id: r for r in self._rows(connection, self._statements.by_id, ids or ())}
            by_uid = {r.uid: r for r in self._rows(connection, self._statements.by_uid, uids or ())}
            self._know_types(connection, (*by_id.values(), *by_uid.values()))
        rows = [*(by_id.get(i) for i in ids or ()), *(by_uid.get(u) for u in uids or ())]
        return [self._node(row) for row in rows if row is not None and row.kind == kind]

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
        try:
            rows = self._find(query)
        except BackendError as error:
            raise refused(error) from error.__cause__
        more = query.limit is not None and len(rows) > query.limit
        rows = rows[: query.limit]
        return Page([self._node(row) for row in rows], next_cursor(query, rows[-1]) if more else None)

    def _find(self, query: Query) -> list[NodeRow]:
        kind = query.kind
        with self.database.read() as connection:
            types = None
            if query.types is not None:
                if not all(self._types.named(kind, [name]) for name in query.types):
                    self._load_types(connection)
                types = self._types.named(kind, query.types)
            rows = [NodeRow._make(r) for r in self._finder.find(connection, query, types)]
            self._know_types(connection, rows)
        return rows

    def list_events(
        self, *, artifacts: Collection[str] | None = None, executions: Collection[str] | None = None
    ) -> list[Event]:
        found: dict[int, tuple[int, EventRow]] = {}
        with self.database.read() as connection:
            for uids, statement in (
                (artifacts, self._statements.events_of_artifacts),
                (executions, self._statements.events_of_executions),
            ):
                ids = list(self._ids(connection, uids or ()).values())
                for row in self._chunks(connection, statement, ids):
                    found[row[0]] = (row[0], EventRow(*row[1:]))
            events = sorted(found.values(), key=lambda item: (item[1].at_us, item[0]))
            ends = {i for _, e in events for i in (e.execution_id, e.artifact_id)}
            names = dict(self._pairs(connection, self._statements.uid_of_id, list(ends)))
        return [to_event(e, names[e.execution_id], names[e.artifact_id]) for _, e in events]

    def list_contexts(
        self, *, artifact: str | None = None, execution: str | None = None, child: str | None = None
    ) -> list[Context]:
        with self.database.read() as connection:
            found: set[int] = set()
            for uid, kind in ((artifact, "artifact"), (execution, "execution")):
                ids = [
                    r.id
                    for r in self._rows(connection, self._statements.by_uid, [uid] if uid else [])
                    if r.kind == kind
                ]
                found.update(c for c, _ in self._pairs(connection, self._statements.members_of, ids))
            children = list(self._ids(connection, [child] if child else []).values())
            found.update(p for _, p in self._pairs(connection, self._statements.parents_of, children))
            rows = self._rows(connection, self._statements.by_id, sorted(found))
            self._know_types(connection, rows)
        nodes = [self._node(row) for row in sorted(rows, key=lambda r: r.id)]
        return [n for n in nodes if isinstance(n, Context)]

    def lineage(
        self,
        starts: Sequence[str],
        *,
        direction: Direction = "up",
        max_hops: int | None = None,
        internal: bool = False,
    ) -> Subgraph:
        with self.database.read() as connection:
            walk = _Walk(self, connection, direction, internal=internal)
            return walk.subgraph(starts, max_hops)

    def schema_version(self) -> int:
        return self.database.version(COMPONENT)

    def close(self) -> None:
        if self._owned:
            self.database.close()

    def _chunks(
        self, connection: Connection, statement: Prepared, values: Sequence[object]
    ) -> Iterator[Tuple]:
        for chunk in _chunked(values):
            yield from statement.rows(connection, {"values": self.database.pack(chunk)})

    def _rows(self, connection: Connection, statement: Prepared, values: Sequence[object]) -> list[NodeRow]:
        return list(map(NodeRow._make, self._chunks(connection, statement, values)))

    def _pairs(
        self, connection: Connection, statement: Prepared, ids: Sequence[int]
    ) -> list[tuple[Any, Any]]:
        return [(row[0], row[1]) for row in self._chunks(connection, statement, ids)]

    def _ids(self, connection: Connection, uids: Collection[str]) -> dict[str, int]:
        return dict(self._pairs(connection, self._statements.id_of_uid, cast("Sequence[int]", list(uids))))

    def _know_types(self, connection: Connection, rows: Iterable[NodeRow]) -> None:
        if not self._types.knows({row.type_id for row in rows}):
            self._load_types(connection)

    def _node(self, row: NodeRow) -> AnyNode:
        return to_node(row, self._types.by_id(row.type_id))


class _Statements:
    """The statements of the store, each compiled once."""

    def __init__(self, database: Database) -> None:
        among, prepare = database.among, database.prepare
        nodes = select(*NODE_COLUMNS)
        of_kind = NODE.c.kind == bindparam("node_kind")
        self.by_id = prepare(nodes.where(among(NODE.c.id, "values")))
        self.by_uid = prepare(nodes.where(among(NODE.c.uid, "values")))
        self.by_name = prepare(nodes.where(among(NODE.c.type_id, "type_ids"), among(NODE.c.name, "values")))
        self.by_external = prepare(nodes.where(of_kind, among(NODE.c.external_id, "values")))
        self.id_of_uid = prepare(select(NODE.c.uid, NODE.c.id).where(among(NODE.c.uid, "values")))
        self.uid_of_id = prepare(select(NODE.c.id, NODE.c.uid).where(among(NODE.c.id, "values")))
        self.last_id = prepare(select(func.max(NODE.c.id)))
        self.insert_nodes = prepare(insert(NODE))
        changed: dict[str, ColumnElement[Any]] = {name: bindparam(name) for name in NODE_FIELDS[4:]}
        self.update_node = prepare(update(NODE).where(NODE.c.id == bindparam("row_id")).values(changed))
        self.insert_events = prepare(database.insert_new(EVENT), columns=[c.name for c in EVENT_COLUMNS])
        self.insert_members = prepare(database.insert_new(MEMBER))
        self.insert_parents = prepare(database.insert_new(PARENT))
        events = select(EVENT.c.id, *EVENT_COLUMNS)
        self.events_of_artifacts = prepare(events.where(among(EVENT.c.artifact_id, "values")))
        self.events_of_executions = prepare(events.where(among(EVENT.c.execution_id, "values")))
        members, parents = (
            select(MEMBER.c.context_id, MEMBER.c.node_id),
            select(PARENT.c.child_id, PARENT.c.parent_id),
        )
        self.members_of = prepare(members.where(among(MEMBER.c.node_id, "values")))
        self.parents_of = prepare(parents.where(among(PARENT.c.child_id, "values")))


class _SqlLookup:
    """What a plan asks of a `SqlStore`, inside its transaction."""

    def __init__(self, store: SqlStore, connection: Connection) -> None:
        self._store = store
        self._connection = connection

    def type(self, kind: NodeKind, name: str, version: str | None, properties: Collection[str]) -> Type:
        types = self._store._types  # noqa: SLF001 - its own store
        found = types.find(kind, name, version)
        if found is None or not found.properties.keys() >= set(properties):
            # Another process may have put or extended it since.
            self._store._load_types(self._connection)  # noqa: SLF001
        return types.get(kind, name, version)

    def rows(self, wanted: Wanted) -> Iterable[NodeRow]:
        store, connection, statements = self._store, self._connection, self._store._statements  # noqa: SLF001
        yield from store._rows(connection, statements.by_uid, list(wanted.uids))  # noqa: SLF001
        if wanted.ids:
            yield from store._rows(connection, statements.by_id, list(wanted.ids))  # noqa: SLF001
        if wanted.names:
            type_ids = store.database.pack(sorted({t for t, _ in wanted.names}))
            for chunk in _chunked(sorted({name for _, name in wanted.names})):
                values = {"type_ids": type_ids, "values": store.database.pack(chunk)}
                yield from map(NodeRow._make, statements.by_name.rows(connection, values))
        for kind in {kind for kind, _ in wanted.external_ids}:
            for chunk in _chunked(sorted(e for k, e in wanted.external_ids if k == kind)):
                values = {"node_kind": kind, "values": store.database.pack(chunk)}
                yield from map(NodeRow._make, statements.by_external.rows(connection, values))

    def next_id(self) -> int:
        found = self._store._statements.last_id.rows(self._connection)  # noqa: SLF001
        return int(found[0][0] or 0) + 1

    def parents(self, ids: Collection[int]) -> Iterable[tuple[int, int]]:
        store = self._store
        return store._pairs(self._connection, store._statements.parents_of, list(ids))  # noqa: SLF001


class _Walk:
    """One lineage call: breadth first, one query a level and side."""

    def __init__(
        self, store: SqlStore, connection: Connection, direction: Direction, *, internal: bool
    ) -> None:
        self._store = store
        self._connection = connection
        reads, writes = followed(internal=internal)
        self._kinds = reads | writes
        self._from_artifact = {"up": writes, "down": reads, "both": self._kinds}[direction]
        self._from_execution = {"up": reads, "down": writes, "both": self._kinds}[direction]
        self._events: dict[int, Tuple] = {}
        """(id, execution, artifact, kind, path, time) of every event that was met"""

    def subgraph(self, starts: Sequence[str], max_hops: int | None) -> Subgraph:
        artifacts, executions = self._starts(starts)
        front_a, front_e, hops = set(artifacts), set(executions), 0
        while (front_a or front_e) and (max_hops is None or hops < max_hops):
            reached_e = self._step(front_a, self._from_artifact, of_artifacts=True)
            reached_a = self._step(front_e, self._from_execution, of_artifacts=False)
            front_a, front_e = reached_a - artifacts, reached_e - executions
            artifacts |= front_a
            executions |= front_e
            hops += 1
        # Between nodes at the limit there may be events that no step has followed.
        self._step(front_e, self._kinds, of_artifacts=False)
        self._step(front_a, self._kinds, of_artifacts=True)
        return self._collect(artifacts, executions)

    def _starts(self, uids: Sequence[str]) -> tuple[set[int], set[int]]:
        store = self._store
        rows = {r.uid: r for r in store._rows(self._connection, store._statements.by_uid, list(set(uids)))}  # noqa: SLF001
        for uid in uids:
            if uid not in rows or rows[uid].kind == "context":
                raise NotFoundError("node", uid)
        return (
            {r.id for r in rows.values() if r.kind == "artifact"},
            {r.id for r in rows.values() if r.kind == "execution"},
        )

    def _step(self, front: set[int], kinds: frozenset[str], *, of_artifacts: bool) -> set[int]:
        statements = self._store._statements  # noqa: SLF001
        statement = statements.events_of_artifacts if of_artifacts else statements.events_of_executions
        reached: set[int] = set()
        end = 1 if of_artifacts else 2
        for row in self._store._chunks(self._connection, statement, list(front)):  # noqa: SLF001
            kind = row[3]
            if kind in kinds:
                reached.add(row[end])
            if kind in self._kinds:
                self._events[row[0]] = row
        return reached

    def _collect(self, artifacts: set[int], executions: set[int]) -> Subgraph:
        store, connection, statements = self._store, self._connection, self._store._statements  # noqa: SLF001
        ids = sorted(artifacts | executions)
        rows = store._rows(connection, statements.by_id, ids)  # noqa: SLF001
        pairs = sorted(store._pairs(connection, statements.members_of, ids))  # noqa: SLF001
        context_rows = store._rows(connection, statements.by_id, sorted({c for c, _ in pairs}))  # noqa: SLF001
        store._know_types(connection, (*rows, *context_rows))  # noqa: SLF001
        rows.sort(key=lambda r: r.id)
        context_rows.sort(key=lambda r: r.id)
        names = {r.id: r.uid for r in (*rows, *context_rows)}
        nodes = [store._node(r) for r in rows]  # noqa: SLF001
        contexts = [store._node(r) for r in context_rows]  # noqa: SLF001
        inside = [row for row in self._events.values() if row[1] in executions and row[2] in artifacts]
        inside.sort(key=lambda row: (row[5], row[0]))
        return Subgraph(
            artifacts=[n for n in nodes if isinstance(n, Artifact)],
            executions=[n for n in nodes if isinstance(n, Execution)],
            events=[to_event(EventRow._make(row[1:]), names[row[1]], names[row[2]]) for row in inside],
            contexts=[c for c in contexts if isinstance(c, Context)],
            attributions=[(names[c], names[n]) for c, n in pairs if n in artifacts],
            associations=[(names[c], names[n]) for c, n in pairs if n in executions],
        )


def _chunked(values: Sequence[T]) -> Iterator[list[T]]:
    rest = iter(values)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _node_values(row: NodeRow) -> dict[str, object]:
    return row._asdict()


def _event_values(row: EventRow) -> dict[str, object]:
    return {
        "execution_id": row.execution_id,
        "artifact_id": row.artifact_id,
        "kind": row.kind,
        "path": row.path,
        "at_us": row.at_us,
    }
