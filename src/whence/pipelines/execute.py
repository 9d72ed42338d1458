"""One step of a run: decided, executed or taken from the cache, and recorded, in two transactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from whence._base.digest import sha256_bytes
from whence._base.refs import Ref
from whence.errors import ConflictError, DeniedError, IntegrityError, UsageError
from whence.lake import pinned
from whence.metadata.code import CodeInfo
from whence.metadata.open import declare_types
from whence.metadata.recording import Recording
from whence.metadata.types import Artifact, Change, Context, Execution, Put, Type, Value
from whence.pipelines.ambient import working_in
from whence.pipelines.base import Rooms
from whence.pipelines.cache import Cache, Request, decision_of, outputs_of
from whence.pipelines.closure import StepCode, code_of
from whence.pipelines.constants import decode_param, encode_param
from whence.pipelines.environment import facts
from whence.pipelines.outputs import Kept, Outputs, check_outputs
from whence.pipelines.promise import Call, Promise
from whence.pipelines.types import Decision, Reason, StepRun
from whence.pipelines.values import Given, Inputs

STEP_TYPE: Final = Type(
    "execution",
    "step",
    {
        "step": "STRING",
        "call": "STRING",
        "pipeline": "STRING",
        "run": "STRING",
        "entry": "STRING",
        "cache_key": "STRING",
        "code_digest": "STRING",
        "code_parts": "STRUCT",
        "stored_code": "STRING",
        "packages": "STRUCT",
        "inputs": "STRUCT",
        "outputs": "STRUCT",
        "reads": "STRUCT",
        "writes": "STRUCT",
        "slots": "STRUCT",
        "pins": "STRUCT",
        "decision": "STRUCT",
        "runs_on": "STRUCT",
        "taken_from": "STRING",
    },
    description="one step of a pipeline: code, params, inputs and outputs, enough to make it again",
)

TYPES: Final = (
    STEP_TYPE,
    Type(
        "artifact", "Metrics", {"digest": "STRING"}, description="the metrics a step gave; one property each"
    ),
    Type(
        "artifact",
        "Report",
        {"digest": "STRING", "media_type": "STRING"},
        description="bytes a step gave to look at",
    ),
    Type("context", "PipelineRun"),
    Type("context", "Pipeline"),
)

HOPELESS: Final = (UsageError, DeniedError, IntegrityError)
"""Errors that trying again cannot help."""


@dataclass
class RunState:
    """A run while it goes on: its versions, and the outputs so far."""

    pipeline: str
    key: str
    context: Context
    pins: dict[str, int]
    given: Mapping[str, str]
    """``call.param`` → the reference it was pinned to when the run started."""
    outputs: dict[str, list[Kept]]
    fresh: bool = False
    """Begun just now: none of its steps can be complete."""

    def name_of(self, call: str) -> str:
        """The key of a step's execution."""
        return f"{self.pipeline}/{self.key}/{call}"

    def take(self, call: str, kept: Sequence[Kept]) -> None:
        """Note the outputs of a step; later steps of the run read these versions."""
        self.outputs[call] = list(kept)
        for item in kept:
            if item.slot.kind == "table":
                ref = Ref.parse(item.ref)
                self.pins[ref.name] = ref.number or 0


class Executor:
    """Runs single steps. Built once for a workspace by `Pipelines`."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._recorder = rooms.recorder
        self._stored: dict[bytes, str] = {}
        self.inputs = Inputs(rooms)
        self.outputs = Outputs(rooms)
        self.cache = Cache(rooms)
        declare_types(rooms.recorder.store, TYPES)

    def done(self, run: RunState, call: Call) -> StepRun | None:
        """The step as it was completed in this run before; None when it has to be run."""
        found = self._recorder.find_complete("step", run.name_of(call.name))
        if found is None:
            return None
        if found.get("outputs") is None:
            self._reopen(found)
            return None
        run.take(call.name, outputs_of(found))
        return step_run(found)

    def _reopen(self, execution: Execution) -> None:
        """A dead step that recovery completed because its model is there; its other outputs were not noted.

        Run again it finds what it has written: lake commits by their app transaction, models by their digest.
        """
        told = Execution(
            type="step",
            uid=execution.uid,
            id=execution.id,
            state="FAILED",
            properties={"recovered": "incomplete"},
        )
        self._recorder.store.write(Change([Put(told, if_exists="update", revision=execution.revision)]))

    def run(self, run: RunState, call: Call, *, cache: bool) -> StepRun:
        """Run one step, or take its result from the cache.

        Raises:
            ConflictError: The step of this run is being run by another process (``execution-running``).
        """
        request, arguments = self.request(run, call)
        decision, earlier = self.cache.decide(request, run.pins, enabled=cache and call.step.cache)
        if earlier is not None:
            return self._take(run, call, request, decision, earlier)
        attempts = call.step.retries + 1
        for attempt in range(1, attempts + 1):
            try:
                return self._execute(run, call, request, arguments, decision)
            except (*HOPELESS, ConflictError):
                raise
            except Exception:
                if attempt == attempts:
                    raise
        raise AssertionError("a step is run at least once")

    def request(self, run: RunState, call: Call) -> tuple[Request, dict[str, object]]:
        """What would be run: code, params and inputs with their digests, and the arguments of the function."""
        step = call.step
        given: list[Given] = []
        params: dict[str, Value] = {}
        for name, value in call.arguments.items():
            slot = step.signature.inputs.get(name)
            if slot is None:
                params[name] = encode_param(value, step=step.name, name=name)
                continue
            given.append(self._given(run, call, name, value))
        arguments: dict[str, object] = {g.param: self.inputs.load(g) for g in given}
        arguments |= {name: decode_param(value) for name, value in params.items()}
        return Request(step.name, code_of(step.function), params, given, step.signature), arguments

    def _given(self, run: RunState, call: Call, name: str, value: object) -> Given:
        slot = call.step.signature.inputs[name]
        if not isinstance(value, Promise):
            pinned_to = run.given.get(f"{call.name}.{name}")
            return self.inputs.resolve(
                name, slot, value if pinned_to is None else pinned_to, run.pins, step=call.step.name
            )
        if value.call not in run.outputs:
            raise ConflictError(
                f"step {call.name!r} of run {run.key!r} waits for {value.call!r}, which is not complete",
                code="step-upstream",
                hint=f"run {value.call!r} first",
            )
        kept = run.outputs[value.call][value.index]
        if kept.slot.kind in ("table", "model"):
            return self.inputs.resolve(name, slot, kept.ref, run.pins, step=call.step.name)
        artifact = self._artifact(run, value.call, kept)
        return Given(name, slot, kept.ref, kept.digest, artifact, kept.inline)

    def _artifact(self, run: RunState, call: str, kept: Kept) -> Artifact | None:
        """The node of a metrics or report output."""
        index = run.outputs[call].index(kept)
        found = self._recorder.find_complete("step", run.name_of(call))
        if found is None:
            return None
        origin = found.get("taken_from")
        uid = str(origin) if origin else found.uid
        type_ = "Metrics" if kept.slot.kind == "metrics" else "Report"
        page = self._recorder.store.find_nodes("artifact", type_=type_, name=f"{uid}/{index}", limit=1)
        return next((n for n in page.nodes if isinstance(n, Artifact)), None)

    # recording

    def _execute(
        self, run: RunState, call: Call, request: Request, arguments: Mapping[str, Any], decision: Decision
    ) -> StepRun:
        with self._recording(run, call, request, decision) as recording:
            before = set(_names(recording.inputs))
            with pinned(run.pins), working_in(self._rooms):
                result = call.step.function(**arguments)
            reads = {n: a for n, a in _names(recording.inputs).items() if n not in before}
            written = _names(recording.outputs)
            computed = check_outputs(call.step.name, request.signature, result)
            kept = self.outputs.write(computed, recording)
            recording.set(
                outputs=[k.to_dict() for k in kept],
                reads={name: _read(artifact) for name, artifact in reads.items() if _is_data(artifact)},
                writes=sorted(written),
            )
        run.take(call.name, kept)
        self.cache.remember(recording.execution)
        return StepRun(
            call.name,
            call.step.name,
            "COMPLETE",
            recording.ref,
            tuple(k.ref for k in kept),
            decision,
            _number(recording.execution.get("duration_s")),
        )

    def _take(
        self, run: RunState, call: Call, request: Request, decision: Decision, earlier: Execution
    ) -> StepRun:
        kept = outputs_of(earlier)
        events = self._recorder.store.list_events(executions=[earlier.uid])
        uids = list(dict.fromkeys(e.artifact for e in events if e.kind == "OUTPUT"))
        artifacts = self._recorder.store.get_nodes("artifact", uids=uids)
        with self._recording(run, call, request, decision) as recording:
            for artifact in artifacts:
                assert isinstance(artifact, Artifact)
                recording.output(artifact)
            recording.set(
                outputs=[k.to_dict() for k in kept], reads=earlier.get("reads"), taken_from=earlier.uid
            )
            recording.mark_cached()
        run.take(call.name, kept)
        self.cache.remember(recording.execution)
        return StepRun(
            call.name, call.step.name, "CACHED", recording.ref, tuple(k.ref for k in kept), decision
        )

    @contextmanager
    def _recording(
        self, run: RunState, call: Call, request: Request, decision: Decision
    ) -> Iterator[Recording]:
        stored = self._store_code(request.code)
        code = request.code
        # A digest that cannot be relied upon must not name two different sources.
        digest = code.digest if not code.uncacheable else sha256_bytes(f"{code.digest} {stored}".encode())
        properties: dict[str, Value] = {
            "step": call.step.name,
            "call": call.name,
            "pipeline": run.pipeline,
            "run": run.key,
            "entry": f"{code.module}:{code.qualname}",
            "cache_key": decision.key,
            "stored_code": stored,
            "pins": dict(run.pins),
            "decision": decision.to_dict(),
            "runs_on": facts(),
            **request.facts(),
        }
        with self._recorder.execution(
            "step",
            key=run.name_of(call.name),
            params=request.params,
            properties=properties,
            inputs=[(g.artifact, (g.param,)) for g in request.inputs if g.artifact is not None],
            code=CodeInfo(f"{code.module}.{code.qualname}", digest, blob=stored or None),
        ) as recording:
            yield recording

    def _store_code(self, code: StepCode) -> str:
        data = code.stored()
        if data is None:
            return ""
        known = self._stored.get(data)
        if known is None:
            known = self._stored[data] = self._rooms.blobs.put(data)
        return known


def step_run(execution: Execution) -> StepRun:
    """A step of a run as the graph tells it."""
    name = str(execution.get("step"))
    state = execution.state
    assert state in ("COMPLETE", "CACHED", "FAILED", "RUNNING", "NEW")
    return StepRun(
        call=str(execution.get("call")),
        step=name,
        state=state,
        execution=f"execution:{execution.uid}",
        outputs=tuple(k.ref for k in outputs_of(execution)),
        decision=decision_of(execution) or Decision(name, "off", (Reason("off", "not recorded"),), ""),
        duration_s=_number(execution.get("duration_s")),
    )


def _names(artifacts: Sequence[Artifact]) -> dict[str, Artifact]:
    return {f"{a.type} {a.name or a.uid}": a for a in artifacts}


_DATA: Final = frozenset({"TableVersion", "FeatureView", "Model", "Blob", "Report", "Metrics"})


def _is_data(artifact: Artifact) -> bool:
    """Whether a read can change a result."""
    return artifact.type in _DATA


def _read(artifact: Artifact) -> dict[str, Value]:
    if artifact.type == "FeatureView":
        return {"kind": "view", "view": artifact.get("view"), "digest": artifact.get("digest")}
    if artifact.type != "TableVersion":
        return {"kind": artifact.type.lower(), "ref": artifact.name or artifact.uid}
    return {
        "kind": "table",
        "table": artifact.get("table"),
        "version": artifact.get("version"),
        "digest": artifact.get("digest"),
    }


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
