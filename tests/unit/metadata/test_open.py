"""Opening a graph: by URL, twice, newer than we are; and its layout, which databases on disk have."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from whence.database import Database, sqlite_url
from whence.errors import ConflictError, UnsupportedError, UsageError
from whence.metadata import Artifact, Change, Put, Type, Value, declare_types, open_store
from whence.metadata.encode import MAX_VALUE_BYTES, decode, encode


def test_what_is_written_is_there_after_reopening(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "whence.db")
    store = open_store(url)
    store.put_type(Type("artifact", "Table", {"n_rows": "INT"}, description="rows"))
    given_ = Artifact(type="Table", name="a@1", properties={"n_rows": 1})
    written = store.write(Change([Put(given_)])).nodes[given_.uid]
    store.close()
    again = open_store(url)
    assert again.get_nodes("artifact", uids=[given_.uid]) == [written]
    assert [t.description for t in again.list_types("artifact") if t.name == "Table"] == ["rows"]
    assert again.schema_version() == 2
    again.close()


def test_two_stores_see_each_others_types(tmp_path: Path) -> None:
    one, two = (open_store(sqlite_url(tmp_path / "whence.db")) for _ in range(2))
    one.put_type(Type("artifact", "Table"))
    node = Artifact(type="Table", name="a")
    two.write(Change([Put(node)]))
    one.put_type(Type("artifact", "Table", {"n_rows": "INT"}), extend=True)
    two.write(Change([Put(Artifact(type="Table", name="b", properties={"n_rows": 1}))]))
    one.put_type(Type("artifact", "Late"))
    late = Artifact(type="Late")
    one.write(Change([Put(late)]))
    assert [n.type for n in two.get_nodes("artifact", uids=[late.uid])] == ["Late"]
    assert [n.name for n in two.find_nodes("artifact", type_="Late").nodes] == [None]
    one.close()
    two.close()


def test_rooms_share_a_database(tmp_path: Path) -> None:
    database = Database.from_url(sqlite_url(tmp_path / "whence.db"))
    store = open_store("sqlite:///whence.db", database=database)
    store.close()
    assert database.version("metadata") == 2, "the store does not close what it was handed"
    database.close()


def test_a_newer_graph_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "whence.db"
    open_store(sqlite_url(path)).close()
    database = Database.from_url(sqlite_url(path))
    with database.transaction() as connection:
        connection.execute(text("UPDATE schema_version SET version = 99 WHERE component = 'metadata'"))
    database.close()
    before = path.read_bytes()
    with pytest.raises(ConflictError, match="metadata tables have version 99") as caught:
        open_store(sqlite_url(path))
    assert caught.value.code == "workspace-newer"
    assert path.read_bytes() == before


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(UnsupportedError) as caught:
        open_store("sqlit:///x.db")
    assert (caught.value.code, caught.value.near) == (
        "unsupported-scheme",
        ["mariadb", "memory", "mysql", "postgresql", "sqlite"],
    )


def test_declared_types_gain_what_they_lack() -> None:
    store = open_store("memory://")
    declare_types(store, [Type("artifact", "Table", {"a": "INT"})])
    declare_types(store, [Type("artifact", "Table", {"b": "INT"})])
    (found,) = [t for t in store.list_types("artifact") if t.name == "Table"]
    assert found.properties == {"a": "INT", "b": "INT"}


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$b", "$bytes", "$map"]), inner)
    ),
    max_leaves=8,
)


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(st.dictionaries(names, values))
def test_properties_come_back(properties: dict[str, Value]) -> None:
    typed, custom = decode(encode(properties, {"x": 1}))
    assert (typed, custom) == (properties, {"x": 1})
    assert repr(typed) == repr(properties), "0 is not 0.0, and -0.0 is not 0.0"
    assert "\\u0000" not in encode(properties, {}).replace("\\\\", ""), "PostgreSQL reads no NUL in JSON"


@pytest.mark.parametrize("properties", [{"a\0": 1}, {"a": {"b\0": 1}}, {"a": [{"\0": 1}]}])
def test_a_name_with_a_nul_is_refused(properties: dict[str, Value]) -> None:
    with pytest.raises(UsageError) as caught:
        encode(properties, {})
    assert caught.value.code == "invalid-text"


@pytest.mark.parametrize(
    ("properties", "fits"),
    [
        ({"a": "x" * (MAX_VALUE_BYTES - 2)}, True),
        ({"a": "x" * (MAX_VALUE_BYTES - 1)}, False),
        ({"a": b"x" * MAX_VALUE_BYTES}, False),
        ({str(i): "x" * (MAX_VALUE_BYTES - 2) for i in range(3)}, True),
        ({str(i): "x" * (MAX_VALUE_BYTES - 2) for i in range(4)}, False),
    ],
)
def test_values_have_a_largest_size(properties: dict[str, Value], fits: bool) -> None:
    for typed, custom in ((properties, {}), ({}, properties)):
        if fits:
            assert decode(encode(typed, custom)) == (typed, custom)
            continue
        with pytest.raises(UsageError) as caught:
            encode(typed, custom)
        assert caught.value.code == "too-large"


def test_a_setting_that_a_url_has_not_is_refused() -> None:
    for url in ("memory://?foo=1", "sqlite:///x.db?foo=1"):
        with pytest.raises(UsageError, match="has no setting 'foo") as caught:
            open_store(url)
        assert caught.value.code == "bad-url"
