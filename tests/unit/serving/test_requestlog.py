"""The request log: what was written is read, wherever its tail is torn; damage in a sealed segment is refused."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.errors import BackendError, IntegrityError
from whence.serving import requestlog
from whence.serving.requestlog import MAGIC, RequestLog, Shard, frame, list_shards, parse_segment, seal_of

PAYLOADS = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


def whole(payloads: list[bytes]) -> bytes:
    return MAGIC + b"".join(map(frame, payloads))


@given(PAYLOADS)
def test_a_sealed_segment_gives_its_records(payloads: list[bytes]) -> None:
    found = parse_segment(whole(payloads) + seal_of(len(payloads)))
    assert (found.records, found.n_cut, found.sealed) == (tuple(payloads), 0, True)


@given(PAYLOADS, st.data())
def test_any_cut_of_an_unsealed_tail_keeps_exactly_the_whole_records(
    payloads: list[bytes], data: st.DataObject
) -> None:
    image = whole(payloads)
    cut = data.draw(st.integers(0, len(image)))
    ends = [len(whole(payloads[:n])) for n in range(len(payloads) + 1)]
    n_whole = sum(end <= cut for end in ends) - 1
    found = parse_segment(image[:cut])
    assert found.records == tuple(payloads[: max(n_whole, 0)])
    assert found.n_cut == cut - (ends[n_whole] if n_whole >= 0 else 0)


@given(PAYLOADS, st.binary(max_size=60))
def test_what_stands_behind_a_torn_record_never_makes_one_up(payloads: list[bytes], junk: bytes) -> None:
    """A preallocated or half-written tail: zeros and leftovers."""
    found = parse_segment(whole(payloads) + b"\0" * 16 + junk)
    assert found.records[: len(payloads)] == tuple(payloads)
    assert found.records == tuple(payloads)


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5), st.data())
def test_a_changed_byte_in_a_sealed_segment_is_damage_or_nothing(
    payloads: list[bytes], data: st.DataObject
) -> None:
    """Acknowledged records are never silently fewer: the seal is broken with the tail, or damage is said."""
    image = bytearray(whole(payloads) + seal_of(len(payloads)))
    at = data.draw(st.integers(0, len(image) - 17))
    image[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IntegrityError, match="request-log-damaged"):
        parse_segment(bytes(image))


def test_a_file_that_is_no_segment_is_damage() -> None:
    with pytest.raises(IntegrityError, match="not what was written"):
        parse_segment(b"something else entirely")


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    return Shard.create(tmp_path)


def make_log(shard: Shard, sealed: list[int], **limits: float) -> RequestLog:
    return RequestLog(shard, first=1, on_sealed=sealed.append, **limits)  # type: ignore[arg-type]


def test_records_are_read_back_in_order_after_sealing(shard: Shard) -> None:
    sealed: list[int] = []
    log = make_log(shard, sealed)
    assert log.write([b"one", b"two"], 2) == 1
    assert shard.read(1) == requestlog.Segment((b"one", b"two"))
    assert log.write([b"three"], 1) == 1
    log.seal()
    log.seal()  # nothing is open: nothing happens
    assert (sealed, shard.segments()) == ([1], [1])
    assert shard.read(1) == requestlog.Segment((b"one", b"two", b"three"), 0, True)
    assert log.write([b"four"], 1) == 2
    shard.remove(1)
    assert shard.segments() == [2]


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_segments_are_sealed_by_rows_and_no_record_is_lost(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int]
) -> None:
    shard = Shard.create(tmp_path_factory.mktemp("log"))
    sealed: list[int] = []
    log = make_log(shard, sealed, max_rows=10)
    for i, n in enumerate(rows):
        log.write([b"%d" % i], n)
    log.seal()
    found = [r for s in sealed for r in shard.read(s).records]
    assert found == [b"%d" % i for i in range(len(rows))]
    assert sealed == list(range(1, len(sealed) + 1)) == shard.segments()
    shard.release()


def test_segments_are_sealed_by_size_and_age(shard: Shard) -> None:
    sealed: list[int] = []
    log = make_log(shard, sealed, max_bytes=64, seal_s=0.0)
    log.write([b"x" * 100], 1)
    assert sealed == [1]
    log.write([b"x"], 1)
    assert sealed == [1]
    log.seal_old()
    assert sealed == [1, 2]
    assert 0 < make_log(Shard.create(shard.folder.parent), [], seal_s=50.0).seal_old() <= 50.0


def test_a_shard_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    first = Shard.create(tmp_path)
    assert Shard.claim(first.folder) is None
    first.release()
    again = Shard.claim(first.folder)
    assert again is not None
    assert (again.name, list(list_shards(tmp_path))) == (first.name, [first.folder])


def fail(error: int) -> object:
    def call(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    return call


def test_a_full_disk_takes_back_what_was_not_acknowledged(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = make_log(shard, [])
    log.write([b"safe"], 1)
    with monkeypatch.context() as patch:
        patch.setattr(requestlog, "_write_all", fail(errno.ENOSPC))
        with pytest.raises(BackendError, match="store-full") as raised:
            log.write([b"lost"], 1)
    assert raised.value.retryable
    log.write([b"next"], 1)
    assert shard.read(1).records == (b"safe", b"next")
    assert log.broken is None


def test_a_log_that_cannot_be_taken_back_takes_nothing_more(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed: list[int] = []
    log = make_log(shard, sealed)
    log.write([b"safe"], 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail(errno.EIO))
        with pytest.raises(BackendError, match="store-failed"):
            log.write([b"unsure"], 1)
    with pytest.raises(BackendError, match="store-failed"):
        log.write([b"more"], 1)
    assert log.broken is not None
    log.seal()
    assert shard.read(1).records[:1] == (b"safe",)
