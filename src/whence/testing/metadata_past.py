"""The graph as it was known at a moment, and the history of a node. A part of `MetadataSuite`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from whence.errors import NotFoundError, UsageError
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    MetadataStore,
    NodeKind,
    Put,
    Removal,
    Subgraph,
)
from whence.testing.metadata_world import Furnished, artifact, put

KINDS: tuple[NodeKind, ...] = ("artifact", "execution", "context")


def picture(store: MetadataStore, as_of: datetime | None = None) -> dict[str, object]:
    """Everything that can be read of a graph, as values that compare."""
    nodes: list[AnyNode] = [node for kind in KINDS for node in store.all_nodes(kind, as_of=as_of)]
    walkable = [n.uid for n in nodes if not isinstance(n, Context)]
    lineage: Subgraph | None = store.lineage(walkable, max_hops=0, as_of=as_of) if walkable else None
    return {
        "nodes": nodes,
        "events": list(store.all_events(as_of=as_of)),
        "members": list(store.all_members(as_of=as_of)),
        "parents": list(store.all_parents(as_of=as_of)),
        "between": lineage and [(e.execution, e.artifact, e.kind, e.path) for e in lineage.events],
        "around": lineage and [c.uid for c in lineage.contexts],
    }


def now(store: MetadataStore) -> datetime:
    """A moment at which the last change is known, and no later one will be."""
    (mark,) = put(store, Context(type="Group"))
    assert mark.created_at is not None
    return mark.created_at


class PastRules(Furnished):
    """History, and `as_of`."""

    def test_every_revision_of_a_node_is_kept(self, typed: MetadataStore) -> None:
        first = artifact(
            "x", uri="a", properties={"n_rows": 1, "note": "n"}, custom={"k": [1.0, -0.0, b"\0"]}
        )
        steps: list[Callable[[Artifact], Put]] = [
            lambda a: Put(dataclasses.replace(a, state="PENDING"), "update"),
            lambda a: Put(
                dataclasses.replace(a, name="y", external_id="e", custom={"k": None, "new": "ü"}), "update"
            ),
            lambda a: Put(
                dataclasses.replace(a, uri=None, properties={"drift": 1}, custom={"$x": 1}), "replace"
            ),
            lambda a: Put(dataclasses.replace(a, custom={"k": [1, 0, b"\0"]}), "update"),
            lambda a: Put(a, "update"),
        ]
        stored = put(typed, first)
        for step in steps:
            node = stored[-1]
            assert isinstance(node, Artifact)
            stored.append(typed.write(Change([step(node)])).nodes[first.uid])
        assert typed.history(first.uid) == stored
        assert [n.revision for n in stored] == [1, 2, 3, 4, 5, 6]
        assert repr(typed.history(first.uid)[0].custom["k"]) == repr([1.0, -0.0, b"\0"])
        for node in stored:
            assert typed.get_nodes("artifact", uids=[first.uid], as_of=node.updated_at) == [node]
            assert typed.find_nodes("artifact", name=node.name or "", as_of=node.updated_at).nodes == [node]
        assert stored[0].created_at is not None
        before = stored[0].created_at - timedelta(microseconds=1)
        assert typed.get_nodes("artifact", uids=[first.uid], as_of=before) == []

    def test_an_execution_as_it_ran(self, typed: MetadataStore) -> None:
        e = Execution(type="load", name="e", state="RUNNING", properties={"attempt": 1})
        put(typed, e)
        ran = now(typed)
        typed.write(Change([Put(dataclasses.replace(e, state="COMPLETE", custom={"rows": 9}), "update")]))
        (was,) = typed.find_nodes("execution", state="RUNNING", as_of=ran).nodes
        assert isinstance(was, Execution)
        assert (was.state, was.custom, was.revision) == ("RUNNING", {}, 1)
        assert typed.find_nodes("execution", state="RUNNING").nodes == []
        assert typed.find_nodes("execution", matching="state = RUNNING", as_of=ran).nodes == [was]
        assert typed.find_nodes("execution", where={"rows": 9}, as_of=ran).nodes == []

    def test_edges_are_known_since_they_were_written(self, typed: MetadataStore) -> None:
        a, b, e = artifact("a"), artifact("b"), Execution(type="load", name="e")
        group, over = Context(type="Group", name="g"), Context(type="Group", name="o")
        put(typed, a, b, e, group, over)
        start = now(typed)
        long_ago = datetime(2001, 1, 1, tzinfo=UTC)
        typed.write(Change(events=[Event(e.uid, a.uid, "INPUT", at=long_ago)]))
        one = now(typed)
        typed.write(Change(events=[Event(e.uid, b.uid, "OUTPUT")], attributions=[(group.uid, b.uid)]))
        two = now(typed)
        typed.write(Change(associations=[(group.uid, e.uid)], parents=[(group.uid, over.uid)]))

        for moment, n_events, around, above in (
            (start, 0, 0, 0),
            (one, 1, 0, 0),
            (two, 2, 1, 0),
            (None, 2, 1, 1),
        ):
            assert len(typed.list_events(executions=[e.uid], as_of=moment)) == n_events
            assert len(typed.list_contexts(artifact=b.uid, as_of=moment)) == around
            assert len(typed.list_contexts(child=group.uid, as_of=moment)) == above
            assert len(typed.list_contexts(parent=over.uid, as_of=moment)) == above
            assert len(typed.find_nodes("artifact", context=group.uid, as_of=moment).nodes) == around
        assert {n.name for n in typed.lineage([b.uid], as_of=two).artifacts} == {"a", "b"}
        assert {n.name for n in typed.lineage([b.uid], as_of=one).artifacts} == {"b"}
        assert typed.list_events(executions=[e.uid])[0].at == long_ago

    def test_any_moment_reads_as_it_read_then(self, typed: MetadataStore) -> None:
        a, b, e, f = artifact("a"), artifact("b"), Execution(type="load", name="e"), Execution(type="load")
        g, h = Context(type="Group", name="g"), Context(type="Group", name="h")
        history = [
            Change([Put(a), Put(e)], [Event(e.uid, a.uid, "OUTPUT", ("x", 1))]),
            Change([Put(g)], associations=[(g.uid, e.uid)]),
            Change([Put(dataclasses.replace(a, custom={"n": 1}), "update"), Put(b), Put(f)], [
                Event(f.uid, a.uid, "INPUT"), Event(f.uid, b.uid, "OUTPUT")]),
            Change([Put(h)], attributions=[(h.uid, b.uid), (g.uid, b.uid)], parents=[(g.uid, h.uid)]),
            Change([Put(dataclasses.replace(e, state="COMPLETE", name="E"), "update")], [
                Event(e.uid, b.uid, "DECLARED_OUTPUT"), Event(e.uid, a.uid, "OUTPUT", ("x", 1))]),
            Change([Put(dataclasses.replace(a, custom={}, state="ABANDONED"), "replace"), Put(artifact("c"))]),
            Change([Put(dataclasses.replace(b, name="a2", uri="u"), "update", mask=frozenset({"name"}))]),
        ]  # fmt: skip
        seen: list[tuple[datetime, dict[str, object]]] = []
        for change in history:
            typed.write(change)
            times = [
                n.updated_at for kind in KINDS for n in typed.all_nodes(kind) if n.updated_at is not None
            ]
            seen.append((max(times), picture(typed)))
        for (moment, then), (later, _) in pairwise(seen):
            assert picture(typed, moment) == then
            assert picture(typed, later - timedelta(microseconds=1)) == then
        assert picture(typed, datetime(2000, 1, 1, tzinfo=UTC))["nodes"] == []
        assert picture(typed, datetime(2200, 1, 1, tzinfo=UTC)) == picture(typed)

    def test_pages_of_the_past(self, typed: MetadataStore) -> None:
        nodes = put(typed, *(artifact(f"t{i}") for i in range(7)))
        moment = now(typed)
        typed.write(Change([Put(dataclasses.replace(n, name=f"u{n.name}"), "update") for n in nodes[::2]]))
        put(typed, *(artifact(f"new{i}") for i in range(3)))
        seen: list[str | None] = []
        cursor = None
        while True:
            page = typed.find_nodes("artifact", limit=3, as_of=moment, cursor=cursor)
            seen += [n.name for n in page.nodes]
            cursor = page.cursor
            if cursor is None:
                break
        assert seen == [f"t{i}" for i in range(7)]
        assert [n.name for n in typed.list_nodes("artifact", name_prefix="t", as_of=moment)] == seen

    def test_a_removed_node_is_its_tombstone_in_the_past(self, typed: MetadataStore) -> None:
        a, e = artifact("a", uri="u", custom={"secret": 1}), Execution(type="load")
        typed.write(Change([Put(a), Put(e)], [Event(e.uid, a.uid, "OUTPUT")]))
        typed.write(Change([Put(dataclasses.replace(a, custom={"secret": 2}), "update")]))
        moment = now(typed)
        typed.write(Change(removals=[Removal(a.uid, "asked to")]))
        (then,) = typed.get_nodes("artifact", uids=[a.uid], as_of=moment)
        assert (then.name, then.properties, then.custom) == ("a", {}, {"removed_reason": "asked to"})
        assert typed.history(a.uid) == [then]
        assert typed.find_nodes("artifact", as_of=moment).nodes == [then]
        assert typed.find_nodes("artifact").nodes == []
        assert len(typed.list_events(artifacts=[a.uid], as_of=moment)) == 1

    def test_a_moment_that_is_asked_for_has_a_zone(self, typed: MetadataStore) -> None:
        naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the test
        for ask in (
            lambda: typed.find_nodes("artifact", as_of=naive),
            lambda: typed.get_nodes("artifact", uids=["x"], as_of=naive),
            lambda: typed.list_events(artifacts=["x"], as_of=naive),
            lambda: typed.list_contexts(artifact="x", as_of=naive),
            lambda: list(typed.all_events(as_of=naive)),
        ):
            with pytest.raises(UsageError) as caught:
                ask()
            assert caught.value.code == "naive-time"

    def test_a_start_that_was_not_there_yet_is_refused(self, typed: MetadataStore) -> None:
        before = now(typed)
        (a,) = put(typed, artifact("a"))
        with pytest.raises(NotFoundError) as caught:
            typed.lineage([a.uid], as_of=before)
        assert caught.value.code == "node-not-found"
