"""The moment of a write."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from whence.errors import UsageError
from whence.metadata import Artifact, Change, Put, Type, open_store
from whence.metadata.exchange import read_prov
from whence.metadata.exchange.values import from_text
from whence.metadata.moments import MAX_AHEAD_US, next_moment


@pytest.mark.parametrize(
    ("last_us", "expected"),
    [(0, 10**9), (10**9, 10**9 + 1), (10**9 + MAX_AHEAD_US, 10**9 + MAX_AHEAD_US + 1)],
)
def test_a_moment_is_later_than_the_last(last_us: int, expected: int) -> None:
    assert next_moment(10**9, last_us) == expected


def test_what_is_too_far_ahead_is_not_waited_for() -> None:
    assert next_moment(10**9, 10**9 + MAX_AHEAD_US + 1) == 10**9


def test_a_database_that_was_dragged_along_heals(tmp_path: Path) -> None:
    """As an older whence left it: the counter, and the newest node, are of tomorrow."""
    url = f"sqlite:///{tmp_path}/g.db"
    tomorrow_us = int((datetime.now(UTC) + timedelta(days=1)).timestamp() * 1_000_000)
    for statement in (
        "UPDATE node SET created_us = ?",
        "UPDATE counter SET last_n = 1000, last_us = ?",
    ):
        store = open_store(url)
        store.put_type(Type("artifact", "D"))
        store.write(Change([Put(Artifact(type="D", name=statement))]))
        store.close()
        with closing(sqlite3.connect(tmp_path / "g.db")) as connection:
            connection.execute(statement, (tomorrow_us,))
            connection.commit()
        store = open_store(url)
        (node,) = store.write(Change([Put(Artifact(type="D"))])).nodes.values()
        assert node.created_at is not None
        assert abs(node.created_at - datetime.now(UTC)) < timedelta(minutes=1)
        store.close()


def test_a_cursor_of_an_older_whence_is_read() -> None:
    store = open_store("memory://")
    store.put_type(Type("artifact", "D"))
    store.write(Change([Put(Artifact(type="D", name=f"d{i}")) for i in range(3)]))
    page = store.find_nodes("artifact", order_by="updated_at", limit=1)
    assert page.cursor is not None
    place = msgspec.json.decode(base64.urlsafe_b64decode(page.cursor + "=" * (-len(page.cursor) % 4)))
    old = base64.urlsafe_b64encode(msgspec.json.encode(place[:5])).decode().rstrip("=")
    names = [n.name for n in store.find_nodes("artifact", order_by="updated_at", cursor=old).nodes]
    assert names == ["d1", "d2"]


@pytest.mark.parametrize("depth", [5_000, 100_000])
def test_a_document_that_is_too_deep_is_refused(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    with pytest.raises(UsageError) as caught:
        from_text(deep, "STRUCT")
    assert caught.value.code == "bad-document"
    said = {"p:x": {"$": deep, "type": "whence:json"}}
    store = open_store("memory://")
    with pytest.raises(UsageError, match="bad-document"):
        read_prov(store, io.StringIO(json.dumps({"entity": {"ex:a": said}})))
    with pytest.raises(UsageError):
        read_prov(store, io.StringIO('{"entity": {"ex:a": {"ex:x": ' + deep + "}}}"))
    assert store.count_nodes("artifact") == {"artifact": 0}
