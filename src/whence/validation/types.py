"""The words of the schema language and of anomalies: frozen values, named as in TFDV."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias

from whence.errors import UsageError
from whence.validation.cells import FeatureType, jsonable
from whence.validation.domains import (
    DOMAINS,
    SEMANTIC,
    AudioDomain,
    BoolDomain,
    ContentChunkDomain,
    Coverage,
    Domain,
    FloatDomain,
    ImageDomain,
    Instant,
    IntDomain,
    IntegerTimeFormat,
    MidDomain,
    NaturalLanguageDomain,
    SequenceLength,
    StringDomain,
    StructDomain,
    TimeDomain,
    TimeOfDayDomain,
    TokenConstraint,
    UrlDomain,
    VideoDomain,
    as_micros,
    domain_fits,
    domain_from_dict,
    domain_to_dict,
    read_domain_info,
)
from whence.validation.plain import build, duration_text, parse_duration, parse_instant, to_plain, wrong
from whence.validation.reasons import REASONS, Anomaly, AnomalyType, Severity

__all__ = [
    "DOMAINS",
    "REASONS",
    "SEMANTIC",
    "UNCHECKED_STAGES",
    "Annotation",
    "Anomaly",
    "AnomalyType",
    "AudioDomain",
    "BoolDomain",
    "Check",
    "Comparator",
    "ContentChunkDomain",
    "Coverage",
    "DatasetConstraints",
    "DerivedSource",
    "Domain",
    "Expectation",
    "Feature",
    "FeatureType",
    "FloatDomain",
    "FractionBounds",
    "Freshness",
    "HistogramSource",
    "ImageDomain",
    "Instant",
    "IntDomain",
    "IntegerTimeFormat",
    "LifecycleStage",
    "MidDomain",
    "NaturalLanguageDomain",
    "Presence",
    "Rule",
    "SequenceLength",
    "SequenceMetadata",
    "Severity",
    "Shape",
    "SparseFeature",
    "StringDomain",
    "StructDomain",
    "TimeDomain",
    "TimeOfDayDomain",
    "TokenConstraint",
    "Unique",
    "UrlDomain",
    "ValueCount",
    "VideoDomain",
    "WeightedFeature",
    "as_micros",
    "build",
    "domain_fits",
    "domain_from_dict",
    "domain_to_dict",
    "duration_text",
    "jsonable",
    "parse_duration",
    "parse_instant",
    "read_domain_info",
    "to_plain",
    "type_accepts",
]

LifecycleStage: TypeAlias = Literal[
    "PLANNED", "ALPHA", "BETA", "PRODUCTION", "DEPRECATED", "DEBUG_ONLY", "DISABLED", "VALIDATION_DERIVED"
]
UNCHECKED_STAGES: Final = frozenset({"PLANNED", "ALPHA", "DEBUG_ONLY", "DEPRECATED", "DISABLED"})
"""A feature in one of these stages is not required, and not checked."""

HistogramSource: TypeAlias = Literal["DEFAULT", "QUANTILES", "STANDARD"]
"""Which histogram of numbers the Jensen-Shannon divergence reads; DEFAULT is STANDARD."""


@dataclass(frozen=True, slots=True)
class Presence:
    """How much of a column must be there: at least this fraction of the rows, and this many rows."""

    min_fraction: float | None = None
    min_count: int | None = None


@dataclass(frozen=True, slots=True)
class ValueCount:
    """How many values a present row has; for a column that is no list that is 1."""

    min: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """A fixed number of values in every row, in these dimensions: ``Shape((2, 3))`` has 6; ``Shape()`` has 1.

    Attributes:
        dims: The sizes; None is not known.
        names: Names of the dimensions; empty, or one for each.
    """

    dims: tuple[int | None, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unique:
    """How many different values a column has."""

    min: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True)
class Comparator:
    """How far a column may be from the other side; None means: report, allow any distance.

    Attributes:
        infinity_norm: Largest difference of the share of one value.
        jensen_shannon_divergence: Largest divergence, in bits.
        normalized_abs_difference: Largest difference of the counts of one value over the counts of both
            sides together.
        source: Which histogram of numbers is compared.
        learned_from: The versions thresholds were learned from; empty when set by hand.
    """

    infinity_norm: float | None = None
    jensen_shannon_divergence: float | None = None
    normalized_abs_difference: float | None = None
    source: HistogramSource = "DEFAULT"
    learned_from: tuple[str, ...] = ()


MEASURES: Final = (
    "avg_length",
    "max",
    "max_length",
    "mean",
    "median",
    "min",
    "min_length",
    "missing_ratio",
    "nan_ratio",
    "std",
    "top_share",
    "unique",
    "unique_ratio",
    "zeros_ratio",
)
"""What an `Expectation` may be of, beside ``quantile(q)``."""
_QUANTILE: Final = re.compile(r"quantile\(\s*(0?\.\d+|0|1|1\.0|0\.0)\s*\)")


@dataclass(frozen=True, slots=True)
class Expectation:
    """Bounds on a measure of a column, both allowed.

    Attributes:
        of: ``mean``, ``std``, ``median``, ``min``, ``max``, ``quantile(0.99)``, ``zeros_ratio``,
            ``nan_ratio``, ``missing_ratio``, ``unique``, ``unique_ratio``, ``top_share`` (the share of the
            most frequent value), ``avg_length``, ``min_length``, ``max_length`` (bytes).
        min: The smallest value allowed.
        max: The largest.
        severity: ERROR fails the validation, WARNING does not.
        learned_from: The versions the bounds were learned from; empty when set by hand.

    Raises:
        UsageError: The measure is unknown, or there is no bound (``bad-schema``).

    Example:
        >>> Expectation("quantile(0.99)", max=30.0).quantile
        0.99
    """

    of: str
    min: float | None = None
    max: float | None = None
    severity: Severity = "ERROR"
    learned_from: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.of not in MEASURES and not _QUANTILE.fullmatch(self.of):
            raise wrong(f"{self.of!r} is no measure", ("of",), near=(self.of, [*MEASURES, "quantile(0.5)"]))
        if self.min is None and self.max is None:
            raise wrong(f"the expectation of {self.of} has neither min nor max")

    @property
    def quantile(self) -> float | None:
        """The q of ``quantile(q)``."""
        found = _QUANTILE.fullmatch(self.of)
        return float(found.group(1)) if found else None


@dataclass(frozen=True, slots=True)
class DerivedSource:
    """Whence a column comes that validation itself derives.

    Attributes:
        deriver_name: What derives it.
        description: For people.
        source_paths: The columns it reads.
        declaratively_configured: Whether `config` alone says how.
        config: How, as the JSON of the proto.
    """

    deriver_name: str = ""
    description: str = ""
    source_paths: tuple[tuple[str, ...], ...] = ()
    declaratively_configured: bool | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SequenceMetadata:
    """Whether the values of a row are a sequence, and with which others they go in step."""

    sequential_status: Literal["SEQUENTIAL_YES", "SEQUENTIAL_NO"] | None = None
    joint_group: str | None = None
    sequence_truncation_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """Words of people: tags, comments, and whatever else (JSON)."""

    tags: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    extra_metadata: tuple[Any, ...] = ()


_TAKES: Final[Mapping[str, frozenset[str]]] = {
    "BYTES": frozenset({"BYTES", "STRING"}),
    "INT": frozenset({"INT", "BOOL"}),
}


def type_accepts(wanted: FeatureType, seen: FeatureType) -> bool:
    """Whether a column of type `seen` is what a feature of type `wanted` asks for.

    The same type; and as TFDV has no text and no booleans, text is BYTES and a boolean is an INT.

    Example:
        >>> type_accepts("BYTES", "STRING"), type_accepts("STRING", "BYTES"), type_accepts("FLOAT", "INT")
        (True, False, False)
    """
    return wanted == seen or seen in _TAKES.get(wanted, ())


def _as_default(value: Any, type_: FeatureType) -> Any:
    """A default in the one form that equals itself after it was written as text and read; what is none stays."""
    if isinstance(value, (list, tuple)):
        return type(value)(_as_default(v, type_) for v in value)
    try:
        if type_ == "BYTES" and isinstance(value, bytes):
            return value.decode()
        if type_ in ("TIMESTAMP", "DATE") and isinstance(value, str):
            return parse_instant(value)
        if type_ == "FLOAT" and value in ("inf", "-inf"):
            return float(value)
    except (UnicodeDecodeError, UsageError):
        pass
    return value


@dataclass(frozen=True, slots=True)
class Feature:
    """What a column must be.

    Attributes:
        name: The column; of a part of a structure the text of its path, ``trip.miles``.
        type: What it holds; None is a fault that validation reports.
        presence: How much of it must be there; None requires nothing.
        value_count: Values per present row.
        domain: The allowed values, or the name of a domain of the schema.
        min_domain_mass: The fraction of values that must lie in a domain of texts.
        unique: How many different values.
        in_environment: Environments the column belongs to, beside the default ones.
        not_in_environment: Environments it does not belong to.
        lifecycle_stage: A stage that is not checked (PLANNED, ALPHA, …) switches the feature off.
        default: The value a missing one stands for.
        skew: Comparator against serving data.
        drift: Comparator against the previous version.
        description: For people.
        path: The steps of the name; empty for the one step that is the name.
        shape: A fixed number of values, in place of `value_count`.
        value_counts: Values per level of nested lists, outermost first, in place of `value_count`.
        group_presence: Whether it is required among its siblings, in place of `presence`; not checked,
            as in TFDV.
        expect: Bounds on its mean, quantiles, ratios.
        validation_derived_source: Whence it comes when validation derives it.
        sequence_metadata: Whether its values are a sequence; not checked.
        annotation: Words of people; not checked.
    """

    name: str
    type: FeatureType | None = None
    presence: Presence | None = None
    value_count: ValueCount | None = None
    domain: Domain | str | None = None
    min_domain_mass: float = 1.0
    unique: Unique | None = None
    in_environment: tuple[str, ...] = ()
    not_in_environment: tuple[str, ...] = ()
    lifecycle_stage: LifecycleStage | None = None
    default: Any = None
    skew: Comparator | None = None
    drift: Comparator | None = None
    description: str = ""
    path: tuple[str, ...] = ()
    shape: Shape | None = None
    value_counts: tuple[ValueCount, ...] = ()
    group_presence: bool | None = None
    expect: tuple[Expectation, ...] = ()
    validation_derived_source: DerivedSource | None = None
    sequence_metadata: SequenceMetadata | None = None
    annotation: Annotation | None = None

    def __post_init__(self) -> None:
        if self.default is not None and self.type is not None:
            object.__setattr__(self, "default", _as_default(self.default, self.type))

    @property
    def steps(self) -> tuple[str, ...]:
        """The path: its steps, one for a plain column."""
        return self.path or (self.name,)

    @property
    def checked(self) -> bool:
        """Whether its stage lets it be checked."""
        return self.lifecycle_stage not in UNCHECKED_STAGES

    @property
    def required(self) -> bool:
        """Whether something of it must be there."""
        p = self.presence
        return self.checked and p is not None and ((p.min_fraction or 0) > 0 or (p.min_count or 0) > 0)

    def belongs_to(self, environment: str | None, defaults: tuple[str, ...]) -> bool:
        """Whether the column is expected in an environment.

        Without an environment: yes. Else ``in_environment`` says yes, ``not_in_environment`` says no,
        and else it is there in the schema's default environments (in every one when it has none).
        """
        if environment is None or environment in self.in_environment:
            return True
        if environment in self.not_in_environment:
            return False
        return not defaults or environment in defaults

    def to_dict(self) -> dict[str, Any]:
        """The feature as JSON; what is not said is left out."""
        out: dict[str, Any] = to_plain(self)
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], at: tuple[str | int, ...] = ()) -> Feature:
        """The feature that `to_dict` wrote.

        Raises:
            UsageError: A key is unknown or a value has the wrong shape (``bad-schema``).
        """
        feature: Feature = build(cls, data, f"feature {data.get('name')!r}", at)
        return feature


@dataclass(frozen=True, slots=True)
class SparseFeature:
    """Values with their indices in columns of their own.

    Attributes:
        name: Its name; statistics of it stand under this name.
        value_feature: The column of values.
        index_features: The columns of indices, one a dimension.
        is_sorted: Whether indices ascend.
        dense_shape: The shape of what it stands for.
        lifecycle_stage: As of a feature.
        parent: The path of the structure the columns are parts of.
    """

    name: str
    value_feature: str = ""
    index_features: tuple[str, ...] = ()
    is_sorted: bool | None = None
    dense_shape: Shape | None = None
    lifecycle_stage: LifecycleStage | None = None
    parent: tuple[str, ...] = ()

    @property
    def checked(self) -> bool:
        """Whether its stage lets it be checked."""
        return self.lifecycle_stage not in UNCHECKED_STAGES


@dataclass(frozen=True, slots=True)
class WeightedFeature:
    """A column and the column of its weights, both by name."""

    name: str
    feature: str = ""
    weight_feature: str = ""
    lifecycle_stage: LifecycleStage | None = None

    @property
    def checked(self) -> bool:
        """Whether its stage lets it be checked."""
        return self.lifecycle_stage not in UNCHECKED_STAGES


@dataclass(frozen=True, slots=True)
class Rule:
    """An expression every row must satisfy; a row for which it is unknown (null) passes, as in SQL CHECK."""

    name: str
    sql: str
    severity: Severity = "ERROR"
    environments: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The rule as JSON."""
        out: dict[str, Any] = to_plain(self)
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], at: tuple[str | int, ...] = ()) -> Rule:
        """The rule that `to_dict` wrote."""
        rule: Rule = build(cls, data, f"rule {data.get('name')!r}", at)
        return rule


@dataclass(frozen=True, slots=True)
class Check:
    """An expression over all rows together that must be true: ``avg(arr_delay) < 20``.

    Unknown (null), as over no rows, passes.
    """

    name: str
    sql: str
    severity: Severity = "ERROR"
    environments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FractionBounds:
    """Bounds on the number of rows over the number of rows of the other side."""

    min_fraction_threshold: float | None = None
    max_fraction_threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """The newest value of a column of times must not be older than `max_age`."""

    column: str
    max_age: timedelta
    severity: Severity = "ERROR"


@dataclass(frozen=True, slots=True)
class DatasetConstraints:
    """How many rows there must be, and how new.

    Attributes:
        min_examples_count: At least so many rows.
        max_examples_count: At most.
        num_examples_drift: Rows over those of the previous data (`previous`).
        num_examples_version: Rows over those of the previous version of the same span
            (`previous_version`).
        freshness: How old the newest row may be.
    """

    min_examples_count: int | None = None
    max_examples_count: int | None = None
    num_examples_drift: FractionBounds | None = None
    num_examples_version: FractionBounds | None = None
    freshness: tuple[Freshness, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The constraints as JSON."""
        out: dict[str, Any] = to_plain(self)
        return out
