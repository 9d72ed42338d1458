"""Answering requests beside its floor, in one run: requests a second and milliseconds, with 1 and 16 clients.

    python benchmarks/bench_requests.py [--quick]

The floor is a bare ASGI application under the same HTTP server: it decodes the same body, predicts what is queued
together, answers, and keeps nothing. `whence serve` also checks Host, Origin and signature, follows the alias, and
syncs each answer with its inputs to disk before it tells it. Clients are keep-alive connections of another process,
each asking again when it was answered. Rounds alternate; the median of the rounds' ratios is what is claimed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import uvicorn
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import whence

N_FEATURES = 30
NAMES = [f"f{i}" for i in range(N_FEATURES)]
ROW = np.random.default_rng(3).normal(size=N_FEATURES).round(6)

# --- the floor


class Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Body(msgspec.Struct):
    inputs: list[Tensor]


class Bare:
    """Decode, predict what is queued together, answer."""

    def __init__(self, model: object) -> None:
        self._ask = model.predict_proba  # type: ignore[attr-defined]
        self._decode = msgspec.json.Decoder(Body).decode
        self._encode = msgspec.json.Encoder().encode
        self._queue: list[tuple[list[float], asyncio.Future[float]]] = []

    async def __call__(self, scope: dict[str, object], receive: object, send: object) -> None:
        if scope["type"] != "http":
            return
        message = await receive()  # type: ignore[operator]
        row = [tensor.data[0] for tensor in self._decode(message["body"]).inputs]
        loop = asyncio.get_running_loop()
        future: asyncio.Future[float] = loop.create_future()
        if not self._queue:
            loop.call_soon(self._drain)
        self._queue.append((row, future))
        score = await future
        output = {"name": "score", "shape": [1], "datatype": "FP64", "data": [score]}
        body = self._encode({"model_name": "late", "model_version": "1", "outputs": [output]})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": body})  # type: ignore[operator]

    def _drain(self) -> None:
        queue, self._queue = self._queue, []
        scores = self._ask(np.array([row for row, _ in queue]))[:, 1]
        for (_, future), score in zip(queue, scores.tolist(), strict=True):
            future.set_result(score)


def fit() -> object:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5_000, N_FEATURES))
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(
        x, (x[:, 0] + rng.normal(size=5_000) > 0)
    )


def run_bare(port: int, ready: Connection) -> None:
    """The floor's process."""

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready.send(True)

    config = uvicorn.Config(
        Bare(fit()), port=port, lifespan="off", log_config=None, access_log=False, server_header=False,
        proxy_headers=False, ws="none",
    )  # fmt: skip
    Server(config).run()


# --- the clients


class Client(asyncio.Protocol):
    """One connection: asks, waits, asks again."""

    def __init__(self, request: bytes, until: float, done: asyncio.Future[None]) -> None:
        self._request, self._until, self._done = request, until, done
        self.times: list[float] = []
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]):
            return
        assert head.startswith(b"HTTP/1.1 200"), self._data[:300]
        now = time.perf_counter()
        self.times.append(now - self._asked)
        self._data = b""
        if now < self._until:
            self._ask()
        else:
            self._transport.close()
            self._done.set_result(None)


def _same(client: Client) -> Client:
    return client


async def ask(port: int, n_clients: int, seconds: float) -> list[float]:
    inputs = [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [float(v)]}
        for name, v in zip(NAMES, ROW, strict=True)
    ]
    body = json.dumps({"inputs": inputs}).encode()
    request = (
        f"POST /v2/models/late/infer HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body
    loop = asyncio.get_running_loop()
    until = time.perf_counter() + seconds
    clients = []
    for _ in range(n_clients):
        done: asyncio.Future[None] = loop.create_future()
        client = Client(request, until, done)
        await loop.create_connection(partial(_same, client), "127.0.0.1", port)
        clients.append((client, done))
    await asyncio.gather(*(done for _, done in clients))
    return [t for client, _ in clients for t in client.times]


@dataclass(frozen=True)
class Side:
    """One of the two servers."""

    name: str
    port: int
    pid: int

    def cpu_s(self) -> float:
        """What its process has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measure(self, n_clients: int, seconds: float) -> tuple[float, float, float, float]:
        """Requests a second, median and 99th percentile in milliseconds, microseconds of CPU a request."""
        busy = self.cpu_s()
        times = sorted(asyncio.run(ask(self.port, n_clients, seconds)))
        busy = self.cpu_s() - busy
        p50, p99 = 1e3 * statistics.median(times), 1e3 * times[int(len(times) * 0.99)]
        return len(times) / seconds, p50, p99, 1e6 * busy / len(times)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter and fewer rounds")
    quick = parser.parse_args().quick
    seconds, rounds = (1.5, 2) if quick else (4.0, 5)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "requests.whence"
        with whence.connect(folder) as ws:
            sample = pa.table({name: np.zeros(3) for name in NAMES})
            ws.models.register("late", fit(), sample=sample)
            ws.models.set_alias("late", "champion", 1)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        bare_port = free_port()
        bare = context.Process(target=run_bare, args=(bare_port, theirs), daemon=True)
        bare.start()
        ours.recv()
        command = [
            sys.executable,
            "-m",
            "whence",
            "serve",
            "-w",
            str(folder),
            "--port",
            "0",
            "--no-pages",
        ]
        served = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            assert served.stdout is not None
            port = int(served.stdout.readline().decode().rpartition(":")[2])
            sides = Side("floor: bare ASGI", bare_port, bare.pid or 0), Side("whence serve", port, served.pid)
            for side in sides:
                side.measure(16, 0.5)
            for n_clients in (1, 16):
                compare(sides, n_clients, seconds, rounds)
        finally:
            served.terminate()
            served.wait(60)
            bare.terminate()
            bare.join()
        with whence.connect(folder) as ws:
            print(f"answers in the table: {ws.table('late_requests').head().n_rows:,}")
    return 0


def compare(sides: Sequence[Side], n_clients: int, seconds: float, rounds: int) -> None:
    found = [[side.measure(n_clients, seconds) for side in sides] for _ in range(rounds)]
    for side, values in zip(sides, zip(*found, strict=True), strict=True):
        rate, p50, p99, cpu = (statistics.median(column) for column in zip(*values, strict=True))
        print(
            f"{n_clients:>2} clients  {side.name:<18} {rate:8,.0f} req/s   p50 {p50:6.2f} ms   p99 {p99:6.2f} ms"
            f"   cpu {cpu:6.0f} us/req"
        )
    rate = statistics.median(ours[0] / floor[0] for floor, ours in found)
    cpu = statistics.median(floor[3] / ours[3] for floor, ours in found)
    print(f"{n_clients:>2} clients  ratio of rates {rate:.2f}, of requests per CPU second {cpu:.2f}")


if __name__ == "__main__":
    sys.exit(main())
