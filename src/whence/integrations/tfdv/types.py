"""The names of types that programs written for TFDV import from its module of this name."""

from __future__ import annotations

from typing import Any, TypeAlias

import pyarrow as pa

from whence.integrations.tfdv.feature_path import FeaturePath
from whence.integrations.tfdv.slicing_util import SliceFunction
from whence.integrations.tfdv.stats_options import PerFeatureStatsConfig

FeatureName: TypeAlias = str
FeaturePathTuple: TypeAlias = tuple[str, ...]
FeatureCross: TypeAlias = tuple[FeatureName, FeatureName]
FeatureNameStatisticsType: TypeAlias = int
VocabName: TypeAlias = str
VocabPath: TypeAlias = str
SliceKey: TypeAlias = str | None
SliceKeysList: TypeAlias = list[SliceKey]
SlicedRecordBatch: TypeAlias = tuple[SliceKey, pa.RecordBatch]
LegacyExample: TypeAlias = dict[FeatureName, Any]  # Any: an array of numpy, or None

__all__ = [
    "FeatureCross",
    "FeatureName",
    "FeatureNameStatisticsType",
    "FeaturePath",
    "FeaturePathTuple",
    "LegacyExample",
    "PerFeatureStatsConfig",
    "SliceFunction",
    "SliceKey",
    "SliceKeysList",
    "SlicedRecordBatch",
    "VocabName",
    "VocabPath",
]
