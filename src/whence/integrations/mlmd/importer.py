"""A database of ML Metadata brought into the graph, and then compared with it, node by node.

Every node gets a uid made from the source's name, its kind and its id there, so bringing the same database in again
finds what is there, writes only what changed, and writes nothing when nothing did. The times of nodes are those of
the import until the store can be given times; ids are the store's own.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from whence.errors import ConflictError, IntegrityError
from whence.integrations.mlmd.backends.source import SourceNode, SqliteSource
from whence.integrations.mlmd.graph import KINDS
from whence.integrations.mlmd.masks import is_same
from whence.metadata import AnyNode, Change, Event, MetadataStore, NodeKind, Put
from whence.metadata.simple import SIMPLE_TYPES

log = logging.getLogger(__name__)

_SIMPLE = frozenset(t.name for t in SIMPLE_TYPES)


@dataclass(slots=True)
class Imported:
    """What an import found and did.

    Attributes:
        source: The source's name; give it again to bring a grown copy into the same nodes.
        version: The schema version of ML Metadata.
        found: Rows of each table there.
        written: Nodes and edges that were new or had changed, by table.
        told: Sentences about what could not be kept as it was.
    """

    source: str
    version: int
    found: Mapping[str, int]
    written: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)


def import_mlmd(
    store: MetadataStore, path: Path, *, name: str | None = None, dry_run: bool = False
) -> Imported:
    """Bring a SQLite database of ML Metadata (schema 6 to 10) into a graph, and verify it.

    Args:
        store: The graph.
        path: The file; it is only read.
        name: What the source is called; None derives a name from its first rows.
        dry_run: Read and decode everything, and write nothing.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is no such database (``mlmd-version``).
        ConflictError: A type is in the graph with other properties (``node-types-differ``), or a name is taken by
            another node (``name-taken``). Batches before it are written; bring it in again after the cause is gone.
        IntegrityError: The database contradicts itself, or the graph differs from it afterwards (``mlmd-mismatch``).
    """
    with SqliteSource(path, name=name) as source:
        done = Imported(source.name, source.version, source.counts())
        if not dry_run:
            _put_types(store, source)
        for kind in KINDS:
            for batch in source.nodes(kind):
                if not dry_run:
                    done.written[kind] += _put_nodes(store, kind, batch)
        _put_events(store, source, done, dry_run=dry_run)
        for table in ("Attribution", "Association", "ParentContext"):
            for pairs in source.pairs(table):
                if not dry_run:
                    done.written[table] += _put_pairs(store, table, pairs)
        if not dry_run:
            _verify(store, source, done)
    log.info("mlmd database brought in", extra={"source": done.source, "found": dict(done.found)})
    return done


def _put_types(store: MetadataStore, source: SqliteSource) -> None:
    for type_ in source.types():
        if type_.name in _SIMPLE:
            continue
        try:
            store.put_type(dataclasses.replace(type_, id=None), extend=True)
        except ConflictError as error:
            raise ConflictError(
                f"{type_.kind} type {type_.name!r} of the database differs from the graph's: {error.message}",
                code="node-types-differ",
                hint="bring it into a graph of its own",
            ) from error


def _put_nodes(store: MetadataStore, kind: NodeKind, batch: Sequence[SourceNode]) -> int:
    stored = {n.uid: n for n in store.get_nodes(kind, uids=[b.node.uid for b in batch])}
    puts = []
    for item in batch:
        old = stored.get(item.node.uid)
        if old is None:
            puts.append(Put(_bare(item.node)))
        elif not is_same(_bare(old), _bare(item.node)):
            # What the source no longer has is taken away: an update merges, so it is written as None.
            gone = dict.fromkeys(old.properties), dict.fromkeys(old.custom)
            node = dataclasses.replace(
                _bare(item.node),
                properties={**gone[0], **item.node.properties},
                custom={**gone[1], **item.node.custom},
            )
            puts.append(Put(node, if_exists="update"))
    if puts:
        store.write(Change(puts))
    return len(puts)


def _bare(node: AnyNode) -> AnyNode:
    """A node without what the store gives."""
    return dataclasses.replace(node, id=None, created_at=None, updated_at=None, revision=0)


def _put_events(store: MetadataStore, source: SqliteSource, done: Imported, *, dry_run: bool) -> None:
    for batch in source.events():
        for item in batch:
            if item.event is None:
                done.told.append(f"event {item.id} is of kind UNKNOWN and is left out")
        events = [item.event for item in batch if item.event is not None]
        if dry_run or not events:
            continue
        there = {_key(e) for e in store.list_events(executions={e.execution for e in events})}
        fresh = {_key(e): e for e in events if _key(e) not in there}
        doubles = len(events) - len({_key(e) for e in events})
        if doubles:
            done.told.append(f"{doubles} events were there twice and are kept once")
        if fresh:
            store.write(Change(events=list(fresh.values())))
        done.written["Event"] += len(fresh)


def _key(event: Event) -> tuple[str, str, str, tuple[str | int, ...]]:
    return event.execution, event.artifact, event.kind, event.path


def _put_pairs(store: MetadataStore, table: str, pairs: list[tuple[str, str]]) -> int:
    fresh = [pair for pair in pairs if pair not in _stored_pairs(store, table, pairs)]
    if fresh:
        store.write(
            Change(
                attributions=fresh if table == "Attribution" else (),
                associations=fresh if table == "Association" else (),
                parents=fresh if table == "ParentContext" else (),
            )
        )
    return len(fresh)


def _stored_pairs(store: MetadataStore, table: str, pairs: list[tuple[str, str]]) -> set[tuple[str, str]]:
    if table == "ParentContext":
        return {(child, c.uid) for child, _ in pairs for c in store.list_contexts(child=child)}
    kind: NodeKind = "artifact" if table == "Attribution" else "execution"
    uids = [n.uid for n in store.get_nodes(kind, uids=[other for _, other in pairs])]
    found = store.lineage(uids, max_hops=0) if uids else None
    if found is None:
        return set()
    return set(found.attributions if table == "Attribution" else found.associations)


def _verify(store: MetadataStore, source: SqliteSource, done: Imported) -> None:
    """Compare everything that was read with what is stored now."""
    for kind in KINDS:
        for batch in source.nodes(kind):
            stored = {n.uid: n for n in store.get_nodes(kind, uids=[b.node.uid for b in batch])}
            for item in batch:
                found = stored.get(item.node.uid)
                if found is None or not is_same(_bare(found), _bare(item.node)):
                    raise _differs(f"{kind} {item.id} of {done.source}")
    for events in source.events():
        wanted = [e.event for e in events if e.event is not None]
        there = {_key(e) for e in store.list_events(executions={e.execution for e in wanted})}
        if not {_key(e) for e in wanted} <= there:
            raise _differs(f"an event between {events[0].id} and {events[-1].id}")
    for table in ("Attribution", "Association", "ParentContext"):
        for pairs in source.pairs(table):
            if not set(pairs) <= _stored_pairs(store, table, pairs):
                raise _differs(f"a row of {table}")


def _differs(what: str) -> IntegrityError:
    return IntegrityError(
        f"{what} is not in the graph as it is in the database",
        code="mlmd-mismatch",
        hint="another writer may have changed it meanwhile; bring the database in again",
    )
