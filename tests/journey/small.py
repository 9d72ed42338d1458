"""The journey made small: learn from the last days of March, live through the first days of April.

All of it is there: faults, quarantine and replay, monitoring, one retraining with its decision. As a program
(``python -m tests.journey.small FOLDER``) it runs the writing part in a process that tests may kill.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Final

import whence
from whence._base.clock import ReplayClock
from whence._base.rows import rows_digest
from whence.journeys.flights.faults import Fault
from whence.journeys.flights.feeds import midnight
from whence.journeys.flights.live import Plan
from whence.journeys.flights.retraining import Retraining
from whence.journeys.flights.story import make

FIRST: Final = date(2013, 3, 17)
LAST: Final = date(2013, 4, 3)
ONE, TWO, THREE = (date(2013, 4, n) for n in (1, 2, 3))
FAULTS: Final = (
    Fault("celsius", "unit change", "weather", ONE, ONE, TWO, "let through", "temp"),
    Fault("twice", "duplicated batch", "arrivals", ONE, ONE, None, "let through", "repeated_keys"),
    Fault("renamed", "renamed category", "arrivals", TWO, TWO, THREE, "quarantined", "carrier"),
    Fault("late", "late batch", "arrivals", TWO, TWO, THREE, "let through", "late_rows"),
)
PLAN: Final = Plan(FIRST, LAST, FAULTS, Retraining("2d", "2d", holdout_days=1, confidence=0.01, rounds=40))
#: Columns that tell when and by whom it was done, not what; by the namespace of the table.
WALL: Final = {"": {"scored_at"}, "monitor": {"detail"}, "quarantine": {"execution"}}


def run(folder: Path, plan: Plan = PLAN) -> None:
    clock = ReplayClock(midnight(plan.first))
    with whence.connect(folder, clock=clock, compute_threads=1) as ws:
        make(ws, clock, plan)


def contents(folder: Path) -> dict[str, object]:
    """What the workspace holds, as far as it does not tell when it was made."""
    with whence.connect(folder, read_only=True) as ws:
        tables = {}
        for name in ws.lake.list():
            head = ws.table(name).head()
            left_out = WALL[""] | WALL.get(name.partition(".")[0], set())
            tables[name] = rows_digest(head.arrow([c for c in head.schema.names if c not in left_out])).text
        names = ws.models.list()
        models = [(m.ref, m.digest) for name in names for m in ws.models.versions(name)]
        return {"tables": tables, "models": models, "aliases": {n: dict(ws.models.aliases(n)) for n in names}}


def unsettled(folder: Path) -> list[str]:
    """What is wrong with the graph: running executions, pending outputs, live things without bytes."""
    wrong = []
    with whence.connect(folder, read_only=True) as ws:
        wrong += [
            f"RUNNING {e.type} {e.uid}" for e in ws.graph.find_nodes("execution", state="RUNNING").nodes
        ]
        wrong += [
            f"PENDING {a.type} {a.name}" for a in ws.graph.find_nodes("artifact", state="PENDING").nodes
        ]
        for artifact in ws.graph.find_nodes("artifact", state="LIVE", type_="TableVersion").nodes:
            version = artifact.get("version")
            if version not in ws.table(str(artifact.get("table"))).versions():
                wrong.append(f"LIVE without commit {artifact.name}")
        for artifact in ws.graph.find_nodes("artifact", state="LIVE", type_="Model").nodes:
            if not ws.blobs.exists(str(artifact.get("digest"))):
                wrong.append(f"LIVE without blob {artifact.name}")
    return wrong


if __name__ == "__main__":
    run(Path(sys.argv[1]))
