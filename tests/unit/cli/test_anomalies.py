"""``anomalies``: from the first finding to the repair, on the command line."""

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
def folder(tmp_path: Path) -> Path:
    """A workspace whose table has a value out of range since version 2, validated at version 3."""
    folder = tmp_path / "ws"
    with w.connect(folder) as ws:
        for n in range(4):
            ws.table("days").append(
                [{"id": 10 * n + k, "x": 99.0 if (n, k) == (2, 1) else 1.0 + k} for k in range(3)]
            )
        schema = ws.validation.infer_schema(ws.validation.statistics("days@3"))
        ws.validation.put_schema("days", schema.edit("x", max=10.0))
    assert main(["validate", "days", "-w", str(folder)]) == 1
    return folder


@pytest.fixture
def say(folder: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    def run(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main(["anomalies", *words, "-w", str(folder)]) == code
        return capsys.readouterr().out

    return run


@pytest.fixture
def ask(say: Ask) -> Ask:
    def run(*words: str, code: int = 0) -> Any:
        return json.loads(say(*words, "--json", code=code))

    return run


def test_the_life_of_an_anomaly(ask: Ask, say: Ask, folder: Path) -> None:
    (one,) = ask("list", "days")
    assert (one["feature"], one["type"], one["state"]) == ("x", "FLOAT_TYPE_BIG_FLOAT", "open")
    assert (one["of"], one["observed"], one["allowed"], one["environment"]) == ("days@3", 99.0, 10.0, None)
    assert ask("days") == ask("list") == ask("list", "--state", "open") == [one]
    assert ask() == [one]
    assert ask("list", "--state", "fixed") == ask("list", "--owner", "ada") == []
    assert say("list", "--state", "fixed") == "no anomalies are recorded\n"
    assert ask("assign", one["incident"], "ada")["owner"] == "ada"
    assert say("assign", one["incident"], "ada") == f"{one['incident']} is open, owner ada\n"
    with w.connect(folder) as ws:
        ws.table("days").delete("x > 10")
    assert main(["validate", "days", "-w", str(folder)]) == 0
    assert "open (fixed?)" in say("list", "days")
    assert ask("list")[0]["proposed"] == "fixed"
    assert "seems fixed  by table:days@4" in say("show", one["incident"])
    fixed = ask("fix", one["incident"][:9], "--note", "read again")
    assert (fixed["state"], fixed["link"], fixed["note"]) == ("fixed", "table:days@4", "read again")
    shown = ask("show", one["incident"])
    assert [d["action"] for d in shown["decisions"]] == ["assign", "fix"]
    assert shown["anomaly"]["observed"] == 99.0
    assert say("fix", one["incident"]) == f"{one['incident']} is fixed by table:days@4, owner ada\n"
    text = say("show", one["incident"])
    assert "read again" in text
    assert "assign" in text
    assert ask("reopen", one["incident"])["state"] == "open"


def test_accepted_into_the_schema(ask: Ask, folder: Path) -> None:
    (one,) = ask("list", "days")
    accepted = ask("accept", one["incident"], "--update", "--note", "hot days are real")
    assert (accepted["state"], accepted["link"]) == ("accepted", "schema:days@2")
    assert main(["validate", "days", "-w", str(folder)]) == 0


def test_blame(ask: Ask, say: Ask) -> None:
    blame = ask("blame", "days@3", "x", "FLOAT_TYPE_BIG_FLOAT")
    assert (blame["since"], blame["before"], blame["commit"], blame["n_bad"]) == (2, 1, "append", 1)
    assert blame["execution_type"] == "append"
    assert "since table:days@2" in say("blame", "days", "x", "FLOAT_TYPE_BIG_FLOAT", "--rule", "domain.max")
    (incident,) = ask("list", "days")
    assert ask("blame", incident["incident"]) == blame
    drift = ask("blame", "days@3", "x", "--over", "0.5", "--previous", "days@1")
    assert (drift["since"], drift["type"]) == (2, "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["show", "days-nothing"], "incident-not-found"),
        (["list", "dais"], "table-not-found"),
        (["list", "--state", "opened"], "bad-state"),
        (["blame", "days@1", "x", "FLOAT_TYPE_BIG_FLOAT"], "anomaly-not-found"),
        (["blame", "days@3", "x"], "bad-anomaly"),
        (["blame", "days@3", "why", "FLOAT_TYPE_BIG_FLOAT"], "column-not-found"),
        (["blame", "days@3"], "incident-not-found"),
        (["blame", "days@3", "x", "EXPECTATION_STALE"], "not-blamable"),
        (["blame", "days@3", "x", "--over", "0.1"], "not-blamable"),
    ],
)
def test_refusals(ask: Ask, words: list[str], code: str) -> None:
    assert ask(*words, code=2)["error"]["code"] == code
