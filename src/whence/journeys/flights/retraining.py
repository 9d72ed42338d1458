"""Learning again: when, on which rows, and when what was learned may answer.

The training rows are those that were scored, with the features they were scored with, and the label that
came later. The days before the moment are left out of learning: on them the challenger answers in
shadow, for the same rows the champion has answered live, and only a challenger that is better takes over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeAlias

import pyarrow as pa

from whence.journeys.flights.definitions import (
    BASELINE_COLUMNS,
    CATEGORICAL,
    FEATURE_COLUMNS,
    LATE_MINUTES,
    truth,
)
from whence.journeys.flights.feeds import FIRST_SCORED, midnight
from whence.journeys.flights.models import RateTable, boosting
from whence.journeys.flights.steps import TRUSTED, Arrivals, Late, TrainingSet, matrix, target
from whence.lake import TableVersion
from whence.metadata import Execution
from whence.pipelines import (
    Metrics,
    Model,
    Pipeline,
    PipelineRun,
    Report,
    Table,
    Trigger,
    current,
    every,
    latest,
    model,
    on_alert,
    step,
    verify_promotion,
)
from whence.registry import PairedRule, promote_paired
from whence.workspace import Workspace

MODEL: Final = "late"
#: Of the rows older than `RECENT_DAYS` so many sixteenths are learned from, chosen by the key's md5: the
#: seasons stay in sight, and a fit stays short.
OLD_SIXTEENTHS: Final = 2
RECENT_DAYS: Final = 30
METRIC: Final = "log_loss"
#: Answers that are asked again after a promotion.
ASKED_AGAIN: Final = 50

Scored: TypeAlias = Annotated[TableVersion, Table("late_scores")]
LiveRows: TypeAlias = Annotated[TableVersion, Table("train.live")]
Shadow: TypeAlias = Annotated[TableVersion, Table("shadow.late")]
# Any: in the pipeline it is what the step before gives, in the step the version that was registered
Challenger: TypeAlias = Annotated[Any, Model("late")]

_COLUMNS: Final = ", ".join(f'"{name}"' for name in FEATURE_COLUMNS)
_TRUTH: Final = truth("known_at < $moment")


@step
def live_rows(
    moment: datetime,
    holdout_days: int = 7,
    first: TrainingSet = latest,  # noqa: ARG001 - named in the query; pinned by the run
    scored: Scored = latest,  # noqa: ARG001
    arrivals: Arrivals = latest,  # noqa: ARG001
) -> Annotated[pa.Table, Table("train.live")]:
    """The first quarter and what was scored since, with the labels known at `moment`, but for the last days."""
    until = moment - timedelta(days=holdout_days)
    return current().sql(
        f"""
        WITH truth AS {_TRUTH}, asked AS (
            SELECT flight_id, features_at, {_COLUMNS} FROM train.late
            UNION ALL SELECT flight_id, features_at, {_COLUMNS} FROM late_scores
        )
        SELECT asked.*, truth.late FROM asked JOIN truth USING (flight_id)
        WHERE features_at < $until
          AND (features_at >= $recent OR substr(md5(flight_id), 1, 1) < $share)
        ORDER BY features_at, flight_id
        """,
        parameters={
            "late": LATE_MINUTES,
            "moment": moment,
            "until": until,
            "recent": until - timedelta(days=RECENT_DAYS),
            "share": f"{OLD_SIXTEENTHS:x}",
        },
    )


@step
def refit_baseline(rows: LiveRows = latest, prior: float = 20.0) -> tuple[Late, Metrics]:
    """The rate of late flights per carrier and hour, on the rows the challenger learns from."""
    data = rows.arrow([*BASELINE_COLUMNS, "late"])
    fitted = RateTable(prior).fit(matrix(data, BASELINE_COLUMNS), target(data))
    about = {"n_rows": float(data.num_rows)}
    sample = data.select(BASELINE_COLUMNS).slice(0, 1)
    return model(fitted, sample=sample, metrics=about, trusted=TRUSTED), about


@step
def train_challenger(
    rows: LiveRows = latest, depth: int = 7, rounds: int = 60, learning_rate: float = 0.12
) -> tuple[Late, Metrics]:
    """Histogram gradient boosting, as the first champion was made."""
    data = rows.arrow([*FEATURE_COLUMNS, "late"])
    categorical = [c in CATEGORICAL for c in FEATURE_COLUMNS]
    learner = boosting(categorical, depth=depth, rounds=rounds, learning_rate=learning_rate)
    fitted = learner.fit(matrix(data, FEATURE_COLUMNS), target(data))
    about = {"n_rows": float(data.num_rows)}
    return model(fitted, sample=data.select(FEATURE_COLUMNS).slice(0, 1), metrics=about), about


@step
def shadow(
    moment: datetime,
    challenger: Challenger,
    holdout_days: int = 7,
    scored: Scored = latest,  # noqa: ARG001
    arrivals: Arrivals = latest,  # noqa: ARG001
) -> Annotated[pa.Table, Table("shadow.late")]:
    """The rows the champion answered in the last days, and what the challenger says to the same rows."""
    rooms = current()
    champion = rooms.models.get(f"{MODEL}@champion")
    asked = rooms.sql(
        f"""
        WITH truth AS {_TRUTH}
        SELECT p.flight_id, p.features_at, strftime(p.features_at, '%Y-%m-%d') AS day, {_COLUMNS}, late,
               p.score AS champion
        FROM late_scores AS p JOIN truth USING (flight_id)
        WHERE p.features_at >= $since AND p.features_at < $moment AND p.model = $model
        ORDER BY p.features_at, p.flight_id
        """,
        parameters={
            "late": LATE_MINUTES,
            "moment": moment,
            "since": moment - timedelta(days=holdout_days),
            "model": champion.ref.removeprefix("model:"),
        },
    )
    fitted = rooms.models.load(challenger.ref)
    answers = fitted.predict_proba(matrix(asked, FEATURE_COLUMNS))[:, 1]
    return asked.append_column("challenger", pa.array(answers))


@step(cache=False)
def decide(
    moment: datetime, challenger: Challenger, baseline: Challenger, answered: Shadow, confidence: float = 0.8
) -> Report:
    """The challenger becomes champion if it is better on the same rows; the baseline beside it goes along.

    Rows of one day have their weather in common, so days are what is drawn to say how sure it is.

    Records:
        One execution ``promote`` with the evidence.
    """
    rooms = current()
    rule = PairedRule(METRIC, confidence=confidence)
    promotion = promote_paired(
        rooms.models, rooms.lake, MODEL, challenger.version, rule, answered, label="late", group="day"
    )
    if promotion.promoted:
        verify_promotion(rooms, promotion, answered, k=ASKED_AGAIN).require()
    champion = promotion.champion
    assert champion is not None  # the first was chosen in March
    found = {
        "at": moment.isoformat(),
        "from": champion.ref,
        "to": challenger.ref,
        "baseline": baseline.ref,
        "n_rows": promotion.n_rows,
        "metric": METRIC,
        "champion": promotion.values[champion.version],
        "challenger": promotion.values[challenger.version],
        "promoted": promotion.promoted,
        "reason": promotion.reason,
    }
    return Report(json.dumps(found), media_type="application/json", name="decision")


def retrain(moment: datetime, holdout_days: int = 7, confidence: float = 0.8, rounds: int = 60) -> None:
    """Learn from what was scored, answer in shadow, and decide."""
    rows = live_rows(moment, holdout_days)
    baseline, _ = refit_baseline(rows)
    challenger, _ = train_challenger(rows, rounds=rounds)
    answered = shadow(moment, challenger, holdout_days)
    decide(moment, challenger, baseline, answered, confidence)


@dataclass(frozen=True, slots=True)
class Retraining:
    """When and on what is learned again.

    Attributes:
        period: How often, whatever happens.
        at_most_every: How soon after the last time an alert may call for it.
        holdout_days: How many days are left out of learning, for the shadow.
        confidence: How sure it must be that the challenger is better.
        rounds: How long a challenger learns.
    """

    period: str = "30d"
    at_most_every: str = "14d"
    holdout_days: int = 7
    confidence: float = 0.8
    rounds: int = 60

    def pipeline(self) -> Pipeline[..., None]:
        """The pipeline with its triggers."""
        triggers: list[Trigger] = [
            every(self.period, start=midnight(FIRST_SCORED)),
            on_alert(MODEL, at_most_every=self.at_most_every),
        ]
        return Pipeline(retrain, name="retrain", triggers=triggers)

    def tick(self, ws: Workspace) -> list[PipelineRun]:
        """Learn again if it is time."""
        return ws.pipelines.tick(
            [self.pipeline()],
            holdout_days=self.holdout_days,
            confidence=self.confidence,
            rounds=self.rounds,
        )


@dataclass(frozen=True, slots=True)
class Decided:
    """One challenger, and whether it took over.

    Attributes:
        at: The moment it was about.
        trigger: What called for it.
        previous: The champion it was measured against, ``model:late@2``.
        to: The challenger.
        baseline: The baseline fitted on the challenger's rows.
        n_rows: The rows both answered.
        metric: What was compared.
        champion: Its value for the champion.
        challenger: Its value for the challenger.
        promoted: Whether the alias moved.
        reason: The rule and the numbers, in words.
    """

    at: datetime
    trigger: str
    previous: str
    to: str
    baseline: str
    n_rows: int
    metric: str
    champion: float
    challenger: float
    promoted: bool
    reason: str

    def to_dict(self) -> dict[str, object]:
        """The decision as it stands in ``--json``."""
        return {
            "at": self.at.isoformat(),
            "trigger": self.trigger,
            "from": self.previous,
            "to": self.to,
            "baseline": self.baseline,
            "n_rows": self.n_rows,
            "metric": self.metric,
            "champion": self.champion,
            "challenger": self.challenger,
            "promoted": self.promoted,
            "reason": self.reason,
        }


def decisions(ws: Workspace) -> list[Decided]:
    """Every challenger so far, in the order of time."""
    steps = ws.graph.list_nodes("execution", type_="step", state="COMPLETE", where={"step": "decide"})
    return sorted((_decided(ws, s) for s in steps if isinstance(s, Execution)), key=lambda d: d.at)


def _decided(ws: Workspace, execution: Execution) -> Decided:
    outputs = execution.get("outputs")
    assert isinstance(outputs, Sequence)
    (report,) = outputs
    assert isinstance(report, Mapping)
    facts = json.loads(ws.blobs.get(str(report["digest"])))
    return Decided(
        at=datetime.fromisoformat(facts["at"]),
        trigger=str(execution.get("run")).partition("@")[0],
        previous=facts["from"],
        to=facts["to"],
        baseline=facts["baseline"],
        n_rows=facts["n_rows"],
        metric=facts["metric"],
        champion=facts["champion"],
        challenger=facts["challenger"],
        promoted=facts["promoted"],
        reason=facts["reason"],
    )
