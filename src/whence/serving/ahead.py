"""Work done ahead: one piece, in a thread of its own, while its caller does something else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class Ahead(Generic[T]):
    """One piece of work, begun at once in a thread; what surrounds the caller surrounds it too.

    Args:
        work: What to do. What it raises is told to nobody but the log: who needs the result does the work
            again, and meets the error where it belongs.

    Example:
        >>> ahead = Ahead(lambda: 6 * 7)
        >>> ahead.end()
        42
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._found: T | None = None
        self._thread = Thread(target=copy_context().run, args=(self._run,), name="whence-ahead")
        self._thread.start()

    def end(self) -> T | None:
        """Wait for it; None when it failed."""
        self._thread.join()
        return self._found

    def _run(self) -> None:
        try:
            self._found = self._work()
        except Exception as error:  # noqa: BLE001  # whatever it is, it happens again where it is waited for
            log.info("work ahead is given up", extra={"error": str(error), "type": type(error).__name__})
