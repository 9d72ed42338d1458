"""Marks as alerts: what is watched descends from something that was marked bad with the policy ``alert``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from whence.metadata import Mark
from whence.monitoring import calendar
from whence.monitoring.alarms import Stream
from whence.monitoring.bench import Bench
from whence.monitoring.types import Blame

TAINT: Final = "taint"
"""The metric of such an alert, and how its streams begin."""


class TaintJudge(Bench):
    """Opens an alert for each mark that reaches what is watched, and closes it when the mark is lifted."""

    def taint(self, reaching: Sequence[tuple[Mark, str]]) -> None:
        """Take in the marks that are in force now, each with the reference of what it reaches.

        The alert informs: whoever wants more marks with the policy ``retrain`` or ``block``.
        """
        day = calendar.day_of(self.moment, self.tz)
        streams = {f"{TAINT}:{mark.id}": (mark, ref) for mark, ref in reaching}
        for stream in [s for s in self.session.alerts if s.startswith(f"{TAINT}:") and s not in streams]:
            self.close_alert(stream, day)
            self.session.streams.pop(stream, None)
        for stream, (mark, ref) in streams.items():
            if stream in self.session.alerts:
                continue
            self.session.streams[stream] = Stream()
            told = f"{ref} descends from what {mark.principal or 'somebody'} marked bad: {mark.reason} (mark {mark.id})"
            since = mark.at if mark.at is not None and mark.at < self.moment else self.moment
            blame = Blame(None, None, None, gradual=False, since=since, text=told)
            self.open_alert(stream, TAINT, None, self.monitor.table, "day", day, 1.0, 0.0, blame)
