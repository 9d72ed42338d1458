"""`MetadataStore` in this process: the same methods, and a connection in every form."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.unit.integrations.mlmd.calls import our_class, pb
from tests.unit.integrations.mlmd.golden import VERSIONS, dump, restored
from tests.unit.integrations.mlmd.test_import_servers import mysql
from whence.integrations.mlmd.connection import _mysql_url, _postgres_url, is_mlmd_file
from whence.integrations.mlmd.errors import (
    AbortedError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    StatusError,
    UnimplementedError,
)
from whence.integrations.mlmd.metadata_store import ListOptions, MetadataStore, OrderByField, downgrade_schema
from whence.testing.servers import Server


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
    theirs = our_class("ArtifactType")(name="Data")
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


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", [None, 1, 2, 3])
def test_a_file_of_ml_metadata_is_read_and_never_written(
    tmp_path: Path, version: int, mode: int | None
) -> None:
    path = restored(tmp_path, version)
    before = path.read_bytes()
    opened = MetadataStore(sqlite_config(path, mode))
    first, second = opened.get_artifacts()
    assert (first.id, first.name, first.properties["span"].int_value, second.id) == (1, "first", -3, 2)
    assert [e.type for e in opened.get_events_by_execution_ids([1])][:2] == [
        pb.Event.OUTPUT,
        pb.Event.DECLARED_INPUT,
    ]
    assert [c.name for c in opened.get_children_contexts_by_context(1)] == ["d"]
    assert opened.get_execution_type("Train").id == 12
    with pytest.raises(FailedPreconditionError, match=f"whence import mlmd {path}"):
        opened.put_artifacts([pb.Artifact(id=1, type_id=10)])
    with pytest.raises(FailedPreconditionError):
        opened.put_artifact_type(pb.ArtifactType(name="New"))
    opened.close()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_large_file_of_ml_metadata_is_read_into_a_temporary_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whence.integrations.mlmd.connection.MAX_IN_MEMORY", 3)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened = MetadataStore(sqlite_config(restored(tmp_path), 1))
    assert [a.id for a in opened.get_artifacts()] == [1, 2]
    assert len(list(tmp_path.glob("whence-*/whence.db"))) == 1
    opened.close()
    assert list(tmp_path.glob("whence-*")) == []


def test_what_is_no_database_is_no_file_of_ml_metadata(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database")
    assert not is_mlmd_file(tmp_path / "text")
    path = restored(tmp_path, 10, "UPDATE MLMDEnv SET schema_version = 4")
    with pytest.raises(InvalidArgumentError, match="schema version 4"):
        MetadataStore(sqlite_config(path))


@pytest.mark.parametrize("system", ["postgresql", "mysql"])
def test_a_graph_in_a_server_is_made_and_opened_from_a_config(
    request: pytest.FixtureRequest, system: str
) -> None:
    server: Server = request.getfixturevalue(
        {"postgresql": "postgres_server", "mysql": "mariadb_server"}[system]
    )
    name = f"whence-{os.getpid()}-config"
    place: dict[str, Any] = {"host": server.host, "user": server.user}
    if system == "mysql":
        place |= {"port": server.port, "database": name}
    else:
        place |= {"port": str(server.port), "dbname": name}
    with pytest.raises(StatusError):  # it is not there, and is not to be made
        MetadataStore(pb.ConnectionConfig(**{system: {**place, "skip_db_creation": True}}))
    config = pb.ConnectionConfig(**{system: place})
    try:
        opened = MetadataStore(config)
        type_id = opened.put_artifact_type(pb.ArtifactType(name="Data"))
        ids = opened.put_artifacts([pb.Artifact(type_id=type_id, name="é")])
        opened.close()
        again = MetadataStore(config)
        assert [a.id for a in again.get_artifacts_by_type("Data")] == ids
        again.close()
    finally:
        with server.connect() as connection:
            mark = '"' if system == "postgresql" else "`"
            connection.cursor().execute(f"DROP DATABASE IF EXISTS {mark}{name}{mark}")


def test_a_server_of_ml_metadata_is_read_and_never_written(mariadb_server: Server) -> None:
    with mysql(mariadb_server, dump("mysql", 10)) as text:
        url = urlsplit(text)
        config = {"host": url.hostname, "port": url.port, "user": url.username, "database": url.path[1:]}
        opened = MetadataStore(pb.ConnectionConfig(mysql=config))
        assert [a.id for a in opened.get_artifacts()] == [1, 2]
        with pytest.raises(FailedPreconditionError, match=r"whence import mlmd mysql://root@127"):
            opened.put_artifacts([pb.Artifact(type_id=10)])
        opened.close()


def test_urls_carry_what_a_config_says() -> None:
    mysql = pb.MySQLDatabaseConfig(
        host="h", port=3, database="d b", user="u", password="p@/", socket="/s", ssl_options={"ca": "/c", "verify_server_cert": True}
    )  # fmt: skip
    assert _mysql_url(mysql) == "mysql://u:p%40%2F@h:3/d%20b?unix_socket=%2Fs&ssl_ca=%2Fc"
    postgres = pb.PostgreSQLDatabaseConfig(
        host="h",
        hostaddr="::1",
        port="4",
        user="u",
        dbname="d",
        passfile="/p",
        ssloption={"sslmode": "require"},
    )
    want = "postgresql://u@h:4/d?hostaddr=%3A%3A1&passfile=%2Fp&sslmode=require"
    assert _postgres_url(postgres) == want


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
    with pytest.raises(UnimplementedError, match="whence export mlmd FILE"):
        downgrade_schema(pb.ConnectionConfig(fake_database={}), 6)
    with pytest.raises(InvalidArgumentError):
        downgrade_schema(pb.ConnectionConfig(fake_database={}), -1)
