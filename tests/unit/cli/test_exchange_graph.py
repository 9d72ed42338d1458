"""``export`` and ``import`` of the graph from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import whence as w
from whence.cli import main

Ask: TypeAlias = Callable[..., Any]


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command with --json on a workspace of two tables, one made from the other; what it printed."""
    with w.connect(tmp_path / "ws") as ws:
        ws.table("orders").append([{"order": 1, "eur": 12.5}])
        with ws.execution("clean"):
            ws.table("clean").append(ws.sql("SELECT * FROM orders"))
        ws.table("beside").append([{"x": 1}])

    def run(*words: object, code: int = 0, folder: str = "ws") -> Any:
        assert main([*map(str, words), "-w", str(tmp_path / folder), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize("format_", ["prov", "graphml"])
def test_what_goes_out_comes_in_elsewhere(
    ask: Ask, tmp_path: Path, format_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ask("export", format_, tmp_path / "graph")
    assert (out["nodes"], out["edges"]) > (5, 5)
    assert main(["init", str(tmp_path / "other")]) == 0
    capsys.readouterr()
    done = ask("import", format_, tmp_path / "graph", folder="other")
    assert (done["nodes"], done["edges"]) == (out["nodes"], out["edges"])
    assert done["new"] > 0
    assert ask("import", format_, tmp_path / "graph", folder="other")["new"] == 0


@pytest.mark.parametrize("format_", ["prov", "graphml", "dot"])
def test_only_the_lineage_of_one_node(ask: Ask, tmp_path: Path, format_: str) -> None:
    words = ["--from", "table:clean@0", "--direction", "up"]
    piece = ask("export", format_, tmp_path / "graph", *words)
    assert piece["nodes"] < ask("export", format_, tmp_path / "whole")["nodes"]
    text = (tmp_path / "graph").read_text()
    assert "orders@0" in text
    assert "beside@0" not in text
    words += ["--max-hops", "1"]
    refused = ask("export", format_, tmp_path / "graph", *words, code=3)["error"]
    assert (refused["code"], refused["hint"]) == ("file-exists", "name another file, or --force")
    assert (tmp_path / "graph").read_text() == text
    near = ask("export", format_, tmp_path / "graph", *words, "--force")
    assert near["edges"] < piece["edges"]


def test_as_of_a_moment(ask: Ask, tmp_path: Path) -> None:
    assert ask("export", "prov", tmp_path / "graph", "--as-of", "2013-01-01T00:00:00Z")["nodes"] == 0


def test_mistakes_are_said(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "garbage").write_text("{}}")
    assert ask("import", "prov", tmp_path / "garbage", code=2)["error"]["code"] == "bad-document"
    assert ask("import", "graphml", tmp_path / "nowhere", code=2)["error"]["code"] == "file-not-found"
    assert "error" in ask("export", "dot", tmp_path / "out", "--from", "table:nobody@0", code=2)
    assert not (tmp_path / "out").exists()
