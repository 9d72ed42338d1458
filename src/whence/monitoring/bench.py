"""What every kind of judging shares: which windows are complete, and alerts that open and close."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Final

from whence._base.ids import derived_uid
from whence.monitoring import calendar
from whence.monitoring.profile import Layout
from whence.monitoring.reference import Reference
from whence.monitoring.session import Session
from whence.monitoring.store import Rows
from whence.monitoring.types import DECIDING, SCORE, Alert, Blame, Window

GROUPS: Final = 4
"""The budget is shared evenly over drift by day, drift by week, feeds, and quality."""


@dataclass
class Bench:
    """One run of a monitor: rows and alerts gather in it, the session moves on.

    Args:
        session: The monitor's memory.
        layout: The edges; None while there are none.
        reference: Gives the reference of a model.
        moment: From when it looks.
        watermarks: Table → up to when it is complete, where that is said.
    """

    session: Session
    layout: Layout | None
    reference: Callable[[str], Reference]
    moment: datetime
    watermarks: dict[str, datetime]
    rows: Rows = field(default_factory=Rows)
    opened: list[Alert] = field(default_factory=list)
    closed: list[Alert] = field(default_factory=list)
    n_windows: int = 0
    n_restated: int = 0

    def __post_init__(self) -> None:
        self.monitor = self.session.monitor
        self.tz = self.monitor.tz
        self.reference = cache(self.reference)
        self.upto = calendar.complete_days(self.moment, self.tz)

    # --- which windows

    def complete(self, table: str) -> int:
        """The first day of a table that is not complete."""
        mark = self.watermarks.get(table)
        return self.upto if mark is None else min(self.upto, calendar.complete_days(mark, self.tz))

    def pending(self, what: str, first: int | None, end: int, step: int = 1) -> list[int]:
        """The windows of a kind that are complete and were not judged; from now on they are."""
        if first is None:
            return []
        begin = self.session.judged.get(what, first)
        found = list(range(begin, end - step + 1, step))
        if found:
            self.session.judged[what] = found[-1] + step
        return found

    # --- alerts

    def open_alert(
        self, stream: str, metric: str, feature: str | None, table: str, window: Window, start: int,
        value: float, threshold: float, blame: Blame,
    ) -> Alert:  # fmt: skip
        """An alert opens."""
        uid = derived_uid("alert", self.monitor.name, stream, str(start))
        decides = metric in DECIDING or (feature == SCORE and table == self.monitor.table)
        alert = Alert(
            uid=uid,
            monitor=self.monitor.name,
            metric=metric,
            feature=feature,
            table=table,
            window=window,
            start=calendar.begin_of(start, self.tz),
            end=calendar.begin_of(start + calendar.length(window), self.tz),
            value=value,
            threshold=threshold,
            decides=decides,
            known_at=self.moment,
            blame=blame,
        )
        self.session.streams[stream].open = uid
        self.session.alerts[stream] = alert
        self.opened.append(alert)
        self.rows.alert(alert)
        return alert

    def close_alert(self, stream: str, end: int) -> None:
        """An alert falls back at the end of a window."""
        alert = self.session.alerts.pop(stream, None)
        if alert is not None:
            closed = replace(alert, closed=calendar.begin_of(end, self.tz))
            self.closed.append(closed)
            self.rows.alert(closed)

    def moved(self) -> list[tuple[str, Blame]]:
        """The features with an open alert, the newest first."""
        found = [
            a
            for a in self.session.alerts.values()
            if a.table == self.monitor.table and a.feature not in (None, SCORE)
        ]
        found.sort(key=lambda a: (a.start, a.value, a.feature or ""), reverse=True)
        return [(a.feature or "", a.blame) for a in found if a.blame is not None]

    def model_of(self, days: Iterable[int]) -> str | None:
        sizes: dict[str, int] = {}
        for day in days:
            for model, profile in self.session.days.get(day, {}).items():
                assert self.layout is not None
                sizes[model] = sizes.get(model, 0) + profile.rows(self.layout)
        return max(sizes, key=lambda m: (sizes[m], m)) if sizes else None
