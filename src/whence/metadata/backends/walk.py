"""Lineage in a SQL database: breadth first, one query a level, answered by an index alone; rows are read once.

A level's question brings three numbers an event. What else an event says is read when somebody looks at it.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, Final, Protocol

from sqlalchemy import BigInteger, ColumnElement, Select, bindparam, func, literal_column, or_, select

from whence.database import Database, Prepared, Session
from whence.errors import BackendError, NotFoundError
from whence.metadata.backends.compile import Compiled, compile_scope, refused
from whence.metadata.backends.memory_walk import ways
from whence.metadata.backends.raws import Names, Raw, events_of, maker
from whence.metadata.backends.reading import CREATED, ID, NAMESPACE_ID, TYPE_ID, UID, UID_TEXT, Reader
from whence.metadata.backends.search import found as searched
from whence.metadata.backends.tables import EVENT, MEMBER, NODE
from whence.metadata.backends.then import GraphThen
from whence.metadata.codes import EVENT_CODES, unpack_uid
from whence.metadata.filter import Evaluator, format_filter, read_filter
from whence.metadata.ids import MAX_N
from whence.metadata.lazy import LazySequence
from whence.metadata.levels import Edge, Piece, reach, walk_pieces
from whence.metadata.moments import Then
from whence.metadata.types import Context, Direction, Event, Subgraph
from whence.metadata.walk import Later, Level, Walk, WalkQuery, check_walk

BATCH: Final = 10_000
"""Events that are read at a time."""

STOPS: Final = 64
"""Compiled stop conditions that are kept."""

ARTIFACT: Final = 1


class Store(Protocol):
    """What a walk needs of a store."""

    @property
    def database(self) -> Database:
        """Where the tables are."""

    @property
    def reader(self) -> Reader:
        """Reads their rows."""


class SqlWalk:
    """Walks over the lineage of one store."""

    def __init__(self, store: Store) -> None:
        self._database = store.database
        self._reader = store.reader
        self._statements = _statements_of(store.database)

    def walk(self, query: WalkQuery) -> Iterator[Level]:
        """`MetadataStore.walk`."""
        walk = check_walk(query)
        return self._levels(walk) if walk.stop is None else _told(self._levels(walk))

    def _levels(self, walk: Walk) -> Iterator[Level]:
        reader = self._reader
        with self._database.session() as session:
            live = _Live(session)
            try:
                then = _then(walk, reader, session)
                cursor = walk.cursors(reader.last_us(session) if then is None else then.us)
                source, starts = self._begin(session, walk)
                for piece in walk_pieces(source, walk, *starts):
                    raws = self._raws(session, piece.ids, then)
                    names = Names(raws)
                    nodes = _nodes(reader, raws, names)
                    events = self._later(piece.edges, names, live)
                    behind = None if piece.last else cursor(piece.hops, piece.ids[-1])
                    yield Level(piece.hops, nodes, events, behind)
            finally:
                live.session = None

    def subgraph(self, query: WalkQuery) -> Subgraph:
        """`MetadataStore.lineage`."""
        walk = check_walk(query)
        try:
            return self._subgraph(walk)
        except BackendError as error:
            raise refused(error) from error.__cause__

    def _subgraph(self, walk: Walk) -> Subgraph:
        executions: Collection[int]
        artifacts: Collection[int]
        with self._database.session() as session:
            then = _then(walk, self._reader, session)
            source, starts = self._begin(session, walk)
            if walk.plain:
                executions, artifacts, edges = reach(source.all, walk, *starts)
            else:
                executions, artifacts, edges = _collect(walk_pieces(source, walk, *starts))
            made = self._raws(session, list(artifacts), then)
            ran = self._raws(session, list(executions), then)
            moment_us = self._reader.last_us(session) if then is None else then.us
        raws = [*made, *ran]
        around = _Around(self._database, self._reader, self._statements, raws, walk, moment_us)
        names = Names(raws)
        return Subgraph(
            artifacts=_nodes(self._reader, made, names),
            executions=_nodes(self._reader, ran, names),
            events=self._later(edges, names, None),
            contexts=Later(around.contexts),
            attributions=Later(around.attributions),
            associations=Later(around.associations),
        )

    def _begin(self, session: Session, walk: Walk) -> tuple[_Source, tuple[list[int], list[int]]]:
        """What a walk asks, and the artifacts and executions where it begins."""
        artifacts: list[int] = []
        executions: list[int] = []
        reader, then = self._reader, _then(walk, self._reader, session)
        uids = list(dict.fromkeys(walk.query.starts))
        there = {
            raw[UID_TEXT] or unpack_uid(raw[UID]): raw[ID]
            for raw in reader.raw_by_uids(session, uids)
            if then is None or then.knows(raw[CREATED])
        }
        for uid in uids:
            id_ = there.get(uid)
            if id_ is None or id_ & 3 == 3:
                raise NotFoundError("node", uid)
            (artifacts if id_ & 3 == ARTIFACT else executions).append(id_)
        return _Source(self._statements, reader, session, walk, then), (artifacts, executions)

    def _raws(self, session: Session, ids: Sequence[int], then: Then | None) -> list[Raw]:
        reader = self._reader
        raws = self._statements.nodes(session, ids)
        if then is not None:
            raws = _as_of(reader, session, raws, then)
        raws.sort(key=_id)
        types, spaces = set(map(_type_id, raws)), set(map(_namespace_id, raws))
        if not (reader.types.knows(types) and spaces <= reader.namespaces.keys()):
            reader.know(session, raws)
        return raws

    def _later(self, edges: list[Edge], names: Names, live: _Live | None) -> Sequence[Event]:
        if not edges:
            return []

        def read() -> list[Event]:
            session = None if live is None else live.usable()
            if session is not None:
                return self._events(session, edges, names)
            with self._database.session() as other:
                return self._events(other, edges, names)

        return Later(read, len(edges))

    def _events(self, session: Session, edges: Sequence[Edge], names: Names) -> list[Event]:
        wanted = set(edges)
        found = self._statements.events(session, list({edge[0] for edge in edges}))
        # The first three columns are the edge.
        rows = [row for row, key in zip(found, map(_key, found), strict=True) if key in wanted]
        if len(rows) > len(edges):
            rows = _first(rows, edges)
        rows.sort(key=_event_order)
        try:
            return events_of(rows, names)
        except KeyError:  # a level's events lead to nodes of earlier ones
            absent = {end for row in rows for end in (row[0], row[2])} - names.keys()
            names.update(self._reader.uids_of(session, list(absent)))
            return events_of(rows, names)


_id, _type_id, _namespace_id = itemgetter(ID), itemgetter(TYPE_ID), itemgetter(NAMESPACE_ID)


_key: Final = itemgetter(0, 1, 2)
_event_order: Final = itemgetter(5, 0, 4, 1, 2, 3)
"""Time, execution, place in what was written; then their key."""


def _collect(pieces: Iterable[Piece]) -> tuple[list[int], list[int], list[Edge]]:
    """The executions, artifacts and events of a walk."""
    ids: list[int] = []
    edges: list[Edge] = []
    for piece in pieces:
        ids += piece.ids
        edges += piece.edges
    artifacts = [id_ for id_ in ids if id_ & 3 == ARTIFACT]
    return [id_ for id_ in ids if id_ & 3 != ARTIFACT], artifacts, edges


def _told(levels: Iterator[Level]) -> Iterator[Level]:
    """Levels; an error that is the fault of the filter says so."""
    try:
        yield from levels
    except BackendError as error:
        raise refused(error) from error.__cause__


def _then(walk: Walk, reader: Reader, session: Session) -> Then | None:
    """The moment that a walk asks of; None is now."""
    if walk.as_of_us is not None:
        return Then(walk.as_of_us)
    if walk.place is None:
        return None
    return _read_before(reader, session, walk.place.moment_us)


def _read_before(reader: Reader, session: Session, us: int) -> Then:
    return Then(us, max(us, reader.last_us(session)))


def _as_of(reader: Reader, session: Session, raws: Iterable[Raw], then: Then) -> list[Raw]:
    return reader.as_of(session, [raw for raw in raws if then.knows(raw[CREATED])], then.us, MAX_N)


def _is_known(column: ColumnElement[int]) -> ColumnElement[bool]:
    """`Then.knows` in SQL."""
    return or_(column <= bindparam("then_us"), column > bindparam("ahead_us", type_=BigInteger()))


def _values(then: Then) -> dict[str, object]:
    return {"then_us": then.us, "ahead_us": then.ahead_us}


def _nodes(reader: Reader, raws: list[Raw], names: Names) -> Any:  # Any: of the kind that the ids say
    return LazySequence(raws, maker(reader, names))


def _first(rows: Iterable[Raw], edges: Iterable[Edge]) -> list[Raw]:
    """As many events between two nodes as there were when the walk passed; later ones are left out."""
    left = Counter(edges)
    kept = []
    for row in sorted(rows, key=lambda row: (row[5] if row[6] is None else row[6], row[4])):
        if left[row[:3]] > 0:
            left[row[:3]] -= 1
            kept.append(row)
    return kept


class _Around:
    """The contexts of nodes at the moment when these were read; read when somebody looks, all at once."""

    def __init__(
        self,
        database: Database,
        reader: Reader,
        statements: _Statements,
        raws: Sequence[Raw],
        walk: Walk,
        moment_us: int,
    ) -> None:
        self._database = database
        self._reader = reader
        self._statements = statements
        self._raws = raws
        self._asked = walk.as_of_us is not None
        self._moment_us = moment_us

    @cached_property
    def _read(self) -> tuple[list[Raw], list[Raw]]:
        """The memberships, and the rows of the contexts."""
        statements, moment_us = self._statements, self._moment_us
        with self._database.session() as session:
            then = Then(moment_us) if self._asked else _read_before(self._reader, session, moment_us)
            pairs = statements.members(session, [raw[ID] for raw in self._raws], then)
            raws = statements.nodes(session, sorted({pair[0] for pair in pairs}))
            raws = _as_of(self._reader, session, raws, then)
            self._reader.know(session, raws)
        return pairs, sorted(raws, key=_id)

    def contexts(self) -> list[Context]:
        return list(map(self._reader.node, self._read[1]))  # type: ignore[arg-type]  # contexts all

    def attributions(self) -> list[tuple[str, str]]:
        return self._pairs(artifacts=True)

    def associations(self) -> list[tuple[str, str]]:
        return self._pairs(artifacts=False)

    def _pairs(self, *, artifacts: bool) -> list[tuple[str, str]]:
        pairs, groups = self._read
        uids = {raw[ID]: raw[UID_TEXT] or unpack_uid(raw[UID]) for raw in (*self._raws, *groups)}
        return [(uids[c], uids[n]) for c, n in pairs if (n & 3 == ARTIFACT) == artifacts]


class _Live:
    """The session of a stream, which may be asked between two of its levels by the thread that reads it."""

    def __init__(self, session: Session) -> None:
        self.session: Session | None = session
        self._thread = threading.get_ident()

    def usable(self) -> Session | None:
        return self.session if self._thread == threading.get_ident() else None


class _Source:
    """What a walk asks; see `whence.metadata.levels.Source`."""

    def __init__(
        self, statements: _Statements, reader: Reader, session: Session, walk: Walk, then: Then | None
    ) -> None:
        self._statements = statements
        self._reader = reader
        self._session = session
        self._walk = walk
        self._then = then
        query = walk.query
        self._follow = statements.follow(query.direction, internal=query.internal, then=then is not None)
        self._types: list[int] | None = None
        self._stop: Callable[[Sequence[int]], Collection[int]] | None = None

    def all(self, ids: Sequence[int], of_artifacts: bool) -> list[Edge]:
        """What `follow` gives, at once."""
        values: dict[str, object] = {"ids": self._statements.database.pack(ids)}
        if self._then is not None:
            values |= _values(self._then)
        return self._follow[of_artifacts].rows(self._session, values)

    def follow(self, ids: Sequence[int], *, of_artifacts: bool) -> Iterable[list[Edge]]:
        statement = self._follow[of_artifacts]
        values: dict[str, object] = {"ids": self._statements.database.pack(ids)}
        if self._then is not None:
            values |= _values(self._then)
        return self._statements.batches(self._session, statement, values)

    def stops(self, ids: Sequence[int]) -> Collection[int]:
        if self._stop is None:
            self._stop = self._stopping()
        return self._stop(ids)

    def _stopping(self) -> Callable[[Sequence[int]], Collection[int]]:
        stop, session, reader = self._walk.stop, self._session, self._reader
        assert stop is not None
        then = self._then
        if then is not None:
            asked = Evaluator(GraphThen(reader, session, then.us))

            def past(ids: Sequence[int]) -> Collection[int]:
                raws = _as_of(reader, session, self._statements.nodes(session, ids), then)
                reader.know(session, raws)
                return {raw[ID] for raw in raws if asked.fits(stop, reader.node(raw))}

            return past
        statement, compiled = self._statements.stop(self._walk)
        database = self._statements.database
        more = searched(session, database, compiled.searched) if compiled.searched else {}

        def now(ids: Sequence[int]) -> Collection[int]:
            return {row[0] for row in statement.rows(session, {"ids": database.pack(ids), **more})}

        return now

    def of_types(self, ids: Sequence[int]) -> Collection[int]:
        only, reader = self._walk.only, self._reader
        assert only is not None
        if self._types is None:
            reader.load_types(self._session)
            self._types = [t.id for t in reader.types.all() if t.name in only and t.id is not None]
        return self._statements.of_types(self._session, ids, self._types) if self._types else ()


class _Statements:
    """The statements of walks on one database, each compiled once."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._batched = database.abilities.dialect == "sqlite"
        among, prepare = database.among, database.prepare
        self._follow: dict[tuple[Direction, bool, bool], tuple[Prepared, Prepared]] = {}
        self._stops: dict[str, tuple[Prepared, Compiled]] = {}
        self._nodes = prepare(select(NODE).where(among(NODE.c.id, "ids")))
        self._events = prepare(select(EVENT).where(among(EVENT.c.execution_id, "ids")))
        there = select(NODE.c.id).where(NODE.c.id == MEMBER.c.context_id, _is_known(NODE.c.created_us))
        self._members = prepare(
            select(MEMBER.c.context_id, MEMBER.c.node_id)
            .where(
                among(MEMBER.c.node_id, "ids"),
                or_(MEMBER.c.known_us.is_(None), _is_known(MEMBER.c.known_us)),
                there.correlate(MEMBER).exists(),
            )
            .order_by(MEMBER.c.context_id, MEMBER.c.node_id)
        )
        self._of_types = prepare(
            select(NODE.c.id).where(among(NODE.c.id, "ids"), among(NODE.c.type_id, "type_ids"))
        )

    def follow(self, direction: Direction, *, internal: bool, then: bool) -> tuple[Prepared, Prepared]:
        """The questions for events by which a walk leaves executions, and artifacts."""
        key = direction, internal, then
        if key not in self._follow:
            executions, artifacts = (
                self.database.prepare(self._following(of_artifacts, kinds, then))
                for of_artifacts, kinds in zip((False, True), ways(direction, internal=internal), strict=True)
            )
            self._follow[key] = executions, artifacts
        return self._follow[key]

    def _following(self, of_artifacts: bool, of_kinds: frozenset[str], then: bool) -> Select[Any]:
        codes = [EVENT_CODES[kind] for kind in of_kinds]
        near, far = (
            (EVENT.c.artifact_id, EVENT.c.execution_id)
            if of_artifacts
            else (EVENT.c.execution_id, EVENT.c.artifact_id)
        )
        kinds: list[ColumnElement[Any]] = [literal_column(str(code)) for code in sorted(codes)]
        statement = select(EVENT.c.execution_id, EVENT.c.kind, EVENT.c.artifact_id)
        # A range is looked up once, a list once for each of its kinds.
        low, high = kinds[0], kinds[-1]
        in_order = max(codes) - min(codes) == len(codes) - 1
        wanted = EVENT.c.kind.between(low, high) if in_order else EVENT.c.kind.in_(kinds)
        statement = statement.where(self.database.among(near, "ids"), wanted)
        if not then:
            return statement
        known = _is_known(func.coalesce(EVENT.c.known_us, EVENT.c.at_us))
        made = select(NODE.c.id).where(NODE.c.id == far, _is_known(NODE.c.created_us)).correlate(EVENT)
        return statement.where(known, made.exists())

    def stop(self, walk: Walk) -> tuple[Prepared, Compiled]:
        """The question which of some nodes fit a walk's stop condition."""
        given, scope = walk.query.stop, walk.stop
        assert given is not None
        assert scope is not None
        text = format_filter(read_filter(given))
        if text not in self._stops:
            if len(self._stops) >= STOPS:
                self._stops.clear()
            compiled = compile_scope(scope, self.database)
            statement = select(NODE.c.id).where(self.database.among(NODE.c.id, "ids"), compiled.condition)
            self._stops[text] = self.database.prepare(statement), compiled
        return self._stops[text]

    def batches(
        self, session: Session, statement: Prepared, values: Mapping[str, object]
    ) -> Iterator[list[Raw]]:
        """What a statement selects, in lists of at most `BATCH` rows."""
        if not self._batched:
            batch: list[Raw] = []
            for row in statement.stream(session, values, BATCH):
                batch.append(row)
                if len(batch) >= BATCH:
                    yield batch
                    batch = []
            yield batch
            return
        cursor = session.driver.cursor()
        try:
            cursor.execute(statement.sql, statement.bind(values))
            batch = cursor.fetchmany(BATCH)
            while batch:
                yield batch
                batch = cursor.fetchmany(BATCH) if len(batch) == BATCH else []
        finally:
            cursor.close()

    def nodes(self, session: Session, ids: Sequence[int]) -> list[Raw]:
        """The rows of these nodes."""
        return self._nodes.rows(session, {"ids": self.database.pack(ids)}) if ids else []

    def events(self, session: Session, executions: Sequence[int]) -> list[Raw]:
        """The events of these executions, whole."""
        return self._events.rows(session, {"ids": self.database.pack(executions)})

    def members(self, session: Session, ids: Sequence[int], then: Then) -> list[Raw]:
        """(context id, node id) of what these nodes were in, sorted."""
        if not ids:
            return []
        return self._members.rows(session, {"ids": self.database.pack(ids), **_values(then)})

    def of_types(self, session: Session, ids: Sequence[int], types: Sequence[int]) -> set[int]:
        """Those of these nodes that have one of these types."""
        values = {"ids": self.database.pack(ids), "type_ids": self.database.pack(types)}
        return {row[0] for row in self._of_types.rows(session, values)}


_known: Final[weakref.WeakKeyDictionary[Database, _Statements]] = weakref.WeakKeyDictionary()


def _statements_of(database: Database) -> _Statements:
    found = _known.get(database)
    if found is None:
        found = _known[database] = _Statements(database)
    return found
