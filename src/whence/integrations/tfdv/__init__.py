"""TensorFlow Data Validation's functions by their names and arguments, on its protos, without TensorFlow and Beam.

A notebook written for TFDV changes its import line::

    import whence.integrations.tfdv as tfdv

Between functions go the messages of TensorFlow Metadata (of the installed package, or made here); the schema
is the mutable proto. `schema_from_proto` and `statistics_from_proto` bring them into whence, the other two out.
"""

from whence._version import __version__
from whence.integrations.tfdv import refusals, types  # noqa: F401 - refusals first: it says what is not installed
from whence.integrations.tfdv.absent import __getattr__  # noqa: F401 - what is said of names that are not here
from whence.integrations.tfdv.anomalies_out import report_to_anomalies
from whence.integrations.tfdv.by_path import (
    api,
    coders,
    constants,
    statistics,
    utils,
    version,
)
from whence.integrations.tfdv.confusion import (
    ConfusionConfig,
    ConfusionCount,
    get_confusion_count_dataframes,
)
from whence.integrations.tfdv.display import (
    compare_slices,
    display_anomalies,
    display_schema,
    get_statistics_html,
    visualize_statistics,
)
from whence.integrations.tfdv.examples import validate_examples_in_csv, validate_examples_in_tfrecord
from whence.integrations.tfdv.feature_path import FeaturePath
from whence.integrations.tfdv.files import (
    load_anomalies_text,
    load_schema_text,
    load_sharded_statistics,
    load_statistics,
    load_stats_binary,
    load_stats_text,
    write_anomalies_text,
    write_schema_text,
    write_stats_text,
)
from whence.integrations.tfdv.frames import (
    get_anomalies_dataframe,
    get_drift_skew_dataframe,
    get_schema_dataframe,
)
from whence.integrations.tfdv.generate import (
    generate_statistics_from_csv,
    generate_statistics_from_dataframe,
    generate_statistics_from_tfrecord,
)
from whence.integrations.tfdv.generators import CombinerStatsGenerator
from whence.integrations.tfdv.messages import anomalies_pb2, path_pb2, schema_pb2, statistics_pb2
from whence.integrations.tfdv.schema_in import schema_from_proto, schema_from_text
from whence.integrations.tfdv.schema_out import schema_to_proto
from whence.integrations.tfdv.schema_util import (
    generate_dummy_schema_with_paths,
    get_domain,
    get_feature,
    set_domain,
)
from whence.integrations.tfdv.skew import (
    FeatureSkew,
    MatchStats,
    SkewPair,
    SkewResult,
    detect_feature_skew,
    get_match_stats_dataframe,
    get_skew_result_dataframe,
)
from whence.integrations.tfdv.slicing_util import get_feature_value_slicer
from whence.integrations.tfdv.slicing_util import (
    get_feature_value_slicer as experimental_get_feature_value_slicer,
)
from whence.integrations.tfdv.statistics_in import statistics_from_proto
from whence.integrations.tfdv.statistics_out import statistics_to_proto
from whence.integrations.tfdv.stats_options import PerFeatureStatsConfig, StatsOptions
from whence.integrations.tfdv.text import read_binary, read_text, to_text
from whence.integrations.tfdv.update import update_schema
from whence.integrations.tfdv.validate import (
    infer_schema,
    validate_corresponding_slices,
    validate_statistics,
)
from whence.integrations.tfdv.views import (
    CrossFeatureView,
    DatasetListView,
    DatasetView,
    FeatureView,
    get_feature_stats,
    get_slice_stats,
)

__all__ = [
    "CombinerStatsGenerator",
    "ConfusionConfig",
    "ConfusionCount",
    "CrossFeatureView",
    "DatasetListView",
    "DatasetView",
    "FeaturePath",
    "FeatureSkew",
    "FeatureView",
    "MatchStats",
    "PerFeatureStatsConfig",
    "SkewPair",
    "SkewResult",
    "StatsOptions",
    "__version__",
    "anomalies_pb2",
    "api",
    "coders",
    "compare_slices",
    "constants",
    "detect_feature_skew",
    "display_anomalies",
    "display_schema",
    "experimental_get_feature_value_slicer",
    "generate_dummy_schema_with_paths",
    "generate_statistics_from_csv",
    "generate_statistics_from_dataframe",
    "generate_statistics_from_tfrecord",
    "get_anomalies_dataframe",
    "get_confusion_count_dataframes",
    "get_domain",
    "get_drift_skew_dataframe",
    "get_feature",
    "get_feature_stats",
    "get_feature_value_slicer",
    "get_match_stats_dataframe",
    "get_schema_dataframe",
    "get_skew_result_dataframe",
    "get_slice_stats",
    "get_statistics_html",
    "infer_schema",
    "load_anomalies_text",
    "load_schema_text",
    "load_sharded_statistics",
    "load_statistics",
    "load_stats_binary",
    "load_stats_text",
    "path_pb2",
    "read_binary",
    "read_text",
    "report_to_anomalies",
    "schema_from_proto",
    "schema_from_text",
    "schema_pb2",
    "schema_to_proto",
    "set_domain",
    "statistics",
    "statistics_from_proto",
    "statistics_pb2",
    "statistics_to_proto",
    "to_text",
    "types",
    "update_schema",
    "utils",
    "validate_corresponding_slices",
    "validate_examples_in_csv",
    "validate_examples_in_tfrecord",
    "validate_statistics",
    "version",
    "visualize_statistics",
    "write_anomalies_text",
    "write_schema_text",
    "write_stats_text",
]
