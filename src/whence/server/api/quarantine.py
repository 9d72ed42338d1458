"""Rows that were set aside: how many, why, and which."""

from __future__ import annotations

from typing import Final

from whence.errors import NotFoundError
from whence.server.api.base import Asked, Data, json_of
from whence.trace.plain import Json
from whence.workspace import Workspace

PREFIX: Final = "quarantine."
SHOWN: Final = 100


def known(ws: Workspace) -> list[str]:
    """The tables that have rows set aside, or had."""
    return [name.removeprefix(PREFIX) for name in ws.lake.list() if name.startswith(PREFIX)]


def list_quarantines(asked: Asked) -> Data:
    """Each table with rows set aside, and how many are in which state."""
    ws = asked.ws
    rows: list[Json] = [
        {"table": name, "counts": json_of(ws.quarantine(name).counts())} for name in known(ws)
    ]
    return {"quarantines": rows}


def show_quarantine(asked: Asked) -> Data:
    """The rows of one table that are set aside, pending ones unless all are asked for."""
    ws, name = asked.ws, asked.name("name")
    if name not in known(ws):
        raise NotFoundError(
            "quarantine", name, near=known(ws), hint="nothing of this table was ever set aside"
        )
    everything = asked.text("all") == "1"
    quarantine = ws.quarantine(name)
    found = quarantine.list(pending=not everything, limit=SHOWN)
    return {
        "table": name,
        "counts": json_of(quarantine.counts()),
        "all": everything,
        "rows": [json_of(row) for row in found],
        "at_most": SHOWN,
    }
