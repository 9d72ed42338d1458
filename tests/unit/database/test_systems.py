"""What holds on every database system, real servers included."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    text,
    update,
)

from whence.database import Database, Migration, sqlite_url
from whence.errors import BackendError, ConflictError, UnsupportedError, UsageError

META = MetaData()
NOTE = Table(
    "note",
    META,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(64), unique=True),
    Column("body", Text),
    Column("weight", Float(53)),
    Column("mark", LargeBinary(16)),
)
STEPS = (Migration(1, "notes", META.create_all),)


SERVED = pytest.mark.service


@pytest.fixture(
    params=["sqlite", pytest.param("postgres", marks=SERVED), pytest.param("mariadb", marks=SERVED)]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "x.db")
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database.from_url(url)
    database.migrate("notes", STEPS)
    yield database
    database.close()


def add(database: Database, *names: str, start: int = 1) -> None:
    statement = database.prepare(insert(NOTE), columns=["id", "name"])
    with database.session(write=True) as session:
        statement.tuples(session, [(n, name) for n, name in enumerate(names, start)])


def names(database: Database) -> list[str]:
    with database.session() as session:
        return [row[0] for row in database.prepare(select(NOTE.c.name).order_by(NOTE.c.name)).rows(session)]


def test_a_session_writes_and_reads(database: Database) -> None:
    add(database, "b", "a")
    assert names(database) == ["a", "b"]
    with database.read() as connection:
        assert connection.scalars(select(NOTE.c.name).order_by(NOTE.c.id)).all() == ["b", "a"]
    with database.transaction() as connection:
        connection.execute(update(NOTE).where(NOTE.c.id == 1).values(name="c"))
    assert names(database) == ["a", "c"]


def test_an_exception_takes_all_of_it_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.session(write=True) as session:  # noqa: PT012 - the block is tested
        database.prepare(insert(NOTE), columns=["id"]).run(session, [{"id": 1}])
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:  # noqa: PT012 - the same
        connection.execute(insert(NOTE), {"id": 1})
        raise ZeroDivisionError
    assert names(database) == []


def test_a_broken_rule_is_a_conflict_and_a_savepoint_outlives_it(database: Database) -> None:
    put = database.prepare(insert(NOTE), columns=["id", "name"])
    with database.session(write=True) as session:
        put.tuples(session, [(1, "a")])
        with pytest.raises(ConflictError) as caught, session.savepoint():
            put.tuples(session, [(2, "b"), (3, "a")])
        assert caught.value.code == "constraint"
        put.tuples(session, [(4, "d")])
    assert names(database) == ["a", "d"]
    with pytest.raises(ConflictError) as caught, database.transaction() as connection:
        connection.execute(insert(NOTE), {"id": 1, "name": "z"})
    assert caught.value.code == "constraint"


def test_a_failed_statement_that_is_caught_does_not_commit_in_silence(database: Database) -> None:
    """PostgreSQL would answer COMMIT with a rollback, and say nothing."""
    put = database.prepare(insert(NOTE), columns=["id", "name"])

    def work() -> None:
        with database.session(write=True) as session:
            put.tuples(session, [(1, "a")])
            with contextlib.suppress(Exception):  # the driver's own, whichever it is
                put.tuples(session, [(1, "b")])

    if database.abilities.dialect == "postgresql":
        with pytest.raises(BackendError) as caught:
            work()
        assert (caught.value.code, caught.value.retryable) == ("transaction-lost", True)
        assert names(database) == []
    else:
        work()
        assert names(database) == ["a"]


def test_a_transaction_that_is_gone_is_not_committed_in_silence(database: Database) -> None:
    put = database.prepare(insert(NOTE), columns=["id", "name"])
    with pytest.raises(BackendError) as caught, database.session(write=True) as session:  # noqa: PT012 - the block is tested
        put.tuples(session, [(1, "a")])
        session.run("ROLLBACK")
    assert caught.value.code == "transaction-lost"
    with pytest.raises(BackendError) as caught, database.transaction() as connection:  # noqa: PT012 - the same
        connection.execute(insert(NOTE), {"id": 1, "name": "a"})
        connection.exec_driver_sql("ROLLBACK")
    assert caught.value.code == "transaction-lost"
    assert names(database) == []


def test_a_read_sees_one_state(database: Database) -> None:
    add(database, "a")
    find = database.prepare(select(NOTE.c.name).order_by(NOTE.c.id))
    with database.session() as session, database.read() as connection:
        assert find.rows(session) == [("a",)]
        assert find.rows(connection) == [("a",)]
        add(database, "b", start=2)
        assert find.rows(session) == [("a",)]
        assert find.rows(connection) == [("a",)]
    assert names(database) == ["a", "b"]


def test_a_read_cannot_write(database: Database) -> None:
    if database.abilities.dialect == "sqlite":
        pytest.xfail("notimpl: a reader of SQLite is only not asked to write")
    with pytest.raises(BackendError), database.session() as session:
        database.prepare(insert(NOTE), columns=["id"]).run(session, [{"id": 1}])


def test_text_is_told_apart_and_ordered_by_its_code_points(database: Database) -> None:
    given = ["a", "A", "a ", "ä", "z", "Z", "\u00e9", "e\u0301", "10", "9", "_", "\U0001f600", "\uffee"]
    add(database, *given)
    assert names(database) == sorted(given)
    find = database.prepare(select(NOTE.c.name).where(database.among(NOTE.c.name, "names")))
    one = database.prepare(select(NOTE.c.id).where(NOTE.c.name == bindparam("name")))
    with database.session() as session:
        for n, name in enumerate(given, 1):
            assert find.rows(session, {"names": database.pack([name])}) == [(name,)]
            assert one.rows(session, {"name": name}) == [(n,)]
        assert find.rows(session, {"names": database.pack(["b", "", "A "])}) == []


def test_what_is_too_long_is_not_found_by_its_beginning(database: Database) -> None:
    add(database, "x" * 64, "y")
    find = database.prepare(select(NOTE.c.name).where(database.among(NOTE.c.name, "names")))
    one = database.prepare(select(NOTE.c.id).where(NOTE.c.name == bindparam("name")))
    with database.session() as session:
        for long in ("x" * 65, "x" * 64 + " ", "y" + " " * 64, "x" * 100_000):
            assert find.rows(session, {"names": database.pack([long])}) == []
            assert one.rows(session, {"name": long}) == []


@pytest.mark.parametrize("n", [0, 1, 7, 3000])
def test_any_number_of_values_may_be_looked_for(database: Database, n: int) -> None:
    put = database.prepare(insert(NOTE), columns=["id", "name", "mark"])
    with database.session(write=True) as session:
        put.tuples(session, [(i, f"n{i}", i.to_bytes(16, "big")) for i in range(200)])
    with database.session() as session:
        for column, make in (
            (NOTE.c.id, lambda i: i),
            (NOTE.c.name, lambda i: f"n{i}"),
            (NOTE.c.mark, lambda i: i.to_bytes(16, "big")),
        ):
            find = database.prepare(select(NOTE.c.id).where(database.among(column, "given")))
            found = find.rows(session, {"given": database.pack([make(2 * i) for i in range(n)])})
            assert sorted(i for (i,) in found) == [2 * i for i in range(min(n, 100))]


def test_values_come_back_as_they_were(database: Database) -> None:
    rows = [
        (1, "quotes ' \" ` \\ % %s :x ?", "x" * 200_000, 0.1, bytes(range(16))),
        (2, "\u2028\U0001f600\ud7ff", "", -0.0, b"\x00" * 16),
        (3, "line\nline\ttab\r", '{"a": "\\u0000"}', 5e-324, b"\xff" * 16),
        (4, None, None, 1.7976931348623157e308, None),
        (2**63 - 1, "", "y", 2.0**53 + 1, b"\\'\"%?:\x1a\n\r\t\x00\x08abc\xfe"),
        (-(2**63), "z", "y", None, b"0123456789abcdef"),
    ]  # fmt: skip
    put, find = database.prepare(insert(NOTE)), database.prepare(select(NOTE).order_by(NOTE.c.id))
    with database.session(write=True) as session:
        put.tuples(session, rows)
        put.run(session, [])
    with database.session() as session:
        assert find.rows(session) == sorted(rows)
        assert list(find.stream(session, size=2)) == sorted(rows)


def test_text_that_no_database_can_keep_is_refused(database: Database) -> None:
    put = database.prepare(insert(NOTE), columns=["id", "name"])
    find = database.prepare(select(NOTE.c.id).where(database.among(NOTE.c.name, "names")))
    for bad in ("\ud800", "a\udc80", "\udcff"):
        with pytest.raises(UsageError) as caught, database.session(write=True) as session:
            put.tuples(session, [(1, bad)])
        assert caught.value.code == "invalid-text"
        with pytest.raises(UsageError) as caught, database.session() as session:
            find.rows(session, {"names": database.pack([bad])})
        assert caught.value.code == "invalid-text"
    assert names(database) == []


def test_a_value_that_is_too_long_is_refused_or_kept_whole(database: Database) -> None:
    if database.abilities.dialect == "sqlite":
        add(database, "x" * 65)  # SQLite takes a length as a remark; the rooms check theirs
        assert names(database) == ["x" * 65]
        return
    with pytest.raises(UsageError) as caught:
        add(database, "x" * 65)
    assert caught.value.code == "too-large"


def test_what_is_there_already_is_left_out(database: Database) -> None:
    add(database, "a")
    with database.transaction() as connection:
        connection.execute(database.insert_new(NOTE), [{"id": 1, "name": "z"}, {"id": 2, "name": "b"}])
        connection.execute(database.insert_new(NOTE), {"id": 3, "name": "b"})
    put = database.prepare(database.insert_new(NOTE), columns=["id", "name"])
    with database.session(write=True) as session:
        put.tuples(session, [(1, "y"), (4, "d"), (4, "d")])
    assert names(database) == ["a", "b", "d"]
    with pytest.raises(ConflictError), database.session(write=True) as session:
        database.prepare(database.insert_new(REQUIRED)).tuples(session, [(1, None)])


REQUIRED = Table(
    "required",
    META,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("v", Text, nullable=False),
)


def test_rows_stream_while_others_write(database: Database) -> None:
    add(database, *(f"n{n:04}" for n in range(2000)))
    with database.session() as session:
        rows = database.prepare(select(NOTE.c.id).order_by(NOTE.c.id)).stream(session, size=100)
        seen = [next(rows)[0] for _ in range(10)]
        with database.session(write=True) as other:
            database.prepare(delete(NOTE)).run(other, [{}])
        seen += [n for (n,) in rows]
        assert seen == list(range(1, 2001))
        assert database.prepare(select(NOTE.c.id).limit(1)).rows(session) == [(1,)]
    assert names(database) == []


def test_a_second_statement_inside_a_stream(database: Database) -> None:
    add(database, "a", "b", "c")
    find = database.prepare(select(NOTE.c.id).order_by(NOTE.c.id))

    def both() -> None:
        with database.session() as session:
            rows = find.stream(session, size=1)
            assert next(rows) == (1,)
            assert len(find.rows(session)) == 3
            rows.close()  # type: ignore[attr-defined]  # a generator

    if database.abilities.dialect in ("mysql", "mariadb"):
        with pytest.raises(UsageError) as caught:
            both()
        assert caught.value.code == "stream-open"
    else:
        both()
    with database.session() as session:
        rows = find.stream(session, size=1)
        assert next(rows) == (1,)
        rows.close()  # type: ignore[attr-defined]  # a generator
        assert len(find.rows(session)) == 3


def test_writers_of_several_databases_take_turns(url: str, database: Database) -> None:
    """Each reads the largest number and writes the next: without turns two would write the same."""
    failures: list[BaseException] = []
    last = database.prepare(text("SELECT coalesce(max(id), 0) FROM note"))
    put = database.prepare(insert(NOTE), columns=["id", "name"])

    def work(mine: Database, who: int) -> None:
        try:
            for n in range(10):
                with mine.session(write=True) as session:
                    put.tuples(session, [(last.rows(session)[0][0] + 1, f"{who}-{n}")])
        except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
            failures.append(error)

    others = [Database.from_url(url) for _ in range(3)]
    threads = [
        threading.Thread(target=work, args=(mine, who))
        for who, mine in enumerate((database, *others, database))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert failures == []
    with database.session() as session:
        ids = [n for (n,) in database.prepare(select(NOTE.c.id).order_by(NOTE.c.id)).rows(session)]
    assert ids == list(range(1, 51))


def test_a_turn_that_does_not_come_is_retryable(url: str, database: Database) -> None:
    hasty = Database.from_url(url, busy_timeout_s=0.01)
    put = hasty.prepare(insert(NOTE), columns=["id"])
    with database.session(write=True):
        for begin in (lambda: hasty.session(write=True), hasty.transaction):
            with pytest.raises(BackendError) as caught, begin():
                pytest.fail("two writers")
            assert (caught.value.code, caught.value.retryable) == ("store-locked", True)
        assert names(hasty) == []
    with hasty.session(write=True) as session:
        put.tuples(session, [(1,)])
    hasty.close()
    assert names(database) == [None]


def test_many_migrate_at_once(url: str) -> None:
    databases = [Database.from_url(url) for _ in range(4)]
    versions: list[int] = []
    failures: list[BaseException] = []

    def work(database: Database) -> None:
        try:
            versions.append(database.migrate("notes", STEPS))
        except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(d,)) for d in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()
    assert (failures, versions) == ([], [1] * 4)


def _colours(connection: Connection) -> None:
    known = (
        {row[0] for row in connection.execute(text(_COLUMNS))}
        if connection.dialect.name == "mysql"
        else set()
    )
    if "colour" not in known:  # where tables are no part of transactions, a step is taken again
        connection.execute(text("ALTER TABLE note ADD COLUMN colour VARCHAR(8)"))


_COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_name = 'note' AND table_schema = DATABASE()"
TWO = (*STEPS, Migration(2, "colours", _colours))


def test_a_killed_migration_can_be_taken_again(url: str, database: Database) -> None:
    add(database, "a")
    with pytest.raises(ConflictError) as caught:
        database.migrate("notes", TWO)
    assert caught.value.code == "workspace-older"
    killed = multiprocessing.get_context("spawn").Process(target=_upgrade, args=(url,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHENCE_CRASH_AT", "database.migrate.taken")
        killed.start()
        killed.join(60)
    assert killed.exitcode == -9
    assert database.version("notes") == 1
    assert names(database) == ["a"]
    assert database.migrate("notes", TWO, upgrade=True) == 2
    with database.session() as session:
        assert database.prepare(text("SELECT name, colour FROM note")).rows(session) == [("a", None)]


def _upgrade(url: str) -> None:
    Database.from_url(url).migrate("notes", TWO, upgrade=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("task", ["idle", "in use"])
def test_a_fork_shares_no_connection(url: str, database: Database, task: str) -> None:
    """In a fresh process: pytest's own may have threads, which must not be forked."""
    child = multiprocessing.get_context("spawn").Process(target=_fork, args=(url, task))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert names(database) == (["child", "first", "parent"] if task == "idle" else ["first"])


def _fork(url: str, task: str) -> None:
    database = Database.from_url(url)
    add(database, "first")
    assert names(database) == ["first"]  # leaves idle connections behind
    if task == "idle":
        pid = os.fork()
        add(database, "parent" if pid else "child", start=2 if pid else 3)
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
        assert database.prepare(select(NOTE.c.name)).rows(session) == [("first",)]


def test_a_deep_recursive_query_is_answered_whole(database: Database) -> None:
    """MariaDB would stop after 1,000 rounds with a warning."""
    deep = database.prepare(
        text(
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT n + 1 FROM r WHERE n < 5000) SELECT count(*) FROM r"
        )
    )
    with database.session() as session:
        assert deep.rows(session) == [(5000,)]


def test_a_copy_is_made_of_a_file_only(database: Database, tmp_path: Path) -> None:
    if database.abilities.dialect == "sqlite":
        database.backup(tmp_path / "copy.db")
        return
    with pytest.raises(UnsupportedError, match="own tools"):
        database.backup(tmp_path / "copy.db")
