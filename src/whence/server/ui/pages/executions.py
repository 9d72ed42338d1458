"""Everything that happened."""

from __future__ import annotations

from whence.server.api.runs import list_executions, show_execution
from whence.server.ui.page import Page
from whence.server.ui.pages.runs import run_pictures

PAGES = (
    Page("/executions", "executions.html", "executions", list_executions),
    Page("/executions/{uid}", "run.html", "executions", show_execution, run_pictures),
)
