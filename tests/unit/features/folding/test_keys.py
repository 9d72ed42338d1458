from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.features.folding import keys
from whence.features.folding.growing import Ints
from whence.features.folding.keys import KeyCodes, Numbers, Pairs

small = st.integers(0, 40)
batches = st.lists(st.lists(st.tuples(small, small), max_size=20), max_size=8)


def columns(pairs: list[tuple[int, int]]) -> tuple[Ints, Ints]:
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


@pytest.mark.parametrize("table", [1, 100, 1 << 21], ids=["dictionary", "outgrown", "table"])
@given(batches=batches, asked=st.lists(st.tuples(small, small), max_size=20))
def test_pairs_have_one_number_each_and_keep_it(
    table: int, batches: list[list[tuple[int, int]]], asked: list[tuple[int, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "_TABLE", table)
        pairs, known = Pairs(), dict[tuple[int, int], int]()
        for batch in batches:
            for pair, number in zip(batch, pairs.learn(*columns(batch)).tolist(), strict=True):
                assert known.setdefault(pair, number) == number
        assert sorted(known.values()) == list(range(len(known)))
        assert pairs.find(*columns(asked)).tolist() == [known.get(pair, -1) for pair in asked]


@pytest.mark.parametrize("n", [3, 500])
def test_null_and_unknown_values_have_no_number(n: int) -> None:
    numbers = Numbers()
    texts = [f"t{i % 7}" for i in range(n)]
    learned = numbers.learn(pa.chunked_array([[*texts, None]])).tolist()
    assert learned[-1] == -1
    assert sorted(set(learned[:-1])) == list(range(min(n, 7)))
    found = numbers.find(pa.chunked_array([["t0"], [None, "new"]])).tolist()
    assert found == [learned[0], -1, -1]
    # a question teaches nothing
    assert numbers.find(pa.chunked_array([["new"]])).tolist() == [-1]


def test_values_that_seldom_repeat_are_numbered_alike() -> None:
    seldom, often = Numbers(), Numbers()
    texts = pa.chunked_array([[f"t{i}" for i in range(500)]])
    assert seldom.learn(texts).tolist() == seldom.learn(texts).tolist() == often.learn(texts).tolist()


def test_a_combination_with_a_missing_part_has_no_code() -> None:
    codes = KeyCodes(["a", "b"])
    parts = {"a": np.array([0, 0, -1, 1]), "b": np.array([0, -1, 0, 0])}
    assert codes.learn(parts, 4).tolist() == [0, -1, -1, 1]
    assert len(codes) == 2
    assert codes.find({"a": np.array([1, 5]), "b": np.array([0, 0])}, 2).tolist() == [1, -1]
