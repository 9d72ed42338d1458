"""Runs of pipelines by their triggers: each moment once, whoever looks, however often it is killed.

What has been answered is read from the graph and nowhere else: an execution ``scheduled`` for each moment,
named ``pipeline/key``, with its evidence. It is RUNNING before the first step, COMPLETE after the last; one
that failed or died is gone on with under its key. Who decides holds the pipeline's lock while deciding and
running, so of two schedulers one runs and the other finds nothing due.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from whence._base.clock import utc
from whence._base.crash import crash_point, register
from whence.errors import ConflictError, UnsupportedError, UsageError, WhenceError
from whence.metadata.marks import mark_to_dict
from whence.metadata.open import declare_types
from whence.metadata.types import Artifact, Context, Execution, Mark, Type, Value
from whence.pipelines.base import Rooms
from whence.pipelines.exclusive import exclusive
from whence.pipelines.pipeline import Pipeline
from whence.pipelines.runner import Runnable, Runner, as_pipeline
from whence.pipelines.triggers import AlertLike, AlertSource, Every, OnAlert, OnTaint, TaintSource
from whence.pipelines.types import PipelineRun

log = logging.getLogger(__name__)

SCHEDULED: Final = Type(
    "execution",
    "scheduled",
    {
        "pipeline": "STRING",
        "run": "STRING",
        "trigger": "STRING",
        "moment": "STRING",
        "evidence": "STRUCT",
        "outputs": "STRUCT",
    },
    description="a run of a pipeline that its triggers called for, with the evidence",
)

POINT_CLAIMED = register("pipelines.schedule.claimed", "a due moment is noted, its run has not begun")
POINT_RAN = register(
    "pipelines.schedule.ran", "every step of a due run is complete, the moment is not answered"
)

_ELSEWHERE: Final = frozenset({"schedule-busy", "run-in-progress", "execution-running", "execution-complete"})
"""Somebody else is at it: nothing to do here."""
_STEP_S: Final = 0.2

Alerts: TypeAlias = Callable[[], AlertSource]
Taints: TypeAlias = Callable[[], TaintSource]


@dataclass(frozen=True, slots=True)
class Due:
    """A moment at which a pipeline is to run.

    Attributes:
        pipeline: Its name.
        trigger: The triggers that call for it, joined by ``+``.
        moment: When; the pipeline's parameter ``moment`` gets it.
        key: The run's key: triggers and moment.
        evidence: For each trigger its own moment, and the periods missed or the alerts it answers.
        resumed: Whether it has begun before and is to go on.
    """

    pipeline: str
    trigger: str
    moment: datetime
    key: str
    evidence: tuple[Mapping[str, Value], ...]
    resumed: bool = False

    def to_dict(self) -> dict[str, Value]:
        """The due moment as plain values, for ``--json``."""
        return {
            "pipeline": self.pipeline,
            "trigger": self.trigger,
            "moment": self.moment.isoformat(),
            "key": self.key,
            "evidence": [dict(e) for e in self.evidence],
            "resumed": self.resumed,
        }

    @property
    def alerts(self) -> tuple[str, ...]:
        """The uids of the alerts it answers."""
        found = [e.get("alerts") for e in self.evidence]
        lists = [f for f in found if isinstance(f, Sequence) and not isinstance(f, str | bytes)]
        return tuple(str(a["uid"]) for alerts in lists for a in alerts if isinstance(a, Mapping))


@dataclass(frozen=True, slots=True)
class _Past:
    """What a pipeline's schedule has done: the newest moment, the newest that was answered."""

    newest: Execution | None
    answered: Due | None

    @property
    def moment(self) -> datetime | None:
        return None if self.answered is None else self.answered.moment


class Scheduler:
    """Finds and runs what is due.

    Args:
        rooms: The workspace.
        runner: Runs pipelines.
        alerts: Gives the source of alerts when a trigger asks; None when there is none.
        taints: Gives the source of marks when a trigger asks; None when there is none.
    """

    def __init__(
        self, rooms: Rooms, runner: Runner, alerts: Alerts | None = None, taints: Taints | None = None
    ) -> None:
        self._rooms = rooms
        self._store = rooms.recorder.store
        self._runner = runner
        self._alerts = alerts
        self._taints = taints

    def due(self, pipelines: Sequence[Runnable], *, now: datetime | None = None) -> list[Due]:
        """What is due, in the order of the pipelines; nothing is run or written.

        Args:
            pipelines: Pipelines with triggers.
            now: Looked at from this moment; the clock's by default.

        Raises:
            UsageError: One of them has no trigger (``no-trigger``).
            UnsupportedError: A trigger waits for alerts or marks and nothing gives any (``no-alerts``, ``no-marks``).
        """
        moment = self._now(now)
        found = (self._due(pipeline, moment) for pipeline in _triggered(pipelines))
        return [due for due in found if due is not None]

    def tick(
        self, pipelines: Sequence[Runnable], *, now: datetime | None = None, **params: Any
    ) -> list[PipelineRun]:
        """Run what is due, each moment once; what began and did not end goes on first.

        Periods that were missed collapse into the newest. Triggers that are due together give one run with
        the evidence of each. A pipeline that another scheduler is at is left to it.

        Args:
            pipelines: Pipelines with triggers.
            now: Looked at from this moment; the clock's by default.
            params: Given to those pipelines that take them; a pipeline's parameter ``moment`` gets the due
                moment.

        Raises:
            UsageError: No pipeline takes a param (``schedule-params``), or one has no trigger.
            WhenceError: A run has failed; all pipelines were tried, and this is the first error.

        Records:
            One execution ``scheduled`` for each moment, around the steps of its run, reading the alerts it
            answers.
        """
        moment = self._now(now)
        wholes = _triggered(pipelines)
        _check_params(wholes, params)
        runs: list[PipelineRun] = []
        errors: list[Exception] = []
        for pipeline in wholes:
            try:
                runs.extend(self._tick(pipeline, moment, params))
            except Exception as error:  # noqa: BLE001  # one pipeline's failure does not keep the others
                if not _is_elsewhere(error):
                    errors.append(error)
                    log.warning("run failed", extra={"pipeline": pipeline.name, "error": str(error)})
        if errors:
            raise errors[0]
        return runs

    def schedule(
        self,
        pipelines: Sequence[Runnable],
        *,
        stop: Callable[[], bool],
        poll_s: float = 60.0,
        on_run: Callable[[PipelineRun], None] | None = None,
        **params: Any,
    ) -> int:
        """Tick until `stop` says so; gives the number of runs.

        A run that fails is logged and gone on with at the next tick, until a newer moment takes its place.

        Args:
            pipelines: Pipelines with triggers.
            stop: Asked between runs and while waiting; a run that has begun is finished.
            poll_s: How long to wait between two looks, in wall time.
            on_run: Told of each run.
            params: As for `tick`.
        """
        _check_params(_triggered(pipelines), params)
        n = 0
        while True:
            try:
                done = self.tick(pipelines, **params)
            except (UsageError, UnsupportedError):
                raise
            except Exception:
                log.exception("a scheduled run failed")
                done = []
            for run in done:
                n += 1
                if on_run is not None:
                    on_run(run)
            if _stopped(stop, poll_s):
                return n

    # one pipeline

    def _tick(
        self, pipeline: Pipeline[..., Any], now: datetime, params: Mapping[str, Any]
    ) -> Iterator[PipelineRun]:
        busy = ConflictError(
            f"another scheduler is at pipeline {pipeline.name!r}",
            code="schedule-busy",
            hint="leave it to that one",
        )
        with exclusive(self._rooms, pipeline.name, "schedule", busy):
            while (due := self._due(pipeline, now)) is not None:
                yield self._run(pipeline, due, params)

    def _run(self, pipeline: Pipeline[..., Any], due: Due, params: Mapping[str, Any]) -> PipelineRun:
        taken = inspect.signature(pipeline.function).parameters
        given = {name: value for name, value in params.items() if name in taken}
        if "moment" in taken:
            given.setdefault("moment", due.moment)
        facts = due.to_dict()
        facts["run"] = facts.pop("key")
        del facts["resumed"]
        with self._rooms.recorder.execution(
            "scheduled",
            key=f"{due.pipeline}/{due.key}",
            properties=facts,
            inputs=[(node, ("alert",)) for node in self._nodes(due.alerts)],
            contexts=[Context(type="Pipeline", name=due.pipeline), *_contexts(due)],
        ) as recording:
            crash_point(POINT_CLAIMED)
            run = self._runner.run(pipeline, key=due.key, **given)
            recording.set(outputs={call: list(refs) for call, refs in run.outputs.items()})
            crash_point(POINT_RAN)
        return run

    def _nodes(self, uids: Sequence[str]) -> list[Artifact]:
        """The alerts that are artifacts of the graph."""
        found = self._store.get_nodes("artifact", uids=list(uids)) if uids else []
        return [n for n in found if isinstance(n, Artifact)]

    def _due(self, pipeline: Pipeline[..., Any], now: datetime) -> Due | None:
        past = self._past(pipeline.name)
        found = self._computed(pipeline, past, now)
        if past.newest is None or past.newest.state == "COMPLETE":
            return found
        begun = _due_of(past.newest, resumed=True)
        # What has failed is tried again until something newer is due; that run does its work too.
        failed = past.newest.state == "FAILED" and past.newest.get("recovered") is None
        return found if failed and found is not None and found.moment > begun.moment else begun

    def _computed(self, pipeline: Pipeline[..., Any], past: _Past, now: datetime) -> Due | None:
        calling: list[tuple[str, datetime, dict[str, Value]]] = []
        waiting: list[dict[str, Value]] = []
        for trigger in pipeline.triggers:
            if isinstance(trigger, Every):
                last = self._last(pipeline.name, trigger.name)
                moment = trigger.latest(last, now)
                if moment is not None:
                    calling.append((trigger.name, moment, {"missed": trigger.missed(last, moment)}))
                continue
            if isinstance(trigger, OnTaint):
                marks = self._marks(pipeline.name, trigger)
                moment = trigger.moment(marks, past.moment, now)
                told: dict[str, Value] = {"marks": [mark_to_dict(m) for m in marks]}
                if moment is not None:
                    calling.append((trigger.name, moment, told))
                elif marks:
                    waiting.append({"trigger": trigger.name, "waiting": True, **told})
                continue
            pending = self._pending(trigger, past, now)
            moment = trigger.moment(pending, past.moment, now)
            alerts: dict[str, Value] = {"alerts": [_alert_facts(a) for a in pending]}
            if moment is not None:
                calling.append((trigger.name, moment, alerts))
            elif pending:
                waiting.append({"trigger": trigger.name, "waiting": True, **alerts})
        if not calling:
            return None
        names = "+".join(dict.fromkeys(name for name, _, _ in calling))
        moment = max(m for _, m, _ in calling)
        evidence = [{"trigger": name, "moment": m.isoformat(), **more} for name, m, more in calling]
        key = f"{names}@{moment_text(moment)}"
        newest = max((n for e in evidence for n in _marks_of(e)), default=None)
        if newest is not None:
            key += f"#{newest}"  # of two marks at one moment of a replay each has its run
        return Due(pipeline.name, names, moment, key, (*evidence, *waiting))

    def _pending(self, trigger: OnAlert, past: _Past, now: datetime) -> list[AlertLike]:
        if self._alerts is None:
            raise UnsupportedError(
                f"trigger {trigger.name!r} waits for alerts, and nothing here gives any",
                code="no-alerts",
                hint="schedule it in a workspace that monitors",
            )
        alerts = self._alerts().alerts(trigger.monitor, since=past.moment)
        uids = frozenset(past.answered.alerts) if past.answered is not None else frozenset[str]()
        return trigger.pending(alerts, past.moment, uids, now)

    def _marks(self, pipeline: str, trigger: OnTaint) -> Sequence[Mark]:
        """The marks that no run of this trigger has answered."""
        if self._taints is None:
            raise UnsupportedError(
                f"trigger {trigger.name!r} waits for marks, and nothing here gives any",
                code="no-marks",
                hint="schedule it in a workspace",
            )
        return self._taints().taints(trigger.of, since=self._last_mark(pipeline, trigger.name))

    # what the graph says

    def _last_mark(self, pipeline: str, trigger: str) -> int:
        """The newest mark that a run of this trigger has answered."""
        done = self._newest("Trigger", f"{pipeline}/{trigger}", "COMPLETE")
        if done is None:
            return 0
        return max(
            (n for e in _due_of(done).evidence if e.get("trigger") == trigger for n in _marks_of(e)),
            default=0,
        )

    def _past(self, pipeline: str) -> _Past:
        declare_types(self._store, (SCHEDULED,))
        newest = self._newest("Pipeline", pipeline)
        done = (
            newest
            if newest is None or newest.state == "COMPLETE"
            else self._newest("Pipeline", pipeline, "COMPLETE")
        )
        return _Past(newest, None if done is None else _due_of(done))

    def _last(self, pipeline: str, trigger: str) -> datetime | None:
        """The last moment of one trigger that was answered."""
        done = self._newest("Trigger", f"{pipeline}/{trigger}", "COMPLETE")
        if done is None:
            return None
        moments = [e["moment"] for e in _due_of(done).evidence if e.get("trigger") == trigger]
        return max((utc(datetime.fromisoformat(str(m))) for m in moments), default=None)

    def _newest(self, type_: str, name: str, state: str | None = None) -> Execution | None:
        contexts = self._store.find_nodes("context", type_=type_, name=name, limit=1).nodes
        if not contexts:
            return None
        page = self._store.find_nodes(
            "execution", type_="scheduled", context=contexts[0].uid, state=state, descending=True, limit=1
        )
        return next((n for n in page.nodes if isinstance(n, Execution)), None)

    def _now(self, now: datetime | None) -> datetime:
        return utc(now if now is not None else self._rooms.clock.now())


def moment_text(moment: datetime) -> str:
    """A moment as it stands in keys.

    Example:
        >>> moment_text(datetime(2013, 5, 1, tzinfo=UTC))
        '2013-05-01T00:00:00Z'
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _triggered(pipelines: Sequence[Runnable]) -> list[Pipeline[..., Any]]:
    wholes = [as_pipeline(p) for p in pipelines]
    for whole in wholes:
        if not whole.triggers:
            raise UsageError(
                f"pipeline {whole.name!r} has no trigger, so it is never due",
                code="no-trigger",
                hint='@w.pipeline(triggers=[w.every("30d")])',
            )
    return wholes


def _check_params(pipelines: Sequence[Pipeline[..., Any]], params: Mapping[str, object]) -> None:
    taken = {name for p in pipelines for name in inspect.signature(p.function).parameters}
    unknown = sorted(set(params) - taken)
    if unknown:
        raise UsageError(
            f"no pipeline of the schedule takes {', '.join(map(repr, unknown))}",
            code="schedule-params",
            hint="params: " + (", ".join(sorted(taken)) or "none"),
        )


def _contexts(due: Due) -> list[Context]:
    """One for each trigger that called; what only waits is answered, but its clock does not start anew.

    Marks that wait are looked for by their trigger, so its context has the run too.
    """
    names = [str(e["trigger"]) for e in due.evidence if "moment" in e or "marks" in e]
    return [Context(type="Trigger", name=f"{due.pipeline}/{name}") for name in dict.fromkeys(names)]


def _due_of(execution: Execution, *, resumed: bool = False) -> Due:
    stored = execution.get("evidence")
    evidence = stored if isinstance(stored, Sequence) and not isinstance(stored, str | bytes) else ()
    return Due(
        pipeline=str(execution.get("pipeline")),
        trigger=str(execution.get("trigger")),
        moment=utc(datetime.fromisoformat(str(execution.get("moment")))),
        key=str(execution.get("run")),
        evidence=tuple(e for e in evidence if isinstance(e, Mapping)),
        resumed=resumed,
    )


def _marks_of(evidence: Mapping[str, Value]) -> list[int]:
    """The numbers of the marks that one trigger's evidence names."""
    told = evidence.get("marks")
    marks = told if isinstance(told, Sequence) and not isinstance(told, str | bytes) else ()
    return [n for m in marks if isinstance(m, Mapping) and isinstance(n := m.get("mark"), int)]


def _alert_facts(alert: AlertLike) -> dict[str, Value]:
    return {**alert.to_dict(), "uid": alert.uid, "known_at": utc(alert.known_at).isoformat()}


def _is_elsewhere(error: Exception) -> bool:
    return isinstance(error, WhenceError) and error.code in _ELSEWHERE


def _stopped(stop: Callable[[], bool], poll_s: float) -> bool:
    """Wait for the next look; True as soon as it is to stop."""
    until = time.monotonic() + poll_s
    while not stop():
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, _STEP_S))
    return True


__all__ = ["Alerts", "Due", "Scheduler", "Taints", "moment_text"]
