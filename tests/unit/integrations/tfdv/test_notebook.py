"""A notebook written for TFDV runs with its import line changed, and comes to the same."""

from __future__ import annotations

import ast
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.integrations.tfdv import notebook
from whence.integrations.tfdv import load_schema_text, load_stats_text
from whence.integrations.tfdv.messages import anomalies_pb2
from whence.testing.covertype import write_covertype

TYPES = anomalies_pb2.AnomalyInfo.Type
THEIRS = os.environ.get("WHENCE_TEST_TFDV")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    write_covertype(made)
    return made


def ours(folder: Path, out: Path) -> dict[str, Any]:
    out.mkdir()
    return notebook.run("import whence.integrations.tfdv as tfdv", str(folder), str(out))


def said(anomalies: Any) -> dict[str, list[str]]:
    return {name: [TYPES.Name(t) for t in types] for name, types in notebook.reasons(anomalies).items()}


def test_the_notebook_runs_with_its_import_line_changed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ours(folder, tmp_path / "out")
    assert said(names["eval_anomalies"]) == {
        "Slope": ["INT_TYPE_BIG_INT"],
        "Soil_Type": ["ENUM_TYPE_UNEXPECTED_STRING_VALUES"],
    }
    assert said(names["accepted_anomalies"]) == {"Slope": ["INT_TYPE_BIG_INT"]}
    assert said(names["serving_anomalies"]) == {"Cover_Type": ["SCHEMA_MISSING_COLUMN"]}
    assert said(names["quiet_anomalies"]) == {}
    assert said(names["drift_anomalies"]) == {
        "Elevation": ["COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH"],
        "Soil_Type": ["COMPARATOR_L_INFTY_HIGH"],
    }
    shown = capsys.readouterr().out
    assert "No anomalies found." in shown
    assert "'Cover_Type'" in shown
    schema = load_schema_text(str(tmp_path / "out" / "final.pbtxt"))
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]
    assert names["slope_stats"].max == 37.0


if THEIRS:

    def test_the_real_tfdv_comes_to_the_same(folder: Path, tmp_path: Path) -> None:
        assert THEIRS is not None
        out = tmp_path / "theirs"
        out.mkdir()
        subprocess.run(
            [THEIRS, notebook.__file__, str(folder), str(out)],
            check=True,
            capture_output=True,
            timeout=500,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": ""},
        )
        names = ours(folder, tmp_path / "ours")
        found = {k: notebook.reasons(v) for k, v in names.items() if k.endswith("_anomalies")}
        assert found == ast.literal_eval((out / "found.txt").read_text())
        for file in ("schema", "final", "updated"):
            theirs = load_schema_text(str(out / f"{file}.pbtxt"))
            mine = load_schema_text(str(tmp_path / "ours" / f"{file}.pbtxt"))
            by_name = {f.name: f for f in theirs.feature}  # TFDV's order follows its workers
            assert {f.name: f for f in mine.feature} == by_name
            assert {d.name: list(d.value) for d in mine.string_domain} == {
                d.name: list(d.value) for d in theirs.string_domain
            }
        same_statistics(
            load_stats_text(str(tmp_path / "ours" / "stats.pbtxt")), load_stats_text(str(out / "stats.pbtxt"))
        )


def same_statistics(mine: Any, theirs: Any) -> None:
    """Counts, extremes, zeros, uniques, top values and ranks equal; means to the last digits."""
    known = {f.path.step[0]: f for f in theirs.datasets[0].features}
    assert mine.datasets[0].num_examples == theirs.datasets[0].num_examples
    assert known.keys() == {f.path.step[0] for f in mine.datasets[0].features}
    for f in mine.datasets[0].features:
        other = known[f.path.step[0]]
        assert f.type == other.type
        a, b = getattr(f, f.WhichOneof("stats")), getattr(other, other.WhichOneof("stats"))
        assert a.common_stats == b.common_stats
        if f.WhichOneof("stats") == "num_stats":
            assert (a.min, a.max, a.num_zeros) == (b.min, b.max, b.num_zeros)
            assert math.isclose(a.mean, b.mean, rel_tol=1e-12)
            assert math.isclose(a.std_dev, b.std_dev, rel_tol=1e-12)
        else:
            assert (a.unique, a.avg_length) == (b.unique, b.avg_length)
            assert list(a.top_values) == list(b.top_values)
            assert a.rank_histogram == b.rank_histogram
