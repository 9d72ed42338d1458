"""The path of a feature as TFDV's callers write it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from whence.integrations.tfdv.messages import Message, path_pb2


class FeaturePath:
    """The steps from an example to a feature.

    Example:
        >>> FeaturePath(["trip", "miles"]).parent(), str(FeaturePath(["trip"]).child("miles"))
        (('trip',), 'trip.miles')
    """

    __slots__ = ("_steps",)

    def __init__(self, steps: Iterable[str]) -> None:
        self._steps = tuple(steps)

    @staticmethod
    def from_proto(path_proto: Message) -> FeaturePath:
        """The path of a ``Path`` message."""
        return FeaturePath(path_proto.step)

    @staticmethod
    def from_string(path_string: str) -> FeaturePath:
        """The path of a text with dots between its steps."""
        return FeaturePath(path_string.split("."))

    @staticmethod
    def from_json(path_json: str) -> FeaturePath:
        """The path that `to_json` wrote.

        Raises:
            TypeError: It is no list of texts.
        """
        steps = json.loads(path_json)
        if not isinstance(steps, list) or not all(isinstance(s, str) for s in steps):
            raise TypeError(f"not the steps of a path: {path_json}")
        return FeaturePath(steps)

    def to_proto(self) -> Message:
        """The path as a ``Path`` message."""
        return path_pb2.Path(step=self._steps)

    def to_json(self) -> str:
        """The steps as a JSON list."""
        return json.dumps(self._steps)

    def steps(self) -> tuple[str, ...]:
        """The steps."""
        return self._steps

    def parent(self) -> FeaturePath:
        """The path without its last step.

        Raises:
            ValueError: It has none.
        """
        if not self._steps:
            raise ValueError("the empty path has no parent")
        return FeaturePath(self._steps[:-1])

    def child(self, child_step: str) -> FeaturePath:
        """The path with one more step."""
        return FeaturePath((*self._steps, child_step))

    def __str__(self) -> str:
        return ".".join(self._steps)

    def __repr__(self) -> str:
        return repr(self._steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FeaturePath) and self._steps == other._steps

    def __lt__(self, other: FeaturePath) -> bool:
        return self._steps < other._steps

    def __hash__(self) -> int:
        return hash(self._steps)

    def __len__(self) -> int:
        return len(self._steps)

    def __bool__(self) -> bool:
        return bool(self._steps)


def as_path(given: str | FeaturePath | Iterable[str]) -> FeaturePath:
    """A name as a path of one step; steps as a path."""
    if isinstance(given, FeaturePath):
        return given
    return FeaturePath([given] if isinstance(given, str) else given)
