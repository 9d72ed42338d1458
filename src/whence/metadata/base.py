"""The port of the graph: what any metadata backend must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Literal

from whence.metadata.types import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Direction,
    Event,
    Execution,
    NodeKind,
    Page,
    Subgraph,
    Type,
    Value,
    Written,
)

PAGE_NODES: Final = 500
"""Nodes that `MetadataStore.list_nodes` reads at a time."""


class MetadataStore(ABC):
    """A store of the provenance graph. Every write is one transaction; every read sees whole ones."""

    @abstractmethod
    def put_type(self, type_: Type, *, extend: bool = False) -> Type:
        """Store a type; the same type again is a no-op.

        Args:
            type_: The type; `base` names one of the simple types.
            extend: Allow new properties on a stored type. Changing a property's type is refused.

        Raises:
            ConflictError: The type exists with other properties (``type-conflict``).
        """

    @abstractmethod
    def list_types(self, kind: NodeKind | None = None) -> list[Type]:
        """All types, by id; the simple types are always there."""

    @abstractmethod
    def write(self, change: Change) -> Written:
        """Write one change, atomically.

        Raises:
            ConflictError: A name, uid or external id is taken (``name-taken``), a revision is old
                (``stale-revision``), or a parent context would close a circle (``context-cycle``).
            NotFoundError: An edge or update names a node or type that is absent.
            UsageError: A property's value does not fit its type (``property-type``).
        """

    @abstractmethod
    def get_nodes(
        self, kind: NodeKind, *, ids: Sequence[int] | None = None, uids: Sequence[str] | None = None
    ) -> list[AnyNode]:
        """The nodes with these ids or uids, in that order; absent ones are left out."""

    @abstractmethod
    def find_nodes(
        self,
        kind: NodeKind,
        *,
        type_: str | Collection[str] | None = None,
        name: str | Collection[str] | None = None,
        name_prefix: str | None = None,
        external_id: str | None = None,
        uri: str | None = None,
        state: str | Collection[str] | None = None,
        context: str | None = None,
        where: Mapping[str, Value] | None = None,
        matching: str | None = None,
        order_by: Literal["id", "created_at", "updated_at"] = "id",
        descending: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Nodes for which every given condition holds.

        Args:
            kind: The kind of the nodes.
            type_: Names of types, of whatever version.
            name: Names.
            name_prefix: How the name begins.
            external_id: The external id.
            uri: The uri.
            state: States.
            context: The uid of a context they are in.
            where: Properties, typed or custom, that equal these values.
            matching: A condition in the filter language, see `whence.metadata.filter.bind_filter`.
            order_by: The column of the order; ties go by id.
            descending: The largest first.
            limit: At most so many nodes on this page.
            cursor: Where the page before ended.

        Raises:
            UsageError: ``bad-filter``, ``bad-query`` or ``bad-cursor``.
        """

    def list_nodes(
        self,
        kind: NodeKind,
        *,
        type_: str | Collection[str] | None = None,
        name_prefix: str | None = None,
        state: str | Collection[str] | None = None,
        where: Mapping[str, Value] | None = None,
        matching: str | None = None,
    ) -> Iterator[AnyNode]:
        """All nodes for which every given condition holds, by id, read page by page; see `find_nodes`."""
        cursor: str | None = None
        while True:
            page = self.find_nodes(
                kind,
                type_=type_,
                name_prefix=name_prefix,
                state=state,
                where=where,
                matching=matching,
                limit=PAGE_NODES,
                cursor=cursor,
            )
            yield from page.nodes
            cursor = page.cursor
            if cursor is None:
                return

    @abstractmethod
    def list_events(
        self, *, artifacts: Collection[str] | None = None, executions: Collection[str] | None = None
    ) -> list[Event]:
        """Events of these artifacts or these executions (uids), oldest first."""

    @abstractmethod
    def list_contexts(
        self, *, artifact: str | None = None, execution: str | None = None, child: str | None = None
    ) -> list[Context]:
        """The contexts an artifact or execution is in, or the parents of a context."""

    @abstractmethod
    def lineage(
        self,
        starts: Sequence[str],
        *,
        direction: Direction = "up",
        max_hops: int | None = None,
        internal: bool = False,
    ) -> Subgraph:
        """Everything reachable from the starting nodes (uids of artifacts or executions), in one call.

        Args:
            starts: Where to begin; an unknown uid is refused with `NotFoundError`.
            direction: ``up`` to what it came from, ``down`` to where it went, ``both``.
            max_hops: At most this many events away; None is no limit. 0 is the starts alone.
            internal: Also follow INTERNAL_* events (code, environment).
        """

    @abstractmethod
    def schema_version(self) -> int:
        """The version of the stored layout."""

    @abstractmethod
    def close(self) -> None:
        """Give back connections; the store is not used afterwards."""


__all__ = ["Artifact", "Execution", "MetadataStore"]
