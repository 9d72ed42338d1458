"""SQL answers a filter as the evaluator does, for random filters over random graphs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from sqlalchemy import select

from whence.database import sqlite_url
from whence.errors import BackendError, UnsupportedError
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    EventKind,
    Execution,
    NodeKind,
    Put,
    Type,
    open_store,
)
from whence.metadata.backends.compile import compile_filter, refused
from whence.metadata.backends.sql import SqlStore
from whence.metadata.backends.tables import NODE
from whence.metadata.filter import Evaluator, bind_filter, format_filter, parse_filter, quoted
from whence.metadata.filter import types as t

KINDS: tuple[NodeKind, ...] = ("artifact", "execution", "context")
PROPERTIES: dict[str, Any] = {"n": "INT", "d": "DOUBLE", "s": "STRING", "b": "BOOLEAN", "drift": "DOUBLE"}
TYPES = [
    Type("artifact", "A", PROPERTIES),
    Type("artifact", "A", version="2"),
    Type("artifact", "Statistics", {"drift": "DOUBLE"}),
    Type("artifact", "Profile", {"drift": "DOUBLE"}, base="mlmd.Statistics"),
    Type("execution", "E", PROPERTIES, base="mlmd.Train"),
    Type("context", "C", PROPERTIES),
]
WORDS = ["", "x", "X", "late@7", "läte", "a%b_c", "[x]*?", "ä"]
NUMBERS: list[Any] = [-2, 0, 1, 3, 2**62, 0.5, 1.0, -0.0, 3.5]
EVENT_KINDS: tuple[EventKind, ...] = ("INPUT", "OUTPUT", "DECLARED_INPUT", "PENDING_OUTPUT", "INTERNAL_INPUT")

customs = st.dictionaries(
    st.sampled_from(["n", "note", 'o"dd', "a.b"]),
    st.sampled_from([*NUMBERS, *WORDS, True, False, None, b"!", [1], {"$float": "inf"}])
    | st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    max_size=3,
)
typed: dict[str, st.SearchStrategy[Any]] = {
    "n": st.none() | st.sampled_from([-(2**63), -2, 0, 1, 3, 2**63 - 1]),
    "d": st.sampled_from([0.5, 1.0, -2.0, float("nan"), float("inf")]),
    "s": st.sampled_from(WORDS),
    "b": st.booleans(),
    "drift": st.sampled_from([0.0, 0.2]),
}


@st.composite
def nodes(draw: st.DrawFn, uid: str) -> AnyNode:
    shared: dict[str, Any] = {
        "uid": uid,
        "name": draw(st.none() | st.sampled_from(["x", "X", "late@7"]).map(lambda name: f"{name}{uid[1:]}")),
        "external_id": draw(st.none() | st.just(f"e{uid}")),
        "custom": draw(customs),
        "properties": draw(
            st.fixed_dictionaries(
                {"n": typed["n"], "s": typed["s"]}, optional={k: typed[k] for k in ("d", "b", "drift")}
            )
        ),
    }
    if uid[0] == "e":
        return Execution(type="E", state=draw(st.sampled_from(["NEW", "RUNNING"])), **shared)
    if uid[0] == "c":
        return Context(type="C", **shared)
    type_ = draw(st.sampled_from(["A", "A", "A", "2", "Statistics", "Profile"]))
    if type_ != "A":
        kept = {"drift": 0.2} if "drift" in shared["properties"] and type_ != "2" else {}
        shared["properties"] = kept
    shared["state"] = draw(st.sampled_from(["LIVE", "LIVE", "PENDING"]))
    shared["uri"] = draw(st.none() | st.sampled_from(["file:x", "file:läte"]))
    version = "2" if type_ == "2" else None
    return Artifact(type="A" if type_ == "2" else type_, type_version=version, **shared)


UIDS = [*(f"a{i}" for i in range(5)), *(f"e{i}" for i in range(4)), *(f"c{i}" for i in range(3))]
events = st.lists(
    st.builds(
        Event,
        st.sampled_from(UIDS[5:9]),
        st.sampled_from(UIDS[:5]),
        st.sampled_from(EVENT_KINDS),
        st.sampled_from([(), ("rows",), ("model", 0)]),
    ),
    min_size=6,
    max_size=16,
)
graphs = st.builds(
    Change,
    puts=st.tuples(*(nodes(uid) for uid in UIDS)).map(lambda all_: [Put(node) for node in all_]),
    events=events,
    attributions=st.lists(
        st.tuples(st.sampled_from(UIDS[9:]), st.sampled_from(UIDS[:5])), min_size=2, max_size=6
    ),
    associations=st.lists(
        st.tuples(st.sampled_from(UIDS[9:]), st.sampled_from(UIDS[5:9])), min_size=2, max_size=5
    ),
    parents=st.lists(st.sampled_from([("c0", "c1"), ("c1", "c2"), ("c0", "c2")]), max_size=3),
)


class StoredGraph:
    """What a store holds, for the evaluator: read through the port, then asked in memory."""

    def __init__(self, store: SqlStore, change: Change) -> None:
        self.nodes = {n.uid: n for kind in KINDS for n in store.find_nodes(kind).nodes}
        self._types = {(ty.kind, ty.name, ty.version): ty for ty in store.list_types()}
        self._events = store.list_events(artifacts=list(self.nodes))
        self._members = {*change.attributions, *change.associations}
        self._parents = set(change.parents)

    def node(self, uid: str) -> AnyNode:
        return self.nodes[uid]

    def type(self, node: AnyNode) -> Type:
        kind = cast("NodeKind", type(node).__name__.lower())
        return self._types[kind, node.type, node.type_version]

    def events(self, node: AnyNode) -> list[Event]:
        return [e for e in self._events if node.uid in (e.artifact, e.execution)]

    def contexts(self, node: AnyNode) -> list[AnyNode]:
        return [self.nodes[c] for c, n in self._members if n == node.uid]

    def members(self, context: AnyNode) -> list[AnyNode]:
        return [self.nodes[n] for c, n in self._members if c == context.uid]

    def parents(self, context: AnyNode) -> list[AnyNode]:
        return [self.nodes[p] for c, p in self._parents if c == context.uid]

    def children(self, context: AnyNode) -> list[AnyNode]:
        return [self.nodes[c] for c, p in self._parents if p == context.uid]


@cache
def empty() -> bytes:
    """The file of a store that knows the types and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(sqlite_url(Path(folder) / "g.db"))
        for type_ in TYPES:
            store.put_type(type_)
        assert isinstance(store, SqlStore)
        store.database.close()
        return (Path(folder) / "g.db").read_bytes()


@contextmanager
def stored(change: Change) -> Iterator[tuple[SqlStore, StoredGraph]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "g.db"
        file.write_bytes(empty())
        store = open_store(f"{sqlite_url(file)}?synchronous=OFF")
        assert isinstance(store, SqlStore)
        store.write(change)
        try:
            yield store, StoredGraph(store, change)
        finally:
            store.close()


def by_sql(store: SqlStore, text: str, kind: NodeKind) -> list[str]:
    condition = compile_filter(bind_filter(text, kind))
    statement = store.database.prepare(select(NODE.c.uid).where(NODE.c.kind == kind, condition))
    with store.database.read() as connection:
        return sorted(row[0] for row in statement.rows(connection))


def by_graph(graph: StoredGraph, text: str, kind: NodeKind) -> list[str]:
    bound, evaluator = bind_filter(text, kind), Evaluator(graph)
    mine = (n for n in graph.nodes.values() if type(n).__name__.lower() == kind)
    return sorted(n.uid for n in mine if evaluator.fits(bound, n))


# --- filters, most of which can be bound -------------------------------------------------------------

AROUND: dict[str, dict[t.Relation, str]] = {
    "artifact": {"contexts": "context", "events": "event", "executions": "execution"},
    "execution": {
        "contexts": "context",
        "events": "event",
        "artifacts": "artifact",
        "inputs": "artifact",
        "outputs": "artifact",
    },
    "context": {
        "artifacts": "artifact",
        "executions": "execution",
        "parent_contexts": "context",
        "child_contexts": "context",
    },
    "event": {},
}
AROUND["lineage"] = {**AROUND["artifact"], **AROUND["execution"]}
WALKS: dict[str, list[tuple[t.WalkName, str]]] = {
    "artifact": [("producer", "execution"), ("consumer", "execution")],
    "execution": [("input", "artifact"), ("output", "artifact")],
    "context": [],
    "event": [],
}
for one in ("artifact", "execution"):
    WALKS[one] += [("ancestor", "lineage"), ("descendant", "lineage")]
WALKS["lineage"] = [*WALKS["artifact"], *WALKS["execution"]]

TEXTS = st.sampled_from(["name", "type", "uid", "external_id", "type_version", "base"]).map(t.Column)
NUMERIC = st.sampled_from(["id", "type_id", "revision", "create_time_since_epoch"]).map(t.Column)
EVENT_NUMERIC = st.sampled_from(["artifact_id", "execution_id", "milliseconds_since_epoch"]).map(t.Column)
KEYS = st.sampled_from(["n", "d", "s", "b", "note", 'o"dd', "a.b", "none"])


def properties(suffixes: list[t.Suffix | None]) -> st.SearchStrategy[Any]:
    parts: st.SearchStrategy[t.Part] = st.sampled_from(["properties", "custom_properties"])
    return st.builds(t.Property, parts, KEYS, st.sampled_from(suffixes))


def fields(kind: str, of: str) -> st.SearchStrategy[Any]:
    """Columns and properties of one kind of value."""
    if kind == "event":
        return EVENT_NUMERIC if of == "number" else st.just(t.Column("path"))
    suffixes: dict[str, list[t.Suffix | None]] = {
        "number": [None, "int_value", "double_value"],
        "text": [None, "string_value"],
        "bool": [None, "bool_value"],
    }
    own = {"number": NUMERIC, "text": TEXTS}.get(of)
    found = properties(suffixes[of]) if own is None else own | properties(suffixes[of])
    if kind in ("artifact", "lineage"):
        found |= st.sampled_from(["drift", "note"]).map(t.StatsField)
    return found


@st.composite
def leaves(draw: st.DrawFn, kind: str, of: str) -> t.Expr:
    around = AROUND[kind]
    if around and draw(st.integers(0, 5)) == 5:
        relation = draw(st.sampled_from(sorted(around)))
        other = around[relation]
        if of != "bool" or other != "event":
            return t.AliasField(relation, draw(st.sampled_from("ab")), draw(fields(other, of)))
    return draw(fields(kind, of)) if of != "bool" or kind != "event" else t.Constant(value=True)


@st.composite
def numbers(draw: st.DrawFn, kind: str, depth: int) -> t.Expr:
    which = draw(st.integers(0, 9))
    if depth <= 0 or which < 4:
        return draw(leaves(kind, "number") if which % 2 else st.sampled_from(NUMBERS).map(t.Constant))
    around = AROUND[kind]
    if which < 6 and around:
        relation = draw(st.sampled_from(sorted(around)))
        where = draw(st.none() | conditions(around[relation], depth - 2))
        if draw(st.booleans()):
            return t.Count(relation, where)
        name: t.FoldName = draw(st.sampled_from(["MIN", "MAX", "AVG", "SUM"]))
        return t.Fold(name, relation, draw(fields(around[relation], "number")), where)
    if which == 6:
        return t.Call("LENGTH", draw(texts(kind, depth - 1)))
    if which == 7:
        return t.Call("ABS", draw(numbers(kind, depth - 1)))
    if which == 8:
        inside = draw(numbers(kind, depth - 1))
        return t.Minus(inside)
    op: t.ArithOp = draw(st.sampled_from(["+", "-", "*", "/"]))
    return t.Arith(op, draw(numbers(kind, depth - 1)), draw(numbers(kind, depth - 1)))


@st.composite
def texts(draw: st.DrawFn, kind: str, depth: int) -> t.Expr:
    which = draw(st.integers(0, 5))
    if depth > 0 and which == 0:
        name: t.FunctionName = draw(st.sampled_from(["LOWER", "UPPER"]))
        return t.Call(name, draw(texts(kind, depth - 1)))
    return draw(
        leaves(kind, "text") if which < 4 else st.sampled_from([*WORDS, "A", "E", "x0"]).map(t.Constant)
    )


def states(kind: str) -> st.SearchStrategy[t.Expr]:
    if kind == "event":
        column, words = t.Column("type"), ["INPUT", "OUTPUT"]
    elif kind == "context":
        return st.just(t.Constant(value=False))
    else:
        column, words = t.Column("state"), {"execution": ["NEW", "RUNNING"]}.get(kind, ["LIVE", "PENDING"])
    word = st.sampled_from(words).map(t.Word)
    ops: st.SearchStrategy[t.CompareOp] = st.sampled_from(["=", "!="])
    return st.builds(t.Compare, ops, st.just(column), word) | st.builds(
        t.In, st.just(column), st.tuples(word, word), st.booleans()
    )


@st.composite
def comparisons(draw: st.DrawFn, kind: str, depth: int) -> t.Expr:
    ops: st.SearchStrategy[t.CompareOp] = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    number, text = numbers(kind, depth - 1), texts(kind, depth - 1)
    either = number if draw(st.booleans()) else text
    constants = st.sampled_from(NUMBERS if either is number else WORDS).map(t.Constant)
    match draw(st.integers(0, 7)):
        case 0 | 1:
            return t.Compare(draw(ops), draw(either), draw(either))
        case 2:
            some = draw(st.lists(constants, min_size=1, max_size=3))
            return t.In(draw(either), tuple(some), draw(st.booleans()))
        case 3:
            return t.Between(draw(either), draw(either), draw(either), draw(st.booleans()))
        case 4:
            pattern = draw(
                st.sampled_from(["%", "_%", "x%", "%@_", "l_te%", "a!%b!_c", "[x]*?", "", "%ä", "E"])
            )
            return t.Like(draw(text), pattern, "!", draw(st.booleans()), draw(st.booleans()))
        case 5:
            return t.IsNull(draw(either), draw(st.booleans()))
        case 6:
            return draw(states(kind))
        case _ if kind != "event":
            left, right = draw(properties([None])), draw(properties([None]))
            return t.Compare(draw(ops), left, right)
        case _:
            return t.Constant(value=True)


@st.composite
def conditions(draw: st.DrawFn, kind: str, depth: int) -> t.Expr:
    which = draw(st.integers(0, 9))
    if depth <= 0 or which < 4:
        return draw(comparisons(kind, depth) if which else leaves(kind, "bool"))
    if which == 4:
        return t.Not(draw(conditions(kind, depth - 1)))
    if which < 7 and WALKS[kind]:
        name, other = draw(st.sampled_from(WALKS[kind]))
        hops = draw(st.none() | st.integers(1, 4)) if name in ("ancestor", "descendant") else None
        return t.Walk(name, draw(conditions(other, depth - 1)), hops)
    parts = draw(st.lists(conditions(kind, depth - 1), min_size=2, max_size=3))
    return t.And(tuple(parts)) if draw(st.booleans()) else t.Or(tuple(parts))


asked = st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), conditions(kind, 3)))


@settings(deadline=None, max_examples=40)
@given(graphs, st.lists(asked, min_size=4, max_size=8))
def test_sql_answers_as_the_evaluator(change: Change, filters: list[tuple[NodeKind, t.Expr]]) -> None:
    with stored(change) as (store, graph):
        for kind, tree in filters:
            text = format_filter(tree)
            note(f"{kind}: {text}")
            assert parse_filter(text).tree == tree
            assert by_sql(store, text, kind) == by_graph(graph, text, kind)


NOTHING = Change(puts=[Put(Artifact(type="A", name="x", properties={"n": 1}, uid="a0"))])


def plan(store: SqlStore, text: str, kind: NodeKind) -> list[str]:
    condition = compile_filter(bind_filter(text, kind))
    statement = select(NODE.c.uid).where(NODE.c.kind == kind, condition)
    with store.database.read() as connection:
        sql = str(statement.compile(connection, compile_kwargs={"literal_binds": True}))
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")]


@pytest.mark.parametrize(
    "text",
    [
        "contexts_a.name = 'x'",
        "executions_a.name = 'x' AND contexts_b.name = 'y'",
        "ancestor(name = 'x')",
        "ancestor(name = 'x', hops = 3)",
        "descendant(contexts_a.name = 'x')",
        "producer(name = 'x')",
        "stats.drift > 0.1",
        "COUNT(contexts) > 1",
        "COUNT(executions WHERE contexts_a.name = 'x') > 1",
    ],
)
def test_edges_are_looked_up_never_read_through(text: str) -> None:
    with stored(NOTHING) as (store, _):
        scans = [step for step in plan(store, text, "artifact") if step.startswith("SCAN")]
    # f1, f2, … stand for tables; the node table may be read through, and what a recursion has reached is.
    assert [step for step in scans if "event" in step or "member" in step or "parent" in step] == []


def test_an_index_on_a_property_serves() -> None:
    with stored(NOTHING) as (store, _):
        condition = compile_filter(bind_filter("properties.n = 1", "artifact"))
        with store.database.transaction() as connection:
            sql = str(condition.compile(connection, compile_kwargs={"literal_binds": True}))
            expression = sql.rpartition(" = ")[0].replace("node.", "")
            connection.exec_driver_sql(f"CREATE INDEX n_of_node ON node ({expression})")
        assert any("n_of_node" in step for step in plan(store, "properties.n = 1", "artifact"))


def test_values_and_odd_names_are_bound() -> None:
    """Nothing a caller wrote stands in the SQL, but plain names of properties."""
    evil = "x' OR 1=1 --"
    texts = [f"name = {quoted(evil)}", f"properties.`{evil}` = 1", f"name LIKE {quoted(evil)}"]
    texts += [f"name IN ({quoted(evil)}, 'y')", f"custom_properties.`{evil}`.string_value = {quoted(evil)}"]
    texts += [f"COUNT(contexts WHERE name = {quoted(evil)}) > 0", f"ancestor(name = {quoted(evil)})"]
    with stored(NOTHING) as (store, _):
        for text in texts:
            condition = compile_filter(bind_filter(text, "artifact"))
            assert "1=1" not in str(condition)
            assert by_sql(store, text, "artifact") == []


@pytest.mark.parametrize(
    "text",
    [
        " OR ".join(["id = 1"] * 6_000),
        f"id IN ({'1,' * 32_000}1)",
        f"name LIKE '{'[' * 10_000}' OR id = 1",
        "NOT " * 30 + "id = 1",
        " AND ".join(f"contexts_a{i}.id = 1" for i in range(20)),
    ],
    ids=["wide", "many", "pattern", "deep", "neighbours"],
)
def test_the_largest_filters_are_answered(text: str) -> None:
    with stored(NOTHING) as (store, graph):
        assert by_sql(store, text, "artifact") == by_graph(graph, text, "artifact")


def test_a_filter_too_deep_for_sqlite_is_refused_as_one() -> None:
    text = "ABS(" * 28 + "id" + ")" * 28 + " = 1"
    with stored(NOTHING) as (store, graph):
        assert by_graph(graph, text, "artifact") == ["a0"]
        try:
            found = by_sql(store, text, "artifact")
        except BackendError as error:
            assert refused(error).code == "bad-filter"  # noqa: PT017 - newer versions of SQLite answer
        else:
            assert found == ["a0"]
    other = BackendError("the disk is full")
    assert refused(other) is other


def test_what_is_not_compiled_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="text search"):
        compile_filter(bind_filter("SEARCH('late')", "artifact"))
    with pytest.raises(UnsupportedError, match="postgresql"):
        compile_filter(bind_filter("id = 1", "artifact"), dialect="postgresql")
