"""What every test shares, also the examples in docstrings: a clean environment, a folder, Hypothesis profiles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# `dev` looks for new examples each time; `ci` is the same everywhere, looks longer and keeps no memory.
settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=200,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("WHENCE_TEST_PROFILE", "dev"))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's shell reaches a test; variables of the tests themselves stay."""
    for name in list(os.environ):
        if name.startswith("WHENCE_") and not name.startswith("WHENCE_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _names_of_examples(request: pytest.FixtureRequest) -> None:
    """An example in a docstring may use `tmp`, an empty folder of its own."""
    if isinstance(request.node, pytest.DoctestItem):
        folder: Path = request.getfixturevalue("tmp_path")
        request.getfixturevalue("doctest_namespace")["tmp"] = folder
