"""A follower that works ahead gives what one gives that does not, whatever happens in between."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.serving.streaming import (
    ARRIVALS,
    DAY,
    HOUR,
    START,
    arrivals,
    check_features,
    furnish,
    land,
    predictions,
    register,
    trips,
)
from whence._base.clock import ReplayClock
from whence.errors import BackendError, UsageError
from whence.serving import Follower, StepResult
from whence.serving.ahead import Ahead, Pace
from whence.serving.moving import MovingFeatures
from whence.serving.scorer import Scorer
from whence.testing.pipelines import HandBuiltRooms

Happening = Callable[[HandBuiltRooms], object]


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    rooms = HandBuiltRooms(tmp_path / "ws", clock=ReplayClock(START))
    furnish(rooms)
    yield rooms
    rooms.close()


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """No thread is left behind."""
    yield
    assert working() == []


def working() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "whence-ahead"]


def told(result: StepResult) -> tuple[object, ...]:
    """What is the same each time."""
    return result.n_rows, result.n_late, result.scored_to, result.spine_version, result.model


class Meanwhile:
    """Lets something happen in a step, when its successor is made and it is not committed.

    Args:
        patch: Sets it up.
        happenings: By number of the step; each happens once.
        after: Whether the successor is made only when all that has happened.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, happenings: dict[int, Happening], *, after: bool = False
    ) -> None:
        self.happenings = dict(happenings)
        self.n_ahead = 0
        self.n_used = 0
        fitted, find, made = Follower._fitted, Follower._find_ahead, Follower._made
        told = threading.Event()

        def on_fitted(follower: Follower, rows: pa.Table) -> object:
            if follower._begun is not None and not after:
                follower._begun.work.end()
            standing = follower._standing
            assert standing is not None
            happening = self.happenings.pop(standing.position.step + 1, None)
            try:
                if happening is not None:
                    happening(self.rooms)
            finally:
                told.set()
            return fitted(follower, rows)

        def on_find(follower: Follower, *args: Any) -> object:
            if after:
                assert told.wait(30)
            told.clear()
            self.n_ahead += 1
            return find(follower, *args)

        def on_made(follower: Follower, plan: Any) -> object:
            self.n_used += plan.made is not None
            return made(follower, plan)

        patch.setattr(Follower, "_fitted", on_fitted)
        patch.setattr(Follower, "_find_ahead", on_find)
        patch.setattr(Follower, "_made", on_made)

    rooms: HandBuiltRooms


def drain(rooms: HandBuiltRooms, *, ahead: bool, max_rows: int = 7) -> list[tuple[object, ...]]:
    with rooms.serving.follow("late", max_rows=max_rows, ahead=ahead) as follower:
        return [told(result) for result in follower.steps()]


def test_it_gives_the_same_steps(rooms: HandBuiltRooms, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile = Meanwhile(monkeypatch, {})
    for day in range(2):
        land(rooms, day)
    with rooms.serving.follow("late", max_rows=7) as follower:
        found = [told(result) for result in follower.steps(until=START + 30 * HOUR)]
        assert meanwhile.n_ahead == meanwhile.n_used == len(found) - 1
        found += [told(result) for result in follower.steps()]
    assert [n for n, *_ in found] == [7, 7, 7, 7, 3, 7, 7, 3]
    assert [late for _, late, *_ in found] == [0] * 8
    check_features(rooms)


def test_a_row_that_came_twice_is_answered_once(
    rooms: HandBuiltRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is met when the answer to the first is not committed yet."""
    meanwhile = Meanwhile(monkeypatch, {})
    land(rooms, 0)
    rooms.lake.table("schedule").append(trips([2, 3], shift=7 * HOUR))
    drain(rooms, ahead=True)
    assert meanwhile.n_used
    rows = predictions(rooms.lake.table("late_scores"))
    assert [row["trip"] for row in rows] == list(range(24))
    assert [row["features_at"] for row in rows[2:4]] == [START + 2 * HOUR, START + 3 * HOUR]


def late_row(rooms: HandBuiltRooms) -> None:
    rooms.lake.table("schedule").append(trips([100], shift=-99.5 * HOUR))


def soon_row(rooms: HandBuiltRooms) -> None:
    rooms.lake.table("schedule").append(trips([101], shift=-90.5 * HOUR))


def correction(rooms: HandBuiltRooms) -> None:
    rows = arrivals([1, 2, 9]).set_column(3, ARRIVALS.field("delay"), pa.array([400, 500, 600]))
    rooms.lake.table("arrivals").append(rows)


def removal(rooms: HandBuiltRooms) -> None:
    rooms.lake.table("arrivals").delete("trip = 3")


def new_champion(rooms: HandBuiltRooms) -> None:
    register(rooms, 0.5)
    rooms.models.set_alias("late", "champion", 2)


def rival(rooms: HandBuiltRooms) -> None:
    with rooms.serving.follow("late", max_rows=7) as other:
        assert other.step() is not None


def refuse(rooms: HandBuiltRooms) -> None:
    raise BackendError("no space left", code="store-full")


HAPPENINGS: dict[str, Happening] = {
    happening.__name__: happening
    for happening in (late_row, soon_row, correction, removal, new_champion, rival, refuse)
}


def lived(
    happenings: dict[int, Happening], *, ahead: bool, after: bool = False, max_rows: int = 7
) -> tuple[list[object], list[dict[str, object]]]:
    """The steps of two days in which something happens, and the predictions."""
    rooms = HandBuiltRooms(clock=ReplayClock(START))
    try:
        with pytest.MonkeyPatch.context() as patch:
            furnish(rooms)
            meanwhile = Meanwhile(patch, happenings, after=after)
            meanwhile.rooms = rooms
            steps: list[object] = []
            with rooms.serving.follow("late", max_rows=max_rows, ahead=ahead) as follower:
                for day in range(2):
                    land(rooms, day)
                    follow_on(follower, steps)
            assert ahead or not meanwhile.n_ahead
        if removal not in happenings.values():
            check_features(rooms)
        sizes = [
            i.added.n for i in rooms.lake.table("late_scores").history()[::-1] if i.transaction and i.added
        ]
        return [steps, sizes], predictions(rooms.lake.table("late_scores"))
    finally:
        rooms.close()


def follow_on(follower: Follower, steps: list[object]) -> None:
    """All steps there are; what fails is tried again."""
    while True:
        try:
            for result in follower.steps():
                steps.append(told(result))
        except BackendError as error:
            steps.append(error.code)
            continue
        return


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", sorted(HAPPENINGS))
def test_what_happens_while_a_step_is_committed(name: str, after: bool) -> None:
    happenings = {2: HAPPENINGS[name]}
    assert lived(happenings, ahead=True, after=after) == lived(happenings, ahead=False)


@settings(max_examples=8, deadline=None)
@given(
    st.dictionaries(st.integers(1, 9), st.sampled_from(sorted(HAPPENINGS)), max_size=4).filter(
        lambda found: len(set(found.values())) == len(found)
    ),
    st.booleans(),
    st.sampled_from([3, 7, 10]),
)
def test_histories(found: dict[int, str], after: bool, max_rows: int) -> None:
    happenings = {step: HAPPENINGS[name] for step, name in found.items() if name != "rival" or max_rows == 7}
    ahead = lived(happenings, ahead=True, after=after, max_rows=max_rows)
    assert ahead == lived(happenings, ahead=False, max_rows=max_rows)


def test_a_new_champion_needs_no_new_features(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    look = MovingFeatures.look

    def noted(moving: MovingFeatures, *args: Any) -> object:
        looks.append(args)
        return look(moving, *args)

    monkeypatch.setattr(MovingFeatures, "look", noted)
    (steps, _), _ = lived({2: new_champion}, ahead=True)
    assert isinstance(steps, list)
    assert [model for *_, model in steps] == ["model:late@1"] * 2 + ["model:late@2"] * (len(steps) - 2)
    assert len(looks) == len(steps)


def test_an_error_ahead_comes_when_its_step_does(
    rooms: HandBuiltRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(rooms, 0)
    score, asked = Scorer.score, []

    def refuse_the_second(scorer: Scorer, inputs: pa.Table, **more: Any) -> Any:
        asked.append(threading.current_thread().name)
        if len(asked) in (2, 3):
            raise UsageError("not these", code="model-refused-rows")
        return score(scorer, inputs, **more)

    monkeypatch.setattr(Scorer, "score", refuse_the_second)
    with rooms.serving.follow("late", max_rows=10) as follower:
        steps = follower.steps()
        assert next(steps).n_rows == 10
        with pytest.raises(UsageError, match="not these"):
            next(steps)
        assert asked == ["MainThread", "whence-ahead", "MainThread"]
        assert [result.n_rows for result in follower.steps()] == [10, 4]
    check_features(rooms)


def test_it_ends_between_two_commits(rooms: HandBuiltRooms) -> None:
    land(rooms, 0)
    with rooms.serving.follow("late", max_rows=5) as follower:
        for _ in follower.steps():
            break
        seen: list[StepResult] = []
        assert follower.run(lambda: len(seen) == 2, poll_s=0, on_step=seen.append) == 10
        assert working() == []
        assert follower.lag.n_rows == 9
        result = follower.step()
        assert result is not None
        assert told(result)[:2] == (5, 0)
    assert [n for n, *_ in drain(rooms, ahead=True)] == [4]
    check_features(rooms)


def test_one_step_at_a_time_works_not_ahead(rooms: HandBuiltRooms, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile = Meanwhile(monkeypatch, {})
    land(rooms, 0)
    with rooms.serving.follow("late", max_rows=10) as follower:
        assert [result.n_rows for result in iter(follower.step, None)] == [10, 10, 4]
    land(rooms, 1)
    assert [n for n, *_ in drain(rooms, ahead=False, max_rows=10)] == [10, 10, 4]
    assert meanwhile.n_ahead == 0


def test_it_is_asked_how_far_it_is_in_between(rooms: HandBuiltRooms) -> None:
    for day in range(2):
        land(rooms, day)
    with rooms.serving.follow("late", max_rows=20) as follower:
        assert [(r.n_rows, follower.lag.n_rows) for r in follower.steps()] == [(20, 28), (20, 8), (8, 0)]
    check_features(rooms)


def test_a_replay_reads_the_same_versions_ahead(rooms: HandBuiltRooms) -> None:
    land(rooms, 0)
    one = rooms.serving.replay("late", "late@1", start=START, max_rows=5)
    assert (one.n_rows, one.n_steps) == (24, 5)
    two = rooms.serving.replay("late", "late@1", start=START, into="again", end=START + DAY)
    rows = predictions(rooms.lake.table(one.into))
    assert rows == predictions(rooms.lake.table(two.into))


def test_work_that_fails_is_given_up() -> None:
    def fail() -> int:
        raise ValueError("no")

    def done(work: Callable[[], int]) -> int | None:
        ahead = Ahead(work)
        assert ahead.begin()
        return ahead.end()

    assert done(fail) is None
    assert done(lambda: 3) == 3
    itself = Ahead(lambda: itself.end() or 3)
    assert itself.begin()
    assert itself.end() is None
    never = Ahead(lambda: 3)
    assert never.end() is None
    assert never.begin()
    assert never.end() is None


def test_who_is_interrupted_while_a_thread_begins_still_waits_for_it(
    rooms: HandBuiltRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(2):
        land(rooms, day)
    start, find, working_on = threading.Thread.start, Follower._find_ahead, threading.Event()

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "whence-ahead":
            assert working_on.wait(30)
            raise KeyboardInterrupt

    def slow(follower: Follower, *args: Any) -> object:
        working_on.set()
        time.sleep(0.2)
        return find(follower, *args)

    monkeypatch.setattr(Follower, "_find_ahead", slow)
    with rooms.serving.follow("late", max_rows=20) as follower:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                next(follower.steps())
        assert working() == []
        assert [result.n_rows for result in follower.steps()] == [20, 20, 8]
    check_features(rooms)


def test_who_is_interrupted_while_waiting_waits_again(
    rooms: HandBuiltRooms, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """As Ctrl+C does it in a notebook; what is done ahead must not go on beside what is done next."""
    for day in range(2):
        land(rooms, day)
    # A process that was started in the background may have been told to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    end, find, ended, go_on = Ahead.end, Follower._find_ahead, [], threading.Event()

    def interrupted(ahead: Ahead[Any]) -> object:
        ended.append(ahead)
        if len(ended) == 1:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            threading.Timer(0.1, go_on.set).start()
        return end(ahead)

    def held_up(follower: Follower, *args: Any) -> object:
        assert go_on.wait(30)
        return find(follower, *args)

    monkeypatch.setattr(Ahead, "end", interrupted)
    monkeypatch.setattr(Follower, "_find_ahead", held_up)
    with rooms.serving.follow("late", max_rows=20) as follower:
        steps = follower.steps()
        assert next(steps).n_rows == 20
        with pytest.raises(KeyboardInterrupt):
            next(steps)
        assert ended == [ended[0]] * 2
        assert working() == []
        assert [(result.n_rows, result.n_late) for result in follower.steps()] == [(20, 0), (8, 0)]
    check_features(rooms)


def test_without_a_thread_to_be_had_it_works_as_ever(
    rooms: HandBuiltRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def none_left(thread: threading.Thread) -> None:
        if thread.name == "whence-ahead":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", none_left)
    land(rooms, 0)
    with rooms.serving.follow("late", max_rows=10) as follower:
        moments = []
        for result in follower.steps():
            fold = follower._moving._fold
            assert fold is not None
            moments.append((result.n_rows, result.n_late, fold.moment == result.scored_to))
    assert [(n, late) for n, late, _ in moments] == [(10, 0), (10, 0), (4, 0)]
    assert [moved for *_, moved in moments[:2]] == [True, True]
    check_features(rooms)


def test_misses_make_tries_rare_and_a_hit_makes_them_usual() -> None:
    pace = Pace()
    gaps = []
    for _ in range(9):
        pace.tell(used=False)
        gaps.append(next(n for n in range(1000) if pace.worth()))
    assert gaps == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    pace.tell(used=True)
    assert pace.worth()
    pace.tell(used=False)
    assert [pace.worth(), pace.worth()] == [False, True]
