r"""Digests of rows: ``rows-v1``.

The digest of a set of rows does not depend on the order of rows or columns, on chunks, files or
compaction, and it is additive: the digest of two batches together is the sum of theirs. It is a check
against accident and drift, not against an adversary who can choose rows.

**Canonical row.** The concatenation of one *cell* per column that is not null, columns in the order of
their names (by code point). A null column leaves no cell, so a row keeps its bytes when the table
gains a column; null and empty differ, because empty has a cell. All numbers are little endian; ``u32``
is an unsigned length of 4 bytes.

::

    cell      = u32 length of name, name in UTF-8, value
    value     = "b" 1 byte 0 or 1                                   bool
              | "i" 8 bytes, two's complement                       int8 … int64
              | "f" 8 bytes IEEE 754 double                         float32 (widened), float64
              | "d" 1 byte scale (signed), 16 bytes unscaled value  decimal128
              | "D" 8 bytes, days since 1970-01-01                  date
              | "T" 8 bytes, microseconds since 1970-01-01 UTC      timestamp
              | "t" u32 length, UTF-8                               string
              | "x" u32 length, bytes                               binary
              | "l" u32 number of elements, then each as value      list
              | "r" u32 length of what follows, cells by name       struct
              | "n"                                                 null (as an element of a list)

In ``f``, -0 is written as 0 and every NaN as ``7ff8000000000000``.

**Row digest**: the first 16 bytes of sha256(canonical row), read big endian: 128 bits.
**Schema digest**: `spec_digest` of the list of ``[name, logical type]`` by name. Nullability, column
order and metadata do not count.
**rows-v1**: sha256 over the ASCII text ``schema digest "\n" row count "\n" total`` where *total* is the sum
of the row digests modulo 2^128 as 32 hexadecimal digits; written ``rows-v1:<hex>``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import normalise, normalise_schema
from whence._base.digest import PREFIX, spec_digest
from whence.errors import UsageError

ALGORITHM: Final = "rows-v1"
_MODULUS: Final = 1 << 128
_NAN_BITS: Final = np.uint64(0x7FF8000000000000)
# Encoded at once: small enough for the caches and for 32-bit offsets, large enough that the cost per
# call of Arrow and numpy vanishes.
_BATCH_ROWS: Final = 16_384
_BATCH_BYTES: Final = 1 << 28
_EMPTY: Final = pa.scalar(b"", pa.binary())

Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint64]


# --- the face -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RowsDigest:
    """The digest of a set of rows, in the form that adds up.

    Attributes:
        schema: The schema digest.
        n_rows: How many rows.
        total: Sum of the row digests modulo 2^128.

    Example:
        >>> one = rows_digest(pa.table({"a": [1]}))
        >>> two = rows_digest(pa.table({"a": [2]}))
        >>> (one + two).text == rows_digest(pa.table({"a": [2, 1]})).text
        True
    """

    schema: str
    n_rows: int
    total: int

    @property
    def text(self) -> str:
        """``rows-v1:<hex>``."""
        said = f"{self.schema}\n{self.n_rows}\n{self.total:032x}"
        return f"{ALGORITHM}:{hashlib.sha256(said.encode('ascii')).hexdigest()}"

    def __add__(self, other: RowsDigest) -> RowsDigest:
        return self._combine(other, 1)

    def __sub__(self, other: RowsDigest) -> RowsDigest:
        return self._combine(other, -1)

    def _combine(self, other: RowsDigest, sign: int) -> RowsDigest:
        if self.schema != other.schema:
            raise UsageError(
                f"digests of two schemas do not add up: {self.schema[:19]}… and {other.schema[:19]}…",
                code="digest-schema",
                hint="bring both under one schema with .under(schema)",
            )
        total = (self.total + sign * other.total) % _MODULUS
        return RowsDigest(self.schema, self.n_rows + sign * other.n_rows, total)

    def under(self, schema: pa.Schema) -> RowsDigest:
        """The same rows under a schema that only added columns (their cells are null, so leave no bytes)."""
        return replace(self, schema=schema_digest(schema))


def rows_digest(table: pa.Table) -> RowsDigest:
    """The ``rows-v1`` digest of a table's rows as a set (with repetition).

    Example:
        >>> rows_digest(pa.table({"a": [1, 2]})) == rows_digest(pa.table({"a": [2, 1]}))
        True
    """
    return RowsDigest(schema_digest(table.schema), table.num_rows, sum_digests(row_digests(table)))


def empty_digest(schema: pa.Schema) -> RowsDigest:
    """The digest of no rows under `schema`: the zero of addition."""
    return RowsDigest(schema_digest(schema), 0, 0)


def row_digests(table: pa.Table) -> Words:
    """The digest of each row: an (n, 2) array of its high and low 64 bits, in the table's order.

    Example:
        >>> row_digests(pa.table({"a": [1, 1]})).shape
        (2, 2)
    """
    sha256 = hashlib.sha256
    parts: list[bytes] = []
    for buffer, bounds in _encoded(table):
        parts += [sha256(buffer[a:b]).digest()[:16] for a, b in pairwise(bounds)]
    words = np.frombuffer(b"".join(parts), dtype=">u8").astype(np.uint64)
    return words.reshape(-1, 2)


def sum_digests(digests: Words) -> int:
    """The sum of row digests modulo 2^128.

    Example:
        >>> sum_digests(np.array([[0, 1], [0, 2**64 - 1]], dtype=np.uint64)) == 2**64
        True
    """
    low32 = np.uint64(0xFFFFFFFF)
    total = 0
    for column, weight in ((0, 64), (1, 0)):
        words = digests[:, column]
        total += int((words & low32).sum(dtype=np.uint64)) << weight
        total += int((words >> np.uint64(32)).sum(dtype=np.uint64)) << (weight + 32)
    return total % _MODULUS


def canonical_rows(table: pa.Table) -> Iterator[bytes]:
    r"""The canonical bytes of each row, in the table's order.

    Example:
        >>> list(canonical_rows(pa.table({"a": [True, None]})))
        [b'\x01\x00\x00\x00ab\x01', b'']
    """
    for buffer, bounds in _encoded(table):
        for a, b in pairwise(bounds):
            yield bytes(buffer[a:b])


def ordered_digest(table: pa.Table) -> str:
    """The digest of rows in their order, as of a training set.

    sha256 over the schema digest in ASCII, then for each row its length (8 bytes, little endian) and
    its canonical bytes.

    Example:
        >>> ordered_digest(pa.table({"a": [1, 2]})) == ordered_digest(pa.table({"a": [2, 1]}))
        False
    """
    h = hashlib.sha256(schema_digest(table.schema).encode("ascii"))
    for buffer, bounds in _encoded(table):
        lengths = np.diff(np.asarray(bounds)).astype("<u8").tobytes()
        pieces = zip(range(0, len(lengths), 8), bounds[:-1], bounds[1:], strict=True)
        h.update(b"".join([lengths[i : i + 8] + buffer[a:b] for i, a, b in pieces]))
    return PREFIX + h.hexdigest()


@lru_cache(maxsize=1024)
def schema_digest(schema: pa.Schema) -> str:
    """The digest of the columns' names and logical types.

    Example:
        >>> a, b = pa.field("a", pa.int64()), pa.field("b", pa.string(), nullable=False)
        >>> schema_digest(pa.schema([a, b])) == schema_digest(pa.schema([b, a]))
        True
    """
    fields = sorted(normalise_schema(schema), key=lambda f: str(f.name))
    return spec_digest([[f.name, logical_type(f.type)] for f in fields])


def logical_type(type_: pa.DataType) -> object:
    """A type as JSON: a word, or a list for types with parts.

    Example:
        >>> logical_type(pa.list_(pa.decimal128(5, 2)))
        ['list', ['decimal', 5, 2]]
    """
    if pa.types.is_decimal(type_):
        return ["decimal", type_.precision, type_.scale]
    if pa.types.is_list(type_):
        return ["list", logical_type(type_.value_type)]
    if pa.types.is_struct(type_):
        fields = sorted(type_, key=lambda f: str(f.name))
        return ["struct", [[f.name, logical_type(f.type)] for f in fields]]
    return _WORDS.get(type_, str(type_))


_WORDS: Final = {
    pa.float32(): "float32",
    pa.float64(): "float64",
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamp",
}


# --- the encoder --------------------------------------------------------------------------------
#
# Every column becomes cells in one of two forms: `_Block` (all cells of one width, none null: a matrix
# of bytes, so that neighbours merge into one) or a binary array with nulls. One vectorised
# concatenation then makes the rows.


@dataclass(slots=True)
class _Block:
    """Cells of one width, one per row: shape (n, width)."""

    data: Bytes


_Cells: TypeAlias = "_Block | pa.Array"


def _encoded(table: pa.Table) -> Iterator[tuple[bytes, list[int]]]:
    """Per batch of rows: their canonical bytes in one buffer, and the n + 1 bounds of the rows."""
    table = normalise(table)
    names = sorted(table.column_names)
    table = table.select(names)
    step = min(_BATCH_ROWS, max(1, _BATCH_BYTES * max(table.num_rows, 1) // max(table.nbytes, 1)))
    for start in range(0, table.num_rows, step):
        batch = table.slice(start, step)
        arrays = [_one_array(column) for column in batch.columns]
        yield _bytes_and_bounds(_concatenate(_struct_cells(names, arrays), batch.num_rows))


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def _bytes_and_bounds(rows: pa.Array) -> tuple[bytes, list[int]]:
    _, offsets, data = rows.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[rows.offset : rows.offset + len(rows) + 1]
    return b"" if data is None else data.to_pybytes(), ends.tolist()


def _struct_cells(names: Sequence[str], arrays: Sequence[pa.Array]) -> list[_Cells]:
    """The cells of columns that stand in name order; null cells are null."""
    out: list[_Cells] = []
    for name, array in zip(names, arrays, strict=True):
        if pa.types.is_null(array.type):
            continue
        encoded = name.encode()
        head = len(encoded).to_bytes(4, "little") + encoded
        cells = _values(array, head)
        if isinstance(cells, _Block) and out and isinstance(out[-1], _Block):
            cells = _Block(np.hstack([out.pop().data, cells.data]))
        out.append(cells)
    return out


def _concatenate(cells: Sequence[_Cells], n: int) -> pa.Array:
    """Row by row, the cells that are not null, one after the other: a binary array without nulls."""
    arrays = [_binary(c.data) if isinstance(c, _Block) else c for c in cells]
    if not arrays:
        return _binary(np.zeros((n, 0), dtype=np.uint8))
    if len(arrays) == 1 and arrays[0].null_count == 0:
        return arrays[0]
    # the empty scalar keeps a row that has no cells: Arrow drops a row of nothing but nulls
    return pc.binary_join_element_wise(_EMPTY, *arrays, b"", null_handling="skip")


def _binary(block: Bytes, valid: Bytes | None = None) -> pa.Array:
    """A matrix of bytes as a binary array; where `valid` is 0 it is null."""
    n, width = block.shape
    offsets = np.arange(n + 1, dtype=np.int32) * np.int32(width)
    mask = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    data = np.ascontiguousarray(block)
    return pa.Array.from_buffers(pa.binary(), n, [mask, pa.py_buffer(offsets), pa.py_buffer(data)])


def _values(array: pa.Array, head: bytes) -> _Cells:
    """``head + value`` for each element; null elements are null."""
    type_ = array.type
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        return _text(array, head)
    if pa.types.is_list(type_):
        return _list(array, head)
    if pa.types.is_struct(type_):
        return _struct(array, head)
    tag, block = _fixed(array)
    return _with_head(head + tag, block, array)


def _with_head(head: bytes, block: Bytes, array: pa.Array) -> _Cells:
    n, width = block.shape
    out = np.empty((n, len(head) + width), dtype=np.uint8)
    out[:, : len(head)] = np.frombuffer(head, dtype=np.uint8)
    out[:, len(head) :] = block
    if array.null_count == 0:
        return _Block(out)
    return _binary(out, _validity(array))


def _validity(array: pa.Array) -> Bytes:
    valid: Bytes = array.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8)
    return valid


def _fixed(array: pa.Array) -> tuple[bytes, Bytes]:
    """Tag and payload of the types whose values all have one width."""
    type_ = array.type
    if pa.types.is_boolean(type_):
        return b"b", _words(array, pa.uint8(), np.uint8)
    if pa.types.is_floating(type_):
        return b"f", _doubles(array)
    if pa.types.is_decimal(type_):
        raw = np.frombuffer(array.buffers()[1], dtype=np.uint8)
        unscaled = raw[array.offset * 16 : (array.offset + len(array)) * 16].reshape(len(array), 16)
        return b"d" + type_.scale.to_bytes(1, "little", signed=True), unscaled
    if pa.types.is_date(type_):
        return b"D", _words(array.cast(pa.int32()), pa.int64(), np.int64)
    if pa.types.is_timestamp(type_):
        return b"T", _words(array, pa.int64(), np.int64)
    return b"i", _words(array, pa.int64(), np.int64)


def _words(array: pa.Array, as_type: pa.DataType, dtype: Any) -> Bytes:
    # Any: numpy's own typing of dtype arguments
    filled = array.cast(as_type).fill_null(0) if array.null_count else array.cast(as_type)
    words = np.ascontiguousarray(
        filled.to_numpy(zero_copy_only=False), dtype=np.dtype(dtype).newbyteorder("<")
    )
    return words.view(np.uint8).reshape(len(array), words.itemsize)


def _doubles(array: pa.Array) -> Bytes:
    # a null becomes NaN here; what its bytes are does not matter, its cell is null
    doubles = array if array.type == pa.float64() else array.cast(pa.float64())
    values = np.array(doubles.to_numpy(zero_copy_only=False), dtype="<f8")
    values += 0.0  # -0.0 + 0.0 is 0.0
    nan = np.isnan(values)
    bits = values.view("<u8")
    bits[nan] = _NAN_BITS
    return bits.view(np.uint8).reshape(len(array), 8)


def _text(array: pa.Array, head: bytes) -> pa.Array:
    tag = b"t" if pa.types.is_string(array.type) else b"x"
    lengths = _words(pc.binary_length(array), pa.int64(), np.int64)[:, :4]
    prefix = _with_head(head + tag, lengths, array)
    prefix = _binary(prefix.data) if isinstance(prefix, _Block) else prefix
    return pc.binary_join_element_wise(prefix, array.cast(pa.binary()), b"", null_handling="emit_null")


def _list(array: pa.Array, head: bytes) -> pa.Array:
    offsets = np.asarray(array.offsets.to_numpy(zero_copy_only=False), dtype=np.int64)
    elements = _elements(array.values.slice(offsets[0], offsets[-1] - offsets[0]))
    starts = pa.array(offsets - offsets[0], pa.int32())
    bodies = pc.binary_join(pa.ListArray.from_arrays(starts, elements), b"")
    counts = np.diff(offsets).astype("<u4").view(np.uint8).reshape(len(array), 4)
    prefix = _with_head(head + b"l", counts, array)
    prefix = _binary(prefix.data) if isinstance(prefix, _Block) else prefix
    return pc.binary_join_element_wise(prefix, bodies, b"", null_handling="emit_null")


def _elements(array: pa.Array) -> pa.Array:
    """Each element of a list as value; null elements as ``n``."""
    if pa.types.is_null(array.type):
        return pa.array([b"n"] * len(array), pa.binary())
    cells = _values(array, b"")
    return _binary(cells.data) if isinstance(cells, _Block) else cells.fill_null(b"n")


def _struct(array: pa.Array, head: bytes) -> pa.Array:
    fields = sorted(
        zip([f.name for f in array.type], array.flatten(), strict=True), key=lambda pair: str(pair[0])
    )
    cells = _struct_cells([name for name, _ in fields], [child for _, child in fields])
    body = _concatenate(cells, len(array))
    lengths = _words(pc.binary_length(body), pa.int64(), np.int64)[:, :4]
    prefix = _with_head(head + b"r", lengths, array)
    prefix = _binary(prefix.data) if isinstance(prefix, _Block) else prefix
    return pc.binary_join_element_wise(prefix, body, b"", null_handling="emit_null")
