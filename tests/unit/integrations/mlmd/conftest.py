"""Services on each store that needs no server, and the messages they speak."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import ROOT
from tests.unit.integrations.mlmd.calls import Client
from whence.database import sqlite_url
from whence.integrations.mlmd.service import MlmdService
from whence.metadata import MetadataStore, open_store


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    url = "memory://" if request.param == "memory" else sqlite_url(tmp_path / "whence.db")
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def client(store: MetadataStore) -> Client:
    return Client(MlmdService(store))


@pytest.fixture(scope="session")
def mlmd_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with ML Metadata's client: named by WHENCE_TEST_MLMD, or made from the pins."""
    named = os.environ.get("WHENCE_TEST_MLMD")
    if named:
        return Path(named)
    if sys.version_info[:2] not in ((3, 10), (3, 11)) or sys.platform != "linux":
        pytest.skip("ML Metadata 1.17.1 has wheels for Python 3.10 and 3.11 on Linux only")
    place = tmp_path_factory.mktemp("mlmd")
    python = place / "bin" / "python"
    pins = ROOT / "requirements" / "mlmd.txt"
    for arguments in (
        ["venv", "-q", "--python", sys.executable, str(place)],
        ["pip", "install", "-q", "--python", str(python), "--require-hashes", "--only-binary", ":all:", "-r", str(pins)],
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "uv", *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"its environment cannot be made: {done.stderr[-500:]}")
    return python
