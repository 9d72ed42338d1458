"""Where a thing went: everything made from it, by kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from whence.metadata.types import INPUT_KINDS, OUTPUT_KINDS, AnyNode, Artifact, Execution
from whence.trace.base import Graph
from whence.trace.names import (
    LAKE_WRITES,
    PREDICTS,
    RUN_TYPES,
    joins_features,
    kind_of,
    label_of,
    ref_of,
    table_version,
)
from whence.trace.types import Impact, ImpactItem

GROUPS: Final = (
    "tables",
    "training sets",
    "views",
    "models",
    "aliases",
    "predictions",
    "reports",
    "statistics",
    "anomalies",
    "runs",
    "other",
)
_GROUP_OF_TYPE: Final = {
    "View": "views",
    "FeatureView": "views",
    "Model": "models",
    "Alias": "aliases",
    "Report": "reports",
    "Metrics": "reports",
    "Statistics": "statistics",
    "Anomalies": "anomalies",
}

Via = Literal["read", "carried"]


@dataclass(slots=True)
class Descent:
    """Everything downstream of some nodes, with how it was reached.

    A later version of a table carries what an earlier one held until the table is overwritten, so
    whoever read a later version is affected, too, and is marked ``carried``.

    Args:
        graph: The metadata store.
        ends: Table → the versions that replaced all its rows.
    """

    graph: Graph
    ends: Callable[[str], Collection[int]]
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    executions: dict[str, Execution] = field(default_factory=dict)
    via: dict[str, Via] = field(default_factory=dict)
    readers: dict[str, set[str]] = field(default_factory=dict)
    outputs: dict[str, set[str]] = field(default_factory=dict)
    makers: dict[str, str] = field(default_factory=dict)
    joining: dict[str, bool] = field(default_factory=dict)

    def run(
        self, starts: Sequence[Artifact | Execution], *, stop_at: Mapping[str, int] | None = None
    ) -> None:
        """Find everything from `starts` on.

        Args:
            starts: Where to begin; they themselves are not affected.
            stop_at: Table → first version that no longer carries it, where that is known.
        """
        for node in starts:
            self._take(node, "read")
        self._read([node.uid for node in starts])
        self._reach([node.uid for node in starts], "read")
        stops = dict(stop_at or {})
        while True:
            later = [a for a in self._later(stops) if a.uid not in self.via]
            if not later:
                break
            self._read([a.uid for a in later])
            for artifact in later:
                self._take(artifact, "carried")
            self._reach([a.uid for a in later], "carried")

    def _take(self, node: AnyNode, via: Via) -> None:
        if isinstance(node, Artifact):
            self.artifacts[node.uid] = node
        elif isinstance(node, Execution):
            self.executions[node.uid] = node
        self.via.setdefault(node.uid, via)

    def _read(self, uids: Sequence[str]) -> None:
        piece = self.graph.lineage(uids, direction="down")
        self.artifacts.update({a.uid: a for a in piece.artifacts})
        self.executions.update({e.uid: e for e in piece.executions})
        for event in piece.events:
            if event.kind in INPUT_KINDS:
                self.readers.setdefault(event.artifact, set()).add(event.execution)
            elif event.kind in OUTPUT_KINDS:
                self.outputs.setdefault(event.execution, set()).add(event.artifact)
                known = self.executions.get(self.makers.get(event.artifact, ""))
                if known is None or known.state == "CACHED":
                    self.makers[event.artifact] = event.execution

    def _reach(self, uids: Iterable[str], via: Via) -> None:
        """Mark what is reachable, not along the versions of one table: `_later` does that."""
        stack = list(uids)
        while stack:
            uid = stack.pop()
            step = self.outputs.get(uid, set()) if uid in self.executions else self.readers.get(uid, set())
            for other in sorted(step):
                if other in self.via or self._is_next_version(uid, other):
                    continue
                self.via[other] = via
                stack.append(other)

    def _is_next_version(self, uid: str, execution: str) -> bool:
        """Whether the execution read an artifact only to write the table's next version."""
        artifact = self.artifacts.get(uid)
        named = None if artifact is None else table_version(artifact)
        if named is None or execution not in self.executions:
            return False
        written = [
            table_version(self.artifacts[a]) for a in self.outputs.get(execution, ()) if a in self.artifacts
        ]
        lake = self.executions[execution].type in LAKE_WRITES
        return lake and any(w is not None and w[0] == named[0] for w in written)

    def _later(self, stops: Mapping[str, int]) -> list[Artifact]:
        """Later versions of the reached tables that still carry what a reached one held."""
        reached: dict[str, set[int]] = {}
        for uid in self.via:
            named = table_version(self.artifacts[uid]) if uid in self.artifacts else None
            if named is not None:
                reached.setdefault(named[0], set()).add(named[1])
        found: list[Artifact] = []
        for table in sorted(reached):
            found += self._carrying(table, reached[table], stops.get(table))
        return found

    def _carrying(self, table: str, reached: set[int], stop: int | None) -> list[Artifact]:
        ends = self.ends(table)
        carries = False
        kept: list[Artifact] = []
        for version, artifact in sorted(all_versions(self.graph, table), key=lambda pair: pair[0]):
            if version in reached:
                carries = True
            elif version in ends or (stop is not None and version >= stop):
                carries = False
            elif carries:
                kept.append(artifact)
        return kept

    def is_training_set(self, artifact: Artifact) -> bool:
        """Whether the table version was made by joining features onto a spine."""
        maker = self.executions.get(self.makers.get(artifact.uid, ""))
        if maker is None or maker.type in LAKE_WRITES:
            return False
        if maker.uid not in self.joining:
            read = sorted(
                {e.artifact for e in self.graph.list_events(executions=[maker.uid]) if e.kind in INPUT_KINDS}
            )
            nodes = self.graph.get_nodes("artifact", uids=read)
            self.joining[maker.uid] = joins_features(maker, [n for n in nodes if isinstance(n, Artifact)])
        return self.joining[maker.uid]

    def predictions(self, versions: Sequence[Artifact]) -> dict[str, object]:
        """How many predictions the affected scoring executions wrote, and with which models."""
        makers = {self.makers[a.uid] for a in versions if a.uid in self.makers}
        scored = [
            self.executions[m] for m in makers if m in self.executions and self.executions[m].type in PREDICTS
        ]
        counts = [e.get("n_rows") for e in scored]
        known = [n for n in counts if isinstance(n, int)]
        return {"n_predictions": sum(known) if len(known) == len(counts) else None, "n_scorings": len(scored)}


def ends_in_graph(graph: Graph, table: str) -> set[int]:
    """The versions whose maker is an ``overwrite``: what the graph alone knows of replaced tables."""
    versions = {artifact.uid: version for version, artifact in all_versions(graph, table)}
    made = [e for e in graph.list_events(artifacts=list(versions)) if e.kind in OUTPUT_KINDS]
    makers = graph.get_nodes("execution", uids=sorted({e.execution for e in made}))
    ending = {node.uid for node in makers if node.type == "overwrite"}
    return {versions[e.artifact] for e in made if e.execution in ending}


def all_versions(graph: Graph, table: str) -> list[tuple[int, Artifact]]:
    """Every version of a table that the graph knows."""
    found: list[tuple[int, Artifact]] = []
    for node in graph.list_nodes("artifact", type_="TableVersion", name_prefix=f"{table}@"):
        named = table_version(node)
        if named is not None and named[0] == table and isinstance(node, Artifact):
            found.append((named[1], node))
    return found


def group_of(node: Artifact, maker: Execution | None, *, is_training_set: bool) -> str:
    """The group an affected artifact stands in."""
    if node.type == "TableVersion":
        if maker is not None and maker.type in PREDICTS:
            return "predictions"
        return "training sets" if is_training_set else "tables"
    return _GROUP_OF_TYPE.get(node.type, "other")


def items_of(descent: Descent, starts: Iterable[str]) -> dict[str, list[ImpactItem]]:
    """What a descent reached, as items by group; the starts and their own later versions are left out."""
    begun = set(starts)
    own = {
        (table_version(descent.artifacts[uid]) or ("",))[0] for uid in begun if uid in descent.artifacts
    } - {""}
    groups: dict[str, list[ImpactItem]] = {}
    tables: dict[tuple[str, str], list[Artifact]] = {}
    for uid, via in descent.via.items():
        node: AnyNode | None = descent.artifacts.get(uid) or descent.executions.get(uid)
        if uid in begun or node is None:
            continue
        named = table_version(node)
        if isinstance(node, Execution):
            if node.type in RUN_TYPES:
                groups.setdefault("runs", []).append(_item(node, via))
        elif isinstance(node, Artifact):
            maker = descent.executions.get(descent.makers.get(uid, ""))
            group = group_of(node, maker, is_training_set=descent.is_training_set(node))
            if named is None or group == "training sets":
                groups.setdefault(group, []).append(_item(node, via))
            elif named[0] not in own:
                tables.setdefault((group, named[0]), []).append(node)
    for (group, _), versions in tables.items():
        groups.setdefault(group, []).append(_table_item(descent, group, versions))
    return {g: sorted(_once(groups[g]), key=_item_order) for g in GROUPS if g in groups}


def _once(items: Iterable[ImpactItem]) -> list[ImpactItem]:
    return list({item.ref: item for item in items}.values())


def _item(node: AnyNode, via: Via) -> ImpactItem:
    facts: dict[str, object] = {}
    for name in ("n_rows", "metrics", "params"):
        value = node.get(name)
        if value not in (None, "", {}, []):
            facts[name] = value
    if node.type == "Alias" and node.name:
        # one artifact a move; what is asked about is the alias
        alias = node.name.partition("/")[0]
        return ImpactItem(f"model:{alias}", "alias", f"alias {alias}", via)
    return ImpactItem(ref_of(node), kind_of(node), label_of(node), via, facts)


def _table_item(descent: Descent, group: str, versions: Sequence[Artifact]) -> ImpactItem:
    """One item for all affected versions of a table: the first stands for them, of predictions the last."""
    ordered = sorted(versions, key=lambda a: (table_version(a) or ("", 0))[1])
    first, last = ordered[0], ordered[-1]
    facts: dict[str, object] = {"n_versions": len(ordered)}
    if group == "predictions":
        first = last
    elif len(ordered) > 1:
        facts["last"] = ref_of(last)
    via: Via = "read" if any(descent.via[a.uid] == "read" for a in ordered) else "carried"
    if group == "predictions":
        facts = {**descent.predictions(ordered), **facts}
    return ImpactItem(
        ref_of(first), kind_of(first), f"table {(table_version(first) or ('',))[0]}", via, facts
    )


def _item_order(item: ImpactItem) -> tuple[str, int, str]:
    name, _, version = item.ref.rpartition("@")
    return (name, int(version), "") if version.isdecimal() else (item.ref, 0, item.label)


def impact_of(
    descent: Descent,
    ref: str,
    starts: Sequence[Artifact | Execution],
    notes: Sequence[str] = (),
    n_reached: Mapping[str, int] | None = None,
) -> Impact:
    """The answer of a descent that has run, with a note on what the table itself still carries.

    `n_reached` is, for each predictions table, how many predictions a row can have entered.
    """
    groups = items_of(descent, [node.uid for node in starts])
    if n_reached and "predictions" in groups:
        groups["predictions"] = [_with_reach(item, n_reached) for item in groups["predictions"]]
    return Impact(
        ref, {name: tuple(items) for name, items in groups.items()}, (*notes, *_carried(descent, starts))
    )


def _with_reach(item: ImpactItem, n_reached: Mapping[str, int]) -> ImpactItem:
    n = n_reached.get(item.ref.removeprefix("table:").rpartition("@")[0])
    return item if n is None else replace(item, facts={"n_reached": n, **item.facts})


def _carried(descent: Descent, starts: Sequence[Artifact | Execution]) -> list[str]:
    begun = {node.uid for node in starts}
    own: dict[str, list[int]] = {}
    for node in starts:
        named = table_version(node)
        if named is not None:
            own.setdefault(named[0], [])
    for uid in descent.via:
        named = table_version(descent.artifacts[uid]) if uid in descent.artifacts else None
        if named is not None and named[0] in own and uid not in begun:
            own[named[0]].append(named[1])
    return [
        f"versions {min(later)} to {max(later)} of {table} carry it on: what read one of them is marked carried"
        for table, later in sorted(own.items())
        if later
    ]
