"""Where everything is required, a skip fails; public data may always be absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.house.source import ROOT

SAMPLE = """
import pytest

def test_asks_for_a_server():
    pytest.skip("no server here")

@pytest.mark.service
def test_is_marked():
    pytest.skip("no server here")

@pytest.mark.public_data
def test_asks_for_data(public_data):
    assert False

@pytest.mark.xfail(reason="known", strict=True)
def test_is_expected_to_fail():
    assert False

def test_passes():
    pass
"""


def outcome(tmp_path: Path, required: str) -> str:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    marks = "public_data: a\n    service: b"
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nmarkers =\n    {marks}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={"WHENCE_TEST_REQUIRE": required, "PATH": ""},
    )  # fmt: skip
    return done.stdout.splitlines()[-1].split(" in ")[0]


def test_skips_are_skips_where_nothing_is_required(tmp_path: Path) -> None:
    assert outcome(tmp_path, "") == "1 passed, 3 skipped, 1 xfailed"


def test_a_required_mark_may_not_skip(tmp_path: Path) -> None:
    assert outcome(tmp_path, "service") == "1 failed, 1 passed, 2 skipped, 1 xfailed"


def test_where_all_is_required_only_public_data_may_skip(tmp_path: Path) -> None:
    assert outcome(tmp_path, "all") == "2 failed, 1 passed, 1 skipped, 1 xfailed"
