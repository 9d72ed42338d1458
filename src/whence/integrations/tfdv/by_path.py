"""The functions under the paths that programs import them from: ``tfdv.utils.slicing_util`` and its like.

TFDV's modules beside its face are made here of what the face has, as modules that are no files: a notebook that
says ``from tensorflow_data_validation.utils import schema_util`` changes the first word of the path.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from whence._version import __version__
from whence.integrations.tfdv import (
    confusion,
    display,
    examples,
    files,
    frames,
    generate,
    schema_util,
    views,
)
from whence.integrations.tfdv import skew as detector
from whence.integrations.tfdv import stats_options as options
from whence.integrations.tfdv import validate as validation
from whence.integrations.tfdv.absent import ABSENT, refuse
from whence.integrations.tfdv.feature_path import FeaturePath
from whence.integrations.tfdv.generators import CombinerStatsGenerator
from whence.integrations.tfdv.slicing_util import config_slices, get_feature_value_slicer
from whence.integrations.tfdv.statistics_in import DEFAULT_SLICE
from whence.integrations.tfdv.update import update_schema

_ROOM: Final = "whence.integrations.tfdv"
_FRAMES: Final = {
    "get_anomalies_dataframe": frames.get_anomalies_dataframe,
    "get_confusion_count_dataframes": confusion.get_confusion_count_dataframes,
    "get_drift_skew_dataframe": frames.get_drift_skew_dataframe,
    "get_match_stats_dataframe": detector.get_match_stats_dataframe,
    "get_schema_dataframe": frames.get_schema_dataframe,
    "get_skew_result_dataframe": detector.get_skew_result_dataframe,
}
_MODULES: Final[Mapping[str, Mapping[str, Any]]] = {
    "api.validation_api": {
        "infer_schema": validation.infer_schema,
        "update_schema": update_schema,
        "validate_corresponding_slices": validation.validate_corresponding_slices,
        "validate_statistics": validation.validate_statistics,
    },
    "constants": {"DEFAULT_SLICE_KEY": DEFAULT_SLICE},
    "skew.feature_skew_detector": {"ConfusionConfig": confusion.ConfusionConfig},
    "statistics.generators.stats_generator": {"CombinerStatsGenerator": CombinerStatsGenerator},
    "statistics.stats_impl": {"generate_statistics_in_memory": generate.generate_statistics_in_memory},
    "statistics.stats_options": {"StatsOptions": options.StatsOptions},
    "utils.anomalies_util": {
        "load_anomalies_text": files.load_anomalies_text,
        "write_anomalies_text": files.write_anomalies_text,
    },
    "utils.display_util": {
        "compare_slices": display.compare_slices,
        "display_anomalies": display.display_anomalies,
        "display_schema": display.display_schema,
        "get_statistics_html": display.get_statistics_html,
        "visualize_statistics": display.visualize_statistics,
        **_FRAMES,
    },
    "utils.path": {"FeaturePath": FeaturePath},
    "utils.schema_util": {
        "generate_dummy_schema_with_paths": schema_util.generate_dummy_schema_with_paths,
        "get_all_leaf_features": schema_util.leaf_features,
        "get_domain": schema_util.get_domain,
        "get_feature": schema_util.get_feature,
        "load_schema_text": files.load_schema_text,
        "look_up_feature": schema_util.look_up_feature,
        "set_domain": schema_util.set_domain,
        "write_schema_text": files.write_schema_text,
    },
    "utils.slicing_util": {
        "convert_slicing_config_to_slice_functions_and_sqls": config_slices,
        "get_feature_value_slicer": get_feature_value_slicer,
    },
    "utils.stats_gen_lib": {
        "generate_statistics_from_csv": generate.generate_statistics_from_csv,
        "generate_statistics_from_dataframe": generate.generate_statistics_from_dataframe,
        "generate_statistics_from_tfrecord": generate.generate_statistics_from_tfrecord,
    },
    "utils.stats_util": {
        "DOMAIN_INFO": "domain_info",
        "CrossFeatureView": views.CrossFeatureView,
        "DatasetListView": views.DatasetListView,
        "DatasetView": views.DatasetView,
        "FeatureView": views.FeatureView,
        "get_custom_stats": views.get_custom_stats,
        "get_feature_stats": views.get_feature_stats,
        "get_slice_stats": views.get_slice_stats,
        "load_sharded_statistics": files.load_sharded_statistics,
        "load_statistics": files.load_statistics,
        "load_stats_binary": files.load_stats_binary,
        "load_stats_text": files.load_stats_text,
        "load_stats_tfrecord": files.load_statistics,
        "write_stats_text": files.write_stats_text,
    },
    "version": {"__version__": __version__},
    "utils.validation_lib": {
        "validate_examples_in_csv": examples.validate_examples_in_csv,
        "validate_examples_in_tfrecord": examples.validate_examples_in_tfrecord,
    },
}


def _module(path: str) -> ModuleType:
    """The module of a path below the room; it can be imported from now on."""
    name = f"{_ROOM}.{path}"
    if name not in sys.modules:
        made = ModuleType(name, f"TFDV's ``{path}``, of what whence has.")
        vars(made).update(_MODULES.get(path, {}), __getattr__=refuse(path))
        if not any(path == p for p in (*_MODULES, *ABSENT)):
            made.__path__ = []  # a package, which holds the modules below
        sys.modules[name] = made
        package, _, last = path.rpartition(".")
        if package:
            setattr(_module(package), last, made)
    return sys.modules[name]


for _path in (*_MODULES, *filter(None, ABSENT)):
    _module(_path)

api: Final = _module("api")
coders: Final = _module("coders")
constants: Final = _module("constants")
statistics: Final = _module("statistics")
utils: Final = _module("utils")
version: Final = _module("version")
