"""A run killed at every point: what was flushed is there, the run is settled, nothing is half written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.tracking.conftest import open_runs
from whence.metadata import Execution
from whence.tracking.run import ARTIFACT_STORED, FLUSHED, FLUSHING
from whence.tracking.runs import STARTED

CHILD = """
import sys
from pathlib import Path
from tests.unit.tracking.conftest import open_runs
runs = open_runs(Path(sys.argv[1]))
with runs.start("r", params={"depth": 6}, flush_each=sys.argv[2] == "each") as run:
    for step in range(10):
        run.log_metric("m", float(step), step)
    run.log_artifact(b"bytes", "file.bin")
"""


def killed_at(folder: Path, point: str, mode: str = "batch") -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), mode],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "WHENCE_CRASH_AT": point},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    ("point", "mode", "known", "n_logged", "state"),
    [
        (STARTED, "batch", False, 0, "FAILED"),
        (FLUSHING, "batch", False, 0, "FAILED"),  # the params of the start
        (f"{FLUSHING}:2", "batch", True, 0, "FAILED"),  # the flush at the end
        (f"{FLUSHED}:2", "batch", True, 10, "FAILED"),
        (ARTIFACT_STORED, "batch", True, 0, "FAILED"),  # unflushed metrics are what a kill may lose
        (f"{FLUSHING}:7", "each", True, 5, "FAILED"),
        (f"{FLUSHED}:7", "each", True, 6, "FAILED"),
        (ARTIFACT_STORED, "each", True, 10, "FAILED"),
        ("metadata.closing.before", "batch", True, 10, "FAILED"),
        ("metadata.closing.after", "batch", True, 10, "COMPLETE"),
    ],
)
def test_killed_at(tmp_path: Path, point: str, mode: str, known: bool, n_logged: int, state: str) -> None:
    killed_at(tmp_path, point, mode)
    runs = open_runs(tmp_path)
    runs.recorder.recover()
    (node,) = runs.recorder.store.find_nodes("execution", type_="run").nodes
    assert isinstance(node, Execution)
    assert node.state == state
    found = runs.search()
    assert len(found) == known
    if known:
        (run,) = found
        assert (run.state, run.uid) == (state, node.uid)
        assert run.params == {"depth": 6}
        history = run.history("m") if n_logged else []
        assert [m.value for m in history] == [float(n) for n in range(n_logged)]
        assert [r.uid for r in runs.search(f"state = '{state}'")] == [node.uid]
        named = state == "COMPLETE"
        assert [a.name for a in run.artifacts] == (["file.bin"] if named else [])
    with runs.start("next") as following:
        following.log_metric("m", 1.0)
    assert runs.get("next").metrics == {"m": 1.0}


def test_processes_logging_at_once_lose_nothing(tmp_path: Path) -> None:
    open_runs(tmp_path)
    code = CHILD.replace("range(10)", "range(50)")
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), "each"], cwd=Path(__file__).parents[3])
        for _ in range(3)
    ]
    assert [child.wait() for child in children] == [0, 0, 0]
    runs = open_runs(tmp_path)
    assert [(r.state, r.metrics, len(r.history("m"))) for r in runs.search()] == [
        ("COMPLETE", {"m": 49.0}, 50)
    ] * 3
