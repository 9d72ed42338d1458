"""Optional statistics, judged examples and confusion, beside what the real TFDV says of the same."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from whence import errors
from whence.integrations import tfdv
from whence.integrations.tfdv.asked import load_vocabulary
from whence.integrations.tfdv.example_rows import example_class
from whence.integrations.tfdv.tfrecord import write_records

GOLDEN = Path(__file__).parents[4] / "tests" / "golden" / "tfdv"
RIDES = str(GOLDEN / "rides.csv")
VOCABULARY = {"v": str(GOLDEN / "words.txt")}


def schema_of(text: str) -> Any:
    return tfdv.read_text(tfdv.schema_pb2.Schema, text)


def golden_schema(name: str) -> Any:
    return tfdv.load_schema_text(str(GOLDEN / f"{name}.schema.pbtxt"))


def theirs(name: str) -> Any:
    return tfdv.load_stats_text(str(GOLDEN / f"{name}.pbtxt")).datasets[0]


def ours(**options: Any) -> Any:
    made = tfdv.generate_statistics_from_csv(RIDES, stats_options=tfdv.StatsOptions(**options))
    return made.datasets[0]


def numbers(lift: Any) -> list[Any]:
    """A lift as values; a float within its last digits."""
    return [
        (
            (s.y_int, s.y_string, s.y_count, s.weighted_y_count),
            [
                (
                    v.x_int,
                    v.x_string,
                    v.x_count,
                    v.x_and_y_count,
                    v.weighted_x_count,
                    v.weighted_x_and_y_count,
                )
                for v in s.lift_values
            ],
            [pytest.approx(v.lift, rel=1e-12) for v in s.lift_values],
        )
        for s in lift.lift_series
    ]


def crosses(dataset: Any) -> dict[Any, Any]:
    out = {
        (tuple(c.path_x.step), tuple(c.path_y.step), c.count): numbers(c.categorical_cross_stats.lift)
        for c in dataset.cross_features
    }
    assert len(out) == len(dataset.cross_features)
    return out


def custom(dataset: Any) -> dict[Any, Any]:
    """Custom statistics by feature, in their order by name: Lift stands twice when there are weights."""
    out: dict[Any, Any] = {}
    for f in dataset.features:
        for stat in f.custom_stats:
            value: Any = getattr(stat, stat.WhichOneof("val"))
            if stat.WhichOneof("val") == "rank_histogram":
                value = [(b.label, pytest.approx(b.sample_count, rel=1e-12)) for b in value.buckets]
            out.setdefault((tuple(f.path.step), stat.name), []).append(value)
    return out


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "weight"), [("lift", None), ("lift_weighted", "w")])
def test_the_lift_for_a_label_is_tfdvs(name: str, weight: str | None) -> None:
    mine = ours(schema=golden_schema("rides"), label_feature="tip", weight_feature=weight)
    assert len(crosses(mine)) == 2
    assert crosses(mine) == crosses(theirs(name))
    assert custom(mine) == custom(theirs(name))


def test_meanings_of_values_are_tfdvs() -> None:
    mine = ours(enable_semantic_domain_stats=True)
    assert custom(mine) == custom(theirs("meanings"))
    assert "time_domain {string_format: '%Y-%m-%d'}" in custom(mine)[("day",), "domain_info"]
    schema = tfdv.infer_schema(tfdv.statistics_pb2.DatasetFeatureStatisticsList(datasets=[mine]))
    assert tfdv.get_feature(schema, "day").time_domain.string_format == "%Y-%m-%d"


def test_statistics_of_a_language_are_tfdvs() -> None:
    mine, golden = (
        {
            tuple(f.path.step): nl_statistics(f)
            for f in dataset.features
            if any(s.name == "nl_statistics" for s in f.custom_stats)
        }
        for dataset in (ours(schema=golden_schema("language"), vocab_paths=VOCABULARY), theirs("language"))
    )
    assert sorted(mine) == [("pay",), ("zone",)]
    assert mine == golden


def nl_statistics(feature: Any) -> Any:
    out = tfdv.statistics_pb2.NaturalLanguageStatistics()
    tfdv.utils.stats_util.get_custom_stats(feature, "nl_statistics").Unpack(out)
    return out


def test_what_was_asked_and_cannot_be_is_said() -> None:
    rides = golden_schema("rides")
    with pytest.raises(ValueError, match="label_feature needs a schema"):
        ours(label_feature="tip")
    with pytest.raises(ValueError, match="'fare' is no category by the schema"):
        ours(label_feature="fare", schema=rides)
    with pytest.raises(ValueError, match="column 'tip' not found") as caught:
        ours(label_feature="tip", schema=rides, feature_allowlist=["pay", "zone"])
    assert isinstance(caught.value, errors.NotFoundError)
    with pytest.raises(ValueError, match="vocabulary 'v' not found") as absent:
        ours(schema=golden_schema("language"))
    assert "vocab_paths" in str(absent.value)
    with pytest.raises(ValueError, match="nowhere"):
        ours(schema=golden_schema("language"), vocab_paths={"v": "nowhere.txt"})


def test_the_lift_of_a_data_frame_and_of_slices() -> None:
    rows = pd.DataFrame({"pay": ["cash", "card", "card", "card"], "tip": ["0", "0", "1", "1"]})
    schema = schema_of('feature { name: "pay" type: BYTES } feature { name: "tip" type: BYTES }')
    made = tfdv.generate_statistics_from_dataframe(
        rows, tfdv.StatsOptions(schema=schema, label_feature="tip")
    )
    (cross,) = made.datasets[0].cross_features
    said = {
        (s.y_string, v.x_string): v.lift
        for s in cross.categorical_cross_stats.lift.lift_series
        for v in s.lift_values
    }
    assert said["1", "card"] == pytest.approx(4 / 3)
    options = tfdv.StatsOptions(
        schema=golden_schema("rides"),
        label_feature="tip",
        slice_functions=[tfdv.get_feature_value_slicer({"zone": [1]})],
    )
    whole, part = tfdv.generate_statistics_from_csv(RIDES, stats_options=options).datasets
    assert (whole.name, part.name) == ("All Examples", "zone_1")
    assert len(part.cross_features) == len(whole.cross_features) == 2


def test_vocabularies_are_lines_or_records(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text(" a \nb\r\n\nc")
    assert load_vocabulary(str(tmp_path / "v.txt")) == ("a", "b", "", "c")
    write_records(tmp_path / "v", [b"x", b"y"])
    (tmp_path / "v.tfrecord.gz").write_bytes(gzip.compress((tmp_path / "v").read_bytes()))
    assert load_vocabulary(str(tmp_path / "v.tfrecord.gz")) == ("x", "y")
    (tmp_path / "bad.txt").write_bytes(b"\xff\n")
    with pytest.raises(ValueError, match="not UTF-8") as caught:
        load_vocabulary(str(tmp_path / "bad.txt"))
    assert caught.value.code == "bad-vocabulary"  # type: ignore[attr-defined]


# --- examples -----------------------------------------------------------------------------------


def example(**features: Sequence[Any]) -> bytes:
    made = example_class()()
    for name, values in features.items():
        feature = made.features.feature[name]
        kind = {bytes: feature.bytes_list, float: feature.float_list, int: feature.int64_list}
        if values:
            kind[type(values[0])].value.extend(values)
    return bytes(made.SerializeToString())


def test_examples_are_judged_as_tfdv_judges_them(tmp_path: Path) -> None:
    """The reasons and their numbers are those of TFDV 1.16.1 for these examples."""
    rows = [
        example(a=[1], t=[b"x"], f=[1.0]),
        example(a=[9], t=[b"y"], f=[2.0]),
        example(a=[1, 2], t=[b"x", b"z"], f=[0.5]),
        example(t=[b"q"], f=[99.0]),
        example(a=[1], t=[b"x"], f=[1.0], new=[3]),
        example(a=[1], t=[], f=[1.0]),
    ]
    file, out = tmp_path / "rows.tfrecord", tmp_path / "out.tfrecord"
    write_records(file, rows * 2)
    options = tfdv.StatsOptions(schema=golden_schema("examples"))
    found, sampled = tfdv.validate_examples_in_tfrecord(
        str(file), options, output_path=str(out), num_sampled_examples=1
    )
    assert {d.name: d.num_examples for d in found.datasets} == {
        "a_FEATURE_TYPE_HIGH_NUMBER_VALUES": 2,
        "a_INT_TYPE_BIG_INT": 2,
        "a_SCHEMA_MISSING_COLUMN": 2,
        "f_FLOAT_TYPE_BIG_FLOAT": 2,
        "new_SCHEMA_NEW_COLUMN": 2,
        "t_ENUM_TYPE_UNEXPECTED_STRING_VALUES": 4,
    }
    assert {k: len(v) for k, v in sampled.items()} == dict.fromkeys(sampled, 1)
    assert sampled["a_INT_TYPE_BIG_INT"][0].SerializeToString(
        deterministic=True
    ) == example_class().FromString(rows[1]).SerializeToString(deterministic=True)
    assert tfdv.load_statistics(str(out)) == found
    assert tfdv.validate_examples_in_tfrecord(str(file), options) == found
    few = tfdv.StatsOptions(schema=golden_schema("examples"), feature_allowlist=["f", "a"])
    names = [d.name for d in tfdv.validate_examples_in_tfrecord(str(file), few).datasets]
    assert not any(n.startswith("new_") for n in names)
    with pytest.raises(ValueError, match="no schema"):
        tfdv.validate_examples_in_tfrecord(str(file), tfdv.StatsOptions())
    with pytest.raises(NotImplementedError, match="pipeline_options"):
        tfdv.validate_examples_in_tfrecord(str(file), options, pipeline_options=object())


# --- confusion ----------------------------------------------------------------------------------


def test_values_side_by_side_are_counted() -> None:
    """The values and counts that TFDV documents for its confusion analysis."""
    base = ["foo", "foo", "foo", "foo", "bar", "bar", "baz", "zip"]
    test = ["foo", "zim", "foo", "bar", "bar", "foo", "baz", None]
    ids = list(range(8))
    found = tfdv.detect_feature_skew(
        pa.table({"id": ids, "v": base, "same": base}),
        pa.table({"id": ids, "v": [None if t is None else [t] for t in test], "same": base}),
        ["id"],
        confusion_configs=[
            tfdv.ConfusionConfig("v"),
            tfdv.ConfusionConfig("same"),
            tfdv.ConfusionConfig("no"),
        ],
    ).confusion
    assert {(c.base, c.test): c.count for c in found if c.feature_name == "v"} == {
        (b"foo", b"foo"): 2,
        (b"foo", b"zim"): 1,
        (b"foo", b"bar"): 1,
        (b"bar", b"bar"): 1,
        (b"bar", b"foo"): 1,
        (b"baz", b"baz"): 1,
        (b"zip", b"__MISSING_VALUE__"): 1,
    }
    assert [(c.base, c.count) for c in found if c.feature_name == "no"] == [(b"__MISSING_VALUE__", 8)]
    frames = tfdv.get_confusion_count_dataframes(found)
    assert sorted(frames) == ["no", "same", "v"]
    assert frames["v"].to_numpy().tolist() == [
        [b"bar", b"foo", 1, 2, 3],
        [b"foo", b"bar", 1, 4, 2],
        [b"foo", b"zim", 1, 4, 1],
        [b"zip", b"__MISSING_VALUE__", 1, 1, 1],
    ]
    assert list(frames["same"].columns) == [
        "Base value",
        "Test value",
        "Pair count",
        "Base count",
        "Test count",
    ]
    assert len(frames["same"]) == 0


@pytest.mark.parametrize(("value", "words"), [(1, "counted of text"), (["a", "b"], "2 values of 'v'")])
def test_confusion_is_of_single_texts(value: Any, words: str) -> None:
    rows = pa.table({"id": [1], "v": [value]})
    with pytest.raises(ValueError, match=words) as caught:
        tfdv.detect_feature_skew(rows, rows, ["id"], confusion_configs=[tfdv.ConfusionConfig("v")])
    assert caught.value.code == "bad-confusion"  # type: ignore[attr-defined]


# --- paths --------------------------------------------------------------------------------------


def test_functions_are_found_under_tfdvs_paths() -> None:
    spoken = """
from whence.integrations.tfdv.utils import schema_util, slicing_util, stats_util
from whence.integrations.tfdv.statistics.stats_options import StatsOptions
from whence.integrations.tfdv.types import FeatureName, FeaturePath
import whence.integrations.tfdv.utils.display_util
"""
    names: dict[str, Any] = {}
    exec(spoken, names)
    assert names["slicing_util"].get_feature_value_slicer is tfdv.get_feature_value_slicer
    assert names["schema_util"].get_feature is tfdv.get_feature
    assert names["StatsOptions"] is tfdv.StatsOptions
    assert names["FeaturePath"] is tfdv.types.FeaturePath is tfdv.FeaturePath
    assert tfdv.utils.display_util.display_schema is tfdv.display_schema
    feature = theirs("meanings").features[0]
    with pytest.raises(ValueError, match="custom statistic 'time_match_ratios' not found") as caught:
        tfdv.utils.stats_util.get_custom_stats(feature, "time_match_ratios")
    assert caught.value.near == ["time_match_ratio"]  # type: ignore[attr-defined]
    assert tfdv.utils.stats_util.get_custom_stats(feature, "time_match_ratio") == 1.0
