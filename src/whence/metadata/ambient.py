"""What surrounds the code that runs: recordings and contexts, per thread and task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from whence.errors import UsageError
from whence.metadata.recording import Recording
from whence.metadata.types import Context

_frames: ContextVar[tuple[tuple[object, Recording | Context], ...]] = ContextVar("whence_ambient", default=())
_allowed: ContextVar[str | None] = ContextVar("whence_allow_tainted", default=None)


@contextmanager
def surrounding(owner: object, what: Recording | Context) -> Iterator[None]:
    """Within the block, `what` surrounds the code for `owner`."""
    token = _frames.set((*_frames.get(), (owner, what)))
    try:
        yield
    finally:
        _frames.reset(token)


def current_recording(owner: object | None = None) -> Recording | None:
    """The innermost recording, of `owner` when given.

    Example:
        >>> current_recording() is None
        True
    """
    for who, what in reversed(_frames.get()):
        if isinstance(what, Recording) and (owner is None or who is owner):
            return what
    return None


def current_contexts(owner: object) -> list[Context]:
    """The contexts that surround the code for `owner`, outermost first."""
    return [what for who, what in _frames.get() if who is owner and isinstance(what, Context)]


@contextmanager
def allowing_tainted(reason: str) -> Iterator[None]:
    """Within the block, executions may read what is marked bad; each records the reason and the marks.

    Raises:
        UsageError: The reason is empty (``bad-reason``).

    Example:
        >>> with allowing_tainted("to see what the bad rows did"):
        ...     current_allowance()
        'to see what the bad rows did'
    """
    if not reason.strip():
        raise UsageError("tainted inputs are allowed for a reason", code="bad-reason", hint="say why")
    token = _allowed.set(reason)
    try:
        yield
    finally:
        _allowed.reset(token)


def current_allowance() -> str | None:
    """Why the code may read what is marked bad; None when it may not."""
    return _allowed.get()
