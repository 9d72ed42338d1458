"""The alerts of a monitor as its table tells them, each version of which is read once."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from whence.errors import IntegrityError
from whence.lake import Table
from whence.lake.changes import BROKEN
from whence.monitoring.store import read_alerts
from whence.monitoring.types import Alert

COLUMNS: Final = ["known_at", "detail"]
FEW: Final = 16
"""So many versions are read one by one; of more, one scan is shorter."""


class AlertLog:
    """Reads the alerts of monitors' tables, and goes on where it stopped.

    Who asks each hour whether something opened would else read all that was ever measured.
    """

    def __init__(self) -> None:
        self._read: dict[str, tuple[int, pa.Table]] = {}

    def alerts(self, table: Table) -> list[Alert]:
        """The alerts up to the newest version of a table, each as it is known last, in the order they opened."""
        version = table.head().version
        reached, rows = self._read.get(table.name, (-1, None))
        news = None if rows is None or version - reached > FEW else _since(table, reached, version)
        rows = _all(table, version) if news is None else pa.concat_tables([rows, *news])
        self._read[table.name] = (version, rows)
        return read_alerts(rows)


def _all(table: Table, version: int) -> pa.Table:
    return table.at(version).arrow(COLUMNS, where="kind = 'alert'")


def _since(table: Table, reached: int, version: int) -> list[pa.Table] | None:
    """The rows that came; None where they cannot be followed."""
    try:
        changes = list(table.changes(reached, version, columns=[*COLUMNS, "kind"]))
    except IntegrityError as error:
        if error.code not in BROKEN:
            raise
        return None
    found = (c.rows.filter(pc.equal(c.rows["kind"], "alert")).select(COLUMNS) for c in changes)
    return [rows for rows in found if rows.num_rows]
