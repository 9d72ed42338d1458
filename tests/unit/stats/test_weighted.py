from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.errors import UsageError
from whence.stats import (
    Moments,
    Quantiles,
    WeightedMoments,
    WeightedQuantiles,
    WeightedTop,
)

pairs = st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4)), max_size=12)


def split(data: list[tuple[int, int]]) -> tuple[list[int], list[float]]:
    return [v for v, _ in data], [float(w) for _, w in data]


@given(pairs)
def test_a_whole_weight_is_that_many_values(data: list[tuple[int, int]]) -> None:
    values, weights = split(data)
    repeated = [float(v) for v, w in data for _ in range(w)]
    m, plain = WeightedMoments().add(values, weights), Moments().add(repeated)
    assert m.weight == len(repeated)
    assert m.mean == pytest.approx(plain.mean)
    assert m.variance == pytest.approx(plain.variance, abs=1e-12)
    q, counted = WeightedQuantiles().add(values, weights), Quantiles().add(repeated)
    for at in (0.0, 0.1, 0.5, 0.9, 1.0):
        assert q.quantile(at) == counted.quantile(at)
    top = WeightedTop().add([str(v) for v in values], weights).top()
    want = Counter({str(v): 0.0 for v in values})
    for v, w in data:
        want[str(v)] += w
    assert dict(top) == {v: w for v, w in want.items() if w}


@given(pairs, st.integers(0, 12))
def test_merged_equals_whole(data: list[tuple[int, int]], cut: int) -> None:
    values, weights = split(data)
    texts = [str(v) for v in values]
    m = (
        WeightedMoments()
        .add(values[:cut], weights[:cut])
        .merge(WeightedMoments().add(values[cut:], weights[cut:]))
    )
    whole = WeightedMoments().add(values, weights)
    assert m.weight == whole.weight
    assert m.mean == pytest.approx(whole.mean)
    assert m.variance == pytest.approx(whole.variance, abs=1e-12)
    q = (
        WeightedQuantiles()
        .add(values[:cut], weights[:cut])
        .merge(WeightedQuantiles().add(values[cut:], weights[cut:]))
    )
    assert q.to_dict() == WeightedQuantiles().add(values, weights).to_dict()
    t = WeightedTop().add(texts[:cut], weights[:cut]).merge(WeightedTop().add(texts[cut:], weights[cut:]))
    assert t.top() == WeightedTop().add(texts, weights).top()


@given(pairs)
def test_round_trips(data: list[tuple[int, int]]) -> None:
    values, weights = split(data)
    states = (
        WeightedMoments().add(values, weights),
        WeightedQuantiles().add([*values, float("inf")], [*weights, 1.0]),
        WeightedTop(limit=50).add([str(v) for v in values], weights),
    )
    for state in states:
        said = json.loads(json.dumps(state.to_dict(), allow_nan=False))
        assert type(state).from_dict(said).to_dict() == state.to_dict()


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_quantiles_keep_the_error_they_state(seed: int, batches: int) -> None:
    random = np.random.default_rng(seed)
    values, weights = random.normal(size=(batches, 3_000)), random.gamma(0.5, 2.0, size=(batches, 3_000))
    sketch = WeightedQuantiles()
    for v, w in zip(values, weights, strict=True):
        sketch = sketch.add(v, w)
    sketch = WeightedQuantiles.from_dict(sketch.sealed().to_dict())
    assert 0 < sketch.rank_error < 0.01
    order = np.argsort(values.ravel())
    ordered, ranks = values.ravel()[order], np.cumsum(weights.ravel()[order])
    assert sketch.weight == pytest.approx(ranks[-1])
    for q in (0.01, 0.25, 0.5, 0.99):
        found = sketch.quantile(q)
        assert found is not None
        place = np.searchsorted(ordered, found, side="right") - 1
        assert abs(ranks[place] / ranks[-1] - q) <= sketch.rank_error + 1e-3


def test_the_heaviest_stay_beyond_the_limit() -> None:
    top = WeightedTop(limit=10, heavy=5)
    for i in range(40):
        top = top.add([f"light{i}", "heavy", "second"], [1.0, 10.0, 5.0])
    (first, weight), (second, _), *_ = top.top(2)
    assert (first, second) == ("heavy", "second")
    assert 400.0 - top.underweight <= weight <= 400.0
    assert top.weight == 640.0
    assert len(top.values) <= 10


def test_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match="mixed-values"):
        WeightedTop().add(["a"], [1.0]).merge(WeightedTop().add(pa.array([b"a"]), [1.0]))
    with pytest.raises(UsageError, match="bad-quantile"):
        WeightedQuantiles().quantile(1.5)
    assert WeightedQuantiles().quantile(0.5) is None
    assert WeightedMoments().mean is None


def test_a_limit_below_the_heavy_ones() -> None:
    values = [f"v{i}" for i in range(150)]
    top = WeightedTop(limit=100).add(values, [1.0 + (i == 7) for i in range(150)])
    assert top.top(1)[0][0] == "v7"
    assert len(top.top()) <= 100
    assert top.merge(top).underweight >= top.underweight > 0
