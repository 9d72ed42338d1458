"""What makes no sense in a schema, whatever the data: refused where a schema is made, loaded or stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple, get_args

from whence.errors import UsageError
from whence.validation.cells import TIMES, FeatureType
from whence.validation.expressions import check_expression
from whence.validation.plain import parse_instant, wrong
from whence.validation.types import (
    BoolDomain,
    Check,
    Comparator,
    DatasetConstraints,
    Domain,
    Feature,
    FloatDomain,
    FractionBounds,
    ImageDomain,
    IntDomain,
    LifecycleStage,
    NaturalLanguageDomain,
    Rule,
    SequenceLength,
    StringDomain,
    TimeDomain,
    TimeOfDayDomain,
    TokenConstraint,
    as_micros,
    domain_fits,
)

At = tuple[str | int, ...]


class Fault(NamedTuple):
    """One thing in a schema that makes no sense.

    Attributes:
        at: Where it stands in the whole, as `Schema.to_dict` writes it.
        text: In words: the feature, the rule, what it says, what is allowed.
        code: The error's.
        near: What was said and the names that exist.
        hint: The way out.
    """

    at: At
    text: str
    code: str = "bad-schema"
    near: tuple[str, Iterable[str]] | None = None
    hint: str | None = None


def refuse(found: Iterable[Fault]) -> None:
    """Raise when there are faults.

    Raises:
        UsageError: There is one (``bad-schema``; of a default ``bad-default``); ``details["at"]`` is the
            place of the first, ``details["faults"]`` has all of them.
    """
    faults = list(found)
    if not faults:
        return
    first, errors = faults[0], [wrong(f.text, f.at, hint=f.hint, near=f.near) for f in faults]
    error = errors[0]
    told = [
        {"at": list(f.at), "text": f.text, "near": list(e.near), "hint": e.hint}
        for f, e in zip(faults, errors, strict=True)
    ]
    raise UsageError(
        first.text + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""),
        code=first.code,
        near=error.near,
        hint=error.hint,
        details={**error.details, "faults": told},
    )


def placed(
    error: UsageError, name: str, line_of: Callable[[At], int | None], *, hint: str | None = None
) -> UsageError:
    """The error of a fault with its line (where it is known), and the lines of all faults in ``details["faults"]``."""

    def line(at: Any) -> int | None:
        return line_of(tuple(at) if isinstance(at, list) else ())

    here = line(error.details.get("at"))
    details: dict[str, Any] = {"at": error.details.get("at", []), "line": here}
    told = error.details.get("faults")
    if isinstance(told, list):
        details["faults"] = [{**f, "line": line(f["at"])} for f in told if isinstance(f, Mapping)]
    return UsageError(
        f"{name}{'' if here is None else f', line {here}'}: {error.message}",
        code=error.code,
        near=error.near,
        hint=hint if hint is not None else error.hint,
        details=details,
    )


# --- bounds ---------------------------------------------------------------------------------------


def _below(what: str, at: At, value: float | None, least: float = 0) -> Iterator[Fault]:
    if value is not None and not value >= least:  # NaN is not, either
        yield Fault(at, f"{what} is {value:g}, allowed is at least {least:g}")


def _share(what: str, at: At, value: float | None) -> Iterator[Fault]:
    if value is not None and not 0.0 <= value <= 1.0:
        yield Fault(at, f"{what} is {value:g}, allowed is 0 to 1")


def _order(what: str, at: At, low: Any, high: Any, keys: tuple[str, str] = ("min", "max")) -> Iterator[Fault]:
    """Bounds of which nothing lies between, or that are no numbers."""
    for key, bound in zip(keys, (low, high), strict=True):
        if isinstance(bound, float) and math.isnan(bound):
            yield Fault((*at, key), f"{what} has {key} NaN, which bounds nothing")
    if low is not None and high is not None and _number(low) > _number(high):
        text = f"{what} has {keys[0]} {_said(low)} above {keys[1]} {_said(high)}, so nothing is allowed"
        yield Fault((*at, keys[0]), text, hint="swap them")


def _number(value: Any) -> Any:
    return as_micros(value) if isinstance(value, date) else value


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.15g}"
    return value.isoformat() if isinstance(value, date) else str(value)


def _twice(what: str, at: At, values: Sequence[Any]) -> Iterator[Fault]:
    seen: set[Any] = set()
    for i, value in enumerate(values):
        if value in seen:
            yield Fault((*at, i), f"{what} has {value!r} twice")
        seen.add(value)


# --- features -------------------------------------------------------------------------------------

_TYPES: Final = get_args(FeatureType)
_STAGES: Final = get_args(LifecycleStage)


def feature_faults(f: Feature, domains: Mapping[str, Domain], at: At = ()) -> Iterator[Fault]:
    """What makes no sense in a feature; the name of a shared domain that is not there may come later.

    Example:
        >>> [fault.text for fault in feature_faults(Feature("x", "INT", domain=IntDomain(9, 1)), {})]
        ["feature 'x': the int domain has min 9 above max 1, so nothing is allowed"]
    """
    who = f"feature {f.name!r}"
    if not f.name:
        yield Fault((*at, "name"), "a feature has no name")
    if f.type is not None and f.type not in _TYPES:
        yield Fault(
            (*at, "type"), f"{who}: its type is {f.type!r}, which is unknown", near=(str(f.type), _TYPES)
        )
        return
    if f.lifecycle_stage is not None and f.lifecycle_stage not in _STAGES:
        text = f"{who}: its lifecycle_stage is {f.lifecycle_stage!r}, which is unknown"
        yield Fault((*at, "lifecycle_stage"), text, near=(str(f.lifecycle_stage), _STAGES))
    yield from _amounts(f, who, at)
    yield from _environments(f, who, at)
    for side in ("skew", "drift"):
        comparator: Comparator | None = getattr(f, side)
        if comparator is not None:
            for key in ("infinity_norm", "jensen_shannon_divergence", "normalized_abs_difference"):
                yield from _below(f"{who}: {side}.{key}", (*at, side, key), getattr(comparator, key))
    yield from _expectations(f, who, at)
    domain = domains.get(f.domain) if isinstance(f.domain, str) else f.domain
    if domain is not None:
        if not isinstance(f.domain, str):
            yield from domain_faults(domain, who, (*at, "domain"))
        yield from _of_type(f, domain, who, at)
    if f.min_domain_mass != 1.0 and not isinstance(domain, StringDomain) and not isinstance(f.domain, str):
        text = f"{who}: min_domain_mass is {f.min_domain_mass:g}, allowed is 1 without a domain of texts"
        yield Fault((*at, "min_domain_mass"), text)
    else:
        yield from _share(f"{who}: min_domain_mass", (*at, "min_domain_mass"), f.min_domain_mass)
    if f.default is not None:
        yield from _default(f, domain, who, at)


def _amounts(f: Feature, who: str, at: At) -> Iterator[Fault]:
    """Presence, number of values, shape, uniques."""
    if f.presence is not None:
        here = (*at, "presence")
        yield from _share(f"{who}: presence.min_fraction", (*here, "min_fraction"), f.presence.min_fraction)
        yield from _below(f"{who}: presence.min_count", (*here, "min_count"), f.presence.min_count)
        if f.group_presence is not None:
            yield Fault(
                (*at, "group_presence"), f"{who}: presence and group_presence are given, one is allowed"
            )
    said = [k for k in ("value_count", "value_counts", "shape") if getattr(f, k) not in (None, ())]
    if len(said) > 1:
        yield Fault((*at, said[1]), f"{who}: {' and '.join(said)} are given, one of them is allowed")
    counts: list[tuple[str, At, Any]] = [
        (f"value_counts at level {i}", ("value_counts", i), v) for i, v in enumerate(f.value_counts)
    ]
    for name, key, bounds in (
        ("value_count", ("value_count",), f.value_count),
        *counts,
        ("unique", ("unique",), f.unique),
    ):
        if bounds is not None:
            yield from _below(f"{who}: {name}.min", (*at, *key, "min"), bounds.min)
            yield from _below(f"{who}: {name}.max", (*at, *key, "max"), bounds.max)
            yield from _order(f"{who}: {name}", (*at, *key), bounds.min, bounds.max)
    if f.shape is not None:
        for i, size in enumerate(f.shape.dims):
            if size is None or size <= 0:
                told = "not given" if size is None else str(size)
                yield Fault(
                    (*at, "shape", "dims", i), f"{who}: a size of its shape is {told}, allowed is at least 1"
                )
        if f.shape.names and len(f.shape.names) != len(f.shape.dims):
            text = f"{who}: its shape has {len(f.shape.dims)} sizes and {len(f.shape.names)} names"
            yield Fault((*at, "shape", "names"), text)


def _environments(f: Feature, who: str, at: At) -> Iterator[Fault]:
    for key in ("in_environment", "not_in_environment"):
        yield from _twice(f"{who}: {key}", (*at, key), getattr(f, key))
    for i, name in enumerate(f.not_in_environment):
        if name in f.in_environment:
            text = f"{who}: environment {name!r} is in both in_environment and not_in_environment"
            yield Fault((*at, "not_in_environment", i), text)


def _expectations(f: Feature, who: str, at: At) -> Iterator[Fault]:
    yield from _twice(f"{who}: expect", (*at, "expect"), [e.of for e in f.expect])
    for i, e in enumerate(f.expect):
        yield from _order(f"{who}: {e.of}", (*at, "expect", i), e.min, e.max)


def _of_type(f: Feature, domain: Domain, who: str, at: At) -> Iterator[Fault]:
    """Whether the domain speaks of values of the feature's type."""
    if f.type is None:
        return
    if not domain_fits(domain, f.type):
        text = f"{who}: a domain of kind {domain.KIND} does not fit the type {f.type}"
        yield Fault(
            (*at, "domain"),
            text,
            hint="change type and domain together, or take the domain away: domain=None",
        )
    elif isinstance(domain, BoolDomain) and f.type in ("STRING", "BYTES") and not domain.names:
        text = f"{who}: a bool domain of texts must name true_value or false_value"
        yield Fault((*at, "domain"), text)


# --- domains --------------------------------------------------------------------------------------


def domain_faults(domain: Domain, who: str, at: At) -> Iterator[Fault]:
    """What makes no sense in a domain, `who` being what has it."""
    if isinstance(domain, (IntDomain, FloatDomain, TimeDomain)):
        yield from _order(f"{who}: the {domain.KIND} domain", at, domain.min, domain.max)
    if isinstance(domain, FloatDomain):
        yield from _below(f"{who}: embedding_dim", (*at, "embedding_dim"), domain.embedding_dim, 1)
    elif isinstance(domain, StringDomain):
        yield from _twice(f"{who}: the domain", (*at, "values"), domain.values)
    elif isinstance(domain, BoolDomain):
        if domain.true_value is not None and domain.true_value == domain.false_value:
            text = f"{who}: true_value and false_value are both {domain.true_value!r}"
            yield Fault((*at, "false_value"), text)
    elif isinstance(domain, (TimeDomain, TimeOfDayDomain)):
        if domain.string_format is not None and domain.integer_format is not None:
            text = f"{who}: string_format and integer_format are given, one of them is allowed"
            yield Fault((*at, "integer_format"), text)
    elif isinstance(domain, ImageDomain):
        key = "minimum_supported_image_fraction"
        yield from _share(f"{who}: {key}", (*at, key), domain.minimum_supported_image_fraction)
        yield from _below(
            f"{who}: max_image_byte_size", (*at, "max_image_byte_size"), domain.max_image_byte_size
        )
    elif isinstance(domain, NaturalLanguageDomain):
        yield from _language(domain, who, at)


def _language(domain: NaturalLanguageDomain, who: str, at: At) -> Iterator[Fault]:
    if domain.coverage is not None:
        here, c = (*at, "coverage"), domain.coverage
        yield from _share(f"{who}: min_coverage", (*here, "min_coverage"), c.min_coverage)
        yield from _below(
            f"{who}: min_avg_token_length", (*here, "min_avg_token_length"), c.min_avg_token_length
        )
    for i, token in enumerate(domain.token_constraints):
        yield from _token(token, f"{who}: the token {token.value!r}", (*at, "token_constraints", i))
    if domain.sequence_length is not None:
        yield from _length(domain.sequence_length, who, (*at, "sequence_length"))


def _token(t: TokenConstraint, who: str, at: At) -> Iterator[Fault]:
    per, share = (
        ("min_per_sequence", "max_per_sequence"),
        ("min_fraction_of_sequences", "max_fraction_of_sequences"),
    )
    for key in per:
        yield from _below(f"{who}: {key}", (*at, key), getattr(t, key))
    for key in share:
        yield from _share(f"{who}: {key}", (*at, key), getattr(t, key))
    for low, high in (per, share):
        yield from _order(who, at, getattr(t, low), getattr(t, high), (low, high))


def _length(s: SequenceLength, who: str, at: At) -> Iterator[Fault]:
    keys = ("min_sequence_length", "max_sequence_length")
    for key in keys:
        yield from _below(f"{who}: {key}", (*at, key), getattr(s, key))
    yield from _order(f"{who}: its sequences", at, s.min_sequence_length, s.max_sequence_length, keys)


# --- defaults -------------------------------------------------------------------------------------


def _default(f: Feature, domain: Domain | None, who: str, at: At) -> Iterator[Fault]:
    """A default that is no value of the type, or none the domain allows."""
    here = (*at, "default")
    hint = "edit the schema: schema.edit(column, default=…)"
    if len(f.steps) > 1:
        text = f"{who}: a part of a structure takes no default, nothing is put inside a value that came"
        yield Fault(here, text, "bad-default", hint=hint)
        return
    for value in f.default if isinstance(f.default, (list, tuple)) else [f.default]:
        why = _not_of_type(f, value) or (None if domain is None else _not_in(f, domain, value))
        if why is not None:
            said = value.isoformat() if isinstance(value, date) else value
            yield Fault(here, f"{who}: its default {said!r} is {why}", "bad-default", hint=hint)


_VALUES: Final[Mapping[str, tuple[type, ...]]] = {
    "BOOL": (bool,),
    "BYTES": (bytes, str),
    "DATE": (date, str),
    "FLOAT": (float, int),
    "INT": (int,),
    "STRING": (str,),
    "TIMESTAMP": (datetime, str),
}


def _not_of_type(f: Feature, value: Any) -> str | None:
    if f.type is None:
        return None
    kinds = _VALUES.get(f.type, ())
    fits = isinstance(value, kinds) and (isinstance(value, bool) == (f.type == "BOOL"))
    if fits and f.type in ("DATE", "TIMESTAMP"):
        instant = _instant(value) if isinstance(value, str) else value
        fits = isinstance(instant, date) and isinstance(instant, datetime) == (f.type == "TIMESTAMP")
    return _unsaid(f.type, value) if fits else f"no {f.type}"


def _unsaid(type_: FeatureType, value: Any) -> str | None:
    """Why a value of the right type cannot be a default all the same: nothing can say it again, or hold it."""
    if type_ == "TIMESTAMP" and isinstance(value, datetime) and value.tzinfo is None:
        return "without a time zone"
    if type_ == "FLOAT" and isinstance(value, float) and math.isnan(value):
        return "NaN, which equals nothing"
    if type_ == "INT" and not -(2**63) <= value < 2**64:
        return "no integer of 64 bits"
    if type_ in ("STRING", "BYTES"):
        try:
            value.decode() if isinstance(value, bytes) else value.encode()
        except UnicodeError:
            return "no UTF-8, and a schema is text"
    return None


def _instant(text: str) -> Any:
    try:
        return parse_instant(text)
    except UsageError:
        return None


def _not_in(f: Feature, domain: Domain, value: Any) -> str | None:
    """Why a domain does not allow a value; None where it does. Text that reads as a number is not judged."""
    if isinstance(domain, StringDomain):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return None if f.min_domain_mass < 1.0 or text in domain.values else "not in its domain"
    if isinstance(domain, BoolDomain):
        allowed: tuple[Any, ...] = (0, 1)
        if isinstance(value, str):
            allowed = (domain.true_value, domain.false_value)
        return None if value in allowed else "not in its domain"
    if isinstance(domain, TimeDomain):
        value = _instant(value) if isinstance(value, str) else value
    if not isinstance(domain, (IntDomain, FloatDomain, TimeDomain)) or isinstance(value, (str, bytes)):
        return None
    if f.type in ("TIMESTAMP", "DATE") and not isinstance(value, date):
        return None
    return _beyond(_number(domain.min), _number(domain.max), _number(value), domain)


def _beyond(low: Any, high: Any, number: Any, domain: IntDomain | FloatDomain | TimeDomain) -> str | None:
    if low is not None and number < low:
        return f"below its domain's min {_said(domain.min)}"
    if high is not None and number > high:
        return f"above its domain's max {_said(domain.max)}"
    if isinstance(domain, FloatDomain) and domain.disallow_nan and math.isnan(number):
        return "NaN, which its domain does not allow"
    return None


# --- the whole ------------------------------------------------------------------------------------


class Parts(NamedTuple):
    """What of a schema can make no sense, features and rules in order."""

    features: Iterable[Feature]
    domains: Mapping[str, Domain]
    constraints: DatasetConstraints
    default_environments: Sequence[str]
    rules: Sequence[Rule]
    checks: Sequence[Check]


def faults_of(parts: Parts) -> Iterator[Fault]:
    """Everything that makes no sense in a schema, in its order."""
    for i, f in enumerate(parts.features):
        at: At = ("features", i)
        if isinstance(f.domain, str) and f.domain not in parts.domains:
            text = f"feature {f.name!r} names the domain {f.domain!r}, which the schema does not have"
            hint = "add the domain to the schema, or give the feature its values"
            yield Fault((*at, "domain"), text, near=(f.domain, parts.domains), hint=hint)
        yield from feature_faults(f, parts.domains, at)
    for name, domain in parts.domains.items():
        yield from domain_faults(domain, f"domain {name!r}", ("domains", name))
    yield from _twice(
        "the schema: default_environments", ("default_environments",), parts.default_environments
    )
    yield from _expressions("rule", parts.rules)
    yield from _expressions("check", parts.checks)
    yield from constraint_faults(parts.constraints)
    yield from _ageless(parts)


def _ageless(parts: Parts) -> Iterator[Fault]:
    """Freshness of what the schema does not have, or has as no time: it would be judged of no data."""
    types = {f.name: f.type for f in parts.features}
    for i, fresh in enumerate(parts.constraints.freshness):
        at: At = ("constraints", "freshness", i)
        if fresh.column not in types:
            text = f"freshness of {fresh.column!r}: the schema has no such column"
            yield Fault(at, text, near=(fresh.column, types))
        elif (kind := types[fresh.column]) not in (None, *TIMES):
            yield Fault(at, f"freshness of {fresh.column!r}: the column is {kind}, which is no time")


def _expressions(word: str, entries: Sequence[Rule | Check]) -> Iterator[Fault]:
    key = f"{word}s"
    yield from _twice(f"the schema: {key}", (key,), [e.name for e in entries])
    for i, entry in enumerate(entries):
        try:
            check_expression(f"{word} {entry.name!r}", entry.sql)
        except UsageError as error:
            yield Fault((key, i, "sql"), error.message, error.code, hint=error.hint)


def constraint_faults(c: DatasetConstraints) -> Iterator[Fault]:
    """What makes no sense in bounds on all rows together."""
    at: At = ("constraints",)
    keys = ("min_examples_count", "max_examples_count")
    for key in keys:
        yield from _below(f"the schema: {key}", (*at, key), getattr(c, key))
    yield from _order("the schema", at, c.min_examples_count, c.max_examples_count, keys)
    for name in ("num_examples_drift", "num_examples_version"):
        yield from _ratios(getattr(c, name), name, (*at, name))
    yield from _twice("the schema: freshness", (*at, "freshness"), [f.column for f in c.freshness])
    for i, fresh in enumerate(c.freshness):
        if fresh.max_age <= timedelta():
            text = f"freshness of {fresh.column!r}: max_age is {fresh.max_age}, allowed is above 0"
            yield Fault((*at, "freshness", i, "max_age"), text)


def _ratios(bounds: FractionBounds | None, name: str, at: At) -> Iterator[Fault]:
    if bounds is None:
        return
    low, high = "min_fraction_threshold", "max_fraction_threshold"
    for key in (low, high):
        yield from _below(f"the schema: {name}.{key}", (*at, key), getattr(bounds, key))
    yield from _order(f"the schema: {name}", at, getattr(bounds, low), getattr(bounds, high), (low, high))


__all__ = [
    "Fault",
    "Parts",
    "constraint_faults",
    "domain_faults",
    "faults_of",
    "feature_faults",
    "placed",
    "refuse",
]
