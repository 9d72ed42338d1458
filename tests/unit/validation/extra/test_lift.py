from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import NotFoundError, UsageError
from whence.validation import Lift, Statistics, describe, quantile_edges
from whence.validation.extra import joint

text = st.sampled_from(["a", "b", "ü", ""])
xs = st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=3))
rows = st.lists(
    st.tuples(st.one_of(st.none(), text), xs, st.one_of(st.none(), st.floats(0, 9)), st.integers(0, 3)),
    max_size=25,
)


def table_of(found: list[Any]) -> pa.Table:
    columns = list(zip(*found, strict=True)) or [(), (), (), ()]
    kinds = [pa.string(), pa.list_(pa.int64()), pa.float64(), pa.int64()]
    return pa.table(
        {n: pa.array(list(c), k) for n, c, k in zip(["y", "x", "f", "w"], columns, kinds, strict=True)}
    )


@given(rows, st.lists(st.integers(0, 25), max_size=3), st.booleans())
def test_as_a_naive_loop_and_over_any_split(
    same_any_split: Callable[..., Any], found: list[Any], cuts: list[int], weighted: bool
) -> None:
    edges = (2.0, 5.0)
    extra = Lift("y", ("x", "f"), x_edges={"f": edges}, weight="w" if weighted else None)
    told = same_any_split(extra, table_of(found), cuts)
    w = [float(r[3]) if weighted else 1 for r in found]
    holds = {
        "y": [set() if r[0] is None else {r[0]} for r in found],
        "x": [{v for v in r[1] or [] if v is not None} for r in found],
        "f": [
            set()
            if r[2] is None
            else {f"{('(-inf, 2)', '[2, 5)', '[5, inf)')[sum(r[2] >= e for e in edges)]}"}
            for r in found
        ],
    }
    for column in told["lifts"]:
        for series in column["series"]:
            n_y = sum(k for k, ys in zip(w, holds["y"], strict=True) if series["y"] in ys)
            assert series["y_count"] == n_y
            order = []
            for v in series["values"]:
                has = [v["x"] in hs for hs in holds[column["x"]]]
                n_x = sum(k for k, h in zip(w, has, strict=True) if h)
                n_xy = sum(k for k, h, ys in zip(w, has, holds["y"], strict=True) if h and series["y"] in ys)
                assert (v["x_count"], v["x_and_y_count"]) == (n_x, n_xy)
                assert v["lift"] == pytest.approx((n_xy / n_x) / (n_y / sum(w)))
                order.append(-v["lift"])
            assert order == sorted(order)


def test_what_is_shown(through_describe: Callable[..., Statistics]) -> None:
    t = pa.table({"y": [True, True, False, False, False], "x": ["a", "b", "a", "b", "c"]})
    s = through_describe(Lift("y", min_count=2), t)
    lifts = s.extras["lift(y)"].finish()
    assert [[v["x"] for v in one["values"]] for one in lifts["lifts"][0]["series"]] == [
        ["a", "b"],
        ["a", "b"],
    ]
    cut = Lift("y", top=1, bottom=1).add(t).finish()["lifts"][0]["series"][0]
    assert [v["x"] for v in cut["values"]] == ["c", "b"]
    assert [
        v["x"] for v in Lift("y", top=9, bottom=9).add(t).finish()["lifts"][0]["series"][0]["values"]
    ] == ["c", "a", "b"]
    assert Lift("y").add(t).lift("x", "c", True) == 0.0
    assert Lift("y").add(t).lift("x", "d", True) is None


def test_buckets_of_statistics() -> None:
    t = pa.table({"y": [float(v) for v in range(100)], "x": ["low"] * 50 + ["high"] * 50})
    edges = quantile_edges(describe(t)["y"], 4)
    told = Lift("y", y_edges=edges).add(t).finish()["lifts"][0]["series"]
    assert [(s["y"], s["low"], s["high"], s["y_count"]) for s in told] == [
        ("(-inf, 24)", None, 24.0, 24),
        ("[24, 49)", 24.0, 49.0, 25),
        ("[49, 74)", 49.0, 74.0, 25),
        ("[74, inf)", 74.0, None, 26),
    ]
    with pytest.raises(UsageError, match=r"no two buckets.*\(not-numeric\)"):
        quantile_edges(describe(t)["x"])
    with pytest.raises(UsageError, match=r"buckets are 2 or more, got 1 \(bad-edges\)"):
        quantile_edges(describe(t)["y"], 1)


def test_too_many_values_are_given_up_whatever_the_split(
    monkeypatch: pytest.MonkeyPatch, same_any_split: Callable[..., Any]
) -> None:
    monkeypatch.setattr(joint, "MAX_VALUES", 3)
    t = pa.table({"y": [0, 1] * 3, "x": list("abcdab"), "z": list("aabbcc")})
    told = same_any_split(Lift("y"), t, [2, 4])
    assert told["left_out"] == {"x": "more than 3 values"}
    assert [c["x"] for c in told["lifts"]] == ["z"]
    monkeypatch.setattr(joint, "MAX_LABELS", 1)
    told = same_any_split(Lift("y", ("z",)), t, [1])
    assert (told["left_out"], told["lifts"]) == ({"y": "more than 1 values"}, [])


def test_few_of_many_cells(monkeypatch: pytest.MonkeyPatch, same_any_split: Callable[..., Any]) -> None:
    t = pa.table({"y": [0, 1, 0, 1], "x": list("abca"), "w": [1, 2, 3, 0]})
    for extra in (Lift("y", ("x",)), Lift("y", ("x",), weight="w")):
        wanted = extra.add(t).finish()
        monkeypatch.setattr(joint, "_MOST_CELLS", 0)
        assert same_any_split(extra, t, [1, 3]) == wanted
        monkeypatch.undo()


def test_what_is_refused() -> None:
    t = pa.table({"y": ["a"], "f": [0.5]})
    with pytest.raises(UsageError, match=r"column 'f' is FLOAT: no category .*needs-edges.*quantile_edges"):
        Lift("y", ("f",)).add(t)
    with pytest.raises(UsageError, match=r"column 'y' is STRING: no number and has no buckets"):
        Lift("f", x_edges={"y": (1.0,)}, y_edges=(1.0,)).add(t)
    with pytest.raises(UsageError, match=r"edges of 'f' ascend, got \[2.0, 1.0\] \(bad-edges\)"):
        Lift("f", y_edges=(2, 1))
    with pytest.raises(NotFoundError, match="column 'yy' not found"):
        Lift("yy").add(t)


def test_names() -> None:
    assert Lift("y", ("a", "b"), weight="w").key() == "lift(y | a, b, weight=w)"
    assert Lift("y") == Lift("y") != Lift("y", top=1)
    assert repr(Lift("y")) == "<Lift of y over 0 rows>"
