"""Loading many nodes at once. A part of `MetadataSuite`."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata import (
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    Imported,
    Loaded,
    MetadataStore,
    Put,
    Removal,
    Rows,
    node_id,
    wire_id,
)
from whence.testing.metadata_past import now, picture
from whence.testing.metadata_world import AT_THE_EDGES, MOMENT, Furnished, artifact, put


def brought(n: int, **fields: object) -> Artifact:
    """An artifact as it was elsewhere."""
    times = {"created_at": MOMENT + timedelta(seconds=n), "updated_at": MOMENT + timedelta(days=1, seconds=n)}
    given: dict[str, object] = {"uid": f"a{n}", "id": node_id(n, "artifact"), **times, **fields}
    return artifact(**given)  # type: ignore[arg-type]  # the test says what


class LoadRules(Furnished):
    """Bulk loads: changes, and rows with ids and times of their own."""

    @pytest.fixture
    def rows(self) -> Rows:
        e = Execution(type="load", uid="e9", id=node_id(9, "execution"), created_at=MOMENT, state="COMPLETE")
        c = Context(type="Group", uid="c9", name="c", id=node_id(9, "context"), created_at=MOMENT)
        d = Context(type="Group", uid="d", name="d")
        return Rows(
            [brought(9, name="x", uri="u", custom={"k": 1}), brought(4, external_id="e-4"), e, c, d],
            [
                Event("e9", "a9", "OUTPUT", ("x",), MOMENT),
                Event("e9", "a4", "INPUT", at=MOMENT + timedelta(1)),
            ],
            attributions=[("c9", "a9")],
            associations=[("c9", "e9"), ("d", "e9")],
            parents=[("c9", "d")],
            imported=[
                ("artifact", 9, "a9"),
                ("artifact", 4, "a4"),
                ("execution", 9, "e9"),
                ("context", 9, "c9"),
            ],
            source="other",
        )

    def test_changes_are_loaded(self, typed: MetadataStore) -> None:
        told: list[int] = []
        batches = []
        for i in range(3):
            a, e = artifact(f"t{i}"), Execution(type="load", name=f"e{i}")
            batches.append(Change([Put(a), Put(e)], [Event(e.uid, a.uid, "OUTPUT")]))
        assert typed.load(iter(batches), on_progress=told.append) == Loaded(6, 0, 3, 0, 0)
        assert told == [3, 3, 3]
        assert [n.name for n in typed.find_nodes("artifact").nodes] == ["t0", "t1", "t2"]
        assert [n.name for n in typed.lineage([typed.find_nodes("artifact").nodes[2].uid]).executions] == [
            "e2"
        ]
        assert typed.load([]) == Loaded()

    def test_a_bad_batch_leaves_those_before(self, typed: MetadataStore) -> None:
        with pytest.raises(ConflictError) as caught:
            typed.load([Change([Put(artifact("a"))]), Change([Put(artifact("b")), Put(artifact("a"))])])
        assert caught.value.code == "name-taken"
        assert [n.name for n in typed.find_nodes("artifact").nodes] == ["a"]

    def test_rows_keep_their_ids_and_times(self, typed: MetadataStore, rows: Rows) -> None:
        assert typed.load([rows]) == Loaded(5, 0, 2, 3, 1)
        (a,) = typed.get_nodes("artifact", uids=["a9"])
        assert isinstance(a, Artifact)
        assert (a.id, a.created_at, a.updated_at) == (
            node_id(9, "artifact"),
            MOMENT + timedelta(seconds=9),
            MOMENT + timedelta(days=1, seconds=9),
        )
        assert (a.name, a.uri, a.custom, a.revision, a.namespace) == ("x", "u", {"k": 1}, 1, "default")
        (e,) = typed.get_nodes("execution", ids=[node_id(9, "execution")])
        assert (e.uid, e.created_at, e.updated_at) == ("e9", MOMENT, MOMENT)
        assert [v.at for v in typed.list_events(executions=["e9"])] == [MOMENT, MOMENT + timedelta(1)]
        (d,) = typed.get_nodes("context", uids=["d"])
        assert d.id is not None
        assert d.created_at is not None
        assert wire_id(d.id) > 9
        assert abs(datetime.now(UTC) - d.created_at) < timedelta(minutes=1)
        (new,) = put(typed, artifact("new"))
        assert new.id is not None
        assert wire_id(new.id) > wire_id(d.id)

    def test_the_same_rows_again_change_nothing(self, typed: MetadataStore, rows: Rows) -> None:
        typed.load([rows])
        before = picture(typed)
        assert typed.load([rows]) == Loaded()
        assert typed.load([dataclasses.replace(rows, nodes=[], imported=[])]) == Loaded()
        assert picture(typed) == before
        other_ids = [dataclasses.replace(n, id=None, revision=7) for n in rows.nodes]
        assert typed.load([dataclasses.replace(rows, nodes=other_ids)]) == Loaded()
        assert picture(typed) == before

    def test_rows_that_differ_replace(self, typed: MetadataStore, rows: Rows) -> None:
        typed.load([rows])
        (first,) = typed.get_nodes("artifact", uids=["a9"])
        moment = now(typed)
        later = brought(9, name="y", custom={"z": 1}, updated_at=MOMENT + timedelta(days=9))
        assert typed.load([Rows([later, brought(4, external_id="e-4")])]) == Loaded(0, 1, 0, 0, 0)
        (stored,) = typed.get_nodes("artifact", uids=["a9"])
        assert isinstance(stored, Artifact)
        assert (stored.name, stored.uri, stored.custom) == ("y", None, {"z": 1})
        assert (stored.updated_at, stored.created_at) == (later.updated_at, later.created_at)
        assert (stored.id, stored.revision) == (first.id, 2)
        assert typed.history("a9") == [first, stored]
        # What counts is when it was brought in, not when it was updated where it came from.
        assert typed.get_nodes("artifact", uids=["a9"], as_of=moment) == [first]
        assert typed.find_nodes("artifact", name="x", as_of=moment).nodes == [first]

    def test_the_past_of_what_was_brought_in(self, typed: MetadataStore, rows: Rows) -> None:
        typed.load([rows])
        then = MOMENT + timedelta(hours=1)
        assert [n.uid for n in typed.find_nodes("artifact", as_of=then).nodes] == ["a4", "a9"]
        assert len(typed.list_events(executions=["e9"], as_of=then)) == 1
        assert [n.uid for n in typed.list_contexts(artifact="a9", as_of=then)] == ["c9"]

    def test_the_map_of_ids_is_kept(self, typed: MetadataStore, rows: Rows) -> None:
        typed.load([rows])
        four, nine = node_id(4, "artifact"), node_id(9, "artifact")
        assert typed.list_imported("other") == [
            Imported("artifact", 4, "a4", four),
            Imported("artifact", 9, "a9", nine),
            Imported("execution", 9, "e9", node_id(9, "execution")),
            Imported("context", 9, "c9", node_id(9, "context")),
        ]
        assert typed.list_imported("other", "artifact", after=4) == [Imported("artifact", 9, "a9", nine)]
        assert typed.list_imported("other", "artifact", limit=1) == [Imported("artifact", 4, "a4", four)]
        assert typed.list_imported("absent") == []

    def test_ids_and_names_that_are_taken(self, typed: MetadataStore) -> None:
        (mine,) = put(typed, artifact("x", external_id="x-1"))
        before = picture(typed)
        for node, code in (
            (brought(8, id=mine.id), "id-taken"),
            (brought(8, name="x"), "name-taken"),
            (brought(8, external_id="x-1"), "name-taken"),
            (Artifact(type="Everything", uid=mine.uid), "name-taken"),
        ):
            with pytest.raises(ConflictError) as caught:
                typed.load([Rows([brought(7), node])])
            assert caught.value.code == code
        for wrong in (
            brought(8, id=node_id(8, "context")),
            brought(8, id=3),
            brought(8, id=node_id(2**60 + 1, "artifact")),
            brought(8, id=2**70 + 1),
            brought(8, created_at=AT_THE_EDGES[0]),
            brought(8, updated_at=AT_THE_EDGES[1]),
            brought(8, properties={"n_rows": "1"}),
        ):
            with pytest.raises(UsageError):
                typed.load([Rows([brought(7), wrong])])
        with pytest.raises(NotFoundError):
            typed.load([Rows([brought(7)], [Event("absent", "a7", "INPUT")])])
        assert picture(typed) == before

    def test_a_tombstone_is_left(self, typed: MetadataStore, rows: Rows) -> None:
        typed.load([rows])
        typed.write(Change(removals=[Removal("a4")]))
        before = picture(typed)
        again = Rows(
            [n for n in rows.nodes if n.uid == "a4"], imported=[("artifact", 4, "a4")], source="other"
        )
        assert typed.load([again]) == Loaded()
        assert picture(typed) == before

    def test_many_rows(self, typed: MetadataStore) -> None:
        n = 6_000
        batch = Rows([brought(i, name=f"n{i}") for i in range(1, n + 1)])
        assert typed.load([batch, batch]).n_nodes == n
        assert typed.count_nodes("artifact") == {"artifact": n}
