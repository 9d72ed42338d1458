"""The journey map: tables → features → training sets → models → deployments → predictions → monitors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from whence.metadata import Artifact, Execution
from whence.server.api import deployments, monitors
from whence.server.api.base import (
    Asked,
    Data,
    artifact_named,
    execution_facts,
    inputs_of,
    json_of,
    makers_of,
)
from whence.server.api.tables import Line, lines
from whence.trace.plain import Json
from whence.workspace import Workspace

MAX_TABLES: Final = 120
MAX_NODES: Final = 10
RECENT: Final = 8
STAGES: Final = {
    "tables": "Tables",
    "features": "Features",
    "training": "Training sets",
    "models": "Models",
    "deployments": "Deployments",
    "predictions": "Predictions",
    "monitors": "Monitors",
}
#: What people and schedules decide and do; commits and scorings would drown it.
_TELLING: Final = (
    "step", "run", "register", "set_alias", "delete_alias", "promote", "deploy", "watch", "validate", "evaluate",
    "reproduce", "quarantine", "correct", "replay", "overwrite", "delete", "vacuum",
)  # fmt: skip


@dataclass(slots=True)
class Map:
    """Nodes by stage, and the arrows between them."""

    stages: dict[str, dict[str, Data]] = field(default_factory=lambda: {key: {} for key in STAGES})
    edges: dict[tuple[str, str], None] = field(default_factory=dict)

    def put(self, stage: str, name: str, *, note: str, count: int | None, **facts: Json) -> None:
        """A node; its id is stage and name."""
        node: Data = {"id": f"{stage}/{name}", "name": name, "note": note, "count": count, **facts}
        self.stages[stage][name] = node

    def join(self, start: str, end: str) -> None:
        """An arrow, when both its ends are on the map."""
        if all(name in self.stages[stage] for stage, _, name in (start.partition("/"), end.partition("/"))):
            self.edges[start, end] = None

    def facts(self, totals: dict[str, int]) -> Data:
        """The map as JSON; of a long stage the first nodes, and how many more there are."""
        shown: list[Json] = []
        kept: set[str] = set()
        order = self._order()
        for key, title in STAGES.items():
            nodes = sorted(self.stages[key].values(), key=lambda n: order[str(n["id"])])
            for node in nodes:
                node["sources"] = [a.partition("/")[2] for a, b in self.edges if b == node["id"]]
            cut = nodes if len(nodes) <= MAX_NODES + 1 else nodes[:MAX_NODES]
            kept |= {str(n["id"]) for n in cut}
            total = max(totals.get(key, 0), len(nodes))
            shown.append(
                {"stage": key, "title": title, "total": total, "more": total - len(cut), "nodes": [*cut]}
            )
        ends = dict.fromkeys((self._end(a, kept), self._end(b, kept)) for a, b in self.edges)
        arrows: list[Json] = [{"from": a, "to": b} for a, b in ends]
        return {"stages": shown, "edges": arrows}

    def _order(self) -> dict[str, float]:
        """Where each node stands in its column: near the middle of what it hangs on, so that few arrows cross."""
        place: dict[str, float] = {}
        for nodes in self.stages.values():
            place |= _spread([str(n["id"]) for n in nodes.values()])
        columns = list(self.stages.values())
        for forward in (True, False, True):
            for nodes in columns if forward else columns[::-1]:
                ids = [str(n["id"]) for n in nodes.values()]
                place |= _spread(
                    sorted(ids, key=lambda i: (self._middle(i, place, forward=forward), place[i]))
                )
        return place

    def _middle(self, node: str, place: dict[str, float], *, forward: bool) -> float:
        ends = [a if forward else b for a, b in self.edges if (b if forward else a) == node]
        return sum(place[e] for e in ends) / len(ends) if ends else place[node]

    @staticmethod
    def _end(node: str, kept: set[str]) -> str:
        return node if node in kept else f"{node.partition('/')[0]}/…"


def _spread(ids: list[str]) -> dict[str, float]:
    return {node: (i + 0.5) / len(ids) for i, node in enumerate(ids)}


def show_journey(asked: Asked) -> Data:
    """The map with counts, what was decided lately, and the alerts that are open."""
    ws = asked.ws
    names = ws.lake.list()
    found = lines(ws, names[:MAX_TABLES])
    drawn = Map()
    _tables(drawn, found)
    _features(ws, drawn)
    _training(ws, drawn, found)
    _models(ws, drawn)
    _serving(ws, drawn, found)
    watched = _monitors(ws, drawn)
    return {
        "project": ws.config.text("project"),
        "workspace": ws.config.root.name,
        "title": ws.config.root.name if _is_unnamed(ws) else ws.config.text("project"),
        "n_tables": len(names),
        "n_rows": sum(line.head.n_rows for line in found),
        "n_versions": sum(line.head.version + 1 for line in found),
        **drawn.facts({"tables": max(0, len(names) - MAX_TABLES) + len(drawn.stages["tables"])}),
        "alerts": watched,
        "recent": _recent(ws),
    }


def _is_unnamed(ws: Workspace) -> bool:
    return ws.config.source("project") == "default"


def _tables(drawn: Map, found: Iterable[Line]) -> None:
    for line in found:
        if line.role == "source":
            note = f"version {line.head.version:,}"
            drawn.put("tables", line.name, note=note, count=line.head.n_rows, unit="rows", ref=line.head.ref)


def _features(ws: Workspace, drawn: Map) -> None:
    for view in ws.features.list():
        n = len(view.features)
        drawn.put(
            "features",
            view.name,
            note=f"from {view.source}",
            count=n,
            unit="features",
            ref=f"feature_view:{view.name}",
        )
        drawn.join(f"tables/{view.source}", f"features/{view.name}")


def _training(ws: Workspace, drawn: Map, found: Iterable[Line]) -> None:
    derived = [line for line in found if line.role == "derived"]
    for line in derived:
        note = f"version {line.head.version:,}"
        drawn.put("training", line.name, note=note, count=line.head.n_rows, unit="rows", ref=line.head.ref)
    for line in derived:
        _arrows_into(ws, drawn, f"training/{line.name}", artifact_named(ws, "TableVersion", line.head.name))


def _models(ws: Workspace, drawn: Map) -> None:
    for name in ws.models.list():
        versions = ws.models.versions(name)
        champion = ws.models.aliases(name).get("champion")
        note = f"champion @{champion}" if champion is not None else "no champion"
        drawn.put("models", name, note=note, count=len(versions), unit="versions", ref=f"model:{name}")
        shown = next((v for v in versions if v.version == champion), versions[-1] if versions else None)
        if shown is not None:
            _arrows_into(ws, drawn, f"models/{name}", artifact_named(ws, "Model", f"{name}@{shown.version}"))


def _arrows_into(ws: Workspace, drawn: Map, node: str, made: Artifact | None) -> None:
    """Arrows from what the execution read that made this artifact."""
    maker = None if made is None else makers_of(ws, [made]).get(made.uid)
    if maker is None:
        return
    read = inputs_of(ws, [maker])[maker]
    through = {
        name for a in read if a.type == "FeatureView" and (name := _name(a)) in drawn.stages["features"]
    }
    sources = {str(drawn.stages["features"][v]["note"]).removeprefix("from ") for v in through}
    for artifact in read:
        name = _name(artifact)
        if artifact.type == "FeatureView":
            drawn.join(f"features/{name}", node)
        elif artifact.type == "TableVersion" and name not in sources:  # else the arrow goes through the views
            drawn.join(f"tables/{name}", node)
            if not node.startswith("training/"):
                drawn.join(f"training/{name}", node)


def _name(artifact: Artifact) -> str:
    return (artifact.name or "").rpartition("@")[0]


def _serving(ws: Workspace, drawn: Map, found: Iterable[Line]) -> None:
    """Deployments and the tables they write; tables scored without a deployment hang on their model."""
    fed: set[str] = set()
    tables = [line for line in found if line.role == "predictions"]
    for line in tables:
        note = f"version {line.head.version:,}"
        drawn.put("predictions", line.name, note=note, count=line.head.n_rows, unit="rows", ref=line.head.ref)
    for one in deployments.known(ws):
        drawn.put("deployments", one.name, note=one.model, count=None, unit="", ref="")
        drawn.join(f"models/{one.model.partition('@')[0]}", f"deployments/{one.name}")
        drawn.join(f"deployments/{one.name}", f"predictions/{one.into}")
        fed.add(one.into)
    for line in tables:
        if line.name not in fed:
            for model in _scored_by(ws, line.name):
                drawn.join(f"models/{model}", f"predictions/{line.name}")


def _scored_by(ws: Workspace, table: str) -> list[str]:
    page = ws.graph.find_nodes("execution", type_="score", where={"into": table}, descending=True, limit=1)
    return [str(n.get("model")).removeprefix("model:").partition("@")[0] for n in page.nodes]


def _monitors(ws: Workspace, drawn: Map) -> Json:
    """The monitors, and the newest of their open alerts."""
    shown: list[Json] = []
    into = {d.name: d.into for d in deployments.known(ws)}
    for one in monitors.known(ws):
        alerts = monitors.alerts_of(ws, one.name, open_only=True)
        note = "all quiet" if not alerts else f"{len(alerts)} open"
        drawn.put(
            "monitors", one.name, note=note, count=len(alerts), unit="alerts", ref="", alert=bool(alerts)
        )
        drawn.join(f"predictions/{into.get(one.deployment, '')}", f"monitors/{one.name}")
        shown += [json_of(a) for a in alerts[:RECENT]]
    return shown[:RECENT]


def _recent(ws: Workspace) -> Json:
    """The newest of what tells most; where there is none of it (all of another program), the newest of all."""
    for types in (_TELLING, None):
        page = ws.graph.find_nodes("execution", type_=types, descending=True, limit=RECENT)
        if page.nodes:
            break
    return [execution_facts(n) for n in page.nodes if isinstance(n, Execution)]
