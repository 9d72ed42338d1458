"""Statistics against a schema: every anomaly with its rule, what was seen and what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from whence.validation.checks import (
    anomaly,
    check_distances,
    check_feature,
    check_freshness,
    check_new_columns,
    check_pairs,
    check_rows,
    parse_float,
    parse_int,
    schema_notes,
)
from whence.validation.checks.dataset import freshness_notes
from whence.validation.checks.expectations import expectation_notes
from whence.validation.checks.meaning import meaning_notes
from whence.validation.checks.pairs import collisions, pairs_notes
from whence.validation.compare import Distance, Side, compare_statistics
from whence.validation.schema import Schema
from whence.validation.statistics import Statistics
from whence.validation.types import Anomaly

__all__ = ["anomaly", "parse_float", "parse_int", "validate_statistics", "validation_notes"]


def validate_statistics(
    statistics: Statistics,
    schema: Schema,
    *,
    environment: str | None = None,
    previous: Statistics | None = None,
    serving: Statistics | None = None,
    previous_version: Statistics | None = None,
    now: datetime | None = None,
) -> tuple[list[Anomaly], list[Distance]]:
    """The anomalies of a set of rows by its statistics, and the distances to other sets.

    In the order of the schema's features; sparse and weighted features, new columns and the rows
    together come last. A column that does not belong to `environment` is not required there; if it is
    there with values, it is new there, and judged like the others.

    A fault of the schema is one anomaly and is put right for the checks that follow; what is wrong
    without being an anomaly of any data, and what does not apply, is said by `validation_notes`.

    Args:
        statistics: What is judged.
        schema: The rules.
        environment: For which environment; None requires every feature.
        previous: Statistics of the data before: drift.
        serving: Statistics of serving data: skew.
        previous_version: Statistics of the previous version of the same span, for
            ``num_examples_version``.
        now: The clock that freshness is judged by; None does not judge it.

    Raises:
        NotFoundError: The schema speaks of environments, but not of this one.

    Source:
        TFDV ``validate_statistics``; types have the same names, and of the same statistics and schema
        there are the same anomalies as of TFDV 1.16.1 (``tests/golden/validation``). Differs: infinity
        norms of numbers are reported as not applicable and the other checks go on; zero rows are judged;
        integer and float domains may be shared; text is held against the form its domain names (`FORMS`).
    """
    schema.expected(environment)
    found: list[Anomaly] = []
    taken = collisions(schema)
    for feature in schema:
        if feature.checked and not (feature.name in taken and feature.name in statistics):
            found += check_feature(schema, feature, statistics, environment=environment)
    distances: list[Distance] = []
    controls: tuple[tuple[Side, Statistics | None], ...] = (("drift", previous), ("skew", serving))
    for side, control in controls:
        if control is not None:
            measured = compare_statistics(statistics, control, schema=schema, side=side)
            distances += measured
            found += check_distances(schema, statistics, control, measured, side)
    if schema.sparse_features or schema.weighted_features:
        found += check_pairs(schema, _Custom(statistics))
    found += check_new_columns(schema, statistics)
    found += check_rows(schema, statistics, previous, previous_version)
    if now is not None:
        found += check_freshness(schema, statistics, now)
    severities = schema.severities
    if severities:
        found = [replace(a, severity=severities.get(a.type, a.severity)) for a in found]
    return found, distances


def validation_notes(statistics: Statistics, schema: Schema, *, environment: str | None = None) -> list[str]:
    """What a reader of a validation should know and is no anomaly.

    Contradictions in the schema, expectations and freshness that do not apply, each with the reason.
    """
    return [*schema_notes(schema), *_not_applicable(statistics, schema, environment)]


def _not_applicable(statistics: Statistics, schema: Schema, environment: str | None) -> Iterator[str]:
    for f in schema.expected(environment):
        seen = statistics.features.get(f.name)
        if seen is not None and seen.num_non_missing:
            yield from meaning_notes(f, schema.domain_of(f), seen)
        if f.expect and seen is not None:
            yield from expectation_notes(f, seen)
    yield from pairs_notes(schema, _Custom(statistics))
    yield from freshness_notes(schema, statistics)


class _Custom:
    """What the statistics say under a name that need not be a column."""

    def __init__(self, statistics: Statistics) -> None:
        self._features = statistics.features
        self._extras = [e.by_feature() for e in statistics.extras.values()]

    def __call__(self, name: str) -> Mapping[str, Any] | None:
        said: dict[str, Any] = {}
        known = name in self._features
        if known:
            said |= self._features[name].custom
        for by_feature in self._extras:
            if name in by_feature:
                known = True
                said |= by_feature[name] if isinstance(by_feature[name], Mapping) else {}
        return {**said, **_inner(said)} if known else None


def _inner(said: Mapping[str, Any]) -> dict[str, Any]:
    """Statistics that one extra says together under its own name."""
    return {k: v for part in said.values() if isinstance(part, Mapping) for k, v in part.items()}
