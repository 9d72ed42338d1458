"""The graph held still, and batches that bring tombstones and several namespaces. A part of `MetadataSuite`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from whence.errors import ConflictError, DeniedError
from whence.metadata import (
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    MetadataStore,
    Put,
    Removal,
    Rows,
    WalkQuery,
)
from whence.testing.metadata_past import picture
from whence.testing.metadata_world import Furnished, artifact, put

LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, 7, tzinfo=UTC)


class SnapshotRules(Furnished):
    """`MetadataStore.snapshot`, and what only `MetadataStore.load` writes."""

    def test_a_snapshot_is_of_one_moment(self, typed: MetadataStore) -> None:
        made, run, group = artifact("a"), Execution(type="load"), Context(type="Group", name="g")
        typed.write(
            Change(
                [Put(made), Put(run), Put(group)],
                [Event(run.uid, made.uid, "OUTPUT")],
                [(group.uid, made.uid)],
            )
        )
        before = picture(typed)
        spaces = typed.list_namespaces()
        with typed.snapshot() as still:
            assert picture(still) == before
            other = artifact("b", created_at=LONG_AGO)
            typed.load(
                [Rows([other], [Event(run.uid, other.uid, "OUTPUT", (), LONG_AGO)], [(group.uid, other.uid)])]
            )
            typed.write(Change([Put(artifact("a", uid=made.uid, uri="elsewhere"), if_exists="update")]))
            typed.write(Change(removals=[Removal(run.uid)]))
            typed.in_namespace("team", create=True).write(Change([Put(artifact("c"))]))
            assert picture(still) == before
            assert still.list_namespaces() == spaces
            assert still.find_nodes("artifact", name="b").nodes == []
            assert still.count_nodes("execution") == {"execution": 1}
            assert [level.hops for level in still.walk(WalkQuery([made.uid]))] == [0, 1]
        assert picture(typed) != before
        assert len(typed.find_nodes("artifact").nodes) == 2

    def test_nothing_is_written_through_a_snapshot(self, typed: MetadataStore) -> None:
        with typed.snapshot() as still:
            for write in (
                lambda: still.write(Change([Put(artifact("a"))])),
                lambda: still.load([Rows([artifact("a")])]),
                lambda: still.put_namespace("team"),
            ):
                with pytest.raises(DeniedError, match="read-only"):
                    write()
        put(typed, artifact("a"))

    def test_a_tombstone_is_brought_with_its_edges(self, typed: MetadataStore) -> None:
        gone = artifact(
            "a",
            created_at=LONG_AGO,
            updated_at=LONG_AGO,
            removed_at=LONG_AGO.replace(year=2002),
            external_id="E",
            custom={"removed_reason": "asked to", "removed_by": "ada"},
        )
        run, group = Execution(type="load"), Context(type="Group", name="g")
        rows = Rows([gone, run, group], [Event(run.uid, gone.uid, "OUTPUT")], [(group.uid, gone.uid)])
        typed.load([rows])
        (found,) = typed.get_nodes("artifact", uids=[gone.uid])
        assert isinstance(found, Artifact)
        assert (found.created_at, found.updated_at, found.removed_at) == (
            gone.created_at,
            gone.updated_at,
            gone.removed_at,
        )
        assert (found.name, found.external_id, found.state) == ("a", "E", "DELETED")
        assert dict(found.custom) == dict(gone.custom)
        assert typed.find_nodes("artifact").nodes == []
        assert [e.artifact for e in typed.list_events(executions=[run.uid])] == [gone.uid]
        # Its names are free, and it takes no more edges.
        put(typed, artifact("a", external_id="E"))
        typed.load([Rows([gone])])
        with pytest.raises(ConflictError, match="removed"):
            typed.load([Rows(events=[Event(run.uid, gone.uid, "INPUT")])])

    def test_a_batch_fills_several_namespaces(self, typed: MetadataStore) -> None:
        team = typed.put_namespace("team").id
        assert team is not None
        nodes = [artifact("a"), artifact("a", namespace="team"), artifact("b", namespace="elsewhere")]
        typed.load([Rows(nodes, namespaces={"team": team})])
        assert [n.name for n in typed.find_nodes("artifact").nodes] == ["a", "b"]
        assert [n.uid for n in typed.in_namespace("team").find_nodes("artifact").nodes] == [nodes[1].uid]
        with pytest.raises(ConflictError, match="name-taken"):
            typed.load([Rows([artifact("c"), artifact("a", namespace="team")], namespaces={"team": team})])
        assert typed.find_nodes("artifact", name="c").nodes == []
