"""Whatever a page tells a reader to do, is done here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import read_blocks, run_page
from whence.cli import main

ROOT = Path(__file__).parents[2]
PAGES = sorted(p for p in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"] if "_build" not in p.parts)


@pytest.mark.parametrize("page", [p for p in PAGES if read_blocks(p.read_text())], ids=lambda p: p.stem)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_page(page, tmp_path, main) > 0


def test_a_wrong_value_on_a_page_is_found(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("# t\n\n```python\nx = 1 + 1\nx  # → 3\n```\n")
    with pytest.raises(AssertionError, match="line 5: the page says 3, it is 2"):
        run_page(page, tmp_path, main)
    page.write_text("```console\n$ whence nope\n```\n")
    with pytest.raises(AssertionError, match="whence nope ended with 2"):
        run_page(page, tmp_path, main)
