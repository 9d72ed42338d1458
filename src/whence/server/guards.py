"""What stands before every request: whose it is, how large it is, how long it takes.

A page of another site may make a browser send requests here. It cannot choose the ``Host`` a browser sends, nor hide
its ``Origin``: both must be this server's own. No answer ever allows another origin to read it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from whence.errors import UsageError

# Any: a message of ASGI is a mapping of whatever its type says
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

MAX_BODY_BYTES: Final = 16 << 20
BODY_TIMEOUT_S: Final = 30.0
MAX_REQUESTS: Final = 1_000
LARGE_BYTES: Final = 1 << 16
"""A body up to here is small: taken as long as there are connections, and decoded where it comes."""
HELD_FACTOR: Final = 5
"""What a byte of a body becomes until it is answered: itself, and of ``1,`` eight bytes of a matrix."""

_OWN_SITES: Final = frozenset({b"same-origin", b"none"})


class Refused(Exception):  # noqa: N818  # it is an answer, not a fault
    """A request that is answered with a status and an error."""

    def __init__(
        self, status: int, code: str, message: str, *, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        self.status, self.code, self.message = status, code, message
        self.headers = tuple(headers)
        super().__init__(message)


def check_loopback(host: str) -> str:
    """A host to bind to, if only this machine can reach it.

    Raises:
        UsageError: Others could reach it (``not-loopback``).

    Example:
        >>> check_loopback("127.0.0.1")
        '127.0.0.1'
    """
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise UsageError(
            f"{host!r} can be reached from other machines, and the server asks nobody for a token yet",
            code="not-loopback",
            hint="bind to 127.0.0.1, and let something that checks its callers stand in front",
        )
    return host


def own_hosts(host: str, port: int, allowed: Iterable[str] = ()) -> frozenset[bytes]:
    """What the ``Host`` header of a request to this server may say.

    Args:
        host: Where it is bound.
        port: Its port.
        allowed: More names, as ``name`` or ``name:port``: of what stands in front.

    Example:
        >>> b"localhost:8765" in own_hosts("127.0.0.1", 8765)
        True
    """
    names = {host, "localhost", "127.0.0.1", "::1"}
    spelt = {f"[{name}]" if ":" in name else name for name in names}
    hosts = {f"{name}:{port}" for name in spelt} | ({*spelt} if port == 80 else set())
    return frozenset(name.lower().encode() for name in (*hosts, *allowed))


class Guards:
    """Lets a request through to an app, or answers why not.

    Args:
        app: What is guarded.
        hosts: What ``Host`` may say; see `own_hosts`.
        max_body_bytes: A larger body is refused, before it is read where its length is said.
        body_timeout_s: A body that has not come by then is given up.
        max_held_bytes: Memory that large bodies may take together, with what they become until they are
            answered; beyond, large requests are to come later. By default, that of three of the largest.
        max_requests: Requests that are in work together, each from when it has wholly come; further ones are to come
            later. Connections that bring none, or bring one slowly, do not count.
    """

    def __init__(
        self,
        app: App,
        *,
        hosts: frozenset[bytes],
        max_body_bytes: int = MAX_BODY_BYTES,
        body_timeout_s: float = BODY_TIMEOUT_S,
        max_held_bytes: int | None = None,
        max_requests: int = MAX_REQUESTS,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = frozenset(b"http://" + h for h in hosts) | frozenset(b"https://" + h for h in hosts)
        self._max_body_bytes, self._body_timeout_s = max_body_bytes, body_timeout_s
        held = 3 * HELD_FACTOR * max_body_bytes if max_held_bytes is None else max_held_bytes
        self._room = Room(held, "too many large requests at once")
        self._places = Room(max_requests, "too many requests at once")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # whence speaks no websocket: nothing of one is read
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        body = Body(receive, self._max_body_bytes, self._body_timeout_s, self._room, self._places)
        try:
            self._check(scope["headers"], body)
            await self._app(scope, body, sending)
        except Refused as refused:
            if not started:
                # what is left of the body is not read: the connection cannot be used again
                close = () if body.ended else ((b"connection", b"close"),)
                await refuse(sending, refused, close)
        except Vanished:
            return  # nobody is there to be told
        finally:
            body.release()

    def _check(self, headers: Headers, body: Body) -> None:
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            if name == b"host" and found.get(name, value) != value:
                raise Refused(400, "host-refused", "a request has one Host header")
            found[name] = value
        host = found.get(b"host", b"").lower()
        if host not in self._hosts:
            shown = host.decode("latin-1")[:80]
            raise Refused(421, "host-refused", f"this server is not {shown!r}")
        origin = found.get(b"origin")
        if origin is not None and origin.lower() not in self._origins:
            shown = origin.decode("latin-1")[:80]
            raise Refused(403, "origin-refused", f"a page of {shown!r} may not ask this server")
        foreign = origin is None and found.get(b"sec-fetch-site", b"none") not in _OWN_SITES
        if foreign and found.get(b"sec-fetch-mode") != b"navigate":  # a link a person follows is no attack
            raise Refused(403, "origin-refused", "a page of another site may not ask this server")
        length = found.get(b"content-length")
        if length is not None:
            body.expect(int(length) if length.isdigit() else -1)
        elif b"transfer-encoding" not in found:
            body.end()


class Vanished(Exception):  # noqa: N818  # it is what happened, not a fault
    """The client has gone."""


class Room:
    """What requests may take together: memory, or places.

    Args:
        size: How much there is.
        lack: What is told when it is not enough.
    """

    def __init__(self, size: int, lack: str) -> None:
        self._left, self._lack = size, lack

    def take(self, n: int) -> None:
        """Take some; `Refused` (503) when there is not enough."""
        if n > self._left:
            raise Refused(503, "server-busy", self._lack, headers=((b"retry-after", b"1"),))
        self._left -= n

    def give(self, n: int) -> None:
        """Give it back."""
        self._left += n


class Body:
    """A request's body as it comes: counted, and given up when it takes too long.

    Args:
        receive: Where it comes from.
        max_bytes: It may not be larger.
        timeout_s: It may not take longer, from its first piece asked for to its last.
        room: Where its memory comes from.
        places: Where its place among the requests in work comes from, once it has wholly come.
    """

    def __init__(self, receive: Receive, max_bytes: int, timeout_s: float, room: Room, places: Room) -> None:
        self._receive, self._max_bytes, self._timeout_s = receive, max_bytes, timeout_s
        self._room, self._places = room, places
        self._n_places = 0
        self._n_bytes = 0
        self._n_taken = 0
        self._deadline: float | None = None
        self.ended = False

    def expect(self, n_bytes: int) -> None:
        """Refuse by the length that is said, before anything is read."""
        if n_bytes < 0:
            raise Refused(400, "bad-request", "Content-Length is no number")
        if n_bytes > self._max_bytes:
            raise self._too_large()

    def end(self) -> None:
        """It has wholly come: from now on the request is in work."""
        self.ended = True
        self._places.take(1)
        self._n_places = 1

    def _too_large(self) -> Refused:
        return Refused(413, "body-too-large", f"a body has at most {self._max_bytes:,} bytes")

    async def __call__(self) -> Message:
        """The next message, as ASGI has it; after the body's end whatever comes, however late."""
        if self.ended:
            return await self._receive()
        loop = asyncio.get_running_loop()
        if self._deadline is None:
            self._deadline = loop.time() + self._timeout_s
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise Refused(
                408, "body-timeout", f"the body did not come within {self._timeout_s:g} s"
            ) from None
        if message["type"] == "http.disconnect":
            self.ended = True
            return message
        piece = len(message.get("body", b""))
        if self._n_bytes + piece > self._max_bytes:
            raise self._too_large()
        self._n_bytes += piece
        if self._n_bytes > LARGE_BYTES:  # what is small needs no room, so that large ones leave it its place
            wanted = HELD_FACTOR * self._n_bytes - self._n_taken
            self._room.take(wanted)
            self._n_taken += wanted
        if not message.get("more_body", False):
            self.end()
        return message

    def release(self) -> None:
        """The request is over: its memory and its place are free."""
        self._room.give(self._n_taken)
        self._places.give(self._n_places)
        self._n_taken = self._n_places = 0


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request.

    Raises:
        Vanished: The client has gone before its end.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Vanished
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body
    pieces = [body]
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Vanished
        pieces.append(message.get("body", b""))
    return b"".join(pieces)


async def refuse(send: Send, refused: Refused, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Answer with an error in the protocol's shape."""
    body = msgspec.json.encode({"error": refused.message, "code": refused.code})
    await respond(send, refused.status, body, (*refused.headers, *headers))


async def respond(send: Send, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Answer with JSON, and nothing but JSON."""
    own = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})
