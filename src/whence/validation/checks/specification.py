"""Faults of the schema itself, and the feature as it is judged once they are put right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from whence.errors import near_names
from whence.validation.checks.base import Found, anomaly, change
from whence.validation.outline import describe_domain
from whence.validation.schema import Schema
from whence.validation.statistics import short
from whence.validation.types import (
    Anomaly,
    BoolDomain,
    Domain,
    Feature,
    FloatDomain,
    IntDomain,
    Presence,
    StringDomain,
    TimeDomain,
    ValueCount,
    as_micros,
    domain_fits,
)


def repaired(schema: Schema, f: Feature) -> tuple[Feature, Domain | None, list[Anomaly]]:
    """A feature with its faults put right, its domain (None when that is a fault), and the faults.

    As in TFDV the checks go on with the repaired feature, so that one fault makes one anomaly.
    """
    faults: list[Anomaly] = []
    f = _presence(f, faults)
    f = _counts(f, faults)
    f = _shape(f, faults)
    domain = schema.domain_of(f)
    if isinstance(f.domain, str) and domain is None:
        faults.append(_unknown_domain(schema, f))
    elif domain is not None and f.type is not None and not domain_fits(domain, f.type):
        text = f"{f.name}: a {type(domain).__name__} does not fit the type {f.type}"
        faults.append(
            anomaly(
                f.name,
                "DOMAIN_INVALID_FOR_TYPE",
                "domain",
                type(domain).__name__,
                f.type,
                text,
                proposed=change(f.name, domain=None),
            )
        )
        domain = None
    if f.min_domain_mass != 1.0 and not isinstance(f.domain, str) and not isinstance(domain, StringDomain):
        faults.append(_spec(f, "min_domain_mass", f.min_domain_mass, "1 without a domain of texts", 1.0))
    return f, domain, faults


def _spec(f: Feature, rule: str, value: Any, allowed: str, better: Any) -> Anomaly:
    text = f"{f.name}: the schema's {rule} is {value}, allowed is {allowed}"
    key, _, part = rule.partition(".")
    proposed = change(f.name, **{key: {part: better} if part else better})
    return anomaly(f.name, "INVALID_SCHEMA_SPECIFICATION", rule, value, allowed, text, proposed=proposed)


def _presence(f: Feature, faults: list[Anomaly]) -> Feature:
    p = f.presence
    if p is None or p.min_fraction is None or not (p.min_fraction < 0.0 or p.min_fraction > 1.0):
        return f
    better = 1.0 if p.min_fraction > 1.0 else None
    faults.append(_spec(f, "presence.min_fraction", p.min_fraction, "0 to 1", better))
    return replace(f, presence=Presence(better, p.min_count))


def _counts(f: Feature, faults: list[Anomaly]) -> Feature:
    if f.value_count is not None:
        better = _count(f, "value_count", f.value_count, faults)
        return f if better is f.value_count else replace(f, value_count=better)
    if not f.value_counts:
        return f
    levels = tuple(
        _count(f, f"value_counts at level {i}", v, faults, level=i) for i, v in enumerate(f.value_counts)
    )
    return f if levels == f.value_counts else replace(f, value_counts=levels)


def _count(
    f: Feature, rule: str, v: ValueCount, faults: list[Anomaly], *, level: int | None = None
) -> ValueCount:
    low, high = v.min, v.max
    if low is not None and low < 0:
        faults.append(_count_fault(f, f"{rule}.min", low, ">= 0", {"min": None}, level))
        low = None
    if high is not None and high < (low or 0):
        faults.append(_count_fault(f, f"{rule}.max", high, f">= {low or 0}", {"max": low or 0}, level))
        high = low or 0
    return v if (low, high) == (v.min, v.max) else ValueCount(low, high)


def _count_fault(
    f: Feature, rule: str, value: int, allowed: str, better: dict[str, Any], level: int | None
) -> Anomaly:
    text = f"{f.name}: the schema's {rule} is {value}, allowed is {allowed}"
    proposed = change(
        f.name, **({"value_count": better} if level is None else {"value_counts": {level: better}})
    )
    return anomaly(f.name, "INVALID_SCHEMA_SPECIFICATION", rule, value, allowed, text, proposed=proposed)


def _shape(f: Feature, faults: list[Anomaly]) -> Feature:
    if f.shape is None or all(d is not None and d > 0 for d in f.shape.dims):
        return f
    bad = next(d for d in f.shape.dims if d is None or d <= 0)
    faults.append(_spec(f, "shape", bad, "sizes of at least 1", None))
    return replace(f, shape=None)


def _unknown_domain(schema: Schema, f: Feature) -> Anomaly:
    known = sorted(schema.domains)
    near = near_names(str(f.domain), known)
    text = f"{f.name}: the schema has no domain {f.domain!r}"
    if near:
        text += f"; {near[0]!r} is near"
    elif known:
        text += f"; it has {', '.join(map(repr, known[:5]))}"
    return anomaly(
        f.name,
        "INVALID_DOMAIN_SPECIFICATION",
        "domain",
        f.domain,
        known,
        text,
        proposed=change(f.name, domain=None),
    )


# --- what is no anomaly and still a contradiction -----------------------------------------------


def schema_notes(schema: Schema) -> list[str]:
    """Contradictions in a schema that are anomalies of no data, each with the way out.

    TFDV reports none of them, and so neither does `validate_statistics`; a report has them as notes.

    Example:
        >>> schema_notes(Schema().add(Feature("x", "INT", domain=IntDomain(9, 1))))
        ['x: the domain has min 9 above max 1, so nothing is allowed; swap them']
    """
    return [note for f in schema if f.checked for note in _notes(schema, f)]


def _notes(schema: Schema, f: Feature) -> Iterator[str]:
    domain = schema.domain_of(f)
    if isinstance(domain, (IntDomain, FloatDomain, TimeDomain)):
        low, high = domain.min, domain.max
        if low is not None and high is not None and _order(low) > _order(high):
            yield f"{f.name}: the domain has min {short(low)} above max {short(high)}, so nothing is allowed; swap them"
    if isinstance(domain, BoolDomain):
        yield from _bool_notes(f, domain)
    if isinstance(domain, StringDomain) and len(set(domain.values)) < len(domain.values):
        yield f"{f.name}: the domain names a value twice; drop one"
    low, high = (f.unique.min, f.unique.max) if f.unique is not None else (None, None)
    if low is not None and high is not None and low > high:
        yield f"{f.name}: unique has min {low} above max {high}; swap them"
    if not 0.0 <= f.min_domain_mass <= 1.0:
        yield f"{f.name}: min_domain_mass is {f.min_domain_mass}, allowed is 0 to 1"
    said = [k for k in ("value_count", "value_counts", "shape") if getattr(f, k)]
    if len(said) > 1:
        yield f"{f.name}: {' and '.join(said)} are given, one of them is enough"
    if f.presence is not None and f.group_presence is not None:
        yield f"{f.name}: presence and group_presence are given, one of them is enough"
    for e in f.expect:
        if e.min is not None and e.max is not None and e.min > e.max:
            yield f"{f.name}: {e.of} has min {e.min:g} above max {e.max:g}; swap them"


def _bool_notes(f: Feature, domain: BoolDomain) -> Iterator[str]:
    named = domain.true_value is not None or domain.false_value is not None
    if f.type in ("STRING", "BYTES"):
        if not named:
            yield f"{f.name}: a bool domain of texts must name true_value or false_value"
        elif domain.true_value == domain.false_value:
            yield f"{f.name}: true_value and false_value are both {domain.true_value!r}"
    elif named:
        yield f"{f.name}: {describe_domain(domain)} of {f.type}: numbers take no true_value or false_value"


def _order(value: Any) -> Any:
    return value if isinstance(value, (int, float)) else as_micros(value)


def check_name(f: Feature) -> Found:
    """A feature must have a name."""
    if not f.name:
        text = "a feature of the schema has no name"
        yield anomaly("", "FEATURE_MISSING_NAME", "name", "", "a name", text)
