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

While a step is committed and recorded, `Follower.steps` has the next one computed in a second thread, as if it
were committed already::

    thread 1     … │ rows, features, predictions n + 1 │ commit, record n + 1              │ commit, record n + 2 …
    thread 2                                           │ rows, features, predictions n + 2 │ rows, features …

What was made ahead is used if it is what would be made now: the table stands at n + 1, by this follower, spine
and sources at the versions that were read, the alias at the same model. Else it is forgotten: it was made on copies, and the
fold was looked at, not moved. What is forgotten has been waited for, so after one the next 1, 2, 4 … steps are
made without.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import pyarrow as pa

from whence._base.clock import Clock, utc
from whence._base.crash import crash_point, register
from whence.errors import ConflictError, IntegrityError, NotFoundError
from whence.features import Features
from whence.features.store import view_artifact
from whence.lake import Commit, Digested, Lake, Table, TableVersion, pinning
from whence.metadata import Artifact, Recorder, Recording
from whence.metadata.types import Properties
from whence.registry import Models, ModelVersion
from whence.serving.ahead import Ahead, Pace
from whence.serving.moving import Looked, MakeFold, MovingFeatures, build_fold
from whence.serving.planned import Found, Made, Plan, Standing, Versions, planned, worth
from whence.serving.position import Position, instant, micros, read_position
from whence.serving.predictions import fitting, prediction_rows, prediction_schema, told_of
from whence.serving.scored import ScoredKeys, step_key, step_uid
from whence.serving.scorer import Scorer, open_scorer
from whence.serving.spine import Spine
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
AHEAD: Final = register(
    "serving.step.ahead", "the next step is computed, the one before it may not be committed yet"
)

MAX_ROWS: Final = 100_000
ROOM = 65_536
"""Rows of the spine that are read at once, at least; to look for the next ones costs as much as some steps."""
SCORERS_KEPT: Final = 4
TRIES: Final = 100
PATIENCE_S: Final = 30.0
"""How long a step waits for another follower that is at the same step."""


@dataclass(slots=True)
class _Begun:
    """The step after `plan` is being computed; `holds` once `plan` is committed."""

    plan: Plan
    work: Ahead[Found]
    holds: bool = False


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
        ahead: Whether `steps` and `run` compute the next step, in a second thread, while one is committed.
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
        ahead: bool = True,
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
        self._ahead = ahead
        self._pace = Pace()
        self._begun: _Begun | None = None
        self._found: Found | None = None
        self._standing: Standing | None = None
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
        """Give back the models that are kept; what is being done ahead ends before."""
        self._drain()
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
        return self._step(until, ahead=False)

    def steps(self, until: datetime | None = None) -> Iterator[StepResult]:
        """Take steps until there is nothing left to do; each works ahead for the next.

        Args:
            until: As in `step`.

        Yields:
            Each step once it is committed and recorded. It is one that `step` would have taken, too.

        Raises:
            WhenceError: As `step`; what was found ahead of a step that fails is forgotten.
        """
        try:
            while (result := self._step(until, ahead=self._ahead)) is not None:
                yield result
        finally:
            self._drain()

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
        try:
            while not stop():
                result = self._step(None, ahead=self._ahead)
                if result is None:
                    _wait(stop, poll_s)
                    continue
                n_rows += result.n_rows
                if on_step is not None:
                    on_step(result)
        finally:
            self._drain()
        return n_rows

    def _step(self, until: datetime | None, *, ahead: bool) -> StepResult | None:
        limit = None if until is None else utc(until)
        for _ in range(TRIES):
            plan = self._plan(limit)
            if plan is None:
                return None
            try:
                result = self._carry_out(plan, until=limit, ahead=ahead)
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

    @property
    def lag(self) -> Lag:
        """How far the stream is behind, as of now."""
        position = read_position(self._lake, self.deployment)
        standing = self._catch_up(position)
        versions = self._resolve()
        standing.spine.move_to(versions.spine, position)
        complete = versions.complete_to
        spine_to = versions.spine.watermark
        waiting = standing.spine.count(
            None if spine_to is None else micros(spine_to), position, standing.scored, versions.spine
        )
        scored_to = position.scored_to if position.step else None
        return Lag(max(0, versions.spine.version - position.spine), waiting, scored_to, complete)

    # --- planning

    def _plan(self, until: datetime | None) -> Plan | None:
        """The next step; None when there is nothing to do."""
        began_s = time.perf_counter()
        # asked while the work ahead goes on; the versions after it, so that they are none before its own
        model = None if self._begun is None else self._models.get(self.deployment.model)
        standing = self._catch_up(read_position(self._lake, self.deployment))
        versions = self._resolve()
        ahead, self._found = self._found, None
        same = ahead is not None and (ahead.until, ahead.versions) == (until, versions)
        if ahead is not None:
            self._pace.tell(used=same)
        found = ahead if ahead is not None and same else self._find(standing, versions, until)
        if found.waiting is None:
            return None
        model = self._models.get(self.deployment.model) if model is None else model
        return planned(found, found.waiting, model, began_s)

    def _find(self, standing: Standing, versions: Versions, until: datetime | None) -> Found:
        """The rows of the next step."""
        position, spine = standing.position, standing.spine
        spine.move_to(versions.spine, position)
        limits = [m for m in (versions.complete_to, until) if m is not None]
        upto = micros(min(limits)) if limits else None
        waiting = spine.take(upto, position, standing.scored, self._max_rows)
        if waiting is None or not worth(waiting, standing, versions):
            return Found(standing, until, versions, None, more=False)
        more = not waiting.whole or (
            spine.reaches_beyond(waiting.moment) if upto is None else waiting.moment < upto
        )
        return Found(standing, until, versions, waiting, more)

    def _catch_up(self, position: Position) -> Standing:
        """What is known where the stream stands; what others have committed since is taken over."""
        self._settle()
        known = self._standing
        if known is not None and (known.position.step, known.position.moment) == (
            position.step,
            position.moment,
        ):
            return known
        if self._found is not None:
            self._pace.tell(used=False)
            self._found = None
        self._close_step(position)
        scored = ScoredKeys(self._lake, self.deployment)
        scored.read(position.step)
        if known is None:
            spine = Spine(self._lake, self.deployment, room=max(ROOM, 4 * self._max_rows))
        else:
            spine = known.spine
            spine.overtaken(position)
        self._standing = Standing(position, spine, scored)
        return self._standing

    def _close_step(self, position: Position) -> None:
        """The last committed step is done in the graph, even if its recording was cut off or failed."""
        if position.step:
            key = step_key(self.deployment, position.step)
            self._recorder.find_complete("score", key, redeem="TableVersion")

    def _resolve(self) -> Versions:
        with pinning():
            sources = {name: self._head(name) for name in self._moving.sources}
            return Versions(self._head(self.deployment.table), sources)

    def _head(self, name: str) -> TableVersion:
        try:
            return self._lake.table(name).head()
        except NotFoundError as error:
            if error.code != "table-not-found":
                raise
            hint = f"{self.deployment.ref} reads it"
            raise NotFoundError("table", name, near=self._lake.list(), hint=hint) from error

    # --- carrying out

    def _carry_out(
        self, plan: Plan, *, until: datetime | None = None, ahead: bool = False
    ) -> StepResult | None:
        """Compute and commit; None when another follower was faster."""
        deployment = self.deployment
        made = self._made(plan)
        if not (ahead and plan.more and self._pace.worth() and self._begin(plan, made.looked, until)):
            self._moving.take(made.looked)
        rows, added = self._fitted(made.rows.rows)
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
            properties=self._facts(plan, rows.num_rows, made.looked.n_late),
            inputs=self._inputs(plan),
            expects=[Artifact(type="TableVersion", properties={"table": deployment.into})],
        ) as recording:
            crash_point(BEFORE_COMMIT)
            commit = self._commit(plan, Digested(rows, made.rows.total))
            crash_point(AFTER_COMMIT)
            recording.set(version=commit.version, n_rows=commit.n_rows)
            if added:
                recording.set(columns_added=added)
        crash_point(AFTER_RECORD)
        return self._taken(plan, commit, recording, made.looked.n_late)

    def _taken(self, plan: Plan, commit: Commit, recording: Recording, n_late: int) -> StepResult | None:
        if commit.duplicate:  # somebody who does not share this graph: what was committed is read again
            return None
        if self._begun is not None:
            self._begun.holds = True
        else:
            assert self._standing is not None
            self._standing = self._standing.after(plan)
        self.n_rows += plan.waiting.rows.num_rows
        return StepResult(
            commit=commit,
            n_rows=plan.waiting.rows.num_rows,
            n_late=n_late,
            scored_to=instant(plan.waiting.moment),
            spine_version=plan.after.spine,
            model=plan.model.ref,
            execution=recording.ref,
            seconds=time.perf_counter() - plan.began_s,
        )

    def _made(self, plan: Plan) -> Made:
        """Features and predictions of a step; the fold is not moved."""
        made = plan.made
        if made is not None and made.model == plan.model:
            return made
        if made is not None:  # the champion has changed, the features have not
            return self._predict(plan, made.looked)
        self._moving.move_to(plan.versions.sources, plan.before.moment)
        return self._predict(plan, self._moving.look(plan.waiting.rows, plan.waiting.us, self.deployment.at))

    def _predict(self, plan: Plan, looked: Looked) -> Made:
        deployment, spine, made = self.deployment, plan.waiting.rows, looked.features
        scorer = self._scorer(plan.model)
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
        return Made(looked, plan.model, Digested.of(rows))

    def _commit(self, plan: Plan, rows: Digested) -> Commit:
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

    def _facts(self, plan: Plan, n_rows: int, n_late: int) -> Properties:
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

    def _inputs(self, plan: Plan) -> list[tuple[Artifact, tuple[str | int, ...]]]:
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

    # --- ahead

    def _begin(self, plan: Plan, looked: Looked, until: datetime | None) -> bool:
        """Compute the step after this one, in a thread of its own; whether there is one."""
        standing = self._standing
        assert standing is not None
        work = Ahead(lambda: self._find_ahead(standing, plan, looked, until))
        self._begun = _Begun(plan, work)  # before it begins: whatever interrupts us, it is waited for
        if not work.begin():
            self._begun = None
        return self._begun is not None

    def _find_ahead(self, standing: Standing, plan: Plan, looked: Looked, until: datetime | None) -> Found:
        """The rows and predictions of the step after one, as if that one were committed."""
        self._moving.take(looked)
        found = self._find(standing.after(plan), self._resolve(), until)
        if found.waiting is not None:
            # whether the alias has moved is asked when the step's turn has come
            following = planned(found, found.waiting, plan.model, time.perf_counter())
            self._moving.move_to(found.versions.sources, following.before.moment)
            # what lies behind the fold is computed point in time, once it is sure to be needed
            if not self._moving.behind(found.waiting.us).any():
                found = replace(found, made=self._made(following))
        crash_point(AHEAD)
        return found

    def _settle(self) -> None:
        """What is done ahead is waited for; if the step before it was committed, its standing is ours."""
        begun = self._begun
        if begun is None:
            return
        found = begun.work.end()
        self._begun = None
        if not begun.holds:
            return
        assert self._standing is not None
        self._standing = self._standing.after(begun.plan) if found is None else found.standing
        self._found = found

    def _drain(self) -> None:
        """Nothing is done ahead any more."""
        self._settle()
        self._found = None

    # --- others

    def _await(self, plan: Plan, error: ConflictError) -> bool:
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

    def _is_running(self, plan: Plan) -> bool:
        found = self._recorder.store.get_nodes("execution", uids=[step_uid(self.deployment, plan.number)])
        return bool(found) and getattr(found[0], "state", None) == "RUNNING"


def _beside(spine: pa.Table, made: pa.Table) -> pa.Table:
    """The spine's columns and the features; a feature that is a column of the spine is there once."""
    given = set(spine.column_names)
    more = [name for name in made.column_names if name not in given]
    columns = [*spine.columns, *(made.column(name) for name in more)]
    fields = [*spine.schema, *(made.schema.field(name) for name in more)]
    return pa.table(columns, schema=pa.schema(fields, metadata=spine.schema.metadata))


def _numbers(versions: Versions) -> dict[str, int]:
    return {name: v.version for name, v in sorted(versions.sources.items())}


def _wait(stop: Callable[[], bool], seconds: float) -> None:
    """Wait, unless told to stop."""
    end = time.monotonic() + seconds
    while not stop() and (left := end - time.monotonic()) > 0:
        time.sleep(min(0.05, left))
