"""Columns that the caller gives beside the keys keep the type they came with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

import whence
from whence import given

AT = datetime(2025, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize("type_", [pa.float64(), pa.int32(), pa.string()], ids=str)
def test_a_column_without_values_keeps_its_type(tmp_path: Path, type_: pa.DataType) -> None:
    with whence.connect(tmp_path / "a.whence") as ws:
        keys = pa.table({"courier": ["ada"], "km": pa.array([None], type_)})
        found = ws.features.get_online(keys, [given("km")], at=AT)
        assert found.table().schema.field("km").type == type_
        assert found.table()["km"].to_pylist() == [None]
        assert found.statuses["km"] == ["NULL_VALUE"]


def test_a_column_of_a_mapping_has_the_type_of_its_values(tmp_path: Path) -> None:
    with whence.connect(tmp_path / "a.whence") as ws:
        found = ws.features.get_online({"km": [None, 1.5]}, [given("km")], at=AT)
        assert found.table()["km"].to_pylist() == [None, 1.5]
        assert found.table().schema.field("km").type == pa.float64()
