"""Schemas from statistics, and statistics against schemas, by TFDV's functions on its protos."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from whence.integrations.tfdv.anomalies_out import report_to_anomalies, serialized
from whence.integrations.tfdv.messages import Message, anomalies_pb2, as_ours, schema_pb2, statistics_pb2
from whence.integrations.tfdv.refusals import NotFoundError, UnsupportedError
from whence.integrations.tfdv.schema_in import schema_from_proto
from whence.integrations.tfdv.schema_out import schema_to_proto
from whence.integrations.tfdv.schema_util import require
from whence.integrations.tfdv.statistics_in import default_dataset, statistics_from_proto
from whence.validation import Report, Schema, Statistics
from whence.validation import infer_schema as infer
from whence.validation.anomalies import anomaly
from whence.validation.anomalies import validate_statistics as validate
from whence.validation.reasons import FORMS
from whence.validation.types import UNCHECKED_STAGES, Anomaly

SchemaTransformation = Callable[[Message, Message], Message]
_TEXTS: Final = ("domain", "string_domain")
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
    given = checked_list(statistics, "statistics")
    made = infer(
        read_default(_with_stats_only(given)),
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
    given = checked_list(statistics, "statistics")
    if environment is not None and environment not in schema.default_environment:
        raise NotFoundError("environment", environment, near=schema.default_environment)
    if not default_dataset(given).num_examples:
        # TFDV judges nothing where there are no rows, and says so.
        out = anomalies_pb2.Anomalies(data_missing=True)
        out.baseline.CopyFrom(schema)
        return out
    seen = read_default(given)
    others = [
        None
        if other is None
        else replace(read_default(checked_list(other, name)), name=f"the {name}".replace("_", " "))
        for name, other in (
            ("previous_statistics", previous_statistics),
            ("serving_statistics", serving_statistics),
        )
    ]
    rules = schema_from_proto(schema, exact=True)
    found, distances = validate(seen, rules, environment=environment, previous=others[0], serving=others[1])
    unchecked = {f.name for f in rules if f.lifecycle_stage in UNCHECKED_STAGES}
    measured = tuple(d for d in distances if d.feature not in unchecked)
    report = Report(seen.name, "schema", environment, seen.n_rows, told(found, seen, rules, schema), measured)
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
        None if s is None else checked_list(s, name)
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


def checked_list(message: Any, what: str) -> Message:
    """Statistics as our own message.

    Raises:
        TypeError: They are another.
    """
    try:
        return as_ours(message, "DatasetFeatureStatisticsList")
    except TypeError:
        raise TypeError(
            f"{what} is of type {type(message).__name__}, should be a DatasetFeatureStatisticsList proto"
        ) from None


def read_default(statistics: Message) -> Statistics:
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
    for path, feature in walk((), schema.feature):
        if feature.WhichOneof("domain_info") != "string_domain" or (only is not None and path not in only):
            continue
        name = serialized(path) if len(path) > 1 else path[0]
        own, number = name, 2
        while name in taken:
            name, number = f"{own}{number}", number + 1
        taken.add(name)
        schema.string_domain.add(name=name, value=feature.string_domain.value)
        feature.domain = name


def walk(parent: tuple[str, ...], features: Iterable[Message]) -> list[tuple[tuple[str, ...], Message]]:
    """Features with their paths, each followed by its parts."""
    out: list[tuple[tuple[str, ...], Message]] = []
    for f in features:
        path = (*parent, f.name)
        out.append((path, f))
        if f.WhichOneof("domain_info") == "struct_domain":
            out += walk(path, f.struct_domain.feature)
    return out


def told(found: Iterable[Anomaly], seen: Statistics, schema: Schema, given: Message) -> tuple[Anomaly, ...]:
    """What TFDV 1.16 tells of: no wrong bool domain, which it documents and never finds, nothing of the form
    of values, nothing of rows against none before, and nothing of the parts of a structure where the schema has
    no structure. It tells of a share
    of values in a domain of texts that nobody has even where that share is all of them.

    Args:
        found: What is wrong.
        seen: The statistics.
        schema: The rules.
        given: The rules as they were written.
    """
    types = {f.steps: f.type for f in schema}

    def is_inside(name: str) -> bool:
        path = seen[name].path
        return any(types.get(path[:i], "STRUCT") != "STRUCT" for i in range(1, len(path)))

    kept = [
        a
        for a in found
        if a.type not in {"BOOL_TYPE_INVALID_CONFIG", *FORMS}
        and not (a.type == "SCHEMA_NEW_COLUMN" and is_inside(a.feature))
        and not (a.type == "COMPARATOR_HIGH_NUM_EXAMPLES" and a.observed == math.inf)
    ]
    return (*kept, *_shares_of_nothing(seen, schema, given))


def _shares_of_nothing(seen: Statistics, schema: Schema, given: Message) -> Iterator[Anomaly]:
    names = {f.steps: f.name for f in schema if f.checked and f.type is not None and f.name in seen}
    for path, f in walk((), given.feature):
        is_text = f.type == schema_pb2.BYTES and f.WhichOneof("domain_info") in _TEXTS
        if is_text or path not in names or not f.HasField("distribution_constraints"):
            continue
        if f.distribution_constraints.min_domain_mass == 1.0:  # any other the check itself tells of
            text = (
                f"{names[path]}: the schema's min_domain_mass is 1, allowed is none without a domain of texts"
            )
            yield anomaly(names[path], "INVALID_SCHEMA_SPECIFICATION", "min_domain_mass", 1.0, "none", text)
