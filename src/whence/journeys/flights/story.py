"""The journey, start to end: a quarter to learn from, nine months live, and a look at all of it.

Every part may be killed and started again: a day that has landed, a step that has run, flights that
have been scored are not done twice.
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
from whence.features import given
from whence.journeys.flights.definitions import (
    BASELINE_COLUMNS,
    BASELINE_FEATURES,
    FEATURES,
    LATE_MINUTES,
    SPINE_TIME,
    TABLES,
    VIEWS,
)
from whence.journeys.flights.evaluation import (
    LiveMonth,
    Month,
    count_online_parity,
    count_parity,
    evaluate,
    evaluate_live,
)
from whence.journeys.flights.faults import Fault, find_planted
from whence.journeys.flights.feeds import FIRST_SCORED, Feed, load_feeds, load_registers, midnight
from whence.journeys.flights.live import MONITOR, SCORES, Plan, days, go_live, land, live, moment_after
from whence.journeys.flights.retraining import Decided, decisions
from whence.journeys.flights.schemas import learn_schemas, learn_spine_schema, validate_feeds
from whence.journeys.flights.steps import TRUSTED, learn
from whence.monitoring import Alert
from whence.pipelines import PipelineRun, Verdict
from whence.trace import Trace
from whence.validation import Report
from whence.workspace import Workspace

#: Rows of the training set that are checked by brute force.
LEAK_SAMPLE: Final = 300
FROZEN_SCORES: Final = "late_frozen_scores"
BASELINE_SCORES: Final = "late_baseline_scores"
REFIT_SCORES: Final = "late_refit_scores"
AFTER_ALIAS: Final = register("flights.alias.between", "the baseline has its alias, the champion not yet")


@dataclass(frozen=True, slots=True)
class Planted:
    """An alert, and the planted fault it is about, if it is about one."""

    alert: Alert
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the journey found, for the report and for ``--json``."""

    rows: dict[str, int]
    versions: dict[str, int]
    reports: list[Report]
    learned: PipelineRun
    champion: str
    frozen: str
    baseline: str
    n_predictions: int
    n_duplicates: int
    n_labels: int
    metrics: dict[str, Month]
    live: dict[str, LiveMonth]
    n_parity: int
    faults: tuple[Fault, ...]
    alerts: list[Planted]
    decisions: list[Decided]
    quarantine: dict[str, int]
    trace: Trace
    verdict: Verdict
    n_leaks: int


def tell(ws: Workspace, clock: ReplayClock, plan: Plan) -> Outcome:
    """Run the journey, or what is left of it."""
    return look(ws, make(ws, clock, plan), plan)


def make(ws: Workspace, clock: ReplayClock, plan: Plan) -> PipelineRun:
    """The part that writes: a quarter lands and is learned from, then live days; frozen models answer at the end."""
    feeds = load_feeds()
    prepare(ws, feeds)
    quarter = days(plan.first, FIRST_SCORED - timedelta(days=1))
    with progress("January to March arrive", total=len(quarter)) as step:
        for day in quarter:
            land(ws, clock, feeds, day)
            step()
    learn_schemas(ws)
    ws.apply(*VIEWS)
    learned = train(ws)
    learn_spine_schema(ws)
    go_live(ws, plan)
    live(ws, clock, feeds, plan)
    score_frozen(ws, plan.last)
    score_refit(ws)
    return learned


def look(ws: Workspace, learned: PipelineRun, plan: Plan) -> Outcome:
    """The part that looks: validate, evaluate, compare, trace, reproduce, search for leaks."""
    with progress("validation, evaluation, parity, trace, reproduction, leaks", total=6) as step:
        reports = validate_feeds(ws, learned.pins)
        step()
        metrics, months = evaluate(ws), evaluate_live(ws)
        step()
        n_parity = count_parity(ws) + count_online_parity(ws, moment_after(plan.last))
        step()
        trace = ws.trace(f"prediction:{SCORES}/{late_flight(ws)}")
        step()
        verdict = ws.reproduce(learned.step("train_boosting").execution)
        step()
        leaks = ws.features.leaks(ws.table("train.late").head(), sample=LEAK_SAMPLE).n_cells
        step()
    n_predictions, n_keys, n_labels = _counts(ws)
    aside = [ws.quarantine(feed).counts() for feed in ("arrivals", "weather")]
    return Outcome(
        rows={name: ws.table(name).head().n_rows for name in TABLES},
        versions={name: ws.table(name).head().version for name in ws.lake.list()},
        reports=reports,
        learned=learned,
        champion=ws.models.get("late@champion").ref,
        frozen=ws.models.get("late@frozen").ref,
        baseline=ws.models.get("late@baseline").ref,
        n_predictions=n_predictions,
        n_duplicates=n_predictions - n_keys,
        n_labels=n_labels,
        metrics=metrics,
        live=months,
        n_parity=n_parity,
        faults=plan.faults,
        alerts=[Planted(alert, planted(alert, plan.faults)) for alert in ws.monitoring.alerts(MONITOR)],
        decisions=decisions(ws),
        quarantine={state: sum(counts[state] for counts in aside) for state in ("in", "replayed")},
        trace=trace,
        verdict=verdict,
        n_leaks=leaks,
    )


def planted(alert: Alert, faults: tuple[Fault, ...]) -> Fault | None:
    """The planted fault an alert is about, by where and when it was seen."""
    return find_planted(faults, feed=alert.table, feature=alert.feature, start=alert.start, end=alert.end)


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
        ws.models.set_alias("late", "frozen", ws.models.get(best).version)
        crash_point(AFTER_ALIAS)
        ws.models.set_alias("late", "champion", ws.models.get(best).version)
    return run


def pieces(ws: Workspace, last: date) -> Iterator[tuple[date, date]]:
    """What is left to score up to `last`, a quarter at a time: (first day, last day)."""
    first = _scored_until(ws) + timedelta(days=1)
    while first <= last:
        ends = (first.month + 2) // 3 * 3
        end = min(last, date(first.year, ends, months.monthrange(first.year, ends)[1]))
        yield first, end
        first = end + timedelta(days=1)


def _scored_until(ws: Workspace) -> date:
    scored = []
    for name in (FROZEN_SCORES, BASELINE_SCORES):
        if not ws.table(name).exists:
            return FIRST_SCORED - timedelta(days=1)
        scored.append(ws.sql(f"SELECT max(features_at) AS at FROM {name}")["at"][0].as_py())
    until: datetime = min(scored)
    return until.astimezone(ZoneInfo("America/New_York")).date()


def score_frozen(ws: Workspace, last: date) -> None:
    """March's champion and baseline answer for all of it, by quarters, on features computed point in time."""
    left = list(pieces(ws, last))
    with progress("March's models answer for each quarter", total=len(left)) as step:
        for first, end in left:
            _score_piece(ws, first, end)
            step()


def _score_piece(ws: Workspace, first: date, end: date) -> None:
    """Both answer for every flight from `first` to `end`, once each."""
    where = f"date BETWEEN DATE '{first.isoformat()}' AND DATE '{end.isoformat()}'"
    for alias, views, into in (
        ("frozen", FEATURES, FROZEN_SCORES),
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


def score_refit(ws: Workspace) -> None:
    """The baseline of each champion's moment answers for the flights that champion answered."""
    live_rows = ws.table(SCORES).head()
    # in the order of time: what a killed process left undone then lies after all that it did
    found = ws.sql(f"SELECT model FROM {SCORES} GROUP BY 1 ORDER BY min(features_at)")["model"].to_pylist()
    beside = {d.to: d.baseline for d in decisions(ws) if d.promoted}
    done = ws.table(REFIT_SCORES)
    since = "TRUE"
    if done.exists:
        until = ws.sql(f"SELECT max(features_at) AS at FROM {REFIT_SCORES}")["at"][0].as_py()
        since = f"features_at > TIMESTAMPTZ '{until.isoformat()}'"
    for champion in found:
        ws.serving.score(
            beside.get(f"model:{champion}", "late@baseline"),
            live_rows,
            views=[given(*BASELINE_COLUMNS)],
            at=SPINE_TIME,
            into=REFIT_SCORES,
            key="flight_id",
            where=f"model = '{champion}' AND {since}",
            batch=f"{champion}@{live_rows.version}",
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


def _counts(ws: Workspace) -> tuple[int, int, int]:
    """Live predictions, distinct flights among them, and how many of these have a label by now."""
    found = ws.sql(
        f"SELECT count(*) AS n, count(DISTINCT flight_id) AS keys, count(DISTINCT a.flight_id) AS labels "
        f"FROM {SCORES} AS p LEFT JOIN (SELECT DISTINCT flight_id FROM arrivals) AS a USING (flight_id)"
    )
    n, keys, labels = (int(found[c][0].as_py()) for c in ("n", "keys", "labels"))
    return n, keys, labels
