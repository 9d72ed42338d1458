"""Public names of nodes: sortable, made anywhere without asking a server."""

from __future__ import annotations

import hashlib
import os
import threading
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_RANDOM_BITS = 80
_lock = threading.Lock()
_last = (0, 0)


def new_uid() -> str:
    """A new ULID: 48 bits of milliseconds, 80 random bits, 26 characters, ascending in one process.

    Source:
        The ULID specification, with its monotonic rule: in the same millisecond the random part
        grows by one.

    Example:
        >>> a, b = new_uid(), new_uid()
        >>> len(a), a < b
        (26, True)
    """
    global _last  # noqa: PLW0603 - the last uid is the process's, guarded by the lock
    with _lock:
        now_ms = time.time_ns() // 1_000_000
        last_ms, last_random = _last
        if now_ms <= last_ms:
            now_ms, random = last_ms, last_random + 1
        else:
            random = int.from_bytes(os.urandom(10), "big") >> 1
        _last = (now_ms, random)
    return _encode((now_ms << _RANDOM_BITS) | random)


def derived_uid(*parts: str) -> str:
    """The uid that is always the same for the same parts.

    The first 128 bits of sha256 over the length-prefixed parts; the first character is kept in
    the ULID's range.

    Example:
        >>> derived_uid("score", "late@1") == derived_uid("score", "late@1")
        True
    """
    h = hashlib.sha256()
    for part in parts:
        data = part.encode()
        h.update(len(data).to_bytes(8, "big"))
        h.update(data)
    return _encode(int.from_bytes(h.digest()[:16], "big"))


def _encode(value: int) -> str:
    # Two halves and two characters at a time: big integers are slow to shift, and every node that is made has a uid.
    high, low, p = value >> 64, value & 0xFFFFFFFFFFFFFFFF, _PAIRS
    return (
        p[high >> 56] + p[high >> 46 & 1023] + p[high >> 36 & 1023] + p[high >> 26 & 1023] + p[high >> 16 & 1023]
        + p[high >> 6 & 1023] + p[(high & 63) << 4 | low >> 60] + p[low >> 50 & 1023] + p[low >> 40 & 1023]
        + p[low >> 30 & 1023] + p[low >> 20 & 1023] + p[low >> 10 & 1023] + p[low & 1023]
    )  # fmt: skip


def is_uid(text: str) -> bool:
    """Whether `text` has the form of a uid."""
    return len(text) == 26 and text[0] in "01234567" and all(c in _ALPHABET for c in text)
