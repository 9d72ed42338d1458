from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from whence.errors import UsageError
from whence.validation import (
    Comparator,
    Expectation,
    Feature,
    Schema,
    Statistics,
    describe,
    infer_schema,
    learn_thresholds,
    validate_statistics,
)


def day(
    n: int, *, shift: float = 0.0, missing: float = 0.01, rows: int = 2_000, words: str = "aab"
) -> Statistics:
    rng = np.random.default_rng(n)
    x = rng.normal(10 + shift, 2, rows)
    absent = rng.random(rows) < missing
    return describe(
        pa.table({"x": pa.array(x, mask=absent), "c": rng.choice(list(words), rows).tolist()}), name=f"t@{n}"
    )


CLEAN = [day(n) for n in range(6)]


def types(statistics: Statistics, schema: Schema, previous: Statistics | None = None) -> set[tuple[str, str]]:
    return {(a.feature, a.rule) for a in validate_statistics(statistics, schema, previous=previous)[0]}


class TestFromCleanVersions:
    schema = learn_thresholds(CLEAN).apply(infer_schema(CLEAN[0]).optional("x"))

    def test_they_and_their_like_pass(self) -> None:
        for n, statistics in enumerate(CLEAN[1:]):
            assert types(statistics, self.schema, previous=CLEAN[n]) == set()
        assert types(day(77), self.schema, previous=CLEAN[-1]) == set()

    @pytest.mark.parametrize(
        ("bad", "rule"),
        [
            (day(7, shift=1.0), ("x", "expect.mean.max")),
            (day(7, shift=-1.0), ("x", "expect.median.min")),
            (day(7, missing=0.2), ("x", "expect.missing_ratio.max")),
            (day(7, words="aaab"), ("c", "expect.top_share.max")),
            (day(7, shift=3.0), ("x", "drift_comparator.jensen_shannon_divergence")),
            (day(7, words="abb"), ("c", "drift_comparator.infinity_norm")),
            (day(7, rows=500), ("", "num_examples_drift.min_fraction_threshold")),
        ],
    )
    def test_others_do_not(self, bad: Statistics, rule: tuple[str, str]) -> None:
        assert rule in types(bad, self.schema, previous=CLEAN[-1])

    def test_says_from_what(self) -> None:
        learned = learn_thresholds(CLEAN)
        assert learned.versions == tuple(f"t@{n}" for n in range(6))
        assert all(e.learned_from == learned.versions for e in self.schema["x"].expect)
        assert learned.drift["c"].learned_from == learned.versions
        assert learned.text().splitlines()[0] == "learned from 6 versions: t@0 … t@5"
        found, _ = validate_statistics(day(7, shift=1.0), self.schema)
        (mean,) = (a for a in found if a.rule == "expect.mean.max")
        assert mean.message.endswith("(learned from 6 versions)")
        assert mean.severity == "WARNING"


def test_one_corrupt_version_is_not_believed() -> None:
    learned = learn_thresholds([*CLEAN, day(8, shift=50.0)])
    assert ("x", "mean", "t@8") in learned.left_out
    high = learned.expectations["x"][0].max
    assert high is not None
    assert high < 11
    assert "not believed: mean of x in t@8" in str(learned)


def test_what_is_set_by_hand_stays() -> None:
    mine = Expectation("mean", 0.0, 100.0)
    schema = Schema().add(
        Feature("x", "FLOAT", expect=(mine,), drift=Comparator(jensen_shannon_divergence=0.9))
    )
    applied = learn_thresholds(CLEAN).apply(schema)
    assert applied["x"].expect[0] == mine
    assert [e.of for e in applied["x"].expect].count("mean") == 1
    assert applied["x"].drift == schema["x"].drift
    again = learn_thresholds(CLEAN[:4]).apply(applied)
    assert {len(e.learned_from) for e in again["x"].expect[1:]} == {4}, "learned ones are learned anew"


def test_too_few_versions() -> None:
    with pytest.raises(UsageError, match=r"2 versions are too few to learn from \(too-few-versions\)"):
        learn_thresholds(CLEAN[:2])


def test_columns_that_come_and_go_are_left_out() -> None:
    other = describe(pa.table({"x": ["text"], "y": [1]}))
    assert learn_thresholds([*CLEAN[:2], other]).expectations == {}
