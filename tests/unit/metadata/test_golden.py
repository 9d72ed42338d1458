"""Databases that older layouts left behind: refused, brought up whole, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden.metadata.make import HERE, answers, dump, layout, more_answers, restore, write_world
from whence.database import Database, sqlite_url
from whence.errors import ConflictError
from whence.metadata import Artifact, Change, Put, open_store

NEWEST = 2
SYSTEMS = ("sqlite", "postgresql", "mariadb")
OLD = [(system, folder.name) for system in SYSTEMS for folder in sorted((HERE / system).glob("v*"))]


@pytest.fixture
def url(system: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of a system."""
    if system == "sqlite":
        return sqlite_url(tmp_path / "whence.db")
    found: str = request.getfixturevalue({"postgresql": "postgres_url", "mariadb": "mariadb_url"}[system])
    return found


def told(folder: Path) -> object:
    """What the graph of a folder answered when it was written."""
    return json.loads((folder / "graph.json").read_text())


def fill(url: str, folder: Path) -> None:
    """Make the database that a folder describes."""
    database = Database.from_url(url)
    with database.transaction(tables=True) as connection:
        restore(connection, folder)
    database.close()


def bytes_of(url: str) -> list[str]:
    """Everything in a database: its layout and its rows."""
    database = Database.from_url(url)
    with database.read() as connection:
        found = [*layout(connection), *dump(connection)]
    database.close()
    return found


@pytest.mark.parametrize(("system", "version"), OLD)
def test_an_old_graph_is_refused_and_brought_up_when_asked(url: str, system: str, version: str) -> None:
    folder = HERE / system / version
    fill(url, folder)
    number = int(version[1:])
    if number < NEWEST:
        before = bytes_of(url)
        with pytest.raises(ConflictError) as caught:
            open_store(url)
        assert caught.value.code == "workspace-older"
        assert "whence migrate" in str(caught.value)
        assert bytes_of(url) == before
    store = open_store(url, upgrade=True)
    try:
        assert store.schema_version() == NEWEST
        found = answers(store) if number == 1 else {**answers(store), **more_answers(store)}
        assert json.loads(json.dumps(found)) == told(folder)
        ids = [node.id for node in store.find_nodes("artifact").nodes]
        # 4n + 1 for the first, second and third node that was ever written.
        assert ids[:3] == [5, 9, 13]
        new = Artifact(type="Table", name="new@1")
        written = store.write(Change([Put(new)])).nodes[new.uid]
        assert written.id == 4 * (8 if number == 1 else 12) + 1, "ids go on"
        assert store.list_events(artifacts=["not a ulid"])[0].kind == "INTERNAL_INPUT"
    finally:
        store.close()
    open_store(url).close()


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_released_layout_does_not_change(url: str, system: str) -> None:
    """Databases with it exist: change it by a migration, and give that a folder of its own."""
    open_store(url).close()
    database = Database.from_url(url)
    with database.read() as connection:
        now = layout(connection)
    database.close()
    written = (HERE / system / f"v{NEWEST}" / "layout.sql").read_text()
    assert ";\n\n".join(now) + ";\n" == written


@pytest.mark.parametrize("system", ["sqlite"])
def test_a_fresh_layout_is_that_of_a_migration(url: str, system: str, tmp_path: Path) -> None:
    fill(url, HERE / system / "v1")
    open_store(url, upgrade=True).close()
    fresh = sqlite_url(tmp_path / "fresh.db")
    store = open_store(fresh)
    write_world(store)
    store.close()
    up, new = ([line for line in bytes_of(u) if line.startswith("CREATE")] for u in (url, fresh))
    assert sorted(up) == sorted(new)


@pytest.mark.parametrize("point", ["metadata.migrate.copied", "database.migrate.taken"])
def test_a_killed_migration_leaves_the_old_graph(tmp_path: Path, point: str) -> None:
    url = sqlite_url(tmp_path / "whence.db")
    fill(url, HERE / "sqlite" / "v1")
    before = bytes_of(url)
    program = f"from whence.metadata import open_store; open_store({url!r}, upgrade=True)"
    environment = {**os.environ, "WHENCE_CRASH_AT": point}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    killed = subprocess.run([sys.executable, "-c", program], env=environment, check=False, timeout=120)
    assert killed.returncode != 0
    assert bytes_of(url) == before
    store = open_store(url, upgrade=True)
    assert json.loads(json.dumps(answers(store))) == told(HERE / "sqlite" / "v1")
    store.close()
