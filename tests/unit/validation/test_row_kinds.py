"""Kinds of cells that come out of Arrow and pandas: a row out of them is judged as the batch is."""

from __future__ import annotations

import uuid
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from whence.compute import Engine
from whence.errors import UsageError
from whence.validation import Feature, IntDomain, Plan, Presence, Schema, describe

PAIRS = pa.array([[("k", 1)], [("j", 9)], None, []], pa.map_(pa.string(), pa.int64()))
FLAGS = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, None, 2], pa.int8()))
IDS = pa.array([uuid.UUID(int=1).bytes, None], pa.binary(16)).cast(pa.uuid())
VALUE = Feature("x.value", "INT", domain=IntDomain(0, 5), path=("x", "value"))
WRONG, BIG = "UNEXPECTED_DATA_TYPE", "INT_TYPE_BIG_INT"


@pytest.mark.parametrize(
    ("cells", "features", "told"),
    [
        (PAIRS, [Feature("x", "STRUCT"), VALUE], [[], [BIG], [], []]),
        (PAIRS, [Feature("x", "INT")], [[WRONG], [WRONG], [], []]),
        (IDS, [Feature("x", "BYTES")], [[], []]),
        (FLAGS, [Feature("x", "BOOL")], [[], [], [], []]),
        (FLAGS, [Feature("x", "STRING")], [[WRONG], [WRONG], [], [WRONG]]),
    ],
    ids=["map", "map-as-int", "uuid", "bool8", "bool8-as-text"],
)
def test_the_three_checkers_agree(
    engine: Engine, cells: pa.Array, features: list[Feature], told: list[list[str]]
) -> None:
    plan, table = Plan(Schema().add(*features)), pa.table({"x": cells})
    assert [[r.type for r in found] for found in plan.batch(table)] == told
    assert [[r.type for r in plan.row({"x": v})] for v in cells.to_pylist()] == told
    assert sum(bad.n for bad in plan.count(table, engine).values()) == sum(map(bool, told))


def test_booleans_of_eight_bits_are_described_as_booleans() -> None:
    x = describe(pa.table({"x": FLAGS}))["x"]
    assert (x.type, x.num_missing, x.top_values()) == ("BOOL", 1, [(True, 2), (False, 1)])


@pytest.mark.parametrize("kind", ["INT", "TIMESTAMP", "STRING"])
@pytest.mark.parametrize("nothing", [pd.NA, pd.NaT, None])
def test_what_pandas_calls_missing_is_missing(kind: Any, nothing: object) -> None:
    plan = Plan(Schema().add(Feature("x", kind, Presence(1.0))))
    assert [r.text for r in plan.row({"x": nothing})] == ["x is missing"]
    assert Plan(Schema().add(Feature("x", kind))).row({"x": nothing}) == []


@pytest.mark.parametrize("row", [None, [1], "x", 7])
def test_a_row_that_is_no_mapping_is_refused(row: Any) -> None:
    with pytest.raises(UsageError, match="not a mapping") as caught:
        Plan(Schema().add(Feature("x", "INT"))).row(row)
    assert caught.value.code == "bad-data"
