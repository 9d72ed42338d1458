"""Batch scoring: one prediction a row, beside what it was made of, exactly once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given as forall
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

from whence._base.arrow import TS
from whence._base.crash import VARIABLE
from whence._base.digest import canonical_json, spec_digest
from whence.errors import IntegrityError, NotFoundError, UnsupportedError, UsageError
from whence.features import AnyView, Entity, FeatureView, count, given, mean
from whence.metadata import Execution, Recorder, open_store
from whence.serving import ScoreResult, find_prediction
from whence.serving.batch import check_keys
from whence.serving.predictions import NO_DEFINITIONS, definitions_of, prediction_schema, told_of
from whence.serving.scorer import Scorer, matrix
from whence.testing.pipelines import HandBuiltRooms, run_elsewhere

START = datetime(2013, 4, 1, tzinfo=UTC)
DELAYS = FeatureView(
    "delays",
    entity=Entity("carrier", join_keys=["carrier"]),
    source="arrivals",
    timestamp="arr_at",
    features=[mean("delay", over="7d"), count(over="7d")],
)
VIEWS: list[AnyView] = [DELAYS, given("distance")]


def schedule_rows(n: int) -> pa.Table:
    return pa.table(
        {
            "carrier": ["B6" if i % 2 else "AA" for i in range(n)],
            "flight": pa.array(range(n), pa.int64()),
            "at": pa.array([START + timedelta(hours=i) for i in range(n)], TS),
            "distance": [100.0 * i for i in range(n)],
        }
    )


def fill(rooms: HandBuiltRooms) -> None:
    rooms.lake.create(
        "arrivals",
        pa.schema([("carrier", pa.string()), ("arr_at", TS), ("delay", pa.int64()), ("known_at", TS)]),
        event_time="arr_at",
        known_at="known_at",
    )
    times = [START - timedelta(days=1, minutes=7 * i) for i in range(20)]
    rooms.lake.table("arrivals").append(
        pa.table(
            {
                "carrier": ["B6" if i % 3 else "AA" for i in range(20)],
                "arr_at": pa.array(times, TS),
                "delay": pa.array(range(20), pa.int64()),
                "known_at": pa.array(times, TS),
            }
        )
    )
    rooms.lake.table("schedule").append(schedule_rows(6))
    x = np.array([[1.0, 5.0, 0.0], [9.0, 1.0, 300.0], [3.0, 4.0, 100.0], [8.0, 2.0, 500.0]])
    sample = pa.table(
        {
            "delays__mean_delay_7d": pa.array([1.0]),
            "delays__count_7d": pa.array([1], pa.int64()),
            "distance": pa.array([1.0]),
        }
    )
    rooms.models.register("late", LogisticRegression().fit(x, [0, 1, 0, 1]), sample=sample)
    rooms.models.set_alias("late", "champion", 1)


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    rooms = HandBuiltRooms(tmp_path / "ws")
    fill(rooms)
    yield rooms
    rooms.close()


def score(rooms: HandBuiltRooms, spine: Any = None, **more: Any) -> ScoreResult:
    given: dict[str, Any] = {
        "views": VIEWS,
        "at": "at",
        "into": "late_scores",
        "key": ["carrier", "flight"],
        **more,
    }
    return rooms.serving.score(
        "late@champion", spine if spine is not None else rooms.lake.table("schedule"), **given
    )


def test_one_prediction_a_row_beside_its_inputs(rooms: HandBuiltRooms) -> None:
    result = score(rooms)
    rows = rooms.lake.table("late_scores").arrow()
    assert (result.n_rows, result.ref, result.model, result.duplicate) == (
        6,
        "table:late_scores@1",
        "model:late@1",
        False,
    )
    assert rows.column_names == [
        "carrier", "flight", "features_at", "delays__mean_delay_7d", "delays__count_7d", "distance",
        "score", "model", "model_digest", "definitions", "sources", "execution", "scored_at",
    ]  # fmt: skip
    expected = rooms.features.point_in_time(schedule_rows(6), VIEWS, at="at")
    assert rows["delays__mean_delay_7d"].to_pylist() == expected["delays__mean_delay_7d"].to_pylist()
    x = matrix(rows.select(["delays__mean_delay_7d", "delays__count_7d", "distance"]))
    model = rooms.models.load("late@1")
    assert rows["score"].to_pylist() == model.predict_proba(x)[:, 1].tolist()
    [first, *_] = rows.to_pylist()
    assert (first["model"], first["model_digest"]) == ("late@1", rooms.models.get("late@1").digest)
    assert first["definitions"] == spec_digest({view.name: view.digest for view in VIEWS})
    assert json.loads(first["sources"]) == {"arrivals": 1}
    assert (first["features_at"], f"execution:{first['execution']}") == (START, result.execution)


def test_the_execution_names_everything(rooms: HandBuiltRooms) -> None:
    result = score(rooms)
    uid = result.execution.removeprefix("execution:")
    [node] = rooms.recorder.store.get_nodes("execution", uids=[uid])
    assert isinstance(node, Execution)
    assert (node.type, node.name, node.state) == ("score", "late_scores:0:table:schedule@0", "COMPLETE")
    assert (node.get("model"), node.get("sources"), node.get("n_rows")) == (
        "model:late@1",
        {"arrivals": 1},
        6,
    )
    up = rooms.recorder.store.lineage([uid], direction="up", max_hops=1)
    assert {f"{a.type} {a.name}" for a in up.artifacts} >= {
        "TableVersion schedule@0", "TableVersion arrivals@1", "Model late@1",
    }  # fmt: skip
    down = rooms.recorder.store.lineage([uid], direction="down", max_hops=1)
    made = sorted(str(a.name) for a in down.artifacts if a.type == "TableVersion")
    assert made == ["late_scores@0", "late_scores@1"]  # made empty by the first batch, then filled


def test_a_batch_is_scored_once(rooms: HandBuiltRooms) -> None:
    first = score(rooms)
    again = score(rooms)
    assert (again.duplicate, again.ref, again.n_rows, again.execution) == (
        True,
        first.ref,
        6,
        first.execution,
    )
    rooms.models.register("late", LogisticRegression().fit([[0.0, 0, 0], [1, 1, 1]], [0, 1]))
    rooms.models.set_alias("late", "champion", 2)
    assert score(rooms).duplicate
    assert rooms.lake.table("late_scores").arrow().num_rows == 6
    anew = score(rooms, epoch=1, into="again", deployment="again")
    assert (anew.model, anew.duplicate) == ("model:late@2", False)


def test_slices_of_a_table_are_batches_of_their_own(rooms: HandBuiltRooms) -> None:
    early = score(rooms, where="flight < 2")
    late = score(rooms, where="flight >= 2", batch="the rest")
    assert (early.n_rows, late.n_rows, score(rooms, where="flight < 2").duplicate) == (2, 4, True)
    assert sorted(rooms.lake.table("late_scores").arrow()["flight"].to_pylist()) == [0, 1, 2, 3, 4, 5]


def test_rows_by_hand(rooms: HandBuiltRooms) -> None:
    assert score(rooms, schedule_rows(3)).n_rows == 3
    assert score(rooms, schedule_rows(3)).duplicate
    with pytest.raises(UsageError) as caught:
        score(rooms, schedule_rows(3), where="flight = 1")
    assert caught.value.code == "where-without-table"


def test_an_empty_batch_commits_progress(rooms: HandBuiltRooms) -> None:
    result = score(rooms, where="flight > 100", watermark=START)
    head = rooms.lake.table("late_scores").head()
    assert (result.n_rows, result.commit.version, head.n_rows, head.watermark) == (0, 1, 0, START)
    assert score(rooms, where="flight > 100").duplicate


def test_a_spine_whose_rows_cannot_be_told_apart_is_refused(rooms: HandBuiltRooms) -> None:
    twice = pa.concat_tables([schedule_rows(3), schedule_rows(2)])
    with pytest.raises(UsageError, match="2 keys occur more than once in the spine: carrier=") as caught:
        score(rooms, twice)
    assert caught.value.code == "spine-key"
    null = schedule_rows(2).set_column(1, "flight", pa.array([1, None], pa.int64()))
    with pytest.raises(UsageError, match="key column 'flight' is null in 1 rows"):
        score(rooms, null)
    with pytest.raises(NotFoundError, match="column 'fligth' not found"):
        score(rooms, key="fligth")
    assert not rooms.lake.table("late_scores").exists


def test_a_model_is_asked_only_with_its_columns(rooms: HandBuiltRooms) -> None:
    with pytest.raises(UsageError, match="distance: missing, want double") as caught:
        score(rooms, schedule_rows(2).drop_columns(["distance"]), views=[DELAYS])
    assert caught.value.code == "signature-mismatch"
    whole = schedule_rows(2).set_column(3, "distance", pa.array([1, 2], pa.int64()))
    with pytest.raises(UsageError, match=r"distance: .*int64"):
        score(rooms, whole)
    [failed] = rooms.recorder.store.find_nodes(
        "execution", type_="score", where={"error_code": "signature-mismatch"}
    ).nodes[:1]
    assert failed.get("error_type") == "UsageError"
    assert not rooms.lake.table("late_scores").exists


def test_a_corrupted_model_does_not_answer(rooms: HandBuiltRooms, tmp_path: Path) -> None:
    digest = rooms.models.get("late@1").digest.removeprefix("sha256:")
    [file] = [
        p for p in (tmp_path / "ws" / "blobs").rglob("*") if p.is_file() and p.name.endswith(digest[-20:])
    ]
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError) as caught:
        score(rooms)
    assert caught.value.code == "blob-corrupted"
    assert not rooms.lake.table("late_scores").exists


def test_a_prediction_is_found_by_its_key(rooms: HandBuiltRooms) -> None:
    score(rooms)
    found = rooms.serving.find("prediction:late_scores/B6-3")
    assert (found.key, found.table_ref, found.model) == (
        {"carrier": "B6", "flight": 3},
        "table:late_scores@1",
        "late@1",
    )
    assert list(found.features) == ["delays__mean_delay_7d", "delays__count_7d", "distance"]
    assert (found.features_at, found.sources) == (START + timedelta(hours=3), {"arrivals": 1})
    assert found.definitions["delays"] == DELAYS.digest
    assert find_prediction(rooms.lake, "late_scores@1/B6-3", graph=rooms.recorder.store) == found
    assert found.to_dict()["model"] == "model:late@1"
    for ref, error in [
        ("prediction:late_scores/B6-77", "prediction 'late_scores/B6-77' not found"),
        ("prediction:late_score/B6-3", "table 'late_score' not found"),
    ]:
        with pytest.raises(NotFoundError, match=error):
            rooms.serving.find(ref)
    with pytest.raises(UsageError) as caught:
        rooms.serving.find("prediction:schedule/B6-3")
    assert caught.value.code == "not-predictions"


def test_definitions_go_by_the_digest_that_the_row_has(rooms: HandBuiltRooms) -> None:
    """The map is looked up in the execution, and is that of the digest or is not told."""
    score(rooms)
    graph, map_ = rooms.recorder.store, {view.name: view.digest for view in VIEWS}
    row = rooms.lake.table("late_scores").arrow(["definitions", "execution"]).to_pylist()[0]
    assert definitions_of(graph, row["definitions"], row["execution"]) == (map_, None)
    # a row of an earlier version
    assert definitions_of(graph, canonical_json(map_), "gone") == (map_, None)
    assert definitions_of(graph, NO_DEFINITIONS, "gone") == ({}, None)
    none, error = definitions_of(graph, row["definitions"], "gone")
    assert (none, error) == ({}, "its definitions are out of reach: the graph has no execution:gone")
    none, error = definitions_of(graph, "sha256:" + "0" * 64, row["execution"])
    assert none == {}
    assert str(error).startswith("its definitions are out of reach: execution:")


@forall(st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3), max_size=4))
def test_every_map_of_an_execution_is_told(maps: list[dict[str, str]]) -> None:
    recorder = Recorder(open_store("memory://"))
    with recorder.execution("answer", properties=told_of(maps)) as recording:
        pass
    for one in maps:
        assert definitions_of(recorder.store, spec_digest(one), recording.uid) == (one, None)


def test_a_key_scored_twice_is_said(rooms: HandBuiltRooms) -> None:
    score(rooms)
    score(rooms, batch="again")
    with pytest.raises(IntegrityError, match="was scored 2 times"):
        rooms.serving.find("late_scores/B6-3")


def go(folder: str) -> None:
    """Run in another process."""
    score(HandBuiltRooms(Path(folder)))


@pytest.mark.parametrize(
    "point",
    [
        "metadata.intent.after",
        "serving.before-commit",
        "lake.commit.after:2",
        "serving.after-commit",
        "metadata.closing.after",
    ],
)
def test_killed_and_scored_again(rooms: HandBuiltRooms, tmp_path: Path, point: str) -> None:
    rooms.close()
    here = str(Path(__file__).parent)
    killed = run_elsewhere("test_batch:go", str(tmp_path / "ws"), paths=[here], environment={VARIABLE: point})
    assert killed == -9
    again = HandBuiltRooms(tmp_path / "ws")
    again.lake.reconcile()
    again.recorder.recover()
    result = score(again)
    rows = again.lake.table("late_scores").arrow().sort_by("flight").drop_columns(["scored_at"])
    assert (result.n_rows, rows.num_rows) == (6, 6)
    assert again.recorder.store.find_nodes("execution", state="RUNNING").nodes == []
    assert set(rows["execution"].to_pylist()) == {result.execution.removeprefix("execution:")}
    undisturbed = score(again, into="undisturbed")
    other = again.lake.table("undisturbed").arrow().sort_by("flight").drop_columns(["scored_at"])
    assert undisturbed.n_rows == 6
    assert rows.drop_columns(["execution"]).equals(other.drop_columns(["execution"]))
    again.close()


def test_answers_are_one_number_a_row(rooms: HandBuiltRooms) -> None:
    version = rooms.models.get("late@1")
    line = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])
    assert Scorer(version, line).score(pa.table({"x": [3.0]})).round(6).tolist() == [6.0]
    three = LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 2])
    with pytest.raises(UnsupportedError, match="tells 3 classes apart"):
        Scorer(version, three)
    with pytest.raises(UsageError) as caught:
        Scorer(version, object())
    assert caught.value.code == "not-a-scorer"

    class Silent:
        def predict(self, x: Any) -> Any:
            return np.full(len(x), np.nan)

    with pytest.raises(IntegrityError) as other:
        Scorer(version, Silent()).score(pa.table({"x": [3.0]}))
    assert other.value.code == "score-not-finite"


def test_a_column_cannot_have_the_name_of_another() -> None:
    with pytest.raises(UsageError) as caught:
        prediction_schema(schedule_rows(1).schema, ["flight"], pa.schema([("score", pa.float64())]))
    assert caught.value.code == "prediction-column"


@forall(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("ab")), max_size=12))
def test_keys_are_checked_as_a_set_would(pairs: list[tuple[int, str]]) -> None:
    table = pa.table(
        {"n": pa.array([p[0] for p in pairs], pa.int64()), "c": pa.array([p[1] for p in pairs], pa.string())}
    )
    if len(set(pairs)) == len(pairs):
        check_keys(table, ["n", "c"], "n")
    else:
        with pytest.raises(UsageError):
            check_keys(table, ["n", "c"], "n")


def test_a_model_with_other_features_goes_on_with_the_table(rooms: HandBuiltRooms) -> None:
    score(rooms)
    counts = FeatureView(
        "delays",
        entity=DELAYS.entity,
        source="arrivals",
        timestamp="arr_at",
        features=[count(over="7d"), count(over="1d")],
    )
    sample = pa.table({"delays__count_7d": pa.array([1]), "delays__count_1d": pa.array([1])})
    x = np.array([[1.0, 5.0], [9.0, 1.0], [3.0, 4.0], [8.0, 2.0]])
    rooms.models.register("late", LogisticRegression().fit(x, [0, 1, 0, 1]), sample=sample)
    rooms.models.set_alias("late", "champion", 2)
    result = score(rooms, views=[counts], batch="again")
    assert (result.n_rows, result.model) == (6, "model:late@2")
    rows = rooms.lake.table("late_scores").arrow()
    old, new = (rows.filter(pa.compute.equal(rows["model"], f"late@{n}")) for n in (1, 2))
    assert (old["delays__count_1d"].null_count, new["delays__count_1d"].null_count) == (6, 0)
    assert (old["distance"].null_count, new["distance"].null_count) == (0, 6)
    assert rooms.lake.table("late_scores").head().verify() == rooms.lake.table("late_scores").digest()


def test_a_table_that_holds_no_predictions_of_such_keys_gains_no_column(rooms: HandBuiltRooms) -> None:
    for into, key in (("late_scores", ["flight"]), ("schedule_copy", ["carrier", "flight"])):
        if into == "late_scores":
            score(rooms)
        else:
            rooms.lake.create(into, schedule_rows(1).schema, key=key)
        before = rooms.lake.table(into).schema
        with pytest.raises(UsageError, match="schema-mismatch"):
            score(rooms, into=into, key=key, batch="other")
        assert rooms.lake.table(into).schema == before
