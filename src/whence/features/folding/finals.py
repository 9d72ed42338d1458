"""From exact totals to a feature's value: the formulas of the compiler, in numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence.errors import UsageError
from whence.features.folding.growing import Bools
from whence.features.folding.terms import SAFE, Addend, Whole

_DECIMAL: Final = Context(prec=76)
_NORMAL: Final = 960
"""Bits within which no double is subnormal or infinite."""

_SMALL: Final = 10**10
"""So many units of so many rows as there can be fit 64 bits."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals of some points: of values that are not null, of what they add, of what is not finite."""

    n: Whole
    total: Whole
    squares: Whole | None = None
    odd: tuple[Whole, Whole, Whole] | None = None

    @property
    def n_finite(self) -> Whole:
        """How many values were added."""
        return self.n if self.odd is None else self.n - self.odd[0] - self.odd[1] - self.odd[2]


def count_of(n: Whole) -> pa.Array:
    """A count."""
    return pa.array(n.astype(np.int64, copy=False), pa.int64())


def sum_of(totals: Totals, addend: Addend, type_: pa.DataType, name: str) -> pa.Array:
    """A sum; null where there is no value.

    Raises:
        UsageError: A sum does not fit its type (``sum-overflow``).
    """
    empty = totals.n == 0
    if pa.types.is_floating(type_):
        return _nullable(_with_odd(_quotient(totals.total, addend.unit, addend), totals), empty)
    if pa.types.is_integer(type_) and totals.total.dtype == np.int64:
        return pa.array(totals.total, type_, mask=empty.astype(bool))
    values: list[Any] = [None if none else v for v, none in zip(totals.total.tolist(), empty, strict=True)]
    if pa.types.is_decimal(type_):
        unit = Decimal(addend.unit)
        values = [None if v is None else _DECIMAL.divide(Decimal(v), unit) for v in values]
    try:
        return pa.array(values, type_)
    except (pa.ArrowInvalid, OverflowError) as error:
        raise UsageError(
            f"a sum of feature {name} does not fit {type_}",
            code="sum-overflow",
            hint="take the mean, or divide the column by a power of ten before it is written",
        ) from error


def mean_of(totals: Totals, addend: Addend) -> pa.Array:
    """A mean; null where there is no value."""
    empty = totals.n == 0
    n = np.maximum(totals.n, 1).astype(np.int64, copy=False)
    if addend.binary:  # the sum is rounded once, then divided
        means = _quotient(totals.total, addend.unit, addend) / n.astype(np.float64)
    else:
        unit = addend.unit
        parts = n if unit == 1 else n * unit if unit < _SMALL else n.astype(object) * unit
        means = _doubles(totals.total) / _doubles(parts)
    return _nullable(_with_odd(means, totals), empty)


def std_of(totals: Totals, addend: Addend) -> pa.Array:
    """A sample standard deviation; null where there are less than two values."""
    few = totals.n < 2
    assert totals.squares is not None
    n, total, squares = np.where(few, 2, totals.n), totals.total, totals.squares
    if _larger(n) * max(_larger(squares), 1) >= SAFE or _larger(total) ** 2 >= SAFE:
        n, total, squares = n.astype(object), total.astype(object), squares.astype(object)
    above, below = np.where(few, 0, n * squares - total * total), n * (n - 1)
    if addend.binary:
        parts = zip(above.tolist(), below.tolist(), strict=True)
        means = (_divided(a, b * addend.unit * addend.unit) for a, b in parts)
        roots = np.sqrt(np.fromiter(means, dtype=np.float64, count=len(above)))
    else:
        roots = np.sqrt(_doubles(above) / _doubles(below)) / float(addend.unit)
    if totals.odd is not None:
        roots = np.where(totals.n_finite.astype(np.int64) < totals.n.astype(np.int64), np.nan, roots)
    return _nullable(roots, few)


def _nullable(values: Doubles, empty: Bools) -> pa.Array:
    if not empty.any():
        return pa.array(values, pa.float64())
    valid = pa.py_buffer(np.packbits(~empty, bitorder="little"))
    return pa.Array.from_buffers(pa.float64(), len(values), [valid, pa.py_buffer(values)])


def _larger(values: Whole) -> int:
    return max(abs(int(values.max())), abs(int(values.min()))) if len(values) else 0


def _doubles(values: Whole) -> Doubles:
    """The double nearest to each integer."""
    try:
        return values.astype(np.float64)
    except OverflowError:
        return np.fromiter((_double(v) for v in values), dtype=np.float64, count=len(values))


def _double(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return -math.inf if value < 0 else math.inf


def _quotient(values: Whole, unit: int, addend: Addend) -> Doubles:
    """The sums in ones."""
    if not addend.binary:
        return _doubles(values) / float(unit)
    if addend.shift < _NORMAL and _larger(values).bit_length() < _NORMAL:
        return _doubles(values) / float(unit)  # the division by a power of two is exact
    return np.fromiter((_divided(int(v), unit) for v in values), dtype=np.float64, count=len(values))


def _divided(value: int, unit: int) -> float:
    try:
        return value / unit
    except OverflowError:
        return -math.inf if value < 0 else math.inf


def _with_odd(values: Doubles, totals: Totals) -> Doubles:
    """With NaN or infinities among them: what IEEE 754 makes of it."""
    if totals.odd is None:
        return values
    nan, up, down = (part.astype(np.int64) > 0 for part in totals.odd)
    values = np.where(up, np.inf, np.where(down, -np.inf, values))
    return np.where(nan | (up & down), np.nan, values)
