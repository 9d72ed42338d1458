"""In a replay an alias moves at a moment of the replay: the page, its twin and the command show it beside the wall's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

import whence as w
from tests.unit.server.ui.site import Site
from whence._base.clock import ReplayClock
from whence.cli import main

MAY = datetime(2013, 5, 1, 6, tzinfo=UTC)
JUNE = MAY + timedelta(days=31)


def promote(ws: w.Workspace, reason: str) -> None:
    version = ws.models.register("late", LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    ws.models.set_alias("late", "champion", version.version, reason=reason)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moments") / "late.whence"
    clock = ReplayClock(MAY)
    with w.connect(folder, clock=clock) as ws:
        promote(ws, "first")
        clock.advance_to(JUNE)
        promote(ws, "better")
        ws.models.rollback("late", "champion", reason="worse")
    with w.connect(folder) as ws:
        ws.models.set_alias("late", "champion", 2, reason="by hand")
    return folder


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    with w.connect(folder, read_only=True) as ws:
        yield Site(ws)


def test_the_history_has_both(site: Site) -> None:
    moves = site.ws.models.alias_history("late", "champion")
    assert [(m.reason, m.moment) for m in moves] == [
        ("first", MAY),
        ("better", JUNE),
        ("rolled back from version 2: worse", JUNE),
        ("by hand", None),
    ]
    assert all(m.at is not None and m.at.year > 2013 for m in moves)


def test_the_page_shows_the_moment_of_the_replay_first(site: Site) -> None:
    moves = site.data("/models/late.json")["moves"]
    assert [m["moment"] for m in moves] == [None, JUNE.isoformat(), JUNE.isoformat(), MAY.isoformat()]
    assert all(not m["at"].startswith("2013") for m in moves)
    page = site.ask("/models/late").text
    assert page.count("by the clock of the replay; done") == 3
    assert page.count('<span class="when"><time datetime="2013-') == 3
    site.page("/models/late")


def test_the_command_has_a_column_for_it_where_there_is_one(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["models", "history", "late", "--json", "-w", str(folder)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["moment"] for row in rows] == [MAY.isoformat(), JUNE.isoformat(), JUNE.isoformat(), None]
    assert main(["models", "history", "late", "-w", str(folder)]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["alias", "from", "to", "at", "moment", "reason", "execution"]
    assert any("2013-05-01" in line for line in lines)
    with w.connect(tmp_path / "now.whence") as ws:
        promote(ws, "first")
    assert main(["models", "history", "late", "-w", str(tmp_path / "now.whence")]) == 0
    assert "moment" not in capsys.readouterr().out.splitlines()[0]
