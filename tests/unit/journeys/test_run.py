"""Whose folder it is: a demo takes its own, an empty one, or, when told to, a place beside what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from whence.cli.app import main
from whence.config import load_config
from whence.errors import UsageError
from whence.journeys.run import _claim
from whence.workspace import init


def test_force_puts_the_journey_beside_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not touch")
    _claim("flights", tmp_path, force=True)
    assert (tmp_path / "thesis.txt").read_text() == "do not touch"
    assert load_config(tmp_path).text("project") == "flights-demo"
    _claim("flights", tmp_path, force=False)  # from now on its own


def test_another_workspace_is_not_its_own(tmp_path: Path) -> None:
    file = init(tmp_path / "other", project="payroll")
    before = file.read_text()
    with pytest.raises(UsageError, match="not this journey's own") as caught:
        _claim("flights", file.parent, force=False)
    assert caught.value.code == "folder-not-own"
    _claim("flights", file.parent, force=True)
    assert file.read_text() == before


def test_the_command_ends_with_2_and_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("do not touch")
    assert main(["demo", "flights", "--dir", str(tmp_path), "--days", "1"]) == 2
    assert "pass --force to put the journey beside what is there" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
