"""What must be known of the rows before a statement is chosen for them.

Every choice gives the same values; the survey finds the quick one. Whether there are corrections, how late
rows come, how large the numbers are: a handful of aggregates, one scan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Final, TypeAlias

import pyarrow as pa

from whence.errors import DataRejectedError
from whence.features.dialect import from_source
from whence.features.reading import Reading
from whence.features.types import NUMERIC, FeatureView

SHIFTS: Final = tuple(range(0, 97, 6))
"""Powers of two by which a column of doubles is tried as integers."""

MAX_BITS: Final = 125
"""Bits an exact sum may have: a signed 128-bit integer, with room."""


@dataclass(frozen=True, slots=True)
class Addend:
    """A column as integers that are added exactly.

    Attributes:
        column: The source's column.
        scale: The declared decimals; None when not declared.
        sql: The integer a row adds; null where the column is.
        unit: How many of the integer's units make one: a power of ten, or of two for doubles without scale.
        bits: How many bits the largest value has.
        exact: False when the range of the doubles is too wide; then sums are of doubles.
        centre: An integer to take off before squaring; 0 unless the squares would get too large.
        spread_bits: How many bits the largest value has when the centre is taken off.
        binary: Whether the unit is a power of two.
        n_null: In how many rows the column is null.
    """

    column: str
    scale: int | None
    sql: str
    unit: int
    bits: int
    exact: bool = True
    centre: int = 0
    spread_bits: int = 0
    n_null: int = 0
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """What the rows of a group are like.

    Attributes:
        n_rows: How many are read.
        max_lag: The most a row came after its event, in microseconds.
        usual_lag: What most rows came after theirs.
        has_corrections: Whether some declared key has several rows.
        corrections_tie: Whether two rows of one key became known at the same moment.
        rows_tie: Whether two rows of one join key share event and knowledge time.
        addends: By (column, scale).
    """

    n_rows: int
    max_lag: int
    usual_lag: int
    has_corrections: bool
    corrections_tie: bool
    rows_tie: bool
    addends: dict[tuple[str, int | None], Addend] = field(default_factory=dict)

    @property
    def count_bits(self) -> int:
        """Bits of the number of rows."""
        return max(1, self.n_rows.bit_length())

    def has_nulls(self, column: str) -> bool:
        """Whether a column may be null; a column that was not looked at may."""
        known = [addend.n_null for (name, _), addend in self.addends.items() if name == column]
        return not known or known[0] > 0


Ask: TypeAlias = Callable[[str], pa.Table]
"""Runs a query over ``src``."""


def survey(reading: Reading, ask: Ask, views: Sequence[FeatureView]) -> Survey:
    """Look at the rows of a group.

    Args:
        reading: How they are read.
        ask: Runs a query over them; the same text may be answered from memory.
        views: All views that read the source by this timestamp: what is asked is then the same for all groups.

    Raises:
        DataRejectedError: A column with a declared scale holds NaN or an infinity (``not-finite``).
    """
    group = reading.group
    numbers = _numbers(views)
    lag = f"({reading.known} - {reading.event})"
    parts = ["count(*) AS n", f"max({lag}) AS max_lag"]
    parts.append(f"mode({lag}) AS usual_lag" if _wants_lag(views) else "0 AS usual_lag")
    for i, (column, _) in enumerate(numbers):
        parts.append(f"count(*) - count({from_source(column)}) AS null{i}")
        parts += _number_sql(i, column, group.source.schema.field(column).type)
    row = ask(f"SELECT {', '.join(parts)} FROM src WHERE {reading.condition}").to_pylist()[0]
    key = [from_source(column) for column in group.source.key]
    has_key = " AND ".join(f"{column} IS NOT NULL" for column in key)
    moment = [*(from_source(column) for column, _ in group.keys), reading.event, reading.known]
    corrections = bool(key) and _repeats(reading, ask, key, has_key)
    return Survey(
        n_rows=row["n"],
        max_lag=max(0, row["max_lag"] or 0) if reading.then else 0,
        usual_lag=max(0, row["usual_lag"] or 0) if reading.then else 0,
        has_corrections=corrections,
        corrections_tie=corrections and _repeats(reading, ask, [*key, reading.known], has_key),
        rows_tie=_wants_order(group.views) and _repeats(reading, ask, moment, "TRUE"),
        addends={
            name: replace(_addend(i, *name, row, reading), n_null=row[f"null{i}"])
            for i, name in enumerate(numbers)
        },
    )


def _numbers(views: Sequence[FeatureView]) -> list[tuple[str, int | None]]:
    features = (f for view in views for f in view.features if f.op in NUMERIC and f.column is not None)
    return list(dict.fromkeys((str(f.column), f.scale) for f in features))


def _wants_order(views: Sequence[FeatureView]) -> bool:
    return any(f.op in ("first", "last") for view in views for f in view.features)


def _wants_lag(views: Sequence[FeatureView]) -> bool:
    return any(f.op in ("min", "max", "first") for view in views for f in view.features)


def _repeats(reading: Reading, ask: Ask, what: Sequence[str], condition: str) -> bool:
    columns = ", ".join(f"{sql} AS c{i}" for i, sql in enumerate(what))
    inner = f"SELECT {columns} FROM src WHERE {reading.condition} AND {condition}"
    groups = ", ".join(f"c{i}" for i in range(len(what)))
    return bool(
        ask(f"SELECT 1 AS found FROM ({inner}) GROUP BY {groups} HAVING count(*) > 1 LIMIT 1").num_rows
    )


def _number_sql(i: int, column: str, type_: pa.DataType) -> list[str]:
    """Range of a column; for doubles also what is not finite, and which shifts make integers of all."""
    if not pa.types.is_floating(type_):
        value = f"CAST({from_source(column)} AS {'INTEGER' if pa.types.is_boolean(type_) else _wide(type_)})"
        return [f"min({value}) AS lo{i}", f"max({value}) AS hi{i}"]
    value = f"CAST({from_source(column)} AS DOUBLE)"
    finite = f"FILTER (WHERE isfinite({value}))"
    parts = [
        f"min({value}) {finite} AS lo{i}",
        f"max({value}) {finite} AS hi{i}",
        f"count({value}) FILTER (WHERE NOT isfinite({value})) AS odd{i}",
    ]
    for shift in SHIFTS:
        whole = f"{value} * {2.0**shift!r}"
        parts.append(f"bool_and(trunc({whole}) = {whole}) {finite} AS whole{i}_{shift}")
    return parts


def _wide(type_: pa.DataType) -> str:
    return f"DECIMAL({type_.precision}, {type_.scale})" if pa.types.is_decimal(type_) else "BIGINT"


def _addend(i: int, column: str, scale: int | None, row: dict[str, Any], reading: Reading) -> Addend:
    type_ = reading.group.source.schema.field(column).type
    lo, hi = row[f"lo{i}"] or 0, row[f"hi{i}"] or 0
    big = reading.dialect.big
    if pa.types.is_floating(type_):
        return _float_addend(i, column, scale, row, reading)
    if pa.types.is_decimal(type_):
        # a declared scale is kept by the type itself; decimals are exact anyhow
        factor = 10**type_.scale
        # the text without its point: a product could need more digits than a decimal has
        sql = f"CAST(replace(CAST({from_source(column)} AS VARCHAR), '.', '') AS {big})"
        if type_.precision + type_.scale <= 18:
            sql = f"CAST({from_source(column)} * {factor} AS {big})"
        return _exact(column, scale, sql, factor, int(Fraction(lo) * factor), int(Fraction(hi) * factor), big)
    whole = "INTEGER" if pa.types.is_boolean(type_) else "BIGINT"
    return _exact(
        column, scale, f"CAST(CAST({from_source(column)} AS {whole}) AS {big})", 1, int(lo), int(hi), big
    )


def _float_addend(i: int, column: str, scale: int | None, row: dict[str, Any], reading: Reading) -> Addend:
    least, most = Fraction(row[f"lo{i}"] or 0), Fraction(row[f"hi{i}"] or 0)
    value, big = f"CAST({from_source(column)} AS DOUBLE)", reading.dialect.big
    if scale is not None:
        if row[f"odd{i}"]:
            raise DataRejectedError(
                f"column {column!r} of {reading.group.source.ref} holds {row[f'odd{i}']} values that are not finite,"
                " which have no scale",
                code="not-finite",
                hint="leave them out with where=, or declare the feature without scale",
            )
        factor = 10**scale
        # `round` is half away from zero, as in C
        sql = f"CAST(round({value} * {float(factor)!r}) AS {big})"
        lo, hi = math.floor(least * factor), math.ceil(most * factor)
        return _exact(column, scale, sql, factor, lo, hi, big)
    shift = next((s for s in SHIFTS if row[f"whole{i}_{s}"] is not False), None)
    if shift is None or row[f"odd{i}"]:
        return Addend(column, scale, value, 1, 0, exact=False)
    factor = 1 << shift
    sql = f"CAST({value} * {float(factor)!r} AS {big})"
    lo, hi = int(least * factor), int(most * factor)
    return replace(_exact(column, scale, sql, factor, lo, hi, big), binary=True)


def _exact(column: str, scale: int | None, sql: str, unit: int, lo: int, hi: int, big: str) -> Addend:
    bits = max(abs(lo), abs(hi)).bit_length() + 1
    if bits <= 31:  # the square of such a value needs no more than 64 bits
        sql = sql.replace(f" AS {big})", " AS BIGINT)")
    centre = 0 if bits <= 40 else (lo + hi) // 2
    spread = max(abs(lo - centre), abs(hi - centre)).bit_length() + 1
    return Addend(column, scale, sql, unit, bits, True, centre, spread)


def half_bits(addend: Addend) -> int:
    """Where the values of a wide addend are cut in two for their squares."""
    return (addend.spread_bits + 1) // 2


def halves_fit(addend: Addend, survey_: Survey) -> bool:
    """Whether the squares fit when the values are cut in two."""
    return (
        addend.exact
        and addend.bits < MAX_BITS
        and 2 * (half_bits(addend) + survey_.count_bits) + 2 <= MAX_BITS
    )


def fits(addend: Addend, survey_: Survey, *, squared: bool = False) -> bool:
    """Whether sums (or n Σv² - (Σv)²) of the addend stay within 128 bits."""
    if not addend.exact or addend.bits >= MAX_BITS:
        return False
    if squared:
        return 2 * (addend.spread_bits + survey_.count_bits) + 2 <= MAX_BITS
    return addend.bits + survey_.count_bits <= MAX_BITS
