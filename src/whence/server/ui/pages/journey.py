"""Home: the journey map."""

from __future__ import annotations

from whence.drawing import Html
from whence.server.api.base import Data
from whence.server.api.journey import show_journey
from whence.server.ui.map import arrows
from whence.server.ui.page import Page, Pictures


def _pictures(data: Data) -> Pictures:
    return {"arrows": Html(arrows(data))}


PAGES = (Page("/", "journey.html", "journey", show_journey, _pictures),)
