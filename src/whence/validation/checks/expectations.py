"""Measures of a column against bounds: mean, quantiles, ratios."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from whence.validation.checks.base import Found, anomaly, change, unique_margin
from whence.validation.types import Expectation, Feature, as_micros
from whence.validation.view import FeatureView


def check_expectations(f: Feature, seen: FeatureView) -> Found:
    """The anomalies of a column's expectations; what does not apply is said by `expectation_notes`."""
    for e in f.expect:
        value = measured(e, seen)
        if value is None or math.isnan(value):
            continue
        margin = _margin(e, seen)
        about = "about " if margin else ""
        if e.min is not None and value + margin < e.min:
            text = f"{f.name}: {e.of} is {about}{value:.6g}, expected is at least {e.min:g}" + _learned(e)
            proposed = change(f.name, expect={e.of: {"min": value}})
            rule = f"expect.{e.of}.min"
            yield anomaly(
                f.name, "EXPECTATION_LOW", rule, value, e.min, text, proposed=proposed, severity=e.severity
            )
        if e.max is not None and value - margin > e.max:
            text = f"{f.name}: {e.of} is {about}{value:.6g}, expected is at most {e.max:g}" + _learned(e)
            proposed = change(f.name, expect={e.of: {"max": value}})
            rule = f"expect.{e.of}.max"
            yield anomaly(
                f.name, "EXPECTATION_HIGH", rule, value, e.max, text, proposed=proposed, severity=e.severity
            )


def _margin(e: Expectation, seen: FeatureView) -> float:
    """How far an estimated measure may be off: it is judged only beyond three standard errors."""
    if e.of not in ("unique", "unique_ratio"):
        return 0.0
    return unique_margin(seen) / (seen.n_values or 1 if e.of == "unique_ratio" else 1)


def _learned(e: Expectation) -> str:
    return f" (learned from {len(e.learned_from)} versions)" if e.learned_from else ""


def expectation_notes(f: Feature, seen: FeatureView) -> list[str]:
    """Which expectations do not apply to a column, and why."""
    if not seen.num_rows:
        return []
    return [
        f"{f.name}: {e.of} does not apply to a column of type {seen.type}"
        + ("" if seen.num_non_missing else " without values")
        + (" that holds no number" if seen.num_non_missing and seen.n_values == seen.num_nan else "")
        for e in f.expect
        if (value := measured(e, seen)) is None or math.isnan(value)
    ]


def measured(e: Expectation, seen: FeatureView) -> float | None:
    """The measure an expectation is of; None when it has no meaning for the column.

    Ratios are of rows (``missing_ratio``) or of values (the others); a unique ratio that is estimated is
    within 1.6 %.
    """
    q = e.quantile
    if q is not None:
        return _plain(seen.quantile(q)) if _is_number(seen) else None
    return measure(e.of, seen)


def measure(of: str, seen: FeatureView) -> float | None:
    """A measure by name; see `Expectation`."""
    return _MEASURES[of](seen)


def _plain(value: Any) -> float | None:
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, date):
        return float(as_micros(value))
    return value if isinstance(value, (int, float)) else None


def _is_number(seen: FeatureView) -> bool:
    return seen.type in ("INT", "FLOAT", "BOOL") and bool(seen.n_values)


def _share(n: float | None, of: float) -> float | None:
    return None if n is None or not of else n / of


def _top_share(seen: FeatureView) -> float | None:
    top = seen.top_values(1)
    return _share(top[0][1], seen.n_values) if top else None


def _unique_ratio(seen: FeatureView) -> float | None:
    share = _share(seen.num_unique, seen.n_values)
    return share if share is None or seen.unique_is_exact else min(share, 1.0)


def _ranged(name: str) -> Callable[[FeatureView], float | None]:
    return lambda seen: _plain(getattr(seen, name)) if _is_number(seen) else None


_MEASURES: Final[Mapping[str, Callable[[FeatureView], float | None]]] = {
    "avg_length": lambda s: s.avg_length,
    "max": _ranged("max"),
    "max_length": lambda s: s.max_length,
    "mean": lambda s: s.mean,
    "median": _ranged("median"),
    "min": _ranged("min"),
    "min_length": lambda s: s.min_length,
    "missing_ratio": lambda s: _share(s.num_missing, s.num_rows),
    "nan_ratio": lambda s: _share(s.num_nan, s.n_values) if s.type == "FLOAT" else None,
    "std": lambda s: s.std_dev,
    "top_share": _top_share,
    "unique": lambda s: s.num_unique,
    "unique_ratio": _unique_ratio,
    "zeros_ratio": lambda s: _share(s.num_zeros, s.n_values),
}
