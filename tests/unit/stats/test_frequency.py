from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.stats import oracles
from tests.unit.stats.test_states import split
from whence.errors import UsageError
from whence.stats import Distinct, TopValues, hash64

texts = st.lists(st.text(max_size=6))


def strings(values: list[str]) -> pa.Array:
    return pa.array(values, pa.string())


def merge_all(empty: Any, parts: list[pa.Array]) -> Any:
    for part in parts:
        empty = empty.merge(type(empty)(limit=empty.limit, heavy=empty.heavy).add(part))
    return empty


class TestTopValues:
    @given(texts, st.lists(st.integers(0, 50)))
    def test_exact_merged_equals_whole_equals_naive(self, values: list[str], cuts: list[int]) -> None:
        whole = TopValues().add(strings(values))
        merged = merge_all(TopValues(), [strings(p) for p in split(values, cuts)])
        naive = sorted(Counter(values).items(), key=lambda p: (-p[1], p[0].encode()))
        assert whole.top() == merged.top() == naive
        assert whole.n_distinct == len(set(values))
        assert merged.exact

    @given(texts)
    def test_round_trip(self, values: list[str]) -> None:
        state = TopValues().add(strings(values))
        back = TopValues.from_dict(json.loads(json.dumps(state.to_dict())))
        assert (back.top(), back.n, back.undercount) == (state.top(), state.n, 0)
        assert back.merge(state).n == 2 * state.n

    def test_other_kinds_of_values(self) -> None:
        assert TopValues().add(pa.array([True, True, False])).top() == [(True, 2), (False, 1)]
        assert TopValues().add(pa.array([3, 1, 3])).top(1) == [(3, 2)]
        raw = TopValues().add(pa.array([b"\xff", b"a"], pa.binary()))
        assert TopValues.from_dict(json.loads(json.dumps(raw.to_dict()))).top() == [(b"a", 1), (b"\xff", 1)]

    def test_text_that_is_not_utf8_survives(self) -> None:
        broken = pa.array([b"\xff", b"ok"], pa.binary())
        text = pa.Array.from_buffers(pa.string(), 2, broken.buffers())
        state = TopValues().add(text)
        assert state.top() == [("ok", 1), ("\udcff", 1)]
        assert TopValues.from_dict(json.loads(json.dumps(state.to_dict()))).top() == state.top()

    @settings(deadline=None)
    @given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 20_000), max_size=8))
    def test_beyond_the_limit_counts_are_within_the_stated_error(self, seed: int, cuts: list[int]) -> None:
        random = np.random.default_rng(seed)
        values = [str(v) for v in np.minimum(random.zipf(1.3, 8_000), 10**9).tolist()]
        true = Counter(values)
        empty = TopValues(limit=300, heavy=100)
        for state in (
            empty.add(strings(values)),
            merge_all(empty, [strings(p) for p in split(values, cuts)]),
        ):
            assert state.n == 8_000
            assert not state.exact
            assert state.undercount <= state.n / (state.heavy + 1)
            kept = state.counts_of()
            for value, count in true.items():
                assert kept.get(value, 0) <= count <= kept.get(value, 0) + state.undercount
            assert state.n_distinct == pytest.approx(len(true), rel=0.08)

    def test_the_estimate_of_different_values_ignores_order_and_split(self) -> None:
        values = [str(i) for i in range(5_000)]
        empty = TopValues(limit=100, heavy=10)
        whole = empty.add(strings(values))
        merged = merge_all(empty, [strings(values[::-1][i : i + 700]) for i in range(0, 5_000, 700)])
        assert whole.distinct is not None
        assert merged.distinct is not None
        assert whole.distinct.registers.tolist() == merged.distinct.registers.tolist()

    def test_exactly_at_the_limit_is_exact(self) -> None:
        state = TopValues(limit=100).add(strings([str(i) for i in range(100)]))
        assert state.exact
        assert not state.add(strings(["x"])).exact

    def test_mixed_types_are_refused(self) -> None:
        with pytest.raises(UsageError, match=r"string and int64 cannot be counted together \(mixed-values\)"):
            TopValues().add(["a"]).add([1])


class TestDistinct:
    @pytest.mark.parametrize("n", [0, 1, 10, 1_000, 20_000, 500_000])
    def test_within_five_standard_errors(self, n: int) -> None:
        state = Distinct().add(np.arange(n))
        assert state.estimate == pytest.approx(n, rel=5 * state.relative_error, abs=1)

    @given(texts, texts)
    def test_merged_equals_whole_and_repeats_do_not_count(self, a: list[str], b: list[str]) -> None:
        whole = Distinct().add(strings(a + b + a))
        merged = Distinct().add(strings(b)).merge(Distinct().add(strings(a)))
        assert whole.registers.tolist() == merged.registers.tolist()
        assert Distinct.from_dict(json.loads(json.dumps(whole.to_dict()))).estimate == whole.estimate


class TestHash:
    def test_fixed_for_ever(self) -> None:
        assert [int(h) for h in hash64(pa.array(["", "JFK", "über"]))] == [
            int(h) for h in (hash64([""])[0], hash64(["JFK"])[0], hash64(["über".encode()])[0])
        ]
        assert [f"{int(h):016x}" for h in hash64(np.array([0, 1, -1]))] == [
            "e220a8397b1dcdaf",
            "910a2dec89025cc1",
            "e4d971771b652c20",
        ]

    def test_one_zero_one_nan(self) -> None:
        assert hash64([0.0])[0] == hash64([-0.0])[0]
        nan = np.array([0x7FF8000000000001, 0x7FF8000000000000], dtype=np.uint64).view(np.float64)
        assert len(set(hash64(nan).tolist())) == 1

    def test_slices_of_arrow_arrays(self) -> None:
        array = pa.array(["a", "bb", "", "dddd"])
        assert hash64(array.slice(1, 2)).tolist() == hash64(["bb", ""]).tolist()

    def test_few_collisions(self) -> None:
        names = pa.array([f"N{i}{j}" for i in range(1_000) for j in ("AA", "AB", "BA")])
        assert len(set(hash64(names).tolist())) == 3_000

    @given(st.lists(st.text(), unique=True))
    def test_different_texts_differ(self, values: list[str]) -> None:
        assert len(set(hash64(strings(values)).tolist())) == len(values)


def test_oracle_agrees_on_ties() -> None:
    assert TopValues().add(["b", "a"]).top() == oracles.top(["b", "a"])
