"""Errors as ML Metadata's users know them: one class a gRPC code, made from whence's own.

::

    UsageError         INVALID_ARGUMENT      UnsupportedError   UNIMPLEMENTED
    NotFoundError      NOT_FOUND             DeniedError        PERMISSION_DENIED
    ConflictError      ALREADY_EXISTS, ABORTED when only somebody was faster, FAILED_PRECONDITION when the
                       node was changed or removed since
    DataRejectedError  FAILED_PRECONDITION   IntegrityError     DATA_LOSS
    BackendError       ABORTED when the store is locked, UNAVAILABLE when waiting helps, else INTERNAL
"""

from __future__ import annotations

from typing import ClassVar, Final

from whence.errors import (
    BackendError,
    ConflictError,
    DataRejectedError,
    DeniedError,
    IntegrityError,
    UnsupportedError,
    UsageError,
    WhenceError,
)
from whence.errors import NotFoundError as WhenceNotFoundError


class StatusError(RuntimeError):
    """An answer that is no result: a message, and a gRPC code as a number.

    A `RuntimeError`, because ML Metadata raises that when a store cannot be opened.
    """

    error_code: ClassVar[int] = 2

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CancelledError(StatusError):
    """The caller took the call back."""

    error_code = 1


class UnknownError(StatusError):
    """It failed, and nobody knows why."""

    error_code = 2


class InvalidArgumentError(StatusError):
    """The call is wrong: change it."""

    error_code = 3


class DeadlineExceededError(StatusError):
    """No answer came in time."""

    error_code = 4


class NotFoundError(StatusError):
    """What was asked for is absent."""

    error_code = 5


class AlreadyExistsError(StatusError):
    """What was to be made is there already."""

    error_code = 6


class PermissionDeniedError(StatusError):
    """The caller may not do this."""

    error_code = 7


class ResourceExhaustedError(StatusError):
    """An answer or request is larger than the channel allows."""

    error_code = 8


class FailedPreconditionError(StatusError):
    """The store is not in a state in which this can be done."""

    error_code = 9


class AbortedError(StatusError):
    """Somebody else was faster: read again, then retry."""

    error_code = 10


class OutOfRangeError(StatusError):
    """An index lies outside of what was given."""

    error_code = 11


class UnimplementedError(StatusError):
    """The service cannot do this."""

    error_code = 12


class InternalError(StatusError):
    """The store failed."""

    error_code = 13


class UnavailableError(StatusError):
    """The store or server cannot be reached now."""

    error_code = 14


class DataLossError(StatusError):
    """What is stored contradicts itself."""

    error_code = 15


class UnauthenticatedError(StatusError):
    """The caller did not say who it is."""

    error_code = 16


CODES: Final[dict[int, type[StatusError]]] = {c.error_code: c for c in StatusError.__subclasses__()}
_TAKEN: Final = frozenset({"event-taken", "id-taken", "name-taken", "type-conflict"})
_PRECONDITIONS: Final = frozenset({"mlmd-read-only", "removed", "stale-update"})
_LOCKED: Final = frozenset({"store-locked", "locked"})


def make_error(message: str, code: int) -> StatusError:
    """The error of this code.

    Example:
        >>> make_error("no such node", 5)
        NotFoundError('no such node')
    """
    return CODES.get(code, UnknownError)(message)


def invalid(message: str) -> StatusError:
    """An INVALID_ARGUMENT."""
    return make_error(message, InvalidArgumentError.error_code)


def absent(message: str) -> StatusError:
    """A NOT_FOUND."""
    return make_error(message, NotFoundError.error_code)


def taken(message: str) -> StatusError:
    """An ALREADY_EXISTS."""
    return make_error(message, AlreadyExistsError.error_code)


def unimplemented(message: str) -> StatusError:
    """An UNIMPLEMENTED."""
    return make_error(message, UnimplementedError.error_code)


def from_whence(error: WhenceError) -> StatusError:
    """The error of whence in ML Metadata's words; the message keeps the code of ours.

    Example:
        >>> from_whence(UsageError("depth must be >= 1", code="bad-depth"))
        InvalidArgumentError('depth must be >= 1 (bad-depth)')
    """
    return make_error(str(error), _code(error))


def _code(error: WhenceError) -> int:
    if isinstance(error, UnsupportedError):
        return UnimplementedError.error_code
    if isinstance(error, UsageError) or error.code == "context-cycle":
        return InvalidArgumentError.error_code
    if error.code in _PRECONDITIONS:
        return FailedPreconditionError.error_code
    if isinstance(error, ConflictError):
        return AlreadyExistsError.error_code if error.code in _TAKEN else AbortedError.error_code
    if isinstance(error, BackendError) and error.code in _LOCKED:
        return AbortedError.error_code
    if isinstance(error, BackendError):
        return UnavailableError.error_code if error.retryable else InternalError.error_code
    plain = {
        WhenceNotFoundError: NotFoundError,
        DeniedError: PermissionDeniedError,
        IntegrityError: DataLossError,
        DataRejectedError: FailedPreconditionError,
    }
    return next((to.error_code for cls, to in plain.items() if isinstance(error, cls)), 2)
