"""A workspace works wherever its folder lies, or is refused before anything is made there."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

import whence
from whence.doctor import examine
from whence.errors import UsageError

ROWS = [
    {"day": 1, "kind": "a b%20ü/=", "on": date(2026, 1, 2)},
    {"day": 2, "kind": None, "on": None},
    {"day": 3, "kind": "+", "on": date(2026, 1, 3)},
]


@pytest.mark.parametrize(
    "name", ["with space", "50%", "what?", "a#b", "Zoë", "it's", "a*", "day=9/kind=z", "{x}"]
)
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name / "a.whence"
    (tmp_path / "what!" / "a.whence" / "lake").mkdir(parents=True)  # what a pattern would find, too
    schema = pa.schema({"day": pa.int64(), "kind": pa.string(), "on": pa.date32()})
    with whence.connect(folder) as ws:
        ws.lake.create("plain", schema).append(ROWS)
        ws.lake.create("parted", schema, partition_by=["kind", "on"]).append(ROWS)
        digest = ws.blobs.put(b"bytes")
    with whence.connect(folder, read_only=True) as ws:
        for table in ("plain", "parted"):
            assert sorted(ws.table(table).head().arrow().to_pylist(), key=lambda row: row["day"]) == ROWS
            assert ws.sql(f"SELECT day FROM {table} WHERE kind = '+'").to_pylist() == [{"day": 3}]
        assert ws.blobs.get(digest) == b"bytes"
    assert all(check.status != "fail" for check in examine(folder))
    assert {child.name for child in folder.iterdir()} >= {"lake", "blobs", "whence.db"}
    assert {child.name for child in tmp_path.iterdir()} == {"what!", name.split("/")[0]}


@pytest.mark.parametrize("name", ["a[b]", "p%20x", "back\\slash", "hat^", "bar|", "new\nline"])
def test_a_folder_that_delta_cannot_reach_is_refused_before_it_is_made(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        whence.connect(tmp_path / name)
    assert caught.value.code == "bad-folder"
    assert list(tmp_path.iterdir()) == []
