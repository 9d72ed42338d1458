"""Messages as text (``.pbtxt``) and bytes, in and out; what cannot be read is named with its line."""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final, TypeVar

from google.protobuf import text_format
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage

from whence.errors import near_names
from whence.integrations.tfdv.refusals import UsageError

log = logging.getLogger(__name__)

M = TypeVar("M")

_NO_FIELD: Final = re.compile(r'Message type "(?P<type>[\w.]+)" has no field named "(?P<name>[^"]*)"')
_NO_TYPE: Final = re.compile(r"Type (?P<type>[\w.]+) not found in descriptor pool")
_NO_VALUE: Final = re.compile(r'Enum type "(?P<type>[\w.]+)" has no value named (?P<name>\S+?)\.?$')


def to_text(message: Any) -> str:
    """A message as text that people and TFDV read.

    Fields that the installed version of the format does not know stay in bytes and have no text; as in TFDV
    they are left out, which is logged.

    Example:
        >>> from whence.integrations.tfdv.messages import schema_pb2
        >>> print(to_text(schema_pb2.Schema(default_environment=["TRAINING"])), end="")
        default_environment: "TRAINING"
    """
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    if known.ByteSize() != message.ByteSize():
        log.warning(
            "fields of a newer version are left out of the text", extra={"type": type(message).__name__}
        )
    text: str = text_format.MessageToString(message, as_utf8=True, descriptor_pool=_pool(message))
    return text


def read_text(cls: type[M], text: str | bytes, *, name: str = "the text") -> M:
    r"""The message of a text.

    Args:
        cls: The class of the message.
        text: Text in UTF-8.
        name: What is read, for the error: a path.

    Raises:
        UsageError: It is no such message; the line, the column and near names are given (``bad-pbtxt``).

    Example:
        >>> from whence.integrations.tfdv.messages import schema_pb2
        >>> read_text(schema_pb2.Schema, 'feature {\n  name: "x"\n  tpye: INT\n}')
        Traceback (most recent call last):
        whence.integrations.tfdv.refusals.UsageError: the text, line 3, column 3: a Feature has no field 'tpye' (bad-pbtxt). Near: 'type'
    """
    made: Any = cls()
    if isinstance(text, bytes):
        text = _decoded(text, cls.__name__, name)
    text = text.removeprefix("\ufeff")
    try:
        text_format.Parse(text, made, descriptor_pool=_pool(made))
    except text_format.ParseError as error:
        raise _named(error, made, name, text) from error
    except RecursionError as error:
        raise UsageError(f"{name}: structures lie too deep in each other", code="bad-pbtxt") from error
    read: M = made
    return read


def _decoded(data: bytes, shown: str, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise UsageError(
            f"{name}, line {line}: not UTF-8, so no text of a {shown}",
            code="bad-pbtxt",
            hint="it looks like UTF-16; save it as UTF-8" if wide else "a binary file is read as such",
        ) from error


def read_binary(cls: type[M], data: bytes, *, name: str = "the bytes") -> M:
    """The message of its bytes.

    Raises:
        UsageError: They are no message, or hold nothing this message has (``bad-proto``).
    """
    made: Any = cls()
    shown = cls.__name__
    try:
        made.ParseFromString(data)
    except DecodeError as error:
        raise UsageError(f"{name}: not the bytes of a {shown}: {error}", code="bad-proto") from error
    if data and not made.ListFields():
        raise UsageError(
            f"{name}: the bytes hold nothing of a {shown}",
            code="bad-proto",
            hint="they are another message, or text",
        )
    place = next(_no_texts(made), None)
    if place is not None:
        raise UsageError(f"{name}: {place} of a {shown} is not UTF-8", code="bad-proto")
    read: M = made
    return read


def _no_texts(message: Any) -> Iterator[str]:
    """Where texts are that are none: protobuf reads them as bytes."""
    wanted = _with_texts(message.DESCRIPTOR)
    for field, value in message.ListFields():
        if field.name not in wanted:
            continue
        try:
            parts = _parts(value)
        except UnicodeDecodeError:  # of a key
            yield field.name
            continue
        for part in parts:
            if isinstance(part, bytes):
                yield field.name
            elif isinstance(part, ProtoMessage):
                yield from (f"{field.name}.{inner}" for inner in _no_texts(part))


def _parts(value: Any) -> Iterable[Any]:
    if hasattr(value, "keys"):
        return [*value.keys(), *value.values()]
    return [value] if isinstance(value, str | bytes | ProtoMessage) else value


@cache
def _with_texts(descriptor: Any) -> frozenset[str]:
    """The fields of a message that are texts or have some inside."""
    return frozenset(f.name for f in descriptor.fields if _has_text(f, ()))


def _has_text(field: Any, above: tuple[str, ...]) -> bool:
    inner = field.message_type
    if inner is None or inner.full_name in above:
        return inner is None and field.type == field.TYPE_STRING
    return any(_has_text(f, (*above, inner.full_name)) for f in inner.fields)


def _pool(message: Any) -> Any:
    """Where messages inside messages are looked up: beside the message itself."""
    return message.DESCRIPTOR.file.pool


def _named(error: text_format.ParseError, message: Any, name: str, text: str) -> UsageError:
    """The error with its place and, for a name that does not exist, those that are meant."""
    line, column = error.GetLine(), error.GetColumn()
    if "Couldn't parse string" in str(error):  # protobuf says where the text after it begins
        line, column = _before(text, line, column)
    # protobuf writes "3:3 : …" before what it says
    said = re.sub(r"^\d+:\d+ ?: ?", "", str(error)).strip().rstrip(".")
    near: list[str] = []
    hint = None
    pool = _pool(message)
    if found := _NO_FIELD.search(str(error)):
        fields = [f.name for f in pool.FindMessageTypeByName(found["type"]).fields]
        said = f"a {_last(found['type'])} has no field {found['name']!r}"
        near, hint = near_names(found["name"], fields), f"known: {', '.join(sorted(fields))}"
    elif found := _NO_VALUE.search(str(error)):
        values = [v.name for v in pool.FindEnumTypeByName(found["type"]).values]
        said = f"{_last(found['type'])} has no value {found['name']!r}"
        near, hint = near_names(found["name"], values), f"known: {', '.join(sorted(values))}"
    elif (found := _NO_TYPE.search(str(error))) and (at := text.find(f"/{found['type']}]")) >= 0:
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        said = f"messages of type {found['type']} are not known here"
        hint = "write it as type_url: and value:, its bytes"
    where = name if line is None else f"{name}, line {line}, column {column}"
    return UsageError(
        f"{where}: {said}",
        code="bad-pbtxt",
        near=near,
        hint=None if near else hint,
        details={"line": line, "column": column},
    )


def _before(text: str, line: int, column: int) -> tuple[int, int]:
    """Where the last text in quotation marks before a place begins."""
    lines = text.split("\n")
    head = [*lines[: line - 1], lines[line - 1][: column - 1]]
    while head and not head[-1].rstrip().endswith(("'", '"')):
        head.pop()
    if not head:
        return line, column
    end = head[-1].rstrip()
    return len(head), end.rfind(end[-1], 0, -1) + 1


def _last(full_name: str) -> str:
    return full_name.removeprefix("tensorflow.metadata.v0.")
