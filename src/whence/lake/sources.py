"""Files as batches of rows: every row knows its line, and lines that are no rows are kept as they stand."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from whence._base.arrow import CSV_NULLS
from whence.errors import NotFoundError, UsageError

Format: TypeAlias = Literal["csv", "json", "ndjson", "parquet", "arrow"]
FORMATS: Final[tuple[str, ...]] = get_args(Format)

_SUFFIXES: Final[Mapping[str, Format]] = {
    ".csv": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
}


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that is no row.

    Attributes:
        line: Its number, counted from 1.
        text: What stands there.
        reason: What is wrong with it.
    """

    line: int
    text: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of a file in text: values are read as the table's types say.

    Attributes:
        columns: By name: Arrow text as it stands (CSV), or the Python values of JSON.
        n_rows: How many rows.
        lines: The line each row begins at, counted from 1.
        broken: Lines that are no rows.
        source: The name of the file.
    """

    columns: Mapping[str, Any]  # Any: a ChunkedArray or a list of Python values
    n_rows: int
    lines: Sequence[int]
    broken: Sequence[Broken]
    source: str


def format_of(path: Path, given: str | None = None) -> Format:
    """The format of a file: the given one, else by the ending of its name.

    Raises:
        UsageError: ``bad-format``.

    Example:
        >>> format_of(Path("january.jsonl"))
        'ndjson'
    """
    if given is not None and given not in FORMATS:
        raise UsageError(
            f"{given!r} is no format of files", code="bad-format", hint=f"one of: {', '.join(FORMATS)}"
        )
    found = given if given is not None else _SUFFIXES.get(path.suffix.lower())
    for name in get_args(Format):
        if name == found:
            return name  # type: ignore[no-any-return]  # get_args knows no types
    raise UsageError(
        f"the name of file {path.name!r} does not tell its format",
        code="bad-format",
        hint=f"say which: {', '.join(FORMATS)}",
    )


def read_batch(path: Path, want: pa.Schema | None = None, format: str | None = None) -> Batch | pa.Table:  # noqa: A002
    """The rows of a file: a `Batch` of text formats, an Arrow table of typed ones.

    Args:
        path: The file.
        want: The columns of the table it is for; its text columns stay text whatever stands there.
        format: Its format; None tells it by the name.

    Raises:
        NotFoundError: There is no such file (``file-not-found``).
        UsageError: The format is unknown (``bad-format``), or the file cannot be read as it (``bad-file``).
    """
    kind = format_of(path, format)
    if not path.is_file():
        raise NotFoundError("file", path)
    try:
        if kind == "parquet":
            return pyarrow.parquet.ParquetFile(path).read()
        if kind == "arrow":
            return _read_arrow(path)
    except pa.ArrowException as error:
        raise bad_file(path, f"it cannot be read as {kind}: {error}") from error
    data = path.read_bytes()
    if kind == "csv":
        return _read_csv(path, data, want)
    return _read_ndjson(path, data) if kind == "ndjson" else _read_json(path, data)


def bad_file(path: Path, why: str, *, line: int | None = None) -> UsageError:
    """A file that cannot be read, with the line where there is one."""
    where = path.name if line is None else f"{path.name}:{line}"
    return UsageError(
        f"{where}: {why}",
        code="bad-file",
        details={"file": path.name, **({} if line is None else {"line": line})},
    )


def _read_arrow(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source).read_all()


# --- CSV -----------------------------------------------------------------------------------------


def _read_csv(path: Path, data: bytes, want: pa.Schema | None) -> Batch:
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return _csv_batch(path, data, want)
    except _UnclosedError as error:
        raise bad_file(
            path, "the record that begins here has a quote that is never closed", line=error.line
        ) from error


def _csv_batch(path: Path, data: bytes, want: pa.Schema | None) -> Batch:
    first = next(_records(data), None)
    if first is None:
        raise bad_file(path, "it is empty; the first line names the columns")
    broken_at: dict[int, str] = {}

    def note(row: Any) -> str:
        # Any: pyarrow has no types; `number` counts records from 1, the header is the first
        broken_at[row.number - 1] = f"has {row.actual_columns} fields, {row.expected_columns} are wanted"
        return "skip"

    table = _parse_csv(path, data, _header(path, first[1]), want, note)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    n_lines = data.count(b"\n") + (not data.endswith(b"\n"))
    if n_lines == table.num_rows + 1 and b'"' not in data and b"\r\r" not in data:
        return Batch(columns, table.num_rows, range(2, n_lines + 1), (), path.name)
    records = list(_records(data))
    lines = [line for i, (line, _) in enumerate(records) if i and i not in broken_at]
    if len(lines) != table.num_rows:
        raise bad_file(path, f"its {table.num_rows} rows cannot be told from its {len(lines)} lines")
    broken = [Broken(records[i][0], records[i][1], why) for i, why in sorted(broken_at.items())]
    return Batch(columns, table.num_rows, lines, broken, path.name)


def _header(path: Path, record: bytes) -> list[str]:
    try:
        read = pyarrow.csv.read_csv(io.BytesIO(record + b"\n"))
    except pa.ArrowException as error:
        raise bad_file(path, f"the first line names no columns: {error}", line=1) from error
    names = list(read.column_names)
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise UsageError(
            f"{path.name}:1: column {twice[0]!r} appears more than once", code="duplicate-column"
        )
    return names


def _parse_csv(path: Path, data: bytes, names: Sequence[str], want: pa.Schema | None, note: Any) -> pa.Table:
    """The fields: bytes for a known table, else with the types they seem to have."""
    types = None if want is None else dict.fromkeys(names, pa.binary())
    options = pyarrow.csv.ConvertOptions(
        column_types=types, null_values=list(CSV_NULLS), strings_can_be_null=True, quoted_strings_can_be_null=False
    )  # fmt: skip
    try:
        return pyarrow.csv.read_csv(
            io.BytesIO(data),
            # one thread: only then rows are counted; one block: then a type is that of the whole column
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=min(max(len(data) + 1, 1 << 20), 2**31 - 1)
            ),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=options,
        )
    except pa.ArrowException as error:
        raise bad_file(path, f"it cannot be read as CSV: {error}") from error


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each record with the number of its first line: a line break between quotes ends none; empty lines are none."""
    begun: list[bytes] = []
    first, inside = 1, False
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        if not begun:
            first = number
        begun.append(line)
        inside = (inside or b'"' in line) and _opens(line, inside=inside)
        if not inside:
            record = b"".join(begun).rstrip(b"\r\n")
            if record:
                yield first, record
            begun = []
    if begun:
        raise _UnclosedError(first)


class _UnclosedError(Exception):
    """A quoted field is never closed; the record begins at `line`."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def _opens(line: bytes, *, inside: bool) -> bool:
    """Whether a quoted field goes on after this line; only a quote at the beginning of a field opens one."""
    at = 0
    while True:
        if inside or line[at : at + 1] == b'"':
            at = _closed(line, at if inside else at + 1)
            if at < 0:
                return True
            inside = False
        at = line.find(b",", at)
        if at < 0:
            return False
        at += 1


def _closed(line: bytes, at: int) -> int:
    """Where a quoted field ends, after its closing quote; -1 when it goes on. Two quotes are one that is meant."""
    while True:
        at = line.find(b'"', at)
        if at < 0 or line[at + 1 : at + 2] != b'"':
            return at if at < 0 else at + 1
        at += 2


# --- JSON ----------------------------------------------------------------------------------------


def _read_ndjson(path: Path, data: bytes) -> Batch:
    rows: list[Mapping[str, Any]] = []
    lines: list[int] = []
    broken: list[Broken] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            broken.append(Broken(number, line.rstrip(b"\r"), f"is no JSON: {_said(error)}"))
            continue
        if isinstance(row, dict):
            rows.append(row)
            lines.append(number)
        else:
            broken.append(Broken(number, line.rstrip(b"\r"), f"is a JSON {_json_kind(row)}, not an object"))
    return _of_rows(rows, lines, broken, path.name)


def _read_json(path: Path, data: bytes) -> Batch:
    try:
        parsed = json.loads(data)
    except json.JSONDecodeError as error:
        raise bad_file(path, f"is no JSON: {_said(error)}", line=error.lineno) from error
    except ValueError as error:
        raise bad_file(path, f"is no JSON: {error}") from error
    listed = parsed if isinstance(parsed, list) else [parsed]
    rows, lines, broken = [], [], []
    for number, row in enumerate(listed, start=1):
        if isinstance(row, dict):
            rows.append(row)
            lines.append(number)
        else:
            reason = f"is a JSON {_json_kind(row)}, not an object"
            broken.append(Broken(number, json.dumps(row, ensure_ascii=False).encode(), reason))
    return _of_rows(rows, lines, broken, path.name)


def _of_rows(
    rows: Sequence[Mapping[str, Any]], lines: Sequence[int], broken: Sequence[Broken], source: str
) -> Batch:
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return Batch(columns, len(rows), lines, broken, source)


def _said(error: ValueError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _json_kind(value: Any) -> str:
    kinds = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")
