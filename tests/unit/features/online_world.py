"""What the tests of the online store share: a small lake, a store beside it, and rows of every awkward kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

import whence.features as w
from whence._base.clock import ReplayClock
from whence.compute import Engine
from whence.features.types import Aggregation, FeatureView
from whence.lake import Lake, Table, open_lake
from whence.metadata import Recorder, open_store

TS = pa.timestamp("us", tz="UTC")
T0 = datetime(1970, 1, 1, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ENTITY = w.Entity("k", ["k"])
SCHEMA = pa.schema(
    {
        "id": pa.string(), "k": pa.string(), "n": pa.int64(), "x": pa.float64(), "b": pa.bool_(),
        "e": TS, "at": TS,
    }
)  # fmt: skip


def minute(n: float) -> datetime:
    """So many minutes into the story."""
    return T0 + n * MINUTE


class OnlineWorld:
    """A lake in memory (or a folder), an online store and the features between them."""

    def __init__(self, engine: Engine, *, url: str = "memory://", folder: Path | None = None) -> None:
        self.clock = ReplayClock(minute(0))
        self.recorder = Recorder(open_store("memory://"))
        self.lake: Lake = open_lake(
            "memory://" if folder is None else folder / "lake", recorder=self.recorder, engine=engine
        )
        self.store = w.open_online(url)
        self.features = w.Features(self.recorder, self.lake, engine, online=self.store, clock=self.clock)

    def table(self, name: str = "s", *, keyed: bool = True, known_at: str | None = "at") -> Table:
        """A table of the rows below."""
        return self.lake.create(name, SCHEMA, key=["id"] if keyed else [], known_at=known_at)

    def append(self, rows: Sequence[Mapping[str, Any]], *, watermark: datetime | None = None) -> int:
        """Rows into table s; gives the version."""
        return self.lake.table("s").append(table_of(rows), watermark=watermark).version

    def ask(self, view: FeatureView, key: Any, at: datetime, **options: Any) -> tuple[Any, str]:
        """Value and status of the view's only feature."""
        answer = self.features.get_online({"k": key}, [view], at=at, **options)
        (name,) = answer.columns
        return answer.values[name][0], answer.statuses[name][0]

    def offline(self, view: FeatureView, asks: Sequence[tuple[Any, datetime]], **options: Any) -> pa.Table:
        """What `point_in_time` says."""
        spine = pa.table(
            {"k": pa.array([k for k, _ in asks], pa.string()), "q": pa.array([q for _, q in asks], TS)}
        )
        joined = self.features.point_in_time(spine, [view], at="q", **options)
        return joined.select(list(view.outputs)).replace_schema_metadata(None)

    def online(self, view: FeatureView, asks: Sequence[tuple[Any, datetime]]) -> w.OnlineAnswer:
        """What the store says."""
        keys = {"k": [k for k, _ in asks], "q": [q for _, q in asks]}
        return self.features.get_online(keys, [view], at="q")


def row(
    id_: str | None, k: str | None, n: int | None, e: float | None, at: float | None = None, **more: Any
) -> dict[str, Any]:
    """One row, times in minutes; known when it happens unless said otherwise."""
    known = e if at is None else at
    return {
        "id": id_, "k": k, "n": n, "x": None, "b": None,
        "e": None if e is None else minute(e), "at": None if known is None else minute(known), **more,
    }  # fmt: skip


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as Arrow."""
    return pa.Table.from_pylist([dict(one) for one in rows], schema=SCHEMA)


def view_of(*features: Aggregation, **settings: Any) -> FeatureView:
    """A view over table s."""
    settings = {"timestamp": "e", **settings}
    return FeatureView("v", entity=ENTITY, source="s", features=list(features), **settings)
