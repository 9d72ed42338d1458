"""From a node of the graph to its reference, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from whence._base.ids import is_uid
from whence._base.refs import Ref
from whence.errors import NotFoundError, UsageError, WhenceError
from whence.metadata.types import AnyNode, Artifact, Execution
from whence.trace.base import Graph

KIND_OF_TYPE: Final = {
    "TableVersion": "table",
    "View": "view",
    "Statistics": "statistics",
    "Schema": "schema",
    "FeatureView": "feature_view",
    "Model": "model",
    "Blob": "blob",
    "Environment": "environment",
}
TYPE_OF_KIND: Final = {kind: type_ for type_, kind in KIND_OF_TYPE.items()}
RUN_TYPES: Final = frozenset({"run", "step"})
EXECUTION_KINDS: Final = frozenset({"execution", "run", "step"})
PREDICTS: Final = frozenset({"score", "answer"})
"""The executions that write predictions: of a batch or stream, and of requests."""
LAKE_WRITES: Final = frozenset({"append", "overwrite", "merge", "delete", "compact"})

_NEAR: Final = 200  # names looked at for "did you mean"


def ref_of(node: AnyNode) -> str:
    """The reference to ask about a node of the graph.

    Example:
        >>> ref_of(Artifact(type="TableVersion", name="flights@12"))
        'table:flights@12'
    """
    if isinstance(node, Execution):
        return f"{'run' if node.type in RUN_TYPES else 'execution'}:{node.uid}"
    if isinstance(node, Artifact):
        kind = KIND_OF_TYPE.get(node.type)
        return f"{kind}:{node.name}" if kind is not None and node.name else f"artifact:{node.uid}"
    return f"context:{node.uid}"


def kind_of(node: AnyNode) -> str:
    """The kind word of a node: ``table``, ``model``, ``run``, else its type in lower case."""
    if isinstance(node, Execution):
        return "run" if node.type in RUN_TYPES else "execution"
    return KIND_OF_TYPE.get(node.type, _words(node.type))


def table_version(node: AnyNode) -> tuple[str, int] | None:
    """``("flights", 12)`` for a table version; None for anything else.

    Example:
        >>> table_version(Artifact(type="TableVersion", name="flights@12"))
        ('flights', 12)
    """
    if not isinstance(node, Artifact) or node.type != "TableVersion" or not node.name:
        return None
    table, at, version = node.name.rpartition("@")
    return (table, int(version)) if at and version.isdecimal() else None


def label_of(node: AnyNode) -> str:
    """What a person reads: the reference of a thing, the doing of an execution."""
    if isinstance(node, Execution):
        step = node.get("step") or node.get("step_name") or node.get("run_name") or node.name
        return f"{node.type} {step}" if step else node.type
    if isinstance(node, Artifact):
        if node.type in KIND_OF_TYPE and node.name:
            return ref_of(node)
        return f"{_words(node.type)} {node.name or node.uid}"
    return f"{_words(node.type)} {node.name or node.uid}"


def _words(type_: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type_).lower()


def get_execution(graph: Graph, ref: Ref) -> Execution:
    """The execution a ``run:``, ``step:`` or ``execution:`` reference names, by uid or by key.

    Raises:
        NotFoundError: No execution has this uid or key (``execution-not-found``).
        UsageError: Several executions of different types share the key (``ambiguous-reference``).
    """
    found = graph.get_nodes("execution", uids=[ref.name]) if is_uid(ref.name) else []
    if not found:
        found = list(graph.find_nodes("execution", name=ref.name, limit=2).nodes)
    if len(found) > 1:
        raise UsageError(
            f"{ref} names several executions: {', '.join(ref_of(node) for node in found)}",
            code="ambiguous-reference",
            hint="name one of them by its uid",
        )
    for node in found:
        if isinstance(node, Execution):
            return node
    raise NotFoundError("execution", ref.name, hint="whence nodes execution shows all")


def find_artifact(graph: Graph, type_: str, name: str) -> Artifact | None:
    """The artifact of this type and name; None when the graph has none."""
    for node in graph.find_nodes("artifact", type_=type_, name=name, limit=1).nodes:
        if isinstance(node, Artifact):
            return node
    return None


def get_artifact(graph: Graph, ref: Ref) -> Artifact:
    """The artifact a reference with a version names.

    Raises:
        NotFoundError: The graph has no such artifact; the code names the kind, such as
            ``table-version-not-found``.
    """
    if ref.kind == "artifact":
        for node in graph.get_nodes("artifact", uids=[ref.name]):
            if isinstance(node, Artifact):
                return node
        raise NotFoundError("artifact", ref.name)
    name = ref.name if ref.version is None else f"{ref.name}@{ref.version}"
    found = find_artifact(graph, TYPE_OF_KIND[ref.kind], name)
    if found is not None:
        return found
    raise _absent(graph, ref, name)


def _absent(graph: Graph, ref: Ref, name: str) -> WhenceError:
    page = graph.find_nodes("artifact", type_=TYPE_OF_KIND[ref.kind], descending=True, limit=_NEAR)
    what = {"table": "table version", "model": "model version"}.get(ref.kind, ref.kind.replace("_", " "))
    return NotFoundError(what, name, near=[n.name for n in page.nodes if n.name])


def artifacts_of_digest(graph: Graph, digest: str) -> list[Artifact]:
    """Everything that stands for these bytes: blobs of this name, models and reports of this digest."""
    found: dict[str, Artifact] = {}
    pages = (
        graph.find_nodes("artifact", type_="Blob", name=digest),
        graph.find_nodes("artifact", where={"digest": digest}),
    )
    for page in pages:
        for node in page.nodes:
            if isinstance(node, Artifact):
                found.setdefault(node.uid, node)
    return list(found.values())


def joins_features(execution: Execution, read: Iterable[Artifact]) -> bool:
    """Whether an execution made a training set: a point-in-time join, or a step that read feature views."""
    if execution.type == "point_in_time":
        return True
    return execution.type not in PREDICTS and any(artifact.type == "FeatureView" for artifact in read)


def latest_artifact(graph: Graph, kind: str, name: str) -> Artifact | None:
    """The newest version of a named thing: the highest number, else the one put last."""
    page = graph.find_nodes("artifact", type_=TYPE_OF_KIND[kind], name_prefix=f"{name}@")
    found = [n for n in page.nodes if isinstance(n, Artifact) and (n.name or "").rpartition("@")[0] == name]
    return max(found, key=_newness, default=None)


def _newness(artifact: Artifact) -> tuple[int, str, int]:
    version = (artifact.name or "").rpartition("@")[2]
    # The version of a feature view is a digest, which may happen to have only figures.
    number = int(version) if version.isdecimal() and artifact.type != "FeatureView" else -1
    return (number, str(artifact.get("applied_at") or ""), artifact.id or 0)
