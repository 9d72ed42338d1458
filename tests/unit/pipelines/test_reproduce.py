"""Made again: identical, equivalent, different by a named ancestor, or impossible with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whence.errors import NotFoundError, UsageError
from whence.pipelines import PipelineRun, Verdict
from whence.pipelines.child import RESULT, write_job
from whence.pipelines.compare import compare_metrics, compare_tables
from whence.pipelines.environment import differences, package_differences
from whence.pipelines.remake import Remaker
from whence.testing.pipelines import HandBuiltRooms, run_elsewhere

STEPS = """
    from typing import Annotated, Any
    import numpy as np
    import pyarrow as pa
    from sklearn.linear_model import LogisticRegression
    import whence.pipelines as w
    from whence.tracking import log_metric
    from SHOP import rates

    @w.step
    def make(labels: Annotated[Any, w.Table("labels")]) -> Annotated[Any, w.Table("train.late")]:
        weather = w.current().lake.table("weather").arrow().sort_by("x")
        rows = labels.arrow().sort_by("x")
        return rows.append_column("wind", rates.double(weather["wind"]))

    @w.step
    def fit(rows: Annotated[Any, w.Table("train.late")], c: float = 1.0) -> tuple[Annotated[Any, w.Model("late")], w.Metrics]:
        table = rows.arrow().sort_by("x")
        x = np.column_stack([table["x"].to_numpy(), table["wind"].to_numpy()]).astype(float)
        model = LogisticRegression(C=c).fit(x, table["y"].to_numpy())
        log_metric("n", len(x))
        return model, {"mean": float(model.predict_proba(x)[:, 1].mean())}

    @w.step
    def show(model: Annotated[Any, w.Model("late")], metrics: w.Metrics) -> w.Report:
        coefficients = w.current().models.load(model).coef_.round(9).tolist()
        return w.Report(f"{coefficients} {metrics['mean']:.9f}")

    @w.step
    def roll(labels: Annotated[Any, w.Table("labels")]) -> w.Metrics:
        return {"luck": float(np.random.default_rng().random())}

    @w.step
    def write(labels: Annotated[Any, w.Table("labels")]) -> w.Metrics:
        w.current().lake.table("log").append({"n": [labels.n_rows]})
        return {"n": 1}

    @w.step
    def register(labels: Annotated[Any, w.Table("labels")]) -> w.Metrics:
        with w.current().runs.start("inner") as run:
            run.log_metric("a", 1.0)
        w.current().models.register("own", LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
        return {"n": 1}

    @w.pipeline
    def retrain():
        rows = make(None)
        model, metrics = fit(rows)
        show(model, metrics)
"""
RATES = """
    import pyarrow.compute as pc

    def double(column):
        return pc.multiply(column, 2.0)
"""
LABELS = {"x": [1, 2, 3, 4], "y": [0, 0, 1, 1]}
WEATHER = {"x": [1, 2, 3, 4], "wind": [0.5, 1.5, 0.25, 3.0]}


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[HandBuiltRooms]:
    rooms = HandBuiltRooms(tmp_path / "ws")
    rooms.lake.table("labels").append(LABELS)
    rooms.lake.table("weather").append(WEATHER)
    yield rooms
    rooms.close()


@pytest.fixture(autouse=True)
def quick_child(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The other process is forked from one that has everything imported, unless the test is about the process."""
    if "real_child" in request.fixturenames:
        return

    def child(self: Remaker, job: Any, folder: Path) -> Any:
        run_elsewhere("whence.testing.pipelines:do_job", str(write_job(folder, job)))
        return json.loads((folder / RESULT).read_text())

    monkeypatch.setattr(Remaker, "_child", child)


@pytest.fixture
def real_child() -> None:
    """Asks for a process of its own, as users have it."""


@pytest.fixture
def shop(project: Any) -> Any:
    project.write(steps=STEPS, rates=RATES)
    return project.load("steps")


@pytest.fixture
def run(rooms: HandBuiltRooms, shop: Any) -> PipelineRun:
    return rooms.pipelines.run(shop.retrain, key="april")


def nothing_was_written(rooms: HandBuiltRooms) -> None:
    assert rooms.lake.table("train.late").head().version == 0
    assert [v.version for v in rooms.models.versions("late")] == [1]
    assert sorted(r.name or "" for r in rooms.runs.list()) == ["fit"]
    steps = rooms.recorder.store.find_nodes("execution", type_="step").nodes
    assert len(steps) == 3


def test_identical_whichever_way_it_is_named(
    real_child: None, rooms: HandBuiltRooms, project: Any, run: PipelineRun
) -> None:
    project.write(steps="raise SystemExit('the files of now must not be read')")
    verdict = rooms.pipelines.reproduce("model:late@1")
    assert (verdict.verdict, verdict.first_difference, verdict.steps) == ("identical", None, ("fit",))
    assert verdict.ref == run.step("fit").execution
    assert [(o.output.partition(":")[0], o.verdict) for o in verdict.outputs] == [
        ("model", "identical"),
        ("artifact", "identical"),
    ]
    assert verdict.threads["recorded"] == verdict.threads["now"]
    nothing_was_written(rooms)
    table = rooms.pipelines.reproduce("table:train.late@0")
    assert (table.verdict, table.steps) == ("identical", ("make",))
    [recorded] = rooms.recorder.store.find_nodes(
        "execution", type_="reproduce", where={"verdict": "identical"}, limit=1
    ).nodes
    assert recorded.get("target") == run.step("fit").execution.removeprefix("execution:")


def test_a_changed_row_of_an_ancestor_runs_the_chain(rooms: HandBuiltRooms, run: PipelineRun) -> None:
    changed = pa.table({**WEATHER, "wind": [0.5, 1.5, 0.25, 9.0]})
    verdict = rooms.pipelines.reproduce(run.step("show").execution, inputs={"weather": changed})
    assert (verdict.verdict, verdict.steps) == ("different", ("make", "fit", "show"))
    assert verdict.first_difference is not None
    assert (verdict.first_difference.what, verdict.first_difference.name) == ("input", "table:weather@0")
    nothing_was_written(rooms)


def test_another_version_and_a_file_stand_in(rooms: HandBuiltRooms, run: PipelineRun, tmp_path: Path) -> None:
    rooms.lake.table("labels").append({"x": [5], "y": [1]})
    pq.write_table(pa.table({**LABELS, "y": [0, 1, 1, 1]}), tmp_path / "labels.parquet")
    by_file = rooms.pipelines.reproduce("model:late@1", inputs={"labels": tmp_path / "labels.parquet"})
    assert str(by_file.first_difference).startswith("input table:labels@0: rows-v1:")
    assert (by_file.verdict, by_file.steps) == ("different", ("make", "fit"))
    same = rooms.pipelines.reproduce(
        "table:train.late@0", inputs={"labels": "0", "weather": pa.table(WEATHER)}
    )
    assert (same.verdict, same.first_difference) == ("identical", None)


def test_code_of_now_is_named_where_it_changed(rooms: HandBuiltRooms, project: Any, run: PipelineRun) -> None:
    assert rooms.pipelines.reproduce("model:late@1", code="current").verdict == "identical"
    project.write(rates=RATES.replace("2.0", "3.0"))
    assert rooms.pipelines.reproduce("model:late@1").verdict == "identical"
    verdict = rooms.pipelines.reproduce("model:late@1", code="current")
    assert (verdict.verdict, verdict.steps) == ("different", ("make", "fit"))
    assert verdict.first_difference is not None
    assert (verdict.first_difference.what, verdict.first_difference.name) == (
        "code",
        f"function {project.prefix}.rates.double",
    )


def test_a_step_that_fails_on_the_substitute_is_different(rooms: HandBuiltRooms, run: PipelineRun) -> None:
    one_class = pa.table({**LABELS, "y": [1, 1, 1, 1]})
    verdict = rooms.pipelines.reproduce("model:late@1", inputs={"labels": one_class})
    assert verdict.verdict == "different"
    assert "step 'fit' fails: ValueError" in verdict.reason


def test_what_is_not_deterministic_says_so(rooms: HandBuiltRooms, shop: Any) -> None:
    done = rooms.pipelines.run(shop.roll)
    verdict = rooms.pipelines.reproduce(done.steps[0].execution)
    assert verdict.verdict == "different"
    assert str(verdict.first_difference) == "unexplained step roll"


def test_a_cached_step_leads_to_the_one_that_ran(rooms: HandBuiltRooms, shop: Any, run: PipelineRun) -> None:
    again = rooms.pipelines.run(shop.retrain)
    verdict = rooms.pipelines.reproduce(again.step("make").execution)
    assert (verdict.verdict, verdict.ref) == ("identical", run.step("make").execution)


def impossible(verdict: Verdict, words: str) -> None:
    assert (verdict.verdict, verdict.outputs) == ("impossible", ())
    assert words in verdict.reason


def test_impossible_says_why(rooms: HandBuiltRooms, shop: Any, run: PipelineRun, tmp_path: Path) -> None:
    appended = rooms.lake.table("labels").history()[0].execution
    impossible(rooms.pipelines.reproduce(f"execution:{appended}"), "is of type append: only steps")
    writes = rooms.pipelines.run(shop.write).steps[0].execution
    impossible(rooms.pipelines.reproduce(writes), "writes to the workspace itself")
    registers = rooms.pipelines.run(shop.register).steps[0].execution
    impossible(rooms.pipelines.reproduce(registers), "may not write into the graph")
    assert len(rooms.models.versions("own")) == 1
    assert [r.name for r in rooms.runs.list() if r.name == "inner"] == ["inner"]
    for file in (tmp_path / "ws" / "lake" / "labels").glob("*.parquet"):
        file.unlink()
    impossible(rooms.pipelines.reproduce(run.step("make").execution), "input")
    uid = run.step("fit").execution.removeprefix("execution:")
    [node] = rooms.recorder.store.get_nodes("execution", uids=[uid])
    rooms.blobs.delete(str(node.get("stored_code")))
    impossible(rooms.pipelines.reproduce(run.step("fit").execution), "the stored code of step 'fit' is gone")
    in_memory = HandBuiltRooms()
    in_memory.lake.table("labels").append(LABELS)
    done = in_memory.pipelines.run(shop.roll)
    impossible(in_memory.pipelines.reproduce(done.steps[0].execution), "memory of this process")
    in_memory.close()


def test_stored_bytes_that_are_not_what_was_made_are_named(
    rooms: HandBuiltRooms, run: PipelineRun, tmp_path: Path
) -> None:
    digest = rooms.models.get("late@1").digest
    [file] = [p for p in (tmp_path / "ws" / "blobs").rglob("*") if p.name.endswith(digest[-20:])]
    file.chmod(0o600)
    file.write_bytes(b"something else")
    verdict = rooms.pipelines.reproduce("model:late@1")
    assert verdict.verdict == "different"
    assert str(verdict.first_difference) == f"output model:late@1: {digest} → corrupted"
    assert f"the stored bytes are corrupted: blob {digest} is corrupted" in verdict.reason
    impossible(
        rooms.pipelines.reproduce(run.step("show").execution), "the bytes of model:late@1 are corrupted"
    )
    rooms.blobs.delete(digest)
    gone = rooms.pipelines.reproduce("model:late@1")
    assert gone.verdict == "identical"
    assert "the stored bytes are gone" in gone.reason


def test_errors_of_the_call(rooms: HandBuiltRooms, run: PipelineRun) -> None:
    with pytest.raises(UsageError, match="'planes' is no table this came from") as caught:
        rooms.pipelines.reproduce("model:late@1", inputs={"planes": pa.table({"a": [1]})})
    assert (caught.value.code, caught.value.hint) == (
        "not-an-ancestor",
        "tables: labels, train.late, weather",
    )
    with pytest.raises(NotFoundError):
        rooms.pipelines.reproduce("execution:01J00000000000000000000000")
    with pytest.raises(UsageError):
        rooms.pipelines.reproduce("model:late@1", code="latest")  # type: ignore[arg-type]  # the mistake under test


def test_tables_are_compared_cell_by_cell() -> None:
    recorded = pa.table({"k": [1, 2, 3], "v": [1.0, None, 3.0]})
    assert compare_tables("t", recorded, recorded.take([2, 0, 1])).verdict == "identical"
    close = compare_tables("t", recorded, pa.table({"k": [3, 1, 2], "v": [3.0 * (1 + 3e-16), 1.0, None]}))
    assert (close.verdict, close.n_cells) == ("equivalent", 1)
    assert 0 < close.largest_error < 1e-15
    far = compare_tables("t", recorded, pa.table({"k": [1, 2, 3], "v": [1.0, 2.0, 3.1]}))
    assert (far.verdict, far.n_cells, far.note) == ("different", 2, "2 cells differ")
    keys = compare_tables("t", recorded, pa.table({"k": [1, 2, 4], "v": [1.0, None, 3.0]}))
    assert (keys.verdict, keys.n_cells) == ("different", 1)
    short = compare_tables("t", recorded, recorded.slice(1))
    assert (short.verdict, short.note) == ("different", "3 rows recorded, 2 reproduced")
    assert compare_tables("t", recorded, recorded.rename_columns(["k", "w"])).note == "the columns differ"


def test_metrics_are_compared_by_name() -> None:
    assert compare_metrics("m", {"a": 1.0}, {"a": 1.0}).verdict == "identical"
    assert compare_metrics("m", {"a": 1.0}, {"a": 1.0 + 1e-15}).verdict == "equivalent"
    assert compare_metrics("m", {"a": 1.0}, {"a": 1.1}).verdict == "different"
    assert compare_metrics("m", {"a": 1.0}, {"b": 1.0}).note == "only on one side: a, b"


def test_what_it_ran_on_is_compared() -> None:
    found = differences(
        {"python": "CPython 3.11.7", "threads": {"cpus": 2}},
        {"python": "CPython 3.12.1", "threads": {"cpus": 4}},
    )
    assert [str(d) for d in found] == [
        "python interpreter: CPython 3.11.7 → CPython 3.12.1",
        "threads cpus: 2 → 4",
    ]
    assert [str(d) for d in package_differences({"numpy": "2.0", "python": "3.11"}, {"numpy": "2.1"})] == [
        "package numpy: 2.0 → 2.1"
    ]
