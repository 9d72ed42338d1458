"""Runs: logging, closing, finding, comparing."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from whence.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from whence.metadata import Artifact, Change, Context, Put, Type
from whence.tracking import (
    Runs,
    current_run,
    list_readers,
    log_artifact,
    log_metric,
    log_metrics,
    log_param,
    set_tag,
)
from whence.tracking.types import Metric


def test_a_run_is_an_execution(runs: Runs) -> None:
    with runs.start(
        "first", experiment="trees", params={"depth": 6, "loss": "log"}, tags={"team": "ops"}
    ) as run:
        run.log_metric("auc", 0.5)
        run.log_metrics({"auc": 0.75, "loss": 0.25}, step=1)
        run.log_param("rate", 0.1)
        assert run.is_open
        assert run.metrics == {"auc": 0.75, "loss": 0.25}
        assert run.params == {"depth": 6, "loss": "log", "rate": 0.1}
    again = runs.get(run.ref)
    assert (again.state, again.type, again.name, again.experiment) == ("COMPLETE", "run", "first", "trees")
    assert again.params == {"depth": 6, "loss": "log", "rate": 0.1}
    assert again.metrics == {"auc": 0.75, "loss": 0.25}
    assert again.tags == {"team": "ops"}
    assert [m.step for m in again.history("auc")] == [0, 1]
    assert again.duration_s is not None
    node = runs.recorder.store.get_nodes("execution", uids=[run.uid])[0]
    assert (node.get("run_name"), node.get("params")) == ("first", {"depth": 6, "loss": "log"})
    contexts = {c.type: c.name for c in runs.recorder.store.list_contexts(execution=run.uid)}
    assert contexts == {"Project": "default", "Experiment": "trees"}


def test_a_run_that_raises_failed_and_keeps_its_metrics(runs: Runs) -> None:
    def work() -> None:
        with runs.start() as run:
            run.log_metric("auc", 0.5)
            uids.append(run.uid)
            raise ZeroDivisionError

    uids: list[str] = []
    with pytest.raises(ZeroDivisionError):
        work()
    run = runs.get(uids[0])
    found = runs.get(run.uid)
    assert (found.state, found.metrics) == ("FAILED", {"auc": 0.5})
    assert found.execution.get("error_type") == "ZeroDivisionError"
    assert [r.uid for r in runs.search("state = 'FAILED'")] == [run.uid]


def test_nothing_is_logged_onto_a_closed_run(runs: Runs) -> None:
    with runs.start() as run:
        pass
    for found in (run, runs.get(run.uid)):
        with pytest.raises(UsageError) as caught:
            found.log_metric("auc", 0.5)
        assert caught.value.code == "run-closed"
        with pytest.raises(UsageError):
            found.log_artifact(b"x", "x")


def test_params_do_not_change(runs: Runs) -> None:
    with runs.start(params={"depth": 6}) as run:
        run.log_param("depth", 6)
        with pytest.raises(ConflictError) as caught:
            run.log_param("depth", 7)
        assert caught.value.code == "param-changed"
        with pytest.raises(ConflictError):
            run.log_params({"new": 1, "depth": "6.0"})
        run.log_param("rate", 0.1)
        with pytest.raises(ConflictError):
            run.log_param("rate", 0.2)
    assert runs.get(run.uid).params == {"depth": 6, "rate": 0.1}


def test_latest_is_by_step_then_time(runs: Runs) -> None:
    early, late = datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 2, tzinfo=UTC)
    with runs.start() as run:
        run.log_metric("m", 1.0, 5, at=late)
        run.log_metric("m", 2.0, 5, at=early)
        run.log_metric("m", 3.0, 4, at=late)
        assert run.metrics == {"m": 1.0}
        run.flush()
        assert run.metrics == {"m": 1.0}
        run.log_metric("m", 4.0, 5, at=late)
        assert run.metrics == {"m": 4.0}
        assert [m.value for m in run.history("m")] == [3.0, 2.0, 1.0, 4.0]
    assert runs.get(run.uid).latest["m"] == Metric("m", 4.0, 5, late)
    assert [m.value for m in runs.get(run.uid).history("m")] == [3.0, 2.0, 1.0, 4.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinities_are_kept(runs: Runs, value: float) -> None:
    with runs.start() as run:
        run.log_metric("m", value)
    assert repr(runs.get(run.uid).metrics["m"]) == repr(value)


def test_numbers_of_numpy(runs: Runs) -> None:
    with runs.start(params={"n": np.int64(3), "grid": (1, np.float32(0.5))}) as run:  # type: ignore[dict-item]
        run.log_metric("a", np.float32(0.5))  # type: ignore[arg-type]
        run.log_metric("b", np.int64(7), step=np.int32(3))  # type: ignore[arg-type]
        run.log_metric("c", np.array(1.5))  # type: ignore[arg-type]
    found = runs.get(run.uid)
    assert found.metrics == {"a": 0.5, "b": 7.0, "c": 1.5}
    assert found.params == {"n": 3, "grid": [1, 0.5]}


@pytest.mark.parametrize(
    ("value", "code"),
    [("0.5", "bad-metric"), (True, "bad-metric"), (None, "bad-metric"), (2**53 + 1, "bad-metric")],
)
def test_what_is_no_number(runs: Runs, value: object, code: str) -> None:
    with runs.start() as run:
        with pytest.raises(UsageError) as caught:
            run.log_metric("m", value)  # type: ignore[arg-type]
        assert caught.value.code == code
        with pytest.raises(UsageError):
            run.log_metrics({"good": 1.0, "m": value})  # type: ignore[dict-item]
        assert run.metrics == {}


@pytest.mark.parametrize("key", ["", "a\nb", "x" * 251, 7])
def test_what_is_no_key(runs: Runs, key: object) -> None:
    with runs.start() as run:
        for call in (run.log_metric, run.log_param, run.set_tag):
            with pytest.raises(UsageError) as caught:
                call(key, 1)  # type: ignore[arg-type]
            assert caught.value.code == "bad-key"


@pytest.mark.parametrize("step", [1.5, True, 2**63, "1"])
def test_what_is_no_step(runs: Runs, step: object) -> None:
    with runs.start() as run, pytest.raises(UsageError) as caught:
        run.log_metric("m", 1.0, step)  # type: ignore[arg-type]
    assert caught.value.code == "bad-step"


def test_what_is_no_param(runs: Runs) -> None:
    with runs.start() as run:
        for value, code in ((object(), "bad-param"), ({1, 2}, "bad-param"), ("x" * 70_000, "param-too-long")):
            with pytest.raises(UsageError) as caught:
                run.log_param("p", value)  # type: ignore[arg-type]
            assert caught.value.code == code
    with pytest.raises(UsageError), runs.start(params={"p": object()}):  # type: ignore[dict-item]
        pass
    assert len(list(runs.list())) == 1


def test_tags_change_and_go(runs: Runs) -> None:
    with runs.start(tags={"a": "1", "b": "2"}) as run:
        run.set_tag("a", "3")
        run.set_tag("b", None)
        assert run.tags == {"a": "3"}
        with pytest.raises(UsageError) as caught:
            run.set_tag("c", 7)  # type: ignore[arg-type]
        assert caught.value.code == "bad-tag"
    assert runs.get(run.uid).tags == {"a": "3"}


def test_files_of_a_run(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "curve.csv").write_bytes(b"a,b\n1,2\n")
    with runs.start() as run:
        run.log_artifact(tmp_path / "curve.csv")
        run.log_artifact(b"<svg/>", "plots/roc.svg")
        run.log_artifact(b"<svg/>", "plots/roc.svg")
        with pytest.raises(ConflictError) as caught:
            run.log_artifact(b"<svg />", "plots/roc.svg")
        assert caught.value.code == "artifact-exists"
        assert [a.name for a in run.artifacts] == ["curve.csv", "plots/roc.svg"]
    found = runs.get(run.uid)
    assert [(a.name, a.size_bytes) for a in found.artifacts] == [("curve.csv", 8), ("plots/roc.svg", 6)]
    assert found.read_artifact("plots/roc.svg") == b"<svg/>"
    with found.open_artifact("curve.csv") as stream:
        assert stream.readline() == b"a,b\n"
    with pytest.raises(NotFoundError) as missing:
        found.read_artifact("plots/rok.svg")
    assert (missing.value.code, missing.value.near) == ("run-artifact-not-found", ["plots/roc.svg"])
    digest = found.artifacts[0].digest.removeprefix("sha256:")
    (tmp_path / "blobs" / "sha256" / digest[:2] / digest[2:]).write_bytes(b"a,b\n1,3\n")
    with pytest.raises(IntegrityError):
        found.read_artifact("curve.csv")


@pytest.mark.parametrize("name", ["", "../x", "/x", "a//b", "a/./b", "a\\b", "a\nb", None, "x" * 300])
def test_names_of_files(runs: Runs, name: str | None) -> None:
    with runs.start() as run, pytest.raises(UsageError) as caught:
        run.log_artifact(b"x", name)
    assert caught.value.code == "bad-artifact-name"


def test_the_same_file_in_two_runs_has_two_makers(runs: Runs) -> None:
    made = []
    for _ in range(2):
        with runs.start() as run:
            run.log_artifact(b"same", "same.txt")
        made.append(run)
    assert made[0].artifacts[0].digest == made[1].artifacts[0].digest
    for run in made:
        nodes = runs.recorder.store.find_nodes("artifact", type_="Blob", name_prefix=run.uid).nodes
        events = runs.recorder.store.list_events(artifacts=[nodes[0].uid])
        assert [(e.execution, e.kind, e.path) for e in events] == [
            (run.uid, "OUTPUT", ("artifact", "same.txt"))
        ]


def test_what_a_run_read(runs: Runs) -> None:
    runs.recorder.store.put_type(Type("artifact", "TableVersion", {"digest": "STRING", "n_rows": "INT"}))
    table = Artifact(type="TableVersion", name="flights@12", properties={"digest": "rows-v1:ab", "n_rows": 7})
    with runs.start() as run:
        run.log_input(table, role="training")
        assert [d.ref for d in run.inputs] == ["table:flights@12"]
        with pytest.raises(UsageError) as caught:
            run.log_input({"a": 1})
        assert caught.value.code == "not-an-artifact"
    (found,) = runs.get(run.uid).inputs
    assert (found.ref, found.role, found.digest, found.n_rows) == (
        "table:flights@12",
        "training",
        "rows-v1:ab",
        7,
    )
    assert list_readers(runs.recorder.store, found.uid) == [run.uid]


def test_logging_inside_a_step_goes_to_the_step(runs: Runs) -> None:
    nightly = Context(type="Experiment", name="nightly")
    with (
        runs.recorder.within(nightly),
        runs.recorder.execution("step", properties={"step": "train"}, params={"depth": 6}) as step,
    ):
        log_metric("auc", 0.75)
        log_metrics({"loss": 0.5}, step=2)
        log_param("rate", 0.1)
        set_tag("team", "ops")
        log_artifact(b"x", "x.bin")
        assert current_run() is not None
        # Written at each call: another process sees it already.
        assert runs.get(step.uid).metrics == {"auc": 0.75, "loss": 0.5}
        with pytest.raises(ConflictError):
            log_param("depth", 7)
    (found,) = runs.search("metrics.auc > 0.5")
    assert (found.uid, found.type, found.name, found.experiment) == (step.uid, "step", "train", "nightly")
    assert found.params == {"depth": 6, "rate": 0.1}
    assert found.tags == {"team": "ops"}
    assert [a.name for a in found.artifacts] == ["x.bin"]
    assert found.state == "COMPLETE"


def test_a_run_inside_a_step_is_its_own(runs: Runs) -> None:
    with runs.recorder.execution("step") as step:
        log_metric("outer", 1.0)
        with runs.start("inner") as run:
            log_metric("inner", 2.0)
            assert runs.current() is run
        log_metric("outer", 3.0)
    assert runs.get(step.uid).metrics == {"outer": 3.0}
    assert runs.get(run.uid).metrics == {"inner": 2.0}
    assert runs.current() is None


def test_outside_of_any_recording_logging_goes_nowhere(runs: Runs) -> None:
    log_metric("auc", 0.5)
    assert log_artifact(b"x", "x") is None
    assert current_run() is None
    assert list(runs.list()) == []


def test_two_workspaces_in_one_process(runs: Runs, memory_runs: Runs) -> None:
    with runs.start() as outer, memory_runs.start() as inner:
        log_metric("m", 1.0)
        assert current_run() is inner
        assert runs.current() is outer
    assert (outer.metrics, inner.metrics) == ({}, {"m": 1.0})


def test_get_by_reference_uid_and_name(runs: Runs) -> None:
    with runs.start("only") as run:
        pass
    for _ in range(2):
        with runs.start("twice"):
            pass
    for ref in (run.ref, f"execution:{run.uid}", run.uid, "only", "run:only"):
        assert runs.get(ref).uid == run.uid
    with pytest.raises(UsageError) as caught:
        runs.get("twice")
    assert caught.value.code == "ambiguous-run"
    with pytest.raises(NotFoundError) as missing:
        runs.get("onli")
    assert (missing.value.code, missing.value.near) == ("run-not-found", ["only"])
    with pytest.raises(NotFoundError):
        runs.get("run:01JAAAAAAAAAAAAAAAAAAAAAAA")


def test_search(runs: Runs) -> None:
    made = []
    for depth in range(5):
        with runs.start(
            f"d{depth}", experiment="even" if depth % 2 == 0 else "odd", params={"depth": depth}
        ) as run:
            run.log_metric("auc", depth / 10)
        made.append(run.uid)
    assert [r.name for r in runs.search()] == ["d4", "d3", "d2", "d1", "d0"]
    assert [r.name for r in runs.search("metrics.auc >= 0.2 and params.depth != '3'")] == ["d4", "d2"]
    assert [r.name for r in runs.search(experiment="odd")] == ["d3", "d1"]
    assert [r.name for r in runs.search("metrics.auc < 0.3", experiment="even", order_by="metrics.auc")] == [
        "d0",
        "d2",
    ]
    assert [r.name for r in runs.search(order_by=["metrics.auc DESC"], limit=2, offset=1)] == ["d3", "d2"]
    assert [r.uid for r in runs.list(order_by="started_at")] == made
    with pytest.raises(UsageError) as caught:
        runs.search("metrics.auc >")
    assert caught.value.code == "bad-filter"


def test_compare(runs: Runs) -> None:
    with runs.start("a", params={"depth": 6, "rate": 0.1}) as a:
        a.log_metric("auc", 0.5)
    with runs.start("b", params={"depth": 8, "rate": 0.1}) as b:
        b.log_metric("loss", math.nan)
    found = runs.compare([a, b.ref])
    assert found.refs == (a.ref, b.ref)
    assert found.get("param", "depth") == (6, 8)
    assert found.get("param", "none") == (None, None)
    assert [(r.kind, r.key) for r in found.differing() if r.kind != "run"] == [
        ("param", "depth"), ("metric", "auc"), ("metric", "loss"),
    ]  # fmt: skip
    rows = found.to_dict()["rows"]
    assert isinstance(rows, list)
    assert {"kind": "metric", "key": "loss", "values": [None, "nan"], "differs": True} in rows


def test_an_open_run_that_died_is_seen_as_what_it_became(runs: Runs) -> None:
    with runs.start() as run:
        assert [r.state for r in runs.search()] == ["RUNNING"]
        node = run.execution
        uid = run.uid
    with runs.start() as open_run:
        # Recovery in another process settles it in the graph alone.
        failed = dataclasses.replace(open_run.execution, state="FAILED", properties={}, custom={})
        runs.recorder.store.write(Change([Put(failed, "update")]))
        assert [r.uid for r in runs.search("state = 'FAILED'")] == [open_run.uid]
    assert node.uid == uid


def test_time_is_taken_with_its_zone(runs: Runs) -> None:
    with runs.start() as run:
        with pytest.raises(UsageError) as caught:
            run.log_metric("m", 1.0, at=datetime(2013, 1, 1))  # noqa: DTZ001  # what is refused
        assert caught.value.code == "naive-time"
        before = datetime.now(UTC)
        run.log_metric("m", 1.0)
    assert before <= runs.get(run.uid).latest["m"].at <= before + timedelta(minutes=1)
