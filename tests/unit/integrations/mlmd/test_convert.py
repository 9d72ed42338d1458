"""Nodes keep their values on the way in and out."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.integrations.mlmd.calls import Client, pb
from whence.integrations.mlmd.convert import from_ms, put_value, to_ms, value_from
from whence.integrations.mlmd.service import MlmdService
from whence.metadata import open_store

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
LEAVES = st.none() | st.booleans() | st.floats(allow_nan=False) | TEXT
STRUCTS = st.dictionaries(
    TEXT, st.recursive(LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3), max_leaves=8), max_size=4
)  # fmt: skip


def struct(value: dict[str, Any]) -> Any:
    made = pb.Value()
    made.struct_value.SetInParent()
    made.struct_value.update(value)
    return made


VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(lambda v: pb.Value(int_value=v)),
    st.floats().map(lambda v: pb.Value(double_value=math.nan if math.isnan(v) else v)),  # of NaNs one is kept
    TEXT.map(lambda v: pb.Value(string_value=v)),
    st.booleans().map(lambda v: pb.Value(bool_value=v)),
    STRUCTS.map(struct),
    st.binary(max_size=20).map(lambda v: pb.Value(proto_value={"type_url": "t/x", "value": v})),
)


@given(VALUES)
def test_a_value_comes_back(value: Any) -> None:
    again = pb.Value()
    put_value(again, value_from(value, "x"))
    if value.WhichOneof("value") == "double_value" and math.isnan(value.double_value):
        assert math.isnan(again.double_value)
    else:
        assert again == value


@given(st.dictionaries(TEXT.filter(bool), VALUES, max_size=4), TEXT, TEXT)
def test_an_artifact_comes_back_from_the_store(custom: dict[str, Any], name: str, uri: str) -> None:
    client = Client(MlmdService(open_store("memory://")))
    type_id, _, _ = client.types()
    given_ = pb.Artifact(type_id=type_id, uri=uri, state=pb.Artifact.LIVE)
    if name:
        given_.name = name
    for key, value in custom.items():
        given_.custom_properties[key].CopyFrom(value)
    (id_,) = client.PutArtifacts(artifacts=[given_]).artifact_ids
    stored = client.artifact(id_)
    assert (stored.type, stored.create_time_since_epoch > 0) == ("Data", True)
    for field in ("id", "type", "create_time_since_epoch", "last_update_time_since_epoch"):
        stored.ClearField(field)
    assert stored.SerializeToString(deterministic=True) == given_.SerializeToString(deterministic=True)


@given(st.integers(0, 4_000_000_000_000))
def test_times_are_whole_milliseconds(ms: int) -> None:
    assert to_ms(from_ms(ms)) == ms


def test_values_that_only_whence_has_are_still_shown() -> None:
    listed, raw = pb.Value(), pb.Value()
    put_value(listed, [1, b"x", {"k": None}])
    assert value_from(listed, "x") == {"value": [1.0, "eA==", {"k": None}]}
    for data in (
        b"\xff\xff",
        b"",
        b"\x08\x01",
        pb.Value(proto_value={"value": b"x"}).proto_value.SerializeToString(),
    ):
        put_value(raw, data)
        assert raw.proto_value.type_url == "type.googleapis.com/google.protobuf.BytesValue"
        assert value_from(raw, "x") == data


@given(st.binary(max_size=20))
def test_bytes_come_back(data: bytes) -> None:
    made = pb.Value()
    put_value(made, data)
    assert value_from(made, "x") == data
    # A client's own message of that type stays what it is, too.
    again = pb.Value(proto_value={"type_url": made.proto_value.type_url, "value": data})
    shown = pb.Value()
    put_value(shown, value_from(again, "x"))
    assert shown == again
