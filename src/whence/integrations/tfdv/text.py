"""Messages as text (``.pbtxt``) and bytes, in and out; what cannot be read is named with its line."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from whence.errors import near_names
from whence.integrations.tfdv.refusals import UsageError

M = TypeVar("M")

_NO_FIELD: Final = re.compile(r'Message type "(?P<type>[\w.]+)" has no field named "(?P<name>[^"]*)"')
_NO_VALUE: Final = re.compile(r'Enum type "(?P<type>[\w.]+)" has no value named (?P<name>\S+?)\.?$')


def to_text(message: Any) -> str:
    """A message as text that people and TFDV read.

    Example:
        >>> from whence.integrations.tfdv.messages import schema_pb2
        >>> print(to_text(schema_pb2.Schema(default_environment=["TRAINING"])), end="")
        default_environment: "TRAINING"
    """
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
    try:
        text_format.Parse(text, made, descriptor_pool=_pool(made))
    except text_format.ParseError as error:
        raise _named(error, made, name) from error
    read: M = made
    return read


def _decoded(data: bytes, shown: str, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{name}, line {line}: not UTF-8, so no text of a {shown}",
            code="bad-pbtxt",
            hint="a binary file is read as such",
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
    read: M = made
    return read


def _pool(message: Any) -> Any:
    """Where messages inside messages are looked up: beside the message itself."""
    return message.DESCRIPTOR.file.pool


def _named(error: text_format.ParseError, message: Any, name: str) -> UsageError:
    """The error with its place and, for a name that does not exist, those that are meant."""
    line, column = error.GetLine(), error.GetColumn()
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
    where = name if line is None else f"{name}, line {line}, column {column}"
    return UsageError(
        f"{where}: {said}",
        code="bad-pbtxt",
        near=near,
        hint=None if near else hint,
        details={"line": line, "column": column},
    )


def _last(full_name: str) -> str:
    return full_name.removeprefix("tensorflow.metadata.v0.")
