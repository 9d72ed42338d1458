"""The graph cannot be written after the lake's commit: what was told to have failed is settled by what the lake says."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.unit.lake.test_processes import check_graph, open_folder
from whence.compute import Engine
from whence.errors import BackendError
from whence.lake import Lake, commit
from whence.metadata import Artifact, Execution, Recorder, Type
from whence.metadata.backends.sql import SqlStore
from whence.testing.lake_world import SCHEMA, ids_of, rows


def after_commit(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Do something once a commit is in the lake, before the caller knows of it."""

    def reached(name: str) -> None:
        if name == commit.AFTER_COMMIT:
            do()

    monkeypatch.setattr(commit, "crash_point", reached)


def newest(recorder: Recorder, type_: str) -> Execution:
    found = recorder.store.find_nodes("execution", type_=type_, descending=True, limit=1).nodes[0]
    assert isinstance(found, Execution)
    return found


def full() -> None:
    raise BackendError("no space left", code="store-full")


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def opened(tmp_path: Path, engine: Engine) -> tuple[Lake, Recorder]:
    lake, recorder = open_folder(tmp_path, engine)
    lake.create("flights", SCHEMA)
    return lake, recorder


@pytest.mark.parametrize(("do", "state"), [(full, "FAILED"), (interrupted, "CANCELED")])
def test_the_next_opening_completes_a_write_that_was_told_to_have_failed(
    opened: tuple[Lake, Recorder],
    monkeypatch: pytest.MonkeyPatch,
    do: Callable[[], None],
    state: str,
    tmp_path: Path,
    engine: Engine,
) -> None:
    lake, recorder = opened
    with monkeypatch.context() as patch:
        after_commit(patch, do)
        with pytest.raises((BackendError, KeyboardInterrupt)):
            lake.table("flights").append(rows(1))
    assert newest(recorder, "append").state == state
    again, recorder = open_folder(tmp_path, engine)
    recorder.recover()
    assert [c.ref for c in again.reconcile().commits] == ["table:flights@1"]
    done = newest(recorder, "append")
    assert (done.state, done.get("recovered")) == ("COMPLETE", "rolled-forward")
    assert done.get("error_type") == ("BackendError" if do is full else "KeyboardInterrupt")
    assert ids_of(again.table("flights").arrow()) == [1]
    check_graph(again, recorder)
    assert again.reconcile().commits == []


def test_a_database_that_is_full_from_the_commit_on_leaves_it_to_the_next_opening(
    opened: tuple[Lake, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, recorder = opened
    store = recorder.store
    assert isinstance(store, SqlStore)
    backend = store.database._backend

    def begin(connection: Connection, *, write: bool) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        after_commit(patch, lambda: patch.setattr(backend, "begin", begin))
        with pytest.raises(BackendError, match="full"):
            lake.table("flights").append(rows(1))
    assert newest(recorder, "append").state == "RUNNING"
    recorder.recover()
    lake.reconcile()
    assert newest(recorder, "append").state == "COMPLETE"
    check_graph(lake, recorder)


def test_repeated_under_its_key_it_is_the_same_write(
    opened: tuple[Lake, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, recorder = opened
    with monkeypatch.context() as patch:
        after_commit(patch, full)
        with pytest.raises(BackendError):
            lake.table("flights").append(rows(1), key="monday")
    told = lake.table("flights").append(rows(1), key="monday")
    assert (told.version, told.duplicate) == (1, True)
    assert newest(recorder, "append").state == "COMPLETE"
    assert ids_of(lake.table("flights").arrow()) == [1]
    check_graph(lake, recorder)


def test_what_failed_after_it_had_noted_its_commit_stays_failed(
    opened: tuple[Lake, Recorder], tmp_path: Path, engine: Engine
) -> None:
    lake, recorder = opened
    expected = Artifact(type="TableVersion", properties={"table": "flights"})

    def write_and_fail() -> None:
        with recorder.execution("step", expects=[expected]):
            lake.table("flights").append(rows(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    again, recorder = open_folder(tmp_path, engine)
    recorder.recover()
    assert again.reconcile().commits == []
    assert newest(recorder, "step").state == "FAILED"


def test_one_of_two_expected_tables_is_not_enough(
    opened: tuple[Lake, Recorder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: Engine
) -> None:
    lake, recorder = opened
    both = [Artifact(type="TableVersion", properties={"table": name}) for name in ("flights", "other")]
    with monkeypatch.context() as patch:
        after_commit(patch, full)
        with pytest.raises(BackendError), recorder.execution("step", expects=both):
            lake.table("flights").append(rows(1))
    again, recorder = open_folder(tmp_path, engine)
    recorder.recover()
    assert [c.ref for c in again.reconcile().commits] == ["table:flights@1"]
    assert newest(recorder, "step").state == "FAILED"


def test_a_failure_at_another_table_does_not_complete_what_was_noted(
    opened: tuple[Lake, Recorder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: Engine
) -> None:
    lake, recorder = opened
    lake.create("other", SCHEMA)
    expected = Artifact(type="TableVersion", properties={"table": "flights"})

    def write_both() -> None:
        with recorder.execution("step", expects=[expected]):
            lake.table("flights").append(rows(1))
            with monkeypatch.context() as patch:
                after_commit(patch, full)
                lake.table("other").append(rows(2))

    with pytest.raises(BackendError):
        write_both()
    again, recorder = open_folder(tmp_path, engine)
    recorder.recover()
    assert [c.ref for c in again.reconcile().commits] == ["table:other@1"]
    assert newest(recorder, "step").state == "FAILED"
    check_graph(again, recorder)


def test_only_what_can_be_its_own_alone_redeems(opened: tuple[Lake, Recorder]) -> None:
    """The bytes of a model may have been there before: that they exist says nothing of this registration."""
    _, recorder = opened
    recorder.store.put_type(Type("artifact", "Thing"))
    recorder.add_probe("Thing", lambda _, pending: pending)
    with pytest.raises(ZeroDivisionError), recorder.execution("make", expects=[Artifact(type="Thing")]):
        raise ZeroDivisionError
    assert recorder.redeem(newest(recorder, "make"), type_="TableVersion") is None
    done = recorder.redeem(newest(recorder, "make"), type_="Thing")
    assert done is not None
    assert done.state == "COMPLETE"
    assert recorder.redeem(done, type_="Thing") is None
