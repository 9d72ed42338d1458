from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.validation.fakes import open_room
from whence.compute import Engine
from whence.metadata import Recorder
from whence.validation import Validation


@pytest.fixture
def room() -> Iterator[tuple[Validation, Recorder]]:
    validation, recorder, engine = open_room()
    yield validation, recorder
    engine.close()


@pytest.fixture
def validation(room: tuple[Validation, Recorder]) -> Validation:
    return room[0]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    from whence.compute import open_engine

    opened = open_engine(threads=1)
    yield opened
    opened.close()
