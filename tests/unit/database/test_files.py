"""The file of a SQLite database: made whole or not at all, never begun twice, read where nothing may be written."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select

from whence.database import Database, Migration, is_sqlite, sqlite_path, sqlite_url
from whence.database.backends import sqlite_file
from whence.errors import BackendError, DeniedError, IntegrityError, UsageError

THING = Table("thing", MetaData(), Column("id", Integer, primary_key=True))


def make(connection: Connection) -> None:
    THING.create(connection)


STEPS = (Migration(1, "things", make),)


def filled(path: Path, url: str = "") -> None:
    database = Database.from_url(url or sqlite_url(path))
    database.migrate("things", STEPS)
    with database.transaction() as connection:
        connection.execute(insert(THING), [{"id": 1}])
    database.close()


def begun(path: Path, url: str) -> None:
    del path
    Database.from_url(url).migrate("things", STEPS)


def ids(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.scalars(select(THING.c.id)))


def test_what_belongs_to_a_database_is_known(tmp_path: Path) -> None:
    filled(tmp_path / "x.db")
    (tmp_path / "x.db-wal").touch()
    for name in ("x.json", "y.db-wal", "y.lock"):
        (tmp_path / name).write_text("{}")
    found = {path.name for path in tmp_path.iterdir() if is_sqlite(path)}
    assert found == {"x.db", "x.db-wal", "x.db.lock"}
    (tmp_path / "link").symlink_to("x.db")
    assert is_sqlite(tmp_path / "link")
    assert not is_sqlite(tmp_path / "absent")
    assert not is_sqlite(tmp_path)


@pytest.mark.parametrize("words", ["", "?journal=rollback"])
def test_a_file_that_was_cut_to_nothing_is_refused(tmp_path: Path, words: str) -> None:
    path = tmp_path / "x.db"
    filled(path, sqlite_url(path) + words)
    os.truncate(path, 0)
    before = sorted(p.name for p in tmp_path.iterdir())
    for _ in range(2):
        with pytest.raises(IntegrityError, match="has lost all it held: the file is empty") as caught:
            Database.from_url(sqlite_url(path) + words).migrate("things", STEPS)
        assert (caught.value.code, caught.value.hint) == (
            "store-corrupt",
            "restore a copy; or remove x.db, to begin anew without what was known",
        )
    assert path.stat().st_size == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    path.unlink()
    filled(path)  # the way out


def test_a_file_that_went_and_left_its_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    filled(path)
    open_one = sqlite3.connect(path)
    open_one.execute("INSERT INTO thing VALUES (2)")
    open_one.commit()
    shutil.copy(tmp_path / "x.db-wal", tmp_path / "log")
    open_one.close()
    path.unlink()
    shutil.copy(tmp_path / "log", tmp_path / "x.db-wal")
    with pytest.raises(IntegrityError, match="the file is gone") as caught:
        Database.from_url(sqlite_url(path)).version("things")
    assert "remove x.db-wal" in (caught.value.hint or "")


def test_an_empty_file_that_never_was_a_database_becomes_one(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch()
    filled(path)
    database = Database.from_url(sqlite_url(path))
    assert ids(database) == [1]
    database.close()


def test_a_link_to_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "x.db").symlink_to(tmp_path / "far" / "y.db")
    filled(tmp_path / "x.db")
    assert (tmp_path / "x.db").is_symlink()
    assert (tmp_path / "far" / "y.db").stat().st_size


SCRIPT = """
import sys
from pathlib import Path
from tests.unit.database.test_files import filled
filled(Path(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.parametrize("words", ["", "?journal=rollback"])
def test_whoever_dies_making_it_leaves_nothing_in_the_way(tmp_path: Path, words: str) -> None:
    path = tmp_path / "x.db"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), sqlite_url(path) + words],
        env={**os.environ, "WHENCE_CRASH_AT": sqlite_file.MADE},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    assert (tmp_path / "x.db.new").exists()
    filled(path, sqlite_url(path) + words)
    assert not (tmp_path / "x.db.new").exists()


def test_many_begin_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    script = SCRIPT.replace("filled", "begun")
    command = [sys.executable, "-c", script, str(path), sqlite_url(path)]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    database = Database.from_url(sqlite_url(path))
    assert ids(database) == []
    database.close()


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("whence._base.locks.os.open", refuse)
    with pytest.raises(BackendError, match="Permission denied") as caught:
        Database.from_url(sqlite_url(tmp_path / "x.db")).version("things")
    assert caught.value.code == "store-unavailable"


# to look


def test_who_looks_reads_beside_a_writer_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a ?#%b.db"
    filled(path)
    writer, looker = (Database.from_url(sqlite_url(path), read_only=looks) for looks in (False, True))
    assert ids(looker) == [1]
    with writer.transaction() as connection:
        connection.execute(insert(THING), [{"id": 2}])
    assert ids(looker) == [1, 2]
    for write in (looker.transaction, lambda: looker.session(write=True)):
        with pytest.raises(DeniedError, match="opened to look") as caught, write():
            pass
        assert caught.value.code == "read-only"
    with pytest.raises(BackendError, match="readonly"), looker.read() as connection:
        connection.execute(insert(THING), [{"id": 3}])
    writer.close()
    looker.close()


def test_who_looks_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="there is no database") as caught:
        Database.from_url(sqlite_url(tmp_path / "x.db"), read_only=True).version("things")
    assert caught.value.code == "store-unavailable"
    filled(tmp_path / "x.db")
    with pytest.raises(UsageError, match="no other tables to look at") as missing:
        Database.from_url(sqlite_url(tmp_path / "x.db"), read_only=True).migrate("other", STEPS)
    assert missing.value.code == "not-a-workspace"


def looked_at_where_nothing_is_written(folder: Path, words: str = "") -> str:
    """What a process says that opens x.db in a folder mounted for reading only."""
    script = (
        "import sys; from pathlib import Path\n"
        "from whence.database import Database, sqlite_url\nfrom tests.unit.database.test_files import ids\n"
        "from whence.errors import WhenceError\n"
        f"try: print(ids(Database.from_url(sqlite_url(Path({str(folder / 'x.db')!r})) + {words!r}, read_only=True)))\n"
        "except WhenceError as error: print(error)\n"
    )
    mount = (
        f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}' && exec \"$0\" -c \"$1\""
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, sys.executable, script],
        check=False,
        capture_output=True,
        text=True,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("words", ["", "?journal=rollback"])
@pytest.mark.skipif(shutil.which("unshare") is None, reason="mounting for reading needs unshare")
def test_a_database_where_nothing_may_be_written(tmp_path: Path, words: str) -> None:
    filled(tmp_path / "x.db", sqlite_url(tmp_path / "x.db") + words)
    assert looked_at_where_nothing_is_written(tmp_path, words) == "[1]"


@pytest.mark.skipif(shutil.which("unshare") is None, reason="mounting for reading needs unshare")
def test_the_log_of_who_died_where_nothing_may_be_written(tmp_path: Path) -> None:
    path, there = tmp_path / "x.db", tmp_path / "there"
    filled(path)
    database = Database.from_url(sqlite_url(path))
    with database.transaction() as connection:
        connection.execute(insert(THING), [{"id": 2}])
    there.mkdir()
    for name in ("x.db", "x.db-wal", "x.db-shm"):
        shutil.copy(tmp_path / name, there / name)
    database.close()
    assert looked_at_where_nothing_is_written(there) == "[1, 2]"
    (there / "x.db-shm").unlink()
    assert "has a log beside it that its last writer left" in looked_at_where_nothing_is_written(there)


# closed


def test_what_is_closed_for_good_is_not_written(tmp_path: Path) -> None:
    filled(tmp_path / "x.db")
    database = Database.from_url(sqlite_url(tmp_path / "x.db"))
    database.close()
    with database.session(write=True) as session:
        session.run("INSERT INTO thing VALUES (2)")
    database.close(for_good=True)
    database.close()
    for write in (database.transaction, lambda: database.session(write=True)):
        with pytest.raises(UsageError, match="nothing is written into it any more") as caught, write():
            pass
        assert caught.value.code == "closed"
    assert ids(database) == [1, 2]
    database.close()


def test_the_file_of_a_url() -> None:
    assert sqlite_path("sqlite:////a/b.db") == Path("/a/b.db")
    assert sqlite_path("sqlite://") is None
    assert sqlite_path("postgresql://db/x") is None


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("sqlite:///x.db?jurnal=wal", ["journal"]),
        ("sqlite:///x.db?journal=wal&foo=1", []),
        ("sqlite:///x.db?mode=ro", []),
        ("postgresql://db/x?shema=a", ["schema"]),
        ("postgresql://db/x?sslmod=require", ["sslmode"]),
        ("mysql://db/x?ssl_cs=/c", ["ssl_ca"]),
        ("mariadb://db/x?foo=1", []),
    ],
)
def test_a_setting_that_a_url_has_not_is_refused(url: str, near: list[str]) -> None:
    with pytest.raises(UsageError, match="URL has no setting") as caught:
        Database.from_url(url)
    assert caught.value.code == "bad-url"
    assert caught.value.near[: len(near)] == near
    if url.startswith("sqlite"):
        assert caught.value.hint == "it has journal, synchronous"
