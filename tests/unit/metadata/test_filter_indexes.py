"""Indexes that a question makes: which, how many, and what happens when none can be made."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from whence.database import sqlite_url
from whence.errors import BackendError
from whence.metadata import Artifact, Change, Put, Type, open_store
from whence.metadata.backends import indexes
from whence.metadata.backends.indexes import COUNTS, Indexer, Wanted, wanted_by
from whence.metadata.backends.sql import SqlStore
from whence.metadata.filter import bind_filter

N = 300


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question is slow, every graph is large."""
    monkeypatch.setattr(indexes, "SLOW_S", 0.0)
    monkeypatch.setattr(indexes, "MIN_NODES", 10)


def filled(url: str) -> SqlStore:
    store = open_store(url)
    assert isinstance(store, SqlStore)
    store.put_type(Type("artifact", "A", {"n": "INT", "d": "DOUBLE", "s": "STRING"}))
    nodes = [
        Artifact(type="A", name=f"a{i}", properties={"n": i, "d": i / 4, "s": f"s{i}"}, custom={"n": str(i)})
        for i in range(N)
    ]
    store.write(Change([Put(node) for node in nodes]))
    return store


@pytest.fixture
def store(eager: None, tmp_path: Path) -> Iterator[SqlStore]:
    store = filled(f"{sqlite_url(tmp_path / 'g.db')}?synchronous=OFF")
    yield store
    store.close()


def ask(store: SqlStore, text: str) -> list[str | None]:
    return [node.name for node in store.find_nodes("artifact", matching=text).nodes]


def made(store: SqlStore) -> list[tuple[str, str, str]]:
    """(part, key, affinity) of the indexes that are registered; each is there."""
    with store.database.session() as session:
        rows = session.rows(
            "SELECT name, part, key, affinity FROM property_index ORDER BY part, key, affinity"
        )
        if store.database.abilities.dialect == "sqlite":
            there = {row[0] for row in session.rows("SELECT name FROM sqlite_master WHERE type = 'index'")}
        else:
            there = {row[0] for row in session.rows("SELECT indexname FROM pg_indexes")}
    assert {row[0] for row in rows if row[1] != "counts"} <= there
    assert {name for name in there if name.startswith(indexes.PREFIX)} <= {row[0] for row in rows}
    return [tuple(row[1:]) for row in rows if row[1] != "counts"]


WANTED = {
    "properties.n = 1": [("p", "n", "number")],
    "1 < properties.n": [("p", "n", "number")],
    "properties.n.int_value = 1 AND custom_properties.n = '1'": [("p", "n", "int"), ("c", "n", "text")],
    "properties.s IN ('a', 'b') OR properties.d BETWEEN 1 AND 2": [("p", "s", "text"), ("p", "d", "number")],
    "ancestor(properties.n = 1)": [("p", "n", "number")],
    "properties.n != 1": [],
    "NOT properties.n = 1": [],
    "properties.s LIKE 'a%'": [],
    "properties.n + 1 = 2": [],
    "properties.n = properties.d": [],
    "custom_properties.b = TRUE": [],
    'properties.`o"dd` = 1': [],
    "name = 'x'": [],
}


@pytest.mark.parametrize(("text", "expected"), WANTED.items(), ids=WANTED)
def test_what_would_serve(text: str, expected: list[tuple[str, str, str]]) -> None:
    found = wanted_by(bind_filter(text, "artifact"))
    assert found[-1] == COUNTS
    assert [(w.part, w.key, w.affinity) for w in found[:-1]] == expected


def test_orders_by_time_would_be_served() -> None:
    assert wanted_by(None) == ()
    assert [w.key for w in wanted_by(None, "created_at")] == ["created_at"]


def test_names_are_names_of_indexes() -> None:
    long = Wanted("p", "x" * 300, "text")
    assert long.name.startswith(indexes.PREFIX)
    assert len({long.name, Wanted("c", "x" * 300, "text").name, Wanted("p", "x" * 300, "int").name}) == 3
    assert len(long.name) < 60  # PostgreSQL cuts names at 63


QUESTIONS = {
    "properties.n = 7": ["a7"],
    "properties.n.int_value >= 298": ["a298", "a299"],
    "properties.d.double_value = 1.75": ["a7"],
    "custom_properties.n = '7'": ["a7"],
    "custom_properties.n = 7": [],
    "properties.n IN (3, 4)": ["a3", "a4"],
}


def test_answers_are_the_same_with_indexes_and_come_from_them(store: SqlStore) -> None:
    for _ in range(2):
        assert {text: ask(store, text) for text in QUESTIONS} == QUESTIONS
        newest = store.find_nodes("artifact", order_by="created_at", descending=True, limit=1).nodes
        assert [node.name for node in newest] == [f"a{N - 1}"]
        assert store.settle_indexes()
    assert made(store) == [
        ("c", "n", "number"),
        ("c", "n", "text"),
        ("order", "created_at", "time"),
        ("p", "d", "double"),
        ("p", "n", "int"),
        ("p", "n", "number"),
    ]
    (kept,) = [k for k in store.finder.kept.values() if [w.affinity for w in k.wanted] == ["double", ""]]
    with store.database.session() as session:
        plan = session.rows(
            f"EXPLAIN QUERY PLAN {kept.statement.sql}",
            kept.statement.bind({"namespace": 0, "filter_1": 1.75}),
        )
    assert any("USING INDEX node_p_" in row[3] for row in plan), plan


def test_postgres_makes_them_while_others_write(eager: None, postgres_url: str) -> None:
    store = filled(postgres_url)
    for _ in range(2):
        assert {text: ask(store, text) for text in QUESTIONS} == QUESTIONS
        assert store.settle_indexes()
    assert ("p", "n", "int") in made(store)
    assert len(made(store)) == 5
    with store.database.session() as session:
        assert session.rows("SELECT 1 FROM pg_index WHERE NOT indisvalid") == []
        kept = next(k for k in store.finder.kept.values() if [w.affinity for w in k.wanted] == ["double", ""])
        values = kept.statement.bind({"namespace": 0, "filter_1": 1.75})
        session.run("SET LOCAL enable_seqscan = off")
        plan = "\n".join(str(row[0]) for row in session.rows(f"EXPLAIN {kept.statement.sql}", values))
    assert "node_p_" in plan, plan
    store.close()


def test_mariadb_makes_none(eager: None, mariadb_url: str) -> None:
    store = filled(mariadb_url)
    assert ask(store, "properties.n = 7") == ["a7"]
    assert store.settle_indexes()
    with store.database.session() as session:
        assert session.rows("SELECT count(*) FROM property_index") == [(0,)]
    store.close()


def test_no_more_than_the_limit_and_the_least_used_goes(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "MAX_INDEXES", 2)
    for text in ("properties.n = 1", "properties.n = 2", "properties.d = 1", "properties.s = 'x'"):
        ask(store, text)
        assert store.settle_indexes()
    assert made(store) == [("p", "n", "number"), ("p", "s", "text")]
    # What was dropped is made again when it is asked for again.
    ask(store, "properties.d = 2")
    assert store.settle_indexes()
    assert ("p", "d", "number") in made(store)


def test_quick_questions_and_small_graphs_make_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(f"{sqlite_url(tmp_path / 'g.db')}?synchronous=OFF")
    monkeypatch.setattr(indexes, "SLOW_S", 60.0)
    ask(store, "properties.n = 1")
    assert store.settle_indexes()
    assert made(store) == []
    monkeypatch.setattr(indexes, "SLOW_S", 0.0)
    ask(store, "properties.n = 1")
    assert store.settle_indexes()
    assert made(store) == []
    store.close()


def test_one_that_may_not_write_makes_none(store: SqlStore) -> None:
    store.finder.indexer.enabled = False
    ask(store, "properties.n = 1")
    assert store.settle_indexes()
    assert made(store) == []


def test_a_failure_is_logged_and_nobody_fails(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> Any:
        raise BackendError("the disk is full", code="store-full")

    monkeypatch.setattr(Indexer, "sql", fails)
    with caplog.at_level(logging.WARNING, logger="whence.metadata.backends.indexes"):
        assert ask(store, "properties.n = 7") == ["a7"]
        assert store.settle_indexes()
    assert "could not be made" in caplog.text
    assert made(store) == []
    monkeypatch.undo()
    assert ask(store, "properties.n = 7") == ["a7"]


def test_threads_that_ask_alike_make_one(store: SqlStore) -> None:
    threads = [threading.Thread(target=ask, args=(store, "properties.n = 1")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.settle_indexes()
    assert made(store) == [("p", "n", "number")]


def test_two_stores_share_what_one_made(store: SqlStore, tmp_path: Path) -> None:
    other = open_store(sqlite_url(tmp_path / "g.db"))
    assert isinstance(other, SqlStore)
    for one in (store, other):
        assert ask(one, "properties.n = 7") == ["a7"]
        assert one.settle_indexes()
    assert made(other) == [("p", "n", "number")]
    other.close()


def test_a_closed_store_has_no_thread(store: SqlStore) -> None:
    ask(store, "properties.n = 7")
    thread = store.finder.indexer._thread
    assert thread is not None
    store.finder.close()
    assert not thread.is_alive()
    assert ask(store, "properties.n = 7") == ["a7"]


def test_a_forked_process_begins_anew(store: SqlStore) -> None:
    """A child has no thread of its parent's, and must not wait for what it was making."""
    ask(store, "properties.n = 7")
    assert store.settle_indexes()
    indexer = store.finder.indexer
    indexer._pid = -1  # as if this were the child
    indexer._lock.acquire()  # held by the parent's thread at the fork
    assert ask(store, "properties.d = 1.75") == ["a7"]
    assert store.settle_indexes()
    assert ("p", "d", "number") in made(store)
