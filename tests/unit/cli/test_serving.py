"""Deployments, streams and replays from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

import whence as w
from whence.cli import main

TS = pa.timestamp("us", tz="UTC")
START = datetime(2025, 1, 1, tzinfo=UTC)
OPTIONS = ["--view", "spending", "--at", "at", "--key", "id"]


def questions(first: int, n: int) -> pa.Table:
    at = [START + timedelta(hours=h) for h in range(first, first + n)]
    return pa.table(
        {
            "id": list(range(first, first + n)),
            "account": ["ab"[i % 2] for i in range(n)],
            "at": pa.array(at, TS),
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bank.whence"
    with w.connect(folder) as ws:
        paid = [START + timedelta(hours=n) for n in range(30)]
        payments = pa.table(
            {
                "account": ["ab"[n % 2] for n in range(30)],
                "cents": list(range(30)),
                "paid_at": pa.array(paid, TS),
            }
        )
        ws.lake.create("payments", payments.schema, event_time="paid_at")
        ws.table("payments").append(payments, watermark=START + timedelta(days=3))
        spending = w.FeatureView(
            "spending", entity=w.Entity("account", ["account"]), source="payments", timestamp="paid_at",
            features=[w.count(over="1d")],
        )  # fmt: skip
        ws.apply(spending)
        model = LogisticRegression().fit([[0.0], [1.0], [8.0], [9.0]], [0, 0, 1, 1])
        ws.models.register("fraud", model, sample=pa.table({"spending__count_1d": pa.array([1], pa.int64())}))
        ws.models.set_alias("fraud", "champion", 1)
        ws.table("questions").append(questions(0, 10), watermark=START + timedelta(hours=9))
        ws.serving.deploy(
            "fraud",
            model="fraud@champion",
            table="questions",
            views=["spending"],
            at="at",
            key="id",
            into="answers",
        )
    return folder


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*words: str, code: int = 0) -> str:
        assert main([*words, "-w", str(folder)]) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


def values(text: str) -> list[Any]:
    """The JSON values of an output, one after the other."""
    decoder, found = json.JSONDecoder(), []
    while text.strip():
        value, end = decoder.raw_decode(text.lstrip())
        found.append(value)
        text = text.lstrip()[end:]
    return found


def test_a_deployment_is_listed_and_shown(run: Callable[..., str]) -> None:
    assert json.loads(run("deployments", "list", "--json")) == [
        {
            "deployment": "fraud",
            "model": "fraud@champion",
            "table": "questions",
            "into": "answers",
            "epoch": 0,
        }
    ]
    shown = json.loads(run("deployments", "show", "fraud", "--json"))
    assert (shown["views"], shown["key"]) == (["spending"], ["id"])
    assert shown["lag"] == {
        "n_versions": 1, "n_rows": 10, "scored_to": None, "complete_to": "2025-01-01T09:00:00+00:00",
    }  # fmt: skip
    assert "deployment 'frod' not found" in run("deployments", "show", "frod", code=2)


def test_a_table_is_followed_once(run: Callable[..., str]) -> None:
    steps = values(run("score", "fraud", "questions", "--follow", "--once", "--max-rows", "6", "--json"))
    assert [(s["table"], s["n_rows"], s["lag"]["n_rows"]) for s in steps] == [
        ("answers", 6, 4),
        ("answers", 4, 0),
    ]
    assert all(s["rows_per_s"] > 0 for s in steps)
    assert run("score", "fraud", "questions", "--follow", "--once") == ""
    assert run("score", "fraud", "questions", "--follow", "--once", "--no-ahead") == ""
    assert json.loads(run("deployments", "show", "fraud", "--json"))["lag"]["n_rows"] == 0


def test_a_model_is_followed_under_the_name_of_its_table(run: Callable[..., str]) -> None:
    said = run("score", "fraud@1", "questions", "--into", "mine", *OPTIONS, "--follow", "--once")
    assert said.startswith("table:mine@1: 10 rows to 2025-01-01 09:00:00 UTC by model:fraud@1, ")
    assert said.rstrip().endswith("behind: 0 rows, 0 versions")
    assert "deployment 'fraud' answers for table 'questions', not 'payments'" in run(
        "score", "fraud", "payments", "--follow", code=2
    )


def test_scoring_at_once_needs_all_options(run: Callable[..., str]) -> None:
    assert "a model needs --view, --at, --into, --key" in run("score", "fraud@1", "questions", code=2)
    assert "--follow takes all of it" in run(
        "score", "fraud", "questions", "--follow", "--where", "id = 1", code=2
    )
    assert "is one version" in run("score", "fraud", "questions@0", "--follow", code=2)
    result = json.loads(run("score", "fraud@1", "questions", "--into", "batch", *OPTIONS, "--json"))
    assert (result["table"], result["n_rows"]) == ("batch", 10)


def test_a_replay(run: Callable[..., str]) -> None:
    played = json.loads(
        run("replay", "fraud@1", "--from", "2025-01-01", "--to", "2025-01-01T05:00:00+00:00", "--json")
    )
    assert (played["table"], played["n_rows"], played["model"]) == (
        "replay.fraud_fraud_1",
        5,
        "model:fraud@1",
    )
    assert "--to lies before --from" in run(
        "replay", "fraud@1", "--from", "2025-01-02", "--to", "2025-01-01", code=2
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_between_two_commits(folder: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", "import sys; from whence.cli import main; sys.exit(main())", "score", "fraud",
               "questions", "--follow", "--poll", "0.01", "-w", str(folder)]  # fmt: skip
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("table:answers@1: 10 rows")
    with w.connect(folder) as ws:
        ws.table("questions").append(questions(10, 3), watermark=START + timedelta(hours=12))
    assert process.stdout.readline().startswith("table:answers@2: 3 rows")
    process.send_signal(number)
    said, wrong = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, ""), wrong
    with w.connect(folder) as ws:
        assert ws.graph.find_nodes("execution", state="RUNNING").nodes == []
        assert ws.table("answers").head().n_rows == 13
