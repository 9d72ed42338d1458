"""Memory and SQL give the same answers for random histories, and lineage equals a naive walk."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from whence.database import sqlite_url
from whence.errors import WhenceError
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Direction,
    Event,
    EventKind,
    Execution,
    MetadataStore,
    NodeKind,
    Put,
    Subgraph,
    Type,
    Value,
    open_store,
)

TYPES = [
    Type("artifact", "A", {"n": "INT", "d": "DOUBLE"}),
    Type("artifact", "B"),
    Type("execution", "E", {"n": "INT"}),
    Type("context", "C"),
]
KINDS: tuple[EventKind, ...] = (
    "INPUT",
    "OUTPUT",
    "DECLARED_INPUT",
    "PENDING_OUTPUT",
    "INTERNAL_INPUT",
    "INTERNAL_OUTPUT",
)

# Few names and uids, so that histories meet themselves; `?` is never stored.
UIDS = {kind: [f"{kind}{i}" for i in range(4)] for kind in "aec"}
EVERY_UID = [*UIDS["a"], *UIDS["e"], *UIDS["c"], "?"]
maybe_name = st.none() | st.sampled_from(["x", "y", "z@1", "z@2"])
external = st.none() | st.sampled_from(["e1", "e2"])
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -0.0, "1", "é", ""])
customs = st.dictionaries(
    st.sampled_from(["n", "c", 'o"dd', "$x"]), scalars | st.lists(scalars, max_size=2), max_size=3
)
typed = st.dictionaries(
    st.sampled_from(["n", "n", "d", "wrong"]), st.sampled_from([1, 2, 0.5, "text"]), max_size=1
)


@st.composite
def nodes(draw: st.DrawFn) -> AnyNode:
    kind = draw(st.sampled_from("aaeec"))
    shared: dict[str, Any] = {
        "uid": draw(st.sampled_from(UIDS[kind])),
        "name": draw(maybe_name),
        "external_id": draw(external),
        "custom": draw(customs),
    }
    if kind == "e":
        return Execution(type="E", state=draw(st.sampled_from(["NEW", "RUNNING", "COMPLETE"])), **shared)
    if kind == "c":
        return Context(type="C", **shared)
    type_ = draw(st.sampled_from(["A", "A", "A", "B"]))
    shared["state"] = draw(st.sampled_from(["LIVE", "PENDING", "ABANDONED"]))
    shared["properties"] = draw(typed) if type_ == "A" else {}
    return Artifact(type=type_, uri=draw(maybe_name), **shared)


def uid(kind: str) -> st.SearchStrategy[str]:
    """A uid of this kind; seldom one that is absent or of another kind."""
    return st.sampled_from([*UIDS[kind] * 10, "e0", "?"])


def pairs(left: str, right: str) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(uid(left), uid(right)), max_size=2)


puts = st.builds(
    Put,
    nodes(),
    st.sampled_from(["error", "reuse", "update", "update", "update"]),
    st.sampled_from([None, None, None, None, 1, 2]),
)
paths = st.lists(st.integers(0, 2) | st.sampled_from(["a", "ü"]), max_size=2).map(tuple)
events = st.builds(Event, uid("e"), uid("a"), st.sampled_from(KINDS), paths)
changes = st.one_of(
    st.builds(Change, st.lists(puts, max_size=3)),
    st.builds(Change, events=st.lists(events, max_size=4)),
    st.builds(Change, attributions=pairs("c", "a"), associations=pairs("c", "e"), parents=pairs("c", "c")),
    st.builds(
        Change, st.lists(puts, max_size=2), st.lists(events, max_size=2), pairs("c", "a"), pairs("c", "e")
    ),
)
BEGINNING = Change(
    [
        *(Put(Artifact(type="A", uid=uid)) for uid in UIDS["a"]),
        *(Put(Execution(type="E", uid=uid)) for uid in UIDS["e"]),
        *(Put(Context(type="C", uid=uid)) for uid in UIDS["c"]),
    ]
)


def answer(ask: Callable[[], object]) -> object:
    """What a store says, errors included; times are its own."""
    try:
        return timeless(ask())
    except WhenceError as error:
        return (error.code, error.message)


def timeless(value: object) -> object:
    if isinstance(value, Artifact | Execution | Context):
        return repr(dataclasses.replace(value, created_at=None, updated_at=None))
    if isinstance(value, Event):
        return dataclasses.replace(value, at=None)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [timeless(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [timeless(getattr(value, f.name)) for f in dataclasses.fields(value)]
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items()}
    return value


def questions(store: MetadataStore) -> list[object]:
    """Everything one can ask about the few names there are."""
    asks: list[Callable[[], object]] = []
    wheres: list[Mapping[str, Value]] = [
        {"n": 1}, {"n": None}, {"c": True, "n": "1"}, {'o"dd': 0}, {'o"dd': None}, {"$x": ""}
    ]  # fmt: skip
    kinds: tuple[NodeKind, ...] = ("artifact", "execution", "context")
    for kind in kinds:
        find = partial(store.find_nodes, kind)
        asks += [
            find,
            partial(find, order_by="id", descending=True, limit=2),
            partial(find, name_prefix="z@", limit=1),
            partial(find, context="c1", state=["LIVE", "NEW"]),
            partial(store.get_nodes, kind, ids=[3, 1, 2], uids=EVERY_UID),
            *(partial(find, where=where) for where in wheres),
        ]
    directions: tuple[Direction, ...] = ("up", "down", "both")
    for uid in EVERY_UID:
        asks += [
            partial(store.list_events, executions=[uid]),
            partial(store.list_contexts, artifact=uid, child="c2"),
            partial(store.list_contexts, execution=uid),
        ]
        asks += [
            partial(store.lineage, [uid, "e1"], direction=direction, max_hops=hops, internal=internal)
            for direction in directions
            for hops in (None, 0, 1, 2)
            for internal in (False, True)
        ]
    return [answer(ask) for ask in asks]


@given(st.lists(changes, min_size=1, max_size=8))
@settings(deadline=None, max_examples=25)
def test_memory_and_sql_give_the_same_answers(history: list[Change]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        memory, sql = (
            open_store("memory://"),
            open_store(sqlite_url(Path(folder) / "x.db") + "?synchronous=OFF"),
        )
        try:
            for type_ in TYPES:
                assert memory.put_type(type_) == sql.put_type(type_)
            for change in (BEGINNING, *history):
                assert answer(partial(memory.write, change)) == answer(partial(sql.write, change))
            assert questions(memory) == questions(sql)
        finally:
            sql.close()


def naive(all_events: list[Event], start: str, direction: Direction, max_hops: int | None) -> set[str]:
    """Lineage by asking every event again and again."""
    distance = {start: 0}
    reads, writes = {"INPUT", "DECLARED_INPUT"}, {"OUTPUT", "DECLARED_OUTPUT", "PENDING_OUTPUT"}
    for hop in range(len(all_events) + 1 if max_hops is None else max_hops):
        for event in all_events:
            came_from = [(event.execution, event.artifact)] if event.kind in reads else []
            came_from += [(event.artifact, event.execution)] if event.kind in writes else []
            for node, origin in came_from:
                if direction in ("up", "both") and distance.get(node) == hop:
                    distance.setdefault(origin, hop + 1)
                if direction in ("down", "both") and distance.get(origin) == hop:
                    distance.setdefault(node, hop + 1)
    return set(distance)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from(KINDS)), max_size=24),
    st.sampled_from(["up", "down", "both"]),
    st.none() | st.integers(0, 5),
)
@settings(deadline=None, max_examples=40)
def test_lineage_equals_a_naive_walk(
    edges: list[tuple[int, int, EventKind]], direction: Direction, max_hops: int | None
) -> None:
    artifacts = [Artifact(type="A", uid=f"a{i}") for i in range(7)]
    executions = [Execution(type="E", uid=f"e{i}") for i in range(7)]
    all_events = [Event(f"e{e}", f"a{a}", kind) for e, a, kind in edges]
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(sqlite_url(Path(folder) / "x.db") + "?synchronous=OFF")
        try:
            for type_ in TYPES:
                store.put_type(type_)
            store.write(Change([*map(Put, artifacts), *map(Put, executions)], all_events))
            for start in ("a0", "e0"):
                found = store.lineage([start], direction=direction, max_hops=max_hops)
                assert reached(found) == naive(all_events, start, direction, max_hops)
                between = {
                    (e.execution, e.artifact, e.kind)
                    for e in all_events
                    if {e.execution, e.artifact} <= reached(found) and not e.kind.startswith("INTERNAL")
                }
                assert {(e.execution, e.artifact, e.kind) for e in found.events} == between
        finally:
            store.close()


def reached(found: Subgraph) -> set[str]:
    return {node.uid for node in (*found.artifacts, *found.executions)}
