"""What a row adds to a window, as integers: the same exact sums as in SQL, without a survey of all rows.

Integers are kept in 64 bits while every sum of the rows at hand surely fits, else as Python's integers of any
size. Doubles without a scale are integers in units of a power of two, which shrinks when a finer value comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence.errors import DataRejectedError
from whence.features.folding.growing import Bools, Growing, Ints
from whence.features.source import Source

Kind: TypeAlias = Literal["rows", "count", "sum", "squares", "nan", "up", "down"]
"""Rows; values that are not null; their sum; the sum of their squares; NaN, +inf and -inf among them."""

Whole: TypeAlias = npt.NDArray[Any]
"""Integers: int64, or objects where they may be larger."""

SAFE: Final = 2**62
ODD: Final[tuple[Kind, ...]] = ("nan", "up", "down")


@dataclass(frozen=True, slots=True)
class TermKey:
    """What is added up: of which column, with which scale, under which condition."""

    kind: Kind
    column: str | None = None
    scale: int | None = None
    where: str | None = None


@dataclass
class Term:
    """The values of one term row by row, and its totals by place (a list of join keys), window and key."""

    key: TermKey
    values: Growing = field(default_factory=lambda: Growing(np.int64))
    totals: dict[int, Whole] = field(default_factory=dict)
    largest: int = 0
    ones: bool = field(init=False)
    """Every row adds 1: all such terms of one list of join keys have the same totals."""

    def __post_init__(self) -> None:
        self.ones = self.key.kind in ("rows", "count")

    @property
    def power(self) -> int:
        """The power of the unit the values are in."""
        return {"sum": 1, "squares": 2}.get(self.key.kind, 0)

    def add(self, values: Whole) -> None:
        """Add the values of new rows."""
        self.ones = self.ones and bool((values == 1).all())
        if len(values):
            self.largest = max(self.largest, _largest(values))
        self._make_room(len(self.values) + len(values))
        self.values.add(values)

    def scale_up(self, bits: int) -> None:
        """Express everything in a unit that is smaller by 2^bits."""
        factor = 1 << (bits * self.power)
        self.largest *= factor
        self._make_room(len(self.values))
        if self.dtype == np.int64:
            if factor >= SAFE:
                return  # all values are 0, as `largest` is
            factor = int(factor)
        self.values = Growing(self.dtype, self.values.values * factor)
        self.totals = {place: totals * factor for place, totals in self.totals.items()}

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of values and totals."""
        return self.values.values.dtype

    def total(self, place: int, n_spans: int, n_keys: int) -> Whole:
        """The totals of a place: a row a window, at least one column a key."""
        have = self.totals.get(place)
        if have is None or have.shape[1] < n_keys:
            room = max(n_keys, 64) if have is None else max(n_keys, 2 * have.shape[1])
            grown = np.zeros((n_spans, room), dtype=self.dtype)
            if have is not None:
                grown[:, : have.shape[1]] = have
            self.totals[place] = have = grown
        return have

    def _make_room(self, n: int) -> None:
        if self.largest * max(n, 1) < SAFE or self.dtype == object:
            return
        self.values = Growing(object, self.values.values.astype(object))
        self.totals = {place: totals.astype(object) for place, totals in self.totals.items()}

    @property
    def nbytes(self) -> int:
        """The memory it holds, Python's own integers aside."""
        return self.values.nbytes + sum(total.nbytes for total in self.totals.values())


def _largest(values: Whole) -> int:
    return max(int(values.max()), -int(values.min()))


class Addend:
    """A column as integers.

    Attributes:
        column: The source's column.
        scale: The declared decimals; None when not declared.
        unit: How many of the integer's units make one.
        binary: Whether the unit is a power of two.
    """

    def __init__(self, column: str, scale: int | None, source: Source) -> None:
        self.column = column
        self.type = source.schema.field(column).type
        self.scale = scale if pa.types.is_floating(self.type) else None
        self.ref = source.ref
        self.binary = bool(pa.types.is_floating(self.type)) and self.scale is None
        self.shift = 0

    @property
    def unit(self) -> int:
        """How many of the integer's units make one."""
        if self.binary:
            return 1 << self.shift
        if self.scale is not None:
            return int(10**self.scale)
        return int(10**self.type.scale) if pa.types.is_decimal(self.type) else 1

    def integers(self, values: pa.ChunkedArray) -> Whole:
        """The integers of values, in units of at least the present fineness; 0 for null and what is not finite.

        Raises:
            DataRejectedError: A value with a declared scale is NaN or infinite (``not-finite``).
        """
        if pa.types.is_decimal(self.type):
            return _small([_unscaled(v, self.type.scale) for v in values.to_pylist()])
        if not pa.types.is_floating(self.type):
            return np.asarray(pc.fill_null(values.cast(pa.int64()), 0).to_numpy())
        doubles = doubles_of(values)
        finite = np.where(np.isfinite(doubles), doubles, 0.0)
        if self.scale is None:
            self.shift = max(self.shift, _shift_of(finite))
            return _times_power(finite, self.shift)
        n_odd = int(np.count_nonzero(~np.isfinite(doubles)))
        if n_odd:
            raise DataRejectedError(
                f"column {self.column!r} of {self.ref} holds {n_odd} values that are not finite,"
                " which have no scale",
                code="not-finite",
                hint="leave them out with where=, or declare the feature without scale",
            )
        return _rounded(finite * float(10**self.scale))


def doubles_of(values: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """A column as doubles; 0 for null."""
    return np.asarray(pc.fill_null(values.cast(pa.float64()), 0.0).to_numpy())


def odd_of(kind: Kind, doubles: npt.NDArray[np.float64]) -> Bools:
    """Which doubles are NaN, +inf or -inf."""
    if kind == "nan":
        return np.isnan(doubles)
    return np.asarray(doubles == (np.inf if kind == "up" else -np.inf))


def term_values(key: TermKey, counts: Bools, integers: Whole | None, doubles: Any) -> Whole:
    """What rows add to a term; 0 where they do not count."""
    if key.kind in ("rows", "count"):
        return counts.astype(np.int64)
    if key.kind in ODD:
        return (counts & odd_of(key.kind, doubles)).astype(np.int64)
    assert integers is not None
    values = integers if key.kind == "sum" else _squares(integers)
    return np.where(counts, values, 0)


def _squares(values: Whole) -> Whole:
    if values.dtype == np.int64 and len(values) and _largest(values) ** 2 >= SAFE:
        values = values.astype(object)
    return values * values


def _small(values: list[int]) -> Whole:
    """Integers in 64 bits where they fit."""
    if all(-SAFE < v < SAFE for v in values):
        return np.array(values, dtype=np.int64)
    return np.array(values, dtype=object)


def _unscaled(value: Decimal | None, scale: int) -> int:
    if value is None:
        return 0
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    whole = int("".join(map(str, digits))) * int(10 ** (exponent + scale))
    return -whole if sign else whole


def _shift_of(values: npt.NDArray[np.float64]) -> int:
    """The least power of two by which all doubles become integers."""
    mantissa, exponent = np.frexp(values[values != 0])
    if not len(mantissa):
        return 0
    whole = (mantissa * 2.0**53).astype(np.int64)
    _, lowest = np.frexp((whole & -whole).astype(np.float64))
    return max(0, int((53 - exponent - (lowest - 1)).max()))


def _times_power(values: npt.NDArray[np.float64], shift: int) -> Whole:
    """Doubles times 2^shift, which are integers."""
    largest = float(np.abs(values).max(initial=0.0))
    if shift < 1000 and largest * 2.0**shift < SAFE:
        return (values * 2.0**shift).astype(np.int64)
    return np.array([_exact(v, shift) for v in values.tolist()], dtype=object)


def _exact(value: float, shift: int) -> int:
    above, below = value.as_integer_ratio()
    return (above << shift) // below


def _rounded(values: npt.NDArray[np.float64]) -> Whole:
    """The nearest integers, half away from zero."""
    whole = np.trunc(values)
    whole += np.where(np.abs(values - whole) >= 0.5, np.sign(values), 0.0)
    if float(np.abs(whole).max(initial=0.0)) < SAFE:
        return whole.astype(np.int64)
    return np.array([int(v) for v in whole.tolist()], dtype=object)


__all__ = ["ODD", "Addend", "Ints", "Term", "TermKey", "doubles_of", "odd_of", "term_values"]
