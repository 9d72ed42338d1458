"""What is written out: the whole graph, or the lineage of some nodes, as it was at one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from whence.metadata.base import MetadataStore
from whence.metadata.rows import KINDS
from whence.metadata.types import AnyNode, Context, Direction, Event, NodeKind, Subgraph

Member: TypeAlias = tuple[str, str, NodeKind]
"""(context uid, node uid, the node's kind)"""


@dataclass(frozen=True, slots=True)
class Piece:
    """Nodes and the edges between them; every pass over it sees the same.

    Args:
        store: The graph.
        starts: Uids of artifacts and executions; None is the whole graph.
        direction: From the starts ``up`` to what they came from, ``down`` to where they went, ``both``.
        max_hops: At most this many events away; None is no limit.
        internal: Also follow INTERNAL_* events (code, environment). The whole graph always has them.
        as_of: The graph as it was known then; None is now.

    Example:
        >>> from whence.metadata import Artifact, Change, Put, Type, open_store
        >>> store = open_store("memory://")
        >>> _ = store.put_type(Type("artifact", "Table"))
        >>> _ = store.write(Change(puts=[Put(Artifact(type="Table", name="raw"))]))
        >>> [node.name for node in Piece(store).nodes()]
        ['raw']
    """

    store: MetadataStore
    starts: Sequence[str] | None = None
    direction: Direction = "both"
    max_hops: int | None = None
    internal: bool = False
    as_of: datetime | None = None

    @classmethod
    def of(
        cls,
        store: MetadataStore,
        starts: Sequence[str] | None = None,
        *,
        direction: Direction = "both",
        max_hops: int | None = None,
        internal: bool = False,
        as_of: datetime | None = None,
    ) -> Piece:
        """A piece whose moment is fixed: writes that follow do not show in later passes."""
        return cls(store, starts, direction, max_hops, internal, as_of or datetime.now(UTC))

    def nodes(self) -> Iterator[AnyNode]:
        """The artifacts, then the executions, then the contexts; each kind by id. Tombstones are among them."""
        if self.starts is None:
            for kind in KINDS:
                yield from self.store.all_nodes(kind, as_of=self.as_of)
        else:
            found = self._lineage()
            yield from found.artifacts
            yield from found.executions
            yield from self._contexts(found)

    def events(self) -> Iterator[Event]:
        """The events between its nodes."""
        if self.starts is None:
            yield from self.store.all_events(as_of=self.as_of)
        else:
            yield from self._lineage().events

    def members(self) -> Iterator[Member]:
        """Which of its nodes are in which context."""
        if self.starts is None:
            yield from self.store.all_members(as_of=self.as_of)
        else:
            found = self._lineage()
            yield from ((context, node, "artifact") for context, node in found.attributions)
            yield from ((context, node, "execution") for context, node in found.associations)

    def parents(self) -> Iterator[tuple[str, str]]:
        """(child, parent) of its contexts."""
        if self.starts is None:
            yield from self.store.all_parents(as_of=self.as_of)
            return
        inside = self._contexts(self._lineage())
        for child in inside:
            for parent in self.store.list_contexts(child=child.uid, as_of=self.as_of):
                yield child.uid, parent.uid

    def _lineage(self) -> Subgraph:
        assert self.starts is not None
        return self.store.lineage(
            self.starts,
            direction=self.direction,
            max_hops=self.max_hops,
            internal=self.internal,
            as_of=self.as_of,
        )

    def _contexts(self, found: Subgraph) -> list[Context]:
        """The contexts of a lineage, and those they are in."""
        known = {context.uid: context for context in found.contexts}
        front = list(known)
        while front:
            above = [
                parent for uid in front for parent in self.store.list_contexts(child=uid, as_of=self.as_of)
            ]
            front = [parent.uid for parent in above if parent.uid not in known]
            known |= {parent.uid: parent for parent in above}
        return list(known.values())
