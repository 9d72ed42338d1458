"""MySQL and MariaDB: snapshots for readers, one writer of a database at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import pymysql
import pymysql.cursors
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Insert,
    LargeBinary,
    Table,
    TextClause,
    bindparam,
    create_engine,
    event,
    exc,
    text,
)
from sqlalchemy import String as SqlString
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.dialects.mysql.base import MySQLDDLCompiler, MySQLTypeCompiler

from whence.database.base import Abilities, Backend, Cursor, Driver, invalid_text
from whence.errors import (
    BackendError,
    ConflictError,
    IntegrityError,
    UnsupportedError,
    UsageError,
    WhenceError,
)

POOL_SIZE: Final = 8
POOL_OVERFLOW: Final = 24

# Since when JSON_TABLE is there.
OLDEST: Final = {"mariadb": (10, 6), "mysql": (8, 0, 17)}
# Text is compared byte by byte, with its trailing spaces: other collations take 'a' for 'A' or for 'a '.
COLLATION: Final = {"mariadb": "utf8mb4_nopad_bin", "mysql": "utf8mb4_0900_bin"}
# A recursive query that meets this limit is cut short, on MariaDB with no more than a warning.
RECURSION: Final = {"mariadb": "max_recursive_iterations", "mysql": "cte_max_recursion_depth"}
CUT_SHORT: Final = 1931

BEGIN_READ: Final = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
# The row that a writer locks before it reads anything, so that its snapshot is made after the writer before.
TAKE_TURN: Final = "SELECT id FROM turn WHERE id = 1 FOR UPDATE"
MAKE_TURN: Final = (
    "CREATE TABLE IF NOT EXISTS turn (id INTEGER PRIMARY KEY) ENGINE=InnoDB",
    "INSERT INTO turn (id) VALUES (1) ON DUPLICATE KEY UPDATE id = id",
)
NO_TABLE: Final = 1146


class MysqlBackend(Backend):
    """MySQL and MariaDB through pymysql; which of them it is, the server says."""

    #: What pymysql reads, and SQLAlchemy for it; what would change how we work is not among them.
    words = frozenset(
        {
            "bind_address", "charset", "compress", "connect_timeout", "max_allowed_packet", "program_name",
            "read_default_file", "read_default_group", "read_timeout", "server_public_key", "ssl_ca", "ssl_capath",
            "ssl_cert", "ssl_check_hostname", "ssl_cipher", "ssl_disabled", "ssl_key", "ssl_key_password",
            "ssl_verify_cert", "ssl_verify_identity", "unix_socket", "write_timeout",
        }
    )  # fmt: skip

    def __init__(self) -> None:
        self._collation = ""
        self._busy_timeout_s = 0.0

    def connect(self, url: URL, *, synchronous: str | None, busy_timeout_s: float) -> Engine:
        del synchronous  # the server's own innodb_flush_log_at_trx_commit says what a write survives
        if not url.database:
            raise UsageError(
                "a MySQL store needs a database",
                code="bad-url",
                hint="write mysql://user@host/database; CREATE DATABASE makes one",
            )
        self._busy_timeout_s = busy_timeout_s
        engine = create_engine(
            url.set(drivername="mysql+pymysql").update_query_dict({"charset": "utf8mb4"}),
            paramstyle="format",
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW,
            pool_timeout=busy_timeout_s,
            pool_pre_ping=True,
            # The transactions are ours, see `begin`.
            connect_args={"autocommit": True, "cursorclass": _Cursor},
        )
        event.listen(engine, "connect", self._furnish)
        try:
            self._learn(engine)
        except BaseException:
            engine.dispose()
            raise
        engine.dialect.ddl_compiler = _tables(self._collation)
        engine.dialect.type_compiler_instance = _Types(engine.dialect)
        return engine

    def _furnish(self, driver: Driver, _record: object) -> None:
        seconds = max(1, round(self._busy_timeout_s))
        kind = "mariadb" if "mariadb" in str(driver.get_server_info()).lower() else "mysql"
        with driver.cursor() as cursor:
            cursor.execute(
                "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
                f"innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}, "
                f"{RECURSION[kind]} = 4294967295"
            )
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    def _learn(self, engine: Engine) -> None:
        with engine.connect():
            dialect: Any = engine.dialect  # Any: the base class does not know these
            kind = "mariadb" if dialect.is_mariadb else "mysql"
            version = tuple(part for part in dialect.server_version_info if isinstance(part, int))
        if version < OLDEST[kind]:
            raise UnsupportedError(
                f"this {kind} is {'.'.join(map(str, version))}; whence needs {'.'.join(map(str, OLDEST[kind]))} or newer"
            )
        self._collation = COLLATION[kind]
        self.abilities = Abilities(
            dialect=kind,
            many_writers=False,
            transactional_tables=False,
            partial_indexes=False,
            json="mysql",
            recursive_members=True,
            expression_indexes=False,
            concurrent_indexes=False,
        )

    def begin(self, driver: Driver, *, write: bool) -> None:
        with driver.cursor() as cursor:
            if not write:
                cursor.execute(BEGIN_READ)
                return
            cursor.execute("START TRANSACTION READ WRITE")
            if not _took_turn(cursor):
                for statement in MAKE_TURN:
                    cursor.execute(statement)
                cursor.execute("START TRANSACTION READ WRITE")  # making a table has ended the one before
                _took_turn(cursor)

    def is_whole(self, driver: Driver) -> bool:
        return bool(driver.server_status & IN_TRANSACTION)

    @contextmanager
    def alone(self, connection: Connection) -> Iterator[None]:
        # Every change of a table ends the transaction and gives the turn on; this lock stays.
        driver = connection.connection.driver_connection
        assert driver is not None
        digest = hashlib.sha256(str(connection.engine.url.database).encode()).hexdigest()[:32]
        with driver.cursor() as cursor:
            cursor.execute(
                "SELECT GET_LOCK(%s, %s)", (f"whence-{digest}", max(1, round(self._busy_timeout_s)))
            )
            if cursor.fetchone() != (1,):
                raise BackendError(
                    "another process is changing the tables", code="store-locked", retryable=True
                )
            try:
                yield
            finally:
                cursor.execute("SELECT RELEASE_LOCK(%s)", (f"whence-{digest}",))

    def translate(self, error: BaseException) -> WhenceError | None:
        if isinstance(error, exc.TimeoutError):
            return BackendError(
                "no connection to the store became free in time", code="store-locked", retryable=True
            )
        if isinstance(error, RuntimeError) and "'cryptography' package" in str(error):
            return UnsupportedError(
                "MySQL wants this password over TLS",
                code="extra-missing",
                hint="add ?ssl_ca=…, or pip install cryptography",
            )
        original = error.orig if isinstance(error, exc.DBAPIError) else error
        return _meaning(original) if isinstance(original, pymysql.Error) else None

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        kind = column.type
        if isinstance(kind, LargeBinary):
            return column.in_(
                _listed(name, f"VARCHAR({2 * (kind.length or 255)}) CHARACTER SET ascii", "UNHEX(v)")
            )
        if isinstance(kind, SqlString):
            # One place more than the column has: what is too long is cut, and must not become equal.
            length = (kind.length or 16_000) + 1
            return column.in_(
                _listed(name, f"VARCHAR({length}) CHARACTER SET utf8mb4 COLLATE {self._collation}", "v")
            )
        return column.in_(_listed(name, "BIGINT", "v"))

    def pack(self, values: Sequence[object]) -> object:
        if values and isinstance(values[0], bytes):
            values = [value.hex() for value in values if isinstance(value, bytes)]
        try:
            return msgspec.json.encode(values).decode()
        except UnicodeEncodeError as error:
            raise invalid_text(error) from error

    def insert_new(self, table: Table) -> Insert:
        # Never INSERT IGNORE: it would swallow every other error too.
        column = next(iter(table.primary_key))
        return insert(table).on_duplicate_key_update({column.name: column})

    def stream(self, driver: Driver) -> Cursor:
        return driver.cursor(_StreamingCursor)


IN_TRANSACTION: Final = 1  # SERVER_STATUS_IN_TRANS of the protocol


def _took_turn(cursor: Cursor) -> bool:
    try:
        cursor.execute(TAKE_TURN)
    except pymysql.err.ProgrammingError as error:
        if error.args[0] != NO_TABLE:
            raise
        return False
    return cursor.fetchone() is not None


def _listed(name: str, type_: str, value: str) -> TextClause:
    """The values of one JSON array, as rows: the statement's text stays the same for any number of them."""
    return text(
        f"SELECT {value} FROM JSON_TABLE(:{name}, '$[*]' COLUMNS(v {type_} PATH '$')) AS listed"
    ).bindparams(bindparam(name))


class _Watchful:
    """What both cursors refuse: a second statement inside a stream, and an answer that was cut short."""

    def _query(self, q: Any) -> Any:
        connection = self._get_db()  # type: ignore[attr-defined]  # pymysql's
        if connection._result is not None and connection._result.unbuffered_active:  # noqa: SLF001 - it would be lost
            raise UsageError(
                "a stream of this session is still open",
                code="stream-open",
                hint="read it to its end, or close it, before the next statement",
            )
        done = super()._query(q)  # type: ignore[misc]  # pymysql's
        if not connection._result.unbuffered_active and connection._result.warning_count:  # noqa: SLF001
            for _, code, said in connection.show_warnings():
                if code == CUT_SHORT:
                    raise pymysql.err.OperationalError(code, said)
        return done


class _Cursor(_Watchful, pymysql.cursors.Cursor):  # type: ignore[misc]  # pymysql has no types
    pass


class _StreamingCursor(_Watchful, pymysql.cursors.SSCursor):  # type: ignore[misc]  # the same
    pass


def _tables(collation: str) -> type[MySQLDDLCompiler]:
    class Tables(MySQLDDLCompiler):
        def post_create_table(self, table: Table) -> str:
            told = super().post_create_table(table)
            return f"{told} ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE={collation}"

    return Tables


class _Types(MySQLTypeCompiler):
    """Text without a length has room for what every other system takes; keys of bytes can be indexed."""

    def visit_TEXT(self, type_: Any, **kwargs: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        if type_.length:
            return super().visit_TEXT(type_, **kwargs)
        return str(self._extend_string(type_, {}, "LONGTEXT"))

    def visit_large_binary(self, type_: Any, **kwargs: Any) -> str:
        return f"BINARY({type_.length})" if type_.length else str(super().visit_large_binary(type_, **kwargs))


_LOCKED: Final = frozenset({1205, 1213, 1412, 3572})
_CONSTRAINT: Final = frozenset({1048, 1062, 1169, 1216, 1217, 1451, 1452, 1557, 1586, 1761, 3819, 4025})
_FULL: Final = frozenset({1021, 1037, 1041, 1114, 3019})
_UNREACHABLE: Final = frozenset({0, 1040, 1053, 1077, 1079, 1129, 1158, 1159, 1160, 1161, 1203, 1927, 2002, 2003, 2006, 2013, 2055, 4031})  # fmt: skip
_REFUSED: Final = frozenset(
    {1044, 1045, 1046, 1049, 1142, 1143, 1227, 1251, 1290, 1524, 1698, 1792, 1820, 1836, 3159}
)
_TEXT: Final = frozenset({1300, 1366, 3854, 3988})
_LARGE: Final = frozenset({1118, 1153, 1406, 1301})
_CORRUPT: Final = frozenset({1034, 1035, 1194, 1195, 1712, 1877})


def _meaning(error: Any) -> WhenceError:
    code = error.args[0] if error.args else 0
    text = str(error.args[-1] if error.args else error)
    if code in _LOCKED:
        return BackendError(
            "the store is locked by another process",
            code="store-locked",
            retryable=True,
            hint="retry in a moment",
        )
    if code in _FULL:
        return BackendError(
            "the disk or the store is full; nothing was written",
            code="store-full",
            hint="free space, then retry",
        )
    if code in _CONSTRAINT:
        return ConflictError(
            f"a row breaks a rule of the store: {text}", code="constraint", hint="read again, then retry"
        )
    if code in _TEXT:
        return UsageError(f"text cannot be kept by the store: {text}", code="invalid-text")
    if code in _LARGE:
        return UsageError(f"a value is too large for the store: {text}", code="too-large")
    if code in _CORRUPT:
        return IntegrityError(f"the store is damaged: {text}", code="store-corrupt", hint="restore a copy")
    if code in _REFUSED:
        return BackendError(
            f"the store refused: {text}",
            code="store-unavailable",
            hint="check the address, the account and what it may do",
        )
    if code in _UNREACHABLE:
        return BackendError(
            f"the store cannot be reached: {text}",
            code="store-unavailable",
            retryable=True,
            hint="is the server up?",
        )
    if "can not be used with MySQL" in text:
        return UnsupportedError(
            f"MySQL keeps no infinity and no NaN: {text}", hint="PostgreSQL and SQLite do"
        )
    return BackendError(f"the store failed: {text}", code="store-failed", details={"mysql": code})
