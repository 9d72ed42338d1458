"""What depends on a node: everything downstream, by type."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from whence.metadata.base import MetadataStore
from whence.metadata.filter import Filter
from whence.metadata.found import SHOWN, line_of, node_to_dict, nodes_html
from whence.metadata.types import Artifact, Execution
from whence.metadata.walk import WalkQuery


@dataclass(frozen=True, slots=True)
class Reached:
    """A node, and how many events away it is."""

    hops: int
    node: Artifact | Execution


@dataclass(frozen=True, slots=True, repr=False)
class Impact:
    """Everything that was made from something.

    Attributes:
        by_type: By the name of the type, sorted; within a type the nearest first, then by id.
        n: How many nodes there are.
        depth: How many events away the farthest is.
    """

    by_type: Mapping[str, Sequence[Reached]]
    n: int
    depth: int

    def text(self) -> str:
        """A few lines a type: how many there are, the nearest first."""
        lines = []
        for name, some in self.by_type.items():
            lines.append(f"{name}: {len(some)}")
            lines += [f"  {one.hops} away: {line_of(one.node)}" for one in some[:SHOWN]]
            if len(some) > SHOWN:
                lines.append(f"  … and {len(some) - SHOWN} more")
        return "\n".join(lines or ["nothing was made from it"])

    def to_dict(self) -> dict[str, object]:
        """All of it as plain values, for ``--json``."""
        by_type = {
            name: [{"hops": one.hops, **node_to_dict(one.node)} for one in some]
            for name, some in self.by_type.items()
        }
        return {"n": self.n, "depth": self.depth, "by_type": by_type}

    def __repr__(self) -> str:
        return f"<impact: {self.n} nodes of {len(self.by_type)} types, up to {self.depth} events away>\n{self.text()}"

    def _repr_html_(self) -> str:
        """For notebooks: the nodes as a table."""
        nodes = [one.node for some in self.by_type.values() for one in some[:SHOWN]]
        return nodes_html(nodes, caption=f"impact: {self.n} nodes")


def impact(
    store: MetadataStore,
    starts: str | Sequence[str],
    *,
    max_hops: int | None = None,
    internal: bool = False,
    stop: str | Filter | None = None,
    only: Collection[str] | None = None,
    as_of: datetime | None = None,
) -> Impact:
    """Everything downstream of one or several nodes, without them, grouped by type.

    Args:
        store: The graph.
        starts: Uids of artifacts or executions.
        max_hops: At most this many events away.
        internal: Also over INTERNAL_* events: what ran with this code, in this environment.
        stop: A filter; what lies behind a node that fits it is left out.
        only: Names of the types that are wanted.
        as_of: In the graph as it was known at this moment.

    Raises:
        NotFoundError: A start is unknown or a context (``node-not-found``).
        UsageError: ``bad-filter``, ``bad-query`` or ``naive-time``.

    Example:
        >>> from whence.metadata import Change, Event, Put, open_store
        >>> store = open_store("memory://")
        >>> raw, model = Artifact(type="mlmd.Dataset", name="raw"), Artifact(type="mlmd.Model", name="late@1")
        >>> train = Execution(type="mlmd.Train", name="train")
        >>> events = [Event(train.uid, raw.uid, "INPUT"), Event(train.uid, model.uid, "OUTPUT")]
        >>> written = store.write(Change([Put(raw), Put(model), Put(train)], events))
        >>> found = impact(store, raw.uid)
        >>> {name: [reached.node.name for reached in some] for name, some in found.by_type.items()}
        {'mlmd.Model': ['late@1'], 'mlmd.Train': ['train']}
        >>> found.n, found.depth
        (2, 2)
    """
    begun = [starts] if isinstance(starts, str) else list(starts)
    query = WalkQuery(
        begun, direction="down", max_hops=max_hops, internal=internal, stop=stop, only=only, as_of=as_of
    )
    found: dict[str, list[Reached]] = {}
    n = depth = 0
    for level in store.walk(query):
        if level.hops == 0:
            continue
        for node in level.nodes:
            found.setdefault(node.type, []).append(Reached(level.hops, node))
        n, depth = n + len(level.nodes), level.hops
    return Impact({name: found[name] for name in sorted(found)}, n, depth)
