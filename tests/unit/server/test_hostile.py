"""Whatever a client sends, it is told what is wrong with it: no bytes and no JSON are a fault of the server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import whence
from whence.server.app import make_app
from whence.server.guards import App
from whence.server.served import Served

JSON = (b"content-type", b"application/json")
NUMBERS = pa.table({"n": pa.array([1, 2, 3], pa.int64()), "x": [0.5, 1.5, -2.0]})
TEXTS = pa.table({"t": ["a", "b", "a"], "b": [True, False, True], "f": pa.array([0.5, 1, 2], pa.float32())})


class Asked:
    """The server of a workspace as an application, asked without a network."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def post(self, path: str, body: bytes, *headers: tuple[bytes, bytes]) -> tuple[int, Any]:
        return asyncio.run_coroutine_threadsafe(self._post(path, body, headers), self._loop).result(60)

    async def _post(
        self, path: str, body: bytes, headers: tuple[tuple[bytes, bytes], ...]
    ) -> tuple[int, Any]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "scheme": "http", "http_version": "1.1",
            "headers": [(b"host", b"127.0.0.1:8765"), (b"content-length", b"%d" % len(body)), *headers],
        }  # fmt: skip
        await self._app(scope, receive, send)
        return sent[0]["status"], json.loads(b"".join(m.get("body", b"") for m in sent[1:]))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with whence.connect(tmp_path_factory.mktemp("hostile") / "a.whence") as ws:
        ws.models.register("numbers", LinearRegression().fit([[1, 0.5], [2, 1.5]], [0, 1]), sample=NUMBERS)
        texts = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LinearRegression())
        rows = [["a", 1.0, 0.5], ["b", 0.0, 1.0], ["a", 1.0, 2.0]]
        ws.models.register("texts", texts.fit(rows, [0, 1, 2]), sample=TEXTS)
        ws.models.register("nowhere", LinearRegression().fit([[1, 0.5], [2, 1.5]], [0, 1]), sample=NUMBERS)
        served = Served(ws)
        served.open()
        served.find("nowhere").line.scorer._ask = lambda x: np.full(len(x), np.inf)  # it overflows
        made = Asked(make_app(ws, served=served, pages=False))
        yield made
        made.close()
        served.close()


DEEP = ['{"a":' * 50_000 + "1" + "}" * 50_000, "[" * 50_000 + "]" * 50_000, "[" * 50_000]
NUMBERS_OF_ALL_SIZES = [
    f"[{10**400}, 1, 2, 3]", f"[{10**30}, 1, 2, null]", "[128, -300, 70000, -1]", f"[{2**63}, 1, 2, 3]", "-0",
    "1e999", "-1e999", "1" * 400, "1" * 5_000, f"[{'9' * 5_000}]", "9007199254740993", "1.7e308", "[-1.7e308]",
    "[1e5]", "NaN", "4294967296", "[4294967297]", "[65536, 65536]", "[-1]", "[0, 2]",
]  # fmt: skip
TEXTS_OF_ALL_KINDS = [
    '"\\ud800"', '"\\ud800x"', '["\\udfff"]', '"\\u0000"', '["\xff"]', '["\ud800"]', '"' + "a" * 5_000 + '"',
    '["2013-07-01"]', '"1"',
]  # fmt: skip
FORMS = [
    "null",
    "[]",
    "{}",
    "true",
    "[null]",
    "[[]]",
    "[[1], 2]",
    "[1, [2]]",
    "[[1, 2], [3]]",
    "{",
    "]",
    "",
    "1,",
    '"\\',
]

piece = st.one_of(
    st.sampled_from(DEEP),
    st.sampled_from(NUMBERS_OF_ALL_SIZES),
    st.sampled_from(TEXTS_OF_ALL_KINDS),
    st.sampled_from(FORMS),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ).map(json.dumps),
)
"""A piece of JSON, or of none, that stands where something else is wanted."""

USUAL = {
    "numbers": [("n", "[1]", "INT64", "[1]"), ("x", "[1]", "FP64", "[0.5]")],
    "numbers at once": [("all", "[2, 2]", "INT64", "[1, 2, 3, 4]")],
    "texts": [("t", "[1]", "BYTES", '["a"]'), ("b", "[1]", "BOOL", "[true]"), ("f", "[1]", "FP32", "[0.5]")],
}
DATATYPES = ["BOOL", "BYTES", "FP32", "FP64", "INT8", "INT64", "UINT8", "UINT32", "UINT64", "FP16"]


@st.composite
def bodies(draw: st.DrawFn, kind: str) -> bytes:
    """A request that is right but for some pieces."""
    request = {"id": "null", "parameters": "{}", "outputs": "[]", "of another protocol": "1"}
    for i, (name, shape, datatype, data) in enumerate(USUAL[kind]):
        given = {"name": f'"{name}"', "shape": shape, "datatype": f'"{datatype}"', "data": data}
        request |= {f"{i} {key}": value for key, value in given.items()}
    for key in draw(st.lists(st.sampled_from(sorted(request)), min_size=1, max_size=2)):
        request[key] = draw(st.sampled_from(DATATYPES).map(json.dumps) if key.endswith("datatype") else piece)
        request[key] = draw(st.sampled_from(["{}", "{}", "[{}]", '{{"keys_only": {}}}'])).format(request[key])
    tensors = [
        "{" + ", ".join(f'"{key[2:]}": {value}' for key, value in request.items() if key[:2] == f"{i} ") + "}"
        for i in range(len(USUAL[kind]))
    ]
    fields = [f'"{key}": {value}' for key, value in request.items() if not key[0].isdecimal()]
    image = "{" + ", ".join([*fields, f'"inputs": [{", ".join(tensors)}]']) + "}"
    return image.encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A request of which some bytes are others."""
    image = bytearray(draw(bodies(draw(st.sampled_from(sorted(USUAL))))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(image)))
        image[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(image)


paths = st.sampled_from(
    [
        "/v2/models/numbers/infer", "/v2/models/texts/infer", "/v2/models/numbers/versions/1/infer",
        "/v2/models/numbers/versions/²/infer", "/v2/models/nothing/infer", "/v2/models/numbers@1/infer",
    ]
) | st.text(max_size=20).map(lambda text: f"/v2/models/{text}/infer")  # fmt: skip


def check(asked: Asked, path: str, body: bytes) -> tuple[int, Any]:
    status, told = asked.post(path, body, JSON)
    assert status in {200, 400, 404, 409, 413, 422, 503}, told
    assert ("error" in told) is (status != 200)
    assert len(json.dumps(told)) < 20_000
    return status, told


many = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@many
@given(paths, st.binary(max_size=60) | damaged())
def test_no_bytes_are_a_fault_of_the_server(asked: Asked, path: str, body: bytes) -> None:
    check(asked, path, body)


@many
@given(st.data(), st.sampled_from(sorted(USUAL)))
def test_no_json_is_a_fault_of_the_server(asked: Asked, data: st.DataObject, kind: str) -> None:
    check(asked, f"/v2/models/{kind.split()[0]}/infer", data.draw(bodies(kind)))


def usual(n: str = "[1]", x: str = "[0.5]", more: str = "", kind: str = "INT64") -> bytes:
    return (
        f'{{{more} "inputs": [{{"name": "n", "shape": [1], "datatype": "{kind}", "data": {n}}},'
        f' {{"name": "x", "shape": [1], "datatype": "FP64", "data": {x}}}]}}'
    ).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (usual(), 200),
        (b'{"x":' * 50_000 + b"1" + b"}" * 50_000, 400),
        (usual(more='"parameters": {"a": ' + "[" * 50_000 + "]" * 50_000 + "},"), 400),
        (usual(more='"parameters": {"a": [1, {"b": null}]},'), 200),
        (usual(n="[" + "1" * 401 + "]"), 400),
        (usual(n="[999]", kind="INT8"), 400),
        (usual(n="[-9]", kind="UINT8"), 400),
        (usual(n='["\xff"]', kind="BYTES"), 400),
        (usual(x="[1.7e308]").replace(b"[1]", b"[null]", 1), 400),
        (b'{"inputs": [{"name": "a", "shape": [1, 2], "datatype": "INT64", "data": [1%s, 1]}]}' % (b"0" * 400), 400),
    ],
)  # fmt: skip
def test_what_was_a_fault_once_is_none(asked: Asked, body: bytes, status: int) -> None:
    assert check(asked, "/v2/models/numbers/infer", body)[0] == status


def test_rows_for_which_a_model_has_no_number_are_unprocessable(asked: Asked) -> None:
    status, told = check(asked, "/v2/models/nowhere/infer", usual())
    assert (status, told["code"]) == (422, "score-not-finite")
