"""Whether a stored value and a recomputed one are the same."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import Final

from whence.trace.node import Agreement

RELATIVE: Final = 1e-12
"""The bound for sums of doubles in another order (the design's *Sameness*)."""


def agreement(stored: object, recomputed: object) -> Agreement:
    """How two values compare: ``exact``, ``equivalent`` (doubles 1e-12 apart, relative) or ``different``.

    A null and a NaN are the same absence; -0 equals 0; an integer equals the double of its value; a
    boolean equals no number.

    Example:
        >>> agreement(0.1 + 0.2, 0.3), agreement(None, float("nan")), agreement(1, 2)
        ('equivalent', 'exact', 'different')
    """
    if _absent(stored) or _absent(recomputed):
        return "exact" if _absent(stored) and _absent(recomputed) else "different"
    if isinstance(stored, bool) != isinstance(recomputed, bool):
        return "different"
    if isinstance(stored, datetime) and isinstance(recomputed, datetime):
        aware = (stored.tzinfo is None) == (recomputed.tzinfo is None)
        return "exact" if aware and stored == recomputed else "different"
    if stored == recomputed:
        return "exact"
    if not isinstance(stored, int | float | Decimal) or not isinstance(recomputed, int | float | Decimal):
        return "different"
    return "equivalent" if error_of(stored, recomputed) <= RELATIVE else "different"


def error_of(stored: float | Decimal, recomputed: float | Decimal) -> float:
    """The relative difference of two numbers; an integer or decimal that differs is infinitely far."""
    if not isinstance(stored, float) and not isinstance(recomputed, float):
        return math.inf
    a, b = float(stored), float(recomputed)
    if not (math.isfinite(a) and math.isfinite(b)):
        return math.inf
    return abs(a - b) / max(abs(a), abs(b))


def _absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
