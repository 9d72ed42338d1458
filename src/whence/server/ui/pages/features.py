"""Feature views."""

from __future__ import annotations

from whence.server.api.features import list_features, show_features
from whence.server.ui.page import Page

PAGES = (
    Page("/features", "features.html", "features", list_features),
    Page("/features/{name}", "feature.html", "features", show_features),
)
