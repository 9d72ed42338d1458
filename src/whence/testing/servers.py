"""Real database servers for tests: started on a free loopback port, stopped by their own process id.

What a machine has is used as it is: the binaries on the path, where Debian puts them, or in the folder
that ``WHENCE_TEST_POSTGRES`` (its ``bin``) or ``WHENCE_TEST_MARIADB`` (its root) names. Nothing is
downloaded. The servers keep their defaults where those are unkind (an index order that is no byte order,
latin1 tables), because users' servers do.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from whence.config import TEST_PREFIX
from whence.errors import BackendError

#: How long a server may take to answer, on a machine that does other things too.
START_S: Final = 60.0

#: The files of servers lie in memory where this much is free.
MEMORY_BYTES: Final = 4 * 2**30

#: The one role of PostgreSQL that must give its password, once a test has made it.
GUARDED_ROLE: Final = "guarded"

#: Accounts that package managers make for the servers; these refuse to run as root.
POSTGRES_USER: Final = "postgres"


class ServerAbsentError(BackendError):
    """This machine has no such server: a test skips, with this as its reason."""

    default_code = "server-absent"


class Server(ABC):
    """One running server; `start` it, ask for `database` as often as needed, `stop` it.

    Attributes:
        host: Always loopback.
        port: A port that was free.
        user: Who may connect, without a password.
        folder: Its files, and its socket.
        certificate: What proves the server to be itself; None where no ``openssl`` makes one.
    """

    name: ClassVar[str]
    user: ClassVar[str]
    ending: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self) -> None:
        self.environment = dict(os.environ)
        self.host = "127.0.0.1"
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"whence-{self.name}-", dir=_quick_folder()))
        self.certificate: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    @classmethod
    def start(cls) -> Self:
        """A server that answers.

        Raises:
            ServerAbsentError: It is not installed here.
            BackendError: It is, but does not start; the end of its log is in the message.
        """
        server = cls()
        try:
            server._launch()
            server._wait()
        except BaseException:
            server.stop()
            raise
        return server

    def stop(self) -> None:
        """End the process that was started here, and remove its files."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.ending)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new and empty database, gone after the block."""
        name = f"whence_{os.getpid()}_{next(self._numbers)}"
        url = self._create(name)
        try:
            yield url
        finally:
            self._drop(name)

    @abstractmethod
    def connect(self) -> Any:  # Any: the driver's connection
        """A connection of the driver, as the owner of everything, each statement its own transaction."""

    @abstractmethod
    def _launch(self) -> None: ...

    @abstractmethod
    def _create(self, name: str) -> str: ...

    @abstractmethod
    def _drop(self, name: str) -> None: ...

    def _certify(self, *, user: str | None = None) -> None:
        program = shutil.which("openssl")
        if program is None:
            return
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        made = ["-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "certificate.pem")]
        self._run(
            [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", *names, *made],
            user=user,
        )
        (self.folder / "key.pem").chmod(0o600)
        self.certificate = self.folder / "certificate.pem"

    def _run(self, command: Sequence[str], *, user: str | None = None) -> None:
        done = subprocess.run(  # noqa: S603 - the command is ours
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            **_as(user),
        )
        if done.returncode:
            raise BackendError(
                f"{Path(command[0]).name} failed: {done.stderr[-2000:]}", code="store-unavailable"
            )

    def _spawn(self, command: Sequence[str], *, user: str | None = None) -> None:
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the same
                [*_end_with_parent(self.ending), *command], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                **_as(user),
            )  # fmt: skip

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.connect().close()
            except Exception as error:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    log = (self.folder / "log").read_text(errors="replace")[-2000:]
                    raise BackendError(
                        f"{self.name} does not start: {log}", code="store-unavailable"
                    ) from error
                time.sleep(0.05)
            else:
                return


class PostgresServer(Server):
    """PostgreSQL with one schema for each test; its text is ordered as a dictionary does, not by bytes."""

    name = "postgres"
    user = POSTGRES_USER
    ending = signal.SIGINT  # SIGTERM would wait for every client to leave

    def _launch(self) -> None:
        folder = _postgres_bin()
        user = POSTGRES_USER if os.geteuid() == 0 else None
        if user is not None:
            try:
                shutil.chown(self.folder, user)
            except LookupError as error:
                raise ServerAbsentError(
                    "PostgreSQL does not run as root, and no user postgres exists"
                ) from error
        self._certify(user=user)
        data = self.folder / "data"
        initdb = [str(folder / "initdb"), "-D", str(data), "-U", self.user, "-A", "trust", "-N", "-E", "UTF8"]
        self._run([*initdb, "--no-locale", *_dictionary_order(folder)], user=user)
        (data / "pg_hba.conf").write_text(
            f"host all {GUARDED_ROLE} all scram-sha-256\nlocal all all trust\nhost all all {self.host}/32 trust\n"
        )
        # A test may kill its own process, never the machine: the files need no fsync.
        told = {"listen_addresses": self.host, "unix_socket_directories": str(self.folder), "fsync": "off", "shared_buffers": "32MB",
                "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "64"}  # fmt: skip
        if self.certificate is not None:
            told |= {
                "ssl": "on",
                "ssl_cert_file": str(self.certificate),
                "ssl_key_file": str(self.folder / "key.pem"),
            }
        options = [part for name, value in told.items() for part in ("-c", f"{name}={value}")]
        self._spawn([str(folder / "postgres"), "-D", str(data), "-p", str(self.port), *options], user=user)

    def connect(self) -> Any:
        import psycopg

        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        )

    def _create(self, name: str) -> str:
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"postgresql://{self.user}@{self.host}:{self.port}/postgres?schema={name}"

    def _drop(self, name: str) -> None:
        with self.connect() as connection:
            connection.execute("SET lock_timeout = '10s'")
            connection.execute(f"DROP SCHEMA {name} CASCADE")


class MariadbServer(Server):
    """MariaDB with one database for each test, made with the server's own character set."""

    name = "mariadb"
    user = "root"

    def _launch(self) -> None:
        self.environment["TMPDIR"] = str(self.folder)  # two that are made at once would meet in /tmp
        base = os.environ.get(f"{TEST_PREFIX}MARIADB")
        if base is not None:
            root = Path(base)
            program, install = root / "usr/sbin/mariadbd", root / "usr/bin/mariadb-install-db"
            if not (program.exists() and install.exists()):
                raise ServerAbsentError(f"MariaDB is not unpacked in {base!r}")
            libraries = [str(folder) for folder in (root / "usr/lib").glob("*-linux-gnu")]
            self.environment["LD_LIBRARY_PATH"] = ":".join(libraries)
            given = [f"--basedir={root / 'usr'}", f"--plugin-dir={root / 'usr/lib/mysql/plugin'}",
                     f"--lc-messages-dir={root / 'usr/share/mysql'}"]  # fmt: skip
        else:
            program, install, given = _on_path("mariadbd"), _on_path("mariadb-install-db"), []
        data, me = self.folder / "data", ["--user=root"] if os.geteuid() == 0 else []
        self._run(
            [str(install), "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", *me,
             f"--datadir={data}", *[g for g in given if g.startswith("--basedir")]],
        )  # fmt: skip
        self._certify()
        secure = [] if self.certificate is None else [
            f"--ssl-cert={self.certificate}", f"--ssl-key={self.folder / 'key.pem'}"
        ]  # fmt: skip
        told = ["--skip-name-resolve", "--skip-log-bin", "--performance-schema=OFF", "--innodb-flush-log-at-trx-commit=0",
                "--innodb-buffer-pool-size=48M", "--innodb-log-file-size=32M", "--skip-innodb-file-per-table", "--innodb-doublewrite=0"]  # fmt: skip
        self._spawn(
            [str(program), "--no-defaults", *me, *secure, f"--datadir={data}", f"--bind-address={self.host}",
             f"--port={self.port}", f"--socket={self.folder / 's.sock'}", f"--pid-file={self.folder / 'pid'}",
             f"--tmpdir={self.folder}", *given, *told],
        )  # fmt: skip

    def connect(self) -> Any:
        import pymysql

        return pymysql.connect(
            host=self.host, port=self.port, user=self.user, autocommit=True, connect_timeout=5
        )

    def _create(self, name: str) -> str:
        self._execute(f"CREATE DATABASE {name}")
        return f"mariadb://{self.user}@{self.host}:{self.port}/{name}"

    def _drop(self, name: str) -> None:
        self._execute("SET lock_wait_timeout = 10", f"DROP DATABASE {name}")

    def _execute(self, *statements: str) -> None:
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def _postgres_bin() -> Path:
    named = os.environ.get(f"{TEST_PREFIX}POSTGRES")
    folders = [Path(named)] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if not named and (found := shutil.which("initdb")):
        folders.insert(0, Path(found).resolve().parent)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise ServerAbsentError("PostgreSQL is not installed here (no initdb)", hint="apt-get install postgresql")


def _dictionary_order(folder: Path) -> list[str]:
    """Options that make PostgreSQL order text as a language does, since 15."""
    told = subprocess.run([folder / "initdb", "--help"], capture_output=True, text=True, check=False)  # noqa: S603 - ours
    return ["--locale-provider=icu", "--icu-locale=en-US"] if "--icu-locale" in told.stdout else []


def _on_path(program: str) -> Path:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/bin")
    if found is None:
        raise ServerAbsentError(
            f"MariaDB is not installed here (no {program})", hint="apt-get install mariadb-server"
        )
    return Path(found)


def _quick_folder() -> Path | None:
    """Memory, where there is plenty: tests make tables all the time, and no disk has to last."""
    memory = Path("/dev/shm")  # noqa: S108 - the files go into a folder of their own
    if (
        tempfile.tempdir is None
        and os.access(memory, os.W_OK)
        and shutil.disk_usage(memory).free > MEMORY_BYTES
    ):
        return memory
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as(user: str | None) -> dict[str, Any]:
    """What lets a program run as another user."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def _end_with_parent(how: signal.Signals) -> list[str]:
    """A server must not outlive tests that are killed: Linux sees to that, for the thread that started it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", how.name.removeprefix("SIG")] if setpriv else []
