"""The gate that every rule has besides: what was made from something bad gets no alias."""

from __future__ import annotations

import pytest
from sklearn.linear_model import LogisticRegression

from tests.unit.registry.sample_models import labels, rows
from whence.blobs import open_blobs
from whence.metadata import Artifact, Execution, Recorder, Type, open_store
from whence.metadata.ambient import allowing_tainted
from whence.metadata.graph import Graph
from whence.registry import Models, Rule, promote

RULE = Rule("auc")


@pytest.fixture
def models() -> Models:
    recorder = Recorder(open_store("memory://"), environment=lambda: {"python": "3.11.7"})
    recorder.store.put_type(Type("artifact", "Table"))
    models = Models(recorder, open_blobs("memory://"))
    for version in (1, 2):
        with recorder.execution("train", inputs=[(Artifact(type="Table", name=f"rows@{version}"), ())]):
            x = rows()
            models.register(
                "late", LogisticRegression().fit(x, labels(x)), metrics={"auc": 0.7 + version / 100}
            )
    models.set_alias("late", "champion", 1)
    return models


def decided(models: Models, ref: str | None) -> Execution:
    (node,) = models.recorder.store.get_nodes("execution", uids=[str(ref).removeprefix("execution:")])
    assert isinstance(node, Execution)
    return node


@pytest.mark.parametrize("policy", ["block", "retrain", "alert"])
def test_a_tainted_candidate_is_not_promoted_and_the_decision_says_why(models: Models, policy: str) -> None:
    graph = Graph(models.recorder.store)
    mark = graph.mark("rows@2", "labels were swapped", policy=policy)  # type: ignore[arg-type]
    found = promote(models, "late", 2, RULE)
    assert not found.promoted
    assert found.tainted_by == (mark.id,)
    assert found.reason.endswith(f": better; not promoted, tainted: labels were swapped (mark {mark.id})")
    assert models.aliases("late") == {"champion": 1}
    node = decided(models, found.execution)
    assert (node.state, node.get("promoted"), node.get("tainted_by")) == ("COMPLETE", False, [mark.id])
    graph.lift(mark)
    again = promote(models, "late", 2, RULE)
    assert (again.promoted, again.tainted_by) == (True, ())
    assert models.aliases("late") == {"champion": 2}


def test_a_tainted_champion_is_left_for_a_clean_one(models: Models) -> None:
    Graph(models.recorder.store).mark("rows@1", "labels were swapped")
    with models.recorder.execution("decide"):
        assert promote(models, "late", 2, RULE).promoted


def test_it_can_be_allowed_and_that_is_kept(models: Models) -> None:
    mark = Graph(models.recorder.store).mark("rows@2", "labels were swapped")
    with allowing_tainted("it is the best we have"):
        found = promote(models, "late", 2, RULE, key="k")
    assert found.promoted
    assert "tainted, allowed: it is the best we have" in found.reason
    assert found.tainted_by == (mark.id,)
    assert promote(models, "late", 2, RULE, key="k").tainted_by == (mark.id,)
