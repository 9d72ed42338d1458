"""A retraining that decides: shadow scores, a paired rule, an alias moved once, looked at afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from whence._base.clock import ReplayClock
from whence._base.crash import VARIABLE
from whence.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from whence.metadata import Execution
from whence.pipelines import PipelineRun, Verification, verify_promotion
from whence.registry import (
    PairedRule,
    Promotion,
    Rule,
    hold_training,
    missing_holds,
    promote,
    promote_paired,
    training_tables,
)
from whence.testing.pipelines import HandBuiltRooms, run_elsewhere

STEPS = """
    from datetime import UTC, datetime
    from typing import Annotated, Any
    import numpy as np
    import pyarrow as pa
    from sklearn.linear_model import LogisticRegression
    import whence.pipelines as w
    from whence.registry import PairedRule, promote_paired

    START = datetime(2013, 4, 1, tzinfo=UTC)
    RULE = PairedRule("log_loss", n_resamples=100)

    @w.step
    def fit(rows: Annotated[Any, w.Table("labelled")], c: float = 1.0) -> Annotated[Any, w.Model("late")]:
        data = rows.arrow(["x", "y"]).sort_by("x")
        fitted = LogisticRegression(C=c).fit(data["x"].to_numpy().reshape(-1, 1), data["y"].to_numpy())
        return w.model(fitted, sample=data.select(["x"]).slice(0, 1))

    @w.step
    def shadow(model: Annotated[Any, w.Model("late")], rows: Annotated[Any, w.Table("labelled")]) -> Annotated[Any, w.Table("shadow")]:
        fitted = w.current().models.load(model)
        data = rows.arrow().sort_by("x")
        answers = fitted.predict_proba(data["x"].to_numpy().reshape(-1, 1))[:, 1]
        return data.append_column("challenger", pa.array(answers)).append_column("label", data["y"])

    @w.step(cache=False)
    def decide(model: Annotated[Any, w.Model("late")], scores: Annotated[Any, w.Table("shadow")]) -> w.Report:
        ws = w.current()
        found = promote_paired(ws.models, ws.lake, "late", model.version, RULE, scores)
        return w.verify_promotion(ws, found, scores, k=7).require().report()

    @w.pipeline(triggers=[w.every("30d", start=START)])
    def retrain(c: float = 1.0):
        model = fit(None, c)
        decide(model, shadow(model, None))
"""
N = 200


def labelled() -> pa.Table:
    """200 rows, late with x, and a champion that knows nothing."""
    x = [n / N for n in range(N)]
    y = [int((n * 7919) % N / N < value) for n, value in enumerate(x)]
    return pa.table({"x": x, "y": y, "champion": [0.5] * N})


class Rooms(HandBuiltRooms):
    def __init__(self, folder: Path | None) -> None:
        super().__init__(folder, clock=ReplayClock(datetime(2013, 5, 2, tzinfo=UTC)))

    def labels(self) -> None:
        self.lake.table("labelled").append(labelled())

    def decisions(self) -> list[Execution]:
        nodes = self.recorder.store.find_nodes("execution", type_="promote").nodes
        return [n for n in nodes if isinstance(n, Execution)]


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Rooms]:
    rooms = Rooms(tmp_path / "ws")
    rooms.labels()
    yield rooms
    rooms.close()


@pytest.fixture
def shop(project: Any) -> Any:
    project.write(steps=STEPS)
    return project.load("steps")


def report_of(rooms: HandBuiltRooms, run: PipelineRun) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(rooms.blobs.get(run.step("decide").outputs[0].removeprefix("blob:")))
    return found


def test_a_first_champion_and_one_that_is_better(rooms: Rooms, shop: Any) -> None:
    first = rooms.pipelines.run(shop.retrain, c=0.001)
    assert rooms.models.aliases("late") == {"champion": 1}
    report = report_of(rooms, first)
    assert report["ok"]
    assert [(c["name"], c["ok"]) for c in report["checks"]] == [
        ("alias", True),
        ("bytes", True),
        ("scores", True),
        ("training", True),
    ]
    assert report["checks"][2]["text"] == "7 of 7 stored answers are given again, bit for bit"
    rooms.pipelines.run(shop.retrain, c=1.0)
    assert rooms.models.aliases("late") == {"champion": 2}
    node = rooms.decisions()[-1]
    assert (node.state, node.get("promoted"), node.get("champion"), node.get("candidate")) == (
        "COMPLETE",
        True,
        1,
        2,
    )
    decision = node.get("decision")
    assert isinstance(decision, dict)
    assert decision["n_rows"] == N
    assert decision["values"]["1"] == pytest.approx(0.6931, abs=1e-4)
    assert decision["interval"][0] > 0
    events = rooms.recorder.store.list_events(executions=[node.uid])
    nodes = {n.uid: n for n in rooms.recorder.store.get_nodes("artifact", uids=[e.artifact for e in events])}
    read = {(nodes[e.artifact].name, e.path) for e in events if e.kind == "INPUT"}
    assert {("late@2", ("candidate",)), ("late@1", ("champion",)), ("shadow@1", ("scores",))} <= read
    [*_, move] = rooms.models.alias_history("late")
    assert (move.previous, move.version, move.reason) == (1, 2, node.get("reason"))
    assert "on 200 rows, gain" in move.reason


def test_what_is_not_better_leaves_the_alias(rooms: Rooms, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain, c=1.0)
    scores = rooms.lake.table("shadow").head()
    worse = rooms.models.register("late", rooms.models.load("late@1"))
    found = promote_paired(
        rooms.models,
        rooms.lake,
        "late",
        worse.version,
        PairedRule("log_loss"),
        scores,
        champion="challenger",
        challenger="champion",
    )
    assert (found.promoted, found.move, rooms.models.aliases("late")) == (False, None, {"champion": 1})
    assert found.gain is not None
    assert found.gain < 0
    assert found.reason.endswith("not better")
    assert verify_promotion(rooms, found).ok
    assert [c.name for c in verify_promotion(rooms, found).checks] == ["alias", "bytes"]


def test_the_same_decision_is_made_once(rooms: Rooms, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain, c=0.001)
    rooms.models.register("late", rooms.models.load("late@1"))
    scores = rooms.lake.table("shadow").head()
    call: Any = (rooms.models, rooms.lake, "late", 2, PairedRule("brier"), scores)
    first = promote_paired(*call, key="may")
    again = promote_paired(*call, key="may")
    assert first.promoted
    assert first.to_dict() == again.to_dict()
    assert (first.move, again.champion) == (again.move, first.champion) or again.move is not None
    assert len([m for m in rooms.models.alias_history("late") if m.version == 2]) == 1
    with pytest.raises(ConflictError) as caught:
        promote_paired(rooms.models, rooms.lake, "late", 1, PairedRule("brier"), scores, key="may")
    assert caught.value.code == "promotion-key"


def test_the_training_set_of_a_promoted_model_is_held(rooms: Rooms, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain)
    assert [str(a.name) for a in training_tables(rooms.models, "late@1")] == ["labelled@0"]
    assert [(h.table, h.version, h.reason) for h in rooms.lake.holds()] == [
        ("labelled", 0, "training of model:late@1")
    ]
    rooms.lake.table("labelled").append(labelled())
    report = rooms.lake.table("labelled").vacuum(retention_hours=0, dry_run=False, full=True)
    assert report.held == (0,)
    assert missing_holds(rooms.models, rooms.lake, "late@1") == []
    rooms.lake.table("labelled").release(0)
    assert missing_holds(rooms.models, rooms.lake, "late@champion") == ["table:labelled@0 is not held"]
    assert len(hold_training(rooms.models, rooms.lake, "late@1")) == 1
    assert missing_holds(rooms.models, rooms.lake, "late@1") == []


def test_a_model_from_a_file_was_trained_on_no_table(rooms: Rooms, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain)
    foreign = rooms.models.register("early", rooms.models.load("late@1"))
    assert training_tables(rooms.models, foreign) == []
    found = promote(rooms.models, "early", 1, Rule("auc"), evidence={1: 0.7}, lake=rooms.lake)
    assert found.promoted
    assert verify_promotion(rooms, found).checks[-1].text == "made from no table"


def promoted(rooms: Rooms, shop: Any) -> Promotion:
    rooms.pipelines.run(shop.retrain, c=0.001)
    rooms.models.register("late", rooms.models.load("late@1"), sample=pa.table({"x": [0.5]}))
    scores = rooms.lake.table("shadow").head()
    return promote_paired(rooms.models, rooms.lake, "late", 2, PairedRule("log_loss"), scores)


def failing(found: Verification) -> dict[str, str]:
    return {c.name: c.text for c in found.checks if not c.ok}


def test_what_is_not_as_decided_is_seen(rooms: Rooms, shop: Any, tmp_path: Path) -> None:
    found = promoted(rooms, shop)
    scores = rooms.lake.table("shadow").head()
    assert verify_promotion(rooms, found, scores).ok
    other = pa.table({"x": [0.1, 0.9], "challenger": [0.1, 0.9]})
    wrong = verify_promotion(rooms, found, other)
    assert failing(wrong) == {"scores": "0 of 2 stored answers are given again, bit for bit"}
    with pytest.raises(IntegrityError, match="0 of 2 stored answers") as caught:
        wrong.require()
    assert caught.value.code == "promotion-not-verified"
    rooms.models.rollback("late", "champion", reason="a test")
    assert failing(verify_promotion(rooms, found, scores)) == {
        "alias": "late@champion is version 1, decided was 2"
    }
    [file] = [
        p for p in (tmp_path / "ws" / "blobs").rglob("*") if p.name.endswith(found.candidate.digest[-20:])
    ]
    file.chmod(0o600)
    file.write_bytes(b"something else")
    assert set(failing(verify_promotion(rooms, found, scores))) == {"alias", "bytes", "scores"}
    with pytest.raises(NotFoundError):
        verify_promotion(rooms, found, scores, score="shadow")


def test_a_verification_is_kept(rooms: Rooms, shop: Any) -> None:
    found = verify_promotion(rooms, promoted(rooms, shop), rooms.lake.table("shadow").head())
    assert found.ref is not None
    assert json.loads(rooms.blobs.get(found.ref.removeprefix("blob:"))) == found.to_dict()
    assert found.text().startswith("model:late@2 as champion: as decided\n  ok alias: ")
    nodes = rooms.recorder.store.find_nodes("execution", type_="verify_promotion").nodes
    assert [n.get("ok") for n in nodes] == [True, True]


def test_columns_that_are_not_there_are_named(rooms: Rooms, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain)
    scores = rooms.lake.table("shadow").head()
    with pytest.raises(NotFoundError, match="column 'late' not found"):
        promote_paired(rooms.models, rooms.lake, "late", 1, PairedRule("auc"), scores, label="late")


def test_rolled_back_goes_further_into_the_past(rooms: Rooms) -> None:
    from sklearn.linear_model import LogisticRegression

    for _ in range(3):
        version = rooms.models.register("late", LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
        rooms.models.set_alias("late", "champion", version)
    move = rooms.models.rollback("late", "champion", reason="worse on Monday")
    assert (move.previous, move.version) == (3, 2)
    assert move.reason == "rolled back from version 3: worse on Monday"
    assert rooms.models.rollback("late", "champion").version == 1
    with pytest.raises(UsageError) as caught:
        rooms.models.rollback("late", "champion")
    assert caught.value.code == "no-previous-holder"
    rooms.models.set_alias("late", "champion", 3)
    assert rooms.models.rollback("late", "champion", expected=3).version == 1
    assert [m.undoes for m in rooms.models.alias_history("late", "champion")] == [None] * 3 + [3, 2, None, 6]
    rooms.models.set_alias("late", "champion", 3)
    with pytest.raises(ConflictError) as other:
        rooms.models.rollback("late", "champion", expected=2)
    assert other.value.code == "alias-moved"
    with pytest.raises(NotFoundError):
        rooms.models.rollback("late", "shadow")


POINTS = [
    "registry.promote.judged",
    "registry.promote.held",
    "registry.alias.intent",
    "registry.alias.moved",
    "registry.promote.moved",
    "metadata.closing.before:4",
    "metadata.closing.before:5",
    "metadata.closing.before:6",
    "metadata.closing.before:7",
    "pipelines.schedule.claimed",
    "pipelines.schedule.ran",
]
SCRIPT = """
    from datetime import UTC, datetime
    from pathlib import Path
    from whence._base.clock import ReplayClock
    from whence.testing.pipelines import HandBuiltRooms
    from SHOP.steps import retrain

    def go(folder):
        clock = ReplayClock(datetime(2013, 5, 2, tzinfo=UTC))
        HandBuiltRooms(Path(folder), clock=clock).pipelines.tick([retrain])
"""


@pytest.mark.parametrize("point", POINTS)
def test_killed_while_it_decides(rooms: Rooms, project: Any, shop: Any, tmp_path: Path, point: str) -> None:
    rooms.pipelines.run(shop.retrain, c=0.001)
    rooms.close()
    project.write(script=SCRIPT)
    folder = tmp_path / "ws"
    entry = project.name("script") + ":go"
    assert run_elsewhere(entry, str(folder), paths=[str(project.folder)], environment={VARIABLE: point}) == -9
    again = Rooms(folder)
    again.lake.reconcile()
    again.recorder.recover()
    [run] = again.pipelines.tick([shop.retrain])
    assert run.key == "every-30d@2013-05-01T00:00:00Z"
    assert again.models.aliases("late") == {"champion": 2}
    assert [(m.previous, m.version) for m in again.models.alias_history("late")] == [(None, 1), (1, 2)]
    assert report_of(again, run)["ok"]
    decision = again.decisions()[-1]
    assert (decision.state, decision.get("promoted"), decision.get("champion")) == ("COMPLETE", True, 1)
    assert len(again.decisions()) == 2
    assert again.recorder.store.find_nodes("execution", state="RUNNING").nodes == []
    assert again.pipelines.tick([shop.retrain]) == []
    again.close()
