"""Fixtures of the feature tests: an engine, moments, and a short way to join one view."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

import whence.features as w
from whence.compute import Engine, open_engine
from whence.errors import WhenceError
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


def folded(views: Sequence[AnyView], source: Source, rows: pa.Table, spine: pa.Table) -> pa.Table:
    """The features of a fold that is given all rows before it is asked."""
    fold = w.Fold(views, {"s": source})
    fold.add("s", rows)
    return fold.features(spine, at="q")


def assert_refused(
    error: WhenceError, views: Sequence[AnyView], source: Source, rows: pa.Table, spine: pa.Table
) -> None:
    """What a join refuses, a fold refuses too, for the same reason."""
    with pytest.raises(type(error)) as caught:
        folded(views, source, rows, spine)
    assert caught.value.code == error.code


def assert_same(got: pa.Table, want: pa.Table, view: FeatureView, rows: pa.Table) -> None:
    """What a fold gives is what a join gave: bit for bit, but for sums of doubles without scale."""
    assert got.schema.equals(want.select(got.column_names).schema)
    for feature in view.features:
        name = f"{view.name}__{feature.name}"
        ours, theirs = got.column(name).to_pylist(), want.column(name).to_pylist()
        near = feature.op in ("sum", "mean", "std") and pa.types.is_floating(got.schema.field(name).type)
        # a sum that nearly vanishes is as exact as what was added, not as what is left of it
        values = rows.column(feature.column).to_pylist() if near and feature.column is not None else []
        added = sum(abs(v) for v in values if isinstance(v, float) and math.isfinite(v))
        for one, other in zip(ours, theirs, strict=True):
            if near and one is not None and other is not None:
                assert one == pytest.approx(other, rel=1e-12, abs=1e-12 * added + 1e-150, nan_ok=True), name
            else:
                assert one == other or (one != one and other != other), (name, ours, theirs)


@pytest.fixture(scope="session")
def join(engine: Engine) -> Join:
    """Join features of one source onto moments of keys; gives the features' columns. A fold gives the same.

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
        try:
            joined = w.join_features(spine, views, {"s": source}, engine, at="q", known=known)  # type: ignore[arg-type]
        except WhenceError as error:
            assert_refused(error, views, source, table, spine)
            raise
        assert joined.table.select(["k", "q"]).equals(spine)
        if known == "then":
            assert_same(folded(views, source, table, spine), joined.table, view, table)
        return {f.name: joined.table.column(f"f__{f.name}").to_pylist() for f in features}

    return run
