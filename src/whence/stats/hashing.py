"""A fixed 64-bit hash of values, vectorised: the same on every machine and in every version."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from whence.stats.base import Array, Values, as_arrow, numbers

_BASE = np.uint64(0x9E3779B97F4A7C15)
_CHUNK_BYTES = 1 << 18
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mix(x: Array) -> Array:
    """Spread the bits of 64-bit words (a bijection).

    Source:
        The finaliser of SplitMix64; Steele, Lea, Flood, OOPSLA 2014, constants of Stafford's mix 13.
    """
    x = x + _BASE
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    result: Array = x ^ (x >> np.uint64(31))
    return result


def hash64(values: Values) -> Array:
    """One 64-bit hash per non-null value.

    Text and bytes: the polynomial ``sum((byte + 1) * B**i) mod 2**64`` (i from 1), mixed with the length.
    Numbers: the bits of int64 or float64, mixed; -0.0 as 0.0, every NaN as one.

    Example:
        >>> [hex(int(h)) for h in hash64(["a", "b"])]
        ['0x5f1e5ddf0d07f75b', '0x2c2eb65d0e32bd0d']
    """
    array = as_arrow(values) if not isinstance(values, np.ndarray) else values
    if isinstance(array, np.ndarray):
        return _hash_numbers(array)
    if _is_text(array.type):
        return _hash_bytes(array)
    return _hash_numbers(numbers(array))


def _is_text(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_binary(kind) or t.is_large_binary(kind))


def _hash_numbers(array: Array) -> Array:
    if array.dtype == object:  # integers below 0 and beyond int64 together: the bits of either
        array = np.array([v % 2**64 for v in array.tolist()], dtype=np.uint64)
    array = numbers(array)
    if array.dtype == np.float64:
        array = np.where(np.isnan(array), np.nan, array + 0.0)
    return mix(np.ascontiguousarray(array).view(np.uint64))


def _hash_bytes(array: pa.Array) -> Array:
    """The hashes of text or bytes, some megabytes at a time: the work needs 50 bytes for each byte hashed."""
    if not len(array):
        return np.empty(0, dtype=np.uint64)
    wide = pa.types.is_large_binary(array.type) or pa.types.is_large_string(array.type)
    _, offsets_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64 if wide else np.int32)
    offsets = offsets[array.offset : array.offset + len(array) + 1].astype(np.int64)
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)
    hashes = np.empty(len(array), dtype=np.uint64)
    start = 0
    while start < len(array):
        end = int(np.searchsorted(offsets, offsets[start] + _CHUNK_BYTES, side="right")) - 1
        end = min(max(end, start + 1), len(array))
        hashes[start:end] = _polynomials(data, offsets[start : end + 1])
        start = end
    result: Array = mix(hashes ^ mix(np.diff(offsets).astype(np.uint64)))
    return result


def _polynomials(data: Array, offsets: Array) -> Array:
    """The polynomial of each value between neighbouring offsets."""
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    if len(lengths) == 1 and longest > _CHUNK_BYTES:
        return np.array([_polynomial(data[offsets[0] : offsets[1]])], dtype=np.uint64)
    starts = offsets - offsets[0]
    words = data[offsets[0] : offsets[-1]].astype(np.uint64) + np.uint64(1)
    words *= _powers(longest)[np.arange(len(words)) - np.repeat(starts[:-1], lengths)]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(words, dtype=np.uint64)])
    result: Array = sums[starts[1:]] - sums[starts[:-1]]
    return result


def _polynomial(data: Array) -> int:
    """The same of one long value, in pieces."""
    powers, total, shift = _powers(_CHUNK_BYTES), 0, 1
    for start in range(0, len(data), _CHUNK_BYTES):
        words = data[start : start + _CHUNK_BYTES].astype(np.uint64) + np.uint64(1)
        total += shift * int(np.sum(words * powers[: len(words)], dtype=np.uint64))
        shift = shift * int(powers[-1]) % 2**64
    return total % 2**64


def _powers(n: int) -> Array:
    """B**1 to B**n."""
    return np.cumprod(np.full(n, _BASE | np.uint64(1), dtype=np.uint64), dtype=np.uint64)
