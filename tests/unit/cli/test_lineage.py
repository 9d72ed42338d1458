"""``whence lineage|path`` and ``impact|diff --nodes``: what they print and refuse."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import whence
from whence.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    got = main(list(words))
    said = capsys.readouterr()
    assert got == code, said
    return said.out or said.err


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    return json.loads(run(capsys, *words, "--json", code=code))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """raw → one → clean → two → model, written by hand; and a second model of other settings."""
    folder = tmp_path / "a.whence"
    with whence.connect(folder) as ws:
        graph = ws.graph
        for name in ("raw", "clean", "model@1", "model@2"):
            graph.add("Thing", name, kind="artifact")
        graph.link(graph.add("step", "one", kind="execution"), reads=["raw"], writes=["clean"])
        graph.link(graph.add("step", "two", depth=6), reads=["clean"], writes=["model@1"])
        graph.link(graph.add("step", "three", depth=9), reads=["clean"], writes=["model@2"])
    return str(folder)


def names(levels: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(level["hops"], node["name"]) for level in levels for node in level["nodes"]]


def test_lineage_is_listed_nearest_first(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    levels = told(capsys, "lineage", "model@1", "-w", folder)
    assert names(levels) == [(0, "model@1"), (1, "two"), (2, "clean"), (3, "one"), (4, "raw")]
    assert [e["kind"] for level in levels for e in level["events"]] == ["OUTPUT", "INPUT", "OUTPUT", "INPUT"]
    text = run(capsys, "lineage", "model@1", "-w", folder, "--max-hops", "1")
    assert [line.split()[:3] for line in text.splitlines()] == [
        ["0", "Thing", "model@1"],
        ["1", "step", "two"],
    ]
    down = told(capsys, "lineage", "raw", "clean", "-w", folder, "--direction", "down", "--only", "Thing")
    assert names(down) == [(0, "raw"), (0, "clean"), (2, "model@1"), (2, "model@2")]
    assert told(capsys, "lineage", "raw", "-w", folder, "--only", "None") == []
    assert run(capsys, "lineage", "raw", "-w", folder, "--only", "None") == "nothing\n"


def test_lineage_stops(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    stopped = told(capsys, "lineage", "model@1", "-w", folder, "--stop", "name = 'clean'")
    assert names(stopped)[-1] == (2, "clean")
    without = told(capsys, "lineage", "model@1", "-w", folder, "--stop", "name = 'clean'", "--without-stops")
    assert names(without)[-1] == (1, "two")
    error = told(capsys, "lineage", "model@1", "-w", folder, "--stop", "nme = 'clean'", code=2)
    assert error["error"]["code"] == "bad-filter"
    assert told(capsys, "lineage", "absent", "-w", folder, code=2)["error"]["code"].endswith("not-found")


def test_lineage_comes_in_pages(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = told(capsys, "lineage", "model@1", "-w", folder, "--limit", "3")
    assert names(page["levels"]) == [(0, "model@1"), (1, "two"), (2, "clean")]
    rest = told(capsys, "lineage", "model@1", "-w", folder, "--limit", "3", "--cursor", page["cursor"])
    assert (names(rest["levels"]), rest["cursor"]) == ([(3, "one"), (4, "raw")], None)
    text = run(capsys, "lineage", "model@1", "-w", folder, "--limit", "3")
    assert text.splitlines()[-1] == f"more: --cursor {page['cursor']}"
    error = told(
        capsys, "lineage", "model@2", "-w", folder, "--limit", "3", "--cursor", page["cursor"], code=2
    )
    assert error["error"]["code"] == "bad-cursor"


def test_lineage_as_it_was_known(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    moment = datetime.now(UTC).isoformat()
    with whence.connect(folder) as ws:
        ws.graph.link(ws.graph.add("step", "late"), reads=["raw"], writes=["clean"])
    assert len(names(told(capsys, "lineage", "clean", "-w", folder))) == 4
    assert len(names(told(capsys, "lineage", "clean", "-w", folder, "--as-of", moment))) == 3
    for time, code in (("2026-05-03T12:00:00", "naive-time"), ("yesterday", "bad-timestamp")):
        error = told(capsys, "lineage", "clean", "-w", folder, "--as-of", time, code=2)
        assert error["error"]["code"] == code


def test_the_shortest_path(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "path", "model@1", "model@2", "-w", folder)
    assert [node["name"] for node in found["nodes"]] == ["model@1", "two", "clean", "three", "model@2"]
    text = run(capsys, "path", "model@1", "raw", "-w", folder, "--direction", "up")
    assert [line.split()[0] for line in text.splitlines()] == [
        "Thing", "was", "step", "read", "Thing", "was", "step", "read", "Thing",
    ]  # fmt: skip
    assert "  was written by\n" in text
    assert told(capsys, "path", "model@1", "model@2", "-w", folder, "--direction", "up") is None
    assert (
        run(capsys, "path", "model@1", "model@2", "-w", folder, "--max-hops", "3") == "no way leads there\n"
    )


def test_impact_node_by_node(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "impact", "raw", "-w", folder, "--nodes")
    assert (found["n"], found["depth"]) == (6, 4)
    assert [(one["hops"], one["name"]) for one in found["by_type"]["Thing"]] == [
        (2, "clean"), (4, "model@1"), (4, "model@2"),
    ]  # fmt: skip
    assert told(capsys, "impact", "raw", "-w", folder, "--max-hops", "2")["n"] == 2
    text = run(capsys, "impact", "raw", "-w", folder, "--only", "Thing", "--stop", "name = 'clean'")
    assert [line.split()[:4] for line in text.splitlines()] == [
        ["Thing:", "1"],
        ["2", "away:", "Thing", "clean"],
    ]
    assert run(capsys, "impact", "model@1", "-w", folder, "--nodes") == "nothing was made from it\n"
    error = told(capsys, "impact", "raw", "-w", folder, "--nodes", "--html", "x.html", code=2)
    assert error["error"]["code"] == "bad-command"


def test_diff_node_by_node(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "diff", "model@1", "model@2", "-w", folder, "--nodes")
    assert found["first"]["a"]["name"] == "two"
    assert found["first"]["differences"] == [{"what": "custom", "name": "depth", "a": 6, "b": 9}]
    text = run(capsys, "diff", "model@1", "model@2", "-w", folder, "--nodes")
    assert text.startswith("first: step two ")
    assert text.endswith("  custom depth: 6 | 9\n")
    same = run(capsys, "diff", "model@1", "model@2", "-w", folder, "--ignore", "depth")
    assert same == "nothing that is recorded differs\n"
    error = told(capsys, "diff", "model@1", "two", "-w", folder, "--nodes", code=2)
    assert error["error"]["code"] == "not-comparable"
