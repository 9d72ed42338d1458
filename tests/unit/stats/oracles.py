"""Naive answers in plain Python, to compare with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any


def mean(values: Sequence[float]) -> float:
    return float(sum(map(Fraction, values)) / len(values))


def variance(values: Sequence[float]) -> float:
    m = sum(map(Fraction, values)) / len(values)
    return float(sum((Fraction(v) - m) ** 2 for v in values) / len(values))


def quantile(values: Sequence[float], q: float) -> float:
    ordered = sorted(values)
    rank = max(1, math.ceil(q * len(ordered) - 1e-9))
    return ordered[min(rank, len(ordered)) - 1]


def auc(labels: Sequence[int], scores: Sequence[float]) -> float:
    wins = Fraction(0)
    pairs = 0
    for y, s in zip(labels, scores, strict=True):
        for z, t in zip(labels, scores, strict=True):
            if y == 1 and z == 0:
                pairs += 1
                wins += 1 if s > t else Fraction(1, 2) if s == t else 0
    return float(wins / pairs)


def top(values: Sequence[Any]) -> list[tuple[Any, int]]:
    return sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
