"""Every metadata backend answers filters as the shipped suite says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from whence.database import sqlite_url
from whence.metadata import MetadataStore, open_store
from whence.testing.metadata_filter import MetadataFilterSuite


class TestMemory(MetadataFilterSuite):
    n_filters = 5  # it is what the others are compared with

    @pytest.fixture
    def store(self) -> MetadataStore:
        return open_store("memory://")


class TestSqlite(MetadataFilterSuite):
    n_filters = 60

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[MetadataStore]:
        store = open_store(f"{sqlite_url(tmp_path / 'whence.db')}?synchronous=OFF")
        yield store
        store.close()


class TestPostgres(MetadataFilterSuite):
    @pytest.fixture
    def store(self, postgres_url: str) -> Iterator[MetadataStore]:
        store = open_store(postgres_url)
        yield store
        store.close()


class TestMariadb(MetadataFilterSuite):
    infinite = False

    @pytest.fixture
    def store(self, mariadb_url: str) -> Iterator[MetadataStore]:
        store = open_store(mariadb_url)
        yield store
        store.close()
