"""Feeds: each complete day of a source table against the days before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from whence.monitoring import calendar, feeds
from whence.monitoring.alarms import MAX_DF, MAX_OPEN, Budget, Stream
from whence.monitoring.bench import GROUPS, Bench
from whence.monitoring.blame import Move, blame_move
from whence.monitoring.feeds import FACT_ROWS, FACT_TOLERANCE, SMOOTHING, FeedPart
from whence.monitoring.performance import MIN_LABELS
from whence.monitoring.types import Blame

KEPT_MOVES_DAYS: Final = 60
"""For so many days it is remembered on which days sources moved."""


class FeedJudge(Bench):
    """Judges the days of source tables."""

    _feed_budget: Budget

    def feed(self, table: str) -> None:
        """Judge the days of a source table that became complete."""
        days = self.session.feeds.get(table)
        if not days:
            return
        begin = self._judged_from()
        for day in self.pending(f"feed:{table}", min(days), self.complete(table)):
            self._feed_budget = self.feed_budget()
            self._judge_feed_day(table, day, days.get(day, []), learn=begin is None or day < begin)

    def _judged_from(self) -> int | None:
        """The first day of predictions: what feeds brought before is what they are compared with."""
        return min(self.session.days, default=None)

    def _judge_feed_day(self, table: str, day: int, parts: Sequence[FeedPart], *, learn: bool) -> None:
        n = sum(p.n for p in parts)
        self.n_windows += not learn
        self._rows_of_day(table, day, parts, n, learn)
        for metric, counts in (
            ("repeated_keys", [p.repeated for p in parts]),
            ("late_rows", [p.late for p in parts]),
        ):
            self._fact(table, day, metric, None, parts, counts, [p.n for p in parts], learn)
        names = dict.fromkeys(name for p in parts for name in p.columns)
        for name in names:
            self._column_of_day(table, day, name, parts, learn)

    def _rows_of_day(self, table: str, day: int, parts: Sequence[FeedPart], n: int, learn: bool) -> None:
        stream = _feed_stream(table, "rows", None)
        level = _feed_stream(table, f"rows:{calendar.weekday(day)}", None)
        expected = self.session.streams.setdefault(level, Stream())
        x = feeds.log_rows(n)
        if expected.level is None:
            expected.level = x
            self._measure_feed(table, "rows", None, day, float(n), None, None, n)
            return
        off = x - expected.level
        memory = self.session.streams.setdefault(stream, Stream())
        p = memory.seen.p_either(off, floor=math.exp(-expected.level / 2), max_df=MAX_DF)
        verdict = memory.judge(
            off, p, self._feed_budget, at=day, effect=abs(off) > math.log(1.2), max_open=MAX_OPEN
        )
        usual = math.exp(expected.level) - 1
        self._measure_feed(table, "rows", None, day, float(n), usual, p, n)
        if learn or verdict not in ("open", "opens"):
            expected.follow(x, SMOOTHING / 2)
        part = _too_many(parts) if off > 0 else _largest(parts)
        text = f"{table} had {n} rows on {calendar.as_date(day).isoformat()} where about {usual:.0f} were due"
        self._settle(verdict, stream, table, "rows", None, day, float(n), usual, part, text, learn)

    def _column_of_day(self, table: str, day: int, name: str, parts: Sequence[FeedPart], learn: bool) -> None:
        columns = [p.columns[name] for p in parts if name in p.columns]
        nulls = [p.columns[name].nulls if name in p.columns else 0 for p in parts]
        self._fact(table, day, "missing", name, parts, nulls, [p.n for p in parts], learn)
        if any(c.counts is not None for c in columns):
            self._new_values(table, day, name, parts, learn)
        shape = feeds.shape(parts, name)
        if shape.median is None or shape.spread is None or shape.n < MIN_LABELS:
            return
        self._against_past(table, day, "location", name, parts, shape.median, shape.spread, learn)
        if shape.spread > 0:
            self._against_past(table, day, "scale", name, parts, math.log(shape.spread), None, learn)

    def _against_past(
        self, table: str, day: int, metric: str, name: str, parts: Sequence[FeedPart], x: float,
        spread: float | None, learn: bool,
    ) -> None:  # fmt: skip
        """Compare a median (or the logarithm of a spread) with where the days before led one to expect it."""
        stream = _feed_stream(table, metric, name)
        memory = self.session.streams.setdefault(stream, Stream())
        if memory.level is None:
            memory.level = x
            return
        off, expected = x - memory.level, memory.level
        effect = abs(off) > (math.log(1.5) if spread is None else spread / 2) and abs(off) > 1e-9
        p = memory.seen.p_either(off, max_df=MAX_DF)
        if memory.seen.sd == 0.0 or (metric == "location" and not self._scatters(table, name)):
            p = 1.0  # a median that stands still says nothing about how far it may move
        verdict = memory.judge(off, p, self._feed_budget, at=day, effect=effect, max_open=MAX_OPEN)
        value, usual = (x, expected) if spread is not None else (math.exp(x), math.exp(expected))
        self._measure_feed(table, metric, name, day, value, usual, p, sum(q.n for q in parts))
        if learn or verdict not in ("open", "opens"):
            memory.follow(x, SMOOTHING)
        part = _mover(parts, name, expected, off) if metric == "location" else _largest(parts)
        text = f"the {'median' if spread is not None else 'spread'} of {table}.{name} went from {usual:.4g} to {value:.4g}"
        self._settle(verdict, stream, table, metric, name, day, value, usual, part, text, learn)

    def _scatters(self, table: str, name: str) -> bool:
        """Whether the quartiles of a column lie apart on most days."""
        spread = self.session.streams.get(_feed_stream(table, "scale", name))
        median = self.session.streams[_feed_stream(table, "location", name)]
        return spread is not None and spread.seen.n * 2 >= median.seen.n

    def _new_values(self, table: str, day: int, name: str, parts: Sequence[FeedPart], learn: bool) -> None:
        known = self.session.seen.setdefault(table, {}).setdefault(name, [])
        old = set(known)
        counts = [
            sum(n for v, n in (p.columns[name].counts or {}).items() if v not in old)
            if name in p.columns
            else 0
            for p in parts
        ]
        fresh = {
            v for p in parts if name in p.columns for v in (p.columns[name].counts or {}) if v not in old
        }
        if len(old) + len(fresh) <= feeds.TEXTS:
            known.extend(sorted(fresh))
        if old and len(old) + len(fresh) <= feeds.TEXTS:
            self._fact(table, day, "new_values", name, parts, counts, [p.n for p in parts], learn)

    def _fact(
        self, table: str, day: int, metric: str, name: str | None, parts: Sequence[FeedPart],
        counts: Sequence[int], sizes: Sequence[int], learn: bool,
    ) -> None:  # fmt: skip
        n = sum(sizes)
        if not n:
            return
        stream = _feed_stream(table, metric, name)
        memory = self.session.streams.setdefault(stream, Stream())
        value, limit = feeds.share(sum(counts), n), memory.limit(FACT_TOLERANCE)
        verdict = memory.judge_fact(value, tolerance=FACT_TOLERANCE, some=sum(counts) >= FACT_ROWS)
        if value or verdict in ("opens", "closes"):
            self._measure_feed(table, metric, name, day, value, limit, None, n)
        worst = [p for p, c in zip(parts, counts, strict=True) if c]
        part = min(worst, key=lambda p: p.version, default=None)
        of = table if name is None else f"{table}.{name}"
        text = f"{100 * value:.3g} % of the rows of {of} on {calendar.as_date(day).isoformat()}: {metric.replace('_', ' ')}"
        self._settle(verdict, stream, table, metric, name, day, value, limit, part, text, learn)

    def _settle(
        self, verdict: str, stream: str, table: str, metric: str, name: str | None, day: int, value: float,
        threshold: float, part: FeedPart | None, text: str, learn: bool,
    ) -> None:  # fmt: skip
        if verdict == "closes":
            self.close_alert(stream, day + 1)
        if verdict != "opens":
            return
        if learn:
            # before anything was scored there was nothing to warn of: the day is what it is
            self.session.streams[stream].rest()
            return
        version = -1 if part is None else part.version
        move = Move(table, version, None if part is None else part.execution, day, metric, name, text)
        if part is None:
            since = calendar.begin_of(day, self.tz)
            blame = Blame(table, None, None, gradual=False, since=since, text=f"{text}: no version came")
        else:
            blame = blame_move(move, self.tz)
            self.session.moves.append(move)
            self.session.moves = [m for m in self.session.moves if m.day > day - KEPT_MOVES_DAYS]
        self.open_alert(stream, metric, name, table, "day", day, value, threshold, blame)

    def feed_budget(self) -> Budget:
        """What one stream of a feed may spend."""
        streams = [s for s in self.session.streams if s.startswith("feed:") and not _is_fact(s)]
        return Budget.share(self.monitor.budget_per_year / GROUPS, n_streams=max(len(streams), 1), days=1)

    def _measure_feed(
        self, table: str, metric: str, name: str | None, day: int, value: float, threshold: float | None,
        p: float | None, n: int,
    ) -> None:  # fmt: skip
        self.rows.add(
            "measure", metric, feature=name, table=table, window="day", start=calendar.begin_of(day, self.tz),
            end=calendar.begin_of(day + 1, self.tz), value=value, threshold=threshold, p=p, n=n,
        )  # fmt: skip


def _feed_stream(table: str, metric: str, name: str | None) -> str:
    return f"feed:{table}:{metric}" if name is None else f"feed:{table}:{metric}:{name}"


_FACTS: Final = frozenset({"repeated_keys", "late_rows", "missing", "new_values"})


def _is_fact(stream: str) -> bool:
    metric = stream.split(":")[2]
    return metric in _FACTS or (metric == "rows" and stream.count(":") == 3)


def _mover(parts: Sequence[FeedPart], name: str, expected: float, off: float) -> FeedPart | None:
    """The first version of a day whose own median went half the way or farther."""
    for part in sorted(parts, key=lambda p: p.version):
        median = feeds.shape([part], name).median
        if median is not None and (median - expected) * math.copysign(1, off) >= abs(off) / 2:
            return part
    return _largest(parts)


def _too_many(parts: Sequence[FeedPart]) -> FeedPart | None:
    """The version that brought more than was due: the first with late or repeated rows, else the last."""
    odd = [p for p in parts if p.late or p.repeated]
    return min(odd, key=lambda p: p.version) if odd else max(parts, key=lambda p: p.version, default=None)


def _largest(parts: Sequence[FeedPart]) -> FeedPart | None:
    return max(parts, key=lambda p: (p.n, -p.version), default=None)
