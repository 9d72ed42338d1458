"""Drift and skew: how far two sets of statistics are apart, always reported, never silently 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np

from whence.stats import Quantiles, js, js_histograms, ks, l_infinity, psi
from whence.stats.distance import shares
from whence.validation.features import FeatureStatistics, jsonable
from whence.validation.schema import Schema
from whence.validation.statistics import Statistics
from whence.validation.types import Comparator

Side: TypeAlias = Literal["drift", "skew"]
Metric: TypeAlias = Literal["infinity_norm", "jensen_shannon_divergence", "psi", "ks"]
_REST = object()


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a column is from the other side, by one measure.

    Attributes:
        feature: The column.
        side: ``drift`` against the previous data, ``skew`` against serving data.
        metric: The measure; divergences are in bits.
        value: The distance; None when the measure does not apply.
        threshold: The largest one the schema allows; None allows any.
        reason: Why it does not apply.
        at: For the infinity norm: the value whose share moved most.
        error: How much of the distance the sketches may have missed.
    """

    feature: str
    side: Side
    metric: Metric
    value: float | None
    threshold: float | None = None
    reason: str | None = None
    at: Any = None
    error: float = 0.0

    @property
    def exceeds(self) -> bool:
        """Whether the schema forbids this distance."""
        return self.value is not None and self.threshold is not None and self.value > self.threshold

    def to_dict(self) -> dict[str, Any]:
        """The distance as JSON."""
        return {f.name: jsonable(getattr(self, f.name)) for f in fields(self)}


def compare_statistics(
    current: Statistics, control: Statistics, *, schema: Schema | None = None, side: Side = "drift"
) -> list[Distance]:
    """The distances of every column both sides have, with the thresholds of the schema.

    Text and booleans: infinity norm, Jensen-Shannon, PSI over values. Numbers: Jensen-Shannon over
    the equal-width histograms, PSI over the tenths of the control, Kolmogorov-Smirnov; the infinity
    norm does not apply. Times move by nature: nothing applies.

    Args:
        current: What is judged.
        control: What it is measured against: the previous version (drift), serving data (skew).
        schema: Whose comparators give thresholds.
        side: Which comparators.

    Example:
        >>> import pyarrow as pa
        >>> from whence.validation.statistics import describe
        >>> a, b = describe(pa.table({"c": ["x", "x", "y", "y"]})), describe(pa.table({"c": ["x", "y", "y", "y"]}))
        >>> d = compare_statistics(a, b)[0]
        >>> d.metric, d.value, d.at
        ('infinity_norm', 0.25, 'x')
    """
    found: list[Distance] = []
    for feature in current:
        other = control.features.get(feature.name)
        if other is not None:
            comparator = _comparator(schema, feature.name, side)
            found.extend(_distances(feature, other, comparator, side))
    return found


def _comparator(schema: Schema | None, name: str, side: Side) -> Comparator:
    feature = schema.features.get(name) if schema else None
    return (getattr(feature, side) if feature else None) or Comparator()


def _distances(
    a: FeatureStatistics, b: FeatureStatistics, comparator: Comparator, side: Side
) -> Iterator[Distance]:
    limits: Mapping[Metric, float | None] = {
        "infinity_norm": comparator.infinity_norm,
        "jensen_shannon_divergence": comparator.jensen_shannon_divergence,
    }
    reason = _not_comparable(a, b)
    if reason is not None:
        for metric, limit in limits.items():
            yield Distance(a.name, side, metric, None, limit, reason)
        return
    found = _of_values(a, b) if a.type in ("STRING", "BYTES", "BOOL") else _of_numbers(a, b)
    for metric, value, why, at, error in found:
        yield Distance(a.name, side, metric, value, limits.get(metric), why, at, error)


def _not_comparable(a: FeatureStatistics, b: FeatureStatistics) -> str | None:
    if a.type != b.type:
        return f"{a.type} cannot be compared with {b.type}"
    if a.is_time:
        return "times move by nature"
    if a.type == "STRUCT":
        return "structures are not compared"
    if not a.n_values or not b.n_values:
        return "one side has no values"
    return None


_Found: TypeAlias = tuple[Metric, float | None, str | None, Any, float]


def _of_values(a: FeatureStatistics, b: FeatureStatistics) -> Iterator[_Found]:
    p, q, error = _counts(a), _counts(b), _undercount(a) + _undercount(b)
    gap, at = l_infinity(p, q)
    yield "infinity_norm", gap, None, "(the rest)" if at is _REST else at, error
    _, x, y = shares(q, p)
    yield "jensen_shannon_divergence", js(y, x), None, None, error
    yield "psi", psi(x, y), None, None, error


def _counts(f: FeatureStatistics) -> dict[Any, int]:
    counts: dict[Any, int] = dict(f.text.top.top()) if f.text else dict(f.value_counts() or {})
    rest = f.n_values - sum(counts.values())
    return {**counts, _REST: rest} if rest else counts


def _undercount(f: FeatureStatistics) -> float:
    return f.text.top.undercount / f.n_values if f.text else 0.0


def _of_numbers(a: FeatureStatistics, b: FeatureStatistics) -> Iterator[_Found]:
    yield "infinity_norm", None, "the infinity norm compares shares of values, not numbers", None, 0.0
    assert a.number is not None
    assert b.number is not None
    assert a.histogram is not None
    assert b.histogram is not None
    error = a.rank_error + b.rank_error
    yield "jensen_shannon_divergence", js_histograms(a.histogram, b.histogram), None, None, error
    sketch, control = a.number.quantiles, b.number.quantiles
    if not sketch.n or not control.n:
        yield "psi", None, "one side has only NaN", None, 0.0
        yield "ks", None, "one side has only NaN", None, 0.0
        return
    edges = sorted({e for e in control.quantiles([i / 10 for i in range(1, 10)]) if e is not None})
    yield "psi", psi(_cut(control, edges), _cut(sketch, edges)), None, None, error
    yield "ks", ks(sketch, control), None, None, error


def _cut(sketch: Quantiles, edges: list[int | float]) -> list[float]:
    values, weights = sketch.entries()
    cells = np.zeros(len(edges) + 1, dtype=np.int64)
    np.add.at(cells, np.searchsorted(np.asarray(edges), values, side="left"), weights)
    return [float(c) / float(weights.sum()) for c in cells]
