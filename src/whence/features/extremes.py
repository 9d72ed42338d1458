"""Windows of what cannot be subtracted: least, greatest, first; and sums of doubles of too wide a range.

Rows that come with the usual lag L after their event and are never retracted count at q iff
``q - w <= e <= q - L - 1``: a frame over the rows and the points in the order of time. The others, few as
a rule, are joined to the points by their own interval ``m < q <= x``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from whence.features.reading import Reading
from whence.features.survey import Survey
from whence.features.windows import Window


@dataclass
class _Frame:
    """Aggregates over one window of one set of rows."""

    window: Window
    rows: str
    wanted: dict[str, str] = field(default_factory=dict)
    """From aggregate and expression (``min|v0``) to column."""


@dataclass
class Extremes:
    """Collects the aggregates of a group, and writes the statement's parts."""

    survey: Survey
    reading: Reading
    order: str
    frames: list[_Frame] = field(default_factory=list)
    firsts: dict[tuple[str, str], int] = field(default_factory=dict)
    """From (condition, value) to the number of the ranking."""
    found: list[tuple[int, str, str]] = field(default_factory=list)
    """Looked-up first values: (ranking, rank expression, value)."""
    sums: dict[Window, dict[str, str]] = field(default_factory=dict)

    def want(self, window: Window, op: str, value: str, mask: str | None) -> str:
        """The column an aggregate comes out in."""
        condition = f"{mask} AND {value} IS NOT NULL" if mask else f"{value} IS NOT NULL"
        if op in ("min", "max"):
            return self._framed(window, "r", op, f"CASE WHEN {condition} THEN {value} END")
        if op == "first":
            return self._first(window, condition, value)
        return self._listed(window, op, f"CASE WHEN {condition} THEN {value} END")

    def _framed(self, window: Window, rows: str, op: str, value: str) -> str:
        number = next((i for i, f in enumerate(self.frames) if f.window == window and f.rows == rows), None)
        if number is None:
            number = len(self.frames)
            self.frames.append(_Frame(window, rows))
        wanted = self.frames[number].wanted
        column = wanted.setdefault(f"{op}|{value}", f"a{len(wanted)}")
        kept, rest = f"w{number}.{column}", f"i{number}.{column}"
        if not self._has_others():
            return kept
        return f"{'least' if op == 'min' else 'greatest'}(coalesce({kept}, {rest}), coalesce({rest}, {kept}))"

    def _first(self, window: Window, condition: str, value: str) -> str:
        ranking = self.firsts.setdefault((condition, value), len(self.firsts))
        rank = self._framed(window, f"first{ranking}", "min", "rho")
        entry = (ranking, rank, value)
        if entry not in self.found:
            self.found.append(entry)
        return f"y{self.found.index(entry)}.{value}"

    def _listed(self, window: Window, op: str, value: str) -> str:
        wanted = self.sums.setdefault(window, {})
        column = wanted.setdefault(value, f"d{len(wanted)}")
        values = f"u{[*self.sums].index(window)}.{column}"
        n, total = f"len({values})", f"list_sum({values})"
        if op == "sum":
            return f"CASE WHEN {n} > 0 THEN {total} END"
        if op == "mean":
            return f"CASE WHEN {n} > 0 THEN {total} / {n} END"
        squares = f"list_sum(list_transform({values}, lambda v: (v - {total} / {n}) * (v - {total} / {n})))"
        return f"CASE WHEN {n} > 1 THEN sqrt({squares} / ({n} - 1)) END"

    def _has_others(self) -> bool:
        late = self.survey.max_lag != self.survey.usual_lag
        return self.reading.then and (late or self.survey.has_corrections or self._odd_lags())

    def _odd_lags(self) -> bool:
        """Rows known before their event have a lag of 0, whatever the survey's usual lag is."""
        return self.survey.usual_lag > 0

    def parts(self) -> Iterator[tuple[str, str]]:
        for (condition, value), number in self.firsts.items():
            rows = f"SELECT * FROM r WHERE m IS NOT NULL AND ({condition}) ORDER BY code, {self.order}"
            dialect = self.reading.dialect
            yield (
                f"first{number}",
                f"SELECT {dialect.row_number} AS rho, code, e, m, s, {value} FROM ({rows})",
            )
        for number, frame in enumerate(self.frames):
            yield f"w{number}", self._frame(frame)
            if self._has_others():
                yield f"i{number}", self._others(frame)
        for number, (window, wanted) in enumerate(self.sums.items()):
            yield f"u{number}", self._lists(window, wanted)

    def _regular(self) -> str:
        return f"m - e = {self.survey.usual_lag} AND s IS NULL"

    def _frame(self, frame: _Frame) -> str:
        expressions = {key.partition("|")[2]: None for key in frame.wanted}
        names = {expression: f"b{i}" for i, expression in enumerate(expressions)}
        rows = ", ".join(f"{sql} AS {name}" for sql, name in names.items())
        nulls = ", ".join(f"NULL AS {name}" for name in names.values())
        aggregates = ", ".join(
            f"{key.partition('|')[0]}({names[key.partition('|')[2]]}) OVER frame AS {column}"
            for key, column in frame.wanted.items()
        )
        back = str(frame.window.over_us) if not frame.window.hop_us else f"t - {frame.window.start('t')}"
        union = (
            f"SELECT code, e AS t, CAST(NULL AS BIGINT) AS pid, {rows} FROM {frame.rows} WHERE {self._regular()}"
            f" UNION ALL SELECT code, q, pid, {nulls} FROM p"
        )
        bounds = f"RANGE BETWEEN {back} PRECEDING AND {self.survey.usual_lag + 1} PRECEDING"
        if frame.window.over_us < self.survey.usual_lag + 1:
            return f"SELECT pid, {', '.join(f'NULL AS {c}' for c in frame.wanted.values())} FROM p"
        inner = (
            f"SELECT pid, {aggregates} FROM ({union}) WINDOW frame AS (PARTITION BY code ORDER BY t {bounds})"
        )
        return f"SELECT * FROM ({inner}) WHERE pid IS NOT NULL"

    def _others(self, frame: _Frame) -> str:
        aggregates = ", ".join(
            f"{key.partition('|')[0]}({key.partition('|')[2]}) AS {column}"
            for key, column in frame.wanted.items()
        )
        rows = f"SELECT * FROM {frame.rows} WHERE m IS NOT NULL AND NOT coalesce({self._regular()}, FALSE)"
        return self._interval(frame.window, aggregates, rows)

    def _interval(self, window: Window, aggregates: str, rows: str) -> str:
        until = f"least({window.expiry('h.e')}, h.s)"
        return (
            f"SELECT p.pid, {aggregates} FROM p JOIN ({rows}) AS h"
            f" ON h.code = p.code AND h.m < p.q AND p.q <= {until} GROUP BY p.pid"
        )

    def _lists(self, window: Window, wanted: dict[str, str]) -> str:
        # sorted, so that the same values are added in the same order whatever the number of threads
        lists = ", ".join(
            f"list({sql} ORDER BY {sql}) FILTER (WHERE {sql} IS NOT NULL) AS {column}"
            for sql, column in wanted.items()
        )
        return self._interval(window, lists, "SELECT * FROM r WHERE m IS NOT NULL")

    def joins(self) -> Iterator[str]:
        for number in range(len(self.frames)):
            yield f"LEFT JOIN w{number} ON w{number}.pid = p.pid"
            if self._has_others():
                yield f"LEFT JOIN i{number} ON i{number}.pid = p.pid"
        for number in range(len(self.sums)):
            yield f"LEFT JOIN u{number} ON u{number}.pid = p.pid"
        for number, (ranking, rank, _) in enumerate(self.found):
            yield f"LEFT JOIN first{ranking} AS y{number} ON y{number}.rho = {rank}"
