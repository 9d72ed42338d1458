"""Errors, sorted by what the caller can do next.

::

    WhenceError                      the root; everything below carries a stable ``code``
    ├── UsageError                   change the call
    │   └── UnsupportedError         this backend cannot; the message names who can
    ├── NotFoundError                look elsewhere; near names are given
    ├── ConflictError                read again, retry
    ├── DataRejectedError            look at the anomalies
    ├── IntegrityError               stop, something lied
    ├── DeniedError                  ask for access
    └── BackendError                 the store failed; ``retryable`` says whether to wait

Every code has a section in ``docs/errors.md``. A driver's exception never passes a port: it
becomes a `BackendError` with the driver's exception as ``__cause__``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

__all__ = [
    "BackendError",
    "ConflictError",
    "DataRejectedError",
    "DeniedError",
    "IntegrityError",
    "NotFoundError",
    "UnsupportedError",
    "UsageError",
    "WhenceError",
    "near_names",
]


def near_names(name: str, candidates: Iterable[str], *, n: int = 3) -> list[str]:
    """The candidates that read most like `name`, nearest first.

    Example:
        >>> near_names("trip_stat", ["trip_stats", "weather"])
        ['trip_stats']
    """
    return difflib.get_close_matches(name, sorted(set(candidates)), n=n, cutoff=0.6)


class WhenceError(Exception):
    """The root of every error whence raises.

    Args:
        message: One sentence that names the thing, the rule and what was seen.
        code: A stable slug; the default is the class's own.
        hint: What to do next, as one phrase.
        near: Names that were probably meant.
        details: Machine-readable facts; they appear in ``--json`` output.

    Example:
        >>> str(UsageError("depth must be >= 1, got 0", code="bad-depth", hint="use depth=1"))
        'depth must be >= 1, got 0 (bad-depth). Hint: use depth=1'
    """

    default_code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 3

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        near: Sequence[str] = (),
        details: Mapping[str, object] | None = None,
    ) -> None:
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.near = list(near)
        self.details = dict(details or {})
        super().__init__(message)

    def __str__(self) -> str:
        text = f"{self.message} ({self.code})"
        if self.near:
            text += ". Near: " + ", ".join(repr(n) for n in self.near)
        if self.hint:
            text += f". Hint: {self.hint}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.__dict__.copy(), self.args))

    def to_dict(self) -> dict[str, object]:
        """The one shape of every JSON error: ``{"error": {code, message, hint, near, details}}``."""
        return {
            "error": {
                "code": self.code,
                "type": type(self).__name__,
                "message": self.message,
                "hint": self.hint,
                "near": self.near,
                "details": self.details,
            }
        }


def _rebuild(cls: type[WhenceError], state: dict[str, object], args: tuple[object, ...]) -> WhenceError:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    error.args = args
    return error


class UsageError(WhenceError):
    """The call is wrong, always: change it."""

    default_code = "usage"
    exit_code = 2


class UnsupportedError(UsageError):
    """This backend cannot do it; the message names the ability and who has it."""

    default_code = "unsupported"


class NotFoundError(WhenceError):
    """A named thing is absent.

    Args:
        kind: What was looked for, in words: ``"feature view"``. The code is made from it.
        name: The name that was looked for.
        near: All candidate names; the nearest are chosen.
        hint: What shows the names that exist.

    Example:
        >>> str(NotFoundError("feature view", "trip_stat", near=["trip_stats"]))
        "feature view 'trip_stat' not found (feature-view-not-found). Near: 'trip_stats'"
    """

    default_code = "not-found"
    exit_code = 2

    def __init__(
        self,
        kind: str,
        name: object,
        *,
        near: Iterable[str] = (),
        hint: str | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(
            f"{kind} {str(name)!r} not found",
            code=kind.replace(" ", "-") + "-not-found",
            near=near_names(str(name), near),
            hint=hint,
            details=details,
        )


class ConflictError(WhenceError):
    """Somebody else was faster or holds it: read again, then retry."""

    default_code = "conflict"
    exit_code = 3


class DataRejectedError(WhenceError):
    """The data break a rule; nothing was written. ``details["anomalies"]`` says which and where."""

    default_code = "data-rejected"
    exit_code = 1


class IntegrityError(WhenceError):
    """Bytes, digests or facts contradict each other: stop, something lied."""

    default_code = "integrity"
    exit_code = 3


class DeniedError(WhenceError):
    """The principal may not do this: ask for access."""

    default_code = "denied"
    exit_code = 2


class BackendError(WhenceError):
    """The store failed. `retryable` says whether waiting can help."""

    default_code = "backend"
    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        retryable: bool = False,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint, details=details)
        self.retryable = retryable
