"""A workspace that holds only what another program recorded is not empty, and its first page says so."""

from __future__ import annotations

from pathlib import Path

import whence as w
from tests.unit.server.ui.site import Site


def test_what_happened_elsewhere_is_on_the_first_page(tmp_path: Path) -> None:
    with w.connect(tmp_path / "tfx.whence") as ws:
        site = Site(ws)
        assert "Nothing has happened yet" in site.page("/").text
        ws.graph.add("Trainer", kind="execution", name="run-7", state="COMPLETE")
        page = site.page("/").text
        assert "Nothing has happened yet" not in page
        assert "run-7" in page
        assert "the graph knows what happened elsewhere" in page
