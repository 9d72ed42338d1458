"""The messages of TensorFlow Metadata: the installed package's when it can be imported, else our own of the same format."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from whence.integrations.protos import File, Message, Pool, described, installed, module_of, pool_of, read_as
from whence.integrations.tfdv import published

__all__ = [
    "IS_INSTALLED",
    "PACKAGE",
    "Message",
    "anomalies_pb2",
    "as_ours",
    "path_pb2",
    "pool",
    "schema_pb2",
    "statistics_pb2",
]

PACKAGE: Final = "tensorflow.metadata.v0"
_FOLDER: Final = "tensorflow_metadata/proto/v0"
_ANY: Final = "google/protobuf/any.proto"
_PATH, _DERIVED, _SCHEMA, _STATISTICS, _ANOMALIES = (
    f"{_FOLDER}/{name}.proto" for name in ("path", "derived_feature", "schema", "statistics", "anomalies")
)
_FILES: Final = (
    File(_PATH, published.PATH),
    File(_DERIVED, published.DERIVED, (_PATH,), "proto3"),
    File(_SCHEMA, published.SCHEMA, (_ANY, _DERIVED, _PATH)),
    File(_STATISTICS, published.STATISTICS, (_ANY, _DERIVED, _PATH), "proto3"),
    File(_ANOMALIES, published.ANOMALIES, (_PATH, _SCHEMA)),
)


@cache
def pool() -> Pool:
    """The pool that holds our own messages."""
    return pool_of(described(PACKAGE, _FILES))


def _modules() -> tuple[bool, dict[str, Any]]:
    names = {"path": _PATH, "schema": _SCHEMA, "statistics": _STATISTICS, "anomalies": _ANOMALIES}
    theirs = {name: installed(f"tensorflow_metadata.proto.v0.{name}_pb2") for name in names}
    if all(module is not None for module in theirs.values()):
        return True, theirs
    return False, {name: module_of(pool(), file) for name, file in names.items()}


_FOUND: Final = _modules()
IS_INSTALLED: Final = _FOUND[0]
"""Whether the messages are those of an installed ``tensorflow_metadata``."""

path_pb2: Any = _FOUND[1]["path"]
"""Paths of features, as ``tensorflow_metadata.proto.v0.path_pb2`` has them."""
schema_pb2: Any = _FOUND[1]["schema"]
"""The schema language, as ``tensorflow_metadata.proto.v0.schema_pb2`` has it."""
statistics_pb2: Any = _FOUND[1]["statistics"]
"""Statistics, as ``tensorflow_metadata.proto.v0.statistics_pb2`` has them."""
anomalies_pb2: Any = _FOUND[1]["anomalies"]
"""Anomalies, as ``tensorflow_metadata.proto.v0.anomalies_pb2`` has them."""


def as_ours(message: object, name: str) -> Message:
    """The message as one of the classes of this module; a message of another package of the same name is read again.

    Raises:
        TypeError: It is no message, or one of another name, as TFDV itself says.

    Example:
        >>> as_ours(schema_pb2.Schema(default_environment=["TRAINING"]), "Schema").default_environment[0]
        'TRAINING'
    """
    modules = (schema_pb2, statistics_pb2, anomalies_pb2, path_pb2)
    cls = next(found for m in modules if (found := getattr(m, name, None)) is not None)
    return read_as(message, cls)
