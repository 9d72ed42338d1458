from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from whence.compute import Engine, open_engine
from whence.lake import Lake, open_lake
from whence.metadata import Recorder, open_store


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    engine = open_engine("duckdb://", threads=2)
    yield engine
    engine.close()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(open_store("memory://"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def lake(root: Path, recorder: Recorder, engine: Engine) -> Iterator[Lake]:
    lake = open_lake(root, recorder=recorder, engine=engine, locks=root.parent / "locks")
    yield lake
    lake.close()
