"""What the other processes of the online tests do."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import whence.features as w
from tests.unit.features.online_world import minute, view_of
from whence.testing.pipelines import HandBuiltRooms

VIEWS: Final = (
    view_of(w.mean("n", over="10min"), w.count(over="10min"), w.last("n"), ttl="5min"),
    w.FeatureView(
        "b", entity=w.Entity("flag", ["b"]), source="s", timestamp="e", features=[w.sum("n", over="1h")]
    ),
)
BATCH_ROWS: Final = 2
SINCE: Final = minute(20)


def materialize(folder: str, since: datetime | None = None) -> None:
    """Bring the rows of a workspace into its online store, in small batches."""
    rooms = HandBuiltRooms(Path(folder))
    rooms.features._projection.batch_rows = BATCH_ROWS
    rooms.features.materialize(*VIEWS, since=since)
    rooms.close()


def materialize_since(folder: str) -> None:
    """The same, but for what only earlier moments see."""
    materialize(folder, SINCE)
