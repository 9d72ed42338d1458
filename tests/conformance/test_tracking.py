"""Every metric store passes the shipped suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from whence.database import Database, sqlite_url
from whence.testing.tracking import MetricSuite
from whence.tracking.base import MetricStore
from whence.tracking.open import open_metrics


class TestMemory(MetricSuite):
    @pytest.fixture
    def metrics(self) -> MetricStore:
        return open_metrics()


class TestSqlite(MetricSuite):
    @pytest.fixture
    def metrics(self, tmp_path: Path) -> Iterator[MetricStore]:
        database = Database.from_url(sqlite_url(tmp_path / "whence.db"))
        yield open_metrics(database)
        database.close()


class TestPostgres(MetricSuite):
    @pytest.fixture
    def metrics(self, postgres_url: str) -> Iterator[MetricStore]:
        database = Database.from_url(postgres_url)
        yield open_metrics(database)
        database.close()


class TestMariadb(MetricSuite):
    keeps_infinities = False  # never: its DOUBLE has none

    @pytest.fixture
    def metrics(self, mariadb_url: str) -> Iterator[MetricStore]:
        database = Database.from_url(mariadb_url)
        yield open_metrics(database)
        database.close()
