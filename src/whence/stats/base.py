"""The shape of an aggregate state, and how values enter one.

A state is a monoid: the empty state is the class called without arguments, `add` takes a batch of
values, `merge` joins two states, and the properties read the result. States are frozen: `add` and
`merge` return new ones. So a window of seven days is six merges, whatever wrote the days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence.errors import UsageError

Array: TypeAlias = npt.NDArray[Any]
Values: TypeAlias = pa.Array | pa.ChunkedArray | Array | Sequence[Any]
"""A batch of values: Arrow (nulls are skipped), numpy, or a plain sequence (None is skipped)."""


class State(Protocol):
    """What every aggregate state can do."""

    def add(self, values: Values) -> Self:
        """The state after a batch of values; nulls are skipped."""
        ...

    def merge(self, other: Self) -> Self:
        """The state of both."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON: plain lists, numbers and text, no NaN."""
        ...

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The state that `to_dict` wrote."""
        ...


def as_arrow(values: Values) -> pa.Array:
    """The values as one Arrow array without nulls."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # more than 2 GiB of strings stay chunked
        values = pa.concat_arrays(values.chunks)
    if not isinstance(values, pa.Array):
        values = pa.array(values)
    return values.drop_null() if values.null_count else values


def numbers(values: Values) -> Array:
    """The non-null values as a numpy array of int64, uint64 or float64.

    Booleans count as 0 and 1, timestamps as microseconds since 1970 (finer ones cut down to them), dates
    as days, times of day and durations as microseconds, decimals as float64.

    Raises:
        UsageError: The values are not numbers (``not-numeric``), or a time is beyond what microseconds in
            64 bits can say (``bad-data``).

    Example:
        >>> numbers([1, None, 3])
        array([1, 3])
    """
    if not isinstance(values, np.ndarray):
        values = _arrow_numbers(as_arrow(values))
    if values.dtype == np.bool_ or np.issubdtype(values.dtype, np.signedinteger):
        return values.astype(np.int64, copy=False)
    if np.issubdtype(values.dtype, np.unsignedinteger):
        return _unsigned(values)
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float64, copy=False)
    raise UsageError(f"values of type {values.dtype} are not numbers", code="not-numeric")


def _unsigned(values: Array) -> Array:
    if values.dtype != np.uint64 or not len(values) or int(values.max()) < 2**63:
        return values.astype(np.int64)
    return values


def _arrow_numbers(array: pa.Array) -> Array:
    kind = array.type
    if pa.types.is_null(kind):
        return np.empty(0, dtype=np.int64)
    if pa.types.is_boolean(kind):
        array = array.cast(pa.int8())
    elif pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_time(kind):
        return _micros(array)
    elif pa.types.is_date32(kind):
        array = array.cast(pa.int32())
    elif pa.types.is_date64(kind):
        array = array.cast(pa.date32()).cast(pa.int32())
    elif pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        array = pc.cast(array, pa.float64(), safe=False)
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise UsageError(f"values of type {kind} are not numbers", code="not-numeric")
    result: Array = array.to_numpy(zero_copy_only=False)
    return result


_MICROS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}


def _micros(array: pa.Array) -> Array:
    """Times as microseconds; finer ones are cut down to them."""
    ticks: Array = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64()).to_numpy()
    ticks = ticks.astype(np.int64, copy=False)
    if array.type.unit == "ns":
        return np.floor_divide(ticks, 1_000)
    scale = _MICROS[array.type.unit]
    most = (2**63 - 1) // scale
    if len(ticks) and not -most <= int(ticks.min()) <= int(ticks.max()) <= most:
        raise UsageError(
            f"a {array.type} is too far from 0 for microseconds in 64 bits",
            code="bad-data",
            hint="that is 292,000 years: repair or filter the value",
        )
    return ticks * scale


def encode(number: float | None) -> float | str | None:
    """A number as JSON can say it: infinities and NaN become text.

    Example:
        >>> encode(1.5), encode(float("-inf")), encode(float("nan"))
        (1.5, '-inf', 'nan')
    """
    if isinstance(number, float) and not math.isfinite(number):
        return str(number)
    return number


def decode(number: Any) -> Any:
    """The inverse of `encode`.

    Example:
        >>> decode("-inf"), decode(3)
        (-inf, 3)
    """
    return float(number) if isinstance(number, str) else number


def scalar(number: Any) -> int | float:
    """A numpy number as a plain Python one; -0.0 becomes 0.0."""
    if isinstance(number, (int, np.integer)):
        return int(number)
    return float(number) + 0.0
