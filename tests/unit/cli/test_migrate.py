"""``whence migrate``: nothing changes unasked; asked, a copy is made first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

import whence as w
import whence.metadata.open as graph
import whence.tracking.open as tracking
from whence._base.locks import Life
from whence.cli import main
from whence.database import Component, Database, Migration, sqlite_url


def _note(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE tracking_note (id INTEGER PRIMARY KEY)"))


def _later(component: Component) -> Component:
    step = Migration(component.newest + 1, "notes", _note)
    return Component(component.name, (*component.migrations, step))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace that this whence wrote."""
    folder = tmp_path / "a.whence"
    with w.connect(folder) as ws, ws.runs.start(name="first"):
        pass
    return folder


@pytest.fixture
def later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Component:
    """A whence whose metric store has one step more."""
    monkeypatch.setattr(graph, "TABLES", Component("metadata", graph.TABLES.migrations))
    monkeypatch.setattr(tracking, "TABLES", _later(tracking.TABLES))
    return tracking.TABLES


def tables(file: Path) -> tuple[int, bool]:
    """The version of the metric store, and whether the newer table is there."""
    database = Database.from_url(sqlite_url(file))
    with database.session() as session:
        found = session.rows("SELECT name FROM sqlite_master WHERE name = 'tracking_note'")
    version = database.version("tracking")
    database.close()
    return version, bool(found)


def ask(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> Any:
    assert main([*argv, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_workspace_of_today_has_nothing_to_migrate(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = ask(capsys, "migrate", "-w", str(folder))
    assert (found["migrated"], found["backup"]) == (False, None)
    assert [(c["component"], c["steps"]) for c in found["components"]] == [("metadata", []), ("tracking", [])]
    assert main(["migrate", "-w", str(folder)]) == 0
    assert "nothing to migrate: metadata has version" in capsys.readouterr().out


def test_an_older_workspace_is_brought_up_after_a_copy(
    folder: Path, later: Component, capsys: pytest.CaptureFixture[str]
) -> None:
    old = later.newest - 1
    dry = ask(capsys, "migrate", "-w", str(folder), "--dry-run")
    assert (dry["migrated"], dry["components"][1]["steps"]) == (False, ["notes"])
    assert tables(folder / "whence.db") == (old, False)
    assert main(["migrate", "-w", str(folder), "--dry-run"]) == 0
    assert f"tracking would go from version {old} to {old + 1}:" in capsys.readouterr().out

    assert main(["migrate", "-w", str(folder)]) == 0
    copy = folder / f"whence.db.v{old}"
    said = capsys.readouterr().out
    assert said.splitlines() == [
        f"copied to {copy}",
        f"tracking went from version {old} to {old + 1}:",
        f"  {old + 1} notes",
    ]
    assert tables(folder / "whence.db") == (old + 1, True)
    assert tables(copy) == (old, False)
    assert ask(capsys, "migrate", "-w", str(folder))["migrated"] is False


def test_the_copy_may_be_named_or_left_out(
    folder: Path, later: Component, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = tmp_path / "copy.db"
    named.write_text("something of somebody")
    refused = ask(capsys, "migrate", "-w", str(folder), "--backup", str(named), code=3)
    assert refused["error"]["code"] == "backup-exists"
    assert tables(folder / "whence.db")[1] is False
    assert named.read_text() == "something of somebody"
    both = ask(capsys, "migrate", "-w", str(folder), "--backup", str(named), "--no-backup", code=2)
    assert both["error"]["code"] == "bad-command"
    done = ask(capsys, "migrate", "-w", str(folder), "--no-backup")
    assert (done["migrated"], done["backup"]) == (True, None)
    assert sorted(p.name for p in folder.glob("whence.db.v*")) == []


def test_a_workspace_in_use_is_left_alone(
    folder: Path, later: Component, capsys: pytest.CaptureFixture[str]
) -> None:
    life = Life(folder / "locks")
    refused = ask(capsys, "migrate", "-w", str(folder), code=3)
    assert refused["error"]["code"] == "workspace-in-use"
    assert tables(folder / "whence.db")[1] is False
    life.close()
    assert ask(capsys, "migrate", "-w", str(folder))["migrated"] is True


def test_there_must_be_something(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(capsys, "migrate", "-w", str(tmp_path), code=2)["error"]["code"] == "workspace-not-found"
    (tmp_path / "whence.toml").write_text('[metadata]\nurl = "memory://"\n')
    assert ask(capsys, "migrate", "-w", str(tmp_path), code=2)["error"]["code"] == "bad-command"
    assert not (tmp_path / "whence.db").exists()


def test_a_newer_workspace_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "TABLES", Component("tracking", ()))
    refused = ask(capsys, "migrate", "-w", str(folder), code=3)
    assert refused["error"]["code"] == "workspace-newer"
