"""A MySQL or MariaDB database of ML Metadata, and the text it keeps there.

ML Metadata sends UTF-8 over a connection that says latin1. So a table in latin1 holds its bytes as they are, and one in
utf8mb4 holds each byte as a character of its own. Here text is read as the column says, and turned back: what can be
said in latin1 and is then UTF-8, ML Metadata wrote; anything else came from another program, and is told.
"""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import Any, ClassVar, Final, cast
from urllib.parse import SplitResult, unquote

import pymysql

from whence.errors import BackendError, IntegrityError, UnsupportedError
from whence.integrations.mlmd.backends.reader import UNREACHED, Reader, options_of, shown

_SSL: Final = ("key", "cert", "ca", "capath", "cipher")

# MySQL's latin1 is cp1252, with the five bytes that have no character there kept as they are.
_TO_BYTES: Final = {
    (bytes([b]).decode("cp1252") if b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(b)): b
    for b in range(256)
}


def written_text(text: str) -> str | None:
    """What ML Metadata wrote, of a text as its column has it; None when it did not write this.

    Example:
        >>> written_text("sp\u00c3\u00a4t"), written_text("spät"), written_text("日")
        ('spät', None, None)
    """
    if text.isascii():
        return text
    try:
        return bytes(_TO_BYTES[character] for character in text).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return None


class MysqlReader(Reader):
    """Reads one snapshot."""

    # Steps have no key: in the order of the table or its index on events they come as they were written.
    path_order: ClassVar[str] = ""

    def __init__(self, url: SplitResult) -> None:
        super().__init__(shown(url))
        self._connection = _connected(url, unquote(url.path.removeprefix("/")))
        self.rows("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._run(query, values)[1]

    def dicts(self, query: str, *values: object) -> list[dict[str, Any]]:
        """The rows of a query by column."""
        names, rows = self._run(query, values)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _run(self, query: str, values: tuple[object, ...]) -> tuple[list[str], list[tuple[Any, ...]]]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(query.replace("?", "%s"), values)
                names = [column[0].lower() for column in cursor.description or ()]
                found = cast("list[tuple[Any, ...]]", list(cursor.fetchall()))
        except pymysql.OperationalError as error:
            raise BackendError(f"{self.place} fails: {error}", retryable=True) from error
        except pymysql.MySQLError as error:
            raise IntegrityError(f"the database cannot be read: {error}", code="mlmd-mismatch") from error
        return names, [tuple(self._value(names, row, i) for i in range(len(row))) for row in found]

    def _value(self, names: list[str], row: tuple[Any, ...], place: int) -> Any:
        value = row[place]
        if not isinstance(value, str) or value.isascii():
            return value
        written = written_text(value)
        if written is None:
            where = ", ".join(f"{n} {v}" for n, v in zip(names, row, strict=True) if n.endswith("id") and v)
            self.told.add(
                f"{names[place]} of {where} was not written by ML Metadata: read as its column says"
            )
            return value
        return written

    def proto_bytes(self, value: Any) -> bytes:
        """ML Metadata keeps base64 text here."""
        return base64.b64decode(value, validate=True)

    def close(self) -> None:
        """End the reading."""
        with contextlib.suppress(pymysql.MySQLError):
            self._connection.close()


def _connected(url: SplitResult, database: str | None) -> pymysql.Connection[Any]:
    options: dict[str, Any] = dict(options_of(url))
    secured = {k: options.pop(f"ssl_{k}") for k in _SSL if f"ssl_{k}" in options}
    if secured:
        options["ssl"] = secured
    try:
        return pymysql.connect(
            host=url.hostname or "127.0.0.1",
            port=url.port or 3306,
            user=unquote(url.username or ""),
            password=unquote(url.password or ""),
            database=database,
            charset="utf8mb4",
            autocommit=True,
            **options,
        )
    # The last two: options it does not know, and what it needs another package for.
    except (pymysql.MySQLError, TypeError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "'cryptography' package" in str(error):
            raise UnsupportedError(
                "MySQL wants this password over TLS",
                code="extra-missing",
                hint="add ?ssl_ca=…, or pip install cryptography",
            ) from error
        raise BackendError(
            f"{shown(url)} cannot be opened: {error}",
            code="store-unavailable",
            retryable=True,
            hint=UNREACHED,
        ) from error


def create_database(url: SplitResult) -> None:
    """Make the database that a URL names, when it is absent and the user may."""
    name = unquote(url.path.removeprefix("/"))
    with (
        contextlib.suppress(pymysql.MySQLError, BackendError),
        _connected(url, None) as connection,
        connection.cursor() as cursor,
    ):
        if not cursor.execute("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", (name,)):
            quoted = name.replace("`", "``")
            cursor.execute(f"CREATE DATABASE `{quoted}` CHARACTER SET utf8mb4")


def open_reader(path: Path, url: SplitResult) -> Reader:  # noqa: ARG001 - the database's name is in the URL
    """Open a database."""
    return MysqlReader(url)
