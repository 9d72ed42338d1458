"""Indexes that are made when a question first needs them: on properties, and on times.

A property is part of a JSON text; an index on the expression that reads it makes a filter on it a look-up. Which
properties a program asks for shows when it asks: a question that took long makes its indexes, in the background, once,
and has the planner count how many values there are in each.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func

from whence.database import Database, Session
from whence.errors import WhenceError
from whence.metadata.backends.spelling import PLAIN_NAME, Spelling
from whence.metadata.backends.tables import NODE, PROPERTY_INDEX
from whence.metadata.filter import bound as b
from whence.metadata.filter.bound import Bound, Scope
from whence.metadata.query import OrderBy

log = logging.getLogger(__name__)

# A question that takes less is not worth an index, nor is one of a graph that is read through in no time.
SLOW_S: Final = 0.02
MIN_NODES: Final = 5_000
# Each index makes a write dearer by some microseconds.
MAX_INDEXES: Final = 32

PREFIX: Final = "node_p_"
_READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an index would serve: a property read as something, or the order by a time.

    Attributes:
        part: ``p`` (typed), ``c`` (custom), ``order``, or ``counts``: no index, but what a planner knows of all.
        key: The property, or the order.
        affinity: As what it is read.
    """

    part: str
    key: str
    affinity: str

    @property
    def name(self) -> str:
        """The name of the index; names of properties are of any length."""
        digest = hashlib.sha256(repr((self.part, self.key, self.affinity)).encode()).hexdigest()
        return PREFIX + digest[:16]


COUNTS: Final = Wanted("counts", "node", "")
# So many entries of each index are looked at: enough to tell thousands of values from two.
_LOOK: Final = ("PRAGMA analysis_limit=1000", "ANALYZE node")


def wanted_by(query_scope: Scope | None, order_by: OrderBy = "id") -> tuple[Wanted, ...]:
    """The indexes that would serve a question.

    Those of properties that are compared with constants, in the scope or inside its walks, and under no NOT.

    Example:
        >>> from whence.metadata.filter import bind_filter
        >>> [w.key for w in wanted_by(bind_filter("properties.n = 1 AND custom_properties.m IN ('a')", "artifact"))]
        ['n', 'm', 'node']
    """
    found = [] if query_scope is None else [*_of_scope(query_scope), COUNTS]
    if order_by != "id":
        found.append(Wanted("order", order_by, "time"))
    return tuple(dict.fromkeys(found))


def _of_scope(scope: Scope) -> Iterator[Wanted]:
    yield from _of(scope.condition)


def _of(bound: Bound) -> Iterator[Wanted]:
    match bound:
        case b.Logic(_, parts):
            for part in parts:
                yield from _of(part)
        case b.Comparison(op, left, right, "number" | "text") if op != "!=":
            for one, other in ((left, right), (right, left)):
                if isinstance(other, b.Value):
                    yield from _of_property(one)
        case b.Among(value, _):
            yield from _of_property(value)
        case b.Walked(_, inside):
            yield from _of_scope(inside)
        case _:
            return


def _of_property(bound: Bound) -> Iterator[Wanted]:
    plain = isinstance(bound, b.PropertyOf) and PLAIN_NAME.fullmatch(bound.name)
    if plain and isinstance(bound, b.PropertyOf) and bound.want in ("int", "double", "number", "text"):
        yield Wanted(bound.part, bound.name, bound.want)


class Indexer:
    """Makes indexes in the background; whatever goes wrong is logged and nobody's question fails.

    Args:
        database: Where the node table is.
        spelling: How it spells; an index stands on exactly the words of the question.
    """

    def __init__(self, database: Database, spelling: Spelling) -> None:
        self._database = database
        self._spelling = spelling
        self.enabled = database.abilities.expression_indexes
        """Whether indexes are made; a reader that must not write says no."""
        self._settle()

    def _settle(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._known: set[Wanted] = set()
        self._uses: Counter[str] = Counter()
        self._queue: queue.SimpleQueue[Wanted | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting = 0
        self._idle = threading.Event()
        self._idle.set()

    def note(self, wanted: tuple[Wanted, ...], took_s: float) -> None:
        """A question was asked that these indexes would serve."""
        if not self.enabled or not wanted:
            return
        if self._pid != os.getpid():
            self._settle()  # a fork has no threads, and perhaps a lock that nobody gives back
        for one in wanted:
            self._uses[one.name] += 1
        if took_s < SLOW_S or self._known.issuperset(wanted):
            return
        with self._lock:
            for one in wanted:
                if one not in self._known:
                    self._known.add(one)
                    self._waiting += 1
                    self._idle.clear()
                    self._queue.put(one)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="whence-indexes", daemon=True)
                self._thread.start()

    def settle(self, timeout_s: float = 60.0) -> bool:
        """Wait until every index that was begun is there, or has failed; whether that is so in time."""
        return self._idle.wait(timeout_s)

    def close(self) -> None:
        """End the thread; an index that is being made is finished first."""
        with self._lock:
            thread, self._thread = self._thread, None
            self.enabled = False
        if thread is not None and thread.is_alive():
            self._queue.put(None)
            thread.join(timeout=60.0)

    def _work(self) -> None:
        while (one := self._queue.get()) is not None:
            try:
                if self.enabled:
                    self._make(one)
            except Exception as error:  # noqa: BLE001 - a question is answered without the index too
                log.warning(
                    "an index could not be made",
                    extra={"key": one.key, "part": one.part, "error": str(error)[:500]},
                )
                if isinstance(error, WhenceError) and error.code in ("store-unavailable", "denied"):
                    self.enabled = False
            finally:
                with self._lock:
                    self._waiting -= 1
                    if not self._waiting:
                        self._idle.set()

    def _make(self, one: Wanted) -> None:
        with self._database.session() as session:
            last = session.rows("SELECT max(id) FROM node")[0][0]
            stored: dict[str, int] = dict(session.rows("SELECT name, uses FROM property_index"))
        if (last or 0) >> 2 < MIN_NODES or one.name in stored:
            return
        begun = time.monotonic()
        for name in self._too_many(stored) if one != COUNTS else ():
            self._drop(name)
        if self._database.abilities.concurrent_indexes:
            self._alone(one)
        else:
            with self._database.session(write=True) as session:
                for sql in (*self._creating(one), *_LOOK):
                    session.run(sql)
                self._register(session, one)
        log.info(
            "made an index",
            extra={"key": one.key, "part": one.part, "index": one.name, "took_s": time.monotonic() - begun},
        )

    def sql(self, one: Wanted) -> str:
        """The statement that makes an index."""
        expression, more = self._expression(one)
        text = self._literal(expression)
        concurrently = "CONCURRENTLY " if self._database.abilities.concurrent_indexes else ""
        # A node without the property is left out, and questions for a value imply that it is there.
        where = f" WHERE ({text}) IS NOT NULL" if one.part != "order" else ""
        return f"CREATE INDEX {concurrently}IF NOT EXISTS {one.name} ON node (({text}){more}){where}"

    def _creating(self, one: Wanted) -> list[str]:
        if one != COUNTS:
            return [self.sql(one)]
        # PostgreSQL would guess that one node of two hundred is of a kind.
        kinds = "CREATE STATISTICS IF NOT EXISTS node_kinds ON (id & 3) FROM node"
        return [kinds] if self._database.abilities.concurrent_indexes else []

    def _expression(self, one: Wanted) -> tuple[ColumnElement[Any], str]:
        if one.part == "order":
            created = NODE.c.created_us
            return created if one.key == "created_at" else func.coalesce(NODE.c.updated_us, created), ", id"

        def never(_: object) -> ColumnElement[Any]:
            raise AssertionError(one)

        place = self._spelling.place(NODE.c.properties, one.part, one.key, never, lambda: "never")
        return place.read(one.affinity), ""  # type: ignore[arg-type]  # one of those that were wanted

    def _literal(self, expression: ColumnElement[Any]) -> str:
        options = {"include_table": False, "literal_binds": True}
        return str(expression.compile(dialect=self._database.engine.dialect, compile_kwargs=options))

    def _too_many(self, stored: dict[str, int]) -> list[str]:
        """The least used of the indexes that are too many with one more."""
        indexes = [name for name in stored if name != COUNTS.name]
        n = len(indexes) - MAX_INDEXES + 1
        return sorted(indexes, key=lambda name: stored[name] + self._uses[name])[: max(n, 0)]

    def _drop(self, name: str) -> None:
        with self._database.session(write=True) as session:
            session.run(f"DROP INDEX IF EXISTS {name}")
            session.run(f"DELETE FROM property_index WHERE name = '{name}'")
        self._known = {one for one in self._known if one.name != name}

    def _alone(self, one: Wanted) -> None:
        """Make it while others write, outside of any transaction."""
        pooled = self._database.engine.raw_connection()
        try:
            driver: Any = pooled.driver_connection  # Any: as PEP 249 has it, and more
            driver.autocommit = True
            cursor = driver.cursor()
            try:
                # One that was not finished stays, and serves nobody.
                cursor.execute(
                    "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid",
                    (one.name,),
                )
                if cursor.fetchall():
                    cursor.execute(f"DROP INDEX {one.name}")
                for sql in (*self._creating(one), "ANALYZE node"):
                    cursor.execute(sql)
            finally:
                cursor.close()
                driver.autocommit = False
        finally:
            pooled.close()
        with self._database.session(write=True) as session:
            self._register(session, one)

    def _register(self, session: Session, one: Wanted) -> None:
        now_us = time.time_ns() // 1_000
        insert = self._database.prepare(self._database.insert_new(PROPERTY_INDEX))
        row = {
            "name": one.name,
            "code": 0,
            "part": one.part,
            "key": one.key,
            "affinity": one.affinity,
            "uses": self._uses[one.name],
            "used_us": now_us,
            "state": _READY,
        }
        insert.run(session, [row])
