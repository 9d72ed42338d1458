"""A URL finds a backend; nobody imports one by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from whence.blobs.base import BlobStore
from whence.errors import UnsupportedError

_SCHEMES: Final = {
    "file": "whence.blobs.backends.folder",
    "memory": "whence.blobs.backends.memory",
}


def list_schemes() -> list[str]:
    """The URL schemes a blob store may have.

    Example:
        >>> list_schemes()
        ['file', 'memory']
    """
    return sorted(_SCHEMES)


def open_blobs(url: str | Path) -> BlobStore:
    """The blob store at `url`: ``file:./blobs``, ``file:///srv/blobs``, ``memory://`` or a path.

    A folder is made when it is absent.

    Raises:
        UnsupportedError: No backend has this scheme (``unknown-scheme``).
        BackendError: The folder cannot be used (``store-failed``).

    Example:
        >>> open_blobs("memory://").put(b"")[:15]
        'sha256:e3b0c442'
    """
    text = str(url)
    scheme = urlsplit(text).scheme if isinstance(url, str) and ":" in text else "file"
    if scheme not in _SCHEMES:
        raise UnsupportedError(
            f"no blob store has the scheme {scheme!r} of {text!r}",
            code="unknown-scheme",
            hint="use one of " + ", ".join(f"{s}:" for s in list_schemes()),
        )
    opener = cast("Callable[[str], BlobStore]", import_module(_SCHEMES[scheme]).open_url)
    return opener(_path_of(text) if scheme == "file" else text)


def _path_of(text: str) -> str:
    if not text.startswith("file:"):
        return text
    rest = text.removeprefix("file:")
    return unquote(rest.removeprefix("//") if rest.startswith("//") else rest)
