"""A damaged segment of one request log: the others answer, it is told loudly, and no byte of it is lost."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

import whence
from tests.unit.server.loops import in_a_thread
from whence.errors import BackendError, IntegrityError
from whence.server.app import make_app
from whence.server.served import Served
from whence.serving.requestlog import MAGIC, Shard, frame, list_shards, parse_segment, seal_of
from whence.serving.requesttable import RequestTable
from whence.workspace import Workspace

SAMPLE = pa.table({"n": pa.array([1, 2], pa.int64()), "x": [0.5, 1.5]})
ROWS = [{"n": 1, "x": 0.5}]
IDS = ["one", "two", "three"]


def constant(value: float) -> Any:
    model = LinearRegression()
    model.coef_, model.intercept_, model.n_features_in_ = np.zeros(2), value, 2
    return model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answers of two models that a server left in its logs, three in one segment and one in the next."""
    made = tmp_path / "a.whence"

    def fail(*_: object) -> None:
        raise BackendError("the lake is away", code="store-failed")

    with whence.connect(made) as ws, monkeypatch.context() as patch:
        for name in ("early", "late"):
            ws.models.register(name, constant(1.0), sample=SAMPLE)
        patch.setattr(RequestTable, "_commit", fail)
        served = Served(ws, follow_s=0)
        served.open()
        for name in ("early", "late"):
            for id_ in IDS:
                served.find(name).answer(ROWS, id=id_)
            served.find(name)._log.seal()
            served.find(name).answer(ROWS, id="behind")
        served.close()
    return made


def segments(folder: Path, name: str) -> list[Path]:
    return sorted((folder / "requests" / name).rglob("*.log"))


def damage(path: Path) -> bytes:
    """Change a byte of the second record; gives what the file was."""
    before = path.read_bytes()
    image = bytearray(before)
    (size,) = np.frombuffer(before[len(MAGIC) : len(MAGIC) + 4], np.uint32)
    image[len(MAGIC) + 8 + int(size) + 8 + 40] ^= 0xFF
    path.write_bytes(image)
    return before


def rows_of(ws: Workspace, name: str) -> list[str]:
    handle = ws.table(f"{name}_requests")
    return sorted(handle.arrow(["request_id"]).column(0).to_pylist()) if handle.exists else []


def post(ws: Workspace, served: Served, method: str, path: str) -> tuple[int, Any]:
    sent: list[Any] = []
    tensors = [
        {"name": "n", "shape": [1], "datatype": "INT64", "data": [1]},
        {"name": "x", "shape": [1], "datatype": "FP64", "data": [0.5]},
    ]
    body = json.dumps({"id": "new", "inputs": tensors}).encode() if method == "POST" else b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"host", b"127.0.0.1:8765"),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    app = make_app(ws, served=served, pages=False)

    in_a_thread(app(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_the_others_answer_and_it_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, behind = segments(folder, "late")
    damage(first)
    kept = first.read_bytes(), behind.read_bytes()
    with whence.connect(folder) as ws:
        served = Served(ws, follow_s=0)
        with caplog.at_level(logging.ERROR, "whence.server.served"):
            served.open()
        (told,) = caplog.records
        assert (told.levelname, told.__dict__["deployment"]) == ("ERROR", "late")
        assert "request-log-damaged" in told.__dict__["why"]
        assert rows_of(ws, "early") == ["behind", "one", "three", "two"]
        assert post(ws, served, "POST", "/v2/models/early/infer")[0] == 200
        assert post(ws, served, "GET", "/v2/models/early/ready")[0] == 200
        status, ready = post(ws, served, "GET", "/v2/health/ready")
        assert (status, list(ready["failed"])) == (503, ["late"])
        assert "is not what was written" in ready["failed"]["late"]
        for method, path in (("POST", "/v2/models/late/infer"), ("GET", "/v2/models/late/ready")):
            status, answer = post(ws, served, method, path)
            assert (status, answer["code"]) == (503, "request-log-damaged")
        served.follow()
        served.close()
        assert rows_of(ws, "late") == []
    assert (first.read_bytes(), behind.read_bytes()) == kept


def test_restored_it_answers_again_without_a_restart(folder: Path) -> None:
    first = segments(folder, "late")[0]
    before = damage(first)
    with whence.connect(folder) as ws:
        served = Served(ws, follow_s=0, retry_s=0)
        served.open()
        served.follow()
        assert list(served.why_not_ready()) == ["late"]
        first.write_bytes(before)
        served.follow()
        assert served.why_not_ready() == {}
        assert rows_of(ws, "late") == ["behind", "one", "three", "two"]
        assert served.find("late").answer(ROWS, id="two").repeated
        served.close()
    assert segments(folder, "late") == []


def test_without_a_copy_what_is_whole_is_saved_and_the_file_is_kept(folder: Path) -> None:
    first = segments(folder, "late")[0]
    damage(first)
    image = first.read_bytes()
    with whence.connect(folder) as ws:
        with pytest.raises(IntegrityError, match="request-log-damaged"):
            ws.serving.settle_requests(folder / "requests")
        assert rows_of(ws, "early") == ["behind", "one", "three", "two"]
        assert ws.serving.settle_requests(folder / "requests", salvage=True) == 2
        assert rows_of(ws, "late") == ["behind", "one", "three"]
        assert ws.serving.settle_requests(folder / "requests") == 0
        assert first.with_suffix(".damaged").read_bytes() == image
        served = Served(ws, follow_s=0)
        served.open()
        assert served.why_not_ready() == {}
        assert served.find("late").answer(ROWS, id="one").repeated
        served.close()


def test_a_damaged_shard_does_not_keep_others_of_its_deployment_back(folder: Path) -> None:
    """Another server of the workspace had left answers too."""
    top = folder / "requests" / "late"
    other = Shard.create(top)
    record = parse_segment(segments(folder, "late")[0].read_bytes()).records[0]
    other.path(1).write_bytes(MAGIC + frame(record.replace(b"one", b"far")) + seal_of(1))
    other.release()
    shards = list(list_shards(top))
    assert shards[1].name == other.name
    damage(min(shards[0].glob("*.log")))
    with whence.connect(folder) as ws:
        with pytest.raises(IntegrityError, match=f"segment {shards[0].name}/1"):
            ws.serving.settle_requests(folder / "requests")
        assert rows_of(ws, "late") == ["far"]


def test_nothing_that_was_set_aside_is_overwritten(tmp_path: Path) -> None:
    shard = Shard.create(tmp_path)
    for content in (b"a", b"b", b"c"):
        shard.path(7).write_bytes(content)
        aside = shard.set_aside(7)
        assert aside.read_bytes() == content
    assert sorted(p.read_bytes() for p in shard.folder.glob("*.damaged*")) == [b"a", b"b", b"c"]
    assert shard.segments() == []


@pytest.mark.parametrize("at", [0, len(MAGIC) + 3, len(MAGIC) + 12])
def test_salvaged_are_the_records_that_are_whole(at: int) -> None:
    records = [b"one-record", b"two-record", b"three-record"]
    image = bytearray(MAGIC + b"".join(map(frame, records)) + seal_of(3))
    image[at] ^= 0x40
    found = parse_segment(bytes(image), salvage=True)
    assert found.damaged
    # the length of a record tells where the next begins: with it, what stands behind is lost to the program
    assert found.records == tuple({0: records, len(MAGIC) + 3: [], len(MAGIC) + 12: records[1:]}[at])
    whole = MAGIC + b"".join(map(frame, records)) + seal_of(3)
    assert parse_segment(whole, salvage=True) == parse_segment(whole)
