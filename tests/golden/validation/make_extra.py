"""Write `extra.json`, what the real TFDV says of `extra_cases.py`: run by a Python that has TFDV 1.16.1.

$WHENCE_TEST_TFDV tests/golden/validation/make_extra.py
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

# Any: TFDV is not installed where types are checked
pa: Any = importlib.import_module("pyarrow")
cases: Any = importlib.import_module("extra_cases")
beam: Any = importlib.import_module("apache_beam")
pipeline_options: Any = importlib.import_module("apache_beam.options.pipeline_options")
tfdv: Any = importlib.import_module("tensorflow_data_validation")
impl: Any = importlib.import_module("tensorflow_data_validation.statistics.stats_impl")
text_format: Any = importlib.import_module("google.protobuf.text_format")
schema_pb: Any = importlib.import_module("tensorflow_metadata.proto.v0.schema_pb2")
statistics_pb: Any = importlib.import_module("tensorflow_metadata.proto.v0.statistics_pb2")
generators = "tensorflow_data_validation.statistics.generators."
lift_module: Any = importlib.import_module(generators + "lift_stats_generator")
cross_module: Any = importlib.import_module(generators + "cross_feature_stats_generator")
image_module: Any = importlib.import_module(generators + "image_stats_generator")
empty_module: Any = importlib.import_module(generators + "empty_value_counter_generator")


def listed(table: Any) -> Any:
    """The table as TFDV wants it: every column a list, text as bytes."""
    arrays = []
    for column in table.columns:
        array = column.combine_chunks()
        array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
        if not pa.types.is_list(array.type):
            rows = [None if v is None else [v] for v in array.to_pylist()]
            array = pa.array(rows, pa.list_(array.type))
        if pa.types.is_string(array.type.value_type):
            array = array.cast(pa.list_(pa.binary()))
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, table.column_names)


def in_memory(table: Any, **options: Any) -> Any:
    made = impl.generate_statistics_in_memory(listed(table), tfdv.StatsOptions(**options))
    return made.datasets[0]


def piped(table: Any, **options: Any) -> Any:
    """By way of Beam: some statistics TFDV makes only there."""
    file = Path(tempfile.mkdtemp()) / "s.tfrecord"
    # A newer Beam than TFDV was written for refuses the types of its own steps.
    unchecked = pipeline_options.PipelineOptions(pipeline_type_check=False)
    with beam.Pipeline(options=unchecked) as p:
        _ = (
            p
            | beam.Create([listed(table)])
            | tfdv.GenerateStatistics(tfdv.StatsOptions(**options))
            | tfdv.WriteStatisticsToTFRecord(str(file))
        )
    return tfdv.load_statistics(str(file)).datasets[0]


def schema(text: str) -> Any:
    return text_format.Parse(text, schema_pb.Schema())


def custom(dataset: Any) -> dict[str, Any]:
    """The custom statistics by feature."""
    out: dict[str, Any] = {}
    for feature in dataset.features:
        said: dict[str, Any] = {}
        for s in feature.custom_stats:
            which = s.WhichOneof("val")
            if which == "rank_histogram":
                said[s.name] = [[b.label, b.sample_count] for b in s.rank_histogram.buckets]
            elif which == "any":
                nl = statistics_pb.NaturalLanguageStatistics()
                s.any.Unpack(nl)
                said[s.name] = language(nl)
            else:
                said[s.name] = getattr(s, which)
        if said:
            out[".".join(feature.path.step)] = said
    return out


def language(nl: Any) -> dict[str, Any]:
    names = ("feature_coverage", "avg_token_length", "min_sequence_length", "max_sequence_length")
    out: dict[str, Any] = {n: getattr(nl, n) for n in names}
    out["ranks"] = sorted([b.label, b.sample_count] for b in nl.rank_histogram.buckets)
    keys = ("frequency", "fraction_of_sequences", "per_sequence_min_frequency", "per_sequence_max_frequency")
    out["tokens"] = {
        t.string_token: {
            **{k: getattr(t, k) for k in (*keys, "per_sequence_avg_frequency")},
            "positions": [[b.low_value, b.sample_count] for b in t.positions.buckets],
        }
        for t in nl.token_statistics
    }
    return out


def lifts(table: Any, **asked: Any) -> list[Any]:
    """TFDV's lift series: column, label, rows of the label, and (value, lift, rows, both)."""
    weights = importlib.import_module("tensorflow_data_validation.utils.example_weight_map")
    step = tfdv.types.FeaturePath
    asked["y_path"] = step([asked.pop("y")])
    asked["x_paths"] = [step([x]) for x in asked.pop("x")]
    asked["example_weight_map"] = weights.ExampleWeightMap(asked.pop("weight", None))
    made = lift_module.LiftStatsGenerator(schema=None, **asked)
    dataset = piped(table, generators=[made], add_default_generators=False)
    out = []
    for cross in dataset.cross_features:
        for series in cross.categorical_cross_stats.lift.lift_series:
            kind = "weighted_" if series.WhichOneof("y_count_value") == "weighted_y_count" else ""
            out.append([".".join(cross.path_x.step), kind, *one_series(series, kind)])
    return sorted(out, key=json.dumps)


def one_series(series: Any, kind: str) -> list[Any]:
    which = series.WhichOneof("y_value")
    y: Any = getattr(series, which)
    if which == "y_bucket":
        y = [None if math.isinf(end) else end for end in (y.low_value, y.high_value)]
    y_count = getattr(series, f"{kind}y_count")
    values = [
        [
            getattr(v, v.WhichOneof("x_value")),
            v.lift,
            getattr(v, f"{kind}x_count"),
            getattr(v, f"{kind}x_and_y_count"),
        ]
        for v in series.lift_values
    ]
    return [y, y_count, values]


def main() -> None:
    given = cases.lift()
    rows, y, x = given["rows"], given["y"], given["x"]
    cross = in_memory(
        cases.numbers(), generators=[cross_module.CrossFeatureStatsGenerator(sample_rate=1.1)]
    ).cross_features
    sized = image_module.ImageStatsGenerator(enable_size_stats=True)
    pictures = cases.meanings().select(["pictures"])
    out = {
        "lift": lifts(rows, y=y, x=x),
        "lift_weighted": lifts(rows, y=y, x=x, weight="w"),
        "lift_buckets": lifts(rows, y="fare", x=["pay"], y_boundaries=given["fare_edges"]),
        "lift_few": lifts(rows, y=y, x=["zone"], min_x_count=24, top_k_per_y=1, bottom_k_per_y=1),
        "cross": [
            [
                c.path_x.step[0],
                c.path_y.step[0],
                c.count,
                c.num_cross_stats.covariance,
                c.num_cross_stats.correlation,
            ]
            for c in cross
        ],
        "sparse": custom(in_memory(cases.sparse(), schema=schema(cases.SPARSE_SCHEMA))),
        "meanings": custom(in_memory(cases.meanings(), enable_semantic_domain_stats=True)),
        "image_sizes": custom(in_memory(pictures, generators=[sized])),
        "tokens": custom(piped(cases.tokens(), schema=schema(cases.TOKENS_SCHEMA))),
        "empty": custom(in_memory(cases.empty(), generators=[empty_module.EmptyValueCounterGenerator()])),
    }
    lines = [f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in out.items()]
    (HERE / "extra.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
