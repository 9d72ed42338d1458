"""Killed at every point of a registration and of an alias's move: whole or not at all after recovery."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.registry.conftest import open_models
from tests.unit.registry.sample_models import make, rows
from whence._base.crash import list_points
from whence.errors import NotFoundError
from whence.registry.models import ALIAS_INTENT, ALIAS_MOVED, CLAIMED, RECORDED, STORED
from whence.registry.promote import HELD, JUDGED, MOVED

KILLED = -signal.SIGKILL
Order = Callable[..., list[int]]

CLOSING = "metadata.closing.before"


@pytest.fixture(scope="module")
def order() -> Iterator[Order]:
    """Do something in other processes, killed at a point."""
    root = Path(__file__).parents[3]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.registry.crash_child"],
        cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    send, receive = child.stdin, child.stdout
    assert receive.readline() == "ready\n"

    def give(folder: Path, action: str, point: str | None = None, n: int = 1) -> list[int]:
        send.write(json.dumps({"folder": str(folder), "action": action, "point": point, "n": n}) + "\n")
        send.flush()
        codes: list[int] = json.loads(receive.readline())
        return codes

    yield give
    send.close()
    child.wait()
    receive.close()


@pytest.mark.parametrize(
    ("point", "live"),
    [
        ("metadata.intent.after", False),
        (CLAIMED, False),
        ("blobs.written", False),
        ("blobs.renamed", True),
        (STORED, True),
        (RECORDED, True),
        (CLOSING, True),
    ],
)
def test_a_registration_is_whole_or_nothing(order: Order, tmp_path: Path, point: str, live: bool) -> None:
    assert order(tmp_path, "register", point) == [KILLED]
    models = open_models(tmp_path)
    graph = models.recorder.store
    assert len(graph.find_nodes("execution", state="RUNNING").nodes) == 1
    recovered = models.recorder.recover()
    assert (len(recovered.rolled_forward), len(recovered.failed)) == ((1, 0) if live else (0, 1))
    assert [v.version for v in (models.versions("late") if models.list() else [])] == ([1] if live else [])
    assert graph.find_nodes("artifact", state="PENDING").nodes == []
    if live:
        assert models.load("late@1").predict(rows()).tolist() == make("tree").predict(rows()).tolist()
    else:
        with pytest.raises(NotFoundError):
            models.get("late@1")
    # What comes next works, and numbers are never used twice.
    assert order(tmp_path, "register") == [0]
    numbers = [v.version for v in models.versions("late")]
    assert numbers in ([1, 2] if live else [1], [2])
    assert models.recorder.recover().n == 0


@pytest.mark.parametrize("point", [CLAIMED, STORED])
def test_a_step_that_runs_again_registers_under_the_same_number(
    order: Order, tmp_path: Path, point: str
) -> None:
    assert order(tmp_path, "step", point) == [KILLED]
    models = open_models(tmp_path)
    if point == CLAIMED:
        models.recorder.recover()
        assert order(tmp_path, "step") == [0]
    else:
        # Everything the step set out to write exists: it is rolled forward.
        assert models.recorder.find_complete("step", "train") is not None
    assert [v.version for v in models.versions("late")] == [1]


@pytest.mark.parametrize(
    ("point", "moved"),
    [("metadata.intent.after", False), (ALIAS_INTENT, False), (ALIAS_MOVED, True), (CLOSING, True)],
)
def test_a_move_of_an_alias_is_whole_or_nothing(
    order: Order, tmp_path: Path, point: str, moved: bool
) -> None:
    models = open_models(tmp_path)
    for _ in range(2):
        models.register("late", make("logistic"))
    models.set_alias("late", "champion", 1)
    assert order(tmp_path, "set_alias", point) == [KILLED]
    recovered = models.recorder.recover()
    assert (len(recovered.rolled_forward), len(recovered.failed)) == ((1, 0) if moved else (0, 1))
    assert models.aliases("late") == {"champion": 2 if moved else 1}
    history = [(m.previous, m.version) for m in models.alias_history("late")]
    assert history == ([(None, 1), (1, 2)] if moved else [(None, 1)])
    assert models.recorder.store.find_nodes("artifact", state="PENDING").nodes == []
    assert order(tmp_path, "set_alias") == [0]
    assert models.aliases("late") == {"champion": 2}


def test_processes_registering_at_once_get_distinct_numbers(order: Order, tmp_path: Path) -> None:
    open_models(tmp_path)
    assert order(tmp_path, "register_many", n=4) == [0, 0, 0, 0]
    versions = open_models(tmp_path).versions("late")
    assert [v.version for v in versions] == list(range(1, 21))
    assert len({v.execution for v in versions}) == 20


def test_processes_moving_aliases_at_once_lose_no_move(order: Order, tmp_path: Path) -> None:
    models = open_models(tmp_path)
    for _ in range(2):
        models.register("late", make("logistic"))
    assert order(tmp_path, "move_many", n=3) == [0, 0, 0]
    history = models.alias_history("late")
    assert [m.number for m in history] == list(range(1, 19))
    at: dict[str, int | None] = {}
    for move in history:
        assert move.previous == at.get(move.alias)
        at[move.alias] = move.version
    assert models.aliases("late") == at


def test_every_crash_point_of_the_room_is_tested() -> None:
    mine = {name for name in list_points() if name.startswith("registry.")}
    in_a_pipeline = {JUDGED, HELD, MOVED}  # tests/unit/pipelines/test_promotion.py
    assert mine == {CLAIMED, STORED, RECORDED, ALIAS_INTENT, ALIAS_MOVED} | in_a_pipeline
