"""Killed in the middle of a window, of learning or of accepting: the next start settles it, and again gives the same."""

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

from whence._base.crash import VARIABLE
from whence._base.locks import Life
from whence.blobs import open_blobs
from whence.compute import open_engine
from whence.lake import Lake, open_lake
from whence.metadata import Recorder, open_store
from whence.validation import Validation

POINTS = ("validation.incident.schema-put", "validation.learned.stored", "validation.window.stored")


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Validation, Lake, Recorder]]:
    life = Life(folder / "lives")
    store = open_store(f"sqlite:///{folder / 'graph.db'}")
    recorder = Recorder(store, life=life)
    engine = open_engine(threads=1)
    lake = open_lake(f"file:{folder / 'lake'}", recorder=recorder, engine=engine, locks=folder / "locks")
    try:
        yield Validation(recorder, open_blobs(f"file:{folder / 'blobs'}"), lake, engine), lake, recorder
    finally:
        engine.close()
        store.close()
        life.close()


def story(validation: Validation, lake: Lake) -> tuple[object, ...]:
    days = lake.table("days")
    for n in range(4):
        rows = pa.table({"x": [float(n + k) for k in range(9)]})
        days.append(rows, key=f"day {n}", transaction=("days", n))
    window = validation.window("days", versions=range(4))
    if validation.find_schema("days") is None:
        schema = validation.infer_schema(validation.statistics("days@0"))
        validation.put_schema("days", schema.edit("x", max=9.0))
        validation.validate("days@3", "days@1")
    (incident,) = validation.incidents.list("days")
    accepted = validation.incidents.accept(incident.id, update=True)
    learned = validation.learn("days")
    return (
        window.to_bytes(),
        (accepted.state, accepted.link, accepted.id, len(accepted.decisions)),
        [a.name for a in validation.schema_versions("days")],
        (learned.versions, learned.text()),
    )


@pytest.mark.parametrize("point", POINTS)
def test_killed_then_again(point: str, tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from tests.unit.validation.test_past_crash import opened, story\n"
        f"with opened(Path({str(tmp_path)!r})) as (validation, lake, _): story(validation, lake)"
    )
    root = Path(__file__).parents[3]
    environment = {**os.environ, VARIABLE: point, "PYTHONPATH": str(root)}
    child = subprocess.run([sys.executable, "-c", script], env=environment, cwd=root, check=False)
    assert child.returncode == -signal.SIGKILL
    with opened(tmp_path) as (validation, lake, recorder):
        recorder.recover()
        states = [e.state for e in recorder.store.find_nodes("execution").nodes if hasattr(e, "state")]
        assert "RUNNING" not in states
        if point == "validation.incident.schema-put":
            (incident,) = validation.incidents.list("days")
            assert (incident.state, incident.decisions) == ("open", ())
            assert len(validation.schema_versions("days")) == 2
        after_kill = story(validation, lake)
    with opened(tmp_path / "undisturbed") as (validation, lake, _):
        assert story(validation, lake) == after_kill
