"""Bad input gets an error of the tree and changes nothing. A part of `MetadataSuite`."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import pytest

from whence.errors import ConflictError, NotFoundError, UsageError, WhenceError
from whence.metadata import (
    Artifact,
    Change,
    Context,
    Event,
    Execution,
    Lift,
    Mark,
    MetadataStore,
    Put,
    Removal,
    Rows,
    Type,
    Value,
)
from whence.metadata.encode import FLAT_DEPTH, MAX_DEPTH
from whence.testing.metadata_past import KINDS, picture
from whence.testing.metadata_world import TABLE, Furnished, artifact, put

Bad: TypeAlias = Callable[["Known"], Change]
MIB: Final = 1 << 20


def graph_digest(store: MetadataStore) -> str:
    """A digest of everything a store gives away: nodes with their history, edges, types, marks, namespaces."""
    parts = [
        *picture(store).values(),
        [store.history(n.uid) for kind in KINDS for n in store.all_nodes(kind)],
        store.list_types(),
        store.list_marks(),
        store.list_namespaces(),
    ]
    return hashlib.sha256("\n".join(map(repr, parts)).encode(errors="surrogatepass")).hexdigest()


@dataclasses.dataclass(frozen=True)
class Known:
    """What a store holds before something bad is tried."""

    table: Artifact
    load: Execution
    upper: Context
    lower: Context


def _event(kind: str = "INPUT", path: Any = ()) -> Bad:  # Any: that is the test
    return lambda k: Change(events=[Event(k.load.uid, k.table.uid, kind, path)])  # type: ignore[arg-type]


def _put(**fields: object) -> Bad:
    return lambda _: Change([Put(artifact(**fields))])  # type: ignore[arg-type]  # the test says what


def nested(depth: int) -> Value:
    """Lists and structs in one another."""
    value: Value = 1
    for i in range(depth):
        value = [value] if i % 2 else {"a": value}
    return value


ENDLESS: Final[dict[str, Value]] = {}
ENDLESS["a"] = [ENDLESS, ENDLESS]

BAD: Final[dict[str, tuple[Bad, type[WhenceError], str]]] = {
    "wrong property type": (_put(properties={"n_rows": "3"}), UsageError, "property-type"),
    "a number of 65 bits": (_put(custom={"n": 2**63}), UsageError, "property-type"),
    "a value nobody stores": (_put(custom={"n": [{1, 2}]}), UsageError, "property-type"),
    "a value 101 deep": (_put(custom={"n": nested(101)}), UsageError, "property-type"),
    "a value 5,000 deep": (_put(custom={"n": nested(5_000)}), UsageError, "property-type"),
    "a deep value where a number belongs": (_put(properties={"n_rows": nested(5_000)}), UsageError, "property-type"),
    "a value that holds itself": (_put(custom={"n": ENDLESS}), UsageError, "property-type"),
    "an unnamed property": (_put(custom={"": 1}), UsageError, "property-type"),
    "an unknown property": (_put(properties={"rows": 3}), UsageError, "unknown-property"),
    "an unknown type": (lambda _: Change([Put(Artifact(type="Tabel"))]), NotFoundError, "artifact-type-not-found"),
    "an unknown version": (
        lambda _: Change([Put(Artifact(type="Table", type_version="9"))]), NotFoundError, "artifact-type-not-found"),
    "a type of another kind": (lambda _: Change([Put(Execution(type="Table"))]), NotFoundError, "execution-type-not-found"),
    "a duplicate name": (_put(name="t"), ConflictError, "name-taken"),
    "a duplicate external id": (_put(external_id="x-1"), ConflictError, "name-taken"),
    "a duplicate uid": (lambda k: Change([Put(artifact(uid=k.table.uid))]), ConflictError, "name-taken"),
    "the uid of another kind": (lambda k: Change([Put(artifact(uid=k.load.uid), "update")]), ConflictError, "name-taken"),
    "an unknown id": (_put(id=4_000_001), NotFoundError, "artifact-not-found"),
    "an old revision": (
        lambda k: Change([Put(dataclasses.replace(k.table, uri="u"), "update", revision=9)]), ConflictError, "stale-revision"),
    "a revision of nothing": (lambda _: Change([Put(artifact("n"), revision=1)]), NotFoundError, "artifact-not-found"),
    "a state of another kind": (_put(state="RUNNING"), UsageError, "bad-state"),
    "a dangling event": (lambda k: Change(events=[Event(k.load.uid, "absent", "INPUT")]), NotFoundError, "artifact-not-found"),
    "an event the wrong way round": (
        lambda k: Change(events=[Event(k.table.uid, k.load.uid, "INPUT")]), NotFoundError, "execution-not-found"),
    "an unknown kind of event": (_event("READ"), UsageError, "bad-event"),
    "a step that is no name": (_event(path=(1.5,)), UsageError, "bad-event"),
    "a name of bytes": (_put(name=b"x"), UsageError, "invalid-text"),
    "a uri of bytes": (_put(uri=b"x"), UsageError, "invalid-text"),
    "a path that is one text": (_event(path="rows"), UsageError, "bad-event"),
    "a long path": (_event(path=("x" * 600,)), UsageError, "too-long"),
    "a path that is no text": (_event(path=("\ud800",)), UsageError, "invalid-text"),
    "a dangling attribution": (lambda k: Change(attributions=[("absent", k.table.uid)]), NotFoundError, "context-not-found"),
    "an attribution of an execution": (
        lambda k: Change(attributions=[(k.upper.uid, k.load.uid)]), NotFoundError, "artifact-not-found"),
    "a dangling association": (lambda k: Change(associations=[(k.upper.uid, "absent")]), NotFoundError, "execution-not-found"),
    "a dangling parent": (lambda k: Change(parents=[(k.upper.uid, "absent")]), NotFoundError, "context-not-found"),
    "a cycle": (lambda k: Change(parents=[(k.upper.uid, k.lower.uid)]), ConflictError, "context-cycle"),
    "its own parent": (lambda k: Change(parents=[(k.upper.uid, k.upper.uid)]), ConflictError, "context-cycle"),
    "an empty name": (_put(name=""), UsageError, "too-long"),
    "a long name": (_put(name="x" * 513), UsageError, "too-long"),
    "a long external id": (_put(external_id="ü" * 513), UsageError, "too-long"),
    "a long uid": (_put(uid="x" * 65), UsageError, "too-long"),
    "a long uri": (_put(uri="x" * 65_537), UsageError, "too-large"),
    "a name with a NUL": (_put(name="a\0b"), UsageError, "invalid-text"),
    "a uid with a NUL": (_put(uid="a\0b"), UsageError, "invalid-text"),
    "a uri with a NUL": (_put(uri="a\0b"), UsageError, "invalid-text"),
    "a property's name with a NUL": (_put(custom={"a\0b": 1}), UsageError, "invalid-text"),
    "half a character in a name": (_put(name="a\ud800"), UsageError, "invalid-text"),
    "half a character in a uri": (_put(uri="\udfff"), UsageError, "invalid-text"),
    "half a character in a property": (_put(custom={"a": ["\udfff"]}), UsageError, "invalid-text"),
    "half a character in a property's name": (_put(custom={"\ud800": 1}), UsageError, "invalid-text"),
    "a property of 5 MiB": (_put(custom={"big": "x" * (5 * MIB)}), UsageError, "too-large"),
    "bytes of 5 MiB": (_put(custom={"big": b"x" * (5 * MIB)}), UsageError, "too-large"),
    "a node of 18 MiB": (_put(custom={str(i): "x" * (3 * MIB) for i in range(6)}), UsageError, "too-large"),
    "a removal of nothing": (lambda _: Change(removals=[Removal("absent")]), NotFoundError, "node-not-found"),
    "a reason that is no text": (lambda k: Change(removals=[Removal(k.table.uid, "\0")]), UsageError, "invalid-text"),
    "a mark of nothing": (lambda _: Change(marks=[Mark("absent")]), NotFoundError, "node-not-found"),
    "a mark that is no text": (lambda k: Change(marks=[Mark(k.table.uid, "\udfff")]), UsageError, "invalid-text"),
    "an unknown mark": (lambda _: Change(lifts=[Lift(7)]), NotFoundError, "mark-not-found"),
}  # fmt: skip


class BadInputRules(Furnished):
    """Whatever is wrong with a change, nothing of it is written."""

    @pytest.fixture
    def known(self, typed: MetadataStore) -> Known:
        table, load = artifact("t", external_id="x-1", custom={"a": 1}), Execution(type="load", name="e")
        upper, lower = Context(type="Group", name="u"), Context(type="Group", name="l")
        put(typed, table, load, upper, lower)
        typed.write(
            Change(
                [Put(dataclasses.replace(table, custom={"a": 2}), "update")],
                [Event(load.uid, table.uid, "OUTPUT")],
                attributions=[(upper.uid, table.uid)],
                parents=[(lower.uid, upper.uid)],
            )
        )
        return Known(table, load, upper, lower)

    @pytest.mark.parametrize("what", BAD)
    def test_a_bad_change_changes_nothing(self, typed: MetadataStore, known: Known, what: str) -> None:
        make, error, code = BAD[what]
        bad = make(known)
        # Good things before and after it, that would be seen if half of a change were written.
        good = Change(
            [
                Put(artifact("good")),
                *bad.puts,
                Put(dataclasses.replace(known.load, state="FAILED"), "update"),
            ],
            [Event(known.load.uid, known.table.uid, "INPUT"), *bad.events],
            [(known.lower.uid, known.table.uid), *bad.attributions],
            [(known.upper.uid, known.load.uid), *bad.associations],
            bad.parents,
            bad.removals,
            [*bad.marks, Mark(known.load.uid)],
            bad.lifts,
        )
        before = graph_digest(typed)
        for change in (bad, good):
            with pytest.raises(WhenceError) as caught:
                typed.write(change)
            assert (type(caught.value), caught.value.code) == (error, code)
            assert graph_digest(typed) == before
        if not bad.removals and not bad.marks and not bad.lifts:
            with pytest.raises(WhenceError) as caught:
                typed.load(
                    [Change(good.puts, good.events, good.attributions, good.associations, good.parents)]
                )
            assert caught.value.code == code
            assert graph_digest(typed) == before

    @pytest.mark.parametrize("text", ["a\0", "\ud800"])
    def test_a_type_that_is_no_text_is_refused(self, typed: MetadataStore, text: str) -> None:
        before = graph_digest(typed)
        for type_ in (
            Type("artifact", text),
            Type("artifact", "T", {text: "INT"}),
            Type("artifact", "T", version=text),
            Type("execution", "T", input_type=text),
            dataclasses.replace(TABLE, properties={"n_rows": "INT", text: "INT"}),
        ):
            with pytest.raises(UsageError) as caught:
                typed.put_type(type_, extend=True)
            assert caught.value.code == "invalid-text"
        assert graph_digest(typed) == before

    def test_questions_in_bad_text_find_nothing(self, typed: MetadataStore, known: Known) -> None:
        assert typed.get_nodes("artifact", uids=["\0", known.table.uid])[0].uid == known.table.uid
        asks: list[dict[str, Any]] = [  # Any: arguments of whatever type
            {"name": "a\0"}, {"name": ["\ud800"]}, {"name_prefix": "\0"}, {"uri": "\0"}, {"external_id": "\udfff"},
            {"context": "\0"}, {"contexts": ["\0"]}, {"type_": "\0"}, {"state": "\0"},
        ]  # fmt: skip
        for ask in asks:
            assert typed.find_nodes("artifact", **ask).nodes == []
        for text in ("\0", "\ud800"):
            with pytest.raises(UsageError) as caught:
                typed.find_nodes("artifact", where={"a": text})
            assert caught.value.code == "bad-query"
            assert typed.get_nodes("artifact", uids=[text]) == []
            assert typed.list_events(artifacts=[text]) == []
            assert typed.list_contexts(artifact=text) == []

    def test_ids_beyond_64_bits_are_not_there(self, typed: MetadataStore, known: Known) -> None:
        for id_ in (0, -1, 2**63 - 1):
            assert typed.get_nodes("artifact", ids=[id_]) == []
        assert known.table.id is None

    def test_a_load_of_bad_rows_changes_nothing(self, typed: MetadataStore, known: Known) -> None:
        before = graph_digest(typed)
        for rows in (
            Rows([artifact("good"), artifact("bad", properties={"n_rows": "3"})]),
            Rows([artifact("good")], [Event(known.load.uid, "absent", "INPUT")]),
            Rows([artifact("good")], parents=[(known.upper.uid, known.lower.uid)]),
            Rows([artifact("good"), artifact("\ud800")]),
            Rows([artifact("good")], imported=[("artifact", 1, "absent")], source="s"),
        ):
            with pytest.raises(WhenceError):
                typed.load([rows])
            assert graph_digest(typed) == before
        assert typed.list_imported("s") == []

    def test_a_value_has_a_hundred_levels(self, typed: MetadataStore) -> None:
        node = artifact("deep", custom={"n": nested(100), "$": nested(100)})
        put(typed, node)
        typed.load([Change([Put(artifact("deeper", custom={"n": nested(100)}))])])
        assert typed.get_nodes("artifact", uids=[node.uid])[0].custom == node.custom
        for value in (nested(101), ENDLESS):
            for batch in (
                Change([Put(artifact("x", custom={"n": value}))]),
                Rows([artifact("x", custom={"n": value})]),
            ):
                with pytest.raises(UsageError, match="more than 100") as caught:
                    typed.load([batch])
                assert caught.value.code == "property-type"

    def test_a_deep_value_hides_nothing_beside_it(self, typed: MetadataStore) -> None:
        depths = (FLAT_DEPTH, FLAT_DEPTH + 1, 30, MAX_DEPTH)
        for depth in depths:
            reserved: Value = b"!"
            for _ in range(depth):
                reserved = {"$": reserved}
            custom: dict[str, Value] = {"n": nested(depth), "r": reserved, "beside": depth}
            node = artifact(f"deep{depth}", properties={"n_rows": depth}, custom=custom)
            put(typed, node)
            assert typed.get_nodes("artifact", uids=[node.uid])[0].custom == custom
        for depth in depths:
            for where in ({"beside": depth}, {"n_rows": depth}, {"n_rows": depth, "absent": None}):
                assert [n.name for n in typed.find_nodes("artifact", where=where).nodes] == [f"deep{depth}"]
            for name in "nr":
                assert not typed.find_nodes("artifact", where={"n_rows": depth, name: None}).nodes
                text = f"properties.n_rows = {depth} AND custom_properties.{name} IS NOT NULL"
                assert [n.name for n in typed.find_nodes("artifact", matching=text).nodes] == [f"deep{depth}"]
