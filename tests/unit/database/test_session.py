"""Sessions: transactions on the driver itself keep every promise of the slower ones."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, bindparam, insert, select

from whence.database import Database, Migration, Session, sqlite_url
from whence.database.backends.sqlite import LOADED_LOG_PAGES, LOG_PAGES
from whence.errors import BackendError, ConflictError, UsageError

PAIR = Table(
    "pair", MetaData(), Column("id", Integer, primary_key=True), Column("name", String(64), unique=True)
)
ADD = "INSERT INTO pair (id, name) VALUES (?, ?)"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.from_url(sqlite_url(tmp_path / "x.db"))
    database.migrate("pairs", [Migration(1, "pairs", PAIR.create)])
    yield database
    database.close()


def names(database: Database) -> list[str]:
    with database.session() as session:
        return [name for (name,) in session.rows("SELECT name FROM pair ORDER BY id")]


def test_what_a_session_writes_is_there(database: Database) -> None:
    with database.session(write=True) as session:
        assert session.run(ADD, (1, "a")) == 1
        session.many(ADD, ((n, chr(96 + n)) for n in (2, 3)))
        assert session.rows("SELECT count(*) FROM pair") == [(3,)]
    assert names(database) == ["a", "b", "c"]
    with database.read() as connection:
        assert connection.scalars(select(PAIR.c.name)).all() == ["a", "b", "c"]


def test_an_exception_takes_all_of_it_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.session(write=True) as session:  # noqa: PT012 - the block is tested
        session.run(ADD, (1, "a"))
        raise ZeroDivisionError
    assert names(database) == []
    with pytest.raises(KeyboardInterrupt), database.session(write=True) as session:  # noqa: PT012 - the same
        session.run(ADD, (1, "a"))
        raise KeyboardInterrupt
    assert names(database) == []


def test_a_drivers_exception_is_translated(database: Database) -> None:
    with pytest.raises(ConflictError, match="UNIQUE") as caught, database.session(write=True) as session:  # noqa: PT012 - the same
        session.run(ADD, (1, "a"))
        session.run(ADD, (1, "b"))
    assert caught.value.code == "constraint"
    assert type(caught.value.__cause__).__name__ == "IntegrityError"
    with pytest.raises(BackendError, match="no such table"), database.session() as session:
        session.rows("SELECT * FROM nowhere")
    assert names(database) == []


def test_a_session_reads_one_state(database: Database) -> None:
    with database.session(write=True) as session:
        session.run(ADD, (1, "a"))
    with database.session() as session:
        assert session.rows("SELECT name FROM pair") == [("a",)]
        with database.session(write=True) as other:
            other.run(ADD, (2, "b"))
        assert session.rows("SELECT name FROM pair") == [("a",)]
    assert names(database) == ["a", "b"]


def test_a_savepoint_is_taken_back_alone(database: Database) -> None:
    with database.session(write=True) as session:
        session.run(ADD, (1, "a"))
        with pytest.raises(ConflictError) as caught, session.savepoint():  # noqa: PT012 - the block is tested
            session.run(ADD, (2, "b"))
            session.run(ADD, (3, "a"))
        assert caught.value.code == "constraint"
        with session.savepoint():
            session.run(ADD, (4, "d"))
            with pytest.raises(ZeroDivisionError), session.savepoint():  # noqa: PT012 - the same
                session.run(ADD, (5, "e"))
                raise ZeroDivisionError
    assert names(database) == ["a", "d"]


def test_a_full_disk_inside_a_savepoint_loses_the_whole(database: Database) -> None:
    """SQLite takes everything back by itself then; what was caught must not look written."""
    with pytest.raises(BackendError) as caught, database.session(write=True) as session:  # noqa: PT012 - the same
        session.run(ADD, (1, "a"))
        with pytest.raises(BackendError) as inner, session.savepoint():  # noqa: PT012 - the same
            session.run("ROLLBACK")
            session.driver.execute("BEGIN IMMEDIATE")
            pages = session.rows("PRAGMA page_count")[0][0]
            session.run(f"PRAGMA max_page_count={pages}")
            session.run(ADD, (2, "x" * 100_000))
        assert inner.value.code == "store-full"
    assert (caught.value.code, caught.value.retryable) == ("transaction-lost", True)
    assert names(database) == []


def test_rows_stream_while_others_write(database: Database) -> None:
    with database.session(write=True) as session:
        session.many(ADD, [(n, f"n{n}") for n in range(100)])
    with database.session() as session:
        rows = session.stream("SELECT id FROM pair ORDER BY id", size=7)
        seen = [next(rows)[0] for _ in range(10)]
        with database.session(write=True) as other:
            other.run("DELETE FROM pair")
        seen += [n for (n,) in rows]
        assert seen == list(range(100))
        assert next(session.stream("SELECT 1")) == (1,)


def test_only_a_transaction_of_very_many_rows_has_the_larger_log(database: Database) -> None:
    for many in (False, True, True, False):
        with database.session(write=True) as session:
            if many:
                session.expect_many()
            assert session.rows("PRAGMA wal_autocheckpoint") == [(LOADED_LOG_PAGES if many else LOG_PAGES,)]


def test_an_ended_session_is_of_no_use(database: Database) -> None:
    with database.session(write=True) as session:
        session.many(ADD, [(n, f"n{n}") for n in range(9)])
        rows = session.stream("SELECT id FROM pair", size=2)
        assert next(rows) == (0,)
    with pytest.raises(UsageError) as caught:
        list(rows)
    assert caught.value.code == "session-ended"
    with pytest.raises(UsageError) as caught:
        session.rows("SELECT 1")
    assert caught.value.code == "session-ended"


def test_a_second_writing_session_in_a_thread_is_refused(database: Database) -> None:
    with database.session(write=True):
        for begin in (database.transaction, lambda: database.session(write=True)):
            with pytest.raises(UsageError) as caught, begin():
                pytest.fail("a second transaction began")
            assert caught.value.code == "nested-transaction"
        assert names(database) == []
    with database.transaction(), pytest.raises(UsageError), database.session(write=True):
        pytest.fail("a second transaction began")


def test_threads_take_turns(database: Database) -> None:
    failures: list[BaseException] = []

    def work(who: int) -> None:
        try:
            for n in range(25):
                with database.session(write=True) as session:
                    (last,) = session.rows("SELECT coalesce(max(id), 0) FROM pair")[0]
                    session.run(ADD, (last + 1, f"{who}-{n}"))
        except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(names(database)) == 150


def test_a_lock_held_elsewhere_is_retryable_and_leaves_nothing_behind(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "x.db")
    patient, hasty = Database.from_url(url), Database.from_url(url, busy_timeout_s=0.01)
    patient.migrate("pairs", [Migration(1, "pairs", PAIR.create)])
    with patient.session(write=True), pytest.raises(BackendError) as caught, hasty.session(write=True):
        pytest.fail("two processes write")
    assert (caught.value.code, caught.value.retryable) == ("store-locked", True)
    with hasty.session(write=True) as session:
        session.run(ADD, (1, "a"))
    assert names(patient) == ["a"]
    patient.close()
    hasty.close()


def test_prepared_statements_take_a_session(database: Database) -> None:
    add = database.prepare(insert(PAIR), columns=["name", "id"])
    find = database.prepare(select(PAIR.c.id).where(database.among(PAIR.c.name, "names")).order_by(PAIR.c.id))
    one = database.prepare(select(PAIR.c.name).where(PAIR.c.id == bindparam("id"), PAIR.c.name != "b"))
    with database.session(write=True) as session:
        add.run(session, [{"id": 1, "name": "a"}])
        add.tuples(session, [("b", 2), ("é", 3)])
    with database.session() as session:
        given = {"names": database.pack(["é", "a", "x"])}
        assert find.rows(session, given) == [(1,), (3,)]
        assert list(find.stream(session, given, size=1)) == [(1,), (3,)]
        assert [one.rows(session, {"id": i}) for i in (1, 2)] == [[("a",)], []]
    for write in (
        lambda s: add.tuples(s, [("\ud800", 9)]),
        lambda s: find.rows(s, {"names": "\ud800"}),
        lambda s: s.run(ADD, (9, "\ud800")),
        lambda s: s.many(ADD, [(9, "\ud800")]),
        lambda s: s.rows("SELECT ?", ("\ud800",)),
        lambda s: next(s.stream("SELECT ?", ("\ud800",))),
    ):
        with pytest.raises(UsageError) as caught, database.session(write=True) as session:
            write(session)
        assert caught.value.code == "invalid-text"


def test_bytes_may_be_looked_for_in_any_number(database: Database) -> None:
    table = Table("key16", MetaData(), Column("uid", LargeBinary(16), primary_key=True))
    database.migrate("keys", [Migration(1, "keys", table.create)])
    keys = [bytes([n]) * 16 for n in range(256)]
    with database.session(write=True) as session:
        database.prepare(insert(table)).tuples(session, [(key,) for key in keys])
    find = database.prepare(select(table.c.uid).where(database.among(table.c.uid, "uids")))
    with database.session() as session:
        for wanted in ([], keys[:1], keys[3:9], [*keys, b"\xff" * 15 + b"\x00"]):
            found = find.rows(session, {"uids": database.pack(wanted)})
            assert sorted(uid for (uid,) in found) == sorted(set(wanted) & set(keys))


def test_a_session_is_a_session(database: Database) -> None:
    with database.session() as session:
        assert isinstance(session, Session)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("task", ["idle", "in use"])
def test_a_fork_shares_no_connection(tmp_path: Path, task: str) -> None:
    """In a fresh process: pytest's own may have threads, which must not be forked."""
    path = tmp_path / "x.db"
    child = multiprocessing.get_context("spawn").Process(target=_fork, args=(str(path), task))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    database = Database.from_url(sqlite_url(path))
    assert sorted(names(database)) == (["child", "first", "parent"] if task == "idle" else ["first"])
    database.close()


def _fork(path: str, task: str) -> None:
    database = Database.from_url(sqlite_url(Path(path)))
    database.migrate("pairs", [Migration(1, "pairs", PAIR.create)])
    with database.session(write=True) as session:
        session.run(ADD, (1, "first"))
    assert names(database) == ["first"]  # leaves a connection that sessions keep
    if task == "idle":
        pid = os.fork()
        with database.session(write=True) as session:
            session.run(ADD, (2 if pid else 3, "parent" if pid else "child"))
        database.close()
        if pid == 0:
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        return
    with database.session() as session:
        pid = os.fork()
        if pid == 0:
            try:
                names(database)
            except UsageError as error:
                os._exit(0 if error.code == "forked-in-use" else 1)
            os._exit(2)
        assert os.waitpid(pid, 0)[1] == 0
        assert session.rows("SELECT name FROM pair") == [("first",)]
