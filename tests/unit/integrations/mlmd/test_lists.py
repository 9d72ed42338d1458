"""Lists in pages, and lineage: every node once, in order, whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.unit.integrations.mlmd.calls import Client, pb
from whence.integrations.mlmd import paging
from whence.integrations.mlmd.errors import InvalidArgumentError, NotFoundError
from whence.integrations.mlmd.service import MlmdService
from whence.metadata import open_store

Order = pb.ListOperationOptions.OrderByField


def pages(client: Client, **options: object) -> list[list[int]]:
    out, token = [], ""
    while True:
        asked = {**options, "next_page_token": token} if token else options
        page = client.GetArtifacts(options=asked)
        out.append([a.id for a in page.artifacts])
        token = page.next_page_token
        if not token:
            return out


@pytest.mark.parametrize("field", [Order.ID, Order.CREATE_TIME, Order.LAST_UPDATE_TIME])
@pytest.mark.parametrize("is_asc", [True, False])
def test_pages_hold_every_node_once(client: Client, field: int, *, is_asc: bool) -> None:
    data, _, _ = client.types()
    ids = list(client.PutArtifacts(artifacts=[{"type_id": data} for _ in range(7)]).artifact_ids)
    found = pages(client, max_result_size=3, order_by_field={"field": field, "is_asc": is_asc})
    assert [len(p) for p in found] == [3, 3, 1]
    assert [i for p in found for i in p] == (ids if is_asc else ids[::-1])


def test_the_size_has_a_default_and_a_least(client: Client) -> None:
    data, _, _ = client.types()
    client.PutArtifacts(artifacts=[{"type_id": data} for _ in range(45)])
    assert [len(p) for p in pages(client, filter_query="type = 'Data'")] == [20, 20, 5]
    assert len(client.GetArtifacts().artifacts) == 45
    assert len(client.GetArtifacts(options={"max_result_size": 1000}).artifacts) == 45
    for size in (0, -1):
        with pytest.raises(InvalidArgumentError, match=f"Set value:{size}"):
            client.GetArtifacts(options={"max_result_size": size})


def test_a_token_belongs_to_its_options(client: Client) -> None:
    data, _, _ = client.types()
    client.PutArtifacts(artifacts=[{"type_id": data} for _ in range(5)])
    token = client.GetArtifacts(options={"max_result_size": 2}).next_page_token
    fewer = client.GetArtifacts(options={"max_result_size": 1, "next_page_token": token})
    assert [a.id for a in fewer.artifacts] == [3]
    with pytest.raises(InvalidArgumentError, match="mismatch between calls"):
        client.GetArtifacts(options={"next_page_token": token, "order_by_field": {"is_asc": False}})
    for bad in ("zzz", "\u00e9", "", "AAAA"):
        if bad:
            with pytest.raises(InvalidArgumentError, match="next_page_token"):
                client.GetArtifacts(options={"next_page_token": bad})


def test_an_answer_is_cut_before_it_is_too_large(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MAX_ANSWER_BYTES", 1_000)
    data, _, _ = client.types()
    sizes = [10, 400, 400, 400, 5_000, 10, 10]
    client.PutArtifacts(artifacts=[{"type_id": data, "uri": "u" * n} for n in sizes])
    first = client.GetArtifacts()
    assert [a.id for a in first.artifacts] == [1, 2, 3]
    found, token = [a.id for a in first.artifacts], first.next_page_token
    while token:
        page = client.GetArtifacts(options={"next_page_token": token})
        assert page.artifacts
        found += [a.id for a in page.artifacts]
        token = page.next_page_token
    assert found == [1, 2, 3, 4, 5, 6, 7]
    whole = client.GetArtifactsByType(type_name="Data")
    assert (len(whole.artifacts), whole.next_page_token) == (7, "")


def chain() -> tuple[Client, list[int], list[int]]:
    """a0 -> x0 -> a1 -> x1 -> a2 -> x2 -> a3, all in one context."""
    client = Client(MlmdService(open_store("memory://")))
    data, run, group = client.types()
    done = client.PutLineageSubgraph(
        executions=[{"type_id": run, "name": f"x{i}"} for i in range(3)],
        artifacts=[{"type_id": data, "name": f"a{i}"} for i in range(4)],
        contexts=[{"type_id": group, "name": "all"}],
        event_edges=[
            edge
            for i in range(3)
            for edge in (
                {"execution_index": i, "artifact_index": i, "event": {"type": pb.Event.INPUT}},
                {"execution_index": i, "artifact_index": i + 1, "event": {"type": pb.Event.OUTPUT}},
            )
        ],
    )
    return client, list(done.artifact_ids), list(done.execution_ids)


def walk(client: Client, options: Mapping[str, object], *paths: str) -> tuple[str, str, int]:
    graph = client.GetLineageSubgraph(
        lineage_subgraph_query_options=options, read_mask={"paths": paths}
    ).lineage_subgraph
    names = {a.id: a.name for a in client.GetArtifacts().artifacts} | {
        x.id: x.name for x in client.GetExecutions().executions
    }
    return (
        " ".join(sorted(names[n.id] for n in graph.artifacts)),
        " ".join(sorted(names[n.id] for n in graph.executions)),
        len(graph.events),
    )


def test_lineage_goes_as_far_as_it_is_asked() -> None:
    client, artifacts, executions = chain()
    start = {"filter_query": f"id = {artifacts[2]}"}
    base = {"starting_artifacts": start}
    up, down = pb.LineageSubgraphQueryOptions.UPSTREAM, pb.LineageSubgraphQueryOptions.DOWNSTREAM
    assert walk(client, base) == ("a0 a1 a2 a3", "x0 x1 x2", 6)
    assert walk(client, {**base, "direction": up}) == ("a0 a1 a2", "x0 x1", 4)
    assert walk(client, {**base, "direction": down}) == ("a2 a3", "x2", 2)
    assert walk(client, {**base, "direction": up, "max_num_hops": 1}) == ("a2", "x1", 1)
    assert walk(client, {**base, "max_num_hops": 0}) == ("a2", "", 0)
    runs = {"starting_executions": {"filter_query": f"id = {executions[0]}"}}
    assert walk(client, {**runs, "direction": down, "max_num_hops": 1}) == ("a1", "x0", 1)
    end: dict[str, object] = {"filter_query": "name = 'x1'", "include_ending_nodes": True}
    assert walk(client, {**base, "direction": up, "ending_executions": end}) == ("a2", "x1", 1)
    assert walk(
        client, {**base, "direction": up, "ending_executions": {**end, "include_ending_nodes": False}}
    ) == ("a2", "", 0)
    group: dict[str, object] = {"filter_query": "contexts_a.name = 'all' AND NOT uri = 'x'"}
    assert walk(client, {**base, "ending_artifacts": group}) == ("", "", 0)
    some: dict[str, object] = {"filter_query": "name IN ('a1', 'a3')", "include_ending_nodes": True}
    assert walk(client, {**base, "ending_artifacts": some}) == ("a1 a2 a3", "x1 x2", 4)
    assert walk(client, base, "artifacts") == ("a0 a1 a2 a3", "", 0)


def test_lineage_brings_contexts_members_and_types() -> None:
    client, artifacts, executions = chain()
    asked = {"starting_artifacts": {"filter_query": f"id = {artifacts[0]}"}, "max_num_hops": 1}
    graph = client.GetLineageSubgraph(lineage_subgraph_query_options=asked).lineage_subgraph
    assert len(graph.contexts) == 1
    assert [p.artifact_id for p in graph.attributions] == [artifacts[0]]
    assert [p.execution_id for p in graph.associations] == [executions[0]]
    assert {"Data", "mlmd.Model"} <= {t.name for t in graph.artifact_types}
    for wrong, error in (
        ({}, InvalidArgumentError),
        ({"starting_artifacts": {}}, InvalidArgumentError),
        ({"starting_artifacts": {"filter_query": "id = 1"}, "max_num_hops": -1}, InvalidArgumentError),
        ({"starting_artifacts": {"filter_query": "id ="}}, InvalidArgumentError),
        (
            {
                "starting_artifacts": {"filter_query": "id = 1"},
                "ending_executions": {"filter_query": "uri = 'x'"},
            },
            InvalidArgumentError,
        ),
        ({"starting_artifacts": {"filter_query": "id = 999"}}, NotFoundError),
    ):
        with pytest.raises(error):
            client.GetLineageSubgraph(lineage_subgraph_query_options=wrong)
