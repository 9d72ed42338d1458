"""Who is alive where processes share a database and no folder: beats, by the database's clock."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from whence.errors import BackendError, ConflictError
from whence.metadata import Artifact, Beat, Execution, MetadataStore, Recorder, Type, open_store
from whence.metadata.beats import BEAT_S, LATE_BEATS, DatabaseLife
from whence.metadata.delegate import Delegate


class Clocked(Delegate):
    """A store whose clock stands still until it is moved; its beats are kept here."""

    def __init__(self, store: MetadataStore) -> None:
        super().__init__(store)
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.beats: dict[str, Beat] = {}
        self.fails = False

    def now(self) -> datetime:
        return self.time

    def beat(self, lives: object) -> None:
        if self.fails:
            raise BackendError("the server is away", retryable=True)
        for one in lives:  # type: ignore[attr-defined]
            first = self.beats[one.uid].started_at if one.uid in self.beats else self.time
            self.beats[one.uid] = Beat(one.uid, one.host, one.pid, first, self.time)

    def list_beats(self) -> list[Beat]:
        return list(self.beats.values())

    def end_beats(self, uids: object) -> None:
        for uid in uids:  # type: ignore[attr-defined]
            self.beats.pop(uid, None)

    def later(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def store() -> Iterator[Clocked]:
    store = Clocked(open_store("memory://"))
    store.put_type(Type("artifact", "Table"))
    yield store
    store.close()


def recorder(store: MetadataStore, life: DatabaseLife) -> Recorder:
    return Recorder(store, life=life, environment=lambda: {"python": "3.11.7"})


def state(store: MetadataStore, uid: str) -> str:
    (node,) = store.get_nodes("execution", uids=[uid])
    assert isinstance(node, Execution)
    return node.state


def test_a_process_of_another_host_is_dead_when_four_beats_are_missing(store: Clocked) -> None:
    far, near = DatabaseLife(store, host="far", beat_s=3600), DatabaseLife(store, host="near")
    there, here = recorder(store, far), recorder(store, near)
    with there.execution("train", expects=[Artifact(type="Table", name="out")]) as recording:
        store.later(BEAT_S * LATE_BEATS)
        assert near.is_alive(far.uid)
        assert here.recover().n == 0
        store.later(0.001)
        assert not near.is_alive(far.uid)
        assert [e.uid for e in here.recover().failed] == [recording.uid]
        assert state(store, recording.uid) == "FAILED"
        recording.mark_cached()
    far.close()
    near.close()


def test_a_beat_keeps_it_alive(store: Clocked) -> None:
    far, near = DatabaseLife(store, host="far", beat_s=3600), DatabaseLife(store, host="near")
    with recorder(store, far).execution("train") as recording:
        for _ in range(20):
            store.later(BEAT_S * 3)
            far.beat()
            assert recorder(store, near).recover().n == 0
        assert state(store, recording.uid) == "RUNNING"
    assert state(store, recording.uid) == "COMPLETE"
    far.close()


def test_a_life_that_ended_or_never_was_is_dead(store: Clocked) -> None:
    life, other = DatabaseLife(store, host="a", beat_s=3600), DatabaseLife(store, host="b")
    assert not other.is_alive(life.uid)
    life.hold()
    assert other.is_alive(life.uid)
    life.close()
    assert not other.is_alive(life.uid)
    assert not life.is_alive(life.uid)
    assert other.is_alive(other.uid)
    assert store.list_beats() == []


def test_it_beats_before_the_execution_is_written(store: Clocked) -> None:
    life = DatabaseLife(store, host="a")
    store.fails = True
    with pytest.raises(BackendError, match="the server is away"), recorder(store, life).execution("train"):
        pytest.fail("the block has begun")
    assert store.find_nodes("execution").nodes == []
    store.fails = False
    with recorder(store, life).execution("train"):
        assert [b.uid for b in store.list_beats()] == [life.uid]
    life.close()


def test_the_thread_beats_and_outlives_a_failure(store: Clocked) -> None:
    life = DatabaseLife(store, host="a", beat_s=0.01)
    life.hold()
    first = store.beats[life.uid]
    store.fails = True
    store.later(60)
    _until(lambda: threaded() == 1)
    store.fails = False
    _until(lambda: store.beats[life.uid].beat_at == store.time)
    assert store.beats[life.uid].started_at == first.started_at
    life.release()
    _until(lambda: threaded() == 0)  # nothing runs: it rests
    life.hold()
    assert threaded() == 1
    life.close()
    _until(lambda: threaded() == 0)


def threaded() -> int:
    return sum(t.name == "whence-beats" for t in threading.enumerate())


def _until(holds: object, timeout_s: float = 5.0) -> None:
    end = time.monotonic() + timeout_s
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end
        os.sched_yield()


def test_a_process_of_this_host_that_has_ended_is_known_at_once(store: Clocked) -> None:
    life = DatabaseLife(store, host="a")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    store.beat(
        [
            Beat("01J0000000000000000000000A", "a", ended.pid),
            Beat("01J0000000000000000000000B", "b", ended.pid),
        ]
    )
    assert not life.is_alive("01J0000000000000000000000A")
    assert life.is_alive("01J0000000000000000000000B")
    store.beat([Beat("01J0000000000000000000000A", "a", os.getpid())])
    assert life.is_alive("01J0000000000000000000000A")


def test_a_key_that_a_dead_host_holds_is_taken_over(store: Clocked) -> None:
    far, near = DatabaseLife(store, host="far", beat_s=3600), DatabaseLife(store, host="near")
    with recorder(store, far).execution("score", key="2026-01-01") as lost:
        here = recorder(store, near)
        with (
            pytest.raises(ConflictError, match="execution-running"),
            here.execution("score", key="2026-01-01"),
        ):
            pytest.fail("two at once")
        store.later(BEAT_S * LATE_BEATS * 2)
        near.beat()
        with here.execution("score", key="2026-01-01") as again:
            assert again.uid == lost.uid
        lost.mark_cached()
    assert state(store, again.uid) in {"COMPLETE", "CACHED"}
    far.close()
    near.close()


def test_every_store_keeps_beats_by_its_own_clock() -> None:
    store = open_store("memory://")
    life = DatabaseLife(store)
    before = store.now()
    life.hold()
    (beat,) = store.list_beats()
    assert (beat.uid, beat.host, beat.pid) == (life.uid, life.host, os.getpid())
    assert beat.beat_at is not None
    assert before <= beat.beat_at <= store.now()
    life.close()
