"""Databases of ML Metadata come in complete, from each schema version, and coming in again changes nothing."""

from __future__ import annotations

import base64
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.integrations.mlmd.calls import pb
from tests.unit.integrations.mlmd.golden import GOLDEN, VERSIONS, restored
from whence._base.crash import VARIABLE
from whence._base.ids import derived_uid
from whence.database import sqlite_url
from whence.errors import ConflictError, IntegrityError, NotFoundError, UnsupportedError, UsageError
from whence.integrations.mlmd import importer
from whence.integrations.mlmd.backends.source import Source
from whence.integrations.mlmd.batches import Brought
from whence.integrations.mlmd.importer import import_mlmd
from whence.metadata import Artifact, Change, Execution, MetadataStore, Put, Type, open_store
from whence.metadata.ids import wire_id
from whence.metadata.rows import KINDS

WRITTEN = {
    "Artifact": 2,
    "Execution": 2,
    "Context": 3,
    "Event": 7,
    "Attribution": 2,
    "Association": 1,
    "ParentContext": 2,
}


def check(store: MetadataStore, done: Brought, version: int, *, filled: int | None = None) -> None:
    """What `make.py` filled in (for the version `filled`) is there, of each kind, whatever system it came from."""
    assert done.version == version
    version = filled or version
    assert dict(done.written) == WRITTEN
    assert {k: v for k, v in done.found.items() if k != "Type"} == WRITTEN
    assert done.told == []
    first, second = store.find_nodes("artifact").nodes
    assert isinstance(first, Artifact)
    assert isinstance(second, Artifact)
    assert (first.name, first.uri, first.state, first.type) == ("first", "/x/é/日本", "LIVE", "Data")
    assert (second.name, second.uri, second.state) == (None, None, "MARKED_FOR_DELETION")
    assert first.external_id == ("E1" if version > 8 else None)
    assert first.created_at is not None
    assert first.created_at.year == 2026
    wanted: dict[str, object] = {
        "span": -3,
        "share": 0.1,
        "split": "Zug “früh” 🚆" if version == 10 else "Zug “früh”",
        "facts": {"k": [1.0, None, {"deep": "ü"}], "t": True},
        "void": "",
    }
    custom: dict[str, object] = {
        "note": "mlmd-struct is only a prefix",
        "span": "the same name, another kind",
    }
    if version == 10:
        wanted["ok"] = False
        step = pb.Value(proto_value={"type_url": "type.googleapis.com/ml_metadata.Event.Path.Step"})
        step.proto_value.value = pb.Event.Path.Step(key="packed").SerializeToString()
        wanted["raw"] = step.proto_value.SerializeToString()
        custom["yes"] = True
    assert dict(first.properties) == wanted
    assert dict(first.custom) == custom
    run, open_ = store.find_nodes("execution", type_="Train").nodes
    assert [(n.name, n.state, dict(n.properties)) for n in (run, open_) if isinstance(n, Execution)] == [
        ("run", "COMPLETE", {"n": 7}),
        (None, "RUNNING", {}),
    ]
    events = store.list_events(executions=[run.uid])
    assert {(e.artifact == first.uid, e.kind, e.path) for e in events} == {
        (True, "INPUT", ("rows", 2, "é")),
        (True, "DECLARED_INPUT", ()),
        (True, "INTERNAL_INPUT", ()),
        (False, "OUTPUT", ()),
        (False, "DECLARED_OUTPUT", ()),
        (False, "INTERNAL_OUTPUT", ()),
        (False, "PENDING_OUTPUT", ()),
    }
    assert [e.at for e in events if e.kind == "OUTPUT"] == [datetime(1970, 1, 1, 0, 0, 0, 5000, tzinfo=UTC)]
    (c,) = store.list_contexts(artifact=first.uid)
    assert (c.name, c.custom["why"]) == ("c", "naïve")
    (d,) = store.list_contexts(parent=c.uid)
    assert [x.name for x in store.list_contexts(parent=d.uid)] == ["größer"]
    types = {(t.name, t.version): t for t in store.list_types("artifact")}
    assert types["Data", None].base == "mlmd.Dataset"
    assert types["Data", None].external_id == ("type-data" if version > 8 else None)
    assert types["Data", "2"].description == "später"
    (train,) = [t for t in store.list_types("execution") if t.name == "Train"]
    assert train.input_type == '{"dict":{"properties":{"rows":{"simple":{"name":"Data"}}}}}'
    assert train.output_type == '{"simple":{"name":"Data"}}'


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_comes_in_complete(store: MetadataStore, tmp_path: Path, version: int) -> None:
    path = restored(tmp_path, version)
    before = path.read_bytes()
    done = import_mlmd(store, path)
    check(store, done, version)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("v")] == [path.name]
    (kept,) = store.find_nodes("execution", type_="mlmd_import").nodes
    assert isinstance(kept, Execution)
    assert kept.state == "COMPLETE"
    assert kept.get("written") == WRITTEN


def test_ids_and_times_are_kept(store: MetadataStore, tmp_path: Path) -> None:
    path = restored(tmp_path)
    done = import_mlmd(store, path)
    connection = sqlite3.connect(path)
    for kind in KINDS:
        query = f"SELECT id, create_time_since_epoch, last_update_time_since_epoch FROM {kind}"
        theirs = connection.execute(query).fetchall()
        nodes = [n for n in store.find_nodes(kind).nodes if n.type != "mlmd_import"]
        assert [
            (wire_id(n.id or 0), to_ms(n.created_at), to_ms(n.updated_at)) for n in nodes
        ] == theirs  # each kind counts from 1
        known = store.list_imported(done.source, kind)
        assert [(k.their_id, k.uid, k.id) for k in known] == [
            (wire_id(n.id or 0), n.uid, n.id) for n in nodes
        ]
    connection.close()
    assert done.moved == 0


def to_ms(moment: datetime | None) -> float:
    assert moment is not None
    return round(moment.timestamp() * 1000)


def test_ids_that_are_taken_move_together(store: MetadataStore, tmp_path: Path) -> None:
    store.put_type(Type("artifact", "Own"))
    store.write(Change([Put(Artifact(type="Own")), Put(Artifact(type="Own"))]))
    path = restored(tmp_path)
    done = import_mlmd(store, path)
    assert done.moved == 2
    moved = store.list_imported(done.source)
    assert {(k.kind, wire_id(k.id) - k.their_id) for k in moved} == {(kind, 2) for kind in KINDS}
    assert sum(import_mlmd(store, path).written.values()) == 0
    # The graph goes on above them; what the source got since, it got in both.
    store.write(Change([Put(Artifact(type="Own"))]))
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO Artifact SELECT 5, 10, uri, state, 'late', NULL, 1, 2 FROM Artifact WHERE id = 2"
    )
    connection.commit()
    connection.close()
    grown = import_mlmd(store, path)
    assert grown.written["Artifact"] == 1
    (late,) = store.find_nodes("artifact", name="late").nodes
    assert store.list_imported(done.source, "artifact", after=2)[0].uid == late.uid


def test_twice_is_once_and_growth_is_followed(store: MetadataStore, tmp_path: Path) -> None:
    path = restored(tmp_path)
    import_mlmd(store, path)
    again = import_mlmd(store, path)
    assert sum(again.written.values()) == 0
    assert len(store.find_nodes("execution", type_="mlmd_import").nodes) == 1
    connection = sqlite3.connect(path)
    connection.execute(
        "UPDATE Artifact SET uri = '/new', last_update_time_since_epoch = 1900000000001 WHERE id = 1"
    )
    connection.execute("DELETE FROM ArtifactProperty WHERE artifact_id = 1 AND name = 'span'")
    connection.execute("INSERT INTO Attribution (context_id, artifact_id) VALUES (2, 1)")
    connection.commit()
    connection.close()
    grown = import_mlmd(store, path)
    assert grown.source == again.source
    assert {k: v for k, v in grown.written.items() if v} == {"Artifact": 1, "Attribution": 1}
    (first,) = store.find_nodes("artifact", name="first").nodes
    assert isinstance(first, Artifact)
    assert (first.uri, first.get("span"), to_ms(first.updated_at)) == ("/new", None, 1900000000001)


@pytest.mark.parametrize("namespace", ["default", "team"])
def test_a_table_that_was_empty_may_fill(store: MetadataStore, tmp_path: Path, namespace: str) -> None:
    store = store if namespace == "default" else store.in_namespace(namespace, create=True)
    tables = ("Context", "ContextProperty", "ParentContext", "Attribution", "Association")
    first = restored(tmp_path, 10, *(f"DELETE FROM {table}" for table in tables))
    done = import_mlmd(store, first)
    first.unlink()
    grown = import_mlmd(store, restored(tmp_path))
    assert grown.source == done.source
    assert {k for k, n in grown.written.items() if n} == {
        "Context",
        "Attribution",
        "Association",
        "ParentContext",
    }
    assert len(store.find_nodes("artifact").nodes) == 2


CHILD = """
import sys
from whence.database import sqlite_url
from whence.integrations.mlmd import importer
from whence.integrations.mlmd.backends import source
from whence.metadata import open_store
source.BATCH = 2
importer.import_mlmd(open_store(sqlite_url(sys.argv[1])), sys.argv[2])
"""


@pytest.mark.parametrize("batch", [1, 3, 5, 8])
def test_killed_halfway_it_is_finished_by_the_next(tmp_path: Path, batch: int) -> None:
    path, graph = restored(tmp_path), tmp_path / "whence.db"
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(graph), str(path)],
        env={**os.environ, VARIABLE: f"{importer.WRITTEN}:{batch}"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    store = open_store(sqlite_url(graph))
    rest = import_mlmd(store, path)
    assert 0 < sum(rest.written.values()) < sum(WRITTEN.values())
    whole = open_store("memory://")
    import_mlmd(whole, path)
    for kind in KINDS:
        mine, theirs = (
            [n for n in s.find_nodes(kind).nodes if n.type != "mlmd_import"] for s in (store, whole)
        )
        assert [(n.id, n.uid, n.name, n.properties) for n in mine] == [
            (n.id, n.uid, n.name, n.properties) for n in theirs
        ]
    assert sum(import_mlmd(store, path).written.values()) == 0
    store.close()


def test_a_dry_run_reads_all_and_writes_nothing(store: MetadataStore, tmp_path: Path) -> None:
    path = restored(tmp_path)
    done = import_mlmd(store, path, dry_run=True)
    assert done.found["Event"] == 7
    assert store.find_nodes("artifact").nodes == []
    assert len(store.list_types()) == 9
    assert done.refused == []
    store.put_type(Type("artifact", "Data", {"span": "STRING"}))
    (refused,) = import_mlmd(store, path, dry_run=True).refused
    assert "artifact type 'Data' of the database differs from the graph's" in refused
    assert "'span' of artifact type 'Data' is stored as STRING, not INT" in refused


def test_namespaces_are_other_nodes(store: MetadataStore, tmp_path: Path) -> None:
    path = restored(tmp_path)
    import_mlmd(store, path)
    team = store.in_namespace("team", create=True)
    done = import_mlmd(team, path)
    assert (done.moved > 0, dict(done.written)) == (True, WRITTEN)
    assert [n.namespace for n in team.find_nodes("artifact").nodes] == ["team", "team"]
    assert sum(import_mlmd(team, path).written.values()) == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["UPDATE Event SET type = 0 WHERE id = 2"], "event 2 is of kind UNKNOWN and is left out"),
        (["DELETE FROM Execution WHERE id = 1"], "event 1 has an end that is absent and is left out"),
        (
            ["UPDATE Event SET milliseconds_since_epoch = 1795264581993000 WHERE id = 2"],
            "event 2 happened at 1795264581993000 ms, which is no date, and is kept at 253402214399999 ms",
        ),
        (["DELETE FROM Context WHERE id = 3"], "ParentContext: 1 rows have an end that is absent and are left out: 3-2"),
    ],
)  # fmt: skip
def test_what_has_no_place_is_told(
    store: MetadataStore, tmp_path: Path, changes: list[str], told: str
) -> None:
    assert told in import_mlmd(store, restored(tmp_path, 10, *changes)).told


def test_what_is_no_number_is_brought_in_and_verified(store: MetadataStore, tmp_path: Path) -> None:
    made = pb.Value()
    made.struct_value.update({"auc": [float("nan"), {"x": float("-inf")}], "ok": True})
    text = "mlmd-struct::" + base64.b64encode(made.struct_value.SerializeToString()).decode()
    path = restored(tmp_path, 10, f"UPDATE ArtifactProperty SET string_value = '{text}' WHERE name = 'facts'")
    import_mlmd(store, path)
    (first,) = store.find_nodes("artifact", name="first").nodes
    assert repr(first.properties["facts"]) == "{'auc': [nan, {'x': -inf}], 'ok': True}"
    assert sum(import_mlmd(store, path).written.values()) == 0


def test_doubles_of_old_versions_are_told(store: MetadataStore, tmp_path: Path) -> None:
    again = "INSERT INTO Event SELECT 8, artifact_id, execution_id, type, 9 FROM Event WHERE id = 3"
    done = import_mlmd(store, restored(tmp_path, 7, again))
    assert done.told == ["1 events were there twice and are kept once"]
    assert done.written["Event"] == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "UPDATE ArtifactProperty SET string_value = 'mlmd-struct::?' WHERE name = 'facts'",
            "property 'facts' of artifact 1",
        ),
        (
            "UPDATE ArtifactProperty SET string_value = 'mlmd-struct::/w==' WHERE name = 'facts'",
            "cannot be decoded",
        ),
        ("UPDATE ArtifactProperty SET byte_value = x'00' WHERE name = 'span'", "byte_value"),
        ("UPDATE Artifact SET state = 77", "77 is no state of an artifact"),
        ("UPDATE Artifact SET type_id = 99", "has type 99, which is absent"),
        ("UPDATE Type SET type_kind = 7 WHERE id = 10", "type 10 is of no kind"),
        (
            "UPDATE TypeProperty SET data_type = 9 WHERE name = 'span'",
            "property 'span' of type 10 is of no kind",
        ),
        ("DROP TABLE Attribution", "cannot be read"),
        (
            "UPDATE Artifact SET create_time_since_epoch = 9223372036854775807",
            "artifact 1 has a time that is none",
        ),
        ("UPDATE Event SET milliseconds_since_epoch = 'now' WHERE id = 1", "event 1 has a time that is none"),
        ("UPDATE Artifact SET id = -2 WHERE id = 2", "1 rows of Artifact have no id of their own"),
        ("UPDATE Artifact SET uri = cast(x'ff' AS TEXT) WHERE id = 1", "the uri of artifact 1 is no UTF-8"),
    ],
)
def test_a_database_that_contradicts_itself_is_named(
    store: MetadataStore, tmp_path: Path, change: str, message: str
) -> None:
    path = restored(tmp_path, 10, change)
    with pytest.raises(IntegrityError, match=message) as caught:
        import_mlmd(store, path)
    assert caught.value.code == "mlmd-mismatch"


def test_a_difference_afterwards_is_found_and_kept(
    store: MetadataStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = restored(tmp_path)
    loaded = importer.load_source

    def spoiled(store: MetadataStore, source: Source, done: Brought) -> None:
        loaded(store, source, done)
        (first,) = store.find_nodes("artifact", name="first").nodes
        store.write(Change([Put(Artifact(type="Data", uid=first.uid, uri="/other"), if_exists="update")]))

    monkeypatch.setattr(importer, "load_source", spoiled)
    with pytest.raises(IntegrityError, match=r"artifact 1 of \w+ is not in the graph"):
        import_mlmd(store, path)
    (kept,) = store.find_nodes("execution", type_="mlmd_import").nodes
    assert isinstance(kept, Execution)
    assert kept.state == "FAILED"


def test_what_is_no_such_database_is_refused(store: MetadataStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="file-not-found"):
        import_mlmd(store, tmp_path / "none.db")
    text = tmp_path / "text.db"
    text.write_text("no database")
    empty = tmp_path / "empty.db"
    sqlite3.connect(empty).close()
    empty.touch()
    for path in (text, empty):
        with pytest.raises(UsageError, match=r"is no database of ML Metadata \(mlmd-version\)") as caught:
            import_mlmd(store, path)
        assert str(caught.value.hint).startswith("SQLite cannot" if path == text else "its table MLMDEnv")
    with pytest.raises(UsageError, match="bad-url"):
        import_mlmd(store, "oracle://x/y")
    for version in (5, 11):
        path = restored(tmp_path, 10, f"UPDATE MLMDEnv SET schema_version = {version}")
        with pytest.raises(UsageError, match=f"schema version {version} of ML Metadata"):
            import_mlmd(store, path)
        path.unlink()


def test_a_driver_that_is_absent_is_named(store: MetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "whence.integrations.mlmd.backends.read_postgres", raising=False)
    with pytest.raises(UnsupportedError, match=r"needs psycopg \(extra-missing\)"):
        import_mlmd(store, "postgresql://h/d")


def test_a_type_that_differs_is_refused(store: MetadataStore, tmp_path: Path) -> None:
    store.put_type(Type("artifact", "Data", {"span": "STRING"}))
    with pytest.raises(ConflictError, match="node-types-differ"):
        import_mlmd(store, restored(tmp_path))
    assert store.find_nodes("artifact").nodes == []


def test_sources_of_another_name_are_other_nodes(tmp_path: Path) -> None:
    path = restored(tmp_path)
    with Source(path, name="a") as one, Source(path, name="b") as other, Source(path) as derived:
        assert len({s.uid("artifact", 1) for s in (one, other, derived)}) == 3
        assert one.uid("artifact", 1) != one.uid("execution", 1)
        assert one.uid("context", 12) == derived_uid("mlmd", "a", "context", "12")


def test_the_golden_files_are_of_every_version_and_system() -> None:
    assert {p.relative_to(GOLDEN).as_posix() for p in GOLDEN.rglob("*.sql")} == {
        f"{system}/v{n}.sql" for system in ("sqlite", "postgresql", "mysql") for n in VERSIONS
    }
