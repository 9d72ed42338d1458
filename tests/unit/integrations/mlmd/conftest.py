"""Services on each store that needs no server, and the messages they speak."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
