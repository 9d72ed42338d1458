from __future__ import annotations

from pathlib import Path

import pytest

from whence.lake import LakeBackend, open_backend
from whence.testing.lake import LakeSuite


class TestMemory(LakeSuite):
    @pytest.fixture
    def backend(self) -> LakeBackend:
        return open_backend("memory://")


class TestDelta(LakeSuite):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> LakeBackend:
        return open_backend(tmp_path / "lake")
