"""Heartbeats: who is alive, where processes on several hosts share one database.

A folder on one machine tells by lock files (`whence._base.locks.Life`), exactly and for free. Where the graph
is on a server there is no such folder: a process that runs executions writes a beat into the table ``life``
every `BEAT_S` seconds, by the clock of the database. One whose last beat is `LATE_BEATS` beats old is dead.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
from datetime import timedelta
from pathlib import Path
from typing import Final

from whence._base.ids import new_uid
from whence.errors import BackendError
from whence.metadata.base import MetadataStore
from whence.metadata.lifecycle import ProcessLife
from whence.metadata.types import Beat

log = logging.getLogger(__name__)

BEAT_S: Final = 15.0
LATE_BEATS: Final = 4


class DatabaseLife:
    """The life of this process in a shared database: `uid` names it, `is_alive` asks about others.

    It beats while it holds executions, from one thread of its own. Everything is judged by the database's
    clock: hosts whose clocks differ agree. A process of this host that has ended is known to be dead at once.

    Args:
        store: The graph.
        host: Where this process runs; the machine's name by default.
        beat_s: Seconds between two beats.

    Example:
        >>> from whence.metadata import open_store
        >>> life = DatabaseLife(open_store("memory://"))
        >>> life.hold()
        >>> life.is_alive(life.uid), life.is_alive("01J0000000000000000000000X")
        (True, False)
        >>> life.close()
    """

    def __init__(self, store: MetadataStore, *, host: str | None = None, beat_s: float = BEAT_S) -> None:
        self.uid = new_uid()
        self.host = host or this_host()
        self._store = store
        self._beat_s = beat_s
        self._lock = threading.Lock()
        self._held = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def is_alive(self, uid: str) -> bool:
        """Whether the process with that life still runs; a life that never beat here has ended."""
        if uid == self.uid:
            return not self._closed
        if "/" in uid:  # a life without a table: another recorder's of one process
            return ProcessLife.runs(uid)
        beat = next((b for b in self._store.list_beats() if b.uid == uid), None)
        if beat is None or (beat.host == self.host and _has_ended(beat.pid)):
            return False
        late = self._store.now() - beat.beat_at if beat.beat_at is not None else timedelta.max
        return late <= timedelta(seconds=self._beat_s * LATE_BEATS)

    def hold(self) -> None:
        """An execution is about to be written as RUNNING: from before that on, this life beats."""
        with self._lock:
            self._held += 1
            running = self._thread is not None and self._thread.is_alive()
            if running:
                return
            self._stop.clear()
            try:
                self.beat()
            except BaseException:
                self._held -= 1
                raise
            self._thread = threading.Thread(target=self._run, name="whence-beats", daemon=True)
            self._thread.start()

    def release(self) -> None:
        """One execution less. The beats go on for a while: the next one is often near."""
        with self._lock:
            self._held -= 1

    def beat(self) -> None:
        """Write one beat now."""
        self._store.beat([Beat(self.uid, self.host, os.getpid())])

    def _run(self) -> None:
        idle = 0
        while not self._stop.wait(self._beat_s):
            with self._lock:
                idle = 0 if self._held > 0 else idle + 1
                if idle >= LATE_BEATS:
                    self._thread = None  # nothing runs: whoever holds again begins with a beat
                    return
            try:
                self.beat()
            except BackendError as error:
                # The server may be back before the others give this life up.
                log.warning("no beat", extra={"life": self.uid, "error": str(error)})

    def close(self) -> None:
        """End this life: its executions count as dead from now on."""
        with self._lock:
            self._closed = True
            self._stop.set()
            thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            thread.join(timeout=5)
        self._store.end_beats([self.uid])


def this_host() -> str:
    """This machine's name and its room of process ids: two containers of one name are two hosts."""
    try:
        room = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return platform.node()
    return f"{platform.node()} {room}"


def _has_ended(pid: int) -> bool:
    """Whether no process of this host has this id: a zombie has ended, only its parent has not looked."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        pass
    else:
        return stat.rpartition(")")[2].split()[0] == "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


__all__ = ["BEAT_S", "LATE_BEATS", "DatabaseLife", "this_host"]
