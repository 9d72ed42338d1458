"""The workspace around a step: set by the runner, read by the step's own code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from whence.errors import UsageError

_workspace: ContextVar[object | None] = ContextVar("whence_workspace", default=None)


def current() -> Any:
    """The workspace the running step belongs to.

    Raises:
        UsageError: No step is running (``no-workspace``).
    """
    found = _workspace.get()
    if found is None:
        raise UsageError(
            "no step is running, so there is no current workspace",
            code="no-workspace",
            hint="pass the workspace, or call this inside a step",
        )
    return found


@contextmanager
def working_in(workspace: object) -> Iterator[None]:
    """Within the block, `workspace` is the current one."""
    token = _workspace.set(workspace)
    try:
        yield
    finally:
        _workspace.reset(token)
