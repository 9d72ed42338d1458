"""The port a source database is read through: rows of a query, in one snapshot, nothing ever written.

One file a system: `read_sqlite`, `read_mysql`, `read_postgres`. Queries are written once, for all three: unquoted names,
``?`` for values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from whence.errors import UnsupportedError, UsageError
from whence.integrations.mlmd.sentences import Sentences

_BACKENDS: Final = {
    "sqlite": "read_sqlite",
    "mysql": "read_mysql",
    "mariadb": "read_mysql",
    "postgresql": "read_postgres",
    "postgres": "read_postgres",
}
UNREACHED: Final = (
    "is it running, can it be reached from here (kubectl port-forward), are user and password right?"
)
_EXTRAS: Final = {"read_mysql": "mysql", "read_postgres": "postgres"}


class Reader(ABC):
    """An open database of ML Metadata.

    Attributes:
        place: What it is called to a person; no password.
        told: What could not be kept as it was.
    """

    path_order: ClassVar[str] = ""
    """The clause that gives steps of an event's path in the order in which they were written."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.told = Sentences()

    @abstractmethod
    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query.

        Raises:
            IntegrityError: The database cannot be read (``mlmd-mismatch``).
            BackendError: The server cannot be reached any more.
        """

    @abstractmethod
    def dicts(self, query: str, *values: object) -> list[dict[str, Any]]:
        """The rows of a query by column, names in lower case; bytes only where the column holds bytes."""

    def whole(self, column: str) -> str:  # noqa: ARG002 - for those whose columns take anything
        """More of a condition: that a column holds a whole number, where its type does not say so already."""
        return ""

    @abstractmethod
    def proto_bytes(self, value: Any) -> bytes:
        """A value of kind PROTO as serialized ``Any``.

        Raises:
            ValueError: It is none.
        """

    @abstractmethod
    def close(self) -> None:
        """End the reading."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_url(text: str) -> bool:
    """Whether a source is named by a URL that can be read; else it is a path.

    Example:
        >>> is_url("mysql://root@db/kfp"), is_url("metadata.db")
        (True, False)
    """
    return text.partition("://")[0] in _BACKENDS and "://" in text


def open_reader(source: str | Path) -> Reader:
    """Open a SQLite file by path, or a database by ``mysql://…``, ``postgresql://…``, ``sqlite:///…``.

    Raises:
        NotFoundError: There is no such file (``file-not-found``).
        UsageError: The URL names no database that can be read (``bad-url``).
        UnsupportedError: The driver is absent (``extra-missing``).
        BackendError: The server cannot be reached, or refuses (``store-unavailable``).
    """
    text = str(source)
    if isinstance(source, Path) or "://" not in text:
        opened_file: Callable[[Path], Reader] = _module("read_sqlite").SqliteReader
        return opened_file(Path(source))
    url = urlsplit(text)
    opened: Callable[[Path, SplitResult], Reader] = _module(_backend(url)).open_reader
    return opened(Path(unquote(url.path.removeprefix("/"))), url)


def create_database(url: str) -> None:
    """Make the database of a server that a URL names, when it is absent and the user may; else nothing happens."""
    parts = urlsplit(url)
    _module(_backend(parts)).create_database(parts)


def _backend(url: SplitResult) -> str:
    if url.scheme not in _BACKENDS:
        raise UsageError(
            f"{url.scheme}:// is no database of ML Metadata",
            code="bad-url",
            hint="name a file, mysql://… or postgresql://…",
        )
    return _BACKENDS[url.scheme]


def options_of(url: SplitResult) -> dict[str, str]:
    """What a URL says after its question mark."""
    return dict(parse_qsl(url.query))


def shown(url: SplitResult) -> str:
    """A URL without its password.

    Example:
        >>> shown(urlsplit("mysql://root:secret@db:3306/kfp"))
        'mysql://root@db:3306/kfp'
    """
    who = f"{url.username}@" if url.username else ""
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme}://{who}{url.hostname or ''}{port}{url.path}"


def _module(name: str) -> Any:  # a module of this package
    try:
        return import_module(f"whence.integrations.mlmd.backends.{name}")
    except ImportError as error:
        raise UnsupportedError(
            f"reading this database needs {error.name}",
            code="extra-missing",
            hint=f"pip install 'whence[{_EXTRAS.get(name, 'mlmd')}]'",
        ) from error
