"""`@pipeline`: a function that calls steps; traced, it is a graph of those calls."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, ParamSpec, TypeVar, overload

from whence._base.clock import utc
from whence._base.digest import spec_digest
from whence.errors import UsageError
from whence.metadata.types import Value
from whence.pipelines.constants import encode_param
from whence.pipelines.promise import Call, Promise, Trace, trace_into
from whence.pipelines.triggers import Trigger

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Graph:
    """A traced pipeline: its calls in an order in which each comes after what it needs."""

    pipeline: str
    params: Mapping[str, Value]
    calls: tuple[Call, ...]

    def __iter__(self) -> Iterator[Call]:
        return iter(self.calls)

    def call(self, name: str) -> Call:
        """One call by its name.

        Raises:
            UsageError: There is none (``no-such-step``).
        """
        for call in self.calls:
            if call.name == name:
                return call
        raise UsageError(
            f"pipeline {self.pipeline!r} has no step {name!r}",
            code="no-such-step",
            hint="steps: " + ", ".join(c.name for c in self.calls),
        )

    def above(self, call: Call) -> frozenset[str]:
        """The calls a call waits for, directly or through others."""
        found: set[str] = set()
        waiting = list(call.upstream)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.call(name).upstream)
        return frozenset(found)

    def digest(self) -> str:
        """The digest of the shape: calls, steps, and how they are connected."""
        return spec_digest([[c.name, c.step.name, sorted(c.upstream)] for c in self.calls])


class Pipeline(Generic[P, R]):
    """A function that calls steps. Called by hand it runs them; a runner traces it first.

    Args:
        function: The function; its parameters are the pipeline's, each with a default or given to `run`;
            one called ``moment`` gets the due moment when a trigger starts the run.
        name: The pipeline's name; the function's by default.
        triggers: When it should run by itself.
    """

    def __init__(
        self, function: Callable[P, R], *, name: str | None = None, triggers: Sequence[Trigger] = ()
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or function.__name__
        self.triggers = tuple(triggers)

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function by hand: its steps run as plain functions, nothing is recorded as a run."""
        return self.function(*args, **kwargs)

    def bind(self, params: Mapping[str, object]) -> dict[str, object]:
        """All params of a run, defaults filled in; text given for a `datetime` or `date` is read as ISO 8601.

        Raises:
            UsageError: A param is unknown, absent, or no time where one is wanted (``pipeline-params``).
        """
        try:
            bound = inspect.signature(self.function).bind(**self._read(params))
        except TypeError as error:
            raise UsageError(f"pipeline {self.name!r}: {error}", code="pipeline-params") from error
        bound.apply_defaults()
        return dict(bound.arguments)

    def _read(self, params: Mapping[str, object]) -> dict[str, object]:
        """The params of a command line, where everything that is no JSON is text, as the function wants them."""
        if not any(isinstance(value, str) for value in params.values()):
            return dict(params)
        try:
            hints = typing.get_type_hints(self.function)
        except (NameError, TypeError, AttributeError):  # an annotation nobody can read asks for nothing
            return dict(params)
        return {name: self._time(name, value, hints.get(name)) for name, value in params.items()}

    def _time(self, name: str, value: object, hint: object) -> object:
        if not isinstance(value, str) or hint not in (datetime, date):
            return value
        try:
            return utc(datetime.fromisoformat(value)) if hint is datetime else date.fromisoformat(value)
        except (ValueError, UsageError) as error:
            raise UsageError(
                f"pipeline {self.name!r}: {name} is {value!r}, no time: {error}",
                code="pipeline-params",
                hint="write 2013-05-01T00:00:00Z, or 2013-05-01 for a day",
            ) from error

    def trace(self, **params: object) -> Graph:
        """The graph of step calls for these params. No step is run.

        Raises:
            UsageError: The function looks into what a step gives (``pipeline-promise``), calls no
                step (``pipeline-empty``), or orders steps in a circle (``pipeline-circle``).
        """
        given = self.bind(params)
        trace = Trace(self.name)
        with trace_into(trace):
            self.function(**given)  # type: ignore[call-arg, arg-type]  # bound to the signature above
        if not trace.calls:
            raise UsageError(f"pipeline {self.name!r} calls no step", code="pipeline-empty")
        encoded = {k: encode_param(_by_ref(v), step=self.name, name=k) for k, v in given.items()}
        return Graph(self.name, encoded, tuple(_sorted(trace.calls, self.name)))


def _by_ref(value: object) -> object:
    """A version given as a param is kept by its reference."""
    ref = getattr(value, "ref", None)
    return ref if isinstance(ref, str) else value


def _sorted(calls: Mapping[str, Call], pipeline: str) -> Iterator[Call]:
    """Upstream first; calls that are free keep the order in which they were made."""
    waiting, done = list(calls.values()), set[str]()
    while waiting:
        ready = next((c for c in waiting if c.upstream <= done), None)
        if ready is None:
            raise UsageError(
                f"pipeline {pipeline!r}: these steps wait for each other: {', '.join(c.name for c in waiting)}",
                code="pipeline-circle",
            )
        waiting.remove(ready)
        done.add(ready.name)
        yield ready


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...
@overload
def pipeline(
    *, name: str | None = None, triggers: Sequence[Trigger] = ()
) -> Callable[[Callable[P, R]], Pipeline[P, R]]: ...


def pipeline(
    function: Callable[P, R] | None = None, /, *, name: str | None = None, triggers: Sequence[Trigger] = ()
) -> Pipeline[P, R] | Callable[[Callable[P, R]], Pipeline[P, R]]:
    """Make a function a pipeline.

    Args:
        function: The function. It calls steps and hands their outputs on; it may branch on its
            params, not on what a step gives.
        name: The pipeline's name; the function's by default.
        triggers: When it should run by itself: `every("30d")`, `on_alert("late")`.

    Example:
        >>> from whence.pipelines.step import step
        >>> @step
        ... def greet(name: str) -> None: ...
        >>> @pipeline
        ... def hello(name: str = "you"):
        ...     greet(name)
        >>> [c.name for c in hello.trace(name="Ada")]
        ['greet']
    """
    if function is not None:
        return Pipeline(function)
    return lambda f: Pipeline(f, name=name, triggers=triggers)


__all__ = ["Graph", "Pipeline", "Promise", "pipeline"]
