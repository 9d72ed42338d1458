"""Reading the graph's tables: raw rows as the driver gives them, and what is made of them when somebody looks.

A raw node is a tuple of the node table's columns in their order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import select

from whence.database import Database, Session
from whence.metadata.backends.lists import Keyed, Listed, Tuple, driver_text, placeholder
from whence.metadata.backends.nodes import node_maker
from whence.metadata.backends.tables import MARK, NAMESPACE, NODE, NODE_PAST, TYPE
from whence.metadata.backends.uids import unpack_uids
from whence.metadata.codes import (
    EVENT_CODES,
    EVENT_KINDS,
    KIND_CODES,
    KIND_OF,
    STATE_CODES,
    STATES,
    pack_uid,
    unpack_uid,
)
from whence.metadata.past import rolled_to
from whence.metadata.rows import MarkRow, NodeRow, PastRow, path_text, to_moment, to_node
from whence.metadata.types import AnyNode, Event, NodeKind, Type
from whence.metadata.typetable import TypeTable

# The places of a raw node's columns.
ID, TYPE_ID, NAMESPACE_ID, UID, UID_TEXT, NAME, EXTERNAL_ID, URI, STATE = range(9)
PROPERTIES, CREATED, UPDATED, REVISION, REMOVED = range(9, 14)

_EVENTS: Final = (
    "SELECT e.execution_id, e.kind, e.artifact_id, e.path, e.position, e.at_us, "
    "x.uid, x.uid_text, a.uid, a.uid_text FROM event e "
    "JOIN node x ON x.id = e.execution_id JOIN node a ON a.id = e.artifact_id"
)
_decode: Final = msgspec.json.Decoder(list[str | int]).decode
_KNOWN: Final = "AND coalesce(e.known_us, e.at_us) <= ?"


class Reader:
    """What both sides of a `SqlStore` read; shared by its handles, safe for threads."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.types = TypeTable()
        self.namespaces: dict[int, str] = {}
        self.plain_types: dict[object, tuple[int, int, dict[str, type], dict[str, int]]] = {}
        """What `direct` keeps of the types; forgotten when any of them changes."""
        self._lock = threading.Lock()
        self.node: Callable[[Tuple], AnyNode] = node_maker(self)
        """The value object of a raw node, its fields read when they are looked at."""
        self._mark = placeholder(database)
        nodes = select(NODE)
        self._of_kind = (
            f"{driver_text(database, nodes)} WHERE id > {self._mark} AND (id & 3) = {self._mark} "
            f"ORDER BY id LIMIT {self._mark}"
        )
        self._by_id = Listed(database, nodes, "id")
        self._by_uid = Listed(database, nodes, "uid")
        self._by_name = Listed(database, nodes, "name", "AND type_id = ? AND namespace_id = ?")
        self._by_external = Listed(
            database,
            nodes,
            "external_id",
            "AND namespace_id = ? AND (id & 3) = ? AND external_id IS NOT NULL",
        )
        self._ends = Listed(database, "SELECT uid, uid_text, id, removed_us FROM node", "uid")
        self._uids = Listed(database, "SELECT id, uid, uid_text FROM node", "id")
        self._members = Listed(
            database, f"SELECT context_id, node_id FROM {self._quoted('member')}", "node_id"
        )
        self._parents = Listed(database, "SELECT child_id, parent_id FROM parent_context", "child_id")
        self._pasts = Listed(database, select(NODE_PAST), "node_id")
        self._pasts_since = Listed(database, select(NODE_PAST), "node_id", "AND until_us > ?")
        self._events_of = {end: Listed(database, _EVENTS, f"{end}.uid") for end in "ax"}
        self._events_known = {end: Listed(database, _EVENTS, f"{end}.uid", _KNOWN) for end in "ax"}
        self._event_keys = Keyed(database, "event", ("execution_id", "kind", "artifact_id"), ("path",))
        self._changed_since = f"SELECT DISTINCT node_id FROM node_past WHERE until_us > {self._mark} AND (node_id & 3) = {self._mark}"
        self._marks = Listed(database, select(MARK), "id")
        found = driver_text(database, select(NODE.alias("c")))
        self._contexts = {role: f"{found} {join}" for role, join in self._context_joins(known=False)}
        self._contexts_known = {role: f"{found} {join}" for role, join in self._context_joins(known=True)}
        # By their numbers, where the times that nodes claim say nothing.
        self._contexts_there = {
            role: f"{text} AND (m.known_us IS NULL OR m.known_us <= {self._mark}) AND (c.id >> 2) <= {self._mark}"
            for role, text in self._contexts.items()
        }
        self._types_text = driver_text(database, select(TYPE))
        self._namespaces_text = driver_text(database, select(NAMESPACE.c.id, NAMESPACE.c.name))
        self._counter_text = (
            "SELECT c.last_n, c.last_us, s.closed, n.id, n.created_us FROM counter c JOIN namespace s ON s.id = "
            f"{self._mark} LEFT JOIN node n ON n.id = (SELECT max(id) FROM node) WHERE c.id = 1"
        )

    def _context_joins(self, *, known: bool) -> Iterator[tuple[str, str]]:
        # An edge without a time of its own is known since both of its ends are.
        both = f"coalesce(m.known_us, {self._later('c', 'n')}) <= {self._mark}"
        also = f" AND {both}" if known else ""
        for role, table, left, right, code in (
            ("artifact", "member", "context_id", "node_id", 1),
            ("execution", "member", "context_id", "node_id", 2),
            ("child", "parent_context", "parent_id", "child_id", 3),
            ("parent", "parent_context", "child_id", "parent_id", 3),
            ("members", "member", "node_id", "context_id", 3),
        ):
            joins = f"JOIN {self._quoted(table)} m ON m.{left} = c.id JOIN node n ON n.id = m.{right}"
            yield role, f"{joins} WHERE n.uid = {self._mark} AND (n.id & 3) = {code}{also}"

    def _later(self, one: str, other: str) -> str:
        return f"CASE WHEN {one}.created_us > {other}.created_us THEN {one}.created_us ELSE {other}.created_us END"

    def _quoted(self, table: str) -> str:
        return self.database.engine.dialect.identifier_preparer.quote(table)

    # What names mean

    def load_types(self, session: Session) -> None:
        """Read the types again."""
        rows = session.rows(self._types_text)
        with self._lock:
            for row in rows:
                self.types.add(_type(row))
            self.plain_types.clear()

    def learn(self, type_: Type) -> None:
        """Know a type that was stored."""
        with self._lock:
            self.types.add(type_)
            self.plain_types.clear()

    def load_namespaces(self, session: Session) -> None:
        """Read the namespaces again."""
        found = {int(id_): str(name) for id_, name in session.rows(self._namespaces_text)}
        with self._lock:
            self.namespaces.update(found)

    def know(self, session: Session, raws: Collection[Tuple]) -> None:
        """Know the types and namespaces of these nodes, another process may have made them."""
        if not self.types.knows({raw[TYPE_ID] for raw in raws}):
            self.load_types(session)
        if not {raw[NAMESPACE_ID] for raw in raws} <= self.namespaces.keys():
            self.load_namespaces(session)

    def counter(self, session: Session, namespace_id: int = 0) -> tuple[int, int, bool]:
        """Where writing stands.

        Returns:
            The n of the newest node there ever was, the moment of the last write, and whether the namespace is closed.
        """
        ((last_n, last_us, closed, id_, created_us),) = session.rows(self._counter_text, (namespace_id,))
        if id_ is not None and id_ >> 2 > last_n:
            # A write that makes nodes dated by itself leaves the counter as it is: the newest one says both, and saves
            # a page. One that the counter knows may have a time from elsewhere.
            last_n, last_us = id_ >> 2, created_us
        return last_n, last_us, bool(closed)

    def last_us(self, session: Session) -> int:
        """The moment of the last write that this session sees; every later write is later."""
        return self.counter(session)[1]

    # Nodes

    def raw_by_ids(self, session: Session, ids: Sequence[int]) -> list[Tuple]:
        """The nodes with these ids, in no order."""
        return self._by_id.rows(session, ids) if ids else []

    def raw_by_uids(self, session: Session, uids: Iterable[str]) -> list[Tuple]:
        """The nodes with these uids, in no order."""
        return self.raw_by_packed(session, packed_uids(uids))

    def raw_by_packed(self, session: Session, packed: Sequence[bytes]) -> list[Tuple]:
        """The nodes with these uids, given as they are stored, in no order."""
        return self._by_uid.rows(session, packed) if packed else []

    def raw_of_kind(self, session: Session, kind: NodeKind, size: int) -> Iterator[list[Tuple]]:
        """All nodes of a kind, by id, a list of at most `size` at a time."""
        after = 0
        while rows := session.rows(self._of_kind, (after, KIND_CODES[kind], size)):
            yield rows
            after = rows[-1][ID]

    def raw_by_names(
        self, session: Session, type_id: int, namespace_id: int, names: Sequence[str]
    ) -> list[Tuple]:
        """The nodes of a type with these names."""
        return self._by_name.rows(session, names, (type_id, namespace_id)) if names else []

    def raw_by_external_ids(
        self, session: Session, kind: NodeKind, namespace_id: int, texts: Sequence[str]
    ) -> list[Tuple]:
        """The nodes of a kind with these external ids."""
        return self._by_external.rows(session, texts, (namespace_id, KIND_CODES[kind])) if texts else []

    def ends(self, session: Session, uids: Collection[str]) -> list[tuple[str, int, int | None]]:
        """(uid, id, when it was removed) of those of these uids that are there."""
        rows = self._ends.rows(session, packed_uids(uids))
        return [(text or unpack_uid(packed), id_, removed) for packed, text, id_, removed in rows]

    def uids_of(self, session: Session, ids: Sequence[int]) -> dict[int, str]:
        """The uids of these ids."""
        rows = self._uids.rows(session, ids) if ids else []
        return {id_: text or unpack_uid(packed) for id_, packed, text in rows}

    def contexts(
        self, session: Session, uid: str, role: str, as_of_us: int | None, last_n: int | None = None
    ) -> list[Tuple]:
        """The contexts that a node of this uid is in, as ``artifact`` or ``execution``; or the parents of it as a
        ``child``, its children as a ``parent``, what is in it with ``members``; with `last_n` as in `as_of`.
        """
        packed = packed_uids([uid])
        if as_of_us is not None and last_n is not None:
            values = (*packed, as_of_us, last_n)
            return session.rows(self._contexts_there[role], values) if packed else []
        known = () if as_of_us is None else (as_of_us,)
        text = self._contexts[role] if as_of_us is None else self._contexts_known[role]
        return session.rows(text, (*packed, *known)) if packed else []

    def as_of(
        self, session: Session, raws: Sequence[Tuple], us: int, last_n: int | None = None
    ) -> list[Tuple]:
        """These nodes as they were known at a moment; those made since are left out.

        Args:
            session: A session.
            raws: The nodes as they are now.
            us: The moment.
            last_n: The n of the newest node at the moment, which tells what was there whatever times nodes claim.
        """
        if last_n is None:
            there = [raw for raw in raws if raw[CREATED] <= us]
        else:
            there = [raw for raw in raws if raw[ID] >> 2 <= last_n]
        # Not by the time of the update: what was brought in has times of its own.
        changed = [raw[ID] for raw in there if raw[REVISION] > 1]
        pasts: dict[int, list[PastRow]] = {}
        for past in self.pasts(session, changed, us):
            pasts.setdefault(past.node_id, []).append(past)
        return [self._rolled_back(raw, pasts[raw[ID]], us) if raw[ID] in pasts else raw for raw in there]

    def _rolled_back(self, raw: Tuple, pasts: Iterable[PastRow], us: int) -> Tuple:
        row = rolled_to(self.row(raw), pasts, us)
        state = None if row.state is None else STATE_CODES[row.kind][row.state]
        updated = None if row.updated_us == row.created_us else row.updated_us
        fields = (
            row.name,
            row.external_id,
            row.uri,
            state,
            row.properties,
            row.created_us,
            updated,
            row.revision,
        )
        return (*raw[:NAME], *fields, raw[REMOVED])

    def node_of(self, row: NodeRow) -> AnyNode:
        """The value object of a node in words."""
        return to_node(row, self.types.by_id(row.type_id), self.namespaces[row.namespace_id])

    def row(self, raw: Tuple) -> NodeRow:
        """A raw node in words."""
        id_ = raw[ID]
        state = raw[STATE]
        return NodeRow(
            id=id_,
            kind=KIND_OF[id_ & 3],
            type_id=raw[TYPE_ID],
            uid=raw[UID_TEXT] or unpack_uid(raw[UID]),
            name=raw[NAME],
            external_id=raw[EXTERNAL_ID],
            uri=raw[URI],
            state=None if state is None else STATES[id_ & 3][state],
            properties=raw[PROPERTIES],
            created_us=raw[CREATED],
            updated_us=raw[CREATED] if raw[UPDATED] is None else raw[UPDATED],
            revision=raw[REVISION],
            namespace_id=raw[NAMESPACE_ID],
            removed_us=raw[REMOVED],
        )

    # Edges

    def members(self, session: Session, ids: Sequence[int]) -> list[tuple[int, int]]:
        """(context id, node id) of every membership of these nodes."""
        return [(row[0], row[1]) for row in self._members.rows(session, ids)] if ids else []

    def parents(self, session: Session, ids: Sequence[int]) -> list[tuple[int, int]]:
        """(child id, parent id) of these contexts."""
        return [(row[0], row[1]) for row in self._parents.rows(session, ids)] if ids else []

    def event_keys(self, session: Session, keys: Collection[tuple[int, int, int]]) -> set[Tuple]:
        """(execution id, kind code, artifact id, path) of every event with one of these first three."""
        return self._event_keys.rows(session, keys)

    def has_events(self, session: Session, events: Sequence[Event]) -> list[bool]:
        """Whether each of these events is stored, at whatever time."""
        ids = {
            uid: id_
            for uid, id_, _ in self.ends(session, {u for e in events for u in (e.execution, e.artifact)})
        }
        keys = [
            (ids.get(e.execution, 0), EVENT_CODES[e.kind], ids.get(e.artifact, 0), path_text(e.path))
            for e in events
        ]
        there = self.event_keys(session, {key[:3] for key in keys})
        return [key in there for key in keys]

    def mark_rows(self, session: Session, ids: Sequence[int]) -> list[MarkRow]:
        """The marks with these ids."""
        return [MarkRow(*row) for row in self._marks.rows(session, ids)] if ids else []

    def events(
        self,
        session: Session,
        *,
        artifacts: Collection[str] | None,
        executions: Collection[str] | None,
        as_of_us: int | None,
    ) -> list[Tuple]:
        """Events of these artifacts and of these executions, each once, in their order; see `to_events`."""
        found: dict[Tuple, Tuple] = {}
        for end, uids in (("a", artifacts), ("x", executions)):
            packed = packed_uids(uids or ())
            if not packed:
                continue
            if as_of_us is None:
                rows = self._events_of[end].rows(session, packed)
            else:
                rows = self._events_known[end].rows(session, packed, (as_of_us,))
            found.update((row[:4], row) for row in rows)
        return sorted(found.values(), key=event_order)

    # The past

    def pasts(self, session: Session, ids: Sequence[int], since_us: int | None = None) -> list[PastRow]:
        """Earlier revisions of these nodes, those that ended after `since_us`, newest first."""
        if not ids:
            return []
        if since_us is None:
            rows = self._pasts.rows(session, ids)
        else:
            rows = self._pasts_since.rows(session, ids, (since_us,))
        return sorted((PastRow(*row) for row in rows), key=lambda p: -p.revision)

    def changed_since(self, session: Session, kind: NodeKind, us: int) -> list[int]:
        """The ids of the nodes of a kind that were updated after a moment, removed ones left out."""
        return [row[0] for row in session.rows(self._changed_since, (us, KIND_CODES[kind]))]

    def all_events(self, session: Session, as_of_us: int | None) -> Iterator[Tuple]:
        """Every event, by execution, artifact, kind and path, streamed; see `to_events`."""
        known = "" if as_of_us is None else _KNOWN.replace("AND", "WHERE", 1).replace("?", self._mark)
        order = "ORDER BY e.execution_id, e.artifact_id, e.kind, e.path"
        yield from session.stream(f"{_EVENTS} {known} {order}", () if as_of_us is None else (as_of_us,))

    def all_members(self, session: Session, as_of_us: int | None) -> Iterator[Tuple]:
        """(context uid and text, node uid and text, node id) of every membership, streamed."""
        yield from self._pairs(session, "member", "context_id", "node_id", as_of_us)

    def all_parents(self, session: Session, as_of_us: int | None) -> Iterator[Tuple]:
        """(child uid and text, parent uid and text, parent id) of every pair, streamed."""
        yield from self._pairs(session, "parent_context", "child_id", "parent_id", as_of_us)

    def _pairs(
        self, session: Session, table: str, left: str, right: str, as_of_us: int | None
    ) -> Iterator[Tuple]:
        both = f"coalesce(m.known_us, {self._later('l', 'r')}) <= {self._mark}"
        known = "" if as_of_us is None else f"WHERE {both}"
        text = (
            f"SELECT l.uid, l.uid_text, r.uid, r.uid_text, r.id FROM {self._quoted(table)} m "
            f"JOIN node l ON l.id = m.{left} JOIN node r ON r.id = m.{right} {known} ORDER BY m.{left}, m.{right}"
        )
        yield from session.stream(text, () if as_of_us is None else (as_of_us,))


def packed_uids(uids: Iterable[str]) -> list[bytes]:
    """Uids as they are stored, each once."""
    return list({pack_uid(uid)[0]: None for uid in uids})


def event_order(row: Tuple) -> Tuple:
    """What events are sorted by: their time, their execution, their place in what was written."""
    return row[5], row[0], row[4], row[:4]


def to_events(rows: Sequence[Tuple]) -> list[Event]:
    """The value objects of raw events."""
    ends = zip(rows, uid_texts(rows, 6), uid_texts(rows, 8), strict=True)
    return [
        Event(
            execution,
            artifact,
            EVENT_KINDS[row[1]],  # type: ignore[arg-type]  # the words of that literal
            tuple(_decode(row[3])) if row[3] else (),
            to_moment(row[5]),
        )
        for row, execution, artifact in ends
    ]


def uid_texts(rows: Sequence[Tuple], place: int) -> list[str]:
    """The uids of rows that have them, in their two columns, from a place on."""
    packed = unpack_uids([row[place] for row in rows])
    return [row[place + 1] or uid for row, uid in zip(rows, packed, strict=True)]


def uid_text(packed: bytes, text: str | None) -> str:
    """A uid out of its two columns."""
    return text or unpack_uid(packed)


def _type(row: Tuple) -> Type:
    properties: Mapping[str, str] = msgspec.json.decode(row[9])
    return Type(
        kind=KIND_OF[row[1]],
        name=row[2],
        version=row[3] or None,
        description=row[4],
        base=row[5],
        external_id=row[6],
        input_type=row[7],
        output_type=row[8],
        properties=properties,  # type: ignore[arg-type]  # stored by us
        id=row[0],
    )
