"""Statements over lists of values, of whatever kind and length, on every SQL system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import Executable
from sqlalchemy.sql.elements import ClauseElement

from whence.database import Database, Session

Tuple: TypeAlias = tuple[Any, ...]  # Any: a row of whatever columns a statement selects

# A list is filled up to the next of these, so that a statement has few texts and each is prepared once.
SIZES: Final = (1, 4, 16, 64, 256, 1024)


def driver_text(database: Database, statement: Executable) -> str:
    """A statement without parameters in the driver's words."""
    assert isinstance(statement, ClauseElement)
    return str(statement.compile(dialect=database.engine.dialect))


def placeholder(database: Database) -> str:
    """What stands for a value in the driver's statements, where values come as a tuple."""
    return "?" if database.abilities.dialect == "sqlite" else "%s"


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
