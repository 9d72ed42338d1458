"""Data of any origin as Arrow, in the few types whence keeps, and the comparison of schemas.

Accepted types: bool, int8…int64, float32, float64, decimal128, string, binary, date32, timestamp in
UTC microseconds, lists, structs and null. `normalise` brings the variants of these (large, view,
dictionary, other units and zones of time) into that form when nothing is lost, and refuses the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from whence.errors import NotFoundError, UsageError

TS: Final = pa.timestamp("us", tz="UTC")
"""The one type of a moment."""

CSV_NULLS: Final = ("", "NA")
"""Unquoted fields of a CSV file that mean null; quoted, they are text."""

DifferenceKind: TypeAlias = Literal["missing", "extra", "type", "nullable"]


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """One way in which data differ from a declared schema.

    Attributes:
        name: The column.
        kind: ``missing`` (declared, not in the data), ``extra`` (in the data, not declared), ``type``,
            or ``nullable`` (the data may hold nulls where the declaration allows none).
        have: The data's type as text; None when missing.
        want: The declared type as text; None when extra.
    """

    name: str
    kind: DifferenceKind
    have: str | None
    want: str | None

    def __str__(self) -> str:
        if self.kind == "missing":
            return f"{self.name}: missing, want {self.want}"
        if self.kind == "extra":
            return f"{self.name}: extra, have {self.have}"
        return f"{self.name}: have {self.have}, want {self.want}"


# --- from anything to Arrow ---------------------------------------------------------------------


def to_arrow(data: object, *, schema: pa.Schema | None = None) -> pa.Table:
    """Data of any accepted kind as one normalised Arrow table.

    Typed data (Arrow, pandas, Polars, DuckDB, Parquet) keep their types. Untyped data (Python values,
    CSV) take the types of `schema` for the columns it names, when every value fits without loss;
    a value that does not fit keeps its own type, so that the comparison of schemas can name it.

    Args:
        data: An Arrow table, batch or reader; a pandas or Polars frame; a DuckDB relation or anything
            with ``__arrow_c_stream__``; a path ending in ``.csv`` or ``.parquet``; a mapping of
            columns; an iterable of mappings (a key absent from some of them is null there).
        schema: Types for untyped data. It is a help in reading, not a check.

    Raises:
        UsageError: The kind is not accepted (``bad-data``), a type is not (``unsupported-type``), a
            time has no zone (``naive-time``) or would lose digits (``lossy-time``), an index of a
            pandas frame has a name (``named-index``), or a column appears twice (``duplicate-column``).
        NotFoundError: The file is absent.

    Example:
        >>> to_arrow([{"a": 1}, {"a": 2, "b": "x"}]).to_pydict()
        {'a': [1, 2], 'b': [None, 'x']}
    """
    try:
        return normalise(read_any(data, schema))
    except pa.ArrowException as error:
        raise UsageError(f"the data cannot be read as Arrow: {error}", code="bad-data") from error


def read_any(data: Any, schema: pa.Schema | None) -> pa.Table:
    """As `to_arrow`, in the types the data come with; errors of Arrow pass."""
    # Any: the whole point is that the data may be of any kind
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, pa.RecordBatchReader):
        return data.read_all()
    if isinstance(data, str | Path):
        return _read_file(Path(data), schema)
    if type(data).__module__.partition(".")[0] == "pandas":
        return _read_pandas(data)
    if hasattr(data, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(data).read_all()
    if isinstance(data, Mapping):
        return _read_columns({str(k): v for k, v in data.items()}, schema)
    if isinstance(data, Iterable) and not isinstance(data, bytes | bytearray | memoryview):
        return _read_rows(data, schema)
    raise UsageError(
        f"data of type {type(data).__name__} is not accepted",
        code="bad-data",
        hint="give Arrow, pandas, Polars, a DuckDB relation, a .csv or .parquet path, or mappings",
    )


def _read_file(path: Path, schema: pa.Schema | None) -> pa.Table:
    if path.suffix not in (".csv", ".parquet"):
        raise UsageError(f"file {path.name!r} is neither .csv nor .parquet", code="bad-data")
    if not path.exists():
        raise NotFoundError("file", path)
    if path.suffix == ".parquet":
        return pyarrow.parquet.ParquetFile(path).read()
    types = {} if schema is None else {field.name: field.type for field in schema}
    options = pyarrow.csv.ConvertOptions(
        column_types=types,
        null_values=list(CSV_NULLS),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return pyarrow.csv.read_csv(path, convert_options=options)


def _read_pandas(frame: Any) -> pa.Table:
    # Any: pandas is not imported here
    if not hasattr(frame, "columns"):
        raise UsageError("a pandas Series is not a table", code="bad-data", hint="use series.to_frame(name)")
    names = [name for name in frame.index.names if name is not None]
    if names or frame.index.nlevels > 1:
        raise UsageError(
            f"the frame has a named index ({', '.join(map(str, names))}), which is no column",
            code="named-index",
            hint="call reset_index() first, with drop=True to leave it out",
        )
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return table.replace_schema_metadata(None)


def _read_columns(columns: Mapping[str, Any], schema: pa.Schema | None) -> pa.Table:
    wanted = {} if schema is None else {field.name: field.type for field in schema}
    arrays = {name: _column(name, values, wanted.get(name)) for name, values in columns.items()}
    return pa.table(arrays)


def _read_rows(rows: Iterable[Any], schema: pa.Schema | None) -> pa.Table:
    kept = list(rows)
    names: dict[str, None] = {}
    for i, row in enumerate(kept):
        if not isinstance(row, Mapping):
            raise UsageError(f"row {i} is a {type(row).__name__}, not a mapping", code="bad-data")
        names.update(dict.fromkeys(row))
    if not kept and schema is not None:
        return schema.empty_table()
    return _read_columns({name: [row.get(name) for row in kept] for name in names}, schema)


def _column(name: str, values: Any, want: pa.DataType | None) -> pa.Array:
    # Any: values are an Arrow array, a numpy array or Python values
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if not hasattr(values, "dtype"):
        values = list(values)
        if any(isinstance(v, datetime) and v.tzinfo is None for v in values):
            raise _naive(name)
    try:
        array = pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"column {name!r} has values of mixed types: {error}", code="bad-data") from error
    return array if want is None else fit(array, want)


def fit(array: pa.Array, want: pa.DataType) -> pa.Array:
    """`array` as `want` if the values survive the way there and back, else as it is."""
    have = array.type
    numbers = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal
    fits = (
        pa.types.is_null(have)
        or (pa.types.is_timestamp(have) and have.tz and pa.types.is_timestamp(want))
        or (any(t(have) for t in numbers) and any(t(want) for t in numbers))
        or (pa.types.is_nested(have) and pa.types.is_nested(want))
    )
    if have == want or not fits:
        return array
    try:
        fitted = array.cast(want)
        if pa.types.is_null(have) or fitted.cast(have).equals(array):
            return fitted
    except pa.ArrowException:
        pass
    return array


# --- one form per type --------------------------------------------------------------------------


def normalise(table: pa.Table) -> pa.Table:
    """The same rows in the types whence keeps; column order and field metadata of no meaning go.

    Dictionaries are decoded; large and view types become plain; fixed-size lists and binaries become
    variable; small decimals become decimal128; times take UTC and microseconds when no digit is lost.

    Raises:
        UsageError: ``naive-time``, ``lossy-time``, ``unsupported-type``, ``duplicate-column``.

    Example:
        >>> normalise(pa.table({"a": pa.array(["x"], pa.large_string())})).schema.field("a").type
        DataType(string)
    """
    names = table.schema.names
    if len(set(names)) != len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        raise UsageError(f"column {twice[0]!r} appears more than once", code="duplicate-column")
    if all(f.metadata is None and _is_plain(f.type) for f in table.schema):
        return table
    fields, columns, changed = [], [], False
    for field, column in zip(table.schema, table.columns, strict=True):
        want = normal_type(field.type, name=field.name)
        if not want.equals(field.type):
            column, changed = _cast(column, want, field.name), True
        fields.append(pa.field(field.name, want, nullable=field.nullable))
        columns.append(column)
    if not changed and all(f.metadata is None for f in table.schema):
        return table
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata=table.schema.metadata))


def normalise_schema(schema: pa.Schema) -> pa.Schema:
    """The schema `normalise` gives a table of this schema, without metadata."""
    return pa.schema(
        [pa.field(f.name, normal_type(f.type, name=f.name), nullable=f.nullable) for f in schema]
    )


def normal_type(type_: pa.DataType, *, name: str = "") -> pa.DataType:
    """The type whence keeps for a type of Arrow.

    Raises:
        UsageError: ``naive-time`` for a time without a zone, ``unsupported-type`` for types without
            a place in a table (unsigned 64-bit, durations, times of day, maps, unions, …).
    """
    if _is_plain(type_):
        return type_
    for test, make in _NORMAL_FORMS:
        if test(type_):
            return make(type_, name)
    raise UsageError(
        f"column {name!r} has type {type_}, which tables do not keep",
        code="unsupported-type",
        hint="cast it to one of: bool, int8…int64, float32, float64, decimal, string, binary, date, "
        "timestamp (UTC), list, struct",
    )


_SIGNED: Final = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
_PLAIN: Final = frozenset(
    [pa.bool_(), *_SIGNED, pa.float32(), pa.float64(), pa.string(), pa.binary(), pa.date32(), TS, pa.null()]
)


def _is_plain(type_: pa.DataType) -> bool:
    return type_ in _PLAIN or pa.types.is_decimal128(type_)


def _timestamp(type_: pa.DataType, name: str) -> pa.DataType:
    if type_.tz is None:
        raise _naive(name)
    return TS


def _naive(name: str) -> UsageError:
    return UsageError(
        f"column {name!r} holds times without a zone",
        code="naive-time",
        hint="give the zone, for example timestamp[us, UTC] or datetime(..., tzinfo=timezone.utc)",
    )


def _list(type_: pa.DataType, name: str) -> pa.DataType:
    # the element is called `element`, as Parquet and Delta call it, so that equal lists compare equal
    return pa.list_(pa.field("element", normal_type(type_.value_type, name=f"{name}[]")))


def _struct(type_: pa.DataType, name: str) -> pa.DataType:
    return pa.struct([pa.field(f.name, normal_type(f.type, name=f"{name}.{f.name}")) for f in type_])


def _always(want: pa.DataType) -> Callable[[pa.DataType, str], pa.DataType]:
    return lambda _type, _name: want


_NORMAL_FORMS: Final[Sequence[tuple[Callable[[Any], bool], Callable[[Any, str], Any]]]] = (
    (pa.types.is_timestamp, _timestamp),
    (pa.types.is_dictionary, lambda t, name: normal_type(t.value_type, name=name)),
    (pa.types.is_large_string, _always(pa.string())),
    (pa.types.is_string_view, _always(pa.string())),
    (pa.types.is_large_binary, _always(pa.binary())),
    (pa.types.is_binary_view, _always(pa.binary())),
    (pa.types.is_fixed_size_binary, _always(pa.binary())),
    (pa.types.is_decimal32, lambda t, _name: pa.decimal128(t.precision, t.scale)),
    (pa.types.is_decimal64, lambda t, _name: pa.decimal128(t.precision, t.scale)),
    (pa.types.is_struct, _struct),
    (pa.types.is_list, _list),
    (pa.types.is_large_list, _list),
    (pa.types.is_fixed_size_list, _list),
    (pa.types.is_list_view, _list),
    (pa.types.is_run_end_encoded, lambda t, name: normal_type(t.value_type, name=name)),
    # unsigned integers of less than 64 bits fit the next signed one
    (pa.types.is_uint8, _always(pa.int16())),
    (pa.types.is_uint16, _always(pa.int32())),
    (pa.types.is_uint32, _always(pa.int64())),
)


def _cast(column: pa.ChunkedArray, want: pa.DataType, name: str) -> pa.ChunkedArray:
    try:
        if pa.types.is_run_end_encoded(column.type):
            column = pa.chunked_array([pc.run_end_decode(c) for c in column.chunks], column.type.value_type)
        column = column.cast(without_views(column.type))  # a dictionary of views is cast to nothing else
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return column.cast(want)
    except pa.ArrowException as error:
        code = "lossy-time" if pa.types.is_timestamp(want) else "unsupported-type"
        raise UsageError(
            f"column {name!r} cannot be kept as {want} without loss: {error}", code=code
        ) from error


def without_views(kind: pa.DataType) -> pa.DataType:
    """The type with views of text and bytes as text and bytes: few kernels know them (Polars gives them).

    Example:
        >>> without_views(pa.list_(pa.string_view()))
        ListType(list<item: string>)
    """
    t = pa.types
    if t.is_string_view(kind):
        return pa.string()
    if t.is_binary_view(kind):
        return pa.binary()
    if t.is_dictionary(kind):
        return pa.dictionary(kind.index_type, without_views(kind.value_type), kind.ordered)
    if t.is_struct(kind):
        return pa.struct([f.with_type(without_views(f.type)) for f in kind])
    if t.is_list(kind):
        return pa.list_(kind.value_field.with_type(without_views(kind.value_type)))
    if t.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(without_views(kind.value_type)))
    if t.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(without_views(kind.value_type)), kind.list_size)
    return kind


# --- comparing and conforming -------------------------------------------------------------------


def compare_schemas(have: pa.Schema, want: pa.Schema) -> list[SchemaDifference]:
    """Every difference between the schema of data and a declared one, in the declared order.

    Column order, metadata and nullability inside lists and structs do not count.

    Args:
        have: The data's schema.
        want: The declared schema.

    Example:
        >>> [str(d) for d in compare_schemas(pa.schema({"a": pa.string()}), pa.schema({"a": pa.int64()}))]
        ['a: have string, want int64']
    """
    differences = []
    got = {field.name: field for field in have}
    for field in want:
        if field.name not in got:
            differences.append(SchemaDifference(field.name, "missing", None, str(field.type)))
            continue
        other = got.pop(field.name)
        if not other.type.equals(field.type):
            differences.append(SchemaDifference(field.name, "type", str(other.type), str(field.type)))
        elif other.nullable and not field.nullable:
            differences.append(SchemaDifference(field.name, "nullable", "nullable", "not null"))
    differences += [SchemaDifference(n, "extra", str(f.type), None) for n, f in got.items()]
    return differences


def widens(have: pa.DataType, want: pa.DataType) -> bool:
    """Whether every value of `have` is one of `want` by a wider integer, float32 → float64, or null.

    Example:
        >>> widens(pa.int32(), pa.int64()), widens(pa.int64(), pa.float64())
        (True, False)
    """
    if pa.types.is_null(have):
        return True
    if have in _SIGNED and want in _SIGNED:
        return bool(have.bit_width <= want.bit_width)
    return bool(have == pa.float32() and want == pa.float64())


def schema_mismatch(what: str, differences: Sequence[SchemaDifference]) -> UsageError:
    """The error of data that do not fit `what`: it names each column, what it has and what is wanted."""
    listed = "; ".join(map(str, differences))
    only_extra = all(d.kind == "extra" for d in differences)
    return UsageError(
        f"the data do not fit {what}: {listed}",
        code="schema-mismatch",
        hint="pass evolve=True to add the new columns" if only_extra else "cast the columns, then retry",
        details={
            "differences": [
                {"name": d.name, "kind": d.kind, "have": d.have, "want": d.want} for d in differences
            ]
        },
    )


def conform(table: pa.Table, want: pa.Schema, *, what: str = "the declared schema") -> pa.Table:
    """The rows of `table` with exactly the columns and types of `want`, in its order.

    Integers are widened, float32 becomes float64, a column of nothing but null takes any type; nothing
    else is cast.

    Raises:
        UsageError: ``schema-mismatch``: columns are missing, extra or of another type, or a null stands
            where none is allowed; every such column is named.
    """
    bad = []
    for d in compare_schemas(table.schema, want):
        if d.kind == "type" and widens(table.schema.field(d.name).type, want.field(d.name).type):
            if not want.field(d.name).nullable and table.column(d.name).null_count:
                bad.append(SchemaDifference(d.name, "nullable", "null", "not null"))
        elif d.kind == "nullable":
            if table.column(d.name).null_count:
                bad.append(SchemaDifference(d.name, "nullable", "null", "not null"))
        else:
            bad.append(d)
    if bad:
        raise schema_mismatch(what, bad)
    columns = [table.column(f.name) for f in want]
    columns = [c if c.type.equals(f.type) else c.cast(f.type) for c, f in zip(columns, want, strict=True)]
    return pa.Table.from_arrays(columns, schema=want)
