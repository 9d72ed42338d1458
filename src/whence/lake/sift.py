"""Rows that may enter a table, and rows that may not: each row of a batch is judged alone.

A row may enter when it would be taken if it came alone: every value is of its column's type (or becomes so
without loss), nothing stands in a column the table does not have, no null where none is allowed, and the
row check of the table lets it pass.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import conform, fit, normal_type, read_any, to_arrow, widens
from whence.errors import UsageError
from whence.lake.cells import cell_texts, join_cells
from whence.lake.core import filled_by, fills_of, n_filled
from whence.lake.operations import null_keys
from whence.lake.sources import Batch, read_batch
from whence.lake.types import RowCheck, TableDeclaration

#: Errors about a batch that may lie in some of its rows only.
_OF_ROWS: Final = frozenset({"schema-mismatch", "bad-data", "naive-time", "lossy-time", "unsupported-type"})


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that may not enter.

    Attributes:
        position: Where it stood in the batch; for a file with lines, its line.
        row: The row as `whence.lake.cells` writes it.
        reasons: Every reason there is.
    """

    position: int
    row: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sifted:
    """A batch in two parts.

    Attributes:
        good: What may enter, with the columns and types of the table.
        positions: Where the good rows stood in the batch.
        bad: What may not, in the order of the batch.
        source: The file the batch came from.
        filled: Column → how many missing values of the good rows were given the default.
    """

    good: pa.Table
    positions: Sequence[int]
    bad: tuple[Rejected, ...]
    source: str | None = None
    filled: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Column:
    """A column with the table's type: null where a value does not fit, and what stood there."""

    array: pa.ChunkedArray
    reasons: dict[int, str] = field(default_factory=dict)
    cells: dict[int, str] = field(default_factory=dict)
    told: bool = True  # False for a column the data do not have


def sift(
    data: object,
    want: pa.Schema | None,
    *,
    declaration: TableDeclaration,
    check: RowCheck | None,
    evolve: bool = False,
) -> Sifted:
    """Part a batch into rows that may enter and rows that may not.

    Args:
        data: Rows as `Table.append` takes them, or a `Batch` of a file.
        want: The table's columns; None when there is no table yet.
        declaration: What the table declares.
        check: Decides about rows that fit otherwise.
        evolve: Columns the table does not have are new columns of it.

    Raises:
        UsageError: The batch as a whole is nothing that can be parted: not rows at all, a column twice,
            an index with a name; or there is no table yet to say which of mixed types is meant.
    """
    if isinstance(data, str | Path) and Path(data).suffix != ".parquet":
        data = read_batch(Path(data), want)
    columns, schema, n = _fitted(data, want, evolve=evolve, fills=fills_of(check))
    reasons: dict[int, list[str]] = {}
    for name, column in columns.items():
        for row, reason in column.reasons.items():
            reasons.setdefault(row, []).append(f"{name}: {reason}")
    table = pa.Table.from_arrays([columns[f.name].array for f in schema], schema=_loosened(schema))
    given, table = table, filled_by(check, table, schema)
    _judge(table, schema, declaration, check, reasons)
    good = np.setdiff1d(np.arange(n), np.fromiter(reasons, np.int64, len(reasons)), assume_unique=True)
    lines = data.lines if isinstance(data, Batch) else None
    places = good if lines is None else np.asarray(lines, np.int64)[good]
    bad = _rejected(columns, reasons, lines)
    source = None
    if isinstance(data, Batch):
        source = data.source
        bad = sorted([*bad, *map(_broken_row, data.broken)], key=lambda r: r.position)
    kept = table if not reasons else table.take(good)
    counts = {} if table is given else n_filled(given if not reasons else given.take(good), kept)
    return Sifted(kept.cast(schema), places.tolist(), tuple(bad), source, counts)


def _broken_row(broken: Any) -> Rejected:
    # Any: Broken; a line that is no row at all is kept as it stands
    cells = {"line": cell_texts(pa.array([broken.text], pa.binary()).view(pa.string()))}
    return Rejected(broken.line, join_cells(cells, 1)[0], (broken.reason,))


def _loosened(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, f.type) for f in schema])


def _judge(
    table: pa.Table,
    schema: pa.Schema,
    declaration: TableDeclaration,
    check: RowCheck | None,
    reasons: dict[int, list[str]],
) -> None:
    """Add what is wrong with rows whose values all fit their columns."""
    for rows, reason in _faults(table, schema, declaration):
        for row in rows:
            if row not in reasons or not any(
                r.startswith(reason.partition(":")[0] + ":") for r in reasons[row]
            ):
                reasons.setdefault(row, []).append(reason)
    if check is None or table.num_rows == 0:
        return
    open_ = np.setdiff1d(np.arange(table.num_rows), np.fromiter(reasons, np.int64, len(reasons)))
    candidates = table if not reasons else table.take(open_)
    if candidates.num_rows == 0:
        return
    mask, texts = check(candidates.cast(schema))
    for i in np.flatnonzero(~np.asarray(mask, dtype=bool)):
        reasons.setdefault(int(open_[i]), []).append(str(texts[int(i)]))


def _faults(
    table: pa.Table, schema: pa.Schema, declaration: TableDeclaration
) -> Iterable[tuple[list[int], str]]:
    for f in schema:
        if not f.nullable:
            yield _where(pc.is_null(table.column(f.name))), f"{f.name}: have null, want not null"
    known_at = declaration.known_at
    if known_at is not None and known_at in schema.names:
        yield _where(pc.is_null(table.column(known_at))), f"{known_at}: null, it says when the row was known"
    nameless = null_keys(table, declaration.key)
    if nameless is not None:
        yield _where(nameless), f"{', '.join(declaration.key)}: null, which names no row"
    for name in declaration.partition_by:
        if name in schema.names and schema.field(name).type == pa.string():
            empty = pc.fill_null(pc.equal(table.column(name), ""), False)
            yield _where(empty), f"{name}: empty text, which a partition reads back as null"


def _where(mask: pa.ChunkedArray) -> list[int]:
    return [int(i) for i in np.flatnonzero(mask.to_numpy(zero_copy_only=False))] if len(mask) else []


def _rejected(
    columns: Mapping[str, _Column], reasons: Mapping[int, Sequence[str]], lines: Sequence[int] | None
) -> list[Rejected]:
    rows = sorted(reasons)
    if not rows:
        return []
    cells: dict[str, list[str | None]] = {}
    for name, column in columns.items():
        if not column.told:
            continue
        texts: list[str | None] = list(cell_texts(column.array.take(pa.array(rows, pa.int64()))))
        for i, row in enumerate(rows):
            if row in column.cells:
                texts[i] = column.cells[row]
        cells[name] = texts
    texts_ = join_cells(cells, len(rows))
    return [
        Rejected(row if lines is None else lines[row], text, tuple(reasons[row]))
        for row, text in zip(rows, texts_, strict=True)
    ]


# --- values that fit, and values that do not ------------------------------------------------------


def _fitted(
    data: object, want: pa.Schema | None, *, evolve: bool, fills: Collection[str] = ()
) -> tuple[dict[str, _Column], pa.Schema, int]:
    """Every column of the table and of the data, the columns the table will have, the number of rows."""
    data = _kept(data)
    if not isinstance(data, Batch):
        found = _whole(data, want, evolve=evolve)
        if found is not None:
            return {n: _Column(found.column(n)) for n in found.column_names}, found.schema, found.num_rows
    given, texts, n = _columns(data, want)
    schema = want if want is not None else pa.schema([])
    columns: dict[str, _Column] = {}
    for name, values in given.items():
        if name in schema.names:
            columns[name] = _fit_column(values, schema.field(name).type, texts=texts)
        elif evolve or want is None:
            type_ = _type_of(name, values)
            columns[name] = _fit_column(values, type_, texts=texts)
            schema = schema.append(pa.field(name, type_))
        else:
            columns[name] = _extra_column(values)
    for f in schema:
        if f.name not in columns:
            absent = {} if f.name in fills else dict.fromkeys(range(n), f"missing, want {f.type}")
            columns[f.name] = _Column(pa.chunked_array([pa.nulls(n, f.type)]), absent, told=False)
    return columns, schema, n


def _kept(data: object) -> object:
    """Data that may be read twice."""
    once = (
        isinstance(data, Iterable)
        and not hasattr(data, "__len__")
        and not hasattr(data, "__arrow_c_stream__")
    )
    if isinstance(data, pa.RecordBatchReader):
        return data.read_all()
    if once and isinstance(data, Iterable) and not isinstance(data, str | Path | Batch):
        return list(data)
    if hasattr(data, "__arrow_c_stream__") and not isinstance(data, pa.Table):
        return read_any(data, None)
    return data


def _whole(data: object, want: pa.Schema | None, *, evolve: bool) -> pa.Table | None:
    """The batch when all of it fits; None when some rows may not."""
    if want is not None and any(_truths(data, f.name) for f in want if pa.types.is_floating(f.type)):
        return None
    try:
        table = to_arrow(data, schema=want)
        if want is None:
            return table.cast(table.schema.remove_metadata())
        new = [f for f in table.schema if f.name not in want.names] if evolve else []
        return conform(table, pa.schema([*want, *(f.with_nullable(True) for f in new)]))
    except UsageError as error:
        if error.code not in _OF_ROWS or want is None:
            raise
        return None


def _truths(data: object, name: str) -> bool:
    """Whether true or false stands among the Python values of a column; beside a float Arrow reads it as 1 or 0."""
    if isinstance(data, Mapping):
        values = data.get(name)
        return isinstance(values, list | tuple) and any(isinstance(v, bool) for v in values)
    if isinstance(data, list | tuple):
        return any(isinstance(row, Mapping) and isinstance(row.get(name), bool) for row in data)
    return False


#: A column as it was given: Arrow with a type of its own, or Python values.
_Given = pa.ChunkedArray | list[Any]


def _columns(data: Any, want: pa.Schema | None) -> tuple[dict[str, Any], bool, int]:
    # Any: data of any kind, columns as `_Given`
    """The columns as they were given, whether text stands for values of any type, the number of rows."""
    if isinstance(data, Batch):
        return dict(data.columns), True, data.n_rows
    if isinstance(data, Mapping):
        given = {str(n): v if isinstance(v, pa.ChunkedArray) else _chunked(v) for n, v in data.items()}
        lengths = {len(v) for v in given.values()}
        if len(lengths) > 1:
            raise UsageError("the columns differ in length", code="bad-data")
        return given, False, max(lengths, default=0)
    if isinstance(data, list | tuple):
        names: dict[str, None] = {}
        for i, row in enumerate(data):
            if not isinstance(row, Mapping):
                raise UsageError(f"row {i} is a {type(row).__name__}, not a mapping", code="bad-data")
            names.update(dict.fromkeys(row))
        return {str(n): [row.get(n) for row in data] for n in names}, False, len(data)
    if type(data).__module__.partition(".")[0] == "pandas":
        return {str(n): _series(data[n]) for n in data.columns}, False, len(data)
    table = read_any(data, want)
    return dict(zip(table.column_names, table.columns, strict=True)), False, table.num_rows


def _chunked(values: Any) -> Any:
    if isinstance(values, pa.Array):
        return pa.chunked_array([values])
    return values.tolist() if hasattr(values, "dtype") else list(values)


def _series(series: Any) -> Any:
    # Any: pandas is not imported here
    try:
        return pa.chunked_array([pa.Array.from_pandas(series)])
    except (pa.ArrowException, TypeError):
        return [None if v != v else v for v in series.tolist()]  # NaN is how pandas says null


def new_schema(data: Batch | pa.Table, given: Sequence[str] = ()) -> pa.Schema:
    """The columns of a table that is made from these rows; of the `given` ones any type will do.

    Raises:
        UsageError: A column holds what tables do not keep (``unsupported-type``, ``naive-time``).
    """
    columns = (
        data.columns if isinstance(data, Batch) else dict(zip(data.column_names, data.columns, strict=True))
    )
    return pa.schema(
        {name: pa.string() if name in given else _type_of(name, values) for name, values in columns.items()}
    )


def _type_of(name: str, values: Any) -> pa.DataType:
    """The type a new column gets: of all values, else of the first one."""
    if isinstance(values, pa.ChunkedArray):
        return normal_type(values.type, name=name)
    try:
        return normal_type(pa.array(values).type, name=name)
    except (pa.ArrowException, TypeError, OverflowError):
        first = next(v for v in values if v is not None)
        return normal_type(pa.array([first]).type, name=name)


def _fit_column(values: Any, want: pa.DataType, *, texts: bool) -> _Column:
    """The column with the wanted type, by halves: a part in which all fits is taken at once."""
    n = len(values)
    pieces: list[pa.Array] = []
    column = _Column(pa.chunked_array([], want))
    convert = _converter(values, want, texts=texts)
    todo = [(0, n)] if n else []
    while todo:
        low, high = todo.pop()
        try:
            pieces.append(convert(values[low:high]))
        except _MisfitError as misfit:
            if high - low > 1:
                middle = (low + high) // 2
                todo += [(middle, high), (low, middle)]
                continue
            pieces.append(pa.nulls(1, want))
            column.reasons[low], column.cells[low] = misfit.reason, misfit.cell
    column.array = pa.chunked_array([c for p in pieces for c in _chunks(p)], want)
    return column


def _chunks(piece: Any) -> list[pa.Array]:
    return list(piece.chunks) if isinstance(piece, pa.ChunkedArray) else [piece]


def _extra_column(values: Any) -> _Column:
    """A column the table does not have: a row that says something there does not fit."""
    n = len(values)
    column = _Column(pa.chunked_array([pa.nulls(n)]), told=False)
    valid = (
        _where(pc.is_valid(values))
        if isinstance(values, pa.ChunkedArray)
        else [i for i, v in enumerate(values) if v is not None]
    )
    for i in valid:
        have, cell = _cell(values[i : i + 1] if isinstance(values, pa.ChunkedArray) else values[i])
        column.reasons[i], column.cells[i] = f"extra, have {have}", cell
    column.told = bool(valid)
    return column


class _MisfitError(Exception):
    """Values that do not fit; what is said of one is kept."""

    def __init__(self, reason: str, cell: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cell = cell


def _converter(values: Any, want: pa.DataType, *, texts: bool) -> Callable[[Any], Any]:
    if not isinstance(values, pa.ChunkedArray):
        return lambda part: _from_python(part, want, texts=texts)
    if texts:
        return lambda part: _from_text(part, want)
    return lambda part: _from_arrow(part, want)


def _from_arrow(part: pa.ChunkedArray, want: pa.DataType) -> pa.ChunkedArray:
    if part.null_count == len(part):
        return pa.chunked_array([pa.nulls(len(part), want)])
    try:
        normal = part.cast(normal_type(part.type))
    except (pa.ArrowException, UsageError) as error:
        raise _misfit(part, want) from error
    if normal.type.equals(want) or widens(normal.type, want):
        return normal.cast(want)
    raise _misfit(part, want)


def _from_python(part: Sequence[Any], want: pa.DataType, *, texts: bool) -> pa.Array:
    if any(isinstance(v, datetime) and v.tzinfo is None for v in part):
        raise _misfit(part, want)
    if pa.types.is_floating(want) and any(isinstance(v, bool) for v in part):
        raise _misfit(part, want)
    try:
        array = pa.array(part)
        normal = array.cast(normal_type(array.type))
    except (pa.ArrowException, TypeError, ValueError, OverflowError, UsageError) as error:
        raise _misfit(part, want) from error
    if texts and pa.types.is_string(normal.type) and not pa.types.is_string(want):
        return _from_text(normal, want)
    normal = fit(normal, want)
    if normal.type.equals(want) or widens(normal.type, want):
        return normal.cast(want)
    raise _misfit(part, want)


def _from_text(part: Any, want: pa.DataType) -> Any:
    """Text or bytes as values of a type, as a CSV file means them."""
    try:
        text = part.cast(pa.string())
        if pa.types.is_string(want):
            return text
        if pa.types.is_binary(want):
            return part.cast(want)
        return pc.utf8_trim_whitespace(text).cast(want)
    except pa.ArrowException as error:
        raise _misfit(part, want) from error


def _misfit(part: Any, want: pa.DataType) -> _MisfitError:
    if len(part) != 1:
        return _MisfitError("", "")  # it will be halved
    have, cell = _cell(part if isinstance(part, pa.ChunkedArray | pa.Array) else part[0])
    return _MisfitError(f"have {have}, want {want}", cell)


def _cell(value: Any) -> tuple[str, str]:
    """What one value is, for a reason, and its cell."""
    try:
        array = value if isinstance(value, pa.ChunkedArray | pa.Array) else pa.array([value])
        kind = normal_type(array.type)
        shown = array.cast(kind)
        if pa.types.is_binary(kind):
            return _bytes_cell(shown)
        have = f"text {shown[0].as_py()!r}" if pa.types.is_string(kind) else str(kind)
        return have, cell_texts(shown)[0]
    except (pa.ArrowException, TypeError, ValueError, OverflowError, UsageError):
        return _foreign_cell(value)


def _bytes_cell(value: Any) -> tuple[str, str]:
    """Bytes, which in a CSV file are text."""
    try:
        text = value.cast(pa.string())
    except pa.ArrowException:
        return "bytes that are no UTF-8", cell_texts(value)[0]
    return f"text {text[0].as_py()!r}", cell_texts(text)[0]


def _foreign_cell(value: Any) -> tuple[str, str]:
    """What no table keeps, as its text; in a struct, so that it is not taken for text that was given."""
    if isinstance(value, pa.ChunkedArray | pa.Array):
        have, plain = str(value.type), value[0].as_py()
    else:
        have, plain = type(value).__name__, value
    if isinstance(plain, datetime) and plain.tzinfo is None:
        have = "a time without a zone"
    elif isinstance(plain, int) and not -(2**63) <= plain < 2**63:
        have = "an integer beyond int64"
    elif isinstance(plain, str):
        have = "text with half of a surrogate pair, which is no UTF-8"
    text = str(plain).encode("utf-8", "backslashreplace").decode()
    return have, cell_texts(pa.array([{"text": text}]))[0]
