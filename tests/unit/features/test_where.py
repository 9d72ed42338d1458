"""Conditions mean the same in SQL and in plain Python."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.compute import Engine
from whence.features.where import where_columns, where_holds, where_sql

SCHEMA = pa.schema(
    {"n": pa.int64(), "x": pa.float64(), "t": pa.string(), "b": pa.bool_(), "d": pa.decimal128(9, 2)}
)
CONDITIONS = [
    "n > 1", "n = 1 OR x IS NULL", "NOT (n <= 0 AND b)", "x >= 0.1", "x < 0.5 AND t <> 'b'", "t IN ('a', 'B')",
    "n NOT IN (1, NULL)", "n BETWEEN -1 AND 1", "NOT x BETWEEN 0.1 AND 1e3", "b", "NOT b", "b IS TRUE", "b IS NOT NULL",
    "n + 1 > x * 2", "n - x < -0.5", "d = 1.50", "d > x", "d * 2 >= n", "t = 'it''s'", "-n < 0", "n = x", "t > 'a'",
    "n IS NULL AND t IS NULL", "TRUE", "NULL", "x = x",
]  # fmt: skip
row = st.fixed_dictionaries(
    {
        "n": st.one_of(st.none(), st.integers(-2, 2)),
        "x": st.one_of(st.none(), st.sampled_from([0.1, 0.5, -0.0, 1e3, 2.0, float("nan"), float("inf")])),
        "t": st.one_of(st.none(), st.sampled_from(["a", "B", "b", "it's", "é", ""])),
        "b": st.sampled_from([None, True, False]),
        "d": st.one_of(st.none(), st.sampled_from([Decimal("1.50"), Decimal("-0.10"), Decimal("2.00")])),
    }
)


@pytest.mark.parametrize("condition", CONDITIONS)
@settings(max_examples=8, deadline=None)
@given(rows=st.lists(row, min_size=1, max_size=12))
def test_sql_and_python_agree(condition: str, rows: list[dict[str, Any]], engine: Engine) -> None:
    table = pa.Table.from_pylist(
        [{"i": i, **r} for i, r in enumerate(rows)], schema=pa.schema([("i", pa.int64()), *SCHEMA])
    )
    sql = where_sql(condition, "duckdb", prefix="src")
    got = engine.query(f"SELECT coalesce({sql}, FALSE) AS holds FROM src ORDER BY i", {"src": table})
    assert got["holds"].to_pylist() == [where_holds(condition, r) for r in rows]


def test_the_columns_of_a_condition() -> None:
    assert where_columns("n + 1 > x AND t IN ('n', 'x') OR \"odd name\" IS NULL") == (
        "n",
        "odd name",
        "t",
        "x",
    )
    assert where_sql("n > 1", "duckdb", prefix="src") == 'src."n" > 1'
