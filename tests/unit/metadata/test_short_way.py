"""The short way of writing: the same rows, answers and errors as the plan's, over random histories."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence._base.ids import derived_uid
from whence._base.locks import Life
from whence.database import sqlite_url
from whence.errors import WhenceError
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    EventKind,
    Execution,
    MetadataStore,
    Put,
    Recorder,
    Removal,
    Type,
    open_store,
)
from whence.metadata.backends import sql

TYPES = (
    Type("artifact", "A", {"n": "INT", "d": "DOUBLE", "s": "STRUCT"}),
    Type("artifact", "B", {"text": "STRING", "raw": "PROTO"}),
    Type("execution", "E", {"n": "INT", "ok": "BOOLEAN"}),
    Type("context", "C", {"n": "INT"}),
)
TABLES = ("node", "node_past", "event", "member", "counter")
BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
UIDS = {kind: [derived_uid(kind, str(i)) for i in range(3)] for kind in "AEC"}
EVERY_UID = [uid for uids in UIDS.values() for uid in uids]

scalars = st.sampled_from(
    [None, True, 0, 7, 2**63, 0.5, float("nan"), "text", "é", "a\0b", b"!", {"k": 1}, [1, 2]]
)
customs = st.dictionaries(st.sampled_from(["n", "c", "$x", ""]), scalars, max_size=2)
typed = st.dictionaries(st.sampled_from(["n", "d", "s", "text", "raw", "ok"]), scalars, max_size=2)
plain = st.fixed_dictionaries({}, optional={"n": st.integers(0, 3)})
plain_customs = st.dictionaries(
    st.sampled_from("abc"), st.sampled_from([None, 1, 0.5, "é", True, [1]]), max_size=2
)


@st.composite
def nodes(draw: st.DrawFn, odd: st.SearchStrategy[bool]) -> AnyNode:
    """Few names and uids, so that histories meet themselves; what is `odd` may be wrong in every way."""
    kind = draw(st.sampled_from("AAEEC"))
    shared: dict[str, Any] = {
        "uid": draw(st.sampled_from([*UIDS[kind], *["mine"] * draw(odd)])),
        "name": draw(st.sampled_from([None, None, "x", "y", *["é", "", "a\0b"] * draw(odd)])),
        "external_id": draw(st.sampled_from([None, *["1", "2", ""] * draw(odd)])),
        "id": draw(st.sampled_from([None, *[4 * draw(st.integers(1, 4)) + "?AEC".index(kind)] * draw(odd)])),
        "custom": draw(customs if draw(odd) else plain_customs),
    }
    if kind == "E":
        shared["properties"] = draw(typed if draw(odd) else plain)
        return Execution(type="E", state=draw(st.sampled_from(["NEW", "RUNNING", "COMPLETE"])), **shared)
    if kind == "C":
        return Context(type="C", properties=draw(plain), **shared)
    shared["properties"] = draw(typed if draw(odd) else plain)
    type_ = "B" if draw(odd) else "A"
    uri = draw(st.sampled_from([None, "s3://a", "b c", *["é", "a\0b"] * draw(odd)]))
    return Artifact(type=type_, uri=uri, state=draw(st.sampled_from(["LIVE", "PENDING"])), **shared)


@st.composite
def puts(draw: st.DrawFn, odd: st.SearchStrategy[bool]) -> Put:
    return Put(
        draw(nodes(odd)),
        draw(st.sampled_from(["reuse", "update", *["error", "replace"] * draw(odd)])),
        revision=draw(st.sampled_from([None, None, None, *[1, 2] * draw(odd)])),
        mask=frozenset({"state", "custom.n"}) if draw(odd) else None,
        unchanged_since=BEGAN + timedelta(hours=2) if draw(odd) else None,
        touch=draw(st.booleans()),
    )


times = st.sampled_from([None, None, BEGAN, BEGAN + timedelta(days=1)])


@st.composite
def changes(draw: st.DrawFn) -> Change:
    odd = st.just(False) if draw(st.booleans()) else st.integers(0, 9).map(lambda n: n == 0)
    ends = {kind: st.sampled_from([uids[0]] * 6 + uids) for kind, uids in UIDS.items()}
    kinds: st.SearchStrategy[EventKind] = st.sampled_from(["INPUT", "OUTPUT", "PENDING_OUTPUT"])
    events = st.builds(Event, ends["E"], ends["A"], kinds, st.sampled_from([(), ("a", 0)]), times)
    return Change(
        draw(st.lists(puts(odd), max_size=3, unique_by=lambda put: put.node.uid)),
        draw(st.lists(events, max_size=2)),
        draw(st.lists(st.tuples(ends["C"], ends["A"]), max_size=2)),
        draw(st.lists(st.tuples(ends["C"], ends["E"]), max_size=2)),
        removals=[Removal(draw(st.sampled_from(EVERY_UID)))] if draw(st.integers(0, 4)) == 4 else [],
    )


FIRST = Change(
    [
        Put(Artifact(type="A", uid=UIDS["A"][0])),
        Put(Execution(type="E", uid=UIDS["E"][0], name="x")),
        Put(Context(type="C", uid=UIDS["C"][0], name="x")),
    ]
)


def told(store: MetadataStore, change: Change) -> object:
    """What a write answers, or its error in every word."""
    try:
        return {uid: repr(node) for uid, node in store.write(change).nodes.items()}
    except WhenceError as error:
        return type(error), error.code, str(error), error.details


def rows(path: Path) -> dict[str, list[Any]]:
    """Every row that a history leaves behind."""
    with closing(sqlite3.connect(path)) as connection:
        return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in TABLES}


@contextmanager
def clocked(hour: int) -> Iterator[None]:
    """The store's clock stands still: a change that is tried both ways takes one moment."""
    moment = BEGAN + timedelta(hours=hour)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "whence.metadata.backends.sql.time.time_ns", lambda: int(moment.timestamp()) * 1_000_000_000
        )
        yield


@contextmanager
def planned() -> Iterator[None]:
    """Nothing goes the short way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql, "additions", lambda *_, **__: None)
        yield


def answers(path: Path, history: Sequence[Change]) -> list[object]:
    store = open_store(f"{sqlite_url(path)}?synchronous=OFF")
    for type_ in TYPES:
        store.put_type(type_)
    out = []
    for hour, change in enumerate(history):
        with clocked(hour):
            out.append(told(store, change))
    store.close()
    return out


@given(st.lists(changes(), min_size=1, max_size=8))
@settings(deadline=None, max_examples=60)
def test_both_ways_write_the_same(history: list[Change]) -> None:
    with tempfile.TemporaryDirectory() as name:
        short, long = Path(name) / "short.db", Path(name) / "long.db"
        got = answers(short, [FIRST, *history])
        with planned():
            want = answers(long, [FIRST, *history])
        assert got == want
        assert rows(short) == rows(long)


A, E, C = (UIDS[kind][0] for kind in "AEC")
OTHER = UIDS["A"][1]
ODD: dict[str, list[Change]] = {
    "a node is updated, then reused by its name": [
        Change([Put(Artifact(type="A", uid=A, name="x"), "update")]),
        Change(
            [
                Put(Artifact(type="A", uid=A, custom={"c": 1}), "update"),
                Put(Artifact(type="A", uid=OTHER, name="x"), "reuse"),
            ]
        ),
    ],
    "a node is reused, then updated by its name": [
        Change(
            [
                Put(Execution(type="E", uid=E), "reuse"),
                Put(Execution(type="E", uid=UIDS["E"][1], name="x", custom={"c": 1}), "update"),
            ]
        )
    ],
    "what was removed is updated": [
        Change(removals=[Removal(A)]),
        Change([Put(Artifact(type="A", uid=A), "update")]),
        Change([Put(Artifact(type="A", uid=A), "reuse")], [Event(E, A, "INPUT")]),
    ],
    "an end was removed": [
        Change(removals=[Removal(A)]),
        Change([Put(Context(type="C", uid=C), "reuse")], [Event(E, A, "INPUT")]),
    ],
    "another type": [Change([Put(Artifact(type="B", uid=A), mode)]) for mode in ("reuse", "update")],
    "another name": [Change([Put(Context(type="C", uid=C, name="y"), mode)]) for mode in ("reuse", "update")],
    "another external id": [
        Change([Put(Context(type="C", uid=C, external_id="1"), mode)])
        for mode in ("reuse", "update", "update")
    ],
    "a stale revision, and the right one": [
        Change([Put(Execution(type="E", uid=E, state="COMPLETE"), "update", revision=revision)])
        for revision in (2, 1, 1, 2)
    ],
    "changed since": [
        Change([Put(Artifact(type="A", uid=A), "update", unchanged_since=BEGAN + timedelta(hours=hours))])
        for hours in (-99, 99)
    ],
    "a mask": [Change([Put(Artifact(type="A", uid=A, state="PENDING"), "update", mask=frozenset({"uri"}))])],
    "a node is replaced": [
        Change([Put(Artifact(type="A", uid=A, uri="s3://a", custom={"c": 1}), "update")]),
        Change([Put(Artifact(type="A", uid=A, state="PENDING"), "replace")]),
    ],
    "another id": [
        Change([Put(Artifact(type="A", uid=A, id=4 * 99 + 1), mode)]) for mode in ("reuse", "update")
    ],
    "what is not said stays": [
        Change([Put(Artifact(type="A", uid=A, uri="s3://a", properties={"n": 1, "d": 0.5}), "update")]),
        Change([Put(Artifact(type="A", uid=A, properties={"n": 2}, custom={"c": None}), "update")]),
        Change([Put(Artifact(type="A", uid=A), "update")]),
    ],
    "members, old and new": [
        Change([], [], [(C, A)], [(C, E)]),
        Change([Put(Artifact(type="A", uid=OTHER), "reuse")], [], [(C, OTHER), (C, A)], [(C, E)]),
    ],
}


@pytest.mark.parametrize("what", ODD)
def test_both_ways_do_the_same_where_it_is_odd(what: str, tmp_path: Path) -> None:
    got = answers(tmp_path / "short.db", [FIRST, *ODD[what]])
    with planned():
        want = answers(tmp_path / "long.db", [FIRST, *ODD[what]])
    assert got == want
    assert rows(tmp_path / "short.db") == rows(tmp_path / "long.db")


def test_a_node_of_another_namespace_is_not_updated(store: MetadataStore) -> None:
    node = Artifact(type="A", name="x")
    store.in_namespace("other", create=True).write(Change([Put(node)]))
    with pytest.raises(WhenceError) as caught:
        store.write(Change([Put(Artifact(type="A", uid=node.uid), "update")]))
    assert caught.value.code == "namespace-closed"
    assert (
        store.write(Change([Put(Artifact(type="A", uid=node.uid), "reuse")])).nodes[node.uid].namespace
        == "other"
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MetadataStore]:
    store = open_store(sqlite_url(tmp_path / "whence.db"))
    for type_ in TYPES:
        store.put_type(type_)
    yield store
    store.close()


@pytest.fixture
def unplanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever needs the plan fails."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this change was planned")

    monkeypatch.setattr(sql, "make_plan", refuse)


@pytest.mark.usefixtures("unplanned")
def test_what_is_written_every_day_goes_the_short_way(store: MetadataStore) -> None:
    first = Context(type="C", name="group")
    store.write(Change([Put(first, "reuse")]))
    execution, output = (
        Execution(type="E", state="RUNNING"),
        Artifact(type="A", name="out", properties={"s": [1]}),
    )
    written = store.write(
        Change(
            [Put(execution), Put(Context(type="C", name="group", uid=UIDS["C"][0]), "reuse")],
            associations=[(UIDS["C"][0], execution.uid)],
        )
    )
    assert written.nodes[UIDS["C"][0]].uid == first.uid
    stored = written.nodes[execution.uid]
    ended = Execution(type="E", uid=stored.uid, id=stored.id, state="COMPLETE", properties={"n": 3})
    written = store.write(
        Change([Put(ended, "update"), Put(output, "update")], [Event(execution.uid, output.uid, "OUTPUT")])
    )
    done = written.nodes[execution.uid]
    assert isinstance(done, Execution)
    assert (done.state, done.properties, done.revision) == ("COMPLETE", {"n": 3}, 2)
    assert [n.state for n in store.history(done.uid)] == ["RUNNING", "COMPLETE"]  # type: ignore[union-attr]  # executions


def test_a_recording_goes_the_short_way(
    tmp_path: Path, store: MetadataStore, request: pytest.FixtureRequest
) -> None:
    recorder = Recorder(store, life=Life(tmp_path / "lives"))
    with recorder.execution("E"):
        pass  # what is written once a process is known from here on
    request.getfixturevalue("unplanned")
    group = Context(type="Experiment", name="x")
    with recorder.execution(
        "E", params={"depth": 3}, contexts=[group], expects=[Artifact(type="A", name="m")]
    ) as ran:
        ran.input(Artifact(type="A", name="in"))
        ran.output(Artifact(type="B", name="out", properties={"text": "é"}))
        ran.output(Artifact(type="A", name="m", properties={"n": 1}))
    assert ran.execution.state == "COMPLETE"
    assert {a.name: (a.state, a.revision) for a in ran.outputs} == {"out": ("LIVE", 1), "m": ("LIVE", 2)}
    with pytest.raises(ZeroDivisionError), recorder.execution("E") as failed:
        raise ZeroDivisionError
    assert failed.execution.state == "FAILED"


def test_a_name_that_another_took_meanwhile_is_told_by_the_plan(store: MetadataStore) -> None:
    first = Artifact(type="A", name="x", external_id="1")
    store.write(Change([Put(first)]))
    with pytest.raises(WhenceError) as caught:
        store.write(Change([Put(Artifact(type="A", name="y", external_id="1"), "update")]))
    assert (caught.value.code, caught.value.details) == ("name-taken", {"uid": first.uid})
