"""The messages of ML Metadata: the installed package's when it can be imported, else our own of the same format."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as _AnyMessage
from google.protobuf.wrappers_pb2 import BytesValue

from whence.integrations.mlmd import published
from whence.integrations.mlmd.wire import SERVICE_FILE, STORE_FILE, Message, pool
from whence.integrations.protos import installed, module_of, read_as

_STORE: Final = installed("ml_metadata.proto.metadata_store_pb2")
_SERVICE: Final = installed("ml_metadata.proto.metadata_store_service_pb2") if _STORE is not None else None
IS_INSTALLED: Final = _SERVICE is not None
"""Whether the messages are those of an installed ``ml_metadata``."""

metadata_store_pb2: Any = _STORE if IS_INSTALLED else module_of(pool(), STORE_FILE)
"""Nodes, types, options and configurations, as ``ml_metadata.proto.metadata_store_pb2`` has them."""
metadata_store_service_pb2: Any = _SERVICE if IS_INSTALLED else module_of(pool(), SERVICE_FILE)
"""Requests and responses, as ``ml_metadata.proto.metadata_store_service_pb2`` has them."""

METHODS: Final = published.METHODS


@cache
def request_class(method: str) -> Message:
    """The class of a method's request."""
    return getattr(metadata_store_service_pb2, f"{method}Request")


@cache
def response_class(method: str) -> Message:
    """The class of a method's response."""
    return getattr(metadata_store_service_pb2, f"{method}Response")


def as_ours(message: object, name: str) -> Message:
    """The message as one of the classes of this module; a message of another package of the same name is read again.

    Raises:
        TypeError: It is no message, or one of another name, as protobuf itself says.
    """
    cls = getattr(metadata_store_pb2, name, None) or getattr(metadata_store_service_pb2, name)
    return read_as(message, cls)


def find_bad_text(message: Message) -> str | None:
    """The name of a field whose text is not UTF-8, or None; protobuf lets such text through as bytes."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            several = (value,) if isinstance(value, _AnyMessage) else value
            if field.message_type.GetOptions().map_entry:
                if any(isinstance(key, bytes) for key in value):
                    return str(field.name)
                several = value.values() if field.message_type.fields_by_name["value"].message_type else ()
            found = next(filter(None, map(find_bad_text, several)), None)
            if found is not None:
                return found
        elif field.type == field.TYPE_STRING and any(
            isinstance(text, bytes) for text in ([value] if isinstance(value, str | bytes) else value)
        ):
            return str(field.name)
    return None


def to_json(message: Message) -> str:
    """A message as ML Metadata keeps it in a text column: JSON in one line.

    Example:
        >>> to_json(metadata_store_pb2.ArtifactStructType(simple={"name": "Data"}))
        '{"simple":{"name":"Data"}}'
    """
    found = json_format.MessageToDict(message)
    return json.dumps(found, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def read_json(text: str, into: Message) -> None:
    """Fill a message from such a text.

    Raises:
        ValueError: It is none of this message.
    """
    try:
        json_format.Parse(text, into, descriptor_pool=into.DESCRIPTOR.file.pool)
    except json_format.ParseError as error:
        raise ValueError(str(error)) from error


__all__ = [
    "IS_INSTALLED",
    "METHODS",
    "BytesValue",
    "DecodeError",
    "as_ours",
    "find_bad_text",
    "metadata_store_pb2",
    "metadata_store_service_pb2",
    "read_json",
    "request_class",
    "response_class",
    "to_json",
]
