"""Statements over lists of values, of whatever kind and length, on every SQL system."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, count, islice
from typing import Any, Final, TypeAlias

from sqlalchemy import Executable
from sqlalchemy.sql.elements import ClauseElement

from whence.database import Database, Session

Tuple: TypeAlias = tuple[Any, ...]  # Any: a row of whatever columns a statement selects

# A list is filled up to the next of these, so that a statement has few texts and each is prepared once.
SIZES: Final = (1, 2, 3, 4, 5, 6, 8, 12, 16, 64, 256, 1024)
# The same for a list of tuples: SQLite puts no more than 500 SELECTs together.
KEYS: Final = (1, 8, 64, 256)


def driver_text(database: Database, statement: Executable) -> str:
    """A statement without parameters in the driver's words."""
    assert isinstance(statement, ClauseElement)
    return str(statement.compile(dialect=database.engine.dialect))


def placeholder(database: Database) -> str:
    """What stands for a value in the driver's statements, where values come as a tuple."""
    return "?" if database.abilities.dialect == "sqlite" else "%s"


Column: TypeAlias = list[Any] | int | str | None  # Any: what a column of the database holds
"""The values of all rows in their order; or what is no list: the one value that all of them have."""

# Rows of one INSERT: a row for itself costs SQLite's step half as much again, more than a hundred gain nothing.
ROWS: Final = (64, 8, 1)


class Inserts:
    """An INSERT of many rows at once, on SQLite, which says how many of them were new.

    One that fails leaves the rows before: the transaction must be taken back.

    Args:
        statement: The INSERT of one row: a ``?`` for every column of the table, in their order.
    """

    def __init__(self, statement: str) -> None:
        head, _, rest = statement.partition(" VALUES ")
        # Else SQLite copies each page into a file before a row changes it, to take back this one statement if it fails:
        # eight times as much as a bulk load writes without.
        self._head = head.replace("INSERT", "INSERT OR FAIL", 1)
        _, _, self._tail = rest.partition(")")
        self._texts: dict[tuple[tuple[str, ...], int], str] = {}

    def run(self, session: Session, columns: Sequence[Column], n_rows: int) -> int:
        """Insert rows given column by column; how many were new."""
        fixed: list[object] = []
        lists: list[list[Any]] = []
        shape: list[str] = []
        for column in columns:
            if isinstance(column, list):
                lists.append(column)
                shape.append("?")
            elif column is None:
                shape.append("NULL")
            else:
                fixed.append(column)
                shape.append(f"?{len(fixed)}")
        width = len(lists)
        values: list[Any] = [None] * (n_rows * width)
        for place, column in enumerate(lists):
            values[place::width] = column
        begin = n_new = 0
        for size in ROWS:
            text = self._text(tuple(shape), len(fixed), size)
            for _ in range((n_rows - begin // width) // size):
                end = begin + size * width
                n_new += session.run(text, fixed + values[begin:end])
                begin = end
        return n_new

    def _text(self, shape: tuple[str, ...], n_fixed: int, size: int) -> str:
        text = self._texts.get((shape, size))
        if text is None:
            numbers = count(n_fixed + 1)
            rows = [
                ", ".join([f"?{next(numbers)}" if mark == "?" else mark for mark in shape])
                for _ in range(size)
            ]
            text = f"{self._head} VALUES ({'), ('.join(rows)}){self._tail}"
            self._texts[shape, size] = text
        return text


class Keyed:
    """The rows of a table that have the values of several columns in a list of tuples.

    Each tuple is looked up in an index; of ``(a, b) IN (…)`` SQLite reads the whole table.

    Args:
        database: Where it runs.
        table: The table.
        columns: The columns of a tuple.
        more: The columns that are selected behind them.
    """

    def __init__(self, database: Database, table: str, columns: Sequence[str], more: Sequence[str]) -> None:
        marks = [placeholder(database)] * len(columns)
        first = ", ".join(f"{mark} AS v{n}" for n, mark in enumerate(marks))
        names = ", ".join(f"t.{column}" for column in (*columns, *more))
        same = " AND ".join(f"t.{column} = w.v{n}" for n, column in enumerate(columns))
        next_ = f" UNION ALL SELECT {', '.join(marks)}"
        self._texts = {
            size: f"SELECT {names} FROM (SELECT {first}{next_ * (size - 1)}) w JOIN {table} t ON {same}"
            for size in KEYS
        }

    def rows(self, session: Session, keys: Collection[Tuple]) -> set[Tuple]:
        """The rows, each once."""
        found: set[Tuple] = set()
        left = iter(keys)
        while chunk := tuple(islice(left, KEYS[-1])):
            size = next(size for size in KEYS if size >= len(chunk))
            filled = (*chunk, *[chunk[-1]] * (size - len(chunk)))
            found.update(session.rows(self._texts[size], tuple(chain.from_iterable(filled))))
        return found


class Listed:
    """A SELECT whose rows have a column's value in a list.

    Args:
        database: Where it runs.
        select: The statement up to its last condition, without values.
        column: The column, as the statement spells it.
        more: What stands behind the list, its own values included: ``AND kind = ?``.
    """

    def __init__(self, database: Database, select: Executable | str, column: str, more: str = "") -> None:
        head = select if isinstance(select, str) else driver_text(database, select)
        mark = placeholder(database)
        more = more.replace("?", mark)
        word = "AND" if " WHERE " in head.replace("\n", " ") else "WHERE"
        self._texts = [f"{head} {word} {column} IN ({', '.join([mark] * size)}) {more}" for size in SIZES]

    def rows(self, session: Session, values: Sequence[object], more: Tuple = ()) -> list[Tuple]:
        """The rows, list after list."""
        if len(values) == 1:
            return session.rows(self._texts[0], (*values, *more))
        return [row for chunk in self._chunks(values) for row in session.rows(*self._bound(chunk, more))]

    def run(self, session: Session, values: Sequence[object], more: Tuple = ()) -> int:
        """Run it, when it is no SELECT; how many rows it changed."""
        return sum(session.run(*self._bound(chunk, more)) for chunk in self._chunks(values))

    def _chunks(self, values: Sequence[object]) -> Iterator[Sequence[object]]:
        for begin in range(0, len(values), SIZES[-1]):
            yield values[begin : begin + SIZES[-1]]

    def _bound(self, chunk: Sequence[object], more: Tuple) -> tuple[str, Tuple]:
        for text, size in zip(self._texts, SIZES, strict=True):
            if size >= len(chunk):
                return text, (*chunk, *[chunk[-1]] * (size - len(chunk)), *more)
        raise AssertionError  # pragma: no cover - a chunk fits the largest size
