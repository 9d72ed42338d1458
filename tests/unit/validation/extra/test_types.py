from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from whence.validation import (
    Correlation,
    EmptyValues,
    Extra,
    Lift,
    Meanings,
    MutualInformation,
    NaturalLanguageDomain,
    Statistics,
    StatisticsOptions,
    TokenStatistics,
    describe,
)

NOW = datetime(2020, 1, 1, tzinfo=UTC)
COLUMNS: dict[str, Any] = {
    "null": pa.nulls(3),
    "bool": [True, False, None],
    "u64": pa.array([2**63, 1, None], pa.uint64()),
    "i8": pa.array([1, -1, None], pa.int8()),
    "f16": pa.array([0.5, 1.0, None], pa.float16()),
    "decimal": [Decimal("1.5"), Decimal(2), None],
    "date": [date(2020, 1, 1), None, date(2021, 1, 1)],
    "at": [NOW, NOW, None],
    "clock": [time(1), time(2), None],
    "span": [timedelta(1), timedelta(2), None],
    "text": pa.array(["a", "", None], pa.large_string()),
    "view": pa.array(["a", "", None], pa.string_view()),
    "bytes": pa.array([b"\xff", b"", None], pa.large_binary()),
    "fixed": pa.array([b"ab", b"cd", None], pa.binary(2)),
    "dictionary": pa.array(["a", "b", None]).dictionary_encode(),
    "list": [[1, None], [], None],
    "fixed_list": pa.array([[1, 2], [3, 4], None], pa.list_(pa.int64(), 2)),
    "lists": [[["a"], None], [], None],
    "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
    "struct": [{"x": 1, "y": ["a"]}, {"x": None, "y": None}, None],
    "structs": [[{"x": 1}, None], [], None],
    "runs": pa.array([1, 1, None]).filter(pa.array([True] * 3)),
}
TABLE = pa.table({**COLUMNS, "y": [0, 1, 1]})
EVERY: list[Extra] = [
    Correlation(),
    EmptyValues(),
    Lift("y"),
    Meanings(),
    MutualInformation("y"),
    TokenStatistics({"text": NaturalLanguageDomain(), "struct.y": NaturalLanguageDomain()}),
]


@pytest.mark.parametrize("extra", EVERY, ids=lambda e: e.key())
@pytest.mark.parametrize("n_rows", [3, 0])
def test_all_types_and_no_rows(nearly: Callable[[Any, Any], bool], extra: Extra, n_rows: int) -> None:
    options = StatisticsOptions(extras=(extra,))
    whole = describe(TABLE.slice(0, n_rows), options=options)
    told = whole.extras[extra.key()].finish()
    json.dumps(told, allow_nan=False)
    parts = [describe(TABLE.slice(i, 1), options=options) for i in range(n_rows)]
    for part in parts[1:]:
        parts[0] = parts[0].merge(part)
    if parts:
        assert nearly(parts[0].extras[extra.key()].finish(), told)
    assert Statistics.from_bytes(whole.to_bytes()).extras[extra.key()].finish() == told


def test_what_types_say() -> None:
    told = EmptyValues().add(TABLE.drop_columns(["view"])).finish()
    assert told["text"] == told["bytes"] == {"str_empty": 1}
    assert told["i8"] == {"int_-1": 1}
    assert told["list"] == told["lists"] == {"list_empty": 1}
    lifts = Lift("y").add(TABLE.drop_columns(["view"])).finish()["lifts"]
    labels = {c["x"]: sorted(v["x"] for v in c["series"][0]["values"]) for c in lifts}
    assert labels["bytes"] == ["", "\udcff"]
    assert labels["date"] == ["2020-01-01", "2021-01-01"]
    assert labels["bool"] == [False, True]
    assert labels["u64"] == [1, 2**63]


def test_nothing_is_computed_unless_asked() -> None:
    assert describe(TABLE).extras == {}
    assert all(not f.custom for f in describe(TABLE))
