"""What tests of rooms share: a workspace of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import whence


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[whence.Workspace]:
    """An empty workspace in a folder that goes with the test."""
    with whence.connect(tmp_path / "test.whence") as ws:
        yield ws
