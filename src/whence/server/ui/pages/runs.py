"""Runs: search, and one run with its metrics."""

from __future__ import annotations

from typing import Any

from whence.drawing import Html, Series, line_chart
from whence.server.api.base import Data
from whence.server.api.runs import list_runs, show_run
from whence.server.ui.page import Page, Pictures


def run_pictures(data: Data) -> Pictures:
    """The course of each metric that has more than one step."""
    # Any: the JSON of the page
    metrics: Any = data["metrics"]
    drawn: dict[str, Html] = {}
    for metric in metrics:
        if metric["steps"]:
            steps, values = zip(*metric["steps"], strict=True)
            drawn[metric["key"]] = line_chart(
                list(steps), [Series(metric["key"], list(values))], title=metric["key"], x_label="step"
            )
    return drawn


PAGES = (
    Page("/runs", "runs.html", "runs", list_runs),
    Page("/runs/{uid}", "run.html", "runs", show_run, run_pictures),
)
