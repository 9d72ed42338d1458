"""The site is built once: looking changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.server.ui.site import Site, build, set_aside


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with build(tmp_path_factory.mktemp("site") / "site.whence") as ws:
        set_aside(ws)
        yield Site(ws)
