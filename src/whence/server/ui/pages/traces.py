"""Whence and whither."""

from __future__ import annotations

from whence.server.api.traces import show_impact, show_trace
from whence.server.ui.page import Page

PAGES = (
    Page("/trace", "trace.html", "trace", show_trace),
    Page("/impact", "impact.html", "trace", show_impact),
)
