"""What a feature view reads: rows of one table version and what the table says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from whence.compute import Relation
from whence.errors import NotFoundError, UsageError
from whence.features.types import FeatureView, Known
from whence.features.where import where_columns
from whence.lake import TableVersion


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of a source, and its declaration.

    Attributes:
        name: The table's name.
        relation: The rows, as an engine reads them.
        schema: Their columns.
        key: The declared key: a later known row of the same key is a correction. Empty: none are.
        known_at: The column of the knowledge time; None: a row is known when its event happens.
        version: The table's version.
        watermark: Up to when the feed is complete.
    """

    name: str
    relation: Relation
    schema: pa.Schema
    key: tuple[str, ...] = ()
    known_at: str | None = None
    version: int | None = None
    watermark: datetime | None = None

    @classmethod
    def of(cls, name: str, rows: pa.Table, *, key: Sequence[str] = (), known_at: str | None = None) -> Source:
        """A source of rows at hand."""
        return cls(name, rows, rows.schema, tuple(key), known_at)

    @classmethod
    def of_version(cls, version: TableVersion) -> Source:
        """A version as a source, without its rows: reading those is recorded."""
        declared = version.declaration
        return cls(
            version.table, version.schema.empty_table(), version.schema, declared.key, declared.known_at,
            version.version, version.watermark,
        )  # fmt: skip

    @property
    def ref(self) -> str:
        """Its reference."""
        return f"table:{self.name}" + ("" if self.version is None else f"@{self.version}")

    def type_of(self, column: str, view: str) -> pa.DataType:
        """The type of a column that `view` names.

        Raises:
            NotFoundError: The source has no such column.
        """
        if column not in self.schema.names:
            raise NotFoundError(
                "column",
                column,
                near=self.schema.names,
                hint=f"feature view {view!r} reads it from {self.ref}",
            )
        return self.schema.field(column).type


@dataclass(frozen=True, slots=True)
class Group:
    """Views that read the same rows in the same way, and so share one statement.

    Attributes:
        source: What they read.
        timestamp: The column of the event time; None for timeless lookups.
        keys: Pairs of source column and spine column.
        known: Whether corrections and late rows count as known then or now.
        views: The views, in the order they were asked for.
    """

    source: Source
    timestamp: str | None
    keys: tuple[tuple[str, str], ...]
    known: Known
    views: tuple[FeatureView, ...]


def columns_of(view: FeatureView, source: Source) -> set[str]:
    """The source's columns that a view reads, its declared key and times among them."""
    found = {key for key, _ in view.keys} | set(source.key)
    found |= {column for column in (view.timestamp, source.known_at) if column is not None}
    for feature in view.features:
        found |= {feature.column} if feature.column is not None else set()
        found |= set(where_columns(feature.where)) if feature.where is not None else set()
    # rows are counted even if no column is read
    return found or {source.schema.names[0]}


def check_view(view: FeatureView, source: Source) -> None:
    """Refuse a view that its source cannot serve, before anything is computed.

    Raises:
        NotFoundError: A column is absent from the source.
        UsageError: A column's type does not fit its use (``bad-feature-type``, ``bad-key-type``,
            ``bad-timestamp``).
    """
    for key, _ in view.keys:
        _check_key(source.type_of(key, view.name), key, view)
    if view.timestamp is not None:
        _check_time(source.type_of(view.timestamp, view.name), view.timestamp, view.name)
    if source.known_at is not None:
        _check_time(source.type_of(source.known_at, view.name), source.known_at, view.name)
    for feature in view.features:
        _check_feature(view, feature.name, source)


def _check_key(type_: pa.DataType, key: str, view: FeatureView) -> None:
    if pa.types.is_floating(type_) or pa.types.is_nested(type_):
        raise UsageError(
            f"feature view {view.name!r}: join key {key!r} is {type_}, which does not name anything",
            code="bad-key-type",
        )


def _check_time(type_: pa.DataType, column: str, view: str) -> None:
    if pa.types.is_date(type_) or (pa.types.is_timestamp(type_) and type_.tz is not None):
        return
    raise UsageError(
        f"feature view {view!r}: {column!r} is {type_}, not an instant",
        code="bad-timestamp",
        hint="timestamp[us, UTC], or a date, which stands for its first instant in UTC",
    )


def _check_feature(view: FeatureView, name: str, source: Source) -> None:
    feature = view.feature(name)
    if feature.column is not None:
        type_ = source.type_of(feature.column, view.name)
        wants_number = feature.op in ("sum", "mean", "std")
        if (wants_number and not is_number(type_)) or (
            feature.op in ("min", "max") and pa.types.is_nested(type_)
        ):
            raise UsageError(
                f"feature {view.name}__{name}: {feature.op} of {feature.column!r}, which is {type_}",
                code="bad-feature-type",
            )
    for column in where_columns(feature.where) if feature.where else ():
        type_ = source.type_of(column, view.name)
        if not (is_number(type_) or pa.types.is_string(type_)):
            raise UsageError(
                f"feature {view.name}__{name}: its condition reads {column!r}, which is {type_}",
                code="bad-feature-type",
                hint="conditions read numbers, texts and booleans",
            )


def is_number(type_: pa.DataType) -> bool:
    """Whether values of the type can be added: integers, booleans (0 and 1), floats, decimals."""
    kinds = pa.types
    return bool(
        kinds.is_integer(type_)
        or kinds.is_boolean(type_)
        or kinds.is_floating(type_)
        or kinds.is_decimal(type_)
    )
