"""ML Metadata's messages made at run time from the table in `published`, with whatever protobuf is installed.

They live in a pool of their own, so the installed ``ml_metadata`` package never meets them. No code is generated:
generated code binds a project to one line of protobuf versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, TypeAlias

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    field_mask_pb2,
    message_factory,
    struct_pb2,
)

from whence.integrations.mlmd import published

Message: TypeAlias = Any  # a message's class is made at run time: no checker can know its fields

PACKAGE: Final = "ml_metadata"
STORE_FILE: Final = "ml_metadata/proto/metadata_store.proto"
SERVICE_FILE: Final = "ml_metadata/proto/metadata_store_service.proto"
_GOOGLE: Final = (any_pb2, struct_pb2, field_mask_pb2)
_FIELD: Final = re.compile(
    r"(?P<repeated>repeated )?(?P<type>map<[\w.]+,[\w.]+>|[\w.]+) (?P<name>\w+) (?P<number>\d+)"
    r"(?: in (?P<oneof>\w+))?(?: default (?P<default>\S+?))?(?P<deprecated> deprecated)?"
)
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "double": _Field.TYPE_DOUBLE,
    "string": _Field.TYPE_STRING,
    "bool": _Field.TYPE_BOOL,
}


def entries(table: str) -> Iterator[tuple[str, list[str]]]:
    r"""The entries of a published table: a name, and its fields or values as text.

    Example:
        >>> list(entries("A: int64 id 1,\n    string name 2"))
        [('A', ['int64 id 1', 'string name 2'])]
    """
    for line in re.sub(r"\n +", " ", table.strip()).splitlines():
        name, _, rest = line.partition(":")
        # A comma inside map<…> is followed by no space.
        yield name, [part for part in rest.strip().split(", ") if part]


@cache
def pool() -> descriptor_pool.DescriptorPool:
    """The pool that holds both files of the wire format."""
    made = descriptor_pool.DescriptorPool()
    for module in _GOOGLE:
        made.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    store, service = _files()
    made.AddSerializedFile(store.SerializeToString())
    made.AddSerializedFile(service.SerializeToString())
    return made


@cache
def message_class(name: str) -> Message:
    """The class of a message, named as in the table: ``Artifact``, ``Event.Path``."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


def _files() -> tuple[descriptor_pb2.FileDescriptorProto, descriptor_pb2.FileDescriptorProto]:
    store = descriptor_pb2.FileDescriptorProto(name=STORE_FILE, package=PACKAGE, syntax="proto2")
    store.dependency.extend(["google/protobuf/any.proto", "google/protobuf/struct.proto"])
    service = descriptor_pb2.FileDescriptorProto(name=SERVICE_FILE, package=PACKAGE, syntax="proto2")
    service.dependency.extend(["google/protobuf/field_mask.proto", STORE_FILE])
    enums = {n.removeprefix("enum ") for n, _ in _all_entries() if n.startswith("enum ")}
    for file, table in ((store, published.STORE), (service, published.SERVICE)):
        _fill(file, table, enums)
    made = service.service.add(name="MetadataStoreService")
    for method in published.METHODS:
        made.method.add(
            name=method,
            input_type=f".{PACKAGE}.{method}Request",
            output_type=f".{PACKAGE}.{method}Response",
        )
    return store, service


def _all_entries() -> Iterator[tuple[str, list[str]]]:
    yield from entries(published.STORE)
    yield from entries(published.SERVICE)


def _fill(file: descriptor_pb2.FileDescriptorProto, table: str, enums: set[str]) -> None:
    messages: dict[str, descriptor_pb2.DescriptorProto] = {}
    for name, parts in entries(table):
        outer, _, inner = name.removeprefix("enum ").rpartition(".")
        if name.startswith("enum "):
            enum = (messages[outer] if outer else file).enum_type.add(name=inner)
            for part in parts:
                label, number = part.split()
                enum.value.add(name=label, number=int(number))
            continue
        made = messages[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=inner)
        messages[name] = made
        for part in parts:
            _add_field(made, name, part, enums)


def _add_field(message: descriptor_pb2.DescriptorProto, name: str, text: str, enums: set[str]) -> None:
    found = _FIELD.fullmatch(text)
    assert found is not None, text
    kind = found["type"]
    if kind.startswith("map<"):
        kind = _add_entry(message, name, found["name"], kind, enums)
    field = message.field.add(name=found["name"], number=int(found["number"]))
    many = found["repeated"] or found["type"].startswith("map<")
    field.label = _Field.LABEL_REPEATED if many else _Field.LABEL_OPTIONAL
    _set_type(field, kind, enums)
    if found["oneof"]:
        groups = [group.name for group in message.oneof_decl]
        if found["oneof"] not in groups:
            message.oneof_decl.add(name=found["oneof"])
            groups.append(found["oneof"])
        field.oneof_index = groups.index(found["oneof"])
    if found["default"]:
        field.default_value = found["default"]
    if found["deprecated"]:
        field.options.deprecated = True


def _add_entry(
    message: descriptor_pb2.DescriptorProto, name: str, field: str, kind: str, enums: set[str]
) -> str:
    """The message that stands for one pair of a map; its name as a field's type."""
    key, _, value = kind[4:-1].partition(",")
    inner = "".join(word.capitalize() for word in field.split("_")) + "Entry"
    entry = message.nested_type.add(name=inner)
    entry.options.map_entry = True
    for number, (part, type_) in enumerate((("key", key), ("value", value)), 1):
        made = entry.field.add(name=part, number=number, label=_Field.LABEL_OPTIONAL)
        _set_type(made, type_, enums)
    return f"{name}.{inner}"


def _set_type(field: descriptor_pb2.FieldDescriptorProto, kind: str, enums: set[str]) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = _Field.TYPE_ENUM if kind in enums else _Field.TYPE_MESSAGE
    package, bare = ("google.protobuf", kind[7:]) if kind.startswith("google.") else (PACKAGE, kind)
    field.type_name = f".{package}.{bare}"
