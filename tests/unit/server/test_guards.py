"""What stands before every request, asked as an ASGI application without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.server.loops import in_a_thread
from whence.errors import UsageError
from whence.server.guards import (
    HELD_FACTOR,
    LARGE_BYTES,
    Guards,
    check_loopback,
    own_hosts,
    read_body,
    respond,
)

OWN = [(b"host", b"127.0.0.1:8765")]
Received = Callable[[], Awaitable[dict[str, Any]]]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = await read_body(receive)
    await respond(send, 200, b"%d" % len(body))


def ask(
    headers: list[tuple[bytes, bytes]],
    pieces: list[bytes] | None = None,
    *,
    forever: bool = False,
    **more: Any,
) -> tuple[int, dict[str, Any] | int, dict[bytes, bytes]]:
    """Status, body and headers of one request."""
    sent: list[Any] = []
    left = list(pieces if pieces is not None else [b""])

    async def receive() -> dict[str, Any]:
        if not left:
            if forever:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or forever}

    async def send(message: Any) -> None:
        sent.append(message)

    guards = Guards(echo, hosts=own_hosts("127.0.0.1", 8765, ["proxy.example"]), **more)
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    in_a_thread(guards(scope, receive, send))
    if not sent:
        return 0, {}, {}
    return sent[0]["status"], json.loads(sent[1]["body"]), dict(sent[0]["headers"])


@pytest.mark.parametrize(
    "host", [b"127.0.0.1:8765", b"localhost:8765", b"LOCALHOST:8765", b"[::1]:8765", b"proxy.example"]
)
def test_own_hosts_pass(host: bytes) -> None:
    assert ask([(b"host", host)])[:2] == (200, 0)


@pytest.mark.parametrize(
    "host",
    [b"evil.example", b"127.0.0.1", b"127.0.0.1:80", b"localhost:8765.evil.example", b"", b"0.0.0.0:8765"],
)
def test_foreign_hosts_are_misdirected(host: bytes) -> None:
    status, body, headers = ask([(b"host", host)])
    assert (status, body["code"]) == (421, "host-refused")  # type: ignore[index]
    assert headers[b"x-content-type-options"] == b"nosniff"


def test_a_request_without_or_with_two_hosts_is_refused() -> None:
    assert ask([])[0] == 421
    assert ask([*OWN, (b"host", b"evil.example")])[0] == 400


@given(st.binary(max_size=30))
def test_no_other_host_passes(host: bytes) -> None:
    own = {b"127.0.0.1:8765", b"localhost:8765", b"[::1]:8765", b"proxy.example"}
    assert (ask([(b"host", host)])[0] == 200) is (host.lower() in own)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"origin", b"http://127.0.0.1:8765")], 200),
        ([(b"origin", b"http://localhost:8765")], 200),
        ([(b"origin", b"http://localhost:3000")], 403),
        ([(b"origin", b"http://evil.example")], 403),
        ([(b"origin", b"null")], 403),
        ([(b"sec-fetch-site", b"cross-site")], 403),
        ([(b"sec-fetch-site", b"same-site")], 403),
        ([(b"sec-fetch-site", b"same-origin")], 200),
        ([(b"sec-fetch-site", b"none")], 200),
        ([(b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate")], 200),
    ],
)
def test_pages_of_others_may_not_ask(headers: list[tuple[bytes, bytes]], status: int) -> None:
    found, _, answered = ask([*OWN, *headers])
    assert found == status
    assert not any(name.startswith(b"access-control") for name in answered)


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    status, body, headers = ask([*OWN, (b"content-length", b"11")], [b"x" * 11], max_body_bytes=10)
    assert (status, body["code"], headers[b"connection"]) == (413, "body-too-large", b"close")  # type: ignore[index]


def test_a_body_that_turns_out_too_large_is_given_up() -> None:
    chunked = [*OWN, (b"transfer-encoding", b"chunked")]
    assert ask(chunked, [b"x" * 5, b"x" * 5], max_body_bytes=10)[:2] == (200, 10)
    assert ask(chunked, [b"x" * 5, b"x" * 6], max_body_bytes=10)[0] == 413
    assert ask([*OWN, (b"content-length", b"ten")])[0] == 400


def test_a_body_that_does_not_come_is_given_up() -> None:
    status, body, _ = ask([*OWN, (b"content-length", b"9")], [b"x"], forever=True, body_timeout_s=0.01)
    assert (status, body["code"]) == (408, "body-timeout")  # type: ignore[index]


def test_a_client_that_vanishes_is_told_nothing() -> None:
    assert ask([*OWN, (b"transfer-encoding", b"chunked")], [])[0] == 0


def sized(n: int) -> list[tuple[bytes, bytes]]:
    return [*OWN, (b"content-length", b"%d" % n)]


def test_many_large_bodies_at_once_come_later() -> None:
    n = LARGE_BYTES + 1
    status, body, answered = ask(sized(n), [b"x" * n], max_held_bytes=HELD_FACTOR * n - 1)
    assert (status, body["code"], answered[b"retry-after"]) == (503, "server-busy", b"1")  # type: ignore[index]
    assert ask(sized(n), [b"x" * n], max_held_bytes=HELD_FACTOR * n)[0] == 200
    assert ask(sized(n), [b"x" * 100, b"x" * (n - 100)], max_held_bytes=HELD_FACTOR * n)[0] == 200
    assert ask(sized(n), [b"x" * (n - 1), b"x"], max_held_bytes=HELD_FACTOR * n - 1)[0] == 503


def test_small_bodies_pass_however_many_large_ones_are_held() -> None:
    assert ask(sized(LARGE_BYTES), [b"x" * LARGE_BYTES], max_held_bytes=0)[0] == 200


def test_memory_is_given_back() -> None:
    n = LARGE_BYTES + 1
    guards = Guards(echo, hosts=own_hosts("127.0.0.1", 8765), max_held_bytes=HELD_FACTOR * n)

    async def one() -> int:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"x" * n, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await guards({"type": "http", "headers": sized(n)}, receive, send)
        return int(sent[0]["status"])

    async def several() -> list[int]:
        return [await one() for _ in range(5)]

    assert in_a_thread(several()) == [200] * 5


def test_requests_in_work_are_counted_and_slow_ones_are_not() -> None:
    guards_of: dict[str, Any] = {"hosts": own_hosts("127.0.0.1", 8765), "max_requests": 2}

    async def several() -> list[tuple[int, Any, dict[bytes, bytes]]]:
        go_on, at_work = asyncio.Event(), asyncio.Semaphore(0)

        async def work(scope: Any, receive: Any, send: Any) -> None:
            await read_body(receive)
            at_work.release()
            await go_on.wait()
            await respond(send, 200, b"1")

        guards = Guards(work, **guards_of)

        async def one(*, whole: bool = True, n: int = 1) -> tuple[int, Any, dict[bytes, bytes]]:
            sent: list[Any] = []

            async def receive() -> dict[str, Any]:
                if not whole:
                    await asyncio.Event().wait()
                return {"type": "http.request", "body": b"x" * n, "more_body": False}

            async def send(message: Any) -> None:
                sent.append(message)

            headers = sized(n) if n else OWN
            await guards({"type": "http", "headers": headers}, receive, send)
            return sent[0]["status"], json.loads(sent[1]["body"]), dict(sent[0]["headers"])

        slow = [asyncio.create_task(one(whole=False)) for _ in range(5)]
        first = [asyncio.create_task(one(n=n)) for n in (1, 0)]
        for _ in first:
            await at_work.acquire()
        refused = [await one(n=n) for n in (1, 0)]
        go_on.set()
        answered = [await task for task in first] + [await one()]
        for task in slow:
            task.cancel()
        return [*refused, *answered]

    found = in_a_thread(several())
    assert [status for status, _, _ in found] == [503, 503, 200, 200, 200]
    for _, body, headers in found[:2]:
        assert (body["code"], headers[b"retry-after"]) == ("server-busy", b"1")
        assert body["error"] == "too many requests at once"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", ""])
def test_only_this_machine_is_bound_to(host: str) -> None:
    with pytest.raises(UsageError, match="not-loopback"):
        check_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_is_bound_to(host: str) -> None:
    assert check_loopback(host) == host
