"""Requests that wait: small ones together, large ones in between, neither in the other's place."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import BackendError, ConflictError
from whence.serving.asking import Ask
from whence.serving.waiting import Waiting


def ask(n_rows: int, id_: str | None = None) -> Ask:
    line: Any = None  # what waits is not looked at
    return Ask(line, n_rows, id_)


def told(_: object) -> None:
    raise AssertionError("nobody answers here")


def test_small_ones_come_before_the_large_ones_that_were_there_first() -> None:
    waiting = Waiting("late", max_rows=100, max_batch=4)
    for n in (9, 8, 1, 2, 1, 3):
        waiting.put(ask(n), told)
    waiting.close()
    assert [[a.n_rows for a, _ in batch] for batch in waiting.batches()] == [[1, 2, 1], [9], [3], [8]]


def test_a_full_line_of_large_ones_refuses_no_small_one() -> None:
    waiting = Waiting("late", max_rows=10, max_batch=4)
    first, small = ask(50), ask(4)
    waiting.put(first, told)  # however large
    for n in (5, 50):
        with pytest.raises(BackendError, match="50 rows wait"):
            waiting.put(ask(n), told)
    for _ in range(2):
        waiting.put(small, told)
    with pytest.raises(BackendError, match="requests-busy") as raised:
        waiting.put(small, told)
    assert raised.value.retryable
    assert waiting.n_rows == 58
    waiting.done(small)
    waiting.put(small, told)
    waiting.done(first)
    for _ in range(2):
        waiting.put(ask(5), told)
    assert waiting.n_rows == 18


def test_closed_it_takes_nothing_more() -> None:
    waiting = Waiting("late", max_rows=10, max_batch=4)
    assert waiting.close()
    assert not waiting.close()
    with pytest.raises(ConflictError, match="answerer-closed"):
        waiting.put(ask(1), told)
    assert list(waiting.batches()) == []


@given(st.lists(st.integers(1, 12), max_size=30), st.integers(1, 6))
def test_each_comes_once_and_in_its_order(sizes: list[int], max_batch: int) -> None:
    waiting = Waiting("late", max_rows=1_000, max_batch=max_batch)
    asks = [ask(n, str(i)) for i, n in enumerate(sizes)]
    batches: list[list[Ask]] = []
    taker = threading.Thread(target=lambda: batches.extend([a for a, _ in b] for b in waiting.batches()))
    taker.start()
    for one in asks:
        waiting.put(one, told)
    waiting.close()
    taker.join(30)
    given_ = [one for batch in batches for one in batch]
    for large in (False, True):
        assert [a for a in given_ if (a.n_rows > max_batch) is large] == [
            a for a in asks if (a.n_rows > max_batch) is large
        ]
    for batch in batches:
        assert len(batch) == 1 or sum(a.n_rows for a in batch[:-1]) < max_batch
        assert len(batch) == 1 or all(a.n_rows <= max_batch for a in batch)
