"""Sparse and weighted features: columns that belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from whence.validation.checks.base import Found, anomaly, counted, number_of, pairs_of
from whence.validation.schema import Schema
from whence.validation.types import AnomalyType, SparseFeature, WeightedFeature


def check_pairs(schema: Schema, custom_of: Callable[[str], Mapping[str, Any] | None]) -> Found:
    """The anomalies of sparse and weighted features, by their own statistics; without those, none.

    Args:
        schema: The rules.
        custom_of: What the statistics say under a name; None when they know no such name.
    """
    for sparse in schema.sparse_features.values():
        said = custom_of(sparse.name)
        feature = schema.features.get(sparse.name)
        if said is None or not sparse.checked or (feature is not None and not feature.checked):
            continue
        weighted = schema.weighted_features.get(sparse.name)
        if feature is not None and weighted is None:
            yield _collision(sparse.name, "SPARSE_FEATURE_NAME_COLLISION", "sparse_feature", feature=True)
        elif weighted is None:
            yield from _sparse(sparse, said)
    for weighted in schema.weighted_features.values():
        said = custom_of(weighted.name)
        if said is None or not weighted.checked:
            continue
        feature, named = schema.features.get(weighted.name), schema.sparse_features.get(weighted.name)
        if (feature is not None and not feature.checked) or (named is not None and not named.checked):
            continue
        if feature is not None or named is not None:
            yield _collision(
                weighted.name,
                "WEIGHTED_FEATURE_NAME_COLLISION",
                "weighted_feature",
                feature=feature is not None,
                sparse=named is not None,
            )
        else:
            yield from _weighted(weighted, said)


def pairs_notes(schema: Schema, custom_of: Callable[[str], Mapping[str, Any] | None]) -> Iterator[str]:
    """Which sparse and weighted features the statistics say nothing of, so that they are not judged."""
    for kind, features in (("sparse", schema.sparse_features), ("weighted", schema.weighted_features)):
        for name, feature in features.items():
            if feature.checked and custom_of(name) is None:
                why = f"the statistics do not count its columns together ({kind.title()}Features.of)"
                yield f"{name}: the {kind} feature is not judged: {why}"


def collisions(schema: Schema) -> frozenset[str]:
    """Names that stand for several things of which all are checked: nothing else is judged of them."""
    names = {s.name for s in schema.sparse_features.values() if s.checked}
    names |= {w.name for w in schema.weighted_features.values() if w.checked}
    return frozenset(n for n in names if n in schema and schema[n].checked)


def _collision(name: str, type_: AnomalyType, kind: str, *, feature: bool, sparse: bool = False) -> Any:
    text = f"{name}: a {kind.replace('_', ' ')} and {'a column' if feature else 'a sparse feature'} have this name"
    proposed: dict[str, Any] = {kind: name, "lifecycle_stage": "DEPRECATED"}
    if feature:
        proposed["feature"] = name
    if sparse:
        proposed["sparse_feature"] = name
    return anomaly(name, type_, "name", name, "a name of its own", text, proposed=proposed)


def _sparse(sparse: SparseFeature, said: Mapping[str, Any]) -> Found:
    proposed = {"sparse_feature": sparse.name, "lifecycle_stage": "DEPRECATED"}
    missing = number_of(said.get("missing_value")) or 0.0
    if missing:
        text = f"{sparse.name}: {counted(round(missing), 'rows have')} an index and no value in {sparse.value_feature}"
        yield anomaly(
            sparse.name,
            "SPARSE_FEATURE_MISSING_VALUE",
            "value_feature",
            missing,
            0,
            text,
            proposed=proposed,
        )
    for index, n in pairs_of(said.get("missing_index")):
        if n:
            text = f"{sparse.name}: {counted(round(n), 'rows have')} a value and no index in {index}"
            yield anomaly(
                sparse.name,
                "SPARSE_FEATURE_MISSING_INDEX",
                f"index_feature {index}",
                n,
                0,
                text,
                proposed=proposed,
            )
    for key in ("max_length_diff", "min_length_diff"):
        for index, n in pairs_of(said.get(key)):
            if n:
                text = f"{sparse.name}: {index} has up to {abs(n):,g} {'more' if n > 0 else 'fewer'} entries in a row than {sparse.value_feature} ({key})"
                yield anomaly(
                    sparse.name,
                    "SPARSE_FEATURE_LENGTH_MISMATCH",
                    f"index_feature {index}",
                    n,
                    0,
                    text,
                    proposed=proposed,
                )


def _weighted(weighted: WeightedFeature, said: Mapping[str, Any]) -> Found:
    proposed = {"weighted_feature": weighted.name, "lifecycle_stage": "DEPRECATED"}
    for key, type_, words in (
        ("missing_value", "WEIGHTED_FEATURE_MISSING_VALUE", f"a weight and no value in {weighted.feature}"),
        (
            "missing_weight",
            "WEIGHTED_FEATURE_MISSING_WEIGHT",
            f"a value and no weight in {weighted.weight_feature}",
        ),
    ):
        n = number_of(said.get(key)) or 0.0
        if n:
            text = f"{weighted.name}: {counted(round(n), 'rows have')} {words}"
            kind: Any = type_
            yield anomaly(weighted.name, kind, key, n, 0, text, proposed=proposed)
    low = number_of(said.get("min_weight_length_diff")) or 0.0
    high = number_of(said.get("max_weight_length_diff")) or 0.0
    if low or high:
        text = f"{weighted.name}: {weighted.weight_feature} has {low:+g} to {high:+g} entries in a row against {weighted.feature}"
        yield anomaly(
            weighted.name,
            "WEIGHTED_FEATURE_LENGTH_MISMATCH",
            "weight_feature",
            [low, high],
            [0, 0],
            text,
            proposed=proposed,
        )
