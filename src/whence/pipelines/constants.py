"""Values as text: what a constant or a param is, in a form that is equal when the values are.

Two uses: the closure of a step encodes the constants it names (one way), and params are stored with
the run and read back when it is reproduced (both ways, `encode_param` and `decode_param`).
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import logging
import re
import types
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final

import numpy as np
import pyarrow as pa

from whence._base.digest import sha256_bytes
from whence._base.rows import rows_digest
from whence.errors import UsageError
from whence.metadata.types import Value

IMMUTABLE: Final = (
    type(None),
    bool,
    int,
    float,
    str,
    bytes,
    Decimal,
    date,
    time,
    timedelta,
    uuid.UUID,
    enum.Enum,
    PurePath,
)
"""Types a closure may hold without its value changing behind the step's back."""


class Unencodable(Exception):  # noqa: N818  # not an error of the caller: it becomes a reason
    """A value that cannot be written as text; the message says which and why."""


Follow = Callable[[object], str | None]
"""Asked for every function, class, module and service met inside a value: its name, or None when it is not one."""


def encode_constant(value: object, follow: Follow) -> str:
    """The value as text, equal exactly when the values are equal.

    Mappings and sets are written in sorted order; arrays by dtype, shape and digest; dataclasses
    by class and fields.

    Raises:
        Unencodable: The value, or something in it, is of a type that has no such text.

    Example:
        >>> encode_constant({"b": (1, 2.5), "a": {3, 1}}, lambda v: None)
        "{'a':{1,3},'b':(1,2.5)}"
    """
    return _Encoder(follow).text(value)


class _Encoder:
    def __init__(self, follow: Follow) -> None:
        self._follow = follow
        self._open: list[int] = []

    def text(self, value: object) -> str:
        if type(value) in (type(None), bool, int, float, str, bytes, range, slice, type(...)):
            return repr(value)
        if id(value) in self._open:
            raise Unencodable("a value that holds itself")
        followed = self._follow(value)
        if followed is not None:
            return followed
        self._open.append(id(value))
        try:
            return self._compound(value)
        finally:
            self._open.pop()

    def _compound(self, value: object) -> str:
        digest = getattr(type(value), "__whence_digest__", None)
        if digest is not None:
            return str(digest(value))
        if isinstance(value, enum.Enum):
            return f"{self.text(type(value))}.{value.name}"
        if isinstance(value, tuple | list):
            inner = ",".join(self.text(v) for v in value)
            return f"[{inner}]" if isinstance(value, list) else f"({inner})"
        if isinstance(value, set | frozenset):
            return "{" + ",".join(sorted(self.text(v) for v in value)) + "}"
        if isinstance(value, Mapping) and not dataclasses.is_dataclass(value):
            return "{" + ",".join(sorted(f"{self.text(k)}:{self.text(v)}" for k, v in value.items())) + "}"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = ",".join(
                f"{f.name}={self.text(getattr(value, f.name))}" for f in dataclasses.fields(value)
            )
            return f"{self.text(type(value))}({fields})"
        if isinstance(value, functools.partial):
            return f"partial({self.text(value.func)},{self.text(value.args)},{self.text(value.keywords)})"
        return self._plain(value)

    def _plain(self, value: object) -> str:
        if isinstance(value, date | time | timedelta | Decimal | uuid.UUID | PurePath):
            return f"{type(value).__name__}:{value!s}"
        if isinstance(value, re.Pattern):
            return f"pattern:{value.pattern!r}:{value.flags}"
        if isinstance(value, logging.Logger):
            return f"logger:{value.name}"
        if isinstance(value, np.generic):
            return f"{value.dtype}:{value.item()!r}"
        if isinstance(value, np.ndarray) and value.dtype != object:
            return f"array:{value.dtype}:{value.shape}:{sha256_bytes(np.ascontiguousarray(value).tobytes())}"
        if isinstance(value, pa.Table):
            return f"table:{rows_digest(value).text}"
        if isinstance(value, pa.Schema | pa.DataType | pa.Field | np.dtype):
            return f"{type(value).__name__}:{value}"
        if isinstance(value, pa.Array | pa.Scalar):
            return f"{type(value).__name__}:{value.type}:{value!s}"
        if type(value).__module__ in ("typing", "types") and not isinstance(value, types.MethodType):
            return repr(value)
        raise Unencodable(f"a value of type {type(value).__module__}.{type(value).__qualname__}")


def encode_param(value: object, *, step: str, name: str) -> Value:
    """A param as plain JSON-like values, tagged where JSON has no such type.

    Raises:
        UsageError: The value has no such form (``bad-param``); name, step and type are given.

    Example:
        >>> encode_param((1, date(2013, 4, 1)), step="train", name="days")
        {'$tuple': [1, {'$date': '2013-04-01'}]}
    """
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if isinstance(value, np.generic):
        return encode_param(value.item(), step=step, name=name)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return {"$float": str(value)}
        return value
    tagged = _tagged(value)
    if tagged is not None:
        return tagged
    if isinstance(value, tuple | list):
        items = [encode_param(v, step=step, name=name) for v in value]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, Mapping) and all(isinstance(k, str) and not k.startswith("$") for k in value):
        return {k: encode_param(v, step=step, name=name) for k, v in value.items()}
    raise UsageError(
        f"param {name!r} of step {step!r} is of type {type(value).__qualname__}, which cannot be recorded",
        code="bad-param",
        hint="pass numbers, text, times, lists and mappings of them; pass data as an input (Table, Model)",
    )


def _tagged(value: object) -> Value:
    if isinstance(value, datetime):
        return {"$datetime": value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()}
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    if isinstance(value, timedelta):
        return {"$timedelta_us": value // timedelta(microseconds=1)}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    return None


_DECODERS: Final[Mapping[str, Callable[[Any], object]]] = {
    "$tuple": lambda v: tuple(decode_param(x) for x in v),
    "$float": float,
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$timedelta_us": lambda v: timedelta(microseconds=v),
    "$decimal": Decimal,
}


def decode_param(value: Value) -> object:
    """The param that `encode_param` wrote.

    Example:
        >>> decode_param({"$tuple": [1, {"$date": "2013-04-01"}]})
        (1, datetime.date(2013, 4, 1))
    """
    if isinstance(value, Mapping):
        if len(value) == 1:
            tag, inner = next(iter(value.items()))
            if tag in _DECODERS:
                return _DECODERS[tag](inner)
        return {k: decode_param(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [decode_param(v) for v in value]
    return value
