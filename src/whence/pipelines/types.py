"""The words of a pipeline: what a step takes and gives, written in its signature.

::

    @w.step
    def train(rows: w.Table["train.late"], depth: int = 6) -> tuple[w.Model["late"], w.Metrics]: ...

A parameter annotated with `Table`, `Model`, `Metrics` or `Report` is an **input**, any other is a
**param**. For a type checker that does not know a name in brackets the long form says the same:
``rows: Annotated[TableVersion, w.Table("train.late")]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from whence.errors import UsageError
from whence.metadata.types import Value
from whence.registry import Signature

SlotKind: TypeAlias = Literal["table", "model", "metrics", "report"]
WriteMode: TypeAlias = Literal["overwrite", "append"]
Outcome: TypeAlias = Literal["hit", "miss", "uncacheable", "off"]
StepState: TypeAlias = Literal["COMPLETE", "CACHED", "FAILED", "RUNNING", "NEW"]
VerdictKind: TypeAlias = Literal["identical", "equivalent", "different", "impossible"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One input or output of a step: its kind, the name it is known by, and how it is written."""

    kind: SlotKind
    name: str | None = None
    mode: WriteMode = "overwrite"

    def spec(self) -> str:
        """The slot as text, as it enters the cache key."""
        return f"{self.kind}:{self.name or ''}:{self.mode}"


def _table_slot(item: str | tuple[str, str]) -> Slot:
    name, mode = (item, "overwrite") if isinstance(item, str) else item
    if mode not in ("overwrite", "append"):
        raise UsageError(
            f"table {name!r} cannot be written by {mode!r}", code="bad-write-mode", hint="overwrite or append"
        )
    return Slot("table", name, "append" if mode == "append" else "overwrite")


class Table:
    """A table, as input a pinned `TableVersion`, as output rows that are committed.

    ``Table["labels"]`` overwrites when written; ``Table["log", "append"]`` appends.

    Example:
        >>> Table["labels"].__metadata__[0]
        Slot(kind='table', name='labels', mode='overwrite')
        >>> Table("log", "append").slot.mode
        'append'
    """

    def __init__(self, name: str, mode: WriteMode = "overwrite") -> None:
        self.slot = _table_slot((name, mode))

    def __class_getitem__(cls, item: str | tuple[str, str]) -> Any:  # an annotation is a form, not a value
        return Annotated[Any, _table_slot(item)]


class Model:
    """A registered model, as input a `ModelVersion`, as output a fitted estimator or `model(…)`.

    Example:
        >>> Model["late"].__metadata__[0].name
        'late'
    """

    def __init__(self, name: str) -> None:
        self.slot = Slot("model", name)

    def __class_getitem__(cls, item: str) -> Any:  # an annotation is a form, not a value
        return Annotated[Any, Slot("model", item)]


Metrics: TypeAlias = Annotated[Mapping[str, float], Slot("metrics")]
"""A mapping of metric names to numbers."""


@dataclass(frozen=True, slots=True)
class Report:
    """Bytes to keep and look at: a page, a picture, a text. Stored as a blob.

    Example:
        >>> Report("<p>fine</p>", media_type="text/html").data
        b'<p>fine</p>'
    """

    content: bytes | str
    media_type: str = "text/plain"
    name: str | None = None

    @property
    def data(self) -> bytes:
        """The content as bytes."""
        return self.content.encode() if isinstance(self.content, str) else self.content


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """A fitted estimator with what the registry should know about it."""

    estimator: object
    sample: object | None = None
    signature: Signature | None = None
    metrics: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    params: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    trusted: Sequence[str] = ()


def model(
    estimator: object,
    *,
    sample: object | None = None,
    signature: Signature | None = None,
    metrics: Mapping[str, float] | None = None,
    params: Mapping[str, Value] | None = None,
    tags: Mapping[str, str] | None = None,
    trusted: Sequence[str] = (),
) -> ModelOutput:
    """The value of a `Model` output: the estimator, and a sample of its input to infer the signature from."""
    return ModelOutput(
        estimator,
        sample,
        signature,
        dict(metrics or {}),
        dict(params or {}),
        dict(tags or {}),
        tuple(trusted),
    )


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a cache decision: what it is about, and what was before and is now.

    `what` is one of ``first-run``, ``code``, ``package``, ``param``, ``input``, ``read``, ``output``,
    ``slots``, ``uncacheable``, ``off``, ``same``.
    """

    what: str
    name: str
    before: str | None = None
    now: str | None = None

    def __str__(self) -> str:
        text = f"{self.what} {self.name}" if self.name else self.what
        if self.before is not None or self.now is not None:
            text += f": {self.before or 'absent'} → {self.now or 'absent'}"
        return text

    def to_dict(self) -> dict[str, Value]:
        """The reason as plain values."""
        return {"what": self.what, "name": self.name, "before": self.before, "now": self.now}


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a step was run or not: the answer of ``whence why STEP``."""

    step: str
    outcome: Outcome
    reasons: tuple[Reason, ...]
    key: str
    against: str | None = None
    """The execution compared with: the one whose outputs were taken, or the latest other one."""

    def __str__(self) -> str:
        return f"{self.step}: {self.outcome} ({'; '.join(str(r) for r in self.reasons)})"

    def text(self) -> str:
        """The decision for a person: one line, then one for each reason."""
        against = f", compared with {self.against}" if self.against else ""
        return "\n".join([f"{self.step}: {self.outcome}{against}", *(f"  {r}" for r in self.reasons)])

    def to_dict(self) -> dict[str, Value]:
        """The decision as plain values, as it is stored with the execution."""
        return {
            "step": self.step,
            "outcome": self.outcome,
            "reasons": [r.to_dict() for r in self.reasons],
            "key": self.key,
            "against": self.against,
        }


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step of a run: what became of it, and the references of its outputs."""

    call: str
    step: str
    state: StepState
    execution: str
    outputs: tuple[str, ...]
    decision: Decision
    duration_s: float = 0.0

    def to_dict(self) -> dict[str, Value]:
        """The step as plain values."""
        return {
            "call": self.call,
            "step": self.step,
            "state": self.state,
            "execution": self.execution,
            "outputs": list(self.outputs),
            "decision": self.decision.to_dict(),
            "duration_s": self.duration_s,
        }


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """One run of a pipeline: its key, the versions its inputs were pinned to, and its steps in order."""

    pipeline: str
    key: str
    params: Mapping[str, Value]
    pins: Mapping[str, int]
    steps: tuple[StepRun, ...]
    started_at: datetime

    @property
    def outputs(self) -> dict[str, tuple[str, ...]]:
        """The references of all outputs, by step call."""
        return {s.call: s.outputs for s in self.steps}

    def text(self) -> str:
        """The run for a person: one line for each step."""
        lines = [f"{self.pipeline}, run {self.key}"]
        lines += [f"  {s.call}: {s.state} {', '.join(s.outputs)} ({s.duration_s:.2f} s)" for s in self.steps]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Value]:
        """The run as plain values, for ``--json``."""
        return {
            "pipeline": self.pipeline,
            "key": self.key,
            "params": dict(self.params),
            "pins": dict(self.pins),
            "started_at": self.started_at.isoformat(),
            "steps": [s.to_dict() for s in self.steps],
        }

    def step(self, call: str) -> StepRun:
        """One step by the name of its call (``train``, ``train#2``)."""
        for run in self.steps:
            if run.call == call:
                return run
        raise UsageError(
            f"run {self.key!r} of {self.pipeline!r} has no step {call!r}",
            code="no-such-step",
            hint="steps: " + ", ".join(s.call for s in self.steps),
        )


@dataclass(frozen=True, slots=True)
class OutputComparison:
    """One output of a reproduced step beside the recorded one."""

    output: str
    recorded: str
    reproduced: str
    verdict: Literal["identical", "equivalent", "different"]
    n_cells: int = 0
    largest_error: float = 0.0
    note: str = ""

    def to_dict(self) -> dict[str, Value]:
        """The comparison as plain values."""
        return {
            "output": self.output,
            "recorded": self.recorded,
            "reproduced": self.reproduced,
            "verdict": self.verdict,
            "n_cells": self.n_cells,
            "largest_error": self.largest_error,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that was not as it was recorded: an input, code, a package, the platform, threads, a stored output."""

    what: Literal[
        "input", "output", "code", "package", "python", "platform", "threads", "param", "unexplained"
    ]
    name: str
    recorded: str | None = None
    now: str | None = None

    def __str__(self) -> str:
        text = f"{self.what} {self.name}"
        if self.recorded is not None or self.now is not None:
            text += f": {self.recorded or 'absent'} → {self.now or 'absent'}"
        return text

    def to_dict(self) -> dict[str, Value]:
        """The difference as plain values."""
        return {"what": self.what, "name": self.name, "recorded": self.recorded, "now": self.now}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of `reproduce`.

    Attributes:
        verdict: ``identical`` (every digest equal), ``equivalent`` (floats within 1e-12 relative),
            ``different``, or ``impossible``.
        ref: The execution that was reproduced.
        outputs: Every output beside the recorded one.
        first_difference: For ``different``, the ancestor nearest the raw data that differs.
        reason: For ``impossible``, why; for ``different``, in words.
        differences: Everything that was not as recorded, also when the outputs are equal.
        steps: The calls that were run again, in order.
        threads: Thread counts of the recorded run and of this one.
    """

    verdict: VerdictKind
    ref: str
    outputs: tuple[OutputComparison, ...] = ()
    first_difference: Difference | None = None
    reason: str = ""
    differences: tuple[Difference, ...] = ()
    steps: tuple[str, ...] = ()
    threads: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    execution: str | None = None

    def __str__(self) -> str:
        text = f"{self.ref}: {self.verdict}"
        if self.first_difference is not None:
            text += f", first difference: {self.first_difference}"
        return text + (f" ({self.reason})" if self.reason else "")

    def text(self) -> str:
        """The verdict for a person."""
        lines = [str(self)]
        lines += [f"  {o.output}: {o.verdict}" + (f", {o.note}" if o.note else "") for o in self.outputs]
        if self.verdict == "equivalent":
            lines.append(f"  largest relative error {max(o.largest_error for o in self.outputs):.3g}")
        lines += [f"  not as recorded: {d}" for d in self.differences]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Value]:
        """The verdict as plain values, for ``--json``."""
        return {
            "verdict": self.verdict,
            "ref": self.ref,
            "outputs": [o.to_dict() for o in self.outputs],
            "first_difference": self.first_difference.to_dict() if self.first_difference else None,
            "reason": self.reason,
            "differences": [d.to_dict() for d in self.differences],
            "steps": list(self.steps),
            "threads": dict(self.threads),
            "execution": self.execution,
        }
