"""The graph as somebody sees it who may read some namespaces and not others.

Lineage is whole for everybody: whoever asks whence a model came learns that something was there. Of a node in a
namespace that is not theirs they see that it exists, its uid and its type, and nothing else: it is **closed**.
"""

# ruff: noqa: ARG002  # what is refused takes the arguments of what it stands for

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from whence.errors import DeniedError
from whence.metadata.base import MetadataStore, Progress
from whence.metadata.delegate import Delegate
from whence.metadata.filter import Filter, read_filter
from whence.metadata.filter.types import (
    AliasField,
    And,
    Column,
    Constant,
    Count,
    Fold,
    In,
    StatsField,
    Walk,
)
from whence.metadata.query import OrderBy
from whence.metadata.rows import kind_of
from whence.metadata.types import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Direction,
    Execution,
    GraphTable,
    Loaded,
    Mark,
    Namespace,
    NodeKind,
    Page,
    Purged,
    Rows,
    Subgraph,
    Value,
    Written,
)
from whence.metadata.walk import Level, WalkQuery

if TYPE_CHECKING:
    import pyarrow as pa

N = TypeVar("N", bound=AnyNode)

NEIGHBOURS: Final = (AliasField, Walk, Count, Fold, StatsField)
"""Parts of a filter that look at other nodes than the one that is asked about."""
_KINDS: Final[tuple[NodeKind, ...]] = ("artifact", "execution", "context")


class Seen(Delegate):
    """A graph of which only some namespaces may be read, and written into.

    Args:
        store: The graph, a handle on one of those namespaces.
        readable: Their names.

    Raises:
        DeniedError: The handle's own namespace is not among them (``namespace-denied``).
    """

    def __init__(self, store: MetadataStore, readable: Collection[str]) -> None:
        super().__init__(store)
        self.readable = frozenset(readable)
        if store.namespace not in self.readable:
            raise _denied(store.namespace)

    # writing

    def write(self, change: Change) -> Written:
        """Written as ever, if every node that is named may be read."""
        named = {uid for event in change.events for uid in (event.execution, event.artifact)}
        for pairs in (change.attributions, change.associations, change.parents):
            named.update(uid for pair in pairs for uid in pair)
        named.update(removal.uid for removal in change.removals)
        named.update(mark.uid for mark in change.marks)
        named.update(put.node.uid for put in change.puts)
        numbered = [(kind_of(put.node), put.node.id) for put in change.puts if put.node.id is not None]
        lifted = {lift.mark for lift in change.lifts}
        if lifted:
            named.update(m.uid for m in self.store.list_marks(after=min(lifted) - 1) if m.id in lifted)
        self._check(self._stored(named))
        for kind in _KINDS:
            self._check(self.store.get_nodes(kind, ids=[id_ for k, id_ in numbered if k == kind]))
        written = self.store.write(change)
        return Written({uid: self._shown(node) for uid, node in written.nodes.items()}, written.marks)

    def load(self, batches: Iterable[Change | Rows], *, on_progress: Progress | None = None) -> Loaded:
        """Refused: what is brought in by itself is not looked at node by node."""
        raise DeniedError("a graph that is seen in part is not loaded into", code="namespace-denied")

    def purge(self, uids: Collection[str]) -> Purged:
        self._check(self._stored(uids))
        return self.store.purge(uids)

    def put_namespace(self, name: str, *, closed: bool | None = None) -> Namespace:
        """Refused: namespaces are made and closed by who sees the whole."""
        raise _denied(name)

    # reading

    def get_nodes(
        self,
        kind: NodeKind,
        *,
        ids: Sequence[int] | None = None,
        uids: Sequence[str] | None = None,
        as_of: datetime | None = None,
    ) -> list[AnyNode]:
        return [self._shown(n) for n in super().get_nodes(kind, ids=ids, uids=uids, as_of=as_of)]

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
        return super().find_nodes(
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
            matching=self._within(matching, everywhere=everywhere),
            order_by=order_by,
            descending=descending,
            limit=limit,
            cursor=cursor,
            as_of=as_of,
            removed=removed,
            everywhere=everywhere,
        )

    def count_nodes(
        self,
        kind: NodeKind,
        *,
        matching: str | Filter | None = None,
        by: Literal["type", "state"] | None = None,
        everywhere: bool = False,
    ) -> Mapping[str, int]:
        matching = self._within(matching, everywhere=everywhere)
        return self.store.count_nodes(kind, matching=matching, by=by, everywhere=everywhere)

    def all_nodes(self, kind: NodeKind, *, as_of: datetime | None = None) -> Iterator[AnyNode]:
        """Closed ones too, as they are seen: edges lead to them."""
        return map(self._shown, self.store.all_nodes(kind, as_of=as_of))

    def history(self, uid: str) -> list[AnyNode]:
        found = self.store.history(uid)
        return [self._shown(n) for n in (found if self._open(found[-1]) else found[-1:])]

    def list_contexts(
        self,
        *,
        artifact: str | None = None,
        execution: str | None = None,
        child: str | None = None,
        parent: str | None = None,
        as_of: datetime | None = None,
    ) -> list[Context]:
        found = super().list_contexts(
            artifact=artifact, execution=execution, child=child, parent=parent, as_of=as_of
        )
        return [self._shown(n) for n in found]

    def walk(self, query: WalkQuery) -> Iterator[Level]:
        for level in self.store.walk(replace(query, stop=self._stop(query.stop))):
            yield replace(level, nodes=[self._shown(n) for n in level.nodes])

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
        found = super().lineage(
            starts,
            direction=direction,
            max_hops=max_hops,
            internal=internal,
            stop=self._stop(stop),
            include_stops=include_stops,
            only=only,
            as_of=as_of,
        )
        return replace(
            found,
            artifacts=[self._shown(n) for n in found.artifacts],
            executions=[self._shown(n) for n in found.executions],
            contexts=[self._shown(n) for n in found.contexts],
        )

    def scan(
        self, table: GraphTable, *, batch_rows: int = 65_536, as_of: datetime | None = None
    ) -> Iterator[pa.RecordBatch]:
        """As ever; nodes of other namespaces are left out of the tables of nodes."""
        return MetadataStore.scan(self, table, batch_rows=batch_rows, as_of=as_of)

    def in_namespace(self, name: str, *, create: bool = False) -> MetadataStore:
        if name not in self.readable:
            raise _denied(name)
        return Seen(self.store.in_namespace(name, create=create), self.readable)

    def list_namespaces(self) -> list[Namespace]:
        return [n for n in self.store.list_namespaces() if n.name in self.readable]

    def list_marks(
        self,
        *,
        after: int = 0,
        uids: Collection[str] | None = None,
        live: bool = False,
        limit: int | None = None,
    ) -> list[Mark]:
        """As ever; of a mark on a closed node neither reason nor author is told."""
        found = self.store.list_marks(after=after, uids=uids, live=live, limit=limit)
        nodes = {n.uid: n for n in self._stored([m.uid for m in found])}
        return [
            m if m.uid in nodes and self._open(nodes[m.uid]) else replace(m, reason="", principal="")
            for m in found
        ]

    # what is closed

    def _open(self, node: AnyNode) -> bool:
        return node.namespace in self.readable

    def _shown(self, node: N) -> N:
        """The node, or the little that is seen of it."""
        if self._open(node):
            return node
        closed: AnyNode
        if isinstance(node, Artifact):
            closed = Artifact(type=node.type, uid=node.uid, id=node.id, state="UNKNOWN", namespace=CLOSED)
        elif isinstance(node, Execution):
            closed = Execution(type=node.type, uid=node.uid, id=node.id, state="UNKNOWN", namespace=CLOSED)
        else:
            closed = Context(type=node.type, uid=node.uid, id=node.id, namespace=CLOSED)
        return closed  # type: ignore[return-value]  # of the same kind

    def _stored(self, uids: Collection[str]) -> list[AnyNode]:
        return [n for kind in _KINDS for n in self.store.get_nodes(kind, uids=list(uids))] if uids else []

    def _check(self, nodes: Iterable[AnyNode]) -> None:
        for node in nodes:
            if not self._open(node):
                raise DeniedError(
                    f"{node.type} {node.uid} is in a namespace that you may not read",
                    code="namespace-denied",
                    hint="ask for access to it",
                )

    def _within(self, matching: str | Filter | None, *, everywhere: bool) -> str | Filter | None:
        """The condition, and that the node may be read."""
        self._refuse_looking(matching)
        if not everywhere:
            return matching
        own = In(Column("namespace"), tuple(Constant(name) for name in sorted(self.readable)))
        if matching is None:
            return Filter("", own)
        given = read_filter(matching)
        return Filter(given.text, And((given.tree, own)))

    def _stop(self, stop: str | Filter | None) -> str | Filter | None:
        """Where a walk ends, told of open nodes only: of a closed one it would say whether a guess is right."""
        return None if stop is None else self._within(stop, everywhere=True)

    def _refuse_looking(self, matching: str | Filter | None) -> None:
        """A condition on neighbours could tell what stands in closed nodes."""
        if matching is None:
            return
        tree = read_filter(matching).tree
        if _any(tree, lambda part: isinstance(part, NEIGHBOURS)):
            raise DeniedError(
                "a condition on neighbours could look into namespaces that you may not read",
                code="namespace-denied",
                hint="ask for the nodes, and look at their lineage",
            )


CLOSED: Final = ""
"""The namespace of a closed node: its name is not told."""


def _any(part: object, holds: Callable[[object], bool]) -> bool:
    if holds(part):
        return True
    if isinstance(part, tuple):
        return any(_any(one, holds) for one in part)
    if is_dataclass(part) and not isinstance(part, type):
        return any(_any(getattr(part, f.name), holds) for f in fields(part))
    return False


def _denied(name: str) -> DeniedError:
    return DeniedError(
        f"you may not read namespace {name!r}", code="namespace-denied", hint="ask for access to it"
    )


__all__ = ["CLOSED", "Seen"]
