"""What made two models differ: each ingredient alone, both ways, on the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from whence.errors import NotFoundError, UsageError
from whence.metadata import Execution
from whence.metadata.types import Change, Put
from whence.pipelines import Bisection, Ingredient
from whence.pipelines.child import RESULT, write_job
from whence.pipelines.remake import Remaker
from whence.testing.pipelines import HandBuiltRooms, run_elsewhere

STEPS = """
    from typing import Annotated, Any
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from sklearn.linear_model import LogisticRegression
    import whence.pipelines as w

    @w.step
    def make(rows: Annotated[Any, w.Table("flights")], shift: float = 0.0) -> Annotated[Any, w.Table("train.late")]:
        hours = w.current().lake.table("hours").arrow()["factor"][0].as_py()
        data = rows.arrow().sort_by("n")
        return data.set_column(1, "x", pc.multiply(pc.add(data["x"], shift), float(hours)))

    @w.step
    def fit(rows: Annotated[Any, w.Table("train.late")], c: float = 1.0) -> tuple[Annotated[Any, w.Model("late")], w.Metrics]:
        data = rows.arrow().sort_by("n")
        fitted = LogisticRegression(C=c * 1.0).fit(data["x"].to_numpy().reshape(-1, 1), data["late"].to_numpy())
        return w.model(fitted, sample=data.select(["x"]).slice(0, 1)), {"n": float(len(data))}

    @w.pipeline
    def retrain(c: float = 1.0, shift: float = 0.0):
        fit(make(None, shift), c)

    @w.step
    def by_hand(rows: Annotated[Any, w.Table("flights")]) -> w.Metrics:
        w.current().models.register("late", LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
        return {"n": 1}
"""


def flights(n: int = 60, *, broken: bool = False) -> pa.Table:
    """Late when x is large, with noise; broken turns the labels of most rows round."""
    rng = np.random.default_rng(7)
    x = rng.uniform(-2, 2, n).round(3)
    late = rng.random(n) < 1 / (1 + np.exp(-2 * x))
    if broken:
        late[: n * 3 // 4] = ~late[: n * 3 // 4]
    return pa.table({"n": list(range(n)), "x": x, "late": late})


@pytest.fixture(autouse=True)
def quick_child(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The other process is forked from one that has everything imported; gives the steps it made."""
    made: list[str] = []

    def child(self: Remaker, job: Any, folder: Path) -> Any:
        made.append(job["entry"][1])
        run_elsewhere("whence.testing.pipelines:do_job", str(write_job(folder, job)))
        return json.loads((folder / RESULT).read_text())

    monkeypatch.setattr(Remaker, "_child", child)
    return made


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    rooms = HandBuiltRooms(tmp_path / "ws")
    rooms.lake.table("flights").append(flights())
    rooms.lake.table("hours").append({"factor": [1.0]})
    rooms.lake.table("judge").append(flights(200))
    yield rooms
    rooms.close()


@pytest.fixture
def shop(project: Any) -> Any:
    project.write(steps=STEPS)
    return project.load("steps")


def states(found: Bisection) -> dict[str, str]:
    return {i.kind: i.state for i in found.ingredients}


def ingredient(found: Bisection, kind: str) -> Ingredient:
    return next(i for i in found.ingredients if i.kind == kind)


def written(rooms: HandBuiltRooms) -> tuple[Any, ...]:
    tables = {n: rooms.lake.table(n).head().version for n in rooms.lake.list()}
    steps = rooms.recorder.store.find_nodes("execution", type_="step").nodes
    return tables, [v.ref for v in rooms.models.versions("late")], len(steps)


def test_data_made_the_difference(rooms: HandBuiltRooms, shop: Any, quick_child: list[str]) -> None:
    rooms.pipelines.run(shop.retrain)
    rooms.lake.table("flights").overwrite(flights(broken=True))
    rooms.pipelines.run(shop.retrain)
    before = written(rooms)
    found = rooms.pipelines.bisect("late@1", "late@2", on="judge")
    assert states(found) == {"data": "swapped", "code": "same", "parameters": "same", "environment": "same"}
    data = ingredient(found, "data")
    assert (data.b_with_a, data.a_with_b) == (found.value_a, found.value_b)
    assert data.contribution == found.difference
    assert found.difference > 0.5
    assert data.details == ("table:flights: @0 → @1",)
    assert found.made == ("data",)
    assert (found.verdict(), found.together, found.n_rows) == ("data made the difference", 0.0, 200)
    assert quick_child == []  # both mixtures are what the runs recorded
    assert written(rooms) == before
    [node] = rooms.recorder.store.find_nodes("execution", type_="bisect").nodes
    events = rooms.recorder.store.list_events(executions=[node.uid])
    nodes = {n.uid: n for n in rooms.recorder.store.get_nodes("artifact", uids=[e.artifact for e in events])}
    roles = {nodes[e.artifact].name: e.path for e in events if e.kind == "INPUT" and e.path}
    assert {"late@1", "late@2", "judge@0"} <= set(roles)
    assert node.get("answer") == {**found.to_dict(), "execution": None}


def test_everything_at_once_is_taken_apart(
    rooms: HandBuiltRooms, project: Any, shop: Any, quick_child: list[str]
) -> None:
    rooms.pipelines.run(shop.retrain)
    rooms.lake.table("flights").overwrite(flights(broken=True))
    rooms.lake.table("hours").overwrite({"factor": [0.9]})
    project.write(steps=STEPS.replace("C=c * 1.0", "C=c * 0.5"))
    rooms.pipelines.run(project.load("steps").retrain, c=0.8)
    before = written(rooms)
    found = rooms.pipelines.bisect("late@1", "late@2", metric="log_loss", on="judge")
    assert states(found) == {
        "data": "swapped",
        "code": "swapped",
        "parameters": "swapped",
        "environment": "same",
    }
    assert ingredient(found, "data").details == ("table:flights: @0 → @1", "table:hours: @0 → @1")
    assert ingredient(found, "code").details == (f"fit: function {project.prefix}.steps.fit",)
    assert ingredient(found, "parameters").details == ("fit.c: 1.0 → 0.8",)
    shares = {i.kind: (i.contribution or 0) / found.difference for i in found.ingredients}
    assert shares["data"] > 0.9
    assert max(abs(shares["code"]), abs(shares["parameters"])) < 0.1
    assert found.made == ("data",)
    total = sum(i.contribution or 0.0 for i in found.ingredients) + found.together
    assert total == pytest.approx(found.difference)
    # data both ways needs fits only: the rows of both runs are recorded; so do code and params
    assert quick_child == ["fit"] * 6
    assert written(rooms) == before
    assert "  data        +" in found.text()
    assert found.text().endswith("data made the difference")


def test_a_step_above_is_made_again_when_its_param_is_another(
    rooms: HandBuiltRooms, shop: Any, quick_child: list[str]
) -> None:
    rooms.pipelines.run(shop.retrain)
    rooms.lake.table("hours").overwrite({"factor": [3.0]})
    rooms.pipelines.run(shop.retrain, shift=2.0)
    found = rooms.pipelines.bisect("late@1", "late@2", on="judge", metric="brier")
    assert set(quick_child) == {"make", "fit"}
    assert ingredient(found, "parameters").details == ("make.shift: 0.0 → 2.0",)
    by_hand = rooms.pipelines.run(shop.retrain, shift=0.0)  # b with a's params is the run of now
    again = rooms.pipelines.bisect("late@1", by_hand.step("fit").outputs[0], on="judge", metric="brier")
    assert ingredient(found, "parameters").b_with_a == again.value_b


def test_no_code_of_now_is_read(rooms: HandBuiltRooms, project: Any, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain)
    rooms.pipelines.run(shop.retrain, c=0.01, shift=1.0)
    project.write(steps="raise SystemExit('the files of now must not be read')")
    found = rooms.pipelines.bisect("late@1", "late@2", on="judge", metric="auc")
    assert states(found)["parameters"] == "swapped"
    assert found.value_a == found.value_b  # another intercept and slope rank one feature the same
    assert found.verdict() == "the models do not differ on these rows"


def another_environment(rooms: HandBuiltRooms, ref: str, version: str) -> None:
    """Let the graph say that the run of a model had another scikit-learn."""
    maker = rooms.pipelines._reproducer.maker(ref)
    packages = maker.get("packages")
    assert isinstance(packages, dict)
    told = Execution(
        type="step", uid=maker.uid, id=maker.id, state=maker.state, name=maker.name,
        properties={"packages": {**packages, "scikit-learn": version}},
    )  # fmt: skip
    rooms.recorder.store.write(Change([Put(told, if_exists="update", revision=maker.revision)]))


def test_an_environment_that_is_not_installed_is_impossible_one_way(
    rooms: HandBuiltRooms, shop: Any, quick_child: list[str]
) -> None:
    rooms.pipelines.run(shop.retrain)
    rooms.pipelines.run(shop.retrain, c=0.001)
    another_environment(rooms, "model:late@1", "0.9")
    found = rooms.pipelines.bisect("late@1", "late@2", on="judge")
    environment = ingredient(found, "environment")
    # a made again in what is installed: the same model, for only the graph said otherwise
    assert (environment.state, environment.a_with_b, environment.b_with_a) == ("swapped", found.value_a, None)
    assert environment.contribution == 0.0
    assert environment.details[0].startswith("package scikit-learn: 0.9 → 1.")
    assert "a's environment is not installed: package scikit-learn: 0.9" in environment.reason
    assert found.made == ("parameters",)
    assert "make" in quick_child


def test_no_environment_that_is_installed_is_impossible(rooms: HandBuiltRooms, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain)
    rooms.pipelines.run(shop.retrain, c=0.001)
    another_environment(rooms, "model:late@1", "0.9")
    another_environment(rooms, "model:late@2", "0.8")
    found = rooms.pipelines.bisect("late@1", "late@2", on="judge")
    environment = ingredient(found, "environment")
    assert (environment.state, environment.contribution) == ("impossible", None)
    assert "b's environment is not installed: package scikit-learn: 0.8" in environment.reason
    assert found.made == ("parameters",)
    assert "environment impossible: a's environment" in found.text()


def test_data_that_is_gone_is_impossible_and_said(rooms: HandBuiltRooms, shop: Any, tmp_path: Path) -> None:
    rooms.pipelines.run(shop.retrain)
    rooms.lake.table("flights").overwrite(flights(broken=True))
    rooms.pipelines.run(shop.retrain, shift=1.0)
    rooms.lake.table("flights").overwrite(flights(10))
    rooms.lake.table("flights").vacuum(retention_hours=0, dry_run=False, full=True)
    found = rooms.pipelines.bisect("late@1", "late@2", on="judge")
    data = ingredient(found, "data")
    assert (data.state, data.contribution) == ("impossible", None)
    assert "table:flights@0 is gone" in data.reason
    assert "data        impossible: " in found.text()


def test_models_that_are_the_same(rooms: HandBuiltRooms, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain)
    found = rooms.pipelines.bisect("late@1", "late@1")
    assert (found.difference, set(states(found).values())) == (0.0, {"same"})
    assert found.verdict() == "nothing that is recorded differs"
    assert found.on == "table:train.late@0"


def test_rows_and_labels_by_hand(rooms: HandBuiltRooms, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain)
    rooms.pipelines.run(shop.retrain, c=0.01)
    rows = pa.table({"x": [-1.0, 1.0, 2.0, 0.5], "delay": [0, 45, 50, None]})
    found = rooms.pipelines.bisect("late@1", "late@2", on=rows, label="delay >= 30")
    assert (found.on, found.n_rows) == ("rows", 3)
    with pytest.raises(UsageError, match="no boolean column") as caught:
        rooms.pipelines.bisect("late@1", "late@2", on=rows)
    assert caught.value.code == "bisect-label"
    with pytest.raises(UsageError) as other:
        rooms.pipelines.bisect("late@1", "late@2", on=rows, label="delay > 99 AND NULL", metric="auc")
    assert other.value.code == "bisect-label"
    with pytest.raises(UsageError) as third:
        rooms.pipelines.bisect("late@1", "late@2", on=pa.table({"y": [True]}))
    assert third.value.code == "signature-mismatch"


def test_errors_of_the_call(rooms: HandBuiltRooms, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain)
    rooms.pipelines.run(shop.by_hand)
    with pytest.raises(UsageError) as caught:
        rooms.pipelines.bisect("late@1", "late@1", metric="f1")
    assert caught.value.code == "bisect-metric"
    with pytest.raises(NotFoundError):
        rooms.pipelines.bisect("late@1", "late@9")
    with pytest.raises(UsageError, match="registered model:late@2 itself") as other:
        rooms.pipelines.bisect("late@1", "late@2")
    assert other.value.code == "bisect-maker"
    rooms.models.register("late", rooms.models.load("late@1"))
    with pytest.raises(UsageError, match="which is no step"):
        rooms.pipelines.bisect("late@1", "late@3")
    with pytest.raises(UsageError) as third:
        rooms.pipelines.bisect("late@1", "late@1", on="flights", label="n >= 0", metric="auc")
    assert third.value.code == "bisect-label"
