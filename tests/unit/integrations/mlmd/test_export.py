"""The graph as a file of ML Metadata: ML Metadata itself opens it, lists it, and writes to it."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path
from typing import Any, Final

import pytest

from tests.unit.integrations.mlmd.calls import Client, pb, run
from tests.unit.integrations.mlmd.golden import restored
from whence.database import sqlite_url
from whence.errors import ConflictError, UsageError
from whence.integrations.mlmd.exporter import export_mlmd
from whence.integrations.mlmd.importer import import_mlmd
from whence.integrations.mlmd.service import MlmdService
from whence.metadata import (
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    MetadataStore,
    Put,
    Type,
    Value,
    open_store,
)
from whence.metadata.types import Removal

#: Prints everything that ML Metadata's own client finds in a file, one line a thing, in an order of its own.
LIST: Final = """
import json, sys
from google.protobuf import json_format
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb
store = metadata_store.MetadataStore(
    pb.ConnectionConfig(sqlite={"filename_uri": sys.argv[1], "connection_mode": 2})
)
out = {}
nodes = {k: getattr(store, f"get_{k}s")() for k in ("artifact", "execution", "context")}
for kind, found in nodes.items():
    out[kind] = found
    out[f"{kind}_type"] = getattr(store, f"get_{kind}_types")()
ids = [n.id for n in nodes["execution"]]
out["events"] = store.get_events_by_execution_ids(ids) if ids else []
for c in nodes["context"]:
    out[f"artifacts {c.id}"] = store.get_artifacts_by_context(c.id)
    out[f"executions {c.id}"] = store.get_executions_by_context(c.id)
    out[f"parents {c.id}"] = store.get_parent_contexts_by_context(c.id)
plain = lambda m: json.dumps(json_format.MessageToDict(m), sort_keys=True)
print(json.dumps({k: sorted(plain(m) for m in v) for k, v in out.items()}, sort_keys=True))
"""

NAMES: Final = """
import sys
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb
store = metadata_store.MetadataStore(
    pb.ConnectionConfig(sqlite={"filename_uri": sys.argv[1], "connection_mode": 1})
)
(artifact,) = store.get_artifacts()
print(*sorted(artifact.custom_properties), sep="\\n")
"""

WRITE: Final = """
import sys
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb
store = metadata_store.MetadataStore(
    pb.ConnectionConfig(sqlite={"filename_uri": sys.argv[1], "connection_mode": 2})
)
(artifact,) = store.get_artifacts_by_type("Data")[:1]
step, group = store.get_execution_type("Train"), store.get_context_type("Group")
x, (a, b), (c,) = store.put_execution(
    pb.Execution(type_id=step.id),
    [
        (artifact, pb.Event(type=pb.Event.INPUT)),
        (pb.Artifact(type_id=artifact.type_id), pb.Event(type=pb.Event.OUTPUT)),
    ],
    [pb.Context(type_id=group.id, name="after")],
)
options = pb.LineageSubgraphQueryOptions(starting_artifacts={"filter_query": f"id = {b}"})
options.direction = pb.LineageSubgraphQueryOptions.UPSTREAM
found = store.get_lineage_subgraph(options)
assert {a, b} <= {n.id for n in found.artifacts}
print(x, a, b, c)
"""


def nested(depth: int, value: Value = 1) -> Value:
    for _ in range(depth):
        value = [value]
    return value


def listed(python: Path, path: Path) -> dict[str, Any]:
    done = run(python, "-c", LIST, str(path), cwd=path.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.service
def test_what_came_in_goes_out_as_it_was(store: MetadataStore, mlmd_python: Path, tmp_path: Path) -> None:
    theirs, ours = restored(tmp_path), tmp_path / "out.db"
    import_mlmd(store, theirs)
    done = export_mlmd(store, ours)
    assert done.told == []
    assert listed(mlmd_python, ours) == listed(mlmd_python, theirs)
    wrote = run(mlmd_python, "-c", WRITE, str(ours), cwd=tmp_path)
    assert wrote.returncode == 0, wrote.stderr[-2000:]
    assert wrote.stdout.split() == ["3", "1", "3", "4"]  # ids go on behind the last
    again = open_store("memory://")
    import_mlmd(again, ours)
    assert len(again.find_nodes("artifact").nodes) == 3


def test_the_file_is_made_as_ml_metadata_makes_it(store: MetadataStore, tmp_path: Path) -> None:
    theirs, ours = restored(tmp_path), tmp_path / "out.db"
    import_mlmd(store, theirs)
    export_mlmd(store, ours)
    assert shape(ours) == shape(theirs)
    one, other = (rows(path) for path in (ours, theirs))
    assert one == other
    assert [p.name for p in tmp_path.iterdir() if "out" in p.name] == ["out.db"]


def shape(path: Path) -> dict[str, object]:
    connection = sqlite3.connect(path)
    tables = [t for (t,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    out: dict[str, object] = {
        t: connection.execute(f"SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('{t}')").fetchall()
        for t in tables
    }  # fmt: skip
    for t in tables:
        indexes = connection.execute(
            f"SELECT name, \"unique\", partial FROM pragma_index_list('{t}')"
        ).fetchall()
        out[f"indexes of {t}"] = sorted(
            (n if not n.startswith("sqlite_") else "", u, p, tuple(connection.execute(f"SELECT name FROM pragma_index_info('{n}')")))
            for n, u, p in indexes
        )  # fmt: skip
    out["journal"] = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    return out


def rows(path: Path) -> dict[str, list[Any]]:
    """The rows of both must be the same, but for the ids of events and pairs, which nobody names."""
    connection = sqlite3.connect(path)
    tables = (
        "Type",
        "TypeProperty",
        "ParentType",
        "Artifact",
        "Execution",
        "Context",
        "ParentContext",
        "MLMDEnv",
    )
    found = {t: sorted(connection.execute(f"SELECT * FROM {t}"), key=repr) for t in tables}
    for kind in ("Artifact", "Execution", "Context"):
        columns = "name, is_custom_property, int_value, double_value, byte_value, proto_value, bool_value"
        query = f"SELECT {kind}_id, {columns} FROM {kind}Property"
        found[f"{kind}Property"] = sorted(connection.execute(query), key=repr)
    query = "SELECT e.artifact_id, e.execution_id, e.type, e.milliseconds_since_epoch, p.step_index, p.step_key FROM"
    query += " Event e LEFT JOIN EventPath p ON p.event_id = e.id"
    found["Event"] = sorted(connection.execute(query), key=repr)
    found["sequences"] = sorted(connection.execute("SELECT * FROM sqlite_sequence"))
    for pair in ("Attribution", "Association"):
        other = "artifact_id" if pair == "Attribution" else "execution_id"
        found[pair] = sorted(connection.execute(f"SELECT context_id, {other} FROM {pair}"))
    connection.close()
    return found


def test_what_cannot_be_kept_is_told(store: MetadataStore, tmp_path: Path) -> None:
    store.put_type(Type("artifact", "Data", {"x": "DOUBLE"}))
    store.put_type(Type("execution", "Step"))
    store.put_type(Type("context", "Group"))
    artifact = Artifact(
        type="Data", name="a", properties={"x": 2}, custom={"nan": float("nan"), "list": [1, "b"]}
    )
    gone = Artifact(type="Data", name="gone", uri="u")
    step, group = Execution(type="Step"), Context(type="Group")
    events = [Event(step.uid, artifact.uid, "INPUT", (path,)) for path in ("one", "two")]
    store.write(
        Change(
            [Put(n) for n in (artifact, gone, step, group)], [*events, Event(step.uid, gone.uid, "OUTPUT")]
        )
    )
    store.write(Change(removals=[Removal(gone.uid)]))
    with pytest.raises(ConflictError, match="mlmd-lossy"):
        export_mlmd(store, tmp_path / "strict.db", strict=True)
    assert list(tmp_path.glob("*strict*")) == []
    done = export_mlmd(store, tmp_path / "out.db")
    assert [t.split(" ", 1)[0] for t in done.told] == ["nan", "list", "context", "execution"]
    assert done.written["Event"] == 2
    connection = sqlite3.connect(tmp_path / "out.db")
    query = "SELECT name, uri, state FROM Artifact ORDER BY id"
    assert connection.execute(query).fetchall() == [("a", "", 2), (None, "", 4)]
    assert connection.execute("SELECT name FROM Context").fetchall() == [(group.uid,)]
    query = "SELECT name, double_value, substr(string_value, 1, 13) FROM ArtifactProperty ORDER BY name"
    assert connection.execute(query).fetchall() == [("list", None, "mlmd-struct::"), ("x", 2.0, None)]
    connection.close()


VALUES: Final[dict[str, tuple[Value, Value]]] = {
    "picture": (b"\x89PNG", b"\x89PNG"),
    "empty": (b"", b""),
    "a struct": ({"a": 1, "b": [True, None, {"c": float("inf")}]}, {"a": 1.0, "b": [True, None, {"c": float("inf")}]}),
    "told: bytes": ({"a": b"x"}, {"a": "eA=="}),
    "told: great": ({"a": 2**53 + 1}, {"a": 2.0**53}),
    "told: list": ([1], {"value": [1.0]}),
    "told: NUL": ("a\0b", "a\0b"),
    "told: deep": (nested(60), {"value": json.dumps(nested(60))}),
    "deep": ({"a": nested(40)}, {"a": nested(40, 1.0)}),
}  # fmt: skip
"""What is put, and what comes back from a file."""


def test_every_value_can_be_read_and_a_changed_one_is_told(store: MetadataStore, tmp_path: Path) -> None:
    store.put_type(Type("artifact", "Data"))
    custom = {name: put for name, (put, _) in VALUES.items()}
    store.write(Change([Put(Artifact(type="Data", name="a", custom=custom))]))
    done = export_mlmd(store, tmp_path / "out.db")
    assert [t.split(" of ")[0] for t in done.told] == [name for name in VALUES if name.startswith("told")]
    again = open_store("memory://")
    import_mlmd(again, tmp_path / "out.db")
    (node,) = again.find_nodes("artifact").nodes
    assert dict(node.custom) == {name: back for name, (_, back) in VALUES.items()}
    connection = sqlite3.connect(tmp_path / "out.db")
    query = "SELECT proto_value FROM ArtifactProperty WHERE proto_value IS NOT NULL"
    # Without a type ML Metadata refuses to read the node.
    for (text,) in connection.execute(query):
        made = pb.Value()
        made.proto_value.ParseFromString(base64.b64decode(text))
        assert made.proto_value.type_url == "type.googleapis.com/google.protobuf.BytesValue"
    connection.close()


@pytest.mark.service
def test_ml_metadata_reads_every_value(store: MetadataStore, mlmd_python: Path, tmp_path: Path) -> None:
    store.put_type(Type("artifact", "Data"))
    custom = {name: put for name, (put, _) in VALUES.items()}
    store.write(Change([Put(Artifact(type="Data", name="a", custom=custom))]))
    export_mlmd(store, tmp_path / "out.db")
    done = run(mlmd_python, "-c", NAMES, str(tmp_path / "out.db"), cwd=tmp_path)
    assert done.stdout.splitlines() == sorted(VALUES), done.stderr[-2000:]


def test_a_file_that_is_there_is_kept(store: MetadataStore, tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    export_mlmd(store, path)
    with pytest.raises(ConflictError, match=r"is there already \(file-exists\)"):
        export_mlmd(store, path)
    export_mlmd(store, path, replace=True)
    path.write_text("no database")
    export_mlmd(store, path, replace=True)
    mine = tmp_path / "whence.db"
    open_store(sqlite_url(mine)).close()
    for file in (mine, tmp_path / "whence.db.lock"):
        before = file.read_bytes()
        with pytest.raises(ConflictError, match=r"and none of ML Metadata \(file-exists\)"):
            export_mlmd(store, file, replace=True)
        assert file.read_bytes() == before


def test_one_namespace_is_written(store: MetadataStore, tmp_path: Path) -> None:
    team = store.in_namespace("team", create=True)
    for place in (store, team):
        place.put_type(Type("artifact", "Data"))
        place.write(Change([Put(Artifact(type="Data", name="same"))]))
    with pytest.raises(UsageError, match="default, team hold nodes"):
        export_mlmd(store, tmp_path / "out.db")
    assert export_mlmd(team, tmp_path / "out.db", only=True).written["Artifact"] == 1


def test_a_graph_of_clients_goes_out(store: MetadataStore, tmp_path: Path) -> None:
    client = Client(MlmdService(store))
    data, step, group = client.types()
    value = pb.Value(proto_value={"type_url": "t", "value": b"\x00\xff"})
    client.PutExecution(
        execution={"type_id": step},
        artifact_event_pairs=[
            {"artifact": {"type_id": data, "properties": {"p": value, "i": {"int_value": 2**62}}}}
        ],
        contexts=[{"type_id": group, "name": "c"}],
    )
    export_mlmd(store, tmp_path / "out.db")
    again = open_store("memory://")
    import_mlmd(again, tmp_path / "out.db")
    before, after = store.find_nodes("artifact").nodes, again.find_nodes("artifact").nodes
    assert [dict(n.properties) for n in after] == [dict(n.properties) for n in before]
