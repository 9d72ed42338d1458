"""The port of the graph: what any metadata backend must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from whence.errors import UnsupportedError
from whence.metadata.filter import Filter
from whence.metadata.query import OrderBy, Query, make_query
from whence.metadata.types import (
    DEFAULT_NAMESPACE,
    AnyNode,
    Artifact,
    Beat,
    Change,
    Context,
    Direction,
    Event,
    Execution,
    GraphTable,
    Imported,
    Loaded,
    Mark,
    Namespace,
    NodeKind,
    Page,
    Purged,
    Rows,
    Subgraph,
    Type,
    Value,
    Written,
)
from whence.metadata.walk import Level, WalkQuery

if TYPE_CHECKING:  # half a second that only those who scan need
    import pyarrow as pa

PAGE_NODES: Final = 500
"""Nodes that `MetadataStore.list_nodes` reads at a time."""

Progress: TypeAlias = Callable[[int], None]
"""Told the number of nodes and edges of a batch when it is written."""


class MetadataStore(ABC):
    """A store of the provenance graph. Every write is one transaction; every read sees whole ones.

    A store is a handle on one **namespace**: it writes there, and finds nodes there by name, type and property; by
    uid, id, event and lineage it reads the whole graph.

    Writes come one after the other, each at a moment of its own, later than any before. So the graph **as of** a
    moment is all that was written until then; nodes removed since are their tombstones, nodes purged are not there.
    """

    namespace: str = DEFAULT_NAMESPACE
    """Where it writes."""

    read_only: bool = False
    """Whether it is there to look at: everything that writes is refused."""

    # types

    @abstractmethod
    def put_type(self, type_: Type, *, extend: bool = False, omit: bool = True) -> Type:
        """Store a type; the same type again is a no-op.

        What a stored type lacks is added: a base, with `extend` properties. An `external_id` replaces the stored
        one; description, input and output type stay as first stored.

        Args:
            type_: The type; `base` names one of the simple types.
            extend: Allow new properties on a stored type. Changing a property's type is refused.
            omit: Allow that a stored type has properties that `type_` leaves out.

        Raises:
            ConflictError: The type exists with other properties or another base (``type-conflict``), or the external
                id is another type's (``name-taken``).
            UsageError: ``bad-type``.
        """

    @abstractmethod
    def list_types(self, kind: NodeKind | None = None) -> list[Type]:
        """All types, by id; the simple types are always there."""

    # writing

    @abstractmethod
    def write(self, change: Change) -> Written:
        """Write one change, atomically.

        Raises:
            ConflictError: A name, uid or external id is taken (``name-taken``), a revision is old
                (``stale-revision``), a node was updated since (``stale-update``), it is a tombstone (``removed``), an
                event is there that must not be (``event-taken``), or a parent context would close a circle
                (``context-cycle``).
            NotFoundError: An edge, update, removal, mark or lift names a node, type or mark that is absent.
            UsageError: A property's value does not fit its type (``property-type``); a text is no text that every
                backend can keep (``invalid-text``, ``too-long``, ``too-large``); ``bad-event``, ``bad-mark``,
                ``bad-state``, ``bad-mask``.
            DeniedError: The namespace is closed (``namespace-closed``).
        """

    @abstractmethod
    def load(self, batches: Iterable[Change | Rows], *, on_progress: Progress | None = None) -> Loaded:
        """Write many changes, one after another, each batch whole or not at all.

        A `Change` is written as by `write`. A `Rows` keeps the ids and times it gives; the same again changes nothing.
        Each batch is durable before the next one is asked for, and before `on_progress` tells of it; only of a list
        without `on_progress` several may be committed at once. All of them are durable when the call returns.

        Args:
            batches: A few thousand nodes each.
            on_progress: Called after each batch.

        Raises:
            ConflictError: An id is another node's (``id-taken``), and as for `write`; the batches before are written.
        """

    @abstractmethod
    def purge(self, uids: Collection[str]) -> Purged:
        """Take tombstones out for good, with their edges, their past and their marks; unknown uids are left out.

        Raises:
            ConflictError: One is no tombstone (``not-removed``); nothing is done.
        """

    # reading nodes

    @abstractmethod
    def get_nodes(
        self,
        kind: NodeKind,
        *,
        ids: Sequence[int] | None = None,
        uids: Sequence[str] | None = None,
        as_of: datetime | None = None,
    ) -> list[AnyNode]:
        """The nodes with these ids or uids, in that order, tombstones too; absent ones are left out.

        Args:
            kind: The kind of the nodes.
            ids: Their ids.
            uids: Their uids.
            as_of: As they were known at this moment.

        Raises:
            UsageError: The kind is none (``bad-query``).
        """

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
        contexts: Collection[str] | None = None,
        where: Mapping[str, Value] | None = None,
        matching: str | Filter | None = None,
        order_by: OrderBy = "id",
        descending: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
        as_of: datetime | None = None,
        removed: bool = False,
        everywhere: bool = False,
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
            contexts: Uids of contexts, in at least one of which they are.
            where: Properties, typed or custom, that equal these values.
            matching: A condition in the filter language, see `whence.metadata.filter.bind_filter`.
            order_by: The column of the order; ties go by id. Pages in the order of ``updated_at`` are all of the moment
                of the first one: each node is shown once, as it was then, but for those that were removed since.
            descending: The largest first.
            limit: At most so many nodes on this page.
            cursor: Where the page before ended.
            as_of: As the graph was known at this moment.
            removed: Tombstones too; they are found by the names they had.
            everywhere: In all namespaces, not only that of this handle.

        Raises:
            UsageError: ``bad-filter``, ``bad-query``, ``bad-cursor``, ``bad-state`` or ``naive-time``.
        """
        return self._find(
            make_query(
                kind,
                type_=type_,
                name=name,
                name_prefix=name_prefix,
                external_id=external_id,
                uri=uri,
                state=state,
                context=context,
                contexts=contexts,
                where=where,
                matching=matching,
                order_by=order_by,
                descending=descending,
                limit=limit,
                cursor=cursor,
                as_of=as_of,
                removed=removed,
                everywhere=everywhere,
            )
        )

    def _find(self, query: Query) -> Page:
        """What a backend does for `find_nodes`, the arguments checked; who overrides that needs no own."""
        raise UnsupportedError(f"{type(self).__name__} finds no nodes for {query.kind!r}")

    def list_nodes(
        self,
        kind: NodeKind,
        *,
        type_: str | Collection[str] | None = None,
        name_prefix: str | None = None,
        state: str | Collection[str] | None = None,
        where: Mapping[str, Value] | None = None,
        matching: str | Filter | None = None,
        as_of: datetime | None = None,
        removed: bool = False,
        everywhere: bool = False,
    ) -> Iterator[AnyNode]:
        """All nodes for which every given condition holds, by id, read page by page; see `find_nodes`."""
        more: dict[str, Any] = {}
        if as_of is not None:
            more["as_of"] = as_of
        if removed:
            more["removed"] = True
        if everywhere:
            more["everywhere"] = True
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
                **more,
            )
            yield from page.nodes
            cursor = page.cursor
            if cursor is None:
                return

    @abstractmethod
    def count_nodes(
        self,
        kind: NodeKind,
        *,
        matching: str | Filter | None = None,
        by: Literal["type", "state"] | None = None,
        everywhere: bool = False,
    ) -> Mapping[str, int]:
        """How many nodes there are, tombstones left out, by name.

        Args:
            kind: The kind of the nodes; without `by` it is the one key of the answer.
            matching: A condition in the filter language.
            by: Count for each type (of whatever version), or each state; those that no node has are left out.
            everywhere: In all namespaces.

        Raises:
            UsageError: ``bad-filter`` or ``bad-query``.
        """

    def settle_indexes(self, timeout_s: float = 60.0) -> bool:  # noqa: ARG002 - for those that make some
        """Wait until the indexes that questions have asked for are made; whether they are."""
        return True

    @abstractmethod
    def history(self, uid: str) -> list[AnyNode]:
        """Every revision of a node, oldest first; of a tombstone only what is left.

        Raises:
            NotFoundError: ``node-not-found``.
        """

    # reading edges

    @abstractmethod
    def list_events(
        self,
        *,
        artifacts: Collection[str] | None = None,
        executions: Collection[str] | None = None,
        as_of: datetime | None = None,
    ) -> list[Event]:
        """Events of these artifacts or these executions (uids), oldest first.

        The order is (time, execution, place in the change that wrote it).
        """

    @abstractmethod
    def has_events(self, events: Sequence[Event]) -> list[bool]:
        """Whether each of these events is there, at whatever time: its ends, its kind, its path.

        It costs what is asked, however many other events the nodes have.
        """

    @abstractmethod
    def list_contexts(
        self,
        *,
        artifact: str | None = None,
        execution: str | None = None,
        child: str | None = None,
        parent: str | None = None,
        as_of: datetime | None = None,
    ) -> list[Context]:
        """The contexts an artifact or execution is in, the parents of `child`, the children of `parent`, by id."""

    @abstractmethod
    def walk(self, query: WalkQuery) -> Iterator[Level]:
        """Everything reachable from the starting nodes, level by level; it keeps no more than ids in memory.

        Raises:
            NotFoundError: A start is unknown or a context (``node-not-found``).
            UsageError: ``bad-filter``, ``bad-query`` or ``bad-cursor``.
        """

    @abstractmethod
    def lineage(
        self,
        starts: Sequence[str],
        *,
        direction: Direction = "up",
        max_hops: int | None = None,
        internal: bool = False,
        stop: str | Filter | None = None,
        include_stops: bool = True,
        only: Collection[str] | None = None,
        as_of: datetime | None = None,
    ) -> Subgraph:
        """Everything reachable from the starting nodes (uids of artifacts or executions), in one call.

        Args:
            starts: Where to begin; an unknown uid is refused with `NotFoundError`.
            direction: ``up`` to what it came from, ``down`` to where it went, ``both``.
            max_hops: At most this many events away; None is no limit. 0 is the starts alone.
            internal: Also follow INTERNAL_* events (code, environment).
            stop: A condition in the filter language; the walk does not go on from nodes for which it holds.
            include_stops: Whether those nodes are part of the answer.
            only: Names of types kept in the answer; the walk goes through the others.
            as_of: As the graph was known at this moment.
        """

    def scan(
        self, table: GraphTable, *, batch_rows: int = 65_536, as_of: datetime | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The whole graph, all namespaces, as one of its tables, in batches; see `whence.metadata.arrow`."""
        from whence.metadata.arrow import scan  # only those who scan need Arrow

        return scan(self, table, batch_rows=batch_rows, as_of=as_of)

    def all_nodes(self, kind: NodeKind, *, as_of: datetime | None = None) -> Iterator[AnyNode]:
        """All nodes of a kind in the whole graph, tombstones too, by id, read page by page."""
        nodes = self.list_nodes(kind, removed=True, everywhere=True)
        if as_of is None:
            yield from nodes
            return
        # A page of a moment is found by reading the kind from its beginning; the ids known by now are not.
        while ids := [node.id for node in islice(nodes, PAGE_NODES) if node.id is not None]:
            yield from self.get_nodes(kind, ids=ids, as_of=as_of)

    @abstractmethod
    def all_events(self, *, as_of: datetime | None = None) -> Iterator[Event]:
        """All events of the whole graph, by the ids of execution and artifact, streamed."""

    @abstractmethod
    def all_members(self, *, as_of: datetime | None = None) -> Iterator[tuple[str, str, NodeKind]]:
        """All attributions and associations: (context uid, node uid, its kind), by their ids, streamed."""

    @abstractmethod
    def all_parents(self, *, as_of: datetime | None = None) -> Iterator[tuple[str, str]]:
        """All (child uid, parent uid) of contexts, by their ids, streamed."""

    @abstractmethod
    def list_imported(
        self, source: str, kind: NodeKind | None = None, *, after: int = 0, limit: int | None = None
    ) -> list[Imported]:
        """The map of the ids that nodes had where they came from, by kind (in the order of their ids) and their id.

        Args:
            source: Where they came from.
            kind: Of this kind only.
            after: Only ids there that are greater.
            limit: At most so many.

        Raises:
            UsageError: ``bad-query``.
        """

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[MetadataStore]:
        """The graph as it is now, held still: whatever others write in the block, every read of the handle is of one
        moment. Nothing can be written through it, and it ends with the block. One thread may use it.
        """

    # namespaces

    @abstractmethod
    def in_namespace(self, name: str, *, create: bool = False) -> MetadataStore:
        """A handle on another namespace; it shares everything with this one and needs no closing of its own.

        Raises:
            NotFoundError: There is none of this name (``namespace-not-found``), and `create` is not set.
        """

    @abstractmethod
    def list_namespaces(self) -> list[Namespace]:
        """All namespaces, by id; ``default`` is always there."""

    @abstractmethod
    def put_namespace(self, name: str, *, closed: bool | None = None) -> Namespace:
        """Make a namespace, or open or close one that is there.

        Raises:
            UsageError: The name is empty, longer than 64 characters or no text (``bad-name``).
        """

    # marks

    @abstractmethod
    def has_marks(self) -> bool:
        """Whether there is a mark that is not lifted; the cheapest question a store answers."""

    @abstractmethod
    def list_marks(
        self,
        *,
        after: int = 0,
        uids: Collection[str] | None = None,
        live: bool = False,
        limit: int | None = None,
    ) -> list[Mark]:
        """Marks, by id.

        Args:
            after: Only marks with a greater id: the feed of those who listen.
            uids: Only marks of these nodes.
            live: Only marks that are not lifted.
            limit: At most so many.

        Raises:
            UsageError: ``bad-query``.
        """

    # signs of life

    @abstractmethod
    def beat(self, lives: Sequence[Beat]) -> None:
        """Say that these processes live, at this moment of the store's clock.

        Raises:
            UsageError: A text or number is more than every backend keeps (``too-long``, ``bad-argument``).
        """

    @abstractmethod
    def list_beats(self) -> list[Beat]:
        """The processes that have given a sign of life and have not ended, by uid."""

    @abstractmethod
    def end_beats(self, uids: Collection[str]) -> None:
        """Forget these lives; unknown ones are left out."""

    @abstractmethod
    def now(self) -> datetime:
        """The store's clock."""

    @abstractmethod
    def schema_version(self) -> int:
        """The version of the stored layout."""

    @abstractmethod
    def close(self) -> None:
        """Give back connections; the store is not used afterwards."""


__all__ = ["Artifact", "Execution", "MetadataStore", "Progress"]
