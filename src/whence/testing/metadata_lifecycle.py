"""Removal, purging, marks, namespaces and signs of life. A part of `MetadataSuite`."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from whence.errors import ConflictError, DeniedError, NotFoundError, UsageError
from whence.metadata import (
    Artifact,
    Beat,
    Change,
    Context,
    Event,
    Execution,
    Lift,
    Mark,
    MetadataStore,
    Purged,
    Put,
    Removal,
)
from whence.testing.metadata_world import Furnished, artifact, names, put


class RemovalRules(Furnished):
    """A removed node leaves a tombstone, and lineage holds together."""

    @pytest.fixture
    def line(self, typed: MetadataStore) -> list[str]:
        """Uids of a → e → b → f → c; b is in context g."""
        a, b, c = artifact("a"), artifact("b", external_id="b-1", uri="u", custom={"k": 1}), artifact("c")
        e, f, g = (
            Execution(type="load", name="e"),
            Execution(type="load", name="f"),
            Context(type="Group", name="g"),
        )
        typed.write(
            Change(
                [Put(n) for n in (a, b, c, e, f, g)],
                [
                    Event(e.uid, a.uid, "INPUT"),
                    Event(e.uid, b.uid, "OUTPUT"),
                    Event(f.uid, b.uid, "INPUT"),
                    Event(f.uid, c.uid, "OUTPUT"),
                ],
                attributions=[(g.uid, b.uid)],
            )
        )
        return [n.uid for n in (a, b, c, e, f, g)]

    def test_a_tombstone_stays(self, typed: MetadataStore, line: list[str]) -> None:
        a, b, c, e, f, g = line
        (before,) = typed.get_nodes("artifact", uids=[b])
        written = typed.write(Change(removals=[Removal(b, "erasure 7", "ops")]))
        assert written.nodes == {}
        (left,) = typed.get_nodes("artifact", uids=[b])
        assert isinstance(left, Artifact)
        assert (left.id, left.type, left.created_at) == (before.id, before.type, before.created_at)
        assert (left.name, left.external_id, left.uri, left.state) == ("b", "b-1", None, "DELETED")
        assert (left.properties, left.revision) == ({}, 2)
        assert left.custom == {"removed_reason": "erasure 7", "removed_by": "ops"}
        assert left.removed_at is not None
        assert left.removed_at == left.updated_at
        assert typed.get_nodes("artifact", ids=[left.id or 0]) == [left]
        assert names(typed.lineage([c])) == {"a", "b", "c", "e", "f"}
        assert {n.removed_at for n in typed.lineage([c]).artifacts} == {None, left.removed_at}
        assert [n.uid for n in typed.list_contexts(artifact=b)] == [g]
        assert len(typed.list_events(artifacts=[b])) == 2
        typed.write(Change(removals=[Removal(b, "again"), Removal(b)]))
        assert typed.get_nodes("artifact", uids=[b]) == [left]
        assert a != e != f

    def test_tombstones_are_not_listed_unless_asked(self, typed: MetadataStore, line: list[str]) -> None:
        _, b, _, e, _, g = line
        typed.write(Change(removals=[Removal(b), Removal(e)]))
        assert [n.name for n in typed.find_nodes("artifact").nodes] == ["a", "c"]
        assert [n.name for n in typed.find_nodes("artifact", removed=True).nodes] == ["a", "b", "c"]
        assert [n.name for n in typed.list_nodes("execution")] == ["f"]
        assert [n.name for n in typed.list_nodes("execution", removed=True)] == ["e", "f"]
        assert typed.find_nodes("artifact", context=g).nodes == []
        assert [n.uid for n in typed.find_nodes("artifact", context=g, removed=True).nodes] == [b]
        assert typed.count_nodes("artifact") == {"artifact": 2}
        for ask in ({"uri": "u"}, {"where": {"k": 1}}):
            assert typed.find_nodes("artifact", removed=True, **ask).nodes == []

    def test_a_tombstone_is_found_by_the_names_it_had(self, typed: MetadataStore, line: list[str]) -> None:
        _, b, _, e, *_ = line
        before = typed.get_nodes("artifact", uids=[b])[0]
        moment = typed.write(Change([Put(artifact("z"))])).nodes
        then = max(n.updated_at for n in moment.values() if n.updated_at is not None)
        new = artifact("b", external_id="b-1")
        typed.write(Change([Put(new)], removals=[Removal(b), Removal(e)]))
        asks: list[dict[str, Any]] = [
            {"name": "b"},
            {"name": ["b", "no"]},
            {"name_prefix": "b"},
            {"external_id": "b-1"},
            {"matching": "name = 'b'"},
            {"matching": "name IN ('b', 'no')"},
            {"matching": "name LIKE 'b%' AND external_id = 'b-1'"},
        ]
        for ask in asks:
            assert [n.uid for n in typed.find_nodes("artifact", **ask).nodes] == [new.uid], ask
            found = typed.find_nodes("artifact", removed=True, **ask).nodes
            assert {n.uid for n in found} == {b, new.uid}, ask
            everywhere = typed.find_nodes("artifact", removed=True, everywhere=True, **ask).nodes
            assert {n.uid for n in everywhere} == {b, new.uid}, ask
            (was,) = typed.find_nodes("artifact", as_of=then, **ask).nodes
            assert (was.uid, was.name, was.created_at) == (b, "b", before.created_at), ask
        around = typed.find_nodes("artifact", matching="ancestor(name = 'e')")
        assert [n.name for n in around.nodes] == ["c"]
        assert [n.name for n in typed.find_nodes("artifact", matching="ancestor(name = 'b')").nodes] == ["c"]
        assert typed.find_nodes("execution", matching="name = 'e'").nodes == []
        (gone,) = typed.find_nodes("execution", matching="name = 'e'", removed=True).nodes
        assert gone.uid == e

    def test_a_name_is_free_at_once(self, typed: MetadataStore, line: list[str]) -> None:
        b = line[1]
        new = artifact("b", external_id="b-1")
        stored = typed.write(Change([Put(new)], removals=[Removal(b)])).nodes[new.uid]
        assert typed.find_nodes("artifact", name="b").nodes == [stored]
        assert typed.find_nodes("artifact", external_id="b-1").nodes == [stored]

    def test_a_tombstone_does_not_change(self, typed: MetadataStore, line: list[str]) -> None:
        a, b, _, e, _, g = line
        typed.write(Change(removals=[Removal(b), Removal(g)]))
        left = typed.get_nodes("artifact", uids=[b])
        new = Execution(type="load")
        for change in (
            Change([Put(artifact("z", uid=b), "update")]),
            Change([Put(artifact("z", uid=b), "replace")]),
            Change([Put(dataclasses.replace(left[0], custom={}))]),
            Change([Put(new)], [Event(new.uid, b, "INPUT")]),
            Change(attributions=[(g, a)]),
            Change(associations=[(g, e)]),
        ):
            with pytest.raises(ConflictError) as caught:
                typed.write(change)
            assert caught.value.code == "removed"
        with pytest.raises(ConflictError, match=r"uid \S+ is taken"):
            put(typed, artifact("z", uid=b))
        again = artifact("z", uid=b)
        assert typed.write(Change([Put(again, "reuse")])).nodes == {b: left[0]}
        assert typed.get_nodes("artifact", uids=[b]) == left

    def test_a_removal_of_nothing_is_refused(self, typed: MetadataStore, line: list[str]) -> None:
        with pytest.raises(NotFoundError) as caught:
            typed.write(Change(removals=[Removal(line[0]), Removal("absent")]))
        assert caught.value.code == "node-not-found"
        assert typed.count_nodes("artifact") == {"artifact": 3}

    def test_purging_takes_out_what_hangs_on_a_tombstone(self, typed: MetadataStore, line: list[str]) -> None:
        a, b, c, e, f, g = line
        typed.write(Change(marks=[Mark(b, "bad rows"), Mark(c, "bad rows")]))
        with pytest.raises(ConflictError) as caught:
            typed.purge([a])
        assert caught.value.code == "not-removed"
        typed.write(Change(removals=[Removal(b)]))
        with pytest.raises(ConflictError):
            typed.purge([b, c])
        assert len(typed.list_events(artifacts=[b])) == 2
        assert typed.purge([b, "absent"]) == Purged(1, 2, 1)
        assert typed.get_nodes("artifact", uids=[b]) == []
        assert names(typed.lineage([c])) == {"f", "c"}
        assert typed.list_contexts(artifact=b) == []
        assert [m.uid for m in typed.list_marks()] == [c]
        assert len(list(typed.all_events())) == 2
        assert list(typed.all_members()) == []
        assert typed.purge([b]) == Purged()
        put(typed, artifact("b", uid=b, external_id="b-1"))
        assert [e, f, g] == line[3:]

    def test_an_id_is_given_once(self, typed: MetadataStore) -> None:
        (last,) = put(typed, artifact("last"))
        typed.write(Change(removals=[Removal(last.uid)]))
        typed.purge([last.uid])
        (new,) = put(typed, artifact("new"))
        assert last.id is not None
        assert new.id is not None
        assert new.id > last.id

    def test_a_purged_context_has_no_family(self, typed: MetadataStore) -> None:
        one, two, three = (n.uid for n in put(typed, *(Context(type="Group", name=x) for x in "123")))
        typed.write(Change(parents=[(one, two), (two, three)]))
        typed.write(Change(removals=[Removal(two)]))
        assert typed.purge([two]).n_nodes == 1
        assert list(typed.all_parents()) == []
        typed.write(Change(parents=[(three, one)]))


class MarkRules(Furnished):
    """Marks say that a node is bad until they are lifted."""

    def test_marks_are_kept_and_lifted(self, typed: MetadataStore) -> None:
        assert not typed.has_marks()
        a, e = put(typed, artifact("a"), Execution(type="load"))
        written = typed.write(
            Change(marks=[Mark(a.uid, "wrong rows", "retrain", principal="ops"), Mark(e.uid)])
        )
        first, second = written.marks
        assert (first.uid, first.reason, first.policy, first.verdict) == (
            a.uid,
            "wrong rows",
            "retrain",
            "bad",
        )
        assert (first.principal, first.lifted_at, first.lifted_by) == ("ops", None, None)
        assert (second.uid, second.policy) == (e.uid, "block")
        assert first.id is not None
        assert second.id is not None
        assert first.id < second.id
        assert first.at is not None
        assert typed.has_marks()
        assert typed.list_marks() == [first, second]
        assert typed.list_marks(after=first.id) == [second]
        assert typed.list_marks(limit=1) == [first]
        assert typed.list_marks(uids=[e.uid, "absent"]) == [second]
        assert typed.list_marks(uids=[]) == []
        (lifted,) = typed.write(Change(lifts=[Lift(first.id, "boss")])).marks
        assert lifted.lifted_at is not None
        assert lifted == dataclasses.replace(first, lifted_at=lifted.lifted_at, lifted_by="boss")
        assert lifted.lifted_at > first.at
        assert typed.list_marks() == [lifted, second]
        assert typed.list_marks(live=True) == [second]
        assert typed.write(Change(lifts=[Lift(first.id, "other")])).marks == []
        assert typed.list_marks() == [lifted, second]
        typed.write(Change(lifts=[Lift(second.id)]))
        assert not typed.has_marks()

    def test_a_mark_of_a_new_node(self, typed: MetadataStore) -> None:
        a = artifact("a")
        (mark,) = typed.write(Change([Put(a)], marks=[Mark(a.uid, "é")])).marks
        assert typed.list_marks(uids=[a.uid]) == [mark]

    def test_what_says_that_something_is_good_again_is_never_in_force(self, typed: MetadataStore) -> None:
        one, two = put(typed, artifact("t@1"), artifact("t@2"))
        bad, good = typed.write(
            Change(
                marks=[
                    Mark(one.uid, "cents", verdict="bad-onward"),
                    Mark(two.uid, "ok", verdict="repaired", principal="ada"),
                ]
            )
        ).marks
        assert (bad.verdict, bad.lifted_at, good.verdict, good.lifted_at, good.lifted_by) == (
            "bad-onward", None, "repaired", good.at, "ada",
        )  # fmt: skip
        assert typed.list_marks() == [bad, good]
        assert typed.list_marks(live=True) == [bad]
        assert bad.id is not None
        typed.write(Change(lifts=[Lift(bad.id)]))
        assert not typed.has_marks()

    def test_bad_marks_are_refused(self, typed: MetadataStore) -> None:
        a, c = put(typed, artifact("a"), Context(type="Group", name="c"))
        for mark in (
            Mark(c.uid),
            Mark(a.uid, policy="shrug"),  # type: ignore[arg-type]  # that is the test
            Mark(a.uid, verdict="good"),  # type: ignore[arg-type]
        ):
            with pytest.raises(UsageError) as caught:
                typed.write(Change(marks=[Mark(a.uid), mark]))
            assert caught.value.code == "bad-mark"
        for change, code in (
            (Change(marks=[Mark("absent")]), "node-not-found"),
            (Change(lifts=[Lift(99)]), "mark-not-found"),
        ):
            with pytest.raises(NotFoundError) as missing:
                typed.write(change)
            assert missing.value.code == code
        assert typed.list_marks() == []


class NamespaceRules(Furnished):
    """Names are a namespace's own; the graph is one."""

    def test_there_is_one_that_all_have(self, store: MetadataStore) -> None:
        assert store.namespace == "default"
        assert [(n.name, n.closed, n.id) for n in store.list_namespaces()] == [("default", False, 0)]
        assert store.in_namespace("default").namespace == "default"

    def test_each_has_names_of_its_own(self, typed: MetadataStore) -> None:
        team = typed.in_namespace("team", create=True)
        assert team.namespace == "team"
        (mine,) = put(typed, artifact("x", external_id="x-1"))
        (theirs,) = put(team, artifact("x", external_id="x-1"))
        assert (mine.namespace, theirs.namespace) == ("default", "team")
        assert typed.find_nodes("artifact", name="x").nodes == [mine]
        assert team.find_nodes("artifact", external_id="x-1").nodes == [theirs]
        assert typed.find_nodes("artifact", name="x", everywhere=True).nodes == [mine, theirs]
        assert list(team.list_nodes("artifact")) == [theirs]
        assert list(team.all_nodes("artifact")) == [mine, theirs]
        assert team.count_nodes("artifact") == {"artifact": 1}
        assert team.count_nodes("artifact", everywhere=True) == {"artifact": 2}
        assert team.find_nodes("artifact", matching="name = 'x'").nodes == [theirs]
        again = artifact("x")
        assert team.write(Change([Put(again, "reuse")])).nodes == {again.uid: theirs}
        with pytest.raises(ConflictError, match="name 'x' is taken"):
            put(team, artifact("x"))

    def test_uids_and_edges_cross(self, typed: MetadataStore) -> None:
        team = typed.in_namespace("team", create=True)
        a, group = put(typed, artifact("a"), Context(type="Group", name="g"))
        e, b = Execution(type="load", name="e"), artifact("b")
        team.write(
            Change(
                [Put(e), Put(b)],
                [Event(e.uid, a.uid, "INPUT"), Event(e.uid, b.uid, "OUTPUT")],
                attributions=[(group.uid, b.uid)],
            )
        )
        assert team.get_nodes("artifact", uids=[a.uid]) == [a]
        assert names(typed.lineage([b.uid])) == {"a", "e", "b"}
        assert {n.namespace for n in typed.lineage([b.uid]).artifacts} == {"default", "team"}
        assert typed.find_nodes("artifact", context=group.uid).nodes == []
        assert [n.uid for n in team.find_nodes("artifact", context=group.uid).nodes] == [b.uid]
        assert len(team.list_events(artifacts=[a.uid])) == 1

    def test_a_node_is_changed_from_its_own(self, typed: MetadataStore) -> None:
        team = typed.in_namespace("team", create=True)
        (a,) = put(typed, artifact("a"))
        for change in (
            Change([Put(a, "update")]),
            Change([Put(artifact("a", uid=a.uid, uri="u"), "replace")]),
            Change(removals=[Removal(a.uid)]),
        ):
            with pytest.raises(DeniedError) as caught:
                team.write(change)
            assert caught.value.code == "namespace-closed"
        assert team.write(Change([Put(a, "reuse")])).nodes == {a.uid: a}
        assert typed.get_nodes("artifact", uids=[a.uid]) == [a]

    def test_a_closed_one_takes_nothing(self, typed: MetadataStore) -> None:
        team = typed.in_namespace("team", create=True)
        (a,) = put(team, artifact("a"))
        assert typed.put_namespace("team", closed=True).closed
        with pytest.raises(DeniedError) as caught:
            put(team, artifact("b"))
        assert caught.value.code == "namespace-closed"
        assert list(team.list_nodes("artifact")) == [a]
        put(typed, artifact("b"))
        assert typed.in_namespace("team", create=True).namespace == "team"
        assert [n.closed for n in typed.list_namespaces()] == [False, True]
        typed.put_namespace("team", closed=False)
        put(team, artifact("b"))

    def test_an_unknown_one_is_refused(self, store: MetadataStore) -> None:
        store.put_namespace("team")
        with pytest.raises(NotFoundError) as caught:
            store.in_namespace("taem")
        assert (caught.value.code, caught.value.near) == ("namespace-not-found", ["team"])
        for name in ("", "x" * 65, "a\0b", "a\nb"):
            with pytest.raises(UsageError) as bad:
                store.in_namespace(name, create=True)
            assert bad.value.code == "bad-name"
        created = store.list_namespaces()[1].created_at
        assert created is not None
        assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)


class BeatRules(Furnished):
    """Signs of life of processes that run executions."""

    def test_beats(self, store: MetadataStore) -> None:
        assert store.list_beats() == []
        before = store.now()
        store.beat([Beat("01A", "here", 7), Beat("01B", "there", 8)])
        one, two = store.list_beats()
        assert (one.uid, one.host, one.pid, two.uid) == ("01A", "here", 7, "01B")
        assert one.started_at is not None
        assert one.started_at == one.beat_at
        assert before - timedelta(seconds=2) <= one.started_at <= store.now() + timedelta(seconds=2)
        store.beat([Beat("01B", "there", 8)])
        store.beat([])
        _, later = store.list_beats()
        assert later.started_at == two.started_at
        assert later.beat_at is not None
        assert two.beat_at is not None
        assert later.beat_at >= two.beat_at
        store.end_beats(["01A", "absent"])
        assert store.list_beats() == [later]
        store.end_beats([])
        store.end_beats(["01B"])
        assert store.list_beats() == []
