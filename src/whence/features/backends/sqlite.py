"""The online store in one SQLite file, in write-ahead mode: readers never wait for the writer.

The rows of a key lie side by side (the table is its own index), so that a window is one range and the newest
row one step. A batch is one transaction with its progress; every process and thread has a connection of its own.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from operator import add, itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Self
from urllib.parse import unquote

import msgspec

from whence._base.crash import crash_point
from whence._base.locks import file_lock
from whence.errors import BackendError, ConflictError, IntegrityError, UsageError, WhenceError
from whence.features.base import (
    NEVER,
    NOBODY,
    ROWS_WRITTEN,
    Asked,
    Found,
    GroupState,
    OnlineReading,
    OnlineRow,
    OnlineStore,
    Rank,
    Version,
    chain,
)

LAYOUT: Final = 1
"""The version of the tables below, kept in the file."""

BUSY_TIMEOUT_S: Final = 60.0

# A log longer than this is cut back after a checkpoint.
LOG_LIMIT_BYTES: Final = 64 * 1024 * 1024

# Pages kept by a connection, in KiB: a batch of rows touches keys all over the file.
CACHE_KIB: Final = 65_536

# Questions in one statement: few sizes, because a statement is prepared once for its text.
SIZES: Final = (4, 8, 16, 25, 32, 50, 64, 80, 100, 128, 160, 200, 256)

# Statements a connection keeps prepared.
PREPARED: Final = 512

# Well below SQLITE_MAX_VARIABLE_NUMBER (32,766 since 3.32).
PROBE: Final = 500

_GROUPS: Final = """
CREATE TABLE groups (
    g INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, facts TEXT NOT NULL, progress TEXT NOT NULL,
    n_put INTEGER NOT NULL DEFAULT 0, forgotten INTEGER, since INTEGER
);
CREATE TABLE changes (change INTEGER NOT NULL);
INSERT INTO changes VALUES (0);
"""
_ROWS: Final = f"""
CREATE TABLE rows_{{g}} (
    k BLOB NOT NULL, e INTEGER NOT NULL, kn INTEGER NOT NULL, n INTEGER NOT NULL,
    s INTEGER NOT NULL DEFAULT {NEVER}, content BLOB NOT NULL, name BLOB, PRIMARY KEY (k, e, kn, n)
) WITHOUT ROWID
"""
_NAMES: Final = "CREATE INDEX names_{g} ON rows_{g} (name) WHERE name IS NOT NULL"
_PLACE: Final = itemgetter(0, 2)
_FIRST: Final = -(2**63)
_MANY: Final = 3

# A statement that is not read to its end holds one state of the file, for less than BEGIN and ROLLBACK cost.
_HOLD: Final = "SELECT change FROM changes UNION ALL SELECT 0"


@dataclass(frozen=True, slots=True)
class _Statements:
    """The texts of one group's statements: each group has a table of its own, whose key is then short."""

    insert: str
    versions: str
    take_back: str
    newest: str
    tied: str
    since: str
    since_strictly: str
    awaited: str


@lru_cache(maxsize=256)
def _statements(g: int) -> _Statements:
    rows, usable = f"rows_{g}", "k = ?1 AND e <= ?2 AND kn <= ?2 AND s > ?2"
    since, back = f"SELECT e, kn, content FROM {rows} WHERE k = ?1 AND e >= ?3", "ORDER BY e, kn, n"
    return _Statements(
        insert=f"INSERT INTO {rows} (k, name, e, kn, content, n) VALUES (?, ?, ?, ?, ?, ?)",
        versions=f"SELECT k, e, kn, n, s, content FROM {rows} WHERE name = ?",
        take_back=f"UPDATE {rows} SET s = ? WHERE k = ? AND e = ? AND kn = ? AND n = ?",
        newest=f"SELECT e, kn, content FROM {rows} WHERE {usable} ORDER BY e DESC, kn DESC LIMIT 2",
        tied=f"SELECT e, kn, content FROM {rows} WHERE {usable} AND e = ?3",
        since=f"{since} AND e <= ?2 AND kn <= ?2 AND s > ?2 {back}",
        since_strictly=f"{since} AND e < ?2 AND kn < ?2 AND s >= ?2 {back}",
        awaited=f"SELECT EXISTS (SELECT 1 FROM {rows} WHERE k = ?1 AND (e > ?2 OR kn > ?2) AND s > kn)",
    )


class _Reading(OnlineReading):
    """Reads through one thread's connection, within one transaction.

    What the groups are called and how far they have come changes seldom: it is kept until the file's own count
    of changes moves, which the first statement of each transaction asks for.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._depth = 0
        self._held: sqlite3.Cursor | None = None
        self._change = -1
        self._known: dict[str, tuple[int, GroupState]] = {}

    def __enter__(self) -> Self:
        if not self._depth:
            try:
                self._held = self._connection.execute(_HOLD)
                change = self._held.fetchone()[0]
            except sqlite3.Error as error:
                raise _meaning(error) from error
            if change != self._change:
                self._known.clear()
                self._change = change
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth and self._held is not None:
            self._held.close()
            self._held = None
        if error is not None:
            _FAILURES.__exit__(kind, error, trace)

    def states(self, groups: Sequence[str]) -> list[GroupState | None]:
        known = self._known
        if any(group not in known for group in groups):
            sql = _states_sql(len(groups))
            for g, name, facts, progress, forgotten, since in self._connection.execute(
                sql, groups
            ).fetchall():
                state = GroupState(name, facts, msgspec.json.decode(progress), forgotten, since)
                known[name] = int(g), state
        return [known[group][1] if group in known else None for group in groups]

    def number(self, group: str) -> int:
        """The number of a group; 0 is none."""
        if group not in self._known:
            self.states([group])
        return self._known[group][0] if group in self._known else 0

    def newest(self, group: str, asked: Sequence[Asked]) -> list[list[Found]]:
        known = self._known.get(group)
        g = self.number(group) if known is None else known[0]
        if not g:
            return [[] for _ in asked]
        if len(asked) >= _MANY:
            return _newest_of_many(self._connection, g, asked)
        connection, texts = self._connection, _statements(g)
        return [_newest(connection, texts, one) for one in asked]

    def since(
        self, group: str, asked: Sequence[Asked], reach_us: int | None, *, strict: bool
    ) -> list[list[Found]]:
        g = self.number(group)
        if not g:
            return [[] for _ in asked]
        sql = _statements(g).since_strictly if strict else _statements(g).since
        return [
            self._connection.execute(
                sql, (key or None, at_us, _FIRST if reach_us is None else at_us - reach_us)
            ).fetchall()
            for key, at_us in asked
        ]

    def awaited(self, group: str, asked: Sequence[Asked]) -> list[bool]:
        g = self.number(group)
        if not g:
            return [False for _ in asked]
        sql = _statements(g).awaited
        return [
            bool(self._connection.execute(sql, (key or None, at_us)).fetchone()[0]) for key, at_us in asked
        ]


class _Link(threading.local):
    """A thread's connection, and what reads through it."""

    connection: sqlite3.Connection | None = None
    pid: int = 0
    reading: _Reading | None = None


class SqliteOnline(OnlineStore):
    """Rows in a SQLite file.

    Args:
        path: The file; made when absent, its folder must be there.
    """

    name: ClassVar[str] = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._link = _Link()
        self._open: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        with _FAILURES:
            self._connection()

    # --- connections

    def _connection(self) -> sqlite3.Connection:
        link = self._link
        if link.connection is None or link.pid != os.getpid():
            link.connection, link.pid = self._connect(), os.getpid()
            link.reading = _Reading(link.connection)
            with self._lock:
                self._open.append(link.connection)
        return link.connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=PREPARED,
        )
        try:
            if _value(connection, "PRAGMA user_version") != LAYOUT:
                self._furnish(connection)
            # what a power cut takes is projected again: progress goes with the rows
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA journal_size_limit={LOG_LIMIT_BYTES}")
            connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _furnish(self, connection: sqlite3.Connection) -> None:
        """Make the tables; of several processes that open a new file one does."""
        lock = self.path.with_name(self.path.name + ".lock")
        with file_lock(lock, what=f"opening {self.path.name}", timeout_s=BUSY_TIMEOUT_S):
            have = _value(connection, "PRAGMA user_version")
            if have > LAYOUT:
                raise ConflictError(
                    f"the online store {self.path.name} has layout {have}, this whence knows {LAYOUT}",
                    code="workspace-newer",
                    hint="install the whence that wrote it, or name another file as features.online",
                )
            if have == LAYOUT:
                return
            if _value(connection, "SELECT count(*) FROM sqlite_master"):
                raise UsageError(
                    f"{self.path.name} holds other tables than those of an online store",
                    code="bad-url",
                    hint="name a file of its own as features.online",
                )
            if _value(connection, "PRAGMA journal_mode=WAL") != "wal":
                raise BackendError(
                    f"the file system of {self.path.name} cannot hold a write-ahead log",
                    code="store-unavailable",
                    hint="put the online store on a local disk",
                )
            connection.executescript(f"BEGIN IMMEDIATE; {_GROUPS} PRAGMA user_version={LAYOUT}; COMMIT;")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _FAILURES:
            connection = self._connection()
            # IMMEDIATE waits for another writer now; a read could not be made a write later
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("UPDATE changes SET change = change + 1")
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def reading(self) -> AbstractContextManager[OnlineReading]:
        link = self._link
        if link.reading is None or link.pid != os.getpid():
            with _FAILURES:
                self._connection()
            assert link.reading is not None
        return link.reading

    # --- writing

    def put(
        self,
        group: str,
        rows: Sequence[OnlineRow],
        *,
        progress: Mapping[str, int],
        after: Mapping[str, int],
        facts: str,
        rank: Rank,
    ) -> bool:
        said = msgspec.json.encode(dict(progress)).decode()
        with self._writing() as connection:
            found = connection.execute(
                "SELECT g, progress, n_put FROM groups WHERE name = ?", (group,)
            ).fetchone()
            if dict(after) != ({} if found is None else msgspec.json.decode(found[1])):
                return False
            if found is None:
                sql = "INSERT INTO groups (name, facts, progress) VALUES (?, ?, ?)"
                found = (connection.execute(sql, (group, facts, said)).lastrowid, said, 0)
                connection.execute(_ROWS.format(g=found[0]))
                connection.execute(_NAMES.format(g=found[0]))
            g, n_put = int(found[0]), int(found[2])
            repeated = _repeated(connection, g, rows, first=n_put == 0)
            # in the order in which they lie
            ordered = sorted(map(add, rows, zip(count(n_put))), key=_PLACE)
            connection.executemany(_statements(g).insert, ordered)
            for name in repeated:
                _take_back(connection, g, name, rank)
            crash_point(ROWS_WRITTEN)
            connection.execute(
                "UPDATE groups SET facts = ?, progress = ?, n_put = ? WHERE g = ?",
                (facts, said, n_put + len(rows), g),
            )
        return True

    def forget(self, group: str, before_us: int, since_us: int | None) -> int:
        with self._writing() as connection:
            g = _number(connection, group)
            if not g:
                return 0
            sql = f"DELETE FROM rows_{g} WHERE s < ?1 AND kn <= ?1"
            gone = connection.execute(sql, (before_us,)).rowcount
            if since_us is not None:
                # the newest usable rows of a key stay: who asks later may need them
                sql = (
                    f"DELETE FROM rows_{g} AS r WHERE e < ?2 AND kn <= ?1 AND (k = ?3 OR e IS NOT (SELECT x.e"
                    f" FROM rows_{g} AS x WHERE x.k = r.k AND x.e <= ?1 AND x.kn <= ?1 AND x.s > ?1"
                    " ORDER BY x.e DESC LIMIT 1))"
                )
                gone += connection.execute(sql, (before_us, since_us, NOBODY)).rowcount
            connection.execute(
                "UPDATE groups SET forgotten = max(coalesce(forgotten, ?2), ?2),"
                " since = CASE WHEN ?3 IS NULL THEN since ELSE max(coalesce(since, ?3), ?3) END WHERE g = ?1",
                (g, before_us, since_us),
            )
            return int(gone)

    def drop(self, group: str) -> None:
        with self._writing() as connection:
            g = _number(connection, group)
            if g:
                connection.execute(f"DROP TABLE rows_{g}")
                connection.execute("DELETE FROM groups WHERE g = ?", (g,))

    # --- looking

    def list_groups(self) -> list[str]:
        with _FAILURES:
            sql = "SELECT name FROM groups ORDER BY name"
            return [str(name) for (name,) in self._connection().execute(sql).fetchall()]

    def count(self, group: str) -> int:
        with _FAILURES:
            connection = self._connection()
            g = _number(connection, group)
            return int(connection.execute(f"SELECT count(*) FROM rows_{g}").fetchone()[0]) if g else 0

    def close(self) -> None:
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
            self._link = _Link()


# --- statements


def _number(connection: sqlite3.Connection, group: str) -> int:
    """The number of a group; 0 is none."""
    found = connection.execute("SELECT g FROM groups WHERE name = ?", (group,)).fetchone()
    return 0 if found is None else int(found[0])


def _repeated(
    connection: sqlite3.Connection, g: int, rows: Sequence[OnlineRow], *, first: bool
) -> set[bytes]:
    """The names that have several rows, by those of the batch or by one that is there."""
    names = [row.name for row in rows if row.name is not None]
    distinct = set(names)
    repeated: set[bytes] = set()
    if len(distinct) < len(names):
        seen: set[bytes] = set()
        for name in names:
            (repeated if name in seen else seen).add(name)
    if first:
        return repeated
    ordered = sorted(distinct)
    for start in range(0, len(ordered), PROBE):
        part: list[Any] = ordered[start : start + PROBE]
        part += [None] * (PROBE - len(part) if start else 0)
        sql = _probe_sql(g, len(part))
        repeated.update(name for (name,) in connection.execute(sql, part))
    return repeated


def _take_back(connection: sqlite3.Connection, g: int, name: bytes, rank: Rank) -> None:
    """Settle until when each row of a name counts."""
    texts = _statements(g)
    found = connection.execute(texts.versions, (name,)).fetchall()
    versions = [Version((k, e, kn, n), kn, s, content) for k, e, kn, n, s, content in found]
    for version, until in zip(versions, chain(versions, rank), strict=True):
        if until != version.until_us:
            connection.execute(texts.take_back, (until, *version.place))


def _newest(connection: sqlite3.Connection, texts: _Statements, asked: Asked) -> list[Found]:
    question = (asked[0] or None, asked[1])  # nobody is not asked for: null equals nothing
    rows: list[Found] = connection.execute(texts.newest, question).fetchall()
    if len(rows) == 2:
        if rows[0][0] == rows[1][0]:
            return connection.execute(texts.tied, (*question, rows[0][0])).fetchall()
        rows.pop()
    return rows


def _newest_of_many(connection: sqlite3.Connection, g: int, asked: Sequence[Asked]) -> list[list[Found]]:
    answers: list[list[Found]] = [[] for _ in asked]
    start = 0
    while start < len(asked):
        left = len(asked) - start
        size = next((s for s in SIZES if s >= left), SIZES[-1])
        part = asked[start : start + size]
        values: list[Any] = [value for key, at_us in part for value in (key or None, at_us)]
        values += [None] * (2 * size - len(values))
        for i, *row in connection.execute(_newest_sql(g, size), values).fetchall():
            answers[start + i].append(tuple(row))
        start += size
    return answers


@lru_cache(maxsize=1024)
def _newest_sql(g: int, size: int) -> str:
    asked = ", ".join(f"({i}, ?, ?)" for i in range(size))
    return (
        f"WITH asked (i, k, q) AS (VALUES {asked})"
        f" SELECT a.i, r.e, r.kn, r.content FROM asked AS a CROSS JOIN rows_{g} AS r"
        f" ON r.k = a.k AND r.kn <= a.q AND r.s > a.q AND r.e = (SELECT x.e FROM rows_{g} AS x"
        " WHERE x.k = a.k AND x.e <= a.q AND x.kn <= a.q AND x.s > a.q ORDER BY x.e DESC LIMIT 1)"
    )


@lru_cache(maxsize=64)
def _probe_sql(g: int, size: int) -> str:
    marks = ", ".join("?" * size)
    return f"SELECT DISTINCT name FROM rows_{g} WHERE name IN ({marks}) AND name IS NOT NULL"


@lru_cache(maxsize=64)
def _states_sql(size: int) -> str:
    marks = ", ".join("?" * size)
    return f"SELECT g, name, facts, progress, forgotten, since FROM groups WHERE name IN ({marks})"


def _value(connection: sqlite3.Connection, sql: str) -> Any:
    return connection.execute(sql).fetchone()[0]


# --- errors


class _Failures:
    """Makes the driver's exceptions ours; no generator, because every read passes here."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise _meaning(error) from error


_FAILURES: Final = _Failures()


def _meaning(error: sqlite3.Error) -> WhenceError:
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return BackendError(
            "the online store is locked by another process",
            code="store-locked",
            retryable=True,
            hint="retry in a moment",
        )
    if name.startswith("SQLITE_FULL"):
        return BackendError(
            "the disk is full; nothing was written", code="store-full", hint="free space, then retry"
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return IntegrityError(
            f"the online store's file is damaged or not a database: {error}",
            code="store-corrupt",
            hint="remove it and materialize anew: it is a projection of the tables",
        )
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return BackendError(
            f"the online store cannot be opened for this: {error}",
            code="store-unavailable",
            hint="check that the folder exists and may be written",
        )
    return BackendError(f"the online store failed: {error}", code="store-failed", details={"sqlite": name})


def open_url(url: str) -> OnlineStore:
    """The store in the file of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
    _, _, rest = url.partition(":")
    path = unquote(rest.removeprefix("///").partition("?")[0])
    if not rest.startswith("///") or not path or path.startswith(":memory:"):
        raise UsageError(
            f"{url!r} names no file",
            code="bad-url",
            hint="write sqlite:///online.db, or memory:// for a test",
        )
    return SqliteOnline(Path(path))
