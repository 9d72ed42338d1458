"""What is written out: the whole graph, or the lineage of some nodes, of one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TypeAlias

from whence.metadata.base import MetadataStore
from whence.metadata.rows import KINDS
from whence.metadata.types import AnyNode, Context, Direction, Event, NodeKind, Subgraph

Member: TypeAlias = tuple[str, str, NodeKind]
"""(context uid, node uid, the node's kind)"""


@dataclass(frozen=True)
class Piece:
    """Nodes and the edges between them. While it is `still`, every pass over it sees the same.

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
        """A piece of a graph."""
        return cls(store, starts, direction, max_hops, internal, as_of)

    @contextmanager
    def still(self) -> Iterator[Piece]:
        """The same piece, held at the moment when the block begins: what is written meanwhile is not in it."""
        with self.store.snapshot() as store:
            yield replace(self, store=store)

    @cached_property
    def bases(self) -> dict[tuple[NodeKind, str, str | None], str]:
        """The simple types that types stand on, by kind, name and version."""
        types = self.store.list_types()
        return {(t.kind, t.name, t.version): t.base for t in types if t.base is not None}

    def nodes(self) -> Iterator[AnyNode]:
        """The artifacts, then the executions, then the contexts; each kind by id. Tombstones are among them."""
        if self.starts is None:
            for kind in KINDS:
                yield from self.store.all_nodes(kind, as_of=self.as_of)
        else:
            found = self._found
            yield from found.artifacts
            yield from found.executions
            yield from self._contexts

    def events(self) -> Iterator[Event]:
        """The events between its nodes."""
        if self.starts is None:
            yield from self.store.all_events(as_of=self.as_of)
        else:
            yield from self._found.events

    def members(self) -> Iterator[Member]:
        """Which of its nodes are in which context."""
        if self.starts is None:
            yield from self.store.all_members(as_of=self.as_of)
        else:
            found = self._found
            yield from ((context, node, "artifact") for context, node in found.attributions)
            yield from ((context, node, "execution") for context, node in found.associations)

    def parents(self) -> Iterator[tuple[str, str]]:
        """(child, parent) of its contexts."""
        if self.starts is None:
            yield from self.store.all_parents(as_of=self.as_of)
            return
        for child in self._contexts:
            for parent in self.store.list_contexts(child=child.uid, as_of=self.as_of):
                yield child.uid, parent.uid

    @cached_property
    def _found(self) -> Subgraph:
        assert self.starts is not None
        return self.store.lineage(
            self.starts,
            direction=self.direction,
            max_hops=self.max_hops,
            internal=self.internal,
            as_of=self.as_of,
        )

    @cached_property
    def _contexts(self) -> list[Context]:
        """The contexts of the lineage, and those they are in, by id."""
        known = {context.uid: context for context in self._found.contexts}
        front = list(known)
        while front:
            above = [
                parent for uid in front for parent in self.store.list_contexts(child=uid, as_of=self.as_of)
            ]
            front = [parent.uid for parent in above if parent.uid not in known]
            known |= {parent.uid: parent for parent in above}
        return sorted(known.values(), key=lambda context: context.id or 0)
