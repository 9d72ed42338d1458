"""One run: every window that has become complete is measured and judged, and what labels changed is stated anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from whence.monitoring import calendar
from whence.monitoring.judgedrift import DriftJudge
from whence.monitoring.judgefeeds import FeedJudge
from whence.monitoring.judgequality import QualityJudge
from whence.monitoring.judgetaint import TaintJudge
from whence.monitoring.reading import News
from whence.monitoring.types import Window


class Judge(DriftJudge, FeedJudge, QualityJudge, TaintJudge):
    """Judges one run of a monitor, day by day."""

    def run(self, news: News) -> None:
        """Judge everything that became complete, day by day, as it would have been judged each evening."""
        tables = (self.monitor.table, *self.monitor.feeds)
        begins = [first for first in map(self._first_pending, tables) if first is not None]
        before = dict(self.session.judged)
        last = self.upto
        for day in range(min(begins, default=last), last + 1):
            self.upto = day
            for table in self.monitor.feeds:
                self.feed(table)
            self.drift()
            self.quality()
        self.restate(news, before)

    def _first_pending(self, table: str) -> int | None:
        """The first day of a table that may have to be judged."""
        if table == self.monitor.table:
            first = min(self.session.days, default=None)
            return None if first is None else self.session.judged.get("day", first)
        first = min(self.session.feeds.get(table, ()), default=None)
        return None if first is None else self.session.judged.get(f"feed:{table}", first)

    def restate(self, news: News, before: Mapping[str, int]) -> None:
        """Measure anew the windows judged before in which rows or labels came late."""
        for window in self.monitor.windows:
            for start in self._stale(window, news.rows, before):
                self.measure_window(window, start)
            for start in self._stale(window, news.truth, before):
                self.state_quality(window, start)

    def _stale(self, window: Window, touched: Iterable[int], before: Mapping[str, int]) -> list[int]:
        """The windows of these days that had been stated before this run."""
        done = before.get(window)
        starts = {d if window == "day" else calendar.monday(d) for d in touched}
        found = sorted(s for s in starts if done is not None and s < done)
        self.n_restated += len(found)
        return found
