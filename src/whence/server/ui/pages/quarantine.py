"""Rows that were set aside."""

from __future__ import annotations

from whence.server.api.quarantine import list_quarantines, show_quarantine
from whence.server.ui.page import Page

PAGES = (
    Page("/quarantine", "quarantines.html", "tables", list_quarantines),
    Page("/quarantine/{name}", "quarantine.html", "tables", show_quarantine),
)
