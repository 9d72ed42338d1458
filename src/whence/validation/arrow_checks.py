"""Row tests over a batch: columns opened once, each test one Arrow kernel over the values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import without_views
from whence.validation.cells import feature_type, is_list
from whence.validation.checks.parse import parse_float, parse_int
from whence.validation.nested import list_lengths, null_mask, one_array
from whence.validation.rowtests import STRUCTURAL, Reason, RowTest, cells_of
from whence.validation.states import is_utf8, plain_text
from whence.validation.types import type_accepts

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
Column: TypeAlias = "pa.Array | pa.ChunkedArray"
_MICROS_A_DAY: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Level:
    """The lists at one depth: how many values each has, and in which row it is."""

    lengths: Places
    rows: Places


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a feature in a batch, opened down to the values.

    Attributes:
        n_rows: Rows of the batch.
        rows: The row of each cell.
        is_null: Which cells are null.
        levels: The lists, outermost first; none of a column without lists.
        sizes: Values of each cell that is not null, a null counted as one; in the order of the cells.
        values: The values that are not null.
        value_rows: Their rows.
    """

    n_rows: int
    rows: Places
    is_null: Mask
    levels: tuple[Level, ...]
    sizes: Places
    values: pa.Array
    value_rows: Places

    @property
    def type(self) -> str | None:
        """What the values are; None when the column has no type and no values."""
        return None if pa.types.is_null(self.values.type) else feature_type(self.values.type)


def open_cells(column: Column, steps: Sequence[str] = ()) -> Cells:
    """The cells of a column, or of a part of its structures.

    Args:
        column: n rows.
        steps: The fields from the column down to the part.

    Example:
        >>> c = open_cells(pa.array([[1, None], None, [2, 3]]))
        >>> c.rows.tolist(), c.sizes.tolist(), c.values.to_pylist(), c.value_rows.tolist()
        ([0, 1, 2], [2, 2], [1, 2, 3], [0, 2, 2])
    """
    n = len(column)
    array, rows = one_array(column), np.arange(n)
    kind = without_views(array.type)
    array = array if kind == array.type else array.cast(kind)
    for step in steps:
        array, rows = _present(array, rows)
        while is_list(array.type):
            rows = np.repeat(rows, list_lengths(array))
            array, rows = _present(one_array(array.flatten()), rows)
        if pa.types.is_struct(array.type) and array.type.get_field_index(step) >= 0:
            array = one_array(array.flatten()[array.type.get_field_index(step)])
        elif pa.types.is_struct(array.type):
            array = pa.nulls(len(array))
        else:
            array, rows = pa.nulls(0), rows[:0]
    return _open(array, rows, n)


def _open(array: pa.Array, rows: Places, n: int) -> Cells:
    cells = rows
    is_null = null_mask(array)
    array, rows = _present(array, rows)
    owners = np.arange(len(array))  # the cell each value is of
    sizes, levels = np.ones(len(array), np.int64), []
    while is_list(array.type):
        lengths = list_lengths(array)
        levels.append(Level(lengths, rows))
        np.add.at(sizes, owners, lengths - 1)
        rows, owners = np.repeat(rows, lengths), np.repeat(owners, lengths)
        array = one_array(array.flatten())
        if not is_list(array.type):
            break
        gone = null_mask(array)
        array, rows, owners = array.filter(pa.array(~gone)), rows[~gone], owners[~gone]
    values, value_rows = _present(array, rows)
    return Cells(n, cells, is_null, tuple(levels), sizes, values, value_rows)


def _present(array: pa.Array, rows: Places) -> tuple[pa.Array, Places]:
    if not array.null_count:
        return array, rows
    return array.drop_null(), rows[~null_mask(array)]


# --- tests ---------------------------------------------------------------------------------------


def broken_rows(test: RowTest, cells: Cells) -> Mask:
    """Which rows break a test. A column of another type breaks ``type`` and no test of values."""
    broken = np.zeros(cells.n_rows, np.bool_)
    if test.op in STRUCTURAL:
        _STRUCTURAL[test.op](test, cells, broken)
    elif len(cells.values) and cells.type is not None and type_accepts(test.of, cells.type):  # type: ignore[arg-type]
        broken[cells.value_rows[_VALUES[test.op](test, cells.values)]] = True
    return broken


def _type(test: RowTest, cells: Cells, broken: Mask) -> None:
    if cells.type is not None and not type_accepts(test.of, cells.type):  # type: ignore[arg-type]
        broken[cells.value_rows] = True


def _missing(test: RowTest, cells: Cells, broken: Mask) -> None:
    del test
    broken[:] = True
    broken[cells.rows[~cells.is_null]] = False
    broken[cells.rows[cells.is_null]] = True


def _depth(test: RowTest, cells: Cells, broken: Mask) -> None:
    depth = len(cells.levels)
    if max(depth, 1) == test.arg:
        return
    if depth > test.arg:
        level = cells.levels[test.arg]
        broken[level.rows] = True  # a list where a value should be
    else:
        broken[cells.value_rows] = True  # a value where a list should be


def _lists(test: RowTest, cells: Cells) -> Level | None:
    if test.level < len(cells.levels):
        return cells.levels[test.level]
    if test.level == 0 and not cells.levels:
        rows = cells.rows[~cells.is_null]
        return Level(np.ones(len(rows), np.int64), rows)
    return None


def _few(test: RowTest, cells: Cells, broken: Mask) -> None:
    lists = _lists(test, cells)
    if lists is not None:
        broken[lists.rows[lists.lengths < test.arg]] = True


def _many(test: RowTest, cells: Cells, broken: Mask) -> None:
    lists = _lists(test, cells)
    if lists is not None:
        broken[lists.rows[lists.lengths > test.arg]] = True


def _size(test: RowTest, cells: Cells, broken: Mask) -> None:
    _missing(test, cells, broken)
    _dim(test, cells, broken)


def _dim(test: RowTest, cells: Cells, broken: Mask) -> None:
    broken[cells.rows[~cells.is_null][cells.sizes != test.arg]] = True


_STRUCTURAL: Final[Mapping[str, Callable[[RowTest, Cells, Mask], None]]] = {
    "type": _type,
    "missing": _missing,
    "depth": _depth,
    "few": _few,
    "many": _many,
    "size": _size,
    "dim": _dim,
}


# --- values --------------------------------------------------------------------------------------


def _bool(mask: Any) -> Mask:
    made: Mask = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return made


def _raw(values: pa.Array) -> pa.Array:
    """Text or bytes as bytes."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return plain_text(values).cast(pa.binary())


def _each_text(values: pa.Array, bad: Callable[[str], bool]) -> Mask:
    """A test of text, asked once of each different value."""
    codes = _raw(values).dictionary_encode()
    answers = [bad(v.decode("utf-8", "surrogateescape")) for v in codes.dictionary.to_pylist()]
    made: Mask = np.array(answers, np.bool_)[codes.indices.to_numpy()]
    return made


def _floats(values: pa.Array) -> npt.NDArray[np.float64]:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    made: npt.NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return made


def whole_numbers(values: pa.Array, of: str) -> npt.NDArray[Any]:
    """Integers, booleans as 0 and 1, times as microseconds."""
    t = pa.types
    if t.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if of == "TIMESTAMP":
        values = values.cast(pa.timestamp("us", tz=kind.tz), safe=False).cast(pa.int64())
    elif of == "DATE":
        values = pc.multiply(values.cast(pa.date32()).cast(pa.int32()).cast(pa.int64()), _MICROS_A_DAY)
    elif t.is_boolean(kind):
        values = values.cast(pa.int8())
    elif t.is_time(kind):
        values = values.cast(pa.time64("us"), safe=False).cast(pa.int64())
    elif t.is_duration(kind):
        values = values.cast(pa.duration("us"), safe=False).cast(pa.int64())
    made: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return made


def _beyond(test: RowTest, values: pa.Array) -> Mask:
    below = test.op == "below"
    if test.reads_text:
        return _each_text(values, lambda text: outside(test, read_number(test, text)))
    numbers: npt.NDArray[Any]
    bound: Any = test.arg
    if test.of == "FLOAT":
        numbers, bound = _floats(values), float(bound)
    else:
        numbers = whole_numbers(values, test.of)
        info = np.iinfo(numbers.dtype)
        if not info.min <= bound <= info.max:
            return np.full(len(numbers), (bound > info.max) == below)
    made: Mask = numbers < bound if below else numbers > bound
    return made


def read_number(test: RowTest, text: str) -> float | int | None:
    """The number a text is read as by the domain of a test."""
    return parse_int(text) if test.whole else parse_float(text)


def outside(test: RowTest, number: float | None) -> bool:
    """Whether a number is beyond the bound of a test; None and NaN are not."""
    if number is None:
        return False
    return bool(number < test.arg if test.op == "below" else number > test.arg)


def _outside_set(test: RowTest, values: pa.Array) -> Mask:
    allowed = pa.array([v.encode("utf-8", "surrogateescape") for v in test.arg], pa.binary())
    return _bool(pc.invert(pc.is_in(_raw(values), value_set=allowed)))


def _not_utf8(test: RowTest, values: pa.Array) -> Mask:
    del test
    raw = _raw(values)
    try:
        raw.cast(pa.string())
    except pa.ArrowInvalid:
        return np.array([not is_utf8(v) for v in raw.to_pylist()], np.bool_)
    return np.zeros(len(raw), np.bool_)


def _nan(test: RowTest, values: pa.Array) -> Mask:
    if test.reads_text:
        return _each_text(values, lambda text: (n := parse_float(text)) is not None and n != n)
    made: Mask = np.isnan(_floats(values))
    return made


def _inf(test: RowTest, values: pa.Array) -> Mask:
    if test.reads_text:
        return _each_text(values, lambda text: parse_float(text) in INFINITIES)
    made: Mask = np.isinf(_floats(values))
    return made


INFINITIES: Final = (float("inf"), float("-inf"))


def _not_bool(test: RowTest, values: pa.Array) -> Mask:
    del test
    numbers = _floats(values)
    made: Mask = (numbers != 0.0) & (numbers != 1.0)
    return made


def _unlike(test: RowTest, values: pa.Array) -> Mask:
    matches = re.compile(test.arg).fullmatch
    return _each_text(values, lambda text: matches(text) is None)


def _long(test: RowTest, values: pa.Array) -> Mask:
    if feature_type(values.type) != "BYTES":
        return np.zeros(len(values), np.bool_)
    made: Mask = pc.binary_length(_raw(values)).to_numpy() > test.arg
    return made


_VALUES: Final[Mapping[str, Callable[[RowTest, pa.Array], Mask]]] = {
    "above": _beyond,
    "below": _beyond,
    "inf": _inf,
    "long": _long,
    "nan": _nan,
    "not_bool": _not_bool,
    "not_float": lambda _, values: _each_text(values, lambda text: parse_float(text) is None),
    "not_int": lambda _, values: _each_text(values, lambda text: parse_int(text) is None),
    "outside": _outside_set,
    "pattern": _unlike,
    "utf8": _not_utf8,
}


# --- reasons -------------------------------------------------------------------------------------


def batch_reasons(tests: Sequence[RowTest], table: pa.Table) -> dict[int, list[Reason]]:
    """Row → why it does not pass, in the order of the tests; of columns that are there."""
    opened: dict[tuple[str, ...], Cells] = {}
    reasons: dict[int, list[Reason]] = {}
    names = set(table.column_names)
    for test in tests:
        top = test.steps[0]
        if top not in names and len(test.steps) == 1:
            continue
        column = table.column(top) if top in names else pa.nulls(table.num_rows)
        if test.steps not in opened:
            opened[test.steps] = open_cells(column, test.steps[1:])
        cells = opened[test.steps]
        for row in np.flatnonzero(broken_rows(test, cells)).tolist():
            seen = cells.type if test.op == "type" else cell(column, row, test)
            reasons.setdefault(row, []).append(test.reason(seen))
    return reasons


def cell(column: Column, row: int, test: RowTest) -> Any:
    """What a row has of a feature, for a reason: its cell, or its cells where there are several."""
    try:
        value = column[row].as_py()
    except (UnicodeDecodeError, ValueError, OverflowError):
        raw = column[row : row + 1]
        kind = pa.binary() if feature_type(raw.type) == "STRING" and not is_list(raw.type) else None
        value = str(raw) if kind is None else one_array(raw).cast(kind)[0].as_py()
    if len(test.steps) == 1:
        return value
    found = cells_of({test.steps[0]: value}, test.steps)
    return found[0] if len(found) == 1 else found
