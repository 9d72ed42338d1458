"""Small projects of the user's, written to a folder and imported from there."""

from __future__ import annotations

import importlib
import itertools
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

_numbers = itertools.count()


class Project:
    """A folder on the import path; `write` makes modules of it, `load` imports one afresh."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = f"shop{next(_numbers)}"
        (folder / self.prefix).mkdir(parents=True)
        (folder / self.prefix / "__init__.py").write_text("")

    def name(self, module: str) -> str:
        return f"{self.prefix}.{module}"

    def write(self, **modules: str) -> None:
        for name, text in modules.items():
            source = textwrap.dedent(text).replace("SHOP", self.prefix)
            (self.folder / self.prefix / f"{name}.py").write_text(source)

    def load(self, module: str) -> ModuleType:
        """Import as a new process would: every module of the project again, no compiled file."""
        for name in [n for n in sys.modules if n == self.prefix or n.startswith(self.prefix + ".")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        for cached in self.folder.rglob("*.pyc"):
            cached.unlink()
        return importlib.import_module(self.name(module))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path / "project")
    sys.path.insert(0, str(project.folder))
    yield project
    sys.path.remove(str(project.folder))
    for name in [n for n in sys.modules if n == project.prefix or n.startswith(project.prefix + ".")]:
        del sys.modules[name]
