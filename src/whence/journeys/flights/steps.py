"""The steps of the journey: labels, training set, the two learners, the choice, the evaluation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence.journeys.flights.definitions import (
    BASELINE_COLUMNS,
    CATEGORICAL,
    FEATURE_COLUMNS,
    FEATURES,
    LABEL,
    LATE_MINUTES,
    SPINE_TIME,
)
from whence.journeys.flights.models import RateTable, boosting
from whence.lake import TableVersion
from whence.pipelines import Metrics, Model, ModelOutput, Table, current, latest, model, pipeline, step
from whence.stats import auc, log_loss

HOLDOUT_SHARE: Final = 0.2
TRUSTED: Final = ("whence.journeys.flights.models.RateTable",)

Floats: TypeAlias = npt.NDArray[np.float64]
Schedule: TypeAlias = Annotated[TableVersion, Table("schedule")]
Arrivals: TypeAlias = Annotated[TableVersion, Table("arrivals")]
Labels: TypeAlias = Annotated[TableVersion, Table("train.labels")]
TrainingSet: TypeAlias = Annotated[TableVersion, Table("train.late")]
Late: TypeAlias = Annotated[ModelOutput, Model("late")]


def matrix(rows: pa.Table, columns: tuple[str, ...]) -> Floats:
    """The feature columns as n rows of numbers; nulls become NaN."""
    return np.column_stack([rows[c].cast(pa.float64()).to_numpy(zero_copy_only=False) for c in columns])


def target(rows: pa.Table) -> npt.NDArray[np.int64]:
    """The labels as 0 and 1."""
    return np.asarray(rows[LABEL].cast(pa.int64()).to_numpy())


def held_out(rows: pa.Table) -> npt.NDArray[np.bool_]:
    """The last fifth of the time covered: what a learner is judged by before it learns from all rows."""
    at = rows[SPINE_TIME].cast(pa.int64()).to_numpy()
    return np.asarray(at >= at.max() - (at.max() - at.min()) * HOLDOUT_SHARE)


def judged(y: npt.NDArray[np.int64], score: Floats) -> dict[str, float]:
    """The quality of scores against labels."""
    ranked = auc(y, score)
    assert ranked is not None  # both labels occur in any fortnight
    return {
        "holdout_auc": ranked,
        "holdout_log_loss": log_loss(y, score),
        "holdout_rows": float(len(y)),
    }


@step
def labels(
    known_by: datetime,
    schedule: Schedule = latest,  # noqa: ARG001 - named in the query; pinned by the run
    arrivals: Arrivals = latest,  # noqa: ARG001
) -> Annotated[pa.Table, Table("train.labels")]:
    """Scheduled flights that have landed by `known_by`, and whether they came late."""
    return current().sql(
        """
        SELECT s.*, a.arr_delay >= $late AS late
        FROM schedule AS s JOIN arrivals AS a USING (flight_id)
        WHERE a.known_at < $known_by
        ORDER BY s.features_at, s.flight_id
        """,
        parameters={"late": LATE_MINUTES, "known_by": known_by},
    )


@step
def training_set(spine: Labels = latest) -> Annotated[pa.Table, Table("train.late")]:
    """Each labelled flight with its features as they were known at the moment it would be scored."""
    return current().features.point_in_time(spine, FEATURES, at=SPINE_TIME)


@step
def train_baseline(rows: TrainingSet = latest, prior: float = 20.0) -> tuple[Late, Metrics]:
    """The rate of late flights per carrier and hour."""
    data = rows.arrow()
    x, y, later = matrix(data, BASELINE_COLUMNS), target(data), held_out(data)
    judge = RateTable(prior).fit(x[~later], y[~later])
    metrics = judged(y[later], judge.predict_proba(x[later])[:, 1])
    fitted = RateTable(prior).fit(x, y)
    return model(
        fitted, sample=data.select(BASELINE_COLUMNS).slice(0, 1), metrics=metrics, trusted=TRUSTED
    ), metrics


@step
def train_boosting(
    rows: TrainingSet = latest, depth: int = 7, rounds: int = 120, learning_rate: float = 0.08
) -> tuple[Late, Metrics]:
    """Histogram gradient boosting on all features."""
    data = rows.arrow()
    x, y, later = matrix(data, FEATURE_COLUMNS), target(data), held_out(data)
    categorical = [c in CATEGORICAL for c in FEATURE_COLUMNS]
    judge = boosting(categorical, depth=depth, rounds=rounds, learning_rate=learning_rate).fit(
        x[~later], y[~later]
    )
    metrics = judged(y[later], judge.predict_proba(x[later])[:, 1])
    fitted = boosting(categorical, depth=depth, rounds=rounds, learning_rate=learning_rate).fit(x, y)
    return model(fitted, sample=data.select(FEATURE_COLUMNS).slice(0, 1), metrics=metrics), metrics


@pipeline
def learn(known_by: datetime) -> None:
    """From landed flights to two registered models."""
    rows = training_set(labels(known_by=known_by))
    train_baseline(rows)
    train_boosting(rows)
