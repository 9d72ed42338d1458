"""A fixed 64-bit hash of values, vectorised: the same on every machine and in every version."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.stats.base import Array, Values, as_arrow, numbers

_BASE = np.uint64(0x9E3779B97F4A7C15)
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

    Text and bytes: the polynomial ``sum((byte + 1) * B**i) mod 2**64``, mixed with the length.
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
    array = numbers(array)
    if array.dtype == np.float64:
        array = np.where(np.isnan(array), np.nan, array + 0.0)
    return mix(np.ascontiguousarray(array).view(np.uint64))


def _hash_bytes(array: pa.Array) -> Array:
    array = pc.cast(array, pa.large_binary())
    _, offsets_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    if not len(array):
        return np.empty(0, dtype=np.uint64)
    first, last = int(offsets[0]), int(offsets[-1])
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)[first:last].astype(np.uint64)
    starts = offsets - first
    lengths = np.diff(starts)
    place = np.arange(last - first) - np.repeat(starts[:-1], lengths)
    powers = np.cumprod(np.full(int(lengths.max(initial=0)) + 1, _BASE | np.uint64(1), dtype=np.uint64))
    sums = np.concatenate(
        [np.zeros(1, np.uint64), np.cumsum((data + np.uint64(1)) * powers[place], dtype=np.uint64)]
    )
    return mix((sums[starts[1:]] - sums[starts[:-1]]) ^ mix(lengths.astype(np.uint64)))
