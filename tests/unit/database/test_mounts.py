"""SQLite on a network file system: refused, or one process at a time."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from whence.database import Database, mounts, sqlite_url
from whence.database.mounts import Mount, find_mount
from whence.errors import BackendError, UnsupportedError, UsageError

LOCAL = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"


def line(point: Path | str, kind: str) -> str:
    return f"30 22 0:40 / {str(point).replace(' ', chr(92) + '040')} rw shared:9 master:2 - {kind} server:/x rw,addr=1"


@pytest.fixture
def mountinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text(LOCAL + "\n")
    monkeypatch.setattr(mounts, "MOUNTINFO", file)
    return file


def test_the_longest_point_is_where_a_path_lies(tmp_path: Path, mountinfo: Path) -> None:
    share = tmp_path / "a share"
    mountinfo.write_text(
        "\n".join([LOCAL, line(share, "nfs4"), line(share / "local", "xfs"), "nonsense", ""])
    )
    assert find_mount(tmp_path) == Mount(Path("/"), "ext4")
    assert find_mount(share / "absent" / "x.db") == Mount(share, "nfs4")
    assert find_mount(share / "local" / "x.db") == Mount(share / "local", "xfs")
    assert find_mount(tmp_path / "a share too") == Mount(Path("/"), "ext4")
    mountinfo.write_text("\n".join([LOCAL, line(share, "nfs4"), line(share, "ext4")]))
    assert find_mount(share) == Mount(share, "ext4")


def test_a_link_lies_where_it_leads(tmp_path: Path, mountinfo: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    (tmp_path / "link").symlink_to(share)
    mountinfo.write_text("\n".join([LOCAL, line(share, "cifs")]))
    found = find_mount(tmp_path / "link" / "x.db")
    assert found is not None
    assert found.is_network


def test_a_system_that_does_not_tell(tmp_path: Path) -> None:
    assert find_mount(tmp_path, mountinfo=tmp_path / "absent") is None


@pytest.mark.parametrize("kind", sorted(mounts.NETWORK))
def test_a_network_file_system_is_refused(tmp_path: Path, mountinfo: Path, kind: str) -> None:
    mountinfo.write_text("\n".join([LOCAL, line(tmp_path, kind)]))
    with pytest.raises(UnsupportedError) as caught:
        Database.from_url(sqlite_url(tmp_path / "x.db"))
    assert caught.value.code == "network-file-system"
    assert "?journal=rollback" in (caught.value.hint or "")
    assert caught.value.details == {"kind": kind, "mount": str(tmp_path)}
    assert list(tmp_path.iterdir()) == [mountinfo]


@pytest.mark.parametrize("kind", ["ext4", "overlay", "tmpfs", "btrfs", "fuse.unknown"])
def test_a_local_file_system_is_not(tmp_path: Path, mountinfo: Path, kind: str) -> None:
    mountinfo.write_text("\n".join([LOCAL, line(tmp_path, kind)]))
    Database.from_url(sqlite_url(tmp_path / "x.db")).close()


def shared(tmp_path: Path, *, busy_timeout_s: float = 30.0) -> Database:
    return Database.from_url(
        sqlite_url(tmp_path / "x.db") + "?journal=rollback", busy_timeout_s=busy_timeout_s
    )


def test_with_a_rollback_journal_one_process_has_it(tmp_path: Path, mountinfo: Path) -> None:
    mountinfo.write_text("\n".join([LOCAL, line(tmp_path, "nfs")]))
    database = shared(tmp_path)
    with database.session(write=True) as session:
        session.run("CREATE TABLE t (a)")
        session.run("INSERT INTO t VALUES (1)")
    with database.read() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "locking_mode", "synchronous")
        ]
    assert pragmas == ["delete", "exclusive", 3]
    assert sorted(p.name for p in tmp_path.iterdir() if "wal" in p.name or "shm" in p.name) == []
    other = (
        "from pathlib import Path\nfrom whence.database import Database, sqlite_url\n"
        "from whence.errors import BackendError\n"
        f"database = Database.from_url(sqlite_url(Path({str(tmp_path / 'x.db')!r})) + '?journal=rollback', "
        "busy_timeout_s=0.05)\n"
        "try:\n    database.version('x')\nexcept BackendError as error:\n"
        "    print(error.code, error.retryable, 'one process has it at a time' in error.message)\n"
        "else:\n    print('opened')\n"
    )

    def ask() -> str:
        done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert ask() == "store-locked True True"
    database.close()
    assert ask() == "opened"
    with closing(sqlite3.connect(tmp_path / "x.db")) as driver:
        assert driver.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_threads_of_one_process_wait_for_the_one_connection(tmp_path: Path) -> None:
    database = shared(tmp_path)
    with database.session(write=True) as session:
        session.run("CREATE TABLE t (a)")
    failures: list[BaseException] = []

    def work(who: int) -> None:
        try:
            for n in range(10):
                with database.session(write=True) as session:
                    session.run("INSERT INTO t VALUES (?)", (10 * who + n,))
                with database.read() as connection:
                    connection.exec_driver_sql("SELECT count(*) FROM t").scalar()
        except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.session() as session:
        assert session.rows("SELECT count(DISTINCT a) FROM t") == [(40,)]
    database.close()
    hasty = shared(tmp_path, busy_timeout_s=0.05)
    with hasty.session(), pytest.raises(BackendError) as caught, hasty.read():
        pytest.fail("a second connection")
    assert (caught.value.code, caught.value.retryable) == ("store-locked", True)
    hasty.close()


def test_a_log_that_is_there_is_folded_in_first(tmp_path: Path) -> None:
    database = Database.from_url(sqlite_url(tmp_path / "x.db"))
    with database.session(write=True) as session:
        session.run("CREATE TABLE t (a)")
        session.run("INSERT INTO t VALUES (7)")
    database.close()
    moved = shared(tmp_path)
    with moved.session() as session:
        assert session.rows("SELECT a FROM t") == [(7,)]
        assert session.rows("PRAGMA journal_mode") == [("delete",)]
    moved.close()


def test_the_setting_is_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="journal must be one of wal, rollback") as caught:
        Database.from_url(sqlite_url(tmp_path / "x.db") + "?journal=none")
    assert caught.value.code == "bad-url"
