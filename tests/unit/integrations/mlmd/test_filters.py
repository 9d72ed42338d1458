"""Filter queries: what ML Metadata 1.17.1 was seen to answer is what they answer here."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.integrations.mlmd.calls import Client, pb
from whence.integrations.mlmd.errors import InvalidArgumentError
from whence.integrations.mlmd.filters import MAX_URIS, among, read_filter
from whence.metadata import Artifact, Change, Context, MetadataStore, NodeKind, Put, Type, open_store

KINDS: Final[tuple[NodeKind, ...]] = ("artifact", "execution", "context")


def filled(client: Client) -> dict[str, int]:
    """a -> x -> b in the context `run`, whose parent is `pipeline`; c and y stand alone."""
    data, run, group = client.types()
    a, b, c = client.PutArtifacts(
        artifacts=[
            {
                "type_id": data,
                "name": "a",
                "uri": "file:a",
                "state": 2,
                "properties": {"i": {"int_value": 1}},
            },
            {"type_id": data, "name": "b", "custom_properties": {"note": {"string_value": "late"}}},
            {"type_id": data, "name": "C", "uri": "", "state": 4, "properties": {"i": {"int_value": 7}}},
        ]
    ).artifact_ids
    x, y = client.PutExecutions(
        executions=[
            {"type_id": run, "name": "x", "last_known_state": pb.Execution.COMPLETE},
            {"type_id": run, "name": "y"},
        ]
    ).execution_ids
    inside, outside = client.PutContexts(
        contexts=[{"type_id": group, "name": "run"}, {"type_id": group, "name": "pipeline"}]
    ).context_ids
    client.PutEvents(
        events=[
            {"artifact_id": a, "execution_id": x, "type": pb.Event.INPUT},
            {"artifact_id": b, "execution_id": x, "type": pb.Event.OUTPUT},
        ]
    )
    client.PutAttributionsAndAssociations(
        attributions=[{"artifact_id": a, "context_id": inside}, {"artifact_id": b, "context_id": inside}],
        associations=[{"execution_id": x, "context_id": inside}],
    )
    client.PutParentContexts(parent_contexts=[{"child_id": inside, "parent_id": outside}])
    return {
        "a": a, "b": b, "C": c, "x": x, "y": y, "run": inside, "pipeline": outside,
        "data": data, "fit": run, "group": group,
    }  # fmt: skip


def ask(client: Client, kind: NodeKind, query: str) -> str:
    method = getattr(client, f"Get{kind.capitalize()}s")
    return " ".join(node.name for node in getattr(method(options={"filter_query": query}), f"{kind}s"))


ARTIFACTS: Final = {
    "id = {a}": "a",
    "ID IN ({a}, {C})": "a C",
    "type_id = {data}": "a b C",
    "type_id != {data}": "",
    "type = 'Data' AND name != 'a'": "b C",
    "state = LIVE": "a",
    "state != LIVE": "b C",
    "NOT state = LIVE": "C",
    "NOT NOT state = LIVE": "a",
    "NOT state IN (LIVE)": "C",
    "NOT (state != LIVE AND name != 'b')": "a b",
    "state NOT IN (LIVE)": "b C",
    "state IS NULL": "b",
    "state IS NOT NULL": "a C",
    "uri = 'file:a'": "a",
    "uri != 'file:a'": "b C",
    "NOT uri = 'file:a'": "b C",
    "uri = ''": "b C",
    "uri IS NULL": "",
    "uri LIKE '%'": "a b C",
    "uri NOT LIKE 'file:%'": "b C",
    "uri IN ('file:a', 'file:z')": "a",
    "name LIKE 'c%'": "C",
    "properties.i.int_value > 1": "C",
    "properties.i.int_value > 1 OR name = 'b'": "C",  # a property that is read is there
    "custom_properties.note.string_value = 'late'": "b",
    "contexts_a.name = 'run'": "a b",
    "contexts_a.type = 'Group' AND contexts_a.id = {run}": "a b",
    "events_0.execution_id = {x}": "a b",
    "events_0.type = OUTPUT AND events_0.execution_id = {x}": "b",
    "create_time_since_epoch > 0 AND last_update_time_since_epoch >= create_time_since_epoch": "a b C",
}
EXECUTIONS: Final = {
    "id = {x}": "x",
    "type_id = {fit}": "x y",
    "last_known_state = COMPLETE": "x",
    "last_known_state IS NULL": "y",
    "events_0.artifact_id = {b} AND events_0.type = OUTPUT": "x",
    "events_0.artifact_id = {a} AND events_0.type = OUTPUT": "",
    "contexts_a.name = 'run'": "x",
}
CONTEXTS: Final = {
    "id = {run}": "run",
    "type_id = {group}": "run pipeline",
    "parent_contexts_a.id = {pipeline}": "run",
    "parent_contexts_a.name = 'pipeline'": "run",
    "child_contexts_a.name = 'run'": "pipeline",
    "artifacts_a.uri = ''": "run",
    "artifacts_a.uri IS NULL": "",
    "artifacts_a.uri = artifacts_b.uri": "run",
    "executions_a.name = 'x'": "run",
}


@pytest.mark.parametrize(
    ("kind", "answers"), [("artifact", ARTIFACTS), ("execution", EXECUTIONS), ("context", CONTEXTS)]
)
def test_queries_find_what_they_found(client: Client, kind: NodeKind, answers: dict[str, str]) -> None:
    ids = filled(client)
    found = {query: ask(client, kind, query.format_map(ids)) for query in answers}
    assert found == answers


def test_a_query_goes_with_what_a_method_asks_itself(client: Client) -> None:
    ids = filled(client)
    for query, names in (("name = 'a'", ["a"]), ("id > 0", ["a", "b", "C"])):
        by_type = client.GetArtifactsByType(type_name="Data", options={"filter_query": query})
        assert [a.name for a in by_type.artifacts] == names
    inside = client.GetArtifactsByContext(context_id=ids["run"], options={"filter_query": "name != 'a'"})
    assert [a.name for a in inside.artifacts] == ["b"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("invalid syntax", "column 9: expected AND, OR or the end, found syntax"),
        ("nope = 1", "column 1: an artifact has no column nope"),
        ("id = 'a'", "column 6: a number is not text"),
        ("name LIKE 'x", "the quote ' is not closed"),
        ("state = ALIVE", "ALIVE is no state"),
        ("  ", "a filter without a condition"),
        ("parent_contexts_a.id = 1", "an artifact has no parent_contexts"),
        ("é" * 70_000, "at most 65,536 bytes"),
    ],
)
def test_a_wrong_query_is_refused_in_words(client: Client, query: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        client.GetArtifacts(options={"filter_query": query})
    assert caught.value.message.startswith("Invalid `filter_query`: ")
    assert message in caught.value.message
    assert len(caught.value.message) <= 800


def test_one_comparison_names_few_uris() -> None:
    uris = " + ".join(f"LENGTH(artifacts_{i}.uri)" for i in range(MAX_URIS + 1))
    with pytest.raises(InvalidArgumentError, match=f"at most {MAX_URIS} uris"):
        read_filter(f"{uris} > 3", "context")


@given(st.text("idnametypeuristate_.=()'\"ANDORNTLIVE01 ,%", max_size=40), st.sampled_from(KINDS))
def test_a_query_is_understood_or_refused(text: str, kind: NodeKind) -> None:
    with contextlib.suppress(InvalidArgumentError):
        read_filter(text, kind)


URI: Final = st.sampled_from(["uri", "URI"])
TEXT: Final = st.sampled_from(["''", "'a'", "'B'", "name", "properties.t.string_value", "properties.gone"])
TESTS: Final = st.one_of(
    st.builds("{} {} {}".format, URI, st.sampled_from(["=", "!=", "<", ">="]), TEXT),
    st.builds("{} {} {}".format, TEXT, st.sampled_from(["=", "<", ">"]), URI),
    st.builds("{} {}IN ({}, 'z')".format, URI, st.sampled_from(["", "NOT "]), st.sampled_from(["''", "'a'"])),
    st.builds(
        "{} {}LIKE '{}'".format, URI, st.sampled_from(["", "NOT "]), st.sampled_from(["", "%", "a", "_"])
    ),
    st.builds("{} {}BETWEEN {} AND {}".format, TEXT | URI, st.sampled_from(["", "NOT "]), TEXT | URI, TEXT),
    st.builds("{} IS {}NULL".format, URI, st.sampled_from(["", "NOT "])),
    st.builds("({} = {}) = {}".format, URI, TEXT, st.sampled_from(["TRUE", "FALSE"])),
    st.builds("({} IS NULL) = {}".format, URI, st.sampled_from(["TRUE", "FALSE"])),
    st.builds("LENGTH({}) / {} > 0".format, URI, st.sampled_from(["0", "1", "LENGTH(uri)"])),
    st.builds("{} = 'n'".format, TEXT),
)
QUERIES: Final = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds("NOT ({})".format, inner),
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["AND", "OR"]), inner),
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def twins() -> Any:
    """Twice the same artifact, in a context each: with an empty uri, and without one."""
    store = open_store("memory://")
    store.put_type(Type("artifact", "Data", {"t": "STRING"}))
    store.put_type(Type("context", "Group"))
    nodes: list[Artifact | Context] = []
    for uid, uri in (("empty", ""), ("none", None)):
        nodes.append(Artifact(type="Data", name=None, uri=uri, uid=uid, properties={"t": "B"}))
        nodes.append(Context(type="Group", name=f"of {uid}", uid=f"of {uid}"))
    edges = [("of empty", "empty"), ("of none", "none")]
    store.write(Change([Put(n) for n in nodes], attributions=edges))
    yield store
    store.close()


@given(QUERIES)
def test_a_uri_that_is_not_given_is_answered_as_the_empty_one(twins: MetadataStore, query: str) -> None:
    as_written = query.replace("LIKE", "ILIKE")
    expected = {n.uid for n in twins.find_nodes("artifact", matching=as_written).nodes}
    asked = {n.uid for n in twins.find_nodes("artifact", matching=read_filter(query, "artifact")).nodes}
    assert asked == ({"empty", "none"} if "empty" in expected else set())


@given(QUERIES.filter(lambda q: "name" not in q and "properties" not in q))
def test_so_is_one_of_a_neighbour(twins: MetadataStore, query: str) -> None:
    query = query.replace("URI", "uri").replace("uri", "artifacts_a.uri")
    expected = {n.uid for n in twins.find_nodes("context", matching=query.replace("LIKE", "ILIKE")).nodes}
    asked = {n.uid for n in twins.find_nodes("context", matching=read_filter(query, "context")).nodes}
    assert asked == ({"of empty", "of none"} if "of empty" in expected else set())


def test_few_nodes_are_asked_with_their_ids() -> None:
    assert among("name = 'a' OR name = 'b'", [1]) == "id IN (1) AND (name = 'a' OR name = 'b')"
