"""What a node may be called, in which states it may be, and what else every backend can keep."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, cast, get_args

from whence.errors import UsageError
from whence.metadata.rows import to_us
from whence.metadata.types import AnyNode, Artifact, ArtifactState, Beat, Context, ExecutionState

MAX_NAME: Final = 512  # characters of a name or external id: part of a unique index in every SQL system
MAX_NAMESPACE: Final = 64
MAX_URI: Final = 65_536
MAX_PID: Final = 2**31 - 1
ARTIFACT_STATES: Final = frozenset(get_args(ArtifactState))
EXECUTION_STATES: Final = frozenset(get_args(ExecutionState))
MASKS: Final = ("name", "external_id", "uri", "state", "properties", "custom")
FIRST_US: Final = to_us(datetime.min.replace(tzinfo=UTC))
LAST_US: Final = to_us(datetime.max.replace(tzinfo=UTC))
"""The first and the last moment that can be read again."""
_PARTS: Final = ("properties", "custom")


def check_texts(node: AnyNode) -> None:
    """Refuse names, uris and states that not every backend can keep.

    Raises:
        UsageError: ``too-long``, ``too-large``, ``invalid-text`` or ``bad-state``.
    """
    for what, text in (("name", node.name), ("external id", node.external_id)):
        if text is not None:
            check_text(text)
            if not 0 < len(text) <= MAX_NAME:
                raise UsageError(
                    f"the {what} of {node.type} {node.uid} has {len(text)} characters, 1 to {MAX_NAME} fit: {text[:40]!r}",
                    code="too-long",
                )
    if not 0 < len(node.uid) <= 64:
        raise UsageError(f"a uid has 1 to 64 characters, got {node.uid!r:.80}", code="too-long")
    check_text(node.uid)
    if isinstance(node, Context):
        return
    if isinstance(node, Artifact):
        if node.uri is not None:
            check_text(node.uri)
            if len(node.uri) > MAX_URI:
                raise UsageError(
                    f"the uri of {node.type} {node.uid} has {len(node.uri)} characters, {MAX_URI} fit",
                    code="too-large",
                )
        states = ARTIFACT_STATES
    else:
        states = EXECUTION_STATES
    if node.state not in states:
        raise UsageError(f"{node.state!r} is not a state", code="bad-state", near=sorted(states))


def check_beat(life: Beat) -> None:
    """Refuse a sign of life that not every backend can keep.

    Raises:
        UsageError: ``too-long``, ``invalid-text`` or ``bad-argument``.
    """
    for what, text, longest in (("uid", life.uid, 64), ("host", life.host, 255)):
        check_text(text)
        if len(text) > longest:
            raise UsageError(
                f"the {what} of a life has at most {longest} characters, got {text:.80}…", code="too-long"
            )
    if not isinstance(cast("object", life.pid), int) or not 0 <= life.pid <= MAX_PID:
        raise UsageError(f"{life.pid!r:.40} is no id of a process", code="bad-argument")


def check_namespace(name: str) -> None:
    """Refuse what is no name of a namespace.

    Raises:
        UsageError: ``bad-name``.
    """
    if not 0 < len(name) <= MAX_NAMESPACE or not name.isprintable():
        raise UsageError(
            f"a namespace's name has 1 to {MAX_NAMESPACE} printable characters, got {name!r:.80}",
            code="bad-name",
        )


def check_text(text: str) -> None:
    """Refuse what is not text, not Unicode, or has a NUL.

    Raises:
        UsageError: ``invalid-text``.
    """
    if not isinstance(cast("object", text), str):
        raise UsageError(f"text is wanted, got {type(text).__name__} {text!r:.40}", code="invalid-text")
    if "\0" in text:
        raise UsageError(f"{text[:40]!r} has a NUL, which not every store keeps", code="invalid-text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"text is not valid Unicode: {error}", code="invalid-text") from error


def check_mask(mask: frozenset[str]) -> None:
    """Refuse a mask that names what is no field of a node.

    Raises:
        UsageError: ``bad-mask``.
    """
    for path in mask:
        part, dot, name = path.partition(".")
        if part not in MASKS or (dot and (part not in _PARTS or not name)):
            raise UsageError(
                f"{path!r} is no field of a node", code="bad-mask", near=[*MASKS, "properties.X"]
            )


def moment_us(moment: datetime) -> int:
    """A given moment in microseconds since 1970.

    Raises:
        UsageError: It has no time zone (``naive-time``), or is beyond the years 1 to 9999 in UTC (``bad-timestamp``).
    """
    if moment.tzinfo is None:
        raise UsageError(
            f"the time {moment.isoformat()} has no zone",
            code="naive-time",
            hint="say which moment it is: UTC",
        )
    us = to_us(moment)
    if not FIRST_US <= us <= LAST_US:
        raise UsageError(
            f"the time {moment.isoformat()} is beyond the years 1 to 9999 in UTC", code="bad-timestamp"
        )
    return us
