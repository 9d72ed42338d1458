"""What is deployed under a name while the server runs answers, and no request is lost on the way."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

import whence
from whence.errors import UnsupportedError
from whence.server.app import make_app
from whence.server.served import Served
from whence.serving import Answerer, Deployment
from whence.workspace import Workspace

SAMPLE = pa.table({"n": pa.array([1, 2], pa.int64()), "x": [0.5, 1.5]})
ROWS = [{"n": 1, "x": 0.5}]


def constant(value: float) -> Any:
    """A model whose answer tells which it is."""
    model = LinearRegression()
    model.coef_, model.intercept_, model.n_features_in_ = np.zeros(2), value, 2
    return model


def fill(ws: Workspace) -> None:
    for value in (1.0, 2.0):
        ws.models.register("late", constant(value), sample=SAMPLE)
    ws.models.set_alias("late", "champion", 1)


def deploy(ws: Workspace, name: str, model: str, into: str = "late") -> Deployment:
    return ws.serving.deploy(name, model=model, table="trips", views=[], at="at", key="id", into=into)


def test_a_deployment_made_under_a_models_name_answers(tmp_path: Path) -> None:
    with whence.connect(tmp_path / "a.whence") as ws:
        fill(ws)
        served = Served(ws, follow_s=0)
        served.open()
        first = served.find("late").answer(ROWS, id="one")
        assert first.model == "late@1"
        deploy(ws, "late", "late@2", into="scores")
        served.follow()
        answer = served.find("late").answer(ROWS, id="two")
        assert (answer.model, answer.into) == ("late@2", "scores_requests")
        served.close()
        for into, id_ in (("late_requests", "one"), ("scores_requests", "two")):
            assert [r["request_id"] for r in ws.table(into).arrow().to_pylist()] == [id_]


def test_deployed_anew_it_answers_with_the_new_and_remembers_what_was_told(tmp_path: Path) -> None:
    with whence.connect(tmp_path / "a.whence") as ws:
        fill(ws)
        deploy(ws, "express", "late@1")
        served = Served(ws, follow_s=0)
        served.open()
        assert served.find("express").answer(ROWS, id="one").model == "late@1"
        deploy(ws, "express", "late@2")
        served.follow()
        assert served.find("express").answer(ROWS, id="two").model == "late@2"
        again = served.find("express").answer(ROWS, id="one")
        assert (again.repeated, again.model) == (True, "late@1")
        deploy(ws, "express", "late@1")  # back
        served.follow()
        assert served.find("express").answer(ROWS, id="three").model == "late@1"
        same = served.find("express")
        served.follow()
        assert served.find("express") is same
        served.close()


def test_a_new_deployment_is_opened(tmp_path: Path) -> None:
    with whence.connect(tmp_path / "a.whence") as ws:
        fill(ws)
        served = Served(ws, follow_s=0)
        served.open()
        deploy(ws, "express", "late@2")
        served.follow()
        assert served.answerers["express"].line.version.version == 2
        served.close()


def test_what_cannot_answer_does_not_take_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with whence.connect(tmp_path / "a.whence") as ws:
        fill(ws)
        deploy(ws, "express", "late@1")
        served = Served(ws, follow_s=0)
        served.open()
        tried: list[Deployment] = []

        def refuse(deployment: Deployment, folder: Path) -> Answerer:
            tried.append(deployment)
            raise UnsupportedError("not this one", code="model-not-servable")

        deploy(ws, "express", "late@2")
        with monkeypatch.context() as patch:
            patch.setattr(ws.serving, "answerer", refuse)
            served.follow()
            served.follow()
        assert len(tried) == 1  # not again for a while
        assert served.find("express").answer(ROWS).model == "late@1"
        deploy(ws, "express", "late@champion")
        ws.models.set_alias("late", "champion", 2)
        served.follow()
        assert served.find("express").answer(ROWS).model == "late@2"
        served.close()


def test_no_request_is_lost_while_deployments_change(tmp_path: Path) -> None:
    """Sixteen clients ask without a pause; the deployment moves between versions and tables under them."""
    told: dict[str, tuple[float, str]] = {}
    with whence.connect(tmp_path / "a.whence") as ws:
        fill(ws)
        deploy(ws, "express", "late@1", into="a")
        served = Served(ws, follow_s=0.05)
        app = make_app(ws, served=served, pages=False)
        moved = threading.Event()

        async def post(id_: str) -> tuple[int, Any]:
            sent: list[Any] = []
            tensors = [
                {"name": "n", "shape": [1], "datatype": "INT64", "data": [1]},
                {"name": "x", "shape": [1], "datatype": "FP64", "data": [0.5]},
            ]
            body = json.dumps({"id": id_, "inputs": tensors}).encode()

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            async def send(message: Any) -> None:
                sent.append(message)

            headers = [
                (b"host", b"127.0.0.1:8765"),
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
            ]
            path = "/v2/models/express/infer"
            scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
            await app(scope, receive, send)
            return sent[0]["status"], json.loads(sent[1]["body"])

        async def client(who: int) -> int:
            k = 0
            while not moved.is_set():
                status, answer = await post(f"c{who}-{k}")
                assert status == 200, answer
                told[answer["id"]] = answer["outputs"][0]["data"][0], answer["parameters"]["into"]
                k += 1
            return k

        def move() -> None:
            try:
                for model, into in (("late@2", "a"), ("late@1", "b"), ("late@2", "b")):
                    n = len(told)
                    deploy(ws, "express", model, into=into)
                    want = float(model[-1]), f"{into}_requests"
                    poll = threading.Event()
                    for _ in range(3_000):
                        if want in list(told.values())[n:]:
                            break
                        poll.wait(0.02)
                    else:
                        raise AssertionError(f"{want} did not come about within a minute")
            finally:
                moved.set()

        async def all_of_it() -> None:
            clients = [asyncio.create_task(client(who)) for who in range(16)]
            await asyncio.to_thread(move)
            assert all(await asyncio.gather(*clients))

        served.open()
        thread = threading.Thread(target=lambda: failures.extend(run(all_of_it())))
        failures: list[BaseException] = []
        thread.start()
        thread.join(180)
        assert failures == []
        served.close()
        stored = {
            row["request_id"]: (row["score"], into)
            for into in ("a_requests", "b_requests")
            for row in ws.table(into).arrow(["request_id", "score"]).to_pylist()
        }
        n_rows = sum(ws.table(into).head().n_rows for into in ("a_requests", "b_requests"))
    assert stored == told
    assert n_rows == len(told)


def run(coroutine: Any) -> list[BaseException]:
    """In a thread of its own, as Hypothesis and others may have a loop in this one; gives what failed."""
    try:
        asyncio.run(coroutine)
    except BaseException as error:  # noqa: BLE001  # it is told by the test's own thread
        return [error]
    return []
