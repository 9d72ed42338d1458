"""Models over a real SQLite file and a folder of blobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from whence._base.locks import Life
from whence.blobs import open_blobs
from whence.database import Database, sqlite_url
from whence.metadata import Recorder, open_store
from whence.registry import Models


def open_models(folder: Path) -> Models:
    url = sqlite_url(folder / "whence.db")
    recorder = Recorder(open_store(url, database=Database.from_url(url)), life=Life(folder / "lives"))
    return Models(recorder, open_blobs(folder / "blobs"))


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Models]:
    opened = open_models(tmp_path)
    yield opened
    opened.recorder.store.close()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """OpenMP's threads wait for each other by spinning, which is slow where others work too."""
    with threadpool_limits(1):
        yield
