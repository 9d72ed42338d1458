"""A client of one namespace sees and changes nothing of another, whatever it calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.integrations.mlmd.calls import Client, pb
from whence.integrations.mlmd.errors import PermissionDeniedError, StatusError
from whence.integrations.mlmd.messages import METHODS, request_class
from whence.integrations.mlmd.service import MlmdService
from whence.metadata import Change, Event, MetadataStore
from whence.metadata.ids import wire_id

SECRET = "SECRET"


@pytest.fixture
def both(store: MetadataStore) -> tuple[Client, Client]:
    """Two namespaces with the same graph, and edges from each to the other, that only whence itself can make."""
    clients = []
    for name, mark in (("team a", "open"), ("team b", SECRET)):
        client = Client(MlmdService(store.in_namespace(name, create=True)))
        fill(client, mark)
        clients.append(client)
    (a, b) = (
        {
            kind: [n for n in store.all_nodes(kind) if n.namespace == name]
            for kind in ("artifact", "execution", "context")
        }
        for name in ("team a", "team b")
    )
    store.write(
        Change(
            events=[
                Event(a["execution"][0].uid, b["artifact"][0].uid, "INPUT"),
                Event(b["execution"][0].uid, a["artifact"][1].uid, "INPUT"),
            ],
            attributions=[(b["context"][0].uid, a["artifact"][0].uid)],
            associations=[(b["context"][0].uid, a["execution"][0].uid)],
            parents=[
                (a["context"][0].uid, b["context"][1].uid),
                (b["context"][0].uid, a["context"][1].uid),
            ],
        )
    )
    return clients[0], clients[1]


def fill(client: Client, mark: str) -> None:
    """raw → run → model in a context with a parent; everything says `mark`."""
    data, run, group = client.types()
    said = {"custom_properties": {"k": {"string_value": mark}}}
    raw = {"type_id": data, "name": f"raw {mark}", "uri": f"/{mark}", "external_id": f"x {mark}", **said}
    model = {"type_id": data, "name": f"model {mark}", **said}
    done = client.PutExecution(
        execution={"type_id": run, "name": f"run {mark}", "external_id": f"e {mark}", **said},
        artifact_event_pairs=[
            {"artifact": raw, "event": {"type": pb.Event.INPUT}},
            {"artifact": model, "event": {"type": pb.Event.OUTPUT}},
        ],
        contexts=[{"type_id": group, "name": f"group {mark}", "external_id": f"c {mark}", **said}],
    )
    (above,) = client.PutContexts(contexts=[{"type_id": group, "name": f"above {mark}", **said}]).context_ids
    client.PutParentContexts(parent_contexts=[{"child_id": done.context_ids[0], "parent_id": above}])


def ids_of(store: MetadataStore, namespace: str) -> dict[str, set[int]]:
    """The wire ids of a namespace, by kind."""
    return {
        kind: {wire_id(n.id or 0) for n in store.all_nodes(kind) if n.namespace == namespace}
        for kind in ("artifact", "execution", "context")
    }


TEXTS = ["Data", "Run", "Group", *(f"{what} {SECRET}" for what in ("raw", "model", "run", "group", "above", "x", "e", "c")), f"/{SECRET}"]  # fmt: skip
FILTERS = ["", f"name LIKE '%{SECRET}%'", "id > 0", "custom_properties.k.string_value != ''"]


def requests(method: str, n_ids: int) -> Iterator[Any]:
    """Requests of a method that name every id and every text there is."""
    made = request_class(method)
    fields = [f for f in made.DESCRIPTOR.fields if f.name != "transaction_options"]
    choices: list[list[Any]] = []
    for field in fields:
        repeated = getattr(field, "is_repeated", None)
        if repeated is None:
            repeated = field.label == field.LABEL_REPEATED
        numbers = list(range(1, n_ids + 1))
        if field.message_type is not None:
            choices.append([None])
        elif field.cpp_type == field.CPPTYPE_STRING:
            choices.append([TEXTS] if repeated else TEXTS if "version" not in field.name else [""])
        elif field.cpp_type == field.CPPTYPE_BOOL:
            choices.append([True])
        else:
            choices.append([numbers] if repeated else numbers)
    rows: list[dict[str, Any]] = [{}]
    for field, given in zip(fields, choices, strict=True):
        rows = [{**row, field.name: value} for row in rows for value in given if value is not None] or rows
    if "Lineage" in method:
        rows = [
            {"lineage_subgraph_query_options": {f"starting_{kind}s": {"filter_query": filter_}, "direction": way}}
            for kind in ("artifact", "execution")
            for filter_ in FILTERS[1:]
            for way in (1, 2, 3)
        ] + [
            {"lineage_subgraph_query_options": {"starting_artifacts": {"filter_query": "id > 0"}, "ending_executions": {"filter_query": "name = 'none'"}}}
        ]  # fmt: skip
    elif any(f.name == "options" for f in fields):
        rows = [{**row, "options": {"filter_query": filter_}} for row in rows for filter_ in FILTERS]
    yield from rows


@pytest.mark.parametrize("method", [name for name in METHODS if name.startswith("Get") and "Type" not in name[-8:] and name != "GetLineageGraph"])  # fmt: skip
def test_nothing_is_read(store: MetadataStore, both: tuple[Client, Client], method: str) -> None:
    mine, theirs = ids_of(store, "team a"), ids_of(store, "team b")
    n_ids = max(map(max, theirs.values()))
    answers = 0
    for request in requests(method, n_ids):
        try:
            response = getattr(both[0], method)(**request)
        except StatusError:
            continue
        said = str(response)
        assert SECRET not in said, request
        answers += bool(said)
        for kind, ids in seen(response).items():
            assert ids <= mine[kind], (request, kind, ids - mine[kind])
    if not any(word in method for word in ("External", "Name", "URI", "Types")):
        assert answers  # its own nodes are there


def seen(response: Any) -> dict[str, set[int]]:
    """The ids in a response, by kind."""
    out: dict[str, set[int]] = {"artifact": set(), "execution": set(), "context": set()}

    def look(message: Any) -> None:
        name = message.DESCRIPTOR.name
        for field, value in message.ListFields():
            if field.name == "id" and name.lower() in out:
                out[name.lower()].add(value)
            elif field.name in {"artifact_id", "execution_id", "context_id"}:
                out[field.name.removesuffix("_id")].add(value)
            elif field.message_type is not None and field.name != "custom_properties":
                entries = value.values() if hasattr(value, "values") else value if hasattr(value, "__len__") else [value]  # fmt: skip
                for entry in entries:
                    if hasattr(entry, "DESCRIPTOR"):
                        look(entry)

    look(response)
    return out


def test_nothing_is_changed(store: MetadataStore, both: tuple[Client, Client]) -> None:
    theirs = ids_of(store, "team b")
    mine = ids_of(store, "team a")
    before = whole(store, "team b")
    artifact, execution, context = (min(theirs[k]) for k in ("artifact", "execution", "context"))
    own = {k: min(v) for k, v in mine.items()}
    data, run, group = both[0].types()
    for method, request in (
        ("PutArtifacts", {"artifacts": [{"id": artifact, "type_id": data, "uri": "/mine"}]}),
        ("PutExecutions", {"executions": [{"id": execution, "type_id": run}]}),
        ("PutContexts", {"contexts": [{"id": context, "type_id": group, "name": "mine"}]}),
        ("PutEvents", {"events": [{"artifact_id": artifact, "execution_id": own["execution"], "type": 3}]}),
        ("PutEvents", {"events": [{"artifact_id": own["artifact"], "execution_id": execution, "type": 3}]}),
        ("PutAttributionsAndAssociations", {"attributions": [{"artifact_id": artifact, "context_id": own["context"]}]}),
        ("PutAttributionsAndAssociations", {"attributions": [{"artifact_id": own["artifact"], "context_id": context}]}),
        ("PutAttributionsAndAssociations", {"associations": [{"execution_id": execution, "context_id": own["context"]}]}),
        ("PutParentContexts", {"parent_contexts": [{"child_id": own["context"], "parent_id": context}]}),
        ("PutParentContexts", {"parent_contexts": [{"child_id": context, "parent_id": own["context"]}]}),
        ("PutExecution", {"execution": {"id": execution, "type_id": run}}),
        ("PutExecution", {"execution": {"type_id": run}, "artifact_event_pairs": [{"event": {"artifact_id": artifact, "type": 3}}]}),
        ("PutExecution", {"execution": {"type_id": run}, "contexts": [{"id": context, "type_id": group, "name": "x"}], "options": {"force_reuse_context": True}}),
        ("PutLineageSubgraph", {"executions": [{"type_id": run}], "event_edges": [{"execution_index": 0, "event": {"artifact_id": artifact, "type": 3}}]}),
    ):  # fmt: skip
        n = len(list(store.all_nodes("execution")))
        with pytest.raises(StatusError) as caught:
            getattr(both[0], method)(**request)
        assert SECRET not in caught.value.message
        assert len(list(store.all_nodes("execution"))) == n
    # Names and external ids of theirs are free here, and make nodes of one's own.
    done = both[0].PutLineageSubgraph(
        artifacts=[{"type_id": data, "name": f"raw {SECRET}", "external_id": f"x {SECRET}"}],
        contexts=[{"type_id": group, "name": f"group {SECRET}"}],
        options={
            "reuse_context_if_already_exist": True,
            "reuse_artifact_if_already_exist_by_external_id": True,
        },
    )
    assert set(done.artifact_ids) | set(done.context_ids) <= {
        i for ids in ids_of(store, "team a").values() for i in ids
    }
    assert whole(store, "team b") == before


def whole(store: MetadataStore, namespace: str) -> list[Any]:
    """All nodes of a namespace, and all edges there are."""
    nodes = [n for k in ("artifact", "execution", "context") for n in store.all_nodes(k) if n.namespace == namespace]  # fmt: skip
    uids = {n.uid for n in nodes}
    return [
        nodes,
        [e for e in store.all_events() if {e.execution, e.artifact} & uids],
        [m for m in store.all_members() if set(m[:2]) & uids],
        [p for p in store.all_parents() if set(p) & uids],
    ]


def test_a_filter_does_not_look_over(store: MetadataStore, both: tuple[Client, Client]) -> None:
    def ask(query: str, kind: str = "Artifacts") -> list[str]:
        found = getattr(both[0], f"Get{kind}")(options={"filter_query": query})
        return [node.name for node in getattr(found, kind.lower())]

    assert ask("contexts_a.name = 'group open'") == ["raw open", "model open"]
    assert ask(f"contexts_a.name = 'group {SECRET}'") == []
    assert ask(f"NOT contexts_a.name = 'group {SECRET}'") == ["raw open", "model open"]
    assert ask("COUNT(contexts) = 1 AND name = 'raw open'") == ["raw open"]
    assert ask(f"COUNT(contexts WHERE name LIKE '%{SECRET}%') > 0") == []
    assert ask(f"MAX(contexts.name) = 'group {SECRET}'") == []
    assert ask(f"ancestor(name = 'raw {SECRET}')") == []
    assert ask("ancestor(name = 'raw open')") == ["model open"]
    assert ask(f"parent_contexts_a.name LIKE '%{SECRET}%'", "Contexts") == []
    assert ask("parent_contexts_a.name = 'above open'", "Contexts") == ["group open"]
    assert ask(f"ancestor(contexts_a.name = 'group {SECRET}')") == []
    with pytest.raises(PermissionDeniedError):
        ask("stats.drift > 0")
    assert store.namespace == "default"


def test_types_are_everybodys(both: tuple[Client, Client]) -> None:
    one, other = both
    assert {t.name for t in one.GetArtifactTypes().artifact_types} == {"Data"}
    assert other.GetArtifactTypes() == one.GetArtifactTypes()
