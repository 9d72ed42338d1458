"""A process that sets rows aside, corrects and replays them is killed; begun again, it ends as if it had not been."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.unit.lake.test_processes import check_graph, finish, open_folder, start
from whence.compute import Engine, open_engine
from whence.lake import Lake, open_lake
from whence.metadata import Recorder, open_store
from whence.testing.lake_quarantine import live_through, states_of

CODE = "from whence.testing.lake_quarantine import live_through; live_through(lake)"

# the commits: arrivals is made, 1st append, quarantine is made, set aside, 2nd append, correct, replaying, replay,
# replayed, drop
POINTS = [
    "lake.quarantine.before-good",
    "lake.replay.before-table",
    "lake.replay.after-table",
    *(f"lake.commit.before:{n}" for n in (3, 4, 6, 7, 9)),
    *(f"lake.commit.after:{n}" for n in (4, 5, 6, 8, 10)),
    "metadata.intent.after:7",
    "metadata.closing.before:7",
]


def contents(lake: Lake) -> tuple[Counter[str], dict[Any, str], dict[str, int]]:
    quarantine = lake.quarantine("arrivals")
    rows = Counter(map(repr, lake.table("arrivals").arrow().to_pylist()))
    return rows, states_of(quarantine), quarantine.counts()


@pytest.fixture(scope="module")
def undisturbed() -> tuple[Counter[str], dict[Any, str], dict[str, int]]:
    engine = open_engine("duckdb://", threads=2)
    lake = open_lake("memory://", recorder=Recorder(open_store("memory://")), engine=engine)
    live_through(lake)
    found = contents(lake)
    engine.close()
    return found


def test_the_story_undisturbed(undisturbed: tuple[Counter[str], dict[Any, str], dict[str, int]]) -> None:
    rows, states, counts = undisturbed
    assert (rows.total(), max(rows.values())) == (5, 1)
    assert states == {3: "replayed", 4: "replayed", 5: "dropped", "6": "in"}
    assert counts == {"in": 4, "pending": 1, "corrected": 2, "replayed": 2, "dropped": 1}


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_begun_again(
    tmp_path: Path,
    engine: Engine,
    point: str,
    undisturbed: tuple[Counter[str], dict[Any, str], dict[str, int]],
) -> None:
    assert finish(start(tmp_path, CODE, crash_at=point)) == -signal.SIGKILL
    lake, recorder = open_folder(tmp_path, engine)
    recorder.recover()
    lake.reconcile()
    check_graph(lake, recorder)
    table, quarantine = lake.table("arrivals"), lake.quarantine("arrivals")
    counts = quarantine.counts()
    assert counts["in"] == counts["pending"] + counts["replayed"] + counts["dropped"]
    entered = table.arrow()["id"].to_pylist()
    assert len(entered) == len(set(entered))
    let_in = {i for i, state in states_of(quarantine).items() if state == "replayed"}
    assert let_in == set(entered) & {3, 4}
    live_through(lake)
    assert contents(lake) == undisturbed
    check_graph(lake, recorder)


@pytest.mark.parametrize("named", [True, False])
def test_a_batch_killed_between_its_commits_is_neither_lost_nor_doubled(
    tmp_path: Path, engine: Engine, named: bool
) -> None:
    """Without a name the second call is another batch: its bad row waits twice, its good row is in once."""
    words = ", transaction=('feed', 1)" if named else ""
    code = f"""
import pyarrow as pa
if not lake.table("sales").exists:
    lake.create("sales", pa.schema({{"n": pa.int64()}}))
lake.table("sales").append([{{"n": "two"}}, {{"n": 1}}], on_error="quarantine"{words})
"""
    assert finish(start(tmp_path, code, crash_at="lake.quarantine.before-good")) == -signal.SIGKILL
    for _ in range(2 if named else 1):
        assert finish(start(tmp_path, code)) == 0
    lake, recorder = open_folder(tmp_path, engine)
    recorder.recover()
    lake.reconcile()
    assert lake.table("sales").arrow().to_pydict() == {"n": [1]}
    assert lake.quarantine("sales").counts()["in"] == (1 if named else 2)
    assert lake.table("sales").history()[0].n_quarantined == 1
    check_graph(lake, recorder)
