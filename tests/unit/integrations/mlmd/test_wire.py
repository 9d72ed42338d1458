"""The published table becomes messages that protobuf itself can write and read."""

from __future__ import annotations

import re

import pytest

from tests.unit.integrations.mlmd.calls import our_class
from whence.integrations.mlmd import published, wire
from whence.integrations.mlmd.messages import (
    METHODS,
    as_ours,
    metadata_store_pb2,
    request_class,
    response_class,
)
from whence.integrations.mlmd.service import methods
from whence.integrations.protos import entries


def test_every_method_has_its_messages_and_is_answered() -> None:
    assert len(METHODS) == 52
    assert methods() == list(METHODS)
    for name in METHODS:
        assert request_class(name).DESCRIPTOR.name == f"{name}Request"
        assert response_class(name).DESCRIPTOR.name == f"{name}Response"


def test_the_table_and_the_pool_say_the_same() -> None:
    for table in (published.STORE, published.SERVICE):
        for name, parts in entries(table):
            if name.startswith("enum "):
                found = wire.pool().FindEnumTypeByName(f"{wire.PACKAGE}.{name[5:]}")
                assert [f"{v.name} {v.number}" for v in found.values] == parts
            else:
                fields = wire.pool().FindMessageTypeByName(f"{wire.PACKAGE}.{name}").fields
                said = [re.search(r"(\w+) (\d+)(?= in | default | deprecated|$)", part) for part in parts]
                assert [(f.name, str(f.number)) for f in fields] == [s.groups() for s in said if s], name


def test_defaults_and_oneofs_are_as_published() -> None:
    options = our_class("ListOperationOptions")()
    assert (options.max_result_size, options.order_by_field.is_asc, options.order_by_field.field) == (
        20,
        True,
        3,
    )
    value = our_class("Value")(int_value=1)
    value.string_value = "x"
    assert value.WhichOneof("value") == "string_value"
    assert not value.HasField("int_value")
    request = our_class("PutArtifactTypeRequest")()
    assert request.all_fields_match is True
    assert request.DESCRIPTOR.fields_by_name["all_fields_match"].GetOptions().deprecated


def test_a_message_of_the_same_name_is_read_again() -> None:
    theirs = our_class("Artifact")(id=3, uri="/x")
    assert as_ours(theirs, "Artifact") == metadata_store_pb2.Artifact(id=3, uri="/x")
    for wrong in (our_class("Execution")(), object(), None):
        with pytest.raises(TypeError, match=r"expected a message ml_metadata\.Artifact"):
            as_ours(wrong, "Artifact")


def test_enums_read_like_those_of_a_generated_module() -> None:
    kinds = metadata_store_pb2.PropertyType
    assert kinds.Name(metadata_store_pb2.STRING) == "STRING"
    assert kinds.Value("BOOLEAN") == metadata_store_pb2.BOOLEAN == 6
    assert dict(zip(kinds.keys(), kinds.values(), strict=True))["PROTO"] == 5
