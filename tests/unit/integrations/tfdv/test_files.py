"""Protos in files: text, bytes, TFRecord, several shards."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.errors import IntegrityError, UsageError
from whence.integrations import tfdv
from whence.integrations.tfdv.example_rows import example_class
from whence.integrations.tfdv.files import write_statistics
from whence.integrations.tfdv.tfrecord import read_records, write_records

STATS = tfdv.read_text(
    tfdv.statistics_pb2.DatasetFeatureStatisticsList,
    'datasets { num_examples: 2 features { path { step: "x" } num_stats { mean: 1.5 } } }',
)


def test_statistics_in_every_file_they_come_in(tmp_path: Path) -> None:
    text, record, binary = (str(tmp_path / n) for n in ("s.pbtxt", "s.tfrecord", "s.pb"))
    tfdv.write_stats_text(STATS, text)
    write_statistics(STATS, record)
    Path(binary).write_bytes(STATS.SerializeToString())
    assert tfdv.load_stats_text(text) == STATS
    assert tfdv.load_statistics(text) == STATS
    assert tfdv.load_statistics(record) == STATS
    assert tfdv.load_stats_binary(binary) == STATS
    zipped = tmp_path / "s.tfrecord.gz"
    zipped.write_bytes(gzip.compress(Path(record).read_bytes()))
    assert tfdv.load_statistics(str(zipped)) == STATS
    for load in (tfdv.load_statistics, tfdv.load_stats_text, tfdv.load_stats_binary, tfdv.load_schema_text):
        with pytest.raises(FileNotFoundError, match=r"not found \(file-not-found\). Near: 's.pbtxt'"):
            load(str(tmp_path / "s.pbtx"))


def test_the_output_path_of_tfdv_is_written(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("a\n1\n")
    out = tmp_path / "new" / "folder" / "stats.tfrecord"
    made = tfdv.generate_statistics_from_csv(str(tmp_path / "r.csv"), output_path=str(out))
    assert tfdv.load_statistics(str(out)) == made


def test_result_partitions_are_shards_that_load_back(tmp_path: Path) -> None:
    table = "a,b,c,k\n" + "".join(f"{i},{i * 2},t{i % 3},{i % 2}\n" for i in range(9))
    (tmp_path / "r.csv").write_text(table)
    for n in (2, 3, 7):  # of seven some have no feature
        options = tfdv.StatsOptions(
            experimental_result_partitions=n,
            weight_feature="a",
            experimental_slice_functions=[tfdv.experimental_get_feature_value_slicer({"k": None})],
        )
        out = tmp_path / str(n) / "stats"
        made = tfdv.generate_statistics_from_csv(
            str(tmp_path / "r.csv"), output_path=str(out), stats_options=options
        )
        assert sorted(p.name for p in out.parent.iterdir()) == [f"stats-{i:05d}-of-{n:05d}" for i in range(n)]
        assert tfdv.load_sharded_statistics(input_path_prefix=str(out)).proto() == made
    (tmp_path / "3" / "stats-00001-of-00003").rename(tmp_path / "3" / "stats-00001-of-00002")
    with pytest.raises(ValueError, match="shards of 2 and of 3 files"):
        tfdv.load_sharded_statistics(input_path_prefix=str(tmp_path / "3" / "stats"))
    (tmp_path / "3" / "stats-00001-of-00002").unlink()
    with pytest.raises(ValueError, match="of 3 shards, number 1 is absent"):
        tfdv.load_sharded_statistics(input_path_prefix=str(tmp_path / "3" / "stats"))


def test_shards_have_some_of_the_features_each(tmp_path: Path) -> None:
    for i, name in enumerate("xy"):
        shard = tfdv.statistics_pb2.DatasetFeatureStatisticsList()
        shard.datasets.add(num_examples=2).features.add(path={"step": [name]})
        write_statistics(shard, tmp_path / f"stats-0000{i}-of-00002")
    view = tfdv.load_sharded_statistics(input_path_prefix=str(tmp_path / "stats"))
    found = view.get_default_slice_or_die()
    assert [str(p) for p in found.list_features()] == ["x", "y"]
    assert found.proto().num_examples == 2
    with pytest.raises(ValueError, match="no file fits"):
        tfdv.load_sharded_statistics(input_path_prefix=str(tmp_path / "none"))
    with pytest.raises(ValueError, match="give one of"):
        tfdv.load_sharded_statistics()


@given(records=st.lists(st.binary(max_size=30), max_size=4))
@settings(max_examples=40, deadline=None)
def test_records_come_back(records: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("r") / "r.tfrecord"
    write_records(path, records)
    assert list(read_records(path)) == records


def test_a_damaged_record_is_found(tmp_path: Path) -> None:
    path = tmp_path / "r.tfrecord"
    write_records(path, [b"one", b"two"])
    data = path.read_bytes()
    for at in (len(data) - 1, len(data) - 6, 21):
        broken = bytearray(data)
        broken[at] ^= 1
        path.write_bytes(broken)
        with pytest.raises(IntegrityError, match="record 1 is damaged"):
            list(read_records(path))
    path.write_bytes(data[:-2])
    with pytest.raises(IntegrityError, match="cut off"):
        list(read_records(path))
    path.write_bytes(b"no record at all")
    with pytest.raises(UsageError, match="is no TFRecord file"):
        list(read_records(path))


def test_schemas_and_anomalies(tmp_path: Path) -> None:
    schema = tfdv.schema_pb2.Schema(feature=[{"name": "é", "type": "INT"}])
    tfdv.write_schema_text(schema, str(tmp_path / "s.pbtxt"))
    assert tfdv.load_schema_text(str(tmp_path / "s.pbtxt")) == schema
    anomalies = tfdv.anomalies_pb2.Anomalies(baseline=schema, data_missing=True)
    tfdv.write_anomalies_text(anomalies, str(tmp_path / "a.pbtxt"))
    assert tfdv.load_anomalies_text(str(tmp_path / "a.pbtxt")) == anomalies
    for write in (tfdv.write_schema_text, tfdv.write_stats_text, tfdv.write_anomalies_text):
        with pytest.raises(TypeError, match="expected a message"):
            write(STATS.datasets[0], str(tmp_path / "x"))
    (tmp_path / "s.pbtxt").write_text("feature {\n  nam: 'x'\n}")
    with pytest.raises(UsageError, match=r"s\.pbtxt, line 2, column 3"):
        tfdv.load_schema_text(str(tmp_path / "s.pbtxt"))


ROWS: list[dict[str, tuple[str | None, list[Any]]]] = [
    {"a": ("int64_list", [1, 2]), "x": ("float_list", [0.5]), "t": ("bytes_list", [b"u", b"\xff"])},
    {"a": ("int64_list", []), "x": ("float_list", [1.5])},
    {"a": ("int64_list", [7]), "t": ("bytes_list", [b"v"]), "e": (None, [])},
    {"x": ("float_list", [2.0]), "t": ("bytes_list", [])},
]


def records(rows: Iterable[Mapping[str, tuple[str | None, list[Any]]]]) -> list[bytes]:
    out = []
    for row in rows:
        example = example_class()()
        for name, (kind, values) in row.items():
            feature = example.features.feature[name]
            if kind is not None:
                getattr(feature, kind).value.extend(values)
                getattr(feature, kind).SetInParent()
        out.append(example.SerializeToString())
    return out


def test_examples_in_tfrecord_files_are_rows(tmp_path: Path) -> None:
    write_records(tmp_path / "part-0", records(ROWS[:2]))
    write_records(tmp_path / "part-1", records(ROWS[2:]))
    made = tfdv.generate_statistics_from_tfrecord(str(tmp_path / "part-*"))
    view = tfdv.DatasetListView(made).get_default_slice_or_die()
    common = {
        str(p): [
            (c.num_non_missing, c.num_missing, c.min_num_values, c.max_num_values, c.tot_num_values)
            for f in [view.get_feature(p)]
            if f is not None and (c := f.common_statistics()) is not None
        ]
        for p in view.list_features()
    }
    # What TFDV 1.16.1 says of the same examples.
    assert common == {
        "a": [(3, 1, 0, 2, 3)],
        "t": [(3, 1, 0, 2, 3)],
        "x": [(3, 1, 1, 1, 3)],
        "e": [(0, 4, 0, 0, 0)],
    }
    text = view.get_feature("t")
    assert text is not None
    stats = text.string_statistics()
    assert stats is not None
    assert [v.value for v in stats.top_values] == ["__BYTES_VALUE__", "v", "u"]
    some = tfdv.generate_statistics_from_tfrecord(
        str(tmp_path / "part-*"), stats_options=tfdv.StatsOptions(feature_allowlist=["x"])
    )
    assert [f.path.step[0] for f in some.datasets[0].features] == ["x"]


def test_examples_without_features_are_rows_and_a_folder_is_no_file(tmp_path: Path) -> None:
    write_records(tmp_path / "none", records([{}, {}]))
    (made,) = tfdv.generate_statistics_from_tfrecord(str(tmp_path / "none")).datasets
    assert (made.num_examples, len(made.features)) == (2, 0)
    with pytest.raises(ValueError, match=r"is a folder \(bad-tfrecord\)"):
        tfdv.generate_statistics_from_tfrecord(str(tmp_path))


def test_records_that_are_no_examples_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.tfrecord"
    write_records(path, [*records(ROWS[:1]), b"\xff\xff"])
    with pytest.raises(UsageError, match=r"r\.tfrecord, record 1 is no tf\.train\.Example"):
        tfdv.generate_statistics_from_tfrecord(str(path))
    write_records(path, records([{"a": ("int64_list", [1])}, {"a": ("float_list", [1.0])}]))
    with pytest.raises(UsageError, match="record 1: feature 'a' is a float_list, before it was a int64_list"):
        tfdv.generate_statistics_from_tfrecord(str(path))
    with pytest.raises(ValueError, match=r"file .* not found"):
        tfdv.generate_statistics_from_tfrecord(str(tmp_path / "none"))


def test_sparse_and_weighted_features_have_statistics_of_their_own(tmp_path: Path) -> None:
    schema = tfdv.read_text(
        tfdv.schema_pb2.Schema,
        """feature { name: "v" type: FLOAT } feature { name: "i" type: INT } feature { name: "w" type: FLOAT }
        sparse_feature { name: "s" value_feature { name: "v" } index_feature { name: "i" } }
        weighted_feature { name: "ww" feature { step: "v" } weight_feature { step: "w" } }""",
    )
    rows: list[dict[str, tuple[str | None, list[Any]]]] = [
        {"v": ("float_list", [1.0, 2.0]), "i": ("int64_list", [0, 3]), "w": ("float_list", [1.0, 1.0])},
        {"v": ("float_list", [1.0]), "i": ("int64_list", [0, 3]), "w": ("float_list", [0.5])},
        {"i": ("int64_list", [0]), "w": ("float_list", [0.5])},
    ]
    write_records(tmp_path / "r.tfrecord", records(rows))
    made = tfdv.generate_statistics_from_tfrecord(
        str(tmp_path / "r.tfrecord"), stats_options=tfdv.StatsOptions(schema=schema)
    )
    view = tfdv.DatasetListView(made).get_default_slice_or_die()
    sparse = view.get_feature("s")
    assert sparse is not None
    assert sparse.common_statistics() is None
    missing = sparse.custom_statistic("missing_value")
    assert missing is not None
    assert missing.num == 1
    found = tfdv.validate_statistics(made, schema)
    kinds = tfdv.anomalies_pb2.AnomalyInfo.Type
    assert {n: sorted(kinds.Name(r.type) for r in i.reason) for n, i in found.anomaly_info.items()} == {
        "s": ["SPARSE_FEATURE_LENGTH_MISMATCH", "SPARSE_FEATURE_MISSING_VALUE"],
        "ww": ["WEIGHTED_FEATURE_LENGTH_MISMATCH", "WEIGHTED_FEATURE_MISSING_VALUE"],
    }


def test_without_protobuf_the_extra_is_named() -> None:
    program = "import sys; sys.modules['google'] = None; import whence.integrations.tfdv"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("(protobuf-missing). Hint: pip install 'whence[tfdv]'\n")
