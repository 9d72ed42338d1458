"""A `Schema` as a proto: the words of the format, and in a comment of our own what it has none for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from google.protobuf import json_format

from whence.integrations.tfdv.messages import Message, schema_pb2
from whence.integrations.tfdv.refusals import UnsupportedError
from whence.integrations.tfdv.schema_in import NOTE, read_schema
from whence.validation import Schema
from whence.validation.paths import path_steps
from whence.validation.types import (
    Annotation,
    AudioDomain,
    BoolDomain,
    Comparator,
    ContentChunkDomain,
    DatasetConstraints,
    Domain,
    Feature,
    FloatDomain,
    ImageDomain,
    IntDomain,
    MidDomain,
    NaturalLanguageDomain,
    Shape,
    SparseFeature,
    StringDomain,
    StructDomain,
    TimeDomain,
    TimeOfDayDomain,
    UrlDomain,
    VideoDomain,
)

_LARGEST: Final = 3.4028234663852886e38
"""The largest number in single precision; a bound beyond it bounds nothing there."""
_INT64: Final = 2**63
_TYPES: Final = {"BOOL": "INT", "DATE": "INT", "STRING": "BYTES", "TIMESTAMP": "INT"}


def schema_to_proto(schema: Schema, *, plain: bool = False) -> Message:
    """A schema as a ``Schema`` proto.

    Text is BYTES there, booleans are INT with a bool domain, times INT with a time domain. What the format
    has no field for (rules, expectations, defaults, bounds in double precision, our finer types) stands as
    JSON in a comment of the annotation that begins with ``whence:``, so that `schema_from_proto` gives all
    of it back and TFDV reads past it.

    Args:
        schema: What the data must be.
        plain: Without these comments: only what TFDV itself can say.

    Raises:
        UnsupportedError: The installed ``tensorflow_metadata`` is older than a domain of the schema.

    Example:
        >>> proto = schema_to_proto(Schema().add(Feature("late", "BOOL")))
        >>> proto.feature[0].type == schema_pb2.INT, proto.feature[0].WhichOneof("domain_info")
        (True, 'bool_domain')
    """
    out = schema_pb2.Schema()
    _add_features(out, schema, plain=plain)
    for sparse in schema.sparse_features.values():
        _add_sparse(_group_at(out, sparse.parent), sparse, schema.extra)
    for w in schema.weighted_features.values():
        made = out.weighted_feature.add(name=w.name)
        made.feature.step.extend(_steps(schema, w.feature))
        made.weight_feature.step.extend(_steps(schema, w.weight_feature))
        _set(made, "lifecycle_stage", _stage(w.lifecycle_stage))
    for name, domain in schema.domains.items():
        _add_shared(out, name, domain)
    out.default_environment.extend(schema.default_environments)
    _set(out, "represent_variable_length_as_ragged", schema.represent_variable_length_as_ragged)
    _constraints(out, schema.constraints)
    for key, group in schema.extra.get("tensor_representation_group", {}).items():
        json_format.ParseDict(group, out.tensor_representation_group[key])
    if schema.annotation is not None:
        _annotate(out.annotation, schema.annotation)
    if not plain:
        note = _note(schema.to_dict(), read_schema(out).to_dict(), ("features",))
        names = {f.name for f in read_schema(out)} - set(schema.features)
        if names:
            note["without"] = sorted(names)
        _add_note(out, note)
    return out


def _group_at(out: Message, parent: tuple[str, ...]) -> Message:
    """The structure whose columns a sparse feature joins."""
    group = out
    for step in parent:
        found = next((f for f in group.feature if f.name == step), None) or group.feature.add(name=step)
        found.type = schema_pb2.STRUCT
        group = found.struct_domain
        group.SetInParent()
    return group


def _steps(schema: Schema, name: str) -> tuple[str, ...]:
    if not name or name in schema.features:
        return schema.features[name].steps if name else ()
    return path_steps(name)


# --- features -----------------------------------------------------------------------------------


def _add_features(out: Message, schema: Schema, *, plain: bool) -> None:
    places = _Places(out)
    for feature in schema:
        *parent, last = feature.steps
        # A structure may have been made on the way to one of its parts.
        made = places.made.pop(feature.steps, None) or places.group(tuple(parent)).feature.add()
        _set(made, "name", last or None)
        places.known[feature.steps] = made
        _fill(made, feature)
        if plain:
            continue
        back = read_schema(_alone(made, tuple(parent)))
        mine, theirs = feature.to_dict(), next(f for f in back if f.steps == feature.steps).to_dict()
        if schema.features.keys() != back.features.keys():
            theirs["name"] = mine["name"]  # how a name is quoted depends on its neighbours
        _add_note(made, _note(mine, theirs))


class _Places:
    """Where the features of a message stand, by path."""

    def __init__(self, out: Message) -> None:
        self._out = out
        self.known: dict[tuple[str, ...], Message] = {}
        self.made: dict[tuple[str, ...], Message] = {}
        """Structures that were made for their parts and not yet by a feature of the schema."""

    def group(self, parent: tuple[str, ...]) -> Message:
        """The message itself, or the domain of the structure at a path, made when it is not there."""
        if not parent:
            return self._out
        found = self.known.get(parent)
        if found is None:
            found = self.group(parent[:-1]).feature.add(name=parent[-1])
            self.known[parent] = self.made[parent] = found
        found.type = schema_pb2.STRUCT
        found.struct_domain.SetInParent()
        return found.struct_domain


def _alone(feature: Message, parent: tuple[str, ...]) -> Message:
    """A schema of one feature."""
    out = schema_pb2.Schema()
    _Places(out).group(parent).feature.add().CopyFrom(feature)
    return out


def _fill(out: Message, f: Feature) -> None:
    if f.type is not None:
        out.type = schema_pb2.FeatureType.Value(_TYPES.get(f.type, f.type))
    _fill_counts(out, f)
    _domain(out, f)
    if f.min_domain_mass != 1.0:
        out.distribution_constraints.min_domain_mass = f.min_domain_mass
    for comparator, name in ((f.skew, "skew_comparator"), (f.drift, "drift_comparator")):
        if comparator is not None:
            _comparator(getattr(out, name), comparator)
    out.in_environment.extend(f.in_environment)
    out.not_in_environment.extend(f.not_in_environment)
    _set(out, "lifecycle_stage", _stage(f.lifecycle_stage))
    if f.validation_derived_source is not None:
        _derived(out.validation_derived_source, f)
    if f.sequence_metadata is not None:
        _sequence(out.sequence_metadata, f)
    if f.annotation is not None:
        _annotate(out.annotation, f.annotation)


def _fill_counts(out: Message, f: Feature) -> None:
    """How much must be there, how many values a row has, how many differ."""
    if f.presence is not None:
        _copy(out.presence, f.presence)
    if f.group_presence is not None:
        out.group_presence.required = f.group_presence
    if f.shape is not None:
        _shape(out.shape, f.shape)
    elif f.value_counts:
        for count in f.value_counts:
            _copy(out.value_counts.value_count.add(), count)
    elif f.value_count is not None:
        _copy(out.value_count, f.value_count)
    if f.unique is not None:
        _copy(out.unique_constraints, f.unique)


def _copy(out: Message, value: Any) -> None:
    """The fields of a dataclass that are said, into fields of the same name. Any: several dataclasses."""
    out.SetInParent()
    for f in fields(value):
        _set(out, f.name, getattr(value, f.name))


def _set(out: Message, name: str, value: Any) -> None:
    """Set a field that is said; a number the field cannot hold is left out, the note has it."""
    if value is None or (isinstance(value, int) and not -_INT64 <= value < _INT64):
        return
    setattr(out, name, value)


def _stage(stage: str | None) -> int | None:
    return None if stage is None else int(schema_pb2.LifecycleStage.Value(stage))


def _shape(out: Message, shape: Shape) -> None:
    out.SetInParent()
    names = shape.names or ("",) * len(shape.dims)
    for size, name in zip(shape.dims, names, strict=True):
        dim = out.dim.add()
        _set(dim, "size", size)
        _set(dim, "name", name or None)


def _comparator(out: Message, c: Comparator) -> None:
    out.SetInParent()
    if c.infinity_norm is not None:
        out.infinity_norm.threshold = c.infinity_norm
    if c.jensen_shannon_divergence is not None:
        out.jensen_shannon_divergence.threshold = c.jensen_shannon_divergence
    if c.source != "DEFAULT":
        out.jensen_shannon_divergence.source.type = schema_pb2.HistogramSelection.Type.Value(c.source)
    if c.normalized_abs_difference is not None:
        out.normalized_abs_difference.threshold = c.normalized_abs_difference


def _derived(out: Message, f: Feature) -> None:
    source = f.validation_derived_source
    assert source is not None
    out.SetInParent()
    out.deriver_name, out.description = source.deriver_name, source.description
    for steps in source.source_paths:
        out.source_path.add(step=steps)
    out.declaratively_configured = bool(source.declaratively_configured)
    if source.config:
        json_format.ParseDict(dict(source.config), out.config)


def _sequence(out: Message, f: Feature) -> None:
    said = f.sequence_metadata
    assert said is not None
    out.SetInParent()
    if said.sequential_status is not None:
        out.sequential_status = schema_pb2.SequenceMetadata.SequentialStatus.Value(said.sequential_status)
    _set(out, "joint_group", said.joint_group)
    _set(out, "sequence_truncation_limit", said.sequence_truncation_limit)


def _annotate(out: Message, annotation: Annotation) -> None:
    out.SetInParent()
    out.tag.extend(annotation.tags)
    out.comment.extend(annotation.comments)
    for extra in annotation.extra_metadata:
        if isinstance(extra, Mapping) and set(extra) == {"type_url", "value"}:
            out.extra_metadata.add(type_url=extra["type_url"], value=bytes.fromhex(extra["value"]))


def _add_sparse(group: Message, s: SparseFeature, extra: Mapping[str, Any]) -> None:
    out = group.sparse_feature.add(name=s.name)
    if s.value_feature:
        out.value_feature.name = s.value_feature
    for name in s.index_features:
        out.index_feature.add(name=name)
    _set(out, "is_sorted", s.is_sorted)
    if s.dense_shape is not None:
        _shape(out.dense_shape, s.dense_shape)
    _set(out, "lifecycle_stage", _stage(s.lifecycle_stage))
    old = extra.get("sparse_feature", {}).get(s.name)
    if old:
        json_format.ParseDict(old, out)


def _constraints(out: Message, c: DatasetConstraints) -> None:
    if c == DatasetConstraints():
        return
    made = schema_pb2.DatasetConstraints()
    _set(made, "min_examples_count", c.min_examples_count)
    _set(made, "max_examples_count", c.max_examples_count)
    if c.num_examples_drift is not None:
        _copy(made.num_examples_drift_comparator, c.num_examples_drift)
    if c.num_examples_version is not None:
        _copy(made.num_examples_version_comparator, c.num_examples_version)
    if made.ListFields():
        out.dataset_constraints.CopyFrom(made)


# --- domains ------------------------------------------------------------------------------------


def _domain(out: Message, f: Feature) -> None:
    domain = f.domain
    if isinstance(domain, str):
        out.domain = domain
    elif domain is not None:
        name = _FIELDS[type(domain)]
        if name not in out.DESCRIPTOR.fields_by_name:
            raise UnsupportedError(
                f"feature {f.name!r} has a {type(domain).__name__}, which the installed tensorflow_metadata lacks",
                hint="a newer tensorflow-metadata, or none: then whence's own messages are used",
            )
        made = getattr(out, name)
        made.SetInParent()
        _fill_domain(made, domain)
        if isinstance(domain, TimeDomain) and not made.WhichOneof("format"):
            _own_time(out, f)
    elif f.type == "BOOL":
        out.bool_domain.SetInParent()
    else:
        _own_time(out, f)


def _own_time(out: Message, f: Feature) -> None:
    """The domain that says what the numbers of our times count."""
    counted = {"TIMESTAMP": "UNIX_MICROSECONDS", "DATE": "UNIX_DAYS"}.get(f.type or "")
    if counted:
        out.time_domain.integer_format = schema_pb2.TimeDomain.IntegerTimeFormat.Value(counted)


_FIELDS: Final[Mapping[type[Domain], str]] = {
    AudioDomain: "audio_domain",
    BoolDomain: "bool_domain",
    ContentChunkDomain: "content_chunk_domain",
    FloatDomain: "float_domain",
    ImageDomain: "image_domain",
    IntDomain: "int_domain",
    MidDomain: "mid_domain",
    NaturalLanguageDomain: "natural_language_domain",
    StringDomain: "string_domain",
    StructDomain: "struct_domain",
    TimeDomain: "time_domain",
    TimeOfDayDomain: "time_of_day_domain",
    UrlDomain: "url_domain",
    VideoDomain: "video_domain",
}


def _fill_domain(out: Message, domain: Domain) -> None:
    fill = _FILLERS.get(type(domain))
    if fill is not None:
        fill(out, domain)


def _add_shared(out: Message, name: str, domain: Domain) -> None:
    """A domain of the schema; kinds the format cannot share stand in the note."""
    if isinstance(domain, StringDomain):
        made = out.string_domain.add()
    elif isinstance(domain, FloatDomain):
        made = out.float_domain.add()
    elif isinstance(domain, IntDomain):
        made = out.int_domain.add()
    else:
        return
    _fill_domain(made, domain)
    made.name = name


def _named(out: Message, d: Any) -> None:
    _set(out, "name", d.name or None)


def _int(out: Message, d: IntDomain) -> None:
    _named(out, d)
    for name in ("min", "max", "is_categorical"):
        _set(out, name, getattr(d, name))


def _float(out: Message, d: FloatDomain) -> None:
    _named(out, d)
    for name in ("min", "max"):
        bound = getattr(d, name)
        if bound is not None and (abs(bound) <= _LARGEST or math.isinf(bound)):
            setattr(out, name, bound)
    for name in ("disallow_nan", "disallow_inf"):
        _set(out, name, getattr(d, name) or None)
    for name in ("is_embedding", "is_categorical", "embedding_dim", "embedding_type"):
        _set(out, name, getattr(d, name))


def _string(out: Message, d: StringDomain) -> None:
    _named(out, d)
    out.value.extend(d.values)
    if d.is_categorical is not None:
        kinds = schema_pb2.StringDomain
        out.is_categorical = kinds.CATEGORICAL_YES if d.is_categorical else kinds.CATEGORICAL_NO


def _bool(out: Message, d: BoolDomain) -> None:
    _named(out, d)
    _set(out, "true_value", d.true_value)
    _set(out, "false_value", d.false_value)


def _time(out: Message, d: TimeDomain | TimeOfDayDomain) -> None:
    if d.string_format is not None:
        out.string_format = d.string_format
    elif d.integer_format is not None:
        kind = out.DESCRIPTOR.fields_by_name["integer_format"].enum_type
        out.integer_format = kind.values_by_name[d.integer_format].number


def _image(out: Message, d: ImageDomain) -> None:
    _set(out, "minimum_supported_image_fraction", d.minimum_supported_image_fraction)
    _set(out, "max_image_byte_size", d.max_image_byte_size)


def _natural_language(out: Message, d: NaturalLanguageDomain) -> None:
    _set(out, "vocabulary", d.vocabulary)
    if d.coverage is not None:
        c, made = d.coverage, out.coverage
        made.SetInParent()
        _set(made, "min_coverage", c.min_coverage)
        _set(made, "min_avg_token_length", c.min_avg_token_length)
        made.excluded_string_tokens.extend(c.excluded_string_tokens)
        made.excluded_int_tokens.extend(c.excluded_int_tokens)
        made.oov_string_tokens.extend(c.oov_string_tokens)
    for t in d.token_constraints:
        token = out.token_constraints.add()
        setattr(token, "string_value" if isinstance(t.value, str) else "int_value", t.value)
        for f in fields(t):
            if f.name != "value":
                _set(token, f.name, getattr(t, f.name))
    if d.sequence_length is not None:
        s, length = d.sequence_length, out.sequence_length_constraints
        length.SetInParent()
        _set(length, "min_sequence_length", s.min_sequence_length)
        _set(length, "max_sequence_length", s.max_sequence_length)
        length.excluded_int_value.extend(s.excluded_int_values)
        length.excluded_string_value.extend(s.excluded_string_values)


_FILLERS: Final[Mapping[type[Domain], Callable[[Message, Any], None]]] = {
    BoolDomain: _bool,
    FloatDomain: _float,
    ImageDomain: _image,
    IntDomain: _int,
    NaturalLanguageDomain: _natural_language,
    StringDomain: _string,
    TimeDomain: _time,
    TimeOfDayDomain: _time,
}

# --- what the format has no field for ---------------------------------------------------------------


def _note(mine: Mapping[str, Any], back: Mapping[str, Any], apart: tuple[str, ...] = ()) -> dict[str, Any]:
    """What reading the message would not give back; None takes away what it would add."""
    keys = dict.fromkeys([*mine, *back])
    return {k: mine.get(k) for k in keys if k not in apart and mine.get(k) != back.get(k)}


def _add_note(out: Message, note: Mapping[str, Any]) -> None:
    if note:
        out.annotation.comment.append(NOTE + json.dumps(note, sort_keys=True, separators=(",", ":")))
