"""Fixtures of the feature tests: an engine, moments, and a short way to join one view."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

import whence.features as w
from whence.compute import Engine, open_engine
from whence.features.source import Source
from whence.features.types import Aggregation, AnyView, FeatureView

TS = pa.timestamp("us", tz="UTC")

Join = Callable[..., dict[str, list[Any]]]


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    opened = open_engine(threads=2)
    yield opened
    opened.close()


@pytest.fixture
def hour() -> Callable[[float], datetime]:
    """The moment so many hours into 2013."""
    return lambda hours: datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=hours)


@pytest.fixture(scope="session")
def join(engine: Engine) -> Join:
    """Join features of one source onto moments of keys; gives the features' columns.

    Rows are mappings with ``k`` (the key), ``e`` (the event), optionally ``at`` (known), and values.
    """

    def run(
        rows: Sequence[Mapping[str, Any]],
        asks: Sequence[tuple[Any, datetime]],
        features: Sequence[Aggregation],
        *,
        schema: Mapping[str, pa.DataType] | None = None,
        key: Sequence[str] = (),
        known_at: str | None = "at",
        timestamp: str | None = "e",
        known: str = "then",
        engine: Engine = engine,
        **settings: Any,
    ) -> dict[str, list[Any]]:
        types = {"k": pa.string(), "e": TS, "at": TS, "v": pa.int64(), **(schema or {})}
        types = {
            name: types[name]
            for name in types
            if schema is None or name in schema or name in ("k", "e", "at")
        }
        filled = [{"at": row.get("e"), **row} for row in rows]
        table = pa.Table.from_pylist(filled, schema=pa.schema(types))
        source = Source.of("s", table, key=key, known_at=known_at)
        view = FeatureView(
            "f", entity=w.Entity("k", ["k"]), source="s", timestamp=timestamp, features=features, **settings
        )
        spine = pa.table(
            {"k": pa.array([k for k, _ in asks], types["k"]), "q": pa.array([q for _, q in asks], TS)}
        )
        views: list[AnyView] = [view]
        joined = w.join_features(spine, views, {"s": source}, engine, at="q", known=known)  # type: ignore[arg-type]
        assert joined.table.select(["k", "q"]).equals(spine)
        return {f.name: joined.table.column(f"f__{f.name}").to_pylist() for f in features}

    return run
