"""Every blob backend passes the shipped suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from whence.blobs import BlobStore, open_blobs
from whence.testing.blobs import BlobSuite


class TestMemory(BlobSuite):
    @pytest.fixture
    def blobs(self) -> BlobStore:
        return open_blobs("memory://")


class TestFolder(BlobSuite):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Iterator[BlobStore]:
        store = open_blobs(f"file:{tmp_path / 'store'}")
        yield store
        assert list((tmp_path / "store" / "tmp").iterdir()) == []
