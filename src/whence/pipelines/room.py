"""The room as the workspace hands it out: `ws.pipelines`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whence.pipelines.base import Rooms
from whence.pipelines.reproduce import CodeChoice, Reproducer, Substitute
from whence.pipelines.runner import Runnable, Runner
from whence.pipelines.step import Step
from whence.pipelines.types import Decision, PipelineRun, StepRun, Verdict


class Pipelines:
    """Runs pipelines and makes their steps again. A facade: `Runner` and `Reproducer` do the work.

    Args:
        rooms: The workspace; also what `current` gives inside a step.
        address: What another process passes to `connect`; None when no other process can.
        child_command: The command that makes a step again; it gets the path of its job as last argument.
    """

    def __init__(
        self, rooms: Rooms, *, address: str | None = None, child_command: Sequence[str] = ()
    ) -> None:
        self._runner = Runner(rooms)
        self._reproducer = Reproducer(
            rooms, address=address if child_command else None, child_command=child_command
        )

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

    def exec_step(self, entry: str, run_key: str, **params: object) -> StepRun:
        """Run one step of a run by itself; see `Runner.exec_step`."""
        return self._runner.exec_step(entry, run_key, **params)

    def get(self, pipeline: str, key: str) -> PipelineRun:
        """A run by its key; see `Runner.get`."""
        return self._runner.get(pipeline, key)

    def plan(self, pipeline: Runnable, /, **params: object) -> list[Decision]:
        """What a run would do now; see `Runner.plan`."""
        return self._runner.plan(pipeline, **params)

    def why(self, step: str | Step[..., Any]) -> Decision:
        """Why a step was run, or not, the last time; see `Runner.why`."""
        return self._runner.why(step)

    def schedule(self, pipelines: Sequence[Runnable]) -> None:
        """Run pipelines by their triggers; see `Runner.schedule`."""
        self._runner.schedule(pipelines)

    def reproduce(
        self, ref: str, *, inputs: Mapping[str, Substitute] | None = None, code: CodeChoice = "stored"
    ) -> Verdict:
        """Run what made `ref` again and compare; see `Reproducer.reproduce`."""
        return self._reproducer.reproduce(ref, inputs=inputs, code=code)
