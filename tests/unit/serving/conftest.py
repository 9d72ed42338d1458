"""What the tests of serving share."""

from __future__ import annotations

import pytest

from whence.serving import stream


@pytest.fixture(autouse=True)
def horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little room for rows ahead, so that few rows are enough to look beyond the horizon."""
    monkeypatch.setattr(stream, "ROOM", 0)
