"""A server that runs until it is told to stop, and then loses nothing."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Final, cast

import uvicorn

from whence.errors import BackendError
from whence.server.app import make_app
from whence.server.connections import HEAD_TIMEOUT_S, IDLE_TIMEOUT_S, Connections, most_connections
from whence.server.guards import BODY_TIMEOUT_S, MAX_BODY_BYTES, App, check_loopback
from whence.server.infer import MAX_ROWS
from whence.server.served import Served
from whence.workspace import Workspace

log = logging.getLogger(__name__)

_BACKLOG: Final = 1024
_TICKS_S: Final = 10
"""uvicorn ticks ten times a second."""
STOP_TIMEOUT_S: Final = 10
"""How long requests under way may take once the server is told to stop."""


def serve(
    ws: Workspace,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    deployments: Sequence[str] | None = None,
    allowed_hosts: Iterable[str] = (),
    max_body_bytes: int = MAX_BODY_BYTES,
    max_rows: int = MAX_ROWS,
    body_timeout_s: float = BODY_TIMEOUT_S,
    head_timeout_s: float = HEAD_TIMEOUT_S,
    idle_timeout_s: int = IDLE_TIMEOUT_S,
    pages: bool = True,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a workspace until SIGTERM or SIGINT; then answer what came, commit what was answered, and return.

    Args:
        ws: The workspace.
        host: An address of this machine that no other can reach.
        port: 0 takes a free one.
        deployments: As for `make_app`.
        allowed_hosts: As for `make_app`.
        max_body_bytes: As for `make_app`.
        max_rows: As for `make_app`.
        body_timeout_s: As for `make_app`.
        head_timeout_s: A connection that has not brought the whole head of a request by then is closed.
        idle_timeout_s: … and one on which no further request comes after an answer.
        pages: As for `make_app`.
        on_ready: Called with the server's address when it answers.

    Raises:
        UsageError: ``not-loopback``.
        BackendError: The port is taken (``port-taken``).
    """
    check_loopback(host)
    listener = _listen(host, port)
    served = Served(ws, deployments)
    try:
        served.open()  # before the server runs: what is wrong is told in our words
        bound = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        app = make_app(
            ws,
            host=host,
            port=bound,
            served=served,
            allowed_hosts=allowed_hosts,
            max_body_bytes=max_body_bytes,
            max_rows=max_rows,
            body_timeout_s=body_timeout_s,
            pages=pages,
            on_ready=None if on_ready is None else lambda: on_ready(f"http://{shown}:{bound}"),
        )
        listener.listen(_BACKLOG)  # who asks from now on waits; nobody is refused
        connections = Connections(head_timeout_s=head_timeout_s, most=most_connections())
        _Server(_settings(app, connections, idle_timeout_s), connections).run(sockets=[listener])
    finally:
        served.close()
        listener.close()


def _settings(app: App, connections: Connections, idle_timeout_s: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", connections.admit),  # it is only called, as a class would be
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=idle_timeout_s,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
        backlog=_BACKLOG,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named: asyncio sends at once only on sockets that say they are TCP
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise BackendError(
            f"{host}:{port} cannot be listened on: {error.strerror}",
            code="port-taken",
            hint="name another with --port, or 0 for a free one",
        ) from error
    return listener


class _Server(uvicorn.Server):
    """Ends when it is told to; whoever started it sees an orderly return and not the signal again."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_S == 0:
            self._connections.sweep(list(self.server_state.connections), time.monotonic())
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        kinds = (signal.SIGINT, signal.SIGTERM)
        before = {kind: signal.signal(kind, self.handle_exit) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)
