"""GetLineageSubgraph: the piece of the graph around starting nodes, without ML Metadata's limits of 100.

A hop is one event. UPSTREAM follows outputs from artifacts and inputs from executions, DOWNSTREAM the reverse,
BIDIRECTIONAL and nothing both. At an ending node the walk stops; whether the node is part of the answer is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from whence.integrations.mlmd.convert import event_to, type_to
from whence.integrations.mlmd.errors import absent, invalid, unimplemented
from whence.integrations.mlmd.filters import read_filter
from whence.integrations.mlmd.graph import Graph, Wanted
from whence.integrations.mlmd.messages import metadata_store_pb2
from whence.integrations.mlmd.types_rpc import Method
from whence.integrations.mlmd.wire import Message
from whence.metadata import AnyNode, Direction, Event, NodeKind
from whence.metadata.rows import KINDS, kind_of

_Options: Final = metadata_store_pb2.LineageSubgraphQueryOptions
_DIRECTIONS: Final[Mapping[int, Direction]] = {
    _Options.UPSTREAM: "up",
    _Options.DOWNSTREAM: "down",
    _Options.BIDIRECTIONAL: "both",
}
_ENDS: Final[tuple[NodeKind, ...]] = ("artifact", "execution")
_READS: Final = frozenset({"DECLARED_INPUT", "INPUT", "INTERNAL_INPUT"})
_WRITES: Final = frozenset({"DECLARED_OUTPUT", "OUTPUT", "INTERNAL_OUTPUT", "PENDING_OUTPUT"})


@dataclass(slots=True)
class _Walk:
    graph: Graph
    kinds: dict[NodeKind, frozenset[str]]
    """The kinds of events followed from a node of this kind."""
    ends: dict[NodeKind, str]
    """The filter of the ending nodes of a kind, when there is one."""
    include_ends: dict[NodeKind, bool]
    nodes: dict[NodeKind, dict[str, AnyNode]] = field(
        default_factory=lambda: {"artifact": {}, "execution": {}}
    )
    events: dict[tuple[str, str, str, tuple[str | int, ...]], Event] = field(default_factory=dict)

    def run(self, starts: list[AnyNode], kind: NodeKind, max_hops: int | None) -> None:
        """Walk from the starting nodes, one level a hop."""
        ended = self._ended(kind, starts)
        self.nodes[kind] = {n.uid: n for n in starts if self.include_ends[kind] or n.uid not in ended}
        front = [n for n in starts if n.uid not in ended]
        left: dict[str, bool] = {}
        hops = 0
        while front and (max_hops is None or hops < max_hops):
            uids = [n.uid for n in front]
            events = (
                self.graph.events(artifacts=uids)
                if kind == "artifact"
                else self.graph.events(executions=uids)
            )
            followed = [e for e in events if e.kind in self.kinds[kind]]
            kind = "execution" if kind == "artifact" else "artifact"
            reached = {e.execution if kind == "execution" else e.artifact for e in followed}
            front = []
            fresh = self.graph.by_uid(kind, reached - self.nodes[kind].keys() - left.keys())
            ended = self._ended(kind, fresh)
            for node in fresh:
                if node.uid in ended:
                    if not self.include_ends[kind]:
                        left[node.uid] = True
                        continue
                else:
                    front.append(node)
                self.nodes[kind][node.uid] = node
            for event in followed:
                other = event.execution if kind == "execution" else event.artifact
                if other in self.nodes[kind]:  # else the walk ended before it, or it is not seen
                    self.events.setdefault((event.execution, event.artifact, event.kind, event.path), event)
            hops += 1

    def run_whole(self, starts: list[AnyNode], direction: Direction, max_hops: int | None) -> None:
        """Walk without ending nodes, in one question to the store."""
        hops: dict[str, int] = {}
        for level in self.graph.walk([n.uid for n in starts], direction, max_hops):
            for node in level.nodes:
                hops[node.uid] = level.hops
                self.nodes[kind_of(node)][node.uid] = node
            for event in level.events:
                # The last nodes are not gone on from: what lies between two of them was not walked.
                left = {"artifact": hops[event.artifact], "execution": hops[event.execution]}
                if max_hops is None or any(
                    left[kind] < max_hops and event.kind in self.kinds[kind] for kind in _ENDS
                ):
                    self.events[event.execution, event.artifact, event.kind, event.path] = event

    def _ended(self, kind: NodeKind, nodes: Sequence[AnyNode]) -> set[str]:
        """Which of these nodes the walk stops at, by uid."""
        return self.graph.fitting(kind, self.ends[kind], nodes) if kind in self.ends else set()


def get_lineage_subgraph(graph: Graph, request: Message, response: Message) -> None:
    """GetLineageSubgraph: ids of nodes, whole events and types; `read_mask` names the parts that are wanted."""
    options = request.lineage_subgraph_query_options
    start = options.WhichOneof("starting_nodes")
    if start is None:
        raise invalid("Missing arguments for listing starting nodes.")
    if options.HasField("max_num_hops") and options.max_num_hops < 0:
        raise invalid(f"max_num_hops cannot be negative: max_num_hops = {options.max_num_hops}")
    kind: NodeKind = "artifact" if start == "starting_artifacts" else "execution"
    query = getattr(options, start).filter_query
    if not query:
        raise invalid("Cannot list starting nodes if `filter_query` is unspecified.")
    walk = _make_walk(graph, options)
    starts = list(graph.find(kind, Wanted(matching=read_filter(query, kind))))
    if not starts:
        raise absent(f"The starting nodes query found no node: {query[:200]}")
    max_hops = options.max_num_hops if options.HasField("max_num_hops") else None
    if walk.ends:
        walk.run(starts, kind, max_hops)
    else:
        walk.run_whole(starts, _DIRECTIONS.get(options.direction, "both"), max_hops)
    paths = set(request.read_mask.paths)
    _fill(graph, walk, response.lineage_subgraph, lambda part: not paths or part in paths)


def _make_walk(graph: Graph, options: Message) -> _Walk:
    up = options.direction != _Options.DOWNSTREAM
    down = options.direction != _Options.UPSTREAM
    none: frozenset[str] = frozenset()
    kinds: dict[NodeKind, frozenset[str]] = {
        "artifact": (_WRITES if up else none) | (_READS if down else none),
        "execution": (_READS if up else none) | (_WRITES if down else none),
    }
    ends: dict[NodeKind, str] = {}
    include: dict[NodeKind, bool] = {"artifact": True, "execution": True}
    for kind in include:
        given = getattr(options, f"ending_{kind}s")
        end = read_filter(given.filter_query, kind)
        if end is not None:
            ends[kind] = end
            include[kind] = given.include_ending_nodes
    return _Walk(graph, kinds, ends, include)


def _fill(graph: Graph, walk: _Walk, into: Message, wants: Callable[[str], bool]) -> None:
    ids: dict[NodeKind, dict[str, int]] = {
        kind: {uid: graph.wire_id(n) for uid, n in walk.nodes[kind].items()} for kind in _ENDS
    }
    artifacts, executions = ids["artifact"], ids["execution"]
    for kind in _ENDS:
        if wants(f"{kind}s"):
            for id_ in sorted(ids[kind].values()):
                getattr(into, f"{kind}s").add(id=id_)
    for kind in KINDS:
        if wants(f"{kind}_types"):
            getattr(into, f"{kind}_types").extend(type_to(t) for t in graph.types(kind))
    if wants("events"):
        into.events.extend(
            event_to(e, execution_id=executions[e.execution], artifact_id=artifacts[e.artifact])
            for e in walk.events.values()
        )
    if (artifacts or executions) and any(map(wants, ("contexts", "attributions", "associations"))):
        _fill_contexts(graph, artifacts, executions, into, wants)


def _fill_contexts(
    graph: Graph,
    artifacts: dict[str, int],
    executions: dict[str, int],
    into: Message,
    wants: Callable[[str], bool],
) -> None:
    found = graph.around([*artifacts, *executions])
    contexts = {c.uid: graph.wire_id(c) for c in found.contexts}
    if wants("contexts"):
        for id_ in sorted(contexts.values()):
            into.contexts.add(id=id_)
    if wants("attributions"):
        for context, uid in found.attributions:
            into.attributions.add(context_id=contexts[context], artifact_id=artifacts[uid])
    if wants("associations"):
        for context, uid in found.associations:
            into.associations.add(context_id=contexts[context], execution_id=executions[uid])


def get_lineage_graph(graph: Graph, request: Message, response: Message) -> None:  # noqa: ARG001 - it is refused
    """GetLineageGraph: deprecated by ML Metadata itself."""
    raise unimplemented("GetLineageGraph is deprecated; use GetLineageSubgraph.")


LINEAGE_METHODS: Final[dict[str, Method]] = {
    "GetLineageGraph": get_lineage_graph,
    "GetLineageSubgraph": get_lineage_subgraph,
}
