"""CSV files as TFDV reads them: which files, which columns, and of which type each column is."""

from __future__ import annotations

import bz2
import csv
import glob
import gzip
import io
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from whence import errors
from whence.integrations.tfdv.refusals import FileAbsentError, UsageError
from whence.validation.csv import CsvFormat, check_quotes

Kind: TypeAlias = Literal["UNKNOWN", "INT", "FLOAT", "STRING"]
"""What the cells of a column read as, from the narrowest to the widest."""

_ORDER: Final[tuple[Kind, ...]] = ("UNKNOWN", "INT", "FLOAT", "STRING")
# TFDV keeps the floats of a CSV file in single precision; so its minima, means and schemas are these.
_ARROW: Final[Mapping[Kind, pa.DataType]] = {
    "UNKNOWN": pa.null(),
    "INT": pa.int64(),
    "FLOAT": pa.float32(),
    "STRING": pa.binary(),
}
_BLOCK_BYTES: Final = 1 << 23
_KEPT_BYTES: Final = 32 << 20
"""Files up to this size are read once, and their cells kept until the values are made."""
_INT64: Final = 2**63


class CsvRows:
    """The rows of one or several CSV files of the same header.

    A cell without a character is missing. A column whose every cell reads as an integer of 64 bits is INT,
    one whose cells all read as numbers FLOAT, any other text; so it takes one read to know the types and
    another for the values. Blank lines are left out; a quoted cell may span lines.

    Args:
        location: A path or a pattern (``data/*.csv``).
        column_names: The columns; None takes the first line of each file.
        delimiter: The character between cells.
        compression: ``auto`` (by the ending), ``gzip``, ``bzip2`` or ``uncompressed``.

    Raises:
        NotFoundError: No file fits (``file-not-found``).
        UsageError: A file is empty or has no header, or headers differ (``bad-csv``).
    """

    def __init__(
        self,
        location: str,
        *,
        column_names: Sequence[str] | None = None,
        delimiter: str = ",",
        compression: str = "auto",
    ) -> None:
        found = glob.glob(str(location))  # noqa: PTH207 - a pattern may begin at the root
        self.paths = sorted(found) or _only(str(location))
        folder = next((p for p in self.paths if Path(p).is_dir()), None)
        if folder is not None:
            raise UsageError(f"{folder} is a folder", code="bad-csv", hint=f"a pattern: {folder}/*.csv")
        self._delimiter = delimiter
        self._compression = compression
        self._has_header = column_names is None
        self._kept: list[pa.RecordBatch] | None = None
        self.columns = list(self._header(self.paths[0]) if column_names is None else column_names)
        if column_names is None:
            for path in self.paths[1:]:
                if self._header(path) != self.columns:
                    raise UsageError(
                        f"{path} and {self.paths[0]} have different headers",
                        code="bad-csv",
                        hint="give column_names when the files have none",
                    )
        twice = next((c for c in self.columns if self.columns.count(c) > 1), None)
        if twice is not None:
            raise UsageError(f"{self.paths[0]} has the column {twice!r} twice", code="bad-csv")

    def kinds(self) -> dict[str, Kind]:
        """What each column reads as."""
        found: dict[str, Kind] = dict.fromkeys(self.columns, "UNKNOWN")
        plain = all(self._compressed(path) == "uncompressed" for path in self.paths)
        small = plain and sum(Path(path).stat().st_size for path in self.paths) <= _KEPT_BYTES
        self._kept = list(self._texts()) if small else None
        for batch in self._texts() if self._kept is None else self._kept:
            for name, cells in zip(self.columns, batch.columns, strict=True):
                if found[name] != "STRING":
                    found[name] = max(found[name], _kind_of(cells), key=_ORDER.index)
        return found

    def batches(self, kinds: Mapping[str, Kind]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """The columns of `kinds`, in its types; integers as int64, floats as float32 (as TFDV), text as bytes.

        Raises:
            UsageError: A cell does not read as the type of its column (``bad-csv``).
        """
        schema = pa.schema([(name, _ARROW[kind]) for name, kind in kinds.items()])
        return schema, self._typed(kinds, schema)

    def _typed(self, kinds: Mapping[str, Kind], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        places = [self.columns.index(name) for name in kinds]
        for batch in self._texts() if self._kept is None else self._kept:
            arrays = [
                _converted(batch.column(i), kind, name)
                for i, (name, kind) in zip(places, kinds.items(), strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    # --- files

    def _compressed(self, path: str) -> str:
        if self._compression != "auto":
            return self._compression
        return {".gz": "gzip", ".bz2": "bzip2"}.get(Path(path).suffix, "uncompressed")

    def _open(self, path: str) -> Any:
        kind = self._compressed(path)
        if kind == "gzip":
            return gzip.open(path, "rb")
        if kind == "bzip2":
            return bz2.open(path, "rb")
        if kind != "uncompressed":
            raise UsageError(
                f"compression {kind!r} is unknown", code="bad-csv", hint="auto, gzip, bzip2 or uncompressed"
            )
        return Path(path).open("rb")

    def _header(self, path: str) -> list[str]:
        with self._open(path) as raw, closing(self._lines(raw, path)) as lines:
            header = next((line for _, line in lines), None)
        if header is None:
            raise UsageError(f"{path} is empty: it has no header line", code="bad-csv")
        if any("\0" in name or not _is_text(name) for name in header):
            raise UsageError(f"{path} is not a CSV file: its first line is no text", code="bad-csv")
        return header

    def _lines(self, raw: Any, path: str) -> Generator[tuple[int, list[str]]]:
        """The lines that are not blank, by Python's own reader, with their numbers."""
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
        lines = csv.reader(text, delimiter=self._delimiter)
        begins = 1
        try:
            for line in lines:
                if line:
                    yield begins, line
                begins = lines.line_num + 1
        except csv.Error as error:
            raise UsageError(f"{path}, line {begins}: {error}", code="bad-csv") from error
        finally:
            text.detach()  # the file is closed by who opened it

    def _texts(self) -> Iterator[pa.RecordBatch]:
        """All cells as bytes; an empty one is null."""
        for path in self.paths:
            with self._open(path) as raw:
                yield from self._read(path, raw)

    def _read(self, path: str, raw: Any) -> Iterator[pa.RecordBatch]:
        options = {
            # Without threads an error says in which row; the first is the header.
            "read_options": pacsv.ReadOptions(
                use_threads=False,
                block_size=_BLOCK_BYTES,
                column_names=self.columns,
                skip_rows_after_names=1 if self._has_header else 0,
            ),
            "parse_options": pacsv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            "convert_options": pacsv.ConvertOptions(
                column_types=dict.fromkeys(self.columns, pa.binary()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        }
        last = None
        try:
            for last in pacsv.open_csv(raw, **options):
                yield last
        except pa.ArrowInvalid as error:
            if "Empty CSV file" in str(error):
                return  # a header and nothing else
            raise self._ragged(path) or UsageError(f"{path}: {_said(error)}", code="bad-csv") from error

        if last is not None and _spans_lines(last):
            self._check_closed(path)

    def _check_closed(self, path: str) -> None:
        """A mark that is never closed would have taken all lines after it into one cell."""
        try:
            check_quotes(Path(path), CsvFormat(delimiter=self._delimiter))
        except errors.UsageError as error:
            raise UsageError(error.message, code="bad-csv", hint="close it", details=error.details) from error

    def _ragged(self, path: str) -> UsageError | None:
        """The first line of another number of cells, found again by Python's own reader."""
        with self._open(path) as raw, closing(self._lines(raw, path)) as lines:
            for number, line in lines:
                if len(line) != len(self.columns):
                    shown = self._delimiter.join(line)[:80]
                    return UsageError(
                        f"{path}, line {number}: {len(line)} cells where the header has {len(self.columns)}: {shown!r}",
                        code="bad-csv",
                        hint="another delimiter, or a cell that holds it without quotation marks",
                    )
        return None


def _spans_lines(rows: pa.RecordBatch) -> bool:
    """Whether a cell of the last row holds the end of a line."""
    return any(b"\n" in (column[-1].as_py() or b"") for column in rows.columns if len(column))


def _said(error: Exception) -> str:
    return str(error).strip().splitlines()[0].removeprefix("CSV parse error: ")[:200]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _only(location: str) -> list[str]:
    if Path(location).is_file():  # a name with the letters of a pattern in it
        return [location]
    raise FileAbsentError(location)


# --- cells --------------------------------------------------------------------------------------


def _kind_of(cells: pa.Array) -> Kind:
    """The narrowest kind that takes all cells, by Python's own reading of numbers, as TFDV does it."""
    texts = cells.drop_null()
    if not len(texts):
        return "UNKNOWN"
    seen = _letters(texts)
    if not seen <= _OF_NUMBERS:
        return "STRING"
    text = texts.cast(pa.string())
    if seen <= _OF_INTS and _casts(text, pa.int64()):
        return "INT"
    if seen <= _OF_FLOATS and seen & _OF_POINTS and _casts(text, pa.float64()):
        return _floats(text)
    # Python reads +1, 1_000, nan and blanks around numbers; Arrow does not, or not in the same way.
    return _slowly(text)


_OF_INTS: Final = frozenset(b"0123456789-")
_OF_POINTS: Final = frozenset(b".eE")
_OF_FLOATS: Final = _OF_INTS | _OF_POINTS
_OF_NUMBERS: Final = _OF_FLOATS | frozenset(b"+_ \t\n\r\v\fnNaAiIfFtTyY")
"""No number is written with another letter."""


def _letters(texts: pa.Array) -> frozenset[int]:
    """The bytes that occur in any of the cells."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    if data is None or ends[-1] == ends[0]:
        return frozenset()
    used = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    return frozenset(np.flatnonzero(np.bincount(used, minlength=256)).tolist())


def _casts(text: pa.Array, type_: pa.DataType) -> bool:
    try:
        text.cast(type_)
    except pa.ArrowInvalid:
        return False
    return True


def _floats(text: pa.Array) -> Kind:
    """FLOAT, unless one of them is an integer beyond 64 bits, which TFDV takes as text."""
    if pc.max(pc.binary_length(text)).as_py() < len(str(_INT64)):
        return "FLOAT"
    long = text.filter(pc.match_substring_regex(text, r"^-?\d{19,}$"))
    return "STRING" if any(value_kind(v) == "STRING" for v in long.to_pylist()) else "FLOAT"


def _slowly(text: pa.Array) -> Kind:
    widest: Kind = "UNKNOWN"
    for value in pc.unique(text).to_pylist():
        widest = max(widest, value_kind(value), key=_ORDER.index)
        if widest == "STRING":
            break
    return widest


def value_kind(text: str) -> Kind:
    """What one cell reads as.

    Example:
        >>> [value_kind(t) for t in ("", "007", "1e3", "nan", "9" * 20, "A1")]
        ['UNKNOWN', 'INT', 'FLOAT', 'FLOAT', 'STRING', 'STRING']
    """
    if not text:
        return "UNKNOWN"
    cell = text.encode("utf-8", "surrogateescape")  # of bytes Python reads no digits but ASCII, as TFDV does
    try:
        return "INT" if -_INT64 <= int(cell) < _INT64 else "STRING"
    except ValueError:
        pass
    try:
        float(cell)
    except ValueError:
        return "STRING"
    return "FLOAT"


def _converted(cells: pa.Array, kind: Kind, name: str) -> pa.Array:
    if kind == "UNKNOWN":
        return pa.nulls(len(cells))
    if kind == "STRING":
        return cells
    wide, narrow = (pa.int64(), int) if kind == "INT" else (pa.float64(), float)
    values = _read_fast(cells, wide, _ARROW[kind])
    return _read_slowly(cells, wide, narrow, kind, name) if values is None else values


def _read_fast(cells: pa.Array, wide: pa.DataType, into: pa.DataType) -> pa.Array | None:
    """The cells read by Arrow; None where its reading may differ from Python's."""
    if not _letters(cells) <= _OF_FLOATS:
        return None
    try:
        return cells.cast(pa.string()).cast(wide).cast(into, safe=False)
    except pa.ArrowInvalid:
        return None


def _read_slowly(cells: pa.Array, wide: pa.DataType, narrow: Any, kind: Kind, name: str) -> pa.Array:
    bad = next((c for c in cells.to_pylist() if c is not None and not _reads(c, narrow)), None)
    if bad is not None:
        raise UsageError(
            f"column {name!r} is {kind} and has the value {bad.decode('utf-8', 'replace')!r}",
            code="bad-csv",
            hint="without infer_type_from_schema the type follows from the cells",
        )
    values = pa.array([None if c is None else narrow(c) for c in cells.to_pylist()], wide)
    return values.cast(_ARROW[kind], safe=False)


def _reads(cell: bytes, as_: type[int | float]) -> bool:
    try:
        number = as_(cell)
    except ValueError:
        return False
    return as_ is float or -_INT64 <= number < _INT64
