"""The code of a step: its own tree, everything of the user's it names, and the packages it uses.

The digest of a step's code is the sha256 of the canonical JSON of its **parts**: for each
first-party function and class reached, the digest of its normalised tree; for each constant, its
value; for each package, its version. What cannot be resolved makes the step uncacheable, with the
reason; its sources are stored all the same.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from whence._base.digest import sha256_bytes, spec_digest
from whence.pipelines.constants import IMMUTABLE, Unencodable, encode_constant
from whence.pipelines.packages import origin, python_version, versions
from whence.pipelines.sources import absolute, gather, is_stale, pack, source_of
from whence.pipelines.syntax import (
    Definition,
    Names,
    definitions,
    first_line,
    names_of,
    normalised,
    without_decorators,
)

SHORT: Final = 120
"""A constant of up to this many characters is kept as text, so that `why` can show it."""

ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class StepCode:
    """The code of one step.

    Attributes:
        module: Where the function stands.
        qualname: Its qualified name there.
        digest: Of `parts` and `packages`.
        parts: ``function m.f``, ``class m.C`` → digest; ``constant m.X`` → value.
        packages: Distribution → version, and ``python``.
        modules: First-party modules reached.
        uncacheable: Why the digest cannot be relied upon; empty when it can.
    """

    module: str
    qualname: str
    digest: str
    parts: Mapping[str, str]
    packages: Mapping[str, str]
    modules: tuple[str, ...]
    uncacheable: tuple[str, ...]

    def stored(self) -> bytes | None:
        """The sources that run this step elsewhere; None when its module has no file."""
        sources = gather(list(self.modules))
        return pack((self.module, self.qualname), sources) if self.module in sources else None


def code_of(function: Callable[..., object]) -> StepCode:
    """The code of `function` as it stands now.

    Constants are taken at the moment of the call: a value that was changed since is seen.

    Example:
        >>> code_of(code_of).uncacheable
        ("'whence.pipelines.closure.code_of' belongs to whence, not to the user's code",)
    """
    walk = _Walk()
    plain = inspect.unwrap(function)
    if not isinstance(plain, types.FunctionType):
        walk.problems[f"{function!r} is not a plain function"] = None
        return walk.result("", repr(function))
    if origin(plain.__module__) != "first-party":
        walk.problems[
            f"'{plain.__module__}.{plain.__qualname__}' belongs to whence, not to the user's code"
        ] = None
    else:
        walk.function(plain)
    return walk.result(plain.__module__, plain.__qualname__)


class _Walk:
    """Collects the parts, depth first; each definition is visited once."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.packages: dict[str, str] = {"python": python_version()}
        self.modules: dict[str, None] = {}
        self.problems: dict[str, None] = {}

    def result(self, module: str, qualname: str) -> StepCode:
        parts, packages = dict(sorted(self.parts.items())), dict(sorted(self.packages.items()))
        digest = spec_digest({"parts": parts, "packages": packages})
        return StepCode(module, qualname, digest, parts, packages, tuple(self.modules), tuple(self.problems))

    # definitions

    def function(self, function: types.FunctionType) -> None:
        """Add a first-party function and what it names."""
        label = f"function {function.__module__}.{function.__qualname__}"
        if label in self.parts:
            return
        self.modules[function.__module__] = None
        node = _node_of(function)
        if node is None:
            self.parts[label] = "unknown"
            self._problem(f"the source of {label[9:]!r} is not to be had")
            return
        if is_stale(function):
            self._problem(f"the file of {function.__module__!r} was changed after it was imported")
        known = _known(node, lambda d: self._is_step_decorator(d, function.__globals__))
        self.parts[label] = known.digest
        scope = _Scope(function.__globals__, _cells(function), function.__module__)
        self._follow_names(label, known.names, scope)

    def class_(self, cls: type) -> None:
        """Add a first-party class and what its body and methods name."""
        label = f"class {cls.__module__}.{cls.__qualname__}"
        if label in self.parts:
            return
        self.modules[cls.__module__] = None
        source = source_of(cls.__module__)
        nodes = [
            n
            for n in (source.definitions.get(cls.__qualname__, []) if source else [])
            if isinstance(n, ast.ClassDef)
        ]
        if not nodes:
            self.parts[label] = "unknown"
            self._problem(f"the source of {label[6:]!r} is not to be had")
            return
        known = _known(nodes[-1], lambda d: False)  # noqa: ARG005  # a class keeps its decorators
        self.parts[label] = known.digest
        scope = _Scope(vars(sys.modules[cls.__module__]), {}, cls.__module__)
        self._follow_names(label, known.names, scope)

    def _follow_names(self, label: str, names: Names, scope: _Scope) -> None:
        for problem in names.problems:
            self._problem(f"{label.partition(' ')[2]}: {problem}")
        local = {i.name: i for i in names.imports}
        for chain in sorted(names.chains):
            if chain[0] in local and chain[0] not in scope.cells:
                item = local[chain[0]]
                root = self._import(item.module, item.attribute, item.level, scope)
            else:
                root = scope.find(chain[0])
            if root is ABSENT:
                continue  # a name that is not there fails when the step runs
            if chain[0] in scope.cells and not _is_fixed(root):
                self._problem(
                    f"{label.partition(' ')[2]}: it closes over {chain[0]!r}, a {type(root).__name__} that may change"
                )
                continue
            self._chain(chain, root, scope)

    def _import(self, module: str, attribute: str | None, level: int, scope: _Scope) -> object:
        package = str(scope.globals.get("__package__") or "")
        name = absolute(module, level, package)
        try:
            loaded = importlib.import_module(name)
            if attribute is None:
                return loaded
            if not hasattr(loaded, attribute):
                return importlib.import_module(f"{name}.{attribute}")
            return getattr(loaded, attribute)
        except ImportError as error:
            self._problem(f"module {name!r} cannot be imported: {error}")
            return ABSENT

    def _chain(self, chain: tuple[str, ...], value: object, scope: _Scope) -> None:
        name = f"{scope.module}.{chain[0]}"
        for part in chain[1:]:
            if not isinstance(value, types.ModuleType):
                break
            if origin(value.__name__) != "first-party":
                self._package(value.__name__)
                return
            found = vars(value).get(part, ABSENT)
            self.modules[value.__name__] = None
            if found is ABSENT:
                self._problem(f"module {value.__name__!r} has no {part!r} before the step runs")
                return
            name, value = f"{value.__name__}.{part}", found
        self._value(name, value)

    # values

    def _value(self, name: str, value: object) -> None:
        if isinstance(value, types.ModuleType):
            if origin(value.__name__) == "first-party":
                self._problem(f"it hands on the module {value.__name__!r} as a value")
            else:
                self._package(value.__name__)
            return
        if self._follow(value) is not None:
            return
        try:
            text = encode_constant(value, self._follow)
        except Unencodable as error:
            self._problem(f"the constant {name!r} holds {error}, which has no digest")
            text = f"unknown {type(value).__qualname__}"
        self.parts[f"constant {name}"] = text if len(text) <= SHORT else sha256_bytes(text.encode())

    def _follow(self, value: object) -> str | None:
        """Add a function, class or service and give its name; None for a value."""
        if isinstance(value, types.MethodType):
            return f"{self._follow(value.__func__)}.of({encode_constant(value.__self__, self._follow)})"
        wrapped = _plain_function(value)
        if wrapped is not None:
            return self._callable(wrapped, "function")
        if isinstance(value, type):
            return self._callable(value, "class")
        if isinstance(
            value, types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType
        ):
            module = getattr(value, "__module__", None)
            if module:
                self._package(module)
            return f"builtin {module}.{value.__qualname__}"
        return self._service(value)

    def _callable(self, value: types.FunctionType | type, kind: str) -> str:
        module, qualname = value.__module__, value.__qualname__
        if origin(module) != "first-party":
            self._package(module)
        elif isinstance(value, type):
            self.class_(value)
        elif value.__name__ == "<lambda>":
            self._problem(f"it names a lambda of {module!r}, whose source cannot be told apart")
        else:
            self.function(value)
        return f"{kind} {module}.{qualname}"

    def _service(self, value: object) -> str | None:
        """A part of whence itself (a workspace, a table handle): what it reads is recorded as an input."""
        kind = type(value)
        if origin(kind.__module__) != "whence" or hasattr(kind, "__dataclass_fields__"):
            return None
        self._package("whence")
        name = getattr(value, "name", None)
        return (
            f"whence {kind.__qualname__} {name}" if isinstance(name, str) else f"whence {kind.__qualname__}"
        )

    def _package(self, module: str) -> None:
        for name, version in versions(module):
            self.packages[name] = version

    def _problem(self, text: str) -> None:
        self.problems[text] = None

    @staticmethod
    def _is_step_decorator(node: ast.expr, scope: Mapping[str, object]) -> bool:
        target = node.func if isinstance(node, ast.Call) else node
        try:
            value = _evaluate(target, scope)
        except (AttributeError, KeyError):
            return False
        return getattr(value, "__whence_step_decorator__", False) is True


@dataclass(frozen=True, slots=True)
class _Scope:
    globals: Mapping[str, object]
    cells: Mapping[str, object]
    module: str

    def find(self, name: str) -> object:
        """What a free name stands for; builtins count as absent, they are Python's."""
        if name in self.cells:
            return self.cells[name]
        if name in self.globals:
            return self.globals[name]
        assert ABSENT is not None
        return ABSENT


def _evaluate(node: ast.expr, scope: Mapping[str, object]) -> object:
    if isinstance(node, ast.Attribute):
        return getattr(_evaluate(node.value, scope), node.attr)
    if isinstance(node, ast.Name):
        return scope[node.id]
    raise KeyError(ast.dump(node))


def _plain_function(value: object) -> types.FunctionType | None:
    """The function behind a value: itself, or what a step, a cache or a decorator wraps."""
    if isinstance(value, types.FunctionType):
        value = inspect.unwrap(value)
    elif hasattr(value, "__wrapped__") and not isinstance(value, type):
        value = inspect.unwrap(value)  # type: ignore[arg-type]  # whatever carries __wrapped__ is callable
    return value if isinstance(value, types.FunctionType) else None


def _cells(function: types.FunctionType) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not filled yet
            continue
    return found


def _is_fixed(value: object) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(_is_fixed(v) for v in value)
    if isinstance(value, types.FunctionType):
        return value.__name__ != "<lambda>"
    frozen = getattr(getattr(value, "__dataclass_params__", None), "frozen", False)
    return isinstance(value, (IMMUTABLE, type | types.ModuleType)) or frozen or _is_whence(value)


def _is_whence(value: object) -> bool:
    return origin(type(value).__module__) == "whence"


def _node_of(function: types.FunctionType) -> Definition | None:
    source = source_of(function.__module__)
    if source is None:
        return _typed_in(function)
    nodes = [n for n in source.definitions.get(function.__qualname__, []) if not isinstance(n, ast.ClassDef)]
    for node in nodes:
        if first_line(node) == function.__code__.co_firstlineno:
            return node
    return nodes[-1] if nodes else None


def _typed_in(function: types.FunctionType) -> Definition | None:
    """The definition of a function from a notebook cell, which has a source but no file."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    found = definitions(tree).get(function.__name__, [])
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a definition: it is read once, while its file does not change."""

    node: Definition
    digest: str
    names: Names


_known_nodes: dict[int, _Known] = {}


def _known(node: Definition, drop: Callable[[ast.expr], bool]) -> _Known:
    found = _known_nodes.get(id(node))
    if found is None or found.node is not node:
        bare = without_decorators(node, drop)
        found = _Known(node, sha256_bytes(normalised(bare).encode()), names_of(bare))
        _known_nodes[id(node)] = found
    return found
