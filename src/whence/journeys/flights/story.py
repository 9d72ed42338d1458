"""The journey, start to end: ingest by day, validate, features, train, score, evaluate, trace, reproduce.

Every part may be killed and started again: a day that has landed, a step that has run, a month
that has been scored is not done twice.
"""

from __future__ import annotations

import calendar as months
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pyarrow as pa

from whence._base.clock import ReplayClock
from whence._base.crash import crash_point, register
from whence._base.progress import progress
from whence.journeys.flights.definitions import (
    BASELINE_FEATURES,
    FEATURES,
    LATE_MINUTES,
    SPINE_TIME,
    TABLES,
    VIEWS,
)
from whence.journeys.flights.evaluation import Month, evaluate
from whence.journeys.flights.feeds import FIRST_DAY, LAST_DAY, Feed, load_feeds, load_registers, midnight
from whence.journeys.flights.schemas import learn_schemas, learn_spine_schema, validate_feeds
from whence.journeys.flights.steps import TRUSTED, learn
from whence.pipelines import PipelineRun, Verdict
from whence.trace import Trace
from whence.validation import Report
from whence.workspace import Workspace

FIRST_SCORED: Final = date(2013, 4, 1)
#: Rows of the training set that are checked by brute force.
LEAK_SAMPLE: Final = 300
SCORES: Final = "late_scores"
BASELINE_SCORES: Final = "late_baseline_scores"
AFTER_DAY: Final = register("flights.day.after", "one day of all feeds has landed, the next has not")
AFTER_ALIAS: Final = register("flights.alias.between", "the baseline has its alias, the champion not yet")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the journey found, for the report and for ``--json``."""

    rows: dict[str, int]
    versions: dict[str, int]
    reports: list[Report]
    learned: PipelineRun
    champion: str
    baseline: str
    n_predictions: int
    n_labels: int
    metrics: dict[str, Month]
    trace: Trace
    verdict: Verdict
    n_leaks: int


def tell(ws: Workspace, clock: ReplayClock, *, last: date = LAST_DAY) -> Outcome:
    """Run the journey, or what is left of it, with flights scored from April up to `last`."""
    return look(ws, make(ws, clock, last=last))


def make(ws: Workspace, clock: ReplayClock, *, first: date = FIRST_DAY, last: date = LAST_DAY) -> PipelineRun:
    """The part that writes: ingest from `first`, learn up to the end of March, score up to `last`."""
    feeds = load_feeds()
    prepare(ws, feeds)
    with progress("January to March arrive", total=(FIRST_SCORED - first).days) as step:
        for day in days(first, FIRST_SCORED - timedelta(days=1)):
            land(ws, clock, feeds, day)
            step()
    learn_schemas(ws)
    ws.apply(*VIEWS)
    learned = train(ws)
    learn_spine_schema(ws)
    with progress("April onwards arrives and is scored", total=(last - FIRST_SCORED).days + 1) as step:
        for begin, end in pieces(ws, last):
            for day in days(begin, end):
                land(ws, clock, feeds, day)
                step()
            score(ws, begin, end)
    _land_feed(ws, feeds["arrivals"], last + timedelta(days=1))  # who was in the air at midnight
    return learned


def look(ws: Workspace, learned: PipelineRun) -> Outcome:
    """The part that looks: validate, evaluate, trace, reproduce, search for leaks."""
    with progress("validation, evaluation, trace, reproduction, leaks", total=5) as step:
        reports = validate_feeds(ws, learned.pins)
        step()
        metrics = evaluate(ws)
        step()
        trace = ws.trace(f"prediction:{SCORES}/{late_flight(ws)}")
        step()
        verdict = ws.reproduce(learned.step("train_boosting").execution)
        step()
        leaks = ws.features.leaks(ws.table("train.late").head(), sample=LEAK_SAMPLE).n_cells
        step()
    n_predictions, n_labels = _counts(ws)
    return Outcome(
        rows={name: ws.table(name).head().n_rows for name in TABLES},
        versions={name: ws.table(name).head().version for name in ws.lake.list()},
        reports=reports,
        learned=learned,
        champion=ws.models.get("late@champion").ref,
        baseline=ws.models.get("late@baseline").ref,
        n_predictions=n_predictions,
        n_labels=n_labels,
        metrics=metrics,
        trace=trace,
        verdict=verdict,
        n_leaks=leaks,
    )


def days(first: date, last: date) -> Iterator[date]:
    """Each day from `first` to `last`, both included."""
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def prepare(ws: Workspace, feeds: dict[str, Feed]) -> None:
    """Declare the tables, and land the registers that are known before the year begins."""
    registers = load_registers()
    samples = {**registers, **{name: feed.rows for name, feed in feeds.items()}}
    for name, spec in TABLES.items():
        ws.lake.create(
            name,
            samples[name].schema,
            key=spec.key,
            event_time=spec.event_time,
            known_at=spec.known_at,
            description=spec.description,
        )
    for name, rows in registers.items():
        ws.table(name).append(rows, transaction=(f"flights.{name}", 1), watermark=midnight(date(2014, 1, 2)))


def land(ws: Workspace, clock: ReplayClock, feeds: dict[str, Feed], day: date) -> None:
    """One commit for each feed: what became known on `day` in New York."""
    clock.advance_to(max(clock.now(), midnight(day + timedelta(days=1))))
    for feed in feeds.values():
        _land_feed(ws, feed, day)
    crash_point(AFTER_DAY)


def _land_feed(ws: Workspace, feed: Feed, day: date) -> None:
    for arrived in feed.days(day, day):
        ws.table(feed.name).append(
            arrived.rows, transaction=(f"flights.{feed.name}", day.toordinal()), watermark=arrived.watermark
        )


def train(ws: Workspace) -> PipelineRun:
    """Two learners on the first quarter; the better by held-out AUC becomes champion.

    Records:
        A pipeline run with the key ``first-quarter``, and the moves of two aliases.
    """
    run = ws.pipelines.run(learn, key="first-quarter", known_by=midnight(FIRST_SCORED))
    baseline, boosted = (
        next(ref for ref in run.step(name).outputs if ref.startswith("model:"))
        for name in ("train_baseline", "train_boosting")
    )
    if "champion" not in ws.models.aliases("late"):
        best = max((baseline, boosted), key=lambda ref: ws.models.get(ref).metrics["holdout_auc"])
        ws.models.set_alias("late", "baseline", ws.models.get(baseline).version)
        crash_point(AFTER_ALIAS)
        ws.models.set_alias("late", "champion", ws.models.get(best).version)
    return run


def pieces(ws: Workspace, last: date) -> Iterator[tuple[date, date]]:
    """What is left to score up to `last`, month by month: (first day, last day)."""
    first = _scored_until(ws) + timedelta(days=1)
    while first <= last:
        end = min(last, first.replace(day=months.monthrange(first.year, first.month)[1]))
        yield first, end
        first = end + timedelta(days=1)


def _scored_until(ws: Workspace) -> date:
    scored = []
    for name in (SCORES, BASELINE_SCORES):
        if not ws.table(name).exists:
            return FIRST_SCORED - timedelta(days=1)
        scored.append(ws.sql(f"SELECT max(features_at) AS at FROM {name}")["at"][0].as_py())
    until: datetime = min(scored)
    return until.astimezone(ZoneInfo("America/New_York")).date()


def score(ws: Workspace, first: date, end: date) -> None:
    """Champion and baseline answer for every flight from `first` to `end`, once each."""
    where = f"date BETWEEN DATE '{first.isoformat()}' AND DATE '{end.isoformat()}'"
    for alias, views, into in (
        ("champion", FEATURES, SCORES),
        ("baseline", BASELINE_FEATURES, BASELINE_SCORES),
    ):
        ws.serving.score(
            f"late@{alias}",
            ws.table("schedule").head(),
            views=views,
            at=SPINE_TIME,
            into=into,
            key="flight_id",
            where=where,
            batch=f"{first.isoformat()}..{end.isoformat()}",
            trust=TRUSTED,
        )


def late_flight(ws: Workspace) -> str:
    """The late flight the champion was surest of."""
    found: pa.Table = ws.sql(
        f"""
        SELECT p.flight_id FROM {SCORES} AS p JOIN arrivals AS a USING (flight_id)
        WHERE a.arr_delay >= $late ORDER BY p.score DESC, p.flight_id LIMIT 1
        """,
        parameters={"late": LATE_MINUTES},
    )
    return str(found["flight_id"][0].as_py())


def _counts(ws: Workspace) -> tuple[int, int]:
    """Predictions of the champion, and how many of them have a label by now."""
    found = ws.sql(
        f"SELECT count(*) AS n, count(a.flight_id) AS labels FROM {SCORES} AS p LEFT JOIN arrivals AS a USING (flight_id)"
    )
    return int(found["n"][0].as_py()), int(found["labels"][0].as_py())
