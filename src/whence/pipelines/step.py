"""`@step`: a plain function whose inputs, params and outputs are read off its signature."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast, overload

from whence.errors import UsageError
from whence.pipelines.promise import tracing
from whence.pipelines.types import Model, Report, Slot, Table

P = ParamSpec("P")
R = TypeVar("R")

latest: Final[Any] = None
"""Given for an input: the version that is the latest when the run starts (the default)."""


@dataclass(frozen=True, slots=True)
class StepSignature:
    """What a step takes and gives.

    Attributes:
        inputs: Parameter → slot, in order.
        params: Parameter → default; `inspect.Parameter.empty` when it must be given.
        outputs: One slot for each output, in order.
        single: Whether the function returns the output itself and not a tuple of them.
    """

    inputs: Mapping[str, Slot]
    params: Mapping[str, object]
    outputs: tuple[Slot, ...]
    single: bool


class Step(Generic[P, R]):
    """A function that is a step: called outside a pipeline it runs, inside one it is noted down.

    Args:
        function: The function.
        cache: Whether an earlier result may be taken.
        retries: How often it is tried again after an error that trying again can help.
        name: The step's name; the function's by default.
    """

    __whence_step__ = True

    def __init__(
        self, function: Callable[P, R], *, cache: bool = True, retries: int = 0, name: str | None = None
    ) -> None:
        if retries < 0:
            raise UsageError(f"retries must be >= 0, got {retries}", code="bad-retries")
        functools.update_wrapper(self, function)
        self.function = function
        self.cache = cache
        self.retries = retries
        self.name = name or function.__name__
        self._signature: StepSignature | None = None

    def __repr__(self) -> str:
        return f"<step {self.name}>"

    @property
    def signature(self) -> StepSignature:
        """Inputs, params and outputs; the annotations are read at the first use.

        Raises:
            UsageError: An annotation cannot be read (``step-annotation``) or a parameter is of a
                kind a step cannot have (``step-signature``).
        """
        if self._signature is None:
            self._signature = _read_signature(self.function, self.name)
        return self._signature

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function, or note the call down when a pipeline is being traced."""
        trace = tracing()
        if trace is None:
            return self.function(*args, **kwargs)
        return cast("R", trace.note(self, self.bind(args, kwargs)))

    def bind(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Parameter → what was given; inputs that were not given are None: the latest version.

        Raises:
            UsageError: A param without a default is absent, or an argument does not exist
                (``step-arguments``).
        """
        try:
            given = inspect.signature(self.function).bind_partial(*args, **kwargs).arguments
        except TypeError as error:
            raise UsageError(f"step {self.name!r}: {error}", code="step-arguments") from error
        bound: dict[str, object] = {}
        for name in inspect.signature(self.function).parameters:
            if name in self.signature.inputs:
                bound[name] = given.get(name)
                if bound[name] is None and self.signature.inputs[name].name is None:
                    raise UsageError(
                        f"step {self.name!r}: input {name!r} names no {self.signature.inputs[name].kind}, so it must be given",
                        code="step-arguments",
                    )
                continue
            value = given.get(name, self.signature.params[name])
            if value is inspect.Parameter.empty:
                raise UsageError(
                    f"step {self.name!r}: param {name!r} has no default and was not given",
                    code="step-arguments",
                )
            bound[name] = value
        return bound


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *, cache: bool = True, retries: int = 0, name: str | None = None
) -> Callable[[Callable[P, R]], Step[P, R]]: ...


def step(
    function: Callable[P, R] | None = None,
    /,
    *,
    cache: bool = True,
    retries: int = 0,
    name: str | None = None,
) -> Step[P, R] | Callable[[Callable[P, R]], Step[P, R]]:
    """Make a function a step of pipelines.

    Args:
        function: The function. A parameter annotated `Table`, `Model`, `Metrics` or `Report` is an
            input; any other is a param. The return annotation lists the outputs.
        cache: Whether an earlier result may be taken: same code, params and input digests, and the
            outputs still there, byte for byte.
        retries: How often the step is tried again when it fails.
        name: The step's name; the function's by default.

    Example:
        >>> @step(retries=2)
        ... def double(x: int) -> None: ...
        >>> double.name, double.retries, double(4)
        ('double', 2, None)
    """
    if function is not None:
        return Step(function)
    return lambda f: Step(f, cache=cache, retries=retries, name=name)


step.__whence_step_decorator__ = True  # type: ignore[attr-defined]  # tells the closure to leave the decorator out


def _read_signature(function: Callable[..., object], name: str) -> StepSignature:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise UsageError(
            f"step {name!r}: an annotation cannot be read: {error}",
            code="step-annotation",
            hint="import what the annotations name at the top of the module",
        ) from error
    inputs: dict[str, Slot] = {}
    params: dict[str, object] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise UsageError(
                f"step {name!r}: parameter {parameter.name!r} is {parameter.kind.description}",
                code="step-signature",
                hint="name every parameter",
            )
        slot = slot_of(hints.get(parameter.name))
        if slot is not None:
            inputs[parameter.name] = slot
        else:
            params[parameter.name] = parameter.default
    return StepSignature(inputs, params, *_outputs(hints.get("return"), name))


def _outputs(hint: object, step_name: str) -> tuple[tuple[Slot, ...], bool]:
    if typing.get_origin(hint) is tuple:
        slots = [slot_of(a) for a in typing.get_args(hint)]
        if any(s is None for s in slots):
            raise UsageError(
                f"step {step_name!r} returns a tuple with a member that is no Table, Model, Metrics or Report",
                code="step-annotation",
            )
        found = tuple(s for s in slots if s is not None)
        single = False
    else:
        slot = slot_of(hint)
        found, single = ((slot,), True) if slot is not None else ((), True)
    for slot in found:
        if slot.kind in ("table", "model") and slot.name is None:
            raise UsageError(
                f"step {step_name!r}: an output {slot.kind} needs a name",
                code="step-annotation",
                hint=f'{slot.kind.title()}["name"]',
            )
    return found, single


def slot_of(hint: object) -> Slot | None:
    """The slot an annotation stands for; None for a param.

    Example:
        >>> slot_of(Table["labels"]).name
        'labels'
        >>> slot_of(int) is None
        True
    """
    if hint is Report:
        return Slot("report")
    if hint is Table:
        return Slot("table")
    if hint is Model:
        return Slot("model")
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, Slot):
            return extra
        if isinstance(extra, Table | Model):
            return extra.slot
    return None
