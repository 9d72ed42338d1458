"""The tree above a node of the graph: what it came from, each thing drawn once, bounded, never in circles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from whence.metadata.types import INPUT_KINDS, OUTPUT_KINDS, Artifact, Execution, Subgraph
from whence.trace.base import Graph
from whence.trace.explain import Explainers, facts_of
from whence.trace.names import joins_features, kind_of, label_of, ref_of, table_version
from whence.trace.node import TraceNode, leaf, more, seen

MAX_DEPTH = 24
MAX_CHILDREN = 40

# Inputs of an execution are drawn in the order of the journey read backwards.
_RANK = {"Model": 0, "FeatureView": 2, "View": 3, "TableVersion": 4, "Schema": 5, "Statistics": 6}
_TRAINING_SET_RANK = 1


@dataclass(slots=True)
class Ancestry:
    """Draws trees out of one piece of the graph, read in one call.

    Args:
        graph: The metadata store.
        explain: What is known of each artifact.
        metrics: The metrics of a run, where the tracking knows them.
        max_depth: At most this many edges away from the start.
        max_children: At most this many inputs of one execution; the number left out is a node.
    """

    graph: Graph
    explain: Explainers
    metrics: Callable[[Execution], Mapping[str, object]] | None = None
    max_depth: int = MAX_DEPTH
    max_children: int = MAX_CHILDREN
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    executions: dict[str, Execution] = field(default_factory=dict)
    producers: dict[str, list[str]] = field(default_factory=dict)
    inputs: dict[str, list[str]] = field(default_factory=dict)
    drawn: dict[str, TraceNode] = field(default_factory=dict)

    def load(self, starts: Sequence[str]) -> None:
        """Read everything upstream of these uids, one edge further than is drawn."""
        if starts:
            self.add(self.graph.lineage(starts, direction="up", max_hops=self.max_depth + 1))

    def add(self, piece: Subgraph) -> None:
        """Take a piece of the graph in."""
        self.artifacts.update({a.uid: a for a in piece.artifacts})
        self.executions.update({e.uid: e for e in piece.executions})
        for event in piece.events:
            if event.kind in OUTPUT_KINDS:
                _append(self.producers, event.artifact, event.execution)
            elif event.kind in INPUT_KINDS:
                _append(self.inputs, event.execution, event.artifact)

    def artifact(self, uid: str, *, depth: int = 0, extra: Iterable[TraceNode] = ()) -> TraceNode:
        """The tree of an artifact: the executions that wrote it, and what those read."""
        if uid in self.drawn:
            return seen(self.drawn[uid])
        node = self.artifacts.get(uid)
        if node is None:
            return leaf(f"artifact {uid} is not in the graph", "missing", f"artifact:{uid}", missing="node")
        said = self.explain(node)
        facts = dict(said.facts)
        if said.missing is not None:
            facts["missing"] = said.missing
        label = f"{label_of(node)} (training set)" if self.is_training_set(node) else label_of(node)
        head = TraceNode(label, kind_of(node), ref_of(node), facts)
        self.drawn[uid] = head
        children = [*extra, *said.children]
        made = sorted(self._makers(uid), key=self._execution_order)
        if made and depth >= self.max_depth:
            children.append(_cut(self.max_depth))
        else:
            children += [self.execution(e, depth=depth + 1, made=node) for e in made]
        return TraceNode(head.label, head.kind, head.ref, facts, tuple(children))

    def execution(
        self,
        uid: str,
        *,
        depth: int = 0,
        made: Artifact | None = None,
        extra: Iterable[TraceNode] = (),
    ) -> TraceNode:
        """The tree of an execution: what it read, and whence that came."""
        if uid in self.drawn:
            return seen(self.drawn[uid])
        node = self.executions.get(uid)
        if node is None:
            return leaf(f"execution {uid} is not in the graph", "missing", f"execution:{uid}", missing="node")
        facts = facts_of(node)
        measured = self.metrics(node) if self.metrics is not None else {}
        if measured:
            facts["metrics"] = dict(measured)
        head = TraceNode(label_of(node), kind_of(node), ref_of(node), facts)
        self.drawn[uid] = head
        earlier, others = _split(self.read_by(uid), made)
        children = list(extra)
        if (others or earlier) and depth >= self.max_depth:
            children.append(_cut(self.max_depth))
        else:
            children += self._inputs(others, depth)
            children += [self._earlier(a) for a in earlier]
        return TraceNode(head.label, head.kind, head.ref, facts, tuple(children))

    def _makers(self, uid: str) -> list[str]:
        """The executions that wrote an artifact; those that only found it in the cache made nothing."""
        made = self.producers.get(uid, [])
        really = [e for e in made if e not in self.executions or self.executions[e].state != "CACHED"]
        return really or made

    def _inputs(self, read: list[Artifact], depth: int) -> list[TraceNode]:
        ordered = sorted(read, key=self._artifact_order)
        shown = [self.artifact(a.uid, depth=depth + 1) for a in ordered[: self.max_children]]
        left = len(ordered) - len(shown)
        return [*shown, more(left, "inputs")] if left else shown

    def _earlier(self, artifact: Artifact) -> TraceNode:
        return TraceNode(f"{label_of(artifact)} (the version before)", "earlier", ref_of(artifact))

    def is_training_set(self, artifact: Artifact) -> bool:
        """Whether it is a table version made by a point-in-time join."""
        if artifact.type != "TableVersion":
            return False
        made = [self.executions[e] for e in self.producers.get(artifact.uid, ()) if e in self.executions]
        return any(joins_features(e, self.read_by(e.uid)) for e in made)

    def read_by(self, execution: str) -> list[Artifact]:
        """The inputs of an execution."""
        return [self.artifacts[a] for a in self.inputs.get(execution, ()) if a in self.artifacts]

    def _artifact_order(self, node: Artifact) -> tuple[int, str, int, str]:
        rank = _RANK.get(node.type, 9)
        if self.is_training_set(node):
            rank = _TRAINING_SET_RANK
        named = table_version(node)
        return (rank, named[0], named[1], node.uid) if named else (rank, node.name or "", 0, node.uid)

    def _execution_order(self, uid: str) -> tuple[str, str]:
        node = self.executions.get(uid)
        return ("" if node is None else str(node.get("started_at") or ""), uid)


def _split(read: list[Artifact], made: Artifact | None) -> tuple[list[Artifact], list[Artifact]]:
    """Earlier versions of the very table that was written, and the other inputs."""
    own = None if made is None else table_version(made)
    earlier = [a for a in read if own is not None and (table_version(a) or ("", 0))[0] == own[0]]
    return earlier, [a for a in read if a not in earlier]


def _append(index: dict[str, list[str]], key: str, value: str) -> None:
    values = index.setdefault(key, [])
    if value not in values:
        values.append(value)


def _cut(max_depth: int) -> TraceNode:
    return leaf("… what lies deeper is not shown", "more", None, max_depth=max_depth)
