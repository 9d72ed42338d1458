"""A node from a store reads its fields when they are looked at, and is otherwise as any other."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.database import sqlite_url
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Execution,
    NodeKind,
    Put,
    Removal,
    Type,
    Value,
    open_store,
)
from whence.metadata.encode import encode
from whence.metadata.lazy import LazySequence
from whence.metadata.rows import NodeRow, Tombstone, to_moment, to_node, tombstone_text

TEXT = encode({"n": 1}, {"list": [1, {"a": None}], "bytes": b"\0"})
ROW = NodeRow(5, "artifact", 7, "u", "x", "e", "file:x", "LIVE", TEXT, 10, 20, 3, 0)
TYPE = Type("artifact", "T", {"n": "INT"}, "2", id=7)
PLAIN = Artifact(
    type="T",
    type_version="2",
    name="x",
    external_id="e",
    properties={"n": 1},
    custom={"list": [1, {"a": None}], "bytes": b"\0"},
    uid="u",
    id=5,
    created_at=to_moment(10),
    updated_at=to_moment(20),
    revision=3,
    namespace="team",
    uri="file:x",
)


def made() -> Artifact:
    node = to_node(ROW, TYPE, "team")
    assert isinstance(node, Artifact)
    return node


def test_it_is_the_same_as_any_other() -> None:
    assert made() == PLAIN
    assert made() == PLAIN
    assert repr(made()) == repr(PLAIN)
    assert dataclasses.asdict(made()) == dataclasses.asdict(PLAIN)
    assert dataclasses.replace(made(), name="y") == dataclasses.replace(PLAIN, name="y")
    assert pickle.loads(pickle.dumps(made())) == PLAIN
    assert copy.copy(made()) == PLAIN
    assert copy.deepcopy(made()) == PLAIN
    assert made().get("n") == 1


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Artifact)])
def test_any_field_may_be_looked_at_first(field: str) -> None:
    node = made()
    assert getattr(node, field) == getattr(PLAIN, field)
    assert node == PLAIN


def test_the_other_kinds() -> None:
    kinds: list[tuple[NodeKind, AnyNode]] = [
        ("execution", Execution(type="T", uid="u", state="COMPLETE")),
        ("context", Context(type="T", uid="u")),
    ]
    for kind, plain in kinds:
        state = "COMPLETE" if kind == "execution" else None
        row = NodeRow(6, kind, 7, "u", None, None, None, state, '{"p":{},"c":{}}', 10, 10, 1)
        node = to_node(row, Type(kind, "T", id=7))
        want = dataclasses.replace(
            plain,
            id=6,
            properties={},
            custom={},
            revision=1,
            created_at=to_moment(10),
            updated_at=to_moment(10),
        )
        assert node == want
        assert not hasattr(to_node(row, Type(kind, "T", id=7)), "uri")


def test_it_has_no_other_fields_and_stays_as_it_is() -> None:
    node = made()
    with pytest.raises(AttributeError, match="size"):
        _ = node.size  # type: ignore[attr-defined]  # that is the test
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.name = "y"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        _ = PLAIN._source  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        hash(node)


def test_what_was_looked_at_is_kept() -> None:
    node = made()
    assert node.properties is node.properties
    assert node.custom is node.custom
    assert made().properties is not made().properties


def test_a_tombstone() -> None:
    text = tombstone_text(Tombstone(n="x", r="asked to", b="ops"))
    node = to_node(ROW._replace(name=None, uri=None, properties=text, removed_us=30), TYPE)
    assert (node.name, node.properties, node.removed_at) == ("x", {}, to_moment(30))
    assert node.custom == {"removed_reason": "asked to", "removed_by": "ops"}


def test_nodes_by_their_ids_are_read_at_once_whatever_they_hold(tmp_path: Path) -> None:
    store = open_store(sqlite_url(tmp_path / "graph.db"))
    store.put_type(Type("artifact", "T", {"n": "INT"}))
    held: list[dict[str, Value]] = [{"x": 1.5}, {"x": b"!"}, {"x": "l" * 20_000}, {"x": {"$a": [None]}}, {}]
    nodes = [Artifact(type="T", properties={"n": i}, custom=custom) for i, custom in enumerate(held)]
    stored = store.write(Change([Put(node) for node in nodes])).nodes
    store.write(Change(removals=[Removal(nodes[-1].uid, "old")]))
    ids = [stored[node.uid].id or 0 for node in reversed(nodes)]
    found = store.get_nodes("artifact", ids=ids)
    assert [node.custom for node in found] == [{"removed_reason": "old"}, *reversed(held[:-1])]
    assert [node.properties for node in found] == [{}, {"n": 3}, {"n": 2}, {"n": 1}, {"n": 0}]
    assert found == [store.history(node.uid)[-1] for node in reversed(nodes)]
    store.close()


def test_threads_may_look_at_once() -> None:
    broken: list[BaseException] = []
    for _ in range(50):
        node, start = made(), threading.Barrier(4)

        def look(field: str, node: Artifact = node, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                assert getattr(node, field) == getattr(PLAIN, field)
            except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
                broken.append(error)

        threads = [threading.Thread(target=look, args=(f,)) for f in ("uid", "properties", "custom", "state")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert broken == []


@given(st.lists(st.integers()), st.slices(20))
def test_a_lazy_sequence_is_a_list(items: list[int], part: slice) -> None:
    lazy: LazySequence[int, str] = LazySequence(items, str)
    want = list(map(str, items))
    assert (list(lazy), len(lazy), repr(lazy)) == (want, len(want), repr(want))
    assert lazy == want
    assert want == lazy
    assert lazy[part] == want[part]
    assert list(reversed(lazy)) == want[::-1]
    assert pickle.loads(pickle.dumps(lazy)) == want
    assert lazy != [*want, "more"]
    other: Any = "text"
    assert lazy != other
    with pytest.raises(IndexError):
        _ = lazy[len(items)]
