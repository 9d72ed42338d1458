"""Runs: pinned, cached with a reason, resumed, exclusive, and nothing half done after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from whence._base.crash import VARIABLE
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata import Execution
from whence.testing.pipelines import HandBuiltRooms, run_elsewhere

STEPS = """
    from typing import Annotated, Any
    import pyarrow as pa
    import pyarrow.compute as pc
    from sklearn.linear_model import LogisticRegression
    import whence.pipelines as w
    from whence.tracking import log_metric
    from SHOP import consts

    @w.step
    def make(labels: Annotated[Any, w.Table("labels")], factor: int = 2) -> Annotated[Any, w.Table("train.late")]:
        w.current().notes.append("make")
        rows = labels.arrow().sort_by("x")
        return rows.set_column(0, "x", scaled(rows["x"], factor))

    def scaled(column, factor):
        return pc.multiply(column, factor)

    @w.step
    def fit(rows: Annotated[Any, w.Table("train.late")], depth: int = 6) -> tuple[Annotated[Any, w.Model("late")], w.Metrics]:
        w.current().notes.append("fit")
        table = rows.arrow()
        x = [[float(v) + consts.SHIFT] for v in table["x"].to_pylist()]
        model = LogisticRegression().fit(x, table["y"].to_pylist())
        log_metric("depth_used", depth)
        return w.model(model, sample=pa.table({"x": [1.0]})), {"auc": 0.5 + depth / 100}

    @w.step
    def show(model: Annotated[Any, w.Model("late")], metrics: w.Metrics) -> w.Report:
        w.current().notes.append("show")
        if consts.BROKEN:
            raise ValueError("no ink")
        return w.Report(f"{model.name} {metrics['auc']:.2f}", media_type="text/plain")

    @w.pipeline
    def retrain(factor: int = 2, depth: int = 6):
        rows = make(None, factor)
        model, metrics = fit(rows, depth)
        show(model, metrics)
"""
CONSTS = "SHIFT = 0.0\nBROKEN = False\n"


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    rooms = HandBuiltRooms(tmp_path / "ws")
    rooms.lake.table("labels").append({"x": [1, 2, 3, 4], "y": [0, 0, 1, 1]})
    yield rooms
    rooms.close()


@pytest.fixture
def shop(project: Any) -> Any:
    project.write(steps=STEPS, consts=CONSTS)
    return project.load("steps")


def states(run: Any) -> dict[str, str]:
    return {s.call: s.state for s in run.steps}


def changed(project: Any, old: str, new: str, module: str = "steps") -> Any:
    text = {"steps": STEPS, "consts": CONSTS}[module]
    assert old in text
    project.write(**{module: text.replace(old, new)})
    return project.load("steps")


def test_a_run_commits_registers_logs_and_keeps(rooms: HandBuiltRooms, shop: Any) -> None:
    run = rooms.pipelines.run(shop.retrain, key="april")
    assert states(run) == {"make": "COMPLETE", "fit": "COMPLETE", "show": "COMPLETE"}
    assert run.outputs["make"] == ("table:train.late@0",)
    assert run.outputs["fit"][0] == "model:late@1"
    assert rooms.lake.table("train.late").arrow()["x"].to_pylist() == [2, 4, 6, 8]
    report = run.step("show").outputs[0].removeprefix("blob:")
    assert rooms.blobs.get(report) == b"late 0.56"
    [logged] = [r for r in rooms.runs.list() if r.name == "fit"]
    assert logged.metrics == {"auc": 0.56, "depth_used": 6.0}
    assert run.pins == {"labels": 0}
    assert rooms.pipelines.get("retrain", "april").outputs == run.outputs


def test_the_graph_connects_steps(rooms: HandBuiltRooms, shop: Any) -> None:
    run = rooms.pipelines.run(shop.retrain)
    model = rooms.models.get("late@1")
    up = rooms.recorder.store.lineage([model.uid], direction="up")
    assert {a.name for a in up.artifacts if a.type == "TableVersion"} == {"train.late@0", "labels@0"}
    assert sorted(str(e.get("step")) for e in up.executions if e.type == "step") == ["fit", "make"]
    uid = run.step("fit").execution.removeprefix("execution:")
    events = rooms.recorder.store.list_events(executions=[uid])
    assert ("rows",) in [e.path for e in events if e.kind == "INPUT"]
    assert {c.type for c in rooms.recorder.store.list_contexts(execution=uid)} >= {"Project", "PipelineRun"}


def test_the_same_again_is_cached_and_recorded(rooms: HandBuiltRooms, shop: Any) -> None:
    first = rooms.pipelines.run(shop.retrain)
    again = rooms.pipelines.run(shop.retrain)
    assert states(again) == {"make": "CACHED", "fit": "CACHED", "show": "CACHED"}
    assert rooms.notes == ["make", "fit", "show"]
    assert again.outputs == first.outputs
    uid = again.step("fit").execution.removeprefix("execution:")
    [node] = rooms.recorder.store.get_nodes("execution", uids=[uid])
    assert isinstance(node, Execution)
    assert (node.state, node.get("taken_from")) == (
        "CACHED",
        first.step("fit").execution.removeprefix("execution:"),
    )
    outputs = [e for e in rooms.recorder.store.list_events(executions=[uid]) if e.kind == "OUTPUT"]
    assert len(outputs) == 2
    assert str(rooms.pipelines.why("fit")) == "fit: hit (same code, params and inputs)"


def test_the_cache_does_not_ask_whether_the_step_before_was_cached(
    rooms: HandBuiltRooms, project: Any, shop: Any
) -> None:
    rooms.pipelines.run(shop.retrain)
    other = changed(project, "rows = labels.arrow().sort_by", 'rows = labels.arrow()  .sort_by("y").sort_by')
    run = rooms.pipelines.run(other.retrain)
    assert states(run) == {"make": "COMPLETE", "fit": "CACHED", "show": "CACHED"}


@pytest.mark.parametrize(
    ("module", "old", "new", "missed", "reason"),
    [
        (
            "steps",
            "pc.multiply(column, factor)",
            "pc.multiply(factor, column)",
            "make",
            "code function {p}.steps.scaled",
        ),
        ("consts", "SHIFT = 0.0", "SHIFT = 1.5", "fit", "code constant {p}.consts.SHIFT: 0.0 → 1.5"),
    ],
)
def test_a_miss_names_what_changed(
    rooms: HandBuiltRooms, project: Any, shop: Any, module: str, old: str, new: str, missed: str, reason: str
) -> None:
    rooms.pipelines.run(shop.retrain)
    run = rooms.pipelines.run(changed(project, old, new, module).retrain)
    assert states(run)[missed] == "COMPLETE"
    decision = rooms.pipelines.why(missed)
    assert decision.outcome == "miss"
    assert next(str(r) for r in decision.reasons).startswith(reason.format(p=project.prefix))


def test_a_param_and_an_input_are_named(rooms: HandBuiltRooms, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain)
    rooms.pipelines.run(shop.retrain, depth=7)
    assert [str(r) for r in rooms.pipelines.why("fit").reasons] == ["param depth: 6 → 7"]
    assert rooms.pipelines.why("make").outcome == "hit"
    rooms.lake.table("labels").append({"x": [9], "y": [1]})
    rooms.pipelines.run(shop.retrain)
    [reason] = rooms.pipelines.why("make").reasons
    assert (reason.what, reason.name) == ("input", "labels")
    assert (reason.before or "").startswith("rows-v1:")
    assert reason.before != reason.now


def test_comments_cost_nothing(rooms: HandBuiltRooms, project: Any, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain)
    other = changed(project, 'w.current().notes.append("fit")', 'w.current().notes.append("fit")  # a note')
    assert set(states(rooms.pipelines.run(other.retrain)).values()) == {"CACHED"}


def test_a_hit_needs_the_bytes(rooms: HandBuiltRooms, shop: Any) -> None:
    run = rooms.pipelines.run(shop.retrain)
    rooms.blobs.delete(rooms.models.get("late@1").digest)
    again = rooms.pipelines.run(shop.retrain)
    assert states(again) == {"make": "CACHED", "fit": "COMPLETE", "show": "CACHED"}
    [reason] = rooms.pipelines.why("fit").reasons
    assert (reason.what, reason.name) == ("output", "model:late@1")
    assert "not found" in (reason.now or "")
    assert run.outputs["fit"][0] != again.outputs["fit"][0]


def test_a_hit_needs_the_rows_as_they_were(rooms: HandBuiltRooms, shop: Any, tmp_path: Path) -> None:
    rooms.pipelines.run(shop.retrain)
    for file in (tmp_path / "ws" / "lake" / "train" / "late").glob("*.parquet"):
        file.unlink()
    assert states(rooms.pipelines.run(shop.retrain))["make"] == "COMPLETE"
    [reason] = rooms.pipelines.why("make").reasons
    assert (reason.what, reason.name) == ("output", "table:train.late@0")


def test_uncacheable_says_why_and_runs(rooms: HandBuiltRooms, project: Any, shop: Any) -> None:
    module = changed(
        project, "return pc.multiply(column, factor)", "return getattr(pc, 'multi' + 'ply')(column, factor)"
    )
    assert states(rooms.pipelines.run(module.retrain))["make"] == "COMPLETE"
    run = rooms.pipelines.run(module.retrain)
    assert states(run) == {"make": "COMPLETE", "fit": "CACHED", "show": "CACHED"}
    decision = rooms.pipelines.why("make")
    assert decision.outcome == "uncacheable"
    assert "getattr() with a name made at run time" in decision.reasons[0].name


def test_cache_can_be_off(rooms: HandBuiltRooms, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain)
    assert set(states(rooms.pipelines.run(shop.retrain, cache=False)).values()) == {"COMPLETE"}
    assert rooms.pipelines.why("fit").outcome == "off"


READER = """
    from typing import Annotated, Any
    import whence.pipelines as w

    @w.step
    def count(labels: Annotated[Any, w.Table("labels")]) -> w.Metrics:
        other = w.current().lake.table("weather").arrow()
        return {"n": labels.n_rows + other.num_rows}

    @w.step
    def write(labels: Annotated[Any, w.Table("labels")]) -> None:
        w.current().lake.table("log").append({"n": [labels.n_rows]})

    @w.pipeline
    def counting():
        count(None)
"""


def test_what_is_read_beside_the_inputs_is_part_of_the_key(rooms: HandBuiltRooms, project: Any) -> None:
    project.write(steps=READER)
    module = project.load("steps")
    rooms.lake.table("weather").append({"a": [1]})
    assert states(rooms.pipelines.run(module.counting)) == {"count": "COMPLETE"}
    assert states(rooms.pipelines.run(module.counting)) == {"count": "CACHED"}
    rooms.lake.table("weather").append({"a": [2]})
    run = rooms.pipelines.run(module.counting)
    assert states(run) == {"count": "COMPLETE"}
    [reason] = rooms.pipelines.why("count").reasons
    assert (reason.what, reason.name) == ("read", "TableVersion weather@0")
    assert run.pins == {"labels": 0, "weather": 1}


def test_a_step_that_writes_by_itself_is_not_cached(rooms: HandBuiltRooms, project: Any) -> None:
    project.write(steps=READER)
    module = project.load("steps")
    rooms.pipelines.run(module.write)
    rooms.pipelines.run(module.write)
    assert rooms.lake.table("log").arrow()["n"].to_pylist() == [4, 4]
    assert rooms.pipelines.why("write").outcome == "uncacheable"


def test_versions_are_those_of_the_start(rooms: HandBuiltRooms, project: Any) -> None:
    project.write(
        steps="""
        from typing import Annotated, Any
        import whence.pipelines as w

        @w.step
        def grow(labels: Annotated[Any, w.Table("labels")]) -> w.Metrics:
            w.current().lake.table("labels").append({"x": [5], "y": [1]})
            return {"n": labels.n_rows}

        @w.step
        def count(labels: Annotated[Any, w.Table("labels")]) -> w.Metrics:
            return {"n": labels.n_rows, "again": w.current().lake.table("labels").head().n_rows}

        @w.pipeline
        def growing():
            grow(None)
            count(None)
        """
    )
    rooms.pipelines.run(project.load("steps").growing, key="k")
    [run] = [r for r in rooms.runs.list() if r.name == "count"]
    assert run.metrics == {"n": 4.0, "again": 4.0}
    assert rooms.lake.table("labels").head().n_rows == 5


def test_resume_goes_on_where_it_failed(rooms: HandBuiltRooms, project: Any) -> None:
    project.write(steps=STEPS, consts=CONSTS.replace("False", "True"))
    broken = project.load("steps")
    with pytest.raises(ValueError, match="no ink"):
        rooms.pipelines.run(broken.retrain, key="april")
    assert states(rooms.pipelines.get("retrain", "april")) == {
        "make": "COMPLETE",
        "fit": "COMPLETE",
        "show": "FAILED",
    }
    rooms.lake.table("labels").append({"x": [9], "y": [1]})
    project.write(consts=CONSTS)
    mended = project.load("steps")
    run = rooms.pipelines.run(mended.retrain, key="april")
    assert rooms.notes == ["make", "fit", "show", "show"]
    assert set(states(run).values()) == {"COMPLETE"}
    assert run.pins == {"labels": 0}
    assert [v.version for v in rooms.models.versions("late")] == [1]
    again = rooms.pipelines.run(mended.retrain, key="april")
    assert (again.outputs, len(rooms.notes)) == (run.outputs, 4)


def test_a_key_is_one_run(rooms: HandBuiltRooms, shop: Any) -> None:
    rooms.pipelines.run(shop.retrain, key="k")
    with pytest.raises(ConflictError) as caught:
        rooms.pipelines.run(shop.retrain, key="k", depth=9)
    assert caught.value.code == "run-params"
    with pytest.raises(ConflictError) as other:
        rooms.pipelines.run(shop.retrain, key="k", resume=False)
    assert other.value.code == "run-exists"


def test_a_run_of_one_key_is_exclusive(rooms: HandBuiltRooms, project: Any) -> None:
    project.write(
        steps="""
        from typing import Annotated, Any
        import whence.pipelines as w

        @w.step
        def nested(labels: Annotated[Any, w.Table("labels")]) -> None:
            w.current().pipelines.run(outer, key="k")

        @w.pipeline
        def outer():
            nested(None)
        """
    )
    with pytest.raises(ConflictError, match="is going on") as caught:
        rooms.pipelines.run(project.load("steps").outer, key="k")
    assert caught.value.code == "run-in-progress"


def test_retries(rooms: HandBuiltRooms, project: Any) -> None:
    project.write(
        steps="""
        from typing import Annotated, Any
        import whence.pipelines as w
        TRIES = []

        @w.step(retries=2)
        def flaky(labels: Annotated[Any, w.Table("labels")]) -> w.Metrics:
            TRIES.append(1)
            if len(TRIES) < 3:
                raise OSError("busy")
            return {"n": 1}

        @w.step(retries=2)
        def wrong(labels: Annotated[Any, w.Table("labels")]) -> w.Metrics:
            TRIES.append(1)
            return {"n": "many"}
        """
    )
    module = project.load("steps")
    run = rooms.pipelines.run(module.flaky)
    uid = run.steps[0].execution.removeprefix("execution:")
    [node] = rooms.recorder.store.get_nodes("execution", uids=[uid])
    assert (len(module.TRIES), node.get("attempt"), node.get("error")) == (3, 3, None)
    with pytest.raises(UsageError):
        rooms.pipelines.run(module.wrong)
    assert len(module.TRIES) == 4


def test_an_output_that_does_not_fit_leaves_nothing(rooms: HandBuiltRooms, project: Any) -> None:
    project.write(
        steps="""
        from typing import Annotated, Any
        import pyarrow as pa
        import whence.pipelines as w

        @w.step
        def half(labels: Annotated[Any, w.Table("labels")]) -> tuple[Annotated[Any, w.Table("out")], w.Metrics]:
            return pa.table({"a": [1]}), {"auc": float("nan")}
        """
    )
    with pytest.raises(UsageError, match="metric 'auc'"):
        rooms.pipelines.run(project.load("steps").half)
    assert rooms.lake.list() == ["labels"]


def test_plan_tells_without_running(rooms: HandBuiltRooms, shop: Any) -> None:
    assert [d.outcome for d in rooms.pipelines.plan(shop.retrain)] == ["miss"]
    rooms.pipelines.run(shop.retrain)
    assert [(d.step, d.outcome) for d in rooms.pipelines.plan(shop.retrain)] == [
        ("make", "hit"), ("fit", "hit"), ("show", "hit"),
    ]  # fmt: skip
    assert rooms.notes == ["make", "fit", "show"]


def test_each_step_is_a_command(rooms: HandBuiltRooms, shop: Any) -> None:
    entry = f"{shop.__name__}:retrain"
    with pytest.raises(ConflictError, match="waits for 'make'") as caught:
        rooms.pipelines.exec_step(f"{entry}:fit", "air-1")
    assert caught.value.code == "step-upstream"
    assert rooms.pipelines.exec_step(f"{entry}:make", "air-1", depth=4).outputs == ("table:train.late@0",)
    assert rooms.pipelines.exec_step(f"{entry}:fit", "air-1").outputs[0] == "model:late@1"
    assert rooms.pipelines.exec_step(f"{entry}:fit", "air-1").outputs[0] == "model:late@1"
    assert rooms.notes == ["make", "fit"]
    assert rooms.pipelines.run(shop.retrain, key="air-1", depth=4).step("show").state == "COMPLETE"


def test_errors_name_the_way_out(rooms: HandBuiltRooms, shop: Any) -> None:
    with pytest.raises(NotFoundError, match="step 'fitt' not found"):
        rooms.pipelines.why("fitt")
    with pytest.raises(UsageError) as caught:
        rooms.pipelines.run(len)  # type: ignore[arg-type]  # the mistake under test
    assert caught.value.code == "not-a-pipeline"
    with pytest.raises(UsageError) as third:
        shop.w.current()
    assert third.value.code == "no-workspace"


POINTS = [
    "pipelines.pinned",
    "metadata.intent.after",
    "pipelines.computed",
    "pipelines.computed:2",
    "lake.commit.before",
    "lake.commit.after",
    "pipelines.between-outputs",
    "registry.claimed",
    "registry.stored",
    "registry.recorded",
    "pipelines.written",
    "pipelines.written:2",
    "metadata.closing.before:2",
    "metadata.closing.after:3",
    "pipelines.between-steps",
]
SCRIPT = """
    from pathlib import Path
    from whence.testing.pipelines import HandBuiltRooms
    from SHOP.steps import retrain

    def go(folder):
        HandBuiltRooms(Path(folder)).pipelines.run(retrain, key="april")
"""


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_started_again(
    rooms: HandBuiltRooms, project: Any, shop: Any, tmp_path: Path, point: str
) -> None:
    rooms.close()
    project.write(script=SCRIPT)
    folder = tmp_path / "ws"
    entry = project.name("script") + ":go"
    assert run_elsewhere(entry, str(folder), paths=[str(project.folder)], environment={VARIABLE: point}) == -9
    again = HandBuiltRooms(folder)
    again.lake.reconcile()
    again.recorder.recover()
    again.pipelines.run(shop.retrain, key="april")
    assert again.recorder.store.find_nodes("execution", state="RUNNING").nodes == []
    undisturbed = HandBuiltRooms()
    undisturbed.lake.table("labels").append({"x": [1, 2, 3, 4], "y": [0, 0, 1, 1]})
    undisturbed.pipelines.run(shop.retrain)
    for one in (again, undisturbed):
        assert one.lake.table("train.late").arrow().to_pydict() == {"x": [2, 4, 6, 8], "y": [0, 0, 1, 1]}
        [step] = [r for r in one.runs.list() if r.name == "fit"]
        assert step.metrics == {"auc": 0.56, "depth_used": 6.0}
    versions = again.models.versions("late")
    assert [(v.ref, v.digest) for v in versions] == [
        (v.ref, v.digest) for v in undisturbed.models.versions("late")
    ]
    again.close()
    undisturbed.close()
