"""Killed between the blob and the graph: the next start settles it, and doing it again gives the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.validation.fakes import FakeVersion
from whence._base.crash import VARIABLE, list_points
from whence._base.locks import Life
from whence.blobs import open_blobs
from whence.compute import open_engine
from whence.metadata import Recorder, Type, open_store
from whence.validation import Validation

POINTS = ("validation.report.stored", "validation.schema.stored", "validation.statistics.stored")
ROWS = pa.table({"carrier": ["AA", "UA", "AA"], "delay": [1.5, -2.0, 900.0]})


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Validation, Recorder]]:
    life = Life(folder / "lives")
    store = open_store(f"sqlite:///{folder / 'graph.db'}")
    recorder = Recorder(store, life=life)
    recorder.store.put_type(Type("artifact", "TableVersion"))
    engine = open_engine(threads=1)
    try:
        yield Validation(recorder, open_blobs(f"file:{folder / 'blobs'}"), None, engine), recorder
    finally:
        engine.close()
        store.close()
        life.close()


def story(validation: Validation) -> tuple[bytes, str, bytes]:
    version = FakeVersion(ROWS)
    statistics = validation.statistics(version)
    kept = validation.put_schema("flights", validation.infer_schema(statistics).edit("delay", max=100.0))
    report = validation.validate(version, "flights")
    return statistics.to_bytes(), str(kept.get("digest")), report.to_bytes()


def test_the_points_are_declared() -> None:
    assert set(POINTS) <= set(list_points())


@pytest.mark.parametrize("point", POINTS)
def test_killed_then_again(point: str, tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from tests.unit.validation.test_crash import opened, story\n"
        f"with opened(Path({str(tmp_path)!r})) as (validation, _): story(validation)"
    )
    root = Path(__file__).parents[3]
    environment = {**os.environ, VARIABLE: point, "PYTHONPATH": str(root)}
    child = subprocess.run([sys.executable, "-c", script], env=environment, cwd=root, check=False)
    assert child.returncode == -signal.SIGKILL
    with opened(tmp_path) as (validation, recorder):
        recorder.recover()
        states = [e.state for e in recorder.store.find_nodes("execution").nodes if hasattr(e, "state")]
        assert "RUNNING" not in states
        assert states.count("FAILED") == 1
        before = recorder.store.find_nodes(
            "artifact", type_=["Statistics", "Schema", "Anomalies"], state="LIVE"
        )
        assert len(before.nodes) == {"statistics": 0, "schema": 1, "report": 2}[point.split(".")[1]]
        after_kill = story(validation)
        assert [a.name for a in validation.schema_versions("flights")] == ["flights@1"]
    with opened(tmp_path / "undisturbed") as (validation, _):
        assert story(validation) == after_kill
