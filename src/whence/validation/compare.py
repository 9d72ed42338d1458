"""Drift and skew: how far two sets of statistics are apart, always reported, never silently 0."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from whence.stats import Histogram, Quantiles, js, js_histograms, ks, psi
from whence.stats.base import Array
from whence.stats.distance import ks_histograms, psi_histograms
from whence.stats.frequency import plain_values
from whence.validation.cells import FeatureType, jsonable
from whence.validation.schema import Schema
from whence.validation.states import Texts
from whence.validation.statistics import Statistics
from whence.validation.types import Comparator, HistogramSource
from whence.validation.view import FeatureView

Side: TypeAlias = Literal["drift", "skew"]
Metric: TypeAlias = Literal[
    "infinity_norm", "jensen_shannon_divergence", "normalized_abs_difference", "psi", "ks"
]
OF_VALUES: Final = frozenset({"STRING", "BYTES", "BOOL"})
"""Types whose values are compared one by one; numbers are compared by histograms."""
_NUMBERS: Final = frozenset({"BOOL", "FLOAT", "INT"})
_TEXTS: Final = frozenset({"STRING", "BYTES"})
_TENTHS: Final = [i / 10 for i in range(1, 10)]
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
    Text against numbers: the infinity norm and the normalised absolute difference, as all values of the
    text are gone or new; the others do not apply. Numbers, whole or not, and booleans against them: Jensen-Shannon over the histograms the schema's comparator names (of equal width when it
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
    return (getattr(feature, side) if feature and feature.checked else None) or Comparator()


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
    if {a.type, b.type} <= _TEXTS or a.type == b.type == "BOOL":
        found = _of_values(a, b)
    elif a.type in _NUMBERS and b.type in _NUMBERS:
        found = _of_numbers(a, b, comparator.source)
    else:
        found = _against_nothing(a if a.type in _TEXTS else b, f"{a.type} cannot be compared with {b.type}")
    for metric, value, why, at, error in found:
        limit = limits.get(metric)
        if metric == "normalized_abs_difference" and limit is None:
            continue  # it depends on the number of rows: told only when asked for
        yield Distance(a.name, side, metric, value, limit, why, at, error)


def _not_comparable(a: FeatureView, b: FeatureView) -> str | None:
    kinds = {a.type, b.type}
    if len(kinds) > 1 and not kinds <= _NUMBERS and not kinds <= _TEXTS and not _is_text_and_other(kinds):
        return f"{a.type} cannot be compared with {b.type}"
    if a.is_time:
        return "times move by nature"
    if a.type == "STRUCT":
        return "structures are not compared"
    if any(f.type in _TEXTS and not f.is_text for f in (a, b)):
        return "values were not counted"
    of_values = a.type in _TEXTS or kinds == {"BOOL"}
    if not a.n_values or not (b.n_values or of_values):
        return "one side has no values"
    return None


def _is_text_and_other(kinds: set[FeatureType]) -> bool:
    return bool(kinds & _TEXTS) and kinds <= _TEXTS | _NUMBERS


_Found: TypeAlias = tuple[Metric, float | None, str | None, Any, float]
_ABOUT_VALUES: Final = "the {} compares shares of values, not numbers"


# --- values -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Side:
    """The values of one side with their counts.

    Attributes:
        keys: The values, each once.
        counts: How often each occurs.
        ranked: Whether they come in an order that means something; else the most frequent come first, and
            of equally frequent ones the smaller.
    """

    keys: list[Any]
    counts: Array
    ranked: bool

    @property
    def n(self) -> float:
        """How many values there are."""
        return math.fsum(self.counts.tolist())

    def place(self, i: int) -> tuple[Any, ...]:
        """What orders the value at a position among the others."""
        if self.ranked:
            return (i,)
        key = self.keys[i]
        return -float(self.counts[i]), key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key


def known_values(f: FeatureView) -> tuple[list[Any], Array] | None:
    """All values of a column of text with their counts, in any order; None where some are not known.

    Statistics that were computed here hold more than a `FeatureView` says, and to put values in order takes
    longer than to compare them. By weight there are other counts.
    """
    text = getattr(f, "text", None)
    if f.weighted is not None or not isinstance(text, Texts) or not text.top.exact or text.n_long:
        return None
    return plain_values(text.top.values), text.top.counts


def _side(f: FeatureView) -> _Side:
    """All values with counts, by weight where there are weights; what is not known by value is one more.

    Of statistics from a file the values the file lists are all, as in TFDV.
    """
    known = known_values(f)
    if known is not None:
        return _Side(*known, ranked=False)
    counts: Mapping[Any, float] | None
    counts = f.value_counts() if f.weighted is None else dict(f.weighted.rank_histogram)
    if counts is None:
        counts = dict(f.top_values(1_000_000))
        rest = f.n_values - sum(counts.values())
        counts = {**counts, _REST: rest} if rest > 0 and f.arrow_type else counts
    return _Side(list(counts), np.array(list(counts.values()), dtype=np.float64), ranked=True)


def _of_values(a: FeatureView, b: FeatureView) -> Iterator[_Found]:
    """Shares of values; the normalised absolute difference is ``max |p(v) - q(v)| / (sum p + sum q)``.

    Unlike shares that also moves when only the number of rows does. Ties go to the value that comes first.
    """
    p, q = _side(a), _side(b)
    n_p, n_q = p.n, q.n
    if not n_q:
        yield from _against_nothing(a, "the other side has no values")
        return
    index = {key: i for i, key in enumerate(p.keys)}
    at_q = [index.setdefault(key, len(index)) for key in q.keys]
    x, y = np.zeros(len(index)), np.zeros(len(index))
    x[: len(p.keys)], y[at_q] = p.counts, q.counts

    def worst(gaps: Array) -> tuple[float, Any]:
        most = gaps.max()
        found = np.flatnonzero(gaps == most).tolist()
        mine = [i for i in found if i < len(p.keys)]
        if mine:
            return float(most), _at(p.keys[min(mine, key=p.place)])
        back = {i: j for j, i in enumerate(at_q)}
        return float(most), _at(q.keys[min((back[i] for i in found), key=q.place)])

    error = _undercount(a) + _undercount(b)
    share, control = x / n_p, y / n_q
    yield "infinity_norm", *_with_place(worst(np.abs(share - control))), error
    yield "jensen_shannon_divergence", js(share, control), None, None, error
    yield "normalized_abs_difference", *_with_place(worst(np.abs(x - y) / (n_p + n_q))), error
    yield "psi", psi(control, share), None, None, error


def _with_place(found: tuple[float, Any]) -> tuple[float, None, Any]:
    return found[0], None, found[1]


def _against_nothing(f: FeatureView, why: str) -> Iterator[_Found]:
    """Values where the other side has none of their kind: every one of them is gone, or new."""
    side = _side(f)
    at = min(range(len(side.keys)), key=lambda i: (-side.counts[i], side.place(i)))
    share = float(side.counts[at]) / side.n
    yield "infinity_norm", share, None, _at(side.keys[at]), 0.0
    yield "jensen_shannon_divergence", None, why, None, 0.0
    yield "normalized_abs_difference", share, None, _at(side.keys[at]), 0.0
    yield "psi", None, why, None, 0.0


def _at(value: Any) -> Any:
    return "(the rest)" if value is _REST else value


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
        mine, other = sketch.entries(), control.entries()
        if not len(mine[0]) or not len(other[0]):
            yield "psi", None, "one side has only NaN", None, 0.0
            yield "ks", None, "one side has only NaN", None, 0.0
            return
        edges = np.asarray(sorted({e for e in control.quantiles(_TENTHS) if e is not None}))
        yield "psi", psi(_cut(*other, edges), _cut(*mine, edges)), None, None, error
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


def _cut(values: Array, weights: Array, edges: Array) -> Array:
    """The shares of the values up to each edge, and beyond the last."""
    ranks = weights.cumsum()
    n_upto = values.searchsorted(edges, side="right")
    upto = np.where(n_upto > 0, ranks[n_upto - 1], 0)
    cells = np.empty(len(edges) + 1)
    cells[0], cells[1:-1], cells[-1] = upto[0], upto[1:] - upto[:-1], ranks[-1] - upto[-1]
    return cells / float(ranks[-1])
