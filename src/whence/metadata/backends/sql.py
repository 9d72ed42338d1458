"""The graph in a SQL database: one transaction a change, one snapshot a read."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Final, cast

import msgspec
from sqlalchemy import ColumnElement, bindparam, insert, update

from whence._base.crash import crash_point, register
from whence.database import Database, Session
from whence.errors import BackendError, ConflictError, DeniedError, NotFoundError, UsageError
from whence.metadata.allowed import check_beat, check_namespace
from whence.metadata.backends.columns import Known, columns
from whence.metadata.backends.compile import refused
from whence.metadata.backends.direct import Additions, additions, only_adds
from whence.metadata.backends.find import Finder
from whence.metadata.backends.lists import Tuple
from whence.metadata.backends.migrations import COMPONENT, MIGRATIONS
from whence.metadata.backends.nodes import read_nodes
from whence.metadata.backends.reading import ID, UID, UID_TEXT, Reader, to_events, uid_text, uid_texts
from whence.metadata.backends.still import Still
from whence.metadata.backends.tables import TYPE
from whence.metadata.backends.then import find_pinned, find_then
from whence.metadata.backends.upkeep import Upkeep
from whence.metadata.backends.walk import SqlWalk
from whence.metadata.backends.writing import SqlLookup, Writer, new_rows
from whence.metadata.base import MetadataStore, Progress
from whence.metadata.codes import KIND_CODES, KIND_OF
from whence.metadata.filter import Filter
from whence.metadata.moments import next_moment
from whence.metadata.past import revisions
from whence.metadata.plan import make_load, make_plan
from whence.metadata.query import (
    By,
    Query,
    check_by,
    check_kind,
    checked_after,
    checked_limit,
    make_query,
    moment_us,
    moves,
    next_cursor,
)
from whence.metadata.rows import to_mark, to_moment
from whence.metadata.types import (
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
from whence.metadata.typetable import adds_nothing, is_storable, merge_type
from whence.metadata.walk import Level, WalkQuery

BEFORE_COMMIT: Final = register(
    "metadata.commit.before", "every row of a change is inserted, nothing is committed"
)

MAX_TOGETHER: Final = 40_000
"""Nodes and edges of the batches of a list that are committed at once: others wait for as long as that takes."""

REFUSED: Final = (ConflictError, NotFoundError, UsageError)


class SqlStore(MetadataStore):
    """A `MetadataStore` over a `Database`; threads and processes may share it.

    Args:
        database: Where the tables are; other rooms may keep theirs beside them.
        owned: Close the database with the store.
        upgrade: Bring tables of an older whence up.
    """

    def __init__(self, database: Database, *, owned: bool = False, upgrade: bool = False) -> None:
        self.database = database
        self.read_only = database.read_only
        self._owned = owned
        self._namespace_id = 0
        database.migrate(COMPONENT, MIGRATIONS, upgrade=upgrade)
        self.reader = Reader(database)
        self._writer = Writer(database)
        self._upkeep = Upkeep(database, self.reader)
        self.finder = Finder(database)
        columns = [column.name for column in TYPE.c]
        self._insert_type = database.prepare(insert(TYPE), columns=columns)
        changed: dict[str, ColumnElement[object]] = {name: bindparam(f"new_{name}") for name in columns[1:]}
        self._update_type = database.prepare(
            update(TYPE).where(TYPE.c.id == bindparam("row_id")).values(changed),
            columns=["row_id", *(f"new_{name}" for name in columns[1:])],
        )
        with database.session() as session:
            self.reader.load_types(session)
            self.reader.load_namespaces(session)

    # Types

    def put_type(self, type_: Type, *, extend: bool = False, omit: bool = True) -> Type:
        reader = self.reader
        stored = reader.types.find(type_.kind, type_.name, type_.version)
        if stored is not None and omit and adds_nothing(type_, stored):
            return stored
        known = merge_type(reader.types, type_, extend=extend, omit=omit)
        if known.id is not None and known == stored:
            return known
        with self.database.session(write=True) as session:
            reader.load_types(session)
            stored = merge_type(reader.types, type_, extend=extend, omit=omit)
            if stored.id is None:
                last = session.rows("SELECT coalesce(max(id), 0) FROM type")[0][0]
                stored = dataclasses.replace(stored, id=last + 1)
                self._insert_type.tuples(session, [_type_row(stored)])
            else:
                self._update_type.tuples(session, [_type_row(stored)])
        # Known only once committed: a transaction that failed must not leave a type behind here.
        reader.learn(stored)
        return stored

    def list_types(self, kind: NodeKind | None = None) -> list[Type]:
        with self.database.session() as session:
            self.reader.load_types(session)
        return [t for t in self.reader.types.all() if kind is None or t.kind == kind]

    # Writing

    def write(self, change: Change) -> Written:
        if only_adds(change):
            written = self._add(change)
            if written is not None:
                return written
        return self._write(change)

    def _add(self, change: Change) -> Written | None:
        """Write a change the short way, if it can go it; None, and nothing written, when a name is taken."""
        try:
            with self.database.session(write=True) as session:
                look, now_us = self._look(session)
                added = self._additions(change, look, session, now_us)
                if added is None:
                    plan = make_plan(change, look, now_us)
                    self._writer.carry_out(session, plan, look.last_n)
                else:
                    self._writer.add(session, added, look.last_n, now_us)
                crash_point(BEFORE_COMMIT)
        except ConflictError as error:
            if error.code == "constraint":
                return None  # a name is taken: the plan says which
            raise
        if added is None:
            return Written({uid: self.reader.node_of(row) for uid, row in plan.given.items()})
        node = self.reader.node
        return Written({uid: node(raw) for uid, raw in added.given.items()})

    def _additions(self, change: Change, look: SqlLookup, session: Session, now_us: int) -> Additions | None:
        return additions(
            change,
            self.reader,
            session,
            namespace_id=self._namespace_id,
            first_n=look.last_n + 1,
            now_us=now_us,
        )

    def _write(self, change: Change) -> Written:
        with self.database.session(write=True) as session:
            look, now_us = self._look(session)
            plan = make_plan(change, look, now_us)
            self._writer.carry_out(session, plan, look.last_n)
            uids = self.reader.uids_of(session, [m.node_id for m in (*plan.marks, *plan.lifted)])
            crash_point(BEFORE_COMMIT)
        marks = [to_mark(row, uids[row.node_id]) for row in (*plan.marks, *plan.lifted)]
        return Written({uid: self.reader.node_of(row) for uid, row in plan.given.items()}, marks)

    def _look(self, session: Session) -> tuple[SqlLookup, int]:
        """What a plan looks into, and the moment of the write."""
        last_n, last_us, closed = self.reader.counter(session, self._namespace_id)
        if closed:
            raise DeniedError(
                f"namespace {self.namespace!r} is closed",
                code="namespace-closed",
                hint="open it first: whence namespace open",
            )
        now_us = next_moment(time.time_ns() // 1_000, last_us)
        return SqlLookup(self.reader, session, self._namespace_id, last_n, last_us), now_us

    def load(self, batches: Iterable[Change | Rows], *, on_progress: Progress | None = None) -> Loaded:
        total, known = Loaded(), Known()
        for group in _groups(batches, together=on_progress is None):
            try:
                loaded = [self._load(group, known)]
            except Exception as error:
                if len(group) == 1 and not isinstance(error, REFUSED):
                    raise
                known = Known()
                loaded = [self._load([batch], None) for batch in group]
            total = _sum([total, *loaded])
            if on_progress is not None:
                on_progress(sum(map(_size, group)))
        return total

    def _load(self, group: Sequence[Change | Rows], known: Known | None) -> Loaded:
        """Write batches at once; without anything `known`, nothing is taken for granted, and errors are exact."""
        loaded: list[Loaded] = []
        with self.database.session(write=True) as session:
            session.expect_many()
            for batch in group:
                look, now_us = self._look(session)
                done = None
                if known is not None and isinstance(batch, Change) and only_adds(batch):
                    done = self._load_columns(batch, known, look, session, now_us)
                if done is None:
                    make = make_load if isinstance(batch, Rows) else make_plan
                    plan = make(batch, look, now_us, trusting=known is not None)  # type: ignore[arg-type]  # each for its own
                    done = new_rows(self.reader, session, plan)
                    self._writer.carry_out(session, plan, look.last_n)
                loaded.append(done)
            crash_point(BEFORE_COMMIT)
        return _sum(loaded)

    def _load_columns(
        self, change: Change, known: Known, look: SqlLookup, session: Session, now_us: int
    ) -> Loaded | None:
        """Write a change that only adds; None, and nothing written, when it must be planned."""
        added = columns(
            change,
            self.reader,
            session,
            known.at(look.last_us),
            namespace_id=self._namespace_id,
            first_n=look.last_n + 1,
            now_us=now_us,
        )
        known.last_us = None if added is None else now_us
        return None if added is None else self._writer.load(session, self.reader, added, look.last_n, now_us)

    def purge(self, uids: Collection[str]) -> Purged:
        with self.database.session(write=True) as session:
            last_n, last_us, _ = self.reader.counter(session, self._namespace_id)
            purged = self._upkeep.purge(session, uids)
            if purged.n_nodes:
                self._writer.count(session, last_n, next_moment(time.time_ns() // 1_000, last_us))
            crash_point(BEFORE_COMMIT)
        return purged

    # Reading nodes

    def get_nodes(
        self,
        kind: NodeKind,
        *,
        ids: Sequence[int] | None = None,
        uids: Sequence[str] | None = None,
        as_of: datetime | None = None,
    ) -> list[AnyNode]:
        check_kind(kind)
        reader, then = self.reader, moment_us(as_of)
        code = KIND_CODES[kind]
        with self.database.session() as session:
            by_id = reader.raw_by_ids(
                session, [i for i in dict.fromkeys(ids or ()) if i & 3 == code and i >> 63 == 0]
            )
            by_uid = reader.raw_by_uids(session, uids or ())
            if then is not None:
                by_id, by_uid = reader.as_of(session, by_id, then), reader.as_of(session, by_uid, then)
            reader.know(session, by_id)
            reader.know(session, by_uid)
        found: dict[int | str, Tuple] = {raw[ID]: raw for raw in by_id}
        found.update((uid_text(raw[UID], raw[UID_TEXT]), raw) for raw in by_uid if raw[ID] & 3 == code)
        wanted: list[int | str] = [*(ids or ()), *(uids or ())]
        return read_nodes(reader, list(filter(None, map(found.get, wanted))))

    def _find(self, query: Query) -> Page:
        reader = self.reader
        if not is_answerable(query):
            return Page([])
        if query.names is not None and not all(map(is_storable, query.names)):
            query = dataclasses.replace(query, names=frozenset(filter(is_storable, query.names)))
        try:
            with self.database.session() as session:
                types = self._type_ids(session, query)
                namespace = None if query.everywhere else self._namespace_id
                if query.as_of_us is not None:
                    raws = find_then(reader, session, query, types, namespace)
                elif query.pinned_us is not None:
                    raws = find_pinned(reader, self.finder, session, query, types, namespace)
                else:
                    raws = self.finder.find(session, query, types, namespace)
                pins = moves(query) and query.pinned_us is None
                last_n, now_us, _ = reader.counter(session) if pins else (0, 0, False)
                reader.know(session, raws)
        except BackendError as error:
            raise refused(error) from error.__cause__
        more = query.limit is not None and len(raws) > query.limit
        raws = raws[: query.limit]
        return Page(
            list(map(reader.node, raws)),
            next_cursor(query, reader.row(raws[-1]), now_us, last_n) if more else None,
        )

    def _type_ids(self, session: Session, query: Query) -> list[int] | None:
        if query.types is None:
            return None
        types = self.reader.types
        if not all(types.named(query.kind, [name]) for name in query.types):
            self.reader.load_types(session)
        return types.named(query.kind, query.types)

    def count_nodes(
        self,
        kind: NodeKind,
        *,
        matching: str | Filter | None = None,
        by: By | None = None,
        everywhere: bool = False,
    ) -> Mapping[str, int]:
        scope = make_query(kind, matching=matching).matching
        check_by(by)
        try:
            with self.database.session() as session:
                return self.finder.count(session, kind, scope, by, None if everywhere else self._namespace_id)
        except BackendError as error:
            raise refused(error) from error.__cause__

    def history(self, uid: str) -> list[AnyNode]:
        reader = self.reader
        with self.database.session() as session:
            raws = reader.raw_by_uids(session, [uid])
            if not raws:
                raise NotFoundError("node", uid)
            reader.know(session, raws)
            pasts = reader.pasts(session, [raws[0][ID]])
        return [reader.node_of(row) for row in revisions(reader.row(raws[0]), pasts)]

    # Reading edges

    def list_events(
        self,
        *,
        artifacts: Collection[str] | None = None,
        executions: Collection[str] | None = None,
        as_of: datetime | None = None,
    ) -> list[Event]:
        with self.database.session() as session:
            rows = self.reader.events(
                session, artifacts=artifacts, executions=executions, as_of_us=moment_us(as_of)
            )
        return to_events(rows)

    def has_events(self, events: Sequence[Event]) -> list[bool]:
        with self.database.session() as session:
            return self.reader.has_events(session, events)

    def list_contexts(
        self,
        *,
        artifact: str | None = None,
        execution: str | None = None,
        child: str | None = None,
        parent: str | None = None,
        as_of: datetime | None = None,
    ) -> list[Context]:
        reader, then = self.reader, moment_us(as_of)
        asked = ((artifact, "artifact"), (execution, "execution"), (child, "child"), (parent, "parent"))
        found: dict[int, Tuple] = {}
        with self.database.session() as session:
            for uid, role in asked:
                if uid is not None:
                    found.update((raw[ID], raw) for raw in reader.contexts(session, uid, role, then))
            raws = [found[id_] for id_ in sorted(found)]
            if then is not None:
                raws = reader.as_of(session, raws, then)
            reader.know(session, raws)
        return [node for node in map(reader.node, raws) if isinstance(node, Context)]

    def all_events(self, *, as_of: datetime | None = None) -> Iterator[Event]:
        with self.database.session() as session:
            for rows in _chunks(self.reader.all_events(session, moment_us(as_of))):
                yield from to_events(rows)

    def all_members(self, *, as_of: datetime | None = None) -> Iterator[tuple[str, str, NodeKind]]:
        with self.database.session() as session:
            for rows in _chunks(self.reader.all_members(session, moment_us(as_of))):
                kinds = [KIND_OF[row[4] & 3] for row in rows]
                yield from zip(uid_texts(rows, 0), uid_texts(rows, 2), kinds, strict=True)

    def all_parents(self, *, as_of: datetime | None = None) -> Iterator[tuple[str, str]]:
        with self.database.session() as session:
            for row in self.reader.all_parents(session, moment_us(as_of)):
                yield uid_text(*row[:2]), uid_text(*row[2:4])

    def walk(self, query: WalkQuery) -> Iterator[Level]:
        return SqlWalk(self).walk(query)

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
        return SqlWalk(self).subgraph(query)

    def list_imported(
        self, source: str, kind: NodeKind | None = None, *, after: int = 0, limit: int | None = None
    ) -> list[Imported]:
        if kind is not None:
            check_kind(kind)
        after, limit = checked_after(after), checked_limit(limit)
        with self.database.session() as session:
            return self._upkeep.imported(session, source, kind, after, limit)

    @contextmanager
    def snapshot(self) -> Iterator[SqlStore]:
        with self.database.session() as session:
            self.reader.last_us(session)  # a snapshot begins with its first read
            still = copy.copy(self)
            still.database = cast("Database", Still(self.database, session))
            still._owned = False  # noqa: SLF001 - a copy of this one
            yield still

    # Namespaces

    def in_namespace(self, name: str, *, create: bool = False) -> SqlStore:
        if create:
            self.put_namespace(name)
        found = {n.name: n for n in self.list_namespaces()}
        if name not in found:
            raise NotFoundError("namespace", name, near=list(found), hint="make it first")
        handle = copy.copy(self)
        handle.namespace = name
        handle._namespace_id = found[name].id or 0  # noqa: SLF001 - a copy of this one
        handle._owned = False  # noqa: SLF001
        return handle

    def list_namespaces(self) -> list[Namespace]:
        with self.database.session() as session:
            return self._upkeep.namespaces(session)

    def put_namespace(self, name: str, *, closed: bool | None = None) -> Namespace:
        check_namespace(name)
        there = next((n for n in self.list_namespaces() if n.name == name), None)
        if there is not None and closed in (None, there.closed):
            return there
        with self.database.session(write=True) as session:
            last_n, last_us, _ = self.reader.counter(session, 0)
            now_us = next_moment(time.time_ns() // 1_000, last_us)
            made = self._upkeep.put_namespace(session, name, closed, now_us)
            self._writer.count(session, last_n, now_us)
        return made

    # Marks

    def has_marks(self) -> bool:
        with self.database.session() as session:
            return self._upkeep.has_marks(session)

    def list_marks(
        self,
        *,
        after: int = 0,
        uids: Collection[str] | None = None,
        live: bool = False,
        limit: int | None = None,
    ) -> list[Mark]:
        after, limit = checked_after(after), checked_limit(limit)
        with self.database.session() as session:
            return self._upkeep.marks(session, after=after, uids=uids, live=live, limit=limit)

    # Signs of life

    def beat(self, lives: Sequence[Beat]) -> None:
        for life in lives:
            check_beat(life)
        with self.database.session(write=True) as session:
            self._upkeep.beat(session, lives)

    def list_beats(self) -> list[Beat]:
        with self.database.session() as session:
            return self._upkeep.beats(session)

    def end_beats(self, uids: Collection[str]) -> None:
        with self.database.session(write=True) as session:
            self._upkeep.end_beats(session, list(uids))

    def now(self) -> datetime:
        with self.database.session() as session:
            return to_moment(self._upkeep.now_us(session))

    def schema_version(self) -> int:
        return self.database.version(COMPONENT)

    def settle_indexes(self, timeout_s: float = 60.0) -> bool:
        """Wait until the indexes that filters have asked for are made; whether they are."""
        return self.finder.settle(timeout_s)

    def close(self) -> None:
        self.finder.close()
        if self._owned:
            self.database.close(for_good=True)


def _chunks(rows: Iterator[Tuple]) -> Iterator[list[Tuple]]:
    """Rows by the thousand: what is made of many at once."""
    while chunk := list(islice(rows, 1000)):
        yield chunk


def is_answerable(query: Query) -> bool:
    """Whether a query's texts are such that a node may have them; not every driver takes others."""
    texts = [query.external_id, query.uri, query.context, query.name_prefix]
    texts += [value for value in query.where.values() if isinstance(value, str)]
    return all(is_storable(text) for text in texts if text is not None)


def _groups(batches: Iterable[Change | Rows], *, together: bool) -> Iterator[Sequence[Change | Rows]]:
    """What is committed at once: a batch, or several of a list.

    Whatever is no list may look into the store, or write to it, when it is asked for the next batch.
    """
    if not together or not isinstance(batches, list | tuple):
        for batch in batches:
            yield [batch]
        return
    group: list[Change | Rows] = []
    n = 0
    for batch in batches:
        size = _size(batch)
        if group and n + size > MAX_TOGETHER:
            yield group
            group, n = [], 0
        group.append(batch)
        n += size
    if group:
        yield group


def _sum(loaded: Iterable[Loaded]) -> Loaded:
    return Loaded(*map(sum, zip(*map(dataclasses.astuple, loaded), strict=True)))


def _size(batch: Change | Rows) -> int:
    nodes = batch.nodes if isinstance(batch, Rows) else batch.puts
    return len(nodes) + sum(map(len, (batch.events, batch.attributions, batch.associations, batch.parents)))


def _type_row(type_: Type) -> tuple[object, ...]:
    return (
        type_.id,
        KIND_CODES[type_.kind],
        type_.name,
        type_.version or "",
        type_.description,
        type_.base,
        type_.external_id,
        type_.input_type,
        type_.output_type,
        msgspec.json.encode(dict(type_.properties)).decode(),
    )
