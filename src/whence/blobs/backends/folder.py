"""Blobs in a folder: ``sha256/ab/<the other 62 digits>``, written whole or not at all.

A put writes a file of its own under ``tmp/``, forces it to the disk, renames it to its place and
forces the folder. A process that dies in between leaves at most a file in ``tmp/``; the lock on it
dies with the process, and the next one that opens the store removes it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Final

from whence._base.crash import crash_point, register
from whence._base.digest import PREFIX
from whence._base.ids import new_uid
from whence.blobs.base import (
    BLOCK_BYTES,
    BlobStore,
    Content,
    absent,
    corrupted,
    digest_of,
    hex_of,
    pieces,
    plain_file,
)
from whence.errors import BackendError

WRITTEN: Final = register("blobs.written", "between a blob's bytes on the disk and its name")
RENAMED: Final = register("blobs.renamed", "between a blob's name and the folder on the disk")

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe must be refused, not waited for.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FAN: Final = re.compile(r"[0-9a-f]{2}")
_REST: Final = re.compile(r"[0-9a-f]{62}")


class FolderBlobs(BlobStore):
    """Blobs as files in a folder of their own, readable by their owner alone.

    Args:
        root: The folder; made when absent. Below it no symbolic link is followed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        with _failures(f"the blob folder {str(root)!r} cannot be used"):
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._root = root.resolve()
            for name in ("sha256", "tmp"):
                (self._root / name).mkdir(exist_ok=True, mode=0o700)
            self._sweep()

    def put(self, data: Content) -> str:
        if isinstance(data, Path):
            with plain_file(data) as source:
                known = digest_of(source)
                if self._holds(known):
                    return known
                source.seek(0)
                return self._write(_blocks(source))
        if isinstance(data, bytes):
            known = PREFIX + hashlib.sha256(data).hexdigest()
            if self._holds(known):
                return known
        return self._write(pieces(data))

    @contextmanager
    def open(self, digest: str) -> Iterator[BufferedReader]:
        with self._stream(digest) as stream:
            seen = digest_of(stream)
            if seen != digest:
                raise corrupted(digest, seen)
            stream.seek(0)
            yield stream

    def exists(self, digest: str) -> bool:
        return self._stat(digest) is not None

    def size_bytes(self, digest: str) -> int:
        found = self._stat(digest)
        if found is None:
            raise absent(digest)
        return found.st_size

    def list(self) -> Iterator[str]:
        with _failures("the blobs cannot be listed"):
            base = self._root / "sha256"
            for fan in sorted(f for f in base.iterdir() if _FAN.fullmatch(f.name) and not f.is_symlink()):
                for file in sorted(f for f in fan.iterdir() if _REST.fullmatch(f.name)):
                    yield PREFIX + fan.name + file.name

    def delete(self, digest: str, *, missing_ok: bool = False) -> None:
        name = hex_of(digest)
        with _failures(f"blob {digest} cannot be deleted"):
            try:
                with self._fan(name) as fan:
                    os.unlink(name[2:], dir_fd=fan)
                    os.fsync(fan)
            except FileNotFoundError:
                if not missing_ok:
                    raise absent(digest) from None

    # -- reading -------------------------------------------------------------------------------

    def _stat(self, digest: str) -> os.stat_result | None:
        name = hex_of(digest)
        with _failures(f"blob {digest} cannot be read"):
            try:
                with self._fan(name) as fan:
                    found = os.stat(name[2:], dir_fd=fan, follow_symlinks=False)
            except FileNotFoundError:
                return None
        return found if stat.S_ISREG(found.st_mode) else None

    @contextmanager
    def _stream(self, digest: str) -> Iterator[BufferedReader]:
        name = hex_of(digest)
        with _failures(f"blob {digest} cannot be read"):
            try:
                with self._fan(name) as fan:
                    fd = os.open(name[2:], _READ, dir_fd=fan)
            except FileNotFoundError:
                raise absent(digest) from None
        with os.fdopen(fd, "rb") as stream:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise corrupted(digest, "none: not a plain file")
            yield stream

    def _holds(self, digest: str) -> bool:
        """Whether the right bytes are there already; wrong ones are to be written over."""
        if self._stat(digest) is None:
            return False
        with self._stream(digest) as stream:
            return digest_of(stream) == digest

    # -- writing -------------------------------------------------------------------------------

    def _write(self, content: Iterator[bytes]) -> str:
        with _failures("a blob could not be stored"), self._folder("tmp") as tmp:
            name, fd = _new_file(tmp)
            try:
                hasher = hashlib.sha256()
                with os.fdopen(fd, "wb", buffering=0) as target:
                    for piece in content:
                        hasher.update(piece)
                        _write_all(target.fileno(), piece)
                    os.fsync(target.fileno())
                    crash_point(WRITTEN)
                    self._place(tmp, name, hasher.hexdigest())
            except BaseException:
                _unlink_quietly(name, tmp)
                raise
            return PREFIX + hasher.hexdigest()

    def _place(self, tmp: int, name: str, digest_hex: str) -> None:
        self._make_fan(digest_hex[:2])
        with self._fan(digest_hex) as fan:
            os.rename(name, digest_hex[2:], src_dir_fd=tmp, dst_dir_fd=fan)
            crash_point(RENAMED)
            os.fsync(fan)

    def _make_fan(self, fan: str) -> None:
        with self._folder("sha256") as base:
            try:
                os.mkdir(fan, mode=0o700, dir_fd=base)
            except FileExistsError:
                return
            os.fsync(base)

    def _sweep(self) -> None:
        """Remove what dead processes left in ``tmp/``: files whose lock nobody holds."""
        with self._folder("tmp") as tmp:
            for name in os.listdir(tmp):  # noqa: PTH208  # by descriptor, so that no link is followed
                try:
                    fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=tmp)
                except OSError:
                    continue
                try:
                    if _lock(fd):
                        _unlink_quietly(name, tmp)
                finally:
                    os.close(fd)

    # -- folders -------------------------------------------------------------------------------

    @contextmanager
    def _folder(self, name: str) -> Iterator[int]:
        fd = os.open(self._root / name, _FOLDER)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _fan(self, digest_hex: str) -> Iterator[int]:
        with self._folder("sha256") as base:
            fd = os.open(digest_hex[:2], _FOLDER, dir_fd=base)
        try:
            yield fd
        finally:
            os.close(fd)


def _new_file(tmp: int) -> tuple[str, int]:
    """A new file in ``tmp/``, locked for as long as its writer lives."""
    while True:
        name = new_uid()
        fd = os.open(name, _NEW, 0o600, dir_fd=tmp)
        if _lock(fd) and os.fstat(fd).st_nlink == 1:
            return name, fd
        os.close(fd)  # a sweeper came between the making and the lock


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _unlink_quietly(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        return


def _blocks(source: BufferedReader) -> Iterator[bytes]:
    while block := source.read(BLOCK_BYTES):
        yield block


@contextmanager
def _failures(what: str) -> Iterator[None]:
    """What the operating system refuses becomes an error of ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise BackendError(
                f"{what}: no space is left",
                code="store-full",
                hint="free space, then do it again: nothing was left half done",
                retryable=True,
            ) from error
        raise BackendError(f"{what}: {error.strerror}", code="store-failed") from error


def open_url(url: str) -> BlobStore:
    """The store in the folder `url`."""
    return FolderBlobs(Path(url))
