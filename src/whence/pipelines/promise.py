"""What passes between steps while a pipeline is traced: promises, and the trace that hands them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from whence.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Promise:
    """The output of a step that has not run yet: hand it to another step, or order a step after it."""

    call: str
    index: int
    what: str

    def after(self, *others: Promise) -> Promise:
        """This promise, its step run only after the steps of `others`."""
        trace = tracing()
        if trace is None:
            raise UsageError("after() has a meaning only inside a pipeline", code="pipeline-promise")
        trace.order(self.call, [o.call for o in others])
        return self

    def _refused(self, deed: str) -> UsageError:
        return UsageError(
            f"{deed} {self.what}: a pipeline is traced before any step has run, so its shape cannot depend on data",
            code="pipeline-promise",
            hint="decide inside a step, or by a parameter of the pipeline",
        )

    def __bool__(self) -> bool:
        raise self._refused("cannot branch on")

    def __iter__(self) -> Iterator[object]:
        raise self._refused("cannot iterate over")

    def __len__(self) -> int:
        raise self._refused("cannot take the length of")

    def __getitem__(self, item: object) -> object:
        raise self._refused("cannot look into")

    def __eq__(self, other: object) -> bool:
        raise self._refused("cannot compare")

    def __lt__(self, other: object) -> bool:
        raise self._refused("cannot compare")

    __gt__ = __le__ = __ge__ = __lt__
    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._refused(f"cannot read .{name} of")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a step in a traced pipeline: its name in the run, and what it was given."""

    name: str
    step: Any  # a Step of any signature
    arguments: Mapping[str, object]
    after: frozenset[str]

    @property
    def upstream(self) -> frozenset[str]:
        """The calls this one must wait for."""
        return self.after | {a.call for a in self.arguments.values() if isinstance(a, Promise)}


@dataclass
class Trace:
    """Notes down the calls of steps, in the order they are made."""

    pipeline: str
    calls: dict[str, Call] = field(default_factory=dict)

    def note(self, step: Any, arguments: Mapping[str, object]) -> Promise | tuple[Promise, ...]:
        """Note one call; gives a promise for each output."""
        arguments = {name: self._implied(step, name, value) for name, value in arguments.items()}
        for name, value in arguments.items():
            self._check(step, name, value)
        n = sum(1 for c in self.calls.values() if c.step.name == step.name)
        call = step.name if n == 0 else f"{step.name}#{n + 1}"
        self.calls[call] = Call(call, step, dict(arguments), frozenset())
        outputs = step.signature.outputs
        if step.signature.single:
            return Promise(call, 0, f"the output of step {call!r}")
        return tuple(Promise(call, i, f"output {i} of step {call!r}") for i in range(len(outputs)))

    def _implied(self, step: Any, name: str, value: object) -> object:
        """An input that was left out is the output of that name of this run, if a step before gives one."""
        slot = step.signature.inputs.get(name)
        if value is not None or slot is None or slot.name is None:
            return value
        for call in reversed(self.calls.values()):
            for index, output in enumerate(call.step.signature.outputs):
                if (output.kind, output.name) == (slot.kind, slot.name):
                    return Promise(call.name, index, f"output {index} of step {call.name!r}")
        return None

    def _check(self, step: Any, name: str, value: object) -> None:
        if not isinstance(value, Promise):
            if _holds_promise(value):
                raise UsageError(
                    f"step {step.name!r}: argument {name!r} holds a promise inside a {type(value).__name__}",
                    code="pipeline-promise",
                    hint="pass the promise itself, one argument for each",
                )
            return
        source = self.calls.get(value.call)
        if source is None or value.index >= len(source.step.signature.outputs):
            raise UsageError(
                f"step {step.name!r}: argument {name!r} is {value.what}, which gives nothing in pipeline {self.pipeline!r}",
                code="pipeline-promise",
            )
        wanted = step.signature.inputs.get(name)
        given = source.step.signature.outputs[value.index]
        if wanted is None or wanted.kind != given.kind:
            raise UsageError(
                f"step {step.name!r}: argument {name!r} is {'a param' if wanted is None else 'a ' + wanted.kind}, "
                f"but {value.what} is a {given.kind}",
                code="pipeline-promise",
                hint="annotate the parameter as the input it is",
            )

    def order(self, call: str, after: list[str]) -> None:
        """Make `call` wait for the calls of `after`."""
        known = self.calls[call]
        self.calls[call] = Call(known.name, known.step, known.arguments, known.after | frozenset(after))


def _holds_promise(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(isinstance(v, Promise) or _holds_promise(v) for v in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(isinstance(v, Promise) or _holds_promise(v) for v in value)
    return False


_tracing: ContextVar[Trace | None] = ContextVar("whence_tracing", default=None)


def tracing() -> Trace | None:
    """The trace being made, if a pipeline is being traced."""
    return _tracing.get()


@contextmanager
def trace_into(trace: Trace) -> Iterator[Trace]:
    """Within the block, calls of steps are noted in `trace`."""
    token = _tracing.set(trace)
    try:
        yield trace
    finally:
        _tracing.reset(token)
