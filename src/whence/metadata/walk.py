"""Walks over lineage: what is asked, and how the answer comes, level by level.

A walk begins at some artifacts and executions and follows events, nearest nodes first. Each hop is one
event. What it passes comes as `Level`s, so that a lineage of millions of nodes needs no memory for them;
a level's cursor continues the walk in another call.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar, cast, overload

import msgspec

from whence.errors import UsageError
from whence.metadata.filter import Filter, Scope, bind_filter, format_filter, read_filter
from whence.metadata.found import node_to_dict
from whence.metadata.query import moment_us
from whence.metadata.types import Artifact, Direction, Event, Execution

if TYPE_CHECKING:
    from whence.metadata.base import MetadataStore

PAGE_NODES: Final = 5_000
"""Nodes of one `Level`, and of one page, unless the query says otherwise."""

DIRECTIONS: Final[tuple[Direction, ...]] = ("up", "down", "both")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WalkQuery:
    """Which part of the lineage to walk.

    Attributes:
        starts: Uids of artifacts or executions where to begin.
        direction: ``up`` to what they came from, ``down`` to where they went, ``both``.
        max_hops: At most this many events away; None is no limit, 0 the starts alone.
        internal: Also follow INTERNAL_* events (code, environment).
        stop: A condition in the filter language: the walk does not go on from an artifact or execution
            that fits it, not even when it is a start.
        include_stops: Whether the nodes that fit `stop` are part of the answer.
        only: Names of types: the walk goes through all nodes, the answer has those of these types.
        as_of: The graph as it was known then; None is now.
        page_nodes: At most this many nodes in a level or page; a larger level comes in several pieces.
        cursor: Where to go on: `Level.cursor` of a walk with the same query. What has been written since
            the first page is not in the next ones.
    """

    starts: Sequence[str]
    direction: Direction = "up"
    max_hops: int | None = None
    internal: bool = False
    stop: str | Filter | None = None
    include_stops: bool = True
    only: Collection[str] | None = None
    as_of: datetime | None = None
    page_nodes: int = PAGE_NODES
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """Nodes at one distance from the starts, and the events between them and what came before.

    Attributes:
        hops: The distance in events, over the shortest way that the walk may go.
        nodes: By id; each node of a walk comes once.
        events: Every event, of the kinds that are followed, between a node of this level and one of this or
            an earlier level. So the levels up to any one are a piece of the graph that hangs together.
        cursor: Where the walk goes on behind this level; None when nothing is left.
    """

    hops: int
    nodes: Sequence[Artifact | Execution]
    events: Sequence[Event] = ()
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class WalkPage:
    """Some levels of a walk, at most `WalkQuery.page_nodes` nodes, and the cursor of the next page."""

    levels: Sequence[Level]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Behind which node a walk goes on, in the graph as it was known at a moment."""

    hops: int
    last_id: int
    moment_us: int


@dataclass(frozen=True, slots=True)
class Walk:
    """A `WalkQuery`, checked.

    Attributes:
        stop: The condition, bound to artifacts and executions.
        place: What the cursor says.
    """

    query: WalkQuery
    stop: Scope | None
    only: frozenset[str] | None
    as_of_us: int | None
    place: Place | None

    @property
    def filtered(self) -> bool:
        """Whether some of the nodes that are reached are not part of the answer."""
        return self.only is not None or (self.stop is not None and not self.query.include_stops)

    @property
    def plain(self) -> bool:
        """Whether the walk goes through, and shows, every node it reaches."""
        return self.stop is None and self.only is None

    def cursors(self, moment_us: int) -> Callable[[int, int], str]:
        """What gives the cursor behind a node (hops, id), in the graph as it was known at a moment."""
        mark = _fingerprint(self.query)

        def cursor(hops: int, last_id: int) -> str:
            text = msgspec.json.encode([mark, hops, last_id, moment_us])
            return base64.urlsafe_b64encode(text).decode().rstrip("=")

        return cursor


def check_walk(query: WalkQuery) -> Walk:
    """Check a query.

    Raises:
        UsageError: ``bad-query``, ``bad-cursor``, ``bad-filter`` or ``naive-time``.
    """
    if query.direction not in DIRECTIONS:
        raise UsageError(
            f"direction must be one of {', '.join(DIRECTIONS)}, got {query.direction!r}", code="bad-query"
        )
    for name, number in (("max_hops", query.max_hops), ("page_nodes", query.page_nodes)):
        if number is not None and not isinstance(cast("object", number), int):
            raise UsageError(f"{name} is a whole number, got {number!r}", code="bad-query")
    if query.max_hops is not None and query.max_hops < 0:
        raise UsageError(f"max_hops must be >= 0, got {query.max_hops}", code="bad-query")
    if query.page_nodes < 1:
        raise UsageError(f"page_nodes must be >= 1, got {query.page_nodes}", code="bad-query")
    if isinstance(query.starts, str):
        raise UsageError("starts must be several uids, got one text", code="bad-query", hint="[uid]")
    only = query.only
    if only is not None and not isinstance(cast("object", only), str | Collection):
        raise UsageError(f"only is the names of types, got {only!r:.40}", code="bad-query")
    return Walk(
        query=query,
        stop=None if query.stop is None else bind_filter(query.stop, "lineage"),
        only=None if only is None else frozenset([only] if isinstance(only, str) else only),
        as_of_us=moment_us(query.as_of),
        place=None if query.cursor is None else _read_cursor(query),
    )


def read_page(store: MetadataStore, query: WalkQuery) -> WalkPage:
    """One page of a walk: as many whole levels, or pieces of a level, as fit in `WalkQuery.page_nodes`.

    A page repeats the walk up to its cursor by numbers alone, in the graph as it was known when the first
    page was read: writes in between neither move nor double a node.

    Example:
        >>> from whence.metadata import Artifact, Change, Event, Execution, Put, Type, open_store
        >>> store = open_store("memory://")
        >>> raw, train = Artifact(type="mlmd.Dataset", name="raw"), Execution(type="mlmd.Train", name="train")
        >>> written = store.write(Change([Put(raw), Put(train)], [Event(train.uid, raw.uid, "INPUT")]))
        >>> first = read_page(store, WalkQuery([train.uid], page_nodes=1))
        >>> [node.name for level in first.levels for node in level.nodes]
        ['train']
        >>> second = read_page(store, WalkQuery([train.uid], page_nodes=1, cursor=first.cursor))
        >>> [node.name for level in second.levels for node in level.nodes], second.cursor
        (['raw'], None)
    """
    levels: list[Level] = []
    room = query.page_nodes
    for level in store.walk(query):
        if levels and len(level.nodes) > room:
            return WalkPage(levels, levels[-1].cursor)
        levels.append(level)
        room -= len(level.nodes)
    return WalkPage(levels)


def list_pages(store: MetadataStore, query: WalkQuery) -> Iterator[WalkPage]:
    """All pages of a walk, each read in a call of its own."""
    while True:
        page = read_page(store, query)
        yield page
        if page.cursor is None:
            return
        query = replace(query, cursor=page.cursor)


def event_to_dict(event: Event) -> dict[str, object]:
    """An event as plain values, for ``--json``."""
    return {
        "execution": event.execution,
        "artifact": event.artifact,
        "kind": event.kind,
        "path": list(event.path),
        "at": None if event.at is None else event.at.isoformat(),
    }


def level_to_dict(level: Level) -> dict[str, object]:
    """A level as plain values, for ``--json``."""
    return {
        "hops": level.hops,
        "nodes": [node_to_dict(node) for node in level.nodes],
        "events": [event_to_dict(event) for event in level.events],
    }


def _fingerprint(query: WalkQuery) -> str:
    """What a cursor belongs to: everything a query says but the size of its pages."""
    stop = query.stop
    said = (
        list(query.starts),
        query.direction,
        query.max_hops,
        query.internal,
        None if stop is None else format_filter(read_filter(stop)),
        query.include_stops,
        None if query.only is None else sorted(query.only),
        None if query.as_of is None else query.as_of.timestamp(),
    )
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:16]


def _read_cursor(query: WalkQuery) -> Place:
    cursor = query.cursor or ""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.urlsafe_b64decode(padded)
        mark, hops, last_id, moment_us = msgspec.json.decode(text, type=tuple[str, int, int, int])
    except (ValueError, msgspec.MsgspecError) as error:
        raise UsageError(f"{cursor!r:.80} is not a cursor of a walk", code="bad-cursor") from error
    if mark != _fingerprint(query):
        raise UsageError("the cursor belongs to another walk", code="bad-cursor")
    return Place(hops, last_id, moment_us)


class Later(Sequence[T]):
    """Things read all at once when somebody looks at one of them.

    Args:
        read: Reads them.
        n: How many there are, when that is known before.
    """

    __slots__ = ("_n", "_read", "_there")

    def __init__(self, read: Callable[[], Sequence[T]], n: int | None = None) -> None:
        self._n = n
        self._read: Callable[[], Sequence[T]] | None = read
        self._there: Sequence[T] = ()

    def _all(self) -> Sequence[T]:
        if self._read is not None:
            self._there, self._read = self._read(), None
        return self._there

    def __len__(self) -> int:
        return len(self._all()) if self._n is None or self._read is None else self._n

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self._all()[index]

    def __iter__(self) -> Iterator[T]:
        return iter(self._all())

    def __reduce__(self) -> tuple[type[list[T]], tuple[list[T]]]:
        return list, (list(self),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        raise TypeError("a sequence that may be compared with a list has no hash")

    def __repr__(self) -> str:
        return repr(list(self))
