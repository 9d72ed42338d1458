"""Windows of sums: two running totals and an ASOF join each.

A row counts at q iff ``q - w <= e < q``, it is known (``kn < q``) and not yet retracted. That is one
interval: ``m < q <= x`` with ``m = max(e, kn)`` and ``x = min(e + w, s)``, empty when ``m >= x``. So the sum
over a window is *what has come before q* minus *what has gone before q*: two running totals, each found
by the newest moment below q. Exact for late rows, corrections and edges alike, because integers are added.

Moments of one join key are laid behind those of the one before, as one integer ``k``: what comes and goes
of a key adds up to nothing, so one running total serves all keys. Where no row is later than the window
is long and none is retracted, ``x = e + w`` for every row, and windows of all lengths share one total by
event time, looked up at ``q - w``.
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
    """

    axis: Axis
    dialect: Dialect
    survey: Survey
    wanted: dict[Window, dict[str, str]] = field(default_factory=dict)

    def want(self, window: Window, what: str) -> str:
        """Ask for the sum of an expression over a window; gives the column it comes out in."""
        columns = self.wanted.setdefault(window, {})
        if what not in columns:
            number = [*self.wanted].index(window)
            columns[what] = f"t{number}_{len(columns)}"
        return columns[what]

    def is_plain(self, window: Window) -> bool:
        """Whether every row stays exactly `over` after its event."""
        plain = not window.hop_us and not self.survey.has_corrections
        return plain and self.survey.max_lag < window.over_us

    def parts(self) -> Iterator[tuple[str, str]]:
        """The common table expressions; the last is ``sums``: one row per point."""
        if not self.wanted:
            return
        plain = [w for w in self.wanted if self.is_plain(w)]
        joins: list[str] = []
        if plain:
            yield from self._shared(plain, joins)
        for number, window in enumerate(self.wanted):
            if window not in plain:
                yield from self._own(number, window, joins)
        yield "sums", f"SELECT p.pid, {', '.join(self._differences(plain))} FROM p {' '.join(joins)}"

    def _shared(self, plain: Sequence[Window], joins: list[str]) -> Iterator[tuple[str, str]]:
        expressions = list(dict.fromkeys(what for w in plain for what in self.wanted[w]))
        yield "gone", self._running(expressions, self.axis.place("e"), "m IS NOT NULL")
        come = "gone"
        if self.survey.max_lag:
            come = "come"
            yield "come", self._running(expressions, self.axis.place("m"), "m IS NOT NULL")
        joins.append(f"ASOF LEFT JOIN {come} AS come ON p.k > come.k")
        for number, window in enumerate(self.wanted):
            if window in plain:
                joins.append(f"ASOF LEFT JOIN gone AS g{number} ON p.k - {window.over_us} > g{number}.k")

    def _own(self, number: int, window: Window, joins: list[str]) -> Iterator[tuple[str, str]]:
        expressions = list(self.wanted[window])
        until = f"least({window.expiry()}, s)"
        counts = f"m IS NOT NULL AND m < {until}"
        yield f"come{number}", self._running(expressions, self.axis.place("m"), counts)
        yield f"gone{number}", self._running(expressions, self.axis.place(until), counts)
        joins.append(f"ASOF LEFT JOIN come{number} AS c{number} ON p.k > c{number}.k")
        joins.append(f"ASOF LEFT JOIN gone{number} AS g{number} ON p.k > g{number}.k")

    def _running(self, expressions: Sequence[str], place: str, condition: str) -> str:
        sums = ", ".join(f"sum({what}) AS a{i}" for i, what in enumerate(expressions))
        running = ", ".join(
            f"{self.dialect.running.format(f'sum(a{i})')} AS a{i}" for i in range(len(expressions))
        )
        rows = f"SELECT {place} AS k, {sums} FROM r WHERE {condition} GROUP BY 1 ORDER BY 1"
        return f"SELECT k, {running} FROM ({rows})"

    def _differences(self, plain: Sequence[Window]) -> Iterator[str]:
        shared = list(dict.fromkeys(what for w in plain for what in self.wanted[w]))
        for number, window in enumerate(self.wanted):
            mine = shared if window in plain else list(self.wanted[window])
            come = "come" if window in plain else f"c{number}"
            for what, column in self.wanted[window].items():
                i = mine.index(what)
                yield f"coalesce({come}.a{i}, 0) - coalesce(g{number}.a{i}, 0) AS {column}"
