"""Conditions over columns mean what they mean over rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.features.test_where import CONDITIONS, SCHEMA, row
from whence.features.folding.conditions import Conditions
from whence.features.where import where_holds

MORE = [
    "n > -1",
    "x > -0.1",
    "x = 2",
    "x >= 1e3",
    "n < 0.5",
    "b = TRUE",
    "FALSE OR n = 1",
    "n IN (1, 2) AND x < 2",
]


@pytest.mark.parametrize("condition", [*CONDITIONS, *MORE])
@settings(max_examples=10, deadline=None)
@given(rows=st.lists(row, max_size=12))
def test_columns_and_rows_agree(condition: str, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    assert Conditions().hold(condition, table).tolist() == [where_holds(condition, r) for r in rows]
