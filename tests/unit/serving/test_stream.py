"""A table is followed: each row answered once, with what was known at its moment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.serving.streaming import (
    ARRIVALS,
    DAY,
    DELAYS,
    FEATURES,
    HOUR,
    MICROSECOND,
    SCHEDULE,
    START,
    VIEWS,
    arrivals,
    check_features,
    deploy,
    follow,
    furnish,
    land,
    predictions,
    register,
    trips,
)  # fmt: skip
from whence._base.clock import ReplayClock
from whence.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from whence.features.store import view_version
from whence.metadata import Execution
from whence.serving import StepResult
from whence.serving.deployments import deployment_from_dict
from whence.testing.pipelines import HandBuiltRooms


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    rooms = HandBuiltRooms(tmp_path / "ws", clock=ReplayClock(START))
    furnish(rooms)
    yield rooms
    rooms.close()


def test_each_row_is_answered_once_as_it_becomes_due(rooms: HandBuiltRooms) -> None:
    land(rooms, 0)
    with rooms.serving.follow("late") as follower:
        first = follower.step(until=START + 5 * HOUR)
        assert first is not None
        assert (first.n_rows, first.n_late, first.scored_to, first.spine_version, first.model) == (
            6, 0, START + 5 * HOUR, 1, "model:late@1",
        )  # fmt: skip
        assert follower.step(until=START + 5 * HOUR) is None
        second = follower.step()
        assert second is not None
        assert (second.n_rows, second.scored_to, second.duplicate) == (18, START + DAY - MICROSECOND, False)
        assert follower.step() is None
        land(rooms, 1)
        third = follower.step()
        assert third is not None
        assert (third.n_rows, third.n_late, third.spine_version, follower.n_rows) == (24, 0, 2, 48)
    table = rooms.lake.table("late_scores")
    assert [row["trip"] for row in predictions(table)] == list(range(48))
    head = table.head()
    told = {n: head.transaction(f"score/late:0{n}") for n in ("", "/version", "/moment")}
    assert told == {"": 3, "/version": 2, "/moment": int((START + 2 * DAY).timestamp() * 1e6) - 1}
    assert head.watermark == START + 2 * DAY - MICROSECOND
    check_features(rooms)


def test_a_step_is_one_execution_with_all_it_read(rooms: HandBuiltRooms) -> None:
    land(rooms, 0)
    [result] = follow(rooms)
    [node] = rooms.recorder.store.get_nodes("execution", uids=[result.execution.removeprefix("execution:")])
    assert isinstance(node, Execution)
    assert (node.type, node.name, node.state) == ("score", "late:0:1", "COMPLETE")
    told = {n: node.get(n) for n in ("model", "into", "deployment", "sources", "n_rows", "n_late", "version")}
    assert told == {
        "model": "model:late@1", "into": "late_scores", "deployment": "late", "sources": {"arrivals": 1},
        "n_rows": 24, "n_late": 0, "version": 1,
    }  # fmt: skip
    up = rooms.recorder.store.lineage([node.uid], direction="up", max_hops=1)
    read = sorted(
        f"{a.type} {str(a.name).partition('#')[0]}" for a in up.artifacts if a.type != "Environment"
    )
    assert read == [
        f"FeatureView {view_version(DELAYS)}", f"FeatureView {view_version(VIEWS[1])}", "Model late@1",
        "TableVersion arrivals@1", "TableVersion schedule@1",
    ]  # fmt: skip
    down = rooms.recorder.store.lineage([node.uid], direction="down", max_hops=1)
    assert [a.name for a in down.artifacts] == ["late_scores@1"]
    assert rooms.recorder.store.find_nodes("artifact", state="PENDING").nodes == []
    [info, _] = rooms.lake.table("late_scores").history()
    assert info.progress == (("score/late:0/moment", 1364860799999999), ("score/late:0/version", 1))


def test_opened_anew_at_each_step_it_gives_the_same(rooms: HandBuiltRooms) -> None:
    deploy(rooms, "other", "other_scores")
    with rooms.serving.follow("other") as follower:
        for day in range(3):
            land(rooms, day)
            for hour in (7, 30):
                follow_until = START + day * DAY + hour * HOUR
                follower.step(until=follow_until)
                with rooms.serving.follow("late") as fresh:
                    fresh.step(until=follow_until)
    assert predictions(rooms.lake.table("late_scores")) == predictions(rooms.lake.table("other_scores"))
    check_features(rooms)


def test_nothing_is_answered_beyond_what_is_complete(rooms: HandBuiltRooms) -> None:
    rooms.lake.table("schedule").append(trips(range(24)), watermark=START + DAY)
    with rooms.serving.follow("late") as follower:
        # the arrivals have not said up to when they are complete: they are, as they stand
        assert follower.lag.complete_to == START + DAY
        rooms.lake.table("arrivals").append(arrivals(range(3)), watermark=START + 3 * HOUR)
        result = follower.step()
        assert result is not None
        assert (result.n_rows, result.scored_to) == (4, START + 3 * HOUR)
        lag = follower.lag
        assert (lag.n_versions, lag.n_rows, lag.scored_to, lag.complete_to) == (
            0, 20, START + 3 * HOUR, START + 3 * HOUR,
        )  # fmt: skip
        assert follower.step() is None


def test_a_table_that_says_nothing_of_completeness_is_answered_as_it_stands(rooms: HandBuiltRooms) -> None:
    rooms.lake.table("schedule").append(trips([5, 3, 4]))
    rooms.lake.table("arrivals").append(arrivals([0, 1]))
    with rooms.serving.follow("late") as follower:
        first = follower.step()
        assert first is not None
        assert (first.n_rows, first.scored_to) == (3, START + 5 * HOUR)
        rooms.lake.table("schedule").append(trips([1, 9]))
        second = follower.step()
        assert second is not None
        assert (second.n_rows, second.n_late, second.scored_to) == (2, 1, START + 9 * HOUR)
    check_features(rooms)


def test_late_and_repeated_rows(rooms: HandBuiltRooms) -> None:
    land(rooms, 0)
    assert [r.n_rows for r in follow(rooms)] == [24]
    schedule = rooms.lake.table("schedule")
    # one that never came, one that is answered, one that is answered and has moved, one of tomorrow twice
    late = pa.concat_tables(
        [trips([100], shift=-95 * HOUR), trips([3]), trips([4], shift=30 * HOUR), trips([30]), trips([30])]
    )
    schedule.append(late)
    with rooms.serving.follow("late") as follower:
        result = follower.step()
        assert result is not None
        assert (result.n_rows, result.n_late, result.spine_version) == (1, 1, 2)
        assert follower.step() is None
        land(rooms, 1)
        result = follower.step()
        assert result is not None
        assert (result.n_rows, result.n_late) == (24, 0)
    found = predictions(rooms.lake.table("late_scores"))
    assert [row["trip"] for row in found] == [*range(48), 100]
    assert found[4]["features_at"] == START + 4 * HOUR
    check_features(rooms)


def test_of_several_rows_of_a_key_the_earliest_then_the_last_known_counts(rooms: HandBuiltRooms) -> None:
    rows = [
        trips([7], shift=HOUR),
        trips([7], known=START + HOUR).set_column(3, SCHEDULE.field("distance"), pa.array([1.0])),
        trips([7], known=START + 2 * HOUR).set_column(3, SCHEDULE.field("distance"), pa.array([2.0])),
        trips([7]).set_column(3, SCHEDULE.field("distance"), pa.array([3.0])),
    ]
    rooms.lake.table("schedule").append(pa.concat_tables(rows))
    follow(rooms)
    [row] = predictions(rooms.lake.table("late_scores"))
    assert (row["features_at"], row["distance"]) == (START + 7 * HOUR, 2.0)


def test_late_corrected_and_repeated_arrivals_change_no_answer_but_later_ones(rooms: HandBuiltRooms) -> None:
    landed = rooms.lake.table("arrivals")
    with rooms.serving.follow("late") as follower:
        land(rooms, 0)
        follower.step()
        landed.append(arrivals([3, 4, 4, 9], late=DAY))
        again = arrivals([5, 6]).set_column(3, ARRIVALS.field("delay"), pa.array([400, 500]))
        landed.append(again)
        land(rooms, 1)
        result = follower.step()
        assert result is not None
        assert (result.n_rows, result.n_late) == (24, 0)
        land(rooms, 2)
        landed.compact()
        assert follower.step() is not None
    check_features(rooms)


def test_rows_of_a_source_that_were_changed_make_the_fold_anew(rooms: HandBuiltRooms) -> None:
    with rooms.serving.follow("late") as follower:
        for day in range(3):
            land(rooms, day)
            result = follower.step()
            assert result is not None
            assert (result.n_rows, result.n_late) == (24, 0)
            if day == 0:
                rooms.lake.table("arrivals").delete("trip = 23")
        moving = follower._moving
        assert moving.n_built == 2
    rows = rooms.lake.table("late_scores").arrow(where="trip >= 24")
    assert rows.num_rows == 48


def test_rows_of_the_spine_that_were_changed_are_read_anew(rooms: HandBuiltRooms) -> None:
    schedule = rooms.lake.table("schedule")
    with rooms.serving.follow("late") as follower:
        land(rooms, 0)
        follower.step(until=START + 10 * HOUR)
        schedule.delete("trip IN (2, 20)")
        schedule.append(trips([200], shift=-195 * HOUR))
        assert [r.n_rows for r in iter(follower.step, None)] == [13]
        land(rooms, 1)
        assert [r.n_rows for r in iter(follower.step, None)] == [24]
    assert [row["trip"] for row in predictions(rooms.lake.table("late_scores"))] == [
        *range(20), *range(21, 48), 200,
    ]  # fmt: skip
    check_features(rooms)


@pytest.mark.parametrize("max_rows", [1, 5, 7, 1000])
def test_steps_are_no_larger_than_asked_and_never_part_a_moment(rooms: HandBuiltRooms, max_rows: int) -> None:
    land(rooms, 0)
    rooms.lake.table("schedule").append(
        pa.concat_tables([trips([n], shift=(30 - n) * HOUR) for n in range(50, 56)])
    )
    land(rooms, 1)
    steps = follow(rooms, max_rows=max_rows)
    sizes = [s.n_rows for s in steps]
    assert sum(sizes) == 54
    assert max(sizes) <= max(max_rows, 7)
    assert [row["trip"] for row in predictions(rooms.lake.table("late_scores"))] == [
        *range(48),
        *range(50, 56),
    ]
    schedule = rooms.lake.table("schedule")
    schedule.append(trips([300, 301, 302], shift=-295 * HOUR))
    late = follow(rooms, max_rows=2)
    assert [(s.n_rows, s.n_late, s.spine_version) for s in late] == [(2, 2, 3), (1, 1, 4)]
    check_features(rooms)


def test_a_stream_begins_at_its_start(rooms: HandBuiltRooms) -> None:
    land(rooms, 0)
    land(rooms, 1)
    deploy(rooms, start=START + 30 * HOUR)
    assert [s.n_rows for s in follow(rooms)] == [18]
    rooms.lake.table("schedule").append(trips([60, 61], shift=-31 * HOUR))
    assert [(s.n_rows, s.n_late) for s in follow(rooms)] == [(1, 1)]
    assert [r["trip"] for r in predictions(rooms.lake.table("late_scores"))] == [*range(30, 48), 61]
    check_features(rooms)


def test_an_alias_is_followed_from_step_to_step(rooms: HandBuiltRooms) -> None:
    register(rooms, 0.5)
    with rooms.serving.follow("late") as follower:
        for day, version in enumerate([1, 2, 1]):
            rooms.models.set_alias("late", "champion", version)
            land(rooms, day)
            result = follower.step()
            assert result is not None
            assert result.model == f"model:late@{version}"
    rows = predictions(rooms.lake.table("late_scores"))
    assert [row["model"] for row in rows] == ["late@1"] * 24 + ["late@2"] * 24 + ["late@1"] * 24
    assert rows[0]["model_digest"] == rooms.models.get("late@1").digest


def test_a_row_that_cannot_be_answered_stops_the_stream_before_anything_is_written(
    rooms: HandBuiltRooms,
) -> None:
    land(rooms, 0)
    schedule = rooms.lake.table("schedule")
    schedule.append(
        trips([70]).set_column(2, SCHEDULE.field("at"), pa.array([None], SCHEDULE.field("at").type))
    )
    with rooms.serving.follow("late") as follower:
        with pytest.raises(UsageError, match="1 rows of the spine have no 'at'") as caught:
            follower.step()
        assert caught.value.code == "null-time"
        assert not rooms.lake.table("late_scores").exists
        schedule.delete('"at" IS NULL')
        result = follower.step()
        assert result is not None
        assert result.n_rows == 24


def test_a_predictions_table_that_was_put_back_is_said(rooms: HandBuiltRooms, tmp_path: Path) -> None:
    land(rooms, 0)
    follow(rooms)
    shutil.rmtree(tmp_path / "ws" / "lake" / "late_scores")
    with rooms.serving.follow("late") as follower, pytest.raises(IntegrityError) as caught:
        follower.step()
    assert caught.value.code == "step-lost"
    assert "the graph knows step 1 of deployment:late, table 'late_scores' does not have it" in str(
        caught.value
    )


def test_deployments_are_recorded_and_the_newest_is_in_force(rooms: HandBuiltRooms) -> None:
    first = rooms.serving.deployment("late")
    assert (first.name, first.model, first.key, first.into) == (
        "late",
        "late@champion",
        ("trip",),
        "late_scores",
    )
    n = len(rooms.recorder.store.find_nodes("execution", type_="deploy").nodes)
    assert deploy(rooms) == first
    second = deploy(rooms, model="late@1")
    assert rooms.serving.deployment("late") == second != first
    assert deploy(rooms) == first == rooms.serving.deployment("late")
    assert len(rooms.recorder.store.find_nodes("execution", type_="deploy").nodes) == n + 2
    assert [d.name for d in rooms.serving.deployments()] == ["late"]
    assert deployment_from_dict(first.to_dict()) == first
    with pytest.raises(NotFoundError, match="deployment 'lat' not found") as caught:
        rooms.serving.follow("lat")
    assert caught.value.near == ["late"]


def test_deployments_that_could_not_be_followed_are_refused(rooms: HandBuiltRooms) -> None:
    with pytest.raises(ConflictError, match="deployment 'late' writes into 'late_scores'"):
        deploy(rooms, "other")
    with pytest.raises(UsageError) as caught:
        deploy(rooms, into="schedule")
    assert caught.value.code == "deployment-into"
    with pytest.raises(NotFoundError, match="column 'trop' not found"):
        deploy(rooms, key="trop")
    with pytest.raises(UsageError) as caught:
        deploy(rooms, at="distance")
    assert caught.value.code == "bad-timestamp"
    with pytest.raises(NotFoundError):
        deploy(rooms, model="late@9")
    with pytest.raises(UsageError) as caught:
        deploy(rooms, key=[])
    assert caught.value.code == "spine-key"


def test_a_higher_epoch_scores_anew(rooms: HandBuiltRooms) -> None:
    land(rooms, 0)
    follow(rooms)
    deploy(rooms, epoch=1, into="late_scores_1")
    assert [s.n_rows for s in follow(rooms, max_rows=10)] == [10, 10, 4]
    land(rooms, 1)
    rooms.lake.table("schedule").append(trips([3]))
    assert [s.n_rows for s in follow(rooms)] == [24]
    assert predictions(rooms.lake.table("late_scores_1"))[:24] == predictions(rooms.lake.table("late_scores"))


def test_it_runs_until_it_is_told_to_stop(rooms: HandBuiltRooms) -> None:
    land(rooms, 0)
    seen: list[StepResult] = []
    with rooms.serving.follow("late", max_rows=10) as follower:
        n = follower.run(lambda: len(seen) == 2, poll_s=0, on_step=seen.append)
        assert (n, [s.n_rows for s in seen]) == (20, [10, 10])
        polls = iter([False, False, False, True])
        assert follower.run(lambda: next(polls), poll_s=0) == 4
    assert [s.n_rows for s in follow(rooms)] == []


def test_a_prediction_of_a_stream_is_found_as_any_other(rooms: HandBuiltRooms) -> None:
    land(rooms, 0)
    follow(rooms)
    found = rooms.serving.find("prediction:late_scores/5")
    assert (found.key, found.features_at, found.model, found.sources) == (
        {"trip": 5}, START + 5 * HOUR, "late@1", {"arrivals": 1},
    )  # fmt: skip
    assert list(found.features) == FEATURES


def test_the_fold_may_be_another(rooms: HandBuiltRooms) -> None:
    built: list[object] = []

    class Anew:
        """Computes everything anew, and keeps no rows."""

        moment = None
        features = pa.table({})

        def add(self, source: str, rows: pa.Table) -> None:
            built.append((source, rows.num_rows))

        def look(self, spine: pa.Table, *, at: str) -> Anew:
            self.features = rooms.features.point_in_time(spine, VIEWS, at=at)
            return self

        def take(self, look: Anew) -> None:
            """It stays where it is."""

    with rooms.serving.follow("late", make_fold=lambda *_: Anew()) as follower:
        for day in range(2):
            land(rooms, day)
            assert follower.step() is not None
    assert built == [("arrivals", 24)]
    check_features(rooms)
