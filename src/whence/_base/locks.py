"""Locks between the processes that share a workspace folder, and who of them is alive.

A lock is an advisory lock on an open file: the operating system gives it back when the process
ends, however it ends. So a process that holds the lock of its own life file is alive, and one
whose life file can be locked by others is dead.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whence._base.ids import new_uid
from whence.errors import BackendError, ConflictError


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


@contextmanager
def file_lock(path: Path, *, what: str, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold the lock at `path` for the block.

    Args:
        path: The lock file; made when absent, never removed (removal would race).
        what: What the lock protects, for the message.
        timeout_s: How long to wait for another holder; 0 tries once.

    Raises:
        ConflictError: Another process holds it after `timeout_s`.
        BackendError: The lock file cannot be made (``store-unavailable``, ``store-full``).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unmakable(f"{what}: {str(path)!r} cannot be made", error) from error
    try:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(fd):
            if time.monotonic() >= deadline:
                raise ConflictError(
                    f"{what} is held by another process", code="locked", hint="wait for it to end, then retry"
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def _unmakable(said: str, error: OSError) -> BackendError:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    closed = error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}
    return BackendError(
        f"{said}: {error.strerror}",
        code="store-full" if full else "store-unavailable" if closed else "store-failed",
        hint="free some space, then retry"
        if full
        else "where nothing may be written it can be opened to look: read_only=True, whence --read-only"
        if closed
        else None,
        retryable=full,
    )


class Life:
    """The life file of this process in a workspace: `uid` names it, `is_alive` asks about others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.uid = new_uid()
        self._path = folder / f"{self.uid}.life"
        self._fd = -1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            _try_lock(self._fd)
            os.write(self._fd, str(os.getpid()).encode())
        except OSError as error:
            self.close()
            raise _unmakable(f"this process cannot be written down in {str(folder)!r}", error) from error

    def is_alive(self, uid: str) -> bool:
        """Whether the process that holds life file `uid` still runs."""
        if uid == self.uid:
            return True
        path = self._folder / f"{uid}.life"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if not _try_lock(fd):
                return True
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(fd)

    def close(self) -> None:
        """End this life: its executions count as dead from now on."""
        if self._fd >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = -1
