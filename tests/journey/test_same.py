"""The same digests here and there: threads, time zone, locale, order of rows, compaction."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import whence
from tests.journey import small
from whence._base.rows import rows_digest


@pytest.mark.parametrize(
    "environment",
    [
        {"WHENCE_COMPUTE_THREADS": "2", "OMP_NUM_THREADS": "2"},
        {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "7"},
    ],
    ids=["two threads", "another time zone and locale"],
)
def test_same_digests_elsewhere(environment: dict[str, str], undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere.whence"
    code = (
        "import sys, whence\nfrom pathlib import Path\nfrom tests.journey import small\n"
        "from whence.journeys.flights.story import make\n"
        "clock = whence.ReplayClock(small.midnight(small.FIRST))\n"
        "with whence.connect(Path(sys.argv[1]), clock=clock) as ws:\n"
        "    make(ws, clock, small.PLAN)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert small.contents(folder) == small.contents(undisturbed)


def test_digest_survives_compaction_and_order(own: Path) -> None:
    with whence.connect(own) as ws:
        table = ws.table("arrivals")
        before = table.head()
        rows = before.arrow()
        table.compact()
        after = table.head()
        assert after.version == before.version + 1
        assert after.digest() == before.digest() == rows_digest(rows).text
        shuffled = rows.take(pa.array(np.random.default_rng(7).permutation(rows.num_rows)))
        assert rows_digest(shuffled).text == before.digest()
        assert table.at(before.version).digest() == before.digest()
