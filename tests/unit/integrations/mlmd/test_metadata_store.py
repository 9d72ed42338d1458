"""`MetadataStore` in this process: the same methods, and a connection in every form."""

from __future__ import annotations

import inspect
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.unit.integrations.mlmd.calls import pb
from whence.integrations.mlmd import wire
from whence.integrations.mlmd.connection import is_mlmd_file
from whence.integrations.mlmd.errors import (
    AbortedError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    StatusError,
    UnimplementedError,
)
from whence.integrations.mlmd.metadata_store import ListOptions, MetadataStore, OrderByField, downgrade_schema


@pytest.fixture
def ml() -> MetadataStore:
    return MetadataStore(pb.ConnectionConfig(sqlite={}))


def sqlite_config(path: Path, mode: int | None = None, *, uri: bool = False) -> Any:
    name = f"file:{path}" if uri else str(path)
    return pb.ConnectionConfig(sqlite={"filename_uri": name, "connection_mode": mode})


def test_a_pipeline_is_recorded_and_read(ml: MetadataStore) -> None:
    data = ml.put_artifact_type(pb.ArtifactType(name="Data", properties={"span": pb.INT}))
    train = ml.put_execution_type(pb.ExecutionType(name="Train", base_type=pb.ExecutionType.TRAIN))
    group = ml.put_context_type(pb.ContextType(name="Experiment"))
    x, (a, b), (c,) = ml.put_execution(
        pb.Execution(type_id=train, last_known_state=pb.Execution.COMPLETE),
        [
            (pb.Artifact(type_id=data, name="in"), pb.Event(type=pb.Event.INPUT)),
            (pb.Artifact(type_id=data, name="out"), pb.Event(type=pb.Event.OUTPUT)),
        ],
        [pb.Context(type_id=group, name="first")],
    )
    assert [n.name for n in ml.get_artifacts_by_context(c)] == ["in", "out"]
    assert [n.id for n in ml.get_executions_by_context(c)] == [x]
    assert [e.artifact_id for e in ml.get_events_by_execution_ids([x])] == [a, b]
    options = pb.LineageSubgraphQueryOptions(starting_artifacts={"filter_query": f"id = {b}"})
    graph = ml.get_lineage_subgraph(options)
    assert ([n.name for n in graph.artifacts], len(graph.events)) == (["in", "out"], 2)
    assert [t.name for t in graph.execution_types] == ["Train"]
    assert [n.name for n in ml.get_lineage_subgraph(options, ["contexts"]).contexts] == ["first"]
    assert [t.name for t in ml.get_lineage_subgraph(options, ["artifact_types"]).artifact_types] == ["Data"]


def test_lists_are_followed_page_by_page(ml: MetadataStore) -> None:
    type_id = ml.put_artifact_type(pb.ArtifactType(name="Data"))
    ids = ml.put_artifacts([pb.Artifact(type_id=type_id) for _ in range(250)])
    assert [a.id for a in ml.get_artifacts()] == ids
    by_time = ListOptions(order_by=OrderByField.CREATE_TIME, is_asc=False)
    assert [a.id for a in ml.get_artifacts(by_time)] == ids[::-1]
    assert [a.id for a in ml.get_artifacts(ListOptions(limit=150, order_by=OrderByField.ID))] == ids[:150]
    with pytest.raises(InvalidArgumentError):
        ml.get_artifacts(ListOptions(limit=0))


def test_messages_of_another_package_are_taken_and_others_are_not(ml: MetadataStore) -> None:
    theirs = wire.message_class("ArtifactType")(name="Data")
    type_id = ml.put_artifact_type(theirs)
    assert ml.get_artifact_type("Data").id == type_id
    with pytest.raises(TypeError):
        ml.put_artifacts([pb.Execution(type_id=type_id)])
    with pytest.raises(ValueError, match="expects a ConnectionConfig"):
        MetadataStore(pb.Artifact())
    with pytest.raises(ValueError, match="Upgrade migration"):
        MetadataStore(pb.MetadataStoreClientConfig(host="x"), enable_upgrade_migration=True)


def test_all_methods_of_ml_metadata_are_there() -> None:
    public = {n for n, f in inspect.getmembers(MetadataStore, inspect.isfunction) if not n.startswith("_")}
    assert len(public - {"close"}) == 49
    assert all(
        "extra_options" in inspect.signature(getattr(MetadataStore, n)).parameters for n in public - {"close"}
    )


@pytest.mark.parametrize("uri", [False, True])
def test_the_mode_of_a_file_is_kept(tmp_path: Path, *, uri: bool) -> None:
    path = tmp_path / "graph.db"
    for mode in (1, 2):
        with pytest.raises(NotFoundError, match="no such file"):
            MetadataStore(sqlite_config(path, mode, uri=uri))
    made = MetadataStore(sqlite_config(path, 3, uri=uri))
    type_id = made.put_artifact_type(pb.ArtifactType(name="Data"))
    made.close()
    reader = MetadataStore(sqlite_config(path, 1, uri=uri))
    assert reader.get_artifact_type("Data").id == type_id
    with pytest.raises(PermissionDeniedError, match="READONLY"):
        reader.put_artifacts([pb.Artifact(type_id=type_id)])
    assert reader.get_artifacts() == []
    reader.close()
    writer = MetadataStore(sqlite_config(path, 2, uri=uri))
    assert writer.put_artifacts([pb.Artifact(type_id=type_id)]) == [1]
    writer.close()


def test_a_file_of_ml_metadata_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "mlmd.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE MLMDEnv (schema_version INTEGER)")
    connection.close()
    before = path.read_bytes()
    assert is_mlmd_file(path)
    for mode in (None, 1, 2, 3):
        with pytest.raises(UnimplementedError, match="whence import mlmd"):
            MetadataStore(sqlite_config(path, mode))
    assert path.read_bytes() == before
    (tmp_path / "text").write_text("no database")
    assert not is_mlmd_file(tmp_path / "text")


@pytest.mark.parametrize(
    "config",
    [
        pb.ConnectionConfig(),
        pb.ConnectionConfig(mysql={"host": "h", "port": 1, "database": "d", "user": "u", "password": "p@/"}),
        pb.ConnectionConfig(postgresql={"host": "h", "port": "1", "dbname": "d", "user": "u"}),
    ],
    ids=["none", "mysql", "postgresql"],
)
def test_a_store_that_cannot_be_opened_says_so(config: Any) -> None:
    with pytest.raises(RuntimeError) as caught:  # what ML Metadata itself raises here
        MetadataStore(config)
    assert isinstance(caught.value, StatusError)


def test_an_aborted_call_is_made_again(ml: MetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def call(method: str, request: object) -> object:
        calls.append(method)
        raise AbortedError("somebody was faster")

    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(ml._connection, "call", call)
    with pytest.raises(AbortedError):
        ml.get_artifact_types()
    assert calls == ["GetArtifactTypes"] * 5


def test_no_schema_is_downgraded() -> None:
    with pytest.raises(UnimplementedError, match="no export to one yet"):
        downgrade_schema(pb.ConnectionConfig(fake_database={}), 6)
    with pytest.raises(InvalidArgumentError):
        downgrade_schema(pb.ConnectionConfig(fake_database={}), -1)
