"""Registered models: versions, aliases, loading, signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from tests.unit.registry.conftest import open_models
from tests.unit.registry.sample_models import make, rows
from whence.errors import BackendError, ConflictError, DeniedError, IntegrityError, NotFoundError, UsageError
from whence.metadata import Artifact, Context, Execution
from whence.registry import (
    Column,
    Models,
    Rule,
    Signature,
    canonical_skops,
    infer_signature,
    list_differences,
    promote,
    require_signature,
)


class Mine(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    pass


def sample() -> pa.Table:
    x = rows(20)
    return pa.table({name: x[:, n] for n, name in enumerate(("a", "b", "c", "d"))})


def test_versions_are_numbered_from_one(models: Models) -> None:
    first = models.register(
        "late", make("logistic"), metrics={"auc": 0.5}, params={"depth": 6}, tags={"by": "ops"}
    )
    second = models.register("late", make("tree"))
    other = models.register("early", make("tree"))
    assert [first.ref, second.ref, other.ref] == ["model:late@1", "model:late@2", "model:early@1"]
    assert models.list() == ["early", "late"]
    assert [v.version for v in models.versions("late")] == [1, 2]
    assert second.digest == other.digest
    again = models.get("late@1")
    assert (again.metrics, again.params, again.tags) == ({"auc": 0.5}, {"depth": 6}, {"by": "ops"})
    assert (again.format, again.state, again.size_bytes) == ("skops", "LIVE", len(models.read("late@1")))
    assert set(again.packages) == {"scikit-learn", "skops"}
    assert again.digest == first.digest
    assert again.execution == first.execution


def test_a_model_comes_back_predicting_the_same(models: Models) -> None:
    model = make("histogram")
    version = models.register("late", model)
    for ref in ("late@1", "model:late@1", version.digest, f"model:{version.digest}", version):
        loaded = models.load(ref)
        assert loaded.predict_proba(rows()).tobytes() == model.predict_proba(rows()).tobytes()
    assert models.read(version) == canonical_skops(model)


def test_what_is_recorded(models: Models) -> None:
    version = models.register("late", make("logistic"), sample=sample())
    graph = models.recorder.store
    node = models.artifact(version)
    assert (node.type, node.name, node.uri, node.state) == (
        "Model",
        "late@1",
        f"blob:{version.digest}",
        "LIVE",
    )
    assert node.get("version") == 1
    events = [e for e in graph.list_events(artifacts=[node.uid]) if e.kind == "OUTPUT"]
    assert [e.path for e in events] == [("model", "late")]
    execution = graph.get_nodes("execution", uids=[events[0].execution])[0]
    assert isinstance(execution, Execution)
    assert (execution.type, execution.state, execution.get("model")) == ("register", "COMPLETE", "late")
    assert version.execution == f"execution:{execution.uid}"
    contexts = {c.type: c.name for c in graph.list_contexts(artifact=node.uid)}
    assert contexts == {"RegisteredModel": "late", "Project": "default"}


def test_inside_a_step_the_step_is_its_maker_and_it_is_live_at_once(models: Models) -> None:
    with models.recorder.execution("step") as step:
        version = models.register("late", make("logistic"))
        models.set_alias("late", "champion", version)
        assert models.get("late@champion").version == 1
        models.load("late@champion")
    assert version.execution == step.ref
    assert [a.name for a in step.outputs] == ["late@1"]
    assert [a.name for a in step.inputs] == ["late@1"]


def test_a_failing_step_keeps_the_version_it_registered(models: Models) -> None:
    def work() -> None:
        with models.recorder.execution("step"):
            models.register("late", make("logistic"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert models.get("late@1").state == "LIVE"


def test_what_is_refused_leaves_nothing(models: Models, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04N.")
    refused: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (Mine(), {}, DeniedError, "untrusted-model-type"),
        (lambda: 1, {}, DeniedError, "untrusted-model-type"),
        (tmp_path / "model.pkl", {}, DeniedError, "pickle-refused"),
        (b"hello", {}, UsageError, "unknown-model-file"),
        ("model.skops", {}, UsageError, "not-a-model"),
        (None, {}, UsageError, "not-a-model"),
        (make("logistic"), {"metrics": {"auc": float("nan")}}, UsageError, "bad-model-metric"),
        (make("logistic"), {"sample": {"a": [1.0]}}, UsageError, "sample-refused"),
        (make("logistic"), {"format": "onnx"}, UsageError, "unknown-format"),
    ]
    for model, more, kind, code in refused:
        with pytest.raises(kind) as caught:
            models.register("late", model, **more)
        assert caught.value.code == code  # type: ignore[attr-defined]
    assert models.list() == []
    assert list((tmp_path / "blobs" / "sha256").iterdir()) == []
    assert models.recorder.store.find_nodes("execution").nodes == []


def test_trust_is_asked_for_again_at_load(models: Models) -> None:
    version = models.register("mine", Mine(), trusted=[Mine])
    assert version.trust == (f"{Mine.__module__}.Mine",)
    with pytest.raises(DeniedError) as caught:
        models.load("mine@1")
    assert caught.value.code == "untrusted-model-type"
    assert isinstance(models.load("mine@1", trust=[Mine]), Mine)
    assert isinstance(models.load("mine@1", trust=version.trust), Mine)


def test_a_file_of_a_model_may_be_registered(models: Models, tmp_path: Path) -> None:
    model = make("forest")
    skops.io.dump(model, tmp_path / "model.skops", compression=8)
    version = models.register("late", tmp_path / "model.skops", sample=sample())
    assert version.digest == models.register("late", model).digest
    assert version.signature == Signature(
        tuple(Column(name, "double") for name in "abcd"), (Column("score", "double", nullable=False),)
    )


@pytest.mark.parametrize("name", ["", "Late", "late@1", "a/b", "..", "1late", "a" * 300, "late ", 7])
def test_names(models: Models, name: Any) -> None:
    with pytest.raises(UsageError) as caught:
        models.register(name, make("logistic"))
    assert caught.value.code == "bad-model-name"


def test_what_is_not_found(models: Models) -> None:
    models.register("late", make("logistic"))
    models.set_alias("late", "champion", 1)
    for ref, code, near in (
        ("lat@1", "registered-model-not-found", ["late"]),
        ("late@2", "model-version-not-found", ["late@1"]),
        ("late@champ", "alias-not-found", ["late@champion"]),
        ("sha256:" + "0" * 64, "model-not-found", []),
    ):
        with pytest.raises(NotFoundError) as caught:
            models.get(ref)
        assert (caught.value.code, caught.value.near) == (code, near)
    with pytest.raises(UsageError) as missing:
        models.get("late")
    assert missing.value.code == "model-version-missing"
    with pytest.raises(NotFoundError):
        models.versions("none")


def test_tampered_bytes_are_refused(models: Models, tmp_path: Path) -> None:
    version = models.register("late", make("logistic"))
    name = version.digest.removeprefix("sha256:")
    path = tmp_path / "blobs" / "sha256" / name[:2] / name[2:]
    path.write_bytes(canonical_skops(make("tree")))
    with pytest.raises(IntegrityError) as caught:
        models.load("late@1")
    assert caught.value.code == "blob-corrupted"
    path.unlink()
    with pytest.raises(NotFoundError) as missing:
        models.load("late@1")
    assert missing.value.code == "blob-not-found"


# -- aliases ------------------------------------------------------------------------------------


def test_an_alias_moves_and_its_history_stays(models: Models) -> None:
    for kind in ("logistic", "tree", "forest"):
        models.register("late", make(kind))
    first = models.set_alias("late", "champion", 1, reason="first")
    assert (first.version, first.previous, first.number) == (1, None, 1)
    models.set_alias("late", "challenger", 2)
    second = models.set_alias("late", "champion", 3, reason="better")
    assert models.aliases("late") == {"challenger": 2, "champion": 3}
    assert models.get("late@champion").version == 3
    models.delete_alias("late", "challenger")
    assert models.aliases("late") == {"champion": 3}
    history = models.alias_history("late")
    assert [(m.alias, m.previous, m.version, m.number) for m in history] == [
        ("champion", None, 1, 1), ("challenger", None, 2, 2), ("champion", 1, 3, 3), ("challenger", 2, None, 4),
    ]  # fmt: skip
    assert [m.reason for m in models.alias_history("late", "champion")] == ["first", "better"]
    graph = models.recorder.store
    execution = graph.get_nodes("execution", uids=[second.execution])[0]
    assert isinstance(execution, Execution)
    assert (execution.type, execution.state) == ("set_alias", "COMPLETE")
    inputs = [e for e in graph.list_events(executions=[second.execution]) if e.kind == "INPUT"]
    named = {n.uid: n.name for n in graph.get_nodes("artifact", uids=[e.artifact for e in inputs])}
    assert {e.path: named[e.artifact] for e in inputs} == {("version",): "late@3", ("previous",): "late@1"}


def test_an_alias_moves_only_from_where_it_was_expected(models: Models) -> None:
    models.register("late", make("logistic"))
    models.register("late", make("tree"))
    models.set_alias("late", "champion", 1, expected=None)
    for expected in (None, 2):
        with pytest.raises(ConflictError) as caught:
            models.set_alias("late", "champion", 2, expected=expected)
        assert (caught.value.code, caught.value.details["found"]) == ("alias-moved", 1)
    models.set_alias("late", "champion", 2, expected=1)
    assert [(m.previous, m.version) for m in models.alias_history("late")] == [(None, 1), (1, 2)]


def test_aliases_that_are_refused(models: Models) -> None:
    models.register("late", make("logistic"))
    with pytest.raises(UsageError) as caught:
        models.set_alias("late", "Champion", 1)
    assert caught.value.code == "bad-alias"
    with pytest.raises(UsageError):
        models.set_alias("late", "3", 1)
    with pytest.raises(NotFoundError):
        models.set_alias("late", "champion", 2)
    with pytest.raises(NotFoundError):
        models.delete_alias("late", "champion")
    assert models.aliases("late") == {}


def test_the_alias_of_one_model_is_not_the_alias_of_another(models: Models) -> None:
    for name in ("late", "late.jfk"):
        models.register(name, make("logistic"))
        models.set_alias(name, "champion", 1)
    assert [m.model for m in models.alias_history("late")] == ["late"]
    assert [v.name for v in models.versions("late")] == ["late"]


# -- the gate -----------------------------------------------------------------------------------


def test_a_better_candidate_is_promoted_and_a_worse_one_is_not(models: Models) -> None:
    for auc in (0.70, 0.75, 0.74):
        models.register("late", make("logistic"), metrics={"auc": auc})
    rule = Rule("auc", min_gain=0.01)
    first = promote(models, "late", 1, rule)
    assert (first.promoted, first.champion, first.gain) == (True, None, None)
    second = promote(models, "late", 2, rule)
    assert second.promoted
    assert second.gain == pytest.approx(0.05)
    third = promote(models, "late", 3, rule)
    assert (third.promoted, models.aliases("late")) == (False, {"champion": 2})
    assert (
        third.reason
        == "auc higher by at least 0.01: model:late@3 has 0.74, model:late@2 has 0.75: not better"
    )
    assert [m.reason for m in models.alias_history("late")] == [first.reason, second.reason]
    assert not promote(models, "late", 2, Rule("auc")).promoted


def test_the_gate_takes_evidence_and_directions(models: Models) -> None:
    for _ in range(2):
        models.register("late", make("logistic"))
    rule = Rule("log_loss", higher_is_better=False)
    with pytest.raises(NotFoundError) as caught:
        promote(models, "late", 1, rule)
    assert caught.value.code == "metric-not-found"
    with pytest.raises(NotFoundError):
        promote(models, "late", 1, rule, evidence={1: float("nan")})
    assert promote(models, "late", 1, rule, evidence={1: 0.46}).promoted
    assert promote(models, "late", 2, rule, evidence={1: 0.46, 2: 0.42}).promoted
    assert not promote(models, "late", 1, rule, evidence={1: 0.46, 2: 0.42}).promoted
    for wrong in (-1.0, float("nan")):
        with pytest.raises(UsageError):
            Rule("auc", min_gain=wrong)


# -- signatures ---------------------------------------------------------------------------------


def test_a_signature_is_inferred_from_a_sample(models: Models) -> None:
    version = models.register("late", make("logistic"), sample=sample())
    want = Signature(
        tuple(Column(name, "double") for name in "abcd"), (Column("score", "double", nullable=False),)
    )
    assert version.signature == want
    assert models.get("late@1").signature == want
    assert infer_signature(make("histogram-categories"), sample()).outputs[0].name == "prediction"
    empty = infer_signature(make("logistic"), sample().slice(0, 0))
    assert (len(empty.inputs), empty.outputs) == (4, ())
    assert Signature.from_dict(want.to_dict()) == want


def test_three_classes_have_three_scores() -> None:
    x = rows()
    model = LogisticRegression().fit(x, np.arange(len(x)) % 3)
    assert [c.name for c in infer_signature(model, sample()).outputs] == ["score_0", "score_1", "score_2"]


def test_columns_that_do_not_fit_are_all_named() -> None:
    signature = Signature(
        (Column("depth", "int64"), Column("auc", "double"), Column("at", "timestamp[us, tz=UTC]"))
    )
    good = pa.schema([("at", pa.timestamp("us", tz="UTC")), ("auc", pa.float64()), ("depth", pa.int64())])
    assert list_differences(signature, good) == []
    require_signature(signature, good, what="model:late@1")
    bad = pa.schema([("dept", pa.int64()), ("auc", pa.float32()), ("at", pa.timestamp("us", tz="UTC"))])
    with pytest.raises(UsageError) as caught:
        require_signature(signature, bad, what="model:late@1")
    assert caught.value.code == "signature-mismatch"
    assert caught.value.message == (
        "the columns do not fit model:late@1: depth: missing, want int64; auc: have float, want double; "
        "dept: extra, have int64"
    )
    assert caught.value.near == ["dept"]
    differences = caught.value.details["differences"]
    assert isinstance(differences, list)
    assert [d["kind"] for d in differences] == ["missing", "type", "extra"]
    require_signature(signature, good.append(pa.field("more", pa.string())), what="x", extra=False)


def test_models_of_two_processes_are_the_same_models(tmp_path: Path) -> None:
    one, two = open_models(tmp_path), open_models(tmp_path)
    one.register("late", make("logistic"))
    two.register("late", make("logistic"))
    one.set_alias("late", "champion", 2)
    two.set_alias("late", "champion", 1)
    assert [v.version for v in one.versions("late")] == [1, 2]
    assert one.aliases("late") == two.aliases("late") == {"champion": 1}
    assert [m.previous for m in one.alias_history("late")] == [None, 2]


def test_contexts_around_the_caller_are_kept(models: Models) -> None:
    models.recorder.store.put_type(
        __import__("whence.metadata", fromlist=["Type"]).Type("context", "Experiment")
    )
    with models.recorder.within(Context(type="Experiment", name="nightly")):
        version = models.register("late", make("logistic"))
    contexts = {c.type: c.name for c in models.recorder.store.list_contexts(artifact=version.uid)}
    assert contexts["Experiment"] == "nightly"


def test_a_full_disk_leaves_no_version(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(data: object) -> str:
        raise BackendError("no space is left", code="store-full", retryable=True)

    monkeypatch.setattr(models._blobs, "put", full)
    with pytest.raises(BackendError) as caught:
        models.register("late", make("logistic"))
    assert caught.value.code == "store-full"
    monkeypatch.undo()
    assert models.versions("late") == []
    graph = models.recorder.store
    assert [
        n.state for n in graph.find_nodes("artifact", type_="Model").nodes if isinstance(n, Artifact)
    ] == ["ABANDONED"]
    assert models.register("late", make("logistic")).version == 2
    assert models.recorder.recover().n == 0
