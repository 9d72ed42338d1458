"""The schemas of the journey: inferred from the first quarter, then reviewed here, line by line."""

from __future__ import annotations

from collections.abc import Mapping

from whence.validation import Report, Schema
from whence.workspace import Workspace

TRAINING, SERVING = "TRAINING", "SERVING"


def reviewed_arrivals(inferred: Schema) -> Schema:
    """What a landed flight must be. An arrival before its departure is no arrival.

    The destinations of one quarter are not those of the year, so they are no domain.
    """
    return (
        inferred.edit("dest", domain=None)
        .required("flight_id", "carrier", "origin", "dest", "dep_at", "arr_at")
        .rule("arrival after departure", "arr_at > dep_at")
    )


def reviewed_schedule(inferred: Schema) -> Schema:
    """What a planned flight must be. Null tail numbers mark cancelled flights: never a feature."""
    required = ("flight_id", "carrier", "origin", "dest", "sched_dep_at", "features_at")
    return inferred.edit("dest", domain=None).required(*required).optional("tailnum")


def reviewed_weather(inferred: Schema) -> Schema:
    """What a reading must be; the limits of numbers stay as inferred from the bulk of the quarter."""
    return inferred.required("origin", "observed_at")


def reviewed_spine(inferred: Schema) -> Schema:
    """A flight to learn from or to score: the label exists in training, not in serving."""
    return (
        inferred.edit("dest", domain=None).environments(TRAINING, SERVING).not_in_environment(SERVING, "late")
    )


_REVIEWS = {"arrivals": reviewed_arrivals, "schedule": reviewed_schedule, "weather": reviewed_weather}


def learn_schemas(ws: Workspace) -> None:
    """Statistics of the first quarter, schemas from them, reviewed and stored.

    The schema of arrivals is enforced: from now on a row that breaks it is refused.
    """
    for name, review in _REVIEWS.items():
        statistics = ws.validation.statistics(ws.table(name).head())
        inferred = ws.validation.infer_schema(statistics, robust_ranges=name == "weather")
        ws.validation.put_schema(name, review(inferred), enforce=name == "arrivals")


def learn_spine_schema(ws: Workspace) -> None:
    """The schema of labelled flights, with the environments in which the label exists."""
    statistics = ws.validation.statistics(ws.table("train.labels").head())
    ws.validation.put_schema("spine", reviewed_spine(ws.validation.infer_schema(statistics)))


def validate_feeds(ws: Workspace, versions: Mapping[str, int]) -> list[Report]:
    """Each feed as it was when the learners learned, against its schema; the spine with and without its label.

    Args:
        ws: The workspace.
        versions: The versions the training was pinned to.
    """
    feeds = [ws.validation.validate(ws.table(name).at(versions[name]), name) for name in _REVIEWS]
    labelled = ws.validation.validate(ws.table("train.labels").head(), "spine", environment=TRAINING)
    unlabelled = ws.validation.validate(ws.table("schedule").head(), "spine", environment=SERVING)
    return [*feeds, labelled, unlabelled]
