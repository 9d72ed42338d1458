"""Windows of sums: running totals and ASOF joins.

A row counts at q iff ``q - w <= e < q``, it is known (``kn < q``) and not yet retracted (``q <= s``). With
``m = max(e, kn)`` that is *what came before q*, less *what happened before q - w*: one running total in
the order of m, one in the order of e, each found by an ASOF join. Windows of all lengths share both.

* A row with ``m - e >= w`` never counts: when it was known it was too old. Nor may it be taken off, so a
  window shorter than the latest row is late adds only rows with ``m - e < w``.
* A retraction is the row once more, with the other sign, from ``max(e, s)`` on; the same holds for it.
* With a raster (`hop`) and rows later than the window is long, "happened before" and "came before" no longer
  nest; such a window keeps totals of its own, by the interval ``m < q <= x`` in which each row counts.

Exact for late rows, corrections and edges alike, because integers are added. Moments of one join key are
laid behind those of the one before, as one integer ``k``, so that one total serves all keys: the total at
the start of a key's moments cancels out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from whence.features.dialect import Dialect
from whence.features.survey import Survey


@dataclass(frozen=True, slots=True)
class Window:
    """A window's length and the raster of its far end, in microseconds; `hop_us` 0 is exact."""

    over_us: int
    hop_us: int = 0

    def expiry(self, event: str = "e") -> str:
        """The last moment at which a row still counts, by its event time."""
        if not self.hop_us:
            return f"({event} + {self.over_us})"
        # q - w, rounded down to the hop, is at most e  <=>  q < tile of e + hop + w
        tile = f"({event} - ((({event} % {self.hop_us}) + {self.hop_us}) % {self.hop_us}))"
        return f"({tile} + {self.hop_us + self.over_us - 1})"

    def start(self, moment: str = "q") -> str:
        """The earliest event time that counts at a moment."""
        start = f"({moment} - {self.over_us})"
        if not self.hop_us:
            return start
        return f"({start} - ((({start} % {self.hop_us}) + {self.hop_us}) % {self.hop_us}))"


@dataclass(frozen=True, slots=True)
class Axis:
    """Moments of all join keys on one line of integers.

    Args:
        low: The earliest moment that is told apart.
        high: The latest.
        n_keys: How many join keys there are.
        big: The type to use where 64 bits are not enough.
    """

    low: int
    high: int
    n_keys: int
    big: str

    @property
    def span(self) -> int:
        """How many places one key takes."""
        return self.high - self.low + 1

    def place(self, moment: str, code: str = "code") -> str:
        """Where a moment of a key lies; moments outside are moved to the end."""
        clipped = f"(greatest(least({moment}, {self.high}), {self.low}) - ({self.low}))"
        return f"({self._code(code)} * {self.span} + {clipped})"

    def _code(self, code: str) -> str:
        wide = self.n_keys * self.span >= 2**62
        return f"CAST({code} AS {self.big})" if wide else code


@dataclass
class Totals:
    """Collects what is to be summed over which windows, and writes the statement's parts.

    Args:
        axis: Where the moments lie.
        dialect: The engine's spelling.
        survey: What the rows are like.
        retracts: Whether some rows are taken back at some moment.
    """

    axis: Axis
    dialect: Dialect
    survey: Survey
    retracts: bool = False
    wanted: dict[Window, dict[str, str]] = field(default_factory=dict)

    def want(self, window: Window, what: str) -> str:
        """Ask for the sum of an integer expression over a window; gives the column it comes out in."""
        columns = self.wanted.setdefault(window, {})
        if what not in columns:
            number = [*self.wanted].index(window)
            columns[what] = f"t{number}_{len(columns)}"
        return columns[what]

    def parts(self) -> Iterator[tuple[str, str]]:
        """The common table expressions; the last is ``sums``: one row per point."""
        if not self.wanted:
            return
        shared = [w for w in self.wanted if not self._stands_alone(w)]
        terms = list(dict.fromkeys(self._term(w, what) for w in shared for what in self.wanted[w]))
        joins: list[str] = []
        differences: list[str] = []
        if shared:
            yield from self._shared(terms)
            joins.append(f"ASOF LEFT JOIN {self._come} AS come ON p.k > come.k")
        for number, window in enumerate(self.wanted):
            if window in shared:
                start = (
                    self.axis.place(window.start("p.q"), "p.code")
                    if window.hop_us
                    else f"p.k - {window.over_us}"
                )
                joins.append(f"ASOF LEFT JOIN gone AS g{number} ON {start} > g{number}.k")
                mine = {what: terms.index(self._term(window, what)) for what in self.wanted[window]}
                differences += self._differences(window, mine, "come", f"g{number}")
            else:
                yield from self._alone(number, window)
                joins.append(f"ASOF LEFT JOIN come{number} AS c{number} ON p.k > c{number}.k")
                joins.append(f"ASOF LEFT JOIN gone{number} AS g{number} ON p.k > g{number}.k")
                mine = {what: i for i, what in enumerate(self.wanted[window])}
                differences += self._differences(window, mine, f"c{number}", f"g{number}")
        yield "sums", f"SELECT p.pid, {', '.join(differences)} FROM p {' '.join(joins)}"

    def _may_be_late(self, window: Window) -> bool:
        return self.retracts or self.survey.max_lag >= window.over_us

    def _stands_alone(self, window: Window) -> bool:
        return window.hop_us > 0 and self._may_be_late(window)

    @property
    def _come(self) -> str:
        """The total by moment of use; where every row is known at once, it is the one by event time."""
        return "come" if self.survey.max_lag or self.retracts else "gone"

    def _term(self, window: Window, what: str) -> str:
        """What one row adds for a window."""
        if self.retracts:
            what = f"sign * ({what})"
        return (
            f"CASE WHEN m - e < {window.over_us} THEN {what} ELSE 0 END"
            if self._may_be_late(window)
            else what
        )

    def _shared(self, terms: Sequence[str]) -> Iterator[tuple[str, str]]:
        rows = "r"
        if self.retracts:
            rows = "changes"
            back = "SELECT * REPLACE (greatest(e, s) AS m), -1 AS sign FROM r WHERE s IS NOT NULL"
            yield rows, f"SELECT *, 1 AS sign FROM r UNION ALL {back}"
        yield "gone", self._running(terms, self.axis.place("e"), rows, "m IS NOT NULL")
        if self._come == "come":
            yield "come", self._running(terms, self.axis.place("m"), rows, "m IS NOT NULL")

    def _alone(self, number: int, window: Window) -> Iterator[tuple[str, str]]:
        terms = list(self.wanted[window])
        until = f"least({window.expiry()}, s)"
        counts = f"m IS NOT NULL AND m < {until}"
        yield f"come{number}", self._running(terms, self.axis.place("m"), "r", counts)
        yield f"gone{number}", self._running(terms, self.axis.place(until), "r", counts)

    def _running(self, terms: Sequence[str], place: str, rows: str, condition: str) -> str:
        """The total of each term at each place, once a place."""
        added = ", ".join(f"{term} AS a{i}" for i, term in enumerate(terms))
        totals = ", ".join(f"{self.dialect.running.format(f'sum(a{i})')} AS a{i}" for i in range(len(terms)))
        columns = ", ".join(f"a{i}" for i in range(len(terms)))
        ordered = f"SELECT {place} AS k, {added} FROM {rows} WHERE {condition} ORDER BY 1"
        running = f"SELECT k, {self.dialect.next_row.format('k')} AS following, {totals} FROM ({ordered})"
        return f"SELECT k, {columns} FROM ({running}) WHERE following IS NULL OR k <> following"

    def _differences(self, window: Window, mine: dict[str, int], come: str, gone: str) -> Iterator[str]:
        for what, column in self.wanted[window].items():
            i = mine[what]
            yield f"coalesce({come}.a{i}, 0) - coalesce({gone}.a{i}, 0) AS {column}"
