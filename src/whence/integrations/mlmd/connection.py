"""From a ``ConnectionConfig`` or ``MetadataStoreClientConfig`` to whatever answers its calls.

::

    fake_database, sqlite without a file    a graph in memory, gone with the store
    sqlite{filename_uri, connection_mode}   READONLY: a file that is there, no writes; READWRITE: a file that is there;
                                            READWRITE_OPENCREATE and nothing: made when absent
    mysql, postgresql                       the graph in that database
    host, port of a client                  a service somewhere

A file or database that ML Metadata itself wrote is read as it was when it was opened, with its ids, and never written:
in every mode a write raises FailedPreconditionError and names ``whence import mlmd``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote, unquote, urlencode

from whence.database import sqlite_url
from whence.errors import ConflictError, IntegrityError, WhenceError
from whence.integrations.mlmd.backends.grpc import GrpcChannel
from whence.integrations.mlmd.backends.reader import create_database, open_reader
from whence.integrations.mlmd.backends.source import Source
from whence.integrations.mlmd.batches import Brought
from whence.integrations.mlmd.errors import (
    FailedPreconditionError,
    PermissionDeniedError,
    absent,
    from_whence,
)
from whence.integrations.mlmd.importer import load_source
from whence.integrations.mlmd.messages import metadata_store_pb2
from whence.integrations.mlmd.service import MlmdService
from whence.integrations.mlmd.wire import Message
from whence.metadata import open_store
from whence.metadata.rows import KINDS

MAX_IN_MEMORY: Final = 200_000
"""Nodes of a database of ML Metadata that are read into memory; a larger one is read into a temporary file."""

Call = Callable[[str, Message], Message]
_Mode: Final = metadata_store_pb2.SqliteMetadataSourceConfig


class Connection:
    """What answers a client's calls: a method's name and a request give a response."""

    def __init__(self, call: Call, close: Callable[[], None]) -> None:
        self.call = call
        self.close = close


def connect_config(config: Message) -> Connection:
    """The connection of a ``ConnectionConfig``.

    Raises:
        StatusError: As ML Metadata: NOT_FOUND for a file that must exist, UNIMPLEMENTED for a database that this
            whence has no backend for.
    """
    kind = config.WhichOneof("config")
    if kind is None:
        raise FailedPreconditionError("Unknown database type in the ConnectionConfig.")
    try:
        if kind == "sqlite":
            return _sqlite(config.sqlite)
        if kind == "fake_database":
            return _opened("memory://")
        url = _mysql_url(config.mysql) if kind == "mysql" else _postgres_url(config.postgresql)
        if not getattr(config, kind).skip_db_creation:
            create_database(url)
        return _theirs(url) if is_mlmd_database(url) else _opened(url)
    except WhenceError as error:
        raise from_whence(error) from error


def _opened(url: str, refuse_writes: Callable[[], None] | None = None) -> Connection:
    store = open_store(url)
    return Connection(MlmdService(store, refuse_writes=refuse_writes).call, store.close)


def _sqlite(config: Message) -> Connection:
    if not config.filename_uri:
        return _opened("memory://")
    path = _path(config.filename_uri)
    mode = config.connection_mode
    if mode in (_Mode.READONLY, _Mode.READWRITE) and not path.is_file():
        raise absent(f"Cannot open sqlite database {path}: there is no such file.")
    if path.is_file() and is_mlmd_file(path):
        return _theirs(path)
    return _opened(sqlite_url(path), _refuse_read_only if mode == _Mode.READONLY else None)


def _theirs(place: Path | str) -> Connection:
    """A database of ML Metadata's own, read into a graph that lasts as long as the connection."""

    def refuse() -> None:
        raise from_whence(
            ConflictError(
                f"{shown} was written by ML Metadata and is only read here",
                code="mlmd-read-only",
                hint=f"whence import mlmd {shown} brings it into a graph that can be written",
            )
        )

    with ExitStack() as stack, Source(place) as source:
        shown = source.place
        counts = source.counts()
        n_nodes = sum(counts[kind.capitalize()] for kind in KINDS)
        if n_nodes <= MAX_IN_MEMORY:
            url = "memory://"
        else:
            url = sqlite_url(Path(stack.enter_context(TemporaryDirectory(prefix="whence-"))) / "whence.db")
        store = open_store(url)
        stack.callback(store.close)
        load_source(store, source, Brought(source.name, source.version, counts))
        return Connection(MlmdService(store, refuse_writes=refuse).call, stack.pop_all().close)


def _path(name: str) -> Path:
    """The file of a ``filename_uri``: a path, or ``file:PATH?…``."""
    if not name.startswith("file:"):
        return Path(name)
    bare = name.removeprefix("file:").partition("?")[0]
    return Path(unquote(bare.removeprefix("//") if bare.startswith("///") else bare))


def is_mlmd_file(path: Path) -> bool:
    """Whether ML Metadata wrote a SQLite file."""
    try:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'MLMDEnv'"
            return connection.execute(query).fetchone() is not None
    except sqlite3.DatabaseError:
        return False


def is_mlmd_database(url: str) -> bool:
    """Whether ML Metadata keeps its tables in a database: whence's would have the same names.

    Raises:
        BackendError: The server cannot be reached, or there is no such database.
    """
    with open_reader(url) as reader:
        try:
            return bool(reader.rows("SELECT schema_version FROM MLMDEnv"))
        except IntegrityError:
            return False


def _refuse_read_only() -> None:
    raise PermissionDeniedError("The database is opened with connection_mode READONLY.")


def _mysql_url(config: Message) -> str:
    options = {"unix_socket": config.socket} if config.socket else {}
    ssl = config.ssl_options
    options |= {
        f"ssl_{name}": getattr(ssl, name)
        for name in ("key", "cert", "ca", "capath", "cipher")
        if getattr(ssl, name)
    }
    if ssl.verify_server_cert and not (ssl.ca or ssl.capath):
        options["ssl_verify_cert"] = "true"  # with an authority of its own the driver verifies anyway
    return _url(
        "mysql", config.user, config.password, config.host, str(config.port or ""), config.database, options
    )


def _postgres_url(config: Message) -> str:
    options = {"hostaddr": config.hostaddr} if config.hostaddr else {}
    if config.passfile:
        options["passfile"] = config.passfile
    ssl = config.ssloption
    names = ("sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert")
    options |= {name: getattr(ssl, name) for name in names if getattr(ssl, name)}
    return _url("postgresql", config.user, config.password, config.host, config.port, config.dbname, options)


def _url(
    scheme: str, user: str, password: str, host: str, port: str, database: str, options: dict[str, str]
) -> str:
    who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    place = f"{who}@{host}" if who else host
    query = f"?{urlencode(options)}" if options else ""
    return f"{scheme}://{place}{f':{port}' if port else ''}/{quote(database, safe='')}{query}"


def connect_client(config: Message) -> Connection:
    """The connection of a ``MetadataStoreClientConfig``: nothing is asked before the first call."""
    options: list[tuple[str, int]] = []
    given = config.channel_arguments
    if given.HasField("max_receive_message_length"):
        options.append(("grpc.max_receive_message_length", given.max_receive_message_length))
    if given.HasField("http2_max_ping_strikes"):
        options.append(("grpc.http2.max_ping_strikes", given.http2_max_ping_strikes))
    tls = None
    if config.HasField("ssl_config"):
        ssl = config.ssl_config
        fields = (
            ("custom_ca", ssl.custom_ca),
            ("client_key", ssl.client_key),
            ("server_cert", ssl.server_cert),
        )
        ca, key, chain = (value.encode("ascii") if ssl.HasField(name) else None for name, value in fields)
        tls = (ca, key, chain)
    channel = GrpcChannel(
        f"{config.host}:{config.port}",
        options=tuple(options),
        tls=tls,
        timeout_s=config.client_timeout_sec if config.HasField("client_timeout_sec") else None,
    )
    return Connection(channel.call, channel.close)
