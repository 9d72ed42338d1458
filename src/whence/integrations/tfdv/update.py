"""The schema that accepts what was found, by TFDV's function on its protos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from whence.integrations.tfdv.messages import Message, schema_pb2
from whence.integrations.tfdv.schema_in import schema_from_proto, shortest
from whence.integrations.tfdv.schema_out import schema_to_proto
from whence.integrations.tfdv.schema_util import require
from whence.integrations.tfdv.validate import checked_list, read_default, share_domains, told, walk
from whence.validation import Schema, Statistics
from whence.validation import infer_schema as infer
from whence.validation import update_schema as accept
from whence.validation.anomalies import validate_statistics as validate
from whence.validation.types import Anomaly, BoolDomain, Feature, FloatDomain, IntDomain


def update_schema(
    schema: Message,
    statistics: Message,
    infer_feature_shape: bool | None = True,  # noqa: ARG001 - as in TFDV, taken and without effect
    max_string_domain_size: int | None = 100,
) -> Message:
    """The schema that accepts what `validate_statistics` would report of the features of these statistics.

    A feature whose type is another is DEPRECATED and bounds on the number of rows stay, as TFDV does it.

    Args:
        schema: The schema; it is not changed.
        statistics: What it has to accept.
        infer_feature_shape: Without effect, as in TFDV.
        max_string_domain_size: So many different texts make a domain of a new column.

    Raises:
        TypeError: An argument is another message.
    """
    require(schema, schema_pb2.Schema, "schema")
    seen = read_default(checked_list(statistics, "statistics"))
    current = schema_from_proto(schema, exact=True)
    found = told(validate(seen, current)[0], seen, current, schema)
    of_types = ("UNEXPECTED_DATA_TYPE", "FEATURE_MISSING_TYPE")
    retired = {a.feature for a in found if a.type in of_types}
    updated = _domains(accept(current, [a for a in found if a.type not in of_types]), current, seen, found)
    for name in retired & updated.features.keys():
        updated = updated.add(replace(updated[name], lifecycle_stage="DEPRECATED"), stored=True)
    new = [f.name for f in updated if f.name not in current.features]
    if new:
        inferred = infer(seen, max_string_domain_size=max_string_domain_size or 0, infer_feature_shape=False)
        updated = updated.add(*(inferred[name] for name in new if name in inferred), stored=True)
    made = schema_to_proto(_in_tfdv_types(updated, new))
    share_domains(made, {updated[name].steps for name in new})
    changed = {f.steps[0] for f in updated if f != current.features.get(f.name)}
    same = {f.name: f for f in schema.feature if f.name not in changed}
    for feature in made.feature:
        if feature.name in same:
            feature.CopyFrom(same[feature.name])
    _as_said(schema, made, {updated[a.feature].steps for a in found if _is_unfit(a)})
    _sort_new_values(schema, made)
    if schema.HasField("dataset_constraints"):  # bounds on the rows of a data set are not widened, as in TFDV
        made.dataset_constraints.CopyFrom(schema.dataset_constraints)
    return made


# --- domains as TFDV widens them ------------------------------------------------------------------


def _domains(updated: Schema, current: Schema, seen: Statistics, found: Sequence[Anomaly]) -> Schema:
    """With bounds the format can hold, so that no note of ours is needed; what was boolean spans what was
    seen; a shared domain of which one feature is no text any more is nobody's.
    """
    for name, feature in updated.features.items():
        before = current.features.get(name, feature).domain
        if feature.domain != before:
            was_bool = isinstance(before, BoolDomain) and name in seen
            ends = (seen[name].min, seen[name].max) if was_bool else None
            updated = updated.add(_in_bounds(feature, ends), stored=True)
    odd = {current[a.feature].domain for a in found if a.type == "ENUM_TYPE_INVALID_UTF8"}
    gone = {domain for domain in odd if isinstance(domain, str)} & updated.domains.keys()
    if not gone:
        return updated
    without = (replace(f, domain=None) for f in updated if f.domain in gone)
    kept = {name: d for name, d in updated.domains.items() if name not in gone}
    return replace(updated.add(*without, stored=True), domains=kept)


def _in_bounds(f: Feature, ends: tuple[Any, Any] | None) -> Feature:
    domain = f.domain
    if not isinstance(domain, IntDomain | FloatDomain):
        return f
    low, high = ends or (domain.min, domain.max)
    if isinstance(domain, FloatDomain):
        return replace(f, domain=replace(domain, min=_single(low), max=_single(high)))
    return replace(f, domain=replace(domain, min=_int64(low), max=_int64(high)))


def _single(bound: float | None) -> float | None:
    return None if bound is None else shortest(bound)


def _int64(bound: float | None) -> int | None:
    return None if bound is None else min(max(int(bound), -(2**63)), 2**63 - 1)


def _in_tfdv_types(schema: Schema, names: Iterable[str]) -> Schema:
    """The features in types TFDV has, so that no note of ours is needed."""
    return schema.add(*(_tfdv_feature(schema[name]) for name in names), stored=True)


def _tfdv_feature(f: Feature) -> Feature:
    if f.type == "STRING":
        return replace(f, type="BYTES")
    if f.type == "BOOL":
        return replace(f, type="INT", domain=f.domain or BoolDomain())
    return f


# --- words as they were ---------------------------------------------------------------------------


def _as_said(before: Message, after: Message, unfit: set[tuple[str, ...]]) -> None:
    """Where a feature changed, what means the same in the words it had: a default that was said stays said,
    and a limit of 0 on uniques that was only read where nothing was said goes.

    Args:
        before: The schema as it was written.
        after: The updated one; changed in place.
        unfit: Features that have a share of a domain and no domain of texts; they lose the share.
    """
    for path, old, new in _twice(before, after):
        if path in unfit:
            new.ClearField("distribution_constraints")
        elif old.distribution_constraints.min_domain_mass == 1.0 and old.HasField("distribution_constraints"):
            new.distribution_constraints.CopyFrom(old.distribution_constraints)
        if old.WhichOneof("domain_info") == new.WhichOneof("domain_info") == "float_domain":
            for name in ("disallow_nan", "disallow_inf"):
                if old.float_domain.HasField(name) and not getattr(new.float_domain, name):
                    setattr(new.float_domain, name, False)
        for name in ("min", "max"):
            if (
                new.HasField("unique_constraints")
                and not old.unique_constraints.HasField(name)
                and getattr(new.unique_constraints, name) == 0
            ):
                new.unique_constraints.ClearField(name)


def _is_unfit(a: Anomaly) -> bool:
    return a.type == "INVALID_SCHEMA_SPECIFICATION" and a.rule == "min_domain_mass"


def _twice(before: Message, after: Message) -> Iterator[tuple[tuple[str, ...], Message, Message]]:
    said = dict(walk((), before.feature))
    for path, feature in walk((), after.feature):
        if path in said:
            yield path, said[path], feature


def _sort_new_values(before: Message, after: Message) -> None:
    """New values of a domain behind those it had, by their bytes, as TFDV adds them."""
    shared = {d.name: d for d in before.string_domain}
    pairs = [(shared[d.name], d) for d in after.string_domain if d.name in shared]
    pairs += [(old.string_domain, new.string_domain) for _, old, new in _twice(before, after)]
    for old, new in pairs:
        if len(new.value) > len(old.value) and new.value[: len(old.value)] == old.value[:]:
            new.value[len(old.value) :] = sorted(new.value[len(old.value) :], key=str.encode)
