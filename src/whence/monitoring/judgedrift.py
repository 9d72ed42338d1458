"""Drift of inputs and predictions: each complete day and week against the reference of the model that answered."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from whence.monitoring import calendar
from whence.monitoring.alarms import MAX_DF, MIN_SEEN, Budget, Stream
from whence.monitoring.bench import GROUPS, Bench
from whence.monitoring.blame import blame_feature, blame_score
from whence.monitoring.drift import Distances, compare, judged, judged_by, logit, unlogit
from whence.monitoring.profile import Profile
from whence.monitoring.reference import Reference
from whence.monitoring.types import SCORE, WINDOWS, Window
from whence.stats.base import Array

EFFECT: Final = {"ks": 0.1, "js": 0.02}
"""A drift below this is small, whatever its evidence."""

CALM: Final = {"day": 7, "week": 1}
"""So many ordinary windows in a row end an excursion."""

MEASURES: Final = ("ks", "js", "kl", "psi", "chi2", "missing", "new")


class DriftJudge(Bench):
    """Judges the days and weeks of predictions."""

    def drift(self) -> None:
        """Judge the days and weeks of predictions that became complete."""
        session = self.session
        if self.layout is None or not session.days:
            return
        first, end = min(session.days), self.complete(self.monitor.table)
        for window in self.monitor.windows:
            step = calendar.length(window)
            begin = first if window == "day" else calendar.monday(first)
            for start in self.pending(window, begin, end, step):
                self._judge_window(window, start)

    def _window_profile(self, window: Window, start: int) -> dict[str, Profile]:
        found: dict[str, Profile] = {}
        for day in range(start, start + calendar.length(window)):
            for model, profile in self.session.days.get(day, {}).items():
                found[model] = found[model] + profile if model in found else profile
        return found

    def measure_window(self, window: Window, start: int) -> tuple[Distances, str] | None:
        assert self.layout is not None
        parts = self._window_profile(window, start)
        if not parts:
            return None
        sizes = {model: profile.rows(self.layout) for model, profile in parts.items()}
        model = max(sizes, key=lambda m: (sizes[m], m))
        current, expected = _mixed(parts, sizes, self.reference)
        distances = compare(self.layout, expected, current)
        self._write_distances(window, start, distances, model)
        return distances, model

    def _judge_window(self, window: Window, start: int) -> None:
        measured = self.measure_window(window, start)
        if measured is None or self.layout is None:
            return
        distances, model = measured
        self.n_windows += 1
        if self.session.models.get(window) != model:
            self._begin_reference(window, model, start)
        values = judged(self.layout, distances)
        budget = self.drift_budget(window)
        opening = []
        for i, column in enumerate(self.layout.columns):
            if not math.isnan(values[i]):
                p = self._judge_column(window, start, i, float(values[i]), budget)
                if p is not None:
                    opening.append((p, i, column.name))
        # features first: the blame of the score looks at theirs
        for _, i, name in sorted(opening, key=lambda o: (o[2] == SCORE, o[0], o[1])):
            self._open_drift(window, start, i, name, float(values[i]), budget)

    def drift_budget(self, window: Window) -> Budget:
        """What one column may spend on windows of a kind."""
        assert self.layout is not None
        share = self.monitor.budget_per_year / GROUPS * (2 if len(self.monitor.windows) == 1 else 1)
        return Budget.share(share, n_streams=len(self.layout.columns), days=calendar.length(window))

    def _begin_reference(self, window: Window, model: str, start: int) -> None:
        """Another model answers: its own reference says what is ordinary from now on."""
        assert self.layout is not None
        own = self.reference(model).own[window]
        for i, column in enumerate(self.layout.columns):
            stream = _drift_stream(window, column.name)
            self.close_alert(stream, start)
            mine = own[:, i] if len(own) else np.empty(0)
            self.session.streams[stream] = Stream.learned(logit(mine[~np.isnan(mine)]).tolist())
        self.session.models[window] = model

    def _judge_column(self, window: Window, start: int, i: int, value: float, budget: Budget) -> float | None:
        """Take one window of one column in; the p-value if an alert is to open."""
        assert self.layout is not None
        column = self.layout.columns[i]
        name = _drift_stream(window, column.name)
        stream = self.session.streams[name]
        x = float(logit(value))
        p = stream.seen.p_above(x, max_df=MAX_DF)
        effect = value >= max(EFFECT[judged_by(column)], self._effect(window, i))
        told = any(
            _drift_stream(other, column.name) in self.session.alerts for other in WINDOWS if other != window
        )
        verdict = stream.judge(x, p, budget, at=start, effect=effect, calm=CALM[window], told=told)
        if verdict == "closes":
            self.close_alert(name, start + calendar.length(window))
        return p if verdict == "opens" else None

    def _effect(self, window: Window, i: int) -> float:
        """Nine in ten of the reference's own windows lie nearer than this."""
        return float(self.reference(self.session.models[window]).far[window][i])

    def _open_drift(
        self, window: Window, start: int, i: int, name: str, value: float, budget: Budget
    ) -> None:
        assert self.layout is not None
        stream = self.session.streams[_drift_stream(window, name)]
        jump = self._threshold(stream, budget)
        threshold = jump if jump is not None and value >= jump else self._effect(window, i)
        rising = start if stream.rising is None or value >= (jump or 2.0) else stream.rising
        last = start + calendar.length(window) - 1
        metric = judged_by(self.layout.columns[i])
        if name == SCORE:
            tables = {table for table, _, _ in self.monitor.origins.values()}
            blame = blame_score(
                "the score", self.moved(), tables=tables, watched=self.monitor.feeds, first=rising, tz=self.tz
            )
        else:
            blame = blame_feature(
                name, self.monitor.origins.get(name), self.session.moves, watched=self.monitor.feeds,
                first=rising, last=last, tz=self.tz,
            )  # fmt: skip
        self.open_alert(
            _drift_stream(window, name), metric, name, self.monitor.table, window, start, value,
            max(threshold, EFFECT[metric]), blame,
        )  # fmt: skip

    @staticmethod
    def _threshold(stream: Stream, budget: Budget) -> float | None:
        if stream.seen.n < MIN_SEEN:
            return None
        level = stream.seen.level(min(budget.alpha, 0.5), max_df=MAX_DF)
        return None if level is None else unlogit(level)

    def _write_distances(self, window: Window, start: int, distances: Distances, model: str) -> None:
        assert self.layout is not None
        names, n = list(self.layout.names), len(self.layout.columns)
        budget = self.drift_budget(window)
        streams = [self.session.streams.get(_drift_stream(window, name)) for name in names]
        limits = [None if s is None else self._threshold(s, budget) for s in streams]
        judged_metric = [judged_by(c) for c in self.layout.columns]
        when = {
            "table": self.monitor.table,
            "window": window,
            "start": calendar.begin_of(start, self.tz),
            "end": calendar.begin_of(start + calendar.length(window), self.tz),
            "model": model,
        }
        values: dict[str, Array] = {
            "ks": distances.ks_low, "js": distances.js, "kl": distances.kl, "psi": distances.psi,
            "chi2": distances.chi2, "missing": distances.missing, "new": distances.new,
        }  # fmt: skip
        for metric in MEASURES:
            bounds = (
                {"low": distances.ks_low.tolist(), "high": distances.ks_high.tolist()}
                if metric == "ks"
                else {}
            )
            threshold = [t if metric == m else None for t, m in zip(limits, judged_metric, strict=True)]
            self.rows.extend(
                n, kind="measure", metric=[metric] * n, feature=names, value=values[metric].tolist(),
                n=distances.n.astype(int).tolist(), threshold=threshold, **bounds, **when,
            )  # fmt: skip


def _mixed(
    parts: dict[str, Profile], sizes: dict[str, int], reference: Callable[[str], Reference]
) -> tuple[Profile, Profile]:
    """A window, and its reference: that of each model, in the proportion in which they answered."""
    models = sorted(parts)
    current = parts[models[0]]
    for model in models[1:]:
        current += parts[model]
    if len(models) == 1:
        return current, reference(models[0]).profile
    references = [reference(m) for m in models]
    total, smallest = sum(sizes.values()), min(r.n_rows for r in references)
    mixed: Profile | None = None
    for model, one in zip(models, references, strict=True):
        part = one.profile.times(smallest * sizes[model] / (total * one.n_rows))
        mixed = part if mixed is None else mixed + part
    assert mixed is not None
    return current, mixed


def _drift_stream(window: str, name: str) -> str:
    return f"drift:{window}:{name}"
