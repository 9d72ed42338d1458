"""Statements for hot paths: compiled once, then run on the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias, cast

from sqlalchemy import Connection, Dialect, Executable, Insert
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from whence.database.base import Driver, invalid_text
from whence.database.session import Session, Tuple

On: TypeAlias = Session | Connection

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

    Attributes:
        sql: The statement, with the driver's placeholders.
        order: The names of its values, in the order of their places.
    """

    def __init__(self, dialect: Dialect, statement: Executable, columns: Sequence[str] | None = None) -> None:
        shape: ClauseElement = cast("ClauseElement", statement)
        if isinstance(shape, Insert):
            shape = shape.inline()  # nothing comes back: no RETURNING where the system has it
        compiled = shape.compile(dialect=dialect, column_keys=None if columns is None else list(columns))
        assert isinstance(compiled, SQLCompiler)
        self.sql = compiled.string
        self.order = None if compiled.positiontup is None else tuple(compiled.positiontup)
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        if columns is None and isinstance(shape, Insert):
            columns = [column.name for column in shape.table.c]
        self._arrange = self._arranged(tuple(columns or ()))

    def __str__(self) -> str:
        return self.sql

    def rows(self, on: On, values: Mapping[str, object] = NOTHING) -> list[Tuple]:
        """The rows it selects."""
        cursor = _driver(on).cursor()
        try:
            cursor.execute(self.sql, self.bind(values))
            return list(cursor.fetchall())
        except UnicodeEncodeError as error:
            raise invalid_text(error) from error
        finally:
            cursor.close()

    def stream(
        self, session: Session, values: Mapping[str, object] = NOTHING, size: int = 1000
    ) -> Iterator[Tuple]:
        """The rows it selects, fetched `size` at a time; see `Session.stream`."""
        return session.stream(self.sql, self.bind(values), size)

    def run(self, on: On, many: Iterable[Mapping[str, object]]) -> None:
        """Execute it once for each set of values."""
        self._many(on, [self.bind(values) for values in many])

    def tuples(self, on: On, many: Iterable[Tuple]) -> None:
        """Execute it once for each tuple of values, in the order of its `columns`: the hottest path."""
        arrange = self._arrange
        self._many(on, list(many) if arrange is None else [arrange(values) for values in many])

    def bind(self, values: Mapping[str, object]) -> Any:  # Any: a tuple or a mapping, as the driver wants
        """Values by name in the form that the driver takes with `sql`."""
        if self._fixed:
            values = {**self._fixed, **values}
        return values if self.order is None else tuple([values[name] for name in self.order])

    def _many(self, on: On, many: list[Any]) -> None:
        cursor = _driver(on).cursor()
        try:
            cursor.executemany(self.sql, many)
        except UnicodeEncodeError as error:
            raise invalid_text(error) from error
        finally:
            cursor.close()

    def _arranged(self, columns: tuple[str, ...]) -> Callable[[Tuple], Any] | None:
        """What makes the driver's values of a tuple; None when they are the tuple itself."""
        if self.order is None or self._fixed:
            return lambda values: self.bind(dict(zip(columns, values, strict=True)))
        if self.order == columns or not set(self.order) <= set(columns):
            return None
        places = [columns.index(name) for name in self.order]
        return itemgetter(*places) if len(places) > 1 else lambda values: (values[places[0]],)


def _driver(on: On) -> Driver:
    return on.driver if isinstance(on, Session) else on.connection
