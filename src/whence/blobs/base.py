"""The port of the blob store: what any backend must do."""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Final, TypeAlias

from whence._base.digest import PREFIX, is_digest
from whence.errors import IntegrityError, NotFoundError, UsageError

Content: TypeAlias = bytes | Path | Iterator[bytes]
"""What can be put: bytes, a file, or pieces read once."""

BLOCK_BYTES: Final = 1 << 20


class BlobStore(ABC):
    """Bytes by their sha256. A digest is handed out only after its bytes would survive a power cut.

    The same bytes are stored once, however often they are put. What is read is checked against its
    digest before the caller sees a byte of it. Any number of threads and processes may share a store.
    """

    @abstractmethod
    def put(self, data: Content) -> str:
        """Store `data` and give its digest; bytes that are already there are kept as they are.

        Args:
            data: Bytes, the path of a file (a symbolic link is not followed), or an iterator of pieces.

        Returns:
            The digest, ``sha256:…``.

        Raises:
            UsageError: `data` is of another type (``bad-content``) or not a plain file (``not-a-file``).
            BackendError: The store is full (``store-full``) or failed (``store-failed``); nothing is left behind.
        """

    @abstractmethod
    def open(self, digest: str) -> AbstractContextManager[BufferedIOBase]:
        """A stream over the bytes of `digest`, checked before it is handed out.

        Raises:
            NotFoundError: No such blob (``blob-not-found``).
            IntegrityError: The stored bytes are not those of the digest (``blob-corrupted``).
            UsageError: `digest` is not a ``sha256:…`` digest (``bad-digest``).
        """

    @abstractmethod
    def exists(self, digest: str) -> bool:
        """Whether the store holds this digest. Does not read the bytes."""

    @abstractmethod
    def size_bytes(self, digest: str) -> int:
        """How many bytes are stored under `digest`.

        Raises:
            NotFoundError: No such blob.
        """

    @abstractmethod
    def list(self) -> Iterator[str]:
        """All digests, ascending."""

    @abstractmethod
    def delete(self, digest: str, *, missing_ok: bool = False) -> None:
        """Remove `digest`. Nothing in whence calls this by itself: history is kept.

        Raises:
            NotFoundError: No such blob, unless `missing_ok`.
        """

    def get(self, digest: str) -> bytes:
        """The bytes of `digest`, checked.

        Raises:
            NotFoundError: No such blob (``blob-not-found``).
            IntegrityError: The stored bytes are not those of the digest (``blob-corrupted``).
        """
        with self.open(digest) as stream:
            return stream.read()

    def close(self) -> None:
        """Give back what the store holds open; it is not used afterwards."""
        return


def hex_of(digest: object) -> str:
    """The 64 hexadecimal characters of a digest; anything else is refused, so that no path is made of it.

    Example:
        >>> hex_of("sha256:" + "0" * 64)[:4]
        '0000'
    """
    if not isinstance(digest, str) or not is_digest(digest):
        raise UsageError(
            f"{digest!r} is not a digest", code="bad-digest", hint="write sha256: and 64 hexadecimal digits"
        )
    return digest[len(PREFIX) :]


def absent(digest: str) -> NotFoundError:
    """The error for a digest nobody has put, or somebody has deleted."""
    return NotFoundError("blob", digest)


def corrupted(digest: str, seen: str) -> IntegrityError:
    """The error for bytes that are not those of their digest."""
    return IntegrityError(
        f"blob {digest} is corrupted: its bytes have digest {seen}",
        code="blob-corrupted",
        hint="put the original bytes again, or restore the store from a copy",
        details={"digest": digest, "seen": seen},
    )


def pieces(data: object) -> Iterator[bytes]:
    """The content as pieces of bytes; anything else is refused."""
    if isinstance(data, bytes | bytearray | memoryview):
        yield bytes(data)
        return
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise _bad_content(data)
    for piece in data:
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise _bad_content(piece)
        yield bytes(piece)


@contextmanager
def plain_file(path: Path) -> Iterator[BufferedReader]:
    """A file opened for reading; folders, pipes, devices and symbolic links are refused."""
    try:
        # O_NONBLOCK: opening a named pipe must be refused, not waited for.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}", code="not-a-file") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UsageError(f"{str(path)!r} is not a plain file", code="not-a-file")
    with os.fdopen(fd, "rb") as source:
        yield source


def digest_of(stream: BufferedReader) -> str:
    """The digest of everything from here to the end of the stream."""
    return PREFIX + hashlib.file_digest(stream, "sha256").hexdigest()


def _bad_content(data: object) -> UsageError:
    return UsageError(
        f"a blob is made of bytes, a Path or an iterator of bytes, not of {type(data).__name__}",
        code="bad-content",
    )
