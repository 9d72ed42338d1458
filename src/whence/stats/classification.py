"""How good scores are against what came true: ranking, probability, decision."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from whence.errors import UsageError
from whence.stats.base import Array, Values, numbers


def _pair(labels: Values, scores: Values) -> tuple[Array, Array]:
    y, s = numbers(labels), numbers(scores).astype(np.float64, copy=False)
    if len(y) != len(s):
        raise UsageError(
            f"{len(y)} labels stand against {len(s)} scores (nulls do not count)", code="unequal-lengths"
        )
    if not len(y):
        raise UsageError("a metric needs at least one label", code="no-labels")
    if not bool(np.isin(y, (0, 1)).all()):
        raise UsageError("labels must be 0 or 1", code="bad-labels")
    if bool(np.isnan(s).any()):
        raise UsageError("a score is NaN", code="bad-scores")
    return y.astype(np.int64, copy=False), s


def auc(labels: Values, scores: Values) -> float | None:
    """The probability that a positive scores above a negative; ties count one half, exactly.

    With the Mann-Whitney count ``U = sum over positives of (negatives below + ties / 2)``, AUC is
    ``U / (P * N)``. 2U is an integer and is summed as one, so the order of rows cannot matter.
    None when only one class is present.

    Source:
        Hanley, McNeil 1982; Mann, Whitney 1947.

    Example:
        >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
        0.875
    """
    y, s = _pair(labels, scores)
    _, group = np.unique(s, return_inverse=True)
    positives = np.bincount(group, weights=y).astype(np.int64)
    negatives = np.bincount(group).astype(np.int64) - positives
    p, n = int(positives.sum()), int(negatives.sum())
    if not p or not n:
        return None
    below = np.cumsum(negatives) - negatives
    twice_u = int(np.dot(positives, 2 * below + negatives))
    return twice_u / (2 * p * n)


def log_loss(labels: Values, probabilities: Values, *, clip: float = 2.0**-52) -> float:
    """The mean of ``-ln p`` for positives and ``-ln (1 - p)`` for negatives, in nats.

    Probabilities are first moved into ``[clip, 1 - clip]``, as scikit-learn does.

    Source:
        Good 1952.

    Example:
        >>> log_loss([1, 0], [0.5, 0.5]) == math.log(2)
        True
    """
    y, s = _pair(labels, probabilities)
    _probabilities(s)
    s = np.clip(s, clip, 1 - clip)
    return -math.fsum(np.where(y == 1, np.log(s), np.log1p(-s))) / len(y)


def brier(labels: Values, probabilities: Values) -> float:
    """The mean squared distance between probability and outcome.

    Source:
        Brier 1950, in its form for one class (between 0 and 1).

    Example:
        >>> brier([1, 0], [0.5, 0.0])
        0.125
    """
    y, s = _pair(labels, probabilities)
    _probabilities(s)
    return math.fsum((s - y) ** 2) / len(y)


def _probabilities(s: Array) -> None:
    if float(s.min()) < 0.0 or float(s.max()) > 1.0:
        raise UsageError("probabilities lie between 0 and 1", code="bad-scores")


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The scores in [low, high) (the last bin includes high), their mean, and what came true."""

    low: float
    high: float
    n: int
    mean_score: float | None
    rate: float | None


def calibration(
    labels: Values,
    probabilities: Values,
    *,
    bins: int = 10,
    cut: Literal["uniform", "quantile"] = "uniform",
) -> list[CalibrationBin]:
    """Mean score beside observed rate, per bin of the score.

    Args:
        labels: 0 or 1.
        probabilities: Between 0 and 1.
        bins: How many bins; with ``quantile`` equal edges fall together and there may be fewer.
        cut: Equal widths of [0, 1], or equal counts.

    Example:
        >>> for b in calibration([0, 1, 1], [0.25, 0.25, 0.75], bins=2): print(b)
        CalibrationBin(low=0.0, high=0.5, n=2, mean_score=0.25, rate=0.5)
        CalibrationBin(low=0.5, high=1.0, n=1, mean_score=0.75, rate=1.0)
    """
    y, s = _pair(labels, probabilities)
    _probabilities(s)
    edges = _edges(s, bins, cut)
    places = np.clip(np.searchsorted(np.asarray(edges), s, side="right") - 1, 0, len(edges) - 2)
    result = []
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = places == i
        n = int(inside.sum())
        mean = math.fsum(s[inside]) / n if n else None
        rate = int(y[inside].sum()) / n if n else None
        result.append(CalibrationBin(low, high, n, mean, rate))
    return result


def _edges(s: Array, bins: int, cut: str) -> list[float]:
    if bins < 1:
        raise UsageError(f"calibration needs at least one bin, got {bins}", code="bad-buckets")
    if cut == "uniform":
        return [i / bins for i in range(bins + 1)]
    inner = np.quantile(s, [i / bins for i in range(1, bins)], method="inverted_cdf").tolist()
    return sorted({0.0, *inner, 1.0})


def calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """Expected calibration error: the mean over rows of ``|mean score - rate|`` of their bin.

    Source:
        Naeini, Cooper, Hauskrecht 2015.

    Example:
        >>> calibration_error(calibration([0, 1, 1], [0.25, 0.25, 0.75], bins=2))
        0.25
    """
    total = sum(b.n for b in bins)
    gaps = [b.n * abs(b.mean_score - b.rate) for b in bins if b.mean_score is not None and b.rate is not None]
    return math.fsum(gaps) / total


@dataclass(frozen=True, slots=True)
class Confusion:
    """What a decision got right and wrong; a rate without cases is None.

    Example:
        >>> c = confusion([1, 1, 0, 0], [0.9, 0.2, 0.6, 0.1], threshold=0.5)
        >>> (c.tp, c.fp, c.fn, c.tn), c.precision, c.recall, c.f1
        ((1, 1, 1, 1), 0.5, 0.5, 0.5)
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def n(self) -> int:
        """All cases."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def precision(self) -> float | None:
        """Of those called positive, how many are: tp / (tp + fp)."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Of the positives, how many were called: tp / (tp + fn)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def accuracy(self) -> float | None:
        """How many were right: (tp + tn) / n."""
        return _ratio(self.tp + self.tn, self.n)


def _ratio(a: int, b: int) -> float | None:
    return a / b if b else None


def confusion(labels: Values, scores: Values, *, threshold: float = 0.5) -> Confusion:
    """Count decisions; a score equal to the threshold is called positive."""
    y, s = _pair(labels, scores)
    called = s >= threshold
    tp, fp = int((called & (y == 1)).sum()), int((called & (y == 0)).sum())
    positives = int(y.sum())
    return Confusion(tp, fp, positives - tp, len(y) - positives - fp)


def precision_recall(
    labels: Values, scores: Values, *, threshold: float = 0.5
) -> tuple[float | None, float | None]:
    """Precision and recall of calling every score at or above the threshold.

    Example:
        >>> precision_recall([1, 1, 0], [0.9, 0.2, 0.6])
        (0.5, 0.5)
    """
    counted = confusion(labels, scores, threshold=threshold)
    return counted.precision, counted.recall


def average_precision(labels: Values, scores: Values) -> float | None:
    """The area under precision against recall as a sum of steps: ``sum (R_i - R_{i-1}) * P_i``.

    Equal scores are one step. None without a positive.

    Source:
        Zhu 2004; scikit-learn ``average_precision_score``.

    Example:
        >>> average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        0.8333333333333333
    """
    y, s = _pair(labels, scores)
    _, group = np.unique(-s, return_inverse=True)
    hits = np.bincount(group, weights=y).astype(np.int64)
    called = np.cumsum(np.bincount(group))
    total = int(hits.sum())
    if not total:
        return None
    return math.fsum(np.cumsum(hits) / called * hits) / total
