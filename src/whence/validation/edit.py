"""Short forms of changing a feature: ``max=100.0``, ``values=[…]``, ``drift_threshold=0.1``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from whence.errors import UsageError
from whence.validation.plain import wrong
from whence.validation.types import (
    Comparator,
    Domain,
    Expectation,
    Feature,
    FloatDomain,
    IntDomain,
    Presence,
    Shape,
    StringDomain,
    TimeDomain,
    Unique,
)

RANGE_KEYS: Final = ("min", "max", "disallow_nan", "disallow_inf")
SHORT_KEYS: Final = (
    *RANGE_KEYS,
    "drift_threshold",
    "max_unique",
    "min_count",
    "min_fraction",
    "min_unique",
    "skew_threshold",
    "values",
)
_FIELDS: Final = frozenset(f.name for f in fields(Feature)) - {"name"}


def edited(feature: Feature, domain: Domain | None, changes: Mapping[str, Any]) -> Feature:
    """A feature changed, its domain (a shared one looked up) given; see `Schema.edit`.

    Raises:
        UsageError: A key is unknown (``bad-schema``), or a range is given to a column that has none
            (``no-range``).
    """
    left = dict(changes)
    bounds: dict[str, Any] = {k: left.pop(k) for k in RANGE_KEYS if k in left}
    if bounds:
        left["domain"] = _ranged(feature, domain, bounds)
    if "values" in left:
        left["domain"] = StringDomain(tuple(left.pop("values")))
    presence = {k: left.pop(k) for k in ("min_fraction", "min_count") if k in left}
    if presence:
        left["presence"] = replace(feature.presence or Presence(), **presence)
    unique = {k[:3]: left.pop(k) for k in ("min_unique", "max_unique") if k in left}
    if unique:
        left["unique"] = replace(feature.unique or Unique(), **unique)
    for side in ("drift", "skew"):
        if f"{side}_threshold" in left:
            left[side] = _comparator(feature, left.pop(f"{side}_threshold"))
    if isinstance(left.get("shape"), (list, tuple)):
        left["shape"] = Shape(tuple(left["shape"]))
    if "expect" in left:
        left["expect"] = _expectations(left["expect"])
    for key in left:
        if key not in _FIELDS:
            raise wrong(f"a feature has no {key!r}", near=(key, [*_FIELDS, *SHORT_KEYS]))
    return replace(feature, **left)


def _comparator(feature: Feature, threshold: float | None) -> Comparator:
    text = feature.type in ("STRING", "BYTES", "BOOL")
    return Comparator(infinity_norm=threshold) if text else Comparator(jensen_shannon_divergence=threshold)


def _expectations(given: Iterable[Expectation] | Mapping[str, Any]) -> tuple[Expectation, ...]:
    if not isinstance(given, Mapping):
        return tuple(given)
    return tuple(Expectation(of, low, high) for of, (low, high) in given.items())


def _ranged(feature: Feature, domain: Domain | None, given: Mapping[str, Any]) -> Domain:
    start: IntDomain | FloatDomain | TimeDomain
    if isinstance(domain, (IntDomain, FloatDomain, TimeDomain)):
        start = domain
    elif feature.type == "INT":
        start = IntDomain()
    elif feature.type == "FLOAT":
        start = FloatDomain()
    elif feature.type in ("TIMESTAMP", "DATE"):
        start = TimeDomain()
    else:
        raise UsageError(
            f"feature {feature.name!r} is {feature.type} and has no range",
            code="no-range",
            hint="give domain=IntDomain(...) or domain=FloatDomain(...) when its text reads as numbers",
        )
    try:
        return replace(start, **given)
    except TypeError as error:
        raise UsageError(f"feature {feature.name!r}: {error}", code="bad-schema") from error
