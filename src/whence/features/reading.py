"""How the rows of a source are read: when each happened, when it was known, what it adds.

The four moments of a row, all in microseconds:

* ``e``  its event time; for a timeless lookup its knowledge time, so that the newest known row wins
* ``kn`` its knowledge time; the event time where the source declares none
* ``m``  the moment from which it is usable: the later of both, or ``e`` alone when the state of now counts
* ``s``  the moment at which a newer row of the same declared key retracts it; null: never
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from whence.features.dialect import Dialect, from_source
from whence.features.source import Group

BEFORE_ALL: Final = -(2**62)
"""The knowledge time of a row that has none, where what is known now counts."""


@dataclass(frozen=True, slots=True)
class Reading:
    """SQL of one group's rows.

    Args:
        group: The views and their source.
        dialect: The engine's spelling.
        floor: The moment given to rows that have none at all: before every moment asked for.
    """

    group: Group
    dialect: Dialect
    floor: int

    def instant(self, column: str) -> str:
        """A time column in microseconds."""
        type_ = self.group.source.schema.field(column).type
        template = self.dialect.date_us if pa.types.is_date(type_) else self.dialect.epoch_us
        return template.format(from_source(column))

    @property
    def then(self) -> bool:
        """Whether rows count as they were known then."""
        return self.group.known == "then"

    @property
    def known(self) -> str:
        """``kn``."""
        column = self.group.source.known_at or self.group.timestamp
        if column is None:
            return str(self.floor)
        known = self.instant(column)
        return known if self.then else f"coalesce({known}, {BEFORE_ALL})"

    @property
    def event(self) -> str:
        """``e``."""
        if self.group.timestamp is not None:
            return self.instant(self.group.timestamp)
        return self.known if self.then else str(self.floor)

    def moments(self) -> str:
        """The columns ``e`` and ``kn`` of a SELECT from the source."""
        return f"{self.event} AS e, {self.known} AS kn"

    @property
    def condition(self) -> str:
        """Which rows of the source are read at all: those known at some time, when it matters."""
        column = self.group.source.known_at or self.group.timestamp
        return f"{from_source(column)} IS NOT NULL" if self.then and column is not None else "TRUE"

    def content(self) -> list[str]:
        """All columns by name: the last tie-break, which depends on nothing but the rows themselves."""
        return [from_source(column) for column in sorted(self.group.source.schema.names)]
