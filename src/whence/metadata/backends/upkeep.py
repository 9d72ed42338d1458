"""What a `SqlStore` keeps beside the graph: namespaces, marks, signs of life, ids from elsewhere; and purging."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import insert

from whence.database import Database, Session
from whence.errors import ConflictError
from whence.metadata.backends.lists import Listed, Tuple, placeholder
from whence.metadata.backends.reading import Reader, packed_uids, uid_text
from whence.metadata.backends.tables import LIFE, NAMESPACE
from whence.metadata.codes import KIND_CODES, KIND_OF
from whence.metadata.rows import MarkRow, to_mark, to_moment
from whence.metadata.types import Beat, Imported, Mark, Namespace, NodeKind, Purged

_MARKS: Final = (
    "SELECT m.id, n.uid, n.uid_text, m.verdict, m.policy, m.reason, m.principal, m.at_us, m.lifted_us, m.lifted_by "
    "FROM mark m JOIN node n ON n.id = m.node_id"
)
_NOW: Final = {
    "postgresql": "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
    "mysql": "SELECT CAST(unix_timestamp(sysdate(6)) * 1000000 AS SIGNED)",
    "mariadb": "SELECT CAST(unix_timestamp(sysdate(6)) * 1000000 AS SIGNED)",
}


class Upkeep:
    """The small tables of one database; shared by the handles of a store."""

    def __init__(self, database: Database, reader: Reader) -> None:
        self._database = database
        self._reader = reader
        self._now_text = _NOW.get(database.abilities.dialect)
        self._insert_namespace = database.prepare(insert(NAMESPACE))
        self._insert_life = database.prepare(insert(LIFE))
        self._marks_of = Listed(database, _MARKS, "n.uid")
        self._end_lives = Listed(database, "DELETE FROM life", "uid")
        purged = (
            ("event", "artifact_id"), ("event", "execution_id"), ("member", "node_id"), ("member", "context_id"),
            ("parent_context", "child_id"), ("parent_context", "parent_id"), ("node_past", "node_id"),
            ("mark", "node_id"), ("node", "id"),
        )  # fmt: skip
        self._purge = [(table, Listed(database, f"DELETE FROM {table}", column)) for table, column in purged]

    def _words(self, text: str) -> str:
        return text.replace("?", placeholder(self._database))

    # The clock

    def now_us(self, session: Session) -> int:
        """The database's clock; that of a file is its machine's."""
        if self._now_text is None:
            return time.time_ns() // 1_000
        return int(session.rows(self._now_text)[0][0])

    # Namespaces

    def namespaces(self, session: Session) -> list[Namespace]:
        """All of them, by id."""
        rows = session.rows("SELECT id, name, created_us, closed FROM namespace ORDER BY id")
        return [Namespace(name, bool(closed), id_, to_moment(us)) for id_, name, us, closed in rows]

    def put_namespace(self, session: Session, name: str, closed: bool | None, now_us: int) -> Namespace:
        """Make one, or open or close it."""
        there = self.namespaces(session)
        stored = next((n for n in there if n.name == name), None)
        if stored is None:
            id_ = max((n.id or 0 for n in there), default=-1) + 1
            self._insert_namespace.tuples(session, [(id_, name, now_us, bool(closed))])
            self._reader.load_namespaces(session)
            return Namespace(name, bool(closed), id_, to_moment(now_us))
        if closed is not None and closed != stored.closed:
            session.run(self._words("UPDATE namespace SET closed = ? WHERE id = ?"), (closed, stored.id))
            stored = Namespace(name, closed, stored.id, stored.created_at)
        return stored

    # Marks

    def has_marks(self, session: Session) -> bool:
        """Whether one is not lifted."""
        return bool(session.rows("SELECT EXISTS (SELECT 1 FROM mark WHERE lifted_us IS NULL)")[0][0])

    def marks(
        self, session: Session, *, after: int, uids: Collection[str] | None, live: bool, limit: int | None
    ) -> list[Mark]:
        """Marks with a greater id than `after`, by id."""
        if uids is not None:
            packed = packed_uids(uids)
            rows = self._marks_of.rows(session, packed) if packed else []
            rows = [row for row in rows if row[0] > after and (row[8] is None or not live)]
            return [_mark(row) for row in sorted(rows)[:limit]]
        alive = "AND m.lifted_us IS NULL" if live else ""
        at_most = "" if limit is None else "LIMIT ?"
        text = self._words(f"{_MARKS} WHERE m.id > ? {alive} ORDER BY m.id {at_most}")
        return [_mark(row) for row in session.rows(text, (after,) if limit is None else (after, limit))]

    # Signs of life

    def beat(self, session: Session, lives: Sequence[Beat]) -> None:
        """Write a beat of each."""
        now = self.now_us(session)
        for life in lives:
            changed = session.run(self._words("UPDATE life SET beat_us = ? WHERE uid = ?"), (now, life.uid))
            if changed == 0:
                self._insert_life.tuples(session, [(life.uid, life.host, life.pid, now, now)])

    def beats(self, session: Session) -> list[Beat]:
        """All lives, by uid."""
        rows = session.rows("SELECT uid, host, pid, started_us, beat_us FROM life ORDER BY uid")
        return [Beat(uid, host, pid, to_moment(a), to_moment(b)) for uid, host, pid, a, b in rows]

    def end_beats(self, session: Session, uids: Sequence[str]) -> None:
        """Forget lives."""
        if uids:
            self._end_lives.run(session, uids)

    # Ids from elsewhere

    def imported(
        self, session: Session, source: str, kind: NodeKind | None, after: int, limit: int | None
    ) -> list[Imported]:
        """The map of one source, by kind and their id."""
        text = (
            "SELECT i.code, i.their_id, n.uid, n.uid_text, n.id FROM imported i JOIN node n ON n.id = i.node_id "
            "WHERE i.source = ? AND i.their_id > ?"
        )
        values: Tuple = (source, after)
        if kind is not None:
            text += " AND i.code = ?"
            values = (*values, KIND_CODES[kind])
        text += " ORDER BY i.code, i.their_id"
        if limit is not None:
            text += " LIMIT ?"
            values = (*values, limit)
        rows = session.rows(self._words(text), values)
        return [Imported(KIND_OF[code], theirs, uid_text(u, t), id_) for code, theirs, u, t, id_ in rows]

    # Purging

    def purge(self, session: Session, uids: Collection[str]) -> Purged:
        """Take tombstones out, with all that hangs on them."""
        raws = self._reader.raw_by_uids(session, uids)
        rows = [self._reader.row(raw) for raw in raws]
        for row in rows:
            if row.removed_us is None:
                raise ConflictError(
                    f"{row.kind} {row.uid} is no tombstone",
                    code="not-removed",
                    hint="remove it first",
                    details={"uid": row.uid},
                )
        ids = [row.id for row in rows]
        counts = {"event": 0, "member": 0}
        if ids:
            for table, statement in self._purge:
                counts[table] = counts.get(table, 0) + statement.run(session, ids)
        return Purged(len(ids), counts["event"], counts["member"])


def _mark(row: Tuple) -> Mark:
    return to_mark(MarkRow(row[0], 0, *row[3:]), uid_text(row[1], row[2]))
