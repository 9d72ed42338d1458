"""Processes that share the journey's folder: two append, one scores; nothing is lost, nothing doubled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import whence
from tests.journey import small
from whence.journeys.flights.definitions import FEATURES, SPINE_TIME
from whence.journeys.flights.steps import TRUSTED

APPENDER = """
import sys
import pyarrow as pa
import whence

with whence.connect(sys.argv[1]) as ws:
    arrivals = ws.table("arrivals")
    rows = arrivals.head().arrow().slice(0, 7)
    place = rows.column_names.index("flight_id")
    for n in range(6):
        ids = pa.array([f"{sys.argv[2]}-{n}-{i}" for i in range(7)])
        arrivals.append(rows.set_column(place, "flight_id", ids))
"""


def test_two_append_while_one_scores(own: Path) -> None:
    with whence.connect(own) as ws:
        before = ws.table("arrivals").head().n_rows
        appenders = [
            subprocess.Popen(
                [sys.executable, "-c", APPENDER, str(own), name], stderr=subprocess.PIPE, text=True
            )
            for name in ("one", "two")
        ]
        asked = 0
        for n, day in enumerate(("2013-04-01", "2013-04-02")):
            done = ws.serving.score(
                "late@champion", ws.table("schedule").head(), views=FEATURES, at=SPINE_TIME, into="again",
                key="flight_id", where=f"date = DATE '{day}'", batch=str(n), trust=TRUSTED,
            )  # fmt: skip
            asked += done.n_rows
        for process in appenders:
            _, said = process.communicate(timeout=300)
            assert process.returncode == 0, said
        arrived = ws.table("arrivals").head().arrow(["flight_id"])["flight_id"].to_pylist()
        assert len(arrived) == before + 2 * 6 * 7
        assert sum(i.startswith(("one-", "two-")) for i in set(arrived)) == 2 * 6 * 7
        scored = ws.table("again").head().arrow(["flight_id"])["flight_id"].to_pylist()
        assert len(scored) == len(set(scored)) == asked > 1_500
        assert ws.table("arrivals").head().verify() == ws.table("arrivals").head().digest()
    assert small.unsettled(own) == []
