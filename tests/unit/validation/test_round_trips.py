"""One schema, said as JSON, as YAML and as a proto: whichever way round it goes, it is the same schema."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.unit.validation.golden import GOLDEN
from tests.unit.validation.strategies import schemas
from whence.integrations.tfdv.messages import anomalies_pb2, schema_pb2, statistics_pb2
from whence.integrations.tfdv.schema_in import schema_from_text
from whence.integrations.tfdv.schema_out import schema_to_proto
from whence.integrations.tfdv.text import read_binary, read_text, to_text
from whence.validation import Schema
from whence.validation.yaml import schema_from_yaml, schema_to_yaml

FILES = sorted(GOLDEN.glob("*/*.pbtxt"))
KINDS = {
    "schema": schema_pb2.Schema,
    "stats": statistics_pb2.DatasetFeatureStatisticsList,
    "anomalies": anomalies_pb2.Anomalies,
}


@given(schemas())
@settings(max_examples=30, deadline=None)
def test_through_every_form(schema: Schema) -> None:
    by_yaml = schema_from_yaml(schema_to_yaml(schema), stored=True)
    assert by_yaml == schema
    by_proto = schema_from_text(to_text(schema_to_proto(by_yaml)), stored=True)
    by_json = Schema.from_json(by_proto.to_json(), stored=True)
    assert by_json == schema
    assert by_json.digest == schema.digest
    assert schema.diff(by_json) == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_files_of_tfdv_come_back_to_the_letter(path: Path) -> None:
    """Text read, written as bytes, read, written as text: TFDV's own file."""
    text = path.read_text(encoding="utf-8")
    kind = KINDS[path.name.split(".")[-2]]
    message = read_text(kind, text, name=path.name)
    assert to_text(read_binary(kind, message.SerializeToString())) == text


@pytest.mark.parametrize(
    "path", [p for p in FILES if ".schema." in p.name], ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_a_schema_of_tfdv_goes_through_yaml(path: Path) -> None:
    schema = schema_from_text(path.read_text(encoding="utf-8"))
    back = schema_from_yaml(schema_to_yaml(schema))
    assert back == schema
    assert to_text(schema_to_proto(back, plain=True)) == path.read_text(encoding="utf-8")
