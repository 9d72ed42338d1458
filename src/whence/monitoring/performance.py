"""How good scores were, as the truth comes in: each prediction waits for its label; a day that changes is stated anew."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from whence.stats import auc, calibration, calibration_error, log_loss, precision_recall
from whence.stats.base import Array

METRICS: Final = (
    "auc", "log_loss", "excess_log_loss", "mean_score", "rate", "calibration", "ece",
    "precision", "recall", "coverage",
)  # fmt: skip

CALIBRATION_EFFECT: Final = 0.1
"""Mean score and rate may differ by this share of the reference's mean score before it matters."""

LOSS_EFFECT: Final = 0.05
"""Log loss may lie this share above what the scores themselves expect before it matters."""

MIN_LABELS: Final = 30
"""A day with fewer labels is measured and not judged."""

UNKNOWN: Final = -1
"""A truth that is not known."""


@dataclass
class Day:
    """The predictions of one day: score and truth, NaN while that is not known."""

    scores: Array = field(default_factory=lambda: np.empty(0))
    truth: Array = field(default_factory=lambda: np.empty(0))


class Quality:
    """Predictions by day, and the truth that has come.

    Example:
        >>> q = Quality()
        >>> q.add_predictions(np.array([1, 2], np.uint64), np.array([0.9, 0.2]), np.array([5, 5]))
        >>> sorted(q.add_labels(np.array([1], np.uint64), np.array([1])))
        [5]
        >>> q.of([5])["coverage"]
        0.5
    """

    def __init__(self) -> None:
        self.days: dict[int, Day] = {}
        self._where: dict[int, tuple[int, int]] = {}
        self._truth: dict[int, int] = {}

    def add_predictions(self, hashes: Array, scores: Array, days: Array) -> None:
        """Take in predictions: key, score, day. Of a key that comes twice the later counts."""
        for day in np.unique(days).tolist():
            inside = days == day
            mine = self.days.setdefault(day, Day())
            begin = len(mine.scores)
            keys = hashes[inside].tolist()
            known = [self._truth.get(k, UNKNOWN) for k in keys]
            mine.scores = np.concatenate([mine.scores, scores[inside]])
            mine.truth = np.concatenate([mine.truth, [math.nan if k == UNKNOWN else float(k) for k in known]])
            for i, key in enumerate(keys, begin):
                before = self._where.get(key)
                if before is not None:
                    self.days[before[0]].scores[before[1]] = math.nan
                self._where[key] = (day, i)

    def add_labels(self, hashes: Array, truth: Array) -> set[int]:
        """Take in labels, the newest last: 1, 0 or `UNKNOWN`. Gives the days whose predictions they change."""
        changed = set()
        for key, value in zip(hashes.tolist(), truth.tolist(), strict=True):
            if self._truth.get(key, UNKNOWN) == value:
                continue
            self._truth[key] = value
            where = self._where.get(key)
            if where is not None:
                self.days[where[0]].truth[where[1]] = math.nan if value == UNKNOWN else float(value)
                changed.add(where[0])
        return changed

    def labelled(self, days: Iterable[int]) -> tuple[Array, Array, int]:
        """Truth and score of the labelled predictions of some days, and how many predictions there are."""
        mine = [self.days[d] for d in days if d in self.days]
        if not mine:
            return np.empty(0), np.empty(0), 0
        scores, truth = np.concatenate([d.scores for d in mine]), np.concatenate([d.truth for d in mine])
        alive = ~np.isnan(scores)
        known = alive & ~np.isnan(truth)
        return truth[known], scores[known], int(alive.sum())

    def of(self, days: Iterable[int], *, threshold: float = 0.5) -> dict[str, float | None]:
        """The metrics of some days together; ``n`` is how many labels there are. Empty without predictions."""
        truth, scores, n = self.labelled(days)
        if not n:
            return {}
        found: dict[str, float | None] = {"n": float(len(truth)), "coverage": len(truth) / n}
        if not len(truth):
            return found
        labels = truth.astype(np.int64)
        mean, rate = float(scores.mean()), float(truth.mean())
        found |= {"auc": auc(labels, scores), "mean_score": mean, "rate": rate, "calibration": mean - rate}
        precision, recall = precision_recall(labels, scores, threshold=threshold)
        found |= {"precision": precision, "recall": recall}
        if float(scores.min()) >= 0 and float(scores.max()) <= 1:
            loss = log_loss(labels, scores)
            found |= {
                "log_loss": loss,
                "excess_log_loss": loss - expected_loss(scores),
                "ece": calibration_error(calibration(labels, scores)),
            }
        return found


def expected_loss(scores: Array) -> float:
    """The log loss that scores expect of themselves if they are right: the mean of their entropies.

    Example:
        >>> round(expected_loss(np.array([0.5])), 6)
        0.693147
    """
    p = np.clip(scores, 2.0**-52, 1 - 2.0**-52)
    return float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean())


def as_rows(found: dict[str, float | None]) -> tuple[Sequence[str], list[float | None]]:
    """The metrics that have a value, and their values."""
    names = [name for name in METRICS if found.get(name) is not None]
    return names, [found[name] for name in names]
