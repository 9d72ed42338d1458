"""The last step of features whose exact integers do not fit the engine's arithmetic: in Python, once a moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Protocol

import pyarrow as pa

from whence.errors import UsageError

_DECIMAL = Context(prec=76)


class Finish(Protocol):
    """Makes a feature's column of the columns of a result."""

    def __call__(self, columns: Sequence[pa.ChunkedArray], type_: pa.DataType, name: str, /) -> pa.Array:
        """The column, in `type_`; `name` is for messages."""
        ...


@dataclass(frozen=True, slots=True)
class WholeSum:
    """A sum that came as the text of an integer, in units of ``1 / unit``."""

    unit: int

    def __call__(self, columns: Sequence[pa.ChunkedArray], type_: pa.DataType, name: str, /) -> pa.Array:
        """The sums in their type.

        Raises:
            UsageError: A sum does not fit the type (``sum-overflow``).
        """
        values: list[int | Decimal | None] = []
        for text in columns[0].to_pylist():
            if text is None or pa.types.is_integer(type_):
                values.append(None if text is None else int(text))
            else:
                values.append(_DECIMAL.divide(Decimal(text), Decimal(self.unit)))
        try:
            return pa.array(values, type_)
        except (pa.ArrowInvalid, OverflowError) as error:
            raise UsageError(
                f"a sum of feature {name} does not fit {type_}",
                code="sum-overflow",
                hint="take the mean, or divide the column by a power of ten before it is written",
            ) from error


@dataclass(frozen=True, slots=True)
class HalvedStd:
    """A standard deviation from values cut in two: v = h 2^bits + l, in units of ``1 / unit``.

    The columns are n, n Σh² - (Σh)², n Σhl - Σh Σl and n Σl² - (Σl)², the last three as texts; so
    n Σv² - (Σv)² is their sum with the weights 2^(2 bits), 2^(bits+1) and 1, exactly.
    """

    bits: int
    unit: int

    def __call__(self, columns: Sequence[pa.ChunkedArray], type_: pa.DataType, name: str, /) -> pa.Array:
        """The standard deviations; null where n < 2."""
        del name
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        return pa.array([self._one(*row) for row in rows], type_)

    def _one(self, n: int | None, high: str, mixed: str, low: str) -> float | None:
        if n is None or n < 2:
            return None
        above = (int(high) << (2 * self.bits)) + (int(mixed) << (self.bits + 1)) + int(low)
        return math.sqrt(above / (n * (n - 1) * self.unit * self.unit))
