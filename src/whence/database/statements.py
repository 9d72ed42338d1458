"""Statements for hot paths: compiled once, then run on the driver."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from whence.database.base import invalid_text

Tuple: TypeAlias = tuple[Any, ...]  # Any: a row of whatever columns a statement selects

NOTHING: Final[Mapping[str, object]] = {}


class Prepared:
    """A statement in the driver's own words.

    SQLAlchemy spends about 0.1 ms on each execution of a statement, even one it has compiled before: more
    than SQLite needs to run it. Use this where a transaction of a few rows must cost what its fsync costs,
    and only with columns of numbers and text: values pass as they are.

    Args:
        dialect: The database's dialect.
        statement: What to compile, its values as bound parameters.
        columns: The columns an insert is given; None is all of them.
    """

    def __init__(self, dialect: Dialect, statement: Executable, columns: Sequence[str] | None = None) -> None:
        assert isinstance(statement, ClauseElement)
        compiled = statement.compile(dialect=dialect, column_keys=None if columns is None else list(columns))
        assert isinstance(compiled, SQLCompiler)
        self._sql = compiled.string
        self._order = compiled.positiontup
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    def __str__(self) -> str:
        return self._sql

    def rows(self, connection: Connection, values: Mapping[str, object] = NOTHING) -> list[Tuple]:
        """The rows it selects."""
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self._sql, self._bind(values))
            return list(cursor.fetchall())
        except UnicodeEncodeError as error:
            raise invalid_text(error) from error
        finally:
            cursor.close()

    def run(self, connection: Connection, many: Iterable[Mapping[str, object]]) -> None:
        """Execute it once for each set of values."""
        cursor = connection.connection.cursor()
        try:
            cursor.executemany(self._sql, [self._bind(values) for values in many])
        except UnicodeEncodeError as error:
            raise invalid_text(error) from error
        finally:
            cursor.close()

    def _bind(self, values: Mapping[str, object]) -> Any:  # Any: a tuple or a mapping, as the driver wants
        if self._fixed:
            values = {**self._fixed, **values}
        return values if self._order is None else tuple(values[name] for name in self._order)
