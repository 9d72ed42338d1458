"""Bytes that are images: format and size out of their first bytes, without decoding them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from whence.stats.base import Array

ImageFormat: TypeAlias = Literal["bmp", "gif", "jpeg", "png", "webp"]
Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

_SIGNATURES: Final[Mapping[ImageFormat, bytes]] = {
    "bmp": b"BM",
    "gif": b"GIF8",
    "jpeg": b"\xff\xd8\xff",
    "png": b"\x89PNG\r\n\x1a\n",
    "webp": b"RIFF",
}
# Sizes of the second header of a bitmap: OS/2 1 and 2, Windows 3 to 5.
_BITMAP_HEADERS: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
# Start-of-frame markers; C4, C8 and CC are tables and an extension.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_formats(values: pa.Array, counts: Array) -> tuple[dict[str, int], Size]:
    """How many of n different values are images of a format, and the largest width and height.

    Example:
        >>> import numpy as np
        >>> gif = b"GIF89a" + bytes([2, 0, 1, 0]) + b"..."
        >>> image_formats(pa.array([gif, b"no image"]), np.array([3, 1]))
        ({'gif': 3}, (2, 1))
    """
    found: dict[str, int] = {}
    width = height = 0
    for name, signature in _SIGNATURES.items():
        here = pc.starts_with(values, signature)
        some = here.to_numpy(zero_copy_only=False)
        if not some.any():
            continue
        for value, n in zip(values.filter(here).to_pylist(), counts[some].tolist(), strict=True):
            if image_format(value) != name:
                continue
            found[name] = found.get(name, 0) + n
            size = image_size(value)
            if size is not None:
                width, height = max(width, size[0]), max(height, size[1])
    return found, (width, height)


def image_format(value: bytes) -> ImageFormat | None:
    r"""The format of an image by its first bytes; None when it is none of those known.

    Example:
        >>> image_format(b"\x89PNG\r\n\x1a\n...."), image_format(b"BMW 320"), image_format(b"")
        ('png', None, None)
    """
    for name, signature in _SIGNATURES.items():
        if value.startswith(signature):
            if name == "webp" and value[8:12] != b"WEBP":
                return None
            if name == "bmp" and _little(value, 14, 4) not in _BITMAP_HEADERS:
                return None
            return name
    return None


def image_size(value: bytes) -> Size | None:
    """The width and height an image says it has, in pixels; None when it is cut off or none.

    Example:
        >>> image_size(b"GIF89a" + bytes([2, 0, 1, 0]))
        (2, 1)
    """
    name = image_format(value)
    if name is None:
        return None
    try:
        return _SIZES[name](value)
    except (IndexError, struct.error):
        return None


def _png(value: bytes) -> Size:
    width, height = struct.unpack_from(">II", value, 16)
    return width, height


def _gif(value: bytes) -> Size:
    width, height = struct.unpack_from("<HH", value, 6)
    return width, height


def _bmp(value: bytes) -> Size:
    old = _little(value, 14, 4) == 12
    width, height = struct.unpack_from("<HH" if old else "<ii", value, 18)
    return abs(width), abs(height)  # a negative height: rows from the top


def _jpeg(value: bytes) -> Size | None:
    at = 2
    while True:
        while value[at] != 0xFF:
            at += 1
        while value[at] == 0xFF:
            at += 1
        marker = value[at]
        at += 1
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", value, at + 3)
            return width, height
        if marker in (0xD9, 0xDA):  # the end, or pixels: there was no frame
            return None
        if marker != 0x01 and not 0xD0 <= marker <= 0xD8:
            at += struct.unpack_from(">H", value, at)[0]


def _webp(value: bytes) -> Size | None:
    chunk = value[12:16]
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", value, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", value, 21)
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    if chunk == b"VP8X" and len(value) >= 30:
        return _little(value, 24, 3) + 1, _little(value, 27, 3) + 1
    return None


def _little(value: bytes, at: int, n: int) -> int:
    return int.from_bytes(value[at : at + n], "little")


_SIZES: Final[Mapping[ImageFormat, Callable[[bytes], Size | None]]] = {
    "bmp": _bmp,
    "gif": _gif,
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
}
