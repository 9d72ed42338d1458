"""Every online store passes the shipped suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from whence.features import OnlineStore, open_online
from whence.testing.online import OnlineSuite


class TestMemory(OnlineSuite):
    @pytest.fixture
    def online(self) -> OnlineStore:
        return open_online("memory://")


class TestSqlite(OnlineSuite):
    @pytest.fixture
    def online(self, tmp_path: Path) -> Iterator[OnlineStore]:
        store = open_online(f"sqlite:///{tmp_path / 'online.db'}")
        yield store
        store.close()
