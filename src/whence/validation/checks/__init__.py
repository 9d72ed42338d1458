"""The checks of statistics against a schema, one idea a file; they read a `FeatureView` and nothing else."""

from whence.validation.checks.base import Found, anomaly
from whence.validation.checks.columns import check_feature, check_new_columns
from whence.validation.checks.comparators import check_distances
from whence.validation.checks.dataset import check_freshness, check_rows
from whence.validation.checks.pairs import check_pairs
from whence.validation.checks.parse import parse_float, parse_int
from whence.validation.checks.specification import schema_notes

__all__ = [
    "Found",
    "anomaly",
    "check_distances",
    "check_feature",
    "check_freshness",
    "check_new_columns",
    "check_pairs",
    "check_rows",
    "parse_float",
    "parse_int",
    "schema_notes",
]
