from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import UsageError
from whence.validation import (
    Schema,
    SparseFeature,
    SparseFeatures,
    Statistics,
    WeightedFeature,
    WeightedFeatures,
    validate_statistics,
)

lists = st.one_of(st.none(), st.lists(st.integers(0, 9), max_size=3))


@given(st.lists(st.tuples(lists, lists, lists), max_size=15), st.lists(st.integers(0, 15), max_size=3))
def test_as_a_naive_loop_and_over_any_split(
    same_any_split: Callable[..., Any], rows: list[Any], cuts: list[int]
) -> None:
    kind = pa.list_(pa.int64())
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    table = pa.table({n: pa.array(list(c), kind) for n, c in zip("vij", columns, strict=True)})
    told = same_any_split(SparseFeatures.of([SparseFeature("s", "v", ("i", "j"))]), table, cuts)["s"]
    counted = [r for r in rows if any(v is not None for v in r)]
    assert told["missing_value"] == sum(r[0] is None for r in counted)
    for place, name in enumerate("ij", 1):
        diffs = [len(r[place] or []) - len(r[0] or []) for r in counted]
        assert told["missing_index"][name] == sum(r[place] is None for r in counted)
        assert told["min_length_diff"][name] == min(diffs, default=0)
        assert told["max_length_diff"][name] == max(diffs, default=0)
    of_weights = same_any_split(WeightedFeatures.of([WeightedFeature("w", "v", "i")]), table, cuts)["w"]
    both = [r for r in rows if r[0] is not None or r[1] is not None]
    assert of_weights["missing_weight"] == sum(r[1] is None for r in both)
    assert of_weights["max_weight_length_diff"] == max(
        (len(r[1] or []) - len(r[0] or []) for r in both), default=0
    )


def test_validation_reads_them(through_describe: Callable[..., Statistics]) -> None:
    schema = Schema(
        sparse_features={"vec": SparseFeature("vec", "v", ("i",))},
        weighted_features={"vw": WeightedFeature("vw", "v", "w")},
    )
    t = pa.table({"v": [[1.0], None], "i": [[1, 2], [3]], "w": pa.nulls(2, pa.list_(pa.float64()))})
    found = {
        (a.feature, a.type)
        for extra in (SparseFeatures.of(schema), WeightedFeatures.of(schema))
        for a in validate_statistics(through_describe(extra, t), schema)[0]
        if a.feature in ("vec", "vw")
    }
    assert found == {
        ("vec", "SPARSE_FEATURE_MISSING_VALUE"),
        ("vec", "SPARSE_FEATURE_LENGTH_MISMATCH"),
        ("vw", "WEIGHTED_FEATURE_MISSING_WEIGHT"),
        ("vw", "WEIGHTED_FEATURE_LENGTH_MISMATCH"),
    }


def test_fields_and_columns_with_a_dot() -> None:
    inner = pa.table({"s": [[{"v": 1, "w": 2}, {"v": 3, "w": None}], None]})
    told = WeightedFeatures.of([WeightedFeature("x", "s.v", "s.w")]).add(inner).finish()["x"]
    assert (told["missing_value"], told["missing_weight"]) == (0, 1)
    flat = pa.table({"s.v": [1, None], "s.w": [1, 2]})
    told = WeightedFeatures.of([WeightedFeature("x", "s.v", "s.w")]).add(flat).finish()["x"]
    assert (told["missing_value"], told["missing_weight"]) == (1, 0)
    told = WeightedFeatures.of([WeightedFeature("x", "t.v", "t.w")]).add(flat).finish()["x"]
    assert (told["missing_value"], told["missing_weight"]) == (0, 0)
    with pytest.raises(UsageError, match=r"'a.v' and 'b.w' lie in different structs.*\(bad-schema\)"):
        WeightedFeatures.of([WeightedFeature("x", "a.v", "b.w")])


def test_names_and_merges_of_other_groups() -> None:
    one, two = (SparseFeatures.of([SparseFeature(n, "v", ("i",))]) for n in "ab")
    assert one.merge(two).finish() == {}
    assert (one.key(), repr(one), one == two) == ("sparse features", "<sparse features: a>", False)
    assert len({one, two}) == 2
