"""April to December, live: feeds arrive day by day, flights are scored, watched, learned from.

One day is: what became known on it lands; its hours are scored, each flight with what was known at its full
hour; the monitor judges what has become complete; what is due is retrained. Each of these happens
once, so a journey that is killed goes on with the day it was killed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from whence._base.clock import ReplayClock
from whence._base.crash import crash_point, register
from whence._base.progress import progress
from whence.journeys.flights.definitions import FEATURES, LATE_MINUTES, ONLINE_VIEWS, SPINE_TIME
from whence.journeys.flights.faults import RENAMED, YEAR, Fault, deliveries
from whence.journeys.flights.feeds import FIRST_DAY, FIRST_SCORED, LAST_DAY, Feed, midnight
from whence.journeys.flights.retraining import Retraining
from whence.monitoring import Labels
from whence.serving import Follower
from whence.workspace import Workspace

DEPLOYMENT: Final = "late"
MONITOR: Final = "late"
SCORES: Final = "late_scores"
FEEDS: Final = ("schedule", "arrivals", "weather")

AFTER_DAY: Final = register("flights.day.after", "one day of all feeds has landed, the next has not")
AFTER_SCORES: Final = register("flights.scores.after", "a day is scored, the monitor has not looked at it")
AFTER_MONITOR: Final = register("flights.monitor.after", "a day is judged, nothing is retrained yet")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a journey covers.

    Attributes:
        first: The first day that lands.
        last: The last day that is scored.
        faults: What goes wrong.
        retraining: When and on what the model is trained again.
        budget_per_year: How many false alarms a year the monitor may raise.
    """

    first: date = FIRST_DAY
    last: date = LAST_DAY
    faults: tuple[Fault, ...] = YEAR
    retraining: Retraining = field(default_factory=Retraining)
    budget_per_year: float = 6.0


def days(first: date, last: date) -> list[date]:
    """Each day from `first` to `last`, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def go_live(ws: Workspace, plan: Plan) -> None:
    """Deploy the champion, and watch it.

    Records:
        A deployment and a monitor; again, nothing.
    """
    ws.serving.deploy(
        DEPLOYMENT,
        model="late@champion",
        table="schedule",
        views=FEATURES,
        at=SPINE_TIME,
        key="flight_id",
        into=SCORES,
        start=midnight(FIRST_SCORED),
    )
    ws.monitoring.watch(
        MONITOR,
        deployment=DEPLOYMENT,
        labels=Labels("arrivals", ("flight_id",), f"arr_delay >= {LATE_MINUTES}"),
        feeds=("arrivals", "weather"),
        tz="America/New_York",
        budget_per_year=plan.budget_per_year,
    )


def live(ws: Workspace, clock: ReplayClock, feeds: dict[str, Feed], plan: Plan) -> None:
    """Live through the days that are left, up to the plan's last."""
    begin = max(FIRST_SCORED, landed_until(ws))
    with (
        progress("April onwards, day by day", total=(plan.last - begin).days + 1) as step,
        ws.serving.follow(DEPLOYMENT) as follower,
    ):
        for day in days(begin, plan.last):
            live_through(ws, clock, feeds, follower, day, plan, judged=day == begin and _judged(ws, begin))
            step()
    # who was in the air at midnight
    land_feed(ws, feeds["arrivals"], plan.last + timedelta(days=1), plan.faults)
    ws.monitoring.run(MONITOR, upto=moment_after(plan.last))


def _judged(ws: Workspace, day: date) -> bool:
    """Whether the monitor has judged a day already: then it does not look again at what came since."""
    kept = ws.table(f"monitor.{MONITOR}")
    evening = f"TIMESTAMPTZ '{moment_after(day).isoformat()}'"
    return kept.exists and kept.arrow(["kind"], where=f"kind = 'run' AND start >= {evening}").num_rows > 0


def live_through(
    ws: Workspace,
    clock: ReplayClock,
    feeds: dict[str, Feed],
    follower: Follower,
    day: date,
    plan: Plan,
    *,
    judged: bool = False,
) -> None:
    """One day: land, score, keep the online store up, watch, learn."""
    land(ws, clock, feeds, day, plan.faults)
    evening = moment_after(day)
    for _ in follower.steps(until=evening - timedelta(microseconds=1)):
        pass
    ws.features.materialize(*ONLINE_VIEWS)
    crash_point(AFTER_SCORES)
    if not judged:
        ws.monitoring.run(MONITOR, upto=evening)
    crash_point(AFTER_MONITOR)
    plan.retraining.tick(ws)


def landed_until(ws: Workspace) -> date:
    """The last day of which something has landed; it may not be finished."""
    ordinals = [
        ws.table(name).head().transaction(f"flights.{name}") for name in FEEDS if ws.table(name).exists
    ]
    known = [n for n in ordinals if n is not None]
    return date.fromordinal(min(known)) if len(known) == len(FEEDS) else FIRST_DAY


def land(
    ws: Workspace, clock: ReplayClock, feeds: dict[str, Feed], day: date, faults: Sequence[Fault] = ()
) -> None:
    """What became known on `day` in New York, one commit for each delivery."""
    clock.advance_to(max(clock.now(), moment_after(day)))
    for fault in faults:
        if fault.fate == "quarantined" and fault.fixed == day:
            _replay(ws, fault, day)
    for feed in feeds.values():
        land_feed(ws, feed, day, faults)
    crash_point(AFTER_DAY)


def land_feed(ws: Workspace, feed: Feed, day: date, faults: Sequence[Fault] = ()) -> None:
    """What one feed delivers on `day`; rows that break a rule are set aside."""
    for arrived in deliveries(feed, day, faults):
        ws.table(feed.name).append(
            arrived.rows,
            transaction=(arrived.application, day.toordinal()),
            watermark=arrived.watermark,
            on_error="quarantine",
        )


def _replay(ws: Workspace, fault: Fault, day: date) -> None:
    """The rows a fault sent to quarantine, corrected and let in; what is known of them is known from now on."""
    quarantine = ws.quarantine(fault.feed)
    old, new = RENAMED
    quarantine.correct({"carrier": old}, where=f"carrier = '{new}'")
    quarantine.replay(transaction=(f"flights.{fault.feed}.replayed", day.toordinal()))


def moment_after(day: date) -> datetime:
    """The instant at which `day` is over in New York."""
    return midnight(day + timedelta(days=1))
