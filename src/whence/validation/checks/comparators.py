"""Distances against thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from whence.validation.cells import jsonable
from whence.validation.checks.base import Found, anomaly, change
from whence.validation.compare import Distance, Side
from whence.validation.schema import Schema
from whence.validation.statistics import Statistics
from whence.validation.types import AnomalyType, Comparator

_TYPES: Final[Mapping[str, AnomalyType]] = {
    "infinity_norm": "COMPARATOR_L_INFTY_HIGH",
    "jensen_shannon_divergence": "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
    "normalized_abs_difference": "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH",
}


def check_distances(
    schema: Schema, statistics: Statistics, control: Statistics, distances: Iterable[Distance], side: Side
) -> Found:
    """Columns the other side lacks, and distances above their threshold."""
    judged = set()
    for f in schema:
        comparator = f.drift if side == "drift" else f.skew
        seen = statistics.features.get(f.name)
        if not f.checked or f.type is None or comparator is None or seen is None or not seen.num_non_missing:
            continue
        judged.add(f.name)
        if f.name not in control and control.n_rows and _has_threshold(comparator):
            text = f"{f.name}: no such column in {control.name}, which {side} is measured against"
            rule = f"{side}_comparator"
            yield anomaly(f.name, "COMPARATOR_CONTROL_DATA_MISSING", rule, None, control.name, text)
    for d in distances:
        if d.feature in judged and d.exceeds:
            where = f", most at {jsonable(d.at)!r}" if d.at is not None else ""
            text = f"{d.feature}: {side}, the {d.metric} to {control.name} is {d.value:.6g}{where}, allowed is {d.threshold:g}"
            proposed = change(d.feature, **{side: {d.metric: d.value}})
            rule = f"{side}_comparator.{d.metric}"
            yield anomaly(d.feature, _TYPES[d.metric], rule, d.value, d.threshold, text, proposed=proposed)


def _has_threshold(c: Comparator) -> bool:
    return any(
        t is not None for t in (c.infinity_norm, c.jensen_shannon_divergence, c.normalized_abs_difference)
    )
