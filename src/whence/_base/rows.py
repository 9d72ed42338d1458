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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, pairwise
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
Buffer: TypeAlias = "bytes | memoryview"


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
        parts += [sha256(buffer[a:b]).digest() for a, b in pairwise(bounds)]
    words = np.frombuffer(b"".join(parts), dtype=">u8").reshape(-1, 4)
    return words[:, :2].astype(np.uint64)


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
# Every column becomes cells, in parts of one of two forms: `_Fixed` (none is null, all have one width: most
# columns, texts of one length among them) or a binary array with nulls. Neighbours of the first form are laid
# out together: what all rows share is written once, as a template. One vectorised concatenation then makes
# the rows.


@dataclass(frozen=True, slots=True)
class _Fixed:
    """Parts of one width, one per row: `head`, the same in all rows, then `data` of shape (n, width)."""

    head: bytes
    data: Bytes


_Part: TypeAlias = "_Fixed | pa.Array"


def _encoded(table: pa.Table) -> Iterator[tuple[Buffer, list[int]]]:
    """Per batch of rows: their canonical bytes in one buffer, and the n + 1 bounds of the rows."""
    table = normalise(table)
    names = sorted(table.column_names)
    table = table.select(names)
    step = min(_BATCH_ROWS, max(1, _BATCH_BYTES * max(table.num_rows, 1) // max(table.nbytes, 1)))
    for start in range(0, table.num_rows, step):
        batch = table.slice(start, step)
        arrays = [_one_array(column) for column in batch.columns]
        yield _bytes_and_bounds(_concatenate(_struct_parts(names, arrays), batch.num_rows))


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def _bytes_and_bounds(rows: pa.Array) -> tuple[Buffer, list[int]]:
    data = rows.buffers()[2]
    return b"" if data is None else memoryview(data), _offsets(rows).tolist()


def _offsets(array: pa.Array) -> npt.NDArray[np.int32]:
    """The n + 1 bounds of texts or binaries in their buffer."""
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)
    return offsets[array.offset : array.offset + len(array) + 1]


def _struct_parts(names: Sequence[str], arrays: Sequence[pa.Array]) -> list[_Part]:
    """The parts of the cells of columns that stand in name order; of null cells all parts are null."""
    out: list[_Part] = []
    for name, array in zip(names, arrays, strict=True):
        if not pa.types.is_null(array.type):
            encoded = name.encode()
            out += _values(array, len(encoded).to_bytes(4, "little") + encoded)
    return out


def _concatenate(parts: Sequence[_Part], n: int) -> pa.Array:
    """Row by row, the parts that are not null, one after the other: a binary array without nulls."""
    arrays = _arrays(parts)
    if not arrays:
        return _binary(np.zeros((n, 0), dtype=np.uint8))
    if len(arrays) == 1 and arrays[0].null_count == 0:
        return arrays[0]
    # the empty scalar keeps a row that has no cells: Arrow drops a row of nothing but nulls
    return pc.binary_join_element_wise(_EMPTY, *arrays, b"", null_handling="skip")


def _whole(parts: Sequence[_Part]) -> pa.Array:
    """Row by row, all parts in one piece; null where one of them is."""
    arrays = _arrays(parts)
    return (
        arrays[0]
        if len(arrays) == 1
        else pc.binary_join_element_wise(*arrays, b"", null_handling="emit_null")
    )


def _arrays(parts: Iterable[_Part]) -> list[pa.Array]:
    """The parts as binary arrays, neighbours of fixed width in one."""
    out: list[pa.Array] = []
    for fixed, neighbours in groupby(parts, key=lambda part: isinstance(part, _Fixed)):
        run = list(neighbours)
        out += [_binary(_laid_out(run))] if fixed else run
    return out


def _laid_out(run: Sequence[_Fixed]) -> Bytes:
    """Parts of fixed width side by side."""
    template = b"".join(part.head + bytes(part.data.shape[1]) for part in run)
    n = len(run[0].data)
    # Arrow keeps memory that was given back; numpy's would come fresh from the system, page by page
    room = pa.allocate_buffer(n * len(template))
    out = np.frombuffer(room, dtype=np.uint8).reshape(n, len(template))
    out[:] = np.frombuffer(template, dtype=np.uint8)
    end = 0
    for part in run:
        begin = end + len(part.head)
        end = begin + part.data.shape[1]
        out[:, begin:end] = part.data
    return out


def _binary(block: Bytes, valid: pa.Buffer | None = None) -> pa.Array:
    """A matrix of bytes as a binary array; where the bit of `valid` is 0 it is null."""
    n, width = block.shape
    offsets = np.arange(n + 1, dtype=np.int32) * np.int32(width)
    data = np.ascontiguousarray(block)
    return pa.Array.from_buffers(pa.binary(), n, [valid, pa.py_buffer(offsets), pa.py_buffer(data)])


def _values(array: pa.Array, head: bytes) -> list[_Part]:
    """``head + value`` for each element, in parts; null elements are null."""
    fixed = _FIXED.get(array.type.id)
    if fixed is not None:
        tag, block = fixed(array)
        return [_with_head(head + tag, block, array)]
    if pa.types.is_list(array.type):
        return [_list(array, head)]
    if pa.types.is_struct(array.type):
        return [_struct(array, head)]
    return _text(array, head)


def _with_head(head: bytes, block: Bytes, array: pa.Array) -> _Part:
    part = _Fixed(head, block)
    return part if array.null_count == 0 else _binary(_laid_out([part]), _validity(array))


def _validity(array: pa.Array) -> pa.Buffer:
    """A bit for each element, from the first byte on: 0 where it is null."""
    if array.offset == 0:
        return array.buffers()[0]
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


# Tag and payload of the types whose values all have one width; what a null's payload is does not matter.


def _truths(array: pa.Array) -> tuple[bytes, Bytes]:
    return b"b", _bytes(_stored(array.cast(pa.uint8()), np.uint8))


def _integers(array: pa.Array) -> tuple[bytes, Bytes]:
    return b"i", _bytes(_stored(_as(array, pa.int64()), np.int64))


def _doubles(array: pa.Array) -> tuple[bytes, Bytes]:
    values = _stored(_as(array, pa.float64()), np.float64) + 0.0  # a copy; -0.0 + 0.0 is 0.0
    values.view(np.uint64)[np.isnan(values)] = _NAN_BITS
    return b"f", _bytes(values)


def _decimals(array: pa.Array) -> tuple[bytes, Bytes]:
    scale = array.type.scale.to_bytes(1, "little", signed=True)
    return b"d" + scale, _bytes(_stored(array, np.dtype("V16")))


def _dates(array: pa.Array) -> tuple[bytes, Bytes]:
    return b"D", _bytes(_stored(array, np.int32).astype(np.int64))


def _moments(array: pa.Array) -> tuple[bytes, Bytes]:
    return b"T", _bytes(_stored(array, np.int64))


_FIXED: Final[Mapping[int, Callable[[pa.Array], tuple[bytes, Bytes]]]] = {
    pa.bool_().id: _truths,
    **{type_.id: _integers for type_ in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    **{type_.id: _doubles for type_ in (pa.float32(), pa.float64())},
    pa.decimal128(1).id: _decimals,
    pa.date32().id: _dates,
    pa.timestamp("us", tz="UTC").id: _moments,
}


def _as(array: pa.Array, type_: pa.DataType) -> pa.Array:
    return array if array.type.equals(type_) else array.cast(type_)


def _stored(array: pa.Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The values as they lie in memory; those of nulls are arbitrary."""
    if not len(array):  # may have no memory at all
        return np.empty(0, dtype=dtype)
    return np.frombuffer(array.buffers()[1], dtype=dtype)[array.offset : array.offset + len(array)]


def _bytes(values: npt.NDArray[Any]) -> Bytes:
    """The bytes of each value, little endian, one value a row."""
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(len(values), little.itemsize)


def _text(array: pa.Array, head: bytes) -> list[_Part]:
    head += b"t" if pa.types.is_string(array.type) else b"x"
    if not array.null_count and len(array):
        bounds = _offsets(array)
        n, width = len(array), int(bounds[1] - bounds[0])
        if width and (np.diff(bounds) == width).all():
            data = np.frombuffer(array.buffers()[2], dtype=np.uint8)[bounds[0] : bounds[-1]]
            return [_Fixed(head + width.to_bytes(4, "little"), data.reshape(n, width))]
    return [_with_head(head, _lengths(array), array), array.cast(pa.binary())]


def _lengths(array: pa.Array) -> Bytes:
    """The length of each text as ``u32``."""
    return _bytes(np.diff(_offsets(array)).astype(np.uint32))


def _list(array: pa.Array, head: bytes) -> pa.Array:
    offsets = np.asarray(array.offsets.to_numpy(zero_copy_only=False), dtype=np.int64)
    elements = _elements(array.values.slice(offsets[0], offsets[-1] - offsets[0]))
    starts = pa.array(offsets - offsets[0], pa.int32())
    bodies = pc.binary_join(pa.ListArray.from_arrays(starts, elements), b"")
    counts = _bytes(np.diff(offsets).astype(np.uint32))
    return _whole([_with_head(head + b"l", counts, array), bodies])


def _elements(array: pa.Array) -> pa.Array:
    """Each element of a list as value; null elements as ``n``."""
    if pa.types.is_null(array.type):
        return pa.array([b"n"] * len(array), pa.binary())
    return _whole(_values(array, b"")).fill_null(b"n")


def _struct(array: pa.Array, head: bytes) -> pa.Array:
    fields = sorted(
        zip([f.name for f in array.type], array.flatten(), strict=True), key=lambda pair: str(pair[0])
    )
    parts = _struct_parts([name for name, _ in fields], [child for _, child in fields])
    body = _concatenate(parts, len(array))
    return _whole([_with_head(head + b"r", _lengths(body), array), body])
