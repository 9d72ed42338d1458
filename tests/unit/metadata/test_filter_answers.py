"""What a filter means: names are bound or refused at their place, and a small graph gives known answers."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import UsageError
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    NodeKind,
    Put,
    Type,
    open_store,
)
from whence.metadata.filter import Evaluator, Scope, bind_filter, evaluate
from whence.metadata.filter.bound import (
    Bound,
    ColumnOf,
    Comparison,
    Logic,
    Negation,
    Neighbour,
    Value,
    conjuncts,
    holders,
)
from whence.metadata.filter.patterns import is_like, lower, read_pattern, to_glob, to_like, upper
from whence.metadata.filter.words import words_of


def names(text: str, kind: NodeKind = "artifact") -> list[str]:
    """The names of the nodes of the small graph that fit."""
    bound, evaluator = bind_filter(text, kind), Evaluator(GRAPH)
    of = {"artifact": Artifact, "execution": Execution, "context": Context}[kind]
    return [str(n.name) for n in GRAPH.nodes.values() if isinstance(n, of) and evaluator.fits(bound, n)]


class SmallGraph:
    """raw → (clean) → rows → (train) → model → (score) → scores; statistics of raw, made twice."""

    def __init__(self) -> None:
        artifacts = [
            Artifact(type="Table", name="raw", uri="file:raw", properties={"a": 1, "s": "Late x"}),
            Artifact(type="Table", name="rows", properties={"a": 5}, custom={"n": 2, "t": "2"}),
            Artifact(type="Model", name="model", state="PENDING", custom={"n": 2.5, "b": True}),
            Artifact(type="Table", name="scores", properties={"d": 0.5}, custom={"t": "two", "none": None}),
            Artifact(type="Statistics", name="old", custom={"drift": 0.9}),
            Artifact(type="Statistics", name="new", custom={"drift": 0.2}),
        ]
        executions = [Execution(type="E", name=n, state="COMPLETE") for n in ("clean", "train", "score")]
        executions += [Execution(type="Profile", name=n) for n in ("profile1", "profile2")]
        contexts = [Context(type="C", name=n) for n in ("project", "night", "day")]
        uid = {str(n.name): n.uid for n in (*artifacts, *executions, *contexts)}
        edges = [
            "raw>clean>rows>train>model>score>scores",
            "raw>profile1>old",
            "raw>profile2>new",
            "rows>score",
        ]
        self.store = open_store("memory://")
        types: dict[str, Any] = {"a": "INT", "s": "STRING", "d": "DOUBLE"}
        for type_ in (
            Type("artifact", "Table", types, base="mlmd.Dataset"),
            Type("artifact", "Model", types),
            Type("artifact", "Statistics"),
            Type("execution", "E", base="mlmd.Train"),
            Type("execution", "Profile"),
            Type("context", "C"),
        ):
            self.store.put_type(type_)
        made = {a.name for a in artifacts}
        events = []
        for edge in edges:
            path = edge.split(">")
            for near, far in pairwise(path):
                if near in made:
                    events.append(Event(uid[far], uid[near], "INPUT", ("rows", 0)))
                else:
                    events.append(Event(uid[near], uid[far], "OUTPUT"))
        self._members = [(uid["night"], uid["rows"]), (uid["day"], uid["rows"]), (uid["day"], uid["train"])]
        self._parents = [(uid["night"], uid["project"]), (uid["day"], uid["project"])]
        self.store.write(
            Change(
                puts=[*map(Put, artifacts), *map(Put, executions), *map(Put, contexts)],
                events=events,
                attributions=self._members[:2],
                associations=self._members[2:],
                parents=self._parents,
            )
        )
        kinds: tuple[NodeKind, ...] = ("artifact", "execution", "context")
        self.nodes = {n.uid: n for kind in kinds for n in self.store.find_nodes(kind).nodes}

    def node(self, uid: str) -> AnyNode:
        return self.nodes[uid]

    def type(self, node: AnyNode) -> Type:
        (found,) = [ty for ty in self.store.list_types() if ty.name == node.type]
        return found

    def events(self, node: AnyNode) -> list[Event]:
        return self.store.list_events(artifacts=[node.uid], executions=[node.uid])

    def contexts(self, node: AnyNode) -> list[AnyNode]:
        return [self.nodes[c] for c, n in self._members if n == node.uid]

    def members(self, context: AnyNode) -> list[AnyNode]:
        return [self.nodes[n] for c, n in self._members if c == context.uid]

    def parents(self, context: AnyNode) -> list[AnyNode]:
        return [self.nodes[p] for c, p in self._parents if c == context.uid]

    def children(self, context: AnyNode) -> list[AnyNode]:
        return [self.nodes[c] for c, p in self._parents if p == context.uid]


GRAPH = SmallGraph()
TABLES = ["raw", "rows", "scores"]
ALL = ["raw", "rows", "model", "scores", "old", "new"]

ANSWERS = {
    "name = 'raw'": ["raw"],
    "NAME = 'raw' AND STATE = LIVE": ["raw"],
    "type = 'Table'": TABLES,
    "base = 'mlmd.Dataset'": TABLES,
    "type IN ('Model', 'Table') AND name != 'raw'": ["rows", "model", "scores"],
    "state != LIVE": ["model"],
    "state NOT IN (LIVE, PENDING)": [],
    "uri IS NULL AND type = 'Table'": ["rows", "scores"],
    "uri = 'file:raw' OR 1 = 2": ["raw"],
    "NOT uri = 'x'": ["raw"],  # NULL is neither
    "name LIKE 'r%'": ["raw", "rows"],
    "name LIKE 'R%'": [],
    "name ILIKE 'R_W'": ["raw"],
    "LENGTH(name) BETWEEN 4 AND 5": ["rows", "model"],
    "UPPER(name) = 'RAW'": ["raw"],
    "id + 1 = 3": ["rows"],
    "id / 2 = 1.5": ["model"],
    "7 / 0 IS NULL": ALL,
    "ABS(-id) = 1": ["raw"],
    "id + 9007199254740992 = 9007199254740992": ["raw"],  # reckoned as doubles
    "namespace = 'default' AND name = 'raw'": ["raw"],
    "removed_at IS NOT NULL": [],
    "uid IN ('x', 'y') OR uid = 'z'": [],
    "contexts_a.uid != contexts_b.uid": ["rows"],
    "1 = 1": ALL,
    "created_at > timestamp '2020-01-01T00:00:00Z'": ALL,
    "create_time_since_epoch < 0": [],
    # Typed: the property must be there; under OR and NOT too.
    "properties.a.int_value = 1 OR name = 'scores'": ["raw"],
    "NOT properties.a.int_value = 1": ["rows"],
    "properties.a.double_value IS NULL": ["raw", "rows"],
    "properties.a.int_value < 1.5": ["raw"],
    # The short form: absent is NULL, and so is another kind.
    "properties.a = 1 OR name = 'scores'": ["raw", "scores"],
    "properties.a IS NULL AND type = 'Table'": ["scores"],
    "custom_properties.n > 2": ["model"],
    "custom_properties.n >= 2": ["rows", "model"],
    "custom_properties.t = '2'": ["rows"],
    "custom_properties.t = 2": [],
    "custom_properties.n = custom_properties.t": [],
    "custom_properties.n IS NOT NULL": ["rows", "model"],
    "custom_properties.none IS NULL AND name = 'scores'": ["scores"],
    "custom_properties.b": ["model"],
    "NOT custom_properties.b": [],
    "custom_properties.n IN (2, 3)": ["rows"],
    # An alias is one neighbour; it must be there.
    "contexts_a.name = 'night'": ["rows"],
    "contexts_a.name = 'night' AND contexts_a.name = 'day'": [],
    "contexts_a.name = 'night' AND contexts_b.name = 'day'": ["rows"],
    "contexts_a.name = 'x' OR id = 1": [],
    "contexts_a.name != contexts_b.name": ["rows"],
    "events_a.type = OUTPUT AND executions_b.name = 'train'": ["rows", "model"],
    "events_a.path = 'rows/0' AND events_a.execution_id = 8": ["rows"],
    "events_a.milliseconds_since_epoch > 0 AND name = 'raw'": ["raw"],
    "COUNT(contexts) = 2": ["rows"],
    "COUNT(events) > 2": ["raw", "rows"],
    "COUNT(executions WHERE state = COMPLETE) > 1": ["rows", "model"],
    "MAX(contexts.name WHERE name < 'e') = 'day'": ["rows"],
    "SUM(contexts.id) / COUNT(contexts) = AVG(contexts.id)": ["rows"],
    "MIN(contexts.name) IS NULL": ["raw", "model", "scores", "old", "new"],
    "stats.drift > 0.1": ["raw"],
    "stats.drift > 0.5": [],
    "stats.drift IS NULL AND type = 'Table'": ["rows", "scores"],
    "ancestor(type = 'Table' AND stats.drift > 0.1)": ["rows", "model", "scores", "old", "new"],
    "ancestor(name = 'raw', hops = 2)": ["rows", "old", "new"],
    "ancestor(name = 'raw', hops = 1)": [],
    "descendant(name = 'model') AND NOT ancestor(id > 0)": ["raw"],
    "descendant(state = PENDING) AND NOT name = 'raw'": ["rows"],
    "producer(name = 'train')": ["model"],
    "consumer(input(name = 'model'))": ["rows", "model"],
    "SEARCH('LATE')": ["raw"],
    "SEARCH('late raw')": ["raw"],
    "SEARCH('lat')": [],
}


@pytest.mark.parametrize(("text", "expected"), ANSWERS.items(), ids=ANSWERS)
def test_an_answer(text: str, expected: list[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("last_known_state = COMPLETE AND base = 'mlmd.Train'", "execution", ["clean", "train", "score"]),
        ("input(name = 'raw')", "execution", ["clean", "profile1", "profile2"]),
        ("output(type = 'Model') AND contexts_a.name = 'day'", "execution", ["train"]),
        ("COUNT(inputs) = 2", "execution", ["score"]),
        ("artifacts_a.name = 'rows' AND artifacts_b.name = 'model'", "execution", ["train", "score"]),
        ("MAX(outputs.custom_properties.drift) > 0.5", "execution", ["profile1"]),
        ("MAX(inputs.stats.drift) = 0.2", "execution", ["clean", "profile1", "profile2"]),
        ("ancestor(name = 'train')", "execution", ["score"]),
        ("parent_contexts_a.name = 'project'", "context", ["night", "day"]),
        ("COUNT(child_contexts) = 2", "context", ["project"]),
        ("artifacts_a.name = 'rows' AND executions_a.name = 'train'", "context", ["day"]),
        ("COUNT(artifacts) = 1 AND COUNT(executions) = 0", "context", ["night"]),
    ],
)
def test_an_answer_of_others(text: str, kind: NodeKind, expected: list[str]) -> None:
    assert names(text, kind) == expected


def test_one_node_is_asked() -> None:
    node = next(iter(GRAPH.nodes.values()))
    assert evaluate(bind_filter("name = 'raw'", "artifact"), node, GRAPH)


REFUSED = {
    "nam = 'x'": (1, "an artifact has no column nam"),
    "uid < 'x'": (1, "a uid is not more or less than another"),
    "uid LIKE 'x%'": (1, "LIKE takes text, not a uid"),
    "uid = 3": (7, "a uid is not a number"),
    "uid = name": (7, "a uid is compared with text in quotes"),
    "uid IN ('x', 3)": (14, "a uid is not a number"),
    "LOWER(uid) = 'x'": (7, "LOWER takes text, not a uid"),
    "properties.a = uid": (1, "a property is a number, text or true or false, never a uid"),
    "MAX(contexts.uid) = 'x'": (14, "MAX takes a number or text or a time, not a uid"),
    "raw = 'x'": (1, "an artifact has no column raw"),
    "last_known_state = NEW": (1, "an artifact has no column last_known_state"),
    "name = 3": (8, "text is not a number"),
    "3 = name": (5, "a number is not text"),
    "name": (1, "text is no condition"),
    "id": (1, "a number is no condition"),
    "NOT id": (5, "a number is no condition"),
    "name = NULL": (8, "nothing equals NULL"),
    "name IN ('a', NULL)": (15, "nothing equals NULL"),
    "name IN ('a', 2)": (15, "text is not a number"),
    "properties.a IN (1, 'a')": (21, "a number is not text"),
    "state = 'LIVE'": (9, "a state is not text"),
    "state = 2": (9, "a state is not a number"),
    "state = RUNNING": (9, "RUNNING is no state"),
    "state IN (LIFE)": (11, "LIFE is no state"),
    "state < LIVE": (1, "a state is not more or less than another"),
    "name = LIVE": (8, "LIVE would be a state, and is not compared with one"),
    "events_a.type = FOO": (17, "FOO is no kind of event"),
    "created_at > '2026-01-01'": (14, "a time is not text"),
    "created_at > 3": (14, "a time is not a number"),
    "created_at + 1 = 3": (1, "+ takes a number, not a time"),
    "properties.a = created_at": (1, "a property is a number, text or true or false, never a time"),
    "name + 1 = 2": (1, "+ takes a number, not text"),
    "id LIKE '1%'": (1, "LIKE takes text, not a number"),
    "LOWER(id) = '1'": (7, "LOWER takes text, not a number"),
    "ABS(name) = 1": (5, "ABS takes a number, not text"),
    "inputs_a.name = 'x'": (1, "an artifact has no inputs"),
    "COUNT(inputs) = 1": (1, "an artifact has no inputs"),
    "input(id = 1)": (1, "an artifact has no input"),
    "COUNT(contexts WHERE uri = 'x') = 1": (22, "a context has no column uri"),
    "COUNT(events WHERE properties.a = 1) = 1": (20, "an event has no properties"),
    "COUNT(events WHERE SEARCH('a')) = 1": (20, "an event has no words"),
    "COUNT(contexts WHERE stats.drift = 1) = 1": (22, "a context has no statistics"),
    "COUNT(contexts WHERE ancestor(id = 1)) = 1": (22, "a context has no ancestor"),
    "SUM(contexts.name) = 1": (14, "SUM takes a number, not text"),
    "MAX(events.type) = INPUT": (12, "MAX takes a number or text or a time, not a kind of event"),
    "SEARCH('--')": (1, "there is no word to search for"),
    "TRUE < FALSE": (1, "a condition is not more or less than another"),
    " AND ".join(f"contexts_a{i}.id = 1" for i in range(21)): (None, "a filter names at most 20 neighbours"),
    " AND ".join(["ancestor(id = 1)"] * 9): (None, "a filter walks the lineage at most 8 times"),
}


@pytest.mark.parametrize(("text", "refused"), REFUSED.items(), ids=[text[:40] for text in REFUSED])
def test_what_cannot_be_meant_is_refused(text: str, refused: tuple[int | None, str]) -> None:
    with pytest.raises(UsageError) as caught:
        bind_filter(text, "artifact")
    column, message = refused
    assert caught.value.code == "bad-filter"
    assert caught.value.message.split("\n")[0].split(": ", 1)[1] == message
    assert column in (None, caught.value.details["column"])


def test_near_names_are_given() -> None:
    with pytest.raises(UsageError, match="no column nam") as caught:
        bind_filter("nam = 'x'", "artifact")
    assert caught.value.near == ["name"]
    with pytest.raises(UsageError, match="LIFE") as caught:
        bind_filter("state = LIFE", "artifact")
    assert caught.value.near == ["LIVE"]


# --- parts of a scope, and patterns, beside naive ones ------------------------------------------------

OTHERS: dict[int, list[str]] = {1: ["x", "y"], 2: ["y"], 3: []}
column = st.builds(ColumnOf, st.integers(0, 3), st.just("name"), st.just("text"))
leaf = st.builds(
    Comparison,
    st.sampled_from(["=", "!="]),
    column,
    column | st.builds(Value, st.sampled_from(["x", "y", None]), st.just("text")),
    st.just("text"),
)
conditions: st.SearchStrategy[Bound] = st.recursive(
    leaf,
    lambda inner: (
        st.builds(
            Logic, st.sampled_from(["and", "and", "or"]), st.lists(inner, min_size=1, max_size=3).map(tuple)
        )
        | st.builds(Negation, inner)
    ),
)


@given(conditions, st.integers(0, 3))
def test_parts_of_a_scope_hold_as_the_whole(condition: Bound, n: int) -> None:
    """A choice for each part that shares no neighbour is a choice for all; a neighbour nobody mentions must exist."""
    evaluator = Evaluator(GRAPH)

    def nodes(name: str) -> AnyNode:
        return Context(type="C", name=name, uid=name)

    def holds(names: tuple[int, ...], parts: tuple[Bound, ...]) -> bool:
        for choice in product(*([nodes(name) for name in OTHERS[i]] for i in names)):
            at: Any = {0: nodes("x"), **dict(zip(names, choice, strict=True))}
            try:
                if all(_column_value(evaluator, part, at) is True for part in parts):
                    return True
            except KeyError:
                return False
        return False

    some = tuple(Neighbour("contexts", "context") for _ in range(n))
    if max(holders(condition), default=0) > n:
        return
    scope = Scope("artifact", condition, some)
    whole = holds(tuple(range(1, n + 1)), (condition,))
    assert all(holds(*part) for part in conjuncts(scope)) == whole


def _column_value(evaluator: Evaluator, bound: Bound, at: Any) -> object:
    stamped = {i: _stamped(node) for i, node in at.items()}
    return evaluator.value(bound, stamped)


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _stamped(node: AnyNode) -> AnyNode:
    return dataclasses.replace(node, created_at=NOW, updated_at=NOW)


signs = st.text("ab%_!", max_size=8).map(lambda p: p.rstrip("!"))


def _naive(text: str, pattern: list[str]) -> bool:
    if not pattern:
        return not text
    sign, rest = pattern[0], pattern[1:]
    if sign == "many":
        return any(_naive(text[i:], rest) for i in range(len(text) + 1))
    return bool(text) and sign in ("one", text[0]) and _naive(text[1:], rest)


@given(st.text("ab%_", max_size=6), signs, st.sampled_from([None, "!"]))
def test_like_is_as_a_naive_one(text: str, pattern: str, escape: str | None) -> None:
    read = read_pattern(pattern, escape)
    assert is_like(text, read) == _naive(text, list(read))


@given(st.text("aB%_[]*?!", max_size=8))
def test_a_pattern_of_plain_text_is_that_text(text: str) -> None:
    plain = "".join(f"!{c}" for c in text)
    read = read_pattern(plain, "!")
    assert is_like(text, read)
    assert not is_like(text + "a", read)
    assert "**" not in to_glob(read_pattern("%%", None))
    # What LIKE does not read as itself stands behind its escape.
    assert not set(re.sub(r"\|[|%_]", "", to_like(read))) & set("|%_")


def test_letters_of_other_alphabets_stay() -> None:
    assert lower("ÀBCİ") == "Àbcİ"
    assert upper("àbcß") == "àBCß"


def test_an_execution_has_no_producer_where_an_artifact_may_be_asked() -> None:
    """On a walk either is met; the one that has no such neighbours has none."""
    assert names("ancestor(producer(name = 'clean'), hops = 2)") == ["model", "scores"]
    assert names("ancestor(producer('a' IS NOT NULL), hops = 1)") == []


def test_text_that_no_database_has_is_no_text() -> None:
    nul = Artifact(
        type="Table", name="nul", custom={"t": "a\0b", "u": "late"}, created_at=NOW, updated_at=NOW, id=5
    )
    for text, fits in {
        "custom_properties.t = 'x' OR custom_properties.t != 'x'": False,
        "custom_properties.t IS NOT NULL AND custom_properties.u = 'late'": True,
        "SEARCH('late')": True,
        "SEARCH('a')": False,
    }.items():
        assert evaluate(bind_filter(text, "artifact"), nul, GRAPH) is fits, text


def test_words_are_folded() -> None:
    assert words_of("Ünï-CODE ﬁne_1 ①") == ["ünï", "code", "fine_1", "1"]
