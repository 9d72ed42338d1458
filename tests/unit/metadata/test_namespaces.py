"""Namespaces: names of their own, closed ones, and what somebody sees who may not read them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from tests.unit.metadata.lifeworld import STORES, open_kind
from whence.errors import DeniedError, NotFoundError
from whence.metadata import Artifact, Change, MetadataStore, Put, Recorder, Type, open_store
from whence.metadata.graph import Graph


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    store = open_kind(request, tmp_path)
    store.put_type(Type("execution", "step"))
    yield store
    store.close()


@pytest.fixture
def graph(store: MetadataStore) -> Graph:
    recorder = Recorder(store, environment=lambda: {"python": "3.11.7"})
    return Graph(store, recorder=lambda: recorder)


@pytest.fixture
def secret(graph: Graph) -> Graph:
    """default: raw → step → shown; secret: shown → step → hidden → step → (default) answer."""
    secret = graph.in_namespace("secret", create=True)
    graph.add("Table", "raw", rows=1)
    graph.link(graph.add("step", "one"), reads=["raw"], writes=[graph.add("Table", "shown")])
    hidden = secret.add("Table", "hidden", rows=7)
    secret.link(secret.add("step", "two", why="salaries"), reads=[graph.artifact("shown")], writes=[hidden])
    answer = graph.add("Table", "answer")
    graph.link(graph.add("step", "three"), reads=[hidden], writes=[answer])
    return secret


def test_names_are_unique_in_a_namespace_only(graph: Graph) -> None:
    team = graph.in_namespace("team", create=True)
    ours, theirs = graph.add("Table", "flights"), team.add("Table", "flights")
    assert ours.uid != theirs.uid
    assert (ours.namespace, theirs.namespace) == ("default", "team")
    assert graph.artifact("flights").uid == ours.uid
    assert team.artifact("flights").uid == theirs.uid
    assert team.artifact(ours.uid).uid == ours.uid
    assert [n.uid for n in team.find("artifact")] == [theirs.uid]
    assert [n.name for n in graph.list_namespaces()] == ["default", "team"]
    with pytest.raises(NotFoundError, match="namespace-not-found"):
        graph.in_namespace("teem")
    assert repr(team).startswith("<graph namespace team: 1 artifacts")


def test_what_is_recorded_in_a_namespace_belongs_to_it(graph: Graph) -> None:
    team = graph.in_namespace("team", create=True)
    with team.record("train") as recording:
        recording.output(Artifact(type="Table", name="out"))
    assert recording.execution.namespace == "team"
    assert team.artifact("out").namespace == "team"
    assert graph.count("execution") == 0


def test_a_closed_namespace_is_read_and_not_written(graph: Graph) -> None:
    team = graph.in_namespace("team", create=True)
    team.add("Table", "flights")
    graph.put_namespace("team", closed=True)
    with pytest.raises(DeniedError, match="namespace-closed"):
        team.add("Table", "more")
    assert team.artifact("flights").name == "flights"
    graph.put_namespace("team", closed=False)
    team.add("Table", "more")


def test_lineage_goes_through_what_is_closed_and_shows_only_that_it_is_there(
    graph: Graph, secret: Graph
) -> None:
    seen = graph.seen_by(["default"])
    lineage = seen.up("answer")
    found = [n for _, n in lineage.up(seen.resolve("answer"))]
    assert [(n.type, n.name, n.namespace) for n in found] == [
        ("Table", "answer", "default"), ("step", "three", "default"), ("Table", None, ""), ("step", None, ""),
        ("Table", "shown", "default"), ("step", "one", "default"), ("Table", "raw", "default"),
    ]  # fmt: skip
    closed = found[2]
    assert (dict(closed.properties), dict(closed.custom), closed.created_at) == ({}, {}, None)
    assert closed.uid == secret.resolve("hidden")
    walked = [n for level in seen.walk("answer") for n in level.nodes]
    assert {(n.uid, n.name) for n in walked} == {(n.uid, n.name) for n in found}
    assert seen.artifact(closed.uid) == closed
    assert seen.history(closed.uid) == [closed]
    whole = graph.up("answer")
    assert whole.node(closed.uid).name == "hidden"


def test_what_is_closed_is_not_found_counted_or_looked_into(graph: Graph, secret: Graph) -> None:
    seen = graph.seen_by(["default"])
    assert {n.name for n in seen.find_nodes("artifact", everywhere=True).nodes} == {"raw", "shown", "answer"}
    assert seen.find_nodes("artifact", matching="properties.rows = 7 OR 1 = 1", everywhere=True).nodes != []
    assert {
        n.name for n in seen.find_nodes("artifact", matching="properties.rows > 0", everywhere=True).nodes
    } == {"raw"}
    assert seen.count_nodes("artifact", everywhere=True) == {"artifact": 3}
    assert [n.name for n in seen.list_namespaces()] == ["default"]
    for condition in (
        "ancestor(properties.rows = 7)", "executions_a.name = 'two'", "COUNT(executions WHERE name = 'two') = 1",
        "NOT (name = 'x' OR descendant(name = 'hidden'))",
    ):  # fmt: skip
        with pytest.raises(DeniedError, match="namespace-denied"):
            seen.find("artifact", condition)
        with pytest.raises(DeniedError, match="namespace-denied"):
            seen.up("answer", stop=condition)
    with pytest.raises(DeniedError, match="you may not read namespace 'secret'"):
        seen.in_namespace("secret")
    with pytest.raises(DeniedError, match="namespace-denied"):
        graph.seen_by(["secret"])


def test_a_walk_does_not_tell_what_stands_in_closed_nodes(graph: Graph, secret: Graph) -> None:
    seen = graph.seen_by(["default"])
    assert secret.resolve("hidden") in {n.uid for _, n in seen.up("answer").up(seen.resolve("answer"))}
    whole = [n.uid for level in seen.walk("answer") for n in level.nodes]
    for guess in (
        "properties.rows = 7",
        "properties.rows = 8",
        "name = 'two'",
        "custom_properties.why LIKE 's%'",
    ):
        assert [n.uid for level in seen.walk("answer", stop=guess) for n in level.nodes] == whole
        assert len(list(seen.up("answer", stop=guess).up(seen.resolve("answer")))) == len(whole)
    found = seen.up("answer", stop="name = 'shown'").up(seen.resolve("answer"))
    assert [n.name for _, n in found] == ["answer", "three", None, None, "shown"]


def test_what_is_closed_is_not_compared(graph: Graph, secret: Graph) -> None:
    with pytest.raises(DeniedError, match="namespace-denied"):
        graph.seen_by(["default"]).diff(secret.resolve("hidden"), "answer")


@pytest.mark.parametrize("format_", ["prov", "graphml"])
def test_what_is_seen_in_part_is_written_and_read_as_it_is_seen(
    graph: Graph, secret: Graph, tmp_path: Path, format_: Literal["prov", "graphml"]
) -> None:
    seen = graph.seen_by(["default"])
    seen.export(format_, tmp_path / "x")
    again = Graph(open_store("memory://"))
    again.read(format_, tmp_path / "x")
    found = [n for _, n in again.up("answer").up(again.resolve("answer"))]
    assert [(n.type, n.name) for n in found] == [
        ("Table", "answer"), ("step", "three"), ("Table", None), ("step", None),
        ("Table", "shown"), ("step", "one"), ("Table", "raw"),
    ]  # fmt: skip
    assert found[2].uid == secret.resolve("hidden")
    assert seen.arrow("artifacts").num_rows == 3


def test_what_is_closed_cannot_be_changed_or_linked(graph: Graph, secret: Graph) -> None:
    seen, hidden = graph.seen_by(["default"]), secret.resolve("hidden")
    step = seen.add("step", "four")
    before = graph.list_events(artifacts=[hidden])
    for attempt in (
        lambda: seen.link(step, reads=[hidden]),
        lambda: seen.remove(hidden),
        lambda: seen.mark(hidden, "bad"),
        lambda: seen.group(seen.add("Project", "p", kind="context", if_exists="reuse"), hidden),
        lambda: seen.purge([hidden]),
        lambda: seen.put_namespace("secret", closed=True),
        lambda: seen.load([]),
        lambda: seen.write(Change([Put(Artifact(type="Table", id=secret.node(hidden).id), "update")])),
    ):
        with pytest.raises(DeniedError, match="namespace-denied") as caught:
            attempt()
        assert "hidden" not in caught.value.message
    mark = secret.mark(hidden, "the salaries are wrong")
    (shown,) = seen.marks()
    assert (shown.id, shown.uid, shown.reason, shown.principal) == (mark.id, hidden, "", "")
    assert [m.id for m in seen.tainted("answer").marks] == [mark.id]
    with pytest.raises(DeniedError, match="namespace-denied"):
        seen.lift(mark)
    assert graph.list_events(artifacts=[hidden]) == before
    assert graph.artifact(hidden).revision == 1
