"""What a store would refuse, found before anything is written.

Types and batches are put through the same plan as a write, over what the store has now; nothing is changed. What comes
from elsewhere can so be refused whole, and everything that is wrong with it be told at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import count
from typing import Final, cast

from whence.errors import ConflictError, DeniedError, NotFoundError, UsageError, WhenceError
from whence.metadata.allowed import check_namespace
from whence.metadata.base import MetadataStore
from whence.metadata.filter import Filter
from whence.metadata.filter.types import Column, Constant, In
from whence.metadata.ids import kind_of_id, node_id
from whence.metadata.plan import Wanted, make_load, node_row
from whence.metadata.rows import KINDS, MarkRow, NodeRow, kind_of, to_tombstone, to_us, tombstone_of
from whence.metadata.types import AnyNode, NodeKind, Rows, Type
from whence.metadata.typetable import TypeTable, merge_type

REFUSED: Final = (ConflictError, DeniedError, NotFoundError, UsageError)
# Numbers that no stored node has: ids are below 2**63, and the kind takes two bits.
_UNUSED: Final = 1 << 59
_AT_ONCE: Final = 200


class Trial:
    """A store as it would be asked to write.

    Args:
        store: The store; its namespace is where nodes come that name no other.

    Attributes:
        namespaces: The ids of all namespaces, and of those that would be made.
    """

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self._types = TypeTable(store.list_types())
        self._closed = {n.name for n in store.list_namespaces() if n.closed}
        self.namespaces: dict[str, int] = {n.name: n.id or 0 for n in store.list_namespaces()}
        self._uids: dict[int, str] = {}
        self._numbers = count(_UNUSED)

    def namespace(self, name: str) -> None:
        """Try to write into a namespace, which is made when it is absent.

        Raises:
            DeniedError: It is closed (``namespace-closed``).
            UsageError: The name is none (``bad-name``).
        """
        if name in self._closed:
            raise DeniedError(
                f"namespace {name!r} is closed",
                code="namespace-closed",
                hint="open it first: whence namespace open",
            )
        if name not in self.namespaces:
            check_namespace(name)
            self.namespaces[name] = next(self._numbers)

    def type(self, type_: Type) -> Type:
        """Try to put a type that may extend a stored one; what it would be.

        Raises:
            ConflictError, UsageError: As `MetadataStore.put_type` says.
        """
        known = merge_type(self._types, type_, extend=True)
        if known.id is None:
            known = dataclasses.replace(known, id=next(self._numbers))
        self._types.add(known)
        return known

    def rows(self, rows: Rows, *, ends: bool = True) -> None:
        """Try to load a batch.

        Args:
            rows: The batch. Batches know nothing of each other.
            ends: Both ends of an edge must be stored or in the batch; else one that is not is taken to be there.

        Raises:
            ConflictError, DeniedError, NotFoundError, UsageError: As `MetadataStore.load` says.
        """
        make_load(rows, _Look(self, () if ends else _phantoms(rows)), 0)

    def refusals(self, rows: Rows) -> Iterator[tuple[WhenceError, Rows]]:
        """Everything that `rows` would raise but for ends that are absent, each with the smallest part that raises it."""
        try:
            self.rows(rows, ends=False)
        except REFUSED as error:
            refused = error
        else:
            return
        found = False
        for part in _halves(rows):
            for wrong in self.refusals(part):
                found = True
                yield wrong
        if not found:  # the parts go well alone, and not together; or it is one thing
            yield refused, rows

    # what a plan asks

    def find_type(self, kind: NodeKind, name: str, version: str | None) -> Type:
        """The type as it would be stored."""
        return self._types.get(kind, name, version)

    def stored(self, wanted: Wanted) -> Iterator[NodeRow]:
        """The stored nodes with any of these names."""
        by_id: dict[int, AnyNode] = {}

        def know(nodes: Iterable[AnyNode]) -> None:
            by_id.update((node.id or 0, node) for node in nodes)

        for kind in KINDS:
            uids = list(wanted.uids)
            ids = [i for i in wanted.ids if i & 3 and kind_of_id(i) == kind]
            if uids or ids:
                know(self._store.get_nodes(kind, uids=uids, ids=ids))
        for type_id, space in {key[:2] for key in wanted.names}:
            names = [name for t, n, name in wanted.names if (t, n) == (type_id, space)]
            type_ = self._types.by_id(type_id)
            handle = self._handle(space)
            if type_id < _UNUSED and handle is not None:
                found = handle.find_nodes(type_.kind, type_=type_.name, name=names).nodes
                know(node for node in found if node.type_version == type_.version)
        for kind, space in {key[:2] for key in wanted.external_ids}:
            texts = [text for k, n, text in wanted.external_ids if (k, n) == (kind, space)]
            handle = self._handle(space)
            if handle is not None:
                know(_of_external_ids(handle, kind, texts))
        for id_, node in by_id.items():
            self._uids[id_] = node.uid
            yield self._row(id_, node)

    def parents(self, ids: Collection[int]) -> Iterator[tuple[int, int]]:
        """The (child, parent) pairs of these children."""
        for id_ in ids:
            uid = self._uids.get(id_)
            for parent in self._store.list_contexts(child=uid) if uid is not None else ():
                assert parent.id is not None
                self._uids[parent.id] = parent.uid
                yield id_, parent.id

    def _handle(self, space: int) -> MetadataStore | None:
        """The handle on a namespace; None when it is not there yet."""
        name = next(name for name, id_ in self.namespaces.items() if id_ == space)
        if space >= _UNUSED:
            return None
        return self._store if name == self._store.namespace else self._store.in_namespace(name)

    def _row(self, id_: int, node: AnyNode) -> NodeRow:
        type_ = self._types.get(kind_of(node), node.type, node.type_version)
        assert node.created_at is not None
        assert node.updated_at is not None
        space = self.namespaces.get(node.namespace, -1)
        row = node_row(node, type_, id_, space, to_us(node.created_at))._replace(
            updated_us=to_us(node.updated_at), revision=node.revision
        )
        return (
            row if node.removed_at is None else to_tombstone(row, tombstone_of(node), to_us(node.removed_at))
        )


class _Look:
    """A trial as a plan sees it; see `whence.metadata.plan.Lookup`."""

    def __init__(self, trial: Trial, phantoms: Sequence[NodeRow]) -> None:
        self._trial = trial
        self._phantoms = phantoms
        self.namespace_id = trial.namespaces[trial._store.namespace]  # noqa: SLF001 - two halves of one thing

    def type(self, kind: NodeKind, name: str, version: str | None, properties: Collection[str]) -> Type:  # noqa: ARG002 - all are known
        return self._trial.find_type(kind, name, version)

    def rows(self, wanted: Wanted) -> Iterable[NodeRow]:
        # What is stored comes last, and so counts.
        return [*self._phantoms, *self._trial.stored(wanted)]

    def next_id(self) -> int:
        return _UNUSED

    def parents(self, ids: Collection[int]) -> Iterable[tuple[int, int]]:
        return self._trial.parents(ids)

    def events(self, keys: Collection[tuple[int, int, str]]) -> Iterable[tuple[int, int, str]]:  # noqa: ARG002 - no load asks
        return ()

    def marks(self, ids: Collection[int]) -> Iterable[MarkRow]:  # noqa: ARG002
        return ()

    def next_mark(self) -> int:
        return 1


def _phantoms(rows: Rows) -> list[NodeRow]:
    """A node for each end of the edges."""
    ends: dict[str, NodeKind] = {}
    for event in rows.events:
        ends |= {event.execution: "execution", event.artifact: "artifact"}
    for pairs, kind in ((rows.attributions, "artifact"), (rows.associations, "execution")):
        for context, node in pairs:
            ends |= {context: "context", node: cast("NodeKind", kind)}
    for child, parent in rows.parents:
        ends |= {child: "context", parent: "context"}
    numbers = count(_UNUSED << 1)
    return [
        NodeRow(node_id(next(numbers), kind), kind, 0, uid, None, None, None, None, "", 0, 0, 1)
        for uid, kind in ends.items()
    ]


def _of_external_ids(handle: MetadataStore, kind: NodeKind, texts: Sequence[str]) -> Iterator[AnyNode]:
    for start in range(0, len(texts), _AT_ONCE):
        if start == 0 and not handle.count_nodes(kind, matching="external_id IS NOT NULL")[kind]:
            return
        wanted = tuple(Constant(text) for text in texts[start : start + _AT_ONCE])
        yield from handle.find_nodes(kind, matching=Filter("", In(Column("external_id"), wanted))).nodes


def _halves(rows: Rows) -> Iterator[Rows]:
    """A batch in two parts; nothing when it is one thing."""
    parts = ("nodes", "events", "attributions", "associations", "parents")
    filled = [name for name in parts if getattr(rows, name)]
    bare = Rows(source=rows.source, namespaces=rows.namespaces)
    if len(filled) > 1:
        for name in filled:
            yield dataclasses.replace(bare, **{name: getattr(rows, name)})
        return
    if not filled:
        return
    things = getattr(rows, filled[0])
    if len(things) > 1:
        half = len(things) // 2
        for part in (things[:half], things[half:]):
            yield dataclasses.replace(bare, **{filled[0]: part})
