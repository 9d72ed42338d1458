"""Messages of a published format made at run time from a table, with whatever protobuf is installed.

A table has one entry a message, ``Name: type field number, …``; a line that begins with spaces goes on with
the entry before. ``in NAME`` puts a field into a oneof; ``default``, ``packed`` and ``deprecated`` are as in
the protocol buffers language. ``google.X`` is ``google.protobuf.X``. The messages live in a pool of their
own, so an installed package of the same format never meets them. No code is generated: generated code binds
a project to one line of protobuf versions.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    field_mask_pb2,
    message_factory,
    struct_pb2,
)
from google.protobuf.message import Message as AnyMessage

Message: TypeAlias = Any  # a message's class is made at run time: no checker can know its fields
Pool: TypeAlias = descriptor_pool.DescriptorPool

_GOOGLE: Final = (any_pb2, struct_pb2, field_mask_pb2)
_FIELD: Final = re.compile(
    r"(?P<repeated>repeated )?(?P<type>map<[\w.]+,[\w.]+>|[\w.]+) (?P<name>\w+) (?P<number>\d+)"
    r"(?: in (?P<oneof>\w+))?(?: default (?P<default>\S+?))?(?P<packed> packed)?(?P<deprecated> deprecated)?"
)
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
}


@dataclass(frozen=True, slots=True)
class File:
    """One ``.proto`` file of a published format.

    Attributes:
        name: Its path, as other files import it.
        table: Its messages and enums.
        imports: The files it needs.
        syntax: ``proto2`` or ``proto3``.
    """

    name: str
    table: str
    imports: tuple[str, ...] = ()
    syntax: str = "proto2"


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


def described(package: str, files: Iterable[File]) -> list[descriptor_pb2.FileDescriptorProto]:
    """The descriptors of the files of one package, in the order in which a pool takes them."""
    given = list(files)
    names = [name for file in given for name, _ in entries(file.table)]
    enums = {name.removeprefix("enum ") for name in names if name.startswith("enum ")}
    made = []
    for file in given:
        one = descriptor_pb2.FileDescriptorProto(name=file.name, package=package, syntax=file.syntax)
        one.dependency.extend(file.imports)
        _fill(one, file.table, enums)
        made.append(one)
    return made


def pool_of(files: Iterable[descriptor_pb2.FileDescriptorProto]) -> Pool:
    """A pool of its own that holds these files and those of ``google.protobuf`` they import."""
    made = descriptor_pool.DescriptorPool()
    for module in _GOOGLE:
        made.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    for file in files:
        made.AddSerializedFile(file.SerializeToString())
    return made


def class_of(pool: Pool, full_name: str) -> Message:
    """The class of a message, by its full name."""
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))


def module_of(pool: Pool, file: str) -> Any:
    """A namespace that reads like a generated module: messages, enums, and the values of outer enums."""
    described_file = pool.FindFileByName(file)
    made = SimpleNamespace(DESCRIPTOR=described_file)
    for name, message in described_file.message_types_by_name.items():
        setattr(made, name, message_factory.GetMessageClass(message))
    for enum in described_file.enum_types_by_name.values():
        setattr(made, enum.name, Enum({v.name: v.number for v in enum.values}))
        for value in enum.values:
            setattr(made, value.name, value.number)
    return made


class Enum(SimpleNamespace):
    """An enum of a generated module, as far as its users call it."""

    def __init__(self, values: dict[str, int]) -> None:
        super().__init__(**values)
        self._values = values

    def Name(self, number: int) -> str:  # noqa: N802 - protobuf's name
        return next(name for name, value in self._values.items() if value == number)

    def Value(self, name: str) -> int:  # noqa: N802 - protobuf's name
        return self._values[name]

    def keys(self) -> list[str]:
        return list(self._values)

    def values(self) -> list[int]:
        return list(self._values.values())

    def items(self) -> list[tuple[str, int]]:
        return list(self._values.items())


def installed(name: str) -> Any:
    """A generated module when it can be imported, else None."""
    try:
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001 - a package built for another protobuf fails in many ways; ours then serve
        return None


def read_as(message: object, cls: Message) -> Message:
    """The message as one of this class; a message of another package of the same name is read again.

    Raises:
        TypeError: It is no message, or one of another name, as protobuf itself says.
    """
    if isinstance(message, cls):
        return message
    wanted = cls.DESCRIPTOR.full_name
    if isinstance(message, AnyMessage) and message.DESCRIPTOR.full_name == wanted:
        return cls.FromString(message.SerializeToString())
    raise TypeError(f"expected a message {wanted}, got {type(message).__name__}")


# --- from a table to a descriptor ---------------------------------------------------------------


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
            _add_field(file.package, made, name, part, enums)


def _add_field(
    package: str, message: descriptor_pb2.DescriptorProto, name: str, text: str, enums: set[str]
) -> None:
    found = _FIELD.fullmatch(text)
    assert found is not None, text
    kind = found["type"]
    if kind.startswith("map<"):
        kind = _add_entry(package, message, name, found["name"], kind, enums)
    field = message.field.add(name=found["name"], number=int(found["number"]))
    many = found["repeated"] or found["type"].startswith("map<")
    field.label = _Field.LABEL_REPEATED if many else _Field.LABEL_OPTIONAL
    _set_type(package, field, kind, enums)
    if found["oneof"]:
        groups = [group.name for group in message.oneof_decl]
        if found["oneof"] not in groups:
            message.oneof_decl.add(name=found["oneof"])
            groups.append(found["oneof"])
        field.oneof_index = groups.index(found["oneof"])
    if found["default"]:
        field.default_value = found["default"]
    if found["packed"]:
        field.options.packed = True
    if found["deprecated"]:
        field.options.deprecated = True


def _add_entry(
    package: str, message: descriptor_pb2.DescriptorProto, name: str, field: str, kind: str, enums: set[str]
) -> str:
    """The message that stands for one pair of a map; its name as a field's type."""
    key, _, value = kind[4:-1].partition(",")
    inner = "".join(word.capitalize() for word in field.split("_")) + "Entry"
    entry = message.nested_type.add(name=inner)
    entry.options.map_entry = True
    for number, (part, type_) in enumerate((("key", key), ("value", value)), 1):
        made = entry.field.add(name=part, number=number, label=_Field.LABEL_OPTIONAL)
        _set_type(package, made, type_, enums)
    return f"{name}.{inner}"


def _set_type(package: str, field: descriptor_pb2.FieldDescriptorProto, kind: str, enums: set[str]) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = _Field.TYPE_ENUM if kind in enums else _Field.TYPE_MESSAGE
    of, bare = ("google.protobuf", kind[7:]) if kind.startswith("google.") else (package, kind)
    field.type_name = f".{of}.{bare}"
