"""Two followers of one deployment: what only one of them has read is answered all the same."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from sklearn.linear_model import LogisticRegression

import whence
from whence import Workspace, given

START = datetime(2025, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def trips(numbers: Iterable[int]) -> list[dict[str, object]]:
    return [{"trip": n, "x": float(n % 3), "at": START + n * HOUR} for n in numbers]


def unanswered(ws: Workspace) -> list[int]:
    found: list[int] = ws.sql("SELECT trip FROM trips WHERE trip NOT IN (SELECT trip FROM scores)")[
        "trip"
    ].to_pylist()
    return found


def test_a_late_row_beyond_the_horizon_of_the_one_that_read_it(tmp_path: Path) -> None:
    ws, other = whence.connect(tmp_path / "a.whence"), whence.connect(tmp_path / "a.whence")
    ws.table("trips").append(trips(range(1, 21)))
    fitted = LogisticRegression().fit([[0.0], [1.0], [3.0], [4.0]], [0, 0, 1, 1])
    ws.models.register("late", fitted, sample=pa.table({"x": [1.0]}))
    ws.serving.deploy(
        "late", model="late@1", table="trips", views=[given("x")], at="at", key="trip", into="scores"
    )
    wide, narrow = ws.serving.follow("late"), other.serving.follow("late", max_rows=2)
    with wide, narrow:
        assert narrow.step() is not None
        plan = wide._plan(None)  # all of trips@1, while …
        assert plan is not None
        ws.table("trips").append([{"trip": 155, "x": 1.0, "at": START + 15.5 * HOUR}])
        assert narrow.lag.n_rows == 19  # … this one reads trips@2, of which it keeps what is near
        wide._carry_out(plan)
        while narrow.step() is not None:
            pass
        ws.table("trips").append(trips([21]))
        while narrow.step() is not None:
            pass
    assert unanswered(ws) == []
    assert ws.table("scores").head().n_rows == 22
