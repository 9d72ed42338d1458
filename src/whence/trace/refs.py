"""The node of the graph that a reference names, for whoever asks the graph and not for a trace."""

from __future__ import annotations

from collections.abc import Callable

from whence._base.ids import is_uid
from whence._base.refs import Ref
from whence.errors import NotFoundError, UsageError
from whence.metadata.types import AnyNode
from whence.trace.base import Graph
from whence.trace.names import (
    EXECUTION_KINDS,
    TYPE_OF_KIND,
    artifacts_of_digest,
    get_artifact,
    get_execution,
    latest_artifact,
)


def find_by_ref(
    graph: Graph, text: str, *, model: Callable[[str], str], run: Callable[[str], str]
) -> AnyNode | None:
    """The node that is meant; None when `text` is no reference, or one to something that is no node.

    Args:
        graph: The graph.
        text: ``table:flights@12``, ``table:flights`` (the newest), ``model:late@champion``, ``run:…``, …
        model: Gives the reference with the number of ``late@champion`` or ``late``.
        run: Gives the uid of a run by its name.

    Raises:
        NotFoundError: Nothing is called so; near names are given.
    """
    try:
        ref = Ref.parse(text)
    except UsageError:
        return None
    if ref.kind in EXECUTION_KINDS:
        try:
            return get_execution(graph, ref)
        except NotFoundError:
            if ref.kind != "run" or is_uid(ref.name):
                raise
            return get_execution(graph, Ref("run", run(ref.name)))
    if ref.kind == "model" and (ref.version is None or not ref.version.isdecimal()):
        ref = Ref.parse(model(text.removeprefix("model:")), kind="model")
    if ref.kind == "blob":
        return next(iter(artifacts_of_digest(graph, ref.name)), None)
    if ref.kind not in TYPE_OF_KIND:
        return None
    newest = latest_artifact(graph, ref.kind, ref.name) if ref.version is None else None
    return newest or get_artifact(graph, ref)
