"""The turn to write: it is passed on in order, given back by the dead, and never a reason to fail."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from whence.database import Database, sqlite_url
from whence.database.backends import sqlite
from whence.database.turn import Turn
from whence.errors import BackendError, WhenceError

# Prints what it has done; stops where it is told to until it hears something.
CHILD: Final = """
import sys
from pathlib import Path
from whence.database import Database, sqlite_url
from whence.database.turn import Turn

path, what = Path(sys.argv[1]), sys.argv[2]
if what == "turn":
    turn = Turn(path.with_name(path.name + ".lock"))
    print("waits", flush=True)
    turn.take(60)
    print("has it", flush=True)
    sys.stdin.readline()
    with open(path.with_name("order"), "a") as order:
        order.write("child\\n")
    turn.give()
else:
    with Database.from_url(sqlite_url(path)).session(write=True) as session:
        session.run("INSERT INTO thing VALUES ('child')")
        print("writes", flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.db"
    with opened(path) as database, database.session(write=True) as session:
        session.run("CREATE TABLE thing (name)")
    return path


@contextmanager
def opened(path: Path, *, busy_timeout_s: float = 30.0) -> Iterator[Database]:
    database = Database.from_url(sqlite_url(path), busy_timeout_s=busy_timeout_s)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def child(path: Path, what: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", CHILD, str(path), what]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    try:
        assert said(process) in ("writes", "waits")
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 60)[0], "the child says nothing"
    return process.stdout.readline().decode().strip()


def tell(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"go\n")


def add(database: Database, name: str) -> None:
    with database.session(write=True) as session:
        session.run("INSERT INTO thing VALUES (?)", (name,))


def names(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    found = [name for (name,) in connection.execute("SELECT name FROM thing ORDER BY rowid")]
    connection.close()
    return found


def lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def test_a_killed_writer_gives_the_turn_back(path: Path) -> None:
    with child(path, "write") as process, opened(path) as database:
        process.kill()
        process.wait()
        add(database, "next")
    assert names(path) == ["next"]


def test_a_stopped_writer_is_waited_for_and_then_named(path: Path) -> None:
    with child(path, "write") as process, opened(path, busy_timeout_s=0.7) as database:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        with pytest.raises(BackendError) as caught:
            add(database, "hasty")
        assert (caught.value.code, caught.value.retryable) == ("store-locked", True)
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        process.send_signal(signal.SIGCONT)
        tell(process)
        process.wait()
        add(database, "next")
        with database.session() as session:
            assert session.rows("PRAGMA busy_timeout") == [(700,)]
    assert names(path) == ["child", "next"]


def test_who_holds_the_turn_and_does_not_write_is_passed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE_S", 0.01)
    with child(path, "turn") as process, opened(path) as database:
        assert said(process) == "has it"
        add(database, "first")
        with database.transaction() as connection:
            connection.exec_driver_sql("INSERT INTO thing VALUES ('second')")
    assert names(path) == ["first", "second"]


def test_a_long_transaction_is_waited_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE_S", 0.01)
    looked = threading.Semaphore(0)
    take = Turn.take

    def counted(turn: Turn, timeout_s: float) -> bool:
        looked.release()
        return take(turn, timeout_s)

    with opened(path) as database, opened(path) as other:
        with database.session(write=True):
            monkeypatch.setattr(Turn, "take", counted)
            writer = threading.Thread(target=add, args=(other, "waited"))
            writer.start()
            for _ in range(3):
                assert looked.acquire(timeout=60)
        writer.join()
    assert names(path) == ["waited"]


def test_who_has_waited_comes_next(path: Path) -> None:
    turn = Turn(lock_of(path))
    assert turn.take(0)
    with child(path, "turn") as process:
        probe = os.open(lock_of(path), os.O_RDWR)
        looks = 0
        while looks < 20:  # a single look may meet one of the child's own
            time.sleep(1e-3)
            looks = 0 if _is_free(probe) else looks + 1
        turn.give()
        tell(process)  # it writes only once it has the turn
        assert turn.take(60)
        with path.with_name("order").open("a") as order:
            order.write("parent\n")
        turn.give()
    assert path.with_name("order").read_text() == "child\nparent\n"
    turn.close()
    os.close(probe)


def _is_free(fd: int) -> bool:
    """Whether nobody of another process comes next."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
    except OSError:
        return False
    fcntl.lockf(fd, fcntl.LOCK_UN, 1)
    return True


def test_without_a_lock_file_writers_wait_for_sqlite(path: Path) -> None:
    lock_of(path).unlink()
    lock_of(path).mkdir()  # whoever runs the tests cannot open it
    with opened(path, busy_timeout_s=0.05) as one, opened(path, busy_timeout_s=0.05) as other:
        with one.session(write=True), pytest.raises(BackendError, match="locked by another process"):
            add(other, "b")
        add(other, "a")
    assert names(path) == ["a"]


def test_a_file_system_without_locks_has_no_turns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    for name in ("flock", "lockf"):
        with monkeypatch.context() as patch:
            patch.setattr(f"whence.database.turn.fcntl.{name}", refuse)
            with opened(path) as database:
                add(database, name)
                add(database, name)
    assert names(path) == ["flock", "flock", "lockf", "lockf"]


def test_nothing_is_left_but_the_lock_file(path: Path) -> None:
    with opened(path) as database:
        add(database, "a")
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.db", "x.db.lock"]
    assert lock_of(path).stat().st_size == 0


def test_a_link_to_a_database_shares_its_turn(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "other" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    with opened(link) as database:
        add(database, "a")
    assert [p.name for p in link.parent.iterdir()] == ["link.db"]


def test_two_databases_in_both_orders_end(tmp_path: Path, path: Path) -> None:
    second = tmp_path / "y.db"
    with opened(second) as database, database.session(write=True) as session:
        session.run("CREATE TABLE thing (name)")
    both = threading.Barrier(2)
    told: list[str] = []

    def work(first: Path, then: Path) -> None:
        with (
            opened(first, busy_timeout_s=0.2) as outer,
            opened(then, busy_timeout_s=0.2) as inner,
            outer.session(write=True) as session,
        ):
            session.run("INSERT INTO thing VALUES ('outer')")
            both.wait(60)
            try:
                add(inner, "inner")
            except WhenceError as error:
                told.append(error.code)

    threads = [threading.Thread(target=work, args=pair) for pair in ((path, second), (second, path))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert set(told) == {"store-locked"}
    assert sorted([*names(path), *names(second)]) == ["inner"] * (2 - len(told)) + ["outer"] * 2


def test_closing_does_not_take_the_turn_from_who_writes(path: Path) -> None:
    with opened(path) as database, opened(path, busy_timeout_s=0.05) as other:
        with database.session(write=True) as session:
            database.close()
            session.run("INSERT INTO thing VALUES ('a')")
            assert not Turn(lock_of(path)).take(0.01)
            with pytest.raises(BackendError):
                add(other, "b")
        add(other, "b")
    assert names(path) == ["a", "b"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_while_another_thread_writes(path: Path) -> None:
    """In a fresh process: pytest's own may have threads, which must not be forked."""
    forked = multiprocessing.get_context("spawn").Process(target=_fork, args=(str(path),))
    forked.start()
    forked.join(60)
    assert forked.exitcode == 0
    assert names(path) == ["thread", "parent"]


def _fork(name: str) -> None:
    path = Path(name)
    database = Database.from_url(sqlite_url(path))
    began, go = threading.Event(), threading.Event()

    def write() -> None:
        with database.session(write=True) as session:
            session.run("INSERT INTO thing VALUES ('thread')")
            began.set()
            go.wait(60)

    thread = threading.Thread(target=write)
    thread.start()
    assert began.wait(60)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(reading, 1)  # it lives on with what it has inherited
        os._exit(0)
    assert not Turn(lock_of(path)).take(0.01), "the child's end of it has given the turn away"
    go.set()
    thread.join()
    add(database, "parent")
    assert Turn(lock_of(path)).take(0), "the child has kept the turn"
    os.write(writing, b"!")
    os.waitpid(pid, 0)
    database.close()


def test_processes_and_threads_lose_nothing(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_many, args=(str(path), who)) for who in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    found = names(path)
    assert len(found) == len(set(found)) == 3 * 2 * 30


def _write_many(name: str, who: int) -> None:
    with opened(Path(name)) as database:
        failed: list[BaseException] = []

        def work(thread: int) -> None:
            try:
                for i in range(30):
                    add(database, f"{who}-{thread}-{i}")
            except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
                failed.append(error)

        threads: Sequence[threading.Thread] = [threading.Thread(target=work, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed, failed
