"""A schema proto as a `Schema`: every word of the format has one there, or is kept for the way back."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from google.protobuf import json_format

from whence import errors
from whence.integrations.tfdv.messages import Message, as_ours, schema_pb2
from whence.integrations.tfdv.pbtxt_lines import Lines
from whence.integrations.tfdv.refusals import UsageError
from whence.integrations.tfdv.text import read_text
from whence.validation import Schema
from whence.validation.faults import placed
from whence.validation.paths import path_text
from whence.validation.types import (
    Annotation,
    AudioDomain,
    BoolDomain,
    Comparator,
    ContentChunkDomain,
    Coverage,
    DatasetConstraints,
    DerivedSource,
    Domain,
    Feature,
    FloatDomain,
    FractionBounds,
    ImageDomain,
    IntDomain,
    MidDomain,
    NaturalLanguageDomain,
    Presence,
    SequenceLength,
    SequenceMetadata,
    Shape,
    SparseFeature,
    StringDomain,
    StructDomain,
    TimeDomain,
    TimeOfDayDomain,
    TokenConstraint,
    Unique,
    UrlDomain,
    ValueCount,
    VideoDomain,
    WeightedFeature,
)

NOTE: Final = "whence: "
"""A comment of an annotation that begins so holds, as JSON, what the format has no field for."""


def schema_from_proto(proto: Message, *, exact: bool = False, stored: bool = False) -> Schema:
    """The schema a ``Schema`` proto says.

    Features of structures become features with a path. The bounds of floats are single precision in the
    format; they are read as the shortest decimal that stands for the same number (0.1 and not
    0.10000000149), as whoever wrote them meant. What TFDV takes and what has a clear meaning is read in that
    meaning: a value of a domain or an environment that stands twice counts once, and an environment that is
    both in and not in is in.

    Args:
        proto: The message, of this module or of an installed ``tensorflow_metadata``.
        exact: Read as TFDV does, to judge as it judges: bounds of floats as the very number in single
            precision, and what makes no sense as it stands.
        stored: Let through what makes no sense, as of a schema that is kept already.

    Raises:
        TypeError: It is another message.
        UsageError: Two features or two domains have one name (``duplicate-feature``,
            ``duplicate-domain``), something makes no sense, such as a domain nobody has, or our own note in
            it was damaged (``bad-schema``, of a default ``bad-default``). ``details["at"]`` is the place.

    Example:
        >>> feature = schema_pb2.Feature(name="tips", type="FLOAT", float_domain={"max": 0.1})
        >>> schema_from_proto(schema_pb2.Schema(feature=[feature]))["tips"].domain.max
        0.1
    """
    if exact or stored:
        return read_schema(proto, exact=exact)
    return read_schema(proto, clear=True).sound()


def schema_from_text(text: str | bytes, *, name: str = "the text", stored: bool = False) -> Schema:
    r"""The schema of a ``schema.pbtxt``; see `schema_from_proto`.

    Args:
        text: The text of a ``Schema`` proto.
        name: What errors call it.
        stored: Let through what makes no sense, as of a schema that is kept already.

    Raises:
        UsageError: It does not read (``bad-pbtxt``) or makes no sense (``bad-schema`` and the other codes of
            `schema_from_proto`); the line is named.

    Example:
        >>> schema_from_text('feature {\n  name: "x" type: BYTES\n  domain: "leters"\n}\nstring_domain { name: "letters" }')
        Traceback (most recent call last):
        whence.errors.UsageError: the text, line 3: feature 'x' names the domain 'leters', which the schema does not have ...
    """
    proto = read_text(schema_pb2.Schema, text, name=name)
    made: Schema | None = None
    try:
        made = read_schema(proto, clear=not stored)
        return made if stored else made.sound()
    except errors.UsageError as error:
        features = [] if made is None else [f.steps for f in made]
        raise placed(error, name, Lines(text, proto, features).line) from error


def read_schema(proto: Message, *, exact: bool = False, clear: bool = False) -> Schema:
    """The schema a message says, whatever it says.

    Args:
        proto: The message.
        exact: As of `schema_from_proto`.
        clear: Take what is odd and has a clear meaning in that meaning.
    """
    given = as_ours(proto, "Schema")
    reader = _Reader(exact=exact, clear=clear, columns=frozenset(f.name for f in given.feature))
    features: dict[str, Feature] = {}
    sparse: dict[str, SparseFeature] = {}
    extra: dict[str, Any] = {}
    reader.walk(given, (), features, sparse, extra)
    if given.tensor_representation_group:
        extra["tensor_representation_group"] = {
            key: _json(group) for key, group in sorted(given.tensor_representation_group.items())
        }
    annotation, note = _annotation(given.annotation) if given.HasField("annotation") else (None, {})
    made = Schema(
        features,
        domains=reader.shared(given),
        default_environments=reader.once(given.default_environment),
        constraints=_constraints(given.dataset_constraints),
        sparse_features=sparse,
        weighted_features={w.name: reader.weighted(w) for w in given.weighted_feature},
        represent_variable_length_as_ragged=_maybe(given, "represent_variable_length_as_ragged"),
        annotation=annotation,
        extra=extra,
    )
    return _noted(made, note) if note else made


def _noted(schema: Schema, note: Mapping[str, Any]) -> Schema:
    """The schema with what our own note adds; features that stand for nothing but structure go."""
    data = {k: v for k, v in {**schema.to_dict(), **note}.items() if v is not None}
    without = frozenset(data.pop("without", ()))
    data["features"] = [f for f in data.get("features", ()) if f["name"] not in without]
    return Schema.from_dict(data, stored=True)


class _Reader:
    """What reading one schema needs to know at every feature."""

    def __init__(self, *, exact: bool, clear: bool, columns: Collection[str]) -> None:
        self._exact = exact
        self._clear = clear
        self._columns = columns

    def walk(
        self,
        group: Message,
        parent: tuple[str, ...],
        features: dict[str, Feature],
        sparse: dict[str, SparseFeature],
        extra: dict[str, Any],
    ) -> None:
        """All features of a schema or of a structure, each followed by its parts."""
        for proto in group.feature:
            made = self.feature(proto, (*parent, proto.name))
            if made.name in features:
                raise UsageError(
                    f"the schema has feature {made.name!r} twice",
                    code="duplicate-feature",
                    details={"at": ["again", "feature"]},
                )
            features[made.name] = made
            if proto.WhichOneof("domain_info") == "struct_domain":
                self.walk(proto.struct_domain, (*parent, proto.name), features, sparse, extra)
        for proto in group.sparse_feature:
            if proto.name in sparse:
                raise UsageError(
                    f"the schema has sparse feature {proto.name!r} twice",
                    code="duplicate-feature",
                    details={"at": ["again", "sparse feature"]},
                )
            sparse[proto.name] = _sparse(proto, parent)
            old = {k: v for k, v in _json(proto).items() if k in ("presence", "type")}
            if old:
                extra.setdefault("sparse_feature", {})[proto.name] = old

    def feature(self, proto: Message, steps: tuple[str, ...]) -> Feature:
        """One feature, without its parts."""
        annotation, note = _annotation(proto.annotation) if proto.HasField("annotation") else (None, {})
        stage = _stage(proto)
        type_ = schema_pb2.FeatureType.Name(proto.type)
        made = Feature(
            path_text(steps, self._columns),
            None if type_ == "TYPE_UNKNOWN" else type_,
            presence=_presence(proto.presence) if proto.HasField("presence") else None,
            value_count=_value_count(proto.value_count) if proto.HasField("value_count") else None,
            domain=self.domain(proto),
            min_domain_mass=proto.distribution_constraints.min_domain_mass,
            unique=self._unique(proto.unique_constraints) if proto.HasField("unique_constraints") else None,
            in_environment=self.once(proto.in_environment),
            not_in_environment=self.once(
                e for e in proto.not_in_environment if not self._clear or e not in proto.in_environment
            ),
            lifecycle_stage=stage,
            skew=_comparator(proto.skew_comparator) if proto.HasField("skew_comparator") else None,
            drift=_comparator(proto.drift_comparator) if proto.HasField("drift_comparator") else None,
            path=steps if len(steps) > 1 else (),
            shape=_shape(proto.shape) if proto.HasField("shape") else None,
            value_counts=tuple(map(_value_count, proto.value_counts.value_count)),
            group_presence=proto.group_presence.required if proto.HasField("group_presence") else None,
            validation_derived_source=derived_source(proto.validation_derived_source)
            if proto.HasField("validation_derived_source")
            else None,
            sequence_metadata=_sequence(proto.sequence_metadata)
            if proto.HasField("sequence_metadata")
            else None,
            annotation=annotation,
        )
        if not note:
            return made
        data = {k: v for k, v in {**made.to_dict(), **note}.items() if v is not None}
        return Feature.from_dict(data)

    def domain(self, proto: Message) -> Domain | str | None:
        """The domain of a feature, or the name of a shared one."""
        which = proto.WhichOneof("domain_info")
        if which is None:
            return None
        given = getattr(proto, which)
        if which == "domain":
            return str(given)
        if which == "float_domain":
            return self._float(given)
        if which == "string_domain":
            return self._string(given)
        domain: Domain = _DOMAINS[which](given)
        return domain

    def shared(self, proto: Message) -> dict[str, Domain]:
        """The domains of the schema, by name."""
        out: dict[str, Domain] = {}
        for name, domain in self._shared(proto):
            if name in out:
                raise UsageError(
                    f"the schema has domain {name!r} twice",
                    code="duplicate-domain",
                    details={"at": ["again", "domain"]},
                )
            out[name] = domain
        return out

    def _shared(self, proto: Message) -> Iterator[tuple[str, Domain]]:
        for s in proto.string_domain:
            yield s.name, self._string(s, named=False)
        for f in proto.float_domain:
            yield f.name, self._float(f, named=False)
        for i in proto.int_domain:
            yield i.name, _int(i, named=False)

    def _float(self, d: Message, *, named: bool = True) -> FloatDomain:
        return FloatDomain(
            self._bound(d, "min"),
            self._bound(d, "max"),
            d.disallow_nan,
            d.disallow_inf,
            _maybe(d, "is_embedding"),
            _maybe(d, "is_categorical"),
            _maybe(d, "embedding_dim"),
            _maybe(d, "embedding_type"),
            d.name if named else "",
        )

    def _string(self, d: Message, *, named: bool = True) -> StringDomain:
        kinds = {schema_pb2.StringDomain.CATEGORICAL_YES: True, schema_pb2.StringDomain.CATEGORICAL_NO: False}
        return StringDomain(self.once(d.value), kinds.get(d.is_categorical), d.name if named else "")

    def once(self, values: Iterable[str]) -> tuple[str, ...]:
        """Texts of which one that stands twice says no more."""
        return tuple(dict.fromkeys(values) if self._clear else values)

    def _unique(self, u: Message) -> Unique:
        # TFDV reads a limit that is not said as 0, and so finds too many.
        return Unique(u.min, u.max) if self._exact else Unique(_maybe(u, "min"), _maybe(u, "max"))

    def _bound(self, d: Message, name: str) -> float | None:
        number = _maybe(d, name)
        return number if number is None or self._exact else shortest(number)

    def weighted(self, proto: Message) -> WeightedFeature:
        """A weighted feature; its columns by name."""
        return WeightedFeature(
            proto.name,
            self._path(proto.feature),
            self._path(proto.weight_feature),
            _stage(proto),
        )

    def _path(self, path: Message) -> str:
        return path_text(tuple(path.step), self._columns) if path.step else ""


def shortest(number: float) -> float:
    """The shortest decimal that is the same number in single precision.

    Example:
        >>> shortest(0.10000000149011612)
        0.1
    """
    return float(str(np.float32(number)))


# --- domains ------------------------------------------------------------------------------------


def _int(d: Message, *, named: bool = True) -> IntDomain:
    return IntDomain(_maybe(d, "min"), _maybe(d, "max"), _maybe(d, "is_categorical"), d.name if named else "")


def _bool(d: Message) -> BoolDomain:
    return BoolDomain(_maybe(d, "true_value"), _maybe(d, "false_value"), d.name)


def _time(d: Message) -> TimeDomain:
    text, number = _format(d)
    kinds = schema_pb2.TimeDomain.IntegerTimeFormat
    return TimeDomain(string_format=text, integer_format=kinds.Name(number) if number else None)


def _time_of_day(d: Message) -> TimeOfDayDomain:
    text, number = _format(d)
    kinds = schema_pb2.TimeOfDayDomain.IntegerTimeOfDayFormat
    return TimeOfDayDomain(text, kinds.Name(number) if number else None)


def _format(d: Message) -> tuple[str | None, int]:
    return (d.string_format if d.WhichOneof("format") == "string_format" else None), d.integer_format


def _image(d: Message) -> ImageDomain:
    fraction = _maybe(d, "minimum_supported_image_fraction")
    return ImageDomain(None if fraction is None else shortest(fraction), _maybe(d, "max_image_byte_size"))


def _natural_language(d: Message) -> NaturalLanguageDomain:
    return NaturalLanguageDomain(
        _maybe(d, "vocabulary"),
        _coverage(d.coverage) if d.HasField("coverage") else None,
        tuple(map(_token, d.token_constraints)),
        _length(d.sequence_length_constraints) if d.HasField("sequence_length_constraints") else None,
    )


def _coverage(c: Message) -> Coverage:
    return Coverage(
        _single(c, "min_coverage"),
        _single(c, "min_avg_token_length"),
        tuple(c.excluded_string_tokens),
        tuple(c.excluded_int_tokens),
        tuple(c.oov_string_tokens),
    )


def _token(t: Message) -> TokenConstraint:
    which = t.WhichOneof("value")
    return TokenConstraint(
        getattr(t, which) if which else "",
        _maybe(t, "min_per_sequence"),
        _maybe(t, "max_per_sequence"),
        _single(t, "min_fraction_of_sequences"),
        _single(t, "max_fraction_of_sequences"),
    )


def _length(c: Message) -> SequenceLength:
    return SequenceLength(
        _maybe(c, "min_sequence_length"),
        _maybe(c, "max_sequence_length"),
        tuple(c.excluded_int_value),
        tuple(c.excluded_string_value),
    )


_DOMAINS: Final[Mapping[str, Any]] = {
    "audio_domain": lambda _: AudioDomain(),
    "bool_domain": _bool,
    "content_chunk_domain": lambda _: ContentChunkDomain(),
    "image_domain": _image,
    "int_domain": _int,
    "mid_domain": lambda _: MidDomain(),
    "natural_language_domain": _natural_language,
    "struct_domain": lambda _: StructDomain(),
    "time_domain": _time,
    "time_of_day_domain": _time_of_day,
    "url_domain": lambda _: UrlDomain(),
    "video_domain": lambda _: VideoDomain(),
}

# --- parts of a feature ---------------------------------------------------------------------------


def _stage(proto: Message) -> Any:
    """The stage; the old flag ``deprecated`` is one. Any: a Literal, by name."""
    if proto.lifecycle_stage:
        return schema_pb2.LifecycleStage.Name(proto.lifecycle_stage)
    # A weighted feature never had the flag.
    return "DEPRECATED" if getattr(proto, "deprecated", False) else None


def _presence(p: Message) -> Presence:
    return Presence(_maybe(p, "min_fraction"), _maybe(p, "min_count"))


def _value_count(v: Message) -> ValueCount:
    return ValueCount(_maybe(v, "min"), _maybe(v, "max"))


def _shape(s: Message) -> Shape:
    names = tuple(d.name for d in s.dim)
    return Shape(tuple(_maybe(d, "size") for d in s.dim), names if any(names) else ())


def _comparator(c: Message) -> Comparator:
    js = c.jensen_shannon_divergence
    return Comparator(
        _maybe(c.infinity_norm, "threshold"),
        _maybe(js, "threshold"),
        _maybe(c.normalized_abs_difference, "threshold"),
        schema_pb2.HistogramSelection.Type.Name(js.source.type),
    )


def derived_source(d: Message) -> DerivedSource:
    """A ``DerivedFeatureSource`` as the schema language has it."""
    return DerivedSource(
        d.deriver_name,
        d.description,
        tuple(tuple(p.step) for p in d.source_path),
        d.declaratively_configured or None,
        _json(d.config) if d.HasField("config") else {},
    )


def _sequence(s: Message) -> SequenceMetadata:
    status = schema_pb2.SequenceMetadata.SequentialStatus.Name(s.sequential_status)
    return SequenceMetadata(
        None if status == "SEQUENTIAL_UNSPECIFIED" else status,
        _maybe(s, "joint_group"),
        _maybe(s, "sequence_truncation_limit"),
    )


def _sparse(s: Message, parent: tuple[str, ...]) -> SparseFeature:
    return SparseFeature(
        s.name,
        s.value_feature.name,
        tuple(i.name for i in s.index_feature),
        _maybe(s, "is_sorted"),
        _shape(s.dense_shape) if s.HasField("dense_shape") else None,
        _stage(s),
        parent,
    )


def _constraints(c: Message) -> DatasetConstraints:
    return DatasetConstraints(
        _maybe(c, "min_examples_count"),
        _maybe(c, "max_examples_count"),
        _bounds(c, "num_examples_drift_comparator"),
        _bounds(c, "num_examples_version_comparator"),
    )


def _bounds(constraints: Message, name: str) -> FractionBounds | None:
    if not constraints.HasField(name):
        return None
    c = getattr(constraints, name)
    return FractionBounds(_maybe(c, "min_fraction_threshold"), _maybe(c, "max_fraction_threshold"))


def _annotation(a: Message) -> tuple[Annotation | None, dict[str, Any]]:
    """Words of people, and our own note, which is none of them."""
    note: dict[str, Any] = {}
    for comment in a.comment:
        if comment.startswith(NOTE):
            note = _read_note(comment)
    comments = tuple(c for c in a.comment if not c.startswith(NOTE))
    extra = tuple({"type_url": m.type_url, "value": m.value.hex()} for m in a.extra_metadata)
    if note and not (a.tag or comments or extra):
        return None, note
    return Annotation(tuple(a.tag), comments, extra), note


def _read_note(comment: str) -> dict[str, Any]:
    try:
        note = json.loads(comment.removeprefix(NOTE))
    except ValueError as error:
        raise UsageError(f"the comment {comment!r} is not JSON: {error}", code="bad-schema") from error
    if not isinstance(note, dict):
        raise UsageError(f"the comment {comment!r} is not a JSON object", code="bad-schema")
    return note


def _maybe(message: Message, name: str) -> Any:
    """The value of a field that was said; None when it was not. Any: fields are of many types."""
    return getattr(message, name) if message.HasField(name) else None


def _single(message: Message, name: str) -> float | None:
    number = _maybe(message, name)
    return None if number is None else shortest(number)


def _json(message: Message) -> dict[str, Any]:
    made: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return made
