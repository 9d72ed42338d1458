"""Statistics of one's own, and statistics of Arrow data."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from whence.integrations import tfdv

generate = tfdv.statistics.stats_impl.generate_statistics_in_memory


class Longest(tfdv.CombinerStatsGenerator[int]):
    """The most values a row of a column has."""

    ready = False

    def setup(self) -> None:
        self.ready = True

    def create_accumulator(self) -> int:
        assert self.ready
        return 0

    def add_input(self, accumulator: int, input_record_batch: pa.RecordBatch) -> int:
        sizes = [len(v) for v in input_record_batch.column("x").to_pylist() if v is not None]
        return max([accumulator, *sizes])

    def extract_output(self, accumulator: int) -> Any:
        out = tfdv.statistics_pb2.DatasetFeatureStatistics()
        for name in ("x", "made"):
            out.features.add(path={"step": [name]}).custom_stats.add(name=self.name, num=accumulator)
        out.cross_features.add(count=accumulator)
        return out


def said(dataset: Any) -> dict[str, list[tuple[str, float]]]:
    return {f.path.step[0]: [(s.name, s.num) for s in f.custom_stats] for f in dataset.features}


def test_what_a_generator_says_is_put_into_the_statistics_and_into_each_slice() -> None:
    table = pa.table({"x": [[1], [2, 3], None], "k": ["a", "b", "a"]})
    options = tfdv.StatsOptions(
        generators=[Longest("longest")],
        experimental_slice_functions=[tfdv.get_feature_value_slicer({"k": None})],
    )
    made = generate(
        pa.Table.from_batches([*table.slice(0, 1).to_batches(), *table.slice(1).to_batches()]), options
    )
    assert [(d.name, d.num_examples) for d in made.datasets] == [("All Examples", 3), ("k_a", 2), ("k_b", 1)]
    for dataset, n in zip(made.datasets, (2, 1, 2), strict=True):
        assert said(dataset) == {"x": [("longest", n)], "k": [], "made": [("longest", n)]}
        assert dataset.cross_features[0].count == n
        assert dataset.features[0].num_stats.common_stats.max_num_values == n


class Rows(tfdv.CombinerStatsGenerator[list[int]]):
    """Which rows were seen."""

    def create_accumulator(self) -> list[int]:
        return []

    def add_input(self, accumulator: list[int], input_record_batch: pa.RecordBatch) -> list[int]:
        return [*accumulator, *input_record_batch.column("x").flatten().to_pylist()]

    def extract_output(self, accumulator: list[int]) -> Any:
        out = tfdv.statistics_pb2.DatasetFeatureStatistics()
        out.features.add(path={"step": ["x"]}).custom_stats.add(name="seen", str=repr(accumulator))
        return out


def seen(dataset: Any) -> list[int]:
    return list(map(int, dataset.features[0].custom_stats[0].str.strip("[]").split(", ")))


def test_a_sample_is_the_same_rows_for_all_who_look() -> None:
    table = pa.table({"x": range(1_000), "k": ["a", "b"] * 500})
    slices = [tfdv.get_feature_value_slicer({"k": ["a"]})]
    options = tfdv.StatsOptions(
        generators=[Rows("rows")], experimental_slice_functions=slices, sample_rate=0.3
    )
    whole, part = generate(table, options).datasets
    rows = seen(whole)
    assert 230 < len(rows) < 370
    assert whole.num_examples == whole.features[0].num_stats.common_stats.num_non_missing == len(rows)
    assert whole.features[0].num_stats.mean == pytest.approx(sum(rows) / len(rows))
    assert seen(part) == [x for x in rows if x % 2 == 0]
    assert part.num_examples == len(seen(part))
    # not a matter of batches, nor of who looks
    assert generate(table.to_batches(max_chunksize=7), options).datasets[0].num_examples == len(rows)
    alone = generate(table, tfdv.StatsOptions(sample_rate=0.3)).datasets[0]
    assert (alone.num_examples, alone.features[0].num_stats.mean) == (
        len(rows),
        whole.features[0].num_stats.mean,
    )


def test_without_the_default_ones_only_what_was_asked_for_is_said() -> None:
    table = pa.table({"x": [1, 2] * 50, "t": ["2020-01-01", "2020-01-02"] * 50})
    options = tfdv.StatsOptions(
        generators=[Rows("rows")], add_default_generators=False, enable_semantic_domain_stats=True
    )
    (made,) = generate(table, options).datasets
    assert (made.num_examples, [f.WhichOneof("stats") for f in made.features]) == (0, [None, None])
    assert [[s.name for s in f.custom_stats] for f in made.features] == [
        ["domain_info", "time_match_ratio"],
        ["seen"],
    ]
    weighted = tfdv.StatsOptions(
        generators=[Rows("rows")], add_default_generators=False, weight_feature="x",
        per_feature_weight_override={tfdv.FeaturePath(["t"]): "x"}, sample_rate=1.0,
    )  # fmt: skip
    assert seen(generate(table[:2], weighted).datasets[0]) == [1, 2]


def test_in_memory_what_is_no_text_is_placed_by_its_word() -> None:
    table = pa.table({"t": [b"\xff", b"a", b"c", b"B", b"c", b"\xfe"]})
    stats = generate(table).datasets[0].features[0].string_stats
    said = [("c", 2), ("__BYTES_VALUE__", 2), ("a", 1), ("B", 1)]  # as TFDV 1.16.1 has it
    assert [(v.value, v.frequency) for v in stats.top_values] == said
    assert [(b.label, b.low_rank) for b in stats.rank_histogram.buckets] == [
        (v, i) for i, (v, _) in enumerate(said)
    ]


def test_weights_may_be_lists_of_one_as_tfdv_has_them() -> None:
    plain = pa.table({"x": [1, 2, 3], "k": ["a", "b", "a"], "w": [2.0, 0.5, 1.0]})
    lists = pa.table({n: pa.array([[v] for v in plain[n].to_pylist()]) for n in plain.column_names})
    options = tfdv.StatsOptions(
        weight_feature="w", experimental_slice_functions=[tfdv.get_feature_value_slicer({"k": None})]
    )
    made = generate(plain, options)
    assert [d.weighted_num_examples for d in made.datasets] == [3.5, 3.0, 0.5]
    assert generate(lists, options) == made
    for odd in ([[1.0], [2.0, 3.0], []], [[1.0], None, [1.0]]):
        with pytest.raises(ValueError, match="a weight is one number a row, column 'w' has other rows"):
            generate(pa.table({"x": [1, 2, 3], "w": odd}), tfdv.StatsOptions(weight_feature="w"))


def test_what_is_no_combiner_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="CombinerStatsGenerator"):
        tfdv.StatsOptions(generators=[object()])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="generators is of type"):
        tfdv.StatsOptions(generators=Longest("x"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="generators have no JSON form"):
        tfdv.StatsOptions(generators=[Longest("x")]).to_json()
    assert Longest("x").schema is None


def test_a_table_a_batch_and_batches_are_described_alike() -> None:
    table = pa.table({"x": [1, 2, None, 4], "t": ["a", None, "b", "a"]})
    (batch,) = table.to_batches()
    expected = tfdv.statistics_to_proto(tfdv.statistics_from_proto(generate(table)), plain=True)
    assert expected.datasets[0].num_examples == 4
    for rows in (batch, [batch.slice(0, 1), batch.slice(1)], table.to_reader()):
        assert said(generate(rows).datasets[0]) == said(expected.datasets[0])
        assert generate(batch) == generate(table)
    frame = pl.DataFrame(
        {"x": [1, 2, None, 4], "t": pl.Series(["a", None, "b", "a"], dtype=pl.Enum(["a", "b"]))}
    )
    assert generate(frame) == generate(table)
    sliced = tfdv.StatsOptions(experimental_slice_functions=[tfdv.get_feature_value_slicer({"t": None})])
    assert generate(frame, sliced) == generate(table, sliced)
    assert generate(table.schema.empty_table()).datasets[0].num_examples == 0
    for nothing in ([], [1], "text"):
        with pytest.raises(TypeError, match="should be Arrow data"):
            generate(nothing)
