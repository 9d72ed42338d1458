"""Deployments and how far each has come."""

from __future__ import annotations

from typing import Any

from whence.drawing import Series, bar_chart
from whence.server.api.base import Data
from whence.server.api.deployments import list_deployments, show_deployment
from whence.server.ui.page import Page, Pictures


def _steps(data: Data) -> Pictures:
    """Rows of the newest steps, oldest first."""
    # Any: the JSON of the page
    given: Any = data["steps"]
    steps = given[::-1]
    if len(steps) < 2:
        return {}
    names = [str(s["name"] or i).rpartition(":")[2] for i, s in enumerate(steps)]
    rows = Series("rows", [s["n_rows"] for s in steps])
    title = f"Rows scored by the newest {len(steps)} steps"
    if len(set(names)) < len(names):  # keys of another form
        names = [str(i + 1) for i in range(len(steps))]
    return {"steps": bar_chart(names, [rows], title=title, x_label="step", y_label="rows")}


PAGES = (
    Page("/deployments", "deployments.html", "deployments", list_deployments),
    Page("/deployments/{name}", "deployment.html", "deployments", show_deployment, _steps),
)
