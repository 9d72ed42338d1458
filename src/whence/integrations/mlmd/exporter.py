"""The graph as a database of ML Metadata: a SQLite file of schema version 10 that ML Metadata itself opens.

Every node keeps the id that the service gives it. What ML Metadata cannot keep is told:

::

    several events of one kind between two nodes     the first is kept
    a context without a name                         is called by its uid
    a node that was removed                          an artifact is DELETED; none has a name
    NaN, JSON beyond objects, bytes that are no Any  NaN is left out; lists and bytes are wrapped

Executions ``mlmd_import`` are this program's own record and stay here.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from whence._base.progress import progress
from whence.errors import ConflictError, UsageError
from whence.integrations.mlmd.backends.file10 import MlmdFile
from whence.integrations.mlmd.importer import IMPORT_TYPE
from whence.metadata import AnyNode, Artifact, Context, MetadataStore, NodeKind, Type
from whence.metadata.ids import wire_id
from whence.metadata.rows import KINDS

_PAGE: Final = 5_000
_MAX_NAME: Final = 255
_T = TypeVar("_T")
_TypeKey = tuple[NodeKind, str, str | None]


@dataclass(slots=True)
class Exported:
    """What an export wrote, by table, and what it could not keep as it was."""

    written: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)


def export_mlmd(
    store: MetadataStore, path: Path, *, only: bool = False, strict: bool = False, replace: bool = False
) -> Exported:
    """Write a namespace of the graph as a SQLite file of ML Metadata, schema version 10.

    The file appears when it is whole, and is of one moment: nothing of what others write meanwhile is in it. An edge is
    only where both of its ends are. Memory does not grow with the graph.

    Args:
        store: The graph; its namespace is written.
        path: The file.
        only: Only this namespace is wanted, though others may hold nodes.
        strict: Refuse what ML Metadata cannot keep, instead of telling it.
        replace: A file that is there is replaced.

    Raises:
        ConflictError: The file is there (``file-exists``), or `strict` and something would be lost (``mlmd-lossy``).
        UsageError: Other namespaces hold nodes too, and it was not said which are wanted (``namespace-needed``).
    """
    with store.snapshot() as still, MlmdFile(path, replace=replace) as file:
        if not only:
            _refuse_others(still)
        done = _Export(still, file).run()
        if strict and done.told:
            raise ConflictError(
                f"ML Metadata cannot keep everything: {done.told[0]}",
                code="mlmd-lossy",
                details={"told": done.told},
            )
        file.finish()
    return done


def _refuse_others(store: MetadataStore) -> None:
    filled = [
        space.name
        for space in store.list_namespaces()
        if any(store.in_namespace(space.name).find_nodes(kind, limit=1, removed=True).nodes for kind in KINDS)
    ]
    if len(filled) > 1:
        raise UsageError(
            f"{', '.join(filled)} hold nodes, and a database of ML Metadata has one namespace",
            code="namespace-needed",
            hint="name one: --namespace",
        )


class _Export:
    def __init__(self, store: MetadataStore, file: MlmdFile) -> None:
        self._store = store
        self._file = file
        self._done = Exported()

    def run(self) -> Exported:
        types = {
            (t.kind, t.name, t.version): t for t in self._store.list_types() if t.name != IMPORT_TYPE.name
        }
        self._file.add_types(list(types.values()))
        self._count("Type", len(types))
        with progress("exporting", total=self._total()) as step:
            for kind in KINDS:
                for nodes in self._nodes(kind):
                    rows = [self._row(node, types, kind) for node in nodes]
                    self._file.add_nodes(kind, rows)
                    self._count(kind.capitalize(), len(rows))
                    step(len(rows))
            self._file.know_all()
            for events in _chunks(self._store.all_events()):
                self._count("Event", self._file.add_events(events))
                step(len(events))
            for members in _chunks(self._store.all_members()):
                self._pairs("Attribution", [(c, n) for c, n, kind in members if kind == "artifact"])
                self._pairs("Association", [(c, n) for c, n, kind in members if kind == "execution"])
                step(len(members))
            for parents in _chunks(self._store.all_parents()):
                self._pairs("ParentContext", parents)
                step(len(parents))
        self._done.told = self._file.told.all()
        return self._done

    def _total(self) -> int:
        """How many nodes there are to write; the edges come on top."""
        return sum(self._store.count_nodes(kind)[kind] for kind in KINDS)

    def _count(self, table: str, n: int) -> None:
        self._done.written[table] += n

    def _nodes(self, kind: NodeKind) -> Iterator[list[AnyNode]]:
        cursor: str | None = None
        while True:
            page = self._store.find_nodes(kind, limit=_PAGE, cursor=cursor, removed=True)
            yield [n for n in page.nodes if n.type != IMPORT_TYPE.name]
            cursor = page.cursor
            if cursor is None:
                return

    def _row(self, node: AnyNode, types: dict[_TypeKey, Type], kind: NodeKind) -> tuple[int, AnyNode, Type]:
        assert node.id is not None
        id_ = wire_id(node.id)
        if node.removed_at is not None:
            node = dataclasses.replace(node, name=None, external_id=None, properties={}, custom={})
            if isinstance(node, Artifact):
                node = dataclasses.replace(node, state="DELETED")
        if isinstance(node, Context) and node.name is None:
            self._file.told.add(f"context {id_} has no name and is called {node.uid}")
            node = dataclasses.replace(node, name=node.uid)
        for what, text in (("name", node.name), ("external id", node.external_id)):
            if text is not None and len(text) > _MAX_NAME:
                self._file.told.add(
                    f"the {what} of {kind} {id_} is longer than {_MAX_NAME} characters; SQLite keeps it"
                )
        return id_, node, types[kind, node.type, node.type_version]

    def _pairs(self, table: str, pairs: Sequence[tuple[str, str]]) -> None:
        self._count(table, self._file.add_pairs(table, pairs))


def _chunks(items: Iterator[_T]) -> Iterator[list[_T]]:
    while chunk := list(islice(items, _PAGE)):
        yield chunk
