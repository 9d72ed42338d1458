from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import NotFoundError, UsageError
from whence.validation import Correlation, Statistics

finite = st.integers(-8_000, 8_000).map(lambda i: i / 8)
numbers = st.one_of(st.none(), finite, st.just(math.nan), st.just(math.inf))
rows = st.lists(st.tuples(numbers, numbers, st.integers(-9, 9), st.integers(0, 3)), max_size=30)


def table_of(found: list[Any]) -> pa.Table:
    columns = list(zip(*found, strict=True)) or [(), (), (), ()]
    kinds = [pa.float64(), pa.float64(), pa.int64(), pa.float64()]
    return pa.table({n: pa.array(list(c), k) for n, c, k in zip("abcw", columns, kinds, strict=True)})


def naive(x: list[Any], y: list[Any], w: list[float]) -> tuple[int, float | None, float | None]:
    keep = [(a, b, k) for a, b, k in zip(x, y, w, strict=True) if None not in (a, b) and math.isfinite(a + b)]
    total = math.fsum(k for *_, k in keep)
    if not total:
        return len(keep), None, None
    mx = math.fsum(a * k for a, _, k in keep) / total
    my = math.fsum(b * k for _, b, k in keep) / total
    xy = math.fsum((a - mx) * (b - my) * k for a, b, k in keep)
    xx = math.fsum((a - mx) ** 2 * k for a, _, k in keep)
    yy = math.fsum((b - my) ** 2 * k for _, b, k in keep)
    tiny = 1e-12 * (abs(mx) + abs(my) + 1)
    constant = math.sqrt(xx / total) < tiny or math.sqrt(yy / total) < tiny
    return len(keep), xy / total, None if constant else xy / math.sqrt(xx) / math.sqrt(yy)


@given(rows, st.lists(st.integers(0, 30), max_size=3), st.booleans())
def test_as_a_naive_loop_and_over_any_split(
    same_any_split: Callable[..., Any], found: list[Any], cuts: list[int], weighted: bool
) -> None:
    table = table_of(found)
    extra = Correlation(("a", "b", "c"), weight="w" if weighted else None)
    told = same_any_split(extra, table, cuts)
    w = [float(r[3]) for r in found] if weighted else [1.0] * len(found)
    for pair in told["pairs"]:
        x, y = ([r["abc".index(pair[k])] for r in found] for k in "xy")
        n, covariance, correlation = naive(x, y, w)
        assert pair["count"] == n
        if covariance is None:
            assert pair["covariance"] is None
        else:
            assert pair["covariance"] == pytest.approx(covariance, rel=1e-9, abs=1e-8)
        if correlation is None:
            assert pair["correlation"] is None
        else:
            assert pair["correlation"] == pytest.approx(correlation, abs=1e-9)


def test_far_from_zero_and_missing_in_other_rows() -> None:
    rng = np.random.default_rng(1)
    x = 1e9 + rng.normal(size=1_000)
    y = x + rng.normal(size=1_000)
    told = Correlation().add(pa.table({"x": x, "y": y})).finish()["pairs"][0]
    assert told["correlation"] == pytest.approx(np.corrcoef(x - 1e9, y - 1e9)[0, 1], rel=1e-7)
    x[0], y[0] = 1e16, math.nan
    told = Correlation().add(pa.table({"x": x, "y": y})).finish()["pairs"][0]
    assert told["count"] == 999
    assert told["correlation"] == pytest.approx(np.corrcoef(x[1:] - 1e9, y[1:] - 1e9)[0, 1], rel=1e-7)


def test_a_constant_column_has_no_correlation() -> None:
    t = pa.table({"x": [0.1] * 7, "y": range(7)})
    halves = Correlation().add(t.slice(0, 3)).merge(Correlation().add(t.slice(3)))
    assert halves.finish()["pairs"] == [
        {"x": "x", "y": "y", "count": 7, "covariance": 0.0, "correlation": None}
    ]


def test_lists_of_one_and_fields(through_describe: Callable[..., Statistics]) -> None:
    t = pa.table({"l": [[1], [2], [3, 4], []], "p": [{"q": 2}, {"q": 4}, {"q": 9}, None], "s": ["a"] * 4})
    s = through_describe(Correlation(), t)
    (pair,) = s.extras["correlation"].finish()["pairs"]
    assert (pair["x"], pair["y"], pair["count"], pair["covariance"]) == ("l", "p.q", 2, 0.5)
    assert pair["correlation"] == pytest.approx(1.0, rel=1e-12)


def test_sides_of_other_columns() -> None:
    both = (
        Correlation()
        .add(pa.table({"a": [1, 2], "b": [1, 3]}))
        .merge(Correlation().add(pa.table({"b": [1, 2], "c": [2, 1]})))
    )
    found = [(p["x"], p["y"], p["count"]) for p in both.finish()["pairs"]]
    assert found == [("a", "b", 2), ("a", "c", 0), ("b", "c", 2)]
    assert both.correlation("a", "c") is None
    assert both.correlation("c", "b") == pytest.approx(-1.0, rel=1e-12)


def test_what_is_refused() -> None:
    t = pa.table({"x": [1.0], "s": ["a"]})
    with pytest.raises(UsageError, match=r"column 's' is STRING and has no correlation \(not-numeric\)"):
        Correlation(("x", "s")).add(t)
    with pytest.raises(NotFoundError, match=r"column 'xx' not found .*Near: 'x'"):
        Correlation(("xx",)).add(t)
    with pytest.raises(NotFoundError, match="column 'z' not found"):
        Correlation().add(t).correlation("x", "z")
    many = pa.table({f"c{i}": [1] for i in range(2_001)})
    with pytest.raises(UsageError, match=r"2,001 columns has too many pairs .*\(too-many-columns\)"):
        Correlation().add(many)
    assert Correlation(("x",), weight="w").key() == "correlation(x, weight=w)"
