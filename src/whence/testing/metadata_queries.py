"""What queries and lineage of a metadata store promise. A part of `MetadataSuite`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from whence.errors import NotFoundError, UsageError
from whence.metadata import (
    AnyNode,
    Artifact,
    Beat,
    Change,
    Context,
    Event,
    EventKind,
    Execution,
    Lift,
    Mark,
    MetadataStore,
    Put,
    Removal,
    Rows,
    Value,
)
from whence.metadata.base import PAGE_NODES
from whence.testing.metadata_world import (
    Furnished,
    artifact,
    chain,
    names,
    put,
)


class FindRules(Furnished):
    """Finding nodes, in pages."""

    @pytest.fixture
    def found(self, typed: MetadataStore) -> MetadataStore:
        put(
            typed,
            artifact(
                "a@1", uri="u1", properties={"n_rows": 1, "drift": 0.5}, custom={"k.1": "v", "flag": True}
            ),
            artifact("a@2", uri="u2", properties={"n_rows": 2}, state="PENDING", custom={"k.1": None}),
            artifact("a_2", external_id="x-1", properties={"n_rows": 2, "note": "v"}, custom={"n_rows": 1}),
            artifact(None, uri="u1", custom={"n_rows": 1, 'odd "n': 7, "text": "1"}),
            Artifact(type="Everything", name="a@1", custom={'odd "n': None}),
            Execution(type="load", name="a@1", state="RUNNING"),
        )
        return typed

    @pytest.mark.parametrize(
        ("conditions", "want"),
        [
            ({}, ["a@1", "a@2", "a_2", None, "a@1"]),
            ({"type_": "Table"}, ["a@1", "a@2", "a_2", None]),
            ({"type_": ["Table", "Everything", "absent"]}, ["a@1", "a@2", "a_2", None, "a@1"]),
            ({"type_": "absent"}, []),
            ({"type_": []}, []),
            ({"name": "a@1"}, ["a@1", "a@1"]),
            ({"name": ["a_2", "a@2"]}, ["a@2", "a_2"]),
            ({"name_prefix": "a@"}, ["a@1", "a@2", "a@1"]),
            ({"name_prefix": "A"}, []),
            ({"name_prefix": "a_"}, ["a_2"]),
            ({"name_prefix": ""}, ["a@1", "a@2", "a_2", "a@1"]),
            ({"external_id": "x-1"}, ["a_2"]),
            ({"uri": "u1"}, ["a@1", None]),
            ({"state": "PENDING"}, ["a@2"]),
            ({"state": ["PENDING", "LIVE"], "type_": "Table"}, ["a@1", "a@2", "a_2", None]),
            ({"where": {"n_rows": 2}}, ["a@2", "a_2"]),
            ({"where": {"n_rows": 1}}, ["a@1", None]),
            ({"where": {"n_rows": 1.0}}, ["a@1", None]),
            ({"where": {"n_rows": 2, "note": "v"}}, ["a_2"]),
            ({"where": {"k.1": "v"}}, ["a@1"]),
            ({"where": {"k.1": None}, "type_": "Table"}, ["a@2", "a_2", None]),
            ({"where": {"flag": True}}, ["a@1"]),
            ({"where": {"drift": 0.5}}, ["a@1"]),
            ({"where": {"text": 1}}, []),
            ({"where": {"text": "1"}}, [None]),
            ({"where": {'odd "n': 7}}, [None]),
            ({"where": {'odd "n': None}}, ["a@1", "a@2", "a_2", "a@1"]),
            ({"where": {"'; DROP TABLE node; --": 1}}, []),
            ({"name": "'; DROP TABLE node; --"}, []),
        ],
    )
    def test_conditions(
        self, found: MetadataStore, conditions: dict[str, object], want: list[str | None]
    ) -> None:
        page = found.find_nodes("artifact", **conditions)  # type: ignore[arg-type]  # the test says what
        assert [n.name for n in page.nodes] == want
        assert page.cursor is None

    def test_kinds_are_apart(self, found: MetadataStore) -> None:
        assert [n.type for n in found.find_nodes("execution").nodes] == ["load"]
        assert found.find_nodes("context").nodes == []

    @pytest.mark.parametrize("where", [{"x": [1]}, {"x": 2**63}, {"x": b"1"}, {"x": float("nan")}])
    def test_what_cannot_be_compared_is_refused(self, found: MetadataStore, where: dict[str, Value]) -> None:
        with pytest.raises(UsageError) as caught:
            found.find_nodes("artifact", where=where)
        assert caught.value.code == "bad-query"

    def test_order(self, found: MetadataStore) -> None:
        found.write(Change([Put(artifact("a@2", state="LIVE"), "update")]))
        assert [n.name for n in found.find_nodes("artifact", type_="Table", order_by="updated_at").nodes][
            -1
        ] == "a@2"
        newest = found.find_nodes("artifact", order_by="updated_at", descending=True, limit=1).nodes
        assert [n.name for n in newest] == ["a@2"]
        oldest = found.find_nodes("artifact", type_="Table", order_by="created_at", limit=2).nodes
        assert [n.name for n in oldest] == ["a@1", "a@2"]
        ids = [n.id for n in found.find_nodes("artifact", descending=True).nodes if n.id is not None]
        assert ids == sorted(ids, reverse=True)

    @pytest.mark.parametrize("order_by", ["id", "created_at"])
    @pytest.mark.parametrize("descending", [False, True])
    def test_pages_survive_writes(self, typed: MetadataStore, order_by: str, descending: bool) -> None:
        first = [n.name for n in put(typed, *(artifact(f"t{i}") for i in range(10)))]
        seen: list[str | None] = []
        cursor = None
        while True:
            page = typed.find_nodes(
                "artifact", order_by=order_by, descending=descending, limit=3, cursor=cursor,  # type: ignore[arg-type]
            )  # fmt: skip
            seen += [n.name for n in page.nodes]
            cursor = page.cursor
            if cursor is None:
                break
            if len(seen) < 9:
                put(typed, artifact(f"new{len(seen)}"))
        old = [name for name in seen if name in first]
        assert old == (first[::-1] if descending else first)
        assert len(set(seen)) == len(seen)

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize(
        "ask",
        [
            {},
            {"name_prefix": "t"},
            {"matching": "custom_properties.n < 9"},
            {"where": {"flag": True}},
            {"matching": "contexts_g.name = 'all'"},
            {"context": "all"},
            {"removed": True},
        ],
        ids=str,
    )
    def test_pages_in_the_order_of_updates_show_each_node_once(
        self, typed: MetadataStore, descending: bool, ask: dict[str, Any]
    ) -> None:
        group = Context(type="Group", name="all", uid="all")
        nodes = put(
            typed,
            *(artifact(f"t{i:02}", custom={"n": i % 3, "flag": True}) for i in range(12)),
        )
        typed.write(Change([Put(group)], attributions=[("all", n.uid) for n in nodes]))
        for i in (3, 1):
            typed.write(Change([Put(replace(nodes[i], custom={"n": i}), "update")]))
        whole = typed.find_nodes("artifact", order_by="updated_at", descending=descending, **ask).nodes
        seen: list[AnyNode] = []
        cursor = None
        turn = 0
        while True:
            page = typed.find_nodes(
                "artifact", order_by="updated_at", descending=descending, limit=3, cursor=cursor, **ask
            )
            seen += page.nodes
            cursor = page.cursor
            if cursor is None:
                break
            # Between pages: one that was shown and one that was not change, one is new, one goes.
            shown = next(n for n in seen if n.removed_at is None)
            rest = [n for n in whole if n.uid not in {s.uid for s in seen}]
            for changed in (shown, *rest[:1], *rest[-1:]):
                typed.write(Change([Put(replace(changed, custom={"n": 99, "flag": False}), "update")]))
            put(typed, artifact(f"t-new-{turn}", custom={"n": 0, "flag": True}))
            turn += 1
        assert [n.uid for n in seen] == [n.uid for n in whole]
        assert [n.updated_at for n in seen] == [n.updated_at for n in whole]
        assert [dict(n.custom) for n in seen] == [dict(n.custom) for n in whole]

    @pytest.mark.parametrize("removed", [False, True])
    def test_what_goes_between_pages_is_not_shown_behind(self, typed: MetadataStore, removed: bool) -> None:
        nodes = put(typed, *(artifact(f"t{i}") for i in range(6)))
        first = typed.find_nodes("artifact", order_by="updated_at", limit=2, removed=removed)
        typed.write(Change(removals=[Removal(nodes[0].uid), Removal(nodes[3].uid)]))
        put(typed, artifact("t9"))
        rest = typed.find_nodes("artifact", order_by="updated_at", cursor=first.cursor, removed=removed)
        assert [n.name for n in (*first.nodes, *rest.nodes)] == ["t0", "t1", "t2", "t4", "t5"]
        then = typed.find_nodes("artifact", order_by="updated_at", removed=removed).nodes
        shown = [n.name for n in then]
        assert shown == (
            ["t1", "t2", "t4", "t5", "t0", "t3", "t9"] if removed else ["t1", "t2", "t4", "t5", "t9"]
        )

    def test_a_node_brought_in_again_between_pages_shows_once(self, typed: MetadataStore) -> None:
        long_ago = datetime(2001, 1, 1, tzinfo=UTC)
        nodes = [
            replace(artifact(f"t{i}"), created_at=long_ago + timedelta(i), updated_at=long_ago + timedelta(i))
            for i in range(6)
        ]
        typed.load([Rows(nodes)])
        first = typed.find_nodes("artifact", order_by="updated_at", limit=2)
        again = replace(nodes[0], updated_at=long_ago + timedelta(4.5), custom={"n": 1})
        typed.load([Rows([again])])
        second = typed.find_nodes("artifact", order_by="updated_at", limit=2, cursor=first.cursor)
        third = typed.find_nodes("artifact", order_by="updated_at", limit=2, cursor=second.cursor)
        shown = [n.name for n in (*first.nodes, *second.nodes, *third.nodes)]
        assert (shown, third.cursor) == ([f"t{i}" for i in range(6)], None)

    def test_a_page_that_ends_with_the_nodes_has_no_cursor(self, typed: MetadataStore) -> None:
        put(typed, *(artifact(f"t{i}") for i in range(4)))
        page = typed.find_nodes("artifact", limit=2)
        assert page.cursor is not None
        last = typed.find_nodes("artifact", limit=2, cursor=page.cursor)
        assert ([n.name for n in last.nodes], last.cursor) == (["t2", "t3"], None)

    def test_all_nodes_are_listed_however_many_pages_they_fill(self, typed: MetadataStore) -> None:
        put(typed, *(artifact(f"t{i:04}") for i in range(PAGE_NODES + 5)))
        names = [n.name for n in typed.list_nodes("artifact")]
        assert names == [f"t{i:04}" for i in range(PAGE_NODES + 5)]
        assert [n.name for n in typed.list_nodes("artifact", name_prefix="t0007")] == ["t0007"]
        assert list(typed.list_nodes("execution")) == []

    @pytest.mark.parametrize("cursor", ["", "x", "bm90IGpzb24", "WzEsMl0"])
    def test_a_foreign_cursor_is_refused(self, typed: MetadataStore, cursor: str) -> None:
        with pytest.raises(UsageError) as caught:
            typed.find_nodes("artifact", limit=2, cursor=cursor)
        assert caught.value.code == "bad-cursor"

    def test_a_cursor_belongs_to_its_order(self, typed: MetadataStore) -> None:
        put(typed, *(artifact(f"t{i}") for i in range(4)))
        cursor = typed.find_nodes("artifact", limit=2).cursor
        with pytest.raises(UsageError, match="another order"):
            typed.find_nodes("artifact", limit=2, cursor=cursor, descending=True)

    @pytest.mark.parametrize("bad", [{"limit": 0}, {"order_by": "name"}])
    def test_a_bad_query_is_refused(self, typed: MetadataStore, bad: dict[str, object]) -> None:
        with pytest.raises(UsageError) as caught:
            typed.find_nodes("artifact", **bad)  # type: ignore[arg-type]  # that is the test
        assert caught.value.code == "bad-query"

    def test_far_numbers_and_other_kinds(self, typed: MetadataStore) -> None:
        (a,) = put(typed, artifact("a"))
        assert typed.find_nodes("artifact", limit=2**70).nodes == [a]
        asks: list[Callable[[Any], object]] = [
            typed.find_nodes,
            typed.count_nodes,
            typed.get_nodes,
            lambda kind: typed.list_imported("s", kind),
        ]
        for ask in asks:
            with pytest.raises(UsageError, match="'models' is not a kind of node") as caught:
                ask("models")
            assert caught.value.code == "bad-query"
        with pytest.raises(UsageError, match=r"not counted by 'name' \(bad-query\). Near: 'type', 'state'"):
            typed.count_nodes("artifact", by="name")  # type: ignore[arg-type]  # that is the test
        (mark,) = typed.write(Change(marks=[Mark(a.uid, "bad")])).marks
        assert typed.list_marks(limit=2**70) == typed.list_marks(after=-(2**70)) == [mark]
        assert typed.list_marks(after=2**70) == []
        assert typed.list_marks(after=2**70, uids=[a.uid]) == []
        assert typed.list_imported("s", after=2**70, limit=2**70) == []
        for number in (2**70, -(2**70), 2**63, 0):
            with pytest.raises(NotFoundError) as absent:
                typed.write(Change(lifts=[Lift(number)]))
            assert absent.value.code == "mark-not-found"
        for wrong in (Beat("u", "h", 2**70), Beat("u", "h", -1), Beat("u" * 65, "h", 1), Beat("u", "\0", 1)):
            with pytest.raises(UsageError):
                typed.beat([Beat("v", "h", 1), wrong])
        lists: list[Callable[..., object]] = [
            typed.list_marks,
            lambda **more: typed.list_imported("s", **more),
        ]
        for list_ in lists:
            for bad in ({"limit": 0}, {"limit": "1"}, {"after": "1"}):
                with pytest.raises(UsageError) as refused:
                    list_(**bad)
                assert refused.value.code == "bad-query"
        assert typed.list_beats() == []


class LineageRules(Furnished):
    """Lineage, up and down."""

    @pytest.fixture
    def diamond(self, typed: MetadataStore) -> dict[str | None, str]:
        """Raw → split → (left, right) → join → out, and raw → other → aside."""
        nodes = {n: artifact(n) for n in ("raw", "left", "right", "out", "aside")}
        runs = {n: Execution(type="load", name=n) for n in ("split", "join", "other")}
        edges: list[tuple[str, str, EventKind]] = [
            ("split", "raw", "INPUT"), ("split", "left", "OUTPUT"), ("split", "right", "OUTPUT"),
            ("join", "left", "INPUT"), ("join", "right", "DECLARED_INPUT"), ("join", "out", "OUTPUT"),
            ("other", "raw", "INPUT"), ("other", "aside", "PENDING_OUTPUT"),
        ]  # fmt: skip
        group = Context(type="Group", name="g")
        everything: list[AnyNode] = [*nodes.values(), *runs.values(), group]
        typed.write(
            Change(
                [Put(node) for node in everything],
                [Event(runs[e].uid, nodes[a].uid, kind) for e, a, kind in edges],
                attributions=[(group.uid, nodes["out"].uid)],
                associations=[(group.uid, runs["join"].uid)],
            )
        )
        return {node.name: node.uid for node in everything}

    def test_up(self, typed: MetadataStore, diamond: dict[str | None, str]) -> None:
        found = typed.lineage([diamond["out"]])
        assert names(found) == {"out", "join", "left", "right", "split", "raw"}
        assert len(found.events) == 6
        assert [c.name for c in found.contexts] == ["g"]
        assert found.attributions == [(diamond["g"], diamond["out"])]
        assert found.associations == [(diamond["g"], diamond["join"])]

    def test_down(self, typed: MetadataStore, diamond: dict[str | None, str]) -> None:
        found = typed.lineage([diamond["split"]], direction="down")
        assert names(found) == {"split", "left", "right", "join", "out"}
        everything = typed.lineage([diamond["raw"]], direction="down")
        assert len(names(everything)) == 8

    def test_both(self, typed: MetadataStore, diamond: dict[str | None, str]) -> None:
        assert len(names(typed.lineage([diamond["aside"]], direction="both"))) == 8

    def test_from_an_execution_and_from_several(
        self, typed: MetadataStore, diamond: dict[str | None, str]
    ) -> None:
        assert names(typed.lineage([diamond["join"]])) == {"join", "left", "right", "split", "raw"}
        found = typed.lineage([diamond["aside"], diamond["left"], diamond["left"]])
        assert names(found) == {"aside", "other", "left", "split", "raw"}
        assert names(typed.lineage([])) == set()

    @pytest.mark.parametrize(
        ("hops", "want", "n_events"),
        [
            (0, {"out"}, 0),
            (1, {"out", "join"}, 1),
            (2, {"out", "join", "left", "right"}, 3),
            (3, {"out", "join", "left", "right", "split"}, 5),
            (4, {"out", "join", "left", "right", "split", "raw"}, 6),
        ],
    )
    def test_hops(
        self, typed: MetadataStore, diamond: dict[str | None, str], hops: int, want: set[str], n_events: int
    ) -> None:
        found = typed.lineage([diamond["out"]], max_hops=hops)
        assert (names(found), len(found.events)) == (want, n_events)

    def test_events_at_the_edge_of_the_hops_are_there(
        self, typed: MetadataStore, diamond: dict[str | None, str]
    ) -> None:
        # left and join are both starts: the event between them is there, though nothing was followed.
        found = typed.lineage([diamond["left"], diamond["join"]], max_hops=0)
        assert [(e.execution, e.artifact) for e in found.events] == [(diamond["join"], diamond["left"])]

    def test_internal_events_are_followed_only_when_asked(self, typed: MetadataStore) -> None:
        code, out, e = artifact("code"), artifact("out"), Execution(type="load", name="e")
        events = [Event(e.uid, code.uid, "INTERNAL_INPUT"), Event(e.uid, out.uid, "OUTPUT")]
        typed.write(Change([Put(code), Put(out), Put(e)], events))
        assert names(typed.lineage([out.uid])) == {"out", "e"}
        assert names(typed.lineage([out.uid], internal=True)) == {"out", "e", "code"}
        assert names(typed.lineage([code.uid], direction="down")) == {"code"}

    def test_an_unknown_start_is_refused(self, typed: MetadataStore, diamond: dict[str | None, str]) -> None:
        for start in ("absent", diamond["g"]):
            with pytest.raises(NotFoundError) as caught:
                typed.lineage([diamond["out"], start])
            assert caught.value.code == "node-not-found"

    def test_a_long_chain(self, typed: MetadataStore) -> None:
        tables = chain(typed, 400)
        assert len(names(typed.lineage([tables[-1].uid]))) == 799
        assert len(names(typed.lineage([tables[0].uid], direction="down"))) == 799
        assert len(names(typed.lineage([tables[200].uid], max_hops=10))) == 11

    def test_a_circle_ends(self, typed: MetadataStore) -> None:
        a, e = artifact("a"), Execution(type="load", name="e")
        typed.write(Change([Put(a), Put(e)], [Event(e.uid, a.uid, "INPUT"), Event(e.uid, a.uid, "OUTPUT")]))
        found = typed.lineage([a.uid])
        assert (names(found), len(found.events)) == ({"a", "e"}, 2)
