from __future__ import annotations

import hashlib
import random
import struct
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence._base.rows import (
    RowsDigest,
    canonical_rows,
    empty_digest,
    ordered_digest,
    row_digests,
    rows_digest,
    schema_digest,
)
from whence.errors import UsageError

TS = pa.timestamp("us", tz="UTC")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# --- the naive encoder, written from the docstring of whence._base.rows alone --------------------


def naive_value(value: Any, type_: pa.DataType) -> bytes:
    return bytes(_naive_value(value, type_))


def _naive_value(value: Any, type_: pa.DataType) -> Any:
    if value is None:
        return b"n"
    if pa.types.is_boolean(type_):
        return b"b" + bytes([int(value)])
    if pa.types.is_integer(type_):
        return b"i" + int(value).to_bytes(8, "little", signed=True)
    if pa.types.is_floating(type_):
        if value != value:
            return b"f" + (0x7FF8000000000000).to_bytes(8, "little")
        return b"f" + struct.pack("<d", 0.0 if value == 0 else value)
    if pa.types.is_decimal(type_):
        unscaled = int(value.scaleb(type_.scale))
        return b"d" + struct.pack("<b", type_.scale) + unscaled.to_bytes(16, "little", signed=True)
    if pa.types.is_date(type_):
        return b"D" + (value - date(1970, 1, 1)).days.to_bytes(8, "little", signed=True)
    if pa.types.is_timestamp(type_):
        d = value - EPOCH
        micros = (d.days * 86_400 + d.seconds) * 1_000_000 + d.microseconds
        return b"T" + micros.to_bytes(8, "little", signed=True)
    if pa.types.is_string(type_):
        data = value.encode()
        return b"t" + len(data).to_bytes(4, "little") + data
    if pa.types.is_binary(type_):
        return b"x" + len(value).to_bytes(4, "little") + value
    if pa.types.is_list(type_):
        return (
            b"l"
            + len(value).to_bytes(4, "little")
            + b"".join(naive_value(v, type_.value_type) for v in value)
        )
    if pa.types.is_struct(type_):
        body = naive_cells(value, {f.name: f.type for f in type_})
        return b"r" + len(body).to_bytes(4, "little") + body
    raise AssertionError(type_)


def naive_cells(row: dict[str, Any], types: dict[str, pa.DataType]) -> bytes:
    out = b""
    for name in sorted(types):
        if row[name] is not None:
            data = name.encode()
            out += len(data).to_bytes(4, "little") + data + naive_value(row[name], types[name])
    return out


def naive_rows(table: pa.Table) -> list[bytes]:
    types = {f.name: f.type for f in table.schema}
    return [naive_cells(row, types) for row in table.to_pylist()]


# --- any table -----------------------------------------------------------------------------------

LEAVES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.bool_(), st.booleans()),
    (pa.int8(), st.integers(-(2**7), 2**7 - 1)),
    (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()),
    (pa.decimal128(12, 3), st.decimals(-(10**8), 10**8, places=3)),
    (pa.string(), st.text(max_size=8)),
    (pa.binary(), st.binary(max_size=8)),
    (pa.date32(), st.dates()),
    (TS, st.datetimes(timezones=st.just(UTC))),
    (pa.null(), st.none()),
]


def nested(
    pair: tuple[pa.DataType, st.SearchStrategy[Any]],
) -> list[tuple[pa.DataType, st.SearchStrategy[Any]]]:
    type_, values = pair
    maybe = st.none() | values
    return [
        pair,
        (pa.list_(type_), st.lists(maybe, max_size=3)),
        (
            pa.struct({"z": type_, "a": pa.int64()}),
            st.fixed_dictionaries({"z": maybe, "a": st.none() | st.integers(0, 9)}),
        ),
        (pa.list_(pa.list_(type_)), st.lists(st.none() | st.lists(maybe, max_size=2), max_size=2)),
    ]


TYPES = [kind for leaf in LEAVES for kind in nested(leaf)]


@st.composite
def tables(draw: st.DrawFn, min_rows: int = 0) -> pa.Table:
    n = draw(st.integers(min_rows, 6))
    names = draw(st.lists(st.text("abcé_", min_size=1, max_size=3), min_size=1, max_size=4, unique=True))
    columns = {}
    for name in names:
        type_, values = draw(st.sampled_from(TYPES))
        nullable = draw(st.booleans()) or pa.types.is_null(type_)
        cells = draw(st.lists((st.none() | values) if nullable else values, min_size=n, max_size=n))
        columns[name] = pa.array(cells, type_)
    return pa.table(columns)


@given(tables())
def test_equals_the_naive_encoder(table: pa.Table) -> None:
    assert list(canonical_rows(table)) == naive_rows(table)


@given(tables(), st.randoms(use_true_random=False))
def test_order_of_rows_and_columns_does_not_matter(table: pa.Table, random_: random.Random) -> None:
    order = list(range(table.num_rows))
    random_.shuffle(order)
    names = list(table.column_names)
    random_.shuffle(names)
    assert rows_digest(table.take(pa.array(order, pa.int64())).select(names)) == rows_digest(table)


@given(tables(), st.data())
def test_chunks_and_slices_do_not_matter_and_batches_add_up(table: pa.Table, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, table.num_rows))
    head, tail = table.slice(0, cut), table.slice(cut)
    chunked = pa.concat_tables([head, tail])
    assert rows_digest(head) + rows_digest(tail) == rows_digest(table)
    assert rows_digest(table) - rows_digest(tail) == rows_digest(head)
    assert rows_digest(chunked) == rows_digest(table)
    assert list(canonical_rows(tail)) == naive_rows(table)[cut:]
    assert ordered_digest(chunked) == ordered_digest(table)


@given(tables(min_rows=1))
def test_row_digests_are_the_first_half_of_sha256(table: pa.Table) -> None:
    want = [hashlib.sha256(row).digest()[:16] for row in naive_rows(table)]
    got = [b"".join(int(w).to_bytes(8, "big") for w in pair) for pair in row_digests(table)]
    assert got == want
    assert rows_digest(table).total == sum(int.from_bytes(d, "big") for d in want) % 2**128


def test_the_text_is_what_the_docstring_says() -> None:
    table = pa.table({"a": [1, None], "s": ["", "x"]})
    row = b"\x01\0\0\0ai" + (1).to_bytes(8, "little") + b"\x01\0\0\0st\0\0\0\0"
    other = b"\x01\0\0\0st\x01\0\0\0x"
    total = sum(int.from_bytes(hashlib.sha256(r).digest()[:16], "big") for r in (row, other)) % 2**128
    schema = "sha256:" + hashlib.sha256(b'[["a","int64"],["s","string"]]').hexdigest()
    assert schema_digest(table.schema) == schema
    want = hashlib.sha256(f"{schema}\n2\n{total:032x}".encode()).hexdigest()
    assert rows_digest(table).text == f"rows-v1:{want}"


def test_golden_digest_never_changes() -> None:
    table = pa.table(
        {
            "carrier": ["B6", None],
            "delay": [1.5, -0.0],
            "n": pa.array([1, 2], pa.int32()),
            "at": pa.array([EPOCH, None], TS),
            "tags": [["a", None], []],
        }
    )
    assert rows_digest(table).text == GOLDEN_ROWS
    assert ordered_digest(table) == GOLDEN_ORDERED


GOLDEN_ROWS = "rows-v1:5fedb0ecadf727e601f76e09a61eea83322207920536495985b98dfbcc78fe75"
GOLDEN_ORDERED = "sha256:e5bc14989c0a2bbe17f1e0f7b68e1328c5da26e73dab9c3e1808fe6dd929a4f8"


def test_null_differs_from_empty_and_from_the_word() -> None:
    values = [None, "", "null", "n"]
    digests = {rows_digest(pa.table({"a": pa.array([v], pa.string())})).text for v in values}
    assert len(digests) == 4


def test_minus_zero_and_nan_have_one_form() -> None:
    other_nan = np.array([0x7FF8000000000001, 0xFFF8000000000000], dtype=np.uint64).view(np.float64)
    assert rows_digest(pa.table({"a": [-0.0]})) == rows_digest(pa.table({"a": [0.0]}))
    a = rows_digest(pa.table({"a": pa.array(other_nan)}))
    assert a == rows_digest(pa.table({"a": pa.array([float("nan")] * 2)}))


def test_width_of_numbers_counts_in_the_schema_and_not_in_the_row() -> None:
    narrow, wide = pa.table({"a": pa.array([7], pa.int32())}), pa.table({"a": pa.array([7], pa.int64())})
    assert rows_digest(narrow).total == rows_digest(wide).total
    assert rows_digest(narrow).text != rows_digest(wide).text


def test_a_new_null_column_changes_the_schema_and_not_the_rows() -> None:
    old = pa.table({"a": [1, 2]})
    new = old.append_column("b", pa.nulls(2, pa.string()))
    assert rows_digest(old).under(new.schema) == rows_digest(new)


def test_large_and_dictionary_text_digest_as_text() -> None:
    plain = pa.table({"a": ["x", "y", "x"]})
    for type_ in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        assert rows_digest(pa.table({"a": plain["a"].cast(type_)})) == rows_digest(plain)


def test_digests_of_two_schemas_are_not_added() -> None:
    with pytest.raises(UsageError, match="do not add up") as caught:
        rows_digest(pa.table({"a": [1]})) + rows_digest(pa.table({"b": [1]}))
    assert caught.value.code == "digest-schema"


def test_empty_is_the_zero_of_addition() -> None:
    table = pa.table({"a": [1, 2]})
    zero = empty_digest(table.schema)
    assert zero == RowsDigest(schema_digest(table.schema), 0, 0)
    assert zero + rows_digest(table) == rows_digest(table)
    assert rows_digest(table.slice(0, 0)) == zero


def test_more_rows_than_one_batch() -> None:
    n = 40_000
    table = pa.table({"i": np.arange(n), "s": pa.array([f"k{i % 97}" if i % 5 else None for i in range(n)])})
    rows = naive_rows(table)
    want = sum(int.from_bytes(hashlib.sha256(r).digest()[:16], "big") for r in rows) % 2**128
    assert rows_digest(table).total == want
    h = hashlib.sha256(schema_digest(table.schema).encode())
    for row in rows:
        h.update(len(row).to_bytes(8, "little") + row)
    assert ordered_digest(table) == "sha256:" + h.hexdigest()
