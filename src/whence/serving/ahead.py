"""Work done ahead: one piece, in a thread of its own, while its caller does something else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import copy_context
from threading import Event, Lock, Thread, current_thread
from typing import Final, Generic, TypeVar

log = logging.getLogger(__name__)

LONGEST_REST: Final = 64
"""Times that `Pace` lets pass at most."""

T = TypeVar("T")


class Ahead(Generic[T]):
    """One piece of work, done in a thread; what surrounds the caller surrounds it too.

    It is made before it is begun, so that whoever is interrupted while it begins can still wait for its end.

    Args:
        work: What to do. What it raises is told to nobody but the log: who needs the result does the work
            again, and meets the error where it belongs.

    Example:
        >>> ahead = Ahead(lambda: 6 * 7)
        >>> ahead.begin()
        True
        >>> ahead.end()
        42
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._found: T | None = None
        self._turn = Lock()
        self._done = Event()
        self._begun = False
        self._thread = Thread(target=copy_context().run, args=(self._run,), name="whence-ahead")

    def begin(self) -> bool:
        """Begin in a thread; whether there was one to be had."""
        try:
            self._thread.start()
        except RuntimeError as error:
            log.info("no thread to work ahead in", extra={"error": str(error)})
            return False
        self._begun = True
        return True

    def end(self) -> T | None:
        """Wait for it; None when it failed, or was not begun.

        Raises:
            RuntimeError: It waits for itself, as a generator does that is collected in its thread.
        """
        if current_thread() is self._thread:
            raise RuntimeError("work ahead cannot wait for its own end")
        # or its beginning was interrupted: if it has not come to the work, it never does
        if not self._begun and self._turn.acquire(blocking=False):
            self._done.set()
        # not by `join` alone: interrupted once, that takes a thread for ended (Python 3.11)
        self._done.wait()
        if self._thread.is_alive():
            self._thread.join()
        return self._found

    def _run(self) -> None:
        if not self._turn.acquire(blocking=False):
            return
        try:
            self._found = self._work()
        except Exception as error:  # noqa: BLE001  # whatever it is, it happens again where it is waited for
            log.info("work ahead is given up", extra={"error": str(error), "type": type(error).__name__})
        finally:
            self._done.set()


class Pace:
    """When work ahead is worth a try: each time while it is used; once it was not, only after 1, 2, 4 … times.

    Example:
        >>> pace = Pace()
        >>> pace.tell(used=False)
        >>> pace.worth(), pace.worth()
        (False, True)
    """

    def __init__(self) -> None:
        self._rest = 0
        self._next = 1

    def worth(self) -> bool:
        """Whether to try this time."""
        if self._rest:
            self._rest -= 1
            return False
        return True

    def tell(self, *, used: bool) -> None:
        """Whether the last one was used."""
        self._rest = 0 if used else self._next
        self._next = 1 if used else min(2 * self._next, LONGEST_REST)
