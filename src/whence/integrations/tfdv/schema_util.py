"""The schema as TFDV's callers curate it: the mutable proto, its features and their domains by name."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from whence.integrations.tfdv.feature_path import FeaturePath, as_path
from whence.integrations.tfdv.messages import Message, schema_pb2
from whence.integrations.tfdv.refusals import NotFoundError, UsageError

log = logging.getLogger(__name__)


def require(message: Any, cls: Any, what: str) -> None:
    """Refuse what is not a message of this class; it is not converted, since callers change it in place.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(message, cls):
        raise TypeError(f"{what} is of type {type(message).__name__}, should be a {cls.__name__} proto")


def get_feature(schema: Message, feature_path: str | FeaturePath) -> Message:
    """A feature of the schema, to be changed in place.

    Args:
        schema: The ``Schema`` proto.
        feature_path: A name, or the path of a part of a structure.

    Raises:
        TypeError: `schema` is no ``Schema``.
        NotFoundError: The feature is absent, or a step before it is no structure.

    Example:
        >>> schema = schema_pb2.Schema(feature=[{"name": "Cover_Type"}])
        >>> get_feature(schema, "Cover_Type").not_in_environment.append("SERVING")
        >>> list(schema.feature[0].not_in_environment)
        ['SERVING']
    """
    require(schema, schema_pb2.Schema, "schema")
    path = as_path(feature_path)
    group = schema
    for i, step in enumerate(path.steps()):
        found = look_up_feature(step, group.feature)
        if found is None:
            raise NotFoundError("feature", path, near=_names(schema))
        if i + 1 == len(path):
            return found
        if found.type != schema_pb2.STRUCT:
            raise UsageError(
                f"feature {str(path)!r}: {step!r} is no structure and has no parts", code="bad-path"
            )
        group = found.struct_domain
    raise UsageError("the empty path names no feature", code="bad-path")


def look_up_feature(feature_name: str, container: Iterable[Message]) -> Message | None:
    """A feature by its name, or None."""
    return next((f for f in container if f.name == feature_name), None)


def get_domain(schema: Message, feature_path: str | FeaturePath) -> Any:
    """The domain of a feature, its own or the shared one it names.

    Raises:
        TypeError: `schema` is no ``Schema``.
        NotFoundError: The feature, or the shared domain it names, is absent.
        UsageError: It has no domain (``no-domain``).
    """
    feature = get_feature(schema, feature_path)
    which = feature.WhichOneof("domain_info")
    if which is None:
        raise UsageError(f"feature {str(as_path(feature_path))!r} has no domain", code="no-domain")
    if which != "domain":
        return getattr(feature, which)
    for domain in schema.string_domain:
        if domain.name == feature.domain:
            return domain
    raise NotFoundError("domain", feature.domain, near=[d.name for d in schema.string_domain])


def set_domain(schema: Message, feature_path: str | FeaturePath, domain: Any) -> None:
    """Give a feature a domain, in place of the one it has.

    Args:
        schema: The ``Schema`` proto.
        feature_path: A name, or the path of a part of a structure.
        domain: A domain message, or the name of a string domain of the schema.

    Raises:
        TypeError: `domain` is no domain, or the feature is a structure.
        NotFoundError: The feature, or the shared domain, is absent.

    Example:
        >>> schema = schema_pb2.Schema(feature=[{"name": "Slope", "type": "INT"}])
        >>> set_domain(schema, "Slope", schema_pb2.IntDomain(min=0, max=90))
        >>> schema.feature[0].int_domain.max
        90
    """
    require(schema, schema_pb2.Schema, "schema")
    fields = schema_pb2.Feature.DESCRIPTOR.oneofs_by_name["domain_info"].fields
    by_message = {f.message_type.full_name: f.name for f in fields if f.message_type is not None}
    given = getattr(getattr(domain, "DESCRIPTOR", None), "full_name", None)
    if not isinstance(domain, str) and given not in by_message:
        raise TypeError(
            f"domain is of type {type(domain).__name__}, should be a domain of the schema language"
        )
    feature = get_feature(schema, feature_path)
    if feature.type == schema_pb2.STRUCT:
        raise TypeError(f"feature {str(as_path(feature_path))!r} is a structure: its parts have domains")
    if feature.WhichOneof("domain_info") is not None:
        log.warning("a domain is replaced", extra={"feature": str(as_path(feature_path))})
    if isinstance(domain, str):
        known = [d.name for d in schema.string_domain]
        if domain not in known:
            raise NotFoundError("domain", domain, near=known)
        feature.domain = domain
    else:
        getattr(feature, by_message[given]).CopyFrom(domain)


def generate_dummy_schema_with_paths(paths: Iterable[FeaturePath]) -> Message:
    """A schema of these paths and nothing else; what has parts is a structure."""
    schema = schema_pb2.Schema()
    for path in paths:
        group = schema
        steps = as_path(path).steps()
        for i, step in enumerate(steps):
            found = look_up_feature(step, group.feature) or group.feature.add(name=step)
            if i + 1 < len(steps):
                found.type = schema_pb2.STRUCT
                group = found.struct_domain
    return schema


def leaf_features(schema: Message) -> list[tuple[FeaturePath, Message]]:
    """All features that are no structure, with their paths."""
    return _leaves(FeaturePath([]), schema.feature)


def _leaves(parent: FeaturePath, features: Iterable[Message]) -> list[tuple[FeaturePath, Message]]:
    out: list[tuple[FeaturePath, Message]] = []
    for f in features:
        path = parent.child(f.name)
        out += _leaves(path, f.struct_domain.feature) if f.type == schema_pb2.STRUCT else [(path, f)]
    return out


def _names(schema: Message) -> list[str]:
    return [str(path) for path, _ in leaf_features(schema)]
