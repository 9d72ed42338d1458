"""Runs of pipelines on this machine: pinned, cached, resumed, explained.

A run is a context of type ``PipelineRun``, named ``pipeline/key``. Its versions are fixed when it
begins and kept with it, so that going on after a failure reads what the run began with. Each step
is one execution of type ``step``, named ``pipeline/key/call``: the same run never runs it twice.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from typing import Any, TypeAlias

from whence._base.crash import crash_point, register
from whence._base.ids import new_uid
from whence._base.progress import progress
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata.types import Change, Context, Execution, Put, Value
from whence.pipelines.base import Rooms
from whence.pipelines.cache import decision_of, outputs_of
from whence.pipelines.constants import decode_param
from whence.pipelines.exclusive import exclusive
from whence.pipelines.execute import Executor, RunState, step_run
from whence.pipelines.pipeline import Graph, Pipeline
from whence.pipelines.promise import Promise
from whence.pipelines.step import Step
from whence.pipelines.types import Decision, PipelineRun, StepRun

log = logging.getLogger(__name__)

POINT_PINNED = register("pipelines.pinned", "between noting a run with its versions and its first step")
POINT_STEP = register("pipelines.between-steps", "between two steps of a run")

Runnable: TypeAlias = "Pipeline[..., Any] | Step[..., Any]"


class Runner:
    """Runs pipelines. A facade over `Executor` that keeps the run.

    Args:
        rooms: The workspace.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._recorder = rooms.recorder
        self.executor = Executor(rooms)

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
        """Run a pipeline, or one step by itself.

        Args:
            pipeline: What `@pipeline` or `@step` made.
            key: Names the run: the same key is the same run. Without one every call is a new run.
            resume: Go on with a run of this key that has begun; its completed steps are not run again.
            cache: Whether results of other runs may be taken.
            params: The pipeline's params.

        Raises:
            ConflictError: A run of this key is going on (``run-in-progress``), has begun with other
                params (``run-params``), or exists and `resume` is false (``run-exists``).
            UsageError: The pipeline cannot be traced.

        Records:
            One context ``PipelineRun`` with the versions read; one execution ``step`` for each call.
        """
        whole = as_pipeline(pipeline)
        graph = whole.trace(**params)
        key = key or new_uid()
        with self._exclusive(whole.name, key), ExitStack() as stack:
            state = self._begin(whole, graph, key, resume=resume)
            stack.enter_context(self._recorder.within(state.context))
            steps: list[StepRun] = []
            with progress(whole.name, total=len(graph.calls)) as advance:
                for call in graph:
                    found = None if state.fresh else self.executor.done(state, call)
                    steps.append(found or self.executor.run(state, call, cache=cache))
                    advance(note=call.name)
                    crash_point(POINT_STEP)
        return _run_of(state.context, steps)

    def exec_step(
        self, entry: str, run_key: str, *, pipeline: Runnable | None = None, **params: Any
    ) -> StepRun:
        """Run one step of a run by itself, as an outside scheduler does.

        Steps may come in any order, from any process, each as often as it likes: one whose upstream is not
        complete is refused, one that is complete is not run again. It reads what `run` would let it read:
        the versions the run was pinned to when it began, and what the steps above it wrote.

        Args:
            entry: ``module:pipeline:step``; or ``pipeline:step`` when a run of the pipeline is known, or
                `pipeline` is given.
            run_key: The run's key; the first step to arrive begins the run and pins its versions.
            pipeline: The pipeline itself, where it has been loaded already.
            params: The pipeline's params, for the first step to arrive.

        Raises:
            ConflictError: A step it needs is not complete (``step-upstream``), or it is being run
                (``execution-running``).
            NotFoundError: No such module or pipeline.
            UsageError: The pipeline has no such step (``no-such-step``).
        """
        place, _, call_name = entry.rpartition(":")
        if not (place and call_name):
            raise UsageError(
                f"{entry!r} names no step",
                code="bad-entry",
                hint="write file.py:pipeline:step or pipeline:step",
            )
        whole = as_pipeline(self._entry(place, run_key) if pipeline is None else pipeline)
        graph = whole.trace(**{**self._params(whole.name, run_key), **params})
        call = graph.call(call_name)
        if call.upstream and self._find_context(whole.name, run_key) is None:
            raise _waits(call.name, run_key, min(call.upstream))  # a run is begun by a step that can run
        above = graph.above(call)
        with self._exclusive(whole.name, f"{run_key}\n{call_name}"), ExitStack() as stack:
            state = self._begin(whole, graph, run_key, resume=True)
            stack.enter_context(self._recorder.within(state.context))
            for upstream in graph:
                if upstream.name in above and self.executor.done(state, upstream) is None:
                    raise _waits(call.name, run_key, upstream.name)
            return self.executor.done(state, call) or self.executor.run(state, call, cache=True)

    def _entry(self, place: str, key: str) -> Any:
        """The pipeline of ``module:pipeline``; of ``pipeline`` alone the one whose runs are known."""
        module, _, name = place.rpartition(":")
        if module:
            return find_entry(module, name)
        known = self._find_context(name, key) or self._latest_run(name)
        if known is None:
            raise NotFoundError(
                "pipeline run", f"{name}/{key}", hint=f"name its module for the first: module:{name}:step"
            )
        module, _, qualname = str(known.get("entry")).partition(":")
        return find_entry(module, qualname)

    def _latest_run(self, pipeline: str) -> Context | None:
        page = self._recorder.store.find_nodes(
            "context", type_="PipelineRun", name_prefix=f"{pipeline}/", descending=True, limit=1
        )
        return next((n for n in page.nodes if isinstance(n, Context)), None)

    def get(self, pipeline: str, key: str) -> PipelineRun:
        """A run by its key, with the steps that were executed so far.

        Raises:
            NotFoundError: There is none (``pipeline-run-not-found``).
        """
        context = self._find_context(pipeline, key)
        if context is None:
            raise NotFoundError("pipeline run", f"{pipeline}/{key}")
        page = self._recorder.store.find_nodes("execution", type_="step", context=context.uid)
        return _run_of(context, [step_run(n) for n in page.nodes if isinstance(n, Execution)])

    def why(self, step: str | Step[..., Any]) -> Decision:
        """Why the step was run, or not, the last time: the decision as it was recorded.

        Raises:
            NotFoundError: No step of this name was run (``step-not-found``).
        """
        name = step.name if isinstance(step, Step) else step.removeprefix("step:")
        page = self._recorder.store.find_nodes(
            "execution", type_="step", where={"step": name}, descending=True, limit=1
        )
        found = page.nodes[0] if page.nodes else None
        decision = decision_of(found) if isinstance(found, Execution) else None
        if decision is None:
            known = {
                str(n.get("step")) for n in self._recorder.store.find_nodes("execution", type_="step").nodes
            }
            raise NotFoundError("step", name, near=known, hint="run a pipeline that calls it")
        return decision

    def plan(self, pipeline: Runnable, /, **params: object) -> list[Decision]:
        """What a run would do now, as far as it can be told: a step after one that must run is left out."""
        whole = as_pipeline(pipeline)
        graph = whole.trace(**params)
        state = RunState(whole.name, "plan", Context(type="PipelineRun"), self._heads(), {}, {})
        found: list[Decision] = []
        for call in graph:
            if any(up not in state.outputs for up in call.upstream):
                continue
            request, _ = self.executor.request(state, call)
            decision, earlier = self.executor.cache.decide(request, state.pins, enabled=call.step.cache)
            found.append(decision)
            if earlier is not None:
                state.take(call.name, outputs_of(earlier))
        return found

    # the run

    def _begin(self, pipeline: Pipeline[..., Any], graph: Graph, key: str, *, resume: bool) -> RunState:
        found = self._find_context(pipeline.name, key)
        if found is not None and not resume:
            raise ConflictError(
                f"run {key!r} of {pipeline.name!r} exists",
                code="run-exists",
                hint="resume=True goes on with it",
            )
        fresh = found is None
        if found is None:
            found = self._note(pipeline, graph, key)
            crash_point(POINT_PINNED)
        if dict(_mapping(found.get("params"))) != dict(graph.params):
            raise ConflictError(
                f"run {key!r} of {pipeline.name!r} has begun with params {found.get('params')}, not {dict(graph.params)}",
                code="run-params",
                hint="give the same params, or another key",
            )
        pins = {str(k): int(v) for k, v in _mapping(found.get("pins")).items() if isinstance(v, int)}
        given = {str(k): str(v) for k, v in _mapping(found.get("given")).items()}
        return RunState(pipeline.name, key, found, pins, given, {}, fresh=fresh)

    def _note(self, pipeline: Pipeline[..., Any], graph: Graph, key: str) -> Context:
        pins = self._heads()
        facts: dict[str, Value] = {
            "pipeline": pipeline.name,
            "key": key,
            "entry": f"{pipeline.function.__module__}:{pipeline.function.__qualname__}",
            "params": dict(graph.params),
            "pins": dict(pins),
            "given": self._pin_inputs(graph, pins),
            "graph": graph.digest(),
            "started_at": self._rooms.clock.now().isoformat(),
            "triggers": [repr(t) for t in pipeline.triggers],
        }
        parent = self._recorder.put_context(Context(type="Pipeline", name=pipeline.name))
        context = Context(type="PipelineRun", name=f"{pipeline.name}/{key}", custom=facts)
        written = self._recorder.store.write(
            Change([Put(context, if_exists="reuse")], parents=[(context.uid, parent.uid)])
        )
        stored = written.nodes[context.uid]
        assert isinstance(stored, Context)
        return stored

    def _pin_inputs(self, graph: Graph, pins: Mapping[str, int]) -> dict[str, Value]:
        """The reference of every input that no step of the run gives."""
        found: dict[str, Value] = {}
        for call in graph:
            for name, slot in call.step.signature.inputs.items():
                value = call.arguments.get(name)
                if isinstance(value, Promise) or slot.kind not in ("table", "model"):
                    continue
                given = self.executor.inputs.resolve(name, slot, value, pins, step=call.step.name)
                found[f"{call.name}.{name}"] = given.ref
        return found

    def _heads(self) -> dict[str, int]:
        return {name: self._rooms.lake.table(name).head().version for name in self._rooms.lake.list()}

    def _find_context(self, pipeline: str, key: str) -> Context | None:
        page = self._recorder.store.find_nodes(
            "context", type_="PipelineRun", name=f"{pipeline}/{key}", limit=1
        )
        return next((n for n in page.nodes if isinstance(n, Context)), None)

    def _params(self, pipeline: str, key: str) -> dict[str, object]:
        found = self._find_context(pipeline, key)
        return (
            {}
            if found is None
            else {str(k): decode_param(v) for k, v in _mapping(found.get("params")).items()}
        )

    def _exclusive(self, pipeline: str, key: str) -> AbstractContextManager[None]:
        """One process, and one thread of it, runs a key at a time."""
        busy = ConflictError(
            f"run {key.partition(chr(10))[0]!r} of pipeline {pipeline!r} is going on",
            code="run-in-progress",
            hint="wait for it, then resume it by its key",
        )
        return exclusive(self._rooms, pipeline, key, busy)


def as_pipeline(value: Runnable) -> Pipeline[..., Any]:
    """A pipeline as it is; a step as the pipeline that calls it alone.

    Raises:
        UsageError: It is neither (``not-a-pipeline``).
    """
    if isinstance(value, Pipeline):
        return value
    if isinstance(value, Step):
        return Pipeline(_alone(value), name=value.name)
    raise UsageError(
        f"{value!r} is neither a pipeline nor a step",
        code="not-a-pipeline",
        hint="decorate it with @w.pipeline or @w.step",
    )


def _alone(step: Step[..., Any]) -> Callable[..., None]:
    """A function that calls one step with whatever it is given; inputs may be left out."""

    def alone(**arguments: object) -> None:
        step(**arguments)

    signature = inspect.signature(step.function)
    inputs = step.signature.inputs
    parameters = [
        p.replace(kind=p.KEYWORD_ONLY, default=None if p.name in inputs else p.default)
        for p in signature.parameters.values()
    ]
    functools.update_wrapper(alone, step.function)
    alone.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by inspect
    return alone


def find_entry(module: str, name: str) -> Any:
    """What a module holds under a name.

    Raises:
        NotFoundError: The module or the name is absent.
    """
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and not module.startswith(error.name):
            raise
        raise NotFoundError("module", module) from error
    if not hasattr(loaded, name):
        raise NotFoundError("pipeline", f"{module}:{name}", near=[f"{module}:{n}" for n in vars(loaded)])
    return getattr(loaded, name)


def _waits(call: str, key: str, upstream: str) -> ConflictError:
    return ConflictError(
        f"step {call!r} of run {key!r} waits for {upstream!r}, which is not complete",
        code="step-upstream",
        hint=f"run {upstream!r} first",
    )


def _run_of(context: Context, steps: Sequence[StepRun]) -> PipelineRun:
    return PipelineRun(
        pipeline=str(context.get("pipeline")),
        key=str(context.get("key")),
        params=dict(_mapping(context.get("params"))),
        pins={str(k): int(v) for k, v in _mapping(context.get("pins")).items() if isinstance(v, int)},
        steps=tuple(steps),
        started_at=datetime.fromisoformat(str(context.get("started_at"))).astimezone(UTC),
    )


def _mapping(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {}


__all__ = ["Runner", "as_pipeline", "find_entry"]
