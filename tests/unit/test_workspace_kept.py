"""A workspace that lost its database, that lies where nothing may be written, that was closed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import whence
from whence.cli.app import main
from whence.metadata import Artifact, Change, Put

BEGIN = "import sys, whence\nwith whence.connect(sys.argv[1]) as ws: ws.table('t').append([{'a': 1}])\n"


def begun(folder: Path) -> None:
    with whence.connect(folder) as ws:
        ws.table("flights").append([{"flight": 1}])
        ws.graph.add("Dataset", "raw", kind="artifact")


@pytest.mark.parametrize("without", [(), ("whence.db.lock",), ("lake", "blobs")])
def test_an_emptied_database_is_not_a_new_one(tmp_path: Path, without: tuple[str, ...]) -> None:
    begun(tmp_path)
    for name in without:
        place = tmp_path / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    os.truncate(tmp_path / "whence.db", 0)
    for read_only in (False, True, False):
        with pytest.raises(whence.IntegrityError, match="has lost all it held") as caught:
            _ = whence.connect(tmp_path, read_only=read_only).store
        assert caught.value.code == "store-corrupt"
        assert "restore a copy; or remove whence.db" in (caught.value.hint or "")
    assert (tmp_path / "whence.db").stat().st_size == 0


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_database_that_is_gone_is_not_begun_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, elsewhere: bool
) -> None:
    folder, rows = tmp_path / "ws", tmp_path / "rows"
    assert main(["init", str(folder)]) == 0
    lake = f"file:{rows}" if elsewhere else None
    with whence.connect(folder, lake_url=lake) as ws:
        ws.table("flights").append([{"flight": 1}])
        ws.graph.mark("table:flights@0", "swapped", onward=True)
    (folder / "whence.db").rename(tmp_path / "copy")
    for read_only in (False, True, False):
        with pytest.raises(whence.IntegrityError, match="has lost all it held: the file is gone") as caught:
            _ = whence.connect(folder, read_only=read_only, lake_url=lake).store
        assert caught.value.code == "store-corrupt"
        assert caught.value.hint == (
            "restore a copy; or remove whence.db.lock, to begin anew without what was known"
        )
    assert not (folder / "whence.db").exists()
    if not elsewhere:
        capsys.readouterr()
        assert main(["-w", str(folder), "doctor"]) == 3
        assert "has lost all it held: the file is gone" in capsys.readouterr().out
    shutil.copy(tmp_path / "copy", folder / "whence.db")  # one way out
    with whence.connect(folder, lake_url=lake) as ws:
        assert ws.graph.tainted("table:flights@0")
    for file in folder.glob("whence.db*"):  # the other
        file.unlink()
    with whence.connect(folder, lake_url=lake) as ws:
        assert ws.table("flights").arrow().num_rows == 1
        assert not ws.graph.tainted("table:flights@0")


def test_the_way_out_of_an_emptied_database(tmp_path: Path) -> None:
    begun(tmp_path)
    os.truncate(tmp_path / "whence.db", 0)
    with pytest.raises(whence.IntegrityError, match="the file is empty") as caught:
        whence.connect(tmp_path)
    assert "remove whence.db and whence.db.lock, to begin anew" in (caught.value.hint or "")
    (tmp_path / "whence.db").unlink()
    with pytest.raises(whence.IntegrityError, match="the file is gone"):
        whence.connect(tmp_path)
    (tmp_path / "whence.db.lock").unlink()
    with pytest.raises(whence.UsageError, match=r"holds no whence\.toml"):  # of its marks none is left
        whence.connect(tmp_path)
    (tmp_path / "whence.toml").touch()
    with whence.connect(tmp_path) as ws:
        assert ws.table("flights").arrow().num_rows == 1


@pytest.mark.parametrize("point", ["database.file.begun", "database.file.taken", "database.file.made"])
def test_a_first_opening_over_tables_that_died_is_begun_again(tmp_path: Path, point: str) -> None:
    folder = tmp_path / "ws"
    begun(tmp_path / "old")
    folder.mkdir()
    (folder / "whence.toml").touch()
    shutil.copytree(tmp_path / "old" / "lake", folder / "lake")
    done = subprocess.run(
        [sys.executable, "-c", BEGIN, str(folder)], env={**os.environ, "WHENCE_CRASH_AT": point}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    with whence.connect(folder) as ws:
        assert ws.table("flights").arrow().num_rows == 1
    assert not (folder / "whence.db.new").exists()


@pytest.mark.parametrize(
    "point",
    [
        "database.file.begun",
        "database.file.taken",
        "database.file.made",
        "database.migrate.taken",
        "metadata.intent.before",
    ],
)
def test_a_first_opening_that_died_is_begun_again(tmp_path: Path, point: str) -> None:
    folder = tmp_path / "ws"
    done = subprocess.run(
        [sys.executable, "-c", BEGIN, str(folder)], env={**os.environ, "WHENCE_CRASH_AT": point}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    with whence.connect(folder) as ws:
        ws.table("t").append([{"a": 1}])
        assert ws.table("t").arrow().num_rows == 1


def test_a_first_opening_that_dies_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(int.from_bytes(os.urandom(4)))
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", BEGIN, str(tmp_path / "whole")], check=True)
    whole_s = time.monotonic() - began
    for n in range(4):
        folder = tmp_path / str(n)
        process = subprocess.Popen([sys.executable, "-c", BEGIN, str(folder)])
        try:
            process.wait(whole_s * chance.uniform(0.4, 1.0))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        with whence.connect(folder) as ws:
            ws.table("t").append([{"a": 1}])


# to look

LOOK = """
import sys, whence
try:
    whence.connect(sys.argv[1])
except whence.BackendError as error:
    print(error.code)
with whence.connect(sys.argv[1], read_only=True) as ws:
    print(ws.graph.node("raw").name, ws.table("flights").arrow().to_pylist())
    print(ws.sql("SELECT count(*) AS n FROM graph.artifacts WHERE name = 'raw'").to_pylist(), ws.runs.search())
    print(ws.trace("table:flights@0").ref, len(list(ws.graph.down("raw").down(ws.graph.node("raw").uid))))
    for write in (
        lambda: ws.graph.add("Dataset", "more"),
        lambda: ws.table("flights").append([{"flight": 2}]),
        lambda: ws.store.put_type(whence.metadata.Type("artifact", "New")),
    ):
        try:
            write()
        except whence.DeniedError as error:
            print(error.code)
from whence.cli.app import main
print("doctor", main(["--read-only", "-w", sys.argv[1], "doctor"]), main(["-w", sys.argv[1], "doctor"]))
print(main(["--read-only", "-w", sys.argv[1], "nodes", "--type", "Dataset", "--json"]))
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="mounting for reading needs unshare")
def test_a_workspace_where_nothing_may_be_written(tmp_path: Path) -> None:
    begun(tmp_path)
    before = sorted(p for p in tmp_path.rglob("*"))
    mount = f"mount --bind '{tmp_path}' '{tmp_path}' && mount -o remount,ro,bind '{tmp_path}' && exec \"$0\" \"$@\""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, sys.executable, "-c", LOOK, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    lines = done.stdout.splitlines()
    assert lines[:7] == [
        "store-unavailable",
        "raw [{'flight': 1}]",
        "[{'n': 1}] []",
        "table:flights@0 1",
        "read-only",
        "read-only",
        "read-only",
    ], done.stderr
    assert "doctor 0 3" in lines  # without --read-only: nothing can be written
    assert done.stdout.count("tables at version") == 2
    assert done.stdout.count("nothing is marked bad") == 2
    assert '"raw"' in done.stdout
    assert lines[-1] == "0"
    assert sorted(p for p in tmp_path.rglob("*")) == before


def test_who_only_looks_makes_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(whence.BackendError, match="there is no database") as caught:
        _ = whence.connect(tmp_path, read_only=True).store
    assert caught.value.code == "store-unavailable"
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_looks_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun(tmp_path)
    assert main(["--read-only", "-w", str(tmp_path), "mark", "add", "raw", "--reason", "bad"]) == 2
    assert "read-only" in capsys.readouterr().err


# closed


@pytest.mark.parametrize("url", [None, "memory://"])
def test_a_closed_workspace_writes_nothing(tmp_path: Path, url: str | None) -> None:
    ws = whence.connect(tmp_path, metadata_url=url)
    graph, flights = ws.graph, ws.table("flights")
    flights.append([{"flight": 1}])
    raw = graph.add("Dataset", "raw", kind="artifact")
    team = graph.in_namespace("team", create=True)
    ws.close()
    ws.close()
    writes: list[Callable[[], object]] = [
        lambda: graph.add("Dataset", "more"),
        lambda: graph.mark(raw, "bad"),
        lambda: graph.remove(raw),
        lambda: team.write(Change([Put(Artifact(type="Dataset", name="theirs"))])),
        lambda: graph.type("Report"),
        lambda: flights.append([{"flight": 2}]),
        lambda: ws.table("other").append([{"flight": 2}]),
        lambda: ws.runs.start("run").__enter__(),
        lambda: ws.execution("mine").__enter__(),
    ]
    for write in writes:
        with pytest.raises(whence.UsageError, match="closed") as caught:
            write()
        assert caught.value.code == "closed"
    assert [n.name for n in graph.find("artifact", "type = 'Dataset'")] == ["raw"]
    with pytest.raises(whence.UsageError, match="closed"):
        flights.arrow()


def test_a_workspace_that_was_closed_before_it_was_used(tmp_path: Path) -> None:
    begun(tmp_path)
    ws = whence.connect(tmp_path, read_only=True)
    ws.close()
    with pytest.raises(whence.UsageError, match="the workspace was closed") as caught:
        _ = ws.graph
    assert caught.value.code == "closed"
