"""Runs over a real SQLite file, and over memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from whence.blobs import open_blobs
from whence.database import Database, sqlite_url
from whence.metadata import Recorder, open_store
from whence.tracking import Runs, open_metrics


def open_runs(folder: Path, **settings: float) -> Runs:
    url = sqlite_url(folder / "whence.db")
    database = Database.from_url(url)
    recorder = Recorder(open_store(url, database=database))
    return Runs(recorder, open_metrics(database), open_blobs(folder / "blobs"), **settings)  # type: ignore[arg-type]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    opened = open_runs(tmp_path)
    yield opened
    opened.recorder.store.close()


@pytest.fixture
def memory_runs() -> Runs:
    return Runs(Recorder(open_store("memory://")), open_metrics(), open_blobs("memory://"))
