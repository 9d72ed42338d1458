"""Whence a thing came and where it went, by its reference."""

from __future__ import annotations

from typing import Final

from whence._base.refs import Ref
from whence.server.api.base import Asked, Data, json_of
from whence.trace import Trace

ROWS: Final = 20
MAX_ROWS: Final = 500


def show_trace(asked: Asked) -> Data:
    """Whence: a tree down to the rows, the stored values beside the recomputed ones."""
    ref, rows = asked.text("ref"), asked.number("rows", ROWS, low=0, high=MAX_ROWS)
    if not ref:
        return {"ref": "", "trace": None}
    found = _trace(asked, ref, rows)
    return {"ref": found.ref, "rows": rows, "trace": json_of(found.to_dict(max_rows=rows))}


def _trace(asked: Asked, ref: str, rows: int) -> Trace:
    """A prediction's rows are looked for in every file of its sources, which takes seconds: kept by version."""
    if not ref.startswith("prediction:"):
        return asked.ws.tracer.trace(ref, max_rows=rows)
    at = asked.ws.table(Ref.parse(ref).name).head()
    key = ("trace", ref, at.table_id, at.version, rows)
    return asked.kept.get(key, lambda: asked.ws.tracer.trace(ref, max_rows=rows))


def show_impact(asked: Asked) -> Data:
    """Whither: everything made from a thing, by kind."""
    ref = asked.text("ref")
    if not ref:
        return {"ref": "", "impact": None}
    found = asked.ws.impact(ref)
    return {"ref": found.ref, "impact": json_of(found)}
