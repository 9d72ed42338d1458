"""A URL finds its store; no one imports a backend by name."""

from __future__ import annotations

from collections.abc import Iterable

from whence.database import Database
from whence.errors import UnsupportedError
from whence.metadata.backends.memory import MemoryStore
from whence.metadata.backends.sql import SqlStore
from whence.metadata.base import MetadataStore
from whence.metadata.types import Type

SCHEMES = ("memory", "sqlite")


def open_store(url: str, *, database: Database | None = None) -> MetadataStore:
    """The graph at `url`; an absent SQLite file is made, an old one is migrated.

    Args:
        url: ``memory://``, or a database's URL such as ``sqlite:///whence.db``.
        database: An open database at that URL, when other rooms share it; the store then leaves closing to them.

    Raises:
        UnsupportedError: No backend has this scheme (``unsupported-scheme``).
        ConflictError: A later whence wrote it (``workspace-newer``).

    Example:
        >>> len(open_store("memory://").list_types())
        9
    """
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme == "memory":
        return MemoryStore()
    if database is not None:
        return SqlStore(database)
    if scheme not in SCHEMES:
        raise UnsupportedError(
            f"no metadata backend for {scheme!r}", code="unsupported-scheme", near=list(SCHEMES)
        )
    opened = Database.from_url(url)
    try:
        return SqlStore(opened, owned=True)
    except BaseException:
        opened.close()
        raise


def declare_types(store: MetadataStore, types: Iterable[Type]) -> None:
    """Put a room's types: new ones are made, stored ones gain the properties they lack.

    Raises:
        ConflictError: A stored property has another type (``type-conflict``).
    """
    for type_ in types:
        store.put_type(type_, extend=True)
