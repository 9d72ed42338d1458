"""PostgreSQL and MariaDB from outside: addresses, accounts, TLS, sockets, and servers that go away."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, make_url, select, text

from tests.unit.database.test_systems import NOTE, STEPS, add, names
from whence.database import Database
from whence.errors import BackendError, UsageError, WhenceError
from whence.testing.servers import GUARDED_ROLE, MariadbServer, PostgresServer, Server, ServerAbsentError

pytestmark = pytest.mark.service

SECRET = "correct horse battery"


@pytest.fixture(params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    found = request.getfixturevalue(f"{request.param}_server")
    assert isinstance(found, Server)
    return found


@pytest.fixture
def url(server: Server) -> Iterator[URL]:
    with server.database() as url:
        yield make_url(url)


def text_of(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def execute(server: Server, *statements: str) -> list[Any]:
    connection = server.connect()
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    rows = list(cursor.fetchall()) if cursor.description else []
    connection.close()
    return rows


def refused(url: URL) -> WhenceError:
    with pytest.raises(BackendError) as caught, closing(Database.from_url(text_of(url))) as database:
        database.version("x")
    assert caught.value.__cause__ is not None
    return caught.value


def test_a_server_that_is_down(url: URL) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        error = refused(url.set(port=probe.getsockname()[1]))
    assert isinstance(error, BackendError)
    assert (error.code, error.retryable) == ("store-unavailable", True)
    assert "cannot be reached" in error.message


def test_a_database_that_is_absent(url: URL) -> None:
    error = refused(url.set(database="absent"))
    assert isinstance(error, BackendError)
    assert (error.code, error.retryable) == ("store-unavailable", False)
    assert "absent" in error.message


@pytest.fixture
def account(server: Server) -> Iterator[str]:
    if server.name == "postgres":
        execute(server, f"CREATE ROLE {GUARDED_ROLE} SUPERUSER LOGIN PASSWORD '{SECRET}'")
    else:
        execute(
            server,
            f"CREATE USER {GUARDED_ROLE} IDENTIFIED BY '{SECRET}'",
            f"GRANT ALL ON *.* TO {GUARDED_ROLE}",
        )
    yield GUARDED_ROLE
    if server.name == "postgres":
        execute(server, f"DROP OWNED BY {GUARDED_ROLE}", f"DROP ROLE {GUARDED_ROLE}")
    else:
        execute(server, f"DROP USER {GUARDED_ROLE}")


def test_a_password_opens_and_is_never_shown(url: URL, account: str) -> None:
    good = url.set(username=account, password=SECRET)
    database = Database.from_url(text_of(good))
    assert database.version("x") == 0
    shown = [database.url, repr(database.engine), repr(database.engine.url), str(database.engine.url)]
    database.close()
    wrong = refused(url.set(username=account, password=SECRET + "!"))
    assert isinstance(wrong, BackendError)
    assert (wrong.code, wrong.retryable) == ("store-unavailable", False)
    down = refused(good.set(port=1))
    shown += [str(e) for error in (wrong, down) for e in (error, error.__cause__, error.to_dict())]
    assert [
        line for line in shown if SECRET in line or SECRET.replace(" ", "%20") in line or "horse" in line
    ] == []
    assert "***" in database.url


def test_a_password_among_the_options_is_not_shown_either(postgres_url: str) -> None:
    database = Database.from_url(text_of(make_url(postgres_url).update_query_dict({"password": SECRET})))
    assert "horse" not in database.url
    database.close()


def test_a_connection_that_dies_is_told_and_replaced(url: URL, server: Server) -> None:
    database = Database.from_url(text_of(url))
    database.migrate("notes", STEPS)
    find = database.prepare(select(NOTE.c.name))
    with pytest.raises(BackendError) as caught, database.session(write=True) as session:  # noqa: PT012 - the block is tested
        if server.name == "postgres":
            ((me,),) = session.rows("SELECT pg_backend_pid()")
            execute(server, f"SELECT pg_terminate_backend({me})")
        else:
            ((me,),) = session.rows("SELECT connection_id()")
            execute(server, f"KILL {me}")
        find.rows(session)
    assert (caught.value.code, caught.value.retryable) == ("store-unavailable", True)
    add(database, "a")
    idle = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'whence'"
        if server.name == "postgres"
        else "SELECT concat('KILL ', id) FROM information_schema.processlist WHERE id <> connection_id() AND command = 'Sleep'"
    )
    killed = execute(server, idle)
    if server.name == "mariadb":
        execute(server, *(statement for (statement,) in killed))
    assert names(database) == ["a"]
    with database.transaction() as connection:
        assert connection.scalars(select(NOTE.c.name)).all() == ["a"]
    database.close()


def test_tls_is_checked_when_asked(url: URL, server: Server) -> None:
    if server.certificate is None:
        pytest.skip("no openssl here to make a certificate")
    option = {"sslmode": "verify-full", "sslrootcert": str(server.certificate)}
    secret = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    if server.name == "mariadb":
        option = {"ssl_ca": str(server.certificate), "ssl_check_hostname": "true"}
        secret = "SELECT variable_value <> '' FROM information_schema.session_status WHERE variable_name = 'ssl_cipher'"
    database = Database.from_url(text_of(url.update_query_dict(option)))
    with database.session() as session:
        assert session.rows(secret) == [(True,)]
    database.close()


def test_a_certificate_of_somebody_else_is_refused(
    url: URL, server: Server, request: pytest.FixtureRequest
) -> None:
    other = request.getfixturevalue("mariadb_server" if server.name == "postgres" else "postgres_server")
    if server.certificate is None or other.certificate is None:
        pytest.skip("no openssl here to make a certificate")
    option = {"sslmode": "verify-full", "sslrootcert": str(other.certificate)}
    if server.name == "mariadb":
        option = {"ssl_ca": str(other.certificate), "ssl_check_hostname": "true"}
    error = refused(url.update_query_dict(option))
    assert error.code == "store-unavailable"
    assert "certificate" in error.message


def test_a_socket_is_an_address_too(url: URL, server: Server) -> None:
    if server.name == "postgres":
        there = url.set(host=None, port=None).update_query_dict(
            {"host": str(server.folder), "port": str(server.port)}
        )
    else:
        there = url.set(host=None, port=None).update_query_dict(
            {"unix_socket": str(server.folder / "s.sock")}
        )
    database = Database.from_url(text_of(there))
    database.migrate("notes", STEPS)
    add(database, "a")
    assert names(database) == ["a"]
    database.close()


def test_workspaces_in_two_schemas_do_not_meet(postgres_server: Server) -> None:
    """A schema is to PostgreSQL what a database is to MySQL: names and the writers' turn are its own."""
    with postgres_server.database() as one, postgres_server.database() as two:
        first, second = Database.from_url(one), Database.from_url(two, busy_timeout_s=1)
        first.migrate("notes", STEPS)
        assert second.version("notes") == 0
        second.migrate("notes", STEPS)
        add(first, "a")
        with first.session(write=True):
            add(second, "b")
        assert (names(first), names(second)) == (["a"], ["b"])
        first.close()
        second.close()


def test_a_mysql_url_needs_a_database(mariadb_url: str) -> None:
    for scheme in ("mysql", "mariadb"):
        rest = mariadb_url.partition(":")[2]
        with pytest.raises(UsageError) as caught:
            Database.from_url(f"{scheme}:{rest.rpartition('/')[0]}")
        assert caught.value.code == "bad-url"
        named = Database.from_url(f"{scheme}:{rest}")
        assert named.abilities.dialect == "mariadb"
        named.close()


def test_a_wrong_statement_is_a_failed_store(url: URL) -> None:
    database = Database.from_url(text_of(url))
    with pytest.raises(BackendError) as caught, database.session() as session:
        session.rows("SELECT * FROM nowhere")
    assert caught.value.code == "store-failed"
    with pytest.raises(BackendError) as caught, database.read() as connection:
        connection.execute(text("SELECT * FROM nowhere"))
    assert caught.value.code == "store-failed"
    database.close()


@pytest.mark.parametrize(
    ("scheme", "extra", "module"), [("postgresql", "postgres", "psycopg"), ("mysql", "mysql", "pymysql")]
)
def test_a_driver_that_is_not_installed_is_named(scheme: str, extra: str, module: str) -> None:
    told = (
        "import sys\n"
        f"sys.modules[{module!r}] = None\n"
        "from whence.database import Database\n"
        "from whence.errors import UnsupportedError\n"
        "try:\n"
        f"    Database.from_url('{scheme}://u@127.0.0.1/x')\n"
        "except UnsupportedError as error:\n"
        "    print(error.code, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"extra-missing pip install 'whence[{extra}]'"


@pytest.mark.parametrize("kind", [MariadbServer, PostgresServer])
def test_a_server_that_is_not_installed_is_absent(
    kind: type[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"WHENCE_TEST_{kind.name.upper()}", str(tmp_path))
    monkeypatch.setattr("whence.testing.servers._quick_folder", lambda: tmp_path)
    with pytest.raises(ServerAbsentError):
        kind.start()
    assert list(tmp_path.iterdir()) == []
