"""The port of a database system: how it connects, begins to write, fails, and what it can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sqlalchemy import URL, ColumnElement, Connection, Engine, Insert, Table

from whence.errors import BackendError, UnsupportedError, UsageError, WhenceError

Driver: TypeAlias = Any  # Any: a connection as PEP 249 describes it; the drivers share no class
Cursor: TypeAlias = Any  # Any: the same


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a database system can do, for rooms that must choose.

    Attributes:
        dialect: Its name: ``sqlite``, ``postgresql``, ``mysql`` or ``mariadb``.
        many_writers: Several writing transactions may be open at once; else they take turns.
        transactional_tables: A transaction that fails takes back the tables it made.
        partial_indexes: An index may leave out rows.
        json: Whose functions read JSON that is kept as text.
        recursive_members: A recursive query may have several recursive members.
        expression_indexes: An index may stand on an expression, else on a generated column that a query
            must name.
        concurrent_indexes: An index can be made while others write.
    """

    dialect: str
    many_writers: bool
    transactional_tables: bool
    partial_indexes: bool
    json: Literal["sqlite", "postgresql", "mysql"]
    recursive_members: bool
    expression_indexes: bool
    concurrent_indexes: bool


class Backend(ABC):
    """One database system, as one `Database` uses it; what lives is in the engine."""

    abilities: Abilities

    #: Idle connections that sessions keep for themselves: a pool's care costs more than a small transaction
    #: of SQLite. None where a connection can die while nobody looks.
    n_parked: int = 0

    @abstractmethod
    def connect(self, url: URL, *, synchronous: str | None, busy_timeout_s: float) -> Engine:
        """An engine for `url`; nothing is changed in a database that exists."""

    @abstractmethod
    def begin(self, driver: Driver, *, write: bool) -> None:
        """Begin a transaction; a writing one waits for its turn here."""

    @abstractmethod
    def translate(self, error: BaseException) -> WhenceError | None:
        """What a driver's exception means to a caller; None when it is not of this driver."""

    @abstractmethod
    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """The condition that `column` is one of the values bound to `name` by `pack`."""

    @abstractmethod
    def pack(self, values: Sequence[object]) -> object:
        """Values in the form that `among` binds: any number of them, of one type."""

    @abstractmethod
    def insert_new(self, table: Table) -> Insert:
        """An insert that leaves out rows which break a unique constraint."""

    @abstractmethod
    def is_whole(self, driver: Driver) -> bool:
        """Whether the transaction that `begin` began is still open, with all that was done in it."""

    def check(self, driver: Driver) -> None:
        """Refuse to commit what the system has taken back already.

        A full disk, a deadlock, a failed statement on PostgreSQL: whoever caught the exception could go on,
        each statement then being its own transaction, and the commit would say nothing.

        Raises:
            BackendError: Nothing was written (``transaction-lost``).
        """
        if not self.is_whole(driver):
            raise transaction_lost()

    def stream(self, driver: Driver) -> Cursor:
        """A cursor whose rows come as they are asked for."""
        return driver.cursor()

    @contextmanager
    def alone(self, connection: Connection) -> Iterator[None]:
        """Nobody else makes or changes tables in the block; a transaction is enough where tables are part of it."""
        del connection
        yield

    def backup(self, driver: Driver, file: Path) -> None:
        """Copy the database, as one moment saw it, into a new file.

        Raises:
            UnsupportedError: The server has its own tools for that.
        """
        del driver, file
        raise UnsupportedError(
            f"a copy of a {self.abilities.dialect} database is made by its own tools",
            hint="use pg_dump or mariadb-dump, then migrate without --backup",
        )


def transaction_lost() -> BackendError:
    """What to say of a transaction that is gone before its commit."""
    return BackendError(
        "the store took this transaction back; nothing was written", code="transaction-lost", retryable=True
    )


def invalid_text(error: UnicodeEncodeError) -> UsageError:
    """What to say of text that is not Unicode (a lone surrogate): no database can keep it."""
    return UsageError(f"text is not valid Unicode: {error}", code="invalid-text")
