"""Tables, their history, and one version with its statistics."""

from __future__ import annotations

from typing import Any

from whence.drawing import Html, Series, bar_chart
from whence.server.api.base import Data
from whence.server.api.tables import list_tables, show_table, show_version
from whence.server.ui.charts import distribution, spark
from whence.server.ui.page import Page, Pictures


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


def _columns(data: Data) -> Pictures:
    """For each column a small and a large picture of its values."""
    # Any: the JSON of statistics
    statistics: Any = data["statistics"]
    drawn: dict[str, Html] = {}
    for feature in statistics["features"] if statistics else []:
        drawn[f"spark/{feature['name']}"] = spark(feature)
        large = distribution(feature)
        if large is not None:
            drawn[f"large/{feature['name']}"] = large
    return drawn


PAGES = (
    Page("/tables", "tables.html", "tables", list_tables),
    Page("/tables/{name}", "table.html", "tables", show_table, _history),
    Page("/tables/{name}/versions/{version}", "version.html", "tables", show_version, _columns),
)
