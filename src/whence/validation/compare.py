"""Drift and skew: how far two sets of statistics are apart, always reported, never silently 0."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from whence.stats import Histogram, Quantiles
from whence.stats.base import Array
from whence.stats.frequency import plain_values
from whence.stats.quantiles import alike
from whence.validation.cells import FeatureType, jsonable
from whence.validation.distances import (
    Recut,
    Worst,
    cuts_of,
    entries_of,
    even_cuts,
    js_cuts,
    js_each,
    ks_cuts,
    ks_each,
    psi_cuts,
    psi_each,
    psi_tenths,
    recut,
    starts_of,
    worst_each,
)
from whence.validation.features import FeatureStatistics
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
_LIMITED: Final[tuple[Metric, ...]] = (
    "infinity_norm",
    "jensen_shannon_divergence",
    "normalized_abs_difference",
)
"""What a schema may set a threshold for."""
_ENTRIES: Final = 1 << 17
"""About so many different values are compared at once: arrays of 1 MB."""
_ANY: Final = Comparator()
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
    pairs = [
        _Pair(f, control.features[f.name], _comparator(schema, f.name, side))
        for f in current.features.values()
        if f.name in control.features
    ]
    found: dict[int, Sequence[_Found]] = {}
    of_values: dict[int, _Pair] = {}
    of_numbers: dict[int, _Pair] = {}
    for i, pair in enumerate(pairs):
        a, b = pair.a, pair.b
        reason = _not_comparable(a, b)
        if reason is not None:
            found[i] = [(metric, None, reason, None, 0.0) for metric in _LIMITED]
        elif {a.type, b.type} <= _TEXTS or a.type == b.type == "BOOL":
            of_values[i] = pair
        elif a.type in _NUMBERS and b.type in _NUMBERS:
            of_numbers[i] = pair
        else:
            text, why = a if a.type in _TEXTS else b, f"{a.type} cannot be compared with {b.type}"
            found[i] = list(_against_nothing(text, why))
    found |= zip(of_values, _of_values(list(of_values.values())), strict=True)
    found |= zip(of_numbers, _of_numbers(list(of_numbers.values())), strict=True)
    return [d for i, pair in enumerate(pairs) for d in _told(pair, found[i], side)]


def _comparator(schema: Schema | None, name: str, side: Side) -> Comparator:
    feature = schema.features.get(name) if schema else None
    return (getattr(feature, side) if feature and feature.checked else None) or _ANY


@dataclass(frozen=True, slots=True)
class _Pair:
    """A column on both sides."""

    a: FeatureView
    b: FeatureView
    comparator: Comparator


_Found: TypeAlias = tuple[Metric, float | None, str | None, Any, float]
"""A measure, its value, why it has none, where it is largest, and how far it may be off."""


def _told(pair: _Pair, found: Iterable[_Found], side: Side) -> Iterator[Distance]:
    for metric, value, why, at, error in found:
        limit = getattr(pair.comparator, metric) if metric in _LIMITED else None
        if metric == "normalized_abs_difference" and limit is None:
            continue  # it depends on the number of rows: told only when asked for
        yield Distance(pair.a.name, side, metric, value, limit, why, at, error)


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


@dataclass(frozen=True, slots=True)
class _Both:
    """The values of both sides together, those of `p` first.

    Attributes:
        p: One side.
        q: The other.
        at_q: Which of the values the other side's are.
        n: How many values there are.
    """

    p: _Side
    q: _Side
    at_q: list[int]
    n: int

    @classmethod
    def of(cls, p: _Side, q: _Side) -> _Both:
        """Two sides with the values they have in common put together."""
        index = {key: i for i, key in enumerate(p.keys)}
        return cls(p, q, [index.setdefault(key, len(index)) for key in q.keys], len(index))

    def counts(self) -> tuple[Array, Array]:
        """How often each value occurs on either side."""
        x, y = np.zeros(self.n), np.zeros(self.n)
        x[: len(self.p.keys)], y[self.at_q] = self.p.counts, self.q.counts
        return x, y

    def first(self, places: Sequence[int]) -> Any:
        """Of some values the one that comes first: this side's before the other's."""
        mine = [i for i in places if i < len(self.p.keys)]
        if mine:
            return _at(self.p.keys[min(mine, key=self.p.place)])
        back = {i: j for j, i in enumerate(self.at_q)}
        return _at(self.q.keys[min((back[i] for i in places), key=self.q.place)])


def _of_values(pairs: Sequence[_Pair]) -> Iterator[list[_Found]]:
    """Shares of values; the normalised absolute difference is ``max |p(v) - q(v)| / (sum p + sum q)``.

    Unlike shares that also moves when only the number of rows does. Ties go to the value that comes first.
    """
    waiting: list[tuple[_Pair, _Both]] = []
    n_waiting = 0
    for pair in pairs:
        both = _Both.of(_side(pair.a), _side(pair.b))
        waiting.append((pair, both))
        n_waiting += both.n
        if n_waiting > _ENTRIES:
            yield from _values_together(waiting)
            waiting, n_waiting = [], 0
    yield from _values_together(waiting)


def _values_together(given: Sequence[tuple[_Pair, _Both]]) -> Iterator[list[_Found]]:
    told = [both for _, both in given if both.q.n]
    moved = _moved(told) if told else iter(())
    for pair, both in given:
        if not both.q.n:
            yield list(_against_nothing(pair.a, "the other side has no values"))
            continue
        error = _undercount(pair.a) + _undercount(pair.b)
        shares, js, rows, psi = next(moved)
        asked = pair.comparator.normalized_abs_difference is not None
        yield [
            ("infinity_norm", shares[0], None, both.first(shares[1]), error),
            ("jensen_shannon_divergence", js, None, None, error),
            ("normalized_abs_difference", rows[0], None, both.first(rows[1]) if asked else None, error),
            ("psi", psi, None, None, error),
        ]


def _moved(given: Sequence[_Both]) -> Iterator[tuple[Worst, float, Worst, float]]:
    starts = starts_of([both.n for both in given])
    x, y = (np.concatenate(side) for side in zip(*(both.counts() for both in given), strict=True))
    n_p, n_q = (np.repeat(n, np.diff(starts)) for n in zip(*((b.p.n, b.q.n) for b in given), strict=True))
    share, control = x / n_p, y / n_q
    return zip(
        worst_each(np.abs(share - control), starts),
        js_each(share, control, starts),
        worst_each(np.abs(x - y) / (n_p + n_q), starts),
        psi_each(control, share, starts),
        strict=True,
    )


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


_Moved: TypeAlias = tuple[float | None, float | None, str | None, float]
"""PSI and Kolmogorov-Smirnov, why they are not known, and how much more they may be off."""
_Sides: TypeAlias = tuple[tuple[Array, Array], tuple[Array, Array]]
"""Values and weights of both sides."""


_Kind: TypeAlias = tuple[str, int]
"""The type of the entries of sketches, empty without them, and how many buckets their histograms have, or 0."""


def _of_numbers(pairs: Sequence[_Pair]) -> Iterator[list[_Found]]:
    """Columns of one kind are compared together."""
    waiting: dict[_Kind, dict[int, _Sides | None]] = {}
    n_waiting: Counter[_Kind] = Counter()
    found: dict[int, list[_Found]] = {}
    for i, pair in enumerate(pairs):
        sides = _sketches(pair)
        kind = ("", 0) if sides is None else (sides[0][0].dtype.str, _buckets(pair))
        waiting.setdefault(kind, {})[i] = sides
        n_waiting[kind] += 100 if sides is None else len(sides[0][0]) + len(sides[1][0])
        if n_waiting[kind] > _ENTRIES:
            found |= _numbers_together(kind, pairs, waiting.pop(kind))
            del n_waiting[kind]
    for kind, some in waiting.items():
        found |= _numbers_together(kind, pairs, some)
    return (found[i] for i in range(len(pairs)))


def _numbers_together(
    kind: _Kind, pairs: Sequence[_Pair], some: Mapping[int, _Sides | None]
) -> dict[int, list[_Found]]:
    alike, (dtype, buckets) = [pairs[i] for i in some], kind
    if dtype:
        moved, js = _by_sketches(alike, [sides for sides in some.values() if sides], buckets)
    else:
        moved, js = _by_histograms(alike), _js_by_histograms(alike)
    return dict(zip(some, map(_told_of_numbers, alike, js, moved), strict=True))


def _told_of_numbers(pair: _Pair, js: float | None, moved: _Moved) -> list[_Found]:
    error = pair.a.rank_error + pair.b.rank_error
    psi, ks, why, more = moved
    no_histogram = "a side has no histogram" if js is None else None
    return [
        ("infinity_norm", None, _ABOUT_VALUES.format("infinity norm"), None, 0.0),
        ("jensen_shannon_divergence", js, no_histogram, None, 0.0 if js is None else error),
        (
            "normalized_abs_difference",
            None,
            _ABOUT_VALUES.format("normalised absolute difference"),
            None,
            0.0,
        ),
        ("psi", psi, why, None, 0.0 if why else error + more),
        ("ks", ks, why, None, 0.0 if why else error + more),
    ]


# --- numbers by the sketches that were computed here ---------------------------------------------


def _sketch(f: FeatureView) -> Quantiles | None:
    return f.number.quantiles if isinstance(f, FeatureStatistics) and f.number is not None else None


def _sketches(pair: _Pair) -> _Sides | None:
    """The entries of both sides, of one type; None where a side has none or is not known."""
    a, b = _sketch(pair.a), _sketch(pair.b)
    if a is None or b is None:
        return None
    (x, n_x), (y, n_y) = a.entries(), b.entries()
    if not len(x) or not len(y):
        return None
    x, y = alike([x, y])
    return (x, n_x), (y, n_y)


def _buckets(pair: _Pair) -> int:
    """Of how many buckets of equal width both sides' histograms are; 0 where they are others."""
    numbers = {
        f.display.num_histogram_buckets if f.weighted is None and not f.num_inf else 0
        for f in (pair.a, pair.b)
        if isinstance(f, FeatureStatistics)
    }
    return numbers.pop() if len(numbers) == 1 and pair.comparator.source != "QUANTILES" else 0


def _by_sketches(
    pairs: Sequence[_Pair], sides: Sequence[_Sides], buckets: int
) -> tuple[list[_Moved], Sequence[float | None]]:
    p, q = entries_of([a for a, _ in sides]), entries_of([b for _, b in sides])
    moved: list[_Moved] = [
        (psi, ks, None, 0.0) for psi, ks in zip(psi_tenths(p, q), ks_each(p, q), strict=True)
    ]
    if not buckets:
        return moved, _js_by_histograms(pairs)
    x = even_cuts(p, buckets, [pair.a.num_nan for pair in pairs])
    y = even_cuts(q, buckets, [pair.b.num_nan for pair in pairs])
    return moved, js_cuts(*recut(x, y))


# --- numbers by histograms ------------------------------------------------------------------------


def _js_by_histograms(pairs: Sequence[_Pair]) -> list[float | None]:
    def made(f: FeatureView, source: HistogramSource) -> Histogram:
        twin = f.weighted or f
        h = twin.quantile_histogram if source == "QUANTILES" else twin.histogram
        return h or Histogram("STANDARD")

    sides = [(made(p.a, p.comparator.source), made(p.b, p.comparator.source)) for p in pairs]
    found = iter(js_cuts(*_recut([(x, y) for x, y in sides if x.n and y.n])))
    return [next(found) if x.n and y.n else None for x, y in sides]


def _by_histograms(pairs: Sequence[_Pair]) -> list[_Moved]:
    """Of statistics from a file only the tenths are known: each histogram is right at its own edges."""
    sides = [(p.a.quantile_histogram, p.b.quantile_histogram) for p in pairs]
    p, q = _recut([(x, y) for x, y in sides if x and y and x.buckets and y.buckets])
    found = zip(psi_cuts(q, p), ks_cuts(p, q), strict=True)
    out: list[_Moved] = []
    for pair, (x, y) in zip(pairs, sides, strict=True):
        if _sketch(pair.a) is not None and _sketch(pair.b) is not None:
            out.append((None, None, "one side has only NaN", 0.0))
        elif x and y and x.buckets and y.buckets:
            out.append((*next(found), None, 0.1))
        else:
            out.append((None, None, "a side has no histogram", 0.0))
    return out


def _recut(sides: Sequence[tuple[Histogram, Histogram]]) -> tuple[Recut, Recut]:
    return recut(cuts_of([x for x, _ in sides]), cuts_of([y for _, y in sides]))
