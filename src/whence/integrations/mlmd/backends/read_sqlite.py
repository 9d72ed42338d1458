"""A SQLite file of ML Metadata, opened read-only: no file is ever made beside it."""

from __future__ import annotations

import base64
import sqlite3
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import SplitResult, quote

from whence.errors import IntegrityError, NotFoundError, UsageError
from whence.integrations.mlmd.backends.reader import Reader


class SqliteReader(Reader):
    """Reads in one transaction."""

    path_order: ClassVar[str] = "ORDER BY rowid"

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        if not path.is_file():
            raise NotFoundError("file", path)
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        # Whoever opens a file in process may call from any thread; one thread at a time reads.
        self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        # What SQLite says of a broken file may have bytes of it.
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            self._connection.close()
            raise UsageError(
                f"{path} is no database of ML Metadata",
                code="mlmd-version",
                hint="SQLite cannot read it: it is damaged, cut off or no SQLite file; copy it anew with nobody writing",
            ) from error

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query; of text that is no UTF-8 the bytes that are none become lone surrogates."""
        return self._run(query, values)[1]

    def dicts(self, query: str, *values: object) -> list[dict[str, Any]]:
        """The rows of a query by column, text as `rows` gives it."""
        names, rows = self._run(query, values)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _run(self, query: str, values: tuple[object, ...]) -> tuple[list[str], list[tuple[Any, ...]]]:
        try:
            try:
                cursor = self._connection.execute(query, values)
                rows = cursor.fetchall()
            except sqlite3.OperationalError as error:
                if "decode" not in str(error):
                    raise
                # Slower, so only where it must be: who reads can then say whose text it is.
                self._connection.text_factory = _decoded
                cursor = self._connection.execute(query, values)
                rows = cursor.fetchall()
                self._connection.text_factory = str
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            raise _unreadable(error) from error
        return [column[0].lower() for column in cursor.description], rows

    def whole(self, column: str) -> str:
        """SQLite keeps anything in any column but a primary key of whole numbers."""
        return f"AND typeof({column}) = 'integer'"

    def proto_bytes(self, value: Any) -> bytes:
        """ML Metadata keeps base64 text here."""
        return base64.b64decode(value, validate=True)

    def close(self) -> None:
        """End the reading."""
        self._connection.close()


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _unreadable(error: Exception) -> IntegrityError:
    return IntegrityError(f"the database cannot be read: {error}", code="mlmd-mismatch")


def open_reader(path: Path, url: SplitResult) -> Reader:  # noqa: ARG001 - the URL of a file is its path
    """Open a file."""
    return SqliteReader(path)
