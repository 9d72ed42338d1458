"""The published table becomes messages; the installed package, where there is one, has the same fields."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from whence.errors import UsageError
from whence.integrations.protos import class_of, entries
from whence.integrations.tfdv import messages, published
from whence.integrations.tfdv.messages import as_ours, pool, schema_pb2, statistics_pb2
from whence.integrations.tfdv.text import read_binary, read_text, to_text

TABLES = {
    "path": published.PATH,
    "derived_feature": published.DERIVED,
    "schema": published.SCHEMA,
    "statistics": published.STATISTICS,
    "anomalies": published.ANOMALIES,
}
LATER = {"Feature.audio_domain", "Feature.video_domain", "Feature.content_chunk_domain"}
"""What TensorFlow Metadata has had since 1.17."""
DUMP = """
import importlib, json
out = {}
def walk(message, prefix):
    name = prefix + message.name
    out[name] = {f.name: [f.number, f.type, f.message_type.full_name if f.message_type else '',
                          f.containing_oneof.name if f.containing_oneof else ''] for f in message.fields}
    for enum in message.enum_types: out['enum ' + name + '.' + enum.name] = {v.name: v.number for v in enum.values}
    for inner in message.nested_types: walk(inner, name + '.')
for module in ('path', 'derived_feature', 'schema', 'statistics', 'anomalies'):
    file = importlib.import_module('tensorflow_metadata.proto.v0.' + module + '_pb2').DESCRIPTOR
    for enum in file.enum_types_by_name.values(): out['enum ' + enum.name] = {v.name: v.number for v in enum.values}
    for message in file.message_types_by_name.values(): walk(message, '')
print(json.dumps(out))
"""
OURS = (
    DUMP.split("for module in")[0]
    + """
from whence.integrations.tfdv.messages import pool
for module in ('path', 'derived_feature', 'schema', 'statistics', 'anomalies'):
    file = pool().FindFileByName('tensorflow_metadata/proto/v0/' + module + '.proto')
    for enum in file.enum_types_by_name.values(): out['enum ' + enum.name] = {v.name: v.number for v in enum.values}
    for message in file.message_types_by_name.values(): walk(message, '')
print(json.dumps(out))
"""
)
"""The same of our own pool, in a process of its own."""


def test_the_table_and_the_pool_say_the_same() -> None:
    n = 0
    for table in TABLES.values():
        for name, parts in entries(table):
            if name.startswith("enum "):
                found = pool().FindEnumTypeByName(f"{messages.PACKAGE}.{name[5:]}")
                assert [f"{v.name} {v.number}" for v in found.values] == parts
            else:
                fields = pool().FindMessageTypeByName(f"{messages.PACKAGE}.{name}").fields
                said = [re.search(r"(\w+) (\d+)(?= in | default | packed| deprecated|$)", p) for p in parts]
                assert [(f.name, str(f.number)) for f in fields] == [s.groups() for s in said if s], name
            n += 1
    assert n == 109


if "WHENCE_TEST_TFDV" in os.environ:

    def test_every_field_is_that_of_the_installed_package() -> None:
        """Run by the other Python: two packages of one format in one process are two pools, as for users."""
        theirs = json.loads(
            subprocess.run(
                [os.environ["WHENCE_TEST_TFDV"], "-c", DUMP],
                check=True,
                capture_output=True,
                text=True,
                timeout=120,
            ).stdout
        )
        ours = json.loads(
            subprocess.run([sys.executable, "-c", OURS], check=True, capture_output=True, text=True).stdout
        )
        for name in ("AudioDomain", "VideoDomain", "ContentChunkDomain"):
            ours.pop(name)
        for field in LATER - {f"Feature.{n}" for n in theirs["Feature"]}:
            ours["Feature"].pop(field.removeprefix("Feature."))
        assert ours == theirs


def test_a_message_of_the_same_name_is_read_again() -> None:
    theirs = class_of(pool(), f"{messages.PACKAGE}.Schema")(default_environment=["A"])
    assert list(as_ours(theirs, "Schema").default_environment) == ["A"]
    with pytest.raises(TypeError, match="expected a message"):
        as_ours(statistics_pb2.Histogram(), "Schema")


def test_defaults_and_enums_are_as_published() -> None:
    assert schema_pb2.DistributionConstraints().min_domain_mass == 1.0
    assert schema_pb2.FeatureType.Name(schema_pb2.STRUCT) == "STRUCT"
    assert dict(schema_pb2.FeatureType.items())["BYTES"] == 1
    assert statistics_pb2.FeatureNameStatistics.STRING == 2


@pytest.mark.parametrize(
    ("text", "place", "near"),
    [
        ('feature {\n  name: "x"\n  tpye: INT\n}', "line 3, column 3", ["type"]),
        ('feature {\n  name: "x"\n  type: INTT\n}', "line 3, column 9", ["INT"]),
        ('feature { name: "x"\n  int_domain { mn: 3 } }', "line 2, column 16", ["min"]),
        ("feature { name: 3 }", "line 1, column 17", []),
        ('feature { name: "a" ', "line 1", []),
        ("\n\nx", "line 3, column 1", []),
        ("feature {\n int_domain { min: 99999999999999999999 } }", "line 2", []),
        ("feature {\n presence { min_fraction: abc } }", "line 2", []),
    ],
)
def test_what_does_not_read_is_named_with_its_line(text: str, place: str, near: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        read_text(schema_pb2.Schema, text, name="schema.pbtxt")
    assert caught.value.code == "bad-pbtxt"
    assert f"schema.pbtxt, {place}" in caught.value.message
    assert caught.value.near[:1] == near[:1]


def test_a_field_that_is_nothing_like_another_lists_them_all() -> None:
    with pytest.raises(UsageError) as caught:
        read_text(schema_pb2.Schema, "qqq: 1")
    assert caught.value.hint is not None
    assert "default_environment" in caught.value.hint


def test_bytes_that_are_no_text_and_no_message() -> None:
    with pytest.raises(UsageError, match="line 2: not UTF-8"):
        read_text(schema_pb2.Schema, b"feature {}\n\xff")
    for data in (b"\xff" * 20, b"\x08\x01"):
        with pytest.raises(UsageError) as caught:
            read_binary(schema_pb2.Schema, data, name="schema.pb")
        assert caught.value.code == "bad-proto"
        assert caught.value.message.startswith("schema.pb: ")
    assert read_binary(schema_pb2.Schema, b"") == schema_pb2.Schema()


def test_comments_short_lists_and_letters_of_any_language_are_read() -> None:
    text = '# by hand\nstring_domain { name: "d", value: ["a", "é"] };'
    proto = read_text(schema_pb2.Schema, text)
    assert list(proto.string_domain[0].value) == ["a", "é"]
    assert "é" in to_text(proto)


def test_importing_pulls_no_data_frames_and_no_learners() -> None:
    code = "import sys, whence.integrations.tfdv; print([m for m in ('pandas', 'polars', 'sklearn', 'scipy', 'IPython', 'tensorflow') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_the_face_is_sorted_and_has_tfdvs_functions() -> None:
    import whence.integrations.tfdv as tfdv

    assert tfdv.__all__ == sorted(tfdv.__all__)
    assert all(hasattr(tfdv, name) for name in tfdv.__all__)
    theirs = """CrossFeatureView DatasetListView DatasetView FeaturePath FeatureView StatsOptions compare_slices
        display_anomalies display_schema experimental_get_feature_value_slicer generate_dummy_schema_with_paths
        generate_statistics_from_csv generate_statistics_from_dataframe
        generate_statistics_from_tfrecord get_domain get_feature get_feature_stats
        get_slice_stats get_statistics_html infer_schema load_anomalies_text load_schema_text
        load_sharded_statistics load_statistics load_stats_binary load_stats_text set_domain update_schema
        validate_corresponding_slices validate_examples_in_csv validate_statistics visualize_statistics
        write_anomalies_text write_schema_text write_stats_text get_match_stats_dataframe
        get_skew_result_dataframe"""
    assert set(theirs.split()) <= set(tfdv.__all__)
