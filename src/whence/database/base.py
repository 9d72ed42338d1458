"""The port of a database system: how it connects, begins to write, fails, and what it can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import URL, ColumnElement, Connection, Engine, Insert, Table

from whence.errors import UsageError, WhenceError


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a database system can do, for rooms that must choose.

    Attributes:
        dialect: Its name in SQLAlchemy.
        many_writers: Several writing transactions may be open at once.
        transactional_tables: A transaction that fails takes back the tables it made.
        partial_indexes: An index may leave out rows.
    """

    dialect: str
    many_writers: bool
    transactional_tables: bool
    partial_indexes: bool


class Backend(ABC):
    """One database system. Stateless: everything that lives is in the engine."""

    abilities: ClassVar[Abilities]

    @abstractmethod
    def connect(self, url: URL, *, synchronous: str | None, busy_timeout_s: float) -> Engine:
        """An engine for `url`; nothing is changed in a database that exists."""

    @abstractmethod
    def begin(self, connection: Connection, *, write: bool) -> None:
        """Begin a transaction on a connection; a writing one waits for its turn here."""

    @abstractmethod
    def translate(self, error: BaseException) -> WhenceError | None:
        """What a driver's exception means to a caller; None when it is not of this driver."""

    @abstractmethod
    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """The condition that `column` is one of the values bound to `name` by `pack`."""

    @abstractmethod
    def pack(self, values: Sequence[object]) -> object:
        """Values in the form that `among` binds: any number of them."""

    @abstractmethod
    def insert_new(self, table: Table) -> Insert:
        """An insert that leaves out rows which break a unique constraint."""


def invalid_text(error: UnicodeEncodeError) -> UsageError:
    """What to say of text that is not Unicode (a lone surrogate): no database can keep it."""
    return UsageError(f"text is not valid Unicode: {error}", code="invalid-text")
