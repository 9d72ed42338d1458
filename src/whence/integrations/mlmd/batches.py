"""The rows of a database of ML Metadata as batches for a graph: with which ids, and what is left out and told."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from whence.integrations.mlmd.backends.source import Source, SourceEvent, SourceNode
from whence.metadata import Event, MetadataStore, NodeKind
from whence.metadata.ids import node_id, wire_id
from whence.metadata.rows import KINDS
from whence.metadata.types import Rows

PARTS: Final[Mapping[str, str]] = {
    "Attribution": "attributions",
    "Association": "associations",
    "ParentContext": "parents",
}
"""What each table of pairs is in a batch."""


@dataclass(slots=True)
class Brought:
    """What an import found and did.

    Attributes:
        source: The source's name; give it again to bring a grown copy into the same nodes.
        version: The schema version of ML Metadata.
        found: Rows of each table there.
        written: Nodes and edges that were new or had changed, by table.
        moved: What was added to every id; 0 when ids are kept.
        told: What could not be kept as it was, a sentence each; beyond a thousand they are counted.
        refused: Of a dry run: what would be refused, likewise.
    """

    source: str
    version: int
    found: Mapping[str, int]
    written: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    told: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    gone: frozenset[str] = frozenset()
    """The uids of nodes that were removed here: what of them came before stays so, and takes no new edges."""


def find_moved(store: MetadataStore, source: Source) -> tuple[int, int]:
    """What is added to every id, and the highest number in the graph."""
    highest = _highest(store)
    for kind in KINDS:
        for known in store.list_imported(source.name, kind, limit=1):
            return wire_id(known.id) - known.their_id, highest
    for kind in KINDS:
        for ids in source.ids(kind):
            if ids[0] <= highest and store.get_nodes(kind, ids=[node_id(i, kind) for i in ids]):
                return highest, highest
    return 0, highest


def _highest(store: MetadataStore) -> int:
    newest = [
        node
        for kind in KINDS
        for node in store.find_nodes(kind, descending=True, limit=1, removed=True, everywhere=True).nodes
    ]
    return max((wire_id(node.id) for node in newest if node.id is not None), default=0)


def node_rows(
    store: MetadataStore, source: Source, done: Brought, kind: NodeKind, highest: int
) -> Iterator[Rows]:
    """The nodes of a kind; who is removed here is left out."""
    n_gone = 0
    for whole in source.nodes(kind):
        batch = [b for b in whole if b.node.uid not in done.gone] if done.gone else whole
        n_gone += len(whole) - len(batch)
        taken = _taken(store, kind, batch, done.moved, highest)
        nodes = [
            dataclasses.replace(b.node, id=None if b.id in taken else node_id(b.id + done.moved, kind))
            for b in batch
        ]
        yield Rows(nodes, imported=[(kind, b.id, b.node.uid) for b in batch], source=source.name)
    if n_gone:
        source.told.add(f"{n_gone} {kind}s were removed here since they came, and stay so")


def _taken(
    store: MetadataStore, kind: NodeKind, batch: Sequence[SourceNode], moved: int, highest: int
) -> set[int]:
    """The ids there whose own id here is another node's: the source grew, and so did the graph."""
    wanted = {node_id(b.id + moved, kind): b for b in batch if b.id + moved <= highest}
    if not wanted:
        return set()
    there = store.get_nodes(kind, ids=list(wanted))
    return {wanted[n.id].id for n in there if n.id is not None and wanted[n.id].node.uid != n.uid}


def event_rows(source: Source, done: Brought) -> Iterator[Rows]:
    """The events, each once."""
    for batch in source.events():
        yield Rows(events=kept_events(source, batch, done))


def kept_events(source: Source, batch: Sequence[SourceEvent], done: Brought) -> list[Event]:
    """The events of a batch that come in, each once; those that do not are told."""
    for e in batch:
        if e.event is None:
            source.told.add(f"event {e.id} {e.reason} and is left out")
    events = {event_key(e.event): e.event for e in batch if e.event is not None}
    doubles = sum(e.event is not None for e in batch) - len(events)
    if doubles:
        source.told.add(f"{doubles} events were there twice and are kept once")
    if not done.gone:
        return list(events.values())
    return [e for e in events.values() if done.gone.isdisjoint((e.execution, e.artifact))]


def pair_rows(source: Source, done: Brought, table: str) -> Iterator[Rows]:
    """The pairs of a table."""
    for pairs in source.pairs(table):
        kept = [pair for pair in pairs if done.gone.isdisjoint(pair)]
        yield Rows(**{PARTS[table]: kept})  # type: ignore[arg-type]  # each takes pairs


def event_key(event: Event) -> tuple[str, str, str, tuple[str | int, ...]]:
    """What makes an event that event."""
    return event.execution, event.artifact, event.kind, event.path


def find_gone(store: MetadataStore) -> frozenset[str]:
    """What `Brought.gone` is."""
    return frozenset(
        node.uid
        for kind in KINDS
        for node in store.list_nodes(kind, removed=True, matching="removed_at IS NOT NULL")
    )
