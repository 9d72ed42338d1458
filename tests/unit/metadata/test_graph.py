"""The face of the graph: small words, each made of the port, and stores that stand before another one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.metadata.lifeworld import STORES, open_kind
from whence.errors import ConflictError, DeniedError, NotFoundError, UsageError, WhenceError
from whence.metadata import Artifact, MetadataStore, Recorder, WalkQuery, open_store
from whence.metadata.delegate import AsOf, Delegate, Looking
from whence.metadata.graph import Graph, How
from whence.metadata.namespaces import Seen


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    store = open_kind(request, tmp_path)
    yield store
    store.close()


@pytest.fixture
def graph(store: MetadataStore) -> Graph:
    """raw → clean → table → train → model@1, model@2; each step with a parameter."""
    recorder = Recorder(store, environment=lambda: {"python": "3.11.7"})
    graph = Graph(store, recorder=lambda: recorder)
    with graph.record("clean", inputs=[graph.add("Table", "raw", rows=1)]) as run:
        run.output(graph.new("Table", "clean", rows=2))
    for depth in (1, 2):
        with graph.record("train", inputs={"rows": "clean"}, params={"depth": depth}) as run:
            run.output(graph.new("mlmd.Model", f"late@{depth}", depth=depth))
    return graph


def moment(graph: Graph) -> datetime:
    """A moment after everything that was written, and before what will be."""
    before = graph.store.now()
    while (now := graph.store.now()) <= before:
        pass
    return now


def own(cls: type) -> set[str]:
    return {n for n, f in vars(cls).items() if not n.startswith("_") and inspect.isfunction(f)}


def test_everything_of_the_port_is_handed_on() -> None:
    # What is made of the rest alone needs no handing on.
    assert own(MetadataStore) - own(Delegate) == {"all_nodes", "list_nodes"}


def test_whoever_only_looks_writes_nothing_at_all() -> None:
    writing = {"put_type", "write", "load", "purge", "put_namespace", "beat", "end_beats"}
    store = Looking(open_store("memory://"))
    assert writing <= own(Looking)
    for name in writing:
        arguments = [
            object()
            for p in inspect.signature(getattr(store, name)).parameters.values()
            if p.default is p.empty
        ]
        with pytest.raises(DeniedError, match="read-only"):
            getattr(store, name)(*arguments)
    reading = (
        own(MetadataStore)
        - writing
        - {"in_namespace", "close", "schema_version", "list_types", "all_nodes", "list_nodes"}
    )
    timeless = {"settle_indexes", "list_imported", "list_namespaces", "list_beats", "now", "snapshot"}
    assert reading - timeless - own(AsOf) == set()
    open_to_all = {
        "has_events",
        "list_events",
        "all_events",
        "all_members",
        "all_parents",
        "list_imported",
        "has_marks",
        "list_beats",
        "now",
        "settle_indexes",
        "snapshot",  # it stands before what is held still as this one does
    }
    assert reading - own(Seen) == open_to_all


def test_nodes_are_found_counted_and_paged(graph: Graph) -> None:
    assert [n.name for n in graph.find("artifact", type_="Table")] == ["raw", "clean"]
    assert [n.name for n in graph.find("artifact", "type = 'mlmd.Model'", descending=True, limit=1)] == [
        "late@2"
    ]
    assert graph.count("artifact", "custom_properties.depth >= 1") == 2
    assert graph.count("execution", by="type") == {"clean": 1, "train": 2}
    assert graph.count("execution", by="state") == {"COMPLETE": 3}
    many = graph.find("artifact")
    assert many.all() == list(many) == list(many)
    for n in range(3):
        graph.add("Table", f"t{n}")
    assert len(graph.find("artifact", type_="Table", limit=4).all()) == 4
    with pytest.raises(UsageError, match="bad-query"):
        graph.find("artifact", limit=0)


def test_pages_follow_each_other(store: MetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph(store)
    for n in range(7):
        graph.add("Table", f"t{n}")
    asked: list[int | None] = []
    find = store.find_nodes

    def counted(kind: str, **options: object) -> object:
        asked.append(options["limit"])  # type: ignore[arg-type]
        options["limit"] = min(3, options["limit"] or 3)  # type: ignore[call-overload]
        return find(kind, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "find_nodes", counted)
    assert [n.name for n in graph.find("artifact", type_="Table")] == [f"t{n}" for n in range(7)]
    assert [n.name for n in graph.find("artifact", type_="Table", limit=5)] == [f"t{n}" for n in range(5)]
    assert asked == [500, 500, 500, 5, 2]


def test_lineage_is_walked_up_and_down(graph: Graph) -> None:
    def of(lineage: object) -> set[str | None]:
        piece = lineage.subgraph  # type: ignore[attr-defined]
        return {a.name for a in piece.artifacts if a.type != "Environment"}

    assert of(graph.up("late@1")) == {"late@1", "clean", "raw"}
    assert of(graph.up("late@1", hops=2)) == {"late@1", "clean"}
    assert of(graph.up("late@1", "late@2", only=["Table"])) == {"clean", "raw"}
    assert of(graph.up("late@1", stop="name = 'clean'")) == {"late@1", "clean"}
    assert of(graph.down("clean")) == {"clean", "late@1", "late@2"}
    assert of(graph.both("late@1")) == {"late@1", "late@2", "clean", "raw"}
    names = [n.name for level in graph.walk("late@1", only=["Table"]) for n in level.nodes]
    assert names == ["clean", "raw"]
    assert [level.hops for level in graph.walk(WalkQuery([graph.resolve("raw")], "down"))] == [0, 1, 2, 3, 4]
    path = graph.path("late@1", "late@2")
    assert path is not None
    assert [n.name or n.type for n in path.nodes] == ["late@1", "train", "clean", "train", "late@2"]
    assert graph.path("late@1", "late@2", direction="up") is None
    assert {k: len(v) for k, v in graph.impact("clean").by_type.items()} == {"mlmd.Model": 2, "train": 2}
    first = graph.diff("late@1", "late@2").first
    assert first is not None
    assert [(d.name, d.a, d.b) for d in first.differences] == [("params.depth", 1, 2)]


def test_the_graph_of_then_is_whole_and_stays(graph: Graph) -> None:
    then = moment(graph)
    old = graph.at(then)
    graph.add("Table", "clean", rows=9, if_exists="update")
    (gone,) = graph.remove("late@2")
    with graph.record("train", inputs=["clean"]) as run:
        run.output(graph.new("mlmd.Model", "late@3"))
    assert old.artifact("clean").get("rows") == 2
    assert graph.artifact("clean").get("rows") == 9
    assert [n.get("rows") for n in graph.history("clean")] == [2, 9]
    assert [n.get("rows") for n in old.history("clean")] == [2]
    assert [n.name for n in old.find("artifact", type_="mlmd.Model")] == ["late@1", "late@2"]
    assert [n.name for n in graph.find("artifact", type_="mlmd.Model")] == ["late@1", "late@3"]
    assert (old.count("artifact", by="type"), old.count("execution")) == (
        {"Environment": 1, "Table": 2, "mlmd.Model": 2},
        3,
    )
    # A node that was removed since is its tombstone: what it was is gone, its name is another's to take.
    assert old.artifact(gone.uid).name == "late@2"
    assert old.artifact(gone.uid).get("depth") is None
    assert old.impact("clean").n == 4
    assert graph.impact("clean").n == 6
    assert len(old.list_events(artifacts=[graph.resolve("clean")])) == 3
    assert graph.at(then - timedelta(days=1)).count("artifact") == 0
    assert old.at(datetime.now(UTC) + timedelta(days=1)).artifact("clean").get("rows") == 2
    with pytest.raises(DeniedError, match=r"as of .*read-only"):
        old.add("Table", "more")
    with pytest.raises(UsageError, match="naive-time"):
        graph.at(datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused
    assert repr(old).endswith(f" as of {then.isoformat()}: 5 artifacts, 3 executions, 1 contexts>")


def test_what_is_written_by_hand_is_checked(graph: Graph) -> None:
    graph.type("Survey", "artifact", {"rows": int, "who": str, "share": "DOUBLE", "more": dict, "ok": bool})
    survey = graph.add(
        "Survey", "spring", uri="file:s.csv", rows=3, who="ada", share=0.5, more={"a": [1]}, ok=True, note="x"
    )
    assert isinstance(survey, Artifact)
    assert (dict(survey.custom), survey.get("share"), survey.uri) == ({"note": "x"}, 0.5, "file:s.csv")
    graph.type("Survey", "artifact", {"pages": int})
    assert graph.add("Survey", "spring", if_exists="reuse").uid == survey.uid
    wrong = [
        (lambda: graph.add("Survey", "spring"), ConflictError, "name-taken"),
        (lambda: graph.add("Survey", "fall", rows="three"), UsageError, "property-type"),
        (lambda: graph.add("Surveys", "fall"), UsageError, "bad-type"),
        (lambda: graph.add("Project", "p", uri="file:x"), UsageError, "bad-node"),
        (lambda: graph.add("Project", "p", state="LIVE"), UsageError, "bad-node"),
        (lambda: graph.type("Survey", "artifact", {"rows": str}), ConflictError, "type-conflict"),
        (lambda: graph.type("Other", "artifact", {"when": datetime}), UsageError, "bad-type"),
        (lambda: graph.link("spring", reads=["raw"]), UsageError, "ambiguous-reference|execution-not-found|not found"),
        (lambda: graph.link(graph.find("execution").first() or 0, reads="raw"), UsageError, "bad-reference"),
        (lambda: graph.export("csv", "x"), UsageError, "bad-format"),  # type: ignore[arg-type]
        (lambda: graph.read("dot", "x"), UsageError, "bad-format"),  # type: ignore[arg-type]
    ]  # fmt: skip
    for attempt, kind, match in wrong:
        with pytest.raises((kind, NotFoundError), match=match):
            attempt()  # type: ignore[no-untyped-call]
    assert graph.count("artifact", "type = 'Survey'") == 1
    with pytest.raises(UsageError, match="no-recorder"):
        Graph(graph.store).record("train")


def test_a_word_that_is_none_is_refused_and_never_overlooked(graph: Graph) -> None:
    wrong = [
        lambda: graph.find("artefact"),  # type: ignore[call-overload]
        lambda: graph.count("artefact"),  # type: ignore[call-overload]
        lambda: graph.count("artifact", by="name"),  # type: ignore[call-overload]
        lambda: graph.type("Odd", "artefact"),  # type: ignore[arg-type]
        lambda: graph.add("Odd", kind="artefact"),  # type: ignore[arg-type]
        lambda: graph.add("Table", "raw", if_exists="merge"),  # type: ignore[arg-type]
        lambda: graph.down("raw", max_hops=1),  # type: ignore[call-arg]
        lambda: graph.both("raw", max_hops=1),  # type: ignore[call-arg]
        lambda: graph.walk("raw", max_hops=1),  # type: ignore[call-overload]
        lambda: graph.impact("raw", max_hops=1),  # type: ignore[call-arg]
        lambda: graph.node(None),  # type: ignore[arg-type]
        lambda: graph.node(1.5),  # type: ignore[arg-type]
        lambda: graph.link(graph.add("step"), reads=["raw"], how="later"),  # type: ignore[arg-type]
        lambda: graph.link(graph.add("step"), reads=["raw"], how="pending"),
    ]
    for attempt in wrong:
        with pytest.raises((UsageError, NotFoundError)):
            attempt()  # type: ignore[no-untyped-call]
    with pytest.raises(UsageError, match="'hops'"):
        graph.down("raw", max_hops=1)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="is an artifact, an execution is wanted here"):
        graph.execution(graph.artifact("raw").uid)


@pytest.mark.parametrize(
    ("how", "kinds"),
    [
        ("plain", {"INPUT", "OUTPUT"}),
        ("declared", {"DECLARED_INPUT", "DECLARED_OUTPUT"}),
        ("internal", {"INTERNAL_INPUT", "INTERNAL_OUTPUT"}),
    ],
)
def test_every_event_can_be_said_with_its_path(graph: Graph, how: How, kinds: set[str]) -> None:
    step = graph.add("join", "j", kind="execution")
    out = graph.add("Table", "joined")
    graph.link(step, reads={"rows": ["raw", "clean"], "model": "late@1"}, writes={"rows": out}, how=how)
    events = graph.list_events(executions=[step.uid])
    names = {node.uid: node.name for node in graph.find("artifact")}
    assert {e.kind for e in events} == kinds
    assert {(names[e.artifact], e.path) for e in events} == {
        ("raw", ("rows", 0)),
        ("clean", ("rows", 1)),
        ("late@1", ("model",)),
        ("joined", ("rows",)),
    }
    graph.link(step, writes=["clean"], how="pending")
    assert {e.kind for e in graph.list_events(executions=[step.uid])} == {*kinds, "PENDING_OUTPUT"}


def test_two_kinds_may_have_a_type_of_one_name(graph: Graph) -> None:
    graph.type("Review", "artifact")
    graph.type("Review", "execution")
    with pytest.raises(UsageError, match="say the kind"):
        graph.add("Review", "r")
    assert graph.add("Review", "r", kind="execution").type == "Review"


def test_what_is_exported_comes_back(graph: Graph, tmp_path: Path) -> None:
    for format_ in ("prov", "graphml"):
        graph.export(format_, tmp_path / format_, "late@1", direction="up")
        other = Graph(open_store("memory://"))
        other.read(format_, tmp_path / format_)
        assert {a.name for a in other.find("artifact", "type != 'Environment'")} == {"late@1", "clean", "raw"}
        assert [n.uid for _, n in other.up("late@1").up(other.resolve("late@1"))] == [
            n.uid for _, n in graph.up("late@1").up(graph.resolve("late@1"))
        ]
    graph.export("dot", tmp_path / "all.dot")
    assert "late@2" in (tmp_path / "all.dot").read_text()
    with pytest.raises(ConflictError, match=r"all.dot is there already \(file-exists\).*--force"):
        graph.export("dot", tmp_path / "all.dot", "raw")
    assert "late@2" in (tmp_path / "all.dot").read_text()
    graph.export("dot", tmp_path / "all.dot", "raw", direction="up", replace=True)
    assert "late@2" not in (tmp_path / "all.dot").read_text()
    assert graph.arrow("executions").num_rows == 3


def test_nodes_are_found_by_what_they_are_called(graph: Graph) -> None:
    group = graph.add("Group", "all", kind="context")
    report = graph.add("Report", "april", kind="artifact", uri="s3://b/april", external_id="r-4")
    graph.group(group, report)
    asks: list[dict[str, Any]] = [
        {"name": "april"},
        {"name": ["april", "may"]},
        {"uri": "s3://b/april"},
        {"external_id": "r-4"},
        {"context": "all"},
        {"context": group},
        {"context": group, "type_": "Report", "limit": 3},
    ]
    for ask in asks:
        assert [node.uid for node in graph.find("artifact", **ask)] == [report.uid], ask
        assert list(graph.find("execution", **ask)) == []
        assert list(graph.find("artifact", "type = 'Table'", **ask)) == []
    with pytest.raises(NotFoundError, match="context 'al'"):
        graph.find("artifact", context="al")


def test_a_property_may_have_any_name(graph: Graph) -> None:
    given: dict[str, Any] = {
        "name": "n",
        "kind": "k",
        "uri": "u",
        "state": "s",
        "type_": "t",
        "properties": [1],
        "if_exists": 2,
    }
    stored = graph.add("Report", "april", kind="artifact", properties=given, pages=3)
    assert (stored.name, dict(stored.custom)) == ("april", {**given, "pages": 3})
    assert graph.find("artifact", "custom_properties.uri = 'u'").first() == stored
    made = graph.new("Report", "may", properties={"name": "x"})
    assert (made.name, dict(made.custom)) == ("may", {"name": "x"})
    for wrong in ({"pages": 1}, [("a", 1)]):
        with pytest.raises(UsageError) as caught:
            graph.add("Report", "june", properties=wrong, pages=3)  # type: ignore[arg-type]  # that is the test
        assert caught.value.code == "bad-node"


def test_mistakes_are_said_in_our_words(graph: Graph, tmp_path: Path) -> None:
    graph.add("Group", "all", kind="context")
    odd: Any = graph  # what nobody who checks types would write
    calls: list[tuple[Callable[..., object], str, str]] = [
        (lambda: odd.arrow("nodes"), "table-not-found", "graph.nodes"),
        (lambda: odd.at("2020-99"), "bad-timestamp", "'2020-99' is no moment"),
        (lambda: odd.at("2020-01-01"), "naive-time", "has no zone"),
        (lambda: odd.at(5), "bad-timestamp", "5 is no moment"),
        (lambda: odd.find("artifact", 5), "bad-filter", "a filter is text, got int 5"),
        (lambda: odd.count("artifact", {"a": 1}), "bad-filter", "got dict"),
        (lambda: odd.find_nodes("artifact", matching=5), "bad-filter", "got int"),
        (lambda: odd.find("artifact", limit="x"), "bad-query", "limit is a whole number"),
        (lambda: odd.find("artifact", type_=5), "bad-query", "text is wanted"),
        (lambda: odd.find("artifact", state="LIV"), "bad-state", "Near: 'LIVE'"),
        (lambda: odd.find("context", state="LIVE"), "bad-state", "which have none"),
        (lambda: odd.find("artifct"), "bad-query", "Near: 'artifact'"),
        (lambda: odd.up("raw", stop=5), "bad-filter", "got int 5"),
        (lambda: odd.up("raw", hops="x"), "bad-query", "max_hops is a whole number"),
        (lambda: odd.up("raw", only=5), "bad-query", "names of types"),
        (lambda: odd.up("all"), "bad-reference", "'all' is a context, and lineage is of"),
        (lambda: odd.down(odd.context("all")), "bad-reference", "Group all is a context"),
        (lambda: list(odd.walk("all")), "bad-reference", "is a context"),
        (lambda: odd.path("raw", "all"), "bad-reference", "is a context"),
        (lambda: odd.diff("all", "raw"), "bad-reference", "is a context"),
        (lambda: odd.impact("all"), "bad-reference", "is a context"),
        (lambda: odd.export("prov", tmp_path / "no" / "x.json"), "bad-file", "there is no folder"),
        (lambda: odd.export("dot", tmp_path), "bad-file", "is a folder"),
        (lambda: odd.mark("raw", 5), "bad-mark", "needs a reason"),
        (lambda: odd.retain("r", keep_for=5), "bad-retention", "is not a length of time"),
    ]
    for call, code, said in calls:
        with pytest.raises(WhenceError) as caught:
            call()
        assert caught.value.code == code, said
        assert said in str(caught.value)
    assert graph.at("2020-01-01T00:00:00Z").count("artifact") == 0
    assert list(tmp_path.glob("*.json")) == []
