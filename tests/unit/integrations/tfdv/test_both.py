"""What small programs come to, here and in TFDV."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.unit.integrations.tfdv import both
from whence.integrations import tfdv

THEIRS = os.environ.get("WHENCE_TEST_TFDV")


@cache
def ours() -> dict[str, Any]:
    names = {
        "tfdv": tfdv,
        "stats_impl": tfdv.statistics.stats_impl,
        "Combiner": tfdv.CombinerStatsGenerator,
        "schema_pb2": tfdv.schema_pb2,
        "statistics_pb2": tfdv.statistics_pb2,
    }
    with TemporaryDirectory() as tmp:
        return both.run(names, tmp)


@pytest.mark.parametrize("name", both.CASES)
def test_a_program_comes_to_what_it_comes_to_in_tfdv(name: str) -> None:
    assert ours()[name] == both.CASES[name][1]


if THEIRS:

    def test_tfdv_comes_to_it(tmp_path: Path) -> None:
        assert THEIRS is not None
        out = tmp_path / "said.json"
        subprocess.run(
            [THEIRS, both.__file__, str(out)],
            check=True,
            capture_output=True,
            timeout=500,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": ""},
        )
        assert json.loads(out.read_text()) == {name: said for name, (_, said) in both.CASES.items()}
