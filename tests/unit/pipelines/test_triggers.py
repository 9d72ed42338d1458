"""When a trigger is due: counted on the clock, collapsed, cooled down; the same history gives the same moment."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.errors import UsageError
from whence.metadata.types import Value
from whence.pipelines import Every, OnAlert, every, on_alert
from whence.pipelines.triggers import period_text

APRIL = datetime(2013, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Alarm:
    uid: str
    known_at: datetime
    decides: bool = True

    def to_dict(self) -> dict[str, Value]:
        return {"metric": "loss"}


def test_every_counts_from_its_start() -> None:
    trigger = every("30d", start=APRIL)
    assert trigger.latest(None, APRIL + 29 * DAY) is None
    assert trigger.latest(None, APRIL + 30 * DAY) == APRIL + 30 * DAY
    assert trigger.latest(APRIL + 30 * DAY, APRIL + 59 * DAY) is None
    assert trigger.latest(APRIL + 30 * DAY, APRIL + 61 * DAY) == APRIL + 60 * DAY


def test_every_without_a_start_is_due_at_once_and_then_counted() -> None:
    trigger = every("12h")
    first = trigger.latest(None, APRIL + timedelta(microseconds=7))
    assert first == APRIL
    assert trigger.latest(first, APRIL + timedelta(hours=11)) is None
    assert trigger.latest(first, APRIL + timedelta(hours=25)) == APRIL + DAY


def test_missed_periods_collapse_and_are_counted() -> None:
    trigger = every("1d", start=APRIL)
    moment = trigger.latest(APRIL + DAY, APRIL + 5 * DAY)
    assert moment == APRIL + 5 * DAY
    assert trigger.missed(APRIL + DAY, moment) == 3
    assert trigger.missed(None, APRIL + DAY) == 0


@given(
    st.integers(1, 10_000),
    st.lists(st.integers(0, 100_000), min_size=1, max_size=30),
    st.booleans(),
)
def test_every_moment_is_answered_once_however_often_it_is_looked(
    period_s: int, looks: list[int], from_a_start: bool
) -> None:
    trigger = Every(timedelta(seconds=period_s), APRIL if from_a_start else None)
    last: datetime | None = None
    answered: list[datetime] = []
    for look in sorted(looks):
        now = APRIL + timedelta(seconds=look)
        while (moment := trigger.latest(last, now)) is not None:
            assert moment <= now
            answered.append(moment)
            last = moment
        if last is not None:
            assert now - last < trigger.period
    assert answered == sorted(set(answered))
    assert all((b - a) % trigger.period == timedelta(0) for a, b in itertools.pairwise(answered))


def test_an_alert_that_informs_starts_nothing() -> None:
    informs, decides = Alarm("a", APRIL, decides=False), Alarm("b", APRIL + DAY)
    nothing: frozenset[str] = frozenset()
    assert on_alert("late").pending([informs], None, nothing, APRIL) == []
    assert on_alert("late").pending([decides, informs], None, nothing, APRIL + DAY) == [decides]
    assert on_alert("late", decides=False).pending([decides, informs], None, nothing, APRIL + DAY) == [
        informs,
        decides,
    ]


def test_an_alert_is_answered_by_the_run_after_it() -> None:
    trigger = on_alert("late")
    early, tied, later = Alarm("a", APRIL), Alarm("b", APRIL + DAY), Alarm("c", APRIL + DAY)
    alerts = [early, tied, later]
    assert trigger.pending(alerts, APRIL + DAY, frozenset({"b"}), APRIL + DAY) == [later]
    assert trigger.pending(alerts, None, frozenset(), APRIL) == [early]


def test_alerts_wait_until_it_is_not_too_soon() -> None:
    trigger = on_alert("late", at_most_every="14d")
    pending = [Alarm("a", APRIL + 3 * DAY), Alarm("b", APRIL + 5 * DAY)]
    assert trigger.moment(pending, None, APRIL + 6 * DAY) == APRIL + 5 * DAY
    assert trigger.moment(pending, APRIL, APRIL + 13 * DAY) is None
    assert trigger.moment(pending, APRIL, APRIL + 20 * DAY) == APRIL + 14 * DAY
    assert trigger.moment([], APRIL, APRIL + 20 * DAY) is None
    assert OnAlert("late").moment(pending, APRIL, APRIL + 6 * DAY) == APRIL + 5 * DAY


@pytest.mark.parametrize("text", ["soon", "", "0d", "d", "-1d", "1.5h"])
def test_a_period_is_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        every(text)
    assert caught.value.code == "bad-period"
    with pytest.raises(UsageError):
        on_alert("late", at_most_every=text)


def test_periods_of_no_length_and_starts_without_a_zone_are_refused() -> None:
    with pytest.raises(UsageError):
        every(timedelta(0))
    with pytest.raises(UsageError) as caught:
        every("1d", start=datetime(2013, 4, 1))  # noqa: DTZ001  # the mistake under test
    assert caught.value.code == "naive-time"


def test_names_are_the_same_for_the_same_length() -> None:
    assert every("24h").name == every("1d").name == "every-1d"
    assert every("90m").name == "every-90m"
    assert period_text(timedelta(weeks=2)) == "14d"
