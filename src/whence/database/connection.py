"""One database of a workspace: transactions that wait their turn, errors in whence's words."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from sqlalchemy import URL, ColumnElement, Connection, Engine, Executable, Insert, Table, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from whence.database import migrations as steps
from whence.database.backends import sqlite_file
from whence.database.backends.sqlite import SqliteBackend
from whence.database.base import Abilities, Backend, Driver, check_words, closed
from whence.database.migrations import Component, Migration
from whence.database.session import Opening
from whence.database.statements import Prepared
from whence.errors import BackendError, ConflictError, DeniedError, UnsupportedError, UsageError

#: The systems, and the extra that brings what a system's driver needs.
EXTRAS: Final = {"mariadb": "mysql", "mysql": "mysql", "postgresql": "postgres", "sqlite": None}


class Database:
    """Connections to one database, safe for threads and after a fork.

    Args:
        url: Where it is, in SQLAlchemy's form.
        backend: What kind of system it is.
        synchronous: SQLite only: FULL (an acknowledged write survives a power cut), NORMAL, EXTRA, OFF.
        busy_timeout_s: How long a write waits for the writes of others.
        read_only: Refuse every write; a file may then lie where nothing can be written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> database = Database.from_url(sqlite_url(Path(folder.name) / "whence.db"))
        >>> with database.read() as connection:
        ...     connection.exec_driver_sql("SELECT 1 + 1").scalar()
        2
        >>> database.close(); folder.cleanup()
    """

    def __init__(
        self,
        url: URL,
        backend: Backend,
        *,
        synchronous: str | None = None,
        busy_timeout_s: float = 30.0,
        read_only: bool = False,
    ) -> None:
        self._backend = backend
        self.read_only = backend.read_only = read_only
        self._ended = False
        self._busy_timeout_s = busy_timeout_s
        self.url = _shown(url)
        with self._translated():
            self.engine: Engine = backend.connect(url, synchronous=synchronous, busy_timeout_s=busy_timeout_s)
        event.listen(self.engine, "begin", self._begin)
        self._writer = self.engine.execution_options(whence_write=True)
        self._in_use_at_fork = self._lost_in_fork = False
        self._turn_lock = threading.Lock()
        self._turn_of = 0
        self._parked: list[tuple[PoolProxiedConnection, Driver]] = []
        self._settle()
        _databases.add(self)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        synchronous: str | None = None,
        busy_timeout_s: float = 30.0,
        read_only: bool = False,
    ) -> Database:
        """The database at `url`, for example ``sqlite:///whence.db``.

        Raises:
            UsageError: The text is not a URL, or has a setting that the system has not (``bad-url``).
            UnsupportedError: No backend has this scheme (``unsupported-scheme``), or the system's driver is
                not installed (``extra-missing``).
            BackendError: A server cannot be reached, or refuses (``store-unavailable``).
        """
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise UsageError(
                f"{url!r} is not a database URL", code="bad-url", hint="sqlite:///whence.db"
            ) from error
        scheme = parsed.get_backend_name()
        if scheme not in EXTRAS:
            raise UnsupportedError(
                f"no database backend for {scheme!r}", code="unsupported-scheme", near=sorted(EXTRAS)
            )
        backend = _find_backend(scheme)
        check_words(scheme, parsed.query, backend.words)
        return cls(
            parsed,
            backend,
            synchronous=synchronous,
            busy_timeout_s=busy_timeout_s,
            read_only=read_only,
        )

    @property
    def abilities(self) -> Abilities:
        """What this database system can do."""
        return self._backend.abilities

    @contextmanager
    def transaction(self, *, tables: bool = False) -> Iterator[Connection]:
        """One writing transaction: committed at the end of the block, taken back by an exception.

        Args:
            tables: Tables are made or changed in it. Nobody else does meanwhile; where tables are no part of
                transactions, each such statement commits what was before it.

        Raises:
            BackendError: The store failed; a driver's exception is the ``__cause__``.
            UsageError: This thread already writes (``nested-transaction``), or the database was closed for good
                (``closed``).
            DeniedError: It was opened to look (``read-only``).
        """
        self._check_fork()
        with self._translated(), self._turn(), self._writer.begin() as connection:
            if tables:
                with self._backend.alone(connection):
                    yield connection
            else:
                yield connection
                self._backend.check(connection.connection.driver_connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One reading transaction: everything in the block sees the same state."""
        self._check_fork()
        with self._translated(), self.engine.begin() as connection:
            yield connection

    def session(self, *, write: bool = False) -> Opening:
        """One transaction on the driver itself, as `transaction` or `read`, at a fraction of their cost.

        Raises:
            BackendError: The store failed; a driver's exception is the ``__cause__``.
            UsageError: This thread already writes (``nested-transaction``), or the database was closed for good
                (``closed``).
            DeniedError: It was opened to look (``read-only``).

        Example:
            >>> import tempfile
            >>> folder = tempfile.TemporaryDirectory()
            >>> database = Database.from_url(sqlite_url(Path(folder.name) / "whence.db"))
            >>> with database.session(write=True) as session:
            ...     _ = session.run("CREATE TABLE pair (a, b)")
            ...     session.many("INSERT INTO pair VALUES (?, ?)", [(1, "x"), (2, "y")])
            >>> with database.session() as session:
            ...     session.rows("SELECT b FROM pair WHERE a > ?", (1,))
            [('y',)]
            >>> database.close(); folder.cleanup()
        """
        self._check_fork()
        return Opening(
            self._backend, self._take, self._give, self._take_turn if write else None, self._end_turn
        )

    def migrate(self, component: str, migrations: Sequence[Migration], *, upgrade: bool = False) -> int:
        """Make a component's tables, or bring them to the newest version; returns it.

        Tables that are not there are made, once, whoever else tries. Older ones are changed only when
        asked: nothing migrates silently.

        Args:
            component: The room whose tables they are.
            migrations: Every step, numbered from 1.
            upgrade: Bring older tables up.

        Raises:
            ConflictError: The tables are newer than `migrations` (``workspace-newer``), or older and
                `upgrade` was not asked (``workspace-older``); nothing is touched.
        """
        steps.check_sequence(component, migrations)
        have = self.version(component)
        steps.refuse(component, have, len(migrations), upgrade=upgrade)
        if have == len(migrations):
            return have
        if self.read_only and have == 0:
            raise UsageError(
                f"there are no {component} tables to look at",
                code="not-a-workspace",
                hint="open it once for writing",
            )
        with self.transaction(tables=True) as connection:
            return steps.apply(connection, component, migrations, time.time_ns() // 1_000, upgrade=upgrade)

    def backup(self, file: Path) -> None:
        """Copy the database, as one moment saw it, into a new file.

        Raises:
            ConflictError: The file exists (``backup-exists``).
            UnsupportedError: The system is a server with tools of its own.
        """
        if file.exists():
            raise ConflictError(
                f"{str(file)!r} exists already",
                code="backup-exists",
                hint="name another file, or move it away",
            )
        with self.session() as session:
            self._backend.backup(session.driver, file)

    def version(self, component: str) -> int:
        """The version of a component's tables; 0 when it has none."""
        for wait_s in (0.05, 0.2, 1.0):
            try:
                return self._read_version(component)
            except BackendError as error:
                # Where tables are made outside of transactions, another who makes them now breaks the reading of this one.
                if self.abilities.transactional_tables or not error.retryable:
                    raise
                time.sleep(wait_s)
        return self._read_version(component)

    def _read_version(self, component: str) -> int:
        with self.read() as connection:
            return steps.read_version(connection, component)

    def stored(self, component: Component) -> int:
        """The version of a room's tables, 0 when it has none.

        Raises:
            ConflictError: A later whence wrote them (``workspace-newer``).
        """
        have = self.version(component.name)
        steps.refuse(component.name, have, component.newest, upgrade=True)
        return have

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """The condition that `column` is one of the values bound to `name` by `pack`."""
        return self._backend.among(column, name)

    def pack(self, values: Sequence[object]) -> object:
        """Values in the form that `among` binds: any number of them."""
        return self._backend.pack(values)

    def insert_new(self, table: Table) -> Insert:
        """An insert that leaves out rows which break a unique constraint."""
        return self._backend.insert_new(table)

    def prepare(self, statement: Executable, *, columns: Sequence[str] | None = None) -> Prepared:
        """A statement compiled once, for a hot path; `columns` are those an insert is given."""
        return Prepared(self.engine.dialect, statement, columns)

    def close(self, *, for_good: bool = False) -> None:
        """Close every connection; a later use opens new ones.

        Args:
            for_good: Nothing is written any more: who still holds a part of it is refused.
        """
        self._ended = self._ended or for_good
        self._unpark()
        self.engine.dispose()
        if self._turn_lock.acquire(blocking=False):  # else somebody writes, who needs what is kept
            try:
                self._backend.rest()
            finally:
                self._turn_lock.release()

    def _begin(self, connection: Connection) -> None:
        write = bool(connection.get_execution_options().get("whence_write"))
        self._backend.begin(connection.connection.driver_connection, write=write)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._take_turn()
        try:
            yield
        finally:
            self._end_turn()

    def _take_turn(self) -> None:
        """The writers of one process queue here: SQLite's own waiting sleeps, and is not fair."""
        if self._ended or self.read_only:
            self._refuse_writing()
        me = threading.get_ident()
        if self._turn_of == me:
            raise UsageError("this thread already writes in an outer transaction", code="nested-transaction")
        if not self._turn_lock.acquire(timeout=self._busy_timeout_s):
            raise BackendError("another thread holds the store", code="store-locked", retryable=True)
        self._turn_of = me

    def _refuse_writing(self) -> NoReturn:
        if self._ended:
            raise closed()
        raise DeniedError("the database was opened to look, nothing is written into it", code="read-only")

    def _end_turn(self) -> None:
        self._turn_of = 0
        try:
            self._backend.end_write()
        finally:
            self._turn_lock.release()

    def _take(self) -> tuple[PoolProxiedConnection, Driver]:
        try:
            return self._parked.pop()
        except IndexError:
            pooled = self.engine.raw_connection()
            return pooled, pooled.driver_connection

    def _give(self, taken: tuple[PoolProxiedConnection, Driver], sound: bool) -> None:
        if not sound:
            taken[0].invalidate()
        elif len(self._parked) < self._backend.n_parked:
            self._parked.append(taken)
        else:
            taken[0].close()

    def _unpark(self) -> None:
        """Give the connections that sessions keep back to the pool."""
        while self._parked:
            self._parked.pop()[0].close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            meaning = self._backend.translate(error)
            if meaning is None:
                raise
            raise meaning from error

    def _settle(self) -> None:
        self._turn_lock = threading.Lock()
        self._turn_of = 0  # no thread

    def _check_fork(self) -> None:
        if self._lost_in_fork:
            raise UsageError(
                "this process was forked while the store was in use",
                code="forked-in-use",
                hint="open the workspace again in a new process, or start processes with spawn",
            )

    def _before_fork(self) -> None:
        # SQLite keeps its file locks per process and remembers them per file, so a child must not even
        # inherit an idle connection: a later close in either process would drop the other's write-ahead log.
        self._unpark()
        self._in_use_at_fork = cast("QueuePool", self.engine.pool).checkedout() > 0
        if not self._in_use_at_fork:
            self.engine.dispose()

    def _after_fork(self) -> None:
        self._lost_in_fork = self._in_use_at_fork
        self._backend.rest()
        self._settle()


def _find_backend(scheme: str) -> Backend:
    """The backend of a scheme; a server's driver is loaded by who names it."""
    try:
        if scheme == "postgresql":
            from whence.database.backends.postgres import PostgresBackend

            return PostgresBackend()
        if scheme in ("mysql", "mariadb"):
            from whence.database.backends.mysql import MysqlBackend

            return MysqlBackend()
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f"{scheme} needs {error.name}",
            code="extra-missing",
            hint=f"pip install 'whence[{EXTRAS[scheme]}]'",
        ) from error
    return SqliteBackend()


_databases: Final[weakref.WeakSet[Database]] = weakref.WeakSet()


def _before_fork() -> None:
    for database in list(_databases):
        database._before_fork()  # noqa: SLF001 - the same module


def _after_fork() -> None:
    for database in list(_databases):
        database._after_fork()  # noqa: SLF001 - the same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def _shown(url: URL) -> str:
    """A URL without what nobody should read."""
    secret = {name: "***" for name in url.query if "passw" in name.lower()}
    return url.update_query_dict(secret).render_as_string(hide_password=True)


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file, whatever characters its path has.

    Example:
        >>> sqlite_url(Path("whence.db"))
        'sqlite:///whence.db'
    """
    return URL.create("sqlite", database=str(path)).render_as_string()


def refuse_lost(url: str, made_after: Path) -> None:
    """Refuse a SQLite database that has lost all it held, while there is what was made after it.

    Args:
        url: Where it is; of servers nothing is said.
        made_after: A folder in which nothing is made before the database is there.

    Raises:
        IntegrityError: Its file is empty, or gone and its lock is not (``store-corrupt``).
    """
    path = sqlite_path(url)
    if path is not None:
        sqlite_file.refuse_lost(path, made_after)


def is_sqlite(path: Path) -> bool:
    """Whether a file is a SQLite database, or belongs to one: a log, a lock.

    Example:
        >>> is_sqlite(Path("absent.db"))
        False
    """
    return sqlite_file.belongs(path)


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite URL; None where there is none.

    Example:
        >>> sqlite_path("sqlite:///whence.db?journal=rollback"), sqlite_path("memory://")
        (PosixPath('whence.db'), None)
    """
    if not url.startswith("sqlite:"):
        return None
    name = make_url(url).database
    return Path(name) if name else None
