"""Marks and taint: computed, never stored; equal to brute force; what `block` refuses and what may pass."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.metadata.lifeworld import STORES, Drawn, graphs, open_kind, reach
from whence._base.principal import acting_as
from whence.errors import DataRejectedError, NotFoundError, UsageError
from whence.metadata import Artifact, MetadataStore, Recorder, open_store
from whence.metadata.ambient import allowing_tainted
from whence.metadata.graph import Graph
from whence.metadata.marks import list_tainted, marks_on


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    store = open_kind(request, tmp_path)
    yield store
    store.close()


@pytest.fixture
def recorder(store: MetadataStore) -> Recorder:
    return Recorder(store, environment=lambda: {"python": "3.11.7"})


@pytest.fixture
def graph(recorder: Recorder) -> Graph:
    return Graph(recorder.store, recorder=lambda: recorder)


def table(name: str) -> Artifact:
    return Artifact(type="Table", name=name)


def trained(recorder: Recorder) -> None:
    """raw → clean → train → model, and beside it other → model2."""
    with recorder.execution("clean", inputs=[(table("raw"), ())]) as recording:
        recording.output(table("clean"))
    with recorder.execution("train", inputs=[(table("clean"), ())]) as recording:
        recording.output(table("model"))
    with recorder.execution("train", inputs=[(table("other"), ())]) as recording:
        recording.output(table("model2"))


def test_a_mark_reaches_what_was_made_from_it_and_lifting_clears_it(graph: Graph, recorder: Recorder) -> None:
    trained(recorder)
    with acting_as("user:ada"):
        mark = graph.mark("raw", "the sensor was broken", policy="alert")
    assert (mark.verdict, mark.policy, mark.principal) == ("bad", "alert", "user:ada")
    assert {(t.node.type, t.node.name) for t in graph.tainted()} == {
        ("Table", "raw"), ("clean", None), ("Table", "clean"), ("train", None), ("Table", "model"),
    }  # fmt: skip
    assert [m.id for m in graph.tainted("model").marks] == [mark.id]
    assert not graph.tainted("model2")
    lifted = graph.lift(mark)
    assert lifted.lifted_at is not None
    assert graph.tainted() == []
    assert [m.id for m in graph.marks()] == [mark.id]
    assert graph.marks(live=True) == []
    assert graph.lift(mark).lifted_at == lifted.lifted_at


def test_code_that_is_marked_taints_what_it_made(graph: Graph, recorder: Recorder) -> None:
    trained(recorder)
    environment = graph.find("artifact", type_="Environment").first()
    assert environment is not None
    graph.mark(environment, "a package that rounds wrong", policy="alert")
    assert graph.tainted("model2")


def test_an_execution_can_be_marked_and_a_context_cannot(graph: Graph, recorder: Recorder) -> None:
    trained(recorder)
    clean = graph.find("execution", "type = 'clean'").first()
    assert clean is not None
    graph.mark(clean, "wrong arguments", policy="alert")
    assert graph.tainted("model")
    assert not graph.tainted("raw")
    project = graph.find("context", "type = 'Project'").first()
    assert project is not None
    assert graph.tainted(project)
    with pytest.raises(UsageError, match=r"is a context.*bad-mark"):
        graph.mark(project, "all of it")


@pytest.mark.parametrize(("reason", "policy"), [("", "block"), ("  ", "alert"), ("x" * 2001, "block")])
def test_a_mark_needs_a_reason(graph: Graph, recorder: Recorder, reason: str, policy: str) -> None:
    trained(recorder)
    with pytest.raises(UsageError, match="bad-mark"):
        graph.mark("raw", reason, policy=policy)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'maybe' is not a policy"):
        graph.mark("raw", "x", policy="maybe")  # type: ignore[arg-type]
    assert graph.marks() == []


def test_several_are_marked_at_once_or_none_is(graph: Graph, recorder: Recorder) -> None:
    trained(recorder)
    with pytest.raises(NotFoundError, match="rawr"):
        graph.mark_all(["raw", "rawr"], "x")
    assert graph.marks() == []
    assert [m.uid for m in graph.mark_all(["raw", "other"], "x")] == [
        graph.resolve("raw"),
        graph.resolve("other"),
    ]


def test_the_feed_goes_on_behind_its_cursor(graph: Graph, recorder: Recorder) -> None:
    trained(recorder)
    first = graph.mark("raw", "one", policy="retrain")
    second = graph.mark("other", "two", policy="block")
    assert first.id is not None
    assert [m.id for m in graph.marks(since=first.id)] == [second.id]
    assert [m.id for m in graph.taints("model")] == [first.id]
    assert graph.taints("model", since=first.id) == []
    assert graph.taints("model2") == []
    with pytest.raises(NotFoundError, match="mark-not-found"):
        graph.lift(4711)


def test_block_refuses_what_is_tainted_before_anything_is_written(graph: Graph, recorder: Recorder) -> None:
    trained(recorder)
    with acting_as("user:ada"):
        mark = graph.mark("raw", "the sensor was broken")
    before = graph.count("execution")
    with (
        pytest.raises(DataRejectedError, match="tainted-input") as error,
        recorder.execution("train", inputs=[(table("clean"), ())]),
    ):
        pytest.fail("the block has begun")
    assert (
        "train would read Table clean, which is tainted: Table raw is marked bad by user:ada: the sensor was broken"
        in str(error.value)
    )
    assert error.value.details["inputs"] == ["clean"]
    assert [m["mark"] for m in error.value.details["marks"]] == [mark.id]  # type: ignore[attr-defined]
    assert graph.count("execution") == before
    with recorder.execution("train", inputs=[(table("other"), ())]):
        pass
    graph.lift(mark)
    with recorder.execution("train", inputs=[(table("clean"), ())]):
        pass


def test_an_input_that_is_noted_later_is_looked_at_too(graph: Graph, recorder: Recorder) -> None:
    trained(recorder)
    graph.mark("raw", "broken")
    with pytest.raises(DataRejectedError, match="tainted-input"), recorder.execution("train") as recording:
        recording.input(table("clean"))
    assert recording.execution.state == "FAILED"
    assert recording.execution.get("error_code") == "tainted-input"
    assert recording.inputs == ()


def test_alert_and_retrain_stop_nothing(graph: Graph, recorder: Recorder) -> None:
    trained(recorder)
    graph.mark("raw", "one", policy="alert")
    graph.mark("raw", "two", policy="retrain")
    with recorder.execution("train", inputs=[(table("clean"), ())]) as recording:
        recording.input(table("raw"))


def test_tainted_inputs_are_allowed_by_name_and_that_is_recorded(graph: Graph, recorder: Recorder) -> None:
    trained(recorder)
    mark = graph.mark("raw", "broken")
    with graph.record("train", inputs=["clean"], allow_tainted="to see what it did") as recording:
        pass
    assert recording.execution.get("allow_tainted") == "to see what it did"
    assert recording.execution.get("tainted_by") == [mark.id]
    with allowing_tainted("repair"), recorder.execution("repair") as recording:
        recording.input(table("clean"))
    assert (recording.execution.get("allow_tainted"), recording.execution.get("tainted_by")) == (
        "repair",
        [mark.id],
    )
    with pytest.raises(UsageError, match="bad-reason"), allowing_tainted(" "):
        pass


def test_who_only_looks_is_not_stopped(graph: Graph, recorder: Recorder) -> None:
    trained(recorder)
    graph.mark("raw", "broken")
    with recorder.execution("validate", inputs=[(table("clean"), ())], looks=True) as recording:
        recording.input(table("raw"))
    assert recording.execution.get("tainted_by") is None


def test_without_marks_nothing_more_than_one_question_is_asked(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    has_marks = recorder.store.has_marks

    def counted() -> bool:
        asked.append("has")
        return has_marks()

    monkeypatch.setattr(recorder.store, "has_marks", counted)
    monkeypatch.setattr(recorder.store, "list_marks", lambda **_: pytest.fail("nothing is marked"))
    with recorder.execution("train", inputs=[(table("clean"), ())]) as recording:
        recording.input(table("raw"))
    assert asked == ["has"]


def test_a_mark_is_seen_as_of_then(graph: Graph, recorder: Recorder) -> None:
    trained(recorder)
    before = datetime.now(UTC)
    mark = graph.mark("raw", "broken", policy="alert")
    while (then := datetime.now(UTC)) <= before:
        pass
    graph.lift(mark)
    assert graph.at(before).marks() == []
    assert not graph.at(before).tainted("raw")
    assert graph.at(then).tainted("model")
    assert graph.at(then).marks()[0].lifted_at is None


@given(drawn=graphs(), data=st.data())
def test_taint_equals_brute_force(drawn: Drawn, data: st.DataObject) -> None:
    store = open_store("memory://")
    drawn.store_in(store)
    graph = Graph(store)
    marked = data.draw(st.lists(st.sampled_from(drawn.uids), max_size=4))
    marks = [graph.mark(uid, "bad", policy="alert") for uid in marked]
    lifted = data.draw(st.sets(st.sampled_from(marks))) if marks else set()
    for mark in lifted:
        graph.lift(mark)
    below = drawn.below(internal=True)
    wanted = {
        uid: [m.id for m in marks if m not in lifted and uid in reach(below, m.uid)] for uid in drawn.uids
    }
    assert {uid: [m.id for m in marks_on(store, [uid])] for uid in drawn.uids} == wanted
    found = {t.node.uid: [m.id for m in t.marks] for t in list_tainted(store)}
    assert found == {uid: ids for uid, ids in wanted.items() if ids}
