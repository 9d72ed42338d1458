"""Writing the graph's tables: what a plan asks of them, and its carrying out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, insert, update

from whence.database import Database, Session
from whence.metadata.backends.columns import Columns
from whence.metadata.backends.direct import Additions
from whence.metadata.backends.lists import Inserts, Listed, Tuple, placeholder
from whence.metadata.backends.reading import ID, NAME, Reader
from whence.metadata.backends.tables import EVENT, IMPORTED, MARK, MEMBER, NODE, NODE_PAST, PARENT
from whence.metadata.codes import EVENT_CODES, EVENT_KINDS, KIND_CODES, STATE_CODES, pack_uid
from whence.metadata.plan import Plan, Wanted
from whence.metadata.rows import EventRow, MarkRow, NodeRow
from whence.metadata.types import Loaded, NodeKind, Type

CHANGED: Final = (
    "name", "external_id", "uri", "state", "properties", "created_us", "updated_us", "revision", "removed_us",
)  # fmt: skip
"""The columns that an update may change."""


class Writer:
    """The statements that change a graph; shared by the handles of a store."""

    def __init__(self, database: Database) -> None:
        prepare = database.prepare
        self._insert_nodes = prepare(insert(NODE))
        changed: dict[str, Any] = {name: bindparam(name) for name in CHANGED}
        self._update_node = prepare(
            update(NODE).where(NODE.c.id == bindparam("row_id")).values(changed), columns=[*CHANGED, "row_id"]
        )
        self._insert_events = prepare(database.insert_new(EVENT))
        self._insert_members = prepare(database.insert_new(MEMBER))
        self._insert_parents = prepare(database.insert_new(PARENT))
        self._insert_pasts = prepare(insert(NODE_PAST))
        self._unname = Listed(database, "UPDATE node SET name = NULL, external_id = NULL", "id")
        self._forget_pasts = Listed(database, "DELETE FROM node_past", "node_id")
        mark = placeholder(database)
        self._count = f"UPDATE counter SET last_n = {mark}, last_us = {mark} WHERE id = 1"
        self._insert_marks = prepare(insert(MARK))
        self._insert_imported = prepare(database.insert_new(IMPORTED))
        self._many: Many | None = None
        if database.abilities.dialect == "sqlite":
            self._many = Many(
                *(Inserts(i.sql) for i in (self._insert_nodes, self._insert_events, self._insert_members))
            )
        self._lift = f"UPDATE mark SET lifted_us = {mark}, lifted_by = {mark} WHERE id = {mark}"

    def count(self, session: Session, last_n: int, last_us: int) -> None:
        """Say which node was the last, and when this write is."""
        session.run(self._count, (last_n, last_us))

    def carry_out(self, session: Session, plan: Plan, last_n: int) -> None:
        """Write a plan; one of nothing writes nothing."""
        if plan.removed:
            self._forget_pasts.run(session, list(plan.removed))
            self._update_node.tuples(session, map(_update, plan.removed.values()))
        if plan.updates:
            self._update(session, plan)
        if plan.inserts:
            self._insert_nodes.tuples(session, map(_node, plan.inserts.values()))
        if plan.past:
            self._insert_pasts.tuples(session, plan.past)
        self._edges(session, plan)
        if plan.marks or plan.lifted:
            self._insert_marks.tuples(session, plan.marks)
            session.many(self._lift, [(row.lifted_us, row.lifted_by, row.id) for row in plan.lifted])
        if plan.imported:
            rows = ((source, KIND_CODES[kind], theirs, id_) for source, kind, theirs, id_ in plan.imported)
            self._insert_imported.tuples(session, rows)
        newest = plan.inserts[max(plan.inserts)] if plan.inserts else None
        told = newest is not None and newest.id >> 2 > last_n and newest.created_us == plan.now_us
        if not told and writes(plan):
            self.count(session, max(last_n, 0 if newest is None else newest.id >> 2), plan.now_us)

    def add(self, session: Session, added: Additions, last_n: int, now_us: int) -> None:
        """Write what goes the short way; see `carry_out`."""
        if added.updates:
            self._update_node.tuples(session, [(*raw[NAME:], raw[ID]) for raw in added.updates])
        if added.nodes:
            self._insert_nodes.tuples(session, added.nodes.values())
        if added.pasts:
            self._insert_pasts.tuples(session, added.pasts)
        if added.events:
            self._insert_events.tuples(session, added.events)
        if added.members:
            self._insert_members.tuples(session, added.members)
        if not added.nodes and (added.updates or added.events or added.members):
            self.count(session, last_n, now_us)

    def load(self, session: Session, reader: Reader, columns: Columns, last_n: int, now_us: int) -> Loaded:
        """Write what only adds, given column by column; how many rows were new."""
        if self._many is None:
            added = columns.rows()
            loaded = added_rows(reader, session, added)
            self.add(session, added, last_n, now_us)
            return loaded
        n_nodes, n_events, n_members = columns.n_nodes, columns.n_events, columns.n_members
        if n_nodes:
            self._many.nodes.run(session, columns.nodes, n_nodes)
        elif n_events or n_members:
            self.count(session, last_n, now_us)
        if n_events:
            n_events = self._many.events.run(session, columns.events, n_events)
        if n_members:
            n_members = self._many.members.run(session, columns.members, n_members)
        return Loaded(n_nodes=n_nodes, n_events=n_events, n_members=n_members)

    def _update(self, session: Session, plan: Plan) -> None:
        if len(plan.updates) > 1 and any(_renames(past.delta) for past in plan.past):
            # Two nodes may have changed names with each other: each is free before one is taken.
            self._unname.run(session, list(plan.updates))
        self._update_node.tuples(session, map(_update, plan.updates.values()))

    def _edges(self, session: Session, plan: Plan) -> None:
        if plan.events:
            self._insert_events.tuples(session, map(_event, plan.events))
        if plan.members:
            self._insert_members.tuples(session, [(c, n, us) for (c, n), us in plan.members.items()])
        if plan.parents:
            self._insert_parents.tuples(session, [(c, p, us) for (c, p), us in plan.parents.items()])


@dataclass(frozen=True, slots=True)
class Many:
    """The statements that insert many rows at once."""

    nodes: Inserts
    events: Inserts
    members: Inserts


class SqlLookup:
    """What a plan asks of the store, inside its transaction; see `whence.metadata.plan.Lookup`."""

    def __init__(
        self, reader: Reader, session: Session, namespace_id: int, last_n: int, last_us: int = 0
    ) -> None:
        self.namespace_id = namespace_id
        self._reader = reader
        self._session = session
        self.last_n = last_n
        self.last_us = last_us

    def type(self, kind: NodeKind, name: str, version: str | None, properties: Collection[str]) -> Type:
        """The stored type, read again if it lacks one of `properties`."""
        types = self._reader.types
        found = types.find(kind, name, version)
        if found is None or not found.properties.keys() >= set(properties):
            # Another process may have put or extended it since.
            self._reader.load_types(self._session)
        return types.get(kind, name, version)

    def rows(self, wanted: Wanted) -> Iterable[NodeRow]:
        """The stored nodes with any of these names."""
        reader, session = self._reader, self._session
        raws = reader.raw_by_uids(session, wanted.uids)
        if wanted.ids:
            raws += reader.raw_by_ids(session, list(wanted.ids))
        for type_id, namespace_id in {name[:2] for name in wanted.names}:
            names = [name for t, n, name in wanted.names if (t, n) == (type_id, namespace_id)]
            raws += reader.raw_by_names(session, type_id, namespace_id, names)
        for kind, namespace_id in {name[:2] for name in wanted.external_ids}:
            texts = [text for k, n, text in wanted.external_ids if (k, n) == (kind, namespace_id)]
            raws += reader.raw_by_external_ids(session, kind, namespace_id, texts)
        reader.know(session, raws)
        return map(reader.row, raws)

    def next_id(self) -> int:
        """The first number that no node has had."""
        return self.last_n + 1

    def parents(self, ids: Collection[int]) -> Iterable[tuple[int, int]]:
        """The (child, parent) pairs of these children."""
        return self._reader.parents(self._session, list(ids))

    def events(self, keys: Collection[tuple[int, int, str]]) -> Iterable[tuple[int, int, str]]:
        """Those of these (execution, artifact, kind) that stored events have."""
        coded = {(execution, EVENT_CODES[kind], artifact) for execution, artifact, kind in keys}
        found = self._reader.event_keys(self._session, coded)
        return {(execution, artifact, EVENT_KINDS[kind]) for execution, kind, artifact, _ in found}

    def marks(self, ids: Collection[int]) -> Iterable[MarkRow]:
        """The stored marks with these ids."""
        return self._reader.mark_rows(self._session, list(ids))

    def next_mark(self) -> int:
        """The first id of a mark that is free."""
        return int(self._session.rows("SELECT coalesce(max(id), 0) FROM mark")[0][0]) + 1


def new_rows(reader: Reader, session: Session, plan: Plan) -> Loaded:
    """How many rows of a plan are not there yet; asked before it is carried out."""
    inserts = plan.inserts
    events = {(e.execution_id, EVENT_CODES[e.kind], e.artifact_id, e.path) for e in plan.events}
    members = {node for _, node in plan.members} - inserts.keys()
    children = {child for child, _ in plan.parents} - inserts.keys()
    return Loaded(
        n_nodes=len(inserts),
        n_updated=len(plan.updates),
        n_events=len(events.difference(_stored(reader, session, events, inserts.keys()))),
        n_members=len(plan.members.keys() - set(reader.members(session, list(members)))),
        n_parents=len(plan.parents.keys() - set(reader.parents(session, list(children)))),
    )


def added_rows(reader: Reader, session: Session, added: Additions) -> Loaded:
    """How many rows of what only adds are not there yet; asked before it is written."""
    new = {raw[0] for raw in added.nodes.values()}
    events = {row[:4] for row in added.events}
    members = {row[:2] for row in added.members}
    nodes = {row[1] for row in members} - new
    return Loaded(
        n_nodes=len(new),
        n_events=len(events.difference(_stored(reader, session, events, new))),
        n_members=len(members.difference(reader.members(session, list(nodes))) if nodes else members),
    )


def _stored(
    reader: Reader, session: Session, events: Iterable[tuple[int, int, int, str]], new: Collection[int]
) -> set[Tuple]:
    """The stored events between the ends of these; a node that is `new` has none."""
    return reader.event_keys(session, {key[:3] for key in events if key[0] not in new and key[2] not in new})


def writes(plan: Plan) -> bool:
    """Whether a plan changes anything that is stored."""
    return bool(
        plan.inserts
        or plan.updates
        or plan.removed
        or plan.events
        or plan.members
        or plan.parents
        or plan.marks
        or plan.lifted
        or plan.imported
    )


def _renames(delta: str) -> bool:
    return '"n":' in delta or '"x":' in delta


def _node(row: NodeRow) -> Tuple:
    uid, text = pack_uid(row.uid)
    created = row.created_us
    return (
        row.id,
        row.type_id,
        row.namespace_id,
        uid,
        text,
        row.name,
        row.external_id,
        row.uri,
        None if row.state is None else STATE_CODES[row.kind][row.state],
        row.properties,
        created,
        None if row.updated_us == created else row.updated_us,
        row.revision,
        row.removed_us,
    )


def _update(row: NodeRow) -> Tuple:
    return (*_node(row)[5:], row.id)


def _event(row: EventRow) -> Tuple:
    known = row.known_us
    at = row.at_us
    return (
        row.execution_id,
        EVENT_CODES[row.kind],
        row.artifact_id,
        row.path,
        row.position,
        at,
        None if known == at else known,
    )
