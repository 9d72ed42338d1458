"""Judged in pairs: the interval is the bootstrap's, the decision is the rule's, the same seed the same answer."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.errors import UsageError
from whence.registry import PairedRule
from whence.stats import auc, brier, log_loss

METRICS = {"log_loss": log_loss, "brier": brier, "auc": auc}


def answers(n: int, *, seed: int = 0, noise: float = 0.3) -> tuple[Any, Any, Any]:
    """Labels, a noisy champion and a challenger that knows more."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.05, 0.95, n)
    labels = (rng.random(n) < truth).astype(int)
    champion = (truth + rng.normal(0, noise, n)).clip(0.01, 0.99)
    return labels, champion, truth


@pytest.mark.parametrize("metric", ["log_loss", "brier", "auc"])
def test_a_better_challenger_is_better_and_the_reverse_is_not(metric: Any) -> None:
    labels, champion, challenger = answers(2_000)
    rule = PairedRule(metric)
    found = rule.judge(labels, champion, challenger)
    assert found.better
    assert (found.n_rows, found.n_groups) == (2_000, 2_000)
    assert (found.champion, found.challenger) == (
        METRICS[metric](labels, champion),
        METRICS[metric](labels, challenger),
    )
    assert found.gain == pytest.approx(abs(found.challenger - found.champion))
    assert 0 < found.interval[0] < found.gain < found.interval[1]
    other = rule.judge(labels, challenger, champion)
    assert not other.better
    assert other.gain == -found.gain
    assert other.interval == pytest.approx((-found.interval[1], -found.interval[0]))


@pytest.mark.parametrize("metric", ["log_loss", "brier", "auc"])
def test_the_same_model_is_not_better_than_itself(metric: Any) -> None:
    labels, champion, _ = answers(300)
    found = PairedRule(metric).judge(labels, champion, champion)
    assert (found.better, found.gain, found.interval) == (False, 0.0, (0.0, 0.0))


def test_the_interval_is_the_bootstrap_of_a_naive_loop() -> None:
    labels, champion, challenger = answers(120, seed=3)
    days = np.repeat(np.arange(12), 10)
    for metric, groups in itertools.product(("log_loss", "auc"), (None, days)):
        rule = PairedRule(metric, n_resamples=100, seed=5)  # type: ignore[arg-type]
        sign = 1 if metric == "auc" else -1
        rng = np.random.Generator(np.random.PCG64(5))
        g = np.arange(120) if groups is None else groups
        n = int(g.max()) + 1
        gains = []
        for _ in range(100):
            drawn = rng.integers(0, n, n)
            rows = np.concatenate([np.flatnonzero(g == d) for d in drawn])
            first, second = (METRICS[metric](labels[rows], s[rows]) for s in (champion, challenger))
            assert first is not None
            assert second is not None
            gains.append(sign * (second - first))
        found = rule.judge(labels, champion, challenger, groups=groups)
        assert found.n_groups == n
        assert found.interval == pytest.approx(tuple(np.quantile(gains, [0.025, 0.975])), abs=1e-12)


def test_rows_of_one_day_are_no_independent_evidence() -> None:
    """Each day repeated tenfold says no more than the day once; only the groups know it."""
    labels, champion, challenger = (np.repeat(a, 10) for a in answers(100, seed=1))
    rule = PairedRule("log_loss")
    alone = rule.judge(labels, champion, challenger)
    grouped = rule.judge(labels, champion, challenger, groups=[f"day {n // 10}" for n in range(1_000)])
    assert alone.gain == grouped.gain
    widths = [j.interval[1] - j.interval[0] for j in (alone, grouped)]
    assert 2.5 < widths[1] / widths[0] < 4.0


def test_of_a_single_day_the_rows_are_drawn() -> None:
    rows = answers(300)
    rule = PairedRule("brier", n_resamples=100)
    assert rule.judge(*rows, groups=["Monday"] * 300) == rule.judge(*rows)
    assert rule.judge(*rows).interval[0] < rule.judge(*rows).interval[1]


def test_a_gain_that_is_too_small_or_not_sure_is_no_gain() -> None:
    labels, champion, challenger = answers(400)
    found = PairedRule("log_loss").judge(labels, champion, challenger)
    assert found.better
    assert not PairedRule("log_loss", min_gain=found.gain).judge(labels, champion, challenger).better
    assert PairedRule("log_loss", min_gain=found.interval[0]).judge(labels, champion, challenger).better
    few = answers(150, noise=0.02)
    unsure = PairedRule("log_loss", confidence=0.99).judge(*few)
    assert unsure.interval[0] < 0
    assert not unsure.better


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(100, 400))
def test_the_same_again_is_the_same_and_order_does_not_change_the_gain(seed: int, n: int) -> None:
    labels, champion, challenger = answers(n, seed=seed)
    rule = PairedRule("brier", n_resamples=100, seed=seed)
    first = rule.judge(labels, champion, challenger)
    assert first == rule.judge(pa.chunked_array([labels]), pa.array(champion), list(challenger))
    order = np.random.default_rng(seed).permutation(n)
    mixed = rule.judge(labels[order], champion[order], challenger[order])
    assert mixed.gain == pytest.approx(first.gain, abs=1e-15)


def test_a_row_without_a_label_does_not_count() -> None:
    labels, champion, challenger = answers(200)
    some = pa.array([bool(v) for v in labels[:150]] + [None] * 50)
    found = PairedRule("log_loss", n_resamples=100).judge(some, champion, challenger)
    assert found.n_rows == 150
    assert found.champion == log_loss(labels[:150], champion[:150])


@pytest.mark.parametrize(
    ("labels", "champion", "challenger", "code"),
    [
        ([1, 0] * 50, [0.5] * 99, [0.5] * 100, "unequal-lengths"),
        ([1, 0] * 49, [0.5] * 98, [0.5] * 98, "too-few-rows"),
        ([1, 0] * 50, [0.5] * 100, [0.5] * 99 + [None], "bad-scores"),
        ([2, 0] * 50, [0.5] * 100, [0.5] * 100, "bad-labels"),
    ],
)
def test_rows_that_cannot_be_judged_by(labels: Any, champion: Any, challenger: Any, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        PairedRule("log_loss").judge(labels, champion, challenger)
    assert caught.value.code == code


def test_auc_needs_both_classes() -> None:
    with pytest.raises(UsageError, match="both classes"):
        PairedRule("auc").judge([1] * 100, [0.5] * 100, [0.5] * 100)


@pytest.mark.parametrize(
    "wrong",
    [
        {"metric": "f1"},
        {"min_gain": -1},
        {"min_gain": float("nan")},
        {"confidence": 1.0},
        {"min_rows": 1},
        {"n_resamples": 10},
        {"higher_is_better": True},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        PairedRule(**{"metric": "log_loss", **wrong})
    assert caught.value.code == "bad-rule"


def test_a_rule_reads_as_a_sentence() -> None:
    assert str(PairedRule("auc", min_gain=0.01, confidence=0.8)) == "auc higher by at least 0.01, 80 % sure"
    assert PairedRule("auc").higher_is_better
