"""What a graph in memory holds, and how it reads as of a moment."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Final, TypeAlias

from whence.database.base import closed
from whence.metadata import past
from whence.metadata.codes import EVENT_CODES
from whence.metadata.filter import Evaluator, Scope
from whence.metadata.ids import wire_id
from whence.metadata.moments import Then, next_moment
from whence.metadata.plan import Plan
from whence.metadata.rows import (
    EventRow,
    MarkRow,
    NodeRow,
    PastRow,
    to_event,
    to_moment,
    to_node,
)
from whence.metadata.simple import SIMPLE_TYPES
from whence.metadata.types import (
    DEFAULT_NAMESPACE,
    AnyNode,
    Artifact,
    Beat,
    Context,
    Event,
    Loaded,
    Namespace,
    NodeKind,
    Type,
)
from whence.metadata.typetable import TypeTable

EventKey: TypeAlias = tuple[int, int, str, str]
"""(execution id, artifact id, kind, path)"""


def clock_us() -> int:
    """The store's clock, in microseconds since 1970."""
    return time.time_ns() // 1_000


class World:
    """Everything that the handles on one graph share; `lock` is held by whoever looks or writes."""

    def __init__(self) -> None:
        self.lock: Final = threading.RLock()
        self.ended = False
        self.types = TypeTable([dataclasses.replace(t, id=i) for i, t in enumerate(SIMPLE_TYPES, 1)])
        self.last_n = 0
        self.last_us = 0
        self.last_mark = 0
        self.rows: dict[int, NodeRow] = {}
        self.pasts: dict[int, list[PastRow]] = defaultdict(list)
        self.by_uid: dict[str, int] = {}
        self.by_name: dict[tuple[int, int, str], int] = {}
        self.by_external: dict[tuple[NodeKind, int, str], int] = {}
        self.events: dict[EventKey, EventRow] = {}
        self.events_of: dict[int, dict[EventKey, None]] = defaultdict(dict)
        self.contexts_of: dict[int, dict[int, int | None]] = defaultdict(dict)
        """node id: context id: since when it is known"""
        self.members_of: dict[int, dict[int, int | None]] = defaultdict(dict)
        self.parents_of: dict[int, dict[int, int | None]] = defaultdict(dict)
        self.children_of: dict[int, dict[int, int | None]] = defaultdict(dict)
        self.marks: dict[int, MarkRow] = {}
        self.beats: dict[str, Beat] = {}
        self.imported: dict[tuple[str, NodeKind, int], int] = {}
        self.namespaces: dict[int, Namespace] = {
            0: Namespace(DEFAULT_NAMESPACE, id=0, created_at=to_moment(clock_us()))
        }

    def copy(self) -> World:
        """The same graph, apart: what is written into one does not show in the other."""
        made = World()
        made.types = TypeTable(self.types.all())
        made.last_n, made.last_us, made.last_mark = self.last_n, self.last_us, self.last_mark
        for name in (
            "rows",
            "by_uid",
            "by_name",
            "by_external",
            "events",
            "marks",
            "beats",
            "imported",
            "namespaces",
        ):
            getattr(made, name).update(getattr(self, name))
        for id_, pasts in self.pasts.items():
            made.pasts[id_] = list(pasts)
        for name in ("events_of", "contexts_of", "members_of", "parents_of", "children_of"):
            into = getattr(made, name)
            for id_, found in getattr(self, name).items():
                into[id_] = dict(found)
        return made

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Nobody else looks or writes in the block.

        Raises:
            UsageError: The graph was closed (``closed``).
        """
        if self.ended:
            raise closed()
        with self.lock:
            yield

    def next_moment(self) -> int:
        """The moment of the next change: that of the clock, but later than any before."""
        return next_moment(clock_us(), self.last_us)

    def carry_out(self, plan: Plan) -> Loaded:
        """Write a plan; nothing of it can fail."""
        self.last_us = plan.now_us
        changed = (*plan.removed.values(), *plan.updates.values(), *plan.inserts.values())
        for row in changed:
            self._forget_names(row.id)
        for row in changed:
            self._add(row)
        for node_id in plan.removed:
            self.pasts.pop(node_id, None)
        for was in plan.past:
            self.pasts[was.node_id].append(was)
        n_events = sum(map(self._add_event, plan.events))
        n_members = 0
        for (context, node), known in plan.members.items():
            n_members += node not in self.members_of[context]
            self.members_of[context].setdefault(node, known)
            self.contexts_of[node].setdefault(context, known)
        n_parents = 0
        for (child, parent), known in plan.parents.items():
            n_parents += parent not in self.parents_of[child]
            self.parents_of[child].setdefault(parent, known)
            self.children_of[parent].setdefault(child, known)
        for mark in (*plan.marks, *plan.lifted):
            self.marks[mark.id] = mark
            self.last_mark = max(self.last_mark, mark.id)
        for source, kind, their_id, node_id in plan.imported:
            self.imported[source, kind, their_id] = node_id
        return Loaded(len(plan.inserts), len(plan.updates), n_events, n_members, n_parents)

    def _forget_names(self, id_: int) -> None:
        old = self.rows.get(id_)
        if old is not None and old.name is not None:
            self.by_name.pop((old.type_id, old.namespace_id, old.name), None)
        if old is not None and old.external_id is not None:
            self.by_external.pop((old.kind, old.namespace_id, old.external_id), None)

    def _add(self, row: NodeRow) -> None:
        self.rows[row.id] = row
        self.by_uid[row.uid] = row.id
        self.last_n = max(self.last_n, wire_id(row.id))
        if row.name is not None:
            self.by_name[row.type_id, row.namespace_id, row.name] = row.id
        if row.external_id is not None:
            self.by_external[row.kind, row.namespace_id, row.external_id] = row.id

    def _add_event(self, event: EventRow) -> bool:
        key = event.execution_id, event.artifact_id, event.kind, event.path
        if key in self.events:
            return False
        self.events[key] = event
        self.events_of[event.execution_id][key] = None
        self.events_of[event.artifact_id][key] = None
        return True

    def purge(self, ids: Iterable[int]) -> tuple[int, int, int]:
        """Take nodes out with all that hangs on them; how many nodes, events and members went."""
        n_nodes = n_events = n_members = 0
        for id_ in ids:
            self._forget_names(id_)
            del self.by_uid[self.rows.pop(id_).uid]
            self.pasts.pop(id_, None)
            n_nodes += 1
            for key in self.events_of.pop(id_, {}):
                n_events += 1
                del self.events[key]
                for end in key[:2]:
                    if end != id_:
                        self.events_of[end].pop(key, None)
            for here, there in (
                (self.contexts_of, self.members_of),
                (self.members_of, self.contexts_of),
                (self.parents_of, self.children_of),
                (self.children_of, self.parents_of),
            ):
                for other in here.pop(id_, {}):
                    n_members += here is self.contexts_of or here is self.members_of
                    there[other].pop(id_, None)
            for mark in [m.id for m in self.marks.values() if m.node_id == id_]:
                del self.marks[mark]
        return n_nodes, n_events, n_members


def event_order(event: EventRow) -> tuple[int, int, int, int, int, str]:
    """By which events are sorted: time, execution, place in their change; then their key, that no two are equal."""
    return (
        event.at_us,
        event.execution_id,
        event.position,
        EVENT_CODES[event.kind],
        event.artifact_id,
        event.path,
    )


class View:
    """A `World` as it was known at a moment, under its lock. It is also a graph that filters can ask.

    Args:
        world: The graph.
        as_of_us: The moment; None is now.
        last_n: The n of the newest node at the moment, which tells what was there whatever times nodes claim.
        again: The graph was read at that moment: see `Then.ahead_us`.
    """

    def __init__(
        self, world: World, as_of_us: int | None = None, last_n: int | None = None, *, again: bool = False
    ) -> None:
        self._world = world
        self._then = None if as_of_us is None else Then(as_of_us)
        if as_of_us is not None and again:
            self._then = Then(as_of_us, max(as_of_us, world.last_us))
        self._last_n = last_n
        self.moment_us = world.last_us if as_of_us is None else as_of_us
        self._rows: dict[int, NodeRow | None] = {}
        self._made: dict[int, AnyNode] = {}

    # by id

    def find(self, id_: int | None) -> NodeRow | None:
        """The row of a node, or None when there was none."""
        world, then = self._world, self._then
        if id_ is None or then is None:
            return None if id_ is None else world.rows.get(id_)
        if id_ not in self._rows:
            row, pasts = world.rows.get(id_), world.pasts.get(id_, ())
            if row is not None:
                there = then.knows(row.created_us) if self._last_n is None else wire_id(id_) <= self._last_n
                row = past.rolled_to(row, pasts, then.us) if there else None
            self._rows[id_] = row
        return self._rows[id_]

    def row(self, id_: int) -> NodeRow:
        """The row of a node; tombstones are nodes."""
        found = self.find(id_)
        assert found is not None
        return found

    def id_of(self, uid: str) -> int | None:
        """The id of a node, or None when there was none."""
        row = self.find(self._world.by_uid.get(uid))
        return None if row is None else row.id

    def rows(self, kind: NodeKind) -> Iterator[NodeRow]:
        """All nodes of a kind, by id."""
        for id_ in sorted(self._world.rows):
            row = self.find(id_)
            if row is not None and row.kind == kind:
                yield row

    def events_of(self, id_: int) -> list[EventRow]:
        """The events of an artifact or execution, oldest first."""
        found = [self._world.events[key] for key in self._world.events_of.get(id_, ())]
        return sorted(filter(self.is_known, found), key=event_order)

    def is_known(self, event: EventRow) -> bool:
        """Whether an event was known."""
        if self._then is None:
            return True
        known_us = event.at_us if event.known_us is None else event.known_us
        return (
            self._then.knows(known_us)
            and self.find(event.execution_id) is not None
            and self.find(event.artifact_id) is not None
        )

    def contexts_of(self, id_: int) -> list[int]:
        """The contexts of an artifact or execution."""
        return self._known(self._world.contexts_of, id_)

    def members_of(self, id_: int) -> list[int]:
        """The artifacts and executions of a context."""
        return self._known(self._world.members_of, id_)

    def parents_of(self, id_: int) -> list[int]:
        """The parents of a context."""
        return self._known(self._world.parents_of, id_)

    def children_of(self, id_: int) -> list[int]:
        """The children of a context."""
        return self._known(self._world.children_of, id_)

    def _known(self, edges: dict[int, dict[int, int | None]], id_: int) -> list[int]:
        there, then = edges.get(id_, {}), self._then
        if then is None:
            return sorted(there)
        if self.find(id_) is None:
            return []
        return sorted(
            other
            for other, known_us in there.items()
            if (known_us is None or then.knows(known_us)) and self.find(other) is not None
        )

    # value objects

    def node(self, row: NodeRow) -> AnyNode:
        """A node to give away."""
        namespace = self._world.namespaces[row.namespace_id]
        return to_node(row, self._world.types.by_id(row.type_id), namespace.name)

    def event(self, row: EventRow) -> Event:
        """An event to give away."""
        rows = self._world.rows
        return to_event(row, rows[row.execution_id].uid, rows[row.artifact_id].uid)

    def type_name(self, row: NodeRow) -> str:
        """The name of a node's type."""
        return self._world.types.by_id(row.type_id).name

    # for filters

    def fits(self, scope: Scope, row: NodeRow) -> bool:
        """Whether a node fits a filter."""
        return self._evaluator.fits(scope, self._at(row.id))

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(_Graph(self))

    def _at(self, id_: int) -> AnyNode:
        if id_ not in self._made:
            self._made[id_] = self.node(self.row(id_))
        return self._made[id_]


class _Graph:
    """What a filter asks; see `whence.metadata.filter.Graph`."""

    def __init__(self, view: View) -> None:
        self._view = view

    def node(self, uid: str) -> AnyNode:
        id_ = self._view.id_of(uid)
        assert id_ is not None
        return self._view._at(id_)  # noqa: SLF001 - two halves of one thing

    def type(self, node: AnyNode) -> Type:
        row = self._view.row(_id(node))
        return self._view._world.types.by_id(row.type_id)  # noqa: SLF001

    def events(self, node: AnyNode) -> list[Event]:
        if isinstance(node, Context):
            return []
        return [self._view.event(row) for row in self._view.events_of(_id(node))]

    def contexts(self, node: AnyNode) -> list[AnyNode]:
        return self._all(self._view.contexts_of(_id(node)))

    def members(self, context: AnyNode) -> list[AnyNode]:
        return self._all(self._view.members_of(_id(context)))

    def parents(self, context: AnyNode) -> list[AnyNode]:
        return self._all(self._view.parents_of(_id(context)))

    def children(self, context: AnyNode) -> list[AnyNode]:
        return self._all(self._view.children_of(_id(context)))

    def _all(self, ids: Iterable[int]) -> list[AnyNode]:
        return [self._view._at(id_) for id_ in ids]  # noqa: SLF001


def _id(node: AnyNode) -> int:
    assert node.id is not None
    return node.id


__all__ = ["Artifact", "View", "World", "clock_us", "event_order"]
