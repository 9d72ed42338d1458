"""What both backends must understand alike of `find_nodes`: its conditions and its cursors."""

from __future__ import annotations

import base64
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from whence.errors import UsageError
from whence.metadata.filter import Filter, Scope, bind_filter, format_filter, parse_filter
from whence.metadata.rows import NodeRow, to_us
from whence.metadata.types import NodeKind, Value

OrderBy: TypeAlias = Literal["id", "created_at", "updated_at"]
Scalar: TypeAlias = int | float | str | bool | None
COLUMNS: dict[str, str] = {"id": "id", "created_at": "created_us", "updated_at": "updated_us"}


@dataclass(frozen=True, slots=True)
class Query:
    """One call of `find_nodes`, checked."""

    kind: NodeKind
    types: frozenset[str] | None
    names: frozenset[str] | None
    name_prefix: str | None
    external_id: str | None
    uri: str | None
    states: frozenset[str] | None
    context: str | None
    where: Mapping[str, Scalar]
    matching: Scope | None
    matching_text: str | None
    """the filter as it is printed, by which its statement is known again"""
    order_by: OrderBy
    descending: bool
    limit: int | None
    after: tuple[int, int] | None
    """(value of the order column, id) of the last node of the page before"""
    contexts: frozenset[str] | None = None
    """uids of contexts, in at least one of which the node is"""
    as_of_us: int | None = None
    removed: bool = False
    everywhere: bool = False


def make_query(
    kind: NodeKind,
    *,
    type_: str | Collection[str] | None = None,
    name: str | Collection[str] | None = None,
    name_prefix: str | None = None,
    external_id: str | None = None,
    uri: str | None = None,
    state: str | Collection[str] | None = None,
    context: str | None = None,
    contexts: Collection[str] | None = None,
    where: Mapping[str, Value] | None = None,
    matching: str | Filter | None = None,
    order_by: OrderBy = "id",
    descending: bool = False,
    limit: int | None = None,
    cursor: str | None = None,
    as_of: datetime | None = None,
    removed: bool = False,
    everywhere: bool = False,
) -> Query:
    """Check the arguments of `find_nodes`.

    Raises:
        UsageError: ``bad-query``, ``bad-cursor``, ``bad-filter`` or ``naive-time``.
    """
    if order_by not in COLUMNS:
        raise UsageError(f"order_by must be one of {', '.join(COLUMNS)}, got {order_by!r}", code="bad-query")
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be >= 1, got {limit}", code="bad-query")
    filter_ = parse_filter(matching) if isinstance(matching, str) else matching
    names = _several(name)
    if not all(text is None or is_storable(text) for text in (name_prefix, external_id, uri, context)):
        names = frozenset()  # no node has what no store keeps
    return Query(
        kind=kind,
        types=_several(type_),
        names=names,
        name_prefix=_storable(name_prefix),
        external_id=_storable(external_id),
        uri=_storable(uri),
        states=_several(state),
        context=_storable(context),
        where={key: _scalar(key, value) for key, value in (where or {}).items()},
        matching=None if filter_ is None else bind_filter(filter_, kind),
        matching_text=None if filter_ is None else format_filter(filter_),
        order_by=order_by,
        descending=descending,
        limit=limit,
        after=None if cursor is None else _read_cursor(cursor, order_by, descending=descending),
        contexts=_several(contexts),
        as_of_us=moment_us(as_of),
        removed=removed,
        everywhere=everywhere,
    )


def moment_us(as_of: datetime | None) -> int | None:
    """A moment that was asked for, in microseconds since 1970.

    Raises:
        UsageError: It has no time zone (``naive-time``).
    """
    if as_of is None:
        return None
    if as_of.tzinfo is None:
        raise UsageError(
            f"as_of={as_of.isoformat()} has no time zone", code="naive-time", hint="give it one: UTC"
        )
    return to_us(as_of)


def next_cursor(query: Query, last: NodeRow) -> str:
    """The cursor behind `last`: it stays right whatever is written meanwhile.

    It holds a place in the order, not a count, so nodes put in front of it shift nothing.
    """
    place = [query.order_by, query.descending, order_value(query, last), last.id]
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def order_value(query: Query, row: NodeRow) -> int:
    """The number by which a node is ordered."""
    value = getattr(row, COLUMNS[query.order_by])
    assert isinstance(value, int)
    return value


def _read_cursor(cursor: str, order_by: OrderBy, *, descending: bool) -> tuple[int, int]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        order, down, value, id_ = msgspec.json.decode(
            base64.urlsafe_b64decode(padded), type=tuple[str, bool, int, int]
        )
    except (ValueError, msgspec.MsgspecError) as error:
        raise UsageError(f"{cursor!r:.80} is not a cursor of this store", code="bad-cursor") from error
    if (order, down) != (order_by, descending):
        raise UsageError("the cursor belongs to a query with another order", code="bad-cursor")
    return value, id_


def is_storable(text: str) -> bool:
    """Whether a name, uri or uid can be kept by every store: it is Unicode, and has no NUL."""
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _storable(text: str | None) -> str | None:
    return text if text is not None and is_storable(text) else None


def _several(given: str | Collection[str] | None) -> frozenset[str] | None:
    """The texts of which one is wanted; what no store keeps is no node's."""
    if given is None:
        return None
    return frozenset(filter(is_storable, [given] if isinstance(given, str) else given))


def _scalar(name: str, value: Value) -> Scalar:
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"where {name!r}: {value} compares with nothing", code="bad-query")
    if isinstance(value, str) and not is_storable(value):
        raise UsageError(f"where {name!r}: {value[:40]!r} compares with nothing", code="bad-query")
    if value is None or isinstance(value, str | int | float):
        return value
    raise UsageError(f"where {name!r}: only numbers, text, booleans and None compare", code="bad-query")


def matches(row: NodeRow, query: Query, get: Mapping[str, Value] | None) -> bool:
    """Whether a row fulfils the conditions on its own columns, and on its properties as `get` shows them."""
    if query.names is not None and row.name not in query.names:
        return False
    if query.name_prefix is not None and not (
        row.name is not None and row.name.startswith(query.name_prefix)
    ):
        return False
    if query.external_id is not None and row.external_id != query.external_id:
        return False
    if query.uri is not None and row.uri != query.uri:
        return False
    if query.states is not None and row.state not in query.states:
        return False
    return all(_equal((get or {}).get(name), value) for name, value in query.where.items())


def _equal(stored: Value, asked: Scalar) -> bool:
    if asked is None or stored is None:
        return stored is None and asked is None
    if isinstance(stored, str) or isinstance(asked, str):
        return stored == asked
    return isinstance(stored, int | float) and stored == asked
