"""The turn to write: the processes that write one file wait for each other here, not inside SQLite.

SQLite's own waiting sleeps 1, 2, 5, … 100 ms between looks, longer than most transactions take, and is not fair. A
turn is an advisory lock on a file beside the database, looked at often. Whoever has waited for `GRACE_S` comes
next: a second lock on the same file says so, and who has just written leaves the turn to him. Until then the turn may
stay with one process for a few transactions, which finds its pages still in memory. The operating system gives both
locks back when their holder ends, however that ends.

It is a courtesy, never a condition: SQLite's lock alone keeps writers apart. Who can have no lock file writes without
a turn, and so does who finds that the turn's holder is not writing.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

#: How long one waits before he comes next.
GRACE_S: Final = 5e-3

#: The shortest pause between two looks, and the longest.
SHORTEST_S: Final = 50e-6
LONGEST_S: Final = 2e-3

# In between, a pause is this part of what was waited: who comes next looks more often, there is one of them.
_WAITING: Final = 8
_NEXT: Final = 64

_FREE: Final = fcntl.LOCK_UN
_HELD: Final = fcntl.LOCK_EX | fcntl.LOCK_NB


class Turn:
    """The turns of one `Database`; its threads have queued before they ask.

    Args:
        file: The lock file; made when absent, never removed (removal would race).

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> one, other = (Turn(Path(folder.name) / "x.db.lock") for _ in range(2))
        >>> one.take(1.0), other.take(0.01)
        (True, False)
        >>> one.give(); other.take(1.0)
        True
        >>> other.give(); one.close(); other.close(); folder.cleanup()
    """

    __slots__ = ("_fair", "_fd", "_file", "_nowhere")

    def __init__(self, file: Path) -> None:
        self._file = file
        self._fd = -1
        self._nowhere = False
        # Elsewhere the two kinds of locks may be one, and a process would wait for itself.
        self._fair = sys.platform == "linux"

    def take(self, timeout_s: float) -> bool:
        """Wait for the turn; whether one may go on: with the turn, or because there is none to be had here."""
        if self._fd < 0 and (self._nowhere or not self._open()):
            return True
        try:
            return (self._is_nobody_next() and self._try()) or self._wait(timeout_s)
        except OSError:  # a file system without locks
            self._nowhere = True
            return True

    def give(self) -> None:
        """Give the turn on; nothing happens without it."""
        if self._fd >= 0 and not self._nowhere:
            fcntl.flock(self._fd, _FREE)

    def close(self) -> None:
        """Close the file, which gives the turn on too; a later use opens it again.

        In a forked child it closes the child's copy: the parent keeps its turn.
        """
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def __del__(self) -> None:
        self.close()

    def _wait(self, timeout_s: float) -> bool:
        began = time.monotonic()
        waited, is_next = 0.0, False
        try:
            while waited < timeout_s:
                pause = min(max(waited / (_NEXT if is_next else _WAITING), SHORTEST_S), LONGEST_S)
                time.sleep(min(pause, timeout_s - waited))
                waited = time.monotonic() - began
                if self._fair and not is_next and waited >= GRACE_S:
                    is_next = self._try_next()
                if (is_next or self._is_nobody_next()) and self._try():
                    return True
        finally:
            if is_next:
                self._leave_next()
        return False

    def _try(self) -> bool:
        try:
            fcntl.flock(self._fd, _HELD)
        except BlockingIOError:
            return False
        return True

    def _is_nobody_next(self) -> bool:
        if not self._fair:
            return True
        if not self._try_next():
            return False
        self._leave_next()
        return True

    def _try_next(self) -> bool:
        # Another kind of lock than the turn's, so one file has room for both. It is the process's, not the open
        # file's: two databases of one process on one file share it, and no harm is done.
        try:
            fcntl.lockf(self._fd, _HELD, 1)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _leave_next(self) -> None:
        fcntl.lockf(self._fd, _FREE, 1)

    def _open(self) -> bool:
        try:
            self._fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:  # another's folder or file, a full disk
            self._nowhere = True
            return False
        return True
