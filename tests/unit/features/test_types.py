"""Declarations: names, digests, JSON, and what is refused where it is written."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import whence.features as w
from whence.errors import NotFoundError, UsageError
from whence.features.duration import duration_label, microseconds, parse_duration
from whence.features.types import Aggregation, FeatureView

CARRIER = w.Entity("carrier", ["carrier"])


def view(**changes: Any) -> FeatureView:
    settings: dict[str, Any] = {
        "entity": CARRIER, "source": "arrivals", "timestamp": "arr_at", "ttl": "30d", "owner": "ops",
        "features": [w.mean("arr_delay", over="7d"), w.count(over="7d", where="arr_delay >= 30"), w.last("arr_delay")],
    }  # fmt: skip
    return FeatureView("delays", **{**settings, **changes})


def test_names_say_what_a_feature_is() -> None:
    assert view().outputs == ("delays__mean_arr_delay_7d", "delays__count_7d", "delays__arr_delay")
    assert w.std("x", over="90min").name == "std_x_90min"
    assert w.sum("x", over=timedelta(hours=48), scale=2).named("total").name == "total"
    assert w.last("x", over="24h").name == "last_x_1d"


def test_the_digest_is_that_of_what_decides_values() -> None:
    same = view(owner="somebody", description="else", sensitivity="high")
    assert w.definition_digest(view()) == w.definition_digest(same)
    assert view() == same
    others = [
        view(ttl="29d"), view(timestamp="known_at"), view(source="landings"), view(hop="1d"), view(version="2"),
        view(features=[w.mean("arr_delay", over="8d")]), view().with_keys({}, name="other"),
        view().with_keys({"carrier": "airline"}, name="delays"),
    ]  # fmt: skip
    assert len({w.definition_digest(v) for v in [view(), *others]}) == 1 + len(others)
    assert view(ttl="720h").digest == view().digest
    assert view(ttl=None).digest == view(ttl=0 * timedelta(1)).digest


def test_the_digest_does_not_change_from_release_to_release() -> None:
    assert w.definition_digest(view()) == (
        "sha256:d0fca904e1218b52d5ac6dca776f237773fba22ddbaf12f269d520c20e5daa9c"
    )


@pytest.mark.parametrize(
    "one",
    [
        view(), view(hop="1h", version="7").with_keys({"carrier": "airline"}, name="twice"),
        w.calendar("at", tz="Europe/Berlin", parts=["hour", "quarter"], name="clock"), w.given("distance", "seats"),
        w.category("origin", ["EWR", "JFK"]),
    ],
)  # fmt: skip
def test_json_and_back(one: w.AnyView) -> None:
    again = w.view_from_dict(json.loads(json.dumps(one.to_dict())))
    assert again == one
    assert again.to_dict() == one.to_dict()
    assert again.digest == one.digest


def test_a_source_may_be_a_table() -> None:
    class Table:
        name = "arrivals"

    assert view(source=Table()) == view()
    assert view(source="table:arrivals") == view()
    with pytest.raises(UsageError, match="neither a table nor its name"):
        view(source=7)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: w.Entity("a b", ["k"]), "bad-name"),
        (lambda: w.Entity("e", "carrier"), "bad-entity"),
        (lambda: w.Entity("e", ["k", "k"]), "bad-entity"),
        (lambda: view(features=[]), "bad-view"),
        (lambda: view(features=["mean"]), "bad-view"),
        (lambda: view(features=[w.last("a b")]), "bad-name"),
        (lambda: view(features=[w.last("x"), w.last("x")]), "duplicate-feature"),
        (lambda: view(timestamp=None, ttl=None), "bad-view"),
        (lambda: view(timestamp=None, features=[w.last("x")]), "bad-view"),
        (lambda: view(hop="8d"), "bad-window"),
        (lambda: view(ttl="a week"), "bad-duration"),
        (lambda: view(ttl=timedelta(-1)), "bad-duration"),
        (lambda: view().with_keys({"airline": "x"}, name="y"), "bad-view"),
        (lambda: w.mean("x", over="0s"), "bad-window"),
        (lambda: w.mean("x", over="7 days"), "bad-duration"),
        (lambda: w.mean("x", over="7d", scale=10), "bad-aggregation"),
        (lambda: w.mean("x", over="7d").named("a__b"), "bad-name"),
        (lambda: Aggregation("median", "x", timedelta(1)), "bad-aggregation"),  # type: ignore[arg-type]
        (lambda: Aggregation("mean", "x"), "bad-aggregation"),
        (lambda: Aggregation("mean", None, timedelta(1)), "bad-aggregation"),
        (lambda: Aggregation("max", "x", timedelta(1), scale=1), "bad-aggregation"),
        (lambda: w.count(over="1d", where="x >"), "bad-where"),
        (lambda: w.count(over="1d", where="upper(x) = 'A'"), "bad-where"),
        (lambda: w.count(over="1d", where="x IN (SELECT 1)"), "bad-where"),
        (lambda: w.count(over="1d", where="t.x = 1"), "bad-where"),
        (lambda: w.calendar("at", tz="Mars/Olympus"), "bad-calendar"),
        (lambda: w.calendar("at", tz="UTC", parts=["era"]), "bad-calendar"),  # type: ignore[list-item]
        (lambda: w.calendar("at", tz="UTC", parts=[]), "bad-calendar"),
        (w.given, "bad-view"),
        (lambda: w.feature_columns([view(), view()]), "duplicate-view"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(make: Any, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert caught.value.code == code


def test_an_unknown_feature_names_its_neighbours() -> None:
    assert view().feature("delays__arr_delay") == w.last("arr_delay")
    with pytest.raises(NotFoundError, match=r"feature 'mean_arr_delay_8d' not found.*'mean_arr_delay_7d'"):
        view().feature("mean_arr_delay_8d")


@given(st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=4000)))
def test_a_length_of_time_survives_its_label(length: timedelta) -> None:
    assert parse_duration(duration_label(length)) == length
    assert timedelta(microseconds=microseconds(length)) == length
