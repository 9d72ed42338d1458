"""A URL finds its store; no one imports a backend by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from whence.database import Component, Database
from whence.database.base import check_words
from whence.errors import UnsupportedError
from whence.metadata.backends.memory import MemoryStore
from whence.metadata.backends.migrations import COMPONENT, MIGRATIONS
from whence.metadata.backends.sql import SqlStore
from whence.metadata.base import MetadataStore
from whence.metadata.types import Type

SCHEMES: Final = ("mariadb", "memory", "mysql", "postgresql", "sqlite")
TABLES: Final = Component(COMPONENT, MIGRATIONS)
"""The graph's tables, for who migrates them."""


def open_store(url: str, *, database: Database | None = None, upgrade: bool = False) -> MetadataStore:
    """The graph at `url`; absent tables are made.

    Args:
        url: ``memory://``, or a database's URL such as ``sqlite:///whence.db``.
        database: An open database at that URL, when other rooms share it; the store then leaves closing to them.
        upgrade: Bring the tables of an older whence up; else they are refused.

    Raises:
        UnsupportedError: No backend has this scheme (``unsupported-scheme``).
        ConflictError: A later whence wrote it (``workspace-newer``), or an older one (``workspace-older``).

    Example:
        >>> len(open_store("memory://").list_types())
        9
    """
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme == "memory":
        check_words(scheme, url.partition("?")[2].split("&") if "?" in url else (), ())
        return MemoryStore()
    if database is not None:
        return SqlStore(database, upgrade=upgrade)
    if scheme not in SCHEMES:
        raise UnsupportedError(
            f"no metadata backend for {scheme!r}", code="unsupported-scheme", near=list(SCHEMES)
        )
    opened = Database.from_url(url)
    try:
        return SqlStore(opened, owned=True, upgrade=upgrade)
    except BaseException:
        opened.close()
        raise


def declare_types(store: MetadataStore, types: Iterable[Type]) -> None:
    """Put a room's types: new ones are made, stored ones gain the properties they lack.

    A graph that is there to look at is left as it is: of a type that it lacks it has no nodes.

    Raises:
        ConflictError: A stored property has another type (``type-conflict``).
    """
    if store.read_only:
        return
    for type_ in types:
        store.put_type(type_, extend=True)
