"""The values of serving: a prediction, and what a scoring became."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from whence.features import AnyView
from whence.lake import Commit
from whence.metadata.types import Value


@dataclass(frozen=True, slots=True)
class RequestRule:
    """Which schema the rows of requests are held against, and what is done with those that do not pass.

    Attributes:
        schema: The name of a kept schema, ``flights``, or of one version of it, ``flights@2``.
        environment: For which environment.
        on_bad: ``refuse`` answers none of the request; ``mark`` answers it and says which rows do not pass.
        fill: Whether missing values get the schema's defaults first.
    """

    schema: str
    environment: str | None = None
    on_bad: Literal["refuse", "mark"] = "refuse"
    fill: bool = False

    def to_dict(self) -> dict[str, Value]:
        """The rule as plain values."""
        return {
            "schema": self.schema,
            "environment": self.environment,
            "on_bad": self.on_bad,
            "fill": self.fill,
        }


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model answering: which, for which rows, from which features, into which table.

    Attributes:
        name: What it is called, ``late``.
        model: ``late@champion``: an alias is followed; or a fixed version, ``late@3``.
        table: The spine table that is followed.
        views: Feature views, calendars and given columns.
        at: The spine's column of the moment the features are taken.
        key: The spine's columns that name a row.
        into: The predictions table.
        epoch: Counts up when history is scored anew.
        trust: Model types to trust besides those whence knows.
        start: Rows whose moment is earlier are not answered for; None: all are.
        check: The schema that rows of requests are held against; None holds them against none.
    """

    name: str
    model: str
    table: str
    views: tuple[AnyView, ...]
    at: str
    key: tuple[str, ...]
    into: str
    epoch: int = 0
    trust: tuple[str, ...] = ()
    start: datetime | None = None
    check: RequestRule | None = None

    @property
    def ref(self) -> str:
        """``deployment:late``."""
        return f"deployment:{self.name}"

    @property
    def application(self) -> str:
        """The app transaction under which the predictions table counts the steps."""
        return f"score/{self.name}:{self.epoch}"

    def to_dict(self) -> dict[str, Value]:
        """The deployment as plain values; `deployment_from_dict` reads them."""
        return {
            "name": self.name,
            "model": self.model,
            "table": self.table,
            "views": [view.to_dict() for view in self.views],
            "at": self.at,
            "key": list(self.key),
            "into": self.into,
            "epoch": self.epoch,
            "trust": list(self.trust),
            "start": None if self.start is None else self.start.isoformat(),
            **({} if self.check is None else {"check": self.check.to_dict()}),
        }


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row of a predictions table, with what is needed to trace it.

    Attributes:
        ref: ``prediction:late_scores/B6-35-JFK-2013-07-01``.
        table: The predictions table.
        version: The version it was read from.
        key: The key columns and their values.
        row: All columns.
        features: The columns the model was given, in its order.
        score: What the model answered.
        features_at: The moment the features were taken.
        model: ``late@3``.
        model_digest: Of the model's bytes.
        definitions: View → definition digest; the row has the digest of this map, its execution the map.
        sources: Table → version the features were read from.
        execution: The uid of the execution that scored it.
        scored_at: When.
        view_sources: ``table#view`` → version, of views that were looked up at a later version than `sources` says.
        definitions_error: Why the definitions are out of reach, where they are.
    """

    ref: str
    table: str
    version: int
    key: Mapping[str, object]
    row: Mapping[str, object]
    features: Mapping[str, object]
    score: float
    features_at: datetime
    model: str
    model_digest: str
    definitions: Mapping[str, str]
    sources: Mapping[str, int]
    execution: str
    scored_at: datetime
    view_sources: Mapping[str, int] = field(default_factory=dict)
    definitions_error: str | None = None

    @property
    def table_ref(self) -> str:
        """``table:late_scores@7``."""
        return f"table:{self.table}@{self.version}"

    def to_dict(self) -> dict[str, object]:
        """The prediction as plain values."""
        return {
            "ref": self.ref,
            "table": self.table_ref,
            "key": dict(self.key),
            "features_at": self.features_at,
            "features": dict(self.features),
            "score": self.score,
            "model": f"model:{self.model}",
            "model_digest": self.model_digest,
            "definitions": dict(self.definitions),
            "sources": dict(self.sources),
            "execution": f"execution:{self.execution}",
            "scored_at": self.scored_at,
        }


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """What a scoring became.

    Attributes:
        commit: The commit that holds the predictions.
        n_rows: How many there are; one for each row of the spine.
        execution: The reference of the execution, ``execution:…``.
        model: The model version that answered, ``model:late@3``.
        duplicate: The batch had been scored before; nothing was written.
    """

    commit: Commit
    n_rows: int
    execution: str
    model: str
    duplicate: bool = False

    @property
    def ref(self) -> str:
        """``table:late_scores@7``."""
        return self.commit.ref

    def to_dict(self) -> dict[str, Value]:
        """The result as plain values."""
        return {
            "table": self.commit.table,
            "version": self.commit.version,
            "n_rows": self.n_rows,
            "execution": self.execution,
            "model": self.model,
            "duplicate": self.duplicate,
        }


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step of a stream: one commit of everything that could be answered by then.

    Attributes:
        commit: The commit that holds the predictions.
        n_rows: How many there are.
        n_late: How many of them came behind the fold and were computed from the lake.
        scored_to: Every row with a moment up to here that had come by then is answered.
        spine_version: The version of the spine table that had been read.
        model: The model version that answered, ``model:late@3``.
        execution: The reference of the execution, ``execution:…``.
        seconds: How long it took.
        duplicate: The step had been committed before; a follower goes on instead, so never from it.
    """

    commit: Commit
    n_rows: int
    n_late: int
    scored_to: datetime
    spine_version: int
    model: str
    execution: str
    seconds: float
    duplicate: bool = False

    @property
    def ref(self) -> str:
        """``table:late_scores@7``."""
        return self.commit.ref

    def to_dict(self) -> dict[str, Value]:
        """The step as plain values."""
        return {
            "table": self.commit.table,
            "version": self.commit.version,
            "n_rows": self.n_rows,
            "n_late": self.n_late,
            "scored_to": self.scored_to.isoformat(),
            "spine_version": self.spine_version,
            "model": self.model,
            "execution": self.execution,
            "seconds": self.seconds,
            "duplicate": self.duplicate,
        }


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a stream is behind.

    Attributes:
        n_versions: Versions of the spine table that no committed step has read.
        n_rows: Rows of the spine that are not answered, though the spine is complete up to their moment.
        scored_to: Up to which moment everything is answered; None: nothing is.
        complete_to: Up to which moment the spine and every source are complete; None: none of them says.
    """

    n_versions: int
    n_rows: int
    scored_to: datetime | None
    complete_to: datetime | None

    def to_dict(self) -> dict[str, Value]:
        """The lag as plain values."""
        return {
            "n_versions": self.n_versions,
            "n_rows": self.n_rows,
            "scored_to": None if self.scored_to is None else self.scored_to.isoformat(),
            "complete_to": None if self.complete_to is None else self.complete_to.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What became of a model that was played over history.

    Attributes:
        into: The table with its predictions.
        version: The version of that table.
        model: The model version, ``model:late@7``.
        start: The first moment that was answered.
        scored_to: The last moment up to which everything is answered.
        n_rows: Predictions in the table.
        n_steps: Commits that were made by this call; 0 when all had been there.
        metrics: ``auc``, ``log_loss``, ``rate`` and ``n`` where labels were given.
    """

    into: str
    version: int
    model: str
    start: datetime
    scored_to: datetime | None
    n_rows: int
    n_steps: int
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """``table:replay.late_late_7@3``."""
        return f"table:{self.into}@{self.version}"

    def to_dict(self) -> dict[str, Value]:
        """The result as plain values."""
        return {
            "table": self.into,
            "version": self.version,
            "model": self.model,
            "start": self.start.isoformat(),
            "scored_to": None if self.scored_to is None else self.scored_to.isoformat(),
            "n_rows": self.n_rows,
            "n_steps": self.n_steps,
            "metrics": dict(self.metrics),
        }
