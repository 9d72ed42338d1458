"""Accepting anomalies: the changes of the schema that they propose, applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from whence.validation.plain import build
from whence.validation.schema import Schema
from whence.validation.types import (
    DOMAINS,
    Anomaly,
    DatasetConstraints,
    Domain,
    Feature,
    NaturalLanguageDomain,
    StringDomain,
    TokenConstraint,
    domain_fits,
    domain_from_dict,
    domain_to_dict,
    to_plain,
)


def update_schema(schema: Schema, anomalies: Sequence[Anomaly]) -> Schema:
    """The schema that accepts these anomalies: each one's proposed change applied, in their order.

    A column of another type loses a domain that does not speak of that type. An anomaly that proposes
    nothing (a stale table, a broken rule) leaves the schema as it is. Values that are added to a shared
    domain are added for all columns that share it.

    Raises:
        UsageError: A change does not fit the schema (``bad-schema``).

    Source:
        TFDV ``update_schema``; here the anomalies to accept are chosen. Differs: a column of another type
        gets that type, TFDV deprecates it.

    Example:
        >>> from whence.validation import Feature, describe, validate_statistics
        >>> import pyarrow as pa
        >>> s = Schema().add(Feature("x", "FLOAT")).edit("x", max=1.0)
        >>> found, _ = validate_statistics(describe(pa.table({"x": [0.5, 2.5]})), s)
        >>> update_schema(s, found)["x"].domain.max
        2.5
    """
    for anomaly in anomalies:
        schema = _accept(schema, dict(anomaly.proposed))
    return schema


def _accept(schema: Schema, change: dict[str, Any]) -> Schema:
    constraints = change.pop("constraints", None)
    if constraints:
        merged = _merged(schema.constraints.to_dict(), constraints)
        schema = replace(schema, constraints=build(DatasetConstraints, merged, "dataset_constraints"))
    stage = change.get("lifecycle_stage")
    sparse = schema.sparse_features.get(change.pop("sparse_feature", ""))
    if sparse is not None:
        schema = schema.sparse(replace(sparse, lifecycle_stage=stage))
    weighted = schema.weighted_features.get(change.pop("weighted_feature", ""))
    if weighted is not None:
        schema = schema.weighted(replace(weighted, lifecycle_stage=stage))
    parts = change.pop("also", ())
    name = change.pop("feature", None)
    if name is not None:
        schema = _feature(schema, name, change)
    for part in parts:
        schema = _accept(schema, dict(part))
    return schema


def _feature(schema: Schema, name: str, change: dict[str, Any]) -> Schema:
    if name not in schema:
        return schema.add(Feature.from_dict({"name": name, **change}), stored=True)
    feature = schema[name]
    given = feature.to_dict()
    if "domain" in change:
        schema, given = _domain(schema, feature, given, change.pop("domain"))
    for key, value in change.items():
        given[key] = _value(given.get(key), key, value)
    made = Feature.from_dict({k: v for k, v in given.items() if v is not None})
    if "type" in change and isinstance(made.domain, DOMAINS) and not domain_fits(made.domain, change["type"]):
        made = replace(made, domain=None, min_domain_mass=1.0)
    return schema.add(made, stored=True)


def _value(have: Any, key: str, value: Any) -> Any:
    if key == "value_counts" and isinstance(value, Mapping):
        levels = list(have or [])
        for level, bounds in value.items():
            levels[int(level)] = _merged(levels[int(level)], bounds)
        return levels
    if key == "expect" and isinstance(value, Mapping):
        return [_merged(e, value.get(e["of"], {})) for e in have or []]
    if isinstance(value, Mapping):
        return _merged(have if isinstance(have, Mapping) else {}, value)
    return value


def _merged(have: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with parts of another in it; None takes a part away."""
    out = dict(have)
    for k, v in value.items():
        inner = out.get(k)
        out[k] = _merged(inner, v) if isinstance(v, Mapping) and isinstance(inner, Mapping) else v
    return {k: v for k, v in out.items() if v is not None}


def _domain(
    schema: Schema, feature: Feature, given: dict[str, Any], value: Any
) -> tuple[Schema, dict[str, Any]]:
    if not isinstance(value, Mapping):
        if value is None and feature.min_domain_mass != 1.0:
            given.pop("min_domain_mass", None)
        return schema, {**given, "domain": value}
    domain = _changed(schema.domain_of(feature), value)
    if isinstance(feature.domain, str) and feature.domain in schema.domains and "kind" not in value:
        return schema.domain(feature.domain, domain), given
    return schema, {**given, "domain": domain_to_dict(domain)}


def _changed(domain: Domain | None, value: Mapping[str, Any]) -> Domain:
    if "add" in value:
        start = domain if isinstance(domain, StringDomain) else StringDomain()
        new = value["add"] if start.values else sorted(value["add"])
        return replace(start, values=tuple(dict.fromkeys([*start.values, *new])))
    if "token" in value and isinstance(domain, NaturalLanguageDomain):
        return _token(domain, dict(value["token"]))
    if "kind" in value or domain is None:
        return domain_from_dict(value)
    return domain_from_dict(_merged(domain_to_dict(domain), value))


def _token(domain: NaturalLanguageDomain, change: dict[str, Any]) -> Domain:
    tokens = tuple(
        build(TokenConstraint, {**to_plain(t), **change}, "token constraint")
        if t.value == change["value"]
        else t
        for t in domain.token_constraints
    )
    return replace(domain, token_constraints=tokens)
