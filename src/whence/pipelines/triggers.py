"""When a pipeline is due: time has passed on the clock, a monitor has raised an alert, something was marked bad.

A trigger is a value; it looks at nothing by itself. `Every.latest` and `OnAlert.pending` are told what
has been answered so far and what the clock says, and give the one moment that is due, if one is. So the
same history gives the same moment, whoever asks and however late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeAlias

from whence._base.clock import utc
from whence.errors import UsageError
from whence.metadata.types import Mark, Value

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class AlertLike(Protocol):
    """An alert as a trigger sees it."""

    @property
    def uid(self) -> str:
        """Its public name; the artifact of this uid in the graph, when there is one."""
        ...

    @property
    def known_at(self) -> datetime:
        """When it became known."""
        ...

    @property
    def decides(self) -> bool:
        """Whether it calls for a decision; one that only informs starts nothing."""
        ...

    def to_dict(self) -> Mapping[str, Value]:
        """It as plain values, kept as evidence of the run it starts."""
        ...


class AlertSource(Protocol):
    """Where alerts come from: monitoring."""

    def alerts(self, monitor: str, *, since: datetime | None = None) -> Sequence[AlertLike]:
        """The alerts of a monitor that became known at `since` or later, oldest first."""
        ...


class TaintSource(Protocol):
    """Where marks come from: the graph."""

    def taints(self, of: str, *, since: int = 0) -> Sequence[Mark]:
        """The ``retrain`` marks in force after this number that reach what `of` names now, by number."""
        ...


@dataclass(frozen=True, slots=True)
class Every:
    """A trigger: each time this long has passed on the workspace's clock.

    Attributes:
        period: How long.
        start: What is counted from; without it, the trigger's last moment.
    """

    period: timedelta
    start: datetime | None = None

    def __post_init__(self) -> None:
        if self.period <= timedelta(0):
            raise _no_period(str(self.period))
        if self.start is not None:
            object.__setattr__(self, "start", utc(self.start))

    @property
    def name(self) -> str:
        """What it is called in keys and evidence: ``every-30d``."""
        return f"every-{period_text(self.period)}"

    def latest(self, last: datetime | None, now: datetime) -> datetime | None:
        """The newest moment that has come and was not answered; the ones it stands for are missed.

        Moments are ``anchor + n * period`` for n = 1, 2, …; the anchor is `start`, else `last`. Without
        either, `now` is the first moment.

        Args:
            last: The last moment of this trigger that was answered.
            now: What the clock says.

        Example:
            >>> from datetime import UTC
            >>> daily = every("1d", start=datetime(2013, 4, 1, tzinfo=UTC))
            >>> daily.latest(None, datetime(2013, 4, 4, 5, tzinfo=UTC)).isoformat()
            '2013-04-04T00:00:00+00:00'
            >>> daily.latest(datetime(2013, 4, 4, tzinfo=UTC), datetime(2013, 4, 4, 5, tzinfo=UTC))
        """
        anchor = self.start or last
        if anchor is None:
            return now.replace(microsecond=0)
        n = (now - anchor) // self.period
        if n < 1:
            return None
        moment = anchor + n * self.period
        return moment if last is None or moment > last else None

    def missed(self, last: datetime | None, moment: datetime) -> int:
        """How many earlier moments were not answered and are answered by `moment`."""
        anchor = max((m for m in (self.start, last) if m is not None), default=None)
        return 0 if anchor is None else max(0, (moment - anchor) // self.period - 1)


@dataclass(frozen=True, slots=True)
class OnAlert:
    """A trigger: a monitor has raised an alert.

    Attributes:
        monitor: The monitor.
        at_most_every: How long after the pipeline's last run, by whichever trigger, an alert waits.
        decides: Only alerts that decide; else those that inform start it as well.
    """

    monitor: str
    at_most_every: timedelta | None = None
    decides: bool = True

    @property
    def name(self) -> str:
        """What it is called in keys and evidence: ``alert-late``."""
        return f"alert-{self.monitor}"

    def pending(
        self, alerts: Sequence[AlertLike], answered: datetime | None, uids: frozenset[str], now: datetime
    ) -> list[AlertLike]:
        """The alerts that no run has answered, by the moment they became known.

        A run answers the alerts known before its moment; of those known at that very moment, the ones
        it names.

        Args:
            alerts: What the monitor gives.
            answered: The moment of the pipeline's last run.
            uids: The alerts that run names.
            now: What the clock says; what became known later is left out.
        """
        found = [
            a
            for a in alerts
            if (a.decides or not self.decides)
            and a.known_at <= now
            and (answered is None or a.known_at >= answered)
            and a.uid not in uids
        ]
        return sorted(found, key=lambda a: (a.known_at, a.uid))

    def moment(self, pending: Sequence[AlertLike], last: datetime | None, now: datetime) -> datetime | None:
        """When the pipeline is due for these alerts; None while there are none or it is too soon.

        The moment the newest became known, or the end of the time to wait if that is later.
        """
        if not pending:
            return None
        moment = utc(pending[-1].known_at)
        if last is not None and self.at_most_every is not None:
            moment = max(moment, last + self.at_most_every)
        return moment if moment <= now else None


@dataclass(frozen=True, slots=True)
class OnTaint:
    """A trigger: something that a thing was made from has been marked bad with the policy ``retrain``.

    Attributes:
        of: The thing, by its reference; an alias means what it points at when it is looked at.
        at_most_every: How long after the pipeline's last run, by whichever trigger, a mark waits.
    """

    of: str
    at_most_every: timedelta | None = None

    @property
    def name(self) -> str:
        """What it is called in keys and evidence: ``taint-model:late@champion``."""
        return f"taint-{self.of}"

    def moment(self, marks: Sequence[Mark], last: datetime | None, now: datetime) -> datetime | None:
        """When the pipeline is due for these marks; None while there are none or it is too soon.

        The moment the newest was made, or `now` where that lies ahead (the clock of a replay), or the end of the
        time to wait if that is later.
        """
        if not marks:
            return None
        made = [utc(m.at) for m in marks if m.at is not None]
        moment = min(max(made, default=now), now)
        if last is not None and self.at_most_every is not None:
            moment = max(moment, last + self.at_most_every)
        return moment if moment <= now else None


Trigger: TypeAlias = Every | OnAlert | OnTaint


def every(period: str | timedelta, *, start: datetime | None = None) -> Every:
    """The trigger that fires each `period`, on the workspace's clock.

    Args:
        period: ``30d``, ``12h``, ``15m``, or a `timedelta`.
        start: What is counted from: the first moment is one period later. Without it the pipeline is due at
            once, and then counted from there.

    Raises:
        UsageError: The period is none (``bad-period``), or `start` has no zone (``naive-time``).

    Example:
        >>> every("30d")
        Every(period=datetime.timedelta(days=30), start=None)
    """
    return Every(_period(period), start)


def on_alert(monitor: str, *, at_most_every: str | timedelta | None = None, decides: bool = True) -> OnAlert:
    """The trigger that fires when a monitor raises an alert.

    Args:
        monitor: The monitor's name.
        at_most_every: Wait until this long after the pipeline's last run, whatever started that one; alerts
            of the meantime are answered together then.
        decides: Only alerts that decide (scores, calibration, loss); with False also those that inform.

    Example:
        >>> on_alert("late", at_most_every="14d").name
        'alert-late'
    """
    return OnAlert(monitor, None if at_most_every is None else _period(at_most_every), decides)


def on_taint(of: str, *, at_most_every: str | timedelta | None = None) -> OnTaint:
    """The trigger that fires when something that `of` was made from is marked bad with the policy ``retrain``.

    Args:
        of: What is made again: ``model:late@champion``, ``table:train.late``.
        at_most_every: Wait until this long after the pipeline's last run; marks of the meantime are answered
            together then.

    Example:
        >>> on_taint("model:late@champion").name
        'taint-model:late@champion'
    """
    return OnTaint(of, None if at_most_every is None else _period(at_most_every))


def _period(period: str | timedelta) -> timedelta:
    if isinstance(period, timedelta):
        return period
    number, unit = period[:-1], period[-1:]
    if not number.isdecimal() or unit not in _UNITS or int(number) == 0:
        raise _no_period(repr(period))
    return timedelta(**{_UNITS[unit]: int(number)})


def _no_period(text: str) -> UsageError:
    return UsageError(f"period {text} is not a length of time", code="bad-period", hint="write 30d, 12h, 15m")


def period_text(period: timedelta) -> str:
    """A length of time in its largest whole unit.

    Example:
        >>> period_text(timedelta(days=30)), period_text(timedelta(hours=36)), period_text(timedelta(0, 1, 5))
        ('30d', '36h', '1.000005s')
    """
    for unit, one in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1))):
        if period % one == timedelta(0):
            return f"{period // one}{unit}"
    seconds = period.total_seconds()
    return f"{seconds:.0f}s" if seconds.is_integer() else f"{seconds:.6f}s"


__all__ = [
    "AlertLike",
    "AlertSource",
    "Every",
    "OnAlert",
    "OnTaint",
    "TaintSource",
    "Trigger",
    "every",
    "on_alert",
    "on_taint",
    "period_text",
]
