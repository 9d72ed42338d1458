"""Transactions, migrations, and what a failing driver becomes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, bindparam, insert, select, text

from whence.database import Database, Migration, sqlite_url
from whence.errors import BackendError, ConflictError, IntegrityError, UnsupportedError, UsageError

THING = Table(
    "thing", MetaData(), Column("id", Integer, primary_key=True), Column("name", String, unique=True)
)


def make(connection: Connection) -> None:
    THING.create(connection)


def add_colour(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE thing ADD COLUMN colour TEXT"))


ONE = (Migration(1, "things", make),)
TWO = (*ONE, Migration(2, "colours", add_colour))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database.from_url(sqlite_url(path))
    database.migrate("things", ONE)
    yield database
    database.close()


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(select(THING.c.name).order_by(THING.c.id)))


def add(database: Database, name: str) -> None:
    with database.transaction() as connection:
        connection.execute(insert(THING), {"name": name})


def test_sqlite_is_opened_as_promised(database: Database) -> None:
    with database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    assert (database.abilities.dialect, database.abilities.many_writers) == ("sqlite", False)


@pytest.mark.parametrize(("given", "stored"), [("NORMAL", 1), ("off", 0), ("EXTRA", 3)])
def test_synchronous_is_a_setting(path: Path, given: str, stored: int) -> None:
    for database in (
        Database.from_url(sqlite_url(path), synchronous=given),
        Database.from_url(f"{sqlite_url(path)}?synchronous={given}"),
    ):
        with database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == stored
        database.close()


def test_a_transaction_is_whole(database: Database) -> None:
    add(database, "a")
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:  # noqa: PT012 - the block is tested
        connection.execute(insert(THING), {"name": "b"})
        raise ZeroDivisionError
    assert names(database) == ["a"]
    add(database, "c")
    assert names(database) == ["a", "c"]


def test_a_read_sees_one_state(database: Database) -> None:
    add(database, "a")
    with database.read() as connection:
        first = connection.scalars(select(THING.c.name)).all()
        add(database, "b")
        assert connection.scalars(select(THING.c.name)).all() == first == ["a"]
    assert names(database) == ["a", "b"]


def test_threads_take_turns(database: Database) -> None:
    errors: list[BaseException] = []

    def work(who: int) -> None:
        try:
            for i in range(20):
                add(database, f"{who}-{i}")
                assert f"{who}-{i}" in names(database)
        except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(names(database)) == 100


def test_a_transaction_inside_a_transaction_is_refused(database: Database) -> None:
    with database.transaction():
        with pytest.raises(UsageError) as caught, database.transaction():
            pytest.fail("a second transaction began")
        assert caught.value.code == "nested-transaction"
        assert names(database) == []
    add(database, "a")


def test_a_lock_held_by_another_process_is_retryable(path: Path) -> None:
    patient = Database.from_url(sqlite_url(path))
    patient.migrate("things", ONE)
    hasty = Database.from_url(sqlite_url(path), busy_timeout_s=0.01)
    with patient.transaction(), pytest.raises(BackendError, match="locked by another process") as caught:
        add(hasty, "a")
    assert (caught.value.code, caught.value.retryable) == ("store-locked", True)
    assert caught.value.__cause__ is not None
    add(hasty, "a")
    assert names(patient) == ["a"]
    patient.close()
    hasty.close()


def test_a_lock_held_by_another_thread_is_retryable(path: Path) -> None:
    database = Database.from_url(sqlite_url(path), busy_timeout_s=0.01)
    caught: list[BackendError] = []

    def work() -> None:
        try:
            with database.transaction():
                pass
        except BackendError as error:
            caught.append(error)

    with database.transaction():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [(e.code, e.retryable) for e in caught] == [("store-locked", True)]
    database.close()


def test_a_full_disk_changes_nothing(database: Database) -> None:
    add(database, "a")
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        connection.commit()
    with pytest.raises(BackendError, match="nothing was written") as caught:
        add(database, "x" * 100_000)
    assert (caught.value.code, caught.value.retryable) == ("store-full", False)
    assert isinstance(caught.value.__cause__, Exception)
    assert names(database) == ["a"]


def test_a_broken_rule_is_a_conflict(database: Database) -> None:
    add(database, "a")
    with pytest.raises(ConflictError, match="UNIQUE constraint failed") as caught:
        add(database, "a")
    assert caught.value.code == "constraint"


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)
    database = Database.from_url(sqlite_url(path))
    with pytest.raises(IntegrityError) as caught:
        database.version("things")
    assert caught.value.code == "store-corrupt"
    assert path.read_bytes() == b"no database at all" * 100


def test_a_folder_that_is_absent(tmp_path: Path) -> None:
    database = Database.from_url(sqlite_url(tmp_path / "absent" / "x.db"))
    with pytest.raises(BackendError, match="cannot be opened") as caught:
        database.version("things")
    assert caught.value.code == "store-unavailable"


def test_a_wrong_statement_is_a_failed_store(database: Database) -> None:
    with pytest.raises(BackendError, match="no such table: nowhere") as caught, database.read() as connection:
        connection.execute(text("SELECT * FROM nowhere"))
    assert caught.value.code == "store-failed"


@pytest.mark.parametrize(
    ("url", "error", "code"),
    [
        ("no url", UsageError, "bad-url"),
        ("sqlite://", UsageError, "bad-url"),
        ("sqlite:///:memory:", UsageError, "bad-url"),
        ("sqlite:///x.db?synchronous=SOMETIMES", UsageError, "bad-url"),
        ("oracle://host/x", UnsupportedError, "unsupported-scheme"),
    ],
)
def test_a_bad_url_is_refused(url: str, error: type[UsageError], code: str) -> None:
    with pytest.raises(error) as caught:
        Database.from_url(url)
    assert caught.value.code == code


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    database = Database.from_url(sqlite_url(path))
    assert database.url == sqlite_url(path)
    database.close()


def test_migrations_are_taken_once_and_in_order(path: Path) -> None:
    taken: list[int] = []
    steps = [Migration(n, f"step {n}", lambda _, n=n: taken.append(n)) for n in (1, 2, 3)]  # type: ignore[misc]
    database = Database.from_url(sqlite_url(path))
    assert database.version("a") == 0
    assert database.migrate("a", steps[:1]) == 1
    with pytest.raises(ConflictError, match=r"a tables have version 1, this whence .* knows 3") as caught:
        database.migrate("a", steps)
    assert (caught.value.code, caught.value.hint) == (
        "workspace-older",
        "whence migrate brings them up; nothing was changed",
    )
    assert taken == [1]
    assert database.migrate("a", steps, upgrade=True) == 3
    assert database.migrate("a", steps) == 3
    assert taken == [1, 2, 3]
    assert (database.version("a"), database.version("b")) == (3, 0)
    assert database.migrate("b", ()) == 0
    database.close()


def test_nothing_becomes_the_newest_layout_at_once(path: Path) -> None:
    taken: list[str] = []

    def step(number: int, *, fresh: bool = False) -> Migration:
        made = (lambda _: taken.append(f"fresh {number}")) if fresh else None
        return Migration(number, "", lambda _: taken.append(f"up {number}"), made)

    database = Database.from_url(sqlite_url(path))
    assert database.migrate("a", [step(1), step(2, fresh=True), step(3)]) == 3
    assert database.migrate("b", [step(1, fresh=True), step(2, fresh=True)]) == 2
    assert taken == ["fresh 2", "up 3", "fresh 2"]
    assert (database.version("a"), database.version("b")) == (3, 2)
    database.close()


def test_a_migration_that_is_killed_leaves_the_version_before(path: Path) -> None:
    database = Database.from_url(sqlite_url(path))
    database.migrate("things", ONE)
    add(database, "a")
    database.close()
    killed = multiprocessing.get_context("spawn").Process(target=_upgrade, args=(str(path),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHENCE_CRASH_AT", "database.migrate.taken")
        killed.start()
        killed.join(60)
    assert killed.exitcode == -9
    assert database.version("things") == 1
    assert names(database) == ["a"]
    assert database.migrate("things", TWO, upgrade=True) == 2
    database.close()


def _upgrade(path: str) -> None:
    Database.from_url(sqlite_url(Path(path))).migrate("things", TWO, upgrade=True)


def test_a_backup_is_the_whole_database(database: Database, tmp_path: Path) -> None:
    add(database, "a")
    database.backup(tmp_path / "copy.db")
    add(database, "b")
    copy = Database.from_url(sqlite_url(tmp_path / "copy.db"))
    assert names(copy) == ["a"]
    assert copy.version("things") == 1
    copy.close()
    with pytest.raises(ConflictError) as caught:
        database.backup(tmp_path / "copy.db")
    assert caught.value.code == "backup-exists"


def test_migrations_have_no_gaps(database: Database) -> None:
    with pytest.raises(UsageError, match=r"numbered \[1, 3\]") as caught:
        database.migrate("x", [Migration(1, "", make), Migration(3, "", make)])
    assert caught.value.code == "bad-migrations"


def test_a_migration_that_fails_leaves_the_version_before(database: Database) -> None:
    add(database, "a")

    def broken(connection: Connection) -> None:
        add_colour(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.migrate("things", (*ONE, Migration(2, "colours", broken)), upgrade=True)
    assert database.version("things") == 1
    assert database.migrate("things", TWO, upgrade=True) == 2
    with database.read() as connection:
        assert connection.execute(text("SELECT id, name, colour FROM thing")).all() == [(1, "a", None)]


def test_a_newer_workspace_is_refused_and_not_touched(path: Path) -> None:
    database = Database.from_url(sqlite_url(path))
    database.migrate("things", TWO)
    database.close()
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    older = Database.from_url(sqlite_url(path))
    with pytest.raises(
        ConflictError, match=r"things tables have version 2, this whence .* knows 1"
    ) as caught:
        older.migrate("things", ONE)
    older.close()
    assert caught.value.code == "workspace-newer"
    assert caught.value.details == {"component": "things", "stored": 2, "known": 1}
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_threads_that_migrate_at_once(path: Path) -> None:
    databases = [Database.from_url(sqlite_url(path)) for _ in range(6)]
    versions: list[int] = []
    threads = [
        threading.Thread(target=lambda d=d: versions.append(d.migrate("things", TWO))) for d in databases
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions == [2] * 6
    for database in databases:
        database.close()


def test_a_prepared_statement_says_the_same(database: Database) -> None:
    write = database.prepare(insert(THING), columns=["name"])
    read = database.prepare(select(THING.c.id, THING.c.name).where(database.among(THING.c.name, "names")))
    with database.transaction() as connection:
        write.run(connection, [{"name": name} for name in ("a", "b", "é", "d'; --")])
    with database.read() as connection:
        found = read.rows(connection, {"names": database.pack(["é", "a", "d'; --"])})
        assert sorted(found) == [(1, "a"), (3, "é"), (4, "d'; --")]
        assert read.rows(connection, {"names": database.pack([])}) == []
    by_id = database.prepare(select(THING.c.name).where(THING.c.id == bindparam("id"), THING.c.name != "b"))
    with database.read() as connection:
        assert [by_id.rows(connection, {"id": i}) for i in (1, 2)] == [[("a",)], []]


def test_text_that_is_not_unicode_is_refused(database: Database) -> None:
    write = database.prepare(insert(THING), columns=["name"])
    with pytest.raises(UsageError) as caught, database.transaction() as connection:
        write.run(connection, [{"name": "\ud800"}])
    assert caught.value.code == "invalid-text"
    with pytest.raises(UsageError) as caught:
        database.pack(["\ud800"])
    assert caught.value.code == "invalid-text"


def test_what_is_there_already_is_left_out(database: Database) -> None:
    add(database, "a")
    with database.transaction() as connection:
        connection.execute(database.insert_new(THING), [{"name": "a"}, {"name": "b"}])
    assert names(database) == ["a", "b"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("task", ["write", "in use"])
def test_a_fork_loses_nothing(path: Path, task: str) -> None:
    """In a fresh process: pytest's own may have threads, which must not be forked."""
    child = multiprocessing.get_context("spawn").Process(target=_fork, args=(str(path), task))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    connection = sqlite3.connect(path)
    want = [("child",), ("parent",)] if task == "write" else [("parent",)]
    assert connection.execute("SELECT name FROM thing ORDER BY name").fetchall() == want
    connection.close()


def _fork(path: str, task: str) -> None:
    database = Database.from_url(sqlite_url(Path(path)))
    database.migrate("things", ONE)
    if task == "write":
        pid = os.fork()
        add(database, "parent" if pid else "child")
        database.close()
        if pid == 0:
            os._exit(0)
    else:
        with database.transaction() as connection:
            connection.execute(insert(THING), {"name": "parent"})
            pid = os.fork()
            if pid == 0:
                try:
                    add(database, "child")
                except UsageError as error:
                    os._exit(0 if error.code == "forked-in-use" else 1)
                os._exit(2)
            assert os.waitpid(pid, 0)[1] == 0
        return
    assert os.waitpid(pid, 0)[1] == 0
