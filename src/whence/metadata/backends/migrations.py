"""The steps that brought the graph's tables to where they are."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from whence.database import Migration
from whence.metadata.backends.tables import METADATA, TYPE
from whence.metadata.simple import SIMPLE_TYPES

COMPONENT: Final = "metadata"


def _first(connection: Connection) -> None:
    METADATA.create_all(connection)
    rows = [
        {"id": i, "kind": t.kind, "name": t.name, "version": "", "properties": "{}"}
        for i, t in enumerate(SIMPLE_TYPES, 1)
    ]
    connection.execute(TYPE.insert(), rows)


# Step 1 makes the tables as `tables` has them now. Whoever changes that layout first copies it here.
MIGRATIONS: Final = (Migration(1, "types, nodes, events, members, parent contexts", _first),)
