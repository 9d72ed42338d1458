"""Answers of the graph that a person looks at: a query that is read when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, Generic, TypeVar

from whence.metadata.rows import kind_of
from whence.metadata.types import AnyNode, Context

N_co = TypeVar("N_co", bound=AnyNode, covariant=True)

SHOWN: Final = 10
"""Nodes that a repr shows."""
COLUMNS: Final = ("uid", "type", "name", "state", "created_at")


class Found(Generic[N_co]):
    """Nodes that fit a question, read page by page while they are iterated, and anew by each iteration.

    Example:
        >>> from whence.metadata import open_store
        >>> from whence.metadata.graph import Graph
        >>> graph = Graph(open_store("memory://"))
        >>> for n in range(3):
        ...     _ = graph.add("Dataset", f"day@{n}", kind="artifact")
        >>> days = graph.find("artifact", "type = 'Dataset'")
        >>> [day.name for day in days], days.first().name
        (['day@0', 'day@1', 'day@2'], 'day@0')
    """

    def __init__(self, read: Callable[[int | None], Iterator[N_co]], what: str) -> None:
        self._read = read
        self._what = what

    def __iter__(self) -> Iterator[N_co]:
        return self._read(None)

    def first(self) -> N_co | None:
        """The first of them; None when nothing fits."""
        return next(self._read(1), None)

    def all(self) -> list[N_co]:
        """All of them."""
        return list(self)

    def __repr__(self) -> str:
        shown = list(islice(self._read(SHOWN + 1), SHOWN + 1))
        lines = [f"<{self._what}>", *(f"  {line_of(node)}" for node in shown[:SHOWN])]
        return "\n".join([*lines, "  …"] if len(shown) > SHOWN else lines)

    def _repr_html_(self) -> str:
        """For notebooks: the first of them as a table."""
        return nodes_html(islice(self._read(SHOWN), SHOWN), caption=f"{self._what}: the first {SHOWN}")


def line_of(node: AnyNode) -> str:
    """A node in one line: type, name, state, uid.

    Example:
        >>> from whence.metadata import Artifact
        >>> line_of(Artifact(type="Model", name="late@3", uid="01J"))
        'Model late@3 LIVE 01J'
    """
    state = "" if isinstance(node, Context) else f" {node.state}"
    gone = "" if node.removed_at is None else " (removed)"
    name = "" if node.name is None else f" {node.name}"
    return f"{node.type}{name}{state} {node.uid}{gone}"


def node_to_dict(node: AnyNode) -> dict[str, object]:
    """A node as plain values, for ``--json``."""
    facts: dict[str, object] = {
        "uid": node.uid,
        "kind": kind_of(node),
        "type": node.type,
        "name": node.name,
        "external_id": node.external_id,
        "namespace": node.namespace,
        "created_at": _iso(node.created_at),
        "updated_at": _iso(node.updated_at),
        "removed_at": _iso(node.removed_at),
        "revision": node.revision,
        "properties": dict(node.properties),
        "custom": dict(node.custom),
    }
    if not isinstance(node, Context):
        facts["state"] = node.state
    uri = getattr(node, "uri", None)
    if uri is not None:
        facts["uri"] = uri
    return facts


def nodes_html(nodes: Iterable[AnyNode], *, caption: str = "") -> str:
    """Nodes as a table for a notebook."""
    from whence.drawing import html_table

    return html_table(COLUMNS, [_cells(node) for node in nodes], caption=caption)


def _cells(node: AnyNode) -> Sequence[object]:
    state = None if isinstance(node, Context) else node.state
    return [node.uid, node.type, node.name, state, _iso(node.created_at)]


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


__all__ = ["Found", "line_of", "node_to_dict", "nodes_html"]
