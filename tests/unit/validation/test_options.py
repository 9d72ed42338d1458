from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from whence.errors import NotFoundError, UsageError
from whence.validation import FeatureStatistics, Slice, Statistics, StatisticsOptions, describe
from whence.validation.options import SliceLike

ROWS = pa.table(
    {
        "c": ["a", "b", "a", "c", "a", None],
        "x": [1.0, 2.0, float("inf"), float("nan"), 5.0, None],
        "k": [7, 7, 8, 8, 8, 9],
        "w": [1.0, 0.5, 2.0, 1.0, 0.0, 4.0],
    }
)


class TestShown:
    def test_buckets_ranks_and_tops(self) -> None:
        options = StatisticsOptions(
            num_top_values=2,
            frequency_threshold=2,
            num_rank_histogram_buckets=1,
            num_histogram_buckets=4,
            num_quantiles_histogram_buckets=2,
            num_values_histogram_buckets=3,
        )
        for s in (
            describe(ROWS, options=options),
            Statistics.from_bytes(describe(ROWS, options=options).to_bytes()),
        ):
            assert s["c"].top_values() == [("a", 3)]
            assert s["c"].rank_histogram == [("a", 3)]
            x, values = s["x"], s["c"].num_values_histogram
            assert x.histogram is not None
            assert x.quantile_histogram is not None
            assert values is not None
            assert (len(x.histogram.buckets), len(x.quantile_histogram.buckets), len(values.buckets)) == (
                4,
                2,
                3,
            )
            assert (x.histogram.n_nan, x.histogram.n_high) == (1, 1)
            outer = x.histogram.outward().buckets[-1]
            assert (outer.high, outer.count) == (float("inf"), 2)

    def test_categories_and_types(self) -> None:
        s = describe(ROWS, options=StatisticsOptions(categorical=("k",), types={"w": "STRING"}))
        assert s["k"].type == "INT"
        assert (s["k"].mean, s["k"].top_values(1), s["k"].is_text) == (None, [("8", 3)], True)
        assert (s["w"].type, s["w"].top_values(1)) == ("STRING", [("1", 2)])
        with pytest.raises(UsageError, match=r"column 'c' does not read as INT: .* \(bad-cast\)"):
            describe(ROWS, options=StatisticsOptions(types={"c": "INT"}))
        with pytest.raises(UsageError, match="cannot be read as STRUCT"):
            describe(ROWS, options=StatisticsOptions(types={"c": "STRUCT"}))

    def test_the_exact_limit(self) -> None:
        t = pa.table({"c": [f"v{i % 50}" for i in range(500)]})
        exact, rough = describe(t)["c"], describe(t, options=StatisticsOptions(exact_limit=10))["c"]
        assert (exact.num_unique, exact.unique_is_exact) == (50, True)
        assert not rough.unique_is_exact
        assert rough.num_unique == pytest.approx(50, rel=0.1)
        stored = Statistics.from_bytes(describe(t, options=StatisticsOptions(exact_limit=10)).to_bytes())
        assert isinstance(stored["c"], FeatureStatistics)
        assert stored["c"].text is not None
        assert stored["c"].text.top.limit == 10

    def test_columns_leave_out_what_they_need(self) -> None:
        s = describe(ROWS, slices=["k"], options=StatisticsOptions(columns=("c",), weight="w"))
        assert (list(s.features), list(s.slices["k=7"].features)) == (["c"], ["c"])
        assert s["c"].weighted is not None


class TestBad:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_top_values": 0}, "num_top_values is a number from 1 on, got 0"),
            ({"sample_rate": 0.0}, "sample_rate lies above 0 and up to 1, got 0.0"),
            ({"sample_rate": 1.5}, "sample_rate lies above 0"),
            ({"slices": ("c", "c")}, "slice 'c' is asked for twice"),
        ],
    )
    def test_options(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            StatisticsOptions(**options)

    def test_slices(self) -> None:
        for given in ({}, {"name": "a", "where": "x", "by": ("c",)}, {"where": "x"}):
            with pytest.raises(UsageError, match="bad-slice"):
                Slice(**given)

    @pytest.mark.parametrize(
        "options",
        [
            {"columns": ("y",)},
            {"weight": "y"},
            {"types": {"y": "INT"}},
            {"categorical": ("y",)},
            {"slices": ("y",)},
        ],
    )
    def test_columns_that_are_not_there(self, options: dict[str, Any]) -> None:
        with pytest.raises(NotFoundError, match="column 'y' not found"):
            describe(ROWS, options=StatisticsOptions(**options))

    def test_batches_that_differ(self) -> None:
        batches = [pa.record_batch({"a": [1]}), pa.record_batch({"b": [1]})]
        with pytest.raises(UsageError, match="mixed-types"):
            describe(batches)
        with pytest.raises(UsageError, match=r"column 'a' occurs twice \(duplicate-column\)"):
            describe(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]))


class TestWeights:
    def test_twins(self) -> None:
        s = describe(ROWS, options=StatisticsOptions(weight="w", feature_weights={"k": "k"}))
        c, x, k = s["c"].weighted, s["x"].weighted, s["k"].weighted
        assert c is not None
        assert x is not None
        assert k is not None
        assert (c.num_non_missing, c.num_missing, c.top_values()) == (4.5, 4.0, [("a", 3.0), ("c", 1.0)])
        assert c.rank_histogram == [("a", 3.0), ("c", 1.0), ("b", 0.5)]
        assert (x.num_missing, x.tot_num_values) == (4.0, 4.5)
        assert x.mean == pytest.approx((1.0 + 2.0 * 0.5) / 1.5)
        assert x.histogram is not None
        assert (x.histogram.n_nan, x.histogram.n_high) == (1.0, 2.0)
        assert k.top_values(2) == [(8, 24.0), (7, 14.0)]  # of numbers, while every value is known
        assert k.mean == pytest.approx((7 * 14 + 8 * 24 + 9 * 9) / 47)
        assert Statistics.from_bytes(s.to_bytes()).summary() == s.summary()

    def test_lists_and_structs_carry_the_weight_of_their_row(self) -> None:
        t = pa.table({"l": [[{"v": 1}, {"v": 2}], [], None], "w": [2, 3, 5]})
        s = describe(t, options=StatisticsOptions(weight="w"))
        outer, inner = s["l"].weighted, s["l.v"].weighted
        assert outer is not None
        assert inner is not None
        assert (outer.num_non_missing, outer.num_missing, outer.tot_num_values) == (5.0, 5.0, 4.0)
        assert (inner.num_non_missing, inner.mean) == (4.0, 1.5)

    def test_lists_of_one_weight(self) -> None:
        rows = pa.table({"x": [1, 2, 3], "w": [[1.0], [2.0], [3.0]], "v": [1.0, 2.0, 3.0]})
        one, same = (describe(rows, options=StatisticsOptions(weight=w))["x"].weighted for w in "wv")
        assert one is not None
        assert same is not None
        assert (one.mean, one.num_non_missing) == (same.mean, same.num_non_missing)

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            ([1.0, None], "a weight is missing"),
            ([1.0, -2.0], r"a weight is -2\.0"),
            ([1.0, float("nan")], "a weight is nan"),
            (["a", "b"], "weights are numbers, column 'w' is string"),
            ([[1.0], [2.0, 1.0]], "a row has 2 weights"),
            ([[1.0], None], "a row has 0 weights"),
            ([[1.0], [None]], "a weight is missing"),
        ],
    )
    def test_what_is_no_weight(self, weights: list[Any], message: str) -> None:
        with pytest.raises(UsageError, match=rf"{message}.*\(bad-weight\)"):
            describe(pa.table({"x": [1, 2], "w": weights}), options=StatisticsOptions(weight="w"))


class TestSample:
    def test_is_seeded_and_said(self) -> None:
        t = pa.table({"x": list(range(20_000))})
        options = StatisticsOptions(sample_rate=0.1, sample_seed=3)
        s = describe(t, options=options)
        assert s.n_rows == pytest.approx(2_000, rel=0.1)
        assert s.headline == f"data: {s.n_rows:,} rows, 1 columns, a sample of 0.1 of 20,000 rows, seed 3"
        assert s.summary()["sample"] == {"rate": 0.1, "seed": 3, "n_rows": 20_000}
        batches = t.to_batches(max_chunksize=77)
        assert describe(batches, options=options).summary() == s.summary()
        other = describe(t, options=StatisticsOptions(sample_rate=0.1, sample_seed=4))
        assert other.summary() != s.summary()
        back = Statistics.from_bytes(s.to_bytes())
        assert str(back.merge(s).sample) == "a sample of 0.1 of 40,000 rows, seed 3"
        assert str(s.merge(describe(t)).sample) == "a sample of 0.55 of 40,000 rows"
        assert describe(t, options=StatisticsOptions(sample_rate=1.0)).n_rows == 20_000


class TestSlices:
    def test_crossed_columns(self) -> None:
        s = describe(ROWS, slices=[["c", "k"]])
        assert {n: p.n_rows for n, p in s.slices.items()} == {
            "c=None,k=9": 1,
            "c=a,k=7": 1,
            "c=a,k=8": 2,
            "c=b,k=7": 1,
            "c=c,k=8": 1,
        }

    def test_by_expression(self) -> None:
        slices = [
            Slice("big", "x > 1"),
            Slice("size", "CASE WHEN x > 1 THEN 'big' ELSE 'small' END"),
            Slice("both", "[c, 'all'] -- a list"),
            Slice("first", query="SELECT c, x FROM rows WHERE k = 7"),
        ]
        s = describe(ROWS, slices=slices)
        assert {n: p.n_rows for n, p in s.slices.items()} == {
            "big": 4,  # NaN is above all numbers, as in SQL
            "size=big": 4,
            "size=small": 2,
            "both=a": 3,
            "both=b": 1,
            "both=c": 1,
            "both=None": 1,
            "both=all": 6,
            "first": 2,
        }
        assert list(s.slices["first"].features) == ["c", "x"]

    def test_slices_of_different_values_have_different_names(self) -> None:
        def names(t: dict[str, list[Any]], *slices: SliceLike) -> dict[str, int]:
            return {n: s.n_rows for n, s in describe(pa.table(t), slices=slices).slices.items()}

        g = {"g": ["None", None, '"None"', "a, b"]}
        alone = {'g="""None"""': 1, 'g="None"': 1, "g=None": 1, "g=a, b": 1}
        assert names(g, "g") == alone
        assert names(g, Slice("g", "g")) == alone
        crossed = names({"g": ["1,b=2", "1"], "b": ["3", "2,b=3"]}, ["g", "b"])
        assert crossed == {'g="1,b=2",b=3': 1, 'g=1,b="2,b=3"': 1}
        assert names({"g": [0.0, -0.0]}, "g") == {"g=0.0": 2}

    def test_slices_of_blocks_are_slices_of_the_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys

        t = pa.table({"c": [f"v{i % 5}" for i in range(3_000)], "x": list(range(3_000))})
        whole = describe(t, slices=["c"])
        module = sys.modules["whence.validation.describe"]
        monkeypatch.setattr(module, "BLOCK_ROWS", 100)
        monkeypatch.setattr(module, "_HELD_ROWS", 50)
        parts = describe(t, slices=["c"])
        assert {k: s["x"].mean for k, s in parts.slices.items()} == {
            k: s["x"].mean for k, s in whole.slices.items()
        }
        assert [s.n_rows for s in parts.slices.values()] == [600] * 5

    def test_what_makes_no_slice(self) -> None:
        with pytest.raises(UsageError, match=r"slice 's' cannot be run: .* \(bad-slice\)"):
            describe(ROWS, slices=[Slice("s", "nowhere > 3")])
        with pytest.raises(UsageError, match=r"'l' is list<item: int64>, slices are made of single values"):
            describe(pa.table({"l": [[1]]}), slices=["l"])
        with pytest.raises(UsageError, match="needs rows that can be read again"):
            describe(ROWS.to_reader(), slices=[Slice("s", query="SELECT * FROM rows")])
