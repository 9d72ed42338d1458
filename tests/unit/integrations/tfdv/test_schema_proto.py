"""Schemas as protos and back: the whole language, in text and bytes, and TFDV's own files to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.unit.validation.strategies import schemas
from whence.errors import UsageError
from whence.integrations.tfdv.messages import schema_pb2
from whence.integrations.tfdv.schema_in import schema_from_proto, schema_from_text
from whence.integrations.tfdv.schema_out import schema_to_proto
from whence.integrations.tfdv.text import read_binary, read_text, to_text
from whence.validation import Feature, Schema
from whence.validation.types import BoolDomain, FloatDomain, Rule, StructDomain, TimeDomain

GOLDEN = Path(__file__).parents[3] / "golden" / "validation"
FILES = sorted(GOLDEN.glob("*/*.schema.pbtxt"))


@given(schemas())
@settings(max_examples=80, deadline=None)
def test_a_schema_comes_back_whole_in_text_and_bytes(schema: Schema) -> None:
    proto = schema_to_proto(schema)
    assert schema_from_proto(proto, stored=True) == schema
    assert schema_from_text(to_text(proto), stored=True) == schema
    data = proto.SerializeToString()
    back = schema_from_proto(read_binary(schema_pb2.Schema, data), stored=True)
    assert (back, back.digest) == (schema, schema.digest)


@given(schemas())
@settings(max_examples=25, deadline=None)
def test_what_tfdv_can_say_is_stable(schema: Schema) -> None:
    plain = schema_to_proto(schema, plain=True)
    assert "whence: " not in to_text(plain)
    assert schema_to_proto(schema_from_proto(plain, stored=True), plain=True) == plain


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_file_of_tfdv_is_written_as_it_was(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    schema = schema_from_proto(read_text(schema_pb2.Schema, text))
    assert to_text(schema_to_proto(schema)) == text
    assert to_text(schema_to_proto(schema, plain=True)) == text


def test_bounds_of_floats_are_what_people_wrote() -> None:
    proto = read_text(
        schema_pb2.Schema, 'feature { name: "x" type: FLOAT float_domain { min: 0.1 max: 0.7 } }'
    )
    assert schema_from_proto(proto)["x"].domain == FloatDomain(0.1, 0.7)
    domain = schema_from_proto(proto, exact=True)["x"].domain
    assert isinstance(domain, FloatDomain)
    assert domain.min == 0.10000000149011612
    # A double that single precision cannot hold comes back by the note.
    exact = Schema().add(Feature("x", "FLOAT", domain=FloatDomain(max=0.1 + 1e-12)))
    assert schema_from_proto(schema_to_proto(exact)) == exact


def test_our_types_are_tfdvs_with_a_domain() -> None:
    schema = Schema().add(Feature("late", "BOOL"), Feature("at", "TIMESTAMP"), Feature("name", "STRING"))
    late, at, name = schema_to_proto(schema, plain=True).feature
    assert (late.type, late.WhichOneof("domain_info")) == (schema_pb2.INT, "bool_domain")
    assert at.time_domain.integer_format == schema_pb2.TimeDomain.UNIX_MICROSECONDS
    assert name.type == schema_pb2.BYTES
    back = schema_from_proto(schema_to_proto(schema, plain=True))
    assert back["late"].domain == BoolDomain()
    assert back["at"].domain == TimeDomain(integer_format="UNIX_MICROSECONDS")


def test_the_note_is_one_comment_that_tfdv_reads_past() -> None:
    schema = Schema(rules=(Rule("positive", "x > 0"),)).add(Feature("x", "INT", default=3))
    proto = schema_to_proto(schema)
    assert list(proto.feature[0].annotation.comment) == ['whence: {"default":3}']
    assert proto.annotation.comment[0].startswith('whence: {"rules":')
    proto.feature[0].annotation.comment.append("checked by Ada")
    back = schema_from_proto(proto)
    assert back["x"].default == 3
    assert back["x"].annotation is not None
    assert back["x"].annotation.comments == ("checked by Ada",)


@pytest.mark.parametrize("comment", ["whence: {", "whence: 3", 'whence: {"tpye":"INT"}'])
def test_a_damaged_note_is_named(comment: str) -> None:
    proto = schema_pb2.Schema(feature=[{"name": "x", "annotation": {"comment": [comment]}}])
    with pytest.raises(UsageError) as caught:
        schema_from_proto(proto)
    assert caught.value.code == "bad-schema"


def test_what_is_said_twice_is_refused_by_name() -> None:
    twice = schema_pb2.Schema(feature=[{"name": "x"}, {"name": "x"}])
    with pytest.raises(UsageError, match="feature 'x' twice"):
        schema_from_proto(twice)
    twice = schema_pb2.Schema(string_domain=[{"name": "d"}], int_domain=[{"name": "d"}])
    with pytest.raises(UsageError, match="domain 'd' twice"):
        schema_from_proto(twice)
    with pytest.raises(TypeError, match=r"expected a message tensorflow\.metadata\.v0\.Schema"):
        schema_from_proto("feature {}")


def test_parts_of_structures_have_paths() -> None:
    text = 'feature { name: "trip" type: STRUCT struct_domain { feature { name: "a.b" type: INT } } }'
    schema = schema_from_proto(read_text(schema_pb2.Schema, text))
    assert list(schema.features) == ["trip", 'trip."a.b"']
    assert schema['trip."a.b"'].path == ("trip", "a.b")
    assert schema["trip"].domain == StructDomain()


def test_what_has_no_meaning_here_is_kept() -> None:
    text = (
        'tensor_representation_group { key: "" value { tensor_representation { key: "x" '
        'value { dense_tensor { column_name: "x" shape { dim { size: 2 } } } } } } } '
        'sparse_feature { name: "s" type: FLOAT value_feature { name: "v" } index_feature { name: "i" } }'
    )
    proto = read_text(schema_pb2.Schema, text)
    schema = schema_from_proto(proto)
    assert schema.sparse_features["s"].index_features == ("i",)
    assert schema_to_proto(schema) == proto
    assert schema_to_proto(Schema.from_json(schema.to_json())) == proto


def test_the_old_flag_is_a_stage() -> None:
    proto = read_text(schema_pb2.Schema, 'feature { name: "x" deprecated: true }')
    assert schema_from_proto(proto)["x"].lifecycle_stage == "DEPRECATED"
