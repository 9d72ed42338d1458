"""``whence nodes|remove|gc|retention|mark|namespace``: what they print, refuse and change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import whence
from whence._base.crash import VARIABLE
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
    """raw → clean → model, written by hand, and one version of a table."""
    folder = tmp_path / "a.whence"
    with whence.connect(folder) as ws:
        graph = ws.graph
        ws.table("flights").append([{"n": 1}])
        for name, rows in (("raw", 1), ("clean", 2), ("model", 3)):
            graph.add("Thing", name, kind="artifact", rows=rows)
        graph.link(graph.add("step", "one", kind="execution"), reads=["raw"], writes=["clean"])
        graph.link(graph.add("step", "two"), reads=["clean"], writes=["model"])
    return str(folder)


def test_nodes_are_listed_counted_and_filtered(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "nodes", "-w", folder, "--type", "Thing")
    assert [n["name"] for n in found] == ["model", "clean", "raw"]
    assert (found[0]["kind"], found[0]["custom"], found[0]["state"]) == ("artifact", {"rows": 3}, "LIVE")
    assert [
        n["name"]
        for n in told(capsys, "nodes", "-w", folder, "--where", "custom_properties.rows > 1", "--oldest")
    ] == ["clean", "model"]
    assert [n["name"] for n in told(capsys, "nodes", "-w", folder, "--type", "Thing", "--limit", "1")] == [
        "model"
    ]
    assert told(capsys, "nodes", "execution", "-w", folder, "--count-by", "type") == {"step": 2, "append": 1}
    assert told(capsys, "nodes", "-w", folder, "--at", "2000-01-01T00:00:00Z") == []
    text = run(capsys, "nodes", "execution", "-w", folder, "--state", "COMPLETE")
    assert "step" in text
    assert run(capsys, "nodes", "-w", folder, "--where", "name = 'x'") == "no artifact fits\n"


@pytest.mark.parametrize(
    ("words", "code", "match"),
    [
        (["nodes", "--where", "name ="], "bad-filter", "found the end"),
        (["nodes", "--at", "soon"], "bad-timestamp", "'soon' is no moment"),
        (["nodes", "--at", "2026-01-01"], "naive-time", "has no zone"),
        (["nodes", "table"], "bad-command", "table"),
        (["remove", "Thing/rae"], "node-not-found", "Thing/raw"),
        (["mark", "add", "raw"], "bad-command", "reason"),
        (["mark", "add", "raw", "--reason", " "], "bad-mark", "needs a reason"),
        (["mark", "lift", "7"], "mark-not-found", "7"),
        (["retention", "add", "r"], "bad-retention", "keep_for"),
        (["retention", "drop", "r"], "retention-rule-not-found", "r"),
        (["namespace", "close", "teem"], "namespace-not-found", "teem"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(
    folder: str, capsys: pytest.CaptureFixture[str], words: list[str], code: str, match: str
) -> None:
    error = told(capsys, *words, "-w", folder, code=2)["error"]
    assert error["code"] == code
    assert match in error["message"] + str(error["near"])


def test_what_is_removed_stays_in_lineage(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    (gone,) = told(capsys, "remove", "clean", "-w", folder, "--reason", "personal")
    assert (gone["state"], gone["name"]) == ("DELETED", "clean")
    assert gone["removed_at"] is not None
    assert [n["name"] for n in told(capsys, "nodes", "-w", folder, "--type", "Thing")] == ["model", "raw"]
    assert [n["name"] for n in told(capsys, "nodes", "-w", folder, "--type", "Thing", "--removed")] == [
        "model",
        "clean",
        "raw",
    ]
    error = told(capsys, "remove", "table:flights@0", "model", "-w", folder, code=3)["error"]
    assert (error["code"], "is in the lake" in error["message"]) == ("still-referenced", True)
    assert "(removed)" in run(capsys, "remove", "model", "-w", folder)


def test_collecting_says_what_would_go_and_does_it_when_told(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "retention", "list", "-w", folder) == "no rule: everything is kept\n"
    words = ["retention", "add", "things", "--where", "type = 'Thing'", "--keep-newest", "1", "-w", folder]
    assert "but for the 1 newest of each type" in run(capsys, *words)
    (rule,) = told(capsys, "retention", "list", "-w", folder)
    assert (rule["name"], rule["keep_newest"], rule["keep_for_s"]) == ("things", 1, None)
    dry = told(capsys, "gc", "-w", folder)
    assert (dry["dry_run"], [g["name"] for g in dry["removed"]], dry["n_nodes"]) == (
        True,
        ["raw", "clean"],
        0,
    )
    text = run(capsys, "gc", "-w", folder)
    assert "2 nodes would be removed" in text
    assert "artifact Thing raw: rule things" in text
    assert "--apply does it" in text
    assert told(capsys, "gc", "--apply", "-w", folder)["n_tombstones"] == 2
    assert told(capsys, "retention", "drop", "things", "-w", folder) == {"dropped": "things"}
    run(capsys, "remove", "Thing/model", "step/one", "step/two", "-w", folder)
    assert told(capsys, "gc", "--apply", "-w", folder)["n_nodes"] == 5


def test_a_collection_that_is_killed_is_finished_by_the_next(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "retention", "add", "all", "--where", "type = 'Thing'", "--keep-newest", "0", "-w", folder)
    run(capsys, "remove", "step/one", "step/two", "-w", folder)
    program = f"from whence.cli import main; main(['gc', '--apply', '-w', {folder!r}])"
    environment = {**os.environ, VARIABLE: "metadata.collect.removed"}
    killed = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with whence.connect(folder) as ws:
        assert ws.graph.count("artifact", "type = 'Thing'") == 0
        assert len(ws.graph.find("artifact", "type = 'Thing'", removed=True).all()) == 3
    assert told(capsys, "gc", "--apply", "-w", folder)["n_nodes"] == 5
    assert told(capsys, "nodes", "-w", folder, "--type", "Thing", "--removed") == []


def test_marks_are_made_shown_and_lifted(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    (mark,) = told(capsys, "mark", "add", "raw", "--reason", "broken", "--policy", "alert", "-w", folder)
    assert (mark["policy"], mark["reason"], mark["lifted_at"]) == ("alert", "broken", None)
    assert {t["name"] for t in told(capsys, "mark", "tainted", "-w", folder)} == {
        "raw",
        "one",
        "clean",
        "two",
        "model",
    }
    (one,) = told(capsys, "mark", "tainted", "table:flights@0", "-w", folder)
    assert (one["tainted"], one["marks"]) == (False, [])
    assert "clean" in run(capsys, "mark", "tainted", "table:flights", "-w", folder)
    assert f"mark {mark['mark']} (alert): broken" in run(capsys, "mark", "tainted", "model", "-w", folder)
    assert [m["mark"] for m in told(capsys, "mark", "list", "--live", "-w", folder)] == [mark["mark"]]
    (lifted,) = told(capsys, "mark", "lift", str(mark["mark"]), "-w", folder)
    assert lifted["lifted_at"] is not None
    assert run(capsys, "mark", "list", "--live", "-w", folder) == "no marks\n"
    assert told(capsys, "mark", "list", "--since", str(mark["mark"]), "-w", folder) == []
    assert run(capsys, "mark", "tainted", "-w", folder) == "nothing is tainted\n"


def test_what_is_counted_is_what_would_be_listed(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    with whence.connect(folder) as ws:
        for type_ in ("Survey", "Jo's"):
            ws.graph.add(type_, "one", kind="artifact")
    counted = ["nodes", "--count-by", "type", "-w", folder]
    assert told(capsys, *counted, "--type", "Jo's") == {"Jo's": 1}
    assert told(capsys, *counted, "--type", "Survey", "--state", "LIVE", "--where", "name = 'one'") == {
        "Survey": 1
    }
    assert told(capsys, *counted, "--type", "Survey", "--state", "PENDING") == {"nodes": 0}
    refused = told(capsys, *counted, "--state", "LIV", code=2)["error"]
    assert (refused["code"], "LIVE" in refused["hint"]) == ("bad-filter", True)
    assert "leave out --removed" in run(capsys, *counted, "--removed", code=2)


def test_later_versions_of_a_table_are_pointed_at(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    with whence.connect(folder) as ws:
        for n in range(2):
            ws.table("flights").append([{"n": n}])
    said = run(capsys, "mark", "add", "table:flights@0", "--reason", "broken", "-w", folder)
    assert "versions 1 to 2 of flights came after it and are not marked" in said
    refs = [f"table:flights@{n}" for n in range(3)]
    assert "came after" not in run(capsys, "mark", "add", *refs, "--reason", "broken", "-w", folder)


def test_namespaces_are_made_closed_and_opened(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "namespace", "make", "team", "-w", folder)["state"] == "open"
    assert told(capsys, "namespace", "close", "team", "-w", folder)["state"] == "closed"
    assert [(n["namespace"], n["state"]) for n in told(capsys, "namespace", "list", "-w", folder)] == [
        ("default", "open"),
        ("team", "closed"),
    ]
    with (
        pytest.raises(whence.DeniedError, match="namespace-closed"),
        whence.connect(folder, metadata_namespace="team") as ws,
        ws.graph.record("train"),
    ):
        pass
    assert "open" in run(capsys, "namespace", "open", "team", "-w", folder)
    with whence.connect(folder, metadata_namespace="team") as ws:
        with ws.graph.record("train") as recording:
            pass
        assert recording.execution.namespace == "team"
        assert ws.graph.count("execution") == 1
    assert told(capsys, "nodes", "execution", "--type", "train", "-w", folder) == []


def test_what_is_no_word_of_the_journey_may_be_a_node(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = told(capsys, "nodes", "-w", folder, "--where", "name = 'clean'")[0]["uid"]
    words: tuple[str, ...]
    for words in (("trace", "clean"), ("trace", clean), ("impact", "Thing/clean")):
        assert told(capsys, *words, "-w", folder)["ref"] == f"artifact:{clean}"
    for words, hint in (
        (("trace", "execution:clean"), "whence nodes execution"),
        (("trace", "artifact:clean"), "whence lineage artifact:clean asks the graph node by node"),
        (("diff", "raw", "clean"), "whence diff raw clean --nodes asks"),
    ):
        assert hint in run(capsys, *words, "-w", folder, code=2)
    for words in (("trace", "nothing"), ("diff", "raw", "nothing")):
        assert "write kind:name" in run(capsys, *words, "-w", folder, code=2)
    assert "has an empty part" in run(capsys, "impact", "table:", "-w", folder, code=2)
    with whence.connect(folder) as ws:
        ws.graph.add("Other", "clean", kind="artifact")
    assert "write TYPE/NAME" in run(capsys, "trace", "clean", "-w", folder, code=2)


def test_a_misspelt_state_has_near_names(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Near: 'LIVE'" in run(capsys, "nodes", "--state", "LIV", "-w", folder, code=2)
    assert "Near: 'RUNNING'" in run(capsys, "nodes", "execution", "--state", "runing", "-w", folder, code=2)
    assert "no moment" in run(capsys, "nodes", "--at", "yesterday", "-w", folder, code=2)
