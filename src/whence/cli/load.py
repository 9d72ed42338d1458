"""Objects a person names on the command line: ``flights.py:retrain`` or ``package.module:retrain``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from whence.errors import NotFoundError, UsageError


def load_object(text: str) -> object:
    """The object `text` names; its file runs as a module, as Python would run it.

    Raises:
        UsageError: There is no colon, or the module cannot be found.
        NotFoundError: The module has no such name.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise UsageError(
            f"{text!r} names no object", code="bad-object", hint="write file.py:name or package.module:name"
        )
    module = _from_file(Path(place)) if place.endswith(".py") else _from_name(place)
    try:
        return getattr(module, name)
    except AttributeError:
        raise NotFoundError("object", text, near=[f"{place}:{n}" for n in vars(module)]) from None


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}", code="bad-object")
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.absolute()))  # its neighbours can be imported, as when Python runs it
    sys.modules[name] = module  # definitions are found again by their module's name
    spec.loader.exec_module(module)
    return module


def look_here() -> None:
    """Modules in the current folder can be imported, as when Python runs there."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def _from_name(name: str) -> ModuleType:
    look_here()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise UsageError(f"there is no module {name!r}", code="bad-object") from error
        raise
