"""A database of ML Metadata brought into the graph, and then compared with it, node by node.

Every node gets a uid made from the source's name, its kind and its id there, so bringing the same database in again
finds what is there, writes only what changed, and writes nothing when nothing did. Ids are kept where none of them is
taken, else all move by one number; the graph keeps the map of them either way. Times are those of the database.

An execution ``mlmd_import`` says when it happened, from where, and how much came.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from whence._base.crash import crash_point, register
from whence._base.progress import progress
from whence.errors import ConflictError, IntegrityError
from whence.integrations.mlmd.backends.source import PAIRS, Source, SourceNode
from whence.integrations.mlmd.graph import KINDS
from whence.metadata import AnyNode, Change, Event, Execution, MetadataStore, NodeKind, Put, Type, Value
from whence.metadata.ids import node_id, wire_id
from whence.metadata.simple import SIMPLE_TYPES
from whence.metadata.types import DEFAULT_NAMESPACE, Rows

log = logging.getLogger(__name__)

IMPORT_TYPE: Final = Type(
    "execution",
    "mlmd_import",
    {"source": "STRING", "place": "STRING", "version": "INT", "found": "STRUCT", "written": "STRUCT"},
    description="A database of ML Metadata was brought in.",
)
WRITTEN: Final = register("mlmd.import.written", "a batch of an import is written, the next one is not")
_FIELDS: Final = ("type", "type_version", "name", "external_id", "created_at", "updated_at", "uri", "state")
_SIMPLE: Final = frozenset(t.name for t in SIMPLE_TYPES)


@dataclass(slots=True)
class Brought:
    """What an import found and did.

    Attributes:
        source: The source's name; give it again to bring a grown copy into the same nodes.
        version: The schema version of ML Metadata.
        found: Rows of each table there.
        written: Nodes and edges that were new or had changed, by table.
        moved: What was added to every id; 0 when ids are kept.
        told: Sentences about what could not be kept as it was.
    """

    source: str
    version: int
    found: Mapping[str, int]
    written: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    told: list[str] = field(default_factory=list)


def import_mlmd(
    store: MetadataStore, place: str | Path, *, name: str | None = None, dry_run: bool = False
) -> Brought:
    """Bring a database of ML Metadata (schema 6 to 10) into a graph, and verify it.

    Args:
        store: The graph; nodes come into its namespace.
        place: A SQLite file, ``mysql://…`` or ``postgresql://…``; it is only read, in one snapshot.
        name: What the source is called; None derives a name from its first rows.
        dry_run: Read and decode everything, compare the types, and write nothing.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is no such database (``mlmd-version``).
        BackendError: The server cannot be reached.
        ConflictError: A type is in the graph with other properties (``node-types-differ``), or a name is taken by
            another node (``name-taken``). Batches before it are written; bring it in again after the cause is gone.
        IntegrityError: The database contradicts itself, or the graph differs from it afterwards (``mlmd-mismatch``).

    Records:
        One execution ``mlmd_import`` when anything was written.
    """
    with Source(place, name=name) as source:
        source.name = _known_as(store, source)
        done = Brought(source.name, source.version, source.counts())
        if dry_run:
            _read_all(store, source, done)
        else:
            load_source(store, source, done)
            _check(store, source, done)
        done.told = list(dict.fromkeys([*done.told, *source.told]))
    log.info("mlmd database brought in", extra={"source": done.source, "found": dict(done.found)})
    return done


def _known_as(store: MetadataStore, source: Source) -> str:
    """The name under which the graph has the source: a table that was empty then may have rows now."""
    suffix = "" if store.namespace == DEFAULT_NAMESPACE else f"@{store.namespace}"
    names = [name + suffix for name in (source.name, *source.earlier_names)]
    known = (n for n in names if any(store.list_imported(n, kind, limit=1) for kind in KINDS))
    return next(known, names[0])


def load_source(store: MetadataStore, source: Source, done: Brought) -> None:
    """Write everything a source has; nothing is compared."""
    _put_types(store, source)
    done.moved, highest = _moved(store, source)
    with progress("bringing in", total=sum(done.found.values())) as step:

        def written(n: int) -> None:
            crash_point(WRITTEN)
            step(n)

        for kind in KINDS:
            loaded = store.load(_node_rows(store, source, done, kind, highest), on_progress=written)
            done.written[kind.capitalize()] += loaded.n_nodes + loaded.n_updated
        done.written["Event"] += store.load(_event_rows(source, done), on_progress=written).n_events
        for table in PAIRS:
            loaded = store.load(_pair_rows(source, table), on_progress=written)
            done.written[table] += loaded.n_parents if table == "ParentContext" else loaded.n_members


def _put_types(store: MetadataStore, source: Source) -> None:
    for type_ in source.types():
        if type_.name in _SIMPLE:
            continue
        try:
            store.put_type(dataclasses.replace(type_, id=None), extend=True)
        except ConflictError as error:
            raise _types_differ(type_, error.message) from error


def _types_differ(type_: Type, why: str) -> ConflictError:
    return ConflictError(
        f"{type_.kind} type {type_.name!r} of the database differs from the graph's: {why}",
        code="node-types-differ",
        hint="bring it into a graph of its own",
    )


def _moved(store: MetadataStore, source: Source) -> tuple[int, int]:
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


def _node_rows(
    store: MetadataStore, source: Source, done: Brought, kind: NodeKind, highest: int
) -> Iterator[Rows]:
    for batch in source.nodes(kind):
        taken = _taken(store, kind, batch, done.moved, highest)
        nodes = [
            dataclasses.replace(b.node, id=None if b.id in taken else node_id(b.id + done.moved, kind))
            for b in batch
        ]
        yield Rows(nodes, imported=[(kind, b.id, b.node.uid) for b in batch], source=source.name)


def _taken(
    store: MetadataStore, kind: NodeKind, batch: Sequence[SourceNode], moved: int, highest: int
) -> set[int]:
    """The ids there whose own id here is another node's: the source grew, and so did the graph."""
    wanted = {node_id(b.id + moved, kind): b for b in batch if b.id + moved <= highest}
    if not wanted:
        return set()
    there = store.get_nodes(kind, ids=list(wanted))
    return {wanted[n.id].id for n in there if n.id is not None and wanted[n.id].node.uid != n.uid}


def _event_rows(source: Source, done: Brought) -> Iterator[Rows]:
    for batch in source.events():
        done.told += [f"event {e.id} {e.reason} and is left out" for e in batch if e.event is None]
        events = {_key(e.event): e.event for e in batch if e.event is not None}
        doubles = sum(e.event is not None for e in batch) - len(events)
        if doubles:
            done.told.append(f"{doubles} events were there twice and are kept once")
        yield Rows(events=list(events.values()))


def _pair_rows(source: Source, table: str) -> Iterator[Rows]:
    names = {"Attribution": "attributions", "Association": "associations", "ParentContext": "parents"}
    for pairs in source.pairs(table):
        yield Rows(**{names[table]: pairs})  # type: ignore[arg-type]  # each takes pairs


def _key(event: Event) -> tuple[str, str, str, tuple[str | int, ...]]:
    return event.execution, event.artifact, event.kind, event.path


# a dry run


def _read_all(store: MetadataStore, source: Source, done: Brought) -> None:
    stored = {(t.kind, t.name, t.version): t for t in store.list_types()}
    for type_ in source.types():
        known = stored.get((type_.kind, type_.name, type_.version))
        for name, want in type_.properties.items() if known else ():
            assert known is not None
            if known.properties.get(name, want) != want:
                raise _types_differ(type_, f"{name} is {known.properties[name]} here and {want} there")
        if known and type_.base and known.base and type_.base != known.base:
            raise _types_differ(type_, f"its base is {known.base} here and {type_.base} there")
    read: Counter[str] = Counter()
    with progress("reading", total=sum(done.found.values())) as step:
        for kind in KINDS:
            for nodes in source.nodes(kind):
                read[kind.capitalize()] += len(nodes)
                step(len(nodes))
        for rows in _event_rows(source, done):
            step(len(rows.events))
        for table in PAIRS:
            for pairs in source.pairs(table):
                step(len(pairs))
    _compare_counts(done, read)


# afterwards


def _check(store: MetadataStore, source: Source, done: Brought) -> None:
    """Compare, and say in the graph what happened."""
    anything = any(done.written.values())
    try:
        with progress("comparing", total=sum(done.found.values())) as step:
            _compare_counts(done, _verify(store, source, step))
    except IntegrityError:
        _record(store, source, done, "FAILED")
        raise
    if anything:
        _record(store, source, done, "COMPLETE")


def _record(store: MetadataStore, source: Source, done: Brought, state: str) -> None:
    store.put_type(IMPORT_TYPE)
    properties: dict[str, Value] = {
        "source": done.source,
        "place": source.place,
        "version": done.version,
        "found": dict(done.found),
        "written": dict(done.written),
    }
    execution = Execution(type=IMPORT_TYPE.name, properties=properties, state=state)  # type: ignore[arg-type]  # one of two
    store.write(Change([Put(execution)]))


def _verify(store: MetadataStore, source: Source, step: Callable[[int], None]) -> Counter[str]:
    """Compare everything that was read with what is stored now; how many nodes of each table that was."""
    read: Counter[str] = Counter()
    for kind in KINDS:
        for batch in source.nodes(kind):
            read[kind.capitalize()] += len(batch)
            stored = {n.uid: n for n in store.get_nodes(kind, uids=[b.node.uid for b in batch])}
            for item in batch:
                found = stored.get(item.node.uid)
                if found is None or not _equal(found, item.node):
                    raise _differs(f"{kind} {item.id} of {source.name}")
            step(len(batch))
    for events in source.events():
        wanted = {_key(e.event) for e in events if e.event is not None}
        there = {_key(e) for e in store.list_events(executions={execution for execution, *_ in wanted})}
        if not wanted <= there:
            raise _differs(f"an event between {events[0].id} and {events[-1].id}")
        step(len(events))
    for table in PAIRS:
        for pairs in source.pairs(table):
            if not set(pairs) <= _stored_pairs(store, table, pairs):
                raise _differs(f"a row of {table}")
            step(len(pairs))
    return read


def _compare_counts(done: Brought, read: Counter[str]) -> None:
    for kind in KINDS:
        table = kind.capitalize()
        if read[table] != done.found[table]:
            raise IntegrityError(
                f"{table} of {done.source} has {done.found[table]} rows, and {read[table]} of them have an id",
                code="mlmd-mismatch",
            )


def _equal(stored: AnyNode, wanted: AnyNode) -> bool:
    """Whether a node is stored as it was there, its times included."""
    return all(getattr(stored, f, None) == getattr(wanted, f, None) for f in _FIELDS) and all(
        _exact(mine) == _exact(theirs)
        for mine, theirs in ((stored.properties, wanted.properties), (stored.custom, wanted.custom))
    )


def _exact(properties: Mapping[str, Value]) -> dict[str, object]:
    """Values that are equal only when they are of one kind: 1, 1.0 and True are three, and NaN is itself."""
    return {
        name: (type(value), repr(value) if isinstance(value, float) else value)
        for name, value in properties.items()
        if value is not None
    }


def _stored_pairs(store: MetadataStore, table: str, pairs: list[tuple[str, str]]) -> set[tuple[str, str]]:
    if table == "ParentContext":
        children = {child for child, _ in pairs}
        return {(child, c.uid) for child in children for c in store.list_contexts(child=child)}
    uids = sorted({other for _, other in pairs})
    if not uids:
        return set()
    found = store.lineage(uids, max_hops=0)
    return set(found.attributions if table == "Attribution" else found.associations)


def _differs(what: str) -> IntegrityError:
    return IntegrityError(
        f"{what} is not in the graph as it is in the database",
        code="mlmd-mismatch",
        hint="another writer may have changed it meanwhile; bring the database in again",
    )
