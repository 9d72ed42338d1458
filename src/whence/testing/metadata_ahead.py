"""Nodes with a time ahead of the store's clock, and a clock that was wrong. A part of `MetadataSuite`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from whence.metadata import (
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    Mark,
    MetadataStore,
    Put,
    Removal,
    Rows,
    WalkQuery,
    list_pages,
)
from whence.testing.metadata_world import Furnished, artifact, put

DAY = timedelta(days=1)


def clock() -> datetime:
    """Now."""
    return datetime.now(UTC)


def is_ours(moment: datetime | None) -> bool:
    """Whether a moment is the clock's."""
    return moment is not None and abs(clock() - moment) < timedelta(minutes=4)


def ahead(*names: str) -> Rows:
    """Artifacts from tomorrow, read by an execution from tomorrow, in a context from tomorrow."""
    tomorrow = clock() + DAY
    nodes = [
        artifact(name, uid=f"uid-{name}", created_at=tomorrow, updated_at=tomorrow + n * timedelta(hours=1))
        for n, name in enumerate(names)
    ]
    run = Execution(type="load", uid="run", state="COMPLETE", created_at=tomorrow)
    group = Context(type="Group", uid="group", name="group", created_at=tomorrow)
    uids = [node.uid for node in nodes]
    return Rows(
        [run, group, *nodes],
        [Event("run", uid, "INPUT", at=tomorrow) for uid in uids],
        attributions=[("group", uid) for uid in uids],
        associations=[("group", "run")],
    )


@contextmanager
def wrong_clock() -> Iterator[None]:
    """The clock is a day ahead."""
    real = time.time_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time_ns", lambda: real() + 86_400 * 10**9)
        yield


class AheadRules(Furnished):
    """The moment of a write is the store's own, whatever times nodes bring with them."""

    def test_a_node_from_tomorrow_moves_no_clock(self, typed: MetadataStore) -> None:
        typed.load([ahead("a", "b")])
        new, run = artifact("new"), Execution(type="load", name="new")
        put(typed, new, run)
        made = typed.get_nodes("artifact", uids=[new.uid])[0]
        assert is_ours(made.created_at)
        assert [n.name for n in typed.find_nodes("artifact", as_of=clock()).nodes] == ["new"]
        typed.load([Rows([artifact("c", created_at=clock() + 2 * DAY)])])
        written = typed.write(
            Change(
                [Put(dataclasses.replace(new, custom={"n": 1}), "update")],
                [Event(run.uid, new.uid, "OUTPUT")],
                marks=[Mark(new.uid)],
            )
        )
        assert is_ours(written.nodes[new.uid].updated_at)
        assert is_ours(written.marks[0].at)
        assert is_ours(typed.list_events(executions=[run.uid])[0].at)
        typed.load([Rows([artifact("d", created_at=clock() + 3 * DAY)])])
        removed = artifact("gone")
        put(typed, removed)
        typed.write(Change(removals=[Removal(removed.uid)]))
        typed.purge([removed.uid])
        assert is_ours(put(typed, artifact("last"))[0].created_at)
        assert is_ours(typed.put_namespace("other").created_at)

    def test_what_is_brought_in_in_place_of_another_moves_no_clock(self, typed: MetadataStore) -> None:
        (first,) = put(typed, artifact("x"))
        moved = artifact("x", uid=first.uid, created_at=clock() + DAY, updated_at=clock() + DAY)
        assert typed.load([Rows([moved])]).n_updated == 1
        assert is_ours(put(typed, artifact("y"))[0].created_at)
        later = typed.write(Change([Put(artifact("y", custom={"n": 1}), "update")]))
        assert is_ours(next(iter(later.nodes.values())).updated_at)

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("asked", [{}, {"context": "group"}, {"matching": "contexts_a.name = 'group'"}])
    def test_pages_lose_no_node_that_was_there(
        self, typed: MetadataStore, asked: dict[str, str], descending: bool
    ) -> None:
        here = [artifact(f"h{i}") for i in range(3)]
        put(typed, *here)
        typed.load([ahead("a", "b", "c")])
        typed.write(Change(attributions=[("group", node.uid) for node in here]))
        expected = ["h0", "h1", "h2", "a", "b", "c"]
        for writing in (False, True):
            got: list[str | None] = []
            cursor = None
            while True:
                page = typed.find_nodes(
                    "artifact",
                    order_by="updated_at",
                    descending=descending,
                    limit=2,
                    cursor=cursor,
                    context=asked.get("context"),
                    matching=asked.get("matching"),
                )
                got += [node.name for node in page.nodes]
                cursor = page.cursor
                if cursor is None:
                    break
                if writing:  # one that is new, and one that changes
                    put(typed, artifact(f"new-{len(got)}"))
                    typed.write(Change([Put(dataclasses.replace(here[1], custom={"n": len(got)}), "update")]))
            assert got == (expected[::-1] if descending else expected)

    def test_a_walk_goes_through_nodes_from_tomorrow(self, typed: MetadataStore) -> None:
        typed.load([ahead("a", "b", "c")])
        query = WalkQuery(["run"], page_nodes=1)
        quiet = [n.uid for page in list_pages(typed, query) for level in page.levels for n in level.nodes]
        assert quiet == ["run", "uid-a", "uid-b", "uid-c"]
        seen: list[str] = []
        for page in list_pages(typed, query):
            seen += [node.uid for level in page.levels for node in level.nodes]
            late = artifact(f"late-{len(seen)}")
            typed.write(Change([Put(late)], [Event("run", late.uid, "INPUT")]))
        assert seen == quiet
        around = typed.lineage(["run"], max_hops=0)
        put(typed, artifact("beside"))
        assert [c.uid for c in around.contexts] == ["group"]
        assert around.associations == [("group", "run")]

    def test_a_clock_that_was_wrong_dates_nothing_later(self, typed: MetadataStore) -> None:
        (kept,) = put(typed, artifact("kept", custom={"n": 0}))
        assert isinstance(kept, Artifact)
        with wrong_clock():
            put(typed, artifact("wrong"))
            typed.write(Change([Put(dataclasses.replace(kept, custom={"n": 1}), "update")]))
        then = clock()
        changed = typed.write(Change([Put(dataclasses.replace(kept, custom={"n": 2}), "update")])).nodes
        assert is_ours(put(typed, artifact("right"))[0].created_at)
        assert [n.name for n in typed.find_nodes("artifact", as_of=clock()).nodes] == ["kept", "right"]
        assert typed.get_nodes("artifact", uids=[kept.uid], as_of=clock()) == list(changed.values())
        (was,) = typed.get_nodes("artifact", uids=[kept.uid], as_of=then)
        assert was.custom == {"n": 0}
        assert [n.custom["n"] for n in typed.history(kept.uid)] == [0, 1, 2]

    def test_a_clock_that_goes_back_a_little_is_waited_for(self, typed: MetadataStore) -> None:
        real = time.time_ns()
        with pytest.MonkeyPatch.context() as patch:
            moments = []
            for back_s in (0, 30, 60):
                patch.setattr("time.time_ns", lambda s=back_s: real - s * 10**9)
                moments.append(put(typed, artifact(f"n{back_s}"))[0].created_at)
        assert moments == sorted(moments, key=lambda moment: moment or clock())
        assert len(set(moments)) == 3
