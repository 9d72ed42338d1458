"""Every metadata backend passes the shipped suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from whence.database import sqlite_url
from whence.metadata import MetadataStore, open_store
from whence.metadata.backends.sql import SqlStore
from whence.metadata.backends.tables import COUNTER, METADATA, NAMESPACE, TYPE
from whence.testing.metadata import MetadataSuite
from whence.testing.servers import Server


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


@contextmanager
def emptying(server: Server) -> Iterator[Callable[[], SqlStore]]:
    """One database for all tests, emptied before each: a server takes long to make the tables."""
    with server.database() as url:
        first = open_store(url)
        assert isinstance(first, SqlStore)
        database = first.database
        with database.read() as connection:
            rows = {t: connection.execute(t.select()).mappings().all() for t in (COUNTER, NAMESPACE, TYPE)}

        def empty() -> SqlStore:
            with database.transaction() as connection:
                for table in METADATA.sorted_tables:
                    connection.execute(table.delete())
                for table, known in rows.items():
                    connection.execute(table.insert(), [dict(row) for row in known])
            return SqlStore(database)

        yield empty
        first.close()


@pytest.fixture(scope="module")
def in_postgres(postgres_server: Server) -> Iterator[Callable[[], SqlStore]]:
    with emptying(postgres_server) as empty:
        yield empty


@pytest.fixture(scope="module")
def in_mariadb(mariadb_server: Server) -> Iterator[Callable[[], SqlStore]]:
    with emptying(mariadb_server) as empty:
        yield empty


class TestPostgres(MetadataSuite):
    @pytest.fixture
    def store(self, in_postgres: Callable[[], SqlStore]) -> MetadataStore:
        return in_postgres()


class TestMariadb(MetadataSuite):
    @pytest.fixture
    def store(self, in_mariadb: Callable[[], SqlStore]) -> MetadataStore:
        return in_mariadb()
