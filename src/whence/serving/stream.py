"""Stream scoring: a table is followed, every row answered once, whoever is killed and whoever else follows.

::

    position     what the predictions table says: step n, spine version V, moment M
    versions     of the spine and all sources, resolved once; complete up to M' (the least watermark)
    rows         of the spine up to V', M < moment ≤ M', and those that came late; no key twice
    features     from the fold; of rows behind it from the lake, point in time
    commit       the predictions with step n + 1, V' and M', if the table still stands at n
    record       the execution, closed; it was opened before the commit with all it reads

The commit is the only memory: what is kept besides (rows that wait, the fold, which keys are answered) is
made from the lake. Of two followers one commits step n + 1; the other finds it there, and goes on from it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import pyarrow as pa

from whence._base.clock import Clock, utc
from whence._base.crash import crash_point, register
from whence.errors import ConflictError, IntegrityError, NotFoundError
from whence.features import Features
from whence.features.store import view_artifact
from whence.lake import Commit, Lake, Table, TableVersion, pinning
from whence.metadata import Artifact, Recorder, Recording
from whence.metadata.types import Properties
from whence.registry import Models, ModelVersion
from whence.serving.moving import MakeFold, MovingFeatures, build_fold
from whence.serving.position import Position, instant, micros, read_position
from whence.serving.predictions import fitting, prediction_rows, prediction_schema, told_of
from whence.serving.scored import ScoredKeys, step_key, step_uid
from whence.serving.scorer import Scorer, open_scorer
from whence.serving.spine import Spine, Waiting
from whence.serving.types import Deployment, Lag, StepResult

log = logging.getLogger(__name__)

BEFORE_COMMIT: Final = register(
    "serving.step.before-commit",
    "a step's predictions are computed, its execution is RUNNING, nothing is committed",
)
AFTER_COMMIT: Final = register(
    "serving.step.after-commit",
    "a step's predictions are committed with its number, its execution is still RUNNING",
)
AFTER_RECORD: Final = register(
    "serving.step.recorded", "a step is committed and recorded, the next has not begun"
)

MAX_ROWS: Final = 100_000
SCORERS_KEPT: Final = 4
TRIES: Final = 100
PATIENCE_S: Final = 30.0
"""How long a step waits for another follower that is at the same step."""


@dataclass(frozen=True, slots=True)
class _Versions:
    """What a step reads: one resolution of the spine and all sources."""

    spine: TableVersion
    sources: Mapping[str, TableVersion]

    @property
    def complete_to(self) -> datetime | None:
        """Up to when all of them are complete; what never said so, is complete as it stands."""
        said = [v.watermark for v in (self.spine, *self.sources.values()) if v.watermark is not None]
        return min(said, default=None)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A step, before anything is computed."""

    number: int
    before: Position
    versions: _Versions
    waiting: Waiting
    model: ModelVersion
    began_s: float

    @property
    def after(self) -> Position:
        """Where the stream stands once it is committed."""
        spine = self.versions.spine.version if self.waiting.whole else self.before.spine
        return Position(self.number, spine, self.waiting.moment)


class Follower:
    """Follows a spine table and answers for each of its rows once.

    Use it as a context manager, by one thread; any number of followers, in any processes, may follow one
    deployment beside each other.

    Args:
        deployment: Which model answers for which rows.
        recorder: Where steps are recorded.
        lake: Where the tables are.
        features: Computes what lies behind the fold.
        models: The registry; an alias is looked up at each step.
        clock: The time of ``scored_at``.
        max_rows: How many rows a step answers for at most; rows of one moment are never parted.
        make_fold: Builds the fold.
    """

    def __init__(
        self,
        deployment: Deployment,
        recorder: Recorder,
        lake: Lake,
        features: Features,
        models: Models,
        *,
        clock: Clock,
        max_rows: int = MAX_ROWS,
        make_fold: MakeFold = build_fold,
    ) -> None:
        self.deployment = deployment
        self.n_rows = 0
        self._recorder = recorder
        self._lake = lake
        self._models = models
        self._clock = clock
        self._max_rows = max(1, max_rows)
        self._sink: Table = lake.table(deployment.into)
        self._moving = MovingFeatures(lake, features, deployment.views, make_fold)
        self._scored = ScoredKeys(lake, deployment)
        self._spine = Spine(lake, deployment, room=4 * self._max_rows)
        self._position: Position | None = None
        self._scorers: dict[str, Scorer] = {}
        self._view_nodes: list[Artifact] | None = None
        self._model: Artifact | None = None
        self._definitions = {view.name: view.digest for view in deployment.views}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the rows and models that are kept."""
        self._scorers.clear()

    # --- following

    def step(self, until: datetime | None = None) -> StepResult | None:
        """Answer for everything that can be answered by now, in one commit.

        A row can be answered when the spine and every source are complete up to its moment. Rows that came
        later than the moment their step had reached are answered with the next step.

        Args:
            until: No row with a later moment is answered.

        Returns:
            What was committed; None when there is nothing to do.

        Raises:
            UsageError: A row has no key or moment (``spine-key``, ``null-time``), or the model takes other
                columns (``signature-mismatch``). Nothing has been written.
            IntegrityError: The graph knows the step, the predictions table does not (``step-lost``).

        Records:
            One execution ``score``, named by deployment, epoch and number; inputs are the model version, the
            versions of the spine and the sources, and the views; the output is the version of the
            predictions table.
        """
        for _ in range(TRIES):
            plan = self._plan(None if until is None else utc(until))
            if plan is None:
                return None
            try:
                result = self._carry_out(plan)
            except ConflictError as error:
                if error.code not in ("execution-running", "execution-complete"):
                    raise
                if not self._await(plan, error):
                    return None
                continue
            if result is not None:
                return result
        raise ConflictError(
            f"{TRIES} steps of {self.deployment.ref} in a row were committed by others",
            code="commit-contested",
            hint="let fewer followers share the deployment",
        )

    def run(
        self,
        stop: Callable[[], bool],
        *,
        poll_s: float = 1.0,
        on_step: Callable[[StepResult], object] | None = None,
    ) -> int:
        """Take steps until `stop` says so; it is asked between commits, so that the end is always clean.

        Args:
            stop: Whether to end.
            poll_s: How long to wait when there is nothing to do.
            on_step: Is told of each step.

        Returns:
            How many rows were answered.
        """
        n_rows = 0
        while not stop():
            result = self.step()
            if result is None:
                _wait(stop, poll_s)
                continue
            n_rows += result.n_rows
            if on_step is not None:
                on_step(result)
        return n_rows

    @property
    def lag(self) -> Lag:
        """How far the stream is behind, as of now."""
        position = self._catch_up()
        versions = self._resolve()
        self._spine.move_to(versions.spine, position)
        complete = versions.complete_to
        spine_to = versions.spine.watermark
        waiting = self._spine.count(
            None if spine_to is None else micros(spine_to), position, self._scored, versions.spine
        )
        scored_to = position.scored_to if position.step else None
        return Lag(max(0, versions.spine.version - position.spine), waiting, scored_to, complete)

    # --- planning

    def _plan(self, until: datetime | None) -> _Plan | None:
        """The next step; None when there is nothing to do."""
        began_s = time.perf_counter()
        position = self._catch_up()
        versions = self._resolve()
        self._spine.move_to(versions.spine, position)
        limits = [m for m in (versions.complete_to, until) if m is not None]
        upto = micros(min(limits)) if limits else None
        waiting = self._spine.take(upto, position, self._scored, self._max_rows)
        if waiting is None or not self._worth(waiting, position, versions):
            return None
        model = self._models.get(self.deployment.model)
        return _Plan(position.step + 1, position, versions, waiting, model, began_s)

    def _worth(self, waiting: Waiting, position: Position, versions: _Versions) -> bool:
        """A step without rows is committed only where it spares reading again: the spine has grown."""
        if waiting.rows.num_rows:
            return True
        moved = waiting.moment != position.moment
        return moved and (versions.spine.version > position.spine or waiting.moment == self._spine.horizon)

    def _catch_up(self) -> Position:
        """Where the stream stands; what others have committed since is taken over."""
        position = read_position(self._lake, self.deployment)
        known = self._position
        if known is not None and (known.step, known.moment) == (position.step, position.moment):
            return position
        self._close_step(position)
        self._scored.read(position.step)
        if known is not None:
            self._spine.overtaken(position)
        self._position = position
        return position

    def _close_step(self, position: Position) -> None:
        """The last committed step is done in the graph, even if its recording was cut off or failed."""
        if position.step:
            key = step_key(self.deployment, position.step)
            self._recorder.find_complete("score", key, redeem="TableVersion")

    def _resolve(self) -> _Versions:
        with pinning():
            sources = {name: self._head(name) for name in self._moving.sources}
            return _Versions(self._head(self.deployment.table), sources)

    def _head(self, name: str) -> TableVersion:
        try:
            return self._lake.table(name).head()
        except NotFoundError as error:
            if error.code != "table-not-found":
                raise
            hint = f"{self.deployment.ref} reads it"
            raise NotFoundError("table", name, near=self._lake.list(), hint=hint) from error

    # --- carrying out

    def _carry_out(self, plan: _Plan) -> StepResult | None:
        """Compute and commit; None when another follower was faster."""
        deployment = self.deployment
        self._moving.move_to(plan.versions.sources, plan.before.moment)
        scorer = self._scorer(plan.model)
        rows, n_late = self._compute(plan, scorer)
        rows, added = self._fitted(rows)
        with self._recorder.execution(
            "score",
            key=step_key(deployment, plan.number),
            uid=step_uid(deployment, plan.number),
            params={
                "at": deployment.at,
                "key": list(deployment.key),
                "epoch": deployment.epoch,
                "step": plan.number,
            },
            properties=self._facts(plan, rows.num_rows, n_late),
            inputs=self._inputs(plan),
            expects=[Artifact(type="TableVersion", properties={"table": deployment.into})],
        ) as recording:
            crash_point(BEFORE_COMMIT)
            commit = self._commit(plan, rows)
            crash_point(AFTER_COMMIT)
            recording.set(version=commit.version, n_rows=commit.n_rows)
            if added:
                recording.set(columns_added=added)
        crash_point(AFTER_RECORD)
        return self._taken(plan, commit, recording, n_late)

    def _taken(self, plan: _Plan, commit: Commit, recording: Recording, n_late: int) -> StepResult | None:
        if commit.duplicate:  # somebody who does not share this graph: what was committed is read again
            return None
        after = plan.after
        self._spine.answered(after, whole=plan.waiting.whole)
        self._scored.add_hashes(plan.waiting.hashes)
        self._position = after
        self.n_rows += plan.waiting.rows.num_rows
        return StepResult(
            commit=commit,
            n_rows=plan.waiting.rows.num_rows,
            n_late=n_late,
            scored_to=instant(plan.waiting.moment),
            spine_version=after.spine,
            model=plan.model.ref,
            execution=recording.ref,
            seconds=time.perf_counter() - plan.began_s,
        )

    def _compute(self, plan: _Plan, scorer: Scorer) -> tuple[pa.Table, int]:
        """The predictions, and how many came behind the fold."""
        deployment, spine = self.deployment, plan.waiting.rows
        made, n_late = self._moving.of(spine, plan.waiting.us, deployment.at)
        inputs = scorer.inputs(_beside(spine, made), made.column_names)
        rows = prediction_rows(
            prediction_schema(spine.schema, deployment.key, inputs.schema),
            spine,
            spine.column(deployment.at),
            inputs,
            pa.array(scorer.score(inputs, keys=spine.select([*deployment.key, deployment.at]))),
            model=f"{plan.model.name}@{plan.model.version}",
            model_digest=plan.model.digest,
            definitions=self._definitions,
            sources=_numbers(plan.versions),
            execution=step_uid(deployment, plan.number),
            scored_at=self._clock.now(),
        )
        return rows, n_late

    def _commit(self, plan: _Plan, rows: pa.Table) -> Commit:
        after = plan.after
        watermark, stands = instant(plan.waiting.moment), self._sink.head().watermark
        return self._sink.append(
            rows,
            evolve=True,
            transaction=(self.deployment.application, plan.number),
            progress=after.progress(self.deployment),
            watermark=watermark if stands is None or stands <= watermark else None,
        )

    def _fitted(self, rows: pa.Table) -> tuple[pa.Table, list[str]]:
        """The rows with the columns of the predictions table, and those it has not yet; it is made when absent."""
        if not self._sink.exists:
            self._lake.create(
                self.deployment.into,
                rows.schema,
                key=self.deployment.key,
                event_time="features_at",
                description="predictions, beside their inputs",
            )
        have = self._sink.schema
        fitted = fitting(rows, have, what=self.deployment.into)
        known = set(have.names)
        return fitted, [name for name in fitted.column_names if name not in known]

    def _facts(self, plan: _Plan, n_rows: int, n_late: int) -> Properties:
        return {
            "model": plan.model.ref,
            "model_digest": plan.model.digest,
            "into": self.deployment.into,
            "deployment": self.deployment.name,
            **told_of([self._definitions]),
            "sources": dict(_numbers(plan.versions)),
            "n_rows": n_rows,
            "n_late": n_late,
        }

    def _inputs(self, plan: _Plan) -> list[tuple[Artifact, tuple[str | int, ...]]]:
        if self._view_nodes is None:
            self._view_nodes = [self._recorder.put_artifact(view_artifact(v)) for v in self.deployment.views]
        views = zip(self.deployment.views, self._view_nodes, strict=True)
        return [
            (self._model_node(plan.model), ("model",)),
            (plan.versions.spine.artifact(), ("spine",)),
            *((v.artifact(), ("sources", name)) for name, v in plan.versions.sources.items()),
            *((node, ("views", view.name)) for view, node in views),
        ]

    def _model_node(self, model: ModelVersion) -> Artifact:
        if self._model is None or self._model.uid != model.uid:
            self._model = self._models.artifact(model)
        return self._model

    def _scorer(self, model: ModelVersion) -> Scorer:
        """The model, loaded once per version."""
        found = self._scorers.get(model.digest)
        if found is None or found.version != model:
            found = open_scorer(self._models, model, trust=self.deployment.trust)
            self._scorers = {**dict(list(self._scorers.items())[1 - SCORERS_KEPT :]), model.digest: found}
        return found

    # --- others

    def _await(self, plan: _Plan, error: ConflictError) -> bool:
        """Another follower is at the step, or done with it; whether it has been committed since.

        Raises:
            IntegrityError: The graph says that it is done, the predictions table does not have it.
        """
        deadline = time.monotonic() + PATIENCE_S
        tried = 0
        while read_position(self._lake, self.deployment).step < plan.number:
            if error.code == "execution-complete":
                raise IntegrityError(
                    f"the graph knows step {plan.number} of {self.deployment.ref}, "
                    f"table {self.deployment.into!r} does not have it",
                    code="step-lost",
                    hint="the table was put back or made anew: deploy with a higher epoch and a table of its own",
                    details={"step": plan.number, "table": self.deployment.into},
                )
            if time.monotonic() > deadline or not self._is_running(plan):
                return time.monotonic() <= deadline
            time.sleep(random.uniform(0.001, min(0.005 * 2**tried, 0.1)))  # noqa: S311  # spreads rivals
            tried += 1
        return True

    def _is_running(self, plan: _Plan) -> bool:
        found = self._recorder.store.get_nodes("execution", uids=[step_uid(self.deployment, plan.number)])
        return bool(found) and getattr(found[0], "state", None) == "RUNNING"


def _beside(spine: pa.Table, made: pa.Table) -> pa.Table:
    """The spine's columns and the features; a feature that is a column of the spine is there once."""
    given = set(spine.column_names)
    more = [name for name in made.column_names if name not in given]
    columns = [*spine.columns, *(made.column(name) for name in more)]
    fields = [*spine.schema, *(made.schema.field(name) for name in more)]
    return pa.table(columns, schema=pa.schema(fields, metadata=spine.schema.metadata))


def _numbers(versions: _Versions) -> dict[str, int]:
    return {name: v.version for name, v in sorted(versions.sources.items())}


def _wait(stop: Callable[[], bool], seconds: float) -> None:
    """Wait, unless told to stop."""
    end = time.monotonic() + seconds
    while not stop() and (left := end - time.monotonic()) > 0:
        time.sleep(min(0.05, left))
