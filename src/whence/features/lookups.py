"""The newest row: as of a moment, or the newest value in a window.

Rows of a key are ranked by (event time, knowledge time, content). The newest usable row at q is the one
of the highest rank among those with ``m <= q``: a running maximum of the ranks in the order of m, found
by one ASOF join. A retracted row leaves that maximum by itself when its correction has the same join key
and event time, because the correction ranks higher from the moment it is known. Rows of declared keys
whose corrections move (``steady`` is false) are held apart and joined by their own interval ``m <= q < s``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from whence.features.reading import Reading
from whence.features.survey import Survey
from whence.features.windows import Axis, Window


@dataclass(frozen=True, slots=True)
class Found:
    """Where the newest row's event time and value come out."""

    event: str
    value: str


@dataclass
class _Lookup:
    """One ranking of rows: which rows (`condition`), and whether a row at q itself counts."""

    condition: str
    strict: bool
    values: dict[str, None] = field(default_factory=dict)


@dataclass
class Lookups:
    """Collects the lookups of a group, and writes the statement's parts."""

    reading: Reading
    axis: Axis
    survey: Survey
    wanted: list[_Lookup] = field(default_factory=list)

    @property
    def needs_content(self) -> bool:
        """Whether rows are ranked at all."""
        return any(f.op in ("first", "last") for v in self.reading.group.views for f in v.features)

    def newest(self, value: str | None, mask: str | None) -> Found:
        """The newest row as of q, both ends included."""
        number = self._number(mask or "TRUE", strict=False)
        if value is not None:
            self.wanted[number].values[value] = None
        return Found(f"l{number}.e", f"l{number}.{value}")

    def newest_in(self, window: Window, value: str, mask: str | None) -> str:
        """The newest value in a window before q."""
        condition = f"{mask} AND {value} IS NOT NULL" if mask else f"{value} IS NOT NULL"
        number = self._number(condition, strict=True)
        self.wanted[number].values[value] = None
        return f"CASE WHEN l{number}.e >= {window.start('p.q')} THEN l{number}.{value} END"

    def _number(self, condition: str, *, strict: bool) -> int:
        for number, lookup in enumerate(self.wanted):
            if lookup.condition == condition and lookup.strict == strict:
                return number
        self.wanted.append(_Lookup(condition, strict))
        return len(self.wanted) - 1

    def content(self) -> list[str]:
        """The source's columns that decide between rows of one key, event and knowledge time."""
        return self.reading.content() if self.survey.rows_tie and self.needs_content else []

    def order(self) -> str:
        """The order of rows of one key, oldest first."""
        return ", ".join(["e", "kn", *(f"c{i} NULLS FIRST" for i in range(len(self.content())))])

    def parts(self) -> Iterator[tuple[str, str]]:
        for number, lookup in enumerate(self.wanted):
            yield from self._parts(number, lookup)

    def _parts(self, i: int, lookup: _Lookup) -> Iterator[tuple[str, str]]:
        apart = self.survey.has_corrections and self.reading.then
        columns = ", ".join(["code", "e", "m", "s", *lookup.values])
        held = f", s IS NOT NULL AND NOT steady{i} AS held" if apart else ""
        order = f"SELECT * FROM r WHERE m IS NOT NULL AND ({lookup.condition}) ORDER BY code, {self.order()}"
        dialect = self.reading.dialect
        yield f"rank{i}", f"SELECT {dialect.row_number} AS rho, {columns}{held} FROM ({order})"
        usable = f"m {'<' if lookup.strict else '<='} {self.axis.high}" + (" AND NOT held" if apart else "")
        best = f"SELECT {self.axis.place('m')} AS k, max(rho) AS rho FROM rank{i} WHERE {usable} GROUP BY 1 ORDER BY 1"
        yield f"best{i}", f"SELECT k, {dialect.running.format('max(rho)')} AS rho FROM ({best})"
        newest = f"SELECT p.pid, p.code, b.rho FROM p ASOF JOIN best{i} AS b ON p.k {_after(lookup)} b.k"
        if apart:
            newest = f"SELECT pid, code, max(rho) AS rho FROM ({newest} UNION ALL {self._apart(i, lookup)}) GROUP BY ALL"
        chosen = ", ".join(["n.pid", "x.e", *(f"x.{v}" for v in lookup.values)])
        # a key without usable rows meets the highest rank of the key before it: the codes differ
        yield (
            f"l{i}",
            f"SELECT {chosen} FROM ({newest}) AS n JOIN rank{i} AS x ON x.rho = n.rho AND x.code = n.code",
        )

    def _apart(self, i: int, lookup: _Lookup) -> str:
        before, after = ("<", "<=") if lookup.strict else ("<=", "<")
        return (
            f"SELECT p.pid, p.code, max(h.rho) AS rho FROM p JOIN rank{i} AS h"
            f" ON h.code = p.code AND h.m {before} p.q AND p.q {after} h.s WHERE h.held GROUP BY ALL"
        )

    def joins(self) -> Iterator[str]:
        for i in range(len(self.wanted)):
            yield f"LEFT JOIN l{i} ON l{i}.pid = p.pid"


def _after(lookup: _Lookup) -> str:
    return ">" if lookup.strict else ">="
