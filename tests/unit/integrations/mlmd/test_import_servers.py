"""Databases of ML Metadata in real servers come in as its files do, and text as ML Metadata wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pymysql
import pytest

from tests.unit.integrations.mlmd.golden import VERSIONS, dump, restored
from tests.unit.integrations.mlmd.test_import import check
from whence.errors import BackendError, UnsupportedError, UsageError
from whence.integrations.mlmd.backends.reader import create_database, open_reader
from whence.integrations.mlmd.exporter import export_mlmd
from whence.integrations.mlmd.importer import import_mlmd
from whence.metadata import open_store
from whence.testing.servers import Server


def statements(text: str) -> Iterator[str]:
    """The statements of a dump; none has a semicolon at the end of a line inside it."""
    yield from (s for s in text.split(";\n") if s.strip())


@contextmanager
def postgresql(server: Server, text: str) -> Iterator[str]:
    with server.database() as url, server.connect() as connection:
        (schema,) = parse_qs(urlsplit(url).query)["schema"]
        connection.execute(f"SET search_path = {schema}")
        connection.execute(text)
        yield url


@contextmanager
def mysql(server: Server, text: str, charset: str = "latin1") -> Iterator[str]:
    with server.database() as url:
        name = urlsplit(url).path.removeprefix("/")
        connection = pymysql.connect(
            host=server.host, port=server.port, user=server.user, autocommit=True, charset="latin1"
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} CHARACTER SET {charset}")
            cursor.execute(f"USE {name}")
            for statement in statements(
                text.replace("latin1_swedish_ci", f"{charset}_bin").replace("latin1", charset)
            ):
                # As ML Metadata sends it: UTF-8 over a connection that says latin1.
                connection.query(statement.encode())
        yield url


@pytest.mark.parametrize("version", VERSIONS)
def test_postgresql_comes_in_complete(postgres_server: Server, version: int) -> None:
    store = open_store("memory://")
    with postgresql(postgres_server, dump("postgresql", version)) as url:
        check(store, import_mlmd(store, url), version)
        assert sum(import_mlmd(store, url).written.values()) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_mysql_comes_in_complete(mariadb_server: Server, version: int) -> None:
    store = open_store("memory://")
    with mysql(mariadb_server, dump("mysql", version)) as url:
        check(store, import_mlmd(store, url), version)
        assert sum(import_mlmd(store, url).written.values()) == 0


def test_mysql_in_utf8mb4_says_the_same(mariadb_server: Server) -> None:
    store = open_store("memory://")
    with mysql(mariadb_server, dump("mysql", 10), "utf8mb4") as url:
        check(store, import_mlmd(store, url), 10)


def test_text_of_another_program_is_kept_and_told(mariadb_server: Server) -> None:
    store = open_store("memory://")
    with mysql(mariadb_server, dump("mysql", 10)) as url:
        connection = mariadb_server.connect()
        with connection, connection.cursor() as cursor:
            cursor.execute(f"USE {urlsplit(url).path.removeprefix('/')}")
            cursor.execute("UPDATE Artifact SET uri = 'größe' WHERE id = 2")
        done = import_mlmd(store, url)
    assert done.told == ["uri of id 2, type_id 10 was not written by ML Metadata: read as its column says"]
    assert store.find_nodes("artifact", uri="größe").nodes


@pytest.mark.parametrize("target", ["postgres_url", "mariadb_url"])
@pytest.mark.parametrize("version", [6, 10])
def test_a_file_comes_into_each_backend_and_goes_out(
    request: pytest.FixtureRequest, tmp_path: Path, target: str, version: int
) -> None:
    store, path = open_store(request.getfixturevalue(target)), restored(tmp_path, version)
    check(store, import_mlmd(store, path), version)
    assert sum(import_mlmd(store, path).written.values()) == 0
    export_mlmd(store, tmp_path / "out.db")
    other = open_store("memory://")
    check(other, import_mlmd(other, tmp_path / "out.db"), 10, filled=version)
    store.close()


def test_no_error_of_the_driver_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match=r"cannot be opened: .*store-unavailable.*kubectl port-forward"):
        open_reader("mysql://root@127.0.0.1:1/x")
    with pytest.raises(BackendError, match="store-unavailable"):
        open_reader("mysql://root@127.0.0.1:1/x?no_such_option=1")
    create_database("mysql://root@127.0.0.1:1/x")  # what opens it afterwards says why not

    def refuse(**_: object) -> None:
        raise RuntimeError("'cryptography' package is required for sha256_password or caching_sha2_password")

    monkeypatch.setattr(pymysql, "connect", refuse)
    for ask in (open_reader, create_database):
        with pytest.raises(UnsupportedError, match=r"over TLS \(extra-missing\).*pip install cryptography"):
            ask("mysql://root@127.0.0.1:1/x")


@pytest.mark.parametrize("fixture", ["postgres_server", "mariadb_server"])
def test_what_is_no_such_database_is_refused(request: pytest.FixtureRequest, fixture: str) -> None:
    store = open_store("memory://")
    server: Server = request.getfixturevalue(fixture)
    with server.database() as url:
        with pytest.raises(UsageError, match=r"is no database of ML Metadata \(mlmd-version\)"):
            import_mlmd(store, url)
        parts = urlsplit(url)
        gone = parts._replace(netloc=f"{server.user}:secret@{server.host}:1").geturl()
        with pytest.raises(BackendError, match="cannot be opened") as caught:
            import_mlmd(store, gone)
        assert "secret" not in str(caught.value)
        assert "is it running" in str(caught.value.hint)
