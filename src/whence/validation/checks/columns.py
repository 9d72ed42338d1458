"""One column against its feature: presence, type, number of values, shape, uniques, domain, expectations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from whence.validation.checks.base import Found, anomaly, change, counted, unique_margin
from whence.validation.checks.expectations import check_expectations
from whence.validation.checks.meaning import check_meaning
from whence.validation.checks.specification import check_name, repaired
from whence.validation.checks.values import check_domain
from whence.validation.infer import infer_feature, infer_value_counts
from whence.validation.paths import path_text
from whence.validation.schema import Schema
from whence.validation.statistics import Statistics
from whence.validation.types import Feature, type_accepts
from whence.validation.view import FeatureView


def check_feature(schema: Schema, f: Feature, statistics: Statistics, *, environment: str | None) -> Found:
    """The anomalies of one feature that is checked."""
    seen = statistics.features.get(f.name)
    belongs = f.belongs_to(environment, schema.default_environments)
    if seen is None:
        if belongs and f.required:
            text = f"{f.name}: the column is missing"
            drop = change(f.name, lifecycle_stage="DEPRECATED")
            yield anomaly(
                f.name, "SCHEMA_MISSING_COLUMN", "presence", "absent", "present", text, proposed=drop
            )
        return
    if f.type is None or not f.name:
        yield from check_name(f)
        if f.type is None and f.name:
            text = f"{f.name}: the schema gives no type"
            have = change(f.name, type=seen.type)
            yield anomaly(f.name, "FEATURE_MISSING_TYPE", "type", None, "a type", text, proposed=have)
        return
    f, domain, faults = repaired(schema, f)
    yield from faults
    if not seen.num_non_missing:
        if belongs and f.required:
            text = f"{f.name}: none of {counted(seen.num_rows, 'rows')} has a value"
            drop = change(f.name, lifecycle_stage="DEPRECATED")
            yield anomaly(
                f.name, "FEATURE_TYPE_NOT_PRESENT", "presence", 0, _presence_text(f), text, proposed=drop
            )
        return
    if not belongs:
        text = f"{f.name}: the column is there, the schema does not have it in {environment}"
        here = change(f.name, in_environment=[*f.in_environment, environment])
        yield anomaly(f.name, "SCHEMA_NEW_COLUMN", "environment", environment, None, text, proposed=here)
    yield from _type(f, seen)
    yield from _presence(f, seen, statistics.n_rows)
    yield from _values(f, seen)
    yield from _shape(f, seen)
    yield from _unique(f, seen)
    yield from _derived(f, seen)
    if domain is not None:
        yield from check_domain(f, domain, seen)
    yield from check_meaning(f, domain, seen)
    yield from check_expectations(f, seen)


def _type(f: Feature, seen: FeatureView) -> Found:
    assert f.type is not None
    if type_accepts(f.type, seen.type):
        return
    text = f"{f.name}: the type is {seen.type}, the schema says {f.type}"
    proposed = change(f.name, type=seen.type)
    yield anomaly(f.name, "UNEXPECTED_DATA_TYPE", "type", seen.type, f.type, text, proposed=proposed)


def _presence_text(f: Feature) -> str:
    p = f.presence
    parts = []
    if p is not None and p.min_fraction:
        parts.append(f"min_fraction {p.min_fraction:g}")
    if p is not None and p.min_count:
        parts.append(f"min_count {p.min_count}")
    return " and ".join(parts)


def _presence(f: Feature, seen: FeatureView, n_rows: int) -> Found:
    p = f.presence
    if p is None:
        return
    w = seen.weighted
    there: float = seen.num_non_missing if w is None else w.num_non_missing
    missing: float = seen.num_missing if w is None else w.num_missing
    # As in TFDV the fraction of a part of structures is of the rows of the table, however many structures there are.
    rows = there + missing if len(seen.path) == 1 or w is not None else n_rows
    fraction = there / rows if rows else 0.0
    low = p.min_fraction
    if low is not None and missing and (fraction < low or low == 1.0):
        text = (
            f"{f.name}: {missing:,} of {counted(there + missing, 'rows')} {'has' if missing == 1 else 'have'} no value "
            f"({fraction:.6g} present), the schema asks for {low:g}"
        )
        proposed = change(f.name, presence={"min_fraction": fraction if fraction < 1.0 else 0.9999})
        rule = "presence.min_fraction"
        yield anomaly(
            f.name, "FEATURE_TYPE_LOW_FRACTION_PRESENT", rule, fraction, low, text, proposed=proposed
        )
    if p.min_count is not None and there < p.min_count:
        text = f"{f.name}: {counted(there, 'rows have')} a value, the schema asks for {p.min_count:,}"
        proposed = change(f.name, presence={"min_count": math.floor(there)})
        rule = "presence.min_count"
        yield anomaly(
            f.name, "FEATURE_TYPE_LOW_NUMBER_PRESENT", rule, there, p.min_count, text, proposed=proposed
        )


def _levels(seen: FeatureView) -> list[tuple[int, int | None, int | None]]:
    """Per level of nesting: missing, fewest and most values."""
    if len(seen.levels) > 1:
        return [(v.n_missing, v.min, v.max) for v in seen.levels]
    return [(seen.num_missing, seen.min_num_values, seen.max_num_values)]


def _values(f: Feature, seen: FeatureView) -> Found:
    if f.value_count is None and not f.value_counts:
        return
    levels = _levels(seen)
    wanted = f.value_counts or ((f.value_count,) if f.value_count is not None else ())
    if len(wanted) != len(levels):
        text = (
            f"{f.name}: lists are nested {len(levels)} deep, the schema counts values of {len(wanted)} level"
            f"{'s' if len(wanted) != 1 else ''}"
        )
        rule = "value_counts" if f.value_counts else "value_count"
        proposed = change(f.name, **infer_value_counts(seen))
        yield anomaly(
            f.name, "VALUE_NESTEDNESS_MISMATCH", rule, len(levels), len(wanted), text, proposed=proposed
        )
        return
    for i, (v, (_, low, high)) in enumerate(zip(wanted, levels, strict=True)):
        rule = f"value_counts[{i}]" if f.value_counts else "value_count"
        where = f" at level {i}" if f.value_counts else ""

        def better(part: str, n: int | None, level: int = i) -> dict[str, Any]:
            bounds = {part: n or None if part == "min" else n}
            return change(
                f.name, **({"value_counts": {level: bounds}} if f.value_counts else {"value_count": bounds})
            )

        if v.min is not None and low is not None and low < v.min:
            text = (
                f"{f.name}: a row has {counted(low, 'values')}{where}, the schema asks for at least {v.min}"
            )
            yield anomaly(
                f.name,
                "FEATURE_TYPE_LOW_NUMBER_VALUES",
                f"{rule}.min",
                low,
                v.min,
                text,
                proposed=better("min", low),
            )
        if v.max is not None and high is not None and high > v.max:
            text = f"{f.name}: a row has {counted(high, 'values')}{where}, the schema allows at most {v.max}"
            yield anomaly(
                f.name,
                "FEATURE_TYPE_HIGH_NUMBER_VALUES",
                f"{rule}.max",
                high,
                v.max,
                text,
                proposed=better("max", high),
            )


def _shape(f: Feature, seen: FeatureView) -> Found:
    if f.shape is None:
        return
    levels = _levels(seen)
    sizes = [n or 0 for n in f.shape.dims]
    observed: Any
    if any(missing or low != high or not low for missing, low, high in levels):
        observed = [[low, high] for _, low, high in levels]
        absent = sum(missing for missing, _, _ in levels)
        why = f"{absent:,} are missing" if absent else "their number varies"
        text = f"{f.name}: the schema wants {counted(math.prod(sizes), 'values')} in every row; {why}"
    else:
        observed = math.prod(low or 0 for _, low, _ in levels)
        if observed == math.prod(sizes):
            return
        text = f"{f.name}: every row has {counted(observed, 'values')}, the shape {sizes} wants {math.prod(sizes)}"
    yield anomaly(
        f.name, "INVALID_FEATURE_SHAPE", "shape", observed, sizes, text, proposed=change(f.name, shape=None)
    )


def _unique(f: Feature, seen: FeatureView) -> Found:
    u = f.unique
    if u is None:
        return
    n = seen.num_unique
    if n is None:
        text = f"{f.name}: of a column of type {seen.type} unique values were not counted"
        proposed = change(f.name, unique=None)
        yield anomaly(f.name, "FEATURE_TYPE_NO_UNIQUE", "unique", None, "a number", text, proposed=proposed)
        return
    about, margin = "" if seen.unique_is_exact else "about ", unique_margin(seen)
    if u.min is not None and n + margin < u.min:
        text = f"{f.name}: {about}{counted(n, 'different values')}, the schema asks for at least {u.min:,}"
        proposed = change(f.name, unique={"min": n})
        yield anomaly(f.name, "FEATURE_TYPE_LOW_UNIQUE", "unique.min", n, u.min, text, proposed=proposed)
    if u.max is not None and n - margin > u.max:
        text = f"{f.name}: {about}{counted(n, 'different values')}, the schema allows at most {u.max:,}"
        proposed = change(f.name, unique={"max": n})
        yield anomaly(f.name, "FEATURE_TYPE_HIGH_UNIQUE", "unique.max", n, u.max, text, proposed=proposed)


def _derived(f: Feature, seen: FeatureView) -> Found:
    said = seen.custom.get("validation_derived_source") if seen.custom else None
    if f.validation_derived_source is None:
        if said is None:
            return
        text = f"{f.name}: the column is derived, the schema does not say from what"
        proposed = change(f.name, lifecycle_stage="VALIDATION_DERIVED", validation_derived_source=said)
        rule = "validation_derived_source"
        yield anomaly(f.name, "DERIVED_FEATURE_INVALID_SOURCE", rule, said, None, text, proposed=proposed)
    elif f.lifecycle_stage != "VALIDATION_DERIVED":
        text = f"{f.name}: a derived column is in the stage VALIDATION_DERIVED, not {f.lifecycle_stage or 'none'}"
        proposed = change(f.name, lifecycle_stage="VALIDATION_DERIVED")
        yield anomaly(
            f.name,
            "DERIVED_FEATURE_BAD_LIFECYCLE",
            "lifecycle_stage",
            f.lifecycle_stage,
            "VALIDATION_DERIVED",
            text,
            proposed=proposed,
        )


def _new_columns(schema: Schema, statistics: Statistics) -> dict[str, FeatureView]:
    pairs = {*schema.sparse_features, *schema.weighted_features}
    return {
        name: f
        for name, f in statistics.features.items()
        if name not in schema and name not in pairs and (f.num_rows or not statistics.n_rows)
    }


def _parts(f: FeatureView, new: dict[str, FeatureView]) -> list[FeatureView]:
    return [p for p in new.values() if p is not f and p.path[: len(f.path)] == f.path]


def _as_change(f: FeatureView) -> dict[str, Any]:
    said = infer_feature(f).to_dict()
    return {"feature": said.pop("name"), **said}


def check_new_columns(schema: Schema, statistics: Statistics) -> Iterator[Any]:
    """Columns the schema does not have; what is proposed is the feature as it would be inferred."""
    new = _new_columns(schema, statistics)
    for name, f in new.items():
        parent = path_text(f.path[:-1]) if len(f.path) > 1 else None
        if parent is not None and (parent in new or (parent in schema and schema[parent].type != "STRUCT")):
            continue  # its structure is new and comes with all its parts, or should be no structure
        text = f"{name}: a new column of type {f.type}"
        parts = _parts(f, new) if f.type == "STRUCT" else []
        proposed: dict[str, Any] = _as_change(f)
        if parts:
            proposed["also"] = [_as_change(p) for p in parts]
        yield anomaly(f.name, "SCHEMA_NEW_COLUMN", "features", f.type, None, text, proposed=proposed)
