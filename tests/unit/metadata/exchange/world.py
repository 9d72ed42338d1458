"""Random small graphs for what is written out and read back, and when two graphs are equal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    MetadataStore,
    Put,
    Type,
    Value,
    open_store,
)

PROPERTIES: Mapping[str, str] = {
    "i": "INT",
    "d": "DOUBLE",
    "s": "STRING",
    "t": "STRUCT",
    "p": "PROTO",
    "b": "BOOLEAN",
}
TYPES = [
    Type("artifact", "Table", PROPERTIES),  # type: ignore[arg-type]
    Type("artifact", "odd näme/ü", PROPERTIES, version="2"),  # type: ignore[arg-type]
    Type("execution", "load", PROPERTIES),  # type: ignore[arg-type]
    Type("context", "Group", PROPERTIES),  # type: ignore[arg-type]
]

# Everything text can hold but NUL and lone surrogates, which no store keeps.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
labels = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
plain: st.SearchStrategy[Value] = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    texts,
    st.binary(max_size=6),
)
structs: st.SearchStrategy[Value] = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(labels, inner, max_size=3),
    max_leaves=6,
)
typed: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "i": st.integers(-(2**63), 2**63 - 1),
        "d": st.floats(allow_nan=False),
        "s": texts,
        "t": st.lists(structs, max_size=3) | st.dictionaries(labels, structs, max_size=3),
        "p": st.binary(max_size=6),
        "b": st.booleans(),
    },
)
custom: st.SearchStrategy[Any] = st.dictionaries(labels, structs, max_size=3)
moments = st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given beside


@st.composite
def graphs(draw: st.DrawFn) -> Change:
    """One change that makes a graph: nodes of every kind, with events, members and parents."""
    names = st.none() | labels
    artifacts = [
        Artifact(
            type=type_,
            type_version=version,
            name=draw(names),
            uri=draw(st.none() | texts),
            state=draw(st.sampled_from(["LIVE", "PENDING", "ABANDONED"])),
            properties=draw(typed),
            custom=draw(custom),
        )
        for type_, version in draw(
            st.lists(st.sampled_from([("Table", None), ("odd näme/ü", "2")]), max_size=3)
        )
    ]
    executions = [
        Execution(
            type="load",
            name=draw(names),
            state=draw(st.sampled_from(["COMPLETE", "FAILED", "RUNNING"])),
            properties=draw(typed),
        )
        for _ in range(draw(st.integers(0, 2)))
    ]
    contexts = [
        Context(type="Group", name=draw(labels), custom=draw(custom)) for _ in range(draw(st.integers(0, 3)))
    ]
    nodes = _with_own_names([*artifacts, *executions, *contexts])
    paths = st.lists(labels | st.integers(0, 9), max_size=2).map(tuple)
    events = [
        Event(
            execution.uid,
            artifact.uid,
            draw(st.sampled_from(["INPUT", "OUTPUT", "DECLARED_INPUT", "INTERNAL_OUTPUT", "PENDING_OUTPUT"])),
            draw(paths),
            draw(moments),
        )
        for execution in executions
        for artifact in artifacts
        if draw(st.booleans())
    ]
    return Change(
        puts=[Put(node) for node in nodes],
        events=events,
        attributions=[(c.uid, a.uid) for c in contexts for a in artifacts if draw(st.booleans())],
        associations=[(c.uid, e.uid) for c in contexts for e in executions if draw(st.booleans())],
        parents=[
            (a.uid, b.uid) for i, a in enumerate(contexts) for b in contexts[i + 1 :] if draw(st.booleans())
        ],
    )


def _with_own_names(nodes: list[AnyNode]) -> list[AnyNode]:
    """The nodes, those left out whose type and name another one has."""
    seen: set[tuple[str, str]] = set()
    kept: list[AnyNode] = []
    for node in nodes:
        if node.name is None or (node.type, node.name) not in seen:
            seen.add((node.type, node.name or node.uid))
            kept.append(node)
    return kept


def make(change: Change) -> MetadataStore:
    """A graph in memory with that change."""
    store = open_store("memory://")
    for type_ in TYPES:
        store.put_type(type_)
    here = {put.node.uid for put in change.puts}
    store.write(
        Change(
            change.puts,
            [e for e in change.events if {e.execution, e.artifact} <= here],
            [pair for pair in change.attributions if set(pair) <= here],
            [pair for pair in change.associations if set(pair) <= here],
            [pair for pair in change.parents if set(pair) <= here],
        )
    )
    return store


def contents(store: MetadataStore) -> dict[str, list[str]]:
    """What a graph says, without what each store gives its own: ids, times, revisions."""
    nodes = [
        node
        for kind in ("artifact", "execution", "context")
        for node in store.list_nodes(kind, removed=True, everywhere=True)
    ]
    return {
        "nodes": sorted(repr(_said(node)) for node in nodes),
        "events": sorted(repr((e.execution, e.artifact, e.kind, e.path, e.at)) for e in store.all_events()),
        "members": sorted(map(repr, store.all_members())),
        "parents": sorted(map(repr, store.all_parents())),
    }


def _said(node: AnyNode) -> tuple[object, ...]:
    shared = (type(node).__name__, node.uid, node.type, node.type_version, node.name, node.external_id)
    own = (getattr(node, "uri", None), getattr(node, "state", None), node.removed_at is not None)
    return (*shared, *own, sorted(dict(node.properties).items()), sorted(dict(node.custom).items()))
