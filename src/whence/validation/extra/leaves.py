"""The values of a feature in a block of rows, each with the row it stands in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.errors import NotFoundError
from whence.stats.base import Array, numbers
from whence.validation.cells import FeatureType, feature_type, is_list, jsonable
from whence.validation.nested import one_array, walk
from whence.validation.paths import Path

CATEGORIES: Final = frozenset({"STRING", "BYTES", "BOOL", "DATE", "INT"})
"""Types whose values are categories as they are; numbers with a fraction and instants need edges."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """The n values of a feature in a block, lists opened, nulls left out.

    Attributes:
        values: The n values.
        rows: The n rows they stand in, ascending.
    """

    values: pa.Array
    rows: Array


def leaves_of(block: pa.Table, path: Path) -> Leaves:
    """The values at a path.

    Example:
        >>> t = pa.table({"trip": [{"stops": [1, 2]}, None, {"stops": [None, 3]}]})
        >>> found = leaves_of(t, ("trip", "stops"))
        >>> found.values.to_pylist(), found.rows.tolist()
        ([1, 2, 3], [0, 0, 2])
    """
    array = one_array(block.column(path[0]))
    rows: Array = np.arange(len(array))
    steps = list(path[1:])
    while True:
        if array.null_count:
            rows = rows[array.is_valid().to_numpy(zero_copy_only=False)]
            array = array.drop_null()
        if is_list(array.type):
            rows = rows[pc.list_parent_indices(array).to_numpy()]
            array = one_array(array.flatten())
        elif steps:
            place = array.type.get_field_index(steps.pop(0))
            array = one_array(array.flatten()[place])
        else:
            break
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return Leaves(array, rows)


def features_in(schema: pa.Schema) -> Iterator[tuple[str, Path, FeatureType]]:
    """The features of a block: name, path and type, structs themselves included."""
    for field in schema:
        for name, path, kind in walk((field.name,), field.type, schema.names):
            yield name, path, feature_type(kind)


def chosen_features(
    schema: pa.Schema, names: Sequence[str] | None, types: frozenset[str]
) -> dict[str, tuple[Path, FeatureType]]:
    """The features asked for; None asks for all of the types that fit.

    Raises:
        NotFoundError: One of the names is no feature.
    """
    known = {name: (path, type_) for name, path, type_ in features_in(schema)}
    if names is None:
        return {n: v for n, v in known.items() if v[1] in types}
    for name in names:
        if name not in known:
            raise NotFoundError("column", name, near=list(known))
    return {n: known[n] for n in names}


def labels_of(values: pa.Array) -> list[Any]:
    r"""Values as JSON says them: text, whole numbers, booleans; dates as ISO text; bytes as text.

    Example:
        >>> labels_of(pa.array([b"a", b"\xff"])), labels_of(pa.array([1.0, 0.5]))
        (['a', '\udcff'], [1.0, 0.5])
    """
    if pa.types.is_time(values.type) or pa.types.is_duration(values.type):  # whole microseconds
        return list(numbers(values).tolist())
    return [jsonable(v) for v in as_bytes(values).to_pylist()]


def as_bytes(values: pa.Array) -> pa.Array:
    """Text and bytes as bytes of one kind: text that is not UTF-8 can be counted so, and cannot become `str`."""
    if pa.types.is_string(values.type) or pa.types.is_fixed_size_binary(values.type):
        return values.cast(pa.binary())
    return values.cast(pa.large_binary()) if pa.types.is_large_string(values.type) else values
