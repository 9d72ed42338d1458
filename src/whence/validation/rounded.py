"""Doubles in place of whole numbers that no double is: a column beside them marks the rows, so that it is told.

Where whole numbers beyond 2**53 stand with fractions in a column, in the lines of a CSV file or in Parquet files of
two types, every statistic takes the nearest double. The reader of the file gives such a column a second one of
truth values, which is described with no statistics of its own and goes with the rows into slices and queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.stats.base import Array
from whence.validation.features import FeatureStatistics
from whence.validation.states import undoubled

_MARK: Final = "whence rounded "
_LONG: Final = r"^[-+]?[0-9]{16,}$"
"""How a whole number beyond 2**53 is written."""


def mark_of(column: str) -> str:
    """The column that marks the rounded rows of another."""
    return _MARK + column


def without_marks(names: Sequence[str]) -> list[str]:
    """The columns that are data.

    Example:
        >>> without_marks(["a", mark_of("a")])
        ['a']
    """
    return [n for n in names if not n.startswith(_MARK)]


def with_marks(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    """The schema in which these columns are doubles with their marks, which come last."""
    fields = [pa.field(f.name, pa.float64()) if f.name in columns else f for f in schema]
    return pa.schema([*fields, *(pa.field(mark_of(n), pa.bool_()) for n in schema.names if n in columns)])


def as_doubles(values: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Numbers, or numbers as written, as doubles; and which whole ones were rounded.

    Raises:
        pa.ArrowInvalid: A text is no number.

    Example:
        >>> doubles, rounded = as_doubles(pa.array(["0.5", "9007199254740993", None]))
        >>> doubles.to_pylist(), rounded.to_pylist()
        ([0.5, 9007199254740992.0, None], [False, True, False])
    """
    marks: Array = np.zeros(len(values), dtype=np.bool_)
    if pa.types.is_integer(values.type):
        marks = undoubled(pc.fill_null(values, 0).to_numpy(zero_copy_only=False))
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = pc.ascii_trim_whitespace(values)
        long = np.flatnonzero(pc.fill_null(pc.match_substring_regex(values, _LONG), False))
        marks[long] = [float(v) != int(v) for v in values.take(pa.array(long)).to_pylist()]
    return pc.cast(values, pa.float64(), safe=False), pa.array(marks)


def marked(features: Sequence[FeatureStatistics], marks: pa.ChunkedArray) -> list[FeatureStatistics]:
    """The features of a column after rows of which the marked ones were rounded."""
    return [features[0].rounded(pc.sum(marks).as_py() or 0), *features[1:]]
