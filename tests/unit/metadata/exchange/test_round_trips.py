"""What is written out comes back: the same nodes, edges and values; and again, nothing changes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.unit.metadata.exchange.world import contents, graphs, make
from whence.database import sqlite_url
from whence.database.session import Session
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata import (
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    MetadataStore,
    Put,
    Removal,
    Rows,
    Type,
    open_store,
)
from whence.metadata.backends.reading import Reader as StoreReader
from whence.metadata.exchange import (
    Exported,
    Piece,
    Received,
    read_graphml,
    read_prov,
    write_dot,
    write_graphml,
    write_prov,
)

Writer = Callable[..., Exported]
Reader = Callable[[MetadataStore, Path], Received]
FORMATS = [
    pytest.param(write_prov, read_prov, id="prov"),
    pytest.param(write_graphml, read_graphml, id="graphml"),
]


@pytest.mark.parametrize(("write", "read"), FORMATS)
@settings(max_examples=50)
@given(change=graphs())
def test_a_graph_comes_back(
    tmp_path_factory: pytest.TempPathFactory, write: Writer, read: Reader, change: Change
) -> None:
    store = make(change)
    file = tmp_path_factory.mktemp("out") / "graph"
    exported = write(Piece.of(store), file)
    other = open_store("memory://")
    imported = read(other, file)
    assert contents(other) == contents(store)
    assert (imported.nodes, imported.edges) == (exported.nodes, exported.edges)
    assert imported.new == exported.nodes
    assert imported.left_out == {}


@pytest.mark.parametrize(("write", "read"), FORMATS)
@settings(max_examples=50)
@given(change=graphs())
def test_again_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, write: Writer, read: Reader, change: Change
) -> None:
    store = make(change)
    before = contents(store)
    file = tmp_path_factory.mktemp("out") / "graph"
    write(Piece.of(store), file)
    assert read(store, file).new == 0
    assert contents(store) == before
    assert all(node.revision == 1 for node in store.list_nodes("artifact"))


@pytest.fixture
def small() -> tuple[MetadataStore, Artifact, Execution, Artifact]:
    """raw → train → model, and one artifact beside."""
    store = open_store("memory://")
    return store, *fill(store)


def fill(store: MetadataStore) -> tuple[Artifact, Execution, Artifact]:
    """raw → train → model, and one artifact beside."""
    store.put_type(Type("artifact", "Table", {"n_rows": "INT"}))
    store.put_type(Type("execution", "train", {"principal": "STRING"}))
    raw = Artifact(type="Table", name="raw", properties={"n_rows": 3}, uri="file:raw")
    model = Artifact(type="Table", name="model")
    train = Execution(type="train", name="t", state="COMPLETE", properties={"principal": "an a/b"})
    events = [Event(train.uid, raw.uid, "INPUT", ("rows", 0)), Event(train.uid, model.uid, "OUTPUT")]
    puts = [Put(raw), Put(model), Put(train), Put(Artifact(type="Table", name="beside"))]
    store.write(Change(puts, events))
    return raw, train, model


@pytest.mark.parametrize(("write", "read"), FORMATS)
def test_a_tombstone_comes_back_as_one(
    tmp_path: Path, small: tuple[MetadataStore, Artifact, Execution, Artifact], write: Writer, read: Reader
) -> None:
    store, raw, *_ = small
    store.write(Change(removals=[Removal(raw.uid, "too old")]))
    write(Piece.of(store), tmp_path / "graph")
    other = open_store("memory://")
    read(other, tmp_path / "graph")
    (gone,) = other.get_nodes("artifact", uids=[raw.uid])
    assert gone.removed_at is not None
    assert len(list(other.all_events())) == 2
    read(other, tmp_path / "graph")
    assert other.get_nodes("artifact", uids=[raw.uid]) == [gone]


@pytest.mark.parametrize("write", [write_prov, write_graphml, write_dot])
def test_the_lineage_of_one_node_is_a_piece(
    small: tuple[MetadataStore, Artifact, Execution, Artifact], write: Writer
) -> None:
    store, _, _, model = small
    out = io.StringIO()
    assert write(Piece.of(store, [model.uid], direction="up"), out) == Exported(nodes=3, edges=2)
    assert "beside" not in out.getvalue()


@pytest.mark.parametrize("write", [write_prov, write_graphml, write_dot])
def test_a_failed_export_leaves_no_file(
    tmp_path: Path, small: tuple[MetadataStore, Artifact, Execution, Artifact], write: Writer
) -> None:
    store, *_ = small
    (tmp_path / "graph").write_text("of yesterday", encoding="utf-8")
    with pytest.raises(NotFoundError):
        write(Piece.of(store, ["nobody"]), tmp_path / "graph", replace=True)
    assert [p.read_text(encoding="utf-8") for p in tmp_path.iterdir()] == ["of yesterday"]


# --- what others read -------------------------------------------------------------------------------


def test_a_whole_graph_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(sqlite_url(tmp_path / "graph.db"))
    store.put_type(Type("artifact", "Table"))
    n = 3_000
    store.load([Rows([Artifact(type="Table", name=f"t{i}") for i in range(n)])])
    moment = store.now()
    store.write(Change([Put(Artifact(type="Table", name="late"))]))
    read: list[int] = []
    first = StoreReader.as_of

    def counted(reader: StoreReader, session: Session, raws: Sequence[tuple[object, ...]], us: int) -> object:
        read.append(len(raws))
        return first(reader, session, raws, us)

    monkeypatch.setattr(StoreReader, "as_of", counted)
    piece = Piece.of(store, as_of=moment)
    assert [node.name for node in piece.nodes()] == [f"t{i}" for i in range(n)]
    assert sum(read) <= n + 1
    store.close()


class Meddling:
    """A text file in which every write is followed by others into the graph that is being written out."""

    def __init__(self, store: MetadataStore) -> None:
        self.out = io.StringIO()
        self._store = store
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        fresh = Artifact(type="Table", name=f"late{self.writes}", created_at=datetime(1990, 1, 1, tzinfo=UTC))
        (train,) = self._store.find_nodes("execution").nodes
        context = Context(type="Run")
        # With times long before: as of which moment it is read does not leave this out.
        rows = Rows([fresh, context], [Event(train.uid, fresh.uid, "OUTPUT", (), fresh.created_at)], [(context.uid, fresh.uid)])  # fmt: skip
        self._store.load([rows])
        if self.writes == 1:
            raw = self._store.find_nodes("artifact", name="raw").nodes[0]
            self._store.write(Change(removals=[Removal(raw.uid)]))
        return self.out.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)


@pytest.mark.parametrize("url", ["memory://", "sqlite"])
@pytest.mark.parametrize("write", [write_prov, write_graphml, write_dot])
def test_an_export_is_of_one_moment(tmp_path: Path, write: Writer, url: str) -> None:
    store = open_store(sqlite_url(tmp_path / "graph.db") if url == "sqlite" else url)
    fill(store)
    store.put_type(Type("context", "Run"))
    before = io.StringIO()
    written = write(Piece.of(store), before)
    meddling = Meddling(store)
    assert write(Piece.of(store), meddling) == written
    assert meddling.writes > 1
    assert meddling.out.getvalue() == before.getvalue()
    store.close()


def test_a_piece_of_a_moment_has_the_contexts_of_that_moment() -> None:
    store = open_store("memory://")
    store.put_type(Type("artifact", "Table"))
    store.put_type(Type("context", "Run"))
    raw, run, above = Artifact(type="Table"), Context(type="Run"), Context(type="Run")
    store.write(Change([Put(raw), Put(run)], attributions=[(run.uid, raw.uid)]))
    with Piece.of(store, [raw.uid]).still() as piece:
        store.write(Change([Put(above)], parents=[(run.uid, above.uid)]))
        assert {node.uid for node in piece.nodes()} == {raw.uid, run.uid}
        assert list(piece.parents()) == []
    assert len(list(Piece.of(store, [raw.uid]).parents())) == 1


def test_others_read_the_prov(small: tuple[MetadataStore, Artifact, Execution, Artifact]) -> None:
    from prov.model import ProvActivity, ProvAgent, ProvDocument, ProvEntity, ProvGeneration, ProvUsage

    store, raw, train, _ = small
    out = io.StringIO()
    write_prov(Piece.of(store), out)
    document = ProvDocument.deserialize(content=out.getvalue(), format="json")
    assert [len(list(document.get_records(kind))) for kind in (ProvEntity, ProvActivity, ProvAgent)] == [
        3,
        1,
        1,
    ]
    assert [len(list(document.get_records(kind))) for kind in (ProvUsage, ProvGeneration)] == [1, 1]
    (entity,) = document.get_record(f"node:{raw.uid}")
    assert {str(k): str(v) for k, v in entity.attributes}["p:n_rows"] == '"3" %% xsd:long'
    (activity,) = document.get_record(f"node:{train.uid}")
    assert isinstance(activity, ProvActivity)
    assert activity.get_startTime() is not None
    assert activity.get_endTime() is not None


def test_others_read_the_graphml(
    tmp_path: Path, small: tuple[MetadataStore, Artifact, Execution, Artifact]
) -> None:
    import networkx as nx  # type: ignore[import-untyped]  # ships no types

    store, raw, train, model = small
    write_graphml(Piece.of(store), tmp_path / "graph.graphml")
    graph = nx.read_graphml(tmp_path / "graph.graphml")
    assert nx.shortest_path(graph, raw.uid, model.uid) == [raw.uid, train.uid, model.uid]
    assert graph.nodes[raw.uid]["p.n_rows"] == 3
    assert graph.edges[raw.uid, train.uid]["path"] == '["rows",0]'


@pytest.mark.filterwarnings("ignore:.* deprecated - use:DeprecationWarning")  # the parser's own
@settings(max_examples=25)
@given(change=graphs())
def test_others_read_the_dot(change: Change) -> None:
    import pydot

    store = make(change)
    out = io.StringIO()
    exported = write_dot(Piece.of(store), out, contexts=True)
    graphs_read = pydot.graph_from_dot_data(out.getvalue())
    assert graphs_read is not None
    (graph,) = graphs_read
    nodes = [node for node in graph.get_nodes() if node.get_name() not in {"node", "edge"}]
    assert (len(nodes), len(graph.get_edges())) == (exported.nodes, exported.edges)


# --- what others write ------------------------------------------------------------------------------

FOREIGN = """{
 "prefix": {"ex": "http://example.org/", "dct": "http://purl.org/dc/terms/"},
 "entity": {
  "ex:article": {"dct:title": "Crime rises", "prov:type": {"$": "ex:Report", "type": "xsd:QName"}},
  "ex:data": {"ex:rows": {"$": "12", "type": "xsd:int"}}, "ex:all": {"prov:type": {"$": "prov:Collection", "type": "xsd:QName"}}
 },
 "activity": {"ex:compile": {"prov:startTime": "2012-03-31T09:21:00+00:00"}},
 "agent": {"ex:derek": {"prov:label": "Derek"}},
 "used": {"_:1": {"prov:activity": "ex:compile", "prov:entity": "ex:data", "prov:role": "ex:source"}},
 "wasGeneratedBy": {"_:2": {"prov:activity": "ex:compile", "prov:entity": "ex:article"}},
 "wasAssociatedWith": {"_:3": {"prov:activity": "ex:compile", "prov:agent": "ex:derek"}},
 "wasAttributedTo": {"_:4": {"prov:entity": "ex:article", "prov:agent": "ex:derek"}},
 "wasDerivedFrom": {"_:5": {"prov:generatedEntity": "ex:article", "prov:usedEntity": "ex:data"}},
 "hadMember": {"_:6": {"prov:collection": "ex:all", "prov:entity": "ex:data"}},
 "specializationOf": {"_:7": {"prov:specificEntity": "ex:article", "prov:generalEntity": "ex:elsewhere"}},
 "used2": {}
}"""


def test_the_prov_of_others_is_lineage() -> None:
    store = open_store("memory://")
    done = read_prov(store, io.StringIO(FOREIGN))
    assert (done.nodes, done.edges, done.new) == (6 + 1 - 1, 7, 6)
    assert done.left_out == {"specializationOf": 1}
    (article,) = store.list_nodes("artifact", type_="Report")
    up = store.lineage([article.uid], direction="up")
    assert {a.get("prov_id") for a in up.artifacts} == {"ex:article", "ex:data"}
    assert {e.type for e in up.executions} == {"Activity", "Derivation"}
    (data,) = store.list_nodes("artifact", type_="Entity")
    assert data.get("ex:rows") == 12
    assert read_prov(store, io.StringIO(FOREIGN)).new == 0


def test_the_prov_of_others_may_be_terse() -> None:
    text = """{"entity": {"ex:raw": {}}, "activity": {"ex:clean": {}},
        "used": {"_:1": {"prov:activity": "ex:clean", "prov:entity": "ex:raw", "prov:role": "[rows",
                         "prov:time": "2012-03-31T09:21:00"},
                 "_:2": {"prov:activity": "ex:clean"}}}"""
    store = open_store("memory://")
    assert read_prov(store, io.StringIO(text)).left_out == {"used without an entity": 1}
    (event,) = store.all_events()
    assert (event.path, event.at) == (("[rows",), datetime(2012, 3, 31, 9, 21, tzinfo=UTC))


def test_documents_that_speak_of_the_same_thing_meet() -> None:
    store = open_store("memory://")
    first = '{"prefix": {"a": "http://example.org/"}, "entity": {"a:x": {}}}'
    second = '{"prefix": {"b": "http://example.org/"}, "entity": {"b:x": {}}}'
    assert [read_prov(store, io.StringIO(text)).new for text in (first, second)] == [1, 0]


# --- garbage ----------------------------------------------------------------------------------------

GRAPHML = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">{}</graphml>'
KEYS = (
    '<key id="k" for="node" attr.name="kind" attr.type="string"/>'
    '<key id="t" for="node" attr.name="type" attr.type="string"/>'
    '<key id="n" for="node" attr.name="p.n" attr.type="long"/>'
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "<html/>",
        GRAPHML.format("<graph><node id='a'/></graph>"),
        GRAPHML.format(
            KEYS + "<graph><node id='a'><data key='k'>thing</data><data key='t'>T</data></node></graph>"
        ),
        GRAPHML.format(
            KEYS
            + "<graph><node id='a'><data key='k'>artifact</data><data key='t'>T</data><data key='n'>x</data></node></graph>"
        ),
        GRAPHML.format(KEYS + "<graph><edge source='a' target='b'/></graph>"),
        GRAPHML.format("<graph><node id='a'><data key='nowhere'>x</data></node></graph>"),
        '<?xml version="1.0" encoding="nope"?><graphml/>',
        GRAPHML.format(
            KEYS
            + "<key id='s' for='node' attr.name='p.s' attr.type='string' xmlns:whence='urn:whence:graphml' whence:as='STRUCT'/>"
            + "<graph><node id='a'><data key='k'>artifact</data><data key='t'>T</data>"
            + '<data key=\'s\'>1},"c":{"x":2</data></node></graph>'
        ),
    ],
)
def test_bad_graphml_is_refused_and_nothing_written(text: str) -> None:
    store = open_store("memory://")
    with pytest.raises(UsageError) as error:
        read_graphml(store, io.BytesIO(text.encode()))
    assert error.value.code == "bad-document"
    assert contents(store)["nodes"] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"entity": []}',
        '{"entity": {"a:x": 3}}',
        '{"entity": {"a:x": {"a:n": {"$": "x", "type": "xsd:int"}}}}',
        '{"used": {"_:1": {"prov:entity": "a:x"}}}',
        '{"prefix": {"a": 5}, "entity": {"a:x": {}}}',
        '{"entity": {"a:\\ud800": {}}}',
        '{"entity": {"a:x": {"a:n": "\\udfff"}}}',
        '{"entity": {"a:x": {"a:n": ' + "[" * 100_000 + "]" * 100_000 + "}}}",
        '{"entity": {"a:x": {}}, "activity": {"a:x": {}}}',
    ],
)
def test_bad_prov_is_refused_and_nothing_written(text: str) -> None:
    store = open_store("memory://")
    with pytest.raises(UsageError) as error:
        read_prov(store, io.StringIO(text))
    assert error.value.code == "bad-document"
    assert contents(store)["nodes"] == []


def test_a_stored_type_that_differs_is_a_conflict() -> None:
    store = open_store("memory://")
    store.put_type(Type("artifact", "T", {"n": "STRING"}))
    node = "<node id='a'><data key='k'>artifact</data><data key='t'>T</data><data key='n'>3</data></node>"
    with pytest.raises(ConflictError):
        read_graphml(store, io.BytesIO(GRAPHML.format(f"{KEYS}<graph>{node}</graph>").encode()))
    assert contents(store)["nodes"] == []


def test_an_absent_file_is_said() -> None:
    for read in (read_prov, read_graphml):
        with pytest.raises(NotFoundError):
            read(open_store("memory://"), Path("nowhere"))
