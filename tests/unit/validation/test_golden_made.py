"""The golden files are what the real TFDV says today: asked where WHENCE_TEST_TFDV names a Python that has it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.validation.golden import GOLDEN

THEIRS = os.environ.get("WHENCE_TEST_TFDV")


if THEIRS:  # where nothing may skip, what cannot be asked is not there

    @pytest.mark.slow
    def test_what_make_writes_is_what_is_kept(tmp_path: Path) -> None:
        command = [str(THEIRS), "-W", "ignore", str(GOLDEN / "make.py"), f"into={tmp_path}"]
        data = os.environ.get("WHENCE_TEST_DATA")
        if data:
            command += ["small", "covertype", "anomalies", f"taxi={data}"]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        done = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        made = sorted(p for p in tmp_path.rglob("*") if p.is_file())
        assert len(made) > 30
        for path in made:
            kept = GOLDEN / path.relative_to(tmp_path)
            assert path.read_text(encoding="utf-8") == kept.read_text(encoding="utf-8"), path.name
