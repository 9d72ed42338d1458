"""The SQL of filters: what it looks up and never reads through, what it binds, and what it refuses."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from sqlalchemy import select

from whence.database import Database, sqlite_url
from whence.errors import BackendError, UnsupportedError, UsageError
from whence.metadata import Artifact, Change, Event, Execution, MetadataStore, NodeKind, Put, Type, open_store
from whence.metadata.backends.compile import compile_scope, refused
from whence.metadata.backends.spelling import spelling_of
from whence.metadata.backends.sql import SqlStore
from whence.metadata.backends.tables import NODE, code_of
from whence.metadata.filter import bind_filter, format_filter, quoted
from whence.metadata.filter import types as t
from whence.metadata.filter.shape import shape_of
from whence.testing.metadata_filter_world import asked

N = 1_500


def fill(store: MetadataStore) -> SqlStore:
    """A chain of 1,500 artifacts and executions: enough that a planner prefers an index."""
    store.put_type(Type("artifact", "A", {"n": "INT", "s": "STRING"}))
    store.put_type(Type("execution", "E"))
    artifacts = [Artifact(type="A", name=f"a{i}", properties={"n": i}, uid=f"a{i}") for i in range(N)]
    executions = [Execution(type="E", uid=f"e{i}") for i in range(N)]
    events = [Event(f"e{i}", f"a{i}", "INPUT") for i in range(N)]
    events += [Event(f"e{i}", f"a{i + 1}", "OUTPUT") for i in range(N - 1)]
    store.write(Change([*map(Put, artifacts), *map(Put, executions)], events))
    assert isinstance(store, SqlStore)
    return store


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    folder = tmp_path_factory.mktemp("filters")
    store = fill(open_store(f"{sqlite_url(folder / 'g.db')}?synchronous=OFF"))
    yield store
    store.close()


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[SqlStore]:
    store = fill(open_store(postgres_url))
    with store.database.session(write=True) as session:
        session.run("ANALYZE")
    yield store
    store.close()


def plan(store: SqlStore, text: str, kind: NodeKind = "artifact") -> list[str]:
    """What the database says it will do, line by line."""
    condition = compile_scope(bind_filter(text, kind), store.database).condition
    statement = select(NODE.c.uid).where(code_of(NODE) == 1, condition)
    prepared = store.database.prepare(statement)
    word = "EXPLAIN QUERY PLAN" if store.database.abilities.dialect == "sqlite" else "EXPLAIN"
    with store.database.session() as session:
        return [str(row[-1]) for row in session.rows(f"{word} {prepared.sql}", prepared.bind({}))]


WALKING = [
    "contexts_a.name = 'x'",
    "executions_a.name = 'x' AND contexts_b.name = 'y'",
    "ancestor(name = 'a7')",
    "ancestor(name = 'a7', hops = 3)",
    "descendant(contexts_a.name = 'x')",
    "producer(uid = 'e7')",
    "stats.drift > 0.1",
    "COUNT(contexts) > 1",
    "COUNT(executions WHERE contexts_a.name = 'x') > 1",
]


@pytest.mark.parametrize("text", WALKING)
def test_edges_are_looked_up_never_read_through(sqlite: SqlStore, text: str) -> None:
    scans = [step for step in plan(sqlite, text) if step.startswith("SCAN")]
    # f1, f2, … stand for tables; the node table may be read through, and what a recursion has reached is.
    assert [step for step in scans if "event" in step or "member" in step or "parent" in step] == []


def test_postgres_looks_edges_up_too(postgres: SqlStore) -> None:
    """Where it chooses to join instead, it reads events once; a walk it follows event by event."""
    for text in ("ancestor(uid = 'a7')", "descendant(uid = 'a7', hops = 3)"):
        steps = plan(postgres, text)
        assert not [step for step in steps if "Seq Scan on event" in step], steps
        assert [step for step in steps if "event_of_artifact" in step], steps
        assert [step for step in steps if "event_pkey" in step or "event_of_artifact" in step]


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("uid = 'a7'", "node_uid"),
        ("id = 7 OR id IN (8, 9)", "PRIMARY KEY"),
        ("type = 'A' AND name = 'a7' AND namespace = 'default'", "node_name"),
        ("state = PENDING", "node_open"),
        ("uri = 'x'", "node_uri"),
    ],
)
def test_columns_are_looked_up(sqlite: SqlStore, text: str, index: str) -> None:
    steps = plan(sqlite, text)
    assert any(index in step for step in steps if step.startswith(("SEARCH", "SCAN node USING"))), steps


def test_values_and_odd_names_are_bound(sqlite: SqlStore) -> None:
    """Nothing a caller wrote stands in the SQL, but plain names of properties."""
    evil = "x' OR 1=1 --"
    texts = [f"name = {quoted(evil)}", f"properties.`{evil}` = 1", f"name LIKE {quoted(evil)}"]
    texts += [f"name IN ({quoted(evil)}, 'y')", f"custom_properties.`{evil}`.string_value = {quoted(evil)}"]
    texts += [f"COUNT(contexts WHERE name = {quoted(evil)}) > 0", f"ancestor(name = {quoted(evil)})"]
    texts += [f"uid = {quoted(evil)}", f"SEARCH({quoted(evil)})", f"stats.`{evil}` > 1"]
    for text in texts:
        condition = compile_scope(bind_filter(text, "artifact"), sqlite.database).condition
        assert "1=1" not in sqlite.database.prepare(select(NODE.c.id).where(condition)).sql
        assert list(sqlite.find_nodes("artifact", matching=text).nodes) == []


@given(asked)
def test_a_shape_holds_no_constant(asked: tuple[NodeKind, t.Expr]) -> None:
    """A filter's shape and its constants are the filter: another filter of that shape needs no other SQL."""
    kind, tree = asked
    scope = bind_filter(format_filter(tree), kind)
    shape, constants = shape_of(scope)
    again, none = shape_of(shape)
    assert (again, none) == (shape, [])
    hash(shape)
    changed = [f"{c}!" if isinstance(c, str) else c for c in constants]
    assert len(changed) == len(constants)


def test_filters_of_one_shape_are_one_statement(sqlite: SqlStore) -> None:
    before = len(sqlite.finder.kept)
    source = random.Random(1)
    for _ in range(20):
        n = source.randrange(N)
        found = sqlite.find_nodes("artifact", matching=f"properties.n = {n} AND name = 'a{n}'")
        assert [node.uid for node in found.nodes] == [f"a{n}"]
    assert len(sqlite.finder.kept) == before + 1


def test_a_slot_is_compiled_to_a_name(sqlite: SqlStore) -> None:
    shape, constants = shape_of(bind_filter("name = 'x' AND id = 3 AND name LIKE 'a%'", "artifact"))
    compiled = compile_scope(shape, sqlite.database)
    assert sorted(map(str, compiled.values(constants).values())) == ["13", "a*", "x"]


def test_a_filter_too_deep_for_sqlite_is_refused_as_one(sqlite: SqlStore) -> None:
    text = "LENGTH(LOWER(" * 10 + "name" + "))" * 10 + " = 1"
    text = text.replace("LENGTH(LOWER(", "LOWER(LOWER(").replace(" = 1", " = 'a7'")
    deep = "NOT (" * 15 + text + ")" * 15
    try:
        found = [node.uid for node in sqlite.find_nodes("artifact", matching=deep).nodes]
    except UsageError as error:
        assert error.code == "bad-filter"  # noqa: PT017 - newer versions of SQLite answer
    else:
        assert len(found) == N - 1


def test_errors_of_others_stay_theirs() -> None:
    other = BackendError("the disk is full")
    assert refused(other) is other
    assert refused(BackendError("parser stack overflow")).code == "bad-filter"
    assert refused(BackendError("the store failed: DOUBLE value is out of range in '…'")).code == "bad-filter"


@pytest.mark.parametrize("url", ["postgres_url", "mariadb_url"])
def test_a_number_that_is_too_large_is_the_filters_fault(url: str, request: pytest.FixtureRequest) -> None:
    store = open_store(request.getfixturevalue(url))
    store.put_type(Type("artifact", "A"))
    store.write(Change([Put(Artifact(type="A", custom={"d": 1e308}))]))
    with pytest.raises(UsageError, match="does not fit a double") as caught:
        store.find_nodes("artifact", matching="custom_properties.d * 10 > 1")
    assert caught.value.code == "bad-filter"
    store.close()


def test_a_system_nobody_spells_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="oracle"):
        spelling_of("oracle", "oracle")


def test_a_walk_goes_as_far_as_the_graph(tmp_path: Path) -> None:
    store = fill(open_store(f"{sqlite_url(tmp_path / 'g.db')}?synchronous=OFF"))
    assert store.count_nodes("artifact", matching="ancestor(uid = 'a0')") == {"artifact": N - 1}
    assert store.count_nodes("artifact", matching="ancestor(uid = 'a0', hops = 10)") == {"artifact": 5}
    store.close()


@pytest.mark.parametrize("url", ["postgres_url", "mariadb_url"])
def test_a_walk_goes_as_far_on_servers(url: str, request: pytest.FixtureRequest) -> None:
    """MariaDB ends a recursion after 1,000 rounds with a warning and a wrong answer, unless it is told not to."""
    store = fill(open_store(request.getfixturevalue(url)))
    assert store.count_nodes("artifact", matching="ancestor(uid = 'a0')") == {"artifact": N - 1}
    assert store.count_nodes("artifact", matching=f"descendant(uid = 'a{N - 1}')") == {"artifact": N - 1}
    store.close()


def test_a_filter_is_compiled_for_an_alias(sqlite: SqlStore) -> None:
    database: Database = sqlite.database
    other = NODE.alias("other")
    condition = compile_scope(bind_filter("name = 'a7'", "lineage"), database, node=other).condition
    with database.session() as session:
        rows = database.prepare(select(other.c.id).where(condition)).rows(session)
    assert len(rows) == 1
