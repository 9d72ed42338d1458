"""Statistics that were given: read like the others, stored, never merged."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from whence.errors import UsageError
from whence.stats import Histogram
from whence.stats.histogram import Bucket
from whence.validation.given import GivenStatistics, GivenWeighted

NUMBERS = GivenStatistics(
    "x",
    "FLOAT",
    num_non_missing=4,
    num_missing=1,
    min_num_values=1,
    max_num_values=1,
    tot_num_values=4,
    n_values=4,
    mean=2.5,
    std_dev=1.0,
    num_zeros=0,
    min=1.0,
    max=4.0,
    median=2.0,
    histogram=Histogram("STANDARD", (Bucket(1.0, 4.0, 4),)),
    quantile_histogram=Histogram("QUANTILES", (Bucket(1.0, 2.0, 2.0), Bucket(2.0, 4.0, 2.0))),
    weighted=GivenWeighted(2.0, 0.5, mean=2.0, top=(("a", 1.0),)),
    custom={"note": [1]},
)


def test_what_follows_from_what_is_given() -> None:
    assert (NUMBERS.num_rows, NUMBERS.fraction_present, NUMBERS.avg_num_values) == (5, 0.8, 1.0)
    assert (NUMBERS.path, NUMBERS.levels[0].total, NUMBERS.rank_error) == (("x",), 4, 0.01)
    assert [NUMBERS.quantile(q) for q in (0.0, 0.25, 0.5, 0.75, 1.0)] == [1.0, 1.5, 2.0, 3.0, 4.0]
    assert not NUMBERS.is_text
    assert not NUMBERS.is_time
    assert NUMBERS.value_counts() is None
    assert NUMBERS.weighted is not None
    assert NUMBERS.weighted.top_values() == (("a", 1.0),)
    empty = GivenStatistics("e", "STRING")
    assert (empty.fraction_present, empty.avg_num_values, empty.quantile(0.5)) == (None, None, None)


def test_values_are_all_known_only_when_they_make_up_all_there_are() -> None:
    ranked = (("a", 2.0), ("b", 1.0))
    all_ = GivenStatistics("t", "STRING", n_values=3, num_unique=2, rank_histogram=ranked)
    assert all_.value_counts() == {"a": 2, "b": 1}
    assert (
        GivenStatistics("t", "STRING", n_values=3, num_unique=3, rank_histogram=ranked).value_counts() is None
    )
    assert (
        GivenStatistics("t", "STRING", n_values=4, num_unique=2, rank_histogram=ranked).value_counts() is None
    )
    assert all_.top_values(1) == [("a", 2)]


def test_stored_and_read_again() -> None:
    for given in (
        NUMBERS,
        GivenStatistics("b", "BYTES", rank_histogram=((b"\xff", 2.0),), top=((b"a", 1.0),)),
        GivenStatistics(
            "at", "TIMESTAMP", min=datetime(2013, 1, 1, tzinfo=UTC), max=datetime(2014, 1, 1, tzinfo=UTC)
        ),
        GivenStatistics("day", "DATE", min=date(2013, 1, 1)),
        GivenStatistics("f", "FLOAT", min=float("-inf"), max=float("inf"), num_inf=2),
    ):
        data = given.to_dict()
        assert data["given"] is True
        assert GivenStatistics.from_dict(data) == given


def test_quantiles_of_times_are_times() -> None:
    tenths = Histogram("QUANTILES", (Bucket(0.0, 86_400_000_000.0, 1.0),))
    made = GivenStatistics("at", "TIMESTAMP", quantile_histogram=tenths)
    assert made.quantile(0.25) == datetime(1970, 1, 1, 6, tzinfo=UTC)
    ends = Histogram("QUANTILES", (Bucket(float("-inf"), 1.0, 1.0), Bucket(1.0, float("inf"), 1.0)))
    assert GivenStatistics("x", "FLOAT", quantile_histogram=ends).quantile(0.9) == float("inf")


def test_nothing_is_merged_but_nothing() -> None:
    none = NUMBERS.absent(0)
    assert NUMBERS.merge(none) is NUMBERS
    assert none.merge(NUMBERS) is NUMBERS
    assert NUMBERS.absent(7).num_missing == 7
    with pytest.raises(UsageError, match="results and no states") as caught:
        NUMBERS.merge(NUMBERS)
    assert caught.value.code == "not-mergeable"
    assert NUMBERS.summary()["median"] == 2.0
