"""Connections without a whole request: closed in time, and never in the way of those that bring one."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import whence
from whence.server.connections import Connections, most_connections

N_HALF = 1_005


class Transport:
    def __init__(self) -> None:
        self.closed = False

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


class Cycle:
    def __init__(self, *, response_complete: bool = False, more_body: bool = False) -> None:
        self.response_complete, self.more_body = response_complete, more_body


class Connection:
    """As much of uvicorn's protocol as is looked at."""

    def __init__(self, cycle: Cycle | None = None, timer: object = None) -> None:
        self.transport, self.cycle, self.timeout_keep_alive_task = Transport(), cycle, timer


def closed(connections: list[Connection]) -> list[bool]:
    return [c.transport.closed for c in connections]


def test_who_brings_no_head_in_time_is_closed() -> None:
    half, at_work, idle = (
        Connection(),
        Connection(Cycle()),
        Connection(Cycle(response_complete=True), "timer"),
    )
    again = Connection(Cycle(response_complete=True))  # was answered, and has begun another head
    crowd = Connections(head_timeout_s=10)
    there = [half, at_work, idle, again]
    for now in (0.0, 5.0, 9.9):
        crowd.sweep(there, now)
        assert closed(there) == [False] * 4
    crowd.sweep(there, 10.0)
    assert closed(there) == [True, False, False, True]


def test_each_head_has_its_own_time() -> None:
    client = Connection()
    crowd = Connections(head_timeout_s=10)
    crowd.sweep([client], 0.0)
    client.cycle = Cycle(response_complete=True)  # answered between two looks, and the next head has begun
    crowd.sweep([client], 9.0)
    crowd.sweep([client], 18.0)
    assert not client.transport.closed
    crowd.sweep([client], 19.0)
    assert client.transport.closed


def test_too_many_make_place_for_others() -> None:
    crowd = Connections(head_timeout_s=10, most=8)
    old = Connection()
    crowd.sweep([old], 0.0)
    young = Connection()
    crowd.sweep([old, young], 1.0)
    slow, at_work = Connection(Cycle(more_body=True)), [Connection(Cycle()) for _ in range(5)]
    crowd.make_place([*at_work, slow, young, old])
    assert closed([old, young, slow, *at_work]) == [True, *[False] * 7]
    crowd.make_place([*at_work, slow, young, old])  # the one that is closing counts no more
    assert closed([young, slow]) == [False] * 2
    crowd.make_place([*at_work, Connection(Cycle()), slow, young, old])
    crowd.make_place([*at_work, Connection(Cycle()), Connection(Cycle()), slow, young, old])
    assert closed([young, slow, *at_work]) == [True, True, *[False] * 5]


def test_connections_leave_files_for_the_rest() -> None:
    most = most_connections()
    assert 0 < most <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A server that waits a second for a head, and two for the next request."""
    folder = tmp_path / "a.whence"
    whence.connect(folder).close()
    program = (
        "import sys, whence; from whence.server import serve\n"
        "with whence.connect(sys.argv[1]) as ws:\n"
        "    ready = lambda address: print(address, flush=True)\n"
        "    serve(ws, port=0, head_timeout_s=1.0, idle_timeout_s=2, on_ready=ready)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, env={**os.environ}
    )
    assert process.stdout is not None
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)\n", process.stdout.readline().decode())
    assert found
    yield int(found[1])
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stdout.close()


def ask(connection: http.client.HTTPConnection) -> tuple[int, Any]:
    connection.request("GET", "/v2/health/live")
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def is_closed(client: socket.socket) -> bool:
    """Whether the server closes it, waiting for that."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_thousand_half_heads_shut_nobody_out_and_are_closed(port: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4 * N_HALF:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * N_HALF), hard))
    with contextlib.ExitStack() as stack:
        half = []
        for _ in range(N_HALF):
            half.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)))
            half[-1].sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-a: " % port)
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            stack.callback(connection.close)
            assert ask(connection) == (200, {"live": True})
        assert all(is_closed(client) for client in half)
        assert is_closed(connection.sock)  # idle after its answer


def test_a_connection_is_used_again_within_its_time(port: int) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        first = None
        for _ in range(5):
            assert ask(connection) == (200, {"live": True})
            first = first or connection.sock
        assert connection.sock is first
