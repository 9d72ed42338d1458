"""Statistics of parts, merged in any order, are those of the whole: with slices, weights, extras and samples."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.validation.test_extras import Total
from whence.validation import Slice, Statistics, StatisticsOptions, describe

SCHEMA = pa.schema(
    {
        "c": pa.string(),
        "i": pa.int64(),
        "u": pa.uint64(),
        "s": pa.struct({"l": pa.list_(pa.list_(pa.int8()))}),
        "w": pa.int16(),
    }
)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "c": st.none() | st.sampled_from(["a", "b", "ü", ""]),
            "i": st.none() | st.integers(-(2**63), 2**63 - 1),
            "u": st.none() | st.integers(0, 2**64 - 1),
            "s": st.none()
            | st.fixed_dictionaries(
                {
                    "l": st.none()
                    | st.lists(st.none() | st.lists(st.none() | st.integers(-2, 2), max_size=2), max_size=2)
                }
            ),
            "w": st.integers(0, 5),
        }
    ),
    max_size=10,
)
OPTIONS = StatisticsOptions(
    slices=(Slice(by=("c",)), Slice(by=("c", "w"))), weight="w", extras=(Total("w"),), categorical=("w",)
)


def told(s: Statistics) -> dict[str, Any]:
    """The summary; deviations of weights are 0 only up to the rounding of sums, and are looked at apart."""
    out: dict[str, Any] = s.summary()
    for part in (out, *out["slices"].values()):
        for feature in part["features"]:
            feature.get("weighted", {}).pop("std_dev", None)
    return out


def same(have: Any, want: Any) -> None:
    """Equal, floats up to the rounding of their sums."""
    if isinstance(want, dict):
        assert have.keys() == want.keys()
        for key in want:
            same(have[key], want[key])
    elif isinstance(want, list):
        assert len(have) == len(want)
        for a, b in zip(have, want, strict=True):
            same(a, b)
    elif isinstance(want, float):
        assert have == pytest.approx(want, rel=1e-9, abs=1e-9)
    else:
        assert have == want


@settings(max_examples=30, deadline=None)
@given(rows, st.lists(st.integers(0, 10), max_size=3), st.randoms(use_true_random=False))
def test_any_split_in_any_order(data: list[dict[str, Any]], cuts: list[int], random: Any) -> None:
    whole = describe(pa.Table.from_pylist(data, schema=SCHEMA), options=OPTIONS)
    shuffled = list(data)
    random.shuffle(shuffled)
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    parts = [
        describe(pa.Table.from_pylist(shuffled[a:b], schema=SCHEMA), options=OPTIONS)
        for a, b in itertools.pairwise(edges)
    ]
    random.shuffle(parts)
    merged = functools.reduce(Statistics.merge, parts)
    stored = functools.reduce(Statistics.merge, [Statistics.from_bytes(p.to_bytes()) for p in parts])
    for made in (merged, stored):
        same(told(made), told(whole))
    for f in whole:
        assert merged[f.name].levels == f.levels
        assert merged[f.name].rank_histogram == f.rank_histogram
        assert merged[f.name].num_values_histogram == f.num_values_histogram
        std = None if f.weighted is None else f.weighted.std_dev
        again = merged[f.name].weighted
        assert again is not None
        assert again.std_dev == (None if std is None else pytest.approx(std, rel=1e-6, abs=1e5))
