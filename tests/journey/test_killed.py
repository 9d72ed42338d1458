"""Killed at any crash point and started again, the journey ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journey import small

POINTS = [
    "flights.day.after:2",
    "flights.alias.between",
    "lake.commit.before:9",
    "lake.commit.after:9",
    "metadata.intent.before:11",
    "metadata.intent.after:11",
    "metadata.commit.before:23",
    "metadata.closing.before:12",
    "metadata.closing.after:12",
    "validation.statistics.stored",
    "validation.schema.stored:2",
    "pipelines.pinned",
    "pipelines.computed:2",
    "pipelines.written:2",
    "pipelines.between-outputs:2",
    "pipelines.between-steps:2",
    "blobs.written:3",
    "blobs.renamed:3",
    "registry.claimed:2",
    "registry.stored:2",
    "registry.recorded",
    "registry.alias.intent",
    "registry.alias.moved",
    "tracking.flush",
    "serving.before-commit",
    "serving.before-commit:2",
    "serving.after-commit",
    "serving.after-commit:2",
    "flights.scores.after",
    "flights.scores.after:3",
    "flights.monitor.after:2",
    "serving.step.before-commit",
    "serving.step.after-commit:2",
    "serving.step.recorded:3",
    "lake.quarantine.before-good",
    "lake.replay.before-table",
    "lake.replay.after-table",
    "monitoring.reference.stored",
    "monitoring.run.judged:2",
    "monitoring.run.stored:2",
    "monitoring.run.committed:3",
    "pipelines.schedule.claimed",
    "pipelines.schedule.ran",
    "registry.promote.judged",
    "registry.promote.held",
    "registry.promote.moved",
]


def start(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.journey.small", str(folder)]
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("point", POINTS)
def test_killed_once_then_started_again(point: str, undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed.whence"
    killed = start(folder, WHENCE_CRASH_AT=point)
    assert killed.returncode == -signal.SIGKILL, f"{point} was never passed\n{killed.stderr}"
    again = start(folder)
    assert again.returncode == 0, again.stderr
    assert small.contents(folder) == small.contents(undisturbed)
    assert small.unsettled(folder) == []


def test_killed_three_times_at_different_places(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed.whence"
    for point in ("lake.commit.after:5", "pipelines.written", "serving.after-commit"):
        assert start(folder, WHENCE_CRASH_AT=point).returncode == -signal.SIGKILL
    assert start(folder).returncode == 0
    assert small.contents(folder) == small.contents(undisturbed)
    assert small.unsettled(folder) == []


def test_started_twice_changes_nothing(own: Path, undisturbed: Path) -> None:
    small.run(own)
    assert small.contents(own) == small.contents(undisturbed)
    assert small.unsettled(own) == []
