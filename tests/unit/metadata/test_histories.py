"""SQL and memory agree over random histories of everything the port can do, and two writers lose nothing."""

from __future__ import annotations

import dataclasses
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from whence.database import sqlite_url
from whence.errors import ConflictError, WhenceError
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Direction,
    Event,
    EventKind,
    Execution,
    Lift,
    Mark,
    MetadataStore,
    NodeKind,
    Put,
    Removal,
    Rows,
    Type,
    WalkQuery,
    node_id,
    open_store,
)
from whence.testing.servers import Server

NewUrl: TypeAlias = Callable[[], AbstractContextManager[str]]
"""Gives the URL of an empty database."""

TYPES: Final = (
    Type("artifact", "A", {"n": "INT", "d": "DOUBLE"}),
    Type("artifact", "B"),
    Type("execution", "E", {"n": "INT"}),
    Type("context", "C"),
)
KINDS: Final[tuple[NodeKind, ...]] = ("artifact", "execution", "context")
EVENTS: Final[tuple[EventKind, ...]] = (
    "INPUT",
    "OUTPUT",
    "DECLARED_INPUT",
    "PENDING_OUTPUT",
    "INTERNAL_INPUT",
)
MOMENT: Final = datetime(2020, 1, 1, tzinfo=UTC)

# Few names and uids, so that histories meet themselves; `?` is never stored.
UIDS: Final = {kind: [f"{kind}{i}" for i in range(3)] for kind in "aec"}
ALL: Final = [*UIDS["a"], *UIDS["e"], *UIDS["c"], "?"]
maybe_name = st.none() | st.sampled_from(["x", "y", "z@1"])
maybe_external = st.none() | st.sampled_from(["e1", "e2"])
scalars = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, -0.0, "1", "é", "\0", b"\0"])
)
customs = st.dictionaries(
    st.sampled_from(["n", "c", 'o"dd', "$x"]), scalars | st.lists(scalars, max_size=2), max_size=3
)
typed = st.dictionaries(
    st.sampled_from(["n", "d", "wrong"]), st.sampled_from([1, 2, 0.5, "text"]), max_size=1
)
masks = st.none() | st.frozensets(
    st.sampled_from(
        ["name", "external_id", "uri", "state", "properties", "custom", "properties.n", "custom.c", "?"]
    ),
    max_size=3,
)


@st.composite
def nodes(draw: st.DrawFn) -> AnyNode:
    kind = draw(st.sampled_from("aaeec"))
    fields: dict[str, Any] = {
        "uid": draw(st.sampled_from(UIDS[kind])),
        "name": draw(maybe_name),
        "external_id": draw(maybe_external),
        "custom": draw(customs),
    }
    if kind == "e":
        return Execution(type="E", state=draw(st.sampled_from(["NEW", "RUNNING", "COMPLETE"])), **fields)
    if kind == "c":
        return Context(type="C", **fields)
    type_ = draw(st.sampled_from(["A", "A", "A", "B"]))
    fields["state"] = draw(st.sampled_from(["LIVE", "PENDING", "ABANDONED"]))
    fields["properties"] = draw(typed) if type_ == "A" else {}
    return Artifact(type=type_, uri=draw(maybe_name), **fields)


def uid(kind: str) -> st.SearchStrategy[str]:
    """A uid of this kind; seldom one that is absent or of another kind."""
    return st.sampled_from([*UIDS[kind] * 8, "e0", "?"])


def pairs(left: str, right: str) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(uid(left), uid(right)), max_size=2)


puts = st.builds(
    Put,
    nodes(),
    st.sampled_from(["error", "reuse", "update", "update", "replace", "replace"]),
    st.sampled_from([None, None, None, None, 1, 2]),
    st.none() | masks,
    st.sampled_from([None, None, None, MOMENT, MOMENT + timedelta(days=36_500)]),
    st.booleans(),
)
paths = st.lists(st.integers(0, 2) | st.sampled_from(["a", "ü"]), max_size=2).map(tuple)
events = st.builds(
    Event, uid("e"), uid("a"), st.sampled_from(EVENTS), paths, st.sampled_from([None, None, MOMENT])
)
removals = st.lists(st.builds(Removal, st.sampled_from(ALL), st.sampled_from(["", "why"])), max_size=1)
marks = st.lists(
    st.builds(Mark, st.sampled_from(ALL), st.just("bad"), st.sampled_from(["block", "alert"])), max_size=1
)
lifts = st.lists(st.builds(Lift, st.integers(1, 3)), max_size=1)
# Nodes that must be new take a shorter way in SQL; their uids are often free.
news = st.builds(
    lambda node, n: Put(node if n < 4 else dataclasses.replace(node, uid=f"{node.uid[0]}n{n}")),
    nodes(),
    st.integers(0, 30),
)
changes = st.one_of(
    st.builds(
        Change, st.lists(news, max_size=3), st.lists(events, max_size=2), pairs("c", "a"), pairs("c", "e")
    ),
    st.builds(Change, st.lists(puts, max_size=3)),
    st.builds(Change, events=st.lists(events, max_size=3), strict_events=st.booleans()),
    st.builds(Change, attributions=pairs("c", "a"), associations=pairs("c", "e"), parents=pairs("c", "c")),
    st.builds(
        Change, st.lists(puts, max_size=2), st.lists(events, max_size=2), pairs("c", "a"), removals=removals
    ),
    st.builds(Change, removals=removals, marks=marks, lifts=lifts),
)


@st.composite
def batches(draw: st.DrawFn) -> Rows:
    given = []
    for node in draw(st.lists(nodes(), max_size=3, unique_by=lambda n: n.uid)):
        kind: NodeKind = {"a": "artifact", "e": "execution", "c": "context"}[node.uid[0]]  # type: ignore[assignment]
        number = draw(st.sampled_from([None, None, 50, 51]))
        given.append(
            dataclasses.replace(
                node,
                id=None if number is None else node_id(number, kind),
                created_at=draw(st.sampled_from([None, MOMENT])),
                updated_at=draw(st.sampled_from([None, MOMENT + timedelta(days=1)])),
            )
        )
    known = [(node.uid, kind) for node in given for kind in KINDS if node.uid[0] == kind[0]]
    imported = [(kind, 7 + int(u[1]), u) for u, kind in known]
    return Rows(
        given, draw(st.lists(events, max_size=2)), draw(pairs("c", "a")), imported=imported, source="s"
    )


filters = st.sampled_from(
    [
        "name = 'x' OR state = RUNNING",
        "custom_properties.c IS NOT NULL",
        "properties.n >= 1 AND uri IS NULL",
        "COUNT(events) > 1",
        "ancestor(type = 'A', hops = 2)",
        "contexts_0.name = 'x'",
        "SEARCH('x')",
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
        removed = value.removed_at is not None
        bare = dataclasses.replace(
            value,
            created_at=None,
            updated_at=None,
            removed_at=None,
            properties=dict(sorted(value.properties.items())),
            custom=dict(sorted(value.custom.items())),
        )
        return repr(bare), removed
    if isinstance(value, Event):
        return dataclasses.replace(value, at=None)
    if isinstance(value, Mark):
        return dataclasses.replace(value, at=None, lifted_at=None), value.lifted_at is None
    if isinstance(value, Mapping):
        return {key: timeless(item) for key, item in sorted(value.items())}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [timeless(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [timeless(getattr(value, f.name)) for f in dataclasses.fields(value)]
    return value


def picture(store: MetadataStore, as_of: datetime | None) -> list[Callable[[], object]]:
    """Questions whose answers are the whole graph."""
    return [
        *(partial(lambda kind: list(store.all_nodes(kind, as_of=as_of)), kind) for kind in KINDS),
        lambda: list(store.all_events(as_of=as_of)),
        lambda: list(store.all_members(as_of=as_of)),
        lambda: list(store.all_parents(as_of=as_of)),
        lambda: store.list_events(artifacts=UIDS["a"], executions=["e0"], as_of=as_of),
    ]


class Agreement(RuleBasedStateMachine):
    """A SQL store and one in memory are told the same, and asked the same."""

    def __init__(self, new_url: NewUrl) -> None:
        super().__init__()
        self._url = new_url()
        self.memory, self.sql = open_store("memory://"), open_store(self._url.__enter__())
        self.moments: list[tuple[datetime, datetime]] = []

    def teardown(self) -> None:
        try:
            if self.moments:
                for moment in (None, *range(len(self.moments))):
                    self.look(moment)
        finally:
            self.sql.close()
            self._url.__exit__(None, None, None)

    def both(self, ask: Callable[[MetadataStore], object]) -> None:
        said, want = answer(partial(ask, self.sql)), answer(partial(ask, self.memory))
        assert said == want

    def look(self, moment: int | None, *, whole: bool = True) -> None:
        sql_at, memory_at = (None, None) if moment is None else self.moments[moment]
        asked = zip(picture(self.sql, sql_at), picture(self.memory, memory_at), strict=True)
        for ask_sql, ask_memory in asked:
            assert answer(ask_sql) == answer(ask_memory)
        if whole:
            for one in ALL:
                self.both(lambda store, one=one: store.history(one))  # type: ignore[misc]
            self.both(lambda store: [store.list_marks(), store.has_marks(), store.list_imported("s")])

    def remember(self) -> None:
        """A moment at which all is known that is written."""
        marker = Change([Put(Context(type="C", uid=f"m{len(self.moments)}"))])
        written = [store.write(marker).nodes[marker.puts[0].node.uid] for store in (self.sql, self.memory)]
        assert written[0].created_at is not None
        assert written[1].created_at is not None
        self.moments.append((written[0].created_at, written[1].created_at))

    @initialize(some=st.lists(nodes(), max_size=4))
    def begin(self, some: list[AnyNode]) -> None:
        for type_ in TYPES:
            self.both(lambda store, type_=type_: store.put_type(type_))  # type: ignore[misc]
        first: list[AnyNode] = [
            Artifact(type="A", uid="a0"),
            Execution(type="E", uid="e0"),
            Context(type="C", uid="c0"),
        ]
        self.both(lambda store: store.write(Change([Put(node) for node in first])))
        self.both(lambda store: store.write(Change([Put(node, "update") for node in some])))
        self.remember()

    @rule(change=changes)
    def write(self, change: Change) -> None:
        self.both(lambda store: store.write(change))

    @rule(change=changes, again=changes)
    def write_in_a_namespace(self, change: Change, again: Change) -> None:
        self.both(lambda store: store.in_namespace("team", create=True).write(change))
        self.both(lambda store: store.in_namespace("team").find_nodes("artifact"))
        self.write(again)

    @rule(batch=batches(), change=changes)
    def load(self, batch: Rows, change: Change) -> None:
        self.both(lambda store: store.load([batch]))
        self.both(lambda store: store.load([batch, change]))

    @rule(uids=st.lists(st.sampled_from(ALL), max_size=2))
    def purge(self, uids: list[str]) -> None:
        def purge(store: MetadataStore) -> object:
            try:
                return store.purge(uids)
            except ConflictError as error:
                return error.code  # which of several is named first is nobody's promise

        self.both(purge)

    @rule(kind=st.sampled_from(["INT", "STRING"]), name=st.sampled_from(["n", "new"]), extend=st.booleans())
    def extend_a_type(self, kind: Any, name: str, extend: bool) -> None:
        self.both(lambda store: store.put_type(Type("artifact", "A", {name: kind}), extend=extend))

    @rule(closed=st.booleans())
    def close_a_namespace(self, closed: bool) -> None:
        self.both(lambda store: store.put_namespace("team", closed=closed).closed)

    @rule()
    def pass_a_moment(self) -> None:
        self.remember()

    @rule(data=st.data())
    def look_back(self, data: st.DataObject) -> None:
        self.look(data.draw(st.integers(0, len(self.moments) - 1)), whole=False)

    @rule(
        kind=st.sampled_from(KINDS), matching=filters, removed=st.booleans(), everywhere=st.booleans(),
        limit=st.none() | st.integers(1, 3), descending=st.booleans(),
    )  # fmt: skip
    def find(
        self,
        kind: NodeKind,
        matching: str,
        removed: bool,
        everywhere: bool,
        limit: int | None,
        descending: bool,
    ) -> None:
        order: dict[str, Any] = {
            "removed": removed,
            "everywhere": everywhere,
            "limit": limit,
            "descending": descending,
        }
        self.both(lambda store: store.find_nodes(kind, matching=matching, **order).nodes)
        self.both(
            lambda store: store.find_nodes(kind, name=["x", "z@1"], contexts=["c0", "c1"], **order).nodes
        )
        self.both(lambda store: store.find_nodes(kind, where={"n": 1}, state=["LIVE", "NEW"], **order).nodes)
        self.both(lambda store: store.count_nodes(kind, by="type", everywhere=everywhere))
        self.both(lambda store: store.count_nodes(kind, matching=matching, by="state"))

    @rule(
        start=st.sampled_from(ALL), direction=st.sampled_from(["up", "down", "both"]), hops=st.none() | st.integers(0, 3),
        internal=st.booleans(), only=st.sampled_from([None, ["A", "E"]]),
    )  # fmt: skip
    def follow(
        self, start: str, direction: Direction, hops: int | None, internal: bool, only: list[str] | None
    ) -> None:
        query = WalkQuery([start, "a0"], direction, hops, internal, only=only)
        self.both(lambda store: [(level.hops, level.nodes, level.events) for level in store.walk(query)])
        self.both(lambda store: store.lineage([start], direction=direction, max_hops=hops, internal=internal))
        self.both(lambda store: [store.list_contexts(artifact=start), store.list_contexts(parent=start)])

    @invariant()
    def the_same_is_there(self) -> None:
        if self.moments:
            for kind in KINDS:
                self.both(lambda store, kind=kind: store.get_nodes(kind, uids=ALL))  # type: ignore[misc]


class Writers(RuleBasedStateMachine):
    """Two handles on one database write at the same time: what was acknowledged is there, once."""

    def __init__(self, new_url: NewUrl) -> None:
        super().__init__()
        self._url = new_url()
        url = self._url.__enter__()
        self.stores = [open_store(url), open_store(url)]
        for type_ in TYPES:
            self.stores[0].put_type(type_)
        self.shared = Context(type="C", uid="shared", name="shared")
        self.stores[0].write(Change([Put(self.shared)]))
        self.made: dict[str, str] = {}
        """name: uid of the artifact that got it"""
        self.events: set[tuple[str, str]] = set()
        self.keys: set[str] = set()
        self.n = 0

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self._url.__exit__(None, None, None)

    @rule(
        names=st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4), min_size=2, max_size=2)
    )
    def write_at_once(self, names: list[list[str]]) -> None:
        start = threading.Barrier(2)
        broken: list[BaseException] = []
        won: list[list[tuple[str, str, str]]] = [[], []]
        keys: list[list[str]] = [[], []]

        def work(who: int) -> None:
            store = self.stores[who]
            start.wait()
            for i, name in enumerate(names[who]):
                key = f"{self.n}-{who}-{i}"
                a, e = Artifact(type="A", uid=f"a{key}", name=name), Execution(type="E", uid=f"e{key}")
                try:
                    store.write(
                        Change([Put(a), Put(e)], [Event(e.uid, a.uid, "OUTPUT")], [("shared", a.uid)])
                    )
                    won[who].append((name, a.uid, e.uid))
                except ConflictError as error:
                    if error.code != "name-taken":
                        broken.append(error)
                except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
                    broken.append(error)
                store.write(Change([Put(dataclasses.replace(self.shared, custom={key: i}), "update")]))
                keys[who].append(key)

        threads = [threading.Thread(target=work, args=(who,)) for who in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.n += 1
        assert broken == []
        asked = {name for several in names for name in several} - self.made.keys()
        first = [(name, a, e) for several in won for name, a, e in several]
        assert sorted(name for name, _, _ in first) == sorted(asked)
        self.made |= {name: a for name, a, _ in first}
        self.events |= {(e, a) for _, a, e in first}
        self.keys |= {key for several in keys for key in several}
        assert len(self.keys) == sum(1 for _ in self.keys)

    @invariant()
    def everything_is_there(self) -> None:
        for store in self.stores:
            found = store.find_nodes("artifact").nodes
            assert {node.name: node.uid for node in found} == self.made
            ids = [node.id for node in found]
            assert len(set(ids)) == len(ids)
            assert {(e.execution, e.artifact) for e in store.all_events()} == self.events
            (shared,) = store.get_nodes("context", uids=["shared"])
            assert shared.custom.keys() == self.keys
            assert shared.revision == 1 + len(self.keys)
            assert [n.revision for n in store.history("shared")] == list(range(1, shared.revision + 1))
            assert len(store.find_nodes("artifact", context="shared").nodes) == len(self.made)


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield sqlite_url(Path(folder) / "x.db") + "?synchronous=OFF"


def play(
    machine: Callable[[NewUrl], RuleBasedStateMachine], new_url: NewUrl, examples: int, steps: int
) -> None:
    run_state_machine_as_test(
        lambda: machine(new_url),  # type: ignore[arg-type]  # whatever makes a machine will do
        settings=settings(
            deadline=None,
            max_examples=examples,
            stateful_step_count=steps,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_sqlite_agrees_with_memory() -> None:
    play(Agreement, _sqlite, 15, 10)


def test_two_writers_of_sqlite_lose_nothing() -> None:
    play(Writers, _sqlite, 8, 6)


def test_postgres_agrees_with_memory(postgres_server: Server) -> None:
    play(Agreement, postgres_server.database, 8, 12)


def test_two_writers_of_postgres_lose_nothing(postgres_server: Server) -> None:
    play(Writers, postgres_server.database, 4, 5)


def test_mariadb_agrees_with_memory(mariadb_server: Server) -> None:
    play(Agreement, mariadb_server.database, 8, 12)


def test_two_writers_of_mariadb_lose_nothing(mariadb_server: Server) -> None:
    play(Writers, mariadb_server.database, 4, 5)
