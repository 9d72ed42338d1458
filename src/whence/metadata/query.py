"""What both backends must understand alike of `find_nodes`: its conditions and its cursors."""

from __future__ import annotations

import base64
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias, cast, get_args

import msgspec

from whence.errors import UsageError, near_names
from whence.metadata.codes import STATE_CODES
from whence.metadata.encode import INT64_MAX, INT64_MIN
from whence.metadata.filter import Filter, Scope, bind_filter, format_filter, read_filter
from whence.metadata.ids import CODES, MAX_N
from whence.metadata.rows import NodeRow, read_tombstone, to_us
from whence.metadata.types import NodeKind, Value

OrderBy: TypeAlias = Literal["id", "created_at", "updated_at"]
By: TypeAlias = Literal["type", "state"]
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
    pinned_us: int | None = None
    """the moment of the first page, for an order that updates change"""
    pinned_n: int = 0
    """the n of the newest node at that moment: no other node was there, whatever times they claim"""


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
        UsageError: ``bad-query``, ``bad-cursor``, ``bad-filter``, ``bad-state`` or ``naive-time``.
    """
    check_kind(kind)
    if order_by not in COLUMNS:
        raise UsageError(f"order_by must be one of {', '.join(COLUMNS)}, got {order_by!r}", code="bad-query")
    limit = checked_limit(limit)
    filter_ = None if matching is None else read_filter(matching)
    names, states = _several(name), _several(state)
    _check_states(kind, states or ())
    after, pinned_us, pinned_n = (
        (None, None, 0) if cursor is None else _read_cursor(cursor, order_by, descending=descending)
    )
    if not all(text is None or is_storable(text) for text in (name_prefix, external_id, uri, context)):
        names = frozenset()  # no node has what no store keeps
    return Query(
        kind=kind,
        types=_several(type_),
        names=names,
        name_prefix=_storable(name_prefix),
        external_id=_storable(external_id),
        uri=_storable(uri),
        states=states,
        context=_storable(context),
        where={key: _scalar(key, value) for key, value in (where or {}).items()},
        matching=None if filter_ is None else bind_filter(filter_, kind),
        matching_text=None if filter_ is None else format_filter(filter_),
        order_by=order_by,
        descending=descending,
        limit=limit,
        after=after,
        contexts=_several(contexts),
        as_of_us=moment_us(as_of),
        removed=removed,
        everywhere=everywhere,
        pinned_us=pinned_us,
        pinned_n=pinned_n,
    )


def check_kind(kind: NodeKind) -> None:
    """Refuse what is no kind of node.

    Raises:
        UsageError: ``bad-query``.
    """
    if kind not in CODES:
        raise UsageError(f"{kind!r} is not a kind of node", code="bad-query", near=list(CODES))


def check_by(by: By | None) -> None:
    """Refuse to count by what nodes are not counted by.

    Raises:
        UsageError: ``bad-query``.
    """
    if by is not None and by not in get_args(By):
        raise UsageError(f"nodes are not counted by {by!r}", code="bad-query", near=list(get_args(By)))


def checked_limit(limit: int | None) -> int | None:
    """At most so many; None where there are fewer anyway.

    Raises:
        UsageError: It is no whole number, or less than 1 (``bad-query``).
    """
    if limit is None:
        return None
    if not isinstance(cast("object", limit), int):
        raise UsageError(f"limit is a whole number, got {limit!r:.40}", code="bad-query")
    if limit < 1:
        raise UsageError(f"limit must be >= 1, got {limit}", code="bad-query")
    return None if limit > MAX_N else limit


def checked_after(after: int) -> int:
    """The id behind which a list begins, no farther than ids go.

    Raises:
        UsageError: It is no whole number (``bad-query``).
    """
    if not isinstance(cast("object", after), int):
        raise UsageError(f"after is a whole number, got {after!r:.40}", code="bad-query")
    return min(max(after, INT64_MIN), INT64_MAX)


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


def next_cursor(query: Query, last: NodeRow, now_us: int, last_n: int) -> str:
    """The cursor behind `last`: it stays right whatever is written meanwhile.

    It holds a place in the order, not a count, so nodes put in front of it shift nothing. In an order that an
    update changes, it also holds the moment of the first page and the number of the newest node: the pages behind
    it show the nodes as they were then, each once, but for those that were removed since.

    Args:
        query: What was asked.
        last: The last node of the page.
        now_us: The moment of the last write that the page saw.
        last_n: The n of the newest node that the page saw.
    """
    place: list[object] = [query.order_by, query.descending, order_value(query, last), last.id]
    if moves(query):
        first = query.pinned_us is None
        place += [now_us, last_n] if first else [query.pinned_us, query.pinned_n]
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def moves(query: Query) -> bool:
    """Whether an update gives a node another place in the order."""
    return query.order_by == "updated_at"


def is_gone(row: NodeRow, query: Query) -> bool:
    """Whether a node was removed since the first page: then its place of that time is not known."""
    return query.pinned_us is not None and row.removed_us is not None and row.removed_us > query.pinned_us


def order_value(query: Query, row: NodeRow) -> int:
    """The number by which a node is ordered."""
    value = getattr(row, COLUMNS[query.order_by])
    assert isinstance(value, int)
    return value


class _Cursor(msgspec.Struct, array_like=True):
    order: str
    down: bool
    value: int
    id: int
    pinned_us: int | None = None
    pinned_n: int = MAX_N


def _read_cursor(
    cursor: str, order_by: OrderBy, *, descending: bool
) -> tuple[tuple[int, int], int | None, int]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Cursor)
    except (ValueError, msgspec.MsgspecError) as error:
        raise UsageError(f"{cursor!r:.80} is not a cursor of this store", code="bad-cursor") from error
    if (found.order, found.down) != (order_by, descending):
        raise UsageError("the cursor belongs to a query with another order", code="bad-cursor")
    return (found.value, found.id), found.pinned_us, min(found.pinned_n, MAX_N)


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


def _check_states(kind: NodeKind, states: Collection[str]) -> None:
    known = STATE_CODES[kind]
    for state in states:
        if state not in known:
            raise UsageError(
                f"{state!r} is no state of {kind}s" + ("" if known else ", which have none"),
                code="bad-state",
                near=near_names(state.upper(), known) or sorted(known),
            )


def _several(given: str | Collection[str] | None) -> frozenset[str] | None:
    """The texts of which one is wanted; what no store keeps is no node's."""
    if given is None:
        return None
    if not isinstance(cast("object", given), str | Collection):
        raise UsageError(f"text is wanted, or several texts, got {given!r:.40}", code="bad-query")
    return frozenset(filter(is_storable, [given] if isinstance(given, str) else given))


def _scalar(name: str, value: Value) -> Scalar:
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"where {name!r}: {value} compares with nothing", code="bad-query")
    if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        raise UsageError(f"where {name!r}: {value} does not fit 64 bits", code="bad-query")
    if isinstance(value, str) and not is_storable(value):
        raise UsageError(f"where {name!r}: {value[:40]!r} compares with nothing", code="bad-query")
    if value is None or isinstance(value, str | int | float):
        return value
    raise UsageError(f"where {name!r}: only numbers, text, booleans and None compare", code="bad-query")


def matches(row: NodeRow, query: Query, get: Mapping[str, Value] | None) -> bool:
    """Whether a row fulfils the conditions on its own columns, and on its properties as `get` shows them.

    A tombstone is found by the names it had.
    """
    name, external_id = row.name, row.external_id
    if row.removed_us is not None:
        was = read_tombstone(row.properties)
        name, external_id = was.n, was.x
    if query.names is not None and name not in query.names:
        return False
    if query.name_prefix is not None and not (name is not None and name.startswith(query.name_prefix)):
        return False
    if query.external_id is not None and external_id != query.external_id:
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
