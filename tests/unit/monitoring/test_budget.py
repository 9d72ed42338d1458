"""The promise of the alarms: on data without drift no more false alarms than the budget, and shifts are found."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.lake import TableVersion
from whence.monitoring import calendar
from whence.monitoring.alarms import Budget, Stream
from whence.monitoring.judge import Judge
from whence.monitoring.performance import Quality
from whence.monitoring.profile import Layout
from whence.monitoring.reading import News
from whence.monitoring.reference import Reference, measure
from whence.monitoring.session import Session
from whence.monitoring.types import Monitor

COLUMNS: Final = 20
ROWS: Final = 300
HISTORY: Final = 84
FIRST: Final = 15_712  # a Monday
MONITOR: Final = Monitor(
    "m", "m", "scores", "m@1", ("id",), budget_per_year=6.0, origins=MappingProxyType({})
)


class Source:
    """What a reference says of its rows."""

    ref = "table:train@0"


def rows(rng: np.random.Generator, n: int, shift: float = 0.0) -> pa.Table:
    """Columns of independent numbers, half of them skewed; the first is moved by so many standard deviations."""
    x = rng.normal(size=(COLUMNS, n))
    x[0] += shift
    x[::2] = np.exp(x[::2])
    score = 1 / (1 + np.exp(-x[1]))
    return pa.table({**{f"x{i}": x[i] for i in range(COLUMNS)}, "score": score})


def a_year(seed: int, *, days: int = 365, shift: float = 0.0, at: int = 10**9) -> tuple[Session, Judge]:
    """A model's reference, then a year of days judged against it."""
    rng = np.random.default_rng(seed)
    train = rows(rng, ROWS * HISTORY)
    names = train.column_names
    moments = [
        datetime.fromtimestamp((FIRST - HISTORY + i // ROWS) * 86_400, UTC) for i in range(train.num_rows)
    ]
    layout = Layout.fit(train, names)
    train = train.append_column("features_at", pa.array(moments, pa.timestamp("us", tz="UTC")))
    source: TableVersion = Source()  # type: ignore[assignment]  # only its reference is asked for
    reference: Reference = measure(MONITOR, layout, "", "m@1", source, train)
    session = Session(MONITOR)
    for day in range(days):
        today = rows(rng, ROWS, shift if day >= at else 0.0)
        session.days[FIRST + day] = {"m@1": layout.count(today)}
    judge = Judge(session, layout, lambda _: reference, calendar.begin_of(FIRST + days, "UTC"), {})
    judge.run(News())
    return session, judge


@pytest.mark.slow
def test_without_drift_the_budget_is_kept() -> None:
    years = 6
    alarms = [a for seed in range(years) for a in a_year(seed)[1].opened]
    # drift by day and by week may spend half of the budget of 6 a year
    assert len(alarms) <= 3 * years, [(a.feature, a.window, a.value, a.threshold) for a in alarms]


@pytest.mark.parametrize(("shift", "within"), [(0.5, 5), (1.0, 1)])
def test_a_shift_is_found_and_only_where_it_is(shift: float, within: int) -> None:
    _, judge = a_year(11, days=120, shift=shift, at=60)
    found = [a for a in judge.opened if a.feature == "x0"]
    assert len(found) == 1
    assert 0 <= (found[0].start - calendar.begin_of(FIRST + 60, "UTC")).days < within
    assert found[0].open
    assert found[0].value >= found[0].threshold
    assert len(judge.opened) - len(found) <= 1


@pytest.mark.slow
def test_calibrated_scores_keep_their_budget_however_days_scatter() -> None:
    """Good and bad days are drawn with a common shock of mean 0, as storms are."""
    share = Budget.share(1.5, n_streams=3, days=1, rules=1)
    opened = 0
    years = 40
    for seed in range(years):
        rng = np.random.default_rng(seed)
        low, high = Stream(), Stream()
        for day, gap in enumerate(rng.standard_t(4, size=365) * 0.05):
            for stream, x in ((low, gap), (high, -gap)):
                if stream.judge_zero(float(x), share, at=day) == "opens":
                    opened += 1
                    stream.rest()
    assert opened <= 1.5 * years


def test_a_stream_learns_before_it_judges() -> None:
    stream, budget = Stream(), Budget.share(6, n_streams=1, days=1)
    told = [stream.judge(float(i % 3), 1e-9, budget, at=i, effect=True) for i in range(9)]
    assert told == ["learning"] * 8 + ["opens"]


def test_an_excursion_is_one_alert() -> None:
    stream, budget = Stream.learned([0.0, 1.0] * 20), Budget.share(6, n_streams=1, days=1)
    told = []
    for i, x in enumerate([0.5, 9.0, 9.0, 9.0, 0.5, 0.5]):
        verdict = stream.judge(x, stream.seen.p_above(x), budget, at=i, effect=True, calm=2)
        if verdict == "opens":
            stream.open = "uid"
        told.append(verdict)
    assert told == ["quiet", "opens", "open", "open", "open", "closes"]
    assert stream.seen.n == 42  # what was out of the ordinary taught nothing


def test_many_small_steps_are_a_creep() -> None:
    rng = np.random.default_rng(1)
    budget = Budget.share(6, n_streams=20, days=1)
    stream = Stream.learned(rng.normal(size=90).tolist())
    told = []
    for i in range(60):
        x = float(rng.normal(2.0, 0.3))
        told.append(stream.judge(x, stream.seen.p_above(x), budget, at=i, effect=True))
        if told[-1] == "opens":
            break
    assert told[-1] == "opens"
    assert len(told) > 2
    assert stream.rising == 0


def test_a_fact_is_twice_the_most_that_was_seen() -> None:
    stream = Stream()
    for share in [0.0] * 7 + [0.02]:
        assert stream.judge_fact(share, tolerance=0.01) == "learning"
    assert stream.judge_fact(0.045, tolerance=0.01) == "quiet"
    assert stream.judge_fact(0.11, tolerance=0.01) == "opens"
    stream.open = "uid"
    assert stream.judge_fact(0.2, tolerance=0.01) == "open"
    assert stream.judge_fact(0.0, tolerance=0.01) == "closes"
    assert Stream.from_list(stream.to_list()) == stream


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([0, 1, -1])), max_size=40), st.randoms())
def test_labels_in_any_order_of_keys_give_the_same_quality(
    labels: list[tuple[int, int]], random: object
) -> None:
    newest = dict(labels)
    keys = np.arange(31, dtype=np.uint64)
    scores, days = np.linspace(0.1, 0.9, 31), np.arange(31) % 3

    def quality(pairs: list[tuple[int, int]]) -> list[dict[str, float | None]]:
        q = Quality()
        q.add_predictions(keys, scores, days)
        for key, truth in pairs:
            q.add_labels(np.array([key], np.uint64), np.array([truth]))
        return [q.of([day]) for day in range(3)]

    shuffled = list(newest.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis' own
    assert quality(labels) == quality(shuffled)
