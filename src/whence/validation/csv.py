"""CSV files as batches of Arrow: types that fit every value, and errors that name the line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from whence._base.arrow import CSV_NULLS
from whence.errors import UsageError
from whence.validation.rounded import as_doubles, mark_of, with_marks

AS_WRITTEN: Final = pa.large_string()
"""A column of doubles that is read as text: some whole numbers in it no double is, which is told by a mark."""
BLOCK_BYTES: Final = 1 << 20
"""Bytes parsed at once: a file of any size is read in a few megabytes."""
_MAX_BLOCK: Final = 1 << 30
_HEAD: Final = 1 << 16
_CONVERSION: Final = re.compile(
    r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to (.+?): "
    r"(?:invalid value|expected \w+ zone offset in) '(.*)'",
    re.DOTALL,
)
_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"PAR1", "a Parquet file; name it .parquet"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet; export it as CSV"),
    (b"\x1f\x8b", "gzip; name it .csv.gz"),
    (b"\xff\xfe", "UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16; save it as UTF-8"),
    (b"ARROW1", "an Arrow file"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3", "an SQLite database"),
)
_PAGE: Final = re.compile(rb"\s*<(!doctype|html|\?xml)\b", re.IGNORECASE)


@dataclass(frozen=True)
class CsvFormat:
    """How CSV files are written.

    Attributes:
        delimiter: What separates fields.
        quote: What stands around fields that hold delimiters or line ends; None when nothing does.
        column_names: The columns of a file without a header line.
        skip_lines: Lines before the header.
        null_values: Unquoted fields that are missing values.
        types: Arrow types of columns; the others are found from all values.
        plain: Whether only whole numbers, other numbers and text are told apart, as TFDV does; else
            booleans, dates and times are too.

    Raises:
        UsageError: The delimiter is not one character (``bad-csv``).

    Example:
        >>> CsvFormat(delimiter=";", null_values=("", "?")).null_values
        ('', '?')
    """

    delimiter: str = ","
    quote: str | None = '"'
    column_names: tuple[str, ...] | None = None
    skip_lines: int = 0
    null_values: tuple[str, ...] = CSV_NULLS
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    plain: bool = False

    def __post_init__(self) -> None:
        for what, value in (("delimiter", self.delimiter), ("quote", self.quote)):
            if value is not None and len(value.encode()) != 1:
                raise UsageError(f"the {what} is one character, got {value!r}", code="bad-csv")


class Widened(Exception):  # noqa: N818 - not an error: the file is read again
    """A value does not fit the type its column had so far.

    Attributes:
        column: The column.
        type: A type that fits what was read so far and this value.
    """

    def __init__(self, column: str, type_: pa.DataType) -> None:
        super().__init__(column, str(type_))
        self.column = column
        self.type = type_


class CsvRows:
    """The batches of one CSV file.

    Attributes:
        path: The file.
        names: All columns of the file.
        schema: The columns that are read, with their types, as they are found.
        given: The columns of the batches: what is `AS_WRITTEN` are doubles, with their marks at the end.
    """

    def __init__(self, path: Path, format_: CsvFormat, names: Sequence[str], opener: _Opener) -> None:
        self.path = path
        self.names = list(names)
        self._looked: set[str] = set()
        if len(set(names)) < len(names):
            twice = next(n for n in names if names.count(n) > 1)
            raise UsageError(f"{path.name} has two columns {twice!r}", code="duplicate-column")
        self._format = format_
        self._n_before = format_.skip_lines + (format_.column_names is None)
        self._opener = opener
        self._source, self._reader = opener.open()
        schema = self._reader.schema
        self.schema: pa.Schema = _plainer(schema, format_) if format_.plain else schema
        self._written = [f.name for f in self.schema if f.type == AS_WRITTEN]
        self.given: pa.Schema = with_marks(self.schema, self._written) if self._written else self.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        n_given = 0
        while True:
            n_skipped = 0
            try:
                for batch in self._reader:
                    skip = min(n_given - n_skipped, batch.num_rows)
                    n_skipped += skip
                    if skip < batch.num_rows:
                        n_given += batch.num_rows - skip
                        n_skipped += batch.num_rows - skip
                        self._check_whole(batch)
                        yield self._given(batch.slice(skip))
                break
            except pa.ArrowInvalid as error:
                if not self._opener.grow(error):
                    raise _translated(error, self.path, self._format, self._reader.schema) from error
            self._source, self._reader = self._opener.open()
        if self._source.n_quotes % 2 or (
            self._source.n_quotes and self._source.n_lines > n_skipped + self._n_before
        ):
            check_quotes(self.path, self._format)

    def _check_whole(self, batch: pa.RecordBatch) -> None:
        """Have the file read anew when doubles stand for whole numbers that are none.

        Beyond 64 bits text tells those apart; below, and where doubles are asked for, they are rounded and marked.
        Only a column with a double as large has its text looked at, once.
        """
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if column.type != pa.float64() or name in self._looked:
                continue
            ends = pc.min_max(column).as_py()
            if ends["min"] is not None and max(-ends["min"], ends["max"]) >= 2.0**53:
                self._looked.add(name)
                opener = replace(self._opener, types={name: pa.string()}, columns=[name])
                rounded = False
                for part in CsvRows(self.path, self._format, self.names, opener):
                    if name not in self._format.types and _has_long(part.column(0)):
                        raise Widened(name, pa.string())
                    rounded = rounded or _has_rounded(part.column(0))
                if rounded:
                    raise Widened(name, AS_WRITTEN)

    def _given(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with doubles and marks in place of numbers as written."""
        if not self._written:
            return batch
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        for name in self._written:
            texts = columns[name]
            if name not in self._format.types and _has_long(texts):
                raise Widened(name, pa.string())
            try:
                columns[name], columns[mark_of(name)] = as_doubles(texts)
            except pa.ArrowInvalid as error:
                raise Widened(name, pa.string()) from error
        return pa.record_batch(columns, self.given)

    def close(self) -> None:
        """Read no further."""
        self._reader.close()


class _Counted(io.RawIOBase):
    """A file that counts what passes: an odd number of marks, or more lines than rows, may be a mark left open."""

    def __init__(self, path: Path, quote: str | None) -> None:
        super().__init__()
        self._file = pa.input_stream(str(path), compression="detect")
        self._quote = b"" if quote is None else quote.encode()
        self.n_quotes = 0
        self.n_lines = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data: bytes = self._file.read(None if size < 0 else size)
        if self._quote:
            self.n_quotes += data.count(self._quote)
            self.n_lines += max(data.count(b"\n"), data.count(b"\r"))
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


def csv_names(path: Path, format_: CsvFormat) -> list[str]:
    """The columns of a CSV file, from its header line.

    Raises:
        UsageError: It is no CSV file (``bad-csv``).
    """
    head = _head(path)
    _check_head(path, head)
    return _names(path, head, format_)


def open_csv(
    path: Path,
    format_: CsvFormat,
    columns: Sequence[str] | None = None,
    found: Mapping[str, pa.DataType] | None = None,
) -> CsvRows:
    """Open a CSV file, its types found from its first megabyte where they are not given.

    Args:
        path: The file; compressed ones end in ``.gz``, ``.bz2`` or ``.zst``.
        format_: How it is written.
        columns: Which columns are read, in this order; None is all.
        found: Types found before; a value that does not fit one of them raises `Widened`.

    Raises:
        UsageError: It is no CSV file, or a value does not fit the type the format gives (``bad-csv``).
        Widened: While rows are read: a value does not fit the type found so far.
    """
    head = _head(path)
    _check_head(path, head)
    names = _names(path, head, format_)
    types = dict(found or {})
    types |= {n: t for n, t in format_.types.items() if types.get(n) != AS_WRITTEN}
    block = max(BLOCK_BYTES, min(64 * (head.find(b"\n") + 1), 16 * BLOCK_BYTES))
    return CsvRows(path, format_, names, _Opener(path, format_, names, types, columns, block))


@dataclass
class _Opener:
    """Opens a file, anew with larger blocks when a row does not fit into one."""

    path: Path
    format: CsvFormat
    names: Sequence[str]
    types: Mapping[str, pa.DataType]
    columns: Sequence[str] | None
    block: int

    def open(self) -> tuple[_Counted, Any]:
        while True:
            source = _Counted(self.path, self.format.quote)
            try:
                return source, self._reader(source)
            except pa.ArrowInvalid as error:
                source.close()
                names = self.columns or self.names
                schema = pa.schema([(n, self.types.get(n, pa.null())) for n in names])
                if "Empty CSV file" in str(error):  # a header line that does not end
                    return source, pa.RecordBatchReader.from_batches(schema, [])
                if not self.grow(error):
                    raise _translated(error, self.path, self.format, schema) from error

    def grow(self, error: pa.ArrowInvalid) -> bool:
        """Whether larger blocks may mend the error; they are from now on."""
        self.block *= 4
        return "straddling" in str(error) and self.block <= _MAX_BLOCK

    def _reader(self, source: _Counted) -> Any:
        # Any: pyarrow's streaming reader of CSV has no public type
        format_ = self.format
        return pa.csv.open_csv(
            source,
            read_options=pa.csv.ReadOptions(
                block_size=self.block, column_names=format_.column_names, skip_rows=format_.skip_lines
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=format_.delimiter,
                quote_char=format_.quote if format_.quote is not None else False,
                newlines_in_values=format_.quote is not None,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types={n: self.types[n] for n in self.names if n in self.types},
                include_columns=None if self.columns is None else list(self.columns),
                null_values=list(format_.null_values),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                check_utf8=False,  # text that is not UTF-8 is counted, not refused
            ),
        )


# --- what a file looks like ---------------------------------------------------------------------


def _head(path: Path) -> bytes:
    """The first bytes of a file, at least its first line."""
    with pa.input_stream(str(path), compression="detect") as file:
        head: bytes = file.read(_HEAD)
        while b"\n" not in head and (more := file.read(_HEAD)):
            head += more
        return head


def _check_head(path: Path, head: bytes) -> None:
    if not head.strip():
        raise UsageError(
            f"{path.name} is empty", code="bad-csv", hint="a CSV file has at least a header line"
        )
    known = next((what for magic, what in _MAGIC if head.startswith(magic)), None)
    if _PAGE.match(head):
        known = "a web page; export it as CSV"
    if known is not None or b"\0" in head:
        what = known or "a binary file"
        raise UsageError(f"{path.name} is not a CSV file but looks like {what}", code="bad-csv")


def _names(path: Path, head: bytes, format_: CsvFormat) -> list[str]:
    if format_.column_names is not None:
        return list(format_.column_names)
    lines = io.StringIO(head.decode("utf-8-sig", "surrogateescape"), newline="")
    for _ in range(format_.skip_lines):
        lines.readline()
    try:
        rows = _rows(lines, format_)
        names: list[str] = next((row for row in rows if row), [])
    except csv.Error as error:
        raise UsageError(f"{path.name} has no header line: {error}", code="bad-csv") from error
    for n, name in enumerate(names, 1):
        _check_text(path, rows.line_num + format_.skip_lines, n, name)
    other = (
        next((d for d in _OTHERS if d != format_.delimiter and d in names[0]), None)
        if len(names) == 1
        else None
    )
    if other is not None:
        raise UsageError(
            f"{path.name} has one column, {names[0]!r}: it seems to be separated by {other!r}",
            code="bad-csv",
            hint=f"CsvFormat(delimiter={other!r}{', skip_lines=1' if names[0].startswith('sep=') else ''})",
        )
    return names


def _check_text(path: Path, line: int, n: int, name: str) -> None:
    """Refuse a name with bytes that are no UTF-8: nothing could call the column by it."""
    data = name.encode("utf-8", "surrogateescape")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path.name}, line {line}: the name of column {n}, {data!r}, is not UTF-8",
            code="bad-csv",
            hint="save the file as UTF-8, or name its columns: "
            f"CsvFormat(column_names=(...), skip_lines={line})",
            details={"line": line, "column": n},
        ) from error


_OTHERS: Final = (";", "\t", "|", ",")


def _rows(lines: Any, format_: CsvFormat) -> Any:
    # Any: the reader of the standard library has no public type
    csv.field_size_limit(1 << 30)
    if format_.quote is None:
        return csv.reader(lines, delimiter=format_.delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=format_.delimiter, quotechar=format_.quote, strict=True)


# --- types --------------------------------------------------------------------------------------


def _plainer(schema: pa.Schema, format_: CsvFormat) -> pa.Schema:
    def plain(field_: pa.Field) -> pa.DataType:
        kind = field_.type
        kept = field_.name in format_.types or kind in (pa.int64(), pa.float64(), pa.null())
        return kind if kept else pa.string()

    return pa.schema([pa.field(f.name, plain(f)) for f in schema])


def wider(kind: pa.DataType, value: str, *, plain: bool) -> pa.DataType:
    """The type that fits what was of type `kind` and a value that is not.

    Example:
        >>> wider(pa.int64(), "1.5", plain=False), wider(pa.int64(), "x", plain=False)
        (DataType(double), DataType(string))
    """
    seen = _type_of(value)
    if plain and seen not in (pa.int64(), pa.float64()):
        seen = pa.string()
    if pa.types.is_null(kind):
        return seen
    if kind == pa.int64() and seen == pa.float64():
        return seen
    times = pa.types.is_date(kind) or pa.types.is_timestamp(kind)
    if times and seen != kind and pa.types.is_timestamp(seen):
        naive = seen.tz is None and (pa.types.is_date(kind) or kind.tz is None)
        return pa.timestamp("ns") if naive and kind != pa.timestamp("ns") else pa.string()
    return pa.string()


def _has_long(texts: pa.Array) -> bool:
    """Whether a whole number is beyond 64 bits."""
    long = texts.filter(pc.match_substring_regex(texts, r"^-?[0-9]{19,}$"))
    return any(not -(2**63) <= int(v) < 2**63 for v in long.to_pylist())


def _has_rounded(texts: pa.Array) -> bool:
    """Whether a whole number is none that a double is; what is no number is none."""
    whole = texts.filter(pc.match_substring_regex(texts, r"^-?[0-9]{16,}$"))
    return any(float(v) != int(v) for v in whole.to_pylist())


def _type_of(value: str) -> pa.DataType:
    quoted = '"' + value.replace('"', '""') + '"'
    options = pa.csv.ReadOptions(column_names=["v"])
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    table = pa.csv.read_csv(io.BytesIO(quoted.encode("utf-8", "surrogateescape")), options, parse)
    return table.schema.field(0).type


# --- errors -------------------------------------------------------------------------------------


def _translated(error: pa.ArrowInvalid, path: Path, format_: CsvFormat, schema: pa.Schema) -> Exception:
    conversion = _CONVERSION.search(str(error))
    if conversion is not None:
        place, value = int(conversion[1]), conversion[3]
        name = schema.names[place]
        if name not in format_.types:
            return Widened(name, wider(schema.field(place).type, value, plain=format_.plain))
        row = re.search(r"Row #(\d+)", conversion[0])
        line = "" if row is None else f"row {row[1]}: "
        return UsageError(
            f"{path.name}, {line}column {name!r} is {format_.types[name]}, {value!r} is not",
            code="bad-csv",
            hint="give the column another type, or repair the value",
        )
    ragged = _find_ragged(path, format_)
    if ragged is not None:
        return ragged
    return UsageError(f"{path.name} is not a CSV file: {error}", code="bad-csv")


def _lines(path: Path) -> IO[str]:
    binary = pa.input_stream(str(path), compression="detect")
    return io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _find_ragged(path: Path, format_: CsvFormat) -> UsageError | None:
    """The first line with another number of fields than the header; read again only after a failure."""
    wanted = None if format_.column_names is None else len(format_.column_names)
    with _lines(path) as lines:
        for _ in range(format_.skip_lines):
            lines.readline()
        rows = _rows(lines, format_)
        try:
            for row in rows:
                wanted = wanted or len(row)
                if row and len(row) != wanted:
                    return _ragged(path, rows.line_num + format_.skip_lines, row, wanted, format_)
        except csv.Error as error:
            return UsageError(
                f"{path.name}, line {rows.line_num + format_.skip_lines}: {error}",
                code="bad-csv",
                hint="a quotation mark inside a quoted field is doubled",
            )
    return None


def _ragged(path: Path, line: int, row: Sequence[str], wanted: int, format_: CsvFormat) -> UsageError:
    text = format_.delimiter.join(row)
    shown = text if len(text) <= 80 else text[:79] + "…"
    have = f"{len(row)} field{'s' if len(row) != 1 else ''}"
    return UsageError(
        f"{path.name}, line {line} has {have}, the header has {wanted}: {shown!r}",
        code="bad-csv",
        hint="repair the line: a field that holds the delimiter or a line end stands in quotes; "
        "another delimiter or quote is said by CsvFormat",
        details={"line": line, "n_fields": len(row), "n_columns": wanted},
    )


def check_quotes(path: Path, format_: CsvFormat) -> None:
    """Refuse a file whose last quoted field is never closed: it would swallow every line after it.

    A mark opens a field at its start and nowhere else, as the reader has it: ``6" pipe`` opens none.

    Raises:
        UsageError: It is never closed; the line is named (``bad-csv``).
    """
    if format_.quote is None:
        return
    mark, delimiter = format_.quote.encode(), re.escape(format_.delimiter.encode())
    opening = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|[\r" + delimiter + rb"])" + re.escape(mark))
    started: int | None = None
    with pa.input_stream(str(path), compression="detect") as file:
        for number, line in enumerate(io.BufferedReader(file), 1):
            at = 0
            while number > format_.skip_lines:
                if started is None:
                    found = opening.search(line, at)
                    if found is None:
                        break
                    started, at = number, found.end()
                end = line.find(mark, at)
                if end < 0:
                    break
                if line[end + 1 : end + 2] == mark:  # doubled, it is text
                    at = end + 2
                else:
                    started, at = None, end + 1
    if started is not None:
        raise UsageError(
            f"{path.name}, line {started}: a quotation mark is opened and never closed",
            code="bad-csv",
            hint="close it, or say CsvFormat(quote=None) when quotation marks mean nothing",
            details={"line": started},
        )
