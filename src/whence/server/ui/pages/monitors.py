"""Monitors: measures over time with alerts marked, and an alert with its blame."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from whence.drawing import Html, Mark, Series, line_chart
from whence.server.api.base import Data
from whence.server.api.monitors import list_monitors, show_alert, show_monitor, show_stream
from whence.server.ui.page import Page, Pictures


def _charts(data: Data) -> Pictures:
    """One chart a stream: values, what they may be, a mark for each alert."""
    # Any: the JSON of the page
    charts: Any = data["charts"]
    return {chart_name(c): _chart(c) for c in charts}


def chart_name(chart: Any) -> str:
    """What a stream is called."""
    of = chart["feature"] or chart["table"]
    return f"{chart['metric']} of {of}"


def _chart(chart: Any) -> Html:
    points = chart["points"]
    starts = [datetime.fromisoformat(p["start"]) for p in points]
    series = [Series(chart["metric"], [p["value"] for p in points])]
    if any(p["threshold"] is not None for p in points):
        series.append(Series("threshold", [p["threshold"] for p in points]))
    marks = [
        Mark(
            datetime.fromisoformat(m["start"]),
            str(m["number"]),
            (m["blame"] or {}).get("text") or "no cause named",
        )
        for m in chart["marks"]
    ]
    return line_chart(starts, series, title=chart_name(chart), y_label=chart["metric"], marks=marks)


PAGES = (
    Page("/monitors", "monitors.html", "monitors", list_monitors),
    Page("/monitors/{name}", "monitor.html", "monitors", show_monitor, _charts),
    Page("/monitors/{name}/stream", "stream.html", "monitors", show_stream, _charts),
    Page("/monitors/{name}/alerts/{uid}", "alert.html", "monitors", show_alert, _charts),
)
