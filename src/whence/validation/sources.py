"""Rows of files and frames, streamed: CSV, Parquet, pandas, Polars, Arrow."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet

from whence._base.arrow import read_any, without_views
from whence.compute import Engine, Streamed, open_engine
from whence.errors import IntegrityError, NotFoundError, UsageError
from whence.validation.cells import feature_type
from whence.validation.csv import AS_WRITTEN, CsvFormat, Widened, csv_names, open_csv
from whence.validation.describe import (
    Progress,
    describe_batches,
    named_columns,
    plain_schema,
    with_query_slices,
)
from whence.validation.options import DEFAULTS, StatisticsOptions
from whence.validation.queries import RELATION
from whence.validation.rounded import as_doubles, mark_of, with_marks
from whence.validation.spool import spooled
from whence.validation.statistics import Statistics

CSV_ENDINGS: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.bz2", ".csv.zst")
ENDINGS: Final = (*CSV_ENDINGS, ".parquet")
_READ_AS: Final[Mapping[str, pa.DataType]] = {
    "INT": pa.int64(),
    "FLOAT": pa.float64(),
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "BOOL": pa.bool_(),
}
"""Types a CSV file is read as when they are asked for: text keeps its leading zeros."""
_WILD: Final = re.compile(r"[*?\[]")

FilePath: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True)
class Rows(Streamed):
    """Rows that can be streamed; each call of `batches` reads them anew, when `again` says so.

    Attributes:
        n_rows: How many there are, when known without reading.
        again: Whether they can be read more than once.
    """

    n_rows: int | None = None
    again: bool = True


def is_path(source: object) -> bool:
    """Whether a source is the path of a file (or a pattern of paths) that can be described.

    Example:
        >>> is_path("data/*.csv"), is_path("flights@12")
        (True, False)
    """
    if isinstance(source, os.PathLike):
        return True
    return isinstance(source, str) and source.lower().endswith(ENDINGS)


def describe_file(
    path: FilePath | Sequence[FilePath],
    *,
    name: str | None = None,
    options: StatisticsOptions = DEFAULTS,
    csv: CsvFormat | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Statistics:
    """Statistics of one or several CSV or Parquet files, streamed in flat memory.

    Several files (a list, or a pattern such as ``days/*.csv``) are one set of rows; each has the same
    columns. A CSV column has the type that all its values read as: where a later value does not fit the
    type its first megabyte suggested, the files are read again with a wider one. Whole numbers beyond 64
    bits are text, as in TFDV: doubles would not tell them apart. A column of Parquet files has the type that
    holds the values of all of them: whole numbers in one and others in another are doubles. How many whole
    numbers were rounded so is said (``num_rounded``).

    Args:
        path: The files.
        name: What is described; None is the file's name.
        options: What is computed and how much of it is shown.
        csv: How CSV files are written; None is comma, quotes and a header.
        engine: Evaluates slices given as SQL; None opens one when it is needed.
        progress: Called after each block with its number of rows.

    Raises:
        NotFoundError: A file is absent (``file-not-found``).
        UsageError: A file is no CSV file, or a line has too many or too few fields (``bad-csv``); it is
            neither CSV nor Parquet (``bad-data``); no type holds a column of two Parquet files
            (``mixed-types``); else as `describe`.
        IntegrityError: A Parquet file cannot be read (``file-corrupted``).
    """
    paths = _paths(path)
    title = name if name is not None else _title(paths)
    if paths[0].name.lower().endswith(".parquet"):
        return _describe(_parquet(paths, options), title, options, engine, progress)
    format_ = csv or CsvFormat()
    asked = {c: _READ_AS[t] for c, t in options.types.items() if t in _READ_AS}
    format_ = replace(format_, types={**asked, **format_.types})
    found: dict[str, pa.DataType] = {}
    shown = _Seen(progress)
    while True:
        try:
            return _describe(_csv(paths, format_, found, options), title, options, engine, shown.advance)
        except Widened as wider:
            found[wider.column] = wider.type
            shown.restart()


class _Seen:
    """Reports rows once, also when they are read again."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._shown = self._now = 0

    def advance(self, n: int) -> None:
        self._now += n
        if self._progress is not None and self._now > self._shown:
            self._progress(self._now - self._shown)
        self._shown = max(self._shown, self._now)

    def restart(self) -> None:
        self._now = 0


def describe_rows(
    rows: Rows,
    *,
    name: str,
    options: StatisticsOptions,
    engine: Engine,
    progress: Progress | None = None,
    query: Callable[[str], pa.RecordBatchReader] | None = None,
) -> Statistics:
    """Statistics of streamed rows; `query` answers the slices that are given as queries."""
    made = describe_batches(rows.batches(), rows.schema, name, options, engine, progress)
    if query is not None:
        made = with_query_slices(made, options, query)
    elif options.rereads:
        made = with_query_slices(made, options, _query_of(rows, engine))
    return made.sealed()


def _query_of(rows: Rows, engine: Engine) -> Callable[[str], pa.RecordBatchReader]:
    if not rows.again:
        raise UsageError(
            "a slice given as a query needs rows that can be read again",
            code="bad-slice",
            hint="give a table, a file or a version, or an expression: Slice(name, where)",
        )
    return lambda sql: engine.stream(sql, {RELATION: rows})


def _describe(
    rows: Rows, name: str, options: StatisticsOptions, engine: Engine | None, progress: Progress | None
) -> Statistics:
    if engine is not None:
        return describe_rows(rows, name=name, options=options, engine=engine, progress=progress)
    if not any(s.where or s.query for s in options.slices):
        return describe_batches(rows.batches(), rows.schema, name, options, None, progress).sealed()
    opened = open_engine(threads=1)
    try:
        return describe_rows(rows, name=name, options=options, engine=opened, progress=progress)
    finally:
        opened.close()


def needed_columns(names: Sequence[str], options: StatisticsOptions) -> list[str]:
    """The columns that must be read: those described and those the options name; all when SQL may name more.

    Raises:
        NotFoundError: A column the options name is absent.
    """
    named = named_columns(options)
    for column in named:
        if column not in names:
            raise NotFoundError("column", column, near=names)
    by_sql = any(s.where or s.query for s in options.slices)
    if options.columns is None or by_sql or any(e.columns() is None for e in options.extras):
        return list(names)
    return [n for n in names if n in named]


# --- frames -------------------------------------------------------------------------------------


def frame_rows(source: Any) -> Rows:
    """Rows of anything that holds or streams them: Arrow, pandas, Polars (lazy ones too), DuckDB, mappings.

    Types are taken as they come: a time without a zone is described, not refused.

    Raises:
        UsageError: It is no such thing, or a column mixes types (``bad-data``).
    """
    if isinstance(source, Streamed):
        return Rows(source.schema, source.batches)
    if isinstance(source, pa.RecordBatchReader):
        schema = plain_schema(source.schema)
        return Rows(schema, lambda: (b.cast(schema) for b in source), None, again=False)
    if callable(getattr(source, "collect", None)) and not hasattr(source, "__arrow_c_stream__"):
        source = source.collect()
    try:
        table = read_any(source, None)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise UsageError(f"the data cannot be read as Arrow: {error}", code="bad-data") from error
    schema = plain_schema(table.schema)
    return Rows(schema, lambda: (b.cast(schema) for b in table.to_batches()), table.num_rows)


# --- files --------------------------------------------------------------------------------------


def file_rows(path: FilePath) -> Streamed:
    """The rows of a CSV or Parquet file, to be read as often as wanted; nobody holds them.

    Those of a CSV file, whose types are known only at its end, are kept in a temporary file.

    Raises:
        NotFoundError: It is absent (``file-not-found``).
        UsageError: It is no such file, or does not read; see `describe_file`.
        IntegrityError: A Parquet file cannot be read (``file-corrupted``).
    """
    paths = _paths(path)
    if paths[0].name.lower().endswith(".parquet"):
        return _parquet(paths, DEFAULTS)
    found: dict[str, pa.DataType] = {}
    while True:
        try:
            return spooled(_csv(paths, CsvFormat(), found, DEFAULTS).reader())
        except Widened as wider:
            found[wider.column] = wider.type


def _paths(path: FilePath | Sequence[FilePath]) -> list[Path]:
    given = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    found: list[Path] = []
    for one in given:
        text = os.fspath(one)
        if _WILD.search(text) and not Path(text).exists():
            found += map(Path, sorted(glob.glob(text)))  # noqa: PTH207 - the pattern may begin with a folder
        else:
            found.append(Path(text))
    if not found:
        raise NotFoundError("file", os.fspath(given[0]) if given else "(none)")
    kinds = {p.name.lower().endswith(".parquet") for p in found}
    for one in found:
        if not one.exists():
            raise NotFoundError("file", str(one))
        if one.is_dir():
            raise UsageError(
                f"{str(one)!r} is a folder", code="bad-data", hint=f"{one}/*.csv names its files"
            )
        if not one.name.lower().endswith(ENDINGS) and len(kinds) > 1:
            raise UsageError(f"file {one.name!r} is neither CSV nor Parquet", code="bad-data")
    if len(kinds) > 1:
        raise UsageError("CSV and Parquet files cannot be described together", code="bad-data")
    return found


def _title(paths: Sequence[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"{paths[0].name} and {len(paths) - 1} more"


def _parquet(paths: Sequence[Path], options: StatisticsOptions) -> Rows:
    with _reading(paths[0]) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
    chosen = needed_columns(schema.names, options)
    narrow = pa.schema([schema.field(n).remove_metadata() for n in chosen])
    rounding: set[str] = set()
    said_by = dict.fromkeys(chosen, paths[0])
    for path in paths[1:]:
        with _reading(path) as file:
            n_rows += file.metadata.num_rows
            narrow = _widened(narrow, said_by, rounding, path, file.schema_arrow)
    whole = with_marks(narrow, sorted(rounding))
    batch_rows = max(min(1 << 16, (1 << 22) // max(len(chosen), 1)), 64)

    def batches() -> Iterator[pa.RecordBatch]:
        for path in paths:
            with _reading(path) as file:
                for batch in file.iter_batches(batch_rows, columns=chosen):
                    yield _widened_batch(batch, whole, rounding, path)

    return Rows(whole, batches, n_rows)


def _widened(
    wanted: pa.Schema, said_by: dict[str, Path], rounding: set[str], path: Path, schema: pa.Schema
) -> pa.Schema:
    """The types that also hold the columns of one more file; `said_by` is which file each is of."""
    types = dict(zip(schema.names, schema.types, strict=True))
    fields = []
    for field in wanted:
        have = types.get(field.name)
        kind = field.type if have == field.type else None if have is None else _type_of_both(field.type, have)
        if kind is None:
            first = said_by[field.name]
            raise UsageError(
                f"column {field.name!r} is {have or 'absent'} in {path.name} and {field.type} in {first.name}",
                code="mixed-types",
                hint="write the files with one schema, describe each on its own, or leave the column out: "
                "StatisticsOptions(columns=(…))",
                details={"column": field.name, "files": [str(first), str(path)]},
            )
        if kind == pa.float64() and any(t in (pa.int64(), pa.uint64()) for t in (field.type, have)):
            rounding.add(field.name)
        if kind != field.type:
            said_by[field.name] = path
        fields.append(field.with_type(kind).with_nullable(True))
    return pa.schema(fields)


def _type_of_both(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both; None when there is none that means the same."""
    names = {feature_type(t) for t in (a, b) if not pa.types.is_null(t)}
    if len(names) > 1 and names != {"INT", "FLOAT"}:
        return None
    if pa.types.is_floating(a) or pa.types.is_floating(b):
        if pa.types.is_decimal(a) or pa.types.is_decimal(b):
            return None
        return a if pa.types.is_null(b) else b if pa.types.is_null(a) else pa.float64()
    plain = [t.value_type if pa.types.is_dictionary(t) else t for t in (a, b)]
    try:
        both = [pa.schema({"x": without_views(t)}) for t in plain]
        return pa.unify_schemas(both, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return None


def _widened_batch(
    batch: pa.RecordBatch, schema: pa.Schema, rounding: set[str], path: Path
) -> pa.RecordBatch:
    """A batch of one file in the types of all."""
    if batch.schema.equals(schema):
        return batch
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    for name in batch.schema.names:
        kind = schema.field(name).type
        try:
            if name in rounding:
                columns[name], columns[mark_of(name)] = as_doubles(columns[name])
            elif columns[name].type != kind:
                columns[name] = columns[name].cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UsageError(
                f"column {name!r} of {path.name} does not read as {kind}, the type of all files: {error}",
                code="mixed-types",
                hint="write the files with one schema, or describe each on its own",
            ) from error
    return pa.record_batch(columns, schema)


@contextmanager
def _reading(path: Path) -> Iterator[pyarrow.parquet.ParquetFile]:
    """One Parquet file, open as long as it is read; without `pre_buffer`, which keeps all its bytes."""
    try:
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise _corrupted(path, error) from error


def _corrupted(path: Path, error: Exception) -> IntegrityError:
    return IntegrityError(f"{path.name} cannot be read as Parquet: {error}", code="file-corrupted")


def _csv(
    paths: Sequence[Path], format_: CsvFormat, found: dict[str, pa.DataType], options: StatisticsOptions
) -> Rows:
    first = open_csv(paths[0], format_, None, found)
    first.close()
    for column in first.schema:
        found.setdefault(column.name, column.type)
    chosen = needed_columns(first.names, options)
    schema = pa.schema([first.schema.field(n) for n in chosen])
    schema = with_marks(schema, [f.name for f in schema if f.type == AS_WRITTEN])

    def batches() -> Iterator[pa.RecordBatch]:
        for path in paths:
            names = csv_names(path, format_)
            if names != first.names:
                raise UsageError(
                    f"{path.name} has the columns {', '.join(names)}; {paths[0].name} has "
                    f"{', '.join(first.names)}",
                    code="bad-csv",
                )
            yield from open_csv(path, format_, chosen, found)

    return Rows(schema, batches)
