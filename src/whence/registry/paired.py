"""Two models judged on the same rows: by how much one is better, and how sure that is.

The rows are the same, so what they have in common (hard days, easy days) cancels: only the difference
of the two answers to a row counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence.errors import UsageError
from whence.metadata.types import Value
from whence.stats import auc, brier, log_loss

Metric: TypeAlias = Literal["log_loss", "brier", "auc"]
Floats: TypeAlias = npt.NDArray[np.float64]

CLIP: Final = 2.0**-52
_LOSSES: Final[Mapping[str, Callable[[Floats, Floats], Floats]]] = {
    "log_loss": lambda y, p: (
        -np.where(y == 1, np.log(p.clip(CLIP, 1 - CLIP)), np.log1p(-p.clip(CLIP, 1 - CLIP)))
    ),
    "brier": lambda y, p: (p - y) ** 2,
}
_METRICS: Final[Mapping[str, Callable[..., float | None]]] = {
    "log_loss": log_loss,
    "brier": brier,
    "auc": auc,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What two models' answers to the same rows say.

    Attributes:
        n_rows: Rows with a label and both answers.
        n_groups: Groups that were drawn from; rows, when none were named.
        champion, challenger: The metric of each.
        gain: By how much the challenger is better.
        interval: Where the gain lies with the rule's confidence.
        better: What the rule says.
    """

    n_rows: int
    n_groups: int
    champion: float
    challenger: float
    gain: float
    interval: tuple[float, float]
    better: bool

    def to_dict(self) -> dict[str, Value]:
        """The judgement as plain values, as it is kept with a promotion."""
        return {
            "n_rows": self.n_rows,
            "n_groups": self.n_groups,
            "champion": self.champion,
            "challenger": self.challenger,
            "gain": self.gain,
            "interval": list(self.interval),
            "better": self.better,
        }


@dataclass(frozen=True, slots=True)
class PairedRule:
    """When a challenger is better than the champion on the same rows.

    With gain g (champion minus challenger for losses, the reverse for AUC) and its interval [l, u] at
    `confidence`: better when ``g > 0``, ``l >= min_gain``, and there are `min_rows` rows.

    The interval is a paired bootstrap. Rows fall into G groups (each its own, or those of a column such as
    the day, for rows of one day are not independent). `n_resamples` times G groups are drawn with
    replacement by numpy's PCG64 from `seed`, and the gain is computed with each row counted as often as its
    group was drawn: ``sum(c_g * D_g) / sum(c_g * n_g)`` for losses, with D_g the sum of the differences of
    group g; for AUC the difference of the weighted AUCs. l and u are the quantiles ``(1 - confidence) / 2``
    and ``(1 + confidence) / 2`` of these gains, linearly interpolated. With fewer than some twenty groups the
    interval comes out narrower than it should; of a single group nothing can be drawn, so its rows are.

    Source:
        Efron, Tibshirani 1993, §8 and §13; groups: the cluster bootstrap of Davison, Hinkley 1997, §3.8.

    Attributes:
        metric: ``log_loss``, ``brier`` or ``auc``.
        min_gain: What the interval must not fall below.
        confidence: How sure, two-sided.
        higher_is_better: The metric's direction; follows from the metric.

    Example:
        >>> rule = PairedRule("log_loss", min_rows=2)
        >>> str(rule)
        'log_loss lower by at least 0, 95 % sure'
        >>> found = rule.judge([1, 0] * 50, champion=[0.6, 0.4] * 50, challenger=[0.7, 0.3] * 50)
        >>> found.better, round(found.gain, 4), [round(x, 4) for x in found.interval]
        (True, 0.1542, [0.1542, 0.1542])
    """

    metric: Metric
    min_gain: float = 0.0
    confidence: float = 0.95
    min_rows: int = 100
    n_resamples: int = 1_000
    seed: int = 0
    higher_is_better: bool | None = None

    def __post_init__(self) -> None:
        if self.metric not in get_args(Metric):
            raise _bad(f"{self.metric!r} cannot be judged in pairs; log_loss, brier and auc can")
        if not self.min_gain >= 0:
            raise _bad(f"min_gain must be at least 0, got {self.min_gain}")
        if not 0 < self.confidence < 1:
            raise _bad(f"confidence must lie between 0 and 1, got {self.confidence}")
        if self.min_rows < 2 or self.n_resamples < 100:
            raise _bad(
                f"min_rows must be at least 2 and n_resamples 100, got {self.min_rows}, {self.n_resamples}"
            )
        direction = self.metric == "auc"
        if self.higher_is_better not in (None, direction):
            raise _bad(f"{self.metric} is better when {'higher' if direction else 'lower'}")
        object.__setattr__(self, "higher_is_better", direction)

    def __str__(self) -> str:
        way = "higher" if self.higher_is_better else "lower"
        return f"{self.metric} {way} by at least {self.min_gain:g}, {100 * self.confidence:g} % sure"

    def to_dict(self) -> dict[str, Value]:
        """The rule as plain values."""
        return {
            "metric": self.metric,
            "min_gain": self.min_gain,
            "confidence": self.confidence,
            "min_rows": self.min_rows,
            "n_resamples": self.n_resamples,
            "seed": self.seed,
        }

    def judge(self, labels: Any, champion: Any, challenger: Any, *, groups: Any = None) -> Judgement:
        """Judge two models' answers to n rows.

        Args:
            labels: n labels, 0 or 1, or booleans; a row without one is left out.
            champion: n answers of the one.
            challenger: n answers of the other.
            groups: n names; rows of one name are drawn together.

        Raises:
            UsageError: Lengths differ (``unequal-lengths``), there are too few rows (``too-few-rows``), an
                answer is missing (``bad-scores``), or labels are no 0 and 1.
        """
        y, a, b, g = _rows(labels, champion, challenger, groups)
        if len(y) < self.min_rows:
            raise UsageError(
                f"{len(y)} labelled rows are too few to judge by; the rule asks for {self.min_rows}",
                code="too-few-rows",
                hint="wait for more labels, or lower min_rows",
            )
        values = [_METRICS[self.metric](y, s) for s in (a, b)]
        if values[0] is None or values[1] is None:
            raise UsageError(
                "AUC needs rows of both classes", code="too-few-rows", hint="wait for more labels"
            )
        sign = 1.0 if self.higher_is_better else -1.0
        n_groups = int(g.max()) + 1
        gains = self._resampled(y, a, b, g, n_groups)
        tail = (1 - self.confidence) / 2
        low, high = (float(q) for q in np.nanquantile(gains, [tail, 1 - tail]))
        gain = sign * (values[1] - values[0])
        better = gain > 0 and low >= self.min_gain
        return Judgement(len(y), n_groups, values[0], values[1], gain, (low, high), better)

    def _resampled(self, y: Floats, a: Floats, b: Floats, g: npt.NDArray[np.intp], n_groups: int) -> Floats:
        rng = np.random.Generator(np.random.PCG64(self.seed))
        draws = (
            np.bincount(rng.integers(0, n_groups, n_groups), minlength=n_groups)
            for _ in range(self.n_resamples)
        )
        if self.metric == "auc":
            first, second = _Ranked(y, a), _Ranked(y, b)
            return np.array([second.auc(c[g]) - first.auc(c[g]) for c in draws])
        loss = _LOSSES[self.metric]
        total = np.bincount(g, weights=loss(y, a) - loss(y, b), minlength=n_groups)
        size = np.bincount(g, minlength=n_groups)
        return np.array([float(c @ total) / float(c @ size) for c in draws])


class _Ranked:
    """Scores in their order, so that AUC with other weights costs one pass."""

    def __init__(self, y: Floats, scores: Floats) -> None:
        _, self._place = np.unique(scores, return_inverse=True)
        self._positive = y == 1

    def auc(self, weights: npt.NDArray[np.intp]) -> float:
        """AUC with each row counted `weights` times; NaN when a class is absent."""
        n = int(self._place.max()) + 1
        up = np.bincount(self._place, weights=weights * self._positive, minlength=n)
        down = np.bincount(self._place, weights=weights * ~self._positive, minlength=n)
        pairs = float(up.sum()) * float(down.sum())
        below = np.cumsum(down) - down
        return float(up @ (below + down / 2)) / pairs if pairs else float("nan")


def _rows(
    labels: Any, champion: Any, challenger: Any, groups: Any
) -> tuple[Floats, Floats, Floats, npt.NDArray[np.intp]]:
    y, a, b = _column(labels), _column(champion), _column(challenger)
    names = np.arange(len(y)) if groups is None else np.asarray(_plain(groups))
    if names.dtype == object:  # dates, text and what may be null
        names = names.astype(str)
    if not len(y) == len(a) == len(b) == len(names):
        raise UsageError(
            f"{len(y)} labels, {len(a)} and {len(b)} answers, {len(names)} groups", code="unequal-lengths"
        )
    known = ~np.isnan(y)
    y, a, b, names = y[known], a[known], b[known], names[known]
    if np.isnan(a).any() or np.isnan(b).any():
        raise UsageError(
            "a row has no answer of one of the models, so they are not judged on the same rows",
            code="bad-scores",
            hint="judge on the rows both have answered",
        )
    if not np.isin(y, (0, 1)).all():
        raise UsageError("labels must be 0 or 1", code="bad-labels")
    _, g = np.unique(names, return_inverse=True)
    return y, a, b, g if len(g) == 0 or g.any() else np.arange(len(g))


def _column(values: Any) -> Floats:
    if isinstance(values, pa.Array | pa.ChunkedArray) and pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    return np.asarray(_plain(values), dtype=np.float64)


def _plain(values: Any) -> Any:
    if isinstance(values, pa.ChunkedArray):
        return values.to_numpy()
    return values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values


def _bad(message: str) -> UsageError:
    return UsageError(message, code="bad-rule")


__all__ = ["Judgement", "Metric", "PairedRule"]
