"""Validation: statistics of data, the schema they must satisfy, and the anomalies where they do not."""

from typing import TYPE_CHECKING

from whence.validation.later import __dir__, __getattr__  # noqa: F401 - what makes names load later

if TYPE_CHECKING:  # loaded when first used, see `later`
    from whence._base.refs import row_key
    from whence.validation.anomalies import validate_statistics
    from whence.validation.blame import AnomalyBlame
    from whence.validation.compare import Distance, compare_statistics
    from whence.validation.csv import CsvFormat
    from whence.validation.defaults import Filled, apply_defaults
    from whence.validation.describe import describe
    from whence.validation.extra import (
        Correlation,
        EmptyValues,
        Lift,
        Meanings,
        MutualInformation,
        SparseFeatures,
        TokenStatistics,
        WeightedFeatures,
        quantile_edges,
    )
    from whence.validation.extras import Extra, register_extra
    from whence.validation.features import FeatureStatistics
    from whence.validation.incident import Incident
    from whence.validation.incidents import Incidents
    from whence.validation.infer import Outlier, infer_schema, learn_ranges, list_outliers, robust_range
    from whence.validation.kept_schemas import SchemaHandle
    from whence.validation.learn import Thresholds, learn_thresholds
    from whence.validation.learned import Learned
    from whence.validation.options import Slice, StatisticsOptions
    from whence.validation.paths import path_steps, path_text
    from whence.validation.plan import Plan
    from whence.validation.report import Report
    from whence.validation.rows import RowCheck
    from whence.validation.rowtests import Reason
    from whence.validation.schema import Schema, SchemaChange
    from whence.validation.skew import FeatureSkew, SkewExample, SkewReport
    from whence.validation.sources import describe_file
    from whence.validation.statistics import Sample, Statistics
    from whence.validation.store import Validation
    from whence.validation.types import (
        Anomaly,
        BoolDomain,
        Check,
        Comparator,
        DatasetConstraints,
        Expectation,
        Feature,
        FloatDomain,
        FractionBounds,
        Freshness,
        ImageDomain,
        IntDomain,
        NaturalLanguageDomain,
        Presence,
        Rule,
        Shape,
        SparseFeature,
        StringDomain,
        StructDomain,
        TimeDomain,
        TimeOfDayDomain,
        Unique,
        UrlDomain,
        ValueCount,
        WeightedFeature,
    )
    from whence.validation.update import update_schema
    from whence.validation.view import FeatureView, Level, WeightedView
    from whence.validation.yaml import schema_from_yaml, schema_to_yaml

__all__ = [
    "Anomaly",
    "AnomalyBlame",
    "BoolDomain",
    "Check",
    "Comparator",
    "Correlation",
    "CsvFormat",
    "DatasetConstraints",
    "Distance",
    "EmptyValues",
    "Expectation",
    "Extra",
    "Feature",
    "FeatureSkew",
    "FeatureStatistics",
    "FeatureView",
    "Filled",
    "FloatDomain",
    "FractionBounds",
    "Freshness",
    "ImageDomain",
    "Incident",
    "Incidents",
    "IntDomain",
    "Learned",
    "Level",
    "Lift",
    "Meanings",
    "MutualInformation",
    "NaturalLanguageDomain",
    "Outlier",
    "Plan",
    "Presence",
    "Reason",
    "Report",
    "RowCheck",
    "Rule",
    "Sample",
    "Schema",
    "SchemaChange",
    "SchemaHandle",
    "Shape",
    "SkewExample",
    "SkewReport",
    "Slice",
    "SparseFeature",
    "SparseFeatures",
    "Statistics",
    "StatisticsOptions",
    "StringDomain",
    "StructDomain",
    "Thresholds",
    "TimeDomain",
    "TimeOfDayDomain",
    "TokenStatistics",
    "Unique",
    "UrlDomain",
    "Validation",
    "ValueCount",
    "WeightedFeature",
    "WeightedFeatures",
    "WeightedView",
    "apply_defaults",
    "compare_statistics",
    "describe",
    "describe_file",
    "infer_schema",
    "learn_ranges",
    "learn_thresholds",
    "list_outliers",
    "path_steps",
    "path_text",
    "quantile_edges",
    "register_extra",
    "robust_range",
    "row_key",
    "schema_from_yaml",
    "schema_to_yaml",
    "update_schema",
    "validate_statistics",
]
