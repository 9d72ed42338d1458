from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

import whence
from whence import doctor
from whence._base.locks import Life
from whence.config import load_config
from whence.doctor import Check, examine
from whence.metadata.beats import DatabaseLife
from whence.serving.requestlog import MAGIC, frame, seal_of


def found(target: Path) -> dict[str, Check]:
    return {c.name: c for c in examine(target)}


def test_a_sound_workspace_has_nothing_to_do(workspace: whence.Workspace) -> None:
    workspace.table("flights").append([{"n": 1}])
    checks = found(workspace.folder)
    assert {c.status for c in checks.values()} == {"ok"}
    assert checks["lake"].found == "file:./lake, 1 tables"
    assert checks["compute"].found == "duckdb says 1 + 1 = 2"
    assert [c.remedy for c in checks.values() if c.remedy and not c.name.startswith("extra")] == []


def test_a_missing_or_old_package_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = importlib.metadata.version

    def pretend(name: str) -> str:
        if name == "skops":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.9.9" if name == "duckdb" else version(name)

    monkeypatch.setattr(importlib.metadata, "version", pretend)
    checks = {c.name: c for c in examine(Path("nowhere.whence"))}
    assert (checks["skops"].status, checks["skops"].remedy) == ("fail", "pip install 'skops>=0.16'")
    assert (checks["duckdb"].status, checks["duckdb"].found) == ("fail", "1.9.9 is older than 2.0")


def test_processes_that_left_without_closing_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "SETTLED_S", -1.0)
    locks = tmp_path / "locks"
    life = Life(locks)
    (locks / "00000000000000000000000000.life").write_text("1")
    checks = found(tmp_path)
    assert checks["processes"].status == "warn"
    assert checks["processes"].found == "1 processes use the workspace, 1 ended without closing it"
    assert life.is_alive(life.uid)
    life.close()


def test_a_full_disk_and_a_damaged_graph_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024  as shutil returns it
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1 << 20))
    (tmp_path / "whence.db").write_bytes(b"this is no database" * 100)
    checks = found(tmp_path)
    assert (checks["disk"].status, checks["disk"].remedy) == ("warn", "make room before long work")
    assert checks["metadata"].status == "fail"


def test_answers_that_wait_in_the_request_log_are_looked_at(tmp_path: Path) -> None:
    with whence.connect(tmp_path / "w.whence"):
        pass
    shard = tmp_path / "w.whence" / "requests" / "late" / "01J"
    assert "requests" not in {check.name for check in examine(tmp_path / "w.whence")}
    shard.mkdir(parents=True)
    image = MAGIC + frame(b"one") + frame(b"two") + seal_of(2)
    (shard / "000000000001.log").write_bytes(image)
    [sound] = [check for check in examine(tmp_path / "w.whence") if check.name == "requests"]
    assert (sound.status, sound.found) == (
        "ok",
        "1 segments with 2 answered requests are not in their tables yet",
    )
    (shard / "000000000002.log").write_bytes(image.replace(b"two", b"tvo"))
    [broken] = [check for check in examine(tmp_path / "w.whence") if check.name == "requests"]
    assert broken.status == "fail"
    assert "late/01J/000000000002.log is not what was written, from byte" in broken.found
    assert "salvage=True" in broken.remedy


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    checks = found(tmp_path)
    assert (checks["disk"].status, checks["disk"].remedy) == ("fail", f"chmod u+w {tmp_path}")


def test_a_wrong_setting_is_reported_and_not_raised(tmp_path: Path) -> None:
    (tmp_path / "whence.toml").write_text("[lak]\nurl = 'x:'\n")
    checks = found(tmp_path)
    assert checks["workspace"].status == "fail"
    assert "which is not a setting" in checks["workspace"].found


def test_marks_in_force_are_told(workspace: whence.Workspace) -> None:
    workspace.table("flights").append([{"n": 1}])
    assert found(workspace.folder)["marks"].found == "nothing is marked bad"
    workspace.graph.mark("table:flights", "broken")
    workspace.graph.mark("table:flights", "broken again", policy="alert")
    check = found(workspace.folder)["marks"]
    assert (check.status, check.found) == ("warn", "in force: 1 alert, 1 block")
    assert "beats" not in found(workspace.folder)


def test_processes_on_other_hosts_that_stopped_are_told(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(tmp_path / "a.whence", metadata_url=postgres_url)
    with whence.connect(config) as ws:
        life = DatabaseLife(ws.store, host="far", beat_s=3600)
        life.hold()
        checks = {c.name: c for c in examine(config)}
        assert (checks["beats"].status, checks["beats"].found) == ("ok", "1 processes run executions")
        monkeypatch.setattr(doctor, "BEAT_S", -1.0)
        checks = {c.name: c for c in examine(config)}
        assert checks["beats"].found == "0 processes run executions, 1 have stopped"
        life.close()
