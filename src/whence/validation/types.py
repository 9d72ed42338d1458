"""The words of the schema language and of anomalies: frozen values, named as in TFDV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, TypeAlias

from whence._base.clock import utc
from whence.errors import UsageError
from whence.validation.features import FeatureType, jsonable

Severity: TypeAlias = Literal["ERROR", "WARNING"]

LifecycleStage: TypeAlias = Literal[
    "PLANNED", "ALPHA", "BETA", "PRODUCTION", "DEPRECATED", "DEBUG_ONLY", "DISABLED", "VALIDATION_DERIVED"
]
UNCHECKED_STAGES: Final = frozenset({"PLANNED", "ALPHA", "DEBUG_ONLY", "DEPRECATED", "DISABLED"})
"""A feature in one of these stages is not required, and not checked."""

AnomalyType: TypeAlias = Literal[
    "BOOL_TYPE_BIG_INT",
    "BOOL_TYPE_INVALID_CONFIG",
    "BOOL_TYPE_SMALL_INT",
    "BOOL_TYPE_UNEXPECTED_FLOAT",
    "BOOL_TYPE_UNEXPECTED_STRING",
    "COMPARATOR_CONTROL_DATA_MISSING",
    "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
    "COMPARATOR_L_INFTY_HIGH",
    "CUSTOM_VALIDATION",
    "DATASET_HIGH_NUM_EXAMPLES",
    "DATASET_LOW_NUM_EXAMPLES",
    "DOMAIN_INVALID_FOR_TYPE",
    "ENUM_TYPE_INVALID_UTF8",
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
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
    "INVALID_SCHEMA_SPECIFICATION",
    "SCHEMA_MISSING_COLUMN",
    "SCHEMA_NEW_COLUMN",
    "TIME_TYPE_BIG_TIME",
    "TIME_TYPE_SMALL_TIME",
    "UNEXPECTED_DATA_TYPE",
]
"""TFDV's anomaly types that are detected here; the two ``TIME_TYPE_…`` are ours (TFDV checks no range of times)."""

Instant: TypeAlias = datetime | date


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
class Unique:
    """How many different values a column has."""

    min: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True)
class IntDomain:
    """Integers (or text that reads as such) from `min` to `max`, both allowed."""

    min: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True)
class FloatDomain:
    """Numbers (or text that reads as such) from `min` to `max`, both allowed."""

    min: float | None = None
    max: float | None = None
    disallow_nan: bool = False
    disallow_inf: bool = False


@dataclass(frozen=True, slots=True)
class StringDomain:
    """The values a text may have."""

    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BoolDomain:
    """Booleans, the integers 0 and 1, or two texts that stand for them."""

    true_value: str | None = None
    false_value: str | None = None


@dataclass(frozen=True, slots=True)
class TimeDomain:
    """Instants or dates from `min` to `max`, both allowed."""

    min: Instant | None = None
    max: Instant | None = None


Domain: TypeAlias = IntDomain | FloatDomain | StringDomain | BoolDomain | TimeDomain
_DOMAINS: Final[Mapping[str, type[Domain]]] = {
    "bool": BoolDomain,
    "float": FloatDomain,
    "int": IntDomain,
    "string": StringDomain,
    "time": TimeDomain,
}
_TYPES_OF_DOMAIN: Final[Mapping[type[Domain], frozenset[FeatureType]]] = {
    BoolDomain: frozenset({"BOOL", "INT", "FLOAT", "STRING", "BYTES"}),
    FloatDomain: frozenset({"FLOAT", "STRING", "BYTES"}),
    IntDomain: frozenset({"INT", "STRING", "BYTES"}),
    StringDomain: frozenset({"STRING", "BYTES"}),
    TimeDomain: frozenset({"TIMESTAMP", "DATE"}),
}


def domain_fits(domain: Domain, type_: FeatureType) -> bool:
    """Whether a domain speaks of values of this type.

    Example:
        >>> domain_fits(IntDomain(0, 9), "STRING"), domain_fits(IntDomain(0, 9), "FLOAT")
        (True, False)
    """
    return type_ in _TYPES_OF_DOMAIN[type(domain)]


@dataclass(frozen=True, slots=True)
class Comparator:
    """How far a column may be from the other side; None means: report, allow any distance."""

    infinity_norm: float | None = None
    jensen_shannon_divergence: float | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """What a column must be.

    Attributes:
        name: The column.
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
        out = {
            f.name: _out(getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default
        }
        if self.domain is not None and not isinstance(self.domain, str):
            out["domain"] = domain_to_dict(self.domain)
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Feature:
        """The feature that `to_dict` wrote.

        Raises:
            UsageError: A key is unknown or a value has the wrong shape (``bad-schema``).
        """
        given = dict(data)
        shapes = {"presence": Presence, "value_count": ValueCount, "unique": Unique}
        shapes |= {"skew": Comparator, "drift": Comparator}
        for key, shape in shapes.items():
            if given.get(key) is not None:
                given[key] = _build(shape, given[key], f"{key} of feature {given.get('name')!r}")
        if isinstance(given.get("domain"), Mapping):
            given["domain"] = domain_from_dict(given["domain"])
        for key in ("in_environment", "not_in_environment"):
            if key in given:
                given[key] = tuple(given[key])
        feature: Feature = _build(cls, given, f"feature {given.get('name')!r}")
        return feature


@dataclass(frozen=True, slots=True)
class Rule:
    """An expression every row must satisfy; a row for which it is unknown (null) passes, as in SQL CHECK."""

    name: str
    sql: str
    severity: Severity = "ERROR"
    environments: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The rule as JSON."""
        return {
            f.name: _out(getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rule:
        """The rule that `to_dict` wrote."""
        given = {**data, "environments": tuple(data.get("environments", ()))}
        rule: Rule = _build(cls, given, f"rule {data.get('name')!r}")
        return rule


@dataclass(frozen=True, slots=True)
class DatasetConstraints:
    """How many rows there must be."""

    min_examples_count: int | None = None
    max_examples_count: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The constraints as JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


def dataset_constraints(data: Mapping[str, Any]) -> DatasetConstraints:
    """The constraints that `DatasetConstraints.to_dict` wrote."""
    made: DatasetConstraints = _build(DatasetConstraints, data, "dataset_constraints")
    return made


def domain_to_dict(domain: Domain) -> dict[str, Any]:
    """A domain as JSON, its kind first.

    Example:
        >>> domain_to_dict(FloatDomain(max=100.0))
        {'kind': 'float', 'max': 100.0}
    """
    kind = next(k for k, v in _DOMAINS.items() if isinstance(domain, v))
    given = {
        f.name: _out(getattr(domain, f.name)) for f in fields(domain) if getattr(domain, f.name) != f.default
    }
    return {"kind": kind, **given}


def domain_from_dict(data: Mapping[str, Any]) -> Domain:
    """The domain that `domain_to_dict` wrote.

    Raises:
        UsageError: The kind or a key is unknown (``bad-schema``).
    """
    given = dict(data)
    shape = _DOMAINS.get(given.pop("kind", ""))
    if shape is None:
        raise UsageError(
            f"a domain of kind {data.get('kind')!r} is unknown",
            code="bad-schema",
            hint=f"one of {sorted(_DOMAINS)}",
        )
    if shape is StringDomain:
        given["values"] = tuple(given.get("values", ()))
    if shape is TimeDomain:
        given = {k: parse_instant(v) for k, v in given.items()}
    made: Domain = _build(shape, given, f"{data['kind']} domain")
    return made


def parse_instant(text: str | Instant | None) -> Instant | None:
    """An instant or a date from its ISO text; an instant without a zone is refused.

    Example:
        >>> parse_instant("2013-01-01"), parse_instant("2013-01-01T00:00:00+00:00")
        (datetime.date(2013, 1, 1), datetime.datetime(2013, 1, 1, 0, 0, tzinfo=datetime.timezone.utc))
    """
    if text is None or not isinstance(text, str):
        return text
    try:
        return date.fromisoformat(text) if len(text) == 10 else utc(datetime.fromisoformat(text))
    except ValueError as error:
        raise UsageError(f"{text!r} is not an ISO time: {error}", code="bad-schema") from error


def as_micros(moment: Instant) -> int:
    """An instant (a date: its midnight in UTC) as microseconds since 1970."""
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    delta = utc(moment) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _build(shape: Any, data: Any, what: str) -> Any:
    # Any: dataclasses of this file, chosen by name
    known = {f.name for f in fields(shape)}
    if not isinstance(data, Mapping):
        raise UsageError(f"{what} must be a mapping, got {type(data).__name__}", code="bad-schema")
    unknown = [k for k in data if k not in known]
    if unknown:
        raise UsageError(
            f"{what} has the unknown key {unknown[0]!r}", code="bad-schema", hint=f"known: {sorted(known)}"
        )
    try:
        return shape(**data)
    except TypeError as error:
        raise UsageError(f"{what} is incomplete: {error}", code="bad-schema") from error


def _out(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, (Presence, ValueCount, Unique, Comparator)):
        return {f.name: getattr(value, f.name) for f in fields(value) if getattr(value, f.name) is not None}
    return jsonable(value)


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
        proposed: What would have to change in the schema for the data to pass: feature, key, value.
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
