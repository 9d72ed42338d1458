"""A URL finds an online store; nobody imports one by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final, cast
from urllib.parse import urlsplit

from whence.errors import UnsupportedError
from whence.features.base import OnlineStore

_SCHEMES: Final = {
    "memory": "whence.features.backends.memory",
    "sqlite": "whence.features.backends.sqlite",
}


def list_online_schemes() -> list[str]:
    """The URL schemes an online store may have.

    Example:
        >>> list_online_schemes()
        ['memory', 'sqlite']
    """
    return sorted(_SCHEMES)


def open_online(url: str) -> OnlineStore:
    """The online store at `url`: ``sqlite:///online.db`` (a file, made when absent) or ``memory://``.

    Raises:
        UnsupportedError: No backend has this scheme (``unknown-scheme``).
        BackendError: The file cannot be used (``store-unavailable``, ``store-failed``).
        ConflictError: A later whence wrote it (``workspace-newer``).

    Example:
        >>> open_online("memory://").list_groups()
        []
    """
    scheme = urlsplit(url).scheme
    if scheme not in _SCHEMES:
        raise UnsupportedError(
            f"no online store has the scheme {scheme!r} of {url!r}",
            code="unknown-scheme",
            hint="use one of " + ", ".join(f"{s}:" for s in list_online_schemes()),
        )
    opener = cast("Callable[[str], OnlineStore]", import_module(_SCHEMES[scheme]).open_url)
    return opener(url)
