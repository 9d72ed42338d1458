"""An import tried without writing: everything that it would refuse, found at once.

Rows that contradict the database are told by the source itself. What is left goes batch by batch through the plan of a
write; a batch that is refused is tried in ever smaller parts, until every node and edge that does not fit is named. What
no batch can see, names and external ids that several rows have, and circles of contexts, is looked for beside it.

Memory does not grow with the source, but for its pairs of contexts and their parents.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from whence._base.progress import progress
from whence.errors import ConflictError, DeniedError, UsageError, WhenceError
from whence.integrations.mlmd.backends.source import Source
from whence.integrations.mlmd.batches import (
    PARTS,
    Brought,
    event_key,
    find_gone,
    find_moved,
    kept_events,
    node_rows,
    pair_rows,
)
from whence.integrations.mlmd.sentences import Sentences
from whence.metadata import MetadataStore, NodeKind, Page
from whence.metadata.delegate import Looking
from whence.metadata.exchange.trial import Trial
from whence.metadata.rows import KINDS
from whence.metadata.types import Rows
from whence.metadata.typetable import SIMPLE_NAMES


class Unmade(Looking):
    """A graph as a namespace sees it that is not made yet: nothing is in it, and nothing is written."""

    def __init__(self, store: MetadataStore, name: str) -> None:
        super().__init__(store, f"namespace {name!r} is not made")
        self.namespace = name

    def find_nodes(self, kind: NodeKind, **options: Any) -> Page:  # handed on as they are
        return self.store.find_nodes(kind, **options) if options.get("everywhere") else Page([])


def namespace_to_look(store: MetadataStore, name: str) -> MetadataStore:
    """A handle on a namespace, whether or not it is there."""
    there = any(space.name == name for space in store.list_namespaces())
    return store.in_namespace(name) if there else Unmade(store, name)


def rehearse(store: MetadataStore, source: Source, done: Brought, refused: Sentences) -> None:
    """Read a whole source as if to write it, and tell all that would be refused."""
    trial = Trial(store)
    try:
        trial.namespace(store.namespace)
    except DeniedError as closed:
        refused.add(closed.message)
    lost = _try_types(trial, source, refused)
    unnumbered = source.unnumbered()
    for sentence in unnumbered or source.doubles():
        refused.add(sentence)
    if unnumbered:
        return
    done.moved, highest = find_moved(store, source)
    done.gone = find_gone(store)
    with progress("reading", total=sum(done.found.values())) as step:
        for kind in KINDS:
            for rows in node_rows(store, source, done, kind, highest):
                nodes = [n for n in rows.nodes if (kind, n.type, n.type_version) not in lost]
                labels = {uid: f"{kind} {their_id}" for _, their_id, uid in rows.imported}
                for error, part in trial.refusals(Rows(nodes)):
                    refused.add(_said(error, " and ".join(labels[n.uid] for n in part.nodes), labels))
                step(len(rows.nodes))
        for events in source.events():
            given = {event_key(e.event): e.id for e in events if e.event is not None}
            rows = Rows(events=kept_events(source, events, done))
            for error, part in trial.refusals(rows):
                refused.add(
                    _said(error, " and ".join(f"event {given[event_key(e)]}" for e in part.events), {})
                )
            step(len(events))
        for table, part_name in PARTS.items():
            for rows in pair_rows(source, done, table):
                for error, _ in trial.refusals(rows):
                    refused.add(_said(error, table, {}))
                step(len(getattr(rows, part_name)))
    pairs = (p for p in source.parent_ids() if done.gone.isdisjoint(source.uid("context", c) for c in p))
    _refuse_circles(pairs, refused)


def _try_types(trial: Trial, source: Source, refused: Sentences) -> set[tuple[str, str, str | None]]:
    """The types that would be refused."""
    lost: set[tuple[str, str, str | None]] = set()
    for type_ in source.types():
        if type_.name in SIMPLE_NAMES:
            continue
        try:
            trial.type(dataclasses.replace(type_, id=None))
        except (ConflictError, UsageError) as error:
            label = f"{type_.kind} type {type_.name!r:.80}"
            refused.add(f"{label} of the database differs from the graph's: {error.message}")
            lost.add((type_.kind, type_.name, type_.version))
    return lost


def _said(error: WhenceError, what: str, labels: Mapping[str, str]) -> str:
    """A refusal in the ids of the source; `what` is refused."""
    sentence = error.message
    for uid in [word.strip("'") for word in sentence.split()]:
        if uid in labels:
            sentence = sentence.replace(uid, labels[uid])
    return f"{what[:200]}: {sentence}"


def _refuse_circles(pairs: Iterable[tuple[int, int]], refused: Sentences) -> None:
    """Tell the contexts that are their own ancestors, by the pairs of the source alone."""
    above: dict[int, set[int]] = {}
    below: dict[int, set[int]] = {}
    for child, parent in pairs:
        above.setdefault(child, set()).add(parent)
        below.setdefault(parent, set()).add(child)
    # Who has no parent left, or no child, is in no circle.
    for up, down in ((above, below), (below, above)):
        free = [context for context in down if not up.get(context)]
        while free:
            context = free.pop()
            for other in down.pop(context, ()):
                up[other].discard(context)
                if not up[other]:
                    free.append(other)
            up.pop(context, None)
    if above:
        names = ", ".join(map(str, sorted(above)[:20]))
        refused.add(f"contexts would be their own ancestors: {names}{' …' if len(above) > 20 else ''}")
