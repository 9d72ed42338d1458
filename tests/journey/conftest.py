"""One undisturbed small journey for all tests of a worker; each test that changes it takes a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.journey import small


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the small journey has run. Read it only."""
    folder = tmp_path_factory.mktemp("journey") / "small.whence"
    small.run(folder)
    return folder


@pytest.fixture
def own(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    folder = tmp_path / "own.whence"
    shutil.copytree(undisturbed, folder)
    return folder
