"""Feature skew: what TFDV 1.16.1 counts for the same rows, and a naive loop."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence import errors
from whence.integrations import tfdv

NAN = float("nan")
TYPES = {
    "id": pa.int64(),
    "k": pa.string(),
    "x": pa.float64(),
    "t": pa.string(),
    "l": pa.list_(pa.int64()),
    "only": pa.int64(),
    "n": pa.int64(),
}
BASE: list[dict[str, Any]] = [
    {"id": 1, "k": "a", "x": 1.0, "t": "u", "l": [1, 2], "only": 5},
    {"id": 2, "k": "a", "x": 2.0, "t": None, "l": [], "only": 6},
    {"id": 3, "k": "b", "x": NAN, "t": "v", "l": [3], "only": None},
    {"id": 3, "k": "b", "x": 1.0, "t": "v", "l": [3], "only": None},
    {"id": None, "k": "c", "x": 1.0, "t": "v", "l": [3], "only": None},
    {"id": 9, "k": "c", "x": 1.004, "t": "v", "l": None, "only": 1},
]
TEST: list[dict[str, Any]] = [
    {"id": 1, "k": "a", "x": 1.0, "t": "u", "l": [1, 2], "n": 1},
    {"id": 2, "k": "a", "x": 2.5, "t": "w", "l": [], "n": None},
    {"id": 3, "k": "b", "x": NAN, "t": "v", "l": [4], "n": 3},
    {"id": 7, "k": "b", "x": 1.0, "t": "v", "l": [3], "n": 3},
    {"id": 9, "k": "c", "x": 1.0, "t": None, "l": [], "n": None},
]
FIELDS = ("base_count", "test_count", "match_count", "base_only", "test_only", "mismatch_count", "diff_count")


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table({n: pa.array([r[n] for r in rows], TYPES[n]) for n in rows[0]})


def counts(found: tfdv.SkewResult) -> dict[str, tuple[int, ...]]:
    return {f.feature_name: tuple(getattr(f, n) for n in FIELDS) for f in found.features}


@pytest.mark.parametrize(
    ("options", "said", "n_pairs"),
    [
        (
            {},
            {
                "l": (1, 1, 2, 0, 0, 0, 0),
                "n": (0, 1, 0, 0, 1, 0, 1),
                "only": (3, 0, 0, 3, 0, 0, 3),
                "t": (2, 2, 1, 1, 1, 0, 2),
                "x": (3, 3, 1, 0, 0, 2, 2),
            },
            3,
        ),
        (
            {"allow_duplicate_identifiers": True},
            {
                "l": (3, 3, 2, 0, 0, 2, 2),
                "n": (0, 3, 0, 0, 3, 0, 3),
                "only": (3, 0, 0, 3, 0, 0, 3),
                "t": (4, 4, 3, 1, 1, 0, 2),
                "x": (5, 5, 2, 0, 0, 3, 3),
            },
            5,
        ),
        (
            {"float_round_ndigits": 1, "features_to_ignore": ["n"]},
            {
                "l": (1, 1, 2, 0, 0, 0, 0),
                "only": (3, 0, 0, 3, 0, 0, 3),
                "t": (2, 2, 1, 1, 1, 0, 2),
                "x": (3, 3, 2, 0, 0, 1, 1),
            },
            3,
        ),
    ],
)
def test_counts_are_those_of_tfdv(
    options: dict[str, Any], said: dict[str, tuple[int, ...]], n_pairs: int
) -> None:
    found = tfdv.detect_feature_skew(table(BASE), table(TEST), ["id", "k"], sample_size=10, **options)
    assert counts(found) == said
    assert len(found.pairs) == n_pairs
    assert asdict(found.match) == {
        "base_with_id_count": 5,
        "test_with_id_count": 5,
        "identifiers_count": 5,
        "ids_missing_in_base_count": 1,
        "ids_missing_in_test_count": 0,
        "matching_pairs_count": 5,
        "base_missing_id_count": 1,
        "test_missing_id_count": 0,
        "duplicate_id_count": 1,
    }


def test_pairs_say_what_differs() -> None:
    found = tfdv.detect_feature_skew(table(BASE), table(TEST), ["id", "k"], sample_size=2)
    assert len(found.pairs) == 2
    second = found.pairs[1]
    assert (second.base["id"], second.mismatched_features, second.test_only_features) == (2, ("x",), ("t",))
    assert second.base_only_features == ("only",)


VALUES = st.sampled_from([None, 0.0, 1.0, NAN])


@given(
    st.lists(st.tuples(st.integers(0, 3) | st.none(), VALUES), max_size=6),
    st.lists(st.tuples(st.integers(0, 3) | st.none(), VALUES), max_size=6),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_as_a_naive_loop(
    base: list[tuple[int | None, float | None]], test: list[tuple[int | None, float | None]], twice: bool
) -> None:
    sides = [
        pa.table(
            {"id": pa.array([i for i, _ in s], pa.int64()), "x": pa.array([x for _, x in s], pa.float64())}
        )
        for s in (base, test)
    ]
    found = tfdv.detect_feature_skew(sides[0], sides[1], ["id"], allow_duplicate_identifiers=twice)
    want = [0] * 6
    ids = [[i for i, _ in s] for s in (base, test)]
    for i, a in base:
        for j, b in test:
            if i is None or i != j or (not twice and any(s.count(i) > 1 for s in ids)):
                continue
            same = a is not None and b is not None and (a == b or (math.isnan(a) and math.isnan(b)))
            want[0] += a is not None
            want[1] += b is not None
            want[2] += same
            want[3] += a is not None and b is None
            want[4] += a is None and b is not None
            want[5] += a is not None and b is not None and not same
    made = counts(found).get("x", (0,) * 7)
    assert list(made[:6]) == want
    assert made[6] == want[3] + want[4] + want[5]


def test_frames_go_in_and_come_out() -> None:
    base, test = pd.DataFrame({"id": [1], "x": ["a"]}), pd.DataFrame({"id": [1], "x": [3]})
    found = tfdv.detect_feature_skew(base, test, ["id"])
    frame = tfdv.get_skew_result_dataframe(found.features)
    assert frame.to_dict("records") == [
        {"feature_name": "x", "base_count": 1, "test_count": 1, "match_count": 0, "base_only": 0}
        | {"test_only": 0, "mismatch_count": 1, "diff_count": 1}
    ]
    assert tfdv.get_match_stats_dataframe(found.match)["identifiers_count"].tolist() == [1]


def test_what_cannot_be_paired_is_refused() -> None:
    rows = pa.table({"id": [1]})
    with pytest.raises(ValueError, match="at least one identifier"):
        tfdv.detect_feature_skew(rows, rows, [])
    with pytest.raises(errors.NotFoundError, match="column 'idd' not found"):
        tfdv.detect_feature_skew(rows, rows, ["idd"])
    with pytest.raises(TypeError, match="base is of type list"):
        tfdv.detect_feature_skew([], rows, ["id"])


def test_values_are_the_same_by_what_tfdv_writes_of_them() -> None:
    """As TFDV 1.16.1 pairs and compares the same rows: 150 random tables agree, and these are their edges."""
    base = pa.table(
        {
            "id": pa.array([NAN, 0.0, 1.0, math.inf, 3.0], pa.float32()),
            "one": pa.array([[1], [2], [], [1, 2], [1, 2]], pa.list_(pa.int64())),
            "z": pa.array([0.0, NAN, -0.04, 1.0, 2.675], pa.float64()),
            "b": pa.array([True, False, None, True, True]),
            "d": pa.array(["a", "b", "a", None, "c"]).dictionary_encode(),
            "s": pa.array([{"p": 1}, {"p": 2}, None, {"p": 3}, None]),
        }
    )
    test = pa.table(
        {
            "id": pa.array([[NAN], [-0.0], [1.0], [math.inf], [3.0]], pa.list_(pa.float64())),
            "one": pa.array([1, 2, None, 1, 2], pa.int64()),
            "z": pa.array([-0.0, NAN, 0.0, 1.0, 2.67], pa.float64()),
            "b": pa.array([1, 0, 1, 0, 1], pa.int8()),
            "d": pa.array([b"a", b"b", b"a", None, b"c"], pa.binary()),
            "s": pa.array([{"p": 1}, {"p": 2}, None, {"p": 4}, None]),
        }
    )
    found = tfdv.detect_feature_skew(base, test, ["id"])
    assert found.match == tfdv.MatchStats(5, 5, 6, 1, 1, 4, 0, 0, 0)  # 0.0 and -0.0 are two identifiers
    said = {n: (c[2], c[5], c[6]) for n, c in counts(found).items()}  # match, mismatch, difference
    assert said == {"one": (1, 2, 2), "z": (1, 3, 3), "b": (2, 1, 2), "d": (3, 0, 0), "s": (1, 1, 1)}
    rounded = counts(tfdv.detect_feature_skew(base, test, ["id"], float_round_ndigits=2))
    assert rounded["z"][2:6:3] == (2, 2)  # 2.675 is 2.67, being a little less; -0.04 is not 0.0
    nothing = tfdv.detect_feature_skew(base.slice(0, 0), test.slice(0, 0), ["id"], sample_size=3)
    assert (nothing.features, nothing.pairs, nothing.match) == ((), (), tfdv.MatchStats())
