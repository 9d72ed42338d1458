"""One database of a workspace: transactions that wait their turn, errors in whence's words."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import URL, ColumnElement, Connection, Engine, Executable, Insert, Table, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from whence.database import migrations as steps
from whence.database.backends.sqlite import SqliteBackend
from whence.database.base import Abilities, Backend
from whence.database.migrations import Migration
from whence.database.statements import Prepared
from whence.errors import BackendError, UnsupportedError, UsageError

BACKENDS: Final[dict[str, type[Backend]]] = {"sqlite": SqliteBackend}


class Database:
    """Connections to one database, safe for threads and after a fork.

    Args:
        url: Where it is, in SQLAlchemy's form.
        backend: What kind of system it is.
        synchronous: SQLite only: FULL (an acknowledged write survives a power cut), NORMAL, EXTRA, OFF.
        busy_timeout_s: How long a write waits for the writes of others.

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
        self, url: URL, backend: Backend, *, synchronous: str | None = None, busy_timeout_s: float = 30.0
    ) -> None:
        self._backend = backend
        self._busy_timeout_s = busy_timeout_s
        self.url = url.render_as_string(hide_password=True)
        self.engine: Engine = backend.connect(url, synchronous=synchronous, busy_timeout_s=busy_timeout_s)
        event.listen(self.engine, "begin", self._begin)
        self._writer = self.engine.execution_options(whence_write=True)
        self._in_use_at_fork = self._lost_in_fork = False
        self._settle()
        _databases.add(self)

    @classmethod
    def from_url(cls, url: str, *, synchronous: str | None = None, busy_timeout_s: float = 30.0) -> Database:
        """The database at `url`, for example ``sqlite:///whence.db``.

        Raises:
            UsageError: The text is not a URL (``bad-url``).
            UnsupportedError: No backend has this scheme (``unsupported-scheme``).
        """
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise UsageError(
                f"{url!r} is not a database URL", code="bad-url", hint="sqlite:///whence.db"
            ) from error
        scheme = parsed.get_backend_name()
        if scheme not in BACKENDS:
            raise UnsupportedError(
                f"no database backend for {scheme!r}", code="unsupported-scheme", near=sorted(BACKENDS)
            )
        return cls(parsed, BACKENDS[scheme](), synchronous=synchronous, busy_timeout_s=busy_timeout_s)

    @property
    def abilities(self) -> Abilities:
        """What this database system can do."""
        return self._backend.abilities

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One writing transaction: committed at the end of the block, taken back by an exception.

        Raises:
            BackendError: The store failed; a driver's exception is the ``__cause__``.
            UsageError: This thread already writes (``nested-transaction``).
        """
        self._check_fork()
        if self._turn_of == threading.get_ident():
            raise UsageError("this thread already writes in an outer transaction", code="nested-transaction")
        with self._translated(), self._turn(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One reading transaction: everything in the block sees the same state."""
        self._check_fork()
        with self._translated(), self.engine.begin() as connection:
            yield connection

    def migrate(self, component: str, migrations: Sequence[Migration]) -> int:
        """Bring a component's tables to the newest version, once, whoever else tries; returns it.

        Raises:
            ConflictError: The tables are newer than `migrations` (``workspace-newer``); nothing is touched.
        """
        steps.check_sequence(component, migrations)
        have = self.version(component)
        steps.refuse_newer(component, have, len(migrations))
        if have == len(migrations):
            return have
        with self.transaction() as connection:
            return steps.apply(connection, component, migrations, time.time_ns() // 1_000)

    def version(self, component: str) -> int:
        """The version of a component's tables; 0 when it has none."""
        with self.read() as connection:
            return steps.read_version(connection, component)

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

    def close(self) -> None:
        """Close every connection; a later use opens new ones."""
        self.engine.dispose()

    def _begin(self, connection: Connection) -> None:
        self._backend.begin(connection, write=bool(connection.get_execution_options().get("whence_write")))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The writers of one process queue here: SQLite's own waiting sleeps, and is not fair."""
        if self.abilities.many_writers:
            yield
            return
        if not self._turn_lock.acquire(timeout=self._busy_timeout_s):
            raise BackendError("another thread holds the store", code="store-locked", retryable=True)
        self._turn_of = threading.get_ident()
        try:
            yield
        finally:
            self._turn_of = 0
            self._turn_lock.release()

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
        self._in_use_at_fork = cast("QueuePool", self.engine.pool).checkedout() > 0
        if not self._in_use_at_fork:
            self.engine.dispose()

    def _after_fork(self) -> None:
        self._lost_in_fork = self._in_use_at_fork
        self._settle()


_databases: Final[weakref.WeakSet[Database]] = weakref.WeakSet()


def _before_fork() -> None:
    for database in list(_databases):
        database._before_fork()  # noqa: SLF001 - the same module


def _after_fork() -> None:
    for database in list(_databases):
        database._after_fork()  # noqa: SLF001 - the same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file, whatever characters its path has.

    Example:
        >>> sqlite_url(Path("whence.db"))
        'sqlite:///whence.db'
    """
    return URL.create("sqlite", database=str(path)).render_as_string()
