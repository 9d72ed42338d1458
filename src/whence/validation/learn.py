"""Thresholds learned from the history of clean versions: what a column's measures and drift usually are."""

from __future__ import annotations

import math
import statistics as numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from whence.errors import UsageError
from whence.validation.checks.expectations import measure
from whence.validation.compare import compare_statistics
from whence.validation.outline import describe_comparator, describe_expectation
from whence.validation.schema import Schema
from whence.validation.statistics import Statistics
from whence.validation.types import Comparator, Expectation, FractionBounds, Severity
from whence.validation.view import FeatureView

MIN_VERSIONS: Final = 3
FACTOR: Final = 3.0
"""Bounds lie so many spreads (or standard errors) outside of what was seen."""
_BELIEVED: Final = 10.0
_NUMBERS: Final = ("mean", "std", "median", "zeros_ratio", "nan_ratio", "missing_ratio")
_TEXTS: Final = ("missing_ratio", "top_share", "avg_length")
_RATIOS: Final = frozenset({"zeros_ratio", "nan_ratio", "missing_ratio", "top_share"})
# The infinity norm and the divergence of two samples of one distribution shrink like 1/n: below this they say nothing.
_LEAST_DISTANCE: Final = 0.001


@dataclass(frozen=True)
class Thresholds:
    """What was learned, and from what.

    Attributes:
        versions: The names of the versions, in order.
        expectations: Bounds by column.
        drift: Thresholds by column, against the version before.
        rows: Rows over those of the version before.
        left_out: Values that were not believed: column, measure, version.
    """

    versions: tuple[str, ...]
    expectations: Mapping[str, tuple[Expectation, ...]] = field(default_factory=dict)
    drift: Mapping[str, Comparator] = field(default_factory=dict)
    rows: FractionBounds | None = None
    left_out: tuple[tuple[str, str, str], ...] = ()

    def apply(self, schema: Schema) -> Schema:
        """The schema with these thresholds; what was set by hand (``learned_from`` empty) stays.

        Columns the schema does not have are left out.
        """
        for name, learned in self.expectations.items():
            if name in schema:
                mine = [e for e in schema[name].expect if not e.learned_from]
                taken = {e.of for e in mine}
                schema = schema.edit(name, expect=(*mine, *(e for e in learned if e.of not in taken)))
        for name, comparator in self.drift.items():
            have = schema[name].drift if name in schema else None
            if name in schema and (have is None or have.learned_from):
                schema = schema.edit(name, drift=comparator)
        if self.rows is not None and schema.constraints.num_examples_drift is None:
            schema = replace(schema, constraints=replace(schema.constraints, num_examples_drift=self.rows))
        return schema

    def text(self) -> str:
        """The thresholds as plain text."""
        last = f" … {self.versions[-1]}" if len(self.versions) > 1 else ""
        lines = [f"learned from {len(self.versions)} versions: {self.versions[0]}{last}"]
        for name, learned in self.expectations.items():
            lines += [f"{name}: {describe_expectation(e)}" for e in learned]
        lines += [f"{name}: drift {describe_comparator(c)}" for name, c in self.drift.items()]
        lines += [f"not believed: {of} of {name} in {version}" for name, of, version in self.left_out]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()


def learn_thresholds(
    history: Sequence[Statistics], *, factor: float = FACTOR, severity: Severity = "WARNING"
) -> Thresholds:
    """Bounds on measures, and drift thresholds, from versions that are believed to be clean.

    Of each measure (numbers: mean, std, median, zeros, NaN, missing; text: missing, top share, mean
    length) the values over the versions are taken. Values further than ten spreads (1.4826 times the
    median absolute deviation) from their median are not believed, when there are at least five. The
    bounds are the extremes of the rest, widened by `factor` times the larger of their spread and the
    standard error that the smallest version has; ratios stay within 0 and 1. A drift threshold is the
    largest distance between neighbours, widened in the same way: the infinity norm for text, the
    Jensen-Shannon divergence for numbers.

    Args:
        history: Statistics of versions in their order, at least three.
        factor: How far outside of what was seen a bound lies.
        severity: Of the expectations that are made.

    Raises:
        UsageError: There are fewer than three versions (``too-few-versions``).

    Example:
        >>> import pyarrow as pa
        >>> from whence.validation import describe
        >>> days = [describe(pa.table({"x": [i % 7 + d / 100 for i in range(700)]}), name=f"t@{d}") for d in range(5)]
        >>> found = learn_thresholds(days)
        >>> [e.of for e in found.expectations["x"]][:3], found.expectations["x"][0].learned_from[0]
        (['mean', 'std', 'median'], 't@0')
    """
    if len(history) < MIN_VERSIONS:
        raise UsageError(
            f"{len(history)} versions are too few to learn from",
            code="too-few-versions",
            hint=f"hand in the statistics of at least {MIN_VERSIONS} clean versions",
        )
    versions = tuple(s.name for s in history)
    expectations: dict[str, tuple[Expectation, ...]] = {}
    left_out: list[tuple[str, str, str]] = []
    for name in _columns(history):
        seen = [s.features[name] for s in history]
        found: list[Expectation] = []
        for of in _measures(seen[0]):
            values = [measure(of, f) for f in seen]
            known = [v for v in values if v is not None and math.isfinite(v)]
            if len(known) < len(seen):
                continue
            low, high, doubted = _bounds(known, max(_error(of, f) for f in seen), factor)
            left_out += [(name, of, versions[i]) for i in doubted]
            if of in _RATIOS:
                low, high = max(low, 0.0), min(high, 1.0)
            found.append(Expectation(of, low, high, severity, versions))
        if found:
            expectations[name] = tuple(found)
    return Thresholds(
        versions, expectations, _drift(history, factor), _rows(history, factor), tuple(left_out)
    )


def _columns(history: Sequence[Statistics]) -> Iterator[str]:
    """Columns all versions have, of one type."""
    for name, feature in history[0].features.items():
        others = [s.features.get(name) for s in history]
        if all(f is not None and f.type == feature.type and f.num_non_missing for f in others):
            yield name


def _measures(f: FeatureView) -> tuple[str, ...]:
    if f.type in ("INT", "FLOAT", "BOOL"):
        return _NUMBERS
    return _TEXTS if f.is_text else ("missing_ratio",)


def _error(of: str, f: FeatureView) -> float:
    """The standard error of a measure of so many values."""
    n = f.num_rows if of == "missing_ratio" else f.n_values
    if not n:
        return 0.0
    if of in _RATIOS:
        share = min(max(measure(of, f) or 0.0, 1 / n), 1 - 1 / n) if n > 1 else 0.5
        return math.sqrt(share * (1 - share) / n)
    if of == "avg_length":
        spread = ((f.max_length or 0) - (f.min_length or 0)) / 2
        return spread / math.sqrt(n)
    # of the median of a normal distribution: 1.2533 sigma / sqrt(n); of its deviation: sigma / sqrt(2 n)
    return {"mean": 1.0, "median": 1.2533, "std": 0.7071}[of] * (f.std_dev or 0.0) / math.sqrt(n)


def _bounds(values: Sequence[float], error: float, factor: float) -> tuple[float, float, list[int]]:
    """The bounds, and the positions of the values that were not believed."""
    middle = numbers.median(values)
    spread = 1.4826 * numbers.median(abs(v - middle) for v in values)
    reach = _BELIEVED * max(spread, error)
    doubted = [i for i, v in enumerate(values) if abs(v - middle) > reach] if len(values) >= 5 else []
    kept = [v for i, v in enumerate(values) if i not in doubted]
    margin = factor * max(spread, error)
    return min(kept) - margin, max(kept) + margin, doubted


def _drift(history: Sequence[Statistics], factor: float) -> dict[str, Comparator]:
    versions = tuple(s.name for s in history)
    seen: dict[tuple[str, str], list[float]] = {}
    for before, after in pairwise(history):
        for d in compare_statistics(after, before):
            if d.metric in ("infinity_norm", "jensen_shannon_divergence") and d.value is not None:
                seen.setdefault((d.feature, d.metric), []).append(d.value)
    out: dict[str, Comparator] = {}
    for (name, metric), values in seen.items():
        if len(values) < len(history) - 1 or (metric != "infinity_norm" and name in out):
            continue
        high = min(max(_bounds(values, 0.0, factor)[1], _LEAST_DISTANCE), 1.0)
        if metric == "infinity_norm":
            out[name] = Comparator(infinity_norm=high, learned_from=versions)
        else:
            out[name] = Comparator(jensen_shannon_divergence=high, learned_from=versions)
    return out


def _rows(history: Sequence[Statistics], factor: float) -> FractionBounds | None:
    pairs = [(a.n_rows, b.n_rows) for a, b in pairwise(history)]
    if any(not before or not after for before, after in pairs):
        return None
    # In logarithms twice as many and half as many lie equally far from as many as before.
    ratios = [math.log(after / before) for before, after in pairs]
    low, high, _ = _bounds(ratios, 1 / math.sqrt(min(n for p in pairs for n in p)), factor)
    return FractionBounds(math.exp(low), math.exp(high))
