"""What is of the wrong kind is refused by name, before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from whence.errors import UsageError
from whence.lake import Lake, Quarantine, Table

ANY: Any = 5
NONE: Any = None
TEXT: Any = "x"
ROWS = [{"a": 1}]
SCHEMA = pa.schema({"a": pa.int64()})


@pytest.fixture
def table(lake: Lake) -> Table:
    table = lake.table("t")
    table.append(ROWS)
    table.append([{"a": "x"}], on_error="quarantine")
    return table


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    return caught.value.code


def test_writing(table: Table) -> None:
    before = table.head().version
    transactions: list[Any] = [
        "feed",
        ("a",),
        ("a", "1"),
        ("a", -1),
        ("a", 1.5),
        ("a", 2**63),
        ("a", True),
        (1, 1),
    ]
    for transaction in transactions:
        assert code_of(lambda given=transaction: table.append(ROWS, transaction=given)) == "bad-argument"  # type: ignore[misc]
    wrong: list[dict[str, Any]] = [
        {"watermark": "2013"}, {"key": 5}, {"progress": {"a": "x"}}, {"progress": [1]}, {"properties": 5},
    ]  # fmt: skip
    for options in wrong:
        assert code_of(lambda given=options: table.append(ROWS, **given)) == "bad-argument"  # type: ignore[misc]
    assert code_of(lambda: table.overwrite(ROWS, where=ANY)) == "bad-argument"
    assert code_of(lambda: table.merge(ROWS, on=TEXT)) == "bad-argument"
    assert code_of(lambda: table.merge(ROWS, on=[ANY])) == "bad-argument"
    assert code_of(lambda: table.delete(ANY)) == "bad-argument"
    assert code_of(lambda: table.append(ROWS, on_error=ANY)) == "bad-on-error"
    assert code_of(lambda: table.ingest(ANY)) == "bad-argument"
    assert table.head().version == before


def test_reading_and_keeping_house(table: Table) -> None:
    nothing: Any = None
    for when in (nothing, 1.5, True, [1]):
        assert code_of(lambda given=when: table.at(given)) == "bad-version"  # type: ignore[misc]
    for columns in (TEXT, ANY, [ANY]):
        assert code_of(lambda given=columns: table.arrow(given)) == "bad-argument"  # type: ignore[misc]
    assert code_of(lambda: table.arrow(where=ANY)) == "bad-argument"
    assert code_of(lambda: list(table.changes(TEXT))) == "bad-argument"
    assert code_of(lambda: list(table.changes(0, TEXT))) == "bad-argument"
    assert code_of(lambda: table.hold(TEXT, reason="r")) == "bad-argument"
    assert code_of(lambda: table.hold(0, reason=ANY)) == "bad-argument"
    assert code_of(lambda: table.release(TEXT)) == "bad-argument"
    assert code_of(lambda: table.vacuum(retention_hours=TEXT)) == "bad-argument"


def test_the_lake(lake: Lake) -> None:
    wrong: Any = {"a": pa.int64()}
    assert code_of(lambda: lake.table(ANY)) == "bad-name"
    assert code_of(lambda: lake.quarantine(ANY)) == "bad-name"
    assert code_of(lambda: lake.create("x", wrong)) == "bad-argument"
    assert code_of(lambda: lake.create("x", SCHEMA, key=ANY)) == "bad-columns"
    assert code_of(lambda: lake.create("x", SCHEMA, key=[ANY])) == "bad-columns"
    assert code_of(lambda: lake.create("x", SCHEMA, known_at=ANY)) == "bad-argument"
    assert code_of(lambda: lake.sql(ANY)) == "bad-argument"
    assert code_of(lambda: lake.sql("SELECT 1", relations=ANY)) == "bad-argument"
    assert code_of(lambda: lake.sql("SELECT $a", parameters=ANY)) == "bad-argument"
    assert code_of(lambda: lake.create_view("v", ANY)) == "bad-argument"
    assert lake.list() == []


def test_the_quarantine(lake: Lake, table: Table) -> None:
    quarantine: Quarantine = lake.quarantine(table.name)
    calls: list[Callable[[], object]] = [
        lambda: quarantine.replay(ids=ANY),
        lambda: quarantine.replay(ids=[ANY]),
        lambda: quarantine.replay(watermark=TEXT),
        lambda: quarantine.replay(transaction=TEXT),
        lambda: quarantine.correct(ANY),
        lambda: quarantine.correct(NONE),
        lambda: quarantine.correct({ANY: 1}),
        lambda: quarantine.correct({"a": 1}, where=ANY),
        lambda: quarantine.drop(ANY, reason="x"),
        lambda: quarantine.drop([], reason=ANY),
        lambda: quarantine.list(reason=ANY),
        lambda: quarantine.list(limit=TEXT),
        lambda: quarantine.list(limit=-1),
        lambda: quarantine.get(ANY),
        lambda: quarantine.history(ANY),
    ]
    assert [code_of(call) for call in calls] == ["bad-argument"] * len(calls)
    assert code_of(lambda: quarantine.correct(lambda _: ANY)) == "bad-data"
    assert code_of(lambda: quarantine.correct({"a": object()})) == "bad-data"
    assert quarantine.counts()["pending"] == 1
