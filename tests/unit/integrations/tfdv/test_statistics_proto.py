"""Statistics as protos and back: nothing known is lost, in text and bytes, and TFDV's own files to the letter."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings

from tests.unit.validation.strategies import tables
from whence.errors import UsageError
from whence.integrations.tfdv.messages import statistics_pb2
from whence.integrations.tfdv.statistics_in import statistics_from_proto
from whence.integrations.tfdv.statistics_out import as_given, statistics_to_proto
from whence.integrations.tfdv.text import read_binary, read_text, to_text
from whence.validation import Statistics, describe
from whence.validation.given import GivenStatistics, GivenWeighted
from whence.validation.options import StatisticsOptions

GOLDEN = Path(__file__).parents[3] / "golden" / "validation"
FILES = sorted(GOLDEN.glob("*/*.stats.pbtxt"))
LIST = statistics_pb2.DatasetFeatureStatisticsList


@given(tables())
@settings(max_examples=60, deadline=None)
def test_statistics_come_back_whole_in_text_and_bytes(table: pa.Table) -> None:
    made = describe(table, name="rows@3")
    proto = statistics_to_proto(made)
    for read in (
        proto,
        read_text(LIST, to_text(proto)),
        read_binary(LIST, proto.SerializeToString()),
    ):
        back = statistics_from_proto(read)
        assert (back.name, back.n_rows, list(back.features)) == ("rows@3", made.n_rows, list(made.features))
        assert [f.to_dict() for f in back.features.values()] == [
            as_given(f).to_dict() for f in made.features.values()
        ]


@given(tables())
@settings(max_examples=40, deadline=None)
def test_given_statistics_are_stored_and_summarised(table: pa.Table) -> None:
    for f in statistics_from_proto(statistics_to_proto(describe(table))).features.values():
        assert isinstance(f, GivenStatistics)
        assert GivenStatistics.from_dict(f.to_dict()) == f
        assert f.summary()["num_missing"] == f.num_missing
        assert f.absent(3).num_missing == 3
        assert f.merge(f.absent(0)) is f
        assert f.sealed() is f


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_file_of_tfdv_is_written_as_it_was(path: Path) -> None:
    given_ = read_text(LIST, path.read_text(encoding="utf-8"))
    back = statistics_to_proto(statistics_from_proto(given_), plain=True)
    for feature, was in zip(back.datasets[0].features, given_.datasets[0].features, strict=True):
        if math.isnan(was.num_stats.mean):
            # TFDV cuts tenths through infinities; only the mass of each end is kept.
            del feature.num_stats.histograms[1:], was.num_stats.histograms[1:]
    assert to_text(back) == to_text(given_)


def test_ties_are_listed_as_tfdv_lists_them() -> None:
    proto = statistics_to_proto(describe(pa.table({"c": ["a", "b", "c", "c"]})), plain=True)
    stats = proto.datasets[0].features[0].string_stats
    assert [(v.value, v.frequency) for v in stats.top_values] == [("c", 2.0), ("b", 1.0), ("a", 1.0)]
    assert [(b.low_rank, b.high_rank, b.label) for b in stats.rank_histogram.buckets] == [
        (0, 0, "c"),
        (1, 1, "b"),
        (2, 2, "a"),
    ]


def test_bytes_that_are_no_text_are_counted_together() -> None:
    column = pa.array([b"\xff", b"\xfe", b"ok", None], pa.binary())
    stats = (
        statistics_to_proto(describe(pa.table({"b": column})), plain=True)
        .datasets[0]
        .features[0]
        .string_stats
    )
    assert [(v.value, v.frequency) for v in stats.top_values] == [("__BYTES_VALUE__", 2.0), ("ok", 1.0)]
    assert (stats.unique, stats.invalid_utf8_count) == (3, 2)


def test_weights_have_twins() -> None:
    table = pa.table({"w": [1.0, 2.0, 0.5], "x": [3, 5, None], "t": ["a", "b", "b"]})
    proto = statistics_to_proto(describe(table, options=StatisticsOptions(weight="w")), plain=True)
    assert proto.datasets[0].weighted_num_examples == 3.5
    _, x, t = proto.datasets[0].features
    assert x.num_stats.common_stats.weighted_common_stats.num_missing == 0.5
    assert x.num_stats.weighted_numeric_stats.mean == 13 / 3
    assert [(v.value, v.frequency) for v in t.string_stats.weighted_string_stats.top_values] == [
        ("b", 2.5),
        ("a", 1.0),
    ]
    back = statistics_from_proto(proto)["x"].weighted
    assert isinstance(back, GivenWeighted)
    assert (back.mean, back.num_non_missing) == (13 / 3, 3.0)
    # Weights without their sum are read past, as TFDV does.
    proto.datasets[0].weighted_num_examples = 0
    assert statistics_from_proto(proto)["x"].weighted is None


def test_slices_are_data_sets_beside_that_of_all_rows() -> None:
    made = describe(pa.table({"c": ["a", "b", "b"]}), name="rows@1", slices=["c"])
    proto = statistics_to_proto(made)
    assert [(d.name, d.num_examples) for d in proto.datasets] == [("All Examples", 3), ("c=a", 1), ("c=b", 2)]
    back = statistics_from_proto(proto, name="rows@1")
    assert {k: s.n_rows for k, s in back.slices.items()} == {"c=a": 1, "c=b": 2}


def test_infinities_make_the_mean_undefined_only_where_tfdv_reads_it() -> None:
    made = describe(pa.table({"x": [1.0, math.inf, 3.0]}))
    assert math.isnan(statistics_to_proto(made, plain=True).datasets[0].features[0].num_stats.mean)
    back = statistics_from_proto(statistics_to_proto(made))["x"]
    assert (back.mean, back.num_inf, back.max) == (2.0, 1, math.inf)


def test_custom_statistics_of_every_kind() -> None:
    text = """datasets { num_examples: 2 features { path { step: "s" } custom_stats { name: "missing_value" num: 1 }
      custom_stats { name: "missing_index" rank_histogram { buckets { label: "i" sample_count: 2 } } }
      custom_stats { name: "image_format_histogram" rank_histogram { buckets { label: "png" sample_count: 3 } } }
      custom_stats { name: "note" str: "by hand" }
      custom_stats { name: "h" histogram { buckets { high_value: 1 sample_count: 2 } } }
      custom_stats { name: "nl_statistics" any {
        [type.googleapis.com/tensorflow.metadata.v0.NaturalLanguageStatistics] {
          feature_coverage: 0.5 token_statistics { int_token: 7 frequency: 2 } } } }
      custom_stats { name: "other" any { type_url: "type.googleapis.com/x.Y" value: "a" } } } }"""
    proto = read_text(LIST, text)
    made = statistics_from_proto(proto)
    custom = made["s"].custom
    assert custom["missing_value"] == 1
    assert custom["missing_index"] == {"i": 2}
    assert custom["image_format_histogram"] == [["png", 3]]
    assert custom["nl_statistics"]["token_statistics"] == [{"int_token": 7, "frequency": 2.0}]
    assert statistics_to_proto(made, plain=True) == statistics_to_proto(
        statistics_from_proto(statistics_to_proto(made, plain=True)), plain=True
    )


def test_what_holds_nothing_or_too_much_is_refused() -> None:
    with pytest.raises(UsageError, match="hold no data set"):
        statistics_from_proto(LIST())
    with pytest.raises(UsageError, match="none is of all rows: 'a', 'b'"):
        statistics_from_proto(read_text(LIST, 'datasets { name: "a" } datasets { name: "b" }'))
    with pytest.raises(UsageError, match="feature 'x' is there twice"):
        statistics_from_proto(read_text(LIST, 'datasets { features { name: "x" } features { name: "x" } }'))
    with pytest.raises(TypeError, match="DatasetFeatureStatisticsList"):
        statistics_from_proto(statistics_pb2.DatasetFeatureStatistics())


def test_nothing_can_be_merged_with_what_was_given() -> None:
    made: Statistics = statistics_from_proto(statistics_to_proto(describe(pa.table({"x": [1, 2]}))))
    with pytest.raises(UsageError) as caught:
        made.merge(made)
    assert caught.value.code == "not-mergeable"


def test_quantiles_are_read_from_the_tenths() -> None:
    made = statistics_from_proto(statistics_to_proto(describe(pa.table({"x": list(range(101))}))))["x"]
    assert (made.quantile(0.0), made.quantile(0.5), made.quantile(1.0)) == (0, 50, 100)
    found = made.quantile(0.25)
    assert isinstance(found, float)
    assert abs(found - 25) <= 2
    assert GivenStatistics("x", "INT").quantile(0.3) is None
