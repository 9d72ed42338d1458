"""What a column can hold, and how a value of it is said in JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from whence.stats.base import encode

FeatureType: TypeAlias = Literal["INT", "FLOAT", "STRING", "BYTES", "BOOL", "TIMESTAMP", "DATE", "STRUCT"]
"""What a column holds. TFDV knows INT, FLOAT, BYTES and STRUCT; text, booleans and times are told apart here."""

NUMERIC: Final = frozenset({"INT", "FLOAT", "BOOL", "TIMESTAMP", "DATE"})
TEXT: Final = frozenset({"STRING", "BYTES"})
TIMES: Final = frozenset({"TIMESTAMP", "DATE"})

Cell: TypeAlias = int | float | str | bytes | bool | datetime | date | None
"""A value of a column as Python has it."""


def is_list(kind: pa.DataType) -> bool:
    """Whether a row holds a list of values; a map is a list of pairs.

    Example:
        >>> is_list(pa.list_(pa.int8())), is_list(pa.string())
        (True, False)
    """
    t = pa.types
    if t.is_list_view(kind) or t.is_large_list_view(kind):
        return True
    return bool(t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind) or t.is_map(kind))


_TESTS: Final[tuple[tuple[FeatureType, Callable[[pa.DataType], bool]], ...]] = (
    ("BOOL", pa.types.is_boolean),
    ("INT", pa.types.is_integer),
    ("FLOAT", lambda t: pa.types.is_floating(t) or pa.types.is_decimal(t)),
    ("STRING", lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t)),
    ("STRING", pa.types.is_null),
    ("BYTES", lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t) or pa.types.is_binary_view(t)),
    ("BYTES", pa.types.is_fixed_size_binary),
    ("TIMESTAMP", pa.types.is_timestamp),
    ("DATE", pa.types.is_date),
    ("INT", lambda t: pa.types.is_time(t) or pa.types.is_duration(t)),
)


def feature_type(kind: pa.DataType) -> FeatureType:
    """The feature type of an Arrow type; a list has the type of its values.

    Times of day and durations are INT (microseconds), decimals FLOAT, 8-bit booleans BOOL, other extensions
    (UUID, JSON) what they are stored as; a column of nothing but null is STRING, as in TFDV.

    Example:
        >>> feature_type(pa.list_(pa.int32())), feature_type(pa.string())
        ('INT', 'STRING')
    """
    if isinstance(kind, pa.Bool8Type):
        return "BOOL"
    if isinstance(kind, pa.BaseExtensionType):
        return feature_type(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return feature_type(kind.value_type)
    if is_list(kind):
        return feature_type(element_type(kind))
    return next((name for name, holds in _TESTS if holds(kind)), "STRUCT")


def element_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values of a list; of a map, the struct of key and value.

    Example:
        >>> element_type(pa.map_(pa.string(), pa.int8()))
        StructType(struct<key: string not null, value: int8>)
    """
    if pa.types.is_map(kind):
        return pa.struct([kind.key_field, kind.item_field])
    return kind.value_type


def jsonable(value: Any) -> Any:
    """A cell of any SQL type as JSON says it; what JSON has no word for is text.

    Times are ISO text, bytes text with surrogate escapes, NaN and infinities text. A decimal is a number
    where that says it exactly, else text; lists and structures hold cells; durations, identifiers and the
    rest are as Python prints them.

    Example:
        >>> jsonable(date(2013, 1, 1)), jsonable(float("inf")), jsonable(True)
        ('2013-01-01', 'inf', True)
        >>> jsonable([Decimal(6), Decimal("1.50"), Decimal("0.12345678901234567890")])
        [6, 1.5, '0.12345678901234567890']
    """
    if isinstance(value, float):
        return encode(value)
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "surrogateescape")
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, Mapping):
        return {str(jsonable(k)): jsonable(v) for k, v in value.items()}
    if isinstance(value, pa.MonthDayNano):
        return f"{value.months} months {value.days} days {value.nanoseconds} ns"
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    return str(value)


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    if value.as_tuple().exponent == 0:
        return int(value)
    near = float(value)
    return near if Decimal(repr(near)) == value else str(value)
