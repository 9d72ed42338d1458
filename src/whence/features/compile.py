"""From declarations to one SQL statement a group, for the dialect of an engine.

The statement reads three relations: ``src`` (the source's rows), ``join_keys`` (``code`` and the key's
columns ``k0``, ``k1``, …: the keys the spine asks for) and ``points`` (``pid``, ``code``, ``q``: the distinct
moments of each key, in microseconds). It gives one row per point, ordered by ``pid``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import pyarrow as pa

from whence.errors import UsageError
from whence.features.dialect import Dialect, from_source
from whence.features.duration import microseconds
from whence.features.extremes import Extremes
from whence.features.finish import Finish, HalvedStd, WholeSum
from whence.features.lookups import Lookups
from whence.features.reading import Reading
from whence.features.source import Group
from whence.features.survey import Addend, Survey, fits, half_bits, halves_fit
from whence.features.types import Aggregation, FeatureView
from whence.features.where import where_sql
from whence.features.windows import Axis, Totals, Window

INT_BITS: Final = 62
"""Bits that surely fit a 64-bit integer."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The spine's moments and keys: the first and last moment in microseconds, the number of keys."""

    first: int
    last: int
    n_keys: int


@dataclass(frozen=True, slots=True)
class Output:
    """Where one feature comes out: its columns in the statement's result, and what makes one of them."""

    view: FeatureView
    feature: Aggregation
    columns: tuple[str, ...]
    type: pa.DataType
    finish: Finish | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """The statement of a group.

    Attributes:
        sql: The text.
        outputs: The features it gives.
        expired: By view, the column that says whether the newest row was too old.
    """

    sql: str
    outputs: tuple[Output, ...]
    expired: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Expression:
    sql: list[str]
    finish: Finish | None = None


def compile_group(group: Group, survey: Survey, bounds: Bounds, dialect: Dialect) -> Statement:
    """The statement that computes all features of a group at all points.

    Raises:
        UsageError: An exact sum would need more than 128 bits (``sum-range``).
    """
    return _Compiler(group, survey, bounds, dialect).statement()


@dataclass
class _Compiler:
    group: Group
    survey: Survey
    bounds: Bounds
    dialect: Dialect
    values: dict[str, str] = field(default_factory=dict)
    """Columns of ``r`` besides the moments: from expression over the source to name."""

    def __post_init__(self) -> None:
        self.reading = Reading(self.group, self.dialect, self.bounds.first)
        longest = max((_reach(v) for v in self.group.views), default=0)
        axis = Axis(self.bounds.first - longest - 1, self.bounds.last, self.bounds.n_keys, self.dialect.big)
        self.totals = Totals(axis, self.dialect, self.survey, self._retracts)
        self.horizon = self._horizon()
        self.lookups = Lookups(self.reading, axis, self.survey)
        self.extremes = Extremes(self.survey, self.reading, self.lookups.order())

    def _horizon(self) -> int | None:
        """No older event matters, whatever is asked; None: every row may."""
        for view in self.group.views:
            if view.timestamp is None or (view.ttl is None and any(f.over is None for f in view.features)):
                return None
        return self.bounds.first - max(_reach(view) for view in self.group.views)

    def statement(self) -> Statement:
        outputs: list[Output] = []
        chosen: list[str] = []
        expired: dict[str, str] = {}
        for view in self.group.views:
            for feature in view.features:
                expression = self._feature(view, feature)
                names = tuple(f"f{len(outputs)}_{i}" for i in range(len(expression.sql)))
                chosen += [f"{sql} AS {name}" for sql, name in zip(expression.sql, names, strict=True)]
                type_ = result_type(feature, self.group.source.schema)
                outputs.append(Output(view, feature, names, type_, expression.finish))
        for view in self.group.views:
            if view.ttl is not None and any(f.over is None for f in view.features):
                expired[view.name] = f"x{len(expired)}"
        chosen += [f"{self._expired(view)} AS {expired[view.name]}" for view in self._views(expired)]
        ctes = [*self._rows(), *self.totals.parts(), *self.lookups.parts(), *self.extremes.parts()]
        joins = " ".join(self._joins())
        head = ",\n".join(f"{name} AS {self.dialect.materialized} ({sql})" for name, sql in ctes)
        sql = (
            f"WITH {head}\nSELECT p.pid, seen.code IS NOT NULL AS known_key, {', '.join(chosen)}\n"
            f"FROM p LEFT JOIN seen ON seen.code = p.code {joins}\nORDER BY p.pid"
        )
        return Statement(sql, tuple(outputs), expired)

    def _views(self, names: dict[str, str]) -> Iterator[FeatureView]:
        return (view for view in self.group.views if view.name in names)

    # --- rows ------------------------------------------------------------------------------------

    def _rows(self) -> Iterator[tuple[str, str]]:
        """``r``: the rows of the asked keys with their moments; ``p``: the points; ``seen``: known keys."""
        columns = ["j.code", "raw.e", "raw.kn", f"{self._usable('raw.')} AS m"]
        columns.append("raw.s" if self._retracts else "CAST(NULL AS BIGINT) AS s")
        columns += [f"raw.{name}" for name in [*self.values.values(), *self._ranking()]]
        keys = " AND ".join(f"raw.j{i} = j.k{i}" for i in range(len(self.group.keys))) or "TRUE"
        near = (
            "" if self.horizon is None else f" WHERE raw.e >= {self.horizon} AND raw.e <= {self.bounds.last}"
        )
        yield (
            "r",
            f"SELECT {', '.join(columns)} FROM ({self._raw()}) AS raw JOIN join_keys AS j ON {keys}{near}",
        )
        yield "seen", self._seen(keys)
        yield "p", f"SELECT pid, code, q, {self.totals.axis.place('q')} AS k FROM points"

    def _usable(self, prefix: str = "") -> str:
        """``m``: the moment from which a row is usable."""
        e, kn = f"{prefix}e", f"{prefix}kn"
        return f"CASE WHEN {e} IS NOT NULL THEN greatest({e}, {kn}) END" if self.reading.then else e

    def _seen(self, keys: str) -> str:
        """The keys the source has at all, and from when on."""
        if self.horizon is None:
            return "SELECT code, min(m) AS since FROM r GROUP BY code"
        columns = [f"{from_source(key)} AS j{i}" for i, (key, _) in enumerate(self.group.keys)]
        rows = (
            f"SELECT {', '.join([self.reading.moments(), *columns])} FROM src WHERE {self.reading.condition}"
        )
        return f"SELECT j.code, min({self._usable('raw.')}) AS since FROM ({rows}) AS raw JOIN join_keys AS j ON {keys} GROUP BY 1"

    @property
    def _retracts(self) -> bool:
        """Whether rows are taken back at some moment; where now counts, they are gone from the start."""
        return self.survey.has_corrections and self.reading.then

    def _ranking(self) -> list[str]:
        """The columns of ``raw`` that only ranking needs."""
        columns = [f"c{i}" for i in range(len(self.lookups.content()))]
        return columns + ([f"steady{i}" for i in range(len(self.lookups.wanted))] if self._retracts else [])

    def _raw(self) -> str:
        """The source's rows: join key, moments, values; of corrections only what counts at some time."""
        reading = self.reading
        columns = [reading.moments()]
        columns += [f"{from_source(key)} AS j{i}" for i, (key, _) in enumerate(self.group.keys)]
        columns += [f"{sql} AS {name}" for sql, name in self.values.items()]
        columns += [f"{sql} AS c{i}" for i, sql in enumerate(self.lookups.content())]
        if not self.survey.has_corrections:
            return f"SELECT {', '.join(columns)} FROM src WHERE {reading.condition}{self._near()}"
        columns += [f"{from_source(key)} AS d{i}" for i, key in enumerate(self.group.source.key)]
        if self.survey.corrections_tie:
            content = ", ".join(f"{sql} NULLS FIRST" for sql in reading.content())
            columns.append(f"row_number() OVER (ORDER BY {content}) AS content")
        return self._corrected(f"SELECT {', '.join(columns)} FROM src WHERE {reading.condition}")

    def _near(self) -> str:
        """The horizon as a condition on the source's own column, for which files can be left out."""
        column = self.group.timestamp
        if (
            self.horizon is None
            or column is None
            or pa.types.is_date(self.group.source.schema.field(column).type)
        ):
            return ""
        since = self.dialect.instant.format(self.horizon)
        until = self.dialect.instant.format(self.bounds.last)
        return f" AND {from_source(column)} BETWEEN {since} AND {until}"

    def _corrected(self, rows: str) -> str:
        """The rows with the moment each is retracted, or only the rows of the final state."""
        names = [f"d{i}" for i in range(len(self.group.source.key))]
        has_key = " AND ".join(f"{name} IS NOT NULL" for name in names)
        same = f"PARTITION BY {', '.join(names)}"
        order = "kn, content" if self.survey.corrections_tie else "kn"
        newer = f"lead(kn) OVER ({same} ORDER BY {order})"
        if not self.reading.then:
            inner = f"SELECT *, {newer} AS newer FROM ({rows})"
            return f"SELECT * FROM ({inner}) WHERE newer IS NULL OR NOT ({has_key})"
        columns = [f"CASE WHEN {has_key} THEN {newer} END AS s"]
        for i, lookup in enumerate(self.lookups.wanted):
            columns.append(f"{self._steady(same, lookup.condition)} AS steady{i}")
        return f"SELECT *, {', '.join(columns)} FROM ({rows})"

    def _steady(self, same: str, condition: str) -> str:
        """Whether all rows of a declared key have one join key and one event time, and are looked up."""
        tests = [f"bool_and({condition}) OVER ({same})"]
        for c in ["e", *(f"j{i}" for i in range(len(self.group.keys)))]:
            tests.append(f"min({c}) OVER ({same}) = max({c}) OVER ({same})")
            tests.append(f"count({c}) OVER ({same}) = count(*) OVER ({same})")
        return f"coalesce({' AND '.join(tests)}, FALSE)"

    def value(self, sql: str) -> str:
        """The name of an expression over the source as a column of ``r``."""
        return self.values.setdefault(sql, f"v{len(self.values)}")

    def mask(self, where: str | None) -> str | None:
        """The name of a condition as a column of ``r``; it is never null."""
        if where is None:
            return None
        return self.value(f"coalesce({where_sql(where, self.dialect.name, prefix='src')}, FALSE)")

    # --- features --------------------------------------------------------------------------------

    def _feature(self, view: FeatureView, feature: Aggregation) -> _Expression:
        """The SQL of a feature's final value."""
        mask = self.mask(feature.where)
        if feature.over is None:
            return _Expression([self._lookup(view, feature, mask)])
        window = Window(microseconds(feature.over), _hop(view))
        if feature.op == "count":
            return _Expression([f"CAST(coalesce({self._count(window, feature.column, mask)}, 0) AS BIGINT)"])
        if feature.op in ("sum", "mean", "std"):
            return self._sum(window, feature, mask)
        value = self.value(self._plain(str(feature.column)))
        if feature.op == "last":
            return _Expression([self.lookups.newest_in(window, value, mask)])
        return _Expression([self.extremes.want(window, feature.op, value, mask)])

    def _plain(self, column: str) -> str:
        """A column as it is compared: -0 is 0."""
        if pa.types.is_floating(self.group.source.schema.field(column).type):
            return f"CASE WHEN {from_source(column)} = 0 THEN 0 ELSE {from_source(column)} END"
        return from_source(column)

    def _lookup(self, view: FeatureView, feature: Aggregation, mask: str | None) -> str:
        found = self.lookups.newest(self.value(from_source(str(feature.column))), mask)
        if view.ttl is None:
            return found.value
        return f"CASE WHEN p.q - {found.event} <= {microseconds(view.ttl)} THEN {found.value} END"

    def _expired(self, view: FeatureView) -> str:
        """Whether some row was known, but none is young enough."""
        assert view.ttl is not None
        events = {
            self.lookups.newest(None, self.mask(f.where)).event for f in view.features if f.over is None
        }
        limit = microseconds(view.ttl)
        return " OR ".join(f"coalesce(p.q - {e} > {limit}, seen.since <= p.q, FALSE)" for e in sorted(events))

    def _count(self, window: Window, column: str | None, mask: str | None) -> str:
        present = None
        if column is not None and self.survey.has_nulls(column):
            present = f"{self.value(from_source(column))} IS NOT NULL"
        tests = [test for test in (mask, present) if test]
        what = f"CASE WHEN {' AND '.join(tests)} THEN 1 ELSE 0 END" if tests else "1"
        return f"sums.{self.totals.want(window, what)}"

    def _sum(self, window: Window, feature: Aggregation, mask: str | None) -> _Expression:
        addend = self.survey.addends[str(feature.column), feature.scale]
        if feature.op == "std":
            return self._std(window, addend, mask)
        if not fits(addend, self.survey):
            return self._of_doubles(window, feature, addend, mask)
        n, total = self._count(window, feature.column, mask), self._total(window, addend, mask)
        if feature.op == "mean":
            return _Expression([f"CASE WHEN {n} > 0 THEN {self._quotient(total, n, addend)} END"])
        return self._finished_sum(total, n, feature, addend)

    def _total(self, window: Window, addend: Addend, mask: str | None, *, what: str = "{0}") -> str:
        """The column of an exact sum of an expression over the addend's integer ``{0}``."""
        value = self.value(addend.sql)
        tests = [test for test in (mask, f"{value} IS NOT NULL" if addend.n_null else None) if test]
        term = what.format(f"({value} - ({addend.centre}))" if addend.centre and what != "{0}" else value)
        if tests:
            term = f"CASE WHEN {' AND '.join(tests)} THEN {term} ELSE 0 END"
        return f"sums.{self.totals.want(window, term)}"

    def _finished_sum(self, total: str, n: str, feature: Aggregation, addend: Addend) -> _Expression:
        type_ = result_type(feature, self.group.source.schema)
        if pa.types.is_floating(type_):
            unit = "" if addend.unit == 1 else f" / {float(addend.unit)!r}"
            return _Expression([f"CASE WHEN {n} > 0 THEN {self._double(total)}{unit} END"])
        if pa.types.is_integer(type_) and addend.bits + self.survey.count_bits <= INT_BITS:
            return _Expression([f"CASE WHEN {n} > 0 THEN CAST({total} AS BIGINT) END"])
        return _Expression([f"CASE WHEN {n} > 0 THEN CAST({total} AS VARCHAR) END"], WholeSum(addend.unit))

    def _quotient(self, total: str, n: str, addend: Addend) -> str:
        if not addend.binary:
            return f"({self._double(total)} / CAST({n} * {addend.unit} AS DOUBLE))"
        # a shifted double: the division by a power of two is exact, the sum is rounded once
        return f"({self._double(total)} / {float(addend.unit)!r} / CAST({n} AS DOUBLE))"

    def _std(self, window: Window, addend: Addend, mask: str | None) -> _Expression:
        if not (fits(addend, self.survey, squared=True) or halves_fit(addend, self.survey)):
            return self._of_doubles(window, Aggregation("std", addend.column, timedelta(1)), addend, mask)
        n = self._count(window, addend.column, mask)
        if addend.binary or not fits(addend, self.survey, squared=True):
            return self._halved_std(window, addend, n, mask)
        # "0 +" keeps the centred sum apart from the plain one
        total = self._total(window, addend, mask, what="0 + {0}" if addend.centre else "{0}")
        squares = self._total(window, addend, mask, what="{0} * {0}")
        above = self._double(f"({n} * {squares} - {total} * {total})")
        below = self._double(f"({n} * ({n} - 1))")
        unit = "" if addend.unit == 1 else f" / {float(addend.unit)!r}"
        return _Expression([f"CASE WHEN {n} > 1 THEN sqrt({above} / {below}){unit} END"])

    def _halved_std(self, window: Window, addend: Addend, n: str, mask: str | None) -> _Expression:
        bits = half_bits(addend)
        big, half = self.dialect.big, 1 << bits
        low = f"((({{0}} % {half}) + {half}) % {half})"
        high = f"(CAST({{0}} - {low} AS {big}) // {half})"
        sums = {
            name: self._total(window, addend, mask, what=what)
            for name, what in {
                "h": high, "l": low, "hh": f"{high} * {high}", "hl": f"{high} * {low}", "ll": f"{low} * {low}"
            }.items()
        }  # fmt: skip
        parts = [
            f"{n} * {sums['hh']} - {sums['h']} * {sums['h']}",
            f"{n} * {sums['hl']} - {sums['h']} * {sums['l']}",
            f"{n} * {sums['ll']} - {sums['l']} * {sums['l']}",
        ]
        columns = [f"CAST({n} AS BIGINT)", *(f"CAST({part} AS VARCHAR)" for part in parts)]
        return _Expression(columns, HalvedStd(bits, addend.unit))

    def _double(self, integer: str) -> str:
        return f"({self.dialect.wide_to_double.format(integer)})"

    def _of_doubles(
        self, window: Window, feature: Aggregation, addend: Addend, mask: str | None
    ) -> _Expression:
        """Sums of doubles, where their range is too wide for exact integers."""
        if addend.exact and not addend.binary:
            raise UsageError(
                f"the {feature.op} of {feature.column!r} over {self.group.source.ref} needs more than 128 bits",
                code="sum-range",
                hint="divide the column by a power of ten before it is written",
            )
        value = self.value(f"CAST({from_source(addend.column)} AS DOUBLE)")
        return _Expression([self.extremes.want(window, feature.op, value, mask)])

    def _joins(self) -> Iterator[str]:
        if self.totals.wanted:
            yield "JOIN sums ON sums.pid = p.pid"
        yield from self.lookups.joins()
        yield from self.extremes.joins()


def _reach(view: FeatureView) -> int:
    """How far back a view looks."""
    longest = max((microseconds(f.over) for f in view.features if f.over is not None), default=0)
    return max(longest + _hop(view), 0 if view.ttl is None else microseconds(view.ttl))


def _hop(view: FeatureView) -> int:
    return 0 if view.hop is None else microseconds(view.hop)


def result_type(feature: Aggregation, schema: pa.Schema) -> pa.DataType:
    """The type of a feature's column."""
    if feature.op == "count":
        return pa.int64()
    type_ = schema.field(str(feature.column)).type
    if feature.op in ("mean", "std"):
        return pa.float64()
    if feature.op != "sum":
        return type_
    if pa.types.is_floating(type_):
        return pa.float64()
    return pa.decimal128(38, type_.scale) if pa.types.is_decimal(type_) else pa.int64()
