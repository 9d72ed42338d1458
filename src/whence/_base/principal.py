"""Who does it: every execution records its principal."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[str | None] = ContextVar("whence_principal", default=None)


def current_principal() -> str:
    """The principal in force: set by a door (server, CLI option), else the system's user.

    Example:
        >>> with acting_as("user:ada"):
        ...     current_principal()
        'user:ada'
    """
    name = _current.get()
    if name is not None:
        return name
    try:
        return "user:" + getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "user:unknown"


@contextmanager
def acting_as(principal: str) -> Iterator[None]:
    """Within the block every execution is recorded for `principal`."""
    token = _current.set(principal)
    try:
        yield
    finally:
        _current.reset(token)
