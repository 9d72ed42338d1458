"""References and edges: made once, kept in the graph and as blobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from whence._base.crash import crash_point, register
from whence._base.digest import sha256_bytes
from whence.blobs import BlobStore
from whence.lake import Lake
from whence.metadata import Artifact, Recorder
from whence.monitoring.nodes import edges_node
from whence.monitoring.profile import Layout
from whence.monitoring.reference import Reference, measure, scored_rows
from whence.monitoring.types import Monitor
from whence.registry import Models

REFERENCE_STORED: Final = register(
    "monitoring.reference.stored", "a reference is a blob, the graph does not know it"
)


class References:
    """The references of models, and the edges of monitors.

    Args:
        recorder: Where it is recorded that one was made.
        lake: The rows that models learned from.
        models: The models, for their answers on them.
        blobs: Where references are kept.
    """

    def __init__(self, recorder: Recorder, lake: Lake, models: Models, blobs: BlobStore) -> None:
        self._recorder = recorder
        self._graph = recorder.store
        self._lake = lake
        self._models = models
        self._blobs = blobs
        self._made: dict[str, Reference] = {}
        self._layouts: dict[str, Layout] = {}

    def get(self, monitor: Monitor, model: str, edges: Artifact | None = None) -> Reference:
        """The reference of a model on the edges of a monitor; made when it is absent."""
        edges = edges or self.edges(monitor.name)
        if edges is None:
            return self._make(monitor, model, None, 1, "reference")
        number = number_of(edges)
        label = _label(monitor.name, model, number)
        if label not in self._made:
            node = self.node("Reference", label)
            if node is None:
                return self._make(monitor, model, edges, number, "reference")
            blob = str(node.get("blob"))
            self._made[label] = Reference.from_bytes(self._blobs.get(blob), blob)
        return self._made[label]

    def rebin(self, monitor: Monitor, model: str) -> Reference:
        """New edges, and the reference of a model on them."""
        edges = self.edges(monitor.name)
        return self._make(monitor, model, None, 1 if edges is None else number_of(edges) + 1, "rebin")

    def edges(self, name: str) -> Artifact | None:
        """The edges of a monitor in force; None before its first reference."""
        nodes = self._graph.find_nodes("artifact", type_="Edges", name_prefix=f"{name}#", state="LIVE").nodes
        return max((n for n in nodes if isinstance(n, Artifact)), key=number_of, default=None)

    def layout(self, edges: Artifact) -> Layout:
        """The cuts of edges."""
        blob = str(edges.get("blob"))
        if blob not in self._layouts:
            self._layouts[blob] = Layout.from_json(self._blobs.get(blob).decode())
        return self._layouts[blob]

    def node(self, type_: str, name: str) -> Artifact | None:
        """A live node of the graph by type and name."""
        nodes = self._graph.find_nodes("artifact", type_=type_, name=name, state="LIVE").nodes
        return nodes[0] if nodes and isinstance(nodes[0], Artifact) else None

    def _make(
        self, monitor: Monitor, model: str, edges: Artifact | None, number: int, type_: str
    ) -> Reference:
        version = self._models.get(model)
        source, rows = scored_rows(self._lake, self._models, self._graph, monitor, version)
        names = [n for n in rows.column_names if n != monitor.at]
        layout = Layout.fit(rows, names) if edges is None else self.layout(edges)
        text = layout.to_json().encode()
        made = measure(monitor, layout, sha256_bytes(text), model, source, rows)
        label = _label(monitor.name, model, number)
        with self._recorder.joined(
            type_,
            properties={"monitor": monitor.name, "model": model},
            inputs=[(self._models.artifact(version), ("model",)), (source.artifact(), ("rows",))],
            looks=True,
        ) as recording:
            blob = self._blobs.put(made.to_bytes())
            if edges is None:
                cuts = edges_node(monitor.name, number, text, self._blobs.put(text))
                recording.output(cuts, path=("edges",))
            crash_point(REFERENCE_STORED)
            recording.output(_node(monitor.name, label, made, blob), path=("reference", model))
        self._made[label] = replace(made, blob=blob)
        return self._made[label]


def number_of(edges: Artifact) -> int:
    """The how-manieth edges of their monitor."""
    return int(str(edges.get("number")))


def _label(monitor: str, model: str, number: int) -> str:
    return f"{monitor}/{model}#{number}"


def _node(monitor: str, label: str, made: Reference, blob: str) -> Artifact:
    return Artifact(
        type="Reference",
        name=label,
        uri=f"blob:{blob}",
        properties={
            "monitor": monitor,
            "model": made.model,
            "source": made.source,
            "blob": blob,
            "n_rows": made.n_rows,
        },
    )
