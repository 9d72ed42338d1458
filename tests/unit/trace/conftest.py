from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.trace.world import World, hour, play
from whence._base.clock import ReplayClock
from whence.blobs import open_blobs
from whence.compute import open_engine
from whence.features import Features
from whence.lake import open_lake
from whence.metadata import Recorder, open_store
from whence.registry import Models
from whence.serving import Scoring
from whence.testing.trace import Journey, Story, tell


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def journey(story: Story) -> Journey:
    return tell(story)


@contextmanager
def rooms(folder: Path | None) -> Iterator[World]:
    """The rooms in a folder, or in memory."""
    store = open_store("memory://" if folder is None else f"sqlite:///{folder / 'whence.db'}")
    blobs = open_blobs("memory://" if folder is None else folder / "blobs")
    recorder = Recorder(store, blobs=blobs)
    engine = open_engine()
    clock = ReplayClock(hour(100))
    url = "memory://" if folder is None else folder / "lake"
    lake = open_lake(url, recorder=recorder, engine=engine, clock=clock)
    features = Features(recorder, lake, engine)
    models = Models(recorder, blobs)
    scoring = Scoring(recorder, lake, features, models, clock=clock)
    yield World(store, lake, features, models, scoring, blobs, recorder)
    engine.close()
    store.close()


@pytest.fixture(scope="module")
def played() -> Iterator[World]:
    """The journey played, in memory: for tests that only look."""
    with rooms(None) as world:
        play(world)
        yield world


@pytest.fixture
def in_folder(tmp_path: Path) -> Iterator[World]:
    """The journey played in a folder, with SQLite and Delta."""
    with rooms(tmp_path) as world:
        play(world)
        yield world


@pytest.fixture
def scored() -> Iterator[World]:
    """The journey played, in memory: for a test that changes something."""
    with rooms(None) as world:
        play(world)
        yield world
