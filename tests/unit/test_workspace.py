"""The words of a workspace reach the right room."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

import whence

TS = pa.timestamp("us", tz="UTC")
MOMENT = datetime(2013, 1, 1, tzinfo=UTC)


def late(name: str) -> whence.FeatureView:
    return whence.FeatureView(
        name, entity=whence.Entity("flight", ["flight"]), source="flights", timestamp="at", ttl="30d",
        features=[whence.last("delay")],
    )  # fmt: skip


def test_the_enforced_schema_says_what_waits_in_quarantine(workspace: whence.Workspace) -> None:
    flights = workspace.table("flights")
    flights.append([{"flight": n, "carrier": "US"} for n in range(50)])
    schema = workspace.validation.infer_schema(workspace.validation.statistics(flights.head()))
    workspace.validation.put_schema("flights", schema, enforce=True)
    rows = [{"flight": 7, "carrier": "US Airways"}, {"flight": 8, "carrier": "US"}]
    commit = flights.append(rows, on_error="quarantine")
    assert (commit.n_rows, commit.n_quarantined) == (1, 1)
    [waiting] = workspace.quarantine("flights").list()
    assert (waiting.reasons, waiting.schema) == (
        ("carrier 'US Airways' is not in the domain",),
        "schema:flights@1",
    )
    workspace.quarantine("flights").correct({"carrier": "US"})
    replayed = workspace.quarantine("flights").replay()
    shown = str(workspace.trace(f"table:flights@{replayed.version}").to_dict())
    assert all(
        word in shown
        for word in ("replay", "correct", "table:quarantine.flights@2", "table:quarantine.flights@1")
    )


def test_a_table_answers_for_its_newest_version(workspace: whence.Workspace) -> None:
    flights = workspace.table("flights")
    flights.append([{"flight": 1}])
    first = flights.digest()
    flights.append([{"flight": 2}])
    assert flights.digest() == flights.head().digest() == flights.at(1).digest()
    assert first == flights.at(0).digest() != flights.digest()


def test_the_digest_of_a_table_that_is_not_there(workspace: whence.Workspace) -> None:
    with pytest.raises(whence.NotFoundError, match="table 'flights' not found"):
        workspace.table("flights").digest()


@pytest.mark.parametrize(
    "names",
    [
        ("locks/settle.lock",),
        ("locks/1.life", "whence.db.lock"),
        ("locks/1.life", "whence.db", "blobs/x"),
    ],
)
def test_a_folder_that_another_process_is_making_a_workspace(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with whence.connect(tmp_path) as ws:
        assert ws.lake.list() == []


@pytest.mark.parametrize("name", ["notes.txt", "locks/notes.txt", "locks"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(whence.UsageError, match="not empty") as caught:
        whence.connect(tmp_path)
    assert caught.value.code == "not-a-workspace"


def test_a_full_disk_on_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(whence.BackendError, match="No space left") as caught:
        whence.connect(tmp_path)
    assert (caught.value.code, caught.value.retryable) == ("store-full", True)
    assert not list(tmp_path.rglob("*.life"))


def test_a_workspace_opened_to_look_refuses_every_write(tmp_path: Path) -> None:
    rows = [{"flight": n, "at": MOMENT, "delay": n, "known_at": MOMENT} for n in range(50)]
    with whence.connect(tmp_path) as ws:
        kinds = {"flight": pa.int64(), "at": TS, "delay": pa.int64(), "known_at": TS}
        ws.lake.create("flights", pa.schema(kinds), key=["flight"], event_time="at", known_at="known_at")
        ws.table("flights").append(rows, watermark=MOMENT)
        ws.apply(late("late"))
        before = len(ws.graph.find_nodes("execution").nodes)
        states = {p: p.stat().st_size for p in (tmp_path / "blobs").rglob("*") if p.is_file()}
    with whence.connect(tmp_path, read_only=True) as ws:
        flights = ws.table("flights")
        writes: list[Callable[[], object]] = [
            lambda: flights.append(rows),
            lambda: flights.append([{"flight": "x"}], on_error="quarantine"),
            lambda: flights.overwrite(rows),
            lambda: flights.merge(rows),
            lambda: flights.delete("flight = 1"),
            flights.compact,
            lambda: flights.vacuum(dry_run=False),
            lambda: flights.hold(0, reason="why"),
            lambda: flights.head().statistics(),
            lambda: ws.lake.create("other", pa.schema({"a": pa.int64()})),
            lambda: ws.lake.create_view("v", "SELECT * FROM flights"),
            lambda: ws.apply(late("other")),
            lambda: ws.runs.start("run").__enter__(),
            lambda: ws.execution("mine").__enter__(),
        ]
        for write in writes:
            with pytest.raises(whence.DeniedError) as caught:
                write()
            assert caught.value.code == "read-only"
        assert (flights.head().version, flights.head().n_rows, flights.holds()) == (1, 50, [])
        assert flights.vacuum().dry_run
        spine = pa.table({"flight": [3], "at": pa.array([MOMENT + timedelta(days=1)], TS)})
        joined = ws.features.point_in_time(spine, [late("late")], at="at")
        assert joined.columns[-1].to_pylist() == [3]
        assert ws.sql("SELECT count(*) AS n FROM flights").to_pylist() == [{"n": 50}]
        assert ws.trace("row:flights@1/3").tree.facts["delay"] == 3
        assert ws.quarantine("flights").counts()["in"] == 0
        assert len(ws.graph.find_nodes("execution").nodes) == before
    assert {p: p.stat().st_size for p in (tmp_path / "blobs").rglob("*") if p.is_file()} == states
