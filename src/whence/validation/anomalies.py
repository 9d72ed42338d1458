"""Statistics against a schema: every anomaly with its rule, what was seen and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from whence.validation.compare import Distance, Side, compare_statistics
from whence.validation.features import FeatureStatistics, jsonable
from whence.validation.schema import Schema, describe_domain
from whence.validation.statistics import Statistics, short
from whence.validation.types import (
    Anomaly,
    AnomalyType,
    BoolDomain,
    Domain,
    Feature,
    FloatDomain,
    Instant,
    IntDomain,
    StringDomain,
    TimeDomain,
    as_micros,
    domain_fits,
)

Found: TypeAlias = Iterator[Anomaly]


def validate_statistics(
    statistics: Statistics,
    schema: Schema,
    *,
    environment: str | None = None,
    previous: Statistics | None = None,
    serving: Statistics | None = None,
) -> tuple[list[Anomaly], list[Distance]]:
    """The anomalies of a set of rows by its statistics, and the distances to other sets.

    In the order of the schema's features; new columns and the number of rows come last. A column that
    does not belong to `environment` is not required there; if it is there, its values are checked.

    Args:
        statistics: What is judged.
        schema: The rules.
        environment: For which environment; None requires every feature.
        previous: Statistics of the version before: drift.
        serving: Statistics of serving data: skew.

    Raises:
        NotFoundError: The schema speaks of environments, but not of this one.

    Source:
        TFDV ``validate_statistics`` and ``docs/anomalies.md``; types have the same names. Differs:
        infinity norms of numbers are reported as not applicable and the other checks go on.
    """
    expected = {f.name for f in schema.expected(environment)}
    found: list[Anomaly] = []
    for feature in schema:
        if feature.checked:
            faults = list(_schema_faults(schema, feature))
            found += faults
            if not any(f.type == "FEATURE_MISSING_TYPE" for f in faults):
                found += _check(schema, feature, statistics, required=feature.name in expected)
    distances: list[Distance] = []
    controls: tuple[tuple[Side, Statistics | None], ...] = (("drift", previous), ("skew", serving))
    for side, control in controls:
        if control is not None:
            measured = compare_statistics(statistics, control, schema=schema, side=side)
            distances += measured
            found += _comparator_anomalies(schema, statistics, control, measured, side)
    found += _new_columns(schema, statistics)
    found += _row_count(schema, statistics)
    return [replace(a, severity=schema.severities.get(a.type, a.severity)) for a in found], distances


def anomaly(
    feature: str,
    type_: AnomalyType,
    rule: str,
    observed: Any,
    allowed: Any,
    message: str,
    *,
    proposed: Mapping[str, Any] | None = None,
) -> Anomaly:
    """An anomaly of severity ERROR; the schema may lower it."""
    return Anomaly(feature, type_, "ERROR", rule, observed, allowed, message, proposed=proposed or {})


# --- the schema itself --------------------------------------------------------------------------


def _schema_faults(schema: Schema, f: Feature) -> Found:
    if f.type is None:
        yield anomaly(
            f.name, "FEATURE_MISSING_TYPE", "type", None, "a type", f"{f.name}: the schema gives no type"
        )
        return
    for rule, value, allowed, holds in _self_rules(f):
        if not holds:
            text = f"{f.name}: the schema's {rule} is {value}, allowed is {allowed}"
            yield anomaly(f.name, "INVALID_SCHEMA_SPECIFICATION", rule, value, allowed, text)
    domain = schema.domain_of(f)
    if isinstance(f.domain, str) and domain is None:
        text = f"{f.name}: the schema has no domain {f.domain!r}"
        yield anomaly(
            f.name, "INVALID_SCHEMA_SPECIFICATION", "domain", f.domain, sorted(schema.domains), text
        )
    if domain is not None:
        yield from _domain_faults(f, domain)


def _self_rules(f: Feature) -> Iterator[tuple[str, Any, str, bool]]:
    p, v, u = f.presence, f.value_count, f.unique
    if p is not None and p.min_fraction is not None:
        yield "presence.min_fraction", p.min_fraction, "0 to 1", 0.0 <= p.min_fraction <= 1.0
    if p is not None and p.min_count is not None:
        yield "presence.min_count", p.min_count, ">= 0", p.min_count >= 0
    for name, bounds in (("value_count", v), ("unique", u)):
        if bounds is not None and bounds.min is not None:
            yield f"{name}.min", bounds.min, ">= 0", bounds.min >= 0
        if bounds is not None and bounds.min is not None and bounds.max is not None:
            yield f"{name}.max", bounds.max, f">= {bounds.min}", bounds.max >= bounds.min
    yield "min_domain_mass", f.min_domain_mass, "0 to 1", 0.0 <= f.min_domain_mass <= 1.0
    if f.min_domain_mass != 1.0 and not isinstance(f.domain, (StringDomain, str)):
        yield "min_domain_mass", f.min_domain_mass, "1 without a domain of texts", False


def _domain_faults(f: Feature, domain: Domain) -> Found:
    assert f.type is not None
    if not domain_fits(domain, f.type):
        text = f"{f.name}: a {type(domain).__name__} does not fit the type {f.type}"
        yield anomaly(f.name, "DOMAIN_INVALID_FOR_TYPE", "domain", type(domain).__name__, f.type, text)
        return
    low, high = getattr(domain, "min", None), getattr(domain, "max", None)
    if low is not None and high is not None and _order(low) > _order(high):
        text = f"{f.name}: the domain's min {short(low)} is above its max {short(high)}"
        yield anomaly(f.name, "INVALID_DOMAIN_SPECIFICATION", "domain", low, high, text)
    if isinstance(domain, BoolDomain):
        named = domain.true_value is not None or domain.false_value is not None
        if f.type in ("STRING", "BYTES") and not named:
            text = f"{f.name}: a bool domain of texts must name true_value or false_value"
            yield anomaly(f.name, "BOOL_TYPE_INVALID_CONFIG", "domain", None, "true_value, false_value", text)
        if f.type not in ("STRING", "BYTES") and named:
            text = f"{f.name}: a bool domain of {f.type} takes no true_value or false_value"
            yield anomaly(f.name, "BOOL_TYPE_INVALID_CONFIG", "domain", describe_domain(domain), "bool", text)


def _order(value: Any) -> Any:
    return value if isinstance(value, (int, float)) else as_micros(value)


# --- one column ---------------------------------------------------------------------------------


def _check(schema: Schema, f: Feature, statistics: Statistics, *, required: bool) -> Found:
    seen = statistics.features.get(f.name)
    if seen is None:
        if required and f.required:
            text = f"{f.name}: the column is missing"
            drop = {"feature": f.name, "lifecycle_stage": "DEPRECATED"}
            yield anomaly(
                f.name, "SCHEMA_MISSING_COLUMN", "presence", "absent", "present", text, proposed=drop
            )
        return
    if not seen.num_non_missing:
        if required and f.required:
            text = f"{f.name}: none of {seen.num_rows:,} rows has a value"
            yield anomaly(f.name, "FEATURE_TYPE_NOT_PRESENT", "presence", 0, _presence_text(f), text)
        return
    if seen.type != f.type:
        text = f"{f.name}: the type is {seen.type}, the schema says {f.type}"
        change = {"feature": f.name, "type": seen.type}
        yield anomaly(f.name, "UNEXPECTED_DATA_TYPE", "type", seen.type, f.type, text, proposed=change)
        return
    if required:
        yield from _presence(f, seen)
    yield from _value_count(f, seen)
    yield from _unique(f, seen)
    domain = schema.domain_of(f)
    if seen.num_invalid_utf8 and (seen.type == "STRING" or isinstance(domain, StringDomain)):
        text = f"{f.name}: {seen.num_invalid_utf8:,} values are not UTF-8"
        yield anomaly(f.name, "ENUM_TYPE_INVALID_UTF8", "UTF-8", seen.num_invalid_utf8, 0, text)
    if domain is not None and domain_fits(domain, seen.type):
        yield from _DOMAIN_CHECKS[type(domain)](f, domain, seen)


def _presence_text(f: Feature) -> str:
    p = f.presence
    parts = []
    if p is not None and p.min_fraction:
        parts.append(f"min_fraction {p.min_fraction:g}")
    if p is not None and p.min_count:
        parts.append(f"min_count {p.min_count}")
    return " and ".join(parts)


def _presence(f: Feature, seen: FeatureStatistics) -> Found:
    p = f.presence
    if p is None:
        return
    fraction = seen.fraction_present or 0.0
    low = p.min_fraction
    if low is not None and (fraction < low or (low == 1.0 and seen.num_missing)):
        text = (
            f"{f.name}: {seen.num_missing:,} of {seen.num_rows:,} rows have no value "
            f"({fraction:.6g} present), the schema asks for {low:g}"
        )
        change = {"feature": f.name, "presence": {"min_fraction": fraction}}
        yield anomaly(
            f.name,
            "FEATURE_TYPE_LOW_FRACTION_PRESENT",
            "presence.min_fraction",
            fraction,
            low,
            text,
            proposed=change,
        )
    if p.min_count is not None and seen.num_non_missing < p.min_count:
        text = f"{f.name}: {seen.num_non_missing:,} rows have a value, the schema asks for {p.min_count:,}"
        change = {"feature": f.name, "presence": {"min_count": seen.num_non_missing}}
        yield anomaly(
            f.name,
            "FEATURE_TYPE_LOW_NUMBER_PRESENT",
            "presence.min_count",
            seen.num_non_missing,
            p.min_count,
            text,
            proposed=change,
        )


def _value_count(f: Feature, seen: FeatureStatistics) -> Found:
    v = f.value_count
    low, high = seen.min_num_values, seen.max_num_values
    if v is None or low is None or high is None:
        return
    if v.min is not None and low < v.min:
        text = f"{f.name}: a row has {low} values, the schema asks for at least {v.min}"
        change = {"feature": f.name, "value_count": {"min": low}}
        yield anomaly(
            f.name, "FEATURE_TYPE_LOW_NUMBER_VALUES", "value_count.min", low, v.min, text, proposed=change
        )
    if v.max is not None and high > v.max:
        text = f"{f.name}: a row has {high} values, the schema allows at most {v.max}"
        change = {"feature": f.name, "value_count": {"max": high}}
        yield anomaly(
            f.name, "FEATURE_TYPE_HIGH_NUMBER_VALUES", "value_count.max", high, v.max, text, proposed=change
        )


def _unique(f: Feature, seen: FeatureStatistics) -> Found:
    u = f.unique
    if u is None:
        return
    n = seen.num_unique
    if n is None:
        text = f"{f.name}: a column of type {seen.type} has no number of unique values"
        yield anomaly(f.name, "FEATURE_TYPE_NO_UNIQUE", "unique", None, "a number", text)
        return
    about = "" if seen.unique_is_exact else "about "
    if u.min is not None and n < u.min:
        text = f"{f.name}: {about}{n:,} different values, the schema asks for at least {u.min:,}"
        yield anomaly(
            f.name,
            "FEATURE_TYPE_LOW_UNIQUE",
            "unique.min",
            n,
            u.min,
            text,
            proposed={"feature": f.name, "unique": {"min": n}},
        )
    if u.max is not None and n > u.max:
        text = f"{f.name}: {about}{n:,} different values, the schema allows at most {u.max:,}"
        yield anomaly(
            f.name,
            "FEATURE_TYPE_HIGH_UNIQUE",
            "unique.max",
            n,
            u.max,
            text,
            proposed={"feature": f.name, "unique": {"max": n}},
        )


# --- domains ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Range:
    """Bounds on one side each, and what the anomaly of either side is called."""

    low: Any
    high: Any
    small: AnomalyType
    big: AnomalyType


def _outside(f: Feature, bounds: _Range, low: Any, high: Any, cell: Callable[[Any], Any]) -> Found:
    if bounds.high is not None and high is not None and high > _order(bounds.high):
        text = f"{f.name}: the largest value {_exact(cell(high))} is above {_exact(bounds.high)}"
        change = {"feature": f.name, "domain": {"max": jsonable(cell(high))}}
        yield anomaly(f.name, bounds.big, "domain.max", cell(high), bounds.high, text, proposed=change)
    if bounds.low is not None and low is not None and low < _order(bounds.low):
        text = f"{f.name}: the smallest value {_exact(cell(low))} is below {_exact(bounds.low)}"
        change = {"feature": f.name, "domain": {"min": jsonable(cell(low))}}
        yield anomaly(f.name, bounds.small, "domain.min", cell(low), bounds.low, text, proposed=change)


def _exact(value: Any) -> str:
    return str(jsonable(value))


def _extremes(seen: FeatureStatistics) -> tuple[Any, Any]:
    return (None, None) if seen.number is None else (seen.number.range.low, seen.number.range.high)


def _int_domain(f: Feature, domain: Any, seen: FeatureStatistics) -> Found:
    bounds = _Range(domain.min, domain.max, "INT_TYPE_SMALL_INT", "INT_TYPE_BIG_INT")
    if seen.text is None:
        yield from _outside(f, bounds, *_extremes(seen), lambda v: v)
        return
    yield from _read_as(f, seen, bounds, parse_int, "INT_TYPE_NOT_INT_STRING", "an integer")


def _float_domain(f: Feature, domain: Any, seen: FeatureStatistics) -> Found:
    bounds = _Range(domain.min, domain.max, "FLOAT_TYPE_SMALL_FLOAT", "FLOAT_TYPE_BIG_FLOAT")
    if seen.text is not None:
        yield from _read_as(f, seen, bounds, parse_float, "FLOAT_TYPE_STRING_NOT_FLOAT", "a number")
        return
    if domain.disallow_nan and seen.num_nan:
        text = f"{f.name}: {seen.num_nan:,} values are NaN"
        change = {"feature": f.name, "domain": {"disallow_nan": False}}
        yield anomaly(
            f.name, "FLOAT_TYPE_HAS_NAN", "domain.disallow_nan", seen.num_nan, 0, text, proposed=change
        )
    if domain.disallow_inf and seen.num_inf:
        text = f"{f.name}: {seen.num_inf:,} values are infinite"
        change = {"feature": f.name, "domain": {"disallow_inf": False}}
        yield anomaly(
            f.name, "FLOAT_TYPE_HAS_INF", "domain.disallow_inf", seen.num_inf, 0, text, proposed=change
        )
    yield from _outside(f, bounds, *_extremes(seen), lambda v: v)


def _time_domain(f: Feature, domain: Any, seen: FeatureStatistics) -> Found:
    bounds = _Range(domain.min, domain.max, "TIME_TYPE_SMALL_TIME", "TIME_TYPE_BIG_TIME")
    low, high = (None if c is None else _micros(c) for c in (seen.min, seen.max))
    cells = {low: seen.min, high: seen.max}
    yield from _outside(f, bounds, low, high, lambda v: cells[v])


def _micros(cell: Any) -> int:
    instant: Instant = cell
    return as_micros(instant)


def parse_int(text: str) -> int | None:
    """A text as an integer; None when it is none.

    Example:
        >>> parse_int("12"), parse_int("1.5")
        (12, None)
    """
    try:
        return int(text)
    except ValueError:
        return None


def parse_float(text: str) -> float | None:
    """A text as a number; None when it is none (NaN is none).

    Example:
        >>> parse_float("1e3"), parse_float("x")
        (1000.0, None)
    """
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _read_as(
    f: Feature,
    seen: FeatureStatistics,
    bounds: _Range,
    parse: Callable[[str], int | float | None],
    wrong: AnomalyType,
    what: str,
) -> Found:
    values = [v for v, _ in _texts(seen)]
    numbers = [n for n in map(parse, values) if n is not None]
    bad = [v for v in values if parse(v) is None]
    if bad:
        text = f"{f.name}: {len(bad):,} different texts are not {what}: {_list(bad)}"
        change = {"feature": f.name, "domain": None}
        yield anomaly(f.name, wrong, "domain", bad[:20], what, text, proposed=change)
    if numbers:
        yield from _outside(f, bounds, min(numbers), max(numbers), lambda v: v)


def _texts(seen: FeatureStatistics) -> list[tuple[str, int]]:
    assert seen.text is not None
    return [(str(jsonable(v)), n) for v, n in seen.text.top.top()]


def _list(values: Iterable[Any], *, most: int = 5) -> str:
    values = list(values)
    shown = ", ".join(repr(v) for v in values[:most])
    return shown + (f" and {len(values) - most:,} more" if len(values) > most else "")


def _string_domain(f: Feature, domain: Any, seen: FeatureStatistics) -> Found:
    allowed = set(domain.values)
    texts = _texts(seen)
    inside = sum(n for v, n in texts if v in allowed)
    outside = seen.n_values - inside
    if not outside or (f.min_domain_mass < 1.0 and outside / seen.n_values <= 1 - f.min_domain_mass):
        return
    new = [(v, n) for v, n in texts if v not in allowed]
    text = (
        f"{f.name}: {outside:,} of {seen.n_values:,} values are not in the domain: {_list(v for v, _ in new)}"
        f" (allowed share {1 - f.min_domain_mass:g})"
    )
    change = {"feature": f.name, "domain": {"add": [v for v, _ in new[:100]]}}
    observed = {"share": outside / seen.n_values, "values": dict(new[:20])}
    yield anomaly(
        f.name,
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
        "domain.values" if f.min_domain_mass == 1.0 else "min_domain_mass",
        observed,
        {"share": 1 - f.min_domain_mass, "values": list(domain.values)},
        text,
        proposed=change,
    )


def _bool_domain(f: Feature, domain: Any, seen: FeatureStatistics) -> Found:
    if seen.text is not None:
        allowed = {v for v in (domain.true_value, domain.false_value) if v is not None}
        bad = [v for v, _ in _texts(seen) if v not in allowed]
        if bad and allowed:
            text = f"{f.name}: texts that are neither true nor false: {_list(bad)}"
            yield anomaly(f.name, "BOOL_TYPE_UNEXPECTED_STRING", "domain", bad[:20], sorted(allowed), text)
        return
    low, high = _extremes(seen)
    if seen.type == "INT":
        bounds = _Range(0, 1, "BOOL_TYPE_SMALL_INT", "BOOL_TYPE_BIG_INT")
        yield from _outside(f, bounds, low, high, lambda v: v)
    elif seen.type == "FLOAT":
        yield from _bool_floats(f, seen, low, high)


def _bool_floats(f: Feature, seen: FeatureStatistics, low: Any, high: Any) -> Found:
    assert seen.number is not None
    values = seen.number.quantiles.entries()[0].tolist()
    bad = [v for v in values if v not in (0.0, 1.0)]
    if seen.num_nan or bad or low not in (None, 0.0, 1.0) or high not in (None, 0.0, 1.0):
        shown = [jsonable(v) for v in bad[:20]] + (["nan"] if seen.num_nan else [])
        text = f"{f.name}: numbers that are neither 0 nor 1: {_list(shown)}"
        yield anomaly(f.name, "BOOL_TYPE_UNEXPECTED_FLOAT", "domain", shown, [0, 1], text)


_DOMAIN_CHECKS: Mapping[type[Domain], Callable[[Feature, Any, FeatureStatistics], Found]] = {
    BoolDomain: _bool_domain,
    FloatDomain: _float_domain,
    IntDomain: _int_domain,
    StringDomain: _string_domain,
    TimeDomain: _time_domain,
}


# --- the whole ----------------------------------------------------------------------------------


def _comparator_anomalies(
    schema: Schema, statistics: Statistics, control: Statistics, distances: Iterable[Distance], side: Side
) -> Found:
    for feature in schema:
        comparator = feature.drift if side == "drift" else feature.skew
        if comparator is not None and feature.name in statistics and feature.name not in control:
            text = f"{feature.name}: the {side} control {control.name} does not have the column"
            yield anomaly(
                feature.name,
                "COMPARATOR_CONTROL_DATA_MISSING",
                f"{side}_comparator",
                None,
                control.name,
                text,
            )
    for d in distances:
        if d.exceeds:
            name: AnomalyType = (
                "COMPARATOR_L_INFTY_HIGH"
                if d.metric == "infinity_norm"
                else "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH"
            )
            where = f", most at {jsonable(d.at)!r}" if d.at is not None else ""
            text = f"{d.feature}: the {d.metric} to {control.name} is {d.value:.6g}{where}, allowed is {d.threshold:g}"
            change = {"feature": d.feature, side: {d.metric: d.value}}
            yield anomaly(
                d.feature, name, f"{side}_comparator.{d.metric}", d.value, d.threshold, text, proposed=change
            )


def _new_columns(schema: Schema, statistics: Statistics) -> Found:
    for f in statistics:
        if f.name not in schema:
            text = f"{f.name}: a new column of type {f.type}"
            change = {"feature": f.name, "type": f.type}
            yield anomaly(f.name, "SCHEMA_NEW_COLUMN", "features", f.type, None, text, proposed=change)


def _row_count(schema: Schema, statistics: Statistics) -> Found:
    n, c = statistics.n_rows, schema.constraints
    if c.min_examples_count is not None and n < c.min_examples_count:
        text = f"{n:,} rows, the schema asks for at least {c.min_examples_count:,}"
        yield anomaly("", "DATASET_LOW_NUM_EXAMPLES", "min_examples_count", n, c.min_examples_count, text)
    if c.max_examples_count is not None and n > c.max_examples_count:
        text = f"{n:,} rows, the schema allows at most {c.max_examples_count:,}"
        yield anomaly("", "DATASET_HIGH_NUM_EXAMPLES", "max_examples_count", n, c.max_examples_count, text)
