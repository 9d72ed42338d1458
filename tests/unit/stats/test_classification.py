from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sk_log_loss

from tests.unit.stats import oracles
from whence.errors import UsageError
from whence.stats import (
    Confusion,
    auc,
    average_precision,
    brier,
    calibration,
    calibration_error,
    confusion,
    log_loss,
    precision_recall,
)

pairs = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0])),
    min_size=1,
    max_size=40,
)


def columns(rows: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [y for y, _ in rows], [s for _, s in rows]


@given(pairs)
def test_auc_equals_counting_pairs(rows: list[tuple[int, float]]) -> None:
    labels, scores = columns(rows)
    if len(set(labels)) == 1:
        assert auc(labels, scores) is None
    else:
        assert auc(labels, scores) == oracles.auc(labels, scores)


@given(pairs, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(rows: list[tuple[int, float]], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    for metric in (auc, log_loss, brier, average_precision):
        assert metric(*columns(rows)) == metric(*columns(shuffled))


def test_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(5)
    scores = np.round(random.random(5_000), 2)
    labels = (random.random(5_000) < scores).astype(int)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert log_loss(labels, scores) == pytest.approx(sk_log_loss(labels, scores), abs=1e-12)
    assert brier(labels, scores) == pytest.approx(brier_score_loss(labels, scores), abs=1e-12)
    assert average_precision(labels, scores) == pytest.approx(
        average_precision_score(labels, scores), abs=1e-12
    )


@given(pairs)
def test_log_loss_and_brier_equal_naive_sums(rows: list[tuple[int, float]]) -> None:
    labels, scores = columns(rows)
    eps = 2.0**-52
    clipped = [min(max(s, eps), 1 - eps) for s in scores]
    naive = -math.fsum(math.log(s) if y else math.log1p(-s) for y, s in zip(labels, clipped, strict=True))
    assert log_loss(labels, scores) == pytest.approx(naive / len(rows), rel=1e-12)
    assert brier(labels, scores) == pytest.approx(
        math.fsum((s - y) ** 2 for y, s in zip(labels, scores, strict=True)) / len(rows), rel=1e-12
    )


@given(pairs, st.integers(1, 10), st.sampled_from(["uniform", "quantile"]))
def test_calibration_puts_every_row_in_one_bin(rows: list[tuple[int, float]], bins: int, cut: Any) -> None:
    labels, scores = columns(rows)
    made = calibration(labels, scores, bins=bins, cut=cut)
    assert sum(b.n for b in made) == len(rows)
    assert sum((b.rate or 0.0) * b.n for b in made) == pytest.approx(sum(labels))
    assert (made[0].low, made[-1].high) == (0.0, 1.0)
    for b in made:
        if b.mean_score is not None:
            assert b.low - 1e-12 <= b.mean_score <= b.high + 1e-12
    assert 0.0 <= calibration_error(made) <= 1.0


@given(pairs, st.floats(0, 1))
def test_confusion_equals_naive_counts(rows: list[tuple[int, float]], threshold: float) -> None:
    labels, scores = columns(rows)
    c = confusion(labels, scores, threshold=threshold)
    naive = [
        sum(y == a and (s >= threshold) == b for y, s in rows) for a, b in ((1, 1), (0, 1), (1, 0), (0, 0))
    ]
    assert [c.tp, c.fp, c.fn, c.tn] == naive
    assert c.n == len(rows)
    assert precision_recall(labels, scores, threshold=threshold) == (c.precision, c.recall)


def test_rates_without_cases_are_none() -> None:
    c = Confusion(0, 0, 0, 3)
    assert (c.precision, c.recall, c.f1, c.accuracy) == (None, None, None, 1.0)
    assert average_precision([0, 0], [0.1, 0.2]) is None


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.5], r"2 labels stand against 1 scores .* \(unequal-lengths\)"),
        ([], [], r"a metric needs at least one label \(no-labels\)"),
        ([0, 2], [0.5, 0.5], r"labels must be 0 or 1 \(bad-labels\)"),
        ([0, 1], [0.5, math.nan], r"a score is NaN \(bad-scores\)"),
    ],
)
def test_bad_input_is_named(labels: list[int], scores: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        auc(labels, scores)


@pytest.mark.parametrize("metric", [log_loss, brier, calibration])
def test_probabilities_lie_between_0_and_1(metric: Any) -> None:
    with pytest.raises(UsageError, match=r"probabilities lie between 0 and 1 \(bad-scores\)"):
        metric([0, 1], [0.5, 1.5])


def test_calibration_needs_a_bin() -> None:
    with pytest.raises(UsageError, match="bad-buckets"):
        calibration([1], [0.5], bins=0)


@given(pairs)
def test_auc_of_flipped_scores_is_the_complement(rows: list[tuple[int, float]]) -> None:
    labels, scores = columns(rows)
    assume(len(set(labels)) == 2)
    a, b = auc(labels, scores), auc(labels, [-s for s in scores])
    assert a is not None
    assert b is not None
    assert a + b == pytest.approx(1.0, abs=1e-15)
