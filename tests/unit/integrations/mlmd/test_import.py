"""Databases of ML Metadata come in complete, from each schema version, and coming in again changes nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.unit.integrations.mlmd.calls import pb
from whence.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from whence.integrations.mlmd.backends.source import SqliteSource
from whence.integrations.mlmd.importer import import_mlmd
from whence.metadata import Artifact, MetadataStore, Type

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = [6, 7, 8, 9, 10]


def restored(folder: Path, version: int = 10, *changes: str) -> Path:
    path = folder / f"v{version}.db"
    connection = sqlite3.connect(path)
    connection.executescript((GOLDEN / f"v{version}.sql").read_text())
    for change in changes:
        connection.execute(change)
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_comes_in_complete(store: MetadataStore, tmp_path: Path, version: int) -> None:
    path = restored(tmp_path, version)
    before = path.read_bytes()
    done = import_mlmd(store, path)
    assert done.version == version
    assert done.found["Artifact"] == done.written["artifact"] == 2
    assert (done.written["execution"], done.written["context"], done.written["Event"]) == (1, 2, 3)
    assert (done.written["Attribution"], done.written["Association"], done.written["ParentContext"]) == (
        2,
        1,
        1,
    )
    assert done.told == []
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("v")] == [path.name]
    (first,) = store.find_nodes("artifact", name="first").nodes
    assert isinstance(first, Artifact)
    assert (first.uri, first.state, first.type) == ("/x/é", "LIVE", "Data")
    assert first.external_id == ("E1" if version > 8 else None)
    wanted: dict[str, object] = {
        "span": 3,
        "share": 0.5,
        "split": "train",
        "facts": {"k": [1.0, None, {"deep": "ü"}]},
    }
    if version == 10:
        wanted["ok"] = False
        step = pb.Value(proto_value={"type_url": "type.googleapis.com/ml_metadata.Event.Path.Step"})
        step.proto_value.value = pb.Event.Path.Step(key="packed").SerializeToString()
        wanted["raw"] = step.proto_value.SerializeToString()
    assert dict(first.properties) == wanted
    assert dict(first.custom) == {"note": "mlmd-struct is only a prefix"}
    events = store.list_events(artifacts=[first.uid])
    assert {(e.kind, e.path) for e in events} == {("INPUT", ("rows", 2)), ("DECLARED_INPUT", ())}
    (c,) = store.list_contexts(artifact=first.uid)
    (d,) = store.find_nodes("context", name="d").nodes
    assert [p.uid for p in store.list_contexts(child=d.uid)] == [c.uid]
    types = {(t.name, t.version): t for t in store.list_types("artifact")}
    assert types["Data", None].base == "mlmd.Dataset"
    assert types["Data", "2"].description == "later"


def test_twice_is_once_and_growth_is_followed(store: MetadataStore, tmp_path: Path) -> None:
    path = restored(tmp_path)
    import_mlmd(store, path)
    again = import_mlmd(store, path)
    assert sum(again.written.values()) == 0
    connection = sqlite3.connect(path)
    connection.execute("UPDATE Artifact SET uri = '/new' WHERE id = 1")
    connection.execute("DELETE FROM ArtifactProperty WHERE artifact_id = 1 AND name = 'span'")
    connection.execute("INSERT INTO Attribution (context_id, artifact_id) VALUES (2, 1)")
    connection.commit()
    connection.close()
    grown = import_mlmd(store, path)
    assert grown.source == again.source
    assert {k: v for k, v in grown.written.items() if v} == {"artifact": 1, "Attribution": 1}
    (first,) = store.find_nodes("artifact", name="first").nodes
    assert isinstance(first, Artifact)
    assert (first.uri, first.get("span")) == ("/new", None)


def test_a_dry_run_reads_all_and_writes_nothing(store: MetadataStore, tmp_path: Path) -> None:
    done = import_mlmd(store, restored(tmp_path), dry_run=True)
    assert done.found["Event"] == 3
    assert store.find_nodes("artifact").nodes == []
    assert len(store.list_types()) == 9


def test_an_event_of_no_kind_is_told(store: MetadataStore, tmp_path: Path) -> None:
    path = restored(tmp_path, 10, "UPDATE Event SET type = 0 WHERE id = 2")
    assert import_mlmd(store, path).told == ["event 2 is of kind UNKNOWN and is left out"]


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
        ("DROP TABLE Attribution", "cannot be read"),
        ("UPDATE Artifact SET uri = cast(x'ff' AS TEXT) WHERE id = 1", "cannot be read"),
    ],
)
def test_a_database_that_contradicts_itself_is_named(
    store: MetadataStore, tmp_path: Path, change: str, message: str
) -> None:
    path = restored(tmp_path, 10, change)
    with pytest.raises(IntegrityError, match=message) as caught:
        import_mlmd(store, path)
    assert caught.value.code == "mlmd-mismatch"


def test_what_is_no_such_database_is_refused(store: MetadataStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="file-not-found"):
        import_mlmd(store, tmp_path / "none.db")
    text = tmp_path / "text.db"
    text.write_text("no database")
    with pytest.raises(UsageError, match=r"is no database of ML Metadata \(mlmd-version\)"):
        import_mlmd(store, text)
    for version in (5, 11):
        path = restored(tmp_path, 10, f"UPDATE MLMDEnv SET schema_version = {version}")
        with pytest.raises(UsageError, match=f"schema version {version} of ML Metadata"):
            import_mlmd(store, path)
        path.unlink()


def test_a_type_that_differs_is_refused(store: MetadataStore, tmp_path: Path) -> None:
    store.put_type(Type("artifact", "Data", {"span": "STRING"}))
    with pytest.raises(ConflictError, match="node-types-differ"):
        import_mlmd(store, restored(tmp_path))
    assert store.find_nodes("artifact").nodes == []


def test_sources_of_another_name_are_other_nodes(store: MetadataStore, tmp_path: Path) -> None:
    path = restored(tmp_path)
    with (
        SqliteSource(path, name="a") as one,
        SqliteSource(path, name="b") as other,
        SqliteSource(path) as derived,
    ):
        assert len({s.uid("artifact", 1) for s in (one, other, derived)}) == 3
        assert one.uid("artifact", 1) != one.uid("execution", 1)
