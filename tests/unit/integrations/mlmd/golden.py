"""Databases as ML Metadata wrote them, restored from the dumps in ``tests/golden/mlmd``."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from tests.house.source import ROOT

GOLDEN: Final = ROOT / "tests" / "golden" / "mlmd"
VERSIONS: Final = (6, 7, 8, 9, 10)


def dump(system: str, version: int) -> str:
    """The dump of a version by ``sqlite``, ``postgresql`` or ``mysql``."""
    return (GOLDEN / system / f"v{version}.sql").read_text(encoding="utf-8")


def restored(folder: Path, version: int = 10, *changes: str) -> Path:
    """A SQLite file of a version, with some statements run on it."""
    path = folder / f"v{version}.db"
    connection = sqlite3.connect(path)
    connection.executescript(dump("sqlite", version))
    for change in changes:
        connection.execute(change)
    connection.commit()
    connection.close()
    return path
