"""Answering requests: each answer is in the table once, beside its inputs, whatever happens in between."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from whence._base.arrow import TS
from whence._base.crash import VARIABLE
from whence._base.digest import spec_digest
from whence._base.ids import derived_uid
from whence.errors import BackendError, ConflictError, UnsupportedError, UsageError
from whence.features import Entity, FeatureView, count, given, last
from whence.metadata import Execution
from whence.registry import ModelVersion
from whence.serving import Answer, Answerer, Deployment, Line
from whence.serving.asking import Looked
from whence.serving.lookup import online_lookup
from whence.serving.requestlog import Shard, list_shards
from whence.serving.requesttable import log_folder
from whence.testing.pipelines import HandBuiltRooms, run_elsewhere

SAMPLE = pa.table({"n": pa.array([1, 2], pa.int64()), "x": [0.5, 1.5]})
ROWS = [{"n": 3, "x": 0.25}, {"n": 4, "x": -1.0}]
DEPLOYMENT = Deployment("late", "late@champion", "", (), "features_at", ("id",), "late_scores")
INTO = "late_scores_requests"


def constant(value: float) -> Any:
    """A model whose answer tells which it is."""
    model = LinearRegression()
    model.coef_, model.intercept_, model.n_features_in_ = np.zeros(2), value, 2
    return model


def fill(rooms: HandBuiltRooms) -> None:
    rooms.models.register("late", constant(1.0), sample=SAMPLE)
    rooms.models.register("late", constant(2.0), sample=SAMPLE)
    rooms.models.set_alias("late", "champion", 1)


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    made = HandBuiltRooms(tmp_path / "ws")
    fill(made)
    yield made
    made.close()


def open_answerer(rooms: HandBuiltRooms, **more: Any) -> Answerer:
    assert rooms.folder is not None
    settings: dict[str, Any] = {"follow_s": 0, "seal_s": 1_000} | more
    return Answerer(
        more.pop("deployment", DEPLOYMENT), rooms.folder / "requests", recorder=rooms.recorder, lake=rooms.lake,
        models=rooms.models, **{k: v for k, v in settings.items() if k != "deployment"},
    )  # fmt: skip


def stored(rooms: HandBuiltRooms) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = rooms.lake.table(INTO).arrow().to_pylist()
    return sorted(rows, key=lambda r: (r["request_id"], r["row"]))


def test_an_answer_is_a_row_beside_its_inputs(rooms: HandBuiltRooms) -> None:
    with open_answerer(rooms) as answerer:
        answer = answerer.answer(ROWS, id="first")
    assert (answer.scores, answer.model, answer.version) == ([1.0, 1.0], "late@1", 1)
    assert answer.refs == [f"prediction:{INTO}/first-0", f"prediction:{INTO}/first-1"]
    rows = stored(rooms)
    assert [(r["request_id"], r["row"], r["n"], r["x"], r["score"]) for r in rows] == [
        ("first", 0, 3, 0.25, 1.0),
        ("first", 1, 4, -1.0, 1.0),
    ]
    assert {r["model_digest"] for r in rows} == {rooms.models.get("late@1").digest}
    assert {r["features_at"] for r in rows} == {answer.moment}
    found = rooms.serving.find(f"{INTO}/first-1")
    assert (found.features, found.definitions, found.sources) == ({"n": 4, "x": -1.0}, {}, {})
    shard = next(list_shards(log_folder(rooms.folder / "requests", "late"))) if rooms.folder else None
    assert shard is not None
    execution = rooms.recorder.store.get_nodes("execution", uids=[found.execution])[0]
    assert isinstance(execution, Execution)
    assert found.execution == derived_uid("answer", f"late:{shard.name}:1")
    assert (execution.state, execution.get("n_rows"), execution.get("n_requests")) == ("COMPLETE", 2, 1)
    assert not list(shard.glob("*.log"))


def test_types_of_the_table_are_those_of_the_signature(rooms: HandBuiltRooms) -> None:
    with open_answerer(rooms) as answerer:
        answerer.line.scorer._ask = lambda x: np.nan_to_num(x[:, 1])  # a model that takes missing values
        answerer.answer(pa.table({"n": pa.array([None, 2**60], pa.int64()), "x": [None, 0.5]}), id="a")
        answerer.answer([{"n": None, "x": None}], id="b")
    schema = rooms.lake.table(INTO).schema
    assert [schema.field(c).type for c in ("n", "x", "row")] == [pa.int64(), pa.float64(), pa.int64()]
    assert [(r["n"], r["x"]) for r in stored(rooms)] == [(None, None), (2**60, 0.5), (None, None)]


def test_the_same_id_is_answered_with_what_is_stored(rooms: HandBuiltRooms) -> None:
    with open_answerer(rooms) as answerer:
        first = answerer.answer(ROWS, id="same")
        rooms.models.set_alias("late", "champion", 2)
        assert answerer.refresh()
        assert answerer.answer(ROWS, id="other").scores == [2.0, 2.0]
        again = answerer.answer(ROWS, id="same")
        assert (again.scores, again.model, again.moment, again.repeated) == (
            first.scores, "late@1", first.moment, True,
        )  # fmt: skip
        answerer.seal()
        assert answerer.answer(ROWS, id="same").moment == first.moment
        with pytest.raises(ConflictError, match="request-id-reused"):
            answerer.answer(ROWS[:1], id="same")
    with open_answerer(rooms) as later:  # another process: the id is found in the table
        assert later.answer(ROWS, id="same") == again
        with pytest.raises(ConflictError, match="request-id-reused"):
            later.answer([{"n": 9, "x": 0.25}, {"n": 4, "x": -1.0}], id="same")
        made = later.answer(ROWS)
        later.seal()
        assert later.answer(ROWS, id=made.id).repeated
    assert [r["request_id"] for r in stored(rooms)] == ["other"] * 2 + ["same"] * 2 + [made.id] * 2


class Gate(LinearRegression):  # type: ignore[misc]  # sklearn ships no types
    """A model that waits until it is let."""

    passing = threading.Event()
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()

    def predict(self, x: Any) -> Any:
        Gate.asked.put(len(x))
        assert Gate.passing.wait(30)
        return super().predict(x)


@pytest.fixture
def gated(rooms: HandBuiltRooms, monkeypatch: pytest.MonkeyPatch) -> Iterator[HandBuiltRooms]:
    gate = Gate()
    gate.coef_, gate.intercept_, gate.n_features_in_ = np.zeros(2), 7.0, 2
    Gate.passing.set()
    Gate.asked = queue.SimpleQueue()
    monkeypatch.setattr(rooms.models, "load", lambda *_, **__: gate)
    yield rooms
    Gate.passing.set()


def submit(answerer: Answerer, rows: list[dict[str, Any]], id_: str | None = None) -> queue.SimpleQueue[Any]:
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    answerer.submit(answerer.line.ask_table(pa.Table.from_pylist(rows), id=id_), told.put)
    return told


def test_what_is_queued_is_predicted_together(gated: HandBuiltRooms) -> None:
    with open_answerer(gated) as answerer:
        assert Gate.asked.get(timeout=30) == 1  # it was asked once before it took over
        Gate.passing.clear()
        first = submit(answerer, ROWS[:1])
        assert Gate.asked.get(timeout=30) == 1
        others = [submit(answerer, ROWS) for _ in range(5)]
        same = [submit(answerer, ROWS, "same") for _ in range(3)]
        Gate.passing.set()
        assert first.get(timeout=30).scores == [7.0]
        assert [o.get(timeout=30).scores for o in others] == [[7.0, 7.0]] * 5
        assert [s.get(timeout=30).repeated for s in same].count(True) == 2
        assert Gate.asked.get(timeout=30) == 12  # five of two rows, and the same request once
    assert len(stored(gated)) == 13


def test_too_many_rows_are_refused_and_none_is_lost(gated: HandBuiltRooms) -> None:
    with open_answerer(gated, max_waiting=4) as answerer:
        Gate.asked.get(timeout=30)
        Gate.passing.clear()
        waiting = [submit(answerer, ROWS[:1])]
        Gate.asked.get(timeout=30)
        waiting += [submit(answerer, ROWS[:1]) for _ in range(3)]
        with pytest.raises(BackendError, match="requests-busy") as raised:
            submit(answerer, ROWS[:1])
        assert raised.value.retryable
        Gate.passing.set()
        assert [w.get(timeout=30).scores for w in waiting] == [[7.0]] * 4
        assert answerer.answer(ROWS).scores == [7.0, 7.0]
        assert answerer.n_waiting == 0


def test_closing_answers_what_waits(gated: HandBuiltRooms) -> None:
    answerer = open_answerer(gated)
    Gate.asked.get(timeout=30)
    Gate.passing.clear()
    told = [submit(answerer, ROWS[:1]) for _ in range(8)]
    closing = threading.Thread(target=answerer.close)
    closing.start()
    Gate.passing.set()
    closing.join(30)
    assert [t.get(timeout=30).scores for t in told] == [[7.0]] * 8
    assert len(stored(gated)) == 8
    with pytest.raises(ConflictError, match="answerer-closed"):
        submit(answerer, ROWS)


def test_a_request_that_fails_harms_no_other(rooms: HandBuiltRooms) -> None:
    class Picky(LinearRegression):  # type: ignore[misc]  # sklearn ships no types
        def predict(self, x: Any) -> Any:
            if (x[:, 0] < 0).any():
                raise ValueError("negative")
            return x[:, 0]

    with open_answerer(rooms) as answerer:
        answerer.line.scorer._ask = Picky().predict  # the smallest way to a model that raises
        tables = [pa.table({"n": [n], "x": [0.0]}) for n in (1, -1, 2)]
        told: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in tables]
        group = [(answerer.line.ask_table(t), q.put) for t, q in zip(tables, told, strict=True)]
        answerer._predict(group)
        first, second, third = (q.get(timeout=30) for q in told)
    assert (first.scores, third.scores) == ([1.0], [2.0])
    assert isinstance(second, UsageError)
    assert second.code == "model-refused-rows"
    assert [r["n"] for r in rooms.lake.table(INTO).arrow().to_pylist()] == [1, 2]


def test_the_alias_is_followed_without_being_asked(rooms: HandBuiltRooms) -> None:
    moved = threading.Event()
    with open_answerer(rooms, follow_s=0.01) as answerer:
        assert answerer.answer(ROWS[:1]).scores == [1.0]
        opened = answerer._open_line

        def seen(version: ModelVersion) -> Line:
            moved.set()
            return opened(version)

        answerer._open_line = seen  # type: ignore[method-assign]
        rooms.models.set_alias("late", "champion", 2)
        assert moved.wait(30)
        with answerer._switching:
            pass
        assert answerer.answer(ROWS[:1]).scores == [2.0]
        assert answerer.pinned(1).version.version == 1
        assert answerer.answer(ROWS[:1], version=1).scores == [1.0]


def test_a_version_that_cannot_answer_does_not_take_over(rooms: HandBuiltRooms) -> None:
    with open_answerer(rooms) as answerer:
        answerer.answer(ROWS)
        answerer.seal()
        rooms.models.register("late", LogisticRegression().fit([[0, 0.0], [1, 1.0]], [0, 1]))
        rooms.models.set_alias("late", "champion", 3)
        assert not answerer.refresh()
        assert "model-not-servable" in (answerer.trouble or "")
        assert answerer.answer(ROWS).model == "late@1"
        rooms.models.register("late", constant(3.0), sample=SAMPLE)
        rooms.models.set_alias("late", "champion", 4)
        assert answerer.refresh()
        assert answerer.trouble is None


def test_bad_requests_say_what_is_wrong(rooms: HandBuiltRooms) -> None:
    with open_answerer(rooms) as answerer:
        for rows, id_, code in (
            ([{"n": 1}], None, "signature-mismatch"),
            ([{"n": 1, "x": 0.5}], "has space", "bad-request-id"),
            (SAMPLE.slice(0, 0), None, "no-rows"),
        ):
            with pytest.raises(UsageError) as raised:
                answerer.answer(rows, id=id_)
            assert raised.value.code == code
        with pytest.raises(UsageError, match="no-lookup"):
            answerer.answer([{"carrier": "B6"}], keys_only=True)
    assert not rooms.lake.table(INTO).exists


VIEWS = (
    FeatureView(
        "delays", entity=Entity("carrier", ["carrier"]), source="arrivals", timestamp="at",
        features=[count(over="7d"), last("delay")],
    ),
    given("x"),
)  # fmt: skip


def test_features_are_looked_up_by_keys(rooms: HandBuiltRooms) -> None:
    rooms.lake.create(
        "schedule", pa.schema([("id", pa.int64()), ("carrier", pa.string()), ("x", pa.float64()), ("at", TS)])
    )
    sample = pa.table({"delays__count_7d": [1], "delays__delay": [2], "x": [0.5]})
    model = LinearRegression()
    model.coef_, model.intercept_, model.n_features_in_ = np.array([100.0, 1.0, 0.5]), 0.0, 3
    rooms.models.register("keyed", model, sample=sample)
    asked: list[pa.Table] = []

    def look_up(keys: pa.Table, views: Any, moment: datetime) -> Looked:
        asked.append(keys)
        n = keys.num_rows
        known = [c == "B6" for c in keys.column("carrier").to_pylist()]
        table = pa.table(
            {
                "delays__count_7d": pa.array([2 if k else 0 for k in known], pa.int64()),
                "delays__delay": pa.array([30] * n, pa.int64()),
                "x": keys.column("x"),
            }
        )
        statuses = {"delays__count_7d": ["PRESENT" if k else "NOT_FOUND" for k in known]}
        return Looked(table, statuses, {"delays": VIEWS[0].digest}, {"arrivals": 7})

    deployment = Deployment("keyed", "keyed@1", "schedule", VIEWS, "at", ("id",), "late_scores")
    keys = [{"carrier": "B6", "x": 4.0}, {"carrier": "ZZ", "x": 2.0}]
    with open_answerer(rooms, deployment=deployment, lookup=look_up) as answerer:
        assert answerer.line.keys.names == ["carrier", "x"]
        answer = answerer.answer(keys, id="k", keys_only=True)
        assert answer.scores == [232.0, 31.0]
        assert answer.statuses == {"delays__count_7d": ["PRESENT", "NOT_FOUND"]}
        with pytest.raises(UsageError, match="schema-mismatch"):
            answerer.answer([{"carrier": "B6"}], keys_only=True)
        answerer.seal()
        assert answerer.answer(keys, id="k", keys_only=True).repeated
        with pytest.raises(ConflictError, match="request-id-reused"):
            answerer.answer(keys[::-1], id="k", keys_only=True)
    assert [t.num_rows for t in asked] == [2]
    rows = stored(rooms)
    assert [(r["carrier"], r["delays__count_7d"], r["x"], r["score"]) for r in rows] == [
        ("B6", 2, 4.0, 232.0),
        ("ZZ", 0, 2.0, 31.0),
    ]
    assert json.loads(rows[0]["sources"]) == {"arrivals": 7}
    assert rows[0]["definitions"] == spec_digest({"delays": VIEWS[0].digest})
    assert rooms.serving.find(answer.refs[0]).definitions == {"delays": VIEWS[0].digest}


def test_looked_up_features_are_those_of_the_moment(rooms: HandBuiltRooms) -> None:
    """The real online store: the row holds what point in time gives for the moment of the answer."""
    arrivals = rooms.lake.create(
        "arrivals",
        pa.schema([("carrier", pa.string()), ("at", TS), ("delay", pa.int64()), ("known_at", TS)]),
        event_time="at",
        known_at="known_at",
    )
    now = datetime(2013, 7, 1, 12, tzinfo=UTC)
    times = [now - timedelta(hours=h) for h in (30, 5, 1)]
    arrivals.append(
        pa.table(
            {
                "carrier": ["B6", "B6", "AA"],
                "at": pa.array(times, TS),
                "delay": [1, 2, 3],
                "known_at": pa.array(times, TS),
            }
        )
    )
    rooms.lake.create(
        "schedule", pa.schema([("id", pa.int64()), ("carrier", pa.string()), ("x", pa.float64()), ("at", TS)])
    )
    rooms.features.apply(VIEWS[0])
    rooms.features.materialize(VIEWS[0])
    model = LinearRegression()
    model.coef_, model.intercept_, model.n_features_in_ = np.array([100.0, 1.0, 0.5]), 0.0, 3
    sample = pa.table({"delays__count_7d": [1], "delays__delay": [2], "x": [0.5]})
    rooms.models.register("keyed", model, sample=sample)

    class Clock:
        def now(self) -> datetime:
            return now

    deployment = Deployment("keyed", "keyed@1", "schedule", VIEWS, "at", ("id",), "late_scores")
    lookup = online_lookup(rooms.features)
    keys = [{"carrier": "B6", "x": 4.0}, {"carrier": "AA", "x": 2.0}]
    with open_answerer(rooms, deployment=deployment, lookup=lookup, clock=Clock()) as answerer:
        answer = answerer.answer(keys, id="k", keys_only=True)
    assert answer.scores == [204.0, 104.0]
    assert answer.statuses == {}
    spine = pa.Table.from_pylist(keys).append_column("at", pa.array([now] * 2, TS))
    features = rooms.features.point_in_time(spine, VIEWS, at="at")
    wanted = features.select(["carrier", *sample.column_names]).to_pylist()
    assert [{c: r[c] for c in wanted[0]} for r in stored(rooms)] == wanted
    assert json.loads(stored(rooms)[0]["sources"]) == {"arrivals": arrivals.head().version}
    execution = rooms.recorder.store.get_nodes("execution", uids=[stored(rooms)[0]["execution"]])[0]
    events = rooms.recorder.store.list_events(executions=[execution.uid])
    assert {e.path[0] for e in events if e.kind == "INPUT"} >= {"model", "views"}


def test_a_deployment_without_lookup_says_so(rooms: HandBuiltRooms) -> None:
    deployment = Deployment("late", "late@1", "schedule", VIEWS, "at", ("id",), "late_scores")
    with (
        open_answerer(rooms, deployment=deployment) as answerer,
        pytest.raises(UnsupportedError, match="no-lookup"),
    ):
        answerer.answer([{"carrier": "B6", "x": "4"}], keys_only=True)


# --- killed in between


def answer_and_seal(folder: str) -> None:
    """Run in another process, which is killed somewhere in here."""
    rooms = HandBuiltRooms(Path(folder))
    answerer = open_answerer(rooms)
    told = Path(folder).with_suffix(".told")
    for i in range(3):
        answer = answerer.answer(ROWS, id=f"r{i}")
        with told.open("a") as file:
            file.write(f"{answer.id}\n")
        answerer.seal()
    answerer.close()
    rooms.close()


POINTS = [
    "serving.request.written",
    "serving.request.synced:2",
    "serving.request.sealed",
    "serving.request.before-commit:2",
    "metadata.intent.after",
    "lake.commit.before",
    "lake.commit.after",
    "serving.request.after-commit",
    "serving.request.removed:2",
]


@pytest.mark.parametrize("point", POINTS)
def test_every_acknowledged_answer_is_in_the_table_once_after_a_kill(tmp_path: Path, point: str) -> None:
    folder = tmp_path / "ws"
    rooms = HandBuiltRooms(folder)
    fill(rooms)
    rooms.close()
    here = str(Path(__file__).parent)
    killed = run_elsewhere(
        "test_request:answer_and_seal", str(folder), paths=[here], environment={VARIABLE: point}
    )
    assert killed == -9
    file = tmp_path / "ws.told"
    told = file.read_text().split() if file.exists() else []
    rooms = HandBuiltRooms(folder)
    rooms.recorder.recover()
    rooms.lake.reconcile()
    with open_answerer(rooms) as answerer:
        again = [answerer.answer(ROWS, id=f"r{i}") for i in range(3)]
    rows = stored(rooms)
    assert [(r["request_id"], r["row"]) for r in rows] == [(f"r{i}", k) for i in range(3) for k in (0, 1)]
    assert all(a.repeated for a in again if a.id in told)
    executions = rooms.recorder.store.find_nodes("execution", type_="answer").nodes
    by_uid = {e.uid: e for e in executions if isinstance(e, Execution)}
    assert {by_uid[r["execution"]].state for r in rows} == {"COMPLETE"}
    rooms.close()


def test_answers_of_several_servers_meet_in_one_table(rooms: HandBuiltRooms) -> None:
    with open_answerer(rooms) as first, open_answerer(rooms) as second:
        first.answer(ROWS[:1], id="a")
        second.answer(ROWS[:1], id="b")
    with open_answerer(rooms) as third:
        third.answer(ROWS[:1], id="c")
    assert [r["request_id"] for r in stored(rooms)] == ["a", "b", "c"]
    assert rooms.folder is not None
    shards = list(list_shards(log_folder(rooms.folder / "requests", "late")))
    assert len(shards) == 2
    assert all(not Shard(s, None).segments() for s in shards)  # type: ignore[arg-type]


def test_answers_that_cannot_be_committed_stay_and_come_later(
    rooms: HandBuiltRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerer = open_answerer(rooms)

    def fail(*_: object) -> None:
        raise BackendError("the lake is away", code="store-failed")

    with monkeypatch.context() as patch:
        patch.setattr(answerer._table, "_commit", fail)
        answer = answerer.answer(ROWS, id="kept")
        answerer.close()
    assert isinstance(answer, Answer)
    assert not rooms.lake.table(INTO).exists
    assert rooms.folder is not None
    assert rooms.serving.settle_requests(rooms.folder / "requests") == 1
    assert [r["request_id"] for r in stored(rooms)] == ["kept", "kept"]
    assert rooms.serving.settle_requests(rooms.folder / "requests") == 0


def test_moments_are_the_clocks(rooms: HandBuiltRooms) -> None:
    class Clock:
        def now(self) -> datetime:
            return datetime(2013, 7, 1, 12, 0, 0, 123_457, tzinfo=UTC)

    with open_answerer(rooms, clock=Clock()) as answerer:
        answerer.answer(ROWS, id="a")
    assert {r["features_at"] for r in stored(rooms)} == {Clock().now()}
    assert {r["scored_at"] for r in stored(rooms)} == {Clock().now()}
