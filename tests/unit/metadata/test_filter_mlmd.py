"""Filters that ML Metadata 1.17.1 has too are answered as its own library answers them, in an environment of its own."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.unit.integrations.mlmd.conftest import mlmd_python
from whence.database import sqlite_url
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    MetadataStore,
    Put,
    Type,
    open_store,
)

__all__ = ["mlmd_python"]

pytestmark = pytest.mark.service

N: Final = 12
ATOMS: Final[dict[str, list[str]]] = {
    "artifact": [
        "name = 'a3'", "name != 'a3'", "name IN ('a1', 'a2', 'z')", "name NOT IN ('a1')", "name LIKE 'a1%'", "type = 'Data'",
        "state = LIVE", "state != LIVE", "state IN (PENDING, LIVE)", "properties.n.int_value > 4", "properties.n.int_value IN (1, 2, 3)",
        "properties.d.double_value < 2.5", "properties.d.double_value = 1", "properties.s.string_value = 's1'", "properties.s.string_value LIKE '%2'",
        "properties.b.bool_value = TRUE", "properties.n.int_value BETWEEN 2 AND 7", "properties.n.int_value + 1 = 6", "NULL IS NULL",
        "custom_properties.k.int_value >= 1", "custom_properties.k.string_value = 'x'", "custom_properties.`odd name`.int_value = 1",
        "custom_properties.k.int_value IS NULL", "properties.s.string_value IS NOT NULL", "contexts_a.name = 'c0'", "contexts_a.name = 'c1'",
        "contexts_b.name != 'c0'", "contexts_a.type = 'Group'", "events_0.type = INPUT",
        "events_1.type = OUTPUT", "LENGTH(name) = 3", "LOWER(name) = 'a5'", "1 = 1", "properties.n.int_value < properties.d.double_value",
    ],
    "execution": [
        "name = 'e3'", "name LIKE 'e%'", "last_known_state = COMPLETE", "last_known_state != RUNNING", "properties.n.int_value > 2",
        "contexts_a.name = 'c0'", "contexts_b.name != 'c0'", "events_0.type = INPUT", "events_1.type = OUTPUT", "type = 'Run'",
        "custom_properties.k.int_value = 1", "properties.n.int_value IS NULL",
    ],
    "context": [
        "name = 'c0'", "name != 'c2'", "properties.n.int_value >= 1", "parent_contexts_a.name = 'c0'", "child_contexts_a.name = 'c1'",
        "artifacts_a.name = 'a3'", "executions_a.name = 'e3'", "executions_b.last_known_state = COMPLETE",
    ],
}  # fmt: skip

THEIRS: Final = """
import json, sys
from ml_metadata.metadata_store import metadata_store as ms
from ml_metadata.proto import metadata_store_pb2 as pb
graph, queries = json.load(sys.stdin)
config = pb.ConnectionConfig(); config.fake_database.SetInParent()
store = ms.MetadataStore(config)
kinds = {"INT": pb.INT, "DOUBLE": pb.DOUBLE, "STRING": pb.STRING, "BOOLEAN": pb.BOOLEAN}
classes = {"artifact": (pb.ArtifactType, pb.Artifact), "execution": (pb.ExecutionType, pb.Execution), "context": (pb.ContextType, pb.Context)}
types = {}
for kind, name, properties in graph["types"]:
    type_ = classes[kind][0](name=name)
    for key, of in properties.items(): type_.properties[key] = kinds[of]
    types[name] = getattr(store, f"put_{kind}_type")(type_)
def fill(target, values):
    for key, value in values.items():
        if isinstance(value, bool): target[key].bool_value = value
        elif isinstance(value, int): target[key].int_value = value
        elif isinstance(value, float): target[key].double_value = value
        else: target[key].string_value = value
ids = {}
for kind, type_, name, state, properties, custom in graph["nodes"]:
    node = classes[kind][1](type_id=types[type_], name=name)
    if kind == "artifact": node.state = getattr(pb.Artifact, state)
    if kind == "execution": node.last_known_state = getattr(pb.Execution, state)
    fill(node.properties, properties); fill(node.custom_properties, custom)
    ids[name], = getattr(store, f"put_{kind}s")([node])
store.put_events([pb.Event(execution_id=ids[e], artifact_id=ids[a], type=getattr(pb.Event, kind)) for e, a, kind in graph["events"]])
store.put_attributions_and_associations(
    [pb.Attribution(context_id=ids[c], artifact_id=ids[n]) for c, n in graph["attributions"]],
    [pb.Association(context_id=ids[c], execution_id=ids[n]) for c, n in graph["associations"]])
store.put_parent_contexts([pb.ParentContext(child_id=ids[c], parent_id=ids[p]) for c, p in graph["parents"]])
out = []
for kind, query in queries:
    try: out.append([node.name for node in getattr(store, f"get_{kind}s")(ms.ListOptions(filter_query=query))])
    except Exception as error: out.append(f"{type(error).__name__}: {error}"[:200])
print(json.dumps(out))
"""


def make_graph() -> dict[str, Any]:
    """A graph as plain values, for both."""
    source = random.Random(5)
    properties = {"n": "INT", "d": "DOUBLE", "s": "STRING", "b": "BOOLEAN"}
    nodes: list[tuple[Any, ...]] = []
    for i in range(N):
        typed: dict[str, Any] = {"n": i, "d": i / 2, "s": f"s{i % 3}", "b": i % 2 == 0}
        kept = {key: value for key, value in typed.items() if source.random() < 0.7}
        custom = source.choice([{}, {"k": 1}, {"k": "x"}, {"k": 2, "odd name": 1}])
        nodes.append(("artifact", "Data", f"a{i}", source.choice(["LIVE", "PENDING"]), kept, custom))
    for i in range(6):
        state = source.choice(["COMPLETE", "RUNNING"])
        nodes.append(("execution", "Run", f"e{i}", state, {"n": i} if i % 2 else {}, {"k": i % 2}))
    nodes += [("context", "Group", f"c{i}", None, {"n": i} if i < 2 else {}, {}) for i in range(4)]
    events = {(f"e{source.randrange(6)}", f"a{source.randrange(N)}"): i for i in range(20)}
    return {
        "types": [(kind, name, properties) for kind, name in (("artifact", "Data"), ("execution", "Run"), ("context", "Group"))],
        "nodes": nodes,
        "events": [(e, a, "INPUT" if i % 2 else "OUTPUT") for (e, a), i in events.items()],
        "attributions": sorted({(f"c{source.randrange(3)}", f"a{source.randrange(N)}") for _ in range(12)}),
        "associations": sorted({(f"c{source.randrange(3)}", f"e{source.randrange(6)}") for _ in range(6)}),
        "parents": [("c1", "c0"), ("c2", "c0")],
    }  # fmt: skip


def fill(store: MetadataStore, graph: dict[str, Any]) -> None:
    for kind, name, properties in graph["types"]:
        store.put_type(Type(kind, name, properties))
    nodes: list[AnyNode] = []
    for kind, type_, name, state, properties, custom in graph["nodes"]:
        shared: dict[str, Any] = {
            "type": type_,
            "name": name,
            "uid": name,
            "properties": properties,
            "custom": custom,
        }
        if kind == "context":
            nodes.append(Context(**shared))
        else:
            nodes.append((Artifact if kind == "artifact" else Execution)(state=state, **shared))
    store.write(
        Change(
            [Put(node) for node in nodes],
            [Event(e, a, kind) for e, a, kind in graph["events"]],
            attributions=graph["attributions"],
            associations=graph["associations"],
            parents=graph["parents"],
        )
    )


def make_queries() -> list[tuple[str, str]]:
    """Every atom, and random conditions of them."""
    source = random.Random(11)
    queries = [(kind, atom) for kind, atoms in ATOMS.items() for atom in atoms]
    for kind, atoms in ATOMS.items():
        for _ in range(120):
            parts = [
                source.choice(["", "", "NOT "]) + f"({atom})"
                for atom in source.sample(atoms, source.randint(2, 3))
            ]
            queries.append((kind, source.choice([" AND ", " OR "]).join(parts)))
    return queries


@pytest.fixture(params=["memory", "sqlite", "postgres", "mariadb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    match request.param:
        case "memory":
            url = "memory://"
        case "sqlite":
            url = sqlite_url(tmp_path / "whence.db")
        case server:
            url = request.getfixturevalue(f"{server}_url")
    store = open_store(url)
    yield store
    store.close()


@pytest.fixture(scope="module")
def theirs(mlmd_python: Path) -> list[Any]:
    asked = json.dumps([make_graph(), make_queries()])
    done = subprocess.run(
        [str(mlmd_python), "-c", THEIRS],
        input=asked,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_answers_are_theirs(store: MetadataStore, theirs: list[Any]) -> None:
    fill(store, make_graph())
    wrong = []
    for (kind, query), expected in zip(make_queries(), theirs, strict=True):
        found = [node.name for node in store.find_nodes(kind, matching=query).nodes]  # type: ignore[arg-type]  # a kind
        if not isinstance(expected, list) or found != sorted(expected, key=lambda n: (n[0], int(n[1:]))):
            wrong.append((kind, query, expected, found))
    assert wrong == []
