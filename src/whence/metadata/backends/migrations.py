"""The steps that brought the graph's tables to where they are."""

from __future__ import annotations

from typing import Final

from whence.database import Migration
from whence.metadata.backends.layouts import v1, v2

COMPONENT: Final = "metadata"

MIGRATIONS: Final = (
    Migration(1, "types, nodes, events, members, parent contexts", v1.make),
    Migration(2, "kinds in ids, codes, uids as bytes, revisions kept", v2.up, fresh=v2.make),
)
