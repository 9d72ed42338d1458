"""Progress on standard error: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from whence._base.progress import Reporter

#: Seconds between two lines about the same work when standard error is a file.
LINE_INTERVAL_S = 10.0
#: Work that is over sooner has no closing line: the opening one said enough.
SHORT_S = 1.0


@dataclass(slots=True)
class _Bar:
    title: str
    total: int | None
    started_s: float
    said_s: float
    inner: bool
    done: int = 0


class LineReporter:
    """One line when work begins, one when it ends, and one now and then in between.

    Work inside other work speaks only when it takes long; work that begins again under the same title, or that
    is over at once, says nothing more.
    """

    def __init__(self) -> None:
        self._bars: dict[int, _Bar] = {}
        self._numbers = itertools.count()
        self._begun: set[str] = set()

    def start(self, title: str, total: int | None) -> int:
        """Say that `title` begins."""
        number = next(self._numbers)
        now_s = time.monotonic()
        inner = bool(self._bars)
        self._bars[number] = _Bar(title, total, now_s, now_s, inner)
        if not inner and title not in self._begun:
            self._begun.add(title)
            self._say(f"{title} …")
        return number

    def advance(self, bar: int, n: int, note: str | None) -> None:
        """Count `n` more; say so when the last line is old."""
        b = self._bars[bar]
        b.done += n
        now_s = time.monotonic()
        if now_s - b.said_s >= LINE_INTERVAL_S:
            b.said_s = now_s
            self._say(f"{b.title}: {self._count(b)}" + (f", {note}" if note else ""))

    def end(self, bar: int) -> None:
        """Say how much was done and how long it took."""
        b = self._bars.pop(bar)
        took_s = time.monotonic() - b.started_s
        if b.said_s == b.started_s and (b.inner or took_s < SHORT_S):
            return
        self._say(f"{b.title}: {self._count(b)}, {took_s:.1f} s")

    @staticmethod
    def _count(bar: _Bar) -> str:
        return f"{bar.done}" if bar.total is None else f"{bar.done}/{bar.total}"

    @staticmethod
    def _say(line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class BarReporter:
    """Bars of rich, one for each piece of work that goes on; inner ones vanish when they end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=Console(stderr=True),
        )
        self._open: list[int] = []

    def start(self, title: str, total: int | None) -> int:
        """Draw a bar."""
        self._progress.start()
        bar = self._progress.add_task(title, total=total, note="")
        self._open.append(bar)
        return bar

    def advance(self, bar: int, n: int, note: str | None) -> None:
        """Move the bar."""
        from rich.progress import TaskID

        if note is None:
            self._progress.update(TaskID(bar), advance=n)
        else:
            self._progress.update(TaskID(bar), advance=n, note=note)

    def end(self, bar: int) -> None:
        """Leave the bar as it stands."""
        from rich.progress import TaskID

        self._open.remove(bar)
        if self._open:
            self._progress.remove_task(TaskID(bar))
            return
        self._progress.update(TaskID(bar), note="")
        self._progress.stop_task(TaskID(bar))

    def stop(self) -> None:
        """Give the terminal back."""
        self._progress.stop()


@contextmanager
def make_reporter() -> Iterator[Reporter]:
    """The reporter that fits standard error."""
    if not sys.stderr.isatty():
        yield LineReporter()
        return
    bars = BarReporter()
    try:
        yield bars
    finally:
        bars.stop()
