"""What runs read: table versions and other data, as the graph recorded them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from whence.metadata import NONE, Artifact, MetadataStore, Properties

# The artifacts that are data, and the kind of reference each goes by.
_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {"TableVersion": "table", "View": "view", "FeatureView": "feature_view", "Model": "model", "Blob": "blob"}
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that a run read, at a version.

    Attributes:
        ref: ``table:flights@12``.
        type: The artifact's type, ``TableVersion``.
        name: The artifact's name, ``flights@12``.
        digest: What names its contents, when known.
        n_rows: How many rows it has, when known.
        role: What it was to the run.
    """

    ref: str
    type: str
    name: str
    uid: str
    digest: str | None = None
    n_rows: int | None = None
    role: str | None = None
    properties: Properties = field(default_factory=lambda: NONE)


def list_inputs(graph: MetadataStore, uid: str) -> list[Dataset]:
    """The data an execution read, in the order of reading."""
    events = [event for event in graph.list_events(executions=[uid]) if event.kind == "INPUT"]
    nodes = {
        node.uid: node for node in graph.get_nodes("artifact", uids=[event.artifact for event in events])
    }
    found = []
    for event in events:
        node = nodes.get(event.artifact)
        if isinstance(node, Artifact) and node.type in _KINDS:
            found.append(_dataset(node, "/".join(map(str, event.path)) or None))
    return found


def list_readers(graph: MetadataStore, artifact: str) -> list[str]:
    """The uids of the executions that read an artifact (its uid), oldest first."""
    events = graph.list_events(artifacts=[artifact])
    return list(dict.fromkeys(event.execution for event in events if event.kind == "INPUT"))


def role_of(role: str | None) -> tuple[str, ...]:
    """A role as the path of an event."""
    return () if role is None else (role,)


def _dataset(node: Artifact, role: str | None) -> Dataset:
    name = node.name or node.uid
    digest, n_rows = node.get("digest"), node.get("n_rows")
    return Dataset(
        ref=f"{_KINDS[node.type]}:{name}" if node.type != "Blob" else f"blob:{digest}",
        type=node.type,
        name=name,
        uid=node.uid,
        digest=digest if isinstance(digest, str) else None,
        n_rows=n_rows if isinstance(n_rows, int) else None,
        role=role,
        properties={**node.properties, **node.custom},
    )
