"""Which rows of a block belong to which slice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.compute import Engine, quoted
from whence.errors import NotFoundError, UsageError
from whence.stats.base import Array
from whence.validation.cells import is_list, jsonable
from whence.validation.expressions import check_expression
from whence.validation.nested import one_array
from whence.validation.options import Slice
from whence.validation.queries import RELATION

_POSITION: Final = "whence_position"
_KEY: Final = "whence_key"


def slice_block(block: pa.Table, slice_: Slice, engine: Engine | None) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each slice in a block, in their order; a row may be in several slices or in none.

    Raises:
        NotFoundError: A column is absent.
        UsageError: A column is nested, or the expression is refused (``bad-slice``).
    """
    if slice_.by:
        keys = [_key_column(block, c) for c in slice_.by]
        crossed = len(keys) > 1
        names = [
            [f"{c}={_label(v, crossed)}" for v in _values(k)] for c, k in zip(slice_.by, keys, strict=True)
        ]
        yield from _by_codes(block, keys, names)
        return
    keys_found, rows = _evaluated(block, slice_, engine)
    if pa.types.is_boolean(keys_found.type):
        chosen = block.filter(pc.fill_null(keys_found, False))
        if chosen.num_rows:
            yield slice_.name, chosen
        return
    encoded = _encoded(keys_found, slice_.name)
    labels = [f"{slice_.name}={_label(v)}" for v in _values(encoded)]
    yield from _by_codes(rows, [encoded], [labels])


def _key_column(block: pa.Table, column: str) -> pa.DictionaryArray:
    if column not in block.column_names:
        raise NotFoundError("column", column, near=block.column_names)
    return _encoded(one_array(block.column(column)), column)


def _encoded(values: pa.Array, name: str) -> pa.DictionaryArray:
    if pa.types.is_nested(values.type):
        raise UsageError(
            f"{name!r} is {values.type}, slices are made of single values",
            code="bad-slice",
            hint="give an expression that picks a value, such as Slice('first', 'l[1]')",
        )
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if values.type in (pa.float32(), pa.float64()):
        values = pc.add(values, pa.scalar(0, values.type))  # one zero
    return values.dictionary_encode(null_encoding="encode")


def _values(keys: pa.DictionaryArray) -> list[object]:
    try:
        return list(keys.dictionary.to_pylist())
    except (OverflowError, ValueError):
        return [_told(v) for v in keys.dictionary]


def _told(value: pa.Scalar) -> object:
    """A value as Python's; times that its calendar does not have, or finer than it tells, as text."""
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        return value.cast(pa.string()).as_py()


def _label(value: object, crossed: bool = False) -> str:
    """What a slice is called by; a text that reads like no value, or like two, stands in quotation marks."""
    if isinstance(value, Decimal):
        return str(value)  # 1.50 stays 1.50, as its column writes it
    text = str(jsonable(value))
    unclear = text == "None" or text.startswith('"') or (crossed and "," in text)
    return quoted(text) if unclear and isinstance(value, (str, bytes)) else text


def _by_codes(
    block: pa.Table, keys: Sequence[pa.DictionaryArray], names: Sequence[Sequence[str]]
) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each combination of keys: sorted once, then cut."""
    if not block.num_rows:
        return
    codes: Array = np.zeros(block.num_rows, dtype=np.int64)
    for key in keys:
        codes = codes * max(len(key.dictionary), 1) + key.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = [0, *(np.flatnonzero(np.diff(ordered)) + 1).tolist(), len(ordered)]
    together = block.take(pa.array(order))
    for start, end in itertools.pairwise(starts):
        code, parts = int(ordered[start]), []
        for key, labels in zip(reversed(keys), reversed(names), strict=True):
            code, place = divmod(code, max(len(key.dictionary), 1))
            parts.append(labels[place])
        yield ",".join(reversed(parts)), together.slice(start, end - start)


def _evaluated(block: pa.Table, slice_: Slice, engine: Engine | None) -> tuple[pa.Array, pa.Table]:
    """The value of the expression in each row; a list gives its row once for every value."""
    if engine is None:
        raise UsageError(f"slice {slice_.name!r} is SQL and needs an engine", code="bad-slice")
    assert slice_.where is not None
    check_expression(f"slice {slice_.name!r}", slice_.where, "bad-slice")
    positioned = block.append_column(_POSITION, pa.array(np.arange(block.num_rows)))
    sql = f'SELECT ({slice_.where}\n) AS "{_KEY}" FROM "{RELATION}" ORDER BY "{_POSITION}"'
    try:
        keys = one_array(engine.query(sql, {RELATION: positioned}).column(_KEY))
    except UsageError as error:
        raise UsageError(f"slice {slice_.name!r} cannot be run: {error.args[0]}", code="bad-slice") from error
    if not is_list(keys.type):
        return keys, block
    rows = pc.list_parent_indices(keys)
    return one_array(keys.flatten()), block.take(rows)
