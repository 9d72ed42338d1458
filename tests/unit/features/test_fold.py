"""The fold against the join: random rows in random commits, asked at random moments.

The join is DuckDB over all rows there are by then; the plain meaning is asked as well. Late, early, corrected,
tied, moved and null rows; rows behind the fold's moment; windows with and without hop; ttl; keys of any kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import whence.features as w
from tests.unit.features.conftest import assert_same
from tests.unit.features.test_against_oracle import (
    ENTITY,
    FEATURES,
    MINUTE,
    SCHEMA,
    T0,
    TS,
    asked,
    equals,
    made,
    raw_row,
)
from whence.compute import Engine
from whence.errors import NotFoundError, UsageError
from whence.features.plain import Declared, rows_of
from whence.features.plain import fold as fold_plainly
from whence.features.source import Source
from whence.features.types import Aggregation, AnyView, FeatureView

Asks = Sequence[tuple[str | None, datetime]]
QUIET = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])

chosen_features = st.lists(st.sampled_from(FEATURES), min_size=1, max_size=3, unique=True)
declared_keys = st.sampled_from([(), ("id",), ("id", "k"), ("id", "k", "e")])
cuts = st.lists(st.integers(1, 13), min_size=1, max_size=3)
hops = st.sampled_from([None, "3min"])
ttls = st.sampled_from([None, "3min", "1h"])


def view_of(
    chosen: Sequence[Aggregation],
    *,
    ttl: str | None = None,
    hop: str | None = None,
    timestamp: str | None = "e",
) -> FeatureView:
    hop = hop if any(f.over for f in chosen) else None
    return FeatureView("v", entity=ENTITY, source="s", timestamp=timestamp, ttl=ttl, hop=hop, features=chosen)


def table_of(rows: Sequence[dict[str, Any]], schema: pa.Schema = SCHEMA) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema)


def source_of(rows: Sequence[dict[str, Any]], key: Sequence[str], known_at: str | None = "at") -> Source:
    return Source.of("s", table_of(rows), key=key, known_at=known_at)


def spine_of(asks: Asks) -> pa.Table:
    return pa.table(
        {"k": pa.array([k for k, _ in asks], pa.string()), "q": pa.array([q for _, q in asks], TS)}
    )


def pieces(values: Sequence[Any], at: Sequence[int]) -> list[Sequence[Any]]:
    """A sequence cut at some places."""
    edges = [0, *sorted(min(c, len(values)) for c in at), len(values)]
    return [values[a:b] for a, b in pairwise(edges)]


def in_steps(rows: Sequence[Any], asks: Asks, at: Sequence[int]) -> list[tuple[Sequence[Any], Asks]]:
    """Commits and batches by turns: rows in any order, moments ascending, within a batch descending."""
    commits = pieces(rows, at)
    batches = pieces(sorted(asks, key=lambda ask: ask[1]), [c * len(asks) // 12 for c in at])
    return [(commit, batch[::-1]) for commit, batch in zip(commits, batches, strict=True)]


# --- the same as the join and as the plain meaning ----------------------------------------------


@QUIET
@given(
    chosen=chosen_features, raw=st.lists(raw_row, min_size=3, max_size=14), at=cuts,
    asks=st.lists(asked, min_size=3, max_size=8), ttl=ttls, hop=hops, key=declared_keys,
)  # fmt: skip
def test_at_every_moment_the_fold_is_the_join(
    chosen: list[Aggregation], raw: list[dict[str, Any]], at: list[int], asks: list[tuple[str | None, int]],
    ttl: str | None, hop: str | None, key: tuple[str, ...], engine: Engine,
) -> None:  # fmt: skip
    view, rows = view_of(chosen, ttl=ttl, hop=hop), made(raw)
    fold = w.Fold([view], {"s": source_of([], key)})
    so_far: list[dict[str, Any]] = []
    for commit, batch in in_steps(rows, [(k, T0 + m * MINUTE) for k, m in asks], at):
        fold.add("s", table_of(commit))
        so_far += commit
        got = fold.features(spine_of(batch), at="q")
        want = w.join_features(spine_of(batch), [view], {"s": source_of(so_far, key)}, engine, at="q").table
        assert_same(got, want, view, table_of(so_far))
        for f in chosen:
            plainly = []
            for k, q in batch:
                found = rows_of(view, f, so_far, Declared(key, "at"), {"k": k}, q)
                plainly.append(fold_plainly(f, [so_far[i][f.column] if f.column else True for i in found]))
            assert equals(f, got.column(f"v__{f.name}").to_pylist(), plainly)


@QUIET
@given(
    features=st.lists(
        st.sampled_from([w.last("n"), w.last("x"), w.last("b", where="n > 0")]), min_size=1, max_size=3, unique=True
    ),
    raw=st.lists(raw_row, max_size=10), at=cuts, asks=st.lists(asked, min_size=3, max_size=8),
    key=declared_keys, known_at=st.sampled_from(["at", None]),
)  # fmt: skip
def test_a_lookup_without_time_is_the_join_too(
    features: list[Aggregation], raw: list[dict[str, Any]], at: list[int], asks: list[tuple[str | None, int]],
    key: tuple[str, ...], known_at: str | None, engine: Engine,
) -> None:  # fmt: skip
    view, so_far = view_of(features, timestamp=None), list[dict[str, Any]]()
    fold = w.Fold([view], {"s": source_of([], key, known_at)})
    for commit, batch in in_steps(made(raw), [(k, T0 + m * MINUTE) for k, m in asks], at):
        fold.add("s", table_of(commit))
        so_far += commit
        source = source_of(so_far, key, known_at)
        want = w.join_features(spine_of(batch), [view], {"s": source}, engine, at="q").table
        assert_same(fold.features(spine_of(batch), at="q"), want, view, table_of(so_far))


@QUIET
@given(
    chosen=chosen_features,
    raw=st.lists(raw_row, max_size=12),
    at=cuts,
    asks=st.lists(asked, min_size=3, max_size=8),
)
def test_where_nothing_says_when_a_row_was_known_its_event_does(
    chosen: list[Aggregation], raw: list[dict[str, Any]], at: list[int], asks: list[tuple[str | None, int]],
    engine: Engine,
) -> None:  # fmt: skip
    view, so_far = view_of(chosen, ttl="1h"), list[dict[str, Any]]()
    fold = w.Fold([view], {"s": source_of([], ["id"], None)})
    for commit, batch in in_steps(made(raw), [(k, T0 + m * MINUTE) for k, m in asks], at):
        fold.add("s", table_of(commit))
        so_far += commit
        source = source_of(so_far, ["id"], None)
        want = w.join_features(spine_of(batch), [view], {"s": source}, engine, at="q").table
        assert_same(fold.features(spine_of(batch), at="q"), want, view, table_of(so_far))


# --- how the rows and moments are cut changes nothing -------------------------------------------


@QUIET
@given(
    chosen=chosen_features, raw=st.lists(raw_row, min_size=3, max_size=14), at=cuts,
    asks=st.lists(asked, min_size=1, max_size=10), key=declared_keys, hop=hops,
)  # fmt: skip
def test_many_batches_are_one_batch(
    chosen: list[Aggregation], raw: list[dict[str, Any]], at: list[int], asks: list[tuple[str | None, int]],
    key: tuple[str, ...], hop: str | None,
) -> None:  # fmt: skip
    view, rows = view_of(chosen, ttl="3min", hop=hop), made(raw)
    moments = sorted(((k, T0 + m * MINUTE) for k, m in asks), key=lambda ask: ask[1])
    once, often = (w.Fold([view], {"s": source_of([], key)}) for _ in range(2))
    once.add("s", table_of(rows))
    for piece in pieces(rows, at):
        often.add("s", table_of(piece))
    whole = once.features(spine_of(moments), at="q")
    parts = [often.features(spine_of(part), at="q") for part in pieces(moments, at)]
    if any(key) or not any(f.op in ("first", "last") for f in chosen):
        assert pa.concat_tables(parts).combine_chunks().equals(whole.combine_chunks())
    assert once.moment == often.moment == moments[-1][1]


@QUIET
@given(
    chosen=chosen_features, raw=st.lists(raw_row, min_size=3, max_size=14), at=cuts,
    asks=st.lists(asked, min_size=2, max_size=10), key=declared_keys, hop=hops,
)  # fmt: skip
def test_a_look_that_is_not_taken_leaves_nothing(
    chosen: list[Aggregation], raw: list[dict[str, Any]], at: list[int], asks: list[tuple[str | None, int]],
    key: tuple[str, ...], hop: str | None,
) -> None:  # fmt: skip
    view, rows = view_of(chosen, ttl="3min", hop=hop), made(raw)
    moments = sorted(((k, T0 + m * MINUTE) for k, m in asks), key=lambda ask: ask[1])
    plain, looked = (w.Fold([view], {"s": source_of([], key)}) for _ in range(2))
    done = 0
    for commit, now in zip(pieces(rows, at), pieces(moments, at), strict=True):
        for fold in (plain, looked):
            fold.add("s", table_of(commit))
        looked.look(spine_of(moments[done:]), at="q")
        done += len(now)
        look = looked.look(spine_of(now), at="q")
        assert look.features.equals(plain.features(spine_of(now), at="q"))
        looked.take(look)
        assert looked.moment == plain.moment


def with_watermarks(
    rows: list[dict[str, Any]], asks: Asks, at: Sequence[int]
) -> list[tuple[Sequence[Any], Asks]]:
    """As `in_steps`, but a row is known later than every moment asked before it came."""
    steps: list[tuple[Sequence[Any], Asks]] = []
    moment: datetime | None = None
    for commit, batch in in_steps(rows, asks, at):
        kept = [
            {**r, "at": max(r["at"], moment + timedelta(microseconds=1)) if r["at"] and moment else r["at"]}
            for r in commit
        ]
        steps.append((kept, batch))
        moment = max([q for _, q in batch], default=moment)
    return steps


@QUIET
@given(
    chosen=chosen_features, raw=st.lists(raw_row, min_size=3, max_size=14), at=cuts,
    asks=st.lists(asked, min_size=3, max_size=8), ttl=ttls, hop=hops, key=declared_keys,
    timed=st.booleans(),
)  # fmt: skip
def test_forgetting_changes_nothing(
    chosen: list[Aggregation], raw: list[dict[str, Any]], at: list[int], asks: list[tuple[str | None, int]],
    ttl: str | None, hop: str | None, key: tuple[str, ...], timed: bool, engine: Engine,
) -> None:  # fmt: skip
    if not timed:
        chosen, ttl = [w.last("n"), w.last("b", where="n > 0")], None
    view = view_of(chosen, ttl=ttl, hop=hop, timestamp="e" if timed else None)
    fold = w.Fold([view], {"s": source_of([], key)})
    so_far: list[dict[str, Any]] = []
    for commit, batch in with_watermarks(made(raw), [(k, T0 + m * MINUTE) for k, m in asks], at):
        fold.add("s", table_of(commit))
        so_far += commit
        want = w.join_features(spine_of(batch), [view], {"s": source_of(so_far, key)}, engine, at="q").table
        assert_same(fold.features(spine_of(batch), at="q"), want, view, table_of(so_far))
        before = fold.n_rows
        assert fold.forget() == before - fold.n_rows
        again = [(k, q) for k, q in batch if q == fold.moment]
        want = w.join_features(spine_of(again), [view], {"s": source_of(so_far, key)}, engine, at="q").table
        assert_same(fold.features(spine_of(again), at="q"), want, view, table_of(so_far))
        assert fold.forget() == 0


# --- by example ---------------------------------------------------------------------------------


def minutes(n: float) -> datetime:
    return T0 + n * MINUTE


def row(
    name: str | None, e: float, n: int | None, *, at: float | None = None, k: str = "K"
) -> dict[str, Any]:
    known = minutes(e if at is None else at)
    return {
        "id": name,
        "k": k,
        "n": n,
        "x": None if n is None else n / 4,
        "b": None,
        "e": minutes(e),
        "at": known,
    }


def folded(*features: Aggregation, key: Sequence[str] = (), **settings: Any) -> w.Fold:
    return w.Fold([view_of(features, **settings)], {"s": source_of([], key)})


def answers(fold: w.Fold, *asks: tuple[str, float]) -> list[list[Any]]:
    got = fold.features(spine_of([(k, minutes(m)) for k, m in asks]), at="q")
    return [column.to_pylist() for column in got.columns]


def test_rows_leave_a_window_one_microsecond_after_its_edge() -> None:
    fold = folded(w.sum("n", over="10min"))
    fold.add("s", table_of([row("a", 0, 1), row("b", 1, 2)]))
    us = 1 / 60_000_000
    assert answers(fold, ("K", 0), ("K", us), ("K", 1 + us), ("K", 10), ("K", 10 + us), ("K", 11 + us)) == [
        [None, 1, 3, 3, 2, None]
    ]


def test_a_correction_takes_the_older_row_back_from_when_it_is_known() -> None:
    fold = folded(w.sum("n", over="10min"), w.last("n"), key=["id"])
    fold.add("s", table_of([row("a", 0, 1)]))
    assert answers(fold, ("K", 2)) == [[1], [1]]
    fold.add("s", table_of([row("a", 0, 50, at=4), row("a", 0, 50, at=4)]))
    assert answers(fold, ("K", 3), ("K", 4), ("K", 5)) == [[1, 1, 50], [1, 50, 50]]


def test_a_row_that_comes_behind_the_moment_counts_from_then_on() -> None:
    fold = folded(w.sum("n", over="10min"), w.count(over="2min"), key=["id"])
    fold.add("s", table_of([row("a", 0, 1)]))
    assert answers(fold, ("K", 5)) == [[1], [0]]
    fold.add("s", table_of([row("b", 1, 10), row("c", 4, 100), row("a", 0, 2, at=3)]))
    assert answers(fold, ("K", 5), ("K", 7)) == [[112, 112], [1, 0]]


def test_a_moment_that_has_passed_is_refused_and_nothing_moves() -> None:
    fold = folded(w.count(over="10min"))
    fold.add("s", table_of([row("a", 0, 1)]))
    assert fold.moment is None
    answers(fold, ("K", 5))
    with pytest.raises(UsageError, match="a moment asked lies before it") as caught:
        answers(fold, ("K", 9), ("K", 4))
    assert caught.value.code == "moment-passed"
    assert fold.moment == minutes(5)
    assert answers(fold, ("K", 5)) == [[1]]


def test_a_look_is_taken_once_and_of_the_fold_as_it_was() -> None:
    fold = folded(w.count(over="10min"))
    fold.add("s", table_of([row("a", 0, 1)]))
    old = fold.look(spine_of([("K", minutes(3))]), at="q")
    look = fold.look(spine_of([("K", minutes(5))]), at="q")
    assert fold.moment is None
    fold.take(look)
    assert fold.moment == minutes(5)
    for again in (old, look):
        with pytest.raises(UsageError, match="it has changed since the look that is taken") as caught:
            fold.take(again)
        assert caught.value.code == "moment-passed"
    look = fold.look(spine_of([("K", minutes(6))]), at="q")
    fold.add("s", table_of([row("b", 4, 1)]))
    with pytest.raises(UsageError, match="moment-passed"):
        fold.take(look)
    assert answers(fold, ("K", 6)) == [[2]]


def test_a_look_is_not_taken_once_rows_were_forgotten() -> None:
    """It names rows by their place, and those that are left move up."""
    fold = folded(w.sum("n", over="10min"))
    fold.add("s", table_of([row("a", 0, 1), row("b", 1, 2), row("c", 30, 40), row("d", 31, 80)]))
    assert answers(fold, ("K", 20)) == [[None]]
    look = fold.look(spine_of([("K", minutes(35))]), at="q")
    assert fold.forget() == 2
    with pytest.raises(UsageError, match="moment-passed"):
        fold.take(look)
    assert answers(fold, ("K", 35)) == [[120]]


def test_what_does_not_fit_is_refused_before_anything_is_changed() -> None:
    fold = folded(w.sum("n", over="10min"))
    with pytest.raises(NotFoundError, match="source 'other' not found"):
        fold.add("other", table_of([]))
    with pytest.raises(UsageError, match="n: missing") as caught:
        fold.add("s", table_of([row("a", 0, 1)]).drop_columns(["n"]))
    assert caught.value.code == "schema-mismatch"
    with pytest.raises(NotFoundError, match="column 'k' not found"):
        fold.features(spine_of([("K", minutes(1))]).drop_columns(["k"]), at="q")
    assert fold.n_rows == 0
    assert fold.moment is None


def test_no_rows_asked_gives_no_rows_of_the_right_types() -> None:
    fold = folded(w.mean("n", over="10min"), w.last("k"))
    got = fold.features(spine_of([]), at="q")
    assert got.schema == pa.schema({"v__mean_n_10min": pa.float64(), "v__k": pa.string()})
    assert got.num_rows == 0
    assert fold.moment is None


def test_only_what_can_still_be_seen_is_held() -> None:
    fold = folded(w.count(over="1h"), w.last("n"), ttl="30min", key=["id"])
    for hour in range(48):
        fold.add("s", table_of([row(f"{hour}-{i}", 60 * hour + i, i) for i in range(60)]))
        assert answers(fold, ("K", 60 * hour + 60)) == [[60], [59]]
        fold.forget()
        assert fold.n_rows <= 61
    assert fold.size_bytes < 50_000


def test_of_a_register_only_the_newest_rows_are_held() -> None:
    view = FeatureView("v", entity=ENTITY, source="s", features=[w.last("n")])
    fold = w.Fold([view], {"s": source_of([], ["k"])})
    for version in range(20):
        fold.add("s", table_of([row("a", version, version, k=k) for k in "KLM"]))
        assert answers(fold, ("K", version), ("M", version)) == [[version, version]]
        fold.forget()
        assert fold.n_rows == 3


def test_counts_part_once_a_value_is_null() -> None:
    """Counts of rows and of values are computed once while no value is null."""
    fold = folded(w.count(over="1h"), w.count("n", over="1h"), w.mean("n", over="1h"))
    fold.add("s", table_of([row("a", 0, 1), row("b", 1, 3)]))
    assert answers(fold, ("K", 2)) == [[2], [2], [2.0]]
    fold.add("s", table_of([row("c", 3, None), row("d", 4, 5)]))
    assert answers(fold, ("K", 5), ("K", 62), ("L", 5)) == [[4, 2, 0], [3, 1, 0], [3.0, 5.0, None]]
    fold.forget()
    fold.add("s", table_of([row("e", 62, None)]))
    assert answers(fold, ("K", 63)) == [[3], [1], [5.0]]


def test_a_large_fold_forgets_by_itself() -> None:
    fold = folded(w.sum("n", over="10min"))
    for i in range(12):
        fold.add("s", table_of([row(None, 20 * i, 1)] * 1000))
        assert answers(fold, ("K", 20 * i + 1)) == [[1000]]
    assert fold.n_rows < 9000


def test_columns_that_come_later_decide_between_rows_that_tie(engine: Engine) -> None:
    view, spine = view_of([w.last("n")]), spine_of([("K", minutes(2))])
    fold = w.Fold([view], {"s": source_of([], [])})
    fold.add("s", table_of([row("a", 0, 1)]))
    later = table_of([row("b", 1, 2), row("b", 1, 3)]).append_column("a_new_one", pa.array([9, 8]))
    fold.add("s", later)
    rows = pa.concat_tables([table_of([row("a", 0, 1)]), later], promote_options="default")
    want = w.join_features(spine, [view], {"s": Source.of("s", rows, known_at="at")}, engine, at="q").table
    assert fold.features(spine, at="q").column(0).to_pylist() == want.column("v__n").to_pylist() == [2]


def test_views_of_the_row_alone_and_of_other_keys_stand_in_the_declared_order(engine: Engine) -> None:
    delays = view_of([w.count(over="10min"), w.last("x")])
    views: list[AnyView] = [
        w.given("distance"),
        delays.with_keys({"k": "dest"}, name="there"),
        w.calendar("q", tz="America/New_York", parts=["hour", "weekday"]),
        delays,
        w.category("k", ["L", "K"]),
        FeatureView(
            "all",
            entity=w.Entity("everyone", []),
            source="s",
            timestamp="e",
            features=[w.max("n", over="1h")],
        ),
    ]
    rows = table_of([row("a", 0, 1), row("b", 1, 2, k="L"), row("c", 2, None, k="L")])
    spine = spine_of([("K", minutes(3)), ("L", minutes(3)), (None, minutes(4))])
    spine = spine.append_column("dest", pa.array(["L", None, "K"])).append_column(
        "distance", pa.array([1, 2, 3])
    )
    fold = w.Fold(views, {"s": Source.of("s", rows.schema.empty_table(), known_at="at")})
    fold.add("s", rows)
    got = fold.features(spine, at="q")
    want = w.join_features(spine, views, {"s": Source.of("s", rows, known_at="at")}, engine, at="q").table
    assert got.column_names == list(fold.outputs) == w.feature_columns(views)
    assert got.equals(want.select(got.column_names))
    assert got.column("there__count_10min").to_pylist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.decimal128(20, 2), [Decimal("0.10"), Decimal("-99999999999999999.99"), Decimal("0.25"), None]),
        (pa.float32(), [0.5, -0.0, 3.25, None]),
        (pa.float64(), [1e300, 1e-300, -1e300, None]),
        (pa.float64(), [float("inf"), 1.0, float("nan"), float("-inf")]),
        (pa.int64(), [2**62, -(2**62), 2**53 + 1, None]),
        (pa.int16(), [1, -300, 7, None]),
        (pa.bool_(), [True, False, None, True]),
    ],
)
@pytest.mark.parametrize("at", [[], [1, 2], [3]])
def test_numbers_of_every_type_are_what_the_join_makes(
    type_: pa.DataType, values: list[Any], at: list[int], engine: Engine
) -> None:
    schema = pa.schema({"k": pa.string(), "v": type_, "e": TS, "at": TS})
    made_of = [op("v", over="2min") for op in (w.count, w.sum, w.mean, w.std, w.min, w.max, w.first, w.last)]
    view = view_of([*made_of, w.last("v")])
    rows = [{"k": "K", "v": v, "e": minutes(i), "at": minutes(i)} for i, v in enumerate(values)]
    fold = w.Fold([view], {"s": Source.of("s", schema.empty_table(), known_at="at")})
    so_far: list[dict[str, Any]] = []
    for piece in pieces(rows, at):
        fold.add("s", table_of(piece, schema))
        so_far += piece
        spine = spine_of(
            [("K", minutes(i + 0.5)) for i in range(max(len(so_far) - 1, 0), 6)][: 1 + len(piece)]
        )
        spine = spine_of([("K", minutes(len(so_far) + 0.5))]) if piece is not pieces(rows, at)[-1] else spine
        source = Source.of("s", table_of(so_far, schema), known_at="at")
        want = w.join_features(spine, [view], {"s": source}, engine, at="q").table
        assert_same(fold.features(spine, at="q"), want, view, table_of(so_far, schema))


def test_dates_stand_for_their_first_instant(engine: Engine) -> None:
    schema = pa.schema({"k": pa.string(), "n": pa.int64(), "e": pa.date32(), "at": pa.date32()})
    view = view_of([w.sum("n", over="2d"), w.last("n"), w.min("e", over="3d")])
    day = T0.date()
    rows = [
        {"k": "K", "n": i, "e": day + timedelta(days=i), "at": day + timedelta(days=i + i % 2)}
        for i in range(5)
    ]
    fold = w.Fold([view], {"s": Source.of("s", schema.empty_table(), known_at="at")})
    fold.add("s", table_of(rows, schema))
    spine = spine_of([("K", T0 + timedelta(hours=11 * i)) for i in range(12)])
    source = Source.of("s", table_of(rows, schema), known_at="at")
    want = w.join_features(spine, [view], {"s": source}, engine, at="q").table
    assert_same(fold.features(spine, at="q"), want, view, table_of(rows, schema))
