"""Rows of a source as an online store keeps them, and back.

A row's content is a MessagePack array of all columns of the source: instants as microseconds, dates as days,
decimals as text. All columns, because content is the last tie-break, and because a feature that is declared
later then finds what it needs. Columns that came later stand at the end; an older row is shorter.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import compress
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import TS
from whence._base.digest import canonical_json
from whence.errors import UsageError
from whence.features.base import NOBODY, OnlineRow
from whence.features.plain import content as content_order
from whence.features.plain import micros
from whence.features.reading import BEFORE_ALL
from whence.features.types import FeatureView

Plain: TypeAlias = Callable[[Any], Any]
"""From a Python value to what MessagePack holds, or back; never called with None."""

Mask: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = date(1970, 1, 1)
_encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder().decode


def group_name(source: str, timestamp: str | None, keys: Sequence[str]) -> str:
    """What the rows of a source by an event time and join keys are called.

    Example:
        >>> group_name("arrivals", "arr_at", ["origin", "dest"])
        '["arrivals","arr_at",["dest","origin"]]'
    """
    return canonical_json([source, timestamp, sorted(keys)])


def group_of(view: FeatureView) -> str:
    """The group a view reads."""
    return group_name(view.source, view.timestamp, view.entity.join_keys)


@dataclass(frozen=True, slots=True)
class Facts:
    """What readers must know of a group's rows.

    Attributes:
        source: The table.
        table_id: What tells it from another that had its name before.
        timestamp: The column of the event time; None for timeless lookups.
        keys: The join keys, sorted.
        declared: The declared key: what rows share that correct each other.
        known_at: The column of the knowledge time; None: a row is known when its event happens.
        schema: The columns, in the order of the contents.
    """

    source: str
    table_id: str
    timestamp: str | None
    keys: tuple[str, ...]
    declared: tuple[str, ...]
    known_at: str | None
    schema: pa.Schema
    text: str = field(default="", compare=False)

    @property
    def group(self) -> str:
        """The group's name."""
        return group_name(self.source, self.timestamp, self.keys)

    def to_text(self) -> str:
        """As a store keeps it."""
        names = ("source", "table_id", "timestamp", "keys", "declared", "known_at")
        said: dict[str, Any] = {name: getattr(self, name) for name in names}
        said["schema"] = base64.b64encode(self.schema.serialize().to_pybytes()).decode()
        return canonical_json(said)

    @classmethod
    def from_text(cls, text: str) -> Facts:
        """What `to_text` wrote."""
        said = msgspec.json.decode(text)
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(said["schema"])))
        return cls(
            said["source"], said["table_id"], said["timestamp"], tuple(said["keys"]),
            tuple(said["declared"]), said["known_at"], schema, text,
        )  # fmt: skip

    def grown(self, schema: pa.Schema) -> Facts:
        """With the columns of a later version behind those that are known."""
        have = set(self.schema.names)
        new = [schema.field(name).remove_metadata() for name in sorted(schema.names) if name not in have]
        return self if not new else replace(self, schema=pa.schema([*self.schema, *new]), text="")

    # --- writing

    def pack(self, batch: Batch, chosen: Mask | None = None) -> list[OnlineRow]:
        """Rows as they are written; those that no moment can ever see are left out.

        Args:
            batch: The rows.
            chosen: Which of them; None is all.
        """
        event, happened = batch.moments(self.timestamp or self.known_at)
        known, usable = batch.moments(self.known_at or self.timestamp)
        placed = happened & batch.complete(self.keys)
        wanted = usable & (placed | batch.complete(self.declared) if self.declared else placed)
        if chosen is not None:
            wanted &= chosen
        keys: Sequence[bytes | None] = batch.encoded(self.keys)
        if not placed.all():
            keys = [
                key if is_placed else NOBODY for key, is_placed in zip(keys, placed.tolist(), strict=True)
            ]
        names: Sequence[bytes | None] = batch.encoded(self.declared) if self.declared else [None] * len(batch)
        contents = batch.contents(tuple(self.schema.names))
        rows = zip(keys, names, event.tolist(), known.tolist(), contents, strict=True)
        return [*map(OnlineRow._make, rows if wanted.all() else compress(rows, wanted.tolist()))]

    # --- reading

    def rank(self, content: bytes) -> Any:
        """The place of a content among those of one moment: by column names, null least, NaN greatest."""
        values = decode(content)
        row = {}
        for i, column in enumerate(self.schema):
            value = values[i] if i < len(values) else None
            restore = restorer(column.type)
            row[column.name] = value if value is None or restore is None else restore(value)
        return content_order(row)

    def position(self, column: str) -> int:
        """Where a column stands in a content."""
        return int(self.schema.get_field_index(column))


class Batch:
    """Rows of a source on their way into several groups; what these share is worked out once."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows
        self._columns: dict[str, list[Any]] = {}
        self._encoded: dict[tuple[str, ...], list[bytes | None]] = {}
        self._contents: dict[tuple[str, ...], list[bytes]] = {}

    def __len__(self) -> int:
        return int(self._rows.num_rows)

    def column(self, name: str) -> list[Any]:
        """A column's plain values; one that the rows do not have is null."""
        if name not in self._columns:
            missing = name not in self._rows.column_names
            values = [None] * len(self) if missing else plain_values(self._rows.column(name))
            self._columns[name] = values
        return self._columns[name]

    def complete(self, names: tuple[str, ...]) -> Mask:
        """Where none of some columns is null."""
        found = np.ones(len(self), dtype=bool)
        for name in names:
            found &= np.asarray(self._rows.column(name).is_valid())
        return found

    def moments(self, column: str | None) -> tuple[Ints, Mask]:
        """Microseconds of a time column, and where it is not null."""
        if column is None:
            return np.full(len(self), BEFORE_ALL), np.ones(len(self), dtype=bool)
        instants = self._rows.column(column)
        if pa.types.is_date(instants.type):
            instants = instants.cast(pa.timestamp("us"))
        micro = pc.fill_null(instants.cast(pa.int64()), BEFORE_ALL).to_numpy()
        return micro, np.asarray(instants.is_valid())

    def encoded(self, names: tuple[str, ...]) -> list[bytes | None]:
        """Several columns of each row as one key; None where one of them is null."""
        if names not in self._encoded:
            parts = [self.column(name) for name in names]
            rows = zip(*parts, strict=True) if parts else [()] * len(self)
            if any(None in part for part in parts):
                self._encoded[names] = [None if None in row else _encode(row) for row in rows]
            else:
                self._encoded[names] = [*map(_encode, rows)]
        return self._encoded[names]

    def contents(self, names: tuple[str, ...]) -> list[bytes]:
        """The columns of each row, in this order."""
        if names not in self._contents:
            rows = zip(*(self.column(name) for name in names), strict=True) if names else [()] * len(self)
            self._contents[names] = [*map(_encode, rows)]
        return self._contents[names]


# --- values --------------------------------------------------------------------------------------


def plain_values(column: pa.ChunkedArray) -> list[Any]:
    """A column as values MessagePack can hold; null is None."""
    type_ = column.type
    if pa.types.is_timestamp(type_):
        return _listed(column.cast(pa.int64()))
    if pa.types.is_date(type_):
        return _listed(column.cast(pa.int32()))
    plain = _plainer(type_)
    values = _listed(column)
    return values if plain is None else [None if v is None else plain(v) for v in values]


def _listed(column: pa.ChunkedArray) -> list[Any]:
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if numeric and not column.null_count:
        return list(column.to_numpy().tolist())
    return list(column.to_pylist())


def _plainer(type_: pa.DataType) -> Plain | None:
    """What makes plain a value as `to_pylist` gives it; None: it is."""
    if pa.types.is_timestamp(type_):
        return micros
    if pa.types.is_date(type_):
        return lambda day: (day - _DAY).days
    if pa.types.is_decimal(type_):
        return str
    return _nested(type_, _plainer)


def restorer(type_: pa.DataType) -> Plain | None:
    """What makes a kept value one as `to_pylist` gives it; None: it is."""
    if pa.types.is_timestamp(type_):
        return lambda us: _EPOCH + timedelta(microseconds=us)
    if pa.types.is_date(type_):
        return lambda days: _DAY + timedelta(days=days)
    if pa.types.is_decimal(type_):
        return Decimal
    return _nested(type_, restorer)


def _nested(type_: pa.DataType, of: Callable[[pa.DataType], Plain | None]) -> Plain | None:
    if pa.types.is_list(type_):
        inner = of(type_.value_type)
        return None if inner is None else lambda values: [None if v is None else inner(v) for v in values]
    if pa.types.is_struct(type_):
        parts = {f.name: of(f.type) for f in type_}
        if not any(parts.values()):
            return None
        return lambda value: {
            name: v if v is None or (part := parts[name]) is None else part(v) for name, v in value.items()
        }
    return None


# --- keys ----------------------------------------------------------------------------------------


def encode_key(values: tuple[Any, ...]) -> bytes:
    """A key of plain values, in the order of `Facts.keys`."""
    return _encode(values)


def key_reader(type_: pa.DataType, name: str, source: str) -> tuple[type, Plain]:
    """What makes a key's part plain: the Python type that is taken as it stands, and what is done with others.

    Raises (from what it gives):
        UsageError: The value is of another kind than the source's column (``bad-key-type``).
    """
    fast = next((kind for test, kind in _AS_IT_STANDS if test(type_)), type(None))
    plain = _plainer(type_)

    def read(value: Any) -> Any:
        for method in ("as_py", "item"):  # Arrow and NumPy scalars
            convert = getattr(value, method, None)
            if callable(convert):
                value = convert()
        if value is None or type(value) is fast:
            return value
        try:
            array = pa.array([value])
            if type(value) in _KINDS and not _KINDS[type(value)](type_):
                raise pa.ArrowTypeError(str(array.type))
            kept = array.cast(type_)[0].as_py()
        except (pa.ArrowException, OverflowError, TypeError) as error:
            raise UsageError(
                f"the key {name!r} is {value!r} ({type(value).__name__}), but table {source!r} has {type_}",
                code="bad-key-type",
                hint="a look-up never casts by itself",
            ) from error
        return kept if kept is None or plain is None else plain(kept)

    return fast, read


_AS_IT_STANDS: Final[tuple[tuple[Callable[[pa.DataType], bool], type], ...]] = (
    (pa.types.is_string, str),
    (pa.types.is_integer, int),
    (pa.types.is_boolean, bool),
    (pa.types.is_binary, bytes),
)

_KINDS: Final[Mapping[type, Callable[[pa.DataType], bool]]] = {
    bool: pa.types.is_boolean,
    int: lambda t: pa.types.is_integer(t) or pa.types.is_decimal(t),
    str: pa.types.is_string,
    bytes: pa.types.is_binary,
    datetime: lambda t: t == TS,
    date: pa.types.is_date,
    Decimal: pa.types.is_decimal,
    float: lambda _: False,
}

__all__ = [
    "Batch",
    "Facts",
    "decode",
    "encode_key",
    "group_name",
    "group_of",
    "key_reader",
    "plain_values",
    "restorer",
]
