"""The tables the lake suite is played on, and the fixtures it needs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from whence._base.arrow import TS
from whence._base.clock import ReplayClock
from whence._base.rows import rows_digest
from whence.compute import Engine, open_engine
from whence.errors import (
    UsageError,
    WhenceError,
)
from whence.lake import Lake, LakeBackend, Table, TableVersion
from whence.metadata import Recorder, open_store

DAY = timedelta(days=1)
START = datetime(2013, 1, 1, tzinfo=UTC)
SCHEMA = pa.schema({"id": pa.int64(), "carrier": pa.string(), "delay": pa.float64()})
FEED = pa.schema([*SCHEMA, pa.field("known_at", TS)])


def rows(*ids: int, carrier: str = "B6", delay: float = 1.5) -> pa.Table:
    """Rows of `SCHEMA` with these ids."""
    return pa.table(
        {"id": list(ids), "carrier": [carrier] * len(ids), "delay": [delay] * len(ids)}, schema=SCHEMA
    )


def feed(*ids: int, known: datetime = START) -> pa.Table:
    """Rows of `FEED`."""
    return rows(*ids).append_column(FEED.field("known_at"), pa.array([known] * len(ids), TS))


def ids_of(table: pa.Table) -> list[int]:
    """The ids, sorted."""
    return sorted(table.column("id").to_pylist())


def error_of(call: Callable[[], object], kind: type[WhenceError] = UsageError) -> WhenceError:
    """The error a call raises."""
    with pytest.raises(kind) as caught:
        call()
    return caught.value


def check_digest(version: TableVersion) -> None:
    """The digest counted on through the commits is that of the rows."""
    assert version.digest() == rows_digest(version.arrow()).text
    assert version.n_rows == version.arrow().num_rows
    assert version.verify() == version.digest()


class Furnished:
    """An empty lake and one with a table; override `backend`."""

    @pytest.fixture
    def backend(self) -> LakeBackend:
        """Override: an empty backend."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Engine:
        """The engine, shared by the tests of a class."""
        return open_engine("duckdb://", threads=2)

    @pytest.fixture
    def recorder(self) -> Recorder:
        """A recorder on a graph in memory."""
        return Recorder(open_store("memory://"))

    @pytest.fixture
    def clock(self) -> ReplayClock:
        """A clock that stands at `START`."""
        return ReplayClock(START)

    @pytest.fixture
    def lake(self, backend: LakeBackend, recorder: Recorder, engine: Engine, clock: ReplayClock) -> Lake:
        """An empty lake."""
        return Lake(backend, recorder, engine, clock=clock, locks=None)

    @pytest.fixture
    def flights(self, lake: Lake) -> Table:
        """A table with versions 0 (empty), 1 (ids 1, 2) and 2 (id 3)."""
        table = lake.create("flights", SCHEMA, key=["id"])
        table.append(rows(1, 2))
        table.append(rows(3, carrier="UA"))
        return table
