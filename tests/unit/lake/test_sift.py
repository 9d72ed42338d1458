"""A row may enter exactly when it would be taken alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence._base.arrow import TS
from whence.compute import Engine
from whence.errors import DataRejectedError, NotFoundError, UsageError
from whence.lake import Lake, open_lake
from whence.lake.cells import read_rows
from whence.lake.sift import Sifted, sift
from whence.lake.types import TableDeclaration
from whence.metadata import Recorder, open_store

START = datetime(2013, 1, 1, tzinfo=UTC)
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("n", pa.int32()),
        pa.field("word", pa.string()),
        pa.field("x", pa.float64()),
        pa.field("at", TS),
        pa.field("tags", pa.list_(pa.field("element", pa.int64()))),
        pa.field("ok", pa.bool_()),
    ]
)
DECLARED = TableDeclaration(known_at="at", key=("id",))
ANY: list[Any] = [
    None, 1, 2**40, 2**70, 1.0, 1.5, float("nan"), "a", "", "7", "\ud800", b"b", True, START, START.replace(tzinfo=None),
    START.date(), timedelta(1), [1], ["a"], {"y": 1}, object(), 1 + 2j,
]  # fmt: skip


def check(batch: pa.Table) -> tuple[Sequence[bool], Sequence[str | None]]:
    good = [w != "bad" for w in batch.column("word").to_pylist()]
    return good, [None if g else "a bad word" for g in good]


def sifted(data: object, schema: pa.Schema = SCHEMA, *, evolve: bool = False) -> Sifted:
    return sift(data, schema, declaration=DECLARED, check=check, evolve=evolve)


@pytest.fixture
def lake(engine: Engine) -> Lake:
    lake = open_lake("memory://", recorder=Recorder(open_store("memory://")), engine=engine)
    lake.row_checks["t"] = check
    return lake


def taken_alone(lake: Lake, row: dict[str, Any]) -> bool:
    name = f"t{len(lake.list())}"
    lake.create(name, SCHEMA, key=["id"], known_at="at")
    lake.row_checks[name] = check
    try:
        lake.table(name).append([row])
    except (UsageError, DataRejectedError, UnicodeEncodeError, pa.ArrowException):
        return False
    return True


CELLS = {
    "id": st.just(1) | st.sampled_from(ANY),
    "n": st.just(1) | st.sampled_from(ANY),
    "word": st.just("a") | st.sampled_from([*ANY, "bad"]),
    "x": st.just(0.5) | st.sampled_from(ANY),
    "at": st.just(START) | st.sampled_from(ANY),
    "tags": st.just([1]) | st.sampled_from(ANY),
    "ok": st.just(True) | st.sampled_from(ANY),
}


@given(rows=st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_row_enters_exactly_when_it_is_taken_alone(rows: list[dict[str, Any]], engine: Engine) -> None:
    lake = open_lake("memory://", recorder=Recorder(open_store("memory://")), engine=engine)
    found = sifted(rows)
    assert found.positions == [i for i, row in enumerate(rows) if taken_alone(lake, row)]
    assert sorted([*found.positions, *(r.position for r in found.bad)]) == list(range(len(rows)))
    assert all(r.reasons for r in found.bad)
    assert found.good.schema.equals(SCHEMA)
    texts = [r.row for r in found.bad]
    assert sum(group.num_rows for _, group in read_rows(texts)) == len(found.bad)


@given(rows=st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_what_was_set_aside_is_judged_alike_when_it_comes_back(rows: list[dict[str, Any]]) -> None:
    """A row read back from its text may not enter either, unless only its absence of a type was at fault."""
    found = sifted(rows)
    for at, group in read_rows([r.row for r in found.bad]):
        again = sifted(group)
        assert [r.position for r in again.bad] == list(range(len(at)))


def test_truth_beside_floats_is_no_number() -> None:
    """Arrow reads ``[0.5, True]`` as ``[0.5, 1.0]``; alone, true is refused in a column of floats."""
    schema = pa.schema({"x": pa.float64()})
    for data in ([{"x": 0.5}, {"x": True}, {"x": None}], {"x": [0.5, True, None]}):
        found = sift(data, schema, declaration=TableDeclaration(), check=None)
        assert (found.good.to_pydict(), found.positions) == ({"x": [0.5, None]}, [0, 2])
        assert [(r.position, r.reasons) for r in found.bad] == [(1, ("x: have bool, want double",))]


@given(batches=st.lists(st.sampled_from([1, 2, 2**40, "x", None, 1.5, True]), max_size=8))
def test_a_column_of_mixed_values_is_parted_value_by_value(batches: list[Any]) -> None:
    n = len(batches)
    found = sift(
        {"n": batches, "id": list(range(n))}, pa.schema({"id": pa.int64(), "n": pa.int32()}),
        declaration=TableDeclaration(), check=None,
    )  # fmt: skip
    fit = [i for i, v in enumerate(batches) if v is None or (type(v) is int and v < 2**31)]
    assert found.positions == fit
    assert found.good.column("n").to_pylist() == [batches[i] for i in fit]


def test_typed_data_keep_their_types() -> None:
    """Typed numbers of another kind do not fit, even where their values would."""
    narrow = pa.schema({"n": pa.int64(), "x": pa.float64()})
    data = pa.table({"n": pa.array([1.0, None]), "x": pa.array([0.5, 1.5], pa.float32())})
    found = sift(data, narrow, declaration=TableDeclaration(), check=None)
    assert (found.positions, found.bad[0].reasons) == ([1], ("n: have double, want int64",))
    for other in (data.to_reader(), data.to_batches()[0], data.to_pandas()):
        assert sift(other, narrow, declaration=TableDeclaration(), check=None).positions == [1]


def test_times_that_would_lose_digits_are_found_one_by_one() -> None:
    times = pa.array([1_000, 1_001], pa.timestamp("ns", tz="UTC"))
    found = sift({"at": times}, pa.schema({"at": TS}), declaration=TableDeclaration(), check=None)
    assert (found.positions, found.bad[0].position) == ([0], 1)


def test_every_reason_of_a_row_is_given() -> None:
    row = {"id": None, "n": "x", "word": "bad", "x": 0.5, "at": None, "tags": None, "ok": None, "new": 1}
    [bad] = sifted([row]).bad
    assert bad.reasons == (
        "n: have text 'x', want int32",
        "new: extra, have int64",
        "id: have null, want not null",
        "at: null, it says when the row was known",
    )


def test_new_columns_take_the_type_of_their_values() -> None:
    schema = pa.schema({"id": pa.int64()})
    rows = [{"id": 1, "gate": "A"}, {"id": 2, "gate": 7}, {"id": 3, "gate": None}]
    found = sift(rows, schema, declaration=TableDeclaration(), check=None, evolve=True)
    assert (found.positions, found.good.schema.field("gate").type) == ([0, 2], pa.string())
    found = sift(rows, schema, declaration=TableDeclaration(), check=None)
    assert found.positions == [2]


def test_what_can_not_be_parted_is_an_error_of_the_batch(lake: Lake, tmp_path: Path) -> None:
    table = lake.create("t", SCHEMA)
    for batch, code in (
        (7, "bad-data"),
        ([7], "bad-data"),
        (pa.table([[1], [2]], ["id", "id"]), "duplicate-column"),
        ({"id": [1, 2], "n": [1]}, "bad-data"),
    ):
        with pytest.raises(UsageError) as caught:
            table.append(batch, on_error="quarantine")
        assert caught.value.code == code
    with pytest.raises(NotFoundError):
        table.append(tmp_path / "none.csv", on_error="quarantine")
    with pytest.raises(UsageError) as caught:
        lake.table("new").append([{"a": 1}, {"a": "x"}], on_error="quarantine")
    assert (caught.value.code, lake.list()) == ("bad-data", ["t"])


def test_an_iterator_is_read_once(lake: Lake) -> None:
    table = lake.create("t", pa.schema({"id": pa.int64(), "word": pa.string()}))
    commit = table.append(({"id": i if i % 2 else "x", "word": "w"} for i in range(4)), on_error="quarantine")
    assert (commit.n_rows, commit.n_quarantined) == (2, 2)


def test_values_that_no_column_holds_say_why() -> None:
    given = [{"n": 2**70}, {"n": -(2**63) - 1}, {"n": 2**63}, {"s": "a\ud800"}, {"n": 1, "s": "b"}]
    want = pa.schema({"n": pa.int64(), "s": pa.string()})
    found = sift(given, want, declaration=TableDeclaration(), check=None)
    assert [r for bad in found.bad for r in bad.reasons] == [
        *["n: have an integer beyond int64, want int64"] * 3,
        "s: have text with half of a surrogate pair, which is no UTF-8, want string",
    ]
    assert found.positions == [4]
