"""Killed at any crash point and started again, the journey goes on as if nothing had happened."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journey import killing, small

#: Crash points by the stage in which the journey dies there; the number counts passages in that stage.
POINTS = {
    "landing": [
        "flights.day.after:2",
        "lake.commit.before:9",
        "lake.commit.after:9",
        "metadata.intent.before:11",
        "metadata.intent.after:11",
        "metadata.commit.before:23",
        "metadata.closing.before:12",
        "metadata.closing.after:12",
    ],
    "preparing": [
        "validation.statistics.stored",
        "validation.schema.stored:2",
        "pipelines.pinned",
        "pipelines.computed:2",
        "pipelines.written:2",
        "pipelines.between-steps:2",
        "blobs.written:3",
        "blobs.renamed:3",
        "registry.recorded",
    ],
    "learning": [
        "registry.claimed",
        "registry.stored",
        "pipelines.between-outputs",
        "registry.alias.intent",
        "registry.alias.moved",
        "tracking.flush",
        "flights.alias.between",
    ],
    "day-one": [
        "flights.scores.after",
        "serving.step.before-commit",
        "monitoring.reference.stored",
        "lake.quarantine.before-good",
    ],
    "day-two": [
        "pipelines.schedule.claimed",
        "flights.monitor.after",
        "serving.step.after-commit",
        "monitoring.run.judged",
        "monitoring.run.stored",
        "registry.promote.judged",
        "registry.promote.held",
        "registry.promote.moved",
        "pipelines.schedule.ran",
        "lake.replay.before-table",
        "lake.replay.after-table",
    ],
    "day-three": [
        "serving.step.recorded",
        "flights.scores.after",
        "monitoring.run.committed",
        "serving.before-commit",
        "serving.before-commit:2",
        "serving.after-commit",
        "serving.after-commit:2",
    ],
}
#: One of each stage is followed to the end, not only to the end of its stage.
TO_THE_END = {points[0] for points in POINTS.values()}

Stages = dict[str, tuple[Path, dict[str, object]]]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """The folder as each stage leaves it, and what there is to compare. Read it only."""
    found: Stages = {}
    running = tmp_path_factory.mktemp("stages") / "running.whence"
    for stage, ends_at in killing.STAGES.items():
        assert killing.begin(running, ends_at) == (-signal.SIGKILL if ends_at else 0), killing.said(running)
        folder = running.with_name(f"{stage}.whence")
        shutil.copytree(running, folder)
        found[stage] = folder, killing.left(folder)
    return found


def test_the_stages_end_as_the_undisturbed(stages: Stages, undisturbed: Path) -> None:
    assert stages["day-three"][1] == killing.left(undisturbed)


@pytest.mark.parametrize(("stage", "point"), [(stage, p) for stage, points in POINTS.items() for p in points])
def test_killed_once_then_started_again(stage: str, point: str, stages: Stages, tmp_path: Path) -> None:
    folder = tmp_path / "killed.whence"
    order = list(killing.STAGES)
    if stage != order[0]:
        shutil.copytree(stages[order[order.index(stage) - 1]][0], folder)
    assert killing.begin(folder, point) == -signal.SIGKILL, (
        f"{point} was never passed\n{killing.said(folder)}"
    )
    ends_at = killing.STAGES[stage]
    assert killing.begin(folder, ends_at) == (-signal.SIGKILL if ends_at else 0), killing.said(folder)
    assert killing.left(folder) == stages[stage][1]
    if ends_at and point in TO_THE_END:
        assert killing.begin(folder) == 0, killing.said(folder)
        assert killing.left(folder) == stages[order[-1]][1]


def start(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The journey in a process that nothing has been prepared for."""
    command = [sys.executable, "-m", "tests.journey.small", str(folder)]
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


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
