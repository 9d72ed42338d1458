"""Every statistic is that of a naive loop, whatever the types, blocks, shards and order of the rows."""

from __future__ import annotations

import math
import sys
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.validation import oracle
from tests.unit.validation.oracle import Kind, Leaf
from whence.validation import Statistics, describe
from whence.validation.options import StatisticsOptions

INT64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1])
FLOATS = st.floats(width=64, min_value=-1e12, max_value=1e12) | st.sampled_from(
    [math.nan, math.inf, -math.inf, 0.0, -0.0]
)
BROKEN = st.sampled_from([b"\xff", b"\xfe\x80", b"ok", b"\xc3\xa9", b""])
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
COLUMNS: dict[str, tuple[pa.DataType, Kind, int, st.SearchStrategy[Any]]] = {
    "int64": (pa.int64(), "integer", 0, INT64),
    "int8": (pa.int8(), "integer", 0, st.integers(-128, 127)),
    "uint32": (pa.uint32(), "integer", 0, st.integers(0, 2**32 - 1)),
    "float": (pa.float64(), "number", 0, FLOATS),
    "float32": (pa.float32(), "number", 0, st.floats(width=32, min_value=-1e6, max_value=1e6)),
    "bool": (pa.bool_(), "integer", 0, st.booleans()),
    "text": (pa.string(), "text", 0, st.text(max_size=3)),
    "large": (pa.large_string(), "text", 0, st.sampled_from(["a", "b", "", "é"])),
    "bytes": (pa.binary(), "text", 0, BROKEN | st.binary(max_size=3)),
    "time": (pa.timestamp("us", tz="UTC"), "time", 0, TIMES),
    "day": (pa.date32(), "time", 0, st.dates(date(1900, 1, 1), date(2100, 1, 1))),
    "ints": (pa.list_(pa.int64()), "integer", 1, st.lists(st.integers(-9, 9), max_size=3)),
    "texts": (pa.list_(pa.string()), "text", 1, st.lists(st.sampled_from("abc"), max_size=3)),
    "gaps": (pa.list_(pa.float64()), "number", 1, st.lists(st.none() | FLOATS, max_size=3)),
    "nested": (
        pa.list_(pa.list_(pa.int64())),
        "integer",
        2,
        st.lists(st.none() | st.lists(st.integers(-9, 9), max_size=2), max_size=3),
    ),
}
POINT = pa.list_(pa.struct([("x", pa.list_(pa.int64())), ("name", pa.string())]))
POINTS = st.lists(
    st.fixed_dictionaries(
        {"x": st.none() | st.lists(st.integers(-3, 3), max_size=2), "name": st.none() | st.sampled_from("ab")}
    ),
    max_size=2,
)
SCHEMA = pa.schema([*((n, c[0]) for n, c in COLUMNS.items()), ("points", POINT), ("empty", pa.null())])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            **{n: st.none() | c[3] for n, c in COLUMNS.items()},
            "points": st.none() | POINTS,
            "empty": st.none(),
        }
    ),
    max_size=8,
)
Rows = list[dict[str, Any]]


def table(rows: Rows) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def leaves(rows: Rows) -> list[Leaf]:
    found = [Leaf((n,), kind, depth, [r[n] for r in rows]) for n, (_, kind, depth, _) in COLUMNS.items()]
    found += oracle.parts("points", {"x": ("integer", 1), "name": ("text", 0)}, [r["points"] for r in rows])
    return [*found, Leaf(("empty",), "text", 0, [None] * len(rows))]


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_a_naive_loop_agrees(rows: Rows) -> None:
    s = describe(table(rows))
    assert s.n_rows == len(rows)
    by_path = {f.path: f for f in s}
    wanted = leaves(rows)
    assert list(by_path) == [leaf.path for leaf in wanted]
    for leaf in wanted:
        oracle.check(by_path[leaf.path], leaf)


@settings(deadline=None, max_examples=25)
@given(ROWS, st.integers(0, 8), st.integers(0, 8))
def test_merges_of_any_split_are_the_whole(rows: Rows, cut: int, other: int) -> None:
    cut, other = sorted((cut, other))
    shards = [describe(table(part)) for part in (rows[:cut], rows[cut:other], rows[other:])]
    stored = [Statistics.from_bytes(s.to_bytes()) for s in shards]
    for a, b, c in (shards, stored, shards[::-1], [shards[1], shards[2], shards[0]]):
        whole = {f.path: f for f in a.merge(b).merge(c)}
        other_way = {f.path: f for f in a.merge(b.merge(c))}
        for leaf in leaves(rows):
            oracle.check(whole[leaf.path], leaf)
            oracle.check(other_way[leaf.path], leaf)


@settings(deadline=None, max_examples=30)
@given(ROWS, st.randoms(use_true_random=False), st.integers(1, 4))
def test_order_and_batches_do_not_matter(rows: Rows, random: Any, size: int) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    batches = table(shuffled).to_batches(max_chunksize=size)
    by_path = {f.path: f for f in describe(batches, schema=SCHEMA)}
    for leaf in leaves(rows):
        oracle.check(by_path[leaf.path], leaf)


@settings(deadline=None, max_examples=20)
@given(ROWS, st.integers(1, 3))
def test_blocks_do_not_matter(rows: Rows, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["whence.validation.describe"], "BLOCK_ROWS", size)
        by_path = {f.path: f for f in describe(table(rows).to_batches(max_chunksize=size), schema=SCHEMA)}
    for leaf in leaves(rows):
        oracle.check(by_path[leaf.path], leaf)


WEIGHTED = ("int8", "float32", "text", "ints", "texts", "nested")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.fixed_dictionaries({n: st.none() | COLUMNS[n][3] for n in WEIGHTED}), st.sampled_from([0.0, 0.25, 1.0, 3.5, 10.0])), max_size=8), st.integers(0, 8))  # fmt: skip
def test_weights(rows: list[tuple[dict[str, Any], float]], cut: int) -> None:
    schema = pa.schema([*((n, COLUMNS[n][0]) for n in WEIGHTED), ("w", pa.float64())])
    data = pa.Table.from_pylist([{**r, "w": w} for r, w in rows], schema=schema)
    options = StatisticsOptions(weight="w")
    whole = describe(data, options=options)
    merged = describe(data.slice(cut), options=options).merge(describe(data.slice(0, cut), options=options))
    for s in (whole, merged, Statistics.from_bytes(whole.to_bytes())):
        by_path = {f.path: f for f in s}
        for n in WEIGHTED:
            leaf = Leaf((n,), COLUMNS[n][1], COLUMNS[n][2], [r[n] for r, _ in rows], [w for _, w in rows])
            oracle.check(by_path[n,], leaf)


def test_text_that_is_not_utf8() -> None:
    values = [b"\xff\xfe", b"ok", None, b"\x80", b"\xff\xfe"]
    raw = pa.array(values, pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 5, raw.buffers(), null_count=1)
    f = describe(pa.table({"t": broken}))["t"]
    oracle.check(f, Leaf(("t",), "text", 0, values))


@pytest.mark.parametrize("kind", [c[0] for c in COLUMNS.values()], ids=list(COLUMNS))
@pytest.mark.parametrize("n", [0, 3])
def test_nothing_of_every_type(kind: pa.DataType, n: int) -> None:
    f = describe(pa.table({"x": pa.array([None] * n, kind)}))["x"]
    name = next(k for k, c in COLUMNS.items() if c[0] == kind)
    oracle.check(f, Leaf(("x",), COLUMNS[name][1], COLUMNS[name][2], [None] * n))
    assert (f.min, f.max, f.median, f.mean, f.std_dev, f.avg_length) == (None,) * 6
    assert f.top_values() == []
