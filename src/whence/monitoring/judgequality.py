"""Quality: each day and week as its labels come in, and whether scores still mean what they say."""

from __future__ import annotations

from typing import Final

import numpy as np

from whence.monitoring import calendar
from whence.monitoring.alarms import Budget, Stream
from whence.monitoring.bench import GROUPS, Bench
from whence.monitoring.blame import blame_score
from whence.monitoring.performance import CALIBRATION_EFFECT, LOSS_EFFECT, MIN_LABELS, as_rows, expected_loss
from whence.monitoring.types import Window
from whence.stats import log_loss

QUALITY_STREAMS: Final = ("calibration:low", "calibration:high", "log_loss")


class QualityJudge(Bench):
    """States the quality of windows, and judges days whose labels are mature."""

    def quality(self) -> None:
        """State the quality of windows that became complete; judge mature days."""
        if self.monitor.labels is None or not self.session.quality.days:
            return
        first, end = min(self.session.quality.days), self.complete(self.monitor.table)
        for window in self.monitor.windows:
            begin = first if window == "day" else calendar.monday(first)
            for start in self.pending(f"quality:{window}", begin, end, calendar.length(window)):
                self.state_quality(window, start)
        for day in self.pending("mature", first, end - self.monitor.maturity_days):
            self._judge_quality(day)

    def state_quality(self, window: Window, start: int) -> None:
        days = range(start, start + calendar.length(window))
        found = self.session.quality.of(days, threshold=self.monitor.threshold)
        names, values = as_rows(found)
        if not names:
            return
        self.rows.extend(
            len(names), kind="measure", metric=list(names), value=values, table=self.monitor.table, window=window,
            start=calendar.begin_of(start, self.tz), end=calendar.begin_of(days.stop, self.tz),
            n=int(found["n"] or 0), model=self.model_of(days),
        )  # fmt: skip

    def _judge_quality(self, day: int) -> None:
        truth, scores, _ = self.session.quality.labelled([day])
        model = self.model_of([day])
        if len(truth) < MIN_LABELS or model is None:
            return
        if self.session.models.get("quality") != model:
            for name in QUALITY_STREAMS:
                self.close_alert(f"quality:{name}", day)
                self.session.streams[f"quality:{name}"] = Stream()
            self.session.models["quality"] = model
        reference = self.reference(model)
        gap, small = float(truth.mean() - scores.mean()), CALIBRATION_EFFECT * reference.mean_score
        self._judge_zero("calibration:low", "calibration", day, gap - small, small, 1)
        self._judge_zero("calibration:high", "calibration", day, -gap - small, small, -1)
        if float(scores.min()) >= 0 and float(scores.max()) <= 1:
            excess = log_loss(truth.astype(np.int64), scores) - expected_loss(scores)
            small = LOSS_EFFECT * reference.expected_loss
            self._judge_zero("log_loss", "log_loss", day, excess - small, small, 1)

    def _judge_zero(self, name: str, metric: str, day: int, x: float, small: float, sign: int) -> None:
        stream = f"quality:{name}"
        memory = self.session.streams.setdefault(stream, Stream())
        share = self.monitor.budget_per_year / GROUPS
        budget = Budget.share(share, n_streams=len(QUALITY_STREAMS), days=1, rules=1)
        verdict = memory.judge_zero(x, budget, at=day)
        if verdict == "closes":
            self.close_alert(stream, day + 1)
        if verdict != "opens":
            return
        rising = day if memory.rising is None else memory.rising
        recent = memory.recent[-max(day - rising + 1, 1) :]
        value = sign * (sum(recent) / len(recent) + small)
        what = {"calibration:low": "the rate above the score", "calibration:high": "the score above the rate"}
        labels = self.monitor.labels
        blame = blame_score(
            what.get(name, "the loss"), self.moved(), tables=() if labels is None else (labels.table,),
            watched=self.monitor.feeds, first=rising, tz=self.tz,
        )  # fmt: skip
        self.open_alert(stream, metric, None, self.monitor.table, "day", day, value, sign * small, blame)
