"""A dry run names everything that the import would refuse, and changes nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.unit.integrations.mlmd.golden import restored
from whence.errors import WhenceError
from whence.integrations.mlmd.importer import import_mlmd
from whence.integrations.mlmd.rehearsal import MOST, namespace_to_look
from whence.metadata import Artifact, Change, Context, MetadataStore, Put, Removal, Type

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
    assert refused[-1] == "and 500 more things are refused"
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
