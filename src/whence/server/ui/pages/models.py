"""Registered models, their champions, their versions."""

from __future__ import annotations

from typing import Any

from whence.drawing import Html, Series, line_chart
from whence.server.api.base import Data
from whence.server.api.models import list_models, show_model, show_model_version
from whence.server.ui.page import Page, Pictures


def _metrics(data: Data) -> Pictures:
    """Each metric over the versions of this page, oldest first; a metric of one version is a number, no line."""
    # Any: the JSON of the page
    given: Any = data
    versions = given["versions"][::-1]
    names = [f"@{v['version']}" for v in versions]
    drawn: dict[str, Html] = {}
    for key in given["metrics"]:
        values = [v["metrics"].get(key) for v in versions]
        if sum(v is not None for v in values) > 1:
            drawn[key] = line_chart(
                names, [Series(key, values)], title=f"{key} by version", x_label="version"
            )
    return drawn


PAGES = (
    Page("/models", "models.html", "models", list_models),
    Page("/models/{name}", "model.html", "models", show_model, _metrics),
    Page("/models/{name}/versions/{version}", "model_version.html", "models", show_model_version),
)
