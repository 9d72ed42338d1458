"""Rows as text come back as they were: every type a table keeps, every value."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence._base.arrow import TS, normal_type
from whence.errors import IntegrityError
from whence.lake.cells import cell_texts, read_rows, read_type, row_texts, type_text

DECIMAL = st.tuples(st.integers(1, 38), st.integers(0, 38)).filter(lambda ps: ps[1] <= ps[0])
PLAIN = st.sampled_from(
    [
        *(pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64()),
        *(pa.string(), pa.binary(), pa.date32(), TS, pa.null()),
    ]
) | DECIMAL.map(lambda ps: pa.decimal128(*ps))
NAMES = st.lists(st.text(min_size=1, max_size=5), unique=True, min_size=1, max_size=3)


def _struct(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    fields = NAMES.flatmap(lambda names: st.tuples(*(st.tuples(st.just(n), inner) for n in names)))
    return fields.map(lambda pairs: pa.struct(list(pairs)))


TYPES = st.recursive(
    PLAIN,
    lambda inner: inner.map(lambda t: pa.list_(pa.field("element", t))) | _struct(inner),
    max_leaves=4,
)


def values(type_: pa.DataType) -> st.SearchStrategy[Any]:
    """Values from which Arrow makes any array of a type, null among them."""
    return st.none() | _some(type_)


def _some(type_: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_boolean(type_):
        return st.booleans()
    if pa.types.is_integer(type_):
        return st.integers(-(2 ** (type_.bit_width - 1)), 2 ** (type_.bit_width - 1) - 1)
    if pa.types.is_floating(type_):
        return st.floats(width=type_.bit_width)
    if pa.types.is_decimal(type_):
        most = 10**type_.precision - 1
        return st.integers(-most, most).map(lambda n: Decimal(f"{n}E-{type_.scale}"))
    if pa.types.is_date(type_):
        return st.integers(-(2**31), 2**31 - 1)
    if pa.types.is_timestamp(type_):
        return st.integers(-(2**63), 2**63 - 1)
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        return st.binary(max_size=6) | st.text(max_size=6).map(str.encode)
    if pa.types.is_list(type_):
        return st.lists(values(type_.value_type), max_size=3)
    if pa.types.is_struct(type_):
        return st.fixed_dictionaries({f.name: values(f.type) for f in type_})
    return st.none()


def array(found: list[Any], type_: pa.DataType) -> pa.Array:
    """An array of raw values: days, microseconds, bytes for text."""
    if pa.types.is_date(type_):
        return pa.array(found, pa.int32()).cast(type_)
    if pa.types.is_timestamp(type_):
        return pa.array(found, pa.int64()).cast(type_)
    if pa.types.is_string(type_):
        return pa.array(found, pa.binary()).view(type_)
    if pa.types.is_decimal(type_):
        return pa.array([None if v is None else v for v in found], type_)
    if pa.types.is_list(type_):
        ends = [0]
        for v in found:
            ends.append(ends[-1] + len(v or ()))
        inner = array([e for v in found for e in v or ()], type_.value_type)
        mask = pa.array([v is None for v in found], pa.bool_())
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), inner, type=type_, mask=mask)
    if pa.types.is_struct(type_):
        children = [array([None if v is None else v[f.name] for v in found], f.type) for f in type_]
        mask = pa.array([v is None for v in found], pa.bool_())
        return pa.StructArray.from_arrays(children, fields=list(type_), mask=mask)
    return pa.array(found, type_)


COLUMN = TYPES.flatmap(lambda t: st.tuples(st.just(t), st.lists(values(t), min_size=3, max_size=3)))


@given(columns=st.dictionaries(st.text(max_size=5), COLUMN, min_size=1, max_size=3))
def test_rows_come_back_as_they_were(columns: dict[str, tuple[pa.DataType, list[Any]]]) -> None:
    arrays = {name: array(found, type_) for name, (type_, found) in columns.items()}
    texts = row_texts(arrays, 3)
    [(at, rows)] = read_rows(texts)
    assert (at, rows.column_names) == ([0, 1, 2], list(arrays))
    for name, given_ in arrays.items():
        back = rows.column(name).combine_chunks()
        assert back.type.equals(given_.type)
        assert back.is_valid().equals(given_.is_valid())
        assert cell_texts(back) == cell_texts(given_)
        if "NaN" not in "".join(texts):
            assert back.equals(given_)
    again = {n: rows.column(n).slice(1, 1) for n in rows.column_names}
    assert row_texts(again, 1) == [texts[1]]


@given(type_=TYPES)
def test_types_come_back_as_they_were(type_: pa.DataType) -> None:
    assert read_type(type_text(type_)).equals(type_)
    assert normal_type(type_).equals(type_)


def test_the_text_is_what_the_page_says() -> None:
    arrays = {
        "n": pa.array([12]), "d": pa.array([Decimal("12.50")]), "day": pa.array([date(2013, 1, 31)]),
        "raw": pa.array([b"\xff"]), "odd": pa.array([b"\xff"]).view(pa.string()), "f": pa.array([float("nan")]),
        "at": pa.array([1_359_676_799_000_001]).cast(TS), "tags": pa.array([["a", None]]),
        "far": pa.array([-800_000], pa.int32()).cast(pa.date32()), "s": pa.array([{"x": 1}]),
    }  # fmt: skip
    assert json.loads(row_texts(arrays, 1)[0]) == {
        "n": {"int64": 12}, "d": {"decimal(4,2)": "12.50"}, "day": {"date": "2013-01-31"}, "raw": {"binary": "/w=="},
        "odd": {"string": {"base64": "/w=="}}, "f": {"double": "NaN"},
        "at": {"timestamp": "2013-01-31T23:59:59.000001Z"}, "tags": {"list<string>": ["a", None]},
        "far": {"date": -800_000}, "s": {'struct<"x":int64>': {"x": 1}},
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "{", '{"a": 1}', '{"a": {}}', '{"a": {"int64": 1, "x": 2}}', '{"a": {"int64": "x"}}',
     '{"a": {"int65": 1}}', '{"a": {"list<int64": []}}', '{"a": {"int64 ": 1}}', '{"a": {"timestamp": "soon"}}',
     '{"a": {"decimal(4,2)": "x"}}', '{"a": {"struct<x:int64>": {}}}'],
)  # fmt: skip
def test_text_that_is_no_row_is_refused(text: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        read_rows([text])
    assert caught.value.code == "quarantine-corrupted"


def test_rows_without_columns() -> None:
    assert row_texts({}, 2) == ["{}", "{}"]
    [(at, rows)] = read_rows(["{}", "{}"])
    assert (at, rows.num_columns) == ([0, 1], 0)
