"""Removing, retention, collecting: what goes, what stays, and that lineage stays connected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.metadata.lifeworld import STORES, Drawn, graphs, open_kind, reached_in
from whence._base.principal import acting_as
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata import AnyNode, Artifact, MetadataStore, NodeKind, Recorder, open_store
from whence.metadata.graph import Graph
from whence.metadata.removal import RetentionRule, collect, let_go, remove_nodes

LATER = datetime.now(UTC) + timedelta(days=1000)


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


def step(recorder: Recorder, reads: str, writes: str) -> str:
    with recorder.execution("step", inputs=[(Artifact(type="Table", name=reads), ())]) as recording:
        recording.output(Artifact(type="Table", name=writes, properties={"rows": 3}, uri=f"file:{writes}"))
    return recording.uid


def names(nodes: list[AnyNode]) -> list[str | None]:
    return [n.name for n in nodes]


def test_a_tombstone_keeps_lineage_together(graph: Graph, recorder: Recorder) -> None:
    first, second = step(recorder, "raw", "clean"), step(recorder, "clean", "model")
    with acting_as("user:ada"):
        (gone,) = graph.remove("clean", reason="too large")
    assert isinstance(gone, Artifact)
    assert gone.removed_at is not None
    assert (gone.state, gone.uri, dict(gone.properties)) == ("DELETED", None, {})
    assert gone.name == "clean"
    assert dict(gone.custom) == {"removed_reason": "too large", "removed_by": "user:ada"}
    assert [n.uid for _, n in graph.up("model").up(graph.resolve("model"))] == [
        graph.resolve("model"), second, gone.uid, first, graph.resolve("raw"),
    ]  # fmt: skip
    with pytest.raises(NotFoundError, match="artifact 'clean' not found"):
        graph.artifact("clean")
    assert graph.artifact(gone.uid) == gone
    assert "clean" not in names(list(graph.find("artifact")))
    assert "clean" in names(list(graph.find("artifact", removed=True)))
    assert graph.remove(gone.uid) == [gone]


def test_a_freed_name_can_be_taken_again(graph: Graph, recorder: Recorder) -> None:
    step(recorder, "raw", "clean")
    (gone,) = graph.remove("clean")
    again = graph.add("Table", "clean")
    assert again.uid != gone.uid
    assert graph.artifact("clean").uid == again.uid
    with pytest.raises(ConflictError, match=r"\(removed\)"):
        graph.link(graph.add("step", kind="execution"), reads=[gone.uid])


def test_what_runs_holds_what_it_uses(graph: Graph, recorder: Recorder) -> None:
    with recorder.execution("train", inputs=[(Artifact(type="Table", name="raw"), ())]) as recording:
        pending = recording.expect(Artifact(type="Table", name="out"))
        with pytest.raises(ConflictError, match=r"Table raw cannot be removed: train .* runs and uses it"):
            graph.remove("raw")
        with pytest.raises(ConflictError, match="it is RUNNING"):
            graph.remove(recording.uid)
        with pytest.raises(ConflictError, match="about to write it"):
            graph.remove(pending)
        with pytest.raises(ConflictError, match="still-referenced"):
            graph.remove(graph.context("default"))
        recording.output(Artifact(type="Table", name="out"))
    assert len(graph.remove("raw", recording.uid, pending)) == 3


def test_all_are_removed_or_none(graph: Graph, recorder: Recorder) -> None:
    step(recorder, "raw", "clean")
    with pytest.raises(NotFoundError):
        graph.remove("raw", "nothing")

    def holder(node: AnyNode) -> str | None:
        return "it is dear to me" if node.name == "raw" else None

    with pytest.raises(ConflictError, match="it is dear to me") as error:
        remove_nodes(graph, [graph.node("clean"), graph.node("raw")], holders=[holder])
    assert error.value.code == "still-referenced"
    assert graph.count("artifact", "name = 'clean'") == 1


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({}, "keep_for, keep_newest or both"),
        ({"keep_newest": -1}, "below 0"),
        ({"keep_for": timedelta(-1)}, "not a length of time"),
        ({"kind": "table", "keep_newest": 1}, "not a kind"),
        ({"name": "", "keep_newest": 1}, "1 to 200"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, object], match: str) -> None:
    with pytest.raises(UsageError, match=match) as error:
        RetentionRule(**{"name": "r", **wrong})  # type: ignore[arg-type]
    assert error.value.code == "bad-retention"


def test_rules_are_kept_replaced_and_taken_back(graph: Graph) -> None:
    graph.retain("old", matching="type = 'Table'", keep_for="90d", keep_newest=2, per="name")
    rule = graph.retain("old", matching="type = 'Table'", keep_for="30d", keep_newest=2, per="name")
    assert graph.rules() == [rule]
    assert str(rule) == (
        "artifacts with type = 'Table' that are older than 30 days, but for the 2 newest of each same name"
    )
    with pytest.raises(UsageError, match="bad-filter"):
        graph.retain("bad", matching="type =", keep_newest=1)
    with pytest.raises(UsageError, match="'soon' is not a length of time"):
        graph.retain("bad", keep_for="soon")
    graph.drop_rule("old")
    assert graph.rules() == []
    with pytest.raises(NotFoundError, match="retention-rule-not-found"):
        graph.drop_rule("old")


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (RetentionRule("r", matching="type = 'Table'", keep_newest=2), ["a@2", "b@0"]),
        (RetentionRule("r", matching="type = 'Table'", keep_newest=1, per="name"), ["a@2", "b@0"]),
        (RetentionRule("r", matching="type = 'Table'", keep_newest=1, per="rows"), ["a@1", "b@0"]),
        (RetentionRule("r", matching="type = 'Table'", keep_newest=0), []),
        (RetentionRule("r", matching="type = 'Table'", keep_for=timedelta(days=1)), []),
        (
            RetentionRule("r", matching="type = 'Table'", keep_for=timedelta(days=5000)),
            ["a@0", "a@1", "a@2", "b@0"],
        ),
        (RetentionRule("r", matching="properties.rows = 1", keep_newest=0), ["a@1"]),
    ],
)
def test_what_a_rule_lets_go(graph: Graph, rule: RetentionRule, left: list[str]) -> None:
    for name, rows in (("a@0", 1), ("a@1", 2), ("a@2", 1), ("b@0", 1)):
        graph.add("Table", name, rows=rows)
    due = names(let_go(graph, rule, LATER))
    assert [n for n in ("a@0", "a@1", "a@2", "b@0") if n not in due] == left
    assert due == sorted(due, key=lambda n: ["a@0", "a@1", "a@2", "b@0"].index(str(n)))


def test_a_dry_run_says_what_would_go_and_changes_nothing(graph: Graph, recorder: Recorder) -> None:
    for n in range(3):
        step(recorder, "raw", f"out@{n}")
    graph.retain("outs", matching="name LIKE 'out@%'", keep_newest=1)
    assert graph.collect() == graph.collect()
    dry = graph.collect()
    assert (dry.dry_run, [g.name for g in dry.removed]) == (True, ["out@0", "out@1"])
    assert (dry.n_nodes, dry.n_tombstones) == (0, 2)  # the steps that made them live
    assert graph.count("artifact", "name LIKE 'out@%'") == 3
    done = graph.collect(dry_run=False)
    assert done.to_dict() == {**dry.to_dict(), "dry_run": False}
    assert graph.count("artifact", "name LIKE 'out@%'") == 1
    assert graph.collect(dry_run=False).removed == []


def test_what_a_rule_lets_go_and_something_needs_stays(graph: Graph, recorder: Recorder) -> None:
    graph.retain("all", matching="type = 'Table'", keep_newest=0)
    with recorder.execution("train", inputs=[(Artifact(type="Table", name="raw"), ())]) as recording:
        kept = graph.collect(dry_run=False).kept
        assert [(g.name, g.why) for g in kept] == [("raw", f"train {recording.uid} runs and uses it")]
    assert graph.count("artifact", "type = 'Table'") == 1


def test_what_is_wholly_gone_is_taken_out_with_its_code_and_groups(store: MetadataStore) -> None:
    recorder = Recorder(store, environment=lambda: {"python": "3.11.7"})
    graph = Graph(store, recorder=lambda: recorder)
    one = step(recorder, "raw", "clean")
    group = graph.add("Experiment", "tuning", kind="context")
    graph.group(group, one)
    graph.remove("raw", "clean", one)
    assert collect(graph, now=LATER).n_nodes == 5  # both tables, the step, its environment, the experiment
    done = collect(graph, dry_run=False, now=LATER)
    assert (done.n_nodes, done.n_events, done.n_tombstones) == (5, 3, 0)
    assert sorted(g.type for g in done.removed) == ["Environment", "Experiment"]
    assert graph.count("artifact") == 0
    assert list(graph.find("execution", removed=True)) == []
    # The recorder knew the environment: it makes another one.
    step(recorder, "raw", "clean")
    assert graph.count("artifact", "type = 'Environment'") == 1


def test_an_environment_goes_after_what_ran_in_it(graph: Graph, recorder: Recorder) -> None:
    one = step(recorder, "raw", "clean")
    (environment,) = graph.find("artifact", type_="Environment")
    graph.remove(environment)
    assert collect(graph, dry_run=False, now=LATER).n_nodes == 0
    assert environment.uid in {event.artifact for event in graph.list_events(executions=[one])}
    graph.remove("raw", "clean", one)
    assert collect(graph, dry_run=False, now=LATER).n_nodes == 4


def test_what_is_young_and_unnamed_is_left_alone(graph: Graph) -> None:
    graph.add("Environment", "abc", kind="artifact")
    graph.add("Experiment", "e", kind="context")
    assert graph.collect().removed == []
    assert len(collect(graph, now=LATER).removed) == 2


@given(drawn=graphs(), data=st.data())
def test_what_lives_reaches_what_it_reached_before(drawn: Drawn, data: st.DataObject) -> None:
    store = open_store("memory://")
    drawn.store_in(store)
    graph = Graph(store)
    gone = data.draw(st.sets(st.sampled_from(drawn.uids)))
    living = [uid for uid in drawn.uids if uid not in gone]
    before = {uid: found & set(living) for uid, found in reached_in(store, living).items()}
    up = {uid: found & set(living) for uid, found in reached_in(store, living, "up").items()}
    graph.remove(*gone)
    dry = graph.collect()
    done = graph.collect(dry_run=False)
    assert done.to_dict() == {**dry.to_dict(), "dry_run": False}
    after, up_after = reached_in(store, living), reached_in(store, living, "up")
    assert {uid: found & set(living) for uid, found in after.items()} == before
    assert {uid: found & set(living) for uid, found in up_after.items()} == up
    left = {n.uid for k in _KINDS for n in store.all_nodes(k)}
    assert set(living) <= left
    assert len(left) - len(living) == done.n_tombstones
    # Whatever tombstone is left has something living above or below it, or something that is left ran with it.
    for uid in left - set(living):
        both = {n.uid for d in ("up", "down") for n in _all(store, uid, d)}
        assert both & set(living) or _ran_with(store, uid) & left
    assert graph.collect(dry_run=False).n_nodes == 0


_KINDS: tuple[NodeKind, ...] = ("artifact", "execution", "context")


def _ran_with(store: MetadataStore, uid: str) -> set[str]:
    return {e.execution for e in store.list_events(artifacts=[uid]) if e.kind.startswith("INTERNAL")}


def _all(store: MetadataStore, uid: str, direction: str) -> list[AnyNode]:
    piece = store.lineage([uid], direction=direction)  # type: ignore[arg-type]
    return [*piece.artifacts, *piece.executions]
