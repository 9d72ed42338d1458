"""What walks promise beyond the rules that every store keeps: little memory, few questions, honest laziness."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.database import Database, sqlite_url
from whence.errors import WhenceError
from whence.metadata import (
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    Put,
    Type,
    WalkQuery,
    levels,
    open_store,
)
from whence.metadata.backends.sql import SqlStore
from whence.metadata.levels import Edge, Piece, walk_pieces
from whence.metadata.walk import Later, check_walk
from whence.testing.metadata_walk import STOP
from whence.testing.metadata_world import chain

CHILD = """
import resource, sys
from whence.metadata import WalkQuery, open_store
store = open_store(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
n = n_events = 0
for level in store.walk(WalkQuery([sys.argv[2]], direction="down")):
    n += len(level.nodes)
    n_events += sum(1 for _ in level.events)
print(n, n_events, before // 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
N_RUNS = 333_333


class Answers:
    """A source of edges from lists; it counts what it is asked."""

    def __init__(self, edges: Sequence[Edge]) -> None:
        self.edges = edges
        self.asked = 0

    def follow(self, ids: Sequence[int], *, of_artifacts: bool) -> Iterable[list[Edge]]:
        """The edges of these nodes, two at a time."""
        self.asked += 1
        end = 2 if of_artifacts else 0
        found = [edge for edge in self.edges if edge[end] in set(ids)]
        for i in range(0, len(found), 2):
            yield found[i : i + 2]

    def stops(self, ids: Sequence[int]) -> Collection[int]:
        """Every seventh node."""
        return {id_ for id_ in ids if id_ % 7 == 0}

    def of_types(self, ids: Sequence[int]) -> Collection[int]:
        """All but every third node."""
        return [id_ for id_ in ids if id_ % 3]


@given(
    edges=st.lists(st.tuples(st.integers(1, 9).map(lambda n: 4 * n + 2), st.just(3), st.integers(1, 9).map(lambda n: 4 * n + 1)),
                   max_size=30, unique=True),
    starts=st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    query=st.builds(WalkQuery, st.just(["x"]), st.sampled_from(["up", "both"]), st.none() | st.integers(0, 4), st.just(value=False),
                    st.sampled_from([None, STOP]), st.booleans(), st.sampled_from([None, ["T"]])),
    size=st.sampled_from([1, 3, 5_000]),
)  # fmt: skip
def test_many_nodes_are_walked_as_few(
    edges: list[Edge], starts: list[int], query: WalkQuery, size: int
) -> None:
    """Sets, and the bytes that take their place in a large lineage, answer alike."""
    walk = check_walk(replace(query, page_nodes=size))
    artifacts = [4 * n + 1 for n in starts]

    def walked() -> list[Piece]:
        return [
            replace(piece, edges=sorted(piece.edges))
            for piece in walk_pieces(Answers(edges), walk, artifacts, [])
        ]

    few = walked()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "MANY", 2)
        many = walked()
    assert many == few


def test_a_large_level_is_sorted_like_a_small_one() -> None:
    ids = array("q", [(i * 7919) % 20_011 for i in range(20_011)])
    assert list(levels._sorted(ids)) == sorted(ids)
    assert list(levels._sorted(ids[:100])) == sorted(ids[:100])


@pytest.mark.slow
def test_memory_stays_flat_over_a_million_nodes(million: tuple[str, str]) -> None:
    command = [sys.executable, "-c", CHILD, *million]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    n, n_events, before_mb, after_mb = map(int, said.split())
    assert (n, n_events) == (1 + 3 * N_RUNS, 3 * N_RUNS)
    # As objects and sets the same walk takes a gigabyte.
    assert after_mb - before_mb <= 150, f"{before_mb} MB grew to {after_mb} MB"


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A table that 333,333 executions read, each of which wrote two: the URL, and the uid of the first."""
    path = tmp_path_factory.mktemp("million") / "whence.db"
    source = Artifact(type="Table")
    store = open_store(sqlite_url(path))
    store.put_type(Type("artifact", "Table"))
    store.put_type(Type("execution", "load"))
    store.write(Change([Put(source)]))
    ((source_id,),) = [(node.id,) for node in store.get_nodes("artifact", uids=[source.uid])]
    types = {type_.name: type_.id for type_ in store.list_types()}
    store.close()
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("BEGIN")
        connection.execute("CREATE TEMP TABLE n(i INTEGER PRIMARY KEY)")
        connection.execute(
            "INSERT INTO n WITH RECURSIVE up(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM up WHERE i < ?) SELECT i FROM up",
            (N_RUNS,),
        )
        node = (
            "INSERT INTO node(id, type_id, namespace_id, uid, state, properties, created_us, revision)"
            ' SELECT ?, ?, 0, randomblob(16), 2, \'{"p":{},"c":{}}\', 1, 1 FROM n'
        )
        event = "INSERT INTO event(execution_id, kind, artifact_id, path, position, at_us) SELECT ?, ?, ?, '', 0, 1 FROM n"
        run, first, second = "(i * 3 + 1000) * 4 + 2", "(i * 3 + 1001) * 4 + 1", "(i * 3 + 1002) * 4 + 1"
        for id_, type_ in ((run, "load"), (first, "Table"), (second, "Table")):
            connection.execute(node.replace("?", id_, 1), (types[type_],))
        for kind, artifact in ((3, str(source_id)), (4, first), (4, second)):
            connection.execute(
                event.replace("?", run, 1).replace("?", str(kind), 1).replace("?", artifact, 1)
            )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return sqlite_url(path), source.uid


def test_a_level_is_one_question(tmp_path: Path) -> None:
    store = SqlStore(Database.from_url(sqlite_url(tmp_path / "w.db")), owned=True)
    store.put_type(Type("artifact", "Table"))
    store.put_type(Type("execution", "load"))
    tables = chain(store, 10)
    said: list[str] = []
    with store.database.session() as session:
        driver = session.driver
    driver.set_trace_callback(said.append)
    found = store.lineage([tables[-1].uid])
    assert len(said) <= 19 + 6, said  # levels, and begin, starts, rows, moment, commit
    before = len(said)
    assert len(found.events) == 18
    assert len(said) == before, "their number is known"
    assert [event.kind for event in found.events].count("INPUT") == 9
    assert found.contexts == []
    store.close()


def test_questions_are_answered_by_indexes(tmp_path: Path) -> None:
    store = SqlStore(Database.from_url(sqlite_url(tmp_path / "w.db")), owned=True)
    store.put_type(Type("artifact", "Table"))
    store.put_type(Type("execution", "load"))
    tables = chain(store, 4)
    said: list[str] = []
    with store.database.session() as session:
        driver = session.driver
    driver.set_trace_callback(said.append)
    for direction in ("up", "down", "both"):
        found = store.lineage([tables[1].uid], direction=direction, internal=True)
        assert len(found.events) > 0
        list(found.events)
    driver.set_trace_callback(None)
    for statement in said:
        if "FROM event" in statement:
            plan = [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}")]
            assert not any("SCAN event" in step for step in plan), (statement, plan)
    store.close()


def test_what_is_read_later_is_as_it_was(tmp_path: Path) -> None:
    """Events and contexts are read when somebody looks, as of the moment of the walk."""
    store = SqlStore(Database.from_url(sqlite_url(tmp_path / "w.db")), owned=True)
    for type_ in (
        Type("artifact", "Table"),
        Type("execution", "load"),
        Type("context", "Group", {"n": "INT"}),
    ):
        store.put_type(type_)
    table, run, group = (
        Artifact(type="Table"),
        Execution(type="load"),
        Context(type="Group", name="g", properties={"n": 1}),
    )
    event = Event(run.uid, table.uid, "INPUT", ("a",))
    store.write(Change([Put(table), Put(run), Put(group)], [event], attributions=[(group.uid, table.uid)]))
    found, (level, last) = store.lineage([run.uid]), list(store.walk(WalkQuery([run.uid])))
    other = Context(type="Group", name="h")
    store.write(
        Change(
            [Put(other), Put(Context(type="Group", name="g", properties={"n": 2}), "update")],
            [Event(run.uid, table.uid, "INPUT", ("b",))],
            attributions=[(other.uid, table.uid)],
            associations=[(other.uid, run.uid)],
        )
    )
    assert [e.path for e in found.events] == [("a",)]
    assert [e.path for e in (*level.events, *last.events)] == [("a",)]
    assert [(c.name, c.properties) for c in found.contexts] == [("g", {"n": 1})]
    assert (found.attributions, found.associations) == ([(group.uid, table.uid)], [])
    assert len(store.lineage([run.uid]).events) == 2
    store.close()


def test_a_stop_that_sqlite_cannot_read_is_refused(tmp_path: Path) -> None:
    store = open_store(sqlite_url(tmp_path / "w.db"))
    store.put_type(Type("artifact", "Table"))
    table = Artifact(type="Table")
    store.write(Change([Put(table)]))
    stop = "LOWER(" * 150 + "name" + ")" * 150 + " = 'x'"
    codes = set()
    for ask in (
        lambda: store.lineage([table.uid], stop=stop),
        lambda: list(store.walk(WalkQuery([table.uid], stop=stop))),
    ):
        try:
            ask()
        except WhenceError as error:
            codes.add(error.code)
    assert codes <= {"bad-filter"}  # a newer SQLite reads it
    store.close()


def test_later_reads_once() -> None:
    asked: list[int] = []

    def read() -> list[int]:
        asked.append(1)
        return [3, 4]

    later = Later(read, 2)
    assert (len(later), asked) == (2, [])
    assert (later[0], later[0:1], list(later), later == [3, 4], repr(later)) == (
        3,
        [3],
        [3, 4],
        True,
        "[3, 4]",
    )
    assert asked == [1]
    with pytest.raises(TypeError):
        hash(later)
