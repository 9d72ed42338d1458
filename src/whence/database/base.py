"""The port of a database system: how it connects, begins to write, fails, and what it can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import URL, ColumnElement, Connection, Engine, Insert, Table

from whence.errors import BackendError, UnsupportedError, UsageError, WhenceError, near_names

Driver: TypeAlias = Any  # Any: a connection as PEP 249 describes it; the drivers share no class
Cursor: TypeAlias = Any  # Any: the same


# Settings of a URL that a hint names; of more, only the near ones.
_FEW: Final = 5


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

    #: What may stand behind the ``?`` of a URL.
    words: frozenset[str] = frozenset()

    #: Idle connections that sessions keep for themselves: a pool's care costs more than a small transaction
    #: of SQLite. None where a connection can die while nobody looks.
    n_parked: int = 0

    #: Opened to look; said before `connect`. A system that opens files must not make or change any then.
    read_only: bool = False

    @abstractmethod
    def connect(self, url: URL, *, synchronous: str | None, busy_timeout_s: float) -> Engine:
        """An engine for `url`; nothing is changed in a database that exists."""

    @abstractmethod
    def begin(self, driver: Driver, *, write: bool) -> None:
        """Begin a transaction; a writing one waits for its turn here."""

    def expect_many(self, driver: Driver) -> None:  # noqa: B027 - most systems have nothing to do
        """Make ready for very many rows in the transaction that has begun, and in it alone."""

    def end_write(self) -> None:  # noqa: B027 - most systems have nothing to do
        """A writing transaction has ended, or could not begin: whoever waits has the turn."""

    def rest(self) -> None:  # noqa: B027 - the same
        """Close what is kept between transactions besides connections; in a forked child, its copy of it."""

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


def check_words(scheme: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse a word behind the ``?`` of a URL that nobody reads: a setting that is left out without a word.

    Raises:
        UsageError: ``bad-url``; near words are given.

    Example:
        >>> check_words("sqlite", ["journal"], {"journal", "synchronous"})
    """
    for word in given:
        if word not in known:
            raise UsageError(
                f"a {scheme} URL has no setting {word!r}",
                code="bad-url",
                near=near_names(word, known),
                hint=f"it has {', '.join(sorted(known))}" if 0 < len(known) <= _FEW else None,
            )


def closed() -> UsageError:
    """What to say to who writes into what was closed."""
    return UsageError(
        "it was closed: nothing is written into it any more", code="closed", hint="open it again"
    )


def invalid_text(error: UnicodeEncodeError) -> UsageError:
    """What to say of text that is not Unicode (a lone surrogate): no database can keep it."""
    return UsageError(f"text is not valid Unicode: {error}", code="invalid-text")
