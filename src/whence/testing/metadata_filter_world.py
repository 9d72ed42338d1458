"""Random graphs, and random filters to ask of them: what the filter suite is played on."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from hypothesis import strategies as st

from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    EventKind,
    Execution,
    NodeKind,
    PropertyType,
    Put,
    Type,
)
from whence.metadata.filter import types as t

KINDS: Final[tuple[NodeKind, ...]] = ("artifact", "execution", "context")
PROPERTIES: Final[dict[str, PropertyType]] = {
    "n": "INT",
    "d": "DOUBLE",
    "s": "STRING",
    "b": "BOOLEAN",
    "drift": "DOUBLE",
}
TYPES: Final = (
    Type("artifact", "A", PROPERTIES),
    Type("artifact", "A", version="2"),
    Type("artifact", "Statistics", {"drift": "DOUBLE"}),
    Type("artifact", "Profile", {"drift": "DOUBLE"}, base="mlmd.Statistics"),
    Type("execution", "E", PROPERTIES, base="mlmd.Train"),
    Type("context", "C", PROPERTIES),
)
WORDS: Final = ["", "x", "X", "late@7", "läte", "a%b_c", "[x]*?", "ä", "a|b", "Zürich, straße", "ﬁne LATE"]
NUMBERS: Final[list[Any]] = [-2, 0, 1, 3, 0.5, 1.0, -0.0, 3.5]
EVENT_KINDS: Final[tuple[EventKind, ...]] = (
    "INPUT",
    "OUTPUT",
    "DECLARED_INPUT",
    "PENDING_OUTPUT",
    "INTERNAL_INPUT",
)
ODD_NAMES: Final = ("n", "note", 'o"dd', "a.b", "it's", "back\\slash", "größe", "%s")
MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)
UIDS: Final = [*(f"a{i}" for i in range(6)), *(f"e{i}" for i in range(5)), *(f"c{i}" for i in range(3))]


def make_graph(seed: int, *, infinite: bool = True) -> Change:
    """A graph of 14 nodes, the same for the same seed.

    Args:
        seed: Which.
        infinite: With doubles that are infinite.
    """
    made = _Maker(random.Random(seed), infinite=infinite)  # noqa: S311 - a game, not a secret
    puts = [Put(made.node(uid)) for uid in UIDS]
    artifacts, executions, contexts = UIDS[:6], UIDS[6:11], UIDS[11:]
    pick = made.random.choice
    paths: list[tuple[str | int, ...]] = [(), ("rows",), ("model", 0), ("a/b", 'q"ä\\')]
    events = [
        Event(pick(executions), pick(artifacts), pick(EVENT_KINDS), pick(paths))
        for _ in range(made.random.randint(8, 18))
    ]
    return Change(
        puts,
        events,
        attributions=[(pick(contexts), pick(artifacts)) for _ in range(5)],
        associations=[(pick(contexts), pick(executions)) for _ in range(4)],
        parents=[("c0", "c1"), ("c1", "c2"), ("c0", "c2")][: made.random.randint(0, 3)],
    )


class _Maker:
    def __init__(self, source: random.Random, *, infinite: bool) -> None:
        self.random = source
        self._odd = [float("nan"), *([float("inf"), float("-inf")] if infinite else [])]

    def node(self, uid: str) -> AnyNode:
        pick = self.random.choice
        shared: dict[str, Any] = {
            "uid": uid,
            "name": pick([None, *(f"{name}{uid[1:]}" for name in ("x", "X", "late@7", "Läte "))]),
            "external_id": pick([None, f"e{uid}"]),
            "custom": {name: self._value() for name in ODD_NAMES if self.random.random() < 0.4},
            "properties": self._typed(),
        }
        if uid[0] == "e":
            return Execution(type="E", state=pick(["NEW", "RUNNING", "COMPLETE", "UNKNOWN"]), **shared)
        if uid[0] == "c":
            return Context(type="C", **shared)
        type_ = pick(["A", "A", "A", "2", "Statistics", "Profile"])
        if type_ != "A":
            kept = "drift" in shared["properties"] and type_ != "2"
            shared["properties"] = {"drift": 0.2} if kept else {}
        return Artifact(
            type="A" if type_ == "2" else type_,
            type_version="2" if type_ == "2" else None,
            state=pick(["LIVE", "LIVE", "PENDING", "UNKNOWN"]),
            uri=pick([None, "file:x", "file:läte", "s3://Late/7"]),
            **shared,
        )

    def _value(self) -> Any:
        odd: list[Any] = [True, False, None, b"!", [1], {"$float": "inf"}, {"a": 1}]
        return self.random.choice([*NUMBERS, *WORDS, *odd, *self._odd])

    def _typed(self) -> dict[str, Any]:
        pick = self.random.choice
        whole = {
            "n": pick([None, -2, 0, 1, 3, 1_000_000]),
            "s": pick(WORDS),
            "d": pick([0.5, 1.0, -2.0, 1e16, *self._odd]),
            "b": pick([True, False]),
            "drift": pick([0.0, 0.2]),
        }
        return {name: value for name, value in whole.items() if name in "ns" or self.random.random() < 0.5}


AROUND: Final[dict[str, dict[t.Relation, str]]] = {
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
WALKS: Final[dict[str, list[tuple[t.WalkName, str]]]] = {
    "artifact": [("producer", "execution"), ("consumer", "execution")],
    "execution": [("input", "artifact"), ("output", "artifact")],
    "context": [],
    "event": [],
}
for one in ("artifact", "execution"):
    WALKS[one] += [("ancestor", "lineage"), ("descendant", "lineage")]
WALKS["lineage"] = [*WALKS["artifact"], *WALKS["execution"]]

TEXTS = st.sampled_from(["name", "type", "namespace", "external_id", "type_version", "base"]).map(t.Column)
NUMERIC = st.sampled_from(["id", "type_id", "revision", "create_time_since_epoch"]).map(t.Column)
TIMES = st.sampled_from(["created_at", "updated_at", "removed_at"]).map(t.Column)
EVENT_NUMERIC = st.sampled_from(["artifact_id", "execution_id", "milliseconds_since_epoch"]).map(t.Column)
KEYS = st.sampled_from([*PROPERTIES, *ODD_NAMES, "none"])


@cache
def _properties(suffixes: tuple[t.Suffix | None, ...]) -> st.SearchStrategy[Any]:
    parts: st.SearchStrategy[t.Part] = st.sampled_from(["properties", "custom_properties"])
    return st.builds(t.Property, parts, KEYS, st.sampled_from(suffixes))


@cache
def _fields(kind: str, of: str) -> st.SearchStrategy[Any]:
    """Columns and properties of one kind of value."""
    if kind == "event":
        return EVENT_NUMERIC if of == "number" else st.just(t.Column("path"))
    suffixes: dict[str, tuple[t.Suffix | None, ...]] = {
        "number": (None, "int_value", "double_value"),
        "text": (None, "string_value"),
        "bool": (None, "bool_value"),
    }
    own = {"number": NUMERIC, "text": TEXTS}.get(of)
    found = _properties(suffixes[of]) if own is None else own | _properties(suffixes[of])
    if kind in ("artifact", "lineage"):
        found |= st.sampled_from(["drift", "note"]).map(t.StatsField)
    return found


@cache
@st.composite
def _leaves(draw: st.DrawFn, kind: str, of: str) -> t.Expr:
    around = AROUND[kind]
    if around and draw(st.integers(0, 5)) == 5:
        relation = draw(st.sampled_from(sorted(around)))
        other = around[relation]
        if of != "bool" or other != "event":
            return t.AliasField(relation, draw(st.sampled_from("ab")), draw(_fields(other, of)))
    return draw(_fields(kind, of)) if of != "bool" or kind != "event" else t.Constant(value=True)


@cache
@st.composite
def _numbers(draw: st.DrawFn, kind: str, depth: int) -> t.Expr:
    which = draw(st.integers(0, 9))
    if depth <= 0 or which < 4:
        return draw(_leaves(kind, "number") if which % 2 else st.sampled_from(NUMBERS).map(t.Constant))
    around = AROUND[kind]
    if which < 6 and around:
        relation = draw(st.sampled_from(sorted(around)))
        where = draw(st.none() | _conditions(around[relation], depth - 2))
        if draw(st.booleans()):
            return t.Count(relation, where)
        name: t.FoldName = draw(st.sampled_from(["MIN", "MAX", "AVG", "SUM"]))
        return t.Fold(name, relation, draw(_fields(around[relation], "number")), where)
    if which == 6:
        return t.Call("LENGTH", draw(_texts(kind, depth - 1)))
    if which == 7:
        return t.Call("ABS", draw(_numbers(kind, depth - 1)))
    if which == 8:
        inside = draw(_numbers(kind, depth - 1))
        return t.Minus(inside)
    op: t.ArithOp = draw(st.sampled_from(["+", "-", "*", "/"]))
    return t.Arith(op, draw(_numbers(kind, depth - 1)), draw(_numbers(kind, depth - 1)))


@cache
@st.composite
def _texts(draw: st.DrawFn, kind: str, depth: int) -> t.Expr:
    which = draw(st.integers(0, 5))
    if depth > 0 and which == 0:
        name: t.FunctionName = draw(st.sampled_from(["LOWER", "UPPER"]))
        return t.Call(name, draw(_texts(kind, depth - 1)))
    return draw(
        _leaves(kind, "text") if which < 4 else st.sampled_from([*WORDS, "A", "E", "x0"]).map(t.Constant)
    )


_STATES: Final = {
    "artifact": ["LIVE", "PENDING", "UNKNOWN", "DELETED"],
    "execution": ["NEW", "RUNNING", "UNKNOWN", "COMPLETE"],
    "lineage": ["LIVE", "NEW", "UNKNOWN", "COMPLETE", "PENDING"],
}


@cache
def _states(kind: str) -> st.SearchStrategy[t.Expr]:
    if kind == "event":
        column, words = t.Column("type"), [str(word) for word in EVENT_KINDS]
    elif kind == "context":
        return st.just(t.Constant(value=False))
    else:
        column, words = t.Column("state"), _STATES[kind]
    word = st.sampled_from(words).map(t.Word)
    ops: st.SearchStrategy[t.CompareOp] = st.sampled_from(["=", "!="])
    return st.builds(t.Compare, ops, st.just(column), word) | st.builds(
        t.In, st.just(column), st.tuples(word, word), st.booleans()
    )


@cache
@st.composite
def _comparisons(draw: st.DrawFn, kind: str, depth: int) -> t.Expr:
    ops: st.SearchStrategy[t.CompareOp] = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    number, text = _numbers(kind, depth - 1), _texts(kind, depth - 1)
    either = number if draw(st.booleans()) else text
    constants = st.sampled_from(NUMBERS if either is number else WORDS).map(t.Constant)
    match draw(st.integers(0, 9)):
        case 8 if kind != "event":
            return t.Search(
                draw(st.sampled_from(["late", "x", "LÄTE", "strasse", "fine late", "file 7", "n", "7 s3"]))
            )
        case 9 if kind != "event":
            return draw(_others())
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
            return draw(_states(kind))
        case _ if kind != "event":
            left, right = draw(_properties((None,))), draw(_properties((None,)))
            return t.Compare(draw(ops), left, right)
        case _:
            return t.Constant(value=True)


@cache
@st.composite
def _others(draw: st.DrawFn) -> t.Expr:
    """Uids and times."""
    if draw(st.booleans()):
        some = draw(st.lists(st.sampled_from([*UIDS, "none"]).map(t.Constant), min_size=1, max_size=3))
        negated = draw(st.booleans())
        if len(some) > 1:
            return t.In(t.Column("uid"), tuple(some), negated)
        return t.Compare("!=" if negated else "=", t.Column("uid"), some[0])
    column = draw(TIMES)
    if draw(st.booleans()):
        return t.IsNull(column, draw(st.booleans()))
    return t.Compare(draw(st.sampled_from(["<", ">="])), column, t.Moment(MOMENT))


@cache
@st.composite
def _conditions(draw: st.DrawFn, kind: str, depth: int) -> t.Expr:
    which = draw(st.integers(0, 9))
    if depth <= 0 or which < 4:
        return draw(_comparisons(kind, depth) if which else _leaves(kind, "bool"))
    if which == 4:
        return t.Not(draw(_conditions(kind, depth - 1)))
    if which < 7 and WALKS[kind]:
        name, other = draw(st.sampled_from(WALKS[kind]))
        hops = draw(st.none() | st.integers(1, 4)) if name in ("ancestor", "descendant") else None
        return t.Walk(name, draw(_conditions(other, depth - 1)), hops)
    parts = draw(st.lists(_conditions(kind, depth - 1), min_size=2, max_size=3))
    return t.And(tuple(parts)) if draw(st.booleans()) else t.Or(tuple(parts))


asked: st.SearchStrategy[tuple[NodeKind, t.Expr]] = st.sampled_from(KINDS).flatmap(
    lambda kind: st.tuples(st.just(kind), _conditions(kind, 3))
)
"""A kind of node, and a filter for it."""
