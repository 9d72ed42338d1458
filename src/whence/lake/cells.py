"""Rows as JSON text that remembers the types: ``{"delay": {"int64": 12}, "carrier": {"string": null}}``.

Every cell is an object of one member: its type, and the value in it. So rows of different columns and types
stand side by side in one column of text, and each comes back exactly as it was.

::

    type    bool int8 int16 int32 int64 float double decimal(9,2) string binary date timestamp null
            list<type>  struct<"name":type,"name":type>
    value   null                                         no value
            true, 12                                     bool, integers
            1.5, "NaN", "Infinity", "-Infinity"          float, double; the shortest text that reads back
            "12.50"                                      decimal
            "text", {"base64": "/w=="}                   string; bytes that are not UTF-8 as they are
            "/w=="                                       binary, in base 64
            "2013-01-31", -800000                        date; days since 1970 outside of the years 1 to 9999
            "2013-01-31T23:59:59.000001Z", -1            timestamp; microseconds since 1970 outside of them
            [..], {"name": ..}                           list, struct

The types are those tables keep (`whence._base.arrow`). All that is said of types and nulls is kept, except
whether a field of a struct may be null.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa

from whence._base.arrow import TS
from whence.errors import IntegrityError

_PLAIN: Final[dict[str, pa.DataType]] = {
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": TS,
    "null": pa.null(),
}
_NAMES: Final = {type_: name for name, type_ in _PLAIN.items()}
_WORD: Final = re.compile(r"[a-z0-9]+")
_DECIMAL: Final = re.compile(r"decimal\((\d+),(-?\d+)\)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY: Final = (date.min - date(1970, 1, 1)).days
_LAST_DAY: Final = (date.max - date(1970, 1, 1)).days
_DAY_US: Final = 86_400_000_000


# --- types ---------------------------------------------------------------------------------------


def type_text(type_: pa.DataType) -> str:
    """A type as text.

    Example:
        >>> type_text(pa.list_(pa.struct({"at": TS, "n": pa.decimal128(9, 2)})))
        'list<struct<"at":timestamp,"n":decimal(9,2)>>'
    """
    if pa.types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale})"
    if pa.types.is_list(type_):
        return f"list<{type_text(type_.value_type)}>"
    if pa.types.is_struct(type_):
        fields = (f"{json.dumps(f.name, ensure_ascii=False)}:{type_text(f.type)}" for f in type_)
        return f"struct<{','.join(fields)}>"
    return _NAMES[type_]


def read_type(text: str) -> pa.DataType:
    """The type of a text by `type_text`.

    Raises:
        IntegrityError: It is none (``quarantine-corrupted``).
    """
    try:
        type_, end = _type_at(text, 0)
    except (KeyError, ValueError) as error:
        raise _corrupted(f"{text!r} is no type") from error
    if end != len(text):
        raise _corrupted(f"{text!r} is no type")
    return type_


def _type_at(text: str, at: int) -> tuple[pa.DataType, int]:
    if text.startswith("list<", at):
        inner, at = _type_at(text, at + 5)
        return pa.list_(pa.field("element", inner)), _past(text, at, ">")
    if text.startswith("struct<", at):
        return _struct_at(text, at + 7)
    found = _DECIMAL.match(text, at)
    if found:
        return pa.decimal128(int(found[1]), int(found[2])), found.end()
    word = _WORD.match(text, at)
    if word is None:
        raise ValueError(text)
    return _PLAIN[word[0]], word.end()


def _struct_at(text: str, at: int) -> tuple[pa.DataType, int]:
    fields: list[pa.Field] = []
    while text[at : at + 1] != ">":
        if fields:
            at = _past(text, at, ",")
        name, at = json.JSONDecoder().raw_decode(text, at)
        type_, at = _type_at(text, _past(text, at, ":"))
        fields.append(pa.field(name, type_))
    return pa.struct(fields), at + 1


def _past(text: str, at: int, mark: str) -> int:
    if text[at : at + 1] != mark:
        raise ValueError(text)
    return at + 1


# --- rows to text --------------------------------------------------------------------------------


def row_texts(columns: Mapping[str, pa.Array | pa.ChunkedArray], n: int) -> list[str]:
    """The `n` rows of these columns, each as text.

    Example:
        >>> row_texts({"delay": pa.array([12]), "carrier": pa.array(["B6"])}, 1)
        ['{"delay": {"int64": 12}, "carrier": {"string": "B6"}}']
    """
    return join_cells({name: cell_texts(column) for name, column in columns.items()}, n)


def cell_texts(column: pa.Array | pa.ChunkedArray) -> list[str]:
    """Each cell of a column with its type, as text.

    Example:
        >>> cell_texts(pa.array([12, None]))
        ['{"int64": 12}', '{"int64": null}']
    """
    array = pa.concat_arrays(column.chunks) if _many(column) else _one(column)
    head = f"{{{json.dumps(type_text(array.type), ensure_ascii=False)}: "
    return [f"{head}{value}}}" for value in _values(array)]


def join_cells(cells: Mapping[str, Sequence[str | None]], n: int) -> list[str]:
    """Rows of cells by column; a cell of None is a column that this row does not have."""
    heads = [(json.dumps(name, ensure_ascii=False), texts) for name, texts in cells.items()]
    return [
        "{" + ", ".join(f"{name}: {texts[i]}" for name, texts in heads if texts[i] is not None) + "}"
        for i in range(n)
    ]


def _many(column: pa.Array | pa.ChunkedArray) -> bool:
    return isinstance(column, pa.ChunkedArray) and column.num_chunks > 1


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _values(array: pa.Array) -> list[str]:
    type_ = array.type
    if pa.types.is_list(type_):
        return _lists(array)
    if pa.types.is_struct(type_):
        return _structs(array)
    if pa.types.is_null(type_):
        return ["null"] * len(array)
    return ["null" if v is None else v for v in _scalars(array)]


def _scalars(array: pa.Array) -> list[str | None]:
    type_ = array.type
    if pa.types.is_string(type_):
        return [None if v is None else _text(v) for v in array.cast(pa.binary()).to_pylist()]
    if pa.types.is_date(type_):
        return [None if v is None else _date(v) for v in array.cast(pa.int32()).to_pylist()]
    if pa.types.is_timestamp(type_):
        return [None if v is None else _moment(v) for v in array.cast(pa.int64()).to_pylist()]
    say: Callable[[Any], str] = json.dumps  # Any: the Python value of any scalar
    if pa.types.is_floating(type_):
        say = _float
    elif pa.types.is_decimal(type_):
        say = _decimal
    elif pa.types.is_binary(type_):
        say = _binary
    return [None if v is None else say(v) for v in array.to_pylist()]


def _float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


def _decimal(value: Decimal) -> str:
    return f'"{value:f}"'


def _binary(value: bytes) -> str:
    return f'"{base64.b64encode(value).decode()}"'


def _text(value: bytes) -> str:
    try:
        return json.dumps(value.decode(), ensure_ascii=False)
    except UnicodeDecodeError:
        return f'{{"base64": {_binary(value)}}}'


def _date(days: int) -> str:
    if _FIRST_DAY <= days <= _LAST_DAY:
        return f'"{date(1970, 1, 1) + timedelta(days=days)}"'
    return str(days)


def _moment(micros: int) -> str:
    if _FIRST_DAY <= micros // _DAY_US <= _LAST_DAY:
        moment = _EPOCH + timedelta(microseconds=micros)
        return f'"{moment.replace(tzinfo=None).isoformat()}Z"'
    return str(micros)


def _lists(array: pa.Array) -> list[str]:
    valid = array.is_valid().to_pylist()
    # `flatten` leaves out what lies under a null; the lengths say where each list begins
    elements = _values(array.flatten())
    lengths = np.diff(array.offsets.to_numpy(zero_copy_only=False)).tolist()
    out, at = [], 0
    for is_valid, length in zip(valid, lengths, strict=True):
        if not is_valid:
            out.append("null")
            continue
        out.append("[" + ", ".join(elements[at : at + length]) + "]")
        at += length
    return out


def _structs(array: pa.Array) -> list[str]:
    names = [json.dumps(f.name, ensure_ascii=False) for f in array.type]
    children = [_values(child) for child in array.flatten()]
    return [
        "{" + ", ".join(f"{n}: {c[i]}" for n, c in zip(names, children, strict=True)) + "}" if is_valid else "null"
        for i, is_valid in enumerate(array.is_valid().to_pylist())
    ]  # fmt: skip


# --- text to rows --------------------------------------------------------------------------------


def read_rows(texts: Sequence[str]) -> list[tuple[list[int], pa.Table]]:
    """Rows of `row_texts` again: for each set of columns and types, which texts have it, and their rows.

    Example:
        >>> texts = ['{"a": {"int64": 1}}', '{"a": {"string": "x"}}', '{"a": {"int64": 2}}']
        >>> [(at, rows.to_pydict()) for at, rows in read_rows(texts)]
        [([0, 2], {'a': [1, 2]}), ([1], {'a': ['x']})]

    Raises:
        IntegrityError: A text is none of ours (``quarantine-corrupted``).
    """
    groups: dict[tuple[tuple[str, str], ...], list[tuple[int, list[Any]]]] = {}
    for i, text in enumerate(texts):
        kinds, values = _cells(text)
        groups.setdefault(kinds, []).append((i, values))
    return [([i for i, _ in rows], _table(kinds, [v for _, v in rows])) for kinds, rows in groups.items()]


def _cells(text: str) -> tuple[tuple[tuple[str, str], ...], list[Any]]:
    # Any: parsed JSON
    try:
        parsed = json.loads(text)
        cells = [(name, *next(iter(cell.items()))) for name, cell in parsed.items() if len(cell) == 1]
    except (ValueError, AttributeError, TypeError, StopIteration) as error:
        raise _corrupted(f"{text[:80]!r} is no row") from error
    if len(cells) != len(parsed):
        raise _corrupted(f"{text[:80]!r} is no row")
    return tuple((name, kind) for name, kind, _ in cells), [value for _, _, value in cells]


def _table(kinds: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> pa.Table:
    arrays = {}
    for i, (name, kind) in enumerate(kinds):
        type_ = read_type(kind)
        try:
            arrays[name] = _array([row[i] for row in rows], type_)
        except (pa.ArrowException, ValueError, TypeError, KeyError, ArithmeticError) as error:
            raise _corrupted(f"column {name!r} holds values that are no {kind}") from error
    return pa.table(arrays) if arrays else pa.table({"": pa.nulls(len(rows))}).select([])


def _array(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    if pa.types.is_list(type_):
        return _list_array(values, type_)
    if pa.types.is_struct(type_):
        return _struct_array(values, type_)
    if pa.types.is_string(type_):
        return _string_array(values)
    if pa.types.is_date(type_):
        return pa.array([None if v is None else _read_date(v) for v in values], pa.int32()).cast(type_)
    if pa.types.is_timestamp(type_):
        return pa.array([None if v is None else _read_moment(v) for v in values], pa.int64()).cast(type_)
    read: Callable[[Any], Any] = _as_it_is
    if pa.types.is_floating(type_):
        read = float  # reads "NaN" and "-Infinity" too
    elif pa.types.is_decimal(type_):
        read = Decimal
    elif pa.types.is_binary(type_):
        read = base64.b64decode
    return pa.array([None if v is None else read(v) for v in values], type_)


def _as_it_is(value: Any) -> Any:
    return value


def _string_array(values: Sequence[Any]) -> pa.Array:
    if not any(isinstance(v, dict) for v in values):
        return pa.array(values, pa.string())
    raw = [base64.b64decode(v["base64"]) if isinstance(v, dict) else v and v.encode() for v in values]
    return pa.array([b"" if v == "" else v for v in raw], pa.binary()).view(pa.string())


def _read_date(value: str | int) -> int:
    return value if isinstance(value, int) else (date.fromisoformat(value) - date(1970, 1, 1)).days


def _read_moment(value: str | int) -> int:
    if isinstance(value, int):
        return value
    return (datetime.fromisoformat(value) - _EPOCH) // timedelta(microseconds=1)


def _list_array(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    elements = _array([e for v in values if v is not None for e in v], type_.value_type)
    ends = np.cumsum([0, *(0 if v is None else len(v) for v in values)])
    mask = pa.array([v is None for v in values], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), elements, type=type_, mask=mask)


def _struct_array(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    if type_.num_fields == 0:
        return pa.array([None if v is None else {} for v in values], type_)
    children = [_array([None if v is None else v[f.name] for v in values], f.type) for f in type_]
    mask = pa.array([v is None for v in values], pa.bool_())
    return pa.StructArray.from_arrays(children, fields=list(type_), mask=mask)


def _corrupted(why: str) -> IntegrityError:
    return IntegrityError(
        f"a quarantined row cannot be read: {why}",
        code="quarantine-corrupted",
        hint="the quarantine was written by something else than whence",
    )
