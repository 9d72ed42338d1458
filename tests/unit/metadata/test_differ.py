"""In what two nodes differ: the corners that the suite of all stores leaves out."""

from __future__ import annotations

import pytest

from whence.metadata import Artifact, Change, Event, Execution, MetadataStore, Put, Type, open_store
from whence.metadata.differ import OCCASION, first_difference
from whence.metadata.lineage import Lineage, shortest_path
from whence.testing.metadata_world import chain


@pytest.fixture
def store() -> MetadataStore:
    store = open_store("memory://")
    for type_ in (Type("artifact", "Table"), Type("artifact", "Code"), Type("execution", "load")):
        store.put_type(type_)
    return store


def run(store: MetadataStore, reads: list[Artifact], writes: list[Artifact], **said: object) -> Execution:
    execution = Execution(type="load", state="COMPLETE", custom=said)  # type: ignore[arg-type]  # the test says what
    nodes: dict[str, Artifact | Execution] = {artifact.uid: artifact for artifact in (*reads, *writes)}
    nodes[execution.uid] = execution
    events = [Event(execution.uid, a.uid, "INTERNAL_INPUT" if a.type == "Code" else "INPUT") for a in reads]
    events += [Event(execution.uid, a.uid, "OUTPUT") for a in writes]
    store.write(Change([Put(node, "reuse") for node in nodes.values()], events))
    return execution


def test_what_says_when_and_where_does_not_count(store: MetadataStore) -> None:
    raw = Artifact(type="Table", name="raw")
    a = run(store, [raw], [], **dict.fromkeys(OCCASION, "a"), seed=1)
    b = run(store, [raw], [], **dict.fromkeys(OCCASION, "b"), seed=2)
    found = first_difference(store, a.uid, b.uid)
    assert found.first is not None
    assert [(d.name, d.a, d.b) for d in found.first.differences] == [("seed", 1, 2)]
    assert first_difference(store, a.uid, b.uid, ignore=["seed"]).same


def test_equal_digests_end_the_search(store: MetadataStore) -> None:
    made = [Artifact(type="Table", name=f"t@{i}", custom={"digest": "d", "note": i}) for i in range(2)]
    for i, table in enumerate(made):
        run(store, [], [table], seed=i)
    assert first_difference(store, made[0].uid, made[1].uid).same


def test_two_answers_of_equal_histories(store: MetadataStore) -> None:
    raw = Artifact(type="Table", name="raw")
    made = [Artifact(type="Table", name=f"t@{i}", custom={"digest": f"d{i}"}) for i in range(2)]
    runs = [run(store, [raw], [table]) for table in made]
    of_artifacts = first_difference(store, made[0].uid, made[1].uid)
    assert of_artifacts.first is not None
    assert [(d.what, d.name) for d in of_artifacts.first.differences] == [("custom", "digest")]
    of_runs = first_difference(store, runs[0].uid, runs[1].uid)
    assert of_runs.first is not None
    assert [(d.what, d.name, d.a, d.b) for d in of_runs.first.differences] == [
        ("outputs", "Table:t", "d0", "d1")
    ]


def test_code_is_an_ancestor(store: MetadataStore) -> None:
    codes = [Artifact(type="Code", name=digest, custom={"digest": digest}) for digest in ("c0", "c1")]
    a, b = (run(store, [code], []) for code in codes)
    found = first_difference(store, a.uid, b.uid)
    assert found.first is not None
    assert (found.first.a.type, found.first.hops) == ("Code", 1)
    assert {d.what for d in found.first.differences} == {"custom", "name"}


def test_values_are_one_value_or_not(store: MetadataStore) -> None:
    nan = float("nan")
    a = run(store, [], [], params={"same": [nan, 1], "one": 1, "flag": True, "list": [1]})
    b = run(store, [], [], params={"same": [nan, 1.0], "one": 1.0, "flag": 1, "list": [2]}, more=None)
    found = first_difference(store, a.uid, b.uid)
    assert found.first is not None
    assert [d.name for d in found.first.differences] == ["params.flag", "params.list"]


def test_a_circle_ends(store: MetadataStore) -> None:
    ends = []
    for i in range(2):
        table = Artifact(type="Table", name=f"t@{i}")
        run(store, [table], [table], seed=i)
        ends.append(table.uid)
    found = first_difference(store, *ends)
    assert found.first is not None
    assert isinstance(found.first.a, Execution)


def test_deep_histories(store: MetadataStore) -> None:
    tables = chain(store, 1_500)
    extra = Artifact(type="Table", name="end")
    run(store, [tables[-1]], [extra], seed=1)
    other = Artifact(type="Table", name="end@2")
    run(store, [tables[-1]], [other], seed=2)
    found = first_difference(store, extra.uid, other.uid)
    assert found.first is not None
    assert found.first.hops == 1
    path = shortest_path(store, extra.uid, tables[0].uid, direction="up")
    assert path is not None
    assert len(path.events) == 2 * 1_499 + 2


def test_what_a_person_reads(store: MetadataStore) -> None:
    raw, out = Artifact(type="Table", name="raw"), Artifact(type="Table", name="out")
    one = run(store, [raw], [out], seed=1)
    two = run(store, [raw], [], seed=2)
    found = first_difference(store, one.uid, two.uid)
    assert repr(found).splitlines()[0] == f"<diff of {one.uid} and {two.uid}>"
    assert repr(found).splitlines()[-1] == "  custom seed: 1 | 2"
    assert found.to_dict()["same"] is False
    assert "<table" in found._repr_html_()
    path = shortest_path(store, out.uid, raw.uid)
    assert repr(path).splitlines()[0] == "<path over 2 events>"
    assert [line.strip() for line in repr(path).splitlines()[2::2]] == ["was written by", "read"]
    lineage = Lineage(store.lineage([out.uid]))
    assert repr(lineage).splitlines()[0] == "<lineage: 2 artifacts, 1 executions>"
    assert len(lineage.to_dict()["events"]) == 2  # type: ignore[arg-type]  # a list
