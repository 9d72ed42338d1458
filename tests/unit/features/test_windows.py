"""Windowed features: the rows W01 to W11 of the sheet, as whence means them, and the numbers of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import whence.features as w
from whence.compute import Engine
from whence.errors import DataRejectedError, UsageError
from whence.features.source import Source
from whence.features.types import FeatureView

TS = pa.timestamp("us", tz="UTC")
US = timedelta(microseconds=1)
Hour = Callable[[float], datetime]
Join = Callable[..., dict[str, list[Any]]]
FLOAT = {"x": pa.float64()}


def test_w01_a_window_is_closed_at_its_far_end_and_open_at_its_near_end(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(1), "v": 1}]
    asks = [("a", hour(1)), ("a", hour(1) + US), ("a", hour(3)), ("a", hour(3) + US)]
    assert join(rows, asks, [w.count(over="2h")]) == {"count_2h": [0, 1, 1, 0]}


def test_w01_a_row_known_at_the_moment_is_not_yet_in_the_window(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(1), "at": hour(2), "v": 1}]
    assert join(rows, [("a", hour(2)), ("a", hour(2) + US)], [w.count(over="2h")]) == {"count_2h": [0, 1]}


def test_a_row_known_too_late_never_counts_and_takes_nothing_off(join: Join, hour: Hour) -> None:
    rows = [
        {"k": "a", "e": hour(1), "at": hour(1), "v": 1},
        {"k": "a", "e": hour(1), "at": hour(9), "v": 100},
        {"k": "a", "e": hour(8), "at": hour(8), "v": 2},
    ]
    asks = [("a", hour(h)) for h in (2, 3, 3.5, 9, 9.5, 10, 11)]
    got = join(rows, asks, [w.sum("v", over="2h"), w.sum("v", over="10h")])
    assert got["sum_v_2h"] == [1, 1, None, 2, 2, 2, None]
    assert got["sum_v_10h"] == [1, 1, 1, 3, 103, 103, 103]


def test_w02_hop_rounds_the_far_end_down(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(1), "v": 1}, {"k": "a", "e": hour(1.5), "v": 2}]
    asks = [("a", hour(3)), ("a", hour(3.25)), ("a", hour(3.5)), ("a", hour(4) - US), ("a", hour(4))]
    exact = join(rows, asks, [w.sum("v", over="2h")])
    assert exact["sum_v_2h"] == [3, 2, 2, None, None]
    assert join(rows, asks, [w.sum("v", over="2h")], hop="1h")["sum_v_2h"] == [3, 3, 3, 3, None]


def test_w04_nothing_counted_is_0_and_everything_else_null(join: Join, hour: Hour) -> None:
    features = [
        w.count(over="1h"), w.count("v", over="1h"), *(op("v", over="1h") for op in (w.sum, w.mean, w.std, w.min, w.max, w.first, w.last)),
    ]  # fmt: skip
    nothing = join([{"k": "a", "e": hour(1), "v": None}], [("a", hour(1.5)), ("a", hour(5))], features)
    assert nothing.pop("count_1h") == [1, 0]
    assert nothing.pop("count_v_1h") == [0, 0]
    assert nothing == {name: [None, None] for name in nothing}


def test_w04_nulls_are_skipped(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(i), "v": v} for i, v in enumerate([None, 4, None, 8, None], 1)]
    features = [op("v", over="1d") for op in (w.sum, w.mean, w.min, w.max, w.first, w.last)]
    got = join(rows, [("a", hour(10))], [*features, w.count("v", over="1d")])
    assert [column[0] for column in got.values()] == [12, 6.0, 4, 8, 4, 8, 2]


def test_w05_the_deviation_of_one_value_is_null(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(1), "v": 3}, {"k": "a", "e": hour(2), "v": 5}]
    got = join(rows, [("a", hour(1.5)), ("a", hour(2.5))], [w.std("v", over="1d")])
    assert got == {"std_v_1d": [None, math.sqrt(2)]}


def test_w06_ties_of_first_and_last_go_by_knowledge_then_content(join: Join, hour: Hour) -> None:
    rows = [
        {"k": "a", "e": hour(1), "at": hour(3), "v": 1},
        {"k": "a", "e": hour(1), "at": hour(2), "v": 2},
        {"k": "a", "e": hour(1), "at": hour(2), "v": 3},
    ]
    got = join(rows, [("a", hour(2.5)), ("a", hour(4))], [w.first("v", over="1d"), w.last("v", over="1d")])
    assert got == {"first_v_1d": [2, 2], "last_v_1d": [3, 1]}


EVERY = [op("v", over="1d") for op in (w.sum, w.mean, w.std, w.min, w.max, w.first, w.last)]


@pytest.mark.parametrize(
    ("change", "then"),
    [
        ({"k": "a", "e": 2, "v": 50}, [61, 61 / 3]),  # the value
        ({"k": "b", "e": 2, "v": 2}, [11, 5.5]),  # the key
        ({"k": "a", "e": 30, "v": 2}, [11, 5.5]),  # the event, into the future
        ({"k": "a", "e": -48, "v": 2}, [11, 5.5]),  # the event, out of the window
        ({"k": "a", "e": None, "v": 2}, [11, 5.5]),  # no event any more
        ({"k": "a", "e": 2, "v": None}, [11, 5.5]),  # no value any more
    ],
)
def test_w07_a_correction_counts_as_if_the_table_had_been_so(
    join: Join, hour: Hour, change: dict[str, Any], then: list[float]
) -> None:
    def row(id_: str, known: float, **values: Any) -> dict[str, Any]:
        event = values.pop("e")
        return {"id": id_, "at": hour(known), "e": None if event is None else hour(event), **values}

    rows = [
        row("x", 1, k="a", e=1, v=1), row("y", 2, k="a", e=2, v=2), row("z", 3, k="a", e=3, v=10), row("y", 5, **change),
    ]  # fmt: skip
    types = {"id": pa.string(), "v": pa.int64()}
    got = join(rows, [("a", hour(5)), ("a", hour(5) + US)], EVERY, schema=types, key=["id"])
    assert got["sum_v_1d"] == [13, then[0]]
    assert got["mean_v_1d"] == [13 / 3, then[1]]
    # as if it had always been so
    final = [r for r in rows if not (r["id"] == "y" and r["at"] == hour(2))]
    again = join(final, [("a", hour(6))], EVERY, schema=types, key=["id"])
    assert {name: column[1] for name, column in got.items()} == {
        name: column[0] for name, column in again.items()
    }


def test_a_repeat_of_a_row_counts_once(join: Join, hour: Hour) -> None:
    rows = [{"id": "x", "k": "a", "e": hour(1), "at": hour(h), "v": 5} for h in (1, 1, 2, 3)]
    types = {"id": pa.string(), "v": pa.int64()}
    asks = [("a", hour(h) + US) for h in (1, 2, 3)]
    got = join(rows, asks, [w.count(over="1d"), w.sum("v", over="1d")], schema=types, key=["id"])
    assert got == {"count_1d": [1, 1, 1], "sum_v_1d": [5, 5, 5]}
    assert join(rows, asks, [w.count(over="1d")], schema=types) == {"count_1d": [2, 3, 4]}


def test_w11_in_one_step_or_day_by_day(join: Join, hour: Hour) -> None:
    rows = [
        {"k": "ab"[i % 2], "e": hour(i * 5), "at": hour(i * 5 + i % 9), "v": i * i % 17} for i in range(60)
    ]
    asks = [("ab"[i % 2], hour(i * 3)) for i in range(90)]
    features = [*(op("v", over="2d") for op in (w.sum, w.std, w.min, w.first, w.last)), w.last("v")]
    whole = join(rows, asks, features)
    for name in whole:
        pieces = [v for i in range(0, 90, 8) for v in join(rows, asks[i : i + 8], features)[name]]
        assert pieces == whole[name], name


def test_a_late_row_changes_only_later_moments(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(i), "v": i} for i in range(20)]
    asks = [("a", hour(i + 0.5)) for i in range(20)]
    features = [w.sum("v", over="5h"), w.max("v", over="5h"), w.last("v")]
    before = join(rows, asks, features)
    after = join([*rows, {"k": "a", "e": hour(8), "at": hour(11), "v": 1000}], asks, features)
    for name in before:
        assert before[name][:11] == after[name][:11]
    assert after["sum_v_5h"][11] == before["sum_v_5h"][11] + 1000


# --- numbers ------------------------------------------------------------------------------------


def test_integers_are_exact_beyond_2_to_the_53(join: Join, hour: Hour) -> None:
    big = 2**60 + 1
    rows = [{"k": "a", "e": hour(i), "v": v} for i, v in enumerate([big, big, -3])]
    got = join(rows, [("a", hour(9))], [w.sum("v", over="1d"), w.mean("v", over="1d"), w.std("v", over="1d")])
    assert got["sum_v_1d"] == [2 * big - 3]
    assert got["mean_v_1d"] == [float(2 * big - 3) / 3.0]
    assert got["std_v_1d"] == [pytest.approx(float(big + 3) / math.sqrt(3), rel=1e-15)]


def test_a_sum_that_does_not_fit_is_refused(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(i), "v": 2**62} for i in range(4)]
    with pytest.raises(UsageError, match="does not fit int64") as caught:
        join(rows, [("a", hour(9))], [w.sum("v", over="1d")])
    assert caught.value.code == "sum-overflow"
    assert join(rows, [("a", hour(9))], [w.mean("v", over="1d")]) == {"mean_v_1d": [float(2**62)]}


def test_values_with_a_scale_are_rounded_half_away_and_then_exact(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(i), "x": x} for i, x in enumerate([0.1, 0.2, 0.3, 0.25, -0.25])]
    got = join(
        rows, [("a", hour(9))], [w.sum("x", over="1d", scale=1), w.std("x", over="1d", scale=1)], schema=FLOAT
    )
    assert got["sum_x_1d"] == [0.6]
    assert got["std_x_1d"] == [math.sqrt((5 * (1 + 4 + 9 + 9 + 9) - 36) / 20) / 10]


def test_what_is_not_finite_has_no_scale(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(1), "x": math.nan}]
    with pytest.raises(DataRejectedError, match="1 values that are not finite") as caught:
        join(rows, [("a", hour(9))], [w.sum("x", over="1d", scale=1)], schema=FLOAT)
    assert caught.value.code == "not-finite"


finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), finite, st.sampled_from([1e-300, 1e300, 0.1, -0.0])), max_size=8))
def test_doubles_are_added_exactly_and_rounded_once(join: Join, values: list[float | None]) -> None:
    start = datetime.fromisoformat("2013-01-01T00:00:00+00:00")
    rows = [{"k": "a", "e": start + i * US, "x": x} for i, x in enumerate(values)]
    features = [op("x", over="1d") for op in (w.sum, w.mean, w.std)]
    got = join(rows, [("a", start + timedelta(hours=1))], features, schema=FLOAT)
    present = [v for v in values if v is not None]
    wide = any(v and abs(math.log2(abs(v))) > 90 for v in present) or any(v and v % 2**-96 for v in present)
    tolerance = 1e-12 if wide else 0.0
    scale = math.fsum(abs(v) for v in present) * 1e-12 if wide else 0.0
    total = math.fsum(present)
    assert got["sum_x_1d"] == [pytest.approx(total, rel=tolerance, abs=scale) if present else None]
    assert got["mean_x_1d"] == [
        pytest.approx(total / len(present), rel=tolerance, abs=scale) if present else None
    ]
    if len(present) > 1 and not wide and len(set(present)) == 1:
        assert got["std_x_1d"] == [0.0]


def test_nan_and_infinities_do_what_they_do(join: Join, hour: Hour) -> None:
    rows = [
        {"k": "a", "e": hour(1), "x": 1.0},
        {"k": "a", "e": hour(2), "x": math.inf},
        {"k": "a", "e": hour(3), "x": math.nan},
    ]
    asks = [("a", hour(1.5)), ("a", hour(2.5)), ("a", hour(3.5))]
    got = join(rows, asks, [op("x", over="1d") for op in (w.sum, w.min, w.max)], schema=FLOAT)
    assert got["sum_x_1d"][:2] == [1.0, math.inf]
    assert math.isnan(got["sum_x_1d"][2])
    assert got["min_x_1d"] == [1.0, 1.0, 1.0]
    assert got["max_x_1d"][:2] == [1.0, math.inf]
    assert math.isnan(got["max_x_1d"][2])


def test_decimals_are_exact(join: Join, hour: Hour) -> None:
    money = {"v": pa.decimal128(12, 2)}
    rows = [{"k": "a", "e": hour(i), "v": Decimal(v)} for i, v in enumerate(["0.10", "0.20", "-12345678.90"])]
    got = join(
        rows,
        [("a", hour(9)), ("a", hour(1.5))],
        [w.sum("v", over="1d"), w.mean("v", over="1d")],
        schema=money,
    )
    assert got["sum_v_1d"] == [Decimal("-12345678.60"), Decimal("0.30")]
    assert got["mean_v_1d"] == [-1234567860 / 300, 30 / 200]


def test_booleans_are_0_and_1_and_texts_have_an_order(join: Join, hour: Hour) -> None:
    types = {"b": pa.bool_(), "t": pa.string()}
    rows = [
        {"k": "a", "e": hour(i), "b": b, "t": t}
        for i, (b, t) in enumerate([(True, "b"), (False, "é"), (True, "a")])
    ]
    features = [w.sum("b", over="1d"), w.mean("b", over="1d"), w.min("t", over="1d"), w.max("t", over="1d")]
    assert join(rows, [("a", hour(9))], features, schema=types) == {
        "sum_b_1d": [2], "mean_b_1d": [2 / 3], "min_t_1d": ["a"], "max_t_1d": ["é"],
    }  # fmt: skip


def test_a_condition_counts_where_it_is_true(join: Join, hour: Hour) -> None:
    rows = [{"k": "a", "e": hour(i), "v": v} for i, v in enumerate([5, None, 45, 30])]
    late = w.count(over="1d", where="v >= 30").named("late")
    other = w.mean("v", over="1d", where="NOT v >= 30").named("on_time")
    assert join(rows, [("a", hour(9))], [late, other]) == {"late": [2], "on_time": [5.0]}


def test_many_keys_over_a_long_time_need_wide_places(engine: Engine) -> None:
    start = datetime.fromisoformat("0100-01-01T00:00:00+00:00")
    n = 40
    rows = pa.table(
        {
            "k": list(range(n)),
            "e": pa.array([start + timedelta(days=20_000 * i) for i in range(n)], TS),
            "v": [1] * n,
        }
    )
    view = FeatureView(
        "f",
        entity=w.Entity("k", ["k"]),
        source="s",
        timestamp="e",
        features=[w.last("v"), w.count(over="1d")],
    )
    asks = [start + timedelta(days=20_000 * i, hours=1) for i in range(n)]
    spine = pa.table({"k": list(range(n)), "q": pa.array(asks, TS)})
    got = w.join_features(spine, [view], {"s": Source.of("s", rows)}, engine, at="q").table
    assert got["f__v"].to_pylist() == [1] * n
    assert got["f__count_1d"].to_pylist() == [1] * n
