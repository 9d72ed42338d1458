"""A real server in a process of its own: clients by the dozen, models that move, signals, and clients that misbehave."""

from __future__ import annotations

import contextlib
import http.client
import inspect
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

import whence
from whence.cli.serve import serve as cli_serve
from whence.server.infer import MAX_ROWS

SAMPLE = pa.table({"n": pa.array([1, 2], pa.int64()), "x": [0.5, 1.5]})
INTO = "late_requests"
PATH = "/v2/models/late/infer"
JSON = {"content-type": "application/json"}


def constant(value: float) -> Any:
    """A model whose answer tells which it is."""
    model = LinearRegression()
    model.coef_, model.intercept_, model.n_features_in_ = np.zeros(2), value, 2
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with whence.connect(tmp_path / "served.whence") as ws:
        for value in (1.0, 2.0):
            ws.models.register("late", constant(value), sample=SAMPLE)
        ws.models.set_alias("late", "champion", 1)
    return tmp_path / "served.whence"


class Server:
    """``whence serve`` on a free port."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        command = [
            sys.executable, "-m", "whence", "serve", "-w", str(folder), "--port", "0", "--no-pages", *options,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment}
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        found = re.fullmatch(r"whence serves at http://127\.0\.0\.1:(\d+)\n", line)
        assert found, (line, self.process.stderr.read() if self.process.stderr and not line else "")
        self.port = int(found[1])

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(60)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    made = Server(folder)
    yield made
    if made.process.poll() is None:
        assert made.end(signal.SIGTERM) == 0


def request(id_: str, n: int = 1) -> bytes:
    inputs = [
        {"name": "n", "shape": [n], "datatype": "INT64", "data": list(range(n))},
        {"name": "x", "shape": [n], "datatype": "FP64", "data": [0.5] * n},
    ]
    return json.dumps({"id": id_, "inputs": inputs}).encode()


def keep_asking(server: Server, who: int, told: dict[str, float], stop: Callable[[], bool]) -> str:
    """One client: asks until it is told to stop or nobody answers; says why it ended."""
    with contextlib.closing(server.connect()) as connection:
        for k in itertools.count():
            if stop():
                return "stopped"
            try:
                connection.request("POST", PATH, request(f"c{who}-{k}"), JSON)
                response = connection.getresponse()
                body = json.loads(response.read())
            except (OSError, http.client.HTTPException):
                return "gone"
            if response.status == 503:
                return "closing"
            assert response.status == 200, body
            told[body["id"]] = body["outputs"][0]["data"][0]
    raise AssertionError("unreachable")


def stored(folder: Path) -> dict[str, float]:
    """Id → score, after whatever a new server puts right; each once."""
    with whence.connect(folder) as ws:
        ws.serving.settle_requests(folder / "requests")
        rows = ws.table(INTO).arrow(["request_id", "row", "score"]).to_pylist()
    assert [key for key, n in Counter((r["request_id"], r["row"]) for r in rows).items() if n > 1] == []
    return {r["request_id"]: r["score"] for r in rows}


class Crowd:
    """Sixteen clients that ask at once."""

    def __init__(self, server: Server) -> None:
        self.told: dict[str, float] = {}
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(16)
        self._ends = [
            self._pool.submit(keep_asking, server, who, self.told, self._stop.is_set) for who in range(16)
        ]

    def wait_for(self, enough: Callable[[], bool]) -> None:
        """Until something holds of what they were told."""
        poll = threading.Event()
        for _ in range(3_000):
            if enough():
                return
            poll.wait(0.02)
        raise AssertionError("it did not come about within a minute")

    def end(self) -> Counter[str]:
        self._stop.set()
        ends = Counter(end.result(60) for end in self._ends)
        self._pool.shutdown()
        return ends


def test_models_move_under_sixteen_clients_and_no_request_is_lost(folder: Path, server: Server) -> None:
    crowd = Crowd(server)
    crowd.wait_for(lambda: len(crowd.told) > 100)
    with whence.connect(folder) as ws:
        ws.models.set_alias("late", "champion", 2)
        crowd.wait_for(lambda: list(crowd.told.values()).count(2.0) > 100)
        moved = len(crowd.told)
        ws.models.set_alias("late", "champion", 1, reason="back")
        crowd.wait_for(lambda: list(crowd.told.values())[moved:].count(1.0) > 100)
    assert crowd.end() == {"stopped": 16}
    assert server.end(signal.SIGTERM) == 0
    assert stored(folder) == crowd.told


def test_told_to_stop_it_answers_what_came_and_commits(folder: Path) -> None:
    server = Server(folder)
    crowd = Crowd(server)
    crowd.wait_for(lambda: len(crowd.told) > 200)
    assert server.end(signal.SIGTERM) == 0
    ends = crowd.end()
    assert ends["stopped"] == 0
    with whence.connect(folder) as ws:
        assert list((folder / "requests").rglob("*.log")) == []
        rows = ws.table(INTO).arrow(["request_id"]).column(0).to_pylist()
    assert len(rows) == len(set(rows))
    assert set(crowd.told) <= set(rows)


def test_killed_it_has_every_acknowledged_answer_once(folder: Path) -> None:
    told: dict[str, float] = {}
    for _ in range(2):
        server = Server(folder)
        crowd = Crowd(server)
        crowd.wait_for(lambda crowd=crowd: len(crowd.told) > 100)  # type: ignore[misc]
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
        assert crowd.end()["stopped"] == 0
        told |= crowd.told
    again = Server(folder)
    name = next(iter(told))
    status, body = again.ask("POST", PATH, request(name), JSON)
    assert (status, body["parameters"]["repeated"], body["outputs"][0]["data"]) == (200, True, [told[name]])
    assert again.end(signal.SIGTERM) == 0
    found = stored(folder)
    assert {k: found.get(k) for k in told} == told


def test_killed_while_it_commits_the_next_goes_on(folder: Path) -> None:
    """At the end of one server, then at the start of the next, which commits what the first had left."""
    first = Server(folder, WHENCE_CRASH_AT="serving.request.before-commit")
    assert first.ask("POST", PATH, request("kept", 3), JSON)[0] == 200
    assert first.end(signal.SIGTERM) == -signal.SIGKILL
    command = [sys.executable, "-m", "whence", "serve", "-w", str(folder), "--port", "0", "--no-pages"]
    environment = {**os.environ, "WHENCE_CRASH_AT": "lake.commit.after"}
    second = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)
    assert (second.returncode, second.stdout) == (-signal.SIGKILL, b"")
    third = Server(folder)
    status, body = third.ask("POST", PATH, request("kept", 3), JSON)
    assert (status, body["parameters"]["repeated"]) == (200, True)
    assert third.end(signal.SIGTERM) == 0
    assert stored(folder) == {"kept": 1.0}


def test_the_protocol(server: Server) -> None:
    assert server.ask("GET", "/v2/health/live") == (200, {"live": True})
    assert server.ask("GET", "/v2/health/ready") == (200, {"ready": True, "failed": {}})
    assert server.ask("GET", "/v2")[1]["models"] == ["late"]
    status, about = server.ask("GET", "/v2/models/late")
    assert (status, about["versions"], [i["name"] for i in about["inputs"]]) == (200, ["1"], ["n", "x"])
    assert server.ask("GET", "/v2/models/late/versions/2")[1]["versions"] == ["2"]
    assert server.ask("GET", "/v2/models/late/ready")[1]["ready"] is True
    status, body = server.ask("POST", "/v2/models/late/versions/2/infer", request("two", 2), JSON)
    assert (status, body["model_version"], body["outputs"][0]["data"]) == (200, "2", [2.0, 2.0])
    for method, path, wanted in (
        ("GET", "/v2/models/lat", 404), ("GET", "/v2/models/late/versions/9", 404),
        ("GET", PATH, 405), ("PUT", "/v2", 405), ("GET", "/v2/nothing", 404), ("GET", "/etc/passwd", 404),
    ):  # fmt: skip
        status, body = server.ask(method, path)
        assert (status, sorted(body)) == (wanted, ["code", "error"])
    for path, wanted in (
        ("/v2/models/lat/infer", 404), ("/v2/models/late/versions/9/infer", 404),
        ("/v2/models/late/versions/champion/infer", 404), ("/v2/models/..%2F..%2Fetc/infer", 404),
        ("/v2/models/file:%2F%2F%2Fetc%2Fpasswd/infer", 404),
    ):  # fmt: skip
        status, body = server.ask("POST", path, request("x"), JSON)
        assert (status, sorted(body)) == (wanted, ["code", "error"]), path


def test_bad_bodies_are_refused_with_the_right_status(server: Server) -> None:
    for body, headers, wanted in (
        (b"{", JSON, 400),
        (b"{}", JSON, 400),
        (request("x"), {"content-type": "text/plain"}, 415),
        (request("x"), {}, 415),
        (request("x"), {**JSON, "content-encoding": "gzip"}, 415),
        (request("x"), {**JSON, "host": "evil.example"}, 421),
        (request("x"), {**JSON, "origin": "http://evil.example"}, 403),
        (b" " * ((16 << 20) + 1), JSON, 413),
        (request("x"), {"content-type": "application/json; charset=utf-8"}, 200),
        (request("x", 2), JSON, 409),
    ):
        try:
            status, found = server.ask("POST", PATH, body, headers)
        except (ConnectionError, http.client.HTTPException):
            assert wanted == 413  # it was refused before it was sent to its end
            continue
        assert status == wanted, (found, headers)
        assert ("error" in found) is (wanted != 200)


def test_a_chunked_body_that_does_not_end_is_cut_off(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
        client.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b"%x\r\n" % (1 << 20) + b" " * (1 << 20) + b"\r\n"
        try:
            for _ in range(40):
                client.sendall(piece)
            answer = client.recv(4096)
        except ConnectionError:
            answer = b"HTTP/1.1 413"
    assert answer.startswith(b"HTTP/1.1 413")
    assert server.ask("GET", "/v2/health/live")[0] == 200


def test_slow_and_vanishing_clients_harm_no_other(folder: Path, server: Server) -> None:
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(request('slow'))}\r\n\r\n"
    ).encode()
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(40)]
    for client in slow:
        client.sendall(head + request("slow")[:9])
    for k in range(40):  # the whole request, and away before the answer
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as gone:
            body = request(f"gone-{k}")
            gone.sendall(
                head.replace(b"Content-Length: %d" % len(request("slow")), b"Content-Length: %d" % len(body))
            )
            gone.sendall(body)
    crowd = Crowd(server)
    crowd.wait_for(lambda: len(crowd.told) > 100)
    assert crowd.end() == {"stopped": 16}
    for client in slow:
        client.close()
    assert server.end(signal.SIGINT) == 0
    found = stored(folder)
    assert {k: found.get(k) for k in crowd.told} == crowd.told
    assert "slow" not in found


def peak_bytes(server: Server) -> int:
    """The most memory a server's process has had."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) << 10


def test_large_requests_keep_nobody_waiting_and_take_bounded_memory(server: Server) -> None:
    """Clients post the largest legal bodies, with too many rows and with as many as are taken; others are answered."""
    assert server.ask("POST", PATH, request("first"), JSON)[0] == 200
    before = peak_bytes(server)
    n = 3_900_000
    ones = b"1," * (n - 1) + b"1"
    inputs = b'{"name": "n", "shape": [%d], "datatype": "INT64", "data": [%s]}, {"name": "x", "shape": [%d], '
    inputs += b'"datatype": "FP64", "data": [%s]}'
    too_many = b'{"inputs": [' + inputs % (n, ones, n, ones) + b"]}"
    lying = b'{"inputs": [' + inputs % (1, ones, 1, ones) + b"]}"
    most = request("most", 16_384).replace(b'"id": "most", ', b"")
    stop = threading.Event()

    def ask_small(who: int) -> Counter[int]:
        found: Counter[int] = Counter()
        with contextlib.closing(server.connect()) as connection:
            while not stop.is_set():
                connection.request("POST", PATH, request(f"small-{who}-{found.total()}"), JSON)
                response = connection.getresponse()
                response.read()
                found[response.status] += 1
        return found

    def ask_large(image: bytes) -> tuple[int, Any]:
        try:
            status, body = server.ask("POST", PATH, image, JSON)
        except (OSError, http.client.HTTPException):
            return 503, None  # it was refused before it was sent to its end
        return status, body.get("code")

    with ThreadPoolExecutor(12) as pool:
        small = [pool.submit(ask_small, who) for who in range(2)]
        try:
            answers = Counter(pool.map(ask_large, [too_many, most, lying, most, most] * 4))
        finally:
            stop.set()
        assert [set(one.result(60)) for one in small] == [{200}] * 2
    expected = [(413, "too-many-rows"), (200, None), (400, "bad-tensor")]
    assert {key for key in answers if key[0] != 503} <= set(expected), answers
    assert [ask_large(image) for image in (too_many, most, lying)] == expected  # each alone is not too much
    assert peak_bytes(server) - before < 512 << 20


def test_the_limit_of_rows_can_be_set(folder: Path) -> None:
    server = Server(folder, "--max-rows", "2")
    assert server.ask("POST", PATH, request("two", 2), JSON)[0] == 200
    status, body = server.ask("POST", PATH, request("three", 3), JSON)
    assert (status, body["code"]) == (413, "too-many-rows")
    assert "at most 2 rows" in body["error"]
    assert server.end(signal.SIGTERM) == 0


def test_the_limit_of_rows_is_the_same_on_every_way() -> None:
    assert inspect.signature(cli_serve).parameters["max_rows"].default == MAX_ROWS


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--host", "0.0.0.0"], 2, "not-loopback"),
        (["--deployment", "nope"], 2, "deployment-not-found"),
    ],
)
def test_what_cannot_be_served_is_said(folder: Path, options: list[str], code: int, said: str) -> None:
    command = [sys.executable, "-m", "whence", "serve", "-w", str(folder), "--port", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_a_taken_port_is_said(folder: Path, server: Server) -> None:
    command = [sys.executable, "-m", "whence", "serve", "-w", str(folder), "--port", str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "port-taken" in done.stderr
