"""Reading a piece of lineage: who made what, from what, in which order; and the shortest way between two nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

from whence.errors import NotFoundError
from whence.metadata.base import MetadataStore
from whence.metadata.found import SHOWN, line_of, node_to_dict, nodes_html
from whence.metadata.types import (
    INPUT_KINDS,
    OUTPUT_KINDS,
    Artifact,
    Context,
    Direction,
    Event,
    Execution,
    Subgraph,
)
from whence.metadata.walk import Level, WalkQuery, event_to_dict

_BACK: Final[dict[Direction, Direction]] = {"up": "down", "down": "up", "both": "both"}
_READS: Final = INPUT_KINDS | {"INTERNAL_INPUT"}


class Lineage:
    """A `Subgraph`, with its edges looked up from both ends.

    Example:
        >>> from whence.metadata import Event, Subgraph
        >>> raw, train = Artifact(type="Table", name="raw"), Execution(type="train")
        >>> model = Artifact(type="Model", name="late@1")
        >>> events = [Event(train.uid, raw.uid, "INPUT"), Event(train.uid, model.uid, "OUTPUT")]
        >>> lineage = Lineage(Subgraph([raw, model], [train], events))
        >>> [a.name for e in lineage.producers(model.uid) for a in lineage.inputs(e.uid)]
        ['raw']
    """

    def __init__(self, subgraph: Subgraph) -> None:
        self.subgraph = subgraph
        self._artifacts = {node.uid: node for node in subgraph.artifacts}
        self._executions = {node.uid: node for node in subgraph.executions}
        self._contexts = {node.uid: node for node in subgraph.contexts}
        self._of_execution: dict[str, list[Event]] = defaultdict(list)
        self._of_artifact: dict[str, list[Event]] = defaultdict(list)
        for event in subgraph.events:
            self._of_execution[event.execution].append(event)
            self._of_artifact[event.artifact].append(event)
        self._around: dict[str, list[str]] = defaultdict(list)
        for context, node in (*subgraph.attributions, *subgraph.associations):
            self._around[node].append(context)

    def node(self, uid: str) -> Artifact | Execution:
        """The artifact or execution.

        Raises:
            NotFoundError: It is not part of this lineage (``node-not-found``).
        """
        found = self._artifacts.get(uid) or self._executions.get(uid)
        if found is None:
            raise NotFoundError("node", uid)
        return found

    def inputs(self, execution: str, *, internal: bool = False) -> list[Artifact]:
        """What an execution read, in the order recorded, each once; `internal`: its code and environment too."""
        kinds = INPUT_KINDS | {"INTERNAL_INPUT"} if internal else INPUT_KINDS
        return self._artifacts_of(execution, kinds)

    def outputs(self, execution: str, *, pending: bool = False) -> list[Artifact]:
        """What an execution wrote, in the order recorded, each once; `pending`: and what it only expected."""
        kinds = OUTPUT_KINDS if pending else OUTPUT_KINDS - {"PENDING_OUTPUT"}
        return self._artifacts_of(execution, kinds)

    def producers(self, artifact: str) -> list[Execution]:
        """The executions that wrote an artifact, each once."""
        return self._executions_of(artifact, OUTPUT_KINDS - {"PENDING_OUTPUT"})

    def consumers(self, artifact: str) -> list[Execution]:
        """The executions that read an artifact, each once."""
        return self._executions_of(artifact, INPUT_KINDS)

    def events(self, uid: str) -> Sequence[Event]:
        """The events of an artifact or execution, oldest first."""
        return (*self._of_execution.get(uid, ()), *self._of_artifact.get(uid, ()))

    def contexts(self, uid: str) -> list[Context]:
        """The contexts of an artifact or execution."""
        return [self._contexts[context] for context in self._around.get(uid, ())]

    def up(self, uid: str) -> Iterator[tuple[int, Artifact | Execution]]:
        """The node and everything it came from, with the distance in events, nearest first, each once."""
        yield from self._walk(uid, up=True)

    def down(self, uid: str) -> Iterator[tuple[int, Artifact | Execution]]:
        """The node and everything it went into, with the distance in events, nearest first, each once."""
        yield from self._walk(uid, up=False)

    def to_dict(self) -> dict[str, object]:
        """All of it as plain values, for ``--json``."""
        piece = self.subgraph
        return {
            "artifacts": [node_to_dict(node) for node in piece.artifacts],
            "executions": [node_to_dict(node) for node in piece.executions],
            "events": [event_to_dict(event) for event in piece.events],
            "contexts": [node_to_dict(node) for node in piece.contexts],
            "attributions": [list(pair) for pair in piece.attributions],
            "associations": [list(pair) for pair in piece.associations],
        }

    def __repr__(self) -> str:
        nodes: list[Artifact | Execution] = [*self._artifacts.values(), *self._executions.values()]
        counts = f"{len(self._artifacts)} artifacts, {len(self._executions)} executions"
        lines = [f"<lineage: {counts}>", *(f"  {line_of(node)}" for node in nodes[:SHOWN])]
        return "\n".join([*lines, "  …"] if len(nodes) > SHOWN else lines)

    def _repr_html_(self) -> str:
        """For notebooks: its nodes as a table."""
        return nodes_html([*self._artifacts.values(), *self._executions.values()], caption="lineage")

    def _walk(self, uid: str, *, up: bool) -> Iterator[tuple[int, Artifact | Execution]]:
        front: list[Artifact | Execution] = [self.node(uid)]
        seen = {uid}
        distance = 0
        while front:
            following: list[Artifact | Execution] = []
            for node in front:
                yield distance, node
                for neighbour in self._next(node, up=up):
                    if neighbour.uid not in seen:
                        seen.add(neighbour.uid)
                        following.append(neighbour)
            front, distance = following, distance + 1

    def _next(self, node: Artifact | Execution, *, up: bool) -> Sequence[Artifact | Execution]:
        if isinstance(node, Artifact):
            return self.producers(node.uid) if up else self.consumers(node.uid)
        return self.inputs(node.uid) if up else self.outputs(node.uid)

    def _artifacts_of(self, execution: str, kinds: frozenset[str]) -> list[Artifact]:
        uids = dict.fromkeys(e.artifact for e in self._of_execution.get(execution, ()) if e.kind in kinds)
        return [self._artifacts[uid] for uid in uids]

    def _executions_of(self, artifact: str, kinds: frozenset[str]) -> list[Execution]:
        uids = dict.fromkeys(e.execution for e in self._of_artifact.get(artifact, ()) if e.kind in kinds)
        return [self._executions[uid] for uid in uids]


@dataclass(frozen=True, slots=True, repr=False)
class Path:
    """A way through the lineage.

    Attributes:
        nodes: n nodes, artifacts and executions in turn, from the first end to the second.
        events: n - 1 events; the i-th is between the i-th node and the next.
    """

    nodes: Sequence[Artifact | Execution]
    events: Sequence[Event]

    def text(self) -> str:
        """A line a node, and between two of them what happened."""
        lines = [line_of(self.nodes[0])]
        for event, before, node in zip(self.events, self.nodes, self.nodes[1:], strict=False):
            part = "/".join(str(step) for step in event.path)
            verb = "read" if event.kind in _READS else "wrote"
            told = verb if isinstance(before, Execution) else f"was {verb} by".replace("wrote", "written")
            lines += [f"  {told}{f' as {part}' if part else ''}", line_of(node)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """The way as plain values, for ``--json``."""
        return {
            "nodes": [node_to_dict(node) for node in self.nodes],
            "events": [event_to_dict(event) for event in self.events],
        }

    def __repr__(self) -> str:
        return f"<path over {len(self.events)} events>\n{self.text()}"

    def _repr_html_(self) -> str:
        """For notebooks: its nodes as a table."""
        return nodes_html(self.nodes, caption=f"a path over {len(self.events)} events")


def shortest_path(
    store: MetadataStore,
    a: str,
    b: str,
    *,
    direction: Direction = "both",
    max_hops: int | None = None,
    internal: bool = False,
    as_of: datetime | None = None,
) -> Path | None:
    """The shortest way from one node to another, or None when there is none.

    Both ends are walked from at once, the smaller front first, so that what lies far from both is never read.
    Of several shortest ways it is any one.

    Args:
        store: The graph.
        a: The uid of an artifact or execution.
        b: The uid of another.
        direction: ``up``: b is among what a came from; ``down``: among what it went into; ``both``: however
            they hang together.
        max_hops: At most this many events.
        internal: Also over INTERNAL_* events.
        as_of: In the graph as it was known at this moment.

    Raises:
        NotFoundError: One of them is unknown or a context (``node-not-found``).

    Example:
        >>> from whence.metadata import Change, Put, open_store
        >>> store = open_store("memory://")
        >>> raw, model = Artifact(type="mlmd.Dataset", name="raw"), Artifact(type="mlmd.Model", name="late@1")
        >>> train = Execution(type="mlmd.Train", name="train")
        >>> events = [Event(train.uid, raw.uid, "INPUT"), Event(train.uid, model.uid, "OUTPUT")]
        >>> written = store.write(Change([Put(raw), Put(model), Put(train)], events))
        >>> [node.name for node in shortest_path(store, model.uid, raw.uid, direction="up").nodes]
        ['late@1', 'train', 'raw']
        >>> shortest_path(store, model.uid, raw.uid, direction="down") is None
        True
    """
    with ExitStack() as stack:
        fronts = []
        for end, way in ((a, direction), (b, _BACK[direction])):
            query = WalkQuery([end], direction=way, max_hops=max_hops, internal=internal, as_of=as_of)
            levels = store.walk(query)
            if isinstance(levels, Generator):
                stack.enter_context(closing(levels))
            fronts.append(_Front(levels, way))
        first, second = fronts
        first.grow()
        second.grow()
        met = _meet(first, second, max_hops)
    if met is None:
        return None
    ahead, behind = first.way_to(met), second.way_to(met)
    nodes = [*(node for node, _ in ahead), first.nodes[met], *(node for node, _ in reversed(behind))]
    return Path(nodes, [*(event for _, event in ahead), *(event for _, event in reversed(behind))])


class _Front:
    """What is reached from one end: each node's distance, and the event by which it was reached."""

    def __init__(self, levels: Iterator[Level], direction: Direction) -> None:
        self._levels = groupby(levels, key=lambda level: level.hops)
        self._direction = direction
        self.nodes: dict[str, Artifact | Execution] = {}
        self.hops: dict[str, int] = {}
        self.depth = -1
        self.size = 0
        """nodes of the last level; 0 when nothing is left"""
        self._came: dict[str, tuple[str, Event]] = {}

    def grow(self) -> list[str]:
        """Read one more level; the uids that are new."""
        depth, pieces = next(self._levels, (self.depth, iter(())))
        self.depth = depth
        new: list[str] = []
        for piece in pieces:
            for node in piece.nodes:
                self.nodes[node.uid], self.hops[node.uid] = node, depth
                new.append(node.uid)
            for event in piece.events:
                self._reach(event, depth)
        self.size = len(new)
        return new

    def _reach(self, event: Event, depth: int) -> None:
        ends = event.execution, event.artifact
        for near, far in (ends, ends[::-1]):
            if self.hops[far] == depth and self.hops[near] == depth - 1 and self._goes(event, near):
                self._came.setdefault(far, (near, event))

    def _goes(self, event: Event, near: str) -> bool:
        if self._direction == "both":
            return True
        return (event.execution == near) == ((event.kind in _READS) == (self._direction == "up"))

    def way_to(self, uid: str) -> list[tuple[Artifact | Execution, Event]]:
        """The nodes from the end up to, without, this one, each with the event that leads on."""
        way: list[tuple[Artifact | Execution, Event]] = []
        while uid in self._came:
            uid, event = self._came[uid]
            way.append((self.nodes[uid], event))
        return way[::-1]


def _meet(first: _Front, second: _Front, max_hops: int | None) -> str | None:
    """A node on a shortest way, reached from both ends."""
    best, met = max_hops, None
    for uid in first.hops.keys() & second.hops.keys():
        return uid
    # What is not read yet is farther than both depths together.
    while first.size and second.size and (best is None or first.depth + second.depth < best):
        front, other = (first, second) if first.size <= second.size else (second, first)
        for uid in front.grow():
            if uid in other.hops:
                far = front.hops[uid] + other.hops[uid]
                if best is None or far < best or (met is None and far == best):
                    best, met = far, uid
    return met
