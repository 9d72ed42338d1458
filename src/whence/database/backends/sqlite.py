"""SQLite: one file in write-ahead mode, many readers, writers one after another."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import (
    URL,
    ColumnElement,
    Engine,
    Insert,
    LargeBinary,
    Table,
    TextClause,
    bindparam,
    create_engine,
    event,
    exc,
    func,
    select,
    text,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.pool import QueuePool

from whence.database.backends.sqlite_file import lock_of, make_file, open_to_look, use_log
from whence.database.base import Abilities, Backend, Driver, invalid_text
from whence.database.mounts import find_mount
from whence.database.turn import Turn
from whence.errors import (
    BackendError,
    ConflictError,
    IntegrityError,
    UnsupportedError,
    UsageError,
    WhenceError,
)

SYNCHRONOUS: Final = ("FULL", "NORMAL", "EXTRA", "OFF")

JOURNALS: Final = ("wal", "rollback")

# Connections kept open, and how many more may be opened in a rush (a server's threads).
POOL_SIZE: Final = 8
POOL_OVERFLOW: Final = 56

# How long a writer waits for its turn before it looks whether anybody writes at all, and between two such looks.
PATIENCE_S: Final = 0.5

# What a connection keeps of the file, as it comes to need it. SQLite's own 2 MiB is less than the nodes of a small graph,
# whose pages were then read again and again: a third of the time of getting a thousand nodes by their ids.
CACHE_KIB: Final = 16 * 1024

# The log is written back into the file when it has so many pages: SQLite's own 4 MB. A larger one is longer in growing,
# and a commit that makes the file longer waits for the file system too: a fifth of the time of a small write.
LOG_PAGES: Final = 1000
# The same after a commit of very many rows, which fills the smaller log at once: a page that the next such commit
# changes too is not written back in vain.
LOADED_LOG_PAGES: Final = 4000

# A log longer than this is cut back after a checkpoint; a burst of writes must not keep its size for ever.
LOG_LIMIT_BYTES: Final = 64 * 1024 * 1024


class _Connection(sqlite3.Connection):
    loading = False
    """Whether its log is the larger one, until its next write."""


class SqliteBackend(Backend):
    """SQLite through Python's own module.

    In write-ahead mode, unless the URL asks for ``?journal=rollback``: then one process at a time has the
    file, which is all that a network file system can promise.
    """

    abilities = Abilities(
        dialect="sqlite",
        many_writers=False,
        transactional_tables=True,
        partial_indexes=True,
        json="sqlite",
        recursive_members=True,
        expression_indexes=True,
        concurrent_indexes=False,
    )
    words = frozenset({"journal", "synchronous"})
    n_parked = 4

    def __init__(self) -> None:
        self._alone = False
        self._turn: Turn | None = None
        self._busy_timeout_s = 0.0

    def connect(self, url: URL, *, synchronous: str | None, busy_timeout_s: float) -> Engine:
        path = _path(url)
        self._alone = _journal(url) == "rollback"
        level = _level(url, synchronous)
        if self._alone:
            self.n_parked = 0  # the one connection is everybody's
            level = "EXTRA" if level == "FULL" else level  # the removal of a journal must last too
        else:
            _refuse_network(path)
            self._turn = None if self.read_only else Turn(lock_of(Path(os.path.realpath(path))))
        self._busy_timeout_s = busy_timeout_s

        def _connected() -> sqlite3.Connection:
            if self.read_only:
                return open_to_look(path, busy_timeout_s)
            make_file(path, rollback=self._alone, timeout_s=busy_timeout_s)
            return sqlite3.connect(
                path,
                timeout=busy_timeout_s,
                isolation_level=None,
                check_same_thread=False,
                factory=_Connection,
            )

        alone = self._alone and not self.read_only
        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            poolclass=QueuePool,
            pool_size=1 if alone else POOL_SIZE,
            max_overflow=0 if alone else POOL_OVERFLOW,
            pool_timeout=busy_timeout_s,
            creator=_connected,
        )

        @event.listens_for(engine, "connect")
        def _furnish(connection: sqlite3.Connection, _record: object) -> None:
            if self.read_only:
                return
            if self._alone:
                _use_rollback(connection)
            else:
                use_log(connection, path, busy_timeout_s)
            connection.execute(f"PRAGMA synchronous={level}")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA journal_size_limit={LOG_LIMIT_BYTES}")
            connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
            connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")

        return engine

    def begin(self, driver: Driver, *, write: bool) -> None:
        # IMMEDIATE takes the write lock at once: a transaction that reads first and writes later
        # could not be upgraded while another writes, and would fail without waiting.
        if not write:
            driver.execute("BEGIN")
            return
        if driver.loading:
            driver.loading = False
            driver.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        if self._turn is None or self._turn.take(min(PATIENCE_S, self._busy_timeout_s)):
            driver.execute("BEGIN IMMEDIATE")
        else:
            self._begin_unturned(driver, self._turn)

    def _begin_unturned(self, driver: Driver, turn: Turn) -> None:
        """Begin to write when the turn is long in coming: its holder may be busy, or stopped and not writing at all."""
        deadline = time.monotonic() + self._busy_timeout_s - PATIENCE_S
        _wait_busy(driver, 0.0)
        try:
            while True:
                try:
                    driver.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    left_s = deadline - time.monotonic()
                    if left_s <= 0 or not error.sqlite_errorname.startswith("SQLITE_BUSY"):
                        raise
                else:
                    return
                if turn.take(min(PATIENCE_S, left_s)):
                    break
        finally:
            _wait_busy(driver, self._busy_timeout_s)
        driver.execute("BEGIN IMMEDIATE")

    def expect_many(self, driver: Driver) -> None:
        driver.execute(f"PRAGMA wal_autocheckpoint={LOADED_LOG_PAGES}")
        driver.loading = True

    def end_write(self) -> None:
        if self._turn is not None:
            self._turn.give()

    def rest(self) -> None:
        if self._turn is not None:
            self._turn.close()

    def is_whole(self, driver: Driver) -> bool:
        return bool(driver.in_transaction)

    def translate(self, error: BaseException) -> WhenceError | None:
        if isinstance(error, exc.TimeoutError) and self._alone:
            return _held()
        if isinstance(error, exc.TimeoutError):
            return BackendError(
                "no connection to the store became free in time", code="store-locked", retryable=True
            )
        original = error.orig if isinstance(error, exc.DBAPIError) else error
        if not isinstance(original, sqlite3.Error):
            return None
        meaning = _meaning(original)
        return _held() if self._alone and meaning.code == "store-locked" else meaning

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        # One JSON array is one variable: the statement's text stays the same for any number of
        # values (prepared once), and SQLITE_MAX_VARIABLE_NUMBER is never met.
        if isinstance(column.type, LargeBinary):
            return column.in_(_cut(name, column.type.length or 0))
        values = func.json_each(bindparam(name)).table_valued("value")
        return column.in_(select(values.c.value))

    def pack(self, values: Sequence[object]) -> object:
        if values and isinstance(values[0], bytes):
            return b"".join(values)  # type: ignore[arg-type]  # of one type, as the port says
        try:
            return msgspec.json.encode(values).decode()
        except UnicodeEncodeError as error:
            raise invalid_text(error) from error

    def insert_new(self, table: Table) -> Insert:
        return insert(table).on_conflict_do_nothing()

    def backup(self, driver: Driver, file: Path) -> None:
        # SQLite's own copying reads page by page inside a snapshot, so a writer meanwhile does no harm.
        unfinished = file.with_name(file.name + ".part")
        with closing(sqlite3.connect(unfinished)) as copy:
            driver.backup(copy)
        unfinished.replace(file)


def _cut(name: str, size: int) -> TextClause:
    """The keys of `size` bytes that stand one after another in one value: JSON cannot hold bytes."""
    assert size > 0, "only keys of a fixed size can be looked for"
    return text(
        f"WITH RECURSIVE cut(i) AS (SELECT 1 WHERE length(:{name}) >= {size} UNION ALL "
        f"SELECT i + {size} FROM cut WHERE i + {size} <= length(:{name})) SELECT substr(:{name}, i, {size}) FROM cut"
    ).bindparams(bindparam(name))


def _path(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise UsageError(
            "a SQLite store needs a file",
            code="bad-url",
            hint="write sqlite:///whence.db, or memory:// for a test",
        )
    return Path(url.database)


def _level(url: URL, synchronous: str | None) -> str:
    asked = synchronous or url.query.get("synchronous") or "FULL"
    level = str(asked).upper()
    if level not in SYNCHRONOUS:
        raise UsageError(
            f"synchronous must be one of {', '.join(SYNCHRONOUS)}, got {asked!r}",
            code="bad-url",
            near=["FULL"],
        )
    return level


def _journal(url: URL) -> str:
    asked = str(url.query.get("journal") or "wal").lower()
    if asked not in JOURNALS:
        raise UsageError(
            f"journal must be one of {', '.join(JOURNALS)}, got {asked!r}", code="bad-url", near=["rollback"]
        )
    return asked


def _refuse_network(path: Path) -> None:
    mount = find_mount(path)
    if mount is not None and mount.is_network:
        raise UnsupportedError(
            f"{path.name} would lie on {mount.kind} at {mount.point}, where processes cannot share a "
            "write-ahead log",
            code="network-file-system",
            hint="use a local disk or a server, or sqlite:///…?journal=rollback for one process at a time",
            details={"kind": mount.kind, "mount": str(mount.point)},
        )


def _held() -> BackendError:
    return BackendError(
        "the store is in use: with journal=rollback one process has it at a time, and one thread of it",
        code="store-locked",
        retryable=True,
        hint="wait for the other to end; PostgreSQL and MySQL serve many at once",
    )


def _wait_busy(connection: sqlite3.Connection, timeout_s: float) -> None:
    connection.execute(f"PRAGMA busy_timeout={round(timeout_s * 1000)}").close()


def _use_rollback(connection: sqlite3.Connection) -> None:
    """No shared memory and no log: the locks are taken once, and kept until the connection is closed."""
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("COMMIT")


def _meaning(error: sqlite3.Error) -> WhenceError:
    name = getattr(error, "sqlite_errorname", None) or ""
    text = str(error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "is locked" in text:
        return BackendError(
            "the store is locked by another process",
            code="store-locked",
            retryable=True,
            hint="retry in a moment",
        )
    if name.startswith("SQLITE_FULL") or "disk is full" in text:
        return BackendError(
            "the disk or the store is full; nothing was written",
            code="store-full",
            hint="free space, then retry",
        )
    if name.startswith("SQLITE_CONSTRAINT"):
        return ConflictError(
            f"a row breaks a rule of the store: {text}", code="constraint", hint="read again, then retry"
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return IntegrityError(
            f"the store's file is damaged or not a database: {text}",
            code="store-corrupt",
            hint="restore a copy",
        )
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return BackendError(
            f"the store cannot be opened for this: {text}",
            code="store-unavailable",
            hint="check that the folder exists and may be written",
        )
    return BackendError(f"the store failed: {text}", code="store-failed", details={"sqlite": name})
