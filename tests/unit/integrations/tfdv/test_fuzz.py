"""Protos that were cut, garbled or written by others: each is read whole, or refused with its place."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from whence.errors import UsageError, WhenceError
from whence.integrations import tfdv
from whence.integrations.tfdv.files import write_statistics
from whence.integrations.tfdv.messages import anomalies_pb2, schema_pb2, statistics_pb2
from whence.integrations.tfdv.schema_in import schema_from_text
from whence.integrations.tfdv.text import read_binary, read_text, to_text

GOLDEN = Path(__file__).parents[3] / "golden" / "validation"
KINDS = {
    "schema": schema_pb2.Schema,
    "stats": statistics_pb2.DatasetFeatureStatisticsList,
    "anomalies": anomalies_pb2.Anomalies,
}
TEXTS = {
    kind: sorted((p.read_text(encoding="utf-8") for p in GOLDEN.glob(f"*/*.{kind}.pbtxt")), key=len)[:4]
    for kind in KINDS
}
STATISTICS = tfdv.statistics.stats_impl.generate_statistics_in_memory(
    pa.table({"a": [1, 2, None], "b": ["x", "y", "x"]})
)
SCHEMA = tfdv.infer_schema(STATISTICS)
UNKNOWN = b"\xfa\xff\x01\x03abc"
"""Field 4,095 with the bytes ``abc``."""


@st.composite
def garbled(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes of which some are other ones, gone, there twice, or cut off."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(len(out) - 1, 0)))
        kind = draw(st.sampled_from(["other", "other", "gone", "more", "twice", "cut"]))
        if kind == "other" and out:
            out[place] = draw(st.integers(0, 255))
        elif kind == "gone":
            del out[place : place + draw(st.integers(1, 8))]
        elif kind == "more":
            out[place:place] = draw(st.binary(min_size=1, max_size=4))
        elif kind == "twice":
            out[place:place] = out[place : place + draw(st.integers(1, 20))]
        else:
            del out[place:]
    return bytes(out)


def use(kind: str, message: Any) -> None:
    """All that is done with a message; only errors of ours come out."""
    try:
        to_text(message)
        if kind == "schema":
            tfdv.validate_statistics(STATISTICS, message)
            tfdv.update_schema(message, STATISTICS)
            tfdv.schema_from_proto(message)
        elif kind == "stats":
            tfdv.infer_schema(message)
            tfdv.validate_statistics(message, SCHEMA)
            tfdv.update_schema(SCHEMA, message)
            tfdv.get_statistics_html(message)
        else:
            tfdv.get_anomalies_dataframe(message)
    except WhenceError:
        pass


def read(kind: str, reader: Callable[..., Any], data: bytes, code: str, begins: str) -> None:
    """Read and use, or be refused so."""
    refused: UsageError | None = None
    try:
        message = reader(KINDS[kind], data, name="it")
    except UsageError as error:
        refused = error
    if refused is None:
        use(kind, message)
    else:
        assert (refused.code, refused.message[: len(begins)]) == (code, begins)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_garbled_bytes_are_a_message_or_refused(kind: str, data: st.DataObject) -> None:
    whole = read_text(KINDS[kind], data.draw(st.sampled_from(TEXTS[kind]))).SerializeToString()
    read(kind, read_binary, data.draw(garbled(whole)), "bad-proto", "it: ")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_garbled_text_is_a_message_or_its_line_is_named(kind: str, data: st.DataObject) -> None:
    text = data.draw(garbled(data.draw(st.sampled_from(TEXTS[kind])).encode()))
    read(kind, read_text, text, "bad-pbtxt", "it, line ")


@given(values=st.lists(st.binary(max_size=6), max_size=3))
@example(values=[b"\xff"])
def test_texts_in_bytes_are_utf8(values: list[bytes]) -> None:
    """As protobuf writes it: field 4 of a Schema is a domain, of which field 2 is a text."""
    inside = b"".join(b"\x12" + bytes([len(v)]) + v for v in values)
    data = b"\x22" + bytes([len(inside)]) + inside
    try:
        wanted = [v.decode() for v in values]
    except UnicodeDecodeError:
        with pytest.raises(UsageError, match=r"it: string_domain\.value of a Schema is not UTF-8"):
            read_binary(schema_pb2.Schema, data, name="it")
    else:
        assert list(read_binary(schema_pb2.Schema, data).string_domain[0].value) == wanted
    key = anomalies_pb2.Anomalies()
    key.anomaly_info["key!"].description = "x"
    with pytest.raises(UsageError, match="anomaly_info of a Anomalies is not UTF-8"):
        read_binary(anomalies_pb2.Anomalies, key.SerializeToString().replace(b"key!", b"key\xff"))


def test_fields_of_a_newer_version_stay_in_bytes_and_leave_texts_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "stats"
    path.write_bytes(STATISTICS.SerializeToString() + UNKNOWN)
    loaded = tfdv.load_stats_binary(str(path))
    write_statistics(loaded, path)
    assert UNKNOWN in path.read_bytes()
    assert UNKNOWN in tfdv.load_statistics(str(path)).SerializeToString()
    with caplog.at_level(logging.WARNING):
        tfdv.write_stats_text(STATISTICS, str(path))
        assert not caplog.records
        tfdv.write_stats_text(loaded, str(path))
    assert [r.message for r in caplog.records] == ["fields of a newer version are left out of the text"]
    assert tfdv.load_stats_text(str(path)) == STATISTICS
    # a value of an enumeration that came later is such a field, too
    feature = read_binary(schema_pb2.Feature, b"\x0a\x01x\x20\x63")
    assert (feature.name, feature.type, feature.SerializeToString()) == ("x", 0, b"\x0a\x01x\x20\x63")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('feature {\n  name: "a"\n  [foo.bar] { x: 1 }\n}', "line 3, column 8"),
        (
            "annotation {\n  extra_metadata {\n    [type.googleapis.com/x.Y] { a: 1 }\n  }\n}",
            "line 3, column 25",
        ),
        ('feature {\n  name: "\\xff"\n}', "line 2, column 9"),
        ('feature {\n  name: "a" # "b"\n  name: "\\xfe\\"" }', "line 3, column"),
    ],
)
def test_what_does_not_belong_is_named_with_its_line(text: str, place: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_text(schema_pb2.Schema, text, name="it")
    assert (caught.value.code, caught.value.message.startswith(f"it, {place}")) == ("bad-pbtxt", True)


def test_what_is_kept_in_an_any_stays() -> None:
    proto = schema_pb2.Schema()
    proto.annotation.extra_metadata.add(type_url="type.googleapis.com/x.Y", value=b"\x08\x01\xff")
    assert read_text(schema_pb2.Schema, to_text(proto)) == proto
    assert tfdv.schema_to_proto(schema_from_text(to_text(proto))) == proto


def test_a_byte_order_mark_is_read_past_and_utf16_is_named() -> None:
    text = 'feature { name: "é" }'
    for given_ in (text.encode("utf-8-sig"), "\ufeff" + text):
        assert read_text(schema_pb2.Schema, given_).feature[0].name == "é"
    with pytest.raises(UsageError, match="save it as UTF-8"):
        read_text(schema_pb2.Schema, text.encode("utf-16"))


def test_structures_too_deep_in_each_other_are_refused() -> None:
    deep = "feature { struct_domain { " * 5_000 + "} }" * 5_000
    with pytest.raises(UsageError, match="it: structures lie too deep in each other") as caught:
        read_text(schema_pb2.Schema, deep, name="it")
    assert caught.value.code == "bad-pbtxt"
    data = b""
    for _ in range(300):
        for tag in (b"\xea\x01", b"\x0a"):  # struct_domain of a feature, feature of a struct_domain
            data = tag + _varint(len(data)) + data
    with pytest.raises(UsageError) as caught:
        read_binary(schema_pb2.Schema, data, name="it")
    assert caught.value.code == "bad-proto"


def _varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])
