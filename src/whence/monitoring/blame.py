"""Whence a change came: the first version in whose own rows it shows, or the season."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from whence.monitoring import calendar
from whence.monitoring.types import Blame

COLUMN_METRICS: Final = frozenset({"location", "scale", "missing", "new_values"})
"""Metrics of a feed that concern one column; the others concern all its rows."""

NEARBY_DAYS: Final = 2
"""A change in a source shows in what is looked up from it within so many days."""


@dataclass(frozen=True, slots=True)
class Move:
    """A day on which a source's own rows were not like those before.

    Attributes:
        table, version, execution: Where, and who wrote it.
        day: When.
        metric: How.
        column: In which column; None: in which rows there are.
        text: It in words.
    """

    table: str
    version: int
    execution: str | None
    day: int
    metric: str
    column: str | None
    text: str

    def to_list(self) -> list[Any]:
        """The move as JSON."""
        return [self.table, self.version, self.execution, self.day, self.metric, self.column, self.text]

    @classmethod
    def from_list(cls, data: Sequence[Any]) -> Move:
        """The move that `to_list` wrote."""
        return cls(*data)


def blame_move(move: Move, tz: str) -> Blame:
    """The blame of a move: its version and the execution that wrote it."""
    since = calendar.begin_of(move.day, tz)
    text = f"{move.text}: first in table:{move.table}@{move.version}"
    if move.execution is not None:
        text += f", written by execution:{move.execution}"
    return Blame(move.table, move.version, move.execution, gradual=False, since=since, text=text)


def blame_feature(
    feature: str,
    origin: tuple[str, str, int] | None,
    moves: Sequence[Move],
    *,
    first: int,
    last: int,
    tz: str,
) -> Blame:
    """The blame of a feature's drift: a move of the column it is made of, or that it came by degrees.

    Args:
        feature: The feature.
        origin: The table and column it is made of, and how many days its window reaches back.
        moves: Days on which sources moved, oldest first.
        first: The day since which the feature rose.
        last: The last day of the window in which the alert opened.
        tz: The clock.
    """
    if origin is not None:
        table, column, back = origin
        for move in moves:
            reach = max(back, NEARBY_DAYS) if move.column == column else NEARBY_DAYS
            mine = move.table == table and move.column in (column, None)
            if mine and last - reach <= move.day <= last:
                return blame_move(move, tz)
    return gradually(feature, origin, first, tz)


def gradually(what: str, origin: tuple[str, str, int] | None, first: int, tz: str) -> Blame:
    """The blame of what came by degrees: no execution is its cause."""
    since = calendar.begin_of(first, tz)
    where = "" if origin is None else f" (from {origin[0]}.{origin[1]})"
    text = f"{what}{where}: gradual since {calendar.as_date(first).isoformat()}; no version moved by itself"
    return Blame(None if origin is None else origin[0], None, None, gradual=True, since=since, text=text)


def blame_score(what: str, moved: Sequence[tuple[str, Blame]], first: int, tz: str) -> Blame:
    """The blame of score, calibration or loss: that of a feature whose source moved, else by degrees.

    Args:
        what: The metric.
        moved: Features with an open alert and its blame, the most unusual first.
        first: The day since which it rose.
        tz: The clock.
    """
    for feature, blame in moved:
        if not blame.gradual:
            return Blame(
                blame.table, blame.version, blame.execution, gradual=False, since=blame.since,
                text=f"{what} moved with {feature}: {blame.text}",
            )  # fmt: skip
    since = calendar.begin_of(first, tz)
    text = f"{what}: gradual since {calendar.as_date(first).isoformat()}; no version moved by itself"
    if moved:
        text += "; with it moved " + ", ".join(name for name, _ in moved[:3])
    return Blame(None, None, None, gradual=True, since=since, text=text)
