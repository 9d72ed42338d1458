"""A plan looks up no more than it needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest

from whence.errors import ConflictError, NotFoundError
from whence.metadata import (
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    NodeKind,
    Put,
    Type,
    kind_of_id,
    wire_id,
)
from whence.metadata.plan import Wanted, make_plan
from whence.metadata.rows import MarkRow, NodeRow

TYPES = {name: Type(kind, name, id=i) for i, (kind, name) in enumerate([("artifact", "T"), ("execution", "E"), ("context", "C")])}  # type: ignore[arg-type]  # fmt: skip
STORED = NodeRow(5, "artifact", 0, "old", "old", None, None, "LIVE", '{"p":{},"c":{}}', 1, 1, 1)


class Look:
    """A store with one node, which notes what it is asked."""

    namespace_id = 0

    def __init__(self) -> None:
        self.asked: list[Wanted] = []

    def type(self, kind: NodeKind, name: str, version: str | None, properties: Collection[str]) -> Type:
        assert (kind, version) == (TYPES[name].kind, None)
        assert not properties
        return TYPES[name]

    def rows(self, wanted: Wanted) -> Iterable[NodeRow]:
        self.asked.append(wanted)
        return [STORED] if "old" in wanted.uids or (0, 0, "old") in wanted.names else []

    def next_id(self) -> int:
        return 2

    def parents(self, ids: Collection[int]) -> Iterable[tuple[int, int]]:
        assert not ids
        return []

    def events(self, keys: Collection[tuple[int, int, str]]) -> Iterable[tuple[int, int, str]]:
        raise AssertionError(keys)

    def marks(self, ids: Collection[int]) -> Iterable[MarkRow]:
        raise AssertionError(ids)

    def next_mark(self) -> int:
        raise AssertionError


def test_new_nodes_are_looked_up_only_without_trust() -> None:
    a, e, c = Artifact(type="T", name="a", external_id="x"), Execution(type="E"), Context(type="C", name="c")
    change = Change(
        [Put(a), Put(e), Put(c)], [Event(e.uid, a.uid, "OUTPUT")], [(c.uid, a.uid)], [(c.uid, e.uid)]
    )
    trusting, careful = Look(), Look()
    plan = make_plan(change, trusting, 9, trusting=True)
    assert trusting.asked == []
    assert make_plan(change, careful, 9) == plan
    (wanted,) = careful.asked
    assert wanted.uids == {a.uid, e.uid, c.uid}
    assert wanted.names == {(0, 0, "a"), (2, 0, "c")}
    assert wanted.external_ids == {("artifact", 0, "x")}
    assert [(wire_id(i), kind_of_id(i)) for i in plan.inserts] == [
        (2, "artifact"),
        (3, "execution"),
        (4, "context"),
    ]
    assert set(plan.members.values()) == {None}
    assert [event.known_us for event in plan.events] == [None]


def test_ends_of_edges_and_reused_nodes_are_always_looked_up() -> None:
    a, c = Artifact(type="T", name="a"), Context(type="C", name="c")
    change = Change([Put(a), Put(c, "reuse")], attributions=[(c.uid, "old")])
    look = Look()
    plan = make_plan(change, look, 9, trusting=True)
    (wanted,) = look.asked
    assert (wanted.uids, wanted.names) == ({c.uid, "old"}, {(2, 0, "c")})
    assert (len(plan.inserts), list(plan.members)) == (2, [(15, 5)])


def test_what_is_trusted_is_the_stores_to_find_out() -> None:
    change = Change([Put(Artifact(type="T", name="old"))])
    assert len(make_plan(change, Look(), 9, trusting=True).inserts) == 1
    with pytest.raises(ConflictError, match="name 'old' is taken"):
        make_plan(change, Look(), 9)
    twice = Change([Put(Artifact(type="T", name="a")), Put(Artifact(type="T", name="a"))])
    with pytest.raises(ConflictError, match="name 'a' is taken"):
        make_plan(twice, Look(), 9, trusting=True)
    with pytest.raises(NotFoundError):
        make_plan(Change([Put(Artifact(type="T"), revision=1)]), Look(), 9, trusting=True)


def test_a_node_known_later_is_known_since_then() -> None:
    e = Execution(type="E")
    plan = make_plan(Change([Put(e)], [Event(e.uid, "old", "INPUT")]), Look(), 9, trusting=True)
    assert [(event.at_us, event.known_us) for event in plan.events] == [(9, None)]
