"""A step whose commit landed is done, whatever its follower was told."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from pathlib import Path

import pytest

from tests.unit.serving.streaming import START, check_features, follow, furnish, land
from whence._base.clock import ReplayClock
from whence.errors import BackendError
from whence.metadata import Execution
from whence.serving import stream
from whence.testing.pipelines import HandBuiltRooms


def open_rooms(folder: Path) -> HandBuiltRooms:
    return HandBuiltRooms(folder, clock=ReplayClock(START))


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    made = open_rooms(tmp_path / "ws")
    furnish(made)
    land(made, 0)
    yield made
    made.close()


def steps(rooms: HandBuiltRooms) -> list[tuple[str, object]]:
    found = rooms.recorder.store.find_nodes("execution", type_="score").nodes
    return [(e.state, e.get("recovered")) for e in found if isinstance(e, Execution)]


@pytest.mark.parametrize(
    ("error", "state"),
    [(BackendError("full", code="store-full"), "FAILED"), (KeyboardInterrupt(), "CANCELED")],
)
def test_a_step_that_was_told_to_have_failed_is_closed_by_the_next(
    rooms: HandBuiltRooms, monkeypatch: pytest.MonkeyPatch, error: BaseException, state: str
) -> None:
    def reached(name: str) -> None:
        if name == stream.AFTER_COMMIT:
            # a copy: the parameter lives until the process ends, and with a traceback all that was open here
            raise copy(error)

    with rooms.serving.follow("late") as follower:
        with monkeypatch.context() as patch:
            patch.setattr(stream, "crash_point", reached)
            with pytest.raises(type(error)):
                follower.step()
        assert steps(rooms) == [(state, None)]
        land(rooms, 1)
        result = follower.step()
        assert result is not None
        assert result.n_rows == 24
    assert steps(rooms) == [("COMPLETE", "rolled-forward"), ("COMPLETE", None)]
    check_features(rooms)


def test_a_step_that_cannot_be_closed_is_closed_by_the_next_opening(
    rooms: HandBuiltRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph takes nothing any more once the predictions are committed."""
    store, folder = rooms.recorder.store, rooms.folder
    assert folder is not None

    def refuse(*_: object) -> None:
        raise BackendError("no space left", code="store-full")

    def reached(name: str) -> None:
        if name == stream.AFTER_COMMIT:
            patch.setattr(store, "write", refuse)

    with monkeypatch.context() as patch:
        patch.setattr(stream, "crash_point", reached)
        with rooms.serving.follow("late") as follower, pytest.raises(BackendError, match="store-full"):
            follower.step()
    assert steps(rooms) == [("RUNNING", None)]
    rooms.close()
    again = open_rooms(folder)
    again.recorder.recover()
    again.lake.reconcile()
    assert steps(again) == [("COMPLETE", "rolled-forward")]
    assert follow(again) == []
    check_features(again)
    again.close()
