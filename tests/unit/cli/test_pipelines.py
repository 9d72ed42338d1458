"""Pipelines from the command line: by their triggers, and step by step as an outside scheduler runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import whence as w
from whence.cli import main
from whence.cli.pipelines import stopping

Ask: TypeAlias = Callable[..., Any]
FLOW = """
from datetime import UTC, datetime
import pyarrow as pa
import whence as w

START = datetime(2013, 4, 1, tzinfo=UTC)

@w.step(cache=False)
def make(moment: datetime) -> w.Table["days"]:
    return pa.table({"year": [moment.year]})

@w.step(cache=False)
def double(rows: w.Table["days"]) -> w.Table["doubled"]:
    return pa.table({"year": [2 * y for y in rows.arrow()["year"].to_pylist()]})

@w.step(cache=False)
def total(rows: w.Table["doubled"]) -> w.Metrics:
    days = w.current().table("days").arrow()["year"].to_pylist()  # read beside what is declared
    return {"total": float(sum(days) + sum(rows.arrow()["year"].to_pylist()))}

@w.pipeline(triggers=[w.every("30d", start=START)])
def yearly(moment: datetime):
    total(double(make(moment)))

@w.pipeline
def by_hand(moment: datetime):
    total(double(make(moment)))
"""


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of pipelines, and a workspace beside it."""
    (tmp_path / "yearly_flow.py").write_text(FLOW)
    with w.connect(tmp_path / "ws") as ws:
        ws.table("other").append({"a": [1]})
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path / "yearly_flow.py"
    sys.modules.pop("yearly_flow", None)


@pytest.fixture
def ask(flow: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    def run(*words: str, code: int = 0) -> Any:
        assert main([*words, "--workspace", str(flow.parent / "ws"), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run


def test_what_is_due_runs_once(flow: Path, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    [run] = ask("run", "--schedule", "--once", f"{flow}:yearly")
    assert run["key"].startswith("every-30d@20")
    assert [s["state"] for s in run["steps"]] == ["COMPLETE"] * 3
    assert ask("run", "--schedule", "--once", f"{flow}:yearly") == []
    assert main(["run", "--schedule", "--once", f"{flow}:yearly", "-w", str(flow.parent / "ws")]) == 0
    assert capsys.readouterr().out == "nothing is due\n"
    assert ask("run", "--schedule", "--once", f"{flow}:by_hand", code=2)["error"]["code"] == "no-trigger"
    assert ask("run", "--once", f"{flow}:yearly", code=2)["error"]["code"] == "bad-command"
    assert ask("run", "--schedule", "--key", "k", f"{flow}:yearly", code=2)["error"]["code"] == "bad-command"
    assert ask("run", f"{flow}:yearly", f"{flow}:by_hand", code=2)["error"]["code"] == "bad-command"


def test_steps_in_any_order_an_outside_scheduler_gives(
    flow: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("-p", "moment=2013-05-01T00:00:00Z")
    early = ask("exec", f"{flow}:by_hand:total", "--run", "may", *at, code=3)
    assert early["error"]["code"] == "step-upstream"
    assert "waits for 'double'" in early["error"]["message"]
    made = ask("exec", f"{flow}:by_hand:make", "--run", "may", *at)
    assert (made["state"], made["outputs"]) == ("COMPLETE", ["table:days@0"])
    ask("exec", f"{flow}:by_hand:make", "--run", "june", "-p", "moment=2014-06-01T00:00:00Z")
    monkeypatch.chdir(flow.parent)
    assert ask("exec", "by_hand:double", "--run", "may")["outputs"] == ["table:doubled@0"]
    assert ask("exec", "yearly_flow:by_hand:double", "--run", "may")["outputs"] == ["table:doubled@0"]
    assert ask("exec", "by_hand:total", "--run", "may")["state"] == "COMPLETE"
    with w.connect(flow.parent / "ws") as ws:
        found = ws.pipelines.get("by_hand", "may")
        [metrics] = ws.graph.find_nodes("artifact", type_="Metrics").nodes
    # the newest `days` is of June by now: the run reads what its own steps have written
    assert metrics.get("total") == 2013.0 * 3
    assert [s.state for s in found.steps] == ["COMPLETE"] * 3
    assert ask("exec", "by_hand:draw", "--run", "may", code=2)["error"]["code"] == "no-such-step"
    assert ask("exec", "by_day:make", "--run", "may", code=2)["error"]["code"] == "pipeline-run-not-found"
    assert ask("exec", "make", "--run", "may", code=2)["error"]["code"] == "bad-entry"
    assert ask("exec", "json:dumps:make", "--run", "may", code=2)["error"]["code"] == "not-a-pipeline"


def test_a_time_that_is_none_is_refused(flow: Path, ask: Ask) -> None:
    for wrong in ("moment=soon", "moment=2013-05-01T00:00:00"):
        found = ask("run", f"{flow}:by_hand", "-p", wrong, code=2)
        assert found["error"]["code"] == "pipeline-params"


def test_the_first_signal_asks_to_stop_and_the_second_is_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopping() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
        assert signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGINT) is not None


def test_the_schedule_ends_cleanly_when_asked(flow: Path) -> None:
    """A process of its own: it prints the run it made, is asked to stop, and ends with 0."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "whence",
            "run",
            "--schedule",
            f"{flow}:yearly",
            "-w",
            str(flow.parent / "ws"),
            "--poll",
            "30",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("yearly run every-30d@")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
