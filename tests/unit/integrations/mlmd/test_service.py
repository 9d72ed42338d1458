"""What the service answers, on each store: the same as ML Metadata 1.17.1 was seen to answer."""

from __future__ import annotations

import time

import pytest

from tests.unit.integrations.mlmd.calls import Client, pb
from whence.integrations.mlmd.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    UnimplementedError,
)
from whence.integrations.mlmd.messages import request_class


def test_types_are_kept_extended_and_found(client: Client) -> None:
    data, _, _ = client.types()
    assert data == 10  # the nine simple types come first
    wide = pb.ArtifactType(name="Data", properties={"new": pb.INT})
    with pytest.raises(AlreadyExistsError, match="can_add_fields is false"):
        client.PutArtifactType(artifact_type=wide, can_omit_fields=True)
    with pytest.raises(AlreadyExistsError, match="can_omit_fields is false"):
        client.PutArtifactType(artifact_type=wide, can_add_fields=True)
    assert (
        client.PutArtifactType(artifact_type=wide, can_add_fields=True, can_omit_fields=True).type_id == data
    )
    with pytest.raises(AlreadyExistsError, match="Conflicting property value type"):
        client.PutArtifactType(
            artifact_type=pb.ArtifactType(name="Data", properties={"i": pb.STRING}), can_omit_fields=True
        )
    found = client.GetArtifactType(type_name="Data").artifact_type
    assert found.properties["new"] == pb.INT
    assert [t.name for t in client.GetArtifactTypes().artifact_types] == ["Data"]
    assert [t.name for t in client.GetArtifactTypesByID(type_ids=[1, data, 99]).artifact_types] == [
        "mlmd.Dataset",
        "Data",
    ]
    with pytest.raises(NotFoundError, match="No type found for query, name: `No`"):
        client.GetArtifactType(type_name="No")


def test_types_have_versions_bases_and_rules(client: Client) -> None:
    one = client.PutArtifactType(
        artifact_type={"name": "T", "version": "1", "base_type": pb.ArtifactType.MODEL}
    ).type_id
    assert client.PutArtifactType(artifact_type={"name": "T", "version": "2"}).type_id != one
    assert (
        client.GetArtifactType(type_name="T", type_version="1").artifact_type.base_type
        == pb.ArtifactType.MODEL
    )
    for bad in ({"name": ""}, {"name": "U", "properties": {"a": pb.UNKNOWN}}):
        with pytest.raises(InvalidArgumentError):
            client.PutArtifactType(artifact_type=bad)
    with pytest.raises(InvalidArgumentError):
        client.PutArtifactType()
    for base in (pb.ArtifactType.UNSET, pb.ArtifactType.DATASET):
        with pytest.raises(UnimplementedError, match="base_type"):
            client.PutArtifactType(artifact_type={"name": "T", "version": "1", "base_type": base})
    client.PutArtifactType(artifact_type={"name": "T", "version": "2", "base_type": pb.ArtifactType.METRICS})
    assert (
        client.GetArtifactType(type_name="T", type_version="2").artifact_type.base_type
        == pb.ArtifactType.METRICS
    )
    with pytest.raises(UnimplementedError, match="all fields"):
        client.PutArtifactType(artifact_type={"name": "E"}, all_fields_match=False)


def test_types_have_external_ids_and_execution_types_say_what_they_read(client: Client) -> None:
    one = client.PutArtifactType(artifact_type={"name": "E", "external_id": "x", "description": "d"}).type_id
    for again in ({"name": "E"}, {"name": "E", "external_id": ""}):
        assert client.PutArtifactType(artifact_type=again).type_id == one
        assert client.GetArtifactType(type_name="E").artifact_type.external_id == "x"
    client.PutArtifactType(artifact_type={"name": "E", "external_id": "y", "description": "later"})
    found = client.GetArtifactTypesByExternalIds(external_ids=["y", "no"]).artifact_types
    assert [(t.id, t.external_id, t.description) for t in found] == [(one, "y", "d")]
    with pytest.raises(AlreadyExistsError):
        client.PutArtifactType(artifact_type={"name": "F", "external_id": "y"})
    for wrong, error in (([""], InvalidArgumentError), (["no"], NotFoundError)):
        with pytest.raises(error):
            client.GetArtifactTypesByExternalIds(external_ids=wrong)
    assert not client.GetArtifactTypesByExternalIds().artifact_types
    reads = pb.ArtifactStructType()
    reads.dict.properties["a"].union_type.candidates.add().simple.name = "E"
    reads.dict.properties["b"].any.SetInParent()
    writes = pb.ArtifactStructType(none={})
    for given in (reads, pb.ArtifactStructType(simple={"name": "E"})):  # what is stored first stays
        client.PutExecutionType(execution_type={"name": "X", "input_type": given, "output_type": writes})
        found = client.GetExecutionType(type_name="X").execution_type
        assert (found.input_type, found.output_type) == (reads, writes)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({}, InvalidArgumentError, "Type id is missing"),
        ({"type_id": 99}, NotFoundError, "Cannot find type for type_id: 99"),
        ({"type_id": 11}, NotFoundError, "Cannot find type for type_id: 11"),
        ({"id": 99, "type_id": 10}, InvalidArgumentError, "Cannot find the given id 99"),
        ({"type_id": 10, "properties": {"q": {"int_value": 1}}}, InvalidArgumentError, "Found unknown property"),
        ({"type_id": 10, "properties": {"i": {"string_value": "1"}}}, InvalidArgumentError, "Found unmatched property type: i"),
        ({"type_id": 10, "properties": {"d": {"int_value": 1}}}, InvalidArgumentError, "Found unmatched property type: d"),
        ({"type_id": 10, "properties": {"i": {}}}, InvalidArgumentError, "Found unmatched property type"),
        ({"type_id": 10, "custom_properties": {"i": {}}}, InvalidArgumentError, "Found unmatched property type"),
        ({"type_id": 10, "name": "taken"}, AlreadyExistsError, "taken"),
    ],
)  # fmt: skip
def test_a_wrong_node_is_refused_and_nothing_changes(
    client: Client, fields: dict[str, object], error: type[Exception], message: str
) -> None:
    client.types()
    client.PutArtifacts(artifacts=[{"type_id": 10, "name": "taken"}])
    with pytest.raises(error, match=message):
        client.PutArtifacts(artifacts=[{"type_id": 10, "name": "fine"}, fields])
    assert [a.name for a in client.GetArtifacts().artifacts] == ["taken"]


def test_an_update_replaces_what_is_stored(client: Client) -> None:
    data, run, _ = client.types()
    (id_,) = client.PutArtifacts(
        artifacts=[
            {
                "type_id": data,
                "name": "n",
                "uri": "u",
                "state": pb.Artifact.LIVE,
                "properties": {"i": {"int_value": 1}, "s": {"string_value": "x"}},
                "custom_properties": {"c": {"bool_value": True}},
            }
        ]
    ).artifact_ids
    client.PutArtifacts(artifacts=[{"id": id_, "name": "other", "properties": {"s": {"string_value": "y"}}}])
    after = client.artifact(id_)
    assert (after.name, after.uri, after.state) == ("n", "", pb.Artifact.UNKNOWN)
    assert {k: v.string_value for k, v in after.properties.items()} == {"s": "y"}
    assert not after.custom_properties
    with pytest.raises(InvalidArgumentError, match="different from the one known before"):
        client.PutArtifacts(artifacts=[{"id": id_, "type_id": run}])


def test_an_external_id_is_given_replaced_and_taken_away(client: Client) -> None:
    data, run, group = client.types()
    (a,) = client.PutArtifacts(artifacts=[{"type_id": data, "external_id": "x"}]).artifact_ids
    for given, mask, want in (
        ("y", [], "y"),
        ("z", ["uri"], "y"),
        ("z", ["external_id"], "z"),
        ("", ["external_id"], ""),
        ("again", [], "again"),
        ("", [], ""),
    ):
        client.PutArtifacts(artifacts=[{"id": a, "external_id": given}], update_mask={"paths": mask})
        assert client.artifact(a).external_id == want
    (x,) = client.PutExecutions(executions=[{"type_id": run, "external_id": "x"}]).execution_ids
    client.PutExecutions(executions=[{"id": x}])
    assert not client.GetExecutionsByID(execution_ids=[x]).executions[0].external_id
    (c,) = client.PutContexts(contexts=[{"type_id": group, "name": "c", "external_id": "x"}]).context_ids
    client.PutContexts(contexts=[{"id": c, "name": "d"}])
    assert not client.GetContextsByID(context_ids=[c]).contexts[0].external_id


def test_one_call_may_update_a_node_twice(client: Client) -> None:
    data, _, _ = client.types()
    (a,) = client.PutArtifacts(artifacts=[{"type_id": data}]).artifact_ids
    done = client.PutArtifacts(artifacts=[{"id": a, "uri": "1"}, {"id": a, "uri": "2"}])
    assert list(done.artifact_ids) == [a, a]
    assert client.artifact(a).uri == "2"


def test_an_artifact_without_a_uri_has_the_empty_one(client: Client) -> None:
    data, _, _ = client.types()
    ids = client.PutArtifacts(artifacts=[{"type_id": data}, {"type_id": data, "uri": ""}]).artifact_ids
    found = client.GetArtifactsByURI(uris=[""]).artifacts
    assert [(a.id, a.HasField("uri")) for a in found] == [(i, True) for i in ids]


def test_a_mask_replaces_what_it_names(client: Client) -> None:
    data, _, _ = client.types()
    props = {"i": {"int_value": 1}, "s": {"string_value": "x"}}
    (id_,) = client.PutArtifacts(artifacts=[{"type_id": data, "uri": "u", "properties": props}]).artifact_ids
    change = {"id": id_, "uri": "v", "state": pb.Artifact.LIVE, "properties": {"i": {"int_value": 5}}}
    client.PutArtifacts(artifacts=[change], update_mask={"paths": ["uri", "nothing.such"]})
    assert (client.artifact(id_).uri, client.artifact(id_).state) == ("v", pb.Artifact.UNKNOWN)
    client.PutArtifacts(artifacts=[change], update_mask={"paths": ["properties.i", "properties.s", "state"]})
    after = client.artifact(id_)
    assert (dict(after.properties), after.state) == ({"i": pb.Value(int_value=5)}, pb.Artifact.LIVE)
    client.PutArtifacts(artifacts=[{"id": id_}], update_mask={"paths": ["properties"]})
    assert not client.artifact(id_).properties
    assert client.artifact(id_).uri == "v"


def test_times_move_only_with_changes_and_guard_updates(client: Client) -> None:
    data, _, _ = client.types()
    (id_,) = client.PutArtifacts(artifacts=[{"type_id": data, "uri": "u"}]).artifact_ids
    first = client.artifact(id_)
    while time.time_ns() // 1_000_000 <= first.last_update_time_since_epoch:
        pass
    client.PutArtifacts(artifacts=[first])
    assert client.artifact(id_) == first
    first.uri = "w"
    guarded = {"options": {"abort_if_latest_updated_time_changed": True}}
    client.PutArtifacts(artifacts=[first], **guarded)
    assert client.artifact(id_).last_update_time_since_epoch > first.last_update_time_since_epoch
    first.uri = "z"
    with pytest.raises(FailedPreconditionError, match="different last_update_time_since_epoch"):
        client.PutArtifacts(artifacts=[first], **guarded)
    assert client.artifact(id_).uri == "w"


def test_nodes_are_found_by_each_of_their_names(client: Client) -> None:
    data, run, group = client.types()
    client.PutArtifacts(
        artifacts=[
            {"type_id": data, "name": "a", "uri": "u", "external_id": "A"},
            {"type_id": data, "uri": "u"},
        ]
    )
    client.PutExecutions(
        executions=[
            {"type_id": run, "name": "x", "external_id": "X", "last_known_state": pb.Execution.RUNNING}
        ]
    )
    client.PutContexts(contexts=[{"type_id": group, "name": "c", "external_id": "C"}])
    assert client.GetArtifactByTypeAndName(type_name="Data", artifact_name="a").artifact.external_id == "A"
    assert not client.GetArtifactByTypeAndName(type_name="Data", artifact_name="b").HasField("artifact")
    assert (
        client.GetExecutionByTypeAndName(type_name="Run", execution_name="x").execution.last_known_state
        == pb.Execution.RUNNING
    )
    assert client.GetContextByTypeAndName(type_name="Group", context_name="c").context.name == "c"
    assert len(client.GetArtifactsByURI(uris=["u", "u", "no"]).artifacts) == 2
    assert [a.name for a in client.GetArtifactsByExternalIds(external_ids=["A", "no"]).artifacts] == ["a"]
    assert [a.id for a in client.GetArtifactsByType(type_name="Data").artifacts] == [1, 2]
    assert not client.GetArtifactsByType(type_name="Data", type_version="9").artifacts
    assert not client.GetExecutionsByType(type_name="No").executions
    found = client.GetArtifactsByID(artifact_ids=[2, 1, 2, 77], populate_artifact_types=True)
    assert ([a.id for a in found.artifacts], [t.name for t in found.artifact_types]) == ([1, 2], ["Data"])
    for wrong, error in (([""], InvalidArgumentError), (["no"], NotFoundError)):
        with pytest.raises(error):
            client.GetExecutionsByExternalIds(external_ids=wrong)
    with pytest.raises(InvalidArgumentError, match="name should not be empty"):
        client.PutContexts(contexts=[{"type_id": group}])


def test_events_are_written_once(client: Client) -> None:
    data, run, _ = client.types()
    (a,) = client.PutArtifacts(artifacts=[{"type_id": data}]).artifact_ids
    (x,) = client.PutExecutions(executions=[{"type_id": run}]).execution_ids
    path = {"steps": [{"key": "rows"}, {"index": 2}]}
    event = pb.Event(
        artifact_id=a, execution_id=x, type=pb.Event.INPUT, path=path, milliseconds_since_epoch=5
    )
    client.PutEvents(events=[event, {"artifact_id": a, "execution_id": x, "type": pb.Event.INTERNAL_OUTPUT}])
    stored = client.GetEventsByArtifactIDs(artifact_ids=[a]).events
    assert stored[0] == event
    assert list(client.GetEventsByExecutionIDs(execution_ids=[x, 99]).events) == list(stored)
    for again in (
        [{"artifact_id": a, "execution_id": x, "type": pb.Event.INPUT}],
        [{"artifact_id": a, "execution_id": x, "type": 4}] * 2,
    ):
        with pytest.raises(AlreadyExistsError, match="event-taken"):
            client.PutEvents(events=again)
    for bad, message in (
        ({"artifact_id": a, "execution_id": x}, "No event type"),
        ({"execution_id": x, "type": 3}, "No artifact id"),
        ({"artifact_id": a, "type": 3}, "No execution id"),
        ({"artifact_id": 99, "execution_id": x, "type": 3}, "No artifact with the given id 99"),
        ({"artifact_id": a, "execution_id": 99, "type": 3}, "No execution with the given id 99"),
        (
            {"artifact_id": a, "execution_id": x, "type": 4, "milliseconds_since_epoch": 2**62},
            "milliseconds_since_epoch is no date",
        ),
        (
            {"artifact_id": a, "execution_id": x, "type": 4, "path": {"steps": [{}]}},
            "neither an index nor a key",
        ),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            client.PutEvents(events=[bad])
    assert len(client.GetEventsByExecutionIDs(execution_ids=[x]).events) == 2


def test_contexts_hold_nodes_and_contexts(client: Client) -> None:
    data, run, group = client.types()
    (a,) = client.PutArtifacts(artifacts=[{"type_id": data}]).artifact_ids
    (x,) = client.PutExecutions(executions=[{"type_id": run}]).execution_ids
    c, d = client.PutContexts(contexts=[{"type_id": group, "name": n} for n in "cd"]).context_ids
    for _ in range(2):
        client.PutAttributionsAndAssociations(
            attributions=[{"artifact_id": a, "context_id": c}],
            associations=[{"execution_id": x, "context_id": c}],
        )
    assert [n.id for n in client.GetContextsByArtifact(artifact_id=a).contexts] == [c]
    assert [n.id for n in client.GetContextsByExecution(execution_id=x).contexts] == [c]
    assert [n.id for n in client.GetArtifactsByContext(context_id=c).artifacts] == [a]
    assert [n.id for n in client.GetExecutionsByContext(context_id=c).executions] == [x]
    assert not client.GetArtifactsByContext(context_id=99).artifacts
    for method, field in (
        ("GetContextsByArtifact", "artifact_id"),
        ("GetContextsByExecution", "execution_id"),
    ):
        with pytest.raises(NotFoundError, match="No contexts found"):
            getattr(client, method)(**{field: 99})
    for bad in ({"artifact_id": 99, "context_id": c}, {"artifact_id": a, "context_id": 99}):
        with pytest.raises(InvalidArgumentError, match="id not found"):
            client.PutAttributionsAndAssociations(attributions=[bad])
    pair = {"child_id": d, "parent_id": c}
    client.PutParentContexts(parent_contexts=[pair])
    assert [n.id for n in client.GetParentContextsByContext(context_id=d).contexts] == [c]
    assert [n.id for n in client.GetChildrenContextsByContext(context_id=c).contexts] == [d]
    assert [
        n.id for n in client.GetParentContextsByContexts(context_ids=[c, d, 99]).contexts[d].parent_contexts
    ] == [c]
    children = client.GetChildrenContextsByContexts(context_ids=[c, d]).contexts
    assert {k: [n.id for n in v.children_contexts] for k, v in children.items()} == {c: [d]}
    with pytest.raises(AlreadyExistsError):
        client.PutParentContexts(parent_contexts=[pair])
    for bad in (
        {"child_id": c, "parent_id": d},
        {"child_id": c, "parent_id": c},
        {"child_id": c, "parent_id": 99},
        {"child_id": c},
    ):
        with pytest.raises(InvalidArgumentError):
            client.PutParentContexts(parent_contexts=[bad])


def test_an_execution_is_put_whole_or_not_at_all(client: Client) -> None:
    data, run, group = client.types()
    done = client.PutExecution(
        execution={"type_id": run},
        artifact_event_pairs=[
            {"artifact": {"type_id": data, "name": "in"}, "event": {"type": pb.Event.INPUT}},
            {"artifact": {"type_id": data, "name": "out"}},
        ],
        contexts=[{"type_id": group, "name": "c"}],
    )
    assert len(done.artifact_ids) == 2
    (c,) = done.context_ids
    assert [a.id for a in client.GetArtifactsByContext(context_id=c).artifacts] == list(done.artifact_ids)
    with pytest.raises(AlreadyExistsError):
        client.PutExecution(execution={"type_id": run}, contexts=[{"type_id": group, "name": "c"}])
    again = client.PutExecution(
        execution={"type_id": run},
        artifact_event_pairs=[{"event": {"type": 3, "artifact_id": done.artifact_ids[0]}}],
        contexts=[{"type_id": group, "name": "c"}],
        options={"reuse_context_if_already_exist": True},
    )
    assert list(again.context_ids) == [c]
    kept = client.PutExecution(
        execution={"type_id": run},
        contexts=[{"id": c, "type_id": group, "name": "renamed"}],
        options={"force_reuse_context": True},
    )
    assert list(kept.context_ids) == [c]
    assert client.GetContextsByID(context_ids=[c]).contexts[0].name == "c"
    n_runs = len(client.GetExecutions().executions)
    a = done.artifact_ids[0]
    for pairs in (
        [{"artifact": {"id": a}, "event": {"type": 3, "artifact_id": 99}}],
        [{"artifact": {"id": a}, "event": {"type": 3, "execution_id": 99}}],
        [{"event": {"type": 3}}],
        [{"event": {"type": 3, "artifact_id": 99}}],
    ):
        with pytest.raises(InvalidArgumentError):
            client.PutExecution(execution={"type_id": run}, artifact_event_pairs=pairs)
    with pytest.raises(InvalidArgumentError, match="No execution is found"):
        client.PutExecution()
    assert len(client.GetExecutions().executions) == n_runs


def test_a_piece_of_the_graph_is_put_whole(client: Client) -> None:
    data, run, group = client.types()
    done = client.PutLineageSubgraph(
        executions=[{"type_id": run}],
        artifacts=[{"type_id": data, "external_id": "A", "uri": "1"}],
        contexts=[{"type_id": group, "name": "c"}],
        event_edges=[{"execution_index": 0, "artifact_index": 0, "event": {"type": pb.Event.OUTPUT}}],
    )
    again = client.PutLineageSubgraph(
        executions=[{"type_id": run}],
        artifacts=[{"type_id": data, "external_id": "A", "uri": "2"}],
        contexts=[{"type_id": group, "name": "c"}],
        event_edges=[
            {"execution_index": 0, "event": {"type": pb.Event.INPUT, "artifact_id": done.artifact_ids[0]}}
        ],
        options={
            "reuse_context_if_already_exist": True,
            "reuse_artifact_if_already_exist_by_external_id": True,
        },
    )
    assert (again.artifact_ids, again.context_ids) == (done.artifact_ids, done.context_ids)
    assert client.artifact(done.artifact_ids[0]).uri == "2"
    with pytest.raises(OutOfRangeError, match="outside the bounds"):
        client.PutLineageSubgraph(event_edges=[{"execution_index": 0, "event": {"type": 3}}])
    node = done.artifact_ids[0]
    for edge in (
        {"event": {"type": 3}},
        {"execution_index": 0},
        {
            "execution_index": 0,
            "event": {"type": 3, "artifact_id": node, "execution_id": done.execution_ids[0]},
        },
    ):
        with pytest.raises(InvalidArgumentError):
            client.PutLineageSubgraph(executions=[{"type_id": run}], event_edges=[edge])


def test_text_that_is_no_utf_8_is_refused_wherever_it_stands(client: Client) -> None:
    data, _, _ = client.types()
    artifact = pb.Artifact(type_id=data, name="n", custom_properties={"AAAA": pb.Value(string_value="s")})
    for part in (b"AAAA", b"s"):
        request = request_class("PutArtifacts")(artifacts=[artifact])
        wire = request.SerializeToString().replace(part, b"\xff" * len(part))
        with pytest.raises(InvalidArgumentError, match="is not UTF-8"):
            client.service.call("PutArtifacts", request_class("PutArtifacts").FromString(wire))
    asked = (
        request_class("GetArtifactsByURI")(uris=["AAAA"])
        .SerializeToString()
        .replace(b"AAAA", b"\xff\xff\xff\xff")
    )
    with pytest.raises(InvalidArgumentError, match="text of uris is not UTF-8"):
        client.service.call("GetArtifactsByURI", request_class("GetArtifactsByURI").FromString(asked))
    assert not client.GetArtifacts().artifacts


def test_a_method_that_is_not_answered_says_so(client: Client) -> None:
    with pytest.raises(UnimplementedError, match="GetLineageSubgraph"):
        client.GetLineageGraph()
