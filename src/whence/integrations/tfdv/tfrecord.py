"""TFRecord files: records of bytes, each with its length and two checksums."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from whence.errors import IntegrityError
from whence.integrations.tfdv.refusals import UsageError

_HEAD: Final = struct.Struct("<QI")
_TAIL: Final = struct.Struct("<I")
_POLYNOMIAL: Final = 0x82F63B78
_MASK_DELTA: Final = 0xA282EAD8


@cache
def _table() -> tuple[int, ...]:
    out = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        out.append(crc)
    return tuple(out)


def crc32c(data: bytes) -> int:
    """The CRC-32 of bytes with Castagnoli's polynomial.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    table = _table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    """The checksum as TFRecord writes it."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def write_records(path: str | Path, records: Iterable[bytes]) -> None:
    """Write records to a file; its folder is made."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        for record in records:
            length = len(record).to_bytes(8, "little")
            out.write(length + _TAIL.pack(masked(length)) + record + _TAIL.pack(masked(record)))


def is_tfrecord(path: str | Path) -> bool:
    """Whether a file begins as a TFRecord file does: a length and its checksum."""
    with _open(path) as raw:
        head = raw.read(_HEAD.size)
    return len(head) == _HEAD.size and masked(head[:8]) == _HEAD.unpack(head)[1]


def read_records(path: str | Path) -> Iterator[bytes]:
    """The records of a file, gzipped or not, each checked.

    Raises:
        UsageError: It is no TFRecord file (``bad-tfrecord``).
        IntegrityError: A record ends too early or its checksum is wrong (``file-corrupted``).
    """
    with _open(path) as raw:
        n = 0
        while head := raw.read(_HEAD.size):
            if len(head) < _HEAD.size or masked(head[:8]) != _HEAD.unpack(head)[1]:
                if not n:
                    raise UsageError(f"{path} is no TFRecord file", code="bad-tfrecord")
                raise _broken(path, n)
            length = _HEAD.unpack(head)[0]
            record, tail = raw.read(length), raw.read(_TAIL.size)
            if len(record) < length or len(tail) < _TAIL.size or masked(record) != _TAIL.unpack(tail)[0]:
                raise _broken(path, n)
            yield record
            n += 1


def _broken(path: str | Path, n: int) -> IntegrityError:
    return IntegrityError(f"{path}: record {n} is damaged or cut off", code="file-corrupted")


def _open(path: str | Path) -> Any:  # a plain or an unzipping reader of bytes
    with Path(path).open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else Path(path).open("rb")
