"""Mean and standard deviation: mergeable for floats, exact for integers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from whence.errors import UsageError
from whence.stats.base import Array, Values, decode, encode, numbers

# Below this, n * x**2 of one batch fits int64 with room for the sum.
_SQUARES_FIT = 2**62


@dataclass(frozen=True, slots=True)
class Moments:
    """n, mean and M2 (the sum of squared distances from the mean) of the finite values.

    A batch enters with its own mean and M2; two states merge by::

        delta = mean_b - mean_a;  n = n_a + n_b
        mean  = mean_a + delta * n_b / n
        M2    = M2_a + M2_b + delta**2 * n_a * n_b / n

    Any order and any split agree to 1e-12 of the largest magnitude. The mean of finite values is
    finite; M2 is infinite where it is beyond the largest double.

    Source:
        Chan, Golub, LeVeque 1979; Pébay, "Formulas for Robust, One-Pass Parallel Computation of
        Covariances and Arbitrary-Order Statistical Moments", Sandia 2008, equations 2.1 and 3.1.

    Example:
        >>> m = Moments().add([1.0, 2.0]).merge(Moments().add([3.0, 6.0]))
        >>> m.n, m.mean, m.variance
        (4, 3.0, 3.5)
    """

    n: int = 0
    center: float = 0.0
    m2: float = 0.0

    @property
    def mean(self) -> float | None:
        """The arithmetic mean; None without values."""
        return self.center if self.n else None

    @property
    def variance(self) -> float | None:
        """The population variance, M2 / n; None without values."""
        return self.m2 / self.n if self.n else None

    @property
    def std(self) -> float | None:
        """The population standard deviation; None without values."""
        return math.sqrt(self.m2 / self.n) if self.n and self.m2 >= 0 else None

    @property
    def total(self) -> float:
        """The sum."""
        return self.center * self.n

    def add(self, values: Values) -> Moments:
        """Take in a batch; NaN and infinities are left out."""
        array = numbers(values).astype(np.float64, copy=False)
        array = array[np.isfinite(array)]
        if not len(array):
            return self
        with np.errstate(over="ignore", invalid="ignore"):
            mean = _mean(array)
            away = array - mean
            m2 = float(np.dot(away, away))
        return self.merge(Moments(len(array), mean, m2))

    def merge(self, other: Moments) -> Moments:
        """The moments of both."""
        if not self.n:
            return other
        if not other.n:
            return self
        n = self.n + other.n
        delta = other.center - self.center
        center = self.center + delta * (other.n / n)
        if not math.isfinite(delta):  # the means are finite, their difference is not
            center = self.center * (self.n / n) + other.center * (other.n / n)
        between = delta * (self.n * other.n / n) * delta
        return Moments(n, center, self.m2 + other.m2 + between)

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"n": self.n, "mean": encode(self.center), "m2": encode(self.m2)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Moments:
        """The state that `to_dict` wrote."""
        return cls(data["n"], decode(data["mean"]), decode(data["m2"]))


def _mean(array: Array) -> float:
    """The mean, also where the sum is beyond the largest double."""
    mean = float(array.mean())
    if not math.isfinite(mean):
        scale = 2.0 ** (len(array).bit_length() + 1)
        mean = float((array / scale).mean()) * scale
        mean = min(max(mean, float(array.min())), float(array.max()))
    return mean


@dataclass(frozen=True, slots=True)
class IntegerMoments:
    """n, the sum and the sum of squares of integers, exact at any size.

    Sums are Python integers, so order and split never matter; mean and variance are one correctly
    rounded division each: ``mean = s1 / n``, ``variance = (n * s2 - s1**2) / n**2``.

    Example:
        >>> m = IntegerMoments().add([2**53, 2**53 + 1]).merge(IntegerMoments().add([-(2**53)]))
        >>> m.total, m.mean, IntegerMoments().add([1, 2, 3, 4]).variance
        (9007199254740993, 3002399751580331.0, 1.25)
    """

    n: int = 0
    total: int = 0
    squares: int = 0

    @property
    def mean(self) -> float | None:
        """The arithmetic mean, correctly rounded; None without values."""
        return self.total / self.n if self.n else None

    @property
    def variance(self) -> float | None:
        """The population variance, correctly rounded; None without values."""
        return (self.n * self.squares - self.total**2) / self.n**2 if self.n else None

    @property
    def std(self) -> float | None:
        """The population standard deviation; None without values."""
        variance = self.variance
        return None if variance is None else math.sqrt(variance)

    def add(self, values: Values) -> IntegerMoments:
        """Take in a batch of integers.

        Raises:
            UsageError: The values are not integers (``not-integer``).
        """
        array = numbers(values)
        if not len(array):
            return self
        if array.dtype == np.float64:
            raise UsageError(
                "IntegerMoments takes integers, got floats", code="not-integer", hint="use Moments"
            )
        return self.merge(IntegerMoments(len(array), *_power_sums(array)))

    def merge(self, other: IntegerMoments) -> IntegerMoments:
        """The sums of both."""
        return IntegerMoments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON; integers of any size are JSON numbers."""
        return {"n": self.n, "total": self.total, "squares": self.squares}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> IntegerMoments:
        """The state that `to_dict` wrote."""
        return cls(data["n"], data["total"], data["squares"])


def _power_sums(array: Array) -> tuple[int, int]:
    """Sum and sum of squares of int64 or uint64 values, exactly."""
    n, low, high = len(array), int(array.min()), int(array.max())
    largest = max(abs(low), abs(high))
    if largest * largest * n < _SQUARES_FIT:
        return int(array.sum()), int(np.dot(array, array))
    # Shift to start at 0 and cut into four limbs of 16 bits, so that every product fits.
    shifted = (array.astype(np.uint64) - np.uint64(low % 2**64)).astype(np.uint64)
    limbs = [((shifted >> np.uint64(16 * i)) & np.uint64(0xFFFF)).astype(np.int64) for i in range(4)]
    s1 = sum(int(limb.sum()) << (16 * i) for i, limb in enumerate(limbs))
    s2 = sum(int(np.dot(a, b)) << (16 * (i + j)) for i, a in enumerate(limbs) for j, b in enumerate(limbs))
    return s1 + n * low, s2 + 2 * low * s1 + n * low * low
