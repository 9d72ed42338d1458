"""SQLite: one file in write-ahead mode, many readers, writers one after another."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Insert,
    Table,
    bindparam,
    create_engine,
    event,
    exc,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.pool import QueuePool

from whence._base.locks import file_lock
from whence.database.base import Abilities, Backend, invalid_text
from whence.errors import BackendError, ConflictError, IntegrityError, UsageError, WhenceError

SYNCHRONOUS: Final = ("FULL", "NORMAL", "EXTRA", "OFF")

# Connections kept open, and how many more may be opened in a rush (a server's threads).
POOL_SIZE: Final = 8
POOL_OVERFLOW: Final = 56

# A log longer than this is cut back after a checkpoint; a burst of writes must not keep its size for ever.
LOG_LIMIT_BYTES: Final = 64 * 1024 * 1024


class SqliteBackend(Backend):
    """SQLite through Python's own module."""

    abilities: ClassVar[Abilities] = Abilities(
        dialect="sqlite", many_writers=False, transactional_tables=True, partial_indexes=True
    )

    def connect(self, url: URL, *, synchronous: str | None, busy_timeout_s: float) -> Engine:
        path = _path(url)
        level = _level(url, synchronous)
        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            poolclass=QueuePool,
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW,
            pool_timeout=busy_timeout_s,
            connect_args={"timeout": busy_timeout_s, "isolation_level": None, "check_same_thread": False},
        )

        @event.listens_for(engine, "connect")
        def _furnish(connection: sqlite3.Connection, _record: object) -> None:
            _use_log(connection, path, busy_timeout_s)
            connection.execute(f"PRAGMA synchronous={level}")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA journal_size_limit={LOG_LIMIT_BYTES}")

        return engine

    def begin(self, connection: Connection, *, write: bool) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        # IMMEDIATE takes the write lock at once: a transaction that reads first and writes later
        # could not be upgraded while another writes, and would fail without waiting.
        driver.execute("BEGIN IMMEDIATE" if write else "BEGIN")

    def translate(self, error: BaseException) -> WhenceError | None:
        if isinstance(error, exc.TimeoutError):
            return BackendError(
                "no connection to the store became free in time", code="store-locked", retryable=True
            )
        original = error.orig if isinstance(error, exc.DBAPIError) else error
        return _meaning(original) if isinstance(original, sqlite3.Error) else None

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        # One JSON array is one variable: the statement's text stays the same for any number of
        # values (prepared once), and SQLITE_MAX_VARIABLE_NUMBER is never met.
        values = func.json_each(bindparam(name)).table_valued("value")
        return column.in_(select(values.c.value))

    def pack(self, values: Sequence[object]) -> object:
        try:
            return msgspec.json.encode(values).decode()
        except UnicodeEncodeError as error:
            raise invalid_text(error) from error

    def insert_new(self, table: Table) -> Insert:
        return insert(table).on_conflict_do_nothing()


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


def _use_log(connection: sqlite3.Connection, path: Path, timeout_s: float) -> None:
    """Write-ahead mode is kept in the file, so only the first opener sets it, alone."""
    if _mode(connection, "PRAGMA journal_mode") == "wal":
        return
    with file_lock(path.with_name(path.name + ".lock"), what=f"opening {path.name}", timeout_s=timeout_s):
        if _mode(connection, "PRAGMA journal_mode=WAL") != "wal":
            raise BackendError(
                f"the file system of {path.name} cannot hold a write-ahead log",
                code="store-unavailable",
                hint="put the workspace on a local disk",
            )


def _mode(connection: sqlite3.Connection, pragma: str) -> str:
    return str(connection.execute(pragma).fetchone()[0]).lower()


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
