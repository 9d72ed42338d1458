"""What an update of a node does, in each of its ways. A part of `MetadataSuite`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata import (
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    IfExists,
    MetadataStore,
    Put,
    Value,
)
from whence.testing.metadata_world import Furnished, artifact, put


def written(store: MetadataStore, *puts: Put) -> list[Artifact]:
    """Write puts of artifacts; returns them as stored."""
    nodes = store.write(Change(puts)).nodes
    out = [nodes[p.node.uid] for p in puts]
    return [node for node in out if isinstance(node, Artifact)]


def said(node: Artifact) -> tuple[object, ...]:
    """All that an update may change."""
    return node.name, node.external_id, node.uri, node.state, dict(node.properties), dict(node.custom)


class UpdateRules(Furnished):
    """`replace`, masks, and updates that hold only if nobody was faster."""

    @pytest.fixture
    def first(self, typed: MetadataStore) -> Artifact:
        (node,) = put(
            typed,
            artifact(
                "x",
                external_id="x-1",
                uri="file:x",
                properties={"n_rows": 1, "note": "n"},
                custom={"a": 1, "b": [1, {"c": None}]},
            ),
        )
        assert isinstance(node, Artifact)
        return node

    def test_replace_takes_away_what_is_not_given(self, typed: MetadataStore, first: Artifact) -> None:
        given = artifact("x", state="PENDING", properties={"n_rows": 2}, custom={"z": 0})
        (stored,) = written(typed, Put(given, "replace"))
        assert said(stored) == ("x", None, None, "PENDING", {"n_rows": 2}, {"z": 0})
        assert (stored.uid, stored.id, stored.revision) == (first.uid, first.id, 2)
        assert typed.get_nodes("artifact", uids=[first.uid]) == [stored]
        assert typed.find_nodes("artifact", external_id="x-1").nodes == []
        assert typed.find_nodes("artifact", uri="file:x").nodes == []
        put(typed, artifact("other", external_id="x-1"))

    def test_replace_keeps_a_name_that_is_not_given(self, typed: MetadataStore, first: Artifact) -> None:
        (stored,) = written(typed, Put(artifact(uid=first.uid), "replace"))
        assert said(stored) == ("x", None, None, "LIVE", {}, {})

    def test_replace_makes_a_new_node(self, typed: MetadataStore) -> None:
        (stored,) = written(typed, Put(artifact("new", custom={"a": 1}), "replace"))
        assert (stored.revision, stored.custom) == (1, {"a": 1})

    @pytest.mark.parametrize("mask", [None, frozenset({"uri", "properties", "custom.a"})])
    def test_an_equal_replacement_changes_nothing(
        self, typed: MetadataStore, first: Artifact, mask: frozenset[str] | None
    ) -> None:
        assert written(typed, Put(first, "replace", mask=mask)) == [first]
        again = dataclasses.replace(
            first,
            id=None,
            properties=dict(reversed(list(first.properties.items()))),
            custom=dict(first.custom),
        )
        assert written(typed, Put(again, "replace", mask=mask)) == [first]
        assert typed.get_nodes("artifact", uids=[first.uid]) == [first]
        assert len(typed.history(first.uid)) == 1

    def test_the_order_inside_a_struct_is_no_difference(self, typed: MetadataStore) -> None:
        (stored,) = put(typed, artifact("s", custom={"t": {"a": 1, "b": [{"c": 1, "d": 2}]}}))
        same = artifact("s", custom={"t": {"b": [{"d": 2, "c": 1}], "a": 1}})
        assert written(typed, Put(same, "replace")) == [stored]
        other = artifact("s", custom={"t": {"b": [{"d": 2, "c": 1}], "a": 1.0}})
        assert written(typed, Put(other, "replace"))[0].revision == 2

    @pytest.mark.parametrize("if_exists", ["replace", "update"])
    def test_touch_counts_though_nothing_differs(
        self, typed: MetadataStore, first: Artifact, if_exists: IfExists
    ) -> None:
        (stored,) = written(typed, Put(first, if_exists, touch=True))
        assert (said(stored), stored.revision) == (said(first), 2)
        assert first.updated_at is not None
        assert stored.updated_at is not None
        assert stored.updated_at > first.updated_at

    @pytest.mark.parametrize("value", [1.0, True, "1"])
    def test_an_equal_number_of_another_kind_differs(
        self, typed: MetadataStore, first: Artifact, value: Value
    ) -> None:
        (stored,) = written(
            typed, Put(dataclasses.replace(first, custom={**first.custom, "a": value}), "replace")
        )
        assert (stored.revision, type(stored.custom["a"])) == (2, type(value))

    @pytest.mark.parametrize(
        ("mask", "want"),
        [
            ([], {}),
            (["uri"], {"uri": None}),
            (["state"], {"state": "DELETED"}),
            (["name"], {"name": "y"}),
            (["external_id"], {"external_id": None}),
            (["properties"], {"properties": {"n_rows": 5, "drift": 0.5}}),
            (["properties.n_rows", "properties.note"], {"properties": {"n_rows": 5}}),
            (["properties.drift", "custom.b"], {
                "properties": {"n_rows": 1, "note": "n", "drift": 0.5}, "custom": {"a": 1}}),
            (["custom"], {"custom": {"c.d": 1}}),
            (["custom.c.d", "custom.absent"], {"custom": {"a": 1, "b": [1, {"c": None}], "c.d": 1}}),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("if_exists", ["replace", "update"])
    def test_a_mask_names_what_is_replaced(
        self,
        typed: MetadataStore,
        first: Artifact,
        mask: list[str],
        want: Mapping[str, object],
        if_exists: IfExists,
    ) -> None:
        given = artifact(
            "y", uid=first.uid, state="DELETED", properties={"n_rows": 5, "drift": 0.5}, custom={"c.d": 1}
        )
        (stored,) = written(typed, Put(given, if_exists, mask=frozenset(mask)))
        assert said(stored) == said(dataclasses.replace(first, **want))  # type: ignore[arg-type]  # the test says what
        assert stored.revision == (2 if want else 1)

    def test_a_mask_says_nothing_about_a_new_node(self, typed: MetadataStore) -> None:
        (stored,) = written(typed, Put(artifact("new", uri="u"), "update", mask=frozenset({"state"})))
        assert (stored.name, stored.uri) == ("new", "u")

    @pytest.mark.parametrize("path", ["", "id", "uri.x", "properties.", "custom_properties.x"])
    def test_a_mask_names_fields(self, typed: MetadataStore, first: Artifact, path: str) -> None:
        with pytest.raises(UsageError) as caught:
            typed.write(Change([Put(first, "update", mask=frozenset({"uri", path}))]))
        assert caught.value.code == "bad-mask"

    def test_a_masked_name_may_be_taken(self, typed: MetadataStore, first: Artifact) -> None:
        put(typed, artifact("y"))
        other = dataclasses.replace(first, name="y", uri="new")
        (stored,) = written(typed, Put(other, "update", mask=frozenset({"uri"})))
        assert (stored.name, stored.uri) == ("x", "new")
        with pytest.raises(ConflictError, match="name 'y' is taken"):
            typed.write(Change([Put(other, "update", mask=frozenset({"name"}))]))

    def test_an_update_after_a_moment_is_refused(self, typed: MetadataStore, first: Artifact) -> None:
        moment = first.updated_at
        assert moment is not None
        (second,) = written(typed, Put(first, "update", unchanged_since=moment))
        assert second.revision == 2
        for since in (moment, moment - timedelta(days=1)):
            with pytest.raises(ConflictError) as caught:
                typed.write(Change([Put(artifact("beside")), Put(first, "replace", unchanged_since=since)]))
            assert (caught.value.code, caught.value.details) == ("stale-update", {"uid": first.uid})
        assert typed.find_nodes("artifact").nodes == [second]
        written(typed, Put(artifact("new"), "update", unchanged_since=moment))

    def test_a_moment_has_a_zone(self, typed: MetadataStore, first: Artifact) -> None:
        naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the test
        e = Execution(type="load")
        for change in (
            Change([Put(first, "update", unchanged_since=naive)]),
            Change([Put(e)], [Event(e.uid, first.uid, "INPUT", at=naive)]),
        ):
            with pytest.raises(UsageError) as caught:
                typed.write(change)
            assert caught.value.code == "naive-time"

    def test_times_of_changes_grow(self, typed: MetadataStore) -> None:
        moments = [put(typed, artifact())[0].created_at for _ in range(50)]
        assert len(set(moments)) == 50
        assert moments == sorted(m for m in moments if m is not None)

    def test_names_move_in_one_change(self, typed: MetadataStore) -> None:
        a, b = put(typed, artifact("a"), artifact("b"))
        new = artifact("a")
        typed.write(Change([Put(dataclasses.replace(a, name="c"), "update"), Put(new)]))
        assert {n.name: n.uid for n in typed.find_nodes("artifact").nodes} == {
            "a": new.uid,
            "b": b.uid,
            "c": a.uid,
        }
        typed.write(
            Change(
                [
                    Put(dataclasses.replace(a, name="tmp"), "update"),
                    Put(dataclasses.replace(b, name="c"), "update"),
                    Put(dataclasses.replace(a, name="b"), "update"),
                ]
            )
        )
        assert {n.name: n.uid for n in typed.find_nodes("artifact").nodes} == {
            "a": new.uid,
            "c": b.uid,
            "b": a.uid,
        }


class StrictRules(Furnished):
    """Events that must be new, children of contexts, and the other questions about edges."""

    def test_a_strict_event_must_be_new(self, typed: MetadataStore) -> None:
        a, b, e = put(typed, artifact("a"), artifact("b"), Execution(type="load", name="e"))
        typed.write(Change(events=[Event(e.uid, a.uid, "INPUT", ("x",))], strict_events=True))
        for events in (
            [Event(e.uid, b.uid, "OUTPUT"), Event(e.uid, a.uid, "INPUT", ("y",))],
            [Event(e.uid, b.uid, "INPUT", ("1",)), Event(e.uid, b.uid, "INPUT", ("2",))],
        ):
            with pytest.raises(ConflictError) as caught:
                typed.write(Change(events=events, strict_events=True))
            assert caught.value.code == "event-taken"
        assert len(typed.list_events(executions=[e.uid])) == 1
        typed.write(Change(events=[Event(e.uid, a.uid, "OUTPUT"), Event(e.uid, a.uid, "INPUT", ("y",))]))
        assert len(typed.list_events(executions=[e.uid])) == 3

    def test_contexts_have_children(self, typed: MetadataStore) -> None:
        a, b, c = put(typed, *(Context(type="Group", name=x) for x in "abc"))
        typed.write(Change(parents=[(b.uid, a.uid), (c.uid, a.uid)]))
        assert typed.list_contexts(parent=a.uid) == [b, c]
        assert typed.list_contexts(parent=b.uid) == []
        assert typed.list_contexts(child=c.uid, parent=a.uid) == [a, b, c]

    def test_nodes_of_several_contexts(self, typed: MetadataStore) -> None:
        a, b, c = put(typed, artifact("a"), artifact("b"), artifact("c"))
        one, two = put(typed, Context(type="Group", name="1"), Context(type="Group", name="2"))
        typed.write(Change(attributions=[(one.uid, a.uid), (two.uid, b.uid), (two.uid, a.uid)]))
        assert typed.find_nodes("artifact", contexts=[one.uid, two.uid]).nodes == [a, b]
        assert typed.find_nodes("artifact", contexts=[one.uid]).nodes == [a]
        assert typed.find_nodes("artifact", contexts=[one.uid], context=two.uid).nodes == [a]
        assert typed.find_nodes("artifact", contexts=[]).nodes == []
        assert typed.find_nodes("artifact", contexts=["absent"]).nodes == []
        assert c not in typed.find_nodes("artifact", contexts=[two.uid]).nodes

    def test_counting(self, typed: MetadataStore) -> None:
        put(typed, artifact("a"), artifact("b", state="PENDING"), Artifact(type="Everything", name="a"))
        assert typed.count_nodes("artifact") == {"artifact": 3}
        assert typed.count_nodes("execution") == {"execution": 0}
        assert typed.count_nodes("artifact", by="type") == {"Table": 2, "Everything": 1}
        assert typed.count_nodes("artifact", by="state") == {"LIVE": 2, "PENDING": 1}
        assert typed.count_nodes("context", by="state") == {}
        assert typed.count_nodes("artifact", matching="name = 'a'") == {"artifact": 2}
        assert typed.count_nodes("artifact", matching="name = 'a'", by="type") == {
            "Table": 1,
            "Everything": 1,
        }
        with pytest.raises(UsageError) as caught:
            typed.count_nodes("artifact", matching="name =")
        assert caught.value.code == "bad-filter"

    def test_everything_is_streamed(self, typed: MetadataStore) -> None:
        a, b, e, c, d = put(
            typed,
            artifact("a"),
            artifact("b"),
            Execution(type="load"),
            Context(type="Group", name="c"),
            Context(type="Group", name="d"),
        )
        typed.write(
            Change(
                events=[
                    Event(e.uid, b.uid, "OUTPUT"),
                    Event(e.uid, a.uid, "INPUT"),
                    Event(e.uid, a.uid, "OUTPUT"),
                ],
                attributions=[(c.uid, a.uid)],
                associations=[(c.uid, e.uid)],
                parents=[(d.uid, c.uid)],
            )
        )
        assert [(v.artifact, v.kind) for v in typed.all_events()] == [
            (a.uid, "INPUT"), (a.uid, "OUTPUT"), (b.uid, "OUTPUT"),
        ]  # fmt: skip
        assert list(typed.all_members()) == [(c.uid, a.uid, "artifact"), (c.uid, e.uid, "execution")]
        assert list(typed.all_parents()) == [(d.uid, c.uid)]
        assert list(typed.all_nodes("context")) == [c, d]
        with pytest.raises(NotFoundError):
            typed.history("absent")
