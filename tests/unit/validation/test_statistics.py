from __future__ import annotations

import json
import math
import sys
import zlib
from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.stats import oracles
from whence.errors import NotFoundError, UsageError
from whence.validation import FeatureView, Statistics, describe
from whence.validation.features import FeatureStatistics

module = sys.modules["whence.validation.describe"]  # the function of this name hides it
TINY = 1e-150  # below it squares underflow
COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "small": (pa.int8(), st.integers(-3, 3)),
    "float": (
        pa.float64(),
        st.floats(width=64, min_value=-1e12, max_value=1e12) | st.sampled_from([math.nan]),
    ),
    "wild": (pa.float64(), st.floats(width=64)),
    "text": (pa.string(), st.text(max_size=4)),
    "bytes": (pa.binary(), st.binary(max_size=4)),
    "bool": (pa.bool_(), st.booleans()),
    "time": (
        pa.timestamp("us", tz="UTC"),
        st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    ),
    "day": (pa.date32(), st.dates(date(1900, 1, 1), date(2100, 1, 1))),
    "list": (pa.list_(pa.int64()), st.lists(st.integers(-5, 5), max_size=3)),
}
SCHEMA = pa.schema({name: kind for name, (kind, _) in COLUMNS.items()})
rows = st.lists(st.fixed_dictionaries({n: st.none() | s for n, (_, s) in COLUMNS.items()}), max_size=8)


def table(data: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(data, schema=SCHEMA)


def same(a: FeatureView, b: FeatureView) -> None:
    assert isinstance(a, FeatureStatistics)
    x, y = a.summary(), b.summary()
    extremes = (
        [abs(v) for v in (a.number.range.low, a.number.range.high) if v is not None] if a.number else []
    )
    largest = min(max(extremes, default=1.0), 1e308)
    for key in ("mean", "std_dev"):
        p, q = x.pop(key, None), y.pop(key, None)
        if isinstance(p, float) and isinstance(q, float):
            assert p == pytest.approx(q, rel=1e-9, abs=1e-12 * largest + TINY)
        else:
            assert type(p) is type(q)
    assert x == y


@given(rows)
def test_a_naive_loop_agrees(data: list[dict[str, Any]]) -> None:
    s = describe(table(data))
    assert s.n_rows == len(data)
    for name in COLUMNS:
        present = [r[name] for r in data if r[name] is not None]
        f = s[name]
        assert (f.num_non_missing, f.num_missing) == (len(present), len(data) - len(present))
        values = [v for p in present for v in p] if name == "list" else present
        assert f.n_values == len(values)
        naive(f, name, values)


def naive(f: FeatureView, name: str, values: list[Any]) -> None:
    numbers = [v for v in values if not (isinstance(v, float) and math.isnan(v))]
    assert f.num_unique == len(set(numbers))
    if name in ("text", "bytes"):
        encoded = [v.encode() if isinstance(v, str) else v for v in values]
        expected = sorted(Counter(encoded).items(), key=lambda p: (-p[1], p[0]))[:20]
        assert [(v.encode() if isinstance(v, str) else v, n) for v, n in f.top_values()] == expected
        assert f.avg_length == (sum(map(len, encoded)) / len(encoded) if encoded else None)
        return
    assert f.num_nan == len(values) - len(numbers)
    finite = [v for v in numbers if not (isinstance(v, float) and math.isinf(v))]
    assert f.num_inf == len(numbers) - len(finite)
    assert (f.min, f.max) == ((min(numbers), max(numbers)) if numbers else (None, None))
    assert f.median == (oracles.quantile(numbers, 0.5) if numbers else None)
    if f.is_time:
        assert f.mean is None
        return
    assert f.num_zeros == sum(v == 0 for v in numbers)
    if name in ("int", "small", "bool", "list"):
        assert f.mean == (oracles.mean(finite) if finite else None)
    elif name == "float" and finite:
        largest = max(map(abs, finite)) or 1.0
        assert f.mean == pytest.approx(oracles.mean(finite), abs=1e-12 * largest + TINY)
        assert f.std_dev == pytest.approx(math.sqrt(oracles.variance(finite)), abs=1e-6 * largest + TINY)


@given(rows, st.integers(0, 8), st.randoms(use_true_random=False))
def test_merged_equals_whole_and_order_does_not_matter(
    data: list[dict[str, Any]], cut: int, random: Any
) -> None:
    whole = describe(table(data))
    merged = describe(table(data[cut:])).merge(describe(table(data[:cut])))
    shuffled = list(data)
    random.shuffle(shuffled)
    for name in COLUMNS:
        same(whole[name], merged[name])
        same(whole[name], describe(table(shuffled))[name])


@given(rows)
def test_round_trip_and_equal_bytes(data: list[dict[str, Any]]) -> None:
    s = describe(table(data), name="flights@12")
    back = Statistics.from_bytes(s.to_bytes())
    assert back.to_bytes() == s.to_bytes() == describe(table(data), name="flights@12").to_bytes()
    assert back.summary() == s.summary()
    json.dumps(s.summary(), allow_nan=False)
    assert s.merge(back).n_rows == 2 * len(data)


def test_in_blocks_equals_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    t = pa.table({"x": random.normal(size=5_000), "c": random.choice(["a", "b", "c"], 5_000)})
    whole = describe(t)
    monkeypatch.setattr(module, "BLOCK_ROWS", 700)
    parts = describe(t.to_reader(max_chunksize=300))
    assert parts["c"].top_values() == whole["c"].top_values()
    assert parts["x"].mean == pytest.approx(whole["x"].mean, abs=1e-15)
    assert (parts["x"].min, parts["x"].max) == (whole["x"].min, whole["x"].max)
    ordered = np.sort(t["x"].to_numpy())
    median = parts["x"].median
    assert isinstance(median, float)
    assert abs(np.searchsorted(ordered, median) / 5_000 - 0.5) <= parts["x"].rank_error + 1e-3 < 0.01


def test_large_columns_use_threads_and_agree() -> None:
    n = 120_000
    t = pa.table({"i": np.arange(n), "s": [f"k{i % 7}" for i in range(n)]})
    s = describe(t)
    assert (s["i"].mean, s["i"].num_zeros, s["s"].num_unique) == ((n - 1) / 2, 1, 7)
    assert s["i"].num_unique == pytest.approx(n, rel=0.08)
    assert not s["i"].unique_is_exact
    assert s["i"].value_counts() is None
    assert s["i"].top_values() == []


class TestEdges:
    def test_no_rows_no_columns(self) -> None:
        assert describe(pa.table({})).n_rows == 0
        s = describe(SCHEMA.empty_table())
        assert [f.num_rows for f in s] == [0] * len(SCHEMA)
        assert s["int"].mean is None
        assert s["int"].histogram is not None
        assert s["int"].histogram.buckets == ()
        assert describe([], schema=SCHEMA).features.keys() == s.features.keys()

    def test_all_null_columns(self) -> None:
        s = describe(pa.table({"n": pa.nulls(3), "f": pa.array([None] * 3, pa.float64())}))
        assert [(f.num_missing, f.num_non_missing, f.min) for f in s] == [(3, 0, None), (3, 0, None)]

    def test_beyond_2_to_the_53(self) -> None:
        s = describe(pa.table({"x": [2**53, 2**53 + 1, 2**62 + 1]}))["x"]
        assert (s.max, s.num_unique) == (2**62 + 1, 3)
        assert s.mean == float(sum([2**53, 2**53 + 1, 2**62 + 1]) / 3)

    def test_text_that_is_not_utf8(self) -> None:
        raw = pa.array([b"\xff\xfe", b"ok", None], pa.binary())
        broken = pa.Array.from_buffers(pa.string(), 3, raw.buffers(), null_count=1)
        s = describe(pa.table({"t": broken, "b": raw}))
        assert (s["t"].num_invalid_utf8, s["b"].num_invalid_utf8) == (1, 1)
        assert Statistics.from_bytes(s.to_bytes())["t"].top_values() == s["t"].top_values()

    def test_lists_and_structs(self) -> None:
        t = pa.table(
            {
                "l": pa.array([[1, 2], [], None, [3]], pa.list_(pa.int64())),
                "s": [{"a": 1}, None, {"a": 2}, {"a": 3}],
                "d": pa.array(["x", "y", "x", None]).dictionary_encode(),
            }
        )
        s = describe(t)
        l_ = s["l"]
        assert (l_.type, l_.min_num_values, l_.max_num_values, l_.avg_num_values, l_.mean) == (
            "INT",
            0,
            2,
            1.0,
            2.0,
        )
        assert (s["s"].type, s["s"].num_missing, s["s"].num_unique) == ("STRUCT", 1, None)
        assert s["d"].top_values() == [("x", 2), ("y", 1)]

    def test_times_read_as_times(self) -> None:
        moments = [datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 3, tzinfo=UTC)]
        s = describe(
            pa.table({"t": pa.array(moments, pa.timestamp("us", "UTC")), "d": [m.date() for m in moments]})
        )
        assert (s["t"].min, s["t"].max, s["t"].std_dev) == (*moments, None)
        assert (s["d"].min, s["d"].median) == (date(2013, 1, 1), date(2013, 1, 1))

    def test_one_zero(self) -> None:
        s = describe(pa.table({"x": [-0.0, 0.0]}))["x"]
        assert (s.num_unique, s.num_zeros, str(s.min)) == (1, 2, "0.0")

    def test_a_column_only_one_side_has_is_missing_in_the_other(self) -> None:
        merged = describe(pa.table({"a": [1]})).merge(describe(pa.table({"a": [2], "b": ["x"]})))
        assert merged.n_rows == 2
        assert (merged["b"].num_missing, merged["b"].num_non_missing) == (1, 1)

    def test_types_that_do_not_merge(self) -> None:
        with pytest.raises(
            UsageError, match=r"column 'a' is INT on one side and STRING on the other \(mixed-types\)"
        ):
            describe(pa.table({"a": [1]})).merge(describe(pa.table({"a": ["x"]})))
        batches = [pa.record_batch({"a": [1]})]
        with pytest.raises(UsageError, match="mixed-types"):
            FeatureStatistics.empty("a", pa.int64()).add(pa.array(["x"]))
        assert describe(batches)["a"].mean == 1.0

    def test_not_statistics(self) -> None:
        for data in (
            b"nonsense",
            zlib.compress(b"[]"),
            zlib.compress(b'{"format": 1}'),
        ):
            with pytest.raises(UsageError, match=r"not statistics: .* \(bad-statistics\)"):
                Statistics.from_bytes(data)


class TestSlices:
    def test_by_value(self) -> None:
        t = pa.table({"c": ["AA", "UA", "AA", None], "x": [1, 2, 3, 4]})
        s = describe(t, slices=["c"])
        assert {k: (p.n_rows, p["x"].mean) for k, p in s.slices.items()} == {
            "c=AA": (2, 2.0),
            "c=UA": (1, 2.0),
            "c=None": (1, 4.0),
        }
        again = s.merge(s)
        assert again.slices["c=AA"].n_rows == 4

    def test_bad_slices_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(NotFoundError, match=r"column 'cc' not found"):
            describe(pa.table({"c": [1]}), slices=["cc"])
        monkeypatch.setattr(module, "MAX_SLICES", 2)
        with pytest.raises(UsageError, match=r"column 'c' makes more than 2 slices \(too-many-slices\)"):
            describe(pa.table({"c": [1, 2, 3]}), slices=["c"])


class TestLooks:
    def test_a_table_a_person_can_read(self) -> None:
        s = describe(pa.table({"carrier": ["AA", "UA", "AA"], "delay": [1.5, None, -2.0]}), name="flights@12")
        assert str(s).splitlines() == [
            "flights@12: 3 rows, 2 columns",
            "column   type    missing  unique  mean   std   zeros  min  median  max  top",
            "-------  ------  -------  ------  -----  ----  -----  ---  ------  ---  ------",
            "carrier  STRING  0        2                                             AA (2)",
            "delay    FLOAT   1        2       -0.25  1.75  0      -2   -2      1.5",
        ]

    def test_html_is_escaped(self) -> None:
        html = describe(pa.table({"<b>": ["<script>"]}), name="<x>")._repr_html_()
        assert "<script>" not in html
        assert "&lt;script&gt;" in html
        assert "&lt;x&gt;" in html

    def test_near_names(self) -> None:
        s = describe(pa.table({"carrier": ["AA"]}))
        with pytest.raises(NotFoundError, match=r"column 'carier' not found .* Near: 'carrier'"):
            s["carier"]
        assert "carrier" in s
        assert len(s) == 1
        assert list(s.select(["carrier"]).features) == ["carrier"]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_stored_statistics_keep_their_bound(seed: int) -> None:
    random = np.random.default_rng(seed)
    days = [random.gamma(2, 30, 4_000) for _ in range(7)]
    stored = [Statistics.from_bytes(describe(pa.table({"x": d})).to_bytes()) for d in days]
    week = stored[0]
    for day in stored[1:]:
        week = week.merge(day)
    ordered = np.sort(np.concatenate(days))
    assert week["x"].rank_error < 0.01
    for q in (0.01, 0.5, 0.99):
        value = week["x"].quantile(q)
        assert isinstance(value, float)
        assert abs(np.searchsorted(ordered, value) / len(ordered) - q) <= week["x"].rank_error + 1e-4
