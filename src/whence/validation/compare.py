"""Drift and skew: how far two sets of statistics are apart, always reported, never silently 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from whence.stats import Histogram, Quantiles, js, js_histograms, ks, l_infinity, psi
from whence.stats.distance import ks_histograms, psi_histograms, shares
from whence.validation.cells import jsonable
from whence.validation.schema import Schema
from whence.validation.statistics import Statistics
from whence.validation.types import Comparator, HistogramSource
from whence.validation.view import FeatureView

Side: TypeAlias = Literal["drift", "skew"]
Metric: TypeAlias = Literal[
    "infinity_norm", "jensen_shannon_divergence", "normalized_abs_difference", "psi", "ks"
]
OF_VALUES: Final = frozenset({"STRING", "BYTES", "BOOL"})
"""Types whose values are compared one by one; numbers are compared by histograms."""
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

    Text and booleans: infinity norm, Jensen-Shannon and normalised absolute difference, PSI, over values.
    Numbers: Jensen-Shannon over the histograms the schema's comparator names (of equal width when it
    names none), PSI over the tenths of the control, Kolmogorov-Smirnov; the infinity norm and the
    normalised absolute difference do not apply. Times move by nature: nothing applies. A side without
    values has share 0 of every value. Weighted twins are compared where there are some.

    Args:
        current: What is judged.
        control: What it is measured against: the previous version (drift), serving data (skew).
        schema: Whose comparators give thresholds and the histogram.
        side: Which comparators.

    Source:
        TFDV ``FeatureComparator`` and ``metrics.cc``, equal where they apply. Differs: NaN on one side
        and NaN on the other are the same value, and so are infinities.

    Example:
        >>> import pyarrow as pa
        >>> from whence.validation import describe
        >>> a, b = describe(pa.table({"c": ["x", "x", "y", "y"]})), describe(pa.table({"c": ["x", "y", "y", "y"]}))
        >>> d = compare_statistics(a, b)[0]
        >>> d.metric, d.value, d.at
        ('infinity_norm', 0.25, 'x')
    """
    found: list[Distance] = []
    for feature in current.features.values():
        other = control.features.get(feature.name)
        if other is not None:
            comparator = _comparator(schema, feature.name, side)
            found.extend(_distances(feature, other, comparator, side))
    return found


def _comparator(schema: Schema | None, name: str, side: Side) -> Comparator:
    feature = schema.features.get(name) if schema else None
    return (getattr(feature, side) if feature else None) or Comparator()


def _distances(a: FeatureView, b: FeatureView, comparator: Comparator, side: Side) -> Iterator[Distance]:
    limits: Mapping[Metric, float | None] = {
        "infinity_norm": comparator.infinity_norm,
        "jensen_shannon_divergence": comparator.jensen_shannon_divergence,
        "normalized_abs_difference": comparator.normalized_abs_difference,
    }
    reason = _not_comparable(a, b)
    if reason is not None:
        for metric, limit in limits.items():
            if limit is not None or metric != "normalized_abs_difference":
                yield Distance(a.name, side, metric, None, limit, reason)
        return
    found = _of_values(a, b) if a.type in OF_VALUES else _of_numbers(a, b, comparator.source)
    for metric, value, why, at, error in found:
        limit = limits.get(metric)
        if metric == "normalized_abs_difference" and limit is None:
            continue  # it depends on the number of rows: told only when asked for
        yield Distance(a.name, side, metric, value, limit, why, at, error)


def _not_comparable(a: FeatureView, b: FeatureView) -> str | None:
    if a.type != b.type and not {a.type, b.type} <= {"STRING", "BYTES"}:
        return f"{a.type} cannot be compared with {b.type}"
    if a.is_time:
        return "times move by nature"
    if a.type == "STRUCT":
        return "structures are not compared"
    if a.type in OF_VALUES and (not a.is_text or not b.is_text) and a.type != "BOOL":
        return "values were not counted"
    if not a.n_values or (not b.n_values and a.type not in OF_VALUES):
        return "one side has no values"
    return None


_Found: TypeAlias = tuple[Metric, float | None, str | None, Any, float]
_ABOUT_VALUES: Final = "the {} compares shares of values, not numbers"


# --- values -------------------------------------------------------------------------------------


def _of_values(a: FeatureView, b: FeatureView) -> Iterator[_Found]:
    p, q = counts_of(a), counts_of(b)
    if not any(q.values()):
        yield from _against_nothing(p)
        return
    error = _undercount(a) + _undercount(b)
    gap, at = l_infinity(p, q)
    yield "infinity_norm", gap, None, _at(at), error
    _, x, y = shares(q, p)
    yield "jensen_shannon_divergence", js(y, x), None, None, error
    most, at = normalized_abs_difference(p, q)
    yield "normalized_abs_difference", most, None, _at(at), error
    yield "psi", psi(x, y), None, None, error


def _against_nothing(p: Mapping[Any, float]) -> Iterator[_Found]:
    at = max(p, key=lambda v: p[v])
    share = p[at] / sum(p.values())
    why = "the other side has no values"
    yield "infinity_norm", share, None, _at(at), 0.0
    yield "jensen_shannon_divergence", None, why, None, 0.0
    yield "normalized_abs_difference", share, None, _at(at), 0.0
    yield "psi", None, why, None, 0.0


def _at(value: Any) -> Any:
    return "(the rest)" if value is _REST else value


def normalized_abs_difference(p: Mapping[Any, float], q: Mapping[Any, float]) -> tuple[float, Any]:
    """The largest difference of counts over all counts of both sides, and the value that has it.

    ``max |p(v) - q(v)| / (sum p + sum q)``: unlike shares it also moves when only the number of rows does.

    Source:
        TFDV ``normalized_abs_difference``. Ties go to the value first seen.

    Example:
        >>> normalized_abs_difference({"a": 6, "b": 4}, {"a": 3, "b": 5, "c": 2})
        (0.15, 'a')
    """
    total = sum(p.values()) + sum(q.values())
    gaps = {v: abs(p.get(v, 0) - q.get(v, 0)) for v in dict.fromkeys([*p, *q])}
    at = max(gaps, key=lambda v: gaps[v])
    return gaps[at] / total, at


def counts_of(f: FeatureView) -> dict[Any, float]:
    """All values with counts, by weight where there are weights; what is not known by value is one more.

    Of statistics from a file the values the file lists are all, as in TFDV.
    """
    if f.weighted is not None:
        return dict(f.weighted.rank_histogram)
    known = f.value_counts()
    if known is not None:
        return dict(known)
    counts: dict[Any, float] = dict(f.top_values(1_000_000))
    rest = f.n_values - sum(counts.values())
    return {**counts, _REST: rest} if rest > 0 and f.arrow_type else counts


def _undercount(f: FeatureView) -> float:
    return f.count_error / f.n_values if f.n_values else 0.0


# --- numbers ------------------------------------------------------------------------------------


def _of_numbers(a: FeatureView, b: FeatureView, source: HistogramSource) -> Iterator[_Found]:
    yield "infinity_norm", None, _ABOUT_VALUES.format("infinity norm"), None, 0.0
    error = a.rank_error + b.rank_error
    x, y = _histogram(a, source), _histogram(b, source)
    if x is None or y is None or not x.n or not y.n:
        yield "jensen_shannon_divergence", None, "a side has no histogram", None, 0.0
    else:
        yield "jensen_shannon_divergence", js_histograms(x, y), None, None, error
    why = _ABOUT_VALUES.format("normalised absolute difference")
    yield "normalized_abs_difference", None, why, None, 0.0
    yield from _of_sketches(a, b, error)


def _histogram(f: FeatureView, source: HistogramSource) -> Histogram | None:
    twin = f.weighted or f
    return twin.quantile_histogram if source == "QUANTILES" else twin.histogram


def _of_sketches(a: FeatureView, b: FeatureView, error: float) -> Iterator[_Found]:
    sketch, control = _sketch(a), _sketch(b)
    if sketch is not None and control is not None:
        if not sketch.n or not control.n:
            yield "psi", None, "one side has only NaN", None, 0.0
            yield "ks", None, "one side has only NaN", None, 0.0
            return
        edges = sorted({e for e in control.quantiles([i / 10 for i in range(1, 10)]) if e is not None})
        yield "psi", psi(_cut(control, edges), _cut(sketch, edges)), None, None, error
        yield "ks", ks(sketch, control), None, None, error
        return
    x, y = a.quantile_histogram, b.quantile_histogram
    if x is None or y is None or not x.buckets or not y.buckets:
        yield "psi", None, "a side has no histogram", None, 0.0
        yield "ks", None, "a side has no histogram", None, 0.0
        return
    # From a file only the tenths are known: each histogram is right at its own edges.
    yield "psi", psi_histograms(y, x), None, None, error + 0.1
    yield "ks", ks_histograms(x, y), None, None, error + 0.1


def _sketch(f: FeatureView) -> Quantiles | None:
    # Statistics that were computed here hold more than a FeatureView says.
    return getattr(getattr(f, "number", None), "quantiles", None)


def _cut(sketch: Quantiles, edges: list[int | float]) -> list[float]:
    values, weights = sketch.entries()
    cells = np.zeros(len(edges) + 1, dtype=np.int64)
    np.add.at(cells, np.searchsorted(np.asarray(edges), values, side="left"), weights)
    return [float(c) / float(weights.sum()) for c in cells]
