from __future__ import annotations

from collections.abc import Iterator
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


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """In memory, unless a test asks for ``folder``."""
    folder = getattr(request, "param", "memory") == "folder"
    store = open_store(f"sqlite:///{tmp_path / 'whence.db'}" if folder else "memory://")
    blobs = open_blobs(tmp_path / "blobs" if folder else "memory://")
    recorder = Recorder(store, blobs=blobs)
    engine = open_engine()
    clock = ReplayClock(hour(100))
    lake = open_lake(
        tmp_path / "lake" if folder else "memory://", recorder=recorder, engine=engine, clock=clock
    )
    features = Features(recorder, lake, engine)
    models = Models(recorder, blobs)
    scoring = Scoring(recorder, lake, features, models, clock=clock)
    yield World(store, lake, features, models, scoring, blobs, recorder)
    engine.close()
    store.close()


@pytest.fixture
def scored(world: World) -> World:
    """The journey played: a model trained on the first day, predictions of the second."""
    play(world)
    return world
