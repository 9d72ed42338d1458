"""The small journey: one prediction a flight, traced to rows, reproduced, and honest about differences."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import whence
from tests.journey import small
from whence.errors import DataRejectedError, UsageError
from whence.journeys import run_demo
from whence.journeys.flights.definitions import VIEWS
from whence.journeys.flights.feeds import load_feeds


def test_one_prediction_per_flight(undisturbed: Path) -> None:
    days = list(load_feeds()["schedule"].days(whence_day(1), small.LAST))
    expected = sorted(i for d in days for i in d.rows["flight_id"].to_pylist())
    with whence.connect(undisturbed, read_only=True) as ws:
        scored = ws.table("late_scores").head().arrow(["flight_id", "score"])
    assert sorted(scored["flight_id"].to_pylist()) == expected
    low, high = pc.min_max(scored["score"]).as_py().values()
    assert 0.0 <= low < high <= 1.0


def whence_day(n: int) -> date:
    return small.LAST.replace(day=n)


def test_every_feature_of_a_prediction_is_recomputed_exactly(undisturbed: Path) -> None:
    with whence.connect(undisturbed, read_only=True) as ws:
        ids = ws.sql("SELECT flight_id FROM late_scores ORDER BY hash(flight_id) LIMIT 3")[
            "flight_id"
        ].to_pylist()
        for flight in ids:
            trace = ws.trace(f"prediction:late_scores/{flight}")
            assert trace.mismatches() == []
            values = trace.values()
            assert set(values) == set(trace_columns())
            for name, value in values.items():
                assert value["value"] == value["recomputed"], (flight, name)
            json.dumps(trace.to_dict(), allow_nan=False)


def trace_columns() -> list[str]:
    from whence.journeys.flights.definitions import FEATURE_COLUMNS

    return list(FEATURE_COLUMNS)


def test_no_feature_knows_the_future(undisturbed: Path) -> None:
    with whence.connect(undisturbed, read_only=True) as ws:
        assert ws.features.leaks(ws.table("train.late").head()).n_cells == 0


def test_a_planted_leak_is_found(own: Path) -> None:
    with whence.connect(own) as ws:
        spine = ws.table("train.labels").head()
        leaky = ws.features.point_in_time(spine, VIEWS[1:2], at="features_at")
        column = "origin_delays__mean_arr_delay_2h"
        told = ws.sql("SELECT flight_id, arr_delay FROM arrivals")
        future = dict(zip(told["flight_id"].to_pylist(), told["arr_delay"].to_pylist(), strict=True))
        planted = pa.array([float(future[i]) for i in leaky["flight_id"].to_pylist()])
        position = leaky.column_names.index(column)
        report = ws.features.leaks(leaky.set_column(position, column, planted))
        assert column in [c.name for c in report.columns]
        assert report.n_cells > 0


def test_training_is_reproduced_and_differences_are_named(own: Path) -> None:
    with whence.connect(own) as ws:
        run = ws.pipelines.get("learn", "first-quarter")
        trained = run.step("train_boosting").execution
        assert ws.reproduce(trained).verdict == "identical"
        rows = ws.table("train.late").head().arrow()
        flipped = pc.invert(rows["late"])
        changed = rows.set_column(rows.column_names.index("late"), "late", flipped)
        verdict = ws.reproduce(trained, inputs={"train.late": changed})
        assert verdict.verdict == "different"
        assert verdict.first_difference is not None
        assert "train.late" in str(verdict.first_difference)


def test_an_arrival_before_its_departure_is_refused_with_its_reason(own: Path) -> None:
    with whence.connect(own) as ws:
        table = ws.table("arrivals")
        row = table.head().arrow().slice(0, 1)
        position = row.column_names.index("arr_at")
        early = pa.array([row["dep_at"][0].as_py() - timedelta(minutes=1)], row.schema.field("arr_at").type)
        before = table.head().version
        with pytest.raises(DataRejectedError, match="arrival after departure"):
            table.append(row.set_column(position, "arr_at", early))
        assert table.head().version == before


def test_a_late_row_is_accepted_counted_and_known_when_it_came(own: Path) -> None:
    with whence.connect(own) as ws:
        table = ws.table("weather")
        watermark = table.head().watermark
        assert watermark is not None
        row = {"origin": "EWR", "observed_at": datetime(2013, 3, 27, 12, 30, tzinfo=UTC), "temp": 40.0}
        full = {c: row.get(c) for c in table.schema.names} | {
            "known_at": datetime(2013, 3, 27, 13, 30, tzinfo=UTC)
        }
        commit = table.append(pa.Table.from_pylist([full], schema=table.schema))
        assert commit.n_late == 1
        late = table.at(commit.version).arrow(where="observed_at = TIMESTAMPTZ '2013-03-27 12:30:00+00'")
        assert late["known_at"][0].as_py() == watermark + timedelta(microseconds=1)


def test_a_folder_that_is_not_its_own_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not touch")
    with pytest.raises(UsageError, match="not this journey's own") as caught:
        run_demo("flights", folder=tmp_path, n_days=1)
    assert caught.value.code == "folder-not-own"
    assert caught.value.exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
