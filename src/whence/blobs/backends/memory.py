"""Blobs in this process's memory: the stand-in for tests, and for a workspace that shall leave nothing."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whence._base.digest import sha256_bytes
from whence.blobs.base import BlobStore, Content, absent, corrupted, hex_of, pieces, plain_file


class MemoryBlobs(BlobStore):
    """Blobs in a dictionary."""

    def __init__(self) -> None:
        self._bytes: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, data: Content) -> str:
        if isinstance(data, Path):
            with plain_file(data) as source:
                content = source.read()
        else:
            content = b"".join(pieces(data))
        digest = sha256_bytes(content)
        with self._lock:
            self._bytes[digest] = content
        return digest

    @contextmanager
    def open(self, digest: str) -> Iterator[io.BufferedIOBase]:
        content = self._find(digest)
        seen = sha256_bytes(content)
        if seen != digest:
            raise corrupted(digest, seen)
        with io.BytesIO(content) as stream:
            yield stream

    def exists(self, digest: str) -> bool:
        hex_of(digest)
        return digest in self._bytes

    def size_bytes(self, digest: str) -> int:
        return len(self._find(digest))

    def list(self) -> Iterator[str]:
        with self._lock:
            digests = sorted(self._bytes)
        return iter(digests)

    def delete(self, digest: str, *, missing_ok: bool = False) -> None:
        hex_of(digest)
        with self._lock:
            if self._bytes.pop(digest, None) is None and not missing_ok:
                raise absent(digest)

    def _find(self, digest: str) -> bytes:
        hex_of(digest)
        try:
            return self._bytes[digest]
        except KeyError:
            raise absent(digest) from None


def open_url(url: str) -> BlobStore:
    """A new, empty store for ``memory://``."""
    del url
    return MemoryBlobs()
