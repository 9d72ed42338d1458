"""Every metadata backend passes the shipped suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from whence.database import sqlite_url
from whence.metadata import MetadataStore, open_store
from whence.testing.metadata import MetadataSuite


class TestMemory(MetadataSuite):
    @pytest.fixture
    def store(self) -> MetadataStore:
        return open_store("memory://")


class TestSqlite(MetadataSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[MetadataStore]:
        # An odd path: a URL must carry it.
        (tmp_path / "a b?c%20#é").mkdir()
        store = open_store(sqlite_url(tmp_path / "a b?c%20#é" / "whence.db"))
        yield store
        store.close()
