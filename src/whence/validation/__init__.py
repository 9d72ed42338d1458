"""Validation: statistics of data, the schema they must satisfy, and the anomalies where they do not."""

from whence._base.refs import row_key
from whence.validation.anomalies import validate_statistics
from whence.validation.compare import Distance, compare_statistics
from whence.validation.features import FeatureStatistics
from whence.validation.infer import Outlier, infer_schema, learn_ranges, list_outliers, robust_range
from whence.validation.report import Report, update_schema
from whence.validation.rows import RowCheck
from whence.validation.schema import Schema, SchemaChange
from whence.validation.statistics import Statistics, describe
from whence.validation.store import SchemaHandle, Validation
from whence.validation.types import (
    Anomaly,
    BoolDomain,
    Comparator,
    DatasetConstraints,
    Feature,
    FloatDomain,
    IntDomain,
    Presence,
    Rule,
    StringDomain,
    TimeDomain,
    Unique,
    ValueCount,
)

__all__ = [
    "Anomaly",
    "BoolDomain",
    "Comparator",
    "DatasetConstraints",
    "Distance",
    "Feature",
    "FeatureStatistics",
    "FloatDomain",
    "IntDomain",
    "Outlier",
    "Presence",
    "Report",
    "RowCheck",
    "Rule",
    "Schema",
    "SchemaChange",
    "SchemaHandle",
    "Statistics",
    "StringDomain",
    "TimeDomain",
    "Unique",
    "Validation",
    "ValueCount",
    "compare_statistics",
    "describe",
    "infer_schema",
    "learn_ranges",
    "list_outliers",
    "robust_range",
    "row_key",
    "update_schema",
    "validate_statistics",
]
