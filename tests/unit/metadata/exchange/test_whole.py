"""Nothing is lost on the way out and in again, and a document that is refused leaves nothing at all."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.metadata.exchange.world import TYPES, contents, graphs, labels, make
from whence._base.crash import VARIABLE
from whence.database import sqlite_url
from whence.errors import ConflictError, DeniedError, UsageError, WhenceError
from whence.metadata import (
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    MetadataStore,
    Put,
    Removal,
    Type,
    open_store,
)
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


def text_of(store: MetadataStore, write: Writer) -> str:
    """A graph, written out."""
    out = io.StringIO()
    write(Piece.of(store), out)
    return out.getvalue()


@pytest.mark.parametrize("write", [write_prov, write_graphml, write_dot])
def test_no_document_takes_the_place_of_a_database(tmp_path: Path, write: Writer) -> None:
    path = tmp_path / "whence.db"
    store = open_store(sqlite_url(path))
    before = path.read_bytes()
    for file in (path, tmp_path / "whence.db.lock", tmp_path / "whence.db-wal"):
        with pytest.raises(UsageError, match=r"no document takes its place \(bad-file\)"):
            write(Piece.of(store), file, replace=True)
    assert path.read_bytes() == before
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real").write_text("")
    with pytest.raises(ConflictError, match=r"link is there already \(file-exists\)"):
        write(Piece.of(store), tmp_path / "link")
    assert (tmp_path / "real").stat().st_size == 0
    write(Piece.of(store), tmp_path / "link", replace=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").stat().st_size > 0
    with pytest.raises(UsageError, match="no place"):
        write(Piece.of(store), Path("-"))
    store.close()


@st.composite
def whole_graphs(draw: st.DrawFn) -> MetadataStore:
    """A graph with everything that a document tells: namespaces, tombstones, bases, updates, times of long ago."""
    store = make(draw(graphs()))
    store.put_type(Type("artifact", "Based", {"n": "INT"}, base="mlmd.Dataset"))
    team = store.in_namespace("team é", create=True)
    for handle in (store, team):
        based = Artifact(
            type="Based",
            name=draw(st.none() | labels),
            external_id=draw(st.none() | labels),
            properties={"n": draw(st.integers(0, 9))},
        )
        run = Execution(type="load", external_id=draw(st.none() | labels))
        handle.write(
            Change([Put(based), Put(run)], [Event(run.uid, based.uid, "DECLARED_OUTPUT", ("x", 1, "é"))])
        )
    nodes = [n for kind in ("artifact", "execution", "context") for n in store.list_nodes(kind)]
    for node in nodes:
        what = draw(st.sampled_from(["nothing", "updated", "removed"]))
        if what == "updated":
            store.write(Change([Put(type(node)(type=node.type, type_version=node.type_version, uid=node.uid, custom={"x": 1}), "update")]))  # fmt: skip
        elif what == "removed":
            store.write(
                Change(removals=[Removal(node.uid, draw(labels), draw(st.sampled_from(["", "ada"])))])
            )
    return store


@pytest.mark.parametrize(("write", "read"), FORMATS)
@settings(max_examples=60)
@given(store=whole_graphs())
def test_what_comes_back_is_written_the_same(
    tmp_path_factory: pytest.TempPathFactory, write: Writer, read: Reader, store: MetadataStore
) -> None:
    file = tmp_path_factory.mktemp("out") / "graph"
    text = text_of(store, write)
    file.write_text(text, encoding="utf-8", newline="")
    other = open_store("memory://")
    read(other, file)
    assert contents(other) == contents(store)
    assert text_of(other, write) == text
    bases = {(t.name, t.base) for t in other.list_types() if t.name == "Based"}
    assert bases == {("Based", "mlmd.Dataset")}
    assert read(other, file).new == 0
    assert text_of(other, write) == text


@pytest.mark.parametrize(("write", "read"), FORMATS)
def test_a_namespace_of_its_own_takes_everything(tmp_path: Path, write: Writer, read: Reader) -> None:
    store = open_store("memory://")
    store.put_type(Type("artifact", "Table"))
    store.write(Change([Put(Artifact(type="Table", name="a"))]))
    store.in_namespace("team", create=True).write(Change([Put(Artifact(type="Table", name="b"))]))
    (tmp_path / "graph").write_text(text_of(store, write), encoding="utf-8")
    other = open_store("memory://")
    read(other.in_namespace("mine", create=True), tmp_path / "graph")
    assert {(n.name, n.namespace) for n in other.all_nodes("artifact")} == {("a", "mine"), ("b", "mine")}
    assert [n.name for n in other.list_namespaces()] == ["default", "mine"]


# --- all or nothing -------------------------------------------------------------------------------------


def whole(store: MetadataStore) -> tuple[object, ...]:
    """Everything that a document could have left: nodes, edges, types, namespaces."""
    return contents(store), store.list_types(), store.list_namespaces()


def big_graph() -> MetadataStore:
    """A graph with a new type, a wider type, a tombstone, and a namespace."""
    store = open_store("memory://")
    store.put_type(Type("artifact", "Table", {"n": "INT", "more": "STRING"}))
    store.put_type(Type("artifact", "New", {"x": "DOUBLE"}))
    store.put_type(Type("context", "Group"))
    old = Artifact(type="New", name="old", properties={"x": 0.5})
    store.write(Change([Put(Artifact(type="Table", name="t", properties={"n": 1, "more": "m"})), Put(old)]))
    store.write(Change(removals=[Removal(old.uid, "because")]))
    store.in_namespace("team", create=True).write(Change([Put(Artifact(type="Table", external_id="E"))]))
    return store


def refusing() -> list[tuple[str, Callable[[MetadataStore], object], Callable[[str], str], str]]:
    """Why a graph refuses a document: a name, what the graph has, what is done to the document, the code."""

    def same(text: str) -> str:
        return text

    def other_type(store: MetadataStore) -> None:
        store.put_type(Type("artifact", "Table", {"n": "STRING"}))

    def other_base(store: MetadataStore) -> None:
        store.put_type(Type("artifact", "New"))

    def taken(store: MetadataStore) -> None:
        store.put_type(Type("artifact", "Table"))
        team = store.in_namespace("team", create=True)
        team.write(Change([Put(Artifact(type="Table", external_id="E"))]))

    def closed(store: MetadataStore) -> None:
        store.put_namespace("team", closed=True)

    def long_name(text: str) -> str:
        return text.replace('"prov:label":"t"', f'"prov:label":"{"t" * 600}"').replace(
            ">t<", f">{'t' * 600}<"
        )

    def long_type(text: str) -> str:
        return text.replace("type:New", f"type:{'N' * 600}").replace(">New<", f">{'N' * 600}<")

    def huge(text: str) -> str:
        return text.replace('"p:more":"m"', f'"p:more":"{"m" * 5_000_000}"').replace(
            ">m<", f">{'m' * 5_000_000}<"
        )

    return [
        ("type", other_type, same, "type-conflict"),
        ("external id", taken, same, "name-taken"),
        ("closed", closed, same, "namespace-closed"),
        ("long name", other_base, long_name, "too-long"),
        ("long type", other_base, long_type, "bad-type"),
        ("huge", other_base, huge, "too-large"),
    ]


@pytest.mark.parametrize(("write", "read"), FORMATS)
@pytest.mark.parametrize(("has", "spoil", "code"), [pytest.param(*r[1:], id=r[0]) for r in refusing()])
def test_a_refused_document_leaves_nothing(
    tmp_path: Path,
    write: Writer,
    read: Reader,
    has: Callable[[MetadataStore], object],
    spoil: Callable[[str], str],
    code: str,
) -> None:
    (tmp_path / "graph").write_text(spoil(text_of(big_graph(), write)), encoding="utf-8")
    store = open_store(sqlite_url(tmp_path / "graph.db"))
    has(store)
    before = whole(store)
    with pytest.raises((ConflictError, UsageError, DeniedError)) as error:
        read(store, tmp_path / "graph")
    assert error.value.code == code
    assert whole(store) == before
    store.close()


def test_a_circle_leaves_nothing() -> None:
    text = """{"prefix": {"node": "urn:whence:node:"}, "entity": {
        "node:a": {"prov:type": [{"$": "type:New", "type": "xsd:QName"}, {"$": "prov:Collection", "type": "xsd:QName"}]},
        "node:b": {"prov:type": [{"$": "type:New", "type": "xsd:QName"}, {"$": "prov:Collection", "type": "xsd:QName"}]}},
      "hadMember": {"_:1": {"prov:collection": "node:a", "prov:entity": "node:b"},
                    "_:2": {"prov:collection": "node:b", "prov:entity": "node:a"}}}"""
    store = open_store("memory://")
    before = whole(store)
    with pytest.raises(ConflictError, match="context-cycle"):
        read_prov(store, io.StringIO(text))
    assert whole(store) == before
    # With one half stored, the other half closes it.
    half = json.loads(text)
    del half["hadMember"]["_:2"]
    read_prov(store, io.StringIO(json.dumps(half)))
    before = whole(store)
    with pytest.raises(ConflictError, match="context-cycle"):
        read_prov(store, io.StringIO(text))
    assert whole(store) == before


CHILD = """
import sys
from pathlib import Path
from whence.metadata import open_store
from whence.metadata.exchange import read_graphml, read_prov

store = open_store(sys.argv[1])
{"prov": read_prov, "graphml": read_graphml}[sys.argv[2]](store, Path(sys.argv[3]))
"""


@pytest.mark.parametrize("format_", ["prov", "graphml"])
@pytest.mark.parametrize("point", ["metadata.exchange.declared:1", "metadata.commit.before:1"])
def test_killed_it_has_written_no_node_and_is_finished_by_the_next(
    tmp_path: Path, format_: str, point: str
) -> None:
    write: Writer = write_prov if format_ == "prov" else write_graphml
    source = big_graph()
    (tmp_path / "graph").write_text(text_of(source, write), encoding="utf-8")
    url = sqlite_url(tmp_path / "graph.db")
    open_store(url).close()
    arguments = [sys.executable, "-c", CHILD, url, format_, str(tmp_path / "graph")]
    killed = subprocess.run(arguments, env={**os.environ, VARIABLE: point}, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    store = open_store(url)
    assert contents(store)["nodes"] == []
    subprocess.run(arguments, check=True)
    assert contents(store) == contents(source)
    store.close()


# --- what PROV lets others say --------------------------------------------------------------------------


def test_several_records_of_one_thing_are_one() -> None:
    text = """{"prefix": {"ex": "http://example.org/"},
      "entity": {"ex:x": [{"ex:a": 1, "ex:c": "same"}, {"ex:a": 2, "ex:b": true, "ex:c": "same"}],
                 "ex:all": {"ex:n": 1}, "ex:all": {"prov:type": {"$": "prov:Collection", "type": "xsd:QName"}},
                 "ex:derek": {"ex:age": 40}},
      "activity": {"ex:run": [{"prov:startTime": "2012-03-31T09:21:00"}, {"prov:endTime": "2012-03-31T09:22:00"}]},
      "agent": {"ex:derek": {}},
      "wasAssociatedWith": {"_:1": {"prov:activity": "ex:run", "prov:agent": "ex:derek"}},
      "used": {"_:2": [{"prov:activity": "ex:run", "prov:entity": "ex:x"},
                       {"prov:activity": "ex:run", "prov:entity": "ex:derek"}]},
      "hadMember": {"_:3": {"prov:collection": "ex:all", "prov:entity": "ex:x"}}}"""
    store = open_store("memory://")
    done = read_prov(store, io.StringIO(text))
    assert (done.nodes, done.edges, done.left_out) == (5, 4, {})
    (x,) = store.find_nodes("artifact", where={"prov_id": "ex:x"}).nodes
    assert (x.get("ex:a"), x.get("ex:b"), x.get("ex:c")) == ([1, 2], True, "same")
    (run,) = store.find_nodes("execution").nodes
    assert (run.get("started_at"), run.get("finished_at")) == ("2012-03-31T09:21:00", "2012-03-31T09:22:00")
    assert [c.get("prov_id") for c in store.list_contexts(execution=run.uid)] == ["ex:derek"]
    assert {e.kind for e in store.list_events(executions=[run.uid])} == {"INPUT"}
    (everything,) = store.list_contexts(artifact=x.uid)
    assert (everything.type, everything.get("ex:n")) == ("Collection", 1)
    assert read_prov(store, io.StringIO(text)).new == 0


def test_records_that_contradict_each_other_are_refused() -> None:
    text = """{"activity": {"ex:run": [{"prov:startTime": "2012-03-31T09:21:00Z"},
                                       {"prov:startTime": "2013-03-31T09:21:00Z"}]}}"""
    with pytest.raises(UsageError, match="bad-document"):
        read_prov(open_store("memory://"), io.StringIO(text))


def test_a_tombstone_here_stays_one() -> None:
    store = open_store("memory://")
    for type_ in TYPES:
        store.put_type(type_)
    table, run = Artifact(type="Table", name="t"), Execution(type="load", name="x")
    store.write(Change([Put(table), Put(run)], [Event(run.uid, table.uid, "OUTPUT")]))
    text = text_of(store, write_prov)
    store.write(Change(removals=[Removal(table.uid, "asked to")]))
    before = contents(store)
    assert read_prov(store, io.StringIO(text)).new == 0
    assert contents(store) == before
    # And what is removed there is not removed here.
    other = open_store("memory://")
    read_prov(other, io.StringIO(text))
    before = contents(other)
    assert read_prov(other, io.StringIO(text_of(store, write_prov))).new == 0
    assert contents(other) == before


# --- garbage --------------------------------------------------------------------------------------------


def seed() -> MetadataStore:
    """A graph with a bit of everything."""
    store = big_graph()
    store.put_type(Type("execution", "load", {"principal": "STRING", "s": "STRUCT"}))
    (table,) = store.find_nodes("artifact", name="t").nodes
    run = Execution(
        type="load", state="COMPLETE", properties={"principal": "ada", "s": {"a": [float("nan"), b"!"]}}
    )
    group, above = Context(type="Group", name="g"), Context(type="Group", name="h")
    store.write(
        Change(
            [Put(run), Put(group), Put(above)],
            [Event(run.uid, table.uid, "INPUT", ("x", 1)), Event(run.uid, table.uid, "PENDING_OUTPUT")],
            [(group.uid, table.uid)],
            [(group.uid, run.uid)],
            [(group.uid, above.uid)],
        )
    )
    return store


SEEDS = {id(write): text_of(seed(), write) for write in (write_prov, write_graphml)}
PIECES = [b"", b"\0", b"\xff", b'"', b"{", b"}", b"[]", b"null", b"1e999", b"9" * 40, b"<", b"&#0;", b"\\ud800", b"NaN", b"-1", b"true"]  # fmt: skip


@pytest.mark.parametrize(("write", "read"), FORMATS)
@settings(max_examples=150)
@given(data=st.data())
def test_garbage_is_refused_whole(
    tmp_path_factory: pytest.TempPathFactory, write: Writer, read: Reader, data: st.DataObject
) -> None:
    text = SEEDS[id(write)].encode()
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        text = text[:start] + data.draw(st.sampled_from(PIECES) | st.binary(max_size=4)) + text[end:]
    file = tmp_path_factory.mktemp("in") / "graph"
    file.write_bytes(text)
    store = open_store("memory://")
    before = whole(store)
    try:
        read(store, file)
    except WhenceError:
        assert whole(store) == before
    else:
        assert read(store, file).new == 0


def test_moments_are_kept_as_they_were(tmp_path: Path) -> None:
    made, changed = datetime(2001, 2, 3, tzinfo=UTC), datetime(2002, 3, 4, 5, 6, 7, 8, tzinfo=UTC)
    text = f"""<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
      <key id="k" for="node" attr.name="kind" attr.type="string"/><key id="t" for="node" attr.name="type"/>
      <key id="c" for="node" attr.name="created_at"/><key id="u" for="node" attr.name="updated_at"/>
      <graph><node id="a"><data key="k">artifact</data><data key="t">T</data><data key="c">{made.isoformat()}</data>
      <data key="u">{changed.isoformat()}</data></node></graph></graphml>"""
    store = open_store("memory://")
    read_graphml(store, io.BytesIO(text.encode()))
    (node,) = store.find_nodes("artifact").nodes
    assert (node.created_at, node.updated_at) == (made, changed)
