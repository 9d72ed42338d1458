"""The requests that wait for an answer: small ones together, large ones one at a time in between.

A request of more rows than are predicted together is *large*. Large ones wait in a line of their own and count
against a limit of their own, so that a small one waits for the large one in work at most, and is never refused
because of those behind it.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from whence.errors import BackendError, ConflictError
from whence.serving.asking import Answer, Ask

Told: TypeAlias = Callable[["Answer | BaseException"], None]
"""Called once, on a thread of the answerer, with the answer or why there is none."""

Asked: TypeAlias = tuple[Ask, Told]

_STOP: Final = None


class Waiting:
    """A queue of requests. Any thread may put; one takes.

    Args:
        name: The deployment, for messages.
        max_rows: Rows that may wait in small requests, and as many in large ones.
        max_batch: Rows that are taken together at most; a request of more is large.
    """

    def __init__(self, name: str, *, max_rows: int, max_batch: int) -> None:
        self._name, self._max_rows, self._max_batch = name, max_rows, max_batch
        self._queue: queue.SimpleQueue[Asked | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._n_small = 0
        self._n_large = 0
        self._closed = False

    @property
    def n_rows(self) -> int:
        """Rows that were put and are not done."""
        return self._n_small + self._n_large

    def put(self, ask: Ask, told: Told) -> None:
        """Queue a request. A large one is taken, however large, when no other large one waits.

        Raises:
            BackendError: Too many rows wait (``requests-busy``); retry a little later.
            ConflictError: It is closed (``answerer-closed``).
        """
        with self._lock:
            if self._closed:
                raise ConflictError(
                    f"deployment {self._name!r} has stopped answering",
                    code="answerer-closed",
                    hint="retry: the next server of this workspace answers",
                )
            large = ask.n_rows > self._max_batch
            n_before = self._n_large if large else self._n_small
            if n_before and n_before + ask.n_rows > self._max_rows:
                raise BackendError(
                    f"{n_before} rows wait for deployment {self._name!r} already",
                    code="requests-busy",
                    hint="retry a little later",
                    retryable=True,
                )
            self._count(ask, ask.n_rows)
            self._queue.put((ask, told))

    def done(self, ask: Ask) -> None:
        """A request waits no longer."""
        with self._lock:
            self._count(ask, -ask.n_rows)

    def _count(self, ask: Ask, n_rows: int) -> None:
        if ask.n_rows > self._max_batch:
            self._n_large += n_rows
        else:
            self._n_small += n_rows

    def close(self) -> bool:
        """Take nothing more; whether it was open."""
        with self._lock:
            was_open, self._closed = not self._closed, True
            if was_open:
                self._queue.put(_STOP)
            return was_open

    def batches(self) -> Iterator[list[Asked]]:
        """What to answer next, waiting for it; ends when it is closed and all was given.

        Whatever small ones are there come together, without a timer; then one large one, if there is one.
        """
        large: deque[Asked] = deque()
        stopped = False
        while large or not stopped:
            small: list[Asked] = []
            if not stopped:
                stopped = self._drain(small, large)
            if small:
                yield small
            if large:
                yield [large.popleft()]

    def _drain(self, small: list[Asked], large: deque[Asked]) -> bool:
        """Sort what is queued by now; wait for the first unless there is other work. Whether it is closed."""
        n_rows = 0
        try:
            item = self._queue.get(block=not large)
            while item is not None:
                if item[0].n_rows > self._max_batch:
                    large.append(item)
                else:
                    small.append(item)
                    n_rows += item[0].n_rows
                    if n_rows >= self._max_batch:
                        return False
                item = self._queue.get_nowait()
        except queue.Empty:
            return False
        return True
