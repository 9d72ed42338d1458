"""A write-ahead log of answers: an answer is told only after it would survive a power cut.

::

    requests/<deployment>/<shard>/000000000007.log

    segment    magic, then records, then a seal
    record     length (4 bytes), crc32 of the payload (4 bytes), payload
    seal       0xffffffff, crc32 of the count, number of records (8 bytes)

A shard belongs to one process at a time, by a lock that goes with the process. A segment without a seal is what a
process left that died: its tail may be torn and is cut at the first record that is not whole; nothing behind that
was ever acknowledged. In a sealed segment every record was, so there a broken record is damage and is refused.
A damaged segment is never removed: only its records that are whole may be settled, and then it is set aside.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whence._base.crash import crash_point, register
from whence._base.ids import is_uid, new_uid
from whence._base.locks import file_lock
from whence.errors import BackendError, ConflictError, IntegrityError

log = logging.getLogger(__name__)

WRITTEN: Final = register(
    "serving.request.written", "answers stand in the log's file, they are not synced and nobody was told"
)
SYNCED: Final = register("serving.request.synced", "answers would survive a power cut, nobody was told yet")
SEALED: Final = register(
    "serving.request.sealed", "a segment of the request log is sealed, its rows are not in the table"
)

MAGIC: Final = b"whlog\x00\x01\n"
_HEAD: Final = struct.Struct("<II")
_COUNT: Final = struct.Struct("<Q")
_SEAL: Final = 0xFFFF_FFFF
_SEAL_BYTES: Final = _HEAD.size + _COUNT.size
MAX_RECORD_BYTES: Final = 1 << 30
_SUFFIX: Final = ".log"
_ASIDE: Final = ".damaged"


@dataclass(frozen=True, slots=True)
class Segment:
    """What a segment holds.

    Attributes:
        records: The payloads, in the order they were written.
        n_cut: Bytes of a torn tail that were left out.
        sealed: Whether its writer ended it.
        damaged: Whether acknowledged records are missing.
    """

    records: tuple[bytes, ...]
    n_cut: int = 0
    sealed: bool = False
    damaged: bool = False


def frame(payload: bytes) -> bytes:
    """A record as it stands in a segment.

    Example:
        >>> frame(b"x").hex()
        '010000008316dc8c78'
    """
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def seal_of(n_records: int) -> bytes:
    """The seal of a segment with that many records."""
    count = _COUNT.pack(n_records)
    return _HEAD.pack(_SEAL, zlib.crc32(count)) + count


def parse_segment(data: bytes, *, name: str = "segment", salvage: bool = False) -> Segment:
    """The records of a segment's bytes.

    Args:
        data: The bytes.
        name: What it is called, for messages.
        salvage: Of a damaged segment, give the records that are whole, as far as they can be told apart.

    Raises:
        IntegrityError: The segment is sealed, and a record of it is not what was written (``request-log-damaged``).

    Example:
        >>> whole = MAGIC + frame(b"one") + frame(b"two")
        >>> parse_segment(whole[:-1])
        Segment(records=(b'one',), n_cut=10, sealed=False, damaged=False)
        >>> parse_segment(whole + seal_of(2)).sealed
        True
    """
    n_sealed = _sealed(data)
    if not data.startswith(MAGIC):
        if n_sealed is None and len(data) < len(MAGIC):
            return Segment((), len(data))
        if not salvage:
            raise _damaged(name, 0)
    records: list[bytes] = []
    n_broken = 0
    at = len(MAGIC)
    end = len(data) - (_SEAL_BYTES if n_sealed is not None else 0)
    while at + _HEAD.size <= end:
        size, crc = _HEAD.unpack_from(data, at)
        payload = data[at + _HEAD.size : at + _HEAD.size + size]
        whole = 0 < size <= MAX_RECORD_BYTES and at + _HEAD.size + size <= end
        if whole and zlib.crc32(payload) == crc:
            records.append(payload)
        elif whole and salvage:  # its length may still be right: what stands behind is judged by its own sum
            n_broken += _HEAD.size + size
        else:
            break
        at += _HEAD.size + size
    n_cut = end - at + n_broken
    damaged = not data.startswith(MAGIC) or (n_sealed is not None and (n_cut > 0 or len(records) != n_sealed))
    if damaged and not salvage:
        raise _damaged(name, at)
    return Segment(tuple(records), n_cut, n_sealed is not None, damaged)


def _sealed(data: bytes) -> int | None:
    """The number of records the seal names; None when there is none."""
    if len(data) < len(MAGIC) + _SEAL_BYTES:
        return None
    head, crc = _HEAD.unpack_from(data, len(data) - _SEAL_BYTES)
    count = data[-_COUNT.size :]
    if head != _SEAL or zlib.crc32(count) != crc:
        return None
    (n,) = _COUNT.unpack(count)
    return int(n)


def _damaged(name: str, at: int) -> IntegrityError:
    return IntegrityError(
        f"the request log's {name} is not what was written, from byte {at}",
        code="request-log-damaged",
        hint="restore the file from a copy; without one, settle_requests(…, salvage=True) brings what is whole "
        "into the table and sets the file aside",
        details={"segment": name, "at": at},
    )


class Shard:
    """One writer's folder of segments, held by this process.

    Args:
        folder: The folder; its name is the shard's.
        lock: What gives the shard back.
    """

    def __init__(self, folder: Path, lock: contextlib.ExitStack) -> None:
        self.folder = folder
        self.name = folder.name
        self._lock = lock

    @classmethod
    def create(cls, parent: Path) -> Shard:
        """A new shard; no other, in no folder, has its name."""
        made = cls.claim(parent / new_uid())
        assert made is not None
        _sync_folder(parent)
        return made

    @classmethod
    def claim(cls, folder: Path) -> Shard | None:
        """The shard of a folder; None while another process holds it."""
        folder.mkdir(parents=True, exist_ok=True)
        lock = contextlib.ExitStack()
        try:
            lock.enter_context(file_lock(folder / "lock", what=f"the request log {folder.name}"))
        except ConflictError:
            return None
        return cls(folder, lock)

    def path(self, segment: int) -> Path:
        """The file of a segment."""
        return self.folder / f"{segment:012d}{_SUFFIX}"

    def segments(self) -> list[int]:
        """The segments that are there, oldest first."""
        return sorted(int(p.stem) for p in self.folder.glob(f"*{_SUFFIX}") if p.stem.isdecimal())

    def read(self, segment: int, *, salvage: bool = False) -> Segment:
        """What a segment holds; a torn tail is left out, and with `salvage` what is damaged.

        Raises:
            IntegrityError: ``request-log-damaged``.
        """
        data = self.path(segment).read_bytes()
        found = parse_segment(data, name=f"segment {self.name}/{segment}", salvage=salvage)
        if found.n_cut:
            log.warning(
                "torn tail cut", extra={"shard": self.name, "segment": segment, "n_bytes": found.n_cut}
            )
        return found

    def remove(self, segment: int) -> None:
        """Take away a segment whose rows are in the table."""
        self.path(segment).unlink(missing_ok=True)
        _sync_folder(self.folder)

    def set_aside(self, segment: int) -> Path:
        """Keep a damaged segment, whose whole records are in the table, under another name; gives that."""
        source = self.path(segment)
        aside = next(
            p for n in itertools.count() if not (p := source.with_suffix(f"{_ASIDE}{n or ''}")).exists()
        )
        source.rename(aside)
        _sync_folder(self.folder)
        return aside

    def release(self) -> None:
        """Give the shard back."""
        self._lock.close()


def list_shards(parent: Path) -> Iterator[Path]:
    """The folders of the shards under a folder, oldest first."""
    if parent.is_dir():
        yield from sorted(p for p in parent.iterdir() if p.is_dir() and is_uid(p.name))


@dataclass(slots=True)
class _Open:
    """The segment that is being written."""

    number: int
    fd: int
    size: int
    n_records: int = 0
    n_rows: int = 0
    since: float = 0.0


class RequestLog:
    """Writes records durably, many with one sync, and hands on segments that are full or old. Thread-safe.

    Args:
        shard: Where.
        first: The number of the first segment; the numbers of a shard only grow.
        on_sealed: Called with the number of each sealed segment, in order; it must not wait.
        max_bytes: A segment is sealed when it is as large.
        max_rows: … or has as many rows.
        seal_s: … or its first record is as old, once `seal_old` is called.
    """

    def __init__(
        self,
        shard: Shard,
        *,
        first: int,
        on_sealed: Callable[[int], None],
        max_bytes: int = 32 << 20,
        max_rows: int = 65_536,
        seal_s: float = 30.0,
    ) -> None:
        self._shard = shard
        self._next = first
        self._on_sealed = on_sealed
        self._max_bytes, self._max_rows, self._seal_s = max_bytes, max_rows, seal_s
        self._open: _Open | None = None
        self._lock = threading.Lock()
        self.broken: BackendError | None = None
        """Why nothing can be written any more; None while all is well."""

    def write(self, payloads: Sequence[bytes], n_rows: int) -> int:
        """Write records, all or none; they would survive a power cut when this returns.

        Args:
            payloads: The records, in order.
            n_rows: How many rows they hold together.

        Returns:
            The segment they are in.

        Raises:
            BackendError: The disk is full (``store-full``) or failed (``store-failed``); nothing was written.
        """
        with self._lock:
            if self.broken is not None:
                raise self.broken
            try:
                now = self._put(payloads, n_rows)
            except OSError as failed:
                raise self._undo(failed) from failed
            if now.size >= self._max_bytes or now.n_rows >= self._max_rows:
                self._seal()
            return now.number

    def seal(self) -> None:
        """End the segment that is being written, if there is one, and hand it on."""
        with self._lock:
            self._seal()

    def seal_old(self) -> float:
        """Seal the segment if it is old enough; returns in how many seconds to look again."""
        with self._lock:
            if self._open is None or not self._open.n_records:
                return self._seal_s
            left = self._open.since + self._seal_s - time.monotonic()
            if left > 0:
                return left
            self._seal()
            return self._seal_s

    def _put(self, payloads: Sequence[bytes], n_rows: int) -> _Open:
        if self._open is None:
            self._open = self._begin()
        now = self._open
        data = b"".join(map(frame, payloads))
        _write_all(now.fd, data)
        crash_point(WRITTEN)
        os.fdatasync(now.fd)
        crash_point(SYNCED)
        if not now.n_records:
            now.since = time.monotonic()
        now.size += len(data)
        now.n_records += len(payloads)
        now.n_rows += n_rows
        return now

    def _begin(self) -> _Open:
        path = self._shard.path(self._next)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, MAGIC)
            _sync_folder(self._shard.folder)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._next += 1
        return _Open(self._next - 1, fd, len(MAGIC))

    def _undo(self, failed: OSError) -> BackendError:
        """Cut off what was not acknowledged; a log that cannot be cut takes nothing more."""
        full = failed.errno in {errno.ENOSPC, errno.EDQUOT}
        error = BackendError(
            f"an answer could not be written to the request log: {failed.strerror}",
            code="store-full" if full else "store-failed",
            hint="free some space, then retry" if full else None,
            retryable=full,
        )
        now = self._open
        if now is not None:
            try:
                os.ftruncate(now.fd, now.size)
                os.lseek(now.fd, now.size, os.SEEK_SET)
                os.fdatasync(now.fd)
            except OSError:
                self.broken = error
                log.exception("request log broken", extra={"shard": self._shard.name})
        return error

    def _seal(self) -> None:
        now, self._open = self._open, None
        if now is None:
            return
        try:
            if now.n_records and self.broken is None:
                _write_all(now.fd, seal_of(now.n_records))
                os.fdatasync(now.fd)
        except OSError:  # without a seal it is read as far as it is whole: that is all of it
            with contextlib.suppress(OSError):
                os.ftruncate(now.fd, now.size)
        os.close(now.fd)
        crash_point(SEALED)
        self._on_sealed(now.number)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
