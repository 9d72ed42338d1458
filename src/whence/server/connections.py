"""Who is connected: a connection that brings no request is closed, and never in the way of one that does.

Nothing here is on a request's way: once a second all connections are looked at, from beside.
"""

from __future__ import annotations

import asyncio
import math
import resource
from collections.abc import Iterable
from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_TIMEOUT_S: Final = 10.0
IDLE_TIMEOUT_S: Final = 60
MAX_CONNECTIONS: Final = 2_000
_WANTED_FILES: Final = 8_192
_AT_ONCE: Final = 8
"""When there are too many, this part of them goes together, so that it is not looked for at each new one."""

# Any: uvicorn's two protocols share these attributes, but no type of it says so
_Connection = Any


class Connections:
    """The connections of a server.

    Args:
        head_timeout_s: One that has not brought a whole head by then is closed, reckoned from when it was opened or
            from the first byte of a further head; seen once a second.
        most: When there are as many, those that have waited longest for the rest of a request are closed.
    """

    def __init__(self, *, head_timeout_s: float = HEAD_TIMEOUT_S, most: int = MAX_CONNECTIONS) -> None:
        self._head_timeout_s, self._most = head_timeout_s, most
        self._waiting: dict[_Connection, tuple[object, float]] = {}

    def admit(self, **about: Any) -> asyncio.Protocol:
        """A new connection, as uvicorn asks for one."""
        there = about["server_state"].connections
        if len(there) >= self._most:
            self.make_place(there)
        made: asyncio.Protocol = AutoHTTPProtocol(**about)
        return made

    def sweep(self, there: Iterable[_Connection], now: float) -> None:
        """Close those whose time is over."""
        waiting: dict[_Connection, tuple[object, float]] = {}
        for connection in there:
            if not _waits(connection):
                continue
            cycle, since = self._waiting.get(connection, (None, now))
            if cycle is not connection.cycle:  # between two looks it was answered, and has begun anew
                since = now
            if now - since >= self._head_timeout_s:
                connection.transport.abort()
            else:
                waiting[connection] = connection.cycle, since
        self._waiting = waiting

    def make_place(self, there: Iterable[_Connection]) -> None:
        """Close some of those whose request has not wholly come, if there are too many."""
        still = [c for c in there if not c.transport.is_closing()]
        if len(still) < self._most:
            return
        partly = [c for c in still if c.cycle is None or c.cycle.response_complete or c.cycle.more_body]
        partly.sort(key=lambda c: self._waiting.get(c, (None, math.inf))[1])
        for connection in partly[: max(self._most // _AT_ONCE, 1)]:
            connection.transport.abort()


def _waits(connection: _Connection) -> bool:
    """Whether a connection is open without a request; idle ones between two requests have uvicorn's own timer."""
    if connection.transport.is_closing():  # what it was answered, it does not read
        return True
    cycle = connection.cycle
    return (cycle is None or cycle.response_complete) and connection.timeout_keep_alive_task is None


def most_connections() -> int:
    """How many connections leave this process enough files; the limit of open files is raised where it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < _WANTED_FILES:
        soft = _WANTED_FILES if hard == unlimited else min(hard, _WANTED_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft == unlimited else min(MAX_CONNECTIONS, soft // 2)
