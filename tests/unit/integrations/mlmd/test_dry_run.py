"""A dry run names everything that the import would refuse, and changes nothing."""

from __future__ import annotations

import re
import sqlite3
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.integrations.mlmd.golden import dump, restored
from whence.errors import IntegrityError, UsageError, WhenceError
from whence.integrations.mlmd.importer import import_mlmd
from whence.integrations.mlmd.rehearsal import namespace_to_look
from whence.integrations.mlmd.sentences import MOST
from whence.metadata import Artifact, Change, Context, MetadataStore, Put, Removal, Type, open_store

LONG = "replace(hex(zeroblob(300)), '0', 'n')"

# What is done to the database, and what must be said of it.
WRONG: list[tuple[str, str]] = [
    ("UPDATE Artifact SET uri = cast(x'ff' AS TEXT) WHERE id = 1", "the uri of artifact 1 is no UTF-8"),
    ("UPDATE Artifact SET uri = x'00' WHERE id = 1", "the uri of artifact 1 is no text"),
    (f"UPDATE Artifact SET uri = hex(zeroblob(40000)) WHERE id = 1", "artifact 1: the uri of Data artifact 1 has 80000"),  # noqa: F541
    (f"UPDATE Execution SET name = {LONG} WHERE id = 1", "execution 1: the name of Train execution 1 has 600 characters"),
    ("UPDATE Artifact SET name = cast(x'410041' AS TEXT) WHERE id = 1", "has a NUL"),
    ("UPDATE Artifact SET state = 77 WHERE id = 2", "77 is no state of an artifact"),
    ("UPDATE Artifact SET type_id = 99 WHERE id = 2", "artifact 2 has type 99, which is absent"),
    ("UPDATE Artifact SET create_time_since_epoch = 'x' WHERE id = 2", "artifact 2 has a time that is none"),
    ("UPDATE ArtifactProperty SET int_value = 9, string_value = NULL WHERE name = 'split'", "artifact 1: property 'split' of 'Data' is STRING, got int 9"),
    ("UPDATE ArtifactProperty SET int_value = NULL, string_value = 'x' WHERE name = 'span' AND artifact_id = 1 AND NOT is_custom_property", "artifact 1: property 'span' of 'Data' is INT, got str 'x'"),
    ("DELETE FROM TypeProperty WHERE name = 'share'", "artifact 1: property 'share' is not declared by artifact type 'Data'"),
    ("UPDATE ArtifactProperty SET string_value = hex(zeroblob(3000000)) WHERE name = 'split'", "artifact 1: property 'split' takes 6000002 bytes"),
    ("UPDATE ArtifactProperty SET byte_value = x'00' WHERE name = 'span'", "which ML Metadata never wrote"),
    ("UPDATE ArtifactProperty SET string_value = 'mlmd-struct::?' WHERE name = 'facts'", "property 'facts' of artifact 1 cannot be decoded"),
    ("UPDATE EventPath SET step_key = NULL, is_index_step = 0 WHERE step_key = 'é'", "event 1: a step of an event's path is text or a whole number, got None"),
    ("UPDATE EventPath SET step_key = hex(zeroblob(400)) WHERE step_key = 'é'", "event 1: an event's path has"),
    ("UPDATE Event SET milliseconds_since_epoch = 'now' WHERE id = 2", "event 2 has a time that is none"),
    ("INSERT INTO ParentContext VALUES (1, 1)", "Context"),
    ("INSERT INTO ParentContext VALUES (2, 3), (1, 3)", "contexts would be their own ancestors"),
    ("UPDATE Type SET type_kind = 7 WHERE name = 'Train'", "is of no kind"),
    ("UPDATE TypeProperty SET data_type = 9 WHERE name = 'span'", "property 'span' of type 10 is of no kind"),
    ("UPDATE Context SET id = -5 WHERE id = 3", "1 rows of Context have no id of their own"),
    ("UPDATE Artifact SET id = 8000000000000000000 WHERE id = 2", "1 rows of Artifact have no id of their own"),
]  # fmt: skip


def everything(store: MetadataStore) -> tuple[object, ...]:
    """All that an import could leave."""
    nodes = [n for kind in ("artifact", "execution", "context") for n in store.all_nodes(kind)]
    pairs = list(store.all_members()), list(store.all_parents())
    return nodes, list(store.all_events()), pairs, store.list_types(), store.list_namespaces()


def dry(store: MetadataStore, path: Path) -> list[str]:
    """What a dry run says is refused; it changed nothing, the source included."""
    before, file = everything(store), path.read_bytes()
    refused = import_mlmd(store, path, dry_run=True).refused
    assert everything(store) == before
    assert path.read_bytes() == file
    return refused


def is_refused(store: MetadataStore, path: Path) -> bool:
    """Whether the import itself raises."""
    try:
        import_mlmd(store, path)
    except WhenceError:
        return True
    return False


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_what_an_import_refuses_is_named(
    store: MetadataStore, tmp_path: Path, change: str, said: str
) -> None:
    path = restored(tmp_path, 10, change)
    refused = dry(store, path)
    assert any(said in sentence for sentence in refused), refused
    assert is_refused(store, path)


def test_all_of_it_is_named_at_once(store: MetadataStore, tmp_path: Path) -> None:
    several = [WRONG[i] for i in (0, 4, 6, 8, 10, 14, 16, 18) if i != 4]
    refused = dry(store, restored(tmp_path, 10, *(change for change, _ in several)))
    for _, said in several:
        if "artifact 1: " not in said:  # its uri takes it out before its properties are looked at
            assert any(said in sentence for sentence in refused), (said, refused)
    assert len(refused) >= 5


def test_many_refusals_are_counted(store: MetadataStore, tmp_path: Path) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 1599)"
    path = restored(
        tmp_path,
        10,
        f"INSERT INTO Artifact (id, type_id, name) {rows} SELECT i, 10, 'n' || i FROM n",
        "INSERT INTO ArtifactProperty (artifact_id, name, is_custom_property, string_value)"
        " SELECT id, 'span', 0, 'wrong' FROM Artifact WHERE id >= 100",
    )
    refused = dry(store, path)
    assert len(refused) == MOST + 1
    assert refused[-1] == "and 500 more"
    assert refused[0] == "artifact 100: property 'span' of 'Data' is INT, got str 'wrong'"


def test_what_the_graph_has_is_looked_at(store: MetadataStore, tmp_path: Path) -> None:
    path = restored(tmp_path)
    for kind, name in (("artifact", "Data"), ("execution", "Train")):
        store.put_type(Type(kind, name))  # type: ignore[arg-type]  # kinds
    store.write(
        Change([Put(Artifact(type="Data", name="first")), Put(Artifact(type="Data", external_id="E1"))])
    )
    refused = dry(store, path)
    assert [s for s in refused if "is taken" in s] == [
        "artifact 1: artifact name 'first' is taken in type 'Data'"
    ]
    assert is_refused(store, path)


def test_circles_with_what_the_graph_has(store: MetadataStore, tmp_path: Path) -> None:
    path = restored(tmp_path)
    import_mlmd(store, path)
    contexts = {c.name: c for c in store.find_nodes("context").nodes if isinstance(c, Context)}
    connection = sqlite3.connect(path)
    ((child, parent),) = connection.execute("SELECT context_id, parent_context_id FROM ParentContext LIMIT 1")
    connection.execute("DELETE FROM ParentContext")
    connection.execute("INSERT INTO ParentContext VALUES (?, ?)", (parent, child))
    connection.commit()
    connection.close()
    assert len(contexts) == 3
    assert any("would be its own ancestor" in s for s in dry(store, path))
    assert is_refused(store, path)


def test_a_circle_that_does_not_come_in_is_not_refused(store: MetadataStore, tmp_path: Path) -> None:
    absent = "INSERT INTO ParentContext VALUES (77, 78), (78, 77), (-1, -1)"
    path = restored(tmp_path, 10, "DELETE FROM ParentContext", absent)
    assert dry(store, path) == []
    import_mlmd(store, path)
    (second,) = store.find_nodes("context", name="d").nodes
    store.write(Change(removals=[Removal(second.uid, "asked to")]))
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO ParentContext VALUES (1, 3), (3, 2), (2, 1)")
    connection.commit()
    connection.close()
    assert dry(store, path) == []
    assert import_mlmd(store, path).written["ParentContext"] == 1


def test_a_closed_namespace_is_said(store: MetadataStore, tmp_path: Path) -> None:
    team = store.in_namespace("team", create=True)
    store.put_namespace("team", closed=True)
    assert dry(team, restored(tmp_path)) == ["namespace 'team' is closed"]


def test_a_namespace_need_not_be_there(store: MetadataStore, tmp_path: Path) -> None:
    path = restored(tmp_path)
    import_mlmd(store, path)
    done = import_mlmd(namespace_to_look(store, "team"), path, dry_run=True)
    assert (done.refused, done.moved > 0) == ([], True)
    assert [n.name for n in store.list_namespaces()] == ["default"]
    assert namespace_to_look(store, "default").namespace == "default"


def test_what_was_removed_here_stays_removed(store: MetadataStore, tmp_path: Path) -> None:
    path = restored(tmp_path)
    import_mlmd(store, path)
    (first,) = store.find_nodes("artifact", name="first").nodes
    store.write(Change(removals=[Removal(first.uid, "asked to")]))
    assert dry(store, path) == []
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO Attribution (context_id, artifact_id) VALUES (2, 1)")
    connection.commit()
    connection.close()
    again = import_mlmd(store, path)
    assert sum(again.written.values()) == 0
    assert again.told == ["1 artifacts were removed here since they came, and stay so"]


GARBAGE = [
    "NULL", "-1", "0", "1", "77", "4611686018427387905", "9223372036854775807", "0.5", "1e300", "'x'", "''", "x'ff'",
    "cast(x'ff' AS TEXT)", "cast(x'610061' AS TEXT)", "'mlmd-struct::AA=='", "hex(zeroblob(400))",
]  # fmt: skip


@cache
def intact(version: int) -> bytes:
    """The file of a version, made in memory: thousands are written."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(dump("sqlite", version))
    return connection.serialize()


@cache
def loosened(version: int) -> tuple[bytes, dict[str, list[str]]]:
    """A database whose tables have no constraint any more; its tables with their columns."""
    connection = sqlite3.connect(":memory:")
    connection.deserialize(intact(version))
    tables: dict[str, list[str]] = {}
    for (table,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    ).fetchall():
        tables[table] = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        connection.execute(f"CREATE TABLE loose AS SELECT * FROM {table}")
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"ALTER TABLE loose RENAME TO {table}")
    connection.commit()
    return connection.serialize(), tables


@settings(max_examples=60)
@given(data=st.data(), version=st.sampled_from([6, 8, 10]))
def test_garbage_is_refused_by_name_or_comes_in(data: st.DataObject, version: int) -> None:
    whole, tables = loosened(version)
    connection = sqlite3.connect(":memory:")
    connection.deserialize(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        table = data.draw(st.sampled_from(sorted(tables)))
        column = data.draw(st.sampled_from(tables[table]))
        what = data.draw(st.sampled_from(["set", "set", "set", "double", "drop"]))
        try:
            if what == "set":
                row = f"(SELECT rowid FROM {table} LIMIT 1 OFFSET {data.draw(st.integers(0, 3))})"
                where = "" if data.draw(st.booleans()) else f" WHERE rowid = {row}"
                connection.execute(
                    f"UPDATE {table} SET {column} = {data.draw(st.sampled_from(GARBAGE))}{where}"
                )
            elif what == "double":
                connection.execute(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1")
            else:
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        except sqlite3.OperationalError:
            pass  # that column is gone already
    connection.commit()
    store = open_store("memory://")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.db"
        path.write_bytes(connection.serialize())
        try:
            refused = dry(store, path)
        except (IntegrityError, UsageError):
            assert is_refused(store, path)
        else:
            assert bool(refused) == is_refused(store, path), refused


@settings(max_examples=60)
@given(start=st.floats(0, 1), data=st.binary(min_size=1, max_size=400), cut=st.booleans())
def test_a_broken_file_is_an_error_of_ours(start: float, data: bytes, *, cut: bool) -> None:
    whole = intact(10)
    place = int(start * len(whole))
    store = open_store("memory://")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "broken.db"
        path.write_bytes(whole[:place] if cut else whole[:place] + data + whole[place + len(data) :])
        try:
            import_mlmd(store, path, dry_run=True)
        except WhenceError as error:
            assert re.fullmatch("mlmd-mismatch|mlmd-version", error.code), error  # noqa: PT017 - else it may well be whole
        is_refused(store, path)
