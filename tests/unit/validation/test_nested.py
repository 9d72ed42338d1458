from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.validation import Level, Statistics, describe

INNER = pa.struct({"x": pa.list_(pa.int64()), "name": pa.string()})
KIND = pa.list_(pa.struct({"deep": pa.list_(INNER), "n": pa.float64()}))
inner = st.none() | st.fixed_dictionaries(
    {
        "x": st.none() | st.lists(st.none() | st.integers(-3, 3), max_size=3),
        "name": st.none() | st.sampled_from(["a", "b", ""]),
    }
)
outer = st.none() | st.fixed_dictionaries(
    {"deep": st.none() | st.lists(inner, max_size=2), "n": st.none() | st.floats(-4, 4)}
)
rows = st.lists(st.none() | st.lists(outer, max_size=2), max_size=5)


def structs(values: list[Any]) -> list[dict[str, Any]]:
    """What is in lists of structs, one after the other."""
    return [s for row in values if row is not None for s in row if s is not None]


@given(rows)
def test_a_naive_loop_agrees(data: list[Any]) -> None:
    s = describe(pa.table({"p": pa.array(data, KIND)}))
    assert list(s.features) == ["p", "p.deep", "p.deep.x", "p.deep.name", "p.n"]
    assert s["p.deep.x"].path == ("p", "deep", "x")
    outside = structs(data)
    inside = structs([o["deep"] for o in outside])
    seen = {
        "p": data,
        "p.deep": [o["deep"] for o in outside],
        "p.n": [o["n"] for o in outside],
        "p.deep.x": [i["x"] for i in inside],
        "p.deep.name": [i["name"] for i in inside],
    }
    for name, values in seen.items():
        f, present = s[name], [v for v in values if v is not None]
        assert (f.num_rows, f.num_missing) == (len(values), len(values) - len(present))
        if name in ("p.n", "p.deep.name"):
            continue
        sizes = [len(v) for v in present]
        want = (min(sizes, default=None), max(sizes, default=None), sum(sizes))
        assert (f.min_num_values, f.max_num_values, f.tot_num_values) == want
        assert f.n_values == sum(e is not None for v in present for e in v)
    xs = [x for i in inside for x in i["x"] or () if x is not None]
    assert s["p.deep.x"].mean == (sum(xs) / len(xs) if xs else None)
    assert dict(s["p.deep.name"].value_counts() or {}) == {
        v: sum(i["name"] == v for i in inside) for v in {i["name"] for i in inside} - {None}
    }


@given(rows, st.integers(0, 5))
def test_merged_equals_whole(data: list[Any], cut: int) -> None:
    table = pa.table({"p": pa.array(data, KIND)})
    whole = describe(table)
    merged = describe(table.slice(cut)).merge(describe(table.slice(0, cut)))
    for f in whole:
        assert merged[f.name].levels == f.levels
        assert merged[f.name].top_values() == f.top_values()
        assert merged[f.name].num_values_histogram == f.num_values_histogram
    assert Statistics.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()


def test_levels_of_lists_in_lists() -> None:
    lists = pa.array(
        [[[1, 2], [3]], [[4]], None, [], [[], None, [5, None, 7]]], pa.list_(pa.list_(pa.int64()))
    )
    f = describe(pa.table({"l": lists}))["l"]
    assert f.levels == (Level(4, 1, 0, 3, 6), Level(5, 1, 0, 3, 7))
    assert (f.min_num_values, f.max_num_values, f.tot_num_values, f.n_values) == (0, 3, 7, 6)
    assert f.num_values_histogram is not None
    assert [b.high for b in f.num_values_histogram.buckets][-1] == 3.0
    none = describe(pa.table({"l": lists.slice(0, 0)}))["l"]
    assert none.levels == (Level(), Level())


def test_a_column_called_like_a_path_stands_apart() -> None:
    s = describe(pa.table({"a": [{"b": 1}], "a.b": [2.5], "c": [{"d.e": 1}]}))
    assert list(s.features) == ["a", '"a"."b"', "a.b", "c", 'c."d.e"']
    assert (s["a.b"].mean, s['"a"."b"'].mean) == (2.5, 1.0)


def test_fields_only_one_side_has() -> None:
    a = describe(pa.table({"s": [{"x": 1}, {"x": 2}]}))
    b = describe(
        pa.table({"s": pa.array([{"x": 1, "y": "v"}, None], pa.struct({"x": pa.int64(), "y": pa.string()}))})
    )
    both = a.merge(b)
    assert (both["s.y"].num_rows, both["s.y"].num_missing) == (3, 2)  # a row of s.y is a value of s
    assert both["s.x"].num_non_missing == 3
    assert list(a.select(["s"]).features) == ["s", "s.x"]


class TestTypes:
    """Every Arrow type is described as what it holds."""

    @pytest.mark.parametrize(
        ("column", "kind", "top"),
        [
            (pa.array(["x", "y", "x", None]).dictionary_encode(), "STRING", [("x", 2), ("y", 1)]),
            (pa.DictionaryArray.from_arrays([0, 1, 2, 1], ["x", "y", "x"]), "STRING", [("x", 2), ("y", 2)]),
            (pa.DictionaryArray.from_arrays([0, 1, None], pa.array([5, None])), "INT", [(5, 1)]),
            (pa.array(["x", "y", "x"], pa.large_string()), "STRING", [("x", 2), ("y", 1)]),
            (pa.array(["x", "y", "x"], pa.string_view()), "STRING", [("x", 2), ("y", 1)]),
            (pa.array([b"x", b"y"], pa.binary_view()), "BYTES", [(b"x", 1), (b"y", 1)]),
            (pa.array([b"xx", b"yy"], pa.binary(2)), "BYTES", [(b"xx", 1), (b"yy", 1)]),
            (pc.run_end_encode(pa.array([1, 1, None, 2])), "INT", [(1, 2), (2, 1)]),
            (pa.array([[1, 2], None, [1]], pa.list_view(pa.int8())), "INT", [(1, 2), (2, 1)]),
            (pa.array([[1, 2], None, [1, 3]], pa.list_(pa.int8(), 2)), "INT", [(1, 2), (2, 1), (3, 1)]),
            (pa.array([Decimal("1.50"), None, Decimal("2.25")]), "FLOAT", [(1.5, 1), (2.25, 1)]),
            (pa.array([10, 20], pa.time32("s")), "INT", [(10_000_000, 1), (20_000_000, 1)]),
            (pa.array([timedelta(seconds=2)], pa.duration("ms")), "INT", [(2_000_000, 1)]),
            (pa.array([None, None], pa.null()), "STRING", []),
        ],
    )
    def test_kinds(self, column: pa.Array, kind: str, top: list[Any]) -> None:
        f = describe(pa.table({"c": column}))["c"]
        assert (f.type, list(f.top_values())) == (kind, top)

    def test_maps_are_lists_of_pairs(self) -> None:
        m = pa.array([[("a", 1)], None, [("b", 2), ("c", None)]], pa.map_(pa.string(), pa.int64()))
        for column, n in ((m, 3), (m.slice(2), 2)):
            s = describe(pa.table({"m": column}))
            assert list(s.features) == ["m", "m.key", "m.value"]
            assert (s["m.key"].num_rows, s["m.value"].num_missing) == (n, 1)

    def test_views_of_lists(self) -> None:
        lists = pa.array([[1, 2], None, [], [3]], pa.large_list_view(pa.int8()))
        again = pa.ListViewArray.from_arrays([1, 0, 1], [2, 1, 0], pa.array([7, 8, 9]))
        for column, want in (
            (lists, [1, 2, 3]),
            (lists.slice(1), [3]),
            (again, [8, 9, 7]),
            (again.slice(1, 1), [7]),
        ):
            f = describe(pa.table({"l": column}))["l"]
            assert (f.n_values, set(f.value_counts() or {})) == (len(want), set(want))

    def test_null_takes_the_type_that_comes_later(self) -> None:
        empty, full = pa.table({"c": pa.nulls(2)}), pa.table({"c": [1.5]})
        for a, b in ((empty, full), (full, empty)):
            f = describe(a).merge(describe(b))["c"]
            assert (f.type, f.num_missing, f.mean) == ("FLOAT", 2, 1.5)

    def test_beyond_the_signed_integers(self) -> None:
        values = [2**63, 2**63 + 1, 2**64 - 1, 5]
        parts = [describe(pa.table({"u": pa.array([v], pa.uint64())})) for v in values]
        f = parts[0].merge(parts[1]).merge(parts[2]).merge(parts[3])["u"]
        assert (f.min, f.max, f.num_unique, f.median) == (5, 2**64 - 1, 4, 2**63)
        assert f.mean == float(sum(values) / 4)
        whole = describe(pa.table({"u": pa.array(values, pa.uint64())}))
        assert Statistics.from_bytes(whole.to_bytes())["u"].value_counts() == dict.fromkeys(values, 1)

    def test_a_time_no_calendar_has(self) -> None:
        far = pa.array([2**62], pa.int64()).cast(pa.timestamp("us"))
        f = describe(pa.table({"t": far}))["t"]
        assert f.max == 2**62
        assert describe(pa.table({"t": [datetime(2013, 1, 1)]}))["t"].max is not None  # noqa: DTZ001

    def test_long_texts_are_counted_by_their_beginning(self) -> None:
        long = ["é" * 2_000 + "a", "é" * 2_000 + "b", "short"]
        f = describe(pa.table({"c": [*long, long[0]]}))["c"]
        assert (f.num_unique, f.max_length, f.value_counts()) == (3, 4_001, None)
        (first, n), *_ = f.top_values()
        assert n == 2
        assert str(first).startswith("é" * 500 + "…#")
