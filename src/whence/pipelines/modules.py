"""Stored sources as modules: a finder that serves what was stored, ahead of what is installed."""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from whence.errors import IntegrityError
from whence.pipelines.script import definitions_only
from whence.pipelines.sources import MAIN_ALIAS, served_name


class StoredModules(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads modules from their stored sources.

    A package whose own ``__init__`` was not stored (a namespace package) is found with no folder.

    Args:
        modules: Name → ``{"source": text, "package": bool, "script": bool}``, as `unpack` gives them.
        entry: The name in a script that is wanted; of scripts only what it needs is executed.
    """

    def __init__(self, modules: Mapping[str, Mapping[str, object]], entry: str) -> None:
        self._entry = entry
        self._modules = {served_name(n): m for n, m in modules.items()}
        self._folders = {n.rpartition(".")[0] for n in self._modules if "." in n} - set(self._modules)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,  # noqa: ARG002  # the import system's signature
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a stored module; None leaves it to the finders behind."""
        if fullname in self._modules:
            package = self.is_package(fullname)
            spec = importlib.machinery.ModuleSpec(
                fullname, self, origin=f"<stored {fullname}>", is_package=package
            )
            if package:
                # Modules beside the stored ones, such as packages of whence itself, are still found.
                spec.submodule_search_locations = (
                    [] if path is None else [f"{p}/{fullname.rpartition('.')[2]}" for p in path]
                )
            return spec
        return None

    def is_package(self, fullname: str) -> bool:
        """Whether the stored module was an ``__init__``."""
        return bool(self._modules[fullname]["package"])

    def get_source(self, fullname: str) -> str:
        """The stored text, so that tracebacks and `inspect` show it."""
        return str(self._modules[fullname]["source"])

    def get_code(self, fullname: str) -> types.CodeType:
        """The module, compiled; a script without what it does."""
        tree = ast.parse(self.get_source(fullname))
        if self._modules[fullname].get("script"):
            tree = definitions_only(tree, self._entry)
        return compile(tree, f"<stored {fullname}>", "exec")

    @property
    def names(self) -> list[str]:
        """The names that are served."""
        return sorted(self._modules)

    @property
    def bare_folders(self) -> set[str]:
        """Packages that must exist for the stored modules in them to be found."""
        return self._folders


class _BareFolders(importlib.abc.MetaPathFinder):
    """Stands last: makes a namespace package where nothing else has one."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  # the import system's signature
        target: types.ModuleType | None = None,  # noqa: ARG002  # the import system's signature
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._names:
            return None
        return importlib.machinery.ModuleSpec(fullname, None, is_package=True)


@contextmanager
def serving(modules: Mapping[str, Mapping[str, object]], entry: str) -> Iterator[StoredModules]:
    """Within the block imports see the stored modules first; afterwards nothing of them is left."""
    finder = StoredModules(modules, entry)
    last = _BareFolders(finder.bare_folders)
    hidden = {n: sys.modules.pop(n) for n in finder.names if n in sys.modules}
    sys.meta_path.insert(0, finder)
    sys.meta_path.append(last)
    try:
        yield finder
    finally:
        sys.meta_path.remove(finder)
        sys.meta_path.remove(last)
        for name in [*finder.names, *finder.bare_folders]:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)


def load_entry(module: str, qualname: str) -> object:
    """The step or function that stored or current code begins at.

    Raises:
        IntegrityError: It is not there (``code-entry``).
    """
    found: object = importlib.import_module(served_name(module))
    for part in qualname.split("."):
        if part == "<locals>" or not hasattr(found, part):
            raise IntegrityError(
                f"{module}:{qualname} is not in the code that was given",
                code="code-entry",
                hint="a step inside a function cannot be made again; move it to the module",
            )
        found = getattr(found, part)
    return found


__all__ = ["MAIN_ALIAS", "StoredModules", "load_entry", "serving"]
