"""The suite of the metadata port: subclass `MetadataSuite` in a test module and give it a fixture ``store``."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from whence.errors import ConflictError, NotFoundError, UsageError
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
    Type,
    Value,
)
from whence.metadata.delegate import AsOf
from whence.testing.metadata_ahead import AheadRules
from whence.testing.metadata_bad import BadInputRules
from whence.testing.metadata_lifecycle import BeatRules, MarkRules, NamespaceRules, RemovalRules
from whence.testing.metadata_load import LoadRules
from whence.testing.metadata_past import PastRules
from whence.testing.metadata_queries import FindRules, LineageRules
from whence.testing.metadata_snapshot import SnapshotRules
from whence.testing.metadata_updates import StrictRules, UpdateRules
from whence.testing.metadata_walk import PathRules, WalkRules
from whence.testing.metadata_world import (
    AT_THE_EDGES,
    MOMENT,
    TABLE,
    Furnished,
    artifact,
    put,
)


class TypeRules(Furnished):
    """Types and their properties."""

    def test_the_simple_types_are_always_there(self, store: MetadataStore) -> None:
        types = [(t.kind, t.name) for t in store.list_types()]
        assert types == [
            ("artifact", "mlmd.Dataset"),
            ("artifact", "mlmd.Model"),
            ("artifact", "mlmd.Metrics"),
            ("artifact", "mlmd.Statistics"),
            ("execution", "mlmd.Train"),
            ("execution", "mlmd.Transform"),
            ("execution", "mlmd.Process"),
            ("execution", "mlmd.Evaluate"),
            ("execution", "mlmd.Deploy"),
        ]
        assert store.list_types("context") == []

    def test_the_same_type_again_is_the_same_type(self, store: MetadataStore) -> None:
        first = store.put_type(TABLE)
        assert first.id is not None
        assert store.put_type(TABLE) == first
        assert store.put_type(Type("artifact", "Table", {"n_rows": "INT"})) == first
        assert [t.id for t in store.list_types("artifact") if t.name == "Table"] == [first.id]

    def test_a_type_has_versions_and_kinds(self, store: MetadataStore) -> None:
        ids = {store.put_type(Type("artifact", "X", version=v)).id for v in (None, "1", "2")}
        ids.add(store.put_type(Type("execution", "X")).id)
        assert len(ids) == 4
        assert {t.version for t in store.list_types("artifact") if t.name == "X"} == {None, "1", "2"}

    def test_a_property_is_added_only_when_asked(self, store: MetadataStore) -> None:
        store.put_type(TABLE)
        more = dataclasses.replace(TABLE, properties={"owner": "STRING"})
        with pytest.raises(ConflictError, match="without property 'owner'") as caught:
            store.put_type(more)
        assert caught.value.code == "type-conflict"
        assert store.put_type(more, extend=True).properties == {**TABLE.properties, "owner": "STRING"}

    @pytest.mark.parametrize("extend", [False, True])
    def test_a_property_keeps_its_type(self, store: MetadataStore, extend: bool) -> None:
        store.put_type(TABLE)
        with pytest.raises(ConflictError, match="stored as INT, not STRING") as caught:
            store.put_type(dataclasses.replace(TABLE, properties={"n_rows": "STRING"}), extend=extend)
        assert caught.value.code == "type-conflict"

    def test_a_base_is_a_simple_type_of_the_same_kind(self, store: MetadataStore) -> None:
        assert store.put_type(TABLE).base == "mlmd.Dataset"
        for base in ("mlmd.Train", "Table", "Dataset"):
            with pytest.raises(UsageError, match="not a simple artifact type") as caught:
                store.put_type(Type("artifact", "Other", base=base))
            assert caught.value.code == "bad-type"
        with pytest.raises(ConflictError, match=r"with base 'mlmd\.Dataset'"):
            store.put_type(dataclasses.replace(TABLE, base="mlmd.Model"))

    def test_a_node_of_an_unknown_type_is_refused(self, typed: MetadataStore) -> None:
        with pytest.raises(NotFoundError, match="artifact type 'Tabel' not found") as caught:
            put(typed, Artifact(type="Tabel"))
        assert (caught.value.code, caught.value.near) == ("artifact-type-not-found", ["Table"])


class TypeFieldRules(Furnished):
    """What else a type says of itself."""

    def test_a_type_comes_back_as_it_was_put(self, store: MetadataStore) -> None:
        given = Type(
            "execution",
            "train",
            {"é": "DOUBLE", "s": "STRUCT"},
            "2",
            "trains → models",
            "mlmd.Train",
            external_id="t-1",
            input_type='{"any":{}}',
            output_type='{"none":{}}',
        )
        stored = store.put_type(given)
        assert stored == dataclasses.replace(given, id=stored.id)
        assert store.list_types("execution")[-1] == stored
        assert store.put_type(given) == stored

    def test_a_put_again_adds_a_base_and_changes_an_external_id(self, store: MetadataStore) -> None:
        first = store.put_type(Type("artifact", "T", {"a": "INT"}, description="first", input_type="1"))
        second = store.put_type(
            Type("artifact", "T", {"a": "INT"}, None, "second", "mlmd.Model", None, "e-1", "2", "3")
        )
        assert second == dataclasses.replace(first, base="mlmd.Model", external_id="e-1")
        third = store.put_type(Type("artifact", "T", {"a": "INT"}, external_id="e-2"))
        assert third == dataclasses.replace(second, external_id="e-2")
        assert store.put_type(Type("artifact", "T", {"a": "INT"})) == third
        assert store.list_types("artifact")[-1] == third

    def test_an_external_id_is_one_types(self, store: MetadataStore) -> None:
        store.put_type(Type("artifact", "T", external_id="e"))
        with pytest.raises(ConflictError) as caught:
            store.put_type(Type("artifact", "U", external_id="e"))
        assert caught.value.code == "name-taken"
        store.put_type(Type("execution", "T", external_id="e"))
        assert [t.name for t in store.list_types("artifact")][4:] == ["T"]

    def test_properties_are_left_out_only_when_allowed(self, store: MetadataStore) -> None:
        store.put_type(TABLE)
        less = dataclasses.replace(TABLE, properties={"n_rows": "INT"})
        assert store.put_type(less).properties == TABLE.properties
        for given in (less, dataclasses.replace(TABLE, properties={"n_rows": "INT", "new": "INT"})):
            with pytest.raises(ConflictError, match="left out") as caught:
                store.put_type(given, extend=True, omit=False)
            assert caught.value.code == "type-conflict"
        assert store.put_type(TABLE, omit=False).properties == TABLE.properties


class NodeRules(Furnished):
    """Nodes: what is kept, what is refused, what an update does."""

    def test_a_node_comes_back_as_it_was_put(self, typed: MetadataStore) -> None:
        values: dict[str, Value] = {
            "i": -(2**63),
            "d": 0.1,
            "s": "Zürich \u2192 'x' \"y\" \\ \n\t\x07",
            "t": {"a": [1, 2.5, None, {"$b": True}], "ü": ""},
            "p": b"\x00\xff",
            "b": False,
        }
        custom: dict[str, Value] = {
            **values,
            "none": None,
            'odd "name"': 2**63 - 1,
            "big": 1e300,
            "list": [1, [2]],
        }
        given = Artifact(
            type="Everything", name="all", external_id="x-1", uri="file:a", properties=values, custom=custom
        )
        (stored,) = put(typed, given)
        assert stored == typed.get_nodes("artifact", uids=[given.uid])[0]
        assert isinstance(stored, Artifact)
        assert (stored.uid, stored.name, stored.external_id, stored.uri) == (
            given.uid,
            "all",
            "x-1",
            "file:a",
        )
        assert (stored.properties, stored.custom, stored.state, stored.revision) == (
            values,
            custom,
            "LIVE",
            1,
        )
        assert stored.created_at is not None
        assert stored.created_at == stored.updated_at
        assert abs(datetime.now(UTC) - stored.created_at) < timedelta(minutes=1)

    def test_numbers_that_json_has_not_come_back(self, typed: MetadataStore) -> None:
        custom = {"inf": float("inf"), "minus": float("-inf"), "zero": -0.0}
        (stored,) = put(typed, artifact(custom={**custom, "nan": float("nan")}))
        assert {name: stored.custom[name] for name in custom} == custom
        assert str(stored.custom["zero"]) == "-0.0"
        assert str(stored.custom["nan"]) == "nan"

    def test_kinds_of_nodes_stay_apart(self, typed: MetadataStore) -> None:
        a, e, c = put(typed, artifact("x"), Execution(type="load", name="x"), Context(type="Group", name="x"))
        assert [type(n) for n in (a, e, c)] == [Artifact, Execution, Context]
        assert typed.get_nodes("artifact", uids=[e.uid, c.uid]) == []
        assert typed.get_nodes("execution", uids=[e.uid]) == [e]
        assert typed.get_nodes("context", uids=[c.uid]) == [c]

    def test_get_keeps_the_order_and_leaves_out_the_absent(self, typed: MetadataStore) -> None:
        a, b, c = put(typed, artifact("a"), artifact("b"), artifact("c"))
        assert typed.get_nodes("artifact", uids=[c.uid, "absent", a.uid]) == [c, a]
        ids = [n.id for n in (b, a) if n.id is not None]
        assert typed.get_nodes("artifact", ids=[*ids, 10**12]) == [b, a]
        assert typed.get_nodes("artifact") == []

    def test_ids_grow(self, typed: MetadataStore) -> None:
        stored = [*put(typed, *(artifact() for _ in range(3))), *put(typed, artifact())]
        ids = [n.id for n in stored if n.id is not None]
        assert ids == sorted(set(ids))

    @pytest.mark.parametrize(
        ("properties", "message"),
        [
            ({"i": 1.0}, "'i' of 'Everything' is INT, got float 1.0"),
            ({"i": True}, "'i' of 'Everything' is INT, got bool True"),
            ({"d": "1"}, "'d' of 'Everything' is DOUBLE, got str '1'"),
            ({"s": 1}, "'s' of 'Everything' is STRING, got int 1"),
            ({"t": "text"}, "'t' of 'Everything' is STRUCT, got str 'text'"),
            ({"p": "text"}, "'p' of 'Everything' is PROTO, got str 'text'"),
            ({"b": 1}, "'b' of 'Everything' is BOOLEAN, got int 1"),
            ({"i": 2**63}, "9223372036854775808 does not fit 64 bits"),
            ({"d": 2**53 + 1}, "is DOUBLE, got int 9007199254740993"),
            ({"t": {"a": object()}}, "a object cannot be stored"),
            ({"t": {1: 2}}, "the key 1 of a struct must be text"),
        ],
    )
    def test_a_value_must_fit_its_type(
        self, typed: MetadataStore, properties: dict[str, Value], message: str
    ) -> None:
        given = Artifact(type="Everything", properties=properties)
        with pytest.raises(UsageError) as caught:
            put(typed, artifact("beside"), given)
        assert message in str(caught.value)
        assert caught.value.code == "property-type"
        assert typed.find_nodes("artifact").nodes == []

    def test_a_whole_number_is_a_double(self, typed: MetadataStore) -> None:
        (stored,) = put(typed, Artifact(type="Everything", properties={"d": 3}))
        assert type(stored.properties["d"]) is float

    def test_a_property_must_be_declared(self, typed: MetadataStore) -> None:
        with pytest.raises(UsageError, match="'N_rows' is not declared by artifact type 'Table'") as caught:
            put(typed, artifact(properties={"N_rows": 1}))
        assert (caught.value.code, caught.value.near) == ("unknown-property", ["n_rows"])

    @pytest.mark.parametrize(
        ("node", "code"),
        [
            (artifact("\ud800"), "invalid-text"),
            (artifact(custom={"x": "\udfff"}), "invalid-text"),
            (artifact(""), "too-long"),
            (artifact("x" * 513), "too-long"),
            (artifact(external_id="x" * 513), "too-long"),
            (artifact(uid=""), "too-long"),
            (artifact(state="DEAD"), "bad-state"),
            (Execution(type="load", state="LIVE"), "bad-state"),  # type: ignore[arg-type]  # that is the test
        ],
    )
    def test_bad_text_and_states_are_refused(self, typed: MetadataStore, node: AnyNode, code: str) -> None:
        with pytest.raises(UsageError) as caught:
            put(typed, node)
        assert caught.value.code == code

    def test_what_is_given_back_is_a_copy(self, typed: MetadataStore) -> None:
        mine: dict[str, Value] = {"list": [1]}
        (stored,) = put(typed, artifact("x", custom=mine))
        mine["list"] = [2]
        for node in (stored, *typed.find_nodes("artifact").nodes):
            inner = node.custom["list"]
            assert isinstance(inner, list)
            inner.append(9)
        assert typed.find_nodes("artifact").nodes[0].custom == {"list": [1]}


class PutRules(Furnished):
    """What a put does to a node that exists."""

    @pytest.mark.parametrize(
        "again",
        [
            lambda a: dataclasses.replace(a, name="other", external_id=None),  # the uid
            lambda _: artifact("x"),  # the name
            lambda _: artifact("other", external_id="x-1"),  # the external id
        ],
        ids=["uid", "name", "external id"],
    )
    def test_a_taken_name_is_refused(
        self, typed: MetadataStore, again: Callable[[Artifact], Artifact]
    ) -> None:
        first = artifact("x", external_id="x-1")
        put(typed, first)
        with pytest.raises(ConflictError) as caught:
            put(typed, artifact("beside"), again(first))
        assert caught.value.code == "name-taken"
        assert caught.value.details == {"uid": first.uid}
        assert [n.name for n in typed.find_nodes("artifact").nodes] == ["x"]

    def test_a_name_is_taken_per_type_and_an_external_id_per_kind(self, typed: MetadataStore) -> None:
        put(typed, artifact("x", external_id="x-1"))
        put(typed, Artifact(type="Everything", name="x"), Execution(type="load", name="x", external_id="x-1"))
        with pytest.raises(ConflictError):
            put(typed, Artifact(type="Everything", external_id="x-1"))
        put(typed, artifact(), artifact())

    def test_twice_in_one_change_is_twice(self, typed: MetadataStore) -> None:
        with pytest.raises(ConflictError):
            put(typed, artifact("x"), artifact("x"))
        first, second = artifact("x", custom={"a": 1}), artifact("x", custom={"b": 2})
        written = typed.write(Change([Put(first, "reuse"), Put(second, "update")])).nodes
        assert written[first.uid] == written[second.uid]
        assert (written[first.uid].uid, written[first.uid].custom) == (first.uid, {"a": 1, "b": 2})
        assert len(typed.find_nodes("artifact").nodes) == 1

    def test_reuse_keeps_what_is_stored(self, typed: MetadataStore) -> None:
        (first,) = put(typed, artifact("x", custom={"a": 1}))
        again = artifact("x", state="DELETED", custom={"a": 2})
        assert typed.write(Change([Put(again, "reuse")])).nodes == {again.uid: first}
        assert typed.find_nodes("artifact").nodes == [first]

    def test_update_merges(self, typed: MetadataStore) -> None:
        (first,) = put(
            typed, artifact("x", uri="a", properties={"n_rows": 1, "note": "n"}, custom={"a": 1, "b": 2})
        )
        change = artifact("x", state="DELETED", properties={"n_rows": 2}, custom={"b": None, "c": 3})
        stored = typed.write(Change([Put(change, "update")])).nodes[change.uid]
        assert isinstance(stored, Artifact)
        assert (stored.id, stored.uid, stored.created_at) == (first.id, first.uid, first.created_at)
        assert (stored.state, stored.uri, stored.revision) == ("DELETED", "a", 2)
        assert stored.properties == {"n_rows": 2, "note": "n"}
        assert stored.custom == {"a": 1, "b": None, "c": 3}
        assert typed.get_nodes("artifact", uids=[first.uid]) == [stored]

    def test_an_update_may_rename(self, typed: MetadataStore) -> None:
        a, _ = put(typed, artifact("a"), artifact("b"))
        with pytest.raises(ConflictError, match="name 'b' is taken"):
            typed.write(Change([Put(dataclasses.replace(a, name="b"), "update")]))
        typed.write(Change([Put(dataclasses.replace(a, name="c"), "update")]))
        assert [n.uid for n in typed.find_nodes("artifact", name="c").nodes] == [a.uid]
        assert typed.find_nodes("artifact", name="a").nodes == []
        put(typed, artifact("a"))

    def test_an_id_means_an_update(self, typed: MetadataStore) -> None:
        (first,) = put(typed, artifact("x"))
        stored = typed.write(Change([Put(dataclasses.replace(first, custom={"a": 1}))])).nodes[first.uid]
        assert (stored.id, stored.custom, stored.revision) == (first.id, {"a": 1}, 2)
        with pytest.raises(NotFoundError, match="artifact '1000000' not found"):
            put(typed, artifact("y", id=1_000_000))

    def test_an_old_revision_is_refused(self, typed: MetadataStore) -> None:
        (first,) = put(typed, artifact("x"))
        typed.write(Change([Put(artifact("x"), "update", revision=1)]))
        with pytest.raises(ConflictError, match="has revision 2, not 1") as caught:
            typed.write(Change([Put(artifact("x"), "update", revision=1)]))
        assert caught.value.code == "stale-revision"
        assert typed.get_nodes("artifact", uids=[first.uid])[0].revision == 2
        with pytest.raises(NotFoundError):
            typed.write(Change([Put(artifact("absent"), "update", revision=1)]))

    def test_a_uid_keeps_its_type(self, typed: MetadataStore) -> None:
        (first,) = put(typed, artifact("x"))
        for other in (Execution(type="load", uid=first.uid), Artifact(type="Everything", uid=first.uid)):
            with pytest.raises(ConflictError) as caught:
                typed.write(Change([Put(other, "update")]))
            assert caught.value.code == "name-taken"


class EdgeRules(Furnished):
    """Events, contexts, and that a change is written whole."""

    def test_an_edge_to_nothing_changes_nothing(self, typed: MetadataStore) -> None:
        a, e, c = artifact("a"), Execution(type="load"), Context(type="Group", name="c")
        puts = [Put(a), Put(e), Put(c)]
        for change in (
            Change(puts, [Event(e.uid, "absent", "INPUT")]),
            Change(puts, [Event(a.uid, e.uid, "INPUT")]),
            Change(puts, attributions=[(c.uid, e.uid)]),
            Change(puts, associations=[(c.uid, a.uid)]),
            Change(puts, parents=[(c.uid, a.uid)]),
        ):
            with pytest.raises(NotFoundError):
                typed.write(change)
        assert typed.find_nodes("artifact").nodes == []
        assert typed.find_nodes("execution").nodes == []
        assert typed.find_nodes("context").nodes == []

    def test_an_edge_follows_a_given_uid_to_the_stored_node(self, typed: MetadataStore) -> None:
        (first,) = put(typed, artifact("a"))
        again, e = artifact("a"), Execution(type="load")
        typed.write(Change([Put(again, "reuse"), Put(e)], [Event(e.uid, again.uid, "INPUT")]))
        (event,) = typed.list_events(executions=[e.uid])
        assert (event.execution, event.artifact) == (e.uid, first.uid)

    def test_events_keep_kind_path_and_time(self, typed: MetadataStore) -> None:
        a, e = artifact("a"), Execution(type="load")
        kinds: list[EventKind] = [
            "DECLARED_OUTPUT", "DECLARED_INPUT", "INPUT", "OUTPUT", "INTERNAL_INPUT", "INTERNAL_OUTPUT",
            "PENDING_OUTPUT",
        ]  # fmt: skip
        events = [
            Event(e.uid, a.uid, kind, ("in", i, "ü"), MOMENT + timedelta(microseconds=i))
            for i, kind in enumerate(kinds)
        ]
        typed.write(Change([Put(a), Put(e)], list(reversed(events))))
        assert typed.list_events(artifacts=[a.uid]) == events
        assert typed.list_events(executions=[e.uid], artifacts=[a.uid]) == events
        assert typed.list_events(executions=["absent"]) == []
        assert typed.list_events() == []

    def test_the_same_event_again_is_one_event(self, typed: MetadataStore) -> None:
        a, e = artifact("a"), Execution(type="load")
        event = Event(e.uid, a.uid, "INPUT", ("x",), MOMENT)
        typed.write(Change([Put(a), Put(e)], [event, event]))
        typed.write(Change(events=[dataclasses.replace(event, at=MOMENT + timedelta(days=1))]))
        assert typed.list_events(executions=[e.uid]) == [event]
        typed.write(Change(events=[dataclasses.replace(event, path=("y",))]))
        assert len(typed.list_events(executions=[e.uid])) == 2

    def test_whether_events_are_there_is_told_of_each(self, typed: MetadataStore) -> None:
        tables = [artifact(f"t{i}") for i in range(300)]
        e, other = Execution(type="load"), Execution(type="load")
        events = [Event(e.uid, t.uid, "OUTPUT", ("x", i)) for i, t in enumerate(tables)]
        typed.write(Change([*map(Put, tables), Put(e), Put(other)], events))
        first = events[0]
        lacking = [
            dataclasses.replace(first, kind="INPUT"),
            dataclasses.replace(first, path=("x",)),
            dataclasses.replace(first, execution=other.uid),
            dataclasses.replace(first, artifact="absent"),
        ]
        later = dataclasses.replace(first, at=MOMENT)
        assert typed.has_events([*lacking, later, first, *events]) == [False] * 4 + [True] * 302
        assert typed.has_events([]) == []
        before = typed.get_nodes("artifact", uids=[tables[0].uid])[0].created_at
        assert before is not None
        assert AsOf(typed, before).has_events([later]) == [True]
        assert AsOf(typed, before - timedelta(1)).has_events([later]) == [False]

    def test_an_event_beyond_the_calendar_is_refused(self, typed: MetadataStore) -> None:
        a, e = put(typed, artifact("a"), Execution(type="load"))
        for at in AT_THE_EDGES:
            event = Event(e.uid, a.uid, "INPUT", at=at)
            for write in (typed.write, lambda change: typed.load([change])):
                with pytest.raises(UsageError) as caught:
                    write(Change([Put(artifact(f"b{at.year}"))], [event]))
                assert caught.value.code == "bad-timestamp"
        assert typed.list_events(executions=[e.uid]) == []
        assert typed.count_nodes("artifact") == {"artifact": 1}

    def test_events_are_in_the_order_they_were_written(self, typed: MetadataStore) -> None:
        tables = [artifact(f"t{i}") for i in range(9)]
        put(typed, *tables)
        e = Execution(type="load")
        order = [tables[i] for i in (4, 0, 8, 3, 1, 7, 2, 6, 5)]
        typed.write(Change([Put(e)], [Event(e.uid, t.uid, "INPUT") for t in order]))
        assert [event.artifact for event in typed.list_events(executions=[e.uid])] == [t.uid for t in order]

    def test_an_unknown_kind_of_event_is_refused(self, typed: MetadataStore) -> None:
        a, e = put(typed, artifact("a"), Execution(type="load"))
        with pytest.raises(UsageError) as caught:
            typed.write(Change(events=[Event(e.uid, a.uid, "READ")]))  # type: ignore[arg-type]  # that is the test
        assert caught.value.code == "bad-event"

    def test_contexts_hold_artifacts_and_executions(self, typed: MetadataStore) -> None:
        a, e = put(typed, artifact("a"), Execution(type="load", name="e"))
        one, two = put(typed, Context(type="Group", name="1"), Context(type="Group", name="2"))
        change = Change(attributions=[(one.uid, a.uid), (two.uid, a.uid)], associations=[(two.uid, e.uid)])
        typed.write(change)
        typed.write(change)
        assert typed.list_contexts(artifact=a.uid) == [one, two]
        assert typed.list_contexts(execution=e.uid) == [two]
        assert typed.list_contexts(execution=a.uid) == []
        assert typed.list_contexts(artifact="absent") == []
        assert typed.find_nodes("artifact", context=one.uid).nodes == [a]
        assert typed.find_nodes("execution", context=one.uid).nodes == []
        assert typed.find_nodes("execution", context=two.uid).nodes == [e]
        assert typed.find_nodes("execution", context="absent").nodes == []

    def test_contexts_have_parents_and_no_circles(self, typed: MetadataStore) -> None:
        a, b, c, d = (n.uid for n in put(typed, *(Context(type="Group", name=x) for x in "abcd")))
        typed.write(Change(parents=[(b, a), (c, b), (c, a)]))
        assert [n.name for n in typed.list_contexts(child=c)] == ["a", "b"]
        for parents in ([(a, a)], [(a, b)], [(a, c)], [(d, c), (a, d)]):
            with pytest.raises(ConflictError, match="its own ancestor") as caught:
                typed.write(Change(parents=parents))
            assert caught.value.code == "context-cycle"
        assert typed.list_contexts(child=d) == []
        typed.write(Change(parents=[(d, c), (d, a), (b, a)]))
        assert [n.name for n in typed.list_contexts(child=d)] == ["a", "c"]

    def test_many_at_once(self, typed: MetadataStore) -> None:
        tables = [artifact(f"t{i}", external_id=f"x{i}") for i in range(12_000)]
        put(typed, *tables)
        uids = [t.uid for t in tables]
        assert [n.uid for n in typed.get_nodes("artifact", uids=uids)] == uids
        again = typed.write(Change([Put(t, "reuse") for t in tables])).nodes
        assert list(again) == uids
        assert len(typed.find_nodes("artifact", name=[f"t{i}" for i in range(0, 12_000, 2)]).nodes) == 6_000

    def test_threads_lose_nothing(self, typed: MetadataStore) -> None:
        errors: list[BaseException] = []

        def work(who: int) -> None:
            try:
                for i in range(25):
                    put(typed, artifact(f"{who}-{i}"))
                    typed.write(Change([Put(artifact("shared", custom={f"{who}-{i}": i}), "update")]))
                    typed.find_nodes("artifact", name_prefix=f"{who}-")
            except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
                errors.append(error)

        threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert len(typed.find_nodes("artifact").nodes) == 101
        (shared,) = typed.find_nodes("artifact", name="shared").nodes
        assert (len(shared.custom), shared.revision) == (100, 100)


class MetadataSuite(
    TypeRules,
    TypeFieldRules,
    NodeRules,
    PutRules,
    UpdateRules,
    EdgeRules,
    StrictRules,
    FindRules,
    LineageRules,
    WalkRules,
    PathRules,
    PastRules,
    SnapshotRules,
    RemovalRules,
    MarkRules,
    NamespaceRules,
    BeatRules,
    LoadRules,
    AheadRules,
    BadInputRules,
):
    """What every metadata store does. The fixture ``store`` gives an empty one."""

    def test_the_layout_has_a_version(self, store: MetadataStore) -> None:
        assert store.schema_version() >= 1
