"""Faults of the schema itself, and the feature as it is judged once they are put right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from whence.errors import near_names
from whence.validation.checks.base import Found, anomaly, change
from whence.validation.outline import describe_domain
from whence.validation.schema import Schema
from whence.validation.types import (
    Anomaly,
    BoolDomain,
    Comparator,
    Domain,
    Feature,
    Presence,
    StringDomain,
    ValueCount,
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
    named = isinstance(f.domain, str)
    if named and domain is None and f.type in ("STRING", "BYTES"):
        faults.append(_unknown_domain(schema, f))
    elif f.domain is not None and f.type is not None and (domain is None or not domain_fits(domain, f.type)):
        # As in TFDV, where a domain that nobody has is of texts.
        kind = "StringDomain" if domain is None else type(domain).__name__
        text = f"{f.name}: a {kind} does not fit the type {f.type}"
        drop = change(f.name, domain=None)
        faults.append(anomaly(f.name, "DOMAIN_INVALID_FOR_TYPE", "domain", kind, f.type, text, proposed=drop))
        domain, named = None, False
    if f.min_domain_mass != 1.0 and not named and not isinstance(domain, StringDomain):
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


# --- what is no anomaly -------------------------------------------------------------------------


def schema_notes(schema: Schema) -> list[str]:
    """What makes no sense in a schema, and what has no effect, each in a sentence.

    Of the first only a schema that was kept before such was refused, or one that TFDV's functions read,
    has any. TFDV reports none of the second, and so neither does `validate_statistics`; a report has them
    as notes.

    Example:
        >>> schema_notes(Schema().add(Feature("x", "INT", domain=BoolDomain("1", "0"))))
        ["feature 'x': bool '1'/'0' of INT: numbers take no true_value or false_value"]
    """
    return [
        *(fault.text for fault in schema.faults()),
        *(n for f in schema if f.checked for n in _notes(schema, f)),
    ]


def _notes(schema: Schema, f: Feature) -> Iterator[str]:
    who, domain = f"feature {f.name!r}", schema.domain_of(f)
    if f.type is None:
        yield f"{who}: no type is given, so whatever it holds is FEATURE_MISSING_TYPE"
    elif isinstance(domain, BoolDomain) and f.type not in ("STRING", "BYTES") and domain.names:
        yield f"{who}: {describe_domain(domain)} of {f.type}: numbers take no true_value or false_value"
    for side in ("skew", "drift"):
        c: Comparator | None = getattr(f, side)
        for key in (
            () if c is None else ("infinity_norm", "jensen_shannon_divergence", "normalized_abs_difference")
        ):
            limit = getattr(c, key)
            if limit is not None and limit >= 1:
                yield f"{who}: {side}.{key} is {limit:g}, and no distance is above 1: it is never exceeded"


def check_name(f: Feature) -> Found:
    """A feature must have a name."""
    if not f.name:
        text = "a feature of the schema has no name"
        yield anomaly("", "FEATURE_MISSING_NAME", "name", "", "a name", text)
