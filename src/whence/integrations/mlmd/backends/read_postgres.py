"""A PostgreSQL database of ML Metadata: names in lower case, booleans, serialized messages as they are."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import SplitResult, unquote, urlencode, urlunsplit

import psycopg
from psycopg import sql

from whence.errors import BackendError, IntegrityError
from whence.integrations.mlmd.backends.reader import UNREACHED, Reader, options_of, shown


class PostgresReader(Reader):
    """Reads one snapshot."""

    # Rows are never updated, and an unfilled heap keeps the order in which they came.
    path_order: ClassVar[str] = "ORDER BY ctid"

    def __init__(self, url: SplitResult) -> None:
        super().__init__(shown(url))
        try:
            self._connection = _connected(url)
        except psycopg.Error as error:
            raise BackendError(
                f"{self.place} cannot be opened: {error}",
                code="store-unavailable",
                retryable=True,
                hint=UNREACHED,
            ) from error
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._run(query, values).fetchall()

    def dicts(self, query: str, *values: object) -> list[dict[str, Any]]:
        """The rows of a query by column."""
        cursor = self._run(query, values)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def _run(self, query: str, values: tuple[object, ...]) -> psycopg.Cursor[tuple[Any, ...]]:
        text: Any = query.replace("?", "%s")  # psycopg asks for literal text: these are ours
        try:
            return self._connection.execute(text, values)
        except psycopg.OperationalError as error:
            raise BackendError(f"{self.place} fails: {error}", retryable=True) from error
        except psycopg.Error as error:
            raise IntegrityError(f"the database cannot be read: {error}", code="mlmd-mismatch") from error

    def proto_bytes(self, value: Any) -> bytes:
        """ML Metadata keeps the bytes themselves here."""
        return bytes(value)

    def close(self) -> None:
        """End the reading."""
        with contextlib.suppress(psycopg.Error):
            self._connection.close()


def _connected(url: SplitResult, database: str | None = None) -> psycopg.Connection[tuple[Any, ...]]:
    options = options_of(url)
    schema = options.pop("schema", None)
    bare = url._replace(scheme="postgresql", query=urlencode(options))
    given: dict[str, Any] = {} if database is None else {"dbname": database}
    made = psycopg.connect(urlunsplit(bare), autocommit=True, client_encoding="utf8", **given)
    if schema is not None:
        made.execute("SELECT set_config('search_path', quote_ident(%s), false)", (schema,))
    return made


def create_database(url: SplitResult) -> None:
    """Make the database that a URL names, when it is absent and the user may."""
    name = unquote(url.path.removeprefix("/"))
    bare = url._replace(query=urlencode({k: v for k, v in options_of(url).items() if k != "schema"}))
    with contextlib.suppress(psycopg.Error), _connected(bare, "postgres") as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def open_reader(path: Path, url: SplitResult) -> Reader:  # noqa: ARG001 - the database's name is in the URL
    """Open a database."""
    return PostgresReader(url)
