"""``quarantine`` and ``ingest``: rows set aside, put right and let in from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from whence.cli import main

Ask: TypeAlias = Callable[..., Any]

GOOD = "id,carrier,delay,known_at\n1,B6,5,2013-01-01T00:00:00Z\n2,US,7,2013-01-01T01:00:00Z\n"
BAD = "id,carrier,delay,known_at\n3,B6,abc,2013-01-02T00:00:00Z\n4,UA\n5,DL,9,2013-01-02T00:00:00Z\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.csv").write_text(GOOD)
    (tmp_path / "bad.csv").write_text(BAD)
    return tmp_path


@pytest.fixture
def ask(folder: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command with --json in a workspace of its own; what it printed."""
    assert main(["init", str(folder / "ws")]) == 0
    capsys.readouterr()

    def run(*words: object, code: int = 0) -> Any:
        assert main([*map(str, words), "-w", str(folder / "ws"), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def fed(ask: Ask, folder: Path) -> Ask:
    words = ["--create", "--key", "id", "--known-at", "known_at", "--watermark", "2013-01-02T00:00:00Z"]
    ask("ingest", "arrivals", folder / "good.csv", *words)
    ask("ingest", "arrivals", folder / "bad.csv", "--on-error", "quarantine")
    return ask


def test_ingest_makes_a_table_and_takes_each_file_once(ask: Ask, folder: Path) -> None:
    words = ["--create", "--key", "id", "--known-at", "known_at"]
    [first] = ask("ingest", "arrivals", folder / "good.csv", *words)
    assert (first["version"], first["n_rows"], first["duplicate"]) == (1, 2, False)
    [again] = ask("ingest", "arrivals", folder / "good.csv", *words)
    assert again["duplicate"]
    commits = ask("ingest", "arrivals", folder / "good.csv", folder / "good.csv", "--transaction", "feed:7")
    assert [(c["version"], c["duplicate"]) for c in commits] == [(2, False), (3, False)]
    [known] = ask("ingest", "arrivals", folder / "good.csv", "--transaction", "feed:8")
    assert (known["version"], known["duplicate"]) == (3, True)
    shown = ask("table", "show", "arrivals")
    assert (shown["declaration"]["key"], shown["declaration"]["known_at"]) == (["id"], "known_at")


def test_ingest_names_file_and_line(ask: Ask, folder: Path) -> None:
    ask("ingest", "arrivals", folder / "good.csv")
    error = ask("ingest", "arrivals", folder / "bad.csv", code=1)["error"]
    assert error["code"] == "rows-rejected"
    assert [(a["file"], a["line"]) for a in error["details"]["anomalies"]] == [("bad.csv", 2), ("bad.csv", 3)]


def test_ingest_of_other_formats(ask: Ask, folder: Path) -> None:
    file = folder / "rows.txt"
    file.write_text('{"a": 1}\n{"a": 2}\n')
    assert ask("ingest", "words", file, code=2)["error"]["code"] == "bad-format"
    assert ask("ingest", "words", file, "--format", "ndjson")[0]["n_rows"] == 2


def test_words_that_do_not_fit(ask: Ask, folder: Path) -> None:
    good = folder / "good.csv"
    assert ask("ingest", "t", good, "--key", "id", code=2)["error"]["code"] == "bad-command"
    assert ask("ingest", "t", good, "--transaction", "7", code=2)["error"]["code"] == "bad-transaction"
    assert ask("quarantine", "correct", "t", code=2)["error"]["code"] == "bad-command"
    assert ask("quarantine", "correct", "t", "--set", "x", code=2)["error"]["code"] == "bad-command"


def test_rows_are_listed_and_shown(fed: Ask) -> None:
    counts = {"table": "arrivals", "in": 2, "pending": 2, "corrected": 0, "replayed": 0, "dropped": 0}
    assert fed("quarantine", "list") == [counts]
    first, second = fed("quarantine", "list", "arrivals")
    assert (first["row"]["delay"], first["reasons"]) == ("abc", ["delay: have text 'abc', want int64"])
    assert (second["source"], second["position"], second["row"]) == ("bad.csv", 3, {"line": "4,UA"})
    assert [r["id"] for r in fed("quarantine", "list", "arrivals", "--reason", "fields")] == [second["id"]]
    assert len(fed("quarantine", "list", "arrivals", "--limit", "1")) == 1
    shown = fed("quarantine", "show", "arrivals", first["id"])
    assert (shown["state"], [h["state"] for h in shown["history"]]) == ("in", ["in"])
    error = fed("quarantine", "show", "arrivals", "nix", code=2)["error"]
    assert error["code"] == "quarantined-row-not-found"


def test_rows_are_corrected_replayed_and_dropped(fed: Ask) -> None:
    first, second = fed("quarantine", "list", "arrivals")
    error = fed("quarantine", "correct", "arrivals", "--set", "delay=soon", code=2)["error"]
    assert (error["code"], error["message"]) == (
        "bad-command",
        "'soon' is no int64, which column 'delay' holds",
    )
    words = ["--set", "delay=12", "--sql", "carrier=lower(carrier)", "--where", "id = 3"]
    corrected = fed("quarantine", "correct", "arrivals", *words)
    assert corrected == {"table": "arrivals", "corrected": 1, "pending": 2}
    commit = fed("quarantine", "replay", "arrivals", "--id", first["id"], "--transaction", "fix:1")
    assert (commit["n_rows"], commit["n_late"], commit["duplicate"]) == (1, 1, False)
    assert fed("quarantine", "replay", "arrivals", "--transaction", "fix:1")["duplicate"]
    dropped = fed("quarantine", "drop", "arrivals", second["id"], "--reason", "cut off")
    assert dropped["dropped"] == 1
    assert [r["state"] for r in fed("quarantine", "list", "arrivals", "--all")] == ["replayed", "dropped"]
    assert fed("quarantine", "list", "arrivals") == []
    rows = fed("sql", "SELECT id, carrier, delay FROM arrivals ORDER BY id")
    assert rows[2] == {"id": 3, "carrier": "b6", "delay": 12}


def test_what_people_read(fed: Ask, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = str(folder / "ws")
    assert main(["quarantine", "list", "arrivals", "-w", workspace]) == 0
    said = capsys.readouterr().out
    assert "bad.csv:2" in said
    assert "delay: have text 'abc', want int64" in said
    assert main(["ingest", "other", str(folder / "good.csv"), "-w", workspace]) == 0
    capsys.readouterr()
    assert main(["quarantine", "list", "other", "-w", workspace]) == 0
    assert capsys.readouterr().out == "no row waits to enter other\n"
    assert main(["quarantine", "list", "arrival", "-w", workspace]) == 2
    assert "table 'arrival' not found (table-not-found). Near: 'arrivals'" in capsys.readouterr().err


def test_a_misspelt_column_changes_nothing(fed: Ask) -> None:
    before = fed("quarantine", "list", "arrivals")
    for option in ("--set", "--sql"):
        error = fed("quarantine", "correct", "arrivals", option, "dealy=1", code=2)["error"]
        assert (error["code"], error["near"]) == ("column-not-found", ["delay"])
    assert fed("quarantine", "list", "arrivals") == before
