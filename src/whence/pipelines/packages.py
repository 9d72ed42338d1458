"""Where a module comes from: the standard library, a package with a version, whence, or the user's own code."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import site
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final, Literal, TypeAlias

from whence._version import __version__

Origin: TypeAlias = Literal["standard", "package", "whence", "first-party"]

JOURNEYS: Final = "whence.journeys"
"""The journeys ship with whence and are its first users: their code counts as first party."""


@cache
def _site_folders() -> tuple[Path, ...]:
    names = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    names.add(site.getusersitepackages())
    return tuple(Path(n).resolve() for n in sorted(names))


@cache
def _distributions() -> dict[str, tuple[str, ...]]:
    return {k: tuple(sorted(set(v))) for k, v in importlib.metadata.packages_distributions().items()}


def origin(module: str) -> Origin:
    """Whose code `module` is.

    Example:
        >>> origin("json"), origin("numpy.linalg"), origin("whence.lake"), origin("whence.journeys.flights")
        ('standard', 'package', 'whence', 'first-party')
    """
    root = module.partition(".")[0]
    if module == "__main__":
        return "first-party"
    if root == "whence":
        return "first-party" if module == JOURNEYS or module.startswith(JOURNEYS + ".") else "whence"
    if root in sys.stdlib_module_names:
        return "standard"
    return _origin_by_file(root)


@cache
def _origin_by_file(root: str) -> Origin:
    loaded = sys.modules.get(root)
    if loaded is None:
        spec = importlib.util.find_spec(root)
        files = [spec.origin or "", *list(spec.submodule_search_locations or [])] if spec else []
    else:
        files = [getattr(loaded, "__file__", None) or "", *getattr(loaded, "__path__", [])]
    paths = [Path(f).resolve() for f in files if f]
    if not paths or any(p.is_relative_to(folder) for p in paths for folder in _site_folders()):
        return "package"
    return "first-party"


@cache
def versions(module: str) -> tuple[tuple[str, str], ...]:
    """The distributions that give the top-level name of `module`, with their versions.

    Example:
        >>> [name for name, _ in versions("sklearn.ensemble")]
        ['scikit-learn']
    """
    root = module.partition(".")[0]
    if root == "whence":
        return (("whence", __version__),)
    if root in sys.stdlib_module_names:
        return ()
    names = _distributions().get(root, ())
    return tuple((n, importlib.metadata.version(n)) for n in names)


def python_version() -> str:
    """The interpreter's major and minor version: the version of the standard library."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def file_of(module: ModuleType) -> Path | None:
    """The source file of a module, when it has one."""
    name = getattr(module, "__file__", None)
    if not name:
        return None
    path = Path(name)
    return path if path.suffix == ".py" and path.is_file() else None
