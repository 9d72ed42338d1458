"""The room as the workspace hands it out: `ws.pipelines`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from whence.lake import TableVersion
from whence.pipelines.base import Rooms
from whence.pipelines.bisect import Bisector
from whence.pipelines.bisection import Bisection
from whence.pipelines.remake import CodeChoice, Remaker
from whence.pipelines.reproduce import Reproducer, Substitute
from whence.pipelines.runner import Runnable, Runner
from whence.pipelines.scheduler import Alerts, Due, Scheduler, Taints
from whence.pipelines.step import Step
from whence.pipelines.types import Decision, PipelineRun, StepRun, Verdict


class Pipelines:
    """Runs pipelines and makes their steps again. A facade: `Runner`, `Scheduler` and `Reproducer` do the work.

    Args:
        rooms: The workspace; also what `current` gives inside a step.
        address: What another process passes to `connect`; None when no other process can.
        child_command: The command that makes a step again; it gets the path of its job as last argument.
        alerts: Gives the source of alerts, for the trigger `on_alert`.
        taints: Gives the source of marks, for the trigger `on_taint`.
    """

    def __init__(
        self,
        rooms: Rooms,
        *,
        address: str | None = None,
        child_command: Sequence[str] = (),
        alerts: Alerts | None = None,
        taints: Taints | None = None,
    ) -> None:
        self._runner = Runner(rooms)
        self._scheduler = Scheduler(rooms, self._runner, alerts, taints)
        remaker = Remaker(rooms, address=address if child_command else None, child_command=child_command)
        self._reproducer = Reproducer(rooms, remaker)
        self._bisector = Bisector(rooms, self._reproducer, remaker)

    def run(
        self,
        pipeline: Runnable,
        /,
        *,
        key: str | None = None,
        resume: bool = True,
        cache: bool = True,
        **params: object,
    ) -> PipelineRun:
        """Run a pipeline, or one step by itself; see `Runner.run`."""
        return self._runner.run(pipeline, key=key, resume=resume, cache=cache, **params)

    def exec_step(
        self, entry: str, run_key: str, *, pipeline: Runnable | None = None, **params: object
    ) -> StepRun:
        """Run one step of a run by itself; see `Runner.exec_step`."""
        return self._runner.exec_step(entry, run_key, pipeline=pipeline, **params)

    def get(self, pipeline: str, key: str) -> PipelineRun:
        """A run by its key; see `Runner.get`."""
        return self._runner.get(pipeline, key)

    def plan(self, pipeline: Runnable, /, **params: object) -> list[Decision]:
        """What a run would do now; see `Runner.plan`."""
        return self._runner.plan(pipeline, **params)

    def why(self, step: str | Step[..., Any]) -> Decision:
        """Why a step was run, or not, the last time; see `Runner.why`."""
        return self._runner.why(step)

    def due(self, pipelines: Sequence[Runnable], *, now: datetime | None = None) -> list[Due]:
        """What the triggers of pipelines call for; see `Scheduler.due`."""
        return self._scheduler.due(pipelines, now=now)

    def tick(
        self, pipelines: Sequence[Runnable], *, now: datetime | None = None, **params: object
    ) -> list[PipelineRun]:
        """Run what is due, each moment once; see `Scheduler.tick`."""
        return self._scheduler.tick(pipelines, now=now, **params)

    def schedule(
        self,
        pipelines: Sequence[Runnable],
        *,
        stop: Callable[[], bool],
        poll_s: float = 60.0,
        on_run: Callable[[PipelineRun], None] | None = None,
        **params: object,
    ) -> int:
        """Run pipelines by their triggers until `stop` says so; see `Scheduler.schedule`."""
        return self._scheduler.schedule(pipelines, stop=stop, poll_s=poll_s, on_run=on_run, **params)

    def bisect(
        self,
        a: str,
        b: str,
        *,
        metric: str = "log_loss",
        on: TableVersion | pa.Table | str | None = None,
        label: str | None = None,
        trust: Sequence[str] = (),
    ) -> Bisection:
        """What made two models differ: data, code, parameters or environment; see `Bisector.bisect`."""
        return self._bisector.bisect(a, b, metric=metric, on=on, label=label, trust=trust)

    def reproduce(
        self, ref: str, *, inputs: Mapping[str, Substitute] | None = None, code: CodeChoice = "stored"
    ) -> Verdict:
        """Run what made `ref` again and compare; see `Reproducer.reproduce`."""
        return self._reproducer.reproduce(ref, inputs=inputs, code=code)
