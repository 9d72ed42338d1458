"""Questions to the graph as it was known at a moment: node by node, by the meaning of the filter language itself.

An earlier revision is a difference to a later one, which no index knows: what is asked of the past reads every
node of its kind.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Final

from whence.database import Session
from whence.metadata.backends.find import Finder
from whence.metadata.backends.lists import Tuple
from whence.metadata.backends.reading import (
    CREATED,
    ID,
    NAMESPACE_ID,
    REMOVED,
    TYPE_ID,
    UPDATED,
    Reader,
    to_events,
)
from whence.metadata.filter import Evaluator
from whence.metadata.filter.bound import asks_around
from whence.metadata.query import Query, is_gone, matches, order_value
from whence.metadata.rows import kind_of
from whence.metadata.types import AnyNode, Artifact, Context, Event, Type

# Nodes that are rolled back at a time.
READ: Final = 1_000


class GraphThen:
    """What a filter asks, see `whence.metadata.filter.Graph`, as it was known at a moment; None is now."""

    def __init__(self, reader: Reader, session: Session, us: int | None, last_n: int | None = None) -> None:
        self._reader = reader
        self._session = session
        self._us = us
        self._last_n = last_n
        self._nodes: dict[str, AnyNode] = {}

    def node(self, uid: str) -> AnyNode:
        """The node of a uid."""
        if uid not in self._nodes:
            (found,) = self._made(self._reader.raw_by_uids(self._session, [uid]))
            self._nodes[uid] = found
        return self._nodes[uid]

    def type(self, node: AnyNode) -> Type:
        """The type of a node."""
        return self._reader.types.get(kind_of(node), node.type, node.type_version)

    def events(self, node: AnyNode) -> Iterable[Event]:
        """The events that were known of an artifact or execution."""
        if isinstance(node, Context):
            return []
        artifacts, executions = ([node.uid], None) if isinstance(node, Artifact) else (None, [node.uid])
        rows = self._reader.events(
            self._session, artifacts=artifacts, executions=executions, as_of_us=self._us
        )
        return to_events(rows)

    def contexts(self, node: AnyNode) -> Iterable[AnyNode]:
        """The contexts an artifact or execution was in."""
        return [] if isinstance(node, Context) else self._around(node, kind_of(node))

    def members(self, context: AnyNode) -> Iterable[AnyNode]:
        """The artifacts and executions in a context."""
        return self._around(context, "members")

    def parents(self, context: AnyNode) -> Iterable[AnyNode]:
        """The parents of a context."""
        return self._around(context, "child")

    def children(self, context: AnyNode) -> Iterable[AnyNode]:
        """The children of a context."""
        return self._around(context, "parent")

    def _around(self, node: AnyNode, role: str) -> list[AnyNode]:
        raws = self._reader.contexts(self._session, node.uid, role, self._us, self._last_n)
        return self._made(sorted(raws, key=itemgetter(ID)))

    def _made(self, raws: Sequence[Tuple]) -> list[AnyNode]:
        if self._us is not None:
            raws = self._reader.as_of(self._session, raws, self._us, self._last_n)
        self._reader.know(self._session, raws)
        return [self._reader.node(raw) for raw in raws]


def find_then(
    reader: Reader,
    session: Session,
    query: Query,
    types: Sequence[int] | None,
    namespace: int | None,
    last_n: int | None = None,
) -> list[Tuple]:
    """The raw rows of a query as of its moment, one more than its limit when there are more.

    With `last_n`, the n of the newest node at the moment, that tells which nodes were there, and not their times.
    """
    chunks = reader.raw_of_kind(session, query.kind, READ)
    return _first(reader, query, _fitting(reader, session, query, types, namespace, chunks, last_n))


def find_pinned(
    reader: Reader,
    finder: Finder,
    session: Session,
    query: Query,
    types: Sequence[int] | None,
    namespace: int | None,
) -> list[Tuple]:
    """The raw rows of a page as of the moment of the first one, one more than its limit when there are more.

    What was not written since is as it was then, so that the database finds it; where a question asks for what
    is around the nodes, all of them are looked at.
    """
    assert query.pinned_us is not None
    if reader.last_us(session) <= query.pinned_us:
        return finder.find(session, replace(query, pinned_us=None), types, namespace)
    then = replace(query, as_of_us=query.pinned_us)
    around = query.matching is not None and asks_around(query.matching)
    if around or query.context is not None or query.contexts is not None:
        return find_then(reader, session, then, types, namespace, query.pinned_n)
    changed = reader.raw_by_ids(session, reader.changed_since(session, query.kind, query.pinned_us))
    ids = {raw[ID] for raw in changed}
    # Most of them have a later time now. What was brought in has times of its own: so many more are asked for.
    hidden = sum(
        (raw[CREATED] if raw[UPDATED] is None else raw[UPDATED]) <= query.pinned_us for raw in changed
    )
    wider = query if query.limit is None else replace(query, limit=query.limit + hidden)
    same = [raw for raw in finder.find(session, wider, types, namespace) if raw[ID] not in ids]
    changed_ones = _fitting(reader, session, then, types, namespace, [changed], query.pinned_n)
    return _first(reader, query, [*same, *changed_ones])


def _first(reader: Reader, query: Query, found: Iterable[Tuple]) -> list[Tuple]:
    def place(raw: Tuple) -> tuple[int, int]:
        return order_value(query, reader.row(raw)), raw[ID]

    if query.limit is None:
        return sorted(found, key=place, reverse=query.descending)
    pick = heapq.nlargest if query.descending else heapq.nsmallest
    return pick(query.limit + 1, found, key=place)


def _fitting(
    reader: Reader,
    session: Session,
    query: Query,
    types: Sequence[int] | None,
    namespace: int | None,
    chunks: Iterable[Sequence[Tuple]],
    last_n: int | None,
) -> Iterator[Tuple]:
    assert query.as_of_us is not None
    asked = Evaluator(GraphThen(reader, session, query.as_of_us, last_n))
    inside = _inside(reader, session, query, last_n)
    wanted = None if types is None else set(types)
    for chunk in chunks:
        raws = [
            raw
            for raw in chunk
            if (wanted is None or raw[TYPE_ID] in wanted)
            and (namespace is None or raw[NAMESPACE_ID] == namespace)
            and (inside is None or raw[ID] in inside)
            and (query.removed or raw[REMOVED] is None or raw[REMOVED] > query.as_of_us)
        ]
        raws = reader.as_of(session, raws, query.as_of_us, last_n)
        reader.know(session, raws)
        for raw in raws:
            row = reader.row(raw)
            if is_gone(row, query):
                continue
            if query.after is not None:
                here = order_value(query, row), row.id
                if not (here < query.after if query.descending else here > query.after):
                    continue
            node = reader.node(raw)
            if matches(row, query, {**node.custom, **node.properties} if query.where else None) and (
                query.matching is None or asked.fits(query.matching, node)
            ):
                yield raw


def _inside(reader: Reader, session: Session, query: Query, last_n: int | None) -> set[int] | None:
    """The ids of the nodes that were in the contexts of a query; None when it names none."""
    inside: set[int] | None = None
    for contexts in (None if query.context is None else [query.context], query.contexts):
        if contexts is not None:
            found = {
                raw[ID]
                for uid in contexts
                for raw in reader.contexts(session, uid, "members", query.as_of_us, last_n)
            }
            inside = found if inside is None else inside & found
    return inside
