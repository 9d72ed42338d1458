from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.stats import hash64, hashing

WORD = 2**64


def naive(value: bytes) -> int:
    """The definition, in plain integers."""
    base = 0x9E3779B97F4A7C15
    total = sum((byte + 1) * pow(base, i + 1, WORD) for i, byte in enumerate(value)) % WORD
    length = int(hashing.mix(np.array([len(value)], dtype=np.uint64))[0])
    return int(hashing.mix(np.array([total ^ length], dtype=np.uint64))[0])


@given(st.lists(st.binary(max_size=12), max_size=6), st.integers(0, 3), st.integers(1, 9))
def test_pieces_do_not_matter(values: list[bytes], start: int, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "_CHUNK_BYTES", piece)
        for kind in (pa.binary(), pa.large_binary()):
            array = pa.array(values, kind).slice(start)
            assert hash64(array).tolist() == [naive(v) for v in values[start:]]
