"""Sparse and weighted features of a schema are judged wherever rows are: in frames, files and versions."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import whence as w
from whence.validation import Feature, Schema, SparseFeature, WeightedFeature
from whence.validation.files import validate_file

KIND = pa.struct({"v": pa.list_(pa.float64()), "i": pa.list_(pa.int64())})
ROWS = pa.table(
    {
        "k": [1, 2],
        "v": [[1.0], [1.0]],
        "i": [[1], [1, 2]],
        "st": pa.array([{"v": [1.0], "i": [1]}, {"v": [1.0], "i": None}], KIND),
    }
)
SCHEMA = Schema(
    sparse_features={
        "pair": SparseFeature("pair", "v", ("i",)),
        "inner": SparseFeature("inner", "v", ("i",), parent=("st",)),
        "absent": SparseFeature("absent", "no", ("none",)),
    },
    weighted_features={
        "weighted": WeightedFeature("weighted", "v", "i"),
        "apart": WeightedFeature("apart", "v", "st.i"),
        "old": WeightedFeature("old", "v", "st.i", "DEPRECATED"),
    },
).add(
    Feature("k", "INT"),
    Feature("v", "FLOAT"),
    Feature("i", "INT"),
    Feature("st", "STRUCT"),
    Feature("st.v", "FLOAT", path=("st", "v")),
    Feature("st.i", "INT", path=("st", "i")),
)
FOUND = [
    ("pair", "SPARSE_FEATURE_LENGTH_MISMATCH"),
    ("inner", "SPARSE_FEATURE_MISSING_INDEX"),
    ("inner", "SPARSE_FEATURE_LENGTH_MISMATCH"),
    ("weighted", "WEIGHTED_FEATURE_LENGTH_MISMATCH"),
]


def test_rows_files_and_versions_are_judged(tmp_path: Path) -> None:
    ws = w.connect(tmp_path / "w.whence")
    ws.lake.create("t", ROWS.schema, key=["k"]).append(ROWS)
    pq.write_table(ROWS, tmp_path / "t.parquet")
    of_file, _ = validate_file(tmp_path / "t.parquet", SCHEMA)
    for report in (ws.validation.validate(ROWS, SCHEMA), ws.validation.validate("t", SCHEMA), of_file):
        assert [(a.feature, a.type) for a in report.anomalies] == FOUND
        assert [n.partition(":")[0] for n in report.notes] == ["apart"]
    ws.lake.create("bare", pa.schema({"k": pa.int64()})).append([{"k": 1}])
    missing = ws.validation.validate("bare", SCHEMA)
    assert {a.feature for a in missing.anomalies}.isdisjoint({"pair", "inner", "weighted"})


def test_statistics_that_do_not_count_them_say_so(tmp_path: Path) -> None:
    ws = w.connect(tmp_path / "w.whence")
    report = ws.validation.validate(ws.validation.statistics(ROWS), SCHEMA)
    assert report.ok
    assert [n.partition(" is")[0] for n in report.notes] == [
        "pair: the sparse feature",
        "inner: the sparse feature",
        "absent: the sparse feature",
        "weighted: the weighted feature",
        "apart: the weighted feature",
    ]
