"""A table that grows day by day in a real lake, and a room that validates it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from whence._base.clock import ReplayClock
from whence.blobs import open_blobs
from whence.compute import open_engine
from whence.lake import Lake, Table, open_lake
from whence.metadata import Recorder, open_store
from whence.validation import Validation

BEGIN = datetime(2013, 4, 1, tzinfo=UTC)
SCHEMA = pa.schema([("id", pa.int64()), ("x", pa.float64()), ("c", pa.string())])


class Days:
    """The room, the lake and the clock of a story; `append` is one day."""

    def __init__(self, validation: Validation, lake: Lake, recorder: Recorder, clock: ReplayClock) -> None:
        self.validation = validation
        self.lake = lake
        self.recorder = recorder
        self.clock = clock
        self._next = 0

    @property
    def table(self) -> Table:
        return self.lake.table("days")

    def rows(self, xs: Sequence[float | None], cs: Sequence[str | None] | None = None) -> pa.Table:
        ids = range(self._next, self._next + len(xs))
        self._next += len(xs)
        columns = {"id": list(ids), "x": list(xs), "c": list(cs) if cs is not None else ["a"] * len(xs)}
        return pa.table(columns, schema=SCHEMA)

    def append(self, *xs: float | None, cs: Sequence[str | None] | None = None) -> int:
        self.clock.advance_to(self.clock.now() + timedelta(days=1))
        return self.table.append(self.rows(xs, cs)).version

    def executions(self, type_: str) -> list[Any]:
        return list(self.recorder.store.find_nodes("execution", type_=type_).nodes)


@contextmanager
def opened(folder: Path, url: str | None = None) -> Iterator[Days]:
    recorder = Recorder(open_store("memory://"))
    engine = open_engine(threads=1)
    clock = ReplayClock(BEGIN)
    lake = open_lake(
        url or f"file:{folder / 'lake'}",
        recorder=recorder,
        engine=engine,
        clock=clock,
        locks=folder / "locks",
    )
    validation = Validation(recorder, open_blobs("memory://"), lake, engine, clock=clock)
    lake.create("days", SCHEMA, key=["id"])
    try:
        yield Days(validation, lake, recorder, clock)
    finally:
        engine.close()
