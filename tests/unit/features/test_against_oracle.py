"""The compiler, the plain meaning and the leak check against a naive loop written from the definition.

Random rows: late, early, corrected, tied, moved, null; moments at the edges; windows with and without hop.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import sqrt
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import whence.features as w
from whence.compute import Engine
from whence.features.leaks import find_leaks
from whence.features.plain import Declared, fold, rows_of
from whence.features.source import Source
from whence.features.types import Aggregation, FeatureView, Known

TS = pa.timestamp("us", tz="UTC")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T0 = EPOCH - timedelta(hours=2)  # so that moments before 1970 are met
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "k": pa.string(),
        "n": pa.int64(),
        "x": pa.float64(),
        "b": pa.bool_(),
        "e": TS,
        "at": TS,
    }
)
ENTITY = w.Entity("k", ["k"])

Rows = Sequence[dict[str, Any]]


# --- the naive loop -----------------------------------------------------------------------------


def content(row: dict[str, Any]) -> list[Any]:
    return [(0, 0) if row[c] is None else (1, row[c]) for c in sorted(row)]


def age(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["at"] or LONG_AGO, content(row))


def state(rows: Rows, q: datetime, *, strict: bool, known: Known, keyed: bool) -> list[dict[str, Any]]:
    """The rows known at q, without those that are corrected by then."""

    def is_known(row: dict[str, Any]) -> bool:
        return row["at"] is not None and (row["at"] < q if strict else row["at"] <= q)

    seen = [row for row in rows if known == "now" or is_known(row)]
    if not keyed:
        return seen
    kept = []
    for i, row in enumerate(seen):
        rivals = [o for j, o in enumerate(seen) if o["id"] == row["id"] and (*age(o), j) > (*age(row), i)]
        if row["id"] is None or not rivals:
            kept.append(row)
    return kept


def naive(
    view: FeatureView, f: Aggregation, rows: Rows, k: str | None, q: datetime, known: Known, *, keyed: bool
) -> Any:
    found = state(rows, q, strict=f.over is not None, known=known, keyed=keyed)
    found = [row for row in found if k is not None and row["k"] == k and row["e"] is not None]
    if f.where is not None:
        assert f.where == "n > 0"
        found = [row for row in found if row["n"] is not None and row["n"] > 0]
    found.sort(key=lambda row: (row["e"], *age(row)))
    if f.over is None:
        found = [row for row in found if row["e"] <= q]
        if not found or (view.ttl is not None and q - found[-1]["e"] > view.ttl):
            return None
        return found[-1][str(f.column)]
    start = q - f.over
    if view.hop is not None:
        start -= (start - EPOCH) % view.hop
    return aggregate(f, [row for row in found if start <= row["e"] < q])


def aggregate(f: Aggregation, rows: Rows) -> Any:
    if f.column is None:
        return len(rows)
    values = [row[f.column] for row in rows if row[f.column] is not None]
    if f.op == "count":
        return len(values)
    if not values:
        return None
    if f.op in ("first", "last"):
        return values[0 if f.op == "first" else -1]
    if f.op in ("min", "max"):
        return (min if f.op == "min" else max)(values)
    scaled = f.scale is not None and isinstance(values[0], float)
    exact = [
        Fraction(half_away(v * 10**f.scale), 10**f.scale) if scaled and f.scale else Fraction(v)
        for v in values
    ]
    total, n = sum(exact, Fraction(0)), len(exact)
    if f.op == "sum":
        return float(total) if f.column == "x" else int(total)
    if f.op == "mean":
        return float(total) / n
    return sqrt((n * sum(v * v for v in exact) - total * total) / (n * (n - 1))) if n > 1 else None


def half_away(v: float) -> int:
    whole = (abs(Fraction(v)) + Fraction(1, 2)).__floor__()
    return whole if v >= 0 else -whole


# --- the cases ----------------------------------------------------------------------------------

minutes = st.integers(-5, 20)
raw_row = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "b", "c", "d", "e", "f", "g", None]),
        "k": st.sampled_from(["K", "K", "L", "M", None]),
        "n": st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([2**53 + 1, -(2**60)])),
        "x": st.one_of(st.none(), st.sampled_from([0.1, 0.2, -0.3, 1e3, 39.02, 0.5, 2.5, -0.0])),
        "b": st.sampled_from([True, False, None]),
        "e": st.one_of(minutes, minutes, minutes, st.none()),
        "lag": st.one_of(st.just(0), st.just(0), st.integers(-3, 12), st.none()),
    }
)
asked = st.tuples(st.sampled_from(["K", "L", "Z", None]), minutes)


def made(raw: Rows) -> list[dict[str, Any]]:
    rows = []
    for r in raw:
        event = None if r["e"] is None else T0 + r["e"] * MINUTE
        known = None if r["lag"] is None else T0 + ((r["e"] or 0) + r["lag"]) * MINUTE
        rows.append({**{c: r[c] for c in ("id", "k", "n", "x", "b")}, "e": event, "at": known})
    return rows


def every_feature() -> list[Aggregation]:
    found = [w.last("n"), w.last("x"), w.last("b", where="n > 0")]
    for over in ("4min", "10min"):
        found += [
            w.count(over=over),
            w.count("n", over=over),
            w.count(over=over, where="n > 0").named(f"positive_{over}"),
            *(op("b", over=over) for op in (w.sum, w.mean, w.std)),
            *(op("x", over=over) for op in (w.sum, w.mean, w.std, w.max)),
            w.sum("x", over=over, scale=1).named(f"sum_scaled_{over}"),
            w.mean("x", over=over, scale=2).named(f"mean_scaled_{over}"),
            w.std("x", over=over, scale=2).named(f"std_scaled_{over}"),
            *(op("n", over=over) for op in (w.min, w.first, w.last)),
            w.last("x", over=over, where="n > 0").named(f"last_positive_{over}"),
            w.first("x", over=over),
        ]
    return found


FEATURES = every_feature()


def equals(feature: Aggregation, got: Sequence[Any], want: Sequence[Any]) -> bool:
    if feature.column == "x" and feature.op in ("sum", "mean", "std"):
        return list(got) == [None if v is None else pytest.approx(v, rel=1e-12, abs=1e-12) for v in want]
    return list(got) == list(want)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    chosen=st.lists(st.sampled_from(FEATURES), min_size=1, max_size=4, unique=True),
    raw=st.lists(raw_row, max_size=14),
    asks=st.lists(asked, min_size=1, max_size=8),
    ttl=st.sampled_from([None, "3min", "1h"]),
    hop=st.sampled_from([None, "3min"]),
    known=st.sampled_from(["then", "now"]),
    keyed=st.booleans(),
)
def test_every_feature_equals_the_naive_loop(
    chosen: list[Aggregation],
    raw: list[dict[str, Any]],
    asks: list[tuple[str | None, int]],
    ttl: str | None,
    hop: str | None,
    known: Known,
    keyed: bool,
    engine: Engine,
) -> None:
    hop = hop if any(f.over for f in chosen) else None
    view = FeatureView("v", entity=ENTITY, source="s", timestamp="e", ttl=ttl, hop=hop, features=chosen)
    rows, moments = made(raw), [(k, T0 + m * MINUTE) for k, m in asks]
    source = Source.of(
        "s", pa.Table.from_pylist(rows, schema=SCHEMA), key=["id"] if keyed else [], known_at="at"
    )
    spine = pa.table(
        {"k": pa.array([k for k, _ in moments], pa.string()), "q": pa.array([q for _, q in moments], TS)}
    )

    joined = w.join_features(spine, [view], {"s": source}, engine, at="q", known=known).table

    assert joined.select(["k", "q"]).equals(spine)
    declared = Declared(source.key, "at")
    differs = False
    for f in chosen:
        column = joined.column(f"v__{f.name}").to_pylist()
        want = [naive(view, f, rows, k, q, known, keyed=keyed) for k, q in moments]
        assert equals(f, column, want), (f.name, column, want)
        again = []
        for k, q in moments:
            positions = rows_of(view, f, rows, declared, {"k": k}, q, known=known)
            again.append(fold(f, [rows[i][f.column] if f.column else True for i in positions]))
        assert equals(f, again, want), (f.name, again, want)
        then = [naive(view, f, rows, k, q, "then", keyed=keyed) for k, q in moments]
        differs = differs or not equals(f, column, then)
    report = find_leaks(joined, [view], {"s": source}, engine, at="q")
    assert report.ok is not differs, report.text()


def test_threads_and_row_order_change_nothing(engine: Engine) -> None:
    from whence.compute import open_engine

    rows = [
        {
            "id": f"r{i % 700}", "k": "KLM"[i % 3], "n": i * 7919 % 1000, "x": (i * 31 % 997) / 10, "b": i % 3 == 0,
            "e": T0 + (i * 37 % 500) * MINUTE, "at": T0 + (i * 37 % 500 + i % 11) * MINUTE,
        }
        for i in range(1000)
    ]  # fmt: skip
    view = FeatureView("v", entity=ENTITY, source="s", timestamp="e", ttl="1h", features=FEATURES)
    asks = [(i % 3, i) for i in range(0, 600, 7)]
    spine = pa.table(
        {"k": ["KLM"[a] for a, _ in asks], "q": pa.array([T0 + m * MINUTE for _, m in asks], TS)}
    )
    found = []
    for threads, order in ((1, rows), (2, rows[::-1]), (2, sorted(rows, key=lambda r: str(r["n"])))):
        source = Source.of("s", pa.Table.from_pylist(order, schema=SCHEMA), key=["id"], known_at="at")
        one = open_engine(threads=threads)
        found.append(w.join_features(spine, [view], {"s": source}, one, at="q").table)
        one.close()
    assert found[0].equals(found[1])
    assert found[0].equals(found[2])
    back = w.join_features(
        spine.take(list(range(len(asks)))[::-1]), [view], {"s": source}, engine, at="q"
    ).table
    assert back.take(list(range(len(asks)))[::-1]).equals(found[0])
