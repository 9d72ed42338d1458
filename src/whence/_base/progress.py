"""Progress of long work: rooms report, a door decides how it looks.

A room calls ``with progress("scoring", total=9) as step: step()``. Nothing is shown unless a door
(the CLI, a notebook) has installed a reporter for the block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Reporter(Protocol):
    """How a door shows progress."""

    def start(self, title: str, total: int | None) -> int:
        """Begin a bar; returns its number."""
        ...

    def advance(self, bar: int, n: int, note: str | None) -> None:
        """`n` more are done."""
        ...

    def end(self, bar: int) -> None:
        """The bar is finished or given up."""
        ...


_reporter: ContextVar[Reporter | None] = ContextVar("whence_progress", default=None)


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Within the block, long work is shown by `reporter`."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


def _nothing(n: int = 1, note: str | None = None) -> None:
    """Nobody watches."""


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show that something long goes on.

    Args:
        title: What is being done, in a few words.
        total: How many steps there are; None when unknown.

    Example:
        >>> with progress("counting", total=2) as step:
        ...     step(); step(note="done")
    """
    reporter = _reporter.get()
    if reporter is None:
        yield _nothing
        return
    bar = reporter.start(title, total)
    try:
        yield lambda n=1, note=None: reporter.advance(bar, n, note)
    finally:
        reporter.end(bar)
