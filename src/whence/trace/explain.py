"""What is known of each type of artifact: one explainer a type.

A room that brings a type registers its explainer with `Explainers.register`; a type without one
shows its properties. An explainer never raises for a thing that is gone: it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from whence.errors import WhenceError
from whence.metadata.types import Artifact, Execution
from whence.trace.base import Blobs, Tables
from whence.trace.names import table_version
from whence.trace.node import NO_FACTS, TraceNode


@dataclass(frozen=True, slots=True)
class Explained:
    """What an explainer says of an artifact.

    Attributes:
        facts: In the order they are shown.
        missing: What of it is gone; None when it is all there.
        children: Nodes beside what the graph knows, such as the definition of a view.
    """

    facts: Mapping[str, object] = field(default_factory=lambda: NO_FACTS)
    missing: str | None = None
    children: tuple[TraceNode, ...] = ()


Explainer: TypeAlias = Callable[[Artifact], Explained]

# Bookkeeping that says nothing about whence a thing came.
_QUIET: Final = frozenset(
    {
        *("table", "version", "model", "view", "definition", "schema_digest"),
        *("signature", "packages", "trust", "size_bytes"),
    }
)


class Explainers:
    """The explainers by type of artifact."""

    def __init__(self, lake: Tables | None, blobs: Blobs | None) -> None:
        self._lake = lake
        self._blobs = blobs
        self._by_type: dict[str, Explainer] = {
            "TableVersion": self._table,
            "Model": self._bytes,
            "Blob": self._bytes,
            "FeatureView": self._view,
        }

    def register(self, type_: str, explainer: Explainer) -> None:
        """Let `explainer` speak for artifacts of this type from now on."""
        self._by_type[type_] = explainer

    def __call__(self, artifact: Artifact) -> Explained:
        explainer = self._by_type.get(artifact.type)
        try:
            said = explainer(artifact) if explainer is not None else Explained(properties_of(artifact))
        except WhenceError as error:
            said = Explained(properties_of(artifact), missing=str(error))
        if (
            artifact.state in ("DELETED", "ABANDONED", "MARKED_FOR_DELETION", "PENDING")
            and said.missing is None
        ):
            return Explained(said.facts, f"state {artifact.state}", said.children)
        return said

    def _table(self, artifact: Artifact) -> Explained:
        named = table_version(artifact)
        facts = properties_of(artifact)
        if named is None or self._lake is None:
            return Explained(facts)
        table, version = named
        return Explained(facts, missing=missing_version(self._lake, table, version))

    def _view(self, artifact: Artifact) -> Explained:
        definition = artifact.get("definition")
        if not isinstance(definition, Mapping):
            return Explained(properties_of(artifact))
        facts: dict[str, object] = {n: definition[n] for n in ("source", "column", "tz") if definition.get(n)}
        features = definition.get("features")
        if isinstance(features, Sequence):
            facts["features"] = [f["name"] for f in features if isinstance(f, Mapping)]
        facts |= {n: artifact.get(n) for n in ("owner", "sensitivity", "description") if artifact.get(n)}
        return Explained(facts)

    def _bytes(self, artifact: Artifact) -> Explained:
        facts = properties_of(artifact)
        digest = artifact.get("digest") or artifact.name
        if self._blobs is None or not isinstance(digest, str) or not digest.startswith("sha256:"):
            return Explained(facts)
        gone = None if self._blobs.exists(digest) else f"blob {digest} is gone"
        return Explained(facts, missing=gone)


def missing_version(lake: Tables, table: str, version: int) -> str | None:
    """Why the rows of a table version cannot be read; None when its files are all there."""
    try:
        lake.table(table).at(version).files()
    except WhenceError as error:
        return str(error)
    return None


def properties_of(artifact: Artifact) -> dict[str, object]:
    """The stored properties that say something, typed ones first."""
    both = {**artifact.properties, **artifact.custom}
    return {
        name: value for name, value in both.items() if name not in _QUIET and value not in (None, "", {}, [])
    }


def facts_of(execution: Execution) -> dict[str, object]:
    """What is shown of an execution: state unless complete, who, when, how long, parameters, metrics, error."""
    facts: dict[str, object] = {}
    if execution.state != "COMPLETE":
        facts["state"] = execution.state
    for name in ("principal", "started_at", "duration_s", "params", "metrics", "attempt", "error"):
        value = execution.get(name)
        if value in (None, "", {}, []) or (name == "attempt" and value == 1):
            continue
        facts[name] = round(value, 3) if isinstance(value, float) else value
    return facts
