"""Words as the numbers that SQL keeps, and uids as 16 bytes."""

from __future__ import annotations

from itertools import product
from struct import Struct
from typing import Final

from whence._base.ids import derived_uid
from whence.metadata.types import NodeKind

KIND_CODES: Final[dict[NodeKind, int]] = {"artifact": 1, "execution": 2, "context": 3}
KIND_OF: Final[tuple[NodeKind, ...]] = ("context", "artifact", "execution", "context")
"""The kind of an id by ``id & 3``; no id has 0 there."""

# ML Metadata's numbers; a word's place is its number.
ARTIFACT_STATES: Final = (
    "UNKNOWN", "PENDING", "LIVE", "MARKED_FOR_DELETION", "DELETED", "ABANDONED", "REFERENCE",
)  # fmt: skip
EXECUTION_STATES: Final = ("UNKNOWN", "NEW", "RUNNING", "COMPLETE", "FAILED", "CACHED", "CANCELED")
EVENT_KINDS: Final = (
    "UNKNOWN", "DECLARED_OUTPUT", "DECLARED_INPUT", "INPUT", "OUTPUT",
    "INTERNAL_INPUT", "INTERNAL_OUTPUT", "PENDING_OUTPUT",
)  # fmt: skip
STATES: Final[tuple[tuple[str, ...], ...]] = ((), ARTIFACT_STATES, EXECUTION_STATES, ())
"""The words of states by the code of the kind."""
STATE_CODES: Final[dict[NodeKind, dict[str, int]]] = {
    "artifact": {word: i for i, word in enumerate(ARTIFACT_STATES)},
    "execution": {word: i for i, word in enumerate(EXECUTION_STATES)},
    "context": {},
}
EVENT_CODES: Final = {word: i for i, word in enumerate(EVENT_KINDS)}

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Python reads base 32 with the digits 0-9a-v; whatever is no digit of a ULID becomes a sign it refuses.
TO_PYTHON: Final = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[_ALPHABET.index(chr(i))] if chr(i) in _ALPHABET else 0x7E
    for i in range(256)
)
"""Translates the digits of a ULID to those of ``int(…, 32)``."""
_PAIRS: Final[tuple[str, ...]] = tuple(a + b for a, b in product(_ALPHABET, repeat=2))
_HALVES: Final = Struct(">QQ").unpack


def pack_uid(uid: str) -> tuple[bytes, str | None]:
    r"""A uid as stored: its 16 bytes, and its text when it is not a ULID (the bytes are then derived).

    Example:
        >>> pack_uid("00000000000000000000000010")
        (b'\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00 ', None)
        >>> pack_uid("mine")[1]
        'mine'
    """
    if len(uid) == 26 and uid.isascii():
        try:
            return int(uid.encode().translate(TO_PYTHON), 32).to_bytes(16, "big"), None
        except (ValueError, OverflowError):
            pass
    try:
        return pack_uid(derived_uid("uid", uid))[0], uid
    except UnicodeEncodeError:  # asked for, never stored
        return pack_uid(derived_uid("no uid", ascii(uid)))[0], uid


def unpack_uid(packed: bytes) -> str:
    """The ULID of 16 bytes.

    Example:
        >>> unpack_uid(pack_uid("01J0000000000000000000000Z")[0])
        '01J0000000000000000000000Z'
    """
    high: int
    low: int
    high, low = _HALVES(packed)
    p = _PAIRS
    return (
        p[high >> 56]
        + p[high >> 46 & 1023]
        + p[high >> 36 & 1023]
        + p[high >> 26 & 1023]
        + p[high >> 16 & 1023]
        + p[high >> 6 & 1023]
        + p[(high & 63) << 4 | low >> 60]
        + p[low >> 50 & 1023]
        + p[low >> 40 & 1023]
        + p[low >> 30 & 1023]
        + p[low >> 20 & 1023]
        + p[low >> 10 & 1023]
        + p[low & 1023]
    )
