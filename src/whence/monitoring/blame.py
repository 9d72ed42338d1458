"""Whence a change came: the first version in whose own rows it shows, or the season.

Only what was looked at is acquitted: of a source that is not watched nobody knows whether a version moved. A blame
that names no version and is not gradual is of unknown cause; its text says what was not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    watched: Collection[str],
    first: int,
    last: int,
    tz: str,
) -> Blame:
    """The blame of a feature's drift: a move of the column it is made of, or that it came by degrees.

    Where the table it is made of is not watched, the cause is unknown, and that is what is said.

    Args:
        feature: The feature.
        origin: The table and column it is made of, and how many days its window reaches back.
        moves: Days on which sources moved, oldest first.
        watched: The feeds.
        first: The day since which the feature rose.
        last: The last day of the window in which the alert opened.
        tz: The clock.
    """
    if origin is None:
        return _unknown(feature, "nothing tells which table it is made of", first, tz)
    table, column, back = origin
    for move in moves:
        reach = max(back, NEARBY_DAYS) if move.column == column else NEARBY_DAYS
        mine = move.table == table and move.column in (column, None)
        if mine and last - reach <= move.day <= last:
            return blame_move(move, tz)
    what = f"{feature} (from {table}.{column})"
    if table not in watched:
        return _unknown(what, _not_watched(table), first, tz)
    since, day = calendar.begin_of(first, tz), calendar.as_date(first).isoformat()
    text = f"{what}: gradual since {day}; no version moved by itself"
    return Blame(table, None, None, gradual=True, since=since, text=text)


def _not_watched(*tables: str) -> str:
    if len(tables) == 1:
        return f"{tables[0]} is not watched: its versions were not looked at"
    return f"{', '.join(tables)} are not watched: their versions were not looked at"


def _unknown(what: str, why: str, first: int, tz: str) -> Blame:
    """The blame of what has a cause that nobody looked for."""
    since = calendar.begin_of(first, tz)
    text = f"{what}: since {calendar.as_date(first).isoformat()}, cause unknown; {why}"
    return Blame(None, None, None, gradual=False, since=since, text=text)


def blame_score(
    what: str,
    moved: Sequence[tuple[str, Blame]],
    *,
    tables: Collection[str],
    watched: Collection[str],
    first: int,
    tz: str,
) -> Blame:
    """The blame of score, calibration or loss: that of a feature whose source moved, else by degrees.

    Its cause is unknown if that of a feature that moved with it is; or if none did, and not all of the tables
    it could come from are watched.

    Args:
        what: The metric.
        moved: Features with an open alert and its blame, the most unusual first.
        tables: Where it could come from when no feature moved.
        watched: The feeds.
        first: The day since which it rose.
        tz: The clock.
    """
    known = [(feature, blame) for feature, blame in moved if blame.version is not None]
    unknown = [(feature, blame) for feature, blame in moved if not blame.gradual]
    for feature, blame in (*known, *unknown):
        return Blame(
            blame.table, blame.version, blame.execution, gradual=False, since=blame.since,
            text=f"{what} moved with {feature}: {blame.text}",
        )  # fmt: skip
    unwatched = sorted(set(tables) - set(watched))
    if unwatched and not moved:
        return _unknown(what, _not_watched(*unwatched), first, tz)
    since, day = calendar.begin_of(first, tz), calendar.as_date(first).isoformat()
    text = f"{what}: gradual since {day}; no version of a watched table moved by itself"
    if moved:
        text += "; with it moved " + ", ".join(name for name, _ in moved[:3])
    return Blame(None, None, None, gradual=True, since=since, text=text)
