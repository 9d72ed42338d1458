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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from whence._base.crash import crash_point, register
from whence._base.progress import progress
from whence.errors import ConflictError, IntegrityError
from whence.integrations.mlmd.backends.source import PAIRS, Source
from whence.integrations.mlmd.batches import (
    Brought,
    event_rows,
    find_gone,
    find_moved,
    node_rows,
    pair_rows,
)
from whence.integrations.mlmd.rehearsal import rehearse
from whence.integrations.mlmd.sentences import Sentences
from whence.metadata import AnyNode, Change, Execution, MetadataStore, Put, Type, Value
from whence.metadata.rows import KINDS
from whence.metadata.types import DEFAULT_NAMESPACE
from whence.metadata.typetable import SIMPLE_NAMES

log = logging.getLogger(__name__)

IMPORT_TYPE: Final = Type(
    "execution",
    "mlmd_import",
    {"source": "STRING", "place": "STRING", "version": "INT", "found": "STRUCT", "written": "STRUCT"},
    description="A database of ML Metadata was brought in.",
)
WRITTEN: Final = register("mlmd.import.written", "a batch of an import is written, the next one is not")
_FIELDS: Final = ("type", "type_version", "name", "external_id", "created_at", "updated_at", "uri", "state")


def import_mlmd(
    store: MetadataStore, place: str | Path, *, name: str | None = None, dry_run: bool = False
) -> Brought:
    """Bring a database of ML Metadata (schema 6 to 10) into a graph, and verify it.

    Args:
        store: The graph; nodes come into its namespace.
        place: A SQLite file, ``mysql://…`` or ``postgresql://…``; it is only read, in one snapshot.
        name: What the source is called; None derives a name from its first rows.
        dry_run: Read everything, put it through the plan of a write, and write nothing: `Brought.refused` has all
            that would be refused, not the first of it alone.

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
    refused = Sentences()
    with Source(place, name=name, wrong=refused.add if dry_run else None) as source:
        source.name = _known_as(store, source)
        done = Brought(source.name, source.version, source.counts())
        if dry_run:
            rehearse(store, source, done, refused)
            done.refused = refused.all()
        else:
            load_source(store, source, done)
        done.told = source.told.all()
        if not dry_run:
            _check(store, source, done)
    log.info("mlmd database brought in", extra={"source": done.source, "found": dict(done.found)})
    return done


def _known_as(store: MetadataStore, source: Source) -> str:
    """The name under which the graph has the source: a table that was empty then may have rows now."""
    suffix = "" if store.namespace == DEFAULT_NAMESPACE else f"@{store.namespace}"
    names = [name + suffix for name in (source.name, *source.earlier_names)]
    known = (n for n in names if any(store.list_imported(n, kind, limit=1) for kind in KINDS))
    return next(known, names[0])


def load_source(store: MetadataStore, source: Source, done: Brought) -> None:
    """Write everything a source has; nothing is compared.

    Raises:
        IntegrityError: It has rows without ids (``mlmd-mismatch``).
    """
    for sentence in source.unnumbered():
        raise IntegrityError(f"{sentence}, in {source.name}", code="mlmd-mismatch")
    _put_types(store, source)
    done.moved, highest = find_moved(store, source)
    done.gone = find_gone(store)
    with progress("bringing in", total=sum(done.found.values())) as step:

        def written(n: int) -> None:
            crash_point(WRITTEN)
            step(n)

        for kind in KINDS:
            loaded = store.load(node_rows(store, source, done, kind, highest), on_progress=written)
            done.written[kind.capitalize()] += loaded.n_nodes + loaded.n_updated
        done.written["Event"] += store.load(event_rows(source, done), on_progress=written).n_events
        for table in PAIRS:
            loaded = store.load(pair_rows(source, done, table), on_progress=written)
            done.written[table] += loaded.n_parents if table == "ParentContext" else loaded.n_members


def _put_types(store: MetadataStore, source: Source) -> None:
    for type_ in source.types():
        if type_.name in SIMPLE_NAMES:
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


# afterwards


def _check(store: MetadataStore, source: Source, done: Brought) -> None:
    """Compare, and say in the graph what happened."""
    anything = any(done.written.values())
    try:
        with progress("comparing", total=sum(done.found.values())) as step:
            _compare_counts(done, _verify(store, source, done, step))
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


def _verify(store: MetadataStore, source: Source, done: Brought, step: Callable[[int], None]) -> Counter[str]:
    """Compare everything that was read with what is stored now; how many nodes of each table that was."""
    read: Counter[str] = Counter()
    for kind in KINDS:
        for batch in source.nodes(kind):
            read[kind.capitalize()] += len(batch)
            stored = {n.uid: n for n in store.get_nodes(kind, uids=[b.node.uid for b in batch])}
            for item in batch:
                found = stored.get(item.node.uid)
                if found is not None and found.removed_at is not None and found.uid in done.gone:
                    continue
                if found is None or not _equal(found, item.node):
                    raise _differs(f"{kind} {item.id} of {source.name}")
            step(len(batch))
    for events in source.events():
        given = [e.event for e in events if e.event is not None]
        wanted = [e for e in given if done.gone.isdisjoint((e.execution, e.artifact))]
        if not all(store.has_events(wanted)):
            raise _differs(f"an event between {events[0].id} and {events[-1].id}")
        step(len(events))
    for table in PAIRS:
        for pairs in source.pairs(table):
            kept = [pair for pair in pairs if done.gone.isdisjoint(pair)]
            if not set(kept) <= _stored_pairs(store, table, kept):
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
        _given(mine) == _given(theirs)
        for mine, theirs in ((stored.properties, wanted.properties), (stored.custom, wanted.custom))
    )


def _exact(value: object) -> object:
    """A value that is equal only to one of its kind, however deep: 1, 1.0 and True are three, and NaN is itself."""
    if isinstance(value, Mapping):
        return {name: _exact(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_exact(item) for item in value]
    return type(value), repr(value) if isinstance(value, float) else value


def _given(properties: Mapping[str, Value]) -> object:
    return _exact({name: value for name, value in properties.items() if value is not None})


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
