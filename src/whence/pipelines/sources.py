"""The source of modules: read once per change, parsed once, and gathered for storing."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from whence._base.digest import canonical_json
from whence.errors import IntegrityError
from whence.pipelines.packages import file_of, origin
from whence.pipelines.syntax import Definition, definitions

FORMAT: Final = "code-v1"
MAIN_ALIAS: Final = "_whence_main"
"""The name a stored ``__main__`` gets when it is loaded again, so that its main block does not run."""


@dataclass
class Source:
    """A module's source file as it was when first looked at."""

    path: Path
    stamp: tuple[int, int]
    text: str
    tree: ast.Module
    definitions: dict[str, list[Definition]]
    _codes: dict[tuple[str, int], types.CodeType] | None = field(default=None, repr=False)
    _imports: list[tuple[str, int, tuple[str, ...]]] | None = field(default=None, repr=False)

    @property
    def imports(self) -> list[tuple[str, int, tuple[str, ...]]]:
        """What the module imports: (module, level, names taken from it)."""
        if self._imports is None:
            self._imports = list(_imports_of(self.tree))
        return self._imports

    def code_of(self, function: types.FunctionType) -> types.CodeType | None:
        """What the file now compiles to at the place of `function`; None when nothing stands there."""
        if self._codes is None:
            self._codes = {
                (c.co_qualname, c.co_firstlineno): c
                for c in _codes(compile(self.text, str(self.path), "exec"))
            }
        return self._codes.get((function.__code__.co_qualname, function.__code__.co_firstlineno))


_cache: dict[str, Source] = {}
_changed: set[str] = set()


def source_of(module: str) -> Source | None:
    """The source of a loaded module; None when it has no file (a notebook, an extension).

    The file is read again when its size or time has changed; `changed_since_import` says so then.
    """
    loaded = sys.modules.get(module)
    path = file_of(loaded) if loaded is not None else None
    if path is None:
        return None
    stat = path.stat()
    stamp = (stat.st_mtime_ns, stat.st_size)
    known = _cache.get(module)
    if known is not None and known.stamp == stamp and known.path == path:
        return known
    if known is not None:
        _changed.add(module)
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    _cache[module] = Source(path, stamp, text, tree, definitions(tree))
    return _cache[module]


def is_stale(function: types.FunctionType) -> bool:
    """Whether the file no longer says what `function` runs: it was edited after it was imported."""
    source = source_of(function.__module__)
    if source is None or function.__module__ not in _changed:
        return False
    now = source.code_of(function)
    return now is None or _shape(now) != _shape(function.__code__)


def _shape(code: types.CodeType) -> tuple[object, ...]:
    consts = tuple(_shape(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts)
    return (code.co_code, consts, code.co_names, code.co_varnames, code.co_freevars)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield const
            yield from _codes(const)


def gather(modules: Mapping[str, None] | list[str]) -> dict[str, Source]:
    """The sources of these modules and of all first-party modules they import, and their packages."""
    found: dict[str, Source] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or origin(name) != "first-party":
            continue
        source = source_of(name)
        if source is None:
            continue
        found[name] = source
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        waiting.extend(_imported(name, source))
    return dict(sorted(found.items()))


def _imported(module: str, source: Source) -> Iterator[str]:
    loaded = sys.modules.get(module)
    package = getattr(loaded, "__package__", None) or ""
    for name, level, taken in source.imports:
        base = absolute(name, level, package)
        if base:
            yield from _prefixes(base)
            yield from (f"{base}.{t}" for t in taken if f"{base}.{t}" in sys.modules)


def _imports_of(tree: ast.Module) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level, tuple(alias.name for alias in node.names)


def absolute(module: str, level: int, package: str) -> str:
    """The full name of a module imported relative to `package`.

    Example:
        >>> absolute("feeds", 1, "shop.flights")
        'shop.flights.feeds'
    """
    if level == 0:
        return module
    try:
        return importlib.util.resolve_name("." * level + module, package)
    except ImportError:
        return ""


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        yield ".".join(parts[:n])


def is_script(module: str) -> bool:
    """Whether a module was run and not imported: importing it again would do again whatever it does."""
    loaded = sys.modules.get(module)
    return module == "__main__" or (loaded is not None and loaded.__spec__ is None)


def pack(entry: tuple[str, str], sources: Mapping[str, Source]) -> bytes:
    """The stored form of code: canonical JSON of the entry and of every module's source."""
    modules = {
        name: {
            "source": s.text,
            "package": s.path.name == "__init__.py",
            "file": s.path.name,
            "script": is_script(name),
        }
        for name, s in sources.items()
    }
    return canonical_json({"format": FORMAT, "entry": list(entry), "modules": modules}).encode()


def unpack(data: bytes) -> tuple[tuple[str, str], dict[str, dict[str, object]]]:
    """The entry (module, qualified name) and the modules of stored code.

    Raises:
        IntegrityError: The bytes are not stored code (``code-format``).
    """
    try:
        value = json.loads(data)
        module, name = value["entry"]
        modules = dict(value["modules"])
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"the stored code cannot be read: {error}", code="code-format") from error
    if value["format"] != FORMAT:
        raise IntegrityError(
            f"the stored code is of the unknown format {value['format']!r}", code="code-format"
        )
    return (str(module), str(name)), modules


def served_name(module: str) -> str:
    """The name stored code is imported under."""
    return MAIN_ALIAS if module == "__main__" else module


__all__ = [
    "FORMAT",
    "MAIN_ALIAS",
    "Source",
    "absolute",
    "gather",
    "is_script",
    "is_stale",
    "pack",
    "served_name",
    "source_of",
    "unpack",
]
