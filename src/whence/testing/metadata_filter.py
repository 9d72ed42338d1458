"""What filters promise, for every metadata backend: the answers of the memory backend, whatever is asked.

Use it by inheriting `MetadataFilterSuite` and giving it a fixture `store`: an empty `MetadataStore`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from whence.errors import UsageError
from whence.metadata import (
    AnyNode,
    Artifact,
    Change,
    Event,
    Execution,
    MetadataStore,
    NodeKind,
    Put,
    Removal,
    Type,
    open_store,
)
from whence.metadata.filter import Filter, format_filter, parse_filter, quoted
from whence.metadata.filter import types as t
from whence.testing.metadata_filter_world import TYPES, asked, make_graph

ANSWERS = {
    "name = 'a'": "a",
    "name = 'A'": "A",
    "name != 'a' AND name LIKE 'a%'": "ab",
    "name LIKE '_b'": "ab",
    "name ILIKE 'A%'": "a A ab",
    "name > 'a'": "ab c ä",
    "name < 'a'": "A",
    "name = 'a '": "",
    "LENGTH(name) = 1": "a A c ä",
    "LOWER(name) = 'a' OR UPPER(name) = 'Ä'": "a A",
    "id = 1 OR id IN (2, 2.5)": "a A",
    "id + 1 = 3": "A",
    "id / 2 = 1.5": "ab",
    "state != LIVE": "A",
    "state = PENDING": "A",
    "uri IS NULL": "A ab c",
    "uid = 'u-a' OR uid IN ('u-c', 'none')": "a c",
    "uid != 'u-a'": "A ab c ä",
    "namespace = 'default' AND type = 'Table'": "a A ab c ä",
    "base = 'mlmd.Dataset'": "a A ab c ä",
    "removed_at IS NULL AND revision = 1": "a A ab c ä",
    "created_at > TIMESTAMP '2020-01-01T00:00:00Z'": "a A ab c ä",
    "created_at = updated_at AND create_time_since_epoch = last_update_time_since_epoch": "a A ab c ä",
    # Whole numbers are exact, whatever they are kept in.
    "properties.n = 9007199254740993": "a",
    "properties.n > 9007199254740992": "a ab",
    "properties.n IN (9007199254740992, 9223372036854775807)": "A ab",
    "custom_properties.k = 9007199254740993": "c",
    "custom_properties.k IN (9007199254740992, 1)": "",
    "properties.n.int_value >= 9007199254740993": "a ab",
    # A double is no int, and 1e16 is one.
    "custom_properties.k.double_value = 1e16": "ä",
    "custom_properties.k.int_value = 10000000000000000": "",
    "custom_properties.k = 10000000000000000": "ä",
    "properties.d = 0.30000000000000004": "a",
    "properties.d > 0.3 AND properties.d < 0.31": "a",
    "properties.d = 1": "A",
    # Neither text nor a truth is a number.
    "custom_properties.mixed = 1": "a",
    "custom_properties.mixed = '1'": "A",
    "custom_properties.mixed": "ab",
    "custom_properties.mixed IS NULL": "c ä",
    "custom_properties.mixed.int_value IS NULL": "A ab",
    "properties.`o\"dd` = 1 OR custom_properties.`it's` = 2": "c",
    "custom_properties.`50%` = 4 OR custom_properties.`größe` = 5": "a ab",
    "7 / 0 IS NULL": "a A ab c ä",
    "SEARCH('late')": "a A",
    "SEARCH('fine strasse')": "ab",
    "SEARCH('LATE Ä')": "A",
    "SEARCH('lat')": "",
    "SEARCH('7')": "a",
    "events_x.path = 'rows/0'": "a",
    "events_x.type = OUTPUT AND events_x.execution_id = 6": "A",
    "events_x.path >= 'rows' AND events_x.path = events_x.path AND NOT events_x.path < ''": "a c",
    "events_x.path LIKE '%/ä€\"%'": "c",
    "LOWER(events_x.path) < LOWER('S') AND UPPER(name) > 'A' AND events_x.path <= name": "",
    "ancestor(name = 'a')": "A",
    "descendant(SEARCH('late'))": "a c",
    "stats.none IS NULL": "a A ab c ä",
}

INJECTED = [
    "'",
    "''",
    "\\",
    "\\'",
    "' OR 1=1 --",
    "'); DROP TABLE node; --",
    '" OR ""="',
    "`",
    "%s",
    "%(filter_1)s",
    ":filter_1",
    "?",
    "$1",
    "${jndi}",
    "{0}",
    "/* */",
    "-- x",
    "\u2028",
    "\u0007",
    "😀",
    "a\"b'c`d\\e%f_g[h]*i?j",
    "x" * 512,
]


class MetadataFilterSuite:
    """The rules of the filter language on one backend."""

    #: The backend has infinite numbers.
    infinite: ClassVar[bool] = True
    #: Random filters asked of each random graph.
    n_filters: ClassVar[int] = 40

    @pytest.fixture
    def filled(self, store: MetadataStore) -> MetadataStore:
        """Five artifacts and an execution, known answers in mind."""
        store.put_type(
            Type(
                "artifact",
                "Table",
                {"n": "INT", "d": "DOUBLE", "s": "STRING", 'o"dd': "INT"},
                base="mlmd.Dataset",
            )
        )
        store.put_type(Type("execution", "E"))
        big = 2**53
        nodes: list[AnyNode] = [
            Artifact(
                type="Table", name="a", uid="u-a", uri="file:Late/7", properties={"n": big + 1, "d": 0.1 + 0.2},
                custom={"mixed": 1, "50%": 4},
            ),
            Artifact(
                type="Table", name="A", uid="u-A", state="PENDING", properties={"n": big, "s": "too LATE, Ä", "d": 1},
                custom={"mixed": "1"},
            ),
            Artifact(
                type="Table", name="ab", uid="u-ab", properties={"n": 2**63 - 1, "s": "ﬁne Straße"},
                custom={"mixed": True, "größe": 5},
            ),
            Artifact(type="Table", name="c", uid="u-c", properties={'o"dd': 1}, custom={"k": big + 1, "mixed": None}),
            Artifact(type="Table", name="ä", uid="u-ä", uri="", custom={"k": 1e16}),
            Execution(type="E", name="run", uid="u-run"),
        ]  # fmt: skip
        events = [
            Event("u-run", "u-a", "INPUT", ("rows", 0)),
            Event("u-run", "u-A", "OUTPUT"),
            Event("u-run", "u-c", "DECLARED_INPUT", ("x", 'ä€"\\')),
        ]
        store.write(Change([Put(node) for node in nodes], events))
        return store

    def test_answers(self, filled: MetadataStore) -> None:
        found = {text: names(filled, text) for text in ANSWERS}
        assert found == ANSWERS

    def test_pages_of_a_filter(self, filled: MetadataStore) -> None:
        first = filled.find_nodes("artifact", matching="name ILIKE 'a%'", limit=2)
        assert [node.name for node in first.nodes] == ["a", "A"]
        rest = filled.find_nodes("artifact", matching="name ILIKE 'a%'", limit=2, cursor=first.cursor)
        assert ([node.name for node in rest.nodes], rest.cursor) == (["ab"], None)

    def test_filters_of_one_shape_have_their_own_constants(self, filled: MetadataStore) -> None:
        asked_of = {"a": "a", "A": "A", "c": "c", "x": ""}
        for _ in range(2):
            for name, expected in asked_of.items():
                assert names(filled, f"name = '{name}' AND id < 100") == expected
        for n in range(1, 6):
            assert [node.id for node in filled.find_nodes("artifact", matching=f"id = {n}").nodes] == [
                4 * n + 1
            ]
        assert names(filled, "id = 2") == names(filled, "id = 2.0") == "A"
        assert names(filled, "custom_properties.mixed = TRUE") == "ab"
        assert names(filled, "custom_properties.mixed = 1") == "a"

    def test_a_filter_that_was_read(self, filled: MetadataStore) -> None:
        assert [n.name for n in filled.find_nodes("artifact", matching=parse_filter("id = 3")).nodes] == [
            "ab"
        ]

    def test_counts(self, filled: MetadataStore) -> None:
        assert filled.count_nodes("artifact") == {"artifact": 5}
        assert filled.count_nodes("artifact", matching="name ILIKE 'a%'") == {"artifact": 3}
        assert filled.count_nodes("artifact", matching="name = 'none'") == {"artifact": 0}
        assert filled.count_nodes("artifact", by="state") == {"PENDING": 1, "LIVE": 4}
        assert filled.count_nodes("artifact", matching="SEARCH('late')", by="state") == {
            "PENDING": 1,
            "LIVE": 1,
        }
        assert filled.count_nodes("artifact", by="type") == {"Table": 5}
        assert filled.count_nodes("context", by="type") == {}

    def test_no_text_leaves_its_place(self, filled: MetadataStore) -> None:
        """Whatever a caller writes as a constant or a name is that constant or name."""
        for i, evil in enumerate(INJECTED):
            uid = f"u-evil-{i}"
            filled.write(
                Change([Put(Artifact(type="Table", uid=uid, name=evil, custom={evil: evil, "v": evil}))])
            )
            for condition in injected(evil, uid):
                found = filled.find_nodes("artifact", matching=condition).nodes
                assert [node.uid for node in found] == [uid], condition
            found = filled.find_nodes("artifact", where={evil: evil}, name=evil).nodes
            assert [node.uid for node in found] == [uid]
            assert names(filled, f"ancestor(name = {quoted(evil)})") == ""
        assert filled.count_nodes("artifact") == {"artifact": 5 + len(INJECTED)}

    def test_the_largest_filters_are_answered(self, filled: MetadataStore) -> None:
        for text in (
            " OR ".join(["id = 1"] * 6_000),
            f"id IN ({'1,' * 30_000}1)",
            f"name LIKE '{'[' * 10_000}' OR id = 1",
            "NOT " * 30 + "id = 1",
            " OR ".join(["contexts_a.name = 'x'"] * 20) + " OR id = 1",
        ):
            expected = "" if "contexts" in text else "a"
            assert names(filled, text) == expected, text[:60]

    def test_a_bad_filter_is_refused_at_its_place(self, filled: MetadataStore) -> None:
        asks: tuple[Callable[..., object], ...] = (filled.find_nodes, filled.count_nodes)
        for text in ("name = ", "nam = 'a'", "name = 3", "state = 'LIVE'", "name IS NULL OR"):
            for ask in asks:
                with pytest.raises(UsageError, match=r"line 1, column \d+: ") as caught:
                    ask("artifact", matching=text)
                assert caught.value.code == "bad-filter"

    def test_tombstones_are_asked_only_when_wanted(self, filled: MetadataStore) -> None:
        filled.write(Change(removals=[Removal("u-a", "late")]))
        assert names(filled, "uid = 'u-a'") == ""
        for text, found in (
            ("removed_at IS NOT NULL", ["u-a"]),
            ("uid = 'u-a' AND name = 'a' AND uri IS NULL", ["u-a"]),
            ("SEARCH('late')", ["u-A"]),
            ("properties.n IS NOT NULL", ["u-A", "u-ab"]),
        ):
            page = filled.find_nodes("artifact", matching=text, removed=True)
            assert [node.uid for node in page.nodes] == found, text
        assert names(filled, "ancestor(uid = 'u-a')") == "A"
        assert filled.count_nodes("artifact") == {"artifact": 4}

    @pytest.fixture(params=[0, 1, 2])
    def both(
        self, request: pytest.FixtureRequest, store: MetadataStore
    ) -> Iterator[tuple[MetadataStore, MetadataStore]]:
        """The store, and one in memory, with the same random graph."""
        change, memory = make_graph(request.param, infinite=self.infinite), open_store("memory://")
        for one in (store, memory):
            for type_ in TYPES:
                one.put_type(type_)
            one.write(change)
        yield store, memory
        memory.close()

    def test_any_filter_is_answered_as_in_memory(self, both: tuple[MetadataStore, MetadataStore]) -> None:
        store, memory = both

        @settings(
            deadline=None,
            max_examples=self.n_filters,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(st.data())
        def check(data: st.DataObject) -> None:
            kind, tree = data.draw(asked)
            compare(store, memory, kind, tree)

        check()


def compare(store: MetadataStore, memory: MetadataStore, kind: NodeKind, tree: t.Expr) -> None:
    """Both stores find the same nodes."""
    text = format_filter(tree)
    note(f"{kind}: {text}")
    assert parse_filter(text).tree == tree
    expected = [node.uid for node in memory.find_nodes(kind, matching=text).nodes]
    assert [node.uid for node in store.find_nodes(kind, matching=Filter(text, tree)).nodes] == expected
    assert store.count_nodes(kind, matching=text) == {kind: len(expected)}


def injected(evil: str, uid: str) -> Iterator[str]:
    """Conditions that one node fulfils, whose name and properties are this text."""
    text = quoted(evil)
    yield f"name = {text}"
    yield f"name IN ({text}, 'y')"
    yield f"custom_properties.v = {text}"
    yield f"custom_properties.v.string_value = {text}"
    yield f"name LIKE {quoted('%' + ''.join('!' + c for c in evil))} ESCAPE '!' AND uid = '{uid}'"
    yield f"COUNT(executions WHERE name = {text}) = 0 AND name = {text}"
    yield f"LENGTH(name) = {len(evil)} AND uid = '{uid}'"
    if "\n" not in evil:
        name = "`" + evil.replace("`", "``") + "`"
        yield f"custom_properties.{name} = {text}"
        yield f"custom_properties.{name}.string_value = {text}"


def names(store: MetadataStore, text: str) -> str:
    """The names of the artifacts that fit, by id."""
    return " ".join(str(node.name) for node in store.find_nodes("artifact", matching=text).nodes)
