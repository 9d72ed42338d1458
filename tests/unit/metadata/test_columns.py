"""What is loaded column by column is what the plan would have written, and refused as the plan refuses it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from whence.database import sqlite_url
from whence.errors import ConflictError, NotFoundError, WhenceError
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    Loaded,
    MetadataStore,
    Put,
    Removal,
    Type,
    open_store,
)
from whence.metadata.backends import sql
from whence.metadata.backends.uids import pack_ulids, unpack_uids
from whence.metadata.codes import pack_uid, unpack_uid

TYPES = [
    Type("artifact", "A", {"n": "INT", "d": "DOUBLE", "s": "STRING", "b": "BOOLEAN", "t": "STRUCT", "p": "PROTO"}),
    Type("artifact", "A", {"n": "STRING"}, version="2"),
    Type("execution", "E", {"n": "INT"}),
    Type("context", "C"),
]  # fmt: skip
MOMENT = datetime(2013, 4, 1, tzinfo=UTC)

texts = st.sampled_from(["x", "y", "é\n", "", "\0", "\ud800", "\\u0000", "$x", "n" * 600])
values: st.SearchStrategy[Any] = (
    texts
    | st.sampled_from([0, 1, -(2**63), 2**63 - 1, 2**63, -(2**63) - 1, True, False, None])
    | st.sampled_from([0.0, -0.0, 0.5, 1e300, float("nan"), float("inf"), 2.0**63])
    | st.sampled_from([b"!", [1, "x"], {"$bytes": "IQ=="}, {1: 2}, object(), Ellipsis])
)
# Mostly what fits, so that most batches are ordinary.
fitting: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(-3, 3),
    "d": st.floats(allow_nan=False, allow_infinity=False),
    "s": st.text(max_size=5),
    "b": st.booleans(),
}
typed = st.fixed_dictionaries({}, optional=fitting) | st.dictionaries(
    st.sampled_from(["n", "d", "s", "b", "t", "p", "wrong"]), values, max_size=2
)
custom = st.dictionaries(
    st.sampled_from(["n", "c", "é"]), st.integers(0, 9) | st.text(max_size=3), max_size=3
)
customs = custom | custom.map(MappingProxyType) | st.dictionaries(texts, values, max_size=2)
names = st.none() | st.none() | texts | st.text(max_size=3)
ULIDS = [unpack_uid(bytes([i]) * 16) for i in range(1, 13)]
uids = st.sampled_from(ULIDS) | st.sampled_from(["mine", "é", "", "x" * 65, "a\0"])


@st.composite
def batches(draw: st.DrawFn) -> list[Change]:
    """Batches whose nodes and edges meet each other."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        nodes: list[AnyNode] = []
        for _ in range(draw(st.integers(0, 4))):
            given_: dict[str, Any] = {
                "uid": draw(uids),
                "name": draw(names),
                "external_id": draw(st.none() | names),
                "custom": draw(customs),
            }
            kind = draw(st.sampled_from("aaaeec"))
            if kind == "a":
                version = draw(st.sampled_from([None, None, None, "2", "3"]))
                uri, state = draw(names), draw(st.sampled_from(["LIVE", "PENDING", "LIVE", "NEW"]))
                nodes.append(
                    Artifact(
                        type="A",
                        type_version=version,
                        uri=uri,
                        state=state,  # type: ignore[arg-type]  # or none
                        properties=draw(typed) if version is None else {},
                        **given_,
                    )
                )
            elif kind == "e":
                nodes.append(Execution(type="E", properties=draw(st.just({}) | typed), **given_))
            else:
                nodes.append(Context(type="C", **given_))
        how = st.sampled_from(["error"] * 12 + ["reuse", "update"])
        puts = [Put(node, draw(how)) for node in nodes]  # type: ignore[arg-type]  # words of that literal
        ends = st.sampled_from([*(node.uid for node in nodes), *ULIDS])
        kinds = st.sampled_from(["INPUT", "OUTPUT", "INPUT", "UNKNOWN", "EATEN"])
        paths = st.sampled_from([(), (), ("rows", 1), (True,), "rows"])
        times = st.sampled_from([None, None, MOMENT, MOMENT + timedelta(1), MOMENT.replace(tzinfo=None)])
        events = draw(st.lists(st.builds(Event, ends, ends, kinds, paths, times), max_size=2))
        pairs = st.lists(st.tuples(ends, ends), max_size=1)
        found.append(Change(puts, events, draw(pairs), draw(pairs)))
    return found


def furnished(url: str) -> MetadataStore:
    store = open_store(url)
    for type_ in TYPES:
        store.put_type(type_)
    return store


def outcome(store: MetadataStore, changes: list[Change]) -> object:
    """What loading gives, or how it is refused."""
    try:
        return store.load(changes)
    except WhenceError as error:
        return type(error), error.code, str(error)


def content(store: MetadataStore) -> object:
    """Everything that is stored, the store's own times aside."""
    nodes = [node for kind in ("artifact", "execution", "context") for node in store.all_nodes(kind)]
    return (
        [
            (
                n.id, n.uid, n.type, n.type_version, n.name, n.external_id, n.revision, n.updated_at == n.created_at,
                getattr(n, "uri", None), getattr(n, "state", None), repr(n.properties), repr(n.custom),
            )
            for n in nodes
        ],
        [(e.execution, e.artifact, e.kind, e.path, e.at if e.at and e.at < MOMENT + timedelta(2) else 0)
         for e in store.all_events()],
        sorted(store.all_members()),
    )  # fmt: skip


@settings(max_examples=50)
@given(batches())
@example([Change([Put(Artifact(type="A", uid=ULIDS[0], properties={"n": 1}))] * 2)])
def test_loaded_as_planned(changes: list[Change]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stored, memory = furnished(sqlite_url(Path(folder) / "whence.db")), furnished("memory://")
        assert outcome(stored, changes) == outcome(memory, changes)
        assert content(stored) == content(memory)
        stored.close()


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=300), st.text(max_size=27), st.integers(0, 300))
@example([], "8" + "0" * 25, 0)
@example([bytes(16)], "0" * 12 + "_" + "0" * 13, 1)
@example([bytes(16)], "-" + "0" * 25, 0)
def test_uids_together_are_uids_one_by_one(packed: list[bytes], odd: str, place: int) -> None:
    texts_ = [unpack_uid(one) for one in packed]
    assert unpack_uids(packed) == texts_
    assert pack_ulids(texts_) == packed
    texts_.insert(place, odd)
    pairs = [pack_uid(text) for text in texts_]
    assert pack_ulids(texts_) == (
        None if any(text is not None for _, text in pairs) else [one for one, _ in pairs]
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MetadataStore]:
    store = furnished(sqlite_url(tmp_path / "whence.db"))
    yield store
    store.close()


def steps(n: int, source: Artifact) -> Iterator[Change]:
    """Executions that read the artifact before and write one, 150 a batch in a context."""
    before = source
    for begin in range(0, n, 150):
        context = Context(type="C", name=f"c{begin}")
        puts, events, made, ran = [Put(context)], [], [], []
        for i in range(begin, min(begin + 150, n)):
            execution = Execution(type="E", name=f"e{i}", state="COMPLETE", properties={"n": i})
            artifact = Artifact(
                type="A", name=f"a{i}", uri=f"é{i}", properties={"n": i, "d": i / 7, "s": f"s{i}"}
            )
            puts += [Put(execution), Put(artifact)]
            events += [
                Event(execution.uid, before.uid, "INPUT"),
                Event(execution.uid, artifact.uid, "OUTPUT"),
            ]
            made.append((context.uid, artifact.uid))
            ran.append((context.uid, execution.uid))
            before = artifact
        yield Change(puts, events, made, ran)


def test_an_ordinary_load_is_not_planned(store: MetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Artifact(type="A", name="source")
    store.write(Change([Put(source)]))

    def never(*_: object, **__: object) -> object:
        raise AssertionError

    monkeypatch.setattr(sql, "make_plan", never)
    assert store.load(steps(400, source)) == Loaded(803, 0, 800, 800, 0)
    (last,) = store.find_nodes("artifact", descending=True, limit=1).nodes
    lineage = store.lineage([last.uid])
    assert len(lineage.executions) == 400


def test_rows_that_are_there_are_not_counted(store: MetadataStore) -> None:
    a, e, c = Artifact(type="A"), Execution(type="E"), Context(type="C")
    edges: dict[str, Any] = {
        "events": [Event(e.uid, a.uid, "INPUT"), Event(e.uid, a.uid, "INPUT"), Event(e.uid, a.uid, "OUTPUT")],
        "attributions": [(c.uid, a.uid), (c.uid, a.uid)],
    }
    assert store.load([Change([Put(a), Put(e), Put(c)], **edges)]) == Loaded(3, 0, 2, 1, 0)
    assert store.load([Change(**edges), Change(**edges)]) == Loaded()
    more = Event(e.uid, a.uid, "INPUT", ("x",))
    assert store.load([Change(events=[*edges["events"], more])]) == Loaded(0, 0, 1, 0, 0)


def test_what_another_removed_meanwhile_is_refused(store: MetadataStore, tmp_path: Path) -> None:
    source = Artifact(type="A", name="source")
    other = open_store(sqlite_url(tmp_path / "whence.db"))

    def changes() -> Iterator[Change]:
        yield Change([Put(source)])
        other.write(Change(removals=[Removal(source.uid)]))
        yield from steps(3, source)

    with pytest.raises(ConflictError) as caught:
        store.load(changes())
    assert caught.value.code == "removed"
    assert not list(store.list_nodes("execution"))
    other.close()


def test_a_list_is_committed_together_unless_somebody_listens(
    store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Artifact(type="A", name="source")
    store.write(Change([Put(source)]))
    commits: list[int] = []
    monkeypatch.setattr(sql, "crash_point", lambda _: commits.append(1))
    batches_ = list(steps(600, source))
    told: list[int] = []
    store.load(batches_[:1])
    store.load(batches_[1:2], on_progress=told.append)
    assert (len(commits), told) == (2, [901])
    store.load(batches_[2:])
    assert len(commits) == 3
    more = [Change(), *(Change([Put(Artifact(type="A"))]) for _ in range(5))]
    monkeypatch.setattr(sql, "MAX_TOGETHER", 2)
    store.load(more)
    assert len(commits) == 6
    store.load(iter(more[:1] * 2))
    assert len(commits) == 8


def test_of_batches_together_those_before_a_bad_one_are_written(store: MetadataStore) -> None:
    source = Artifact(type="A", name="source")
    store.write(Change([Put(source)]))
    good = list(steps(450, source))
    # Eight rows are one statement, which leaves seven of them when it fails.
    bad = Change([Put(Artifact(type="A", name=name)) for name in (*map(str, range(7)), "a7")])
    with pytest.raises(ConflictError, match="name 'a7' is taken"):
        store.load([good[0], good[1], bad, good[2]])
    assert store.count_nodes("execution") == {"execution": 300}
    assert store.find_nodes("artifact", name="0").nodes == []


def test_what_was_not_written_is_not_known(store: MetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that stands still gives the batch that is written at last the moment of the one that was refused."""
    monkeypatch.setattr("time.time_ns", lambda: 0)
    first, second = (Artifact(type="A", name="x", uid=uid) for uid in ULIDS[:2])
    store.load([Change([Put(first)])])
    e, f = Execution(type="E", uid=ULIDS[2]), Execution(type="E", uid=ULIDS[3])

    def changes() -> Iterator[Change]:
        yield Change([Put(e), Put(second, "reuse")], [Event(e.uid, second.uid, "INPUT")])
        yield Change([Put(f)], [Event(f.uid, first.uid, "OUTPUT"), Event(e.uid, first.uid, "OUTPUT")])
        yield Change(events=[Event(f.uid, second.uid, "OUTPUT")])

    with pytest.raises(NotFoundError, match=second.uid):  # it is the uid of no node: the stored one was meant
        store.load(changes())
    assert len(list(store.all_events())) == 3
