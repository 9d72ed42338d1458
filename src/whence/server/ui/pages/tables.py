"""Tables, their history, and one version with its statistics."""

from __future__ import annotations

from typing import Any, Final

from whence.drawing import Series, bar_chart
from whence.server.api.base import Asked, Data
from whence.server.api.statistics import reports_of, schema_of, sides_asked
from whence.server.api.tables import list_tables, show_table, show_version
from whence.server.ui.page import Page, Pictures
from whence.validation.page import statistics_fragment

DRAWN: Final = 100
"""So many columns of a version are drawn, the oddest first."""
OPENED: Final = 3
"""So many of them stand open."""


def _history(data: Data) -> Pictures:
    """Rows added by the versions of this page, oldest first."""
    # Any: the JSON of the page
    history: Any = data["history"]
    commits = history[::-1]
    if len(commits) < 2:
        return {}
    added = Series("rows added", [c["added"] for c in commits])
    names = [str(c["version"]) for c in commits]
    title = f"Rows added by version, {names[0]} to {names[-1]}"
    return {"added": bar_chart(names, [added], title=title, x_label="version", y_label="rows")}


def _statistics(asked: Asked) -> Pictures:
    """The statistics as `whence stats --html` shows them, beside those of another version, anomalies marked."""
    side, other = sides_asked(asked)
    if side.statistics is None:
        return {}
    older = None if other is None else other.statistics
    sides = [s for s in (older, side.statistics) if s is not None]
    report = next(reports_of(asked.ws, side.version), None)
    schema = schema_of(asked.ws, side.version, report)
    return {
        "statistics": statistics_fragment(*sides, schema=schema, report=report, drawn=DRAWN, opened=OPENED)
    }


PAGES = (
    Page("/tables", "tables.html", "tables", list_tables),
    Page("/tables/{name}", "table.html", "tables", show_table, _history),
    Page("/tables/{name}/versions/{version}", "version.html", "tables", show_version, parts=_statistics),
)
