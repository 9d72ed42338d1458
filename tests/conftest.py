"""What the project's tests share: marks that ask for something, and skip or fail when it is not there."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest

from whence.testing.servers import MariadbServer, PostgresServer, Server, ServerAbsentError

# Two workers on two cores, each with learners that spin on two threads, would wait for each other most of
# the time. Set before anything loads OpenMP, and inherited by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# One server for each worker, begun by the first test that forks; it is not told twice.
multiprocessing.set_forkserver_preload(["tests.prepared"])

#: Names of marks that must not skip, separated by commas, or `all`. Public data is never required:
#: it cannot be in the repository, so only its own machine can have it.
REQUIRED: Final = frozenset(filter(None, os.environ.get("WHENCE_TEST_REQUIRE", "").split(",")))
DATA: Final = os.environ.get("WHENCE_TEST_DATA")

#: What makes the golden files runs with the peers they were asked of, not with the tests.
collect_ignore_glob = ["golden/*/make*.py"]

#: Fixtures that start a server; whoever asks for one is marked `service`.
SERVERS: Final = frozenset({"mariadb_server", "postgres_server"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("service")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("public_data") and not (DATA and Path(DATA).is_dir()):
        pytest.skip("WHENCE_TEST_DATA names no folder with the public data")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is required, a skip is a failure: nothing may be green because it was not asked."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _is_required(item):
        report.outcome = "failed"
        report.longrepr = f"required by WHENCE_TEST_REQUIRE, but skipped: {report.longrepr}"
    return report


def _is_required(item: pytest.Item) -> bool:
    if item.get_closest_marker("public_data"):
        return False
    if "all" in REQUIRED:
        return True
    return any(item.get_closest_marker(name) for name in REQUIRED)


@pytest.fixture
def public_data() -> Path:
    """The folder with the public data; the test must be marked `public_data`."""
    assert DATA is not None
    return Path(DATA)


def _started(kind: type[Server]) -> Iterator[Server]:
    try:
        server = kind.start()
    except ServerAbsentError as absent:
        pytest.skip(absent.message)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL of this process's own; `server.database()` gives the URL of an empty schema."""
    yield from _started(PostgresServer)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Server]:
    """A MariaDB of this process's own; `server.database()` gives the URL of an empty database."""
    yield from _started(MariadbServer)


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """An empty schema in PostgreSQL, for one test."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def mariadb_url(mariadb_server: Server) -> Iterator[str]:
    """An empty database in MariaDB, for one test."""
    with mariadb_server.database() as url:
        yield url
