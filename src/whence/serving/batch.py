"""Batch scoring: a spine, its features point in time, one commit of predictions, exactly once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from whence._base.arrow import to_arrow
from whence._base.clock import Clock, WallClock, utc
from whence._base.crash import crash_point, register
from whence._base.digest import sha256_bytes
from whence._base.ids import derived_uid
from whence._base.rows import rows_digest
from whence.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    UnsupportedError,
    UsageError,
    WhenceError,
)
from whence.features import AnyView, Features, provenance_of
from whence.lake import Commit, Lake, Table, TableVersion
from whence.metadata.open import declare_types
from whence.metadata.recorder import Recorder
from whence.metadata.types import Artifact, Execution, Properties, Type, Value
from whence.registry import Models, ModelVersion
from whence.serving.checking import RequestCheck
from whence.serving.deployments import Deployments
from whence.serving.lookup import online_lookup
from whence.serving.moving import MakeFold, build_fold
from whence.serving.predictions import (
    ABOUT,
    FEATURES_AT,
    find_prediction,
    fitting,
    prediction_rows,
    prediction_schema,
    told_of,
)
from whence.serving.replay import place, replay, replayed
from whence.serving.request import Answerer
from whence.serving.requesttable import RequestTable, list_left
from whence.serving.scorer import open_scorer
from whence.serving.stream import MAX_ROWS, Follower
from whence.serving.types import Deployment, Prediction, ReplayResult, RequestRule, ScoreResult
from whence.validation import Schema

Spine: TypeAlias = "TableVersion | Table | pa.Table | object"

SCORE_TYPE: Final = Type(
    "execution",
    "score",
    {
        "model": "STRING",
        "model_digest": "STRING",
        "into": "STRING",
        "deployment": "STRING",
        "definitions": "STRUCT",
        "sources": "STRUCT",
        "n_rows": "INT",
        "n_late": "INT",
        "version": "INT",
    },
    description="a spine scored by one model version into a predictions table",
)

POINT_BEFORE = register("serving.before-commit", "between computing predictions and committing them")
POINT_AFTER = register(
    "serving.after-commit", "between the commit of predictions and the graph's record of it"
)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The spine, read: its rows, what names it, and its node in the graph."""

    table: pa.Table
    ref: str
    artifact: Artifact | None


class Scoring:
    """Scores rows with registered models.

    Args:
        recorder: Where executions are recorded.
        lake: Where predictions go.
        features: Gives features as they were known.
        models: The registry.
        clock: The time of ``scored_at``.
        schemas: Gives a kept schema by name, for deployments that hold requests against one.
    """

    def __init__(
        self,
        recorder: Recorder,
        lake: Lake,
        features: Features,
        models: Models,
        *,
        clock: Clock | None = None,
        schemas: Callable[[str], Schema] | None = None,
    ) -> None:
        self._schemas = schemas
        self._recorder = recorder
        self._lake = lake
        self._features = features
        self._models = models
        self._clock = clock or WallClock()
        self._deployments = Deployments(recorder, lake, features, models)
        declare_types(recorder.store, [SCORE_TYPE])

    def score(
        self,
        model: str | ModelVersion,
        spine: Spine,
        *,
        views: Sequence[AnyView],
        at: str,
        into: str,
        key: Sequence[str] | str,
        where: str | None = None,
        batch: str | None = None,
        deployment: str | None = None,
        epoch: int = 0,
        watermark: datetime | None = None,
        trust: Sequence[str] = (),
    ) -> ScoreResult:
        """Score each row of the spine once, into a predictions table.

        The batch has a key: deployment, epoch, and `batch` or the spine's reference with `where`. The commit
        carries it as an app transaction and the execution as its name; a batch that was committed is
        not scored again, whatever was lost after the commit.

        Args:
            model: ``late@champion``, ``late@3``, or a version.
            spine: The rows to answer for: a table version, a table (its newest version) or rows.
            views: Feature views, calendars and given columns, as for `point_in_time`.
            at: The spine's column of the moment the features are taken.
            into: The predictions table; made by the first scoring. A feature that no model took before becomes
                a column of it, null in earlier rows.
            key: The spine's columns that name a row.
            where: Only the rows for which this SQL condition holds.
            batch: Names the batch; the spine's reference and `where` by default.
            deployment: Who answers; the predictions table's name by default.
            epoch: Counts up when history is to be scored anew.
            watermark: Up to when the predictions are complete.
            trust: Model types to trust besides those whence knows.

        Returns:
            The commit, with one prediction for each row; an empty spine commits an empty batch.

        Raises:
            UsageError: A key is null or occurs twice (``spine-key``), or the model takes other columns
                than there are (``signature-mismatch``), or in another type than the table has them
                (``schema-mismatch``). Nothing has been written.
            ConflictError: The batch is being scored by another process (``execution-running``), or a
                source is not complete up to some moment of the spine (``watermark-behind``).

        Records:
            One execution ``score``; inputs are the spine, the model version, the feature views and the
            versions they read; the output is the version of the predictions table.
        """
        version = self._models.get(model) if isinstance(model, str) else model
        keys = [key] if isinstance(key, str) else list(key)
        rows = self._read(spine, where)
        check_keys(rows.table, keys, at)
        deployment = deployment or into
        name = f"{deployment}:{epoch}:{batch if batch is not None else rows.ref}"
        done = self._recorder.find_complete("score", name)
        if done is not None:
            return self._again(done)
        inputs: list[tuple[Artifact, tuple[str | int, ...]]] = [(self._models.artifact(version), ("model",))]
        if rows.artifact is not None:
            inputs.append((rows.artifact, ("spine",)))
        definitions = {view.name: view.digest for view in views}
        facts: Properties = {
            "model": version.ref,
            "model_digest": version.digest,
            "into": into,
            "deployment": deployment,
            **told_of([definitions]),  # before the commit: its rows have only the digest
        }
        params: Properties = {"at": at, "key": list(keys), "where": where, "batch": batch, "epoch": epoch}
        uid = derived_uid("score", name)
        with self._recorder.execution(
            "score", key=name, uid=uid, params=params, properties=facts, inputs=inputs
        ) as recording:
            scored, sources = self._compute(rows, version, views, at, keys, recording.uid, trust)
            crash_point(POINT_BEFORE)
            commit = self._commit(into, scored, keys, name, watermark)
            crash_point(POINT_AFTER)
            recording.set(sources=dict(sources), n_rows=scored.num_rows, version=commit.version)
        return ScoreResult(commit, scored.num_rows, recording.ref, version.ref, commit.duplicate)

    def find(self, ref: str) -> Prediction:
        """The prediction of a reference: ``prediction:late_scores/B6-35-JFK-2013-07-01``.

        Raises:
            NotFoundError: There is no such table or row.
        """
        found = find_prediction(self._lake, ref, graph=self._recorder.store)
        try:
            signature = self._models.get(found.model).signature
        except WhenceError:  # whatever became of the model, its answer is there
            signature = None
        if signature is None:
            return found
        # the table has the columns of every version that answered
        given = {name: found.row[name] for name in signature.names if name in found.row}
        return replace(found, features=given)

    # --- deployments and streams

    def deploy(
        self,
        name: str,
        *,
        model: str,
        table: str,
        views: Sequence[AnyView | str],
        at: str,
        key: Sequence[str] | str,
        into: str,
        epoch: int = 0,
        trust: Sequence[str] = (),
        start: datetime | None = None,
        check: RequestRule | None = None,
    ) -> Deployment:
        """Say which model answers for the rows of a table; the same again is nothing.

        Args:
            name: What it is called.
            model: ``late@champion``: the alias is followed; or a fixed version, ``late@3``.
            table: The spine table; it may still be absent.
            views: Feature views, or names of applied ones, calendars and given columns.
            at: The spine's column of the moment the features are taken.
            key: The spine's columns that name a row.
            into: The predictions table; no other deployment writes into it.
            epoch: Counts up when history is to be scored anew, into another table.
            trust: Model types to trust besides those whence knows.
            start: Rows whose moment is earlier are not answered for.
            check: The schema that rows of requests are held against, and what is done with bad ones.

        Raises:
            NotFoundError: The model, a view or a column of the table is absent.
            UsageError: There is no key (``spine-key``), predictions would go into the spine
                (``deployment-into``), or the moment is no instant (``bad-timestamp``).
            ConflictError: Another deployment writes into the table (``deployment-into``).

        Records:
            One execution ``deploy`` with the deployment as its output; none when it is in force already.
        """
        return self._deployments.deploy(
            name, model=model, table=table, views=views, at=at, key=key, into=into, epoch=epoch, trust=trust,
            start=start, check=check,
        )  # fmt: skip

    def deployment(self, name: str) -> Deployment:
        """The deployment in force under a name.

        Raises:
            NotFoundError: There is none (``deployment-not-found``).
        """
        return self._deployments.get(name)

    def deployments(self) -> list[Deployment]:
        """The deployments in force, by name."""
        return self._deployments.list()

    def follow(
        self,
        deployment: str | Deployment,
        *,
        max_rows: int = MAX_ROWS,
        make_fold: MakeFold = build_fold,
        ahead: bool = True,
    ) -> Follower:
        """Answer for the rows of a deployment's table as they come; use it as a context manager.

        Args:
            deployment: A deployment, or its name.
            max_rows: How many rows a commit holds at most.
            make_fold: Builds the fold the features come from.
            ahead: Whether `Follower.steps` and `Follower.run` compute the next step in a second thread while
                one is committed. Without, they take about a fifth longer where many commits wait, in one thread.

        Raises:
            NotFoundError: There is no such deployment.
        """
        found = self._deployments.get(deployment) if isinstance(deployment, str) else deployment
        return Follower(
            found, self._recorder, self._lake, self._features, self._models,
            clock=self._clock, max_rows=max_rows, make_fold=make_fold, ahead=ahead,
        )  # fmt: skip

    def replay(
        self,
        deployment: str | Deployment,
        model: str | ModelVersion,
        *,
        start: datetime,
        end: datetime | None = None,
        into: str | None = None,
        labels: pa.Table | TableVersion | None = None,
        truth: str = "label",
        max_rows: int = MAX_ROWS,
    ) -> ReplayResult:
        """Play a model over history: what it would have answered, from what was known at each moment.

        The scorer is the deployment's own, into a table of its own, ``replay.<deployment>_<model>_<version>``.
        Repeated, or gone on with after it was cut short, it is the same replay.

        Args:
            deployment: Whose rows, views and key.
            model: The model version that answers.
            start: The first moment.
            end: The first moment that is no more answered; None: up to when everything is complete.
            into: Another table for the predictions.
            labels: Key columns and the truth; then the metrics are computed.
            truth: The column of the truth, true or false.
            max_rows: How many rows a commit holds at most.

        Raises:
            NotFoundError: No row lies in between (``rows-to-replay-not-found``).
            UsageError: `into` holds other rows (``replay-into``).

        Records:
            One execution ``replay``, and one ``score`` for each step.
        """
        version = self._models.get(model) if isinstance(model, str) else model
        found = self._deployments.get(deployment) if isinstance(deployment, str) else deployment
        played = place(self._lake, replayed(found, version, utc(start)), into)
        with self.follow(played, max_rows=max_rows) as follower:
            return replay(self._recorder, self._lake, follower, version, end=end, labels=labels, truth=truth)

    def answerer(
        self,
        deployment: Deployment,
        folder: Path,
        *,
        into: str | None = None,
        follow_s: float = 0.5,
        seal_s: float = 30.0,
        max_waiting: int = 65_536,
    ) -> Answerer:
        """A deployment that answers requests until it is closed; `Answerer` says what the arguments are.

        Records:
            One execution ``answer`` for each segment of its log that is committed.
        """
        return Answerer(
            deployment,
            folder,
            recorder=self._recorder,
            lake=self._lake,
            models=self._models,
            lookup=online_lookup(self._features),
            clock=self._clock,
            into=into,
            follow_s=follow_s,
            seal_s=seal_s,
            max_waiting=max_waiting,
            check=self._request_check(deployment.check),
        )

    def _request_check(self, rule: RequestRule | None) -> RequestCheck | None:
        if rule is None:
            return None
        if self._schemas is None:
            raise UnsupportedError(
                f"schema {rule.schema!r} is out of reach of this room",
                code="no-schemas",
                hint="give schemas=",
            )
        return RequestCheck(rule, self._schemas(rule.schema))

    def settle_requests(
        self,
        folder: Path,
        *,
        salvage: bool = False,
        told: Callable[[str, WhenceError], None] | None = None,
    ) -> int:
        """Commit what servers that died left in their request logs; returns how many segments that were.

        Args:
            folder: Where the logs are: the workspace's ``requests``.
            salvage: Of a damaged segment, commit the answers that are whole, and set its file aside; the others in
                it are then lost.
            told: Called with each deployment whose log cannot be settled, and why.

        Raises:
            IntegrityError: A segment is damaged (``request-log-damaged``), and there is no `told`. What is whole has
                been committed; the damaged segment, and what its shard has behind it, stays as it is.

        Records:
            One execution ``answer`` for each segment.
        """
        table = RequestTable(self._recorder, self._lake)
        n, first = 0, None
        for deployment in list_left(folder):
            try:
                n += table.settle(folder, deployment, salvage=salvage)
            except WhenceError as error:
                first = first or error
                if told is not None:
                    told(deployment, error)
        if first is not None and told is None:
            raise first
        return n

    # the parts

    def _read(self, spine: Spine, where: str | None) -> _Rows:
        mark = "" if where is None else "?" + sha256_bytes(where.encode())[7:23]
        if isinstance(spine, Table):
            spine = spine.head()
        if isinstance(spine, TableVersion):
            return _Rows(spine.arrow(where=where), spine.ref + mark, spine.artifact())
        if where is not None:
            raise UsageError(
                "where selects rows of a table; these rows are given by hand",
                code="where-without-table",
                hint="filter them",
            )
        table = to_arrow(spine)
        return _Rows(table, f"rows:{rows_digest(table).text}", None)

    def _compute(
        self,
        rows: _Rows,
        version: ModelVersion,
        views: Sequence[AnyView],
        at: str,
        keys: Sequence[str],
        execution: str,
        trust: Sequence[str],
    ) -> tuple[pa.Table, Mapping[str, int]]:
        """The rows to commit, and the versions the features were read from."""
        scorer = open_scorer(self._models, version, trust=trust)
        joined = self._features.point_in_time(rows.table, views, at=at, complete=True)
        made = [c for view in views for c in view.outputs]
        inputs = scorer.inputs(joined, made)
        about = provenance_of(joined) or {}
        sources: dict[str, int] = about.get("sources", {})
        schema = prediction_schema(rows.table.schema, keys, inputs.schema)
        scored = prediction_rows(
            schema,
            rows.table,
            rows.table.column(at),
            inputs,
            pa.array(scorer.score(inputs, keys=rows.table.select(list(keys)))),
            model=f"{version.name}@{version.version}",
            model_digest=version.digest,
            definitions={view.name: view.digest for view in views},
            sources=sources,
            execution=execution,
            scored_at=self._clock.now(),
        )
        if scored.num_rows != rows.table.num_rows:
            raise IntegrityError(
                f"{rows.table.num_rows} rows asked, {scored.num_rows} answered", code="rows-lost"
            )
        return scored, sources

    def _commit(
        self, into: str, rows: pa.Table, keys: Sequence[str], name: str, watermark: datetime | None
    ) -> Commit:
        handle = self._lake.table(into)
        if not handle.exists:
            try:
                handle = self._lake.create(
                    into,
                    rows.schema,
                    key=keys,
                    event_time="features_at",
                    description="predictions, beside their inputs",
                )
            except ConflictError:  # another scorer was faster
                handle = self._lake.table(into)
        evolve = self._is_predictions(handle, keys)
        if evolve:
            rows = fitting(rows, handle.schema, what=into)
        return handle.append(rows, evolve=evolve, transaction=(f"score/{name}", 1), watermark=watermark)

    def _is_predictions(self, table: Table, keys: Sequence[str]) -> bool:
        """Whether a table holds predictions of such keys: then a model with other features may go on with it."""
        return table.declaration.key == tuple(keys) and {FEATURES_AT, *ABOUT.names}.issubset(
            table.schema.names
        )

    def _again(self, done: Execution) -> ScoreResult:
        """The result of a batch that was scored before."""
        into = str(done.get("into"))
        version = _int(done.get("version"))
        n_rows = _int(done.get("n_rows"))
        handle = self._lake.table(into)
        if not handle.exists:
            raise NotFoundError("table", into, hint=f"execution:{done.uid} had scored into it")
        commit = Commit(into, version, done.uid, n_rows, duplicate=True)
        return ScoreResult(commit, n_rows, f"execution:{done.uid}", str(done.get("model")), duplicate=True)


def check_keys(spine: pa.Table, keys: Sequence[str], at: str) -> None:
    """Refuse a spine whose rows cannot be told apart.

    Raises:
        NotFoundError: A column is absent.
        UsageError: There is no key (``spine-key``), or one is null or occurs twice; examples are given.

    Example:
        >>> check_keys(pa.table({"id": [1, 1], "at": [0, 0]}), ["id"], "at")
        Traceback (most recent call last):
        ...
        whence.errors.UsageError: 1 key occurs more than once in the spine: id=1 (spine-key)...
    """
    if not keys:
        raise UsageError(
            "predictions need a key", code="spine-key", hint="name the columns that tell rows apart"
        )
    for name in (*keys, at):
        if name not in spine.column_names:
            raise NotFoundError("column", name, near=spine.column_names, hint="the spine has no such column")
    for name in keys:
        nulls = spine.column(name).null_count
        if nulls:
            raise UsageError(f"key column {name!r} is null in {nulls} rows of the spine", code="spine-key")
    counts = spine.select(list(keys)).group_by(list(keys), use_threads=False).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts["count_all"], 1))
    if twice.num_rows:
        examples = [", ".join(f"{k}={row[k]}" for k in keys) for row in twice.slice(0, 3).to_pylist()]
        raise UsageError(
            f"{twice.num_rows} key{' occurs' if twice.num_rows == 1 else 's occur'} more than once in the spine: "
            + "; ".join(examples),
            code="spine-key",
            hint="one prediction is made for each key",
            details={"n_keys": twice.num_rows, "examples": examples},
        )


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0
