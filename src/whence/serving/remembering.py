"""Requests by the ids their callers gave: the same again is answered with what is stored.

An id is looked for among the requests under way, then among the answers that are not in the table yet, then, if its
hash is known, in the table. Eight bytes are kept for each id in the table.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence._base.clock import utc
from whence.compute import text_literal
from whence.errors import ConflictError
from whence.lake import Table
from whence.serving.answers import REQUEST_KEY, to_stream
from whence.serving.asking import Answer, Ask
from whence.serving.predictions import FEATURES_AT

MADE: Final = "w-"
"""What the ids begin with that whence makes; they are not remembered, but looked for in the table."""


@dataclass(slots=True)
class Flight:
    """A request with an id that is under way at a model version, and who else asked the same meanwhile."""

    body: bytes
    model: str
    waiters: list[Any] = field(default_factory=list)


class Remembered:
    """The ids that callers gave. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._added: set[int] = set()
        self._recent: dict[int, dict[str, tuple[bytes, Answer]]] = {}
        self._flying: dict[str, Flight] = {}

    def learn(self, handle: Table) -> None:
        """Learn the ids that stand in the table."""
        if handle.exists:
            ids = handle.head().arrow([REQUEST_KEY[0]]).column(0).unique().to_pylist()
            hashes = np.fromiter((hash(i) for i in ids if not i.startswith(MADE)), dtype=np.int64)
            hashes.sort()
            self._table = hashes

    def begin(self, ask: Ask, told: object) -> Answer | Flight | None:
        """What is known of a request that has an id.

        Returns:
            Its answer; the flight it has joined; or None: it is under way from now on.

        Raises:
            ConflictError: The id was used for other rows, or for another version than the one the caller
                named (``request-id-reused``).
        """
        assert ask.id is not None
        body = body_of(ask)
        with self._lock:
            flight = self._flying.get(ask.id)
            if flight is not None:
                _check_same(ask, flight.model, same=flight.body == body)
                flight.waiters.append(told)
                return flight
            for answers in self._recent.values():
                if ask.id in answers:
                    stored, answer = answers[ask.id]
                    _check_same(ask, answer.model, same=stored == body)
                    return answer
            self._flying[ask.id] = Flight(body, ask.line.facts.model)
            return None

    def is_in_table(self, id_: str) -> bool:
        """Whether the table may hold the id."""
        if id_.startswith(MADE):
            return True
        key = hash(id_)
        if key in self._added:
            return True
        at = int(np.searchsorted(self._table, key))
        return at < len(self._table) and int(self._table[at]) == key

    def finish(self, id_: str, segment: int | None, answer: Answer | None) -> list[Any]:
        """A request is answered, or has failed; gives who joined it."""
        with self._lock:
            flight = self._flying.pop(id_)
            if answer is not None and segment is not None:
                self._recent.setdefault(segment, {})[id_] = flight.body, answer
            return flight.waiters

    def committed(self, segment: int) -> None:
        """The answers of a segment are in the table."""
        with self._lock:
            self._added.update(hash(i) for i in self._recent.pop(segment, {}) if not i.startswith(MADE))


def body_of(ask: Ask) -> bytes:
    """What tells the rows of a request from others."""
    if ask.matrix is not None:
        data = ask.matrix.tobytes()
    else:
        table = ask.table if ask.table is not None else ask.keys
        assert table is not None
        data = to_stream(table)
    return hashlib.blake2b(data, digest_size=16, key=ask.kind.encode()).digest()


def find_answer(handle: Table, ask: Ask, inputs: pa.Table) -> Answer | None:
    """The answer of a request that stands in the table; None when none does.

    Args:
        handle: The predictions table.
        ask: The request.
        inputs: What it was asked with: features, or keys.

    Raises:
        ConflictError: As `Remembered.begin`.
    """
    assert ask.id is not None
    if not handle.exists:
        return None
    rows = handle.head().arrow(where=f"{REQUEST_KEY[0]} = {text_literal(ask.id)}")
    if not rows.num_rows:
        return None
    rows = rows.sort_by(REQUEST_KEY[1])
    absent = [c for c in inputs.column_names if c not in rows.column_names]
    same = not absent and rows.num_rows == inputs.num_rows
    first = rows.slice(0, 1).to_pylist()[0]
    moment = first[FEATURES_AT]
    assert isinstance(moment, datetime)
    model = str(first["model"])
    _check_same(ask, model, same=same and _equal(rows.select(inputs.column_names), inputs))
    return Answer(
        id=ask.id,
        scores=rows.column("score").to_pylist(),
        model=model,
        version=int(model.rpartition("@")[2]),
        moment=utc(moment),
        into=handle.name,
        repeated=True,
    )


def _equal(have: pa.Table, want: pa.Table) -> bool:
    return all(a.to_pylist() == b.to_pylist() for a, b in zip(have.columns, want.columns, strict=True))


def _check_same(ask: Ask, model: str, *, same: bool) -> None:
    hint = "an id names one request: give another"
    if not same:
        raise ConflictError(
            f"request {ask.id!r} was answered for other rows", code="request-id-reused", hint=hint
        )
    if ask.is_pinned and ask.line.facts.model != model:
        raise ConflictError(
            f"request {ask.id!r} was answered by {model}", code="request-id-reused", hint=hint
        )
