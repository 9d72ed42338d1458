"""What a stream refuses, and that nothing is lost or counted twice by a failure on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import whence
from whence import Entity, FeatureView, Workspace, count, given
from whence._base.arrow import TS
from whence.errors import BackendError, ConflictError, UsageError
from whence.lake import changes
from whence.lake.changes import Change

START = datetime(2025, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SAMPLE = pa.table({"x": [1.0]})


def trips(*numbers: int, x: float | None = 1.0) -> list[dict[str, object]]:
    return [{"trip": n, "x": x, "at": START + n * HOUR} for n in numbers]


def fitted() -> LogisticRegression:
    return LogisticRegression().fit([[0.0], [1.0], [3.0], [4.0]], [0, 0, 1, 1])


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with whence.connect(tmp_path / "a.whence") as opened:
        opened.table("trips").append(trips(1, 2, 3))
        opened.models.register("late", fitted(), sample=SAMPLE)
        opened.models.set_alias("late", "champion", 1)
        deploy(opened)
        yield opened


def deploy(ws: Workspace, **changed: Any) -> None:
    given_as: dict[str, Any] = {
        "model": "late@champion", "table": "trips", "views": [given("x")], "at": "at", "key": "trip", "into": "scores",
    }  # fmt: skip
    ws.serving.deploy("late", **{**given_as, **changed})


def follow(ws: Workspace) -> int:
    with ws.serving.follow("late") as follower:
        n = 0
        while (step := follower.step()) is not None:
            n += step.n_rows
        return n


def test_a_row_that_the_model_refuses_is_named_and_another_model_goes_on(ws: Workspace) -> None:
    ws.table("trips").append([*trips(4, 5), *trips(6, x=None), *trips(7, x=None)])
    with pytest.raises(
        UsageError, match=r"(?s)late@1 does not take these rows: ValueError.*trip 6, at .* is the first"
    ) as caught:
        follow(ws)
    assert caught.value.code == "model-refused-rows"
    forgiving = make_pipeline(SimpleImputer(), fitted())
    ws.models.register("late", forgiving.fit([[0.0], [1.0], [3.0], [4.0]], [0, 0, 1, 1]), sample=SAMPLE)
    ws.models.set_alias("late", "champion", 2)
    assert follow(ws) == 7
    assert sorted(ws.table("scores").arrow(["trip"])["trip"].to_pylist()) == [1, 2, 3, 4, 5, 6, 7]


def test_an_epoch_that_has_answered_stays_the_stream_it_is(ws: Workspace) -> None:
    deploy(ws, into="others")
    deploy(ws)  # nothing has answered yet: all may change
    assert follow(ws) == 3
    wrong: list[dict[str, Any]] = [{"into": "others"}, {"key": ["trip", "x"]}, {"start": START}, {"epoch": 1}]
    for changed in wrong:
        with pytest.raises(ConflictError) as caught:
            deploy(ws, **changed)
        assert caught.value.code == "deployment-epoch"
    deploy(ws, model="late@1")
    deploy(ws, epoch=1, into="scores_1")
    assert follow(ws) == 3
    deploy(ws)  # back to the first
    ws.table("trips").append(trips(4))
    assert follow(ws) == 1


def test_a_reading_that_fails_half_way_counts_no_row_twice(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    landings = ws.lake.create(
        "landings",
        pa.schema([("line", pa.string()), ("at", TS), ("known_at", TS)]),
        event_time="at",
        known_at="known_at",
    )

    def land(n: int) -> None:
        at = START + n * HOUR
        ws.table("landings").append([{"line": "S1", "at": at, "known_at": at}], watermark=at)

    view = FeatureView(
        "d",
        entity=Entity("line", ["line"]),
        source=landings.name,
        timestamp="at",
        features=[count(over="10d")],
    )
    ws.models.register("busy", fitted(), sample=pa.table({"d__count_10d": pa.array([1], pa.int64())}))
    ws.table("asked").append([{"trip": 0, "line": "S1", "at": START + HOUR / 2}])
    ws.serving.deploy(
        "busy", model="busy@1", table="asked", views=[view], at="at", key="trip", into="busy_scores"
    )
    land(0)
    land(1)
    with ws.serving.follow("busy") as follower:
        assert follower.step() is not None
        for n in (2, 3, 4):
            land(n)
        ws.table("asked").append([{"trip": 3, "line": "S1", "at": START + 3.5 * HOUR}])
        with monkeypatch.context() as failing:
            failing.setattr(changes, "_read", failing_second(changes._read))
            with pytest.raises(BackendError):
                follower.step()
        assert follower.step() is not None
    stored = ws.table("busy_scores").arrow(["trip", "d__count_10d"]).sort_by("trip")
    assert stored["d__count_10d"].to_pylist() == [1, 4]


def failing_second(read: Callable[..., Iterator[Change]]) -> Callable[..., Iterator[Change]]:
    """Reads one commit of the landings and fails on the next."""

    def reading(core: Any, upto: Any, infos: Any, columns: Any) -> Iterator[Change]:
        for n, change in enumerate(read(core, upto, infos, columns)):
            if n == 1 and upto.table == "landings":
                raise BackendError("the disk does not answer", code="store-failed")
            yield change

    return reading
