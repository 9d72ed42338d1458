"""Steps as plain functions, their signatures, and pipelines traced into graphs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

import pyarrow as pa
import pytest

from whence.errors import UsageError
from whence.pipelines.outputs import check_outputs
from whence.pipelines.pipeline import pipeline
from whence.pipelines.promise import Promise
from whence.pipelines.runner import as_pipeline
from whence.pipelines.step import latest, step
from whence.pipelines.triggers import every, on_alert
from whence.pipelines.types import Metrics, Model, ModelOutput, Report, Slot, Table, model


@step
def make(labels: Annotated[Any, Table("labels")], days: int = 7) -> Annotated[Any, Table("train.late")]:
    return (labels, days)


@step(cache=False, retries=2)
def fit(
    rows: Annotated[Any, Table("train.late")], depth: int = 6
) -> tuple[Annotated[Any, Model("late")], Metrics]:
    return (rows, depth), {"auc": 0.7}


@step
def show(model: Annotated[Any, Model("late")], metrics: Metrics) -> Report:
    return Report("fine")


@step
def nothing(rows: Annotated[Any, Table("train.late")]) -> None:
    assert rows is not None


@pipeline(name="retraining", triggers=[on_alert("late"), every("30d")])
def retrain(depth: int = 6, *, report: bool = False) -> None:
    rows = make(latest)
    model, metrics = fit(rows, depth)
    if report:
        show(model, metrics)


def test_a_step_called_by_hand_runs() -> None:
    assert make("rows") == ("rows", 7)
    assert fit("rows", depth=3) == (("rows", 3), {"auc": 0.7})


def test_a_signature_tells_inputs_params_and_outputs() -> None:
    assert fit.signature.inputs == {"rows": Slot("table", "train.late")}
    assert fit.signature.params == {"depth": 6}
    assert fit.signature.outputs == (Slot("model", "late"), Slot("metrics"))
    assert (fit.name, fit.cache, fit.retries, fit.signature.single) == ("fit", False, 2, False)


def test_names_in_brackets_say_the_same() -> None:
    def written(rows: Any) -> Any:
        return rows

    table: Any = Table
    written.__annotations__ = {"rows": table["train.late"], "return": table["log", "append"]}
    found = step(written).signature
    assert found.inputs == {"rows": Slot("table", "train.late")}
    assert found.outputs == (Slot("table", "log", "append"),)


def test_a_trace_is_the_graph_of_calls() -> None:
    graph = retrain.trace(depth=4, report=True)
    assert [c.name for c in graph] == ["make", "fit", "show"]
    assert graph.call("fit").upstream == {"make"}
    assert graph.call("show").upstream == {"fit"}
    assert graph.call("fit").arguments["depth"] == 4
    assert graph.params == {"depth": 4, "report": True}


def test_params_decide_the_shape() -> None:
    assert [c.name for c in retrain.trace()] == ["make", "fit"]
    assert retrain.trace().digest() == retrain.trace(depth=9).digest()
    assert retrain.trace().digest() != retrain.trace(report=True).digest()


def test_an_input_left_out_is_the_output_of_the_run() -> None:
    @pipeline
    def implied() -> None:
        make(latest)
        fit(latest)

    assert implied.trace().call("fit").upstream == {"make"}


def test_calls_of_one_step_are_numbered() -> None:
    @pipeline
    def twice() -> None:
        rows = make(latest)
        fit(rows, 3)
        fit(rows, 4)

    assert [c.name for c in twice.trace()] == ["make", "fit", "fit#2"]


def test_order_without_data() -> None:
    @pipeline
    def ordered() -> None:
        done: Promise = nothing(make(latest))  # type: ignore[assignment]  # a promise while traced
        rows: Any = make(latest, 3)
        rows.after(done)

    assert ordered.trace().call("make#2").upstream == {"nothing"}


BRANCHES: list[tuple[Callable[[Any], object], str]] = [
    (lambda p: 1 if p else 2, "cannot branch on"),
    (list, "cannot iterate over"),
    (len, "cannot take the length of"),
    (lambda p: p["auc"], "cannot look into"),
    (lambda p: p == 1, "cannot compare"),
    (lambda p: p > 1, "cannot compare"),
    (lambda p: p.version, "cannot read .version of"),
]


@pytest.mark.parametrize(("deed", "words"), BRANCHES)
def test_a_pipeline_cannot_look_into_what_a_step_gives(deed: Callable[[Any], object], words: str) -> None:
    @pipeline
    def peeking() -> None:
        deed(make(latest))

    with pytest.raises(UsageError, match=words) as caught:
        peeking.trace()
    assert caught.value.code == "pipeline-promise"
    assert "traced before any step has run" in caught.value.message


def test_a_promise_must_fit_its_place() -> None:
    @pipeline
    def param() -> None:
        fit(latest, make(latest))

    @pipeline
    def kind() -> None:
        model, _ = fit(make(latest))
        fit(model)

    @pipeline
    def inside() -> None:
        fit([make(latest)])

    for wrong, words in [(param, "is a param"), (kind, "is a table"), (inside, "inside a list")]:
        with pytest.raises(UsageError, match=words) as caught:
            wrong.trace()
        assert caught.value.code == "pipeline-promise"


def test_errors_of_signatures() -> None:
    def unnamed(x: Table) -> Table:
        return x

    def starred(*rows: int) -> None: ...
    def unknown(x: int) -> None: ...

    unknown.__annotations__["x"] = "Nowhere"
    cases: list[tuple[Any, str]] = [
        (unnamed, "step-annotation"),
        (starred, "step-signature"),
        (unknown, "step-annotation"),
    ]
    for function, code in cases:
        with pytest.raises(UsageError) as caught:
            _ = step(function).signature
        assert caught.value.code == code


def test_errors_of_arguments() -> None:
    @pipeline
    def missing() -> None:
        as_pipeline(as_step_without_default)()

    @step
    def as_step_without_default(depth: int) -> None: ...

    with pytest.raises(UsageError, match="'depth' has no default") as caught:
        missing.trace()
    assert caught.value.code == "step-arguments"
    with pytest.raises(UsageError, match="unexpected keyword") as other:
        retrain.trace(deep=3)
    assert other.value.code == "pipeline-params"

    @pipeline
    def empty() -> None: ...

    with pytest.raises(UsageError) as third:
        empty.trace()
    assert third.value.code == "pipeline-empty"


OUTPUTS: list[tuple[Any, object, str, str]] = [
    (make, 5, "step-output", "output 0 \\(table 'train.late'\\) is a int"),
    (fit, (1, {"auc": 1.0}), "step-output", "output 0 \\(model 'late'\\) is a int"),
    (fit, ("x",), "step-output-count", "returns 1 outputs, its annotation names 2"),
    (show, 5, "step-output", "output 0 \\(report\\) is a int"),
    (nothing, 5, "step-output-count", "names no output"),
]


@pytest.mark.parametrize(("which", "result", "code", "words"), OUTPUTS)
def test_an_output_that_cannot_be_kept_is_named(which: Any, result: object, code: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        check_outputs(which.name, which.signature, result)
    assert caught.value.code == code
    assert repr(which.name) in caught.value.message


@pytest.mark.parametrize("number", [float("nan"), float("inf"), "x"])
def test_a_metric_is_a_finite_number(number: object) -> None:
    class Fit:
        def predict(self) -> None: ...

    with pytest.raises(UsageError, match="metric 'auc'"):
        check_outputs("fit", fit.signature, (Fit(), {"auc": number}))


def test_outputs_become_values() -> None:
    table = check_outputs("make", make.signature, [{"a": 1}])[0].value
    assert isinstance(table, pa.Table)
    assert table.to_pylist() == [{"a": 1}]

    class Fit:
        def predict(self) -> None: ...

    estimator = Fit()
    first, second = check_outputs("fit", fit.signature, (model(estimator, tags={"a": "b"}), {"auc": 1}))
    assert isinstance(first.value, ModelOutput)
    assert (first.value.estimator, first.value.tags, second.value) == (estimator, {"a": "b"}, {"auc": 1.0})


def test_triggers() -> None:
    assert [repr(t) for t in retrain.triggers] == [
        "OnAlert(monitor='late', at_most_every=None, decides=True)",
        "Every(period=datetime.timedelta(days=30), start=None)",
    ]
    assert every("12h").period == timedelta(hours=12)
    with pytest.raises(UsageError) as caught:
        every("soon")
    assert caught.value.code == "bad-period"
