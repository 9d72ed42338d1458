"""Whence a change came: only what was looked at is acquitted."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest

from tests.unit.monitoring.world import DEPLOYMENT, HISTORY_DAYS, LABELS, World, begin
from whence.monitoring import Blame
from whence.monitoring.blame import Move, blame_feature, blame_score

LIVE = HISTORY_DAYS
ORIGIN = ("payments", "cents", 0)
MOVE = Move(
    "payments", 10, "01JPAY", 20_000, "location", "cents", "the median of payments.cents went from 8 to 1"
)


def of_feature(
    moves: tuple[Move, ...] = (), watched: tuple[str, ...] = (), origin: tuple[str, str, int] | None = ORIGIN
) -> Blame:
    return blame_feature("cents", origin, moves, watched=watched, first=20_000, last=20_001, tz="UTC")


def of_score(*moved: tuple[str, Blame], watched: tuple[str, ...] = ()) -> Blame:
    return blame_score("the score", moved, tables=("payments",), watched=watched, first=20_000, tz="UTC")


def test_a_feature_of_a_watched_table() -> None:
    moved = of_feature((MOVE,), ("payments",))
    assert (moved.ref, moved.execution, moved.gradual) == ("table:payments@10", "01JPAY", False)
    slow = of_feature((), ("payments",))
    assert (slow.table, slow.ref, slow.gradual) == ("payments", None, True)
    assert slow.text == "cents (from payments.cents): gradual since 2024-10-04; no version moved by itself"


def test_a_feature_of_a_table_that_is_not_watched() -> None:
    found = of_feature((), ("weather",))
    assert (found.table, found.ref, found.execution, found.gradual) == (None, None, None, False)
    assert found.text == (
        "cents (from payments.cents): since 2024-10-04, cause unknown; "
        "payments is not watched: its versions were not looked at"
    )


def test_a_feature_of_unknown_making() -> None:
    found = of_feature((MOVE,), ("payments",), None)
    assert (found.ref, found.gradual) == (None, False)
    assert "nothing tells which table it is made of" in found.text


def test_a_score_has_the_blame_of_what_moved_with_it() -> None:
    known, slow = of_feature((MOVE,), ("payments",)), of_feature((), ("payments",))
    unknown = of_feature()
    first = of_score(("slow", slow), ("unknown", unknown), ("cents", known))
    assert (first.ref, first.text) == ("table:payments@10", f"the score moved with cents: {known.text}")
    open_ = of_score(("slow", slow), ("unknown", unknown))
    assert (open_.ref, open_.gradual) == (None, False)
    assert open_.text == f"the score moved with unknown: {unknown.text}"
    gradual = of_score(("slow", slow))
    assert gradual.gradual
    assert gradual.text == (
        "the score: gradual since 2024-10-04; no version of a watched table moved by itself; with it moved slow"
    )


@pytest.mark.parametrize("watched", [(), ("payments",)])
def test_a_score_with_which_nothing_moved(watched: tuple[str, ...]) -> None:
    found = of_score(watched=watched)
    assert found.gradual is bool(watched)
    assert ("payments is not watched" in found.text) is not bool(watched)


def test_an_abrupt_change_of_a_source_that_nobody_watches_is_not_called_gradual() -> None:
    world = World()
    world.found()
    world.monitoring.watch("late", deployment=DEPLOYMENT, labels=LABELS, feeds=["arrivals"])
    world.live(range(LIVE, LIVE + 14))
    day = LIVE + 14
    weather, rows = world.weather(day), world.flights(day)[0]
    celsius = pc.divide(pc.subtract(weather["temp"], 32.0), 1.8)
    world.land(day, weather=weather.set_column(1, "temp", celsius))
    felt = pc.divide(pc.subtract(rows["weather_now__temp"], 32.0), 1.8)
    result = world.watched(day, rows.set_column(2, "weather_now__temp", felt))
    [alert] = [a for a in result.opened if a.feature == "weather_now__temp"]
    assert alert.start == begin(day)
    assert alert.blame is not None
    assert (alert.blame.gradual, alert.blame.ref) == (False, None)
    assert "weather is not watched: its versions were not looked at" in alert.blame.text
    assert world.monitoring.blame(alert.uid) == alert.blame
