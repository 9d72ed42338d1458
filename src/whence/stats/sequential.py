"""Evidence that is looked at again and again: predictive p-values, e-values, and sums of them that may be stopped at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from whence.errors import UsageError

_TINY: Final = 1e-300
_STEPS: Final = 300


def student_sf(t: float, df: float) -> float:
    """The probability that Student's t with `df` degrees of freedom exceeds `t`.

    ``I_{df / (df + t^2)}(df / 2, 1 / 2) / 2`` for t >= 0, by the continued fraction of the incomplete beta.

    Source:
        Abramowitz, Stegun 26.7.1 and 26.5.8; the fraction is evaluated by Lentz's method.

    Example:
        >>> round(student_sf(2.0, 10), 10), student_sf(0.0, 3)
        (0.0366940174, 0.5)
    """
    if df <= 0:
        raise UsageError(f"Student's t needs degrees of freedom above 0, got {df}", code="bad-degrees")
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    x = df / (df + t * t)
    half = 0.5 * _incomplete_beta(df / 2, 0.5, x)
    return half if t >= 0 else 1.0 - half


@lru_cache(maxsize=4096)
def student_quantile(p: float, df: float) -> float:
    """The t that Student's t with `df` degrees of freedom exceeds with probability `p`, 0 < p <= 1/2.

    Example:
        >>> round(student_quantile(0.025, 10), 6)
        2.228139
    """
    if not 0 < p <= 0.5:
        raise UsageError(f"a tail probability lies above 0 and up to 1/2, got {p}", code="bad-probability")
    low, high = 0.0, 1.0
    while student_sf(high, df) > p and high < 1e300:
        low, high = high, high * 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if student_sf(middle, df) > p else (low, middle)
    return high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):
        return math.exp(front) * _fraction(a, b, x) / a
    return 1.0 - math.exp(front) * _fraction(b, a, 1.0 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 / ((1.0 - (a + b) * x / (a + 1)) or _TINY)
    h = d
    for m in range(1, _STEPS):
        for up in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / ((1.0 + up * d) or _TINY)
            c = (1.0 + up / c) or _TINY
            h *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return h


@dataclass(frozen=True, slots=True)
class Running:
    """Mean and spread of numbers seen so far, and how unusual the next one is among them.

    For independent normal numbers the p-values of each next one among all before it are independent and
    uniform, although mean and spread are estimated: nothing has to be known beforehand.

    Source:
        Welford 1962 for the update; Brown, Durbin, Evans 1975 for recursive residuals.

    Example:
        >>> seen = Running().add(1.0).add(2.0).add(3.0)
        >>> seen.mean, seen.sd, round(seen.p_above(5.0), 6)
        (2.0, 1.0, 0.060845)
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0

    def add(self, x: float) -> Running:
        """With one more number."""
        n = self.n + 1
        gap = x - self.mean
        mean = self.mean + gap / n
        return Running(n, mean, self.m2 + gap * (x - mean))

    @property
    def sd(self) -> float:
        """The standard deviation; 0 below two numbers."""
        return math.sqrt(self.m2 / (self.n - 1)) if self.n > 1 else 0.0

    def t(self, x: float, *, floor: float = 0.0) -> float:
        """How many predictive standard errors `x` lies above the mean; the spread is at least `floor`."""
        spread = max(self.sd, floor) * math.sqrt(1 + 1 / self.n) if self.n > 1 else 0.0
        if spread == 0.0:
            return 0.0 if x == self.mean else math.copysign(math.inf, x - self.mean)
        return (x - self.mean) / spread

    def p_above(self, x: float, *, floor: float = 0.0, max_df: float = math.inf) -> float:
        """The probability of a next number this high or higher; 1 below two numbers.

        Args:
            x: The next number.
            floor: The least spread that is believed.
            max_df: At most so many degrees of freedom: heavier tails than the normal's, whatever was seen.
        """
        return student_sf(self.t(x, floor=floor), min(self.n - 1, max_df)) if self.n > 1 else 1.0

    def p_either(self, x: float, *, floor: float = 0.0, max_df: float = math.inf) -> float:
        """The probability of a next number this far away or farther, on either side; as `p_above`."""
        if self.n < 2:
            return 1.0
        return min(2 * student_sf(abs(self.t(x, floor=floor)), min(self.n - 1, max_df)), 1.0)

    def level(self, p: float, *, floor: float = 0.0, max_df: float = math.inf) -> float | None:
        """The number that is exceeded with probability `p`; None below two numbers."""
        if self.n < 2:
            return None
        spread = max(self.sd, floor) * math.sqrt(1 + 1 / self.n)
        return self.mean + student_quantile(p, min(self.n - 1, max_df)) * spread


def e_from_p(p: float) -> float:
    """An e-value from a p-value: ``(1 - p + p ln p) / (p ln(p)^2)``, the mean of ``k p^(k-1)`` over k in [0, 1].

    Its expectation is at most 1 when `p` is uniform.

    Source:
        Vovk, Wang, "E-values: Calibration, combination and applications", 2021.

    Example:
        >>> round(e_from_p(0.001), 3), e_from_p(1.0)
        (20.791, 0.5)
    """
    p = max(p, _TINY)
    if p > 1 - 1e-4:  # the quotient is 0 / 0 there
        return 0.5
    log = math.log(p)
    return (1 - p + p * log) / (p * log * log)


BETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""How steeply `symmetric_bets` bets; the unit is one over that of the numbers."""


def symmetric_bets(x: float) -> tuple[float, ...]:
    """For each of `BETS`, the e-value ``exp(b x - b^2 x^2 / 2)`` against "x is symmetric around 0, or below".

    It needs neither a bound nor a variance: however widely days scatter, the expectation is at most 1.

    Source:
        de la Peña 1999, "A general class of exponential inequalities for martingales and ratios".

    Example:
        >>> [round(e, 3) for e in symmetric_bets(0.1)][:4]
        [1.1, 1.197, 1.377, 1.616]
    """
    return tuple(math.exp(max(b * x - b * b * x * x / 2, -700.0)) for b in BETS)
