"""Between ML Metadata's messages and the graph's value objects, both ways.

A STRUCT is a mapping here and a ``google.protobuf.Struct`` there, so its whole numbers come back as floats; one deeper
than programs read is its JSON text there, ``{"value": text}``. A PROTO is the bytes of its ``google.protobuf.Any``; bytes
that are none travel in one, as a ``google.protobuf.BytesValue``, and come back themselves: ML Metadata refuses to read a
node that has an ``Any`` without a type. A property that is None here is absent there. Times are milliseconds.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from whence.integrations.mlmd.errors import invalid
from whence.integrations.mlmd.messages import BytesValue, DecodeError, metadata_store_pb2, read_json, to_json
from whence.integrations.mlmd.wire import Message
from whence.metadata.rows import EPOCH, kind_of
from whence.metadata.types import (
    AnyNode,
    Artifact,
    Context,
    Event,
    EventKind,
    NodeKind,
    PropertyType,
    Type,
    Value,
)

_MILLISECOND: Final = timedelta(milliseconds=1)
_pb: Final = metadata_store_pb2
_NODES: Final = {"artifact": _pb.Artifact, "execution": _pb.Execution, "context": _pb.Context}
_TYPES: Final = {"artifact": _pb.ArtifactType, "execution": _pb.ExecutionType, "context": _pb.ContextType}
_BYTES: Final = "type.googleapis.com/google.protobuf.BytesValue"
MAX_MESSAGES: Final = 90
"""In one another, in the Struct of one value: protobuf's parsers read 100, and some of these are around the value."""
STATE_FIELDS: Final[dict[NodeKind, str | None]] = {
    "artifact": "state",
    "execution": "last_known_state",
    "context": None,
}


def to_ms(moment: datetime) -> int:
    """An aware time as milliseconds since 1970, rounded down."""
    return (moment - EPOCH) // _MILLISECOND


FIRST_MS: Final = to_ms(datetime.min.replace(tzinfo=UTC) + timedelta(days=1))
LAST_MS: Final = to_ms(datetime.max.replace(tzinfo=UTC) - timedelta(days=1))
"""A day is left at both ends, so that every zone has these moments."""


def is_time(ms: object) -> bool:
    """Whether these milliseconds since 1970 are a date that can be kept.

    Example:
        >>> is_time(0), is_time(1_795_264_581_993_000), is_time("0")
        (True, False, False)
    """
    return isinstance(ms, int) and FIRST_MS <= ms <= LAST_MS


def from_ms(ms: int) -> datetime:
    """Milliseconds since 1970 as an aware time."""
    return EPOCH + ms * _MILLISECOND


# values


def value_from(message: Message, name: str) -> Value:
    """The value of a ``Value`` message; `name` is for the error."""
    kind = message.WhichOneof("value")
    if kind is None:
        raise invalid(f"Found unmatched property type: {name}")
    if kind == "struct_value":
        return _struct_from(message.struct_value)
    if kind == "proto_value":
        return _any_from(message.proto_value)
    return cast("Value", getattr(message, kind))


def put_value(into: Message, value: Value) -> None:
    """Write a value into a ``Value`` message."""
    if isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, int):
        into.int_value = value
    elif isinstance(value, float):
        into.double_value = value
    elif isinstance(value, str):
        into.string_value = value
    elif isinstance(value, bytes):
        _put_any(into.proto_value, value)
    else:
        into.struct_value.SetInParent()
        plain: Any = _plain(value)
        if _messages(value) > MAX_MESSAGES:
            plain = json.dumps(plain, ensure_ascii=False, sort_keys=True)
        # A list alone is a STRUCT of ours; protobuf's Struct is always a mapping.
        into.struct_value.update(plain if isinstance(plain, Mapping) else {"value": plain})


def _put_any(into: Message, value: bytes) -> None:
    into.SetInParent()
    try:
        into.ParseFromString(value)
    except DecodeError:
        into.Clear()
    if not into.type_url:  # no Any, but bytes that whence's own users kept
        into.Clear()
        into.type_url = _BYTES
        into.value = BytesValue(value=value).SerializeToString()


def _any_from(given: Message) -> bytes:
    """What `_put_any` put into an ``Any``; of one that it would not make the whole, serialized."""
    if not given.type_url:
        return cast("bytes", given.value)
    whole = cast("bytes", given.SerializeToString())
    if given.type_url == _BYTES:
        again = type(given)()
        try:
            inner: bytes = BytesValue.FromString(given.value).value
        except DecodeError:
            return whole
        _put_any(again, inner)
        if again.SerializeToString() == whole:
            return inner
    return whole


def proto_value(data: bytes) -> bytes:
    """The value of a serialized ``google.protobuf.Any``; of other bytes these themselves."""
    made = _pb.Value()
    try:
        made.proto_value.ParseFromString(data)
    except DecodeError:
        return data
    return _any_from(made.proto_value)


def struct_value(data: bytes) -> Value:
    """The value of a serialized ``google.protobuf.Struct``.

    Raises:
        ValueError: The bytes are none.
    """
    made = _pb.Value()
    made.struct_value.SetInParent()
    try:
        made.struct_value.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return _struct_from(made.struct_value)


def _struct_from(struct: Message) -> dict[str, Value]:
    return {
        key: _item_from(item) for key, item in sorted(struct.fields.items())
    }  # a map on the wire has no order


def _item_from(item: Message) -> Value:
    kind = item.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "struct_value":
        return _struct_from(item.struct_value)
    if kind == "list_value":
        return [_item_from(v) for v in item.list_value.values]
    return cast("Value", getattr(item, kind))


def _plain(value: Value) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    return value


def _messages(value: Value) -> int:
    """How many messages are in one another in a value of a Struct."""
    if isinstance(value, Mapping):  # the Struct, the entry of its map, the Value
        return 3 + max(map(_messages, value.values()), default=0)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return 2 + max(map(_messages, value), default=0)
    return 0


def properties_from(message: Message) -> tuple[dict[str, Value], dict[str, Value]]:
    """The typed and the custom properties of a node's message."""
    return (
        {name: value_from(v, name) for name, v in message.properties.items()},
        {name: value_from(v, name) for name, v in message.custom_properties.items()},
    )


# nodes


def state_from(message: Message, kind: NodeKind) -> str:
    """The name of the state a message gives; ``UNKNOWN`` when it gives none."""
    field = STATE_FIELDS[kind]
    if field is None or not message.HasField(field):
        return "UNKNOWN"
    described = message.DESCRIPTOR.fields_by_name[field].enum_type
    return cast("str", described.values_by_number[getattr(message, field)].name)


def node_to(node: AnyNode, *, id_: int, type_id: int) -> Message:
    """The message of a stored node."""
    kind = kind_of(node)
    made = _NODES[kind](id=id_, type_id=type_id, type=node.type)
    if node.name is not None:
        made.name = node.name
    if node.external_id is not None:
        made.external_id = node.external_id
    if isinstance(node, Artifact):
        made.uri = node.uri or ""  # ML Metadata gives every artifact one
    field = STATE_FIELDS[kind]
    state = node.state if not isinstance(node, Context) else "UNKNOWN"
    if field is not None and state != "UNKNOWN":
        setattr(made, field, getattr(_NODES[kind], state))
    for target, values in ((made.properties, node.properties), (made.custom_properties, node.custom)):
        for name, value in values.items():
            if value is not None:
                put_value(target[name], value)
    assert node.created_at is not None
    assert node.updated_at is not None
    made.create_time_since_epoch = to_ms(node.created_at)
    made.last_update_time_since_epoch = to_ms(node.updated_at)
    return made


# types


def type_from(message: Message, kind: NodeKind) -> Type:
    """The type a message describes."""
    if not message.name:
        raise invalid("No type name is specified.")
    properties: dict[str, PropertyType] = {}
    for name, number in message.properties.items():
        if not number:
            raise invalid(f"Property {name} is UNKNOWN.")
        properties[name] = _property_type(number)
    return Type(
        kind,
        message.name,
        properties,
        version=message.version or None,
        description=message.description if message.HasField("description") else None,
        base=_base_from(message),
        external_id=message.external_id or None,
        input_type=_struct_type(message, kind, "input_type"),
        output_type=_struct_type(message, kind, "output_type"),
    )


def _struct_type(message: Message, kind: NodeKind, field: str) -> str | None:
    given = kind == "execution" and message.HasField(field)
    return to_json(getattr(message, field)) if given else None


def _property_type(number: int) -> PropertyType:
    return cast(
        "PropertyType", _pb.DESCRIPTOR.enum_types_by_name["PropertyType"].values_by_number[number].name
    )


def _base_from(message: Message) -> str | None:
    if not message.HasField("base_type") or not message.base_type:
        return None
    described = message.DESCRIPTOR.fields_by_name["base_type"].enum_type
    return "mlmd." + cast("str", described.values_by_number[message.base_type].name).capitalize()


def type_to(type_: Type) -> Message:
    """The message of a stored type."""
    cls = _TYPES[type_.kind]
    made = cls(id=type_.id, name=type_.name)
    if type_.version is not None:
        made.version = type_.version
    if type_.description is not None:
        made.description = type_.description
    for name, want in type_.properties.items():
        made.properties[name] = getattr(_pb, want)
    if type_.external_id is not None:
        made.external_id = type_.external_id
    for field, text in (("input_type", type_.input_type), ("output_type", type_.output_type)):
        if text is not None and type_.kind == "execution":
            getattr(made, field).SetInParent()
            read_json(text, getattr(made, field))
    if type_.base is not None:
        made.base_type = getattr(cls, type_.base.removeprefix("mlmd.").upper())
    return made


# events


def event_kind(message: Message) -> EventKind:
    """The kind of an event's message."""
    if not message.HasField("type") or not message.type:
        raise invalid("No event type is specified.")
    described = message.DESCRIPTOR.fields_by_name["type"].enum_type
    return cast("EventKind", described.values_by_number[message.type].name)


def event_from(message: Message, execution: str, artifact: str) -> Event:
    """The event of a message, between two nodes named by uid."""
    path: list[str | int] = []
    for step in message.path.steps:
        kind = step.WhichOneof("value")
        if kind is None:
            raise invalid("A step of an event's path has neither an index nor a key.")
        path.append(getattr(step, kind))
    at = None
    if message.HasField("milliseconds_since_epoch"):
        if not is_time(message.milliseconds_since_epoch):
            raise invalid(f"milliseconds_since_epoch is no date: {message.milliseconds_since_epoch}")
        at = from_ms(message.milliseconds_since_epoch)
    return Event(execution, artifact, event_kind(message), tuple(path), at)


def event_to(event: Event, *, execution_id: int, artifact_id: int) -> Message:
    """The message of a stored event."""
    made = _pb.Event(artifact_id=artifact_id, execution_id=execution_id, type=getattr(_pb.Event, event.kind))
    for step in event.path:
        if isinstance(step, str):
            made.path.steps.add(key=step)
        else:
            made.path.steps.add(index=step)
    assert event.at is not None
    made.milliseconds_since_epoch = to_ms(event.at)
    return made
