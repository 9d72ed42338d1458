"""Statistics of one's own, and statistics of Arrow data."""

from __future__ import annotations

from typing import Any

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


def test_what_is_no_combiner_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="CombinerStatsGenerator"):
        tfdv.StatsOptions(generators=[object()])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="generators is of type"):
        tfdv.StatsOptions(generators=Longest("x"))  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="generators see all rows"):
        generate(pa.table({"x": [[1]]}), tfdv.StatsOptions(generators=[Longest("x")], sample_rate=0.5))
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
    assert generate(table.schema.empty_table()).datasets[0].num_examples == 0
    for nothing in ([], [1], "text"):
        with pytest.raises(TypeError, match="should be Arrow data"):
            generate(nothing)
