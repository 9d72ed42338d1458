"""Schemas from statistics, and statistics against schemas, by TFDV's functions on its protos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from whence.integrations.tfdv.anomalies_out import report_to_anomalies, serialized
from whence.integrations.tfdv.messages import Message, anomalies_pb2, as_ours, schema_pb2, statistics_pb2
from whence.integrations.tfdv.refusals import NotFoundError, UnsupportedError
from whence.integrations.tfdv.schema_in import schema_from_proto, shortest
from whence.integrations.tfdv.schema_out import schema_to_proto
from whence.integrations.tfdv.schema_util import require
from whence.integrations.tfdv.statistics_in import default_dataset, statistics_from_proto
from whence.validation import Report, Schema, Statistics
from whence.validation import infer_schema as infer
from whence.validation import update_schema as accept
from whence.validation.anomalies import validate_statistics as validate
from whence.validation.reasons import FORMS
from whence.validation.types import UNCHECKED_STAGES, Anomaly, BoolDomain, Feature, FloatDomain

SchemaTransformation = Callable[[Message, Message], Message]
_STATS: Final = ("num_stats", "string_stats", "bytes_stats", "struct_stats")


def infer_schema(
    statistics: Message,
    infer_feature_shape: bool = True,
    max_string_domain_size: int = 100,
    schema_transformations: Sequence[SchemaTransformation] | None = None,
) -> Message:
    """The schema that the rows of statistics satisfy, as a ``Schema`` proto to be curated.

    Args:
        statistics: Of one data set, or of slices with the one of all rows.
        infer_feature_shape: Whether a constant number of values becomes a shape.
        max_string_domain_size: So many different texts make a domain.
        schema_transformations: Functions of the schema and the statistics, called in order.

    Raises:
        TypeError: They are no ``DatasetFeatureStatisticsList``.
        UsageError: There is no data set of all rows (``bad-statistics``).
    """
    given = _statistics(statistics, "statistics")
    made = infer(
        _read(_with_stats_only(given)),
        max_string_domain_size=max_string_domain_size,
        infer_feature_shape=infer_feature_shape,
    )
    schema = schema_to_proto(made, plain=True)
    for feature in schema.feature:
        _sort_parts(feature)
    share_domains(schema)
    for transform in schema_transformations or ():
        schema = transform(schema, given.datasets[0])
    return schema


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
    seen = _read(_statistics(statistics, "statistics"))
    current = schema_from_proto(schema, exact=True)
    found = _told(validate(seen, current)[0], seen, current)
    of_types = ("UNEXPECTED_DATA_TYPE", "FEATURE_MISSING_TYPE")
    retired = {a.feature for a in found if a.type in of_types}
    updated = accept(current, [a for a in found if a.type not in of_types])
    for name, feature in updated.features.items():
        if feature.domain != current.features.get(name, feature).domain:
            updated = updated.add(_single_precision(feature), stored=True)
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
    _unsaid_limits(schema, made)
    _sort_new_values(schema, made)
    if schema.HasField("dataset_constraints"):  # bounds on the rows of a data set are not widened, as in TFDV
        made.dataset_constraints.CopyFrom(schema.dataset_constraints)
    return made


def _single_precision(f: Feature) -> Feature:
    """With bounds the format can hold, so that no note of ours is needed."""
    if not isinstance(f.domain, FloatDomain):
        return f
    low, high = (None if v is None else shortest(v) for v in (f.domain.min, f.domain.max))
    return replace(f, domain=replace(f.domain, min=low, max=high))


def _sort_new_values(before: Message, after: Message) -> None:
    """New values of a domain behind those it had, by their bytes, as TFDV adds them."""
    said = {d.name: d for d in before.string_domain} | dict(_walk((), before.feature))
    for key, holder in [*((d.name, d) for d in after.string_domain), *_walk((), after.feature)]:
        if key not in said:
            continue
        old, new = (h if isinstance(key, str) else h.string_domain for h in (said[key], holder))
        if len(new.value) > len(old.value) and new.value[: len(old.value)] == old.value[:]:
            new.value[len(old.value) :] = sorted(new.value[len(old.value) :], key=str.encode)


def _unsaid_limits(before: Message, after: Message) -> None:
    """Take away the limits of 0 on uniques that were read where nothing was said."""
    said = dict(_walk((), before.feature))
    for path, feature in _walk((), after.feature):
        old = said.get(path)
        for name in ("min", "max"):
            if (
                old is not None
                and feature.HasField("unique_constraints")
                and not old.unique_constraints.HasField(name)
                and getattr(feature.unique_constraints, name) == 0
            ):
                feature.unique_constraints.ClearField(name)


def validate_statistics(
    statistics: Message,
    schema: Message,
    environment: str | None = None,
    previous_statistics: Message | None = None,
    serving_statistics: Message | None = None,
    custom_validation_config: Any = None,
) -> Message:
    """The anomalies of statistics under a schema.

    Types and features are those TFDV reports; the sentences are our own and name both numbers. No anomaly
    is made of an infinity norm between numbers, which compares nothing.

    Args:
        statistics: What is judged.
        schema: The rules.
        environment: One of the schema's default environments.
        previous_statistics: Of the data before: drift.
        serving_statistics: Of serving data: skew.
        custom_validation_config: Refused: SQL over statistics is no part of TFDV any more.

    Returns:
        An ``Anomalies`` proto.

    Raises:
        TypeError: An argument is another message.
        NotFoundError: The environment is none of the schema's (``environment-not-found``).
    """
    if custom_validation_config is not None:
        raise UnsupportedError(
            "custom_validation_config is not offered",
            hint="Schema.check(name, sql) of whence.validation takes SQL over the rows",
        )
    require(schema, schema_pb2.Schema, "schema")
    given = _statistics(statistics, "statistics")
    if environment is not None and environment not in schema.default_environment:
        raise NotFoundError("environment", environment, near=schema.default_environment)
    if not default_dataset(given).num_examples:
        # TFDV judges nothing where there are no rows, and says so.
        out = anomalies_pb2.Anomalies(data_missing=True)
        out.baseline.CopyFrom(schema)
        return out
    seen = _read(given)
    others = [
        None if other is None else _read(_statistics(other, name))
        for name, other in (
            ("previous_statistics", previous_statistics),
            ("serving_statistics", serving_statistics),
        )
    ]
    rules = schema_from_proto(schema, exact=True)
    found, distances = validate(seen, rules, environment=environment, previous=others[0], serving=others[1])
    unchecked = {f.name for f in rules if f.lifecycle_stage in UNCHECKED_STAGES}
    measured = tuple(d for d in distances if d.feature not in unchecked)
    report = Report(seen.name, "schema", environment, seen.n_rows, _told(found, seen, rules), measured)
    paths = {f.name: f.path for f in seen.features.values()} | {f.name: f.steps for f in rules}
    return report_to_anomalies(report, schema=schema, paths=paths, plain=True)


def validate_corresponding_slices(
    statistics: Message,
    schema: Message,
    environment: str | None = None,
    previous_statistics: Message | None = None,
    serving_statistics: Message | None = None,
) -> Message:
    """The anomalies of each slice under the schema, and of each against the same slice of other statistics.

    A feature of a slice is called ``slice(NAME)::feature`` (in quotation marks where anomalies stand by name); bounds on the number of rows hold for all rows.

    Args:
        statistics: With slices and the data set of all rows.
        schema: The rules for every slice.
        environment: As of `validate_statistics`.
        previous_statistics: With the same slices: drift.
        serving_statistics: With the same slices: skew.
    """
    require(schema, schema_pb2.Schema, "schema")
    given = [
        None if s is None else _statistics(s, name)
        for name, s in (
            ("statistics", statistics),
            ("previous_statistics", previous_statistics),
            ("serving_statistics", serving_statistics),
        )
    ]
    keys = dict.fromkeys(d.name for s in given if s is not None for d in s.datasets)
    flat = [None if s is None else _flat(s) for s in given]
    return validate_statistics(flat[0], _for_slices(schema, keys), environment, flat[1], flat[2])


def _flat(statistics: Message) -> Message:
    """All slices as one data set, the slice in the name of each feature."""
    out = statistics_pb2.DatasetFeatureStatisticsList()
    whole = out.datasets.add()
    default = default_dataset(statistics)
    whole.num_examples, whole.weighted_num_examples = default.num_examples, default.weighted_num_examples
    for dataset in statistics.datasets:
        for feature in dataset.features:
            made = whole.features.add()
            made.CopyFrom(feature)
            steps = list(feature.path.step) or [feature.name]
            made.path.step[:] = [_in_slice(dataset.name, steps[0]), *steps[1:]]
    return out


def _for_slices(schema: Message, keys: Iterable[str]) -> Message:
    out = schema_pb2.Schema()
    out.CopyFrom(schema)
    for field in ("feature", "sparse_feature", "weighted_feature"):
        out.ClearField(field)
        for key in keys:
            for feature in getattr(schema, field):
                made = getattr(out, field).add()
                made.CopyFrom(feature)
                made.name = _in_slice(key, feature.name)
    return out


def _in_slice(key: str, name: str) -> str:
    return f"slice({key})::{name}"


# --- parts --------------------------------------------------------------------------------------


def _statistics(message: Any, what: str) -> Message:
    try:
        return as_ours(message, "DatasetFeatureStatisticsList")
    except TypeError:
        raise TypeError(
            f"{what} is of type {type(message).__name__}, should be a DatasetFeatureStatisticsList proto"
        ) from None


def _read(statistics: Message) -> Statistics:
    """The data set of all rows; slices beside it do not matter here. Where rows have weights TFDV counts
    their sum as the number of rows.
    """
    alone = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = alone.datasets.add()
    dataset.CopyFrom(default_dataset(statistics))
    made = statistics_from_proto(alone)
    weighted = dataset.weighted_num_examples
    return replace(made, n_rows=int(weighted) if weighted.is_integer() else weighted) if weighted else made


def _with_stats_only(statistics: Message) -> Message:
    """Without features that are made of others: there is nothing to infer of them."""
    out = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = out.datasets.add()
    dataset.CopyFrom(default_dataset(statistics))
    kept = [f for f in dataset.features if f.WhichOneof("stats") in _STATS]
    del dataset.features[:]
    dataset.features.extend(kept)
    return out


def _sort_parts(feature: Message) -> None:
    """The parts of a structure by name, as TFDV infers them."""
    if feature.WhichOneof("domain_info") == "struct_domain":
        parts = sorted(feature.struct_domain.feature, key=lambda f: str(f.name))
        for part in parts:
            _sort_parts(part)
        kept = [type(p).FromString(p.SerializeToString()) for p in parts]
        del feature.struct_domain.feature[:]
        feature.struct_domain.feature.extend(kept)


def share_domains(schema: Message, paths: Iterable[tuple[str, ...]] | None = None) -> None:
    """Move the texts of features to domains of the schema, as TFDV infers them.

    Args:
        schema: The proto, changed in place.
        paths: Only of these features.
    """
    only = None if paths is None else set(paths)
    taken = {d.name for d in schema.string_domain}
    for path, feature in _walk((), schema.feature):
        if feature.WhichOneof("domain_info") != "string_domain" or (only is not None and path not in only):
            continue
        name = serialized(path) if len(path) > 1 else path[0]
        own, number = name, 2
        while name in taken:
            name, number = f"{own}{number}", number + 1
        taken.add(name)
        schema.string_domain.add(name=name, value=feature.string_domain.value)
        feature.domain = name


def _walk(parent: tuple[str, ...], features: Iterable[Message]) -> list[tuple[tuple[str, ...], Message]]:
    out: list[tuple[tuple[str, ...], Message]] = []
    for f in features:
        path = (*parent, f.name)
        out.append((path, f))
        if f.WhichOneof("domain_info") == "struct_domain":
            out += _walk(path, f.struct_domain.feature)
    return out


def _told(found: Iterable[Anomaly], seen: Statistics, schema: Schema) -> tuple[Anomaly, ...]:
    """What TFDV 1.16 tells of: no wrong bool domain, which it documents and never finds, nothing of the form
    of values, and nothing of the parts of a structure where the schema has no structure.
    """
    types = {f.steps: f.type for f in schema}

    def is_inside(name: str) -> bool:
        path = seen[name].path
        return any(types.get(path[:i], "STRUCT") != "STRUCT" for i in range(1, len(path)))

    return tuple(
        a
        for a in found
        if a.type not in {"BOOL_TYPE_INVALID_CONFIG", *FORMS}
        and not (a.type == "SCHEMA_NEW_COLUMN" and is_inside(a.feature))
    )


def _in_tfdv_types(schema: Schema, names: Iterable[str]) -> Schema:
    """The features in types TFDV has, so that no note of ours is needed."""
    return schema.add(*(_tfdv_feature(schema[name]) for name in names), stored=True)


def _tfdv_feature(f: Feature) -> Feature:
    if f.type == "STRING":
        return replace(f, type="BYTES")
    if f.type == "BOOL":
        return replace(f, type="INT", domain=f.domain or BoolDomain())
    return f
