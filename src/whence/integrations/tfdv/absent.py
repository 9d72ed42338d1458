"""The names of TFDV that are not here, each with what to write in its place."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from whence.integrations.tfdv.refusals import UnsupportedError

_SKEW: Final = "tfdv.detect_feature_skew(base, test, identifier_features, …) over tables"
_WRITE: Final = (
    "output_path= of tfdv.generate_statistics_from_csv or _from_tfrecord writes it, load_statistics reads it"
)
_BINARY: Final = "Path(path).write_bytes(statistics.SerializeToString()), which load_stats_binary reads"
_EXAMPLES: Final = "tfdv.validate_examples_in_csv or tfdv.validate_examples_in_tfrecord"
_READS: Final = "tfdv.generate_statistics_from_csv reads the file itself"
_COMBINER: Final = "subclass tfdv.CombinerStatsGenerator"
_RESULT: Final = "tfdv.detect_feature_skew(…)"
_SINKS: Final = (
    "the result of tfdv.detect_feature_skew is in memory; tfdv.get_skew_result_dataframe tables it"
)
_SHARDS: Final = "StatsOptions(experimental_result_partitions=n) with output_path= writes n files, tfdv.load_sharded_statistics reads them"
_ROOM: Final = "whence.integrations.tfdv"

ABSENT: Final[Mapping[str, Mapping[str, str]]] = {
    "": {
        "DetectFeatureSkew": _SKEW,
        "GenerateStatistics": "tfdv.generate_statistics_from_csv, _from_tfrecord or _from_dataframe(…, stats_options=…);"
        " of record batches tfdv.statistics.stats_impl.generate_statistics_in_memory(batches, options)",
        "MergeDatasetFeatureStatisticsList": "tfdv.load_sharded_statistics(input_paths=[…]).proto() for shards of"
        " features; statistics of other rows are merged before they are protos: whence.validation.Statistics.merge",
        "TransformStatsGenerator": _COMBINER,
        "WriteStatisticsToBinaryFile": _BINARY,
        "WriteStatisticsToRecordsAndBinaryFile": _BINARY,
        "WriteStatisticsToTFRecord": _WRITE,
        "default_sharded_output_suffix": _SHARDS,
        "default_sharded_output_supported": _SHARDS,
    },
    "api.stats_api": {},
    "api.validation_api": {
        "DetectFeatureSkew": _SKEW,
        "IdentifyAnomalousExamples": _EXAMPLES,
        "WriteFeatureSkewResultsToTFRecord": _SINKS,
        "WriteSkewPairsToTFRecord": _SINKS,
        "custom_validate_statistics": "Schema.check(name, sql) of whence.validation takes SQL over the rows",
        "validate_instance": "tfdv.validate_statistics(generate_statistics_in_memory(batch, options), options.schema)",
        "validate_statistics_internal": "tfdv.validate_statistics",
    },
    "api.validation_options": {
        "ValidationOptions": "tfdv.validate_statistics(…, environment=…, previous_statistics=…, serving_statistics=…)",
    },
    "coders.csv_decoder": {"DecodeCSV": _READS},
    "skew.feature_skew_detector": {
        "DetectFeatureSkewImpl": _SKEW,
        **dict.fromkeys(
            ["SKEW_RESULTS_KEY", "skew_results_iterator", "skew_results_sink"], f"{_RESULT}.features"
        ),
        **dict.fromkeys(["SKEW_PAIRS_KEY", "skew_pair_iterator", "skew_pair_sink"], f"{_RESULT}.pairs"),
        **dict.fromkeys(["MATCH_STATS_KEY", "match_stats_iterator", "match_stats_sink"], f"{_RESULT}.match"),
        **dict.fromkeys(
            ["CONFUSION_KEY", "confusion_count_iterator", "confusion_count_sink"], f"{_RESULT}.confusion"
        ),
    },
    "skew.protos.feature_skew_results_pb2": {
        n: f"tfdv.{n}" for n in ("ConfusionCount", "FeatureSkew", "MatchStats", "SkewPair")
    },
    "statistics.generators.stats_generator": {
        "CombinerFeatureStatsGenerator": _COMBINER,
        "TransformStatsGenerator": _COMBINER,
    },
    "statistics.stats_impl": {"GenerateStatisticsImpl": "generate_statistics_in_memory of this module"},
    "utils.anomalies_util": {
        "get_anomalies_slicer": _EXAMPLES,
        "load_anomalies_binary": "tfdv.read_binary(tfdv.anomalies_pb2.Anomalies, Path(path).read_bytes())",
        "remove_anomaly_types": "severity overrides of the schema, or del anomalies.anomaly_info[name]",
    },
    "utils.artifacts_io_impl": dict.fromkeys(
        ["StatisticsIOProvider", "get_default_columnar_provider", "get_io_provider"],
        "tfdv.load_statistics and tfdv.load_sharded_statistics read TFRecord files",
    ),
    "utils.display_util": {
        "get_natural_language_statistics_dataframes": "tfdv.utils.stats_util.get_custom_stats(feature,"
        " 'nl_statistics').Unpack(tfdv.statistics_pb2.NaturalLanguageStatistics())",
    },
    "utils.io_util": {
        "read_file_to_string": "Path(path).read_text()",
        "write_string_to_file": "Path(path).write_text(text)",
    },
    "utils.schema_util": dict.fromkeys(
        [
            "get_bytes_features",
            "get_categorical_features",
            "get_categorical_numeric_feature_types",
            "get_multivalent_features",
            "is_categorical_feature",
        ],
        "tfdv.utils.schema_util.get_all_leaf_features(schema) gives each path and feature",
    ),
    "utils.slicing_util": {
        "default_slicer": "all rows are always described, under tfdv.constants.DEFAULT_SLICE_KEY",
        "GenerateSlicesSqlDoFn": "StatsOptions(experimental_slice_sqls=[…])",
        "format_slice_sql_query": "StatsOptions(experimental_slice_sqls=[…])",
        "generate_slices": "StatsOptions(experimental_slice_functions=[…])",
    },
    "utils.stats_gen_lib": {"get_csv_header": _READS},
    "utils.stats_util": {
        "get_feature_type": "the type of a feature of the statistics",
        "make_dataset_feature_stats_proto": "tfdv.statistics_pb2.DatasetFeatureStatistics(…)",
    },
    "utils.vocab_util": {"load_vocab": "StatsOptions(vocab_paths={name: path}) reads it"},
}
"""By module, ``""`` being the face: what can be said of single names."""


def refuse(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module: what it says of names that are not there.

    Args:
        module: Its path below this room; ``""`` is the face.

    Returns:
        A function that raises `UnsupportedError` for a name of TFDV that has something in its place here, and
        `AttributeError` with near names for any other.

    Example:
        >>> refuse("coders.csv_decoder")("DecodeCSV")
        Traceback (most recent call last):
        ...
        whence.integrations.tfdv.refusals.UnsupportedError: tfdv.coders.csv_decoder.DecodeCSV is not offered ...
    """

    def said(name: str) -> Any:
        full = f"{module}.{name}".removeprefix(".")
        hint = ABSENT.get(module, {}).get(name) or ABSENT[""].get(name)
        if hint is not None:
            raise UnsupportedError(f"tfdv.{full} is not offered", hint=hint)
        room = sys.modules.get(f"{_ROOM}.{module}".removesuffix("."))
        near = difflib.get_close_matches(name, [n for n in vars(room or object) if n[0] != "_"])
        known = f"; near: {', '.join(near)}" if near else ""
        raise AttributeError(f"tfdv.{full} is not here{known}")

    return said


__getattr__ = refuse("")
