"""A champion that takes other columns than the one before: the predictions table holds both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from tests.unit.serving.streaming import FEATURES, START, check_features, follow, furnish, land
from whence._base.clock import ReplayClock
from whence.errors import UsageError
from whence.metadata import Execution
from whence.serving.predictions import fitting
from whence.testing.pipelines import HandBuiltRooms
from whence.trace import Tracer

TYPES = {
    "delays__mean_delay_1d": pa.float64(),
    "delays__count_7d": pa.int64(),
    "delays__delay": pa.int64(),
    "distance": pa.float64(),
}


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    rooms = HandBuiltRooms(tmp_path / "ws", clock=ReplayClock(START))
    furnish(rooms)
    yield rooms
    rooms.close()


def promote(rooms: HandBuiltRooms, columns: Sequence[str], **types: pa.DataType) -> None:
    """Another champion, which takes these columns."""
    rng = np.random.default_rng(0)
    x = rng.random((60, len(columns)))
    model = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=3).fit(x, x[:, 0] > 0.5)
    schema = pa.schema([(name, (TYPES | types)[name]) for name in columns])
    made = rooms.models.register("late", model, sample=schema.empty_table())
    rooms.models.set_alias("late", "champion", made.version)


def steps(rooms: HandBuiltRooms) -> list[Execution]:
    found = rooms.recorder.store.find_nodes("execution", type_="score").nodes
    return [e for e in found if isinstance(e, Execution)]


def test_a_champion_with_fewer_features_leaves_their_columns_null(rooms: HandBuiltRooms) -> None:
    land(rooms, 0)
    follow(rooms)
    promote(rooms, ["distance", "delays__count_7d"])
    land(rooms, 1)
    [step] = follow(rooms)
    assert (step.n_rows, step.model) == (24, "model:late@2")
    rows = rooms.lake.table("late_scores").arrow().sort_by("trip").to_pylist()
    assert [name for name in FEATURES if all(r[name] is None for r in rows[24:])] == [
        "delays__mean_delay_1d",
        "delays__delay",
    ]
    assert all(r["delays__count_7d"] is not None and r["distance"] is not None for r in rows)
    assert [e.get("columns_added") for e in steps(rooms)] == [None, None]

    found = rooms.serving.find("late_scores/30")
    assert list(found.features) == ["distance", "delays__count_7d"]
    tracer = Tracer(rooms.recorder.store, rooms.lake, rooms.features, rooms.serving, rooms.models)
    trace = tracer.trace("prediction:late_scores/30")
    assert trace.mismatches() == []
    assert set(trace.values()) == {"distance", "delays__count_7d"}
    assert set(tracer.trace("prediction:late_scores/5").values()) == set(FEATURES)


def test_a_champion_with_a_new_feature_adds_its_column(rooms: HandBuiltRooms) -> None:
    promote(rooms, ["delays__count_7d", "distance"])
    land(rooms, 0)
    follow(rooms)
    before = rooms.lake.table("late_scores").head()
    promote(rooms, FEATURES)
    land(rooms, 1)
    [step] = follow(rooms)
    head = rooms.lake.table("late_scores").head()
    assert head.schema.names == [*before.schema.names, "delays__mean_delay_1d", "delays__delay"]
    assert rooms.lake.table("late_scores").at(before.version).schema == before.schema
    rows = head.arrow().sort_by("trip").to_pylist()
    assert {r["delays__mean_delay_1d"] for r in rows[:24]} == {None}
    assert len({r["delays__mean_delay_1d"] for r in rows[24:]}) > 5
    added = [e.get("columns_added") for e in steps(rooms)]
    assert added == [None, ["delays__mean_delay_1d", "delays__delay"]]
    assert step.commit.version == head.version
    assert list(rooms.serving.find("late_scores/30").features) == FEATURES
    promote(rooms, FEATURES)
    land(rooms, 2)
    follow(rooms)
    assert [e.get("columns_added") for e in steps(rooms)][2:] == [None]


def test_back_to_the_one_before(rooms: HandBuiltRooms) -> None:
    land(rooms, 0)
    follow(rooms)
    promote(rooms, ["distance"])
    land(rooms, 1)
    follow(rooms)
    rooms.models.set_alias("late", "champion", 1)
    land(rooms, 2)
    follow(rooms)
    table = rooms.lake.table("late_scores").arrow()
    assert set(table["model"].to_pylist()) == {"late@1", "late@2"}
    assert table["delays__count_7d"].null_count == 24


def test_two_followers_at_different_champions(rooms: HandBuiltRooms) -> None:
    """One has seen the table before the other added a column; it goes on with the table as it is."""
    promote(rooms, ["distance"])
    land(rooms, 0)
    with rooms.serving.follow("late", max_rows=10) as one, rooms.serving.follow("late", max_rows=10) as two:
        assert one.step() is not None
        promote(rooms, FEATURES)
        assert two.step() is not None
        rooms.models.set_alias("late", "champion", 2)
        assert one.step() is not None
        assert one.step() is None
    rows = rooms.lake.table("late_scores").arrow().sort_by("trip")
    assert rows["trip"].to_pylist() == list(range(24))
    assert rows["delays__count_7d"].null_count == 14


def test_a_column_of_another_type_is_refused() -> None:
    have = pa.schema([("trip", pa.int64()), ("distance", pa.float64())])
    rows = pa.table({"trip": pa.array([1], pa.int32()), "distance": ["far"]})
    with pytest.raises(UsageError, match=r"distance: have string, want double .*schema-mismatch"):
        fitting(rows, have, what="late_scores")
    assert fitting(rows.drop_columns(["distance"]), have, what="late_scores").to_pylist() == [
        {"trip": 1, "distance": None}
    ]


def test_features_are_still_those_of_the_moment(rooms: HandBuiltRooms) -> None:
    land(rooms, 0)
    follow(rooms)
    promote(rooms, list(reversed(FEATURES)))
    land(rooms, 1)
    follow(rooms)
    check_features(rooms)
