"""PostgreSQL: snapshots for readers, one writer of a schema at a time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from sqlalchemy import (
    ARRAY,
    URL,
    BigInteger,
    Column,
    ColumnElement,
    Engine,
    Insert,
    LargeBinary,
    Table,
    Text,
    any_,
    bindparam,
    create_engine,
    event,
    exc,
)
from sqlalchemy import String as SqlString
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.base import PGDDLCompiler
from sqlalchemy.types import TypeEngine

from whence.database.base import Abilities, Backend, Cursor, Driver
from whence.errors import (
    BackendError,
    ConflictError,
    IntegrityError,
    UnsupportedError,
    UsageError,
    WhenceError,
)

POOL_SIZE: Final = 8
POOL_OVERFLOW: Final = 24  # a server has 100 connections for everybody

# The lock is of the schema, so workspaces in one database do not wait for each other; the transaction's end
# gives it back. READ COMMITTED: what is read after the lock is what the writer before has written.
BEGIN_WRITE: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
    "SELECT pg_advisory_xact_lock(hashtext('whence'), hashtext(current_schema()))"
)
DEFAULTS: Final = {"client_encoding": "utf8", "application_name": "whence"}
BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresBackend(Backend):
    """PostgreSQL through psycopg."""

    abilities = Abilities(
        dialect="postgresql",
        many_writers=False,
        transactional_tables=True,
        partial_indexes=True,
        json="postgresql",
        recursive_members=False,
        expression_indexes=True,
        concurrent_indexes=True,
    )

    #: What libpq reads, and ours.
    words = frozenset({"schema", *(option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults())})

    def __init__(self) -> None:
        self._cursors = itertools.count(1)

    def connect(self, url: URL, *, synchronous: str | None, busy_timeout_s: float) -> Engine:
        del synchronous  # the server's own synchronous_commit says what an acknowledged write survives
        query = dict(url.query)
        schema = query.pop("schema", None)
        engine = create_engine(
            url.set(drivername="postgresql+psycopg", query=query),
            paramstyle="format",
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW,
            pool_timeout=busy_timeout_s,
            pool_pre_ping=True,
            use_native_hstore=False,
            # The transactions are ours, see `begin`; the driver would begin its own before each statement.
            connect_args={
                "autocommit": True,
                **{name: v for name, v in DEFAULTS.items() if name not in query},
            },
        )
        engine.dialect.ddl_compiler = _Tables

        @event.listens_for(engine, "connect")
        def _furnish(driver: Driver, _record: object) -> None:
            driver.execute(f"SET lock_timeout = {max(1, round(busy_timeout_s * 1000))}")
            if schema is not None:
                driver.execute(f"SET search_path TO {_quoted(str(schema))}")

        return engine

    def begin(self, driver: Driver, *, write: bool) -> None:
        driver.execute(BEGIN_WRITE if write else BEGIN_READ, prepare=False)

    def is_whole(self, driver: Driver) -> bool:
        # The server answers COMMIT of a failed transaction with a rollback and no error.
        return bool(driver.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS)

    def translate(self, error: BaseException) -> WhenceError | None:
        if isinstance(error, exc.TimeoutError):
            return BackendError(
                "no connection to the store became free in time", code="store-locked", retryable=True
            )
        original = error.orig if isinstance(error, exc.DBAPIError) else error
        return _meaning(original) if isinstance(original, psycopg.Error) else None

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        # Types without a length: a cast to VARCHAR(5) cuts what is longer, which would then be found.
        kind: TypeEngine[Any] = BigInteger()
        if isinstance(column.type, SqlString):
            kind = Text()
        elif isinstance(column.type, LargeBinary):
            kind = LargeBinary()
        return column == any_(bindparam(name, type_=ARRAY(kind)))

    def pack(self, values: Sequence[object]) -> object:
        return list(values)

    def insert_new(self, table: Table) -> Insert:
        return insert(table).on_conflict_do_nothing()

    def stream(self, driver: Driver) -> Cursor:
        return driver.cursor(name=f"whence_{next(self._cursors)}")


class _Tables(PGDDLCompiler):
    """Text is compared and ordered by its bytes here as everywhere, whatever the database's language is."""

    def get_column_specification(self, column: Column[Any], **kwargs: Any) -> str:
        text = str(super().get_column_specification(column, **kwargs))  # type: ignore[no-untyped-call]
        kind = column.type.dialect_impl(self.dialect)
        plain = isinstance(kind, SqlString) and kind.collation is None
        return f'{text} COLLATE "C"' if plain else text


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_UNAVAILABLE: Final = ("08", "57P01", "57P02", "57P03", "53300", "53200")
_REFUSED: Final = ("28", "3D", "42501", "25006", "3F")
# What a server says to a connection it does not take, and would take later.
_PASSES: Final = re.compile(
    r"starting up|shutting down|recovery mode|too many|remaining connection|not accepting"
)


def _meaning(error: psycopg.Error) -> WhenceError:
    state = error.sqlstate or ""
    text = _said(error)
    if state in ("55P03", "40001", "40P01"):
        return BackendError(
            "the store is locked by another process",
            code="store-locked",
            retryable=True,
            hint="retry in a moment",
        )
    if state in ("53100", "53400"):
        return BackendError(
            "the disk or the store is full; nothing was written",
            code="store-full",
            hint="free space, then retry",
        )
    if state.startswith("23"):
        return ConflictError(
            f"a row breaks a rule of the store: {text}", code="constraint", hint="read again, then retry"
        )
    if state in ("22021", "22P05") or "NUL (0x00)" in text:
        return UsageError(f"text cannot be kept by the store: {text}", code="invalid-text")
    if state in ("22001", "54000"):
        return UsageError(f"a value is too large for the store: {text}", code="too-large")
    if state in ("XX001", "XX002"):
        return IntegrityError(f"the store is damaged: {text}", code="store-corrupt", hint="restore a copy")
    if state.startswith(_REFUSED) or (not state and "FATAL:" in text and not _PASSES.search(text)):
        return BackendError(
            f"the store refused: {text}",
            code="store-unavailable",
            hint="check the address, the account and what it may do",
        )
    if state.startswith(_UNAVAILABLE) or (isinstance(error, psycopg.OperationalError) and not state):
        return BackendError(
            f"the store cannot be reached: {text}",
            code="store-unavailable",
            retryable=True,
            hint="is the server up?",
        )
    if isinstance(error, psycopg.NotSupportedError):
        return UnsupportedError(f"the store cannot do this: {text}")
    return BackendError(f"the store failed: {text}", code="store-failed", details={"sqlstate": state})


def _said(error: psycopg.Error) -> str:
    return " ".join(str(error).split())
