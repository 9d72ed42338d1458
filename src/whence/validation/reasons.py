"""The types of anomalies, each in a few words, and the anomaly itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias

from whence.validation.cells import jsonable

Severity: TypeAlias = Literal["ERROR", "WARNING"]

# One short phrase for each type; the sentence of an anomaly has the numbers.
REASONS: Final[Mapping[str, str]] = {
    "BOOL_TYPE_BIG_INT": "a boolean above 1",
    "BOOL_TYPE_INVALID_CONFIG": "true and false are named wrongly",
    "BOOL_TYPE_SMALL_INT": "a boolean below 0",
    "BOOL_TYPE_UNEXPECTED_FLOAT": "numbers that are neither 0 nor 1",
    "BOOL_TYPE_UNEXPECTED_STRING": "texts that are neither true nor false",
    "COMPARATOR_CONTROL_DATA_MISSING": "the other side lacks the column",
    "COMPARATOR_HIGH_NUM_EXAMPLES": "many more rows than before",
    "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH": "Jensen-Shannon divergence above its threshold",
    "COMPARATOR_LOW_NUM_EXAMPLES": "far fewer rows than before",
    "COMPARATOR_L_INFTY_HIGH": "infinity norm above its threshold",
    "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH": "normalised absolute difference above its threshold",
    "CUSTOM_VALIDATION": "an expression does not hold",
    "DATASET_HIGH_NUM_EXAMPLES": "too many rows",
    "DATASET_LOW_NUM_EXAMPLES": "too few rows",
    "DERIVED_FEATURE_BAD_LIFECYCLE": "a derived column in a wrong stage",
    "DERIVED_FEATURE_INVALID_SOURCE": "a derived column of another source",
    "DOMAIN_INVALID_FOR_TYPE": "the domain does not fit the type",
    "EMBEDDING_DIMENSION": "vectors of another length",
    "ENUM_TYPE_INVALID_UTF8": "text that is not UTF-8",
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": "values outside the domain",
    "EXPECTATION_HIGH": "a measure above what is expected",
    "EXPECTATION_LOW": "a measure below what is expected",
    "EXPECTATION_STALE": "the newest row is too old",
    "FEATURE_COVERAGE_TOO_LOW": "the vocabulary knows too little of the text",
    "FEATURE_COVERAGE_TOO_SHORT_AVG_TOKEN_LENGTH": "tokens too short",
    "FEATURE_MISSING_NAME": "a feature without a name",
    "FEATURE_MISSING_TYPE": "a feature without a type",
    "FEATURE_TYPE_HIGH_NUMBER_VALUES": "too many values in a row",
    "FEATURE_TYPE_HIGH_UNIQUE": "too many different values",
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": "missing in too many rows",
    "FEATURE_TYPE_LOW_NUMBER_PRESENT": "present in too few rows",
    "FEATURE_TYPE_LOW_NUMBER_VALUES": "too few values in a row",
    "FEATURE_TYPE_LOW_UNIQUE": "too few different values",
    "FEATURE_TYPE_NOT_PRESENT": "a column without values",
    "FEATURE_TYPE_NO_UNIQUE": "no number of different values",
    "FLOAT_TYPE_BIG_FLOAT": "above the range",
    "FLOAT_TYPE_HAS_INF": "infinite values",
    "FLOAT_TYPE_HAS_NAN": "values that are not numbers",
    "FLOAT_TYPE_SMALL_FLOAT": "below the range",
    "FLOAT_TYPE_STRING_NOT_FLOAT": "text that is no number",
    "INT_TYPE_BIG_INT": "above the range",
    "INT_TYPE_NOT_INT_STRING": "text that is no integer",
    "INT_TYPE_SMALL_INT": "below the range",
    "INVALID_DOMAIN_SPECIFICATION": "the schema's domain contradicts itself",
    "INVALID_FEATURE_SHAPE": "values of another shape",
    "INVALID_SCHEMA_SPECIFICATION": "the schema contradicts itself",
    "LOW_SUPPORTED_IMAGE_FRACTION": "too many images of unknown format",
    "MAX_IMAGE_BYTE_SIZE_EXCEEDED": "an image too large",
    "MID_TYPE_NOT_MID": "text that is no identifier",
    "SCHEMA_MISSING_COLUMN": "a column is missing",
    "SCHEMA_NEW_COLUMN": "a new column",
    "SEMANTIC_DOMAIN_UPDATE": "a meaning was recognised",
    "SEQUENCE_VALUE_TOO_FEW_OCCURRENCES": "a token too rare in a sequence",
    "SEQUENCE_VALUE_TOO_LARGE_FRACTION": "a token in too many sequences",
    "SEQUENCE_VALUE_TOO_MANY_OCCURRENCES": "a token too frequent in a sequence",
    "SEQUENCE_VALUE_TOO_SMALL_FRACTION": "a token in too few sequences",
    "SPARSE_FEATURE_LENGTH_MISMATCH": "indices and values of different length",
    "SPARSE_FEATURE_MISSING_INDEX": "values without their index",
    "SPARSE_FEATURE_MISSING_VALUE": "an index without its values",
    "SPARSE_FEATURE_NAME_COLLISION": "a sparse feature with a column's name",
    "STATS_NOT_AVAILABLE": "the statistics lack what a rule needs",
    "TIME_OF_DAY_TYPE_NOT_TIME": "text that is no time of the day",
    "TIME_TYPE_BIG_TIME": "later than the range",
    "TIME_TYPE_NOT_TIME": "text that is no time",
    "TIME_TYPE_SMALL_TIME": "earlier than the range",
    "UNEXPECTED_DATA_TYPE": "another type",
    "URL_TYPE_NOT_URL": "text that is no address",
    "VALUE_NESTEDNESS_MISMATCH": "lists nested to another depth",
    "WEIGHTED_FEATURE_LENGTH_MISMATCH": "values and weights of different length",
    "WEIGHTED_FEATURE_MISSING_VALUE": "weights without values",
    "WEIGHTED_FEATURE_MISSING_WEIGHT": "values without weights",
    "WEIGHTED_FEATURE_NAME_COLLISION": "a weighted feature with a column's name",
}

AnomalyType: TypeAlias = Literal[
    "BOOL_TYPE_BIG_INT",
    "BOOL_TYPE_INVALID_CONFIG",
    "BOOL_TYPE_SMALL_INT",
    "BOOL_TYPE_UNEXPECTED_FLOAT",
    "BOOL_TYPE_UNEXPECTED_STRING",
    "COMPARATOR_CONTROL_DATA_MISSING",
    "COMPARATOR_HIGH_NUM_EXAMPLES",
    "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
    "COMPARATOR_LOW_NUM_EXAMPLES",
    "COMPARATOR_L_INFTY_HIGH",
    "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH",
    "CUSTOM_VALIDATION",
    "DATASET_HIGH_NUM_EXAMPLES",
    "DATASET_LOW_NUM_EXAMPLES",
    "DERIVED_FEATURE_BAD_LIFECYCLE",
    "DERIVED_FEATURE_INVALID_SOURCE",
    "DOMAIN_INVALID_FOR_TYPE",
    "EMBEDDING_DIMENSION",
    "ENUM_TYPE_INVALID_UTF8",
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
    "EXPECTATION_HIGH",
    "EXPECTATION_LOW",
    "EXPECTATION_STALE",
    "FEATURE_COVERAGE_TOO_LOW",
    "FEATURE_COVERAGE_TOO_SHORT_AVG_TOKEN_LENGTH",
    "FEATURE_MISSING_NAME",
    "FEATURE_MISSING_TYPE",
    "FEATURE_TYPE_HIGH_NUMBER_VALUES",
    "FEATURE_TYPE_HIGH_UNIQUE",
    "FEATURE_TYPE_LOW_FRACTION_PRESENT",
    "FEATURE_TYPE_LOW_NUMBER_PRESENT",
    "FEATURE_TYPE_LOW_NUMBER_VALUES",
    "FEATURE_TYPE_LOW_UNIQUE",
    "FEATURE_TYPE_NOT_PRESENT",
    "FEATURE_TYPE_NO_UNIQUE",
    "FLOAT_TYPE_BIG_FLOAT",
    "FLOAT_TYPE_HAS_INF",
    "FLOAT_TYPE_HAS_NAN",
    "FLOAT_TYPE_SMALL_FLOAT",
    "FLOAT_TYPE_STRING_NOT_FLOAT",
    "INT_TYPE_BIG_INT",
    "INT_TYPE_NOT_INT_STRING",
    "INT_TYPE_SMALL_INT",
    "INVALID_DOMAIN_SPECIFICATION",
    "INVALID_FEATURE_SHAPE",
    "INVALID_SCHEMA_SPECIFICATION",
    "LOW_SUPPORTED_IMAGE_FRACTION",
    "MAX_IMAGE_BYTE_SIZE_EXCEEDED",
    "MID_TYPE_NOT_MID",
    "SCHEMA_MISSING_COLUMN",
    "SCHEMA_NEW_COLUMN",
    "SEMANTIC_DOMAIN_UPDATE",
    "SEQUENCE_VALUE_TOO_FEW_OCCURRENCES",
    "SEQUENCE_VALUE_TOO_LARGE_FRACTION",
    "SEQUENCE_VALUE_TOO_MANY_OCCURRENCES",
    "SEQUENCE_VALUE_TOO_SMALL_FRACTION",
    "SPARSE_FEATURE_LENGTH_MISMATCH",
    "SPARSE_FEATURE_MISSING_INDEX",
    "SPARSE_FEATURE_MISSING_VALUE",
    "SPARSE_FEATURE_NAME_COLLISION",
    "STATS_NOT_AVAILABLE",
    "TIME_OF_DAY_TYPE_NOT_TIME",
    "TIME_TYPE_BIG_TIME",
    "TIME_TYPE_NOT_TIME",
    "TIME_TYPE_SMALL_TIME",
    "UNEXPECTED_DATA_TYPE",
    "URL_TYPE_NOT_URL",
    "VALUE_NESTEDNESS_MISMATCH",
    "WEIGHTED_FEATURE_LENGTH_MISMATCH",
    "WEIGHTED_FEATURE_MISSING_VALUE",
    "WEIGHTED_FEATURE_MISSING_WEIGHT",
    "WEIGHTED_FEATURE_NAME_COLLISION",
]
"""TFDV's anomaly types that are detected, and ours: ``EXPECTATION_…``, ``TIME_TYPE_…`` and `FORMS`."""

FORMS: Final = frozenset(
    {
        "EMBEDDING_DIMENSION",
        "MID_TYPE_NOT_MID",
        "TIME_OF_DAY_TYPE_NOT_TIME",
        "TIME_TYPE_NOT_TIME",
        "URL_TYPE_NOT_URL",
    }
)
"""Values that are not of the form their domain names, of which TFDV says nothing."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One rule the data break.

    Attributes:
        feature: The column; ``""`` when the rule is about all of it.
        type: TFDV's name of it.
        severity: ERROR fails the validation, WARNING does not.
        rule: The rule, as it stands in the schema.
        observed: What was seen.
        allowed: What the rule allows.
        message: One sentence with both.
        n_rows: How many rows break it, when the rule is about rows.
        rows: References of some of them.
        proposed: What would have to change in the schema for the data to pass: feature, key, value; empty
            when only the data, or the schema by hand, can be repaired.
    """

    feature: str
    type: AnomalyType
    severity: Severity
    rule: str
    observed: Any
    allowed: Any
    message: str
    n_rows: int | None = None
    rows: tuple[str, ...] = ()
    proposed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """The type in a few words."""
        return REASONS[self.type]

    def to_dict(self) -> dict[str, Any]:
        """The anomaly as JSON."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            **out,
            "observed": _plain(self.observed),
            "allowed": _plain(self.allowed),
            "rows": list(self.rows),
            "proposed": _plain(self.proposed),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Anomaly:
        """The anomaly that `to_dict` wrote (times stay text)."""
        return cls(**{**data, "rows": tuple(data["rows"])})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return jsonable(value)
