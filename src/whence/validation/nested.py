"""From a column to its values: lists opened level by level, structs into their fields, weights carried along."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.stats.base import Array
from whence.validation.cells import element_type, is_list
from whence.validation.paths import Path, path_text
from whence.validation.view import Level

Column: TypeAlias = "pa.Array | pa.ChunkedArray"


@dataclass(frozen=True, slots=True)
class Opened:
    """A column (or a field of a struct) with its lists opened.

    Attributes:
        levels: Presence and valency per level of nesting.
        lengths: Leaf values of each present row, null ones included; None for a column without lists.
        values: The leaf values without nulls.
        weights: One weight a value; None without weights.
        rows: The weight of each present row; None without weights.
        missing: The weight of the others.
    """

    levels: tuple[Level, ...]
    lengths: Array | None
    values: pa.Array
    weights: Array | None = None
    rows: Array | None = None
    missing: float = 0.0


def open_column(column: Column, weights: Array | None = None) -> Opened:
    """Open the lists of a column.

    Example:
        >>> o = open_column(pa.array([[[1, 2], [3]], None, [[]]]))
        >>> [(l.n_present, l.n_missing, l.min, l.max, l.total) for l in o.levels]
        [(2, 1, 1, 2, 3), (3, 0, 0, 2, 3)]
        >>> o.lengths.tolist(), o.values.to_pylist()
        ([3, 0], [1, 2, 3])
    """
    array = one_array(column)
    present, missing, array = _present(array, weights)
    rows, levels = present, []
    lengths: Array | None = None
    kept: Array | None = None
    n_missing = len(column) - len(array)
    while is_list(array.type):
        counts = list_lengths(array)
        levels.append(_level(counts, n_missing))
        lengths = counts if lengths is None else _per_row(lengths, kept, counts)
        present = None if present is None else np.repeat(present, counts)
        array = one_array(array.flatten())
        kept = ~null_mask(array) if array.null_count else None
        n_missing = array.null_count
        present, _, array = _present(array, present)
    if not levels:
        n = len(array)
        levels.append(Level(n, n_missing, 1 if n else None, 1 if n else None, n))
    return Opened(tuple(levels), lengths, array, present, rows, missing)


def _present(array: pa.Array, weights: Array | None) -> tuple[Array | None, float, pa.Array]:
    """The values that are not null, their weights, and the weight of those that are."""
    if not array.null_count:
        return weights, 0.0, array
    here = array.drop_null()
    if weights is None:
        return None, 0.0, here
    keep = ~null_mask(array)
    return weights[keep], float(weights[~keep].sum()), here


def list_lengths(array: pa.Array) -> Array:
    """How many values each list has; a null list none.

    Example:
        >>> list_lengths(pa.array([[1, 2], None, []]))
        array([2, 0, 0])
    """
    counts: Array = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    return counts.astype(np.int64)


def null_mask(array: pa.Array) -> Array:
    """Which values are null.

    Example:
        >>> null_mask(pa.array([1, None]))
        array([False,  True])
    """
    if not array.null_count:
        return np.zeros(len(array), dtype=np.bool_)
    mask: Array = array.is_null().to_numpy(zero_copy_only=False)
    return mask


def _level(counts: Array, n_missing: int) -> Level:
    if not len(counts):
        return Level(0, n_missing)
    return Level(len(counts), n_missing, int(counts.min()), int(counts.max()), int(counts.sum()))


def _per_row(outer: Array, kept: Array | None, inner: Array) -> Array:
    """Leaf values per row, from lists per row and values per list; a null list has none."""
    spread = inner
    if kept is not None:
        spread = np.zeros(len(kept), dtype=np.int64)
        spread[kept] = inner
    ends = np.concatenate([[0], np.cumsum(spread)])
    rows = np.concatenate([[0], np.cumsum(outer)])
    result: Array = ends[rows[1:]] - ends[rows[:-1]]
    return result


def one_array(column: Column) -> pa.Array:
    """A column as one array of a type that kernels know: no chunks, extensions, views, runs or maps."""
    array = column
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # more than 2 GiB of text stays chunked
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if isinstance(array, pa.ExtensionArray):
        of_bytes = isinstance(array.type, pa.Bool8Type)
        array = array.storage.cast(pa.bool_()) if of_bytes else array.storage
    kind = array.type
    if pa.types.is_run_end_encoded(kind):
        return pc.run_end_decode(array)
    if pa.types.is_map(kind):
        return _pairs(array)
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return _in_order(array)
    if pa.types.is_dictionary(kind) and array.dictionary.null_count:
        return array.dictionary_decode()
    return array


def _pairs(array: pa.MapArray) -> pa.Array:
    structs = pa.StructArray.from_arrays([array.keys, array.items], fields=list(element_type(array.type)))
    mask = array.is_null() if array.null_count else None
    return pa.ListArray.from_arrays(array.offsets, structs, mask=mask)


def _in_order(array: pa.ListViewArray) -> pa.Array:
    """A view of lists as lists; Arrow 26's cast gives a broken array where a list is null."""
    here = ~null_mask(array)
    sizes = np.where(here, array.sizes.to_numpy(zero_copy_only=False), 0).astype(np.int64)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    starts = array.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    places = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], sizes)
    values = array.values.take(pa.array(places))
    return pa.LargeListArray.from_arrays(pa.array(ends), values, mask=pa.array(~here))


# --- the features of a schema -------------------------------------------------------------------


def inner_type(kind: pa.DataType) -> pa.DataType:
    """The type of the leaves of nested lists.

    Example:
        >>> inner_type(pa.list_(pa.list_(pa.int8())))
        DataType(int8)
    """
    if isinstance(kind, pa.BaseExtensionType):
        return inner_type(kind.storage_type)
    if pa.types.is_run_end_encoded(kind):
        return inner_type(kind.value_type)
    return inner_type(element_type(kind)) if is_list(kind) else kind


def depth_of(kind: pa.DataType) -> int:
    """How many levels of presence a column has: 1, or as many as lists lie in each other.

    Example:
        >>> depth_of(pa.int8()), depth_of(pa.list_(pa.list_(pa.int8())))
        (1, 2)
    """
    n = 0
    while is_list(kind):
        n, kind = n + 1, element_type(kind)
    return max(n, 1)


def walk(path: Path, kind: pa.DataType, columns: Collection[str]) -> Iterator[tuple[str, Path, pa.DataType]]:
    """The features of a column: itself, then those of the fields of its structs, depth first.

    Example:
        >>> kind = pa.struct({"x": pa.list_(pa.int8()), "y": pa.struct({"z": pa.string()})})
        >>> [name for name, _, _ in walk(("p",), kind, ["p"])]
        ['p', 'p.x', 'p.y', 'p.y.z']
    """
    yield path_text(path, columns), path, kind
    leaf = inner_type(kind)
    if pa.types.is_struct(leaf):
        for i in range(leaf.num_fields):
            field = leaf.field(i)
            yield from walk((*path, field.name), field.type, columns)
