"""Marks that go on with the later versions of a thing, until they are repaired or begun anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import whence as w
from tests.unit.metadata.lifeworld import STORES, open_kind
from whence.errors import DataRejectedError, NotFoundError, UsageError
from whence.metadata import Artifact, MetadataStore, Recorder, open_store
from whence.metadata.graph import Graph
from whence.metadata.marks import marks_on_artifacts


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    store = open_kind(request, tmp_path)
    yield store
    store.close()


@pytest.fixture
def graph(store: MetadataStore) -> Graph:
    recorder = Recorder(store, environment=lambda: {"python": "3.11.7"})
    graph = Graph(store, recorder=lambda: recorder)
    for n in range(6):
        graph.add("Table", f"orders@{n}", kind="artifact", epoch=0 if n < 5 else 1)
    graph.add("Table", "orders.eu@9", epoch=0)
    return graph


def tainted(graph: Graph) -> list[str]:
    return sorted(taint.node.name or taint.node.type for taint in graph.tainted())


def train(graph: Graph, version: str, model: str) -> None:
    with graph.record("train", inputs=[version]) as run:
        run.output(graph.new("mlmd.Model", model))


def test_it_goes_on_up_to_a_new_epoch(graph: Graph) -> None:
    mark = graph.mark("orders@2", "amounts are in cents", onward=True)
    assert mark.verdict == "bad-onward"
    assert tainted(graph) == ["orders@2", "orders@3", "orders@4"]
    assert [bool(graph.tainted(f"orders@{n}")) for n in range(6)] == [False, False, True, True, True, False]
    assert not graph.tainted("orders.eu@9")
    graph.lift(mark)
    assert tainted(graph) == []


def test_what_comes_later_is_bad_from_the_start(graph: Graph) -> None:
    graph.mark("orders@5", "amounts are in cents", onward=True)
    graph.add("Table", "orders@6", epoch=1)
    with pytest.raises(
        DataRejectedError, match=r"orders@5 is marked bad from there on by .*amounts are in cents"
    ):
        train(graph, "orders@6", "late@1")
    # A version that nobody has recorded yet, and one whose epoch nobody knows.
    for properties in ({"epoch": 1}, {}):
        fresh = Artifact(type="Table", name="orders@7", custom=properties)
        assert len(marks_on_artifacts(graph.store, [fresh])) == 1
    assert (
        marks_on_artifacts(graph.store, [Artifact(type="Table", name="orders@7", custom={"epoch": 2})]) == []
    )
    assert marks_on_artifacts(graph.store, [Artifact(type="Other", name="orders@7")]) == []


def test_what_was_made_of_them_is_bad_too(graph: Graph) -> None:
    train(graph, "orders@1", "late@1")
    train(graph, "orders@3", "late@2")
    mark = graph.mark("orders@2", "cents", policy="retrain", onward=True)
    assert tainted(graph) == ["late@2", "orders@2", "orders@3", "orders@4", "train"]
    assert [m.id for m in graph.taints("late@2")] == [mark.id]
    assert graph.taints("late@1") == []
    train(graph, "orders@4", "late@3")
    assert graph.tainted("late@3").marks == (mark,)


def test_it_ends_where_it_is_said_to_be_repaired(graph: Graph) -> None:
    first = graph.mark("orders@1", "cents", policy="alert", onward=True)
    assert graph.repaired("orders@3", "divided by 100") == [first]
    assert tainted(graph) == ["orders@1", "orders@2"]
    assert [(m.verdict, m.reason, m.lifted_at is None) for m in graph.marks()] == [
        ("bad-onward", "cents", True), ("repaired", "divided by 100", False),
    ]  # fmt: skip
    assert graph.marks(live=True) == [first]
    # Who marks an earlier version afterwards knows of the repair: it is something else.
    second = graph.mark("orders@2", "a broken sensor", policy="alert", onward=True)
    assert tainted(graph) == ["orders@1", "orders@2", "orders@3", "orders@4"]
    assert [m.id for m in graph.tainted("orders@4").marks] == [second.id]
    assert graph.repaired("orders@4") == [second]
    assert tainted(graph) == ["orders@1", "orders@2", "orders@3"]
    # To take a repair back, what is bad is marked.
    graph.mark("orders@4", "still cents", onward=True)
    assert tainted(graph) == ["orders@1", "orders@2", "orders@3", "orders@4"]


def test_what_cannot_go_on_or_be_repaired(graph: Graph) -> None:
    graph.add("Report", "april", kind="artifact")
    graph.mark("orders@2", "only this one")
    for call, said in (
        (lambda: graph.mark("april", "x", onward=True), "is no version of anything"),
        (
            lambda: graph.mark(graph.add("load", kind="execution"), "x", onward=True),
            "is no version of anything",
        ),
        (lambda: graph.repaired("april"), "is no version of anything"),
        (lambda: graph.repaired("orders@3"), "no mark on a version before orders@3 goes on with it"),
        (lambda: graph.repaired("orders@2"), "no mark on a version before"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            call()
        assert caught.value.code == "bad-mark"
    assert len(graph.marks()) == 1
    graph.mark("orders@0", "x", onward=True)
    with pytest.raises(UsageError, match="no mark on a version before orders@5"):
        graph.repaired("orders@5")  # another epoch ended it


def test_of_a_name_in_another_namespace_nothing_is_said(graph: Graph) -> None:
    team = Graph(graph.store.in_namespace("team", create=True))
    team.add("Table", "orders@4", epoch=0)
    graph.mark("orders@2", "cents", onward=True)
    assert not team.tainted("orders@4")
    assert marks_on_artifacts(team.store, [Artifact(type="Table", name="orders@9")]) == []


def test_as_of_a_moment_before_the_repair(graph: Graph) -> None:
    graph.mark("orders@2", "cents", onward=True)
    then = graph.marks()[0].at
    assert then is not None
    graph.repaired("orders@3")
    assert tainted(graph) == ["orders@2"]
    assert tainted(graph.at(then)) == ["orders@2", "orders@3", "orders@4"]


def test_a_removed_version_still_carries_it(graph: Graph) -> None:
    graph.remove("orders@2", reason="space")
    gone = graph.find("artifact", name="orders@2", removed=True).first()
    assert gone is not None
    graph.mark(gone, "cents", policy="alert", onward=True)
    assert gone.custom == {
        "removed_reason": "space",
        "removed_by": gone.custom["removed_by"],
        "removed_epoch": 0,
    }
    assert tainted(graph) == ["orders@2", "orders@3", "orders@4"]  # it ends where it ended before


def test_a_removed_version_whose_epoch_nobody_knew(graph: Graph) -> None:
    graph.add("Table", "lines@0", kind="artifact")
    graph.add("Table", "lines@1", epoch=1)
    graph.mark("lines@0", "cents", onward=True)
    (gone,) = graph.remove("lines@0")
    assert "removed_epoch" not in gone.custom
    assert tainted(graph) == ["lines@0", "lines@1"]
    # What only looks like a version keeps nothing.
    looks = (
        graph.add("Report", "april", kind="artifact", epoch=3),
        graph.add("Group", "a@1", kind="context", epoch=3),
    )
    for gone in graph.remove(*looks):
        assert "removed_epoch" not in gone.custom
    # A living one that says so of itself is not believed.
    graph.add("Table", "lines@2", removed_epoch=7, epoch=0)
    assert "lines@2" in tainted(graph)


def test_a_number_is_written_in_one_way(graph: Graph) -> None:
    graph.add("Table", "orders@03", epoch=0)
    graph.mark("orders@2", "cents", onward=True)
    assert tainted(graph) == ["orders@2", "orders@3", "orders@4"]
    with pytest.raises(UsageError, match="orders@03 is no version") as caught:
        graph.mark("orders@03", "cents", onward=True)
    assert "without leading zeros" in (caught.value.hint or "")


def test_a_repair_is_not_lifted(graph: Graph) -> None:
    graph.mark("orders@1", "cents", onward=True)
    graph.repaired("orders@3")
    said = graph.marks()
    for repair in (2, said[1]):
        with pytest.raises(UsageError, match="mark 2 says that a version is repaired") as caught:
            graph.lift(repair)
        assert caught.value.code == "bad-mark"
        assert "mark the version" in (caught.value.hint or "")
    assert graph.marks() == said
    with pytest.raises(NotFoundError, match="mark"):
        graph.lift(9)
    assert graph.lift(1) == graph.lift(1)


# what collecting leaves


def test_collecting_leaves_what_a_mark_needs(graph: Graph) -> None:
    graph.mark("orders@1", "cents", policy="alert", onward=True)
    graph.repaired("orders@3")
    graph.mark("orders@0", "only this one")
    graph.remove("orders@0", "orders@1", "orders@3")
    assert tainted(graph) == ["orders@0", "orders@1", "orders@2"]
    whys = {
        "orders@1": "mark 1 on it goes on with later versions",
        "orders@3": "mark 1 ends there, as mark 2 says",
    }
    for dry_run in (True, False, False):
        done = graph.collect(dry_run=dry_run)
        assert {gone.name: gone.why for gone in done.kept} == whys
        assert done.n_tombstones == 2
    assert tainted(graph) == ["orders@1", "orders@2"]
    assert [bool(marks_on_artifacts(graph.store, [Artifact(type="Table", name=f"orders@{n}")])) for n in (2, 9)] == [
        True, False,
    ]  # fmt: skip
    # Once it is lifted nobody needs it, nor the repair.
    graph.lift(1)
    assert graph.collect(dry_run=False).n_nodes == 2
    assert (graph.marks(), tainted(graph)) == ([], [])


def test_collecting_takes_out_a_series_that_is_gone(graph: Graph) -> None:
    graph.mark("orders@1", "cents", onward=True)
    graph.repaired("orders@3")
    graph.remove(*(f"orders@{n}" for n in range(6)))
    done = graph.collect(dry_run=False)
    assert (done.kept, done.n_nodes, graph.marks()) == ([], 6, [])


def test_collecting_leaves_it_while_a_removed_version_carries_it_on(graph: Graph) -> None:
    train(graph, "orders@3", "late@1")
    graph.mark("orders@1", "cents", policy="alert", onward=True)
    graph.remove(*(f"orders@{n}" for n in range(6)))
    graph.collect(dry_run=False)
    assert bool(graph.tainted("late@1"))
    assert [n.name for n in graph.find("artifact", name="orders@1", removed=True)] == ["orders@1"]


def test_collecting_follows_rules_and_leaves_the_marked(graph: Graph) -> None:
    graph.mark("orders@1", "cents", onward=True)
    graph.retain("few", "artifact", "type = 'Table'", keep_newest=4)
    dry, done = graph.collect(), graph.collect(dry_run=False)
    assert (
        [g.name for g in dry.removed]
        == [g.name for g in done.removed]
        == ["orders@0", "orders@1", "orders@2"]
    )
    assert [g.name for g in dry.kept] == [g.name for g in done.kept] == ["orders@1"]
    assert (dry.n_nodes, dry.n_tombstones) == (done.n_nodes, done.n_tombstones) == (2, 1)
    assert tainted(graph) == ["orders@1", "orders@3", "orders@4"]


def test_collecting_leaves_a_marked_environment(graph: Graph) -> None:
    train(graph, "orders@3", "late@1")
    (env,) = graph.find("artifact", "type = 'Environment'")
    graph.mark(env, "a broken wheel")
    graph.remove(env)
    before = tainted(graph)
    assert "late@1" in before
    collected = graph.collect(dry_run=False)  # what ran with it lives: it stays with or without a mark
    assert (collected.kept, collected.n_nodes, collected.n_tombstones) == ([], 0, 1)
    assert tainted(graph) == before


def test_collecting_leaves_what_a_mark_taints_a_tombstone_from(graph: Graph) -> None:
    with graph.record("join", inputs=["orders@0", "orders@1"]):
        pass
    (run,) = graph.find("execution", "type = 'join'")
    graph.mark("orders@1", "bad rows")
    graph.remove(run)
    graph.remove("orders@1")
    (kept,) = graph.collect(dry_run=False).kept
    assert (kept.name, kept.why) == ("orders@1", "mark 1 on it taints what was made with it")


STEPS = st.one_of(
    st.tuples(st.just("append"), st.just(0)),
    st.tuples(st.just("overwrite"), st.just(0)),
    st.tuples(st.just("mark"), st.integers(0, 30)),
    st.tuples(st.just("repair"), st.integers(0, 30)),
    st.tuples(st.just("lift"), st.integers(0, 30)),
)


@given(st.lists(STEPS, max_size=25))
def test_it_equals_brute_force(steps: list[tuple[str, int]]) -> None:
    graph = Graph(open_store("memory://"))
    graph.add("T", "t@0", kind="artifact", epoch=0)
    epochs = [0]
    said: list[tuple[str, int]] = []  # marks and repairs in their order, by version
    lifted: set[int] = set()
    for step, which in steps:
        if step in ("append", "overwrite"):
            epochs.append(epochs[-1] + (step == "overwrite"))
            graph.add("T", f"t@{len(epochs) - 1}", epoch=epochs[-1])
        elif step == "mark":
            said.append(("bad", which % len(epochs)))
            graph.mark(f"t@{which % len(epochs)}", "bad", onward=True)
        elif step == "repair":
            try:
                graph.repaired(f"t@{which % len(epochs)}")
            except UsageError:
                continue
            said.append(("good", which % len(epochs)))
        elif said:
            n = which % len(said)
            if said[n][0] == "bad":
                graph.lift(n + 1)
                lifted.add(n)
    for version, epoch in enumerate(epochs):
        want = set()
        for n, (word, begin) in enumerate(said):
            if word == "bad" and n not in lifted and begin <= version and epochs[begin] == epoch:
                later = [at for again, at in said[n + 1 :] if again == "good" and at > begin]
                if all(version < at for at in later):
                    want.add(n + 1)
        assert {m.id for m in graph.tainted(f"t@{version}").marks} == want


# in a workspace


def test_the_versions_of_a_table(tmp_path: Path) -> None:
    with w.connect(tmp_path) as ws:
        flights = ws.table("flights")
        flights.append([{"n": 1}])
        flights.append([{"n": 2}])
        mark = ws.graph.mark("table:flights@1", "swapped", onward=True)
        flights.append([{"n": 3}])
        flights.compact()
        assert flights.head().version in (2, 3)
        with pytest.raises(DataRejectedError, match="flights@1 is marked bad from there on") as caught:
            ws.execution("train", inputs=[flights.head()]).__enter__()
        assert caught.value.code == "tainted-input"
        with ws.execution("train", inputs=[flights.at(0)]):
            pass
        flights.overwrite([{"n": 4}])
        with ws.execution("train", inputs=[flights.head()]) as run:
            run.output(ws.graph.new("mlmd.Model", "late@1"))
        assert not ws.graph.tainted("late@1")
        assert [m.id for m in ws.graph.tainted("table:flights@2").marks] == [mark.id]
    with w.connect(tmp_path) as ws:  # and nothing of it is forgotten
        assert [m.id for m in ws.graph.tainted("table:flights@2").marks] == [mark.id]
