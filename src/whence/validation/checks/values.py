"""The values of a column against its domain: ranges, lists of texts, booleans, text that reads as numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from whence.validation.cells import FeatureType, jsonable
from whence.validation.checks.base import Found, anomaly, change, counted, exact, listed, texts_of, total_of
from whence.validation.checks.parse import parse_float, parse_int
from whence.validation.compare import known_values
from whence.validation.types import (
    SEMANTIC,
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
from whence.validation.view import FeatureView

MOST_ADDED: Final = 1_000
"""A domain that would grow by more values is better given up."""


def check_domain(f: Feature, domain: Domain, seen: FeatureView) -> Found:
    """The anomalies of a column's values; the domain fits the feature's type, perhaps not the column's."""
    if seen.type == "BYTES" and not seen.is_text and not _without_values(domain):
        text = f"{f.name}: the values were not counted, so a {type(domain).__name__} cannot be judged"
        kind = type(domain).__name__
        proposed = change(f.name, domain=None)
        yield anomaly(f.name, "DOMAIN_INVALID_FOR_TYPE", "domain", kind, seen.type, text, proposed=proposed)
        return
    check = _CHECKS.get(type(domain))
    if check is not None and domain_fits(domain, seen.type):
        yield from check(f, domain, seen)


def _without_values(domain: Domain) -> bool:
    return isinstance(domain, SEMANTIC) and not isinstance(domain, TimeDomain)


# --- ranges -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Range:
    """Bounds on one side each, and what the anomaly of either side is called."""

    low: Any
    high: Any
    small: AnomalyType
    big: AnomalyType


def _outside(f: Feature, bounds: _Range, low: Any, high: Any, cell: Callable[[Any], Any]) -> Found:
    if bounds.high is not None and high is not None and high > _order(bounds.high):
        text = f"{f.name}: the largest value {exact(cell(high))} is above {exact(bounds.high)}"
        proposed = change(f.name, domain={"max": jsonable(cell(high))})
        yield anomaly(f.name, bounds.big, "domain.max", cell(high), bounds.high, text, proposed=proposed)
    if bounds.low is not None and low is not None and low < _order(bounds.low):
        text = f"{f.name}: the smallest value {exact(cell(low))} is below {exact(bounds.low)}"
        proposed = change(f.name, domain={"min": jsonable(cell(low))})
        yield anomaly(f.name, bounds.small, "domain.min", cell(low), bounds.low, text, proposed=proposed)


def _order(value: Any) -> Any:
    return value if isinstance(value, (int, float)) else as_micros(value)


def _same(value: Any) -> Any:
    return value


def _int_domain(f: Feature, domain: IntDomain, seen: FeatureView) -> Found:
    bounds = _Range(domain.min, domain.max, "INT_TYPE_SMALL_INT", "INT_TYPE_BIG_INT")
    if seen.type not in ("STRING", "BYTES"):
        yield from _outside(f, bounds, _number(seen.min), _number(seen.max), _same)
        return
    numbers = [parse_int(v) for v, _ in texts_of(seen)]
    bad = (
        [v for (v, _), n in zip(texts_of(seen), numbers, strict=True) if n is None] if None in numbers else []
    )
    if bad:
        yield _unreadable(f, bad, "INT_TYPE_NOT_INT_STRING", "an integer")
        return
    known = [n for n in numbers if n is not None]
    if known:
        yield from _outside(f, bounds, min(known), max(known), _same)


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _unreadable(f: Feature, bad: list[str], type_: AnomalyType, what: str) -> Any:
    text = f"{f.name}: {counted(len(bad), 'different texts are not')} {what}: {listed(bad)}"
    return anomaly(f.name, type_, "domain", bad[:20], what, text, proposed=change(f.name, domain=None))


def _float_domain(f: Feature, domain: FloatDomain, seen: FeatureView) -> Found:
    bounds = _Range(domain.min, domain.max, "FLOAT_TYPE_SMALL_FLOAT", "FLOAT_TYPE_BIG_FLOAT")
    low: Any
    high: Any
    if seen.type in ("STRING", "BYTES"):
        texts = texts_of(seen)
        numbers = [(v, n, parse_float(v)) for v, n in texts]
        bad = [v for v, _, number in numbers if number is None]
        known = [(n, number) for _, n, number in numbers if number is not None]
        n_nan = sum(n for n, number in known if math.isnan(number))
        n_inf = sum(n for n, number in known if math.isinf(number))
        ordered = [number for _, number in known if not math.isnan(number)]
        low, high = min(ordered, default=None), max(ordered, default=None)
        if bad:  # as in TFDV NaN is told beside it, infinities and the range are not
            if domain.disallow_nan and n_nan:
                yield _has_nan(f, n_nan)
            yield _unreadable(f, bad, "FLOAT_TYPE_STRING_NOT_FLOAT", "a number")
            return
    else:
        n_nan, n_inf, low, high = seen.num_nan, seen.num_inf, seen.min, seen.max
        if not n_inf and any(isinstance(v, float) and math.isinf(v) for v in (low, high)):
            n_inf = 1
    if domain.disallow_nan and n_nan:
        yield _has_nan(f, n_nan)
    if domain.disallow_inf and n_inf:
        text = f"{f.name}: {counted(n_inf, 'values are infinite')}"
        proposed = change(f.name, domain={"disallow_inf": False})
        yield anomaly(f.name, "FLOAT_TYPE_HAS_INF", "domain.disallow_inf", n_inf, 0, text, proposed=proposed)
    yield from _outside(f, bounds, low, high, _same)


def _has_nan(f: Feature, n: float) -> Any:
    text = f"{f.name}: {counted(n, 'values are NaN')}"
    proposed = change(f.name, domain={"disallow_nan": False})
    return anomaly(f.name, "FLOAT_TYPE_HAS_NAN", "domain.disallow_nan", n, 0, text, proposed=proposed)


def _time_domain(f: Feature, domain: TimeDomain, seen: FeatureView) -> Found:
    if not seen.is_time or (domain.min is None and domain.max is None):
        return
    bounds = _Range(domain.min, domain.max, "TIME_TYPE_SMALL_TIME", "TIME_TYPE_BIG_TIME")
    low, high = (None if c is None else _micros(c, seen.type) for c in (seen.min, seen.max))
    cells = {low: seen.min, high: seen.max}
    yield from _outside(f, bounds, low, high, lambda v: cells[v])


def _micros(cell: Any, type_: FeatureType) -> int:
    """Microseconds since 1970; what no calendar has is a number already, of a date in days."""
    if isinstance(cell, (int, float)):
        return int(cell) * (_DAY if type_ == "DATE" else 1)
    instant: Instant = cell
    return as_micros(instant)


_DAY: Final = 86_400_000_000


# --- lists of texts -----------------------------------------------------------------------------


def _string_domain(f: Feature, domain: StringDomain, seen: FeatureView) -> Found:
    if seen.num_invalid_utf8:
        text = f"{f.name}: {counted(seen.num_invalid_utf8, 'values are not UTF-8')}"
        n = seen.num_invalid_utf8
        yield anomaly(
            f.name, "ENUM_TYPE_INVALID_UTF8", "UTF-8", n, 0, text, proposed=change(f.name, domain=None)
        )
        return
    allowed = set(domain.values)
    known = known_values(seen) if seen.type == "STRING" and f.min_domain_mass <= 1.0 else None
    if known is not None and allowed.issuperset(known[0]):
        return
    texts = texts_of(seen)
    new = [(v, n) for v, n in texts if v not in allowed]
    total = total_of(seen)
    outside = sum(n for _, n in new)
    if new and seen.arrow_type and seen.weighted is None and seen.value_counts() is None:
        outside = max(outside, total - sum(n for v, n in texts if v in allowed))  # some values are not known
    share = outside / total if total else float(bool(new))
    if not (new if f.min_domain_mass == 1.0 else share > 1 - f.min_domain_mass):
        return
    text = (
        f"{f.name}: {outside:,} of {counted(total, 'values')} {'is' if outside == 1 else 'are'} not in the domain: "
        f"{listed(v for v, _ in new)}{_others(1 - f.min_domain_mass)}"
    )
    added: Any = {"add": [v for v, _ in new]} if len(new) <= MOST_ADDED else None
    proposed = change(f.name, domain=added) if new else change(f.name, min_domain_mass=1.0)
    yield anomaly(
        f.name,
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
        "domain.values" if f.min_domain_mass == 1.0 else "min_domain_mass",
        {"share": share, "values": dict(new[:20])},
        {"share": 1 - f.min_domain_mass, "values": list(domain.values)},
        text,
        proposed=proposed,
    )


def _others(share: float) -> str:
    return f" (allowed share {share:g})" if share else ""


# --- booleans -----------------------------------------------------------------------------------


def _bool_domain(f: Feature, domain: BoolDomain, seen: FeatureView) -> Found:
    allowed = {v for v in (domain.true_value, domain.false_value) if v is not None}
    is_text = seen.type in ("STRING", "BYTES")
    if is_text != bool(allowed):
        yield _bool_config(f, sorted(allowed), seen)
    if is_text:
        bad = [v for v, _ in texts_of(seen) if v not in allowed]
        if bad:
            text = f"{f.name}: texts that are neither true nor false: {listed(bad)}"
            yield anomaly(
                f.name,
                "BOOL_TYPE_UNEXPECTED_STRING",
                "domain",
                bad[:20],
                sorted(allowed),
                text,
                proposed=change(f.name, domain=None),
            )
    elif seen.type == "INT":
        yield from _bool_ints(f, seen)
    elif seen.type == "FLOAT":
        yield from _bool_floats(f, seen)


def _bool_config(f: Feature, named: list[str], seen: FeatureView) -> Any:
    if named:
        text = f"{f.name}: a bool domain of {seen.type} takes no true_value or false_value"
        better: Any = {"true_value": None, "false_value": None}
    else:
        text = f"{f.name}: a bool domain of texts must name true_value or false_value"
        better = None
    allowed = "no names" if named else "true_value, false_value"
    return anomaly(
        f.name,
        "BOOL_TYPE_INVALID_CONFIG",
        "domain",
        named,
        allowed,
        text,
        proposed=change(f.name, domain=better),
    )


def _bool_ints(f: Feature, seen: FeatureView) -> Found:
    low: Any = seen.min
    high: Any = seen.max
    if low is None or high is None:
        return
    wider = {"kind": "int", "min": min(low, 0), "max": max(high, 1)}
    if low < 0:
        text = f"{f.name}: the smallest value {low} is below 0"
        proposed = change(f.name, domain=wider)
        yield anomaly(f.name, "BOOL_TYPE_SMALL_INT", "domain.min", low, 0, text, proposed=proposed)
    elif high > 1:
        text = f"{f.name}: the largest value {high} is above 1"
        proposed = change(f.name, domain=wider)
        yield anomaly(f.name, "BOOL_TYPE_BIG_INT", "domain.max", high, 1, text, proposed=proposed)


def _bool_floats(f: Feature, seen: FeatureView) -> Found:
    low: Any = seen.min
    high: Any = seen.max
    counts = seen.value_counts()
    if counts is not None:
        bad: list[Any] = sorted(v for v in counts if isinstance(v, float) and v not in (0.0, 1.0))
    else:
        ends = [v for v in (low, high) if v not in (None, 0.0, 1.0)]
        bad = ends or _between(seen)
    if not bad and not seen.num_nan:
        return
    shown = [jsonable(v) for v in bad[:20]] + (["nan"] if seen.num_nan else [])
    text = f"{f.name}: numbers that are neither 0 nor 1: {listed(shown)}"
    wider: dict[str, Any] = {"kind": "float"}
    if low is not None and high is not None:
        wider |= {"min": min(low, 0.0), "max": max(high, 1.0)}
    yield anomaly(
        f.name,
        "BOOL_TYPE_UNEXPECTED_FLOAT",
        "domain",
        shown,
        [0, 1],
        text,
        proposed=change(f.name, domain=wider),
    )


def _between(seen: FeatureView) -> list[float]:
    """A value strictly between 0 and 1, as the buckets of equal mass show it."""
    h = seen.quantile_histogram
    return [] if h is None else [b.low for b in h.buckets if b.low > 0.0 and b.high < 1.0 and b.count][:1]


_CHECKS: Final[Mapping[type[Domain], Callable[[Feature, Any, FeatureView], Found]]] = {
    BoolDomain: _bool_domain,
    FloatDomain: _float_domain,
    IntDomain: _int_domain,
    StringDomain: _string_domain,
    TimeDomain: _time_domain,
}
