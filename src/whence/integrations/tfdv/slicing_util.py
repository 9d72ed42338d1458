"""Slices as TFDV names and makes them: by the values of features, or by a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.integrations.tfdv.refusals import UnsupportedError, UsageError

Sliced: TypeAlias = tuple[str, pa.RecordBatch]
"""The name of a slice, and rows of it."""
SliceFunction: TypeAlias = Callable[[pa.RecordBatch], Iterable[Sliced]]

ROW: Final = "whence_row"
KEY: Final = "whence_key"


def get_feature_value_slicer(features: Mapping[str, Iterable[str | int | bytes] | None]) -> SliceFunction:
    """A function that cuts rows by the values of features, all features together.

    A slice is called ``feature_value``, several joined by ``_`` in the order of the features' names. A row
    with several values of a feature is in the slice of each.

    Args:
        features: Names, each with the values wanted; None takes all.

    Raises:
        TypeError: Values are no collection.
        UnsupportedError: A value is neither text nor an integer, as in TFDV.

    Example:
        >>> rows = pa.record_batch({"age": pa.array([[1], [2], [1]])})
        >>> [(key, part.num_rows) for key, part in get_feature_value_slicer({"age": None})(rows)]
        [('age_1', 2), ('age_2', 1)]
    """
    wanted: dict[str, set[str] | None] = {}
    for name, values in features.items():
        if values is not None and not isinstance(values, Iterable):
            raise TypeError(f"the values of {name!r} are a {type(values).__name__}, no collection")
        given = None if values is None else list(values)
        if given is not None and not all(isinstance(v, (str, bytes, int)) for v in given):
            raise UnsupportedError("slices are by text and integers only", hint="slice by a function")
        wanted[name] = None if given is None else {_text(v) for v in given}

    def slicer(batch: pa.RecordBatch) -> Iterator[Sliced]:
        keys: pa.Table | None = None
        for name in sorted(wanted):
            if name not in batch.schema.names:
                continue
            found = _keys(batch.column(name), name, wanted[name])
            keys = found if keys is None else _both(keys, found)
        if keys is not None:
            yield from cut(batch, keys)

    return slicer


def _keys(column: pa.Array, name: str, wanted: set[str] | None) -> pa.Table:
    """Which rows have which values: pairs of a row and the text ``name_value``, each once."""
    rows = pa.array(np.arange(len(column)))
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        rows, column = rows.take(pc.list_parent_indices(column)), pc.list_flatten(column)
    here = column.is_valid()
    rows, column = rows.filter(here), column.filter(here)
    coded = column.dictionary_encode()
    texts = [_text(v) for v in coded.dictionary.to_pylist()]
    keep = [wanted is None or t in wanted for t in texts]
    labels = pa.array([f"{name}_{t}" for t in texts], pa.string()).take(coded.indices)
    mask = pa.array(keep, pa.bool_()).take(coded.indices)
    pairs = pa.table({ROW: rows, KEY: labels}).filter(mask)
    return pairs.group_by([ROW, KEY]).aggregate([]).sort_by([(ROW, "ascending"), (KEY, "ascending")])


def _both(left: pa.Table, right: pa.Table) -> pa.Table:
    joined = left.join(right.rename_columns([ROW, "other"]), ROW, join_type="inner")
    key = pc.binary_join_element_wise(joined[KEY], joined["other"], "_")
    return pa.table({ROW: joined[ROW], KEY: key}).sort_by([(ROW, "ascending"), (KEY, "ascending")])


def cut(batch: pa.RecordBatch, keys: pa.Table) -> Iterator[Sliced]:
    """The rows of each slice.

    Args:
        batch: The rows.
        keys: Pairs of the number of a row and the name of a slice it is in, each once, by row.
    """
    coded = keys[KEY].combine_chunks().dictionary_encode()
    codes, rows = coded.indices.to_numpy(), keys[ROW].to_numpy()
    for code, key in enumerate(coded.dictionary.to_pylist()):
        yield key, batch.take(pa.array(rows[codes == code]))


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise UsageError(
                f"the value {value!r} is not UTF-8 and can name no slice", code="bad-slice"
            ) from None
    return str(value)


def config_slices(config: Any) -> tuple[list[SliceFunction], list[str]]:
    """The slices of a ``SlicingConfig``: by keys and values of features, and by SQL.

    Raises:
        UsageError: It has both, which TFDV does not take.
    """
    functions: list[SliceFunction] = []
    queries: list[str] = []
    for spec in () if config is None else config.slicing_specs:
        features: dict[str, Iterable[str] | None] = dict.fromkeys(spec.feature_keys)
        features |= {name: [value] for name, value in spec.feature_values.items()}
        if features:
            functions.append(get_feature_value_slicer(features))
        if spec.slice_keys_sql:
            queries.append(spec.slice_keys_sql)
    if functions and queries:
        raise UsageError("a slicing_config has slices by features or by SQL, not both", code="bad-options")
    return functions, queries


def listed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with each value in a list of its own, as TFDV hands them to functions."""
    return pa.RecordBatch.from_arrays([_listed(c) for c in batch.columns], names=batch.schema.names)


def _listed(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_null(kind):
        return column
    here = column.is_valid().to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(here)]).astype(np.int32)
    starts = pa.array(ends, mask=np.concatenate([~here, [False]]))
    return pa.ListArray.from_arrays(starts, column.drop_null())
