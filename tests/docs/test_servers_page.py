"""The page about servers does what it says on each of them (and on SQLite, with every other page)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import run_page
from tests.docs.test_docs_code import ROOT
from whence.cli import main

PAGE = ROOT / "docs" / "how-to" / "use-postgresql-or-mysql.md"


@pytest.mark.service
@pytest.mark.parametrize("system", ["postgres", "mariadb"])
def test_the_page_runs_on_a_server(
    system: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(request.getfixturevalue(f"{system}_url"))
    monkeypatch.setenv("WHENCE_METADATA_URL", url)
    monkeypatch.chdir(tmp_path)
    assert run_page(PAGE, tmp_path, main) == 4
    assert not (tmp_path / "team.whence" / "whence.db").exists()
