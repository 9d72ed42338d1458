"""Lineage of a graph in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from whence.errors import NotFoundError
from whence.metadata.codes import EVENT_CODES
from whence.metadata.filter import Scope
from whence.metadata.lazy import LazySequence
from whence.metadata.levels import Edge, Piece, walk_pieces
from whence.metadata.rows import EventRow, NodeRow, to_moment
from whence.metadata.types import AnyNode, Artifact, Context, Direction, Event, Execution, Subgraph
from whence.metadata.typetable import followed
from whence.metadata.walk import Level, Walk, WalkQuery, check_walk


class View(Protocol):
    """A graph in memory as it was known at one moment; nobody writes to it meanwhile."""

    @property
    def moment_us(self) -> int:
        """When; if no moment was asked for, that of the last write."""

    def id_of(self, uid: str) -> int | None:
        """The id of a node; None when there was none."""

    def row(self, id_: int) -> NodeRow:
        """A node; tombstones are nodes."""

    def events_of(self, id_: int) -> Iterable[EventRow]:
        """The events of an artifact or an execution."""

    def contexts_of(self, id_: int) -> Iterable[int]:
        """The contexts of an artifact or an execution."""

    def node(self, row: NodeRow) -> AnyNode:
        """A node to give away."""

    def event(self, row: EventRow) -> Event:
        """An event to give away."""

    def type_name(self, row: NodeRow) -> str:
        """The name of a node's type."""

    def fits(self, scope: Scope, row: NodeRow) -> bool:
        """Whether a node fits a filter."""


class OpenView(Protocol):
    """Opens a graph as it was known at a moment, or, `again`, as it was when it was read then."""

    def __call__(
        self, as_of: datetime | None = None, *, again: bool = False
    ) -> AbstractContextManager[View]: ...


def walk(open_view: OpenView, query: WalkQuery) -> Iterator[Level]:
    """`MetadataStore.walk`. Everything is looked up at the first step: memory is what this store is."""
    checked = check_walk(query)

    def levels() -> Iterator[Level]:
        with open_view(_moment(checked), again=_is_again(checked)) as view:
            found = list(_levels(view, checked))
        yield from found

    return levels()


def subgraph(open_view: OpenView, query: WalkQuery) -> Subgraph:
    """`MetadataStore.lineage`."""
    checked = check_walk(query)
    with open_view(_moment(checked), again=_is_again(checked)) as view:
        ids: list[int] = []
        edges: list[Edge] = []
        for piece in _pieces(view, checked):
            ids += piece.ids
            edges += piece.edges
        rows = [view.row(id_) for id_ in sorted(ids)]
        artifacts = [view.node(row) for row in rows if row.kind == "artifact"]
        executions = [view.node(row) for row in rows if row.kind == "execution"]
        kinds = {row.id: row.kind for row in rows}
        pairs = sorted((c, id_) for id_ in ids for c in view.contexts_of(id_))
        around = {c: view.node(view.row(c)) for c in sorted({c for c, _ in pairs})}
        uids = {row.id: row.uid for row in rows}
        return Subgraph(
            artifacts=[n for n in artifacts if isinstance(n, Artifact)],
            executions=[n for n in executions if isinstance(n, Execution)],
            events=_events(view, edges),
            contexts=[n for n in around.values() if isinstance(n, Context)],
            attributions=[(around[c].uid, uids[n]) for c, n in pairs if kinds[n] == "artifact"],
            associations=[(around[c].uid, uids[n]) for c, n in pairs if kinds[n] == "execution"],
        )


def _moment(walk: Walk) -> datetime | None:
    return walk.query.as_of if walk.place is None else to_moment(walk.place.moment_us)


def _is_again(walk: Walk) -> bool:
    return walk.query.as_of is None and walk.place is not None


def _levels(view: View, walk: Walk) -> Iterator[Level]:
    cursor = walk.cursors(view.moment_us)
    for piece in _pieces(view, walk):
        # Rows never change, a write makes new ones: nodes can be made of them later.
        rows = [view.row(id_) for id_ in piece.ids]
        nodes = LazySequence(rows, view.node)
        behind = None if piece.last else cursor(piece.hops, piece.ids[-1])
        yield Level(piece.hops, nodes, _events(view, piece.edges), behind)  # type: ignore[arg-type]  # no contexts


def _pieces(view: View, walk: Walk) -> Iterator[Piece]:
    artifacts: list[int] = []
    executions: list[int] = []
    for uid in dict.fromkeys(walk.query.starts):
        id_ = view.id_of(uid)
        kind = None if id_ is None else view.row(id_).kind
        if id_ is None or kind == "context":
            raise NotFoundError("node", uid)
        (artifacts if kind == "artifact" else executions).append(id_)
    return walk_pieces(_Source(view, walk), walk, artifacts, executions)


def _events(view: View, edges: Collection[Edge]) -> list[Event]:
    wanted = set(edges)
    rows = [
        event
        for execution in {edge[0] for edge in wanted}
        for event in view.events_of(execution)
        if (event.execution_id, EVENT_CODES[event.kind], event.artifact_id) in wanted
    ]
    rows.sort(key=lambda row: (row.at_us, row.execution_id, row.position))
    return [view.event(row) for row in rows]


class _Source:
    """What a walk asks; see `whence.metadata.levels.Source`."""

    def __init__(self, view: View, walk: Walk) -> None:
        self._view = view
        self._walk = walk
        self._kinds = ways(walk.query.direction, internal=walk.query.internal)

    def follow(self, ids: Sequence[int], *, of_artifacts: bool) -> Iterable[list[Edge]]:
        kinds = self._kinds[of_artifacts]
        yield [
            (event.execution_id, EVENT_CODES[event.kind], event.artifact_id)
            for id_ in ids
            for event in self._view.events_of(id_)
            if event.kind in kinds
        ]

    def stops(self, ids: Sequence[int]) -> Collection[int]:
        stop, view = self._walk.stop, self._view
        assert stop is not None
        return {id_ for id_ in ids if view.fits(stop, view.row(id_))}

    def of_types(self, ids: Sequence[int]) -> Collection[int]:
        only, view = self._walk.only, self._view
        assert only is not None
        return [id_ for id_ in ids if view.type_name(view.row(id_)) in only]


def ways(direction: Direction, *, internal: bool) -> tuple[frozenset[str], frozenset[str]]:
    """The kinds of events over which a walk leaves executions, and artifacts."""
    reads, writes = followed(internal=internal)
    if direction == "both":
        return reads | writes, reads | writes
    return (reads, writes) if direction == "up" else (writes, reads)
